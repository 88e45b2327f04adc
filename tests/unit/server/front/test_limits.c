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

/* A burst, then a pace; a machine's sessions share it, others have their own; who rested is forgotten. */
static void requests_of_a_machine(void **state)
{
	struct machine_pub a = { { 1 } }, b = { { 2 } };
	struct limits *l;
	int got = 0;

	(void)state;
	assert_ok(limits_new(caps, &l));
	for (int i = 0; i < 2 * LIMITS_REQUESTS_BURST; i++)
		got += limits_request(l, &a, 1000);
	assert_int_equal(got, LIMITS_REQUESTS_BURST);
	assert_true(limits_request(l, &b, 1000));
	for (int i = 0; i < 1000; i++)
		got += limits_request(l, &a, 1000 + i * 10);
	assert_in_range(got, LIMITS_REQUESTS_BURST + 10 * LIMITS_REQUESTS_PER_S - 2, LIMITS_REQUESTS_BURST + 10 * LIMITS_REQUESTS_PER_S);
	/* A crowd of strangers is bounded, who was there before goes on, and the crowd passes. */
	assert_true(limits_request(l, &b, 20000));
	for (uint32_t i = 0; i < LIMITS_MACHINES_MAX; i++) {
		struct machine_pub m = { { 9 } };

		memcpy(m.b + 8, &i, sizeof i);
		(void)limits_request(l, &m, 20000);
	}
	struct machine_pub late = { { 3 } };
	assert_false(limits_request(l, &late, 20001));
	assert_true(limits_request(l, &b, 20001));
	assert_true(limits_request(l, &late, 30000));
	limits_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(counts), cmocka_unit_test(exemption),
		cmocka_unit_test(ipv6_by_64), cmocka_unit_test(requests_of_a_machine) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
