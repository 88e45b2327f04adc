/* secret: 32 bytes that must not linger. Locals: CLEANUP(secret32_wipe) struct secret32 k; never logged or printed. */
#pragma once

#include <sodium.h>
#include <stdint.h>

struct secret32 {
	uint8_t b[32];
};

static inline void secret32_wipe(struct secret32 *s)
{
	sodium_memzero(s->b, sizeof s->b);
}
