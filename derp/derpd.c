#include "derp/derpd.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/net/metacert.h"
#include "common/net/notify.h"
#include "common/net/sock.h"
#include "derp/admit_list.h"
#include "derp/admit_url.h"
#include "derp/door.h"
#include "derp/state.h"
#include "derp/status.h"
#include "derp/stun_server.h"

enum { BACKLOG = 4096, POLL_MS = 100, MEMORY_LOOK_MS = 2000 };

/* One thread: accepts for itself (SO_REUSEPORT) and keeps what it accepted. */
struct wire {
	struct loop *loop;
	struct derp_thread *thread;
	struct door *door[OPTIONS_LISTEN_MAX], *door_plain;
	pthread_t id;
	bool running;
};

struct derpd {
	struct mesh_link *mesh[OPTIONS_MESH_MAX];
	const struct derpd_options *o;
	int argc;
	char **argv;
	struct node_key key;
	struct tls_ctx *tls;
	struct relay *relay;
	struct admit_list *allowed;
	struct admit_url *admit_url;
	struct conn_limits door_limits;
	struct addrport listen[OPTIONS_LISTEN_MAX], listen_plain, http; /* as bound: with the port that the kernel chose for 0 */
	struct loop *loop; /* of the main thread: signals, STUN, the plain port */
	struct stun_server *stun, *stun_second;
	struct stun_stats stun_stats;
	struct door *plain, *status;
	struct status_ctx status_ctx;
	char *map_text; /* the derpMap entry */
	struct loop_timer drain, memory_timer;
	struct memory_watch memory;
	int64_t drain_until_ms; /* 0: serving */
	struct wire *wire;
	unsigned n_wires;
};

/* ---- start ------------------------------------------------------------------------------------------------------ */

static err busy(char *why, size_t cap, const char *what, struct addrport at)
{
	char text[ADDRPORT_TEXT_MAX];

	addrport_text(at, text);
	if (errno == EADDRINUSE)
		snprintf(why, cap, "%s: another program has %s", what, text);
	else if (errno == EACCES)
		snprintf(why, cap, "%s: not allowed to use %s (ports below 1024 need CAP_NET_BIND_SERVICE)", what, text);
	else
		snprintf(why, cap, "%s: cannot use %s: %s", what, text, strerror(errno));
	return ERR_SYS;
}

/* Each check that is configured must pass. */
static enum relay_verdict ask(void *ctx, const struct node_pub *key, struct addr from, struct relay_ticket t)
{
	struct derpd *d = ctx;

	if (d->allowed && !admit_list_has(d->allowed, key))
		return RELAY_DENY;
	return d->admit_url ? admit_url_ask(d->admit_url, key, from, t) : RELAY_ALLOW;
}

static err start_tls(struct derpd *d, char *why, size_t why_cap)
{
	CLEANUP(buf_done) struct buf der = buf_make(METACERT_LEN);
	const struct derpd_options *o = d->o;

	if (o->cert_path)
		TRY(tls_server_new(o->cert_path, o->key_path, why, why_cap, &d->tls));
	else
		TRY(state_certificate(o->state_dir, o->hostname, &d->tls, why, why_cap));
	TRY(metacert_make(d->key.pub.b, clock_wall_ms(), &der));
	return tls_server_set_metacert(d->tls, buf_view(&der));
}

static struct relay_limits limits_of(const struct derpd_options *o)
{
	return (struct relay_limits){
		.max_conns = o->max_conns,
		.max_conns_per_addr = o->max_conns_per_addr,
		.max_queued_bytes = o->max_queued_bytes,
		.client_rate = o->client_rate,
		.client_burst = o->client_burst,
		.total_rate = o->total_rate,
	};
}

static err start_relay(struct derpd *d, char *why, size_t why_cap)
{
	struct relay_opts ro = { .key = d->key, .limits = limits_of(d->o), .workers = d->n_wires };

	if (d->o->allow_keys)
		TRY(admit_list_new(d->o->allow_keys, why, why_cap, &d->allowed));
	if (d->o->admit_url) {
		struct admit_url_opts uo = {
			.url = d->o->admit_url,
			.fail_open = !d->o->admit_fail_closed,
			.again_s = d->o->admit_again_s,
		};

		TRY(admit_url_new(&uo, &d->admit_url));
	}
	if (d->allowed || d->admit_url) {
		ro.ask = ask;
		ro.admit_ctx = d;
	}
	ro.has_mesh_key = d->o->has_mesh_key;
	ro.mesh_key = d->o->mesh_key;
	err e = relay_new(&ro, &d->relay);
	secret32_wipe(&ro.key.secret);
	secret32_wipe(&ro.mesh_key);
	if (e == OK && d->admit_url)
		e = admit_url_start(d->admit_url, d->relay);
	return e;
}

/* A port that another program has would be shared with it silently under SO_REUSEPORT: so it is tried alone first. */
static err claim(struct addrport wanted, const char *what, struct addrport *bound, char *why, size_t why_cap)
{
	CLEANUP(closep) int fd = -1;

	if (sock_listen_tcp(wanted, SOCK_DUAL, 1, &fd) != OK)
		return busy(why, why_cap, what, wanted);
	*bound = wanted;
	bound->port = sock_local(fd).port;
	return OK;
}

/* On wire threads and the plain port. */
static bool answer_near(void *ctx, const struct http1_request *r, struct addr from, struct buf *out)
{
	struct derpd *d = ctx;

	return status_answer(&d->status_ctx, r, from, false, out);
}

/* On the socket file, served by the main thread. */
static bool answer_local(void *ctx, const struct http1_request *r, struct addr from, struct buf *out)
{
	struct derpd *d = ctx;

	return status_answer(&d->status_ctx, r, from, true, out);
}

static err start_status(struct derpd *d, char *why, size_t why_cap)
{
	CLEANUP(freep) char *path = status_socket_path(d->o->state_dir);
	struct door_opts o = {
		.loop = d->loop,
		.hostname = d->o->hostname,
		.limits = &d->door_limits,
		.extra = answer_local,
		.extra_ctx = d,
		.out_max = STATUS_OUT_MAX + (64 << 10),
	};

	if (!path)
		return ERR_NOMEM;
	err e = sock_listen_unix(path, 0600, &o.listen_fd);
	if (e != OK) {
		snprintf(why, why_cap, "%s: %s", path, e == ERR_BUSY ? "another relay runs with this --state" : strerror(errno));
		return e;
	}
	return door_new(&o, &d->status);
}

static err open_door(struct derpd *d, struct wire *w, struct addrport at, struct tls_ctx *tls, struct door **out, char *why,
	size_t why_cap)
{
	struct door_opts o = { .loop = w->loop, .thread = w->thread, .tls = tls, .limits = &d->door_limits,
		.extra = answer_near, .extra_ctx = d };

	if (!tls) {
		o.proxies = d->o->proxies;
		o.n_proxies = d->o->n_proxies;
	}
	if (sock_listen_tcp(at, SOCK_DUAL | SOCK_REUSEPORT, BACKLOG, &o.listen_fd) != OK)
		return busy(why, why_cap, "listen", at);
	return door_new(&o, out);
}

static err start_wire(struct derpd *d, struct wire *w, char *why, size_t why_cap)
{
	TRY(loop_new(&w->loop));
	TRY(derp_thread_new(d->relay, w->loop, &w->thread));
	for (size_t i = 0; i < d->o->n_listen; i++)
		TRY(open_door(d, w, d->listen[i], d->tls, &w->door[i], why, why_cap));
	if (d->listen_plain.addr.family)
		TRY(open_door(d, w, d->listen_plain, NULL, &w->door_plain, why, why_cap));
	return OK;
}

static err start_mesh(struct derpd *d)
{
	for (size_t i = 0; i < d->o->n_mesh; i++) {
		struct mesh_link_opts o = {
			.thread = d->wire[i % d->n_wires].thread,
			.target = &d->o->mesh[i],
			.key = &d->key,
			.mesh_key = &d->o->mesh_key,
			.ca_file = d->o->mesh_ca,
		};

		TRY(mesh_link_new(&o, &d->mesh[i]));
	}
	return OK;
}

static err start_stun(struct derpd *d, struct addrport at, struct stun_server **out, char *why, size_t why_cap)
{
	if (!at.addr.family)
		return OK;
	return stun_server_new(d->loop, at, &d->stun_stats, out) == OK ? OK : busy(why, why_cap, "stun", at);
}

static err start_plain(struct derpd *d, char *why, size_t why_cap)
{
	struct door_opts o = { .loop = d->loop, .hostname = d->o->hostname, .limits = &d->door_limits,
		.extra = answer_near, .extra_ctx = d };

	if (!d->o->http.addr.family)
		return OK;
	if (sock_listen_tcp(d->o->http, SOCK_DUAL, BACKLOG, &o.listen_fd) != OK)
		return busy(why, why_cap, "http", d->o->http);
	d->http = d->o->http;
	d->http.port = sock_local(o.listen_fd).port;
	return door_new(&o, &d->plain);
}

static void *run_wire(void *arg)
{
	struct wire *w = arg;

	loop_run(w->loop);
	return NULL;
}

static err start_threads(struct derpd *d)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
	for (unsigned i = 0; i < d->n_wires; i++)
		d->wire[i].running = pthread_create(&d->wire[i].id, NULL, run_wire, &d->wire[i]) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	for (unsigned i = 0; i < d->n_wires; i++)
		if (!d->wire[i].running)
			return ERR_NOMEM;
	return OK;
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static void stop_loops(struct derpd *d)
{
	for (unsigned i = 0; i < d->n_wires; i++)
		if (d->wire[i].running)
			loop_stop(d->wire[i].loop);
	loop_stop(d->loop);
}

static void shut_doors(void *arg)
{
	struct wire *w = arg;

	for (size_t i = 0; i < OPTIONS_LISTEN_MAX && w->door[i]; i++)
		door_shut(w->door[i]);
	if (w->door_plain)
		door_shut(w->door_plain);
}

static void on_drain(struct loop_timer *t)
{
	struct derpd *d = container_of(t, struct derpd, drain);

	if (relay_conns(d->relay) == 0 || loop_now_ms(d->loop) >= d->drain_until_ms)
		stop_loops(d);
	else
		loop_timer_in(t, POLL_MS);
}

static void on_stop(int signo, void *ctx)
{
	struct derpd *d = ctx;

	if (d->drain_until_ms) { /* asked twice */
		stop_loops(d);
		return;
	}
	notify_manager("STOPPING=1");
	log_info("stopping: clients are asked to leave", "signal=%d clients=%u", signo, relay_conns(d->relay));
	d->drain_until_ms = loop_now_ms(d->loop) + DERPD_DRAIN_MAX_MS;
	for (unsigned i = 0; i < d->n_wires; i++)
		if (loop_post(d->wire[i].loop, shut_doors, &d->wire[i]) != OK)
			log_warn("out of memory while stopping", "%s", "");
	if (relay_drain(d->relay, DERPD_DRAIN_SPREAD_MS, DERPD_TRY_FOR_MS) != OK)
		log_warn("out of memory while stopping", "%s", "");
	on_drain(&d->drain);
}

static void reload_limits(struct derpd *d)
{
	struct derpd_options o;
	char why[512] = "";

	if (options_parse(d->argc, d->argv, &o, why, sizeof why) != OK) {
		log_error("the old limits stay", "why=%s", log_qs(why).s);
		return;
	}
	struct relay_limits l = limits_of(&o);

	relay_set_limits(d->relay, &l);
	log_info("limits read again", "max_connections=%u rate_client=%" PRIu64 " rate_total=%" PRIu64, l.max_conns,
		l.client_rate, l.total_rate);
	options_done(&o);
}

static void on_memory(struct loop_timer *t)
{
	struct derpd *d = container_of(t, struct derpd, memory_timer);

	memory_look(&d->memory, loop_now_ms(d->loop));
	loop_timer_in(t, MEMORY_LOOK_MS);
}

static void on_reload(int signo, void *ctx)
{
	struct derpd *d = ctx;
	char why[512] = "";

	(void)signo;
	reload_limits(d);
	if (d->o->cert_path) {
		if (tls_server_reload(d->tls, why, sizeof why) == OK)
			log_info("certificate read again", "file=%s", log_qs(d->o->cert_path).s);
		else
			log_error("the old certificate stays", "why=%s", log_qs(why).s);
	}
	if (d->allowed) {
		if (admit_list_reload(d->allowed, d->relay, why, sizeof why) == OK)
			log_info("key list read again", "file=%s", log_qs(d->o->allow_keys).s);
		else
			log_error("key list not read again", "why=%s", log_qs(why).s);
	}
}

static void raise_file_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static err make_map_text(struct derpd *d)
{
	size_t n = 0;
	FILE *f = open_memstream(&d->map_text, &n);

	if (!f)
		return ERR_NOMEM;
	derpd_print_map(d, f);
	fclose(f);
	d->status_ctx.map = d->map_text;
	return d->map_text ? OK : ERR_NOMEM;
}

static err start_all(struct derpd *d, char *why, size_t why_cap)
{
	const struct derpd_options *o = d->o;

	raise_file_limit();
	TRY(state_key(o->state_dir, &d->key, why, why_cap));
	TRY(start_tls(d, why, why_cap));
	TRY(start_relay(d, why, why_cap));
	d->status_ctx = (struct status_ctx){ .relay = d->relay, .stun = &d->stun_stats, .started_ms = clock_mono_ms() };
	TRY(loop_new(&d->loop));
	loop_timer_init(&d->drain, d->loop, on_drain);
	loop_timer_init(&d->memory_timer, d->loop, on_memory);
	loop_timer_in(&d->memory_timer, MEMORY_LOOK_MS);
	for (size_t i = 0; i < o->n_listen; i++)
		TRY(claim(o->listen[i], "listen", &d->listen[i], why, why_cap));
	if (o->listen_plain.addr.family)
		TRY(claim(o->listen_plain, "listen-plain", &d->listen_plain, why, why_cap));
	for (unsigned i = 0; i < d->n_wires; i++)
		TRY(start_wire(d, &d->wire[i], why, why_cap));
	TRY(start_mesh(d));
	TRY(start_stun(d, o->stun, &d->stun, why, why_cap));
	TRY(start_stun(d, o->stun_second, &d->stun_second, why, why_cap));
	TRY(start_plain(d, why, why_cap));
	TRY(make_map_text(d));
	TRY(traffic_new(d->relay, d->loop, &d->status_ctx.traffic));
	TRY(start_status(d, why, why_cap));
	TRY(loop_on_signal(d->loop, SIGTERM, on_stop, d));
	TRY(loop_on_signal(d->loop, SIGINT, on_stop, d));
	TRY(loop_on_signal(d->loop, SIGHUP, on_reload, d));
	return start_threads(d);
}

err derpd_start(const struct derpd_options *o, int argc, char **argv, char *why, size_t why_cap, struct derpd **out)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct derpd *d = calloc(1, sizeof *d);

	snprintf(why, why_cap, "out of memory");
	if (!d)
		return ERR_NOMEM;
	d->o = o;
	d->argc = argc;
	d->argv = argv;
	d->n_wires = o->threads ? o->threads : cores > 0 && cores < RELAY_WORKERS_MAX ? (unsigned)cores : 1;
	conn_limits_init(&d->door_limits, DOOR_CONNS, DOOR_CONNS_PER_ADDR);
	d->wire = calloc(d->n_wires, sizeof *d->wire);
	err e = d->wire ? start_all(d, why, why_cap) : ERR_NOMEM;
	if (e != OK) {
		derpd_free(d);
		return e;
	}
	*out = d;
	return OK;
}

static void log_listening(const char *what, struct addrport at)
{
	char text[ADDRPORT_TEXT_MAX];

	log_info("listening", "what=%s at=%s", what, addrport_text(at, text));
}

void derpd_run(struct derpd *d)
{
	for (size_t i = 0; i < d->o->n_listen; i++)
		log_listening("derp", d->listen[i]);
	if (d->listen_plain.addr.family)
		log_listening("derp-plain", d->listen_plain);
	if (d->plain)
		log_listening("http", d->http);
	if (d->stun)
		log_listening("stun", stun_server_local(d->stun));
	if (d->stun_second)
		log_listening("stun", stun_server_local(d->stun_second));
	notify_manager("READY=1");
	loop_run(d->loop);
}

void derpd_free(struct derpd *d)
{
	if (!d)
		return;
	for (unsigned i = 0; d->wire && i < d->n_wires; i++) {
		if (!d->wire[i].running)
			continue;
		loop_stop(d->wire[i].loop);
		pthread_join(d->wire[i].id, NULL);
	}
	for (size_t i = 0; i < OPTIONS_MESH_MAX; i++)
		mesh_link_free(d->mesh[i]);
	for (unsigned i = 0; d->wire && i < d->n_wires; i++) {
		for (size_t k = 0; k < OPTIONS_LISTEN_MAX; k++) {
			door_free(d->wire[i].door[k]);
			d->wire[i].door[k] = NULL; /* loop_free may run a shut_doors that was posted */
		}
		door_free(d->wire[i].door_plain);
		d->wire[i].door_plain = NULL;
		if (d->wire[i].thread)
			derp_thread_stop(d->wire[i].thread);
	}
	for (unsigned i = 0; d->wire && i < d->n_wires; i++)
		loop_free(d->wire[i].loop);
	for (unsigned i = 0; d->wire && i < d->n_wires; i++)
		derp_thread_free(d->wire[i].thread);
	free(d->wire);
	stun_server_free(d->stun);
	stun_server_free(d->stun_second);
	door_free(d->plain);
	door_free(d->status);
	traffic_free(d->status_ctx.traffic);
	loop_timer_done(&d->drain);
	loop_timer_done(&d->memory_timer);
	loop_free(d->loop);
	admit_url_free(d->admit_url);
	relay_free(d->relay);
	admit_list_free(d->allowed);
	tls_ctx_free(d->tls);
	conn_limits_done(&d->door_limits);
	free(d->map_text);
	secret32_wipe(&d->key.secret);
	free(d);
}

/* ---- the derpMap entry ------------------------------------------------------------------------------------------ */

static int stun_port(const struct stun_server *s)
{
	unsigned port = s ? stun_server_local(s).port : 0;

	return !s ? -1 : port == 3478 ? 0 : (int)port;
}

static void print_node(const struct derpd *d, const struct stun_server *stun, char suffix, bool stun_only, FILE *to)
{
	const struct derpd_options *o = d->o;
	char hex[65];
	struct addr a;

	fprintf(to, "    {\"Name\": \"%u%c\", \"RegionID\": %u, \"HostName\": \"%s\"", o->region_id, suffix, o->region_id,
		o->hostname);
	if (addr_parse(bytes_str(o->hostname), &a) == OK)
		fprintf(to, ", \"IPv%d\": \"%s\"", a.family, o->hostname);
	if (stun_port(stun))
		fprintf(to, ", \"STUNPort\": %d", stun_port(stun));
	if (stun_only) {
		fprintf(to, ", \"STUNOnly\": true}");
		return;
	}
	if (d->listen[0].port != 443)
		fprintf(to, ", \"DERPPort\": %u", d->listen[0].port);
	if (!o->cert_path) {
		tls_server_cert_sha256(d->tls, hex);
		fprintf(to, ",\n     \"CertName\": \"sha256-raw:%s\"", hex);
	}
	if (d->plain && o->http.port == 80)
		fprintf(to, ", \"CanPort80\": true");
	fprintf(to, "}");
}

void derpd_print_map(const struct derpd *d, FILE *to)
{
	fprintf(to, "{\"Regions\": {\"%u\": {\"RegionID\": %u, \"RegionCode\": \"%s\", \"RegionName\": \"%s\", \"Nodes\": [\n",
		d->o->region_id, d->o->region_id, d->o->region_code, d->o->region_name);
	print_node(d, d->stun, 'a', false, to);
	if (d->stun_second) {
		fputs(",\n", to);
		print_node(d, d->stun_second, 'b', true, to);
	}
	fputs("\n]}}}\n", to);
	fflush(to);
}
