#include "server/policy/matrix.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

/* Rows may open connections to columns. */

enum { SHOWN_MAX = 300 /* rows, and columns */, ROUTERS_SHOWN = 20 };

/* ---- order ---- */

static size_t first_bit(const uint64_t *w, size_t words)
{
	BITS_EACH(i, w, words)
		return i;
	return SIZE_MAX;
}

static int by_order(const void *a, const void *b)
{
	const struct matrix_line *x = a, *y = b;

	if (x->tagged != y->tagged)
		return x->tagged ? 1 : -1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->bunch > y->bunch) - (x->bunch < y->bunch);
}

/* In the order of the rules that name them first; people before tags; those without a rule at the end. */
static err order(const struct effect *e, bool rows, struct matrix_line **out, size_t *n)
{
	const struct bunches *list = rows ? &e->rows : &e->columns;
	struct matrix_line *line = calloc(list->n + 1, sizeof *line);

	if (!line)
		return ERR_NOMEM;
	for (size_t i = 0; i < list->n; i++) {
		const struct kind *k = &e->kinds.k[list->b[i].kind];
		size_t now = first_bit(rows ? rights_src(&e->new, k->is) : rights_dst(&e->new, k->is), e->new.words),
		       then = first_bit(rows ? rights_src(&e->old, k->was) : rights_dst(&e->old, k->was), e->old.words);

		line[i] = (struct matrix_line){ (uint32_t)i, rows && !list->b[i].person, now != SIZE_MAX ? now : then };
	}
	if (list->n)
		qsort(line, list->n, sizeof *line, by_order);
	*out = line;
	*n = list->n;
	return OK;
}

/* ---- parties ---- */

void bunch_key_text(bool row, const struct bunch *b, char out[BUNCH_KEY_MAX])
{
	snprintf(out, BUNCH_KEY_MAX, "%c:%016llx%016llx", row ? 'r' : 'c', (unsigned long long)b->key.a, (unsigned long long)b->key.b);
}

size_t bunch_kinds(const struct effect *e, bool row, size_t bunch, uint32_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < e->kinds.n; i++)
		if ((row ? e->kinds.k[i].row : e->kinds.k[i].column) == bunch)
			out[n++] = (uint32_t)i;
	return n;
}

static void write_bunch(struct jsonw *w, struct matrix *m, bool row, size_t bunch)
{
	const struct bunches *list = row ? &m->e.rows : &m->e.columns;
	char key[BUNCH_KEY_MAX];

	bunch_key_text(row, &list->b[bunch], key);
	write_party_members(w, &m->name, m->kinds, bunch_kinds(&m->e, row, bunch, m->kinds), key);
}

static void write_routers(struct jsonw *w, const struct policy_world *world, const struct sel *s)
{
	size_t n = 0;

	jsonw_key(w, "routers"), jsonw_arr(w);
	list_each(it, &world->view->routers) {
		const struct view_node *x = container_of(it, struct view_node, routing);
		const struct policy_named *named = named_by_id(world, x->id);

		if (named && n < ROUTERS_SHOWN && router_carries(world, x, s)) {
			jsonw_str(w, named->name);
			n++;
		}
	}
	jsonw_arr_end(w);
}

bool router_carries(const struct policy_world *world, const struct view_node *x, const struct sel *s)
{
	const struct policy_class *c = world->view->cls[x->cls];

	return s->kind == SEL_INTERNET ? c->exit : s->kind == SEL_ANY ? c->router || c->exit : class_has(c->by_route, c->n_route, s->id);
}

void write_beyond(struct jsonw *w, const struct effect *e, const struct beyond *b)
{
	int side = b->sel[NEW] ? NEW : OLD;

	write_place_members(w, b->kind, b->name);
	jsonw_key(w, "kind"), jsonw_str(w, b->sel[side]->kind == SEL_INTERNET ? "internet" : "range");
	write_routers(w, side == NEW ? e->is : e->was, b->sel[side]);
}

void write_no_routers(struct jsonw *w, const char *kind)
{
	jsonw_key(w, "kind"), jsonw_str(w, kind);
	jsonw_key(w, "routers"), jsonw_arr(w), jsonw_arr_end(w);
}

static void write_own_column(struct jsonw *w)
{
	jsonw_obj(w);
	write_place_members(w, "self", "autogroup:self");
	write_no_routers(w, "self");
	jsonw_obj_end(w);
}

/* ---- cells of ports ---- */

struct cells {
	struct matrix *m;
	struct jsonw *w;
	bool draft, write; /* write: else only whether there is something */
};

static void write_cell_rules(struct matrix *m, struct jsonw *w, int side, size_t row, int64_t to, const struct port_set *ports)
{
	const struct rule *rule[EFFECT_RULES_MAX];
	size_t n = ports->n ? effect_rules(&m->e, side, row, to, ports, rule) : 0;

	jsonw_key(w, "rules"), jsonw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jsonw_obj(w);
		write_rule_place(w, (side == NEW ? m->e.is : m->e.was)->view->p, rule[i]);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

/* false: nothing there, neither now nor before. */
static bool write_cell(const struct cells *c, size_t at_row, size_t at_column, size_t row, int64_t to, const struct port_set *was,
		       const struct port_set *is)
{
	bool differs = c->draft && was != is;

	if (!is->n && !(differs && was->n))
		return false;
	if (!c->write)
		return true;
	jsonw_obj(c->w);
	jsonw_key(c->w, "row"), jsonw_uint(c->w, at_row);
	jsonw_key(c->w, "column"), jsonw_uint(c->w, at_column);
	jsonw_key(c->w, "ports"), write_port_set(c->w, is);
	write_cell_rules(c->m, c->w, is->n ? NEW : OLD, row, to, is->n ? is : was);
	if (differs)
		jsonw_key(c->w, "before"), write_port_set(c->w, was);
	jsonw_obj_end(c->w);
	return true;
}

static bool cell_at(const struct cells *c, size_t i, size_t column, size_t at)
{
	struct effect *e = &c->m->e;
	size_t row = c->m->row[i].bunch, k = c->m->column[column].bunch;
	uint64_t own, foreign;

	effect_pairs(e, row, k, &own, &foreign);
	if (!own && !foreign) /* the one machine and itself */
		return false;
	return write_cell(c, i, at, row, (int64_t)k, effect_ports(e, OLD, row, k), effect_ports(e, NEW, row, k));
}

static bool beyond_at(const struct cells *c, size_t i, size_t b, size_t at)
{
	struct effect *e = &c->m->e;
	size_t row = c->m->row[i].bunch;

	return write_cell(c, i, at, row, (int64_t)(e->columns.n + b), effect_beyond(e, OLD, row, &e->beyond[b]),
			  effect_beyond(e, NEW, row, &e->beyond[b]));
}

static bool has_own(const struct matrix *m)
{
	for (size_t i = 0; i < m->n_rows; i++)
		if (m->e.self[OLD][m->row[i].bunch]->n || m->e.self[NEW][m->row[i].bunch]->n)
			return true;
	return false;
}

/* Columns that nobody reaches are left out. */
static void keep_columns(struct matrix *m, const struct cells *c)
{
	size_t n = 0;

	for (size_t k = 0; k < m->n_columns; k++) {
		bool some = false;

		for (size_t i = 0; i < m->n_rows && !some; i++)
			some = cell_at(c, i, k, 0);
		if (some)
			m->column[n++] = m->column[k];
	}
	m->n_columns = n;
}

static void cut(struct matrix *m)
{
	m->truncated = m->n_rows > SHOWN_MAX || m->n_columns > SHOWN_MAX || m->e.too_much;
	m->n_rows = m->e.too_much ? 0 : MIN_OF(m->n_rows, (size_t)SHOWN_MAX);
	m->n_columns = m->e.too_much ? 0 : MIN_OF(m->n_columns, (size_t)SHOWN_MAX);
}

/* Members own, rows and columns: own machines, machines that are meant alike, what is beyond. */
static void write_head(struct matrix *m, struct jsonw *w, bool own, size_t n_beyond)
{
	jsonw_key(w, "own"), jsonw_bool(w, own);
	jsonw_key(w, "rows"), jsonw_arr(w);
	for (size_t i = 0; i < m->n_rows; i++)
		jsonw_obj(w), write_bunch(w, m, true, m->row[i].bunch), jsonw_obj_end(w);
	jsonw_arr_end(w);
	jsonw_key(w, "columns"), jsonw_arr(w);
	if (own)
		write_own_column(w);
	for (size_t i = 0; i < m->n_columns; i++) {
		jsonw_obj(w);
		write_bunch(w, m, false, m->column[i].bunch);
		write_no_routers(w, "machines");
		jsonw_obj_end(w);
	}
	for (size_t i = 0; i < n_beyond; i++)
		jsonw_obj(w), write_beyond(w, &m->e, &m->e.beyond[i]), jsonw_obj_end(w);
	jsonw_arr_end(w);
}

static void write_matrix(struct matrix *m, struct jsonw *w, bool draft)
{
	struct cells c = { m, w, draft, false };
	bool own;

	cut(m);
	keep_columns(m, &c);
	own = m->n_rows && has_own(m);
	c.write = true;
	write_head(m, w, own, m->n_rows ? m->e.n_beyond : 0);
	jsonw_key(w, "cells"), jsonw_arr(w);
	for (size_t i = 0; i < m->n_rows; i++) {
		size_t row = m->row[i].bunch;

		if (own)
			write_cell(&c, i, 0, row, EFFECT_SELF, m->e.self[OLD][row], m->e.self[NEW][row]);
		for (size_t k = 0; k < m->n_columns; k++)
			cell_at(&c, i, k, own + k);
		for (size_t k = 0; k < m->e.n_beyond; k++)
			beyond_at(&c, i, k, own + m->n_columns + k);
	}
	jsonw_arr_end(w);
	jsonw_key(w, "truncated"), jsonw_bool(w, m->truncated);
}

/* ---- SSH ---- */

static bool rule_leads(const struct matrix *m, const struct ssh_rule *r, size_t rule, int side, size_t row, int64_t to)
{
	const struct effect *e = &m->e;
	const struct rights *rights = side == NEW ? &e->new : &e->old;
	uint32_t kind = e->rows.b[row].kind, cls = side == NEW ? e->kinds.k[kind].is : e->kinds.k[kind].was;

	if (!bit_has(rights_src(rights, cls), rule))
		return false;
	if (to == EFFECT_SELF)
		return e->rows.b[row].person && (r->self || r->n_localparts);
	kind = e->columns.b[to].kind;
	return bit_has(rights_dst(rights, side == NEW ? e->kinds.k[kind].is : e->kinds.k[kind].was), rule);
}

void ssh_users_text(const struct ssh_rule *r, struct buf *out)
{
	const char *comma = buf_len(out) ? ", " : "";

	for (size_t i = 0; i < r->n_users; i++, comma = ", ")
		buf_printf(out, "%s%s", comma, r->user[i]);
	if (r->nonroot)
		buf_printf(out, "%sautogroup:nonroot", comma), comma = ", ";
	if (r->root)
		buf_printf(out, "%sroot", comma), comma = ", ";
	for (size_t i = 0; i < r->n_localparts; i++, comma = ", ")
		buf_printf(out, "%slocalpart:*@%s", comma, r->localpart[i]);
}

void write_ssh_users(struct jsonw *w, const struct ssh_rule *const *rule, size_t n)
{
	jsonw_arr(w);
	for (size_t k = 0; k < n; k++) {
		const struct ssh_rule *r = rule[k];
		struct buf text = buf_make(512);

		for (size_t i = 0; i < r->n_users; i++)
			jsonw_str(w, r->user[i]);
		if (r->nonroot)
			jsonw_str(w, "autogroup:nonroot");
		if (r->root)
			jsonw_str(w, "root");
		for (size_t i = 0; i < r->n_localparts; i++) {
			buf_clear(&text);
			buf_printf(&text, "localpart:*@%s", r->localpart[i]);
			jsonw_bytes(w, buf_view(&text));
		}
		buf_done(&text);
	}
	jsonw_arr_end(w);
}

void write_ssh_places(struct jsonw *w, const struct policy *p, const struct ssh_rule *const *rule, size_t n)
{
	jsonw_key(w, "rules"), jsonw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jsonw_obj(w);
		jsonw_key(w, "line"), jsonw_uint(w, rule[i]->line);
		jsonw_key(w, "section"), jsonw_str(w, "ssh");
		jsonw_key(w, "index"), jsonw_uint(w, (uint64_t)(rule[i] - p->ssh));
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

struct ssh_cell {
	const struct ssh_rule *rule[EFFECT_RULES_MAX];
	size_t n;
	bool check, accept; /* some rule asks for a confirmation; some does not */
	struct buf words;   /* owned: what it says, to be compared */
};

static void ssh_cell(const struct matrix *m, int side, size_t row, int64_t to, struct ssh_cell *out)
{
	const struct policy *p = (side == NEW ? m->e.is : m->e.was)->view->p;

	*out = (struct ssh_cell){ .words = buf_make(64 << 10) };
	for (size_t i = 0; i < p->n_ssh; i++) {
		if (!rule_leads(m, &p->ssh[i], i, side, row, to))
			continue;
		if (out->n < EFFECT_RULES_MAX)
			out->rule[out->n++] = &p->ssh[i];
		*(p->ssh[i].check ? &out->check : &out->accept) = true;
		buf_printf(&out->words, "%d ", p->ssh[i].check);
		ssh_users_text(&p->ssh[i], &out->words);
	}
}

static void write_ssh_members(struct jsonw *w, const struct policy *p, const struct ssh_cell *c)
{
	jsonw_key(w, "users"), write_ssh_users(w, c->rule, c->n);
	jsonw_key(w, "check"), jsonw_bool(w, c->check && !c->accept);
	write_ssh_places(w, p, c->rule, c->n);
}

static bool write_ssh_cell(const struct cells *c, size_t at_row, size_t at_column, size_t row, int64_t to)
{
	struct ssh_cell was, is;

	ssh_cell(c->m, OLD, row, to, &was);
	ssh_cell(c->m, NEW, row, to, &is);
	bool differs = c->draft && !bytes_eq(buf_view(&was.words), buf_view(&is.words)), some = is.n || (differs && was.n);
	if (some && c->write) {
		jsonw_obj(c->w);
		jsonw_key(c->w, "row"), jsonw_uint(c->w, at_row);
		jsonw_key(c->w, "column"), jsonw_uint(c->w, at_column);
		jsonw_key(c->w, "ports"), jsonw_null(c->w);
		write_ssh_members(c->w, c->m->e.is->view->p, &is);
		if (differs && was.n) {
			jsonw_key(c->w, "sshBefore"), jsonw_obj(c->w);
			write_ssh_members(c->w, c->m->e.was->view->p, &was);
			jsonw_obj_end(c->w);
		} else if (differs) {
			jsonw_key(c->w, "sshBefore"), jsonw_null(c->w);
		}
		jsonw_obj_end(c->w);
	}
	buf_done(&was.words);
	buf_done(&is.words);
	return some;
}

static void write_ssh_matrix(struct matrix *m, struct jsonw *w, bool draft)
{
	struct cells c = { m, w, draft, false };
	bool own = false;
	size_t n = 0;

	cut(m);
	for (size_t k = 0; k < m->n_columns; k++) {
		bool some = false;

		for (size_t i = 0; i < m->n_rows && !some; i++)
			some = write_ssh_cell(&c, i, 0, m->row[i].bunch, m->column[k].bunch);
		if (some)
			m->column[n++] = m->column[k];
	}
	m->n_columns = n;
	for (size_t i = 0; i < m->n_rows && !own; i++)
		own = write_ssh_cell(&c, i, 0, m->row[i].bunch, EFFECT_SELF);
	c.write = true;
	write_head(m, w, own, 0);
	jsonw_key(w, "cells"), jsonw_arr(w);
	for (size_t i = 0; i < m->n_rows; i++) {
		if (own)
			write_ssh_cell(&c, i, 0, m->row[i].bunch, EFFECT_SELF);
		for (size_t k = 0; k < m->n_columns; k++)
			write_ssh_cell(&c, i, own + k, m->row[i].bunch, m->column[k].bunch);
	}
	jsonw_arr_end(w);
	jsonw_key(w, "truncated"), jsonw_bool(w, m->truncated);
}

/* ---- both ---- */

err matrix_make(const struct policy_world *was, const struct policy_world *is, bool ssh, struct matrix *m)
{
	*m = (struct matrix){ 0 };
	TRY(ssh ? effect_make_ssh(was, is, &m->e) : effect_make(was, is, &m->e));
	m->kinds = calloc(m->e.kinds.n + 1, sizeof *m->kinds);
	if (!m->kinds)
		return ERR_NOMEM;
	TRY(namer_make(is, &m->e.kinds, true, &m->name));
	TRY(order(&m->e, true, &m->row, &m->n_rows));
	return order(&m->e, false, &m->column, &m->n_columns);
}

void matrix_done(struct matrix *m)
{
	effect_end(&m->e);
	namer_done(&m->name);
	free(m->kinds);
	free(m->row);
	free(m->column);
}

err policy_matrix(const struct policy_world *was, const struct policy_world *is, bool ssh, struct jsonw *out)
{
	struct matrix m;
	err e = matrix_make(was, is, ssh, &m);

	if (e == OK && ssh)
		write_ssh_matrix(&m, out, was != is);
	else if (e == OK)
		write_matrix(&m, out, was != is);
	matrix_done(&m);
	return e;
}
