/* cose: public keys as authenticators write them (RFC 9053), and their signatures. Pure. */
#pragma once

#include "common/base/bytes.h"

struct cose_key {
	int alg; /* enum passkey_alg */
	struct bytes x, y; /* ES256: both, 32 bytes; EdDSA: x, 32 bytes; RS256: modulus and exponent */
};

/* Takes one key off the front; *used is its length. ERR_MALFORMED; ERR_UNSUPPORTED: another algorithm, curve or size. Views are borrowed. */
MUST_USE err cose_parse(struct bytes in, struct cose_key *out, size_t *used);
/* Whether it can be a key at all: its point is on the curve. */
bool cose_is_key(const struct cose_key *k);
/* ERR_AUTH: not signed by it. */
MUST_USE err cose_verify(const struct cose_key *k, struct bytes message, struct bytes signature);
