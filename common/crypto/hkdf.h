/* hkdf: the key derivation of the Noise protocols: HKDF (RFC 5869) with HMAC-BLAKE2s, salt = chaining key, empty info.
 * Outputs may be the same objects as ck (the usual case: the first output replaces it). */
#pragma once

#include "common/base/bytes.h"
#include "common/base/secret.h"

void hmac_blake2s(struct bytes key, struct bytes in, uint8_t out[32]);

void hkdf1(const struct secret32 *ck, struct bytes ikm, struct secret32 *t1);
void hkdf2(const struct secret32 *ck, struct bytes ikm, struct secret32 *t1, struct secret32 *t2);
void hkdf3(const struct secret32 *ck, struct bytes ikm, struct secret32 *t1, struct secret32 *t2, struct secret32 *t3);
