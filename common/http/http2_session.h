/* http2_session: what http2.c (the session, and what arrives), http2_send.c (what leaves) and http2_mem.c share. For these
 * only. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "common/base/list.h"
#include "common/http/http2.h"

/* A message while it arrives. Freed once it has been delivered, so that an idle stream is small. */
struct incoming {
	struct buf text; /* names and values, one after the other */
	struct {
		uint16_t name_n, value_n;
	} len[HTTP2_HEADERS_MAX];
	size_t n;
	struct buf body;
};

struct http2_stream {
	struct list in_session;
	struct http2 *h;
	void *user;
	int32_t id;
	struct incoming *in; /* owned */
	struct http2_chunk *first, *last;
	size_t first_used; /* bytes of first that have been written out */
	size_t queued;
	bool answered, finished, deferred;
	bool delivered;	 /* the owner knows it */
	bool over_limit; /* refused by us: what still arrives is dropped */
};

/* Allows a burst and then a rate. */
struct allowance {
	int64_t millis; /* thousandths of an event that may still happen */
	int64_t burst, per_s;
	int64_t at_ms;
};

struct http2 {
	nghttp2_session *ng;
	const struct http2_events *ev;
	void *ctx;
	struct list streams;
	size_t n_streams;
	size_t body_max, bodies_max, bodies; /* bodies: bytes in all incoming bodies */
	bool client, manual_window;
	bool flooded;
	bool closing; /* one side said GOAWAY */
	int64_t now_ms;
	struct allowance resets, idle_frames;
	struct buf *out;  /* during http2_write */
	size_t out_limit; /* out's length at which to stop */
	uint8_t *pool;	  /* http2_mem.c's; NULL: none */
	size_t pool_used;
	bool pool_closed; /* what was to lie in it does */
};

#define HTTP2_EVENT(h, name, ...)                                                                                            \
	do {                                                                                                           \
		if ((h)->ev->name)                                                                                     \
			(h)->ev->name((h), ##__VA_ARGS__, (h)->ctx);                                                   \
	} while (0)

/* NULL: no memory. id may be set later. */
struct http2_stream *http2_stream_new(struct http2 *h, int32_t id);
/* Gives its chunks back, tells the owner, and frees s. */
void http2_stream_close(struct http2_stream *s, uint32_t error);
struct http2_stream *http2_stream_of(struct http2 *h, int32_t id); /* NULL: none, or not ours any more */
void http2_drop_chunks(struct http2_stream *s);
void http2_set_send_callbacks(nghttp2_session_callbacks *c);
err http2_from_ng(int e);
/* For nghttp2_session_*_new3; http2_mem_done after nghttp2_session_del. */
nghttp2_mem http2_mem(struct http2 *h);
void http2_mem_done(struct http2 *h);
