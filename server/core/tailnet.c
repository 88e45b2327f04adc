#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/text/json.h"

enum { MAP_CACHE_BYTES = 64 << 20 };

static const struct user_row *user_of_map(void *ctx, int64_t id)
{
	struct tailnet *t = ctx;
	struct user *u = user_by_id(t->c, id);

	return u ? &u->row : NULL;
}

err tailnet_new(struct core *c, struct tailnet_row *taken, struct tailnet **out)
{
	struct tailnet *t = calloc(1, sizeof *t);
	struct policy_faults faults;
	struct policy *p;

	if (!t)
		return ERR_NOMEM;
	t->c = c;
	t->nodes_by_name = MAP_OF(struct node, name_key);
	t->nodes_by_v4 = MAP_OF(struct node, row.v4);
	t->nodes_by_v6 = MAP_OF(struct node, row.v6);
	t->routes = MAP_OF(struct route, prefix);
	list_init(&t->routers);
	list_init(&t->rerouted);
	list_init(&t->sessions);
	list_init(&t->dirty);
	t->map.user = user_of_map;
	t->map.carrier = route_carrier;
	t->map.ctx = t;
	t->map.set = &t->set;
	t->row = *taken;
	*taken = (struct tailnet_row){ 0 };
	err e = map_cache_new(MAP_CACHE_BYTES, &t->cache);
	if (e == OK)
		e = tailnet_settings(c, t);
	if (e == OK)
		e = policy_parse(BYTES_LIT(""), &p, &faults);
	if (e == OK)
		e = tailnet_apply_policy(c, t, p);
	if (e != OK) {
		tailnet_free(t);
		return e;
	}
	*out = t;
	return OK;
}

void tailnet_free(struct tailnet *t)
{
	size_t at = 0;

	if (!t)
		return;
	lock_free(t->c, t);
	services_free(t);
	for (struct route *r; (r = map_next(&t->routes, &at));)
		routes_forget(r);
	map_done(&t->routes);
	map_done(&t->nodes_by_name);
	map_done(&t->nodes_by_v4);
	map_done(&t->nodes_by_v6);
	policy_view_free(t->map.policy);
	policy_unref(t->policy);
	free(t->versions);
	snapshot_done(&t->facts);
	map_cache_free(t->cache);
	free(t->map.nodes);
	free(t->map.connectors);
	free(t->slot_id);
	free(t->free_slots);
	free(t->gone);
	free(t->filter_classes);
	arena_done(&t->set_arena);
	tailnet_row_done(&t->row);
	free(t);
}

static err grow_slots(struct tailnet *t)
{
	size_t cap = t->cap_slots ? t->cap_slots * 2 : 64;
	struct map_node **nodes = realloc(t->map.nodes, cap * sizeof(*nodes));
	if (!nodes)
		return ERR_NOMEM;
	t->map.nodes = nodes;
	int64_t *ids = realloc(t->slot_id, cap * sizeof *ids);
	if (!ids)
		return ERR_NOMEM;
	t->slot_id = ids;
	/* Room to give every slot back, so that leaving one never fails. */
	uint32_t *free_slots = realloc(t->free_slots, cap * sizeof *free_slots);
	if (!free_slots)
		return ERR_NOMEM;
	t->free_slots = free_slots;
	struct gone_slot *gone = realloc(t->gone, cap * sizeof *gone);
	if (!gone)
		return ERR_NOMEM;
	t->gone = gone;
	const struct map_node **connectors = realloc(t->map.connectors, cap * sizeof(*connectors));
	if (!connectors)
		return ERR_NOMEM;
	t->map.connectors = connectors;
	t->cap_slots = cap;
	return OK;
}

/* A node that an undo puts back before anybody heard that it was gone: who was told of it still has it. With another slot
 * it would be removed and changed in one message, and clients would keep only the removal. */
static bool take_back(struct tailnet *t, int64_t id, uint32_t *slot)
{
	for (size_t i = 0; i < t->n_gone; i++)
		if (t->gone[i].id == id) {
			*slot = t->gone[i].slot;
			t->gone[i] = t->gone[--t->n_gone];
			return true;
		}
	return false;
}

err tailnet_take_slot(struct tailnet *t, struct node *n)
{
	uint32_t slot;

	if (take_back(t, n->row.id, &slot)) {
	} else if (t->n_free_slots) {
		slot = t->free_slots[--t->n_free_slots];
	} else {
		if (t->map.n_slots == t->cap_slots)
			TRY(grow_slots(t));
		slot = (uint32_t)t->map.n_slots++;
	}
	n->m.slot = slot;
	t->map.nodes[slot] = &n->m;
	t->slot_id[slot] = n->row.id;
	tailnet_note_connector(t, n, n->hi && n->hi->app_connector == TAILCFG_TRUE);
	return OK;
}

void tailnet_note_connector(struct tailnet *t, const struct node *n, bool is)
{
	const struct map_node **list = t->map.connectors;
	size_t at = 0;

	while (at < t->map.n_connectors && list[at]->row->id < n->row.id)
		at++;
	bool was = at < t->map.n_connectors && list[at] == &n->m;
	if (was == is || n->m.slot == UINT32_MAX)
		return;
	if (is) {
		memmove(list + at + 1, list + at, (t->map.n_connectors - at) * sizeof *list);
		list[at] = &n->m;
		t->map.n_connectors++;
	} else {
		t->map.n_connectors--;
		memmove(list + at, list + at + 1, (t->map.n_connectors - at) * sizeof *list);
	}
	if (t->map.n_apps)
		t->services_dirty = t->flush = true;
}

/* The slot is free again once every session that was told of the node has heard that it is gone. */
void tailnet_leave_slot(struct tailnet *t, struct node *n)
{
	uint32_t slot = n->m.slot;

	tailnet_note_connector(t, n, false);
	t->map.nodes[slot] = NULL;
	map_cache_gone(t->cache, slot);
	t->gone[t->n_gone++] = (struct gone_slot){ slot, n->row.id };
	t->facts_lost |= snapshot_set(&t->facts, slot, NULL) != OK;
	t->flush = true;
}

/* Its regions take effect with it. */
static err swap_policy(struct core *c, struct tailnet *t, struct policy *taken)
{
	size_t n_records, n_had = t->set.n_policy_records;
	bool relays = policy_derp_map(taken).n || (t->policy && policy_derp_map(t->policy).n);
	bool records = (policy_dns_records(taken, &n_records), n_records) || n_had;
	uint64_t before = relays ? map_derp_hash(&t->set) : 0, dns_before = records ? map_dns_hash(&t->set) : 0;

	policy_unref(t->policy);
	t->policy = taken;
	t->map.apps = policy_apps(taken, &t->map.n_apps);
	t->set.policy_records = policy_dns_records(taken, &t->set.n_policy_records);
	if (!relays && !records)
		return OK;
	TRY(tailnet_settings(c, t));
	t->derp_dirty |= relays && before != map_derp_hash(&t->set);
	t->dns_dirty |= records && dns_before != map_dns_hash(&t->set);
	return OK;
}

err tailnet_apply_policy(struct core *c, struct tailnet *t, struct policy *taken)
{
	struct policy_view *view, *old = t->map.policy;
	size_t at = 0;

	err e = policy_view_new(taken, &view);
	if (e != OK) {
		policy_unref(taken);
		return e;
	}
	t->map.policy = view;
	for (struct node *n; e == OK && (n = map_next(&c->nodes, &at));)
		if (n->t == t)
			e = node_classify(c, n);
	if (e != OK) {
		t->map.policy = old;
		policy_view_free(view);
		policy_unref(taken);
		return e;
	}
	policy_view_free(old);
	TRY(swap_policy(c, t, taken));
	t->policy_behind = false;
	map_cache_drop(t->cache);
	t->compare_all = t->flush = t->reveal = true;
	at = 0;
	for (struct node *n; (n = map_next(&c->nodes, &at));)
		if (n->t == t)
			TRY(routes_update(c, n)); /* who is approved by the policy */
	return OK;
}

/* Nodes that changed while the worker looked at a snapshot. */
static err catch_up(struct core *c, struct tailnet *t, struct job *j)
{
	struct policy_changes changes = { 0 };
	size_t at = 0;

	while (snapshot_differs(&j->snap, &t->facts, &at)) {
		const struct record *was = snapshot_get(&j->snap, at - 1), *is = snapshot_get(&t->facts, at - 1);
		uint32_t cls = UINT32_MAX;

		err e = OK;
		if (was && (!is || is->node.id != was->node.id))
			e = policy_view_del(j->view, was->node.id, &changes);
		if (e == OK && is)
			e = policy_view_put(j->view, &is->node, &cls, &changes);
		policy_changes_done(&changes);
		TRY(e);
		if (at - 1 < snapshot_slots(&j->snap))
			j->cls[at - 1] = cls;
	}
	(void)c;
	return OK;
}

static uint32_t class_in(const struct job *j, const struct node *n)
{
	uint32_t cls = n->m.slot < snapshot_slots(&j->snap) ? j->cls[n->m.slot] : UINT32_MAX;

	return cls != UINT32_MAX ? cls : policy_view_class(j->view, n->row.id);
}

err tailnet_adopt_policy(struct core *c, struct tailnet *t, struct job *j)
{
	struct policy_view *old = t->map.policy;
	struct map_cache *cache;

	if (t->facts_lost)
		return ERR_NOMEM;
	TRY(catch_up(c, t, j));
	TRY(map_cache_new(MAP_CACHE_BYTES, &cache));
	for (size_t i = 0; i < t->map.n_slots; i++) {
		struct map_node *m = t->map.nodes[i];

		if (!m)
			continue;
		m->cls = class_in(j, container_of(m, struct node, m));
		node_note_no_ipv4(container_of(m, struct node, m), policy_view_no_ipv4(j->view, m->cls));
	}
	job_dispose(c, old, t->cache);
	t->cache = cache;
	t->map.policy = MOVE(j->view);
	TRY(swap_policy(c, t, MOVE(j->policy)));
	t->compare_all = t->flush = t->reveal = true;
	for (size_t i = 0; i < j->n_approves; i++) {
		struct map_node *m = t->map.nodes[j->approves[i]];

		if (m)
			TRY(routes_update(c, container_of(m, struct node, m)));
	}
	size_t at = 0;
	while (snapshot_differs(&j->snap, &t->facts, &at)) {
		struct map_node *m = at - 1 < t->map.n_slots ? t->map.nodes[at - 1] : NULL;

		if (m)
			TRY(routes_update(c, container_of(m, struct node, m)));
	}
	t->policy_behind = j->services != t->services && policy_names_services(t->policy);
	return services_policy_changed(c, t);
}

void tailnet_note_changes(struct tailnet *t, struct policy_changes *changes)
{
	if (changes->visibility)
		t->compare_all = t->flush = t->reveal = true;
	for (size_t i = 0; i < changes->n_filters; i++) {
		size_t cls = changes->filters[i];
		if (cls >= t->n_filter_classes) {
			size_t cap = cls + 64;
			uint8_t *grown = realloc(t->filter_classes, cap);
			if (!grown) {
				t->compare_all = t->flush = t->reveal = true; /* the long way finds them, too */
				break;
			}
			memset(grown + t->n_filter_classes, 0, cap - t->n_filter_classes);
			t->filter_classes = grown;
			t->n_filter_classes = cap;
		}
		t->filter_classes[cls] = 1;
		t->flush = true;
	}
	policy_changes_done(changes);
}

static err put_regions(struct tailnet *t, const struct tailcfg_derp_map *over, const char *whose, struct arena *a)
{
	static const struct tailcfg_derp_map none = { 0 };
	struct tailcfg_derp_map *m;

	TRY(tailcfg_derp_map_merge(t->set.derp_map && !over->omit_default_regions ? t->set.derp_map : &none, over, a, &m));
	if (!m->n_regions) {
		log_warn("DERP regions are not used: they leave none", "tailnet=%" PRId64 " whose=%s", t->row.id, whose);
		return OK;
	}
	m->omit_default_regions = true; /* there are no others for a client to add */
	t->set.derp_map = m;
	t->set.only_own_region = t->set.own_region && m->n_regions == 1 && m->regions[0].region_id == t->set.own_region;
	return OK;
}

/* The policy's derpMap over the server's own regions. One that leaves none would keep clients from ever coming up. */
static err derp_of_policy(struct tailnet *t, struct arena *a)
{
	struct bytes text = t->policy ? policy_derp_map(t->policy) : (struct bytes){ 0 };
	struct tailcfg_derp_map *over;
	struct json_why why = { 0 };

	if (!text.n)
		return OK;
	err e = tailcfg_derp_map_parse(text, a, &over, &why);
	if (e == ERR_NOMEM)
		return e;
	if (e != OK) {
		log_warn("the policy's derpMap is not used", "tailnet=%" PRId64 " cause=%s", t->row.id, log_qs(why.text).s);
		return OK;
	}
	return put_regions(t, over, "policy", a);
}

err tailnet_settings(struct core *c, struct tailnet *t)
{
	struct arena a = arena_make(0), old = t->set_arena;

	t->set = c->set;
	err e = settings_apply(c, t, &a, &t->set);
	if (e == OK && t->set.derp_regions)
		e = put_regions(t, t->set.derp_regions, "derp.regions", &a);
	if (e == OK)
		e = derp_of_policy(t, &a);
	if (t->policy)
		t->set.policy_records = policy_dns_records(t->policy, &t->set.n_policy_records);
	if (e != OK) {
		arena_done(&a);
		return e;
	}
	t->set_arena = a;
	arena_done(&old);
	return OK;
}
