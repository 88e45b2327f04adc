#include "common/crypto/aead.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/openssl.h"

_Static_assert(AEAD_MAX < INT_MAX - AEAD_TAG_LEN, "OpenSSL counts in int");

struct aead_key {
	EVP_CIPHER_CTX *ctx;    /* owned; the key is set up in it */
	struct secret32 secret; /* for messages below AEAD_BULK */
	enum aead_dir dir;
};

/* ---- libsodium ------------------------------------------------------------------------------------------------ */

static err small_seal(
	const struct secret32 *key, const uint8_t *nonce, struct bytes aad, struct bytes plain, uint8_t *out)
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain.p, plain.n, aad.p, aad.n, NULL, nonce, key->b);
	return OK;
}

static err small_open(
	const struct secret32 *key, const uint8_t *nonce, struct bytes aad, struct bytes sealed, uint8_t *out)
{
	return crypto_aead_chacha20poly1305_ietf_decrypt(
		       out, NULL, NULL, sealed.p, sealed.n, aad.p, aad.n, nonce, key->b) == 0
		       ? OK
		       : ERR_AUTH;
}

/* ---- OpenSSL -------------------------------------------------------------------------------------------------- */

/* key NULL: the one that is set up in ctx already. */
static err bulk_seal(EVP_CIPHER_CTX *ctx, const uint8_t *key, const uint8_t *nonce, struct bytes aad,
	struct bytes plain, uint8_t *out)
{
	int n;

	if (EVP_EncryptInit_ex(ctx, NULL, NULL, key, nonce) != 1)
		return ERR_SYS;
	if (aad.n && EVP_EncryptUpdate(ctx, NULL, &n, aad.p, (int)aad.n) != 1)
		return ERR_SYS;
	if (EVP_EncryptUpdate(ctx, out, &n, plain.p, (int)plain.n) != 1 || n != (int)plain.n)
		return ERR_SYS;
	if (EVP_EncryptFinal_ex(ctx, out + plain.n, &n) != 1 || n != 0)
		return ERR_SYS;
	if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, out + plain.n) != 1)
		return ERR_SYS;
	return OK;
}

static err bulk_open(EVP_CIPHER_CTX *ctx, const uint8_t *key, const uint8_t *nonce, struct bytes aad,
	struct bytes sealed, uint8_t *out)
{
	size_t text = sealed.n - AEAD_TAG_LEN;
	uint8_t tag[AEAD_TAG_LEN];
	int n;

	memcpy(tag, bytes_skip(sealed, text).p, sizeof tag);
	if (EVP_DecryptInit_ex(ctx, NULL, NULL, key, nonce) != 1 ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1)
		return ERR_SYS;
	if (aad.n && EVP_DecryptUpdate(ctx, NULL, &n, aad.p, (int)aad.n) != 1)
		return ERR_SYS;
	if (EVP_DecryptUpdate(ctx, out, &n, sealed.p, (int)text) != 1 || n != (int)text) {
		sodium_memzero(out, text);
		return ERR_SYS;
	}
	if (EVP_DecryptFinal_ex(ctx, out + text, &n) != 1) {
		sodium_memzero(out, text); /* OpenSSL decrypts before it knows the tag */
		return ERR_AUTH;
	}
	return OK;
}

static EVP_CIPHER_CTX *ctx_new(enum aead_dir dir, const uint8_t *key)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int ok = 0;

	if (!ctx)
		return NULL;
	if (dir == AEAD_SEAL)
		ok = EVP_EncryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, NULL);
	else
		ok = EVP_DecryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, NULL);
	if (ok != 1) {
		EVP_CIPHER_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* One context a direction and thread, made at first use and freed with the thread. */
struct thread_ctx {
	EVP_CIPHER_CTX *dir[2]; /* by enum aead_dir */
};
static _Thread_local struct thread_ctx *mine;
static pthread_key_t mine_key;
static pthread_once_t mine_once = PTHREAD_ONCE_INIT;
static bool mine_key_ok;

static void thread_ctx_free(void *p)
{
	struct thread_ctx *t = p;

	EVP_CIPHER_CTX_free(t->dir[AEAD_SEAL]);
	EVP_CIPHER_CTX_free(t->dir[AEAD_OPEN]);
	free(t);
	mine = NULL;
}

static void mine_key_create(void)
{
	mine_key_ok = pthread_key_create(&mine_key, thread_ctx_free) == 0;
}

/* NULL: not to be had; libsodium does all sizes, too. */
static EVP_CIPHER_CTX *thread_ctx(enum aead_dir dir)
{
	if (!mine) {
		pthread_once(&mine_once, mine_key_create);
		struct thread_ctx *t = mine_key_ok ? calloc(1, sizeof *t) : NULL;

		if (!t)
			return NULL;
		if (pthread_setspecific(mine_key, t) != 0) {
			free(t);
			return NULL;
		}
		mine = t;
	}
	if (!mine->dir[dir])
		mine->dir[dir] = ctx_new(dir, NULL);
	return mine->dir[dir];
}

/* ---- one-shot ------------------------------------------------------------------------------------------------- */

err aead_seal(const struct secret32 *key, const uint8_t nonce[AEAD_NONCE_LEN], struct bytes aad, struct bytes plain,
	uint8_t *out)
{
	if (plain.n > AEAD_MAX || aad.n > AEAD_MAX)
		return ERR_TOO_BIG;
	EVP_CIPHER_CTX *ctx = plain.n < AEAD_BULK ? NULL : thread_ctx(AEAD_SEAL);
	return ctx ? bulk_seal(ctx, key->b, nonce, aad, plain, out) : small_seal(key, nonce, aad, plain, out);
}

err aead_open(const struct secret32 *key, const uint8_t nonce[AEAD_NONCE_LEN], struct bytes aad, struct bytes sealed,
	uint8_t *out)
{
	if (sealed.n < AEAD_TAG_LEN)
		return ERR_AUTH;
	if (sealed.n > AEAD_MAX || aad.n > AEAD_MAX)
		return ERR_TOO_BIG;
	EVP_CIPHER_CTX *ctx = sealed.n < AEAD_BULK ? NULL : thread_ctx(AEAD_OPEN);
	return ctx ? bulk_open(ctx, key->b, nonce, aad, sealed, out) : small_open(key, nonce, aad, sealed, out);
}

err xaead_seal(const struct secret32 *key, const uint8_t nonce[XAEAD_NONCE_LEN], struct bytes aad, struct bytes plain,
	uint8_t *out)
{
	if (plain.n > AEAD_MAX || aad.n > AEAD_MAX)
		return ERR_TOO_BIG;
	crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, plain.p, plain.n, aad.p, aad.n, NULL, nonce, key->b);
	return OK;
}

err xaead_open(const struct secret32 *key, const uint8_t nonce[XAEAD_NONCE_LEN], struct bytes aad, struct bytes sealed,
	uint8_t *out)
{
	if (sealed.n < AEAD_TAG_LEN)
		return ERR_AUTH;
	if (sealed.n > AEAD_MAX || aad.n > AEAD_MAX)
		return ERR_TOO_BIG;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    out, NULL, NULL, sealed.p, sealed.n, aad.p, aad.n, nonce, key->b) != 0)
		return ERR_AUTH;
	return OK;
}

/* ---- a key with its context ----------------------------------------------------------------------------------- */

err aead_key_new(const struct secret32 *key, enum aead_dir dir, struct aead_key **out)
{
	CLEANUP(aead_key_freep) struct aead_key *k = calloc(1, sizeof *k);

	if (!k)
		return ERR_NOMEM;
	k->dir = dir;
	k->secret = *key;
	k->ctx = ctx_new(dir, key->b);
	if (!k->ctx)
		return ERR_NOMEM;
	*out = MOVE(k);
	return OK;
}

void aead_key_free(struct aead_key *k)
{
	if (!k)
		return;
	EVP_CIPHER_CTX_free(k->ctx); /* wipes what it holds */
	secret32_wipe(&k->secret);
	free(k);
}

err aead_key_seal(
	struct aead_key *k, const uint8_t nonce[AEAD_NONCE_LEN], struct bytes aad, struct bytes plain, uint8_t *out)
{
	assert(k->dir == AEAD_SEAL);
	if (plain.n > AEAD_MAX || aad.n > AEAD_MAX)
		return ERR_TOO_BIG;
	if (plain.n < AEAD_BULK)
		return small_seal(&k->secret, nonce, aad, plain, out);
	return bulk_seal(k->ctx, NULL, nonce, aad, plain, out);
}

err aead_key_open(
	struct aead_key *k, const uint8_t nonce[AEAD_NONCE_LEN], struct bytes aad, struct bytes sealed, uint8_t *out)
{
	assert(k->dir == AEAD_OPEN);
	if (sealed.n < AEAD_TAG_LEN)
		return ERR_AUTH;
	if (sealed.n > AEAD_MAX || aad.n > AEAD_MAX)
		return ERR_TOO_BIG;
	if (sealed.n < AEAD_BULK)
		return small_open(&k->secret, nonce, aad, sealed, out);
	return bulk_open(k->ctx, NULL, nonce, aad, sealed, out);
}
