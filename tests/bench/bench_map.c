/* Full maps of 100, 1,000 and 10,000 peers: time on the core's side, cold and warm, and bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "tests/lib/map_world.h"

static struct map_msg *build(struct map_cache *c, struct map_world *w, struct map_node *viewer)
{
	struct slots told = { 0 };
	struct policy_filter f[POLICY_FILTERS_MAX];
	struct map_msg *m;
	size_t n;

	if (map_full(c, &w->t, viewer, 1767323045000, &told, f, &n, &m) != OK)
		abort();
	slots_done(&told);
	return m;
}

static void measure(size_t peers)
{
	enum { ROUNDS = 200 };
	struct map_world w;
	struct map_cache *c;
	uint8_t head[4];
	size_t zstd;

	map_world_init(&w, peers + 1, 20, "");
	for (size_t i = 0; i <= peers; i++)
		map_world_add(&w, 1 + (int64_t)(i % 20), NULL);
	if (map_cache_new(256 << 20, &c) != OK)
		abort();

	int64_t start = clock_mono_us();
	struct map_msg *m = build(c, &w, w.nodes[0]);
	int64_t cold = clock_mono_us() - start;
	size_t text = map_msg_text_len(m);

	start = clock_mono_us();
	if (map_msg_head(m, true, head, &zstd) != OK)
		abort();
	int64_t pressed = clock_mono_us() - start;
	map_msg_unref(m);

	start = clock_mono_us();
	for (size_t i = 0; i < ROUNDS; i++)
		map_msg_unref(build(c, &w, w.nodes[i % peers]));
	double warm = (double)(clock_mono_us() - start) / ROUNDS;

	m = build(c, &w, w.nodes[peers]);
	start = clock_mono_us();
	if (map_msg_head(m, true, head, &zstd) != OK)
		abort();
	int64_t own = clock_mono_us() - start;
	map_msg_unref(m);
	printf("%6zu peers: cold %6lld us, warm %7.1f us; compress all %6lld us, own part %5lld us; %8zu bytes, zstd %7zu\n", peers,
	       (long long)cold, warm, (long long)pressed, (long long)own, text, zstd);
	map_cache_free(c);
	map_world_done(&w);
}

int main(void)
{
	measure(100);
	measure(1000);
	measure(10000);
	return 0;
}
