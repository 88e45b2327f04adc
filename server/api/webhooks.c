#include "server/api/webhooks.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/store/audit.h"

enum { IDLE_MS = 60000, ENDPOINTS_MAX = 128 };

struct endpoint { /* what the sender remembers of one */
	int64_t id, cursor, next_ms;
	unsigned failures;
};

struct webhooks {
	const struct api_settings *cfg;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* the rest but endpoints */
	pthread_cond_t wake, answered;
	bool stop, changed;
	struct call call;
	struct reply *reply; /* of the command that the thread waits for */
	bool has_reply;
	int64_t test[WEBHOOK_TESTS_MAX];
	size_t n_tests;
	struct endpoint endpoint[ENDPOINTS_MAX]; /* the thread's */
	size_t n_endpoints;
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

/* ---- sending ---- */

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *at)
{
	const struct webhooks *w = ctx;
	struct addrport to = addrport_from_sockaddr(&at->addr);

	(void)purpose;
	/* Here, at the address that is really dialled: a name may change its mind between a look-up and the next. */
	if (!webhook_may_connect(to.addr, w->cfg->webhooks_private))
		return CURL_SOCKET_BAD;
	return socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);
}

/* The server stops: it does not wait for an endpoint. */
static int is_over(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct webhooks *w = ctx;

	(void)a, (void)b, (void)c, (void)d;
	pthread_mutex_lock(&w->lock);
	bool stop = w->stop;
	pthread_mutex_unlock(&w->lock);
	return stop;
}

static size_t swallow(char *p, size_t size, size_t n, void *ctx)
{
	size_t *left = ctx;

	(void)p;
	if (size * n > *left)
		return 0;
	*left -= size * n;
	return size * n;
}

static bool post(struct webhooks *w, const struct webhook_row *hook, struct bytes body, char why[CURL_ERROR_SIZE])
{
	char signature[128], header[200];
	size_t left = WEBHOOK_ANSWER_MAX;
	long status = 0;
	CURL *c = curl_easy_init();

	snprintf(why, CURL_ERROR_SIZE, "out of memory");
	if (!c)
		return false;
	why[0] = 0;
	webhook_sign(hook->secret, clock_wall_ms() / 1000, body, signature);
	snprintf(header, sizeof header, "Tailscale-Webhook-Signature: %s", signature);
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!hook->provider || !hook->provider[0])
		headers = curl_slist_append(headers, header);
	headers = curl_slist_append(headers, "Expect:");
	curl_easy_setopt(c, CURLOPT_URL, hook->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_PROXY, ""); /* what the environment says would dial for us */
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)WEBHOOK_CONNECT_S);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)WEBHOOK_TOTAL_S);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, w);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, is_over);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, w);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &left);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "fairlead");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, (const char *)body.p);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
	CURLcode rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
	if (status >= 200 && status < 300)
		return true;
	if (rc == CURLE_OK)
		snprintf(why, CURL_ERROR_SIZE, "status %ld", status);
	else if (!why[0])
		snprintf(why, CURL_ERROR_SIZE, "%s", curl_easy_strerror(rc));
	return false;
}

/* ---- one endpoint ---- */

static struct endpoint *endpoint_of(struct webhooks *w, const struct webhook_row *hook)
{
	for (size_t i = 0; i < w->n_endpoints; i++)
		if (w->endpoint[i].id == hook->id)
			return &w->endpoint[i];
	if (w->n_endpoints == ENDPOINTS_MAX)
		w->n_endpoints = 0; /* deleted ones pile up; what is forgotten is read from the rows again */
	struct endpoint *e = &w->endpoint[w->n_endpoints++];
	*e = (struct endpoint){ .id = hook->id, .cursor = hook->cursor };
	return e;
}

static int64_t wait_after(unsigned failures)
{
	static const int64_t s[] = { 2, 10, 30, 120, 600, 1800, 3600 };

	return 1000 * s[failures < ARRAY_LEN(s) ? failures : ARRAY_LEN(s) - 1];
}

/* The endpoint as it is now: what the records tell may be that its secret is another one. */
static bool deliver_page(struct webhooks *w, const struct webhook_row *hook, const struct audit_page *page, char why[CURL_ERROR_SIZE])
{
	CLEANUP(buf_done) struct buf body = buf_make(4 << 20);

	if (!webhook_body(hook, page->rows, page->n, w->cfg->server_url, &body))
		return true;
	struct command *c = command_new(CMD_WEBHOOK_LIST);
	if (c)
		c->id = hook->id;
	struct reply *now = ask_core(w, c);
	bool done = now && now->e == ERR_NOT_FOUND; /* deleted meanwhile */
	snprintf(why, CURL_ERROR_SIZE, "the core did not answer");
	if (now && now->e == OK && now->n_webhooks)
		done = post(w, &now->webhooks[0], buf_view(&body), why);
	reply_free(now);
	return done;
}

/* true: there may be more at once. */
static bool serve(struct webhooks *w, const struct webhook_row *hook)
{
	struct endpoint *e = endpoint_of(w, hook);
	CLEANUP(audit_page_done) struct audit_page page = { 0 };
	struct audit_query q = { .tailnet_id = hook->tailnet_id, .after_id = e->cursor, .limit = WEBHOOK_BATCH };
	char why[CURL_ERROR_SIZE];

	if (e->next_ms > clock_mono_ms())
		return false;
	if (w->cfg->audit(w->cfg->ctx, &q, &page, why, sizeof why) != OK) {
		log_warn("webhooks cannot read what happened", "cause=%s", log_qs(why).s);
		e->next_ms = clock_mono_ms() + wait_after(e->failures++);
		return false;
	}
	if (!page.n)
		return false;
	if (!deliver_page(w, hook, &page, why)) {
		e->next_ms = clock_mono_ms() + wait_after(e->failures++);
		log_warn("a webhook was not delivered", "webhook=%lld tries=%u cause=%s", (long long)hook->id, e->failures, log_qs(why).s);
		return false;
	}
	e->failures = 0;
	e->cursor = page.rows[page.n - 1].id;
	struct command *c = command_new(CMD_WEBHOOK_CURSOR);
	if (c) {
		c->id = hook->id;
		c->at_ms = e->cursor;
	}
	reply_free(ask_core(w, c));
	return page.more;
}

static void send_test(struct webhooks *w, const struct webhook_row *hook)
{
	static char kind[] = "test", empty[] = "", who[] = "fairlead";
	struct audit_row a = { .at_ms = clock_wall_ms(), .kind = kind, .action = empty, .actor = who, .target = empty, .target_id = empty,
		.before = empty, .after = empty };
	CLEANUP(buf_done) struct buf body = buf_make(64 << 10);
	char why[CURL_ERROR_SIZE];

	if (webhook_body(hook, &a, 1, w->cfg->server_url, &body) && !post(w, hook, buf_view(&body), why))
		log_warn("a webhook's test event was not delivered", "webhook=%lld cause=%s", (long long)hook->id, log_qs(why).s);
}

/* ---- the thread ---- */

static bool take_test(struct webhooks *w, int64_t id)
{
	bool found = false;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_tests && !found; i++)
		if (w->test[i] == id) {
			w->test[i] = w->test[--w->n_tests];
			found = true;
		}
	pthread_mutex_unlock(&w->lock);
	return found;
}

static int64_t next_due(const struct webhooks *w)
{
	int64_t at = clock_mono_ms() + IDLE_MS;

	for (size_t i = 0; i < w->n_endpoints; i++)
		if (w->endpoint[i].failures)
			at = MIN_OF(at, w->endpoint[i].next_ms);
	return at;
}

/* false: it is over. */
static bool wait_for_work(struct webhooks *w)
{
	int64_t due = next_due(w);
	struct timespec ts = { .tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000 };

	pthread_mutex_lock(&w->lock);
	if (!w->changed && !w->stop)
		pthread_cond_timedwait(&w->wake, &w->lock, &ts);
	w->changed = false;
	bool go = !w->stop;
	pthread_mutex_unlock(&w->lock);
	return go;
}

static void *run(void *arg)
{
	struct webhooks *w = arg;

	while (wait_for_work(w)) {
		struct reply *r = ask_core(w, command_new(CMD_WEBHOOK_LIST));
		for (size_t i = 0; r && i < r->n_webhooks; i++) {
			while (take_test(w, r->webhooks[i].id))
				send_test(w, &r->webhooks[i]);
			if (serve(w, &r->webhooks[i]))
				webhooks_wake(w); /* the others have their turn first */
		}
		reply_free(r);
	}
	return NULL;
}

void webhooks_wake(struct webhooks *w)
{
	pthread_mutex_lock(&w->lock);
	w->changed = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

bool webhooks_test(struct webhooks *w, int64_t id)
{
	pthread_mutex_lock(&w->lock);
	bool room = w->n_tests < WEBHOOK_TESTS_MAX;
	if (room)
		w->test[w->n_tests++] = id;
	w->changed = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return room;
}

err webhooks_new(const struct api_settings *cfg, struct webhooks **out)
{
	struct webhooks *w = calloc(1, sizeof *w);
	pthread_condattr_t mono;

	if (!w)
		return ERR_NOMEM;
	w->cfg = cfg;
	w->call.deliver = deliver;
	w->changed = true; /* what waits since before the start */
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->answered, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &mono);
	pthread_condattr_destroy(&mono);
	w->running = pthread_create(&w->thread, NULL, run, w) == 0;
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
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	w->running = false;
}

void webhooks_free(struct webhooks *w)
{
	if (!w)
		return;
	webhooks_stop(w);
	pthread_cond_destroy(&w->wake);
	pthread_cond_destroy(&w->answered);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
