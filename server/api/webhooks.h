/* webhooks: tells endpoints of changes by HTTP, in Tailscale's format and with its signature.
 *
 * The queue is the audit log: each endpoint has a cursor, and one thread of ours reads what lies behind it, sends what the
 * endpoint subscribed to, and moves the cursor when it was taken in (2xx). So an event is told at least once, survives a
 * restart, and waits as long as the log is kept; an endpoint that fails is asked again after 2 s, 10 s, 30 s … up to an hour.
 * All endpoints are told at the same time; the next round waits for the slowest of one, WEBHOOK_TOTAL_S at most.
 * The core never waits. Addresses of this machine and of private networks are refused at connect,
 * whatever the name says, unless the settings allow them; redirects are not followed. */
#pragma once

#include "server/api/api.h"

enum {
	WEBHOOK_BATCH = 50,	    /* records a request at most */
	WEBHOOK_CONNECT_S = 5,
	WEBHOOK_TOTAL_S = 15,
	WEBHOOK_ANSWER_MAX = 64 << 10, /* of the body; it is thrown away */
	WEBHOOK_TESTS_MAX = 32,	    /* test events that wait */
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
/* May it be connected to? */
bool webhook_may_connect(struct addr a, bool private_too);
