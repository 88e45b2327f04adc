#include "derp/stats.h"

void stats_sum(const struct stats_cells *cells, struct relay_stats *out)
{
#define FIELD(name, text) out->name += atomic_load_explicit(&cells->name, memory_order_relaxed);
#define DROPS(name, text) FIELD(name, text) FIELD(name##_disco, text)
	RELAY_STATS(FIELD, FIELD, DROPS)
#undef FIELD
#undef DROPS
}

void stats_each(const struct relay_stats *s, void (*each)(void *ctx, const char *name, uint64_t value, int is_gauge),
	void *ctx)
{
#define COUNTER(name, text) each(ctx, text, s->name, 0);
#define GAUGE(name, text)   each(ctx, text, s->name, 1);
#define DROPS(name, text)                                                                                              \
	each(ctx, "packets_dropped{reason=\"" text "\",kind=\"disco\"}", s->name##_disco, 0);                          \
	each(ctx, "packets_dropped{reason=\"" text "\",kind=\"other\"}", s->name - s->name##_disco, 0);
	RELAY_STATS(COUNTER, GAUGE, DROPS)
#undef DROPS
#undef COUNTER
#undef GAUGE
}
