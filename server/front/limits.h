/* limits: how much strangers can make us hold, counted per IPv4 address or IPv6 /64 and in total. Thread-safe.
 *
 * Over a limit the newcomer is shed; those already in stay. An address from which a node registered lately is exempt from
 * the per-address limits (offices behind one NAT), never from the totals. */
#pragma once

#include "common/crypto/keys.h"
#include "common/net/addr.h"

enum limit_kind {
	LIMIT_CONNECTIONS,  /* open TCP connections */
	LIMIT_HANDSHAKES,   /* TLS, request head or Noise not finished */
	LIMIT_UNREGISTERED, /* Noise sessions of machines without a registered node */
	LIMIT_KINDS,
};

struct limit_caps {
	int64_t total, per_address;
};

enum {
	LIMITS_ADDRESSES_MAX = 200000, /* addresses remembered; at the ceiling idle ones go, then newcomers are shed */
	LIMITS_EXEMPT_MS = 24 * 3600 * 1000,
	LIMITS_REQUESTS_PER_S = 20, /* of one machine, over all its sessions */
	LIMITS_REQUESTS_BURST = 100,
	LIMITS_MACHINES_MAX = 65536, /* machines remembered, each until its burst is whole again; at the ceiling others are shed */
};

struct limits;

MUST_USE err limits_new(const struct limit_caps caps[LIMIT_KINDS], struct limits **out);
void limits_free(struct limits *l);
void limits_set(struct limits *l, const struct limit_caps caps[LIMIT_KINDS]); /* live reload; nobody is thrown out */

/* false: shed this one. Every true needs one limits_give with the same address. */
bool limits_take(struct limits *l, enum limit_kind kind, struct addr from, int64_t mono_ms);
void limits_give(struct limits *l, enum limit_kind kind, struct addr from);
void limits_exempt(struct limits *l, struct addr from, int64_t mono_ms);

/* May this machine ask once more? false: 429. Several sessions of one machine share what it has, also one after the other. */
bool limits_request(struct limits *l, const struct machine_pub *machine, int64_t mono_ms);

struct limits_stats {
	int64_t now[LIMIT_KINDS];
	uint64_t shed[LIMIT_KINDS];
};
void limits_stats(struct limits *l, struct limits_stats *out);
