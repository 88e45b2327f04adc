/* What a browser sends of a passkey: the attestation object, the authenticator data and the public key in it. The first byte chooses. What
 * is read holds together; what is refused is refused without harm. */
#include <sodium.h>
#include <stdlib.h>

#include "server/login/cose.h"
#include "server/login/webauthn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_key(struct bytes cose)
{
	struct cose_key k;
	size_t used;

	if (cose_parse(cose, &k, &used) != OK)
		return;
	if (used > cose.n || !k.x.n)
		abort();
	(void)cose_is_key(&k);
	if (cose_verify(&k, BYTES_LIT("message"), bytes_first(cose, cose.n < 64 ? cose.n : 64)) == OK && cose_is_key(&k))
		abort();
}

static void look_at_data(struct bytes in)
{
	struct webauthn_auth_data d;

	if (webauthn_parse_auth_data(in, &d) != OK)
		return;
	if ((d.id.n != 0) != (d.cose.n != 0) || d.id.n > PASSKEY_ID_MAX || d.cose.n > PASSKEY_COSE_MAX)
		abort();
	if (d.cose.n)
		look_at_key(d.cose);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size), auth;
	struct webauthn_want w;
	struct webauthn_site site;
	const struct secret32 key = { { 1 } };
	char challenge[WEBAUTHN_CHALLENGE_LEN + 1];
	const char *why;

	if (!size || sodium_init() < 0)
		return 0;
	struct bytes rest = bytes_skip(in, 1);
	switch (data[0] & 3) {
	case 0:
		if (webauthn_attested(rest, &auth) == OK)
			look_at_data(auth);
		break;
	case 1:
		look_at_data(rest);
		break;
	case 2:
		look_at_key(rest);
		break;
	default: /* as client data: nothing in it can be signed by us */
		if (!webauthn_site_of("https://a.example", &site))
			abort();
		w = (struct webauthn_want){ &site, &key, WEBAUTHN_ADD, "", 1 };
		struct webauthn_made made;
		if (webauthn_check_made(&w, rest, rest, &made, challenge, &why) == OK)
			abort();
	}
	return 0;
}
