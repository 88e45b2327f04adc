/* blake2s: the hash of Noise and WireGuard (RFC 7693), unkeyed or keyed, 1 to 32 bytes of output. Cannot fail. */
#pragma once

#include "common/base/bytes.h"

enum {
	BLAKE2S_LEN = 32,
	BLAKE2S_BLOCK = 64,
	BLAKE2S_KEY_MAX = 32,
};

struct blake2s {
	uint32_t h[8];
	uint64_t total; /* bytes that went through the compression function */
	uint8_t block[BLAKE2S_BLOCK];
	size_t n; /* bytes waiting in block */
	size_t out_len;
};

/* out_len 1 … 32, key.n 0 … 32: anything else is a bug of the caller. */
void blake2s_init(struct blake2s *s, size_t out_len, struct bytes key);
void blake2s_update(struct blake2s *s, struct bytes in);
/* Writes out_len bytes and wipes s. */
void blake2s_final(struct blake2s *s, uint8_t *out);

/* All at once. out may lie inside in or key. */
void blake2s(uint8_t *out, size_t out_len, struct bytes key, struct bytes in);
