/* Answers from Python's hmac over hashlib.blake2s. */
#include "common/crypto/hkdf.h"

#include "tests/lib/vectors.h"

static void check(const uint8_t got[32], const char *want_hex)
{
	struct bytes want = test_unhex(want_hex);

	assert_int_equal(want.n, 32);
	assert_memory_equal(got, want.p, 32);
	test_exact_free(want);
}

static void test_hmac(void **state)
{
	uint8_t out[32], long_key[100];

	(void)state;
	hmac_blake2s(BYTES_LIT("key"), BYTES_LIT("data"), out);
	check(out, "84f646acda0776ee848b7f9dc5771c7d8cf023999c0c3dd84dc78636a146e805");
	memset(long_key, 'k', sizeof long_key);
	hmac_blake2s(bytes_of(long_key, sizeof long_key), BYTES_LIT("data"), out);
	check(out, "95680684a346c56c9af1b3d3b2c4da4089f77b6732c506051d7b4c9fff7029c6");
}

static void test_hkdf(void **state)
{
	struct secret32 ck, a, b, c;

	(void)state;
	for (uint8_t i = 0; i < 32; i++)
		ck.b[i] = i;
	hkdf3(&ck, BYTES_LIT("input"), &a, &b, &c);
	check(a.b, "87b7f70b24183c6db5dc4f6d9f4c47cdb203321aa2a0bef714896adb3107a040");
	check(b.b, "538a02e1eb2e31b7e4d4b82476d1fe2acf50085d3fb584537279195f5d1f5824");
	check(c.b, "9ad858025593be88de0f9442a589cfe84a88dc19e4753d93684d1c5efc4837f9");
	memset(&a, 0, sizeof a);
	memset(&b, 0, sizeof b);
	hkdf1(&ck, BYTES_LIT("input"), &a);
	check(a.b, "87b7f70b24183c6db5dc4f6d9f4c47cdb203321aa2a0bef714896adb3107a040");
	/* the first output may replace the chaining key */
	hkdf2(&ck, BYTES_LIT("input"), &ck, &b);
	check(ck.b, "87b7f70b24183c6db5dc4f6d9f4c47cdb203321aa2a0bef714896adb3107a040");
	check(b.b, "538a02e1eb2e31b7e4d4b82476d1fe2acf50085d3fb584537279195f5d1f5824");
}

/* The first steps of a WireGuard handshake: one output from a public key, two from a DH result. */
static void test_wireguard_vectors(void **state)
{
	json_t *root = vectors_load("wireguard_handshake.json"), *trace = json_object_get(root, "trace");
	struct bytes e = vec_hex(json_object_get(json_object_get(root, "keys"), "initiator_ephemeral"), "public");
	struct bytes es = vec_hex(json_object_get(root, "dh"), "es");
	struct secret32 ck, k;

	(void)state;
	vec_copy(json_array_get(trace, 0), "chain_key", ck.b, 32);
	hkdf1(&ck, e, &ck);
	vec_assert(json_array_get(trace, 1), "chain_key", bytes_of(ck.b, 32));
	hkdf2(&ck, es, &ck, &k);
	vec_assert(json_array_get(trace, 2), "chain_key", bytes_of(ck.b, 32));
	vec_assert(json_array_get(trace, 2), "aead_key", bytes_of(k.b, 32));
	test_exact_free(e);
	test_exact_free(es);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_hkdf),
		cmocka_unit_test(test_wireguard_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
