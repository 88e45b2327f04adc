#include "common/text/hex.h"

#include "tests/lib/test.h"

static void test_both_ways(void **state)
{
	struct test_rng rng = { 1 };

	(void)state;
	for (size_t n = 0; n < 70; n++) {
		uint8_t in[70], out[70];
		char text[141];

		rng_fill(&rng, in, n);
		hex_encode(bytes_of(in, n), text);
		assert_int_equal(strlen(text), 2 * n);
		assert_ok(hex_decode(bytes_str(text), out, n));
		assert_memory_equal(in, out, n);
	}
}

static void test_refuses(void **state)
{
	uint8_t out[4] = { 9, 9, 9, 9 };

	(void)state;
	assert_ok(hex_decode(BYTES_LIT("aBCdEf01"), out, 4));
	assert_memory_equal(out, "\xab\xcd\xef\x01", 4);
	assert_int_equal(hex_decode(BYTES_LIT("aBCdEf0"), out, 4), ERR_MALFORMED);
	assert_int_equal(hex_decode(BYTES_LIT("aBCdEf0g"), out, 4), ERR_MALFORMED);
	assert_int_equal(hex_decode(BYTES_LIT("aBCdEf0100"), out, 4), ERR_MALFORMED);
	assert_int_equal(hex_decode(BYTES_LIT("aBCdEf"), out, 4), ERR_MALFORMED);
	assert_int_equal(hex_decode(BYTES_LIT("  aBCdEf"), out, 4), ERR_MALFORMED);
	assert_memory_equal(out, "\xab\xcd\xef\x01", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
