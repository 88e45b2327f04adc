#include "common/net/timer.h"

#include <stdlib.h>

#include "common/net/loop.h"
#include "tests/lib/test.h"

enum { N = 500 };

/* Against the dumbest thing that can be right: a scan for the smallest. */
static void heap_agrees_with_a_scan(void **state)
{
	struct test_rng r = { 42 };
	struct timer_heap h = { 0 };
	static struct loop_timer t[N];

	(void)state;
	for (size_t i = 0; i < N; i++)
		assert_true(timer_heap_reserve(&h));
	for (int step = 0; step < 20000; step++) {
		struct loop_timer *x = &t[rng_below(&r, N)], *first = timer_heap_first(&h);
		int64_t min = INT64_MAX;
		size_t armed = 0;

		if (rng_below(&r, 3))
			timer_heap_set(&h, x, (int64_t)rng_below(&r, 1000));
		else
			timer_heap_remove(&h, rng_below(&r, 2) && first ? first : x);
		for (size_t i = 0; i < N; i++)
			if (loop_timer_armed(&t[i])) {
				armed++;
				min = t[i].due_ms < min ? t[i].due_ms : min;
				assert_ptr_equal(h.at[t[i].heap_at], &t[i]);
			}
		assert_int_equal(armed, h.n);
		first = timer_heap_first(&h);
		assert_int_equal(first ? first->due_ms : INT64_MAX, min);
	}
	timer_heap_free(&h);
	for (size_t i = 0; i < N; i++)
		assert_false(loop_timer_armed(&t[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heap_agrees_with_a_scan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
