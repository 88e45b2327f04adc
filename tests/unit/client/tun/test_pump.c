/* Two pumps with engines over loopback sockets, without devices: what goes in at one comes out at the other. */
#include "client/tun/pump.h"

#include <poll.h>

#include "common/base/clock.h"
#include "tests/lib/test.h"

struct end {
	struct pump p;
	struct node_key key;
	struct wg_peer *peer;
	struct addr addr;
	unsigned got, up, disco, refused;
	size_t last_n;
	uint64_t token;
	bool refuse;
};

static void on_send(void *ctx, struct wg_peer *peer, const struct wg_from *to, const struct wg_packet *pkts, size_t n)
{
	struct end *e = ctx;

	assert_ptr_equal(peer, e->peer);
	assert_ok(udp_send(e->p.udp[0], to->addr, pkts, n));
}

static void on_inbound(void *ctx, struct wg_packet *pkts, size_t n)
{
	struct end *e = ctx;

	for (size_t i = 0; i < n; i++) {
		if (!pkts[i].n)
			continue;
		assert_ptr_equal(pkts[i].peer, e->peer);
		e->last_n = pkts[i].n;
		if (e->refuse) {
			pkts[i].n = 0;
			e->refused++;
		} else {
			e->got++;
		}
	}
}

static bool on_datagram(void *ctx, const struct wg_from *from, struct bytes in)
{
	struct end *e = ctx;

	e->token = from->token;
	if (!bytes_has_prefix(in, BYTES_LIT("disco")))
		return false;
	e->disco++;
	return true;
}

static void on_event(void *ctx, const struct wg_event *ev)
{
	struct end *e = ctx;

	e->up += (ev->kinds & WG_SESSION_UP) != 0;
}

static void turn(struct end *e)
{
	bool more;

	do
		assert_ok(pump_turn(&e->p, clock_mono_ms(), &more));
	while (more);
}

static void run_until(struct end e[2], const unsigned *what, unsigned want)
{
	int64_t end = clock_mono_ms() + 5000;

	while (*what < want) {
		struct pollfd fds[2] = { { .fd = udp_fd(e[0].p.udp[0]), .events = POLLIN },
			{ .fd = udp_fd(e[1].p.udp[0]), .events = POLLIN } };

		turn(&e[0]);
		turn(&e[1]);
		assert_true(clock_mono_ms() < end);
		if (*what < want)
			(void)poll(fds, 2, 20);
	}
}

static void open_pair(struct end e[2])
{
	struct addrport any = { .addr = addr_v4(127, 0, 0, 1) };

	for (int i = 0; i < 2; i++) {
		struct wg_config c = {
			.key = &e[i].key, .mtu = 1280, .now_ms = clock_mono_ms(), .wall_ms = clock_wall_ms()
		};

		node_key_new(&e[i].key);
		e[i].addr = addr_v4(100, 64, 0, (uint8_t)(i + 1));
		assert_ok(wg_new(&c, &e[i].p.wg));
		assert_ok(udp_open(any, 0, UDP_OFFLOADS, &e[i].p.udp[0]));
		e[i].p.hooks = (struct pump_hooks){
			.ctx = &e[i], .send = on_send, .inbound = on_inbound, .datagram = on_datagram, .event = on_event
		};
	}
	for (int i = 0; i < 2; i++) {
		struct prefix theirs = addr_prefix(e[!i].addr);
		struct wg_from at = { .addr = udp_local(e[!i].p.udp[0]) };

		assert_ok(wg_peer_add(e[i].p.wg,
			&(struct wg_peer_config){ .key = e[!i].key.pub, .allowed = &theirs, .n_allowed = 1 },
			&e[i].peer));
		wg_peer_set_from(e[i].peer, &at);
	}
}

static void close_pair(struct end e[2])
{
	for (int i = 0; i < 2; i++) {
		udp_close(e[i].p.udp[0]);
		wg_free(e[i].p.wg);
	}
}

/* count packets of 1280 bytes in one batch. */
static void send_batch(struct end e[2], int from, unsigned count)
{
	enum { ROOM = WG_HEADROOM + 1280 + WG_TAG_LEN };
	static uint8_t memory[64 * ROOM];
	struct wg_packet pkts[64];

	for (unsigned i = 0; i < count; i++) {
		uint8_t *p = memory + i * ROOM + WG_HEADROOM;

		memset(p, 0, 1280);
		memcpy(p, "\x45\0\5\0\0\0\0\0\x40\x11\0\0", 12);
		memcpy(p + 12, e[from].addr.b, 4);
		memcpy(p + 16, e[!from].addr.b, 4);
		pkts[i] = (struct wg_packet){ .p = p, .n = 1280 };
	}
	pump_send(&e[from].p, e[from].peer, pkts, count, clock_mono_ms());
}

static void test_traffic(void **state)
{
	struct end e[2] = { 0 };

	(void)state;
	open_pair(e);
	assert_int_equal(pump_due_ms(&e[0].p), INT64_MAX);
	send_batch(e, 0, 1); /* waits for the session */
	run_until(e, &e[1].got, 1);
	assert_int_equal(e[0].up, 1);
	assert_int_equal(e[1].up, 1);
	assert_int_equal(e[1].token, 1); /* the first socket */
	for (unsigned i = 1; i <= 20; i++) {
		send_batch(e, 0, 64);
		send_batch(e, 1, 30);
		run_until(e, &e[1].got, 1 + i * 64);
		run_until(e, &e[0].got, i * 30);
	}
	assert_int_equal(e[0].last_n, 1280);
	assert_true(pump_due_ms(&e[0].p) < INT64_MAX);
	if (udp_offloads(e[0].p.udp[0]) & UDP_GSO)
		assert_true(udp_stats(e[0].p.udp[0])->send_calls < 100);
	e[1].refuse = true;
	send_batch(e, 0, 5);
	run_until(e, &e[1].refused, 5);
	assert_int_equal(e[1].got, 1 + 20 * 64);
	close_pair(e);
}

static void test_other_datagrams(void **state)
{
	struct end e[2] = { 0 };
	uint8_t ping[] = "disco ping", junk[] = "junk";
	struct wg_packet pkts[2] = { { .p = ping, .n = 10 }, { .p = junk, .n = 4 } };

	(void)state;
	open_pair(e);
	assert_ok(udp_send(e[0].p.udp[0], udp_local(e[1].p.udp[0]), pkts, 2));
	run_until(e, &e[1].disco, 1);
	for (int i = 0; i < 100 && !wg_stats(e[1].p.wg)->malformed; i++) {
		turn(&e[1]);
		(void)poll(NULL, 0, 5);
	}
	assert_int_equal(wg_stats(e[1].p.wg)->malformed, 1); /* what the hook leaves is the engine's */
	close_pair(e);
}

/* By DERP: the bytes of a datagram, handed over. */
static void test_deliver(void **state)
{
	struct end e[2] = { 0 };
	struct wg_from relay = { .relayed = { { 7 } }, .token = 99 };
	struct wg_out out;
	struct wg_packet pkt;
	uint8_t m[WG_INITIATION_LEN];
	int64_t now = clock_mono_ms();

	(void)state;
	open_pair(e);
	wg_peer_connect(e[0].peer, now);
	assert_true(wg_pull(e[0].p.wg, now, &out));
	memcpy(m, out.p, sizeof m);
	pkt = (struct wg_packet){ .p = m, .n = sizeof m };
	pump_deliver(&e[1].p, &relay, &pkt, 1, now);
	assert_false(wg_step(e[1].p.wg, 1, now));
	assert_true(wg_pull(e[1].p.wg, now, &out));
	assert_int_equal(out.to.token, 99); /* the answer goes the way the question came */
	assert_int_equal(out.n, WG_RESPONSE_LEN);
	close_pair(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traffic),
		cmocka_unit_test(test_other_datagrams),
		cmocka_unit_test(test_deliver),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
