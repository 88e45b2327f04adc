#include "client/dataplane_internal.h"

#include <stdlib.h>
#include <unistd.h>

#include "client/local.h"
#include "client/path/report.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/text/jsonw.h"

enum {
	ACTIVE_MS = 120 * 1000,
};

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
		dp_queue_turn(p);
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

void dp_queue_turn(struct dataplane *p)
{
	if (p->turn_queued)
		return;
	p->turn_queued = true;
	loop_defer_node(p->d->loop, &p->turn);
}

static void on_timer(struct loop_timer *t)
{
	dp_queue_turn(container_of(t, struct dataplane, timer));
}

static void on_tun(struct loop_io *io, unsigned ready, void *ctx)
{
	(void)io;
	(void)ready;
	dp_queue_turn(ctx);
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
	if (dp_renew_keep(p) || what == NM_ALL) { /* preferences may have changed which routes count, too */
		const struct nm_node *n;

		for (size_t at = 0; (n = netmap_next(nm, &at));)
			dataplane_peer(p, n, NM_ALLOWED, &n->key);
	}
	if (what & (NM_SELF | NM_DNS) || p->routes_dirty)
		dp_set_routes(p);
	if (what & (NM_SELF | NM_DNS | NM_PEERS) && !p->routes_dirty)
		resolver_update(p->resolver, what);
	dp_queue_turn(p);
}

void dataplane_servers_changed(struct dataplane *p)
{
	if (p->running && dp_renew_keep(p))
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
	dp_queue_turn(p);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

err dataplane_new(struct daemon *d, struct dataplane **out)
{
	struct dataplane *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	*p = (struct dataplane){ .d = d, .watch_fd = -1, .turn = { .fn = on_turn } };
	loop_timer_init(&p->timer, d->loop, on_timer);
	loop_timer_init(&p->route_timer, d->loop, dp_on_route_timer);
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
		.on_wireguard = dp_on_wireguard,
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
		.hooks = { .ctx = p, .send = dp_on_send, .outbound = dp_on_outbound, .inbound = dp_on_inbound, .event = dp_on_wg_event },
	};
	TRY(loop_io_new(d->loop, tun_fd(p->tun), on_tun, p, &p->tun_io));
	loop_io_want(p->tun_io, LOOP_READ);
	if (route_watch_open(&p->watch_fd) == OK)
		TRY(loop_io_new(d->loop, p->watch_fd, dp_on_watch, p, &p->watch_io));
	if (p->watch_io)
		loop_io_want(p->watch_io, LOOP_READ);
	return OK;
}

static void close_all(struct dataplane *p)
{
	if (p->wg && p->magic)
		dp_remove_all(p);
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
	dp_read_local(p, false);
	firewall_start(p->firewall);
	dp_add_all(p);
	dataplane_netmap(p, NM_ALL);
	dp_queue_turn(p);
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
	struct peer *x = p->running ? dp_peer_by_key(p, key) : NULL;
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
	struct peer *x = p->running ? dp_peer_by_key(p, key) : NULL;

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
		struct peer *x = dp_peer_by_key(p, &n->key);
		struct path_peer_status s;

		if (!x)
			continue;
		path_peer_status(x->path, clock_mono_us(), &s);
		jsonw_key_bytes(w, bytes_str(nm_short_name(&p->d->netmap, n, name, sizeof name)));
		report_write_paths(w, &s);
	}
	jsonw_obj_end(w);
}
