#include "common/text/jsonpull.h"

#include <limits.h>
#include <stdio.h>

enum { NUMBER_MAX = 40, END = -1 };

void jp_init(struct jsonpull *jp, struct bytes in, jsonpull_more more, void *ctx)
{
	jp->e = OK;
	jp->why[0] = 0;
	jp->cut = false;
	jp->in = in;
	jp->more = more;
	jp->ctx = ctx;
	jp->ended = !more;
	jp->depth = 0;
	jp->key_n = jp->text_n = 0;
	jp->copy = NULL;
}

void jp_fail(struct jsonpull *jp, err e, const char *why)
{
	if (jp->e != OK)
		return;
	jp->e = e;
	snprintf(jp->why, sizeof jp->why, "%s", why);
}

/* ---- characters ---------------------------------------------------------------------------------------------------- */

static int peek(struct jsonpull *jp)
{
	while (jp->in.n == 0 && !jp->ended && jp->e == OK) {
		struct bytes b = { 0 };
		err e = jp->more(jp->ctx, &b);

		if (e != OK)
			jp_fail(jp, e, "the source broke off");
		jp->ended = b.n == 0;
		jp->in = b;
	}
	return jp->in.n && jp->e == OK ? jp->in.p[0] : END;
}

static void drop(struct jsonpull *jp)
{
	if (jp->copy) {
		buf_append_u8(jp->copy, jp->in.p[0]);
		if (jp->copy->bad)
			jp_fail(jp, ERR_TOO_BIG, "a value is too long");
	}
	jp->in = bytes_skip(jp->in, 1);
}

static int take(struct jsonpull *jp)
{
	int c = peek(jp);

	if (c != END)
		drop(jp);
	return c;
}

/* The next character that is no space, not taken. */
static int ahead(struct jsonpull *jp)
{
	int c;

	while ((c = peek(jp)) == ' ' || c == '\n' || c == '\t' || c == '\r')
		drop(jp);
	return c;
}

static bool expect(struct jsonpull *jp, int c, const char *why)
{
	if (ahead(jp) != c) {
		jp_fail(jp, ERR_MALFORMED, why);
		return false;
	}
	drop(jp);
	return jp->e == OK;
}

static bool word(struct jsonpull *jp, const char *w)
{
	for (; *w; w++)
		if (take(jp) != *w) {
			jp_fail(jp, ERR_MALFORMED, "a word that JSON does not have");
			return false;
		}
	return true;
}

err jp_end(struct jsonpull *jp)
{
	if (jp->e == OK && jp->depth != 0)
		jp_fail(jp, ERR_MALFORMED, "an object or array is open");
	if (jp->e == OK && ahead(jp) != END)
		jp_fail(jp, ERR_MALFORMED, "something follows the value");
	return jp->e;
}

/* ---- strings ------------------------------------------------------------------------------------------------------- */

struct sink {
	char *p;
	size_t n, max;
	bool cut;
};

static void put(struct sink *s, const uint8_t *p, size_t n)
{
	/* A character is kept whole or not at all, and nothing after one that was dropped. */
	if (s->cut || n > s->max - s->n) {
		s->cut = true;
		return;
	}
	if (n)
		memcpy(s->p + s->n, p, n);
	s->n += n;
}

static void put_rune(struct sink *s, uint32_t c)
{
	uint8_t b[4];
	size_t n;

	if (c < 0x80) {
		b[0] = (uint8_t)c, n = 1;
	} else if (c < 0x800) {
		b[0] = (uint8_t)(0xc0 | c >> 6), b[1] = (uint8_t)(0x80 | (c & 0x3f)), n = 2;
	} else if (c < 0x10000) {
		b[0] = (uint8_t)(0xe0 | c >> 12), b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		b[2] = (uint8_t)(0x80 | (c & 0x3f)), n = 3;
	} else {
		b[0] = (uint8_t)(0xf0 | c >> 18), b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f)), b[3] = (uint8_t)(0x80 | (c & 0x3f)), n = 4;
	}
	put(s, b, n);
}

static uint32_t hex4(struct jsonpull *jp)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++) {
		int c = take(jp);
		int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

		if (d < 0) {
			jp_fail(jp, ERR_MALFORMED, "a bad \\u escape");
			return 0;
		}
		v = v << 4 | (uint32_t)d;
	}
	return v;
}

/* After "\u". A surrogate without its other half becomes U+FFFD, as in Go. */
static void unicode(struct jsonpull *jp, struct sink *s)
{
	uint32_t c = hex4(jp);

	while (c >= 0xd800 && c < 0xdc00 && peek(jp) == '\\') {
		drop(jp);
		int esc = take(jp);
		if (esc != 'u') {
			static const char plain[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
			const char *at = esc > 0 ? strchr(plain, esc) : NULL;

			put_rune(s, 0xfffd);
			if (!at)
				jp_fail(jp, ERR_MALFORMED, "a bad escape");
			else
				put_rune(s, (uint8_t)means[at - plain]);
			return;
		}
		uint32_t low = hex4(jp);
		if (low >= 0xdc00 && low < 0xe000) {
			put_rune(s, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
			return;
		}
		put_rune(s, 0xfffd);
		c = low;
	}
	put_rune(s, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
}

/* Plain characters up to the next quote, escape or control character. */
static void run(struct jsonpull *jp, struct sink *s)
{
	while (peek(jp) != END) {
		size_t n = 0;

		while (n < jp->in.n && jp->in.p[n] != '"' && jp->in.p[n] != '\\' && jp->in.p[n] >= ' ')
			n++;
		if (n) {
			size_t room = s->max - s->n;

			if (!s->cut && n <= room) {
				put(s, jp->in.p, n);
			} else if (!s->cut) { /* as much as fits, cut between characters */
				while (room && (jp->in.p[room] & 0xc0) == 0x80)
					room--;
				put(s, jp->in.p, room);
				s->cut = true;
			}
			if (jp->copy)
				buf_append(jp->copy, bytes_first(jp->in, n));
			if (jp->copy && jp->copy->bad)
				jp_fail(jp, ERR_TOO_BIG, "a value is too long");
			jp->in = bytes_skip(jp->in, n);
		}
		if (jp->in.n)
			return;
	}
}

static void string(struct jsonpull *jp, struct sink *s)
{
	static const char plain[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";

	if (!expect(jp, '"', "not a string"))
		return;
	for (;;) {
		run(jp, s);
		int c = take(jp);
		if (c == '"')
			return;
		if (c != '\\') {
			jp_fail(jp, ERR_MALFORMED, c == END ? "a string without end" : "a control character in a string");
			return;
		}
		c = take(jp);
		const char *at = c > 0 ? strchr(plain, c) : NULL;
		if (c == 'u')
			unicode(jp, s);
		else if (at)
			put_rune(s, (uint8_t)means[at - plain]);
		else
			jp_fail(jp, ERR_MALFORMED, "a bad escape");
		if (jp->e != OK)
			return;
	}
}

/* ---- containers ---------------------------------------------------------------------------------------------------- */

static bool enter(struct jsonpull *jp, int c, const char *why)
{
	if (jp_null(jp) || !expect(jp, c, why))
		return false;
	if (jp->depth == JSONPULL_DEPTH_MAX) {
		jp_fail(jp, ERR_TOO_BIG, "nested too deep");
		return false;
	}
	jp->first[++jp->depth] = true;
	return true;
}

bool jp_object(struct jsonpull *jp)
{
	return enter(jp, '{', "not an object");
}

bool jp_array(struct jsonpull *jp)
{
	return enter(jp, '[', "not an array");
}

/* At the end of the container, or past the comma. */
static bool next(struct jsonpull *jp, int close)
{
	if (jp->e != OK)
		return false;
	if (ahead(jp) == close) {
		drop(jp);
		jp->depth--;
		return false;
	}
	if (!jp->first[jp->depth] && !expect(jp, ',', "a comma is missing"))
		return false;
	jp->first[jp->depth] = false;
	return jp->e == OK;
}

bool jp_member(struct jsonpull *jp)
{
	if (!next(jp, '}'))
		return false;
	struct sink s = { .p = jp->key, .max = sizeof jp->key };

	string(jp, &s);
	jp->key_n = s.cut ? 0 : s.n;
	return expect(jp, ':', "a colon is missing");
}

bool jp_item(struct jsonpull *jp)
{
	return next(jp, ']');
}

bool jp_key_is(const struct jsonpull *jp, const char *name)
{
	return bytes_eq_nocase(bytes_of(jp->key, jp->key_n), bytes_str(name));
}

struct bytes jp_key(const struct jsonpull *jp)
{
	return bytes_of(jp->key, jp->key_n);
}

/* ---- values -------------------------------------------------------------------------------------------------------- */

bool jp_null(struct jsonpull *jp)
{
	return ahead(jp) == 'n' && word(jp, "null");
}

char jp_peek(struct jsonpull *jp)
{
	int c = ahead(jp);

	return (char)(c == END ? 0 : c);
}

bool jp_bool(struct jsonpull *jp)
{
	switch (ahead(jp)) {
	case 't':
		return word(jp, "true");
	case 'f':
		word(jp, "false");
		return false;
	case 'n':
		jp_null(jp);
		return false;
	default:
		jp_fail(jp, ERR_MALFORMED, "not true or false");
		return false;
	}
}

static bool is_number_char(int c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* The characters of a number; judged no further than its reader needs. */
static struct bytes number(struct jsonpull *jp, char out[NUMBER_MAX])
{
	size_t n = 0;

	while (is_number_char(peek(jp))) {
		int c = take(jp);

		if (n == NUMBER_MAX) {
			jp_fail(jp, ERR_MALFORMED, "a number too long");
			break;
		}
		out[n++] = (char)c;
	}
	if (n == 0)
		jp_fail(jp, ERR_MALFORMED, "not a value");
	return bytes_of(out, n);
}

int64_t jp_int(struct jsonpull *jp, int64_t min, int64_t max)
{
	char text[NUMBER_MAX];
	uint64_t u = 0;

	if (jp_null(jp))
		return 0;
	struct bytes b = number(jp, text);
	bool minus = b.n && b.p[0] == '-';
	if (jp->e != OK)
		return 0;
	if (bytes_parse_u64(bytes_skip(b, minus), (uint64_t)INT64_MAX, &u) != OK) {
		jp_fail(jp, ERR_MALFORMED, "not an integer");
		return 0;
	}
	int64_t v = minus ? -(int64_t)u : (int64_t)u;
	if (v < min || v > max) {
		jp_fail(jp, ERR_MALFORMED, "a number out of range");
		return 0;
	}
	return v;
}

struct bytes jp_str(struct jsonpull *jp)
{
	struct sink s = { .p = jp->text, .max = JSONPULL_TEXT_MAX };

	jp->cut = false;
	if (!jp_null(jp))
		string(jp, &s);
	jp->cut = s.cut;
	jp->text_n = jp->e == OK ? s.n : 0;
	jp->text[jp->text_n] = 0;
	return bytes_of(jp->text, jp->text_n);
}

void jp_skip(struct jsonpull *jp)
{
	unsigned base = jp->depth;
	bool object[JSONPULL_DEPTH_MAX + 1];
	char text[NUMBER_MAX];
	struct sink nowhere = { 0 };

	do {
		int c = ahead(jp);
		if (c == '{' || c == '[') {
			if (enter(jp, c, ""))
				object[jp->depth] = c == '{';
		} else if (c == '"') {
			string(jp, &nowhere);
		} else if (c == 't') {
			word(jp, "true");
		} else if (c == 'f') {
			word(jp, "false");
		} else if (c == 'n') {
			word(jp, "null");
		} else {
			number(jp, text);
		}
		/* On to the next member or item, up through what ends here. */
		while (jp->e == OK && jp->depth > base && !(object[jp->depth] ? jp_member(jp) : jp_item(jp)))
			;
	} while (jp->e == OK && jp->depth > base);
}

void jp_raw(struct jsonpull *jp, struct buf *out)
{
	ahead(jp);
	jp->copy = out;
	jp_skip(jp);
	jp->copy = NULL;
}
