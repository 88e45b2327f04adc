#include "common/text/base64.h"

#include <stdlib.h>

#include "tests/lib/test.h"

static void test_rfc4648(void **state)
{
	static const char *const pairs[][3] = { { "", "", "" }, { "f", "Zg==", "Zg" }, { "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" }, { "foob", "Zm9vYg==", "Zm9vYg" }, { "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" }, { "\xff\xef\xbe", "/+++", "_---" } };

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
		char text[16], back[16];
		size_t n;

		assert_string_equal(base64_encode(bytes_str(pairs[i][0]), text), pairs[i][1]);
		assert_int_equal(base64_len(strlen(pairs[i][0])), strlen(text));
		assert_ok(base64_decode(bytes_str(text), back, sizeof back, &n));
		assert_true(bytes_eq_str(bytes_of(back, n), pairs[i][0]));
		assert_string_equal(base64url_encode(bytes_str(pairs[i][0]), text), pairs[i][2]);
		assert_int_equal(base64url_len(strlen(pairs[i][0])), strlen(text));
		assert_ok(base64url_decode(bytes_str(text), back, sizeof back, &n));
		assert_true(bytes_eq_str(bytes_of(back, n), pairs[i][0]));
	}
}

static void test_refuses(void **state)
{
	static const char *const bad[] = { "Zg", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm 9v===", "Z===",
		"Zm-v", "Zg==Zg==", "Zm9vZ" };
	static const char *const bad_url[] = { "Zg==", "Z", "Zh", "Zm9", "a+b/", "Zm9vZ", " Zg" };
	uint8_t out[32];
	size_t n = 77;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(base64_decode(bytes_str(bad[i]), out, sizeof out, &n), ERR_MALFORMED);
	for (size_t i = 0; i < sizeof bad_url / sizeof bad_url[0]; i++)
		assert_int_equal(base64url_decode(bytes_str(bad_url[i]), out, sizeof out, &n), ERR_MALFORMED);
	assert_int_equal(base64_decode(BYTES_LIT("Zm9v"), out, 2, &n), ERR_TOO_BIG);
	assert_int_equal(n, 77);
}

/* Every text that is accepted is the one text of its bytes. */
static void canonical(struct bytes in, void *ctx)
{
	uint8_t out[64];
	char text[100];
	size_t n;

	(void)ctx;
	if (base64_decode(in, out, sizeof out, &n) == OK)
		assert_true(bytes_eq_str(in, base64_encode(bytes_of(out, n), text)));
	if (base64url_decode(in, out, sizeof out, &n) == OK)
		assert_true(bytes_eq_str(in, base64url_encode(bytes_of(out, n), text)));
}

static void test_canonical(void **state)
{
	struct test_rng rng = { 2 };

	(void)state;
	for (size_t n = 0; n < 40; n++) {
		uint8_t in[40];
		char text[100];

		rng_fill(&rng, in, n);
		test_torture(bytes_str(base64_encode(bytes_of(in, n), text)), canonical, NULL);
		test_torture(bytes_str(base64url_encode(bytes_of(in, n), text)), canonical, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc4648),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
