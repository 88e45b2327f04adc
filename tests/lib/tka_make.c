#include "tests/lib/tka_make.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/crypto/blake2s.h"

struct tka_signer tka_signer(uint8_t seed)
{
	struct tka_signer s;
	uint8_t bytes[32];

	memset(bytes, seed, sizeof bytes);
	crypto_sign_seed_keypair(s.pub, s.secret, bytes);
	return s;
}

static void head(struct buf *b, unsigned major, size_t n)
{
	if (n < 24) {
		buf_append_u8(b, (uint8_t)(major << 5 | n));
	} else if (n < 256) {
		buf_append_u8(b, (uint8_t)(major << 5 | 24));
		buf_append_u8(b, (uint8_t)n);
	} else {
		buf_append_u8(b, (uint8_t)(major << 5 | 25));
		buf_append_u8(b, (uint8_t)(n >> 8));
		buf_append_u8(b, (uint8_t)n);
	}
}

static void number(struct buf *b, size_t n)
{
	head(b, 0, n);
}

static void string(struct buf *b, const void *p, size_t n)
{
	head(b, 2, n);
	buf_append(b, bytes_of(p, n));
}

static void null(struct buf *b)
{
	buf_append_u8(b, 0xf6);
}

static void key(struct buf *b, const struct tka_signer *k, unsigned votes)
{
	head(b, 5, 3);
	number(b, 1), number(b, 1);
	number(b, 2), number(b, votes);
	number(b, 3), string(b, k->pub, 32);
}

static void sign(struct bytes body, const struct tka_signer *s, uint8_t sig[64])
{
	uint8_t hash[32];

	blake2s(hash, sizeof hash, (struct bytes){ 0 }, body);
	crypto_sign_detached(sig, NULL, hash, sizeof hash, s->secret);
}

/* body: the AUM without signatures, with a map head of few entries. */
static void finish_aum(struct buf *out, struct buf *body, const struct tka_signer *const *signers, size_t n)
{
	struct bytes v = buf_view(body);
	uint8_t sig[64];

	if (!v.n)
		abort();
	buf_append_u8(out, (uint8_t)(v.p[0] + 1));
	buf_append(out, bytes_skip(v, 1));
	number(out, 23);
	head(out, 4, n);
	for (size_t i = 0; i < n; i++) {
		sign(v, signers[i], sig);
		head(out, 5, 2);
		number(out, 1), string(out, signers[i]->pub, 32);
		number(out, 2), string(out, sig, 64);
	}
	buf_done(body);
}

static void begin_aum(struct buf *body, unsigned entries, unsigned kind, const struct tka_hash *parent)
{
	*body = buf_make(1 << 16);
	head(body, 5, entries);
	number(body, 1), number(body, kind);
	number(body, 2);
	if (parent)
		string(body, parent->b, 32);
	else
		null(body);
}

void make_genesis(struct buf *out, const struct tka_signer *signer, const struct tka_signer *const *trusted, size_t n,
		const uint8_t disablement[32])
{
	struct buf body;

	begin_aum(&body, 3, TKA_CHECKPOINT, NULL);
	number(&body, 5);
	head(&body, 5, 4);
	number(&body, 1), null(&body);
	number(&body, 2), head(&body, 4, 1), string(&body, disablement, 32);
	number(&body, 3), head(&body, 4, n);
	for (size_t i = 0; i < n; i++)
		key(&body, trusted[i], 1);
	number(&body, 4), number(&body, 700);
	finish_aum(out, &body, &signer, 1);
}

void make_add_key(struct buf *out, const struct tka_signer *signer, const struct tka_hash *parent, const struct tka_signer *k, unsigned votes)
{
	struct buf body;

	begin_aum(&body, 3, TKA_ADD_KEY, parent);
	number(&body, 3), key(&body, k, votes);
	finish_aum(out, &body, &signer, 1);
}

void make_remove_key(struct buf *out, const struct tka_signer *const *signers, size_t n, const struct tka_hash *parent,
		const struct tka_signer *k)
{
	struct buf body;

	begin_aum(&body, 3, TKA_REMOVE_KEY, parent);
	number(&body, 4), string(&body, k->pub, 32);
	finish_aum(out, &body, signers, n);
}

static void node(struct buf *b, const struct node_pub *n)
{
	uint8_t text[34] = { 'n', 'p' };

	memcpy(text + 2, n->b, 32);
	string(b, text, sizeof text);
}

/* Fields 1 to 3, then the signature goes in, then 5 and 6. */
static void finish_nks(struct buf *out, unsigned entries, struct buf *before, struct buf *after, const struct tka_signer *s)
{
	struct buf whole = buf_make(1 << 14);
	uint8_t sig[64];

	head(&whole, 5, entries);
	buf_append(&whole, buf_view(before));
	buf_append(&whole, buf_view(after));
	sign(buf_view(&whole), s, sig);
	head(out, 5, entries + 1);
	buf_append(out, buf_view(before));
	number(out, 4), string(out, sig, 64);
	buf_append(out, buf_view(after));
	buf_done(&whole);
	buf_done(before);
	buf_done(after);
}

void make_direct(struct buf *out, const struct tka_signer *signer, const struct node_pub *n, const struct tka_signer *wrapping)
{
	struct buf before = buf_make(1 << 12), after = buf_make(1 << 12);

	number(&before, 1), number(&before, 1);
	number(&before, 2), node(&before, n);
	number(&before, 3), string(&before, signer->pub, 32);
	if (wrapping)
		number(&after, 6), string(&after, wrapping->pub, 32);
	finish_nks(out, wrapping ? 4 : 3, &before, &after, signer);
}

void make_credential(struct buf *out, const struct tka_signer *signer, const struct tka_signer *wrapping)
{
	struct buf before = buf_make(1 << 12), after = buf_make(1 << 12);

	number(&before, 1), number(&before, 3);
	number(&before, 3), string(&before, signer->pub, 32);
	number(&after, 6), string(&after, wrapping->pub, 32);
	finish_nks(out, 3, &before, &after, signer);
}

void make_rotation(struct buf *out, const struct tka_signer *wrapping, const struct node_pub *n, struct bytes nested)
{
	struct buf before = buf_make(1 << 12), after = buf_make(1 << 14);

	number(&before, 1), number(&before, 2);
	number(&before, 2), node(&before, n);
	number(&after, 5), buf_append(&after, nested);
	finish_nks(out, 3, &before, &after, wrapping);
}
