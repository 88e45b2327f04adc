#include "server/login/webauthn.h"

#include <sodium.h>
#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/net/addr.h"
#include "common/text/base64.h"
#include "common/text/json.h"
#include "common/wire/cbor.h"
#include "server/login/cose.h"

enum { RANDOM = 16, END = 8, MAC = 16, CHALLENGE = RANDOM + END + 1 + MAC };
enum { HASH = crypto_hash_sha256_BYTES, AAGUID = 16, CLIENT_DATA_DEPTH = 8, STATEMENTS_MAX = 8 };
_Static_assert((int)WEBAUTHN_CHALLENGE_LEN == ((int)CHALLENGE * 4 + 2) / 3, "base64url of a challenge");

/* ---- where ---- */

static bool copy_text(char *dst, size_t cap, struct bytes text)
{
	if (text.n >= cap || bytes_copy(dst, cap, text) != OK)
		return false;
	dst[text.n] = 0;
	return true;
}

/* An origin as browsers write it: without the port that the scheme has anyway, in lower case. */
bool webauthn_site_of(const char *server_url, struct webauthn_site *out)
{
	bool https = strncmp(server_url, "https://", 8) == 0;
	struct bytes rest, authority = bytes_skip(bytes_str(server_url), https ? 8 : 7), port;
	struct bytes usual = https ? BYTES_LIT(":443") : BYTES_LIT(":80");
	struct addr a;

	authority = bytes_cut(authority, '/', &rest);
	if (authority.n > usual.n && bytes_eq(bytes_skip(authority, authority.n - usual.n), usual))
		authority = bytes_first(authority, authority.n - usual.n);
	struct bytes host = bytes_cut(authority, ':', &port);
	if (!host.n || host.p[0] == '[' || addr_parse(host, &a) == OK || (!https && !bytes_eq_str(host, "localhost")))
		return false;
	struct webauthn_site s;
	if (!copy_text(s.rp_id, sizeof s.rp_id, host) || !copy_text(s.origin, sizeof s.origin, authority))
		return false;
	snprintf(s.origin, sizeof s.origin, "%s://%.*s", https ? "https" : "http", (int)authority.n, (const char *)authority.p);
	for (char *p = s.origin; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
	for (char *p = s.rp_id; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
	*out = s;
	return true;
}

void webauthn_user_handle(int64_t tailnet_id, int64_t user_id, uint8_t out[WEBAUTHN_HANDLE_LEN])
{
	char text[64];
	int n = snprintf(text, sizeof text, "fairlead passkey of user %lld/%lld", (long long)tailnet_id, (long long)user_id);

	crypto_generichash(out, WEBAUTHN_HANDLE_LEN, (const unsigned char *)text, (size_t)n, NULL, 0);
}

/* ---- challenges ---- */

static void mac_of(const struct secret32 *key, const uint8_t head[RANDOM + END + 1], const char *bind, uint8_t out[MAC])
{
	static const char purpose[] = "fairlead passkey challenge";
	crypto_generichash_state s;

	crypto_generichash_init(&s, key->b, sizeof key->b, MAC);
	crypto_generichash_update(&s, (const unsigned char *)purpose, sizeof purpose);
	crypto_generichash_update(&s, head, RANDOM + END + 1);
	crypto_generichash_update(&s, (const unsigned char *)bind, strlen(bind));
	crypto_generichash_final(&s, out, MAC);
}

void webauthn_challenge(const struct secret32 *key, enum webauthn_purpose p, const char *bind, int64_t now_ms, char out[WEBAUTHN_CHALLENGE_LEN + 1])
{
	uint8_t b[CHALLENGE];
	uint64_t end = (uint64_t)(now_ms + WEBAUTHN_TTL_MS);

	random_fill(b, RANDOM);
	for (size_t i = 0; i < END; i++)
		b[RANDOM + i] = (uint8_t)(end >> (8 * (END - 1 - i)));
	b[RANDOM + END] = (uint8_t)p;
	mac_of(key, b, bind, b + RANDOM + END + 1);
	base64url_encode(bytes_of(b, sizeof b), out);
}

static err check_challenge(const struct webauthn_want *w, struct bytes text, const char **why)
{
	uint8_t b[CHALLENGE], mac[MAC];
	size_t n = 0;

	*why = "this sign-in was not begun here, or not by this browser";
	if (base64url_decode(text, b, sizeof b, &n) != OK || n != sizeof b || b[RANDOM + END] != (uint8_t)w->purpose)
		return ERR_AUTH;
	mac_of(w->key, b, w->bind, mac);
	if (sodium_memcmp(mac, b + RANDOM + END + 1, MAC) != 0)
		return ERR_AUTH;
	struct reader r = rd_init(bytes_of(b + RANDOM, END));
	int64_t end = (int64_t)rd_u64be(&r);
	*why = "this took too long; try again";
	return end > w->now_ms && end <= w->now_ms + WEBAUTHN_TTL_MS ? OK : ERR_AUTH;
}

/* ---- what the browser says ---- */

static err check_client_data(const struct webauthn_want *w, struct bytes text, const char *type, char challenge[WEBAUTHN_CHALLENGE_LEN + 1],
		const char **why)
{
	CLEANUP(json_decrefp) json_t *o = NULL;
	struct json_error error;

	*why = "the browser's answer cannot be read";
	if (json_parse(text, WEBAUTHN_CLIENT_DATA_MAX, CLIENT_DATA_DEPTH, &o, &error) != OK)
		return ERR_MALFORMED;
	const char *said = json_string_value(json_object_get(o, "type")), *origin = json_string_value(json_object_get(o, "origin"));
	const char *given = json_string_value(json_object_get(o, "challenge"));
	if (!said || strcmp(said, type) != 0 || !origin || !given || strlen(given) != WEBAUTHN_CHALLENGE_LEN)
		return ERR_MALFORMED;
	TRY(check_challenge(w, bytes_str(given), why));
	*why = "the passkey was used on another site";
	if (strcmp(origin, w->site->origin) != 0 || json_is_true(json_object_get(o, "crossOrigin")))
		return ERR_AUTH;
	memcpy(challenge, given, WEBAUTHN_CHALLENGE_LEN + 1);
	return OK;
}

err webauthn_parse_auth_data(struct bytes in, struct webauthn_auth_data *out)
{
	struct reader r = rd_init(in);
	struct webauthn_auth_data d = { 0 };
	struct cose_key key;
	size_t used = 0;

	d.rp_hash = rd_take(&r, HASH);
	d.flags = rd_u8(&r);
	d.count = rd_u32be(&r);
	if (d.flags & WEBAUTHN_HAS_KEY) {
		rd_take(&r, AAGUID);
		d.id = rd_take(&r, rd_u16be(&r));
		if (r.bad || !d.id.n || d.id.n > PASSKEY_ID_MAX)
			return ERR_MALFORMED;
		TRY(cose_parse(r.rest, &key, &used));
		d.cose = rd_take(&r, used);
		if (used > PASSKEY_COSE_MAX)
			return ERR_MALFORMED;
	}
	if (d.flags & WEBAUTHN_HAS_EXTENSIONS)
		cbor_skip(&r);
	if (r.bad || r.rest.n)
		return ERR_MALFORMED;
	*out = d;
	return OK;
}

static err check_auth_data(const struct webauthn_want *w, struct bytes in, bool has_key, struct webauthn_auth_data *d, const char **why)
{
	const unsigned both = WEBAUTHN_USER_PRESENT | WEBAUTHN_USER_VERIFIED;
	uint8_t hash[HASH];

	*why = "the passkey's answer cannot be read";
	err e = webauthn_parse_auth_data(in, d);
	if (e == ERR_UNSUPPORTED)
		*why = "this passkey makes signatures of a kind that is not taken here";
	TRY(e);
	if ((d->cose.n != 0) != has_key)
		return ERR_MALFORMED;
	crypto_hash_sha256(hash, (const unsigned char *)w->site->rp_id, strlen(w->site->rp_id));
	*why = "the passkey belongs to another site";
	if (!bytes_eq(d->rp_hash, bytes_of(hash, sizeof hash)))
		return ERR_AUTH;
	*why = "the passkey did not ask for a fingerprint, a face or a PIN";
	return (d->flags & both) == both ? OK : ERR_AUTH;
}

/* {"fmt": text, "attStmt": {…}, "authData": bytes}, in any order, each once. */
err webauthn_attested(struct bytes in, struct bytes *out)
{
	struct reader r = rd_init(in);
	struct bytes data = { 0 };
	bool fmt = false, statement = false;

	for (size_t n = cbor_take_map(&r, STATEMENTS_MAX); n && !r.bad; n--) {
		struct bytes name = cbor_take_string(&r, CBOR_TEXT);
		if (bytes_eq_str(name, "fmt") && !fmt) {
			fmt = cbor_take_string(&r, CBOR_TEXT).n != 0;
		} else if (bytes_eq_str(name, "attStmt") && !statement) {
			statement = r.rest.n && r.rest.p[0] >> 5 == CBOR_MAP;
			cbor_skip(&r);
		} else if (bytes_eq_str(name, "authData") && !data.n) {
			data = cbor_take_string(&r, CBOR_BYTES);
		} else {
			r.bad = true;
		}
	}
	if (r.bad || r.rest.n || !fmt || !statement || !data.n || data.n > WEBAUTHN_AUTH_DATA_MAX)
		return ERR_MALFORMED;
	*out = data;
	return OK;
}

err webauthn_check_made(const struct webauthn_want *w, struct bytes client_data, struct bytes attestation, struct webauthn_made *out,
		char challenge[WEBAUTHN_CHALLENGE_LEN + 1], const char **why)
{
	struct webauthn_auth_data d;
	struct cose_key key;
	struct bytes data;
	size_t used;

	TRY(check_client_data(w, client_data, "webauthn.create", challenge, why));
	*why = "the passkey's answer cannot be read";
	if (attestation.n > WEBAUTHN_ATTESTATION_MAX)
		return ERR_MALFORMED;
	TRY(webauthn_attested(attestation, &data));
	TRY(check_auth_data(w, data, true, &d, why));
	*why = "the passkey's public key is no point of its curve";
	if (cose_parse(d.cose, &key, &used) != OK || !cose_is_key(&key))
		return ERR_AUTH;
	*out = (struct webauthn_made){ .id = d.id, .cose = d.cose, .alg = key.alg, .count = d.count, .synced = d.flags & WEBAUTHN_BACKED_UP };
	return OK;
}

err webauthn_verify(struct bytes cose, struct bytes client_data, struct bytes auth_data, struct bytes signature)
{
	uint8_t message[WEBAUTHN_AUTH_DATA_MAX + HASH];
	struct cose_key key;
	size_t used;

	if (auth_data.n > WEBAUTHN_AUTH_DATA_MAX || signature.n > WEBAUTHN_SIGNATURE_MAX)
		return ERR_MALFORMED;
	TRY(cose_parse(cose, &key, &used));
	memcpy(message, auth_data.p, auth_data.n);
	crypto_hash_sha256(message + auth_data.n, client_data.p, client_data.n);
	return cose_verify(&key, bytes_of(message, auth_data.n + HASH), signature);
}

err webauthn_check_shown(const struct webauthn_want *w, struct bytes cose, struct bytes client_data, struct bytes auth_data,
		struct bytes signature, struct webauthn_shown *out, char challenge[WEBAUTHN_CHALLENGE_LEN + 1], const char **why)
{
	struct webauthn_auth_data d;

	TRY(check_client_data(w, client_data, "webauthn.get", challenge, why));
	TRY(check_auth_data(w, auth_data, false, &d, why));
	*why = "the passkey's signature is wrong";
	TRY(webauthn_verify(cose, client_data, auth_data, signature));
	*out = (struct webauthn_shown){ .count = d.count, .synced = d.flags & WEBAUTHN_BACKED_UP };
	return OK;
}
