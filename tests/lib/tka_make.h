/* tka_make: tailnet lock's objects made for tests, written independently of common/wire/tka.c. Signers come from a seed byte. */
#pragma once

#include "common/base/buf.h"
#include "common/wire/tka.h"

struct tka_signer {
	uint8_t pub[32], secret[64];
};
struct tka_signer tka_signer(uint8_t seed);

/* Each appends one object to out. */
void make_genesis(struct buf *out, const struct tka_signer *signer, const struct tka_signer *const *trusted, size_t n,
		const uint8_t disablement[32]);
void make_add_key(struct buf *out, const struct tka_signer *signer, const struct tka_hash *parent, const struct tka_signer *key,
		unsigned votes);
void make_remove_key(struct buf *out, const struct tka_signer *const *signers, size_t n, const struct tka_hash *parent,
		const struct tka_signer *key);
void make_direct(struct buf *out, const struct tka_signer *signer, const struct node_pub *node, const struct tka_signer *wrapping);
void make_credential(struct buf *out, const struct tka_signer *signer, const struct tka_signer *wrapping);
void make_rotation(struct buf *out, const struct tka_signer *wrapping, const struct node_pub *node, struct bytes nested);
