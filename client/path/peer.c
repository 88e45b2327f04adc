/* One peer: when its candidates are tried, which path is best, and how long that is believed.
 *
 * Against the official client (disco.md 7): pings begin with the first packet and go on in a quick series (burst_step_ms),
 * whatever heartbeat comes when; a ping from an address that we have not proven is answered with one of ours at once; and
 * the best path's ping is repeated after a second, so that a lost packet does not cost the path. */
#include <stdlib.h>

#include "client/path/internal.h"
#include "common/base/cleanup.h"

/* After news: so long until the next round of pings, while there is no path. */
static const int64_t burst_step_ms[BURST] = { 150, 350, 1000, 2000 };

bool path_is_trusted(const struct path_peer *peer)
{
	return peer->best.addr.family && peer->path->now_ms <= peer->trust_until_ms;
}

/* ---- added, changed, removed ---------------------------------------------------------------------------------- */

static err add_peer(struct path *p, const struct path_peer_config *c, struct path_peer **out)
{
	if (p->by_key.n >= PATH_PEERS_MAX)
		return ERR_TOO_BIG;
	struct path_peer *peer = calloc(1, sizeof *peer);
	if (!peer)
		return ERR_NOMEM;
	peer->key = c->key;
	peer->path = p;
	list_init(&peer->of_disco);
	list_init(&peer->active);
	list_init(&peer->told);
	peer->last_send_ms = peer->last_full_ms = peer->last_call_ms = peer->gone_ms = NEVER_MS;
	peer->trust_until_ms = peer->next_full_ms = NEVER_MS;
	if (!timer_heap_reserve(&p->timers)) {
		free(peer);
		return ERR_NOMEM;
	}
	err e = map_put(&p->by_key, peer);
	if (e != OK) {
		timer_heap_unreserve(&p->timers);
		free(peer);
		return e;
	}
	*out = peer;
	return OK;
}

void path_del_peer(struct path_peer *peer)
{
	if (!peer)
		return;
	struct path *p = peer->path;

	disco_forget_pings(peer);
	disco_leave(peer);
	for (size_t i = 0; i < p->n_results; i++) {
		struct path_event *ev = &p->result[(p->first_result + i) % PATH_RESULTS_MAX];

		if (ev->peer == peer)
			ev->peer = NULL;
	}
	timer_heap_remove(&p->timers, &peer->due);
	timer_heap_unreserve(&p->timers);
	list_del(&peer->active);
	if (peer->told_what)
		list_del(&peer->told);
	map_del(&p->by_key, &peer->key);
	free(peer->cand);
	free(peer);
}

/* True: one of them is new. */
static bool set_netmap_endpoints(struct path_peer *peer, const struct addrport *at, size_t n)
{
	bool news = false;

	for (size_t i = 0; i < peer->n_cand; i++)
		peer->cand[i].netmap = false;
	for (size_t i = 0; i < n && i < PATH_CANDIDATES_MAX; i++) {
		if (!candidate_ok(peer->path, at[i]))
			continue;
		struct candidate *c = candidate_add(peer, at[i]);
		if (!c)
			break;
		news |= c->ping_ms == NEVER_MS;
		c->netmap = true;
	}
	candidates_prune(peer);
	return news;
}

/* Nothing that the old key proved is of use. */
static err change_disco(struct path_peer *peer, const struct disco_pub *key)
{
	if (peer->disco ? disco_pub_eq(&peer->disco->key, key) : disco_pub_is_zero(key))
		return OK;
	disco_forget_pings(peer);
	disco_leave(peer);
	peer_forget_best(peer);
	for (size_t i = 0; i < peer->n_cand; i++) {
		peer->cand[i].ping_ms = peer->cand[i].pong_ms = NEVER_MS;
		peer->cand[i].waiting = false;
	}
	return disco_pub_is_zero(key) ? OK : disco_join(peer, key);
}

err path_set_peer(struct path *p, const struct path_peer_config *c, int64_t now_us, struct path_peer **out)
{
	struct path_peer *peer = path_peer_by_key(p, &c->key);
	bool is_new = !peer;

	path_enter(p, now_us);
	if (is_new)
		TRY(add_peer(p, c, &peer));
	struct disco_ref *old = peer->disco;
	err e = change_disco(peer, &c->disco);
	if (e != OK) {
		if (is_new)
			path_del_peer(peer);
		return e;
	}
	peer->user = c->user;
	bool moved = c->home && peer->home != c->home;
	peer->home = c->home;
	bool news = set_netmap_endpoints(peer, c->endpoints, c->n_endpoints) || peer->disco != old || moved;
	if (peer->is_active && news) {
		if (moved || peer->disco != old)
			path_tell(peer, TOLD_NUDGE);
		peer_news(peer, true);
	}
	*out = peer;
	return OK;
}

void path_set_peer_disco(struct path_peer *peer, const struct disco_pub *disco, int64_t now_us)
{
	struct disco_ref *old = peer->disco;

	path_enter(peer->path, now_us);
	if (disco_pub_is_zero(disco) || change_disco(peer, disco) != OK)
		return; /* without memory it is reached by DERP */
	if (peer->is_active && peer->disco != old)
		peer_news(peer, true);
}

struct path_peer *path_peer_by_key(const struct path *p, const struct node_pub *key)
{
	return map_get(&p->by_key, key);
}

struct path_peer *path_next_peer(const struct path *p, size_t *at)
{
	return map_next(&p->by_key, at);
}

struct path_peer *path_peer_at(const struct path *p, const struct path_from *from)
{
	struct path_peer *peer;
	size_t at = 0;

	if (!from->addr.addr.family)
		return path_peer_by_key(p, &from->key);
	while ((peer = map_next(&p->by_key, &at)))
		if (candidate_find(peer, from->addr))
			return peer;
	return NULL;
}

void *path_peer_user(const struct path_peer *peer)
{
	return peer->user;
}

const struct node_pub *path_peer_key(const struct path_peer *peer)
{
	return &peer->key;
}

/* ---- trying --------------------------------------------------------------------------------------------------- */

size_t peer_full_ping(struct path_peer *peer, int64_t apart_ms, bool call)
{
	struct path *p = peer->path;
	size_t sent = 0;

	if (!peer->disco)
		return 0;
	candidates_prune(peer);
	for (size_t i = 0; i < peer->n_cand; i++) {
		struct candidate *c = &peer->cand[i];

		if (p->now_ms - c->ping_ms < apart_ms || !candidate_ok(p, c->at))
			continue;
		sent += disco_send_ping(peer, c->at, 0, 0);
	}
	peer->last_full_ms = p->now_ms;
	peer->next_full_ms = p->now_ms + 1000;
	/* The official client calls only when it pinged something. But the peer may have none of our addresses that work,
	 * while its own calls make us ping all the time. */
	int64_t since_ms = p->now_ms - peer->last_call_ms;
	bool untold = peer->told_endpoints != p->endpoints_version;
	if (call && since_ms >= ((sent || untold) ? PING_NEWS_APART_MS : PING_APART_MS))
		disco_send_call(peer);
	return sent;
}

static bool wants_full(const struct path_peer *peer)
{
	const struct path *p = peer->path;

	if (!path_is_trusted(peer))
		return p->now_ms >= peer->next_full_ms;
	return peer->best_latency_us > GOOD_LATENCY_US && p->now_ms - peer->last_full_ms >= BETTER_MS;
}

void peer_news(struct path_peer *peer, bool call)
{
	if (!peer->disco)
		return;
	peer_full_ping(peer, PING_NEWS_APART_MS, call);
	peer->burst = 0;
	peer->burst_ms = peer->path->now_ms + burst_step_ms[0];
	peer_arm(peer);
}

static void burst_step(struct path_peer *peer)
{
	if (path_is_trusted(peer)) {
		peer->burst = BURST;
		return;
	}
	peer_full_ping(peer, PING_NEWS_APART_MS, true);
	if (++peer->burst < BURST)
		peer->burst_ms = peer->path->now_ms + burst_step_ms[peer->burst];
}

/* The best path's candidate, when its last ping waits for an answer. */
static struct candidate *waiting_best(struct path_peer *peer)
{
	struct candidate *c = peer->best.addr.family ? candidate_find(peer, peer->best) : NULL;

	return c && c->waiting ? c : NULL;
}

void peer_arm(struct path_peer *peer)
{
	struct path *p = peer->path;

	if (!peer->is_active)
		return;
	int64_t due = MIN_OF(peer->beat_ms, peer->last_send_ms + ACTIVE_MS);
	if (peer->burst < BURST)
		due = MIN_OF(due, peer->burst_ms);
	if (peer->again_ms)
		due = MIN_OF(due, peer->again_ms);
	const struct candidate *c = waiting_best(peer);
	if (c)
		due = MIN_OF(due, c->ping_ms + REPING_MS);
	if (peer->best.addr.family && peer->trust_until_ms >= p->now_ms)
		due = MIN_OF(due, peer->trust_until_ms + 1);
	timer_heap_set(&p->timers, &peer->due, MAX_OF(due, p->now_ms + 1));
}

static void activate(struct path_peer *peer)
{
	struct path *p = peer->path;

	peer->is_active = true;
	list_add_tail(&p->active, &peer->active);
	peer->beat_ms = p->now_ms + HEARTBEAT_MS;
	peer->burst = BURST;
	netcheck_wanted(p);
	if (!path_is_trusted(peer))
		peer_news(peer, true);
	peer_arm(peer);
}

static void deactivate(struct path_peer *peer)
{
	peer->is_active = false;
	peer->again_ms = 0;
	list_del(&peer->active);
	timer_heap_remove(&peer->path->timers, &peer->due);
	candidates_prune(peer);
}

void peer_step(struct path_peer *peer)
{
	struct path *p = peer->path;
	struct candidate *c;

	if (p->now_ms - peer->last_send_ms >= ACTIVE_MS) {
		deactivate(peer);
		return;
	}
	if (peer->best.addr.family && !path_is_trusted(peer)) {
		/* Twice TRUST_MS without an answer, or no ping of ours on its way there: it is dead. */
		c = candidate_find(peer, peer->best);
		if (!c || p->now_ms - peer->trust_until_ms > TRUST_MS)
			peer_forget_best(peer);
		else if (peer->burst >= BURST)
			peer_news(peer, true);
	}
	if (peer->burst < BURST && p->now_ms >= peer->burst_ms)
		burst_step(peer);
	if (peer->again_ms && p->now_ms >= peer->again_ms) {
		peer->again_ms = peer->agains-- > 1 ? p->now_ms + GONE_AGAIN_MS : 0;
		path_tell(peer, TOLD_NUDGE);
	}
	if (p->now_ms >= peer->beat_ms) {
		peer->beat_ms = p->now_ms + HEARTBEAT_MS;
		if (peer->best.addr.family)
			disco_send_ping(peer, peer->best, 0, 0);
		if (wants_full(peer))
			peer_full_ping(peer, PING_APART_MS, true);
	} else if ((c = waiting_best(peer)) && p->now_ms - c->ping_ms >= REPING_MS) {
		disco_send_ping(peer, peer->best, 0, 0);
	}
	peer_arm(peer);
}

/* ---- the best path -------------------------------------------------------------------------------------------- */

void peer_forget_best(struct path_peer *peer)
{
	if (!peer->best.addr.family)
		return;
	peer->best = (struct addrport){ 0 };
	peer->best_latency_us = 0;
	peer->trust_until_ms = NEVER_MS;
	peer->next_full_ms = NEVER_MS;
	path_tell(peer, TOLD_CHANGED);
}

void peer_proven(struct path_peer *peer, struct addrport at, int64_t latency_us)
{
	struct path_quality fresh = { at, latency_us }, best = { peer->best, peer->best_latency_us };
	bool had_path = path_is_trusted(peer);

	if (!addrport_eq(at, peer->best)) {
		if (had_path && !path_better(fresh, best))
			return;
		peer->best = at;
		path_tell(peer, TOLD_CHANGED);
		if (!had_path)
			path_tell(peer, TOLD_NUDGE);
	}
	peer->best_latency_us = latency_us;
	peer->trust_until_ms = peer->path->now_ms + TRUST_MS;
	peer_arm(peer);
}

static bool is_doubtful(struct path_peer *peer)
{
	const struct candidate *c = waiting_best(peer);

	return c && peer->path->now_ms - c->unanswered_ms >= MAX_OF((int64_t)DOUBT_MS, 3 * peer->best_latency_us / 1000);
}

void path_route(struct path_peer *peer, int64_t now_us, struct path_route *out)
{
	struct path *p = peer->path;

	path_enter(p, now_us);
	peer->last_send_ms = p->now_ms;
	if (!peer->is_active)
		activate(peer);
	*out = (struct path_route){ .udp = peer->best };
	if (path_is_trusted(peer)) {
		if (is_doubtful(peer))
			out->region = peer->home ? peer->home : peer->last_region;
		return;
	}
	out->region = peer->home ? peer->home : peer->last_region;
	if (wants_full(peer))
		peer_full_ping(peer, PING_APART_MS, true);
}

/* It may be on its way there, as we just were. Relays say it of disco messages and not each time, so this begins a series. An initiation
 * takes the place of the one before, whose answer is refused then: the series is short, and not as quick as it could be. */
void path_peer_gone(struct path *p, uint16_t region, const struct node_pub *key, int64_t now_us)
{
	struct path_peer *peer = path_peer_by_key(p, key);

	path_enter(p, now_us);
	if (!peer || !peer->is_active || path_is_trusted(peer) || (peer->home && peer->home != region) || peer->again_ms ||
		p->now_ms - peer->gone_ms < GONE_APART_MS)
		return;
	peer->gone_ms = p->now_ms;
	peer->agains = GONE_TRIES;
	peer->again_ms = p->now_ms + GONE_AGAIN_MS;
	peer_arm(peer);
}

void peer_alive(struct path_peer *peer)
{
	if (!peer->again_ms)
		return;
	peer->again_ms = 0;
	path_tell(peer, TOLD_NUDGE);
}

void path_unreachable(struct path_peer *peer, struct addrport to, int64_t now_us)
{
	path_enter(peer->path, now_us);
	struct candidate *c = candidate_find(peer, to);
	if (c)
		c->pong_ms = NEVER_MS;
	if (!addrport_eq(peer->best, to))
		return;
	peer_forget_best(peer);
	if (peer->is_active)
		peer_news(peer, true);
}

/* ---- for people ----------------------------------------------------------------------------------------------- */

err path_ping(struct path_peer *peer, int64_t now_us, uint64_t *id)
{
	struct path *p = peer->path;
	struct path_route r;

	path_route(peer, now_us, &r);
	if (!peer->disco || (!r.udp.addr.family && !r.region))
		return ERR_NOT_FOUND;
	if (p->n_asked + p->n_results >= PATH_RESULTS_MAX)
		return ERR_BUSY;
	p->asked[p->n_asked++] = (struct asked){ .id = ++p->last_id, .peer = peer, .asked_ms = p->now_ms };
	if (r.udp.addr.family)
		disco_send_ping(peer, r.udp, 0, p->last_id);
	if (r.region)
		disco_send_ping(peer, (struct addrport){ 0 }, r.region, p->last_id);
	*id = p->last_id;
	return OK;
}

void path_peer_status(const struct path_peer *peer, int64_t now_us, struct path_peer_status *out)
{
	path_enter(peer->path, now_us);
	*out = (struct path_peer_status){
		.active = peer->is_active,
		.home = peer->home ? peer->home : peer->last_region,
		.best = peer->best,
		.latency_us = peer->best_latency_us,
		.trusted = path_is_trusted(peer),
		.n_candidates = peer->n_cand,
	};
	for (size_t i = 0; i < peer->n_cand; i++) {
		const struct candidate *c = &peer->cand[i];

		out->candidate[i] = (struct path_candidate){
			.at = c->at,
			.netmap = c->netmap,
			.called = c->called,
			.pinged = c->got_ping_ms != NEVER_MS,
			.latency_us = c->latency_us,
			.pong_ms = c->pong_ms == NEVER_MS ? 0 : c->pong_ms,
		};
	}
}
