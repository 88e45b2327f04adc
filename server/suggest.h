/* suggest: "did you mean …?" for mistyped keys, verbs and flags. */
#pragma once

#include <stddef.h>

struct suggest {
	const char *wrong; /* borrowed, as the names offered */
	const char *best;  /* NULL until something near was offered */
	size_t distance;
};

struct suggest suggest_begin(const char *wrong);
void suggest_offer(struct suggest *s, const char *name);
