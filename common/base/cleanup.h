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
#define MIN_OF(a, b)                                                                                                   \
	({                                                                                                             \
		__typeof__(a) a_ = (a);                                                                                \
		__typeof__(b) b_ = (b);                                                                                \
		a_ < b_ ? a_ : b_;                                                                                     \
	})
#define MAX_OF(a, b)                                                                                                   \
	({                                                                                                             \
		__typeof__(a) a_ = (a);                                                                                \
		__typeof__(b) b_ = (b);                                                                                \
		a_ > b_ ? a_ : b_;                                                                                     \
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
