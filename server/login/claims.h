/* claims: what a provider's answer must say before anybody is let in, whatever the helper and its library checked already.
 *
 * Pure: no clock, no I/O. In goes the answer of fairlead-oidc to "exchange" or "refresh" (server/oidc_helper/helper.h), out
 * comes who it is, or one sentence for the page. */
#pragma once

#include <jansson.h>

#include "common/base/arena.h"
#include "server/config.h"
#include "server/core/command.h"

enum {
	CLAIMS_SKEW_S = 120,	   /* clocks that differ */
	CLAIMS_AGE_S = 600,	   /* an ID token is from now, not from a drawer */
	CLAIMS_TEXT_MAX = 1024,
	CLAIMS_PATH_DEPTH = 8,
	CLAIMS_GROUPS_TEXT_MAX = 15000, /* all groups of a person together, as the database keeps them */
};

struct claims_want {
	const struct config_oidc *provider;
	const struct config_oidc *all; /* who else has mail domains */
	size_t n_all;
	const char *nonce; /* NULL: none is expected (a refresh) */
	const char *subject; /* NULL: anybody; a refresh must name the same one */
	int64_t wall_ms;
};

struct claims_got {
	struct login_facts facts; /* in the arena */
	int64_t token_expires_ms;
};

/* Who let nobody in, for the page: a stranger's text is in it only where it says so, and must be escaped. */
struct claims_why {
	char text[300];
};

/* ERR_AUTH: the token is not for us, not now, or not whole. ERR_DENIED: it is, but this person may not sign in. */
MUST_USE err claims_check(const struct claims_want *want, const json_t *answer, struct arena *a, struct claims_got *out,
		struct claims_why *why);

/* A logout token (OpenID Connect Back-Channel Logout 1.0): issuer, subject and sid of out->facts. */
MUST_USE err claims_check_logout(const struct claims_want *want, const json_t *claims, struct arena *a, struct claims_got *out,
		struct claims_why *why);
