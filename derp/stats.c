#include "derp/stats.h"

void stats_sum(const struct stats_cells *cells, struct relay_stats *out)
{
#define FIELD(name, text) out->name += atomic_load_explicit(&cells->name, memory_order_relaxed);
	RELAY_STATS(FIELD, FIELD)
#undef FIELD
}

void stats_each(const struct relay_stats *s, void (*each)(void *ctx, const char *name, uint64_t value, int is_gauge),
	void *ctx)
{
#define COUNTER(name, text) each(ctx, text, s->name, 0);
#define GAUGE(name, text)   each(ctx, text, s->name, 1);
	RELAY_STATS(COUNTER, GAUGE)
#undef COUNTER
#undef GAUGE
}
