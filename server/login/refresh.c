#include "server/login/refresh.h"

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
	r->step = STEP_ASK;
	helper_ask(r->login->helper, json_pack("{s:s, s:s, s:s}", "op", "refresh", "provider", i->provider, "refresh_token", i->refresh_token),
			&r->call);
}

static void on_list(struct refresher *r, const struct reply *reply)
{
	int64_t now = clock_wall_ms();

	r->todo = calloc(REFRESH_AT_ONCE, sizeof *r->todo);
	for (size_t i = 0; r->todo && reply->e == OK && i < reply->n_identities && r->n_todo < REFRESH_AT_ONCE; i++) {
		const struct identity_row *d = &reply->identities[i];
		const struct config_oidc *p = login_provider(r->login, d->provider);
		if (!p || !p->refresh_ms || !d->refresh_token[0] || d->gone_ms || now - d->checked_ms < p->refresh_ms ||
				strcmp(p->issuer, d->issuer) != 0)
			continue;
		if (identity_row_copy(d, &r->todo[r->n_todo]) == OK)
			r->n_todo++;
	}
	next(r);
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
	if (json_is_null(json_object_get(answer, "claims")) && json_is_object(json_object_get(answer, "userinfo"))) {
		json_t *claims = json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", p->issuer, "aud", p->client_id, "sub", i->subject, "iat",
				(json_int_t)(want.wall_ms / 1000), "exp", (json_int_t)(want.wall_ms / 1000 + 60));
		const char *sub = json_string_value(json_object_get(json_object_get(answer, "userinfo"), "sub"));
		if (!sub || strcmp(sub, i->subject) != 0) {
			json_decref(claims);
			return ERR_AUTH;
		}
		json_object_set_new(answer, "claims", claims);
	}
	TRY(claims_check(&want, answer, &c->arena, &got, why));
	*f = got.facts;
	c->login = f;
	c->id = i->id;
	return OK;
}

static void on_answer(struct refresher *r, const struct reply *reply)
{
	const struct identity_row *i = &r->todo[r->at++];
	const struct config_oidc *p = login_provider(r->login, i->provider);
	struct claims_why why = { "" };

	if (!p || reply->e == ERR_BUSY || reply->e == ERR_AUTH || reply->e == ERR_NOMEM) { /* away, or broken: asked again later */
		if (reply->e == ERR_AUTH)
			log_warn("a provider answers a refresh with nonsense", "provider=%s cause=%s", i->provider, log_qs(reply->message).s);
		next(r);
		return;
	}
	if (reply->e != OK) {
		ask_core(r, gone(i, p), STEP_TELL);
		return;
	}
	json_t *answer = json_loads(reply->text, 0, NULL);
	struct command *c = command_new(CMD_IDENTITY_REFRESH);
	err e = c ? read_answer(r, p, i, answer, c, &why) : ERR_NOMEM;
	json_decref(answer);
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
	next(r);
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
	free(r);
}
