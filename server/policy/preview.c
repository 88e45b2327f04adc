#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/effect.h"

/* What a draft changes, in words that fit on a screen: who gains or loses which ports where, by which line. From and to are bunches of
 * machines with equal rights, and those that change alike are said together, so that a thousand machines make a few lines. */

enum { ITEMS_SHOWN = 200, RAW_MAX = 1 << 20, FIRST_SHOWN = 3, ALL_ITEM_RULES = 8, ASKED_BUNCHES = 16 };

enum to { TO_COLUMN, TO_SELF, TO_BEYOND };

struct raw { /* one cell that differs */
	bool lost;
	enum to to;
	uint32_t row, column; /* column: or place beyond; 0 for TO_SELF */
	const struct port_set *ports, *now; /* gained or lost; what there is besides */
	uint64_t count;
};

struct item {
	struct raw like;
	uint64_t *rows, *columns; /* bits over bunches */
	uint64_t columns_hash, count;
};

struct preview {
	struct effect e;
	struct jsonw *out;
	struct raw *raw; /* owned */
	size_t n_raw, cap_raw;
	struct item *item; /* owned */
	size_t n_items;
	struct arena arena;
	struct namer name[2]; /* OLD, NEW */
	uint32_t *kinds;      /* owned, scratch */
	uint64_t gained, lost, machines;
	bool too_much;
};

/* ---- cells ---- */

static err add(struct preview *p, const struct raw *r)
{
	if (!r->ports->n || !r->count)
		return OK;
	if (p->n_raw == RAW_MAX) {
		p->too_much = true;
		return OK;
	}
	if (p->n_raw == p->cap_raw) {
		size_t cap = p->cap_raw ? 2 * p->cap_raw : 256;
		struct raw *grown = reallocarray(p->raw, cap, sizeof *grown);

		if (!grown)
			return ERR_NOMEM;
		p->raw = grown;
		p->cap_raw = cap;
	}
	p->raw[p->n_raw++] = *r;
	*(r->lost ? &p->lost : &p->gained) += r->count;
	return OK;
}

/* From was to is, between the two that like says. */
static err add_both(struct preview *p, const struct raw *like, const struct port_set *was, const struct port_set *is)
{
	struct raw r = *like;

	r.ports = port_sets_minus(&p->e.ports, is, was);
	r.now = was;
	TRY(add(p, &r));
	r.lost = true;
	r.ports = port_sets_minus(&p->e.ports, was, is);
	r.now = is;
	return add(p, &r);
}

static const struct port_set *with_self(struct preview *p, int side, size_t row, const struct port_set *x)
{
	if (!p->e.self[side][row]->n)
		return x;
	port_sets_add_set(&p->e.ports, x);
	port_sets_add_set(&p->e.ports, p->e.self[side][row]);
	return port_sets_make(&p->e.ports);
}

static err compare_cell(struct preview *p, size_t row, size_t column)
{
	const struct port_set *was = effect_ports(&p->e, OLD, row, column), *is = effect_ports(&p->e, NEW, row, column);
	bool self = p->e.self[OLD][row]->n || p->e.self[NEW][row]->n;
	uint64_t own, foreign;

	if (was == is && !self)
		return OK;
	effect_pairs(&p->e, row, column, &own, &foreign);
	struct raw like = { .to = TO_COLUMN, .row = (uint32_t)row, .column = (uint32_t)column, .count = foreign };
	const struct port_set *own_was = with_self(p, OLD, row, was), *own_is = with_self(p, NEW, row, is);
	if (own && own_was == was && own_is == is)
		like.count += own; /* autogroup:self makes no difference there */
	else if (own)
		TRY(add_both(p, &(struct raw){ .to = TO_SELF, .row = (uint32_t)row, .count = own }, own_was, own_is));
	return add_both(p, &like, was, is);
}

static err compare_all(struct preview *p)
{
	struct effect *e = &p->e;

	for (size_t i = 0; i < e->rows.n; i++) {
		for (size_t k = 0; k < e->columns.n; k++)
			TRY(compare_cell(p, i, k));
		for (size_t k = 0; k < e->n_beyond; k++) {
			const struct raw like = { .to = TO_BEYOND, .row = (uint32_t)i, .column = (uint32_t)k, .count = e->rows.b[i].machines };

			TRY(add_both(p, &like, effect_beyond(e, OLD, i, &e->beyond[k]), effect_beyond(e, NEW, i, &e->beyond[k])));
		}
	}
	return e->ports.bad ? ERR_NOMEM : OK;
}

/* ---- together what changes alike ---- */

#define ORDER(a, b)                             \
	do {                                    \
		if ((a) != (b))                 \
			return (a) < (b) ? -1 : 1; \
	} while (0)

/* Alike but for the row and, of machines, the column. */
static int by_likeness(const struct raw *x, const struct raw *y)
{
	ORDER(x->lost, y->lost);
	ORDER(x->to, y->to);
	ORDER(x->ports->key.a, y->ports->key.a);
	ORDER(x->now->key.a, y->now->key.a);
	if (x->to == TO_BEYOND)
		ORDER(x->column, y->column);
	return 0;
}

static int by_row(const void *a, const void *b)
{
	const struct raw *x = a, *y = b;

	ORDER(x->row, y->row);
	int order = by_likeness(x, y);
	if (order)
		return order;
	ORDER(x->column, y->column);
	return 0;
}

static int by_columns(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = by_likeness(&x->like, &y->like);

	if (order)
		return order;
	ORDER(x->columns_hash, y->columns_hash);
	ORDER(x->like.row, y->like.row);
	return 0;
}

static int by_count(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	ORDER(y->count, x->count);
	return by_columns(a, b);
}

static uint64_t *bits(struct preview *p, size_t n)
{
	return arena_array(&p->arena, n / 64 + 1, sizeof(uint64_t));
}

/* One item for each row, and what alike happens to it. */
static err join_columns(struct preview *p)
{
	size_t words = p->e.columns.n / 64 + 1;

	p->item = calloc(p->n_raw + 1, sizeof *p->item);
	if (!p->item)
		return ERR_NOMEM;
	if (p->n_raw)
		qsort(p->raw, p->n_raw, sizeof *p->raw, by_row);
	for (size_t i = 0; i < p->n_raw; i++) {
		const struct raw *r = &p->raw[i];
		struct item *x = p->n_items ? &p->item[p->n_items - 1] : NULL;

		if (!x || x->like.row != r->row || by_likeness(&x->like, r) != 0) {
			x = &p->item[p->n_items++];
			*x = (struct item){ .like = *r, .columns = bits(p, p->e.columns.n) };
			if (!x->columns)
				return ERR_NOMEM;
		}
		x->count += r->count;
		if (r->to == TO_COLUMN)
			bit_set(x->columns, r->column);
	}
	for (size_t i = 0; i < p->n_items; i++)
		p->item[i].columns_hash = map_hash(p->item[i].columns, words * sizeof(uint64_t));
	return OK;
}

/* … and rows to which the same happens. */
static err join_rows(struct preview *p)
{
	size_t k = 0;

	if (p->n_items)
		qsort(p->item, p->n_items, sizeof *p->item, by_columns);
	for (size_t i = 0; i < p->n_items; i++) {
		struct item *x = &p->item[i], *last = k ? &p->item[k - 1] : NULL;

		if (last && by_likeness(&last->like, &x->like) == 0 && last->columns_hash == x->columns_hash) {
			bit_set(last->rows, x->like.row);
			last->count += x->count;
			continue;
		}
		x->rows = bits(p, p->e.rows.n);
		if (!x->rows)
			return ERR_NOMEM;
		bit_set(x->rows, x->like.row);
		p->item[k++] = *x;
	}
	p->n_items = k;
	if (k)
		qsort(p->item, k, sizeof *p->item, by_count);
	return OK;
}

/* ---- writing ---- */

struct rules {
	const struct rule *list[ALL_ITEM_RULES];
	size_t n;
};

static void take_rules(struct preview *p, const struct item *x, size_t row, int64_t to, struct rules *all)
{
	const struct rule *some[EFFECT_RULES_MAX];
	size_t n = effect_rules(&p->e, x->like.lost ? OLD : NEW, row, to, x->like.ports, some);

	for (size_t k = 0; k < n; k++) {
		bool known = false;

		for (size_t s = 0; s < all->n && !known; s++)
			known = all->list[s] == some[k];
		if (!known && all->n < ALL_ITEM_RULES)
			all->list[all->n++] = some[k];
	}
}

/* Own machines are reached by autogroup:self, or because a rule means them anyway. */
static bool leads_to(const struct preview *p, const struct item *x, size_t row, size_t column)
{
	uint64_t own, foreign;

	if (x->like.to == TO_COLUMN)
		return bit_has(x->columns, column);
	effect_pairs(&p->e, row, column, &own, &foreign);
	return own > 0;
}

static void rules_of_row(struct preview *p, const struct item *x, size_t row, struct rules *all)
{
	size_t columns = 0;

	if (x->like.to == TO_SELF)
		take_rules(p, x, row, EFFECT_SELF, all);
	if (x->like.to == TO_BEYOND)
		take_rules(p, x, row, (int64_t)(p->e.columns.n + x->like.column), all);
	for (size_t c = 0; x->like.to != TO_BEYOND && c < p->e.columns.n && columns < ASKED_BUNCHES; c++)
		if (leads_to(p, x, row, c)) {
			columns++;
			take_rules(p, x, row, (int64_t)c, all);
		}
}

static void write_rules(struct preview *p, const struct item *x)
{
	const struct policy *policy = (x->like.lost ? p->e.was : p->e.is)->view->p;
	struct rules all = { 0 };
	size_t rows = 0;

	BITS_EACH(i, x->rows, p->e.rows.n / 64 + 1)
		if (rows++ < ASKED_BUNCHES)
			rules_of_row(p, x, i, &all);
	jsonw_key(p->out, "rules"), jsonw_arr(p->out);
	for (size_t i = 0; i < all.n; i++) {
		jsonw_obj(p->out);
		write_rule_place(p->out, policy, all.list[i]);
		jsonw_obj_end(p->out);
	}
	jsonw_arr_end(p->out);
}

static void write_item(struct preview *p, const struct item *x)
{
	struct namer *name = &p->name[x->like.lost ? OLD : NEW];
	struct jsonw *w = p->out;

	jsonw_obj(w);
	jsonw_key(w, "what"), jsonw_str(w, x->like.lost ? "lost" : "gained");
	jsonw_key(w, "from"), jsonw_obj(w);
	write_party_members(w, name, p->kinds, effect_kinds(&p->e, true, x->rows, p->kinds), "");
	jsonw_obj_end(w);
	jsonw_key(w, "to"), jsonw_obj(w);
	if (x->like.to == TO_SELF)
		write_place_members(w, "self", "autogroup:self");
	else if (x->like.to == TO_BEYOND)
		write_place_members(w, p->e.beyond[x->like.column].kind, p->e.beyond[x->like.column].name);
	else
		write_party_members(w, name, p->kinds, effect_kinds(&p->e, false, x->columns, p->kinds), "");
	jsonw_obj_end(w);
	jsonw_key(w, "ports"), write_port_set(w, x->like.ports);
	jsonw_key(w, "now"), write_port_set(w, x->like.now);
	jsonw_key(w, "connections"), jsonw_uint(w, x->count);
	write_rules(p, x);
	jsonw_obj_end(w);
}

static void write_changes(struct preview *p)
{
	bool exact = !p->too_much && !p->e.too_much;

	jsonw_key(p->out, "changes"), jsonw_obj(p->out);
	jsonw_key(p->out, "gained"), jsonw_uint(p->out, exact ? p->gained : 0);
	jsonw_key(p->out, "lost"), jsonw_uint(p->out, exact ? p->lost : 0);
	jsonw_key(p->out, "exact"), jsonw_bool(p->out, exact);
	jsonw_key(p->out, "items"), jsonw_arr(p->out);
	for (size_t i = 0; exact && i < p->n_items && i < ITEMS_SHOWN; i++)
		write_item(p, &p->item[i]);
	jsonw_arr_end(p->out);
	jsonw_key(p->out, "more"), jsonw_uint(p->out, exact && p->n_items > ITEMS_SHOWN ? p->n_items - ITEMS_SHOWN : 0);
	jsonw_obj_end(p->out);
}

static int by_name(const void *a, const void *b)
{
	const struct policy_named *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static err write_machines(struct preview *p)
{
	const struct kinds *k = &p->e.kinds;
	CLEANUP(freep) uint8_t *what = calloc(k->n + 1, 1);
	CLEANUP(freep) const struct policy_named **list = calloc(p->e.is->n + 1, sizeof(struct policy_named *));
	size_t n = 0, filters = 0, ssh = 0, attrs = 0;
	char id[24];

	if (!what || !list)
		return ERR_NOMEM;
	TRY(effect_machines(&p->e, what));
	for (size_t i = 0; i < k->n; i++) {
		filters += what[i] & EFFECT_FILTER ? k->k[i].n : 0;
		ssh += what[i] & EFFECT_SSH ? k->k[i].n : 0;
		attrs += what[i] & EFFECT_ATTRS ? k->k[i].n : 0;
		for (size_t m = 0; what[i] && m < k->k[i].n; m++)
			list[n++] = &p->e.is->node[k->node[k->k[i].first + m]];
	}
	if (n)
		qsort(list, n, sizeof(struct policy_named *), by_name);
	p->machines = n;
	jsonw_key(p->out, "machines"), jsonw_obj(p->out);
	jsonw_key(p->out, "changed"), jsonw_uint(p->out, n);
	jsonw_key(p->out, "total"), jsonw_uint(p->out, p->e.is->n);
	jsonw_key(p->out, "first"), jsonw_arr(p->out);
	for (size_t i = 0; i < n && i < FIRST_SHOWN; i++) {
		snprintf(id, sizeof id, "%lld", (long long)list[i]->node->id);
		jsonw_obj(p->out);
		jsonw_key(p->out, "id"), jsonw_str(p->out, id);
		jsonw_key(p->out, "name"), jsonw_str(p->out, list[i]->name);
		jsonw_obj_end(p->out);
	}
	jsonw_arr_end(p->out);
	jsonw_key(p->out, "filters"), jsonw_uint(p->out, filters);
	jsonw_key(p->out, "ssh"), jsonw_uint(p->out, ssh);
	jsonw_key(p->out, "attributes"), jsonw_uint(p->out, attrs);
	jsonw_obj_end(p->out);
	return OK;
}

static err reckon(struct preview *p)
{
	p->kinds = calloc(p->e.kinds.n + 1, sizeof *p->kinds);
	if (!p->kinds)
		return ERR_NOMEM;
	TRY(namer_make(p->e.was, &p->e.kinds, false, &p->name[OLD]));
	TRY(namer_make(p->e.is, &p->e.kinds, true, &p->name[NEW]));
	if (p->e.too_much)
		return OK;
	TRY(compare_all(p));
	TRY(join_columns(p));
	return join_rows(p);
}

err policy_changes_write(const struct policy_world *was, const struct policy_world *is, struct jsonw *out, struct policy_effect *counts)
{
	struct preview p = { .out = out, .arena = arena_make(0) };
	err e = effect_make(was, is, &p.e);

	if (e == OK)
		e = reckon(&p);
	if (e == OK) {
		write_changes(&p);
		e = write_machines(&p);
	}
	if (counts)
		*counts = (struct policy_effect){ p.gained, p.lost, p.machines, !p.too_much && !p.e.too_much };
	namer_done(&p.name[OLD]);
	namer_done(&p.name[NEW]);
	effect_end(&p.e);
	arena_done(&p.arena);
	free(p.raw);
	free(p.item);
	free(p.kinds);
	return e;
}

err policy_preview(const struct policy_world *was, const struct policy_world *is, struct buf *out)
{
	struct jsonw j = jsonw_init(out);

	jsonw_obj(&j);
	TRY(policy_changes_write(was, is, &j, NULL));
	jsonw_obj_end(&j);
	return jsonw_ok(&j) ? OK : ERR_TOO_BIG;
}
