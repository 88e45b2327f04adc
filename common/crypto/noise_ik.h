/* noise_ik: the handshake Noise_IK_25519_ChaChaPoly_BLAKE2s of ts2021, both sides, and the transport keys it ends in.
 *
 * Bytes in, bytes out: frame headers are common/wire/ts2021.h, streams of records common/crypto/noise_record.h. Both
 * handshake payloads are empty. A completed handshake proves the other side's machine key and nothing more: whether
 * that machine may do anything is asked a request at a time.
 * Facts: protocol/control.md 3 (tailscale@de9ec7ee2 control/controlbase/handshake.go, conn.go). */
#pragma once

#include "common/base/bytes.h"
#include "common/base/secret.h"
#include "common/crypto/keys.h"

enum {
	NOISE_INITIATION_LEN = 96, /* e 32, sealed s 32 + 16, tag of the empty payload 16; without frame header */
	NOISE_RESPONSE_LEN = 48,   /* e 32, tag of the empty payload 16 */
	NOISE_TAG_LEN = 16,
};

/* One direction each: key and the number of the next record. Plain data, 80 bytes: copy only to hand it over whole. */
struct noise_transport {
	struct secret32 send_key, recv_key;
	uint64_t send_n, recv_n; /* NOISE_COUNTER_END: used up */
};
#define NOISE_COUNTER_END UINT64_MAX /* this number is never used: control/controlbase/conn.go, type nonce */

static inline void noise_transport_wipe(struct noise_transport *t)
{
	sodium_memzero(t, sizeof *t);
}

/* What a finished handshake gives. */
struct noise_session {
	struct noise_transport transport;
	struct machine_pub peer;
	uint8_t handshake_hash[32]; /* channel binding; not on the wire */
};

static inline void noise_session_wipe(struct noise_session *s)
{
	sodium_memzero(s, sizeof *s);
}

/* Client: between the two messages. Wipe it when the handshake ends or is given up. */
struct noise_initiator {
	struct machine_key self;
	struct machine_pub server;
	struct secret32 e;
	struct secret32 ck;
	uint8_t h[32];
};

static inline void noise_initiator_wipe(struct noise_initiator *i)
{
	sodium_memzero(i, sizeof *i);
}

/* Starts a handshake with a fresh ephemeral key and writes the initiation. version is the capability version that also
 * goes into the frame header. Copies self's secret into *i. ERR_AUTH: the server's key is unusable. */
MUST_USE err noise_initiator_start(struct noise_initiator *i, uint16_t version, const struct machine_key *self,
	const struct machine_pub *server, uint8_t initiation[NOISE_INITIATION_LEN]);
/* ERR_AUTH: not from that server, or changed on the way; *i and *out are untouched. ERR_MALFORMED: wrong length. */
MUST_USE err noise_initiator_finish(const struct noise_initiator *i, struct bytes response, struct noise_session *out);

/* Server: an initiation in, the response and the session out. version is the number received in the frame header,
 * whatever it is: the prologue contains it. Whether we support it is asked afterwards.
 * ERR_AUTH: not sealed for this server; nothing was written. ERR_MALFORMED: wrong length. */
MUST_USE err noise_respond(uint16_t version, const struct machine_key *self, struct bytes initiation,
	uint8_t response[NOISE_RESPONSE_LEN], struct noise_session *out);

/* Seals n bytes in place; the tag goes to the 16 bytes after them. Takes one number of the sending direction.
 * ERR_CLOSED: the numbers are used up, close the connection. */
MUST_USE err noise_seal(struct noise_transport *t, uint8_t *p, size_t n);
/* Opens n bytes (tag included) in place: n - 16 bytes of plaintext are left at p. ERR_AUTH: forged, replayed, reordered
 * or shorter than a tag; no number was taken. ERR_CLOSED: the numbers are used up. All are fatal for the connection. */
MUST_USE err noise_open(struct noise_transport *t, uint8_t *p, size_t n);
