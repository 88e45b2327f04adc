#include "client/local.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/dataplane.h"
#include "common/base/cleanup.h"
#include "common/base/version.h"
#include "common/net/sock.h"
#include "common/text/json.h"
#include "common/text/jsonw.h"

enum { PIECE = 64 << 10 /* of a long answer, made when the one before is on its way */, READ_STEP = 4096, LINE_DEPTH = 8, WHY_MAX = 300 };

enum waits { NOTHING, FOR_RUNNING, FOR_UP, FOR_LOGOUT, FOR_PING, FOR_NETCHECK };

struct client {
	struct client *next;
	struct local *local;
	int fd;
	struct loop_io *io;
	struct buf in, out;
	enum waits waits;
	uint64_t ping;
	/* A status under way: the peers that are still to be told, and where the text stands. */
	int64_t *peers; /* owned; NULL: none under way */
	size_t n_peers, at_peer;
	struct jsonw status;
	char told_url[MAP_URL_MAX], told_state[32], told_refused[CONTROL_TEXT_MAX];
	bool gone;
};

struct local {
	struct daemon *d;
	int fd;
	char *path;
	struct loop_io *io;
	struct client *clients;
	unsigned n;
	struct loop_post reap, notify;
	bool reaping, notifying;
};

/* ---- answers ------------------------------------------------------------------------------------------------------- */

/* A line is one object: begin, members, end. */
static struct jsonw line_begin(struct client *c)
{
	struct jsonw w = jsonw_init(&c->out);

	jsonw_obj(&w);
	return w;
}

static void line_end(struct client *c, struct jsonw *w, bool done)
{
	if (done)
		jsonw_key(w, "done"), jsonw_bool(w, true);
	jsonw_obj_end(w);
	buf_append_u8(&c->out, '\n');
	if (done)
		c->waits = NOTHING;
}

static void answer_error(struct client *c, const char *why)
{
	struct jsonw w = line_begin(c);

	jsonw_key(&w, "error"), jsonw_str(&w, why);
	line_end(c, &w, true);
}

static void answer_ok(struct client *c)
{
	struct jsonw w = line_begin(c);

	line_end(c, &w, true);
}

static void put_addresses(struct jsonw *w, const struct nm_node *n)
{
	char text[ADDR_TEXT_MAX];

	jsonw_arr(w);
	for (size_t i = 0; n && i < n->n_addresses; i++)
		jsonw_str(w, addr_text(n->addresses[i].addr, text));
	jsonw_arr_end(w);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------- */

/* What an `up` shows while it waits. */
static void tell_progress(struct client *c)
{
	struct daemon *d = c->local->d;
	const char *state = daemon_backend_state(d), *url = control_auth_url(d->control);

	if (strcmp(state, c->told_state) != 0) {
		struct jsonw w = line_begin(c);

		snprintf(c->told_state, sizeof c->told_state, "%s", state);
		jsonw_key(&w, "state"), jsonw_str(&w, state);
		line_end(c, &w, false);
	}
	if (*url && strcmp(url, c->told_url) != 0) {
		struct jsonw w = line_begin(c);

		snprintf(c->told_url, sizeof c->told_url, "%s", url);
		jsonw_key(&w, "auth_url"), jsonw_str(&w, url);
		line_end(c, &w, false);
	}
}

static void tell_running(struct client *c)
{
	struct daemon *d = c->local->d;
	struct jsonw w = line_begin(c);

	jsonw_key(&w, "ips"), put_addresses(&w, d->netmap.self);
	jsonw_key(&w, "name"), jsonw_str(&w, d->netmap.self ? d->netmap.self->name : "");
	jsonw_key(&w, "home"), jsonw_int(&w, d->self.preferred_derp);
	const struct tailcfg_derp_region *home =
		d->netmap.derp && d->self.preferred_derp ? tailcfg_derp_region_by_id(d->netmap.derp, d->self.preferred_derp) : NULL;

	jsonw_key(&w, "relay"), jsonw_str(&w, home ? home->region_code : "");
	jsonw_key(&w, "udp_blocked"), jsonw_bool(&w, d->self.has_report && !d->self.udp);
	jsonw_key(&w, "peers"), jsonw_int(&w, (int64_t)d->netmap.peers.n);
	line_end(c, &w, true);
}

static void check(struct client *c)
{
	struct daemon *d = c->local->d;
	bool running = strcmp(daemon_backend_state(d), "Running") == 0 && control_state(d->control) == CONTROL_SYNCED;

	switch (c->waits) {
	case NOTHING:
	case FOR_PING:
	case FOR_NETCHECK:
		return;
	case FOR_RUNNING:
		if (running)
			tell_running(c);
		return;
	case FOR_LOGOUT:
		if (!d->state.prefs.want_running && node_pub_is_zero(&d->state.node.pub))
			answer_ok(c);
		return;
	case FOR_UP:
		tell_progress(c);
		if (*d->refused) {
			answer_error(c, d->refused);
			return;
		}
		if (!d->state.prefs.want_running) {
			answer_error(c, "taken down meanwhile");
			return;
		}
		if (running)
			tell_running(c);
		return;
	}
}

static void push(struct client *c);

static void on_notify(struct loop_post *p)
{
	struct local *l = container_of(p, struct local, notify);

	l->notifying = false;
	for (struct client *c = l->clients; c; c = c->next)
		if (!c->gone) {
			check(c);
			push(c);
		}
}

void local_notify(struct local *l)
{
	if (!l || l->notifying)
		return;
	l->notifying = true;
	loop_defer_node(l->d->loop, &l->notify);
}

void local_ping_result(struct local *l, uint64_t id, bool lost, int64_t latency_us, struct addrport via, int region)
{
	char text[ADDRPORT_TEXT_MAX];

	for (struct client *c = l->clients; c; c = c->next) {
		if (c->gone || c->waits != FOR_PING || c->ping != id)
			continue;
		struct jsonw w = line_begin(c);
		const struct tailcfg_derp_region *r =
			l->d->netmap.derp && region ? tailcfg_derp_region_by_id(l->d->netmap.derp, region) : NULL;

		jsonw_key(&w, "ping"), jsonw_obj(&w);
		jsonw_key(&w, "lost"), jsonw_bool(&w, lost);
		jsonw_key(&w, "latency_us"), jsonw_int(&w, latency_us);
		jsonw_key(&w, "endpoint"), jsonw_str(&w, via.addr.family ? addrport_text(via, text) : "");
		jsonw_key(&w, "derp"), jsonw_str(&w, r ? r->region_code : "");
		jsonw_obj_end(&w);
		line_end(c, &w, true);
		push(c);
	}
}

void local_netcheck_done(struct local *l)
{
	for (struct client *c = l->clients; c; c = c->next) {
		if (c->gone || c->waits != FOR_NETCHECK)
			continue;
		struct jsonw w = line_begin(c);

		jsonw_key(&w, "netcheck"), dataplane_write_netcheck(l->d->dp, &w);
		line_end(c, &w, true);
		push(c);
	}
}

/* ---- commands ------------------------------------------------------------------------------------------------------ */

/* The peers there are now, so that the answer can be made piece by piece while the netmap changes. False: no memory. */
static bool list_peers(struct client *c)
{
	const struct netmap *nm = &c->local->d->netmap;
	const struct nm_node *n;

	c->peers = malloc((nm->peers.n + 1) * sizeof *c->peers);
	c->n_peers = c->at_peer = 0;
	for (size_t at = 0; c->peers && (n = netmap_next(nm, &at));)
		c->peers[c->n_peers++] = n->id;
	return c->peers;
}

static void do_status(struct client *c, const struct json_at *q)
{
	struct daemon *d = c->local->d;
	bool peers = json_bool(q, "peers", true);

	if (peers && !list_peers(c)) {
		answer_error(c, err_text(ERR_NOMEM));
		return;
	}
	c->status = line_begin(c);
	jsonw_key(&c->status, "status"), status_write_begin(d, &c->status, peers);
	if (peers)
		return; /* more_status goes on */
	status_write_end(d, &c->status, false);
	line_end(c, &c->status, true);
}

static void more_status(struct client *c)
{
	struct daemon *d = c->local->d;

	while (c->at_peer < c->n_peers && buf_len(&c->out) < PIECE) {
		const struct nm_node *n = netmap_peer(&d->netmap, c->peers[c->at_peer++]);

		if (n)
			status_write_peer(d, &c->status, n);
	}
	if (c->at_peer < c->n_peers)
		return;
	free(MOVE(c->peers));
	status_write_end(d, &c->status, true);
	line_end(c, &c->status, true);
}

static void do_prefs(struct client *c, const struct json_at *q)
{
	struct jsonw w = line_begin(c);

	(void)q;
	jsonw_key(&w, "prefs"), prefs_write(&w, &c->local->d->state.prefs);
	line_end(c, &w, true);
}

static bool take_prefs(struct client *c, const struct json_at *q, struct prefs *p)
{
	struct json_at at = json_member(q, "prefs");

	*p = c->local->d->state.prefs;
	if (json_is_set(&at))
		prefs_read(&at, p);
	if (at.why->e != OK) {
		answer_error(c, at.why->text);
		return false;
	}
	const struct netmap *nm = &c->local->d->netmap;
	if (*p->exit_node && strcmp(p->exit_node, c->local->d->state.prefs.exit_node) != 0 && nm->self &&
		!netmap_exit_node(nm, bytes_str(p->exit_node))) {
		answer_error(c, netmap_find(nm, bytes_str(p->exit_node)) ? "that node offers no exit node, or an administrator has not approved it"
									 : "no such exit node");
		return false;
	}
	return true;
}

static void do_up(struct client *c, const struct json_at *q)
{
	struct daemon *d = c->local->d;
	struct prefs p;

	if (!take_prefs(c, q, &p))
		return;
	err e = daemon_up(d, &p, json_str(q, "auth_key", sizeof d->self.auth_key - 1), json_bool(q, "force_reauth", false));
	if (e != OK) {
		answer_error(c, e == ERR_INVALID ? "the login server must be http://host[:port] or https://host[:port]" : err_text(e));
		return;
	}
	c->waits = FOR_UP;
	c->told_state[0] = c->told_url[0] = 0;
	check(c);
}

static void do_set(struct client *c, const struct json_at *q)
{
	struct prefs p;

	if (!take_prefs(c, q, &p))
		return;
	daemon_set_prefs(c->local->d, &p);
	answer_ok(c);
}

static void do_down(struct client *c, const struct json_at *q)
{
	(void)q;
	daemon_down(c->local->d);
	answer_ok(c);
}

static void do_logout(struct client *c, const struct json_at *q)
{
	(void)q;
	c->waits = FOR_LOGOUT;
	daemon_logout(c->local->d);
	check(c);
}

static void do_wait(struct client *c, const struct json_at *q)
{
	(void)q;
	c->waits = FOR_RUNNING;
	check(c);
}

static void do_ping(struct client *c, const struct json_at *q)
{
	struct daemon *d = c->local->d;
	const struct nm_node *n = netmap_find(&d->netmap, json_bytes(q, "peer", NM_TEXT_MAX));

	if (!n || n == d->netmap.self) {
		answer_error(c, n ? "that is this machine" : "no such peer");
		return;
	}
	if (!d->state.prefs.want_running) {
		answer_error(c, "not connected: run up first");
		return;
	}
	if (!d->dp || dataplane_ping(d->dp, &n->key, &c->ping) != OK) {
		answer_error(c, d->dp ? "there is no way to it yet" : "this daemon has no data plane");
		return;
	}
	c->waits = FOR_PING;
}

static void do_netcheck(struct client *c, const struct json_at *q)
{
	struct daemon *d = c->local->d;

	(void)q;
	if (!d->dp || dataplane_netcheck(d->dp) != OK)
		answer_error(c, "not connected: run up first");
	else
		c->waits = FOR_NETCHECK;
}

static void do_debug(struct client *c, const struct json_at *q)
{
	struct daemon *d = c->local->d;
	struct bytes what = json_bytes(q, "what", 32);

	if (bytes_eq_str(what, "paths") && !d->dp) {
		answer_error(c, "this daemon has no data plane");
		return;
	}
	struct jsonw w = line_begin(c);
	jsonw_key(&w, "debug");
	if (bytes_eq_str(what, "netmap"))
		netmap_write(&d->netmap, &c->out), w.comma = true;
	else if (bytes_eq_str(what, "filter"))
		netmap_write_rules(&d->netmap, &w);
	else if (bytes_eq_str(what, "paths"))
		dataplane_write_paths(d->dp, &w);
	else
		jsonw_null(&w);
	line_end(c, &w, true);
}

static void do_version(struct client *c, const struct json_at *q)
{
	struct jsonw w = line_begin(c);

	(void)q;
	jsonw_key(&w, "version"), jsonw_str(&w, fairlead_version);
	line_end(c, &w, true);
}

static const struct {
	const char *name;
	void (*run)(struct client *c, const struct json_at *q);
} commands[] = {
	{ "status", do_status }, { "prefs", do_prefs }, { "up", do_up }, { "set", do_set }, { "down", do_down },
	{ "logout", do_logout }, { "wait", do_wait }, { "ping", do_ping }, { "netcheck", do_netcheck },
	{ "debug", do_debug }, { "version", do_version },
};

static void on_line(struct client *c, struct bytes line)
{
	struct json_why why = { 0 };
	json_t *v;

	if (json_parse_why(line, LOCAL_LINE_MAX, LINE_DEPTH, &v, &why) != OK) {
		answer_error(c, why.text);
		return;
	}
	struct json_at root = json_root(v, &why);
	struct bytes cmd = json_bytes(&root, "cmd", 32);
	size_t i = 0;

	while (i < ARRAY_LEN(commands) && !bytes_eq_str(cmd, commands[i].name))
		i++;
	if (i == ARRAY_LEN(commands))
		answer_error(c, "no such command");
	else
		commands[i].run(c, &root);
	json_decref(v);
}

/* ---- sockets ------------------------------------------------------------------------------------------------------- */

static void on_reap(struct loop_post *p)
{
	struct local *l = container_of(p, struct local, reap);

	l->reaping = false;
	for (struct client **at = &l->clients; *at;) {
		struct client *c = *at;

		if (!c->gone) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		loop_io_close(c->io);
		close(c->fd);
		buf_done(&c->in);
		buf_done(&c->out);
		free(c->peers);
		free(c);
		l->n--;
	}
}

static void drop(struct client *c)
{
	struct local *l = c->local;

	c->gone = true;
	c->waits = NOTHING;
	loop_io_want(c->io, 0);
	if (!l->reaping) {
		l->reaping = true;
		loop_defer_node(l->d->loop, &l->reap);
	}
}

static void push(struct client *c)
{
	if (c->gone)
		return;
	if (c->out.bad) {
		drop(c);
		return;
	}
	while (c->peers || buf_len(&c->out)) {
		if (c->peers && buf_len(&c->out) < PIECE)
			more_status(c);
		ssize_t n = write(c->fd, buf_view(&c->out).p, buf_len(&c->out));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			drop(c);
			return;
		}
		if (n < 0)
			break;
		buf_consume(&c->out, (size_t)n);
	}
	loop_io_want(c->io, LOOP_READ | (buf_len(&c->out) ? LOOP_WRITE : 0));
	buf_release(&c->out);
}

static void pull(struct client *c)
{
	for (;;) {
		uint8_t *p = buf_reserve(&c->in, READ_STEP);
		ssize_t n = p ? read(c->fd, p, READ_STEP) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			drop(c);
			return;
		}
		buf_commit(&c->in, (size_t)n);
	}
}

/* One after the other: the next is looked at when the answer to the one before is complete. */
static void take_lines(struct client *c)
{
	while (!c->peers && !c->gone) {
		struct bytes all = buf_view(&c->in);
		const uint8_t *end = all.n ? memchr(all.p, '\n', all.n) : NULL;

		if (!end)
			break;
		struct bytes line = bytes_first(all, (size_t)(end - all.p));
		on_line(c, line);
		if (all.p)
			sodium_memzero((void *)(uintptr_t)all.p, line.n); /* there may be an auth key in it */
		buf_consume(&c->in, line.n + 1);
	}
}

static void on_client(struct loop_io *io, unsigned ready, void *ctx)
{
	struct client *c = ctx;

	(void)io;
	if (c->gone)
		return;
	if (ready & (LOOP_READ | LOOP_HANGUP))
		pull(c);
	do {
		take_lines(c);
		push(c);
	} while (!c->gone && !c->peers && buf_len(&c->in) && memchr(buf_view(&c->in).p, '\n', buf_len(&c->in)));
}

static void on_accept(struct loop_io *io, unsigned ready, void *ctx)
{
	struct local *l = ctx;
	int fd;

	(void)io;
	(void)ready;
	while (sock_accept(l->fd, &fd, NULL) == OK) {
		struct client *c = l->n < LOCAL_CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;

		if (!c || loop_io_new(l->d->loop, fd, on_client, c, &c->io) != OK) {
			free(c);
			close(fd);
			continue;
		}
		c->local = l;
		c->fd = fd;
		c->in = buf_make(LOCAL_LINE_MAX + READ_STEP);
		c->out = buf_make(LOCAL_OUT_MAX);
		c->next = l->clients;
		l->clients = c;
		l->n++;
		loop_io_want(c->io, LOOP_READ);
	}
}

err local_new(struct daemon *d, const char *path, struct local **out)
{
	struct local *l = calloc(1, sizeof *l);

	if (!l)
		return ERR_NOMEM;
	*l = (struct local){ .d = d, .fd = -1, .path = bytes_dup(bytes_str(path)), .reap = { .fn = on_reap },
		.notify = { .fn = on_notify } };
	err e = l->path ? sock_listen_unix(path, 0660, &l->fd) : ERR_NOMEM;
	if (e == OK)
		e = loop_io_new(d->loop, l->fd, on_accept, l, &l->io);
	if (e != OK) {
		if (l->fd >= 0)
			close(l->fd);
		free(l->path);
		free(l);
		return e;
	}
	loop_io_want(l->io, LOOP_READ);
	*out = l;
	return OK;
}

void local_free(struct local *l)
{
	if (!l)
		return;
	for (struct client *c = l->clients; c; c = c->next)
		c->gone = true;
	on_reap(&l->reap);
	loop_defer_cancel(l->d->loop, &l->reap);
	loop_defer_cancel(l->d->loop, &l->notify);
	loop_io_close(l->io);
	close(l->fd);
	unlink(l->path);
	free(l->path);
	free(l);
}
