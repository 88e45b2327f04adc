/* Which DERP region is home. protocol/derp.md 11.2 (tailscale@de9ec7ee2 net/netcheck addReportHistoryAndSetPreferredDERP). */
#include "client/path/internal.h"
#include "common/base/cleanup.h"

enum {
	HISTORY_MS = 300 * 1000,
	HOME_GAIN_US = 10 * 1000,  /* a move must be worth this much, and a third of the old latency */
	HEARD_LATELY_MS = 8000,
	HEARD_MS = 120 * 1000,
	DOWN_MS = 1000,		   /* a relay whose connection failed for so long is no home, */
	DOWN_MEMORY_MS = 60 * 1000, /* while that is so fresh */
	DOWN_CHECK_MS = 5000,	   /* between reports because of that */
};

struct region *region_by_id(const struct path *p, uint16_t id)
{
	for (size_t i = 0; i < p->n_regions; i++) {
		if (p->region[i].def.id == id)
			return &p->region[i];
	}
	return NULL;
}

void home_sample(struct path *p, struct region *r, int64_t us)
{
	r->sample[r->next_sample++ % SAMPLES] = (struct sample){ .at_ms = p->now_ms, .us = us };
}

int64_t region_latency_us(const struct path *p, const struct region *r)
{
	int64_t best = 0;

	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &r->sample[i];

		if (s->us && p->now_ms - s->at_ms <= HISTORY_MS && (!best || s->us < best))
			best = s->us;
	}
	return best;
}

static bool may_be_home(const struct region *r)
{
	bool relays = r->def.n_nodes == 0;

	for (size_t i = 0; i < r->def.n_nodes; i++)
		relays |= !r->def.node[i].stun_only;
	return relays && !r->def.no_measure_no_home;
}

void home_set(struct path *p, uint16_t region)
{
	if (p->home == region)
		return;
	p->home = region;
	p->ev_home = true;
}

void home_first(struct path *p, uint16_t region)
{
	const struct region *r = region_by_id(p, region);

	if (!p->home && r && may_be_home(r) && !r->def.avoid)
		home_set(p, region);
}

static double scored(const struct path *p, const struct region *r)
{
	double us = (double)region_latency_us(p, r);

	return r->def.score > 0 ? us * r->def.score : us;
}

static bool answered(const struct region *r)
{
	return r->v4_us || r->v6_us || r->derp_us;
}

static bool is_down(const struct path *p, const struct region *r)
{
	return r->down_ms && r->failed_ms - r->down_ms >= DOWN_MS && p->now_ms - r->failed_ms < DOWN_MEMORY_MS;
}

void home_failed(struct path *p, struct region *r)
{
	r->failed_ms = p->now_ms;
	if (!r->down_ms)
		r->down_ms = p->now_ms;
	if (r->def.id == p->home && p->n_regions > 1 && is_down(p, r) && !p->check.running &&
		p->now_ms - p->check.start_ms >= DOWN_CHECK_MS)
		netcheck_start(p, true);
}

void home_choose(struct path *p)
{
	struct region *old = p->home ? region_by_id(p, p->home) : NULL, *best = NULL;

	for (size_t i = 0; i < p->n_regions; i++) {
		struct region *r = &p->region[i];

		if (!may_be_home(r) || (r->def.avoid && r != old) || scored(p, r) <= 0 || !answered(r) || is_down(p, r))
			continue;
		if (!best || scored(p, r) < scored(p, best))
			best = r;
	}
	if (!best) {
		if (old && p->now_ms - old->heard_ms < HEARD_MS)
			return;
		for (size_t i = 0; i < p->n_regions && !old; i++)
			home_first(p, p->region[i].def.id);
		return;
	}
	if (old && old != best && !is_down(p, old) && (answered(old) || p->now_ms - old->heard_ms < HEARD_LATELY_MS)) {
		double was = scored(p, old), now = scored(p, best);

		if (was > 0 && (was - now < HOME_GAIN_US || now > was * 2 / 3))
			return;
	}
	home_set(p, best->def.id);
}
