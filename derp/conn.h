/* conn: a relay's client on a socket: moves bytes between TLS and the session, on the loop that accepted it.
 *
 * Whoever parsed the upgrade request (server/front or door.h) hands the connection over on the same thread and forgets
 * it. From here on: a write that the peer does not take for DERP_CONN_STALL_MS ends the connection, and so do the
 * session's own deadlines. */
#pragma once

#include "common/http/upgrade.h"
#include "common/net/loop.h"
#include "common/net/tls.h"
#include "derp/relay.h"

enum {
	DERP_CONN_STALL_MS = 2000,
	DERP_CONN_STALL_MESH_MS = 30000, /* of a mesh peer */
	DERP_CONN_USER_TIMEOUT_MS = 15000, /* unacknowledged data, a keepalive mostly: the peer is gone */
	DERP_CONN_TCP_KEEPALIVE_S = 600,   /* long on purpose: phones */
	DERP_CONN_NOTSENT_BYTES = 128 << 10, /* the kernel holds no more: dropping the oldest must act */
};

/* A relay's worker on a loop. One a thread; make all before traffic. */
struct derp_thread;
MUST_USE err derp_thread_new(struct relay *r, struct loop *l, struct derp_thread **out);
struct loop *derp_thread_loop(struct derp_thread *t);
struct relay_worker *derp_thread_worker(struct derp_thread *t);
/* Ends its connections, at once. On the loop's thread, or when that has stopped. Every thread of a relay is stopped
 * before the first of their loops is freed. */
void derp_thread_stop(struct derp_thread *t);
/* After loop_free, which runs what the end of connections has left to do; before relay_free. NULL is fine. */
void derp_thread_free(struct derp_thread *t);

/* For who limits how many there are; called on the thread of the connection, each once: when the client is admitted, or
 * will not be, and when the connection is over. */
struct derp_count {
	void (*settled)(void *ctx, struct addr counted);
	void (*over)(void *ctx, struct addr counted);
	void *ctx;
	struct addr counted;
};

struct derp_conn_start {
	int fd;		 /* taken */
	struct tls *tls; /* taken; plain or with the handshake done */
	struct addrport peer; /* the client's real address: admission and limits go by it */
	const struct upgrade *upgrade; /* UPGRADE_DERP or UPGRADE_DERP_WS; its 101 is written here */
	struct bytes early; /* what came after the request head */
	struct derp_count count; /* all zero: nobody counts */
};
void derp_conn_start(struct derp_thread *t, const struct derp_conn_start *s);
