#include "server/api/rate.h"

#include <stdlib.h>
#include <string.h>

struct bucket {
	char name[RATE_NAME_LEN];
	double left;
	int64_t at_ms;
};

void rate_init(struct rate *r, double per_s, double burst)
{
	r->buckets = MAP_OF(struct bucket, name);
	r->per_s = per_s;
	r->burst = burst;
}

void rate_done(struct rate *r)
{
	size_t at = 0;

	for (struct bucket *b; (b = map_next(&r->buckets, &at));)
		free(b);
	map_done(&r->buckets);
}

static void fill(const struct rate *r, struct bucket *b, int64_t now)
{
	if (now > b->at_ms)
		b->left += (double)(now - b->at_ms) * r->per_s / 1000;
	if (b->left > r->burst)
		b->left = r->burst;
	b->at_ms = now;
}

static void sweep(struct rate *r, int64_t now)
{
	size_t at = 0;

	for (struct bucket *b; (b = map_next(&r->buckets, &at));) {
		fill(r, b, now);
		if (b->left < r->burst)
			continue;
		map_del(&r->buckets, b->name);
		free(b);
	}
}

static struct bucket *find(struct rate *r, const char name[RATE_NAME_LEN], int64_t now, bool make)
{
	struct bucket *b = map_get(&r->buckets, name);

	if (b) {
		fill(r, b, now);
		return b;
	}
	if (!make)
		return NULL;
	if (r->buckets.n >= RATE_BUCKETS_MAX)
		sweep(r, now);
	if (r->buckets.n >= RATE_BUCKETS_MAX)
		return NULL;
	b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	memcpy(b->name, name, RATE_NAME_LEN);
	b->left = r->burst;
	b->at_ms = now;
	if (map_put(&r->buckets, b) != OK) {
		free(b);
		return NULL;
	}
	return b;
}

static bool is_empty(const struct rate *r, const struct bucket *b, unsigned *wait_s)
{
	if (!b || b->left >= 1)
		return false;
	*wait_s = 1 + (unsigned)((1 - b->left) / r->per_s);
	return true;
}

bool rate_has(struct rate *r, const char name[RATE_NAME_LEN], int64_t mono_ms, unsigned *wait_s)
{
	return r->per_s <= 0 || !is_empty(r, find(r, name, mono_ms, false), wait_s);
}

bool rate_take(struct rate *r, const char name[RATE_NAME_LEN], int64_t mono_ms, unsigned *wait_s)
{
	struct bucket *b = r->per_s > 0 ? find(r, name, mono_ms, true) : NULL;

	if (is_empty(r, b, wait_s))
		return false;
	if (b)
		b->left -= 1;
	return true;
}

void rate_give(struct rate *r, const char name[RATE_NAME_LEN])
{
	struct bucket *b = map_get(&r->buckets, name);

	if (b)
		b->left = b->left + 1 < r->burst ? b->left + 1 : r->burst;
}
