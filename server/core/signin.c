#include "server/core/state.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/base64.h"

/* Accounts at identity providers and the browsers that are signed in: into memory and out, found by what they are asked by. */

struct identity *identity_by_id(struct core *c, int64_t id)
{
	return id ? map_get(&c->identities, &id) : NULL;
}

struct account *account_of(struct core *c, int64_t user_id)
{
	return user_id ? map_get(&c->accounts, &user_id) : NULL;
}

err account_put_memory(struct core *c, struct account_row *taken)
{
	struct account *a = account_of(c, taken->user_id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t || !taken->user_id)
		return ERR_INVALID;
	if (!a) {
		a = calloc(1, sizeof *a);
		if (!a)
			return ERR_NOMEM;
		a->t = t;
		a->row.user_id = taken->user_id;
		err e = map_put(&c->accounts, a);
		if (e != OK) {
			free(a);
			return e;
		}
	}
	free(a->row.password); /* the row is never zeroed: the table's key lies in it */
	a->row = *taken;
	*taken = (struct account_row){ 0 };
	return OK;
}

void account_drop_memory(struct core *c, int64_t user_id)
{
	struct account *a = map_del(&c->accounts, &user_id);

	if (!a)
		return;
	account_row_done(&a->row);
	free(a);
}

struct signin *signin_by_id(struct core *c, int64_t id)
{
	return id ? map_get(&c->signins, &id) : NULL;
}

struct user *signin_user(struct core *c, int64_t signin_id)
{
	struct signin *s = signin_by_id(c, signin_id);
	struct user *u = s && s->row.kind == SIGNIN_BROWSER && s->row.expires_ms > c->now.wall_ms ? user_by_id(c, s->row.user_id) : NULL;

	return u && !u->row.suspended_ms ? u : NULL;
}

/* Logins are rare and people few: a walk. */
struct identity *identity_find(struct tailnet *t, const char *issuer, const char *subject)
{
	size_t at = 0;

	for (struct identity *i; (i = map_next(&t->c->identities, &at));)
		if (i->t == t && strcmp(i->row.subject, subject) == 0 && strcmp(i->row.issuer, issuer) == 0)
			return i;
	return NULL;
}

err identity_put_memory(struct core *c, struct identity_row *taken)
{
	struct identity *i = identity_by_id(c, taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t || !taken->issuer || !taken->subject)
		return ERR_INVALID;
	if (!i) {
		i = calloc(1, sizeof *i);
		if (!i)
			return ERR_NOMEM;
		i->t = t;
		i->row.id = taken->id;
		err e = map_put(&c->identities, i);
		if (e != OK) {
			free(i);
			return e;
		}
	}
	int64_t was = i->row.user_id;
	struct identity_row old = i->row;
	i->row = *taken;
	*taken = (struct identity_row){ 0 };
	err e = user_gather_groups(c, i->row.user_id);
	if (e == OK && was && was != i->row.user_id)
		e = user_gather_groups(c, was);
	identity_row_done(&old); /* its texts were in use until now */
	return e;
}

void identity_drop_memory(struct core *c, int64_t id)
{
	struct identity *i = map_del(&c->identities, &id);

	if (!i)
		return;
	struct user *u = user_by_id(c, i->row.user_id);
	/* Fewer never need memory. */
	for (size_t g = 0; u && g < i->row.n_groups; g++)
		for (size_t k = 0; k < u->n_groups; k++)
			if (u->groups[k] == i->row.groups[g]) {
				u->groups[k] = u->groups[--u->n_groups];
				break;
			}
	identity_row_done(&i->row);
	free(i);
}

err signin_put_memory(struct core *c, struct signin_row *taken)
{
	struct signin *s = signin_by_id(c, taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t)
		return ERR_INVALID;
	if (!s) {
		s = calloc(1, sizeof *s);
		if (!s)
			return ERR_NOMEM;
		s->t = t;
		s->row.id = taken->id;
		memcpy(s->row.hash, taken->hash, sizeof s->row.hash);
		err e = map_put(&c->signins, s);
		if (e == OK) {
			e = map_put(&c->signins_by_hash, s);
			if (e != OK)
				map_del(&c->signins, &s->row.id);
		}
		if (e != OK) {
			free(s);
			return e;
		}
	}
	signin_row_done(&s->row); /* id and hash never change, so the indexes hold */
	s->row = *taken;
	*taken = (struct signin_row){ 0 };
	return OK;
}

void signin_drop_memory(struct core *c, int64_t id)
{
	struct signin *s = map_del(&c->signins, &id);

	if (!s)
		return;
	map_del(&c->signins_by_hash, s->row.hash);
	signin_row_done(&s->row);
	free(s);
}

static bool hash_of(const char *token, uint8_t hash[KEY_HASH_LEN])
{
	struct secret32 secret;
	size_t n;

	if (!token || base64url_decode(bytes_str(token), secret.b, sizeof secret.b, &n) != OK || n != sizeof secret.b)
		return false;
	crypto_generichash(hash, KEY_HASH_LEN, secret.b, sizeof secret.b, NULL, 0);
	secret32_wipe(&secret);
	return true;
}

struct signin *signin_by_token(struct core *c, const char *token, enum signin_kind kind)
{
	uint8_t hash[KEY_HASH_LEN];

	if (!hash_of(token, hash))
		return NULL;
	struct signin *s = map_get(&c->signins_by_hash, hash);
	return s && s->row.kind == kind && s->row.expires_ms > c->now.wall_ms ? s : NULL;
}

err signin_delete(struct core *c, struct signin *s)
{
	TRY(touch_signin(c, s));
	signin_drop_memory(c, s->row.id);
	return OK;
}

static bool ends(const struct signin *s, const struct user *u, const struct identity *i)
{
	return i ? s->row.identity_id == i->row.id : s->row.user_id == u->row.id;
}

err signins_end(struct core *c, const struct user *u, const struct identity *i, size_t *n)
{
	size_t at = 0;

	for (struct signin *s; (s = map_next(&c->signins, &at));)
		if (ends(s, u, i)) {
			TRY(signin_delete(c, s));
			if (n)
				(*n)++;
		}
	return OK;
}

err user_forget_logins(struct core *c, struct user *u)
{
	size_t at = 0;

	TRY(signins_end(c, u, NULL, NULL));
	struct account *a = account_of(c, u->row.id);
	if (a) {
		TRY(touch_account(c, a));
		account_drop_memory(c, u->row.id);
	}
	TRY(wishes_forget(c, u));
	for (struct passkey *p; (p = map_next(&c->passkeys, &at));)
		if (p->row.user_id == u->row.id)
			TRY(passkey_delete(c, p));
	at = 0;
	for (struct identity *i; (i = map_next(&c->identities, &at));)
		if (i->row.user_id == u->row.id) {
			TRY(touch_identity(c, i));
			identity_drop_memory(c, i->row.id);
		}
	return OK;
}

err user_gather_groups(struct core *c, int64_t user_id)
{
	struct user *u = user_by_id(c, user_id);
	size_t at = 0, n = 0;

	if (!u)
		return OK;
	for (struct identity *i; (i = map_next(&c->identities, &at));)
		n += i->row.user_id == user_id && !i->row.gone_ms ? i->row.n_groups : 0;
	const char **list = n ? calloc(n, sizeof *list) : NULL;
	if (n && !list)
		return ERR_NOMEM;
	free(u->groups);
	u->groups = list;
	u->n_groups = n;
	at = n = 0;
	for (struct identity *i; list && (i = map_next(&c->identities, &at));)
		for (size_t g = 0; i->row.user_id == user_id && !i->row.gone_ms && g < i->row.n_groups; g++)
			list[n++] = i->row.groups[g];
	return OK;
}

/* ---- rows in a reply's arena ---- */

static bool text_to(struct arena *a, const char *from, char **out)
{
	*out = arena_str(a, bytes_str(or_empty(from)));
	return *out != NULL;
}

err identity_to_arena(struct arena *a, const struct identity_row *from, struct identity_row *out)
{
	*out = *from;
	out->groups = arena_array(a, from->n_groups + 1, sizeof(*out->groups));
	if (!out->groups)
		return ERR_NOMEM;
	for (size_t i = 0; i < from->n_groups; i++)
		if (!text_to(a, from->groups[i], &out->groups[i]))
			return ERR_NOMEM;
	return text_to(a, from->provider, &out->provider) && text_to(a, from->issuer, &out->issuer) &&
			text_to(a, from->subject, &out->subject) && text_to(a, from->login, &out->login) &&
			text_to(a, from->refresh_token, &out->refresh_token) ?
		OK : ERR_NOMEM;
}

err signin_to_arena(struct arena *a, const struct signin_row *from, struct signin_row *out)
{
	*out = *from;
	return text_to(a, from->provider_sid, &out->provider_sid) && text_to(a, from->remote, &out->remote) &&
			text_to(a, from->agent, &out->agent) ?
		OK : ERR_NOMEM;
}
