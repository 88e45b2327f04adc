/* flows: the UDP and SCTP conversations that we began, so that replies pass. FLOWS_SETS sets of FLOWS_WAYS; in a set the
 * one used longest ago makes room. */
#pragma once

#include "common/net/addr.h"

enum { FLOWS_SETS = 64, FLOWS_WAYS = 8 };

struct flow {
	struct addr ours, theirs;
	uint16_t our_port, their_port;
	uint8_t proto; /* 0: a free slot */
};
struct flows {
	struct flow flow[FLOWS_SETS][FLOWS_WAYS];
	uint64_t used[FLOWS_SETS][FLOWS_WAYS];
	uint64_t turn;
};

/* Zero-initialised. True: another one had to go. */
bool flows_note(struct flows *t, const struct flow *f);
bool flows_has(struct flows *t, const struct flow *f);
