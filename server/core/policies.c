#include <stdlib.h>

#include "server/core/state.h"

/* The versions of a tailnet's policy in memory: rows, oldest first; the last is in force. Few, so that lists do. */

const struct policy_row *policy_in_force(const struct tailnet *t)
{
	static const struct policy_row none;

	return t->n_versions ? &t->versions[t->n_versions - 1]->row : &none;
}

struct policy_version *policy_version(const struct tailnet *t, int64_t number)
{
	for (size_t i = 0; i < t->n_versions; i++)
		if (t->versions[i]->row.version == number)
			return t->versions[i];
	return NULL;
}

static err list_version(struct tailnet *t, struct policy_version *v)
{
	if (t->n_versions == t->cap_versions) {
		size_t cap = t->cap_versions ? 2 * t->cap_versions : 4;
		struct policy_version **more = reallocarray(t->versions, cap, sizeof(struct policy_version *));

		if (!more)
			return ERR_NOMEM;
		t->versions = more;
		t->cap_versions = cap;
	}
	size_t at = t->n_versions++;
	for (; at && t->versions[at - 1]->row.id > v->row.id; at--)
		t->versions[at] = t->versions[at - 1];
	t->versions[at] = v;
	return OK;
}

err policy_put_memory(struct core *c, struct policy_row *taken)
{
	struct policy_version *v = map_get(&c->policies, &taken->id);

	if (!v) {
		v = calloc(1, sizeof *v);
		if (!v)
			return ERR_NOMEM;
		v->row.id = taken->id;
		v->t = core_tailnet(c, taken->tailnet_id);
		if (map_put(&c->policies, v) != OK || list_version(v->t, v) != OK) {
			map_del(&c->policies, &v->row.id);
			free(v);
			return ERR_NOMEM;
		}
	}
	policy_row_done(&v->row);
	v->row = *taken;
	*taken = (struct policy_row){ 0 };
	return OK;
}

void policy_drop_memory(struct core *c, int64_t id)
{
	struct policy_version *v = map_del(&c->policies, &id);
	size_t k = 0;

	if (!v)
		return;
	for (size_t i = 0; i < v->t->n_versions; i++)
		if (v->t->versions[i] != v)
			v->t->versions[k++] = v->t->versions[i];
	v->t->n_versions = k;
	policy_row_done(&v->row);
	free(v);
}
