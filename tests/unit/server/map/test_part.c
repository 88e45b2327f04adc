#include "server/map/part.h"

#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#include "tests/lib/test.h"

static struct part *part_of(struct bytes text)
{
	struct buf b = buf_make(16 << 20);

	buf_append(&b, text);
	struct part *p = part_new(&b);
	assert_non_null(p);
	return p;
}

static struct part *part_str(const char *s)
{
	return part_of(bytes_str(s));
}

/* The whole message as a client reads it: the length prefix is checked, the payload returned. */
static struct buf collect(struct map_msg *m, bool zstd)
{
	uint8_t head[4];
	size_t payload;
	struct buf b = buf_make(64 << 20);

	assert_ok(map_msg_head(m, zstd, head, &payload));
	for (size_t i = 0;; i++) {
		struct bytes piece = map_msg_piece(m, zstd, i);

		if (!piece.n)
			break;
		buf_append(&b, piece);
	}
	assert_false(b.bad);
	assert_int_equal(buf_len(&b), payload);
	assert_int_equal((size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24, payload);
	return b;
}

/* Decodes concatenated frames, skippable ones too. */
static struct buf decode(struct bytes payload)
{
	struct buf out = buf_make(64 << 20);
	ZSTD_DCtx *d = ZSTD_createDCtx();
	ZSTD_inBuffer in = { payload.p, payload.n, 0 };
	uint8_t chunk[4096];
	size_t left = 0;

	while (in.pos < in.size) {
		ZSTD_outBuffer o = { chunk, sizeof chunk, 0 };

		left = ZSTD_decompressStream(d, &o, &in);
		assert_false(ZSTD_isError(left));
		buf_append(&out, bytes_of(chunk, o.pos));
	}
	while (left) { /* what is still inside the decoder */
		ZSTD_outBuffer o = { chunk, sizeof chunk, 0 };

		left = ZSTD_decompressStream(d, &o, &in);
		assert_false(ZSTD_isError(left));
		assert_true(o.pos > 0);
		buf_append(&out, bytes_of(chunk, o.pos));
	}
	ZSTD_freeDCtx(d);
	return out;
}

static void keepalive_is_the_canonical_one(void **state)
{
	(void)state;
	static const uint8_t want[] = "\x28\xb5\x2f\xfd\x20\x12\x91\0\0{\"KeepAlive\":true}";
	struct map_msg *m = map_msg_keepalive();
	struct buf b = collect(m, true);

	assert_int_equal(buf_len(&b), 27);
	assert_memory_equal(buf_view(&b).p, want, 27);
	buf_done(&b);
	b = collect(m, false);
	assert_true(bytes_eq_str(buf_view(&b), "{\"KeepAlive\":true}"));
	buf_done(&b);
	assert_int_equal(map_msg_text_len(m), 18);
	map_msg_unref(map_msg_ref(m));
	map_msg_unref(m);
	assert_ptr_equal(map_msg_keepalive(), m);
}

static void frames_join_to_the_text(void **state)
{
	(void)state;
	struct test_rng rng = { 7 };

	for (int round = 0; round < 60; round++) {
		size_t n = 1 + rng_below(&rng, 6);
		struct part *parts[8];
		struct buf want = buf_make(64 << 20);

		for (size_t i = 0; i < n; i++) {
			size_t len = rng_below(&rng, round % 3 == 0 ? 100 : 300000);
			struct buf text = buf_make(1 << 20);

			for (size_t k = 0; k < len; k++)
				buf_append_u8(&text, (uint8_t)('a' + rng_below(&rng, round % 2 ? 3 : 26)));
			buf_append(&want, buf_view(&text));
			parts[i] = part_new(&text);
			assert_non_null(parts[i]);
		}
		struct map_msg *m = map_msg_new(parts, n);
		assert_non_null(m);
		assert_int_equal(map_msg_text_len(m), buf_len(&want));
		if (buf_len(&want)) {
			struct buf z = collect(m, true);
			struct buf got = decode(buf_view(&z));

			assert_true(bytes_eq(buf_view(&got), buf_view(&want)));
			buf_done(&got);
			buf_done(&z);
			z = collect(m, false);
			if (buf_len(&want) != 18)
				assert_true(bytes_eq(buf_view(&z), buf_view(&want)));
			buf_done(&z);
		}
		map_msg_unref(m);
		buf_done(&want);
	}
}

/* Trap T41: whatever the text is, the payload is never as long as the keepalive's. */
static void no_payload_has_the_keepalives_length(void **state)
{
	(void)state;
	bool padded_zstd = false, padded_text = false;

	for (size_t n = 1; n < 200; n++) {
		char text[256];

		memset(text, 'x', n);
		struct part *p = part_of(bytes_of(text, n));
		struct map_msg *m = map_msg_new(&p, 1);
		struct buf z = collect(m, true), t = collect(m, false), got = decode(buf_view(&z));

		assert_int_not_equal(buf_len(&z), 27);
		assert_int_not_equal(buf_len(&t), 18);
		assert_true(bytes_eq(buf_view(&got), bytes_of(text, n)));
		if (n == 18) {
			padded_zstd = buf_len(&z) == 35;
			padded_text = buf_len(&t) == 26 && buf_view(&t).p[25] == ' ';
		}
		buf_done(&z);
		buf_done(&t);
		buf_done(&got);
		map_msg_unref(m);
	}
	assert_true(padded_zstd);
	assert_true(padded_text);

	/* The same in two pieces: 9 + 8 and 9 + 1. */
	struct part *two[2] = { part_str("12345678"), part_str("1") };
	struct map_msg *m = map_msg_new(two, 2);
	struct buf z = collect(m, true);
	assert_int_equal(buf_len(&z), 27 + 8);
	buf_done(&z);
	map_msg_unref(m);
}

static void references_are_shared(void **state)
{
	(void)state;
	struct part *p = part_str("{\"a\":1}");
	struct part *list[2] = { part_ref(p), part_ref(p) };
	struct map_msg *m = map_msg_new(list, 2);

	map_msg_unref(map_msg_ref(m));
	map_msg_unref(m);
	assert_true(bytes_eq_str(part_text(p), "{\"a\":1}"));
	assert_ptr_equal(part_zstd(p).p, part_zstd(p).p);
	part_unref(p);
	part_unref(NULL);
	map_msg_unref(NULL);
	struct buf bad = buf_make(2);
	buf_append_str(&bad, "too long");
	assert_null(part_new(&bad));
	assert_null(map_msg_new(NULL, 0));
}

static void *ask(void *arg)
{
	return (void *)(uintptr_t)part_zstd(arg).p;
}

static void threads_get_one_frame(void **state)
{
	(void)state;
	char text[5000];

	memset(text, 'y', sizeof text);
	struct part *p = part_of(bytes_of(text, sizeof text));
	pthread_t t[4];
	void *got[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, ask, p), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], &got[i]);
	for (int i = 1; i < 4; i++)
		assert_ptr_equal(got[i], got[0]);
	part_unref(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keepalive_is_the_canonical_one),
		cmocka_unit_test(frames_join_to_the_text),
		cmocka_unit_test(no_payload_has_the_keepalives_length),
		cmocka_unit_test(references_are_shared),
		cmocka_unit_test(threads_get_one_frame),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
