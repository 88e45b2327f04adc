#include "server/api/welcome.h"

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "server/api/browser.h"
#include "server/api/console_page.h"
#include "server/api/handlers.h"
#include "server/api/page.h"
#include "server/api/passkeys.h"
#include "server/api/server_checks.h"
#include "server/api/state.h"

enum { LOOK_AGAIN_S = 5 };

struct welcome { /* one request on its way; texts are in the arena */
	struct passkey_owner who;
	const char *home, *host;
	bool admin, fresh, password, provider, has_passkey;
	const char *sign_in;	      /* a piece of the page that is written already */
	const char *machine, *address; /* their newest one; NULL: none */
	size_t machines;
	int64_t asked_mono_ms;
};

static enum MHD_Result no_memory(struct request *r)
{
	return answer_error(r, 500, "out of memory");
}

/* ---- the systems ---- */

struct system {
	const char *id, *agent; /* agent: what a browser on it says of itself */
	enum word name, install, point;
	bool by_hand; /* an app: the address is entered there */
};

/* Of two that say the same, the first counts: phones say Linux, too. */
static const struct system systems[] = {
	{ "linux", NULL, W_ON_LINUX, W_GET_LINUX, W_POINT, false },
	{ "macos", "Macintosh", W_ON_MACOS, W_GET_MACOS, W_POINT, false },
	{ "windows", "Windows", W_ON_WINDOWS, W_GET_WINDOWS, W_POINT, false },
	{ "ios", "iPhone", W_ON_IOS, W_GET_IOS, W_POINT_IOS, true },
	{ "android", "Android", W_ON_ANDROID, W_GET_ANDROID, W_POINT_ANDROID, true },
};

static const struct system *system_of(struct request *r)
{
	const char *asked = query(r, "on"), *agent = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "User-Agent");

	for (size_t i = 0; i < ARRAY_LEN(systems); i++)
		if (strcmp(asked, systems[i].id) == 0)
			return &systems[i];
	for (size_t i = 0; agent && i < ARRAY_LEN(systems); i++)
		if (systems[i].agent && strstr(agent, systems[i].agent))
			return &systems[i];
	return &systems[0];
}

/* ---- steps ---- */

enum step_state { STEP_DONE, STEP_NOW, STEP_LATER };

/* note: beside the title, escaped; NULL: none. body follows, then step_end. */
static void step_begin(struct buf *b, enum step_state state, enum word title, const char *note)
{
	buf_printf(b, "<li class=\"step\"%s><header><h2>%s</h2>", state == STEP_DONE ? " data-state=\"done\"" : state == STEP_NOW ? " aria-current=\"step\"" : "",
			word(title));
	if (note) {
		buf_append_str(b, "<span class=\"muted\">");
		put_escaped(b, note);
		buf_append_str(b, "</span>");
	}
	buf_append_str(b, "</header><div class=\"body\">");
}

static void step_end(struct buf *b)
{
	buf_append_str(b, "</div></li>");
}

static void put_checks(struct request *r, struct buf *b, const struct reply *health)
{
	static const char *const tones[] = { [CHECK_OK] = "ok", [CHECK_UNKNOWN] = "none", [CHECK_WARN] = "warn", [CHECK_FAIL] = "danger" };
	static const char *const marks[] = { [CHECK_OK] = "✓", [CHECK_UNKNOWN] = "·", [CHECK_WARN] = "!", [CHECK_FAIL] = "✗" };
	const struct welcome *w = r->keep;
	struct server_checks k = { 0 };
	size_t bad = 0;

	server_checks_look(r, health, w->asked_mono_ms, w->machines, &k);
	for (size_t i = 0; i < k.n; i++)
		bad += k.check[i].state >= CHECK_WARN;
	const char *note = bad ? arena_printf(&r->arena, "%zu %s", bad, word(W_CHECKS_SOME)) : word(W_CHECKS_ALL);
	step_begin(b, STEP_DONE, W_STEP_CHECK, note);
	buf_append_str(b, "<ul class=\"checks\">");
	for (size_t i = 0; i < k.n; i++) {
		const struct server_check *c = &k.check[i];
		buf_printf(b, "<li data-tone=\"%s\"><span aria-hidden=\"true\">%s</span><div>%s", tones[c->state], marks[c->state], c->text);
		if (c->state >= CHECK_WARN && c->fix[0])
			buf_printf(b, " <small>%s</small>", c->fix);
		buf_append_str(b, "</div></li>");
	}
	buf_append_str(b, "</ul>");
	step_end(b);
}

static bool can_sign_in(const struct welcome *w)
{
	return w->has_passkey || w->password || w->provider;
}

static void put_sign_in(struct request *r, struct buf *b)
{
	const struct welcome *w = r->keep;
	enum word by = w->has_passkey ? W_BY_PASSKEY : w->provider ? W_BY_PROVIDER : W_BY_PASSWORD;
	const char *note = can_sign_in(w) ? arena_printf(&r->arena, "%s, %s", w->who.login, word(by)) : w->who.login;

	step_begin(b, can_sign_in(w) ? STEP_DONE : STEP_NOW, w->admin ? W_STEP_OWNER : W_STEP_SIGN_IN, note);
	if (!can_sign_in(w))
		buf_append_str(b, w->sign_in);
	step_end(b);
}

static void put_join(struct request *r, struct buf *b)
{
	const struct system *on = system_of(r);
	const char *url = r->api->cfg.server_url;

	buf_printf(b, "<nav class=\"segmented\" aria-label=\"%s\">", word(W_SYSTEM));
	for (size_t i = 0; i < ARRAY_LEN(systems); i++)
		buf_printf(b, "<a href=\"/welcome?on=%s\"%s>%s</a>", systems[i].id, &systems[i] == on ? " aria-current=\"true\"" : "", word(systems[i].name));
	buf_printf(b, "</nav><div class=\"stack\"><p>1. %s</p>", word(on->install));
	if (on == &systems[0])
		put_code(b, "curl -fsSL https://tailscale.com/install.sh | sh");
	buf_printf(b, "<p>2. %s</p>", word(on->point));
	if (on->by_hand) {
		put_code(b, url);
		put_qr(b, url, W_QR_SERVER);
	} else {
		const char *command = arena_printf(&r->arena, "%stailscale up --login-server %s", on == &systems[0] ? "sudo " : "", url);
		put_code(b, command ? command : url);
	}
	buf_append_str(b, "</div>");
}

static void put_machine(struct request *r, struct buf *b)
{
	const struct welcome *w = r->keep;
	bool now = can_sign_in(w);

	step_begin(b, w->machine ? STEP_DONE : now ? STEP_NOW : STEP_LATER, W_STEP_MACHINE, w->machine);
	if (w->machine) {
		buf_printf(b, "<p>%s %s.</p>", word(W_MACHINE_IN), w->address);
	} else {
		put_join(r, b);
		buf_printf(b, "<p class=\"waiting\" role=\"status\"><span class=\"pulse\"></span><span>%s</span>", word(now ? W_MACHINE_WAITS : W_MACHINE_LATER));
		if (now)
			buf_printf(b, "<a href=\"/welcome?on=%s%s\">%s</a>", system_of(r)->id, r->refresh_s ? "&amp;still=1" : "", word(r->refresh_s ? W_STAND_STILL : W_LOOK_AGAIN));
		buf_append_str(b, "</p>");
	}
	step_end(b);
}

static enum MHD_Result show(struct request *r, const struct reply *health)
{
	const struct welcome *w = r->keep;

	if (can_sign_in(w) && w->machine && query(r, "first")[0])
		return answer_redirect(r, 303, signin_landing(r, w->home));
	/* Not while somebody may be typing. */
	r->refresh_s = can_sign_in(w) && !w->machine && !query(r, "still")[0] ? LOOK_AGAIN_S : 0;
	struct buf b = page_begin_wide(r, w->admin ? W_WELCOME_THREE : W_WELCOME_TWO, w->who.login);
	buf_printf(&b, "<p class=\"muted\">%s <b>%s</b>. %s</p><ol class=\"steps\">", word(W_WELCOME_RUNS), w->host, word(W_WELCOME_TIME));
	if (w->admin)
		put_checks(r, &b, health);
	put_sign_in(r, &b);
	put_machine(r, &b);
	buf_append_str(&b, "</ol><div class=\"later\">");
	if (w->admin)
		buf_printf(&b, "<span>%s</span><a href=\"/console/settings/identity\">%s</a><a href=\"/console/users\">%s</a><a href=\"/console/access\">%s</a>",
				word(W_LATER), word(W_LATER_PROVIDER), word(W_LATER_INVITE), word(W_LATER_RULES));
	bool ready = can_sign_in(w) && w->machine;
	buf_printf(&b, "<a class=\"%s\"%s href=\"", ready ? "button push" : "push", ready ? " data-kind=\"primary\"" : "");
	put_escaped(&b, signin_landing_look(r, w->home));
	buf_printf(&b, "\">%s</a></div>", word(w->admin ? W_MY_CONSOLE : W_MY_OPEN));
	return page_end(r, 200, &b);
}

/* ---- what is known of them ---- */

static enum MHD_Result on_passkeys(struct request *r, const struct reply *reply)
{
	struct welcome *w = r->keep;
	struct buf b = buf_make(64 << 10);

	w->has_passkey = reply->e == OK && reply->n_passkeys;
	if (!w->fresh) {
		put_link(&b, "primary", "/my/passkeys", W_PASSKEY_ADD);
	} else if (passkey_put_add(r, &b, reply, &w->who, true)) {
		buf_printf(&b, "<p class=\"or\">%s</p>", word(W_OR));
	}
	put_link(&b, "", "/my/password?start=1", W_START_PASSWORD);
	w->sign_in = b.bad ? NULL : arena_str(&r->arena, buf_view(&b));
	buf_done(&b);
	if (!w->sign_in)
		return no_memory(r);
	if (can_sign_in(w))
		r->page_script = false;
	w->asked_mono_ms = clock_mono_ms();
	return w->admin ? ask(r, command_for(r, CMD_HEALTH), show) : show(r, reply);
}

static enum MHD_Result on_nodes(struct request *r, const struct reply *reply)
{
	struct welcome *w = r->keep;
	const struct node_info *newest = NULL;
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; reply->e == OK && i < reply->n_nodes; i++)
		if (reply->nodes[i]->row.user_id == w->who.user_id && (!newest || reply->nodes[i]->row.created_ms > newest->row.created_ms))
			newest = reply->nodes[i];
	w->machines = reply->n_nodes;
	if (newest) {
		w->machine = arena_str(&r->arena, bytes_str(newest->row.given_name));
		w->address = arena_str(&r->arena, bytes_str(addr_text(newest->row.v4.family ? newest->row.v4 : newest->row.v6, text)));
		if (!w->machine || !w->address)
			return no_memory(r);
	}
	struct command *c = command_for(r, CMD_PASSKEY_LIST);
	if (c)
		c->key_text = command_str(c, r->token);
	return ask(r, c, on_passkeys);
}

static enum MHD_Result on_person(struct request *r, const struct reply *reply)
{
	struct welcome *w = r->keep;

	if (reply->e != OK || !reply->n_users)
		return page_busy(r, 503);
	w->password = reply->people[0].password;
	w->provider = reply->people[0].identities != 0;
	struct command *c = command_for(r, CMD_NODE_LIST);
	if (c)
		c->user = arena_printf(&c->arena, "%lld", (long long)w->who.user_id);
	return ask(r, c, on_nodes);
}

static enum MHD_Result on_signin(struct request *r, const struct reply *reply)
{
	struct welcome *w = arena_alloc(&r->arena, sizeof *w);

	if (reply->e != OK)
		return page_say(r, 403, W_WELCOME, W_WELCOME_BY_LINK);
	if (!w)
		return no_memory(r);
	const struct user_row *u = &reply->users[0];
	const char *host = strstr(r->api->cfg.server_url, "//");
	w->who = (struct passkey_owner){ arena_str(&r->arena, bytes_str(u->email && u->email[0] ? u->email : u->name)), u->id, u->tailnet_id };
	w->home = signin_home(u);
	w->admin = strcmp(w->home, "/my") != 0;
	w->fresh = clock_wall_ms() - reply->signins[0].auth_ms <= SIGNIN_FRESH_MS;
	w->host = host ? host + 2 : "";
	if (!w->who.login)
		return no_memory(r);
	r->keep = w;
	struct command *c = command_for(r, CMD_PEOPLE);
	int64_t *id = c ? arena_array(&c->arena, 1, sizeof *id) : NULL;
	if (!id) {
		command_free(c);
		return no_memory(r);
	}
	*id = u->id;
	c->ids = id;
	c->n_ids = 1;
	return ask(r, c, on_person);
}

enum MHD_Result welcome_page(struct request *r)
{
	return ask_signin(r, on_signin);
}
