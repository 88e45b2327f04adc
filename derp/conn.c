#include "derp/conn.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/http/websocket.h"
#include "common/net/sock.h"

enum {
	OUT_BYTES = 64 << 10, /* of one write: four TLS records */
	READ_BUDGET = 64 << 10, /* of one connection in one turn: more would only make the others wait */
	READ_US = 4000, /* of all connections in one turn; then handshakes, new connections and timers have theirs */
	HEAD_MAX = 1024,
	WEBSOCKET_OUT_MAX = 4096, /* pongs and a close that wait */
};

struct derp_thread {
	struct relay *relay;
	struct loop *loop;
	struct relay_worker *worker;
	struct loop_post inbox; /* posted by other threads */
	struct loop_post flush, reap, read, next_turn;
	bool flushing, reaping, reading; /* flush, reap, read or next_turn are with the loop */
	atomic_bool stopped;
	struct list conns, ended;
	struct list ready; /* have something to read; who waits longest comes first */
	uint8_t scratch[OUT_BYTES]; /* output on its way from queues to TLS */
};

struct derp_conn {
	struct derp_thread *t;
	int fd;
	struct tls *tls;
	struct websocket *ws; /* NULL: DERP lies bare in the stream */
	struct loop_io *io;
	struct relay_client *client;
	struct loop_timer timer;
	struct loop_timer pause; /* reading waits for it: a rate, or a congested receiver */
	struct list ready;	/* in its thread's, or alone */
	bool paused;  /* reading waits for admission */
	bool ending;
	bool read_wants_write;
	struct list in;	    /* the thread's conns, or its ended */
	struct buf pending; /* taken from the queues, not yet by TLS: must go out as it is */
	int64_t stalled_ms; /* since when pending does not move; 0: it does */
	struct derp_count count; /* settled is NULL once called */
};

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void settle(struct derp_count *n)
{
	if (n->settled)
		n->settled(n->ctx, n->counted);
	n->settled = NULL;
}

static void count_out(struct derp_count *n)
{
	settle(n);
	if (n->over)
		n->over(n->ctx, n->counted);
}

static void conn_free(struct derp_conn *c)
{
	relay_client_end(c->client);
	loop_timer_done(&c->timer);
	loop_timer_done(&c->pause);
	loop_io_close(c->io);
	websocket_free(c->ws);
	tls_free(c->tls);
	if (c->fd >= 0)
		close(c->fd);
	buf_done(&c->pending);
	list_del(&c->in);
	count_out(&c->count);
	free(c);
}

static void on_reap(struct loop_post *p)
{
	struct derp_thread *t = container_of(p, struct derp_thread, reap);

	t->reaping = false;
	list_each_safe(it, &t->ended)
		conn_free(container_of(it, struct derp_conn, in));
}

static void reap_soon(struct derp_thread *t)
{
	if (t->reaping)
		return;
	t->reaping = true;
	loop_defer_node(t->loop, &t->reap);
}

/* Marks it; it is freed at the end of the turn. */
static void conn_end(struct derp_conn *c, const char *why)
{
	if (c->ending)
		return;
	c->ending = true;
	log_debug("relay client ends", "why=%s tls=%s", log_qs(why).s, log_qs(tls_why(c->tls)).s);
	session_close(relay_client_session(c->client), why);
	loop_io_want(c->io, 0);
	loop_timer_stop(&c->timer);
	loop_timer_stop(&c->pause);
	list_del(&c->ready);
	list_del(&c->in);
	list_add_tail(&c->t->ended, &c->in);
	reap_soon(c->t);
}

/* It has something to read, or may have: that is done when the turn's callbacks are through, so that whoever is not yet a
 * client does not wait behind those who are. */
static void make_ready(struct derp_conn *c)
{
	if (c->ending || !list_is_empty(&c->ready))
		return;
	list_add_tail(&c->t->ready, &c->ready);
	if (c->t->reading)
		return;
	c->t->reading = true;
	loop_defer_node(c->t->loop, &c->t->read);
}

/* ---- out -------------------------------------------------------------------------------------------------------- */

static int64_t stall_ms(const struct derp_conn *c)
{
	return relay_client_is_mesh(c->client) ? DERP_CONN_STALL_MESH_MS : DERP_CONN_STALL_MS;
}

static void set_timer(struct derp_conn *c)
{
	int64_t now_ms = loop_now_ms(c->t->loop), due_ms = session_due_ms(relay_client_session(c->client));

	if (c->stalled_ms && c->stalled_ms + stall_ms(c) < due_ms)
		due_ms = c->stalled_ms + stall_ms(c);
	if (due_ms == INT64_MAX || (loop_timer_armed(&c->timer) && c->timer.due_ms == due_ms))
		return;
	loop_timer_in(&c->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void set_want(struct derp_conn *c)
{
	const struct session *s = relay_client_session(c->client);
	unsigned want = 0;

	if (s->state == SESSION_OPEN)
		settle(&c->count);
	relay_client_blocked(c->client, buf_len(&c->pending) > 0);
	relay_client_holds(c->client, buf_len(&c->pending) + tls_holds(c->tls));
	if (session_wants_input(s) && !loop_timer_armed(&c->pause))
		want |= LOOP_READ;
	if (buf_len(&c->pending) || c->read_wants_write)
		want |= LOOP_WRITE;
	loop_io_want(c->io, want);
}

/* Writes b; what TLS does not take becomes pending. False: the connection is at its end or stuck. */
static bool write_out(struct derp_conn *c, struct bytes b)
{
	while (b.n) {
		size_t n = 0;

		switch (tls_write(c->tls, b, &n)) {
		case TLS_OK:
			b = bytes_skip(b, n);
			c->stalled_ms = 0;
			continue;
		case TLS_WANT_READ:
		case TLS_WANT_WRITE:
			buf_append(&c->pending, b);
			if (c->pending.bad)
				conn_end(c, "out of memory");
			else if (!c->stalled_ms)
				c->stalled_ms = loop_now_ms(c->t->loop);
			return false;
		case TLS_EOF:
		case TLS_FAIL:
			conn_end(c, "write failed");
			return false;
		}
	}
	return true;
}

static bool write_pending(struct derp_conn *c)
{
	struct buf held = c->pending;

	if (!buf_len(&held))
		return true;
	c->pending = buf_make(held.max);
	bool all = write_out(c, buf_view(&held));
	buf_done(&held);
	return all;
}

/* The next n bytes of queues, in the connection's framing. */
static bool send_scratch(struct derp_conn *c, size_t n)
{
	struct bytes b = bytes_of(c->t->scratch, n);
	struct buf framed = buf_make(OUT_BYTES + HEAD_MAX);

	if (!c->ws)
		return write_out(c, b);
	if (websocket_send(c->ws, b, &framed) != OK)
		conn_end(c, "the WebSocket is closed");
	bool all = !c->ending && write_out(c, buf_view(&framed));
	buf_done(&framed);
	return all;
}

/* Called by relay_flush when the session has output, and by us when the socket takes more. */
static void push(void *ctx)
{
	struct derp_conn *c = ctx;
	struct derp_thread *t = c->t;
	size_t n;

	if (c->ending)
		return;
	if (relay_client_session(c->client)->state == SESSION_CLOSED) {
		conn_end(c, relay_client_session(c->client)->close_why);
		return;
	}
	bool room = write_pending(c);
	while (room && (n = relay_client_pull(c->client, t->scratch, sizeof t->scratch)))
		room = send_scratch(c, n);
	if (c->ending)
		return;
	if (c->paused && session_wants_input(relay_client_session(c->client))) {
		c->paused = false; /* bytes may wait inside TLS, where no readiness tells of them */
		make_ready(c);
	}
	set_want(c);
	set_timer(c);
}

static void on_timer(struct loop_timer *timer)
{
	struct derp_conn *c = container_of(timer, struct derp_conn, timer);
	int64_t now_ms = loop_now_ms(c->t->loop);

	if (c->stalled_ms && now_ms - c->stalled_ms >= stall_ms(c))
		relay_client_write_timeout(c->client);
	session_tick(relay_client_session(c->client), now_ms);
	set_timer(c);
}

/* ---- in --------------------------------------------------------------------------------------------------------- */

static void feed(struct derp_conn *c, uint8_t *p, size_t n)
{
	relay_client_feed(c->client, p, n, loop_now_ms(c->t->loop));
}

/* Bytes that are not in the worker's area: frames are rewritten in place, so they get our own copy. */
static void feed_copy(struct derp_conn *c, struct bytes b)
{
	while (b.n && !c->ending) {
		size_t cap;
		uint8_t *area = relay_area(c->t->worker, &cap);
		struct bytes piece = bytes_first(b, cap);

		if (c->ending)
			return;
		memcpy(area, piece.p, piece.n);
		relay_area_used(c->t->worker, piece.n);
		feed(c, area, piece.n);
		b = bytes_skip(b, piece.n);
	}
}

static void feed_websocket(struct derp_conn *c, struct bytes in)
{
	struct buf data = buf_make(in.n ? in.n : 1), out = buf_make(WEBSOCKET_OUT_MAX);
	err e = websocket_read(c->ws, in, &data, &out);

	feed_copy(c, buf_view(&data));
	if (!c->ending && buf_len(&out)) {
		if (buf_len(&c->pending))
			buf_append(&c->pending, buf_view(&out)); /* it goes on where that ends */
		else
			write_out(c, buf_view(&out));
	}
	if (c->pending.bad)
		e = ERR_TOO_BIG;
	if (e != OK)
		conn_end(c, e == ERR_CLOSED ? "the client left" : "bad WebSocket frame");
	buf_done(&data);
	buf_done(&out);
}

/* All that is there, up to the budget: TLS may hold bytes that no readiness tells of. */
static void read_some(struct derp_conn *c)
{
	size_t left = READ_BUDGET;
	int64_t pause_ms;

	c->read_wants_write = false;
	if (loop_timer_armed(&c->pause))
		return;
	while (!c->ending) {
		size_t cap, n = 0;

		if (!session_wants_input(relay_client_session(c->client))) {
			c->paused = true;
			break;
		}
		pause_ms = relay_client_pause_ms(c->client, loop_now_ms(c->t->loop));
		if (pause_ms) {
			loop_timer_in(&c->pause, pause_ms);
			break;
		}
		if (left == 0) {
			make_ready(c);
			break;
		}
		uint8_t *area = relay_area(c->t->worker, &cap); /* may flush, and so end us */
		if (c->ending)
			return;
		switch (tls_read(c->tls, area, cap < left ? cap : left, &n)) {
		case TLS_OK:
			if (c->ws) {
				feed_websocket(c, bytes_of(area, n));
			} else {
				relay_area_used(c->t->worker, n);
				feed(c, area, n);
			}
			left -= n;
			continue;
		case TLS_WANT_WRITE:
			c->read_wants_write = true;
			break;
		case TLS_WANT_READ:
			break;
		case TLS_EOF:
			conn_end(c, "the client left");
			return;
		case TLS_FAIL:
			conn_end(c, "read failed");
			return;
		}
		break;
	}
	if (!c->ending)
		set_want(c);
}

static void on_pause_over(struct loop_timer *timer)
{
	make_ready(container_of(timer, struct derp_conn, pause));
}

/* Each that is ready now, once, until the time is up; the others come first in the next turn. */
static void on_read(struct loop_post *p)
{
	struct derp_thread *t = container_of(p, struct derp_thread, read);
	int64_t until_us = clock_mono_us() + READ_US;
	struct list end; /* behind it are those who have more */

	list_add_tail(&t->ready, &end);
	while (t->ready.next != &end) {
		struct derp_conn *c = container_of(t->ready.next, struct derp_conn, ready);

		list_del(&c->ready);
		read_some(c);
		if (clock_mono_us() >= until_us)
			break;
	}
	list_del(&end);
	t->reading = !list_is_empty(&t->ready);
	if (t->reading)
		loop_post_node(t->loop, &t->next_turn);
}

static void on_next_turn(struct loop_post *p)
{
	struct derp_thread *t = container_of(p, struct derp_thread, next_turn);

	loop_defer_node(t->loop, &t->read);
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct derp_conn *c = ctx;

	(void)io;
	if (c->ending)
		return;
	if (buf_len(&c->pending) && (ready & (LOOP_WRITE | LOOP_READ)))
		push(c);
	if (!c->ending && ((ready & (LOOP_READ | LOOP_HANGUP)) || c->read_wants_write))
		make_ready(c);
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static void on_inbox(struct loop_post *p)
{
	struct derp_thread *t = container_of(p, struct derp_thread, inbox);

	relay_worker_run(t->worker, loop_now_ms(t->loop)); /* what it makes dirty is flushed at the end of the turn */
}

static void on_flush(struct loop_post *p)
{
	struct derp_thread *t = container_of(p, struct derp_thread, flush);

	t->flushing = false;
	relay_flush(t->worker);
}

static void on_dirty(void *ctx)
{
	struct derp_thread *t = ctx;

	if (t->flushing) /* a full area was flushed in the middle of this turn: its end is awaited already */
		return;
	t->flushing = true;
	loop_defer_node(t->loop, &t->flush);
}

static void wake(void *ctx)
{
	struct derp_thread *t = ctx;

	if (!atomic_load(&t->stopped)) /* else the loop may be gone */
		loop_post_node(t->loop, &t->inbox);
}

err derp_thread_new(struct relay *r, struct loop *l, struct derp_thread **out)
{
	struct derp_thread *t = calloc(1, sizeof *t);

	if (!t)
		return ERR_NOMEM;
	t->relay = r;
	t->loop = l;
	t->inbox.fn = on_inbox;
	t->flush.fn = on_flush;
	t->reap.fn = on_reap;
	t->read.fn = on_read;
	t->next_turn.fn = on_next_turn;
	list_init(&t->ready);
	list_init(&t->conns);
	list_init(&t->ended);
	err e = relay_worker_new(r, wake, t, &t->worker);
	if (e != OK) {
		free(t);
		return e;
	}
	relay_on_dirty(t->worker, on_dirty, t);
	*out = t;
	return OK;
}

void derp_thread_stop(struct derp_thread *t)
{
	atomic_store(&t->stopped, true);
	list_each_safe(it, &t->conns)
		conn_end(container_of(it, struct derp_conn, in), "the relay stops");
}

struct loop *derp_thread_loop(struct derp_thread *t)
{
	return t->loop;
}

struct relay_worker *derp_thread_worker(struct derp_thread *t)
{
	return t->worker;
}

void derp_thread_free(struct derp_thread *t)
{
	free(t);
}

/* ---- the start -------------------------------------------------------------------------------------------------- */

static void refuse(const struct derp_conn_start *s)
{
	struct derp_count count = s->count;

	tls_free(s->tls);
	close(s->fd);
	count_out(&count);
}

static void tune(int fd)
{
	sock_nodelay(fd);
	sock_user_timeout(fd, DERP_CONN_USER_TIMEOUT_MS);
	sock_keepalive(fd, DERP_CONN_TCP_KEEPALIVE_S);
	sock_notsent_lowat(fd, DERP_CONN_NOTSENT_BYTES);
}

void derp_conn_start(struct derp_thread *t, const struct derp_conn_start *s)
{
	struct derp_conn *c = calloc(1, sizeof *c);
	struct relay_client_opts o = {
		.peer = s->peer,
		.not_ideal = s->upgrade->not_ideal,
		.websocket = s->upgrade->kind == UPGRADE_DERP_WS,
		.push = push,
		.ctx = c,
	};
	struct buf head = buf_make(HEAD_MAX);

	if (!c || relay_client_new(t->worker, &o, loop_now_ms(t->loop), &c->client) != OK) {
		free(c); /* over a limit, or draining: there is no message for it but the end */
		refuse(s);
		return;
	}
	c->t = t;
	c->fd = s->fd;
	c->tls = s->tls;
	c->count = s->count;
	list_init(&c->ready);
	c->pending = buf_make(OUT_BYTES + 2 * HEAD_MAX + WEBSOCKET_OUT_MAX);
	list_add_tail(&t->conns, &c->in);
	loop_timer_init(&c->timer, t->loop, on_timer);
	loop_timer_init(&c->pause, t->loop, on_pause_over);
	tune(c->fd);
	if ((o.websocket && websocket_new(false, &c->ws) != OK) ||
		loop_io_new(t->loop, c->fd, on_ready, c, &c->io) != OK) {
		conn_free(c);
		return;
	}
	upgrade_write_101(s->upgrade, relay_key(t->relay)->pub.b, &head);
	buf_append(&c->pending, buf_view(&head)); /* goes out with ServerKey, at the end of the turn */
	buf_done(&head);
	if (c->ws)
		feed_websocket(c, s->early);
	else
		feed_copy(c, s->early);
	make_ready(c); /* TLS may hold what came with the request */
	if (!c->ending)
		set_timer(c);
}
