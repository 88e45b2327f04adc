/* webauthn: passkeys, as a browser shows them (W3C Web Authentication, level 2): what registers one, and what signs in with it.
 *
 * Pure: no clock, no I/O. A challenge needs no memory here: it is a random number, its end, and a MAC over both and what it is
 * for. It works once because whoever accepts one remembers it until its end (flow_use).
 *
 * Attestation is asked for as "none", and a statement that comes all the same is skipped: nothing would follow from it. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/secret.h"

enum {
	WEBAUTHN_TTL_MS = 10 * 60 * 1000,
	WEBAUTHN_CHALLENGE_LEN = 55,	/* characters of base64url: 41 bytes */
	WEBAUTHN_CLIENT_DATA_MAX = 4096,
	WEBAUTHN_ATTESTATION_MAX = 8 << 10,
	WEBAUTHN_AUTH_DATA_MAX = 4096,
	WEBAUTHN_SIGNATURE_MAX = 1024,
	WEBAUTHN_ORIGIN_MAX = 300,
	PASSKEY_ID_MAX = 1023, /* bytes of a credential's id */
	PASSKEY_COSE_MAX = 1024,
	PASSKEY_RSA_BITS_MIN = 2048,
	PASSKEY_RSA_BITS_MAX = 4096,
};

enum webauthn_purpose { WEBAUTHN_SIGN_IN = 's', WEBAUTHN_ADD = 'a' };

enum passkey_alg { PASSKEY_ES256 = -7, PASSKEY_EDDSA = -8, PASSKEY_RS256 = -257 }; /* as COSE numbers them */

struct webauthn_site {
	char origin[WEBAUTHN_ORIGIN_MAX]; /* "https://vpn.example.com" */
	char rp_id[WEBAUTHN_ORIGIN_MAX];  /* "vpn.example.com" */
};
/* false: the server's URL is of a kind that browsers have no passkeys for: an address, or http of another host than localhost. */
bool webauthn_site_of(const char *server_url, struct webauthn_site *out);

/* bind: whom it is for, such as the token of a session; "" for a sign-in. */
void webauthn_challenge(const struct secret32 *key, enum webauthn_purpose p, const char *bind, int64_t now_ms, char out[WEBAUTHN_CHALLENGE_LEN + 1]);

struct webauthn_want {
	const struct webauthn_site *site;
	const struct secret32 *key;
	enum webauthn_purpose purpose;
	const char *bind;
	int64_t now_ms;
};

/* Views are borrowed from what was checked. */
struct webauthn_made {
	struct bytes id, cose;
	int alg;
	uint32_t count;
	bool synced; /* its maker keeps a copy elsewhere */
};
struct webauthn_shown {
	uint32_t count;
	bool synced;
};

/* The challenge of the client data is written to challenge: to be used up when all is well. ERR_MALFORMED, ERR_AUTH; *why is a
 * sentence. */
MUST_USE err webauthn_check_made(const struct webauthn_want *w, struct bytes client_data, struct bytes attestation,
		struct webauthn_made *out, char challenge[WEBAUTHN_CHALLENGE_LEN + 1], const char **why);
/* cose: as it was kept when the passkey was made. */
MUST_USE err webauthn_check_shown(const struct webauthn_want *w, struct bytes cose, struct bytes client_data, struct bytes auth_data,
		struct bytes signature, struct webauthn_shown *out, char challenge[WEBAUTHN_CHALLENGE_LEN + 1], const char **why);

/* ---- the parts, for those above, tests and fuzzers ---- */

enum { WEBAUTHN_USER_PRESENT = 0x01, WEBAUTHN_USER_VERIFIED = 0x04, WEBAUTHN_BACKED_UP = 0x10, WEBAUTHN_HAS_KEY = 0x40, WEBAUTHN_HAS_EXTENSIONS = 0x80 };

struct webauthn_auth_data { /* views are borrowed */
	struct bytes rp_hash; /* SHA-256 of the relying party's id */
	unsigned flags;
	uint32_t count;
	struct bytes id, cose; /* of a new passkey; else empty */
};
/* The authenticator data inside an attestation object. */
MUST_USE err webauthn_attested(struct bytes attestation, struct bytes *out);
/* Whole, nothing left over. ERR_UNSUPPORTED: a key of another kind. */
MUST_USE err webauthn_parse_auth_data(struct bytes in, struct webauthn_auth_data *out);
/* What is signed: the authenticator data and the hash of the client data. */
MUST_USE err webauthn_verify(struct bytes cose, struct bytes client_data, struct bytes auth_data, struct bytes signature);

/* What an authenticator signs for, made from the user's number: says nothing about the person. */
enum { WEBAUTHN_HANDLE_LEN = 16 };
void webauthn_user_handle(int64_t tailnet_id, int64_t user_id, uint8_t out[WEBAUTHN_HANDLE_LEN]);
