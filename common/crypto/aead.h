/* aead: ChaCha20-Poly1305 (RFC 8439) and XChaCha20-Poly1305. The caller owns the nonces and never uses one twice.
 *
 * Below AEAD_BULK bytes libsodium is faster, from there on OpenSSL; both give the same bytes. One-shot calls share one
 * OpenSSL context a thread, so a session costs no more than its key. Where one key moves a lot (a WireGuard keypair),
 * struct aead_key keeps a context with the key set up.
 *
 * In and out may be the same memory or not overlap at all. Messages are at most AEAD_MAX bytes. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/secret.h"

enum {
	AEAD_NONCE_LEN = 12,
	XAEAD_NONCE_LEN = 24,
	AEAD_TAG_LEN = 16,
	AEAD_BULK = 256,    /* bytes from which OpenSSL takes over */
	AEAD_MAX = 1 << 30, /* bytes of one message; more is ERR_TOO_BIG */
};

/* Writes plain.n + 16 bytes to out. ERR_SYS: the library failed (never seen); what is in out is worthless. */
MUST_USE err aead_seal(const struct secret32 *key, const uint8_t nonce[AEAD_NONCE_LEN], struct bytes aad,
	struct bytes plain, uint8_t *out);
/* Writes sealed.n - 16 bytes to out. ERR_AUTH: wrong key, nonce, aad or bytes, or shorter than a tag; out is zeroed or
 * as it was, never unauthenticated plaintext. */
MUST_USE err aead_open(const struct secret32 *key, const uint8_t nonce[AEAD_NONCE_LEN], struct bytes aad,
	struct bytes sealed, uint8_t *out);

/* The same with 24-byte nonces, which may be random (WireGuard cookies). */
MUST_USE err xaead_seal(const struct secret32 *key, const uint8_t nonce[XAEAD_NONCE_LEN], struct bytes aad,
	struct bytes plain, uint8_t *out);
MUST_USE err xaead_open(const struct secret32 *key, const uint8_t nonce[XAEAD_NONCE_LEN], struct bytes aad,
	struct bytes sealed, uint8_t *out);

/* A key for one direction with its context; used by one thread at a time. */
struct aead_key;
enum aead_dir { AEAD_SEAL, AEAD_OPEN };

MUST_USE err aead_key_new(const struct secret32 *key, enum aead_dir dir, struct aead_key **out);
void aead_key_free(struct aead_key *k);
static inline void aead_key_freep(struct aead_key **k)
{
	aead_key_free(*k);
}

/* As aead_seal and aead_open. Calling the other direction's function is a bug of the caller. */
MUST_USE err aead_key_seal(
	struct aead_key *k, const uint8_t nonce[AEAD_NONCE_LEN], struct bytes aad, struct bytes plain, uint8_t *out);
MUST_USE err aead_key_open(
	struct aead_key *k, const uint8_t nonce[AEAD_NONCE_LEN], struct bytes aad, struct bytes sealed, uint8_t *out);
