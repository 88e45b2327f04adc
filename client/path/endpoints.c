/* Our own endpoints: what STUN told, then our interfaces. protocol/disco.md 10. */
#include "client/path/internal.h"
#include "common/base/cleanup.h"

/* One more mapping of an address that has enough, or no room at all: the one seen longest ago goes. */
static void make_room(struct path *p, struct addr ip)
{
	size_t same = 0, oldest = 0, oldest_same = MAPPED_MAX;

	for (size_t i = 0; i < p->n_mapped; i++) {
		if (p->mapped[i].seen_ms < p->mapped[oldest].seen_ms)
			oldest = i;
		if (!addr_eq(p->mapped[i].at.addr, ip))
			continue;
		same++;
		if (oldest_same == MAPPED_MAX || p->mapped[i].seen_ms < p->mapped[oldest_same].seen_ms)
			oldest_same = i;
	}
	if (same >= ENDPOINTS_AN_IP)
		p->mapped[oldest_same] = p->mapped[--p->n_mapped];
	else if (p->n_mapped == MAPPED_MAX)
		p->mapped[oldest] = p->mapped[--p->n_mapped];
}

void endpoints_mapped(struct path *p, struct addrport at)
{
	if (at.port == 0 || addr_is_unspecified(at.addr) || addr_is_multicast(at.addr) || addr_is_tailscale(at.addr))
		return;
	for (size_t i = 0; i < p->n_mapped; i++) {
		if (addrport_eq(p->mapped[i].at, at)) {
			p->mapped[i].seen_ms = p->now_ms;
			p->mapped[i].seen++;
			return;
		}
	}
	make_room(p, at.addr);
	p->mapped[p->n_mapped++] = (struct mapped){ .at = at, .seen_ms = p->now_ms, .seen = 1 };
	endpoints_rebuild(p);
}

struct endpoint_list {
	struct path_endpoint at[PATH_ENDPOINTS_MAX];
	size_t n;
};

static void add(struct endpoint_list *l, struct addrport at, enum path_endpoint_type type)
{
	if (at.addr.family == 0 || l->n == PATH_ENDPOINTS_MAX)
		return;
	for (size_t i = 0; i < l->n; i++) {
		if (addrport_eq(l->at[i].at, at))
			return;
	}
	l->at[l->n++] = (struct path_endpoint){ at, type };
}

static uint16_t local_port_v4(const struct path *p)
{
	for (size_t i = 0; i < p->n_local; i++) {
		if (p->local[i].addr.family == 4)
			return p->local[i].port;
	}
	return 0;
}

/* The same ones in any order. */
static bool same_set(const struct path *p, const struct endpoint_list *l)
{
	if (p->n_endpoints != l->n)
		return false;
	for (size_t i = 0; i < l->n; i++) {
		size_t k = 0;

		while (k < p->n_endpoints && !addrport_eq(p->endpoint[k].at, l->at[i].at))
			k++;
		if (k == p->n_endpoints || p->endpoint[k].type != l->at[i].type)
			return false;
	}
	return true;
}

void endpoints_rebuild(struct path *p)
{
	struct endpoint_list l = { .n = 0 };
	const struct netcheck *c = &p->check;
	size_t n = 0;

	for (size_t i = 0; i < p->n_mapped; i++) {
		if (p->now_ms - p->mapped[i].seen_ms <= ENDPOINT_CACHE_MS)
			p->mapped[n++] = p->mapped[i];
	}
	p->n_mapped = n;

	add(&l, c->first_v4, PATH_ENDPOINT_STUN);
	add(&l, c->first_v6, PATH_ENDPOINT_STUN);
	for (size_t i = 0; i < p->n_mapped; i++)
		add(&l, p->mapped[i].at, PATH_ENDPOINT_STUN);
	if (c->varies == PATH_YES && local_port_v4(p))
		add(&l, (struct addrport){ c->first_v4.addr, local_port_v4(p) }, PATH_ENDPOINT_STUN_LOCAL_PORT);
	for (size_t i = 0; i < p->n_local; i++) {
		if (!addr_is_loopback(p->local[i].addr))
			add(&l, p->local[i], PATH_ENDPOINT_LOCAL);
	}
	if (l.n == 0) { /* a machine with nothing else */
		for (size_t i = 0; i < p->n_local; i++)
			add(&l, p->local[i], PATH_ENDPOINT_LOCAL);
	}
	if (same_set(p, &l))
		return;
	memcpy(p->endpoint, l.at, l.n * sizeof l.at[0]);
	p->n_endpoints = l.n;
	p->endpoints_version++;
	p->ev_endpoints = true;
	/* Peers that we have no path to learn it now, and not through control. */
	list_each(it, &p->active) {
		struct path_peer *peer = container_of(it, struct path_peer, active);

		if (!path_is_trusted(peer))
			peer_news(peer, true);
	}
}
