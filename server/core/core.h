/* core: the truth in memory: every tailnet's users, nodes, keys, sessions; events in, effects out.
 *
 * Deterministic and single-threaded: core_apply does no I/O and asks no clock. What it wants done comes out as effects, in
 * order. The machinery around it (server/core/runner.h: mailbox, thread, release after durability) lives apart, so that
 * tests/sim drives the same core by hand.
 *
 * Rules (DESIGN 2): nothing leaves before it is durable; a failing commit is undone newest first; a viewer never learns of
 * a node it may not see; initial map plus deltas equals a fresh map. */
#pragma once

#include "server/core/event.h"
#include "server/map/settings.h"
#include "server/store/store.h"

struct core;
struct job;

struct now {
	int64_t mono_ms; /* timers */
	int64_t wall_ms; /* stored and shown */
};

enum effect_kind {
	FX_REPLY,      /* call, reply */
	FX_MAP,	       /* msg to each of sinks */
	FX_MAP_END,    /* end each of sinks; http_status != 0: nothing was sent yet, refuse them with it and why */
	FX_STORE,      /* batch: at once to the store, waits for nothing */
	FX_ADMIT,      /* key may use the relay from now on */
	FX_REVOKE,     /* key may not; its relay connections are closed */
	FX_CHANGED,    /* changed: for who watches the tailnet */
	FX_JOB,	       /* job: at once to a worker, which runs it (job_run) and posts job->home */
	FX_SINK_UNREF, /* drop the reference that the core held */
};

struct effect {
	enum effect_kind kind;
	uint64_t seq; /* leaves when this is durable; 0 = at once */
	struct call *call;
	struct reply *reply;	    /* owned */
	struct map_msg *msg;	    /* a reference */
	struct map_sink **sinks;    /* owned array; a reference each */
	size_t n_sinks;
	struct store_batch *batch;  /* owned */
	struct job *job;	    /* borrowed */
	struct node_pub key;
	struct audit_row *changed; /* owned */
	int http_status;      /* FX_MAP_END */
	const char *why;      /* static text for it */
};

struct effects { /* growing list; effects_done frees what was not taken */
	struct effect *e;
	size_t n, cap;
};
void effects_done(struct effects *fx);
void effect_done(struct effect *e);

/* image is taken (emptied). Policy and settings come from it and from cfg. why: one sentence on an error. */
MUST_USE err core_new(const struct core_settings *cfg, struct store_image *image, struct now now, char *why, size_t why_cap,
		struct core **out);
void core_free(struct core *c);

/* e is taken. Effects are appended to fx. */
void core_apply(struct core *c, struct event *e, struct now now, struct effects *fx);

/* Keys that may use the relay at start (FX_ADMIT for each known node). */
void core_admit_all(struct core *c, struct effects *fx);

/* Before the end: every waiting call is answered with ERR_CLOSED, every map stream ended, last seen and was_online
 * written (a lazy batch). */
void core_close(struct core *c, struct now now, struct effects *fx);

/* Addresses (limit keys) behind which nodes were lately, those of before the start included. */
void core_each_recent_addr(const struct core *c, void (*fn)(void *ctx, struct addr a), void *ctx);

/* How long an event took, for CMD_STATS: the core itself has no clock. */
void core_note_event_us(struct core *c, int64_t us);

int64_t core_deadline_ms(const struct core *c); /* mono_ms of the next EV_TICK wanted; INT64_MAX = none */
bool core_wants_flush(const struct core *c);	/* something changed that viewers were not told yet */

/* Live reload of what may change (DERP map, DNS, limits, expiry…): emits what viewers must hear. */
MUST_USE err core_reconfigure(struct core *c, const struct core_settings *cfg, struct now now, struct effects *fx);
