#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/text/hex.h"
#include "server/core/webhook_words.h"

enum { URL_MAX = 2000, WORDS_MAX = 2000 };

err webhook_put_memory(struct core *c, struct webhook_row *taken)
{
	struct webhook *w = map_get(&c->webhooks, &taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t)
		return ERR_INVALID;
	if (!w) {
		w = calloc(1, sizeof *w);
		if (!w)
			return ERR_NOMEM;
		w->t = t;
		w->row.id = taken->id;
		err e = map_put(&c->webhooks, w);
		if (e != OK) {
			free(w);
			return e;
		}
	}
	webhook_row_done(&w->row);
	w->row = *taken;
	*taken = (struct webhook_row){ 0 };
	return OK;
}

void webhook_drop_memory(struct core *c, int64_t id)
{
	struct webhook *w = map_del(&c->webhooks, &id);

	if (!w)
		return;
	webhook_row_done(&w->row);
	free(w);
}

static err to_arena(struct arena *a, const struct webhook_row *from, struct webhook_row *out)
{
	*out = *from;
	out->url = arena_str(a, bytes_str(or_empty(from->url)));
	out->provider = arena_str(a, bytes_str(or_empty(from->provider)));
	out->secret = arena_str(a, bytes_str(or_empty(from->secret)));
	out->subscriptions = arena_str(a, bytes_str(or_empty(from->subscriptions)));
	out->creator = arena_str(a, bytes_str(or_empty(from->creator)));
	return out->url && out->provider && out->secret && out->subscriptions && out->creator ? OK : ERR_NOMEM;
}

static int by_id(const void *a, const void *b)
{
	const struct webhook_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static err list(struct core *c, struct tailnet *t, int64_t only, bool deleted_too, struct reply *r)
{
	size_t at = 0;

	r->webhooks = arena_array(&r->arena, c->webhooks.n + 1, sizeof *r->webhooks);
	if (!r->webhooks)
		return ERR_NOMEM;
	for (struct webhook *w; (w = map_next(&c->webhooks, &at));)
		if (w->t == t && (!only || w->row.id == only) && (!w->row.deleted_ms || deleted_too))
			TRY(to_arena(&r->arena, &w->row, &r->webhooks[r->n_webhooks++]));
	if (r->n_webhooks)
		qsort(r->webhooks, r->n_webhooks, sizeof *r->webhooks, by_id);
	return OK;
}

static bool are_words(const struct command *m, struct reply *r)
{
	struct bytes rest = bytes_str(m->scopes);
	char word[64];

	while (rest.n) {
		struct bytes w = bytes_cut(rest, ' ', &rest);
		bool fits = w.n < sizeof word;
		memcpy(word, w.p, fits ? w.n : 0);
		word[fits ? w.n : 0] = 0;
		if (webhook_is_unsent(word)) {
			reply_fail(r, ERR_UNSUPPORTED, "subscriptions: %s is never sent here", word);
			return false;
		}
		if (!webhook_is_subscription(word)) {
			reply_fail(r, ERR_INVALID, "subscriptions: \"%.*s\" is no event", (int)MIN_OF(w.n, (size_t)64), (const char *)w.p);
			return false;
		}
	}
	if (strlen(m->scopes) > WORDS_MAX) {
		reply_fail(r, ERR_INVALID, "subscriptions: too many");
		return false;
	}
	return true;
}

static bool is_url(const char *s)
{
	size_t n = strlen(s), at = strncmp(s, "https://", 8) == 0 ? 8 : strncmp(s, "http://", 7) == 0 ? 7 : 0;

	if (!at || n > URL_MAX || !s[at] || s[at] == '/' || strchr(s, '@') || strchr(s, '#'))
		return false;
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '\\')
			return false;
	return true;
}

/* "tskey-webhook-" ID "-" 48 digits. */
static char *fresh_secret(int64_t id)
{
	uint8_t random[24];
	char hex[2 * sizeof random + 1], *text;

	random_fill(random, sizeof random);
	hex_encode(bytes_of(random, sizeof random), hex);
	int n = asprintf(&text, "tskey-webhook-%lld-%s", (long long)id, hex);
	sodium_memzero(hex, sizeof hex);
	return n < 0 ? NULL : text;
}

static size_t deleted_ones(const struct core *c)
{
	size_t at = 0, n = 0;

	for (const struct webhook *w; (w = map_next(&c->webhooks, &at));)
		n += w->row.deleted_ms != 0;
	return n;
}

static err create(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct webhook_row row = { .tailnet_id = t->row.id, .created_ms = c->now.wall_ms, .updated_ms = c->now.wall_ms,
		.cursor = c->next_audit }; /* of what comes, not of what was; its own creation is not told */

	if (!is_url(m->text)) {
		reply_fail(r, ERR_INVALID, "endpointUrl: an https:// or http:// URL without user and fragment is needed");
		return r->e;
	}
	if (!webhook_is_provider(m->name)) {
		reply_fail(r, ERR_INVALID, "providerType: slack, mattermost, googlechat, discord or nothing");
		return r->e;
	}
	if (c->webhooks.n - deleted_ones(c) >= WEBHOOKS_MAX) {
		reply_fail(r, ERR_TOO_BIG, "there may be %d webhooks", WEBHOOKS_MAX);
		return r->e;
	}
	if (!are_words(m, r))
		return r->e;
	TRY(next_id(c, &row.id));
	TRY(touch_new_webhook(c, row.id));
	int64_t id = row.id;
	row.url = strdup(m->text);
	row.provider = strdup(m->name);
	row.secret = fresh_secret(id);
	row.subscriptions = strdup(m->scopes);
	row.creator = strdup(m->actor);
	err e = row.url && row.provider && row.secret && row.subscriptions && row.creator ? webhook_put_memory(c, &row) : ERR_NOMEM;
	webhook_row_done(&row);
	TRY(e);
	struct webhook *w = map_get(&c->webhooks, &id);
	w->touched = c->tx;
	r->secret = arena_str(&r->arena, bytes_str(w->row.secret));
	return list(c, t, id, false, r);
}

static err change(struct core *c, struct webhook *w, const struct command *m, struct reply *r)
{
	bool rotate = m->kind == CMD_WEBHOOK_ROTATE;

	if (!rotate && !are_words(m, r))
		return r->e;
	TRY(touch_webhook(c, w));
	char *text = rotate ? fresh_secret(w->row.id) : strdup(m->scopes), **place = rotate ? &w->row.secret : &w->row.subscriptions;
	if (!text)
		return ERR_NOMEM;
	free(*place);
	*place = text;
	w->row.updated_ms = c->now.wall_ms;
	if (rotate)
		r->secret = arena_str(&r->arena, bytes_str(w->row.secret));
	return list(c, w->t, w->row.id, false, r);
}

/* Written beside the commits: should it be lost, the endpoint hears of something twice. */
static err note_cursor(struct core *c, struct webhook *w, int64_t cursor)
{
	struct store_batch *b = cursor > w->row.cursor ? calloc(1, sizeof *b + sizeof b->op[0]) : NULL;

	if (!b)
		return OK;
	w->row.cursor = cursor;
	b->epoch = c->epoch;
	b->n = 1;
	b->op[0].kind = STORE_WEBHOOK_CURSOR;
	b->op[0].webhook = (struct webhook_row){ .id = w->row.id, .cursor = cursor };
	fx_store(c, b);
	return OK;
}

/* For everybody but the sender it is gone; the sender says so to the endpoint, for which it needs the secret, and forgets it then. */
static err delete(struct core *c, struct webhook *w)
{
	TRY(touch_webhook(c, w));
	if (deleted_ones(c) < FAREWELLS_MAX)
		w->row.deleted_ms = c->now.wall_ms;
	else
		webhook_drop_memory(c, w->row.id);
	return OK;
}

static err forget(struct core *c, struct webhook *w)
{
	if (!w->row.deleted_ms)
		return ERR_STATE;
	TRY(touch_webhook(c, w));
	webhook_drop_memory(c, w->row.id);
	return OK;
}

void on_command_webhook(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (m->kind == CMD_WEBHOOK_CREATE) {
		r->e = create(c, t, m, r);
		return;
	}
	struct webhook *w = m->id ? map_get(&c->webhooks, &m->id) : NULL;
	bool for_sender = m->kind == CMD_WEBHOOK_FORGET || m->kind == CMD_WEBHOOK_CURSOR || m->with_deleted;
	if ((m->id || m->kind != CMD_WEBHOOK_LIST) && (!w || w->t != t || (w->row.deleted_ms && !for_sender))) {
		reply_fail(r, ERR_NOT_FOUND, "there is no webhook with id %lld", (long long)m->id);
		return;
	}
	if (m->kind == CMD_WEBHOOK_LIST) {
		r->e = list(c, t, m->id, m->with_deleted, r);
	} else if (m->kind == CMD_WEBHOOK_DELETE) {
		r->e = delete(c, w);
	} else if (m->kind == CMD_WEBHOOK_FORGET) {
		r->e = forget(c, w);
	} else if (m->kind == CMD_WEBHOOK_CURSOR) {
		r->e = note_cursor(c, w, m->at_ms);
	} else {
		r->e = change(c, w, m, r);
	}
}
