/* fairlead-oidc: started by the server with one end of a socketpair as descriptor 3; not for people to run.
 *
 * The tour: main reads requests and queues them; HELPER_THREADS workers take them (ops.c has what each does), at most
 * HELPER_PER_PROVIDER for one provider; a keeper looks after the providers and tells the server which answer. helper.h has the
 * messages. */
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "server/oidc_helper/helper.h"

enum { SERVER_FD = 3, RETRY_MAX_S = 60, KEEPER_LOOK_S = 1 };

struct job {
	struct job *next;
	struct provider *provider;
	json_t *request; /* owned */
};

static struct provider providers[HELPER_PROVIDERS_MAX];
static size_t n_providers;
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_filled = PTHREAD_COND_INITIALIZER;
static struct job *queue, **queue_end = &queue;
static size_t n_queued;
static struct provider guests[HELPER_GUESTS_MAX]; /* of the queue's lock */
static size_t n_guests;
static unsigned guest_threads, guest_jobs;

/* taken. A message that does not fit is an error of this request; the server's own time limit covers what is lost here. */
static void tell(json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);

	if (text && strlen(text) <= HELPER_MESSAGE_MAX)
		while (send(SERVER_FD, text, strlen(text), MSG_NOSIGNAL) < 0 && errno == EINTR)
			;
	free(text);
	json_decref(message);
}

/* refresh_token: NULL, or what came before the trouble. */
static void answer_trouble(json_int_t id, const struct trouble *t, json_t *refresh_token)
{
	/* A provider's words are its own bytes: what is no UTF-8 is left out. */
	json_t *why = json_string(t->why);
	json_t *m = json_pack("{s:I, s:b, s:s, s:o}", "id", id, "ok", 0, "kind", t->kind, "why", why ? why : json_string("unreadable answer"));

	if (m && refresh_token)
		json_object_set(m, "refresh_token", refresh_token);
	tell(m);
}

static void run(struct job *j)
{
	json_int_t id = json_integer_value(json_object_get(j->request, "id"));
	json_t *answer = json_pack("{s:I, s:b}", "id", id, "ok", 1);
	struct trouble t = { .kind = "unreachable", .why = "out of memory" };

	err e = answer ? op_run(j->provider, j->request, answer, &t) : ERR_NOMEM;
	char *text = e == OK ? json_dumps(answer, JSON_COMPACT) : NULL;
	if (e == OK && (!text || strlen(text) > HELPER_MESSAGE_MAX))
		e = trouble(&t, ERR_TOO_BIG, "invalid", "the provider's answer is too large");
	free(text);
	if (e == OK) {
		tell(answer);
		return;
	}
	answer_trouble(id, &t, json_object_get(answer, "refresh_token"));
	json_decref(answer);
}

static struct job *next_job(void)
{
	for (;;) {
		for (struct job **at = &queue; *at; at = &(*at)->next) {
			struct job *j = *at;
			if (j->provider->running == HELPER_PER_PROVIDER || (j->provider->guest && guest_threads == HELPER_GUEST_THREADS))
				continue;
			*at = j->next;
			if (queue_end == &j->next)
				queue_end = at;
			n_queued--;
			j->provider->running++;
			guest_threads += j->provider->guest;
			return j;
		}
		pthread_cond_wait(&queue_filled, &queue_lock);
	}
}

static void *worker(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_mutex_lock(&queue_lock);
		struct job *j = next_job();
		pthread_mutex_unlock(&queue_lock);
		run(j);
		pthread_mutex_lock(&queue_lock);
		j->provider->running--;
		guest_threads -= j->provider->guest;
		j->provider->users -= j->provider->guest;
		guest_jobs -= j->provider->guest;
		pthread_cond_broadcast(&queue_filled); /* what waited for this provider may go */
		pthread_mutex_unlock(&queue_lock);
		json_decref(j->request);
		free(j);
	}
	return NULL;
}

/* ---- which providers answer ---- */

static void *keeper(void *arg)
{
	int64_t due[HELPER_PROVIDERS_MAX] = { 0 }, wait[HELPER_PROVIDERS_MAX] = { 0 };

	(void)arg;
	for (;;) {
		for (size_t i = 0; i < n_providers; i++) {
			struct provider *p = &providers[i];
			struct trouble t = { .kind = "", .why = "" };
			json_t *m = NULL;

			if (mono_s() < due[i])
				continue;
			bool ok = provider_metadata(p, &m, &t) == OK;
			json_decref(m);
			wait[i] = ok ? RETRY_MAX_S : wait[i] && wait[i] < RETRY_MAX_S ? MIN_OF(wait[i] * 2, RETRY_MAX_S) : 1;
			due[i] = mono_s() + wait[i];
			if (p->said && p->said_ok == ok)
				continue;
			p->said = true;
			p->said_ok = ok;
			tell(json_pack("{s:s, s:s, s:b, s:s}", "event", "provider", "provider", p->name, "ok", ok, "why", t.why));
		}
		sleep(KEEPER_LOOK_S);
	}
	return NULL;
}

/* ---- what the server says ---- */

static char *owned_text(const json_t *o, const char *key)
{
	char *s = strdup(text_in(o, key));

	if (!s)
		abort(); /* at the start, a few hundred bytes */
	return s;
}

static void take_providers(const json_t *message)
{
	json_t *o;
	size_t i;

	json_array_foreach(json_object_get(message, "providers"), i, o) {
		if (n_providers == HELPER_PROVIDERS_MAX)
			return;
		struct provider *p = &providers[n_providers++];
		*p = (struct provider){ .name = owned_text(o, "name"), .issuer = owned_text(o, "issuer"),
			.client_id = owned_text(o, "client_id"), .client_secret = owned_text(o, "client_secret"),
			.auth = owned_text(o, "auth"), .ca = owned_text(o, "ca"), .timeout_ms = json_integer_value(json_object_get(o, "timeout_ms")) };
		pthread_mutex_init(&p->lock, NULL);
	}
}

static struct provider *provider_named(const char *name)
{
	for (size_t i = 0; i < n_providers; i++)
		if (strcmp(providers[i].name, name) == 0)
			return &providers[i];
	return NULL;
}

static void forget(struct provider *p)
{
	free(p->name), free(p->issuer), free(p->client_id), free(p->client_secret), free(p->auth), free(p->ca);
	json_decref(p->metadata);
	json_decref(p->jwks);
	pthread_mutex_destroy(&p->lock);
}

/* Holding the queue's lock. The issuer with what is known of it; the one that nobody needed for longest makes room. NULL: none can. */
static struct provider *guest_for(const json_t *request)
{
	const char *issuer = text_in(request, "issuer");
	bool private_too = json_is_true(json_object_get(request, "private"));
	struct provider *at = NULL;

	for (size_t i = 0; i < n_guests; i++)
		if (strcmp(guests[i].issuer, issuer) == 0 && guests[i].private_too == private_too)
			return &guests[i];
	if (n_guests < HELPER_GUESTS_MAX) {
		at = &guests[n_guests++];
	} else {
		for (size_t i = 0; i < n_guests; i++)
			if (!guests[i].users && (!at || guests[i].used_s < at->used_s))
				at = &guests[i];
		if (!at)
			return NULL;
		forget(at);
	}
	*at = (struct provider){ .name = owned_text(request, "issuer"), .issuer = owned_text(request, "issuer"), .client_id = owned_text(request, ""),
		.client_secret = owned_text(request, ""), .auth = owned_text(request, ""), .ca = owned_text(request, "ca"),
		.timeout_ms = HELPER_GUEST_TIMEOUT_MS, .guest = true, .private_too = private_too };
	pthread_mutex_init(&at->lock, NULL);
	return at;
}

static void enqueue(json_t *request)
{
	pthread_mutex_lock(&queue_lock);
	struct provider *p = strcmp(text_in(request, "op"), "verify_at") == 0 ? guest_for(request) : provider_named(text_in(request, "provider"));
	struct job *j = p ? calloc(1, sizeof *j) : NULL;
	struct trouble t;
	bool room = n_queued < HELPER_QUEUE_MAX && (!p || !p->guest || guest_jobs < HELPER_GUEST_JOBS);
	if (j && room) {
		*j = (struct job){ .provider = p, .request = request };
		*queue_end = j;
		queue_end = &j->next;
		n_queued++;
		p->users += p->guest;
		guest_jobs += p->guest;
		p->used_s = mono_s();
		pthread_cond_signal(&queue_filled);
	}
	pthread_mutex_unlock(&queue_lock);
	if (j && room)
		return;
	free(j);
	trouble(&t, ERR_BUSY, "unreachable", "%s", !p ? "no such provider" : "too many logins at once");
	answer_trouble(json_integer_value(json_object_get(request, "id")), &t, NULL);
	json_decref(request);
}

static json_t *receive(void)
{
	static char text[HELPER_MESSAGE_MAX + 1];

	for (;;) {
		ssize_t n = recv(SERVER_FD, text, HELPER_MESSAGE_MAX, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return NULL;
		json_t *o = json_loadb(text, (size_t)n, 0, NULL);
		if (json_is_object(o))
			return o;
		json_decref(o);
	}
}

static void start_thread(void *(*fn)(void *))
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, NULL) != 0)
		exit(1);
	pthread_detach(t);
}

int main(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 }); /* it holds the clients' secrets */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is the server's to answer: it closes our descriptor */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return 1;
	token_start();
	json_t *first = receive();
	if (!first || strcmp(text_in(first, "op"), "providers") != 0) {
		fprintf(stderr, "fairlead-oidc: this program is started by fairlead\n");
		return 2;
	}
	take_providers(first);
	json_decref(first);
	if (sandbox_enter() != OK) {
		log_error("fairlead-oidc cannot lock itself in", "cause=%s", log_qs(strerror(errno)).s);
		return 1;
	}
	for (int i = 0; i < HELPER_THREADS; i++)
		start_thread(worker);
	start_thread(keeper);
	for (json_t *request; (request = receive());)
		enqueue(request);
	_exit(0); /* calls may still run; nobody waits for them */
}
