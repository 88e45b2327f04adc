/* core_release: for tests that drive a core by hand: holds back what the core wants to say until the store has committed what it rests on.
 *
 * Takes effects in the core's order and delivers those whose sequence number is durable, in that order, as the runner
 * (server/core/runner.h) does with threads. */
#pragma once

#include "server/core/core.h"

struct release_hooks {
	void *ctx;
	void (*store)(void *ctx, struct store_batch *taken); /* at once, before anything waits */
	void (*admit)(void *ctx, const struct node_pub *key);
	void (*revoke)(void *ctx, const struct node_pub *key);
	void (*job)(void *ctx, struct job *j); /* at once, too */
};

struct release {
	struct release_hooks hooks;
	uint64_t durable;
	struct effect *q; /* owned ring */
	size_t head, n, cap;
};

void release_done(struct release *r); /* delivers ERR_CLOSED to replies that wait, drops the rest */
/* fx is emptied. Store batches go to hooks.store at once, the rest waits. ERR_NOMEM: what did not fit was answered with
 * an error, or dropped with its streams ended. */
MUST_USE err release_add(struct release *r, struct effects *fx);
/* Delivers what waits for at most this. */
void release_durable(struct release *r, uint64_t seq);
/* The store kept nothing beyond durable. What waits for more is dropped: its calls are answered ERR_SYS with why, the
 * streams that would have got messages are ended. Call it before the core applies EV_STORE_FAILED. */
void release_failed(struct release *r, uint64_t durable, const char *why);
