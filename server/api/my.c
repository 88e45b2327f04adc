#include "server/api/my.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "server/api/browser.h"
#include "server/api/handlers.h"
#include "server/api/page.h"
#include "server/api/state.h"

enum { SOON_DAYS = 7, LOOK_AGAIN_S = 10 };

struct my { /* one request on its way; texts are in the arena */
	const char *name, *login, *csrf;
	int64_t id, signin, auth_ms;
	bool console;
	const char *devices, *reach, *sessions; /* pieces of the page that are written already */
	const char *source;			/* a device of theirs, to ask for what they reach; NULL: none */
	enum command_kind kind;			/* of a change */
};

static enum MHD_Result no_memory(struct request *r)
{
	return answer_error(r, 500, "out of memory");
}

/* false: *result is the answer. */
static bool is_person(struct request *r, const struct reply *reply, enum MHD_Result *result)
{
	struct my *m = arena_alloc(&r->arena, sizeof *m);

	if (reply->e != OK) {
		*result = answer_redirect(r, strcmp(r->route->method, "GET") == 0 ? 302 : 303, "/login");
		return false;
	}
	if (m) {
		const struct user_row *u = &reply->users[0];
		const char *shown = u->email && u->email[0] ? u->email : u->name;
		m->name = arena_str(&r->arena, bytes_str(u->name));
		m->login = arena_str(&r->arena, bytes_str(shown));
		m->csrf = csrf_of(r, r->token);
		m->id = u->id;
		m->signin = reply->signins[0].id;
		m->auth_ms = reply->signins[0].auth_ms;
		m->console = strcmp(signin_home(u), "/my") != 0;
		r->actor = arena_printf(&r->arena, "user:%s", u->name);
	}
	if (!m || !m->name || !m->login || !m->csrf || !r->actor) {
		*result = no_memory(r);
		return false;
	}
	r->keep = m;
	return true;
}

/* The same, and the form is from our own page. */
static bool is_own_form(struct request *r, const struct reply *reply, enum MHD_Result *result)
{
	if (!is_person(r, reply, result))
		return false;
	if (csrf_ok(r, r->token))
		return true;
	*result = page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	return false;
}

static const char *piece(struct request *r, struct buf *b)
{
	const char *text = b->bad ? NULL : arena_str(&r->arena, buf_view(b));

	buf_done(b);
	return text;
}

static enum MHD_Result failed(struct request *r, const struct reply *reply)
{
	return page_sorry(r, status_of(reply->e), W_MY_FAILED, reply->message ? reply->message : "", "/my");
}

/* ---- devices ---- */

static void put_state(struct buf *b, const struct node_info *n, int64_t now_ms)
{
	char text[ADDR_TEXT_MAX];

	buf_printf(b, "<p><span class=\"dot\" data-state=\"%s\"></span>", n->online ? "online" : "offline");
	if (n->online) {
		buf_append_str(b, word(W_MY_ONLINE));
	} else if (n->row.last_seen_ms) {
		buf_printf(b, "%s ", word(W_MY_SEEN));
		put_since(b, n->row.last_seen_ms, now_ms);
	} else {
		buf_append_str(b, word(W_MY_OFFLINE));
	}
	if (n->os && n->os[0]) {
		buf_append_str(b, " · ");
		put_escaped(b, system_name(n->os));
	}
	buf_printf(b, " · %s</p>", addr_text(n->row.v4.family ? n->row.v4 : n->row.v6, text));
}

static void put_device(struct buf *b, const struct node_info *n, const char *csrf, int64_t now_ms)
{
	char action[96];
	int64_t days = n->row.expires_ms ? (n->row.expires_ms - now_ms) / DAY_MS : INT64_MAX;
	bool soon = n->row.expires_ms && (n->expired || days < SOON_DAYS);

	buf_append_str(b, "<li><div><b>");
	put_escaped(b, n->row.given_name);
	buf_append_str(b, "</b>");
	put_state(b, n, now_ms);
	buf_append_str(b, "</div><span class=\"row\">");
	if (!n->approved)
		buf_printf(b, "<span class=\"chip\" data-tone=\"warn\">%s</span>", word(W_MY_WAITS));
	if (n->expired)
		buf_printf(b, "<span class=\"chip\" data-tone=\"warn\">%s</span>", word(W_MY_EXPIRED));
	else if (soon)
		buf_printf(b, "<span class=\"chip\" data-tone=\"warn\">%s %lld %s</span>", word(W_MY_ENDS), (long long)days, word(W_DAYS));
	snprintf(action, sizeof action, "/my/devices/%lld/renew", (long long)n->row.id);
	if (soon)
		put_small_button(b, "", action, csrf, W_RENEW);
	buf_printf(b, "</span><details><summary>%s<span class=\"hidden\"> ", word(W_CHANGE));
	put_escaped(b, n->row.given_name);
	buf_append_str(b, "</span></summary><div class=\"stack\">");
	snprintf(action, sizeof action, "/my/devices/%lld/rename", (long long)n->row.id);
	put_form(b, action, csrf, "row");
	buf_printf(b, "<input class=\"input\" type=\"text\" name=\"name\" maxlength=\"63\" required autocapitalize=\"none\" autocomplete=\"off\" aria-label=\"%s ", word(W_NEW_NAME));
	put_escaped(b, n->row.given_name);
	buf_append_str(b, "\" value=\"");
	put_escaped(b, n->row.given_name);
	buf_printf(b, "\"><button type=\"submit\" class=\"button\" data-size=\"small\">%s</button></form><div class=\"row\">", word(W_RENAME));
	if (!soon && n->row.expires_ms) {
		snprintf(action, sizeof action, "/my/devices/%lld/renew", (long long)n->row.id);
		put_small_button(b, "", action, csrf, W_RENEW);
	}
	if (!n->expired) {
		snprintf(action, sizeof action, "/my/devices/%lld/sign-out", (long long)n->row.id);
		put_small_button(b, "", action, csrf, W_SIGN_OUT);
	}
	buf_printf(b, "<a class=\"button\" data-size=\"small\" href=\"/my/devices/%lld/remove\">%s</a></div></div></details></li>", (long long)n->row.id, word(W_REMOVE_ASK));
}

/* ---- what they reach ---- */

static void put_text(struct buf *b, const json_t *list, const char *none)
{
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n; i++) {
		const char *one = json_string_value(json_array_get(list, i));
		put_escaped(b, i ? ", " : "");
		put_escaped(b, one && strcmp(one, "*") == 0 ? word(W_ALL_PORTS) : one ? one : "");
	}
	if (!n)
		put_escaped(b, none);
}

/* Groups of devices that are reached on the same ports, so that a person reads a few lines. */
static void put_reach(struct buf *b, const json_t *answer)
{
	const json_t *nodes = json_object_get(answer, "nodes"), *beyond = json_object_get(answer, "beyond");
	size_t n = json_array_size(nodes), groups = 0;
	CLEANUP(freep) bool *done = calloc(n + 1, sizeof *done);

	for (size_t i = 0; done && i < n && groups < MY_REACH_GROUPS; i++) {
		const json_t *ports = json_object_get(json_array_get(nodes, i), "ports");
		size_t shown = 0;
		if (done[i])
			continue;
		groups++;
		buf_append_str(b, "<li><div><p>");
		for (size_t k = i; k < n; k++) {
			const json_t *other = json_array_get(nodes, k);
			if (done[k] || !json_equal(json_object_get(other, "ports"), ports))
				continue;
			done[k] = true;
			if (shown < MY_REACH_NAMES) {
				buf_append_str(b, shown ? ", " : "");
				put_escaped(b, json_string_value(json_object_get(other, "name")));
			} else if (shown == MY_REACH_NAMES) {
				buf_printf(b, " %s", word(W_AND_MORE));
			}
			shown++;
		}
		buf_append_str(b, "</p></div><span class=\"muted\">");
		put_text(b, ports, word(W_ALL_PORTS));
		buf_append_str(b, "</span></li>");
	}
	for (size_t i = 0; i < json_array_size(beyond) && i < MY_REACH_GROUPS; i++) {
		const json_t *d = json_array_get(beyond, i), *routers = json_object_get(d, "routers");
		const char *to = json_string_value(json_object_get(d, "destination"));
		if (!json_array_size(routers))
			continue; /* nobody leads there */
		buf_append_str(b, "<li><div><b>");
		put_escaped(b, to && strcmp(to, "autogroup:internet") == 0 ? word(W_INTERNET) : to);
		buf_printf(b, "</b><p>%s ", word(W_THROUGH));
		put_text(b, routers, "");
		buf_append_str(b, "</p></div><span class=\"muted\">");
		put_text(b, json_object_get(d, "ports"), word(W_ALL_PORTS));
		buf_append_str(b, "</span></li>");
	}
	if (!groups && !json_array_size(beyond))
		buf_printf(b, "<li><p>%s</p></li>", word(W_REACH_NONE));
}

/* ---- the page ---- */

static enum MHD_Result on_passkeys(struct request *r, const struct reply *reply)
{
	const struct my *m = r->keep;
	struct buf b = page_begin_wide(r, W_MY, m->login);

	if (m->console)
		buf_printf(&b, "<p><a href=\"/console/\">%s</a></p>", word(W_MY_CONSOLE));
	buf_append_str(&b, "<div class=\"columns\"><div><section class=\"card\"><ul class=\"devices\">");
	buf_append_str(&b, m->devices);
	buf_append_str(&b, "</ul></section>");
	if (m->reach) {
		buf_printf(&b, "<section class=\"card\"><header><h2>%s</h2><a class=\"button\" data-kind=\"quiet\" data-size=\"small\" href=\"/my/missing\">%s</a></header><ul class=\"devices\">", word(W_REACH), word(W_MISSING));
		buf_append_str(&b, m->reach);
		buf_append_str(&b, "</ul></section>");
	}
	buf_printf(&b, "</div><div><section class=\"card\"><header><h2>%s</h2></header><div class=\"body stack\"><p>%s</p><pre>tailscale up --login-server ", word(W_ADD),
			word(W_ADD_COMPUTER));
	put_escaped(&b, r->api->cfg.server_url);
	buf_printf(&b, "</pre><p>%s</p>", word(W_ADD_KEY));
	put_button(&b, "", "/my/add", m->csrf, W_ADD_KEY_MAKE);
	buf_printf(&b, "</div></section><section class=\"card\"><header><h2>%s</h2></header><ul class=\"devices\"><li><div><b>%s</b><p>", word(W_HOW), word(W_PASSKEYS));
	if (reply->e == OK && reply->n_passkeys)
		for (size_t i = 0; i < reply->n_passkeys; i++) {
			put_escaped(&b, i ? ", " : "");
			put_escaped(&b, reply->passkeys[i].name);
		}
	else
		buf_append_str(&b, word(W_PASSKEYS_NONE));
	buf_printf(&b, "</p></div><a class=\"button\" data-size=\"small\" href=\"/my/passkeys\">%s</a></li>", word(W_CHANGE));
	buf_printf(&b, "<li><div><b>%s</b><p>%s</p></div><a class=\"button\" data-size=\"small\" href=\"/my/password\">%s</a></li></ul></section>", word(W_LOCAL_PASSWORD),
			word(W_PASSWORD_WHAT), word(W_MY_PASSWORD));
	buf_printf(&b, "<section class=\"card\"><header><h2>%s</h2></header><ul class=\"devices\">", word(W_SESSIONS));
	buf_append_str(&b, m->sessions);
	buf_append_str(&b, "</ul></section></div></div>");
	return page_end(r, 200, &b);
}

static const char *browser_name(const char *agent)
{
	static const char *const names[][2] = { { "Edg/", "Edge" }, { "Firefox/", "Firefox" }, { "Chrome/", "Chrome" }, { "Safari/", "Safari" } };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strstr(agent, names[i][0]))
			return names[i][1];
	return word(W_BROWSER);
}

static enum MHD_Result on_sessions(struct request *r, const struct reply *reply)
{
	struct my *m = r->keep;
	struct buf b = buf_make(64 << 10);
	char action[64];

	for (size_t i = 0; reply->e == OK && i < reply->n_signins; i++) {
		const struct signin_row *s = &reply->signins[i];
		if (s->user_id != m->id || s->kind != SIGNIN_BROWSER)
			continue;
		buf_printf(&b, "<li><div><b>%s</b><p>%s ", browser_name(s->agent), word(W_SIGNED_IN));
		put_since(&b, s->auth_ms, clock_wall_ms());
		buf_append_str(&b, s->remote[0] ? " · " : "");
		put_escaped(&b, s->remote);
		buf_append_str(&b, "</p></div>");
		snprintf(action, sizeof action, "/my/sessions/%lld/end", (long long)s->id);
		if (s->id == m->signin)
			buf_printf(&b, "<span class=\"chip\">%s</span>", word(W_THIS_ONE));
		else
			put_small_button(&b, "", action, m->csrf, W_SIGN_OUT);
		buf_append_str(&b, "</li>");
	}
	m->sessions = piece(r, &b);
	if (!m->sessions)
		return no_memory(r);
	struct command *c = command_for(r, CMD_PASSKEY_LIST);
	if (c)
		c->key_text = command_str(c, r->token);
	return ask(r, c, on_passkeys);
}

static enum MHD_Result ask_sessions(struct request *r)
{
	const struct my *m = r->keep;
	struct command *c = command_for(r, CMD_SIGNIN_LIST);

	if (c)
		c->user = arena_printf(&c->arena, "%lld", (long long)m->id);
	return ask(r, c, on_sessions);
}

static enum MHD_Result on_reach(struct request *r, const struct reply *reply)
{
	struct my *m = r->keep;
	CLEANUP(json_decrefp) json_t *answer = reply->e == OK && reply->text ? json_loads(reply->text, 0, NULL) : NULL;

	if (answer) { /* else the page goes without it: the question may be too much at once */
		struct buf b = buf_make(256 << 10);
		put_reach(&b, answer);
		m->reach = piece(r, &b);
	}
	return ask_sessions(r);
}

static enum MHD_Result on_nodes(struct request *r, const struct reply *reply)
{
	struct my *m = r->keep;
	struct buf b = buf_make(512 << 10);
	size_t shown = 0;

	if (reply->e != OK) {
		buf_done(&b);
		return page_busy(r, 503);
	}
	for (size_t i = 0; i < reply->n_nodes; i++) {
		const struct node_info *n = reply->nodes[i];
		if (n->row.user_id != m->id)
			continue;
		put_device(&b, n, m->csrf, clock_wall_ms());
		if (n->approved && !n->expired && !m->source)
			m->source = arena_str(&r->arena, bytes_str(n->row.given_name));
		shown++;
	}
	if (!shown)
		buf_printf(&b, "<li><p>%s</p></li>", word(W_MY_NONE));
	m->devices = piece(r, &b);
	if (!m->devices)
		return no_memory(r);
	if (!m->source)
		return ask_sessions(r);
	struct command *c = command_for(r, CMD_POLICY_WHAT);
	if (c)
		c->name = command_str(c, m->source);
	return ask(r, c, on_reach);
}

/* Approved or not is the one thing that matters to them; it goes on by itself. */
static enum MHD_Result waits(struct request *r)
{
	const struct my *m = r->keep;
	struct buf b = buf_make(8 << 10);

	r->refresh_s = LOOK_AGAIN_S;
	buf_append_str(&b, "<p><b>");
	put_escaped(&b, m->login);
	buf_printf(&b, "</b> %s</p><p>%s</p>", word(W_USER_WAITS), word(W_USER_WAITS_ON));
	put_button(&b, "", "/logout", m->csrf, W_SIGN_OUT);
	return page_waits(r, &b, NULL);
}

static enum MHD_Result on_my(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	if (!is_person(r, reply, &result))
		return result;
	if (reply->users[0].waits_ms)
		return waits(r);
	struct command *c = command_for(r, CMD_NODE_LIST);
	if (c)
		c->user = arena_printf(&c->arena, "%lld", (long long)((struct my *)r->keep)->id);
	return ask(r, c, on_nodes);
}

enum MHD_Result my_page(struct request *r)
{
	return ask_signin(r, on_my);
}

/* ---- changes ---- */

static enum MHD_Result on_changed(struct request *r, const struct reply *reply)
{
	return reply->e == OK ? answer_redirect(r, 303, "/my") : failed(r, reply);
}

/* A command about a device; the core refuses it for devices that are not theirs. */
static enum MHD_Result ask_device(struct request *r, enum command_kind kind, reply_handler *next)
{
	int64_t id = parse_id(r, r->param[0], "the device's id");
	struct command *c = r->fault ? NULL : command_for(r, kind);

	if (r->fault)
		return page_say(r, 404, W_SORRY, W_MY_GONE);
	if (c) {
		c->id = id;
		c->key_text = command_str(c, r->token);
		c->new_name = kind == CMD_NODE_RENAME ? command_str(c, form_value(r, "name")) : NULL;
	}
	return ask(r, c, next);
}

static enum MHD_Result on_rename(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	return is_own_form(r, reply, &result) ? ask_device(r, CMD_NODE_RENAME, on_changed) : result;
}

enum MHD_Result my_rename(struct request *r)
{
	return ask_signin(r, on_rename);
}

static enum MHD_Result on_sign_out(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	return is_own_form(r, reply, &result) ? ask_device(r, CMD_NODE_EXPIRE, on_changed) : result;
}

enum MHD_Result my_sign_out(struct request *r)
{
	return ask_signin(r, on_sign_out);
}

static bool is_fresh(struct request *r)
{
	return clock_wall_ms() - ((struct my *)r->keep)->auth_ms <= SIGNIN_FRESH_MS;
}

/* As good as signing in on the device: by somebody who has just signed in here. */
static enum MHD_Result on_renew(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	if (!is_own_form(r, reply, &result))
		return result;
	return is_fresh(r) ? ask_device(r, CMD_NODE_RENEW, on_changed) : answer_redirect(r, 303, "/login");
}

enum MHD_Result my_renew(struct request *r)
{
	return ask_signin(r, on_renew);
}

static enum MHD_Result on_remove_look(struct request *r, const struct reply *reply)
{
	const struct my *m = r->keep;
	char action[64];

	if (reply->e != OK)
		return failed(r, reply);
	const struct node_row *n = &reply->nodes[0]->row;
	struct buf b = page_begin(r, W_REMOVE_DEVICE);
	buf_append_str(&b, "<p><b>");
	put_escaped(&b, n->given_name);
	buf_printf(&b, "</b></p><p>%s</p><div class=\"row\">", word(W_REMOVE_TEXT));
	put_link(&b, "", "/my", W_KEEP);
	snprintf(action, sizeof action, "/my/devices/%lld/remove", (long long)n->id);
	put_button(&b, "danger", action, m->csrf, W_REMOVE);
	buf_append_str(&b, "</div>");
	return page_end(r, 200, &b);
}

static enum MHD_Result on_remove_page(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	return is_person(r, reply, &result) ? ask_device(r, CMD_NODE_GET, on_remove_look) : result;
}

enum MHD_Result my_page_remove(struct request *r)
{
	return ask_signin(r, on_remove_page);
}

static enum MHD_Result on_remove(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	return is_own_form(r, reply, &result) ? ask_device(r, CMD_NODE_DELETE, on_changed) : result;
}

enum MHD_Result my_remove(struct request *r)
{
	return ask_signin(r, on_remove);
}

/* ---- adding a device ---- */

static enum MHD_Result on_key_made(struct request *r, const struct reply *reply)
{
	if (reply->e != OK)
		return failed(r, reply);
	struct buf b = page_begin(r, W_ADD);
	buf_printf(&b, "<p>%s</p><pre>tailscale up --login-server ", word(W_KEY_TEXT));
	put_escaped(&b, r->api->cfg.server_url);
	buf_printf(&b, " --auth-key %s</pre><p>%s</p><dl>", reply->secret, word(W_KEY_PHONE));
	put_fact(&b, W_KEY_SERVER, r->api->cfg.server_url);
	put_fact(&b, W_KEY, reply->secret);
	buf_append_str(&b, "</dl>");
	put_qr(&b, reply->secret, W_QR);
	buf_append_str(&b, "<div class=\"row\">");
	put_link(&b, "primary", "/my", W_DONE_LINK);
	buf_append_str(&b, "</div>");
	return page_end(r, 200, &b);
}

static enum MHD_Result on_add(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	if (!is_own_form(r, reply, &result))
		return result;
	if (!is_fresh(r))
		return answer_redirect(r, 303, "/login");
	struct command *c = command_for(r, CMD_AUTHKEY_CREATE);
	if (c) {
		c->user = arena_printf(&c->arena, "%lld", (long long)((struct my *)r->keep)->id);
		c->expires_ms = clock_wall_ms() + MY_KEY_TTL_MS;
		c->description = "made by its owner, for one device";
		c->key_text = command_str(c, r->token);
	}
	return ask(r, c, on_key_made);
}

enum MHD_Result my_add(struct request *r)
{
	return ask_signin(r, on_add);
}

/* ---- sessions ---- */

static enum MHD_Result on_session_end(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	if (!is_own_form(r, reply, &result))
		return result;
	int64_t id = parse_id(r, r->param[0], "the session's id");
	struct command *c = r->fault ? NULL : command_for(r, CMD_SIGNIN_END);
	if (r->fault)
		return page_say(r, 404, W_SORRY, W_MY_GONE);
	if (c) {
		c->id = id;
		c->key_text = command_str(c, r->token);
	}
	return ask(r, c, on_changed);
}

enum MHD_Result my_session_end(struct request *r)
{
	return ask_signin(r, on_session_end);
}
