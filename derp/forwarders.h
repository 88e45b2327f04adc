/* forwarders: which mesh link leads to a key that is connected to another relay of this region, and to whom of ours that
 * key has spoken. Shared by all threads.
 *
 * Several links may claim a key (it has connections to several relays); the oldest claim is used. Facts:
 * protocol/derp.md 7 (tailscale@de9ec7ee2 derp/derpserver/derpserver.go, AddPacketForwarder). */
#pragma once

#include "common/crypto/keys.h"
#include "derp/peer_set.h"

enum {
	FORWARDERS_LINKS_MAX = 16,
	FORWARDERS_KEYS_MAX = 1 << 20, /* all links together; further keys are not reachable through the mesh */
};

struct forwarders;

MUST_USE err forwarders_new(struct forwarders **out);
void forwarders_free(struct forwarders *f);

/* ERR_TOO_BIG: FORWARDERS_KEYS_MAX; ERR_NOMEM. Claiming again is no error. */
MUST_USE err forwarders_add(struct forwarders *f, const struct node_pub *key, unsigned link);
/* True when it was the last claim: *heard holds those who got packets from the key, and is the caller's. */
bool forwarders_del(struct forwarders *f, const struct node_pub *key, unsigned link, struct peer_set *heard);
/* Ends every claim of a link; gone is called, without a lock, for each key that no link leads to any more. */
void forwarders_drop(struct forwarders *f, unsigned link,
	void (*gone)(void *ctx, const struct node_pub *key, const struct peer_set *heard), void *ctx);
bool forwarders_find(struct forwarders *f, const struct node_pub *key, unsigned *link);
/* dst, one of ours, got a packet from src. */
void forwarders_note(struct forwarders *f, const struct node_pub *src, const struct node_pub *dst);
/* The key has left us: when a link leads to it, *heard is taken and true is returned. */
bool forwarders_take_heard(struct forwarders *f, const struct node_pub *key, struct peer_set *heard);
size_t forwarders_count(struct forwarders *f);
