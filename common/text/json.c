#include "common/text/json.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/text/base64.h"

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

void text_line_col(struct bytes text, size_t offset, unsigned *line, unsigned *column)
{
	size_t line_start = 0;

	*line = 1;
	if (offset > text.n)
		offset = text.n;
	for (size_t i = 0; i < offset; i++)
		if (text.p[i] == '\n') {
			++*line;
			line_start = i + 1;
		}
	*column = (unsigned)(offset - line_start + 1);
}

static void place(struct json_error *e, struct bytes text, size_t offset)
{
	e->offset = offset;
	text_line_col(text, offset, &e->line, &e->column);
}

/* The first opening bracket that is deeper than max_depth, or SIZE_MAX. jansson has a bound of its own, but recurses
 * to 2048; what is not JSON here is left for it to refuse. */
static size_t too_deep(struct bytes text, unsigned max_depth)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > max_depth)
				return i;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return SIZE_MAX;
}

err json_parse(struct bytes text, size_t max_bytes, unsigned max_depth, json_t **out, struct json_error *error)
{
	struct json_error ignored;
	json_error_t je;

	if (!error)
		error = &ignored;
	*error = (struct json_error){ .line = 1, .column = 1 };
	if (text.n > max_bytes) {
		snprintf(error->text, sizeof error->text, "longer than %zu bytes", max_bytes);
		return ERR_TOO_BIG;
	}
	size_t deep = too_deep(text, max_depth);
	if (deep != SIZE_MAX) {
		place(error, text, deep);
		snprintf(error->text, sizeof error->text, "nested deeper than %u", max_depth);
		return ERR_TOO_BIG;
	}
	json_t *v = json_loadb(text.n ? (const char *)text.p : "", text.n, JSON_DECODE_ANY, &je);
	if (v) {
		*out = v;
		return OK;
	}
	if (json_error_code(&je) == json_error_out_of_memory) {
		snprintf(error->text, sizeof error->text, "out of memory");
		return ERR_NOMEM;
	}
	/* jansson's position is one past the token; its column counts code points, so ours is found from the offset. */
	size_t at = je.position > 0 ? (size_t)je.position - 1 : 0;
	place(error, text, at < text.n ? at : text.n);
	snprintf(error->text, sizeof error->text, "%s", je.text);
	for (char *c = error->text; *c; c++) /* it quotes the input */
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
	return ERR_MALFORMED;
}

err json_parse_why(struct bytes text, size_t max_bytes, unsigned max_depth, json_t **out, struct json_why *why)
{
	struct json_error error;
	err e = json_parse(text, max_bytes, max_depth, out, &error);

	if (e != OK) {
		why->e = e;
		snprintf(why->text, sizeof why->text, "line %u, column %u: %s", error.line, error.column, error.text);
	}
	return e;
}

char *json_compact(struct arena *a, struct bytes text, size_t *n)
{
	char *out = arena_alloc(a, text.n + 1);
	bool in_string = false;
	size_t len = 0;

	if (!out)
		return NULL;
	for (size_t i = 0; i < text.n; i++) {
		char c = (char)text.p[i];

		if (!in_string && (c == ' ' || c == '\t' || c == '\r' || c == '\n'))
			continue;
		out[len++] = c;
		if (in_string && c == '\\' && i + 1 < text.n)
			out[len++] = (char)text.p[++i];
		else if (c == '"')
			in_string = !in_string;
	}
	*n = len;
	return out;
}

char *json_dump_compact(struct arena *a, const json_t *value, size_t *n)
{
	enum { FLAGS = JSON_COMPACT | JSON_ENCODE_ANY };
	size_t need = json_dumpb(value, NULL, 0, FLAGS);
	char *out = need ? arena_alloc(a, need + 1) : NULL;

	if (!out || json_dumpb(value, out, need, FLAGS) != need)
		return NULL;
	*n = need;
	return out;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

struct json_at json_root(const json_t *v, struct json_why *why)
{
	return (struct json_at){ .v = json_is_null(v) ? NULL : v, .why = why };
}

struct json_at json_member(const struct json_at *o, const char *key)
{
	struct json_at at = { .up = o, .key = key, .why = o->why };

	if (!o->v)
		return at;
	if (!json_is_object(o->v)) {
		json_note(o, ERR_INVALID, "not an object");
		return at;
	}
	const json_t *v = json_object_get(o->v, key);
	if (!v) {
		struct bytes want = bytes_str(key);
		json_t *object = (json_t *)(uintptr_t)o->v; /* jansson's iterators take no const; nothing is changed */

		for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it))
			if (bytes_eq_nocase(bytes_str(json_object_iter_key(it)), want))
				v = json_object_iter_value(it);
	}
	at.v = json_is_null(v) ? NULL : v;
	return at;
}

struct json_at json_item(const struct json_at *a, size_t i)
{
	const json_t *v = a->v ? json_array_get(a->v, i) : NULL;

	return (struct json_at){ .v = json_is_null(v) ? NULL : v, .up = a, .index = i, .why = a->why };
}

size_t json_count(const struct json_at *a, size_t max)
{
	if (!a->v)
		return 0;
	if (!json_is_array(a->v)) {
		json_note(a, ERR_INVALID, "not an array");
		return 0;
	}
	size_t n = json_array_size(a->v);
	if (n > max) {
		json_note(a, ERR_TOO_BIG, "more than %zu elements", max);
		return 0;
	}
	return n;
}

/* The path of at, cut at the front when it does not fit. */
static void path(const struct json_at *at, char *out, size_t cap)
{
	size_t start = cap - 1;

	out[start] = 0;
	for (; at->up; at = at->up) {
		char part[64];
		int n = at->key ? snprintf(part, sizeof part, "%s%.50s", at->up->up ? "." : "", at->key)
				: snprintf(part, sizeof part, "[%zu]", at->index);

		if (n < 0 || (size_t)n > start)
			break;
		start -= (size_t)n;
		memcpy(out + start, part, (size_t)n);
	}
	memmove(out, out + start, cap - start);
}

void json_note(const struct json_at *at, err e, const char *fmt, ...)
{
	struct json_why *why = at->why;
	char where[100];
	va_list ap;

	if (why->e != OK)
		return;
	why->e = e;
	path(at, where, sizeof where);
	int n = snprintf(why->text, sizeof why->text, "%s: ", where[0] ? where : "value");
	va_start(ap, fmt);
	vsnprintf(why->text + n, sizeof why->text - (size_t)n, fmt, ap);
	va_end(ap);
}

/* ---- finding a place in the text again --------------------------------------------------------------------------- */

/* The text is valid JSON here (it was parsed), but may be another text than it should: so every step is bounded. */
struct scan {
	struct bytes text;
	size_t at;
};

static int peek(const struct scan *s)
{
	return s->at < s->text.n ? s->text.p[s->at] : -1;
}

static void skip_space(struct scan *s)
{
	while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\r' || peek(s) == '\n')
		s->at++;
}

/* Over a string; returns what is between its quotes, or p NULL when it has no end. */
static struct bytes skip_string(struct scan *s)
{
	size_t start = ++s->at;

	while (peek(s) >= 0 && peek(s) != '"')
		s->at += peek(s) == '\\' ? 2 : 1;
	if (s->at > s->text.n)
		s->at = s->text.n;
	struct bytes inside = bytes_first(bytes_skip(s->text, start), s->at - start);
	if (peek(s) != '"')
		return (struct bytes){ 0 };
	s->at++;
	return inside;
}

static void skip_value(struct scan *s)
{
	size_t depth = 0;

	skip_space(s);
	while (peek(s) >= 0) {
		int c = peek(s);

		if (depth == 0 && (c == ',' || c == '}' || c == ']'))
			return;
		if (c == '"') {
			skip_string(s);
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
		s->at++;
	}
}

/* A key as it stands in the text (escapes and all) names this member? */
static bool is_key(struct bytes raw, const char *key)
{
	if (!memchr(raw.p, '\\', raw.n))
		return bytes_eq_nocase(raw, bytes_str(key));
	CLEANUP(json_decrefp) json_t *v = json_loadb((const char *)raw.p - 1 /* with its quotes */, raw.n + 2, JSON_DECODE_ANY, NULL);
	return v && bytes_eq_nocase(bytes_of(json_string_value(v), json_string_length(v)), bytes_str(key));
}

static err locate_member(struct scan *s, const char *key)
{
	size_t exact = SIZE_MAX, other = SIZE_MAX;

	for (s->at++; peek(s) >= 0; s->at++) { /* over '{' or ',' */
		skip_space(s);
		if (peek(s) != '"')
			break;
		struct bytes raw = skip_string(s);
		if (!raw.p)
			break;
		skip_space(s);
		s->at++; /* ':' */
		skip_space(s);
		if (bytes_eq_str(raw, key))
			exact = s->at;
		else if (raw.n && is_key(raw, key))
			other = s->at;
		skip_value(s);
		if (peek(s) != ',')
			break;
	}
	s->at = exact != SIZE_MAX ? exact : other;
	return s->at == SIZE_MAX ? ERR_NOT_FOUND : OK;
}

static err locate_item(struct scan *s, size_t index)
{
	for (s->at++; peek(s) >= 0; s->at++) { /* over '[' or ',' */
		skip_space(s);
		if (peek(s) == ']')
			break;
		if (index-- == 0)
			return OK;
		skip_value(s);
		if (peek(s) != ',')
			break;
	}
	return ERR_NOT_FOUND;
}

static err locate(struct scan *s, const struct json_at *at)
{
	if (!at->up) {
		s->at = 0;
		skip_space(s);
		return OK;
	}
	TRY(locate(s, at->up)); /* as deep as the tree was */
	if (peek(s) != (at->key ? '{' : '['))
		return ERR_NOT_FOUND;
	return at->key ? locate_member(s, at->key) : locate_item(s, at->index);
}

err json_locate(struct bytes text, const struct json_at *at, size_t *offset)
{
	struct scan s = { .text = text };

	TRY(locate(&s, at));
	if (s.at >= text.n)
		return ERR_NOT_FOUND;
	*offset = s.at;
	return OK;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

bool json_to_bool(const struct json_at *at, bool otherwise)
{
	if (!at->v)
		return otherwise;
	if (!json_is_boolean(at->v)) {
		json_note(at, ERR_INVALID, "not true or false");
		return otherwise;
	}
	return json_is_true(at->v);
}

int64_t json_to_int(const struct json_at *at, int64_t min, int64_t max, int64_t otherwise)
{
	if (!at->v)
		return otherwise;
	if (!json_is_integer(at->v)) {
		json_note(at, ERR_INVALID, "not an integer");
		return otherwise;
	}
	int64_t v = json_integer_value(at->v);
	if (v < min || v > max) {
		json_note(at, ERR_INVALID, "%lld is not from %lld to %lld", (long long)v, (long long)min, (long long)max);
		return otherwise;
	}
	return v;
}

double json_to_double(const struct json_at *at, double otherwise)
{
	if (!at->v)
		return otherwise;
	if (!json_is_number(at->v)) {
		json_note(at, ERR_INVALID, "not a number");
		return otherwise;
	}
	return json_number_value(at->v);
}

struct bytes json_to_bytes(const struct json_at *at, size_t max)
{
	struct bytes none = BYTES_LIT("");

	if (!at->v)
		return none;
	if (!json_is_string(at->v)) {
		json_note(at, ERR_INVALID, "not a string");
		return none;
	}
	struct bytes text = bytes_of(json_string_value(at->v), json_string_length(at->v));
	if (text.n > max) {
		json_note(at, ERR_TOO_BIG, "longer than %zu bytes", max);
		return none;
	}
	return text;
}

const char *json_to_str(const struct json_at *at, size_t max)
{
	return (const char *)json_to_bytes(at, max).p;
}

int64_t json_to_time(const struct json_at *at, int64_t otherwise)
{
	enum { LONGEST = 64 };
	int64_t ms;

	if (!at->v)
		return otherwise;
	struct bytes text = json_to_bytes(at, LONGEST);
	if (time_parse_rfc3339(text, &ms) != OK) {
		json_note(at, ERR_INVALID, "not an RFC 3339 time");
		return otherwise;
	}
	return ms;
}

struct bytes json_to_base64(const struct json_at *at, struct arena *a, size_t max)
{
	struct bytes text = json_to_bytes(at, base64_len(max));
	size_t n, cap = text.n / 4 * 3;

	if (text.n == 0)
		return text;
	uint8_t *p = arena_alloc(a, cap ? cap : 1);
	if (!p) {
		json_note(at, ERR_NOMEM, "out of memory");
		return (struct bytes){ 0 };
	}
	if (base64_decode(text, p, cap, &n) != OK) {
		json_note(at, ERR_INVALID, "not padded base64");
		return (struct bytes){ 0 };
	}
	if (n > max) {
		json_note(at, ERR_TOO_BIG, "longer than %zu bytes", max);
		return (struct bytes){ 0 };
	}
	return bytes_of(p, n);
}

bool json_bool(const struct json_at *o, const char *key, bool otherwise)
{
	struct json_at at = json_member(o, key);

	return json_to_bool(&at, otherwise);
}

int64_t json_int(const struct json_at *o, const char *key, int64_t min, int64_t max, int64_t otherwise)
{
	struct json_at at = json_member(o, key);

	return json_to_int(&at, min, max, otherwise);
}

double json_double(const struct json_at *o, const char *key, double otherwise)
{
	struct json_at at = json_member(o, key);

	return json_to_double(&at, otherwise);
}

struct bytes json_bytes(const struct json_at *o, const char *key, size_t max)
{
	struct json_at at = json_member(o, key);

	return json_to_bytes(&at, max);
}

const char *json_str(const struct json_at *o, const char *key, size_t max)
{
	struct json_at at = json_member(o, key);

	return json_to_str(&at, max);
}

int64_t json_time(const struct json_at *o, const char *key, int64_t otherwise)
{
	struct json_at at = json_member(o, key);

	return json_to_time(&at, otherwise);
}
