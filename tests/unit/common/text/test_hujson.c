#include "common/text/hujson.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "tests/lib/test.h"

static void same(const char *in, const char *want)
{
	struct bytes exact = test_exact(bytes_str(in));
	char *out = malloc(exact.n + 1);
	struct json_error e;

	assert_non_null(out);
	assert_ok(hujson_blank(exact, out, &e));
	assert_string_equal(out, want);
	assert_int_equal(strlen(out), exact.n);
	free(out);
	test_exact_free(exact);
}

static void test_blanked(void **state)
{
	(void)state;
	same("", "");
	same("{}", "{}");
	same("{\"a\":1,}", "{\"a\":1 }");
	same("[1, // x\n2, /* y\r\n */ ]", "[1,     \n2      \r\n    ]");
	same("[\"//\", \"/* \\\" */\",]", "[\"//\", \"/* \\\" */\" ]");
	same("//", "  ");
	same("/**/1", "    1");
	same("/***/1", "     1");
	same("{\"a\":[[],],}//x", "{\"a\":[[] ] }   ");
	same("[1,/*,*/]", "[1      ]");
	/* what is no HuJSON either stays wrong */
	same("[,]", "[,]");
	same("[1,,]", "[1,,]");
	same("{,}", "{,}");
	same("{\"a\":,}", "{\"a\":,}");
	same("1,", "1,");
	same("\"open // ", "\"open // ");
	same("\"open \\", "\"open \\");
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *why;
		unsigned line, column;
	} bad[] = {
		{ "{\n  /* x", "comment without end", 2, 3 },
		{ "/*/", "comment without end", 1, 1 },
		{ "1 /", "lone '/'", 1, 3 },
		{ "1 / 2", "lone '/'", 1, 3 },
		{ "// \xff", "comment is not UTF-8", 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char out[100];
		struct json_error e;

		assert_int_equal(hujson_blank(bytes_str(bad[i].text), out, &e), ERR_MALFORMED);
		assert_string_equal(e.text, bad[i].why);
		assert_int_equal(e.line, bad[i].line);
		assert_int_equal(e.column, bad[i].column);
	}
}

static void test_parse_keeps_places(void **state)
{
	static const char text[] = "// policy\n{\n  \"acls\": [ /* none */ ],\n  \"bad\" tru,\n}\n";
	struct json_error e;
	json_t *v = NULL;

	(void)state;
	assert_int_equal(hujson_parse(bytes_str(text), 1000, 8, &v, &e), ERR_MALFORMED);
	assert_int_equal(e.line, 4);
	assert_int_equal(hujson_parse(bytes_str(text), 10, 8, &v, &e), ERR_TOO_BIG);
	assert_int_equal(hujson_parse(BYTES_LIT("/* [[[[ */ [[[]]]"), 100, 2, &v, &e), ERR_TOO_BIG);
	assert_int_equal(e.column, 14);
	assert_null(v);
	assert_ok(hujson_parse(BYTES_LIT("[1,]//"), 100, 2, &v, &e));
	json_decref(v);
}

static void test_locate(void **state)
{
	static const char text[] = "{ // c\n \"a\" : [ 1, {\"B\":\"x,]\", \"b\\u0063\":\n 5} ],\n\"dup\":1,\"dup\":2,}";
	struct json_why why = { 0 };
	struct json_error e;
	CLEANUP(json_decrefp) json_t *v = NULL;
	char plain[sizeof text];
	size_t at;

	(void)state;
	assert_ok(hujson_blank(bytes_str(text), plain, &e));
	assert_ok(json_parse(bytes_str(plain), 1000, 8, &v, &e));
	struct bytes p = bytes_str(plain);
	struct json_at root = json_root(v, &why), a = json_member(&root, "A"), one = json_item(&a, 0), o = json_item(&a, 1);
	struct json_at b = json_member(&o, "b"), bc = json_member(&o, "bc"), dup = json_member(&root, "dup");
	struct json_at none = json_member(&root, "none"), third = json_item(&a, 2), wrong = json_item(&root, 0);
	assert_ok(json_locate(p, &root, &at));
	assert_int_equal(at, 0);
	assert_ok(json_locate(p, &one, &at));
	assert_int_equal(plain[at], '1');
	assert_ok(json_locate(p, &b, &at));
	assert_memory_equal(plain + at, "\"x,]\"", 5);
	assert_ok(json_locate(p, &bc, &at));
	assert_int_equal(plain[at], '5');
	unsigned line, column;
	text_line_col(p, at, &line, &column);
	assert_int_equal(line, 3);
	assert_int_equal(column, 2);
	assert_ok(json_locate(p, &dup, &at));
	assert_int_equal(plain[at], '2');
	assert_int_equal(json_locate(p, &none, &at), ERR_NOT_FOUND);
	assert_int_equal(json_locate(p, &third, &at), ERR_NOT_FOUND);
	assert_int_equal(json_locate(p, &wrong, &at), ERR_NOT_FOUND);
	/* a text that is not its own: an answer, no crash */
	for (size_t n = 0; n <= p.n; n++) {
		struct bytes cut = test_exact(bytes_first(p, n));

		if (json_locate(cut, &bc, &at) == OK)
			assert_true(at <= n);
		test_exact_free(cut);
	}
}

/* The dumb way: a random JSON text, and the same with comments and trailing commas put in. */
static void spice(struct buf *b, struct test_rng *rng)
{
	static const char *const bits[] = { "", "", "", " ", "\n", "// a \"c\" ,]}\n", "/* \" , ] } // \n */", "/**/", "\t//\r\n" };

	for (uint64_t i = rng_below(rng, 3); i; i--)
		buf_append_str(b, bits[rng_below(rng, ARRAY_LEN(bits))]);
}

static void grow(struct buf *plain, struct buf *hu, struct test_rng *rng, int depth)
{
	static const char *const leaves[] = { "1", "-2.5e3", "true", "null", "\"a//b\"", "\"/*\\\"*/\"", "\"\\\\\"", "\",]\"", "\"\"" };
	uint64_t kind = depth ? rng_below(rng, 4) : 0;

	spice(hu, rng);
	if (kind < 2) {
		const char *leaf = leaves[rng_below(rng, ARRAY_LEN(leaves))];

		buf_append_str(plain, leaf);
		buf_append_str(hu, leaf);
	} else {
		uint64_t n = rng_below(rng, 4);

		buf_append_u8(plain, kind == 2 ? '[' : '{');
		buf_append_u8(hu, kind == 2 ? '[' : '{');
		for (uint64_t i = 0; i < n; i++) {
			if (i) {
				buf_append_u8(plain, ',');
				buf_append_u8(hu, ',');
			}
			spice(hu, rng);
			if (kind == 3) {
				buf_printf(plain, "\"k%d/*\":", (int)i);
				buf_printf(hu, "\"k%d/*\"", (int)i);
				spice(hu, rng);
				buf_append_u8(hu, ':');
			}
			grow(plain, hu, rng, depth - 1);
		}
		spice(hu, rng);
		if (n && rng_below(rng, 2)) {
			buf_append_u8(hu, ',');
			spice(hu, rng);
		}
		buf_append_u8(plain, kind == 2 ? ']' : '}');
		buf_append_u8(hu, kind == 2 ? ']' : '}');
	}
	spice(hu, rng);
}

static void test_against_plain(void **state)
{
	struct test_rng rng = { 6 };

	(void)state;
	for (int i = 0; i < 3000; i++) {
		CLEANUP(buf_done) struct buf plain = buf_make(1 << 20), hu = buf_make(1 << 20);
		CLEANUP(json_decrefp) json_t *want = NULL, *got = NULL;
		struct json_error e;

		grow(&plain, &hu, &rng, 5);
		assert_ok(json_parse(buf_view(&plain), 1 << 20, 32, &want, &e));
		if (hujson_parse(buf_view(&hu), 1 << 20, 32, &got, &e) != OK)
			fail_msg("%u:%u: %s", e.line, e.column, e.text);
		assert_true(json_equal(want, got));
	}
}

static void blank_all(struct bytes in, void *ctx)
{
	char *out = malloc(in.n + 1);
	struct json_error e;

	(void)ctx;
	assert_non_null(out);
	if (hujson_blank(in, out, &e) != OK)
		assert_true(e.offset <= in.n && e.text[0]);
	free(out);
}

static void test_cut_and_flipped(void **state)
{
	(void)state;
	test_torture(BYTES_LIT("{/*a*/\"b\\\"//\":[1,2,/*,*/],//c\n}"), blank_all, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blanked),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_parse_keeps_places),
		cmocka_unit_test(test_locate),
		cmocka_unit_test(test_against_plain),
		cmocka_unit_test(test_cut_and_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
