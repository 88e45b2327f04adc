/* What is kept of the log for whoever looks from afar. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "tests/lib/test.h"

static void the_newest_lines_are_kept(void **state)
{
	struct log_kept k[10];
	(void)state;

	assert_int_equal(log_kept(k, 10, LOG_DEBUG, 0), 0); /* not asked to keep any */
	log_keep(4);
	for (int i = 1; i <= 6; i++)
		log_event(i % 2 ? LOG_WARN : LOG_INFO, "line", "n=%d", i);
	log_debug("not said", "n=7"); /* below the level */
	assert_int_equal(log_kept(k, 10, LOG_DEBUG, 0), 4);
	assert_int_equal(k[0].number, 6);
	assert_string_equal(k[0].fields, "n=6");
	assert_string_equal(k[0].msg, "line");
	assert_int_equal(k[3].number, 3);
	assert_int_equal(log_kept(k, 10, LOG_WARN, 0), 2);
	assert_int_equal(k[0].number, 5);
	assert_int_equal(log_kept(k, 1, LOG_DEBUG, 0), 1);
	/* Further down; what is gone or never was gives no more than there is. */
	assert_int_equal(log_kept(k, 10, LOG_DEBUG, 4), 1);
	assert_int_equal(k[0].number, 3);
	assert_int_equal(log_kept(k, 10, LOG_DEBUG, 3), 0);
	assert_int_equal(log_kept(k, 10, LOG_DEBUG, 1), 0);
	assert_int_equal(log_kept(k, 10, LOG_DEBUG, 1000), 4);
	log_keep(0);
	log_info("gone", "n=8");
	assert_int_equal(log_kept(k, 10, LOG_DEBUG, 0), 0);
}

static void long_lines_are_cut(void **state)
{
	struct log_kept k;
	char text[1000];
	(void)state;

	log_keep(2);
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	log_event(LOG_ERROR, text, "what=%s", text);
	log_event(LOG_ERROR, "a line", "what=%s", text);
	assert_int_equal(log_kept(&k, 1, LOG_DEBUG, 0), 1);
	assert_int_equal(strlen(k.fields), LOG_KEPT_MAX - 1);
	log_event(LOG_ERROR, "bare", "%s", "");
	assert_int_equal(log_kept(&k, 1, LOG_DEBUG, 0), 1);
	assert_string_equal(k.fields, "");
	log_keep(0);
}

static void *write_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < 300; i++)
		log_event(LOG_INFO, "many", "i=%d", i);
	return NULL;
}

static void many_write_at_once(void **state)
{
	pthread_t t[4];
	struct log_kept *k = calloc(64, sizeof *k);
	(void)state;

	log_keep(64);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_many, NULL), 0);
	for (int i = 0; i < 50; i++) {
		size_t n = log_kept(k, 64, LOG_DEBUG, 0);
		for (size_t j = 1; j < n; j++)
			assert_true(k[j].number == k[j - 1].number - 1);
	}
	for (size_t i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(log_kept(k, 64, LOG_DEBUG, 0), 64);
	assert_int_equal(k[0].number, 1200);
	log_keep(0);
	free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_lines_are_kept),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(many_write_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
