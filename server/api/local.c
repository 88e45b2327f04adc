#include "server/api/local.h"

#include <sodium.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "server/api/browser.h"
#include "server/api/console_page.h"
#include "server/api/handlers.h"
#include "server/api/page.h"
#include "server/api/passkeys.h"
#include "server/api/render.h"
#include "server/api/state.h"
#include "server/api/worker.h"
#include "server/login/totp.h"

enum {
	PASSWORD_MIN = 10, /* characters */
	PASSWORD_MAX = 128,
	LINK_TTL_MS = 60 * 60 * 1000,
	NAME_MAX_LEN = 255,
};

struct local { /* one request on its way */
	const char *name, *code, *auth_id;
	char *password; /* wiped when it was looked at */
	struct account_row account; /* found, or to be set; password in the arena */
	bool found;
	const char *csrf;
	const char *title; /* of the user */
	const char *start; /* not "": on to /welcome afterwards */
	char user[RATE_NAME_LEN]; /* whose tries are paid, beside the address */
};

static struct local *local_of(struct request *r)
{
	if (!r->keep)
		r->keep = arena_alloc(&r->arena, sizeof(struct local));
	return r->keep;
}

static enum MHD_Result no_memory(struct request *r)
{
	return answer_error(r, 500, "out of memory");
}

/* ---- how often somebody may try ---- */

/* A try is paid before the password is looked at, so that many at once are no more than many in turn. A right one is free. */
static bool take_try(struct request *r, struct rate *from, char name[RATE_NAME_LEN])
{
	unsigned wait_s = 0;
	bool ok = rate_take(from, name, clock_mono_ms(), &wait_s);

	if (!ok)
		r->retry_after_s = wait_s ? wait_s : 1;
	return ok;
}

static void address_name(struct request *r, char name[RATE_NAME_LEN])
{
	struct addr key = addr_limit_key(client_of(r));

	memset(name, 0, RATE_NAME_LEN);
	name[0] = 'f';
	name[1] = (char)key.family;
	memcpy(name + 2, key.b, 16);
}

bool local_take_address_try(struct request *r)
{
	char name[RATE_NAME_LEN];

	address_name(r, name);
	return take_try(r, &r->api->guesses, name);
}

void local_give_address_try(struct request *r)
{
	char name[RATE_NAME_LEN];

	address_name(r, name);
	rate_give(&r->api->guesses, name);
}

/* One person may be called by several names: where there is an account, its user counts. */
static bool take_user_try(struct request *r)
{
	struct local *l = r->keep;
	char name[NAME_MAX_LEN + 1];

	if (l->found)
		snprintf(name, sizeof name, "%lld", (long long)l->account.user_id);
	else
		snprintf(name, sizeof name, "%s", l->name);
	for (char *p = name; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
	l->user[0] = l->found ? 'i' : 'n';
	crypto_generichash((uint8_t *)l->user + 1, 16, (const uint8_t *)name, strlen(name), NULL, 0);
	return take_try(r, &r->api->user_guesses, l->user);
}

static void give_tries_back(struct request *r)
{
	const struct local *l = r->keep;

	local_give_address_try(r);
	rate_give(&r->api->user_guesses, l->user);
}

/* ---- /login ---- */

static void put_input(struct buf *b, enum word label, const char *name, const char *type, const char *complete)
{
	buf_printf(b, "<div class=\"field\"><label for=\"%s\">%s</label><input class=\"input\" type=\"%s\" id=\"%s\" name=\"%s\" autocomplete=\"%s\""
			" maxlength=\"%d\" required></div>",
			name, word(label), type, name, name, complete, NAME_MAX_LEN);
}

void local_put_form(struct request *r, struct buf *b, const char *auth_id)
{
	passkey_put_login(r, b, auth_id);
	put_form(b, "/login", NULL, "stack");
	put_hidden(b, "connect", auth_id);
	put_input(b, W_LOCAL_NAME, "name", "text", "username");
	put_input(b, W_LOCAL_PASSWORD, "password", "password", "current-password");
	put_input(b, W_LOCAL_CODE, "code", "text", "one-time-code");
	buf_printf(b, "<button type=\"submit\" class=\"button\">%s</button></form>", word(W_LOCAL_SIGN_IN));
}

static enum MHD_Result wrong(struct request *r)
{
	struct local *l = r->keep;

	log_warn("a sign-in failed", "name=%s from=%s", log_qs(l->name).s, addr_text(client_of(r), (char[ADDR_TEXT_MAX]){ 0 }));
	signin_failed(r, "password", l->name, "a wrong name, password or code");
	struct buf b = page_begin(r, W_LOCAL_WRONG);
	buf_printf(&b, "<p class=\"notice\" data-tone=\"warn\" role=\"alert\">%s</p>", word(W_LOCAL_WRONG_TEXT));
	local_put_form(r, &b, l->auth_id);
	return page_end(r, 403, &b);
}

static enum MHD_Result on_local_signed_in(struct request *r, const struct reply *reply)
{
	struct local *l = r->keep;

	if (reply->e == ERR_AUTH)
		return wrong(r);
	if (reply->e != OK)
		return page_refused(r, status_of(reply->e), reply->message, NULL);
	give_tries_back(r);
	const char *token = arena_str(&r->arena, bytes_str(reply->secret));
	if (!token)
		return no_memory(r);
	signin_begin(r, token);
	return answer_redirect(r, 303, signin_target(r, l->auth_id));
}

/* On a worker. A name that is not there takes as long as one that is. */
static void check_password(struct request *r, struct reply *reply)
{
	static const char nobody[] = "$argon2id$v=19$m=65536,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	struct local *l = r->keep;
	bool fits = crypto_pwhash_str_verify(l->found ? l->account.password : nobody, l->password, strlen(l->password)) == 0;

	sodium_memzero(l->password, strlen(l->password));
	reply->e = fits && l->found ? OK : ERR_AUTH;
	reply->message = "wrong name, password or code";
}

static enum MHD_Result on_password_checked(struct request *r, const struct reply *reply)
{
	struct local *l = r->keep;

	if (reply->e != OK)
		return wrong(r);
	int64_t step = totp_check(l->account.totp, l->code, clock_wall_ms(), l->account.totp_step);
	if (!step)
		return wrong(r);
	struct command *c = command_for(r, CMD_ACCOUNT_LOGIN);
	if (c) {
		c->account = l->account;
		c->account.totp_step = step;
		signin_fill(r, c);
	}
	return ask(r, c, on_local_signed_in);
}

static enum MHD_Result on_account(struct request *r, const struct reply *reply)
{
	struct local *l = r->keep;

	if (reply->e == OK) {
		l->account = reply->account;
		l->account.password = arena_str(&r->arena, bytes_str(reply->account.password));
		l->found = l->account.password != NULL;
	} else if (reply->e != ERR_NOT_FOUND) {
		return page_busy(r, status_of(reply->e));
	}
	if (!take_user_try(r))
		return page_trouble(r, 429);
	return work_for(r, check_password, on_password_checked);
}

enum MHD_Result local_login(struct request *r)
{
	struct local *l = local_of(r);

	if (!l)
		return no_memory(r);
	if (!is_own_page(r))
		return page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	l->name = form_value(r, "name");
	l->code = form_value(r, "code");
	l->auth_id = form_value(r, "connect");
	l->password = arena_str(&r->arena, bytes_str(form_value(r, "password")));
	if (!l->password)
		return no_memory(r);
	if (l->auth_id[0] && !is_auth_id(l->auth_id))
		return page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
	if (!local_take_address_try(r))
		return page_trouble(r, 429);
	if (!l->name[0] || strlen(l->name) > NAME_MAX_LEN || strlen(l->password) > PASSWORD_MAX)
		return wrong(r);
	struct command *c = command_for(r, CMD_ACCOUNT_GET);
	if (c)
		c->user = command_str(c, l->name);
	return ask(r, c, on_account);
}

/* ---- /welcome ---- */

static enum MHD_Result on_welcome_look(struct request *r, const struct reply *reply)
{
	if (reply->e != OK)
		return page_say(r, 404, W_SORRY, W_WELCOME_OLD);
	const char *to = arena_printf(&r->arena, "/welcome/%s", r->param[0]);
	if (!to)
		return no_memory(r);
	struct buf b = page_begin(r, W_WELCOME);
	put_word(&b, W_WELCOME_TEXT);
	buf_append_str(&b, "<dl>");
	put_fact(&b, W_SIGNED_IN_AS, reply->users[0].name);
	buf_append_str(&b, "</dl><div class=\"row\">");
	put_button(&b, "primary", to, NULL, W_LOCAL_SIGN_IN);
	buf_append_str(&b, "</div>");
	return page_end(r, 200, &b);
}

static enum MHD_Result with_link(struct request *r, enum command_kind kind, reply_handler *next)
{
	struct command *c = command_for(r, kind);

	if (c) {
		c->key_text = command_str(c, r->param[0]);
		signin_fill(r, c);
	}
	return ask(r, c, next);
}

enum MHD_Result local_page_welcome(struct request *r)
{
	return with_link(r, CMD_LINK_LOOK, on_welcome_look);
}

static enum MHD_Result on_welcome(struct request *r, const struct reply *reply)
{
	if (reply->e == ERR_AUTH)
		return page_say(r, 404, W_SORRY, W_WELCOME_OLD);
	if (reply->e != OK)
		return page_refused(r, status_of(reply->e), reply->message, NULL);
	const char *token = arena_str(&r->arena, bytes_str(reply->secret));
	if (!token)
		return no_memory(r);
	signin_begin(r, token);
	return answer_redirect(r, 303, "/welcome?first=1");
}

enum MHD_Result local_welcome(struct request *r)
{
	return is_own_page(r) ? with_link(r, CMD_LINK_USE, on_welcome) : page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
}

/* ---- /my/password ---- */

static enum MHD_Result password_form(struct request *r, unsigned status, enum word note, const char *totp)
{
	const struct local *l = r->keep;
	uint8_t secret[TOTP_SECRET_LEN];
	char text[TOTP_TEXT_LEN + 1];

	if (totp_parse(totp, secret) != OK)
		random_fill(secret, sizeof secret);
	totp_text(secret, text);
	struct buf b = page_begin(r, W_PASSWORD);
	buf_printf(&b, "<p%s>%s</p>", status == 200 ? "" : " class=\"notice\" data-tone=\"warn\" role=\"alert\"", word(note));
	put_form(&b, "/my/password", l->csrf, "stack");
	put_hidden(&b, "totp", text);
	put_hidden(&b, "start", l->start);
	buf_append_str(&b, "<input type=\"text\" name=\"username\" autocomplete=\"username\" hidden value=\"");
	put_escaped(&b, l->title);
	buf_append_str(&b, "\">"); /* for password managers */
	put_input(&b, W_PASSWORD_NEW, "password", "password", "new-password");
	put_input(&b, W_PASSWORD_AGAIN, "again", "password", "new-password");
	buf_printf(&b, "<p>%s</p><pre>%.4s %.4s %.4s %.4s %.4s %.4s %.4s %.4s</pre><p class=\"muted\">", word(W_PASSWORD_APP), text, text + 4, text + 8,
			text + 12, text + 16, text + 20, text + 24, text + 28);
	buf_append_str(&b, "<a href=\"otpauth://totp/Fairlead:");
	for (const unsigned char *c = (const unsigned char *)l->title; *c; c++)
		buf_printf(&b, (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') ? "%c" : "%%%02X", *c);
	buf_printf(&b, "?secret=%s&amp;issuer=Fairlead\">%s</a></p>", text, word(W_PASSWORD_APP_LINK));
	put_input(&b, W_LOCAL_CODE, "code", "text", "one-time-code");
	buf_printf(&b, "<button type=\"submit\" class=\"button\" data-kind=\"primary\">%s</button></form>", word(W_PASSWORD_SAVE));
	return page_end(r, status, &b);
}

/* false: *result is the answer. Somebody who has just signed in. */
static bool fresh_person(struct request *r, const struct reply *reply, enum MHD_Result *result)
{
	struct local *l = local_of(r);

	if (reply->e != OK || clock_wall_ms() - reply->signins[0].auth_ms > SIGNIN_FRESH_MS) {
		*result = answer_redirect(r, 303, "/login?to=/my/password");
		return false;
	}
	if (l) {
		l->csrf = csrf_of(r, r->token);
		l->start = query(r, "start")[0] || form_value(r, "start")[0] ? "1" : "";
		l->title = arena_str(&r->arena, bytes_str(reply->users[0].name));
	}
	if (!l || !l->csrf || !l->title) {
		*result = no_memory(r);
		return false;
	}
	return true;
}

static enum MHD_Result on_password_page(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	return fresh_person(r, reply, &result) ? password_form(r, 200, W_PASSWORD_TEXT, "") : result;
}

enum MHD_Result local_page_password(struct request *r)
{
	return ask_signin(r, on_password_page);
}

static enum MHD_Result on_password_saved(struct request *r, const struct reply *reply)
{
	if (reply->e != OK)
		return page_refused(r, status_of(reply->e), reply->message, "/my/password");
	if (((struct local *)r->keep)->start[0])
		return answer_redirect(r, 303, "/welcome");
	struct buf b = page_begin(r, W_PASSWORD_SAVED);
	put_word(&b, W_PASSWORD_SAVED_TEXT);
	buf_append_str(&b, "<div class=\"row\">");
	put_link(&b, "primary", "/my", W_DONE_LINK);
	buf_append_str(&b, "</div>");
	return page_end(r, 200, &b);
}

/* On a worker. */
static void hash_password(struct request *r, struct reply *reply)
{
	struct local *l = r->keep;
	char *out = arena_alloc(&reply->arena, crypto_pwhash_STRBYTES);

	if (!out || crypto_pwhash_str_alg(out, l->password, strlen(l->password), crypto_pwhash_OPSLIMIT_INTERACTIVE,
				    crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) != 0) {
		reply->e = ERR_NOMEM;
		reply->message = "out of memory";
	}
	sodium_memzero(l->password, strlen(l->password));
	reply->text = out;
}

static enum MHD_Result on_password_hashed(struct request *r, const struct reply *reply)
{
	struct local *l = r->keep;

	if (reply->e != OK)
		return page_busy(r, 503);
	r->actor = arena_printf(&r->arena, "user:%s", l->title);
	struct command *c = command_for(r, CMD_ACCOUNT_SET);
	if (c) {
		c->key_text = command_str(c, r->token);
		c->account = l->account;
		c->account.password = arena_str(&c->arena, bytes_str(reply->text));
		if (!c->account.password) {
			command_free(c);
			c = NULL;
		}
	}
	return ask(r, c, on_password_saved);
}

static enum MHD_Result on_password_post(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	if (!fresh_person(r, reply, &result))
		return result;
	if (!csrf_ok(r, r->token))
		return page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	struct local *l = r->keep;
	const char *totp = form_value(r, "totp"), *again = form_value(r, "again");
	l->password = arena_str(&r->arena, bytes_str(form_value(r, "password")));
	if (!l->password)
		return no_memory(r);
	if (strlen(l->password) < PASSWORD_MIN || strlen(l->password) > PASSWORD_MAX)
		return password_form(r, 400, W_PASSWORD_SHORT, totp);
	if (strcmp(l->password, again) != 0)
		return password_form(r, 400, W_PASSWORD_DIFFERS, totp);
	if (totp_parse(totp, l->account.totp) != OK)
		return password_form(r, 400, W_PASSWORD_CODE, "");
	l->account.totp_step = totp_check(l->account.totp, form_value(r, "code"), clock_wall_ms(), 0);
	if (!l->account.totp_step)
		return password_form(r, 400, W_PASSWORD_CODE, totp);
	return work_for(r, hash_password, on_password_hashed);
}

enum MHD_Result local_password(struct request *r)
{
	return ask_signin(r, on_password_post);
}

/* ---- for admins ---- */

static enum MHD_Result on_link(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out, url = buf_make(2048);
	struct jsonw w = answer_begin(&out);
	buf_printf(&url, "%s/welcome/%s", r->api->cfg.server_url, reply->secret);
	jsonw_key(&w, "url"), jsonw_bytes(&w, buf_view(&url));
	jsonw_key(&w, "user"), render_user(&w, &reply->users[0]);
	jsonw_key(&w, "expiresAt"), render_time(&w, reply->signins[0].expires_ms);
	buf_done(&url);
	return answer_end(r, &w, &out);
}

/* {"user"}: a link that signs a browser in as this user, once, within an hour. */
enum MHD_Result api_link_make(struct request *r)
{
	const char *user = body_id(r, "user");
	struct command *c = command_for(r, CMD_LINK_MAKE);

	if (c) {
		c->user = command_str(c, user);
		c->expires_ms = clock_wall_ms() + LINK_TTL_MS;
	}
	return ask(r, c, on_link);
}

/* ?user=: that user has no password any more. */
enum MHD_Result api_account_delete(struct request *r)
{
	struct command *c = command_for(r, CMD_ACCOUNT_DELETE);

	if (c)
		c->user = command_str(c, query(r, "user"));
	return ask(r, c, on_done);
}
