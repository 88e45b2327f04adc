/* scope: what a key or a role may do. Pure: sets of bits, a reading and a writing one for each area.
 *
 * The words are those of Tailscale's API v2: "devices:core" writes and reads, "devices:core:read" reads, "all" and "all:read"
 * cover everything, also what comes later. Which call needs what stands in one table, server/api/route.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/store/rows.h"

enum scope {
	SCOPE_DEVICES_CORE,
	SCOPE_DEVICES_ROUTES,
	SCOPE_DEVICES_POSTURE,
	SCOPE_DEVICE_INVITES,
	SCOPE_AUTH_KEYS,
	SCOPE_OAUTH_KEYS,
	SCOPE_FEDERATED_KEYS,
	SCOPE_API_TOKENS,
	SCOPE_POLICY_FILE,
	SCOPE_DNS,
	SCOPE_USERS,
	SCOPE_ACCOUNT_SETTINGS,
	SCOPE_FEATURE_SETTINGS,
	SCOPE_NETWORKING_SETTINGS,
	SCOPE_LOGS_CONFIGURATION,
	SCOPE_LOGS_NETWORK,
	SCOPE_LOG_STREAMING,
	SCOPE_SERVICES,
	SCOPE_WEBHOOKS,
	SCOPE_OAUTH_APPS,
	SCOPE_ALL, /* what no other scope covers: only "all" has it */
	SCOPES_N,
};

typedef uint64_t scope_set;

#define SCOPE_READ_BIT(s) (1ull << (2 * (s)))
#define SCOPE_WRITE_BIT(s) (2ull << (2 * (s)))
/* As a need: any of the bits will do, and who may write may read. */
#define SCOPE_READ(s) (3ull << (2 * (s)))
#define SCOPE_WRITE(s) SCOPE_WRITE_BIT(s)
#define SCOPE_EVERYTHING ((1ull << (2 * SCOPES_N)) - 1)

const char *scope_text(enum scope s); /* "devices:core" */
/* Words with spaces between. ERR_INVALID: *bad is the word that is none (borrowed), or empty when there was no word. */
MUST_USE err scope_parse(const char *text, scope_set *out, struct bytes *bad);
/* The word that a need asks for, for a message: "devices:core:read". cap 64 is enough. */
void scope_need_text(scope_set need, char *out, size_t cap);

/* What a user may do by role. */
scope_set scope_of_role(enum user_role role);
/* The same of a user as replies give it: nothing while it waits for approval. */
scope_set scope_of_user(const struct user_row *u);

static inline bool scope_allows(scope_set have, scope_set need)
{
	return need ? (have & need) != 0 : (have & SCOPE_WRITE_BIT(SCOPE_ALL)) != 0;
}
