/* Both libraries make the same bytes, for every length around the sizes that they treat differently, and refuse whatever was
 * changed. Vectors: RFC 8448's, in test_tls_record.c; NIST's here. */
#include "common/crypto/tls_aead.h"

#include <stdlib.h>

#include "tests/lib/test.h"

enum { MOST = 2048 + 5 };

static const enum tls_aead_kind kinds[] = { TLS_AEAD_AES128, TLS_AEAD_AES256, TLS_AEAD_CHACHA };

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 4 and 16: 60 bytes with 20 of AAD. */
static void vectors(void **state)
{
	static const struct {
		enum tls_aead_kind kind;
		const char *key, *sealed;
	} cases[] = {
		{ TLS_AEAD_AES128, "feffe9928665731c6d6a8f9467308308",
			"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
			"5bc94fbc3221a5db94fae95ae7121a47" },
		{ TLS_AEAD_AES256, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
			"76fc6ece0f4e1768cddf8853bb2d551b" },
	};
	struct bytes nonce = test_unhex("cafebabefacedbaddecaf888"), aad = test_unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
	struct bytes plain = test_unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5"
					"aa0de657ba637b39");

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bytes key = test_unhex(cases[i].key), want = test_unhex(cases[i].sealed);
		struct tls_aead *seal, *open;
		uint8_t out[128];

		assert_int_equal(key.n, tls_aead_key_len(cases[i].kind));
		assert_ok(tls_aead_new(cases[i].kind, TLS_AEAD_SEAL, key.p, &seal));
		assert_ok(tls_aead_new(cases[i].kind, TLS_AEAD_OPEN, key.p, &open));
		assert_ok(tls_aead_seal(seal, nonce.p, aad, bytes_first(plain, 41), bytes_skip(plain, 41), out));
		assert_true(bytes_eq(bytes_of(out, want.n), want));
		assert_ok(tls_aead_open(open, nonce.p, aad, want, out));
		assert_true(bytes_eq(bytes_of(out, plain.n), plain));
		tls_aead_free(seal), tls_aead_free(open);
		test_exact_free(key), test_exact_free(want);
	}
	test_exact_free(nonce), test_exact_free(aad), test_exact_free(plain);
}

static void both_make_the_same(void **state)
{
	static uint8_t plain[MOST], a[MOST + 16], b[MOST + 16], back[MOST];
	struct test_rng r = { 7 };

	(void)state;
	rng_fill(&r, plain, sizeof plain);
	for (size_t k = 0; k < 3; k++) {
		struct tls_aead *seal, *evp_seal, *open, *evp_open;
		uint8_t key[32], nonce[12], aad[5];

		rng_fill(&r, key, sizeof key);
		assert_ok(tls_aead_new(kinds[k], TLS_AEAD_SEAL, key, &seal));
		assert_ok(tls_aead_new(kinds[k], TLS_AEAD_OPEN, key, &open));
		assert_ok(tls_aead_new_openssl(kinds[k], TLS_AEAD_SEAL, key, &evp_seal));
		assert_ok(tls_aead_new_openssl(kinds[k], TLS_AEAD_OPEN, key, &evp_open));
		for (size_t n = 0; n <= MOST; n += n < 600 ? 1 : 13) {
			/* Exact copies, so that ASan sees a byte read or written too many by what it can see. */
			struct bytes in = test_exact(bytes_of(plain, n));
			struct bytes first = bytes_first(in, n - n % 3), last = bytes_skip(in, first.n);

			rng_fill(&r, nonce, sizeof nonce);
			rng_fill(&r, aad, sizeof aad);
			a[n + 16 < sizeof a ? n + 16 : n + 15] = 0x5a;
			assert_ok(tls_aead_seal(seal, nonce, bytes_of(aad, 5), first, last, a));
			if (n + 16 < sizeof a)
				assert_int_equal(a[n + 16], 0x5a);
			assert_ok(tls_aead_seal(evp_seal, nonce, bytes_of(aad, 5), first, last, b));
			assert_memory_equal(a, b, n + 16);
			struct bytes sealed = test_exact(bytes_of(a, n + 16));
			memset(back, 0x5a, sizeof back);
			assert_ok(tls_aead_open(open, nonce, bytes_of(aad, 5), sealed, back));
			assert_memory_equal(back, plain, n);
			if (n < sizeof back)
				assert_int_equal(back[n], 0x5a);
			assert_ok(tls_aead_open(evp_open, nonce, bytes_of(aad, 5), sealed, back));
			assert_memory_equal(back, plain, n);
			test_exact_free(in), test_exact_free(sealed);
		}
		rng_fill(&r, key, sizeof key);
		assert_ok(tls_aead_rekey(seal, key));
		assert_ok(tls_aead_seal(seal, nonce, bytes_of(aad, 5), bytes_of(plain, 99), (struct bytes){ 0 }, a));
		assert_int_equal(tls_aead_open(open, nonce, bytes_of(aad, 5), bytes_of(a, 115), back), ERR_AUTH);
		assert_ok(tls_aead_rekey(open, key));
		assert_ok(tls_aead_open(open, nonce, bytes_of(aad, 5), bytes_of(a, 115), back));
		tls_aead_free(seal), tls_aead_free(open), tls_aead_free(evp_seal), tls_aead_free(evp_open);
	}
}

static void what_was_changed_is_refused(void **state)
{
	struct test_rng r = { 8 };
	uint8_t key[32], nonce[12], aad[5], plain[70], sealed[70 + 16], out[70 + 16];

	(void)state;
	rng_fill(&r, key, sizeof key);
	rng_fill(&r, nonce, sizeof nonce);
	rng_fill(&r, aad, sizeof aad);
	rng_fill(&r, plain, sizeof plain);
	for (size_t k = 0; k < 3; k++) {
		struct tls_aead *seal, *open;

		assert_ok(tls_aead_new(kinds[k], TLS_AEAD_SEAL, key, &seal));
		assert_ok(tls_aead_new(kinds[k], TLS_AEAD_OPEN, key, &open));
		assert_ok(tls_aead_seal(seal, nonce, bytes_of(aad, 5), bytes_of(plain, 69), bytes_of(plain + 69, 1), sealed));
		struct bytes all = bytes_of(sealed, sizeof sealed);

		for (size_t i = 0; i < sizeof sealed; i++) {
			sealed[i] ^= 1;
			assert_int_equal(tls_aead_open(open, nonce, bytes_of(aad, 5), all, out), ERR_AUTH);
			sealed[i] ^= 1;
			assert_int_equal(tls_aead_open(open, nonce, bytes_of(aad, 5), bytes_first(all, i), out), ERR_AUTH);
		}
		for (size_t i = 0; i < sizeof aad; i++) {
			aad[i] ^= 0x80;
			assert_int_equal(tls_aead_open(open, nonce, bytes_of(aad, 5), all, out), ERR_AUTH);
			aad[i] ^= 0x80;
		}
		for (size_t i = 0; i < sizeof nonce; i++) {
			nonce[i] ^= 0x80;
			assert_int_equal(tls_aead_open(open, nonce, bytes_of(aad, 5), all, out), ERR_AUTH);
			nonce[i] ^= 0x80;
		}
		assert_ok(tls_aead_open(open, nonce, bytes_of(aad, 5), all, out));
		assert_memory_equal(out, plain, sizeof plain);
		tls_aead_free(seal), tls_aead_free(open);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(both_make_the_same),
		cmocka_unit_test(what_was_changed_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
