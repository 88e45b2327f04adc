/* replay: which counters of a session were seen. A ring of bits: 8128 behind the newest are still told apart, which
 * batches that are opened out of order need. Asked only for messages that authenticated.
 *
 * Facts: protocol/wireguard.md 3 (wireguard-go@f333402b replay/replay.go). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	WG_REPLAY_WORDS = 128,
	WG_REPLAY_WINDOW = (WG_REPLAY_WORDS - 1) * 64,
};

/* Zero-initialised. */
struct wg_replay {
	uint64_t newest; /* + 1; 0: none yet */
	uint64_t bits[WG_REPLAY_WORDS];
};

/* True: new, and from now on seen. False: seen before or too old. counter < 2^64 - 1. */
bool wg_replay_accept(struct wg_replay *r, uint64_t counter);
