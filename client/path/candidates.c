/* Addresses at which a peer may be reached, and which of two is better. */
#include <stdlib.h>

#include "client/path/internal.h"
#include "common/base/cleanup.h"

bool candidate_ok(const struct path *p, struct addrport at)
{
	static const struct addr derp_mark = { .family = 4, .b = { 127, 3, 3, 40 } };

	if (at.port == 0 || addr_is_unspecified(at.addr) || addr_is_multicast(at.addr) || addr_eq(at.addr, derp_mark))
		return false;
	if (!(at.addr.family == 4 ? p->has_v4 : at.addr.family == 6 && p->has_v6))
		return false;
	/* A path to a peer through the tunnel would carry itself. */
	if (addr_is_tailscale(at.addr))
		return false;
	if (at.addr.family == 6 && addr_is_link_local(at.addr))
		return false;
	/* A peer must not make us knock at our own services, unless we ourselves are reachable nowhere else. */
	return !addr_is_loopback(at.addr) || p->has_loopback;
}

struct candidate *candidate_find(struct path_peer *peer, struct addrport at)
{
	for (size_t i = 0; i < peer->n_cand; i++) {
		if (addrport_eq(peer->cand[i].at, at))
			return &peer->cand[i];
	}
	return NULL;
}

static bool is_wanted(const struct path_peer *peer, const struct candidate *c)
{
	return c->netmap || c->called || addrport_eq(c->at, peer->best) ||
	       peer->path->now_ms - c->got_ping_ms < PINGED_US_MS;
}

void candidates_prune(struct path_peer *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < peer->n_cand; i++) {
		if (is_wanted(peer, &peer->cand[i]))
			peer->cand[n++] = peer->cand[i];
	}
	peer->n_cand = n;
}

/* Of those known only from pings, the one heard longest ago. */
static struct candidate *oldest_pinged(struct path_peer *peer)
{
	struct candidate *old = NULL;

	for (size_t i = 0; i < peer->n_cand; i++) {
		struct candidate *c = &peer->cand[i];

		if (c->netmap || c->called || addrport_eq(c->at, peer->best))
			continue;
		if (!old || c->got_ping_ms < old->got_ping_ms)
			old = c;
	}
	return old;
}

struct candidate *candidate_add(struct path_peer *peer, struct addrport at)
{
	struct candidate *c = candidate_find(peer, at);

	if (c)
		return c;
	if (peer->n_cand == PATH_CANDIDATES_MAX)
		candidates_prune(peer);
	if (peer->n_cand == PATH_CANDIDATES_MAX) {
		c = oldest_pinged(peer);
		if (!c)
			return NULL;
	} else {
		if (peer->n_cand == peer->cap_cand) {
			size_t cap = peer->cap_cand ? MIN_OF(peer->cap_cand * 2, (size_t)PATH_CANDIDATES_MAX) : 4;
			struct candidate *more = reallocarray(peer->cand, cap, sizeof *more);

			if (!more)
				return NULL;
			peer->cand = more;
			peer->cap_cand = cap;
		}
		c = &peer->cand[peer->n_cand++];
	}
	*c = (struct candidate){ .at = at, .got_ping_ms = NEVER_MS, .ping_ms = NEVER_MS, .pong_ms = NEVER_MS };
	return c;
}

/* ---- disco.md 8 (tailscale@de9ec7ee2 wgengine/magicsock/endpoint.go betterAddr) -------------------------------- */

static int place_points(struct addr a)
{
	int points = a.family == 6 ? 10 : 0;

	if (addr_is_loopback(a))
		return points + 50;
	if (addr_is_link_local(a))
		return points + 30;
	return points + (addr_is_private(a) ? 20 : 0);
}

bool path_better(struct path_quality a, struct path_quality b)
{
	if (addrport_eq(a.at, b.at) || a.at.addr.family == 0)
		return false;
	if (b.at.addr.family == 0)
		return true;

	int64_t slow = MAX_OF(a.latency_us, b.latency_us), fast = MIN_OF(a.latency_us, b.latency_us);
	int gain = slow > 0 ? (int)(100 - 100 * fast / slow) : 0;
	int a_points = place_points(a.at.addr) + (a.latency_us < b.latency_us ? gain : 0);
	int b_points = place_points(b.at.addr) + (b.latency_us < a.latency_us ? gain : 0);

	if (a_points <= 1 && b_points == 0)
		return false; /* hysteresis */
	return a_points > b_points;
}
