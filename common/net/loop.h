/* loop: one event loop a thread (libuv inside): readiness of descriptors, timers, and posts from other threads.
 *
 * Everything but loop_post and loop_stop is called on the loop's own thread. Callbacks must not block. The loop reads
 * the clock once a turn: loop_now_ms. Objects that a callback closes are freed by the owner's on_closed, never inside
 * the callback that closed them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct loop;
struct loop_io;
struct loop_timer;

enum {
	LOOP_READ = 1,
	LOOP_WRITE = 2,
	LOOP_HANGUP = 4, /* reported only: the peer is gone or the descriptor is in error */
};

MUST_USE err loop_new(struct loop **out); /* from now on the process ignores SIGPIPE, which TLS writes would raise */
void loop_free(struct loop *l); /* the loop must have stopped; runs remaining closes and posts */
void loop_run(struct loop *l);	/* until loop_stop */
void loop_stop(struct loop *l); /* any thread */
int64_t loop_now_ms(const struct loop *l);  /* monotonic, as of this turn */
int64_t loop_wall_ms(const struct loop *l); /* Unix time, as of this turn */

/* Runs fn(arg) on the loop's thread, in order of posting. Any thread. A burst costs one wake-up. ERR_NOMEM. */
MUST_USE err loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/* The same without allocation: the node lies inside the caller's object and is owned by the loop until it runs. */
struct loop_post {
	struct loop_post *next;
	void (*fn)(struct loop_post *p);
};
void loop_post_node(struct loop *l, struct loop_post *p);

/* Runs p->fn once on this thread when the turn's callbacks are through, before the loop waits: for output that is
 * worth gathering. Own thread only; costs no system call. What it defers again runs in the same go. */
void loop_defer_node(struct loop *l, struct loop_post *p);
/* Its owner goes before its turn came: it will not be called. Harmless when it does not wait. */
void loop_defer_cancel(struct loop *l, struct loop_post *p);

/* A share of each turn's time, for work that must not keep the others waiting: handshakes, say. Who is told no returns at
 * once; its descriptor is still ready and is reported again in the next turn. Own thread only. */
struct loop_share {
	struct loop *loop;
	struct loop_post over;
	int64_t us, until_us;
	bool begun; /* asked in this turn */
};
void loop_share_init(struct loop_share *s, struct loop *l, int64_t us);
bool loop_share_left(struct loop_share *s); /* counted from the first call of the turn, which is always told yes */
void loop_share_done(struct loop_share *s); /* twice is fine, and of one that is all zero */

/* Descriptors. The io borrows fd: the owner closes fd after loop_io_close returned, not before. */
typedef void (*loop_io_fn)(struct loop_io *io, unsigned ready, void *ctx);
MUST_USE err loop_io_new(struct loop *l, int fd, loop_io_fn fn, void *ctx, struct loop_io **out);
void loop_io_want(struct loop_io *io, unsigned events); /* LOOP_READ | LOOP_WRITE, 0 = nothing; cheap when unchanged */
void loop_io_close(struct loop_io *io);			/* no callback after it; NULL is fine */

/* Timers. One shot; arming an armed one moves it. Millions are fine (a heap). Embedded in the owner's object. */
struct loop_timer {
	struct loop *loop;
	void (*fn)(struct loop_timer *t);
	int64_t due_ms;
	unsigned heap_at; /* 0 = not armed */
};
void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(struct loop_timer *t));
void loop_timer_in(struct loop_timer *t, int64_t ms);  /* from now; never fails: room is reserved by init */
void loop_timer_stop(struct loop_timer *t);	       /* also before the owner is freed; twice is fine */
static inline bool loop_timer_armed(const struct loop_timer *t)
{
	return t->heap_at != 0;
}
void loop_timer_done(struct loop_timer *t); /* stops, and gives the reserved room back */

/* Signals, for main loops: fn runs on the loop's thread. */
MUST_USE err loop_on_signal(struct loop *l, int signo, void (*fn)(int signo, void *ctx), void *ctx);

/* Runs work(arg) on a worker thread, then done(arg) on the loop's thread. */
MUST_USE err loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);
