/* What people do who sign in by a provider, a link, or not at all: they appear, wait for approval, connect and refuse devices, are
 * signed out; and what their provider says of them. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/sim/client.h"

#define PICK(w, list) ((list)[chance((w), ARRAY_LEN(list))])

static const char *const subjects[] = { "s1", "s2", "s3", "s4", "s5" };
static const char *const logins[] = { "eve@example.com", "fred", "gus@example.com", "ann", "no spaces please" };
static const char *const groups[] = { "dev", "ops" };

/* Said to be signed in: then the database has the session, or the core has ended it since. */
static void check_signed_in(struct world *w, const struct reply *r)
{
	if (!r->secret || r->n_signins != 1)
		world_fail(w, "a login without a session");
	for (size_t i = 0; i < w->db.n_signins; i++)
		if (w->db.signins[i].id == r->signins[0].id)
			return;
	if (signin_by_id(w->core, r->signins[0].id))
		world_fail(w, "a session was given before it was durable");
}

static void on_answer(struct sim_call *c, struct reply *r)
{
	struct world *w = c->w;

	if (r->e != OK) {
		world_say(w, "command %d of people: %s", c->kind, r->message);
		if (r->secret)
			world_fail(w, "a refused login gives a session");
		return;
	}
	switch (c->kind) {
	case CMD_LOGIN:
	case CMD_LINK_USE:
		check_signed_in(w, r);
		w->logins++;
		snprintf(w->tokens[w->n_tokens++ % ARRAY_LEN(w->tokens)], sizeof w->tokens[0], "%s", r->secret);
		break;
	case CMD_LINK_MAKE:
		snprintf(w->link, sizeof w->link, "%s", r->secret);
		break;
	case CMD_USER_APPROVE:
		w->approved++;
		break;
	case CMD_AUTH_CONNECT:
		w->connected++;
		w->waited += r->n_users && r->users[0].waits_ms;
		if (r->n_users && r->n_nodes && r->users[0].waits_ms && r->nodes[0]->row.n_tags)
			world_fail(w, "node %lld left the account that waits, by its tags", (long long)r->nodes[0]->row.id);
		break;
	default:
		break;
	}
}

static struct login_facts *facts(struct world *w, struct command *m)
{
	struct login_facts *f = arena_alloc(&m->arena, sizeof *f);
	const char **list = arena_array(&m->arena, ARRAY_LEN(groups), sizeof(*list));
	const char *login = PICK(w, logins);

	*f = (struct login_facts){ .provider = "oidc", .issuer = one_in(w, 8) ? "https://other.example" : "https://id.example", .subject = PICK(w, subjects),
		.login = login, .email = strchr(login, '@') ? login : "", .name = PICK(w, logins), .display_name = one_in(w, 2) ? "Eve" : "",
		.picture_url = "", .groups = list, .refresh_token = one_in(w, 2) ? "again" : "", .provider_sid = one_in(w, 2) ? "sid" : "",
		.partial = one_in(w, 6) };
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (one_in(w, 2))
			list[f->n_groups++] = groups[i];
	return f;
}

static const char *some_token(struct world *w, struct command *m)
{
	size_t n = MIN_OF(w->n_tokens, ARRAY_LEN(w->tokens));
	const char *t = !n ? "nonsense" : w->tokens[one_in(w, 3) ? chance(w, n) : (w->n_tokens - 1) % ARRAY_LEN(w->tokens)];

	return arena_str(&m->arena, bytes_str(t));
}

/* Who comes from now on waits; admin.c takes it back now and then. */
static void make_them_wait(struct world *w)
{
	struct event *e = event_new(EV_COMMAND);

	e->command = command_new(CMD_SETTINGS_SET);
	e->command->name = "users_approval";
	e->command->text = "true";
	e->call = &world_call(w, NULL, on_answer)->call;
	world_apply(w, e);
}

void people_act(struct world *w)
{
	static const struct {
		enum command_kind kind;
		unsigned weight;
	} mix[] = {
		{ CMD_LOGIN, 10 }, { CMD_AUTH_CONNECT, 12 }, { CMD_AUTH_DENY, 1 }, { CMD_USER_APPROVE, 5 }, { CMD_SIGNIN_CHECK, 1 }, { CMD_SIGNIN_END, 2 },
		{ CMD_LINK_MAKE, 2 }, { CMD_LINK_USE, 2 }, { CMD_IDENTITY_LINK, 1 }, { CMD_IDENTITY_UNLINK, 1 }, { CMD_IDENTITY_REFRESH, 2 },
		{ CMD_IDENTITY_GONE, 1 }, { CMD_BACK_CHANNEL, 1 }, { CMD_WISH_ADD, 3 }, { CMD_WISH_DELETE, 1 }, { CMD_POLICY_WHAT, 1 },
	};
	unsigned total = 0;

	if (one_in(w, 12)) {
		make_them_wait(w);
		return;
	}

	for (size_t i = 0; i < ARRAY_LEN(mix); i++)
		total += mix[i].weight;
	uint64_t at = chance(w, total);
	size_t k = 0;
	while (at >= mix[k].weight)
		at -= mix[k++].weight;
	struct command *m = command_new(mix[k].kind);
	struct sim_call *c = world_call(w, NULL, on_answer);
	struct event *e = event_new(EV_COMMAND);
	const struct user_row *u = w->db.n_users ? &w->db.users[chance(w, w->db.n_users)] : NULL;

	c->kind = (int)m->kind;
	m->actor = "sim";
	m->login = facts(w, m);
	m->user = u ? arena_printf(&m->arena, "%lld", (long long)u->id) : "ann";
	m->agent = "Firefox";
	m->disable = one_in(w, 2);
	m->expires_ms = w->now.wall_ms + (int64_t)chance(w, 2 * 3600000);
	m->at_ms = one_in(w, 2) ? 0 : w->now.wall_ms + (int64_t)chance(w, 600000);
	m->key_text = some_token(w, m);
	if (w->db.n_pendings && !one_in(w, 4))
		m->auth_id = arena_str(&m->arena, bytes_str(w->db.pendings[chance(w, w->db.n_pendings)].auth_id));
	else if (w->n_auth_ids)
		m->auth_id = arena_str(&m->arena, bytes_str(w->auth_ids[chance(w, MIN_OF(w->n_auth_ids, ARRAY_LEN(w->auth_ids)))]));
	if (m->kind == CMD_WISH_ADD) {
		m->name = PICK(w, logins);
		m->note = one_in(w, 2) ? "to see it" : "";
	} else if (m->kind == CMD_WISH_DELETE) {
		m->id = w->db.n_wishes ? w->db.wishes[chance(w, w->db.n_wishes)].id : 1;
		m->key_text = one_in(w, 2) ? "" : m->key_text;
	} else if (m->kind == CMD_USER_APPROVE)
		m->id = u ? u->id : 1;
	else if (m->kind == CMD_LINK_USE)
		m->key_text = arena_str(&m->arena, bytes_str(w->link));
	else if (m->kind == CMD_SIGNIN_END && one_in(w, 2))
		m->key_text = "";
	else if (w->db.n_identities && m->kind != CMD_SIGNIN_END)
		m->id = w->db.identities[chance(w, w->db.n_identities)].id;
	world_say(w, "people: command %d user %s subject %s", (int)m->kind, m->user, m->login->subject);
	e->command = m;
	e->call = &c->call;
	world_apply(w, e);
}

void check_people(struct world *w)
{
	struct core *c = w->core;

	if (c->identities.n != w->db.n_identities || c->signins.n != w->db.n_signins)
		world_fail(w, "memory and database differ: %zu/%zu identities, %zu/%zu sessions", c->identities.n, w->db.n_identities,
				c->signins.n, w->db.n_signins);
	for (size_t i = 0; i < w->db.n_identities; i++) {
		const struct identity_row *r = &w->db.identities[i];
		struct identity *have = identity_by_id(c, r->id);
		if (!have || have->row.user_id != r->user_id || have->row.gone_ms != r->gone_ms || have->row.n_groups != r->n_groups ||
				identity_find(c->tailnets[0], r->issuer, r->subject) != have)
			world_fail(w, "identity %lld is another one in memory", (long long)r->id);
	}
	if (c->wishes.n != w->db.n_wishes)
		world_fail(w, "%zu questions in memory, %zu in the database", c->wishes.n, w->db.n_wishes);
	for (size_t i = 0; i < w->db.n_wishes; i++) {
		const struct wish_row *r = &w->db.wishes[i];
		struct wish *have = wish_by_id(c, r->id);
		if (!have || have->row.user_id != r->user_id || strcmp(have->row.what, r->what) != 0 || strcmp(have->row.why, r->why) != 0 || !user_by_id(c, r->user_id))
			world_fail(w, "question %lld is another one in memory, or nobody's", (long long)r->id);
	}
	for (size_t i = 0; i < w->db.n_signins; i++) {
		const struct signin_row *r = &w->db.signins[i];
		struct signin *have = signin_by_id(c, r->id);
		if (!have || have->row.user_id != r->user_id || memcmp(have->row.hash, r->hash, sizeof r->hash) != 0 ||
				have->row.expires_ms != r->expires_ms)
			world_fail(w, "session %lld is another one in memory", (long long)r->id);
	}
}
