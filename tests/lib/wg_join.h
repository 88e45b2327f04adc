/* wg_join: WireGuard engines joined in memory by a network that delays, loses, repeats and reorders, on a stepped
 * clock. */
#pragma once

#include "client/wg/wg.h"
#include "tests/lib/test.h"

enum { WG_JOIN_MAX = 4 };

struct wg_flight;

struct wg_join {
	size_t n;
	struct wg_end {
		struct wg *wg;
		struct node_key key;
		struct wg_peer *peer[WG_JOIN_MAX];
		struct addr addr;     /* inside the tunnel: 100.64.0.<i + 1> */
		unsigned got;         /* packets delivered */
		unsigned up, gave_up; /* events */
		uint8_t last[1600];   /* the last packet delivered */
		size_t last_n;
		struct wg_peer *last_peer;
	} end[WG_JOIN_MAX];
	int64_t now_ms;
	struct test_rng rng;
	unsigned delay_ms, jitter_ms, loss_pct, repeat_pct;
	/* Asked for each message before it leaves; false: it is lost. NULL: none is. */
	bool (*on_wire)(struct wg_join *j, size_t from, size_t to, struct bytes m);
	void *ctx;
	unsigned sent[5]; /* messages by type */
	struct wg_flight *flying;
};

/* n engines, each a peer of all others. */
void wg_join_init(struct wg_join *j, size_t n, uint64_t seed);
void wg_join_done(struct wg_join *j);
/* Replaces an engine by a new one with the same key: it restarted. */
void wg_join_restart(struct wg_join *j, size_t i, int64_t wall_ms, struct wg_timestamp after);
/* An IPv4 packet of n bytes (≥ 20) from i's address to k's. Returns what wg_seal returned. */
bool wg_join_send(struct wg_join *j, size_t i, size_t k, size_t n);
void wg_join_send_raw(struct wg_join *j, size_t i, size_t k, struct bytes packet);
/* Puts a datagram on the wire to k as if i had sent it. */
void wg_join_inject(struct wg_join *j, size_t i, size_t k, struct bytes m);
/* Moves and ticks until now_ms + ms. */
void wg_join_run(struct wg_join *j, int64_t ms);
struct wg_from wg_join_from(size_t i);
