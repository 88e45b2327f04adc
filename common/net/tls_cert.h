/* tls_cert: certificates and keys as OpenSSL objects: reading PEM, hashing, making self-signed ones. For tls.c. */
#pragma once


#include "common/base/bytes.h"
#include "common/base/openssl.h"

enum {
	TLS_PEM_FILE_MAX = 256 * 1024,
	TLS_CHAIN_MAX = 16, /* certificates after the leaf */
};

/* A certificate with what must be sent after it, and its key. */
struct tls_pair {
	X509 *leaf;
	STACK_OF(X509) *chain; /* may be empty */
	EVP_PKEY *key;
};

/* False: no such thing in the text. Encrypted keys are refused: nobody is there to type a password. */
bool tls_pair_read_cert(struct tls_pair *p, struct bytes pem);
bool tls_pair_read_key(struct tls_pair *p, struct bytes pem);
void tls_pair_done(struct tls_pair *p);

/* The whole file, owned, given back by tls_free_file (which wipes it). ERR_SYS: see errno; ERR_TOO_BIG. */
MUST_USE err tls_read_file(const char *path, struct bytes *out);
void tls_free_file(struct bytes b);

/* Lower-case hex SHA-256 of the whole DER. */
void tls_cert_sha256(X509 *x, char out[65]);
/* Its CommonName starts with "derpkey" (protocol/derp.md 3.2). */
bool tls_cert_is_metacert(X509 *x);
