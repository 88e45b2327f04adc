#include "derp/forwarders.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "derp/key_shards.h"

struct remote {
	struct remote *next; /* of those that a broken link leaves */
	struct node_pub key;
	uint8_t link[FORWARDERS_LINKS_MAX]; /* oldest claim first */
	unsigned n;
	struct peer_set heard;
};

struct forwarders {
	struct key_shards shards;
	_Atomic size_t n;
};

err forwarders_new(struct forwarders **out)
{
	struct forwarders *f = calloc(1, sizeof *f);

	if (!f)
		return ERR_NOMEM;
	key_shards_init(&f->shards, MAP_OF(struct remote, key));
	*out = f;
	return OK;
}

static void remote_free(void *object)
{
	struct remote *k = object;

	peer_set_done(&k->heard);
	free(k);
}

void forwarders_free(struct forwarders *f)
{
	if (!f)
		return;
	key_shards_done(&f->shards, remote_free);
	free(f);
}

static unsigned claim_at(const struct remote *k, unsigned link)
{
	unsigned i = 0;

	while (i < k->n && k->link[i] != link)
		i++;
	return i;
}

static err add_locked(struct forwarders *f, struct key_shard *s, const struct node_pub *key, unsigned link)
{
	struct remote *k = map_get(&s->by_key, key->b);

	if (!k) {
		if (atomic_load(&f->n) >= FORWARDERS_KEYS_MAX)
			return ERR_TOO_BIG;
		k = calloc(1, sizeof *k);
		if (!k)
			return ERR_NOMEM;
		k->key = *key;
		err e = map_put(&s->by_key, k);
		if (e != OK) {
			free(k);
			return e;
		}
		atomic_fetch_add(&f->n, 1);
	}
	if (claim_at(k, link) == k->n && k->n < FORWARDERS_LINKS_MAX)
		k->link[k->n++] = (uint8_t)link;
	return OK;
}

err forwarders_add(struct forwarders *f, const struct node_pub *key, unsigned link)
{
	struct key_shard *s = key_shards_of(&f->shards, key);

	pthread_rwlock_wrlock(&s->lock);
	err e = add_locked(f, s, key, link);
	pthread_rwlock_unlock(&s->lock);
	return e;
}

/* The caller holds the lock. The remote, out of the table, when link's was its last claim. */
static struct remote *end_claim(struct forwarders *f, struct key_shard *s, struct remote *k, unsigned link)
{
	unsigned i = claim_at(k, link);

	if (i == k->n)
		return NULL;
	memmove(&k->link[i], &k->link[i + 1], (k->n - i - 1) * sizeof k->link[0]);
	if (--k->n)
		return NULL;
	map_del(&s->by_key, k->key.b);
	atomic_fetch_sub(&f->n, 1);
	return k;
}

bool forwarders_del(struct forwarders *f, const struct node_pub *key, unsigned link, struct peer_set *heard)
{
	struct key_shard *s = key_shards_of(&f->shards, key);

	pthread_rwlock_wrlock(&s->lock);
	struct remote *k = map_get(&s->by_key, key->b);
	if (k)
		k = end_claim(f, s, k, link);
	pthread_rwlock_unlock(&s->lock);
	if (!k)
		return false;
	*heard = k->heard;
	free(k);
	return true;
}

void forwarders_drop(struct forwarders *f, unsigned link,
	void (*gone)(void *ctx, const struct node_pub *key, const struct peer_set *heard), void *ctx)
{
	for (unsigned i = 0; i < KEY_SHARDS; i++) {
		struct key_shard *s = &f->shards.at[i];
		struct remote *k, *left = NULL;
		size_t at = 0;

		pthread_rwlock_wrlock(&s->lock);
		while ((k = map_next(&s->by_key, &at)))
			if (end_claim(f, s, k, link)) {
				k->next = left;
				left = k;
			}
		pthread_rwlock_unlock(&s->lock);
		while ((k = left)) {
			left = k->next;
			gone(ctx, &k->key, &k->heard);
			remote_free(k);
		}
	}
}

bool forwarders_find(struct forwarders *f, const struct node_pub *key, unsigned *link)
{
	struct key_shard *s = key_shards_of(&f->shards, key);

	pthread_rwlock_rdlock(&s->lock);
	const struct remote *k = map_get(&s->by_key, key->b);
	if (k)
		*link = k->link[0];
	pthread_rwlock_unlock(&s->lock);
	return k != NULL;
}

void forwarders_note(struct forwarders *f, const struct node_pub *src, const struct node_pub *dst)
{
	struct key_shard *s = key_shards_of(&f->shards, src);

	pthread_rwlock_wrlock(&s->lock);
	struct remote *k = map_get(&s->by_key, src->b);
	if (k)
		peer_set_add(&k->heard, dst);
	pthread_rwlock_unlock(&s->lock);
}

bool forwarders_take_heard(struct forwarders *f, const struct node_pub *key, struct peer_set *heard)
{
	struct key_shard *s = key_shards_of(&f->shards, key);
	const struct node_pub *dst;
	uint32_t at = 0;

	pthread_rwlock_wrlock(&s->lock);
	struct remote *k = map_get(&s->by_key, key->b);
	while (k && (dst = peer_set_next(heard, &at)))
		peer_set_add(&k->heard, dst);
	pthread_rwlock_unlock(&s->lock);
	if (k)
		peer_set_done(heard);
	return k != NULL;
}

size_t forwarders_count(struct forwarders *f)
{
	return atomic_load(&f->n);
}
