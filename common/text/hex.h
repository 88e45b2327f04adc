/* hex: bytes as hexadecimal digits and back. */
#pragma once

#include "common/base/bytes.h"

/* Writes 2 * in.n lower-case digits and a NUL to out, which has room for them. Returns out. */
char *hex_encode(struct bytes in, char *out);

/* Exactly n bytes from exactly 2 * n digits of either case. ERR_MALFORMED otherwise, and out is untouched. */
MUST_USE err hex_decode(struct bytes text, void *out, size_t n);
