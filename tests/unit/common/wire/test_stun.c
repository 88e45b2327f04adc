#include "common/wire/stun.h"

#include "tests/lib/vectors.h"

static struct addrport parse_text(const char *s)
{
	struct addrport a;

	assert_ok(addrport_parse(bytes_str(s), &a));
	return a;
}

static void test_request_vector(void **state)
{
	json_t *root = vectors_load("stun.json");
	struct stun_txid txid;
	uint8_t out[STUN_REQUEST_LEN];

	(void)state;
	vec_copy(root, "txid", txid.b, sizeof txid.b);
	stun_write_request(out, &txid);
	vec_assert(json_object_get(root, "request"), "hex", bytes_of(out, sizeof out));
	json_decref(root);
}

static void test_server_vectors(void **state)
{
	json_t *root = vectors_load("stun.json"), *v;
	struct stun_txid want;
	size_t at;

	(void)state;
	vec_copy(root, "txid", want.b, sizeof want.b);
	json_array_foreach(json_object_get(root, "server_accept"), at, v)
	{
		struct bytes in = vec_hex(v, "hex");
		struct stun_txid got;

		if (stun_parse_request(in, &got) != OK)
			fail_msg("not accepted: %s", vec_str(v, "name"));
		assert_memory_equal(got.b, want.b, sizeof got.b);
		test_exact_free(in);
	}
	assert_true(at >= 3);
	json_array_foreach(json_object_get(root, "server_ignore"), at, v)
	{
		struct bytes in = vec_hex(v, "hex");
		struct stun_txid got;

		if (stun_parse_request(in, &got) != ERR_MALFORMED)
			fail_msg("not ignored: %s", vec_str(v, "name"));
		test_exact_free(in);
	}
	assert_true(at >= 10);
	json_decref(root);
}

static void test_response_vectors(void **state)
{
	json_t *root = vectors_load("stun.json"), *v;
	struct stun_txid want, txid;
	size_t at;

	(void)state;
	vec_copy(root, "txid", want.b, sizeof want.b);
	json_array_foreach(json_object_get(root, "responses"), at, v)
	{
		struct bytes in = vec_hex(v, "hex");
		struct addrport source = parse_text(vec_str(v, "source")), got;
		const char *name = vec_str(v, "name");

		if (stun_parse_response(in, &txid, &got) != OK)
			fail_msg("not accepted: %s", name);
		assert_memory_equal(txid.b, want.b, sizeof txid.b);
		assert_true(addrport_eq(got, source));
		if (strcmp(name, "ipv4") == 0 || strcmp(name, "ipv6") == 0) {
			uint8_t out[STUN_RESPONSE_MAX];
			size_t n = stun_write_response(out, &want, source);

			assert_int_equal(n, vec_int(v, "len"));
			assert_true(bytes_eq(bytes_of(out, n), in));
		}
		test_exact_free(in);
	}
	assert_true(at >= 6);
	json_decref(root);
}

static err response(const char *attrs_hex, uint16_t len, struct addrport *out)
{
	struct bytes attrs = test_unhex(attrs_hex);
	uint8_t p[200] = { 1, 1, (uint8_t)(len >> 8), (uint8_t)len, 0x21, 0x12, 0xa4, 0x42 };
	struct stun_txid txid;

	assert_true(20 + attrs.n <= sizeof p);
	memcpy(p + 20, attrs.p, attrs.n);
	struct bytes exact = test_exact(bytes_of(p, 20 + attrs.n));
	err e = stun_parse_response(exact, &txid, out);
	test_exact_free(exact);
	test_exact_free(attrs);
	return e;
}

static void test_response_rules(void **state)
{
	struct addrport a;

	(void)state;
	/* the XOR form wins over the plain one, wherever it stands; the first of several counts */
	assert_ok(response(
		"00010008 0001 0001 01010101 00200008 0001 2113 20130043 00200008 0001 0000 00000000", 36, &a));
	assert_true(addrport_eq(a, parse_text("1.1.164.1:1")));
	assert_int_equal(response("", 0, &a), ERR_MALFORMED);
	assert_int_equal(response("00200008 0003 0001 01010101", 12, &a), ERR_MALFORMED); /* no such family */
	assert_int_equal(response("00200004 0001 0001", 8, &a), ERR_MALFORMED);           /* no address in it */
	assert_int_equal(response("00200008 0002 0001 01010101", 12, &a), ERR_MALFORMED); /* too short for IPv6 */
	assert_int_equal(
		response("00200008 0001 0001 01010101", 13, &a), ERR_MALFORMED); /* length beyond the datagram */
	assert_int_equal(response("00200008 0001 0001 01010101 802200", 15, &a), ERR_MALFORMED);
	assert_int_equal(response("00200008 0001 0001 01010101 80220005 61", 17, &a), ERR_MALFORMED);
}

static void parse_both(struct bytes in, void *ctx)
{
	struct stun_txid txid;
	struct addrport a;
	unsigned *accepted = ctx;

	if (stun_parse_request(in, &txid) == OK)
		++*accepted;
	(void)!stun_parse_response(in, &txid, &a);
	if (stun_parse_request(in, &txid) == OK || stun_parse_response(in, &txid, &a) == OK)
		assert_true(stun_looks_like(in));
}

static void test_torture_packets(void **state)
{
	struct stun_txid txid = { .b = { 1, 2, 3 } };
	uint8_t p[STUN_RESPONSE_MAX];
	unsigned accepted = 0;

	(void)state;
	stun_write_request(p, &txid);
	test_torture(bytes_of(p, STUN_REQUEST_LEN), parse_both, &accepted);
	/* The fingerprint covers all: only the whole packet passes. */
	assert_int_equal(accepted, 1);
	test_torture(bytes_of(p, stun_write_response(p, &txid, parse_text("[2001:db8::1]:2"))), parse_both, &accepted);
	test_torture(bytes_of(p, stun_write_response(p, &txid, parse_text("1.2.3.4:5"))), parse_both, &accepted);
	assert_int_equal(accepted, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_vector),
		cmocka_unit_test(test_server_vectors),
		cmocka_unit_test(test_response_vectors),
		cmocka_unit_test(test_response_rules),
		cmocka_unit_test(test_torture_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
