#include "derp/relay.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/derp_join.h"
#include "tests/lib/test.h"

static struct relay *relay;
static struct relay_worker *w;
static unsigned wakes;
static enum relay_verdict verdict;
static struct relay_ticket ticket;

static void wake(void *ctx)
{
	(void)ctx;
	wakes++;
}

static void start(const struct relay_opts *like)
{
	struct relay_opts o = like ? *like : (struct relay_opts){ 0 };

	test_random_seed(3);
	o.workers = 1;
	node_key_new(&o.key);
	assert_ok(relay_new(&o, &relay));
	assert_ok(relay_worker_new(relay, wake, NULL, &w));
	assert_int_equal(relay_worker_new(relay, wake, NULL, &w), ERR_STATE);
}

static void stop(void)
{
	struct relay_stats s;

	relay_stats_read(relay, &s);
	assert_int_equal(s.connections, 0);
	assert_int_equal(s.home_connections, 0);
	assert_int_equal(s.queued_bytes, 0);
	assert_int_equal(relay_count_keys(relay).keys, 0);
	assert_int_equal(relay_conns(relay), 0);
	relay_free(relay);
	test_random_end();
}

static struct relay_stats stats(void)
{
	struct relay_stats s;

	relay_stats_read(relay, &s);
	return s;
}

static void send_to(struct joined *from, const struct node_pub *to, struct bytes packet, int64_t now_ms)
{
	assert_ok(derp_client_send(&from->near, to, packet));
	join_move(from, now_ms);
}

static void expect_packet(struct joined *j, const struct node_pub *from, struct bytes packet)
{
	struct derp_client_event ev;

	assert_true(join_event(j, &ev));
	assert_int_equal(ev.kind, DERP_CLIENT_PACKET);
	assert_true(node_pub_eq(&ev.packet.key, from));
	assert_true(bytes_eq(ev.packet.packet, packet));
}

static void expect_gone(struct joined *j, const struct node_pub *key, enum derp_gone reason)
{
	struct derp_client_event ev;

	assert_true(join_event(j, &ev));
	assert_int_equal(ev.kind, DERP_CLIENT_PEER_GONE);
	assert_true(node_pub_eq(&ev.gone.key, key));
	assert_int_equal(ev.gone.reason, reason);
}

static void expect_nothing(struct joined *j)
{
	struct derp_client_event ev;

	assert_false(join_event(j, &ev));
}

static struct bytes disco_like(uint8_t out[80])
{
	memset(out, 0x33, 80);
	memcpy(out, "TS\xf0\x9f\x92\xac", 6);
	return bytes_of(out, 80);
}

static void packets_both_ways_at_every_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 61, 62, 1280, 16384, 65535, 65536 };
	struct joined a, b;
	struct test_rng rng = { 5 };
	uint8_t *p = malloc(DERP_PACKET_MAX);

	(void)state;
	start(NULL);
	join_connect(&a, w, NULL, 0);
	join_connect(&b, w, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (size_t step = 0; step < 3; step++) {
			a.step = step == 1 ? 997 : step == 2 ? 31 : 0; /* whole, and in pieces */
			rng_fill(&rng, p, sizes[i]);
			send_to(&a, &b.key.pub, bytes_of(p, sizes[i]), 1);
			expect_packet(&b, &a.key.pub, bytes_of(p, sizes[i]));
			expect_nothing(&b);
		}
		send_to(&b, &a.key.pub, bytes_of(p, sizes[i]), 1);
		expect_packet(&a, &b.key.pub, bytes_of(p, sizes[i]));
		send_to(&b, &b.key.pub, bytes_of(p, sizes[i]), 1); /* to oneself, like any other */
		expect_packet(&b, &b.key.pub, bytes_of(p, sizes[i]));
	}
	assert_int_equal(stats().packets_received, stats().packets_sent);
	assert_int_equal(stats().packets_received, ARRAY_LEN(sizes) * 5);

	/* 65537 bytes close the sender, and only it. */
	uint8_t head[DERP_RECV_HEADER_LEN];
	struct writer wr = wr_init(head, sizeof head);
	derp_write_header(&wr, DERP_SEND_PACKET, DERP_KEY_LEN + DERP_PACKET_MAX + 1);
	assert_false(wr.bad);
	buf_append(&a.near.out, wr_view(&wr));
	join_move(&a, 1);
	assert_true(a.closed);
	assert_false(b.closed);
	join_close(&a);
	relay_flush(w);
	expect_gone(&b, &a.key.pub, DERP_GONE_DISCONNECTED);
	join_close(&b);
	free(p);
	stop();
}

static void gone_is_told_to_those_who_heard(void **state)
{
	struct joined a, b, c;

	(void)state;
	start(NULL);
	join_connect(&a, w, NULL, 0);
	join_connect(&b, w, NULL, 0);
	join_connect(&c, w, NULL, 0);
	send_to(&a, &b.key.pub, BYTES_LIT("x"), 1);
	expect_packet(&b, &a.key.pub, BYTES_LIT("x"));
	join_close(&a);
	relay_flush(w);
	expect_gone(&b, &a.key.pub, DERP_GONE_DISCONNECTED);
	expect_nothing(&b);
	expect_nothing(&c); /* heard nothing of it */
	assert_int_equal(stats().peer_gone_disconnected, 1);
	join_close(&b);
	join_close(&c);
	stop();
}

static void not_here_only_for_disco_and_rarely(void **state)
{
	struct joined a;
	struct node_key nobody;
	uint8_t d[80];
	struct bytes disco = disco_like(d);

	(void)state;
	start(NULL);
	node_key_new(&nobody);
	join_connect(&a, w, NULL, 0);
	send_to(&a, &nobody.pub, BYTES_LIT("bulk"), 0);
	expect_nothing(&a);
	for (unsigned i = 0; i < 10; i++)
		send_to(&a, &nobody.pub, disco, 0);
	for (unsigned i = 0; i < RELAY_GONE_BURST; i++)
		expect_gone(&a, &nobody.pub, DERP_GONE_NOT_HERE);
	expect_nothing(&a);
	send_to(&a, &nobody.pub, disco, 999);
	expect_nothing(&a);
	for (unsigned i = 0; i < 3; i++)
		send_to(&a, &nobody.pub, disco, 1000);
	expect_gone(&a, &nobody.pub, DERP_GONE_NOT_HERE);
	expect_nothing(&a);
	assert_int_equal(stats().dropped_unknown_dest, 15);
	assert_int_equal(stats().peer_gone_not_here, 4);
	join_close(&a);
	stop();
}

static void the_active_one_of_several_gets_the_packets(void **state)
{
	struct joined a, b1, b2, b3;

	(void)state;
	start(NULL);
	join_connect(&a, w, NULL, 0);
	join_connect(&b1, w, NULL, 0);
	const struct node_key b = b1.key;
	join_connect(&b2, w, &b, 0);
	join_connect(&b3, w, &b, 0);
	assert_int_equal(relay_count_keys(relay).dup_conns, 3);

	send_to(&a, &b.pub, BYTES_LIT("1"), 1);
	expect_packet(&b3, &a.key.pub, BYTES_LIT("1")); /* the newest */
	expect_nothing(&b1);
	assert_ok(derp_client_note_preferred(&b1.near, true));
	join_move(&b1, 1);
	send_to(&a, &b.pub, BYTES_LIT("2"), 1);
	expect_packet(&b1, &a.key.pub, BYTES_LIT("2")); /* activity switches */
	expect_nothing(&b3);

	/* What b1 sent is remembered until the last of its key is gone. */
	send_to(&b1, &a.key.pub, BYTES_LIT("3"), 1);
	expect_packet(&a, &b.pub, BYTES_LIT("3"));
	join_close(&b1);
	relay_flush(w);
	expect_nothing(&a);
	send_to(&a, &b.pub, BYTES_LIT("4"), 1);
	expect_packet(&b3, &a.key.pub, BYTES_LIT("4"));
	join_close(&b3);
	send_to(&a, &b.pub, BYTES_LIT("5"), 1);
	expect_packet(&b2, &a.key.pub, BYTES_LIT("5"));
	join_close(&b2);
	relay_flush(w);
	expect_gone(&a, &b.pub, DERP_GONE_DISCONNECTED);
	join_close(&a);
	stop();
}

/* One read that holds more for a receiver than its queue may: all of it arrives, for the queue is pulled as it fills. */
static void a_large_read_loses_nothing(void **state)
{
	enum { PACKETS = 1000 };
	static const uint8_t packet[150];
	struct joined a, b;
	struct derp_client_event ev;
	unsigned came = 0;

	(void)state;
	start(NULL);
	join_connect(&a, w, NULL, 0);
	join_connect(&b, w, NULL, 0);
	for (unsigned i = 0; i < PACKETS; i++)
		assert_ok(derp_client_send(&a.near, &b.key.pub, bytes_of(packet, sizeof packet)));
	join_move(&a, 0);
	while (join_event(&b, &ev))
		came += ev.kind == DERP_CLIENT_PACKET;
	assert_int_equal(came, PACKETS);
	assert_int_equal(relay_client_pause_ms(a.far, 0), 0);
	join_close(&a), join_close(&b);
	stop();
}

/* Who sends to a receiver that takes no more is read from only now and then; others are not held back. */
static void senders_to_a_stopped_receiver_yield(void **state)
{
	static const uint8_t packet[1400];
	struct joined a, b, c;

	(void)state;
	start(NULL);
	join_connect(&a, w, NULL, 0);
	join_connect(&b, w, NULL, 0);
	join_connect(&c, w, NULL, 0);
	b.stopped = true;
	relay_client_blocked(b.far, true);
	for (unsigned i = 0; i < 2 * SESSION_QUEUE_PACKETS; i++)
		assert_ok(derp_client_send(&a.near, &b.key.pub, bytes_of(packet, sizeof packet)));
	join_move(&a, 100);
	assert_int_equal(relay_client_pause_ms(a.far, 100), RELAY_YIELD_MS);
	assert_int_equal(relay_client_pause_ms(a.far, 100 + RELAY_YIELD_MS), 0);
	assert_int_equal(stats().yields, 1);
	send_to(&c, &a.key.pub, bytes_of(packet, sizeof packet), 100);
	assert_int_equal(relay_client_pause_ms(c.far, 100), 0);
	expect_packet(&a, &c.key.pub, bytes_of(packet, sizeof packet));
	join_close(&a), join_close(&b), join_close(&c);
	stop();
}

static void send_bytes(struct joined *from, const struct node_pub *to, size_t n, int64_t now_ms)
{
	static const uint8_t zeros[1000];

	for (size_t at = 0; at < n; at += sizeof zeros)
		assert_ok(derp_client_send(&from->near, to, bytes_of(zeros, sizeof zeros)));
	join_move(from, now_ms);
}

static void rates_pause_reading(void **state)
{
	struct relay_opts o = { .limits = { .client_rate = 100000, .client_burst = 200000 } };
	struct joined a, b;

	(void)state;
	start(&o);
	join_connect(&a, w, NULL, 0);
	join_connect(&b, w, NULL, 0);
	send_bytes(&a, &b.key.pub, 150000, 1000); /* within the burst */
	assert_int_equal(relay_client_pause_ms(a.far, 1000), 0);
	send_bytes(&a, &b.key.pub, 150000, 1000);
	int64_t ms = relay_client_pause_ms(a.far, 1000);
	assert_int_equal(ms, RELAY_PAUSE_MAX_MS); /* 111,000 bytes too many, with headers; it is looked at again then */
	assert_in_range(relay_client_pause_ms(a.far, 1000 + ms), 50, 200);
	assert_int_equal(relay_client_pause_ms(a.far, 1000 + 1200), 0);
	assert_int_equal(relay_client_pause_ms(b.far, 1000), 0);
	/* A rest of any length brings no more than the burst. */
	send_bytes(&a, &b.key.pub, 250000, 1000000000);
	assert_true(relay_client_pause_ms(a.far, 1000000000) > 0);

	/* Live: no limit any more, then one for all together. */
	relay_set_limits(relay, &(struct relay_limits){ 0 });
	assert_int_equal(relay_client_pause_ms(a.far, 1000000000), 0);
	relay_set_limits(relay, &(struct relay_limits){ .total_rate = 1000000 });
	send_bytes(&a, &b.key.pub, 300000, 1000000001);
	send_bytes(&b, &a.key.pub, 300000, 1000000001);
	assert_true(relay_client_pause_ms(a.far, 1000000001) > 0);
	assert_true(relay_client_pause_ms(b.far, 1000000001) > 0);
	assert_true(stats().rate_pauses > 0);
	join_close(&a), join_close(&b);
	stop();
}

/* What brings nobody a packet is read only so fast; packets that arrive are not counted. */
static void frames_of_no_use_pause_reading(void **state)
{
	struct joined a, b;
	struct node_key nobody;

	(void)state;
	start(NULL);
	join_connect(&a, w, NULL, 0);
	join_connect(&b, w, NULL, 0);
	node_key_new(&nobody);
	for (unsigned i = 0; i < 2 * RELAY_IDLE_BURST; i++) {
		send_to(&a, &b.key.pub, BYTES_LIT("hello"), 1000);
		expect_packet(&b, &a.key.pub, BYTES_LIT("hello"));
	}
	assert_int_equal(relay_client_pause_ms(a.far, 1000), 0);

	for (unsigned i = 0; i < RELAY_IDLE_BURST; i++)
		send_to(&a, &nobody.pub, BYTES_LIT("hello"), 1000);
	assert_int_equal(relay_client_pause_ms(a.far, 1000), 0);
	for (unsigned i = 0; i < RELAY_IDLE_RATE / 10; i++)
		send_to(&a, &nobody.pub, BYTES_LIT("hello"), 1000);
	assert_int_equal(relay_client_pause_ms(a.far, 1000), 100);
	assert_int_equal(relay_client_pause_ms(a.far, 1040), 60);
	assert_int_equal(relay_client_pause_ms(a.far, 1100), 0);
	assert_int_equal(relay_client_pause_ms(b.far, 1000), 0);
	assert_int_equal(stats().idle_pauses, 2);

	/* Pings, and frames of the future, whole and in pieces. */
	for (unsigned i = 0; i < RELAY_IDLE_BURST + RELAY_IDLE_RATE / 100; i++) {
		uint8_t frame[] = { i % 2 ? DERP_PING : 0x77, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8 };

		if (i % 3) {
			relay_client_feed(b.far, frame, sizeof frame, 2000);
		} else {
			relay_client_feed(b.far, frame, 7, 2000);
			relay_client_feed(b.far, frame + 7, sizeof frame - 7, 2000);
		}
	}
	assert_int_equal(relay_client_pause_ms(b.far, 2000), 10);
	join_close(&a), join_close(&b);
	stop();
}

static void too_many_with_one_key(void **state)
{
	struct joined j[DIRECTORY_CONNS_PER_KEY + 1];
	struct derp_client_event ev;

	(void)state;
	start(NULL);
	for (unsigned i = 0; i < DIRECTORY_CONNS_PER_KEY; i++)
		join_connect(&j[i], w, i ? &j[0].key : NULL, 0);
	struct joined *last = &j[DIRECTORY_CONNS_PER_KEY];
	join_open(last, w, &j[0].key, 0);
	relay_flush(w);
	assert_false(join_event(last, &ev));
	join_move(last, 0);
	assert_true(last->closed);
	for (unsigned i = 0; i < ARRAY_LEN(j); i++)
		join_close(&j[i]);
	stop();
}

static void a_stopped_reader_costs_its_own_queue_only(void **state)
{
	struct joined a, slow, b;
	uint8_t p[1400] = { 0 };

	(void)state;
	start(NULL);
	join_connect(&a, w, NULL, 0);
	join_connect(&slow, w, NULL, 0);
	join_connect(&b, w, NULL, 0);
	slow.stopped = true;
	for (unsigned i = 0; i < 500; i++) {
		p[0] = (uint8_t)i;
		send_to(&a, &slow.key.pub, bytes_of(p, sizeof p), 1);
		send_to(&a, &b.key.pub, bytes_of(p, sizeof p), 1);
		expect_packet(&b, &a.key.pub, bytes_of(p, sizeof p));
	}
	assert_int_equal(stats().dropped_queue_head, 500 - SESSION_QUEUE_PACKETS);
	assert_int_equal(stats().queued_bytes, SESSION_QUEUE_PACKETS * (sizeof p + DERP_RECV_HEADER_LEN));
	slow.stopped = false;
	send_to(&a, &slow.key.pub, bytes_of(p, sizeof p), 1); /* pushes */
	for (unsigned i = 500 - SESSION_QUEUE_PACKETS + 1; i < 500; i++) {
		p[0] = (uint8_t)i;
		expect_packet(&slow, &a.key.pub, bytes_of(p, sizeof p));
	}
	expect_packet(&slow, &a.key.pub, bytes_of(p, sizeof p));
	join_close(&slow);
	join_close(&a);
	join_close(&b);
	stop();
}

static enum relay_verdict ask(void *ctx, const struct node_pub *key, struct addr from, struct relay_ticket t)
{
	(void)ctx, (void)key;
	assert_true(addr_eq(from, addr_v4(192, 0, 2, 1)));
	ticket = t;
	return verdict;
}

static void admission_now_or_later(void **state)
{
	struct joined a, b, c;
	struct derp_client_event ev;

	(void)state;
	start(&(struct relay_opts){ .ask = ask });
	verdict = RELAY_DENY;
	join_open(&a, w, NULL, 0);
	relay_flush(w);
	expect_nothing(&a);
	join_move(&a, 0);
	assert_true(a.closed);
	assert_int_equal(stats().refused_admission, 1);

	verdict = RELAY_LATER;
	join_open(&b, w, NULL, 0);
	relay_flush(w);
	expect_nothing(&b);
	assert_ok(derp_client_send(&b.near, &b.key.pub, BYTES_LIT("early")));
	join_move(&b, 0);
	expect_nothing(&b);
	assert_ok(relay_admit_done(relay, ticket, true));
	assert_int_equal(wakes, 1);
	relay_worker_run(w, 1);
	relay_flush(w);
	assert_true(join_event(&b, &ev));
	assert_int_equal(ev.kind, DERP_CLIENT_CONNECTED);
	expect_packet(&b, &b.key.pub, BYTES_LIT("early"));

	/* Revoked while it is asked for: the late yes does not let it in. */
	join_open(&c, w, NULL, 0);
	relay_flush(w);
	expect_nothing(&c);
	join_move(&c, 0);
	assert_ok(relay_close_key(relay, &c.key.pub));
	assert_ok(relay_admit_done(relay, ticket, true));
	relay_worker_run(w, 1);
	relay_flush(w);
	assert_true(c.closed);
	assert_false(b.closed);

	assert_ok(relay_close_key(relay, &b.key.pub));
	relay_worker_run(w, 1);
	relay_flush(w);
	assert_true(b.closed);
	join_close(&a);
	join_close(&b);
	join_close(&c);
	assert_ok(relay_admit_done(relay, ticket, true)); /* too late: nobody there */
	relay_worker_run(w, 1);
	stop();
}

static void limits_refuse(void **state)
{
	struct joined a, b, c;
	struct relay_client_opts o = { .peer = { addr_v4(192, 0, 2, 1), 9 } };
	struct relay_client *more;

	(void)state;
	start(&(struct relay_opts){ .limits = { .max_conns = 3, .max_conns_per_addr = 2 } });
	join_connect(&a, w, NULL, 0);
	join_connect(&b, w, NULL, 0);
	assert_int_equal(relay_client_new(w, &o, 0, &more), ERR_BUSY);
	join_close(&b);
	join_connect(&c, w, NULL, 0);
	assert_int_equal(stats().refused_limit, 1);
	join_close(&a);
	join_close(&c);
	stop();
}

static void memory_in_all_is_bounded(void **state)
{
	struct joined a, b, s[8];
	uint8_t p[1400] = { 0 };

	(void)state;
	start(&(struct relay_opts){ .limits = { .max_queued_bytes = 100000 } });
	join_connect(&a, w, NULL, 0);
	join_connect(&b, w, NULL, 0);
	for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
		join_connect(&s[i], w, NULL, 0);
		s[i].stopped = true;
		relay_client_blocked(s[i].far, true);
	}
	for (unsigned i = 0; i < 400; i++)
		send_to(&a, &s[i % ARRAY_LEN(s)].key.pub, bytes_of(p, sizeof p), 1);
	assert_true(stats().queued_bytes < 100000 + 2 * sizeof p);
	uint64_t shed = stats().dropped_queue_tail;
	assert_true(shed > 0);
	/* Who reads is as well off as ever. */
	send_to(&a, &b.key.pub, BYTES_LIT("hello"), 1);
	expect_packet(&b, &a.key.pub, BYTES_LIT("hello"));
	assert_int_equal(stats().dropped_queue_tail, shed);
	join_close(&s[0]);
	/* What an owner keeps for a client counts as well. */
	relay_client_holds(b.far, 50000);
	uint64_t before = stats().queued_bytes;
	relay_client_holds(b.far, 70000);
	assert_int_equal(stats().queued_bytes, before + 20000);
	for (unsigned i = 0; i < 20; i++)
		send_to(&a, &s[1].key.pub, bytes_of(p, sizeof p), 1);
	assert_true(stats().dropped_queue_tail >= shed + 19);
	relay_client_holds(b.far, 1);
	join_close(&a), join_close(&b); /* with that one */
	for (unsigned i = 1; i < ARRAY_LEN(s); i++)
		join_close(&s[i]);
	stop();
}

static void health_and_draining(void **state)
{
	struct joined a;
	struct derp_client_event ev;
	struct relay_client_opts o = { 0 };
	struct relay_client *more;

	(void)state;
	start(NULL);
	join_connect(&a, w, NULL, 0);
	assert_ok(relay_health(relay, BYTES_LIT("disk full")));
	relay_worker_run(w, 10);
	relay_flush(w);
	assert_true(join_event(&a, &ev));
	assert_int_equal(ev.kind, DERP_CLIENT_HEALTH);
	assert_true(bytes_eq_str(ev.health, "disk full"));
	assert_ok(relay_drain(relay, 5000, 10000));
	relay_worker_run(w, 10);
	relay_flush(w);
	assert_true(join_event(&a, &ev));
	assert_int_equal(ev.kind, DERP_CLIENT_RESTARTING);
	assert_true(ev.restarting.reconnect_in_ms < 5000);
	assert_int_equal(relay_client_new(w, &o, 0, &more), ERR_BUSY);
	struct session *s = relay_client_session(a.far);
	session_tick(s, 10 + ev.restarting.reconnect_in_ms);
	relay_flush(w);
	assert_true(a.closed);
	join_close(&a);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_both_ways_at_every_size),
		cmocka_unit_test(gone_is_told_to_those_who_heard),
		cmocka_unit_test(not_here_only_for_disco_and_rarely),
		cmocka_unit_test(the_active_one_of_several_gets_the_packets),
		cmocka_unit_test(a_large_read_loses_nothing),
		cmocka_unit_test(senders_to_a_stopped_receiver_yield),
		cmocka_unit_test(rates_pause_reading),
		cmocka_unit_test(frames_of_no_use_pause_reading),
		cmocka_unit_test(too_many_with_one_key),
		cmocka_unit_test(a_stopped_reader_costs_its_own_queue_only),
		cmocka_unit_test(admission_now_or_later),
		cmocka_unit_test(limits_refuse),
		cmocka_unit_test(memory_in_all_is_bounded),
		cmocka_unit_test(health_and_draining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
