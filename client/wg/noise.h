/* noise: the handshake Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, both roles. No messages on a wire, no clock, no peers:
 * who is allowed and which timestamp is new enough is asked between the two halves of reading an initiation.
 *
 * Facts: protocol/wireguard.md 1; its vectors hold every chaining key. An initiation or response that does not open
 * leaves *state as it was, so a forged packet changes nothing. */
#pragma once

#include "client/wg/message.h"
#include "common/crypto/keys.h"

/* What both sides mix as they go, between messages. */
struct wg_noise {
	uint8_t h[32];
	struct secret32 ck;
};

/* Our initiation that waits for its response. */
struct wg_initiator {
	struct wg_noise noise;
	struct secret32 e;
	uint32_t index;
};

/* Their initiation that we have read. */
struct wg_responder {
	struct wg_noise noise;
	struct node_pub peer; /* who it claims and, once the timestamp opened, is proven to be */
	uint8_t ephemeral[32];
	uint32_t index; /* theirs */
};

struct wg_keys {
	struct secret32 send, recv;
};

/* TAI64N, big-endian, so that memcmp orders them. */
struct wg_timestamp {
	uint8_t b[WG_TIMESTAMP_LEN];
};

static inline void wg_initiator_wipe(struct wg_initiator *i)
{
	sodium_memzero(i, sizeof *i);
}
static inline void wg_responder_wipe(struct wg_responder *r)
{
	sodium_memzero(r, sizeof *r);
}
static inline void wg_keys_wipe(struct wg_keys *k)
{
	sodium_memzero(k, sizeof *k);
}

/* Of a wall clock, its low 24 bits cleared so that it says little about our clock (steps of 16.8 ms). */
struct wg_timestamp wg_timestamp_of(int64_t wall_ms);
/* The smallest one that is larger by a step of the whitening. */
struct wg_timestamp wg_timestamp_after(struct wg_timestamp t);
static inline bool wg_timestamp_newer(struct wg_timestamp a, struct wg_timestamp b)
{
	return memcmp(a.b, b.b, sizeof a.b) > 0;
}

/* The Diffie-Hellman of the two static keys, which is the same in every handshake of a pair. ERR_AUTH: the peer's key
 * is one of the few that give a result of all zeros. */
MUST_USE err wg_noise_static(const struct node_key *self, const struct node_pub *peer, struct secret32 *ss);

/* Initiator, first message. index: ours, for the response to name. */
MUST_USE err wg_noise_initiate(const struct node_key *self, const struct node_pub *peer, const struct secret32 *ss,
	struct wg_timestamp at, uint32_t index, struct wg_initiator *state, struct wg_initiation *out);

/* Responder, reading: first who it is from (nothing is proven yet), then the timestamp, with that peer's ss. */
MUST_USE err wg_noise_read_static(
	const struct node_key *self, const struct wg_initiation *m, struct wg_responder *state);
MUST_USE err wg_noise_read_timestamp(
	const struct wg_initiation *m, const struct secret32 *ss, struct wg_responder *state, struct wg_timestamp *at);

/* Responder, answering. index: ours. psk NULL: 32 zero bytes. */
MUST_USE err wg_noise_respond(const struct wg_responder *state, const struct secret32 *psk, uint32_t index,
	struct wg_response *out, struct wg_keys *keys);

/* Initiator, reading the answer. */
MUST_USE err wg_noise_finish(const struct wg_initiator *state, const struct node_key *self, const struct secret32 *psk,
	const struct wg_response *m, struct wg_keys *keys);
