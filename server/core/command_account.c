#include "server/core/state.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "server/core/audit.h"

/* Signing in without a provider: links that work once, and accounts with a password and a code. Argon2id takes its time, so a
 * password is checked by a worker (server/api/local.c); what it found is brought back here and must still be so. */

static struct user *owner_of(struct tailnet *t)
{
	struct user *only = NULL;
	size_t at = 0, n = 0;

	for (struct user *u; (u = map_next(&t->c->users, &at));) {
		if (u->t != t)
			continue;
		if (u->row.role == USER_OWNER)
			return u;
		only = u;
		n++;
	}
	return n == 1 ? only : NULL;
}

static bool has_users(struct tailnet *t)
{
	size_t at = 0;

	for (struct user *u; (u = map_next(&t->c->users, &at));)
		if (u->t == t)
			return true;
	return false;
}

/* Nobody is here yet: whoever gets the first link is the owner. NULL: r says why. */
static struct user *make_owner(struct core *c, const struct command *m, struct reply *r)
{
	struct command like = *m;

	if (!apikey_within(c, m, scope_of_role(USER_OWNER))) {
		reply_fail(r, ERR_DENIED, "only who may do everything makes the first user, the owner");
		return NULL;
	}
	like.kind = CMD_USER_CREATE;
	like.name = m->user;
	on_command_user(c, &like, r);
	struct user *u = r->e == OK && r->n_users ? user_by_id(c, r->users[0].id) : NULL;
	if (!u)
		return NULL;
	u->row.role = USER_OWNER; /* its row is written at the end of this event */
	r->e = user_changed(c, u);
	log_info("the first user is the owner", "user=%" PRId64 " name=%s", u->row.id, log_qs(u->row.name).s);
	return r->e == OK ? u : NULL;
}

static err link_make(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = *m->user ? user_find(t, m->user) : owner_of(t);

	if (!u && *m->user && !has_users(t)) {
		u = make_owner(c, m, r);
		if (!u)
			return r->e != OK ? r->e : ERR_STATE;
	}
	if (!u) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"%s", m->user, *m->user ? "" : ", and no owner yet: say for whom");
		return r->e;
	}
	if (!apikey_within(c, m, scope_of_role(u->row.role))) {
		reply_fail(r, ERR_DENIED, "a key cannot sign in a user who may do more than the key that asks");
		return r->e;
	}
	if (!user_may_sign_in(u, r))
		return r->e;
	TRY(signin_make(c, u, SIGNIN_LINK, 0, m, r));
	return reply_give_user(r, u);
}

static err link_use(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct signin *s = signin_by_token(c, m->key_text, SIGNIN_LINK);
	struct user *u = s && s->t == t ? user_by_id(c, s->row.user_id) : NULL;

	if (!u) {
		reply_fail(r, ERR_AUTH, "this link was used already, or is too old");
		return r->e;
	}
	if (!user_may_sign_in(u, r))
		return r->e;
	if (m->kind == CMD_LINK_LOOK)
		return reply_give_user(r, u);
	audit_who(c, "web", m->from, "user:%s", u->row.name);
	TRY(signin_delete(c, s));
	TRY(signin_make(c, u, SIGNIN_BROWSER, 0, m, r));
	log_info("signed in", "user=%" PRId64 " name=%s provider=link from=%s", u->row.id, log_qs(u->row.name).s, c->who.address);
	return reply_give_user(r, u);
}

static err account_get(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = user_find(t, m->user);
	struct account *a = u ? account_of(c, u->row.id) : NULL;

	if (!a) {
		reply_fail(r, ERR_NOT_FOUND, "there is no such account");
		return r->e;
	}
	r->account = a->row;
	r->account.password = arena_str(&r->arena, bytes_str(a->row.password));
	return r->account.password ? reply_give_user(r, u) : ERR_NOMEM;
}

static err account_set(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u;
	struct signin *s = signin_asking(c, t, m, r, &u);

	if (!s)
		return r->e;
	struct account *a = account_of(c, u->row.id);
	struct account_row row = m->account;
	row.id = a ? a->row.id : 0;
	row.tailnet_id = t->row.id;
	row.user_id = u->row.id;
	row.created_ms = a ? a->row.created_ms : c->now.wall_ms;
	row.changed_ms = c->now.wall_ms;
	if (a) {
		TRY(touch_account(c, a));
	} else {
		TRY(next_id(c, &row.id));
		TRY(touch_new_account(c, row.id, u->row.id));
	}
	row.password = strdup(m->account.password);
	err e = row.password ? account_put_memory(c, &row) : ERR_NOMEM;
	account_row_done(&row);
	TRY(e);
	account_of(c, u->row.id)->touched = c->tx;
	/* Whoever knew the old one is out. */
	size_t at = 0;
	for (struct signin *other; (other = map_next(&c->signins, &at));)
		if (other != s && other->row.user_id == u->row.id && !other->row.identity_id)
			TRY(signin_delete(c, other));
	log_info("password set", "user=%" PRId64, u->row.id);
	return reply_give_user(r, u);
}

static err account_login(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct account *a = account_of(c, m->account.user_id);
	struct user *u = user_by_id(c, m->account.user_id);

	if (!a || !u || u->t != t || strcmp(a->row.password, m->account.password) != 0 || m->account.totp_step <= a->row.totp_step) {
		reply_fail(r, ERR_AUTH, "wrong name, password or code");
		return r->e;
	}
	if (!user_may_sign_in(u, r) || !user_may_sign_in_locally(c, u, r))
		return r->e;
	audit_who(c, "web", m->from, "user:%s", u->row.name);
	TRY(touch_account(c, a));
	a->row.totp_step = m->account.totp_step;
	TRY(signin_make(c, u, SIGNIN_BROWSER, 0, m, r));
	log_info("signed in", "user=%" PRId64 " name=%s provider=password from=%s", u->row.id, log_qs(u->row.name).s, c->who.address);
	return reply_give_user(r, u);
}

static err account_delete(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = user_find(t, m->user);
	struct account *a = u ? account_of(c, u->row.id) : NULL;

	if (!a) {
		reply_fail(r, ERR_NOT_FOUND, "user \"%.64s\" has no password", m->user);
		return r->e;
	}
	if (!apikey_may_act_on(c, m, u, r))
		return r->e;
	TRY(touch_account(c, a));
	account_drop_memory(c, u->row.id);
	return OK;
}

void on_command_account(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (m->kind == CMD_LINK_MAKE)
		r->e = link_make(c, t, m, r);
	else if (m->kind == CMD_LINK_LOOK || m->kind == CMD_LINK_USE)
		r->e = link_use(c, t, m, r);
	else if (m->kind == CMD_ACCOUNT_GET)
		r->e = account_get(c, t, m, r);
	else if (m->kind == CMD_ACCOUNT_SET)
		r->e = account_set(c, t, m, r);
	else if (m->kind == CMD_ACCOUNT_LOGIN)
		r->e = account_login(c, t, m, r);
	else
		r->e = account_delete(c, t, m, r);
}
