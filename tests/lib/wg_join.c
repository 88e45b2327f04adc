#include "tests/lib/wg_join.h"

#include <stdlib.h>

#include "common/base/writer.h"

#define WALL_MS 1700000000000LL

struct wg_flight {
	struct wg_flight *next;
	int64_t at_ms;
	size_t from, to;
	size_t n;
	uint8_t b[];
};

struct wg_from wg_join_from(size_t i)
{
	struct wg_from f = { .token = i + 1 };

	f.addr = (struct addrport){ addr_v4(192, 0, 2, (uint8_t)(i + 1)), 41641 };
	return f;
}

static void add_peers(struct wg_join *j, size_t i)
{
	for (size_t k = 0; k < j->n; k++) {
		struct prefix p = addr_prefix(j->end[k].addr);
		struct wg_peer_config c = {
			.key = j->end[k].key.pub, .allowed = &p, .n_allowed = 1, .user = &j->end[k]
		};

		if (k != i)
			assert_ok(wg_peer_add(j->end[i].wg, &c, &j->end[i].peer[k]));
	}
}

static void engine_new(struct wg_join *j, size_t i, int64_t wall_ms, struct wg_timestamp after)
{
	struct wg_config c = {
		.key = &j->end[i].key, .mtu = 1280, .now_ms = j->now_ms, .wall_ms = wall_ms, .after = after
	};

	assert_ok(wg_new(&c, &j->end[i].wg));
}

void wg_join_init(struct wg_join *j, size_t n, uint64_t seed)
{
	*j = (struct wg_join){ .n = n, .now_ms = 1000000, .rng = { seed } };
	test_random_seed(seed);
	for (size_t i = 0; i < n; i++) {
		node_key_new(&j->end[i].key);
		j->end[i].addr = addr_v4(100, 64, 0, (uint8_t)(i + 1));
		engine_new(j, i, WALL_MS, (struct wg_timestamp){ 0 });
	}
	for (size_t i = 0; i < n; i++)
		add_peers(j, i);
}

void wg_join_done(struct wg_join *j)
{
	for (size_t i = 0; i < j->n; i++)
		wg_free(j->end[i].wg);
	while (j->flying) {
		struct wg_flight *f = j->flying;

		j->flying = f->next;
		free(f);
	}
	test_random_end();
}

void wg_join_restart(struct wg_join *j, size_t i, int64_t wall_ms, struct wg_timestamp after)
{
	wg_free(j->end[i].wg);
	engine_new(j, i, wall_ms, after);
	add_peers(j, i);
}

static void launch(struct wg_join *j, size_t from, size_t to, struct bytes m)
{
	struct wg_flight *f = malloc(sizeof *f + m.n), **at = &j->flying;

	assert_non_null(f);
	*f = (struct wg_flight){ .from = from, .to = to, .n = m.n };
	if (m.n)
		memcpy(f->b, m.p, m.n);
	f->at_ms = j->now_ms + j->delay_ms + (int64_t)rng_below(&j->rng, j->jitter_ms + 1);
	while (*at && (*at)->at_ms <= f->at_ms)
		at = &(*at)->next;
	f->next = *at;
	*at = f;
}

static void on_wire(struct wg_join *j, size_t from, size_t to, struct bytes m)
{
	if (m.n && m.p[0] < 5)
		j->sent[m.p[0]]++;
	if (j->on_wire && !j->on_wire(j, from, to, m))
		return;
	if (rng_below(&j->rng, 100) < j->loss_pct)
		return;
	launch(j, from, to, m);
	if (rng_below(&j->rng, 100) < j->repeat_pct)
		launch(j, from, to, m);
}

static void drain(struct wg_join *j, size_t i)
{
	struct wg_end *e = &j->end[i];
	struct wg_out out;
	struct wg_event ev;

	while (wg_step(e->wg, 8, j->now_ms))
		;
	while (wg_pull(e->wg, j->now_ms, &out)) {
		size_t to = out.peer ? (size_t)((struct wg_end *)wg_peer_user(out.peer) - j->end)
				     : (size_t)out.to.token - 1;
		memset(out.p - WG_OUT_HEADROOM, 0xaa, WG_OUT_HEADROOM); /* it must be ours to write */
		if (to < j->n)                                          /* else to a stranger */
			on_wire(j, i, to, bytes_of(out.p, out.n));
	}
	while (wg_next_event(e->wg, &ev)) {
		e->up += (ev.kinds & WG_SESSION_UP) != 0;
		e->gave_up += (ev.kinds & WG_GAVE_UP) != 0;
	}
}

static void deliver(struct wg_join *j, struct wg_flight *f)
{
	struct wg_end *e = &j->end[f->to];
	struct wg_from from = wg_join_from(f->from);
	struct wg_packet pkt = { .p = f->b, .n = f->n };

	wg_open(e->wg, &from, &pkt, 1, j->now_ms);
	if (pkt.n) {
		assert_in_range(pkt.n, 20, sizeof e->last);
		memcpy(e->last, pkt.p, pkt.n);
		e->last_n = pkt.n;
		e->last_peer = pkt.peer;
		e->got++;
	}
	drain(j, f->to);
}

void wg_join_inject(struct wg_join *j, size_t i, size_t k, struct bytes m)
{
	launch(j, i, k, m);
}

void wg_join_run(struct wg_join *j, int64_t ms)
{
	int64_t end = j->now_ms + ms;

	for (;;) {
		int64_t next = end;

		for (size_t i = 0; i < j->n; i++) {
			drain(j, i);
			int64_t due = wg_due_ms(j->end[i].wg);
			if (due < next)
				next = due;
		}
		if (j->flying && j->flying->at_ms < next)
			next = j->flying->at_ms;
		if (next > j->now_ms)
			j->now_ms = next;
		for (size_t i = 0; i < j->n; i++) {
			wg_tick(j->end[i].wg, j->now_ms);
			drain(j, i);
		}
		while (j->flying && j->flying->at_ms <= j->now_ms) {
			struct wg_flight *f = j->flying;

			j->flying = f->next;
			deliver(j, f);
			free(f);
		}
		if (j->now_ms >= end)
			return;
	}
}

void wg_join_send_raw(struct wg_join *j, size_t i, size_t k, struct bytes packet)
{
	uint8_t room[WG_HEADROOM + 1600 + WG_TAILROOM];
	struct wg_packet pkt = { .p = room + WG_HEADROOM, .n = packet.n };

	assert_in_range(packet.n, 0, 1600);
	memcpy(pkt.p, packet.p, packet.n);
	if (wg_seal(j->end[i].peer[k], &pkt, 1, j->now_ms))
		on_wire(j, i, k, bytes_of(pkt.p, pkt.n));
	drain(j, i);
}

bool wg_join_send(struct wg_join *j, size_t i, size_t k, size_t n)
{
	uint8_t packet[1600] = { 0 };
	struct writer w = wr_init(packet, sizeof packet);
	bool had = wg_peer_status(j->end[i].peer[k], j->now_ms).has_session;

	wr_u16be(&w, 0x4500);
	wr_u16be(&w, (uint16_t)n);
	wr_u32be(&w, 0);
	wr_u32be(&w, 0x40110000);
	wr_bytes(&w, bytes_of(j->end[i].addr.b, 4));
	wr_bytes(&w, bytes_of(j->end[k].addr.b, 4));
	for (size_t at = 20; at < n; at++)
		wr_u8(&w, (uint8_t)at);
	wg_join_send_raw(j, i, k, bytes_of(packet, n));
	return had;
}
