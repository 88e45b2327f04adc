/* stun: the one exchange that Tailscale uses: binding request, binding success.
 *
 * The server's parser is strict (SOFTWARE "tailnode" and a right FINGERPRINT): what it refuses gets no answer, so the
 * port is uninteresting as a reflector. Integers big-endian. Facts: protocol/stun.md 1 to 4 (tailscale@de9ec7ee2
 * net/stun/stun.go). */
#pragma once

#include "common/base/bytes.h"
#include "common/net/addr.h"

enum {
	STUN_REQUEST_LEN = 40,
	STUN_RESPONSE_MAX = 44, /* 32 for IPv4 */
};

struct stun_txid {
	uint8_t b[12];
};

/* The header's cookie and top bits; does not look at the type. */
bool stun_looks_like(struct bytes packet);

void stun_write_request(uint8_t out[STUN_REQUEST_LEN], const struct stun_txid *txid);
/* Server side. ERR_MALFORMED: drop it without an answer. The header's length field is not looked at, as upstream. */
MUST_USE err stun_parse_request(struct bytes packet, struct stun_txid *out);

/* Returns the length: 32 or 44. src has a family; a mapped IPv4 address must have been unmapped. */
size_t stun_write_response(uint8_t out[STUN_RESPONSE_MAX], const struct stun_txid *txid, struct addrport src);
/* Client side; the address comes out unmapped, matching the txid is the caller's. ERR_MALFORMED: not a usable answer.
 */
MUST_USE err stun_parse_response(struct bytes packet, struct stun_txid *txid, struct addrport *mapped);
