#include "common/crypto/blake2s.h"

#include <assert.h>
#include <sodium.h>

#include "common/base/reader.h"

/* RFC 7693, section 2.6 and 2.7: BLAKE2s has SHA-256's initial values and ten rounds. */
static const uint32_t iv[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
	0x5be0cd19 };
static const uint8_t sigma[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static inline uint32_t rotr(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

#define MIX(a, b, c, d, x, y)                                                                                          \
	do {                                                                                                           \
		v[a] += v[b] + (x);                                                                                    \
		v[d] = rotr(v[d] ^ v[a], 16);                                                                          \
		v[c] += v[d];                                                                                          \
		v[b] = rotr(v[b] ^ v[c], 12);                                                                          \
		v[a] += v[b] + (y);                                                                                    \
		v[d] = rotr(v[d] ^ v[a], 8);                                                                           \
		v[c] += v[d];                                                                                          \
		v[b] = rotr(v[b] ^ v[c], 7);                                                                           \
	} while (0)

static void compress(struct blake2s *s, const uint8_t block[BLAKE2S_BLOCK], bool last)
{
	uint32_t m[16], v[16];
	struct reader r = rd_init(bytes_of(block, BLAKE2S_BLOCK));

	for (size_t i = 0; i < 16; i++)
		m[i] = rd_u32le(&r);
	for (size_t i = 0; i < 8; i++) {
		v[i] = s->h[i];
		v[i + 8] = iv[i];
	}
	v[12] ^= (uint32_t)s->total;
	v[13] ^= (uint32_t)(s->total >> 32);
	if (last)
		v[14] = ~v[14];
#pragma GCC unroll 10
	for (size_t i = 0; i < 10; i++) {
		const uint8_t *o = sigma[i];

		MIX(0, 4, 8, 12, m[o[0]], m[o[1]]);
		MIX(1, 5, 9, 13, m[o[2]], m[o[3]]);
		MIX(2, 6, 10, 14, m[o[4]], m[o[5]]);
		MIX(3, 7, 11, 15, m[o[6]], m[o[7]]);
		MIX(0, 5, 10, 15, m[o[8]], m[o[9]]);
		MIX(1, 6, 11, 12, m[o[10]], m[o[11]]);
		MIX(2, 7, 8, 13, m[o[12]], m[o[13]]);
		MIX(3, 4, 9, 14, m[o[14]], m[o[15]]);
	}
	for (size_t i = 0; i < 8; i++)
		s->h[i] ^= v[i] ^ v[i + 8];
}

void blake2s_init(struct blake2s *s, size_t out_len, struct bytes key)
{
	assert(out_len >= 1 && out_len <= BLAKE2S_LEN && key.n <= BLAKE2S_KEY_MAX);
	*s = (struct blake2s){ .out_len = out_len };
	memcpy(s->h, iv, sizeof iv);
	s->h[0] ^= 0x01010000 ^ (uint32_t)(key.n << 8) ^ (uint32_t)out_len;
	if (key.n) { /* a key is a first block of its own, filled up with zeros */
		memcpy(s->block, key.p, key.n);
		s->n = BLAKE2S_BLOCK;
	}
}

void blake2s_update(struct blake2s *s, struct bytes in)
{
	/* A full block waits until more comes: the last one is compressed with a flag, in blake2s_final. */
	while (in.n) {
		if (s->n == BLAKE2S_BLOCK) {
			s->total += BLAKE2S_BLOCK;
			compress(s, s->block, false);
			s->n = 0;
		}
		struct bytes part = bytes_first(in, BLAKE2S_BLOCK - s->n);
		memcpy(s->block + s->n, part.p, part.n);
		s->n += part.n;
		in = bytes_skip(in, part.n);
	}
}

void blake2s_final(struct blake2s *s, uint8_t *out)
{
	uint8_t le[BLAKE2S_LEN];

	s->total += s->n;
	memset(s->block + s->n, 0, BLAKE2S_BLOCK - s->n);
	compress(s, s->block, true);
	memcpy(le, s->h, sizeof le); /* little-endian machine: see base/writer.h */
	memcpy(out, le, s->out_len);
	sodium_memzero(le, sizeof le);
	sodium_memzero(s, sizeof *s);
}

void blake2s(uint8_t *out, size_t out_len, struct bytes key, struct bytes in)
{
	struct blake2s s;

	blake2s_init(&s, out_len, key);
	blake2s_update(&s, in);
	blake2s_final(&s, out);
}
