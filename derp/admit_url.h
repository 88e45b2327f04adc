/* admit_url: asks a coordination server whether a key may use this relay, by derper's protocol: POST of
 * {"NodePublic":"nodekey:…","Source":"<client IP>"}, and {"Allow":true} lets in. Facts: protocol/derp.md 8
 * (tailscale@de9ec7ee2 tailcfg/derpmap.go); Fairlead and Headscale answer it at /verify.
 *
 * A thread of its own asks (libcurl), so that a slow server holds nobody else up; who waits is bounded. Those who were let
 * in are asked about again now and then: who is refused then is disconnected. A question that fails (no answer, no
 * connection) lets in where fail_open is set, and never disconnects. */
#pragma once

#include "derp/relay.h"

enum {
	ADMIT_URL_MS = 5000,	      /* for one question, as derper */
	ADMIT_URL_WAITING_MAX = 4096, /* questions that wait; more count as failed */
	ADMIT_URL_AT_ONCE = 64,
	ADMIT_URL_PATIENCE_MS = 4000, /* one that waited so long for its turn counts as failed: clients wait 10 s */
	ADMIT_URL_ANSWER_MAX = 4096,
};

struct admit_url;
struct admit_url_opts {
	const char *url; /* http:// or https://; borrowed for its life */
	bool fail_open;
	unsigned again_s; /* ask about those connected this often; 0: never */
};
/* ERR_INVALID: no such URL. */
MUST_USE err admit_url_new(const struct admit_url_opts *o, struct admit_url **out);
/* Starts its thread; r gets the answers. */
MUST_USE err admit_url_start(struct admit_url *u, struct relay *r);
/* For relay_opts.ask. */
enum relay_verdict admit_url_ask(struct admit_url *u, const struct node_pub *key, struct addr from, struct relay_ticket t);
void admit_url_free(struct admit_url *u); /* before the relay is freed; NULL is fine */
