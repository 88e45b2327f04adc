#include "common/crypto/hkdf.h"

#include <sodium.h>

#include "common/base/cleanup.h"
#include "common/crypto/blake2s.h"

enum { IPAD = 0x36, OPAD = 0x5c }; /* RFC 2104 */

/* HMAC over two pieces, so that callers need not join them. */
static void hmac2(struct bytes key, struct bytes a, struct bytes b, uint8_t out[32])
{
	uint8_t pad[BLAKE2S_BLOCK] = { 0 }, inner[BLAKE2S_LEN];
	struct blake2s s;

	if (key.n > sizeof pad)
		blake2s(pad, BLAKE2S_LEN, (struct bytes){ 0 }, key);
	else if (key.n)
		memcpy(pad, key.p, key.n);

	for (size_t i = 0; i < sizeof pad; i++)
		pad[i] ^= IPAD;
	blake2s_init(&s, BLAKE2S_LEN, (struct bytes){ 0 });
	blake2s_update(&s, bytes_of(pad, sizeof pad));
	blake2s_update(&s, a);
	blake2s_update(&s, b);
	blake2s_final(&s, inner);

	for (size_t i = 0; i < sizeof pad; i++)
		pad[i] ^= IPAD ^ OPAD;
	blake2s_init(&s, BLAKE2S_LEN, (struct bytes){ 0 });
	blake2s_update(&s, bytes_of(pad, sizeof pad));
	blake2s_update(&s, bytes_of(inner, sizeof inner));
	blake2s_final(&s, out);

	sodium_memzero(pad, sizeof pad);
	sodium_memzero(inner, sizeof inner);
}

void hmac_blake2s(struct bytes key, struct bytes in, uint8_t out[32])
{
	hmac2(key, in, (struct bytes){ 0 }, out);
}

static struct bytes view(const struct secret32 *s)
{
	return bytes_of(s->b, sizeof s->b);
}

/* T(1) = HMAC(prk, 1), T(n) = HMAC(prk, T(n-1) || n). */
static void expand(const struct secret32 *ck, struct bytes ikm, struct secret32 *const t[], uint8_t count)
{
	CLEANUP(secret32_wipe) struct secret32 prk;
	CLEANUP(secret32_wipe) struct secret32 last;
	struct bytes before = { 0 };

	hmac_blake2s(view(ck), ikm, prk.b);
	for (uint8_t i = 1; i <= count; i++) {
		hmac2(view(&prk), before, bytes_of(&i, 1), last.b);
		before = view(&last);
		*t[i - 1] = last;
	}
}

void hkdf1(const struct secret32 *ck, struct bytes ikm, struct secret32 *t1)
{
	expand(ck, ikm, (struct secret32 *const[]){ t1 }, 1);
}

void hkdf2(const struct secret32 *ck, struct bytes ikm, struct secret32 *t1, struct secret32 *t2)
{
	expand(ck, ikm, (struct secret32 *const[]){ t1, t2 }, 2);
}

void hkdf3(const struct secret32 *ck, struct bytes ikm, struct secret32 *t1, struct secret32 *t2, struct secret32 *t3)
{
	expand(ck, ikm, (struct secret32 *const[]){ t1, t2, t3 }, 3);
}
