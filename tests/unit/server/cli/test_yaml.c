/* YAML of JSON values: what a reader of YAML 1.1 or 1.2 would take for something else is quoted. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/cli/yaml.h"
#include "tests/lib/test.h"

static void is(const char *json, const char *yaml)
{
	json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);
	CLEANUP(buf_done) struct buf b = buf_make(10000);

	assert_non_null(v);
	yaml_put(&b, v);
	buf_append_u8(&b, 0);
	assert_string_equal((const char *)buf_view(&b).p, yaml);
	json_decref(v);
}

static void texts(void **state)
{
	(void)state;
	is("\"ann\"", "ann\n");
	is("\"/a/b.c-d_e\"", "/a/b.c-d_e\n");
	is("\"mkey:00\"", "mkey:00\n");
	static const char *const quoted[] = { "", "1", "1.5", "0x1f", "2026-01-01", "12:30", "-", "~", "true", "No", "ON", "y", "null", "a:",
		"a: b", "a #b", " a", "a ", "*a", "&a", "!a", "{}", "[]", "|", "%a", "@a", "`a`", "'a'", ".inf", "+1", "a,b", "=" };
	for (size_t i = 0; i < ARRAY_LEN(quoted); i++) {
		char json[40], yaml[40];

		snprintf(json, sizeof json, "\"%s\"", quoted[i]);
		snprintf(yaml, sizeof yaml, "\"%s\"\n", quoted[i]);
		is(json, yaml);
	}
	is("\"a\\nb\\t\\u001b\\\"\\\\\"", "\"a\\nb\\t\\u001B\\\"\\\\\"\n");
	is("\"\\u0085\\u007f\\u009b\"", "\"\\x85\\x7F\\x9B\"\n");
	is("\"a\\u2028b\\u2029\"", "\"a\\u2028b\\u2029\"\n");
	is("\"\\u00e9\"", "\"\u00e9\"\n");
}

static void others(void **state)
{
	(void)state;
	is("null", "null\n");
	is("[true, false, -3, 0.25]", "- true\n- false\n- -3\n- 0.25\n");
	is("[]", "[]\n");
	is("{}", "{}\n");
	is("{\"b\": {\"c\": [], \"d\": {}}, \"a\": [1, [2, 3], {\"x\": 1, \"y\": [4]}]}",
		"b:\n  c: []\n  d: {}\na:\n- 1\n- - 2\n  - 3\n- x: 1\n  \"y\":\n  - 4\n");
	is("[[[1]], {\"1\": {\"z\": null}}]", "- - - 1\n- \"1\":\n    z: null\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(texts), cmocka_unit_test(others) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
