#include "derp/key_shards.h"

void key_shards_init(struct key_shards *s, struct map empty)
{
	for (unsigned i = 0; i < KEY_SHARDS; i++) {
		pthread_rwlock_init(&s->at[i].lock, NULL);
		s->at[i].by_key = empty;
	}
}

void key_shards_done(struct key_shards *s, void (*fn)(void *object))
{
	for (unsigned i = 0; i < KEY_SHARDS; i++) {
		size_t at = 0;
		void *o;

		while ((o = map_next(&s->at[i].by_key, &at)))
			fn(o);
		map_done(&s->at[i].by_key);
		pthread_rwlock_destroy(&s->at[i].lock);
	}
}

/* High bits: the tables inside use the low ones. */
struct key_shard *key_shards_of(struct key_shards *s, const struct node_pub *key)
{
	return &s->at[map_hash(key->b, sizeof key->b) >> 58];
}
_Static_assert(KEY_SHARDS == 64, "key_shards_of takes six bits");
