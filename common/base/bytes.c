#include "common/base/bytes.h"

#include <stdlib.h>

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool bytes_eq_nocase(struct bytes a, struct bytes b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool bytes_has_prefix(struct bytes b, struct bytes prefix)
{
	return b.n >= prefix.n && (prefix.n == 0 || memcmp(b.p, prefix.p, prefix.n) == 0);
}

struct bytes bytes_cut(struct bytes b, uint8_t c, struct bytes *rest)
{
	const uint8_t *at = b.n ? memchr(b.p, c, b.n) : NULL;

	if (!at) {
		*rest = (struct bytes){ 0 };
		return b;
	}
	size_t n = (size_t)(at - b.p);
	*rest = bytes_skip(b, n + 1);
	return bytes_first(b, n);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct bytes bytes_trim(struct bytes b)
{
	while (b.n && is_space(b.p[0]))
		b = bytes_skip(b, 1);
	while (b.n && is_space(b.p[b.n - 1]))
		b.n--;
	return b;
}

err bytes_copy(void *dst, size_t cap, struct bytes src)
{
	if (src.n > cap)
		return ERR_TOO_BIG;
	if (src.n)
		memcpy(dst, src.p, src.n);
	return OK;
}

char *bytes_dup(struct bytes b)
{
	char *s = malloc(b.n + 1);

	if (!s)
		return NULL;
	if (b.n)
		memcpy(s, b.p, b.n);
	s[b.n] = 0;
	return s;
}

err bytes_parse_u64(struct bytes b, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (b.n == 0)
		return ERR_MALFORMED;
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] < '0' || b.p[i] > '9')
			return ERR_MALFORMED;
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(b.p[i] - '0'), &v))
			return ERR_TOO_BIG;
	}
	if (v > max)
		return ERR_TOO_BIG;
	*out = v;
	return OK;
}

bool bytes_is_utf8(struct bytes b)
{
	size_t i = 0;

	while (i < b.n) {
		uint8_t c = b.p[i];
		size_t more;
		uint32_t cp, min;

		if (c < 0x80) {
			i++;
			continue;
		} else if ((c & 0xe0) == 0xc0) {
			more = 1, cp = c & 0x1fu, min = 0x80;
		} else if ((c & 0xf0) == 0xe0) {
			more = 2, cp = c & 0x0fu, min = 0x800;
		} else if ((c & 0xf8) == 0xf0) {
			more = 3, cp = c & 0x07u, min = 0x10000;
		} else {
			return false;
		}
		if (more > b.n - i - 1)
			return false;
		for (size_t k = 1; k <= more; k++) {
			if ((b.p[i + k] & 0xc0) != 0x80)
				return false;
			cp = (cp << 6) | (b.p[i + k] & 0x3fu);
		}
		if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
			return false;
		i += more + 1;
	}
	return true;
}
