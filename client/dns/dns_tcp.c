#include "client/dns/dns_tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/reader.h"
#include "common/net/sock.h"

enum { READ_STEP = 4096, LENGTH_LEN = 2 };

struct conn {
	struct dns_tcp *t;
	int fd; /* -1: free */
	uint64_t id; /* never used twice; a client's token */
	struct loop_io *io;
	struct loop_timer timer;
	struct addrport peer;
	struct buf in, out;
	bool is_upstream, connecting, over; /* over: closed when its callback is through */
};

struct dns_tcp {
	struct loop *loop;
	struct dns *dns;
	void (*flush)(void *ctx);
	void *ctx;
	int fd;
	struct loop_io *io;
	uint64_t last_id;
	struct conn conn[DNS_TCP_CLIENTS_MAX + DNS_TCP_UPSTREAMS_MAX]; /* clients first */
};

static void close_conn(struct conn *c)
{
	loop_io_close(MOVE(c->io));
	loop_timer_stop(&c->timer);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_done(&c->in);
	buf_done(&c->out);
	c->over = false;
}

static void push(struct conn *c)
{
	while (!c->connecting && buf_len(&c->out)) {
		ssize_t n = send(c->fd, buf_view(&c->out).p, buf_len(&c->out), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->over |= errno != EAGAIN;
			break;
		}
		buf_consume(&c->out, (size_t)n);
	}
	if (c->out.bad)
		c->over = true;
	loop_io_want(c->io, LOOP_READ | (c->connecting || buf_len(&c->out) ? LOOP_WRITE : 0));
}

static void put(struct conn *c, struct bytes packet)
{
	const uint8_t len[LENGTH_LEN] = { (uint8_t)(packet.n >> 8), (uint8_t)packet.n };

	buf_append(&c->out, bytes_of(len, sizeof len));
	buf_append(&c->out, packet);
	push(c);
}

static void take(struct conn *c, struct bytes message)
{
	struct dns_tcp *t = c->t;
	int64_t now = loop_now_ms(t->loop);

	loop_timer_in(&c->timer, DNS_TCP_IDLE_MS);
	if (c->is_upstream) {
		dns_upstream(t->dns, c->peer, message, now);
		c->over = true;
	} else {
		dns_query(t->dns, &(struct dns_client){ .addr = c->peer, .token = c->id, .tcp = true }, message, now);
	}
}

static void pull(struct conn *c)
{
	for (;;) {
		uint8_t *at = buf_reserve(&c->in, READ_STEP);
		ssize_t n = at ? recv(c->fd, at, READ_STEP, MSG_DONTWAIT) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			c->over = true;
			break;
		}
		buf_commit(&c->in, (size_t)n);
		for (;;) { /* at once, so that the buffer's bound is one message */
			struct reader r = rd_init(buf_view(&c->in));
			struct bytes message = rd_take(&r, rd_u16be(&r));

			if (r.bad || c->over)
				break;
			take(c, message);
			buf_consume(&c->in, LENGTH_LEN + message.n);
		}
	}
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct conn *c = ctx;
	struct dns_tcp *t = c->t;

	(void)io;
	if (c->connecting && ready & (LOOP_WRITE | LOOP_HANGUP)) {
		c->connecting = false;
		c->over = sock_error(c->fd) != 0;
	}
	if (!c->over && !c->connecting)
		pull(c);
	if (!c->over)
		push(c);
	if (c->over)
		close_conn(c);
	t->flush(t->ctx);
}

static void on_timer(struct loop_timer *t)
{
	close_conn(container_of(t, struct conn, timer));
}

/* fd is taken. */
static struct conn *add(struct dns_tcp *t, int fd, struct addrport peer, bool is_upstream)
{
	size_t first = is_upstream ? DNS_TCP_CLIENTS_MAX : 0, n = is_upstream ? DNS_TCP_UPSTREAMS_MAX : DNS_TCP_CLIENTS_MAX;

	for (size_t i = first; i < first + n; i++) {
		struct conn *c = &t->conn[i];

		if (c->fd >= 0)
			continue;
		if (loop_io_new(t->loop, fd, on_ready, c, &c->io) != OK)
			break;
		c->fd = fd;
		c->id = ++t->last_id;
		c->peer = peer;
		c->is_upstream = c->connecting = is_upstream;
		c->in = buf_make(DNS_TCP_MAX + LENGTH_LEN + READ_STEP);
		c->out = buf_make(DNS_TCP_WAITING_MAX);
		loop_timer_in(&c->timer, DNS_TCP_IDLE_MS);
		loop_io_want(c->io, LOOP_READ | (is_upstream ? LOOP_WRITE : 0));
		return c;
	}
	close(fd);
	return NULL;
}

static void on_accept(struct loop_io *io, unsigned ready, void *ctx)
{
	struct dns_tcp *t = ctx;
	struct addrport peer;
	int fd;

	(void)io;
	(void)ready;
	while (sock_accept(t->fd, &fd, &peer) == OK)
		add(t, fd, peer, false);
}

void dns_tcp_answer(struct dns_tcp *t, const struct dns_client *to, struct bytes packet)
{
	for (size_t i = 0; i < DNS_TCP_CLIENTS_MAX; i++)
		if (t->conn[i].fd >= 0 && t->conn[i].id == to->token && packet.n <= DNS_TCP_MAX)
			put(&t->conn[i], packet); /* one that does not read is closed by its timer */
}

void dns_tcp_ask(struct dns_tcp *t, struct addrport upstream, struct bytes packet, uint32_t mark)
{
	int fd;

	/* With no mark it may go through the tunnel. */
	if (sock_connect_tcp_marked(upstream, mark, &fd) != OK)
		return; /* as if the question were lost: the engine asks the next one */
	struct conn *c = add(t, fd, upstream, true);
	if (c)
		put(c, packet);
}

err dns_tcp_new(struct loop *loop, struct dns *dns, struct addrport listen, void (*flush)(void *ctx), void *ctx,
	struct dns_tcp **out)
{
	struct dns_tcp *t = calloc(1, sizeof *t);
	const uint32_t no_mark = 0;

	if (!t)
		return ERR_NOMEM;
	*t = (struct dns_tcp){ .loop = loop, .dns = dns, .flush = flush, .ctx = ctx, .fd = -1 };
	for (size_t i = 0; i < ARRAY_LEN(t->conn); i++) {
		t->conn[i].t = t;
		t->conn[i].fd = -1;
		loop_timer_init(&t->conn[i].timer, loop, on_timer);
	}
	err e = sock_listen_tcp(listen, 0, DNS_TCP_CLIENTS_MAX, &t->fd);
	if (e == OK) {
		setsockopt(t->fd, SOL_SOCKET, SO_MARK, &no_mark, sizeof no_mark); /* and so those that it accepts */
		e = loop_io_new(loop, t->fd, on_accept, t, &t->io);
	}
	if (e != OK) {
		dns_tcp_free(t);
		return e;
	}
	loop_io_want(t->io, LOOP_READ);
	*out = t;
	return OK;
}

void dns_tcp_free(struct dns_tcp *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < ARRAY_LEN(t->conn); i++) {
		close_conn(&t->conn[i]);
		loop_timer_done(&t->conn[i].timer);
	}
	loop_io_close(t->io);
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}
