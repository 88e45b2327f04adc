/* The queue of handshakes: load, cookies, limits, replays. */
#include "client/wg/internal.h"

#include "common/base/random.h"
#include "tests/lib/wg_join.h"

/* An initiation that passes MAC1 and costs the responder a Diffie-Hellman: the flooder knows only the public key. */
static void flood_message(const struct node_pub *to, uint8_t m[WG_INITIATION_LEN])
{
	struct wg_initiation i;
	struct wg_signer s = { 0 };

	random_fill(&i, sizeof i);
	wg_write_initiation(&i, m);
	wg_sign(&s, to, m, WG_INITIATION_LEN, 1000);
}

static void give(struct wg_join *j, size_t to, struct bytes m, const struct wg_from *from)
{
	struct bytes copy = test_exact(m);
	struct wg_packet pkt = { .p = (uint8_t *)(uintptr_t)copy.p, .n = copy.n };

	wg_open(j->end[to].wg, from, &pkt, 1, j->now_ms);
	assert_int_equal(pkt.n, 0);
	test_exact_free(copy);
}

static void flood(struct wg_join *j, size_t to, unsigned n)
{
	uint8_t m[WG_INITIATION_LEN];
	struct wg_from from = wg_join_from(200);

	for (unsigned i = 0; i < n; i++) {
		flood_message(&j->end[to].key.pub, m);
		give(j, to, bytes_of(m, sizeof m), &from);
	}
}

static unsigned pull_all(struct wg_join *j, size_t i, enum wg_type type)
{
	struct wg_out out;
	unsigned n = 0;

	while (wg_pull(j->end[i].wg, j->now_ms, &out))
		n += out.p[0] == type;
	return n;
}

static void test_flood(void **state)
{
	struct wg_join j;
	const struct wg_stats *s;

	(void)state;
	wg_join_init(&j, 2, 1);
	s = wg_stats(j.end[1].wg);
	flood(&j, 1, 20);
	while (wg_step(j.end[1].wg, 4, j.now_ms))
		;
	assert_int_equal(s->unauthentic, 20); /* no load: each was looked at */
	assert_int_equal(pull_all(&j, 1, WG_COOKIE_REPLY), 0);

	flood(&j, 1, 1000);
	assert_int_equal(s->queue_full, 1000 - WG_QUEUE_MAX);
	assert_true(wg_step(j.end[1].wg, 10, j.now_ms));
	assert_int_equal(pull_all(&j, 1, WG_COOKIE_REPLY), 10);
	while (wg_step(j.end[1].wg, 1000, j.now_ms))
		;
	assert_int_equal(pull_all(&j, 1, WG_COOKIE_REPLY), WG_REPLIES_MAX); /* the rest had no room */
	assert_int_equal(s->unauthentic, 20);                               /* not one Diffie-Hellman more */

	/* Data flows through a flood, and a session can be made through it: the cookie comes back and opens the door.
	 */
	wg_join_send(&j, 0, 1, 100);
	for (int i = 0; i < 120; i++) {
		flood(&j, 1, 100);
		wg_join_run(&j, 100);
	}
	assert_int_equal(j.end[1].got, 1);
	assert_int_equal(j.sent[WG_INITIATION], 2 + (j.sent[WG_INITIATION] > 2));
	assert_true(j.end[0].peer[1]->signer.cookie_ms > 0);
	wg_join_done(&j);
}

static void test_limited(void **state)
{
	struct wg_join j;
	struct wg_from from = wg_join_from(0);
	struct wg_signer s = { 0 };
	struct wg_cookie_reply reply;
	uint8_t m[WG_INITIATION_LEN];

	(void)state;
	wg_join_init(&j, 2, 2);
	struct wg *wg = j.end[1].wg;
	/* A flooder that does receive where it sends from: it gets a cookie, and with it five at once and 20 a second.
	 */
	flood_message(&j.end[1].key.pub, m);
	wg_sign(&s, &j.end[1].key.pub, m, sizeof m, j.now_ms);
	assert_ok(wg_cookie_reply_make(&wg->checker, bytes_of(m, sizeof m), &from, j.now_ms, &reply));
	assert_ok(wg_cookie_accept(&s, &j.end[1].key.pub, &reply, j.now_ms));
	for (int i = 0; i < 100; i++) {
		flood_message(&j.end[1].key.pub, m);
		wg_sign(&s, &j.end[1].key.pub, m, sizeof m, j.now_ms);
		give(&j, 1, bytes_of(m, sizeof m), &from);
	}
	while (wg_step(wg, 10, j.now_ms))
		;
	/* Those that waited when the queue was down to an eighth still count as load, for a second. */
	assert_int_equal(wg_stats(wg)->unauthentic, WG_LIMIT_BURST);
	assert_int_equal(wg_stats(wg)->limited, 100 - WG_LIMIT_BURST);
	wg_join_done(&j);
}

static void test_replayed_initiation(void **state)
{
	struct wg_join j;
	struct wg_from from = wg_join_from(0);
	struct wg_out out;
	uint8_t first[WG_INITIATION_LEN], second[WG_INITIATION_LEN];

	(void)state;
	wg_join_init(&j, 2, 3);
	wg_peer_connect(j.end[0].peer[1], j.now_ms);
	assert_true(wg_pull(j.end[0].wg, j.now_ms, &out));
	memcpy(first, out.p, sizeof first);
	j.now_ms += 10;
	j.end[0].peer[1]->last_initiation_ms = 0;
	wg_peer_connect(j.end[0].peer[1], j.now_ms);
	assert_true(wg_pull(j.end[0].wg, j.now_ms, &out));
	memcpy(second, out.p, sizeof second);

	give(&j, 1, bytes_of(first, sizeof first), &from);
	wg_step(j.end[1].wg, 1, j.now_ms);
	assert_int_equal(pull_all(&j, 1, WG_RESPONSE), 1);
	j.now_ms += 30;
	give(&j, 1, bytes_of(first, sizeof first), &from); /* the same again */
	wg_step(j.end[1].wg, 1, j.now_ms);
	assert_int_equal(pull_all(&j, 1, WG_RESPONSE), 0);
	give(&j, 1, bytes_of(second, sizeof second), &from);
	wg_step(j.end[1].wg, 1, j.now_ms);
	assert_int_equal(pull_all(&j, 1, WG_RESPONSE), 1);
	assert_int_equal(wg_stats(j.end[1].wg)->stale_initiation, 1);
	wg_join_done(&j);
}

/* Newer timestamps, but nearer than 20 ms. */
static void test_apart(void **state)
{
	struct wg_join j;
	struct wg_from from = wg_join_from(0);
	struct wg_out out;
	uint8_t m[WG_INITIATION_LEN];

	(void)state;
	wg_join_init(&j, 2, 4);
	for (int i = 0; i < 5; i++) {
		j.end[0].peer[1]->last_initiation_ms = 0;
		wg_peer_connect(j.end[0].peer[1], j.now_ms);
		assert_true(wg_pull(j.end[0].wg, j.now_ms, &out));
		memcpy(m, out.p, sizeof m);
		give(&j, 1, bytes_of(m, sizeof m), &from);
		wg_step(j.end[1].wg, 1, j.now_ms);
	}
	assert_int_equal(pull_all(&j, 1, WG_RESPONSE), 1);
	assert_int_equal(wg_stats(j.end[1].wg)->stale_initiation, 4);
	wg_join_done(&j);
}

static void test_both_at_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct wg_join j;

		wg_join_init(&j, 2, seed);
		j.delay_ms = 40;
		j.jitter_ms = 20;
		wg_join_send(&j, 0, 1, 60);
		wg_join_run(&j, (int64_t)rng_below(&j.rng, 60));
		wg_join_send(&j, 1, 0, 60);
		wg_join_run(&j, 400);
		for (int i = 0; i < 20; i++) {
			wg_join_send(&j, 0, 1, 60);
			wg_join_send(&j, 1, 0, 60);
			wg_join_run(&j, 30);
		}
		wg_join_run(&j, 400);
		assert_int_equal(j.end[0].got, 21);
		assert_int_equal(j.end[1].got, 21);
		wg_join_done(&j);
	}
}

/* Responses to nothing of ours leave sessions alone. */
static void test_stray_responses(void **state)
{
	struct wg_join j;
	struct wg_from from = wg_join_from(0);
	struct wg_response r = { .receiver = 12345 };
	struct wg_signer s = { 0 };
	uint8_t m[WG_RESPONSE_LEN];

	(void)state;
	wg_join_init(&j, 2, 5);
	wg_join_send(&j, 0, 1, 60);
	wg_join_run(&j, 10);
	wg_write_response(&r, m);
	wg_sign(&s, &j.end[1].key.pub, m, sizeof m, j.now_ms);
	give(&j, 1, bytes_of(m, sizeof m), &from);
	r.receiver = j.end[1].peer[0]->current->slot.index; /* a session's, not a handshake's */
	wg_write_response(&r, m);
	wg_sign(&s, &j.end[1].key.pub, m, sizeof m, j.now_ms);
	give(&j, 1, bytes_of(m, sizeof m), &from);
	wg_step(j.end[1].wg, 10, j.now_ms);
	assert_int_equal(wg_stats(j.end[1].wg)->unknown_index, 2);
	wg_join_send(&j, 0, 1, 60);
	wg_join_run(&j, 10);
	assert_int_equal(j.end[1].got, 2);
	wg_join_done(&j);
}

/* One end restarts and hears data of the old session: told so, it starts a new one, but not more often than ever. */
static void test_restarted(void **state)
{
	struct wg_join j;

	(void)state;
	wg_join_init(&j, 2, 6);
	wg_join_send(&j, 0, 1, 60);
	wg_join_run(&j, 10);
	wg_join_restart(&j, 1, 1700000000000, (struct wg_timestamp){ 0 });
	wg_join_send(&j, 0, 1, 60);
	wg_join_run(&j, 10);
	assert_int_equal(wg_stats(j.end[1].wg)->unknown_index, 1);
	unsigned before = j.sent[WG_INITIATION], got = j.end[1].got;
	for (int i = 0; i < 5; i++) {
		wg_peer_regreet(j.end[1].peer[0], j.now_ms);
		wg_join_run(&j, 10);
	}
	assert_int_equal(j.sent[WG_INITIATION], before + 1);
	wg_join_send(&j, 0, 1, 60);
	wg_join_run(&j, 10);
	assert_int_equal(j.end[1].got, got + 1);
	wg_join_done(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_limited),
		cmocka_unit_test(test_replayed_initiation),
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_both_at_once),
		cmocka_unit_test(test_stray_responses),
		cmocka_unit_test(test_restarted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
