/* Two ends joined by a buf, fed in pieces of any size. */
#include "common/crypto/noise_record.h"

#include <stdlib.h>

#include "common/wire/ts2021.h"
#include "tests/lib/test.h"

static void join(struct noise_transport *a, struct noise_transport *b)
{
	test_random_seed(11);
	*a = (struct noise_transport){ .send_key.b = { 1 }, .recv_key.b = { 2 } };
	*b = (struct noise_transport){ .send_key = a->recv_key, .recv_key = a->send_key };
	test_random_end();
}

static void test_stream(void **state)
{
	static const size_t sizes[] = { 1, 9, 24, 255, 256, 4076, 4077, 4078, 2 * 4077, 20000 };
	static uint8_t text[20000];
	struct test_rng rng = { 5 };
	struct noise_transport a, b;
	struct buf wire = buf_make(1 << 20), in = buf_make(TS2021_FRAME_MAX), got = buf_make(1 << 20);

	(void)state;
	join(&a, &b);
	rng_fill(&rng, text, sizeof text);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		size_t before = buf_len(&wire);

		assert_ok(noise_record_seal(&a, bytes_of(text, sizes[i]), &wire));
		assert_int_equal(buf_len(&wire) - before, noise_record_len(sizes[i]));
		while (buf_len(&wire)) {
			struct bytes plain, piece = bytes_first(buf_view(&wire), 1 + rng_below(&rng, 1000));
			size_t used;

			if (piece.n > in.max - buf_len(&in))
				piece.n = in.max - buf_len(&in);
			assert_true(piece.n > 0);
			buf_append(&in, piece);
			assert_false(in.bad);
			buf_consume(&wire, piece.n);
			err e;
			while ((e = noise_record_open(&b, &in, &plain, &used)) == OK) {
				buf_append(&got, plain);
				buf_consume(&in, used);
			}
			assert_int_equal(e, ERR_TRUNCATED);
		}
		assert_int_equal(buf_len(&in), 0);
		assert_true(bytes_eq(buf_view(&got), bytes_of(text, sizes[i])));
		buf_clear(&got);
	}
	assert_true(a.send_n == b.recv_n && a.send_n == 7 + 2 + 2 + 5);
	buf_done(&wire);
	buf_done(&in);
	buf_done(&got);
}

static void test_empty_record_is_skipped(void **state)
{
	struct noise_transport a, b;
	struct buf in = buf_make(100);
	uint8_t tag[16];
	struct writer w = wr_init(buf_reserve(&in, 19), 19);
	struct bytes plain;
	size_t used;

	(void)state;
	join(&a, &b);
	assert_ok(noise_record_seal(&a, (struct bytes){ 0 }, &in)); /* we never write one … */
	assert_int_equal(buf_len(&in), 0);
	assert_ok(noise_seal(&a, tag, 0));
	ts2021_write_record_header(&w, 16);
	wr_bytes(&w, bytes_of(tag, 16));
	buf_commit(&in, w.n);
	assert_ok(noise_record_open(&b, &in, &plain, &used)); /* … but read them */
	assert_int_equal(plain.n, 0);
	assert_int_equal(used, 19);
	assert_int_equal(b.recv_n, 1);
	buf_done(&in);
}

static err open_bytes(const char *hex)
{
	struct noise_transport a, b;
	struct buf in = buf_make(5000);
	struct bytes raw = test_unhex(hex), plain;
	size_t used;

	join(&a, &b);
	buf_append(&in, raw);
	err e = noise_record_open(&b, &in, &plain, &used);
	assert_int_equal(buf_len(&in), raw.n);
	assert_int_equal(b.recv_n, 0);
	buf_done(&in);
	test_exact_free(raw);
	return e;
}

static void test_refused(void **state)
{
	(void)state;
	assert_int_equal(open_bytes(""), ERR_TRUNCATED);
	assert_int_equal(open_bytes("0400"), ERR_TRUNCATED);
	assert_int_equal(open_bytes("040010"), ERR_TRUNCATED);
	assert_int_equal(open_bytes("040ffd"), ERR_TRUNCATED);
	assert_int_equal(open_bytes("040ffe"), ERR_TOO_BIG); /* from the header alone */
	assert_int_equal(open_bytes("04000f"), ERR_MALFORMED);
	assert_int_equal(open_bytes("010060"), ERR_MALFORMED);
	assert_int_equal(open_bytes("03001a"), ERR_MALFORMED); /* an error frame is not valid any more */
	assert_int_equal(open_bytes("040010 00000000000000000000000000000000"), ERR_AUTH);
}

/* No room: nothing is written, no number is taken, and what is in the buf stays good. */
static void test_full_output(void **state)
{
	static uint8_t text[5000];
	struct noise_transport a, b;
	struct buf out = buf_make(5000);

	(void)state;
	join(&a, &b);
	assert_int_equal(noise_record_seal(&a, bytes_of(text, sizeof text), &out), ERR_TOO_BIG);
	assert_true(!out.bad && buf_len(&out) == 0 && a.send_n == 0);
	assert_ok(noise_record_seal(&a, bytes_of(text, 5000 - 2 * 19), &out));
	assert_int_equal(buf_len(&out), 5000);
	assert_int_equal(noise_record_seal(&a, bytes_of(text, 1), &out), ERR_TOO_BIG);
	assert_int_equal(buf_len(&out), 5000);
	a.send_n = NOISE_COUNTER_END;
	buf_clear(&out);
	assert_int_equal(noise_record_seal(&a, bytes_of(text, 1), &out), ERR_CLOSED);
	assert_int_equal(buf_len(&out), 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_empty_record_is_skipped),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_full_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
