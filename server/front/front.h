/* front: every TCP connection of the server, from accept to the protocol that it speaks.
 *
 * Wire threads (wire.h) accept, read a PROXY protocol header where one is due, terminate TLS, parse one strict, bounded
 * request head (conn.h) and then hand the connection on: /ts2021 to server/ts2021, /derp to derp/, everything else through
 * a socketpair to libmicrohttpd (http_pair.h), which sees only bytes that the front has accepted. Knows the real client
 * address (PROXY protocol, trusted proxies' X-Forwarded-For). Over a limit a newcomer is shed (limits.h). */
#pragma once

#include "common/crypto/keys.h"
#include "common/net/addr.h"
#include "common/net/tls.h"
#include "server/front/limits.h"

struct core_runner;
struct front;
struct relay;

struct front_listener {
	struct addrport at;
	struct tls_ctx *tls; /* borrowed; NULL: plain */
};

/* Borrowed until front_stop returned. */
struct front_opts {
	unsigned wires;
	const struct front_listener *listeners;
	size_t n_listeners;
	const struct prefix *trusted_proxies, *proxy_protocol;
	size_t n_trusted_proxies, n_proxy_protocol;
	struct limits *limits;
	struct core_runner *core;
	const struct machine_key *noise;
	struct relay *relay; /* NULL: no relay here */
	/* Takes fd (also on an error) with requests of this client on it. Any thread. */
	err (*add_http)(void *ctx, int fd, struct addrport client);
	void *http_ctx;
};

/* Opens all listeners, then starts the threads. why: one sentence (which address, what is wrong). */
MUST_USE err front_start(const struct front_opts *o, char *why, size_t why_cap, struct front **out);
/* Stops accepting, ends sessions politely, waits at most wait_ms, closes the rest, ends the threads. NULL is fine. */
void front_stop(struct front *f, int64_t wait_ms);
/* After front_stop, and after everyone who may still post to a wire (the core, the API) has stopped. NULL is fine. */
void front_free(struct front *f);

struct front_stats {
	uint64_t accepted, bad_heads, http_requests, ts2021, ts2021_refused, derp;
	int64_t ts2021_open;
};
void front_stats(struct front *f, struct front_stats *out); /* any thread */
