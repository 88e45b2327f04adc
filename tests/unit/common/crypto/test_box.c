#include "common/crypto/box.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/crypto/x25519.h"
#include "tests/lib/vectors.h"

static void test_shared_key_vectors(void **state)
{
	json_t *root = vectors_load("derp_clientinfo.json"), *keys = json_object_get(root, "keys");
	json_t *server = json_object_get(keys, "server"), *alice = json_object_get(keys, "alice");
	struct secret32 server_key, alice_key;
	uint8_t server_pub[32], alice_pub[32];
	struct box_shared s;

	(void)state;
	vec_copy(server, "private", server_key.b, 32);
	vec_copy(alice, "private", alice_key.b, 32);
	x25519_public(&server_key, server_pub);
	x25519_public(&alice_key, alice_pub);
	vec_assert(server, "public", bytes_of(server_pub, 32));
	assert_ok(box_shared_init(&s, &server_key, alice_pub));
	vec_assert(json_object_get(root, "box_shared_key"), "server_alice", bytes_of(s.key.b, 32));
	assert_ok(box_shared_init(&s, &alice_key, server_pub));
	vec_assert(json_object_get(root, "box_shared_key"), "alice_server", bytes_of(s.key.b, 32));
	box_shared_wipe(&s);
	assert_true(sodium_is_zero(s.key.b, 32));
	json_decref(root);
}

static void test_round_trip_and_libsodium(void **state)
{
	struct secret32 a, b;
	uint8_t a_pub[32], b_pub[32], plain[200], sealed[200 + BOX_OVERHEAD], out[200 + BOX_OVERHEAD];
	struct box_shared ab, ba;

	(void)state;
	test_random_seed(4);
	x25519_new(&a);
	x25519_new(&b);
	x25519_public(&a, a_pub);
	x25519_public(&b, b_pub);
	assert_int_equal(a.b[0] & 7, 0);
	assert_int_equal(a.b[31] & 0xc0, 0x40);
	assert_ok(box_shared_init(&ab, &a, b_pub));
	assert_ok(box_shared_init(&ba, &b, a_pub));
	memset(plain, 0x42, sizeof plain);
	for (size_t n = 0; n <= sizeof plain; n += 25) {
		struct bytes s = bytes_of(sealed, n + BOX_OVERHEAD);

		box_seal(&ab, bytes_of(plain, n), sealed);
		assert_ok(box_open(&ba, s, out));
		assert_memory_equal(out, plain, n);
		/* the same as NaCl's own box */
		assert_int_equal(crypto_box_open_easy(out, sealed + 24, n + 16, sealed, a_pub, b.b), 0);
		/* on the spot */
		memcpy(out, sealed, s.n);
		assert_ok(box_open(&ba, bytes_of(out, s.n), out));
		assert_memory_equal(out, plain, n);
		for (size_t at = 0; at < s.n; at++) {
			sealed[at] ^= 4;
			assert_int_equal(box_open(&ba, s, out), ERR_AUTH);
			sealed[at] ^= 4;
		}
		assert_int_equal(box_open(&ba, bytes_first(s, s.n - 1), out), ERR_AUTH);
	}
	assert_int_equal(box_open(&ba, bytes_of(sealed, BOX_OVERHEAD - 1), out), ERR_AUTH);
	test_random_end();
}

/* The points whose multiples by a clamped key are all zero (order 1, 2, 4 and 8, and their non-canonical twins). */
static void test_small_order_refused(void **state)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	struct secret32 k, out = { .b = { 0xaa } };
	struct box_shared s = { .key.b = { 0xaa } };

	(void)state;
	x25519_new(&k);
	for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
		struct bytes p = test_unhex(points[i]);

		assert_int_equal(x25519(&k, p.p, &out), ERR_AUTH);
		assert_int_equal(box_shared_init(&s, &k, p.p), ERR_AUTH);
		assert_int_equal(out.b[0], 0xaa);
		assert_int_equal(s.key.b[0], 0xaa);
		test_exact_free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_key_vectors),
		cmocka_unit_test(test_round_trip_and_libsodium),
		cmocka_unit_test(test_small_order_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
