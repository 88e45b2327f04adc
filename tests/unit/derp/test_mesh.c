/* Relays of one region, joined in memory: what watchers hear, packets across, who is gone and who only moved. */
#include "derp/relay_mesh.h"

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "derp/mesh_link.h"
#include "tests/lib/derp_join.h"
#include "tests/lib/test.h"

enum { RELAYS = 3 };

struct site;
/* from's link to to: the client end that mesh_link.c would hold. */
struct link {
	struct site *from, *to;
	struct joined j;
	unsigned id;
	bool up;
};
struct site {
	struct node_key key;
	struct relay *relay;
	struct relay_worker *w;
	struct link link[RELAYS];
};

static struct site site[RELAYS];
static struct secret32 mesh_key;

static void wake(void *ctx)
{
	(void)ctx;
}

static void on_forward(void *ctx, struct bytes frame)
{
	struct link *l = ctx;

	if (l->up)
		assert_ok(derp_client_forward(&l->j.near, frame));
}

static void start(void)
{
	test_random_seed(5);
	random_fill(mesh_key.b, sizeof mesh_key.b);
	for (size_t i = 0; i < RELAYS; i++) {
		struct relay_opts o = { .workers = 1, .has_mesh_key = true, .mesh_key = mesh_key };

		site[i] = (struct site){ 0 };
		node_key_new(&site[i].key);
		o.key = site[i].key;
		assert_ok(relay_new(&o, &site[i].relay));
		assert_ok(relay_worker_new(site[i].relay, wake, NULL, &site[i].w));
		for (size_t k = 0; k < RELAYS; k++) {
			struct link *l = &site[i].link[k];

			*l = (struct link){ .from = &site[i], .to = &site[k] };
			if (k != i)
				assert_ok(relay_link_new(site[i].w, on_forward, l, &l->id));
		}
	}
}

/* Runs everything until nothing moves. */
static void settle(void)
{
	struct derp_client_event ev;
	unsigned idle = 0;

	for (unsigned turn = 0; idle < 2; turn++) { /* what a later one wrote is read by an earlier one in the next turn */
		bool moved = false;

		assert_true(turn < 1000);
		for (size_t i = 0; i < RELAYS; i++) {
			relay_worker_run(site[i].w, 0);
			relay_flush(site[i].w);
			for (size_t k = 0; k < RELAYS; k++) {
				struct link *l = &site[i].link[k];

				if (!l->up)
					continue;
				moved |= buf_len(&l->j.near.out) > 0;
				join_move(&l->j, 0);
				while (join_event(&l->j, &ev)) {
					moved = true;
					if (ev.kind == DERP_CLIENT_PEER_PRESENT && !(ev.present.flags & DERP_PRESENT_MESH))
						relay_link_came(site[i].w, l->id, &ev.present.key);
					else if (ev.kind == DERP_CLIENT_PEER_GONE)
						relay_link_left(site[i].w, l->id, &ev.gone.key);
				}
			}
		}
		idle = moved ? 0 : idle + 1;
	}
	for (size_t i = 0; i < RELAYS; i++) {
		relay_worker_run(site[i].w, 0);
		relay_flush(site[i].w);
	}
}

static void link_up(size_t from, size_t to)
{
	struct link *l = &site[from].link[to];

	join_connect_mesh(&l->j, site[to].w, &site[from].key, &mesh_key, 0);
	l->up = true;
	assert_ok(derp_client_watch(&l->j.near));
}

static void link_down(size_t from, size_t to)
{
	struct link *l = &site[from].link[to];

	if (!l->up)
		return;
	l->up = false;
	join_close(&l->j);
	relay_link_lost(site[from].w, l->id);
}

static void mesh_all(void)
{
	for (size_t i = 0; i < RELAYS; i++)
		for (size_t k = 0; k < RELAYS; k++)
			if (i != k)
				link_up(i, k);
	settle();
}

static void stop(void)
{
	for (size_t i = 0; i < RELAYS; i++)
		for (size_t k = 0; k < RELAYS; k++)
			link_down(i, k);
	settle();
	for (size_t i = 0; i < RELAYS; i++) {
		struct relay_stats s;

		relay_stats_read(site[i].relay, &s);
		assert_int_equal(s.connections, 0);
		assert_int_equal(s.watchers, 0);
		assert_int_equal(s.queued_bytes, 0);
		assert_int_equal(relay_remote_keys(site[i].relay), 0);
		relay_free(site[i].relay);
	}
	test_random_end();
}

static void send_to(struct joined *from, const struct node_pub *to, const char *text)
{
	assert_ok(derp_client_send(&from->near, to, bytes_str(text)));
	join_move(from, 0);
	settle();
}

static void expect_packet(struct joined *j, const struct node_pub *from, const char *text)
{
	struct derp_client_event ev;

	assert_true(join_event(j, &ev));
	assert_int_equal(ev.kind, DERP_CLIENT_PACKET);
	assert_true(node_pub_eq(&ev.packet.key, from));
	assert_true(bytes_eq(ev.packet.packet, bytes_str(text)));
}

static void expect_gone(struct joined *j, const struct node_pub *key)
{
	struct derp_client_event ev;

	assert_true(join_event(j, &ev));
	assert_int_equal(ev.kind, DERP_CLIENT_PEER_GONE);
	assert_true(node_pub_eq(&ev.gone.key, key));
	assert_int_equal(ev.gone.reason, DERP_GONE_DISCONNECTED);
}

static void expect_nothing(struct joined *j)
{
	struct derp_client_event ev;

	assert_false(join_event(j, &ev));
	assert_false(j->closed);
}

static void packets_cross(void **state)
{
	(void)state;
	struct joined a, b, c;

	start();
	join_connect(&a, site[0].w, NULL, 0); /* before the links: told in the list */
	mesh_all();
	join_connect(&b, site[1].w, NULL, 0); /* after: told as it comes */
	join_connect(&c, site[2].w, NULL, 0);
	settle();
	assert_int_equal(relay_remote_keys(site[0].relay), 2);
	send_to(&a, &b.key.pub, "there");
	expect_packet(&b, &a.key.pub, "there");
	send_to(&b, &a.key.pub, "and back");
	expect_packet(&a, &b.key.pub, "and back");
	send_to(&c, &b.key.pub, "");
	expect_packet(&b, &c.key.pub, "");
	expect_nothing(&a);
	expect_nothing(&c);
	join_close(&a), join_close(&b), join_close(&c);
	stop();
}

static void a_forwarded_packet_is_not_forwarded_again(void **state)
{
	(void)state;
	struct joined a, c;
	struct relay_stats s;

	start();
	link_up(0, 1), link_up(1, 2); /* 0 knows of nobody at 2 */
	join_connect(&a, site[0].w, NULL, 0);
	join_connect(&c, site[2].w, NULL, 0);
	settle();
	/* As a relay whose picture is old: it claims that c is at 1. */
	relay_link_came(site[0].w, site[0].link[1].id, &c.key.pub);
	send_to(&a, &c.key.pub, "round and round");
	expect_nothing(&c);
	relay_stats_read(site[1].relay, &s);
	assert_int_equal(s.forwarded_in, 1);
	assert_int_equal(s.forwarded_out, 0);
	assert_int_equal(s.dropped_unknown_dest_on_fwd, 1);
	join_close(&a), join_close(&c);
	stop();
}

static void who_leaves_the_region_is_gone_and_who_moves_is_not(void **state)
{
	(void)state;
	struct joined a, b, again;

	start();
	mesh_all();
	join_connect(&a, site[0].w, NULL, 0);
	join_connect(&b, site[1].w, NULL, 0);
	settle();
	send_to(&b, &a.key.pub, "hello");
	expect_packet(&a, &b.key.pub, "hello");
	/* b connects to a's relay as well, and leaves the other: nobody is told. */
	join_connect(&again, site[0].w, &b.key, 0);
	settle();
	join_close(&b);
	settle();
	expect_nothing(&a);
	send_to(&a, &again.key.pub, "here now");
	expect_packet(&again, &a.key.pub, "here now");
	send_to(&again, &a.key.pub, "yes");
	expect_packet(&a, &again.key.pub, "yes");
	/* And the other way: to relay 2 before it leaves relay 0. */
	join_connect(&b, site[2].w, &again.key, 0);
	settle();
	join_close(&again);
	settle();
	expect_nothing(&a);
	send_to(&a, &b.key.pub, "far");
	expect_packet(&b, &a.key.pub, "far");
	join_close(&b);
	settle();
	expect_gone(&a, &b.key.pub);
	expect_nothing(&a);
	join_close(&a);
	stop();
}

static void a_broken_link_forgets_its_keys(void **state)
{
	(void)state;
	struct joined a, b;

	start();
	mesh_all();
	join_connect(&a, site[0].w, NULL, 0);
	join_connect(&b, site[1].w, NULL, 0);
	settle();
	send_to(&b, &a.key.pub, "hello");
	expect_packet(&a, &b.key.pub, "hello");
	link_down(0, 1);
	settle();
	expect_gone(&a, &b.key.pub);
	assert_int_equal(relay_remote_keys(site[0].relay), 0);
	send_to(&a, &b.key.pub, "lost");
	expect_nothing(&b);
	link_up(0, 1);
	settle();
	send_to(&a, &b.key.pub, "found");
	expect_packet(&b, &a.key.pub, "found");
	join_close(&a), join_close(&b);
	stop();
}

static void a_mesh_peer_may_close_a_key(void **state)
{
	(void)state;
	struct joined a;

	start();
	mesh_all();
	join_connect(&a, site[0].w, NULL, 0);
	settle();
	assert_ok(derp_client_close_peer(&site[1].link[0].j.near, &a.key.pub));
	settle();
	assert_true(a.closed);
	assert_string_equal(a.why, "no longer admitted");
	join_close(&a);
	stop();
}

static void without_the_key_mesh_frames_close(void **state)
{
	(void)state;
	struct secret32 wrong;
	struct joined plain, guess;

	start();
	random_fill(wrong.b, sizeof wrong.b);
	join_connect(&plain, site[0].w, NULL, 0);
	join_connect_mesh(&guess, site[0].w, NULL, &wrong, 0); /* an ordinary client, as derper has it */
	assert_ok(derp_client_watch(&plain.near));
	join_move(&plain, 0);
	assert_true(plain.closed);
	assert_ok(derp_client_watch(&guess.near));
	join_move(&guess, 0);
	assert_true(guess.closed);
	join_close(&plain), join_close(&guess);
	stop();
}

static bool refuse_all(void *ctx, const struct node_pub *key, struct addr from)
{
	(void)ctx, (void)key, (void)from;
	return false;
}

static void mesh_peers_need_no_admission(void **state)
{
	(void)state;
	struct relay_opts o = { .workers = 1, .has_mesh_key = true, .admit = refuse_all };
	struct joined peer, client;
	struct relay *r;
	struct relay_worker *w;

	test_random_seed(9);
	random_fill(o.mesh_key.b, sizeof o.mesh_key.b);
	node_key_new(&o.key);
	assert_ok(relay_new(&o, &r));
	assert_ok(relay_worker_new(r, wake, NULL, &w));
	join_connect_mesh(&peer, w, NULL, &o.mesh_key, 0);
	join_open(&client, w, NULL, 0);
	relay_flush(w);
	struct derp_client_event ev;
	assert_false(join_event(&client, &ev));
	join_move(&client, 0);
	assert_true(client.closed);
	join_close(&peer), join_close(&client);
	relay_free(r);
	test_random_end();
}

/* A watcher that does not read is closed rather than left with a wrong picture; others go on. */
static void a_watcher_that_does_not_read_is_closed(void **state)
{
	(void)state;
	struct node_pub key;
	struct link *l;

	start();
	link_up(1, 0);
	settle();
	l = &site[1].link[0];
	l->j.stopped = true;
	random_fill(key.b, sizeof key.b);
	for (unsigned n = 0; n < SESSION_WATCH_BYTES / 38 + 2; n++)
		session_tell_left(relay_client_session(l->j.far), &key);
	relay_flush(site[0].w);
	assert_true(l->j.closed);
	assert_string_equal(l->j.why, "a mesh peer that does not read");
	stop();
}

/* As many keys as a large region has, to a link that reads them only afterwards. */
static void a_watcher_gets_long_lists(void **state)
{
	enum { KEYS = 400000 };
	uint8_t piece[16384];
	struct derp_client_event ev;
	struct derp_peer_present p = { .addr = { addr_v4(192, 0, 2, 1), 1 }, .flags = DERP_PRESENT_REGULAR };
	size_t n, got = 0;

	(void)state;
	start();
	link_up(1, 0);
	settle();
	struct link *l = &site[1].link[0];
	struct session *s = relay_client_session(l->j.far);
	l->j.stopped = true;
	for (uint32_t i = 0; i < KEYS; i++) {
		memcpy(p.key.b, &i, sizeof i);
		session_tell_came(s, &p);
	}
	assert_int_equal(s->state, SESSION_OPEN);
	while ((n = relay_client_pull(l->j.far, piece, sizeof piece))) {
		assert_ok(derp_client_feed(&l->j.near, bytes_of(piece, n)));
		while (join_event(&l->j, &ev)) {
			uint32_t i = (uint32_t)got++;

			assert_int_equal(ev.kind, DERP_CLIENT_PEER_PRESENT);
			assert_memory_equal(ev.present.key.b, &i, sizeof i);
		}
	}
	assert_int_equal(got, KEYS);
	l->j.stopped = false;
	stop();
}

static void targets(void **state)
{
	(void)state;
	struct mesh_target t;
	static const char *const bad[] = { "", ":443", "a b", "host:0", "host:65536", "host/", "host=sha256-raw:12", "[::1", "a\"b", "h/x:y" };

	assert_ok(mesh_target_parse(BYTES_LIT("derp2.example.com"), &t));
	assert_string_equal(t.host, "derp2.example.com");
	assert_string_equal(t.dial, "derp2.example.com");
	assert_int_equal(t.port, 443);
	assert_ok(mesh_target_parse(BYTES_LIT("derp2.example.com:8443/10.0.0.2:9443"), &t));
	assert_int_equal(t.port, 8443);
	assert_string_equal(t.dial, "10.0.0.2");
	assert_int_equal(t.dial_port, 9443);
	assert_ok(mesh_target_parse(BYTES_LIT("[2001:db8::1]:8443"), &t));
	assert_string_equal(t.host, "2001:db8::1");
	assert_int_equal(t.dial_port, 8443);
	assert_ok(mesh_target_parse(
		BYTES_LIT("192.0.2.7=sha256-raw:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"), &t));
	assert_string_equal(t.sha256_raw, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(mesh_target_parse(bytes_str(bad[i]), &t), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_cross),
		cmocka_unit_test(a_forwarded_packet_is_not_forwarded_again),
		cmocka_unit_test(who_leaves_the_region_is_gone_and_who_moves_is_not),
		cmocka_unit_test(a_broken_link_forgets_its_keys),
		cmocka_unit_test(a_mesh_peer_may_close_a_key),
		cmocka_unit_test(without_the_key_mesh_frames_close),
		cmocka_unit_test(mesh_peers_need_no_admission),
		cmocka_unit_test(a_watcher_that_does_not_read_is_closed),
		cmocka_unit_test(a_watcher_gets_long_lists),
		cmocka_unit_test(targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
