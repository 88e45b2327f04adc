/* peer_set: the keys that a client has sent packets to, most recent ones only. When the client goes, those are told.
 *
 * A set-associative table of at most PEER_SET_MAX keys that grows from nothing; the least recent of a set of four makes
 * room. What falls out is not told, which a client survives: it asks again by sending. */
#pragma once

#include "common/crypto/keys.h"

enum { PEER_SET_WAYS = 4, PEER_SET_MAX = 256 };

struct peer_set_entry {
	struct node_pub key;
	uint32_t stamp; /* 0: free */
};
struct peer_set {
	struct peer_set_entry *at; /* owned */
	uint32_t cap;		   /* 0, or a power of two from PEER_SET_WAYS on */
	uint32_t clock;
};

void peer_set_done(struct peer_set *s);
/* Adds or refreshes. Without memory nothing is remembered. */
void peer_set_add(struct peer_set *s, const struct node_pub *key);
bool peer_set_has(const struct peer_set *s, const struct node_pub *key);
/* Walks: uint32_t at = 0; while ((key = peer_set_next(s, &at))). */
const struct node_pub *peer_set_next(const struct peer_set *s, uint32_t *at);
