#include "client/wg/limiter.h"

#include "common/base/map.h"

enum { COST_MS = 1000 / WG_LIMIT_PER_SECOND };

bool wg_limiter_take(struct wg_limiter *l, const struct wg_from *from, int64_t now_ms)
{
	struct addr key = addr_limit_key(from->addr.addr);
	uint64_t h =
		from->addr.addr.family ? map_hash(&key, sizeof key) : map_hash(from->relayed.b, sizeof from->relayed.b);
	struct wg_bucket *b = &l->slot[h % WG_LIMIT_SLOTS];
	int64_t full = b->full_ms > now_ms ? b->full_ms : now_ms;

	if (full + COST_MS > now_ms + WG_LIMIT_BURST * COST_MS)
		return false;
	b->full_ms = full + COST_MS;
	return true;
}
