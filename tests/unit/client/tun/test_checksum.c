/* The fast sum against the one of RFC 1071, two bytes at a time. */
#include "client/tun/checksum.h"

#include "tests/lib/test.h"

static uint16_t naive(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (n & 1)
		sum += (uint32_t)p[n - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* In memory order, as csum_fold has it. */
static uint16_t swap(uint16_t v)
{
	return __builtin_bswap16(v);
}

static void test_random(void **state)
{
	struct test_rng r = { 1 };
	static uint8_t b[3000], copy[3000];

	(void)state;
	for (int i = 0; i < 3000; i++) {
		size_t n = rng_below(&r, i < 200 ? 80 : sizeof b), off = rng_below(&r, 9), cut;

		if (n + off > sizeof b)
			n -= 9;
		if (i % 7 == 0)
			memset(b, 0xff, sizeof b);
		else
			rng_fill(&r, b, sizeof b);
		uint16_t want = naive(b + off, n, 0), got = swap(csum_fold(csum_add(0, b + off, n)));
		/* 0 and 0xffff are the same number in ones' complement. */
		assert_true(got == want || (got == 0xffff && want == 0) || (got == 0 && want == 0xffff));
		assert_int_equal(swap(csum_fold(csum_copy(0, copy, b + off, n))), got);
		assert_memory_equal(copy, b + off, n);
		cut = rng_below(&r, n + 1) & ~(size_t)1;
		assert_int_equal(csum_fold(csum_add(csum_add(0, b + off, cut), b + off + cut, n - cut)),
			csum_fold(csum_add(0, b + off, n)));
	}
	assert_int_equal(csum_fold(csum_add(UINT64_MAX, (const uint8_t *)"\1\0\0\0\0\0\0\0", 8)), 1);
}

static void test_pseudo(void **state)
{
	static const uint8_t v4[12] = { 100, 64, 0, 1, 100, 64, 0, 2, 0, 6, 0x12, 0x34 };
	uint8_t v6[40] = { 0xfd, 0x7a, [15] = 1, [16] = 0xfd, [31] = 2, [34] = 1, [35] = 0, [39] = 17 };

	(void)state;
	assert_int_equal(swap(csum_fold(csum_pseudo(v4, 8, 0x1234, 6))), naive(v4, 12, 0));
	assert_int_equal(swap(csum_fold(csum_pseudo(v6, 32, 0x100, 17))), naive(v6, 40, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_pseudo),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
