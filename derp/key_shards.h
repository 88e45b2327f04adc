/* key_shards: a table by node key that all threads share, in pieces with a lock each. Who uses a piece takes its lock. */
#pragma once

#include <pthread.h>

#include "common/base/map.h"
#include "common/crypto/keys.h"

enum { KEY_SHARDS = 64 };

struct key_shard {
	pthread_rwlock_t lock;
	struct map by_key;
};
struct key_shards {
	struct key_shard at[KEY_SHARDS];
};

void key_shards_init(struct key_shards *s, struct map empty);
/* Frees each object with fn, then the tables. */
void key_shards_done(struct key_shards *s, void (*fn)(void *object));
struct key_shard *key_shards_of(struct key_shards *s, const struct node_pub *key);
