/* tka_chain: all updates of one tailnet-lock authority, as a tree with its forks resolved, and what a peer lacks of it.
 *
 * Every update that was ever accepted is kept. The active chain starts at the genesis and follows at each fork the update with
 * more votes, then the one that removes a key, then the lowest hash: all who know the same updates agree on it.
 *
 * Facts: protocol/control.md 8.9 (tailscale@de9ec7ee tka/tka.go pickNextAUM, tka/sync.go). */
#pragma once

#include "common/wire/tka.h"

enum {
	TKA_CHAIN_MAX = 1900,	  /* updates; official clients stop looking after 2000 */
	TKA_ANCESTORS_MAX = 2000, /* in an offer */
};

struct tka_chain;

MUST_USE err tka_chain_new(struct tka_chain **out);
void tka_chain_free(struct tka_chain *c);

/* Verified and added; its bytes are copied. ERR_EXISTS: it is there already. ERR_NOT_FOUND: its parent is not known. ERR_TOO_BIG: the
 * chain is full. Others as tka_aum_parse and tka_aum_verify say. *why: one sentence, static. *hash (on OK and ERR_EXISTS). */
MUST_USE err tka_chain_add(struct tka_chain *c, struct bytes raw, struct tka_hash *hash, const char **why);

size_t tka_chain_len(const struct tka_chain *c);
struct bytes tka_chain_raw(const struct tka_chain *c, size_t i); /* in the order they were added: 0 is the genesis */
/* Of the active chain; the chain is not empty. */
const struct tka_hash *tka_chain_head(const struct tka_chain *c);
const struct tka_state *tka_chain_state(const struct tka_chain *c);

/* What this side tells in an offer: checkpoints from the head backwards, the genesis last. Returns how many, at most cap (> 0). */
size_t tka_chain_ancestors(const struct tka_chain *c, struct tka_hash *out, size_t cap);
/* Updates that a peer with this head and these ancestors lacks, oldest first, as indexes for tka_chain_raw. ERR_NOT_FOUND: nothing is
 * common. out has room for tka_chain_len. */
MUST_USE err tka_chain_missing(const struct tka_chain *c, const struct tka_hash *head, const struct tka_hash *ancestors, size_t n,
		size_t *out, size_t *n_out);
