/* Packets on their way: what the filter says of each, and which peer takes it. */
#include "client/dataplane_internal.h"

#include "client/local.h"
#include "common/base/clock.h"

enum {
	GREET_MS = 50,		/* between looks for whom messages of an unknown session come from */
};

/* The token of a relayed message is its region. */
static struct wg_from to_wg(const struct path_from *f)
{
	return (struct wg_from){ .addr = f->addr, .relayed = f->key, .token = f->region };
}

static struct path_from to_path(const struct wg_from *f)
{
	return (struct path_from){ .addr = f->addr, .key = f->relayed, .region = (uint16_t)f->token };
}

void dp_on_send(void *ctx, struct wg_peer *peer, const struct wg_from *to, const struct wg_packet *pkts, size_t n)
{
	struct dataplane *p = ctx;
	struct peer *x = peer ? wg_peer_user(peer) : NULL;

	if (!x) {
		struct path_from at = to_path(to);

		for (size_t i = 0; i < n; i++)
			magic_send_to(p->magic, &at, bytes_of(pkts[i].p, pkts[i].n));
		return;
	}
	magic_send(p->magic, x->path, pkts, n);
}

/* What the machine sends into the tunnel. One destination, so one verdict on where; replies are remembered singly. */
struct wg_peer *dp_on_outbound(void *ctx, struct wg_packet *pkts, size_t n)
{
	struct dataplane *p = ctx;
	struct wg_peer *peer = wg_route(p->wg, bytes_of(pkts[0].p, pkts[0].n));
	struct peer *x = peer ? wg_peer_user(peer) : NULL;

	for (size_t i = 0; i < n; i++)
		if (filter_out(p->filter, bytes_of(pkts[i].p, pkts[i].n)) != FILTER_ACCEPT)
			return NULL;
	if (x)
		x->active_ms = clock_mono_ms();
	return peer;
}

static void reject(struct dataplane *p, struct wg_peer *peer, struct bytes packet)
{
	uint8_t room[WG_HEADROOM + FILTER_REJECT_MAX + WG_TAILROOM];
	struct wg_packet out = { .p = room + WG_HEADROOM };

	out.n = filter_write_reject(p->filter, packet, out.p);
	if (out.n)
		pump_send(&p->pump, peer, &out, 1, clock_mono_ms());
}

void dp_on_inbound(void *ctx, struct wg_packet *pkts, size_t n)
{
	struct dataplane *p = ctx;

	for (size_t i = 0; i < n; i++) {
		struct bytes b = bytes_of(pkts[i].p, pkts[i].n);
		struct peer *x = pkts[i].n ? wg_peer_user(pkts[i].peer) : NULL;

		if (!x)
			continue;
		x->active_ms = clock_mono_ms();
		switch (x->jailed ? filter_in_jailed(p->filter, b) : filter_in(p->filter, b)) {
		case FILTER_ACCEPT:
			break;
		case FILTER_REJECT:
			reject(p, pkts[i].peer, b);
			pkts[i].n = 0;
			break;
		case FILTER_DROP:
			pkts[i].n = 0;
			break;
		}
	}
}

static void note_initiation(struct daemon *d)
{
	int64_t now = clock_wall_ms();

	if (now - d->state.last_initiation_ms < STATE_INITIATION_MS)
		return;
	d->state.last_initiation_ms = now;
	daemon_save_soon(d);
}

void dp_on_wg_event(void *ctx, const struct wg_event *ev)
{
	struct dataplane *p = ctx;
	struct peer *x = wg_peer_user(ev->peer);

	if (!(ev->kinds & WG_SESSION_UP))
		return;
	x->handshake_wall_ms = clock_wall_ms();
	note_initiation(p->d);
	if (!p->had_session) {
		p->had_session = true;
		local_notify(p->d->local);
	}
}

/* After a restart peers go on with the session that they had. Those we can guess are told by a handshake. */
static void greet_lost(struct dataplane *p, const struct path_from *from, int64_t now)
{
	if (now - p->greeted_ms < GREET_MS)
		return;
	p->greeted_ms = now;
	struct path_peer *at = path_peer_at(magic_path(p->magic), from);
	struct peer *x = at ? path_peer_user(at) : NULL;
	if (x)
		wg_peer_regreet(x->wg, now);
}

void dp_on_wireguard(void *ctx, const struct path_from *from, struct wg_packet *pkts, size_t n)
{
	struct dataplane *p = ctx;
	struct wg_from at = to_wg(from);
	uint64_t unknown = wg_stats(p->wg)->unknown_index;
	int64_t now = clock_mono_ms();

	pump_deliver(&p->pump, &at, pkts, n, now);
	if (wg_stats(p->wg)->unknown_index != unknown)
		greet_lost(p, from, now);
	dp_queue_turn(p); /* handshakes wait in the engine */
}
