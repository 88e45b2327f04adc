#include "derp/session.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

/* A host that admits everybody and keeps what it is told. */
static struct {
	struct session *s;
	unsigned clients, packets, activities, homes, pings, outputs, drops[3], watches, closes;
	bool home, hold;
	struct node_pub dst, src;
	uint8_t *last; /* owned: the last RecvPacket */
	size_t last_n;
	int64_t queued;
} h;

static void on_client(struct session *s, int64_t now_ms)
{
	h.clients++;
	if (!h.hold)
		session_admit(s, now_ms);
}
static void on_activity(struct session *s)
{
	(void)s;
	h.activities++;
}
static void on_packet(struct session *s, const struct node_pub *dst, struct session_packet pkt, int64_t now_ms)
{
	(void)s, (void)now_ms;
	h.packets++;
	h.dst = *dst;
	free(h.last);
	h.last = malloc(pkt.n);
	memcpy(h.last, pkt.p, pkt.n);
	h.last_n = pkt.n;
	free(pkt.base);
}
static void on_forward(struct session *s, const struct node_pub *src, const struct node_pub *dst, struct session_packet pkt,
	int64_t now_ms)
{
	h.src = *src;
	on_packet(s, dst, pkt, now_ms);
}
static void on_watch(struct session *s)
{
	(void)s;
	h.watches++;
}
static void on_close_peer(struct session *s, const struct node_pub *key)
{
	(void)s;
	h.closes++;
	h.dst = *key;
}
static void on_home(struct session *s, bool home)
{
	(void)s;
	h.homes++;
	h.home = home;
}
static void on_ping(struct session *s)
{
	(void)s;
	h.pings++;
}
static void on_output(struct session *s)
{
	(void)s;
	h.outputs++;
}
static void on_drop(struct session *s, enum session_drop why, const struct session_packet *pkt)
{
	(void)s, (void)pkt;
	h.drops[why]++;
}
static void on_queued(struct session *s, int64_t bytes)
{
	(void)s;
	h.queued += bytes;
	assert_true(h.queued >= 0);
}
static const struct session_host host = { on_client, on_activity, on_packet, on_forward, on_watch, on_close_peer,
	on_home, on_ping, on_output, on_drop, on_queued };

static struct node_key server, alice;
static struct node_pub bob;
static struct session_pool pool;
static json_t *vectors;

static void key_from(const char *name, struct node_key *k)
{
	json_t *o = json_object_get(json_object_get(vectors, "keys"), name);
	struct bytes b = test_unhex(json_string_value(json_object_get(o, "private")));

	memcpy(k->secret.b, b.p, 32);
	test_exact_free(b);
	node_key_derive(k);
}

static int setup(void **state)
{
	(void)state;
	free(h.last);
	memset(&h, 0, sizeof h);
	test_random_seed(7);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	session_pool_done(&pool);
	test_random_end();
	return 0;
}

static bool have_vectors(void)
{
	char path[512];

	if (vectors)
		return true;
	if (!test_shared("protocol/vectors/derp_clientinfo.json", path, sizeof path))
		return false;
	vectors = json_load_file(path, 0, NULL);
	assert_non_null(vectors);
	key_from("server", &server);
	key_from("alice", &alice);
	struct node_key b;
	key_from("bob", &b);
	bob = b.pub;
	return true;
}

#define NEED_VECTORS()                                                                                                 \
	if (!have_vectors()) {                                                                                         \
		print_message("no vectors: ../shared is not there\n");                                                 \
		skip();                                                                                                \
	}

/* Owned. */
static struct bytes frame_of(const char *list, const char *name)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(vectors, list), i, v)
		if (strcmp(json_string_value(json_object_get(v, "name")), name) == 0)
			return test_unhex(json_string_value(json_object_get(v, "frame")));
	fail_msg("no vector %s", name);
	return (struct bytes){ 0 };
}

/* Feeds an exact copy, cut into pieces of step bytes (0: whole). */
static void feed(struct session *s, struct bytes b, size_t step)
{
	for (size_t at = 0; at < b.n;) {
		struct bytes piece = test_exact(bytes_first(bytes_skip(b, at), step ? step : b.n));

		session_feed(s, (uint8_t *)(uintptr_t)piece.p, piece.n, 1000);
		session_settle(s);
		at += piece.n;
		test_exact_free(piece);
	}
}

static void feed_vector(struct session *s, const char *list, const char *name, size_t step)
{
	struct bytes b = frame_of(list, name);

	feed(s, b, step);
	test_exact_free(b);
}

static void open_session(struct session *s)
{
	static const char json[] = "{}";
	uint8_t out[1024], sealed[sizeof json - 1 + BOX_OVERHEAD], frame[256];
	struct writer w = wr_init(frame, sizeof frame);
	struct box_shared shared;

	if (!have_vectors() && node_pub_is_zero(&server.pub)) {
		node_key_new(&server);
		node_key_new(&alice);
	}
	assert_ok(box_shared_init(&shared, &alice.secret, server.pub.b));
	box_seal(&shared, bytes_str(json), sealed);
	derp_write_client_info(&w, &alice.pub, bytes_of(sealed, sizeof sealed));
	session_init(s, &host, &server, &pool, 1234, 1000);
	feed(s, wr_view(&w), 0);
	assert_int_equal(s->state, SESSION_OPEN);
	assert_true(session_pull(s, out, sizeof out) > 0);
	assert_false(session_has_output(s));
}

static void opening_matches_vectors(void **state)
{
	static const char *const good[] = { "client_info_plain", "client_info_mesh", "client_info_prober_app",
		"client_info_empty_object", "client_info_case_insensitive_names" };
	struct session s;
	uint8_t out[1024];

	(void)state;
	NEED_VECTORS();
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		for (size_t step = 0; step < 9; step++) {
			session_init(&s, &host, &server, &pool, 0, 0);
			struct bytes key = frame_of("handshake", "server_key");
			size_t n = session_pull(&s, out, sizeof out);
			assert_int_equal(n, key.n);
			assert_memory_equal(out, key.p, n);
			test_exact_free(key);

			feed_vector(&s, "handshake", good[i], step);
			assert_int_equal(s.state, SESSION_OPEN);
			assert_true(node_pub_eq(&s.key, &alice.pub));
			n = session_pull(&s, out, sizeof out);
			assert_int_equal(n, 5 + 53); /* the vector's ServerInfo, but for the nonce */
			assert_int_equal(out[0], DERP_SERVER_INFO);
			session_done(&s);
		}
	}
	assert_int_equal(h.queued, 0);
}

static void bad_openings_close(void **state)
{
	static const char *const bad[] = { "client_info_bad_tag", "client_info_55_bytes", "client_info_header_too_long",
		"client_info_wrong_type" };
	struct session s;

	(void)state;
	NEED_VECTORS();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		for (size_t step = 0; step < 3; step++) {
			session_init(&s, &host, &server, &pool, 0, 0);
			feed_vector(&s, "reject", bad[i], step);
			assert_int_equal(s.state, SESSION_CLOSED);
			session_done(&s);
		}
	}
	/* The zero key, for which anyone could seal. */
	struct bytes b = frame_of("handshake", "client_info_plain");
	uint8_t *zero = malloc(b.n);
	memcpy(zero, b.p, b.n);
	memset(zero + 5, 0, 32);
	session_init(&s, &host, &server, &pool, 0, 0);
	feed(&s, bytes_of(zero, b.n), 0);
	assert_int_equal(s.state, SESSION_CLOSED);
	session_done(&s);
	free(zero);
	test_exact_free(b);
	assert_int_equal(h.clients, 0);
	assert_int_equal(h.queued, 0);
}

static void handshake_has_a_deadline(void **state)
{
	struct session s;

	(void)state;
	node_key_new(&server);
	session_init(&s, &host, &server, &pool, 0, 0);
	session_tick(&s, SESSION_HANDSHAKE_MS - 1);
	assert_int_equal(s.state, SESSION_HELLO);
	assert_int_equal(session_due_ms(&s), SESSION_HANDSHAKE_MS);
	session_tick(&s, SESSION_HANDSHAKE_MS);
	assert_int_equal(s.state, SESSION_CLOSED);
	session_done(&s);
}

static void packets_come_out_rewritten(void **state)
{
	struct session s;

	(void)state;
	NEED_VECTORS();
	struct bytes want = frame_of("steady_state", "recv_packet_from_alice");
	for (size_t step = 0; step < 12; step++) {
		open_session(&s);
		feed_vector(&s, "steady_state", "send_packet_to_bob", step);
		assert_int_equal(h.packets, step + 1);
		assert_true(node_pub_eq(&h.dst, &bob));
		assert_int_equal(h.last_n, want.n);
		assert_memory_equal(h.last, want.p, want.n);
		session_done(&s);
	}
	test_exact_free(want);
	assert_int_equal(h.queued, 0);
}

/* Of a mesh peer, cut at any place; each closes another client by its header alone. */
static void frames_of_a_mesh_peer(void **state)
{
	static const uint8_t packet[] = "some packet";
	uint8_t bytes[512];
	struct writer w = wr_init(bytes, sizeof bytes);
	struct session s;

	(void)state;
	NEED_VECTORS();
	derp_write_watch_conns(&w);
	derp_write_forward_header(&w, &alice.pub, &bob, sizeof packet);
	wr_bytes(&w, bytes_of(packet, sizeof packet));
	derp_write_close_peer(&w, &bob);
	for (size_t step = 0; step < 12; step++) {
		open_session(&s);
		s.trusted = true;
		feed(&s, wr_view(&w), step);
		assert_int_equal(s.state, SESSION_OPEN);
		assert_int_equal(h.watches, step + 1);
		assert_int_equal(h.closes, step + 1);
		assert_int_equal(h.packets, step + 1);
		assert_true(node_pub_eq(&h.src, &alice.pub));
		assert_true(node_pub_eq(&h.dst, &bob));
		assert_int_equal(h.last_n, DERP_RECV_HEADER_LEN + sizeof packet);
		assert_memory_equal(h.last + DERP_RECV_HEADER_LEN, packet, sizeof packet);
		session_done(&s);
	}
	open_session(&s);
	feed(&s, wr_view(&w), 0);
	assert_int_equal(s.state, SESSION_CLOSED);
	session_done(&s);
	assert_int_equal(h.queued, 0);
}

static void every_client_frame(void **state)
{
	static const char *const closes[] = { "send_packet_31_bytes", "send_packet_over_max_header",
		"forward_without_mesh", "watch_conns_with_payload", "note_preferred_two_bytes", "ping_7_bytes",
		"ping_1001_header" };
	struct session s;
	uint8_t out[256];

	(void)state;
	NEED_VECTORS();
	open_session(&s);
	feed_vector(&s, "steady_state", "note_preferred_true", 1);
	assert_true(h.home);
	feed_vector(&s, "steady_state", "note_preferred_false", 0);
	assert_int_equal(h.homes, 2);
	feed_vector(&s, "steady_state", "unknown_type", 1);
	feed_vector(&s, "steady_state", "unknown_type", 0);
	feed_vector(&s, "steady_state", "pong", 0);
	assert_int_equal(h.activities, 5);
	assert_false(session_has_output(&s));

	/* One pong at a time: the second ping is not answered. */
	feed_vector(&s, "steady_state", "ping_extra_bytes", 3);
	feed_vector(&s, "steady_state", "ping", 0);
	struct bytes pong = frame_of("steady_state", "pong");
	assert_int_equal(session_pull(&s, out, sizeof out), pong.n);
	assert_memory_equal(out, pong.p, pong.n);
	test_exact_free(pong);
	assert_int_equal(h.pings, 2);
	session_done(&s);

	for (size_t i = 0; i < ARRAY_LEN(closes); i++) {
		open_session(&s);
		feed_vector(&s, "reject", closes[i], 0);
		assert_int_equal(s.state, SESSION_CLOSED);
		session_done(&s);
		open_session(&s);
		feed_vector(&s, "reject", closes[i], 1);
		assert_int_equal(s.state, SESSION_CLOSED);
		session_done(&s);
	}
	open_session(&s);
	feed_vector(&s, "reject", "send_packet_max_header_ok", 1);
	assert_int_equal(s.state, SESSION_OPEN);
	session_done(&s);
	/* An unknown frame of 2^31 bytes. */
	open_session(&s);
	feed(&s, bytes_of("\x7f\x80\0\0\0", 5), 0);
	assert_int_equal(s.state, SESSION_CLOSED);
	session_done(&s);
	assert_int_equal(h.queued, 0);
}

static void admission_holds_what_follows(void **state)
{
	struct session s;

	(void)state;
	NEED_VECTORS();
	h.hold = true;
	session_init(&s, &host, &server, &pool, 0, 0);
	feed_vector(&s, "handshake", "client_info_plain", 0);
	assert_int_equal(s.state, SESSION_ADMISSION);
	assert_false(session_wants_input(&s));
	feed_vector(&s, "steady_state", "send_packet_to_bob", 7);
	feed_vector(&s, "steady_state", "send_packet_empty", 0);
	assert_int_equal(h.packets, 0);
	session_admit(&s, 5);
	assert_int_equal(h.packets, 2);
	assert_int_equal(s.state, SESSION_OPEN);
	session_done(&s);

	/* Over the ceiling it closes. */
	session_init(&s, &host, &server, &pool, 0, 0);
	feed_vector(&s, "handshake", "client_info_plain", 0);
	uint8_t *much = calloc(1, SESSION_HELD_BYTES + 1);
	feed(&s, bytes_of(much, SESSION_HELD_BYTES + 1), 65536);
	free(much);
	assert_int_equal(s.state, SESSION_CLOSED);
	session_done(&s);
	assert_int_equal(h.queued, 0);
}

static struct session_packet packet(uint8_t mark, size_t n, bool disco)
{
	struct session_packet p = { .base = calloc(1, n), .n = (uint32_t)n, .disco = disco };

	p.p = p.base;
	memset(p.p, mark, n);
	return p;
}

static void queues_drop_the_oldest_and_serve_disco_first(void **state)
{
	struct session s;
	static uint8_t out[16384];

	(void)state;
	open_session(&s);
	for (unsigned i = 0; i < SESSION_PUSH_PACKETS - 1; i++)
		session_enqueue(&s, packet((uint8_t)i, 40, false));
	assert_false(session_is_pressed(&s));
	session_enqueue(&s, packet(0, 40, false));
	assert_true(session_is_pressed(&s));
	assert_int_equal(session_pull(&s, out, sizeof out), 40 * SESSION_PUSH_PACKETS);
	assert_false(session_is_pressed(&s));
	for (unsigned i = 0; i < SESSION_QUEUE_PACKETS + 5; i++)
		session_enqueue(&s, packet((uint8_t)i, 40, false));
	assert_int_equal(h.drops[SESSION_DROP_QUEUE_HEAD], 5);
	session_enqueue(&s, packet(0xd1, 40, true));
	assert_true(session_peer_gone(&s, &bob, DERP_GONE_DISCONNECTED));
	size_t n = session_pull(&s, out, sizeof out);
	assert_int_equal(n, 38 + 40 + 40 * SESSION_QUEUE_PACKETS);
	assert_int_equal(out[0], DERP_PEER_GONE);
	assert_int_equal(out[38], 0xd1);
	assert_int_equal(out[38 + 40], 5); /* 0 to 4 made room */
	assert_int_equal(out[n - 1], SESSION_QUEUE_PACKETS + 4);
	assert_int_equal(h.queued, 0);

	/* The ceiling in bytes acts before the one in packets. */
	for (unsigned i = 0; i < 20; i++)
		session_enqueue(&s, packet((uint8_t)i, 65536 + 37, false));
	assert_true(h.queued <= SESSION_QUEUE_BYTES);
	assert_true(h.drops[SESSION_DROP_QUEUE_HEAD] > 5);

	/* A packet larger than the record goes in pieces, and nothing comes between them. */
	size_t got = session_pull(&s, out, sizeof out);
	uint8_t first = out[0];
	assert_int_equal(got, sizeof out);
	session_enqueue(&s, packet(0xd2, 40, true));
	while (got < 65536 + 37) {
		n = session_pull(&s, out, MIN_OF(sizeof out, 65536 + 37 - got));
		assert_int_equal(out[0], first);
		assert_int_equal(out[n - 1], first);
		got += n;
	}
	session_pull(&s, out, sizeof out);
	assert_int_equal(out[0], 0xd2);
	session_close(&s, "end");
	assert_true(h.drops[SESSION_DROP_GONE] > 0);
	session_done(&s);
	assert_int_equal(h.queued, 0);
}

static void borrowed_packets_are_settled(void **state)
{
	struct session s;
	uint8_t out[4096], area[100];

	(void)state;
	open_session(&s);
	memset(area, 'a', sizeof area);
	session_enqueue(&s, (struct session_packet){ .p = area, .n = 50 });
	session_enqueue(&s, (struct session_packet){ .p = area + 50, .n = 50 });
	assert_int_equal(session_pull(&s, out, 20), 20); /* the first is partly out */
	session_settle(&s);
	memset(area, 'x', sizeof area);
	size_t n = session_pull(&s, out + 20, sizeof out - 20);
	assert_int_equal(n, 80);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(out[i], 'a');
	session_done(&s);
	assert_int_equal(h.queued, 0);
}

static void keepalive_health_restarting_drain(void **state)
{
	struct session s;
	uint8_t out[2048];

	(void)state;
	NEED_VECTORS();
	open_session(&s);
	assert_int_equal(session_due_ms(&s), 1000 + SESSION_KEEPALIVE_MS + 1234);
	session_tick(&s, session_due_ms(&s) - 1);
	assert_false(session_has_output(&s));
	session_tick(&s, session_due_ms(&s));
	assert_int_equal(session_pull(&s, out, sizeof out), 5);
	assert_memory_equal(out, "\x06\0\0\0\0", 5);

	assert_true(session_health(&s, BYTES_LIT("duplicate connection")));
	struct bytes want = frame_of("steady_state", "health_problem");
	assert_int_equal(session_pull(&s, out, sizeof out), want.n);
	assert_memory_equal(out, want.p, want.n);
	test_exact_free(want);

	session_drain(&s, 1500, 5000, 100000);
	want = frame_of("steady_state", "restarting");
	assert_int_equal(session_pull(&s, out, sizeof out), want.n);
	assert_memory_equal(out, want.p, want.n);
	test_exact_free(want);
	assert_int_equal(session_due_ms(&s), 101500);
	session_tick(&s, 101500);
	assert_int_equal(s.state, SESSION_CLOSED);
	session_done(&s);
}

static void notices_are_bounded(void **state)
{
	struct session s;
	unsigned n = 0;

	(void)state;
	open_session(&s);
	while (n < 10000 && session_peer_gone(&s, &bob, DERP_GONE_DISCONNECTED))
		n++;
	assert_int_equal(n, SESSION_CONTROL_BYTES / 38);
	assert_int_equal(s.state, SESSION_OPEN);
	session_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(opening_matches_vectors, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_openings_close, setup, teardown),
		cmocka_unit_test_setup_teardown(packets_come_out_rewritten, setup, teardown),
		cmocka_unit_test_setup_teardown(frames_of_a_mesh_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(every_client_frame, setup, teardown),
		cmocka_unit_test_setup_teardown(admission_holds_what_follows, setup, teardown),
		cmocka_unit_test_setup_teardown(queues_drop_the_oldest_and_serve_disco_first, setup, teardown),
		cmocka_unit_test_setup_teardown(borrowed_packets_are_settled, setup, teardown),
		cmocka_unit_test_setup_teardown(keepalive_health_restarting_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(notices_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(handshake_has_a_deadline, setup, teardown),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(h.last);
	json_decref(vectors);
	return failed;
}
