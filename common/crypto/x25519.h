/* x25519: Diffie-Hellman on Curve25519, thin over libsodium. A result of all zeros (the peer sent a point of small
 * order, so that anyone could know it) is refused here, once, for everybody. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/secret.h"

/* A fresh private key from random_fill, clamped. */
void x25519_new(struct secret32 *key);
void x25519_public(const struct secret32 *key, uint8_t pub[32]);

/* ERR_AUTH: the result is all zero; *out is untouched. */
MUST_USE err x25519(const struct secret32 *key, const uint8_t pub[32], struct secret32 *out);
