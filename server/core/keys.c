#include "server/core/state.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/hex.h"

err authkey_put_memory(struct core *c, struct authkey_row *taken)
{
	struct authkey *k = map_get(&c->authkeys, &taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t)
		return ERR_INVALID;
	if (!k) {
		k = calloc(1, sizeof *k);
		if (!k)
			return ERR_NOMEM;
		k->t = t;
		k->row.id = taken->id;
		memcpy(k->row.prefix, taken->prefix, sizeof k->row.prefix);
		err e = map_put(&c->authkeys, k);
		if (e == OK) {
			e = map_put(&c->authkeys_by_prefix, k);
			if (e != OK)
				map_del(&c->authkeys, &k->row.id);
		}
		if (e != OK) {
			free(k);
			return e;
		}
	}
	authkey_row_done(&k->row); /* id and prefix of a key never change, so the indexes hold */
	k->row = *taken;
	*taken = (struct authkey_row){ 0 };
	return OK;
}

void authkey_drop_memory(struct core *c, int64_t id)
{
	struct authkey *k = map_del(&c->authkeys, &id);

	if (!k)
		return;
	map_del(&c->authkeys_by_prefix, k->row.prefix);
	authkey_row_done(&k->row);
	free(k);
}

err apikey_put_memory(struct core *c, struct apikey_row *taken)
{
	struct apikey *k = map_get(&c->apikeys, &taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t)
		return ERR_INVALID;
	if (!k) {
		k = calloc(1, sizeof *k);
		if (!k)
			return ERR_NOMEM;
		k->t = t;
		k->row.id = taken->id;
		memcpy(k->row.prefix, taken->prefix, sizeof k->row.prefix);
		err e = map_put(&c->apikeys, k);
		if (e == OK) {
			e = map_put(&c->apikeys_by_prefix, k);
			if (e != OK)
				map_del(&c->apikeys, &k->row.id);
		}
		if (e != OK) {
			free(k);
			return e;
		}
	}
	apikey_row_done(&k->row);
	k->row = *taken;
	*taken = (struct apikey_row){ 0 };
	struct bytes bad;
	if (scope_parse(k->row.scopes, &k->may, &bad) != OK)
		k->may = 0; /* of a later version: it may do nothing here */
	return OK;
}

void apikey_drop_memory(struct core *c, int64_t id)
{
	struct apikey *k = map_del(&c->apikeys, &id);

	if (!k)
		return;
	map_del(&c->apikeys_by_prefix, k->row.prefix);
	apikey_row_done(&k->row);
	free(k);
}

/* "hskey-auth-" PREFIX "-" SECRET -> the prefix as the index has it, and the hash of the secret. */
static bool split_key(const char *text, const char *kind, char prefix[KEY_PREFIX_LEN + 1], uint8_t hash[KEY_HASH_LEN])
{
	struct bytes b = bytes_str(text), head = bytes_str(kind);
	struct secret32 secret;

	if (!bytes_has_prefix(b, head) || b.n != head.n + KEY_PREFIX_LEN + 1 + 64)
		return false;
	b = bytes_skip(b, head.n);
	memset(prefix, 0, KEY_PREFIX_LEN + 1);
	memcpy(prefix, b.p, KEY_PREFIX_LEN);
	b = bytes_skip(b, KEY_PREFIX_LEN + 1);
	if (hex_decode(b, secret.b, 32) != OK)
		return false;
	crypto_generichash(hash, KEY_HASH_LEN, secret.b, 32, NULL, 0);
	secret32_wipe(&secret);
	return true;
}

struct authkey *authkey_by_text(struct core *c, const char *text)
{
	char prefix[KEY_PREFIX_LEN + 1];
	uint8_t hash[KEY_HASH_LEN];

	if (!split_key(text, "hskey-auth-", prefix, hash))
		return NULL;
	struct authkey *k = map_get(&c->authkeys_by_prefix, prefix);
	return k && sodium_memcmp(k->row.hash, hash, sizeof hash) == 0 ? k : NULL;
}

/* How the text of each kind begins. OAuth clients have Tailscale's word: `tailscale up` knows their secrets by it. */
static const char *const apikey_words[] = {
	[APIKEY_KEY] = "hskey-api-", [APIKEY_CLIENT] = "tskey-client-", [APIKEY_TOKEN] = "hskey-oauthtok-"
};

struct apikey *apikey_by_text(struct core *c, const char *text)
{
	char prefix[KEY_PREFIX_LEN + 1];
	uint8_t hash[KEY_HASH_LEN];

	for (size_t kind = 0; kind < ARRAY_LEN(apikey_words); kind++) {
		if (!split_key(text, apikey_words[kind], prefix, hash))
			continue;
		struct apikey *k = map_get(&c->apikeys_by_prefix, prefix);
		return k && k->row.kind == kind && sodium_memcmp(k->row.hash, hash, sizeof hash) == 0 ? k : NULL;
	}
	return NULL;
}

bool apikey_is_valid(const struct core *c, const struct apikey *k)
{
	const struct apikey *parent = k->row.parent_id ? map_get(&c->apikeys, &k->row.parent_id) : NULL;
	const struct user *u = k->row.user_id ? map_get(&c->users, &k->row.user_id) : NULL;

	if (k->row.revoked_ms || (k->row.expires_ms && k->row.expires_ms <= c->now.wall_ms))
		return false;
	if (k->row.parent_id && (!parent || !apikey_is_valid(c, parent)))
		return false;
	return !k->row.user_id || (u && !u->row.suspended_ms && !user_waits(u));
}

err apikeys_drop_of_user(struct core *c, const struct user *u)
{
	size_t at = 0;

	for (struct apikey *k; (k = map_next(&c->apikeys, &at));) {
		if (k->row.user_id != u->row.id)
			continue;
		TRY(touch_apikey(c, k));
		apikey_drop_memory(c, k->row.id);
	}
	return OK;
}
