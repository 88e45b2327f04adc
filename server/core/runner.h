/* runner: the machinery around the core: its thread, its mailbox, and the release of effects once they are durable.
 *
 * Events come from any thread into one bounded mailbox. The core's thread takes what is there, applies each, gives store
 * batches to the store at once, and keeps every other effect until the store has reported its sequence number; then they
 * leave, in the core's order, on the same thread (the "release thread" of event.h), so send and deliver only hand over.
 * After a burst the core is asked to flush: changes that came together leave together. While the wires still have two
 * rounds to take in, changes wait and join the next one.
 *
 * When a commit fails, effects that were waiting for it never leave: their calls are answered with ERR_SYS, their map
 * streams are ended (the clients come back for a map of what is true), and the core undoes what was lost. */
#pragma once

#include "server/core/admit.h"
#include "server/core/core.h"

struct core_runner;

enum {
	CORE_MAILBOX_MAX = 65536, /* events that wait; more get ERR_BUSY */
	CORE_BURST = 256,	  /* events between two flushes */
	CORE_UNDURABLE_MAX = 65536, /* effects that wait for the disk; above it no events are taken */
};

struct core_runner_opts {
	void *ctx;
	/* A key may use the relay no more. On the release thread; hands over. May be NULL. */
	void (*on_revoke)(void *ctx, const struct node_pub *key);
	/* Something changed and is durable (or a node came or went). On the release thread; hands over. May be NULL. */
	void (*on_changed)(void *ctx, const struct audit_row *what);
	/* An address behind which nodes were before the start. Before the core's thread starts. May be NULL. */
	void (*on_recent_addr)(void *ctx, struct addr a);
};

/* Makes the core from image (taken), starts the store's thread and ours. The store stays the caller's: store_stop after
 * core_runner_stop and before core_runner_free, for it tells us until then. why: one sentence. */
MUST_USE err core_runner_start(const struct core_settings *cfg, struct store *store, struct store_image *image,
	const struct core_runner_opts *o, char *why, size_t why_cap, struct core_runner **out);
/* Applies what is in the mailbox, waits until it is durable and has left (bounded), answers the rest with ERR_CLOSED,
 * ends the thread. Then core_post gives ERR_CLOSED. core_runner_free frees it. NULL is fine. */
void core_runner_stop(struct core_runner *r);
void core_runner_free(struct core_runner *r); /* after everyone who may post has stopped */

/* e is taken. ERR_BUSY, ERR_CLOSED: not accepted; its call is not delivered to. Any thread. */
MUST_USE err core_post(struct core_runner *r, struct event *e);
/* Goodbyes (EV_SINK_CLOSED, EV_CALL_GONE): accepted over the bound, freed after the stop. e NULL is fine. */
void core_post_always(struct core_runner *r, struct event *e);

/* New settings for a running core. Waits until they are in force: what cfg borrows of an older load may be freed then. */
MUST_USE err core_runner_reconfigure(struct core_runner *r, const struct core_settings *cfg);

struct admit_set *core_runner_admitted(struct core_runner *r); /* borrowed */

/* The wires tell when they have taken in a message that was sent to n sinks of theirs. */
void core_round_done(struct core_runner *r, size_t n);
