/* limiter: how many handshakes an address may start while we are under load: 20 a second, 5 at once. A fixed table that
 * is found by a keyed hash: addresses that meet in one place share its allowance, and none makes us keep more.
 *
 * IPv6 counts by /64. Facts: protocol/wireguard.md 2 (wireguard-go@f333402b ratelimiter/ratelimiter.go). */
#pragma once

#include "client/wg/cookie.h"

enum {
	WG_LIMIT_SLOTS = 1024,
	WG_LIMIT_PER_SECOND = 20,
	WG_LIMIT_BURST = 5,
};

struct wg_limiter {
	struct wg_bucket {
		int64_t full_ms; /* when the bucket will be full again */
	} slot[WG_LIMIT_SLOTS];
};

/* Takes one from the allowance of this source; false: none is left. */
bool wg_limiter_take(struct wg_limiter *l, const struct wg_from *from, int64_t now_ms);
