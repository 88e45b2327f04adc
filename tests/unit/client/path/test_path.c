/* The path engine against a hand-held peer that can say anything: the rules of disco.md 4 and 7, its checklist (17), and
 * what strangers cannot do. tests/sim/sim_path.c joins two engines on all kinds of networks. */
#include <stdio.h>

#include "client/path/path.h"
#include "common/wire/stun.h"
#include "tests/lib/test.h"

enum { HOME = 3 };

struct fix {
	struct path *p;
	struct path_peer *peer;
	struct node_pub self, key;
	struct disco_key ours, theirs;
	int64_t now_us;
};

static struct addrport at(const char *text)
{
	struct addrport a;

	assert_ok(addrport_parse(bytes_str(text), &a));
	return a;
}

static void start(struct fix *f, const char *endpoint)
{
	struct path_region r = { .id = HOME };
	struct addrport e, local = at("192.168.7.7:41641");

	memset(f, 0, sizeof *f);
	test_random_seed(5);
	f->now_us = 5000000;
	memset(f->self.b, 0x11, 32);
	memset(f->key.b, 0x22, 32);
	disco_key_new(&f->ours);
	disco_key_new(&f->theirs);
	assert_ok(path_new(&(struct path_config){ .key = f->self, .disco = &f->ours, .now_us = f->now_us }, &f->p));
	path_set_local(f->p, &local, 1, false, f->now_us);
	assert_ok(path_set_regions(f->p, &r, 1, f->now_us));
	struct path_peer_config c = { .key = f->key, .disco = f->theirs.pub, .home = HOME };
	if (endpoint) {
		e = at(endpoint);
		c.endpoints = &e;
		c.n_endpoints = 1;
	}
	assert_ok(path_set_peer(f->p, &c, f->now_us, &f->peer));
	/* The first report, which finds no STUN in this map. */
	for (int i = 0; i < 100; i++)
		path_tick(f->p, f->now_us += 60000);
}
static void stop(struct fix *f)
{
	path_free(f->p);
	test_random_end();
}

/* A message of theirs, sealed with key, as it arrives. */
static enum path_got say(struct fix *f, const struct disco_key *key, const struct disco_message *m, struct path_from from)
{
	uint8_t plain[DISCO_MESSAGE_MAX + 1500], packet[DISCO_OVERHEAD + sizeof plain];
	struct writer w = wr_init(plain, sizeof plain), out = wr_init(packet, sizeof packet);
	struct box_shared s;

	disco_write_message(&w, m);
	disco_write_envelope(&out, &key->pub);
	assert_ok(box_shared_init(&s, &key->secret, f->ours.pub.b));
	assert_false(w.bad);
	box_seal(&s, wr_view(&w), wr_room(&out, w.n + BOX_OVERHEAD));
	struct bytes b = test_exact(wr_view(&out));
	enum path_got got = path_recv(f->p, &from, b, f->now_us);
	test_exact_free(b);
	return got;
}
static struct path_from by_udp(const char *text)
{
	return (struct path_from){ .addr = at(text) };
}
static struct path_from by_derp(const struct node_pub *key)
{
	return (struct path_from){ .region = HOME, .key = *key };
}

/* The next disco message that the engine sends, opened as the peer does. False: none. */
static bool hear(struct fix *f, struct disco_message *m, struct path_out *o)
{
	uint8_t plain[4096];
	struct disco_envelope e;
	struct box_shared s;

	if (!path_pull(f->p, o))
		return false;
	assert_ok(disco_parse_envelope(o->packet, &e));
	assert_true(disco_pub_eq(&e.sender, &f->ours.pub));
	assert_ok(box_shared_init(&s, &f->theirs.secret, f->ours.pub.b));
	assert_ok(box_open(&s, e.sealed, plain));
	assert_ok(disco_parse_message(bytes_of(plain, e.sealed.n - BOX_OVERHEAD), m));
	return true;
}
static unsigned count_heard(struct fix *f, enum disco_type type)
{
	struct disco_message m;
	struct path_out o;
	unsigned n = 0;

	while (hear(f, &m, &o))
		n += m.type == type;
	return n;
}
static struct path_route route(struct fix *f)
{
	struct path_route r;

	path_route(f->peer, f->now_us, &r);
	return r;
}
static void pass_ms(struct fix *f, int64_t ms)
{
	int64_t end = f->now_us + ms * 1000;

	while (f->now_us < end) {
		int64_t due = path_due_ms(f->p);

		f->now_us = due < end / 1000 && due * 1000 > f->now_us ? due * 1000 : end;
		path_tick(f->p, f->now_us);
	}
}
static struct disco_message ping_of(uint8_t n, const struct node_pub *key)
{
	struct disco_message m = { .type = DISCO_PING };

	memset(m.ping.txid.b, n, sizeof m.ping.txid.b);
	m.ping.has_node_key = true;
	m.ping.node_key = *key;
	return m;
}
static struct disco_message pong_to(const struct disco_message *ping)
{
	struct disco_message m = { .type = DISCO_PONG };

	m.pong.txid = ping->ping.txid;
	m.pong.src = at("7.7.7.7:7");
	return m;
}

static unsigned count_nudges(struct fix *f)
{
	struct path_event ev;
	unsigned n = 0;

	while (path_next_event(f->p, &ev))
		n += ev.kind == PATH_EV_NUDGE && ev.peer == f->peer;
	return n;
}

/* The relay does not know it (yet): the handshake is nudged a few times, until the peer speaks, and not for ever. */
static void test_gone(void **state)
{
	struct fix f;
	struct disco_message ping;
	unsigned n = 0;

	(void)state;
	start(&f, "5.5.5.5:55");
	path_peer_gone(f.p, HOME, &f.key, f.now_us); /* idle: nothing to try again */
	pass_ms(&f, 5000);
	assert_int_equal(count_nudges(&f), 0);
	route(&f);
	count_nudges(&f);
	path_peer_gone(f.p, HOME + 1, &f.key, f.now_us); /* not its home: says nothing */
	pass_ms(&f, 200);
	assert_int_equal(count_nudges(&f), 0);
	for (int i = 0; i < 40; i++) { /* 4 s */
		path_peer_gone(f.p, HOME, &f.key, f.now_us);
		pass_ms(&f, 100);
		n += count_nudges(&f);
	}
	assert_int_equal(n, 6);
	pass_ms(&f, 60000);
	route(&f);
	count_nudges(&f);
	path_peer_gone(f.p, HOME, &f.key, f.now_us);
	pass_ms(&f, 10);
	ping = ping_of(1, &f.key);
	assert_int_equal(say(&f, &f.theirs, &ping, by_udp("5.5.5.5:55")), PATH_TAKEN);
	assert_int_equal(count_nudges(&f), 1); /* it is there */
	pass_ms(&f, 3000);
	assert_int_equal(count_nudges(&f), 0);
	stop(&f);
}

/* First packet: DERP carries it, and at once a ping to the endpoint and a CallMeMaybe by DERP. A pong makes it direct. */
static void test_first_packet(void **state)
{
	struct fix f;
	struct disco_message ping, call;
	struct path_out o;
	struct path_event ev;

	(void)state;
	start(&f, "5.5.5.5:55");
	assert_int_equal(path_due_ms(f.p), INT64_MAX); /* nothing to do */
	struct path_route r = route(&f);
	assert_int_equal(r.udp.addr.family, 0);
	assert_int_equal(r.region, HOME);
	assert_true(hear(&f, &ping, &o));
	assert_int_equal(ping.type, DISCO_PING);
	assert_true(ping.ping.has_node_key && node_pub_eq(&ping.ping.node_key, &f.self));
	assert_true(addrport_eq(o.to, at("5.5.5.5:55")));
	assert_true(hear(&f, &call, &o));
	assert_int_equal(call.type, DISCO_CALL_ME_MAYBE);
	assert_int_equal(o.to.addr.family, 0);
	assert_int_equal(o.region, HOME);
	assert_true(node_pub_eq(&o.key, &f.key));
	assert_int_equal(call.endpoints.n, 1);
	assert_true(addrport_eq(call.endpoints.at[0], at("192.168.7.7:41641")));
	assert_false(hear(&f, &ping, &o));

	f.now_us += 1500;
	struct disco_message pong = pong_to(&ping);
	assert_int_equal(say(&f, &f.theirs, &pong, by_udp("5.5.5.5:55")), PATH_TAKEN);
	r = route(&f);
	assert_true(addrport_eq(r.udp, at("5.5.5.5:55")));
	assert_int_equal(r.region, 0);
	bool changed = false, nudged = false;
	while (path_next_event(f.p, &ev)) {
		changed |= ev.kind == PATH_EV_CHANGED && ev.peer == f.peer;
		nudged |= ev.kind == PATH_EV_NUDGE && ev.peer == f.peer;
	}
	assert_true(changed && nudged);
	/* The same pong again, or from a relay, proves nothing: trust runs out, and traffic goes both ways, then by DERP. */
	f.now_us += 6400000;
	assert_int_equal(say(&f, &f.theirs, &pong, by_udp("5.5.5.5:55")), PATH_TAKEN);
	f.now_us += 200000;
	r = route(&f);
	assert_int_equal(r.udp.addr.family, 4);
	assert_int_equal(r.region, HOME);
	for (int i = 0; i < 20; i++) {
		pass_ms(&f, 500);
		r = route(&f);
	}
	assert_int_equal(r.udp.addr.family, 0);
	assert_int_equal(r.region, HOME);
	/* One pong brings it back. */
	while (hear(&f, &ping, &o)) {
		if (ping.type == DISCO_PING)
			pong = pong_to(&ping);
	}
	assert_int_equal(say(&f, &f.theirs, &pong, by_udp("5.5.5.5:55")), PATH_TAKEN);
	r = route(&f);
	assert_true(r.udp.addr.family == 4 && r.region == 0);
	stop(&f);
}

static void test_heartbeat_and_idle(void **state)
{
	struct fix f;
	struct disco_message m;
	struct path_out o;
	unsigned pings = 0;

	(void)state;
	start(&f, "5.5.5.5:55");
	route(&f);
	for (int i = 0; i < 44000; i += 100) {
		pass_ms(&f, 100);
		while (hear(&f, &m, &o)) {
			if (m.type != DISCO_PING)
				continue;
			pings++;
			m = pong_to(&m);
			say(&f, &f.theirs, &m, by_udp("5.5.5.5:55"));
		}
	}
	assert_in_range(pings, 14, 18); /* one in 3 s */
	pass_ms(&f, 80000);
	count_heard(&f, DISCO_PING);
	assert_int_equal(path_due_ms(f.p), INT64_MAX);
	stop(&f);
}

static void test_strangers(void **state)
{
	struct fix f;
	struct disco_key other;
	struct disco_message m;
	struct path_out o;

	(void)state;
	start(&f, NULL);
	m = ping_of(1, &f.key);
	disco_key_new(&other);
	assert_int_equal(say(&f, &other, &m, by_udp("6.6.6.6:6")), PATH_TAKEN);
	assert_int_equal(path_stats(f.p)->unknown_disco, 1);
	/* A known key, but a box that does not open. */
	struct disco_key forged = { .secret = other.secret, .pub = f.theirs.pub };
	assert_int_equal(say(&f, &forged, &m, by_udp("6.6.6.6:6")), PATH_TAKEN);
	assert_int_equal(path_stats(f.p)->unopened, 1);
	assert_false(path_pull(f.p, &o));
	/* WireGuard by DERP of nobody we know. */
	struct path_from from = by_derp(&f.self);
	assert_int_equal(path_recv(f.p, &from, BYTES_LIT("\4\0\0\0"), f.now_us), PATH_DROP);
	from = by_derp(&f.key);
	assert_int_equal(path_recv(f.p, &from, BYTES_LIT("\4\0\0\0"), f.now_us), PATH_WIREGUARD);
	from = by_udp("6.6.6.6:6");
	assert_int_equal(path_recv(f.p, &from, BYTES_LIT("\4\0\0\0"), f.now_us), PATH_WIREGUARD);
	stop(&f);
}

static void test_ping_is_answered(void **state)
{
	struct fix f;
	struct disco_message m, got;
	struct path_out o;

	(void)state;
	start(&f, NULL);
	m = ping_of(1, &f.key);
	m.ping.padding = 1300;
	say(&f, &f.theirs, &m, by_udp("6.6.6.6:6"));
	assert_true(hear(&f, &got, &o));
	assert_int_equal(got.type, DISCO_PONG);
	assert_true(addrport_eq(got.pong.src, at("6.6.6.6:6")) && addrport_eq(o.to, at("6.6.6.6:6")));
	assert_memory_equal(got.pong.txid.b, m.ping.txid.b, 12);
	assert_false(path_pull(f.p, &o)); /* no ping back: we send it nothing */
	say(&f, &f.theirs, &m, by_udp("6.6.6.6:6")); /* the same again */
	assert_false(path_pull(f.p, &o));
	m.ping.padding = 0;
	say(&f, &f.theirs, &m, by_derp(&f.key));
	assert_true(hear(&f, &got, &o));
	assert_true(addrport_eq(got.pong.src, at("127.3.3.40:3")));
	assert_int_equal(o.region, HOME);
	/* In use, an address without proof is pinged back at once. */
	route(&f);
	count_heard(&f, DISCO_PING);
	f.now_us += 200000;
	m = ping_of(2, &f.key);
	say(&f, &f.theirs, &m, by_udp("6.6.6.6:7"));
	assert_true(hear(&f, &got, &o) && got.type == DISCO_PONG);
	assert_true(hear(&f, &got, &o) && got.type == DISCO_PING);
	assert_true(addrport_eq(o.to, at("6.6.6.6:7")));
	stop(&f);
}

static void test_floods(void **state)
{
	static struct path_peer_status st;
	struct fix f;
	unsigned pongs = 0;

	(void)state;
	start(&f, "5.5.5.5:55");
	for (unsigned i = 0; i < 5000; i++) {
		struct disco_message m = ping_of(0, &f.key);
		char from[32];

		memcpy(m.ping.txid.b, &i, sizeof i);
		snprintf(from, sizeof from, "6.6.%u.%u:9", i / 250, i % 250 + 1);
		say(&f, &f.theirs, &m, by_udp(from));
		pongs += count_heard(&f, DISCO_PONG);
	}
	assert_in_range(pongs, 100, 400);
	assert_true(path_stats(f.p)->limited > 4000);
	path_peer_status(f.peer, f.now_us, &st);
	assert_int_equal(st.n_candidates, PATH_CANDIDATES_MAX);
	bool kept = false;
	for (size_t i = 0; i < st.n_candidates; i++)
		kept |= addrport_eq(st.candidate[i].at, at("5.5.5.5:55"));
	assert_true(kept); /* the netmap's is not pushed out */
	stop(&f);
}

static void test_call_me_maybe(void **state)
{
	static struct path_peer_status st;
	struct disco_message m = { .type = DISCO_CALL_ME_MAYBE };
	struct disco_key other;
	struct node_pub key2;
	struct path_peer *peer2;
	struct path_out o;
	struct fix f;

	(void)state;
	start(&f, NULL);
	m.endpoints.n = 3;
	m.endpoints.at[0] = at("8.8.0.1:1");
	m.endpoints.at[1] = at("127.0.0.1:22");
	m.endpoints.at[2] = at("[fe80::1]:1");
	say(&f, &f.theirs, &m, by_udp("8.8.0.1:1"));
	memset(key2.b, 0x33, 32);
	say(&f, &f.theirs, &m, by_derp(&key2)); /* from nobody */
	disco_key_new(&other);
	struct path_peer_config c = { .key = key2, .disco = other.pub };
	assert_ok(path_set_peer(f.p, &c, f.now_us, &peer2));
	say(&f, &f.theirs, &m, by_derp(&key2)); /* from another */
	assert_int_equal(path_stats(f.p)->refused_call, 3);
	assert_false(path_pull(f.p, &o));
	say(&f, &f.theirs, &m, by_derp(&f.key));
	assert_int_equal(count_heard(&f, DISCO_PING), 1);
	/* The next set replaces it. */
	f.now_us += 1000000;
	m.endpoints.n = DISCO_ENDPOINTS_MAX;
	for (unsigned i = 0; i < DISCO_ENDPOINTS_MAX; i++)
		m.endpoints.at[i] = (struct addrport){ addr_v4(8, 8, 1, (uint8_t)i), 1 };
	say(&f, &f.theirs, &m, by_derp(&f.key));
	assert_in_range(count_heard(&f, DISCO_PING), 99, 100);
	for (unsigned i = 0; i < 100; i++) {
		f.now_us += 60000;
		say(&f, &f.theirs, &m, by_derp(&f.key));
	}
	assert_in_range(count_heard(&f, DISCO_PING), 100, 2200); /* 8 at once, 2 a second */
	path_peer_status(f.peer, f.now_us, &st);
	assert_int_equal(st.n_candidates, DISCO_ENDPOINTS_MAX);
	stop(&f);
}

/* One machine, two users: both have its disco key. A pong is matched by its txid. */
static void test_shared_disco_key(void **state)
{
	struct fix f;
	struct path_peer *second;
	struct node_pub key2;
	struct disco_message m;
	struct path_out o;
	struct path_route r;
	struct addrport e = at("5.5.5.5:56");

	(void)state;
	start(&f, "5.5.5.5:55");
	memset(key2.b, 0x33, 32);
	struct path_peer_config c = { .key = key2, .disco = f.theirs.pub, .home = HOME, .endpoints = &e, .n_endpoints = 1 };
	assert_ok(path_set_peer(f.p, &c, f.now_us, &second));
	route(&f);
	path_route(second, f.now_us, &r);
	while (hear(&f, &m, &o)) {
		if (m.type != DISCO_PING || !addrport_eq(o.to, e))
			continue;
		m = pong_to(&m);
		say(&f, &f.theirs, &m, by_udp("5.5.5.5:99")); /* from elsewhere: it counts for what was pinged */
	}
	path_route(second, f.now_us, &r);
	assert_true(addrport_eq(r.udp, e));
	assert_int_equal(route(&f).udp.addr.family, 0);
	path_del_peer(second);
	/* It restarted: another key, and what was proven is gone. */
	struct disco_key fresh;
	disco_key_new(&fresh);
	path_set_peer_disco(f.peer, &fresh.pub, f.now_us);
	m = ping_of(9, &f.key);
	uint64_t before = path_stats(f.p)->unknown_disco;
	say(&f, &f.theirs, &m, by_udp("5.5.5.5:55"));
	assert_int_equal(path_stats(f.p)->unknown_disco, before + 1);
	f.theirs = fresh;
	while (path_pull(f.p, &o))
		;
	f.now_us += 60000;
	say(&f, &f.theirs, &m, by_udp("5.5.5.5:55"));
	assert_int_equal(count_heard(&f, DISCO_PONG), 1);
	stop(&f);
}

static void test_ping_command(void **state)
{
	struct fix f;
	struct path_event ev;
	struct disco_message m;
	struct path_out o;
	uint64_t id, id2;
	bool seen = false;

	(void)state;
	start(&f, NULL);
	assert_ok(path_ping(f.peer, f.now_us, &id));
	f.now_us += 30000;
	while (hear(&f, &m, &o)) {
		if (m.type == DISCO_PING && o.region == HOME) {
			m = pong_to(&m);
			say(&f, &f.theirs, &m, by_derp(&f.key));
		}
	}
	while (path_next_event(f.p, &ev)) {
		if (ev.kind != PATH_EV_PING)
			continue;
		seen = true;
		assert_int_equal(ev.ping.id, id);
		assert_false(ev.ping.lost);
		assert_int_equal(ev.ping.latency_us, 30000);
		assert_int_equal(ev.ping.region, HOME);
		assert_int_equal(ev.ping.via.addr.family, 0);
	}
	assert_true(seen);
	assert_int_equal(route(&f).udp.addr.family, 0); /* a pong by DERP is no direct path */
	assert_ok(path_ping(f.peer, f.now_us, &id2));
	pass_ms(&f, 5100);
	seen = false;
	while (path_next_event(f.p, &ev))
		seen |= ev.kind == PATH_EV_PING && ev.ping.id == id2 && ev.ping.lost;
	assert_true(seen);
	for (int i = 0; i < PATH_RESULTS_MAX; i++)
		assert_ok(path_ping(f.peer, f.now_us, &id));
	assert_int_equal(path_ping(f.peer, f.now_us, &id), ERR_BUSY);
	path_del_peer(f.peer);
	stop(&f);
}

/* The best path falls silent: after its ping and another went unanswered the relay carries a copy, before trust ends. */
static void test_doubt(void **state)
{
	struct fix f;
	struct disco_message m;
	struct path_out o;

	(void)state;
	start(&f, "5.5.5.5:55");
	route(&f);
	f.now_us += 1000;
	while (hear(&f, &m, &o)) {
		if (m.type == DISCO_PING) {
			m = pong_to(&m);
			say(&f, &f.theirs, &m, by_udp("5.5.5.5:55"));
		}
	}
	struct path_from from = by_udp("5.5.5.5:55"), relayed = by_derp(&f.key), other = by_udp("5.5.5.5:56");
	assert_ptr_equal(path_peer_at(f.p, &from), f.peer);
	assert_ptr_equal(path_peer_at(f.p, &relayed), f.peer);
	assert_null(path_peer_at(f.p, &other));
	int64_t silent_ms = 0;
	for (; silent_ms < 6000 && route(&f).region == 0; silent_ms += 100)
		pass_ms(&f, 100);
	assert_in_range(silent_ms, 3000 + 1200 - 200, 3000 + 1200 + 200);
	assert_true(addrport_eq(route(&f).udp, at("5.5.5.5:55")));
	assert_int_equal(route(&f).region, HOME);
	while (hear(&f, &m, &o)) {
		if (m.type == DISCO_PING) {
			m = pong_to(&m);
			say(&f, &f.theirs, &m, by_udp("5.5.5.5:55"));
		}
	}
	assert_int_equal(route(&f).region, 0);
	stop(&f);
}

static void answer_stun(struct fix *f, struct addr alive)
{
	struct path_out o;
	struct stun_txid txid;
	uint8_t buf[128];

	while (path_pull(f->p, &o)) {
		if (!addr_eq(o.to.addr, alive) || stun_parse_request(o.packet, &txid) != OK)
			continue;
		struct path_from from = { .addr = o.to };
		size_t n = stun_write_response(buf, &txid, at("7.7.7.7:7"));
		f->now_us += 1000;
		assert_int_equal(path_recv(f->p, &from, bytes_of(buf, n), f->now_us), PATH_TAKEN);
	}
}

/* The home relay's connection fails and its STUN is silent: another region is home within seconds. */
static void test_home_goes_down(void **state)
{
	struct fix f;
	struct addr one = at("9.9.9.1:1").addr, two = at("9.9.9.2:1").addr;
	struct path_region r[2] = { { .id = 1, .n_nodes = 1 }, { .id = 2, .n_nodes = 1 } };

	(void)state;
	start(&f, NULL);
	r[0].node[0] = (struct path_node){ .v4 = one, .stun_port = 3478 };
	r[1].node[0] = (struct path_node){ .v4 = two, .stun_port = 3478 };
	assert_ok(path_set_regions(f.p, r, 2, f.now_us));
	for (int i = 0; i < 50; i++) {
		answer_stun(&f, one);
		pass_ms(&f, 100);
	}
	assert_int_equal(path_home(f.p), 1);
	path_derp_up(f.p, 1, true, f.now_us);
	path_derp_up(f.p, 1, false, f.now_us);
	int64_t moved_ms = 0;
	for (; moved_ms < 20000 && path_home(f.p) == 1; moved_ms += 200) {
		if (moved_ms % 400 == 0)
			path_derp_up(f.p, 1, false, f.now_us);
		answer_stun(&f, two);
		pass_ms(&f, 200);
	}
	assert_int_equal(path_home(f.p), 2);
	assert_in_range(moved_ms, 1000, 6000);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_packet),
		cmocka_unit_test(test_doubt),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_home_goes_down),
		cmocka_unit_test(test_heartbeat_and_idle),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_ping_is_answered),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_call_me_maybe),
		cmocka_unit_test(test_shared_disco_key),
		cmocka_unit_test(test_ping_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
