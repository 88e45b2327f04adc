#include "server/policy/rules.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- which nodes and users a selector means ---- */

/* "ann", "ann@", and "ann@example.com" by e-mail or login name; case plays no part. */
static bool is_user(const char *name, const struct policy_user *u)
{
	struct bytes want = bytes_str(name);

	if (!u)
		return false;
	if (want.n && want.p[want.n - 1] == '@')
		want.n--;
	if (!want.n)
		return false;
	return bytes_eq_nocase(want, bytes_str(u->name)) || bytes_eq_nocase(want, bytes_str(u->email)) ||
	       bytes_eq_nocase(want, bytes_str(u->login));
}

static bool has_tag(const struct policy_node *n, const char *tag)
{
	for (size_t i = 0; i < n->n_tags; i++)
		if (strcmp(n->tags[i], tag) == 0)
			return true;
	return false;
}

/* An exit node's default routes overlap everything; only a rule for all addresses means them. */
static bool covers_node(struct prefix p, const struct policy_node *n)
{
	if ((n->v4.family && prefix_contains(p, n->v4)) || (n->v6.family && prefix_contains(p, n->v6)))
		return true;
	for (size_t i = 0; i < n->n_routes; i++)
		if ((n->routes[i].bits > 0 || p.bits == 0) && prefix_overlaps(p, n->routes[i]))
			return true;
	return false;
}

static bool is_in_group(const struct group *g, const struct policy_user *u)
{
	for (size_t i = 0; i < g->n; i++)
		if (is_user(g->members[i], u))
			return true;
	return false;
}

bool sel_is_user(const struct sel *s, const struct policy_user *u)
{
	switch (s->kind) {
	case SEL_ANY:
	case SEL_MEMBER:
		return u != NULL;
	case SEL_USER:
		return is_user(s->name, u);
	case SEL_GROUP:
		return is_in_group(s->group, u);
	case SEL_TAG:
	case SEL_PREFIX:
	case SEL_TAGGED:
	case SEL_SELF:
		return false;
	}
	return false;
}

bool sel_matches(const struct sel *s, const struct policy_node *n)
{
	switch (s->kind) {
	case SEL_ANY:
		return true;
	case SEL_USER:
	case SEL_GROUP:
	case SEL_MEMBER:
		return n->n_tags == 0 && sel_is_user(s, n->user);
	case SEL_SELF:
		return n->n_tags == 0 && n->user != NULL;
	case SEL_TAG:
		return has_tag(n, s->name);
	case SEL_TAGGED:
		return n->n_tags > 0;
	case SEL_PREFIX:
		return covers_node(s->prefix, n);
	}
	return false;
}

static bool any_matches(const struct sel *s, size_t n_sels, const struct policy_node *n)
{
	for (size_t i = 0; i < n_sels; i++)
		if (sel_matches(&s[i], n))
			return true;
	return false;
}

void policy_node_bits(const struct policy *p, const struct policy_node *n, uint64_t *src, uint64_t *dst)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *r = &p->rule[i];
		bool is_src = any_matches(r->src, r->n_src, n);

		for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++) {
			if (is_src)
				bit_set(src, d);
			if (sel_matches(&p->dst[d].sel, n))
				bit_set(dst, d);
		}
	}
}

/* ---- rules with equal sources ---- */

static bool sel_eq(const struct sel *a, const struct sel *b)
{
	return a->kind == b->kind && a->group == b->group && prefix_cmp(a->prefix, b->prefix) == 0 &&
	       (a->name == b->name || (a->name && b->name && strcmp(a->name, b->name) == 0));
}

static bool same_sources(const struct rule *a, const struct rule *b)
{
	if (a->n_src != b->n_src || !bytes_eq(bytes_of(a->proto, a->n_proto), bytes_of(b->proto, b->n_proto)))
		return false;
	for (size_t i = 0; i < a->n_src; i++)
		if (!sel_eq(&a->src[i], &b->src[i]))
			return false;
	return true;
}

static uint64_t hash_sources(const struct rule *r)
{
	uint64_t h = map_hash(r->proto, r->n_proto);

	for (size_t i = 0; i < r->n_src; i++) {
		const struct sel *s = &r->src[i];
		const uint64_t parts[] = { h, (uint64_t)s->kind, (uintptr_t)s->group, s->prefix.bits,
					   map_hash(s->name, s->name ? strlen(s->name) : 0),
					   map_hash(s->prefix.addr.b, sizeof s->prefix.addr.b) };

		h = map_hash(parts, sizeof parts);
	}
	return h;
}

struct set_head {
	uint64_t hash;
	size_t rule; /* the first of this hash */
};

/* Two lists with the same hash but different content get sets of their own. */
static err number_sets(struct policy *p, struct set_head *head, struct map *by_hash)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		uint64_t h = hash_sources(&p->rule[i]);
		struct set_head *first = map_get(by_hash, &h);

		if (first && same_sources(&p->rule[first->rule], &p->rule[i])) {
			p->rule[i].set = p->rule[first->rule].set;
			continue;
		}
		p->rule[i].set = p->n_sets++;
		head[i] = (struct set_head){ h, i };
		if (!first)
			TRY(map_put(by_hash, &head[i]));
	}
	return OK;
}

err policy_finish(struct policy *p)
{
	struct map by_hash = MAP_OF(struct set_head, hash);
	struct set_head *head = calloc(p->n_rules + 1, sizeof *head);
	err e = head ? number_sets(p, head, &by_hash) : ERR_NOMEM;

	map_done(&by_hash);
	free(head);
	TRY(e);
	p->self = arena_array(&p->arena, policy_words(p) + 1, sizeof *p->self);
	if (!p->self)
		return ERR_NOMEM;
	for (size_t d = 0; d < p->n_dsts; d++)
		if (p->dst[d].sel.kind == SEL_SELF)
			bit_set(p->self, d);
	return OK;
}

/* ---- references, owners, approvers ---- */

struct policy *policy_ref(struct policy *p)
{
	if (p)
		atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void policy_unref(struct policy *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct arena a = p->arena;

	free(p);
	arena_done(&a);
}

static const struct tag_owner *owner_of(const struct policy *p, const char *tag)
{
	for (size_t i = 0; i < p->n_owners; i++)
		if (strcmp(p->owner[i].tag, tag) == 0)
			return &p->owner[i];
	return NULL;
}

bool policy_has_tag(const struct policy *p, const char *tag)
{
	return owner_of(p, tag) != NULL;
}

bool policy_may_tag(const struct policy *p, const struct policy_user *user, const char *tag)
{
	const struct tag_owner *o = owner_of(p, tag);

	for (size_t i = 0; o && i < o->n; i++)
		if (sel_is_user(&o->owner[i], user))
			return true;
	return false;
}

bool policy_approves_route(const struct policy *p, const struct policy_node *n, struct prefix route)
{
	for (size_t i = 0; i < p->n_approvers; i++) {
		const struct approver *a = &p->approver[i];
		bool about = a->exit ? route.bits == 0 : prefix_covers(a->route, route);

		if (about && any_matches(a->who, a->n, n))
			return true;
	}
	return false;
}
