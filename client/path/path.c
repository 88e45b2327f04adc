/* The engine's frame: life, the world it is told of, outputs, time. peer.c decides, disco.c talks, netcheck.c measures. */
#include "client/path/path.h"

#include <stdlib.h>

#include "client/path/internal.h"
#include "common/base/cleanup.h"
#include "common/wire/demux.h"

/* ---- life ----------------------------------------------------------------------------------------------------- */

err path_new(const struct path_config *c, struct path **out)
{
	struct path *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	p->key = c->key;
	p->disco = *c->disco;
	p->has_v4 = p->has_v6 = true;
	p->by_key = MAP_OF(struct path_peer, key);
	p->by_disco = MAP_OF(struct disco_ref, key);
	p->pings = MAP_OF(struct sent_ping, txid);
	list_init(&p->pings_by_time);
	list_init(&p->active);
	list_init(&p->told);
	p->out = buf_make(PATH_OUT_MAX);
	p->check.next_ms = INT64_MAX;
	p->check.last_full_ms = p->check.last_answer_ms = NEVER_MS;
	path_enter(p, c->now_us);
	*out = p;
	return OK;
}

void path_free(struct path *p)
{
	struct path_peer *peer;
	size_t at = 0;

	if (!p)
		return;
	while ((peer = map_next(&p->by_key, &at)))
		path_del_peer(peer);
	map_done(&p->by_key);
	map_done(&p->by_disco);
	map_done(&p->pings);
	timer_heap_free(&p->timers);
	buf_done(&p->out);
	free(p->region);
	free(p->check.plan);
	secret32_wipe(&p->disco.secret);
	free(p);
}

void path_set_key(struct path *p, const struct node_pub *key)
{
	p->key = *key;
}

void path_enter(struct path *p, int64_t now_us)
{
	if (now_us > p->now_us) {
		p->now_us = now_us;
		p->now_ms = now_us / 1000;
	}
}

/* ---- the world ------------------------------------------------------------------------------------------------ */

/* Same addresses and rules: then nothing is measured anew. */
static bool same_region(const struct path_region *a, const struct path_region *b)
{
	if (a->id != b->id || a->n_nodes != b->n_nodes || a->no_measure_no_home != b->no_measure_no_home ||
		a->avoid != b->avoid)
		return false;
	for (size_t i = 0; i < a->n_nodes; i++) {
		const struct path_node *m = &a->node[i], *n = &b->node[i];

		if (!addr_eq(m->v4, n->v4) || !addr_eq(m->v6, n->v6) || m->stun_port != n->stun_port)
			return false;
	}
	return true;
}

err path_set_regions(struct path *p, const struct path_region *r, size_t n, int64_t now_us)
{
	struct region *fresh = NULL;
	bool changed = false;

	path_enter(p, now_us);
	n = MIN_OF(n, (size_t)PATH_REGIONS_MAX);
	if (n && !(fresh = calloc(n, sizeof *fresh)))
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct region *old = region_by_id(p, r[i].id);

		if (old)
			fresh[i] = *old;
		else
			fresh[i].heard_ms = NEVER_MS;
		changed |= !old || !same_region(&old->def, &r[i]);
		fresh[i].def = r[i];
		fresh[i].def.n_nodes = MIN_OF(r[i].n_nodes, (size_t)PATH_NODES_MAX);
	}
	free(p->region);
	p->region = fresh;
	p->n_regions = n;
	if (p->home && !region_by_id(p, p->home))
		home_set(p, 0);
	if (!p->home && p->hint && region_by_id(p, p->hint))
		home_set(p, p->hint);
	else if (!p->home && n == 1)
		home_set(p, r[0].id);
	if (n && changed)
		netcheck_start(p, true);
	return OK;
}

void path_hint_home(struct path *p, uint16_t region)
{
	p->hint = region;
	if (!p->home && region_by_id(p, region))
		home_set(p, region);
}

void path_set_local(struct path *p, const struct addrport *at, size_t n, bool moved, int64_t now_us)
{
	path_enter(p, now_us);
	p->n_local = 0;
	p->has_loopback = false;
	for (size_t i = 0; i < n && p->n_local < PATH_LOCAL_MAX; i++) {
		/* An address on one link means nothing to others without its zone. */
		if (at[i].addr.family == 6 && addr_is_link_local(at[i].addr))
			continue;
		p->local[p->n_local++] = at[i];
		p->has_loopback |= addr_is_loopback(at[i].addr);
	}
	if (moved) {
		p->n_mapped = 0;
		list_each(it, &p->active)
			peer_forget_best(container_of(it, struct path_peer, active));
		if (p->n_regions)
			netcheck_start(p, false);
	}
	endpoints_rebuild(p);
	if (moved) {
		list_each(it, &p->active)
			peer_news(container_of(it, struct path_peer, active), true);
	}
}

void path_set_families(struct path *p, bool has_v4, bool has_v6)
{
	p->has_v4 = has_v4;
	p->has_v6 = has_v6;
}

/* ---- datagrams in --------------------------------------------------------------------------------------------- */

static enum path_got recv_derp(struct path *p, const struct path_from *from, struct bytes packet)
{
	struct path_peer *peer = path_peer_by_key(p, &from->key);

	if (disco_looks_like(packet)) {
		if (peer)
			peer->last_region = from->region;
		return disco_recv(p, from, packet);
	}
	if (!peer)
		return PATH_DROP;
	peer->last_region = from->region;
	return PATH_WIREGUARD;
}

enum path_got path_recv(struct path *p, const struct path_from *from, struct bytes packet, int64_t now_us)
{
	struct geneve g;
	struct bytes inner = packet;

	path_enter(p, now_us);
	if (from->addr.addr.family == 0)
		return recv_derp(p, from, packet);
	switch (udp_demux(packet, &g, &inner)) {
	case UDP_STUN:
		netcheck_recv(p, packet);
		return PATH_TAKEN;
	case UDP_DISCO:
		return disco_recv(p, from, packet);
	case UDP_RELAYED_DISCO: /* we never asked a relay for a path */
	case UDP_RELAYED_WIREGUARD:
		return PATH_DROP;
	case UDP_WIREGUARD:
		break;
	}
	return PATH_WIREGUARD;
}

void path_derp_up(struct path *p, uint16_t region, bool up, int64_t now_us)
{
	struct region *r = region_by_id(p, region);

	path_enter(p, now_us);
	if (!r)
		return;
	bool news = up && !r->up;
	r->up = up;
	if (!up)
		home_failed(p, r);
	if (!news)
		return;
	r->down_ms = 0;
	r->heard_ms = p->now_ms;
	list_each(it, &p->active) {
		struct path_peer *peer = container_of(it, struct path_peer, active);

		if (path_is_trusted(peer) || (peer->home ? peer->home : peer->last_region) != region)
			continue;
		path_tell(peer, TOLD_NUDGE);
		peer_news(peer, true);
	}
}

void path_derp_heard(struct path *p, uint16_t region, int64_t now_us)
{
	struct region *r = region_by_id(p, region);

	path_enter(p, now_us);
	if (r)
		r->heard_ms = p->now_ms;
}

void path_derp_latency(struct path *p, uint16_t region, int64_t latency_us, int64_t now_us)
{
	struct region *r = region_by_id(p, region);

	path_enter(p, now_us);
	if (!r || latency_us < 0)
		return;
	r->derp_us = MAX_OF(latency_us, (int64_t)1);
	r->heard_ms = p->now_ms;
	/* STUN is the better measure: DERP's goes through TCP and a queue. */
	if (!r->v4_us && !r->v6_us)
		home_sample(p, r, r->derp_us);
	home_first(p, region);
}

/* ---- datagrams out -------------------------------------------------------------------------------------------- */

/* How a datagram lies in p->out; its bytes follow. */
struct out_head {
	struct addrport to;
	uint16_t region;
	struct node_pub key;
	size_t n;
};

void path_put(struct path *p, const struct path_out *o)
{
	struct out_head h = { .to = o->to, .region = o->region, .key = o->key, .n = o->packet.n };

	if (buf_len(&p->out) + sizeof h + o->packet.n > PATH_OUT_MAX || !buf_reserve(&p->out, sizeof h + o->packet.n)) {
		p->stats.out_full++;
		return;
	}
	buf_append(&p->out, bytes_of(&h, sizeof h));
	buf_append(&p->out, o->packet);
}

bool path_pull(struct path *p, struct path_out *out)
{
	struct out_head h;

	buf_consume(&p->out, p->out_used);
	p->out_used = 0;
	struct bytes b = buf_view(&p->out);
	if (b.n < sizeof h)
		return false;
	memcpy(&h, b.p, sizeof h);
	*out = (struct path_out){ .to = h.to, .region = h.region, .key = h.key };
	out->packet = bytes_first(bytes_skip(b, sizeof h), h.n);
	p->out_used = sizeof h + h.n;
	return true;
}

/* ---- events --------------------------------------------------------------------------------------------------- */

void path_tell(struct path_peer *peer, unsigned what)
{
	if (!peer->told_what)
		list_add_tail(&peer->path->told, &peer->told);
	peer->told_what |= what;
}

void path_result(struct path *p, const struct path_event *ev)
{
	if (p->n_results < PATH_RESULTS_MAX)
		p->result[(p->first_result + p->n_results++) % PATH_RESULTS_MAX] = *ev;
}

static bool take_flag(bool *flag)
{
	bool was = *flag;

	*flag = false;
	return was;
}

static bool next_peer_event(struct path *p, struct path_event *out)
{
	if (list_is_empty(&p->told))
		return false;
	struct path_peer *peer = container_of(p->told.next, struct path_peer, told);
	unsigned what = peer->told_what & TOLD_CHANGED ? TOLD_CHANGED : TOLD_NUDGE;

	*out = (struct path_event){ .kind = what == TOLD_CHANGED ? PATH_EV_CHANGED : PATH_EV_NUDGE, .peer = peer };
	peer->told_what &= ~what;
	if (!peer->told_what)
		list_del(&peer->told);
	return true;
}

bool path_next_event(struct path *p, struct path_event *out)
{
	*out = (struct path_event){ 0 };
	if (take_flag(&p->ev_home)) {
		out->kind = PATH_EV_HOME;
		return true;
	}
	if (take_flag(&p->ev_endpoints)) {
		out->kind = PATH_EV_ENDPOINTS;
		return true;
	}
	if (next_peer_event(p, out))
		return true;
	if (p->n_results) {
		*out = p->result[p->first_result];
		p->first_result = (p->first_result + 1) % PATH_RESULTS_MAX;
		p->n_results--;
		return true;
	}
	if (take_flag(&p->ev_report)) {
		out->kind = PATH_EV_REPORT;
		return true;
	}
	for (size_t i = 0; i < p->n_regions; i++) {
		if (take_flag(&p->region[i].wants_probe)) {
			out->kind = PATH_EV_PROBE;
			out->region = p->region[i].def.id;
			return true;
		}
	}
	return false;
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

int64_t path_due_ms(const struct path *p)
{
	const struct loop_timer *t = timer_heap_first(&p->timers);
	int64_t due = t ? t->due_ms : INT64_MAX;

	due = MIN_OF(due, disco_due_ms(p));
	return MIN_OF(due, netcheck_due_ms(p));
}

void path_tick(struct path *p, int64_t now_us)
{
	struct loop_timer *t;

	path_enter(p, now_us);
	disco_expire_pings(p);
	netcheck_tick(p);
	while ((t = timer_heap_first(&p->timers)) && t->due_ms <= p->now_ms) {
		timer_heap_remove(&p->timers, t);
		peer_step(container_of(t, struct path_peer, due));
	}
}

/* ---- questions ------------------------------------------------------------------------------------------------ */

const struct path_endpoint *path_endpoints(const struct path *p, size_t *n)
{
	*n = p->n_endpoints;
	return p->endpoint;
}

uint16_t path_home(const struct path *p)
{
	return p->home;
}

const struct disco_pub *path_disco(const struct path *p)
{
	return &p->disco.pub;
}

const struct path_report *path_report(const struct path *p)
{
	return &p->report;
}

const struct path_stats *path_stats(const struct path *p)
{
	return &p->stats;
}

void path_netcheck(struct path *p, int64_t now_us)
{
	path_enter(p, now_us);
	netcheck_start(p, true);
}
