#include "server/front/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/http/upgrade.h"
#include "common/net/sock.h"
#include "derp/conn.h"
#include "derp/relay.h"
#include "server/front/answers.h"
#include "common/http/client_addr.h"
#include "server/front/http_pair.h"
#include "server/front/proxy_protocol.h"
#include "server/ts2021/session.h"

enum step {
	STEP_AGAIN,
	STEP_MORE,
	STEP_BLOCKED, /* goes on when out is empty */
	STEP_YIELD,   /* goes on when the others of this wire had their turn */
	STEP_GONE,    /* the connection was handed over or freed */
};

enum stage {
	STAGE_PROXY, /* PROXY protocol header */
	STAGE_TLS,
	STAGE_HEAD, /* the head of the next request */
	STAGE_BODY, /* a request goes to libmicrohttpd */
	STAGE_PAIR, /* the pair is finished before the head in `in` can be acted on */
	STAGE_FLUSH, /* write what is in out, then close, or linger */
	STAGE_LINGER, /* the answer is out; what the client still sends is thrown away for a while */
	STAGE_N,
};

struct conn {
	struct wire_member member;
	struct wire *wire;
	int fd;
	struct tls_ctx *tls_ctx; /* borrowed */
	struct tls *tls;
	struct loop_io *io;
	struct loop_timer deadline;
	struct addrport peer; /* who connected; after a PROXY header, who connected to the proxy */
	enum stage stage;
	bool handshaking; /* counted in LIMIT_HANDSHAKES */
	bool eof;	  /* nothing more comes from the client */
	bool tls_wants_write;
	bool pair_gone; /* what it says last is still awaited */
	bool linger; /* after the flush: more input is on its way than we will read */
	bool closing;
	struct buf in, out;
	struct http_pair pair;
	size_t head_left; /* bytes of the head still to be forwarded */
	struct http1_body body;
	int64_t body_until_ms; /* mono */
	size_t lingered; /* bytes */
	unsigned turn_requests; /* of this turn */
	struct loop_post again;
	bool again_queued, freed;
};

static void conn_turn(struct conn *c);

static void on_again(struct loop_post *p)
{
	struct conn *c = container_of(p, struct conn, again);

	c->again_queued = false;
	if (c->freed)
		free(c);
	else
		conn_turn(c);
}

static void give_handshake(struct conn *c)
{
	if (c->handshaking)
		limits_give(c->wire->opts->limits, LIMIT_HANDSHAKES, c->peer.addr);
	c->handshaking = false;
}

/* Frees everything but what was handed over (fd < 0, tls NULL). */
static void conn_free(struct conn *c)
{
	give_handshake(c);
	loop_io_close(c->io);
	http_pair_close(&c->pair);
	loop_timer_done(&c->deadline);
	tls_free(c->tls);
	if (c->fd >= 0) {
		close(c->fd);
		limits_give(c->wire->opts->limits, LIMIT_CONNECTIONS, c->peer.addr);
	}
	buf_done(&c->in);
	buf_done(&c->out);
	wire_remove(c->wire, &c->member);
	if (c->again_queued)
		c->freed = true; /* on_again frees */
	else
		free(c);
}

static void on_deadline(struct loop_timer *t)
{
	struct conn *c = container_of(t, struct conn, deadline);

	c->closing = true;
	conn_turn(c);
}

static void on_stop(struct wire_member *m, bool hard)
{
	struct conn *c = container_of(m, struct conn, member);

	(void)hard; /* whatever answer is under way, libmicrohttpd stops as well */
	conn_free(c);
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct conn *c = ctx;

	(void)io;
	(void)ready;
	if (c->stage <= STAGE_TLS && !loop_share_left(&c->wire->handshakes))
		return;
	conn_turn(c);
}

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

static void pull(struct conn *c)
{
	while (!c->eof && buf_len(&c->in) < CONN_IN_MAX / 2) {
		size_t n, room = CONN_IN_MAX / 2;
		uint8_t *at = buf_reserve(&c->in, room);

		if (!at) {
			c->closing = true;
			return;
		}
		switch (tls_read(c->tls, at, room, &n)) {
		case TLS_OK:
			buf_commit(&c->in, n);
			break;
		case TLS_WANT_READ:
			return;
		case TLS_WANT_WRITE:
			c->tls_wants_write = true;
			return;
		case TLS_EOF:
			c->eof = true;
			return;
		case TLS_FAIL:
			c->closing = true;
			return;
		}
	}
}

static void push(struct conn *c)
{
	while (buf_len(&c->out)) {
		size_t n;

		switch (tls_write(c->tls, buf_view(&c->out), &n)) {
		case TLS_OK:
			buf_consume(&c->out, n);
			break;
		case TLS_WANT_READ:
			return;
		case TLS_WANT_WRITE:
			c->tls_wants_write = true;
			return;
		case TLS_EOF:
		case TLS_FAIL:
			c->closing = true;
			return;
		}
	}
	buf_release(&c->out);
}

/* ---- stages -------------------------------------------------------------------------------------------------------- */

static enum step refuse(struct conn *c, struct bytes answer)
{
	atomic_fetch_add_explicit(&c->wire->counters->bad_heads, 1, memory_order_relaxed);
	buf_append(&c->out, answer);
	c->stage = STAGE_FLUSH;
	c->linger = true;
	return STEP_AGAIN;
}

/* While a body comes, its own limit holds as well: a byte a second would hold the connection for ever. */
static void restart_deadline(struct conn *c, int64_t ms)
{
	if (c->stage == STAGE_BODY) {
		int64_t left = c->body_until_ms - loop_now_ms(c->wire->loop);

		ms = left < ms ? left : ms;
	}
	loop_timer_in(&c->deadline, ms > 0 ? ms : 0);
}

/* The header is peeked at and then read exactly, so that TLS finds its own first byte in the socket. */
static enum step proxy_step(struct conn *c)
{
	uint8_t head[PROXY_V2_MAX];
	struct addrport client;
	size_t used;
	ssize_t n = recv(c->fd, head, sizeof head, MSG_PEEK);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			c->closing = true;
		return STEP_MORE;
	}
	switch (proxy_protocol_parse(bytes_of(head, (size_t)n), &client, &used)) {
	case OK:
		break;
	case ERR_TRUNCATED:
		return STEP_MORE;
	default:
		c->closing = true;
		return STEP_MORE;
	}
	if (recv(c->fd, head, used, 0) != (ssize_t)used) {
		c->closing = true;
		return STEP_MORE;
	}
	if (client.addr.family) { /* from here on it counts as that client's */
		struct limits *l = c->wire->opts->limits;
		int64_t now = loop_now_ms(c->wire->loop);
		struct addr proxy = c->peer.addr;

		if (!limits_take(l, LIMIT_CONNECTIONS, client.addr, now)) {
			c->closing = true;
			return STEP_MORE;
		}
		limits_give(l, LIMIT_CONNECTIONS, proxy);
		give_handshake(c);
		c->peer = client;
		c->handshaking = limits_take(l, LIMIT_HANDSHAKES, client.addr, now);
		if (!c->handshaking) {
			c->closing = true;
			return STEP_MORE;
		}
	}
	c->stage = STAGE_TLS;
	return STEP_AGAIN;
}

static enum step tls_step(struct conn *c)
{
	switch (tls_handshake(c->tls)) {
	case TLS_OK:
		c->stage = STAGE_HEAD;
		return STEP_AGAIN;
	case TLS_WANT_READ:
		return STEP_MORE;
	case TLS_WANT_WRITE:
		c->tls_wants_write = true;
		return STEP_MORE;
	case TLS_EOF:
	case TLS_FAIL:
		break;
	}
	c->closing = true;
	return STEP_MORE;
}

static void on_derp_settled(void *limits, struct addr counted)
{
	limits_give(limits, LIMIT_HANDSHAKES, counted);
}

static void on_derp_over(void *limits, struct addr counted)
{
	limits_give(limits, LIMIT_CONNECTIONS, counted);
}

/* Gives the descriptor away: what is left of us goes. client: the real address of this request. */
static enum step hand_over(struct conn *c, struct upgrade *u, struct addrport client, size_t head_len)
{
	struct wire *w = c->wire;
	bool derp = u->kind == UPGRADE_DERP || u->kind == UPGRADE_DERP_WS;

	if (derp && !c->handshaking) /* a later request; until it is admitted it is a stranger again */
		c->handshaking = limits_take(w->opts->limits, LIMIT_HANDSHAKES, c->peer.addr, loop_now_ms(w->loop));
	if (derp && !c->handshaking) {
		c->closing = true;
		return STEP_MORE;
	}
	struct tls *tls = MOVE(c->tls);
	int fd = c->fd;

	c->fd = -1;
	loop_io_close(c->io);
	c->io = NULL;
	loop_timer_stop(&c->deadline);
	buf_consume(&c->in, head_len);
	if (derp) {
		atomic_fetch_add_explicit(&w->counters->derp, 1, memory_order_relaxed);
		c->handshaking = false; /* on_derp_settled gives it */
		derp_conn_start(w->derp,
			&(struct derp_conn_start){
				.fd = fd,
				.tls = tls,
				.peer = client,
				.upgrade = u,
				.early = buf_view(&c->in),
				.count = { on_derp_settled, on_derp_over, w->opts->limits, c->peer.addr },
			});
	} else {
		struct ts2021_start start = {
			.wire = w,
			.fd = fd,
			.tls = tls,
			.counted = c->peer,
			.client = client,
			.websocket = u->kind == UPGRADE_TS2021_WS,
			.initiation = bytes_of(u->initiation, u->initiation_len),
			.early = buf_view(&c->in),
		};

		atomic_fetch_add_explicit(&w->counters->ts2021, 1, memory_order_relaxed);
		give_handshake(c);
		upgrade_write_101(u, NULL, &c->out);
		start.head = buf_view(&c->out);
		ts2021_session_start(&start);
	}
	conn_free(c);
	return STEP_GONE;
}

static enum step to_http(struct conn *c, const struct http1_request *r, struct addrport client)
{
	if (http_pair_is_open(&c->pair) && !addr_eq(c->pair.client.addr, client.addr)) {
		http_pair_shut(&c->pair); /* another client of the same proxy: its own pair, after this one */
		c->stage = STAGE_PAIR;
		return STEP_AGAIN;
	}
	if (!http_pair_is_open(&c->pair)) {
		err e = http_pair_open(&c->pair, c->wire, client, on_ready, c);

		if (e != OK)
			return refuse(c, http1_refusal(ERR_BUSY));
	}
	atomic_fetch_add_explicit(&c->wire->counters->http_requests, 1, memory_order_relaxed);
	c->head_left = r->head_len;
	http1_body_init(&c->body, r->framing, r->body_len);
	c->body_until_ms = loop_now_ms(c->wire->loop) + CONN_BODY_MS;
	c->stage = STAGE_BODY;
	return STEP_AGAIN;
}

static enum step head_step(struct conn *c)
{
	const struct front_opts *o = c->wire->opts;
	struct http1_request r;
	struct upgrade u;

	if (c->pair.eof) { /* libmicrohttpd ended this connection: "Connection: close", an error, or it stops */
		c->stage = STAGE_FLUSH;
		c->linger = buf_len(&c->in) > 0;
		return STEP_AGAIN;
	}
	if (buf_len(&c->in) == 0 && !c->eof)
		return STEP_MORE;
	switch (http1_parse_request(buf_view(&c->in), &r)) {
	case OK:
		break;
	case ERR_TRUNCATED:
		if (!c->eof)
			return STEP_MORE;
		if (http_pair_is_open(&c->pair) && buf_len(&c->in) == 0) {
			http_pair_shut(&c->pair); /* the client sends no more, but may still read */
			return STEP_MORE;
		}
		c->stage = STAGE_FLUSH;
		return STEP_AGAIN;
	case ERR_TOO_BIG:
		return refuse(c, http1_refusal(ERR_TOO_BIG));
	case ERR_UNSUPPORTED:
		return refuse(c, http1_refusal(ERR_UNSUPPORTED));
	default:
		return refuse(c, http1_refusal(ERR_MALFORMED));
	}
	struct addrport client = client_addr(&r.headers, c->peer, o->trusted_proxies, o->n_trusted_proxies);
	upgrade_detect(&r, &u);
	if (!o->relay && (u.kind == UPGRADE_DERP || u.kind == UPGRADE_DERP_WS)) {
		u.kind = UPGRADE_REFUSED;
		u.status = 404;
		u.text = "derp server disabled";
	}
	CLEANUP(buf_done) struct buf own = buf_make(CONN_OUT_MAX);
	bool answered = u.kind == UPGRADE_NONE && r.framing == HTTP1_BODY_NONE && front_answer(o, &r, &own);
	if ((answered || u.kind != UPGRADE_NONE) && http_pair_is_open(&c->pair)) { /* earlier answers come first */
		http_pair_shut(&c->pair);
		c->stage = STAGE_PAIR;
		return STEP_AGAIN;
	}
	if (++c->turn_requests > CONN_REQUESTS_A_TURN)
		return STEP_YIELD;
	if (u.kind == UPGRADE_REFUSED) {
		CLEANUP(buf_done) struct buf answer = buf_make(CONN_OUT_MAX);

		upgrade_write_refusal(&u, &answer);
		return refuse(c, buf_view(&answer));
	}
	if (u.kind != UPGRADE_NONE)
		return buf_len(&c->out) ? STEP_BLOCKED : hand_over(c, &u, client, r.head_len);
	give_handshake(c);
	if (answered) {
		if (buf_len(&c->out) >= CONN_OUT_HIGH)
			return STEP_BLOCKED; /* the client asks faster than it reads */
		buf_append(&c->out, buf_view(&own));
		buf_consume(&c->in, r.head_len);
		if (!r.keep_alive)
			c->stage = STAGE_FLUSH;
		else
			loop_timer_in(&c->deadline, CONN_IDLE_MS);
		return STEP_AGAIN;
	}
	return to_http(c, &r, client);
}

/* libmicrohttpd takes no more of this body: its answer may still lie in the pair. */
static enum step pair_gone(struct conn *c)
{
	c->pair_gone = c->linger = true;
	c->stage = STAGE_FLUSH;
	return STEP_AGAIN;
}

/* Forwards the head as it came, then the body as far as its framing says. */
static enum step body_step(struct conn *c)
{
	size_t n;

	if (c->pair.eof) { /* answered and closed before the body was through: 413, or libmicrohttpd stops */
		c->stage = STAGE_FLUSH;
		c->linger = true;
		return STEP_AGAIN;
	}
	size_t had = buf_len(&c->in);

	restart_deadline(c, CONN_STALL_MS);
	while (c->head_left) {
		if (http_pair_send(&c->pair, bytes_first(buf_view(&c->in), c->head_left), &n) != OK)
			return pair_gone(c);
		if (n == 0)
			return STEP_MORE;
		buf_consume(&c->in, n);
		c->head_left -= n;
	}
	while (!c->body.done) {
		/* The framing is walked over bytes that the pair took, never over others. */
		struct http1_body ahead = c->body;
		struct bytes data, rest = buf_view(&c->in);
		size_t used, span = 0;

		do {
			if (http1_body_step(&ahead, bytes_skip(rest, span), &used, &data) != OK)
				return refuse(c, http1_refusal(ERR_MALFORMED));
			span += used;
		} while (used && !ahead.done);
		if (span == 0) {
			if (c->eof)
				c->closing = true;
			return buf_len(&c->in) < had ? STEP_YIELD : STEP_MORE; /* TLS may hold what comes next: no readiness tells of it */
		}
		if (http_pair_send(&c->pair, bytes_first(rest, span), &n) != OK)
			return pair_gone(c);
		if (n == 0)
			return STEP_MORE;
		for (size_t at = 0; at < n;) {
			if (http1_body_step(&c->body, bytes_first(bytes_skip(rest, at), n - at), &used, &data) != OK || used == 0)
				break;
			at += used;
		}
		buf_consume(&c->in, n);
	}
	c->stage = STAGE_HEAD;
	loop_timer_in(&c->deadline, CONN_IDLE_MS);
	return STEP_AGAIN;
}

static enum step pair_step(struct conn *c)
{
	if (!c->pair.eof)
		return STEP_MORE;
	http_pair_close(&c->pair);
	c->stage = STAGE_HEAD;
	return STEP_AGAIN;
}

static enum step flush_step(struct conn *c)
{
	if (buf_len(&c->out) || (c->pair_gone && !c->pair.eof))
		return STEP_MORE;
	if (!c->linger || c->eof) {
		c->closing = true;
		return STEP_MORE;
	}
	http_pair_close(&c->pair);
	tls_end(c->tls);
	buf_done(&c->in);
	loop_timer_in(&c->deadline, CONN_LINGER_MS);
	c->stage = STAGE_LINGER;
	return STEP_AGAIN;
}

static enum step linger_step(struct conn *c)
{
	if (tls_discard(c->tls, &c->lingered) == TLS_EOF || c->lingered > CONN_LINGER_MAX)
		c->closing = true;
	return STEP_MORE;
}

static enum step (*const stage_step[STAGE_N])(struct conn *) = {
	[STAGE_PROXY] = proxy_step,
	[STAGE_TLS] = tls_step,
	[STAGE_HEAD] = head_step,
	[STAGE_BODY] = body_step,
	[STAGE_PAIR] = pair_step,
	[STAGE_FLUSH] = flush_step,
	[STAGE_LINGER] = linger_step,
};

/* One turn: take what came, step as far as it goes, send what is to be sent, say what to wait for. */
static void conn_turn(struct conn *c)
{
	enum step s = STEP_AGAIN;

	c->tls_wants_write = false;
	c->turn_requests = 0;
	while (!c->closing && s == STEP_AGAIN) {
		if (c->stage >= STAGE_HEAD && c->stage != STAGE_LINGER) {
			if (c->stage != STAGE_FLUSH)
				pull(c);
			if (http_pair_is_open(&c->pair)) {
				size_t before = buf_len(&c->out);

				http_pair_receive(&c->pair, &c->out, CONN_OUT_HIGH);
				if (buf_len(&c->out) != before)
					restart_deadline(c, c->stage == STAGE_HEAD ? CONN_IDLE_MS : CONN_STALL_MS);
			}
			push(c);
		}
		if (!c->closing)
			s = stage_step[c->stage](c);
		if (s == STEP_GONE)
			return;
		if (!c->closing && c->stage >= STAGE_HEAD && c->stage != STAGE_LINGER && s != STEP_AGAIN)
			push(c);
		if (buf_len(&c->out) == 0 && (s == STEP_BLOCKED || (s == STEP_MORE && c->stage == STAGE_FLUSH && (!c->pair_gone || c->pair.eof))))
			s = STEP_AGAIN;
	}
	if (s == STEP_YIELD && !c->closing && !c->again_queued) {
		c->again_queued = true;
		loop_post_node(c->wire->loop, &c->again);
	}
	if (c->closing) {
		conn_free(c);
		return;
	}
	bool reads = !c->eof && c->stage != STAGE_FLUSH && buf_len(&c->in) < CONN_IN_MAX / 2;
	loop_io_want(c->io, (reads ? LOOP_READ : 0) | (buf_len(&c->out) || c->tls_wants_write ? LOOP_WRITE : 0));
	if (http_pair_is_open(&c->pair)) {
		bool sends = c->stage == STAGE_BODY && buf_len(&c->in);

		loop_io_want(c->pair.io, (!c->pair.eof && buf_len(&c->out) < CONN_OUT_HIGH ? LOOP_READ : 0) | (sends ? LOOP_WRITE : 0));
	}
}

static bool is_in(const struct prefix *p, size_t n, struct addr a)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_contains(p[i], a))
			return true;
	return false;
}

void conn_start(struct wire *w, int fd, struct tls_ctx *tls, struct addrport peer, bool proxied)
{
	struct limits *l = w->opts->limits;
	int64_t now = loop_now_ms(w->loop);
	struct conn *c = NULL;

	if (proxied || is_in(w->opts->trusted_proxies, w->opts->n_trusted_proxies, peer.addr))
		limits_exempt(l, peer.addr, now); /* one address for all that come through it; the totals hold */
	if (!limits_take(l, LIMIT_CONNECTIONS, peer.addr, now)) {
		close(fd);
		return;
	}
	bool shaking = limits_take(l, LIMIT_HANDSHAKES, peer.addr, now);
	if (shaking)
		c = calloc(1, sizeof *c);
	if (!c) {
		if (shaking)
			limits_give(l, LIMIT_HANDSHAKES, peer.addr);
		limits_give(l, LIMIT_CONNECTIONS, peer.addr);
		close(fd);
		return;
	}
	*c = (struct conn){
		.wire = w,
		.fd = fd,
		.tls_ctx = tls,
		.peer = peer,
		.stage = proxied ? STAGE_PROXY : STAGE_TLS,
		.handshaking = true,
		.in = buf_make(CONN_IN_MAX),
		.out = buf_make(CONN_OUT_MAX),
		.pair = { .fd = -1 },
		.again = { .fn = on_again },
	};
	wire_add(w, &c->member, on_stop);
	loop_timer_init(&c->deadline, w->loop, on_deadline);
	sock_nodelay(fd);
	if (tls_new(tls, fd, NULL, &c->tls) != OK || loop_io_new(w->loop, fd, on_ready, c, &c->io) != OK) {
		conn_free(c);
		return;
	}
	loop_timer_in(&c->deadline, CONN_HANDSHAKE_MS);
	loop_io_want(c->io, LOOP_READ);
}
