/* bytes: a borrowed view of memory. Parsers take views and read them with reader.h; they never index. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/err.h"

/* Borrowed: valid as long as what it was made from. p may be NULL when n is 0. */
struct bytes {
	const uint8_t *p;
	size_t n;
};

#define BYTES_LIT(s) ((struct bytes){ (const uint8_t *)("" s), sizeof(s) - 1 })

static inline struct bytes bytes_of(const void *p, size_t n)
{
	return (struct bytes){ p, n };
}

static inline struct bytes bytes_str(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool bytes_eq_str(struct bytes a, const char *s)
{
	return bytes_eq(a, bytes_str(s));
}

/* ASCII only; locale plays no part. */
bool bytes_eq_nocase(struct bytes a, struct bytes b);
bool bytes_has_prefix(struct bytes b, struct bytes prefix);

/* b without its first n bytes (all of it when shorter), and its first n bytes. */
static inline struct bytes bytes_skip(struct bytes b, size_t n)
{
	if (n > b.n)
		n = b.n;
	return (struct bytes){ n ? b.p + n : b.p, b.n - n };
}

static inline struct bytes bytes_first(struct bytes b, size_t n)
{
	return (struct bytes){ b.p, n < b.n ? n : b.n };
}

/* The part of b before c, and *rest after it. No c: all of b, and *rest is empty with p NULL. */
struct bytes bytes_cut(struct bytes b, uint8_t c, struct bytes *rest);

/* Without ASCII spaces, tabs, CR and LF at both ends. */
struct bytes bytes_trim(struct bytes b);

/* ERR_TOO_BIG: src does not fit, nothing was written. */
MUST_USE err bytes_copy(void *dst, size_t cap, struct bytes src);

/* A NUL-terminated copy, owned; NULL when out of memory. Bytes after an embedded NUL are kept but invisible. */
char *bytes_dup(struct bytes b);

/* All of b is a decimal number without sign or spaces. ERR_MALFORMED otherwise, ERR_TOO_BIG above max. */
MUST_USE err bytes_parse_u64(struct bytes b, uint64_t max, uint64_t *out);

/* Well-formed UTF-8 (no surrogates, no overlong forms). */
bool bytes_is_utf8(struct bytes b);
