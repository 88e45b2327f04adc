/* federation: when a token of another issuer stands for one of our federated identities. Pure: no clock, no I/O; that the token is signed
 * by its issuer is fairlead-oidc's to say (server/oidc_helper/helper.h, "verify_at").
 *
 * A pattern is text in which * stands for anything, also for nothing; all else counts as it is, letters' case too. */
#pragma once

#include <jansson.h>

#include "server/core/command.h"

enum {
	FEDERATION_TEXT_MAX = 1000, /* issuer, subject, audience */
	CLAIM_RULES_MAX = 20,
	CLAIM_NAME_MAX = 128,
	CLAIM_RULES_TEXT_MAX = 8000,
	FEDERATION_SKEW_S = 120,
	FEDERATION_AGE_S = 24 * 3600, /* older tokens are not from a workload that runs now */
};

struct federation_why {
	char text[200];
};

bool federation_pattern_fits(const char *pattern, const char *text);
/* Is it a definition that can be kept? insecure: http:// issuers, too. ERR_INVALID with why. */
MUST_USE err federation_check(const struct federation *f, bool insecure, struct federation_why *why);
/* Do these claims satisfy the identity, at this time? ERR_AUTH with why (it holds no more of the token than claims' names). */
MUST_USE err federation_accepts(const struct apikey_row *k, const json_t *claims, int64_t wall_ms, struct federation_why *why);
