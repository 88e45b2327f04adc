/* The allowance of an address: a burst of five, then one each 50 ms; others are not touched by it. */
#include "client/wg/limiter.h"

#include "tests/lib/test.h"

static struct wg_from from_text(const char *s)
{
	struct wg_from f = { 0 };

	assert_ok(addrport_parse(bytes_str(s), &f.addr));
	return f;
}

static unsigned take_all(struct wg_limiter *l, const struct wg_from *f, int64_t now_ms)
{
	unsigned n = 0;

	while (n < 100 && wg_limiter_take(l, f, now_ms))
		n++;
	return n;
}

static void test_allowance(void **state)
{
	static struct wg_limiter l;
	struct wg_from a = from_text("192.0.2.1:1"), other_port = from_text("192.0.2.1:2");

	(void)state;
	assert_int_equal(take_all(&l, &a, 1000), WG_LIMIT_BURST);
	assert_int_equal(take_all(&l, &other_port, 1000), 0);
	assert_int_equal(take_all(&l, &a, 1049), 0);
	assert_int_equal(take_all(&l, &a, 1050), 1);
	assert_int_equal(take_all(&l, &a, 1150), 2);
	assert_int_equal(take_all(&l, &a, 60000), WG_LIMIT_BURST);
	unsigned n = 0;
	for (int64_t t = 100000; t < 110000; t++)
		n += wg_limiter_take(&l, &a, t);
	assert_in_range(n, 200 + WG_LIMIT_BURST - 1, 200 + WG_LIMIT_BURST + 1);
}

static void test_others(void **state)
{
	static struct wg_limiter l;
	struct wg_from f = { 0 };
	unsigned starved = 0;

	(void)state;
	f.addr.addr = addr_v4(198, 51, 100, 1);
	take_all(&l, &f, 1000);
	for (unsigned i = 0; i < 250; i++) {
		f.addr.addr = addr_v4(203, 0, 113, (uint8_t)i);
		starved += !wg_limiter_take(&l, &f, 1000);
	}
	assert_in_range(starved, 0, 5); /* those that share its slot */

	struct wg_from a = from_text("[2001:db8:1:2::1]:1"), same = from_text("[2001:db8:1:2:ffff::9]:1");
	take_all(&l, &a, 2000);
	assert_int_equal(take_all(&l, &same, 2000), 0);

	struct wg_from relay = { 0 };
	unsigned took = 0;
	for (uint8_t i = 1; i <= 50; i++) {
		relay.relayed.b[31] = i;
		took += wg_limiter_take(&l, &relay, 3000);
	}
	assert_in_range(took, 45, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowance),
		cmocka_unit_test(test_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
