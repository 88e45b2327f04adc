#include "common/base/memory.h"

#include "common/base/clock.h"
#include "tests/lib/test.h"

static void burn(int64_t ms)
{
	int64_t end = clock_mono_us() + ms * 1000;
	volatile unsigned n = 0;

	while (clock_mono_us() < end)
		for (int i = 0; i < 1000; i++)
			n = n + 1;
}

static void pages_go_back_once_a_burst_is_over(void **state)
{
	(void)state;
	struct memory_watch w = { 0 };

	assert_false(memory_look(&w, 1000)); /* the first look compares with nothing */
	assert_false(memory_look(&w, 3000)); /* idle */
	burn(60);
	assert_false(memory_look(&w, 3100));  /* busy: later */
	assert_true(memory_look(&w, 13000));  /* over */
	assert_false(memory_look(&w, 15000)); /* idle again: nothing to do */
}

static void a_burst_without_end_is_interrupted(void **state)
{
	(void)state;
	struct memory_watch w = { .at_ms = 1000, .busy_ms = 59950 };

	burn(60);
	assert_true(memory_look(&w, 1100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_go_back_once_a_burst_is_over),
		cmocka_unit_test(a_burst_without_end_is_interrupted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
