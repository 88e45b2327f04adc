#include "server/core/settings.h"
#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"

err policy_answer(const struct policy_row *row, struct reply *r)
{
	r->policies = arena_array(&r->arena, 1, sizeof *r->policies);
	if (!r->policies)
		return ERR_NOMEM;
	TRY(policy_to_arena(&r->arena, row, r->policies));
	r->n_policies = 1;
	return OK;
}

static err history(struct tailnet *t, struct reply *r)
{
	r->policies = arena_array(&r->arena, t->n_versions + 1, sizeof *r->policies);
	r->policy_bytes = arena_array(&r->arena, t->n_versions + 1, sizeof *r->policy_bytes);
	if (!r->policies || !r->policy_bytes)
		return ERR_NOMEM;
	for (size_t i = t->n_versions; i-- > 0;) {
		struct policy_row row = t->versions[i]->row;

		r->policy_bytes[r->n_policies] = strlen(or_empty(row.text));
		row.text = NULL;
		TRY(policy_to_arena(&r->arena, &row, &r->policies[r->n_policies++]));
	}
	return OK;
}

static err version(struct tailnet *t, int64_t number, struct reply *r)
{
	struct policy_version *v = policy_version(t, number);

	if (!v) {
		reply_fail(r, ERR_NOT_FOUND, "there is no version %lld of the policy", (long long)number);
		return r->e;
	}
	return policy_answer(&v->row, r);
}

void on_command_policy(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (m->kind == CMD_POLICY_GET)
		r->e = policy_answer(policy_in_force(t), r);
	else if (m->kind == CMD_POLICY_HISTORY)
		r->e = history(t, r);
	else
		r->e = version(t, m->id, r);
}
