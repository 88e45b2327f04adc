/* Whose tokens a federated identity takes: patterns against a slow twin, definitions, and each thing that a token must say. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "server/core/federation.h"
#include "tests/lib/test.h"

#define NOW_MS 1800000000000LL

/* The same, by trying everything. */
static bool slow(const char *p, const char *t)
{
	if (!*p)
		return !*t;
	if (*p == '*')
		return slow(p + 1, t) || (*t && slow(p, t + 1));
	return *p == *t && slow(p + 1, t + 1);
}

static void patterns_fit_as_the_slow_twin_says(void **state)
{
	(void)state;
	size_t fit = 0;

	test_random_seed(7);
	for (int i = 0; i < 200000; i++) {
		uint8_t r[20];
		char p[9] = "", t[11] = "";
		random_fill(r, sizeof r);
		for (int k = 0; k < r[18] % 9; k++)
			p[k] = "ab*a"[r[k] % 4];
		for (int k = 0; k < r[19] % 11; k++)
			t[k] = "ab"[r[8 + k] % 2];
		bool want = slow(p, t);
		fit += want;
		if (federation_pattern_fits(p, t) != want)
			fail_msg("pattern '%s', text '%s'", p, t);
	}
	assert_true(fit > 1000);
	/* No pattern takes long. */
	char stars[400], as[4000];
	for (size_t k = 0; k < sizeof stars - 1; k++)
		stars[k] = k % 2 ? 'a' : '*';
	stars[sizeof stars - 2] = 'a';
	stars[sizeof stars - 1] = 0;
	memset(as, 'a', sizeof as);
	as[sizeof as - 1] = 0;
	as[sizeof as - 2] = 'b';
	assert_false(federation_pattern_fits(stars, as));
}

static void definitions_are_checked(void **state)
{
	(void)state;
	static const struct {
		struct federation f;
		bool insecure, ok;
	} t[] = {
		{ { "https://ci.example", "x", "", "" }, false, true }, { { "https://ci.example/a/b", "*", "y", "{\"a\":\"b*\"}" }, false, true },
		{ { "http://ci.example", "x", "", "" }, false, false }, { { "http://ci.example", "x", "", "" }, true, true },
		{ { "https://", "x", "", "" }, false, false }, { { "https:///x", "x", "", "" }, false, false }, { { "https://a@b", "x", "", "" }, false, false },
		{ { "https://a?b", "x", "", "" }, false, false }, { { "https://a b", "x", "", "" }, false, false }, { { "https://a", "", "", "" }, false, false },
		{ { "https://a", "x\n", "", "" }, false, false }, { { "https://a", "x", "", "[]" }, false, false }, { { "https://a", "x", "", "{\"aud\":\"x\"}" }, false, false },
		{ { "https://a", "x", "", "{\"a\":1}" }, false, false }, { { "https://a", "x", "", "{\"a\":\"\"}" }, false, false }, { { "", "x", "", "" }, true, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct federation_why why = { "" };
		if ((federation_check(&t[i].f, t[i].insecure, &why) == OK) != t[i].ok)
			fail_msg("%zu: %s", i, why.text);
	}
}

static void a_token_must_say_all_of_it(void **state)
{
	(void)state;
	static char issuer[] = "https://ci.example", subject[] = "repo:*:main", audience[] = "us", rules[] = "{\"env\":\"prod\",\"n\":\"7\",\"ok\":\"true\"}";
	const struct apikey_row k = { .kind = APIKEY_CLIENT, .issuer = issuer, .subject = subject, .audience = audience, .claim_rules = rules };
	static const char good[] = "{\"iss\":\"https://ci.example\",\"sub\":\"repo:a:main\",\"aud\":\"us\",\"iat\":1800000000,\"exp\":1800000300,"
				   "\"env\":[\"dev\",\"prod\"],\"n\":7,\"ok\":true}";
	static const struct {
		const char *member, *value; /* instead; value NULL: without it */
		bool ok;
	} t[] = {
		{ "x", "1", true }, { "aud", "[\"else\",\"us\"]", true }, { "env", "\"prod\"", true }, { "sub", "\"repo::main\"", true }, { "nbf", "1800000000", true },
		{ "exp", "1799999900", true }, /* clocks differ */
		{ "iss", "\"https://ci.example/\"", false }, { "iss", NULL, false }, { "aud", "[]", false }, { "aud", "\"US\"", false }, { "aud", NULL, false },
		{ "sub", "\"repo:a:dev\"", false }, { "sub", "\"\"", false }, { "sub", "7", false }, { "sub", NULL, false }, { "sub", "[\"repo:a:main\"]", false },
		{ "exp", "1799999000", false }, { "exp", NULL, false }, { "exp", "\"1800000300\"", false }, { "exp", "-1", false }, { "exp", "1e300", false },
		{ "iat", "1800000500", false }, { "iat", "1799900000", false }, { "iat", NULL, false }, { "nbf", "1800000500", false }, { "nbf", "\"x\"", false },
		{ "env", "\"dev\"", false }, { "env", "[[\"prod\"]]", false }, { "env", "{\"prod\":1}", false }, { "env", NULL, false }, { "n", "8", false }, { "n", "7.5", false },
		{ "ok", "false", false }, { "ok", "null", false }, { "sub", "\"repo:a:main\\u0000\"", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct federation_why why = { "" };
		json_auto_t *claims = json_loads(good, 0, NULL);
		json_t *v = t[i].value ? json_loads(t[i].value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
		assert_non_null(claims);
		assert_true(!t[i].value || v);
		json_object_del(claims, t[i].member);
		if (v)
			json_object_set_new(claims, t[i].member, v);
		if ((federation_accepts(&k, claims, NOW_MS, &why) == OK) != t[i].ok)
			fail_msg("%s = %s: %s", t[i].member, t[i].value, why.text);
	}
	struct federation_why why;
	struct apikey_row client = k;
	client.issuer = NULL;
	json_auto_t *claims = json_loads(good, 0, NULL);
	assert_int_equal(federation_accepts(&client, claims, NOW_MS, &why), ERR_AUTH);
	assert_int_equal(federation_accepts(&k, NULL, NOW_MS, &why), ERR_AUTH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_fit_as_the_slow_twin_says),
		cmocka_unit_test(definitions_are_checked),
		cmocka_unit_test(a_token_must_say_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
