#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"

/* Who carries which prefix: a node announces it (Hostinfo.RoutableIPs), somebody approves it, and of the nodes for which both
 * hold one is elected. Exit routes are carried by everybody who may: the client chooses.
 *
 * An election moves a route only when it must, for that breaks the flows through it: the one who has it keeps it as long as
 * nobody stands better, and among those who stand equally well the lowest id gets it; until the grace after a start is over, the
 * one who carried it before the start. How a node stands: it can be reached
 * (online, its stream not just broken, its last probe answered: route_probe.c), it is online, or neither. */

bool prefix_is_exit(struct prefix p)
{
	return p.bits == 0;
}

static bool list_has(const struct prefix *list, size_t n, struct prefix p)
{
	size_t low = 0;

	while (low < n) { /* sorted */
		size_t mid = low + (n - low) / 2;
		int c = prefix_cmp(list[mid], p);

		if (c == 0)
			return true;
		if (c < 0)
			low = mid + 1;
		else
			n = mid;
	}
	return false;
}

/* Approving one of the two exit routes means both. */
bool route_is_approved(const struct node *n, struct prefix p)
{
	for (size_t i = 0; i < n->row.n_approved; i++)
		if (prefix_cmp(n->row.approved_routes[i], p) == 0 ||
				(prefix_is_exit(p) && prefix_is_exit(n->row.approved_routes[i])))
			return true;
	return false;
}

static struct route *route_at(struct tailnet *t, struct prefix p)
{
	return map_get(&t->routes, &p);
}

int64_t route_carrier(void *ctx, struct prefix p)
{
	struct tailnet *t = ctx;
	struct route *r = route_at(t, p);

	return r ? r->node_id : 0;
}

/* ---- candidates ---- */

static void route_freep(struct route **r)
{
	if (*r)
		free((*r)->cand);
	free(*r);
}

void routes_forget(struct route *r)
{
	route_freep(&r);
}

/* What it carries, and who is shown it, is looked at again once the elections of this change are through. */
static void mark(struct tailnet *t, struct node *n)
{
	if (list_is_empty(&n->of_rerouted))
		list_add_tail(&t->rerouted, &n->of_rerouted);
}

/* A policy's via chooses among the candidates, and looks at whom we elected. */
static void mark_all(struct tailnet *t, struct route *r)
{
	for (size_t i = 0; i < r->n; i++)
		mark(t, r->cand[i]);
}

/* From two candidates on, a node can stand in for another: those are probed. */
static err join(struct tailnet *t, struct prefix p, struct node *n)
{
	struct route *r = route_at(t, p);

	if (prefix_is_exit(p))
		return OK;
	if (!r) {
		CLEANUP(route_freep) struct route *fresh = calloc(1, sizeof *fresh);

		if (!fresh)
			return ERR_NOMEM;
		fresh->prefix = p;
		TRY(map_put(&t->routes, fresh));
		r = MOVE(fresh);
	}
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 2;
		struct node **grown = reallocarray(r->cand, cap, sizeof(struct node *));

		if (!grown)
			return ERR_NOMEM;
		r->cand = grown;
		r->cap = cap;
	}
	r->cand[r->n++] = n;
	if (r->n == 2) {
		r->cand[0]->n_shared++;
		t->n_shared_routes++;
	}
	if (r->n >= 2)
		n->n_shared++;
	mark_all(t, r);
	return OK;
}

static void leave(struct tailnet *t, struct prefix p, struct node *n)
{
	struct route *r = route_at(t, p);

	for (size_t i = 0; r && i < r->n; i++) {
		if (r->cand[i] != n)
			continue;
		if (r->n >= 2)
			n->n_shared--;
		r->cand[i] = r->cand[--r->n];
		if (r->n == 1) {
			r->cand[0]->n_shared--;
			t->n_shared_routes--;
		}
		mark_all(t, r);
		return;
	}
}

/* ---- the election ---- */

enum { STANDS_OFFLINE, STANDS_BADLY, STANDS_WELL };

static int stands(const struct node *n)
{
	return !n->m.online ? STANDS_OFFLINE : n->away || n->unhealthy ? STANDS_BADLY : STANDS_WELL;
}

/* It carried this before the start, of which clients shall notice nothing. */
static bool carried_before(const struct core *c, const struct node *n, struct prefix p)
{
	return c->now.mono_ms - c->started_ms <= c->set.restart_grace_ms && list_has(n->row.carried, n->row.n_carried, p);
}

static bool is_better(const struct core *c, struct prefix p, const struct node *a, const struct node *b)
{
	if (stands(a) != stands(b))
		return stands(a) > stands(b);
	if (carried_before(c, a, p) != carried_before(c, b, p))
		return carried_before(c, a, p);
	return a->row.id < b->row.id;
}

static void elect(struct core *c, struct tailnet *t, struct prefix p)
{
	struct route *r = prefix_is_exit(p) ? NULL : route_at(t, p);
	struct node *had = NULL, *best = NULL;

	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++) {
		struct node *n = r->cand[i];

		if (n->row.id == r->node_id)
			had = n;
		if (!best || is_better(c, p, n, best))
			best = n;
	}
	if (had && stands(had) >= stands(best) && (carried_before(c, had, p) || !carried_before(c, best, p)))
		best = had;
	int64_t before = r->node_id;
	if (best && best->row.id == before)
		return;
	if (t->map.n_services) /* who is shown a service asks for its carrier */
		t->services_dirty = t->flush = true;
	mark_all(t, r);
	struct node *loser = before ? node_by_id(c, before) : NULL;
	if (loser)
		mark(t, loser);
	if (!best) {
		map_del(&t->routes, &p);
		routes_forget(r);
		return;
	}
	r->node_id = best->row.id;
	if (before && r->n > 1 && !c->replaying) {
		char text[PREFIX_TEXT_MAX];

		log_info("route moved", "prefix=%s from=%" PRId64 " to=%" PRId64, prefix_text(p, text), before, best->row.id);
	}
}

static bool carries(struct tailnet *t, const struct node *n, struct prefix p)
{
	return prefix_is_exit(p) || route_carrier(t, p) == n->row.id;
}

/* Shown as one to suggest, also to those who may not use it. */
static bool has_exit(const struct prefix *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_is_exit(list[i]))
			return true;
	return false;
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
	if (n->t->map.n_services) /* one of them may be a service's */
		n->t->services_dirty = n->t->flush = true;
	bool was_exit = has_exit(n->serving, n->n_serving);
	node_dirty(n, was_exit == has_exit(list, k) ? DIRTY_ROUTES : DIRTY_WHOLE | DIRTY_ROUTES);
	if (same) {
		free(list);
		return;
	}
	free(n->serving);
	n->serving = list;
	n->n_serving = k;
	n->m.serving = list;
	n->m.n_serving = k;
	node_self_dirty(n);
}

static void settle(struct core *c, struct tailnet *t)
{
	list_each_safe(it, &t->rerouted) {
		struct node *n = container_of(it, struct node, of_rerouted);

		list_del(it);
		rebuild_serving(c, n);
		if (n->n_shared || n->row.n_carried) {
			node_lazy(c, n);
			lazy_soon(c);
		}
	}
}

void routes_note_carried(struct node *n)
{
	struct prefix *list = n->n_shared ? malloc((n->n_serving + 1) * sizeof *list) : NULL;
	size_t k = 0;

	if (n->n_shared && !list)
		return; /* as noted before */
	for (size_t i = 0; list && i < n->n_serving && k < NODE_ROUTES_MAX; i++) {
		const struct route *r = prefix_is_exit(n->serving[i]) ? NULL : route_at(n->t, n->serving[i]);

		if (r && r->n >= 2)
			list[k++] = n->serving[i];
	}
	free(n->row.carried);
	n->row.carried = list;
	n->row.n_carried = k;
}

/* ---- changes ---- */

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(*(const struct prefix *)a, *(const struct prefix *)b);
}

static err approve_by_policy(struct core *c, struct node *n, struct prefix p)
{
	struct node_facts f;

	node_facts(c, n, &f);
	if (c->replaying || !n->t->policy || route_is_approved(n, p) || n->row.n_approved >= NODE_ROUTES_MAX ||
			!policy_approves_route(n->t->policy, &f.node, p) || route_fault(n->t, p) || route_by_hand(n->t, p))
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

/* Announced, approved, and by a node that is let in: sorted, each once. */
static err candidates(struct core *c, const struct node *n, struct prefix **out, size_t *n_out)
{
	const struct tailcfg_hostinfo *hi = n->hi;
	struct prefix *list = malloc((hi->n_routable_ips + 2 * n->t->map.n_services + 1) * sizeof *list);
	size_t k = 0, u = 0;

	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; n->shut == SHUT_NO && !n->m.expired && i < hi->n_routable_ips; i++) {
		struct prefix p = prefix_mask(hi->routable_ips[i]);
		if (route_is_approved(n, p) && !route_fault(n->t, p))
			list[k++] = p;
	}
	if (n->shut == SHUT_NO && !n->m.expired)
		k += services_hosted(c, n, list + k);
	qsort(list, k, sizeof *list, by_prefix);
	for (size_t i = 0; i < k; i++)
		if (!u || prefix_cmp(list[u - 1], list[i]) != 0)
			list[u++] = list[i];
	*out = list;
	*n_out = u;
	return OK;
}

static void take_list(struct node *n, struct prefix *taken, size_t k)
{
	free(n->cand);
	n->cand = taken;
	n->n_cand = k;
	n->m.cand = taken;
	n->m.n_cand = k;
	list_del(&n->of_router);
	if (k)
		list_add_tail(&n->t->routers, &n->of_router);
}

err routes_update(struct core *c, struct node *n)
{
	const struct tailcfg_hostinfo *hi = n->hi;
	CLEANUP(freep) struct prefix *list = NULL, *old = NULL;
	size_t k, n_old = n->n_cand;

	if (!hi || (!hi->n_routable_ips && !n->n_cand && !n->routes_text && !n->t->map.n_services))
		return OK;
	for (size_t i = 0; i < hi->n_routable_ips; i++)
		TRY(approve_by_policy(c, n, prefix_mask(hi->routable_ips[i])));
	routes_tell(c, n);
	TRY(candidates(c, n, &list, &k));
	bool same = k == n->n_cand;
	for (size_t i = 0; same && i < k; i++)
		same = prefix_cmp(list[i], n->cand[i]) == 0;
	if (same)
		return OK;
	for (size_t i = 0; i < k; i++)
		if (!list_has(n->cand, n_old, list[i])) {
			err e = join(n->t, list[i], n);
			if (e != OK) { /* as before */
				while (i-- > 0)
					if (!list_has(n->cand, n_old, list[i]))
						leave(n->t, list[i], n);
				return e;
			}
		}
	for (size_t i = 0; i < n_old; i++)
		if (!list_has(list, k, n->cand[i]))
			leave(n->t, n->cand[i], n);
	old = MOVE(n->cand);
	take_list(n, MOVE(list), k);
	for (size_t i = 0; i < n_old; i++)
		elect(c, n->t, old[i]);
	for (size_t i = 0; i < k; i++)
		elect(c, n->t, n->cand[i]);
	mark(n->t, n);
	settle(c, n->t);
	/* What others carry is shown to one who carries it, too. */
	if (n->session)
		n->session->compare = true;
	if (n->reader)
		n->reader->compare = true;
	routes_probe(c, n->t);
	return node_classify(c, n);
}

void routes_reclassed(struct core *c, struct node *n)
{
	for (size_t i = 0; i < n->n_cand; i++) {
		struct route *r = route_at(n->t, n->cand[i]);

		if (r)
			mark_all(n->t, r);
	}
	settle(c, n->t);
}

void routes_elect(struct core *c, struct node *n)
{
	for (size_t i = 0; i < n->n_cand; i++)
		elect(c, n->t, n->cand[i]);
	settle(c, n->t);
}

void routes_drop(struct core *c, struct node *n)
{
	CLEANUP(freep) struct prefix *old = MOVE(n->cand);
	size_t n_old = n->n_cand;

	for (size_t i = 0; i < n_old; i++)
		leave(n->t, old[i], n);
	take_list(n, NULL, 0);
	for (size_t i = 0; i < n_old; i++)
		elect(c, n->t, old[i]);
	list_del(&n->of_rerouted);
	settle(c, n->t);
	routes_probe(c, n->t);
	free(n->serving);
	n->serving = NULL;
	n->m.serving = NULL;
	n->n_serving = n->m.n_serving = 0;
}
