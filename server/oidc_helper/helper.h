/* fairlead-oidc: talks to identity providers for the server: discovery, token endpoint, userinfo, signatures of tokens.
 *
 * A process of its own because its calls block, because it parses what strangers send, and because Debian 12's liboauth2 is
 * AGPL while our code is MIT. It decides nothing: whom a valid token lets in is checked by the server (server/login/claims.h).
 *
 * Descriptor 3 is one end of a SOCK_SEQPACKET pair; each message is one JSON object, at most HELPER_MESSAGE_MAX bytes.
 *
 *   server -> helper  {"op":"providers","providers":[{"name","issuer","client_id","client_secret","auth","ca","timeout_ms"}]}   once, first
 *                     {"id","op":"discover","provider"}
 *                     {"id","op":"exchange","provider","code","verifier","redirect_uri"}
 *                     {"id","op":"refresh","provider","refresh_token"}
 *                     {"id","op":"verify","provider","token"}                       a logout token
 *                     {"id","op":"verify_at","issuer","private","token"}            a workload's token, of any issuer; without "private"
 *                                                                                   only issuers at public addresses are asked
 *   helper -> server  {"id","ok":true, …}   discover: authorization_endpoint, iss_parameter
 *                                           exchange, refresh: claims, userinfo (or null), refresh_token ("" none)
 *                                           A refresh whose userinfo fails is "unreachable"; a login does without it.
 *                                           verify, verify_at: claims
 *                     {"id","ok":false,"kind","why","refresh_token"}
 *                                           kind: "denied": the token endpoint says invalid_grant, and nothing else does |
 *                                           "unreachable" | "invalid". refresh_token: a new one came before the trouble (or
 *                                           absent): the old one may be used up, so it must be kept.
 *                     {"event":"provider","provider","ok","why"}                    it came up, or went away
 *
 * The end of file on descriptor 3 ends the process. */
#pragma once

#include <jansson.h>
#include <pthread.h>

#include "common/base/arena.h"
#include "common/base/buf.h"

enum {
	HELPER_MESSAGE_MAX = 160 << 10,
	HELPER_ANSWER_MAX = 256 << 10, /* one HTTP answer of a provider */
	HELPER_CLAIMS_MAX = 48 << 10,  /* the claims of one token, as JSON */
	HELPER_JSON_DEPTH = 16,
	HELPER_THREADS = 8,
	HELPER_PER_PROVIDER = 5, /* a slow one leaves threads to the others */
	HELPER_GUESTS_MAX = 32,	 /* issuers of workloads that are remembered */
	HELPER_GUEST_THREADS = 3, /* for all of them together: logins come first */
	HELPER_GUEST_JOBS = 24,	  /* of the queue */
	HELPER_GUEST_TIMEOUT_MS = 8000,
	HELPER_QUEUE_MAX = 64,
	HELPER_PROVIDERS_MAX = 16,
	HELPER_KEYS_MAX = 64, /* of one provider */
	METADATA_FRESH_S = 3600,
	JWKS_FRESH_S = 600,
	JWKS_MISS_S = 20, /* an unknown key asks for the set at most this often */
};

struct provider {
	int64_t timeout_ms; /* one HTTP call, all of it */
	char *name, *issuer, *client_id, *client_secret, *auth, *ca; /* owned */
	pthread_mutex_t lock; /* the rest; held during calls that fill it */
	json_t *metadata;     /* owned; NULL: never seen */
	int64_t metadata_s;
	json_t *jwks; /* owned array of keys */
	int64_t jwks_s, jwks_asked_s;
	bool said_ok, said; /* what the server was told last */
	unsigned running;   /* of the queue's lock, and so is the rest */
	bool guest;	    /* an issuer of workloads: nothing is asked of it but its keys */
	bool private_too;   /* then: it may be at a private address */
	unsigned users;	    /* then: jobs that need it to stay */
	int64_t used_s;
};

/* What went wrong, for people; kind is static. */
struct trouble {
	const char *kind;
	char why[240];
};
err trouble(struct trouble *t, err e, const char *kind, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

int64_t mono_s(void);

/* http.c: one bounded call without redirects. ERR_SYS: it could not be reached; *status is set on OK. */
struct http_call {
	const char *url;
	const struct provider *provider; /* its certificates and patience */
	const char *bearer;	 /* NULL: none */
	const char *user, *pass; /* basic authentication, already form-encoded; NULL: none */
	const char *form;	 /* a POST; NULL: GET */
};
MUST_USE err http_fetch(const struct http_call *c, long *status, struct buf *out, struct trouble *t);
/* The body of a 200 as an object. */
MUST_USE err http_fetch_json(const struct http_call *c, json_t **out, struct trouble *t);
bool form_add(struct buf *form, const char *name, const char *value);
bool form_encode(struct buf *out, const char *value);

/* provider.c. What is given out is a reference (json_decref). */
MUST_USE err provider_metadata(struct provider *p, json_t **out, struct trouble *t);
/* force: a key was not in the set that we have. */
MUST_USE err provider_jwks(struct provider *p, const char *jwks_uri, bool force, json_t **out, struct trouble *t);
bool provider_url_ok(const struct provider *p, const char *url);
const char *text_in(const json_t *o, const char *key); /* "" when it is absent or no text */

/* token.c: the signature of a compact JWS by the provider's keys; *claims is its payload, unchecked beyond that. */
MUST_USE err token_verify(struct provider *p, const char *jwks_uri, const char *token, json_t **claims, struct trouble *t);
void token_start(void); /* once, before threads and the sandbox */

/* ops.c: fills answer beside id and ok. */
MUST_USE err op_run(struct provider *p, const json_t *request, json_t *answer, struct trouble *t);

/* sandbox.c */
MUST_USE err sandbox_enter(void);
