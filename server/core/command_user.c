#include "server/core/state.h"

#include <stdlib.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"

enum { USER_NAME_MAX = 255, USER_TEXT_MAX = 1024 };

bool user_name_ok(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > USER_NAME_MAX || !bytes_is_utf8(bytes_str(s)))
		return false;
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if (*p <= ' ' || *p == 0x7f || *p == '/' || *p == '\\')
			return false;
	/* Digits alone are an id, wherever a user is named. */
	return strspn(s, "0123456789") < n;
}

/* Somebody else whom this name or mail address means. */
static struct user *meant_by(struct tailnet *t, const char *text, const struct user *self)
{
	size_t at = 0;

	for (struct user *u; *text && (u = map_next(&t->c->users, &at));)
		if (u->t == t && u != self && (strcasecmp(u->row.name, text) == 0 || (u->row.email && strcasecmp(u->row.email, text) == 0)))
			return u;
	return NULL;
}

static bool name_ok(struct tailnet *t, const char *name, const struct user *self, struct reply *r)
{
	struct user *other = meant_by(t, name, self);

	if (!user_name_ok(name)) {
		reply_fail(r, ERR_INVALID, "\"%.64s\" cannot be a user's name: 1 to %d characters without spaces and slashes, not digits alone", name,
				USER_NAME_MAX);
		return false;
	}
	if (other) {
		reply_fail(r, ERR_EXISTS, "there is a user %s already (id %lld)", other->row.name, (long long)other->row.id);
		return false;
	}
	return true;
}

static err add_user(struct reply *r, const struct user *u)
{
	TRY(user_to_arena(&r->arena, u, &r->users[r->n_users]));
	r->n_users++;
	return OK;
}

static err one_user(struct reply *r, const struct user *u)
{
	r->users = arena_array(&r->arena, 1, sizeof *r->users);
	return r->users ? add_user(r, u) : ERR_NOMEM;
}

static err create(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user_row row = { .tailnet_id = t->row.id, .created_ms = c->now.wall_ms };

	if (!name_ok(t, m->name, NULL, r))
		return r->e;
	if (strlen(m->display_name) > USER_TEXT_MAX || strlen(m->email) > USER_TEXT_MAX || strlen(m->picture_url) > USER_TEXT_MAX) {
		reply_fail(r, ERR_INVALID, "display name, email and picture URL may have %d bytes each", USER_TEXT_MAX);
		return r->e;
	}
	struct user *other = meant_by(t, m->email, NULL);
	if (other) {
		reply_fail(r, ERR_EXISTS, "the mail address is that of user %s (id %lld)", other->row.name, (long long)other->row.id);
		return r->e;
	}
	TRY(next_id(c, &row.id));
	TRY(touch_new_user(c, row.id));
	int64_t id = row.id;
	row.name = strdup(m->name);
	row.display_name = strdup(m->display_name);
	row.email = strdup(m->email);
	row.picture_url = strdup(m->picture_url);
	row.provider = strdup("");
	row.provider_id = strdup("");
	err e = row.name && row.display_name && row.email && row.picture_url && row.provider && row.provider_id ?
		user_put_memory(c, &row) : ERR_NOMEM;
	user_row_done(&row);
	TRY(e);
	user_by_id(c, id)->touched = c->tx;
	return one_user(r, user_by_id(c, id));
}

static int by_id(const void *a, const void *b)
{
	const struct user_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static err list(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	size_t at = 0;

	r->users = arena_array(&r->arena, c->users.n + 1, sizeof *r->users);
	if (!r->users)
		return ERR_NOMEM;
	for (struct user *u; (u = map_next(&c->users, &at));) {
		if (u->t != t || (m->id && u->row.id != m->id) || (*m->name && strcasecmp(u->row.name, m->name) != 0) ||
				(*m->email && strcasecmp(or_empty(u->row.email), m->email) != 0))
			continue;
		TRY(add_user(r, u));
	}
	if (r->n_users)
		qsort(r->users, r->n_users, sizeof *r->users, by_id);
	return OK;
}

static struct user *the_user(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = user_by_id(c, m->id);

	if (!u || u->t != t) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user with id %lld", (long long)m->id);
		return NULL;
	}
	return u;
}

/* A key may change whom it could make: nobody whose role may do more than the key. */
static struct user *user_to_change(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = the_user(c, t, m, r);

	if (!u || apikey_within(c, m, scope_of_role(u->row.role)))
		return u;
	reply_fail(r, ERR_DENIED, "user %s may do more than the key that asks", u->row.name);
	return NULL;
}

static err rename_user(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = user_to_change(c, t, m, r);

	if (!u || !name_ok(t, m->new_name, u, r))
		return r->e;
	TRY(touch_user(c, u));
	char *name = strdup(m->new_name);
	if (!name)
		return ERR_NOMEM;
	free(u->row.name);
	u->row.name = name;
	TRY(user_changed(c, u));
	return one_user(r, u);
}

static err delete_user(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = user_to_change(c, t, m, r);
	size_t at = 0;

	if (!u)
		return r->e;
	struct user *heir = *m->user ? user_find(t, m->user) : NULL;
	if (*m->user && (!heir || heir == u)) {
		reply_fail(r, ERR_NOT_FOUND, "there is no other user \"%.64s\"", m->user);
		return r->e;
	}
	if (!apikey_may_act_on(c, m, heir, r))
		return r->e;
	if (u->row.role == USER_OWNER && (m->by_key || m->by_signin)) {
		reply_fail(r, ERR_STATE, "user %s is the owner: make somebody else the owner first", u->row.name);
		return r->e;
	}
	while (heir && !list_is_empty(&u->nodes))
		TRY(node_move(c, container_of(u->nodes.next, struct node, of_user), heir, r));
	while (m->with_nodes && !list_is_empty(&u->nodes))
		TRY(node_delete(c, container_of(u->nodes.next, struct node, of_user)));
	if (u->n_nodes) {
		reply_fail(r, ERR_STATE, "user %s has %zu node(s); delete or move them first", u->row.name, u->n_nodes);
		return r->e;
	}
	for (struct authkey *k; (k = map_next(&c->authkeys, &at));) {
		if (k->row.user_id != u->row.id)
			continue;
		TRY(touch_authkey(c, k));
		authkey_drop_memory(c, k->row.id);
	}
	TRY(apikeys_drop_of_user(c, u));
	TRY(user_forget_logins(c, u));
	TRY(touch_user(c, u));
	user_drop_memory(c, u->row.id);
	return OK;
}

/* One owner at most: a new one makes the old one an admin. */
static err set_role(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = the_user(c, t, m, r);
	enum user_role role;
	size_t at = 0;

	if (!u)
		return r->e;
	if (user_role_parse(m->role, &role) != OK) {
		reply_fail(r, ERR_INVALID, "\"%.40s\" is no role: owner, admin, network-admin, it-admin, auditor, billing-admin or member",
				m->role);
		return r->e;
	}
	if (!apikey_within(c, m, scope_of_role(role)) || !apikey_within(c, m, scope_of_role(u->row.role))) {
		reply_fail(r, ERR_DENIED, "a key cannot give or take a role that may do more than the key that asks");
		return r->e;
	}
	if (role == USER_OWNER && u->row.suspended_ms) {
		reply_fail(r, ERR_STATE, "user %s is suspended and cannot become the owner", u->row.name);
		return r->e;
	}
	if (role == USER_OWNER && user_waits(u)) {
		reply_fail(r, ERR_STATE, "user %s waits for approval and cannot become the owner", u->row.name);
		return r->e;
	}
	for (struct user *old; role == USER_OWNER && (old = map_next(&c->users, &at));) {
		if (old == u || old->t != t || old->row.role != USER_OWNER)
			continue;
		TRY(touch_user(c, old));
		old->row.role = USER_ADMIN;
		TRY(user_changed(c, old));
	}
	/* Links and sessions from before were made, or kept, by who may have been allowed less than this user will be. */
	if (scope_of_role(role) & ~scope_of_role(u->row.role)) {
		size_t next = 0;
		for (struct signin *s; (s = map_next(&c->signins, &next));)
			if (s->row.user_id == u->row.id && s->row.id != m->by_signin)
				TRY(signin_delete(c, s));
	}
	TRY(touch_user(c, u));
	u->row.role = role;
	TRY(user_changed(c, u));
	return one_user(r, u);
}

static err set_suspended(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = user_to_change(c, t, m, r);
	bool suspend = m->kind == CMD_USER_SUSPEND;

	if (!u)
		return r->e;
	if (suspend && u->row.role == USER_OWNER) {
		reply_fail(r, ERR_STATE, "user %s owns the tailnet and cannot be suspended; make another user the owner first", u->row.name);
		return r->e;
	}
	if (suspend != (u->row.suspended_ms != 0)) {
		TRY(touch_user(c, u));
		u->row.suspended_ms = suspend ? c->now.wall_ms : 0;
		TRY(user_changed(c, u));
		log_info(suspend ? "user suspended" : "user restored", "user=%" PRId64 " devices=%zu actor=%s", u->row.id, u->n_nodes,
				log_qs(m->actor).s);
	}
	return one_user(r, u);
}

/* Also one whom nobody makes wait at the moment: it will not have to when the setting is on again. */
static err approve(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = user_to_change(c, t, m, r);

	if (!u)
		return r->e;
	if (u->row.waits_ms) {
		TRY(touch_user(c, u));
		u->row.waits_ms = 0;
		TRY(user_changed(c, u));
		log_info("user approved", "user=%" PRId64 " devices=%zu actor=%s", u->row.id, u->n_nodes, log_qs(m->actor).s);
	}
	return one_user(r, u);
}

void on_command_user(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);
	err e = OK;

	if (m->kind == CMD_USER_CREATE)
		e = create(c, t, m, r);
	else if (m->kind == CMD_USER_LIST)
		e = list(c, t, m, r);
	else if (m->kind == CMD_USER_RENAME)
		e = rename_user(c, t, m, r);
	else if (m->kind == CMD_USER_DELETE)
		e = delete_user(c, t, m, r);
	else if (m->kind == CMD_USER_ROLE)
		e = set_role(c, t, m, r);
	else if (m->kind == CMD_USER_SUSPEND || m->kind == CMD_USER_RESTORE)
		e = set_suspended(c, t, m, r);
	else if (m->kind == CMD_USER_APPROVE)
		e = approve(c, t, m, r);
	r->e = e;
}
