#include "server/suggest.h"

#include <string.h>

#include "common/base/cleanup.h"

enum { NAME_MAX_LEN = 64 }; /* longer ones are not compared */

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = MIN_OF(a, b);

	return MIN_OF(least, c);
}

/* Edits (insert, drop, replace, swap neighbours) that turn a into b. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t row[3][NAME_MAX_LEN + 1];

	for (size_t j = 0; j <= nb; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t *now = row[i % 3], *before = row[(i + 2) % 3], *older = row[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			now[j] = min3(before[j] + 1, now[j - 1] + 1, before[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = MIN_OF(now[j], older[j - 2] + 1);
		}
	}
	return row[na % 3][nb];
}

struct suggest suggest_begin(const char *wrong)
{
	return (struct suggest){ .wrong = wrong };
}

void suggest_offer(struct suggest *s, const char *name)
{
	size_t na = strlen(s->wrong), nb = strlen(name);

	if (na > NAME_MAX_LEN || nb > NAME_MAX_LEN)
		return;
	size_t d = distance(s->wrong, na, name, nb);
	size_t most = MAX_OF(na, nb) / 3 + 1; /* a short word must be nearly right */
	if (d <= most && d < nb && (!s->best || d < s->distance)) {
		s->best = name;
		s->distance = d;
	}
}
