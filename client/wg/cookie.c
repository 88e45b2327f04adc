#include "client/wg/cookie.h"

#include <assert.h>
#include <sodium.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/base/writer.h"
#include "common/crypto/aead.h"
#include "common/crypto/blake2s.h"

static void derive(const char label[8], const struct node_pub *key, uint8_t out[32])
{
	struct blake2s b;

	blake2s_init(&b, 32, (struct bytes){ 0 });
	blake2s_update(&b, bytes_of(label, 8));
	blake2s_update(&b, bytes_of(key->b, sizeof key->b));
	blake2s_final(&b, out);
}

static void mac(const uint8_t *key, size_t key_len, struct bytes in, uint8_t out[WG_MAC_LEN])
{
	blake2s(out, WG_MAC_LEN, bytes_of(key, key_len), in);
}

void wg_checker_init(struct wg_checker *c, const struct node_pub *self)
{
	*c = (struct wg_checker){ 0 };
	derive("mac1----", self, c->mac1_key);
	derive("cookie--", self, c->cookie_key.b);
}

bool wg_check_mac1(const struct wg_checker *c, struct bytes message)
{
	struct wg_macs m = wg_message_macs(message);
	uint8_t want[WG_MAC_LEN];

	mac(c->mac1_key, sizeof c->mac1_key, m.under_mac1, want);
	return sodium_memcmp(want, m.mac1.p, sizeof want) == 0;
}

/* What a cookie is bound to: address and port, or the key that a relay names. */
static void cookie_of(const struct secret32 *secret, const struct wg_from *from, uint8_t out[WG_COOKIE_LEN])
{
	uint8_t source[1 + 16 + 2 + 32];
	struct writer w = wr_init(source, sizeof source);

	wr_u8(&w, from->addr.addr.family);
	wr_bytes(&w, bytes_of(from->addr.addr.b, sizeof from->addr.addr.b));
	wr_u16le(&w, from->addr.port);
	if (from->addr.addr.family == 0)
		wr_bytes(&w, bytes_of(from->relayed.b, sizeof from->relayed.b));
	assert(!w.bad);
	mac(secret->b, sizeof secret->b, wr_view(&w), out);
}

bool wg_check_mac2(const struct wg_checker *c, struct bytes message, const struct wg_from *from, int64_t now_ms)
{
	struct wg_macs m = wg_message_macs(message);
	uint8_t cookie[WG_COOKIE_LEN], want[WG_MAC_LEN];

	if (!c->secret_ms || now_ms - c->secret_ms > WG_COOKIE_MS)
		return false;
	cookie_of(&c->secret, from, cookie);
	mac(cookie, sizeof cookie, m.under_mac2, want);
	return sodium_memcmp(want, m.mac2.p, sizeof want) == 0;
}

err wg_cookie_reply_make(struct wg_checker *c, struct bytes message, const struct wg_from *from, int64_t now_ms,
	struct wg_cookie_reply *out)
{
	uint8_t cookie[WG_COOKIE_LEN];
	struct wg_cookie_reply m = { .receiver = wg_message_sender(message) };

	if (!c->secret_ms || now_ms - c->secret_ms > WG_COOKIE_MS) {
		random_fill(c->secret.b, sizeof c->secret.b);
		c->secret_ms = now_ms;
	}
	cookie_of(&c->secret, from, cookie);
	random_fill(m.nonce, sizeof m.nonce);
	TRY(xaead_seal(&c->cookie_key, m.nonce, wg_message_macs(message).mac1, bytes_of(cookie, sizeof cookie),
		m.sealed_cookie));
	*out = m;
	return OK;
}

void wg_sign(struct wg_signer *s, const struct node_pub *peer, uint8_t *message, size_t n, int64_t now_ms)
{
	uint8_t key[32], *mac1 = message + n - 2 * WG_MAC_LEN, *mac2 = message + n - WG_MAC_LEN;
	struct wg_macs m = wg_message_macs(bytes_of(message, n));

	derive("mac1----", peer, key);
	mac(key, sizeof key, m.under_mac1, mac1);
	memcpy(s->last_mac1, mac1, sizeof s->last_mac1);
	s->has_sent = true;
	if (s->cookie_ms && now_ms - s->cookie_ms < WG_COOKIE_MS)
		mac(s->cookie, sizeof s->cookie, m.under_mac2, mac2);
}

err wg_cookie_accept(struct wg_signer *s, const struct node_pub *peer, const struct wg_cookie_reply *m, int64_t now_ms)
{
	CLEANUP(secret32_wipe) struct secret32 key;
	uint8_t cookie[WG_COOKIE_LEN];

	if (!s->has_sent)
		return ERR_AUTH;
	derive("cookie--", peer, key.b);
	TRY(xaead_open(&key, m->nonce, bytes_of(s->last_mac1, sizeof s->last_mac1),
		bytes_of(m->sealed_cookie, sizeof m->sealed_cookie), cookie));
	memcpy(s->cookie, cookie, sizeof s->cookie);
	s->cookie_ms = now_ms;
	return OK;
}
