#include "server/login/refresh.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/login/claims.h"

/* A walk is a chain of calls, each begun by the answer of the one before; all answers are brought to the loop's thread. */

enum step { STEP_LIST, STEP_ASK, STEP_TELL };

struct refresher {
	struct loop *loop;
	struct login *login;
	void (*post)(void *ctx, struct event *taken);
	void *ctx;
	struct loop_timer timer;
	struct call call;
	struct loop_post posted;
	struct reply *reply; /* of the call that came back */
	int64_t look_ms;
	bool busy, stopped;
	enum step step;
	struct identity_row *todo; /* owned copies */
	size_t n_todo, at;
	int64_t *after; /* owned; of each provider, the identity that was asked about last */
};

static void forget(struct refresher *r)
{
	for (size_t i = 0; i < r->n_todo; i++)
		identity_row_done(&r->todo[i]);
	free(r->todo);
	r->todo = NULL;
	r->n_todo = r->at = 0;
}

static void rest(struct refresher *r)
{
	forget(r);
	r->busy = false;
	if (!r->stopped)
		loop_timer_in(&r->timer, r->look_ms);
}

/* taken; NULL: memory was short. */
static void ask_core(struct refresher *r, struct command *c, enum step step)
{
	struct event *e = c ? event_new(EV_COMMAND) : NULL;

	if (!e) {
		command_free(c);
		rest(r);
		return;
	}
	c->tailnet_id = 1;
	c->actor = "refresh";
	c->via = "system";
	e->command = c;
	e->call = &r->call;
	r->step = step;
	r->post(r->ctx, e);
}

static void next(struct refresher *r)
{
	if (r->at == r->n_todo || r->stopped) {
		rest(r);
		return;
	}
	const struct identity_row *i = &r->todo[r->at];
	const struct config_oidc *p = login_provider(r->login, i->provider);
	if (p)
		r->after[p - r->login->providers] = i->id;
	r->step = STEP_ASK;
	helper_ask(r->login->helper, json_pack("{s:s, s:s, s:s}", "op", "refresh", "provider", i->provider, "refresh_token", i->refresh_token),
			&r->call);
}

size_t refresh_due(const struct identity_row *all, size_t n, const struct config_oidc *p, int64_t now_ms, int64_t after,
		const struct identity_row *out[REFRESH_AT_ONCE])
{
	size_t found = 0;

	for (int round = 0; p->refresh_ms && round < 2; round++)
		for (size_t i = 0; i < n && found < REFRESH_AT_ONCE; i++) {
			const struct identity_row *d = &all[i];
			if ((d->id > after) == (round == 0) && d->refresh_token[0] && !d->gone_ms && now_ms - d->checked_ms >= p->refresh_ms &&
					strcmp(p->name, d->provider) == 0 && strcmp(p->issuer, d->issuer) == 0)
				out[found++] = d;
		}
	return found;
}

static void on_list(struct refresher *r, const struct reply *reply)
{
	const struct identity_row *due[REFRESH_AT_ONCE];
	int64_t now = clock_wall_ms();

	r->todo = calloc(r->login->n_providers * REFRESH_AT_ONCE + 1, sizeof *r->todo);
	for (size_t p = 0; r->todo && reply->e == OK && p < r->login->n_providers; p++) {
		size_t n = refresh_due(reply->identities, reply->n_identities, &r->login->providers[p], now, r->after[p], due);
		for (size_t i = 0; i < n; i++)
			if (identity_row_copy(due[i], &r->todo[r->n_todo]) == OK)
				r->n_todo++;
	}
	next(r);
}

/* The rest of those of a provider that is away: each of them would wait for as long. */
static void skip_provider(struct refresher *r, const char *name)
{
	while (r->at < r->n_todo && strcmp(r->todo[r->at].provider, name) == 0)
		r->at++;
}

static struct command *gone(const struct identity_row *i, const struct config_oidc *p)
{
	struct command *c = command_new(CMD_IDENTITY_GONE);

	if (c) {
		c->id = i->id;
		c->disable = p->expire_nodes;
	}
	return c;
}

/* A refreshed token need not come with an ID token: then userinfo of the same subject says what is new. */
static err read_answer(struct refresher *r, const struct config_oidc *p, const struct identity_row *i, json_t *answer, struct command *c,
		struct claims_why *why)
{
	struct claims_want want = { .provider = p, .all = r->login->providers, .n_all = r->login->n_providers, .subject = i->subject,
		.wall_ms = clock_wall_ms() };
	struct claims_got got = { 0 };
	struct login_facts *f = arena_alloc(&c->arena, sizeof *f);

	if (!f)
		return ERR_NOMEM;
	const json_t *info = json_object_get(answer, "userinfo");
	const char *sub = json_string_value(json_object_get(info, "sub"));
	/* claims_check would leave another's out, and with it the groups that it should have told. */
	if (json_is_object(info) && (!sub || strcmp(sub, i->subject) != 0)) {
		snprintf(why->text, sizeof why->text, "userinfo is of another person (sub)");
		return ERR_AUTH;
	}
	if (json_is_null(json_object_get(answer, "claims")) && json_is_object(info))
		json_object_set_new(answer, "claims", json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", p->issuer, "aud", p->client_id, "sub",
								i->subject, "iat", (json_int_t)(want.wall_ms / 1000), "exp",
								(json_int_t)(want.wall_ms / 1000 + 60)));
	TRY(claims_check(&want, answer, &c->arena, &got, why));
	*f = got.facts;
	c->login = f;
	c->id = i->id;
	return OK;
}

/* Nothing is known of the person, but many providers take a refresh token once: the one that came is the one to ask with later. */
static void keep_token(struct refresher *r, const struct identity_row *i, const json_t *answer)
{
	const char *token = json_string_value(json_object_get(answer, "refresh_token"));
	struct command *c = token && *token && strcmp(token, i->refresh_token) != 0 ? command_new(CMD_IDENTITY_TOKEN) : NULL;
	struct login_facts *f = c ? arena_alloc(&c->arena, sizeof *f) : NULL;

	if (f)
		*f = (struct login_facts){ .issuer = arena_str(&c->arena, bytes_str(i->issuer)),
			.subject = arena_str(&c->arena, bytes_str(i->subject)), .refresh_token = arena_str(&c->arena, bytes_str(token)) };
	if (!f || !f->issuer || !f->subject || !f->refresh_token) {
		command_free(c);
		next(r);
		return;
	}
	c->login = f;
	c->id = i->id;
	ask_core(r, c, STEP_TELL);
}

static void on_answer(struct refresher *r, const struct reply *reply)
{
	const struct identity_row *i = &r->todo[r->at++];
	const struct config_oidc *p = login_provider(r->login, i->provider);
	CLEANUP(json_decrefp) json_t *answer = reply->text ? json_loads(reply->text, 0, NULL) : NULL;
	struct claims_why why = { "" };

	if (!p || (reply->e != OK && reply->e != ERR_DENIED)) { /* away, or broken: asked again later */
		log_warn("a provider could not be asked about a user; asking again later", "user=%" PRId64 " provider=%s cause=%s", i->user_id,
				i->provider, log_qs(reply->message).s);
		if (reply->e == ERR_BUSY)
			skip_provider(r, i->provider);
		keep_token(r, i, answer);
		return;
	}
	if (reply->e != OK) {
		ask_core(r, gone(i, p), STEP_TELL);
		return;
	}
	struct command *c = command_new(CMD_IDENTITY_REFRESH);
	err e = c ? read_answer(r, p, i, answer, c, &why) : ERR_NOMEM;
	if (e == OK) {
		ask_core(r, c, STEP_TELL);
		return;
	}
	command_free(c);
	if (e == ERR_DENIED) { /* out of the groups or domains that may sign in */
		log_info("a user may not sign in any more", "user=%" PRId64 " provider=%s cause=%s", i->user_id, i->provider, log_qs(why.text).s);
		ask_core(r, gone(i, p), STEP_TELL);
		return;
	}
	log_warn("a provider answers a refresh with nonsense", "user=%" PRId64 " provider=%s cause=%s", i->user_id, i->provider,
			log_qs(why.text).s);
	keep_token(r, i, answer);
}

static void on_posted(struct loop_post *p)
{
	struct refresher *r = container_of(p, struct refresher, posted);
	struct reply *reply = MOVE(r->reply);

	if (!reply || r->stopped) {
		reply_free(reply);
		rest(r);
		return;
	}
	switch (r->step) {
	case STEP_LIST:
		on_list(r, reply);
		break;
	case STEP_ASK:
		on_answer(r, reply);
		break;
	case STEP_TELL:
		next(r);
		break;
	}
	reply_free(reply);
}

static void deliver(struct call *call, struct reply *taken)
{
	struct refresher *r = container_of(call, struct refresher, call);

	r->reply = taken;
	loop_post_node(r->loop, &r->posted);
}

static void on_timer(struct loop_timer *t)
{
	struct refresher *r = container_of(t, struct refresher, timer);

	if (r->busy || r->stopped)
		return;
	r->busy = true;
	ask_core(r, command_new(CMD_IDENTITY_LIST), STEP_LIST);
}

err refresher_new(struct loop *l, struct login *login, void (*post)(void *ctx, struct event *taken), void *ctx, struct refresher **out)
{
	struct refresher *r = calloc(1, sizeof *r);

	if (!r)
		return ERR_NOMEM;
	*r = (struct refresher){ .loop = l, .login = login, .post = post, .ctx = ctx, .call = { deliver }, .posted = { .fn = on_posted } };
	r->after = calloc(login->n_providers + 1, sizeof *r->after);
	if (!r->after) {
		free(r);
		return ERR_NOMEM;
	}
	r->look_ms = REFRESH_LOOK_MS;
	for (size_t i = 0; i < login->n_providers; i++)
		if (login->providers[i].refresh_ms && login->providers[i].refresh_ms < r->look_ms)
			r->look_ms = MAX_OF(login->providers[i].refresh_ms, (int64_t)REFRESH_LOOK_MIN_MS);
	loop_timer_init(&r->timer, l, on_timer);
	loop_timer_in(&r->timer, r->look_ms);
	*out = r;
	return OK;
}

void refresher_stop(struct refresher *r)
{
	if (!r)
		return;
	r->stopped = true;
	loop_timer_done(&r->timer);
}

void refresher_free(struct refresher *r)
{
	if (!r)
		return;
	reply_free(r->reply);
	forget(r);
	free(r->after);
	free(r);
}
