#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/state.h"

/* When a node came and went: NODE_PRESENCE_MAX times in its row, written lazily with was_online. Times alternate between coming and
 * going, and what follows the last one is was_online; so two neighbours can be left out, and what remains is still true: first
 * those older than NODE_PRESENCE_S, and of a node that flaps the two that lie closest together. */

static uint32_t time_at(const struct node_row *r, size_t i)
{
	const uint8_t *p = r->presence + 4 * i;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void drop_pair(struct node_row *r, size_t i)
{
	memmove(r->presence + 4 * i, r->presence + 4 * (i + 2), r->n_presence - 4 * (i + 2));
	r->n_presence -= 8;
}

static size_t closest_pair(const struct node_row *r)
{
	size_t n = r->n_presence / 4, best = 0;

	for (size_t i = 1; i + 1 < n; i++)
		if (time_at(r, i + 1) - time_at(r, i) < time_at(r, best + 1) - time_at(r, best))
			best = i;
	return best;
}

void history_note(struct core *c, struct node *n, int64_t wall_ms)
{
	struct node_row *r = &n->row;
	uint32_t now = wall_ms < 0 ? 0 : (uint32_t)MIN_OF(wall_ms / 1000, (int64_t)UINT32_MAX);
	int64_t oldest = c->now.wall_ms / 1000 - NODE_PRESENCE_S;

	if (r->n_presence && now < time_at(r, r->n_presence / 4 - 1))
		now = time_at(r, r->n_presence / 4 - 1); /* the clock was set back, or a restart lies between */
	/* One of the old ones stays: it says how the days began. */
	while (r->n_presence >= 8 && time_at(r, 1) < oldest) {
		memmove(r->presence, r->presence + 4, r->n_presence - 4);
		r->n_presence -= 4;
	}
	if (r->n_presence == 4 * NODE_PRESENCE_MAX)
		drop_pair(r, closest_pair(r));
	uint8_t *more = realloc(r->presence, r->n_presence + 4);
	if (!more) {
		/* Without this time those before would mean the opposite. */
		r->n_presence = 0;
		return;
	}
	r->presence = more;
	for (int i = 0; i < 4; i++)
		more[r->n_presence++] = (uint8_t)(now >> (24 - 8 * i));
	node_info_stale(n);
}
