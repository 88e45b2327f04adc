/* keys: one C type for each kind of key, so that a mix-up fails to compile, and their text forms.
 *
 * Facts: protocol/control.md 1.2 (tailscale types/key/). Public keys are compared with keys' _eq (not secret);
 * private keys are struct secret32 and compared with sodium_memcmp only. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/secret.h"

struct machine_pub { uint8_t b[32]; };	 /* Noise static key of a node or of the server: "mkey:" */
struct node_pub { uint8_t b[32]; };	 /* WireGuard and DERP identity: "nodekey:" */
struct disco_pub { uint8_t b[32]; };	 /* "discokey:" */
struct nl_pub { uint8_t b[32]; };	 /* tailnet-lock Ed25519 key: "nlpub:" (also read as "tlpub:") */
struct challenge_pub { uint8_t b[32]; }; /* "chalpub:" */

struct machine_key { struct secret32 secret; struct machine_pub pub; };
struct node_key { struct secret32 secret; struct node_pub pub; };
struct disco_key { struct secret32 secret; struct disco_pub pub; };

enum {
	KEY_TEXT_MAX = 80,  /* longest prefix + 64 hex digits + NUL, with room */
	KEY_SHORT_MAX = 12, /* "[AbCdE]" */
};

#define KEY_TYPE(kind)                                                                                                 \
	/* "<prefix>:" + 64 lower-case hex digits + NUL; returns out. */                                               \
	char *kind##_pub_text(const struct kind##_pub *k, char out[KEY_TEXT_MAX]);                                     \
	/* Upper-case hex is accepted; prefix and length must be exact. ERR_MALFORMED otherwise. */                    \
	MUST_USE err kind##_pub_parse(struct bytes text, struct kind##_pub *out);                                      \
	static inline bool kind##_pub_eq(const struct kind##_pub *a, const struct kind##_pub *b)                       \
	{                                                                                                              \
		return memcmp(a->b, b->b, 32) == 0;                                                                    \
	}                                                                                                              \
	static inline bool kind##_pub_is_zero(const struct kind##_pub *k)                                              \
	{                                                                                                              \
		static const uint8_t zero[32];                                                                         \
		return memcmp(k->b, zero, 32) == 0;                                                                    \
	}                                                                                                              \
	/* "[" + first five characters of the base64 + "]", for logs; returns out. */                                  \
	char *kind##_pub_short(const struct kind##_pub *k, char out[KEY_SHORT_MAX]);

KEY_TYPE(machine)
KEY_TYPE(node)
KEY_TYPE(disco)
KEY_TYPE(nl)
KEY_TYPE(challenge)

/* Fresh keys from random_fill; private keys are clamped, as the official client makes them. */
void machine_key_new(struct machine_key *out);
void node_key_new(struct node_key *out);
void disco_key_new(struct disco_key *out);
/* Fills pub from secret. */
void machine_key_derive(struct machine_key *k);
void node_key_derive(struct node_key *k);
void disco_key_derive(struct disco_key *k);
