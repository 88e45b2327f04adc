/* The window against a dumb one: the list of everything seen. */
#include "client/wg/replay.h"

#include <stdlib.h>

#include "tests/lib/test.h"

enum { SPAN = 40000 };

/* Counters base … base + SPAN. */
struct dumb {
	bool seen[SPAN];
	bool any;
	uint64_t newest;
};

static bool dumb_accept(struct dumb *d, uint64_t off)
{
	if (d->any && off < d->newest && d->newest - off >= WG_REPLAY_WINDOW)
		return false;
	if (d->seen[off])
		return false;
	d->seen[off] = true;
	if (!d->any || off > d->newest)
		d->newest = off;
	d->any = true;
	return true;
}

static void against_dumb(uint64_t seed, uint64_t base)
{
	static struct dumb d;
	struct wg_replay r = { 0 };
	struct test_rng rng = { seed };
	uint64_t at = 0, spread = 1 + rng_below(&rng, 3 * WG_REPLAY_WINDOW), jump = 1 + rng_below(&rng, 200);

	d = (struct dumb){ 0 };
	for (int i = 0; i < 4000 && at < SPAN; i++) {
		uint64_t back = rng_below(&rng, 3) ? rng_below(&rng, spread) : 0, off = back > at ? at : at - back;

		assert_int_equal(wg_replay_accept(&r, base + off), dumb_accept(&d, off));
		at += rng_below(&rng, jump);
		if (rng_below(&rng, 500) == 0)
			at += rng_below(&rng, 2 * WG_REPLAY_WINDOW);
	}
}

static void test_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		against_dumb(seed, 0);
		against_dumb(seed, seed * 64 - 1);
		against_dumb(seed, UINT64_MAX - (1ULL << 13) - SPAN);
	}
}

static void test_edges(void **state)
{
	struct wg_replay r = { 0 };

	(void)state;
	assert_true(wg_replay_accept(&r, 0));
	assert_false(wg_replay_accept(&r, 0));
	/* 8000 late is in time, 9000 late is not. */
	assert_true(wg_replay_accept(&r, 10000));
	assert_true(wg_replay_accept(&r, 2000));
	assert_false(wg_replay_accept(&r, 1000));
	assert_true(wg_replay_accept(&r, 10000 - WG_REPLAY_WINDOW + 1));
	assert_false(wg_replay_accept(&r, 10000 - WG_REPLAY_WINDOW));
	assert_true(wg_replay_accept(&r, 1ULL << 50));
	assert_false(wg_replay_accept(&r, 10001));
	assert_true(wg_replay_accept(&r, (1ULL << 50) - 1));
	assert_int_equal(WG_REPLAY_WINDOW, 8128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_edges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
