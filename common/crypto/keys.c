#include "common/crypto/keys.h"

#include <sodium.h>
#include <stdio.h>

#include "common/crypto/x25519.h"
#include "common/text/hex.h"

static char *text_of(const char *prefix, const uint8_t key[32], char out[KEY_TEXT_MAX])
{
	char hex[2 * 32 + 1];
	int n = snprintf(out, KEY_TEXT_MAX, "%s%s", prefix, hex_encode(bytes_of(key, 32), hex));

	if (n < 0 || n >= KEY_TEXT_MAX)
		out[0] = 0; /* cannot be: prefixes are ours and short */
	return out;
}

static err parse_text(struct bytes text, const char *prefix, uint8_t out[32])
{
	if (!bytes_has_prefix(text, bytes_str(prefix)))
		return ERR_MALFORMED;
	return hex_decode(bytes_skip(text, strlen(prefix)), out, 32);
}

static char *short_of(const uint8_t key[32], char out[KEY_SHORT_MAX])
{
	char b64[sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_ORIGINAL)];

	sodium_bin2base64(b64, sizeof b64, key, 32, sodium_base64_VARIANT_ORIGINAL);
	int n = snprintf(out, KEY_SHORT_MAX, "[%.5s]", b64);
	if (n < 0 || n >= KEY_SHORT_MAX)
		out[0] = 0;
	return out;
}

#define KEY_TYPE_BODY(kind, prefix)                                                                                    \
	char *kind##_pub_text(const struct kind##_pub *k, char out[KEY_TEXT_MAX])                                      \
	{                                                                                                              \
		return text_of(prefix, k->b, out);                                                                     \
	}                                                                                                              \
	char *kind##_pub_short(const struct kind##_pub *k, char out[KEY_SHORT_MAX])                                    \
	{                                                                                                              \
		return short_of(k->b, out);                                                                            \
	}
#define KEY_TYPE_PARSE(kind, prefix)                                                                                   \
	err kind##_pub_parse(struct bytes text, struct kind##_pub *out)                                                \
	{                                                                                                              \
		return parse_text(text, prefix, out->b);                                                               \
	}

KEY_TYPE_BODY(machine, "mkey:")
KEY_TYPE_PARSE(machine, "mkey:")
KEY_TYPE_BODY(node, "nodekey:")
KEY_TYPE_PARSE(node, "nodekey:")
KEY_TYPE_BODY(disco, "discokey:")
KEY_TYPE_PARSE(disco, "discokey:")
KEY_TYPE_BODY(challenge, "chalpub:")
KEY_TYPE_PARSE(challenge, "chalpub:")
KEY_TYPE_BODY(nl, "nlpub:")

/* "tlpub:" is how the command line shows it; both are read: control.md 1.2 (types/key/nl.go). */
err nl_pub_parse(struct bytes text, struct nl_pub *out)
{
	err e = parse_text(text, "nlpub:", out->b);

	return e == OK ? OK : parse_text(text, "tlpub:", out->b);
}

void machine_key_derive(struct machine_key *k)
{
	x25519_public(&k->secret, k->pub.b);
}

void node_key_derive(struct node_key *k)
{
	x25519_public(&k->secret, k->pub.b);
}

void disco_key_derive(struct disco_key *k)
{
	x25519_public(&k->secret, k->pub.b);
}

void machine_key_new(struct machine_key *out)
{
	x25519_new(&out->secret);
	machine_key_derive(out);
}

void node_key_new(struct node_key *out)
{
	x25519_new(&out->secret);
	node_key_derive(out);
}

void disco_key_new(struct disco_key *out)
{
	x25519_new(&out->secret);
	disco_key_derive(out);
}
