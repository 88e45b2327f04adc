/* directory: which connection of which thread serves a node key. Shared by all threads; asked only for keys that are
 * not on the asking thread, and when connections come and go.
 *
 * Of several connections with one key one is active and gets the packets: the newest, then whichever last sent a frame
 * (protocol/derp.md 6.3). Connections are named by handles: pointers never cross threads. */
#pragma once

#include <stdatomic.h>

#include "common/crypto/keys.h"
#include "common/net/addr.h"
#include "derp/peer_set.h"

enum { DIRECTORY_CONNS_PER_KEY = 32 };

/* A connection: the thread's index and its number there (never 0). */
struct conn_handle {
	uint16_t worker;
	uint64_t id; /* 48 bits */
};

/* What mesh watchers hear of a key: about its newest connection. */
struct directory_info {
	struct addrport addr;
	uint8_t flags; /* DERP_PRESENT_… */
};

struct directory;
struct directory_key;

MUST_USE err directory_new(struct directory **out);
void directory_free(struct directory *d); /* all connections have left */

/* Registers a connection, which becomes active. *key is valid until it leaves. ERR_BUSY: too many with this key. */
MUST_USE err directory_join(struct directory *d, const struct node_pub *key, struct conn_handle h,
	const struct directory_info *info, struct directory_key **out);
/* sent_to is taken. True when it was the last of its key: then *all holds what every connection of the key sent to, and
 * is the caller's. */
bool directory_leave(struct directory *d, struct directory_key *k, struct conn_handle h, struct peer_set sent_to,
	struct peer_set *all);
/* Makes a connection of the key the active one. */
void directory_touch(struct directory *d, struct directory_key *k, struct conn_handle h);

/* The active connection of a key. False: nobody has it. congested (may be NULL): it does not take what it is sent, as its
 * thread said last. */
bool directory_find(struct directory *d, const struct node_pub *key, struct conn_handle *out, bool *congested);
/* Changes whenever an answer of directory_find may: while it stays, so does the answer (but for congested). */
uint64_t directory_version(const struct directory *d);
/* Every connection of a key, at most DIRECTORY_CONNS_PER_KEY; returns how many. */
unsigned directory_all(struct directory *d, const struct node_pub *key, struct conn_handle out[DIRECTORY_CONNS_PER_KEY]);

/* Every key. fn must not call the directory. */
void directory_each(struct directory *d,
	void (*fn)(void *ctx, const struct node_pub *key, const struct directory_info *info), void *ctx);

/* Without a lock, by whoever has joined. */
struct conn_handle directory_active(const struct directory_key *k);
bool directory_is_shared(const struct directory_key *k); /* more than one connection has this key */
void directory_note_congested(struct directory_key *k, bool yes);

struct directory_counts {
	uint64_t keys, dup_keys, dup_conns;
};
struct directory_counts directory_count(struct directory *d);
