#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* Who carries which prefix: a node announces it (Hostinfo.RoutableIPs), somebody approves it, and of those the lowest id
 * that is online serves it, until it goes away. Exit routes are served by everybody who may. */

bool prefix_is_exit(struct prefix p)
{
	return p.bits == 0;
}

static bool list_has(const struct prefix *list, size_t n, struct prefix p)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_cmp(list[i], p) == 0)
			return true;
	return false;
}

/* Approving one of the two exit routes means both. */
static bool is_approved(const struct node *n, struct prefix p)
{
	for (size_t i = 0; i < n->row.n_approved; i++)
		if (prefix_cmp(n->row.approved_routes[i], p) == 0 ||
				(prefix_is_exit(p) && prefix_is_exit(n->row.approved_routes[i])))
			return true;
	return false;
}

static bool carries(struct tailnet *t, const struct node *n, struct prefix p)
{
	if (prefix_is_exit(p))
		return true;
	struct route *r = map_get(&t->routes, &p);
	return r && r->node_id == n->row.id;
}

static void rebuild_serving(struct core *c, struct node *n)
{
	struct prefix *list = n->n_cand ? malloc(n->n_cand * sizeof *list) : NULL;
	size_t k = 0;

	if (n->n_cand && !list) {
		c->fx_failed = true;
		return;
	}
	for (size_t i = 0; i < n->n_cand; i++)
		if (carries(n->t, n, n->cand[i]))
			list[k++] = n->cand[i];
	bool same = k == n->n_serving;
	for (size_t i = 0; same && i < k; i++)
		same = prefix_cmp(list[i], n->serving[i]) == 0;
	if (same) {
		free(list);
		return;
	}
	free(n->serving);
	n->serving = list;
	n->n_serving = k;
	n->m.serving = list;
	n->m.n_serving = k;
	node_info_stale(n);
	node_dirty(n, DIRTY_WHOLE);
	node_self_dirty(n);
}

static void elect(struct core *c, struct tailnet *t, struct prefix p)
{
	struct route *r = map_get(&t->routes, &p);
	struct node *now = r ? node_by_id(c, r->node_id) : NULL, *best = NULL;

	if (prefix_is_exit(p))
		return;
	if (now && !list_has(now->cand, now->n_cand, p))
		now = NULL;
	list_each(it, &t->routers) {
		struct node *n = container_of(it, struct node, of_router);
		if (!list_has(n->cand, n->n_cand, p))
			continue;
		if (!best || (n->m.online && !best->m.online) || (n->m.online == best->m.online && n->row.id < best->row.id))
			best = n;
	}
	if (now && best && (now->m.online || !best->m.online))
		best = now; /* sticky: moving a route breaks the flows through it */
	if (!best) {
		if (r) {
			map_del(&t->routes, &p);
			free(r);
		}
		return;
	}
	if (!r) {
		r = calloc(1, sizeof *r);
		if (!r)
			goto nomem;
		r->prefix = p;
		if (map_put(&t->routes, r) != OK) {
			free(r);
			goto nomem;
		}
	}
	int64_t before = r->node_id;
	r->node_id = best->row.id;
	struct node *loser = before != best->row.id ? node_by_id(c, before) : NULL;
	if (loser)
		rebuild_serving(c, loser);
	rebuild_serving(c, best);
	return;
nomem:
	c->fx_failed = true;
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(*(const struct prefix *)a, *(const struct prefix *)b);
}

static err approve_by_policy(struct core *c, struct node *n, struct prefix p)
{
	struct node_facts f;

	node_facts(c, n, &f);
	if (c->replaying || !n->t->policy || is_approved(n, p) || n->row.n_approved >= NODE_ROUTES_MAX ||
			!policy_approves_route(n->t->policy, &f.node, p))
		return OK;
	TRY(touch_node(c, n));
	struct prefix *list = realloc(n->row.approved_routes, (n->row.n_approved + 1) * sizeof *list);
	if (!list)
		return ERR_NOMEM;
	list[n->row.n_approved] = p;
	n->row.approved_routes = list;
	n->row.n_approved++;
	qsort(list, n->row.n_approved, sizeof *list, by_prefix);
	return OK;
}

err routes_update(struct core *c, struct node *n)
{
	const struct tailcfg_hostinfo *hi = n->hi;

	if (!hi || (!hi->n_routable_ips && !n->n_cand))
		return OK;
	for (size_t i = 0; i < hi->n_routable_ips; i++)
		TRY(approve_by_policy(c, n, prefix_mask(hi->routable_ips[i])));
	CLEANUP(freep) struct prefix *list = malloc((hi->n_routable_ips + 1) * sizeof *list);
	if (!list)
		return ERR_NOMEM;
	size_t k = 0;
	for (size_t i = 0; i < hi->n_routable_ips; i++) {
		struct prefix p = prefix_mask(hi->routable_ips[i]);
		if (n->shut == SHUT_NO && is_approved(n, p) && !list_has(list, k, p))
			list[k++] = p;
	}
	qsort(list, k, sizeof *list, by_prefix);
	bool same = k == n->n_cand && (k == 0 || memcmp(list, n->cand, k * sizeof *list) == 0);
	if (same)
		return OK;
	struct prefix *old = n->cand;
	size_t n_old = n->n_cand;
	n->cand = MOVE(list);
	n->n_cand = k;
	list_del(&n->of_router);
	if (k)
		list_add_tail(&n->t->routers, &n->of_router);
	for (size_t i = 0; i < n_old; i++)
		elect(c, n->t, old[i]);
	for (size_t i = 0; i < k; i++)
		elect(c, n->t, n->cand[i]);
	free(old);
	rebuild_serving(c, n);
	return node_classify(c, n);
}

void routes_elect(struct core *c, struct node *n)
{
	for (size_t i = 0; i < n->n_cand; i++)
		elect(c, n->t, n->cand[i]);
}

void routes_drop(struct core *c, struct node *n)
{
	struct prefix *old = n->cand;
	size_t n_old = n->n_cand;

	n->cand = NULL;
	n->n_cand = 0;
	list_del(&n->of_router);
	for (size_t i = 0; i < n_old; i++)
		elect(c, n->t, old[i]);
	free(old);
	free(n->serving);
	n->serving = NULL;
	n->m.serving = NULL;
	n->n_serving = n->m.n_serving = 0;
}
