#include "server/login/flow.h"

#include <sodium.h>
#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/text/base64.h"

enum { NONCE_LEN = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, TAG_LEN = crypto_aead_xchacha20poly1305_ietf_ABYTES };

static void random_text(char out[FLOW_RANDOM_LEN + 1])
{
	uint8_t b[32];

	random_fill(b, sizeof b);
	base64url_encode(bytes_of(b, sizeof b), out);
	sodium_memzero(b, sizeof b);
}

void flow_begin(struct flow *f, const char *provider, const char *auth_id, int64_t now_ms)
{
	*f = (struct flow){ .expires_ms = now_ms + FLOW_TTL_MS };
	random_text(f->state);
	random_text(f->nonce);
	random_text(f->verifier);
	snprintf(f->provider, sizeof f->provider, "%s", provider);
	snprintf(f->auth_id, sizeof f->auth_id, "%s", auth_id);
}

void flow_challenge(const char *verifier, char out[FLOW_RANDOM_LEN + 1])
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const unsigned char *)verifier, strlen(verifier));
	base64url_encode(bytes_of(hash, sizeof hash), out);
}

/* One line of texts without spaces; the seal keeps strangers from writing it. */
err flow_seal(const struct secret32 *key, const struct flow *f, char out[FLOW_SEALED_MAX])
{
	uint8_t box[NONCE_LEN + 512 + TAG_LEN];
	char text[512];
	unsigned long long n = 0;

	int len = snprintf(text, sizeof text, "1 %s %s %s %s %s %d %lld", f->state, f->nonce, f->verifier, f->provider,
			f->auth_id[0] ? f->auth_id : "-", f->need_iss, (long long)f->expires_ms);
	if (len < 0 || (size_t)len >= sizeof text || base64url_len(NONCE_LEN + (size_t)len + TAG_LEN) >= FLOW_SEALED_MAX)
		return ERR_TOO_BIG;
	random_fill(box, NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(box + NONCE_LEN, &n, (const unsigned char *)text, (size_t)len, NULL, 0, NULL, box,
			key->b);
	base64url_encode(bytes_of(box, NONCE_LEN + (size_t)n), out);
	sodium_memzero(text, sizeof text);
	return OK;
}

err flow_open(const struct secret32 *key, const char *sealed, int64_t now_ms, struct flow *out)
{
	uint8_t box[NONCE_LEN + 512 + TAG_LEN];
	char text[513] = "";
	unsigned long long len = 0;
	struct flow f = { 0 };
	long long expires = 0;
	int need_iss = 0;
	size_t n = 0;

	if (base64url_decode(bytes_str(sealed), box, sizeof box, &n) != OK || n < NONCE_LEN + TAG_LEN ||
			crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)text, &len, NULL, box + NONCE_LEN, n - NONCE_LEN, NULL, 0,
					box, key->b) != 0 || len > 512)
		return ERR_AUTH;
	text[len] = 0;
	if (sscanf(text, "1 %43s %43s %43s %32s %38s %d %lld", f.state, f.nonce, f.verifier, f.provider, f.auth_id, &need_iss,
			    &expires) != 7)
		return ERR_AUTH;
	sodium_memzero(text, sizeof text);
	if (strcmp(f.auth_id, "-") == 0)
		f.auth_id[0] = 0;
	f.need_iss = need_iss;
	f.expires_ms = expires;
	if (f.expires_ms <= now_ms || f.expires_ms > now_ms + FLOW_TTL_MS)
		return ERR_AUTH;
	*out = f;
	return OK;
}

bool flow_use(struct flow_used *u, const char *state)
{
	uint8_t hash[sizeof u->seen[0].hash];
	bool fresh = true;

	crypto_generichash(hash, sizeof hash, (const unsigned char *)state, strlen(state), NULL, 0);
	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < FLOW_USED_MAX && fresh; i++)
		fresh = memcmp(u->seen[i].hash, hash, sizeof hash) != 0;
	if (fresh) {
		memcpy(u->seen[u->at].hash, hash, sizeof hash);
		u->at = (u->at + 1) % FLOW_USED_MAX;
	}
	pthread_mutex_unlock(&u->lock);
	return fresh;
}
