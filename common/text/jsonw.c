#include "common/text/jsonw.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/text/base64.h"
#include "common/text/hex.h"

/* Room for n bytes and perhaps a comma, which is written already; NULL when the buf is bad. */
static uint8_t *room(struct jsonw *w, size_t n)
{
	uint8_t *at = buf_reserve(w->out, n + 1);

	if (!at)
		return NULL;
	if (w->comma) {
		*at = ',';
		buf_commit(w->out, 1);
		at++;
	}
	w->comma = true;
	return at;
}

static void token(struct jsonw *w, const char *text, size_t n)
{
	uint8_t *at = room(w, n);

	if (!at)
		return;
	memcpy(at, text, n);
	buf_commit(w->out, n);
}

static void open_with(struct jsonw *w, const char *bracket)
{
	token(w, bracket, 1);
	w->comma = false;
	w->depth++;
}

static void close_with(struct jsonw *w, char bracket)
{
	assert(w->depth > 0);
	buf_append_u8(w->out, (uint8_t)bracket);
	w->comma = true;
	w->depth--;
}

void jsonw_obj(struct jsonw *w)
{
	open_with(w, "{");
}

void jsonw_obj_end(struct jsonw *w)
{
	close_with(w, '}');
}

void jsonw_arr(struct jsonw *w)
{
	open_with(w, "[");
}

void jsonw_arr_end(struct jsonw *w)
{
	close_with(w, ']');
}

void jsonw_key_ready(struct jsonw *w, const char *with_comma, size_t n)
{
	size_t skip = w->comma ? 0 : 1;

	buf_append(w->out, bytes_of(with_comma + skip, n - skip));
	w->comma = false;
}

void jsonw_key_bytes(struct jsonw *w, struct bytes key)
{
	jsonw_bytes(w, key);
	buf_append_u8(w->out, ':');
	w->comma = false;
}

void jsonw_key_int(struct jsonw *w, int64_t key)
{
	char text[32];
	int n = snprintf(text, sizeof text, "\"%lld\":", (long long)key);

	token(w, text, (size_t)n);
	w->comma = false;
}

/* ---- strings ----------------------------------------------------------------------------------------------------- */

typedef uint8_t vec __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* How many bytes at the front of b go out as they are. Non-ASCII ones are looked at one by one elsewhere. */
static size_t plain_run(struct bytes b)
{
	size_t i = 0;

	for (; b.n - i >= sizeof(vec); i += sizeof(vec)) {
		vec v;

		memcpy(&v, b.p + i, sizeof v);
		/* v - 0x20 wraps below 0x20: both control characters and non-ASCII end up at 0x60 or more */
		halves bad = (halves)((vec)(v - 0x20 >= 0x60) | (vec)(v == '"') | (vec)(v == '\\') | (vec)(v == '<') |
				(vec)(v == '>') | (vec)(v == '&'));
		if (bad[0] | bad[1])
			break;
	}
	while (i < b.n && is_plain(b.p[i]))
		i++;
	return i;
}

/* Length of the well-formed UTF-8 sequence at the front of b (2 to 4), or 0. */
static size_t utf8_seq(struct bytes b)
{
	size_t n = b.p[0] >= 0xf0 ? 4 : b.p[0] >= 0xe0 ? 3 : 2;

	return b.n >= n && bytes_is_utf8(bytes_first(b, n)) ? n : 0;
}

/* Writes the escape of what b begins with; returns how many bytes of b that was. */
static size_t escape_one(struct buf *out, struct bytes b)
{
	static const char digits[] = "0123456789abcdef";
	char six[6] = { '\\', 'u', '0', '0', 0, 0 };
	uint8_t c = b.p[0];
	char two = 0;

	if (c >= 0x80) {
		size_t n = utf8_seq(b);

		if (n == 0) {
			buf_append(out, BYTES_LIT("\\ufffd"));
			return 1;
		}
		if (n == 3 && c == 0xe2 && b.p[1] == 0x80 && (b.p[2] & 0xfe) == 0xa8) { /* U+2028, U+2029 */
			buf_append_str(out, b.p[2] == 0xa8 ? "\\u2028" : "\\u2029");
			return 3;
		}
		buf_append(out, bytes_first(b, n));
		return n;
	}
	switch (c) {
	case '"':
	case '\\':
		two = (char)c;
		break;
	case '\b':
		two = 'b';
		break;
	case '\f':
		two = 'f';
		break;
	case '\n':
		two = 'n';
		break;
	case '\r':
		two = 'r';
		break;
	case '\t':
		two = 't';
		break;
	default:
		six[4] = digits[c >> 4];
		six[5] = digits[c & 15];
		buf_append(out, bytes_of(six, 6));
		return 1;
	}
	six[1] = two;
	buf_append(out, bytes_of(six, 2));
	return 1;
}

void jsonw_bytes(struct jsonw *w, struct bytes text)
{
	size_t run = plain_run(text);
	uint8_t *at = room(w, run + 2);

	if (!at)
		return;
	*at = '"';
	if (run)
		memcpy(at + 1, text.p, run);
	if (run == text.n) {
		at[run + 1] = '"';
		buf_commit(w->out, run + 2);
		return;
	}
	buf_commit(w->out, run + 1);
	text = bytes_skip(text, run);
	while (text.n && !w->out->bad) {
		text = bytes_skip(text, escape_one(w->out, text));
		run = plain_run(text);
		buf_append(w->out, bytes_first(text, run));
		text = bytes_skip(text, run);
	}
	buf_append_u8(w->out, '"');
}

void jsonw_str(struct jsonw *w, const char *text)
{
	jsonw_bytes(w, bytes_str(text));
}

/* ---- other values ------------------------------------------------------------------------------------------------ */

void jsonw_bool(struct jsonw *w, bool v)
{
	if (v)
		token(w, "true", 4);
	else
		token(w, "false", 5);
}

void jsonw_null(struct jsonw *w)
{
	token(w, "null", 4);
}

/* Writes the digits so that they end before end; returns their start. */
static char *digits_before(char *end, uint64_t v)
{
	do
		*--end = (char)('0' + v % 10);
	while ((v /= 10));
	return end;
}

void jsonw_uint(struct jsonw *w, uint64_t v)
{
	char text[24], *end = text + sizeof text, *at = digits_before(end, v);

	token(w, at, (size_t)(end - at));
}

void jsonw_int(struct jsonw *w, int64_t v)
{
	char text[24], *end = text + sizeof text;
	char *at = digits_before(end, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);

	if (v < 0)
		*--at = '-';
	token(w, at, (size_t)(end - at));
}

void jsonw_double(struct jsonw *w, double v)
{
	char text[40];
	int n = 0;

	if (!isfinite(v)) {
		jsonw_null(w);
		return;
	}
	for (int precision = 15; precision <= 17; precision++) {
		n = snprintf(text, sizeof text, "%.*g", precision, v);
		if (strtod(text, NULL) == v)
			break;
	}
	token(w, text, (size_t)n);
}

void jsonw_time(struct jsonw *w, int64_t wall_ms)
{
	char text[RFC3339_MAX];

	jsonw_str(w, time_rfc3339(wall_ms, text));
}

void jsonw_base64(struct jsonw *w, struct bytes b)
{
	size_t n = base64_len(b.n);
	uint8_t *at = room(w, n + 3); /* the encoder's NUL falls on the closing quote's place */

	if (!at)
		return;
	at[0] = '"';
	base64_encode(b, (char *)at + 1);
	at[n + 1] = '"';
	buf_commit(w->out, n + 2);
}

void jsonw_hex(struct jsonw *w, const char *prefix, struct bytes b)
{
	size_t p = strlen(prefix), n = p + 2 * b.n;
	uint8_t *at = room(w, n + 3);

	if (!at)
		return;
	at[0] = '"';
	memcpy(at + 1, prefix, p);
	hex_encode(b, (char *)at + 1 + p);
	at[n + 1] = '"';
	buf_commit(w->out, n + 2);
}

void jsonw_raw(struct jsonw *w, struct bytes value)
{
	uint8_t *at = room(w, value.n);

	if (!at || value.n == 0)
		return;
	memcpy(at, value.p, value.n);
	buf_commit(w->out, value.n);
}

void jsonw_raw_members(struct jsonw *w, struct bytes members)
{
	if (members.n)
		jsonw_raw(w, members);
}
