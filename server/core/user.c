#include "server/core/state.h"

#include <stdlib.h>
#include <strings.h>

#include "common/base/cleanup.h"

struct user *user_by_id(struct core *c, int64_t id)
{
	return id ? map_get(&c->users, &id) : NULL;
}

bool user_waits(const struct user *u)
{
	return u->row.waits_ms && u->t->set.users_approval;
}

scope_set user_scopes(const struct user *u)
{
	return user_waits(u) ? 0 : scope_of_role(u->row.role);
}

/* People are few and admins ask rarely: a walk, so that names, emails and ids need no index each. */
struct user *user_find(struct tailnet *t, const char *text)
{
	struct user *by_email = NULL;
	uint64_t id;
	size_t at = 0;

	if (!text || !*text)
		return NULL;
	if (bytes_parse_u64(bytes_str(text), INT64_MAX, &id) == OK) { /* digits alone are an id */
		struct user *u = user_by_id(t->c, (int64_t)id);

		if (u && u->t == t)
			return u;
	}
	for (struct user *u; (u = map_next(&t->c->users, &at));) {
		if (u->t != t)
			continue;
		if (strcasecmp(u->row.name, text) == 0)
			return u;
		if (u->row.email && *u->row.email && strcasecmp(u->row.email, text) == 0)
			by_email = u;
	}
	return by_email;
}

err user_put_memory(struct core *c, struct user_row *taken)
{
	struct user *u = user_by_id(c, taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t || !taken->name)
		return ERR_INVALID;
	if (!u) {
		u = calloc(1, sizeof *u);
		if (!u)
			return ERR_NOMEM;
		u->t = t;
		list_init(&u->nodes);
		u->row.id = taken->id;
		err e = map_put(&c->users, u);
		if (e != OK) {
			free(u);
			return e;
		}
	}
	user_row_done(&u->row);
	u->row = *taken;
	*taken = (struct user_row){ 0 };
	list_each(it, &u->nodes) { /* names and profiles are part of what others see */
		struct node *n = container_of(it, struct node, of_user);
		node_info_stale(n);
		node_dirty(n, DIRTY_WHOLE);
		node_self_dirty(n);
	}
	return OK;
}

void user_drop_memory(struct core *c, int64_t id)
{
	struct user *u = map_del(&c->users, &id);

	if (!u)
		return;
	user_row_done(&u->row);
	free(u->groups);
	free(u);
}

err user_changed(struct core *c, struct user *u)
{
	list_each(it, &u->nodes) {
		struct node *n = container_of(it, struct node, of_user);

		node_dirty(n, DIRTY_WHOLE); /* the owner's profile travels with a node */
		node_self_dirty(n);
		TRY(gate_update(c, n));
		TRY(node_classify(c, n)); /* the policy names users */
		TRY(routes_update(c, n)); /* … and what they may announce */
	}
	return OK;
}
