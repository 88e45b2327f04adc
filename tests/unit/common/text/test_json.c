#include "common/text/json.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "tests/lib/test.h"

static err parse(const char *text, json_t **out, struct json_error *e)
{
	struct bytes exact = test_exact(bytes_str(text));
	err r = json_parse(exact, 1000, 4, out, e);

	test_exact_free(exact);
	return r;
}

static void test_refuses(void **state)
{
	static const char *const bad[] = { "", " ", "{", "{}x", "[1,]", "{\"a\":1,}", "nul", "'a'", "\"\x01\"", "\"\xff\"",
		"\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\\ud800\"", "\"\\u0000\"", "01", "+1", "1.", ".5", "99999999999999999999",
		"1e999", "{} {}", "\xef\xbb\xbf{}", "{1:2}", "// c\n1", "NaN", "[\"\n\"]" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct json_error e;
		json_t *v = NULL;

		if (parse(bad[i], &v, &e) != ERR_MALFORMED)
			fail_msg("accepted: %s", bad[i]);
		assert_null(v);
		assert_true(e.text[0] && e.line >= 1 && e.column >= 1 && e.offset <= strlen(bad[i]));
	}
}

static void test_bounds(void **state)
{
	struct json_error e;
	json_t *v = NULL;

	(void)state;
	assert_ok(parse("[[[[\"[[[[[[\\\"[\"]]],[[]]]", &v, &e));
	json_decref(v);
	v = NULL;
	assert_int_equal(parse("[1,\n [[[[1]]]]]", &v, &e), ERR_TOO_BIG);
	assert_int_equal(e.line, 2);
	assert_int_equal(e.column, 5);
	assert_int_equal(json_parse(BYTES_LIT("[1,2]"), 4, 4, &v, &e), ERR_TOO_BIG);
	assert_null(v);

	/* as deep as memory allows: refused by the scan, not by the stack */
	size_t n = 1 << 20;
	char *deep = malloc(n);
	assert_non_null(deep);
	memset(deep, '[', n);
	assert_int_equal(json_parse(bytes_of(deep, n), n, 64, &v, &e), ERR_TOO_BIG);
	assert_int_equal(e.offset, 64);
	free(deep);
}

static void test_position(void **state)
{
	struct json_error e;
	json_t *v = NULL;

	(void)state;
	assert_int_equal(parse("{\n  \"a\": tru\n}", &v, &e), ERR_MALFORMED);
	assert_int_equal(e.line, 2);
}

static void test_getters(void **state)
{
	struct json_why why = { 0 };
	struct json_error e;
	CLEANUP(json_decrefp) json_t *v = NULL;
	CLEANUP(arena_done) struct arena a = arena_make(0);

	(void)state;
	assert_ok(parse("{\"Big\":9223372036854775807,\"neg\":-9223372036854775808,\"s\":\"x\\u00e9\\ud83d\\ude00\",\"t\":"
			"\"2026-01-02T03:04:05+01:00\",\"B64\":\"Zm9v\",\"f\":1,\"no\":null,\"yes\":true,\"dup\":1,\"dup\":2,"
			"\"CASE\":1,\"Case\":2,\"l\":[1,null,3]}", &v, &e));
	struct json_at o = json_root(v, &why);
	assert_true(json_int(&o, "big", INT64_MIN, INT64_MAX, 0) == INT64_MAX);
	assert_true(json_int(&o, "Neg", INT64_MIN, INT64_MAX, 0) == INT64_MIN);
	assert_string_equal(json_str(&o, "S", 10), "x\u00e9\U0001F600");
	assert_true(json_time(&o, "T", 0) == 1767319445000);
	struct json_at b = json_member(&o, "b64");
	assert_true(bytes_eq_str(json_to_base64(&b, &a, 3), "foo"));
	assert_true(json_double(&o, "f", 0) == 1);
	assert_int_equal(json_int(&o, "no", 0, 9, 5), 5);
	assert_int_equal(json_int(&o, "absent", 0, 9, 6), 6);
	assert_string_equal(json_str(&o, "absent", 3), "");
	assert_true(json_bool(&o, "YES", false));
	assert_int_equal(json_int(&o, "dup", 0, 9, 0), 2);
	assert_int_equal(json_int(&o, "case", 0, 9, 0), 2);
	assert_int_equal(json_int(&o, "CASE", 0, 9, 0), 1);
	struct json_at l = json_member(&o, "L"), none = json_member(&o, "None");
	assert_int_equal(json_count(&l, 3), 3);
	assert_int_equal(json_count(&none, 3), 0);
	struct json_at hole = json_item(&l, 1), third = json_item(&l, 2), beyond = json_item(&l, 3);
	assert_false(json_is_set(&hole));
	assert_false(json_is_set(&beyond));
	assert_int_equal(json_to_int(&third, 0, 9, 0), 3);
	assert_int_equal(why.e, OK);
}

#define NOTED(why, what, where)                                                                                        \
	do {                                                                                                           \
		struct json_why why = { 0 };                                                                           \
		struct json_at o = json_root(v, &why);                                                                 \
		what;                                                                                                  \
		assert_string_equal(why.text, where);                                                                  \
		assert_int_not_equal(why.e, OK);                                                                       \
	} while (0)

static void test_notes(void **state)
{
	struct json_error e;
	CLEANUP(json_decrefp) json_t *v = NULL;

	(void)state;
	assert_ok(parse("{\"i\":1.0,\"s\":7,\"b\":\"true\",\"t\":\"\",\"big\":300,\"o\":{\"l\":[{\"p\":\"x\"}]},\"str\":\"abcd\"}",
			&v, &e));
	NOTED(why, json_int(&o, "i", 0, 9, 0), "i: not an integer");
	NOTED(why, json_str(&o, "s", 9), "s: not a string");
	NOTED(why, json_str(&o, "STR", 3), "STR: longer than 3 bytes");
	NOTED(why, json_bool(&o, "b", false), "b: not true or false");
	NOTED(why, json_time(&o, "t", 0), "t: not an RFC 3339 time");
	NOTED(why, json_int(&o, "big", 0, 255, 0), "big: 300 is not from 0 to 255");
	NOTED(why, struct json_at x = json_member(&o, "s"); json_count(&x, 9), "s: not an array");
	NOTED(why, struct json_at x = json_member(&o, "s"); json_int(&x, "y", 0, 9, 0), "s: not an object");
	NOTED(why, struct json_at x = json_member(&o, "o"); struct json_at l = json_member(&x, "l");
		struct json_at it = json_item(&l, 0); json_int(&it, "p", 0, 9, 0), "o.l[0].p: not an integer");
	NOTED(why, struct json_at x = json_member(&o, "o"); struct json_at l = json_member(&x, "l"); json_count(&l, 0),
		"o.l: more than 0 elements");
}

static void test_compact(void **state)
{
	static const char text[] = " { \"a b\" : [ 1 , \"x \\\" \\\\\" , true ] ,\n\t\"c\" : \"\\\\\" } ";
	static const char want[] = "{\"a b\":[1,\"x \\\" \\\\\",true],\"c\":\"\\\\\"}";
	CLEANUP(arena_done) struct arena a = arena_make(0);
	CLEANUP(json_decrefp) json_t *v = NULL;
	size_t n;

	(void)state;
	assert_string_equal(json_compact(&a, bytes_str(text), &n), want);
	assert_int_equal(n, sizeof want - 1);
	assert_ok(parse(text, &v, NULL));
	assert_string_equal(json_dump_compact(&a, v, &n), want);
	assert_int_equal(n, sizeof want - 1);
}

static void read_all(struct bytes in, void *ctx)
{
	struct json_why why = { 0 };
	struct json_error e;
	CLEANUP(json_decrefp) json_t *v = NULL;

	(void)ctx;
	if (json_parse(in, 1000, 8, &v, &e) != OK)
		return;
	struct json_at o = json_root(v, &why), l = json_member(&o, "list");
	size_t n = json_count(&l, 10);
	for (size_t i = 0; i < n; i++) {
		struct json_at it = json_item(&l, i);

		json_int(&it, "x", 0, 9, 0);
	}
}

static void test_cut_and_flipped(void **state)
{
	(void)state;
	test_torture(BYTES_LIT("{\"list\":[{\"x\":1},{\"X\":\"\\u00e9\\n\"},[],null],\"\u00e9\":1.5e3}"), read_all, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_position),
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_compact),
		cmocka_unit_test(test_cut_and_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
