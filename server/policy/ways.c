#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/ask.h"

/* The way to an address that is no machine's: a client sends to the peer with the narrowest route that it was shown, and the filter of
 * that machine decides. Questions come many for one address (each source, each rule), so the routers are looked up once. */

struct way {
	const struct view_node *router;
	struct prefix route;
	int64_t primary; /* of the route; the elected one is not known here: the lowest id stands for it */
};

struct ways {
	struct addr to;
	uint64_t n_changes; /* of the view, when it was made */
	struct way *way;    /* owned */
	size_t n;
	const struct policy_class *src; /* whom narrowest is of; NULL: nobody yet */
	bool shown;			/* some route is shown to it */
	unsigned narrowest;
};

void ways_free(struct ways *w)
{
	if (w)
		free(w->way);
	free(w);
}

static int by_route(const void *a, const void *b)
{
	const struct way *x = a, *y = b;
	int order = prefix_cmp(x->route, y->route);

	return order ? order : (x->router->id > y->router->id) - (x->router->id < y->router->id);
}

static bool fill(struct ways *w, const struct policy_view *v, bool count)
{
	w->n = 0;
	list_each(it, &v->routers) {
		const struct view_node *n = container_of(it, struct view_node, routing);

		for (size_t i = 0; i < n->n_routes; i++) {
			if (!prefix_contains(n->routes[i], w->to))
				continue;
			if (!count)
				w->way[w->n] = (struct way){ n, n->routes[i], 0 };
			w->n++;
		}
	}
	if (count)
		return (w->way = calloc(w->n + 1, sizeof *w->way)) != NULL;
	if (w->n)
		qsort(w->way, w->n, sizeof *w->way, by_route);
	for (size_t i = 0; i < w->n; i++)
		w->way[i].primary = i && prefix_cmp(w->way[i].route, w->way[i - 1].route) == 0 ? w->way[i - 1].primary : w->way[i].router->id;
	return true;
}

static struct ways *ways_to(struct policy_view *v, struct addr a)
{
	struct ways *w = v->ways;

	if (w && addr_eq(w->to, a) && w->n_changes == v->n_changes)
		return w;
	ways_free(w);
	v->ways = w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->to = a;
	w->n_changes = v->n_changes;
	if (fill(w, v, true) && fill(w, v, false))
		return w;
	ways_free(w);
	return v->ways = NULL;
}

/* An address as source comes from behind some router: what that one is shown is not asked. Nor of nobody. */
static bool is_shown(struct policy_view *v, const struct probe *src, const struct way *way)
{
	return !src || !src->node || src->node == way->router || policy_view_shows_route(v, src->node->id, way->router->id, way->route, way->primary);
}

static void look_for(struct policy_view *v, struct ways *w, const struct probe *src)
{
	w->src = src && src->node ? v->cls[src->node->cls] : NULL;
	w->shown = false;
	w->narrowest = 0;
	for (size_t i = 0; i < w->n; i++)
		if ((!w->shown || w->way[i].route.bits > w->narrowest) && is_shown(v, src, &w->way[i])) {
			w->shown = true;
			w->narrowest = w->way[i].route.bits;
		}
}

/* Is the entry in the router's filter, for what is behind it by this route? */
static bool is_taken(const struct policy_view *v, const struct rule_dst *d, const struct way *way)
{
	const struct policy_class *c = v->cls[way->router->cls];

	if (v->p->sel[d->sel]->kind == SEL_ANY && v->p->rule[d->rule].n_via && way->route.bits == 0)
		return false; /* such a filter names the subnets */
	return dst_is_node(v->p, c, d) || dst_is_behind(v->p, c, d);
}

bool ways_lead(struct policy_view *v, const struct rule_dst *d, const struct probe *src, struct addr a)
{
	struct ways *w = ways_to(v, a);

	if (!w)
		return false;
	if (!w->src || !src || !src->node || src->node->n_routes || w->src != v->cls[src->node->cls])
		look_for(v, w, src);
	for (size_t i = 0; w->shown && i < w->n; i++)
		if (w->way[i].route.bits == w->narrowest && is_taken(v, d, &w->way[i]) && is_shown(v, src, &w->way[i]))
			return true;
	return false;
}

bool ways_exist(struct policy_view *v, struct addr a)
{
	const struct ways *w = ways_to(v, a);

	return w && w->n > 0;
}
