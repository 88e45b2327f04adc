#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/map.h"
#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/text/jsonw.h"
#include "server/policy/syntax.h"

struct scan {
	struct bytes rest;
	struct arena *arena;
	unsigned line, column; /* of rest */
	unsigned depth;
	size_t values;
	size_t total, last_end; /* bytes: of the whole; up to the end of the last value */
	struct policy_fault *fault;
};

static int peek(const struct scan *s)
{
	return s->rest.n ? s->rest.p[0] : -1;
}

static int peek_second(const struct scan *s)
{
	return bytes_skip(s->rest, 1).n ? bytes_skip(s->rest, 1).p[0] : -1;
}

static void step(struct scan *s)
{
	if (peek(s) == '\n') {
		s->line++;
		s->column = 1;
	} else {
		s->column++;
	}
	s->rest = bytes_skip(s->rest, 1);
}

static size_t offset(const struct scan *s)
{
	return s->total - s->rest.n;
}

static err complain(struct scan *s, const char *what)
{
	*s->fault = (struct policy_fault){ .line = s->line, .column = s->column, .from = offset(s) };
	s->fault->to = MIN_OF(s->fault->from + 1, s->total);
	snprintf(s->fault->text, sizeof s->fault->text, "%s", what);
	return ERR_INVALID;
}

/* … and this, put in there, would probably mend it. */
static err complain_missing(struct scan *s, const char *what, size_t at, const char *missing, const char *label)
{
	err e = complain(s, what);

	s->fault->has_fix = true;
	s->fault->fix_from = s->fault->fix_to = at;
	snprintf(s->fault->fix, sizeof s->fault->fix, "%s", missing);
	snprintf(s->fault->fix_label, sizeof s->fault->fix_label, "%s", label);
	return e;
}

/* ---- between tokens ---- */

static err skip_block_comment(struct scan *s)
{
	struct scan start = *s;

	step(s);
	step(s);
	while (peek(s) >= 0 && !(peek(s) == '*' && peek_second(s) == '/'))
		step(s);
	if (peek(s) < 0)
		return complain(&start, "this comment is never closed: */ is missing");
	step(s);
	step(s);
	return OK;
}

static err skip_space(struct scan *s)
{
	for (;;) {
		int c = peek(s);

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			step(s);
		} else if (c == '/' && peek_second(s) == '/') {
			while (peek(s) >= 0 && peek(s) != '\n')
				step(s);
		} else if (c == '/' && peek_second(s) == '*') {
			TRY(skip_block_comment(s));
		} else {
			return OK;
		}
	}
}

/* ---- strings ---- */

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits after \u. */
static err take_unit(struct scan *s, uint32_t *out)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++) {
		int d = hex_digit(peek(s));

		if (d < 0)
			return complain(s, "\\u needs four hexadecimal digits");
		v = v << 4 | (uint32_t)d;
		step(s);
	}
	*out = v;
	return OK;
}

static void put_utf8(struct writer *w, uint32_t c)
{
	if (c < 0x80) {
		wr_u8(w, (uint8_t)c);
	} else if (c < 0x800) {
		wr_u8(w, (uint8_t)(0xc0 | c >> 6));
		wr_u8(w, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		wr_u8(w, (uint8_t)(0xe0 | c >> 12));
		wr_u8(w, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		wr_u8(w, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		wr_u8(w, (uint8_t)(0xf0 | c >> 18));
		wr_u8(w, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		wr_u8(w, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		wr_u8(w, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

static err take_unicode(struct scan *s, struct writer *w)
{
	uint32_t c, low;

	TRY(take_unit(s, &c));
	if (c >= 0xd800 && c < 0xdc00) {
		if (peek(s) != '\\' || peek_second(s) != 'u')
			return complain(s, "half of a surrogate pair");
		step(s);
		step(s);
		TRY(take_unit(s, &low));
		if (low < 0xdc00 || low > 0xdfff)
			return complain(s, "half of a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c == 0 || (c >= 0xdc00 && c < 0xe000)) {
		return complain(s, "this character cannot stand in a text");
	}
	put_utf8(w, c);
	return OK;
}

static err take_escape(struct scan *s, struct writer *w)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

	step(s);
	int c = peek(s);
	const char *at = c > 0 ? strchr(from, c) : NULL;

	if (c != 'u' && !at)
		return complain(s, "unknown escape in a text: use \\\", \\\\, \\/, \\b, \\f, \\n, \\r, \\t or \\u");
	step(s);
	if (c == 'u')
		return take_unicode(s, w);
	wr_u8(w, (uint8_t)to[at - from]);
	return OK;
}

/* Bytes up to the closing quote: no text that comes out is longer. */
static size_t room_for(struct bytes b)
{
	size_t n = 0;

	for (struct reader r = rd_init(b); !r.bad; n++) {
		uint8_t c = rd_u8(&r);

		if (c == '"' || c == '\n')
			break;
		if (c == '\\')
			n++, rd_u8(&r);
	}
	return n + 1;
}

static err take_string(struct scan *s, const char **out)
{
	struct scan start = *s;

	step(s);
	size_t cap = room_for(s->rest);
	char *text = arena_alloc(s->arena, cap + 1); /* zeroed: the NUL is there */
	if (!text)
		return ERR_NOMEM;
	struct writer w = wr_init(text, cap);

	for (;;) {
		int c = peek(s);

		if (c == '"')
			break;
		if (c < 0 || c == '\n')
			return complain(&start, "this text is never closed: a quote is missing");
		if (c < 0x20)
			return complain(s, "a control character in a text");
		if (c == '\\') {
			TRY(take_escape(s, &w));
			continue;
		}
		wr_u8(&w, (uint8_t)c);
		step(s);
	}
	step(s);
	*out = text;
	return w.bad ? ERR_NOMEM : OK;
}

/* ---- values ---- */

static err take_value(struct scan *s, struct syntax *v);

static struct syntax *new_child(struct scan *s, struct syntax *parent, struct syntax **last)
{
	struct syntax *v = s->values++ < SYNTAX_VALUES_MAX ? arena_alloc(s->arena, sizeof *v) : NULL;

	if (!v)
		return NULL;
	if (*last)
		(*last)->next = v;
	else
		parent->first = v;
	*last = v;
	v->place = (uint32_t)parent->n++;
	return v;
}

enum { FEW_KEYS = 16 };

static size_t slot_of(const struct syntax *object, const char *key)
{
	return (size_t)map_hash(key, strlen(key)) & (object->n_slots - 1);
}

static void slot_put(struct syntax *object, struct syntax *v)
{
	size_t at = slot_of(object, v->key);

	while (object->slot[at])
		at = (at + 1) & (object->n_slots - 1);
	object->slot[at] = v;
}

/* An object of many keys gets a table, which is at most half full: looking for duplicates must not cost the square. */
static err index_key(struct scan *s, struct syntax *object, struct syntax *v)
{
	if (object->n < FEW_KEYS)
		return OK;
	if (2 * object->n <= object->n_slots) {
		slot_put(object, v);
		return OK;
	}
	size_t n = object->n_slots ? 2 * object->n_slots : 4 * FEW_KEYS;
	struct syntax **slot = arena_array(s->arena, n, sizeof(struct syntax *));
	if (!slot)
		return ERR_NOMEM;
	object->slot = slot;
	object->n_slots = n;
	for (struct syntax *k = object->first; k; k = k->next)
		slot_put(object, k);
	return OK;
}

static err take_key(struct scan *s, struct syntax *object, struct syntax *v)
{
	v->key_line = s->line;
	v->key_column = s->column;
	if (peek(s) != '"')
		return complain(s, "expected a name in double quotes, or }");
	if (object->n > SYNTAX_KEYS_MAX)
		return complain(s, "too many names in one object");
	struct scan start = *s;
	const char *key;

	TRY(take_string(s, &key));
	if (syntax_get(object, key))
		return complain(&start, "this name stands here twice");
	v->key = key;
	TRY(index_key(s, object, v));
	TRY(skip_space(s));
	if (peek(s) != ':')
		return complain_missing(s, "expected : after the name", offset(s), ": ", "Insert a colon");
	step(s);
	return skip_space(s);
}

static bool starts_value(int c)
{
	return c == '"' || c == '{' || c == '[' || c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

static err take_children(struct scan *s, struct syntax *v, int closing)
{
	struct syntax *last = NULL;

	step(s);
	for (;;) {
		TRY(skip_space(s));
		if (peek(s) == closing)
			break;
		if (peek(s) < 0)
			return closing == '}' ? complain_missing(s, "the text ends here, but } is missing", offset(s), "}", "Insert }") :
						complain_missing(s, "the text ends here, but ] is missing", offset(s), "]", "Insert ]");
		if (s->values >= SYNTAX_VALUES_MAX)
			return complain(s, "too many values in one policy");
		struct syntax *child = new_child(s, v, &last);
		if (!child)
			return ERR_NOMEM;
		if (closing == '}')
			TRY(take_key(s, v, child));
		TRY(take_value(s, child));
		s->last_end = offset(s);
		TRY(skip_space(s));
		if (peek(s) == ',')
			step(s);
		else if (peek(s) >= 0 && peek(s) != closing)
			return starts_value(peek(s)) ? complain_missing(s, closing == '}' ? "expected , or }" : "expected , or ]", s->last_end,
									",", "Insert a comma") :
						       complain(s, closing == '}' ? "expected , or }" : "expected , or ]");
	}
	step(s);
	return OK;
}

static struct bytes skip_digits(struct bytes b)
{
	while (b.n && b.p[0] >= '0' && b.p[0] <= '9')
		b = bytes_skip(b, 1);
	return b;
}

/* As JSON spells numbers: they are written again as they stand. */
static bool is_number(struct bytes b)
{
	if (b.n && b.p[0] == '-')
		b = bytes_skip(b, 1);
	struct bytes rest = skip_digits(b);
	if (rest.n == b.n || (b.p[0] == '0' && b.n - rest.n > 1))
		return false;
	if (rest.n && rest.p[0] == '.') {
		b = bytes_skip(rest, 1);
		rest = skip_digits(b);
		if (rest.n == b.n)
			return false;
	}
	if (rest.n && (rest.p[0] == 'e' || rest.p[0] == 'E')) {
		b = bytes_skip(rest, 1);
		if (b.n && (b.p[0] == '+' || b.p[0] == '-'))
			b = bytes_skip(b, 1);
		rest = skip_digits(b);
		if (rest.n == b.n)
			return false;
	}
	return rest.n == 0;
}

static err take_word(struct scan *s, struct syntax *v)
{
	struct scan start = *s;
	const uint8_t *from = s->rest.p;
	size_t n = 0;

	for (int c = peek(s); (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			      c == '+' || c == '.';
	     c = peek(s)) {
		step(s);
		n++;
	}
	struct bytes word = bytes_of(from, n);

	v->text = arena_str(s->arena, word);
	if (!v->text)
		return ERR_NOMEM;
	v->truth = bytes_eq_str(word, "true");
	if (v->truth || bytes_eq_str(word, "false"))
		v->kind = SYNTAX_BOOL;
	else if (bytes_eq_str(word, "null"))
		v->kind = SYNTAX_NULL;
	else if (is_number(word))
		v->kind = SYNTAX_NUMBER;
	else
		return complain(&start, "expected a value: a text in double quotes, a number, true, false, null, [ or {");
	return OK;
}

static err take_value(struct scan *s, struct syntax *v)
{
	v->line = s->line;
	v->column = s->column;
	if (peek(s) == '"') {
		v->kind = SYNTAX_STRING;
		return take_string(s, &v->text);
	}
	if (peek(s) != '{' && peek(s) != '[')
		return take_word(s, v);
	if (s->depth == SYNTAX_DEPTH_MAX)
		return complain(s, "nested too deeply");
	s->depth++;
	v->kind = peek(s) == '{' ? SYNTAX_OBJECT : SYNTAX_LIST;
	TRY(take_children(s, v, peek(s) == '{' ? '}' : ']'));
	s->depth--;
	return OK;
}

err syntax_parse(struct bytes text, struct arena *a, struct syntax **out, struct policy_fault *fault)
{
	struct scan s = { .rest = text, .arena = a, .total = text.n, .line = 1, .column = 1, .fault = fault };
	struct syntax *root = arena_alloc(a, sizeof *root);

	if (!root)
		return ERR_NOMEM;
	if (!bytes_is_utf8(text))
		return complain(&s, "the text is not UTF-8");
	TRY(skip_space(&s));
	if (peek(&s) < 0) {
		*root = (struct syntax){ .kind = SYNTAX_OBJECT, .line = 1, .column = 1 };
		*out = root;
		return OK;
	}
	TRY(take_value(&s, root));
	TRY(skip_space(&s));
	if (peek(&s) >= 0)
		return complain(&s, "there is something after the end of the policy");
	*out = root;
	return OK;
}

const struct syntax *syntax_get(const struct syntax *object, const char *key)
{
	if (object->n_slots) {
		for (size_t at = slot_of(object, key); object->slot[at]; at = (at + 1) & (object->n_slots - 1))
			if (strcmp(object->slot[at]->key, key) == 0)
				return object->slot[at];
		return NULL;
	}
	for (const struct syntax *v = object->first; v; v = v->next)
		if (v->key && strcmp(v->key, key) == 0)
			return v;
	return NULL;
}

void syntax_write(const struct syntax *v, struct jsonw *w)
{
	switch (v->kind) {
	case SYNTAX_NULL:
		jsonw_null(w);
		return;
	case SYNTAX_BOOL:
		jsonw_bool(w, v->truth);
		return;
	case SYNTAX_NUMBER:
		jsonw_raw(w, bytes_str(v->text));
		return;
	case SYNTAX_STRING:
		jsonw_str(w, v->text);
		return;
	case SYNTAX_LIST:
		jsonw_arr(w);
		for (const struct syntax *k = v->first; k; k = k->next)
			syntax_write(k, w);
		jsonw_arr_end(w);
		return;
	case SYNTAX_OBJECT:
		jsonw_obj(w);
		for (const struct syntax *k = v->first; k; k = k->next) {
			jsonw_key_bytes(w, bytes_str(k->key));
			syntax_write(k, w);
		}
		jsonw_obj_end(w);
		return;
	}
}
