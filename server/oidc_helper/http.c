#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/cleanup.h"
#include "common/net/addr.h"
#include "common/text/json.h"
#include "server/oidc_helper/helper.h"

/* libcurl itself, not liboauth2's calls: those follow redirects with the client's secret in the body, and have one ceiling for
 * every answer. */

err trouble(struct trouble *t, err e, const char *kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->why, sizeof t->why, fmt, ap);
	va_end(ap);
	t->kind = kind;
	return e;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct buf *out = ctx;

	buf_append(out, bytes_of(p, size * n));
	return out->bad ? 0 : size * n;
}

static void curl_freep(CURL **c)
{
	curl_easy_cleanup(*c);
}

static void slist_freep(struct curl_slist **l)
{
	curl_slist_free_all(*l);
}

/* At the address that is really dialled: a name may change its mind. */
static curl_socket_t open_public(void *ctx, curlsocktype purpose, struct curl_sockaddr *at)
{
	(void)ctx, (void)purpose;
	if (!addr_is_public(addrport_from_sockaddr(&at->addr).addr))
		return CURL_SOCKET_BAD;
	return socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);
}

err http_fetch(const struct http_call *c, long *status, struct buf *out, struct trouble *t)
{
	CLEANUP(curl_freep) CURL *curl = curl_easy_init();
	CLEANUP(slist_freep) struct curl_slist *headers = NULL;
	char error[CURL_ERROR_SIZE] = "";

	if (!curl)
		return trouble(t, ERR_NOMEM, "unreachable", "out of memory");
	headers = curl_slist_append(NULL, "Accept: application/json");
	if (c->bearer) {
		CLEANUP(buf_done) struct buf line = buf_make(HELPER_ANSWER_MAX);
		buf_printf(&line, "Authorization: Bearer %s", c->bearer);
		buf_append_u8(&line, 0);
		struct curl_slist *more = line.bad ? NULL : curl_slist_append(headers, (const char *)buf_view(&line).p);
		if (!more)
			return trouble(t, ERR_NOMEM, "unreachable", "out of memory");
		headers = more;
	}
	curl_easy_setopt(curl, CURLOPT_URL, c->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)c->provider->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)MIN_OF(c->provider->timeout_ms, (int64_t)5000));
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "fairlead-oidc");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, NULL); /* nothing that unpacks to more than it seems */
	if (c->provider->guest) /* what the environment says would dial for us */
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (c->provider->guest && !c->provider->private_too)
		curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_public);
	if (c->provider->ca[0])
		curl_easy_setopt(curl, CURLOPT_CAINFO, c->provider->ca);
	if (c->user) {
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		curl_easy_setopt(curl, CURLOPT_USERNAME, c->user);
		curl_easy_setopt(curl, CURLOPT_PASSWORD, c->pass);
	}
	if (c->form)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, c->form);
	CURLcode rc = curl_easy_perform(curl);
	if (out->bad)
		return trouble(t, ERR_TOO_BIG, "invalid", "%.100s: the answer is larger than %d KiB", c->url, HELPER_ANSWER_MAX >> 10);
	if (rc != CURLE_OK)
		return trouble(t, ERR_SYS, "unreachable", "%.100s: %s", c->url, error[0] ? error : curl_easy_strerror(rc));
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
	return OK;
}

err http_fetch_json(const struct http_call *c, json_t **out, struct trouble *t)
{
	CLEANUP(buf_done) struct buf body = buf_make(HELPER_ANSWER_MAX);
	struct json_error why = { 0 };
	long status = 0;

	TRY(http_fetch(c, &status, &body, t));
	if (status != 200)
		return trouble(t, ERR_SYS, "unreachable", "%.100s answers %ld", c->url, status);
	err e = json_parse(buf_view(&body), HELPER_ANSWER_MAX, HELPER_JSON_DEPTH, out, &why);
	if (e != OK)
		return trouble(t, e, "invalid", "%.100s: not JSON: %s", c->url, why.text);
	if (!json_is_object(*out)) {
		json_decref(*out);
		return trouble(t, ERR_MALFORMED, "invalid", "%.100s: not a JSON object", c->url);
	}
	return OK;
}

bool form_encode(struct buf *out, const char *value)
{
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if ((*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') || strchr("-._~", *c))
			buf_append_u8(out, *c);
		else
			buf_printf(out, "%%%02X", *c);
	}
	return !out->bad;
}

bool form_add(struct buf *form, const char *name, const char *value)
{
	if (buf_len(form))
		buf_append_u8(form, '&');
	buf_printf(form, "%s=", name);
	return form_encode(form, value);
}
