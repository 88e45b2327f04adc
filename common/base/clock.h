/* clock: the two clocks, never mixed. Engines take the time as an argument; only loops and mains call these. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"

int64_t clock_mono_ms(void); /* for timers */
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* Unix time; stored and shown */

enum { RFC3339_MAX = 40 };

/* "2026-01-02T03:04:05Z", with ".123" when the milliseconds are not zero. Returns out. Years 1 to 9999; others clamp. */
char *time_rfc3339(int64_t wall_ms, char out[RFC3339_MAX]);

/* Any RFC 3339 time with up to nine fraction digits and an offset. Year 1 ("0001-01-01T00:00:00Z", Go's zero time)
 * gives TIME_ZERO_MS. ERR_MALFORMED otherwise. */
#define TIME_ZERO_MS (-62135596800000LL)
MUST_USE err time_parse_rfc3339(struct bytes s, int64_t *wall_ms);

/* "90", "30s", "1h30m", "90d", "1w", "1y" and Go's forms; a bare number is seconds. ERR_MALFORMED, ERR_TOO_BIG. */
MUST_USE err duration_parse(struct bytes s, int64_t *ms);
