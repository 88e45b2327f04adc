#include "server/core/state.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/text/base64.h"

/* Who signs in by a provider or a link, and what a signed-in browser may do with a waiting device. What a provider says was
 * checked before it came here (server/login/claims.h); whom it means is decided here. */

/* ---- replies ---- */

err reply_give_user(struct reply *r, const struct user *u)
{
	r->users = arena_array(&r->arena, 1, sizeof *r->users);
	if (!r->users)
		return ERR_NOMEM;
	TRY(user_to_arena(&r->arena, u, &r->users[0]));
	r->n_users = 1;
	return OK;
}

static err give_signin(struct reply *r, const struct signin *s)
{
	r->signins = arena_array(&r->arena, 1, sizeof *r->signins);
	if (!r->signins)
		return ERR_NOMEM;
	TRY(signin_to_arena(&r->arena, &s->row, &r->signins[0]));
	r->n_signins = 1;
	return OK;
}

static err give_identity(struct reply *r, const struct identity *i)
{
	r->identities = arena_array(&r->arena, 1, sizeof *r->identities);
	if (!r->identities)
		return ERR_NOMEM;
	TRY(identity_to_arena(&r->arena, &i->row, &r->identities[0]));
	r->n_identities = 1;
	return OK;
}

/* ---- the user of an identity ---- */

static bool same_name(const char *a, const char *b)
{
	return a && b && *a && strcasecmp(a, b) == 0;
}

/* Who else is called that, by name or mail address. */
static struct user *called(struct tailnet *t, const char *name, const struct user *self)
{
	size_t at = 0;

	for (struct user *u; (u = map_next(&t->c->users, &at));)
		if (u->t == t && u != self && (same_name(u->row.name, name) || same_name(u->row.email, name)))
			return u;
	return NULL;
}

static err set_text(char **field, const char *text, bool *changed)
{
	if (strcmp(or_empty(*field), text) == 0)
		return OK;
	char *copy = strdup(text);
	if (!copy)
		return ERR_NOMEM;
	free(*field);
	*field = copy;
	*changed = true;
	return OK;
}

/* The profile follows the provider; the user stays the same whatever it says. */
static err refresh_user(struct core *c, struct user *u, const struct login_facts *f)
{
	struct user *other = *f->email ? called(u->t, f->email, u) : NULL;
	bool keep = other || (f->partial && !*f->email);
	const char *email = keep ? or_empty(u->row.email) : f->email;
	const char *shown = f->partial && !*f->display_name ? or_empty(u->row.display_name) : f->display_name;
	const char *picture = f->partial && !*f->picture_url ? or_empty(u->row.picture_url) : f->picture_url;
	bool changed = false;

	if (other)
		log_warn("a changed mail address is another user's; the old one stays", "user=%" PRId64 " other=%" PRId64, u->row.id,
				other->row.id);
	if (strcmp(or_empty(u->row.email), email) == 0 && strcmp(or_empty(u->row.display_name), shown) == 0 &&
			strcmp(or_empty(u->row.picture_url), picture) == 0)
		return OK;
	TRY(touch_user(c, u));
	TRY(set_text(&u->row.email, email, &changed));
	TRY(set_text(&u->row.display_name, shown, &changed));
	TRY(set_text(&u->row.picture_url, picture, &changed));
	return changed ? user_changed(c, u) : OK;
}

static err make_user(struct core *c, struct tailnet *t, const struct login_facts *f, struct reply *r, struct user **out)
{
	struct user_row row = { .tailnet_id = t->row.id, .created_ms = c->now.wall_ms,
		.waits_ms = t->set.users_approval ? c->now.wall_ms : 0 };
	struct user *other = called(t, f->login, NULL);

	if (other) {
		reply_fail(r, ERR_EXISTS, "the name %.100s belongs to user %lld here, which is not linked to this account. If both are one "
					  "person, an administrator runs: fairlead users link %lld --issuer %.200s --subject %.100s",
				f->login, (long long)other->row.id, (long long)other->row.id, f->issuer, f->subject);
		return r->e;
	}
	TRY(next_id(c, &row.id));
	TRY(touch_new_user(c, row.id));
	int64_t id = row.id;
	const char *name = user_name_ok(f->name) && !called(t, f->name, NULL) ? f->name : f->login;
	char numbered[64];
	if (!user_name_ok(name)) {
		snprintf(numbered, sizeof numbered, "user-%lld", (long long)id);
		for (unsigned k = 2; called(t, numbered, NULL); k++) /* ids are given once: somebody chose that name */
			snprintf(numbered, sizeof numbered, "user-%lld-%u", (long long)id, k);
		name = numbered;
	}
	size_t n = strlen(f->issuer) + strlen(f->subject) + 2;
	row.name = strdup(name);
	row.display_name = strdup(f->display_name);
	row.email = strdup(f->email);
	row.picture_url = strdup(f->picture_url);
	row.provider = strdup("oidc");
	row.provider_id = malloc(n);
	if (row.provider_id)
		snprintf(row.provider_id, n, "%s/%s", f->issuer, f->subject);
	err e = row.name && row.display_name && row.email && row.picture_url && row.provider && row.provider_id ?
		user_put_memory(c, &row) : ERR_NOMEM;
	user_row_done(&row);
	TRY(e);
	*out = user_by_id(c, id);
	(*out)->touched = c->tx;
	log_info("user made at a first login", "user=%" PRId64 " name=%s issuer=%s approved=%s", id, log_qs(name).s, log_qs(f->issuer).s,
			t->set.users_approval ? "no" : "yes");
	return OK;
}

static err make_identity(struct core *c, struct user *u, const struct login_facts *f, struct identity **out)
{
	struct identity_row row = { .tailnet_id = u->t->row.id, .user_id = u->row.id, .created_ms = c->now.wall_ms };

	TRY(next_id(c, &row.id));
	TRY(touch_new_identity(c, row.id));
	int64_t id = row.id;
	row.provider = strdup(f->provider);
	row.issuer = strdup(f->issuer);
	row.subject = strdup(f->subject);
	row.login = strdup(f->login);
	row.refresh_token = strdup("");
	err e = row.provider && row.issuer && row.subject && row.login && row.refresh_token ? identity_put_memory(c, &row) : ERR_NOMEM;
	identity_row_done(&row);
	TRY(e);
	*out = identity_by_id(c, id);
	(*out)->touched = c->tx;
	return OK;
}

static bool same_groups(const struct identity_row *row, const struct login_facts *f)
{
	bool same = row->n_groups == f->n_groups;

	for (size_t i = 0; same && i < f->n_groups; i++)
		same = strcmp(row->groups[i], f->groups[i]) == 0;
	return same;
}

/* What the provider says now: name, groups, a newer refresh token. */
static err renew_identity(struct core *c, struct identity *i, const struct login_facts *f)
{
	bool changed = false;

	TRY(touch_identity(c, i));
	TRY(set_text(&i->row.provider, f->provider, &changed));
	if (!f->partial)
		TRY(set_text(&i->row.login, f->login, &changed));
	if (*f->refresh_token)
		TRY(set_text(&i->row.refresh_token, f->refresh_token, &changed));
	i->row.checked_ms = c->now.wall_ms;
	bool was_gone = i->row.gone_ms != 0;
	i->row.gone_ms = 0;
	if (f->partial && !f->n_groups && !was_gone) /* not known: those of the last time count */
		return OK;
	if (same_groups(&i->row, f) && !was_gone)
		return OK;
	char **groups = f->n_groups ? calloc(f->n_groups, sizeof(*groups)) : NULL;
	if (f->n_groups && !groups)
		return ERR_NOMEM;
	for (size_t g = 0; g < f->n_groups; g++)
		if (!(groups[g] = strdup(f->groups[g]))) {
			while (g--)
				free(groups[g]);
			free(groups);
			return ERR_NOMEM;
		}
	struct identity_row old = { .groups = i->row.groups, .n_groups = i->row.n_groups };
	i->row.groups = groups;
	i->row.n_groups = f->n_groups;
	err e = user_gather_groups(c, i->row.user_id);
	identity_row_done(&old);
	struct user *u = user_by_id(c, i->row.user_id);
	return e == OK && u ? user_changed(c, u) : e; /* the policy may ask for groups */
}

/* ---- signing in ---- */

/* The oldest make room; what has expired goes along. */
static err make_room(struct core *c, const struct user *u)
{
	struct signin *oldest = NULL;
	size_t at = 0, n = 0, expired = 0;

	for (struct signin *s; (s = map_next(&c->signins, &at));) {
		if (s->row.expires_ms <= c->now.wall_ms && expired < SIGNINS_SWEEP_MAX) {
			expired++;
			TRY(signin_delete(c, s));
			continue;
		}
		if (s->row.user_id != u->row.id)
			continue;
		n++;
		if (!oldest || s->row.created_ms < oldest->row.created_ms)
			oldest = s;
	}
	return n >= SIGNINS_PER_USER_MAX && oldest ? signin_delete(c, oldest) : OK;
}

err signin_make(struct core *c, struct user *u, enum signin_kind kind, int64_t identity_id, const struct command *m, struct reply *r)
{
	struct signin_row row = { .tailnet_id = u->t->row.id, .user_id = u->row.id, .identity_id = identity_id, .kind = kind,
		.created_ms = c->now.wall_ms, .auth_ms = c->now.wall_ms, .expires_ms = m->expires_ms, .node_expires_ms = m->at_ms };
	CLEANUP(secret32_wipe) struct secret32 secret;
	char token[64], remote[ADDR_TEXT_MAX];

	TRY(make_room(c, u));
	random_fill(secret.b, sizeof secret.b);
	crypto_generichash(row.hash, sizeof row.hash, secret.b, sizeof secret.b, NULL, 0);
	base64url_encode(bytes_of(secret.b, sizeof secret.b), token);
	r->secret = arena_str(&r->arena, bytes_str(token));
	sodium_memzero(token, sizeof token);
	if (!r->secret)
		return ERR_NOMEM;
	TRY(next_id(c, &row.id));
	TRY(touch_new_signin(c, row.id));
	int64_t id = row.id;
	row.provider_sid = strdup(m->login ? m->login->provider_sid : "");
	row.remote = strdup(addr_text(m->from, remote));
	row.agent = bytes_dup(bytes_first(bytes_str(m->agent), SIGNIN_AGENT_MAX));
	err e = row.provider_sid && row.remote && row.agent ? signin_put_memory(c, &row) : ERR_NOMEM;
	signin_row_done(&row);
	TRY(e);
	struct signin *s = signin_by_id(c, id);
	s->touched = c->tx;
	return give_signin(r, s);
}

bool user_may_sign_in(struct user *u, struct reply *r)
{
	if (!u->row.suspended_ms)
		return true;
	reply_fail(r, ERR_DENIED, "user %.64s is suspended; an administrator can restore it", u->row.name);
	return false;
}

bool user_may_sign_in_locally(struct core *c, struct user *u, struct reply *r)
{
	size_t at = 0, n = 0, gone = 0;

	for (struct identity *i; (i = map_next(&c->identities, &at));)
		if (i->row.user_id == u->row.id) {
			n++;
			gone += i->row.gone_ms != 0;
		}
	if (!n || gone < n)
		return true;
	reply_fail(r, ERR_DENIED, "the sign-in service of user %.64s does not know them any more; an administrator can unlink it", u->row.name);
	return false;
}

static err login(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	const struct login_facts *f = m->login;
	struct identity *i = identity_find(t, f->issuer, f->subject);
	struct user *u = i ? user_by_id(c, i->row.user_id) : NULL;

	if (i && !u)
		return ERR_STATE;
	if (!u && f->partial && !*f->email) { /* it would be called by the wrong name for ever */
		reply_fail(r, ERR_BUSY, "your account is new here, and its details could not be read (the provider's userinfo endpoint failed): try again in a moment");
		return r->e;
	}
	if (!u)
		TRY(make_user(c, t, f, r, &u));
	if (!u || !user_may_sign_in(u, r))
		return r->e;
	audit_who(c, "oidc", m->from, "user:%s", u->row.name);
	if (!i)
		TRY(make_identity(c, u, f, &i));
	else
		TRY(refresh_user(c, u, f));
	TRY(renew_identity(c, i, f));
	i->row.login_ms = c->now.wall_ms;
	TRY(signin_make(c, u, SIGNIN_BROWSER, i->row.id, m, r));
	log_info("signed in", "user=%" PRId64 " name=%s provider=%s from=%s", u->row.id, log_qs(u->row.name).s, f->provider,
			c->who.address);
	return reply_give_user(r, u);
}

/* ---- what a provider says later ---- */

static err expire_nodes(struct core *c, struct user *u)
{
	list_each(it, &u->nodes) {
		struct node *n = container_of(it, struct node, of_user);
		if (node_is_expired(c, n))
			continue;
		TRY(touch_node(c, n));
		node_set_expires(c, n, c->now.wall_ms);
	}
	return OK;
}

/* The provider does not vouch for it any more: groups count no longer, its browsers are signed out. */
static err identity_gone(struct core *c, const struct command *m, struct reply *r)
{
	struct identity *i = identity_by_id(c, m->id);
	size_t n = 0;

	if (!i) {
		reply_fail(r, ERR_NOT_FOUND, "there is no identity %lld", (long long)m->id);
		return r->e;
	}
	struct user *u = user_by_id(c, i->row.user_id);
	TRY(touch_identity(c, i));
	bool changed;
	TRY(set_text(&i->row.refresh_token, "", &changed));
	i->row.gone_ms = c->now.wall_ms;
	TRY(signins_end(c, u, i, &n));
	TRY(user_gather_groups(c, i->row.user_id));
	if (u && m->disable)
		TRY(expire_nodes(c, u));
	if (u)
		TRY(user_changed(c, u));
	log_info("a user is gone at the provider", "user=%" PRId64 " provider=%s sessions_ended=%zu nodes_expired=%s", i->row.user_id,
			i->row.provider, n, m->disable ? "yes" : "no");
	return give_identity(r, i);
}

static err identity_refresh(struct core *c, const struct command *m, struct reply *r)
{
	struct identity *i = identity_by_id(c, m->id);

	if (!i || strcmp(i->row.issuer, m->login->issuer) != 0 || strcmp(i->row.subject, m->login->subject) != 0) {
		reply_fail(r, ERR_NOT_FOUND, "the identity changed meanwhile");
		return r->e;
	}
	if (m->kind == CMD_IDENTITY_TOKEN) {
		bool changed;
		TRY(touch_identity(c, i));
		TRY(set_text(&i->row.refresh_token, m->login->refresh_token, &changed));
		return give_identity(r, i);
	}
	struct user *u = user_by_id(c, i->row.user_id);
	if (u)
		TRY(refresh_user(c, u, m->login));
	TRY(renew_identity(c, i, m->login));
	return give_identity(r, i);
}

/* A logout token names a session of the provider, or a subject, whose sessions all end. */
static err back_channel(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct identity *i = *m->login->subject ? identity_find(t, m->login->issuer, m->login->subject) : NULL;
	size_t at = 0, n = 0;

	(void)r;
	for (struct signin *s; (s = map_next(&c->signins, &at));) {
		struct identity *its = identity_by_id(c, s->row.identity_id);
		if (s->t != t || !its || strcmp(its->row.issuer, m->login->issuer) != 0 || (i && its != i) ||
				(!i && *m->login->subject))
			continue;
		if (*m->login->provider_sid && strcmp(or_empty(s->row.provider_sid), m->login->provider_sid) != 0)
			continue;
		TRY(signin_delete(c, s));
		n++;
	}
	if (i && m->disable && !*m->login->provider_sid) {
		struct user *u = user_by_id(c, i->row.user_id);
		if (u)
			TRY(expire_nodes(c, u));
	}
	log_info("signed out by the provider", "issuer=%s sessions=%zu", log_qs(m->login->issuer).s, n);
	return OK;
}

/* ---- identities, as admins handle them ---- */

static err link_identity(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = user_find(t, m->user);
	struct identity *i = identity_find(t, m->login->issuer, m->login->subject);

	if (!u) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
		return r->e;
	}
	if (!apikey_within(c, m, scope_of_role(u->row.role))) {
		reply_fail(r, ERR_DENIED, "a key cannot let somebody sign in as a user who may do more than the key that asks");
		return r->e;
	}
	if (!*m->login->issuer || !*m->login->subject || strlen(m->login->subject) > SUBJECT_LEN_MAX ||
			strlen(m->login->issuer) > ISSUER_LEN_MAX) {
		reply_fail(r, ERR_INVALID, "an issuer (at most %d bytes) and a subject (at most %d) are needed", ISSUER_LEN_MAX, SUBJECT_LEN_MAX);
		return r->e;
	}
	if (i && i->row.user_id != u->row.id) {
		reply_fail(r, ERR_EXISTS, "this account signs in as user %lld; unlink identity %lld first", (long long)i->row.user_id,
				(long long)i->row.id);
		return r->e;
	}
	if (!i)
		TRY(make_identity(c, u, m->login, &i));
	log_info("account linked", "user=%" PRId64 " issuer=%s actor=%s", u->row.id, log_qs(m->login->issuer).s, log_qs(m->actor).s);
	return give_identity(r, i);
}

static err unlink_identity(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct identity *i = identity_by_id(c, m->id);

	if (!i || i->t != t) {
		reply_fail(r, ERR_NOT_FOUND, "there is no identity %lld", (long long)m->id);
		return r->e;
	}
	struct user *u = user_by_id(c, i->row.user_id);
	if (!apikey_may_act_on(c, m, u, r))
		return r->e;
	TRY(signins_end(c, u, i, NULL));
	TRY(touch_identity(c, i));
	identity_drop_memory(c, m->id);
	return u ? user_changed(c, u) : OK;
}

static int identity_by_number(const void *a, const void *b)
{
	const struct identity_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static err list_identities(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = *m->user ? user_find(t, m->user) : NULL;
	size_t at = 0;

	if (*m->user && !u) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
		return r->e;
	}
	r->identities = arena_array(&r->arena, c->identities.n + 1, sizeof *r->identities);
	if (!r->identities)
		return ERR_NOMEM;
	for (struct identity *i; (i = map_next(&c->identities, &at));)
		if (i->t == t && (!u || i->row.user_id == u->row.id))
			TRY(identity_to_arena(&r->arena, &i->row, &r->identities[r->n_identities++]));
	if (r->n_identities)
		qsort(r->identities, r->n_identities, sizeof *r->identities, identity_by_number);
	return OK;
}

/* ---- signed-in browsers ---- */

struct signin *signin_asking(struct core *c, struct tailnet *t, const struct command *m, struct reply *r, struct user **u)
{
	struct signin *s = signin_by_token(c, m->key_text, SIGNIN_BROWSER);

	*u = s && s->t == t ? user_by_id(c, s->row.user_id) : NULL;
	if (!*u) {
		reply_fail(r, ERR_AUTH, "you are not signed in, or your session has ended");
		return NULL;
	}
	audit_who(c, "web", m->from, "user:%s", (*u)->row.name);
	return user_may_sign_in(*u, r) ? s : NULL;
}

static err check_signin(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u;
	struct signin *s = signin_asking(c, t, m, r, &u);

	if (!s)
		return r->e;
	TRY(reply_give_user(r, u));
	return give_signin(r, s);
}

static int signin_by_number(const void *a, const void *b)
{
	const struct signin_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static err list_signins(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = *m->user ? user_find(t, m->user) : NULL;
	size_t at = 0;

	if (*m->user && !u) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
		return r->e;
	}
	r->signins = arena_array(&r->arena, c->signins.n + 1, sizeof *r->signins);
	r->users = arena_array(&r->arena, c->signins.n + 1, sizeof *r->users);
	if (!r->signins || !r->users)
		return ERR_NOMEM;
	for (struct signin *s; (s = map_next(&c->signins, &at));)
		if (s->t == t && (!u || s->row.user_id == u->row.id) && s->row.expires_ms > c->now.wall_ms)
			TRY(signin_to_arena(&r->arena, &s->row, &r->signins[r->n_signins++]));
	if (r->n_signins)
		qsort(r->signins, r->n_signins, sizeof *r->signins, signin_by_number);
	for (size_t i = 0; i < r->n_signins; i++) { /* users[i] is whose signins[i] is */
		struct user *its = user_by_id(c, r->signins[i].user_id);
		if (its)
			TRY(user_to_arena(&r->arena, its, &r->users[i]));
	}
	r->n_users = r->n_signins;
	return OK;
}

static err end_signin(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	if (*m->key_text && m->id) { /* another one of the same person */
		struct user *u;
		struct signin *other = signin_by_id(c, m->id);
		if (!signin_asking(c, t, m, r, &u))
			return r->e;
		if (other && other->row.user_id == u->row.id)
			return signin_delete(c, other);
		reply_fail(r, ERR_NOT_FOUND, "you have no session %lld", (long long)m->id);
		return r->e;
	}
	if (*m->key_text) { /* a browser ends its own; twice is fine */
		struct signin *s = signin_by_token(c, m->key_text, SIGNIN_BROWSER);
		struct user *u = s && s->t == t ? user_by_id(c, s->row.user_id) : NULL;
		if (u)
			audit_who(c, "web", m->from, "user:%s", u->row.name);
		return s && s->t == t ? signin_delete(c, s) : OK;
	}
	if (*m->user) {
		struct user *u = user_find(t, m->user);
		if (u)
			return apikey_may_act_on(c, m, u, r) ? signins_end(c, u, NULL, NULL) : r->e;
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
		return r->e;
	}
	struct signin *s = signin_by_id(c, m->id);
	if (s && s->t == t)
		return apikey_may_act_on(c, m, user_by_id(c, s->row.user_id), r) ? signin_delete(c, s) : r->e;
	reply_fail(r, ERR_NOT_FOUND, "there is no session %lld", (long long)m->id);
	return r->e;
}

/* ---- a device that waits ---- */

static err connect_device(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u;
	struct signin *s = signin_asking(c, t, m, r, &u);
	struct pending *p = pending_by_id(c, m->auth_id);
	char why[240] = "";
	struct node *n;

	if (!s)
		return r->e;
	if (!p || p->t != t) {
		reply_fail(r, ERR_NOT_FOUND, "no device waits under this link: it has joined already, or the link is too old");
		return r->e;
	}
	if (m->kind == CMD_AUTH_DENY) {
		log_warn("a device was refused by the person who was asked", "auth_id=%s host=%s user=%" PRId64 " name=%s from=%s",
				p->row.auth_id, log_qs(p->row.hostname).s, u->row.id, log_qs(u->row.name).s, c->who.address);
		pending_answer_all(c, p, 200, "this login was refused by the person who was asked", NULL);
		return pending_delete(c, p);
	}
	err e = register_pending(c, p, u, s->row.identity_id ? REGISTER_OIDC : REGISTER_CLI, false, s->row.node_expires_ms, why, sizeof why, &n);
	if (e != OK) {
		if (why[0])
			reply_fail(r, e, "%s", why);
		return e;
	}
	log_info("node registered", "node=%" PRId64 " name=%s method=%s user=%s", n->row.id, log_qs(n->row.given_name).s,
			s->row.identity_id ? "oidc" : "local", log_qs(u->row.name).s);
	TRY(reply_give_user(r, u));
	TRY(reply_room_nodes(r, 1));
	return reply_add_node(c, r, n);
}

void on_command_login(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (m->kind == CMD_LOGIN)
		r->e = login(c, t, m, r);
	else if (m->kind == CMD_IDENTITY_REFRESH || m->kind == CMD_IDENTITY_TOKEN)
		r->e = identity_refresh(c, m, r);
	else if (m->kind == CMD_IDENTITY_GONE)
		r->e = identity_gone(c, m, r);
	else if (m->kind == CMD_BACK_CHANNEL)
		r->e = back_channel(c, t, m, r);
	else if (m->kind == CMD_IDENTITY_LINK)
		r->e = link_identity(c, t, m, r);
	else if (m->kind == CMD_IDENTITY_UNLINK)
		r->e = unlink_identity(c, t, m, r);
	else if (m->kind == CMD_IDENTITY_LIST)
		r->e = list_identities(c, t, m, r);
	else if (m->kind == CMD_SIGNIN_CHECK)
		r->e = check_signin(c, t, m, r);
	else if (m->kind == CMD_SIGNIN_LIST)
		r->e = list_signins(c, t, m, r);
	else if (m->kind == CMD_SIGNIN_END)
		r->e = end_signin(c, t, m, r);
	else
		r->e = connect_device(c, t, m, r);
}
