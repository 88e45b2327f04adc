/* door: a connection of fairlead-derp before it is a relay's client: TLS, one request head at a time, small answers; an
 * upgrade is handed to conn.h. Over the limits the oldest newcomer is closed, so that silent connections keep nobody out. */
#pragma once

#include "common/net/loop.h"
#include "common/net/tls.h"
#include "derp/conn.h"
#include "derp/conn_limits.h"

enum {
	DOOR_HEAD_MS = 10000, /* handshake and request head, and between requests */
	DOOR_LINGER_MS = 2000, /* after a refusal; and so many bytes of what still comes are thrown away */
	DOOR_LINGER_MAX = 1024 * 1024,
	DOOR_OUT_MAX = 64 << 10,
	DOOR_CONNS = 4096,    /* at all doors of a process */
	DOOR_CONNS_PER_ADDR = 256,
};

/* One listening socket on one loop. */
struct door;
struct door_opts {
	struct loop *loop;
	struct derp_thread *thread; /* NULL: the plain port, which relays nothing */
	struct tls_ctx *tls;	    /* borrowed; NULL: plain */
	const char *hostname;	    /* borrowed: where the plain port sends browsers */
	struct conn_limits *limits; /* borrowed: shared by all doors */
	/* Asked first about a request that is no upgrade; may be NULL. False: not its path. */
	bool (*extra)(void *ctx, const struct http1_request *r, struct addr from, struct buf *out);
	void *extra_ctx;
	/* Borrowed. Whose X-Forwarded-For is believed: what comes from there is counted and admitted by the address in it. */
	const struct prefix *proxies;
	size_t n_proxies;
	size_t out_max; /* of an answer; 0: DOOR_OUT_MAX */
	int listen_fd;		    /* taken */
};
MUST_USE err door_new(const struct door_opts *o, struct door **out);
void door_shut(struct door *d); /* takes no more connections; those here go on */
void door_free(struct door *d); /* on the loop's thread, or when that has stopped; before loop_free. NULL is fine */
