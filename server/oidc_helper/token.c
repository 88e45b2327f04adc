#define ERR_STATE openssl_err_state /* as in common/base/openssl.h: these headers bring OpenSSL's */
#include <oauth2/mem.h>
#include <oauth2/oauth2.h>
#undef ERR_STATE
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/text/base64.h"
#include "common/text/json.h"
#include "server/oidc_helper/helper.h"

/* liboauth2 verifies RSA and EC signatures, and is told one key a call. Its own choice of keys is not used: it would fetch the
 * set again for every unknown key, and tries an HMAC with the memory of an RSA key when a token says so. Ed25519, which it
 * does not know, is OpenSSL's. What a token may say of its algorithm is decided here, before any key is touched. */

enum { TOKEN_MAX = 64 << 10, RSA_MODULUS_CHARS_MIN = 342 /* 2048 bits in base64url */ };

static const struct {
	const char *alg, *kty, *crv;
} algs[] = {
	{ "RS256", "RSA", "" }, { "RS384", "RSA", "" }, { "RS512", "RSA", "" },
	{ "PS256", "RSA", "" }, { "PS384", "RSA", "" }, { "PS512", "RSA", "" },
	{ "ES256", "EC", "P-256" }, { "ES384", "EC", "P-384" }, { "ES512", "EC", "P-521" },
	{ "EdDSA", "OKP", "Ed25519" },
};

static oauth2_log_t *lib_log;
static oauth2_log_sink_t *sink;

static void on_lib_log(oauth2_log_sink_t *s, const char *file, unsigned long line, const char *function,
		oauth2_log_level_t level, const char *message)
{
	(void)s, (void)file, (void)line, (void)function, (void)level, (void)message; /* it prints tokens */
}

void token_start(void)
{
	sink = oauth2_log_sink_create(OAUTH2_LOG_ERROR, on_lib_log, NULL);
	lib_log = oauth2_init(OAUTH2_LOG_ERROR, sink);
}

static err decode_object(struct bytes part, size_t max, json_t **out)
{
	CLEANUP(freep) uint8_t *raw = malloc(part.n + 1);
	size_t n = 0;

	if (!raw)
		return ERR_NOMEM;
	TRY(base64url_decode(part, raw, part.n, &n));
	if (n > max)
		return ERR_TOO_BIG;
	TRY(json_parse(bytes_of(raw, n), max, HELPER_JSON_DEPTH, out, NULL));
	if (json_is_object(*out))
		return OK;
	json_decref(*out);
	return ERR_MALFORMED;
}

static bool fits(const json_t *key, size_t alg, const char *kid)
{
	const char *use = text_in(key, "use"), *its_alg = text_in(key, "alg");

	if (strcmp(text_in(key, "kty"), algs[alg].kty) != 0 || strcmp(text_in(key, "crv"), algs[alg].crv) != 0)
		return false;
	if ((use[0] && strcmp(use, "sig") != 0) || (its_alg[0] && strcmp(its_alg, algs[alg].alg) != 0))
		return false;
	if (strcmp(algs[alg].kty, "RSA") == 0 && strlen(text_in(key, "n")) < RSA_MODULUS_CHARS_MIN)
		return false;
	return !kid[0] || strcmp(text_in(key, "kid"), kid) == 0;
}

static void pkey_freep(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void md_freep(EVP_MD_CTX **m)
{
	EVP_MD_CTX_free(*m);
}

static bool verify_ed25519(const json_t *key, struct bytes signed_part, struct bytes signature)
{
	uint8_t pub[32], sig[64];
	size_t n_pub, n_sig;

	if (base64url_decode(bytes_str(text_in(key, "x")), pub, sizeof pub, &n_pub) != OK || n_pub != sizeof pub ||
			base64url_decode(signature, sig, sizeof sig, &n_sig) != OK || n_sig != sizeof sig)
		return false;
	CLEANUP(pkey_freep) EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, sizeof pub);
	CLEANUP(md_freep) EVP_MD_CTX *m = EVP_MD_CTX_new();
	return k && m && EVP_DigestVerifyInit(m, NULL, NULL, NULL, k) == 1 &&
	       EVP_DigestVerify(m, sig, sizeof sig, signed_part.p, signed_part.n) == 1;
}

/* Only the public members: whatever else stands in the set does not reach the library. */
static bool verify_by_library(const json_t *key, const char *token)
{
	static const char *const members[] = { "kty", "crv", "n", "e", "x", "y" };
	CLEANUP(json_decrefp) json_t *plain = json_object();
	oauth2_cfg_token_verify_t *verify = NULL;
	json_t *payload = NULL;

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (text_in(key, members[i])[0] && json_object_set(plain, members[i], json_object_get(key, members[i])) != 0)
			return false;
	char *text = json_dumps(plain, JSON_COMPACT);
	if (!text)
		return false;
	/* Times are the server's to check. */
	char *fault = oauth2_cfg_token_verify_add_options(lib_log, &verify, "jwk", text,
			"verify.exp=skip&verify.iat=skip&verify.iss=skip&expiry=1");
	bool ok = !fault && oauth2_token_verify(lib_log, NULL, verify, token, &payload);
	if (fault)
		oauth2_mem_free(fault);
	oauth2_cfg_token_verify_free(lib_log, verify);
	json_decref(payload);
	free(text);
	return ok;
}

struct parts {
	struct bytes header, payload, signature, signed_part;
	size_t alg;
	char kid[256];
};

static err read_header(const char *token, struct parts *out, struct trouble *t)
{
	CLEANUP(json_decrefp) json_t *h = NULL;
	struct bytes all = bytes_str(token), rest;

	if (all.n > TOKEN_MAX)
		return trouble(t, ERR_TOO_BIG, "invalid", "the token is larger than %d KiB", TOKEN_MAX >> 10);
	out->header = bytes_cut(all, '.', &rest);
	out->payload = bytes_cut(rest, '.', &rest);
	out->signature = rest;
	if (!rest.p || (rest.n && memchr(rest.p, '.', rest.n)) || decode_object(out->header, 4096, &h) != OK)
		return trouble(t, ERR_MALFORMED, "invalid", "the token is no signed JWT");
	out->signed_part = bytes_first(all, out->header.n + 1 + out->payload.n);
	if (json_object_get(h, "crit") || json_object_get(h, "b64"))
		return trouble(t, ERR_UNSUPPORTED, "invalid", "the token wants header extensions");
	for (out->alg = 0; out->alg < ARRAY_LEN(algs); out->alg++)
		if (strcmp(text_in(h, "alg"), algs[out->alg].alg) == 0)
			break;
	if (out->alg == ARRAY_LEN(algs))
		return trouble(t, ERR_AUTH, "invalid", "the token's algorithm \"%.20s\" is not allowed", text_in(h, "alg"));
	if (!out->signature.n)
		return trouble(t, ERR_MALFORMED, "invalid", "the token is no signed JWT");
	if (bytes_copy(out->kid, sizeof out->kid - 1, bytes_str(text_in(h, "kid"))) != OK)
		return trouble(t, ERR_TOO_BIG, "invalid", "the token's key id is too long");
	return OK;
}

static bool verify_by(const json_t *keys, const struct parts *parts, const char *token, bool *known)
{
	size_t i;
	json_t *key;

	*known = false;
	json_array_foreach(keys, i, key) {
		if (!json_is_object(key) || !fits(key, parts->alg, parts->kid))
			continue;
		*known = true;
		if (strcmp(algs[parts->alg].kty, "OKP") == 0 ? verify_ed25519(key, parts->signed_part, parts->signature)
							      : verify_by_library(key, token))
			return true;
	}
	return false;
}

err token_verify(struct provider *p, const char *jwks_uri, const char *token, json_t **claims, struct trouble *t)
{
	struct parts parts = { 0 };
	bool known = false, ok = false;

	TRY(read_header(token, &parts, t));
	for (int round = 0; round < 2 && !known; round++) { /* the second time with a newer set: keys rotate */
		CLEANUP(json_decrefp) json_t *keys = NULL;
		TRY(provider_jwks(p, jwks_uri, round == 1, &keys, t));
		ok = verify_by(keys, &parts, token, &known);
	}
	if (!known)
		return trouble(t, ERR_AUTH, "invalid", "the provider has no %s key \"%.60s\"", algs[parts.alg].alg, parts.kid);
	if (!ok)
		return trouble(t, ERR_AUTH, "invalid", "the token's signature is wrong");
	err e = decode_object(parts.payload, HELPER_CLAIMS_MAX, claims);
	return e == OK ? OK : trouble(t, e, "invalid", "the token's claims cannot be read: %s", err_text(e));
}
