#include "common/wire/tka.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/reader.h"
#include "common/crypto/blake2s.h"
#include "common/wire/cbor.h"

/* ---- CBOR, as far as CTAP2 allows it and tailnet lock uses it ---- */

enum { CBOR_SMALL_MAP = 0xa0, SMALL = 24 };

static bool take_null(struct reader *r)
{
	struct reader peek = *r;
	struct cbor_head i = cbor_take_head(&peek);

	if (peek.bad || i.major != CBOR_SIMPLE || i.v != CBOR_NULL)
		return false;
	*r = peek;
	return true;
}

static void take_exact(struct reader *r, uint8_t *out, size_t n)
{
	struct bytes b = cbor_take_string(r, CBOR_BYTES);

	r->bad |= b.n != n;
	if (!r->bad)
		memcpy(out, b.p, n);
}

/* The next key of a map with small number keys: they go up. */
static unsigned take_field(struct reader *r, int *last)
{
	uint64_t k = cbor_take(r, CBOR_UINT);

	if (k >= SMALL || (int)k <= *last)
		r->bad = true;
	*last = r->bad ? SMALL : (int)k;
	return r->bad ? SMALL : (unsigned)k;
}

/* A map's number of entries: each has at least two bytes. */
static size_t take_map(struct reader *r)
{
	uint64_t n = cbor_take(r, CBOR_MAP);

	if (n > r->rest.n / 2)
		r->bad = true;
	return r->bad ? 0 : (size_t)n;
}

static size_t take_array(struct reader *r, size_t max, bool *too_many)
{
	uint64_t n = cbor_take(r, CBOR_ARRAY);

	*too_many |= n > max;
	if (n > max)
		r->bad = true;
	return r->bad ? 0 : (size_t)n;
}

static struct bytes since(struct bytes start, const struct reader *r)
{
	return bytes_first(start, start.n - r->rest.n);
}

/* {text: text}: shorter keys first, then by bytes. Empty ones are not written by clients. */
static struct bytes take_meta(struct reader *r, bool *too_many)
{
	struct bytes start = r->rest, last = { 0 };
	size_t n = take_map(r), total = 0;

	r->bad |= n == 0;
	for (size_t i = 0; i < n && !r->bad; i++) {
		struct bytes key = cbor_take_string(r, CBOR_TEXT), value = cbor_take_string(r, CBOR_TEXT);
		if (i && (key.n < last.n || (key.n == last.n && memcmp(key.p, last.p, key.n) <= 0)))
			r->bad = true;
		if (!bytes_is_utf8(key) || !bytes_is_utf8(value))
			r->bad = true;
		last = key;
		total += key.n + value.n;
	}
	*too_many |= total > TKA_META_MAX;
	return r->bad ? (struct bytes){ 0 } : since(start, r);
}

/* ---- keys and state ---- */

static uint32_t take_votes(struct reader *r, bool *too_many)
{
	uint64_t v = cbor_take(r, CBOR_UINT);

	*too_many |= v > TKA_VOTES_MAX;
	r->bad |= v == 0;
	return v > TKA_VOTES_MAX ? 0 : (uint32_t)v;
}

static void take_key(struct reader *r, struct tka_key *out, bool *too_many)
{
	size_t n = take_map(r), needed = 0;
	int last = -1;

	*out = (struct tka_key){ 0 };
	for (size_t i = 0; i < n && !r->bad; i++) {
		switch (take_field(r, &last)) {
		case 1:
			r->bad |= cbor_take(r, CBOR_UINT) != 1; /* Ed25519 is all there is */
			needed++;
			break;
		case 2:
			out->votes = take_votes(r, too_many);
			needed++;
			break;
		case 3:
			take_exact(r, out->pub, sizeof out->pub);
			needed++;
			break;
		case 12:
			out->meta = take_meta(r, too_many);
			break;
		default:
			r->bad = true;
		}
	}
	r->bad |= needed != 3;
}

err tka_state_init(struct tka_state *s)
{
	*s = (struct tka_state){ .key = calloc(TKA_KEYS_MAX, sizeof *s->key) };
	return s->key ? OK : ERR_NOMEM;
}

void tka_state_done(struct tka_state *s)
{
	free(s->key);
	*s = (struct tka_state){ 0 };
}

const struct tka_key *tka_state_key(const struct tka_state *s, const uint8_t id[32])
{
	for (size_t i = 0; i < s->n_keys; i++)
		if (memcmp(s->key[i].pub, id, 32) == 0)
			return &s->key[i];
	return NULL;
}

static void take_disablements(struct reader *r, struct tka_state *s, bool *too_many)
{
	size_t n = take_array(r, TKA_DISABLEMENTS_MAX, too_many);

	r->bad |= n == 0;
	for (size_t i = 0; i < n && !r->bad; i++) {
		take_exact(r, s->disablement[i], 32);
		for (size_t k = 0; k < i; k++)
			r->bad |= memcmp(s->disablement[k], s->disablement[i], 32) == 0;
	}
	s->n_disablements = n;
}

static void take_keys(struct reader *r, struct tka_state *s, bool *too_many)
{
	size_t n = take_array(r, TKA_KEYS_MAX, too_many);

	r->bad |= n == 0;
	s->n_keys = 0;
	for (size_t i = 0; i < n && !r->bad; i++) {
		struct tka_key k;
		take_key(r, &k, too_many);
		r->bad |= tka_state_key(s, k.pub) != NULL;
		s->key[s->n_keys++] = k;
	}
}

/* As it stands in a checkpoint: without a head of its own. */
static void take_state(struct reader *r, struct tka_state *s, bool *too_many)
{
	size_t n = take_map(r), needed = 0;
	int last = -1;

	for (size_t i = 0; i < n && !r->bad; i++) {
		switch (take_field(r, &last)) {
		case 1:
			r->bad |= !take_null(r);
			needed++;
			break;
		case 2:
			take_disablements(r, s, too_many);
			needed++;
			break;
		case 3:
			take_keys(r, s, too_many);
			needed++;
			break;
		case 4:
			s->id1 = cbor_take(r, CBOR_UINT);
			r->bad |= s->id1 == 0;
			break;
		case 5:
			s->id2 = cbor_take(r, CBOR_UINT);
			r->bad |= s->id2 == 0;
			break;
		default:
			r->bad = true;
		}
	}
	r->bad |= needed != 3;
}

static err state_parse(struct bytes raw, struct tka_state *s)
{
	struct reader r = rd_init(raw);
	bool too_many = false;

	take_state(&r, s, &too_many);
	return rd_done(&r) && !too_many ? OK : ERR_MALFORMED;
}

/* ---- hashes ---- */

static struct tka_hash hash_of(struct bytes raw)
{
	struct tka_hash h;

	blake2s(h.b, sizeof h.b, (struct bytes){ 0 }, raw);
	return h;
}

/* The hash of an object without one of its entries; without.n 0: of all of it. Maps are small: their head is one byte. */
static struct tka_hash hash_without(struct bytes raw, struct bytes without)
{
	struct blake2s s;
	struct tka_hash h;
	uint8_t head = (uint8_t)(raw.p[0] - (without.n ? 1 : 0));
	size_t before = without.n ? (size_t)(without.p - raw.p) : raw.n;

	blake2s_init(&s, sizeof h.b, (struct bytes){ 0 });
	blake2s_update(&s, bytes_of(&head, 1));
	blake2s_update(&s, bytes_skip(bytes_first(raw, before), 1));
	if (without.n)
		blake2s_update(&s, bytes_skip(raw, before + without.n));
	blake2s_final(&s, h.b);
	return h;
}

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

char *tka_hash_text(const struct tka_hash *h, char out[TKA_HASH_TEXT_MAX])
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	for (size_t i = 0; i < TKA_HASH_LEN; i++) {
		bits = bits << 8 | h->b[i];
		for (have += 8; have >= 5; have -= 5)
			out[n++] = base32[bits >> (have - 5) & 31];
	}
	out[n++] = base32[bits << (5 - have) & 31]; /* 256 bits leave one over */
	out[n] = 0;
	return out;
}

err tka_hash_parse(struct bytes text, struct tka_hash *out)
{
	struct tka_hash h = { 0 };
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	if (text.n != TKA_HASH_TEXT_MAX - 1)
		return ERR_MALFORMED;
	for (size_t i = 0; i < text.n; i++) {
		const char *at = text.p[i] ? strchr(base32, text.p[i]) : NULL;
		if (!at)
			return ERR_MALFORMED;
		bits = bits << 5 | (uint32_t)(at - base32);
		have += 5;
		if (have >= 8 && n < TKA_HASH_LEN) {
			h.b[n++] = (uint8_t)(bits >> (have - 8));
			have -= 8;
		}
	}
	if (bits & ((1u << have) - 1)) /* four bits that mean nothing */
		return ERR_MALFORMED;
	*out = h;
	return OK;
}

/* ---- AUMs ---- */

static void take_sigs(struct reader *r, struct tka_aum *a, bool *too_many)
{
	size_t n = take_array(r, TKA_SIGS_MAX, too_many);

	r->bad |= n == 0;
	for (size_t i = 0; i < n && !r->bad; i++) {
		r->bad |= take_map(r) != 2 || cbor_take(r, CBOR_UINT) != 1;
		take_exact(r, a->sig[i].key, 32);
		r->bad |= cbor_take(r, CBOR_UINT) != 2;
		take_exact(r, a->sig[i].sig, 64);
	}
	a->n_sigs = n;
}

enum { HAS_KIND = 1, HAS_PARENT = 2, HAS_KEY = 4, HAS_KEY_ID = 8, HAS_STATE = 16, HAS_VOTES = 32, HAS_META = 64 };

static bool fields_fit(const struct tka_aum *a, unsigned has)
{
	unsigned base = HAS_KIND | HAS_PARENT;

	switch (a->kind) {
	case TKA_ADD_KEY:
		return has == (base | HAS_KEY);
	case TKA_REMOVE_KEY:
		return has == (base | HAS_KEY_ID);
	case TKA_NO_OP:
		return has == base;
	case TKA_UPDATE_KEY:
		return (has & ~(unsigned)(HAS_VOTES | HAS_META)) == (base | HAS_KEY_ID) && has & (HAS_VOTES | HAS_META);
	case TKA_CHECKPOINT:
		return has == (base | HAS_STATE);
	}
	return false;
}

err tka_aum_parse(struct bytes raw, struct tka_aum *out)
{
	struct reader r = rd_init(raw);
	struct tka_aum a = { 0 };
	struct bytes sigs = { 0 };
	bool too_many = false, unknown = false;
	unsigned has = 0;
	struct tka_state scratch;
	int last = -1;

	if (raw.n > TKA_AUM_MAX)
		return ERR_TOO_BIG;
	TRY(tka_state_init(&scratch));
	size_t n = take_map(&r);
	uint64_t kind = 0;
	for (size_t i = 0; i < n && !r.bad && !unknown; i++) {
		struct bytes start = r.rest;
		switch (take_field(&r, &last)) {
		case 1:
			kind = cbor_take(&r, CBOR_UINT);
			has |= HAS_KIND;
			break;
		case 2:
			a.has_parent = !take_null(&r);
			if (a.has_parent)
				take_exact(&r, a.parent.b, sizeof a.parent.b);
			has |= HAS_PARENT;
			break;
		case 3:
			take_key(&r, &a.key, &too_many);
			has |= HAS_KEY;
			break;
		case 4:
			take_exact(&r, a.key_id, sizeof a.key_id);
			has |= HAS_KEY_ID;
			break;
		case 5: {
			struct bytes state = r.rest;
			take_state(&r, &scratch, &too_many);
			a.state = since(state, &r);
			has |= HAS_STATE;
			break;
		}
		case 6:
			a.key.votes = take_votes(&r, &too_many);
			a.has_votes = true;
			has |= HAS_VOTES;
			break;
		case 7:
			a.key.meta = take_meta(&r, &too_many);
			a.has_meta = true;
			has |= HAS_META;
			break;
		case 23:
			take_sigs(&r, &a, &too_many);
			sigs = since(start, &r);
			break;
		default:
			unknown = !r.bad;
		}
	}
	tka_state_done(&scratch);
	if (too_many)
		return ERR_TOO_BIG;
	if (unknown)
		return ERR_UNSUPPORTED;
	if (!rd_done(&r))
		return ERR_MALFORMED;
	if (kind < TKA_ADD_KEY || kind > TKA_CHECKPOINT)
		return kind ? ERR_UNSUPPORTED : ERR_MALFORMED;
	a.kind = (enum tka_kind)kind;
	if (!fields_fit(&a, has))
		return ERR_MALFORMED;
	a.hash = hash_of(raw);
	a.sig_hash = hash_without(raw, sigs);
	*out = a;
	return OK;
}

static err refuse(const char **why, err e, const char *text)
{
	*why = text;
	return e;
}

static err check_sigs(const struct tka_aum *a, const struct tka_state *s, const char **why)
{
	if (!a->n_sigs)
		return refuse(why, ERR_AUTH, "the update is not signed");
	for (size_t i = 0; i < a->n_sigs; i++) {
		if (!tka_state_key(s, a->sig[i].key))
			return refuse(why, ERR_AUTH, "the update is signed by a key that is not trusted");
		if (crypto_sign_verify_detached(a->sig[i].sig, a->sig_hash.b, sizeof a->sig_hash.b, a->sig[i].key) != 0)
			return refuse(why, ERR_AUTH, "a signature of the update is wrong");
	}
	return OK;
}

err tka_aum_verify(const struct tka_aum *a, const struct tka_state *s, const char **why)
{
	struct tka_state own;

	if (!s->has_head) { /* a genesis trusts itself */
		if (a->has_parent || a->kind != TKA_CHECKPOINT)
			return refuse(why, ERR_INVALID, "the first update must be a checkpoint without a parent");
		TRY(tka_state_init(&own));
		err e = state_parse(a->state, &own);
		if (e == OK)
			e = check_sigs(a, &own, why);
		tka_state_done(&own);
		return e;
	}
	if (!a->has_parent || !tka_hash_eq(&a->parent, &s->head))
		return refuse(why, ERR_INVALID, "the update follows another state");
	TRY(check_sigs(a, s, why));
	if (a->kind == TKA_REMOVE_KEY && s->n_keys == 1 && tka_state_key(s, a->key_id))
		return refuse(why, ERR_INVALID, "the last trusted key cannot be removed");
	return OK;
}

static err apply_checkpoint(struct tka_state *s, const struct tka_aum *a, const char **why)
{
	struct tka_state now;

	TRY(tka_state_init(&now));
	err e = state_parse(a->state, &now);
	if (e == OK && s->has_head && (now.id1 != s->id1 || now.id2 != s->id2))
		e = refuse(why, ERR_INVALID, "the checkpoint belongs to another authority");
	if (e != OK) {
		tka_state_done(&now);
		return e;
	}
	tka_state_done(s);
	*s = now;
	return OK;
}

err tka_state_apply(struct tka_state *s, const struct tka_aum *a, const char **why)
{
	struct tka_key *k = (struct tka_key *)(uintptr_t)tka_state_key(s, a->kind == TKA_ADD_KEY ? a->key.pub : a->key_id);

	switch (a->kind) {
	case TKA_ADD_KEY:
		if (k)
			return refuse(why, ERR_INVALID, "the key is trusted already");
		if (s->n_keys == TKA_KEYS_MAX)
			return refuse(why, ERR_TOO_BIG, "too many trusted keys");
		s->key[s->n_keys++] = a->key;
		break;
	case TKA_REMOVE_KEY:
		if (!k)
			return refuse(why, ERR_INVALID, "there is no such trusted key");
		memmove(k, k + 1, (size_t)(s->key + s->n_keys - (k + 1)) * sizeof *k);
		s->n_keys--;
		break;
	case TKA_UPDATE_KEY:
		if (!k)
			return refuse(why, ERR_INVALID, "there is no such trusted key");
		if (a->has_votes)
			k->votes = a->key.votes;
		if (a->has_meta)
			k->meta = a->key.meta;
		break;
	case TKA_NO_OP:
		break;
	case TKA_CHECKPOINT:
		TRY(apply_checkpoint(s, a, why));
		break;
	}
	s->head = a->hash;
	s->has_head = true;
	return OK;
}

uint64_t tka_aum_weight(const struct tka_aum *a, const struct tka_state *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < a->n_sigs; i++) {
		const struct tka_key *k = tka_state_key(s, a->sig[i].key);
		bool again = false;
		for (size_t j = 0; j < i; j++)
			again |= memcmp(a->sig[j].key, a->sig[i].key, 32) == 0;
		if (k && !again)
			sum += k->votes;
	}
	return sum;
}

/* ---- signatures of node keys ---- */

enum nks_kind { NKS_DIRECT = 1, NKS_ROTATION, NKS_CREDENTIAL };

struct nks { /* one level */
	uint64_t kind;
	bool has_node, has_key_id, has_sig, has_wrapping;
	struct node_pub node;
	uint8_t key_id[32], sig[64], wrapping[32];
	struct bytes nested; /* n 0: none */
	struct tka_hash sig_hash;
};

/* A node key is written as "np" and its 32 bytes. */
static void take_node(struct reader *r, struct node_pub *out)
{
	struct bytes b = cbor_take_string(r, CBOR_BYTES);

	r->bad |= b.n != 2 + sizeof out->b || !bytes_has_prefix(b, BYTES_LIT("np"));
	if (!r->bad)
		memcpy(out->b, b.p + 2, sizeof out->b);
}

static void take_nks(struct reader *r, unsigned depth, struct nks *out)
{
	struct bytes start = r->rest, sig = { 0 };
	struct nks s = { 0 }, inner;
	size_t n = take_map(r);
	int last = -1;

	r->bad |= depth > TKA_NESTING_MAX;
	for (size_t i = 0; i < n && !r->bad; i++) {
		struct bytes entry = r->rest;
		switch (take_field(r, &last)) {
		case 1:
			s.kind = cbor_take(r, CBOR_UINT);
			break;
		case 2:
			take_node(r, &s.node);
			s.has_node = true;
			break;
		case 3:
			take_exact(r, s.key_id, sizeof s.key_id);
			s.has_key_id = true;
			break;
		case 4:
			take_exact(r, s.sig, sizeof s.sig);
			s.has_sig = true;
			sig = since(entry, r);
			break;
		case 5: {
			struct bytes nested = r->rest;
			take_nks(r, depth + 1, &inner);
			s.nested = since(nested, r);
			break;
		}
		case 6:
			take_exact(r, s.wrapping, sizeof s.wrapping);
			s.has_wrapping = true;
			break;
		default:
			r->bad = true;
		}
	}
	r->bad |= s.kind < NKS_DIRECT || s.kind > NKS_CREDENTIAL;
	if (!r->bad)
		s.sig_hash = hash_without(since(start, r), sig);
	*out = s;
}

static err nks_parse(struct bytes raw, struct nks *out)
{
	struct reader r = rd_init(raw);

	if (raw.n > TKA_NKS_MAX)
		return ERR_TOO_BIG;
	take_nks(&r, 1, out);
	return rd_done(&r) ? OK : ERR_MALFORMED;
}

/* The key that must sign whatever wraps this one. */
static bool wrapping_key(const struct nks *s, uint8_t out[32])
{
	struct nks at = *s;

	while (!at.has_wrapping) {
		if (at.kind != NKS_ROTATION || !at.nested.n || nks_parse(at.nested, &at) != OK)
			return false;
	}
	memcpy(out, at.wrapping, 32);
	return true;
}

err tka_nks_subject(struct bytes raw, struct node_pub *node, uint8_t key_id[32])
{
	struct nks s;

	TRY(nks_parse(raw, &s));
	if (s.kind == NKS_CREDENTIAL || !s.has_node)
		return ERR_AUTH; /* it authorises no node by itself */
	struct node_pub subject = s.node;
	while (s.kind == NKS_ROTATION) {
		if (!s.nested.n)
			return ERR_AUTH;
		TRY(nks_parse(s.nested, &s));
	}
	if (!s.has_key_id)
		return ERR_AUTH;
	*node = subject;
	memcpy(key_id, s.key_id, 32);
	return OK;
}

err tka_nks_authorizes(struct bytes raw, const struct tka_state *s, const struct node_pub *node)
{
	struct nks at, next;
	uint8_t key[32];

	TRY(nks_parse(raw, &at));
	if (at.kind == NKS_CREDENTIAL || !at.has_node || !node_pub_eq(&at.node, node))
		return ERR_AUTH;
	while (at.kind == NKS_ROTATION) {
		if (!at.has_sig || !at.nested.n)
			return ERR_AUTH;
		TRY(nks_parse(at.nested, &next));
		if (!wrapping_key(&next, key) || crypto_sign_verify_detached(at.sig, at.sig_hash.b, sizeof at.sig_hash.b, key) != 0)
			return ERR_AUTH;
		if (next.kind != NKS_CREDENTIAL && !next.has_node)
			return ERR_AUTH;
		at = next;
	}
	if (at.nested.n || !at.has_sig || !at.has_key_id)
		return ERR_AUTH;
	const struct tka_key *k = tka_state_key(s, at.key_id);
	if (!k || crypto_sign_verify_detached(at.sig, at.sig_hash.b, sizeof at.sig_hash.b, k->pub) != 0)
		return ERR_AUTH;
	return OK;
}
