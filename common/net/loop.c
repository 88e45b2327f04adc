#include "common/net/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/timer.h"

struct loop {
	uv_loop_t uv;
	uv_async_t wake;     /* something is in posts, or stop is set */
	uv_prepare_t before; /* before the loop sleeps: sets the alarm for the soonest timer */
	uv_timer_t alarm;
	int64_t alarm_at_ms; /* what the alarm is set to; INT64_MAX: nothing */
	struct timer_heap timers;
	_Atomic(struct loop_post *) posts; /* newest first */
	struct loop_post *deferred, **deferred_end;
	atomic_bool stop;
	bool running;
	struct loop *self; /* so that the clocks may remember what they read behind a const face */
	int64_t wall_ms, wall_read_at_ms;
};

/* Handles that the loop owns lie first in their struct, so that loop_free can free what uv_walk finds. */
struct loop_io {
	uv_poll_t poll;
	loop_io_fn fn;
	void *ctx;
	unsigned want;
	bool closed;
};

static void run_posts(struct loop *l)
{
	struct loop_post *p = atomic_exchange_explicit(&l->posts, NULL, memory_order_acq_rel), *ordered = NULL;

	while (p) {
		struct loop_post *next = p->next;

		p->next = ordered;
		ordered = p;
		p = next;
	}
	while (ordered) {
		struct loop_post *run = ordered;

		ordered = run->next; /* before the call: fn may free or post its node again */
		run->fn(run);
	}
}

static void on_wake(uv_async_t *a)
{
	struct loop *l = a->data;

	run_posts(l);
	if (atomic_load(&l->stop))
		uv_stop(&l->uv);
}

static void on_alarm(uv_timer_t *a)
{
	struct loop *l = a->data;
	struct loop_timer *t;
	int64_t now_ms = loop_now_ms(l);

	l->alarm_at_ms = INT64_MAX;
	/* Counted, so that a timer which arms itself for now cannot keep the descriptors waiting. */
	for (size_t left = l->timers.n; left && (t = timer_heap_first(&l->timers)) && t->due_ms <= now_ms; left--) {
		timer_heap_remove(&l->timers, t);
		t->fn(t);
	}
}

static void run_deferred(struct loop *l)
{
	while (l->deferred) {
		struct loop_post *run = l->deferred;

		l->deferred = run->next; /* before the call, as in run_posts */
		if (!l->deferred)
			l->deferred_end = &l->deferred;
		run->fn(run);
	}
}

static void before_sleep(uv_prepare_t *p)
{
	struct loop *l = p->data;

	run_deferred(l);
	struct loop_timer *t = timer_heap_first(&l->timers);
	int64_t due_ms = t ? t->due_ms : INT64_MAX;

	if (due_ms == l->alarm_at_ms)
		return;
	l->alarm_at_ms = due_ms;
	if (!t) {
		uv_timer_stop(&l->alarm);
		return;
	}
	int64_t in_ms = due_ms - loop_now_ms(l);
	uv_timer_start(&l->alarm, on_alarm, in_ms > 0 ? (uint64_t)in_ms : 0, 0);
}

err loop_new(struct loop **out)
{
	CLEANUP(freep) struct loop *l = calloc(1, sizeof *l);

	if (!l)
		return ERR_NOMEM;
	if (uv_loop_init(&l->uv) != 0)
		return ERR_SYS;
	if (uv_async_init(&l->uv, &l->wake, on_wake) != 0) {
		uv_loop_close(&l->uv);
		return ERR_SYS;
	}
	uv_prepare_init(&l->uv, &l->before); /* these two cannot fail */
	uv_timer_init(&l->uv, &l->alarm);
	uv_prepare_start(&l->before, before_sleep);
	l->wake.data = l->before.data = l->alarm.data = l;
	l->alarm_at_ms = INT64_MAX;
	l->wall_read_at_ms = -1;
	l->deferred_end = &l->deferred;
	l->self = l;
	/* A peer that leaves while we write must be an error code: OpenSSL writes without MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	*out = MOVE(l);
	return OK;
}

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void close_handle(uv_handle_t *h, void *ctx)
{
	struct loop *l = ctx;
	bool ours = h == (uv_handle_t *)&l->wake || h == (uv_handle_t *)&l->before || h == (uv_handle_t *)&l->alarm;

	if (!uv_is_closing(h))
		uv_close(h, ours ? NULL : free_handle);
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (atomic_load(&l->posts) || l->deferred) {
		run_posts(l);
		run_deferred(l);
	}
	uv_walk(&l->uv, close_handle, l);
	uv_run(&l->uv, UV_RUN_DEFAULT); /* the close callbacks, and work that is still with a worker */
	while (atomic_load(&l->posts) || l->deferred) {
		run_posts(l);
		run_deferred(l);
	}
	if (uv_loop_close(&l->uv) != 0)
		log_error("an event loop was freed with handles open", "%s", "");
	timer_heap_free(&l->timers);
	free(l);
}

void loop_run(struct loop *l)
{
	uv_update_time(&l->uv);
	l->running = true;
	while (!atomic_load(&l->stop))
		uv_run(&l->uv, UV_RUN_DEFAULT);
	l->running = false;
	atomic_store(&l->stop, false);
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	uv_async_send(&l->wake);
}

int64_t loop_now_ms(const struct loop *l)
{
	if (!l->running) /* timers set between loop_new and loop_run count from when they were set */
		uv_update_time(&l->self->uv);
	return (int64_t)uv_now(&l->uv);
}

int64_t loop_wall_ms(const struct loop *l)
{
	struct loop *self = l->self;

	if (self->wall_read_at_ms != loop_now_ms(l)) {
		self->wall_read_at_ms = loop_now_ms(l);
		self->wall_ms = clock_wall_ms();
	}
	return self->wall_ms;
}

/* ---- posts ------------------------------------------------------------------------------------------------------ */

void loop_post_node(struct loop *l, struct loop_post *p)
{
	struct loop_post *head = atomic_load_explicit(&l->posts, memory_order_relaxed);

	do
		p->next = head;
	while (!atomic_compare_exchange_weak_explicit(&l->posts, &head, p, memory_order_release, memory_order_relaxed));
	if (!head) /* whoever posts into an empty list wakes; the others ride along */
		uv_async_send(&l->wake);
}

void loop_defer_node(struct loop *l, struct loop_post *p)
{
	p->next = NULL;
	*l->deferred_end = p;
	l->deferred_end = &p->next;
}

void loop_defer_cancel(struct loop *l, struct loop_post *p)
{
	for (struct loop_post **at = &l->deferred; *at; at = &(*at)->next) {
		if (*at != p)
			continue;
		*at = p->next;
		if (!*at)
			l->deferred_end = at;
		return;
	}
}

static void on_share_over(struct loop_post *p)
{
	container_of(p, struct loop_share, over)->begun = false;
}

void loop_share_init(struct loop_share *s, struct loop *l, int64_t us)
{
	*s = (struct loop_share){ .loop = l, .us = us, .over.fn = on_share_over };
}

bool loop_share_left(struct loop_share *s)
{
	if (s->begun)
		return clock_mono_us() < s->until_us;
	s->begun = true;
	s->until_us = clock_mono_us() + s->us;
	loop_defer_node(s->loop, &s->over);
	return true;
}

void loop_share_done(struct loop_share *s)
{
	if (s->begun)
		loop_defer_cancel(s->loop, &s->over);
	s->begun = false;
}

struct heap_post {
	struct loop_post node;
	void (*fn)(void *arg);
	void *arg;
};

static void run_heap_post(struct loop_post *p)
{
	struct heap_post *h = container_of(p, struct heap_post, node);
	void (*fn)(void *) = h->fn;
	void *arg = h->arg;

	free(h);
	fn(arg);
}

err loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct heap_post *h = malloc(sizeof *h);

	if (!h)
		return ERR_NOMEM;
	*h = (struct heap_post){ .node.fn = run_heap_post, .fn = fn, .arg = arg };
	loop_post_node(l, &h->node);
	return OK;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

static void start_poll(struct loop_io *io);

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct loop_io *io = container_of(p, struct loop_io, poll);
	unsigned ready = (events & UV_READABLE ? LOOP_READ : 0u) | (events & UV_WRITABLE ? LOOP_WRITE : 0u);

	/* On an error condition (a reset, a failed connect) libuv stops watching and says so once. The owner finds the
	 * reason by reading or writing; watching goes on if it keeps the descriptor. */
	if (status < 0)
		ready = io->want | LOOP_HANGUP;
	io->fn(io, ready, io->ctx);
	if (status < 0 && !io->closed && !uv_is_active((uv_handle_t *)p))
		start_poll(io);
}

static void start_poll(struct loop_io *io)
{
	int events = (io->want & LOOP_READ ? UV_READABLE : 0) | (io->want & LOOP_WRITE ? UV_WRITABLE : 0);

	if (events)
		uv_poll_start(&io->poll, events, on_poll);
	else
		uv_poll_stop(&io->poll);
}

err loop_io_new(struct loop *l, int fd, loop_io_fn fn, void *ctx, struct loop_io **out)
{
	struct loop_io *io = calloc(1, sizeof *io);

	if (!io)
		return ERR_NOMEM;
	io->fn = fn;
	io->ctx = ctx;
	int e = uv_poll_init(&l->uv, &io->poll, fd);
	if (e != 0) {
		free(io);
		errno = -e;
		return ERR_SYS;
	}
	*out = io;
	return OK;
}

void loop_io_want(struct loop_io *io, unsigned events)
{
	events &= LOOP_READ | LOOP_WRITE;
	if (io->closed || events == io->want)
		return;
	io->want = events;
	start_poll(io);
}

static void free_io(uv_handle_t *h)
{
	free(container_of(h, struct loop_io, poll));
}

void loop_io_close(struct loop_io *io)
{
	if (!io || io->closed)
		return;
	io->closed = true;
	uv_close((uv_handle_t *)&io->poll, free_io);
}

/* ---- timers ----------------------------------------------------------------------------------------------------- */

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(struct loop_timer *t))
{
	*t = (struct loop_timer){ .loop = l, .fn = fn };
	if (!timer_heap_reserve(&l->timers)) {
		log_error("out of memory for timers", "timers=%zu", l->timers.reserved);
		abort(); /* the heap could not grow for as many inits as it already holds: nothing works any more */
	}
}

void loop_timer_in(struct loop_timer *t, int64_t ms)
{
	int64_t due_ms;

	if (__builtin_add_overflow(loop_now_ms(t->loop), ms > 0 ? ms : 0, &due_ms))
		due_ms = INT64_MAX - 1;
	timer_heap_set(&t->loop->timers, t, due_ms);
}

void loop_timer_stop(struct loop_timer *t)
{
	if (t->loop)
		timer_heap_remove(&t->loop->timers, t);
}

void loop_timer_done(struct loop_timer *t)
{
	if (!t->loop)
		return;
	loop_timer_stop(t);
	timer_heap_unreserve(&t->loop->timers);
	t->loop = NULL;
}

/* ---- signals and workers ---------------------------------------------------------------------------------------- */

struct on_signal {
	uv_signal_t uv;
	void (*fn)(int signo, void *ctx);
	void *ctx;
};

static void on_signal_cb(uv_signal_t *s, int signo)
{
	struct on_signal *o = container_of(s, struct on_signal, uv);

	o->fn(signo, o->ctx);
}

err loop_on_signal(struct loop *l, int signo, void (*fn)(int signo, void *ctx), void *ctx)
{
	struct on_signal *o = calloc(1, sizeof *o);

	if (!o)
		return ERR_NOMEM;
	o->fn = fn;
	o->ctx = ctx;
	if (uv_signal_init(&l->uv, &o->uv) != 0) {
		free(o);
		return ERR_SYS;
	}
	/* From here the loop owns it: loop_free closes it, also when it was never started. */
	return uv_signal_start(&o->uv, on_signal_cb, signo) == 0 ? OK : ERR_SYS;
}

struct work {
	uv_work_t uv;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void do_work(uv_work_t *w)
{
	struct work *k = container_of(w, struct work, uv);

	k->work(k->arg);
}

static void after_work(uv_work_t *w, int status)
{
	struct work *k = container_of(w, struct work, uv);

	(void)status; /* only cancelling would set it, and nothing cancels */
	k->done(k->arg);
	free(k);
}

err loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct work *k = calloc(1, sizeof *k);

	if (!k)
		return ERR_NOMEM;
	k->work = work;
	k->done = done;
	k->arg = arg;
	if (uv_queue_work(&l->uv, &k->uv, do_work, after_work) != 0) {
		free(k);
		return ERR_SYS;
	}
	return OK;
}
