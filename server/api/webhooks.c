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

enum { IDLE_MS = 60000, ENDPOINTS_MAX = 128, FLIGHTS_MAX = 16 /* at once */, POLL_MS = 200 };

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

struct sending { /* one POST, alone or beside others */
	CURL *c;
	struct curl_slist *headers;
	size_t left; /* of the answer that is read */
	char why[CURL_ERROR_SIZE];
};

static bool sending_begin(struct webhooks *w, const struct webhook_row *hook, struct bytes body, struct sending *s)
{
	char signature[128], header[200];
	CURL *c = curl_easy_init();

	*s = (struct sending){ .c = c, .left = WEBHOOK_ANSWER_MAX };
	snprintf(s->why, sizeof s->why, "out of memory");
	if (!c)
		return false;
	s->why[0] = 0;
	webhook_sign(hook->secret, clock_wall_ms() / 1000, body, signature);
	snprintf(header, sizeof header, "Tailscale-Webhook-Signature: %s", signature);
	s->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!hook->provider || !hook->provider[0])
		s->headers = curl_slist_append(s->headers, header);
	s->headers = curl_slist_append(s->headers, "Expect:");
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
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &s->left);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "fairlead");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, s->headers);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, (const char *)body.p);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, s->why);
	return true;
}

/* true: the endpoint took it; else s->why. */
static bool sending_end(struct sending *s, CURLcode rc)
{
	long status = 0;

	if (!s->c)
		return false;
	curl_easy_getinfo(s->c, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(s->headers);
	curl_easy_cleanup(s->c);
	s->c = NULL;
	if (status >= 200 && status < 300)
		return true;
	if (rc == CURLE_OK)
		snprintf(s->why, sizeof s->why, "status %ld", status);
	else if (!s->why[0])
		snprintf(s->why, sizeof s->why, "%s", curl_easy_strerror(rc));
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

struct flight { /* what one endpoint is to be told in this round */
	const struct webhook_row *hook; /* of the round's list */
	struct reply *now;		/* the endpoint as it is now, owned: what the records tell may be that its secret is another one */
	struct buf body;
	struct sending s;
	int64_t last_id;
	bool more, sent; /* sent: there was nothing to tell, or nobody any more */
	CURLcode rc;
};

/* false: nothing to do for it now. */
static bool flight_begin(struct webhooks *w, const struct webhook_row *hook, struct flight *f)
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
	*f = (struct flight){ .hook = hook, .last_id = page.rows[page.n - 1].id, .more = page.more, .body = buf_make(4 << 20), .rc = CURLE_FAILED_INIT };
	if (!webhook_body(hook, page.rows, page.n, w->cfg->server_url, &f->body)) {
		f->sent = true;
		return true;
	}
	struct command *c = command_new(CMD_WEBHOOK_LIST);
	if (c)
		c->id = hook->id;
	f->now = ask_core(w, c);
	f->sent = f->now && f->now->e == ERR_NOT_FOUND; /* deleted meanwhile */
	if (f->now && f->now->e == OK && f->now->n_webhooks)
		sending_begin(w, &f->now->webhooks[0], buf_view(&f->body), &f->s);
	else
		snprintf(f->s.why, sizeof f->s.why, "the core did not answer");
	return true;
}

/* true: there may be more at once. */
static bool flight_end(struct webhooks *w, struct flight *f)
{
	struct endpoint *e = endpoint_of(w, f->hook);
	bool sent = sending_end(&f->s, f->rc) || f->sent;

	buf_done(&f->body);
	reply_free(f->now);
	if (!sent) {
		e->next_ms = clock_mono_ms() + wait_after(e->failures++);
		log_warn("a webhook was not delivered", "webhook=%lld tries=%u cause=%s", (long long)f->hook->id, e->failures, log_qs(f->s.why).s);
		return false;
	}
	e->failures = 0;
	e->cursor = f->last_id;
	struct command *c = command_new(CMD_WEBHOOK_CURSOR);
	if (c) {
		c->id = f->hook->id;
		c->at_ms = e->cursor;
	}
	reply_free(ask_core(w, c));
	return f->more;
}

/* All at once: a slow endpoint costs the others nothing in this round; the next round comes WEBHOOK_TOTAL_S later at most. */
static void fly(struct flight *f, size_t n)
{
	CURLM *m = curl_multi_init();
	int running = 0, left;

	for (size_t i = 0; m && i < n; i++)
		if (f[i].s.c)
			curl_multi_add_handle(m, f[i].s.c);
	do {
		if (!m || curl_multi_perform(m, &running) != CURLM_OK)
			break;
		if (running && curl_multi_poll(m, NULL, 0, POLL_MS, NULL) != CURLM_OK)
			break;
	} while (running);
	for (const CURLMsg *msg; m && (msg = curl_multi_info_read(m, &left));)
		for (size_t i = 0; i < n; i++)
			if (msg->msg == CURLMSG_DONE && f[i].s.c == msg->easy_handle)
				f[i].rc = msg->data.result;
	for (size_t i = 0; m && i < n; i++)
		if (f[i].s.c)
			curl_multi_remove_handle(m, f[i].s.c);
	curl_multi_cleanup(m);
}

/* true: some endpoint may have more at once. */
static bool serve_all(struct webhooks *w, const struct webhook_row *hooks, size_t n_hooks)
{
	bool more = false;

	for (size_t at = 0; at < n_hooks;) {
		struct flight f[FLIGHTS_MAX];
		size_t n = 0;
		for (; at < n_hooks && n < FLIGHTS_MAX; at++)
			n += flight_begin(w, &hooks[at], &f[n]);
		fly(f, n);
		for (size_t i = 0; i < n; i++)
			more |= flight_end(w, &f[i]);
	}
	return more;
}

static void send_test(struct webhooks *w, const struct webhook_row *hook)
{
	static char kind[] = "test", empty[] = "", who[] = "fairlead";
	struct audit_row a = { .at_ms = clock_wall_ms(), .kind = kind, .action = empty, .actor = who, .target = empty, .target_id = empty,
		.before = empty, .after = empty };
	CLEANUP(buf_done) struct buf body = buf_make(64 << 10);
	struct sending s;

	if (!webhook_body(hook, &a, 1, w->cfg->server_url, &body))
		return;
	bool begun = sending_begin(w, hook, buf_view(&body), &s);
	if (!sending_end(&s, begun ? curl_easy_perform(s.c) : CURLE_OUT_OF_MEMORY))
		log_warn("a webhook's test event was not delivered", "webhook=%lld cause=%s", (long long)hook->id, log_qs(s.why).s);
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
		for (size_t i = 0; r && i < r->n_webhooks; i++)
			while (take_test(w, r->webhooks[i].id))
				send_test(w, &r->webhooks[i]);
		if (r && serve_all(w, r->webhooks, r->n_webhooks))
			webhooks_wake(w);
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
