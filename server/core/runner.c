#include "server/core/runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/core/worker.h"

enum {
	STOP_DURABLE_MS = 5000,
	IDLE_WAIT_MS = 60000,
};

/* Effects that wait for the disk, oldest first. */
struct held {
	struct effect *e; /* owned array; live ones are [at, end) */
	size_t at, end, cap;
};

struct core_runner {
	struct core *core;
	struct store *store; /* borrowed */
	struct worker *worker;
	struct core_runner_opts opts;
	struct admit_set *admitted;
	pthread_t thread;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake, settled;
	struct event *first, **last;
	size_t n_events;
	bool closed;   /* no more core_post */
	bool stopping; /* the thread ends when all is done */
	uint64_t durable;
	bool failed;
	uint64_t failed_durable;
	uint32_t failed_epoch;
	char failed_why[160];
	const struct core_settings *reconfigure; /* wanted; borrowed from who waits on settled */
	err reconfigured;

	/* The thread's own. */
	struct held held;
	uint64_t released;	       /* the core was told that this is durable */
	size_t round;		       /* deliveries of the newest flush */
	atomic_long in_flight;	       /* deliveries that wires did not take in yet, held ones included */
	atomic_bool wants_room;	       /* a flush waits for in_flight to fall */
	_Atomic long room_at;
};

/* ---- posting ------------------------------------------------------------------------------------------------------- */

static void append_event(struct core_runner *r, struct event *e)
{
	e->next = NULL;
	*r->last = e;
	r->last = &e->next;
	if (r->n_events++ == 0)
		pthread_cond_signal(&r->wake);
}

err core_post(struct core_runner *r, struct event *e)
{
	err why = OK;

	pthread_mutex_lock(&r->lock);
	if (r->closed)
		why = ERR_CLOSED;
	else if (r->n_events >= CORE_MAILBOX_MAX)
		why = ERR_BUSY;
	else
		append_event(r, e);
	pthread_mutex_unlock(&r->lock);
	if (why != OK)
		event_free(e);
	return why;
}

void core_post_always(struct core_runner *r, struct event *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&r->lock);
	bool late = r->closed;
	if (!late)
		append_event(r, e);
	pthread_mutex_unlock(&r->lock);
	if (late)
		event_free(e);
}

void core_round_done(struct core_runner *r, size_t n)
{
	long left = atomic_fetch_sub(&r->in_flight, (long)n) - (long)n;

	if (atomic_load(&r->wants_room) && left <= atomic_load(&r->room_at)) {
		pthread_mutex_lock(&r->lock);
		pthread_cond_signal(&r->wake);
		pthread_mutex_unlock(&r->lock);
	}
}

static void on_durable(void *ctx, uint64_t seq)
{
	struct core_runner *r = ctx;

	pthread_mutex_lock(&r->lock);
	r->durable = seq;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

static void on_failed(void *ctx, uint64_t durable, uint32_t epoch, const char *why)
{
	struct core_runner *r = ctx;

	pthread_mutex_lock(&r->lock);
	r->durable = durable;
	r->failed = true;
	r->failed_durable = durable;
	r->failed_epoch = epoch;
	snprintf(r->failed_why, sizeof r->failed_why, "%s", why);
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

/* ---- effects ------------------------------------------------------------------------------------------------------- */

static struct now read_now(void)
{
	return (struct now){ .mono_ms = clock_mono_ms(), .wall_ms = clock_wall_ms() };
}

static bool hold(struct core_runner *r, struct effect *e)
{
	struct held *h = &r->held;

	if (h->end == h->cap) {
		size_t n = h->end - h->at;

		if (h->at > h->cap / 2) {
			memmove(h->e, h->e + h->at, n * sizeof *h->e);
		} else {
			size_t cap = h->cap ? h->cap * 2 : 256;
			struct effect *bigger = malloc(cap * sizeof *bigger);

			if (!bigger)
				return false;
			if (n)
				memcpy(bigger, h->e + h->at, n * sizeof *bigger);
			free(h->e);
			h->e = bigger;
			h->cap = cap;
		}
		h->at = 0;
		h->end = n;
	}
	h->e[h->end++] = *e;
	return true;
}

static void send_map(struct effect *e)
{
	if (e->n_sinks && e->sinks[0]->send_all) {
		e->sinks[0]->send_all(e->sinks, e->n_sinks, e->msg);
		e->n_sinks = 0; /* the references are theirs now */
		return;
	}
	for (size_t i = 0; i < e->n_sinks; i++)
		e->sinks[i]->send(e->sinks[i], e->msg);
}

/* Lets one effect out. */
static void release(struct core_runner *r, struct effect *e)
{
	switch (e->kind) {
	case FX_REPLY:
		e->call->deliver(e->call, MOVE(e->reply));
		break;
	case FX_MAP:
		send_map(e);
		break;
	case FX_MAP_END:
		for (size_t i = 0; i < e->n_sinks; i++)
			if (e->http_status)
				e->sinks[i]->refuse(e->sinks[i], e->http_status, e->why);
			else
				e->sinks[i]->end(e->sinks[i]);
		break;
	case FX_STORE:
		store_submit(r->store, MOVE(e->batch));
		break;
	case FX_JOB:
		worker_put(r->worker, e->job);
		break;
	case FX_ADMIT:
		if (admit_put(r->admitted, &e->key) != OK)
			log_error("a node cannot use the relay until it comes back", "cause=\"out of memory\"");
		break;
	case FX_REVOKE:
		admit_del(r->admitted, &e->key);
		if (r->opts.on_revoke)
			r->opts.on_revoke(r->opts.ctx, &e->key);
		break;
	case FX_CHANGED:
		if (r->opts.on_changed)
			r->opts.on_changed(r->opts.ctx, e->changed);
		break;
	case FX_SINK_UNREF:
		break; /* effect_done drops it */
	}
	effect_done(e);
}

/* The commit that this waited for did not happen. */
static void withdraw(struct core_runner *r, struct effect *e, err why, const char *text)
{
	switch (e->kind) {
	case FX_REPLY:
		e->reply->e = why;
		e->reply->http_status = 503;
		e->reply->body = (struct bytes){ 0 };
		e->reply->registered = false;
		e->reply->message = arena_printf(&e->reply->arena, "%s", text);
		if (!e->reply->message)
			e->reply->message = "the database refused the change";
		e->call->deliver(e->call, MOVE(e->reply));
		break;
	case FX_MAP:
		atomic_fetch_sub(&r->in_flight, (long)e->n_sinks);
		/* fall through: what they were told last is not what is true now, so they come anew */
	case FX_MAP_END:
		for (size_t i = 0; i < e->n_sinks; i++)
			e->sinks[i]->end(e->sinks[i]);
		break;
	case FX_STORE:
	case FX_JOB:
	case FX_ADMIT:
	case FX_REVOKE:
	case FX_CHANGED:
	case FX_SINK_UNREF:
		break;
	}
	effect_done(e);
}

static void distribute(struct core_runner *r, struct effects *fx)
{
	for (size_t i = 0; i < fx->n; i++) {
		struct effect *e = &fx->e[i];

		if (e->kind == FX_MAP)
			atomic_fetch_add(&r->in_flight, (long)e->n_sinks);
		if (e->kind == FX_STORE || e->kind == FX_JOB || e->kind == FX_SINK_UNREF || e->seq == 0)
			release(r, e);
		else if (!hold(r, e))
			withdraw(r, e, ERR_NOMEM, "out of memory: ask again to see what became of it");
	}
	fx->n = 0;
	effects_done(fx);
}

static void release_durable(struct core_runner *r, uint64_t durable)
{
	struct held *h = &r->held;

	while (h->at < h->end && h->e[h->at].seq <= durable)
		release(r, &h->e[h->at++]);
	if (h->at == h->end)
		h->at = h->end = 0;
}

static void withdraw_all(struct core_runner *r, err why, const char *text)
{
	struct held *h = &r->held;

	while (h->at < h->end)
		withdraw(r, &h->e[h->at++], why, text);
	h->at = h->end = 0;
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

static void apply(struct core_runner *r, struct event *e)
{
	struct effects fx = { 0 };

	int64_t began_us = clock_mono_us();
	core_apply(r->core, e, read_now(), &fx);
	core_note_event_us(r->core, clock_mono_us() - began_us);
	distribute(r, &fx);
}

static void apply_simple(struct core_runner *r, enum event_kind kind, uint64_t seq, uint32_t epoch)
{
	struct event *e = event_new(kind);

	if (!e)
		return; /* durable is told again with the next commit, a tick and a flush are asked for again */
	e->seq = seq;
	e->epoch = epoch;
	apply(r, e);
}

/* The store's news: what became durable, or that a commit failed. */
static void take_store_news(struct core_runner *r, uint64_t durable, bool failed, uint32_t epoch, const char *why)
{
	char text[300];

	release_durable(r, durable);
	if (failed) {
		snprintf(text, sizeof text, "the database refused the change: %s; nothing was changed", why);
		log_error("a commit failed", "cause=%s", log_qs(why).s);
		withdraw_all(r, ERR_SYS, text);
		struct event *e;
		while (!(e = event_new(EV_STORE_FAILED))) /* the core must hear of this: wait for memory */
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		e->seq = durable;
		e->epoch = epoch;
		apply(r, e);
		r->released = durable;
	} else if (durable != r->released) {
		r->released = durable;
		apply_simple(r, EV_STORE_DURABLE, durable, 0);
	}
}

static bool may_flush(struct core_runner *r)
{
	return core_wants_flush(r->core) && atomic_load(&r->in_flight) <= (long)r->round;
}

static void flush(struct core_runner *r)
{
	struct effects fx = { 0 };
	struct event *e = event_new(EV_FLUSH);

	if (!e)
		return;
	int64_t began_us = clock_mono_us();
	core_apply(r->core, e, read_now(), &fx);
	core_note_event_us(r->core, clock_mono_us() - began_us);
	size_t n = 0;
	for (size_t i = 0; i < fx.n; i++)
		if (fx.e[i].kind == FX_MAP)
			n += fx.e[i].n_sinks;
	r->round = n;
	distribute(r, &fx);
}

/* Too much waits for the disk: nothing more is taken in until it has caught up. */
static bool is_behind(const struct core_runner *r)
{
	return r->held.end - r->held.at >= CORE_UNDURABLE_MAX;
}

/* Holding the lock. Sleeps until there is something to do. */
static void wait_for_work(struct core_runner *r)
{
	while ((is_behind(r) || (!r->first && !r->stopping)) && !r->failed && r->durable == r->released && !r->reconfigure) {
		int64_t now = clock_mono_ms(), due = core_deadline_ms(r->core);
		struct timespec ts;

		atomic_store(&r->room_at, (long)r->round);
		atomic_store(&r->wants_room, core_wants_flush(r->core));
		if (may_flush(r) || due <= now)
			break;
		if (due - now > IDLE_WAIT_MS)
			due = now + IDLE_WAIT_MS;
		clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_sec += (due - now) / 1000;
		ts.tv_nsec += (due - now) % 1000 * 1000000;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_sec++;
			ts.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&r->wake, &r->lock, &ts);
	}
	atomic_store(&r->wants_room, false);
}

static struct event *take_burst(struct core_runner *r)
{
	struct event *list = r->first, **at = &r->first;
	size_t n = 0;

	if (is_behind(r))
		return NULL;
	while (*at && n < CORE_BURST) {
		at = &(*at)->next;
		n++;
	}
	r->first = *at;
	*at = NULL;
	if (!r->first)
		r->last = &r->first;
	r->n_events -= n;
	return n ? list : NULL;
}

static void reconfigure(struct core_runner *r, const struct core_settings *cfg)
{
	struct effects fx = { 0 };
	err e = core_reconfigure(r->core, cfg, read_now(), &fx);

	distribute(r, &fx);
	pthread_mutex_lock(&r->lock);
	r->reconfigure = NULL;
	r->reconfigured = e;
	pthread_cond_broadcast(&r->settled);
	pthread_mutex_unlock(&r->lock);
}

static void *run(void *arg)
{
	struct core_runner *r = arg;

	for (;;) {
		char why[160];

		pthread_mutex_lock(&r->lock);
		wait_for_work(r);
		struct event *burst = take_burst(r);
		uint64_t durable = r->durable;
		bool failed = r->failed, end = r->stopping && !burst && !r->first;
		uint32_t epoch = r->failed_epoch;
		const struct core_settings *cfg = r->reconfigure;
		snprintf(why, sizeof why, "%s", r->failed_why);
		r->failed = false;
		pthread_mutex_unlock(&r->lock);

		take_store_news(r, durable, failed, epoch, why);
		while (burst) {
			struct event *e = burst;

			burst = e->next;
			apply(r, e);
		}
		if (cfg)
			reconfigure(r, cfg);
		if (core_deadline_ms(r->core) <= clock_mono_ms())
			apply_simple(r, EV_TICK, 0, 0);
		if (may_flush(r))
			flush(r);
		if (end)
			return NULL;
	}
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static err fill_admitted(struct core_runner *r)
{
	struct effects fx = { 0 };

	TRY(admit_new(&r->admitted));
	core_admit_all(r->core, &fx);
	for (size_t i = 0; i < fx.n; i++)
		fx.e[i].seq = 0; /* they come from the database */
	distribute(r, &fx);
	return OK;
}

err core_runner_start(const struct core_settings *cfg, struct store *store, struct store_image *image,
	const struct core_runner_opts *o, char *why, size_t why_cap, struct core_runner **out)
{
	struct core_runner *r = calloc(1, sizeof *r);
	const struct store_callbacks cb = { .ctx = r, .on_durable = on_durable, .on_failed = on_failed };
	pthread_condattr_t mono;

	if (!r) {
		snprintf(why, why_cap, "out of memory");
		return ERR_NOMEM;
	}
	r->store = store;
	r->opts = *o;
	r->last = &r->first;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &mono);
	pthread_cond_init(&r->settled, &mono);
	pthread_condattr_destroy(&mono);
	r->closed = true;
	err e = core_new(cfg, image, read_now(), why, why_cap, &r->core);
	if (e == OK && (e = fill_admitted(r)) != OK)
		snprintf(why, why_cap, "out of memory");
	if (e == OK && o->on_recent_addr)
		core_each_recent_addr(r->core, o->on_recent_addr, o->ctx);
	if (e == OK && (e = store_start(store, &cb)) != OK)
		snprintf(why, why_cap, "cannot start the database's thread");
	if (e == OK && (e = worker_start(r, &r->worker)) != OK)
		snprintf(why, why_cap, "cannot start the worker's thread");
	if (e == OK && pthread_create(&r->thread, NULL, run, r) != 0) {
		snprintf(why, why_cap, "cannot start the core's thread");
		e = ERR_SYS;
	}
	if (e != OK) {
		core_runner_free(r);
		return e;
	}
	r->closed = false;
	*out = r;
	return OK;
}

void core_runner_stop(struct core_runner *r)
{
	struct effects fx = { 0 };
	int64_t until = clock_mono_ms() + STOP_DURABLE_MS;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->closed = true;
	r->stopping = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);

	worker_stop(MOVE(r->worker));
	/* The thread is gone: its role is ours. */
	core_close(r->core, read_now(), &fx);
	distribute(r, &fx);
	for (;;) {
		struct timespec ts;

		pthread_mutex_lock(&r->lock);
		uint64_t durable = r->durable;
		bool failed = r->failed;
		pthread_mutex_unlock(&r->lock);
		release_durable(r, durable);
		if (r->held.at == r->held.end || failed || clock_mono_ms() >= until)
			break;
		clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_sec++;
		pthread_mutex_lock(&r->lock);
		if (r->durable == durable && !r->failed)
			pthread_cond_timedwait(&r->wake, &r->lock, &ts);
		pthread_mutex_unlock(&r->lock);
	}
	withdraw_all(r, ERR_CLOSED, "the server is stopping");
}

void core_runner_free(struct core_runner *r)
{
	if (!r)
		return;
	while (r->first) {
		struct event *e = r->first;

		r->first = e->next;
		event_free(e);
	}
	worker_stop(r->worker);
	core_free(r->core);
	admit_free(r->admitted);
	free(r->held.e);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->wake);
	pthread_cond_destroy(&r->settled);
	free(r);
}

err core_runner_reconfigure(struct core_runner *r, const struct core_settings *cfg)
{
	pthread_mutex_lock(&r->lock);
	if (r->closed || r->reconfigure) {
		pthread_mutex_unlock(&r->lock);
		return ERR_STATE;
	}
	r->reconfigure = cfg;
	pthread_cond_signal(&r->wake);
	while (r->reconfigure == cfg && !r->stopping)
		pthread_cond_wait(&r->settled, &r->lock);
	err e = r->reconfigure == cfg ? ERR_CLOSED : r->reconfigured;
	pthread_mutex_unlock(&r->lock);
	return e;
}

struct admit_set *core_runner_admitted(struct core_runner *r)
{
	return r->admitted;
}
