#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/reader.h"
#include "server/policy/query.h"
#include "server/policy/syntax.h"

/* HuJSON laid out: tabs, one space after colons and commas, values of neighbouring lines under one another, at most one empty line.
 * What stood on one line stays on one while it fits; what was broken has each part on a line of its own and a comma after the last. */

enum { WIDTH_MAX = 100, ALIGN_MAX = 40 /* spaces to put a value under its neighbour's */ };

struct note { /* a comment */
	struct bytes text;
	bool own_line, blank; /* a new line came before it; an empty one */
	struct note *next;
};

struct notes {
	struct note *first, *last;
	bool blank; /* an empty line after all of them */
	bool newline; /* some line ended among them */
};

struct part { /* a value, a member with its name */
	struct bytes name, text; /* name: with quotes, n 0: none; text: of what is neither list nor object */
	uint8_t open;		 /* '{', '[' or 0 */
	struct notes lead, trail, end; /* before; behind, on its line; before the closing bracket */
	bool broken;		 /* each part on a line of its own */
	size_t inline_n;	 /* bytes on one line */
	struct part *first, *next;
	size_t n;
};

struct layout {
	struct bytes rest;
	struct arena a;
	struct buf *out;
	bool bad; /* out of memory */
};

/* ---- reading: the text is known to be well-formed ---- */

static struct bytes take_comment(struct layout *l)
{
	struct bytes b = l->rest;
	bool line = bytes_has_prefix(b, BYTES_LIT("//"));
	size_t n = 2;

	while (n < b.n && (line ? bytes_skip(b, n).p[0] != '\n' : !bytes_has_prefix(bytes_skip(b, n), BYTES_LIT("*/"))))
		n++;
	n = line ? n : MIN_OF(n + 2, b.n);
	l->rest = bytes_skip(b, n);
	return bytes_trim(bytes_first(b, n));
}

static void take_notes(struct layout *l, struct notes *out)
{
	size_t lines = 0;

	for (; l->rest.n; lines = 0) {
		while (l->rest.n && strchr(" \t\r\n", l->rest.p[0])) {
			lines += l->rest.p[0] == '\n';
			l->rest = bytes_skip(l->rest, 1);
		}
		out->newline |= lines > 0;
		out->blank = lines > 1;
		if (!l->rest.n || l->rest.p[0] != '/')
			return;
		struct note *x = arena_alloc(&l->a, sizeof *x);
		if (!x) {
			l->bad = true;
			return;
		}
		*x = (struct note){ .own_line = lines > 0, .blank = lines > 1 };
		x->text = take_comment(l);
		if (out->last)
			out->last->next = x;
		else
			out->first = x;
		out->last = x;
	}
}

static struct bytes take_token(struct layout *l)
{
	struct bytes b = l->rest;
	size_t n = 1;

	if (b.p[0] == '"')
		for (; n < b.n && bytes_skip(b, n).p[0] != '"'; n++)
			n += bytes_skip(b, n).p[0] == '\\';
	else
		while (n < b.n && !strchr(" \t\r\n,]}:/", bytes_skip(b, n).p[0]))
			n++;
	n += b.p[0] == '"';
	l->rest = bytes_skip(b, n);
	return bytes_first(b, n);
}

static uint8_t peek(const struct layout *l)
{
	return l->rest.n ? l->rest.p[0] : 0;
}

static bool is_line(const struct note *x)
{
	return bytes_has_prefix(x->text, BYTES_LIT("//"));
}

static void append_note(struct notes *to, struct note *x)
{
	x->next = NULL;
	if (to->last)
		to->last->next = x;
	else
		to->first = x;
	to->last = x;
}

/* Behind a part: its own are those before the comma, and those behind it when the line ends there. The rest belongs to what follows. A
 * comment that goes to the end of its line is the last one there. */
static void part_notes(struct notes *before, struct notes *after, struct notes *trail, struct notes *rest)
{
	bool full = false;

	*rest = (struct notes){ .blank = after->first || !before->first ? after->blank : before->blank, .newline = before->newline || after->newline };
	for (struct note *x = before->first, *next; x; x = next) {
		next = x->next;
		x->own_line |= full;
		append_note(full ? rest : trail, x);
		full |= is_line(x);
	}
	full |= rest->first || !after->newline;
	for (struct note *x = after->first, *next; x; x = next) {
		next = x->next;
		full |= x->own_line;
		x->own_line |= trail->last && is_line(trail->last);
		append_note(full || x->own_line ? rest : trail, x);
	}
}

/* Comments between a name and its value go before the name. */
static void join_notes(struct notes *lead, struct notes *inner)
{
	if (!inner->first)
		return;
	inner->first->own_line = true;
	inner->first->blank = lead->blank;
	for (struct note *x = inner->first->next; x; x = x->next)
		x->blank = false;
	if (lead->last)
		lead->last->next = inner->first;
	else
		lead->first = inner->first;
	lead->last = inner->last;
	lead->blank = false;
}

static bool has_line_comment(const struct notes *n)
{
	for (const struct note *x = n->first; x; x = x->next)
		if (bytes_has_prefix(x->text, BYTES_LIT("//")) || memchr(x->text.p, '\n', x->text.n))
			return true;
	return false;
}

static size_t notes_len(const struct notes *n)
{
	size_t len = 0;

	for (const struct note *x = n->first; x; x = x->next)
		len += x->text.n + 1;
	return len;
}

static void take_value(struct layout *l, struct part *v);

static void take_parts(struct layout *l, struct part *v, uint8_t closing)
{
	struct part *last = NULL;
	struct notes before = { 0 }, after = { 0 };

	l->rest = bytes_skip(l->rest, 1);
	take_notes(l, &after);
	while (!l->bad && l->rest.n && peek(l) != closing) {
		struct part *x = arena_alloc(&l->a, sizeof *x);

		if (!x) {
			l->bad = true;
			return;
		}
		if (last)
			part_notes(&before, &after, &last->trail, &x->lead);
		else
			x->lead = after;
		v->broken |= x->lead.newline;
		if (closing == '}') {
			x->name = take_token(l);
			struct notes inner = { 0 };

			take_notes(l, &inner);
			l->rest = bytes_skip(l->rest, 1); /* the colon */
			take_notes(l, &inner);
			join_notes(&x->lead, &inner);
		}
		take_value(l, x);
		before = after = (struct notes){ 0 };
		take_notes(l, &before);
		if (peek(l) == ',') {
			l->rest = bytes_skip(l->rest, 1);
			take_notes(l, &after);
		}
		if (last)
			last->next = x;
		else
			v->first = x;
		last = x;
		v->n++;
	}
	if (last)
		part_notes(&before, &after, &last->trail, &v->end);
	else
		v->end = after;
	v->broken |= v->end.newline && (v->n || v->end.first);
	l->rest = bytes_skip(l->rest, 1);
}

/* Broken when a part is, or a comment says so, or the line would be too long. */
static void measure(struct part *v)
{
	v->inline_n = 2 + notes_len(&v->end);
	v->broken |= has_line_comment(&v->end);
	for (struct part *x = v->first; x; x = x->next) {
		v->broken |= x->broken && v->n > 1;
		v->broken |= has_line_comment(&x->lead) || has_line_comment(&x->trail);
		v->inline_n += x->inline_n + notes_len(&x->lead) + notes_len(&x->trail) + (x->name.n ? x->name.n + 2 : 0) + 2;
	}
	v->broken |= v->inline_n > WIDTH_MAX;
}

static void take_value(struct layout *l, struct part *v)
{
	if (peek(l) != '{' && peek(l) != '[') {
		v->text = take_token(l);
		v->inline_n = v->text.n;
		return;
	}
	v->open = peek(l);
	take_parts(l, v, v->open == '{' ? '}' : ']');
	measure(v);
}

/* ---- writing ---- */

static void indent(struct layout *l, unsigned depth)
{
	buf_append_u8(l->out, '\n');
	while (depth--)
		buf_append_u8(l->out, '\t');
}

/* Lines of a comment of several: each without what stands behind it. */
static void write_note(struct layout *l, const struct note *x, unsigned depth)
{
	struct bytes rest = x->text;
	bool first = true;

	while (rest.p) {
		struct bytes line = bytes_cut(rest, '\n', &rest), bare = bytes_trim(line);

		if (!first) {
			indent(l, bare.n ? depth : 0);
			if (bare.n && bare.p[0] == '*')
				buf_append_u8(l->out, ' ');
		}
		buf_append(l->out, bare);
		first = false;
	}
}

static void write_lines(struct layout *l, const struct notes *n, unsigned depth, bool *begun)
{
	for (const struct note *x = n->first; x; x = x->next) {
		if (x->blank && *begun)
			buf_append_u8(l->out, '\n');
		indent(l, depth);
		write_note(l, x, depth);
		*begun = true;
	}
	if (n->blank && *begun)
		buf_append_u8(l->out, '\n');
}

static void write_behind(struct layout *l, const struct notes *n, unsigned depth)
{
	for (const struct note *x = n->first; x; x = x->next) {
		buf_append_u8(l->out, ' ');
		write_note(l, x, depth);
	}
}

static void write_value(struct layout *l, const struct part *v, unsigned depth);

static void write_inline_notes(struct layout *l, const struct notes *n)
{
	for (const struct note *x = n->first; x; x = x->next) {
		buf_append(l->out, x->text);
		buf_append_u8(l->out, ' ');
	}
}

static void write_inline(struct layout *l, const struct part *v, unsigned depth)
{
	for (const struct part *x = v->first; x; x = x->next) {
		write_inline_notes(l, &x->lead);
		if (x->name.n) {
			buf_append(l->out, x->name);
			buf_append_str(l->out, ": ");
		}
		write_value(l, x, depth);
		write_behind(l, &x->trail, depth);
		if (x->next)
			buf_append_str(l->out, ", ");
	}
	if (v->end.first && v->n)
		buf_append_u8(l->out, ' ');
	for (const struct note *x = v->end.first; x; x = x->next) {
		buf_append(l->out, x->text);
		if (x->next)
			buf_append_u8(l->out, ' ');
	}
}

/* Neighbours whose values go under one another: from x on, without an empty line, a comment or a broken value between. */
static size_t name_room(const struct part *x, const struct part **end)
{
	size_t most = 0, least = SIZE_MAX;
	const struct part *k = x;

	for (; k && !k->broken && (k == x || (!k->lead.first && !k->lead.blank)); k = k->next) {
		most = MAX_OF(most, k->name.n);
		least = MIN_OF(least, k->name.n);
	}
	*end = k;
	return k == x || most - least > ALIGN_MAX ? 0 : most;
}

static void write_broken(struct layout *l, const struct part *v, unsigned depth)
{
	const struct part *end = v->first;
	bool begun = false;
	size_t room = 0;

	for (const struct part *x = v->first; x; x = x->next) {
		if (x == end && x->name.n) {
			room = name_room(x, &end);
			end = end == x ? x->next : end;
		}
		write_lines(l, &x->lead, depth + 1, &begun);
		indent(l, depth + 1);
		begun = true;
		if (x->name.n) {
			buf_append(l->out, x->name);
			buf_append_str(l->out, ": ");
			for (size_t n = x->name.n; !x->broken && n < room; n++)
				buf_append_u8(l->out, ' ');
		}
		write_value(l, x, depth + 1);
		buf_append_u8(l->out, ',');
		write_behind(l, &x->trail, depth + 1);
	}
	struct notes last = v->end;
	last.blank = false;
	write_lines(l, &last, depth + 1, &begun);
	indent(l, depth);
}

static void write_value(struct layout *l, const struct part *v, unsigned depth)
{
	if (!v->open) {
		buf_append(l->out, v->text);
		return;
	}
	buf_append_u8(l->out, v->open);
	if (v->broken && (v->n || v->end.first))
		write_broken(l, v, depth);
	else
		write_inline(l, v, depth);
	buf_append_u8(l->out, v->open == '{' ? '}' : ']');
}

err policy_format(struct bytes text, struct buf *out, struct policy_faults *faults)
{
	struct layout l = { .rest = text, .a = arena_make(0), .out = out };
	struct notes head = { 0 }, tail = { 0 };
	struct part root = { 0 };
	struct syntax *tree;

	*faults = (struct policy_faults){ 0 };
	err e = syntax_parse(text, &l.a, &tree, &faults->fault[0]);
	faults->n = e == ERR_INVALID;
	if (e == OK && text.n > POLICY_TEXT_MAX)
		e = ERR_TOO_BIG;
	if (e == OK) {
		take_notes(&l, &head);
		for (const struct note *x = head.first; x; x = x->next) {
			if (x != head.first && x->blank)
				buf_append_u8(out, '\n');
			write_note(&l, x, 0);
			buf_append_u8(out, '\n');
		}
		if (head.first && head.blank)
			buf_append_u8(out, '\n');
		if (l.rest.n) {
			take_value(&l, &root);
			write_value(&l, &root, 0);
			take_notes(&l, &tail);
			for (const struct note *x = tail.first; x; x = x->next) {
				buf_append_str(out, x->blank ? "\n\n" : x->own_line ? "\n" : " ");
				write_note(&l, x, 0);
			}
			buf_append_u8(out, '\n');
		}
		e = l.bad || out->bad ? ERR_NOMEM : OK;
	}
	arena_done(&l.a);
	return e;
}
