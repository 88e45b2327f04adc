/* The RFC's answer, agreement of both libraries at every size around the switch, and refusals. */
#include "common/crypto/aead.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/vectors.h"

enum { N = 600 };

static void test_rfc8439(void **state)
{
	/* RFC 8439, 2.8.2 */
	struct secret32 key;
	struct bytes nonce = test_unhex("070000004041424344454647"), aad = test_unhex("50515253c0c1c2c3c4c5c6c7");
	struct bytes plain =
		BYTES_LIT("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
			  "the future, sunscreen would be it.");
	struct bytes tag = test_unhex("1ae10b594f09e26a7e902ecbd0600691");
	uint8_t out[200];

	(void)state;
	for (uint8_t i = 0; i < 32; i++)
		key.b[i] = (uint8_t)(0x80 + i);
	assert_ok(aead_seal(&key, nonce.p, aad, plain, out));
	assert_int_equal(out[0], 0xd3);
	assert_memory_equal(out + plain.n, tag.p, 16);
	assert_ok(aead_open(&key, nonce.p, aad, bytes_of(out, plain.n + 16), out));
	assert_memory_equal(out, plain.p, plain.n);
	test_exact_free(nonce);
	test_exact_free(aad);
	test_exact_free(tag);
}

/* One-shot, keyed object and libsodium give the same bytes; each opens the other's; in place and not. */
static void test_all_ways_agree(void **state)
{
	struct test_rng rng = { 3 };
	struct secret32 key;
	uint8_t nonce[12], aad[20], plain[N], want[N + 16], got[N + 16];
	CLEANUP(aead_key_freep) struct aead_key *seal = NULL;
	CLEANUP(aead_key_freep) struct aead_key *open = NULL;

	(void)state;
	rng_fill(&rng, &key, sizeof key);
	assert_ok(aead_key_new(&key, AEAD_SEAL, &seal));
	assert_ok(aead_key_new(&key, AEAD_OPEN, &open));
	for (size_t n = 0; n <= N; n += n < 4 || (n > 230 && n < 262) ? 1 : 13) {
		struct bytes a = bytes_of(aad, rng_below(&rng, sizeof aad + 1));

		rng_fill(&rng, nonce, sizeof nonce);
		rng_fill(&rng, aad, sizeof aad);
		rng_fill(&rng, plain, sizeof plain);
		crypto_aead_chacha20poly1305_ietf_encrypt(want, NULL, plain, n, a.p, a.n, NULL, nonce, key.b);

		assert_ok(aead_seal(&key, nonce, a, bytes_of(plain, n), got));
		assert_memory_equal(got, want, n + 16);
		memcpy(got, plain, n);
		assert_ok(aead_key_seal(seal, nonce, a, bytes_of(got, n), got)); /* in place */
		assert_memory_equal(got, want, n + 16);

		assert_ok(aead_key_open(open, nonce, a, bytes_of(want, n + 16), got));
		if (n)
			assert_memory_equal(got, plain, n);
		memcpy(got, want, n + 16);
		assert_ok(aead_open(&key, nonce, a, bytes_of(got, n + 16), got));
		if (n)
			assert_memory_equal(got, plain, n);
	}
}

static void test_refusals(void **state)
{
	struct secret32 key = { .b = { 1 } }, other = { .b = { 2 } };
	uint8_t nonce[24] = { 0 }, sealed[N + 16], out[N], plain[N];
	CLEANUP(aead_key_freep) struct aead_key *open = NULL;

	(void)state;
	memset(plain, 0x77, sizeof plain);
	assert_ok(aead_key_new(&key, AEAD_OPEN, &open));
	for (size_t n = 0; n <= N; n += 100) {
		struct bytes s = bytes_of(sealed, n + 16), aad = BYTES_LIT("aad");

		assert_ok(aead_seal(&key, nonce, aad, bytes_of(plain, n), sealed));
		for (size_t at = 0; at < s.n; at += 7) {
			sealed[at] ^= 0x20;
			memset(out, 0, sizeof out);
			assert_int_equal(aead_open(&key, nonce, aad, s, out), ERR_AUTH);
			assert_int_equal(aead_key_open(open, nonce, aad, s, out), ERR_AUTH);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(out[i], 0); /* nothing unauthenticated comes out */
			sealed[at] ^= 0x20;
		}
		assert_int_equal(aead_open(&other, nonce, aad, s, out), ERR_AUTH);
		assert_int_equal(aead_open(&key, nonce, BYTES_LIT("aae"), s, out), ERR_AUTH);
		assert_int_equal(aead_open(&key, nonce, (struct bytes){ 0 }, s, out), ERR_AUTH);
		nonce[11] = 1;
		assert_int_equal(aead_open(&key, nonce, aad, s, out), ERR_AUTH);
		nonce[11] = 0;
		assert_int_equal(aead_open(&key, nonce, aad, bytes_first(s, s.n - 1), out), ERR_AUTH);
		assert_ok(aead_key_open(open, nonce, aad, s, out)); /* the context works on after refusals */
	}
	assert_int_equal(aead_open(&key, nonce, (struct bytes){ 0 }, bytes_of(sealed, 15), out), ERR_AUTH);
	assert_int_equal(
		aead_seal(&key, nonce, (struct bytes){ 0 }, bytes_of(plain, (size_t)AEAD_MAX + 1), out), ERR_TOO_BIG);
}

static void test_xchacha(void **state)
{
	struct secret32 key = { .b = { 9 } };
	uint8_t nonce[24] = { 7 }, sealed[32 + 16], out[32];
	struct bytes cookie = BYTES_LIT("sixteen byte txt");

	(void)state;
	assert_ok(xaead_seal(&key, nonce, BYTES_LIT("mac1"), cookie, sealed));
	assert_ok(xaead_open(&key, nonce, BYTES_LIT("mac1"), bytes_of(sealed, cookie.n + 16), out));
	assert_memory_equal(out, cookie.p, cookie.n);
	assert_int_equal(xaead_open(&key, nonce, BYTES_LIT("mac2"), bytes_of(sealed, cookie.n + 16), out), ERR_AUTH);
	nonce[23] = 1;
	assert_int_equal(xaead_open(&key, nonce, BYTES_LIT("mac1"), bytes_of(sealed, cookie.n + 16), out), ERR_AUTH);
	assert_int_equal(xaead_open(&key, nonce, BYTES_LIT("mac1"), bytes_of(sealed, 15), out), ERR_AUTH);
}

/* WireGuard's cookie reply: mac1 of the initiation is authenticated, 16 bytes are sealed. */
static void test_cookie_vector(void **state)
{
	json_t *root = vectors_load("wireguard_handshake.json"), *v = json_object_get(root, "cookie");
	struct bytes reply = vec_hex(v, "reply"), nonce = vec_hex(v, "nonce"),
		     message = vec_hex(v, "initiation_with_mac2");
	struct bytes mac1 = bytes_first(bytes_skip(message, 116), 16);
	struct secret32 key;
	uint8_t cookie[16];

	(void)state;
	vec_copy(json_object_get(root, "constants"), "cookie_key_of_responder", key.b, 32);
	assert_ok(xaead_open(&key, nonce.p, mac1, bytes_skip(reply, 32), cookie));
	vec_assert(v, "cookie", bytes_of(cookie, 16));
	test_exact_free(reply);
	test_exact_free(nonce);
	test_exact_free(message);
	json_decref(root);
}

/* The contexts belong to threads and go with them (ASan's leak check looks at the end). */
static void *seal_a_lot(void *arg)
{
	struct secret32 key = { .b = { 5 } };
	uint8_t nonce[12] = { 0 }, p[N + 16] = { 0 };
	bool *ok = arg;

	for (int i = 0; i < 50 && *ok; i++) {
		nonce[0] = (uint8_t)i;
		*ok = aead_seal(&key, nonce, (struct bytes){ 0 }, bytes_of(p, N), p) == OK &&
		      aead_open(&key, nonce, (struct bytes){ 0 }, bytes_of(p, N + 16), p) == OK && p[N - 1] == 0;
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[4];
	bool ok[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		ok[i] = true;
		assert_int_equal(pthread_create(&t[i], NULL, seal_a_lot, &ok[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_true(ok[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8439),
		cmocka_unit_test(test_all_ways_agree),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_xchacha),
		cmocka_unit_test(test_cookie_vector),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
