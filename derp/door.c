#include "derp/door.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/http/client_addr.h"
#include "common/net/sock.h"
#include "derp/http.h"

enum {
	ACCEPTS_A_TURN = 64,
	READ_CHUNK = 4096,
	TURN_US = 2000, /* of all guests of a door: a flood of handshakes does not keep clients waiting for longer */
};

struct door {
	struct door_opts o;
	struct loop_io *io;
	struct list guests; /* oldest first */
	struct loop_share share;
};

struct guest {
	struct door *d;
	struct list in; /* the door's guests */
	int fd;
	struct tls *tls;
	struct loop_io *io;
	struct loop_timer deadline;
	struct addrport peer;
	struct buf head, out;
	bool shaken; /* the TLS handshake is done */
	bool last;   /* close once out is written */
	bool linger; /* … but read on for a while: closing on unread input would reset the connection, and the answer with it */
	bool ended;  /* lingers */
	size_t discarded;
};

static void guest_free(struct guest *g)
{
	conn_limits_give(g->d->o.limits, g->peer.addr);
	loop_timer_done(&g->deadline);
	loop_io_close(g->io);
	tls_free(g->tls);
	closep(&g->fd);
	buf_done(&g->head);
	buf_done(&g->out);
	list_del(&g->in);
	free(g);
}

static void on_deadline(struct loop_timer *t)
{
	guest_free(container_of(t, struct guest, deadline));
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static void hand_over(struct guest *g, const struct upgrade *u, struct addrport client, size_t head_len)
{
	struct derp_conn_start s = { .fd = g->fd, .tls = MOVE(g->tls), .peer = client, .upgrade = u };

	g->fd = -1;
	loop_io_close(g->io); /* before conn.h watches the same descriptor */
	g->io = NULL;
	s.early = bytes_skip(buf_view(&g->head), head_len);
	derp_conn_start(g->d->o.thread, &s);
	guest_free(g);
}

static void answer(struct guest *g, const struct http1_request *r)
{
	if (g->d->o.extra && g->d->o.extra(g->d->o.extra_ctx, r, g->peer.addr, &g->out))
		;
	else if (!g->d->o.thread)
		derp_http_answer_plain(r, g->d->o.hostname, &g->out);
	else if (!derp_http_answer(r, &g->out))
		derp_http_answer_other(r, &g->out);
	g->linger = r->framing != HTTP1_BODY_NONE; /* bodies are for nothing here */
	g->last = !r->keep_alive || g->linger;
}

static void refuse(struct guest *g, struct bytes text)
{
	buf_append(&g->out, text);
	g->last = g->linger = true;
}

/* Takes one request from g->head. False: more bytes are needed, or out must be written first, or g is gone. */
static bool take_request(struct guest *g, bool *gone)
{
	struct http1_request r;
	struct upgrade u;

	if (g->last || !buf_len(&g->head))
		return false;
	err e = http1_parse_request(buf_view(&g->head), &r);
	if (e == ERR_TRUNCATED)
		return false;
	if (e != OK) {
		refuse(g, http1_refusal(e));
		return true;
	}
	upgrade_detect(&r, &u);
	if (g->d->o.thread && (u.kind == UPGRADE_DERP || u.kind == UPGRADE_DERP_WS)) {
		if (buf_len(&g->out))
			return false; /* earlier answers come first */
		*gone = true;
		hand_over(g, &u, client_addr(&r.headers, g->peer, g->d->o.proxies, g->d->o.n_proxies), r.head_len);
		return false;
	}
	if (g->d->o.thread && u.kind == UPGRADE_REFUSED && bytes_eq_str(r.path, "/derp")) {
		upgrade_write_refusal(&u, &g->out);
		g->last = true;
		return true;
	}
	answer(g, &r);
	buf_consume(&g->head, r.head_len);
	loop_timer_in(&g->deadline, DOOR_HEAD_MS);
	return true;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

enum next { NEXT_READ, NEXT_WRITE, NEXT_END };

static enum next wait_for(enum tls_io io)
{
	switch (io) {
	case TLS_WANT_READ:
		return NEXT_READ;
	case TLS_WANT_WRITE:
		return NEXT_WRITE;
	case TLS_OK:
	case TLS_EOF:
	case TLS_FAIL:
		break;
	}
	return NEXT_END;
}

static enum next write_out(struct guest *g)
{
	while (buf_len(&g->out)) {
		size_t n = 0;
		enum tls_io io = tls_write(g->tls, buf_view(&g->out), &n);

		if (io != TLS_OK)
			return wait_for(io);
		buf_consume(&g->out, n);
	}
	return g->last ? NEXT_END : NEXT_READ;
}

static enum next read_more(struct guest *g, bool *got)
{
	uint8_t *room = buf_reserve(&g->head, READ_CHUNK);
	size_t n = 0;

	*got = false;
	if (!room)
		return NEXT_END;
	enum tls_io io = tls_read(g->tls, room, READ_CHUNK, &n);
	if (io != TLS_OK)
		return wait_for(io);
	buf_commit(&g->head, n);
	*got = true;
	return NEXT_READ;
}

static enum next linger(struct guest *g)
{
	if (!g->ended) {
		tls_end(g->tls);
		loop_timer_in(&g->deadline, DOOR_LINGER_MS);
		g->ended = true;
	}
	return tls_discard(g->tls, &g->discarded) == TLS_EOF || g->discarded > DOOR_LINGER_MAX ? NEXT_END : NEXT_READ;
}

/* Handshake, then requests and answers until something must be waited for. *gone: the guest has become a client. */
static enum next step(struct guest *g, bool *gone)
{
	if (g->ended)
		return linger(g);
	if (!g->shaken) {
		enum tls_io io = tls_handshake(g->tls);

		if (io != TLS_OK)
			return wait_for(io);
		g->shaken = true;
	}
	for (;;) {
		bool got;

		while (take_request(g, gone))
			;
		if (*gone)
			return NEXT_END;
		enum next n = write_out(g);
		if (n == NEXT_END && g->linger && !buf_len(&g->out))
			return linger(g);
		if (n != NEXT_READ)
			return n;
		if (take_request(g, gone)) /* one that waited for out */
			continue;
		if (*gone)
			return NEXT_END;
		n = read_more(g, &got);
		if (!got)
			return n;
	}
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct guest *g = ctx;
	bool gone = false;

	(void)io, (void)ready;
	if (!loop_share_left(&g->d->share))
		return;
	switch (step(g, &gone)) {
	case NEXT_READ:
		loop_io_want(g->io, LOOP_READ);
		return;
	case NEXT_WRITE:
		loop_io_want(g->io, LOOP_WRITE);
		return;
	case NEXT_END:
		if (!gone)
			guest_free(g);
		return;
	}
}

/* ---- the door --------------------------------------------------------------------------------------------------- */

/* fd is taken. */
static void let_in(struct door *d, int fd, struct addrport peer)
{
	struct guest *g = NULL;
	err e = conn_limits_take(d->o.limits, peer.addr);

	if (e == ERR_BUSY && !list_is_empty(&d->guests)) {
		guest_free(container_of(d->guests.next, struct guest, in));
		e = conn_limits_take(d->o.limits, peer.addr);
	}
	if (e == OK && !(g = calloc(1, sizeof *g)))
		conn_limits_give(d->o.limits, peer.addr);
	if (!g) {
		close(fd);
		return;
	}
	g->d = d;
	g->fd = fd;
	g->peer = peer;
	g->head = buf_make(HTTP1_HEAD_MAX + READ_CHUNK);
	g->out = buf_make(d->o.out_max ? d->o.out_max : DOOR_OUT_MAX);
	list_add_tail(&d->guests, &g->in);
	loop_timer_init(&g->deadline, d->o.loop, on_deadline);
	loop_timer_in(&g->deadline, DOOR_HEAD_MS);
	sock_nodelay(fd);
	if (tls_new(d->o.tls, fd, NULL, &g->tls) != OK ||
		loop_io_new(d->o.loop, fd, on_ready, g, &g->io) != OK) {
		guest_free(g);
		return;
	}
	loop_io_want(g->io, LOOP_READ);
}

static void on_accept(struct loop_io *io, unsigned ready, void *ctx)
{
	static struct log_limit full = LOG_LIMIT(1, 60000);
	struct door *d = ctx;

	(void)io, (void)ready;
	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
		struct addrport peer;
		int fd;
		err e = sock_accept(d->o.listen_fd, &fd, &peer);

		if (e == OK) {
			let_in(d, fd, peer);
			continue;
		}
		if (e == ERR_SYS && (errno == EMFILE || errno == ENFILE)) {
			if (log_allow(&full))
				log_warn("out of file descriptors: connections are refused", "%s", "");
			sock_shed(d->o.listen_fd);
			continue;
		}
		return;
	}
}

err door_new(const struct door_opts *o, struct door **out)
{
	struct door *d = calloc(1, sizeof *d);

	if (!d) {
		close(o->listen_fd);
		return ERR_NOMEM;
	}
	d->o = *o;
	list_init(&d->guests);
	loop_share_init(&d->share, o->loop, TURN_US);
	err e = loop_io_new(o->loop, o->listen_fd, on_accept, d, &d->io);
	if (e != OK) {
		door_free(d);
		return e;
	}
	loop_io_want(d->io, LOOP_READ);
	*out = d;
	return OK;
}

void door_shut(struct door *d)
{
	loop_io_close(d->io);
	d->io = NULL;
	closep(&d->o.listen_fd);
}

void door_free(struct door *d)
{
	if (!d)
		return;
	list_each_safe(it, &d->guests)
		guest_free(container_of(it, struct guest, in));
	door_shut(d);
	loop_share_done(&d->share);
	free(d);
}
