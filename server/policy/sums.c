#include "server/policy/effect.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* What a node is sent, as a number: equal numbers, equal filters and SSH rules. Reckoned without writing them, for a thousand
 * nodes while somebody types. Rules are added up, so that their order and their numbers play no part. */

static uint64_t hash4(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const uint64_t parts[] = { a, b, c, d };

	return map_hash(parts, sizeof parts);
}

static uint64_t hash_text(const char *s)
{
	return s ? map_hash(s, strlen(s)) : 0;
}

static uint64_t hash_ranges(const struct sel *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n_ranges; i++) {
		const struct range *r = &s->ranges[i];

		sum = hash4(sum, map_hash(r->first.b, sizeof r->first.b), map_hash(r->last.b, sizeof r->last.b), r->first.family);
	}
	return sum;
}

/* The nodes of a class. */
static uint64_t hash_class(const struct policy_class *c)
{
	uint64_t sum = 0;

	list_each(it, &c->nodes)
		sum += hash4((uint64_t)container_of(it, struct view_node, link)->id, c->no_ipv4, 1, 2);
	return sum;
}

struct sums {
	const struct policy_view *v;
	const struct rights *rights;
	uint64_t *cls;	/* owned, by class: its nodes */
	uint64_t *src, *back; /* owned, by rule: who its sources are; for what goes back, its destinations */
	uint64_t *ssh, *ssh_src; /* owned, by rule of ssh: what it says; its sources */
};

/* What the list of sources says besides the nodes that are named. 0 and no nodes: nobody. */
static uint64_t hash_set(const struct policy *p, const struct sel_set *s, uint64_t nodes)
{
	uint64_t sum = 0;

	if (s->postures)
		return nodes;
	if (s->danger)
		return 1;
	for (size_t i = 0; i < s->n; i++) {
		const struct sel *x = p->sel[s->sel[i]];

		sum += x->kind == SEL_RANGES && x->n_ranges ? hash_ranges(x) : 0;
	}
	return s->any ? hash4(sum, 3, 0, 0) : sum + nodes;
}

/* Nodes that are in the set by name; those that only a range of it holds are in the range. */
static uint64_t hash_members(const struct sums *x, const struct sel_set *s, int64_t only_user)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < x->v->n_cls; i++)
		if (x->v->cls[i]->members && (!only_user || x->v->cls[i]->user_id == only_user) && class_in_set(x->v, x->v->cls[i], s))
			sum += x->cls[i];
	return sum;
}

static uint64_t hash_words(const char *const *list, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = hash4(sum, hash_text(list[i]), i, 0);
	return sum;
}

static uint64_t hash_ssh(const struct sums *x, const struct ssh_rule *r)
{
	struct sel_set recorders = { .sel = r->recorder, .n = r->n_recorders };
	uint64_t sum = hash4(hash_words(r->user, r->n_users), hash_words(r->localpart, r->n_localparts), hash_words(r->env, r->n_env),
			     (uint64_t)r->check | (uint64_t)r->nonroot << 1 | (uint64_t)r->root << 2 | (uint64_t)r->enforce_recorder << 3);

	return r->n_recorders ? hash4(sum, hash_members(x, &recorders, 0), 0, 0) : sum;
}

static bool named_too(const struct policy_view *v, const struct policy_class *c, const struct sel_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		if ((s->postures || sel_is_identity(v->p->sel[s->sel[i]])) && class_has(c->by_who, c->n_who, s->sel[i]))
			return true;
	return false;
}

static err sums_make(const struct policy_view *v, const struct rights *rights, struct sums *x)
{
	const struct policy *p = v->p;

	*x = (struct sums){ .v = v, .rights = rights };
	x->cls = calloc(v->n_cls + 1, sizeof *x->cls);
	x->src = calloc(p->n_rules + 1, sizeof *x->src);
	x->back = calloc(p->n_rules + 1, sizeof *x->back);
	x->ssh = calloc(p->n_ssh + 1, sizeof *x->ssh);
	x->ssh_src = calloc(p->n_ssh + 1, sizeof *x->ssh_src);
	if (!x->cls || !x->src || !x->back || !x->ssh || !x->ssh_src)
		return ERR_NOMEM;
	for (size_t i = 0; i < v->n_cls; i++)
		if (v->cls[i]->members) {
			x->cls[i] = hash_class(v->cls[i]);
			BITS_EACH(r, rights_src(rights, (uint32_t)i), policy_words(p))
				x->src[r] += named_too(v, v->cls[i], &p->set[p->rule[r].src]) ? x->cls[i] : 0;
		}
	for (size_t r = 0; r < p->n_rules; r++) {
		x->src[r] = hash_set(p, &p->set[p->rule[r].src], x->src[r]);
		if (p->rule[r].back_caps)
			x->back[r] = hash_set(p, &p->set[p->rule[r].dst], hash_members(x, &p->set[p->rule[r].dst], 0));
	}
	for (size_t i = 0; i < p->n_ssh; i++) {
		x->ssh[i] = hash_ssh(x, &p->ssh[i]);
		x->ssh_src[i] = hash_members(x, &p->set[p->ssh[i].src], 0);
	}
	return OK;
}

static void sums_done(struct sums *x)
{
	free(x->cls);
	free(x->src);
	free(x->back);
	free(x->ssh);
	free(x->ssh_src);
}

static uint64_t hash_entry(const struct policy *p, const struct rule_dst *d, uint64_t src)
{
	const struct sel *s = p->sel[d->sel];
	uint64_t what = s->kind == SEL_ANY ? 4 + (p->rule[d->rule].n_via > 0) : s->kind == SEL_RANGES ? hash_ranges(s) : s->kind == SEL_INTERNET ? 6 : 7;

	return hash4(src, what, map_hash(d->ports, d->n_ports * sizeof *d->ports), (uint16_t)d->proto);
}

static uint64_t hash_rule(const struct sums *x, const struct policy_class *c, size_t rule)
{
	const struct policy *p = x->v->p;
	const struct rule *r = &p->rule[rule];
	uint64_t sum = 0, caps = 0;

	if (!x->src[rule]) /* nobody is there now */
		return 0;
	for (size_t i = r->first_dst; i < r->first_dst + r->n_dst; i++) {
		const struct rule_dst *d = &p->dst[i];
		bool behind = dst_is_behind(p, c, d);

		if (!dst_is_node(p, c, d) && !behind)
			continue;
		if (d->n_ports)
			sum += hash_entry(p, d, x->src[rule]);
		caps = r->n_via ? 0 : hash4(caps, p->sel[d->sel]->kind == SEL_RANGES ? hash_ranges(p->sel[d->sel]) : 7, behind, 0);
	}
	return sum + (caps && r->caps ? hash4(x->src[rule], hash_text(r->caps), caps, 8) : 0);
}

static uint64_t hash_self(const struct sums *x, const struct policy_class *c, size_t rule)
{
	const struct policy *p = x->v->p;
	const struct rule *r = &p->rule[rule];
	uint64_t own = hash_members(x, &p->set[r->src], c->user_id), sum = 0;

	for (size_t i = r->first_dst; own && i < r->first_dst + r->n_dst; i++)
		if (p->sel[p->dst[i].sel]->kind == SEL_SELF && p->dst[i].n_ports)
			sum += hash_entry(p, &p->dst[i], own);
	if (own && r->caps)
		sum += hash4(own, hash_text(r->caps), 9, 0);
	if (r->back_caps && class_in_set(x->v, c, &p->set[r->src]))
		sum += hash4(hash_text(r->back_caps), 10, 0, 0);
	return sum;
}

static uint64_t filter_sum(const struct sums *x, const struct policy_class *c)
{
	const struct policy *p = x->v->p;
	uint64_t sum = 0;

	BITS_EACH(i, c->dst, policy_words(p))
		sum += hash_rule(x, c, i);
	BITS_EACH(k, c->src, policy_words(p))
		if (p->rule[k].back_caps && !p->rule[k].n_via && x->back[k] && class_in_set(x->v, c, &p->set[p->rule[k].src]))
			sum += hash4(x->back[k], hash_text(p->rule[k].back_caps), 11, 0);
	BITS_EACH(m, c->self, policy_words(p))
		sum += hash_self(x, c, m);
	return sum;
}

static uint64_t ssh_sum(const struct sums *x, const struct policy_class *c, bool person)
{
	const struct policy *p = x->v->p;
	uint64_t sum = p->has_ssh;

	for (size_t i = 0; i < p->n_ssh; i++) {
		const struct ssh_rule *r = &p->ssh[i];
		bool dst = ssh_is_dst(c, r), own = (r->self && person) || (r->n_localparts && class_in_set(x->v, c, &p->set[r->src]));
		/* A tagged one with localpart: itself alone. */
		uint64_t who = dst ? x->ssh_src[i] : !own ? 0 : person ? hash_members(x, &p->set[r->src], c->user_id) : 12;

		sum += who ? hash4(x->ssh[i], who, 13, 0) : 0;
	}
	return sum;
}

static void compare(const struct effect *e, const struct sums *a, const struct sums *b, uint8_t *out)
{
	for (size_t i = 0; i < e->kinds.n; i++) {
		const struct policy_class *x = a->v->cls[e->kinds.k[i].was], *y = b->v->cls[e->kinds.k[i].is];
		bool person = e->kinds.user[e->kinds.node[e->kinds.k[i].first]] != 0;

		out[i] |= filter_sum(a, x) != filter_sum(b, y) ? EFFECT_FILTER : 0;
		out[i] |= ssh_sum(a, x, person) != ssh_sum(b, y, person) ? EFFECT_SSH : 0;
		out[i] |= bytes_eq(x->caps, y->caps) ? 0 : EFFECT_ATTRS;
	}
}

err effect_machines(const struct effect *e, uint8_t *out)
{
	struct sums a = { 0 }, b = { 0 };
	err bad = sums_make(e->was->view, &e->old, &a);

	if (bad == OK)
		bad = sums_make(e->is->view, &e->new, &b);
	if (bad == OK)
		compare(e, &a, &b, out);
	sums_done(&a);
	sums_done(&b);
	return bad;
}
