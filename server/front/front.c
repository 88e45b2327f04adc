#include "server/front/front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/net/sock.h"
#include "derp/conn.h"
#include "derp/relay.h"
#include "server/front/wire.h"

enum {
	BACKLOG = 4096,
	WIRE_HANDSHAKES_US = 2000, /* a turn: a flood of them does not keep sessions and relayed packets waiting for longer */
};

struct front {
	struct front_opts opts;
	struct front_counters counters;
	unsigned n;
	struct wire wires[];
};

static void *wire_main(void *arg)
{
	struct wire *w = arg;

	loop_run(w->loop);
	return NULL;
}

/* An IPv6 wildcard takes IPv4 as well, unless the configuration names the IPv4 one beside it. */
static unsigned dual_unless_named(const struct front_opts *o, const struct front_listener *at)
{
	for (size_t i = 0; i < o->n_listeners; i++) {
		struct addrport other = o->listeners[i].at;

		if (other.port == at->at.port && other.addr.family == 4 && addr_is_unspecified(other.addr))
			return 0;
	}
	return SOCK_DUAL;
}

static err open_listener(struct front *f, const struct front_listener *at, char *why, size_t cap)
{
	/* One socket a wire; the kernel spreads connections over them. The first bind finds out whether the port is free. */
	unsigned dual = dual_unless_named(&f->opts, at), flags = dual | (f->n > 1 ? SOCK_REUSEPORT : 0);
	char text[ADDRPORT_TEXT_MAX];

	for (unsigned i = 0; i < f->n; i++) {
		int fd;
		err e;

		if (i == 0 && f->n > 1) { /* SO_REUSEPORT would let a second server of ours bind beside this one */
			int probe;

			e = sock_listen_tcp(at->at, dual, 1, &probe);
			if (e == OK)
				close(probe);
		} else {
			e = OK;
		}
		if (e == OK)
			e = sock_listen_tcp(at->at, flags, BACKLOG, &fd);
		if (e != OK) {
			addrport_text(at->at, text);
			if (errno == EADDRINUSE)
				snprintf(why, cap, "cannot listen on %s: another program uses that port", text);
			else if (errno == EACCES)
				snprintf(why, cap, "cannot listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE", text);
			else if (errno == EADDRNOTAVAIL)
				snprintf(why, cap, "cannot listen on %s: this machine does not have that address", text);
			else
				snprintf(why, cap, "cannot listen on %s: %s", text, strerror(errno));
			return ERR_SYS;
		}
		TRY(wire_listen(&f->wires[i], fd, at));
	}
	return OK;
}

void front_free(struct front *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < f->n; i++)
		if (f->wires[i].derp)
			derp_thread_stop(f->wires[i].derp);
	for (unsigned i = 0; i < f->n; i++) {
		struct wire *w = &f->wires[i];

		if (!w->loop)
			continue;
		wire_unlisten(w);
		loop_timer_done(&w->stop_timer);
		loop_share_done(&w->handshakes);
		loop_free(w->loop);
		derp_thread_free(w->derp);
		buf_done(&w->plain);
		buf_done(&w->message);
		buf_done(&w->sealed);
	}
	free(f);
}

/* Runs on the wire's own loop. */
static void stop_hard(struct loop_timer *t)
{
	struct wire *w = container_of(t, struct wire, stop_timer);

	list_each_safe(it, &w->members)
	{
		struct wire_member *m = container_of(it, struct wire_member, in_wire);

		m->stop(m, true);
	}
	loop_stop(w->loop);
}

static void stop_politely(void *arg)
{
	struct wire *w = arg;

	w->stopping = true;
	w->linger = w->opts->relay && relay_conns(w->opts->relay) > 0;
	wire_unlisten(w);
	list_each_safe(it, &w->members)
	{
		struct wire_member *m = container_of(it, struct wire_member, in_wire);

		m->stop(m, false);
	}
	if (w->n_members == 0 && !w->linger)
		loop_stop(w->loop);
}

void wire_add(struct wire *w, struct wire_member *m, void (*stop)(struct wire_member *m, bool hard))
{
	m->stop = stop;
	list_add_tail(&w->members, &m->in_wire);
	w->n_members++;
}

void wire_remove(struct wire *w, struct wire_member *m)
{
	list_del(&m->in_wire);
	w->n_members--;
	if (w->stopping && w->n_members == 0 && !w->linger)
		loop_stop(w->loop);
}

err front_start(const struct front_opts *o, char *why, size_t why_cap, struct front **out)
{
	struct front *f = calloc(1, sizeof *f + o->wires * sizeof f->wires[0]);
	err e = OK;

	if (!f)
		return ERR_NOMEM;
	f->opts = *o;
	f->n = o->wires;
	for (unsigned i = 0; i < f->n && e == OK; i++) {
		struct wire *w = &f->wires[i];

		w->front = f;
		w->opts = &f->opts;
		w->index = i;
		w->counters = &f->counters;
		list_init(&w->members);
		e = loop_new(&w->loop);
		if (e == OK && o->relay)
			e = derp_thread_new(o->relay, w->loop, &w->derp);
		if (e == OK)
			e = wire_listeners_new(w, o->n_listeners);
		if (e == OK)
			loop_timer_init(&w->stop_timer, w->loop, stop_hard);
		if (e == OK)
			loop_share_init(&w->handshakes, w->loop, WIRE_HANDSHAKES_US);
	}
	if (e != OK)
		snprintf(why, why_cap, "cannot make an event loop: %s", err_text(e));
	for (size_t i = 0; i < o->n_listeners && e == OK; i++)
		e = open_listener(f, &o->listeners[i], why, why_cap);
	for (unsigned i = 0; i < f->n && e == OK; i++) {
		if (pthread_create(&f->wires[i].thread, NULL, wire_main, &f->wires[i]) != 0) {
			snprintf(why, why_cap, "cannot start a wire thread");
			e = ERR_SYS;
		} else {
			f->wires[i].started = true;
		}
	}
	if (e != OK) {
		for (unsigned i = 0; i < f->n; i++)
			if (f->wires[i].started) {
				loop_stop(f->wires[i].loop);
				pthread_join(f->wires[i].thread, NULL);
			}
		front_free(f);
		return e;
	}
	*out = f;
	return OK;
}

struct arm {
	struct wire *w;
	int64_t ms;
};

static void arm_stop(void *arg)
{
	struct arm *a = arg;

	loop_timer_in(&a->w->stop_timer, a->ms);
	stop_politely(a->w);
	free(a);
}

void front_stop(struct front *f, int64_t wait_ms)
{
	if (!f)
		return;
	for (unsigned i = 0; i < f->n; i++) {
		struct arm *a = malloc(sizeof *a);

		if (a)
			*a = (struct arm){ &f->wires[i], wait_ms };
		if (!a || loop_post(f->wires[i].loop, arm_stop, a) != OK) {
			free(a);
			loop_stop(f->wires[i].loop);
		}
	}
	for (unsigned i = 0; i < f->n; i++)
		pthread_join(f->wires[i].thread, NULL);
}

void front_stats(struct front *f, struct front_stats *out)
{
	out->accepted = atomic_load(&f->counters.accepted);
	out->bad_heads = atomic_load(&f->counters.bad_heads);
	out->http_requests = atomic_load(&f->counters.http_requests);
	out->ts2021 = atomic_load(&f->counters.ts2021);
	out->ts2021_refused = atomic_load(&f->counters.ts2021_refused);
	out->derp = atomic_load(&f->counters.derp);
	out->ts2021_open = atomic_load(&f->counters.ts2021_open);
}
