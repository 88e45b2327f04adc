/* events: GET /api/fairlead/v1/events: every change of the tailnet as it happens, and who comes and goes, as server-sent
 * events. Their numbers are those of the audit log; a client that comes back with Last-Event-ID gets what it missed: from the
 * ring in memory, else from the log, where an event `reset` says that comings and goings were missed.
 *
 * ?view=console instead tells which objects changed, merged, and only what the caller may see: events_console.c. Its numbers
 * name this process, too.
 *
 * A stream ends with its key or its session: when that expires, and when a record of the key, its client or its user comes by (who may still
 * listen comes back).
 *
 * No stream has a queue of its own: it reads from the ring, and one that falls behind the ring's end is ended, or told to look at
 * all anew. */
#pragma once

#include "server/api/request.h"

enum {
	EVENTS_KEPT = 4096,	    /* in the ring */
	EVENTS_STREAMS_MAX = 256,   /* at once */
	EVENTS_STREAMS_EACH = 32,   /* of one user, or of one key that has none (with the tokens of an OAuth client) */
	EVENTS_REPLAY_MAX = 10000,  /* records from the log for one that comes back */
	EVENTS_KEEPALIVE_MS = 15000,
	EVENT_ID_MAX = 48,
};

struct event_hub;
struct audit_row;

MUST_USE err event_hub_new(struct event_hub **out);
/* All streams end. Call it before the daemon stops. */
void event_hub_close(struct event_hub *h);
void event_hub_free(struct event_hub *h); /* after the daemon; NULL is fine */
/* A console's number of this record; what it sends back as Last-Event-ID. */
const char *event_id_text(const struct event_hub *h, int64_t id, char out[EVENT_ID_MAX]);
/* How many events there were so far. */
uint64_t event_hub_count(struct event_hub *h);
/* Any thread; hands over. */
void event_hub_put(struct event_hub *h, const struct audit_row *what);
