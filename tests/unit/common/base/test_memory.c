#include "common/base/memory.h"

#include <stdio.h>
#include <time.h>

#include "tests/lib/test.h"

static int64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void burn(int64_t cpu_ms)
{
	int64_t end = cpu_us() + cpu_ms * 1000;
	volatile unsigned n = 0;

	while (cpu_us() < end)
		for (int i = 0; i < 1000; i++)
			n = n + 1;
}

static void pages_go_back_once_a_burst_is_over(void **state)
{
	(void)state;
	struct memory_watch w = { 0 };

	burn(11);
	assert_true(memory_look(&w, 1000)); /* all since the start of the process */
	assert_false(memory_look(&w, 3000)); /* idle */
	burn(60);
	assert_false(memory_look(&w, 3100));  /* busy: later */
	assert_true(memory_look(&w, 13000));  /* over */
	assert_false(memory_look(&w, 15000)); /* idle again: nothing to do */
}

/* What a thousand connections leave when they close is little work, spread over a second. */
static void little_work_counts_too(void **state)
{
	(void)state;
	struct memory_watch w = { 0 };

	memory_look(&w, 1000);
	burn(6);
	assert_false(memory_look(&w, 3000)); /* not worth it */
	burn(6);
	assert_true(memory_look(&w, 5000)); /* together it is */
	assert_false(memory_look(&w, 7000));
}

static void a_burst_without_end_is_interrupted(void **state)
{
	(void)state;
	struct memory_watch w = { .at_ms = 1000, .busy_ms = 59950 };

	burn(60);
	assert_true(memory_look(&w, 1100));
}

static long resident_text(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	long kb = -1;

	while (f && fgets(line, sizeof line, f))
		sscanf(line, "RssFile: %ld", &kb);
	if (f)
		fclose(f);
	return kb;
}

/* Text goes, and comes back when it is run: all that was written to is as it was. */
static void text_is_let_go(void **state)
{
	static int written = 5;
	long before = resident_text();

	(void)state;
	written++;
	memory_rest();
	assert_true(resident_text() < before);
	burn(1);
	assert_int_equal(written, 6);
	memory_rest();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_go_back_once_a_burst_is_over),
		cmocka_unit_test(little_work_counts_too),
		cmocka_unit_test(a_burst_without_end_is_interrupted),
		cmocka_unit_test(text_is_let_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
