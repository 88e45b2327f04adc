/* buf: a growing byte queue that is created with its maximum. Bytes are added at the end and taken from the front.
 *
 * Once it would grow past max, or memory runs out, it goes bad: further appends do nothing, what is in it stays. */
#pragma once

#include <stdarg.h>

#include "common/base/bytes.h"

struct buf {
	uint8_t *p; /* owned */
	size_t at;  /* first unread byte */
	size_t end; /* one past the last */
	size_t cap;
	size_t max; /* bytes it may hold; 0 means it was never initialised and holds nothing */
	bool bad;
};

static inline struct buf buf_make(size_t max)
{
	return (struct buf){ .max = max };
}

void buf_done(struct buf *b); /* frees; b may be used again after buf_make */

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->at;
}

/* Borrowed until the next change of b. */
static inline struct bytes buf_view(const struct buf *b)
{
	return bytes_of(b->p ? b->p + b->at : NULL, b->end - b->at);
}

/* At least n bytes of room at the end, to be followed by buf_commit; NULL (and bad) when over max or out of memory. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

void buf_append(struct buf *b, struct bytes src);
void buf_append_str(struct buf *b, const char *s);
void buf_append_u8(struct buf *b, uint8_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* Drops n bytes (at most all) from the front. An emptied buf keeps its memory; buf_release gives it back. */
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b);
void buf_release(struct buf *b); /* frees the memory when empty; the maximum stays */
