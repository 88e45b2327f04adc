#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/map/map.h"

void slots_done(struct slots *s)
{
	free(s->w);
	*s = (struct slots){ 0 };
}

bool slots_has(const struct slots *s, uint32_t slot)
{
	return slot / 64 < s->n && (s->w[slot / 64] >> (slot % 64) & 1);
}

err slots_add(struct slots *s, size_t word, uint64_t bits)
{
	if (!bits)
		return OK;
	if (word >= s->n) {
		size_t n = word + 1 > 2 * s->n ? word + 1 : 2 * s->n;
		uint64_t *grown = reallocarray(s->w, n, sizeof *grown);

		if (!grown)
			return ERR_NOMEM;
		memset(grown + s->n, 0, (n - s->n) * sizeof *grown);
		s->w = grown;
		s->n = n;
	}
	s->w[word] |= bits;
	return OK;
}

err slots_set(struct slots *s, uint32_t slot)
{
	return slots_add(s, slot / 64, UINT64_C(1) << (slot % 64));
}

void slots_clear(struct slots *s, uint32_t slot)
{
	if (slot / 64 < s->n)
		s->w[slot / 64] &= ~((uint64_t)1 << (slot % 64));
}
