/* draft: a look at a text that somebody is still writing: what is wrong with it and how to mend that, and what it would change. Pure. */
#pragma once

#include "server/policy/lockout.h"

struct policy_draft {
	struct bytes text;
	const struct policy_services *services; /* NULL: none */
	struct policy_lockout_asked asked;
	bool hidden; /* who asks must not learn about machines */
};
/* Members valid, errors, warnings, changes, machines, tests, lockout, partial, hidden. */
MUST_USE err policy_draft_write(const struct policy_world *was, const struct policy_draft *d, struct jsonw *out);

/* {"line", "column", "from", "to", "text", "fix"}; offsets as they are in the fault. */
void policy_fault_write(const struct policy_fault *f, struct jsonw *out);
void policy_fix_write(const struct policy_fault *f, struct jsonw *out); /* the member fix */

/* The policy over the same nodes. */
MUST_USE err policy_world_view(struct policy *p, const struct policy_world *like, struct policy_view **out);
