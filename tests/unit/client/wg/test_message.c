/* The four messages: what is written is read again, and nothing of another length or with reserved bytes is taken. */
#include "client/wg/message.h"

#include "tests/lib/vectors.h"

static void parse_all(struct bytes in, void *ctx)
{
	struct wg_initiation i;
	struct wg_response r;
	struct wg_cookie_reply c;
	struct wg_transport t;
	enum wg_type type;
	int took = 0;

	(void)ctx;
	took += wg_parse_initiation(in, &i) == OK;
	took += wg_parse_response(in, &r) == OK;
	took += wg_parse_cookie_reply(in, &c) == OK;
	took += wg_parse_transport(in, &t) == OK;
	assert_int_equal(took, wg_message_type(in, &type) == OK);
}

static void test_round_trip(void **state)
{
	struct test_rng rng = { 1 };
	struct wg_initiation i, i2;
	struct wg_response r, r2;
	struct wg_cookie_reply c, c2;
	struct wg_transport t;
	uint8_t m[WG_INITIATION_LEN], head[WG_OVERHEAD] = { 0 };

	(void)state;
	rng_fill(&rng, &i, sizeof i);
	wg_write_initiation(&i, m);
	assert_ok(wg_parse_initiation(bytes_of(m, WG_INITIATION_LEN), &i2));
	assert_memory_equal(&i, &i2, sizeof i);
	assert_int_equal(wg_message_sender(bytes_of(m, WG_INITIATION_LEN)), i.sender);
	test_torture(bytes_of(m, WG_INITIATION_LEN), parse_all, NULL);

	rng_fill(&rng, &r, sizeof r);
	wg_write_response(&r, m);
	assert_ok(wg_parse_response(bytes_of(m, WG_RESPONSE_LEN), &r2));
	assert_memory_equal(&r, &r2, sizeof r);
	test_torture(bytes_of(m, WG_RESPONSE_LEN), parse_all, NULL);

	rng_fill(&rng, &c, sizeof c);
	wg_write_cookie_reply(&c, m);
	assert_ok(wg_parse_cookie_reply(bytes_of(m, WG_COOKIE_REPLY_LEN), &c2));
	assert_memory_equal(&c, &c2, sizeof c);
	test_torture(bytes_of(m, WG_COOKIE_REPLY_LEN), parse_all, NULL);

	wg_write_transport(0x01020304, 0x1122334455667788, head);
	assert_memory_equal(head, "\4\0\0\0\4\3\2\1\x88\x77\x66\x55\x44\x33\x22\x11", WG_HEADER_LEN);
	assert_ok(wg_parse_transport(bytes_of(head, sizeof head), &t));
	assert_int_equal(t.receiver, 0x01020304);
	assert_true(t.counter == 0x1122334455667788);
	assert_int_equal(t.sealed.n, WG_TAG_LEN);
	test_torture(bytes_of(head, sizeof head), parse_all, NULL);
}

static void test_macs(void **state)
{
	uint8_t m[WG_RESPONSE_LEN];
	struct wg_macs macs;

	(void)state;
	for (size_t i = 0; i < sizeof m; i++)
		m[i] = (uint8_t)i;
	macs = wg_message_macs(bytes_of(m, sizeof m));
	assert_int_equal(macs.under_mac1.n, 60);
	assert_int_equal(macs.mac1.p[0], 60);
	assert_int_equal(macs.mac1.n, 16);
	assert_int_equal(macs.under_mac2.n, 76);
	assert_int_equal(macs.mac2.p[0], 76);
	assert_int_equal(macs.mac2.n, 16);
}

static void test_lengths(void **state)
{
	uint8_t m[200] = { 0 };
	enum wg_type type;

	(void)state;
	for (uint8_t want = 0; want < 6; want++) {
		m[0] = want;
		for (size_t n = 0; n < sizeof m; n++) {
			bool ok = (want == 1 && n == 148) || (want == 2 && n == 92) || (want == 3 && n == 64) ||
				  (want == 4 && n >= 32);
			assert_int_equal(wg_message_type(bytes_of(m, n), &type) == OK, ok);
			if (ok)
				assert_int_equal(type, want);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_macs),
		cmocka_unit_test(test_lengths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
