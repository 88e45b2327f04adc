#include "client/dataplane.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/filter/filter.h"
#include "client/firewall.h"
#include "client/local.h"
#include "client/path/magic.h"
#include "client/path/report.h"
#include "client/resolver.h"
#include "client/route/route.h"
#include "client/tun/pump.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/text/jsonw.h"

enum {
	LOCAL_MAX = 64,
	KEEP_MAX = MAGIC_RELAYS_MAX + LINK_ADDRESSES_MAX,
	ACTIVE_MS = 120 * 1000,
	RETRY_MS = 1000,	/* routes that could not be set */
	GREET_MS = 50,		/* between looks for whom messages of an unknown session come from */
};

struct peer {
	struct wg_peer *wg;
	struct path_peer *path;
	int64_t handshake_wall_ms, active_ms; /* active_ms: monotonic, last data either way */
	bool jailed;
};

struct dataplane {
	struct daemon *d;
	bool running;
	struct route *route;
	struct filter *filter;
	struct resolver *resolver;
	struct firewall *firewall;
	struct tun *tun;
	struct wg *wg;
	struct magic *magic;
	struct pump pump;
	struct loop_io *tun_io, *watch_io;
	int watch_fd;
	struct loop_timer timer, route_timer;
	struct loop_post turn;
	struct addr *keep; /* owned; sorted: no route may cover these */
	size_t n_keep;
	int64_t greeted_ms;
	bool turn_queued, routes_dirty, had_session, netcheck_asked;
};

static void queue_turn(struct dataplane *p);

/* ---- from where, to where ------------------------------------------------------------------------------------------ */

/* The token of a relayed message is its region. */
static struct wg_from to_wg(const struct path_from *f)
{
	return (struct wg_from){ .addr = f->addr, .relayed = f->key, .token = f->region };
}

static struct path_from to_path(const struct wg_from *f)
{
	return (struct path_from){ .addr = f->addr, .key = f->relayed, .region = (uint16_t)f->token };
}

static void on_send(void *ctx, struct wg_peer *peer, const struct wg_from *to, const struct wg_packet *pkts, size_t n)
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
static struct wg_peer *on_outbound(void *ctx, struct wg_packet *pkts, size_t n)
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

static void on_inbound(void *ctx, struct wg_packet *pkts, size_t n)
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

static void on_wg_event(void *ctx, const struct wg_event *ev)
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

static void on_wireguard(void *ctx, const struct path_from *from, struct wg_packet *pkts, size_t n)
{
	struct dataplane *p = ctx;
	struct wg_from at = to_wg(from);
	uint64_t unknown = wg_stats(p->wg)->unknown_index;
	int64_t now = clock_mono_ms();

	pump_deliver(&p->pump, &at, pkts, n, now);
	if (wg_stats(p->wg)->unknown_index != unknown)
		greet_lost(p, from, now);
	queue_turn(p); /* handshakes wait in the engine */
}

/* ---- what paths find out ------------------------------------------------------------------------------------------- */

static void take_endpoints(struct dataplane *p)
{
	struct control_self *s = &p->d->self;
	size_t n;
	const struct path_endpoint *e = path_endpoints(magic_path(p->magic), &n);

	s->n_endpoints = MIN_OF(n, (size_t)CONTROL_ENDPOINTS_MAX);
	for (size_t i = 0; i < s->n_endpoints; i++)
		s->endpoints[i] = (struct control_endpoint){ e[i].at, (int)e[i].type };
}

/* True: it tells control something new. */
static bool take_report(struct dataplane *p)
{
	struct control_self *s = &p->d->self;
	const struct path_report *r = path_report(magic_path(p->magic));

	int was_home = s->preferred_derp, was_varies = s->varies;
	bool had = s->has_netinfo, had_udp = s->udp, had_v6 = s->v6;

	s->preferred_derp = path_home(magic_path(p->magic));
	s->has_netinfo = s->preferred_derp != 0 || r->done_us != 0;
	s->has_report = r->done_us != 0;
	if (r->done_us) {
		if (r->varies != PATH_UNKNOWN) /* not each report finds out */
			s->varies = (int)r->varies;
		s->udp = r->udp;
		s->v6 = r->v6;
	}
	return was_home != s->preferred_derp || was_varies != s->varies || had != s->has_netinfo || had_udp != s->udp ||
		had_v6 != s->v6;
}

static void on_path_event(void *ctx, const struct path_event *ev)
{
	struct dataplane *p = ctx;
	struct peer *x = ev->peer ? path_peer_user(ev->peer) : NULL;

	switch (ev->kind) {
	case PATH_EV_ENDPOINTS:
		take_endpoints(p);
		daemon_endpoints_changed(p->d);
		break;
	case PATH_EV_HOME:
	case PATH_EV_REPORT:
		if (take_report(p))
			daemon_endpoints_changed(p->d);
		local_notify(p->d->local);
		if (ev->kind == PATH_EV_REPORT && p->netcheck_asked) {
			p->netcheck_asked = false;
			local_netcheck_done(p->d->local);
		}
		break;
	case PATH_EV_NUDGE:
		if (x && x->wg)
			wg_peer_kick(x->wg, clock_mono_ms());
		queue_turn(p);
		break;
	case PATH_EV_PING:
		local_ping_result(p->d->local, ev->ping.id, ev->ping.lost, ev->ping.latency_us, ev->ping.via, ev->ping.region);
		break;
	case PATH_EV_PROBE:
	case PATH_EV_CHANGED:
		break;
	}
}

/* ---- turns --------------------------------------------------------------------------------------------------------- */

static void on_turn(struct loop_post *post)
{
	struct dataplane *p = container_of(post, struct dataplane, turn);
	int64_t now = clock_mono_ms();
	bool more = false;

	p->turn_queued = false;
	if (!p->running)
		return;
	if (pump_turn(&p->pump, now, &more) != OK) {
		log_error("the tunnel device is gone", "tun=%s", p->d->opts.tun);
		dataplane_stop(p);
		return;
	}
	int64_t due = pump_due_ms(&p->pump);
	if (more)
		loop_timer_in(&p->timer, 0);
	else if (due == INT64_MAX)
		loop_timer_stop(&p->timer);
	else
		loop_timer_in(&p->timer, MAX_OF(due - now, (int64_t)1));
}

static void queue_turn(struct dataplane *p)
{
	if (p->turn_queued)
		return;
	p->turn_queued = true;
	loop_defer_node(p->d->loop, &p->turn);
}

static void on_timer(struct loop_timer *t)
{
	queue_turn(container_of(t, struct dataplane, timer));
}

static void on_tun(struct loop_io *io, unsigned ready, void *ctx)
{
	(void)io;
	(void)ready;
	queue_turn(ctx);
}

/* ---- the machine's network ----------------------------------------------------------------------------------------- */

static void read_local(struct dataplane *p, bool moved)
{
	struct addr a[LOCAL_MAX];
	size_t n;

	if (route_local_addrs(p->d->opts.tun, a, LOCAL_MAX, &n) == OK)
		magic_set_local(p->magic, a, n, moved);
}

static void on_watch(struct loop_io *io, unsigned ready, void *ctx)
{
	struct dataplane *p = ctx;

	(void)io;
	(void)ready;
	if (!route_watch_drain(p->watch_fd, p->d->opts.tun))
		return;
	read_local(p, true);
	control_network_changed(p->d->control, loop_now_ms(p->d->loop));
	control_link_kick(p->d->link);
}

static int by_addr(const void *a, const void *b)
{
	return addr_cmp(*(const struct addr *)a, *(const struct addr *)b);
}

/* The control server and the relays must stay reachable outside of the tunnel. True: they are others than before. */
static bool renew_keep(struct dataplane *p)
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

static const struct nm_node *exit_node(const struct dataplane *p)
{
	const char *wanted = p->d->state.prefs.exit_node;

	return *wanted ? netmap_exit_node(&p->d->netmap, bytes_str(wanted)) : NULL;
}

static size_t routes_of(const struct dataplane *p, const struct nm_node *n, struct prefix *out, size_t cap)
{
	return netmap_peer_routes(
		&p->d->netmap, n, p->d->state.prefs.accept_routes, n == exit_node(p), p->keep, p->n_keep, out, cap);
}

static void set_routes(struct dataplane *p)
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
		count += routes_of(p, n, all + count, ROUTE_PREFIXES_MAX - count);
	/* Where it is not there nothing leaves: a person who chose it does not want to be seen without. */
	if (*prefs->exit_node && !exit_node(p) && count + 2 <= ROUTE_PREFIXES_MAX) {
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

static void on_route_timer(struct loop_timer *t)
{
	struct dataplane *p = container_of(t, struct dataplane, route_timer);

	if (!p->running || !p->routes_dirty)
		return;
	set_routes(p);
	if (!p->routes_dirty)
		resolver_update(p->resolver, NM_ALL);
}

/* ---- peers --------------------------------------------------------------------------------------------------------- */

static struct peer *peer_by_key(const struct dataplane *p, const struct node_pub *key)
{
	struct wg_peer *w = wg_peer_by_key(p->wg, key);

	return w ? wg_peer_user(w) : NULL;
}

static void remove_peer(struct dataplane *p, const struct node_pub *key)
{
	struct peer *x = peer_by_key(p, key);

	if (!x)
		return;
	p->routes_dirty = true;
	if (x->path)
		path_del_peer(x->path);
	wg_peer_del(x->wg);
	free(x);
}

static err set_path(struct dataplane *p, struct peer *x, const struct nm_node *n)
{
	struct path_peer_config c = {
		.key = n->key,
		.disco = n->disco,
		.home = (uint16_t)n->home_derp,
		.endpoints = n->endpoints,
		.n_endpoints = n->n_endpoints,
		.user = x,
	};

	magic_flush(p->magic);
	return path_set_peer(magic_path(p->magic), &c, clock_mono_us(), &x->path);
}

static err add_peer(struct dataplane *p, const struct nm_node *n)
{
	struct prefix allowed[NM_ALLOWED_MAX];
	struct peer *x = calloc(1, sizeof *x);
	struct wg_peer_config c = {
		.key = n->key,
		.allowed = allowed,
		.n_allowed = routes_of(p, n, allowed, NM_ALLOWED_MAX),
		.user = x,
	};

	if (!x)
		return ERR_NOMEM;
	err e = wg_peer_add(p->wg, &c, &x->wg);
	if (e != OK) {
		free(x);
		return e;
	}
	x->jailed = n->jailed;
	p->routes_dirty = true;
	e = set_path(p, x, n);
	if (e != OK)
		remove_peer(p, &n->key);
	return e;
}

static err change_peer(struct dataplane *p, struct peer *x, const struct nm_node *n, unsigned what)
{
	struct prefix allowed[NM_ALLOWED_MAX];

	x->jailed = n->jailed;
	if (what & NM_DISCO) /* it restarted */
		wg_peer_reset(x->wg);
	if (what & NM_ALLOWED) {
		p->routes_dirty = true;
		TRY(wg_peer_set_allowed(x->wg, allowed, routes_of(p, n, allowed, NM_ALLOWED_MAX)));
	}
	return what & (NM_DISCO | NM_HOME | NM_ENDPOINTS) ? set_path(p, x, n) : OK;
}

void dataplane_peer(struct dataplane *p, const struct nm_node *now, unsigned what, const struct node_pub *was_key)
{
	if (!p->running)
		return;
	if (what & NM_KEY && !node_pub_eq(was_key, &now->key))
		remove_peer(p, was_key);
	struct peer *x = peer_by_key(p, &now->key);
	if (!nm_is_usable(&p->d->netmap, now, clock_wall_ms())) {
		remove_peer(p, &now->key);
		return;
	}
	err e = x ? change_peer(p, x, now, what) : add_peer(p, now);
	if (e != OK) {
		static struct log_limit limit = LOG_LIMIT(5, 60000);
		char key[KEY_SHORT_MAX];

		if (log_allow(&limit))
			log_warn("a peer cannot be used", "peer=%s error=%s", node_pub_short(&now->key, key), log_qs(err_text(e)).s);
	}
	queue_turn(p);
}

void dataplane_peer_gone(struct dataplane *p, const struct nm_node *was)
{
	if (p->running)
		remove_peer(p, &was->key);
}

static void add_all(struct dataplane *p)
{
	const struct nm_node *n;

	for (size_t at = 0; (n = netmap_next(&p->d->netmap, &at));)
		dataplane_peer(p, n, NM_ALL, &n->key);
}

static void remove_all(struct dataplane *p)
{
	struct wg_peer *w;
	size_t at = 0;

	while ((w = wg_next_peer(p->wg, &at))) {
		struct node_pub key = *wg_peer_key(w);

		remove_peer(p, &key);
		at = 0;
	}
}

/* ---- the netmap ---------------------------------------------------------------------------------------------------- */

static bool has_cap(void *ctx, struct addr src, const char *cap)
{
	struct dataplane *p = ctx;
	const struct nm_node *n = netmap_by_address(&p->d->netmap, src);

	for (size_t i = 0; n && i < n->n_caps; i++)
		if (strcmp(n->caps[i], cap) == 0)
			return true;
	return false;
}

/* Our addresses, and what we route for others. */
static err set_filter_self(struct dataplane *p, const struct nm_node *self)
{
	const struct prefs *prefs = &p->d->state.prefs;
	struct prefix ours[NM_ADDRESSES_MAX + STATE_ROUTES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < self->n_addresses; i++)
		ours[n++] = self->addresses[i];
	for (size_t i = 0; i < prefs->n_routes; i++)
		ours[n++] = prefs->routes[i];
	filter_set_exit(p->filter, prefs->advertise_exit);
	return filter_set_self(p->filter, ours, n);
}

static void set_filter(struct dataplane *p)
{
	const struct netmap *nm = &p->d->netmap;

	filter_set_shields_up(p->filter, p->d->state.prefs.shields_up);
	if (filter_set_rules(p->filter, nm->rules, nm->n_rules) != OK || (nm->self && set_filter_self(p, nm->self) != OK)) {
		log_error("the packet filter cannot be set: nothing new comes in", "rules=%zu", nm->n_rules);
		filter_set_shields_up(p->filter, true);
	}
}

void dataplane_netmap(struct dataplane *p, unsigned what)
{
	const struct netmap *nm = &p->d->netmap;

	if (!p->running)
		return;
	if (what & NM_DERP && nm->derp && magic_set_derp_map(p->magic, nm->derp, control_link_is_loopback(p->d->link)) != OK)
		log_warn("the relays cannot be used", "regions=%zu", nm->derp->n_regions);
	if (what & (NM_FILTER | NM_SELF))
		set_filter(p);
	firewall_forward(p->firewall, p->d->state.prefs.n_routes || p->d->state.prefs.advertise_exit);
	if (renew_keep(p) || what == NM_ALL) { /* preferences may have changed which routes count, too */
		const struct nm_node *n;

		for (size_t at = 0; (n = netmap_next(nm, &at));)
			dataplane_peer(p, n, NM_ALLOWED, &n->key);
	}
	if (what & (NM_SELF | NM_DNS) || p->routes_dirty)
		set_routes(p);
	if (what & (NM_SELF | NM_DNS | NM_PEERS) && !p->routes_dirty)
		resolver_update(p->resolver, what);
	queue_turn(p);
}

void dataplane_servers_changed(struct dataplane *p)
{
	if (p->running && renew_keep(p))
		dataplane_netmap(p, NM_ALL);
}

static void on_relays(void *ctx)
{
	dataplane_servers_changed(ctx);
}

void dataplane_key(struct dataplane *p)
{
	if (!p->running)
		return;
	wg_set_key(p->wg, &p->d->state.node);
	magic_set_key(p->magic, &p->d->state.node);
	queue_turn(p);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

err dataplane_new(struct daemon *d, struct dataplane **out)
{
	struct dataplane *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	*p = (struct dataplane){ .d = d, .watch_fd = -1, .turn = { .fn = on_turn } };
	loop_timer_init(&p->timer, d->loop, on_timer);
	loop_timer_init(&p->route_timer, d->loop, on_route_timer);
	err e = route_new(&p->route);
	if (e == OK)
		e = route_cleanup(p->route); /* what a killed one left */
	if (e == OK)
		e = filter_new(&p->filter);
	if (e == OK)
		e = resolver_new(d, &p->resolver);
	if (e == OK)
		e = firewall_new(d->loop, d->opts.tun, &p->firewall);
	if (e != OK) {
		dataplane_free(p);
		return e;
	}
	filter_set_caps(p->filter, has_cap, p);
	*out = p;
	return OK;
}

void dataplane_free(struct dataplane *p)
{
	if (!p)
		return;
	dataplane_stop(p);
	loop_defer_cancel(p->d->loop, &p->turn);
	loop_timer_done(&p->timer);
	loop_timer_done(&p->route_timer);
	resolver_free(p->resolver);
	firewall_free(p->firewall);
	filter_free(p->filter);
	route_free(p->route);
	free(p);
}

/* Peers take no initiation older than one they have seen. Where the clock went back, ours go on from the last known one. */
static struct wg_timestamp first_timestamp(struct daemon *d, int64_t wall_ms)
{
	if (wall_ms >= d->state.last_initiation_ms)
		return (struct wg_timestamp){ 0 };
	d->state.last_initiation_ms += STATE_INITIATION_MS;
	daemon_save_soon(d);
	return wg_timestamp_of(d->state.last_initiation_ms);
}

static err open_all(struct dataplane *p)
{
	struct daemon *d = p->d;
	uint16_t port = d->opts.port ? d->opts.port : d->state.last_port ? d->state.last_port : MAGIC_PORT;
	struct wg_config w = { .key = &d->state.node, .mtu = d->opts.mtu, .now_ms = clock_mono_ms(), .wall_ms = clock_wall_ms() };
	w.after = first_timestamp(d, w.wall_ms);
	struct magic_config m = {
		.loop = d->loop,
		.key = &d->state.node,
		.disco = &d->state.disco,
		.port = port,
		.on_wireguard = on_wireguard,
		.on_event = on_path_event,
		.on_relays = on_relays,
		.ctx = p,
	};

	TRY(tun_open(d->opts.tun, TUN_ALL, d->opts.mtu, &p->tun));
	TRY(wg_new(&w, &p->wg));
	TRY(magic_new(&m, &p->magic));
	p->pump = (struct pump){
		.wg = p->wg,
		.tun = p->tun,
		.hooks = { .ctx = p, .send = on_send, .outbound = on_outbound, .inbound = on_inbound, .event = on_wg_event },
	};
	TRY(loop_io_new(d->loop, tun_fd(p->tun), on_tun, p, &p->tun_io));
	loop_io_want(p->tun_io, LOOP_READ);
	if (route_watch_open(&p->watch_fd) == OK)
		TRY(loop_io_new(d->loop, p->watch_fd, on_watch, p, &p->watch_io));
	if (p->watch_io)
		loop_io_want(p->watch_io, LOOP_READ);
	return OK;
}

static void close_all(struct dataplane *p)
{
	if (p->wg && p->magic)
		remove_all(p);
	loop_timer_stop(&p->timer);
	loop_timer_stop(&p->route_timer);
	loop_io_close(MOVE(p->tun_io));
	loop_io_close(MOVE(p->watch_io));
	if (p->watch_fd >= 0)
		close(p->watch_fd);
	p->watch_fd = -1;
	magic_free(MOVE(p->magic));
	wg_free(MOVE(p->wg));
	tun_close(MOVE(p->tun));
	free(MOVE(p->keep));
	p->n_keep = 0;
}

err dataplane_start(struct dataplane *p)
{
	struct daemon *d = p->d;

	if (p->running)
		return OK;
	err e = open_all(p);
	if (e != OK) {
		close_all(p);
		log_error("the tunnel cannot be set up", "tun=%s error=%s errno=%m", d->opts.tun, log_qs(err_text(e)).s);
		return e;
	}
	p->running = true;
	p->had_session = false;
	d->state.last_port = magic_port(p->magic, 4);
	if (d->state.last_home)
		path_hint_home(magic_path(p->magic), (uint16_t)d->state.last_home);
	read_local(p, false);
	firewall_start(p->firewall);
	add_all(p);
	dataplane_netmap(p, NM_ALL);
	queue_turn(p);
	return OK;
}

void dataplane_stop(struct dataplane *p)
{
	if (!p->running)
		return;
	p->running = false;
	resolver_stop(p->resolver); /* first: nobody may be left asking an address that is gone */
	close_all(p);
	firewall_stop(p->firewall);
	if (route_cleanup(p->route) != OK)
		log_warn("routes may be left behind", "table=%d", ROUTE_TABLE);
	p->d->self.n_endpoints = 0;
}

bool dataplane_dns_is_overruled(const struct dataplane *p)
{
	return p->running && resolver_is_overruled(p->resolver);
}

bool dataplane_is_ready(const struct dataplane *p)
{
	return p->running && (p->had_session || path_home(magic_path(p->magic)));
}

/* ---- questions ----------------------------------------------------------------------------------------------------- */

bool dataplane_peer_status(struct dataplane *p, const struct node_pub *key, struct dataplane_peer *out)
{
	struct peer *x = p->running ? peer_by_key(p, key) : NULL;
	struct path_peer_status s;

	if (!x)
		return false;
	struct wg_peer_status w = wg_peer_status(x->wg, clock_mono_ms());
	path_peer_status(x->path, clock_mono_us(), &s);
	*out = (struct dataplane_peer){
		.active = x->active_ms && clock_mono_ms() - x->active_ms < ACTIVE_MS,
		.relay = s.home,
		.rx_bytes = w.rx_bytes,
		.tx_bytes = w.tx_bytes,
		.handshake_ms = x->handshake_wall_ms,
	};
	if (s.trusted)
		out->direct = s.best;
	return true;
}

err dataplane_ping(struct dataplane *p, const struct node_pub *key, uint64_t *id)
{
	struct peer *x = p->running ? peer_by_key(p, key) : NULL;

	if (!x)
		return ERR_NOT_FOUND;
	magic_flush(p->magic);
	return path_ping(x->path, clock_mono_us(), id);
}

err dataplane_netcheck(struct dataplane *p)
{
	if (!p->running || !p->d->netmap.derp)
		return ERR_STATE;
	p->netcheck_asked = true;
	path_netcheck(magic_path(p->magic), clock_mono_us());
	magic_flush(p->magic);
	return OK;
}

void dataplane_write_netcheck(struct dataplane *p, struct jsonw *w)
{
	report_write(w, path_report(magic_path(p->magic)), p->d->netmap.derp);
}

void dataplane_write_paths(struct dataplane *p, struct jsonw *w)
{
	const struct nm_node *n;
	char name[NM_TEXT_MAX + 1];

	jsonw_obj(w);
	for (size_t at = 0; p->running && (n = netmap_next(&p->d->netmap, &at));) {
		struct peer *x = peer_by_key(p, &n->key);
		struct path_peer_status s;

		if (!x)
			continue;
		path_peer_status(x->path, clock_mono_us(), &s);
		jsonw_key_bytes(w, bytes_str(nm_short_name(&p->d->netmap, n, name, sizeof name)));
		report_write_paths(w, &s);
	}
	jsonw_obj_end(w);
}
