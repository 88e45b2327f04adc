#include "server/login/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"

enum { MESSAGE_MAX = 160 << 10, HELPER_FD = 3, PATH_LEN_MAX = 4096, LOOK_MS = 1000 };

struct waiting {
	struct list all;
	json_int_t id;
	json_t *unsent; /* owned; NULL: it was sent. What is asked before the process was started waits for it */
	struct call *call;
	int64_t until_ms;
};

struct helper {
	struct loop *loop;
	char path[PATH_LEN_MAX];
	const struct config_oidc *providers;
	size_t n_providers;
	pid_t pid;
	struct loop_io *io;
	struct loop_timer timer;
	int64_t restart_ms; /* 0: it runs */
	bool told_ready;    /* for helper_wait_ready */
	bool first_ok;
	char first_why[256];
	pthread_mutex_t lock; /* the rest */
	bool lazy;	      /* it was not needed so far */
	int fd;		      /* -1: it does not run */
	json_int_t next_id;
	struct list waiting;
	size_t n_waiting;
};

extern char **environ;

static bool send_json(int fd, json_t *json);

/* ---- answers ---- */

static void deliver(struct call *call, err e, const char *message, const char *text, size_t n)
{
	struct reply *r = reply_new();

	if (r) {
		r->e = e;
		r->message = message ? arena_str(&r->arena, bytes_str(message)) : NULL;
		if (e != OK && !r->message)
			r->message = err_text(e);
		r->text = text ? arena_str(&r->arena, bytes_of(text, n)) : NULL;
		if (e == OK && !r->text) {
			r->e = ERR_NOMEM;
			r->message = "out of memory";
		}
	}
	call->deliver(call, r);
}

static struct waiting *take(struct helper *h, json_int_t id)
{
	struct waiting *found = NULL;

	pthread_mutex_lock(&h->lock);
	list_each(it, &h->waiting) {
		struct waiting *w = container_of(it, struct waiting, all);
		if (w->id == id) {
			found = w;
			break;
		}
	}
	if (found) {
		list_del(&found->all);
		h->n_waiting--;
	}
	pthread_mutex_unlock(&h->lock);
	return found;
}

static void fail_all(struct helper *h, int64_t before_ms, const char *message)
{
	struct list gone;

	list_init(&gone);
	pthread_mutex_lock(&h->lock);
	for (struct list *it = h->waiting.next, *next; it != &h->waiting; it = next) {
		next = it->next;
		if (container_of(it, struct waiting, all)->until_ms > before_ms)
			continue;
		list_del(it);
		list_add_tail(&gone, it);
		h->n_waiting--;
	}
	pthread_mutex_unlock(&h->lock);
	while (!list_is_empty(&gone)) {
		struct waiting *w = container_of(gone.next, struct waiting, all);
		list_del(&w->all);
		deliver(w->call, ERR_BUSY, message, NULL, 0);
		json_decref(w->unsent);
		free(w);
	}
}

/* Holding the lock. What cannot be sent waits for its time limit. */
static void send_waiting(struct helper *h)
{
	list_each(it, &h->waiting) {
		struct waiting *w = container_of(it, struct waiting, all);
		if (w->unsent)
			send_json(h->fd, MOVE(w->unsent));
	}
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static err err_of(const char *kind)
{
	if (strcmp(kind, "denied") == 0)
		return ERR_DENIED;
	return strcmp(kind, "invalid") == 0 ? ERR_AUTH : ERR_BUSY;
}

static void on_event(struct helper *h, const json_t *o)
{
	const char *name = text_of(o, "provider"), *why = text_of(o, "why");
	bool ok = json_is_true(json_object_get(o, "ok"));

	if (ok)
		log_info("identity provider answers", "provider=%s", log_qs(name).s);
	else
		log_warn("identity provider cannot be used now; asking again", "provider=%s cause=%s", log_qs(name).s, log_qs(why).s);
	if (h->n_providers && strcmp(name, h->providers[0].name) == 0) {
		h->told_ready = true;
		h->first_ok = ok;
		snprintf(h->first_why, sizeof h->first_why, "%s", why);
	}
}

static void on_message(struct helper *h, const char *text, size_t n)
{
	json_t *o = json_loadb(text, n, 0, NULL);

	if (json_object_get(o, "event")) {
		on_event(h, o);
	} else {
		struct waiting *w = take(h, json_integer_value(json_object_get(o, "id")));
		if (w) {
			if (json_is_true(json_object_get(o, "ok")))
				deliver(w->call, OK, NULL, text, n);
			else
				deliver(w->call, err_of(text_of(o, "kind")), text_of(o, "why"), text, n);
			free(w);
		}
	}
	json_decref(o);
}

/* ---- the process ---- */

static void stop_process(struct helper *h)
{
	loop_io_close(h->io);
	h->io = NULL;
	pthread_mutex_lock(&h->lock);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	pthread_mutex_unlock(&h->lock);
	if (h->pid > 0) {
		kill(h->pid, SIGKILL);
		waitpid(h->pid, NULL, 0);
	}
	h->pid = 0;
}

/* false: the other end is gone. */
static bool drain(struct helper *h)
{
	static _Thread_local char text[MESSAGE_MAX + 1];

	for (;;) {
		ssize_t n = recv(h->fd, text, MESSAGE_MAX, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		on_message(h, text, (size_t)n);
	}
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct helper *h = ctx;

	(void)io, (void)ready;
	if (drain(h))
		return;
	log_error("fairlead-oidc ended; starting it again", "pid=%d", (int)h->pid);
	stop_process(h);
	fail_all(h, INT64_MAX, "logins by identity providers were interrupted; try again");
	h->restart_ms = clock_mono_ms() + HELPER_RESTART_MS;
}

static json_t *providers_message(const struct helper *h)
{
	json_t *list = json_array();

	for (size_t i = 0; i < h->n_providers; i++) {
		const struct config_oidc *p = &h->providers[i];
		const char *ca = p->ca_path[0] ? p->ca_path : getenv("SSL_CERT_FILE");
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "name", p->name, "issuer", p->issuer, "client_id",
							    p->client_id, "client_secret", p->client_secret, "auth", p->client_auth, "ca",
							    ca ? ca : "", "timeout_ms", (json_int_t)p->timeout_ms));
	}
	return json_pack("{s:s, s:o}", "op", "providers", "providers", list);
}

/* json is taken. */
static bool send_json(int fd, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	bool ok = text && strlen(text) <= MESSAGE_MAX && send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;

	if (text)
		sodium_memzero(text, strlen(text));
	free(text);
	json_decref(json);
	return ok;
}

static err spawn(struct helper *h, int child_fd, char *why, size_t why_cap)
{
	char *argv[] = { h->path, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, defaults;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGTERM);
	sigaddset(&defaults, SIGHUP);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	/* dup2 onto itself would keep close-on-exec: child_fd is never 3, see start_process. */
	int rc = posix_spawn_file_actions_adddup2(&actions, child_fd, HELPER_FD);
	if (rc == 0)
		rc = posix_spawn(&h->pid, h->path, &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (rc == 0)
		return OK;
	h->pid = 0;
	snprintf(why, why_cap, "cannot start %.200s: %s", h->path, strerror(rc));
	errno = rc;
	return ERR_SYS;
}

static err start_process(struct helper *h, char *why, size_t why_cap)
{
	CLEANUP(closep) int theirs = -1;
	int pair[2], size = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return ERR_SYS;
	theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, HELPER_FD + 1);
	close(pair[1]);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	err e = theirs < 0 ? ERR_SYS : spawn(h, theirs, why, why_cap);
	if (e == OK && !send_json(pair[0], providers_message(h)))
		e = ERR_SYS;
	if (e == OK)
		e = loop_io_new(h->loop, pair[0], on_ready, h, &h->io);
	if (e != OK) {
		close(pair[0]);
		stop_process(h);
		return e;
	}
	pthread_mutex_lock(&h->lock);
	h->fd = pair[0];
	h->lazy = false;
	send_waiting(h);
	pthread_mutex_unlock(&h->lock);
	loop_io_want(h->io, LOOP_READ);
	h->restart_ms = 0;
	return OK;
}

static void on_timer(struct loop_timer *t)
{
	struct helper *h = container_of(t, struct helper, timer);
	char why[256] = "";

	fail_all(h, clock_mono_ms(), "the identity provider did not answer in time");
	pthread_mutex_lock(&h->lock);
	if (h->lazy && h->n_waiting && !h->restart_ms)
		h->restart_ms = 1;
	pthread_mutex_unlock(&h->lock);
	if (h->restart_ms && clock_mono_ms() >= h->restart_ms && start_process(h, why, sizeof why) != OK) {
		log_error("fairlead-oidc cannot be started", "cause=%s", log_qs(why).s);
		fail_all(h, INT64_MAX, "fairlead-oidc cannot be started");
		h->restart_ms = clock_mono_ms() + 30LL * HELPER_RESTART_MS;
	}
	loop_timer_in(t, LOOK_MS);
}

static err own_folder(char *out, size_t cap)
{
	static const char name[] = "/fairlead-oidc";
	ssize_t n = readlink("/proc/self/exe", out, cap - sizeof name);

	if (n <= 0)
		return ERR_SYS;
	out[n] = 0;
	char *slash = strrchr(out, '/');
	return slash ? bytes_copy(slash, sizeof name, bytes_of(name, sizeof name)) : ERR_INVALID;
}

err helper_start(struct loop *l, const char *path, const struct config_oidc *providers, size_t n, char *why, size_t why_cap,
		struct helper **out)
{
	struct helper *h = calloc(1, sizeof *h);

	if (!h)
		return ERR_NOMEM;
	h->loop = l;
	h->fd = -1;
	h->providers = providers;
	h->n_providers = n;
	pthread_mutex_init(&h->lock, NULL);
	list_init(&h->waiting);
	loop_timer_init(&h->timer, l, on_timer);
	h->lazy = n == 0;
	err e = path ? bytes_copy(h->path, sizeof h->path - 1, bytes_str(path)) : own_folder(h->path, sizeof h->path);
	if (e == OK && n)
		e = start_process(h, why, why_cap);
	if (e != OK) {
		helper_free(h);
		return e;
	}
	loop_timer_in(&h->timer, LOOK_MS);
	*out = h;
	return OK;
}

void helper_ask(struct helper *h, json_t *request, struct call *call)
{
	struct waiting *w = calloc(1, sizeof *w);
	bool sent = false;

	pthread_mutex_lock(&h->lock);
	if (w && request && (h->fd >= 0 || h->lazy) && h->n_waiting < HELPER_WAITING_MAX) {
		*w = (struct waiting){ .id = ++h->next_id, .call = call, .until_ms = clock_mono_ms() + HELPER_ANSWER_WAIT_MS };
		json_object_set_new(request, "id", json_integer(w->id));
		if (h->fd < 0)
			w->unsent = json_incref(request);
		sent = h->fd < 0 || send_json(h->fd, json_incref(request));
		if (sent) {
			list_add_tail(&h->waiting, &w->all);
			h->n_waiting++;
		}
	}
	pthread_mutex_unlock(&h->lock);
	json_decref(request);
	if (sent)
		return;
	free(w);
	deliver(call, ERR_BUSY, "too many people sign in just now; try again in a moment", NULL, 0);
}

err helper_wait_ready(struct helper *h, const char *provider, int64_t wait_ms, char *why, size_t why_cap)
{
	int64_t end = clock_mono_ms() + wait_ms;

	while (!h->told_ready || !h->first_ok) {
		int64_t left = end - clock_mono_ms();
		struct pollfd p = { .fd = h->fd, .events = POLLIN };
		if (left <= 0 || h->fd < 0) {
			snprintf(why, why_cap, "oidc.only_start_if_oidc_is_available: the provider %s cannot be used: %.200s", provider,
					h->first_why[0] ? h->first_why : "no answer");
			return ERR_TIMEOUT;
		}
		if (poll(&p, 1, (int)MIN_OF(left, 1000)) > 0 && !drain(h)) {
			snprintf(why, why_cap, "fairlead-oidc ended at its start");
			return ERR_CLOSED;
		}
	}
	return OK;
}

void helper_stop(struct helper *h)
{
	if (!h)
		return;
	loop_timer_stop(&h->timer);
	stop_process(h);
	fail_all(h, INT64_MAX, "the server is stopping");
}

void helper_free(struct helper *h)
{
	if (!h)
		return;
	helper_stop(h);
	loop_timer_done(&h->timer);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
