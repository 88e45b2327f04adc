#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/ask.h"

/* Two policies over the same nodes. Nodes that share a class in both are one kind; each pair of kinds is asked once what one
 * may reach at the other, in the one and in the other policy. */

enum { EXAMPLES_SHOWN = 200, NODES_SHOWN = 2000, WORK_MAX = 400000000 /* kinds times kinds times words */, PORTS_MAX = 4096, KINDS_MAX = 4096 };

struct kind {
	uint32_t was, is; /* classes */
	size_t n;
	int64_t first; /* a node of it */
};

struct kinds {
	struct kind *k; /* owned */
	size_t n;
};

static int by_classes(const void *a, const void *b)
{
	const struct kind *x = a, *y = b;

	if (x->was != y->was)
		return x->was < y->was ? -1 : 1;
	if (x->is != y->is)
		return x->is < y->is ? -1 : 1;
	return (x->first > y->first) - (x->first < y->first);
}

static err kinds_of(const struct policy_world *was, const struct policy_world *is, struct kinds *out)
{
	size_t k = 0, n = 0;
	struct kind *list = calloc(is->n + 1, sizeof *list);

	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < is->n; i++) {
		int64_t id = is->node[i].node->id;
		const struct view_node *a = map_get(&was->view->by_id, &id), *b = map_get(&is->view->by_id, &id);

		if (a && b)
			list[n++] = (struct kind){ a->cls, b->cls, 1, id };
	}
	if (n)
		qsort(list, n, sizeof *list, by_classes);
	for (size_t i = 0; i < n; i++)
		if (k && list[k - 1].was == list[i].was && list[k - 1].is == list[i].is)
			list[k - 1].n++;
		else
			list[k++] = list[i];
	*out = (struct kinds){ list, k };
	return OK;
}

/* ---- what one class may reach at another, as a number ---- */

struct span {
	int16_t proto;
	uint16_t first, last;
};

struct known { /* by destination and the rules that lead there */
	struct class_key key;
	uint64_t sum;
};

struct side {
	const struct policy_view *view;
	struct map known; /* struct known */
	struct arena a;
	uint64_t *rules; /* scratch */
	struct span *span;
	size_t n_spans;
};

static err side_make(const struct policy_view *v, struct side *s)
{
	*s = (struct side){ .view = v, .known = MAP_OF(struct known, key), .a = arena_make(0) };
	s->rules = calloc(policy_words(v->p) + 1, sizeof *s->rules);
	s->span = calloc(PORTS_MAX, sizeof *s->span);
	return s->rules && s->span ? OK : ERR_NOMEM;
}

static void side_done(struct side *s)
{
	map_done(&s->known);
	arena_done(&s->a);
	free(s->rules);
	free(s->span);
}

static void add_span(struct side *s, int16_t proto, struct port_range p)
{
	if (s->n_spans < PORTS_MAX)
		s->span[s->n_spans++] = (struct span){ proto, p.first, p.last };
}

static void add_entry(struct side *s, const struct rule_dst *d)
{
	static const int16_t any[] = { 1, 6, 17, 58 };

	for (size_t i = 0; i < d->n_ports; i++)
		for (size_t k = 0; k < (d->proto == PROTO_ANY ? ARRAY_LEN(any) : 1); k++)
			add_span(s, d->proto == PROTO_ANY ? any[k] : d->proto, d->ports[i]);
}

static int by_span(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->proto != y->proto)
		return x->proto - y->proto;
	return x->first != y->first ? x->first - y->first : x->last - y->last;
}

/* The same ports have the same number, however they were written. */
static uint64_t sum_spans(struct side *s)
{
	uint64_t sum = 0;
	size_t k = 0;

	if (s->n_spans)
		qsort(s->span, s->n_spans, sizeof *s->span, by_span);
	for (size_t i = 0; i < s->n_spans; i++) {
		struct span *last = k ? &s->span[k - 1] : NULL, x = s->span[i];

		if (last && last->proto == x.proto && x.first <= last->last + 1)
			last->last = MAX_OF(last->last, x.last);
		else
			s->span[k++] = x;
	}
	for (size_t i = 0; i < k; i++) {
		const uint64_t part[] = { sum, (uint64_t)(uint16_t)s->span[i].proto, s->span[i].first, s->span[i].last };

		sum = map_hash(part, sizeof part) | 1;
	}
	return sum;
}

static uint64_t reckon(struct side *s, const struct policy_class *b, bool own)
{
	const struct policy *p = s->view->p;

	s->n_spans = 0;
	BITS_EACH(i, s->rules, policy_words(p))
		for (size_t d = p->rule[i].first_dst; d < p->rule[i].first_dst + p->rule[i].n_dst; d++)
			if (p->sel[p->dst[d].sel]->kind == SEL_SELF ? own : dst_is_node(p, b, &p->dst[d]))
				add_entry(s, &p->dst[d]);
	return sum_spans(s);
}

/* 0: nothing. *any: some rule leads there, if only with capabilities. */
static uint64_t reach_sum(struct side *s, uint32_t from, uint32_t to, bool *any)
{
	const struct policy_class *a = s->view->cls[from], *b = s->view->cls[to];
	bool own = a->user_id && a->user_id == b->user_id, some = false;
	size_t words = policy_words(s->view->p);

	for (size_t w = 0; w < words; w++) {
		s->rules[w] = a->src[w] & (b->dst[w] | (own ? b->self[w] : 0));
		some |= s->rules[w] != 0;
	}
	*any = some;
	if (!some)
		return 0;
	struct class_key key = { map_hash(s->rules, words * sizeof *s->rules), (uint64_t)to << 1 | own };
	struct known *k = map_get(&s->known, &key);
	if (k)
		return k->sum;
	uint64_t sum = reckon(s, b, own);
	k = arena_alloc(&s->a, sizeof *k);
	if (k) { /* else it is reckoned again */
		*k = (struct known){ key, sum };
		if (map_put(&s->known, k) != OK)
			return sum;
	}
	return sum;
}

/* ---- pairs ---- */

struct preview {
	const struct policy_world *was, *is;
	struct kinds kinds;
	struct side old, new;
	struct jsonw *out;
	uint64_t gained, lost, changed, seen, unseen;
	uint8_t *reach; /* owned, kinds times kinds: OLD_REACH, NEW_REACH */
	size_t shown;
};

enum { OLD_REACH = 1, NEW_REACH = 2 };

static void write_example(struct preview *p, const char *what, const struct kind *a, const struct kind *b, uint64_t count)
{
	const struct policy_named *x = named_by_id(p->is, a->first), *y = named_by_id(p->is, b->first);

	if (p->shown++ >= EXAMPLES_SHOWN || !x || !y)
		return;
	jsonw_obj(p->out);
	jsonw_key(p->out, "what"), jsonw_str(p->out, what);
	jsonw_key(p->out, "source"), jsonw_obj(p->out), write_node_members(p->out, x), jsonw_obj_end(p->out);
	jsonw_key(p->out, "destination"), jsonw_obj(p->out), write_node_members(p->out, y), jsonw_obj_end(p->out);
	jsonw_key(p->out, "count"), jsonw_uint(p->out, count);
	jsonw_obj_end(p->out);
}

static void compare_pair(struct preview *p, const struct kind *a, const struct kind *b)
{
	bool old_reach, new_reach;
	uint64_t was = reach_sum(&p->old, a->was, b->was, &old_reach), is = reach_sum(&p->new, a->is, b->is, &new_reach);

	p->reach[(size_t)(a - p->kinds.k) * p->kinds.n + (size_t)(b - p->kinds.k)] = (uint8_t)(old_reach * OLD_REACH | new_reach * NEW_REACH);
	uint64_t count = a == b ? (uint64_t)a->n * (a->n - 1) : (uint64_t)a->n * b->n;

	if (was == is || !count)
		return;
	if (!was)
		p->gained += count;
	else if (!is)
		p->lost += count;
	else
		p->changed += count;
	write_example(p, !was ? "gained" : !is ? "lost" : "changed", a, b, count);
}

static void compare_sight(struct preview *p, const struct kind *a, const struct kind *b)
{
	size_t i = (size_t)(a - p->kinds.k), k = (size_t)(b - p->kinds.k), n = p->kinds.n;
	unsigned either = p->reach[i * n + k] | p->reach[k * n + i];
	bool was = either & OLD_REACH, is = either & NEW_REACH;
	uint64_t count = a == b ? (uint64_t)a->n * (a->n - 1) / 2 : (uint64_t)a->n * b->n;

	p->seen += is && !was ? count : 0;
	p->unseen += was && !is ? count : 0;
}

static void write_pairs(struct preview *p)
{
	size_t n = p->kinds.n, words = policy_words(p->was->view->p) + policy_words(p->is->view->p) + 2;
	bool whole = n == 0 || (n <= KINDS_MAX && n <= WORK_MAX / n / words);

	jsonw_key(p->out, "connections"), jsonw_obj(p->out);
	jsonw_key(p->out, "counted"), jsonw_bool(p->out, whole);
	jsonw_key(p->out, "examples"), jsonw_arr(p->out);
	for (size_t i = 0; whole && i < n; i++)
		for (size_t k = 0; k < n; k++)
			compare_pair(p, &p->kinds.k[i], &p->kinds.k[k]);
	for (size_t i = 0; whole && i < n; i++)
		for (size_t k = i; k < n; k++)
			compare_sight(p, &p->kinds.k[i], &p->kinds.k[k]);
	jsonw_arr_end(p->out);
	jsonw_key(p->out, "gained"), jsonw_uint(p->out, p->gained);
	jsonw_key(p->out, "lost"), jsonw_uint(p->out, p->lost);
	jsonw_key(p->out, "changed"), jsonw_uint(p->out, p->changed);
	jsonw_key(p->out, "truncated"), jsonw_bool(p->out, p->shown > EXAMPLES_SHOWN);
	jsonw_obj_end(p->out);
	jsonw_key(p->out, "visibility"), jsonw_obj(p->out);
	jsonw_key(p->out, "gained"), jsonw_uint(p->out, p->seen);
	jsonw_key(p->out, "lost"), jsonw_uint(p->out, p->unseen);
	jsonw_obj_end(p->out);
}

/* ---- what each node is sent ---- */

static bool same_filters(struct policy_view *a, struct policy_view *b, int64_t id)
{
	struct policy_filter x[POLICY_FILTERS_MAX], y[POLICY_FILTERS_MAX];
	size_t n = policy_view_filters(a, id, x), m = policy_view_filters(b, id, y);

	for (size_t i = 0; n == m && i < n; i++)
		if (strcmp(x[i].name, y[i].name) != 0 || x[i].hash != y[i].hash)
			return false;
	return n == m;
}

static void write_nodes(struct preview *p)
{
	size_t changed = 0, filters = 0;

	jsonw_key(p->out, "nodes"), jsonw_arr(p->out);
	for (size_t i = 0; i < p->is->n; i++) {
		int64_t id = p->is->node[i].node->id;
		bool filter = !same_filters(p->was->view, p->is->view, id);
		bool ssh = !bytes_eq(policy_view_ssh(p->was->view, id), policy_view_ssh(p->is->view, id));
		bool attrs = !bytes_eq(policy_view_self_caps(p->was->view, id), policy_view_self_caps(p->is->view, id));

		if (!filter && !ssh && !attrs)
			continue;
		filters += filter;
		if (++changed > NODES_SHOWN)
			continue;
		jsonw_obj(p->out);
		write_node_members(p->out, &p->is->node[i]);
		jsonw_key(p->out, "filter"), jsonw_bool(p->out, filter);
		jsonw_key(p->out, "ssh"), jsonw_bool(p->out, ssh);
		jsonw_key(p->out, "attributes"), jsonw_bool(p->out, attrs);
		jsonw_obj_end(p->out);
	}
	jsonw_arr_end(p->out);
	jsonw_key(p->out, "nodesChanged"), jsonw_uint(p->out, changed);
	jsonw_key(p->out, "filtersChanged"), jsonw_uint(p->out, filters);
	jsonw_key(p->out, "nodesTotal"), jsonw_uint(p->out, p->is->n);
}

err policy_preview(const struct policy_world *was, const struct policy_world *is, struct buf *out)
{
	struct jsonw j = jsonw_init(out);
	struct preview p = { .was = was, .is = is, .out = &j };

	err e = kinds_of(was, is, &p.kinds);
	if (e == OK)
		e = side_make(was->view, &p.old);
	if (e == OK)
		e = side_make(is->view, &p.new);
	if (e == OK && p.kinds.n <= KINDS_MAX && !(p.reach = calloc(p.kinds.n * p.kinds.n + 1, 1)))
		e = ERR_NOMEM;
	if (e == OK) {
		jsonw_obj(&j);
		write_pairs(&p);
		write_nodes(&p);
		jsonw_obj_end(&j);
		e = jsonw_ok(&j) ? OK : ERR_TOO_BIG;
	}
	side_done(&p.old);
	side_done(&p.new);
	free(p.kinds.k);
	free(p.reach);
	return e;
}
