#include <string.h>

#include "common/base/clock.h"
#include "server/api/access.h"
#include "server/api/console.h"
#include "server/api/events.h"
#include "server/api/render.h"
#include "server/api/state.h"

/* Users as the console shows them, and what one does to them. */

enum { INVITE_MS = 72 * 3600 * 1000 };
#define INVITE_LONGEST_MS (30LL * 24 * 3600 * 1000)

static void put_row(struct jsonw *w, const struct user_row *u, const struct person_info *p)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, u->id);
	jsonw_key(w, "name"), jsonw_str(w, u->name && u->name[0] ? u->name : u->email);
	jsonw_key(w, "displayName"), jsonw_str(w, u->display_name);
	jsonw_key(w, "email"), jsonw_str(w, u->email);
	jsonw_key(w, "picture"), jsonw_str(w, u->picture_url);
	jsonw_key(w, "role"), jsonw_str(w, user_role_text(u->role));
	jsonw_key(w, "state"), jsonw_str(w, u->suspended_ms ? "suspended" : u->waits_ms ? "waiting" : "active");
	jsonw_key(w, "provider"), jsonw_str(w, u->provider);
	jsonw_key(w, "providerId"), jsonw_str(w, u->provider_id);
	jsonw_key(w, "groups"), jsonw_arr(w);
	for (size_t i = 0; i < p->n_groups; i++)
		jsonw_str(w, p->groups[i]);
	jsonw_arr_end(w);
	jsonw_key(w, "machines"), jsonw_uint(w, p->machines);
	jsonw_key(w, "online"), jsonw_uint(w, p->online);
	jsonw_key(w, "createdMs"), jsonw_int(w, u->created_ms);
	jsonw_key(w, "seenMs"), jsonw_int(w, p->seen_ms);
	jsonw_key(w, "identities"), jsonw_uint(w, p->identities);
	jsonw_key(w, "password"), jsonw_bool(w, p->password);
	jsonw_obj_end(w);
}

static enum MHD_Result on_users(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = console_begin(&out);
	char event[EVENT_ID_MAX];

	jsonw_key(&w, "users"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_users; i++)
		put_row(&w, &reply->users[i], &reply->people[i]);
	jsonw_arr_end(&w);
	jsonw_key(&w, "lastEvent"), jsonw_str(&w, event_id_text(r->api->events, reply->last_event, event));
	return console_end(r, &w, &out);
}

enum MHD_Result console_users(struct request *r)
{
	struct command *c = command_for(r, CMD_PEOPLE);

	console_take_ids(r, c);
	return ask(r, c, on_users);
}

/* ---- one of them ---- */

static struct command *for_people(struct request *r, int64_t id)
{
	struct command *c = command_for(r, CMD_PEOPLE);
	int64_t *list = c ? arena_array(&c->arena, 1, sizeof *list) : NULL;

	if (list) {
		list[0] = id;
		c->ids = list;
		c->n_ids = 1;
	}
	return c;
}

static enum MHD_Result no_such_user(struct request *r)
{
	return answer_error(r, 404, "there is no such user; it may have been deleted");
}

static enum MHD_Result on_person(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;

	if (!reply->n_users)
		return no_such_user(r);
	struct jsonw w = console_begin(&out);
	jsonw_key(&w, "user"), put_row(&w, &reply->users[0], &reply->people[0]);
	return console_end(r, &w, &out);
}

/* After a change: the user as it is now. */
static enum MHD_Result on_changed(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	if (!reply->n_users)
		return no_such_user(r);
	return ask(r, for_people(r, reply->users[0].id), on_person);
}

struct detail {
	struct jsonw w;
	const char *user; /* its id */
};

static enum MHD_Result on_sessions(struct request *r, const struct reply *reply)
{
	struct detail *d = r->keep;

	FAIL_ON(r, reply);
	jsonw_key(&d->w, "sessions"), render_signins(&d->w, reply);
	jsonw_obj_end(&d->w);
	console_finish(r);
	return console_answer_made(r);
}

static enum MHD_Result on_identities(struct request *r, const struct reply *reply)
{
	struct detail *d = r->keep;
	struct command *c;

	FAIL_ON(r, reply);
	jsonw_key(&d->w, "identities"), render_identities(&d->w, reply);
	c = command_for(r, CMD_SIGNIN_LIST);
	if (c)
		c->user = command_str(c, d->user);
	return ask(r, c, on_sessions);
}

static enum MHD_Result on_detail(struct request *r, const struct reply *reply)
{
	struct detail *d = arena_alloc(&r->arena, sizeof *d);
	struct command *c;

	FAIL_ON(r, reply);
	if (!reply->n_users)
		return no_such_user(r);
	if (!d)
		return answer_error(r, 500, "out of memory");
	r->keep = d;
	d->user = arena_printf(&r->arena, "%lld", (long long)reply->users[0].id);
	d->w = answer_begin(&r->made);
	jsonw_key(&d->w, "user"), put_row(&d->w, &reply->users[0], &reply->people[0]);
	c = command_for(r, CMD_IDENTITY_LIST);
	if (c)
		c->user = command_str(c, d->user);
	return ask(r, c, on_identities);
}

enum MHD_Result console_user(struct request *r)
{
	return ask(r, for_people(r, parse_id(r, r->param[0], "user")), on_detail);
}

/* ---- acts ---- */

static struct command *act(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->id = parse_id(r, r->param[0], "user");
	return c;
}

/* {"name", "displayName"?, "email"?} */
enum MHD_Result console_user_create(struct request *r)
{
	struct command *c = command_for(r, CMD_USER_CREATE);
	const char *name = body_text(r, "name");

	if (!name && !r->fault)
		r->fault = "name: a text is needed";
	if (c) {
		c->name = command_str(c, name);
		c->display_name = command_str(c, body_text(r, "displayName"));
		c->email = command_str(c, body_text(r, "email"));
	}
	return ask(r, c, on_changed);
}

/* {"role"} */
enum MHD_Result console_user_role(struct request *r)
{
	struct command *c = act(r, CMD_USER_ROLE);
	const char *role = body_text(r, "role");

	if (!role && !r->fault)
		r->fault = "role: a text is needed";
	if (c)
		c->role = command_str(c, role);
	return ask(r, c, on_changed);
}

enum MHD_Result console_user_suspend(struct request *r)
{
	return ask(r, act(r, CMD_USER_SUSPEND), on_changed);
}

enum MHD_Result console_user_restore(struct request *r)
{
	return ask(r, act(r, CMD_USER_RESTORE), on_changed);
}

enum MHD_Result console_user_approve(struct request *r)
{
	return ask(r, act(r, CMD_USER_APPROVE), on_changed);
}

/* {"name"} */
enum MHD_Result console_user_rename(struct request *r)
{
	struct command *c = act(r, CMD_USER_RENAME);
	const char *name = body_text(r, "name");

	if (!name && !r->fault)
		r->fault = "name: a text is needed";
	if (c)
		c->new_name = command_str(c, name);
	return ask(r, c, on_changed);
}

static enum MHD_Result on_gone(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_empty(r);
}

/* {"machines": "delete" | "move" | "refuse", "to": user}; without a body: refused while there are some. */
enum MHD_Result console_user_delete(struct request *r)
{
	struct command *c = act(r, CMD_USER_DELETE);
	const char *machines = body_text(r, "machines"), *to = body_id(r, "to");
	bool moves = machines && strcmp(machines, "move") == 0, deletes = machines && strcmp(machines, "delete") == 0;

	if (!r->fault && machines && !moves && !deletes && strcmp(machines, "refuse") != 0)
		r->fault = "machines: delete, move or refuse";
	if (!r->fault && moves && (!to || !to[0]))
		r->fault = "to: which user gets the machines?";
	if (c) {
		c->with_nodes = deletes;
		c->user = moves ? command_str(c, to) : "";
	}
	return ask(r, c, on_gone);
}

/* ---- invites: a user, its role, and a link that signs a browser in, once ---- */

struct invite {
	const char *role;
	int64_t expires_ms;
};

static enum MHD_Result on_invited(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = console_begin(&out);
	static const struct person_info nothing;

	jsonw_key(&w, "user"), put_row(&w, &reply->users[0], &nothing);
	const char *url = arena_printf(&r->arena, "%s/welcome/%s", r->api->cfg.server_url, reply->secret);
	jsonw_key(&w, "url"), jsonw_str(&w, url);
	jsonw_key(&w, "expiresMs"), jsonw_int(&w, reply->signins[0].expires_ms);
	return console_end(r, &w, &out);
}

static enum MHD_Result make_link(struct request *r, int64_t user_id)
{
	const struct invite *i = r->keep;
	struct command *c = command_for(r, CMD_LINK_MAKE);
	const char *user = arena_printf(&r->arena, "%lld", (long long)user_id);

	if (c) {
		c->user = command_str(c, user);
		c->expires_ms = i->expires_ms;
	}
	return ask(r, c, on_invited);
}

static enum MHD_Result on_role_given(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return make_link(r, reply->users[0].id);
}

static enum MHD_Result on_user_made(struct request *r, const struct reply *reply)
{
	const struct invite *i = r->keep;

	FAIL_ON(r, reply);
	if (strcmp(i->role, user_role_text(USER_MEMBER)) == 0)
		return make_link(r, reply->users[0].id);
	struct command *c = command_for(r, CMD_USER_ROLE);
	if (c) {
		c->id = reply->users[0].id;
		c->role = command_str(c, i->role);
	}
	return ask(r, c, on_role_given);
}

/* {"name", "email"?, "displayName"?, "role"?, "expires"?: "72h"} */
enum MHD_Result console_invite(struct request *r)
{
	struct invite *i = arena_alloc(&r->arena, sizeof *i);
	const char *role = body_text(r, "role"), *expires = body_text(r, "expires");
	enum user_role parsed;
	int64_t ms = INVITE_MS;

	if (!i)
		return answer_error(r, 500, "out of memory");
	i->role = role && role[0] ? role : user_role_text(USER_MEMBER);
	/* Before anything is made: it is made in three steps. */
	if (!r->fault && user_role_parse(i->role, &parsed) != OK)
		r->fault = "role: owner, admin, network-admin, it-admin, auditor, billing-admin or member";
	else if (!r->fault && scope_of_role(parsed) & ~r->may)
		return answer_error(r, 403, "nobody can give a role that may do more than they may themselves");
	if (!r->fault && expires && expires[0] && (duration_parse(bytes_str(expires), &ms) != OK || ms < 60000 || ms > INVITE_LONGEST_MS))
		r->fault = "expires: a time from 1m to 30d is needed";
	i->expires_ms = clock_wall_ms() + ms;
	r->keep = i;
	struct command *c = command_for(r, CMD_USER_CREATE);
	const char *name = body_text(r, "name");
	if (!name && !r->fault)
		r->fault = "name: a text is needed";
	if (c) {
		c->name = command_str(c, name);
		c->display_name = command_str(c, body_text(r, "displayName"));
		c->email = command_str(c, body_text(r, "email"));
	}
	return ask(r, c, on_user_made);
}

static enum MHD_Result on_invites(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = console_begin(&out);

	jsonw_key(&w, "invites"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_signins; i++) {
		const struct signin_row *s = &reply->signins[i];
		if (s->kind != SIGNIN_LINK)
			continue;
		jsonw_obj(&w);
		jsonw_key(&w, "id"), render_id(&w, s->id);
		jsonw_key(&w, "userId"), render_id(&w, s->user_id);
		jsonw_key(&w, "user"), jsonw_str(&w, reply->users[i].name);
		jsonw_key(&w, "role"), jsonw_str(&w, user_role_text(reply->users[i].role));
		jsonw_key(&w, "createdMs"), jsonw_int(&w, s->created_ms);
		jsonw_key(&w, "expiresMs"), jsonw_int(&w, s->expires_ms);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	return console_end(r, &w, &out);
}

enum MHD_Result console_invites(struct request *r)
{
	return ask(r, command_for(r, CMD_SIGNIN_LIST), on_invites);
}

/* The link is good no more; the user stays. */
enum MHD_Result console_invite_end(struct request *r)
{
	struct command *c = command_for(r, CMD_SIGNIN_END);

	if (c)
		c->id = parse_id(r, r->param[0], "invite");
	return ask(r, c, on_gone);
}

/* ---- one's own sessions ---- */

struct mine {
	int64_t end; /* that session; 0: list */
};

static enum MHD_Result on_mine(struct request *r, const struct reply *reply)
{
	const struct mine *m = r->keep;
	struct buf out;

	FAIL_ON(r, reply);
	for (size_t i = 0; m->end && i < reply->n_signins; i++)
		if (reply->signins[i].id == m->end) {
			struct command *c = command_for(r, CMD_SIGNIN_END);
			if (c)
				c->id = m->end;
			return ask(r, c, on_gone);
		}
	if (m->end)
		return answer_error(r, 404, "you have no such session");
	struct jsonw w = console_begin(&out);
	jsonw_key(&w, "sessions"), render_signins(&w, reply);
	jsonw_key(&w, "current"), render_id(&w, r->signin);
	return console_end(r, &w, &out);
}

static enum MHD_Result ask_mine(struct request *r, int64_t end)
{
	int64_t user = r->by_cookie ? r->signin_user : r->key_user;
	struct mine *m = arena_alloc(&r->arena, sizeof *m);
	struct command *c = m && user ? command_for(r, CMD_SIGNIN_LIST) : NULL;
	enum MHD_Result refused;

	if (!user)
		return answer_error(r, 400, "this is nobody's key");
	/* A person looks after their own; a key that they gave away does what it may. */
	if (!r->by_cookie && !may_else_refuse(r, end || r->fault ? SCOPE_WRITE(SCOPE_USERS) : SCOPE_READ(SCOPE_USERS), &refused)) {
		command_free(c);
		return refused;
	}
	if (m) {
		m->end = end;
		r->keep = m;
	}
	const char *id = arena_printf(&r->arena, "%lld", (long long)user);
	if (c)
		c->user = command_str(c, id);
	return ask(r, c, on_mine);
}

enum MHD_Result console_my_sessions(struct request *r)
{
	return ask_mine(r, 0);
}

enum MHD_Result console_my_session_end(struct request *r)
{
	return ask_mine(r, parse_id(r, r->param[0], "session"));
}
