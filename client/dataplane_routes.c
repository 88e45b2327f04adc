/* The machine's network: what it has, what it is given, and what must stay outside of the tunnel. */
#include "client/dataplane_internal.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"

enum {
	LOCAL_MAX = 64,
	KEEP_MAX = MAGIC_RELAYS_MAX + LINK_ADDRESSES_MAX,
	RETRY_MS = 1000,	/* routes that could not be set */
};

void dp_read_local(struct dataplane *p, bool moved)
{
	struct addr a[LOCAL_MAX];
	size_t n;

	if (route_local_addrs(p->d->opts.tun, a, LOCAL_MAX, &n) == OK)
		magic_set_local(p->magic, a, n, moved);
}

void dp_on_watch(struct loop_io *io, unsigned ready, void *ctx)
{
	struct dataplane *p = ctx;

	(void)io;
	(void)ready;
	if (!route_watch_drain(p->watch_fd, p->d->opts.tun))
		return;
	dp_read_local(p, true);
	control_network_changed(p->d->control, loop_now_ms(p->d->loop));
	control_link_kick(p->d->link);
}

static int by_addr(const void *a, const void *b)
{
	return addr_cmp(*(const struct addr *)a, *(const struct addr *)b);
}

/* The control server and the relays must stay reachable outside of the tunnel. True: they are others than before. */
bool dp_renew_keep(struct dataplane *p)
{
	struct addr *list = malloc(KEEP_MAX * sizeof *list);
	size_t n;

	if (!list)
		return false; /* those of before are better than none */
	n = control_link_addresses(p->d->link, list, KEEP_MAX);
	n += magic_relays(p->magic, list + n, KEEP_MAX - n);
	qsort(list, n, sizeof *list, by_addr);
	bool same = n == p->n_keep && (n == 0 || memcmp(list, p->keep, n * sizeof *list) == 0);
	struct addr *fits = same ? NULL : realloc(list, (n + 1) * sizeof *list);
	if (same) {
		free(list);
		return false;
	}
	free(p->keep);
	p->keep = fits ? fits : list;
	p->n_keep = n;
	return true;
}

const struct nm_node *dp_exit_node(const struct dataplane *p)
{
	const char *wanted = p->d->state.prefs.exit_node;

	return *wanted ? netmap_exit_node(&p->d->netmap, bytes_str(wanted)) : NULL;
}

size_t dp_routes_of(const struct dataplane *p, const struct nm_node *n, struct prefix *out, size_t cap)
{
	return netmap_peer_routes(
		&p->d->netmap, n, p->d->state.prefs.accept_routes, n == dp_exit_node(p), p->keep, p->n_keep, out, cap);
}

void dp_set_routes(struct dataplane *p)
{
	const struct netmap *nm = &p->d->netmap;
	const struct prefs *prefs = &p->d->state.prefs;
	CLEANUP(freep) struct prefix *all = malloc(ROUTE_PREFIXES_MAX * sizeof *all);
	struct prefix addrs[NM_ADDRESSES_MAX + 1];
	struct addr resolver = resolver_address(p->resolver);
	const struct nm_node *n;
	size_t count = 0, n_addrs = 0;

	if (!all || !nm->self)
		return;
	for (; n_addrs < nm->self->n_addresses; n_addrs++)
		addrs[n_addrs] = nm->self->addresses[n_addrs];
	if (resolver.family)
		addrs[n_addrs++] = addr_prefix(resolver);
	for (size_t at = 0; (n = netmap_next(nm, &at)) && count < ROUTE_PREFIXES_MAX;)
		count += dp_routes_of(p, n, all + count, ROUTE_PREFIXES_MAX - count);
	/* Where it is not there nothing leaves: a person who chose it does not want to be seen without. */
	if (*prefs->exit_node && !dp_exit_node(p) && count + 2 <= ROUTE_PREFIXES_MAX) {
		all[count++] = (struct prefix){ .addr.family = 4 };
		all[count++] = (struct prefix){ .addr.family = 6 };
	}
	struct route_config c = {
		.ifname = p->d->opts.tun,
		.mtu = p->d->opts.mtu,
		.addrs = addrs,
		.n_addrs = n_addrs,
		.routes = all,
		.n_routes = count,
		.local_first = *prefs->exit_node && prefs->exit_lan,
	};
	err e = route_apply(p->route, &c);
	p->routes_dirty = e != OK;
	if (e != OK) {
		static struct log_limit limit = LOG_LIMIT(5, 60000);

		if (log_allow(&limit))
			log_warn("addresses and routes cannot be set", "error=%s", log_qs(err_text(e)).s);
		loop_timer_in(&p->route_timer, RETRY_MS);
	}
}

void dp_on_route_timer(struct loop_timer *t)
{
	struct dataplane *p = container_of(t, struct dataplane, route_timer);

	if (!p->running || !p->routes_dirty)
		return;
	dp_set_routes(p);
	if (!p->routes_dirty)
		resolver_update(p->resolver, NM_ALL);
}
