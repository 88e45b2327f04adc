#include "common/text/toml.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "tests/lib/test.h"

static struct toml *parse(struct arena *a, const char *text)
{
	struct bytes exact = test_exact(bytes_str(text));
	struct toml_error e;
	struct toml *t = NULL;

	if (toml_parse(exact, a, &t, &e) != OK)
		fail_msg("%u:%u: %s", e.line, e.column, e.text);
	test_exact_free(exact);
	return t;
}

static const char *str(struct toml *t, const char *path)
{
	struct toml *v = toml_get(t, path);

	assert_non_null(v);
	assert_int_equal(v->kind, TOML_STRING);
	assert_int_equal(strlen((const char *)v->s.p), v->s.n);
	return (const char *)v->s.p;
}

static const char sample[] =
		"# comment\n"
		"title = \"a \\\"b\\\" \\u00e9\\U0001F600\\t\" # x\r\n"
		"literal = 'c:\\d'\n"
		"multi = \"\"\"\n  one\n  two \\\n     three \"quoted\"\"\"\"\"\n"
		"raw = '''a\\b\n'c'''\n"
		"n = -1_000\nhex = 0xDEAD_beef\noct = 0o755\nbin = 0b101\nbig = 9223372036854775807\nsmall = -9223372036854775808\n"
		"f = 1_0.5e-1\nf2 = 1e3\nyes = true\nno = false\n"
		"a.b.c = 1\na.b.d = 2\n"
		"\"odd key.x\" = 1\n"
		"list = [ 1, 2, # two\n  [ \"x\", ],\n]\nempty = []\n"
		"inline = { x = 1, y.z = \"q\" }\n"
		"[server]\nport = 80\n"
		"[server.tls]\ncert = \"\"\n"
		"[ x . \"y\" . z ]\nv = 1\n[x]\nw = 2\n"
		"[[dns.extra]]\nname = \"a\"\n[dns.extra.sub]\nq = 1\n[[dns.extra]]\nname = \"b\"\n[dns]\nlate = true\n";

static void test_values(void **state)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct toml *t = parse(&a, sample);

	(void)state;
	assert_string_equal(str(t, "title"), "a \"b\" \u00e9\U0001F600\t");
	assert_string_equal(str(t, "literal"), "c:\\d");
	assert_string_equal(str(t, "multi"), "  one\n  two three \"quoted\"\"");
	assert_string_equal(str(t, "raw"), "a\\b\n'c");
	assert_true(toml_get(t, "n")->i == -1000);
	assert_true(toml_get(t, "hex")->i == 0xdeadbeef);
	assert_true(toml_get(t, "oct")->i == 0755);
	assert_true(toml_get(t, "bin")->i == 5);
	assert_true(toml_get(t, "big")->i == INT64_MAX);
	assert_true(toml_get(t, "small")->i == INT64_MIN);
	assert_true(toml_get(t, "f")->f == 1.05);
	assert_true(toml_get(t, "f2")->f == 1000 && toml_get(t, "f2")->kind == TOML_FLOAT);
	assert_true(toml_get(t, "yes")->b && !toml_get(t, "no")->b);
	assert_true(toml_get(t, "a.b.d")->i == 2);
	assert_null(toml_get(t, "a.b.x"));
	assert_null(toml_get(t, "n.b"));
	assert_non_null(toml_child(t, BYTES_LIT("odd key.x")));
	struct toml *list = toml_get(t, "list");
	assert_int_equal(list->list.n, 3);
	assert_int_equal(list->list.last->list.n, 1);
	assert_int_equal(toml_get(t, "empty")->list.n, 0);
	assert_string_equal(str(t, "inline.y.z"), "q");
	assert_true(toml_get(t, "server.port")->i == 80);
	assert_string_equal(str(t, "server.tls.cert"), "");
	assert_true(toml_get(t, "x.y.z.v")->i == 1 && toml_get(t, "x.w")->i == 2);
	struct toml *extra = toml_get(t, "dns.extra");
	assert_int_equal(extra->list.n, 2);
	assert_string_equal(str(extra->list.first, "name"), "a");
	assert_true(toml_get(extra->list.first, "sub.q")->i == 1);
	assert_string_equal(str(extra->list.last, "name"), "b");
	assert_true(toml_get(t, "dns.late")->b);
}

static void test_places(void **state)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct toml *t = parse(&a, "a = 1\n[t]\n  b = \"\"\"x\ny\"\"\"\n  c = [\n 1,\n 2]\n[[l]]\nd = 1\n[[l]]\nd = 2\n");
	char path[50];

	(void)state;
	assert_int_equal(toml_get(t, "t.b")->line, 3);
	assert_int_equal(toml_get(t, "t.b")->column, 3);
	assert_int_equal(toml_get(t, "t.c")->line, 5);
	assert_int_equal(toml_get(t, "t.c")->list.last->line, 7);
	assert_string_equal(toml_path(toml_get(t, "t.c")->list.last, path, sizeof path), "t.c[1]");
	struct toml *d = toml_get(toml_get(t, "l")->list.last, "d");
	assert_int_equal(d->line, 11);
	assert_string_equal(toml_path(d, path, sizeof path), "l[1].d");
	assert_string_equal(toml_path(d, path, 5), ".d"); /* cut at the front */
	assert_string_equal(toml_path(t, path, sizeof path), "");
}

static void test_unused(void **state)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct toml *t = parse(&a, "a = 1\n[t]\nb = [1, 2]\n[u]\n[[l]]\nd = 1\ne = 2\n");

	(void)state;
	assert_string_equal(toml_unused(t)->key, "a");
	toml_get(t, "a");
	assert_string_equal(toml_unused(t)->key, "b");
	toml_get(t, "t.b");
	assert_string_equal(toml_unused(t)->key, "u");
	toml_get(t, "u");
	toml_get(toml_get(t, "l")->list.first, "d");
	assert_string_equal(toml_unused(t)->key, "e");
	toml_use_all(t);
	assert_null(toml_unused(t));
}

static void test_refuses(void **state)
{
	static const struct {
		const char *text;
		err e;
		unsigned line;
		const char *why;
	} bad[] = {
		{ "a", ERR_MALFORMED, 1, "'=' should be here" },
		{ "= 1", ERR_MALFORMED, 1, "a key should be here" },
		{ "a =", ERR_MALFORMED, 1, "a value should be here" },
		{ "a = 1 2", ERR_MALFORMED, 1, "the line should end here" },
		{ "a = x", ERR_MALFORMED, 1, "neither a number nor true nor false; text needs quotes" },
		{ "a = 1\nb = 2\na = 3", ERR_EXISTS, 3, "a is there already, in line 1" },
		{ "a.b = 1\na.b.c = 2", ERR_EXISTS, 2, "a.b is there already, in line 1" },
		{ "[a]\n[a]", ERR_EXISTS, 2, "a is there already, in line 1" },
		{ "a = 1\n[a]", ERR_EXISTS, 2, "a is there already, in line 1" },
		{ "[[a]]\n[a]", ERR_EXISTS, 2, "a is there already, in line 1" },
		{ "[a]\n[[a]]", ERR_EXISTS, 2, "a is there already, in line 1" },
		{ "a = []\n[[a]]", ERR_EXISTS, 2, "a is there already, in line 1" },
		{ "a = {}\n[a.b]", ERR_EXISTS, 2, "a is there already, in line 1" },
		{ "a = {}\na.b = 1", ERR_EXISTS, 2, "a is there already, in line 1" },
		{ "a.b = 1\n[a]", ERR_EXISTS, 2, "a is there already, in line 1" },
		{ "[a.b]\n[a]\nb.c = 1", ERR_EXISTS, 3, "a.b is there already, in line 1" },
		{ "a = {x = 1, x = 2}", ERR_EXISTS, 1, "x is there already, in line 1" },
		{ "a = \"x", ERR_MALFORMED, 1, "string without end" },
		{ "a = \"x\ny\"", ERR_MALFORMED, 1, "string without end" },
		{ "\n\na = '''x\n\n''", ERR_MALFORMED, 3, "string without end" },
		{ "a = \"\\q\"", ERR_MALFORMED, 1, "unknown escape in a string" },
		{ "a = \"\\u00g0\"", ERR_MALFORMED, 1, "4 hexadecimal digits should be here" },
		{ "a = \"\\ud800\"", ERR_MALFORMED, 1, "no such character" },
		{ "a = \"\\u0000\"", ERR_MALFORMED, 1, "no such character" },
		{ "a = \"\x01\"", ERR_MALFORMED, 1, "control character in a string" },
		{ "# \x01", ERR_MALFORMED, 1, "control character in a comment" },
		{ "a = 1\nb = \"\xff\"", ERR_MALFORMED, 2, "the line is not UTF-8" },
		{ "a = 01", ERR_MALFORMED, 1, "neither" },
		{ "a = 1__0", ERR_MALFORMED, 1, "neither" },
		{ "a = _1", ERR_MALFORMED, 1, "neither" },
		{ "a = 1_", ERR_MALFORMED, 1, "neither" },
		{ "a = 1.", ERR_MALFORMED, 1, "neither" },
		{ "a = .5", ERR_MALFORMED, 1, "neither" },
		{ "a = 1e", ERR_MALFORMED, 1, "neither" },
		{ "a = 0x", ERR_MALFORMED, 1, "neither" },
		{ "a = +0x1", ERR_MALFORMED, 1, "neither" },
		{ "a = 0b2", ERR_MALFORMED, 1, "neither" },
		{ "a = inf", ERR_MALFORMED, 1, "neither" },
		{ "a = 9223372036854775808", ERR_TOO_BIG, 1, "the number does not fit into 64 bits" },
		{ "a = 2026-01-02", ERR_UNSUPPORTED, 1, "dates" },
		{ "a = 07:32:00", ERR_UNSUPPORTED, 1, "dates" },
		{ "a = [1 2]", ERR_MALFORMED, 1, "',' or ']' should be here" },
		{ "a = [1,\n", ERR_MALFORMED, 2, "a value should be here" },
		{ "a = [,]", ERR_MALFORMED, 1, "a value should be here" },
		{ "a = {x = 1,}", ERR_MALFORMED, 1, "a key should be here" },
		{ "a = {x = 1\n}", ERR_MALFORMED, 1, "',' or '}' should be here" },
		{ "[a", ERR_MALFORMED, 1, "']' should be here" },
		{ "[[a]", ERR_MALFORMED, 1, "']]' should be here" },
		{ "[]", ERR_MALFORMED, 1, "a key should be here" },
		{ "[a] b = 1", ERR_MALFORMED, 1, "the line should end here" },
		{ "a = 1\rb = 2", ERR_MALFORMED, 1, "the line should end here" },
		{ "\"\"\"a\"\"\" = 1", ERR_MALFORMED, 1, "'=' should be here" },
		{ "a = [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", ERR_TOO_BIG, 1, "nested deeper than 16" },
		{ "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q = 1", ERR_TOO_BIG, 1, "nested deeper than 16" },
		{ "[a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q]", ERR_TOO_BIG, 1, "nested deeper than 16" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(arena_done) struct arena a = arena_make(0);
		struct toml_error e;
		struct toml *t = NULL;
		err got = toml_parse(bytes_str(bad[i].text), &a, &t, &e);

		if (got != bad[i].e || e.line != bad[i].line || !bytes_has_prefix(bytes_str(e.text), bytes_str(bad[i].why)))
			fail_msg("%s\n gave %d in line %u: %s", bad[i].text, got, e.line, e.text);
		assert_null(t);
	}
}

static void test_bounds(void **state)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	CLEANUP(buf_done) struct buf b = buf_make(TOML_TEXT_MAX + 10);
	struct toml_error e;
	struct toml *t = NULL;

	(void)state;
	for (int i = 0; i <= TOML_KEYS_MAX; i++)
		buf_printf(&b, "k%d = 1\n", i);
	assert_int_equal(toml_parse(buf_view(&b), &a, &t, &e), ERR_TOO_BIG);
	assert_int_equal(e.line, TOML_KEYS_MAX + 1);
	buf_clear(&b);
	uint8_t *p = buf_reserve(&b, TOML_TEXT_MAX + 1);
	assert_non_null(p);
	memset(p, '\n', TOML_TEXT_MAX + 1);
	buf_commit(&b, TOML_TEXT_MAX + 1);
	assert_int_equal(toml_parse(buf_view(&b), &a, &t, &e), ERR_TOO_BIG);
	/* a long name and a long text are only long */
	buf_clear(&b);
	buf_printf(&b, "%010000d = \"%0100000d\"", 1, 2);
	assert_ok(toml_parse(buf_view(&b), &a, &t, &e));
	assert_int_equal(t->list.first->s.n, 100000);
}

static void walk(const struct toml *t)
{
	char path[40];

	toml_path(t, path, sizeof path);
	if (t->kind == TOML_TABLE || t->kind == TOML_ARRAY)
		for (const struct toml *c = t->list.first; c; c = c->next)
			walk(c);
}

static void parse_any(struct bytes in, void *ctx)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct toml_error e;
	struct toml *t;

	(void)ctx;
	if (toml_parse(in, &a, &t, &e) == OK)
		walk(t);
	else
		assert_true(e.line >= 1 && e.column >= 1 && e.text[0]);
}

static void test_cut_and_flipped(void **state)
{
	(void)state;
	test_torture(bytes_str(sample), parse_any, NULL);
}

static void test_out_of_memory(void **state)
{
	bool done = false;

	(void)state;
	for (size_t max = 16; !done; max += 16) {
		CLEANUP(arena_done) struct arena a = arena_make(max);
		struct toml_error e;
		struct toml *t;
		err got = toml_parse(bytes_str(sample), &a, &t, &e);

		done = got == OK;
		assert_true(done || got == ERR_NOMEM);
		assert_true(max < 100000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_unused),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_cut_and_flipped),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
