/* writer: puts fields into a fixed array. It goes bad once (out of room) and stays bad; n counts what was written
 * before that. Check w.bad at the end. */
#pragma once

#include "common/base/bytes.h"

struct writer {
	uint8_t *p;
	size_t n, cap;
	bool bad;
};

static inline struct writer wr_init(void *p, size_t cap)
{
	return (struct writer){ .p = p, .cap = cap };
}

/* Room for n bytes to be filled by the caller, or NULL (and bad). */
static inline uint8_t *wr_room(struct writer *w, size_t n)
{
	if (w->bad || n > w->cap - w->n) {
		w->bad = true;
		return NULL;
	}
	uint8_t *at = w->p + w->n;
	w->n += n;
	return at;
}

static inline void wr_bytes(struct writer *w, struct bytes b)
{
	uint8_t *at = wr_room(w, b.n);

	if (at && b.n)
		memcpy(at, b.p, b.n);
}

static inline void wr_u8(struct writer *w, uint8_t v)
{
	uint8_t *at = wr_room(w, 1);

	if (at)
		at[0] = v;
}

static inline void wr_u16be(struct writer *w, uint16_t v)
{
	v = __builtin_bswap16(v);
	wr_bytes(w, bytes_of(&v, 2));
}

static inline void wr_u32be(struct writer *w, uint32_t v)
{
	v = __builtin_bswap32(v);
	wr_bytes(w, bytes_of(&v, 4));
}

static inline void wr_u64be(struct writer *w, uint64_t v)
{
	v = __builtin_bswap64(v);
	wr_bytes(w, bytes_of(&v, 8));
}

static inline void wr_u16le(struct writer *w, uint16_t v)
{
	wr_bytes(w, bytes_of(&v, 2));
}

static inline void wr_u32le(struct writer *w, uint32_t v)
{
	wr_bytes(w, bytes_of(&v, 4));
}

static inline void wr_u64le(struct writer *w, uint64_t v)
{
	wr_bytes(w, bytes_of(&v, 8));
}

static inline struct bytes wr_view(const struct writer *w)
{
	return bytes_of(w->p, w->n);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "writer.h and reader.h assume a little-endian machine");
