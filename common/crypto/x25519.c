#include "common/crypto/x25519.h"

#include <sodium.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"

void x25519_new(struct secret32 *key)
{
	random_fill(key->b, sizeof key->b);
	key->b[0] &= 248;
	key->b[31] = (uint8_t)((key->b[31] & 127) | 64);
}

void x25519_public(const struct secret32 *key, uint8_t pub[32])
{
	crypto_scalarmult_base(pub, key->b);
}

err x25519(const struct secret32 *key, const uint8_t pub[32], struct secret32 *out)
{
	CLEANUP(secret32_wipe) struct secret32 dh = { 0 };

	/* Libsodium refuses points of small order; the second test keeps the promise whatever the library does. */
	if (crypto_scalarmult(dh.b, key->b, pub) != 0 || sodium_is_zero(dh.b, sizeof dh.b))
		return ERR_AUTH;
	*out = dh;
	return OK;
}
