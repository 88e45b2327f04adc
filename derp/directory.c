#include "derp/directory.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "derp/key_shards.h"

struct directory_key {
	struct node_pub key;
	_Atomic uint64_t active; /* packed handle */
	_Atomic unsigned n;
	atomic_bool congested;
	uint64_t conn[DIRECTORY_CONNS_PER_KEY]; /* in order of joining; under the shard's lock */
	struct peer_set sent_to;		/* of those that have left */
	struct directory_info info;		/* under the shard's lock */
};

struct directory {
	struct key_shards shards;
	_Alignas(64) _Atomic uint64_t version; /* read for each packet between threads: alone in its cache line */
};

static uint64_t pack(struct conn_handle h)
{
	return (uint64_t)h.worker << 48 | h.id;
}

static struct conn_handle unpack(uint64_t v)
{
	return (struct conn_handle){ .worker = (uint16_t)(v >> 48), .id = v & ((1ull << 48) - 1) };
}

err directory_new(struct directory **out)
{
	struct directory *d = aligned_alloc(_Alignof(struct directory), sizeof *d);

	if (!d)
		return ERR_NOMEM;
	*d = (struct directory){ 0 };
	key_shards_init(&d->shards, MAP_OF(struct directory_key, key));
	*out = d;
	return OK;
}

static void key_free(void *object)
{
	struct directory_key *k = object;

	peer_set_done(&k->sent_to);
	free(k);
}

void directory_free(struct directory *d)
{
	if (!d)
		return;
	key_shards_done(&d->shards, key_free);
	free(d);
}

/* The caller holds the lock of what changed: who asked before has the old version. */
static void changed(struct directory *d)
{
	atomic_fetch_add_explicit(&d->version, 1, memory_order_release);
}

static err join_locked(struct key_shard *s, const struct node_pub *key, uint64_t conn, const struct directory_info *info,
	struct directory_key **out)
{
	struct directory_key *k = map_get(&s->by_key, key->b);

	if (!k) {
		k = calloc(1, sizeof *k);
		if (!k)
			return ERR_NOMEM;
		k->key = *key;
		err e = map_put(&s->by_key, k);
		if (e != OK) {
			free(k);
			return e;
		}
	}
	unsigned n = atomic_load(&k->n);
	if (n == DIRECTORY_CONNS_PER_KEY)
		return ERR_BUSY;
	k->conn[n] = conn;
	k->info = *info;
	atomic_store(&k->active, conn);
	atomic_store(&k->n, n + 1);
	*out = k;
	return OK;
}

err directory_join(struct directory *d, const struct node_pub *key, struct conn_handle h,
	const struct directory_info *info, struct directory_key **out)
{
	struct key_shard *s = key_shards_of(&d->shards, key);

	pthread_rwlock_wrlock(&s->lock);
	err e = join_locked(s, key, pack(h), info, out);
	changed(d);
	pthread_rwlock_unlock(&s->lock);
	return e;
}

bool directory_leave(struct directory *d, struct directory_key *k, struct conn_handle h, struct peer_set sent_to,
	struct peer_set *all)
{
	struct key_shard *s = key_shards_of(&d->shards, &k->key);
	uint64_t conn = pack(h);
	const struct node_pub *dst;
	uint32_t at = 0;

	pthread_rwlock_wrlock(&s->lock);
	unsigned n = atomic_load(&k->n), i = 0;
	while (i < n && k->conn[i] != conn)
		i++;
	if (i < n)
		memmove(&k->conn[i], &k->conn[i + 1], (n - i - 1) * sizeof k->conn[0]);
	n -= i < n;
	atomic_store(&k->n, n);
	if (n && atomic_load(&k->active) == conn)
		atomic_store(&k->active, k->conn[n - 1]); /* the newest of the rest */
	if (n == 0)
		map_del(&s->by_key, k->key.b);
	changed(d);
	if (!k->sent_to.cap) {
		peer_set_done(&k->sent_to);
		k->sent_to = sent_to;
	} else {
		while ((dst = peer_set_next(&sent_to, &at)))
			peer_set_add(&k->sent_to, dst);
		peer_set_done(&sent_to);
	}
	pthread_rwlock_unlock(&s->lock);
	if (n)
		return false;
	*all = k->sent_to;
	free(k); /* nobody else has joined it, and it is out of the table */
	return true;
}

void directory_touch(struct directory *d, struct directory_key *k, struct conn_handle h)
{
	struct key_shard *s = key_shards_of(&d->shards, &k->key);

	pthread_rwlock_wrlock(&s->lock);
	atomic_store(&k->active, pack(h));
	changed(d);
	pthread_rwlock_unlock(&s->lock);
}

uint64_t directory_version(const struct directory *d)
{
	return atomic_load_explicit(&d->version, memory_order_acquire);
}

bool directory_find(struct directory *d, const struct node_pub *key, struct conn_handle *out, bool *congested)
{
	struct key_shard *s = key_shards_of(&d->shards, key);

	pthread_rwlock_rdlock(&s->lock);
	const struct directory_key *k = map_get(&s->by_key, key->b);
	if (k)
		*out = unpack(atomic_load(&k->active));
	if (congested)
		*congested = k && atomic_load_explicit(&k->congested, memory_order_relaxed);
	pthread_rwlock_unlock(&s->lock);
	return k != NULL;
}

unsigned directory_all(struct directory *d, const struct node_pub *key, struct conn_handle out[DIRECTORY_CONNS_PER_KEY])
{
	struct key_shard *s = key_shards_of(&d->shards, key);
	unsigned n = 0;

	pthread_rwlock_rdlock(&s->lock);
	const struct directory_key *k = map_get(&s->by_key, key->b);
	for (; k && n < atomic_load(&k->n); n++)
		out[n] = unpack(k->conn[n]);
	pthread_rwlock_unlock(&s->lock);
	return n;
}

void directory_each(struct directory *d,
	void (*fn)(void *ctx, const struct node_pub *key, const struct directory_info *info), void *ctx)
{
	for (unsigned i = 0; i < KEY_SHARDS; i++) {
		const struct directory_key *k;
		size_t at = 0;

		pthread_rwlock_rdlock(&d->shards.at[i].lock);
		while ((k = map_next(&d->shards.at[i].by_key, &at)))
			fn(ctx, &k->key, &k->info);
		pthread_rwlock_unlock(&d->shards.at[i].lock);
	}
}

struct conn_handle directory_active(const struct directory_key *k)
{
	return unpack(atomic_load_explicit(&k->active, memory_order_acquire));
}

void directory_note_congested(struct directory_key *k, bool yes)
{
	if (atomic_load_explicit(&k->congested, memory_order_relaxed) != yes)
		atomic_store_explicit(&k->congested, yes, memory_order_relaxed);
}

bool directory_is_shared(const struct directory_key *k)
{
	return atomic_load_explicit(&k->n, memory_order_relaxed) > 1;
}

struct directory_counts directory_count(struct directory *d)
{
	struct directory_counts c = { 0 };

	for (unsigned i = 0; i < KEY_SHARDS; i++) {
		const struct directory_key *k;
		size_t at = 0;

		pthread_rwlock_rdlock(&d->shards.at[i].lock);
		while ((k = map_next(&d->shards.at[i].by_key, &at))) {
			unsigned n = atomic_load(&k->n);

			c.keys++;
			c.dup_keys += n > 1;
			c.dup_conns += n > 1 ? n : 0;
		}
		pthread_rwlock_unlock(&d->shards.at[i].lock);
	}
	return c;
}
