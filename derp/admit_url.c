#include "derp/admit_url.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/text/hex.h"

enum { POLL_MS = 1000 };

struct question {
	struct question *next;
	struct node_pub key;
	struct addr from;
	struct relay_ticket ticket;
	bool again; /* about one who is connected */
	int64_t since_ms;
	struct list under_way;
	CURL *easy;
	char body[256];
	char answer[ADMIT_URL_ANSWER_MAX];
	size_t n;
};

struct asked {
	struct node_pub key;
	struct addr from;
};

struct admit_url {
	struct admit_url_opts o;
	struct relay *relay;
	CURLM *multi;
	struct curl_slist *headers;
	pthread_t thread;
	bool running;
	struct list under_way; /* the thread's, and of this many: */
	unsigned n_under_way;
	int64_t again_ms;
	/* Under the lock: */
	pthread_mutex_t lock;
	struct question *first, **end;
	unsigned n_waiting;
	bool stopping;
	/* Those who are connected, in the order in which they are asked about; the thread's. Newcomers go first. */
	struct asked *round;
	size_t n_round, at_round, cap_round;
};

/* ---- one question ----------------------------------------------------------------------------------------------- */

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
	struct question *q = ctx;
	size_t room = sizeof q->answer - q->n, k = MIN_OF(size * n, room);

	memcpy(q->answer + q->n, p, k);
	q->n += k;
	return size * n; /* what is beyond the first 4 KiB is not looked at, as in derper */
}

static bool says_allow(const struct question *q)
{
	json_t *o = json_loadb(q->answer, q->n, JSON_DISABLE_EOF_CHECK, NULL);
	bool allow = json_is_true(json_object_get(o, "Allow"));

	json_decref(o);
	return allow;
}

static void answer(struct admit_url *u, struct question *q, bool failed, bool allow)
{
	static struct log_limit limit = LOG_LIMIT(5, 60000);

	if (failed && log_allow(&limit))
		log_warn("the admission server does not answer", "url=%s then=%s", log_qs(u->o.url).s,
			q->again ? "stays" : u->o.fail_open ? "let in" : "refused");
	err e = OK;
	if (!q->again)
		e = relay_admit_done(u->relay, q->ticket, failed ? u->o.fail_open : allow);
	else if (!failed && !allow)
		e = relay_close_key(u->relay, &q->key);
	if (e != OK)
		log_warn("out of memory", "what=admission");
	curl_easy_cleanup(q->easy);
	free(q);
}

static void put_back(struct admit_url *u, struct question *q)
{
	pthread_mutex_lock(&u->lock);
	q->next = u->first;
	u->first = q;
	if (!q->next)
		u->end = &q->next;
	u->n_waiting++;
	pthread_mutex_unlock(&u->lock);
}

static bool start(struct admit_url *u, struct question *q)
{
	char key[2 * sizeof q->key + 1], from[ADDR_TEXT_MAX];

	hex_encode(bytes_of(q->key.b, sizeof q->key.b), key);
	snprintf(q->body, sizeof q->body, "{\"NodePublic\":\"nodekey:%s\",\"Source\":\"%s\"}", key, addr_text(q->from, from));
	q->easy = curl_easy_init();
	if (!q->easy)
		return false;
	curl_easy_setopt(q->easy, CURLOPT_URL, u->o.url);
	curl_easy_setopt(q->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(q->easy, CURLOPT_POSTFIELDS, q->body);
	curl_easy_setopt(q->easy, CURLOPT_HTTPHEADER, u->headers);
	curl_easy_setopt(q->easy, CURLOPT_TIMEOUT_MS, (long)ADMIT_URL_MS);
	curl_easy_setopt(q->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(q->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(q->easy, CURLOPT_WRITEDATA, q);
	curl_easy_setopt(q->easy, CURLOPT_PRIVATE, q);
	return curl_multi_add_handle(u->multi, q->easy) == CURLM_OK;
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static struct question *take(struct admit_url *u)
{
	pthread_mutex_lock(&u->lock);
	struct question *q = u->first;
	if (q) {
		u->first = q->next;
		q->next = NULL;
		if (!u->first)
			u->end = &u->first;
		u->n_waiting--;
	}
	pthread_mutex_unlock(&u->lock);
	return q;
}

/* The next newcomer's. Those who have waited for too long are answered here. */
static struct question *next_newcomer(struct admit_url *u)
{
	struct question *q;

	while ((q = take(u)) && clock_mono_ms() - q->since_ms > ADMIT_URL_PATIENCE_MS)
		answer(u, q, true, false);
	return q;
}

static void answer_impatient(struct admit_url *u)
{
	pthread_mutex_lock(&u->lock);
	bool any = u->first && clock_mono_ms() - u->first->since_ms > ADMIT_URL_PATIENCE_MS;
	pthread_mutex_unlock(&u->lock);
	if (!any)
		return;
	struct question *q = next_newcomer(u);
	if (q) /* the first that is young enough: it goes on waiting, at the front */
		put_back(u, q);
}

static bool put(struct admit_url *u, struct question *q)
{
	pthread_mutex_lock(&u->lock);
	bool room = u->n_waiting < ADMIT_URL_WAITING_MAX && !u->stopping;
	if (room) {
		*u->end = q;
		u->end = &q->next;
		u->n_waiting++;
	}
	pthread_mutex_unlock(&u->lock);
	return room;
}

static void note_connected(void *ctx, const struct node_pub *key, struct addr from)
{
	struct admit_url *u = ctx;

	if (u->n_round == u->cap_round) {
		size_t cap = u->cap_round ? 2 * u->cap_round : 256;
		struct asked *more = reallocarray(u->round, cap, sizeof *more);

		if (!more)
			return; /* the rest is asked about when there is memory */
		u->round = more;
		u->cap_round = cap;
	}
	u->round[u->n_round++] = (struct asked){ *key, from };
}

/* The next of this round; NULL: it is over, or out of memory. */
static struct question *next_again(struct admit_url *u)
{
	struct question *q = u->at_round < u->n_round ? calloc(1, sizeof *q) : NULL;

	if (!q)
		return NULL;
	q->key = u->round[u->at_round].key;
	q->from = u->round[u->at_round++].from;
	q->again = true;
	return q;
}

static void start_round(struct admit_url *u)
{
	if (!u->o.again_s || clock_mono_ms() < u->again_ms || u->at_round < u->n_round)
		return; /* the last one goes on */
	u->again_ms = clock_mono_ms() + (int64_t)u->o.again_s * 1000;
	u->n_round = u->at_round = 0;
	relay_each_key(u->relay, note_connected, u);
}

static void finish(struct admit_url *u)
{
	struct CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(u->multi, &left))) {
		struct question *q;
		long status = 0;

		if (m->msg != CURLMSG_DONE)
			continue;
		bool failed = m->data.result != CURLE_OK;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &q);
		curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
		curl_multi_remove_handle(u->multi, m->easy_handle);
		list_del(&q->under_way);
		u->n_under_way--;
		answer(u, q, failed, status == 200 && says_allow(q));
	}
}

static bool is_stopping(struct admit_url *u)
{
	pthread_mutex_lock(&u->lock);
	bool yes = u->stopping;
	pthread_mutex_unlock(&u->lock);
	return yes;
}

static void *run(void *arg)
{
	struct admit_url *u = arg;
	struct question *q;
	int n;

	while (!is_stopping(u)) {
		start_round(u);
		/* Of the places for questions under way, those about the connected take at most half. */
		while (u->n_under_way < ADMIT_URL_AT_ONCE &&
			((q = next_newcomer(u)) || (u->n_under_way < ADMIT_URL_AT_ONCE / 2 && (q = next_again(u))))) {
			if (!start(u, q)) {
				answer(u, q, true, false);
				continue;
			}
			list_add_tail(&u->under_way, &q->under_way);
			u->n_under_way++;
		}
		answer_impatient(u);
		curl_multi_perform(u->multi, &n);
		finish(u);
		curl_multi_poll(u->multi, NULL, 0, POLL_MS, &n);
	}
	return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

err admit_url_new(const struct admit_url_opts *o, struct admit_url **out)
{
	if (!bytes_has_prefix(bytes_str(o->url), BYTES_LIT("https://")) && !bytes_has_prefix(bytes_str(o->url), BYTES_LIT("http://")))
		return ERR_INVALID;
	struct admit_url *u = calloc(1, sizeof *u);

	if (!u)
		return ERR_NOMEM;
	u->o = *o;
	u->end = &u->first;
	list_init(&u->under_way);
	pthread_mutex_init(&u->lock, NULL);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		u->multi = curl_multi_init();
	u->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!u->multi || !u->headers) {
		admit_url_free(u);
		return ERR_NOMEM;
	}
	*out = u;
	return OK;
}

err admit_url_start(struct admit_url *u, struct relay *r)
{
	u->relay = r;
	u->again_ms = clock_mono_ms() + (int64_t)u->o.again_s * 1000;
	u->running = pthread_create(&u->thread, NULL, run, u) == 0;
	return u->running ? OK : ERR_NOMEM;
}

enum relay_verdict admit_url_ask(struct admit_url *u, const struct node_pub *key, struct addr from, struct relay_ticket t)
{
	struct question *q = calloc(1, sizeof *q);

	if (q) {
		q->key = *key;
		q->from = from;
		q->ticket = t;
		q->since_ms = clock_mono_ms();
		if (put(u, q)) {
			curl_multi_wakeup(u->multi);
			return RELAY_LATER;
		}
		free(q);
	}
	return u->o.fail_open ? RELAY_ALLOW : RELAY_DENY;
}

void admit_url_free(struct admit_url *u)
{
	struct question *q;

	if (!u)
		return;
	if (u->running) {
		pthread_mutex_lock(&u->lock);
		u->stopping = true;
		pthread_mutex_unlock(&u->lock);
		curl_multi_wakeup(u->multi);
		pthread_join(u->thread, NULL);
	}
	while ((q = take(u)))
		free(q);
	list_each_safe(it, &u->under_way) {
		q = container_of(it, struct question, under_way);
		curl_multi_remove_handle(u->multi, q->easy);
		curl_easy_cleanup(q->easy);
		free(q);
	}
	if (u->multi)
		curl_multi_cleanup(u->multi);
	curl_slist_free_all(u->headers);
	free(u->round);
	pthread_mutex_destroy(&u->lock);
	free(u);
}
