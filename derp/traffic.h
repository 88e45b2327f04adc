/* traffic: what goes through each connection now, for /debug/traffic (protocol/derp.md 2.5). Looked at every two seconds, on the
 * main thread, and only while somebody asks: asking starts it, and ten seconds without end it. */
#pragma once

#include "common/base/buf.h"
#include "common/net/loop.h"
#include "derp/relay.h"

enum {
	TRAFFIC_EVERY_MS = 2000,
	TRAFFIC_ASKED_MS = 10000,
	TRAFFIC_ROWS_MAX = 10000, /* connections that are looked at */
	TRAFFIC_LINES_MAX = 300, /* that are told: the busiest */
};

struct traffic;
/* l: of a thread that serves no clients; relay is borrowed. */
MUST_USE err traffic_new(struct relay *r, struct loop *l, struct traffic **out);
void traffic_free(struct traffic *t); /* before the loop. NULL is fine */
/* Any thread: what was seen last, as text. */
void traffic_tell(struct traffic *t, int64_t mono_ms, struct buf *out);
