/* Who sends what when nobody, one side or both have something to say; the clock is stepped. */
#include "client/wg/internal.h"

#include "tests/lib/wg_join.h"

static void connect_pair(struct wg_join *j, uint64_t seed)
{
	wg_join_init(j, 2, seed);
	j->delay_ms = 10;
	wg_join_send(j, 0, 1, 100);
	wg_join_run(j, 100);
	assert_int_equal(j->end[1].got, 1);
	memset(j->sent, 0, sizeof j->sent);
}

static void test_keepalive(void **state)
{
	struct wg_join j;

	(void)state;
	connect_pair(&j, 1);
	/* The other side has received data and has nothing to say: one keepalive after 10 s, and that is all. */
	wg_join_run(&j, 9000);
	assert_int_equal(j.sent[WG_TRANSPORT], 0);
	wg_join_run(&j, 1100);
	assert_int_equal(j.sent[WG_TRANSPORT], 1);
	wg_join_run(&j, 100000);
	assert_int_equal(j.sent[WG_TRANSPORT], 1);
	assert_int_equal(j.sent[WG_INITIATION], 0);
	/* One-way traffic: a keepalive back each 10 s, no handshake for want of an answer. */
	for (int i = 0; i < 550; i++) {
		wg_join_send(&j, 1, 0, 50);
		wg_join_run(&j, 100);
	}
	assert_in_range(j.sent[WG_TRANSPORT], 550 + 5, 550 + 8);
	wg_join_done(&j);
}

static void test_idle_is_silent(void **state)
{
	struct wg_join j;
	unsigned wakeups = 0;

	(void)state;
	connect_pair(&j, 2);
	wg_join_run(&j, 20000);
	memset(j.sent, 0, sizeof j.sent);
	for (int64_t due; (due = wg_due_ms(j.end[0].wg)) < INT64_MAX; wakeups++) {
		assert_true(due > j.now_ms || wakeups == 0);
		wg_join_run(&j, due > j.now_ms ? due - j.now_ms : 0);
	}
	/* Down to no timer at all, with a handful of wake-ups, and the keys are gone. */
	assert_in_range(wakeups, 1, 5);
	assert_null(j.end[0].peer[1]->current);
	assert_null(j.end[0].peer[1]->previous);
	wg_join_run(&j, 600000);
	assert_null(j.end[1].peer[0]->current);
	assert_int_equal(j.end[0].wg->by_index.n, 0);
	assert_int_equal(j.end[1].wg->by_index.n, 0);
	assert_int_equal(j.sent[WG_INITIATION] + j.sent[WG_TRANSPORT], 0);
	wg_join_done(&j);
}

static void test_rekey_sending(void **state)
{
	struct wg_join j;
	struct wg_end *e;

	(void)state;
	connect_pair(&j, 3);
	e = &j.end[0];
	/* The initiator rekeys with the first packet after 120 s (up to 2.5 s later at one side); the responder never.
	 */
	wg_join_run(&j, 119000);
	wg_join_send(&j, 0, 1, 50);
	wg_join_run(&j, 100);
	assert_int_equal(j.sent[WG_INITIATION], 0);
	wg_join_run(&j, 4000);
	wg_join_send(&j, 1, 0, 50);
	wg_join_run(&j, 100);
	assert_int_equal(j.sent[WG_INITIATION], 0);
	wg_join_send(&j, 0, 1, 50);
	wg_join_run(&j, 100);
	assert_int_equal(j.sent[WG_INITIATION], 1);
	assert_int_equal(e->up, 2);
	assert_non_null(e->peer[1]->previous);
	wg_join_done(&j);
}

static void test_rekey_receiving(void **state)
{
	struct wg_join j;

	(void)state;
	connect_pair(&j, 4);
	/* Only the responder talks: the initiator's keepalives rekey from 120 s; drop them, and data at 165 s does. */
	wg_join_run(&j, 166000);
	memset(j.sent, 0, sizeof j.sent);
	wg_join_send(&j, 1, 0, 50);
	wg_join_run(&j, 100);
	assert_int_equal(j.sent[WG_INITIATION], 1);
	wg_join_send(&j, 1, 0, 50);
	wg_join_run(&j, 100);
	assert_int_equal(j.sent[WG_INITIATION], 1);
	wg_join_done(&j);
}

static void test_expired_keys(void **state)
{
	struct wg_join j;
	struct wg_keypair *k;

	(void)state;
	connect_pair(&j, 5);
	wg_join_run(&j, REJECT_AFTER_MS);
	assert_false(wg_join_send(&j, 1, 0, 50)); /* waits for new keys */
	wg_join_run(&j, 100);
	assert_int_equal(j.end[0].got, 1);
	assert_int_equal(j.sent[WG_INITIATION], 1);

	/* Used-up counters: rekey after 2^60, no sending at the limit, no receiving beyond it. */
	wg_join_run(&j, 6000);
	memset(j.sent, 0, sizeof j.sent);
	k = j.end[1].peer[0]->current;
	k->counter = REKEY_AFTER_MESSAGES;
	wg_join_send(&j, 1, 0, 50);
	wg_join_run(&j, 100);
	assert_int_equal(j.sent[WG_INITIATION], 1);
	wg_join_run(&j, 6000);
	k = j.end[1].peer[0]->current;
	k->counter = REJECT_AFTER_MESSAGES - 1;
	assert_true(wg_join_send(&j, 1, 0, 50));
	unsigned got = j.end[0].got;
	assert_false(wg_join_send(&j, 1, 0, 50));
	wg_join_run(&j, 100);
	assert_int_equal(j.end[0].got, got + 2);
	wg_join_done(&j);
}

static bool drop_all;
static bool one_way(struct wg_join *j, size_t from, size_t to, struct bytes m)
{
	(void)j, (void)to, (void)m;
	return !(drop_all && from == 1);
}

static void test_silence(void **state)
{
	struct wg_join j;

	(void)state;
	connect_pair(&j, 6);
	wg_join_run(&j, 20000);
	j.on_wire = one_way;
	drop_all = true;
	memset(j.sent, 0, sizeof j.sent);
	wg_join_send(&j, 0, 1, 50);
	wg_join_run(&j, 14900);
	assert_int_equal(j.sent[WG_INITIATION], 0);
	wg_join_run(&j, 500);
	assert_int_equal(j.sent[WG_INITIATION], 1);
	/* Then after 1 s and after 2 s, and every 5 s, with a third of a second of jitter. */
	wg_join_run(&j, 1400);
	assert_int_equal(j.sent[WG_INITIATION], 2);
	wg_join_run(&j, 2400);
	assert_int_equal(j.sent[WG_INITIATION], 3);
	wg_join_run(&j, 3900);
	assert_int_equal(j.sent[WG_INITIATION], 3);
	wg_join_run(&j, 13700);
	assert_in_range(j.sent[WG_INITIATION], 5, 6);
	drop_all = false;
	wg_join_run(&j, 5400);
	wg_join_send(&j, 0, 1, 50);
	wg_join_run(&j, 100);
	assert_int_equal(j.end[1].got, 3);
	wg_join_done(&j);
}

static void test_persistent(void **state)
{
	struct wg_join j;

	(void)state;
	connect_pair(&j, 7);
	wg_peer_set_keepalive(j.end[0].peer[1], 25, j.now_ms);
	wg_join_run(&j, 100);
	assert_int_equal(j.sent[WG_TRANSPORT], 1); /* at once */
	wg_join_run(&j, 1000000);
	assert_in_range(j.sent[WG_TRANSPORT], 38, 60);
	assert_true(wg_peer_status(j.end[0].peer[1], j.now_ms).has_session);
	wg_peer_set_keepalive(j.end[0].peer[1], 0, j.now_ms);
	memset(j.sent, 0, sizeof j.sent);
	wg_join_run(&j, 1000000);
	assert_int_equal(j.sent[WG_TRANSPORT], 0);
	wg_join_done(&j);
}

static void test_heap_is_lazy(void **state)
{
	struct wg_join j;
	int64_t due;

	(void)state;
	connect_pair(&j, 8);
	wg_join_send(&j, 0, 1, 50);
	due = wg_due_ms(j.end[0].wg);
	for (int i = 0; i < 50; i++) {
		wg_join_send(&j, 0, 1, 50);
		wg_join_send(&j, 1, 0, 50);
		wg_join_run(&j, 30);
		assert_true(wg_due_ms(j.end[0].wg) <= due || wg_due_ms(j.end[0].wg) > j.now_ms);
	}
	wg_join_done(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_idle_is_silent),
		cmocka_unit_test(test_rekey_sending),
		cmocka_unit_test(test_rekey_receiving),
		cmocka_unit_test(test_expired_keys),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_persistent),
		cmocka_unit_test(test_heap_is_lazy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
