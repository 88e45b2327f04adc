#include "common/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

enum {
	CHUNK_FIRST = 512, /* much lives long in small arenas; each further chunk doubles */
	CHUNK_LAST = 4096,
	ALIGN = 16,
};

struct arena_chunk {
	struct arena_chunk *next;
	size_t at, cap;
	_Alignas(ALIGN) uint8_t data[];
};

void arena_done(struct arena *a)
{
	struct arena_chunk *c = a->chunk;

	while (c) {
		struct arena_chunk *next = c->next;

		free(c);
		c = next;
	}
	*a = arena_make(a->max);
}

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > SIZE_MAX / 4)
		return NULL;
	n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (a->max && (n > a->max || a->used > a->max - n))
		return NULL;
	if (!a->chunk || n > a->chunk->cap - a->chunk->at) {
		size_t next = !a->chunk ? CHUNK_FIRST : a->chunk->cap < CHUNK_LAST / 2 ? a->chunk->cap * 2 : CHUNK_LAST;
		size_t cap = n > CHUNK_LAST / 4 ? n : MAX_OF(n, next);
		struct arena_chunk *c = malloc(sizeof *c + cap);

		if (!c)
			return NULL;
		c->at = 0;
		c->cap = cap;
		c->next = a->chunk;
		a->chunk = c;
	}
	void *p = a->chunk->data + a->chunk->at;
	a->chunk->at += n;
	a->used += n;
	return memset(p, 0, n);
}

void *arena_array(struct arena *a, size_t count, size_t each)
{
	size_t n;

	if (__builtin_mul_overflow(count, each, &n))
		return NULL;
	return arena_alloc(a, n);
}

char *arena_str(struct arena *a, struct bytes b)
{
	char *s = arena_alloc(a, b.n + 1);

	if (s && b.n)
		memcpy(s, b.p, b.n);
	return s;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *s = NULL;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	if (n >= 0)
		s = arena_alloc(a, (size_t)n + 1);
	if (s)
		vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return s;
}
