#include "server/policy/rules.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"

/* A node's filter is cut into chunks by the sources of its rules, so that a join re-sends the chunk it touches and no
 * other: "base" (always there, so that nothing at all reads as "block everything"), "self" for autogroup:self, and the
 * sets of rules spread over the rest. */
enum { FILTER_TEXT_MAX = 64 << 20, SET_CHUNKS = POLICY_FILTERS_MAX - 2 };

static const char *const chunk_name[SET_CHUNKS] = { "acl-0", "acl-1", "acl-2", "acl-3",	 "acl-4",  "acl-5",  "acl-6",
						    "acl-7", "acl-8", "acl-9", "acl-10", "acl-11", "acl-12", "acl-13" };

void view_forget_filters(struct policy_view *v)
{
	while (v->all_parts) {
		struct shared_part *s = v->all_parts;

		v->all_parts = s->next;
		map_del(&v->parts, &s->hash);
		part_unref(s->part);
		free(s);
	}
}

/* The part with this text, made once until the next change; text is taken. NULL: out of memory. */
static struct shared_part *share(struct policy_view *v, struct buf *text)
{
	uint64_t hash = map_hash(buf_view(text).p, buf_len(text));
	struct shared_part *s = text->bad ? NULL : map_get(&v->parts, &hash);

	if (s || text->bad) {
		buf_done(text);
		return s;
	}
	s = calloc(1, sizeof *s);
	if (!s) {
		buf_done(text);
		return NULL;
	}
	s->hash = hash;
	s->part = part_new(text);
	if (!s->part || map_put(&v->parts, s) != OK) {
		part_unref(s->part);
		free(s);
		return NULL;
	}
	s->next = v->all_parts;
	v->all_parts = s;
	return s;
}

/* ---- sources ---- */

static void write_prefix(struct jsonw *w, struct prefix p)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_str(w, p.bits == addr_bits(p.addr) ? addr_text(p.addr, text) : prefix_text(p, text));
}

static void write_addresses(struct jsonw *w, const struct view_node *n)
{
	char text[ADDR_TEXT_MAX];

	if (n->v4.family)
		jsonw_str(w, addr_text(n->v4, text));
	if (n->v6.family)
		jsonw_str(w, addr_text(n->v6, text));
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(*(const struct prefix *)a, *(const struct prefix *)b);
}

/* Everything there is in the tailnet: its two ranges (without the part of 100.64/10 that clients do not take), and the
 * subnets behind its routers. Exit routes are no sources. */
static void write_everything(struct policy_view *v, struct jsonw *w)
{
	struct prefix *list = NULL;
	size_t n = 0, cap = 0, at = 0;

	jsonw_str(w, "100.64.0.0-100.115.91.255");
	jsonw_str(w, "100.115.94.0-100.127.255.255");
	jsonw_str(w, "fd7a:115c:a1e0::/48");
	for (struct view_node *x; (x = map_next(&v->by_id, &at));)
		for (size_t i = 0; i < x->n_routes; i++) {
			if (x->routes[i].bits == 0)
				continue;
			if (n == cap) {
				struct prefix *grown = reallocarray(list, cap ? cap * 2 : 16, sizeof *list);

				if (!grown) {
					w->out->bad = true;
					goto done;
				}
				list = grown;
				cap = cap ? cap * 2 : 16;
			}
			list[n++] = prefix_mask(x->routes[i]);
		}
	if (n)
		qsort(list, n, sizeof *list, by_prefix);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || prefix_cmp(list[i - 1], list[i]) != 0)
			write_prefix(w, list[i]);
done:
	free(list);
}

static int by_id(const void *a, const void *b)
{
	const struct view_node *const *x = a, *const *y = b;

	return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

/* In the order of ids, so that one set of nodes has one text. */
static void write_identities(struct policy_view *v, size_t set, struct jsonw *w)
{
	CLEANUP(freep) struct view_node **list = calloc(v->by_id.n + 1, sizeof(struct view_node *));
	size_t n = 0, at = 0;

	if (!list) {
		w->out->bad = true;
		return;
	}
	for (struct view_node *x; (x = map_next(&v->by_id, &at));)
		if (bit_has(x->by_identity, set))
			list[n++] = x;
	if (n)
		qsort(list, n, sizeof(struct view_node *), by_id);
	for (size_t i = 0; i < n; i++)
		write_addresses(w, list[i]);
}

/* The SrcIPs list of a set as JSON; kept until it changes. n 0: out of memory. */
static struct bytes sources_of(struct policy_view *v, const struct rule *r)
{
	if (v->sources[r->set].p)
		return v->sources[r->set];
	struct buf out = buf_make(FILTER_TEXT_MAX);
	struct jsonw w = jsonw_init(&out);
	bool everything = false;

	jsonw_arr(&w);
	for (size_t i = 0; i < r->n_src; i++)
		everything |= r->src[i].kind == SEL_ANY;
	if (everything)
		write_everything(v, &w);
	else
		write_identities(v, r->set, &w);
	for (size_t i = 0; i < r->n_src; i++)
		if (r->src[i].kind == SEL_PREFIX)
			write_prefix(&w, r->src[i].prefix);
	jsonw_arr_end(&w);
	if (jsonw_ok(&w))
		v->sources[r->set] = bytes_of(bytes_dup(buf_view(&out)), buf_len(&out));
	buf_done(&out);
	return v->sources[r->set].p ? v->sources[r->set] : (struct bytes){ 0 };
}

/* The user's own nodes that are sources here, in the order of ids. */
static void write_own_sources(struct policy_view *v, size_t dst, uint64_t user, struct jsonw *w)
{
	CLEANUP(freep) struct view_node **list = calloc(v->by_id.n + 1, sizeof(struct view_node *));
	size_t words = policy_words(v->p), n = 0;

	if (!list) {
		w->out->bad = true;
		return;
	}
	for (size_t i = 0; i < v->n_cls; i++) {
		const struct policy_class *c = v->cls[i];

		if (c->key[2 * words] != user || !bit_has(class_src(c), dst))
			continue;
		list_each(it, &c->nodes)
			list[n++] = container_of(it, struct view_node, link);
	}
	if (n)
		qsort(list, n, sizeof(struct view_node *), by_id);
	for (size_t i = 0; i < n; i++)
		write_addresses(w, list[i]);
}

/* ---- one rule ---- */

static void write_ports(struct jsonw *w, const char *ip, const struct rule_dst *d)
{
	for (size_t i = 0; i < d->n_ports; i++) {
		jsonw_obj(w);
		jsonw_key(w, "IP"), jsonw_str(w, ip);
		jsonw_key(w, "Ports"), jsonw_obj(w);
		jsonw_key(w, "First"), jsonw_uint(w, d->ports[i].first);
		jsonw_key(w, "Last"), jsonw_uint(w, d->ports[i].last);
		jsonw_obj_end(w);
		jsonw_obj_end(w);
	}
}

/* "*" stays "*" (it means what is behind a router, too), ranges stay as written, names become the node's addresses. */
static void write_dst(struct jsonw *w, const struct view_node *n, const struct rule_dst *d)
{
	char text[PREFIX_TEXT_MAX];

	switch (d->sel.kind) {
	case SEL_ANY:
		write_ports(w, "*", d);
		return;
	case SEL_PREFIX:
		if (d->sel.prefix.bits == addr_bits(d->sel.prefix.addr))
			write_ports(w, addr_text(d->sel.prefix.addr, text), d);
		else
			write_ports(w, prefix_text(d->sel.prefix, text), d);
		return;
	case SEL_USER:
	case SEL_GROUP:
	case SEL_TAG:
	case SEL_MEMBER:
	case SEL_TAGGED:
	case SEL_SELF:
		if (n->v4.family)
			write_ports(w, addr_text(n->v4, text), d);
		if (n->v6.family)
			write_ports(w, addr_text(n->v6, text), d);
		return;
	}
}

static void write_proto(struct jsonw *w, const struct rule *r)
{
	if (!r->n_proto)
		return;
	jsonw_key(w, "IPProto"), jsonw_arr(w);
	for (size_t i = 0; i < r->n_proto; i++)
		jsonw_uint(w, r->proto[i]);
	jsonw_arr_end(w);
}

/* The destinations d[0..n) belong to one set. */
static void write_rule(struct policy_view *v, const struct view_node *node, const size_t *d, size_t n, struct jsonw *w)
{
	const struct rule *r = &v->p->rule[v->p->dst[d[0]].rule];
	struct bytes sources = sources_of(v, r);

	if (sources.n == 0)
		w->out->bad = true;
	if (sources.n <= 2) /* [] : nobody is there now */
		return;
	jsonw_obj(w);
	jsonw_key(w, "SrcIPs"), jsonw_raw(w, sources);
	write_proto(w, r);
	jsonw_key(w, "DstPorts"), jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		write_dst(w, node, &v->p->dst[d[i]]);
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

static void write_self_rule(struct policy_view *v, const struct view_node *node, size_t d, struct jsonw *w)
{
	jsonw_obj(w);
	jsonw_key(w, "SrcIPs"), jsonw_arr(w);
	write_own_sources(v, d, (uint64_t)node->user_id, w);
	jsonw_arr_end(w);
	write_proto(w, &v->p->rule[v->p->dst[d].rule]);
	jsonw_key(w, "DstPorts"), jsonw_arr(w);
	write_dst(w, node, &v->p->dst[d]);
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

/* Does any of the user's nodes count as a source here? */
static bool has_own_sources(const struct policy_view *v, size_t dst, uint64_t user)
{
	size_t words = policy_words(v->p);

	for (size_t i = 0; i < v->n_cls; i++)
		if (v->cls[i]->members && v->cls[i]->key[2 * words] == user && bit_has(class_src(v->cls[i]), dst))
			return true;
	return false;
}

/* ---- a node's chunks ---- */

struct answer {
	struct policy_filter *out;
	size_t n;
};

static void give(struct policy_view *v, struct answer *a, const char *name, struct buf *text)
{
	struct shared_part *s = share(v, text);

	if (s)
		a->out[a->n++] = (struct policy_filter){ name, s->part, s->hash };
}

static int by_set(const void *a, const void *b, void *view)
{
	const struct policy *p = ((struct policy_view *)view)->p;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	size_t sx = p->rule[p->dst[x].rule].set, sy = p->rule[p->dst[y].rule].set;

	return sx != sy ? (sx > sy) - (sx < sy) : (x > y) - (x < y);
}

static size_t set_of(const struct policy_view *v, size_t d)
{
	return v->p->rule[v->p->dst[d].rule].set;
}

static void give_chunk(struct policy_view *v, const struct view_node *node, unsigned chunk, const size_t *d, size_t n,
		       struct answer *a)
{
	struct buf text = buf_make(FILTER_TEXT_MAX);
	struct jsonw w = jsonw_init(&text);

	jsonw_arr(&w);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && set_of(v, d[end]) == set_of(v, d[i]);)
			end++;
		if (set_of(v, d[i]) % SET_CHUNKS == chunk)
			write_rule(v, node, d + i, end - i, &w);
	}
	jsonw_arr_end(&w);
	if (text.bad || buf_len(&text) > 2)
		give(v, a, chunk_name[chunk], &text);
	buf_done(&text);
}

static void give_self(struct policy_view *v, const struct view_node *node, const uint64_t *dst, struct answer *a)
{
	struct buf text = buf_make(FILTER_TEXT_MAX);
	struct jsonw w = jsonw_init(&text);

	jsonw_arr(&w);
	for (size_t d = 0; d < v->p->n_dsts; d++)
		if (bit_has(dst, d) && bit_has(v->p->self, d) && has_own_sources(v, d, (uint64_t)node->user_id))
			write_self_rule(v, node, d, &w);
	jsonw_arr_end(&w);
	if (buf_len(&text) > 2)
		give(v, a, "self", &text);
	buf_done(&text);
}

size_t policy_view_filters(struct policy_view *v, int64_t node_id, struct policy_filter out[POLICY_FILTERS_MAX])
{
	static const char allow_all[] =
		"[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]";
	const struct view_node *node = map_get(&v->by_id, &node_id);
	struct answer a = { .out = out };
	struct buf base = buf_make(sizeof allow_all);

	buf_append_str(&base, node && v->p->allow_all ? allow_all : "[]");
	give(v, &a, "base", &base);
	if (!node || !v->p->n_dsts)
		return a.n;

	const uint64_t *dst = class_dst(v, v->cls[node->cls]);
	CLEANUP(freep) size_t *list = calloc(v->p->n_dsts, sizeof *list);
	bool used[SET_CHUNKS] = { 0 }, self = false;
	size_t n = 0;

	for (size_t w = 0; list && w < policy_words(v->p); w++)
		for (uint64_t left = dst[w]; left; left &= left - 1) {
			size_t d = w * 64 + (size_t)__builtin_ctzll(left);

			if (bit_has(v->p->self, d)) {
				self = true;
				continue;
			}
			list[n++] = d;
			used[set_of(v, d) % SET_CHUNKS] = true;
		}
	if (n)
		qsort_r(list, n, sizeof *list, by_set, v);
	for (unsigned chunk = 0; chunk < SET_CHUNKS; chunk++)
		if (used[chunk])
			give_chunk(v, node, chunk, list, n, &a);
	if (self)
		give_self(v, node, dst, &a);
	return a.n;
}

struct bytes policy_view_self_caps(struct policy_view *v, int64_t node_id)
{
	(void)v, (void)node_id; /* nodeAttrs are refused by check.c */
	return (struct bytes){ 0 };
}

struct bytes policy_view_ssh(struct policy_view *v, int64_t node_id)
{
	(void)v, (void)node_id; /* ssh rules are refused by check.c */
	return (struct bytes){ 0 };
}
