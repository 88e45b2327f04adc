/* Known answers: RFC 7693 (appendices B and E), the reference key table, and lengths around block borders. */
#include "common/crypto/blake2s.h"

#include "tests/lib/vectors.h"

static void check(struct bytes key, struct bytes in, size_t out_len, const char *want_hex)
{
	struct bytes want = test_unhex(want_hex);
	uint8_t got[BLAKE2S_LEN + 1];

	assert_int_equal(want.n, out_len);
	got[out_len] = 0xee;
	blake2s(got, out_len, key, in);
	assert_memory_equal(got, want.p, out_len);
	assert_int_equal(got[out_len], 0xee);
	test_exact_free(want);
}

static void test_known_answers(void **state)
{
	uint8_t count[1000];
	struct bytes none = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof count; i++)
		count[i] = (uint8_t)i;
#define SEQ(n) bytes_of(count, n)
	check(none, BYTES_LIT("abc"), 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	check(none, none, 32, "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9");
	check(none, SEQ(64), 32, "56f34e8b96557e90c1f24b52d0c89d51086acf1b00f634cf1dde9233b8eaaa3e");
	check(none, SEQ(128), 32, "1fa877de67259d19863a2a34bcc6962a2b25fcbf5cbecd7ede8f1fa36688a796");
	check(none, SEQ(1000), 32, "b5f9d7799111edafc9326fbf667be98140b5e20ce5e151793c59125bf654ac18");
	check(SEQ(32), none, 32, "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49");
	check(SEQ(32), SEQ(64), 32, "8975b0577fd35566d750b362b0897a26c399136df07bababbde6203ff2954ed4");
	check(SEQ(32), SEQ(65), 16, "811ff8686d23a435ecbd0bdafcd27b1b");
	check(BYTES_LIT("key"), SEQ(129), 16, "e340455e6b9c2ad440d1716076013124");
	check(SEQ(16), SEQ(255), 20, "95fe0ef88ab5339a901eb2ab96cf50b082086f73");
}

/* RFC 7693, appendix E: a hash over the hashes of many lengths, keyed and not. */
static void fill_seq(uint8_t *p, size_t n, uint32_t seed)
{
	uint32_t a = 0xdead4bad * seed, b = 1;

	for (size_t i = 0; i < n; i++) {
		uint32_t t = a + b;

		a = b;
		b = t;
		p[i] = (uint8_t)(t >> 24);
	}
}

static void test_rfc_self_test(void **state)
{
	static const size_t out_len[] = { 16, 20, 28, 32 }, in_len[] = { 0, 3, 64, 65, 255, 1024 };
	static uint8_t in[1024];
	uint8_t md[32], key[32];
	struct blake2s all;
	struct bytes want = test_unhex("6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");

	(void)state;
	blake2s_init(&all, 32, (struct bytes){ 0 });
	for (size_t o = 0; o < 4; o++)
		for (size_t i = 0; i < 6; i++) {
			fill_seq(in, in_len[i], (uint32_t)in_len[i]);
			blake2s(md, out_len[o], (struct bytes){ 0 }, bytes_of(in, in_len[i]));
			blake2s_update(&all, bytes_of(md, out_len[o]));
			fill_seq(key, out_len[o], (uint32_t)out_len[o]);
			blake2s(md, out_len[o], bytes_of(key, out_len[o]), bytes_of(in, in_len[i]));
			blake2s_update(&all, bytes_of(md, out_len[o]));
		}
	blake2s_final(&all, md);
	assert_memory_equal(md, want.p, 32);
	test_exact_free(want);
}

static void test_pieces_equal_whole(void **state)
{
	struct test_rng rng = { 1 };
	uint8_t in[300], whole[32], pieces[32];

	(void)state;
	rng_fill(&rng, in, sizeof in);
	for (size_t n = 0; n <= sizeof in; n++) {
		struct bytes rest = bytes_of(in, n);
		struct blake2s s;

		blake2s(whole, 32, (struct bytes){ 0 }, rest);
		blake2s_init(&s, 32, (struct bytes){ 0 });
		while (rest.n) {
			struct bytes part = bytes_first(rest, 1 + rng_below(&rng, 70));

			blake2s_update(&s, part);
			rest = bytes_skip(rest, part.n);
		}
		blake2s_final(&s, pieces);
		assert_memory_equal(whole, pieces, 32);
	}
}

/* What WireGuard does with it: hashes of a label and a key, and a keyed one of 16 bytes. */
static void test_wireguard_vectors(void **state)
{
	json_t *root = vectors_load("wireguard_handshake.json"), *constants = json_object_get(root, "constants");
	json_t *cookie = json_object_get(root, "cookie");
	struct bytes pub = vec_hex(json_object_get(json_object_get(root, "keys"), "responder_static"), "public");
	struct bytes secret = vec_hex(cookie, "secret"), source = vec_hex(cookie, "source_bytes");
	uint8_t out[32];
	struct blake2s s;

	(void)state;
	blake2s_init(&s, 32, (struct bytes){ 0 });
	blake2s_update(&s, BYTES_LIT("mac1----"));
	blake2s_update(&s, pub);
	blake2s_final(&s, out);
	vec_assert(constants, "mac1_key_for_responder", bytes_of(out, 32));
	blake2s(out, 16, secret, source);
	vec_assert(cookie, "cookie", bytes_of(out, 16));
	test_exact_free(pub);
	test_exact_free(secret);
	test_exact_free(source);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_rfc_self_test),
		cmocka_unit_test(test_pieces_equal_whole),
		cmocka_unit_test(test_wireguard_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
