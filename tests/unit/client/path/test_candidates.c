/* Which of two paths is better, and which addresses are tried at all. */
#include "client/path/internal.h"
#include "tests/lib/test.h"

static struct addrport at(const char *text)
{
	struct addrport a;

	assert_ok(addrport_parse(bytes_str(text), &a));
	return a;
}
static bool better(const char *a, int64_t a_us, const char *b, int64_t b_us)
{
	return path_better((struct path_quality){ at(a), a_us }, (struct path_quality){ at(b), b_us });
}

static void test_better(void **state)
{
	struct path_quality none = { 0 }, some = { at("1.2.3.4:5"), 9000 };

	(void)state;
	assert_true(path_better(some, none));
	assert_false(path_better(none, some));
	assert_false(better("1.2.3.4:5", 100, "1.2.3.4:5", 9000)); /* itself */
	assert_true(better("1.2.3.4:5", 5000, "1.2.3.5:5", 10000));
	assert_false(better("1.2.3.4:5", 10000, "1.2.3.5:5", 5000));
	/* One percent is not worth a change, in neither direction. */
	assert_false(better("1.2.3.4:5", 9900, "1.2.3.5:5", 10000));
	assert_false(better("1.2.3.4:5", 10000, "1.2.3.5:5", 9900));
	assert_true(better("1.2.3.4:5", 9800, "1.2.3.5:5", 10000));
	/* IPv6 by 10 points, a LAN by 20, link-local by 30, the machine itself by 50. */
	assert_true(better("[2001:db8::1]:5", 10000, "1.2.3.4:5", 9500));
	assert_false(better("[2001:db8::1]:5", 10000, "1.2.3.4:5", 8000));
	assert_true(better("192.168.1.1:5", 10000, "1.2.3.4:5", 8500));
	assert_true(better("[fd00::1]:5", 10000, "192.168.1.1:5", 9500));
	assert_true(better("169.254.1.1:5", 10000, "192.168.1.1:5", 9500));
	assert_true(better("127.0.0.1:5", 10000, "192.168.1.1:5", 8000));
	/* The tunnel's range has no bonus. */
	assert_false(better("100.64.0.1:5", 10000, "1.2.3.4:5", 10000));
	assert_false(better("1.2.3.4:5", 0, "1.2.3.5:5", 0));
}

static void test_never_both(void **state)
{
	static const char *const text[] = { "1.2.3.4:5", "1.2.3.5:5", "10.0.0.1:5", "[2001:db8::1]:5", "[fd00::1]:5",
		"127.0.0.1:5" };
	struct test_rng rng = { 1 };

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct path_quality a = { at(text[rng_below(&rng, 6)]), (int64_t)rng_below(&rng, 100000) };
		struct path_quality b = { at(text[rng_below(&rng, 6)]), (int64_t)rng_below(&rng, 100000) };

		assert_false(path_better(a, b) && path_better(b, a));
	}
}

static void test_ok(void **state)
{
	struct path p = { .has_v4 = true, .has_v6 = true };

	(void)state;
	assert_true(candidate_ok(&p, at("1.2.3.4:5")));
	assert_true(candidate_ok(&p, at("[2001:db8::1]:5")));
	assert_false(candidate_ok(&p, at("1.2.3.4:0")));
	assert_false(candidate_ok(&p, at("0.0.0.0:5")));
	assert_false(candidate_ok(&p, at("224.0.0.1:5")));
	assert_false(candidate_ok(&p, at("255.255.255.255:5")));
	assert_false(candidate_ok(&p, at("[ff02::1]:5")));
	assert_false(candidate_ok(&p, at("[fe80::1]:5")));
	assert_false(candidate_ok(&p, at("100.64.0.9:5")));
	assert_false(candidate_ok(&p, at("[fd7a:115c:a1e0::9]:5")));
	assert_false(candidate_ok(&p, at("127.3.3.40:1")));
	assert_false(candidate_ok(&p, at("127.0.0.1:22")));
	assert_false(candidate_ok(&p, (struct addrport){ .port = 1 }));
	p.has_loopback = true;
	assert_true(candidate_ok(&p, at("127.0.0.1:22")));
	p.has_v6 = false;
	assert_false(candidate_ok(&p, at("[2001:db8::1]:5")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_better),
		cmocka_unit_test(test_never_both),
		cmocka_unit_test(test_ok),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
