/* relay_state: what relay.c and its parts share: the relay's objects. Each worker, with its clients, belongs to its thread. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/map.h"
#include "derp/conn_limits.h"
#include "derp/forwarders.h"
#include "derp/inbox.h"
#include "derp/relay.h"
#include "derp/relay_mesh.h"

struct relay_client {
	struct session s;
	struct relay_worker *w;
	uint64_t id;
	struct directory_key *entry; /* NULL until admitted */
	struct list all;	     /* of its worker */
	struct list same_key;	     /* ring of this worker's clients with this key; one of them is in by_key */
	struct list dirty;	     /* in its worker's list while it has something to push */
	struct list watching;	     /* in its worker's watchers */
	struct peer_set sent_to;
	struct node_pub last_dst;	   /* where its last packet went, if has_last, and who had that key then: */
	struct relay_client *last_head; /* by_key's answer while last_epoch is the worker's epoch; NULL: nobody here, but */
	uint64_t last_epoch;
	struct conn_handle last_far;    /* on another worker, while this is the directory's version */
	uint64_t last_far_version;
	unsigned last_far_uses;         /* left, then the directory is asked again whether it is congested */
	bool has_last;
	unsigned waits_for;  /* 1 + the worker whose inbox was full when it sent there; 0: none */
	struct relay_client_opts opts;
	int64_t since_ms;
	uint64_t bytes_in, bytes_out, dropped;
	bool blocked;	    /* its socket takes no more */
	size_t held;	    /* by its owner, counted in queued_bytes */
	int64_t yield_ms;   /* do not read before; 0: read */
	int64_t tokens;	    /* bytes that it may still send now; below 0: how many too many */
	int64_t tokens_ms;  /* when they were counted last */
	int64_t idle_tokens; /* the same for frames that brought nobody a packet */
	int64_t idle_ms;
	unsigned idle; /* such frames since they were charged last */
	unsigned gone_tokens;
	int64_t gone_at_ms;
	bool home;
};

struct relay_worker {
	struct relay *r;
	uint16_t index;
	void (*wake)(void *ctx);
	void *wake_ctx;
	void (*on_dirty)(void *ctx);
	void *on_dirty_ctx;
	bool told_dirty;
	struct session_pool pool;
	struct map by_key; /* one client a key; the others hang on its ring */
	uint64_t epoch;	   /* changes with by_key */
	struct map by_id;
	struct list all, dirty, watchers;
	uint64_t last_id;
	int64_t queued_bytes;
	int64_t tokens, tokens_ms; /* of all its clients together */
	struct stats_cells stats;
	struct inbox inbox;
	struct msg_list *out; /* one a worker: what the turn gathered for it */
	struct msg_pool packets;
	struct msg_list lent; /* from other workers: queues borrow packets of them until relay_flush */
	uint8_t *area;
	size_t area_used;
};

/* To another relay of the region; its socket is mesh_link.h's. */
struct relay_link {
	struct relay_worker *w;
	void (*forward)(void *ctx, struct bytes frame);
	void *ctx;
};

struct relay_collect;

struct relay {
	struct relay_opts opts;
	struct directory *dir;
	struct forwarders *remote;
	struct relay_link link[FORWARDERS_LINKS_MAX];
	_Atomic unsigned n_links;
	atomic_bool watched[RELAY_WORKERS_MAX]; /* the worker has watchers */
	struct conn_limits limits;
	/* Of all workers, changed while they run. */
	_Atomic uint64_t worker_queued_bytes, client_rate, client_burst, worker_rate;
	atomic_bool draining;
	_Atomic unsigned n_workers;
	struct relay_worker *worker[RELAY_WORKERS_MAX];
};

static inline struct relay_client *client_of(struct session *s)
{
	return container_of(s, struct relay_client, s);
}

static inline struct conn_handle handle_of(const struct relay_client *c)
{
	return (struct conn_handle){ .worker = c->w->index, .id = c->id };
}

/* ---- relay.c ---- */

void worker_tell_dirty(struct relay_worker *w); /* relay_flush has something to do */
/* For worker number to, when this turn ends. m is taken. */
void worker_post(struct relay_worker *w, uint16_t to, struct relay_msg *m);
/* Tells dst's connections that gone is no longer in this region. */
void worker_tell_gone(struct relay_worker *w, const struct node_pub *dst, const struct node_pub *gone);

/* From any thread, at once. m is taken; NULL is out of memory. */
MUST_USE err relay_post(struct relay *r, uint16_t to, struct relay_msg *m);

/* ---- relay_deliver.c ---- */

void worker_count_drop(struct relay_worker *w, enum session_drop why, bool disco);
/* Delivers a packet to dst where it is connected to this relay, on any worker; pkt is taken. False: it is not, and pkt
 * is still the caller's. congested (may be NULL): it arrives faster than it leaves. */
bool worker_deliver(struct relay_worker *w, const struct node_pub *dst, struct session_packet *pkt, bool *congested);
/* A session's packet (session_host). */
void deliver_on_packet(struct session *s, const struct node_pub *dst, struct session_packet pkt, int64_t now_ms);
/* More waits for that worker than should: who sends to it should pause. */
bool deliver_is_full(const struct relay_worker *w, unsigned to);
/* MSG_PACKETS, from another worker: must live until relay_flush. */
void deliver_arrived(struct relay_worker *w, const struct relay_msg *m);

/* ---- relay_rate.c ---- */

/* It has sent n bytes; c->idle is charged and begins anew. */
void rate_charge(struct relay_client *c, size_t n, int64_t now_ms);

/* ---- relay_control.c ---- */

/* MSG_COLLECT to worker number i. */
MUST_USE err relay_post_collect(struct relay *r, unsigned i, struct relay_collect *k);

/* ---- relay_list.c ---- */

void worker_collect(struct relay_worker *w, struct relay_collect *k, int64_t now_ms);

/* ---- relay_mesh.c ---- */

/* A RecvPacket from src for a key at another relay, to the link that leads there. pkt is taken. False: no link does, and
 * pkt is still the caller's. */
bool mesh_forward(struct relay_worker *w, const struct node_pub *src, const struct node_pub *dst, struct session_packet *pkt);
/* A key came (first or further connection) or left (its last one): the watchers hear of it. */
void mesh_came(struct relay_client *c);
void mesh_left(struct relay_worker *w, const struct node_pub *key);
void mesh_tell_watchers(struct relay_worker *w, const struct relay_msg *m);
bool mesh_is_peer(const struct relay_client *c); /* it showed the mesh key */
void mesh_unwatch(struct relay_client *c);
void mesh_on_forward(struct session *s, const struct node_pub *src, const struct node_pub *dst, struct session_packet pkt,
	int64_t now_ms);
void mesh_on_watch(struct session *s);
void mesh_on_close_peer(struct session *s, const struct node_pub *key);
struct directory_info mesh_info(const struct relay_client *c);
