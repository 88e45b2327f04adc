#include "server/api/webhooks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/api/webhook_send.h"
#include "server/core/webhook_words.h"
#include "server/store/audit.h"

enum { IDLE_MS = 60000, SHY_MS = 1000, ENDPOINTS_MAX = WEBHOOKS_MAX + FAREWELLS_MAX };

struct endpoint { /* what the sender remembers of one */
	int64_t id, cursor, next_ms;
	unsigned failures;
	bool look;   /* there may be something to tell */
	bool flying; /* one request at a time: records keep their order */
	bool listed; /* it was in the list that is looked at */
};

/* One request on its way. */
struct flight {
	struct flight *next;
	struct sending s;
	struct buf body;
	int64_t id, last_id; /* of the endpoint; of the records */
	bool test, last;     /* last: it tells that the endpoint is gone */
};

struct webhooks {
	const struct api_settings *cfg;
	pthread_t thread;
	bool running;
	CURLM *multi; /* the thread's, but curl_multi_wakeup */
	pthread_mutex_t lock; /* the rest but what is the thread's */
	pthread_cond_t answered;
	bool stop, changed;
	struct call call;
	struct reply *reply; /* of the command that the thread waits for */
	bool has_reply;
	struct test {
		int64_t id; /* of the endpoint */
		bool flies; /* else it waits */
	} test[WEBHOOK_TESTS_MAX];
	size_t n_tests;
	/* The thread's: */
	struct endpoint endpoint[ENDPOINTS_MAX];
	size_t n_endpoints;
	struct flight *flights;
	int64_t idle_ms; /* when all are looked at, whether or not something happened */
	int64_t not_before_ms; /* the core did not answer */
};

/* ---- asking the core ---- */

static void deliver(struct call *call, struct reply *taken)
{
	struct webhooks *w = container_of(call, struct webhooks, call);

	pthread_mutex_lock(&w->lock);
	w->reply = taken;
	w->has_reply = true;
	pthread_cond_signal(&w->answered);
	pthread_mutex_unlock(&w->lock);
}

/* c is taken. The reply, owned; NULL: the core is closing. */
static struct reply *ask_core(struct webhooks *w, struct command *c)
{
	struct event *e = c ? event_new(EV_COMMAND) : NULL;

	if (!e) {
		command_free(c);
		return NULL;
	}
	c->actor = "webhooks";
	c->via = "system";
	e->command = c;
	e->call = &w->call;
	w->has_reply = false;
	w->cfg->post(w->cfg->ctx, e);
	pthread_mutex_lock(&w->lock);
	while (!w->has_reply)
		pthread_cond_wait(&w->answered, &w->lock);
	struct reply *r = w->reply;
	pthread_mutex_unlock(&w->lock);
	if (r && r->e == ERR_CLOSED) {
		reply_free(r);
		r = NULL;
	}
	return r;
}

/* ---- what is on its way ---- */

/* taken. false: it could not leave, and is gone; why says so. */
static bool flight_begin(struct webhooks *w, struct flight *f, const struct webhook_row *hook, char why[CURL_ERROR_SIZE])
{
	char signature[128], header[200];
	const char *line = header;

	webhook_sign(hook->secret, clock_wall_ms() / 1000, buf_view(&f->body), signature);
	snprintf(header, sizeof header, "Tailscale-Webhook-Signature: %s", signature);
	bool sign = !hook->provider || !hook->provider[0];
	if (sending_begin(&f->s, hook->url, sign ? &line : NULL, sign, buf_view(&f->body), w->cfg->webhooks_private) &&
			curl_multi_add_handle(w->multi, f->s.c) == CURLM_OK) {
		f->next = w->flights;
		w->flights = f;
		return true;
	}
	sending_end(&f->s, CURLE_OUT_OF_MEMORY);
	snprintf(why, CURL_ERROR_SIZE, "%s", f->s.why);
	buf_done(&f->body);
	free(f);
	return false;
}

static void flight_free(struct webhooks *w, struct flight *f)
{
	for (struct flight **at = &w->flights; *at; at = &(*at)->next)
		if (*at == f) {
			*at = f->next;
			break;
		}
	buf_done(&f->body);
	free(f);
}

/* ---- one endpoint ---- */

static struct endpoint *endpoint_by_id(struct webhooks *w, int64_t id)
{
	for (size_t i = 0; i < w->n_endpoints; i++)
		if (w->endpoint[i].id == id)
			return &w->endpoint[i];
	return NULL;
}

static int64_t wait_after(unsigned failures)
{
	static const int64_t s[] = { 2, 10, 30, 120, 600, 1800, 3600 };

	return 1000 * s[failures < ARRAY_LEN(s) ? failures : ARRAY_LEN(s) - 1];
}

static void note_failure(struct endpoint *e, const char *why)
{
	e->next_ms = clock_mono_ms() + wait_after(e->failures++);
	e->look = true;
	log_warn("a webhook was not delivered", "webhook=%lld tries=%u cause=%s", (long long)e->id, e->failures, log_qs(why).s);
}

static void tell_core(struct webhooks *w, enum command_kind kind, int64_t id, int64_t at)
{
	struct command *c = command_new(kind);

	if (c) {
		c->id = id;
		c->at_ms = at;
	}
	reply_free(ask_core(w, c));
}

static void note_sent(struct webhooks *w, struct endpoint *e, int64_t last_id, bool last)
{
	e->failures = 0;
	e->cursor = last_id;
	e->look = true;
	tell_core(w, last ? CMD_WEBHOOK_FORGET : CMD_WEBHOOK_CURSOR, e->id, last_id);
}

/* How many of the page are for this endpoint: none behind the record that it went. */
static size_t until_its_end(const struct webhook_row *hook, const struct audit_page *page, bool *ends)
{
	*ends = false;
	for (size_t i = 0; hook->deleted_ms && i < page->n; i++)
		if (webhook_is_own_end(hook, &page->rows[i])) {
			*ends = true;
			return i + 1;
		}
	return page->n;
}

/* Reads what lies behind the cursor, and sends it on its way. */
static void serve(struct webhooks *w, struct endpoint *e, const struct webhook_row *listed)
{
	CLEANUP(audit_page_done) struct audit_page page = { 0 };
	struct audit_query q = { .tailnet_id = listed->tailnet_id, .after_id = e->cursor, .limit = WEBHOOK_BATCH };
	char why[CURL_ERROR_SIZE] = "out of memory";

	e->look = false;
	if (listed->deleted_ms && clock_wall_ms() - listed->deleted_ms > FAREWELL_MS) {
		tell_core(w, CMD_WEBHOOK_FORGET, e->id, 0);
		return;
	}
	if (w->cfg->audit(w->cfg->ctx, &q, &page, why, sizeof why) != OK) {
		note_failure(e, why);
		return;
	}
	/* As it is now: what the records tell may be that its secret is another one. */
	struct command *c = page.n ? command_new(CMD_WEBHOOK_LIST) : NULL;
	if (c)
		c->id = e->id, c->with_deleted = true;
	struct reply *now = c ? ask_core(w, c) : NULL;
	if (page.n && now && now->e == OK && now->n_webhooks) {
		const struct webhook_row *hook = &now->webhooks[0];
		bool ends;
		size_t n = until_its_end(hook, &page, &ends);
		struct flight *f = calloc(1, sizeof *f);
		if (f)
			*f = (struct flight){ .body = buf_make(4 << 20), .id = e->id, .last_id = page.rows[n - 1].id, .last = ends };
		if (f && !webhook_body(hook, page.rows, n, w->cfg->server_url, &f->body) && !f->body.bad) {
			note_sent(w, e, f->last_id, ends); /* nothing of it was subscribed to */
			buf_done(&f->body);
			free(f);
		} else if (f && flight_begin(w, f, hook, why)) {
			e->flying = true;
		} else {
			note_failure(e, why);
		}
	} else if (page.n && (!now || now->e != ERR_NOT_FOUND)) {
		note_failure(e, "the core did not answer");
	}
	reply_free(now);
}

/* ---- test events ---- */

static bool send_test(struct webhooks *w, const struct webhook_row *hook)
{
	static char kind[] = "test", empty[] = "", who[] = "fairlead";
	struct audit_row a = { .at_ms = clock_wall_ms(), .kind = kind, .action = empty, .actor = who, .target = empty, .target_id = empty,
		.before = empty, .after = empty };
	struct flight *f = calloc(1, sizeof *f);
	char why[CURL_ERROR_SIZE] = "out of memory";

	if (f) {
		*f = (struct flight){ .body = buf_make(64 << 10), .id = hook->id, .test = true };
		webhook_body(hook, &a, 1, w->cfg->server_url, &f->body);
		if (flight_begin(w, f, hook, why))
			return true;
	}
	log_warn("a webhook's test event was not delivered", "webhook=%lld cause=%s", (long long)hook->id, log_qs(why).s);
	return false;
}

static bool next_test(struct webhooks *w, int64_t *id)
{
	bool found = false;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_tests && !found; i++)
		if (!w->test[i].flies) {
			w->test[i].flies = found = true;
			*id = w->test[i].id;
		}
	pthread_mutex_unlock(&w->lock);
	return found;
}

static void test_is_over(struct webhooks *w, int64_t id)
{
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_tests; i++)
		if (w->test[i].flies && w->test[i].id == id) {
			w->test[i] = w->test[--w->n_tests];
			break;
		}
	pthread_mutex_unlock(&w->lock);
}

static const struct webhook_row *row_by_id(const struct reply *r, int64_t id)
{
	for (size_t i = 0; i < r->n_webhooks; i++)
		if (r->webhooks[i].id == id)
			return &r->webhooks[i];
	return NULL;
}

static void serve_tests(struct webhooks *w, const struct reply *list)
{
	for (int64_t id; next_test(w, &id);) {
		const struct webhook_row *hook = row_by_id(list, id);
		if (!hook || hook->deleted_ms || !send_test(w, hook))
			test_is_over(w, id);
	}
}

/* ---- a turn of the thread ---- */

/* Those of the list, and nobody else: what is new is added, what is gone forgotten once nothing of it flies. */
static void list_endpoints(struct webhooks *w, const struct reply *list)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n_endpoints; i++)
		if (w->endpoint[i].flying || row_by_id(list, w->endpoint[i].id))
			w->endpoint[n++] = w->endpoint[i];
	w->n_endpoints = n;
	for (size_t i = 0; i < list->n_webhooks && w->n_endpoints < ENDPOINTS_MAX; i++)
		if (!endpoint_by_id(w, list->webhooks[i].id))
			w->endpoint[w->n_endpoints++] = (struct endpoint){ .id = list->webhooks[i].id, .cursor = list->webhooks[i].cursor };
}

/* When somebody is to be looked at next. */
static int64_t next_due(const struct webhooks *w)
{
	int64_t at = w->idle_ms;

	for (size_t i = 0; i < w->n_endpoints; i++)
		if (w->endpoint[i].look && !w->endpoint[i].flying)
			at = MIN_OF(at, w->endpoint[i].next_ms);
	return MAX_OF(at, w->not_before_ms);
}

/* all: something happened, perhaps to anybody. */
static void plan(struct webhooks *w, bool all)
{
	struct command *c = command_new(CMD_WEBHOOK_LIST);
	int64_t now = clock_mono_ms();

	if (c)
		c->with_deleted = true;
	struct reply *list = c ? ask_core(w, c) : NULL;
	all |= now >= w->idle_ms;
	if (all)
		w->idle_ms = now + IDLE_MS;
	w->not_before_ms = list ? 0 : now + SHY_MS;
	if (list) {
		list_endpoints(w, list);
		serve_tests(w, list);
	}
	for (size_t i = 0; list && i < w->n_endpoints; i++) {
		struct endpoint *e = &w->endpoint[i];
		const struct webhook_row *hook = row_by_id(list, e->id);
		e->look |= all;
		if (hook && e->look && !e->flying && e->next_ms <= now)
			serve(w, e, hook);
	}
	reply_free(list);
}

static void land(struct webhooks *w, struct flight *f, CURLcode rc)
{
	struct endpoint *e = endpoint_by_id(w, f->id);

	curl_multi_remove_handle(w->multi, f->s.c);
	bool sent = sending_end(&f->s, rc);
	if (f->test) {
		test_is_over(w, f->id);
		if (!sent)
			log_warn("a webhook's test event was not delivered", "webhook=%lld cause=%s", (long long)f->id, log_qs(f->s.why).s);
	} else if (e) {
		e->flying = false;
		if (sent)
			note_sent(w, e, f->last_id, f->last);
		else
			note_failure(e, f->s.why);
	}
	flight_free(w, f);
}

static void step(struct webhooks *w)
{
	int running = 0, left;

	curl_multi_perform(w->multi, &running);
	for (const CURLMsg *m; (m = curl_multi_info_read(w->multi, &left));) {
		struct flight *f = w->flights;
		while (f && f->s.c != m->easy_handle)
			f = f->next;
		if (f && m->msg == CURLMSG_DONE)
			land(w, f, m->data.result);
	}
}

/* false: it is over. */
static bool begin_turn(struct webhooks *w, bool *changed)
{
	pthread_mutex_lock(&w->lock);
	bool go = !w->stop;
	*changed = w->changed;
	w->changed = false;
	pthread_mutex_unlock(&w->lock);
	return go;
}

static void *run(void *arg)
{
	struct webhooks *w = arg;
	bool changed;

	while (begin_turn(w, &changed)) {
		if (changed || next_due(w) <= clock_mono_ms())
			plan(w, changed);
		step(w);
		int64_t wait_ms = next_due(w) - clock_mono_ms();
		curl_multi_poll(w->multi, NULL, 0, (int)MAX_OF(wait_ms, 0), NULL);
	}
	while (w->flights) { /* the server stops: it does not wait for an endpoint, which is told again after the start */
		curl_multi_remove_handle(w->multi, w->flights->s.c);
		sending_end(&w->flights->s, CURLE_ABORTED_BY_CALLBACK);
		flight_free(w, w->flights);
	}
	return NULL;
}

/* ---- from outside ---- */

void webhooks_wake(struct webhooks *w)
{
	pthread_mutex_lock(&w->lock);
	bool new = !w->changed;
	w->changed = true;
	pthread_mutex_unlock(&w->lock);
	if (new)
		curl_multi_wakeup(w->multi);
}

bool webhooks_test(struct webhooks *w, int64_t id)
{
	size_t of_this = 0;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_tests; i++)
		of_this += w->test[i].id == id;
	bool room = w->n_tests < WEBHOOK_TESTS_MAX && of_this < WEBHOOK_TESTS_EACH;
	if (room)
		w->test[w->n_tests++] = (struct test){ .id = id };
	w->changed = true;
	pthread_mutex_unlock(&w->lock);
	curl_multi_wakeup(w->multi);
	return room;
}

err webhooks_new(const struct api_settings *cfg, struct webhooks **out)
{
	struct webhooks *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NOMEM;
	w->cfg = cfg;
	w->call.deliver = deliver;
	w->changed = true; /* what waits since before the start */
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->answered, NULL);
	w->multi = curl_multi_init();
	w->running = w->multi && pthread_create(&w->thread, NULL, run, w) == 0;
	if (!w->running) {
		webhooks_free(w);
		return ERR_SYS;
	}
	*out = w;
	return OK;
}

void webhooks_stop(struct webhooks *w)
{
	if (!w || !w->running)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_mutex_unlock(&w->lock);
	curl_multi_wakeup(w->multi);
	pthread_join(w->thread, NULL);
	w->running = false;
}

void webhooks_free(struct webhooks *w)
{
	if (!w)
		return;
	webhooks_stop(w);
	curl_multi_cleanup(w->multi);
	pthread_cond_destroy(&w->answered);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
