/* arena: memory that is given back all at once. For what lives and dies with a request. Not for threads to share. */
#pragma once

#include "common/base/bytes.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunk; /* owned; newest first */
	size_t used;		   /* bytes handed out */
	size_t max;		   /* ceiling for used; 0 = none */
};

static inline struct arena arena_make(size_t max)
{
	return (struct arena){ .max = max };
}

void arena_done(struct arena *a);

/* Zeroed, aligned for any type, valid until arena_done. NULL: over the ceiling or out of memory. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_array(struct arena *a, size_t count, size_t each);

/* A copy; strings get a NUL after them. */
char *arena_str(struct arena *a, struct bytes b);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
