/* http2: one HTTP/2 connection as an engine (nghttp2 inside), server or client. Bytes in -> events, replies -> bytes
 * out; no sockets, no clock. It runs inside Noise (protocol/control.md 3.7).
 *
 * Events are called from http2_read and http2_write only. They may call anything here but http2_read, http2_write and
 * http2_free. A stream is valid until its on_closed returns, which also http2_free calls for those still open.
 *
 * Bounds on a peer: the enum below, and the ceilings in http2_opts. Windows are given back as data is received, those
 * of the connection too (trap T4), unless manual_window is set. PINGs are answered inside. */
#pragma once

#include "common/base/buf.h"

struct http2;
struct http2_stream;

enum {
	HTTP2_STREAMS_MAX = 128,	      /* open at a time, opened by the peer */
	HTTP2_HEADER_LIST_MAX = 16 * 1024,    /* names and values of one message; above it: 431 */
	HTTP2_HEADERS_MAX = 64,
	HTTP2_BODY_MAX = 1024 * 1024,	      /* default of one request body; above it: 413 */
	HTTP2_BODIES_MAX = 4 * 1024 * 1024,   /* default of all half-received bodies of a session; above it: 413 */
	HTTP2_CONTINUATIONS_MAX = 8,	      /* frames of one header block */
	HTTP2_ACKS_MAX = 64,		      /* unsent answers to PING and SETTINGS */
	HTTP2_RESETS_BURST = 100,	      /* streams that the peer resets or that we must refuse … */
	HTTP2_RESETS_PER_S = 10,
	HTTP2_IDLE_FRAMES_BURST = 400,	      /* PING, SETTINGS, PRIORITY and empty DATA frames … */
	HTTP2_IDLE_FRAMES_PER_S = 40,
	HTTP2_WRITE_OVERSHOOT = 17 * 1024,    /* http2_write may exceed its budget by one frame */
	HTTP2_SEND_NOW_MAX = 16384,	      /* bytes that http2_send_now takes: every peer takes frames of this length */
};

struct http2_header {
	struct bytes name, value; /* names in lower case */
};

/* A message as it came; borrowed for the call. */
struct http2_message {
	unsigned status;	       /* responses */
	struct bytes method, path;     /* requests; path with its query, not decoded */
	struct bytes authority;
	const struct http2_header *header; /* without pseudo headers */
	size_t n_headers;
	struct bytes body;	       /* requests: all of it, on GET too */
};
struct bytes http2_find_header(const struct http2_message *m, const char *name); /* p NULL: none */

/* NULL members are skipped. */
struct http2_events {
	/* Server: a whole request. Answer now or later; until then the stream stays open. */
	void (*on_request)(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx);
	/* Server: a request whose body is over body_max: what to answer with 200, borrowed and static; n 0: 413 and nothing. m is its
	 * head, for the call. */
	struct bytes (*on_too_big)(struct http2 *h, const struct http2_message *m, void *ctx);
	/* Client: head of a response, then pieces of its body. */
	void (*on_response)(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx);
	void (*on_data)(struct http2 *h, struct http2_stream *s, struct bytes data, void *ctx);
	/* All that was pushed has been written out: push more, or wait. */
	void (*on_drained)(struct http2 *h, struct http2_stream *s, void *ctx);
	/* The stream is over; error 0: both sides ended it, else the HTTP/2 error code. Servers: only for streams that
	 * on_request showed. */
	void (*on_closed)(struct http2 *h, struct http2_stream *s, uint32_t error, void *ctx);
	void (*on_ping_ack)(struct http2 *h, void *ctx);
	/* The peer will take no more streams. */
	void (*on_goaway)(struct http2 *h, uint32_t error, void *ctx);
};

struct http2_opts {
	bool client;
	size_t body_max;     /* 0: HTTP2_BODY_MAX */
	size_t bodies_max;   /* 0: HTTP2_BODIES_MAX */
	uint32_t window;     /* a stream's receive window; 0: 65,535 for servers, 4 MiB for clients */
	bool manual_window;  /* clients: data counts as consumed by http2_consume only */
};

/* ev is borrowed for the life of the session. */
MUST_USE err http2_new(const struct http2_opts *o, const struct http2_events *ev, void *ctx, struct http2 **out);
void http2_free(struct http2 *h);

/* Takes all of in. ERR_MALFORMED: not HTTP/2; ERR_BUSY: a flood; ERR_NOMEM. After an error write once more (a GOAWAY is
 * waiting) and close. Most protocol errors are OK here, and http2_is_over after the next write. */
MUST_USE err http2_read(struct http2 *h, struct bytes in, int64_t now_mono_ms);
/* Appends frames until out has grown by about budget bytes or nothing is left. Data leaves its chunks here, so the
 * caller asks for what its transport takes now and no more. ERR_TOO_BIG: out is full (keep HTTP2_WRITE_OVERSHOOT free). */
MUST_USE err http2_write(struct http2 *h, struct buf *out, size_t budget);
bool http2_wants_write(const struct http2 *h);
/* Neither side has anything more to say: close the transport. */
bool http2_is_over(const struct http2 *h);
size_t http2_streams(const struct http2 *h); /* open ones */

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* A piece of a body; lies in the caller's object and is owned by the stream until done is called: when its bytes have
 * been written out or the stream is over. data must stay as it is until then. */
struct http2_chunk {
	struct http2_chunk *next;
	struct bytes data;
	void (*done)(struct http2_chunk *c);
};

/* A whole response; headers and body are copied, content-length is added. ERR_STATE: answered already. */
MUST_USE err http2_respond(struct http2 *h, struct http2_stream *s, unsigned status, const struct http2_header *header,
		size_t n_headers, struct bytes body);
/* The head of a response whose body comes by http2_push, until http2_finish. */
MUST_USE err http2_respond_start(struct http2 *h, struct http2_stream *s, unsigned status,
		const struct http2_header *header, size_t n_headers);
void http2_push(struct http2 *h, struct http2_stream *s, struct http2_chunk *c);
/* The same with a copy of data. */
MUST_USE err http2_push_copy(struct http2 *h, struct http2_stream *s, struct bytes data);
/* Server: all of data as one frame at the end of out, at once and past nghttp2, for a stream whose response is under way and has
 * nothing else to say (a fan-out to many sessions is mostly this). False: nothing was done, push it: something is queued, the
 * windows or HTTP2_SEND_NOW_MAX do not allow it, or the connection is about to end. */
MUST_USE bool http2_send_now(struct http2 *h, struct http2_stream *s, struct bytes data, struct buf *out);
void http2_finish(struct http2 *h, struct http2_stream *s);
size_t http2_queued(const struct http2_stream *s); /* pushed and not yet written out */
void http2_reset(struct http2 *h, struct http2_stream *s, uint32_t error);

/* Client: a request; headers are copied, the body too. ERR_CLOSED: the session takes no more streams. */
MUST_USE err http2_request(struct http2 *h, const char *method, const char *authority, const char *path,
		const struct http2_header *header, size_t n_headers, struct bytes body, struct http2_stream **out);
void http2_consume(struct http2 *h, struct http2_stream *s, size_t n);

/* For the owner. */
void http2_set_user(struct http2_stream *s, void *user);
void *http2_user(const struct http2_stream *s);
int32_t http2_stream_id(const struct http2_stream *s);

/* ---- the session ------------------------------------------------------------------------------------------------- */

MUST_USE err http2_ping(struct http2 *h);   /* on_ping_ack when the peer answers */
void http2_goaway(struct http2 *h);	    /* no new streams; open ones go on */
void http2_terminate(struct http2 *h, uint32_t error); /* a GOAWAY, and then over */
