/* relay_list: who is connected to a relay, with what each has sent and got; for an operator's eyes. */
#pragma once

#include "derp/relay.h"

struct relay_row {
	struct node_pub key;
	struct addrport addr;
	int64_t age_ms;
	uint64_t bytes_in, bytes_out, packets_out, dropped; /* since it connected; dropped: on its way to it */
	uint32_t queued; /* packets that wait for it now */
	bool home, mesh, websocket, watching, blocked;
};

enum { RELAY_LIST_MS = 200 };

/* Asks every worker and waits for their answers, RELAY_LIST_MS at most: for a thread that serves no clients. Rows are
 * owned (free), at most max of them; *total counts them all. ERR_BUSY: a worker did not answer in time. */
MUST_USE err relay_list(struct relay *r, size_t max, struct relay_row **rows, size_t *n, size_t *total);
