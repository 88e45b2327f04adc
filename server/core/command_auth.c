#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"

static err add(struct reply *r, const struct pending *p)
{
	TRY(pending_to_arena(&r->arena, &p->row, &r->pendings[r->n_pendings]));
	r->n_pendings++;
	return OK;
}

static int by_time(const void *a, const void *b)
{
	const struct pending_row *x = a, *y = b;

	return (x->created_ms > y->created_ms) - (x->created_ms < y->created_ms);
}

static err list(struct core *c, struct tailnet *t, struct reply *r)
{
	size_t at = 0;

	r->pendings = arena_array(&r->arena, c->pendings.n + 1, sizeof *r->pendings);
	if (!r->pendings)
		return ERR_NOMEM;
	for (struct pending *p; (p = map_next(&c->pendings, &at));)
		if (p->t == t)
			TRY(add(r, p));
	TRY(ssh_checks_list(c, t, r));
	if (r->n_pendings)
		qsort(r->pendings, r->n_pendings, sizeof *r->pendings, by_time);
	return OK;
}

static err finish(struct core *c, struct pending *p, struct user *u, struct reply *r)
{
	char why[240] = "";
	struct node *n;

	err e = register_pending(c, p, u, REGISTER_CLI, true, 0, why, sizeof why, &n);
	if (e != OK) {
		if (why[0])
			reply_fail(r, e, "%s", why);
		return e;
	}
	log_info("node registered", "node=%" PRId64 " name=%s method=cli user=%s", n->row.id, log_qs(n->row.given_name).s,
			log_qs(u->row.name).s);
	TRY(reply_room_nodes(r, 1));
	return reply_add_node(c, r, n);
}

/* Only a device that was somebody's before can be let in without naming its user. */
static struct user *owner_before(struct core *c, const struct pending *p)
{
	struct machine *m = machine_get(c, &p->row.machine);
	struct node *only = NULL;

	if (!m)
		return NULL;
	list_each(it, &m->nodes) {
		struct node *n = container_of(it, struct node, of_machine);
		if (node_pub_eq(&n->row.key, &p->row.old_key) || node_pub_eq(&n->row.key, &p->row.key))
			return user_by_id(c, n->row.user_id);
		if (only)
			return NULL;
		only = n;
	}
	return only ? user_by_id(c, only->row.user_id) : NULL;
}

void on_command_auth(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (m->kind == CMD_AUTH_LIST) {
		r->e = list(c, t, r);
		return;
	}
	if (on_command_ssh(c, m, r))
		return;
	struct pending *p = pending_by_id(c, m->auth_id);
	/* A person (m->user) may answer for their own SSH sessions; whose device joins is not theirs to say here. */
	if (!p || p->t != t || (*m->user && m->kind != CMD_AUTH_REGISTER)) {
		reply_fail(r, ERR_NOT_FOUND, "nothing waits under \"%.64s\": it was finished, expired, or never existed", m->auth_id);
		return;
	}
	if (m->kind == CMD_AUTH_GET) {
		r->pendings = arena_array(&r->arena, 1, sizeof *r->pendings);
		r->e = r->pendings ? add(r, p) : ERR_NOMEM;
		struct signin *s = *m->key_text ? signin_by_token(c, m->key_text, SIGNIN_BROWSER) : NULL;
		r->expires_ms = register_expires(c, t, p->row.n_request_tags != 0, s ? s->row.node_expires_ms : 0);
	} else if (m->kind == CMD_AUTH_REGISTER) {
		struct user *u = user_find(t, m->user);
		if (u && !apikey_may_act_on(c, m, u, r))
			return;
		if (u)
			r->e = finish(c, p, u, r);
		else
			reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
	} else if (m->kind == CMD_AUTH_APPROVE) {
		struct user *u = owner_before(c, p);
		if (u)
			r->e = finish(c, p, u, r);
		else
			reply_fail(r, ERR_STATE, "this device is new here: register it with a user instead of approving it");
	} else {
		pending_answer_all(c, p, 200, "an administrator refused this login", NULL);
		r->e = pending_delete(c, p);
	}
}
