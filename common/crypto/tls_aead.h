/* tls_aead: the AEADs of TLS 1.3 for one direction of a stream, with a key that stays and nonces from the caller, who never uses
 * one twice.
 *
 * AES-GCM is Intel's IPsec Multi-Buffer library where the build found it and the processor has AES and carry-less multiplication:
 * 215 bytes take 36 to 75 ns where EVP takes 257, 16 KiB 1.4 us instead of 4.4 (docs/performance.md). Elsewhere, and for
 * ChaCha20-Poly1305, it is OpenSSL's. Both make the same bytes (test_tls_aead.c). */
#pragma once

#include "common/base/bytes.h"

enum { TLS_AEAD_NONCE_LEN = 12, TLS_AEAD_TAG_LEN = 16 };
enum tls_aead_kind { TLS_AEAD_AES128, TLS_AEAD_AES256, TLS_AEAD_CHACHA };
enum tls_aead_dir { TLS_AEAD_SEAL, TLS_AEAD_OPEN };

struct tls_aead; /* used by one thread at a time */

/* Looks up what there is, which the first key does otherwise: for a server's start. */
void tls_aead_prepare(void);
size_t tls_aead_key_len(enum tls_aead_kind kind);
/* key: tls_aead_key_len bytes, copied. ERR_UNSUPPORTED: OpenSSL has no such cipher here. */
MUST_USE err tls_aead_new(enum tls_aead_kind kind, enum tls_aead_dir dir, const uint8_t *key, struct tls_aead **out);
/* The same, by OpenSSL whatever there is: for tests that compare. */
MUST_USE err tls_aead_new_openssl(enum tls_aead_kind kind, enum tls_aead_dir dir, const uint8_t *key, struct tls_aead **out);
MUST_USE err tls_aead_rekey(struct tls_aead *a, const uint8_t *key); /* of the same kind */
void tls_aead_free(struct tls_aead *a); /* wipes the key; NULL is fine */

/* Seals first and then last, as one message: last is what a caller would have to copy first for (a record's type). Writes
 * first.n + last.n + TLS_AEAD_TAG_LEN bytes to out, which overlaps neither. ERR_SYS: the library failed (never seen). */
MUST_USE err tls_aead_seal(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE_LEN], struct bytes aad, struct bytes first,
	struct bytes last, uint8_t *out);
/* Writes sealed.n - TLS_AEAD_TAG_LEN bytes to out, which does not overlap it. ERR_AUTH: wrong key, nonce, aad or bytes, or
 * shorter than a tag; what is in out is worthless then. */
MUST_USE err tls_aead_open(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE_LEN], struct bytes aad, struct bytes sealed,
	uint8_t *out);
