/* Passkeys: what browsers send is read as W3C's test vectors have it, and taken only for this site, this purpose, now, and signed. */
#include "server/login/webauthn.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/text/hex.h"
#include "server/login/cose.h"
#include "tests/lib/test.h"
#include "tests/unit/server/login/webauthn_vectors.h"

static const struct secret32 key = { { 7, 7, 7 } };
static struct webauthn_site site;

/* ---- W3C's ---- */

static struct bytes unhex(const char *text)
{
	size_t n = strlen(text) / 2;
	uint8_t *out = malloc(n ? n : 1); /* exact, so that one byte over is seen */

	assert_non_null(out);
	assert_ok(hex_decode(bytes_str(text), out, n));
	return bytes_of(out, n);
}

static void the_vectors_of_w3c(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof webauthn_vectors / sizeof webauthn_vectors[0]; i++) {
		const struct webauthn_vector *v = &webauthn_vectors[i];
		struct bytes attestation = unhex(v->attestation), auth = unhex(v->auth_data), client = unhex(v->client_data), sig = unhex(v->signature), data;
		struct webauthn_auth_data made, shown;
		assert_ok(webauthn_attested(attestation, &data));
		if (strcmp(v->name, "es384") == 0) {
			assert_int_equal(webauthn_parse_auth_data(data, &made), ERR_UNSUPPORTED);
		} else {
			struct cose_key k;
			size_t used;
			assert_ok(webauthn_parse_auth_data(data, &made));
			assert_ok(cose_parse(made.cose, &k, &used));
			assert_true(cose_is_key(&k));
			assert_int_equal(k.alg, v->name[0] == 'r' ? PASSKEY_RS256 : v->name[1] == 'd' ? PASSKEY_EDDSA : PASSKEY_ES256);
			assert_int_equal(made.id.n, strcmp(v->name, "es256_long_id") == 0 ? PASSKEY_ID_MAX : 32);
			assert_ok(webauthn_parse_auth_data(auth, &shown));
			assert_int_equal(shown.cose.n, 0);
			assert_true(bytes_eq(made.rp_hash, shown.rp_hash));
			assert_ok(webauthn_verify(made.cose, client, auth, sig));
			/* Nothing of it may differ. */
			for (size_t at = 0; at < auth.n; at += 7) {
				((uint8_t *)(uintptr_t)auth.p)[at] ^= 1;
				assert_int_equal(webauthn_verify(made.cose, client, auth, sig), ERR_AUTH);
				((uint8_t *)(uintptr_t)auth.p)[at] ^= 1;
			}
			((uint8_t *)(uintptr_t)client.p)[20] ^= 1;
			assert_int_equal(webauthn_verify(made.cose, client, auth, sig), ERR_AUTH);
			assert_int_equal(webauthn_verify(made.cose, client, auth, bytes_first(sig, sig.n - 1)), ERR_AUTH);
		}
		/* Cut at each length it is not read, and nothing beyond it is. */
		for (size_t n = 0; n < data.n; n++) {
			uint8_t *cut = malloc(n ? n : 1);
			assert_non_null(cut);
			memcpy(cut, data.p, n);
			assert_int_not_equal(webauthn_parse_auth_data(bytes_of(cut, n), &made), OK);
			free(cut);
		}
		for (size_t n = 0; n < attestation.n; n++) {
			uint8_t *cut = malloc(n ? n : 1);
			struct bytes ignored;
			assert_non_null(cut);
			memcpy(cut, attestation.p, n);
			assert_int_equal(webauthn_attested(bytes_of(cut, n), &ignored), ERR_MALFORMED);
			free(cut);
		}
		free((void *)(uintptr_t)attestation.p), free((void *)(uintptr_t)auth.p), free((void *)(uintptr_t)client.p), free((void *)(uintptr_t)sig.p);
	}
}

/* ---- an authenticator in here ---- */

struct authenticator {
	EVP_PKEY *ec;
	uint8_t ed_public[32], ed_secret[64];
	bool ed;
	uint8_t flags;
	uint32_t count;
	const char *rp_id, *origin, *type, *more; /* NULL: as it should be */
};

static void put_head(struct buf *b, unsigned major, unsigned n)
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

static void put_cose(struct buf *b, const struct authenticator *a)
{
	if (a->ed) {
		static const uint8_t head[] = { 0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32 };
		buf_append(b, bytes_of(head, sizeof head));
		buf_append(b, bytes_of(a->ed_public, 32));
		return;
	}
	uint8_t point[65];
	size_t n;
	static const uint8_t head[] = { 0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32 }, second[] = { 0x22, 0x58, 32 };
	assert_int_equal(EVP_PKEY_get_octet_string_param(a->ec, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n), 1);
	buf_append(b, bytes_of(head, sizeof head));
	buf_append(b, bytes_of(point + 1, 32));
	buf_append(b, bytes_of(second, sizeof second));
	buf_append(b, bytes_of(point + 33, 32));
}

static void put_auth_data(struct buf *b, const struct authenticator *a, bool with_key)
{
	uint8_t hash[32];
	const char *rp = a->rp_id ? a->rp_id : site.rp_id;

	crypto_hash_sha256(hash, (const uint8_t *)rp, strlen(rp));
	buf_append(b, bytes_of(hash, sizeof hash));
	buf_append_u8(b, (uint8_t)(a->flags | (with_key ? WEBAUTHN_HAS_KEY : 0)));
	for (int i = 3; i >= 0; i--)
		buf_append_u8(b, (uint8_t)(a->count >> (8 * i)));
	if (!with_key)
		return;
	buf_append(b, bytes_of((uint8_t[16]){ 0 }, 16));
	buf_append_u8(b, 0), buf_append_u8(b, 4), buf_append_str(b, "id-1");
	put_cose(b, a);
}

static void put_client_data(struct buf *b, const struct authenticator *a, const char *type, const char *challenge)
{
	buf_printf(b, "{\"type\":\"%s\",\"challenge\":\"%s\",\"origin\":\"%s\"%s}", a->type ? a->type : type, challenge,
			a->origin ? a->origin : site.origin, a->more ? a->more : ",\"crossOrigin\":false");
}

static struct buf sign(const struct authenticator *a, struct bytes auth, struct bytes client)
{
	struct buf message = buf_make(8192), out = buf_make(1024);
	uint8_t hash[32], sig[256];
	size_t n = sizeof sig;

	crypto_hash_sha256(hash, client.p, client.n);
	buf_append(&message, auth);
	buf_append(&message, bytes_of(hash, sizeof hash));
	struct bytes m = buf_view(&message);
	if (a->ed) {
		crypto_sign_detached(sig, NULL, m.p, m.n, a->ed_secret);
		n = 64;
	} else {
		EVP_MD_CTX *c = EVP_MD_CTX_new();
		assert_int_equal(EVP_DigestSignInit_ex(c, NULL, "SHA256", NULL, NULL, a->ec, NULL), 1);
		assert_int_equal(EVP_DigestSign(c, sig, &n, m.p, m.n), 1);
		EVP_MD_CTX_free(c);
	}
	buf_append(&out, bytes_of(sig, n));
	buf_done(&message);
	return out;
}

static struct authenticator authenticator_new(bool ed)
{
	struct authenticator a = { .ed = ed, .flags = WEBAUTHN_USER_PRESENT | WEBAUTHN_USER_VERIFIED, .count = 1 };

	crypto_sign_keypair(a.ed_public, a.ed_secret);
	a.ec = EVP_EC_gen("P-256");
	assert_non_null(a.ec);
	return a;
}

static err make(const struct authenticator *a, const struct webauthn_want *w, const char *challenge, struct buf *cose)
{
	struct buf client = buf_make(4096), auth = buf_make(4096), object = buf_make(8192);
	struct webauthn_made made;
	char used[WEBAUTHN_CHALLENGE_LEN + 1];
	const char *why = NULL;

	put_client_data(&client, a, "webauthn.create", challenge);
	put_auth_data(&auth, a, true);
	put_head(&object, 5, 3);
	put_head(&object, 3, 3), buf_append_str(&object, "fmt"), put_head(&object, 3, 4), buf_append_str(&object, "none");
	put_head(&object, 3, 7), buf_append_str(&object, "attStmt"), put_head(&object, 5, 0);
	put_head(&object, 3, 8), buf_append_str(&object, "authData"), put_head(&object, 2, (unsigned)buf_len(&auth)), buf_append(&object, buf_view(&auth));
	err e = webauthn_check_made(w, buf_view(&client), buf_view(&object), &made, used, &why);
	if (e == OK) {
		assert_string_equal(used, challenge);
		assert_true(bytes_eq_str(made.id, "id-1"));
		assert_int_equal(made.count, a->count);
		if (cose)
			buf_append(cose, made.cose);
	} else {
		assert_non_null(why);
	}
	buf_done(&client), buf_done(&auth), buf_done(&object);
	return e;
}

static err show(const struct authenticator *a, const struct webauthn_want *w, const char *challenge, struct bytes cose)
{
	struct buf client = buf_make(4096), auth = buf_make(4096);
	struct webauthn_shown shown;
	char used[WEBAUTHN_CHALLENGE_LEN + 1];
	const char *why = NULL;

	put_client_data(&client, a, "webauthn.get", challenge);
	put_auth_data(&auth, a, false);
	struct buf sig = sign(a, buf_view(&auth), buf_view(&client));
	err e = webauthn_check_shown(w, cose, buf_view(&client), buf_view(&auth), buf_view(&sig), &shown, used, &why);
	if (e == OK)
		assert_int_equal(shown.count, a->count);
	else
		assert_non_null(why);
	buf_done(&client), buf_done(&auth), buf_done(&sig);
	return e;
}

static void made_and_shown(void **state)
{
	(void)state;
	for (int ed = 0; ed <= 1; ed++) {
		struct authenticator a = authenticator_new(ed), other = authenticator_new(ed);
		char add[WEBAUTHN_CHALLENGE_LEN + 1], in[WEBAUTHN_CHALLENGE_LEN + 1], again[WEBAUTHN_CHALLENGE_LEN + 1];
		struct webauthn_want w = { &site, &key, WEBAUTHN_ADD, "token", 1000 }, s = { &site, &key, WEBAUTHN_SIGN_IN, "", 1000 };
		struct buf cose = buf_make(1024);
		webauthn_challenge(&key, WEBAUTHN_ADD, "token", 1000, add);
		webauthn_challenge(&key, WEBAUTHN_SIGN_IN, "", 1000, in);
		webauthn_challenge(&key, WEBAUTHN_SIGN_IN, "", 1000, again);
		assert_int_equal(strlen(in), WEBAUTHN_CHALLENGE_LEN);
		assert_string_not_equal(in, again);
		assert_ok(make(&a, &w, add, &cose));
		assert_ok(show(&a, &s, in, buf_view(&cose)));
		assert_int_equal(show(&other, &s, in, buf_view(&cose)), ERR_AUTH); /* another's signature */

		/* For another session, purpose, key, or too late. */
		w.bind = "tokex";
		assert_int_equal(make(&a, &w, add, NULL), ERR_AUTH);
		w.bind = "token";
		assert_int_equal(make(&a, &w, in, NULL), ERR_AUTH);
		assert_int_equal(show(&a, &s, add, buf_view(&cose)), ERR_AUTH);
		s.now_ms = 1000 + WEBAUTHN_TTL_MS - 1;
		assert_ok(show(&a, &s, in, buf_view(&cose)));
		s.now_ms++;
		assert_int_equal(show(&a, &s, in, buf_view(&cose)), ERR_AUTH);
		s.now_ms = 999; /* from later than now: no challenge of ours */
		assert_int_equal(show(&a, &s, in, buf_view(&cose)), ERR_AUTH);
		s.now_ms = 1000;
		const struct secret32 stranger = { { 8 } };
		s.key = &stranger;
		assert_int_equal(show(&a, &s, in, buf_view(&cose)), ERR_AUTH);
		s.key = &key;
		in[5] = in[5] == 'A' ? 'B' : 'A';
		assert_int_equal(show(&a, &s, in, buf_view(&cose)), ERR_AUTH);

		/* Elsewhere, in a frame of somebody else, of another kind, without a person. */
		struct authenticator b = a;
		b.origin = "https://vpn.example.com.evil.example";
		assert_int_equal(show(&b, &s, again, buf_view(&cose)), ERR_AUTH);
		b = a, b.origin = "http://vpn.example.com";
		assert_int_equal(show(&b, &s, again, buf_view(&cose)), ERR_AUTH);
		b = a, b.more = ",\"crossOrigin\":true";
		assert_int_equal(show(&b, &s, again, buf_view(&cose)), ERR_AUTH);
		b = a, b.more = ",\"crossOrigin\":false";
		assert_ok(show(&b, &s, again, buf_view(&cose)));
		b = a, b.rp_id = "example.com";
		assert_int_equal(show(&b, &s, again, buf_view(&cose)), ERR_AUTH);
		assert_int_equal(make(&b, &w, add, NULL), ERR_AUTH);
		b = a, b.type = "webauthn.create";
		assert_int_equal(show(&b, &s, again, buf_view(&cose)), ERR_MALFORMED);
		b = a, b.flags = WEBAUTHN_USER_PRESENT;
		assert_int_equal(show(&b, &s, again, buf_view(&cose)), ERR_AUTH);
		assert_int_equal(make(&b, &w, add, NULL), ERR_AUTH);
		b = a, b.flags = WEBAUTHN_USER_VERIFIED;
		assert_int_equal(show(&b, &s, again, buf_view(&cose)), ERR_AUTH);
		b = a, b.more = ",";
		assert_int_equal(show(&b, &s, again, buf_view(&cose)), ERR_MALFORMED);
		assert_ok(show(&a, &s, again, buf_view(&cose)));
		buf_done(&cose);
		EVP_PKEY_free(a.ec), EVP_PKEY_free(other.ec);
	}
}

static void keys_that_are_none(void **state)
{
	(void)state;
	uint8_t off[77] = { 0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32, [10] = 1, [42] = 0x22, 0x58, 32, [45] = 2 };
	struct cose_key k;
	size_t used;

	assert_ok(cose_parse(bytes_of(off, sizeof off), &k, &used));
	assert_int_equal(used, sizeof off);
	assert_false(cose_is_key(&k)); /* not on the curve */
	off[2] = 3; /* another kind of key */
	assert_int_equal(cose_parse(bytes_of(off, sizeof off), &k, &used), ERR_UNSUPPORTED);
	off[2] = 2, off[3] = 1; /* the kind twice */
	assert_int_equal(cose_parse(bytes_of(off, sizeof off), &k, &used), ERR_MALFORMED);
	uint8_t none[42] = { 0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32 }; /* Ed25519 of order 4 */
	assert_ok(cose_parse(bytes_of(none, sizeof none), &k, &used));
	assert_false(cose_is_key(&k));
	/* RSA: 1024 bits are too few. */
	uint8_t rsa[16 + 128] = { 0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x58, 128, 0xff, [137] = 1, 0x21, 0x43, 1, 0, 1 };
	assert_int_equal(cose_parse(bytes_of(rsa, 143), &k, &used), ERR_UNSUPPORTED);
	/* Deep, long and endless things end. */
	uint8_t deep[64];
	memset(deep, 0x81, sizeof deep);
	deep[0] = 0xa1, deep[1] = 9;
	assert_int_equal(cose_parse(bytes_of(deep, sizeof deep), &k, &used), ERR_MALFORMED);
	const uint8_t many[] = { 0xbb, 255, 255, 255, 255, 255, 255, 255, 255 };
	assert_int_equal(cose_parse(bytes_of(many, sizeof many), &k, &used), ERR_MALFORMED);
	const uint8_t inside[] = { 0xa1, 9, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255, 1 };
	assert_int_equal(cose_parse(bytes_of(inside, sizeof inside), &k, &used), ERR_MALFORMED);
}

static void sites(void **state)
{
	(void)state;
	static const struct {
		const char *url, *origin, *rp;
	} cases[] = {
		{ "https://vpn.example.com", "https://vpn.example.com", "vpn.example.com" },
		{ "https://VPN.example.com:443", "https://vpn.example.com", "vpn.example.com" },
		{ "https://vpn.example.com:8443/", "https://vpn.example.com:8443", "vpn.example.com" },
		{ "http://localhost:8080", "http://localhost:8080", "localhost" },
		{ "http://vpn.example.com", NULL, NULL }, { "https://192.0.2.1", NULL, NULL }, { "https://[2001:db8::1]:8443", NULL, NULL },
		{ "http://127.0.0.1:8080", NULL, NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct webauthn_site s;
		assert_int_equal(webauthn_site_of(cases[i].url, &s), cases[i].origin != NULL);
		if (cases[i].origin) {
			assert_string_equal(s.origin, cases[i].origin);
			assert_string_equal(s.rp_id, cases[i].rp);
		}
	}
}

static int setup(void **state)
{
	(void)state;
	return sodium_init() < 0 || !webauthn_site_of("https://vpn.example.com", &site);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_w3c),
		cmocka_unit_test(made_and_shown),
		cmocka_unit_test(keys_that_are_none),
		cmocka_unit_test(sites),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
