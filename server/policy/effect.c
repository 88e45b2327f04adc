#include "server/policy/effect.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

enum { RANGES_COMPARED = 64 /* longer sets open only themselves */, OPENERS_WORK_MAX = 20000000 /* places times entries */ };
enum { CELLS_MAX = 4 << 20, WORK_MAX = 400000000 /* rows times columns times words */ };

struct pair_ports { /* what the rules that lead from a row to a column give there; by side, column and these rules */
	struct class_key key;
	const struct port_set *ports;
};

/* ---- places beyond ---- */

static bool is_beyond(const struct policy *p, const struct rule_dst *d)
{
	const struct sel *s = p->sel[d->sel];

	if (!d->n_ports)
		return false;
	if (s->kind == SEL_INTERNET || (s->kind == SEL_ANY && p->rule[d->rule].n_via))
		return true;
	for (size_t i = 0; s->kind == SEL_RANGES && i < s->n_ranges; i++)
		if (!addr_is_tailscale(s->ranges[i].first) || !addr_is_tailscale(s->ranges[i].last))
			return true;
	return false;
}

enum { BEYOND_MAX = 1000 };

static void add_beyond(struct effect *e, int side, const struct sel *s)
{
	for (size_t i = 0; i < e->n_beyond; i++)
		if (strcmp(e->beyond[i].name, s->name) == 0) {
			e->beyond[i].sel[side] = s;
			return;
		}
	if (e->n_beyond == BEYOND_MAX)
		return;
	struct beyond *b = &e->beyond[e->n_beyond++];
	b->kind = s->kind == SEL_ANY ? "any" : sel_kind_name(s);
	b->name = s->name;
	b->sel[side] = s;
}

static err beyond_of(struct effect *e)
{
	e->beyond = calloc(BEYOND_MAX, sizeof *e->beyond);
	if (!e->beyond)
		return ERR_NOMEM;
	for (int side = NEW; side >= OLD; side--) {
		const struct policy *p = (side == NEW ? e->is : e->was)->view->p;

		for (size_t i = 0; i < p->n_dsts; i++)
			if (is_beyond(p, &p->dst[i]))
				add_beyond(e, side, p->sel[p->dst[i].sel]);
	}
	return OK;
}

/* ---- the whole ---- */

struct owned { /* a user's node */
	uint32_t user, bunch;
};

static int by_owner(const void *a, const void *b)
{
	const struct owned *x = a, *y = b;

	if (x->user != y->user)
		return x->user < y->user ? -1 : 1;
	return (x->bunch > y->bunch) - (x->bunch < y->bunch);
}

static size_t owned_of(const struct effect *e, bool rows, struct owned *list)
{
	size_t n = 0;

	for (size_t i = 0; i < e->kinds.n; i++)
		for (size_t m = 0; m < e->kinds.k[i].n; m++) {
			uint32_t user = e->kinds.user[e->kinds.node[e->kinds.k[i].first + m]];

			if (user)
				list[n++] = (struct owned){ user, rows ? e->kinds.k[i].row : e->kinds.k[i].column };
		}
	if (n)
		qsort(list, n, sizeof *list, by_owner);
	return n;
}

static size_t run_of(const struct owned *list, size_t n, size_t from)
{
	size_t end = from + 1;

	while (end < n && list[end].user == list[from].user && list[end].bunch == list[from].bunch)
		end++;
	return end;
}

/* For each user: so many machines in this row, so many in that column. */
static err count_own(struct effect *e)
{
	CLEANUP(freep) struct owned *row = calloc(e->is->n + 1, sizeof *row), *column = calloc(e->is->n + 1, sizeof *column);
	size_t first = 0;

	e->own = calloc(e->rows.n * e->columns.n + 1, sizeof *e->own);
	if (!row || !column || !e->own)
		return ERR_NOMEM;
	size_t n = owned_of(e, true, row);
	owned_of(e, false, column);
	for (size_t i = 0, end; i < n; i = end) {
		end = run_of(row, n, i);
		while (column[first].user < row[i].user)
			first++;
		for (size_t k = first, last; k < n && column[k].user == row[i].user; k = last) {
			last = run_of(column, n, k);
			e->own[row[i].bunch * e->columns.n + column[k].bunch] += (uint32_t)((end - i) * (last - k));
		}
	}
	return OK;
}

static void count_both(struct effect *e)
{
	for (size_t i = 0; i < e->kinds.n; i++)
		e->both[e->kinds.k[i].row * e->columns.n + e->kinds.k[i].column] += e->kinds.k[i].n;
}

static const struct policy_world *world(const struct effect *e, int side)
{
	return side == NEW ? e->is : e->was;
}

static const struct rights *rights(const struct effect *e, int side)
{
	return side == NEW ? &e->new : &e->old;
}

static uint32_t class_of(const struct effect *e, int side, const struct bunch *b)
{
	return side == NEW ? e->kinds.k[b->kind].is : e->kinds.k[b->kind].was;
}

static void add_self(struct effect *e, const struct policy *p, const struct rule *r)
{
	for (size_t d = r->first_dst; r->self && d < r->first_dst + r->n_dst; d++)
		if (p->sel[p->dst[d].sel]->kind == SEL_SELF)
			port_sets_add(&e->ports, &p->dst[d]);
}

static void reckon_self(struct effect *e, int side)
{
	const struct policy *p = world(e, side)->view->p;

	for (size_t i = 0; i < e->rows.n; i++) {
		const uint64_t *src = rights_src(rights(e, side), class_of(e, side, &e->rows.b[i]));

		if (e->rows.b[i].person)
			BITS_EACH(r, src, policy_words(p))
				add_self(e, p, &p->rule[r]);
		e->self[side][i] = port_sets_make(&e->ports);
	}
}

static err find_openers(struct effect *e, int side);

static err prepare(struct effect *e)
{
	size_t words = MAX_OF(e->old.words, e->new.words);

	TRY(bunches_make(&e->kinds, &e->old, &e->new, &e->rows, &e->columns));
	e->meeting = calloc(words, sizeof *e->meeting);
	for (int side = OLD; side <= NEW; side++) {
		e->self[side] = calloc(e->rows.n + 1, sizeof(struct port_set *));
		if (!e->self[side])
			return ERR_NOMEM;
	}
	TRY(beyond_of(e));
	size_t cells = e->rows.n * (e->columns.n + e->n_beyond), entries = e->was->view->p->n_dsts + e->is->view->p->n_dsts + 1;
	e->too_much = cells > CELLS_MAX || cells > WORK_MAX / (words + 1) || e->rows.n * e->n_beyond > WORK_MAX / entries || e->n_beyond > OPENERS_WORK_MAX / entries;
	e->both = e->too_much ? NULL : calloc(e->rows.n * e->columns.n + 1, sizeof *e->both);
	if (!e->meeting || (!e->too_much && !e->both))
		return ERR_NOMEM;
	if (e->too_much)
		return OK;
	TRY(find_openers(e, OLD));
	TRY(find_openers(e, NEW));
	count_both(e);
	reckon_self(e, OLD);
	reckon_self(e, NEW);
	return e->was->view->p->self || e->is->view->p->self ? count_own(e) : OK;
}

err effect_make(const struct policy_world *was, const struct policy_world *is, struct effect *e)
{
	*e = (struct effect){ .was = was, .is = is, .known = MAP_OF(struct pair_ports, key), .arena = arena_make(0) };
	TRY(port_sets_init(&e->ports));
	TRY(kinds_of(was, is, &e->kinds));
	TRY(rights_of(was, false, &e->old));
	TRY(rights_of(is, false, &e->new));
	return prepare(e);
}

err effect_make_ssh(const struct policy_world *was, const struct policy_world *is, struct effect *e)
{
	*e = (struct effect){ .was = was, .is = is, .known = MAP_OF(struct pair_ports, key), .arena = arena_make(0) };
	TRY(port_sets_init(&e->ports));
	TRY(kinds_of(was, is, &e->kinds));
	TRY(rights_of(was, true, &e->old));
	TRY(rights_of(is, true, &e->new));
	return bunches_make(&e->kinds, &e->old, &e->new, &e->rows, &e->columns);
}

void effect_end(struct effect *e)
{
	rights_done(&e->old);
	rights_done(&e->new);
	kinds_done(&e->kinds);
	bunches_done(&e->rows);
	bunches_done(&e->columns);
	port_sets_done(&e->ports);
	map_done(&e->known);
	arena_done(&e->arena);
	free(e->meeting);
	free(e->self[OLD]);
	free(e->self[NEW]);
	free(e->both);
	free(e->own);
	free(e->beyond);
	free(e->open[OLD]);
	free(e->open[NEW]);
}

/* ---- ports ---- */

static void add_entries(struct effect *e, const struct policy *p, const struct policy_class *to, size_t rule)
{
	for (size_t d = p->rule[rule].first_dst; d < p->rule[rule].first_dst + p->rule[rule].n_dst; d++)
		if (dst_is_node(p, to, &p->dst[d]))
			port_sets_add(&e->ports, &p->dst[d]);
}

/* false: none leads there. */
static bool meet(struct effect *e, int side, size_t row, size_t column)
{
	const struct rights *r = rights(e, side);
	const uint64_t *src = rights_src(r, class_of(e, side, &e->rows.b[row])), *dst = rights_dst(r, class_of(e, side, &e->columns.b[column]));
	uint64_t some = 0;

	for (size_t w = 0; w < r->words; w++)
		some |= e->meeting[w] = src[w] & dst[w];
	return some != 0;
}

const struct port_set *effect_ports(struct effect *e, int side, size_t row, size_t column)
{
	const struct policy_view *v = world(e, side)->view;

	if (!meet(e, side, row, column))
		return port_sets_make(&e->ports);
	struct class_key key = { map_hash(e->meeting, rights(e, side)->words * sizeof *e->meeting), (uint64_t)column << 1 | (unsigned)side };
	struct pair_ports *k = map_get(&e->known, &key);
	if (k)
		return k->ports;
	BITS_EACH(i, e->meeting, policy_words(v->p))
		add_entries(e, v->p, v->cls[class_of(e, side, &e->columns.b[column])], i);
	const struct port_set *ports = port_sets_make(&e->ports);
	k = arena_alloc(&e->arena, sizeof *k);
	if (k) { /* else it is reckoned again */
		*k = (struct pair_ports){ key, ports };
		if (map_put(&e->known, k) != OK)
			return ports;
	}
	return ports;
}

/* Does the entry open this place? A wider range does, and "*". */
static bool opens(const struct policy *p, const struct rule_dst *d, const struct sel *place)
{
	const struct sel *s = p->sel[d->sel];

	if (s == place || (s->kind == SEL_ANY && !p->rule[d->rule].n_via))
		return true;
	if (s->kind != SEL_RANGES || place->kind != SEL_RANGES || !place->n_ranges || s->n_ranges * place->n_ranges > RANGES_COMPARED)
		return false;
	for (size_t i = 0; i < place->n_ranges; i++) {
		bool inside = false;

		for (size_t k = 0; k < s->n_ranges && !inside; k++)
			inside = range_covers(s->ranges[k], place->ranges[i]);
		if (!inside)
			return false;
	}
	return true;
}

/* The place as the policy of this side has it, or as the other one names it: a wider range may still open it. */
static const struct sel *place_of(const struct beyond *b, int side)
{
	return b->sel[side] ? b->sel[side] : b->sel[!side];
}

static err find_openers(struct effect *e, int side)
{
	const struct policy *p = world(e, side)->view->p;
	size_t words = rights(e, side)->words;

	e->open[side] = calloc(e->n_beyond * words + 1, sizeof *e->open[side]);
	if (!e->open[side])
		return ERR_NOMEM;
	for (size_t b = 0; b < e->n_beyond; b++)
		for (size_t d = 0; d < p->n_dsts; d++)
			if (opens(p, &p->dst[d], place_of(&e->beyond[b], side)))
				bit_set(e->open[side] + b * words, p->dst[d].rule);
	return OK;
}

static void add_openers(struct effect *e, const struct policy *p, const struct rule *r, const struct sel *place)
{
	for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++)
		if (opens(p, &p->dst[d], place))
			port_sets_add(&e->ports, &p->dst[d]);
}

const struct port_set *effect_beyond(struct effect *e, int side, size_t row, const struct beyond *b)
{
	const struct policy *p = world(e, side)->view->p;
	const struct rights *r = rights(e, side);
	const uint64_t *src = rights_src(r, class_of(e, side, &e->rows.b[row])), *open = e->open[side] + (size_t)(b - e->beyond) * r->words;

	for (size_t w = 0; w < r->words; w++)
		e->meeting[w] = src[w] & open[w];
	BITS_EACH(i, e->meeting, policy_words(p))
		add_openers(e, p, &p->rule[i], place_of(b, side));
	return port_sets_make(&e->ports);
}

/* ---- pairs ---- */

void effect_pairs(const struct effect *e, size_t row, size_t column, uint64_t *own, uint64_t *foreign)
{
	uint64_t both = e->both[row * e->columns.n + column], all = e->rows.b[row].machines * e->columns.b[column].machines;

	/* No machine asks for a way to itself. */
	*own = e->own && e->rows.b[row].person ? e->own[row * e->columns.n + column] - both : 0;
	*foreign = all - both - *own;
}

/* ---- rules ---- */

static bool gives(struct effect *e, int side, const struct rule *r, size_t row, int64_t to, const struct port_set *ports)
{
	const struct policy_view *v = world(e, side)->view;
	const struct policy *p = v->p;

	(void)row;
	for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++) {
		const struct rule_dst *x = &p->dst[d];
		bool leads = to == EFFECT_SELF ? p->sel[x->sel]->kind == SEL_SELF :
			     (size_t)to < e->columns.n ? dst_is_node(p, v->cls[class_of(e, side, &e->columns.b[to])], x) :
							 opens(p, x, place_of(&e->beyond[(size_t)to - e->columns.n], side));

		if (leads && port_set_meets(ports, x))
			return true;
	}
	return false;
}

size_t effect_rules(struct effect *e, int side, size_t row, int64_t to, const struct port_set *ports, const struct rule **out)
{
	const struct policy *p = world(e, side)->view->p;
	const uint64_t *src = rights_src(rights(e, side), class_of(e, side, &e->rows.b[row]));
	size_t n = 0;

	BITS_EACH(i, src, policy_words(p))
		if (n < EFFECT_RULES_MAX && gives(e, side, &p->rule[i], row, to, ports))
			out[n++] = &p->rule[i];
	return n;
}

size_t effect_kinds(const struct effect *e, bool rows, const uint64_t *which, uint32_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < e->kinds.n; i++)
		if (bit_has(which, rows ? e->kinds.k[i].row : e->kinds.k[i].column))
			out[n++] = (uint32_t)i;
	return n;
}
