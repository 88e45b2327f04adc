/* id_token: the server as a small OpenID Connect issuer for workloads: nodes ask for a token over Noise (/machine/id-token), and
 * whoever trusts server_url checks it with what /.well-known/ shows. ES256; the key is a row of the database.
 *
 * No state but the key: all functions after id_tokens_new may be called from any thread. */
#pragma once

#include "common/base/bytes.h"

struct id_tokens;
struct store;
struct store_image;

/* Makes and stores the key when image has none. Before store_start. why: one sentence. */
MUST_USE err id_tokens_new(struct store *s, const struct store_image *image, const char *issuer, char *why, size_t why_cap,
		struct id_tokens **out);
void id_tokens_free(struct id_tokens *t);

/* The compact JWS of these claims (a JSON object); owned. NULL: out of memory, or OpenSSL refuses. */
char *id_tokens_sign(const struct id_tokens *t, const char *claims);
const char *id_tokens_configuration(const struct id_tokens *t); /* /.well-known/openid-configuration */
const char *id_tokens_jwks(const struct id_tokens *t);		 /* /.well-known/jwks.json */
