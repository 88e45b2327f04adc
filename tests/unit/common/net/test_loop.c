#include "common/net/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/net/sock.h"
#include "tests/lib/test.h"

static struct loop *l;

static int set_up(void **state)
{
	(void)state;
	return loop_new(&l) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	loop_free(l);
	return 0;
}

/* ---- posts ------------------------------------------------------------------------------------------------------ */

enum { POSTERS = 4, POSTS = 5000 };

struct poster {
	pthread_t thread;
	unsigned id, seen;
	struct numbered {
		struct loop_post node;
		struct poster *by;
		unsigned n;
	} node[POSTS];
};
static struct poster poster[POSTERS];
static unsigned posts_seen;

static void on_numbered(struct loop_post *p)
{
	struct numbered *n = container_of(p, struct numbered, node);

	assert_int_equal(n->n, n->by->seen++); /* the order of each thread's own posts is kept */
	if (++posts_seen == POSTERS * POSTS)
		loop_stop(l);
}

static void *post_all(void *arg)
{
	struct poster *me = arg;

	for (unsigned i = 0; i < POSTS; i++) {
		me->node[i] = (struct numbered){ { .fn = on_numbered }, me, i };
		loop_post_node(l, &me->node[i].node);
	}
	return NULL;
}

static void posts_from_threads_arrive_in_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_create(&poster[i].thread, NULL, post_all, &poster[i]), 0);
	loop_run(l);
	for (unsigned i = 0; i < POSTERS; i++) {
		pthread_join(poster[i].thread, NULL);
		assert_int_equal(poster[i].seen, POSTS);
	}
}

static void count_up(void *arg)
{
	++*(int *)arg;
}

static void posts_left_over_run_in_loop_free(void **state)
{
	int ran = 0;

	(void)state;
	assert_ok(loop_post(l, count_up, &ran));
	assert_ok(loop_post(l, count_up, &ran));
	loop_free(l);
	assert_int_equal(ran, 2);
	assert_ok(loop_new(&l));
}

static void on_deferred(struct loop_post *p)
{
	(void)p;
	fail();
}

static void what_was_cancelled_does_not_run(void **state)
{
	struct loop_post first = { .fn = on_deferred }, second = { .fn = on_deferred }, third = { .fn = on_deferred };

	(void)state;
	loop_defer_node(l, &first);
	loop_defer_node(l, &second);
	loop_defer_cancel(l, &second);
	loop_defer_node(l, &third);
	loop_defer_cancel(l, &second); /* it does not wait: nothing happens */
	loop_defer_cancel(l, &first);
	loop_defer_cancel(l, &third);
	loop_free(l);
	assert_ok(loop_new(&l));
}

static struct loop_share share;

static void in_the_next_turn(void *arg)
{
	(void)arg;
	assert_true(loop_share_left(&share));
	loop_stop(l);
}

static void use_it_up(void *arg)
{
	(void)arg;
	assert_true(loop_share_left(&share));
	int64_t until_us = clock_mono_us() + 2000;
	while (clock_mono_us() < until_us)
		;
	assert_false(loop_share_left(&share));
	assert_ok(loop_post(l, in_the_next_turn, NULL));
}

static void a_share_is_of_one_turn(void **state)
{
	(void)state;
	loop_share_init(&share, l, 1000);
	assert_ok(loop_post(l, use_it_up, NULL));
	loop_run(l);
	loop_share_done(&share);
	loop_free(l); /* what was cancelled does not run */
	loop_share_done(&share);
	assert_ok(loop_new(&l));
}

/* ---- timers ----------------------------------------------------------------------------------------------------- */

static char order[8];
static struct loop_timer ta, tb, tc, td;

static void on_timer(struct loop_timer *t)
{
	size_t n = strlen(order);

	order[n] = t == &ta ? 'a' : t == &tb ? 'b' : 'c';
	if (t == &ta) {
		loop_timer_stop(&td);
		loop_timer_in(&tc, 30);
	}
	if (t == &tc)
		loop_stop(l);
}

static void timers_run_in_order_and_stop(void **state)
{
	int64_t start = clock_mono_ms();

	(void)state;
	memset(order, 0, sizeof order);
	loop_timer_init(&ta, l, on_timer);
	loop_timer_init(&tb, l, on_timer);
	loop_timer_init(&tc, l, on_timer);
	loop_timer_init(&td, l, on_timer);
	loop_timer_in(&tc, 5000);
	loop_timer_in(&tb, 20);
	loop_timer_in(&ta, 10);
	loop_timer_in(&td, 15);
	assert_true(loop_timer_armed(&td));
	loop_run(l);
	assert_string_equal(order, "abc");
	assert_true(clock_mono_ms() - start >= 35);
	assert_true(clock_mono_ms() - start < 4000);
	loop_timer_done(&ta);
	loop_timer_done(&tb);
	loop_timer_done(&tc);
	loop_timer_done(&td);
	loop_timer_done(&td);
}

static int fired;

static void again_at_once(struct loop_timer *t)
{
	fired++;
	loop_timer_in(t, 0);
}

static void stop_loop(void *arg)
{
	(void)arg;
	loop_stop(l);
}

static void a_timer_for_now_starves_nobody(void **state)
{
	struct loop_timer t;

	(void)state;
	loop_timer_init(&t, l, again_at_once);
	loop_timer_in(&t, 0);
	assert_ok(loop_post(l, stop_loop, NULL));
	loop_run(l);
	loop_timer_done(&t);
}

static void the_wall_clock_is_close(void **state)
{
	(void)state;
	int64_t off = loop_wall_ms(l) - clock_wall_ms();
	assert_true(off > -1000 && off < 1000);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

struct end {
	int fd;
	struct loop_io *io;
	unsigned seen;
};

static void on_end(struct loop_io *io, unsigned ready, void *ctx)
{
	struct end *e = ctx;
	char c;

	e->seen |= ready;
	if (ready & LOOP_WRITE) {
		assert_int_equal(write(e->fd, "x", 1), 1);
		loop_io_want(io, 0);
	}
	if (ready & LOOP_READ) {
		assert_int_equal(read(e->fd, &c, 1), 1);
		loop_io_close(io);
		loop_io_close(io);
		close(e->fd); /* allowed at once */
		loop_stop(l);
	}
}

static void descriptors_report_what_was_asked(void **state)
{
	int fd[2];

	(void)state;
	assert_ok(sock_pair(fd));
	struct end a = { .fd = fd[0] }, b = { .fd = fd[1] };
	assert_ok(loop_io_new(l, a.fd, on_end, &a, &a.io));
	assert_ok(loop_io_new(l, b.fd, on_end, &b, &b.io));
	loop_io_want(a.io, LOOP_WRITE);
	loop_io_want(b.io, LOOP_READ);
	loop_run(l);
	assert_int_equal(a.seen, LOOP_WRITE);
	assert_int_equal(b.seen, LOOP_READ);
	loop_io_close(a.io);
	loop_io_close(NULL);
	close(a.fd);
}

static void a_descriptor_number_may_come_back_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		int fd[2];

		assert_ok(sock_pair(fd));
		struct end a = { .fd = fd[0] };
		assert_ok(loop_io_new(l, a.fd, on_end, &a, &a.io));
		loop_io_want(a.io, LOOP_READ);
		loop_io_close(a.io);
		close(fd[0]);
		close(fd[1]);
	}
}

/* ---- signals and workers ---------------------------------------------------------------------------------------- */

static void on_sig(int signo, void *ctx)
{
	*(int *)ctx = signo;
	loop_stop(l);
}

static void signals_arrive_on_the_loop(void **state)
{
	int got = 0;

	(void)state;
	assert_ok(loop_on_signal(l, SIGUSR1, on_sig, &got));
	kill(getpid(), SIGUSR1);
	loop_run(l);
	assert_int_equal(got, SIGUSR1);
}

struct job {
	pthread_t worked_on;
	int done;
};

static void work(void *arg)
{
	struct job *j = arg;

	j->worked_on = pthread_self();
}

static void work_done(void *arg)
{
	struct job *j = arg;

	j->done++;
	loop_stop(l);
}

static void work_runs_elsewhere_and_comes_back(void **state)
{
	struct job j = { .worked_on = pthread_self() };

	(void)state;
	assert_ok(loop_work(l, work, work_done, &j));
	loop_run(l);
	assert_int_equal(j.done, 1);
	assert_false(pthread_equal(j.worked_on, pthread_self()));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(posts_from_threads_arrive_in_order), T(posts_left_over_run_in_loop_free), T(what_was_cancelled_does_not_run),
		T(a_share_is_of_one_turn),
		T(timers_run_in_order_and_stop),
		T(a_timer_for_now_starves_nobody), T(the_wall_clock_is_close), T(descriptors_report_what_was_asked),
		T(a_descriptor_number_may_come_back_at_once), T(signals_arrive_on_the_loop),
		T(work_runs_elsewhere_and_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
