/* Tokens are what their key's JWKS verifies, and the key stays with the database. */
#include <jwt.h>
#include <stdlib.h>

#include "common/base/openssl.h"
#include "common/text/base64.h"
#include "server/id_token.h"
#include "tests/unit/server/store/sample.h"

/* As a relying party does it: from the JWKS alone. */
static bool verifies(const char *jwks, const char *jwt)
{
	const char *x = strstr(jwks, "\"x\":\"") + 5, *y = strstr(jwks, "\"y\":\"") + 5, *dot = strrchr(jwt, '.');
	uint8_t point[65] = { 4 }, raw[64];
	size_t n;

	assert_ok(base64url_decode(bytes_of(x, 43), point + 1, 32, &n));
	assert_ok(base64url_decode(bytes_of(y, 43), point + 33, 32, &n));
	assert_ok(base64url_decode(bytes_str(dot + 1), raw, sizeof raw, &n));
	assert_int_equal(n, 64);
	char group[] = "P-256";
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point), OSSL_PARAM_construct_end() };
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	ECDSA_SIG *sig = ECDSA_SIG_new();
	ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
	unsigned char *der = NULL;
	int der_n = i2d_ECDSA_SIG(sig, &der);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key), 1);
	bool ok = EVP_DigestVerify(md, der, (size_t)der_n, (const unsigned char *)jwt, (size_t)(dot - jwt)) == 1;
	EVP_MD_CTX_free(md);
	OPENSSL_free(der);
	ECDSA_SIG_free(sig);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static void signed_and_verified(void **state)
{
	struct folder f = folder_new();
	struct store_image image;
	struct store *s = NULL;
	struct id_tokens *t, *again;
	char why[300];

	(void)state;
	assert_ok(store_open(f.file, why, sizeof why, &s));
	assert_ok(store_load(s, &image));
	assert_ok(id_tokens_new(s, &image, "https://vpn.example.com", why, sizeof why, &t));
	store_image_done(&image);
	assert_non_null(strstr(id_tokens_configuration(t), "\"issuer\":\"https://vpn.example.com\""));
	assert_non_null(strstr(id_tokens_configuration(t), "\"jwks_uri\":\"https://vpn.example.com/.well-known/jwks.json\""));
	assert_null(strstr(id_tokens_jwks(t), "\"d\"")); /* the private part */
	for (int i = 0; i < 50; i++) { /* numbers with leading zeros, too */
		char *jwt = id_tokens_sign(t, "{\"sub\":\"a\",\"tags\":[\"x\"],\"exp\":1}");
		assert_non_null(jwt);
		assert_true(verifies(id_tokens_jwks(t), jwt));
		jwt[10] = jwt[10] == 'A' ? 'B' : 'A';
		assert_false(verifies(id_tokens_jwks(t), jwt));
		free(jwt);
	}
	assert_null(id_tokens_sign(t, "no claims"));
	store_stop(s);
	assert_ok(store_open(f.file, why, sizeof why, &s));
	assert_ok(store_load(s, &image));
	assert_ok(id_tokens_new(s, &image, "https://vpn.example.com", why, sizeof why, &again));
	assert_string_equal(id_tokens_jwks(t), id_tokens_jwks(again));
	store_image_done(&image);
	store_stop(s);
	id_tokens_free(t);
	id_tokens_free(again);
	folder_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(signed_and_verified) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
