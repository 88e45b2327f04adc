/* audit: reading the audit log. Records are written as store operations (STORE_PUT_AUDIT) within the batch of the change;
 * they are read beside the running store, on a connection of their own, so that what is read is durable. */
#pragma once

#include "server/store/store.h"

enum {
	AUDIT_PAGE_MAX = 1000,	 /* records an answer */
	AUDIT_READ_MS = 5000,	 /* a filter that finds little ends then */
};

/* "" and 0: not asked for. */
struct audit_query {
	int64_t tailnet_id;
	int64_t after_id, before_id; /* exclusive */
	int64_t since_ms, until_ms;  /* since inclusive, until exclusive */
	const char *actor;	     /* part of it, without case */
	const char *kind, *action, *via;
	const char *target; /* an id, or part of a name, without case */
	bool newest_first;
	size_t limit; /* 1 to AUDIT_PAGE_MAX */
};

struct audit_page {
	struct audit_row *rows; /* owned */
	size_t n;
	bool more; /* there are others beyond the last one */
};
void audit_page_done(struct audit_page *p);

/* since_ms to until_ms in n parts: how long each is. */
static inline int64_t audit_bucket_ms(const struct audit_query *ask, size_t n)
{
	return (ask->until_ms - ask->since_ms + (int64_t)n - 1) / (int64_t)n;
}

/* How many records are in each of the n parts of since_ms to until_ms; both are needed, pages and order do not count. Otherwise
 * as store_audit_read. */
MUST_USE err store_audit_count(struct store *s, const struct audit_query *ask, uint64_t *count, size_t n, char *why, size_t why_cap);

/* Any thread; blocks. ERR_TIMEOUT: narrow the filter. */
MUST_USE err store_audit_read(struct store *s, const struct audit_query *ask, struct audit_page *out, char *why, size_t why_cap);
