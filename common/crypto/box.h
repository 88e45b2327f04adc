/* box: NaCl crypto_box (X25519, HSalsa20, XSalsa20-Poly1305) as DERP and disco use it: nonce 24 || tag 16 || text.
 *
 * The key shared by two parties is computed once (30 µs) and kept in a box_shared; sealing and opening are symmetric.
 * Facts: protocol/derp.md 4.2, disco.md 3 (tailscale@de9ec7ee2 types/key/node.go, disco.go: Shared, SealTo). */
#pragma once

#include "common/base/bytes.h"
#include "common/base/secret.h"

enum {
	BOX_NONCE_LEN = 24,
	BOX_OVERHEAD = 24 + 16, /* a sealed message is this much longer than its text */
};

struct box_shared {
	struct secret32 key;
};

/* ERR_AUTH: theirs is a point of small order (the zero key among them), for which anyone could seal. */
MUST_USE err box_shared_init(struct box_shared *s, const struct secret32 *mine, const uint8_t theirs[32]);
static inline void box_shared_wipe(struct box_shared *s)
{
	secret32_wipe(&s->key);
}

/* Writes plain.n + BOX_OVERHEAD bytes to out with a random nonce. plain and out do not overlap. */
void box_seal(const struct box_shared *s, struct bytes plain, uint8_t *out);
/* The same with the caller's nonce: tests and vectors. */
void box_seal_nonce(const struct box_shared *s, const uint8_t nonce[BOX_NONCE_LEN], struct bytes plain, uint8_t *out);

/* Writes sealed.n - BOX_OVERHEAD bytes to out, which may start where sealed does. ERR_AUTH: it does not open. */
MUST_USE err box_open(const struct box_shared *s, struct bytes sealed, uint8_t *out);
