#include "client/wg/noise.h"

#include "common/base/cleanup.h"
#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/crypto/aead.h"
#include "common/crypto/blake2s.h"
#include "common/crypto/hkdf.h"
#include "common/crypto/x25519.h"

/* TAI is 10 s ahead of what Unix time began with, and its labels start at 2^62. */
#define TAI64_UNIX 0x400000000000000aULL

enum {
	NS_WHITE = 1 << 24, /* nanoseconds of one step */
	NS_SECOND = 1000000000,
};

static const uint8_t zero_nonce[AEAD_NONCE_LEN];
static const struct secret32 zero_psk;

static void noise_wipe(struct wg_noise *s)
{
	sodium_memzero(s, sizeof *s);
}

static void mix_hash(struct wg_noise *s, struct bytes in)
{
	struct blake2s b;

	blake2s_init(&b, sizeof s->h, (struct bytes){ 0 });
	blake2s_update(&b, bytes_of(s->h, sizeof s->h));
	blake2s_update(&b, in);
	blake2s_final(&b, s->h);
}

/* An ephemeral key goes into the chaining key as well, as in all patterns with a psk. */
static void mix_ephemeral(struct wg_noise *s, const uint8_t pub[32])
{
	hkdf1(&s->ck, bytes_of(pub, 32), &s->ck);
	mix_hash(s, bytes_of(pub, 32));
}

static err mix_dh(struct wg_noise *s, const struct secret32 *mine, const uint8_t theirs[32])
{
	CLEANUP(secret32_wipe) struct secret32 dh;

	TRY(x25519(mine, theirs, &dh));
	hkdf1(&s->ck, bytes_of(dh.b, sizeof dh.b), &s->ck);
	return OK;
}

static err seal_and_hash(struct wg_noise *s, const struct secret32 *k, struct bytes plain, uint8_t *out)
{
	TRY(aead_seal(k, zero_nonce, bytes_of(s->h, sizeof s->h), plain, out));
	mix_hash(s, bytes_of(out, plain.n + WG_TAG_LEN));
	return OK;
}

static err open_and_hash(struct wg_noise *s, const struct secret32 *k, struct bytes sealed, uint8_t *out)
{
	TRY(aead_open(k, zero_nonce, bytes_of(s->h, sizeof s->h), sealed, out));
	mix_hash(s, sealed);
	return OK;
}

/* The protocol's name, its identifier, and the responder's key, known beforehand. */
static void begin(struct wg_noise *s, const struct node_pub *responder)
{
	blake2s(s->h, sizeof s->h, (struct bytes){ 0 }, BYTES_LIT("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"));
	memcpy(s->ck.b, s->h, sizeof s->h);
	mix_hash(s, BYTES_LIT("WireGuard v1 zx2c4 Jason@zx2c4.com"));
	mix_hash(s, bytes_of(responder->b, sizeof responder->b));
}

struct wg_timestamp wg_timestamp_of(int64_t wall_ms)
{
	struct wg_timestamp t;
	struct writer w = wr_init(t.b, sizeof t.b);
	uint64_t ms = wall_ms > 0 ? (uint64_t)wall_ms : 0;

	wr_u64be(&w, TAI64_UNIX + ms / 1000);
	wr_u32be(&w, (uint32_t)(ms % 1000 * 1000000) & ~(uint32_t)(NS_WHITE - 1));
	return t;
}

struct wg_timestamp wg_timestamp_after(struct wg_timestamp t)
{
	struct reader r = rd_init(bytes_of(t.b, sizeof t.b));
	struct wg_timestamp next;
	struct writer w = wr_init(next.b, sizeof next.b);
	uint64_t s = rd_u64be(&r);
	uint32_t ns = (rd_u32be(&r) & ~(uint32_t)(NS_WHITE - 1)) + NS_WHITE;

	if (ns >= NS_SECOND) {
		ns = 0;
		s++;
	}
	wr_u64be(&w, s);
	wr_u32be(&w, ns);
	return next;
}

err wg_noise_static(const struct node_key *self, const struct node_pub *peer, struct secret32 *ss)
{
	return x25519(&self->secret, peer->b, ss);
}

err wg_noise_initiate(const struct node_key *self, const struct node_pub *peer, const struct secret32 *ss,
	struct wg_timestamp at, uint32_t index, struct wg_initiator *state, struct wg_initiation *out)
{
	CLEANUP(wg_initiator_wipe) struct wg_initiator i = { .index = index };
	CLEANUP(secret32_wipe) struct secret32 k, dh;
	struct wg_initiation m = { .sender = index };

	begin(&i.noise, peer);
	/* e */
	x25519_new(&i.e);
	x25519_public(&i.e, m.ephemeral);
	mix_ephemeral(&i.noise, m.ephemeral);
	/* es */
	TRY(x25519(&i.e, peer->b, &dh));
	hkdf2(&i.noise.ck, bytes_of(dh.b, sizeof dh.b), &i.noise.ck, &k);
	/* s */
	TRY(seal_and_hash(&i.noise, &k, bytes_of(self->pub.b, sizeof self->pub.b), m.sealed_static));
	/* ss */
	hkdf2(&i.noise.ck, bytes_of(ss->b, sizeof ss->b), &i.noise.ck, &k);
	/* timestamp */
	TRY(seal_and_hash(&i.noise, &k, bytes_of(at.b, sizeof at.b), m.sealed_timestamp));

	*state = i;
	*out = m;
	return OK;
}

err wg_noise_read_static(const struct node_key *self, const struct wg_initiation *m, struct wg_responder *state)
{
	CLEANUP(wg_responder_wipe) struct wg_responder r = { .index = m->sender };
	CLEANUP(secret32_wipe) struct secret32 k, dh;

	begin(&r.noise, &self->pub);
	/* e */
	memcpy(r.ephemeral, m->ephemeral, sizeof r.ephemeral);
	mix_ephemeral(&r.noise, m->ephemeral);
	/* es */
	TRY(x25519(&self->secret, m->ephemeral, &dh));
	hkdf2(&r.noise.ck, bytes_of(dh.b, sizeof dh.b), &r.noise.ck, &k);
	/* s */
	TRY(open_and_hash(&r.noise, &k, bytes_of(m->sealed_static, sizeof m->sealed_static), r.peer.b));

	*state = r;
	return OK;
}

err wg_noise_read_timestamp(
	const struct wg_initiation *m, const struct secret32 *ss, struct wg_responder *state, struct wg_timestamp *at)
{
	CLEANUP(noise_wipe) struct wg_noise s = state->noise;
	CLEANUP(secret32_wipe) struct secret32 k;
	struct wg_timestamp t;

	/* ss */
	hkdf2(&s.ck, bytes_of(ss->b, sizeof ss->b), &s.ck, &k);
	/* timestamp */
	TRY(open_and_hash(&s, &k, bytes_of(m->sealed_timestamp, sizeof m->sealed_timestamp), t.b));

	state->noise = s;
	*at = t;
	return OK;
}

static void mix_psk(struct wg_noise *s, const struct secret32 *psk, struct secret32 *k)
{
	CLEANUP(secret32_wipe) struct secret32 t;

	hkdf3(&s->ck, bytes_of((psk ? psk : &zero_psk)->b, 32), &s->ck, &t, k);
	mix_hash(s, bytes_of(t.b, sizeof t.b));
}

err wg_noise_respond(const struct wg_responder *state, const struct secret32 *psk, uint32_t index,
	struct wg_response *out, struct wg_keys *keys)
{
	CLEANUP(noise_wipe) struct wg_noise s = state->noise;
	CLEANUP(secret32_wipe) struct secret32 e, k;
	struct wg_response m = { .sender = index, .receiver = state->index };

	/* e */
	x25519_new(&e);
	x25519_public(&e, m.ephemeral);
	mix_ephemeral(&s, m.ephemeral);
	/* ee */
	TRY(mix_dh(&s, &e, state->ephemeral));
	/* se */
	TRY(mix_dh(&s, &e, state->peer.b));
	/* psk */
	mix_psk(&s, psk, &k);
	/* nothing */
	TRY(seal_and_hash(&s, &k, (struct bytes){ 0 }, m.sealed_nothing));

	hkdf2(&s.ck, (struct bytes){ 0 }, &keys->recv, &keys->send);
	*out = m;
	return OK;
}

err wg_noise_finish(const struct wg_initiator *state, const struct node_key *self, const struct secret32 *psk,
	const struct wg_response *m, struct wg_keys *keys)
{
	CLEANUP(noise_wipe) struct wg_noise s = state->noise;
	CLEANUP(secret32_wipe) struct secret32 k;
	uint8_t nothing[1];

	/* e */
	mix_ephemeral(&s, m->ephemeral);
	/* ee */
	TRY(mix_dh(&s, &state->e, m->ephemeral));
	/* se */
	TRY(mix_dh(&s, &self->secret, m->ephemeral));
	/* psk */
	mix_psk(&s, psk, &k);
	/* nothing */
	TRY(open_and_hash(&s, &k, bytes_of(m->sealed_nothing, sizeof m->sealed_nothing), nothing));

	hkdf2(&s.ck, (struct bytes){ 0 }, &keys->send, &keys->recv);
	return OK;
}
