#include "server/front/limits.h"

#include "tests/lib/test.h"

static const struct limit_caps caps[LIMIT_KINDS] = { { 5, 3 }, { 4, 2 }, { 2, 1 } };

static struct addr at(uint8_t last)
{
	return addr_v4(192, 0, 2, last);
}

static void counts(void **state)
{
	struct limits *l;
	struct limits_stats st;

	(void)state;
	assert_ok(limits_new(caps, &l));
	for (int i = 0; i < 3; i++)
		assert_true(limits_take(l, LIMIT_CONNECTIONS, at(1), 10));
	assert_false(limits_take(l, LIMIT_CONNECTIONS, at(1), 10)); /* per address */
	assert_true(limits_take(l, LIMIT_CONNECTIONS, at(2), 10));
	assert_true(limits_take(l, LIMIT_CONNECTIONS, at(2), 10));
	assert_false(limits_take(l, LIMIT_CONNECTIONS, at(3), 10)); /* total */
	limits_give(l, LIMIT_CONNECTIONS, at(1));
	assert_true(limits_take(l, LIMIT_CONNECTIONS, at(3), 10));
	limits_give(l, LIMIT_CONNECTIONS, at(9)); /* nothing taken: nothing given */
	limits_stats(l, &st);
	assert_int_equal(st.now[LIMIT_CONNECTIONS], 5);
	assert_int_equal(st.shed[LIMIT_CONNECTIONS], 2);
	limits_free(l);
}

static void exemption(void **state)
{
	struct limits *l;

	(void)state;
	assert_ok(limits_new(caps, &l));
	assert_true(limits_take(l, LIMIT_UNREGISTERED, at(1), 10));
	assert_false(limits_take(l, LIMIT_UNREGISTERED, at(1), 10));
	limits_exempt(l, at(1), 10);
	assert_true(limits_take(l, LIMIT_UNREGISTERED, at(1), 11));
	assert_false(limits_take(l, LIMIT_UNREGISTERED, at(1), 11)); /* the total holds for everyone */
	limits_give(l, LIMIT_UNREGISTERED, at(1));
	assert_false(limits_take(l, LIMIT_UNREGISTERED, at(1), 11 + LIMITS_EXEMPT_MS)); /* it wears off */
	limits_free(l);
}

static void ipv6_by_64(void **state)
{
	struct limits *l;
	struct addr a, b, c;

	(void)state;
	assert_ok(limits_new(caps, &l));
	assert_ok(addr_parse(bytes_str("2001:db8:0:1::1"), &a));
	assert_ok(addr_parse(bytes_str("2001:db8:0:1:ffff::2"), &b));
	assert_ok(addr_parse(bytes_str("2001:db8:0:2::1"), &c));
	assert_true(limits_take(l, LIMIT_UNREGISTERED, a, 0));
	assert_false(limits_take(l, LIMIT_UNREGISTERED, b, 0));
	assert_true(limits_take(l, LIMIT_UNREGISTERED, c, 0));
	limits_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(counts), cmocka_unit_test(exemption),
		cmocka_unit_test(ipv6_by_64) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
