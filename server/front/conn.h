/* conn: one TCP connection until it is known what it speaks.
 *
 * Stages: PROXY protocol header (where the peer is listed for it), TLS, request head; then ts2021 or DERP take the
 * descriptor and the TLS stream over, or the request goes to libmicrohttpd through a pair (http_pair.h) and the next head
 * is awaited. One request is forwarded at a time, and every head passes through us, so that an upgrade is seen also as a
 * later request of a kept-alive connection. */
#pragma once

#include "server/front/wire.h"

enum {
	CONN_HANDSHAKE_MS = 10000, /* from accept to the end of the first head */
	CONN_IDLE_MS = 60000,	   /* between requests */
	CONN_STALL_MS = 30000,	   /* a body, or an answer that is not read */
	CONN_BODY_MS = 60000,	   /* from a head to the end of its body, however busily it trickles */
	CONN_LINGER_MS = 2000,	   /* after a refusal: reading on, so that the answer is not lost to a reset … */
	CONN_LINGER_MAX = 1024 * 1024, /* … and this many bytes of it */
	CONN_IN_MAX = 32 * 1024,
	CONN_OUT_MAX = 128 * 1024,
	CONN_OUT_HIGH = 64 * 1024, /* stop taking answers from libmicrohttpd above this, and answering */
	CONN_REQUESTS_A_TURN = 16, /* of one connection, then others get their turn */
};

/* Takes fd. tls: borrowed, NULL for plain. proxied: a PROXY protocol header comes first. */
void conn_start(struct wire *w, int fd, struct tls_ctx *tls, struct addrport peer, bool proxied);
