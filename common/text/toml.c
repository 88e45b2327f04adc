#include "common/text/toml.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/text/toml_number.h"

/* Who may still add to a table or array. */
enum how {
	HOW_IMPLIED, /* a header went through it: a header of its own may follow, once */
	HOW_HEADER,  /* [x], or an element of [[x]] */
	HOW_DOTTED,  /* by a.b = …: more of these may follow in the same table, no header */
	HOW_HEADERS, /* the array of [[x]] */
	HOW_CLOSED,  /* a value: an inline table, an array in brackets */
};

struct parser {
	struct bytes text;
	size_t at;
	unsigned line;
	size_t line_start;
	struct arena *arena;
	struct toml *root;
	struct toml_error *error;
};

/* ---- characters -------------------------------------------------------------------------------------------------- */

static int peek_at(const struct parser *p, size_t ahead)
{
	return ahead < p->text.n - p->at ? p->text.p[p->at + ahead] : -1;
}

static int peek(const struct parser *p)
{
	return peek_at(p, 0);
}

static bool is_at(const struct parser *p, const char *s)
{
	return bytes_has_prefix(bytes_skip(p->text, p->at), bytes_str(s));
}

static unsigned column(const struct parser *p)
{
	return (unsigned)(p->at - p->line_start + 1);
}

__attribute__((format(printf, 5, 6))) static err refuse_from(struct parser *p, err e, unsigned line, unsigned col,
		const char *fmt, ...)
{
	va_list ap;

	p->error->line = line;
	p->error->column = col;
	va_start(ap, fmt);
	vsnprintf(p->error->text, sizeof p->error->text, fmt, ap);
	va_end(ap);
	return e;
}

#define refuse(p, e, ...) refuse_from((p), (e), (p)->line, column(p), __VA_ARGS__)

/* One line end, if there is one. A CR alone is none. */
static bool take_newline(struct parser *p)
{
	size_t n = peek(p) == '\n' ? 1 : peek(p) == '\r' && peek_at(p, 1) == '\n' ? 2 : 0;

	p->at += n;
	if (n) {
		p->line++;
		p->line_start = p->at;
	}
	return n > 0;
}

static void skip_blank(struct parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t')
		p->at++;
}

static err skip_comment(struct parser *p)
{
	if (peek(p) != '#')
		return OK;
	while (peek(p) >= 0 && peek(p) != '\n' && !is_at(p, "\r\n")) {
		if ((peek(p) < 0x20 && peek(p) != '\t') || peek(p) == 0x7f)
			return refuse(p, ERR_MALFORMED, "control character in a comment");
		p->at++;
	}
	return OK;
}

/* Spaces, comments and line ends. */
static err skip_lines(struct parser *p)
{
	do {
		skip_blank(p);
		TRY(skip_comment(p));
	} while (take_newline(p));
	return OK;
}

static err end_of_line(struct parser *p)
{
	skip_blank(p);
	TRY(skip_comment(p));
	if (peek(p) < 0 || take_newline(p))
		return OK;
	return refuse(p, ERR_MALFORMED, "the line should end here");
}

/* ---- tree -------------------------------------------------------------------------------------------------------- */

static err new_value(struct parser *p, struct toml **out)
{
	struct toml *t = arena_alloc(p->arena, sizeof *t);

	if (!t)
		return refuse(p, ERR_NOMEM, "out of memory");
	t->line = p->line;
	t->column = column(p);
	*out = t;
	return OK;
}

static void append(struct toml *to, struct toml *t)
{
	if (to->list.last)
		to->list.last->next = t;
	else
		to->list.first = t;
	to->list.last = t;
	to->list.n++;
	t->up = to;
}

static err add(struct parser *p, struct toml *table, struct bytes key, struct toml *t)
{
	if (table->list.n >= TOML_KEYS_MAX)
		return refuse(p, ERR_TOO_BIG, "more than %d keys in a table", TOML_KEYS_MAX);
	t->key = arena_str(p->arena, key);
	if (!t->key)
		return refuse(p, ERR_NOMEM, "out of memory");
	append(table, t);
	return OK;
}

/* ---- strings and keys -------------------------------------------------------------------------------------------- */

/* A string being read, in the arena. */
struct text {
	struct arena *arena;
	uint8_t *p;
	size_t n, cap;
	bool bad; /* out of memory */
};

static void put(struct text *t, int c)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 4 : 64;
		uint8_t *bigger = arena_alloc(t->arena, cap + 1); /* + 1: always a NUL after the last byte */

		if (!bigger) {
			t->bad = true;
			return;
		}
		if (t->n)
			memcpy(bigger, t->p, t->n);
		t->p = bigger;
		t->cap = cap;
	}
	t->p[t->n++] = (uint8_t)c;
}

static void put_utf8(struct text *t, uint32_t c)
{
	if (c < 0x80) {
		put(t, (int)c);
	} else if (c < 0x800) {
		put(t, (int)(0xc0 | c >> 6));
		put(t, (int)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		put(t, (int)(0xe0 | c >> 12));
		put(t, (int)(0x80 | (c >> 6 & 0x3f)));
		put(t, (int)(0x80 | (c & 0x3f)));
	} else {
		put(t, (int)(0xf0 | c >> 18));
		put(t, (int)(0x80 | (c >> 12 & 0x3f)));
		put(t, (int)(0x80 | (c >> 6 & 0x3f)));
		put(t, (int)(0x80 | (c & 0x3f)));
	}
}

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \uXXXX and \UXXXXXXXX; p is at the first digit. */
static err take_code_point(struct parser *p, int digits, struct text *t)
{
	uint32_t c = 0;

	for (int i = 0; i < digits; i++) {
		int d = peek(p) < 0 ? -1 : hex_digit(peek(p));

		if (d < 0)
			return refuse(p, ERR_MALFORMED, "%d hexadecimal digits should be here", digits);
		c = c << 4 | (uint32_t)d;
		p->at++;
	}
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return refuse(p, ERR_MALFORMED, "no such character");
	put_utf8(t, c);
	return OK;
}

static err take_escape(struct parser *p, struct text *t, bool multi)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	int c = peek_at(p, 1);
	const char *found = c > 0 ? strchr(from, c) : NULL;

	if (found) {
		put(t, to[found - from]);
		p->at += 2;
		return OK;
	}
	if (c == 'u' || c == 'U') {
		p->at += 2;
		return take_code_point(p, c == 'u' ? 4 : 8, t);
	}
	if (multi && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) { /* a line that goes on: what is blank goes away */
		p->at++;
		skip_blank(p);
		if (!take_newline(p))
			return refuse(p, ERR_MALFORMED, "unknown escape in a string");
		do
			skip_blank(p);
		while (take_newline(p));
		return OK;
	}
	return refuse(p, ERR_MALFORMED, "unknown escape in a string");
}

/* How many of these quotes stand here. */
static size_t quotes(const struct parser *p, int quote)
{
	size_t n = 0;

	while (peek_at(p, n) == quote)
		n++;
	return n;
}

/* One character, escape or line end inside a string. */
static err take_in_string(struct parser *p, struct text *t, bool basic, bool multi)
{
	int c = peek(p);

	if (basic && c == '\\')
		return take_escape(p, t, multi);
	if (multi && take_newline(p)) {
		put(t, '\n');
		return OK;
	}
	if ((c < 0x20 && c != '\t') || c == 0x7f)
		return refuse(p, ERR_MALFORMED, "control character in a string");
	put(t, c);
	p->at++;
	return OK;
}

/* A string of any kind, at its opening quote. */
static err take_string(struct parser *p, bool allow_multi, struct bytes *out)
{
	int quote = peek(p);
	bool basic = quote == '"', multi = allow_multi && quotes(p, quote) >= 3;
	struct text t = { .arena = p->arena };
	unsigned line = p->line, col = column(p);

	p->at += multi ? 3 : 1;
	if (multi)
		take_newline(p);
	while (!t.bad) {
		size_t n = quotes(p, quote);

		if (peek(p) < 0 || (!multi && (peek(p) == '\n' || peek(p) == '\r')))
			return refuse_from(p, ERR_MALFORMED, line, col, "string without end");
		if (n >= 1 && !multi) {
			p->at++;
			break;
		}
		if (n >= 3) { /* up to two quotes may stand before the closing three */
			size_t inside = MIN_OF(n, (size_t)5) - 3;

			for (size_t i = 0; i < inside; i++)
				put(&t, quote);
			p->at += inside + 3;
			break;
		}
		TRY(take_in_string(p, &t, basic, multi));
	}
	if (t.bad)
		return refuse(p, ERR_NOMEM, "out of memory");
	*out = t.n ? bytes_of(t.p, t.n) : BYTES_LIT("");
	return OK;
}

static bool is_bare(int c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* One part of a key. */
static err take_key(struct parser *p, struct bytes *out)
{
	if (peek(p) == '"' || peek(p) == '\'')
		return take_string(p, false, out);
	size_t n = 0;
	while (is_bare(peek_at(p, n)))
		n++;
	if (n == 0)
		return refuse(p, ERR_MALFORMED, "a key should be here");
	*out = bytes_first(bytes_skip(p->text, p->at), n);
	p->at += n;
	return OK;
}

/* A dot after a key, with the blanks around it. */
static bool take_dot(struct parser *p)
{
	skip_blank(p);
	if (peek(p) != '.')
		return false;
	p->at++;
	skip_blank(p);
	return true;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static err take_value(struct parser *p, unsigned depth, struct toml **out);
static err take_pair(struct parser *p, struct toml *table, unsigned depth);

static err take_array(struct parser *p, unsigned depth, struct toml *t)
{
	t->kind = TOML_ARRAY;
	t->how = HOW_CLOSED;
	p->at++;
	for (;;) {
		struct toml *element;

		TRY(skip_lines(p));
		if (peek(p) == ']')
			break;
		TRY(take_value(p, depth + 1, &element));
		append(t, element);
		TRY(skip_lines(p));
		if (peek(p) == ']')
			break;
		if (peek(p) != ',')
			return refuse(p, ERR_MALFORMED, "',' or ']' should be here");
		p->at++;
	}
	p->at++;
	return OK;
}

static err take_inline_table(struct parser *p, unsigned depth, struct toml *t)
{
	t->kind = TOML_TABLE;
	p->at++;
	skip_blank(p);
	for (bool first = true; peek(p) != '}'; first = false) {
		if (!first) {
			if (peek(p) != ',')
				return refuse(p, ERR_MALFORMED, "',' or '}' should be here");
			p->at++;
			skip_blank(p);
		}
		TRY(take_pair(p, t, depth + 1));
		skip_blank(p);
	}
	p->at++;
	t->how = HOW_CLOSED;
	return OK;
}

/* The characters of a number, a word or a date. */
static struct bytes take_word(struct parser *p)
{
	size_t n = 0;

	while (is_bare(peek_at(p, n)) || peek_at(p, n) == '+' || peek_at(p, n) == '.' || peek_at(p, n) == ':')
		n++;
	struct bytes word = bytes_first(bytes_skip(p->text, p->at), n);
	p->at += n;
	return word;
}

static err take_scalar(struct parser *p, struct toml *t)
{
	struct bytes word = take_word(p);

	if (bytes_eq_str(word, "true") || bytes_eq_str(word, "false")) {
		t->kind = TOML_BOOL;
		t->b = word.n == 4;
		return OK;
	}
	err e = toml_number_parse(word, t);
	if (e == OK)
		return OK;
	const char *what = "neither a number nor true nor false; text needs quotes";
	if (word.n == 0)
		what = "a value should be here";
	else if (e == ERR_TOO_BIG)
		what = "the number does not fit into 64 bits";
	else if (e == ERR_UNSUPPORTED)
		what = "dates and times are not read; write them in quotes";
	return refuse_from(p, e, t->line, t->column, "%s", what);
}

static err take_value(struct parser *p, unsigned depth, struct toml **out)
{
	struct toml *t = NULL;

	if (depth > TOML_DEPTH_MAX)
		return refuse(p, ERR_TOO_BIG, "nested deeper than %d", TOML_DEPTH_MAX);
	TRY(new_value(p, &t));
	*out = t;
	switch (peek(p)) {
	case '"':
	case '\'':
		t->kind = TOML_STRING;
		return take_string(p, true, &t->s);
	case '[':
		return take_array(p, depth, t);
	case '{':
		return take_inline_table(p, depth, t);
	default:
		return take_scalar(p, t);
	}
}

/* ---- keys with values, headers ----------------------------------------------------------------------------------- */

/* Where a key or a header began. */
struct place {
	unsigned line, column;
};

static struct place here(const struct parser *p)
{
	return (struct place){ p->line, column(p) };
}

static err given_twice(struct parser *p, struct place at, const struct toml *first)
{
	char where[100];

	return refuse_from(p, ERR_EXISTS, at.line, at.column, "%s is there already, in line %u",
			toml_path(first, where, sizeof where), first->line);
}

static err new_at(struct parser *p, struct place at, enum toml_kind kind, enum how how, struct toml **out)
{
	TRY(new_value(p, out));
	(*out)->kind = kind;
	(*out)->how = (uint8_t)how;
	(*out)->line = at.line;
	(*out)->column = at.column;
	return OK;
}

/* The table that key names inside *table, made when it is not there. */
static err enter(struct parser *p, struct toml **table, struct bytes key, enum how how, struct place at)
{
	struct toml *t = toml_child(*table, key);

	if (!t) {
		TRY(new_at(p, at, TOML_TABLE, how, &t));
		TRY(add(p, *table, key, t));
	} else if (t->kind == TOML_ARRAY && t->how == HOW_HEADERS && how == HOW_IMPLIED) {
		t = t->list.last; /* the element that was begun last */
	} else if (t->kind != TOML_TABLE || t->how == HOW_CLOSED || (how == HOW_DOTTED && t->how != HOW_DOTTED)) {
		return given_twice(p, at, t);
	}
	*table = t;
	return OK;
}

/* key = value, without the line end */
static err take_pair(struct parser *p, struct toml *table, unsigned depth)
{
	struct place at = here(p);
	struct bytes key;
	struct toml *value, *twin;

	TRY(take_key(p, &key));
	while (take_dot(p)) {
		if (++depth > TOML_DEPTH_MAX)
			return refuse(p, ERR_TOO_BIG, "nested deeper than %d", TOML_DEPTH_MAX);
		TRY(enter(p, &table, key, HOW_DOTTED, at));
		TRY(take_key(p, &key));
	}
	if (peek(p) != '=')
		return refuse(p, ERR_MALFORMED, "'=' should be here");
	p->at++;
	skip_blank(p);
	twin = toml_child(table, key);
	if (twin)
		return given_twice(p, at, twin);
	TRY(take_value(p, depth, &value));
	value->line = at.line;
	value->column = at.column;
	return add(p, table, key, value);
}

/* The last part of [x]. */
static err begin_table(struct parser *p, struct toml **table, struct bytes key, struct place at)
{
	struct toml *t = toml_child(*table, key);

	if (!t) {
		TRY(new_at(p, at, TOML_TABLE, HOW_HEADER, &t));
		TRY(add(p, *table, key, t));
	} else if (t->kind != TOML_TABLE || t->how != HOW_IMPLIED) {
		return given_twice(p, at, t);
	}
	t->how = HOW_HEADER;
	t->line = at.line;
	t->column = at.column;
	*table = t;
	return OK;
}

/* The last part of [[x]]. */
static err begin_element(struct parser *p, struct toml **table, struct bytes key, struct place at)
{
	struct toml *array = toml_child(*table, key), *t = NULL;

	if (!array) {
		TRY(new_at(p, at, TOML_ARRAY, HOW_HEADERS, &array));
		TRY(add(p, *table, key, array));
	} else if (array->kind != TOML_ARRAY || array->how != HOW_HEADERS) {
		return given_twice(p, at, array);
	}
	TRY(new_at(p, at, TOML_TABLE, HOW_HEADER, &t));
	append(array, t);
	*table = t;
	return OK;
}

static err take_header(struct parser *p, struct toml **table)
{
	struct place at = here(p);
	bool element = is_at(p, "[[");
	unsigned depth = 1;
	struct bytes key;

	*table = p->root;
	p->at += element ? 2 : 1;
	skip_blank(p);
	TRY(take_key(p, &key));
	while (take_dot(p)) {
		if (++depth > TOML_DEPTH_MAX)
			return refuse(p, ERR_TOO_BIG, "nested deeper than %d", TOML_DEPTH_MAX);
		TRY(enter(p, table, key, HOW_IMPLIED, at));
		TRY(take_key(p, &key));
	}
	if (!is_at(p, element ? "]]" : "]"))
		return refuse(p, ERR_MALFORMED, "'%s' should be here", element ? "]]" : "]");
	p->at += element ? 2 : 1;
	return element ? begin_element(p, table, key, at) : begin_table(p, table, key, at);
}

/* Depth of what is inside t. */
static unsigned depth_in(const struct toml *t)
{
	unsigned n = 1;

	for (; t->up; t = t->up)
		n += t->key != NULL; /* [[x]] and its element are one */
	return n;
}

static err check_utf8(struct parser *p)
{
	for (struct bytes rest = p->text; rest.n; p->line++) {
		const uint8_t *nl = memchr(rest.p, '\n', rest.n);
		struct bytes line = nl ? bytes_first(rest, (size_t)(nl - rest.p) + 1) : rest;

		if (!bytes_is_utf8(line))
			return refuse_from(p, ERR_MALFORMED, p->line, 1, "the line is not UTF-8");
		rest = bytes_skip(rest, line.n);
	}
	p->line = 1;
	return OK;
}

err toml_parse(struct bytes text, struct arena *a, struct toml **out, struct toml_error *error)
{
	struct parser p = { .text = text, .line = 1, .arena = a, .error = error };
	struct toml *table;

	*error = (struct toml_error){ .line = 1, .column = 1 };
	if (text.n > TOML_TEXT_MAX)
		return refuse(&p, ERR_TOO_BIG, "longer than %d bytes", TOML_TEXT_MAX);
	TRY(check_utf8(&p));
	TRY(new_at(&p, here(&p), TOML_TABLE, HOW_HEADER, &p.root));
	table = p.root;
	for (;;) {
		TRY(skip_lines(&p));
		if (peek(&p) < 0)
			break;
		if (peek(&p) == '[')
			TRY(take_header(&p, &table));
		else
			TRY(take_pair(&p, table, depth_in(table)));
		TRY(end_of_line(&p));
	}
	*out = p.root;
	return OK;
}
