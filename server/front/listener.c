/* listener: accepts on one wire, in bounded bursts, and sheds what is over a limit. */
#include <errno.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/net/sock.h"
#include "server/front/conn.h"
#include "server/front/wire.h"

enum {
	ACCEPTS_A_TURN = 64,   /* others on this loop get their turn, too */
	EMFILE_PAUSE_MS = 100, /* out of descriptors: look again after this */
};

struct wire_listener {
	struct wire *wire;
	int fd;
	struct loop_io *io;
	struct front_listener at;
	struct loop_timer pause;
};

static bool is_proxied(const struct front_opts *o, struct addr peer)
{
	for (size_t i = 0; i < o->n_proxy_protocol; i++)
		if (prefix_contains(o->proxy_protocol[i], peer))
			return true;
	return false;
}

static void on_pause_over(struct loop_timer *t)
{
	struct wire_listener *l = container_of(t, struct wire_listener, pause);

	loop_io_want(l->io, LOOP_READ);
}

static void on_accept(struct loop_io *io, unsigned ready, void *ctx)
{
	static struct log_limit limit = LOG_LIMIT(3, 60000);
	struct wire_listener *l = ctx;

	(void)ready;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct addrport peer;
		int fd;
		err e = sock_accept(l->fd, &fd, &peer);

		if (e == ERR_BUSY)
			return;
		if (e != OK) {
			if (errno == EMFILE || errno == ENFILE) {
				sock_shed(l->fd);
				loop_io_want(io, 0);
				loop_timer_in(&l->pause, EMFILE_PAUSE_MS);
				if (log_allow(&limit))
					log_warn("out of file descriptors, shedding connections",
						"hint=\"raise LimitNOFILE or limits.max_connections\"");
			}
			return;
		}
		atomic_fetch_add_explicit(&l->wire->counters->accepted, 1, memory_order_relaxed);
		conn_start(l->wire, fd, l->at.tls, peer, is_proxied(l->wire->opts, peer.addr));
	}
}

err wire_listen(struct wire *w, int fd, const struct front_listener *at)
{
	struct wire_listener *l = &w->listeners[w->n_listeners];

	*l = (struct wire_listener){ .wire = w, .fd = fd, .at = *at };
	err e = loop_io_new(w->loop, fd, on_accept, l, &l->io);
	if (e != OK) {
		close(fd);
		return e;
	}
	loop_io_want(l->io, LOOP_READ);
	loop_timer_init(&l->pause, w->loop, on_pause_over);
	w->n_listeners++;
	return OK;
}

err wire_listeners_new(struct wire *w, size_t max)
{
	w->listeners = calloc(max ? max : 1, sizeof *w->listeners);
	return w->listeners ? OK : ERR_NOMEM;
}

void wire_unlisten(struct wire *w)
{
	for (size_t i = 0; i < w->n_listeners; i++) {
		loop_io_close(w->listeners[i].io);
		loop_timer_done(&w->listeners[i].pause);
		close(w->listeners[i].fd);
	}
	free(w->listeners);
	w->listeners = NULL;
	w->n_listeners = 0;
}
