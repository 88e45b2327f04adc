#include "server/core/state.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/text/hex.h"

/* A fresh key: its prefix, the hash of its secret, and the text that is shown once. NULL: out of memory. */
const char *key_fresh(struct arena *a, const char *kind, char prefix[KEY_PREFIX_LEN + 1], uint8_t hash[KEY_HASH_LEN])
{
	uint8_t random[KEY_PREFIX_LEN / 2];
	char hex[65];
	CLEANUP(secret32_wipe) struct secret32 secret;

	random_fill(random, sizeof random);
	random_fill(secret.b, sizeof secret.b);
	hex_encode(bytes_of(random, sizeof random), prefix);
	hex_encode(bytes_of(secret.b, sizeof secret.b), hex);
	crypto_generichash(hash, KEY_HASH_LEN, secret.b, sizeof secret.b, NULL, 0);
	char *text = arena_printf(a, "%s%s-%s", kind, prefix, hex);
	sodium_memzero(hex, sizeof hex);
	return text;
}

/* "hskey-auth-PREFIX-…", a masked form of it, or the prefix alone -> the 12 digits. */
bool key_prefix_of(const char *text, const char *kind, char prefix[KEY_PREFIX_LEN + 1])
{
	struct bytes b = bytes_str(text), head = bytes_str(kind);

	if (bytes_has_prefix(b, head))
		b = bytes_skip(b, head.n);
	if (b.n < KEY_PREFIX_LEN)
		return false;
	memset(prefix, 0, KEY_PREFIX_LEN + 1);
	memcpy(prefix, b.p, KEY_PREFIX_LEN);
	return true;
}

static struct authkey *find_authkey(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	char prefix[KEY_PREFIX_LEN + 1];
	struct authkey *k = NULL;

	if (m->id)
		k = map_get(&c->authkeys, &m->id);
	else if (key_prefix_of(m->key_text, "hskey-auth-", prefix))
		k = map_get(&c->authkeys_by_prefix, prefix);
	if (!k || k->t != t) {
		reply_fail(r, ERR_NOT_FOUND, "auth key not found");
		return NULL;
	}
	return k;
}

static err add_authkey(struct core *c, struct reply *r, const struct authkey *k)
{
	struct user *u = user_by_id(c, k->row.user_id);

	TRY(authkey_to_arena(&r->arena, &k->row, &r->authkeys[r->n_authkeys]));
	if (u)
		TRY(user_to_arena(&r->arena, u, &r->authkey_users[r->n_authkeys]));
	r->n_authkeys++;
	return OK;
}

static err room_authkeys(struct reply *r, size_t n)
{
	r->authkeys = arena_array(&r->arena, n + 1, sizeof *r->authkeys);
	r->authkey_users = arena_array(&r->arena, n + 1, sizeof *r->authkey_users);
	return r->authkeys && r->authkey_users ? OK : ERR_NOMEM;
}

/* What an OAuth token makes is tagged, with tags that it has or that its tags own. */
static bool may_make_key(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	if (!apikey_is_token(c, m->by_key))
		return true;
	if (!m->n_tags || *m->user) {
		reply_fail(r, ERR_DENIED, "a key made with an OAuth token needs tags, and no user");
		return false;
	}
	return apikey_may_tags(c, t, m, r);
}

/* Keys that people make for themselves (/my): some at a time, and they leave when their time is over. */
enum { OWN_KEYS_MAX = 10, OWN_KEY_TTL_MS = 15 * 60 * 1000 };

static err tidy_own_keys(struct core *c, const struct user *u, struct reply *r)
{
	size_t at = 0, n = 0;

	for (struct authkey *k; (k = map_next(&c->authkeys, &at));) {
		const struct authkey_row *x = &k->row;
		if (x->user_id != u->row.id || x->used || x->reusable || !x->expires_ms || x->expires_ms - x->created_ms > OWN_KEY_TTL_MS)
			continue;
		if (x->expires_ms > c->now.wall_ms) {
			n += !x->revoked_ms;
			continue;
		}
		TRY(touch_authkey(c, k));
		authkey_drop_memory(c, x->id);
	}
	if (n < OWN_KEYS_MAX)
		return OK;
	reply_fail(r, ERR_TOO_BIG, "you have %d keys that nobody has used: use one, or wait some minutes", OWN_KEYS_MAX);
	return r->e;
}

static err authkey_create(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = *m->user ? user_find(t, m->user) : NULL;
	struct authkey_row row = {
		.tailnet_id = t->row.id, .user_id = u ? u->row.id : 0, .reusable = m->reusable, .ephemeral = m->ephemeral,
		.preauthorized = m->preauthorized,
		.created_ms = c->now.wall_ms, .expires_ms = m->expires_in_ms ? c->now.wall_ms + m->expires_in_ms : m->expires_ms,
	};

	if (*m->user && !u) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
		return r->e;
	}
	if (!apikey_may_act_on(c, m, u, r))
		return r->e;
	if (!u && !m->n_tags) {
		reply_fail(r, ERR_INVALID, "an auth key needs a user or tags");
		return r->e;
	}
	if (m->n_tags > NODE_TAGS_MAX || strlen(m->description) > 1024) {
		reply_fail(r, ERR_INVALID, "a key may have %d tags and a description of 1024 bytes", NODE_TAGS_MAX);
		return r->e;
	}
	for (size_t i = 0; i < m->n_tags; i++)
		if (strncmp(m->tags[i], "tag:", 4) != 0 || strlen(m->tags[i]) < 5 || strlen(m->tags[i]) > 128) {
			reply_fail(r, ERR_INVALID, "\"%.64s\" is not a tag; tags look like tag:server", m->tags[i]);
			return r->e;
		}
	if (!may_make_key(c, t, m, r))
		return r->e;
	if (*m->key_text && u)
		TRY(tidy_own_keys(c, u, r));
	r->secret = key_fresh(&r->arena, "hskey-auth-", row.prefix, row.hash);
	if (!r->secret)
		return ERR_NOMEM;
	TRY(next_id(c, &row.id));
	TRY(touch_new_authkey(c, row.id));
	int64_t id = row.id;
	row.description = strdup(m->description);
	row.tags = calloc(m->n_tags + 1, sizeof(*row.tags));
	err e = row.description && row.tags ? OK : ERR_NOMEM;
	for (size_t i = 0; e == OK && i < m->n_tags; i++) {
		row.tags[i] = strdup(m->tags[i]);
		if (!row.tags[i])
			e = ERR_NOMEM;
		else
			row.n_tags++;
	}
	if (e == OK)
		e = authkey_put_memory(c, &row);
	authkey_row_done(&row);
	TRY(e);
	struct authkey *k = map_get(&c->authkeys, &id);
	k->touched = c->tx;
	TRY(room_authkeys(r, 1));
	return add_authkey(c, r, k);
}

static int authkey_order(const void *a, const void *b)
{
	struct authkey *const *x = a, *const *y = b;

	return ((*x)->row.id > (*y)->row.id) - ((*x)->row.id < (*y)->row.id);
}

static err authkey_list(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = *m->user ? user_find(t, m->user) : NULL;
	CLEANUP(freep) struct authkey **all = malloc((c->authkeys.n + 1) * sizeof(*all));
	size_t at = 0, n = 0;

	if (*m->user && !u) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
		return r->e;
	}
	if (!all)
		return ERR_NOMEM;
	for (struct authkey *k; (k = map_next(&c->authkeys, &at));)
		if (k->t == t && (!u || k->row.user_id == u->row.id))
			all[n++] = k;
	if (n)
		qsort(all, n, sizeof(*all), authkey_order);
	TRY(room_authkeys(r, n));
	for (size_t i = 0; i < n; i++)
		TRY(add_authkey(c, r, all[i]));
	return OK;
}

static err authkey_expire(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct authkey *k = find_authkey(c, t, m, r);

	if (!k)
		return r->e;
	TRY(touch_authkey(c, k));
	if (!k->row.revoked_ms)
		k->row.revoked_ms = c->now.wall_ms;
	if (!k->row.expires_ms || k->row.expires_ms > c->now.wall_ms)
		k->row.expires_ms = c->now.wall_ms;
	TRY(room_authkeys(r, 1));
	return add_authkey(c, r, k);
}

static err authkey_delete(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct authkey *k = find_authkey(c, t, m, r);

	if (!k)
		return r->e;
	TRY(touch_authkey(c, k));
	authkey_drop_memory(c, k->row.id);
	return OK;
}

void on_command_key(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);
	err e = OK;

	if (m->kind == CMD_AUTHKEY_CREATE)
		e = authkey_create(c, t, m, r);
	else if (m->kind == CMD_AUTHKEY_LIST)
		e = authkey_list(c, t, m, r);
	else if (m->kind == CMD_AUTHKEY_EXPIRE)
		e = authkey_expire(c, t, m, r);
	else if (m->kind == CMD_AUTHKEY_DELETE)
		e = authkey_delete(c, t, m, r);
	r->e = e;
}
