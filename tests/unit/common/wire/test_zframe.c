#include "common/wire/zframe.h"

#include <jansson.h>
#include <stdlib.h>
#include <zstd.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

/* libzstd finds the content again, also with skippable frames around it. */
static void round_trip(struct bytes content)
{
	CLEANUP(buf_done) struct buf b = buf_make(content.n + 1000);
	CLEANUP(freep) uint8_t *out = malloc(content.n + 1);

	zframe_skippable(&b, 8);
	zframe_store(&b, content);
	assert_int_equal(buf_len(&b), 8 + zframe_stored_len(content.n));
	zframe_skippable(&b, 100);
	assert_false(b.bad);
	struct bytes all = test_exact(buf_view(&b));
	assert_non_null(out);
	size_t n = ZSTD_decompress(out, content.n, all.p, all.n);
	assert_false(ZSTD_isError(n));
	assert_true(bytes_eq(bytes_of(out, n), content));
	assert_true(ZSTD_getFrameContentSize(all.p + 8, all.n - 8) == content.n);
	test_exact_free(all);
}

static void test_libzstd_reads(void **state)
{
	static const size_t sizes[] = { 0, 1, 17, 255, 256, 257, 65535, 65536, 65791, 65792, 131071, 131072, 131073, 262144,
		262145, 1000000 };
	CLEANUP(freep) uint8_t *p = malloc(1000000);
	struct test_rng rng = { 1 };

	(void)state;
	assert_non_null(p);
	rng_fill(&rng, p, 1000000);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		round_trip(bytes_of(p, sizes[i]));
}

static void test_bounds(void **state)
{
	CLEANUP(buf_done) struct buf b = buf_make(100);

	(void)state;
	zframe_skippable(&b, 7);
	assert_true(b.bad);
	buf_clear(&b);
	zframe_skippable(&b, 101);
	assert_true(b.bad);
	buf_clear(&b);
	zframe_store(&b, bytes_of(b.p, (size_t)UINT32_MAX + 1));
	assert_true(b.bad);
	assert_int_equal(buf_len(&b), 0);
}

static void test_keepalive(void **state)
{
	CLEANUP(buf_done) struct buf b = buf_make(100);
	char out[18];

	(void)state;
	assert_true(bytes_eq(map_keepalive_payload(false), BYTES_LIT("{\"KeepAlive\":true}")));
	zframe_store(&b, map_keepalive_payload(false));
	assert_true(bytes_eq(map_keepalive_payload(true), buf_view(&b)));
	assert_int_equal(ZSTD_decompress(out, sizeof out, map_keepalive_payload(true).p, map_keepalive_payload(true).n), 18);
}

static void test_keepalive_vector(void **state)
{
	static const char *const names[] = { "keepalive_frame_uncompressed", "keepalive_frame_stored_zstd" };
	char path[500];

	(void)state;
	if (!test_shared("protocol/vectors/wire_misc.json", path, sizeof path)) {
		print_message("no ../shared/protocol/vectors/wire_misc.json here\n");
		skip();
	}
	CLEANUP(json_decrefp) json_t *v = json_load_file(path, 0, NULL);
	assert_non_null(v);
	for (int z = 0; z < 2; z++) {
		const char *hex = json_string_value(json_object_get(json_object_get(v, "map_stream"), names[z]));

		assert_non_null(hex);
		struct bytes want = test_unhex(hex);
		assert_true(bytes_eq(map_keepalive_frame(z), want));
		test_exact_free(want);
	}
}

/* No frame but the keepalive's own has its length, and what is framed reads back. */
static void test_never_a_keepalive(void **state)
{
	uint8_t text[64];

	(void)state;
	memset(text, ' ', sizeof text);
	for (size_t n = 0; n < 40; n++) {
		CLEANUP(buf_done) struct buf plain = buf_make(100), zstd = buf_make(200), frame = buf_make(100);
		uint8_t out[64];

		map_frame_append(&plain, bytes_of(text, n), false);
		assert_int_not_equal(buf_len(&plain), map_keepalive_frame(false).n);
		assert_int_equal(buf_view(&plain).p[0], buf_len(&plain) - 4);
		for (size_t i = 4; i < buf_len(&plain); i++)
			assert_int_equal(buf_view(&plain).p[i], ' ');

		zframe_store(&frame, bytes_of(text, n));
		map_frame_append(&zstd, buf_view(&frame), true);
		assert_int_not_equal(buf_len(&zstd), map_keepalive_frame(true).n);
		assert_int_equal(buf_view(&zstd).p[0], buf_len(&zstd) - 4);
		assert_int_equal(buf_len(&zstd), buf_len(&frame) + 4 + (buf_len(&frame) == 27 ? MAP_PAD_LEN : 0));
		assert_int_equal(ZSTD_decompress(out, sizeof out, buf_view(&zstd).p + 4, buf_len(&zstd) - 4), n);
	}
	struct map_frame f;
	assert_int_equal(map_frame_around((size_t)UINT32_MAX, true, &f), ERR_TOO_BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libzstd_reads),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_keepalive_vector),
		cmocka_unit_test(test_never_a_keepalive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
