#include "server/policy/range.h"

#include "tests/lib/test.h"

static struct range range(const char *text)
{
	struct range r;

	assert_ok(range_parse(bytes_str(text), &r));
	return r;
}

static void texts_go_round(void **state)
{
	static const struct {
		const char *in, *out;
	} same[] = {
		{ "10.0.0.1", "10.0.0.1" },		     { "10.1.2.3/8", "10.0.0.0/8" },
		{ "10.0.0.0-10.0.0.255", "10.0.0.0/24" },    { "10.0.0.1-10.0.0.2", "10.0.0.1-10.0.0.2" },
		{ "0.0.0.0-255.255.255.255", "0.0.0.0/0" },  { "::/0", "::/0" },
		{ "fd7a::1-fd7a::1", "fd7a::1" },	     { "100.64.0.0-100.115.91.255", "100.64.0.0-100.115.91.255" },
	};
	static const char *const wrong[] = { "", "-", "10.0.0.2-10.0.0.1", "10.0.0.1-::1", "10.0.0.1-", "10.0.0.0/8-10.0.0.1", "x" };
	char text[RANGE_TEXT_MAX];
	struct range r;

	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
		assert_string_equal(range_text(range(same[i].in), text), same[i].out);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		assert_int_equal(range_parse(bytes_str(wrong[i]), &r), ERR_MALFORMED);
}

/* Random cuts and joins beside one bit for each of 256 addresses. */
static void lists_agree_with_bits(void **state)
{
	struct test_rng rng = { 3 };

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct range list[64];
		bool bit[256] = { 0 };
		size_t n = 0;

		for (int step = 0; step < 12; step++) {
			uint8_t a = (uint8_t)rng_below(&rng, 256), b = (uint8_t)(a + rng_below(&rng, 256u - a));
			struct range r = { addr_v4(10, 0, 0, a), addr_v4(10, 0, 0, b) };
			bool cut = rng_below(&rng, 2);

			if (cut) {
				ranges_cut(list, &n, r);
			} else {
				list[n++] = r;
				ranges_tidy(list, &n);
			}
			for (unsigned i = a; i <= b; i++)
				bit[i] = !cut;
			for (unsigned i = 0; i < 256; i++) {
				unsigned found = 0;

				for (size_t k = 0; k < n; k++)
					found += range_has(list[k], addr_v4(10, 0, 0, (uint8_t)i));
				assert_int_equal(found, bit[i]);
			}
		}
	}
}

static void the_internet_is_what_is_public(void **state)
{
	static const char *const in[] = { "8.8.8.8", "11.0.0.0", "100.63.255.255", "100.128.0.0", "2001:db8::1" },
				 *const out[] = { "10.1.2.3", "100.64.0.1", "169.254.1.1", "172.16.0.1", "192.168.1.1", "fd7a::1", "fe80::1" };
	size_t n;
	const struct range *net = range_internet(&n);

	(void)state;
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < (pass ? sizeof out / sizeof out[0] : sizeof in / sizeof in[0]); i++) {
			struct range a = range(pass ? out[i] : in[i]);
			bool found = false;

			for (size_t k = 0; k < n; k++)
				found |= range_covers(net[k], a);
			assert_int_equal(found, !pass);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_go_round),
		cmocka_unit_test(lists_agree_with_bits),
		cmocka_unit_test(the_internet_is_what_is_public),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
