/* wire: one of the front's threads: a loop, its listening sockets, and the connections that live on it for all their life.
 *
 * A connection of any stage embeds a struct wire_member, so that a stopping wire can end each in its own way. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/net/loop.h"
#include "server/front/front.h"

struct wire_member {
	struct list in_wire;
	/* Ends it: politely (goodbye, flush, close) or, hard, at once. It leaves the wire when it is gone. */
	void (*stop)(struct wire_member *m, bool hard);
};

struct wire {
	struct loop *loop;
	struct front *front;
	const struct front_opts *opts;
	unsigned index;
	pthread_t thread;
	bool started, stopping;
	bool linger; /* the relay still has clients: packets that are on their way get through until the time is up */
	struct list members;
	size_t n_members;
	struct wire_listener *listeners;
	size_t n_listeners;
	struct loop_timer stop_timer;
	struct loop_share handshakes;
	struct buf plain, sealed; /* where each ts2021 session in turn makes its output */
	struct buf message; /* one that goes to many */
	struct derp_thread *derp; /* the relay's part of this thread; NULL: no relay */
	struct front_counters *counters;
};

struct front_counters {
	atomic_uint_fast64_t accepted, bad_heads, http_requests, ts2021, ts2021_refused, derp;
	atomic_int_fast64_t ts2021_open;
};

void wire_add(struct wire *w, struct wire_member *m, void (*stop)(struct wire_member *m, bool hard));
void wire_remove(struct wire *w, struct wire_member *m);

/* listener.c: accepts on w; new connections go to conn_start. First the room for max listeners, then each; fds are taken. */
MUST_USE err wire_listeners_new(struct wire *w, size_t max);
MUST_USE err wire_listen(struct wire *w, int fd, const struct front_listener *at);
void wire_unlisten(struct wire *w);
