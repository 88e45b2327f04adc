/* refresh: asks providers again, on a schedule, whether they still vouch for those who signed in, and what groups they are in.
 *
 * Now and then the identities whose provider has a refresh_interval, and that were not looked at for that long, are asked about, a
 * few of each provider at a time. A provider that refuses the refresh token ends the person's sessions (and, if it is so
 * configured, the keys of their devices); one that cannot be reached, or answers anything else, changes nothing but the refresh
 * token, where a new one came. */
#pragma once

#include "server/core/event.h"
#include "server/login/login.h"

struct refresher;

enum {
	REFRESH_LOOK_MS = 20000, /* or the shortest interval, when that is less */
	REFRESH_LOOK_MIN_MS = 1000,
	REFRESH_AT_ONCE = 8, /* of one provider, whose turn then comes round */
};

/* Of all (by number) those of p that are due: first those after number `after`, where the last turn ended, then from the start. So
 * those whom a provider does not answer for, and who stay due, do not keep the others waiting. Pure. */
size_t refresh_due(const struct identity_row *all, size_t n, const struct config_oidc *p, int64_t now_ms, int64_t after,
		const struct identity_row *out[REFRESH_AT_ONCE]);

/* Loop thread. post: any thread; the call comes back on the core's release thread. */
MUST_USE err refresher_new(struct loop *l, struct login *login, void (*post)(void *ctx, struct event *taken), void *ctx,
		struct refresher **out);
/* Asks no more. Calls that are under way come back until the core and the helper have stopped; then refresher_free. */
void refresher_stop(struct refresher *r);
void refresher_free(struct refresher *r);
