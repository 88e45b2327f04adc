#include "server/policy/rules.h"

#include "common/base/cleanup.h"

/* Which peer a viewer uses for a route, and which app connector it may ask. */

/* connector: the route is an app connector's, which learns routes to single hosts of the internet. */
static bool covers_route(const struct sel *s, struct prefix route, bool connector)
{
	size_t n;
	const struct range *net = range_internet(&n);

	if (s->kind == SEL_ANY || s->kind == SEL_DANGER)
		return true;
	if (s->kind == SEL_INTERNET) {
		for (size_t k = 0; connector && k < n; k++)
			if (range_covers(net[k], range_of(route)))
				return true;
		return route.bits == 0;
	}
	if (s->kind != SEL_RANGES)
		return false;
	if (route.bits > 0)
		return ranges_meet(s, range_of(route));
	for (size_t i = 0; i < s->n_ranges; i++)
		for (size_t k = 0; k < n; k++)
			if (s->ranges[i].first.family == route.addr.family && range_covers(net[k], s->ranges[i]))
				return true;
	return false;
}

static bool rule_covers(const struct policy *p, const struct rule *r, struct prefix route, bool connector)
{
	for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++)
		if (covers_route(p->sel[p->dst[d].sel], route, connector))
			return true;
	return false;
}

/* Does the subnet come to the viewer as a source? An exit node's route is none. */
static bool is_source(const struct policy *p, const struct rule *r, struct prefix route)
{
	const struct sel_set *s = &p->set[r->src];

	for (size_t i = 0; route.bits > 0 && !s->postures && i < s->n; i++)
		if (covers_route(p->sel[s->sel[i]], route, false))
			return true;
	return false;
}

static bool has_route(const struct view_node *n, struct prefix route)
{
	for (size_t i = 0; i < n->n_routes; i++)
		if (prefix_cmp(n->routes[i], route) == 0)
			return true;
	return false;
}

/* The router among those that via rules let the viewer use: the elected one where it is among them, else the lowest id. */
static int64_t steered(const struct policy_view *v, const struct policy_class *viewer, struct prefix route, int64_t primary)
{
	int64_t best = 0;

	list_each(it, &v->routers) {
		const struct view_node *n = container_of(it, struct view_node, routing);
		const struct policy_class *c = v->cls[n->cls];
		bool carries = false;

		if (!has_route(n, route))
			continue;
		BITS_EACH(i, viewer->src, policy_words(v->p)) {
			const struct rule *r = &v->p->rule[i];

			carries |= r->n_via && class_carries(r, c) && rule_covers(v->p, r, route, c->connector);
		}
		if (carries && (n->id == primary || !best || (best != primary && n->id < best)))
			best = n->id;
	}
	return best;
}

bool policy_view_may_ask(const struct policy_view *v, int64_t viewer_id, int64_t connector_id)
{
	const struct policy *p = v->p;
	const struct view_node *viewer = map_get(&v->by_id, &viewer_id), *connector = map_get(&v->by_id, &connector_id);

	if (!viewer || !connector || viewer == connector)
		return false;
	const struct policy_class *a = v->cls[viewer->cls], *b = v->cls[connector->cls];
	if (!b->connector || !policy_view_sees(v, viewer->cls, connector->cls))
		return false;
	BITS_EACH(i, a->src, policy_words(p)) {
		const struct rule *r = &p->rule[i];

		for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++) {
			enum sel_kind kind = p->sel[p->dst[d].sel]->kind;

			if ((kind == SEL_ANY || kind == SEL_INTERNET) && (!r->n_via || class_carries(r, b)) && dst_carries(&p->dst[d], 6, 53))
				return true;
		}
	}
	return false;
}

bool policy_view_shows_route(struct policy_view *v, int64_t viewer_id, int64_t node_id, struct prefix route, int64_t primary)
{
	const struct policy *p = v->p;
	const struct view_node *viewer = map_get(&v->by_id, &viewer_id), *node = map_get(&v->by_id, &node_id);
	bool plain = false, via = false;

	if (!viewer || !node || viewer == node || !has_route(node, route))
		return false;
	const struct policy_class *a = v->cls[viewer->cls], *b = v->cls[node->cls];
	BITS_EACH(i, a->src, policy_words(p)) {
		const struct rule *r = &p->rule[i];

		if (!rule_covers(p, r, route, b->connector))
			continue;
		if (r->n_via)
			via |= route.bits > 0 || class_carries(r, b);
		else
			plain = true;
	}
	if (route.bits == 0) /* each exit node carries it; the client chooses */
		return plain || via;
	if (!plain && via) {
		int64_t chosen = steered(v, a, route, primary);

		if (chosen)
			return chosen == node_id;
	}
	if (node_id != primary)
		return false;
	if (plain || has_route(viewer, route))
		return true;
	BITS_EACH(i, a->dst, policy_words(p)) {
		if (is_source(p, &p->rule[i], route))
			return true;
	}
	return false;
}
