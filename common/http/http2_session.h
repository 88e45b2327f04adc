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
	uint32_t debt;	 /* see struct http2 */
	bool starved;	 /* has data; nghttp2 would send it, but the window is used up by what it does not know of */
	bool delivered;	 /* the owner knows it */
	bool over_limit; /* refused by us: what still arrives is dropped */
};

/* Allows a burst and then a rate. */
struct allowance {
	int64_t millis; /* thousandths of an event that may still happen */
	int64_t burst, per_s;
	int64_t at_ms;
};

/* What arrives at a server, frame by frame. */
struct intake {
	uint8_t held[13]; /* the beginning of a frame; all of a WINDOW_UPDATE */
	size_t n;
	size_t pass; /* bytes that go through as they are: the rest of a frame, or the preface */
};

struct http2 {
	nghttp2_session *ng;
	/* What http2_send_now needs, side by side: it runs over many sessions that are in no cache. */
	uint32_t credit;   /* bytes that the windows surely allow on stream credit_of; 0 after nghttp2 did anything */
	int32_t credit_of;
	/* Bytes that http2_send_now sent: nghttp2 does not know of them, so its windows (the connection's, and each stream's) are that
	 * much too large. The peer's next WINDOW_UPDATEs pay for them, before nghttp2 sees what is left of those. */
	uint32_t debt;
	bool closing; /* one side said GOAWAY */
	bool cut; /* the last http2_write ended with its budget, maybe between two frames of one header block */
	bool starving; /* streams may be starved */
	const struct http2_events *ev;
	void *ctx;
	struct list streams;
	size_t n_streams;
	size_t body_max, bodies_max, bodies; /* bodies: bytes in all incoming bodies */
	bool client, manual_window;
	bool flooded;
	struct intake intake;
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
