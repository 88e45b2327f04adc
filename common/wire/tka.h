/* tka: tailnet lock's objects on the wire: authority update messages (AUM), the state that they build, signatures of node keys.
 *
 * Pure: bytes in, structs out; the only cryptography is hashing and checking Ed25519 signatures. Objects are CBOR in the
 * canonical form of CTAP2. What is not canonical, or holds a field that is not known here, is refused: a hash over it would not
 * be the one that official clients compute, for they write objects anew before they hash.
 *
 * Facts: protocol/control.md 8.9 (tailscale@de9ec7ee tka/aum.go, sig.go, state.go, key.go, limits.go). */
#pragma once

#include "common/crypto/keys.h"

enum {
	TKA_HASH_LEN = 32,
	TKA_HASH_TEXT_MAX = 53, /* 52 characters of base32 and NUL */
	TKA_AUM_MAX = 64 * 1024,
	TKA_KEYS_MAX = 512,
	TKA_DISABLEMENTS_MAX = 32,
	TKA_META_MAX = 512,  /* text of a key's metadata together */
	TKA_SIGS_MAX = 16,   /* of one AUM; official clients make one for each signer that takes part */
	TKA_VOTES_MAX = 4096,
	TKA_NKS_MAX = 4096,  /* a node key's signature */
	TKA_NESTING_MAX = 16,
	TKA_SECRET_MAX = 1024, /* a disablement secret */
};

enum tka_kind { TKA_ADD_KEY = 1, TKA_REMOVE_KEY, TKA_NO_OP, TKA_UPDATE_KEY, TKA_CHECKPOINT };

struct tka_hash {
	uint8_t b[TKA_HASH_LEN];
};

struct tka_key {
	uint8_t pub[32]; /* Ed25519; also its id */
	uint32_t votes;	 /* 1 … TKA_VOTES_MAX */
	struct bytes meta; /* CBOR map of texts, borrowed; n 0: none */
};

struct tka_sig {
	uint8_t key[32], sig[64];
};

/* Borrowed from the bytes that it was parsed from. */
struct tka_aum {
	enum tka_kind kind;
	bool has_parent; /* false: a genesis */
	struct tka_hash parent;
	struct tka_key key; /* ADD_KEY */
	uint8_t key_id[32]; /* REMOVE_KEY, UPDATE_KEY */
	bool has_votes, has_meta; /* UPDATE_KEY: key.votes, key.meta */
	struct bytes state; /* CHECKPOINT: CBOR, well formed */
	struct tka_sig sig[TKA_SIGS_MAX];
	size_t n_sigs;
	struct tka_hash hash, sig_hash;
};

/* What the authority is after some AUM. Keys' metadata is borrowed from AUMs. */
struct tka_state {
	struct tka_key *key; /* owned array of TKA_KEYS_MAX */
	size_t n_keys;
	uint8_t disablement[TKA_DISABLEMENTS_MAX][32];
	size_t n_disablements;
	uint64_t id1, id2;
	bool has_head;
	struct tka_hash head;
};
MUST_USE err tka_state_init(struct tka_state *s); /* empty */
void tka_state_done(struct tka_state *s);
const struct tka_key *tka_state_key(const struct tka_state *s, const uint8_t id[32]); /* NULL: not trusted */

/* ERR_MALFORMED, ERR_TOO_BIG (over a limit), ERR_UNSUPPORTED (a field or kind that is not known here). */
MUST_USE err tka_aum_parse(struct bytes raw, struct tka_aum *out);
/* Is it signed by keys of s (of its own state, when it is a genesis), and may it follow s? ERR_AUTH: a signature is missing, wrong,
 * or of a key that s does not trust. ERR_INVALID: it does not fit the state. *why: one sentence, static. */
MUST_USE err tka_aum_verify(const struct tka_aum *a, const struct tka_state *s, const char **why);
/* After tka_aum_verify. s changes only on OK. */
MUST_USE err tka_state_apply(struct tka_state *s, const struct tka_aum *a, const char **why);
/* Sum of the votes of those who signed it. */
uint64_t tka_aum_weight(const struct tka_aum *a, const struct tka_state *s);

char *tka_hash_text(const struct tka_hash *h, char out[TKA_HASH_TEXT_MAX]);
MUST_USE err tka_hash_parse(struct bytes text, struct tka_hash *out);
static inline bool tka_hash_eq(const struct tka_hash *a, const struct tka_hash *b)
{
	return memcmp(a->b, b->b, TKA_HASH_LEN) == 0;
}

/* The node key that a signature names (not of a credential), and the trusted key that it goes back to. Nothing is verified. */
MUST_USE err tka_nks_subject(struct bytes raw, struct node_pub *node, uint8_t key_id[32]);
/* ERR_AUTH: it does not authorise this node key under the keys of s. ERR_MALFORMED and the like: as for an AUM. */
MUST_USE err tka_nks_authorizes(struct bytes raw, const struct tka_state *s, const struct node_pub *node);
