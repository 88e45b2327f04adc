/* cleanup: resources that release themselves, so that every exit is a plain return. */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define TRY(e)                                                                                                         \
	do {                                                                                                           \
		err e_ = (e);                                                                                          \
		if (e_ != OK)                                                                                          \
			return e_;                                                                                     \
	} while (0)
#define MOVE(p)                                                                                                        \
	({                                                                                                             \
		__typeof__(p) p_ = (p);                                                                                \
		(p) = NULL;                                                                                            \
		p_;                                                                                                    \
	})

#define ARRAY_LEN(a)	       (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)(void *)((char *)(void *)(p) - offsetof(type, member)))
/* Each argument is looked at once; they nest (the counter keeps inner names apart from outer ones). */
#define MIN_OF(a, b) LESSER_(a, b, __COUNTER__)
#define MAX_OF(a, b) GREATER_(a, b, __COUNTER__)
#define LESSER_(a, b, n)  PICK_(a, b, <, n)
#define GREATER_(a, b, n) PICK_(a, b, >, n)
#define PICK_(a, b, op, n)                                                                                             \
	({                                                                                                             \
		__typeof__(a) a_##n = (a);                                                                             \
		__typeof__(b) b_##n = (b);                                                                             \
		a_##n op b_##n ? a_##n : b_##n;                                                                        \
	})

/* CLEANUP(freep) char *s = ...; */
static inline void freep(void *pp)
{
	void **p = pp;

	free(*p);
	*p = NULL;
}

/* CLEANUP(closep) int fd = -1; */
static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
