#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/api/state.h"
#include "server/api/v2.h"
#include "server/core/federation.h"
#include "server/login/login.h"

/* POST /api/v2/oauth/token-exchange: a workload shows a token of its own issuer (a CI system, a cloud, a cluster) and gets one of ours, of the
 * federated identity that client_id names. In three steps: the core says whose tokens it takes; fairlead-oidc asks that issuer for its
 * keys and looks at the signature; what the token says is judged here, and the core gives a token if the identity is still the same.
 *
 * The issuer that is asked is the identity's, never what the token says: a stranger makes us call nobody. */

struct exchange {
	struct apikey_row identity; /* in the arena */
	const char *jwt;
};

/* The caller learns no more than that it was not taken; the operator reads why. */
static enum MHD_Result refuse(struct request *r, const char *why)
{
	struct exchange *x = r->keep;

	note_wrong_key(r);
	log_info("a token of another issuer was refused", "request=%s identity=%lld from=%s cause=%s", r->id, (long long)(x ? x->identity.id : 0),
			addr_text(client_of(r), (char[ADDR_TEXT_MAX]){ 0 }), log_qs(why).s);
	return v2_oauth_error(r, 401, "invalid_client", "this token was not accepted");
}

static enum MHD_Result trouble(struct request *r, const struct reply *reply)
{
	const char *why = reply->message ? reply->message : err_text(reply->e);

	if (reply->e != ERR_BUSY && reply->e != ERR_CLOSED)
		return v2_oauth_error(r, 500, "server_error", why);
	log_warn("the issuer of a federated identity cannot be asked", "request=%s cause=%s", r->id, log_qs(why).s);
	return v2_oauth_error(r, 503, "temporarily_unavailable", "the token's issuer cannot be asked now");
}

static enum MHD_Result on_token(struct request *r, const struct reply *reply)
{
	if (reply->e == ERR_AUTH)
		return refuse(r, reply->message);
	return reply->e == OK ? v2_oauth_token(r, reply) : trouble(r, reply);
}

static enum MHD_Result on_verified(struct request *r, const struct reply *reply)
{
	struct exchange *x = r->keep;
	struct federation_why why = { "" };

	if (reply->e == ERR_AUTH || reply->e == ERR_DENIED)
		return refuse(r, reply->message);
	if (reply->e != OK)
		return trouble(r, reply);
	json_auto_t *answer = json_loads(reply->text ? reply->text : "", 0, NULL);
	if (federation_accepts(&x->identity, json_object_get(answer, "claims"), clock_wall_ms(), &why) != OK)
		return refuse(r, why.text);
	struct command *c = command_for(r, CMD_APIKEY_TOKEN);
	if (c) {
		c->id = x->identity.id;
		c->at_ms = x->identity.updated_ms;
	}
	return ask(r, c, on_token);
}

static const char *kept(struct request *r, const char *text)
{
	return arena_str(&r->arena, bytes_str(text ? text : ""));
}

static enum MHD_Result on_identity(struct request *r, const struct reply *reply)
{
	struct exchange *x = r->keep;

	if (reply->e == ERR_NOT_FOUND || (reply->e == OK && (!reply->n_apikeys || !apikey_is_federated(&reply->apikeys[0]) ||
			reply->apikeys[0].revoked_ms)))
		return refuse(r, "there is no such identity");
	if (reply->e != OK)
		return trouble(r, reply);
	const struct apikey_row *k = &reply->apikeys[0];
	x->identity = (struct apikey_row){ .id = k->id, .kind = k->kind, .updated_ms = k->updated_ms, .issuer = (char *)(uintptr_t)kept(r, k->issuer),
		.subject = (char *)(uintptr_t)kept(r, k->subject), .audience = (char *)(uintptr_t)kept(r, k->audience),
		.claim_rules = (char *)(uintptr_t)kept(r, k->claim_rules) };
	if (!x->identity.issuer || !x->identity.subject || !x->identity.audience || !x->identity.claim_rules)
		return v2_oauth_error(r, 500, "server_error", "out of memory");
	const char *ca = getenv("SSL_CERT_FILE");
	return ask_helper(r, json_pack("{s:s, s:s, s:b, s:s, s:s}", "op", "verify_at", "issuer", x->identity.issuer, "private",
					     r->api->cfg.issuers_private, "token", x->jwt, "ca", ca ? ca : ""), on_verified);
}

enum MHD_Result api_v2_token_exchange(struct request *r)
{
	const char *id = v2_form_value(r, "client_id"), *jwt = v2_form_value(r, "jwt");
	struct exchange *x = arena_alloc(&r->arena, sizeof *x);
	unsigned wait_s;
	uint64_t n = 0;

	if (!x)
		return v2_oauth_error(r, 500, "server_error", "out of memory");
	*x = (struct exchange){ .jwt = jwt };
	if (!may_try_key(r, &wait_s)) {
		r->retry_after_s = wait_s;
		return v2_oauth_error(r, 429, "slow_down", "too many tokens that were not accepted");
	}
	if (!id || !*id || !jwt || !*jwt)
		return v2_oauth_error(r, 400, "invalid_request", "client_id and jwt are needed");
	if (!r->api->cfg.login->helper)
		return v2_oauth_error(r, 501, "server_error", "this server has no program that looks at tokens of other issuers");
	r->keep = x;
	/* A client may write "123?ephemeral=true": what is behind is for itself. */
	if (bytes_parse_u64(bytes_first(bytes_str(id), strcspn(id, "?")), INT64_MAX, &n) != OK || !n)
		return refuse(r, "client_id is no number");
	struct command *c = command_for(r, CMD_APIKEY_LOOK);
	if (c)
		c->id = (int64_t)n;
	return ask(r, c, on_identity);
}
