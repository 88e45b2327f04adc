/* SSH sessions in check mode: devices ask whether to let one in, wait for a person, and hear what was decided. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/sim/client.h"

enum { ASKED_BY_A_STRANGER = 100 }; /* beside enum policy_ssh, in sim_call.kind */

/* A confirmation that lasts, as the database has it. */
static bool is_confirmed(struct world *w, const struct sim_call *c)
{
	for (size_t i = 0; i < w->db.n_ssh_approvals; i++)
		if (w->db.ssh_approvals[i].pair.src == c->id && w->db.ssh_approvals[i].pair.dst == c->other)
			return true;
	/* Taken back since: the answer was given before that. */
	struct ssh_pair pair = { c->id, c->other };
	return !map_get(&w->core->ssh_approvals, &pair);
}

static void on_answer(struct sim_call *c, struct reply *r)
{
	struct world *w = c->w;

	if (r->e != OK || r->http_status != 200)
		return;
	if (c->kind == ASKED_BY_A_STRANGER)
		world_fail(w, "a machine was told of a session that does not end there");
	json_t *v = json_loadb((const char *)r->body.p, r->body.n, 0, NULL);
	const char *hold = json_string_value(json_object_get(v, "holdAndDelegate")), *id = hold ? strstr(hold, "auth_id=") : NULL;
	bool in = json_is_true(json_object_get(v, "accept"));

	if (!v || (in + (hold != NULL) + json_is_true(json_object_get(v, "reject"))) != 1)
		world_fail(w, "an SSH answer that is none, or several");
	if (in && c->kind == POLICY_SSH_NO)
		world_fail(w, "an SSH session was let in that the policy does not know");
	if (in && c->kind == POLICY_SSH_CHECK && !is_confirmed(w, c))
		world_fail(w, "an SSH session was let in that nobody confirmed");
	if (hold && c->kind != POLICY_SSH_CHECK)
		world_fail(w, "an SSH session waits that should not");
	w->ssh_in += in && c->kind == POLICY_SSH_CHECK;
	w->ssh_held += id != NULL;
	if (id) {
		struct sim_ssh *s = &w->ssh[w->n_ssh++ % ARRAY_LEN(w->ssh)];
		*s = (struct sim_ssh){ .src = c->id, .dst = c->other, .asked = c->client->index };
		snprintf(s->id, sizeof s->id, "%s", id + strlen("auth_id="));
		snprintf(s->user, sizeof s->user, "%s", c->user);
	}
	json_decref(v);
}

static void on_decided(struct sim_call *c, struct reply *r)
{
	if (r->e != OK)
		world_say(c->w, "an SSH decision: %s", r->message);
}

static void decide(struct world *w)
{
	struct command *m = command_new(one_in(w, 4) ? CMD_AUTH_REJECT : CMD_AUTH_APPROVE);
	struct event *e = event_new(EV_COMMAND);

	m->actor = "sim";
	if (w->n_ssh)
		m->auth_id = arena_str(&m->arena, bytes_str(w->ssh[one_in(w, 2) ? chance(w, MIN_OF(w->n_ssh, ARRAY_LEN(w->ssh))) :
			(w->n_ssh - 1) % ARRAY_LEN(w->ssh)].id));
	if (one_in(w, 3) && w->db.n_users) { /* a person, who may not be the one */
		m->user = arena_printf(&m->arena, "%lld", (long long)w->db.users[chance(w, w->db.n_users)].id);
		if (w->n_tokens)
			m->key_text = arena_str(&m->arena, bytes_str(w->tokens[chance(w, MIN_OF(w->n_tokens, ARRAY_LEN(w->tokens)))]));
	}
	e->command = m;
	e->call = &world_call(w, NULL, on_decided)->call;
	world_apply(w, e);
}

static void set_policy(struct world *w)
{
	static const char text[] = "{\"tagOwners\": {\"tag:web\": [\"ann@\", \"bob@\"], \"tag:db\": [\"ann@\"]},"
		" \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}], \"ssh\": ["
		"{\"action\": \"check\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"users\": [\"root\"], \"checkPeriod\": \"5m\"},"
		"{\"action\": \"check\", \"src\": [\"autogroup:member\"], \"dst\": [\"tag:web\", \"tag:db\"], \"users\": [\"root\"], \"checkPeriod\": \"always\","
		" \"recorder\": [\"tag:db\"]},"
		"{\"action\": \"accept\", \"src\": [\"tag:web\"], \"dst\": [\"tag:db\"], \"users\": [\"ann\"]}]}";
	struct event *e = event_new(EV_COMMAND);

	e->command = command_new(CMD_POLICY_SET);
	e->command->text = text;
	e->call = &world_call(w, NULL, on_decided)->call;
	world_apply(w, e);
}

/* Two devices with nodes, and a user: often such whom the policy makes wait. */
static bool pick(struct world *w, struct client **from, struct client **to, const char **user)
{
	static const char *const users[] = { "root", "ann", "nobody" };
	bool found = false;
	int64_t period;

	for (int i = 0; i < 24; i++) {
		*from = w->clients[chance(w, w->n_clients)];
		*to = w->clients[chance(w, w->n_clients)];
		*user = users[chance(w, ARRAY_LEN(users))];
		struct node *src = node_by_key(w->core, &(*from)->key), *dst = node_by_key(w->core, &(*to)->key);
		found = src && dst;
		if (found && (i == 23 || policy_view_ssh_action(dst->t->map.policy, src->row.id, dst->row.id, *user, &period) == POLICY_SSH_CHECK))
			break;
	}
	return found;
}

void ssh_act(struct world *w)
{
	struct client *from, *to;
	const char *user;
	int64_t period;

	if (one_in(w, 12)) {
		set_policy(w);
		return;
	}
	if (one_in(w, 3)) {
		decide(w);
		return;
	}
	bool again = w->n_ssh && one_in(w, 2);
	const struct sim_ssh *was = again ? &w->ssh[one_in(w, 3) ? chance(w, MIN_OF(w->n_ssh, ARRAY_LEN(w->ssh))) : (w->n_ssh - 1) % ARRAY_LEN(w->ssh)] : NULL;
	if (again) {
		from = to = w->clients[was->asked];
		user = was->user;
	} else if (!pick(w, &from, &to, &user)) {
		return;
	}
	struct client *asks = one_in(w, 8) ? from : to;
	struct node *src = again ? node_by_id(w->core, was->src) : node_by_key(w->core, &from->key);
	struct node *dst = again ? node_by_id(w->core, was->dst) : node_by_key(w->core, &to->key);
	if (!src || !dst)
		return;
	struct event *e = event_new(EV_NODE_REQUEST);
	struct sim_call *c = world_call(w, asks, on_answer);

	e->machine = asks->machine;
	e->method = "POST";
	e->path = arena_printf(&e->arena, "/machine/ssh/action/%lld/to/%lld?local_user=%s%s%s", (long long)src->row.id, (long long)dst->row.id, user,
			again ? "&auth_id=" : "", again ? was->id : "");
	e->body = bytes_str("{}");
	e->call = &c->call;
	c->id = src->row.id;
	c->other = dst->row.id;
	snprintf(c->user, sizeof c->user, "%s", user);
	c->kind = machine_pub_eq(&dst->row.machine, &asks->machine) ?
		(int)policy_view_ssh_action(dst->t->map.policy, src->row.id, dst->row.id, user, &period) : ASKED_BY_A_STRANGER;
	world_say(w, "client %zu asks about SSH from %lld to %lld as %s%s", asks->index, (long long)c->id, (long long)c->other, user,
			again ? ", again" : "");
	world_apply(w, e);
}
