#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* What the web console asks that no other tool does. */

static err about_me(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = m->id ? user_by_id(c, m->id) : NULL;
	size_t at = 0;

	r->domain = arena_str(&r->arena, bytes_str(or_empty(t->set.base_domain)));
	r->text = "";
	for (struct user *o; (o = map_next(&c->users, &at));)
		if (o->t == t && o->row.role == USER_OWNER)
			r->text = arena_str(&r->arena, bytes_str(or_empty(o->row.name)));
	if (!r->domain || !r->text)
		return ERR_NOMEM;
	return u && u->t == t ? reply_give_user(r, u) : OK;
}

/* ---- people ---- */

static int by_user_id(const void *a, const void *b)
{
	const struct user *const *x = a, *const *y = b;

	return ((*x)->row.id > (*y)->row.id) - ((*x)->row.id < (*y)->row.id);
}

static err add_person(struct core *c, struct user *u, struct reply *r)
{
	struct person_info *p = &r->people[r->n_users];
	const char **groups = arena_array(&r->arena, u->n_groups + 1, sizeof *groups);

	TRY(user_to_arena(&r->arena, u, &r->users[r->n_users]));
	if (!groups)
		return ERR_NOMEM;
	for (size_t i = 0; i < u->n_groups; i++)
		if (!(groups[i] = arena_str(&r->arena, bytes_str(u->groups[i]))))
			return ERR_NOMEM;
	*p = (struct person_info){ .machines = u->n_nodes, .password = account_of(c, u->row.id) != NULL, .groups = groups, .n_groups = u->n_groups };
	list_each(it, &u->nodes) {
		const struct node *n = container_of(it, struct node, of_user);
		p->online += n->m.online;
		p->seen_ms = MAX_OF(p->seen_ms, n->m.online ? c->now.wall_ms : n->row.last_seen_ms);
	}
	r->n_users++;
	return OK;
}

static struct person_info *person_of(struct reply *r, int64_t user_id)
{
	size_t low = 0, high = r->n_users;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (r->users[mid].id == user_id)
			return &r->people[mid];
		if (r->users[mid].id < user_id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static bool is_asked_for(const struct command *m, int64_t id)
{
	for (size_t i = 0; i < m->n_ids; i++)
		if (m->ids[i] == id)
			return true;
	return !m->n_ids;
}

static err people(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user **list = arena_array(&r->arena, c->users.n + 1, sizeof(*list));
	size_t n = 0, at = 0;

	r->users = arena_array(&r->arena, c->users.n + 1, sizeof *r->users);
	r->people = arena_array(&r->arena, c->users.n + 1, sizeof *r->people);
	if (!list || !r->users || !r->people)
		return ERR_NOMEM;
	for (struct user *u; (u = map_next(&c->users, &at));)
		if (u->t == t && is_asked_for(m, u->row.id))
			list[n++] = u;
	if (n)
		qsort(list, n, sizeof(*list), by_user_id);
	for (size_t i = 0; i < n; i++)
		TRY(add_person(c, list[i], r));
	at = 0;
	for (struct identity *i; (i = map_next(&c->identities, &at));) {
		struct person_info *p = person_of(r, i->row.user_id);
		if (!p)
			continue;
		p->identities++;
		p->seen_ms = MAX_OF(p->seen_ms, i->row.login_ms);
	}
	at = 0;
	for (struct signin *s; (s = map_next(&c->signins, &at));) {
		struct person_info *p = s->row.kind == SIGNIN_BROWSER ? person_of(r, s->row.user_id) : NULL;
		if (p)
			p->seen_ms = MAX_OF(p->seen_ms, s->row.auth_ms);
	}
	return OK;
}

void on_command_console(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	r->e = m->kind == CMD_ME ? about_me(c, t, m, r) : people(c, t, m, r);
}
