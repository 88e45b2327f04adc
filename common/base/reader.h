/* reader: takes fields off a view, front to back. It goes bad once and stays bad; from then on it reads zeros and
 * empty views. Check r.bad after the header and at the end, not after each field. */
#pragma once

#include "common/base/bytes.h"

struct reader {
	struct bytes rest;
	bool bad;
};

static inline struct reader rd_init(struct bytes b)
{
	return (struct reader){ .rest = b };
}

static inline struct bytes rd_take(struct reader *r, size_t n)
{
	if (r->bad || n > r->rest.n) {
		r->bad = true;
		return (struct bytes){ 0 };
	}
	struct bytes b = bytes_first(r->rest, n);
	r->rest = bytes_skip(r->rest, n);
	return b;
}

/* Copies exactly n bytes; zeros when bad. */
static inline void rd_copy(struct reader *r, void *dst, size_t n)
{
	struct bytes b = rd_take(r, n);

	if (b.n == n && n)
		memcpy(dst, b.p, n);
	else
		memset(dst, 0, n);
}

static inline uint8_t rd_u8(struct reader *r)
{
	struct bytes b = rd_take(r, 1);

	return b.n ? b.p[0] : 0;
}

static inline uint16_t rd_u16be(struct reader *r)
{
	struct bytes b = rd_take(r, 2);

	return (uint16_t)(b.n ? b.p[0] << 8 | b.p[1] : 0);
}

static inline uint32_t rd_u32be(struct reader *r)
{
	struct bytes b = rd_take(r, 4);

	return b.n ? (uint32_t)b.p[0] << 24 | (uint32_t)b.p[1] << 16 | (uint32_t)b.p[2] << 8 | b.p[3] : 0;
}

static inline uint64_t rd_u64be(struct reader *r)
{
	uint64_t hi = rd_u32be(r);

	return hi << 32 | rd_u32be(r);
}

static inline uint16_t rd_u16le(struct reader *r)
{
	return __builtin_bswap16(rd_u16be(r));
}

static inline uint32_t rd_u32le(struct reader *r)
{
	return __builtin_bswap32(rd_u32be(r));
}

static inline uint64_t rd_u64le(struct reader *r)
{
	return __builtin_bswap64(rd_u64be(r));
}

/* Never bad and nothing left. */
static inline bool rd_done(const struct reader *r)
{
	return !r->bad && r->rest.n == 0;
}
