#include "common/base/buf.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST = 256 };

void buf_done(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ .max = b->max };
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b);

	if (b->bad || n > b->max || len > b->max - n) {
		b->bad = true;
		return NULL;
	}
	if (n <= b->cap - b->end)
		return b->p + b->end;
	if (n <= b->cap - len && b->at >= len) { /* moving is cheaper than growing, and amortised by at >= len */
		memcpy(b->p, b->p + b->at, len);
		b->at = 0;
		b->end = len;
		return b->p + b->end;
	}
	size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
	while (cap < len + n)
		cap = cap > b->max / 2 ? len + n : cap * 2;
	if (b->at) {
		memmove(b->p, b->p + b->at, len);
		b->at = 0;
		b->end = len;
	}
	uint8_t *p = realloc(b->p, cap); /* a large one moves without a copy, and never is there twice */
	if (!p) {
		b->bad = true;
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	b->at = 0;
	b->end = len;
	return b->p + b->end;
}

void buf_commit(struct buf *b, size_t n)
{
	b->end += n;
}

void buf_append(struct buf *b, struct bytes src)
{
	uint8_t *at;

	if (src.n == 0)
		return;
	at = buf_reserve(b, src.n);
	if (at) {
		memcpy(at, src.p, src.n);
		b->end += src.n;
	}
}

void buf_append_str(struct buf *b, const char *s)
{
	buf_append(b, bytes_str(s));
}

void buf_append_u8(struct buf *b, uint8_t v)
{
	buf_append(b, bytes_of(&v, 1));
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	uint8_t *at = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1); /* + 1: vsnprintf writes a NUL that is not kept */
	if (at) {
		vsnprintf((char *)at, (size_t)n + 1, fmt, again);
		b->end += (size_t)n;
	} else {
		b->bad = true;
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
	size_t len = buf_len(b);

	b->at += n < len ? n : len;
	if (b->at == b->end)
		b->at = b->end = 0;
}

void buf_clear(struct buf *b)
{
	b->at = b->end = 0;
	b->bad = false;
}

void buf_release(struct buf *b)
{
	if (buf_len(b))
		return;
	free(b->p);
	*b = (struct buf){ .max = b->max, .bad = b->bad };
}
