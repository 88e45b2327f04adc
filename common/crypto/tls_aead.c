#include "common/crypto/tls_aead.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)
#define NO_COMPAT_IMB_API_053 /* names that OpenSSL has, too */
#include <intel-ipsec-mb.h>
#define HAVE_IPSEC_MB 1
#else
#define HAVE_IPSEC_MB 0
#endif

#include "common/base/cleanup.h"
#include "common/base/openssl.h"

enum { KEY_MAX = 32 };

#if HAVE_IPSEC_MB
/* Its functions for one length of key. They use no manager: that was only asked which ones suit the processor. */
struct gcm_fns {
	aes_gcm_pre_t pre;
	aes_gcm_init_t init;
	aes_gcm_enc_dec_update_t enc_update;
	aes_gcm_enc_dec_finalize_t enc_finalize;
	aes_gcm_enc_dec_t dec;
};
static struct gcm_fns gcm128, gcm256; /* all NULL: not on this processor */
#endif

struct tls_aead {
	enum tls_aead_kind kind;
	enum tls_aead_dir dir;
	EVP_CIPHER_CTX *evp; /* has the key; NULL: gcm has it */
#if HAVE_IPSEC_MB
	const struct gcm_fns *gcm;
	_Alignas(64) struct gcm_key_data key;
#endif
};

static EVP_CIPHER *cipher[TLS_AEAD_CHACHA + 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* What is looked up once: by name for each connection costs more than all the rest. */
static void look_up(void)
{
	cipher[TLS_AEAD_AES128] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	cipher[TLS_AEAD_AES256] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	cipher[TLS_AEAD_CHACHA] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
#if HAVE_IPSEC_MB
	const uint64_t needs = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
	IMB_MGR *m = alloc_mb_mgr(0);

	if (!m)
		return;
	init_mb_mgr_auto(m, NULL);
	if ((m->features & needs) == needs && imb_get_errno(m) == 0) {
		gcm128 = (struct gcm_fns){ m->gcm128_pre, m->gcm128_init, m->gcm128_enc_update, m->gcm128_enc_finalize, m->gcm128_dec };
		gcm256 = (struct gcm_fns){ m->gcm256_pre, m->gcm256_init, m->gcm256_enc_update, m->gcm256_enc_finalize, m->gcm256_dec };
	}
	free_mb_mgr(m);
#endif
}

void tls_aead_prepare(void)
{
	pthread_once(&once, look_up);
}

size_t tls_aead_key_len(enum tls_aead_kind kind)
{
	return kind == TLS_AEAD_AES128 ? 16 : KEY_MAX;
}

static void freep_aead(struct tls_aead **a)
{
	tls_aead_free(*a);
}

static struct tls_aead *make(enum tls_aead_kind kind, enum tls_aead_dir dir)
{
	struct tls_aead *a = aligned_alloc(_Alignof(struct tls_aead), sizeof *a);

	if (a)
		*a = (struct tls_aead){ .kind = kind, .dir = dir };
	return a;
}

err tls_aead_new_openssl(enum tls_aead_kind kind, enum tls_aead_dir dir, const uint8_t *key, struct tls_aead **out)
{
	tls_aead_prepare();
	if (!cipher[kind])
		return ERR_UNSUPPORTED;
	CLEANUP(freep_aead) struct tls_aead *a = make(kind, dir);

	if (!a || !(a->evp = EVP_CIPHER_CTX_new()))
		return ERR_NOMEM;
	TRY(tls_aead_rekey(a, key));
	*out = MOVE(a);
	return OK;
}

err tls_aead_new(enum tls_aead_kind kind, enum tls_aead_dir dir, const uint8_t *key, struct tls_aead **out)
{
#if HAVE_IPSEC_MB
	tls_aead_prepare();
	if (kind != TLS_AEAD_CHACHA && gcm128.pre) {
		struct tls_aead *a = make(kind, dir);

		if (!a)
			return ERR_NOMEM;
		a->gcm = kind == TLS_AEAD_AES128 ? &gcm128 : &gcm256;
		a->gcm->pre(key, &a->key);
		*out = a;
		return OK;
	}
#endif
	return tls_aead_new_openssl(kind, dir, key, out);
}

err tls_aead_rekey(struct tls_aead *a, const uint8_t *key)
{
#if HAVE_IPSEC_MB
	if (a->gcm) {
		a->gcm->pre(key, &a->key);
		return OK;
	}
#endif
	if (EVP_CipherInit_ex2(a->evp, cipher[a->kind], key, NULL, a->dir == TLS_AEAD_SEAL, NULL) == 1)
		return OK;
	ERR_clear_error();
	return ERR_NOMEM;
}

void tls_aead_free(struct tls_aead *a)
{
	if (!a)
		return;
	EVP_CIPHER_CTX_free(a->evp); /* wipes its keys */
	sodium_memzero(a, sizeof *a);
	free(a);
}

#if HAVE_IPSEC_MB
/* In a time that does not tell where they differ. sodium_memcmp goes byte by byte, which is a tenth of what opening a small
 * record takes. */
static bool same_tag(const uint8_t *a, const uint8_t *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof x);
	memcpy(y, b, sizeof y);
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}
#endif

/* ---- OpenSSL ----------------------------------------------------------------------------------------------------- */

static bool evp_seal(struct tls_aead *a, const uint8_t *nonce, struct bytes aad, struct bytes first, struct bytes last, uint8_t *out)
{
	OSSL_PARAM tag[] = { OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, out + first.n + last.n, TLS_AEAD_TAG_LEN),
		OSSL_PARAM_END };
	int n = 0, end = 0;

	return EVP_EncryptInit_ex2(a->evp, NULL, NULL, nonce, NULL) == 1 &&
	       EVP_EncryptUpdate(a->evp, NULL, &n, aad.p, (int)aad.n) == 1 &&
	       (!first.n || EVP_EncryptUpdate(a->evp, out, &n, first.p, (int)first.n) == 1) &&
	       (!last.n || EVP_EncryptUpdate(a->evp, out + first.n, &n, last.p, (int)last.n) == 1) &&
	       EVP_EncryptFinal_ex(a->evp, out + first.n + last.n, &end) == 1 && EVP_CIPHER_CTX_get_params(a->evp, tag) == 1;
}

static bool evp_open(struct tls_aead *a, const uint8_t *nonce, struct bytes aad, struct bytes sealed, uint8_t *tag, uint8_t *out)
{
	OSSL_PARAM p[] = { OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TLS_AEAD_TAG_LEN), OSSL_PARAM_END };
	int n = 0, end = 0;

	return EVP_DecryptInit_ex2(a->evp, NULL, NULL, nonce, p) == 1 &&
	       EVP_DecryptUpdate(a->evp, NULL, &n, aad.p, (int)aad.n) == 1 &&
	       (!sealed.n || EVP_DecryptUpdate(a->evp, out, &n, sealed.p, (int)sealed.n) == 1) &&
	       EVP_DecryptFinal_ex(a->evp, out + sealed.n, &end) == 1;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

err tls_aead_seal(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE_LEN], struct bytes aad, struct bytes first,
	struct bytes last, uint8_t *out)
{
#if HAVE_IPSEC_MB
	if (a->gcm) {
		struct gcm_context_data c;

		a->gcm->init(&a->key, &c, nonce, aad.p, aad.n);
		if (first.n)
			a->gcm->enc_update(&a->key, &c, out, first.p, first.n);
		if (last.n)
			a->gcm->enc_update(&a->key, &c, out + first.n, last.p, last.n);
		a->gcm->enc_finalize(&a->key, &c, out + first.n + last.n, TLS_AEAD_TAG_LEN);
		return OK;
	}
#endif
	if (evp_seal(a, nonce, aad, first, last, out))
		return OK;
	ERR_clear_error();
	return ERR_SYS;
}

err tls_aead_open(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE_LEN], struct bytes aad, struct bytes sealed, uint8_t *out)
{
	uint8_t tag[TLS_AEAD_TAG_LEN];

	if (sealed.n < TLS_AEAD_TAG_LEN)
		return ERR_AUTH;
	struct bytes body = bytes_first(sealed, sealed.n - TLS_AEAD_TAG_LEN);
#if HAVE_IPSEC_MB
	if (a->gcm) {
		struct gcm_context_data c;

		a->gcm->dec(&a->key, &c, out, body.p, body.n, nonce, aad.p, aad.n, tag, sizeof tag);
		return same_tag(tag, body.p + body.n) ? OK : ERR_AUTH;
	}
#endif
	memcpy(tag, body.p + body.n, sizeof tag); /* OpenSSL's type of a parameter is not const */
	if (evp_open(a, nonce, aad, body, tag, out))
		return OK;
	ERR_clear_error();
	return ERR_AUTH;
}
