/* status: what an operator may ask a relay that stands alone: counters for Prometheus and as JSON, and who is connected.
 * Over HTTP for those near it, over a socket file for `fairlead-derp status`. */
#pragma once

#include <stdio.h>

#include "common/http/http1.h"
#include "derp/relay.h"
#include "derp/stun_server.h"
#include "derp/traffic.h"

enum { STATUS_CLIENTS_MAX = 10000, STATUS_OUT_MAX = 4 << 20 };

struct status_ctx {
	struct relay *relay;
	const struct stun_stats *stun; /* NULL: none */
	int64_t started_ms;	       /* monotonic */
	struct traffic *traffic;       /* NULL: not told */
	const char *map;	       /* the relay's entry for a DERP map, JSON; NULL: not ready */
};

/* Answers /debug/, /debug/derp-map, /debug/traffic, /debug/vars (JSON), /debug/varz and /metrics (Prometheus), /debug/clients (JSON; waits for the relay's threads,
 * so not on one of them: workers NULL there, and it is refused). False: another path. local: the request came over the socket
 * file; otherwise only loopback and tailnet addresses are answered, and nothing that a proxy forwarded (protocol/derp.md 2.5);
 * others get 403. */
bool status_answer(const struct status_ctx *s, const struct http1_request *r, struct addr from, bool local, struct buf *out);

/* `fairlead-derp status`: asks the relay that has its state in state_dir, prints a table or JSON. rates: what goes through each
 * connection in a second, which it waits for. An exit status. */
int status_run(const char *state_dir, bool json, bool rates, FILE *out, FILE *errors);
/* Where its socket file is. Owned; NULL: out of memory. */
char *status_socket_path(const char *state_dir);
