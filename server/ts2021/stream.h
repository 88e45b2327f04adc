/* stream: what a session has under way, each in an object that outlives its HTTP/2 stream until the core lets go of it:
 * calls (one request, one answer) and map streams (messages until either side ends).
 *
 * The core's side (struct call, struct map_sink) is called on the release thread and only posts to the wire; everything
 * else happens on the wire thread. */
#pragma once

#include "common/base/list.h"
#include "common/http/http2.h"
#include "server/core/event.h"
#include "server/front/wire.h"

enum {
	MAP_KEEPALIVE_MS = 50000, /* after the last message, plus up to MAP_KEEPALIVE_SPREAD_MS */
	MAP_KEEPALIVE_SPREAD_MS = 5000,
	MAP_QUEUE_MESSAGES = 64, /* waiting behind one that does not drain; over it the stream is ended, and the client
				  * comes back for a full map */
	MAP_QUEUE_BYTES = 4 << 20,
	MAP_CHUNKS = 4, /* pieces of a message given to HTTP/2 at a time */
};

/* What streams need of their session. All on the wire thread. */
struct stream_host {
	struct http2 *h2;
	struct wire *wire;
	void (*on_output)(struct stream_host *h);     /* there is something to send */
	/* Has the processor fetch what send_now will need, in steps 0 to 3 with other work between them. */
	void (*warm)(struct stream_host *h, unsigned step);
	/* Sends data on s before anything else and at once. False: nothing was done, push it. Frees nothing. */
	bool (*send_now)(struct stream_host *h, struct http2_stream *s, struct bytes data);
	void (*on_registered)(struct stream_host *h); /* its machine has a registered node */
	unsigned calls, maps;			      /* under way */
};

/* Both take ev and answer on s. On ERR_* nothing was kept, ev is freed and the caller refuses the request. */
MUST_USE err call_start(struct stream_host *h, struct http2_stream *s, struct event *ev);
MUST_USE err map_stream_start(struct stream_host *h, struct http2_stream *s, struct event *ev, bool zstd);

/* From http2_events. */
void stream_on_drained(struct http2_stream *s);
void stream_on_closed(struct http2_stream *s);

void stream_refuse(struct http2 *h2, struct http2_stream *s, int status, const char *text);
