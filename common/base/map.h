/* map: a hash table of objects that carry their own fixed-length key (a public key, an id, an address).
 *
 * It holds pointers and owns nothing. The key lies inside each object at key_offset and must not change while the
 * object is in the table. Keys come from strangers, so the hash is keyed (SipHash with a random key a process). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct map {
	void **slot; /* owned; NULL = free, MAP_GONE = deleted */
	size_t cap;  /* power of two, or 0 */
	size_t used; /* live + deleted */
	size_t n;    /* live */
	size_t key_offset, key_len;
};

static inline struct map map_make(size_t key_offset, size_t key_len)
{
	return (struct map){ .key_offset = key_offset, .key_len = key_len };
}

/* struct map by_key = MAP_OF(struct node, key); */
#define MAP_OF(type, member) map_make(offsetof(type, member), sizeof(((type *)0)->member))

void map_done(struct map *m); /* frees the table, not the objects */
void *map_get(const struct map *m, const void *key);
/* ERR_EXISTS: an object with this key is in the table. ERR_NOMEM: nothing changed. */
MUST_USE err map_put(struct map *m, void *object);
/* Takes out and returns the object with this key, or NULL. */
void *map_del(struct map *m, const void *key);
/* Walks all objects: size_t at = 0; while ((o = map_next(m, &at))). Deleting the current one is allowed, adding is not. */
void *map_next(const struct map *m, size_t *at);

/* The keyed hash that the table uses; for other tables with strangers' keys. Variable length. */
uint64_t map_hash(const void *p, size_t n);
