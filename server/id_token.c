#include "server/id_token.h"

#include <jwt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/text/base64.h"
#include "common/text/hex.h"
#include "common/text/jsonw.h"
#include "server/store/store.h"

enum { COORDINATE = 32, PEM_MAX = 4096, KID_BYTES = 8 };

static const char row_name[] = "id_token_es256";

struct id_tokens {
	char *pem; /* owned, wiped */
	char kid[2 * KID_BYTES + 1];
	char *configuration, *jwks; /* owned */
};

static void pkey_freep(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void bio_freep(BIO **b)
{
	BIO_free(*b);
}

static err make_pem(char **out)
{
	CLEANUP(pkey_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	CLEANUP(bio_freep) BIO *b = BIO_new(BIO_s_secmem());
	char *text;

	if (!key || !b || PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) != 1)
		return ERR_NOMEM;
	long n = BIO_get_mem_data(b, &text);
	*out = n > 0 ? bytes_dup(bytes_of(text, (size_t)n)) : NULL;
	return *out ? OK : ERR_NOMEM;
}

/* x and y of the public key. */
static err coordinates(const char *pem, uint8_t xy[2 * COORDINATE])
{
	CLEANUP(bio_freep) BIO *b = BIO_new_mem_buf(pem, -1);
	CLEANUP(pkey_freep) EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, NULL, NULL) : NULL;
	uint8_t point[1 + 2 * COORDINATE];
	size_t n = 0;

	if (!key)
		return ERR_MALFORMED;
	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n) != 1 || n != sizeof point || point[0] != 4)
		return ERR_MALFORMED;
	memcpy(xy, point + 1, 2 * COORDINATE);
	return OK;
}

static err write_texts(struct id_tokens *t, const char *issuer, const uint8_t xy[2 * COORDINATE])
{
	struct buf out = buf_make(4096);
	struct jsonw w = jsonw_init(&out);
	char text[64];

	jsonw_obj(&w);
	jsonw_key(&w, "keys"), jsonw_arr(&w);
	jsonw_obj(&w);
	jsonw_key(&w, "kty"), jsonw_str(&w, "EC");
	jsonw_key(&w, "crv"), jsonw_str(&w, "P-256");
	jsonw_key(&w, "use"), jsonw_str(&w, "sig");
	jsonw_key(&w, "alg"), jsonw_str(&w, "ES256");
	jsonw_key(&w, "kid"), jsonw_str(&w, t->kid);
	jsonw_key(&w, "x"), jsonw_str(&w, base64url_encode(bytes_of(xy, COORDINATE), text));
	jsonw_key(&w, "y"), jsonw_str(&w, base64url_encode(bytes_of(xy + COORDINATE, COORDINATE), text));
	jsonw_obj_end(&w);
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	t->jwks = jsonw_ok(&w) ? bytes_dup(buf_view(&out)) : NULL;

	buf_clear(&out);
	w = jsonw_init(&out);
	static const char *const claims[] = { "sub", "aud", "exp", "iat", "iss", "jti", "nbf", "key", "addresses", "nid", "node", "domain",
		"tags", "user", "uid" };
	CLEANUP(freep) char *jwks_uri = NULL;
	if (asprintf(&jwks_uri, "%s/.well-known/jwks.json", issuer) < 0)
		jwks_uri = NULL;
	jsonw_obj(&w);
	jsonw_key(&w, "issuer"), jsonw_str(&w, issuer);
	jsonw_key(&w, "jwks_uri"), jsonw_str(&w, jwks_uri);
	jsonw_key(&w, "claims_supported"), jsonw_arr(&w);
	for (size_t i = 0; i < ARRAY_LEN(claims); i++)
		jsonw_str(&w, claims[i]);
	jsonw_arr_end(&w);
	jsonw_key(&w, "id_token_signing_alg_values_supported"), jsonw_arr(&w), jsonw_str(&w, "ES256"), jsonw_arr_end(&w);
	jsonw_key(&w, "response_types_supported"), jsonw_arr(&w), jsonw_str(&w, "id_token"), jsonw_arr_end(&w);
	jsonw_key(&w, "scopes_supported"), jsonw_arr(&w), jsonw_str(&w, "openid"), jsonw_arr_end(&w);
	jsonw_key(&w, "subject_types_supported"), jsonw_arr(&w), jsonw_str(&w, "public"), jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	t->configuration = jwks_uri && jsonw_ok(&w) ? bytes_dup(buf_view(&out)) : NULL;
	buf_done(&out);
	return t->jwks && t->configuration ? OK : ERR_NOMEM;
}

static err load_pem(struct store *s, const struct store_image *image, char **out)
{
	for (size_t i = 0; i < image->n_server_keys; i++)
		if (strcmp(image->server_keys[i].name, row_name) == 0) {
			*out = bytes_dup(bytes_of(image->server_keys[i].value, image->server_keys[i].n));
			return *out ? OK : ERR_NOMEM;
		}
	TRY(make_pem(out));
	return store_put_server_key(s, row_name, bytes_str(*out));
}

err id_tokens_new(struct store *s, const struct store_image *image, const char *issuer, char *why, size_t why_cap,
		struct id_tokens **out)
{
	struct id_tokens *t = calloc(1, sizeof *t);
	uint8_t xy[2 * COORDINATE], hash[32];

	err e = t ? load_pem(s, image, &t->pem) : ERR_NOMEM;
	if (e == OK)
		e = coordinates(t->pem, xy);
	if (e == OK) {
		crypto_hash_sha256(hash, xy, sizeof xy);
		hex_encode(bytes_of(hash, KID_BYTES), t->kid);
		e = write_texts(t, issuer, xy);
	}
	if (e != OK) {
		snprintf(why, why_cap, "the key for identity tokens cannot be used: %s", err_text(e));
		id_tokens_free(t);
		return e;
	}
	*out = t;
	return OK;
}

void id_tokens_free(struct id_tokens *t)
{
	if (!t)
		return;
	if (t->pem)
		sodium_memzero(t->pem, strlen(t->pem));
	free(t->pem);
	free(t->configuration);
	free(t->jwks);
	free(t);
}

char *id_tokens_sign(const struct id_tokens *t, const char *claims)
{
	jwt_t *j = NULL;
	char *copy = NULL;

	if (jwt_new(&j) != 0)
		return NULL;
	if (jwt_add_header(j, "kid", t->kid) == 0 && jwt_add_grants_json(j, claims) == 0 &&
			jwt_set_alg(j, JWT_ALG_ES256, (const unsigned char *)t->pem, (int)strlen(t->pem)) == 0) {
		copy = jwt_encode_str(j);
	}
	jwt_free(j);
	return copy;
}

const char *id_tokens_configuration(const struct id_tokens *t)
{
	return t->configuration;
}

const char *id_tokens_jwks(const struct id_tokens *t)
{
	return t->jwks;
}
