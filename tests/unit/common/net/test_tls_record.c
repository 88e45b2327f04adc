/* Records against RFC 8448's, against themselves with every suite, and against whatever a peer may seal. OpenSSL as the peer:
 * test_tls.c. */
#include "common/net/tls_record.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "tests/lib/test.h"

enum { ROOM = TLS_RECORD_PLAIN_MAX + 256 };

static const unsigned suites[] = { TLS_SUITE_AES128, TLS_SUITE_AES256, TLS_SUITE_CHACHA };

static size_t secret_len(unsigned suite)
{
	return suite == TLS_SUITE_AES256 ? 48 : 32;
}

/* Two ends of one connection. */
static void pair(unsigned suite, struct tls_record **a, struct tls_record **b)
{
	struct tls_secrets s = { .in_n = secret_len(suite), .out_n = secret_len(suite) }, t;
	struct test_rng r = { suite };

	rng_fill(&r, s.in, s.in_n);
	rng_fill(&r, s.out, s.out_n);
	t = s;
	memcpy(t.in, s.out, s.out_n);
	memcpy(t.out, s.in, s.in_n);
	assert_ok(tls_record_new(suite, &s, a));
	assert_ok(tls_record_new(suite, &t, b));
}

/* RFC 8448 3: what the client sends, and the server's data, which comes after one ticket. */
static void vectors(void **state)
{
	struct bytes cs = test_unhex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
	struct bytes ss = test_unhex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
	struct bytes record = test_unhex("1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b"
					 "62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4");
	struct bytes answer = test_unhex("17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8"
					 "fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d");
	struct tls_secrets s = { .in_n = 32, .out_n = 32 };
	struct tls_record *r;
	uint8_t out[ROOM];
	size_t used = 0, n = 0;

	(void)state;
	memcpy(s.in, cs.p, 32);
	memcpy(s.out, ss.p, 32);
	assert_ok(tls_record_new(TLS_SUITE_AES128, &s, &r));
	assert_int_equal(tls_record_open(r, record, out, sizeof out, &used, &n), TLS_RECORD_GOT);
	assert_int_equal(used, record.n);
	assert_int_equal(n, 50);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(out[i], i);
	assert_true(tls_record_seal(r, TLS_RECORD_HANDSHAKE, BYTES_LIT("the ticket"), out) > 0);
	uint8_t data[50];
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)i;
	n = tls_record_seal(r, TLS_RECORD_DATA, bytes_of(data, sizeof data), out);
	assert_true(bytes_eq(bytes_of(out, n), answer));
	tls_record_free(r);
	test_exact_free(cs), test_exact_free(ss), test_exact_free(record), test_exact_free(answer);
}

static void all_sizes_and_suites(void **state)
{
	static uint8_t in[TLS_RECORD_PLAIN_MAX], sealed[TLS_RECORD_MAX], out[ROOM];
	static const size_t sizes[] = { 1, 2, 15, 16, 17, 187, 1437, 4096, 16383, 16384 };
	struct test_rng rng = { 3 };

	(void)state;
	rng_fill(&rng, in, sizeof in);
	for (size_t s = 0; s < 3; s++) {
		struct tls_record *a, *b;

		pair(suites[s], &a, &b);
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			size_t used = 0, n = 0, made = tls_record_seal(a, TLS_RECORD_DATA, bytes_of(in, sizes[i]), sealed);

			assert_int_equal(made, sizes[i] + TLS_RECORD_OVERHEAD);
			/* Not whole, or no room: nothing is used, and it opens later. */
			assert_int_equal(tls_record_open(b, bytes_of(sealed, 4), out, ROOM, &used, &n), TLS_RECORD_MORE);
			assert_int_equal(tls_record_open(b, bytes_of(sealed, made - 1), out, ROOM, &used, &n), TLS_RECORD_MORE);
			assert_int_equal(tls_record_open(b, bytes_of(sealed, made), out, sizes[i], &used, &n), TLS_RECORD_ROOM);
			struct bytes exact = test_exact(bytes_of(sealed, made));
			uint8_t *room = malloc(sizes[i] + 1);
			assert_int_equal(tls_record_open(b, exact, room, sizes[i] + 1, &used, &n), TLS_RECORD_GOT);
			assert_int_equal(used, made);
			assert_int_equal(n, sizes[i]);
			assert_memory_equal(room, in, n);
			free(room);
			test_exact_free(exact);
		}
		tls_record_free(a), tls_record_free(b);
	}
}

static void every_changed_byte_is_noticed(void **state)
{
	(void)state;
	for (size_t at = 0; at < 40 + TLS_RECORD_OVERHEAD; at++) {
		struct tls_record *a, *b;
		uint8_t sealed[128], out[ROOM];
		size_t used = 0, n = 0;

		pair(TLS_SUITE_AES128, &a, &b);
		size_t made = tls_record_seal(a, TLS_RECORD_DATA, BYTES_LIT("forty bytes that somebody would like to ch"), sealed);
		sealed[at] ^= 1;
		enum tls_record_step step = tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n);
		if (step == TLS_RECORD_MORE) /* the length grew */
			assert_true(at == 3 || at == 4);
		else
			assert_int_equal(step, TLS_RECORD_BAD);
		if (step == TLS_RECORD_BAD) { /* and for good */
			assert_true(tls_record_why(b)[0]);
			assert_int_equal(tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n), TLS_RECORD_BAD);
		}
		tls_record_free(a), tls_record_free(b);
	}
}

/* A record twice, or one left out. */
static void order_counts(void **state)
{
	struct tls_record *a, *b;
	uint8_t one[64], two[64], out[ROOM];
	size_t used = 0, n = 0;

	(void)state;
	pair(TLS_SUITE_CHACHA, &a, &b);
	size_t made = tls_record_seal(a, TLS_RECORD_DATA, BYTES_LIT("one"), one);
	tls_record_seal(a, TLS_RECORD_DATA, BYTES_LIT("two"), two);
	assert_int_equal(tls_record_open(b, bytes_of(one, made), out, sizeof out, &used, &n), TLS_RECORD_GOT);
	assert_int_equal(tls_record_open(b, bytes_of(one, made), out, sizeof out, &used, &n), TLS_RECORD_BAD);
	tls_record_free(a), tls_record_free(b);
	pair(TLS_SUITE_CHACHA, &a, &b);
	made = tls_record_seal(a, TLS_RECORD_DATA, BYTES_LIT("one"), one);
	made = tls_record_seal(a, TLS_RECORD_DATA, BYTES_LIT("two"), two);
	assert_int_equal(tls_record_open(b, bytes_of(two, made), out, sizeof out, &used, &n), TLS_RECORD_BAD);
	assert_int_equal(tls_record_alert(b), TLS_ALERT_BAD_RECORD_MAC);
	tls_record_free(a), tls_record_free(b);
}

struct sealed_case {
	unsigned type;
	const char *hex;
	enum tls_record_step step;
	enum tls_alert alert;
};

static void what_a_peer_may_seal(void **state)
{
	static const struct sealed_case cases[] = {
		{ TLS_RECORD_DATA, "", TLS_RECORD_NONE, 0 },
		{ TLS_RECORD_DATA, "0000", TLS_RECORD_GOT, 0 },
		{ 0, "", TLS_RECORD_BAD, TLS_ALERT_UNEXPECTED_MESSAGE },
		{ 0, "0000000000", TLS_RECORD_BAD, TLS_ALERT_UNEXPECTED_MESSAGE },
		{ 20, "01", TLS_RECORD_BAD, TLS_ALERT_UNEXPECTED_MESSAGE }, /* ChangeCipherSpec */
		{ 24, "01", TLS_RECORD_BAD, TLS_ALERT_UNEXPECTED_MESSAGE },
		{ TLS_RECORD_ALERT, "0100", TLS_RECORD_END, 0 },
		{ TLS_RECORD_ALERT, "0200", TLS_RECORD_END, 0 },
		{ TLS_RECORD_ALERT, "015a", TLS_RECORD_NONE, 0 },
		{ TLS_RECORD_ALERT, "0250", TLS_RECORD_BAD, TLS_ALERT_CLOSE_NOTIFY },
		{ TLS_RECORD_ALERT, "01", TLS_RECORD_BAD, TLS_ALERT_DECODE_ERROR },
		{ TLS_RECORD_ALERT, "010000", TLS_RECORD_BAD, TLS_ALERT_DECODE_ERROR },
		{ TLS_RECORD_HANDSHAKE, "", TLS_RECORD_BAD, TLS_ALERT_UNEXPECTED_MESSAGE },
		{ TLS_RECORD_HANDSHAKE, "0100000100", TLS_RECORD_BAD, TLS_ALERT_UNEXPECTED_MESSAGE }, /* ClientHello */
		{ TLS_RECORD_HANDSHAKE, "0400000100", TLS_RECORD_BAD, TLS_ALERT_UNEXPECTED_MESSAGE }, /* a ticket */
		{ TLS_RECORD_HANDSHAKE, "1800000102", TLS_RECORD_BAD, TLS_ALERT_ILLEGAL_PARAMETER },
		{ TLS_RECORD_HANDSHAKE, "18000001", TLS_RECORD_BAD, TLS_ALERT_DECODE_ERROR },
		{ TLS_RECORD_HANDSHAKE, "180000020000", TLS_RECORD_BAD, TLS_ALERT_UNEXPECTED_MESSAGE },
		{ TLS_RECORD_HANDSHAKE, "18000001001800000100", TLS_RECORD_BAD, TLS_ALERT_UNEXPECTED_MESSAGE }, /* two in one */
		{ TLS_RECORD_HANDSHAKE, "1800000100", TLS_RECORD_NONE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bytes inner = test_unhex(cases[i].hex);
		uint8_t sealed[128], out[ROOM];
		size_t used = 0, n = 0;
		struct tls_record *a, *b;

		pair(TLS_SUITE_AES256, &a, &b);
		size_t made = tls_record_seal(a, (enum tls_record_type)cases[i].type, inner, sealed);
		enum tls_record_step step = tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n);
		if (step != cases[i].step)
			fail_msg("case %zu: %d", i, (int)step);
		if (step == TLS_RECORD_BAD)
			assert_int_equal(tls_record_alert(b), cases[i].alert);
		test_exact_free(inner);
		tls_record_free(a), tls_record_free(b);
	}
}

static void headers_out_of_bounds(void **state)
{
	static const struct {
		const char *hex;
		enum tls_alert alert;
	} cases[] = {
		{ "1503030002022f", TLS_ALERT_UNEXPECTED_MESSAGE }, /* an alert in the clear */
		{ "1603030001", TLS_ALERT_UNEXPECTED_MESSAGE },
		{ "474554202f", TLS_ALERT_UNEXPECTED_MESSAGE },
		{ "1702030020", TLS_ALERT_UNEXPECTED_MESSAGE },
		{ "1703034101", TLS_ALERT_RECORD_OVERFLOW },
		{ "170303ffff", TLS_ALERT_RECORD_OVERFLOW },
		{ "1703030000", TLS_ALERT_BAD_RECORD_MAC },
		{ "1703030010", TLS_ALERT_BAD_RECORD_MAC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bytes raw = test_unhex(cases[i].hex);
		struct tls_record *a, *b;
		uint8_t out[ROOM];
		size_t used = 0, n = 0;

		pair(TLS_SUITE_AES128, &a, &b);
		assert_int_equal(tls_record_open(b, raw, out, sizeof out, &used, &n), TLS_RECORD_BAD);
		assert_int_equal(tls_record_alert(b), cases[i].alert);
		test_exact_free(raw);
		tls_record_free(a), tls_record_free(b);
	}
}

/* One that is longer than a record may be, though its tag is right. */
static void plain_text_too_long(void **state)
{
	static uint8_t in[TLS_RECORD_PLAIN_MAX + 1], sealed[TLS_RECORD_MAX + 64], out[ROOM + 64];
	struct tls_record *a, *b;
	size_t used = 0, n = 0;

	(void)state;
	memset(in, 7, sizeof in);
	pair(TLS_SUITE_AES128, &a, &b);
	size_t made = tls_record_seal(a, TLS_RECORD_DATA, bytes_of(in, sizeof in), sealed);
	assert_int_equal(tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n), TLS_RECORD_BAD);
	assert_int_equal(tls_record_alert(b), TLS_ALERT_RECORD_OVERFLOW);
	tls_record_free(a), tls_record_free(b);
}

static void keys_change(void **state)
{
	uint8_t sealed[128], out[ROOM];
	size_t used = 0, n = 0;

	(void)state;
	for (size_t s = 0; s < 3; s++) {
		struct tls_record *a, *b;

		pair(suites[s], &a, &b);
		for (int round = 0; round < 5; round++) {
			size_t made = tls_record_update(a, sealed);

			assert_int_equal(tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n), TLS_RECORD_NONE);
			assert_false(tls_record_owes_update(b)); /* it was not asked to */
			for (int i = 0; i < 3; i++) {
				made = tls_record_seal(a, TLS_RECORD_DATA, BYTES_LIT("after"), sealed);
				assert_int_equal(tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n), TLS_RECORD_GOT);
				assert_int_equal(n, 5);
			}
		}
		/* Asked for, several times: owed once. */
		static const uint8_t ask[] = { 24, 0, 0, 1, 1 };
		size_t made = tls_record_seal(a, TLS_RECORD_HANDSHAKE, bytes_of(ask, sizeof ask), sealed);
		assert_int_equal(tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n), TLS_RECORD_NONE);
		assert_true(tls_record_owes_update(b));
		made = tls_record_update(b, sealed);
		assert_false(tls_record_owes_update(b));
		assert_int_equal(tls_record_open(a, bytes_of(sealed, made), out, sizeof out, &used, &n), TLS_RECORD_NONE);
		made = tls_record_seal(b, TLS_RECORD_DATA, BYTES_LIT("x"), sealed);
		assert_int_equal(tls_record_open(a, bytes_of(sealed, made), out, sizeof out, &used, &n), TLS_RECORD_GOT);
		tls_record_free(a), tls_record_free(b);
	}
}

static void keys_wear_out(void **state)
{
	struct tls_record *a, *b;
	uint8_t sealed[128];

	(void)state;
	pair(TLS_SUITE_AES128, &a, &b);
	tls_record_rekey_after(a, 10);
	for (int i = 0; i < 10; i++) {
		assert_false(tls_record_owes_update(a));
		assert_true(tls_record_seal(a, TLS_RECORD_DATA, BYTES_LIT("x"), sealed) > 0);
	}
	assert_true(tls_record_owes_update(a));
	assert_true(tls_record_update(a, sealed) > 0);
	assert_false(tls_record_owes_update(a));
	assert_true(tls_record_seal(a, TLS_RECORD_DATA, BYTES_LIT("x"), sealed) > 0);
	assert_false(tls_record_owes_update(a));
	tls_record_free(a), tls_record_free(b);
}

/* KeyUpdates, or empty records, without end. */
static void floods_without_data_end(void **state)
{
	(void)state;
	for (int updates = 0; updates < 2; updates++) {
		struct tls_record *a, *b;
		uint8_t sealed[128], out[ROOM];
		size_t used = 0, n = 0;
		int taken = 0;

		pair(TLS_SUITE_AES128, &a, &b);
		for (; taken < 1000; taken++) {
			size_t made = updates ? tls_record_update(a, sealed) :
						tls_record_seal(a, TLS_RECORD_DATA, bytes_of(NULL, 0), sealed);

			if (tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n) == TLS_RECORD_BAD)
				break;
		}
		assert_int_equal(taken, TLS_RECORD_IDLE_MAX);
		tls_record_free(a), tls_record_free(b);
	}
}

/* Some data between them does not make a flood harmless; enough of it does. */
static void key_updates_must_be_earned(void **state)
{
	(void)state;
	for (int earned = 0; earned < 2; earned++) {
		struct tls_record *a, *b;
		uint8_t sealed[128], out[ROOM];
		size_t used = 0, n = 0;
		int taken = 0;
		enum tls_record_step step = TLS_RECORD_NONE;

		pair(TLS_SUITE_AES128, &a, &b);
		for (; taken < 200 && step != TLS_RECORD_BAD; taken++) {
			size_t made = tls_record_update(a, sealed);

			step = tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n);
			for (int i = 0; step != TLS_RECORD_BAD && i < (earned ? TLS_RECORD_UPDATE_COST : 4); i++) {
				made = tls_record_seal(a, TLS_RECORD_DATA, BYTES_LIT("x"), sealed);
				step = tls_record_open(b, bytes_of(sealed, made), out, sizeof out, &used, &n);
			}
		}
		if (earned)
			assert_int_equal(step, TLS_RECORD_GOT);
		else
			assert_true(taken > TLS_RECORD_UPDATES_FREE && taken < TLS_RECORD_UPDATES_FREE + 10);
		tls_record_free(a), tls_record_free(b);
	}
}

static void unknown_suites(void **state)
{
	struct tls_secrets s = { .in_n = 32, .out_n = 32 };
	struct tls_record *r;

	(void)state;
	assert_int_equal(tls_record_new(0x1304, &s, &r), ERR_UNSUPPORTED);
	assert_int_equal(tls_record_new(TLS_SUITE_AES256, &s, &r), ERR_UNSUPPORTED);
	s.out_n = 0;
	assert_int_equal(tls_record_new(TLS_SUITE_AES128, &s, &r), ERR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(vectors), cmocka_unit_test(all_sizes_and_suites),
		cmocka_unit_test(every_changed_byte_is_noticed), cmocka_unit_test(order_counts),
		cmocka_unit_test(what_a_peer_may_seal), cmocka_unit_test(headers_out_of_bounds),
		cmocka_unit_test(plain_text_too_long), cmocka_unit_test(keys_change), cmocka_unit_test(keys_wear_out),
		cmocka_unit_test(floods_without_data_end), cmocka_unit_test(key_updates_must_be_earned),
		cmocka_unit_test(unknown_suites) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
