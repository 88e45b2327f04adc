#include "server/login/cose.h"

#include <sodium.h>

#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/wire/cbor.h"
#include "server/login/webauthn.h"

enum { FIELDS_MAX = 8, COORDINATE = 32, EXPONENT_MAX = 4 };
enum { KTY = 1, ALG = 3, PARAM_1 = -1, PARAM_2 = -2, PARAM_3 = -3 };
enum { KTY_OKP = 1, KTY_EC2 = 2, KTY_RSA = 3, CRV_P256 = 1, CRV_ED25519 = 6 };

struct fields { /* what was read; RSA has bytes where curves have a number */
	int64_t kty, alg, crv;
	struct bytes p1, p2, p3;
	unsigned seen; /* bits: kty, alg, -1, -2, -3 */
};

static unsigned bit_of(int64_t label)
{
	switch (label) {
	case KTY:
		return 1;
	case ALG:
		return 2;
	case PARAM_1:
		return 4;
	case PARAM_2:
		return 8;
	case PARAM_3:
		return 16;
	default:
		return 0;
	}
}

static bool next_is(const struct reader *r, unsigned major)
{
	return r->rest.n && r->rest.p[0] >> 5 == major;
}

static void take_field(struct reader *r, struct fields *f)
{
	int64_t label = cbor_take_int(r);
	unsigned bit = bit_of(label);

	if (f->seen & bit)
		r->bad = true; /* twice */
	f->seen |= bit;
	if (label == KTY)
		f->kty = cbor_take_int(r);
	else if (label == ALG)
		f->alg = cbor_take_int(r);
	else if (label == PARAM_1 && next_is(r, CBOR_UINT))
		f->crv = cbor_take_int(r);
	else if (label == PARAM_1)
		f->p1 = cbor_take_string(r, CBOR_BYTES);
	else if (label == PARAM_2)
		f->p2 = cbor_take_string(r, CBOR_BYTES);
	else if (label == PARAM_3)
		f->p3 = cbor_take_string(r, CBOR_BYTES);
	else
		cbor_skip(r);
}

static size_t bits_of(struct bytes number)
{
	while (number.n && !number.p[0])
		number = bytes_skip(number, 1);
	return number.n ? number.n * 8 - (size_t)__builtin_clz(number.p[0]) + 24 : 0;
}

static bool rsa_fits(struct bytes n, struct bytes e)
{
	size_t bits = bits_of(n);

	return bits >= PASSKEY_RSA_BITS_MIN && bits <= PASSKEY_RSA_BITS_MAX && n.n <= PASSKEY_RSA_BITS_MAX / 8 + 1 && (n.p[n.n - 1] & 1) &&
		e.n && e.n <= EXPONENT_MAX && bits_of(e) >= 2 && (e.p[e.n - 1] & 1);
}

err cose_parse(struct bytes in, struct cose_key *out, size_t *used)
{
	struct reader r = rd_init(in);
	struct fields f = { 0 };

	for (size_t left = cbor_take_map(&r, FIELDS_MAX); left && !r.bad; left--)
		take_field(&r, &f);
	if (r.bad)
		return ERR_MALFORMED;
	if (f.alg == PASSKEY_ES256 && f.kty == KTY_EC2 && f.crv == CRV_P256 && f.p2.n == COORDINATE && f.p3.n == COORDINATE)
		*out = (struct cose_key){ PASSKEY_ES256, f.p2, f.p3 };
	else if (f.alg == PASSKEY_EDDSA && f.kty == KTY_OKP && f.crv == CRV_ED25519 && f.p2.n == COORDINATE && !f.p3.n)
		*out = (struct cose_key){ PASSKEY_EDDSA, f.p2, f.p3 };
	else if (f.alg == PASSKEY_RS256 && f.kty == KTY_RSA && rsa_fits(f.p1, f.p2))
		*out = (struct cose_key){ PASSKEY_RS256, f.p1, f.p2 };
	else
		return ERR_UNSUPPORTED;
	*used = in.n - r.rest.n;
	return OK;
}

/* ---- signatures ---- */

static void pkey_freep(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void pctx_freep(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
}

static void mctx_freep(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

static void bld_freep(OSSL_PARAM_BLD **b)
{
	OSSL_PARAM_BLD_free(*b);
}

static void params_freep(OSSL_PARAM **p)
{
	OSSL_PARAM_free(*p);
}

static void bn_freep(BIGNUM **n)
{
	BN_free(*n);
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
	CLEANUP(pctx_freep) EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (!c || EVP_PKEY_fromdata_init(c) != 1 || EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return NULL;
	return key;
}

static EVP_PKEY *ec_key(const struct cose_key *k)
{
	char group[] = "P-256";
	uint8_t point[1 + 2 * COORDINATE] = { 4 };

	memcpy(point + 1, k->x.p, COORDINATE);
	memcpy(point + 1 + COORDINATE, k->y.p, COORDINATE);
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point), OSSL_PARAM_construct_end() };
	return from_params("EC", params);
}

static EVP_PKEY *rsa_key(const struct cose_key *k)
{
	CLEANUP(bn_freep) BIGNUM *n = BN_bin2bn(k->x.p, (int)k->x.n, NULL);
	CLEANUP(bn_freep) BIGNUM *e = BN_bin2bn(k->y.p, (int)k->y.n, NULL);
	CLEANUP(bld_freep) OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();

	if (!n || !e || !b || OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
			OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e) != 1)
		return NULL;
	CLEANUP(params_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	return params ? from_params("RSA", params) : NULL;
}

static bool is_whole(EVP_PKEY *key)
{
	CLEANUP(pctx_freep) EVP_PKEY_CTX *c = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;

	return c && EVP_PKEY_public_check(c) == 1;
}

bool cose_is_key(const struct cose_key *k)
{
	if (k->alg == PASSKEY_EDDSA)
		return crypto_core_ed25519_is_valid_point(k->x.p) == 1;
	CLEANUP(pkey_freep) EVP_PKEY *key = k->alg == PASSKEY_ES256 ? ec_key(k) : rsa_key(k);
	return k->alg == PASSKEY_ES256 ? is_whole(key) : key != NULL;
}

err cose_verify(const struct cose_key *k, struct bytes message, struct bytes signature)
{
	if (k->alg == PASSKEY_EDDSA)
		return signature.n == crypto_sign_BYTES &&
				crypto_sign_verify_detached(signature.p, message.p, message.n, k->x.p) == 0 ?
			OK : ERR_AUTH;
	CLEANUP(pkey_freep) EVP_PKEY *key = k->alg == PASSKEY_ES256 ? ec_key(k) : rsa_key(k);
	CLEANUP(mctx_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
	if (!key || !c || EVP_DigestVerifyInit_ex(c, NULL, "SHA256", NULL, NULL, key, NULL) != 1)
		return ERR_AUTH;
	return EVP_DigestVerify(c, signature.p, signature.n, message.p, message.n) == 1 ? OK : ERR_AUTH;
}
