#include "server/api/passkeys.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/text/base64.h"
#include "server/api/browser.h"
#include "server/api/handlers.h"
#include "server/api/local.h"
#include "server/api/page.h"
#include "server/api/render.h"
#include "server/api/state.h"
#include "server/login/login.h"
#include "server/login/webauthn.h"

struct passing { /* one request on its way */
	struct webauthn_site site;
	struct passkey_row row; /* what was shown, in the arena */
	struct bytes client_data, auth_data, signature;
	struct passkey_owner owner;
	int64_t auth_ms;
	bool paid; /* a try */
};

static struct passing *passing_of(struct request *r)
{
	if (!r->keep)
		r->keep = arena_alloc(&r->arena, sizeof(struct passing));
	return r->keep;
}

static enum MHD_Result no_memory(struct request *r)
{
	return answer_error(r, 500, "out of memory");
}

/* A field of base64url; empty: absent, wrong or too long. */
static struct bytes form_bytes(struct request *r, const char *name, size_t max)
{
	struct bytes text = bytes_str(form_value(r, name));
	uint8_t *out = text.n && text.n <= base64url_len(max) ? arena_alloc(&r->arena, max + 3) : NULL;
	size_t n = 0;

	if (!out || base64url_decode(text, out, max, &n) != OK)
		return (struct bytes){ 0 };
	return bytes_of(out, n);
}

static void put_attribute(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, " data-%s=\"", name);
	put_escaped(b, value);
	buf_append_str(b, "\"");
}

static void put_failed(struct buf *b)
{
	buf_printf(b, "<p class=\"notice\" data-tone=\"warn\" role=\"alert\" hidden>%s</p>", word(W_PASSKEY_FAILED));
}

/* ---- signing in ---- */

void passkey_put_login(struct request *r, struct buf *b, const char *auth_id)
{
	struct webauthn_site site;
	char challenge[WEBAUTHN_CHALLENGE_LEN + 1];

	if (!webauthn_site_of(r->api->cfg.server_url, &site))
		return;
	r->page_script = true;
	webauthn_challenge(&r->api->cfg.login->seal, WEBAUTHN_SIGN_IN, "", clock_wall_ms(), challenge);
	buf_append_str(b, "<form class=\"stack\" method=\"post\" action=\"/login/passkey\" hidden data-passkey=\"get\"");
	put_attribute(b, "challenge", challenge);
	put_attribute(b, "rp", site.rp_id);
	buf_append_str(b, ">");
	put_hidden(b, "connect", auth_id);
	static const char *const filled[] = { "credential", "client_data", "auth_data", "signature" };
	for (size_t i = 0; i < sizeof filled / sizeof filled[0]; i++)
		put_hidden(b, filled[i], "");
	buf_printf(b, "<button type=\"submit\" class=\"button\">%s</button>", word(W_PASSKEY_USE));
	put_failed(b);
	buf_append_str(b, "</form>");
}

static enum MHD_Result refuse(struct request *r, const char *why)
{
	const struct passing *p = r->keep;
	const char *auth_id = form_value(r, "connect");
	const char *again = auth_id[0] && is_auth_id(auth_id) ? arena_printf(&r->arena, "/login?connect=%s", auth_id) : "/login";

	log_warn("a sign-in failed", "by=passkey cause=%s from=%s", log_qs(why).s, addr_text(client_of(r), (char[ADDR_TEXT_MAX]){ 0 }));
	(void)p;
	return page_refused(r, 403, why, again);
}

static enum MHD_Result on_passkey_login(struct request *r, const struct reply *reply)
{
	const char *auth_id = form_value(r, "connect");

	if (reply->e == ERR_AUTH || reply->e == ERR_DENIED)
		return refuse(r, reply->message);
	if (reply->e != OK)
		return page_busy(r, status_of(reply->e));
	const char *token = arena_str(&r->arena, bytes_str(reply->secret));
	if (!token)
		return no_memory(r);
	local_give_address_try(r);
	signin_begin(r, token);
	return answer_redirect(r, 303, signin_target(r, auth_id));
}

static enum MHD_Result on_passkey_found(struct request *r, const struct reply *reply)
{
	struct passing *p = r->keep;
	struct login *l = r->api->cfg.login;
	const struct webauthn_want want = { &p->site, &l->seal, WEBAUTHN_SIGN_IN, "", clock_wall_ms() };
	char challenge[WEBAUTHN_CHALLENGE_LEN + 1];
	struct webauthn_shown shown;
	const char *why;

	if (reply->e == ERR_NOT_FOUND)
		return refuse(r, reply->message);
	if (reply->e != OK)
		return page_busy(r, status_of(reply->e));
	const struct passkey_row *kept = &reply->passkeys[0];
	if (webauthn_check_shown(&want, bytes_of(kept->cose, kept->n_cose), p->client_data, p->auth_data, p->signature, &shown, challenge, &why) != OK)
		return refuse(r, why);
	/* Only what was rightly signed is remembered, so that strangers push nobody's challenge out. */
	if (!flow_use(&l->passkeys_used, challenge))
		return refuse(r, "this answer of the passkey was used before");
	struct command *c = command_for(r, CMD_PASSKEY_LOGIN);
	if (c) {
		p->row.sign_count = shown.count;
		p->row.synced = shown.synced;
		c->id = kept->id;
		c->passkey = &p->row;
		signin_fill(r, c);
	}
	return ask(r, c, on_passkey_login);
}

enum MHD_Result passkey_login(struct request *r)
{
	struct passing *p = passing_of(r);
	const char *auth_id = form_value(r, "connect");

	if (!p)
		return no_memory(r);
	if (!is_own_page(r))
		return page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	if ((auth_id[0] && !is_auth_id(auth_id)) || !webauthn_site_of(r->api->cfg.server_url, &p->site))
		return page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
	if (!local_take_address_try(r))
		return page_trouble(r, 429);
	struct bytes id = form_bytes(r, "credential", PASSKEY_ID_MAX);
	p->client_data = form_bytes(r, "client_data", WEBAUTHN_CLIENT_DATA_MAX);
	p->auth_data = form_bytes(r, "auth_data", WEBAUTHN_AUTH_DATA_MAX);
	p->signature = form_bytes(r, "signature", WEBAUTHN_SIGNATURE_MAX);
	if (!id.n || !p->client_data.n || !p->auth_data.n || !p->signature.n)
		return refuse(r, "the browser's answer cannot be read");
	p->row.credential = (uint8_t *)(uintptr_t)id.p; /* only read */
	p->row.n_credential = id.n;
	struct command *c = command_for(r, CMD_PASSKEY_FIND);
	if (c)
		c->passkey = &p->row;
	return ask(r, c, on_passkey_found);
}

/* ---- one's own ---- */

/* What a person may call the browser at hand. */
static const char *device_name(struct request *r)
{
	static const char *const names[][2] = { { "iPhone", "iPhone" }, { "iPad", "iPad" }, { "Android", "Android" }, { "Windows", "Windows PC" },
		{ "Macintosh", "Mac" }, { "CrOS", "Chromebook" }, { "Linux", "Linux" } };
	const char *agent = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "User-Agent");

	for (size_t i = 0; agent && i < sizeof names / sizeof names[0]; i++)
		if (strstr(agent, names[i][0]))
			return names[i][1];
	return "Passkey";
}

bool passkey_put_add(struct request *r, struct buf *b, const struct reply *own, const struct passkey_owner *p, bool is_start)
{
	struct webauthn_site site;
	char challenge[WEBAUTHN_CHALLENGE_LEN + 1], handle_text[32], id_text[PASSKEY_ID_MAX * 4 / 3 + 4];
	uint8_t handle[WEBAUTHN_HANDLE_LEN];
	const char *csrf = csrf_of(r, r->token);

	if (!csrf || !webauthn_site_of(r->api->cfg.server_url, &site))
		return false;
	r->page_script = true;
	webauthn_challenge(&r->api->cfg.login->seal, WEBAUTHN_ADD, r->token, clock_wall_ms(), challenge);
	webauthn_user_handle(p->tailnet_id, p->user_id, handle);
	base64url_encode(bytes_of(handle, sizeof handle), handle_text);
	buf_append_str(b, "<form class=\"stack\" method=\"post\" action=\"/my/passkeys\" hidden data-passkey=\"create\"");
	put_attribute(b, "challenge", challenge);
	put_attribute(b, "rp", site.rp_id);
	put_attribute(b, "user", handle_text);
	put_attribute(b, "name", p->login);
	put_attribute(b, "display", p->login);
	buf_append_str(b, " data-known=\"");
	for (size_t i = 0; i < own->n_passkeys; i++)
		buf_printf(b, "%s%s", i ? " " : "", base64url_encode(bytes_of(own->passkeys[i].credential, own->passkeys[i].n_credential), id_text));
	buf_append_str(b, "\">");
	put_hidden(b, "csrf", csrf);
	put_hidden(b, "start", is_start ? "1" : "");
	static const char *const filled[] = { "credential", "client_data", "attestation" };
	for (size_t i = 0; i < sizeof filled / sizeof filled[0]; i++)
		put_hidden(b, filled[i], "");
	buf_printf(b, "<div class=\"field\"><label for=\"passkey-name\">%s</label><input class=\"input\" type=\"text\" id=\"passkey-name\" name=\"name\""
			" autocomplete=\"off\" maxlength=\"%d\" required value=\"%s\"></div>"
			"<button type=\"submit\" class=\"button\" data-kind=\"primary\">%s</button>",
			word(W_PASSKEY_NAME), PASSKEY_NAME_MAX, device_name(r), word(W_PASSKEY_ADD));
	put_failed(b);
	buf_append_str(b, "</form>");
	return true;
}

static void put_own(struct buf *b, const struct passkey_row *k, const char *csrf, int64_t now_ms)
{
	char action[64];

	buf_append_str(b, "<li><div><b>");
	put_escaped(b, k->name);
	buf_append_str(b, "</b><p>");
	if (k->used_ms) {
		buf_printf(b, "%s ", word(W_PASSKEY_USED));
		put_since(b, k->used_ms, now_ms);
	} else {
		buf_append_str(b, word(W_PASSKEY_NEVER));
	}
	buf_printf(b, "%s</p></div>", k->synced ? word(W_PASSKEY_SYNCED) : "");
	snprintf(action, sizeof action, "/my/passkeys/%lld/remove", (long long)k->id);
	put_small_button(b, "", action, csrf, W_REMOVE);
	snprintf(action, sizeof action, "/my/passkeys/%lld", (long long)k->id);
	buf_printf(b, "<details><summary>%s</summary>", word(W_RENAME));
	put_form(b, action, csrf, "row");
	buf_printf(b, "<input class=\"input\" type=\"text\" name=\"name\" maxlength=\"%d\" required aria-label=\"%s\" value=\"", PASSKEY_NAME_MAX, word(W_PASSKEY_NAME));
	put_escaped(b, k->name);
	buf_printf(b, "\"><button type=\"submit\" class=\"button\" data-size=\"small\">%s</button></form></details></li>", word(W_SAVE));
}

static enum MHD_Result on_own_page(struct request *r, const struct reply *reply)
{
	const char *csrf = csrf_of(r, r->token);

	if (reply->e != OK || !csrf)
		return page_busy(r, 503);
	struct buf b = page_begin(r, W_PASSKEYS);
	put_word(&b, W_PASSKEYS_TEXT);
	if (reply->n_passkeys) {
		buf_append_str(&b, "<div class=\"card\"><ul class=\"devices\">");
		for (size_t i = 0; i < reply->n_passkeys; i++)
			put_own(&b, &reply->passkeys[i], csrf, clock_wall_ms());
		buf_append_str(&b, "</ul></div>");
	}
	bool some = passkey_put_add(r, &b, reply, &((struct passing *)r->keep)->owner, false);
	buf_printf(&b, "<p class=\"notice\"%s>%s</p>", some ? " data-without-passkey" : "", word(some ? W_PASSKEY_NO_SCRIPT : W_PASSKEY_NO_NAME));
	buf_append_str(&b, "<div class=\"row\">");
	put_link(&b, "", "/my", W_BACK);
	buf_append_str(&b, "</div>");
	return page_end(r, 200, &b);
}

/* false: *result is the answer. Somebody who has just signed in. */
static bool fresh_person(struct request *r, const struct reply *reply, enum MHD_Result *result)
{
	struct passing *p = passing_of(r);

	if (reply->e != OK || clock_wall_ms() - reply->signins[0].auth_ms > SIGNIN_FRESH_MS) {
		*result = answer_redirect(r, 303, "/login?to=/my/passkeys");
		return false;
	}
	if (p) {
		const struct user_row *u = &reply->users[0];
		p->owner.user_id = u->id;
		p->owner.tailnet_id = u->tailnet_id;
		p->owner.login = arena_str(&r->arena, bytes_str(u->email && u->email[0] ? u->email : u->name));
		r->actor = arena_printf(&r->arena, "user:%s", u->name);
	}
	if (!p || !p->owner.login || !r->actor) {
		*result = no_memory(r);
		return false;
	}
	return true;
}

static enum MHD_Result ask_own(struct request *r, const struct reply *reply, reply_handler *next)
{
	enum MHD_Result result;

	if (!fresh_person(r, reply, &result))
		return result;
	struct command *c = command_for(r, CMD_PASSKEY_LIST);
	if (c)
		c->key_text = command_str(c, r->token);
	return ask(r, c, next);
}

static enum MHD_Result on_page_signin(struct request *r, const struct reply *reply)
{
	return ask_own(r, reply, on_own_page);
}

enum MHD_Result passkey_page(struct request *r)
{
	return ask_signin(r, on_page_signin);
}

/* ---- adding ---- */

static enum MHD_Result not_added(struct request *r, unsigned status, const char *why)
{
	return page_sorry(r, status, W_PASSKEY_NOT_ADDED, why, "/my/passkeys");
}

static enum MHD_Result on_changed(struct request *r, const struct reply *reply)
{
	if (reply->e != OK)
		return not_added(r, status_of(reply->e), reply->message);
	return answer_redirect(r, 303, form_value(r, "start")[0] ? "/welcome" : "/my/passkeys");
}

static enum MHD_Result on_add(struct request *r, const struct reply *reply)
{
	char challenge[WEBAUTHN_CHALLENGE_LEN + 1];
	struct webauthn_made made;
	enum MHD_Result result;
	const char *why;

	if (!fresh_person(r, reply, &result))
		return result;
	if (!csrf_ok(r, r->token))
		return page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	struct passing *p = r->keep;
	struct login *l = r->api->cfg.login;
	const struct webauthn_want want = { &p->site, &l->seal, WEBAUTHN_ADD, r->token, clock_wall_ms() };
	struct bytes client_data = form_bytes(r, "client_data", WEBAUTHN_CLIENT_DATA_MAX);
	struct bytes attestation = form_bytes(r, "attestation", WEBAUTHN_ATTESTATION_MAX);
	if (!webauthn_site_of(r->api->cfg.server_url, &p->site) || !client_data.n || !attestation.n)
		return not_added(r, 400, "the browser's answer cannot be read");
	if (webauthn_check_made(&want, client_data, attestation, &made, challenge, &why) != OK)
		return not_added(r, 403, why);
	if (!flow_use(&l->passkeys_used, challenge))
		return not_added(r, 403, "this answer of the browser was used before");
	p->row = (struct passkey_row){ .credential = (uint8_t *)(uintptr_t)made.id.p, .n_credential = made.id.n, /* only read */
		.cose = (uint8_t *)(uintptr_t)made.cose.p, .n_cose = made.cose.n, .sign_count = made.count, .synced = made.synced,
		.name = arena_str(&r->arena, bytes_str(form_value(r, "name"))) };
	struct command *c = p->row.name ? command_for(r, CMD_PASSKEY_ADD) : NULL;
	if (c) {
		c->key_text = command_str(c, r->token);
		c->passkey = &p->row;
	}
	return ask(r, c, on_changed);
}

enum MHD_Result passkey_add(struct request *r)
{
	return ask_signin(r, on_add);
}

static enum MHD_Result change(struct request *r, const struct reply *reply, enum command_kind kind)
{
	enum MHD_Result result;

	if (!fresh_person(r, reply, &result))
		return result;
	if (!csrf_ok(r, r->token))
		return page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	int64_t id = parse_id(r, r->param[0], "the passkey's id");
	if (r->fault)
		return not_added(r, 404, r->fault);
	struct command *c = command_for(r, kind);
	if (c) {
		c->id = id;
		c->key_text = command_str(c, r->token);
		c->new_name = command_str(c, form_value(r, "name"));
	}
	return ask(r, c, on_changed);
}

static enum MHD_Result on_rename(struct request *r, const struct reply *reply)
{
	return change(r, reply, CMD_PASSKEY_RENAME);
}

enum MHD_Result passkey_rename(struct request *r)
{
	return ask_signin(r, on_rename);
}

static enum MHD_Result on_remove(struct request *r, const struct reply *reply)
{
	return change(r, reply, CMD_PASSKEY_DELETE);
}

enum MHD_Result passkey_remove(struct request *r)
{
	return ask_signin(r, on_remove);
}

/* ---- for admins ---- */

static enum MHD_Result on_list(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "passkeys"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_passkeys; i++) {
		const struct passkey_row *k = &reply->passkeys[i];
		jsonw_obj(&w);
		jsonw_key(&w, "id"), render_id(&w, k->id);
		jsonw_key(&w, "userId"), render_id(&w, k->user_id);
		jsonw_key(&w, "user"), jsonw_str(&w, reply->users[i].name);
		jsonw_key(&w, "name"), jsonw_str(&w, k->name);
		jsonw_key(&w, "synced"), jsonw_bool(&w, k->synced);
		jsonw_key(&w, "createdAt"), render_time(&w, k->created_ms);
		jsonw_key(&w, "lastUsed"), render_time(&w, k->used_ms);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

/* ?user=: only that user's. */
enum MHD_Result api_passkey_list(struct request *r)
{
	struct command *c = command_for(r, CMD_PASSKEY_LIST);

	if (c)
		c->user = command_str(c, query(r, "user"));
	return ask(r, c, on_list);
}

enum MHD_Result api_passkey_delete(struct request *r)
{
	struct command *c = command_for(r, CMD_PASSKEY_DELETE);

	if (c)
		c->id = parse_id(r, r->param[0], "the passkey's id");
	return ask(r, c, on_done);
}
