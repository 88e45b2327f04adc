/* inbox: what threads of a relay tell each other. A sender gathers messages in an outbox of its own and delivers them in
 * one go; the receiver takes all that is there. Packets are bounded in bytes, the oldest make room; notices are kept. */
#pragma once

#include <pthread.h>

#include "common/crypto/keys.h"
#include "derp/directory.h"

enum relay_msg_kind {
	MSG_PACKET,	/* data is a RecvPacket for key */
	MSG_PEER_GONE,	/* tell key that other has gone */
	MSG_CLOSE_KEY,	/* close the connections of key */
	MSG_ADMIT,	/* client number id is allowed, or not */
	MSG_HEALTH,	/* data is text for all clients */
	MSG_DRAIN,	/* spread_ms, try_for_ms */
	MSG_FORWARD,	/* data is a ForwardPacket for mesh link number id */
	MSG_CAME,	/* key joined, data is its struct directory_info: tell the mesh watchers */
	MSG_LEFT,	/* key left: the same */
	MSG_COLLECT,	/* collect: add your clients to it (relay_list.h) */
};

struct relay_msg {
	struct relay_msg *next;
	enum relay_msg_kind kind;
	bool disco, allow;
	uint32_t spread_ms, try_for_ms;
	struct relay_collect *collect; /* a reference, which the handler gives up */
	uint64_t id;
	struct node_pub key, other;
	uint32_t n;
	uint8_t *data; /* owned */
};

struct msg_list {
	struct relay_msg *first, **end;
	uint64_t packet_bytes;
};

/* data (taken) may be NULL. NULL: out of memory, and data is freed. */
struct relay_msg *msg_new(enum relay_msg_kind kind, const struct node_pub *key, uint8_t *data, size_t n);
void msg_free(struct relay_msg *m);

void msg_list_init(struct msg_list *l);
void msg_list_add(struct msg_list *l, struct relay_msg *m);
struct relay_msg *msg_list_pop(struct msg_list *l); /* NULL: empty */
void msg_list_done(struct msg_list *l);

struct inbox {
	pthread_mutex_t lock;
	struct msg_list list;
	bool woken; /* the owner was told and has not taken yet */
};

void inbox_init(struct inbox *b);
void inbox_done(struct inbox *b);
/* Moves all of from into the inbox; over max_bytes the oldest packets move to *dropped. True: wake the owner. */
bool inbox_deliver(struct inbox *b, struct msg_list *from, uint64_t max_bytes, struct msg_list *dropped);
/* Moves all of the inbox to *to. */
void inbox_take(struct inbox *b, struct msg_list *to);
