#include "common/net/metacert.h"

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/lib/test.h"

static struct bytes seed;

static void give_seed(void *ctx, void *p, size_t n)
{
	(void)ctx;
	assert_int_equal(n, seed.n);
	memcpy(p, seed.p, n);
}

static void equals_the_vector(void **state)
{
	char path[512];
	struct buf der = buf_make(METACERT_LEN);
	int64_t now_ms;

	(void)state;
	if (!test_shared("protocol/vectors/derp_metacert.json", path, sizeof path)) {
		print_message("derp_metacert.json is not here\n");
		skip();
	}
	json_t *v = json_load_file(path, 0, NULL);
	assert_non_null(v);
	struct bytes pub = test_unhex(json_string_value(json_object_get(v, "server_public")));
	struct bytes want = test_unhex(json_string_value(json_object_get(v, "der")));
	seed = test_unhex(json_string_value(json_object_get(v, "ed25519_seed")));
	assert_ok(time_parse_rfc3339(BYTES_LIT("2026-08-31T00:00:00Z"), &now_ms));
	random_replace(give_seed, NULL);
	assert_ok(metacert_make(pub.p, now_ms, &der));
	random_replace(NULL, NULL);
	assert_int_equal(buf_len(&der), want.n);
	assert_memory_equal(buf_view(&der).p, want.p, want.n);
	assert_int_equal(metacert_make(pub.p, now_ms, &der), ERR_TOO_BIG);
	buf_done(&der);
	test_exact_free(pub);
	test_exact_free(want);
	test_exact_free(seed);
	json_decref(v);
}

static void two_are_never_equal(void **state)
{
	struct buf a = buf_make(METACERT_LEN), b = buf_make(METACERT_LEN);
	const uint8_t pub[32] = { 1 };

	(void)state;
	assert_ok(metacert_make(pub, 1, &a));
	assert_ok(metacert_make(pub, 1, &b));
	assert_false(bytes_eq(buf_view(&a), buf_view(&b)));
	buf_done(&a);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_the_vector),
		cmocka_unit_test(two_are_never_equal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
