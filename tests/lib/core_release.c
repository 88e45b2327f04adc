#include "tests/lib/core_release.h"

#include <stdio.h>
#include <stdlib.h>

static void deliver(struct release *r, struct effect *e)
{
	switch (e->kind) {
	case FX_REPLY:
		if (e->reply && !e->reply->message)
			e->reply->message = "";
		if (e->call && e->reply)
			e->call->deliver(e->call, e->reply);
		e->reply = NULL;
		break;
	case FX_MAP:
		for (size_t i = 0; e->msg && i < e->n_sinks; i++)
			e->sinks[i]->send(e->sinks[i], e->msg);
		break;
	case FX_MAP_END:
		for (size_t i = 0; i < e->n_sinks; i++) {
			struct map_sink *s = e->sinks[i];
			if (e->http_status && s->refuse)
				s->refuse(s, e->http_status, e->why);
			else
				s->end(s);
		}
		break;
	case FX_ADMIT:
		if (r->hooks.admit)
			r->hooks.admit(r->hooks.ctx, &e->key);
		break;
	case FX_REVOKE:
		if (r->hooks.revoke)
			r->hooks.revoke(r->hooks.ctx, &e->key);
		break;
	case FX_CHANGED:
	case FX_STORE:
	case FX_JOB:
	case FX_SINK_UNREF:
		break; /* stores went out at once; dropping the effect drops the reference */
	}
	effect_done(e);
}

static void answer_error(struct effect *e, err why, const char *text)
{
	struct reply *r = e->reply;

	if (!e->call || !r)
		return;
	r->e = why;
	r->http_status = 503;
	char *copy = arena_str(&r->arena, bytes_str(text));
	r->message = copy ? copy : "the change was not kept";
	r->body = bytes_str(r->message);
	r->secret = NULL;
	e->call->deliver(e->call, r);
	e->reply = NULL;
}

/* What must not go out. Streams that miss a message end: they come back and get a fresh map. */
static void drop(struct effect *e, err why, const char *text)
{
	if (e->kind == FX_REPLY)
		answer_error(e, why, text);
	if (e->kind == FX_MAP || e->kind == FX_MAP_END)
		for (size_t i = 0; i < e->n_sinks; i++)
			e->sinks[i]->end(e->sinks[i]);
	effect_done(e);
}

static struct effect *first(struct release *r)
{
	return &r->q[r->head & (r->cap - 1)];
}

static bool grow(struct release *r, size_t need)
{
	size_t cap = r->cap ? r->cap : 256;

	while (cap < need)
		cap *= 2;
	if (cap == r->cap)
		return true;
	struct effect *q = malloc(cap * sizeof *q);
	if (!q)
		return false;
	for (size_t i = 0; i < r->n; i++)
		q[i] = r->q[(r->head + i) & (r->cap - 1)];
	free(r->q);
	r->q = q;
	r->cap = cap;
	r->head = 0;
	return true;
}

void release_done(struct release *r)
{
	for (; r->n; r->n--, r->head++)
		drop(first(r), ERR_CLOSED, "the server is stopping");
	free(r->q);
	*r = (struct release){ 0 };
}

err release_add(struct release *r, struct effects *fx)
{
	bool ok = grow(r, r->n + fx->n);

	for (size_t i = 0; i < fx->n; i++) {
		struct effect *e = &fx->e[i];
		if (e->kind == FX_JOB) {
			r->hooks.job(r->hooks.ctx, e->job);
		} else if (e->kind == FX_STORE) {
			if (e->batch)
				r->hooks.store(r->hooks.ctx, e->batch);
			e->batch = NULL;
		} else if (e->seq <= r->durable && !r->n) {
			deliver(r, e);
		} else if (ok) {
			r->q[(r->head + r->n++) & (r->cap - 1)] = *e;
		} else {
			drop(e, ERR_NOMEM, "out of memory");
		}
	}
	fx->n = 0;
	return ok ? OK : ERR_NOMEM;
}

void release_durable(struct release *r, uint64_t seq)
{
	if (seq > r->durable)
		r->durable = seq;
	while (r->n && first(r)->seq <= r->durable) {
		struct effect e = *first(r);
		r->head++;
		r->n--;
		deliver(r, &e);
	}
}

void release_failed(struct release *r, uint64_t durable, const char *why)
{
	char text[320];

	snprintf(text, sizeof text, "the database refused the change: %s; nothing was changed", why && *why ? why : "unknown error");
	release_durable(r, durable);
	for (; r->n; r->n--, r->head++) {
		struct effect *e = first(r);
		if (e->seq <= durable)
			deliver(r, e);
		else
			drop(e, ERR_SYS, text);
	}
}
