#include "server/policy/etag.h"

#include <sodium.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/text/hex.h"

static bool is_default(const char *text)
{
	return !text || !bytes_trim(bytes_str(text)).n;
}

void policy_etag(const char *text, char out[POLICY_ETAG_LEN + 1])
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	const char *t = is_default(text) ? POLICY_DEFAULT_TEXT : text;

	crypto_hash_sha256(hash, (const uint8_t *)t, strlen(t));
	hex_encode(bytes_of(hash, sizeof hash), out);
}

bool policy_etag_matches(const char *text, const char *condition)
{
	char etag[POLICY_ETAG_LEN + 1];

	if (!condition || !*condition)
		return true;
	if (strcmp(condition, POLICY_ETAG_DEFAULT) == 0)
		return is_default(text) || strcmp(text, POLICY_DEFAULT_TEXT) == 0;
	policy_etag(text, etag);
	return strcmp(etag, condition) == 0;
}
