/* rpc: a request of a node (method, path, body inside Noise and HTTP/2) becomes an event for the core, or a refusal.
 *
 * Pure: no sockets, no session. The routes are those of protocol/control.md 4; whether a node key belongs to the machine
 * is for the core to check, on each of them (trap T40). Bodies may come with any method, also GET (trap T6). */
#pragma once

#include "server/core/event.h"

enum {
	RPC_BODY_MAX = TAILCFG_BODY_MAX,
	RPC_PATH_MAX = 1024,
};

enum rpc_kind {
	RPC_CALL,   /* event waits for a call: EV_REGISTER, EV_MAP_LITE, EV_NODE_REQUEST */
	RPC_STREAM, /* event wants a sink: EV_MAP_STREAM, EV_MAP_ONCE */
	RPC_REFUSE, /* answer status and text at once */
};

struct rpc {
	enum rpc_kind kind;
	struct event *event; /* owned; RPC_CALL and RPC_STREAM */
	bool zstd;	     /* RPC_STREAM */
	int status;	     /* RPC_REFUSE */
	char text[400];	     /* with status 200: JSON */
};

/* Bodies and paths are copied. Never fails: what is wrong is told by kind. */
void rpc_decode(struct bytes method, struct bytes path, struct bytes body, const struct machine_pub *machine,
	struct addr remote, struct rpc *out);
