/* inbox: what threads of a relay tell each other. A sender gathers messages in an outbox of its own and delivers them in
 * one go; the receiver takes all that is there. Packets are bounded in bytes, the oldest make room; notices are kept. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "common/crypto/keys.h"
#include "derp/directory.h"

enum relay_msg_kind {
	MSG_PACKETS,	/* data holds count packets, see msg_add_packet */
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
	uint32_t n, cap, count;
	uint8_t *data; /* owned */
};

struct msg_list {
	struct relay_msg *first, **end;
	struct relay_msg *open[2]; /* where the next bulk packet goes, and the next of disco; NULL: into a message of its own */
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
	_Atomic uint64_t waiting; /* packet_bytes of list, for whoever wants to know without the lock */
};

/* Full-sized messages of packets, kept by a thread for those that it will send: memory that is still in its cache. */
struct msg_pool {
	struct relay_msg *free;
	unsigned n;
};
void msg_pool_done(struct msg_pool *p);
/* Frees all of l, or keeps what may be used again. */
void msg_recycle(struct msg_pool *p, struct msg_list *l);

/* Copies a RecvPacket for dst behind the others of its kind: into the message that they lie in, where that has room, else into
 * a new one. So a batch costs few allocations, also of a sender who alternates kinds. Nothing overtakes one of its kind, nor a
 * notice; disco and bulk have queues of their own anyway. False: out of memory. */
bool msg_add_packet(struct msg_list *l, struct msg_pool *p, const struct node_pub *dst, struct bytes packet, bool disco);
/* The packet at *at, which moves on; false: no more. It lies in m. */
bool msg_next_packet(const struct relay_msg *m, size_t *at, struct node_pub *dst, uint8_t **p, uint32_t *n);

void inbox_init(struct inbox *b);
void inbox_done(struct inbox *b);
/* Moves all of from into the inbox; over max_bytes the oldest packets move to *dropped. True: wake the owner. */
bool inbox_deliver(struct inbox *b, struct msg_list *from, uint64_t max_bytes, struct msg_list *dropped);
/* Moves all of the inbox to *to. */
void inbox_take(struct inbox *b, struct msg_list *to);
