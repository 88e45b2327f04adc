#include "common/wire/map_reader.h"

#include <stdlib.h>
#include <zstd.h>

#include "common/wire/zframe.h"
#include "tests/lib/test.h"

enum { MAX = 100000 };

/* content as a real compressor packs it, onto out. */
static void pack(struct buf *out, struct bytes content)
{
	size_t room = ZSTD_compressBound(content.n);
	size_t n = ZSTD_compress(buf_reserve(out, room), room, content.p, content.n, 1);

	assert_false(ZSTD_isError(n));
	buf_commit(out, n);
}

static struct buf text_of(size_t n, uint64_t seed)
{
	struct test_rng rng = { seed };
	struct buf b = buf_make(n + 1);

	while (buf_len(&b) < n)
		buf_append_u8(&b, (uint8_t)('a' + rng_below(&rng, 20)));
	return b;
}

static void expect(struct map_reader *r, struct bytes want)
{
	struct bytes got;

	assert_ok(map_reader_next(r, &got));
	assert_int_equal(got.n, want.n);
	assert_memory_equal(got.p, want.p, want.n);
}

static void expect_err(struct map_reader *r, err want)
{
	struct bytes got;

	assert_int_equal(map_reader_next(r, &got), want);
}

/* A stream of all kinds of messages comes out whole, whatever the pieces that it arrives in. */
static void messages_come_out_whole(void **state)
{
	(void)state;
	struct buf small = text_of(20, 1), big = text_of(MAX, 2), stream = buf_make(1 << 20),
		   payload = buf_make(1 << 20);
	struct bytes keepalive = BYTES_LIT("{\"KeepAlive\":true}");

	pack(&payload, buf_view(&small));
	map_frame_append(&stream, buf_view(&payload), true);
	buf_append(&stream, map_keepalive_frame(true));
	/* Several frames in one message: packed, skippable, stored, and an empty one. */
	buf_clear(&payload);
	zframe_skippable(&payload, ZFRAME_SKIP_MIN + 3);
	pack(&payload, bytes_first(buf_view(&big), 70000));
	zframe_store(&payload, bytes_of(NULL, 0));
	zframe_store(&payload, bytes_skip(buf_view(&big), 70000));
	zframe_skippable(&payload, ZFRAME_SKIP_MIN);
	map_frame_append(&stream, buf_view(&payload), true);

	for (size_t step = 1; step < 200000; step = step * 7 + 1) {
		struct map_reader r;
		struct bytes got, rest = buf_view(&stream);
		size_t seen = 0;

		map_reader_init(&r, true, MAX, NULL);
		while (rest.n) {
			struct bytes part = test_exact(bytes_first(rest, step));

			rest = bytes_skip(rest, step);
			assert_ok(map_reader_feed(&r, part));
			test_exact_free(part);
			while (map_reader_next(&r, &got) == OK) {
				struct bytes want = seen == 0   ? buf_view(&small)
						    : seen == 1 ? keepalive
								: buf_view(&big);

				assert_true(bytes_eq(got, want));
				assert_int_equal(map_is_keepalive(got), seen == 1);
				seen++;
			}
		}
		assert_int_equal(seen, 3);
		expect_err(&r, ERR_TRUNCATED);
		map_reader_done(&r);
	}
	buf_done(&small);
	buf_done(&big);
	buf_done(&stream);
	buf_done(&payload);
}

static void plain_messages(void **state)
{
	(void)state;
	struct buf stream = buf_make(1000);
	struct map_reader r;

	map_frame_append(&stream, BYTES_LIT("{\"a\":1}"), false);
	map_frame_append(&stream, BYTES_LIT("{}"), false);
	map_reader_init(&r, false, MAX, NULL);
	assert_ok(map_reader_feed(&r, buf_view(&stream)));
	expect(&r, BYTES_LIT("{\"a\":1}"));
	expect(&r, BYTES_LIT("{}"));
	expect_err(&r, ERR_TRUNCATED);
	map_reader_done(&r);
	buf_done(&stream);
}

static void two_readers_share_a_decoder(void **state)
{
	(void)state;
	ZSTD_DCtx *d = ZSTD_createDCtx();
	struct map_reader a, b;

	map_reader_init(&a, true, MAX, d);
	map_reader_init(&b, true, MAX, d);
	/* One is left with half a frame decoded: it must not disturb the other. */
	uint8_t broken[] = { 6, 0, 0, 0, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 18 };
	assert_ok(map_reader_feed(&a, bytes_of(broken, sizeof broken)));
	expect_err(&a, ERR_MALFORMED);
	assert_ok(map_reader_feed(&b, map_keepalive_frame(true)));
	expect(&b, BYTES_LIT("{\"KeepAlive\":true}"));
	map_reader_done(&a);
	map_reader_done(&b);
	ZSTD_freeDCtx(d);
}

static err first_error(struct bytes stream, size_t max)
{
	struct map_reader r;
	struct bytes json;

	map_reader_init(&r, true, max, NULL);
	err e = map_reader_feed(&r, stream);
	if (e == OK)
		e = map_reader_next(&r, &json);
	map_reader_done(&r);
	return e;
}

static void bounds(void **state)
{
	(void)state;
	struct buf zeros = buf_make(1 << 20), stream = buf_make(1 << 20), payload = buf_make(1 << 20);

	memset(buf_reserve(&zeros, MAX + 1), 'x', MAX + 1);
	buf_commit(&zeros, MAX + 1);
	pack(&payload, bytes_first(buf_view(&zeros), MAX));
	map_frame_append(&stream, buf_view(&payload), true);
	assert_int_equal(first_error(buf_view(&stream), MAX), OK);
	assert_int_equal(first_error(buf_view(&stream), MAX - 1), ERR_TOO_BIG); /* small packed, too big unpacked */
	buf_clear(&stream);
	buf_clear(&payload);
	pack(&payload, buf_view(&zeros));
	map_frame_append(&stream, buf_view(&payload), true);
	assert_int_equal(first_error(buf_view(&stream), MAX), ERR_TOO_BIG);

	uint8_t long_one[4] = { 0xa1, 0x86, 1, 0 }; /* 100001, known before the body is there */
	assert_int_equal(first_error(bytes_of(long_one, 4), MAX), ERR_TOO_BIG);
	assert_int_equal(first_error(bytes_of("\0\0\0", 4), MAX), ERR_MALFORMED);
	assert_int_equal(first_error(BYTES_LIT("\2\0\0\0{}"), MAX), ERR_MALFORMED); /* not zstd */

	/* A payload that decodes to nothing is no message. */
	buf_clear(&stream);
	buf_clear(&payload);
	zframe_skippable(&payload, 20);
	map_frame_append(&stream, buf_view(&payload), true);
	assert_int_equal(first_error(buf_view(&stream), MAX), ERR_MALFORMED);
	buf_done(&zeros);
	buf_done(&stream);
	buf_done(&payload);
}

static void parse(struct bytes in, void *ctx)
{
	(void)ctx;
	(void)!first_error(in, MAX);
}

static void torture(void **state)
{
	(void)state;
	struct buf stream = buf_make(2000), payload = buf_make(2000), text = text_of(200, 3);

	pack(&payload, buf_view(&text));
	map_frame_append(&stream, buf_view(&payload), true);
	test_torture(buf_view(&stream), parse, NULL);
	buf_done(&stream);
	buf_done(&payload);
	buf_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_out_whole),
		cmocka_unit_test(plain_messages),
		cmocka_unit_test(two_readers_share_a_decoder),
		cmocka_unit_test(bounds),
		cmocka_unit_test(torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
