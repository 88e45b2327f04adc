#include "client/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "client/dataplane.h"
#include "client/local.h"
#include "client/netmap_node.h"
#include "client/route/route.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/version.h"
#include "common/net/sock.h"

enum { PATH_LEN = 4096, STATE_SAVE_MS = 1000 };

void daemon_save_soon(struct daemon *d)
{
	if (!loop_timer_armed(&d->state_timer))
		loop_timer_in(&d->state_timer, STATE_SAVE_MS);
}

static void save_now(struct daemon *d)
{
	loop_timer_stop(&d->state_timer);
	if (state_save(d->opts.dir, &d->state) != OK)
		log_error("the state cannot be saved", "dir=%s errno=%d", d->opts.dir, errno);
}

static void on_state_timer(struct loop_timer *t)
{
	save_now(container_of(t, struct daemon, state_timer));
}

static void on_rest_timer(struct loop_timer *t)
{
	(void)t;
	memory_rest();
}

static bool has_node_key(const struct daemon *d)
{
	return !node_pub_is_zero(&d->state.node.pub);
}

/* ---- the netmap's cache -------------------------------------------------------------------------------------------- */

static void cache_path(const struct daemon *d, char out[PATH_LEN])
{
	snprintf(out, PATH_LEN, "%s/netmap.zst", d->opts.dir);
}

/* Compresses as it is written, so that a large netmap never lies there as text. */
struct packer {
	ZSTD_CStream *z;
	struct buf out;
	bool failed;
};

static void pack(struct packer *p, struct bytes b, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = { b.p, b.n, 0 };
	size_t left = 1;

	while (!p->failed && (in.pos < in.size || (how == ZSTD_e_end && left))) {
		size_t room = ZSTD_CStreamOutSize();
		ZSTD_outBuffer to = { buf_reserve(&p->out, room), room, 0 };

		if (to.dst)
			left = ZSTD_compressStream2(p->z, &to, &in, how);
		p->failed = !to.dst || ZSTD_isError(left);
		if (!p->failed)
			buf_commit(&p->out, to.pos);
	}
}

static void take_piece(void *ctx, struct buf *plain)
{
	pack(ctx, buf_view(plain), ZSTD_e_continue);
	buf_clear(plain);
}

static void write_cache(struct daemon *d)
{
	CLEANUP(buf_done) struct buf plain = buf_make(MAP_PLAIN_MAX);
	struct packer p = { .z = ZSTD_createCStream(), .out = buf_make(DAEMON_CACHE_MAX) };
	char path[PATH_LEN];

	p.failed = !p.z || ZSTD_isError(ZSTD_CCtx_setParameter(p.z, ZSTD_c_compressionLevel, 1));
	netmap_write_in_pieces(&d->netmap, &plain, take_piece, &p);
	pack(&p, (struct bytes){ 0 }, ZSTD_e_end);
	cache_path(d, path);
	if (!p.failed && !plain.bad && file_replace(path, 0600, buf_view(&p.out)) != OK)
		log_warn("the network map cannot be cached", "path=%s errno=%d", path, errno);
	d->cached_bytes = MAX_OF(buf_len(&p.out), (size_t)1);
	ZSTD_freeCStream(p.z);
	buf_done(&p.out);
}

static void on_cache_timer(struct loop_timer *t)
{
	write_cache(container_of(t, struct daemon, cache_timer));
}

static void cache_soon(struct daemon *d)
{
	if (loop_timer_armed(&d->cache_timer))
		return;
	int64_t ms = (int64_t)d->cached_bytes / DAEMON_CACHE_BYTES_MS;

	ms = d->cached_bytes ? MIN_OF(MAX_OF(ms, (int64_t)DAEMON_CACHE_MS), (int64_t)DAEMON_CACHE_MAX_MS) : DAEMON_CACHE_SOON_MS;
	loop_timer_in(&d->cache_timer, ms);
}

/* ---- the netmap changes -------------------------------------------------------------------------------------------- */

static void on_peer(void *ctx, const struct nm_node *now, unsigned what, const struct node_pub *was_key)
{
	struct daemon *d = ctx;

	if (d->dp)
		dataplane_peer(d->dp, now, what, was_key);
}

static void on_peer_gone(void *ctx, const struct nm_node *was)
{
	struct daemon *d = ctx;

	if (d->dp)
		dataplane_peer_gone(d->dp, was);
}

static void on_done(void *ctx, unsigned what)
{
	struct daemon *d = ctx;

	if (d->dp)
		dataplane_netmap(d->dp, what);
}

static struct nm_listener listener(struct daemon *d)
{
	return (struct nm_listener){ on_peer, on_peer_gone, on_done, d };
}

static void load_cache(struct daemon *d)
{
	struct nm_listener l = listener(d);
	struct map_scratch *s = map_scratch_new();
	ZSTD_DCtx *z = ZSTD_createDCtx();
	CLEANUP(freep) uint8_t *p = NULL;
	char path[PATH_LEN];
	struct map_update u;
	struct map_why why;
	size_t n;

	cache_path(d, path);
	if (s && z && file_read(path, DAEMON_CACHE_MAX, &p, &n) == OK &&
		map_parse(s, bytes_of(p, n), z, &u, &why) == OK) {
		/* Of another identity: of no use. */
		if (u.self && node_pub_eq(&u.self->key, &d->state.node.pub) &&
			netmap_apply(&d->netmap, &u, true, clock_wall_ms(), &l) == OK)
			d->netmap_is_cached = true;
		else
			map_update_done(&u);
	}
	map_scratch_free(s);
	ZSTD_freeDCtx(z);
}

static void drop_netmap(struct daemon *d)
{
	struct nm_listener l = listener(d);
	char path[PATH_LEN];

	netmap_clear(&d->netmap, &l);
	d->netmap_is_cached = false;
	loop_timer_stop(&d->cache_timer);
	cache_path(d, path);
	unlink(path);
}

/* ---- control speaks ------------------------------------------------------------------------------------------------ */

static void on_state(void *ctx, enum control_state s)
{
	struct daemon *d = ctx;

	log_debug("control", "state=%s error=%s", control_state_name(s), log_qs(control_last_error(d->control)).s);
	if (d->dp)
		dataplane_servers_changed(d->dp);
	local_notify(d->local);
}

static void on_auth_url(void *ctx, const char *url)
{
	struct daemon *d = ctx;

	log_info("to log in, visit", "url=%s", log_qs(url).s);
	local_notify(d->local);
}

static void on_registered(void *ctx, const struct control_login *l)
{
	struct daemon *d = ctx;

	d->state.registered = true;
	d->refused[0] = 0;
	sodium_memzero(d->self.auth_key, sizeof d->self.auth_key);
	if (*l->login_name)
		nm_clean(d->state.login_name, sizeof d->state.login_name - 1, bytes_str(l->login_name));
	save_now(d);
	local_notify(d->local);
}

static void fresh_node_key(struct daemon *d)
{
	d->state.old_node = d->state.node.pub;
	node_key_new(&d->state.node);
	d->state.registered = false;
	save_now(d);
	if (d->dp)
		dataplane_key(d->dp);
}

static bool on_new_key(void *ctx)
{
	struct daemon *d = ctx;

	/* An expired key is renewed by a person or an auth key, never behind their back: this is only called when the server
	 * refuses the present key, and a fresh one still has to be let in. */
	fresh_node_key(d);
	return true;
}

static void on_refused(void *ctx, const char *text)
{
	struct daemon *d = ctx;

	snprintf(d->refused, sizeof d->refused, "%s", text);
	d->refused_at_ms = loop_now_ms(d->loop);
	log_warn("the server refuses", "text=%s", log_qs(text).s);
	local_notify(d->local);
}

static err on_map(void *ctx, struct map_update *u, bool fresh)
{
	struct daemon *d = ctx;
	struct nm_listener l = listener(d);

	TRY(netmap_apply(&d->netmap, u, fresh, loop_wall_ms(d->loop), &l));
	d->netmap_is_cached = false;
	if (fresh)
		loop_timer_in(&d->rest_timer, DAEMON_REST_MS);
	const struct nm_node *self = d->netmap.self;
	if (self->id != d->state.node_id || strcmp(self->stable_id, d->state.stable_id) != 0) {
		d->state.node_id = self->id;
		snprintf(d->state.stable_id, sizeof d->state.stable_id, "%s", self->stable_id);
		daemon_save_soon(d);
	}
	cache_soon(d);
	local_notify(d->local);
	return OK;
}

static void on_logged_out(void *ctx, bool told)
{
	struct daemon *d = ctx;

	if (!told)
		log_warn("the server was not told of the logout", "error=%s", log_qs(control_last_error(d->control)).s);
	sodium_memzero(&d->state.node, sizeof d->state.node);
	disco_key_new(&d->state.disco); /* nobody who knew us follows us */
	d->state.old_node = (struct node_pub){ 0 };
	d->state.registered = false;
	d->state.node_id = 0;
	d->state.stable_id[0] = d->state.login_name[0] = 0;
	d->state.prefs.want_running = false;
	drop_netmap(d);
	save_now(d);
	if (d->dp)
		dataplane_stop(d->dp);
	local_notify(d->local);
}

/* ---- what requests are made of ------------------------------------------------------------------------------------- */

static void read_os(struct control_self *s)
{
	uint8_t *p;
	size_t n;

	if (file_read("/etc/os-release", 64 << 10, &p, &n) != OK)
		return;
	for (struct bytes rest = bytes_of(p, n), line; rest.n;) {
		line = bytes_cut(rest, '\n', &rest);
		struct bytes value, key = bytes_cut(line, '=', &value);

		if (value.n >= 2 && value.p[0] == '"')
			value = bytes_of(value.p + 1, value.n - 2);
		if (bytes_eq_str(key, "ID"))
			nm_clean(s->distro, sizeof s->distro - 1, value);
		else if (bytes_eq_str(key, "VERSION_ID"))
			nm_clean(s->os_version, sizeof s->os_version - 1, value);
	}
	free(p);
}

static void take_prefs(struct daemon *d)
{
	struct prefs *p = &d->state.prefs;
	char name[sizeof d->self.hostname] = "";

	if (*p->hostname)
		snprintf(name, sizeof name, "%s", p->hostname);
	else if (gethostname(name, sizeof name - 1) == 0)
		name[strcspn(name, ".")] = 0;
	snprintf(d->self.hostname, sizeof d->self.hostname, "%s", name);
	d->self.tags = (const char (*)[64])p->tags;
	d->self.n_tags = p->n_tags;
	d->self.shields_up = p->shields_up;
	d->self.routes = p->routes;
	d->self.n_routes = p->n_routes;
	d->self.exit_node = p->advertise_exit;
}

static void init_self(struct daemon *d)
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	crypto_sign_seed_keypair(d->nl.b, secret, d->state.nl_seed.b);
	sodium_memzero(secret, sizeof secret);
	d->self.machine = &d->state.machine;
	d->self.node = &d->state.node;
	d->self.old_node = &d->state.old_node;
	d->self.disco = &d->state.disco.pub;
	d->self.nl = &d->nl;
	snprintf(d->self.version, sizeof d->self.version, "fairlead-%s", fairlead_version);
	read_os(&d->self);
	take_prefs(d);
}

void daemon_endpoints_changed(struct daemon *d)
{
	if (d->self.preferred_derp && d->self.preferred_derp != d->state.last_home) {
		d->state.last_home = d->self.preferred_derp;
		daemon_save_soon(d);
	}
	control_self_changed(d->control);
	control_link_kick(d->link);
}

/* ---- up and down --------------------------------------------------------------------------------------------------- */

/* The data plane first: it has a netmap from the cache, and peers need not wait for the server. */
static err start_running(struct daemon *d)
{
	struct link_server server;

	TRY(link_parse_url(d->state.prefs.login_server, &server));
	snprintf(d->self.host, sizeof d->self.host, "%s", server.host);
	control_link_set_server(d->link, &server);
	if (d->dp)
		TRY(dataplane_start(d->dp));
	control_start(d->control, loop_now_ms(d->loop));
	control_link_kick(d->link);
	return OK;
}

err daemon_up(struct daemon *d, const struct prefs *p, const char *auth_key, bool force_reauth)
{
	struct link_server server;
	bool other_server = strcmp(p->login_server, d->state.prefs.login_server) != 0;

	TRY(link_parse_url(p->login_server, &server));
	if (other_server && has_node_key(d)) {
		sodium_memzero(&d->state.node, sizeof d->state.node);
		d->state.old_node = (struct node_pub){ 0 };
		d->state.registered = false;
		drop_netmap(d);
	}
	d->state.prefs = *p;
	d->state.prefs.want_running = true;
	take_prefs(d);
	d->refused[0] = 0;
	snprintf(d->self.auth_key, sizeof d->self.auth_key, "%s", auth_key);
	int64_t now = loop_wall_ms(d->loop);
	bool expired = d->netmap.self && !nm_is_usable(&d->netmap, d->netmap.self, now);
	if (!has_node_key(d)) {
		node_key_new(&d->state.node);
		if (d->dp)
			dataplane_key(d->dp);
	} else if (force_reauth || expired) {
		fresh_node_key(d);
	}
	save_now(d);
	if (control_state(d->control) == CONTROL_SYNCED && !other_server && !force_reauth && !expired && !*auth_key) {
		control_self_changed(d->control);
		if (d->dp)
			dataplane_netmap(d->dp, NM_ALL);
		control_link_kick(d->link);
		local_notify(d->local);
		return OK;
	}
	return start_running(d);
}

void daemon_set_prefs(struct daemon *d, const struct prefs *p)
{
	d->state.prefs = *p;
	take_prefs(d);
	save_now(d);
	control_self_changed(d->control);
	control_link_kick(d->link);
	if (d->dp)
		dataplane_netmap(d->dp, NM_ALL);
}

void daemon_down(struct daemon *d)
{
	d->state.prefs.want_running = false;
	save_now(d);
	control_stop(d->control);
	control_link_kick(d->link);
	if (d->dp)
		dataplane_stop(d->dp);
	local_notify(d->local);
}

void daemon_logout(struct daemon *d)
{
	if (!has_node_key(d)) {
		on_logged_out(d, true);
		return;
	}
	struct link_server server;
	if (link_parse_url(d->state.prefs.login_server, &server) != OK) {
		on_logged_out(d, false);
		return;
	}
	snprintf(d->self.host, sizeof d->self.host, "%s", server.host);
	control_link_set_server(d->link, &server);
	control_logout(d->control, loop_now_ms(d->loop));
	control_link_kick(d->link);
}

const char *daemon_backend_state(const struct daemon *d)
{
	const struct nm_node *self = d->netmap.self;

	if (!d->state.prefs.want_running)
		return has_node_key(d) ? "Stopped" : "NeedsLogin";
	if (control_state(d->control) == CONTROL_NEEDS_LOGIN)
		return "NeedsLogin";
	if (!self)
		return *d->refused || !has_node_key(d) ? "NeedsLogin" : "NoState";
	if (!nm_is_usable(&d->netmap, self, loop_wall_ms(d->loop)))
		return "NeedsLogin";
	if (!self->machine_authorized)
		return "NeedsMachineAuth";
	if (d->dp && !dataplane_is_ready(d->dp))
		return "Starting";
	return "Running";
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static void on_signal(int signo, void *ctx)
{
	struct daemon *d = ctx;

	log_info("stopping", "signal=%d", signo);
	loop_stop(d->loop);
}

static const struct control_events *events_of(struct daemon *d)
{
	static struct control_events ev = {
		.on_state = on_state,
		.on_auth_url = on_auth_url,
		.on_registered = on_registered,
		.on_new_key = on_new_key,
		.on_refused = on_refused,
		.on_map = on_map,
		.on_logged_out = on_logged_out,
	};

	ev.known = &d->netmap;
	ev.ctx = d;
	return &ev;
}

err daemon_new(const struct daemon_opts *o, struct daemon **out)
{
	struct daemon *d = calloc(1, sizeof *d);
	char why[300] = "";

	if (!d)
		return ERR_NOMEM;
	d->opts = *o;
	if (*o->tun) /* ours pass the tunnel by, whatever routes there are */
		sock_mark_all(ROUTE_MARK);
	netmap_init(&d->netmap);
	err e = loop_new(&d->loop);
	if (e != OK) {
		free(d);
		return e;
	}
	loop_timer_init(&d->cache_timer, d->loop, on_cache_timer);
	loop_timer_init(&d->state_timer, d->loop, on_state_timer);
	loop_timer_init(&d->rest_timer, d->loop, on_rest_timer);
	if (mkdir(o->dir, 0700) != 0 && errno != EEXIST) {
		fprintf(stderr, "fairlead-client: %s: %m\n", o->dir);
		e = ERR_SYS;
	}
	if (e == OK && (e = state_load(o->dir, &d->state, why, sizeof why)) != OK)
		fprintf(stderr, "fairlead-client: %s\n", why);
	if (e == OK) {
		init_self(d);
		e = control_new(&d->self, events_of(d), &d->control);
	}
	if (e == OK)
		e = control_link_new(d->loop, d->control, *o->tun ? ROUTE_MARK : 0, &d->link);
	if (e == OK && (e = local_new(d, o->socket, &d->local)) != OK)
		fprintf(stderr, "fairlead-client: %s: %s\n", o->socket,
			e == ERR_BUSY ? "another daemon is running" : e == ERR_SYS ? strerror(errno) : err_text(e));
	if (e == OK && *o->tun && (e = dataplane_new(d, &d->dp)) != OK)
		fprintf(stderr, "fairlead-client: the tunnel cannot be set up (root or CAP_NET_ADMIN is needed): %s\n", err_text(e));
	if (e == OK)
		e = loop_on_signal(d->loop, SIGTERM, on_signal, d);
	if (e == OK)
		e = loop_on_signal(d->loop, SIGINT, on_signal, d);
	if (e != OK) {
		daemon_free(d);
		return e;
	}
	save_now(d);
	if (has_node_key(d))
		load_cache(d);
	loop_timer_in(&d->rest_timer, DAEMON_REST_MS);
	if (d->state.prefs.want_running && start_running(d) != OK)
		log_error("cannot start", "login_server=%s", log_qs(d->state.prefs.login_server).s);
	*out = d;
	return OK;
}

void daemon_run(struct daemon *d)
{
	loop_run(d->loop);
}

void daemon_free(struct daemon *d)
{
	if (!d)
		return;
	if (d->dp)
		dataplane_stop(d->dp);
	if (loop_timer_armed(&d->cache_timer))
		write_cache(d);
	if (loop_timer_armed(&d->state_timer))
		save_now(d);
	dataplane_free(d->dp);
	local_free(d->local);
	control_link_free(d->link);
	control_free(d->control);
	netmap_done(&d->netmap);
	loop_timer_done(&d->cache_timer);
	loop_timer_done(&d->state_timer);
	loop_timer_done(&d->rest_timer);
	loop_free(d->loop);
	state_wipe(&d->state);
	sodium_memzero(&d->self, sizeof d->self);
	free(d);
}
