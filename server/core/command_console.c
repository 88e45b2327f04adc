#include "server/core/state.h"

/* What the web console asks that no other tool does. */

void on_command_console(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = m->id ? user_by_id(c, m->id) : NULL;
	size_t at = 0;

	r->domain = arena_str(&r->arena, bytes_str(or_empty(t->set.base_domain)));
	r->text = "";
	for (struct user *o; (o = map_next(&c->users, &at));)
		if (o->t == t && o->row.role == USER_OWNER)
			r->text = arena_str(&r->arena, bytes_str(or_empty(o->row.name)));
	if (!r->domain || !r->text)
		r->e = ERR_NOMEM;
	else if (u && u->t == t)
		r->e = reply_give_user(r, u);
}
