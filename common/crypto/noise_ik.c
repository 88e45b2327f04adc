#include "common/crypto/noise_ik.h"

#include <assert.h>
#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/crypto/aead.h"
#include "common/crypto/blake2s.h"
#include "common/crypto/hkdf.h"
#include "common/crypto/x25519.h"

_Static_assert((int)NOISE_TAG_LEN == (int)AEAD_TAG_LEN, "one tag");
_Static_assert(NOISE_INITIATION_LEN == 32 + 32 + 2 * NOISE_TAG_LEN && NOISE_RESPONSE_LEN == 32 + NOISE_TAG_LEN, "IK");

enum { PROLOGUE_MAX = 48 };

/* What both sides mix as they go (Noise: SymmetricState). The cipher key lives only between mix_dh and the one message
 * sealed with it, so its nonce is always zero. */
struct symmetric {
	uint8_t h[32];
	struct secret32 ck, k;
};

static void symmetric_wipe(struct symmetric *s)
{
	sodium_memzero(s, sizeof *s);
}

static void mix_hash(struct symmetric *s, struct bytes in)
{
	struct blake2s b;

	blake2s_init(&b, sizeof s->h, (struct bytes){ 0 });
	blake2s_update(&b, bytes_of(s->h, sizeof s->h));
	blake2s_update(&b, in);
	blake2s_final(&b, s->h);
}

static void mix_pub(struct symmetric *s, const uint8_t pub[32])
{
	mix_hash(s, bytes_of(pub, 32));
}

static err mix_dh(struct symmetric *s, const struct secret32 *mine, const uint8_t theirs[32])
{
	CLEANUP(secret32_wipe) struct secret32 dh;

	TRY(x25519(mine, theirs, &dh));
	hkdf2(&s->ck, bytes_of(dh.b, sizeof dh.b), &s->ck, &s->k);
	return OK;
}

static const uint8_t zero_nonce[AEAD_NONCE_LEN];

static err seal_and_hash(struct symmetric *s, struct bytes plain, uint8_t *out)
{
	TRY(aead_seal(&s->k, zero_nonce, bytes_of(s->h, sizeof s->h), plain, out));
	mix_hash(s, bytes_of(out, plain.n + NOISE_TAG_LEN));
	return OK;
}

/* out: sealed.n - NOISE_TAG_LEN bytes. */
static err open_and_hash(struct symmetric *s, struct bytes sealed, uint8_t *out)
{
	TRY(aead_open(&s->k, zero_nonce, bytes_of(s->h, sizeof s->h), sealed, out));
	mix_hash(s, sealed);
	return OK;
}

/* The protocol's name, the prologue with the client's version, and the server's key, known beforehand. */
static void begin(struct symmetric *s, uint16_t version, const struct machine_pub *server)
{
	char prologue[PROLOGUE_MAX];
	int n = snprintf(prologue, sizeof prologue, "Tailscale Control Protocol v%u", (unsigned)version);

	assert(n > 0 && n < (int)sizeof prologue);
	blake2s(s->h, sizeof s->h, (struct bytes){ 0 }, BYTES_LIT("Noise_IK_25519_ChaChaPoly_BLAKE2s"));
	memcpy(s->ck.b, s->h, sizeof s->h);
	mix_hash(s, bytes_of(prologue, (size_t)n));
	mix_pub(s, server->b);
}

/* Ends the handshake: a key a direction, counters at zero. */
static void split(struct symmetric *s, bool is_server, const struct machine_pub *peer, struct noise_session *out)
{
	struct secret32 *c2s = is_server ? &out->transport.recv_key : &out->transport.send_key;
	struct secret32 *s2c = is_server ? &out->transport.send_key : &out->transport.recv_key;

	*out = (struct noise_session){ .peer = *peer };
	hkdf2(&s->ck, (struct bytes){ 0 }, c2s, s2c);
	memcpy(out->handshake_hash, s->h, sizeof out->handshake_hash);
}

err noise_initiator_start(struct noise_initiator *i, uint16_t version, const struct machine_key *self,
	const struct machine_pub *server, uint8_t initiation[NOISE_INITIATION_LEN])
{
	CLEANUP(symmetric_wipe) struct symmetric s;
	CLEANUP(secret32_wipe) struct secret32 e;
	uint8_t message[NOISE_INITIATION_LEN], e_pub[32], sealed_s[32 + NOISE_TAG_LEN], tag[NOISE_TAG_LEN];
	struct writer w = wr_init(message, sizeof message);

	begin(&s, version, server);
	/* e */
	x25519_new(&e);
	x25519_public(&e, e_pub);
	wr_bytes(&w, bytes_of(e_pub, sizeof e_pub));
	mix_pub(&s, e_pub);
	/* es */
	TRY(mix_dh(&s, &e, server->b));
	/* s */
	TRY(seal_and_hash(&s, bytes_of(self->pub.b, sizeof self->pub.b), sealed_s));
	wr_bytes(&w, bytes_of(sealed_s, sizeof sealed_s));
	/* ss */
	TRY(mix_dh(&s, &self->secret, server->b));
	/* empty payload */
	TRY(seal_and_hash(&s, (struct bytes){ 0 }, tag));
	wr_bytes(&w, bytes_of(tag, sizeof tag));
	assert(!w.bad && w.n == sizeof message);

	*i = (struct noise_initiator){ .self = *self, .server = *server, .e = e, .ck = s.ck };
	memcpy(i->h, s.h, sizeof i->h);
	memcpy(initiation, message, sizeof message);
	return OK;
}

err noise_initiator_finish(const struct noise_initiator *i, struct bytes response, struct noise_session *out)
{
	CLEANUP(symmetric_wipe) struct symmetric s = { .ck = i->ck };
	struct reader r = rd_init(response);
	uint8_t e_pub[32], nothing[1];

	if (response.n != NOISE_RESPONSE_LEN)
		return ERR_MALFORMED;
	memcpy(s.h, i->h, sizeof s.h);
	/* e */
	rd_copy(&r, e_pub, sizeof e_pub);
	mix_pub(&s, e_pub);
	/* ee */
	TRY(mix_dh(&s, &i->e, e_pub));
	/* se */
	TRY(mix_dh(&s, &i->self.secret, e_pub));
	/* empty payload */
	TRY(open_and_hash(&s, rd_take(&r, NOISE_TAG_LEN), nothing));
	assert(rd_done(&r));

	split(&s, false, &i->server, out);
	return OK;
}

err noise_respond(uint16_t version, const struct machine_key *self, struct bytes initiation,
	uint8_t response[NOISE_RESPONSE_LEN], struct noise_session *out)
{
	CLEANUP(symmetric_wipe) struct symmetric s;
	CLEANUP(secret32_wipe) struct secret32 e;
	struct machine_pub peer;
	struct reader r = rd_init(initiation);
	uint8_t their_e[32], e_pub[32], tag[NOISE_TAG_LEN], nothing[1], message[NOISE_RESPONSE_LEN];
	struct writer w = wr_init(message, sizeof message);

	if (initiation.n != NOISE_INITIATION_LEN)
		return ERR_MALFORMED;
	begin(&s, version, &self->pub);
	/* e */
	rd_copy(&r, their_e, sizeof their_e);
	mix_pub(&s, their_e);
	/* es */
	TRY(mix_dh(&s, &self->secret, their_e));
	/* s */
	TRY(open_and_hash(&s, rd_take(&r, 32 + NOISE_TAG_LEN), peer.b));
	/* ss */
	TRY(mix_dh(&s, &self->secret, peer.b));
	/* empty payload */
	TRY(open_and_hash(&s, rd_take(&r, NOISE_TAG_LEN), nothing));
	assert(rd_done(&r));

	/* e */
	x25519_new(&e);
	x25519_public(&e, e_pub);
	wr_bytes(&w, bytes_of(e_pub, sizeof e_pub));
	mix_pub(&s, e_pub);
	/* ee */
	TRY(mix_dh(&s, &e, their_e));
	/* se */
	TRY(mix_dh(&s, &e, peer.b));
	/* empty payload */
	TRY(seal_and_hash(&s, (struct bytes){ 0 }, tag));
	wr_bytes(&w, bytes_of(tag, sizeof tag));
	assert(!w.bad && w.n == sizeof message);

	memcpy(response, message, sizeof message);
	split(&s, true, &peer, out);
	return OK;
}

/* Four zero bytes, then the counter in big-endian, though Noise says little-endian: tailscale@de9ec7ee2
 * control/controlbase/conn.go, type nonce. */
static void transport_nonce(uint64_t n, uint8_t out[AEAD_NONCE_LEN])
{
	struct writer w = wr_init(out, AEAD_NONCE_LEN);

	wr_u32be(&w, 0);
	wr_u64be(&w, n);
}

err noise_seal(struct noise_transport *t, uint8_t *p, size_t n)
{
	uint8_t nonce[AEAD_NONCE_LEN];

	if (t->send_n == NOISE_COUNTER_END)
		return ERR_CLOSED;
	/* The number is spent even if sealing fails: part of the key stream may have been written. */
	transport_nonce(t->send_n++, nonce);
	return aead_seal(&t->send_key, nonce, (struct bytes){ 0 }, bytes_of(p, n), p);
}

err noise_open(struct noise_transport *t, uint8_t *p, size_t n)
{
	uint8_t nonce[AEAD_NONCE_LEN];

	if (t->recv_n == NOISE_COUNTER_END)
		return ERR_CLOSED;
	transport_nonce(t->recv_n, nonce);
	TRY(aead_open(&t->recv_key, nonce, (struct bytes){ 0 }, bytes_of(p, n), p));
	t->recv_n++;
	return OK;
}
