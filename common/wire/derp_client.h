/* derp_client: the client's half of a DERP connection: HTTP upgrade, keys, frames. For our client, mesh links and tests.
 *
 * An engine: bytes in, events out, bytes out; no sockets, no clock, no reconnecting. The owner appends what it reads with
 * derp_client_feed, calls derp_client_next until it wants more, and writes c->out. Specification: protocol/derp.md 2.1,
 * 4, 5 and 10. */
#pragma once

#include "common/base/buf.h"
#include "common/crypto/box.h"
#include "common/crypto/keys.h"
#include "common/wire/derp_frame.h"

enum {
	DERP_CLIENT_HEAD_MAX = 8 << 10, /* the server's HTTP answer */
	DERP_CLIENT_OUT_MAX = 4 << 20,	/* what we queue for a server that does not read */
};

struct derp_client_opts {
	const struct node_key *key; /* copied; wiped by derp_client_done */
	const char *host;	    /* for the Host header; copied into the request at once */
	/* Not zero: the server's key is known from its metacert, so nothing is waited for. */
	struct node_pub server_key;
	const char *ideal_node; /* NULL: this is the region's first node */
	bool raw;		/* no HTTP at all: the caller upgraded by itself (WebSocket) */
	bool preferred;		/* this is the home region */
	struct derp_client_info info;
};

enum derp_client_event_kind {
	DERP_CLIENT_CONNECTED, /* ServerInfo opened: the region is usable */
	DERP_CLIENT_PACKET,
	DERP_CLIENT_KEEP_ALIVE,
	DERP_CLIENT_PEER_GONE,
	DERP_CLIENT_PEER_PRESENT,
	DERP_CLIENT_PONG,
	DERP_CLIENT_HEALTH, /* text is empty when the problem is gone */
	DERP_CLIENT_RESTARTING,
};

/* Views are borrowed until the next call on the client. */
struct derp_client_event {
	enum derp_client_event_kind kind;
	union {
		struct derp_server_info server_info;
		struct derp_packet packet; /* key = source */
		struct derp_peer_gone gone;
		struct derp_peer_present present;
		struct derp_ping pong;
		struct bytes health;
		struct derp_restarting restarting;
	};
};

struct derp_client {
	struct buf out; /* to be written; the owner consumes */
	struct node_pub server_key; /* known once the handshake has passed ServerKey */
	/* The rest is derp_client.c's. */
	struct buf in;
	size_t used; /* of in, by the event that was handed out last */
	enum { DERP_CLIENT_AT_HTTP, DERP_CLIENT_AT_KEY, DERP_CLIENT_AT_INFO, DERP_CLIENT_AT_OPEN } state;
	struct node_key key;
	struct box_shared shared;
	struct derp_client_info info;
	bool preferred, fast;
};

/* Queues the request, and in fast start ClientInfo with it. ERR_NOMEM, ERR_TOO_BIG, ERR_AUTH: the server's key is none. */
MUST_USE err derp_client_init(struct derp_client *c, const struct derp_client_opts *o);
void derp_client_done(struct derp_client *c);

/* ERR_TOO_BIG: the server sends more than a frame ahead of derp_client_next; ERR_NOMEM. Close then. */
MUST_USE err derp_client_feed(struct derp_client *c, struct bytes in);
/* OK: *ev. ERR_TRUNCATED: feed more. Anything else: close the connection (ERR_DENIED: the HTTP answer was no 101).
 * Pings are answered inside. */
MUST_USE err derp_client_next(struct derp_client *c, struct derp_client_event *ev);

/* ERR_STATE: not connected yet. ERR_TOO_BIG: the packet is, or too much waits in out. */
MUST_USE err derp_client_send(struct derp_client *c, const struct node_pub *dst, struct bytes packet);
MUST_USE err derp_client_ping(struct derp_client *c, const struct derp_ping *p);
/* With a mesh key in info, once connected. frame: a whole ForwardPacket. ERR_STATE, ERR_TOO_BIG as above. */
MUST_USE err derp_client_watch(struct derp_client *c);
MUST_USE err derp_client_forward(struct derp_client *c, struct bytes frame);
MUST_USE err derp_client_close_peer(struct derp_client *c, const struct node_pub *key);
MUST_USE err derp_client_note_preferred(struct derp_client *c, bool home);
