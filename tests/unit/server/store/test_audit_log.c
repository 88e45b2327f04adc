/* The audit log: what is written can be found by each filter, page by page, and old or too many records go. */
#include <pthread.h>

#include "common/base/clock.h"
#include "server/store/audit.h"
#include "tests/unit/server/store/sample.h"

struct watcher {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t durable;
};

static void on_durable(void *ctx, uint64_t seq)
{
	struct watcher *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->durable = seq;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void on_failed(void *ctx, uint64_t seq, uint32_t epoch, const char *why)
{
	(void)ctx, (void)seq, (void)epoch;
	fail_msg("%s", why);
}

static void wait_for(struct watcher *w, uint64_t seq)
{
	pthread_mutex_lock(&w->lock);
	while (w->durable < seq)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static struct audit_row record(int64_t id, const char *via, const char *actor, const char *kind, const char *target)
{
	return (struct audit_row){ .id = id, .group_id = id, .tailnet_id = 1, .at_ms = 1000 * id, .via = dup_str(via),
		.actor = dup_str(actor), .address = dup_str(""), .action = dup_str("update"), .kind = dup_str(kind),
		.target_id = dup_str("7"), .target = dup_str(target), .before = dup_str("{\"a\":1}"), .after = dup_str("{\"a\":2}") };
}

static size_t count(struct store *s, struct audit_query q, int64_t *first)
{
	struct audit_page p = { 0 };
	char why[300];

	q.tailnet_id = 1;
	q.limit = q.limit ? q.limit : AUDIT_PAGE_MAX;
	assert_ok(store_audit_read(s, &q, &p, why, sizeof why));
	size_t n = p.n;
	if (first)
		*first = n ? p.rows[0].id : 0;
	audit_page_done(&p);
	return n;
}

static void trim(struct store *s, struct watcher *w, uint64_t seq, int64_t before_ms, int64_t max)
{
	struct store_batch *b = batch_new(seq, 1, 1);

	b->op[0] = (struct store_op){ .kind = STORE_TRIM_AUDIT, .audit_trim = { before_ms, max } };
	store_submit(s, b);
	wait_for(w, seq);
}

static void records_are_found_and_go(void **state)
{
	(void)state;
	struct folder f = folder_new();
	struct watcher w = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };
	struct store *s = NULL;
	char why[300] = "";
	int64_t first;

	assert_ok(store_open(f.file, why, sizeof why, &s));
	assert_ok(store_start(s, &(struct store_callbacks){ &w, on_durable, on_failed }));
	struct store_batch *b = batch_new(1, 1, 10);
	for (int64_t i = 0; i < 10; i++)
		b->op[i] = (struct store_op){ .kind = STORE_PUT_AUDIT,
			.audit = i < 6 ? record(i + 1, "cli", "cli:root", "user", "Ann") : record(i + 1, "node", "node:4", "node", "laptop") };
	store_submit(s, b);
	wait_for(&w, 1);
	assert_int_equal(count(s, (struct audit_query){ 0 }, &first), 10);
	assert_int_equal(first, 1);
	assert_int_equal(count(s, (struct audit_query){ .newest_first = true, .limit = 3 }, &first), 3);
	assert_int_equal(first, 10);
	assert_int_equal(count(s, (struct audit_query){ .newest_first = true, .before_id = 4 }, &first), 3);
	assert_int_equal(count(s, (struct audit_query){ .actor = "ROOT" }, NULL), 6);
	assert_int_equal(count(s, (struct audit_query){ .kind = "node" }, NULL), 4);
	assert_int_equal(count(s, (struct audit_query){ .target = "ann" }, NULL), 6);
	assert_int_equal(count(s, (struct audit_query){ .target = "7" }, NULL), 10);
	assert_int_equal(count(s, (struct audit_query){ .since_ms = 3000, .until_ms = 5000 }, NULL), 2);
	assert_int_equal(count(s, (struct audit_query){ .actor = "%' OR 1=1 --" }, NULL), 0);

	trim(s, &w, 2, 3000, 0);
	assert_int_equal(count(s, (struct audit_query){ 0 }, &first), 8);
	assert_int_equal(first, 3);
	trim(s, &w, 3, 0, 6); /* what nodes did themselves goes first */
	assert_int_equal(count(s, (struct audit_query){ .via = "node" }, &first), 2);
	assert_int_equal(first, 9);
	trim(s, &w, 4, 0, 2);
	assert_int_equal(count(s, (struct audit_query){ 0 }, &first), 2);
	assert_int_equal(first, 5);
	store_stop(s);
	folder_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(records_are_found_and_go) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
