#include "server/front/proxy_protocol.h"

#include "tests/lib/test.h"

static void parse_any(struct bytes in, void *ctx)
{
	struct addrport client;
	size_t used;

	(void)ctx;
	if (proxy_protocol_parse(in, &client, &used) == OK)
		assert_true(used <= in.n);
}

static void check(struct bytes in, err want, const char *addr, size_t want_used)
{
	struct addrport client;
	char text[ADDRPORT_TEXT_MAX];
	size_t used = 0;

	assert_int_equal(proxy_protocol_parse(in, &client, &used), want);
	if (want != OK)
		return;
	assert_int_equal(used, want_used);
	assert_string_equal(client.addr.family ? addrport_text(client, text) : "", addr);
	for (size_t n = 0; n < used; n++)
		assert_int_equal(proxy_protocol_parse(bytes_first(in, n), &client, &used), ERR_TRUNCATED);
	test_torture(in, parse_any, NULL);
}

static void version_1(void **state)
{
	(void)state;
	check(BYTES_LIT("PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\nGET /"), OK, "192.0.2.1:5000", 44);
	check(BYTES_LIT("PROXY TCP6 2001:db8::1 ::1 5000 443\r\n"), OK, "[2001:db8::1]:5000", 37);
	check(BYTES_LIT("PROXY UNKNOWN\r\n"), OK, "", 15);
	check(BYTES_LIT("PROXY TCP4 192.0.2.1 198.51.100.2 5000\r\n"), ERR_MALFORMED, "", 0);
	check(BYTES_LIT("PROXY TCP4 192.0.2.1 198.51.100.2 5000 70000\r\n"), ERR_MALFORMED, "", 0);
	check(BYTES_LIT("PROXY TCP4 2001:db8::1 ::1 5000 443\r\n"), ERR_MALFORMED, "", 0);
	check(BYTES_LIT("PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\n"), ERR_MALFORMED, "", 0);
	check(BYTES_LIT("GET / HTTP/1.1\r\n"), ERR_MALFORMED, "", 0);
}

static void version_2(void **state)
{
	(void)state;
	struct bytes v4 = test_unhex("0d0a0d0a000d0a515549540a 21 11 000c c0000201 c6336402 1388 01bb");
	struct bytes v6 = test_unhex("0d0a0d0a000d0a515549540a 21 21 0027 20010db8000000000000000000000001"
				     "00000000000000000000000000000001 1388 01bb 040000");
	struct bytes local = test_unhex("0d0a0d0a000d0a515549540a 20 00 0000");
	struct bytes bad = test_unhex("0d0a0d0a000d0a515549540a 31 11 000c c0000201 c6336402 1388 01bb");
	struct bytes brief = test_unhex("0d0a0d0a000d0a515549540a 21 11 0004 c0000201");

	check(v4, OK, "192.0.2.1:5000", v4.n);
	check(v6, OK, "[2001:db8::1]:5000", v6.n);
	check(local, OK, "", local.n);
	check(bad, ERR_MALFORMED, "", 0);
	check(brief, ERR_MALFORMED, "", 0);
	test_exact_free(v4);
	test_exact_free(v6);
	test_exact_free(local);
	test_exact_free(bad);
	test_exact_free(brief);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(version_1), cmocka_unit_test(version_2) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
