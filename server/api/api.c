#include "server/api/api.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "server/api/access.h"
#include "server/api/browser.h"
#include "server/api/events.h"
#include "server/api/handlers.h"
#include "server/api/local.h"
#include "server/api/request.h"
#include "server/api/state.h"
#include "server/api/webhooks.h"
#include "server/api/worker.h"
#include "server/login/login.h"
#include "server/store/audit.h"

/* ---- one request: head, body, key, handler ---- */

static enum MHD_Result continue_request(struct request *r);

/* On the core's release thread: only hands over. */
static void deliver(struct call *call, struct reply *taken)
{
	struct request *r = container_of(call, struct request, call);
	struct api *a = r->api;

	r->reply = taken;
	r->delivered = true;
	MHD_resume_connection(r->conn);
	/* r may be gone from here on. */
	pthread_mutex_lock(&a->lock);
	if (--a->waiting == 0)
		pthread_cond_broadcast(&a->idle);
	pthread_mutex_unlock(&a->lock);
}

bool api_wait_begins(struct request *r)
{
	struct api *a = r->api;

	pthread_mutex_lock(&a->lock);
	bool open = !a->stopping;
	a->waiting += open;
	pthread_mutex_unlock(&a->lock);
	if (open)
		MHD_suspend_connection(r->conn);
	return open;
}

enum MHD_Result ask(struct request *r, struct command *c, reply_handler *next)
{
	if (r->fault) {
		command_free(c);
		return answer_error(r, 400, r->fault);
	}
	struct event *e = c ? event_new(EV_COMMAND) : NULL;
	if (!e) {
		command_free(c);
		return answer_error(r, 500, "out of memory");
	}
	e->command = c;
	e->call = &r->call;
	r->next = next;
	if (!api_wait_begins(r)) {
		event_free(e);
		return answer_error(r, 503, "the server is stopping");
	}
	r->api->cfg.post(r->api->cfg.ctx, e);
	return MHD_YES;
}

enum MHD_Result ask_helper(struct request *r, json_t *request, reply_handler *next)
{
	if (!request)
		return answer_error(r, 500, "out of memory");
	r->next = next;
	if (!api_wait_begins(r)) {
		json_decref(request);
		return answer_error(r, 503, "the server is stopping");
	}
	helper_ask(r->api->cfg.login->helper, request, &r->call);
	return MHD_YES;
}

static struct request *request_new(struct api *a, struct MHD_Connection *conn)
{
	struct request *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->call.deliver = deliver;
	r->api = a;
	r->conn = conn;
	r->arena = arena_make(4 * API_POLICY_BODY_MAX);
	snprintf(r->id, sizeof r->id, "%08x-%08llx", a->boot, (unsigned long long)++a->n_requests & 0xffffffff);
	return r;
}

static enum MHD_Result continue_request(struct request *r)
{
	struct reply *reply = MOVE(r->reply);

	r->delivered = false;
	if (!reply)
		return answer_error(r, 500, "out of memory");
	enum MHD_Result result = r->next(r, reply);
	reply_free(reply);
	return result;
}

static size_t body_max_of(const char *pattern)
{
	if (strcmp(pattern, "/verify") == 0)
		return API_VERIFY_BODY_MAX;
	if (strncmp(pattern, "/api/", 5) != 0)
		return FORM_BODY_MAX;
	if (strncmp(pattern, "/api/v2/oauth/", 14) == 0) /* a form, of somebody unknown */
		return FORM_BODY_MAX;
	bool policy = strstr(pattern, "/policy") || strstr(pattern, "/acl");
	return policy ? API_POLICY_BODY_MAX : API_BODY_MAX;
}

/* The head is complete. Unknown paths are answered at once, whatever body follows. */
static enum MHD_Result on_head(struct api *a, struct MHD_Connection *conn, const char *url, const char *method, void **ctx)
{
	struct request *r = request_new(a, conn);
	bool known = false;

	if (!r)
		return MHD_NO;
	*ctx = r;
	r->is_api = strncmp(url, "/api/", 5) == 0;
	r->v2 = strncmp(url, "/api/v2/", 8) == 0;
	r->route = route_find(r, method, url, &known);
	if (!r->route && strcmp(method, "OPTIONS") == 0 && cors_origin(r))
		return answer_text(r, 204, "text/plain", "");
	if (!r->route)
		return known ? answer_error(r, 405, "this path does not take that method")
			     : answer_error(r, 404, "there is nothing at this path");
	r->body_max = body_max_of(r->route->pattern);
	const char *length = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Content-Length");
	uint64_t announced = 0;
	if (length && (bytes_parse_u64(bytes_str(length), UINT64_MAX, &announced) != OK || announced > r->body_max))
		return answer_error(r, 413, "the body is larger than this call takes");
	/* An answer now ends the connection, for a body may follow: where none does, it waits for the next call. */
	enum MHD_Result answered;
	r->head_checked = announced > 0 || MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Transfer-Encoding");
	if (r->head_checked && !check_head(r, &answered))
		return answered;
	r->body = buf_make(r->body_max);
	return r->head_checked && is_looked_up(r) ? ask_early(r) : MHD_YES;
}

static void drop_body(struct request *r)
{
	r->api->body_bytes -= r->body_counted;
	r->body_counted = 0;
	buf_done(&r->body);
}

/* What does not fit is read and thrown away; begin_request answers. */
static void keep_body(struct request *r, struct bytes data)
{
	if (r->too_big || r->no_room || (r->verdict && !may_send_body(r)))
		return;
	if (!r->trusted) {
		r->no_room = data.n > API_BODIES_MAX - r->api->body_bytes;
		if (r->no_room) {
			drop_body(r);
			return;
		}
		r->body_counted += data.n;
		r->api->body_bytes += data.n;
	}
	buf_append(&r->body, data);
	if (r->body.bad) {
		r->too_big = true;
		drop_body(r);
	}
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
		const char *version, const char *data, size_t *n, void **ctx)
{
	struct request *r = *ctx;

	(void)version;
	if (!r)
		return on_head(cls, conn, url, method, ctx);
	if (r->asks_early && r->delivered) {
		r->asks_early = r->delivered = false;
		r->verdict = MOVE(r->reply);
		if (!r->verdict)
			return MHD_NO;
		/* The daemon shows the head once more when it wakes: the body comes after this. Other versions of it begin with the body. */
		if (!*n)
			return may_send_body(r) ? MHD_YES : begin_request(r);
	}
	if (*n) {
		keep_body(r, bytes_of(data, *n));
		*n = 0;
		return MHD_YES;
	}
	enum MHD_Result answered;
	bool look = !r->head_checked;
	r->head_checked = true;
	if (look && !check_head(r, &answered))
		return answered;
	return r->delivered ? continue_request(r) : begin_request(r);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **ctx, enum MHD_RequestTerminationCode why)
{
	struct request *r = *ctx;

	(void)cls, (void)conn, (void)why;
	if (!r)
		return;
	reply_free(r->reply);
	reply_free(r->verdict);
	json_decref(r->json);
	drop_body(r);
	r->api->exports -= r->exporting;
	buf_done(&r->made);
	arena_done(&r->arena);
	free(r);
	*ctx = NULL;
}

/* ---- the daemon ---- */

err api_new(const struct api_settings *cfg, struct api **out)
{
	struct api *a = calloc(1, sizeof *a);

	if (!a)
		return ERR_NOMEM;
	static struct login nobody; /* without providers and keys: nobody signs in */
	a->cfg = *cfg;
	a->started_ms = clock_wall_ms();
	random_fill(&a->boot, sizeof a->boot);
	if (!a->cfg.login)
		a->cfg.login = &nobody;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->idle, NULL);
	rate_init(&a->requests, cfg->requests_per_s, 2 * cfg->requests_per_s);
	rate_init(&a->guesses, GUESSES_PER_S, GUESSES_BURST);
	rate_init(&a->user_guesses, USER_GUESSES_PER_S, USER_GUESSES_BURST);
	rate_init(&a->failures, cfg->failures_per_s, 10 * cfg->failures_per_s);
	err e = api_workers_new(&a->worker);
	if (e == OK)
		e = event_hub_new(&a->events);
	if (e == OK && cfg->audit)
		e = webhooks_new(&a->cfg, &a->webhooks);
	if (e != OK) {
		api_free(a);
		return e;
	}
	a->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
					     MHD_ALLOW_SUSPEND_RESUME,
			0, NULL, NULL, on_request, a, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT,
			(unsigned)API_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)API_IDLE_S,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(32 * 1024), MHD_OPTION_END);
	if (!a->daemon) {
		api_free(a);
		return ERR_SYS;
	}
	*out = a;
	return OK;
}

err api_add_connection(struct api *a, int fd, struct addrport client, enum api_origin origin)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	socklen_t n = sizeof ss;

	/* The family is how a request learns how it came; front's pairs never have this one. */
	if (origin != API_PUBLIC) {
		local.sun_path[0] = origin == API_METRICS ? 'm' : 'u';
		memcpy(&ss, &local, sizeof local);
	} else if (client.addr.family) {
		n = addrport_to_sockaddr(client, &ss);
	}
	return MHD_add_connection(a->daemon, fd, (struct sockaddr *)&ss, n) == MHD_YES ? OK : ERR_SYS;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	if (a->daemon) {
		/* A suspended connection must be awake before the daemon may stop. */
		pthread_mutex_lock(&a->lock);
		a->stopping = true;
		while (a->waiting)
			pthread_cond_wait(&a->idle, &a->lock);
		pthread_mutex_unlock(&a->lock);
		event_hub_close(a->events);
		MHD_stop_daemon(a->daemon);
	}
	webhooks_free(a->webhooks);
	event_hub_free(a->events);
	api_workers_free(a->worker);
	for (size_t i = 0; i < API_OPENAPIS; i++)
		free(a->openapi[i]);
	rate_done(&a->requests);
	rate_done(&a->guesses);
	rate_done(&a->user_guesses);
	rate_done(&a->failures);
	pthread_cond_destroy(&a->idle);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

void api_changed(struct api *a, const struct audit_row *what)
{
	event_hub_put(a->events, what);
	bool stored = strcmp(what->action, AUDIT_REPORT) != 0 && strcmp(what->action, "online") != 0 && strcmp(what->action, "offline") != 0;
	if (a->webhooks && stored)
		webhooks_wake(a->webhooks);
}

void api_quiet(struct api *a)
{
	if (a)
		webhooks_stop(a->webhooks);
}
