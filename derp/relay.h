/* relay: packets between clients by node key, on any number of threads. No sockets and no clock: conn.h moves bytes.
 *
 * A client belongs to one worker, a worker to one thread. Between clients of one worker a packet is queued where it
 * lies; to another worker it is copied once, into a message of many packets for that worker's inbox, from which it is queued
 * where it lies. A batch costs one lock and one wake-up, a packet on its own thread neither a lock nor an allocation; on its way to another, a lock once in many packets. Only the functions marked "any thread" may be called from elsewhere.
 *
 * A turn of a worker: fill relay_area, session_feed from it, relay_area_used; at the end relay_flush, which has every
 * client with output pushed by its owner and then makes queues own what they keep. */
#pragma once

#include "common/base/list.h"
#include "common/net/addr.h"
#include "derp/directory.h"
#include "derp/session.h"
#include "derp/stats.h"

enum {
	RELAY_WORKERS_MAX = 256,
	RELAY_AREA_BYTES = 256 << 10,	  /* a worker's read buffer */
	RELAY_AREA_MIN = 32 << 10,	  /* relay_area gives at least this much */
	RELAY_INBOX_BYTES = 8 << 20,	  /* packets from other threads that wait; more are dropped */
	RELAY_INBOX_HIGH = 2 << 20,	  /* from here on who sends to that thread pauses, so that nothing need be dropped */
	RELAY_GONE_BURST = 3,		  /* PeerGone(not here) a sender, then one a second */
	RELAY_YIELD_MS = 2,		  /* a sender to a congested receiver is not read from for so long */
	/* Frames a second from one client that bring nobody a packet: pings, packets to keys that are not here, kinds that we do
	 * not know. Over it reading pauses, as over a rate: whoever floods with them gets no more of a thread than that. */
	RELAY_IDLE_RATE = 20000,
	RELAY_IDLE_BURST = 4000,
	RELAY_PAUSE_MAX_MS = 1000,	  /* then the rate is looked at again: it may have changed */
	RELAY_RATE_MIN = 1000,		  /* bytes a second; a lower rate that is not 0 counts as this */
	RELAY_BURST_MIN = 65568,	  /* the largest frame's payload, as derper */
};

/* 0 means no limit. */
struct relay_limits {
	uint32_t max_conns;	     /* handshakes included */
	uint32_t max_conns_per_addr; /* per IPv4 address or IPv6 /64 */
	/* What waits for clients and what they left half sent, all together; split among workers. Over it nothing more is kept for
	 * clients that do not read, while those who do get their packets. */
	uint64_t max_queued_bytes;
	/* What is read, in bytes a second: over it reading pauses, so that TCP holds the sender back and nothing is lost.
	 * Mesh peers are exempt. */
	uint64_t client_rate;
	uint64_t client_burst; /* at least RELAY_BURST_MIN */
	uint64_t total_rate;   /* all clients together; split among workers */
};

/* Names a client whose admission is asked for. */
struct relay_ticket {
	struct conn_handle h;
};

enum relay_verdict { RELAY_ALLOW, RELAY_DENY, RELAY_LATER };

struct relay_opts {
	struct node_key key; /* the server's; wiped by relay_free */
	struct relay_limits limits;
	unsigned workers; /* how many will be made, at most RELAY_WORKERS_MAX */
	/* Whether a key may use the relay; called on the client's thread and must not block. NULL: everybody. */
	bool (*admit)(void *ctx, const struct node_pub *key, struct addr from);
	/* Asked instead of admit when set. After RELAY_LATER, relay_admit_done must follow within the handshake's time. */
	enum relay_verdict (*ask)(void *ctx, const struct node_pub *key, struct addr from, struct relay_ticket t);
	void *admit_ctx;
	/* Whoever shows this key in its ClientInfo is another relay of the region: no admission, no limits, and it may watch
	 * who is here, forward packets and close connections. Wiped by relay_free. */
	bool has_mesh_key;
	struct secret32 mesh_key;
};

struct relay;
struct relay_worker;
struct relay_client;

/* opts is copied. */
MUST_USE err relay_new(const struct relay_opts *opts, struct relay **out);
void relay_free(struct relay *r); /* all clients have ended; frees the workers. NULL is fine */
const struct node_key *relay_key(const struct relay *r);

/* wake is called from any thread when relay_worker_run has work; never twice before that ran. Before any traffic, one
 * call at a time. ERR_STATE: more than opts.workers. */
MUST_USE err relay_worker_new(struct relay *r, void (*wake)(void *ctx), void *ctx, struct relay_worker **out);
/* Takes in what other threads sent. Call relay_flush after it. */
void relay_worker_run(struct relay_worker *w, int64_t now_ms);

/* Room to read into, at least RELAY_AREA_MIN bytes; flushes first when there is less. */
uint8_t *relay_area(struct relay_worker *w, size_t *cap);
void relay_area_used(struct relay_worker *w, size_t n);
/* Calls push of every client that has output or has closed, lets queues own what they keep, and sends what is for other
 * threads. The area is free again. */
void relay_flush(struct relay_worker *w);
/* Called when there is something to flush, once until relay_flush; that may run, and fn be called anew, several times a
 * turn. NULL: the owner flushes anyway. */
void relay_on_dirty(struct relay_worker *w, void (*fn)(void *ctx), void *ctx);

struct relay_client_opts {
	struct addrport peer;
	bool not_ideal; /* the Ideal-Node header was there */
	bool websocket;
	/* Pull from the session until it is empty or the socket is full; look at its state. It may mark the client for
	 * its end, but ends it only after relay_flush has returned. */
	void (*push)(void *ctx);
	void *ctx;
};
/* Counts a connection against the limits. ERR_BUSY: over a limit; ERR_NOMEM. */
MUST_USE err relay_client_new(
	struct relay_worker *w, const struct relay_client_opts *o, int64_t now_ms, struct relay_client **out);
/* Takes it out of the tables and frees it. Not within its push. */
void relay_client_end(struct relay_client *c);
struct session *relay_client_session(struct relay_client *c);
bool relay_client_is_mesh(const struct relay_client *c);
void relay_client_feed(struct relay_client *c, uint8_t *p, size_t n, int64_t now_ms);
/* session_pull, counted. */
size_t relay_client_pull(struct relay_client *c, uint8_t *dst, size_t cap);
/* How long its owner should not read from it: its rate is used up, or it says much that is of use to nobody, or whom it
 * sends to is congested. 0: read on. */
int64_t relay_client_pause_ms(struct relay_client *c, int64_t now_ms);
/* The socket takes no more for now, or does again. */
void relay_client_blocked(struct relay_client *c, bool yes);
/* So many bytes wait for it, or of it, outside of the session: they count as queued ones do. */
void relay_client_holds(struct relay_client *c, size_t n);
void relay_client_write_timeout(struct relay_client *c); /* counts it and closes the session */

/* ---- any thread ------------------------------------------------------------------------------------------------- */

/* Asks a client that was answered RELAY_LATER in or out. A client that has gone is no error. ERR_NOMEM. */
MUST_USE err relay_admit_done(struct relay *r, struct relay_ticket t, bool allow);
/* Every key that is connected, with the address of its newest connection; fn must not call the relay. */
void relay_each_key(struct relay *r, void (*fn)(void *ctx, const struct node_pub *key, struct addr from), void *ctx);
/* Closes every connection of a key: its node was deleted or has expired. ERR_NOMEM. */
MUST_USE err relay_close_key(struct relay *r, const struct node_pub *key);
/* Text that clients show their user until it is called with empty text. ERR_NOMEM. */
MUST_USE err relay_health(struct relay *r, struct bytes text);
/* Refuses new clients, tells those here to return, and closes them one by one over spread_ms. ERR_NOMEM. */
MUST_USE err relay_drain(struct relay *r, uint32_t spread_ms, uint32_t try_for_ms);
/* New limits from now on; connections that are there stay. */
void relay_set_limits(struct relay *r, const struct relay_limits *l);
void relay_stats_read(struct relay *r, struct relay_stats *out);
struct directory_counts relay_count_keys(struct relay *r);
uint32_t relay_conns(const struct relay *r); /* connections now, handshakes included */
