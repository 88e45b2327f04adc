#include "server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/version.h"
#include "common/net/loop.h"
#include "common/net/metacert.h"
#include "common/net/notify.h"
#include "common/net/sock.h"
#include "common/net/tls.h"
#include "common/net/watch.h"
#include "derp/relay.h"
#include "derp/stun_server.h"
#include "server/api/api.h"
#include "server/api/console_page.h"
#include "server/banner.h"
#include "server/config.h"
#include "server/core/admit.h"
#include "server/core/runner.h"
#include "server/derp_fetch.h"
#include "server/derp_region.h"
#include "server/front/front.h"
#include "server/id_token.h"
#include "server/login/refresh.h"
#include "server/policy_file.h"
#include "server/server_keys.h"
#include "server/sources.h"
#include "server/store/audit.h"

enum {
	STOP_WAIT_MS = 1500, /* sessions end politely; the relay goes on that long: a handshake under way costs 5 s if it is cut */
	MEMORY_LOOK_MS = 2000,
	LOGIN_READY_MS = 30000, /* oidc.only_start_if_oidc_is_available */
	LISTENERS_MAX = 32,
	PREFIXES_MAX = 256,
};

/* A configuration in force, with what borrows from it. */
struct generation {
	struct config *cfg;
	struct sources sources;
	struct core_settings settings;
};

/* In the order of starting; stopping goes upwards. */
struct server {
	struct generation start, live; /* of the start; of the last reload, if there was one */
	const struct config *cfg;      /* start.cfg */
	struct loop *loop; /* main thread: signals, the unix socket, STUN */
	struct loop_timer memory_timer;
	struct policy_file *policy_file;
	struct memory_watch memory;
	struct derp_fetch *derp_fetch;
	struct watch *watch; /* of the files that config.toml points at */
	struct store *store;
	struct server_keys keys;
	struct id_tokens *id_tokens;
	struct tls_ctx *tls_files, *tls_self; /* NULL: not used */
	struct core_runner *runner;
	struct relay *relay;
	struct login login;
	struct refresher *refresher;
	struct api *api;
	char *config_text;
	struct limits *limits;
	struct front_listener listeners[LISTENERS_MAX];
	size_t n_listeners;
	struct prefix trusted[PREFIXES_MAX], proxied[PREFIXES_MAX];
	size_t n_trusted, n_proxied;
	struct front_opts front_opts;
	struct front *front;
	int unix_fd;
	struct loop_io *unix_io;
	int metrics_fd;
	struct loop_io *metrics_io;
	struct stun_server *stun[2];
	struct stun_stats stun_stats;
	char why[512]; /* why it could not start, or reload */
};

/* ---- small steps --------------------------------------------------------------------------------------------------- */

static err explain(struct server *s, err e, const char *what)
{
	if (e != OK && !s->why[0])
		snprintf(s->why, sizeof s->why, "%s: %s", what, e == ERR_SYS ? strerror(errno) : err_text(e));
	return e;
}

static void raise_file_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static err parse_prefixes(struct server *s, const struct config_list *list, const char *key, struct prefix *out, size_t *n)
{
	for (size_t i = 0; i < list->n; i++) {
		if (*n == PREFIXES_MAX || prefix_parse(bytes_str(list->s[i]), &out[*n]) != OK) {
			snprintf(s->why, sizeof s->why, "%s: %s: not an address or CIDR (at most %d)", key, list->s[i], PREFIXES_MAX);
			return ERR_INVALID;
		}
		out[*n] = prefix_mask(out[*n]);
		if (out[*n].bits == 0) {
			snprintf(s->why, sizeof s->why, "%s: %s would believe everyone", key, list->s[i]);
			return ERR_INVALID;
		}
		(*n)++;
	}
	return OK;
}

static err add_listeners(struct server *s, const struct config_list *list, const char *key, struct tls_ctx *tls)
{
	for (size_t i = 0; i < list->n; i++) {
		struct front_listener *l = &s->listeners[s->n_listeners];

		if (s->n_listeners == LISTENERS_MAX || sock_parse_listen(bytes_str(list->s[i]), &l->at) != OK) {
			snprintf(s->why, sizeof s->why, "%s: %s: not an address to listen on, like 127.0.0.1:8080 or :443", key, list->s[i]);
			return ERR_INVALID;
		}
		l->tls = tls;
		s->n_listeners++;
	}
	return OK;
}

enum { SERVER_LOG_LINES = 1000 };

/* ---- starting, in order -------------------------------------------------------------------------------------------- */

static void set_log(const struct config *c)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };

	for (int i = 0; i < 4; i++)
		if (strcmp(c->log_level, names[i]) == 0)
			log_set_level((enum log_level)i);
}

static err start_store(struct server *s, struct store_image *image)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	const char *host = s->cfg->derp_server.hostname[0] ? s->cfg->derp_server.hostname
							     : server_url_host(&a, s->cfg->server_url);

	TRY(store_open(s->cfg->database_path, s->why, sizeof s->why, &s->store));
	TRY(explain(s, store_load(s->store, image), "cannot read the database"));
	TRY(server_keys_load(s->store, image, host ? host : "localhost", s->why, sizeof s->why, &s->keys));
	return id_tokens_new(s->store, image, s->cfg->server_url, s->why, sizeof s->why, &s->id_tokens);
}

static err start_tls(struct server *s)
{
	const struct config *c = s->cfg;
	CLEANUP(buf_done) struct buf meta = buf_make(METACERT_LEN);
	bool files = c->tls_cert_path[0] != 0;

	if (files)
		TRY(tls_server_new(c->tls_cert_path, c->tls_key_path, s->why, sizeof s->why, &s->tls_files));
	else if (c->derp_server.listen_addr.n)
		TRY(explain(s, tls_server_new_pem(bytes_str(s->keys.tls_cert_pem), bytes_str(s->keys.tls_key_pem), &s->tls_self),
			"cannot use the self-made certificate"));
	if (c->derp_server.enabled) {
		struct tls_ctx *t = s->tls_files ? s->tls_files : s->tls_self;

		/* Without a certificate of ours an https:// server_url says that a proxy in front ends TLS, for the relay too. */
		if (!t && strncmp(c->server_url, "https://", 8) != 0) {
			snprintf(s->why, sizeof s->why, "%s: the relay needs TLS: set tls_cert_path and tls_key_path, or "
							"derp.server.listen_addr for a self-made certificate",
				c->file);
			return ERR_INVALID;
		}
		if (t) {
			TRY(explain(s, metacert_make(s->keys.derp.pub.b, clock_wall_ms(), &meta), "cannot make the DERP metacert"));
			TRY(explain(s, tls_server_set_metacert(t, buf_view(&meta)), "cannot use the DERP metacert"));
		}
	}
	TRY(add_listeners(s, &c->listen_addr, "listen_addr", s->tls_files));
	return add_listeners(s, &c->derp_server.listen_addr, "derp.server.listen_addr", s->tls_files ? s->tls_files : s->tls_self);
}

static uint16_t first_tls_port(const struct server *s)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		if (s->listeners[i].tls)
			return s->listeners[i].at.port;
	return 443;
}

static char *sign_token(void *ctx, const char *claims)
{
	return id_tokens_sign(ctx, claims);
}

static err make_settings(struct server *s, struct generation *g)
{
	char pin[65] = "";

	if (s->tls_self)
		tls_server_cert_sha256(s->tls_self, pin);
	TRY(sources_load(g->cfg, derp_fetch_texts(s->derp_fetch), pin, first_tls_port(s), s->why, sizeof s->why, &g->sources));
	sources_settings(g->cfg, &g->sources, &g->settings);
	if (strcmp(g->cfg->policy_mode, "file") == 0)
		g->settings.policy_file = g->cfg->policy_path;
	g->settings.sign_token = sign_token;
	g->settings.sign_ctx = s->id_tokens;
	return OK;
}

static void on_key_revoked(void *ctx, const struct node_pub *key)
{
	struct server *s = ctx;

	if (s->relay && relay_close_key(s->relay, key) != OK)
		log_error("could not close a revoked key's relay connections", "cause=\"out of memory\"");
}

static void on_changed(void *ctx, const struct audit_row *what)
{
	struct server *s = ctx;
	struct api *api = __atomic_load_n(&s->api, __ATOMIC_ACQUIRE); /* the core starts first */

	if (api)
		api_changed(api, what);
}

static bool may_relay(void *ctx, const struct node_pub *key, struct addr from)
{
	struct server *s = ctx;

	bool known = admit_has(core_runner_admitted(s->runner), key);
	struct event *e = known ? event_new(EV_AT_RELAY) : NULL;

	(void)from;
	if (e) {
		e->node_key = *key;
		core_post_always(s->runner, e); /* at most one a relay handshake */
	}
	return known || !s->cfg->derp_server.verify_clients;
}

static void limit_caps(const struct config *c, struct limit_caps caps[LIMIT_KINDS])
{
	caps[LIMIT_CONNECTIONS] = (struct limit_caps){ c->limits.max_connections, c->limits.max_connections_per_address };
	caps[LIMIT_HANDSHAKES] = (struct limit_caps){ c->limits.max_handshakes, c->limits.max_handshakes_per_address };
	caps[LIMIT_UNREGISTERED] = (struct limit_caps){ c->limits.max_unregistered_sessions, c->limits.max_unregistered_per_address };
}

/* An office behind one NAT comes back together. */
static void on_recent_addr(void *ctx, struct addr a)
{
	struct server *s = ctx;

	limits_exempt(s->limits, a, clock_mono_ms());
}

static err start_core(struct server *s, struct store_image *image)
{
	struct core_runner_opts o = { .on_revoke = on_key_revoked, .on_changed = on_changed, .on_recent_addr = on_recent_addr, .ctx = s };
	struct limit_caps caps[LIMIT_KINDS];

	limit_caps(s->cfg, caps);
	TRY(explain(s, limits_new(caps, &s->limits), "cannot start"));
	TRY(make_settings(s, &s->start));
	return core_runner_start(&s->start.settings, s->store, image, &o, s->why, sizeof s->why, &s->runner);
}

static unsigned wire_count(const struct config *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return c->wire_threads ? (unsigned)c->wire_threads : cores > 0 ? (unsigned)cores : 1;
}

static struct relay_limits relay_limits_of(const struct config *c)
{
	return (struct relay_limits){
		.max_conns = (uint32_t)c->limits.max_relay_clients,
		.max_queued_bytes = (uint64_t)c->limits.relay_queued_mib << 20,
		.client_rate = (uint64_t)c->limits.relay_rate_client,
		.total_rate = (uint64_t)c->limits.relay_rate_total,
	};
}

static err start_relay(struct server *s)
{
	struct relay_opts o = {
		.key = s->keys.derp,
		.limits = relay_limits_of(s->cfg),
		.workers = wire_count(s->cfg),
		.admit = may_relay,
		.admit_ctx = s,
	};
	err e = s->cfg->derp_server.enabled ? relay_new(&o, &s->relay) : OK;

	sodium_memzero(&o.key, sizeof o.key);
	return explain(s, e, "cannot start the relay");
}

static void post_command(void *ctx, struct event *ev)
{
	struct server *s = ctx;
	struct call *call = ev->call;
	err e = core_post(s->runner, ev);

	if (e != OK && call) {
		struct reply *r = reply_new();

		if (r) {
			r->e = e;
			r->message = e == ERR_CLOSED ? "the server is stopping" : "the server is busy, try again";
		}
		call->deliver(call, r);
	}
}

static err back_up(void *ctx, const char *to, char *why, size_t why_cap)
{
	struct server *s = ctx;

	return store_backup(s->store, to, why, why_cap);
}

static err verify_backup(void *ctx, const char *path, char *why, size_t why_cap)
{
	(void)ctx;
	return store_verify_backup(path, why, why_cap);
}

static err read_audit(void *ctx, const struct audit_query *ask, struct audit_page *out, char *why, size_t why_cap)
{
	struct server *s = ctx;

	return store_audit_read(s->store, ask, out, why, why_cap);
}

static int64_t certificate_ends(void *ctx)
{
	struct server *s = ctx;

	return s->tls_files ? tls_server_cert_ends_ms(s->tls_files) : 0;
}

static err count_audit(void *ctx, const struct audit_query *ask, uint64_t *count, size_t n, char *why, size_t why_cap)
{
	struct server *s = ctx;

	return store_audit_count(s->store, ask, count, n, why, why_cap);
}

static void put_metric(void *ctx, const char *name, uint64_t value, int is_gauge)
{
	buf_printf(ctx, "# TYPE %s %s\n%s %llu\n", name, is_gauge ? "gauge" : "counter", name, (unsigned long long)value);
}

struct relay_metrics {
	struct buf *out;
	char family[64]; /* whose type was told last */
};

/* derper's names where the relay has them, so that its dashboards work. */
static void put_relay_metric(void *ctx, const char *name, uint64_t value, int is_gauge)
{
	struct relay_metrics *m = ctx;
	char family[sizeof m->family];

	snprintf(family, sizeof family, "%.*s", (int)strcspn(name, "{"), name);
	if (strcmp(family, m->family) != 0)
		buf_printf(m->out, "# TYPE derp_%s %s\n", family, is_gauge ? "gauge" : "counter");
	memcpy(m->family, family, sizeof family);
	buf_printf(m->out, "derp_%s %llu\n", name, (unsigned long long)value);
}

static void add_metrics(void *ctx, struct buf *out)
{
	static const char *const kinds[LIMIT_KINDS] = {
		[LIMIT_CONNECTIONS] = "connections", [LIMIT_HANDSHAKES] = "handshakes", [LIMIT_UNREGISTERED] = "unregistered_sessions"
	};
	struct server *s = ctx;
	struct limits_stats l;
	struct front_stats f;
	struct store_stats st;

	limits_stats(s->limits, &l);
	for (size_t i = 0; i < LIMIT_KINDS; i++) {
		buf_printf(out, "fairlead_limited{kind=\"%s\"} %lld\n", kinds[i], (long long)l.now[i]);
		buf_printf(out, "fairlead_shed_total{kind=\"%s\"} %llu\n", kinds[i], (unsigned long long)l.shed[i]);
	}
	front_stats(s->front, &f);
	put_metric(out, "fairlead_accepted_total", f.accepted, 0);
	put_metric(out, "fairlead_http_requests_total", f.http_requests, 0);
	put_metric(out, "fairlead_bad_requests_total", f.bad_heads, 0);
	put_metric(out, "fairlead_ts2021_sessions_total", f.ts2021, 0);
	put_metric(out, "fairlead_ts2021_refused_total", f.ts2021_refused, 0);
	put_metric(out, "fairlead_ts2021_sessions", (uint64_t)f.ts2021_open, 1);
	store_stats(s->store, &st);
	put_metric(out, "fairlead_store_commits_total", st.commits, 0);
	put_metric(out, "fairlead_store_operations_total", st.ops, 0);
	put_metric(out, "fairlead_store_failures_total", st.failures, 0);
	put_metric(out, "fairlead_store_last_commit_microseconds", (uint64_t)st.last_commit_us, 1);
	put_metric(out, "fairlead_store_queued", st.queued, 1);
	put_metric(out, "stun_requests_success", s->stun_stats.success, 0);
	put_metric(out, "stun_requests_not_stun", s->stun_stats.not_stun, 0);
	if (s->relay) {
		struct relay_metrics m = { .out = out };
		struct relay_stats r;

		relay_stats_read(s->relay, &r);
		stats_each(&r, put_relay_metric, &m);
	}
}

static err start_login(struct server *s)
{
	const struct config *c = s->cfg;
	struct login *l = &s->login;

	l->providers = c->oidc_all;
	l->n_providers = c->n_oidc_all;
	l->server_url = c->server_url;
	l->seal = s->keys.web;
	pthread_mutex_init(&l->used.lock, NULL);
	pthread_mutex_init(&l->passkeys_used.lock, NULL);
	TRY(explain(s, helper_start(s->loop, NULL, l->providers, l->n_providers, s->why, sizeof s->why, &l->helper),
		"cannot start fairlead-oidc"));
	for (size_t i = 0; i < l->n_providers; i++)
		if (strncmp(l->providers[i].issuer, "http://", 7) == 0)
			log_warn("this identity provider is reached without TLS: whoever is on the way can sign in as anybody", "provider=%s",
					l->providers[i].name);
	return c->oidc_only_start && c->oidc.issuer[0] ?
		helper_wait_ready(l->helper, c->oidc.name, LOGIN_READY_MS, s->why, sizeof s->why) : OK;
}

static err start_refresher(struct server *s)
{
	bool wanted = false;

	for (size_t i = 0; i < s->login.n_providers; i++)
		wanted |= s->login.providers[i].refresh_ms > 0;
	return wanted ? explain(s, refresher_new(s->loop, &s->login, post_command, s, &s->refresher), "cannot start") : OK;
}

static err start_api(struct server *s)
{
	struct api_settings a = {
		.server_url = s->cfg->server_url,
		.openid_configuration = id_tokens_configuration(s->id_tokens),
		.jwks = id_tokens_jwks(s->id_tokens),
		.login = &s->login,
		.policy_in_file = strcmp(s->cfg->policy_mode, "file") == 0,
		.policy_path = strcmp(s->cfg->policy_mode, "file") == 0 ? s->cfg->policy_path : NULL,
		.ctx = s,
		.post = post_command,
		.metrics = add_metrics,
		.requests_per_s = (double)s->cfg->limits.api_requests_per_second,
		.failures_per_s = (double)s->cfg->limits.api_wrong_keys_per_second,
		.cors_origins = s->cfg->cors_origins.s,
		.n_cors_origins = s->cfg->cors_origins.n,
		.webhooks_private = s->cfg->webhooks_private,
		.issuers_private = s->cfg->issuers_private,
		.database_path = s->cfg->database_path,
		.certificate_ends = certificate_ends,
		.audit = read_audit,
		.audit_count = count_audit,
		.backup = back_up,
		.verify_backup = verify_backup,
		.assets = web_assets,
		.n_assets = web_assets_n,
	};

	s->config_text = config_show(s->cfg);
	a.config_text = s->config_text;
	struct api *api = NULL;
	err e = s->config_text ? api_new(&a, &api) : ERR_NOMEM;
	__atomic_store_n(&s->api, api, __ATOMIC_RELEASE);
	return explain(s, e, "cannot start the API");
}

static err add_http(void *ctx, int fd, struct addrport client)
{
	struct server *s = ctx;

	return api_add_connection(s->api, fd, client, API_PUBLIC);
}

static err start_front(struct server *s)
{
	TRY(parse_prefixes(s, &s->cfg->trusted_proxies, "trusted_proxies", s->trusted, &s->n_trusted));
	TRY(parse_prefixes(s, &s->cfg->proxy_protocol, "proxy_protocol", s->proxied, &s->n_proxied));
	s->front_opts = (struct front_opts){
		.wires = wire_count(s->cfg),
		.listeners = s->listeners,
		.n_listeners = s->n_listeners,
		.trusted_proxies = s->trusted,
		.n_trusted_proxies = s->n_trusted,
		.proxy_protocol = s->proxied,
		.n_proxy_protocol = s->n_proxied,
		.limits = s->limits,
		.core = s->runner,
		.noise = &s->keys.noise,
		.relay = s->relay,
		.add_http = add_http,
		.http_ctx = s,
	};
	return front_start(&s->front_opts, s->why, sizeof s->why, &s->front);
}

static void on_local(struct server *s, int listen_fd, enum api_origin origin)
{
	struct addrport from;
	int fd;

	while (sock_accept(listen_fd, &fd, &from) == OK)
		if (api_add_connection(s->api, fd, from, origin) != OK)
			log_warn("a local connection was refused", "cause=\"too many\"");
	if (errno == EMFILE || errno == ENFILE)
		sock_shed(listen_fd); /* who is not taken from the queue would wake us for ever */
}

static void on_admin(struct loop_io *io, unsigned ready, void *ctx)
{
	struct server *s = ctx;

	(void)io;
	(void)ready;
	on_local(s, s->unix_fd, API_UNIX);
}

static void on_metrics(struct loop_io *io, unsigned ready, void *ctx)
{
	struct server *s = ctx;

	(void)io;
	(void)ready;
	on_local(s, s->metrics_fd, API_METRICS);
}

static err start_metrics(struct server *s)
{
	const char *text = s->cfg->metrics_listen_addr;
	struct addrport at;

	if (!text[0])
		return OK;
	if (sock_parse_listen(bytes_str(text), &at) != OK) {
		snprintf(s->why, sizeof s->why, "metrics_listen_addr: %s: not an address to listen on, like 127.0.0.1:9090", text);
		return ERR_INVALID;
	}
	if (sock_listen_tcp(at, SOCK_DUAL, 64, &s->metrics_fd) != OK) {
		snprintf(s->why, sizeof s->why, "metrics_listen_addr: cannot listen on %s: %s", text,
			errno == EADDRINUSE ? "another program uses that port" : strerror(errno));
		return ERR_SYS;
	}
	TRY(explain(s, loop_io_new(s->loop, s->metrics_fd, on_metrics, s, &s->metrics_io), "cannot start"));
	loop_io_want(s->metrics_io, LOOP_READ);
	return OK;
}

static err start_admin_socket(struct server *s)
{
	const char *path = s->cfg->unix_socket;
	err e = sock_listen_unix(path, (unsigned)s->cfg->unix_socket_permission, &s->unix_fd);

	if (e == ERR_BUSY) {
		snprintf(s->why, sizeof s->why, "another server runs already: it answers on %s", path);
		return e;
	}
	if (e != OK) {
		snprintf(s->why, sizeof s->why, "unix_socket: cannot listen on %s: %s", path, strerror(errno));
		return e;
	}
	TRY(explain(s, loop_io_new(s->loop, s->unix_fd, on_admin, s, &s->unix_io), "cannot start"));
	loop_io_want(s->unix_io, LOOP_READ);
	return OK;
}

static err start_stun(struct server *s)
{
	struct addrport at;

	if (!s->cfg->derp_server.enabled || !s->cfg->derp_server.stun_listen_addr[0])
		return OK;
	if (sock_parse_listen(bytes_str(s->cfg->derp_server.stun_listen_addr), &at) != OK) {
		snprintf(s->why, sizeof s->why, "derp.server.stun_listen_addr: %s: not an address", s->cfg->derp_server.stun_listen_addr);
		return ERR_INVALID;
	}
	for (int i = 0; i < 2; i++) {
		if (i == 1 && !s->cfg->derp_server.stun_second_port)
			break;
		if (i == 1)
			at.port = (uint16_t)s->cfg->derp_server.stun_second_port;
		if (stun_server_new(s->loop, at, &s->stun_stats, &s->stun[i]) != OK) {
			char text[ADDRPORT_TEXT_MAX];

			snprintf(s->why, sizeof s->why, "STUN: cannot listen on UDP %s: %s", addrport_text(at, text),
				errno == EADDRINUSE ? "another program uses that port" : strerror(errno));
			return ERR_SYS;
		}
	}
	return OK;
}

/* ---- signals ------------------------------------------------------------------------------------------------------- */

static void on_terminate(int signo, void *ctx)
{
	struct server *s = ctx;

	log_info("stopping", "signal=%d", signo);
	loop_stop(s->loop);
}

static void generation_done(struct generation *g)
{
	config_free(g->cfg);
	sources_done(&g->sources);
	*g = (struct generation){ 0 };
}

static err generation_load(struct server *s, const char *path, struct generation *g)
{
	TRY(config_load(path, s->why, sizeof s->why, &g->cfg));
	return make_settings(s, g);
}

static struct generation *in_force(struct server *s)
{
	return s->live.cfg ? &s->live : &s->start;
}

/* Without a watch a change waits for SIGHUP. */
static void watch_sources(struct server *s)
{
	const char *paths[SOURCES_PATHS_MAX];
	size_t n = sources_paths(in_force(s)->cfg, paths);

	if (watch_files(s->watch, paths, n) != OK)
		log_warn("changes of files are not noticed by themselves", "cause=%s", log_qs(strerror(errno)).s);
}

/* A file that config.toml points at was written. One that cannot be used changes nothing. */
static void on_sources(void *ctx)
{
	struct server *s = ctx;
	struct generation *g = in_force(s), fresh = { .cfg = g->cfg };

	s->why[0] = 0;
	err e = make_settings(s, &fresh);
	if (e == OK && (e = explain(s, core_runner_reconfigure(s->runner, &fresh.settings), "cannot change the settings")) != OK)
		sources_done(&fresh.sources);
	if (e != OK) {
		log_error("a changed file is not used", "cause=%s", log_qs(s->why).s);
		return;
	}
	sources_done(&g->sources);
	*g = fresh;
	log_info("files read again", "dns_records=%zu derp_regions=%zu", g->sources.n_records, g->sources.derp_map->n_regions);
}

/* Where the relays are only at URLs, clients could not come up before the first answer: the start waits for it. */
static err start_fetch(struct server *s)
{
	TRY(derp_fetch_new(s->loop, on_sources, s, &s->derp_fetch));
	derp_fetch_from(s->derp_fetch, s->cfg, !s->cfg->derp_server.enabled && !s->cfg->derp_paths.n && s->cfg->derp_urls.n);
	return OK;
}

static err start_watch(struct server *s)
{
	TRY(watch_new(s->loop, on_sources, s, &s->watch));
	watch_sources(s);
	return OK;
}

/* SIGHUP: the certificate files always; of the configuration, what can change in a running server. */
static void on_reload(int signo, void *ctx)
{
	struct server *s = ctx;
	struct generation g = { 0 };
	CLEANUP(freep) char *fixed = NULL;
	struct limit_caps caps[LIMIT_KINDS];

	(void)signo;
	s->why[0] = 0;
	if (s->tls_files && tls_server_reload(s->tls_files, s->why, sizeof s->why) != OK)
		log_error("the certificate stays as it was", "cause=%s", log_qs(s->why).s);
	s->why[0] = 0;
	err e = generation_load(s, s->start.cfg->file, &g);
	if (e == OK)
		e = explain(s, core_runner_reconfigure(s->runner, &g.settings), "cannot change the settings");
	if (e != OK) {
		log_error("the configuration stays as it was", "cause=%s", log_qs(s->why).s);
		generation_done(&g);
		return;
	}
	set_log(g.cfg);
	limit_caps(g.cfg, caps);
	limits_set(s->limits, caps);
	if (s->relay) {
		struct relay_limits l = relay_limits_of(g.cfg);

		relay_set_limits(s->relay, &l);
	}
	fixed = config_needs_restart(s->start.cfg, g.cfg);
	if (fixed && fixed[0])
		log_warn("these keys changed, but need a restart", "keys=%s", log_qs(fixed).s);
	generation_done(&s->live);
	s->live = g;
	watch_sources(s);
	derp_fetch_from(s->derp_fetch, g.cfg, false);
	log_info("configuration reloaded", "file=%s", log_qs(g.cfg->file).s);
}

/* ---- all of it ----------------------------------------------------------------------------------------------------- */

static err start_signals(struct server *s)
{
	TRY(loop_on_signal(s->loop, SIGTERM, on_terminate, s));
	TRY(loop_on_signal(s->loop, SIGINT, on_terminate, s));
	return loop_on_signal(s->loop, SIGHUP, on_reload, s);
}

static void on_memory(struct loop_timer *t)
{
	struct server *s = container_of(t, struct server, memory_timer);

	memory_look(&s->memory, loop_now_ms(s->loop));
	loop_timer_in(t, MEMORY_LOOK_MS);
}

static void watch_memory(struct server *s)
{
	loop_timer_init(&s->memory_timer, s->loop, on_memory);
	loop_timer_in(&s->memory_timer, MEMORY_LOOK_MS);
}

static err start_policy_file(struct server *s)
{
	if (!s->start.settings.policy_file)
		return OK;
	err e = policy_file_start(s->loop, s->start.settings.policy_file, post_command, s, s->why, sizeof s->why, &s->policy_file);
	return explain(s, e, "cannot read the policy's file");
}

static err server_start(struct server *s, const char *config_path)
{
	CLEANUP(store_image_done) struct store_image image = { 0 };

	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	memory_settle();
	TRY(config_load(config_path, s->why, sizeof s->why, &s->start.cfg));
	s->cfg = s->start.cfg;
	set_log(s->cfg);
	log_keep(SERVER_LOG_LINES); /* for Logs › Server of the console */
	TRY(explain(s, loop_new(&s->loop), "cannot make an event loop"));
	watch_memory(s);
	TRY(start_store(s, &image));
	TRY(start_tls(s));
	TRY(explain(s, start_fetch(s), "cannot start"));
	TRY(start_core(s, &image));
	TRY(start_relay(s));
	TRY(start_login(s));
	TRY(start_policy_file(s));
	TRY(start_api(s));
	TRY(start_refresher(s));
	TRY(start_stun(s));
	TRY(start_admin_socket(s));
	TRY(start_front(s));
	TRY(start_metrics(s));
	TRY(explain(s, start_watch(s), "cannot watch files"));
	return explain(s, start_signals(s), "cannot take signals");
}

static void server_stop(struct server *s)
{
	policy_file_stop(s->policy_file);
	watch_free(s->watch);
	derp_fetch_free(s->derp_fetch);
	loop_io_close(s->metrics_io);
	if (s->metrics_fd >= 0)
		close(s->metrics_fd);
	loop_io_close(s->unix_io);
	if (s->unix_fd >= 0) {
		close(s->unix_fd);
		unlink(s->cfg->unix_socket);
	}
	front_stop(s->front, STOP_WAIT_MS);
	api_quiet(s->api);
	core_runner_stop(s->runner); /* answers what waits */
	refresher_stop(s->refresher);
	helper_stop(s->login.helper); /* it answers no more */
	api_free(s->api);
	helper_free(s->login.helper);
	front_free(s->front);
	for (int i = 0; i < 2; i++)
		stun_server_free(s->stun[i]);
	relay_free(s->relay);
	store_stop(s->store); /* writes what is queued, and tells the runner */
	core_runner_free(s->runner);
	limits_free(s->limits);
	tls_ctx_free(s->tls_files);
	tls_ctx_free(s->tls_self);
	server_keys_done(&s->keys);
	id_tokens_free(s->id_tokens);
	if (s->loop)
		loop_timer_done(&s->memory_timer);
	loop_free(s->loop); /* runs what was posted */
	policy_file_free(s->policy_file); /* what it still had under way came back to it */
	refresher_free(s->refresher);
	free(s->config_text);
	generation_done(&s->live);
	generation_done(&s->start);
}

int server_main(const char *config_path)
{
	struct server s = { .unix_fd = -1, .metrics_fd = -1 };
	err e = server_start(&s, config_path);

	if (e != OK) {
		fprintf(stderr, "fairlead: %s\n", s.why[0] ? s.why : err_text(e));
		server_stop(&s);
		return 1;
	}
	banner_print(&(struct banner){
		.cfg = s.cfg, .listeners = s.listeners, .n_listeners = s.n_listeners, .self_made = s.tls_self != NULL });
	notify_manager("READY=1");
	loop_run(s.loop);
	notify_manager("STOPPING=1");
	server_stop(&s);
	return 0;
}
