#include "server/api/login.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/api/browser.h"
#include "server/api/console_page.h"
#include "server/api/handlers.h"
#include "server/api/local.h"
#include "server/api/page.h"
#include "server/api/state.h"
#include "server/login/claims.h"
#include "server/login/login.h"

enum { URL_MAX = 8 << 10, CODE_MAX = 4096 };

struct keep { /* of one login on its way through here */
	const struct config_oidc *provider;
	const char *auth_id;
	struct flow flow;
	struct claims_got got;
};

static struct keep *keep_of(struct request *r)
{
	if (!r->keep)
		r->keep = arena_alloc(&r->arena, sizeof(struct keep));
	return r->keep;
}

/* ---- to the provider ---- */

static void put_param(struct buf *b, const char *name, const char *value)
{
	static const char plain[] = "-._~";

	buf_printf(b, "&%s=", name);
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if ((*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') || strchr(plain, *c))
			buf_append_u8(b, *c);
		else
			buf_printf(b, "%%%02X", *c);
	}
}

static bool is_our_param(const char *name)
{
	static const char *const ours[] = { "response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
		"code_challenge_method", "response_mode" };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (strcmp(ours[i], name) == 0)
			return true;
	return false;
}

static const char *redirect_uri(struct request *r)
{
	return arena_printf(&r->arena, "%s/oidc/callback", r->api->cfg.server_url);
}

static const char *authorize_url(struct request *r, const char *endpoint, const struct keep *k)
{
	const struct config_oidc *p = k->provider;
	CLEANUP(buf_done) struct buf b = buf_make(URL_MAX), scope = buf_make(URL_MAX);
	char challenge[FLOW_RANDOM_LEN + 1];
	const char *back = redirect_uri(r);

	if (!back)
		return NULL;
	for (size_t i = 0; i < p->scope.n; i++)
		buf_printf(&scope, "%s%s", i ? " " : "", p->scope.s[i]);
	buf_append_u8(&scope, 0);
	buf_printf(&b, "%s%cresponse_type=code", endpoint, strchr(endpoint, '?') ? '&' : '?');
	put_param(&b, "client_id", p->client_id);
	put_param(&b, "redirect_uri", back);
	put_param(&b, "scope", scope.bad ? "openid" : (const char *)buf_view(&scope).p);
	put_param(&b, "state", k->flow.state);
	put_param(&b, "nonce", k->flow.nonce);
	if (p->pkce) {
		flow_challenge(k->flow.verifier, challenge);
		put_param(&b, "code_challenge", challenge);
		put_param(&b, "code_challenge_method", "S256");
	}
	for (size_t i = 0; i + 1 < p->extra_params.n; i += 2)
		if (!is_our_param(p->extra_params.s[i]))
			put_param(&b, p->extra_params.s[i], p->extra_params.s[i + 1]);
	return b.bad ? NULL : arena_str(&r->arena, buf_view(&b));
}

/* One cookie a login, so that several tabs do not meet. */
static const char *flow_cookie(struct request *r, const char *state)
{
	return arena_printf(&r->arena, "fairlead-login-%.8s", state);
}

static const char *title_of(struct request *r, const struct config_oidc *p);

/* The other ways in are open meanwhile. */
static enum MHD_Result page_away(struct request *r)
{
	const struct keep *k = r->keep;
	const char *auth_id = k->auth_id ? k->auth_id : k->flow.auth_id;
	const char *ways = auth_id[0] ? arena_printf(&r->arena, "/login?connect=%s", auth_id) : "/login";
	const char *same = auth_id[0] ? arena_printf(&r->arena, "/login/with/%s?connect=%s", k->provider->name, auth_id) :
			arena_printf(&r->arena, "/login/with/%s", k->provider->name);
	struct buf b = page_begin(r, W_PROVIDER_AWAY);

	buf_append_str(&b, "<p><b>");
	put_escaped(&b, title_of(r, k->provider));
	buf_printf(&b, "</b> %s</p><div class=\"row\">", word(W_PROVIDER_AWAY_TEXT));
	if (same && ways) {
		put_link(&b, "primary", same, W_REFUSED_AGAIN);
		put_link(&b, "", ways, W_OTHER_WAYS);
	}
	buf_append_str(&b, "</div>");
	return page_end(r, 503, &b);
}

static enum MHD_Result provider_away(struct request *r, const struct reply *reply)
{
	log_warn("a login could not go to its provider", "cause=%s", log_qs(reply->message).s);
	return page_away(r);
}

static enum MHD_Result on_discovered(struct request *r, const struct reply *reply)
{
	struct keep *k = r->keep;
	char sealed[FLOW_SEALED_MAX];

	if (reply->e != OK)
		return provider_away(r, reply);
	json_t *o = json_loads(reply->text, 0, NULL);
	const char *endpoint = json_string_value(json_object_get(o, "authorization_endpoint"));
	flow_begin(&k->flow, k->provider->name, k->auth_id, clock_wall_ms());
	k->flow.need_iss = json_is_true(json_object_get(o, "iss_parameter"));
	const char *to = endpoint ? authorize_url(r, endpoint, k) : NULL;
	json_decref(o);
	const char *cookie = flow_cookie(r, k->flow.state);
	if (!to || !cookie || flow_seal(&r->api->cfg.login->seal, &k->flow, sealed) != OK)
		return page_away(r);
	cookie_set(r, cookie, sealed, FLOW_TTL_MS / 1000);
	return answer_redirect(r, 302, to);
}

static enum MHD_Result go_to(struct request *r, const struct config_oidc *p, const char *auth_id)
{
	struct keep *k = keep_of(r);

	if (!k)
		return answer_error(r, 500, "out of memory");
	k->provider = p;
	k->auth_id = auth_id;
	return ask_helper(r, json_pack("{s:s, s:s}", "op", "discover", "provider", p->name), on_discovered);
}

static const char *title_of(struct request *r, const struct config_oidc *p)
{
	const char *host = strstr(p->issuer, "//");

	if (p->title[0] || !host)
		return p->title[0] ? p->title : p->issuer;
	host += 2;
	const char *title = arena_str(&r->arena, bytes_of(host, strcspn(host, "/:")));
	return title ? title : p->name;
}

static enum MHD_Result page_choose(struct request *r, const char *auth_id)
{
	const struct login *l = r->api->cfg.login;
	struct buf b = page_begin(r, W_CHOOSE);

	if (auth_id[0])
		buf_printf(&b, "<p class=\"muted\">%s</p>", word(W_CHOOSE_DEVICE));
	if (l->n_providers)
		buf_append_str(&b, "<div class=\"stack\">");
	for (size_t i = 0; i < l->n_providers; i++) {
		buf_printf(&b, "<a class=\"button\" data-kind=\"%s\" href=\"/login/with/%s%s%s\">%s ", i ? "" : "primary", l->providers[i].name,
				auth_id[0] ? "?connect=" : "", auth_id, word(W_CHOOSE_WITH));
		put_escaped(&b, title_of(r, &l->providers[i]));
		buf_append_str(&b, "</a>");
	}
	if (l->n_providers)
		buf_printf(&b, "</div><p class=\"or\">%s</p>", word(W_LOCAL_OR));
	local_put_form(r, &b, auth_id);
	buf_printf(&b, "<p class=\"muted\"><small>%s <code>fairlead console login --user NAME</code></small></p>", word(W_LOCAL_NONE));
	return page_end(r, 200, &b);
}

enum MHD_Result login_start(struct request *r, const char *auth_id)
{
	const struct login *l = r->api->cfg.login;

	return l->n_providers == 1 ? go_to(r, &l->providers[0], auth_id) : page_choose(r, auth_id);
}

static enum MHD_Result on_waiting(struct request *r, const struct reply *reply)
{
	if (reply->e != OK || !reply->n_pendings || !r->api->cfg.login->n_providers)
		return login_show_waiting(r, reply);
	return login_start(r, r->param[0]);
}

enum MHD_Result login_ask_waiting(struct request *r, const char *auth_id, reply_handler *next)
{
	struct command *c = command_for(r, CMD_AUTH_GET);

	if (c)
		c->auth_id = command_str(c, auth_id);
	return ask(r, c, next);
}

/* Without a provider nobody else could say who it is: who has just signed in here goes on to the device. */
static enum MHD_Result on_register_signin(struct request *r, const struct reply *reply)
{
	if (reply->e == OK && reply->n_signins && clock_wall_ms() - reply->signins[0].auth_ms <= SIGNIN_FRESH_MS)
		return answer_redirect(r, 302, arena_printf(&r->arena, "/connect/%s", r->param[0]));
	return login_ask_waiting(r, r->param[0], on_waiting);
}

enum MHD_Result login_page_register(struct request *r)
{
	if (!is_auth_id(r->param[0]))
		return page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
	if (!r->api->cfg.login->n_providers)
		return ask_signin(r, on_register_signin);
	return login_ask_waiting(r, r->param[0], on_waiting);
}

enum MHD_Result login_page(struct request *r)
{
	const char *auth_id = query(r, "connect");

	if (auth_id[0] && !is_auth_id(auth_id))
		return page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
	signin_remember(r, query(r, "to"));
	return page_choose(r, auth_id);
}

enum MHD_Result login_with(struct request *r)
{
	const struct config_oidc *p = login_provider(r->api->cfg.login, r->param[0]);
	const char *auth_id = query(r, "connect");

	if (!p || (auth_id[0] && !is_auth_id(auth_id)))
		return page_say(r, 404, W_SORRY, W_SORRY_BAD_LINK);
	return go_to(r, p, auth_id);
}

/* ---- and back ---- */

static const char *again(struct request *r, const struct keep *k)
{
	const char *auth_id = k && k->flow.auth_id[0] ? k->flow.auth_id : NULL;

	return auth_id ? arena_printf(&r->arena, "/register/%s", auth_id) : "/login";
}

static enum MHD_Result refuse(struct request *r, unsigned status, const char *why)
{
	struct keep *k = r->keep;

	log_warn("a login was refused", "provider=%s cause=%s", k->provider->name, log_qs(why).s);
	signin_failed(r, k->provider->name, "", why);
	return page_refused(r, status, why, again(r, k));
}

static enum MHD_Result on_logged_in(struct request *r, const struct reply *reply)
{
	struct keep *k = r->keep;

	if (reply->e != OK)
		return refuse(r, reply->e == ERR_EXISTS ? 403 : status_of(reply->e), reply->message);
	const char *token = arena_str(&r->arena, bytes_str(reply->secret));
	if (!token)
		return answer_error(r, 500, "out of memory");
	signin_begin(r, token);
	return answer_redirect(r, 303, signin_target(r, k->flow.auth_id));
}

static enum MHD_Result on_exchanged(struct request *r, const struct reply *reply)
{
	struct keep *k = r->keep;
	const struct config_oidc *p = k->provider;
	struct claims_want want = { .provider = p, .all = r->api->cfg.login->providers, .n_all = r->api->cfg.login->n_providers,
		.nonce = k->flow.nonce, .wall_ms = clock_wall_ms() };
	struct claims_why why;

	if (reply->e == ERR_BUSY)
		return provider_away(r, reply);
	if (reply->e != OK)
		return refuse(r, 403, reply->message);
	json_t *answer = json_loads(reply->text, 0, NULL);
	err e = claims_check(&want, answer, &r->arena, &k->got, &why);
	json_decref(answer);
	if (e != OK)
		return refuse(r, 403, why.text);
	struct command *c = command_for(r, CMD_LOGIN);
	if (c) {
		c->login = &k->got.facts;
		signin_fill(r, c);
		c->at_ms = p->use_expiry_from_token ? k->got.token_expires_ms : p->expiry_ms ? want.wall_ms + p->expiry_ms : 0;
	}
	return ask(r, c, on_logged_in);
}

/* The browser that began this login, and only once. */
static bool open_flow(struct request *r, const char *state, struct keep *k)
{
	const char *name = strlen(state) == FLOW_RANDOM_LEN ? flow_cookie(r, state) : NULL;
	const char *sealed = name ? cookie_get(r, name) : NULL;
	struct login *l = r->api->cfg.login;

	if (!sealed || flow_open(&l->seal, sealed, clock_wall_ms(), &k->flow) != OK || strcmp(k->flow.state, state) != 0)
		return false;
	cookie_set(r, name, "", 0);
	k->provider = login_provider(l, k->flow.provider);
	return k->provider && flow_use(&l->used, state);
}

static enum MHD_Result login_expired(struct request *r)
{
	struct buf b = page_begin(r, W_EXPIRED);

	put_word(&b, W_EXPIRED_TEXT);
	buf_append_str(&b, "<div class=\"row\">");
	put_link(&b, "primary", again(r, r->keep), W_REFUSED_AGAIN);
	buf_append_str(&b, "</div>");
	return page_end(r, 400, &b);
}

enum MHD_Result login_callback(struct request *r)
{
	const char *code = query(r, "code"), *error = query(r, "error"), *iss = query(r, "iss");
	struct keep *k = keep_of(r);

	if (!k)
		return answer_error(r, 500, "out of memory");
	if (!open_flow(r, query(r, "state"), k))
		return login_expired(r);
	/* RFC 9207: an answer of one provider is not taken for another's. */
	if ((iss[0] || k->flow.need_iss) && strcmp(iss, k->provider->issuer) != 0)
		return refuse(r, 403, "the answer is from another provider (iss)");
	if (error[0]) {
		const char *said = query(r, "error_description");
		const char *why = arena_printf(&r->arena, "the provider says: %.40s%s%.120s", error, said[0] ? ": " : "", said);
		return refuse(r, 403, why && bytes_is_utf8(bytes_str(why)) ? why : "the provider refused");
	}
	if (!code[0] || strlen(code) > CODE_MAX)
		return login_expired(r);
	const char *back = redirect_uri(r);
	return ask_helper(r, json_pack("{s:s, s:s, s:s, s:s, s:s}", "op", "exchange", "provider", k->provider->name, "code", code,
				     "verifier", k->provider->pkce ? k->flow.verifier : "", "redirect_uri", back ? back : ""),
			on_exchanged);
}

/* ---- the provider tells that somebody signed out (OpenID Connect Back-Channel Logout) ---- */

static enum MHD_Result on_back_channel(struct request *r, const struct reply *reply)
{
	return reply->e == OK ? answer_text(r, 200, "text/plain", "") : answer_error(r, 400, reply->message);
}

static enum MHD_Result on_logout_verified(struct request *r, const struct reply *reply)
{
	struct keep *k = r->keep;
	struct claims_want want = { .provider = k->provider, .wall_ms = clock_wall_ms() };
	struct claims_why why;

	if (reply->e != OK)
		return answer_error(r, reply->e == ERR_BUSY ? 503 : 400, reply->message);
	json_t *answer = json_loads(reply->text, 0, NULL);
	const json_t *claims = json_object_get(answer, "claims");
	err e = claims_check_logout(&want, claims, &r->arena, &k->got, &why);
	const char *jti = json_string_value(json_object_get(claims, "jti"));
	if (e == OK && !flow_use(&r->api->cfg.login->used, jti ? jti : "")) {
		e = ERR_AUTH;
		snprintf(why.text, sizeof why.text, "this logout token was used before");
	}
	json_decref(answer);
	if (e != OK)
		return answer_error(r, 400, why.text);
	struct command *c = command_for(r, CMD_BACK_CHANNEL);
	if (c) {
		c->login = &k->got.facts;
		c->disable = k->provider->expire_nodes;
	}
	return ask(r, c, on_back_channel);
}

enum MHD_Result login_backchannel(struct request *r)
{
	const struct config_oidc *p = login_provider(r->api->cfg.login, r->param[0]);
	struct keep *k = keep_of(r);

	if (!k)
		return answer_error(r, 500, "out of memory");
	if (!p)
		return answer_error(r, 404, "there is no such provider");
	k->provider = p;
	return ask_helper(r, json_pack("{s:s, s:s, s:s}", "op", "verify", "provider", p->name, "token", form_value(r, "logout_token")),
			on_logout_verified);
}
