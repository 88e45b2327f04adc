#include "common/net/tls_record.h"

#include <endian.h>
#include <sodium.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/base/writer.h"
#include "common/crypto/tls_aead.h"

enum {
	TAG_LEN = TLS_AEAD_TAG_LEN,
	KEY_MAX = 32,
	SHA256_LEN = 32,
	SHA384_LEN = 48,
	HANDSHAKE_TICKET = 4,
	HANDSHAKE_KEY_UPDATE = 24,
	KEY_UPDATE_LEN = 5, /* type, u24 length, request */
};

/* One direction. */
struct half {
	struct tls_aead *aead;
	uint8_t secret[TLS_SECRET_MAX];
	uint8_t iv[TLS_AEAD_NONCE_LEN];
	uint64_t iv_low; /* its last 8 bytes, as they lie */
	uint64_t seq;
};
struct tls_record {
	enum tls_aead_kind kind;
	size_t secret_n;
	struct half in, out;
	uint64_t rekey_after;
	unsigned idle; /* records in a row without data */
	unsigned credit; /* for KeyUpdates, in records of data */
	bool owes_update;
	bool skip_tickets;
	const char *why; /* NULL: well */
	enum tls_alert alert;
};

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* HKDF-Expand-Label without context, RFC 8446 7.1; n is at most the hash's length, so that one block is all. */
static bool expand(const struct tls_record *r, const uint8_t *secret, const char *label, uint8_t *out, size_t n)
{
	uint8_t info[64], full[SHA384_LEN];
	struct writer w = wr_init(info, sizeof info);
	size_t label_n = strlen(label);
	unsigned full_n = SHA384_LEN;
	bool ok = true;

	wr_u16be(&w, (uint16_t)n);
	wr_u8(&w, (uint8_t)(6 + label_n));
	wr_bytes(&w, BYTES_LIT("tls13 "));
	wr_bytes(&w, bytes_of((const uint8_t *)label, label_n));
	wr_u8(&w, 0); /* no context */
	wr_u8(&w, 1); /* the block's number, HKDF's */
	if (r->secret_n == SHA256_LEN)
		crypto_auth_hmacsha256(full, info, w.n, secret);
	else
		ok = HMAC(EVP_sha384(), secret, (int)r->secret_n, info, w.n, full, &full_n) != NULL;
	if (ok)
		memcpy(out, full, n);
	sodium_memzero(full, sizeof full);
	return ok && !w.bad;
}

/* Key and IV of h->secret. */
static err set_keys(struct tls_record *r, struct half *h, enum tls_aead_dir dir)
{
	uint8_t key[KEY_MAX];
	err e = ERR_NOMEM;

	if (expand(r, h->secret, "key", key, tls_aead_key_len(r->kind)) && expand(r, h->secret, "iv", h->iv, sizeof h->iv))
		e = h->aead ? tls_aead_rekey(h->aead, key) : tls_aead_new(r->kind, dir, key, &h->aead);
	sodium_memzero(key, sizeof key);
	memcpy(&h->iv_low, h->iv + 4, sizeof h->iv_low);
	h->seq = 0;
	return e;
}

static bool next_keys(struct tls_record *r, struct half *h, enum tls_aead_dir dir)
{
	uint8_t next[TLS_SECRET_MAX];
	bool ok = expand(r, h->secret, "traffic upd", next, r->secret_n);

	memcpy(h->secret, next, r->secret_n);
	sodium_memzero(next, sizeof next);
	return ok && set_keys(r, h, dir) == OK;
}

static void freep_record(struct tls_record **r)
{
	tls_record_free(*r);
}

err tls_record_new(unsigned suite, const struct tls_secrets *s, struct tls_record **out)
{
	CLEANUP(freep_record) struct tls_record *r = calloc(1, sizeof *r);

	if (!r)
		return ERR_NOMEM;
	switch (suite) {
	case TLS_SUITE_AES128:
		r->kind = TLS_AEAD_AES128, r->secret_n = SHA256_LEN;
		break;
	case TLS_SUITE_AES256:
		r->kind = TLS_AEAD_AES256, r->secret_n = SHA384_LEN;
		break;
	case TLS_SUITE_CHACHA:
		r->kind = TLS_AEAD_CHACHA, r->secret_n = SHA256_LEN;
		break;
	default:
		return ERR_UNSUPPORTED;
	}
	if (s->in_n != r->secret_n || s->out_n != r->secret_n)
		return ERR_UNSUPPORTED;
	r->rekey_after = TLS_RECORD_REKEY_AFTER;
	r->credit = TLS_RECORD_UPDATES_FREE * TLS_RECORD_UPDATE_COST;
	memcpy(r->in.secret, s->in, r->secret_n);
	memcpy(r->out.secret, s->out, r->secret_n);
	TRY(set_keys(r, &r->in, TLS_AEAD_OPEN));
	TRY(set_keys(r, &r->out, TLS_AEAD_SEAL));
	*out = MOVE(r);
	return OK;
}

void tls_record_free(struct tls_record *r)
{
	if (!r)
		return;
	tls_aead_free(r->in.aead);
	tls_aead_free(r->out.aead);
	sodium_memzero(r, sizeof *r);
	free(r);
}

/* The record's nonce, and the next record's number. */
static void take_nonce(struct half *h, uint8_t nonce[TLS_AEAD_NONCE_LEN])
{
	uint64_t low = h->iv_low ^ htobe64(h->seq);

	memcpy(nonce, h->iv, 4);
	memcpy(nonce + 4, &low, sizeof low);
	h->seq++; /* new keys are made long before it could wrap; a peer that does not would take centuries */
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static enum tls_record_step bad(struct tls_record *r, enum tls_alert alert, const char *why)
{
	r->why = why;
	r->alert = alert;
	return TLS_RECORD_BAD;
}

static enum tls_record_step on_alert(struct tls_record *r, struct bytes b)
{
	if (b.n != 2)
		return bad(r, b.n ? TLS_ALERT_DECODE_ERROR : TLS_ALERT_UNEXPECTED_MESSAGE, "a malformed alert");
	if (b.p[1] == TLS_ALERT_CLOSE_NOTIFY)
		return TLS_RECORD_END;
	if (b.p[1] == TLS_ALERT_USER_CANCELED) /* close_notify follows */
		return TLS_RECORD_NONE;
	return bad(r, TLS_ALERT_CLOSE_NOTIFY, "the peer sent an alert");
}

/* KeyUpdate is the only message that we agreed to: no tickets, no certificate requests. Never cut in pieces: keys change
 * with its last byte. */
static enum tls_record_step on_handshake(struct tls_record *r, struct bytes b)
{
	if (r->skip_tickets && b.n && b.p[0] == HANDSHAKE_TICKET)
		return TLS_RECORD_NONE; /* of any number, up to the records without data that are let pass */
	if (b.n < 1 || b.p[0] != HANDSHAKE_KEY_UPDATE)
		return bad(r, TLS_ALERT_UNEXPECTED_MESSAGE, "a handshake message after the handshake");
	if (b.n > KEY_UPDATE_LEN)
		return bad(r, TLS_ALERT_UNEXPECTED_MESSAGE, "a KeyUpdate that does not end its record");
	if (b.n != KEY_UPDATE_LEN || b.p[1] || b.p[2] || b.p[3] != 1)
		return bad(r, TLS_ALERT_DECODE_ERROR, "a malformed KeyUpdate");
	if (b.p[4] > 1)
		return bad(r, TLS_ALERT_ILLEGAL_PARAMETER, "a malformed KeyUpdate");
	if (r->credit < TLS_RECORD_UPDATE_COST)
		return bad(r, TLS_ALERT_UNEXPECTED_MESSAGE, "too many KeyUpdates");
	r->credit -= TLS_RECORD_UPDATE_COST;
	if (!next_keys(r, &r->in, TLS_AEAD_OPEN))
		return bad(r, TLS_ALERT_INTERNAL_ERROR, "no new keys");
	if (b.p[4])
		r->owes_update = true; /* once, however often it asks before we write */
	return TLS_RECORD_NONE;
}

static enum tls_record_step on_plain(struct tls_record *r, uint8_t *dst, size_t sealed_n, size_t *n)
{
	size_t k = sealed_n;

	while (k && !dst[k - 1]) /* padding */
		k--;
	if (!k)
		return bad(r, TLS_ALERT_UNEXPECTED_MESSAGE, "a record of padding alone");
	uint8_t type = dst[--k];

	if (k > TLS_RECORD_PLAIN_MAX)
		return bad(r, TLS_ALERT_RECORD_OVERFLOW, "a record is too long");
	if (type == TLS_RECORD_DATA && k) {
		r->idle = 0;
		r->credit += r->credit < TLS_RECORD_UPDATES_FREE * TLS_RECORD_UPDATE_COST;
		*n = k;
		return TLS_RECORD_GOT;
	}
	if (++r->idle > TLS_RECORD_IDLE_MAX)
		return bad(r, TLS_ALERT_UNEXPECTED_MESSAGE, "too many records without data");
	switch (type) {
	case TLS_RECORD_DATA:
		return TLS_RECORD_NONE;
	case TLS_RECORD_ALERT:
		return on_alert(r, bytes_of(dst, k));
	case TLS_RECORD_HANDSHAKE:
		return on_handshake(r, bytes_of(dst, k));
	default:
		return bad(r, TLS_ALERT_UNEXPECTED_MESSAGE, "a record of an unknown type");
	}
}

enum tls_record_step tls_record_open(struct tls_record *r, struct bytes raw, uint8_t *dst, size_t cap, size_t *used, size_t *n)
{
	if (r->why)
		return TLS_RECORD_BAD;
	if (raw.n < TLS_RECORD_HEADER_LEN)
		return TLS_RECORD_MORE;
	size_t body_n = (size_t)raw.p[3] << 8 | raw.p[4];

	if (raw.p[0] != TLS_RECORD_DATA || raw.p[1] != 3)
		return bad(r, TLS_ALERT_UNEXPECTED_MESSAGE, "no record of TLS 1.3");
	if (body_n > TLS_RECORD_MAX - TLS_RECORD_HEADER_LEN)
		return bad(r, TLS_ALERT_RECORD_OVERFLOW, "a record is too long");
	if (body_n <= TAG_LEN)
		return bad(r, TLS_ALERT_BAD_RECORD_MAC, "a record is too short");
	if (raw.n - TLS_RECORD_HEADER_LEN < body_n)
		return TLS_RECORD_MORE;
	if (cap < body_n - TAG_LEN)
		return TLS_RECORD_ROOM;
	uint8_t nonce[TLS_AEAD_NONCE_LEN];
	struct bytes header = bytes_first(raw, TLS_RECORD_HEADER_LEN), body = bytes_of(raw.p + TLS_RECORD_HEADER_LEN, body_n);

	take_nonce(&r->in, nonce);
	if (tls_aead_open(r->in.aead, nonce, header, body, dst) != OK)
		return bad(r, TLS_ALERT_BAD_RECORD_MAC, "a record was changed on its way");
	*used = TLS_RECORD_HEADER_LEN + body_n;
	return on_plain(r, dst, body_n - TAG_LEN, n);
}

const char *tls_record_why(const struct tls_record *r)
{
	return r->why ? r->why : "";
}

enum tls_alert tls_record_alert(const struct tls_record *r)
{
	return r->alert;
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

size_t tls_record_seal(struct tls_record *r, enum tls_record_type type, struct bytes b, uint8_t *dst)
{
	size_t body_n = b.n + 1 + TAG_LEN;
	uint8_t nonce[TLS_AEAD_NONCE_LEN];
	const uint8_t inner = (uint8_t)type;

	dst[0] = TLS_RECORD_DATA;
	dst[1] = dst[2] = 3;
	dst[3] = (uint8_t)(body_n >> 8);
	dst[4] = (uint8_t)body_n;
	take_nonce(&r->out, nonce);
	if (r->out.seq >= r->rekey_after)
		r->owes_update = true;
	if (tls_aead_seal(r->out.aead, nonce, bytes_of(dst, TLS_RECORD_HEADER_LEN), b, bytes_of(&inner, 1),
		    dst + TLS_RECORD_HEADER_LEN) != OK)
		return 0;
	return TLS_RECORD_HEADER_LEN + body_n;
}

void tls_record_skip_tickets(struct tls_record *r)
{
	r->skip_tickets = true;
}

void tls_record_rekey_after(struct tls_record *r, uint64_t records)
{
	r->rekey_after = records;
}

bool tls_record_owes_update(const struct tls_record *r)
{
	return r->owes_update;
}

size_t tls_record_update(struct tls_record *r, uint8_t *dst)
{
	static const uint8_t update[KEY_UPDATE_LEN] = { HANDSHAKE_KEY_UPDATE, 0, 0, 1, 0 };
	size_t n = tls_record_seal(r, TLS_RECORD_HANDSHAKE, bytes_of(update, sizeof update), dst);

	if (!n || !next_keys(r, &r->out, TLS_AEAD_SEAL))
		return 0;
	r->owes_update = false;
	return n;
}
