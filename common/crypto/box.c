#include "common/crypto/box.h"

#include <sodium.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/crypto/x25519.h"

_Static_assert(BOX_NONCE_LEN == crypto_box_NONCEBYTES && BOX_OVERHEAD == crypto_box_NONCEBYTES + crypto_box_MACBYTES,
	"NaCl box");

err box_shared_init(struct box_shared *s, const struct secret32 *mine, const uint8_t theirs[32])
{
	static const uint8_t zero[16];
	CLEANUP(secret32_wipe) struct secret32 dh;

	TRY(x25519(mine, theirs, &dh));
	crypto_core_hsalsa20(s->key.b, zero, dh.b, NULL);
	return OK;
}

void box_seal(const struct box_shared *s, struct bytes plain, uint8_t *out)
{
	uint8_t nonce[BOX_NONCE_LEN];

	random_fill(nonce, sizeof nonce);
	box_seal_nonce(s, nonce, plain, out);
}

void box_seal_nonce(const struct box_shared *s, const uint8_t nonce[BOX_NONCE_LEN], struct bytes plain, uint8_t *out)
{
	memcpy(out, nonce, BOX_NONCE_LEN);
	crypto_secretbox_easy(out + BOX_NONCE_LEN, plain.p, plain.n, nonce, s->key.b);
}

err box_open(const struct box_shared *s, struct bytes sealed, uint8_t *out)
{
	uint8_t nonce[BOX_NONCE_LEN];

	if (sealed.n < BOX_OVERHEAD)
		return ERR_AUTH;
	memcpy(nonce, sealed.p, sizeof nonce); /* out may be written over it */
	struct bytes box = bytes_skip(sealed, BOX_NONCE_LEN);
	if (crypto_secretbox_open_easy(out, box.p, box.n, nonce, s->key.b) != 0)
		return ERR_AUTH;
	return OK;
}
