#include "common/base/map.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static char gone; /* its address marks a deleted slot */
#define MAP_GONE ((void *)&gone)

static uint8_t hash_key[crypto_shorthash_KEYBYTES];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void hash_start(void)
{
	/* Not random_fill: a simulation replaces that, and the order of a table must never depend on its seed. */
	randombytes_buf(hash_key, sizeof hash_key);
}

uint64_t map_hash(const void *p, size_t n)
{
	uint64_t h;

	pthread_once(&hash_once, hash_start);
	crypto_shorthash((unsigned char *)&h, p, n, hash_key);
	return h;
}

static const void *key_of(const struct map *m, const void *o)
{
	return (const char *)o + m->key_offset;
}

void map_done(struct map *m)
{
	free(m->slot);
	*m = map_make(m->key_offset, m->key_len);
}

static size_t find(const struct map *m, const void *key, bool *found)
{
	size_t mask = m->cap - 1, i = map_hash(key, m->key_len) & mask, at = SIZE_MAX;

	for (;; i = (i + 1) & mask) {
		void *o = m->slot[i];

		if (!o) {
			*found = false;
			return at == SIZE_MAX ? i : at;
		}
		if (o == MAP_GONE) {
			if (at == SIZE_MAX)
				at = i;
		} else if (memcmp(key_of(m, o), key, m->key_len) == 0) {
			*found = true;
			return i;
		}
	}
}

void *map_get(const struct map *m, const void *key)
{
	bool found;

	if (m->n == 0)
		return NULL;
	size_t i = find(m, key, &found);
	return found ? m->slot[i] : NULL;
}

static err grow(struct map *m)
{
	size_t cap = 16;

	while (cap < m->n * 3 + 3)
		cap *= 2;
	struct map bigger = { .cap = cap, .key_offset = m->key_offset, .key_len = m->key_len };
	bigger.slot = calloc(cap, sizeof *bigger.slot);
	if (!bigger.slot)
		return ERR_NOMEM;
	for (size_t i = 0; i < m->cap; i++) {
		bool found;
		void *o = m->slot[i];

		if (o && o != MAP_GONE)
			bigger.slot[find(&bigger, key_of(m, o), &found)] = o;
	}
	bigger.n = bigger.used = m->n;
	free(m->slot);
	*m = bigger;
	return OK;
}

err map_put(struct map *m, void *object)
{
	bool found;

	if ((m->used + 1) * 3 >= m->cap * 2) {
		err e = grow(m);

		if (e != OK)
			return e;
	}
	size_t i = find(m, key_of(m, object), &found);
	if (found)
		return ERR_EXISTS;
	if (!m->slot[i])
		m->used++;
	m->slot[i] = object;
	m->n++;
	return OK;
}

void *map_del(struct map *m, const void *key)
{
	bool found;

	if (m->n == 0)
		return NULL;
	size_t i = find(m, key, &found);
	if (!found)
		return NULL;
	void *o = m->slot[i];
	m->slot[i] = MAP_GONE;
	m->n--;
	return o;
}

void *map_next(const struct map *m, size_t *at)
{
	while (*at < m->cap) {
		void *o = m->slot[(*at)++];

		if (o && o != MAP_GONE)
			return o;
	}
	return NULL;
}
