#include "server/policy/rules.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- life ---- */

err policy_view_new(struct policy *p, struct policy_view **out)
{
	struct policy_view *v = calloc(1, sizeof *v);

	if (!v)
		return ERR_NOMEM;
	v->p = policy_ref(p);
	v->by_id = MAP_OF(struct view_node, id);
	v->by_key = MAP_OF(struct policy_class, key);
	v->parts = MAP_OF(struct shared_part, hash);
	v->own = MAP_OF(struct own_text, key);
	list_init(&v->routers);
	v->sources = calloc(p->n_sets + 1, sizeof *v->sources);
	v->changed = calloc(policy_words(p) + 1, sizeof *v->changed);
	v->back_changed = calloc(policy_words(p) + 1, sizeof *v->back_changed);
	v->dst_classes = calloc(p->n_rules + 1, sizeof *v->dst_classes);
	v->src_classes = calloc(p->n_rules + 1, sizeof *v->src_classes);
	v->ssh_classes = calloc(p->n_ssh + 1, sizeof *v->ssh_classes);
	v->who = calloc(policy_match_room(p), sizeof *v->who);
	v->route = calloc(policy_match_room(p), sizeof *v->route);
	v->by_user = MAP_OF(struct user_classes, user_id);
	if (!v->sources || !v->changed || !v->back_changed || !v->dst_classes || !v->src_classes || !v->ssh_classes || !v->who || !v->route) {
		policy_view_free(v);
		return ERR_NOMEM;
	}
	*out = v;
	return OK;
}

static void text_free(struct bytes *b)
{
	free((void *)(uintptr_t)b->p);
	*b = (struct bytes){ 0 };
}

static void node_free(struct view_node *n)
{
	if (!n)
		return;
	free(n->routes);
	free(n->email);
	text_free(&n->ssh);
	free(n);
}

static void class_free(struct policy_class *c)
{
	if (!c)
		return;
	text_free(&c->caps);
	text_free(&c->ssh);
	free(c->by_who);
	free(c->by_route);
	free(c->src);
	free(c);
}

static void class_freep(struct policy_class **c)
{
	class_free(*c);
}

void policy_view_free(struct policy_view *v)
{
	if (!v)
		return;
	size_t at = 0;
	for (struct view_node *n; (n = map_next(&v->by_id, &at));)
		node_free(n);
	for (size_t i = 0; i < v->n_cls; i++)
		class_free(v->cls[i]);
	for (size_t i = 0; v->sources && i < v->p->n_sets; i++)
		text_free(&v->sources[i]);
	for (size_t i = 0; v->dst_classes && v->src_classes && i < v->p->n_rules; i++) {
		free(v->dst_classes[i].id);
		free(v->src_classes[i].id);
	}
	for (size_t i = 0; v->ssh_classes && i < v->p->n_ssh; i++)
		free(v->ssh_classes[i].id);
	free(v->ssh_classes);
	at = 0;
	for (struct user_classes *u; (u = map_next(&v->by_user, &at));)
		free(u);
	view_forget_filters(v);
	free(v->dst_classes);
	free(v->src_classes);
	free(v->who);
	free(v->route);
	map_done(&v->by_user);
	free(v->sources);
	free(v->changed);
	free(v->back_changed);
	free(v->cls);
	map_done(&v->by_id);
	map_done(&v->by_key);
	map_done(&v->parts);
	map_done(&v->own);
	ways_free(v->ways);
	policy_unref(v->p);
	free(v);
}

void policy_changes_done(struct policy_changes *c)
{
	free(c->filters);
	*c = (struct policy_changes){ 0 };
}

/* ---- classes ---- */

bool class_has(const uint32_t *list, size_t n, uint32_t sel)
{
	size_t low = 0;

	while (low < n) {
		size_t mid = low + (n - low) / 2;

		if (list[mid] == sel)
			return true;
		if (list[mid] < sel)
			low = mid + 1;
		else
			n = mid;
	}
	return false;
}

static bool posture_ok(const struct sel_set *s, uint64_t postures)
{
	return !s->postures || s->postures & postures;
}

bool class_in_set(const struct policy_view *v, const struct policy_class *c, const struct sel_set *s)
{
	(void)v;
	if (!posture_ok(s, c->postures))
		return false;
	for (size_t i = 0; i < s->n; i++)
		if (class_has(c->by_who, c->n_who, s->sel[i]))
			return true;
	return false;
}

bool class_carries(const struct rule *r, const struct policy_class *c)
{
	for (size_t i = 0; i < r->n_via; i++)
		if (class_has(c->by_who, c->n_who, r->via[i]))
			return true;
	return false;
}

/* By its own address or by who it is. With via the traffic goes through a router, never to one. */
bool dst_is_node(const struct policy *p, const struct policy_class *c, const struct rule_dst *d)
{
	return !p->rule[d->rule].n_via && class_has(c->by_who, c->n_who, d->sel);
}

/* By what is behind it. */
bool dst_is_behind(const struct policy *p, const struct policy_class *c, const struct rule_dst *d)
{
	const struct rule *r = &p->rule[d->rule];
	const struct sel *s = p->sel[d->sel];

	if (r->n_via && !class_carries(r, c))
		return false;
	if (s->kind == SEL_INTERNET)
		return c->exit || c->connector;
	if (s->kind == SEL_ANY)
		return r->n_via && (c->router || c->exit);
	return class_has(c->by_route, c->n_route, d->sel);
}

static void mark_src(const struct policy *p, struct policy_class *c, const uint32_t *sel, size_t n, bool behind)
{
	for (size_t i = 0; i < n; i++) {
		const struct sel *s = p->sel[sel[i]];

		for (uint32_t k = 0; k < s->n_src_rules; k++) {
			const struct sel_set *set = &p->set[p->rule[s->src_rules[k]].src];

			if (posture_ok(set, c->postures) && !(behind && set->postures))
				bit_set(c->src, s->src_rules[k]);
		}
	}
}

static bool is_dst(const struct policy *p, const struct policy_class *c, uint32_t rule, const struct sel *s)
{
	const struct rule_dst d = { .sel = s->id, .rule = rule };

	return dst_is_node(p, c, &d) || dst_is_behind(p, c, &d);
}

static void mark_dst(const struct policy *p, struct policy_class *c, const struct sel *s)
{
	for (uint32_t k = 0; k < s->n_dst_rules; k++)
		if (is_dst(p, c, s->dst_rules[k], s))
			bit_set(c->dst, s->dst_rules[k]);
}

static void mark_rules(const struct policy *p, struct policy_class *c, bool person)
{
	mark_src(p, c, c->by_who, c->n_who, false);
	mark_src(p, c, c->by_route, c->n_route, true);
	for (size_t i = 0; i < c->n_who; i++)
		mark_dst(p, c, p->sel[c->by_who[i]]);
	for (size_t i = 0; i < c->n_route; i++)
		mark_dst(p, c, p->sel[c->by_route[i]]);
	if (p->internet)
		mark_dst(p, c, p->internet);
	for (uint32_t k = 0; p->self && person && k < p->self->n_dst_rules; k++)
		bit_set(c->self, p->self->dst_rules[k]);
}

struct key_facts {
	uint64_t who, route, postures;
	int64_t user_id;
	uint64_t flags;
};

static uint32_t *copy_list(const uint32_t *list, size_t n)
{
	uint32_t *copy = calloc(n + 1, sizeof *copy);

	for (size_t i = 0; copy && i < n; i++)
		copy[i] = list[i];
	return copy;
}

static err class_make(const struct policy *p, const struct facts *f, struct policy_class *c, bool person)
{
	size_t words = policy_words(p) + 1;
	struct buf caps = buf_make(POLICY_TEXT_MAX);

	list_init(&c->nodes);
	list_init(&c->own);
	c->by_who = copy_list(f->by_who, f->n_who);
	c->by_route = copy_list(f->by_route, f->n_route);
	c->src = calloc(3 * words, sizeof *c->src); /* the three sets in one piece */
	if (!c->by_who || !c->by_route || !c->src)
		return ERR_NOMEM;
	c->dst = c->src + words;
	c->self = c->dst + words;
	c->n_who = f->n_who;
	c->n_route = f->n_route;
	c->postures = f->postures;
	c->exit = f->exit;
	c->connector = f->connector;
	c->no_ipv4 = f->no_ipv4;
	mark_rules(p, c, person);
	attrs_write(p, f, &caps);
	bool bad = caps.bad;
	if (!bad && buf_len(&caps)) {
		c->caps = bytes_of(bytes_dup(buf_view(&caps)), buf_len(&caps));
		bad = !c->caps.p;
	}
	buf_done(&caps);
	return bad ? ERR_NOMEM : OK;
}

enum { LISTED_MAX = 1024 }; /* classes of one rule */

static err list_class(struct class_list *l, uint32_t cls)
{
	if (l->all)
		return OK;
	if (l->n == LISTED_MAX) {
		free(l->id);
		*l = (struct class_list){ .all = true };
		return OK;
	}
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 4;
		uint32_t *grown = reallocarray(l->id, cap, sizeof *grown);

		if (!grown)
			return ERR_NOMEM;
		l->id = grown;
		l->cap = cap;
	}
	l->id[l->n++] = cls;
	return OK;
}

/* So that a changed rule finds the classes it concerns. Numbers that stay behind after a failure name no class: harmless. */
static err list_by_rule(struct policy_view *v, struct policy_class *c)
{
	size_t words = policy_words(v->p);

	BITS_EACH(i, c->dst, words)
		TRY(list_class(&v->dst_classes[i], c->id));
	BITS_EACH(i, c->src, words)
		if (bit_has(v->p->back_rules, i))
			TRY(list_class(&v->src_classes[i], c->id));
	for (size_t i = 0; i < v->p->n_ssh; i++)
		if (ssh_is_dst(c, &v->p->ssh[i]))
			TRY(list_class(&v->ssh_classes[i], c->id));
	if (!c->user_id)
		return OK;
	struct user_classes *u = map_get(&v->by_user, &c->user_id);
	if (!u) {
		u = calloc(1, sizeof *u);
		if (!u)
			return ERR_NOMEM;
		u->user_id = c->user_id;
		list_init(&u->classes);
		if (map_put(&v->by_user, u) != OK) {
			free(u);
			return ERR_NOMEM;
		}
	}
	list_add_tail(&u->classes, &c->own);
	return OK;
}

static err class_for(struct policy_view *v, const struct policy_node *n, const struct facts *f, struct policy_class **out)
{
	bool person = n->n_tags == 0 && n->user, router = false;

	for (size_t i = 0; i < n->n_routes; i++)
		router |= n->routes[i].bits > 0;
	const struct key_facts k = {
		.who = map_hash(f->by_who, f->n_who * sizeof *f->by_who),
		.route = map_hash(f->by_route, f->n_route * sizeof *f->by_route),
		.postures = f->postures,
		.user_id = person && v->p->needs_user ? n->user_id : 0,
		.flags = (uint64_t)f->exit | (uint64_t)router << 1 | (uint64_t)f->no_ipv4 << 2 | (uint64_t)f->connector << 3 | f->n_who << 8 | (uint64_t)f->n_route << 36,
	};
	struct class_key key = { map_hash(&k, sizeof k), 0 };
	const uint64_t again[] = { key.a, k.who ^ k.route, f->n_who ? f->by_who[f->n_who / 2] : 0, k.flags };

	key.b = map_hash(again, sizeof again);
	struct policy_class *known = map_get(&v->by_key, &key);
	if (known) {
		*out = known;
		return OK;
	}
	CLEANUP(class_freep) struct policy_class *c = calloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->key = key;
	c->user_id = k.user_id;
	c->router = router;
	TRY(class_make(v->p, f, c, person && v->p->needs_user));
	if (v->n_cls == v->cap_cls) {
		size_t cap = v->cap_cls ? 2 * v->cap_cls : 16;
		struct policy_class **grown = reallocarray(v->cls, cap, sizeof(struct policy_class *));

		if (!grown)
			return ERR_NOMEM;
		v->cls = grown;
		v->cap_cls = cap;
	}
	/* Numbers are not used again while the view lives: a node that moves must not find its old number with a new sense. */
	c->id = (uint32_t)v->n_cls;
	TRY(map_put(&v->by_key, c));
	err e = list_by_rule(v, c);
	if (e != OK) {
		map_del(&v->by_key, &c->key);
		return e;
	}
	v->cls[v->n_cls++] = c;
	*out = MOVE(c);
	return OK;
}

uint32_t policy_view_classes(const struct policy_view *v)
{
	return (uint32_t)v->n_cls;
}

uint32_t policy_view_class(const struct policy_view *v, int64_t node_id)
{
	const struct view_node *n = map_get(&v->by_id, &node_id);

	return n ? n->cls : UINT32_MAX;
}

bool policy_view_no_ipv4(const struct policy_view *v, uint32_t cls)
{
	return cls < v->n_cls && v->cls[cls]->no_ipv4;
}

static bool reaches(const struct policy_view *v, const struct policy_class *a, const struct policy_class *b)
{
	uint64_t own = a->user_id && a->user_id == b->user_id ? ~(uint64_t)0 : 0;

	for (size_t w = 0; w < policy_words(v->p); w++)
		if (a->src[w] & (b->dst[w] | (b->self[w] & own)))
			return true;
	return false;
}

bool policy_view_sees(const struct policy_view *v, uint32_t a, uint32_t b)
{
	if (a >= v->n_cls || b >= v->n_cls)
		return false;
	return reaches(v, v->cls[a], v->cls[b]) || reaches(v, v->cls[b], v->cls[a]);
}

/* ---- what a change changes ---- */

static err note_class(struct policy_view *v, struct policy_changes *c, uint32_t cls)
{
	struct policy_class *k = cls < v->n_cls ? v->cls[cls] : NULL;

	if (!k || !k->members || k->noted == v->n_changes)
		return OK;
	k->noted = v->n_changes;
	if (c->n_filters == c->cap_filters) {
		size_t cap = c->cap_filters ? 2 * c->cap_filters : 16;
		uint32_t *grown = reallocarray(c->filters, cap, sizeof *grown);

		if (!grown)
			return ERR_NOMEM;
		c->filters = grown;
		c->cap_filters = cap;
	}
	c->filters[c->n_filters++] = cls;
	return OK;
}

/* What a change of one node touches: before and after, either may be NULL. */
struct change {
	const struct view_node *was, *is;
	bool routes, outside;
};

static bool same_routes(const struct view_node *a, const struct view_node *b)
{
	if ((a ? a->n_routes : 0) != (b ? b->n_routes : 0))
		return false;
	for (size_t i = 0; a && i < a->n_routes; i++)
		if (prefix_cmp(a->routes[i], b->routes[i]) != 0)
			return false;
	return true;
}

static bool same_facts(const struct view_node *a, const struct view_node *b)
{
	return a && b && a->cls == b->cls && a->user_id == b->user_id && addr_eq(a->v4, b->v4) && addr_eq(a->v6, b->v6) &&
	       same_routes(a, b) && strcmp(a->email, b->email) == 0;
}

static void mark_sel(struct policy_view *v, const struct sel *s, const struct change *ch)
{
	const struct policy *p = v->p;
	bool who = sel_is_identity(s), any = s->kind == SEL_ANY && (ch->routes || ch->outside);

	for (uint32_t k = 0; k < s->n_src_rules; k++) {
		const struct rule *r = &p->rule[s->src_rules[k]];

		if (who || any || p->set[r->src].postures) {
			bit_set(v->changed, s->src_rules[k]);
			text_free(&v->sources[r->src]);
		}
	}
	for (uint32_t k = 0; (who || any) && k < s->n_dst_rules; k++)
		if (bit_has(p->back_rules, s->dst_rules[k])) {
			bit_set(v->back_changed, s->dst_rules[k]);
			text_free(&v->sources[p->rule[s->dst_rules[k]].dst]);
		}
}

static void mark_node(struct policy_view *v, const struct view_node *n, const struct change *ch)
{
	const struct policy_class *c = n ? v->cls[n->cls] : NULL;

	for (size_t i = 0; c && i < c->n_who; i++)
		mark_sel(v, v->p->sel[c->by_who[i]], ch);
}

static err note_list(struct policy_view *v, const struct class_list *l, struct policy_changes *c)
{
	for (size_t k = 0; k < (l->all ? v->n_cls : l->n); k++)
		TRY(note_class(v, c, l->all ? (uint32_t)k : l->id[k]));
	return OK;
}

/* Destinations of rules of ssh that have the node among their sources, or its address as a recorder's; its own user's machines are told
 * anyway. */
static err note_ssh(struct policy_view *v, const struct view_node *n, struct policy_changes *c)
{
	for (size_t i = 0; n && i < v->p->n_ssh; i++) {
		const struct ssh_rule *r = &v->p->ssh[i];
		struct sel_set recorders = { .sel = r->recorder, .n = r->n_recorders };

		if (class_in_set(v, v->cls[n->cls], &v->p->set[r->src]) || class_in_set(v, v->cls[n->cls], &recorders))
			TRY(note_list(v, &v->ssh_classes[i], c));
	}
	return OK;
}

static err note_listed(struct policy_view *v, const uint64_t *rules, const struct class_list *by_rule, struct policy_changes *c)
{
	BITS_EACH(i, rules, policy_words(v->p))
		TRY(note_list(v, &by_rule[i], c));
	return OK;
}

static err note_own(struct policy_view *v, const struct view_node *n, struct policy_changes *c)
{
	const struct user_classes *u = n && n->user_id ? map_get(&v->by_user, &n->user_id) : NULL;

	if (u)
		list_each(it, &u->classes)
			TRY(note_class(v, c, container_of(it, struct policy_class, own)->id));
	return OK;
}

static err note_changes(struct policy_view *v, const struct view_node *was, const struct view_node *is, struct policy_changes *c)
{
	struct change ch = { was, is, !same_routes(was, is), (was && was->outside) || (is && is->outside) };

	if (same_facts(was, is))
		return OK;
	v->ssh_gen++;
	v->n_changes++;
	for (size_t w = 0; w < policy_words(v->p); w++)
		v->changed[w] = v->back_changed[w] = 0;
	mark_node(v, was, &ch);
	mark_node(v, is, &ch);
	if (was && is)
		TRY(note_class(v, c, is->cls));
	TRY(note_own(v, was, c));
	TRY(note_own(v, is, c));
	TRY(note_listed(v, v->changed, v->dst_classes, c));
	TRY(note_listed(v, v->back_changed, v->src_classes, c));
	TRY(note_ssh(v, was, c));
	return note_ssh(v, is, c);
}

/* ---- nodes ---- */

static bool is_outside(struct addr a)
{
	return a.family && !addr_is_tailscale(a);
}

static err node_copy(const struct policy_node *n, struct view_node **out)
{
	struct view_node *x = calloc(1, sizeof *x);

	if (!x)
		return ERR_NOMEM;
	list_init(&x->link);
	list_init(&x->routing);
	x->routes = calloc(n->n_routes + 1, sizeof *x->routes);
	x->email = strdup(n->user && !n->n_tags ? n->user->email : "");
	if (!x->routes || !x->email) {
		node_free(x);
		return ERR_NOMEM;
	}
	x->id = n->id;
	x->user_id = n->n_tags || !n->user ? 0 : n->user_id;
	x->v4 = n->v4;
	x->v6 = n->v6;
	x->outside = is_outside(n->v4) || is_outside(n->v6);
	x->n_routes = n->n_routes;
	for (size_t i = 0; i < n->n_routes; i++)
		x->routes[i] = n->routes[i];
	*out = x;
	return OK;
}

static void leave(struct policy_view *v, struct view_node *n)
{
	v->cls[n->cls]->members--;
	v->n_outside -= n->outside;
	list_del(&n->link);
	list_del(&n->routing);
}

static err classify(struct policy_view *v, struct policy_node *n, struct policy_class **out)
{
	struct facts f = { .by_who = v->who, .by_route = v->route };

	policy_match(v->p, n, &f);
	if (f.no_ipv4 && n->v4.family) { /* it has no such address: nothing that names it means the node */
		n->v4 = (struct addr){ 0 };
		policy_match(v->p, n, &f);
		f.no_ipv4 = true;
	}
	return class_for(v, n, &f, out);
}

err policy_view_put(struct policy_view *v, const struct policy_node *node, uint32_t *cls, struct policy_changes *c)
{
	struct policy_node n = *node;
	struct policy_class *k;
	struct view_node *is, *was = map_get(&v->by_id, &n.id);

	TRY(classify(v, &n, &k));
	TRY(node_copy(&n, &is));
	is->cls = k->id;
	if (was)
		map_del(&v->by_id, &n.id); /* and its place is free for the new one */
	err e = map_put(&v->by_id, is);
	if (e != OK) {
		node_free(is);
		return e;
	}
	if (was)
		leave(v, was);
	k->members++;
	v->n_outside += is->outside;
	list_add_tail(&k->nodes, &is->link);
	if (is->n_routes)
		list_add_tail(&v->routers, &is->routing);
	view_forget_filters(v);
	e = note_changes(v, was, is, c);
	node_free(was);
	*cls = k->id;
	return e;
}

err policy_view_del(struct policy_view *v, int64_t node_id, struct policy_changes *c)
{
	struct view_node *was = map_del(&v->by_id, &node_id);

	if (!was)
		return ERR_NOT_FOUND;
	leave(v, was);
	view_forget_filters(v);
	err e = note_changes(v, was, NULL, c);
	node_free(was);
	return e;
}

static int by_id(const void *a, const void *b)
{
	const struct view_node *const *x = a, *const *y = b;

	return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

static size_t take_members(const struct policy_class *c, struct view_node **list)
{
	size_t k = 0;

	list_each(it, &c->nodes)
		list[k++] = container_of(it, struct view_node, link);
	return k;
}

/* Of one user: only that user's classes are looked at. */
static struct view_node **own_members(const struct policy_view *v, const struct sel_set *s, int64_t user_id, size_t *n)
{
	const struct user_classes *u = map_get(&v->by_user, &user_id);
	size_t room = 1, k = 0;

	if (u)
		list_each(it, &u->classes)
			room += container_of(it, struct policy_class, own)->members;
	struct view_node **list = calloc(room, sizeof(struct view_node *));
	if (list && u)
		list_each(it, &u->classes) {
			const struct policy_class *c = container_of(it, struct policy_class, own);

			if (c->members && (!s || class_in_set(v, c, s)))
				k += take_members(c, list + k);
		}
	*n = k;
	return list;
}

struct view_node **view_members(const struct policy_view *v, const struct sel_set *s, int64_t only_user, size_t *n)
{
	size_t k = 0;
	struct view_node **list = only_user ? own_members(v, s, only_user, &k) : calloc(v->by_id.n + 1, sizeof(struct view_node *));

	for (size_t i = 0; list && !only_user && i < v->n_cls; i++)
		if (v->cls[i]->members && class_in_set(v, v->cls[i], s))
			k += take_members(v->cls[i], list + k);
	if (list && k)
		qsort(list, k, sizeof(struct view_node *), by_id);
	*n = k;
	return list;
}

struct view_node *view_node_at(const struct policy_view *v, struct addr a)
{
	size_t at = 0;

	for (struct view_node *n; (n = map_next(&v->by_id, &at));)
		if (addr_eq(n->v4, a) || addr_eq(n->v6, a))
			return n;
	return NULL;
}
