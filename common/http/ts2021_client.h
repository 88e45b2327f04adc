/* ts2021_client: the node's half of a ts2021 connection: upgrade request, Noise handshake, records, and HTTP/2 in them.
 *
 * An engine: bytes in, HTTP/2 events out, bytes out; no sockets, no clock, no reconnecting. The owner feeds what it reads,
 * makes requests on c->h2 (common/http/http2.h) once it is there, calls ts2021_client_flush, and writes c->out. The
 * opposite of server/ts2021. Specification: protocol/control.md 2.1 and 3. */
#pragma once

#include "common/base/buf.h"
#include "common/crypto/noise_ik.h"
#include "common/http/http2.h"

enum {
	TS2021_CLIENT_OUT_MAX = 2 << 20, /* sealed bytes that wait for the transport */
	TS2021_CLIENT_HOST_MAX = 300,
	TS2021_CLIENT_WHY_MAX = 200,
};

struct ts2021_client_opts {
	const struct machine_key *machine; /* copied for the handshake and wiped after it */
	const struct machine_pub *server;  /* from GET /key */
	uint16_t version;		   /* our capability version */
	const char *host;		   /* "name:port", for the Host header */
	uint32_t window;		   /* of each response; 0: HTTP/2's default for clients */
};

struct ts2021_client {
	struct buf out;	  /* to be written; the owner consumes */
	struct http2 *h2; /* NULL until the handshake is done */
	char why[TS2021_CLIENT_WHY_MAX]; /* after an error: one line, the server's own words where it gave some */
	/* The rest is ts2021_client.c's. */
	enum { TS2021_CLIENT_AT_HTTP, TS2021_CLIENT_AT_RESPONSE, TS2021_CLIENT_AT_EARLY, TS2021_CLIENT_AT_HTTP2 } state;
	struct buf in;
	struct buf early; /* plaintext until it is known whether an early payload comes */
	struct noise_initiator hello;
	struct noise_transport noise;
	const struct http2_events *events;
	void *ctx;
	uint32_t window;
};

/* Queues the upgrade request. events and ctx: as for http2_new, borrowed for life. ERR_AUTH: the server's key is unusable. */
MUST_USE err ts2021_client_init(struct ts2021_client *c, const struct ts2021_client_opts *o,
	const struct http2_events *events, void *ctx);
void ts2021_client_done(struct ts2021_client *c); /* ends the streams: their on_closed is called */

/* Takes all of in. Errors end the connection, why says more: ERR_DENIED (the HTTP answer was no 101, or the server's error
 * frame), ERR_AUTH (not that server, or changed on the way), ERR_MALFORMED, ERR_TOO_BIG, ERR_NOMEM. */
MUST_USE err ts2021_client_feed(struct ts2021_client *c, struct bytes in, int64_t now_mono_ms);
/* What HTTP/2 has to say goes, sealed, to out. ERR_TOO_BIG: out is not drained. */
MUST_USE err ts2021_client_flush(struct ts2021_client *c);
