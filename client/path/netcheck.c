/* Reports about the network: STUN to the regions in a planned order, from the sockets that WireGuard uses. What comes out:
 * our mappings, the regions' latencies, whether UDP works. protocol/stun.md 6, derp.md 11. */
#include <stdlib.h>

#include "client/path/internal.h"
#include "common/base/cleanup.h"
#include "common/base/random.h"

enum { NEAREST = 3, SECOND_SERVER_MS = 10 };

/* ---- the plan ------------------------------------------------------------------------------------------------- */

static int64_t known_latency(const struct path *p, const struct region *r)
{
	int64_t us = region_latency_us(p, r);

	return us ? us : INT64_MAX;
}

/* How many regions are nearer than this one. */
static size_t rank_of(const struct path *p, const struct region *r)
{
	size_t nearer = 0;

	for (size_t i = 0; i < p->n_regions; i++) {
		const struct region *o = &p->region[i];

		nearer += o != r && known_latency(p, o) < known_latency(p, r);
	}
	return nearer;
}

/* How often a region is asked in this report. */
static unsigned tries_for(const struct path *p, const struct region *r)
{
	if (r->def.no_measure_no_home || (r->def.avoid && r->def.id != p->home && p->report.done_us))
		return 0;
	if (p->check.full)
		return 3;
	if (r->def.id == p->home)
		return 4;
	size_t rank = rank_of(p, r);
	return rank < 2 ? 2 : rank < NEAREST ? 1 : 0;
}

static void plan_one(struct path *p, const struct region *r, struct addr to, uint16_t port, int64_t due_ms)
{
	struct netcheck *c = &p->check;

	if (to.family == 0 || port == 0 || c->n == PLAN_MAX)
		return;
	if (to.family == 4 ? !p->has_v4 : !p->has_v6)
		return;
	c->plan[c->n++] = (struct planned){ .to = { to, port }, .region = r->def.id, .due_ms = due_ms };
}

static void plan_region(struct path *p, const struct region *r, unsigned tries)
{
	int64_t last = region_latency_us(p, r) / 1000;
	int64_t apart = p->check.full || !last ? STUN_TRY_MS : last * 12 / 10 + 1;

	for (unsigned t = 0; t < tries && r->def.n_nodes; t++) {
		const struct path_node *n = &r->def.node[t % r->def.n_nodes];

		plan_one(p, r, n->v4, n->stun_port, p->now_ms + t * apart);
		plan_one(p, r, n->v6, n->stun_port, p->now_ms + t * apart);
	}
	/* A second server's word is what tells an easy NAT from a hard one; the report may end before the next try. */
	if (tries && p->check.full && r->def.n_nodes > 1)
		plan_one(p, r, r->def.node[1].v4, r->def.node[1].stun_port, p->now_ms + SECOND_SERVER_MS);
}

static int by_due(const void *a, const void *b)
{
	const struct planned *x = a, *y = b;

	return (x->due_ms > y->due_ms) - (x->due_ms < y->due_ms);
}

static void schedule_next(struct path *p)
{
	struct netcheck *c = &p->check;
	int64_t in_ms = STUN_EVERY_MS + (int64_t)random_below(STUN_JITTER_MS);

	/* Nothing came back: all lost perhaps, so it is tried again soon, and then less often. */
	if (c->silent)
		in_ms = MIN_OF(in_ms, MIN_OF((int64_t)STUN_AGAIN_MS << MIN_OF(c->silent - 1, 8u), (int64_t)STUN_AGAIN_MAX_MS));
	c->next_ms = list_is_empty(&p->active) ? INT64_MAX : p->now_ms + in_ms;
}

void netcheck_start(struct path *p, bool full)
{
	struct netcheck *c = &p->check;

	if (!c->plan && !(c->plan = calloc(PLAN_MAX, sizeof *c->plan)))
		return; /* tried again by the next one; DERP works meanwhile */
	c->full = full || p->now_ms - c->last_full_ms >= FULL_REPORT_MS;
	if (c->full)
		c->last_full_ms = p->now_ms;
	c->running = true;
	c->probed_derp = false;
	c->start_ms = p->now_ms;
	c->end_ms = p->now_ms + REPORT_MS;
	c->settle_ms = INT64_MAX;
	c->n = c->next = 0;
	c->varies = PATH_UNKNOWN;
	c->asked_v4 = (struct addr){ 0 };
	c->first_v4 = c->first_v6 = (struct addrport){ 0 };
	for (size_t i = 0; i < p->n_mapped; i++)
		p->mapped[i].seen = 0;
	for (size_t i = 0; i < p->n_regions; i++) {
		struct region *r = &p->region[i];

		r->v4_us = r->v6_us = r->derp_us = 0;
		r->wants_probe = false;
		plan_region(p, r, tries_for(p, r));
	}
	qsort(c->plan, c->n, sizeof *c->plan, by_due);
	schedule_next(p);
	netcheck_tick(p);
}

void netcheck_wanted(struct path *p)
{
	struct netcheck *c = &p->check;

	if (!p->n_regions || c->running)
		return;
	if (p->now_ms - c->last_answer_ms > ENDPOINTS_FRESH_MS && p->now_ms - c->start_ms > REPORT_MS)
		netcheck_start(p, false);
	else if (c->next_ms == INT64_MAX)
		schedule_next(p);
}

/* ---- under way ------------------------------------------------------------------------------------------------ */

static bool any_v6(const struct path *p)
{
	return p->check.first_v6.addr.family != 0;
}

/* Its answer would tell nothing new. */
static bool is_needless(const struct path *p, const struct planned *q)
{
	const struct region *r = region_by_id(p, q->region);

	if (!r)
		return true;
	if (q->to.addr.family == 4)
		return r->v4_us && p->check.varies != PATH_UNKNOWN;
	return r->v6_us && any_v6(p);
}

static void send_request(struct path *p, struct planned *q)
{
	uint8_t request[STUN_REQUEST_LEN];

	random_fill(q->txid.b, sizeof q->txid.b);
	q->sent_us = p->now_us;
	stun_write_request(request, &q->txid);
	path_put(p, &(struct path_out){ .to = q->to, .packet = bytes_of(request, sizeof request) });
}

static bool all_answered(const struct path *p)
{
	for (size_t i = 0; i < p->check.n; i++) {
		const struct region *r = region_by_id(p, p->check.plan[i].region);

		if (r && !r->v4_us && !r->v6_us)
			return false;
	}
	return p->check.n > 0;
}

static struct planned *planned_by_txid(struct netcheck *c, const struct stun_txid *txid)
{
	for (size_t i = 0; i < c->next; i++) {
		if (c->plan[i].sent_us && memcmp(&c->plan[i].txid, txid, sizeof *txid) == 0)
			return &c->plan[i];
	}
	return NULL;
}

/* Two servers at different addresses that see us alike prove an easy NAT; one server proves nothing (stun.md 7). */
static void compare_mappings(struct netcheck *c, struct addr server, struct addrport mapped)
{
	if (!c->first_v4.addr.family) {
		c->first_v4 = mapped;
		c->asked_v4 = server;
	} else if (!addrport_eq(c->first_v4, mapped)) {
		c->varies = PATH_YES;
	} else if (!addr_eq(c->asked_v4, server) && c->varies == PATH_UNKNOWN) {
		c->varies = PATH_NO;
	}
}

void netcheck_recv(struct path *p, struct bytes packet)
{
	struct netcheck *c = &p->check;
	struct stun_txid txid;
	struct addrport mapped;

	struct planned *q = stun_parse_response(packet, &txid, &mapped) == OK ? planned_by_txid(c, &txid) : NULL;
	struct region *r = q ? region_by_id(p, q->region) : NULL;
	if (!r) {
		p->stats.stray_stun++;
		return;
	}
	int64_t us = MAX_OF(p->now_us - q->sent_us, (int64_t)1);
	q->sent_us = 0; /* an answer counts once */
	int64_t *best = q->to.addr.family == 4 ? &r->v4_us : &r->v6_us;
	if (!*best || us < *best)
		*best = us;
	home_sample(p, r, us);
	c->last_answer_ms = p->now_ms;
	enum path_opt varied = c->varies;
	if (mapped.addr.family == 4)
		compare_mappings(c, q->to.addr, mapped);
	else if (!any_v6(p))
		c->first_v6 = mapped;
	endpoints_mapped(p, mapped);
	if (c->varies != varied)
		endpoints_rebuild(p);
	home_first(p, r->def.id);
	if (c->running && c->settle_ms == INT64_MAX && all_answered(p))
		c->settle_ms = p->now_ms + SETTLE_MS + 2 * us / 1000;
}

/* UDP told nothing: DERP does, for the nearest few. */
static void probe_derp(struct path *p)
{
	unsigned n = 0;

	p->check.probed_derp = true;
	for (size_t i = 0; i < p->n_regions && n < PROBE_DERP_MAX; i++) {
		struct region *r = &p->region[i];

		if (r->v4_us || r->v6_us || r->def.no_measure_no_home || (r->def.avoid && r->def.id != p->home))
			continue;
		r->wants_probe = true;
		n++;
	}
	if (n)
		p->check.end_ms = MAX_OF(p->check.end_ms, p->check.start_ms + REPORT_DERP_MS);
}

static int by_latency(const void *a, const void *b)
{
	const struct path_latency *x = a, *y = b;
	int64_t l[2];
	const struct path_latency *both[2] = { x, y };

	for (int i = 0; i < 2; i++) {
		int64_t v4 = both[i]->v4_us ? both[i]->v4_us : INT64_MAX, v6 = both[i]->v6_us ? both[i]->v6_us : INT64_MAX;

		l[i] = MIN_OF(v4, v6);
		if (l[i] == INT64_MAX && both[i]->derp_us)
			l[i] = both[i]->derp_us;
	}
	return (l[0] > l[1]) - (l[0] < l[1]);
}

static void finish(struct path *p)
{
	struct netcheck *c = &p->check;
	struct path_report *r = &p->report;

	c->running = false;
	home_choose(p);
	*r = (struct path_report){
		.done_us = p->now_us,
		.varies = c->varies,
		.global_v4 = c->first_v4,
		.global_v6 = c->first_v6,
		.home = p->home,
	};
	for (size_t i = 0; i < p->n_regions; i++) {
		const struct region *g = &p->region[i];

		r->v4 |= g->v4_us != 0;
		r->v6 |= g->v6_us != 0;
		if (g->v4_us || g->v6_us || g->derp_us)
			r->latency[r->n++] = (struct path_latency){ g->def.id, g->v4_us, g->v6_us, g->derp_us };
	}
	r->udp = r->v4 || r->v6;
	c->silent = r->udp ? 0 : c->silent + 1;
	qsort(r->latency, r->n, sizeof r->latency[0], by_latency);
	p->ev_report = true;
	endpoints_rebuild(p);
	schedule_next(p);
}

void netcheck_tick(struct path *p)
{
	struct netcheck *c = &p->check;

	if (!c->running) {
		if (p->now_ms < c->next_ms)
			return;
		c->next_ms = INT64_MAX;
		if (!list_is_empty(&p->active) && p->n_regions)
			netcheck_start(p, false);
		return;
	}
	while (c->next < c->n && c->plan[c->next].due_ms <= p->now_ms) {
		struct planned *q = &c->plan[c->next++];

		if (!is_needless(p, q))
			send_request(p, q);
	}
	bool silent = p->now_ms - c->start_ms >= HOME_GUESS_MS && !c->first_v4.addr.family && !any_v6(p);
	if (silent && !p->home)
		home_choose(p);
	if (!c->probed_derp && p->now_ms - c->start_ms >= PROBE_DERP_MS && silent)
		probe_derp(p);
	if (p->now_ms >= MIN_OF(c->settle_ms, c->end_ms))
		finish(p);
}

int64_t netcheck_due_ms(const struct path *p)
{
	const struct netcheck *c = &p->check;

	if (!c->running)
		return c->next_ms;
	int64_t due = MIN_OF(c->settle_ms, c->end_ms);
	if (c->next < c->n)
		due = MIN_OF(due, c->plan[c->next].due_ms);
	bool silent = !c->first_v4.addr.family && !any_v6(p);
	if (silent && !p->home && p->now_ms < c->start_ms + HOME_GUESS_MS)
		due = MIN_OF(due, c->start_ms + HOME_GUESS_MS);
	if (silent && !c->probed_derp)
		due = MIN_OF(due, c->start_ms + PROBE_DERP_MS);
	return due;
}
