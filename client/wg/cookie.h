/* cookie: the two MACs that let us drop a handshake message before any Diffie-Hellman. MAC1 proves that the sender
 * knows our public key; under load MAC2 proves that it also receives at the address it sends from: it is keyed with a
 * cookie that we sent there, computed from the address and a secret of two minutes, so that nothing is kept per sender.
 *
 * Facts: protocol/wireguard.md 2 (wireguard-go@f333402b device/cookie.go). */
#pragma once

#include "client/wg/message.h"
#include "common/crypto/keys.h"
#include "common/net/addr.h"

enum { WG_COOKIE_MS = 120 * 1000 };

/* Where a message came from. The engine binds cookies and limits to address or key; token it only hands back. */
struct wg_from {
	struct addrport addr;    /* family 0: it came by a relay (DERP), */
	struct node_pub relayed; /* which says that this key sent it */
	uint64_t token;          /* the caller's */
};

static inline bool wg_from_is_none(const struct wg_from *f)
{
	return f->addr.addr.family == 0 && node_pub_is_zero(&f->relayed);
}

/* Our side: checks what comes in. One a device. */
struct wg_checker {
	uint8_t mac1_key[32];
	struct secret32 cookie_key;
	struct secret32 secret;
	int64_t secret_ms; /* when it was made; 0: none yet */
};

void wg_checker_init(struct wg_checker *c, const struct node_pub *self);
bool wg_check_mac1(const struct wg_checker *c, struct bytes message);
bool wg_check_mac2(const struct wg_checker *c, struct bytes message, const struct wg_from *from, int64_t now_ms);
/* The answer to a message with a good MAC1, which bids its sender to come again with MAC2. */
MUST_USE err wg_cookie_reply_make(struct wg_checker *c, struct bytes message, const struct wg_from *from,
	int64_t now_ms, struct wg_cookie_reply *out);

/* Towards one peer: signs what goes out. Zero-initialised. */
struct wg_signer {
	uint8_t cookie[WG_COOKIE_LEN];
	uint8_t last_mac1[WG_MAC_LEN]; /* of the last message, which a cookie reply answers */
	int64_t cookie_ms;             /* when it came; 0: we have none */
	bool has_sent;
};

/* Fills both MACs of a written initiation or response. */
void wg_sign(struct wg_signer *s, const struct node_pub *peer, uint8_t *message, size_t n, int64_t now_ms);
/* ERR_AUTH: not from that peer, or not about our last message. The cookie serves the next message: nothing is repeated
 * at once because of it. */
MUST_USE err wg_cookie_accept(
	struct wg_signer *s, const struct node_pub *peer, const struct wg_cookie_reply *m, int64_t now_ms);
