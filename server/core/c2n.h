/* c2n: asks a node's client something over its own map stream (protocol/control.md 4.11): an HTTP request travels in a
 * PingRequest, and the client posts its HTTP answer over Noise, on any connection of its machine. For server/core only.
 *
 *	c2n_ask(c, n, &(struct c2n_request){ .path = "/echo", .timeout_ms = 1500, .done = on_echo, .arg = … })
 *
 * done is called exactly once unless the core is freed before: in the event of the answer, or of the time limit (ERR_TIMEOUT).
 * It may change rows like any handler. The node may be gone by then (n NULL), or have another session. Nothing is kept over a
 * restart. Clients do not answer twice, and only for what they know: 400 "unknown c2n path" is an answer too. */
#pragma once

#include "common/base/bytes.h"

struct core;
struct node;

enum {
	C2N_MAX = 4096,	     /* requests that wait for an answer, in all */
	C2N_PER_NODE = 8,    /* … of one node */
	C2N_PATH_MAX = 512,
	C2N_BODY_MAX = 64 * 1024, /* of a request */
	C2N_TIMEOUT_MAX_MS = 60000,
};

struct c2n_answer {
	err e;		   /* OK, or ERR_TIMEOUT: nothing came; ERR_MALFORMED: it was no HTTP */
	unsigned status;   /* 200, … */
	struct bytes body; /* borrowed for the call */
	int64_t took_ms;
};
typedef void c2n_done(struct core *c, struct node *n, void *ctx, int64_t arg, const struct c2n_answer *a);

struct c2n_request {
	const char *method; /* NULL: GET */
	const char *path;   /* with query */
	struct bytes body;
	int64_t timeout_ms;
	c2n_done *done;
	void *ctx;   /* lives as long as the core, or until done */
	int64_t arg; /* whatever the asker wants back */
};

/* ERR_STATE: the node has no stream that a message can go to now. ERR_TOO_BIG: too many wait, or the request is too long.
 * On an error done is not called. */
MUST_USE err c2n_ask(struct core *c, struct node *n, const struct c2n_request *r);
