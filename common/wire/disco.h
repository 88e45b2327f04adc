/* disco: the messages by which clients find direct paths, and the envelope they travel in.
 *
 * A packet is magic 6, sender's disco key 32, then nonce and box (common/crypto/box.h, disco private to disco public).
 * Envelope and message are parsed apart: between the two the caller looks the sender up and opens the box. Nothing that
 * does not open is ever answered. Integers big-endian, addresses as in ip16.h.
 * Facts: protocol/disco.md 2 and 3 (tailscale@de9ec7ee2 disco/disco.go, wgengine/magicsock/magicsock.go). */
#pragma once

#include "common/base/bytes.h"
#include "common/base/writer.h"
#include "common/crypto/box.h"
#include "common/crypto/keys.h"
#include "common/net/addr.h"

enum {
	DISCO_MAGIC_LEN = 6,
	DISCO_ENVELOPE_LEN = DISCO_MAGIC_LEN + 32,                  /* before nonce and box */
	DISCO_OVERHEAD = DISCO_ENVELOPE_LEN + BOX_OVERHEAD,         /* a packet is this much longer than its message */
	DISCO_PING_LEN = DISCO_OVERHEAD + 2 + 12 + 32,              /* the usual Ping, 124 bytes */
	DISCO_ENDPOINTS_MAX = 100,                                  /* kept of one message; the rest is ignored */
	DISCO_MESSAGE_MAX = 2 + 4 + 124 + 18 * DISCO_ENDPOINTS_MAX, /* of a message without padding */
};

/* A client's test on a datagram that is neither STUN nor Geneve. */
bool disco_looks_like(struct bytes packet);
/* A DERP server's stricter test: room for a nonce, too. */
bool disco_looks_like_on_derp(struct bytes packet);

struct disco_envelope {
	struct disco_pub sender; /* claimed until the box opens */
	struct bytes sealed;     /* nonce || box, borrowed */
};
/* ERR_MALFORMED: not disco, or too short for any message: drop. */
MUST_USE err disco_parse_envelope(struct bytes packet, struct disco_envelope *out);
/* Magic and sender. box_seal's output (message + BOX_OVERHEAD bytes) must follow. */
void disco_write_envelope(struct writer *w, const struct disco_pub *sender);

enum disco_type {
	DISCO_PING = 1,
	DISCO_PONG = 2,
	DISCO_CALL_ME_MAYBE = 3,
	DISCO_BIND = 4, /* BindUDPRelayEndpoint */
	DISCO_BIND_CHALLENGE = 5,
	DISCO_BIND_ANSWER = 6,
	DISCO_CALL_ME_MAYBE_VIA = 7,
	DISCO_ALLOCATE_REQUEST = 8, /* AllocateUDPRelayEndpointRequest */
	DISCO_ALLOCATE_RESPONSE = 9,
};

struct disco_txid {
	uint8_t b[12];
};
struct disco_ping {
	struct disco_txid txid;
	bool has_node_key; /* clients before 1.16 leave it out */
	struct node_pub node_key;
	size_t padding; /* zero bytes after it, for probing the path's MTU */
};
struct disco_pong {
	struct disco_txid txid;
	struct addrport src; /* as the Ping's receiver saw it; over DERP 127.3.3.40:<region> */
};
struct disco_endpoints {
	size_t n;
	struct addrport at[DISCO_ENDPOINTS_MAX];
};
struct disco_bind { /* the three Bind messages */
	uint32_t vni, generation;
	struct disco_pub remote; /* the other client */
	uint8_t challenge[32];   /* zero in DISCO_BIND */
};
struct disco_relay { /* a relay endpoint; its addresses are in message.endpoints */
	struct disco_pub server;
	struct disco_pub client[2]; /* ascending */
	uint64_t lamport_id;
	uint32_t vni;
	uint64_t bind_lifetime_ns, steady_lifetime_ns;
};
struct disco_allocate {
	struct disco_pub client[2];
	uint32_t generation;
};

struct disco_message {
	enum disco_type type;
	uint8_t version;
	union {
		struct disco_ping ping;
		struct disco_pong pong;
		struct disco_bind bind;         /* DISCO_BIND, _CHALLENGE, _ANSWER */
		struct disco_allocate allocate; /* DISCO_ALLOCATE_REQUEST */
		struct {                        /* DISCO_CALL_ME_MAYBE_VIA, DISCO_ALLOCATE_RESPONSE */
			uint32_t generation;    /* of the response only */
			struct disco_relay relay;
		};
	};
	struct disco_endpoints endpoints; /* DISCO_CALL_ME_MAYBE and those with a relay */
};

/* The opened text. ERR_UNSUPPORTED: a type of the future. ERR_MALFORMED: too short. Both: drop in silence. */
MUST_USE err disco_parse_message(struct bytes plain, struct disco_message *out);
/* Version 0. w->bad: no room. */
void disco_write_message(struct writer *w, const struct disco_message *m);
