#include "common/crypto/argon2i.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/writer.h"

enum {
	WORDS = 128, /* 1 KiB in words */
	SLICES = 4,
	PREHASH_LEN = 64,
	TYPE_I = 1,
	VERSION = 0x13,
};

struct block {
	uint64_t w[WORDS];
};

struct argon2i {
	struct argon2i_cost cost;
	struct block *memory; /* lanes rows of lane_len */
	uint32_t lane_len, slice_len, total;
	struct block addresses;	 /* of the 128 next references */
	/* where the work is */
	uint32_t pass, slice, lane, index;
};

/* ---- the hash of variable length ---- */

static void hash_long(uint8_t *out, size_t n, struct bytes in)
{
	crypto_generichash_state s;
	uint8_t v[64], len[4];
	struct writer w = wr_init(len, sizeof len);

	wr_u32le(&w, (uint32_t)n);
	crypto_generichash_init(&s, NULL, 0, n < 64 ? n : 64);
	crypto_generichash_update(&s, len, sizeof len);
	crypto_generichash_update(&s, in.p, in.n);
	if (n <= 64) {
		crypto_generichash_final(&s, out, n);
		return;
	}
	crypto_generichash_final(&s, v, 64);
	memcpy(out, v, 32);
	for (out += 32, n -= 32; n > 64; out += 32, n -= 32) {
		crypto_generichash(v, 64, v, 64, NULL, 0);
		memcpy(out, v, 32);
	}
	crypto_generichash(out, n, v, 64, NULL, 0);
}

static void load(struct block *b, const uint8_t *p)
{
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t v = 0;
		for (int k = 7; k >= 0; k--)
			v = v << 8 | p[8 * i + (size_t)k];
		b->w[i] = v;
	}
}

static void store(uint8_t *p, const struct block *b)
{
	for (size_t i = 0; i < WORDS; i++)
		for (size_t k = 0; k < 8; k++)
			p[8 * i + k] = (uint8_t)(b->w[i] >> (8 * k));
}

/* ---- the compression function ---- */

static uint64_t rotr(uint64_t v, unsigned n)
{
	return v >> n | v << (64 - n);
}

/* Addition with a multiplication of the low halves. */
static uint64_t mul_add(uint64_t x, uint64_t y)
{
	return x + y + 2 * (uint64_t)(uint32_t)x * (uint32_t)y;
}

static void quarter(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d)
{
	*a = mul_add(*a, *b), *d = rotr(*d ^ *a, 32);
	*c = mul_add(*c, *d), *b = rotr(*b ^ *c, 24);
	*a = mul_add(*a, *b), *d = rotr(*d ^ *a, 16);
	*c = mul_add(*c, *d), *b = rotr(*b ^ *c, 63);
}

/* 16 words at v, in eight pairs that lie stride words apart. */
static void permute(uint64_t *v, size_t stride)
{
#define V(i) (&v[((i) / 2) * stride + (i) % 2])
	quarter(V(0), V(4), V(8), V(12));
	quarter(V(1), V(5), V(9), V(13));
	quarter(V(2), V(6), V(10), V(14));
	quarter(V(3), V(7), V(11), V(15));
	quarter(V(0), V(5), V(10), V(15));
	quarter(V(1), V(6), V(11), V(12));
	quarter(V(2), V(7), V(8), V(13));
	quarter(V(3), V(4), V(9), V(14));
#undef V
}

/* out = G(a, b), or out ^= it. */
static void compress(const struct block *a, const struct block *b, struct block *out, bool with_old)
{
	struct block r, z;

	for (size_t i = 0; i < WORDS; i++)
		r.w[i] = a->w[i] ^ b->w[i];
	z = r;
	for (size_t row = 0; row < 8; row++)
		permute(&z.w[16 * row], 2);
	for (size_t column = 0; column < 8; column++)
		permute(&z.w[2 * column], 16);
	for (size_t i = 0; i < WORDS; i++) {
		uint64_t v = r.w[i] ^ z.w[i];
		out->w[i] = with_old ? out->w[i] ^ v : v;
	}
}

/* ---- filling the memory ---- */

static struct block *at(struct argon2i *a, uint32_t lane, uint32_t column)
{
	return &a->memory[(size_t)lane * a->lane_len + column];
}

/* Type i: what is read does not depend on the password. */
static void next_addresses(struct argon2i *a)
{
	static const struct block zero;
	struct block in = { { a->pass, a->lane, a->slice, a->total, a->cost.passes, TYPE_I, a->index / WORDS + 1 } };

	compress(&zero, &in, &in, false);
	compress(&zero, &in, &a->addresses, false);
}

/* Which finished block is mixed in, by a pseudo-random word (RFC 9106, 3.4.2). */
static struct block *reference(struct argon2i *a, uint64_t random)
{
	uint32_t lane = a->pass == 0 && a->slice == 0 ? a->lane : (uint32_t)(random >> 32) % a->cost.lanes;
	bool same = lane == a->lane;
	uint32_t area, start = 0;

	if (a->pass == 0)
		area = a->slice * a->slice_len + (same ? a->index - 1 : 0) - (!same && a->index == 0 ? 1 : 0);
	else
		area = a->lane_len - a->slice_len + (same ? a->index - 1 : 0) - (!same && a->index == 0 ? 1 : 0);
	uint64_t x = (uint64_t)(uint32_t)random * (uint32_t)random >> 32;
	uint32_t back = (uint32_t)((uint64_t)area * x >> 32);
	if (a->pass)
		start = (a->slice + 1) % SLICES * a->slice_len;
	return at(a, lane, (start + area - 1 - back) % a->lane_len);
}

static void fill_one(struct argon2i *a)
{
	uint32_t column = a->slice * a->slice_len + a->index;
	struct block *prev = at(a, a->lane, column ? column - 1 : a->lane_len - 1);

	if (a->index % WORDS == 0 || (a->pass == 0 && a->slice == 0 && a->index == 2))
		next_addresses(a);
	compress(prev, reference(a, a->addresses.w[a->index % WORDS]), at(a, a->lane, column), a->pass > 0);
}

/* To the next block that is to be computed. */
static void advance(struct argon2i *a)
{
	if (++a->index < a->slice_len)
		return;
	a->index = 0;
	if (++a->lane == a->cost.lanes) {
		a->lane = 0;
		if (++a->slice == SLICES) {
			a->slice = 0;
			a->pass++;
		}
	}
	if (a->pass == 0 && a->slice == 0)
		a->index = 2; /* made from the password */
}

bool argon2i_step(struct argon2i *a, size_t blocks)
{
	for (; blocks && a->pass < a->cost.passes; blocks--) {
		fill_one(a);
		advance(a);
	}
	return a->pass == a->cost.passes;
}

/* ---- begin and end ---- */

static void update_u32(crypto_generichash_state *s, uint32_t v)
{
	uint8_t b[4];
	struct writer w = wr_init(b, sizeof b);

	wr_u32le(&w, v);
	crypto_generichash_update(s, b, sizeof b);
}

static void first_blocks(struct argon2i *a, struct bytes password, struct bytes salt)
{
	crypto_generichash_state s;
	uint8_t seed[PREHASH_LEN + 8], bytes[8 * WORDS];

	crypto_generichash_init(&s, NULL, 0, PREHASH_LEN);
	update_u32(&s, a->cost.lanes);
	update_u32(&s, ARGON2I_LEN);
	update_u32(&s, a->cost.kib);
	update_u32(&s, a->cost.passes);
	update_u32(&s, VERSION);
	update_u32(&s, TYPE_I);
	update_u32(&s, (uint32_t)password.n);
	crypto_generichash_update(&s, password.p, password.n);
	update_u32(&s, (uint32_t)salt.n);
	crypto_generichash_update(&s, salt.p, salt.n);
	update_u32(&s, 0); /* no secret */
	update_u32(&s, 0); /* no associated data */
	crypto_generichash_final(&s, seed, PREHASH_LEN);
	for (uint32_t lane = 0; lane < a->cost.lanes; lane++)
		for (uint32_t i = 0; i < 2; i++) {
			struct writer w = wr_init(seed + PREHASH_LEN, 8);

			wr_u32le(&w, i);
			wr_u32le(&w, lane);
			hash_long(bytes, sizeof bytes, bytes_of(seed, sizeof seed));
			load(at(a, lane, i), bytes);
		}
	sodium_memzero(seed, sizeof seed);
	sodium_memzero(bytes, sizeof bytes);
}

err argon2i_new(struct bytes password, struct bytes salt, struct argon2i_cost cost, struct argon2i **out)
{
	if (!cost.passes || !cost.lanes || cost.lanes > ARGON2I_LANES_MAX || cost.kib < 8 * cost.lanes || cost.kib > ARGON2I_KIB_MAX ||
			password.n > ARGON2I_PASSWORD_MAX || salt.n < 8 || salt.n > ARGON2I_SALT_MAX)
		return ERR_INVALID;
	struct argon2i *a = calloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	a->cost = cost;
	a->slice_len = cost.kib / (SLICES * cost.lanes);
	a->lane_len = a->slice_len * SLICES;
	a->total = a->lane_len * cost.lanes;
	a->memory = malloc((size_t)a->total * sizeof *a->memory);
	if (!a->memory) {
		free(a);
		return ERR_NOMEM;
	}
	first_blocks(a, password, salt);
	a->index = 2;
	*out = a;
	return OK;
}

void argon2i_free(struct argon2i *a)
{
	if (!a)
		return;
	sodium_memzero(a->memory, (size_t)a->total * sizeof *a->memory);
	free(a->memory);
	free(a);
}

void argon2i_result(struct argon2i *a, uint8_t out[ARGON2I_LEN])
{
	struct block last = *at(a, 0, a->lane_len - 1);
	uint8_t bytes[8 * WORDS];

	for (uint32_t lane = 1; lane < a->cost.lanes; lane++)
		for (size_t i = 0; i < WORDS; i++)
			last.w[i] ^= at(a, lane, a->lane_len - 1)->w[i];
	store(bytes, &last);
	hash_long(out, ARGON2I_LEN, bytes_of(bytes, sizeof bytes));
	sodium_memzero(bytes, sizeof bytes);
}
