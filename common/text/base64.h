/* base64: RFC 4648. The standard alphabet is padded (JSON's []byte, HTTP headers), the URL-safe one is not (tokens).
 *
 * Decoding is strict, so that one value has one text: no spaces or line ends, exact padding, unused bits zero. */
#pragma once

#include "common/base/bytes.h"

/* Characters for n bytes, without the NUL. n is at most SIZE_MAX / 2. */
static inline size_t base64_len(size_t n)
{
	return (n + 2) / 3 * 4;
}

static inline size_t base64url_len(size_t n)
{
	return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}

/* Write ..._len(in.n) characters and a NUL to out, which has room for them. Return out. */
char *base64_encode(struct bytes in, char *out);
char *base64url_encode(struct bytes in, char *out);

/* *n = bytes written. ERR_MALFORMED: not strict base64. ERR_TOO_BIG: more than cap bytes; nothing was written. */
MUST_USE err base64_decode(struct bytes text, void *out, size_t cap, size_t *n);
MUST_USE err base64url_decode(struct bytes text, void *out, size_t cap, size_t *n);
