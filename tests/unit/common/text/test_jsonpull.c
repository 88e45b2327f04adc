#include "common/text/jsonpull.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

/* One byte at a time. */
static err drip(void *ctx, struct bytes *out)
{
	struct bytes *left = ctx;

	*out = bytes_first(*left, 1);
	*left = bytes_skip(*left, 1);
	return OK;
}

struct seen {
	int64_t a;
	bool b;
	char s[64];
	size_t items;
	char raw[64];
};

static err read_all(struct bytes text, bool dripping, struct seen *out)
{
	struct jsonpull jp;
	CLEANUP(buf_done) struct buf raw = buf_make(sizeof out->raw - 1);

	*out = (struct seen){ 0 };
	jp_init(&jp, dripping ? (struct bytes){ 0 } : text, dripping ? drip : NULL, &text);
	if (jp_object(&jp))
		while (jp_member(&jp)) {
			if (jp_key_is(&jp, "a"))
				out->a = jp_int(&jp, -1000, 1000);
			else if (jp_key_is(&jp, "b"))
				out->b = jp_bool(&jp);
			else if (jp_key_is(&jp, "s"))
				snprintf(out->s, sizeof out->s, "%s", (const char *)jp_str(&jp).p);
			else if (jp_key_is(&jp, "l") && jp_array(&jp))
				while (jp_item(&jp))
					jp_skip(&jp), out->items++;
			else if (jp_key_is(&jp, "r"))
				jp_raw(&jp, &raw);
			else if (!jp_key_is(&jp, "l"))
				jp_skip(&jp);
		}
	if (buf_len(&raw))
		memcpy(out->raw, buf_view(&raw).p, buf_len(&raw));
	return jp_end(&jp);
}

static const char good[] = " {\"A\" : -12 ,\"b\":true,\"x\":{\"a\":[1,{\"q\":[[],{}]}],\"z\":1.5e3},"
			   "\"s\":\"\\u00e9\\ud83d\\ude00\\ud83dx\\n\\\"\",\"l\":[1,[2],{\"a\":7}, null],\"r\":{\"k\":[1, \"\\\"}\"]},\"n\":null}\n";

static void reads_whole_and_dripping(void **state)
{
	(void)state;
	for (int dripping = 0; dripping < 2; dripping++) {
		struct seen s;

		assert_ok(read_all(bytes_str(good), dripping, &s));
		assert_int_equal(s.a, -12);
		assert_true(s.b);
		assert_string_equal(s.s, "\u00e9\U0001F600\ufffdx\n\"");
		assert_int_equal(s.items, 4);
		assert_string_equal(s.raw, "{\"k\":[1, \"\\\"}\"]}");
	}
}

static void refuses(void **state)
{
	static const char *const bad[] = { "", "{", "[]", "{\"a\":1 \"b\":true}", "{\"a\":1,}", "{,}", "{\"a\"1}", "{a:1}",
		"{\"a\":1.5}", "{\"a\":1001}", "{\"a\":}", "{\"b\":1}", "{\"b\":tru}", "{\"s\":\"\\x\"}", "{\"s\":\"\n\"}",
		"{\"s\":\"\\u12\"}", "{\"s\":5}", "{\"l\":{}}", "{} {}", "{\"x\":[1}", "{\"x\":[1,]}", "{\"a\":99999999999999999999}",
		"{\"s\":\"", "{\"x\":nul}", "{\"a\":--1}" };
	struct seen s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		for (int dripping = 0; dripping < 2; dripping++)
			if (read_all(bytes_str(bad[i]), dripping, &s) == OK)
				fail_msg("taken: %s", bad[i]);
}

static void bounds(void **state)
{
	CLEANUP(buf_done) struct buf b = buf_make(1 << 20);
	struct jsonpull jp;
	struct seen s;

	(void)state;
	for (int deep = JSONPULL_DEPTH_MAX - 1; deep <= JSONPULL_DEPTH_MAX; deep++) {
		buf_clear(&b);
		buf_append_str(&b, "{\"x\":");
		for (int i = 0; i < deep; i++)
			buf_append_u8(&b, '[');
		for (int i = 0; i < deep; i++)
			buf_append_u8(&b, ']');
		buf_append_u8(&b, '}');
		assert_int_equal(read_all(buf_view(&b), false, &s), deep == JSONPULL_DEPTH_MAX ? ERR_TOO_BIG : OK);
	}
	/* A long string is cut between characters, and read to its end. */
	buf_clear(&b);
	buf_append_str(&b, "\"");
	for (int i = 0; i < 3000; i++)
		buf_append_str(&b, "\u00e9");
	buf_append_str(&b, "\"");
	jp_init(&jp, buf_view(&b), NULL, NULL);
	struct bytes text = jp_str(&jp);
	assert_true(jp.cut && bytes_is_utf8(text) && text.n == JSONPULL_TEXT_MAX);
	assert_ok(jp_end(&jp));
	/* A raw value that does not fit. */
	buf_clear(&b);
	buf_append_str(&b, "{\"r\":\"");
	for (int i = 0; i < 100; i++)
		buf_append_str(&b, "x");
	buf_append_str(&b, "\"}");
	assert_int_equal(read_all(buf_view(&b), false, &s), ERR_TOO_BIG);
}

static void try_one(struct bytes in, void *ctx)
{
	struct seen s;
	(void)ctx;
	err a = read_all(in, false, &s), b = read_all(in, true, &s);
	assert_int_equal(a, b);
}

static void torture(void **state)
{
	(void)state;
	test_torture(bytes_str(good), try_one, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_whole_and_dripping),
		cmocka_unit_test(refuses),
		cmocka_unit_test(bounds),
		cmocka_unit_test(torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
