#include "server/policy/rules.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- life ---- */

static size_t key_words(const struct policy *p)
{
	return 2 * policy_words(p) + 1;
}

err policy_view_new(struct policy *p, struct policy_view **out)
{
	struct policy_view *v = calloc(1, sizeof *v);

	if (!v)
		return ERR_NOMEM;
	v->p = policy_ref(p);
	v->by_id = MAP_OF(struct view_node, id);
	v->by_key = map_make(offsetof(struct policy_class, key), key_words(p) * sizeof(uint64_t));
	v->parts = MAP_OF(struct shared_part, hash);
	v->sources = calloc(p->n_sets + 1, sizeof *v->sources);
	if (!v->sources) {
		policy_view_free(v);
		return ERR_NOMEM;
	}
	*out = v;
	return OK;
}

static void node_free(struct view_node *n)
{
	if (!n)
		return;
	free(n->routes);
	free(n->by_identity);
	free(n);
}

void policy_view_free(struct policy_view *v)
{
	if (!v)
		return;
	size_t at = 0;
	for (struct view_node *n; (n = map_next(&v->by_id, &at));)
		node_free(n);
	for (size_t i = 0; i < v->n_cls; i++)
		free(v->cls[i]);
	for (size_t i = 0; v->sources && i < v->p->n_sets; i++)
		free((void *)(uintptr_t)v->sources[i].p);
	view_forget_filters(v);
	free(v->sources);
	free(v->cls);
	map_done(&v->by_id);
	map_done(&v->by_key);
	map_done(&v->parts);
	policy_unref(v->p);
	free(v);
}

void policy_changes_done(struct policy_changes *c)
{
	free(c->filters);
	*c = (struct policy_changes){ 0 };
}

/* ---- classes ---- */

/* Does autogroup:self tell this node's user apart from others? */
static bool needs_user(const struct policy *p, const uint64_t *src, const uint64_t *dst)
{
	for (size_t w = 0; w < policy_words(p); w++)
		if (p->self[w] & (src[w] | dst[w]))
			return true;
	return false;
}

static err class_for(struct policy_view *v, const struct policy_node *n, struct policy_class **out)
{
	size_t words = policy_words(v->p), bytes = key_words(v->p) * sizeof(uint64_t);
	CLEANUP(freep) struct policy_class *c = calloc(1, sizeof *c + bytes);

	if (!c)
		return ERR_NOMEM;
	policy_node_bits(v->p, n, c->key, c->key + words);
	if (n->user && needs_user(v->p, c->key, c->key + words))
		c->key[2 * words] = (uint64_t)n->user_id;
	struct policy_class *known = map_get(&v->by_key, c->key);
	if (known) {
		*out = known;
		return OK;
	}
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
	list_init(&c->nodes);
	TRY(map_put(&v->by_key, c));
	v->cls[v->n_cls++] = c;
	*out = MOVE(c);
	return OK;
}

uint32_t policy_view_classes(const struct policy_view *v)
{
	return (uint32_t)v->n_cls;
}

static bool reaches(const struct policy_view *v, const struct policy_class *a, const struct policy_class *b)
{
	const struct policy *p = v->p;
	size_t words = policy_words(p);
	const uint64_t *src = class_src(a), *dst = class_dst(v, b);
	bool same_user = a->key[2 * words] && a->key[2 * words] == b->key[2 * words];

	for (size_t w = 0; w < words; w++)
		if (src[w] & dst[w] & (same_user ? ~(uint64_t)0 : ~p->self[w]))
			return true;
	return false;
}

bool policy_view_sees(const struct policy_view *v, uint32_t a, uint32_t b)
{
	if (a >= v->n_cls || b >= v->n_cls)
		return false;
	return v->p->allow_all || reaches(v, v->cls[a], v->cls[b]) || reaches(v, v->cls[b], v->cls[a]);
}

/* ---- what a change changes ---- */

static err note_class(struct policy_changes *c, uint32_t cls)
{
	for (size_t i = c->n_filters; i-- > 0;)
		if (c->filters[i] == cls)
			return OK;
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

static void forget_sources(struct policy_view *v, size_t set)
{
	free((void *)(uintptr_t)v->sources[set].p);
	v->sources[set] = (struct bytes){ 0 };
}

static bool has_any(const struct rule *r)
{
	for (size_t i = 0; i < r->n_src; i++)
		if (r->src[i].kind == SEL_ANY)
			return true;
	return false;
}

static bool same_routes(const struct view_node *a, const struct view_node *b)
{
	if ((a ? a->n_routes : 0) != (b ? b->n_routes : 0))
		return false;
	for (size_t i = 0; a && i < a->n_routes; i++)
		if (prefix_cmp(a->routes[i], b->routes[i]) != 0)
			return false;
	return true;
}

static bool same_addresses(const struct view_node *a, const struct view_node *b)
{
	return a && b && addr_eq(a->v4, b->v4) && addr_eq(a->v6, b->v6);
}

static bool in_set(const struct view_node *n, size_t set)
{
	return n && bit_has(n->by_identity, set);
}

/* Old and new are one node before and after; either may be NULL. Which rules list other sources now? */
static void mark_changed_sets(struct policy_view *v, const struct view_node *was, const struct view_node *is, bool *changed)
{
	bool routes = !same_routes(was, is), addresses = !same_addresses(was, is);

	for (size_t i = 0; i < v->p->n_rules; i++) {
		const struct rule *r = &v->p->rule[i];
		bool listed = in_set(was, r->set) != in_set(is, r->set) || (addresses && in_set(is, r->set));

		if (listed || (routes && has_any(r))) {
			changed[r->set] = true;
			forget_sources(v, r->set);
		}
	}
}

/* Is a class a destination of a changed rule, or of a rule for the changed node's own user? */
static bool is_touched(const struct policy_view *v, const struct policy_class *c, const bool *changed, int64_t user_id)
{
	size_t words = policy_words(v->p);
	const uint64_t *dst = class_dst(v, c);

	for (size_t w = 0; w < words; w++)
		for (uint64_t left = dst[w]; left; left &= left - 1) {
			size_t d = w * 64 + (size_t)__builtin_ctzll(left);

			if (bit_has(v->p->self, d)) {
				if (user_id && c->key[2 * words] == (uint64_t)user_id)
					return true;
			} else if (changed[v->p->rule[v->p->dst[d].rule].set]) {
				return true;
			}
		}
	return false;
}

static err note_changes(struct policy_view *v, const struct view_node *was, const struct view_node *is,
			struct policy_changes *c)
{
	CLEANUP(freep) bool *changed = calloc(v->p->n_sets + 1, sizeof *changed);

	if (!changed)
		return ERR_NOMEM;
	mark_changed_sets(v, was, is, changed);
	bool facts = !same_addresses(was, is) || !same_routes(was, is) || was->user_id != is->user_id;
	for (size_t i = 0; i < v->n_cls; i++) {
		const struct policy_class *k = v->cls[i];

		if (!k->members)
			continue;
		if (is_touched(v, k, changed, was && facts ? was->user_id : 0) ||
		    is_touched(v, k, changed, is && facts ? is->user_id : 0) ||
		    (was && is && k->id == is->cls && (facts || was->cls != is->cls)))
			TRY(note_class(c, k->id));
	}
	return OK;
}

static err node_copy(const struct policy_view *v, const struct policy_node *n, struct view_node **out)
{
	const struct policy *p = v->p;
	struct view_node *x = calloc(1, sizeof *x);

	if (!x)
		return ERR_NOMEM;
	x->routes = calloc(n->n_routes + 1, sizeof *x->routes);
	x->by_identity = calloc(p->n_sets / 64 + 1, sizeof *x->by_identity);
	if (!x->routes || !x->by_identity) {
		node_free(x);
		return ERR_NOMEM;
	}
	list_init(&x->link);
	x->id = n->id;
	x->user_id = n->n_tags ? 0 : n->user_id;
	x->v4 = n->v4;
	x->v6 = n->v6;
	x->n_routes = n->n_routes;
	for (size_t i = 0; i < n->n_routes; i++)
		x->routes[i] = n->routes[i];
	for (size_t i = 0; i < p->n_rules; i++)
		for (size_t k = 0; k < p->rule[i].n_src; k++) {
			const struct sel *s = &p->rule[i].src[k];

			if (s->kind != SEL_ANY && s->kind != SEL_PREFIX && sel_matches(s, n))
				bit_set(x->by_identity, p->rule[i].set);
		}
	*out = x;
	return OK;
}

err policy_view_put(struct policy_view *v, const struct policy_node *n, uint32_t *cls, struct policy_changes *c)
{
	struct policy_class *k;
	struct view_node *is, *was = map_get(&v->by_id, &n->id);

	TRY(class_for(v, n, &k));
	TRY(node_copy(v, n, &is));
	is->cls = k->id;
	if (was)
		map_del(&v->by_id, &n->id); /* and its place is free for the new one */
	err e = map_put(&v->by_id, is);
	if (e != OK) {
		node_free(is);
		return e;
	}
	if (was) {
		v->cls[was->cls]->members--;
		list_del(&was->link);
	}
	k->members++;
	list_add_tail(&k->nodes, &is->link);
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
	v->cls[was->cls]->members--;
	list_del(&was->link);
	view_forget_filters(v);
	err e = note_changes(v, was, NULL, c);
	node_free(was);
	return e;
}
