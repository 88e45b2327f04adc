/* webhooks: tells endpoints of changes by HTTP, in Tailscale's format and with its signature.
 *
 * The queue is the audit log: each endpoint has a cursor, and one thread of ours reads what lies behind it, sends what the
 * endpoint subscribed to, and moves the cursor when it was taken in (2xx). So an event is told at least once, survives a
 * restart, and waits as long as the log is kept; an endpoint that fails is asked again after 2 s, 10 s, 30 s … up to an hour.
 * Each endpoint goes at its own pace: it has one request on its way at most, so that its events keep their order, and waits for
 * nobody else's. Tests of an endpoint go beside that. A deleted endpoint is told so, signed with its secret, within FAREWELL_MS;
 * then its row goes (CMD_WEBHOOK_FORGET). The core never waits. How a request goes out: webhook_send.h. */
#pragma once

#include "server/api/api.h"

enum {
	WEBHOOK_BATCH = 50,	    /* records a request at most */
	WEBHOOK_TESTS_MAX = 32,	    /* test events that wait or are on their way, in all */
	WEBHOOK_TESTS_EACH = 4,	    /* and of one endpoint */
};

struct webhooks;

MUST_USE err webhooks_new(const struct api_settings *cfg, struct webhooks **out);
void webhooks_stop(struct webhooks *w); /* ends the thread: before the core is gone */
void webhooks_free(struct webhooks *w); /* NULL is fine */
void webhooks_wake(struct webhooks *w); /* something changed. Any thread; hands over */
/* A test event for this endpoint; false: too many wait. */
bool webhooks_test(struct webhooks *w, int64_t id);

/* For tests: the JSON array or chat message of these records for an endpoint; false: nothing of it was subscribed to. */
struct webhook_row;
bool webhook_body(const struct webhook_row *hook, const struct audit_row *rows, size_t n, const char *server_url, struct buf *out);
/* "t=…,v1=…" over the body. */
void webhook_sign(const char *secret, int64_t wall_s, struct bytes body, char out[128]);
/* Does this record tell that the endpoint was deleted? */
bool webhook_is_own_end(const struct webhook_row *hook, const struct audit_row *a);
