#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "server/oidc_helper/helper.h"

enum { FORM_MAX = 32 << 10, REFRESH_TOKEN_LEN_MAX = 8192 };

static bool lists(const json_t *m, const char *key, const char *value)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(m, key), i, v)
		if (json_is_string(v) && strcmp(json_string_value(v), value) == 0)
			return true;
	return false;
}

/* client_secret_basic unless the provider offers only _post, or the configuration says which. */
static bool wants_post(const struct provider *p, const json_t *m)
{
	const char *offered = "token_endpoint_auth_methods_supported";

	if (p->auth[0])
		return strcmp(p->auth, "client_secret_post") == 0;
	return json_object_get(m, offered) && !lists(m, offered, "client_secret_basic") && lists(m, offered, "client_secret_post");
}

static err ask_token(struct provider *p, const json_t *m, struct buf *form, json_t **out, struct trouble *t)
{
	CLEANUP(buf_done) struct buf user = buf_make(FORM_MAX), pass = buf_make(FORM_MAX);
	CLEANUP(buf_done) struct buf body = buf_make(HELPER_ANSWER_MAX);
	struct http_call c = { .url = text_in(m, "token_endpoint"), .provider = p };
	long status = 0;

	if (p->client_secret[0] && !wants_post(p, m)) {
		form_encode(&user, p->client_id);
		form_encode(&pass, p->client_secret);
		buf_append_u8(&user, 0);
		buf_append_u8(&pass, 0);
		c.user = (const char *)buf_view(&user).p;
		c.pass = (const char *)buf_view(&pass).p;
	} else {
		form_add(form, "client_id", p->client_id);
		if (p->client_secret[0])
			form_add(form, "client_secret", p->client_secret);
	}
	buf_append_u8(form, 0);
	if (form->bad || user.bad || pass.bad)
		return trouble(t, ERR_TOO_BIG, "invalid", "the request would be too long");
	c.form = (const char *)buf_view(form).p;
	TRY(http_fetch(&c, &status, &body, t));
	if (status >= 500 || status == 429)
		return trouble(t, ERR_SYS, "unreachable", "%.100s answers %ld", c.url, status);
	json_t *o = json_loadb((const char *)buf_view(&body).p, buf_len(&body), JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		return trouble(t, ERR_MALFORMED, "invalid", "%.100s answers %ld without a JSON object", c.url, status);
	}
	if (status != 200) {
		/* Only this speaks of the person (RFC 6749 5.2): a 4xx is also what an expired client_secret or a firewall gets. */
		bool no = strcmp(text_in(o, "error"), "invalid_grant") == 0;
		trouble(t, ERR_AUTH, no ? "denied" : "invalid", "the provider says %.40s: %.120s",
				text_in(o, "error")[0] ? text_in(o, "error") : "no", text_in(o, "error_description"));
		json_decref(o);
		return ERR_AUTH;
	}
	*out = o;
	return OK;
}

/* *out stays NULL where the provider has no such endpoint. */
static err ask_userinfo(struct provider *p, const json_t *m, const char *access_token, json_t **out, struct trouble *t)
{
	const char *url = text_in(m, "userinfo_endpoint");

	if (!url[0])
		return OK;
	if (!access_token[0] || strpbrk(access_token, "\r\n"))
		return trouble(t, ERR_MALFORMED, "invalid", "the provider sent no access token");
	TRY(http_fetch_json(&(struct http_call){ .url = url, .provider = p, .bearer = access_token }, out, t));
	char *text = json_dumps(*out, JSON_COMPACT);
	bool small = text && strlen(text) <= HELPER_CLAIMS_MAX;
	free(text);
	if (small)
		return OK;
	json_decref(*out);
	*out = NULL;
	return trouble(t, ERR_TOO_BIG, "invalid", "%.100s: too large", url);
}

static err take_tokens(struct provider *p, const json_t *m, struct buf *form, bool is_refresh, json_t *answer, struct trouble *t)
{
	CLEANUP(json_decrefp) json_t *got = NULL, *claims = NULL, *info = NULL;

	TRY(ask_token(p, m, form, &got, t));
	/* First of all, as it is told also when the rest fails: the one that was sent may be used up by now. */
	const char *refresh = text_in(got, "refresh_token");
	if (json_object_set_new(answer, "refresh_token", json_string(strlen(refresh) <= REFRESH_TOKEN_LEN_MAX ? refresh : "")) != 0)
		return trouble(t, ERR_NOMEM, "unreachable", "out of memory");
	const char *id_token = text_in(got, "id_token");
	if (id_token[0])
		TRY(token_verify(p, text_in(m, "jwks_uri"), id_token, &claims, t));
	else if (!is_refresh)
		return trouble(t, ERR_INVALID, "invalid", "the provider sent no ID token; is \"openid\" among the scopes?");
	/* At a login it is a help, not a must: where it fails the ID token stands alone, and the server is told that what is not in it is
	 * not known. A refresh is of no use then. */
	bool partial = ask_userinfo(p, m, text_in(got, "access_token"), &info, t) != OK;
	if (partial && is_refresh) {
		t->kind = "unreachable";
		return ERR_SYS;
	}
	if (partial && json_object_set_new(answer, "userinfo_failed", json_string(t->why)) != 0)
		return trouble(t, ERR_NOMEM, "unreachable", "out of memory");
	if (json_object_set(answer, "claims", claims ? claims : json_null()) != 0 ||
			json_object_set(answer, "userinfo", info ? info : json_null()) != 0)
		return trouble(t, ERR_NOMEM, "unreachable", "out of memory");
	return OK;
}

static err discover(const json_t *m, json_t *answer, struct trouble *t)
{
	bool iss = json_is_true(json_object_get(m, "authorization_response_iss_parameter_supported"));

	if (json_object_set(answer, "authorization_endpoint", json_object_get(m, "authorization_endpoint")) != 0 ||
			json_object_set_new(answer, "iss_parameter", json_boolean(iss)) != 0)
		return trouble(t, ERR_NOMEM, "unreachable", "out of memory");
	return OK;
}

err op_run(struct provider *p, const json_t *request, json_t *answer, struct trouble *t)
{
	CLEANUP(json_decrefp) json_t *m = NULL;
	CLEANUP(buf_done) struct buf form = buf_make(FORM_MAX);
	const char *op = text_in(request, "op");

	TRY(provider_metadata(p, &m, t));
	if (strcmp(op, "discover") == 0)
		return discover(m, answer, t);
	if (strcmp(op, "exchange") == 0) {
		form_add(&form, "grant_type", "authorization_code");
		form_add(&form, "code", text_in(request, "code"));
		form_add(&form, "redirect_uri", text_in(request, "redirect_uri"));
		if (text_in(request, "verifier")[0])
			form_add(&form, "code_verifier", text_in(request, "verifier"));
		return take_tokens(p, m, &form, false, answer, t);
	}
	if (strcmp(op, "refresh") == 0) {
		form_add(&form, "grant_type", "refresh_token");
		form_add(&form, "refresh_token", text_in(request, "refresh_token"));
		return take_tokens(p, m, &form, true, answer, t);
	}
	if (strcmp(op, "verify") == 0 || strcmp(op, "verify_at") == 0) {
		json_t *claims = NULL;
		TRY(token_verify(p, text_in(m, "jwks_uri"), text_in(request, "token"), &claims, t));
		if (json_object_set_new(answer, "claims", claims) != 0)
			return trouble(t, ERR_NOMEM, "unreachable", "out of memory");
		return OK;
	}
	return trouble(t, ERR_UNSUPPORTED, "invalid", "unknown request \"%.20s\"", op);
}
