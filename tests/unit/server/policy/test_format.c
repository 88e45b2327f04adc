/* A policy laid out: what it means stays, comments stay, and a second time changes nothing. */
#include "server/policy/query.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/hujson.h"
#include "tests/lib/test.h"

static char *format(const char *text)
{
	struct buf out = buf_make(1 << 20);
	struct policy_faults faults;

	err e = policy_format(bytes_str(text), &out, &faults);
	if (e != OK)
		fail_msg("%s: %s", text, faults.n ? faults.fault[0].text : err_text(e));
	buf_append_u8(&out, 0);
	return (char *)out.p;
}

static json_t *meaning(const char *text)
{
	json_t *v = NULL;
	struct json_error fault;

	if (hujson_parse(bytes_str(text), 1 << 20, 64, &v, &fault) != OK)
		fail_msg("no HuJSON: %s", text);
	return v;
}

static size_t comments(const char *text)
{
	size_t n = 0;

	for (bool quoted = false; *text; text++) {
		if (*text == '"')
			quoted = !quoted;
		else if (*text == '\\' && quoted && text[1])
			text++;
		if (!quoted && text[0] == '/' && (text[1] == '/' || text[1] == '*')) {
			n++;
			text = text[1] == '/' ? text + strcspn(text, "\n") - 1 : strstr(text, "*/") + 1;
		}
	}
	return n;
}

static void check(const char *text, const char *want)
{
	char *once = format(text), *twice = format(once);
	json_t *a = meaning(text), *b = meaning(once);

	if (want)
		assert_string_equal(once, want);
	if (strcmp(once, twice) != 0)
		fail_msg("not at rest:\n%s\n%s", once, twice);
	if (!json_equal(a, b) || comments(text) != comments(once))
		fail_msg("it is another one:\n%s\n%s", text, once);
	json_decref(a);
	json_decref(b);
	free(once);
	free(twice);
}

static void lays_out(void **state)
{
	(void)state;
	check("{}", "{}\n");
	check("{\"a\":1,\"b\":[1,2,{\"c\":null}]}", "{\"a\": 1, \"b\": [1, 2, {\"c\": null}]}\n");
	check("{\n\"a\":1 ,\n\"long\" : [ ]\n}", "{\n\t\"a\":    1,\n\t\"long\": [],\n}\n");
	check("// head\n\n{ // in\n\t\"a\": 1, // one\n\n\n\t// two\n\t\"b\": [\n1,2], }\n// tail\n",
	      "// head\n\n{\n\t// in\n\t\"a\": 1, // one\n\n\t// two\n\t\"b\": [\n\t\t1,\n\t\t2,\n\t],\n}\n// tail\n");
	check("{\"acls\": [\n{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"]},\n]}",
	      "{\"acls\": [\n\t{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]},\n]}\n");
	check("{\"a\": /* why */ 1, \"b\": // that\n 2}", "{\n\t/* why */\n\t\"a\": 1,\n\t// that\n\t\"b\": 2,\n}\n");
	check("{\"t\": \"a // b /* c \\\" d\", \"u\": 1}", "{\"t\": \"a // b /* c \\\" d\", \"u\": 1}\n");
	check("[/* only */]", NULL);
	check("{ /* a\n     * b\n     */\n \"x\": 1}", NULL);
	check("{\"a\": [1,2,3 /* three */], /* then */ \"b\": {}}", NULL);
}

static void says_what_is_wrong(void **state)
{
	struct buf out = buf_make(1 << 16);
	struct policy_faults faults;

	(void)state;
	assert_int_equal(policy_format(BYTES_LIT("{\"a\": 1 \"b\": 2}"), &out, &faults), ERR_INVALID);
	assert_int_equal(faults.n, 1);
	assert_true(faults.fault[0].has_fix);
	buf_done(&out);
}

static void grow(struct test_rng *rng, struct buf *b, unsigned depth)
{
	static const char *const gaps[] = { "", " ", "\n", "\n\n\n", " // x\n", "/* y */", "\n\t// z\n", " /* p\n q */ " };
	size_t n = rng_below(rng, 4);
	bool object = depth == 0 || rng_below(rng, 2);

#define GAP() buf_append_str(b, rng_below(rng, 2) ? "" : gaps[rng_below(rng, ARRAY_LEN(gaps))])
	if (depth > 3 || (depth && rng_below(rng, 3) == 0)) {
		static const char *const words[] = { "1", "true", "null", "\"tag:web\"", "\"a\\\"b\"", "-1.5e3" };
		buf_append_str(b, words[rng_below(rng, ARRAY_LEN(words))]);
		return;
	}
	buf_append_str(b, object ? "{" : "[");
	GAP();
	for (size_t i = 0; i < n; i++) {
		if (object) {
			buf_printf(b, "\"k%zu%s\"", i, rng_below(rng, 3) ? "" : "-longer-name");
			GAP();
			buf_append_str(b, ":");
			GAP();
		}
		grow(rng, b, depth + 1);
		GAP();
		if (i + 1 < n || rng_below(rng, 3) == 0) {
			buf_append_str(b, ",");
			GAP();
		}
	}
	buf_append_str(b, object ? "}" : "]");
}

static void random_texts_keep_their_meaning(void **state)
{
	struct test_rng rng = { 99 };

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct buf b = buf_make(1 << 20);

		grow(&rng, &b, 0);
		buf_append_u8(&b, 0);
		check((const char *)b.p, NULL);
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lays_out),
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(random_texts_keep_their_meaning),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
