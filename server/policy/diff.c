#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/query.h"

/* Lines that differ, in the form that patch(1) reads. Common lines at both ends are set aside; between them the longest common
 * part is found by a table while it is small, and what is larger is shown as replaced. */

enum { CONTEXT = 3, TABLE_MAX = 4 << 20 /* lines times lines */ };

struct lines {
	struct bytes *l; /* owned */
	size_t n;
};

static err cut(struct bytes text, struct lines *out)
{
	size_t n = 1;

	for (struct bytes rest = text; rest.n; rest = bytes_skip(rest, 1))
		n += rest.p[0] == '\n';
	out->l = calloc(n, sizeof *out->l);
	if (!out->l)
		return ERR_NOMEM;
	while (text.n)
		out->l[out->n++] = bytes_cut(text, '\n', &text);
	return OK;
}

struct edit { /* a line that is kept (' '), goes ('-') or comes ('+') */
	char what;
	size_t a, b; /* its places */
};

struct edits {
	struct edit *e; /* owned */
	size_t n;
};

static void add(struct edits *e, char what, size_t a, size_t b)
{
	e->e[e->n++] = (struct edit){ what, a, b };
}

/* Rows of the table: the length of the longest common part of a[i..] and b[j..]. */
static err by_table(const struct lines *a, const struct lines *b, size_t from, size_t end_a, size_t end_b, struct edits *out)
{
	size_t n = end_a - from, m = end_b - from, i = 0, j = 0;
	CLEANUP(freep) uint32_t *t = calloc((n + 1) * (m + 1), sizeof *t);

	if (!t)
		return ERR_NOMEM;
	for (size_t x = n; x-- > 0;)
		for (size_t y = m; y-- > 0;)
			t[x * (m + 1) + y] = bytes_eq(a->l[from + x], b->l[from + y]) ? t[(x + 1) * (m + 1) + y + 1] + 1 :
					     MAX_OF(t[(x + 1) * (m + 1) + y], t[x * (m + 1) + y + 1]);
	while (i < n || j < m) {
		if (i < n && j < m && bytes_eq(a->l[from + i], b->l[from + j])) {
			add(out, ' ', from + i, from + j);
			i++, j++;
		} else if (j == m || (i < n && t[(i + 1) * (m + 1) + j] >= t[i * (m + 1) + j + 1])) {
			add(out, '-', from + i, from + j);
			i++;
		} else {
			add(out, '+', from + i, from + j);
			j++;
		}
	}
	return OK;
}

static err compare(const struct lines *a, const struct lines *b, struct edits *out)
{
	size_t from = 0, end_a = a->n, end_b = b->n;

	while (from < a->n && from < b->n && bytes_eq(a->l[from], b->l[from]))
		add(out, ' ', from, from), from++;
	while (end_a > from && end_b > from && bytes_eq(a->l[end_a - 1], b->l[end_b - 1]))
		end_a--, end_b--;
	if ((end_a - from + 1) <= TABLE_MAX / (end_b - from + 1)) {
		TRY(by_table(a, b, from, end_a, end_b, out));
	} else {
		for (size_t i = from; i < end_a; i++)
			add(out, '-', i, from);
		for (size_t i = from; i < end_b; i++)
			add(out, '+', end_a, i);
	}
	for (size_t i = 0; end_a + i < a->n; i++)
		add(out, ' ', end_a + i, end_b + i);
	return OK;
}

static void write_hunk(const struct lines *a, const struct lines *b, const struct edits *e, size_t first, size_t end, struct buf *out)
{
	size_t n = 0, m = 0;

	for (size_t i = first; i < end; i++) {
		n += e->e[i].what != '+';
		m += e->e[i].what != '-';
	}
	buf_printf(out, "@@ -%zu,%zu +%zu,%zu @@\n", e->e[first].a + (n > 0), n, e->e[first].b + (m > 0), m);
	for (size_t i = first; i < end; i++) {
		buf_append_u8(out, (uint8_t)e->e[i].what);
		buf_append(out, e->e[i].what == '+' ? b->l[e->e[i].b] : a->l[e->e[i].a]);
		buf_append_u8(out, '\n');
	}
}

static void write_all(const struct lines *a, const struct lines *b, const struct edits *e, struct buf *out)
{
	for (size_t i = 0; i < e->n;) {
		if (e->e[i].what == ' ') {
			i++;
			continue;
		}
		size_t first = i > CONTEXT ? i - CONTEXT : 0, last = i; /* last change of the hunk */
		for (size_t k = i; k < e->n && k <= last + 2 * CONTEXT + 1; k++)
			if (e->e[k].what != ' ')
				last = k;
		size_t end = MIN_OF(last + CONTEXT + 1, e->n);
		write_hunk(a, b, e, first, end, out);
		i = end;
	}
}

err policy_diff(struct bytes x, struct bytes y, struct buf *out)
{
	struct lines a = { 0 }, b = { 0 };
	struct edits e = { 0 };

	err bad = cut(x, &a);
	if (bad == OK)
		bad = cut(y, &b);
	if (bad == OK && !(e.e = calloc(a.n + b.n + 1, sizeof *e.e)))
		bad = ERR_NOMEM;
	if (bad == OK)
		bad = compare(&a, &b, &e);
	if (bad == OK)
		write_all(&a, &b, &e, out);
	free(a.l);
	free(b.l);
	free(e.e);
	return bad == OK && out->bad ? ERR_NOMEM : bad;
}
