/* rate: token buckets by name (a key, an address). One thread. Bounded: when the table is full, buckets that are full again
 * are forgotten; if none is, newcomers are let through, for those who fill it are limited already. */
#pragma once

#include "common/base/map.h"

enum { RATE_NAME_LEN = 20, RATE_BUCKETS_MAX = 16384 };

struct rate {
	struct map buckets; /* of owned struct bucket */
	double per_s, burst; /* per_s 0: no limit */
};

void rate_init(struct rate *r, double per_s, double burst);
void rate_done(struct rate *r);
/* Takes one. false: none is left; *wait_s is when there will be. */
bool rate_take(struct rate *r, const char name[RATE_NAME_LEN], int64_t mono_ms, unsigned *wait_s);
/* Gives back one that was taken. */
void rate_give(struct rate *r, const char name[RATE_NAME_LEN]);
/* Is there one? Takes none. */
bool rate_has(struct rate *r, const char name[RATE_NAME_LEN], int64_t mono_ms, unsigned *wait_s);
