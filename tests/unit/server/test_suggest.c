#include "server/suggest.h"
#include "tests/lib/test.h"

static const char *best(const char *wrong)
{
	struct suggest s = suggest_begin(wrong);

	suggest_offer(&s, "register");
	suggest_offer(&s, "rename");
	suggest_offer(&s, "list");
	suggest_offer(&s, "approve-routes");
	return s.best;
}

static void near_words_are_found(void **state)
{
	(void)state;
	assert_string_equal(best("regsiter"), "register");
	assert_string_equal(best("renam"), "rename");
	assert_string_equal(best("lst"), "list");
	assert_string_equal(best("aprove-route"), "approve-routes");
	assert_null(best("zzzzzz"));
	assert_null(best("x"));
	assert_null(best(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(near_words_are_found) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
