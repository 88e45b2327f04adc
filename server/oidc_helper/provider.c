#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/text/json.h"
#include "server/oidc_helper/helper.h"

enum { URL_LEN_MAX = 2000 };

int64_t mono_s(void)
{
	return clock_mono_ms() / 1000;
}

const char *text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* TLS, unless the admin chose an issuer without it. */
bool provider_url_ok(const struct provider *p, const char *url)
{
	size_t n = strlen(url);

	if (n > URL_LEN_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)url[i] <= ' ' || (unsigned char)url[i] >= 0x7f || url[i] == '"' || url[i] == '<' || url[i] == '\\')
			return false;
	return strncmp(url, "https://", 8) == 0 || (strncmp(url, "http://", 7) == 0 && strncmp(p->issuer, "http://", 7) == 0);
}

static err check_metadata(const struct provider *p, const json_t *m, struct trouble *t)
{
	static const char *const needed[] = { "jwks_uri", "authorization_endpoint", "token_endpoint" };
	size_t n_needed = p->guest ? 1 : ARRAY_LEN(needed); /* issuers of workloads have no logins */

	/* Character by character, as the specification wants: another issuer could otherwise speak for this one. */
	if (strcmp(text_in(m, "issuer"), p->issuer) != 0)
		return trouble(t, ERR_INVALID, "invalid", "the provider calls itself \"%.80s\", and not \"%.80s\"",
				text_in(m, "issuer"), p->issuer);
	for (size_t i = 0; i < n_needed; i++)
		if (!provider_url_ok(p, text_in(m, needed[i])))
			return trouble(t, ERR_INVALID, "invalid", "the provider's %s is no usable URL", needed[i]);
	if (!p->guest && text_in(m, "userinfo_endpoint")[0] && !provider_url_ok(p, text_in(m, "userinfo_endpoint")))
		return trouble(t, ERR_INVALID, "invalid", "the provider's userinfo_endpoint is no usable URL");
	return OK;
}

err provider_metadata(struct provider *p, json_t **out, struct trouble *t)
{
	CLEANUP(buf_done) struct buf url = buf_make(URL_LEN_MAX + 64);
	json_t *fresh = NULL;
	size_t n = strlen(p->issuer);
	err e = OK;

	pthread_mutex_lock(&p->lock);
	if (!p->metadata || mono_s() - p->metadata_s > METADATA_FRESH_S) {
		while (n && p->issuer[n - 1] == '/')
			n--;
		buf_printf(&url, "%.*s/.well-known/openid-configuration", (int)n, p->issuer);
		buf_append_u8(&url, 0);
		e = url.bad ? trouble(t, ERR_TOO_BIG, "invalid", "the issuer is too long") : http_fetch_json(&(struct http_call){ .url = (const char *)buf_view(&url).p, .provider = p }, &fresh, t);
		if (e == OK)
			e = check_metadata(p, fresh, t);
		if (e == OK) {
			json_decref(p->metadata);
			p->metadata = MOVE(fresh);
			p->metadata_s = mono_s();
		} else if (p->metadata) {
			e = OK; /* what was known goes on while it is away, or broken */
		}
		json_decref(fresh);
	}
	if (e == OK)
		*out = json_incref(p->metadata);
	pthread_mutex_unlock(&p->lock);
	return e;
}

err provider_jwks(struct provider *p, const char *jwks_uri, bool force, json_t **out, struct trouble *t)
{
	json_t *fresh = NULL;
	err e = OK;

	pthread_mutex_lock(&p->lock);
	bool old = !p->jwks || mono_s() - p->jwks_s > JWKS_FRESH_S;
	if (old || (force && mono_s() - p->jwks_asked_s >= JWKS_MISS_S)) {
		p->jwks_asked_s = mono_s();
		e = http_fetch_json(&(struct http_call){ .url = jwks_uri, .provider = p }, &fresh, t);
		json_t *keys = e == OK ? json_object_get(fresh, "keys") : NULL;
		if (e == OK && (!json_is_array(keys) || json_array_size(keys) > HELPER_KEYS_MAX))
			e = trouble(t, ERR_INVALID, "invalid", "%.100s: not a set of keys", jwks_uri);
		if (e == OK) {
			json_decref(p->jwks);
			p->jwks = json_incref(keys);
			p->jwks_s = mono_s();
		} else if (!old) {
			e = OK; /* only the look for a newer set failed */
		}
		json_decref(fresh);
	}
	if (e == OK)
		*out = json_incref(p->jwks);
	pthread_mutex_unlock(&p->lock);
	return e;
}
