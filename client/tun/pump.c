#include "client/tun/pump.h"

#include "common/base/cleanup.h"

enum { BATCH = 64 };

void pump_send(struct pump *p, struct wg_peer *peer, struct wg_packet *pkts, size_t n, int64_t now_ms)
{
	if (wg_seal(peer, pkts, n, now_ms))
		p->hooks.send(p->hooks.ctx, peer, wg_peer_from(peer), pkts, n);
}

/* *more: the budget ended before the TUN was empty. */
static err from_tun(struct pump *p, int64_t now_ms, bool *more)
{
	struct wg_packet pkts[BATCH];

	for (unsigned i = 0; i < PUMP_TUN_READS; i++) {
		size_t n;

		TRY(tun_read(p->tun, pkts, BATCH, &n));
		if (!n)
			return OK;
		struct wg_peer *peer = p->hooks.outbound ? p->hooks.outbound(p->hooks.ctx, pkts, n)
							 : wg_route(p->wg, bytes_of(pkts[0].p, pkts[0].n));
		if (peer)
			pump_send(p, peer, pkts, n, now_ms);
	}
	*more = true;
	return OK;
}

/* Opens and queues for the TUN; what is opened stays where it is until tun_flush. */
static void open_batch(struct pump *p, const struct wg_from *from, struct wg_packet *pkts, size_t n, int64_t now_ms)
{
	wg_open(p->wg, from, pkts, n, now_ms);
	if (p->hooks.inbound)
		p->hooks.inbound(p->hooks.ctx, pkts, n);
	if (p->tun)
		tun_write(p->tun, pkts, n);
}

void pump_deliver(struct pump *p, const struct wg_from *from, struct wg_packet *pkts, size_t n, int64_t now_ms)
{
	open_batch(p, from, pkts, n, now_ms);
	if (p->tun)
		tun_flush(p->tun);
}

/* Datagrams that are not transport messages are shown to the hook; those it takes are emptied. */
static void show(struct pump *p, const struct wg_from *from, struct wg_packet *pkts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pkts[i].n && pkts[i].p[0] != WG_TRANSPORT &&
			p->hooks.datagram(p->hooks.ctx, from, bytes_of(pkts[i].p, pkts[i].n)))
			pkts[i].n = 0;
}

static bool from_udp(struct pump *p, struct udp *u, uint64_t token, int64_t now_ms)
{
	struct udp_rx rx[UDP_RX_SLOTS_PLAIN];
	struct wg_packet pkts[BATCH];

	for (unsigned i = 0; i < PUMP_UDP_READS; i++) {
		size_t n = udp_recv(u, rx);

		if (!n)
			return false;
		for (size_t k = 0; k < n; k++) {
			struct wg_from from = { .addr = rx[k].from, .token = token };
			size_t at = 0, got;

			while ((got = udp_rx_split(&rx[k], &at, pkts, BATCH))) {
				if (p->hooks.datagram)
					show(p, &from, pkts, got);
				open_batch(p, &from, pkts, got, now_ms);
			}
		}
		if (p->tun)
			tun_flush(p->tun); /* the buffers are used again */
	}
	return true;
}

static bool control(struct pump *p, int64_t now_ms)
{
	bool more = wg_step(p->wg, PUMP_HANDSHAKES, now_ms);
	struct wg_out out;
	struct wg_event ev;

	if (wg_due_ms(p->wg) <= now_ms)
		wg_tick(p->wg, now_ms);
	while (wg_pull(p->wg, now_ms, &out)) {
		struct wg_packet pkt = { .p = out.p, .n = out.n };

		p->hooks.send(p->hooks.ctx, out.peer, &out.to, &pkt, 1);
	}
	while (wg_next_event(p->wg, &ev))
		if (p->hooks.event)
			p->hooks.event(p->hooks.ctx, &ev);
	return more;
}

err pump_turn(struct pump *p, int64_t now_ms, bool *more)
{
	*more = false;
	for (unsigned i = 0; i < PUMP_SOCKETS_MAX; i++)
		if (p->udp[i] && from_udp(p, p->udp[i], i + 1, now_ms))
			*more = true;
	if (p->tun)
		TRY(from_tun(p, now_ms, more));
	if (control(p, now_ms))
		*more = true;
	return OK;
}

int64_t pump_due_ms(const struct pump *p)
{
	return wg_due_ms(p->wg);
}
