#include "server/policy/lockout.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/policy/ask.h"

enum { WORK_MAX = 50000000 /* administrators' machines times machines times rules */ };

/* Who may set a policy again. */
static bool is_admin(const struct policy_node *n)
{
	return !n->n_tags && n->user &&
	       (n->user->role == POLICY_ROLE_OWNER || n->user->role == POLICY_ROLE_ADMIN || n->user->role == POLICY_ROLE_NETWORK_ADMIN);
}

static bool has_addr(const struct policy_node *n, struct addr a)
{
	return a.family && (addr_eq(n->v4, a) || addr_eq(n->v6, a));
}

static bool is_server(const struct policy_node *n, const struct policy_lockout_asked *asked)
{
	for (size_t i = 0; i < asked->n_server; i++)
		if (has_addr(n, asked->server[i]))
			return true;
	return false;
}

static const struct policy_named *server_node(const struct policy_world *w, const struct policy_lockout_asked *asked)
{
	for (size_t i = 0; i < w->n; i++)
		if (is_server(w->node[i].node, asked))
			return &w->node[i];
	return NULL;
}

static const struct policy_named *asker_node(const struct policy_world *w, const struct policy_lockout_asked *asked)
{
	for (size_t i = 0; asked->from.family && i < w->n; i++)
		if (has_addr(w->node[i].node, asked->from))
			return &w->node[i];
	return NULL;
}

static struct view_node *in_view(const struct policy_world *w, const struct policy_named *n)
{
	return map_get(&w->view->by_id, &n->node->id);
}

static bool reaches(const struct policy_world *w, const struct policy_named *from, const struct policy_named *to, uint16_t port)
{
	const struct probe a = { .node = in_view(w, from) }, b = { .node = in_view(w, to) };

	for (size_t i = 0; a.node && b.node && i < w->view->p->n_rules; i++)
		if (rule_takes(w, &w->view->p->rule[i], &a, &b, 6, port, NULL, NULL) == HOP_NONE)
			return true;
	return from == to; /* the machine itself */
}

static bool some_admin_reaches(const struct policy_world *w, const struct policy_named *to, uint16_t port)
{
	for (size_t i = 0; i < w->n; i++)
		if (is_admin(w->node[i].node) && reaches(w, &w->node[i], to, port))
			return true;
	return false;
}

/* Is there a machine to which some administrator may log in, from another one? */
static bool some_admin_logs_in(const struct policy_world *w)
{
	const struct policy *p = w->view->p;
	int64_t ignored;
	size_t work = 0;

	for (size_t i = 0; i < w->n && p->n_ssh; i++)
		for (size_t k = 0; is_admin(w->node[i].node) && k < w->n && work < WORK_MAX; k++) {
			const struct policy_named *a = &w->node[i], *b = &w->node[k];

			work += p->n_ssh + 1;
			for (size_t r = 0; a != b && r < p->n_ssh; r++) {
				const char *user = p->ssh[r].n_users ? p->ssh[r].user[0] : p->ssh[r].nonroot ? "nobody-special" : "root";

				if (policy_view_ssh_action(w->view, a->node->id, b->node->id, user, &ignored) == POLICY_SSH_NO)
					continue;
				work += p->n_rules + 1;
				if (reaches(w, a, b, 22))
					return true;
			}
		}
	return work >= WORK_MAX; /* too many to tell: no alarm */
}

bool policy_lockout_possible(const struct policy_lockout_asked *asked)
{
	return asked->n_server && (asked->inside || asked->from.family);
}

static void __attribute__((format(printf, 3, 4))) say(struct policy_lockout *x, bool refused, const char *fmt, ...)
{
	va_list ap;

	x->is = true;
	x->refused = refused;
	va_start(ap, fmt);
	vsnprintf(x->text, sizeof x->text, fmt, ap); /* cut when longer */
	va_end(ap);
}

void policy_lockout(const struct policy_world *was, const struct policy_world *is, const struct policy_lockout_asked *asked,
		struct policy_lockout out[LOCKOUTS_N])
{
	const struct policy_named *server = server_node(was, asked), *asker = asker_node(was, asked);

	for (int i = 0; i < LOCKOUTS_N; i++)
		out[i] = (struct policy_lockout){ 0 };
	if (server && (asked->inside || asker) && some_admin_reaches(was, server, asked->port) && !some_admin_reaches(is, server, asked->port))
		say(&out[LOCKOUT_CONSOLE], true, "no administrator's machine could reach the console on %s, port %u, through the tailnet any more",
		    server->name, asked->port);
	if (server && asker && asker != server && reaches(was, asker, server, asked->port) && !reaches(is, asker, server, asked->port))
		say(&out[LOCKOUT_OWN_WAY], false, "your own machine, %s, could not reach the server on %s, port %u, any more", asker->name,
		    server->name, asked->port);
	if (some_admin_logs_in(was) && !some_admin_logs_in(is))
		say(&out[LOCKOUT_SSH], false, "no administrator could log in to any machine by Tailscale SSH any more");
}

const char *policy_lockout_kind(int i)
{
	static const char *const kind[LOCKOUTS_N] = { [LOCKOUT_CONSOLE] = "console", [LOCKOUT_OWN_WAY] = "own-way", [LOCKOUT_SSH] = "ssh" };

	return kind[i];
}

void policy_lockout_write(const struct policy_lockout list[LOCKOUTS_N], struct jsonw *out)
{
	jsonw_arr(out);
	for (int i = 0; i < LOCKOUTS_N; i++) {
		if (!list[i].is)
			continue;
		jsonw_obj(out);
		jsonw_key(out, "kind"), jsonw_str(out, policy_lockout_kind(i));
		jsonw_key(out, "refused"), jsonw_bool(out, list[i].refused);
		jsonw_key(out, "text"), jsonw_str(out, list[i].text);
		jsonw_obj_end(out);
	}
	jsonw_arr_end(out);
}
