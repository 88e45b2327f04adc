#include "derp/peer_set.h"

#include <stdlib.h>

#include "common/base/map.h"

void peer_set_done(struct peer_set *s)
{
	free(s->at);
	*s = (struct peer_set){ 0 };
}

static struct peer_set_entry *set_of(const struct peer_set *s, const struct node_pub *key)
{
	uint64_t h = map_hash(key->b, sizeof key->b);

	return s->at + (h & (s->cap / PEER_SET_WAYS - 1)) * PEER_SET_WAYS;
}

/* The entry of key, or the one to use for it: a free one, else the least recent. */
static struct peer_set_entry *find(const struct peer_set *s, const struct node_pub *key)
{
	struct peer_set_entry *set = set_of(s, key), *oldest = set;

	for (unsigned i = 0; i < PEER_SET_WAYS; i++) {
		if (set[i].stamp && node_pub_eq(&set[i].key, key))
			return &set[i];
		if (set[i].stamp < oldest->stamp)
			oldest = &set[i];
	}
	return oldest;
}

static bool grow(struct peer_set *s)
{
	struct peer_set bigger = { .cap = s->cap ? s->cap * 2 : PEER_SET_WAYS, .clock = s->clock };

	bigger.at = calloc(bigger.cap, sizeof *bigger.at);
	if (!bigger.at)
		return false;
	for (uint32_t i = 0; i < s->cap; i++)
		if (s->at[i].stamp)
			*find(&bigger, &s->at[i].key) = s->at[i];
	free(s->at);
	*s = bigger;
	return true;
}

void peer_set_add(struct peer_set *s, const struct node_pub *key)
{
	struct peer_set_entry *e;

	if (!s->cap && !grow(s))
		return;
	e = find(s, key);
	while (e->stamp && !node_pub_eq(&e->key, key) && s->cap < PEER_SET_MAX && grow(s))
		e = find(s, key);
	e->key = *key;
	if (++s->clock == 0) { /* after four thousand million packets ages start anew */
		for (uint32_t i = 0; i < s->cap; i++)
			s->at[i].stamp = s->at[i].stamp ? 1 : 0;
		s->clock = 2;
	}
	e->stamp = s->clock;
}

bool peer_set_has(const struct peer_set *s, const struct node_pub *key)
{
	if (!s->cap)
		return false;
	const struct peer_set_entry *e = find(s, key);

	return e->stamp && node_pub_eq(&e->key, key);
}

const struct node_pub *peer_set_next(const struct peer_set *s, uint32_t *at)
{
	while (*at < s->cap) {
		const struct peer_set_entry *e = &s->at[(*at)++];

		if (e->stamp)
			return &e->key;
	}
	return NULL;
}
