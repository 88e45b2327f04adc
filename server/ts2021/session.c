#include "server/ts2021/session.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/crypto/noise_record.h"
#include "common/http/websocket.h"
#include "common/net/sock.h"
#include "common/wire/ts2021.h"
#include "server/core/runner.h"
#include "server/ts2021/rpc.h"
#include "server/ts2021/stream.h"

enum {
	IN_MAX = 64 * 1024,
	READ_STEP = 16 * 1024,
	READS_A_TURN = 8, /* then others of this wire get their turn */
	OUT_BATCH = 16 * 1024,	     /* plaintext asked of HTTP/2 at a time */
	OUT_MAX = 64 * 1024,	     /* sealed bytes that wait for the socket; asked for only when there are none */
	PLAIN_MAX = OUT_BATCH + HTTP2_WRITE_OVERSHOOT + 1024,
	CHECK_MS = 15000,
	H2_NO_ERROR = 0,
};

struct session {
	/* What sending needs comes first: warm() fetches it. */
	struct stream_host host;
	struct wire *wire;
	struct tls *tls;
	struct http2 *h2;
	struct websocket *ws; /* browsers: sealed bytes travel in its messages; NULL: bare */
	bool registered;
	bool closing, tls_wants_write;
	int64_t progress_ms; /* mono: output taken */
	struct buf out;	     /* as the socket gets it */
	struct noise_transport noise;
	struct buf in; /* sealed */
	struct wire_member member;
	int fd;
	struct loop_io *io;
	struct loop_timer check;
	struct addrport counted, client;
	struct machine_pub machine;
	bool unregistered; /* counted in LIMIT_UNREGISTERED */
	bool asked; /* at least one request */
	struct loop_post again; /* another turn: deferred to gather output, or posted so that others get theirs first */
	bool again_queued, freed;
	bool unread; /* the last pull left something: the turn to come reads on */
	int64_t started_ms, active_ms; /* mono: start; last request or end of one */
};

static void session_turn(struct session *s);
static void output_turn(struct session *s);

static void session_free(struct session *s)
{
	struct wire *w = s->wire;

	websocket_free(s->ws);
	http2_free(s->h2); /* ends the streams: their objects say goodbye to the core */
	loop_io_close(s->io);
	loop_timer_done(&s->check);
	tls_free(s->tls);
	close(s->fd);
	limits_give(w->opts->limits, LIMIT_CONNECTIONS, s->counted.addr);
	if (s->unregistered)
		limits_give(w->opts->limits, LIMIT_UNREGISTERED, s->client.addr);
	noise_transport_wipe(&s->noise);
	buf_done(&s->in);
	buf_done(&s->out);
	atomic_fetch_sub_explicit(&w->counters->ts2021_open, 1, memory_order_relaxed);
	wire_remove(w, &s->member);
	if (s->again_queued)
		s->freed = true; /* on_again frees */
	else
		free(s);
}

static void on_again(struct loop_post *p)
{
	struct session *s = container_of(p, struct session, again);

	s->again_queued = false;
	if (s->freed)
		free(s);
	else if (s->unread)
		session_turn(s);
	else
		output_turn(s);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static void on_request(struct http2 *h2, struct http2_stream *stream, const struct http2_message *m, void *ctx)
{
	struct session *s = ctx;
	int64_t now = loop_now_ms(s->wire->loop);
	struct rpc rpc;
	err e = OK;

	s->asked = true;
	s->active_ms = now;
	if (!limits_request(s->wire->opts->limits, &s->machine, now) || s->host.calls >= TS2021_CALLS_MAX) {
		stream_refuse(h2, stream, 429, "too many requests");
		return;
	}
	rpc_decode(m->method, m->path, m->body, &s->machine, s->client.addr, &rpc);
	switch (rpc.kind) {
	case RPC_REFUSE:
		stream_refuse(h2, stream, rpc.status, rpc.text);
		return;
	case RPC_CALL:
		e = call_start(&s->host, stream, rpc.event);
		break;
	case RPC_STREAM:
		if (s->host.maps >= TS2021_MAPS_MAX) {
			event_free(rpc.event);
			stream_refuse(h2, stream, 429, "too many map streams on this connection");
			return;
		}
		e = map_stream_start(&s->host, stream, rpc.event, rpc.zstd);
		break;
	}
	if (e != OK)
		stream_refuse(h2, stream, 503, "the server is busy, try again");
}

static void on_drained(struct http2 *h2, struct http2_stream *stream, void *ctx)
{
	(void)h2;
	(void)ctx;
	stream_on_drained(stream);
}

static void on_closed(struct http2 *h2, struct http2_stream *stream, uint32_t error, void *ctx)
{
	struct session *s = ctx;

	(void)h2;
	(void)error;
	s->active_ms = loop_now_ms(s->wire->loop);
	stream_on_closed(stream);
}

/* A person sees nothing of a status (trap T12): a login whose report is over all bounds is answered in words. */
static struct bytes on_too_big(struct http2 *h2, const struct http2_message *m, void *ctx)
{
	static _Thread_local struct log_limit limit = LOG_LIMIT(5, 60000);
	struct session *s = ctx;
	char key[KEY_SHORT_MAX];

	(void)h2;
	if (log_allow(&limit))
		log_warn("a request is too large", "machine=%s path=%s", machine_pub_short(&s->machine, key), log_q(m->path).s);
	if (!bytes_eq_str(m->path, "/machine/register"))
		return (struct bytes){ 0 };
	return BYTES_LIT("{\"Error\":\"this server cannot take what the device reports of itself: it is larger than 1280 KiB\"}");
}

static const struct http2_events events = { .on_request = on_request, .on_too_big = on_too_big, .on_drained = on_drained, .on_closed = on_closed };

static void host_on_output(struct stream_host *h)
{
	struct session *s = container_of(h, struct session, host);

	if (!s->again_queued) {
		s->again_queued = true;
		loop_defer_node(s->wire->loop, &s->again);
	}
}

static void host_on_registered(struct stream_host *h)
{
	struct session *s = container_of(h, struct session, host);

	if (s->registered)
		return;
	s->registered = true;
	limits_exempt(s->wire->opts->limits, s->client.addr, loop_now_ms(s->wire->loop));
	if (s->unregistered) {
		limits_give(s->wire->opts->limits, LIMIT_UNREGISTERED, s->client.addr);
		s->unregistered = false;
	}
}

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

/* Opens the records that are there and feeds HTTP/2. False: the connection is broken. */
static bool open_records(struct session *s)
{
	for (;;) {
		struct bytes plain;
		size_t used;
		err e = noise_record_open(&s->noise, &s->in, &plain, &used);

		if (e == ERR_TRUNCATED)
			return true;
		if (e != OK)
			return false;
		if (plain.n && http2_read(s->h2, plain, loop_now_ms(s->wire->loop)) != OK)
			return false;
		buf_consume(&s->in, used);
	}
}

/* Bytes off the socket. */
static bool take(struct session *s, struct bytes b)
{
	if (!s->ws)
		buf_append(&s->in, b);
	else if (websocket_read(s->ws, b, &s->in, &s->out) != OK)
		return false;
	return !s->in.bad && open_records(s);
}

/* To the socket; what it does not take yet waits in out, which is empty when this is called. */
static void transmit(struct session *s, struct bytes sealed)
{
	size_t n;

	while (sealed.n) {
		switch (tls_write(s->tls, sealed, &n)) {
		case TLS_OK:
			sealed = bytes_skip(sealed, n);
			s->progress_ms = loop_now_ms(s->wire->loop);
			continue;
		case TLS_WANT_READ:
			break;
		case TLS_WANT_WRITE:
			s->tls_wants_write = true;
			break;
		case TLS_EOF:
		case TLS_FAIL:
			s->closing = true;
			return;
		}
		buf_append(&s->out, sealed);
		s->closing |= s->out.bad;
		return;
	}
}

/* What waits in out. False: some of it still does, or the connection is over. */
static bool drain(struct session *s)
{
	size_t n;

	while (buf_len(&s->out)) {
		switch (tls_write(s->tls, buf_view(&s->out), &n)) {
		case TLS_OK:
			buf_consume(&s->out, n);
			s->progress_ms = loop_now_ms(s->wire->loop);
			continue;
		case TLS_WANT_READ:
			return false;
		case TLS_WANT_WRITE:
			s->tls_wants_write = true;
			return false;
		case TLS_EOF:
		case TLS_FAIL:
			s->closing = true;
			return false;
		}
	}
	buf_release(&s->out);
	return true;
}

/* Sealed bytes that go out with or after what is in out. */
static bool give(struct session *s, struct bytes sealed)
{
	if (s->ws)
		return websocket_send(s->ws, sealed, &s->out) == OK;
	buf_append(&s->out, sealed);
	return !s->out.bad;
}

/* Seals what is in the wire's plain and sends it. Only while nothing waits for the socket, so that data stays where it
 * can still be replaced until the peer takes it. */
static void seal_and_send(struct session *s)
{
	struct buf *plain = &s->wire->plain, *sealed = &s->wire->sealed;

	buf_clear(sealed);
	if (noise_record_seal(&s->noise, buf_view(plain), sealed) != OK)
		s->closing = true;
	else if (!s->ws)
		transmit(s, buf_view(sealed));
	else if (give(s, buf_view(sealed)))
		drain(s);
	else
		s->closing = true;
}

/* The wire's plain, empty. */
static struct buf *take_plain(struct wire *w)
{
	if (w->plain.max == 0) {
		w->plain = buf_make(PLAIN_MAX);
		w->sealed = buf_make(OUT_MAX);
	}
	buf_clear(&w->plain);
	return &w->plain;
}

static void pull(struct session *s)
{
	s->unread = false;
	for (int reads = 0;; reads++) {
		static _Thread_local uint8_t area[READ_STEP];
		size_t n;

		if (reads == READS_A_TURN) {
			s->unread = true;
			if (!s->again_queued) {
				s->again_queued = true;
				loop_post_node(s->wire->loop, &s->again);
			}
			return;
		}
		switch (tls_read(s->tls, area, sizeof area, &n)) {
		case TLS_OK:
			if (!take(s, bytes_of(area, n))) {
				s->closing = true;
				return;
			}
			break;
		case TLS_WANT_READ:
			buf_release(&s->in);
			return;
		case TLS_WANT_WRITE:
			s->tls_wants_write = true;
			return;
		case TLS_EOF:
		case TLS_FAIL:
			s->closing = true;
			return;
		}
	}
}

/* Sends what waits, then what HTTP/2 has to say. */
static void push(struct session *s)
{
	bool more = true;

	while (!s->closing && drain(s) && more) {
		struct buf *plain = take_plain(s->wire);

		if (http2_write(s->h2, plain, OUT_BATCH) != OK) {
			s->closing = true;
			return;
		}
		more = buf_len(plain) >= OUT_BATCH; /* less: that was all */
		seal_and_send(s);
	}
}

/* The end of a turn: s may be gone after it. */
static void settle(struct session *s)
{
	if (!s->closing && buf_len(&s->out) == 0 && http2_is_over(s->h2))
		s->closing = true;
	if (s->closing) {
		session_free(s);
		return;
	}
	loop_io_want(s->io, LOOP_READ | (buf_len(&s->out) || s->tls_wants_write ? LOOP_WRITE : 0));
}

static void session_turn(struct session *s)
{
	s->tls_wants_write = false;
	pull(s);
	push(s);
	settle(s);
}

/* There is something to say, and nothing was heard. */
static void output_turn(struct session *s)
{
	if (!buf_len(&s->out)) /* else the socket says when it takes more */
		push(s);
	settle(s);
}

static void fetch(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i += 64)
		__builtin_prefetch((const char *)p + i, 1);
}

static void host_warm(struct stream_host *h, unsigned step)
{
	struct session *s = container_of(h, struct session, host);

	switch (step) {
	case 0:
		fetch(s, offsetof(struct session, in));
		break;
	case 1:
		fetch(s->h2, 64);
		fetch(s->tls, 64);
		break;
	default:
		tls_warm(s->tls, step - 2);
		break;
	}
}

static bool host_send_now(struct stream_host *h, struct http2_stream *stream, struct bytes data)
{
	struct session *s = container_of(h, struct session, host);

	if (s->closing || buf_len(&s->out) || s->tls_wants_write || !http2_send_now(s->h2, stream, data, take_plain(s->wire)))
		return false;
	seal_and_send(s);
	if (s->closing || buf_len(&s->out))
		host_on_output(h); /* the turn to come closes it, or waits for the socket */
	return true;
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	(void)io;
	(void)ready;
	session_turn(ctx);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static void on_check(struct loop_timer *t)
{
	struct session *s = container_of(t, struct session, check);
	int64_t now = loop_now_ms(s->wire->loop);
	bool idle = s->host.calls == 0 && s->host.maps == 0;

	loop_timer_in(&s->check, CHECK_MS);
	if (buf_len(&s->out) && now - s->progress_ms > TS2021_STALL_MS)
		s->closing = true;
	if (!s->asked && now - s->started_ms > TS2021_FIRST_REQUEST_MS)
		s->closing = true;
	if (!s->registered && (now - s->started_ms > TS2021_UNREGISTERED_MS || (idle && now - s->active_ms > TS2021_FIRST_REQUEST_MS)))
		http2_terminate(s->h2, H2_NO_ERROR);
	if (s->registered && idle && now - s->active_ms > TS2021_IDLE_MS)
		http2_terminate(s->h2, H2_NO_ERROR);
	session_turn(s);
}

static void on_stop(struct wire_member *m, bool hard)
{
	struct session *s = container_of(m, struct session, member);

	if (hard) {
		session_free(s);
		return;
	}
	http2_terminate(s->h2, H2_NO_ERROR); /* GOAWAY; then the streams end */
	session_turn(s);
}

/* The Noise handshake: it all is in the upgrade request, so there is nothing to wait for. The answer goes to out. */
static bool shake_hands(struct session *s, const struct ts2021_start *st)
{
	struct ts2021_initiation init;
	CLEANUP(noise_session_wipe) struct noise_session ns;
	uint8_t response[NOISE_RESPONSE_LEN], frame[TS2021_FRAME_MAX];
	struct writer w = wr_init(frame, sizeof frame);

	buf_append(&s->out, st->head);
	if (ts2021_parse_initiation(st->initiation, &init) != OK || st->initiation.n != TS2021_INITIATION_LEN) {
		ts2021_write_error(&w, bytes_str(st->initiation.n == TS2021_INITIATION_LEN ? "unexpected handshake message type"
											    : "wrong handshake initiation size"));
		give(s, wr_view(&w));
		return false;
	}
	if (noise_respond(init.version, s->wire->opts->noise, init.noise, response, &ns) != OK)
		return false; /* not sealed for us: the connection just ends */
	s->noise = ns.transport;
	s->machine = ns.peer;
	ts2021_write_response(&w, bytes_of(response, sizeof response));
	return give(s, wr_view(&w));
}

static void abandon(const struct ts2021_start *st, struct buf *last_words)
{
	size_t n;

	if (buf_len(last_words) && tls_write(st->tls, buf_view(last_words), &n) != TLS_OK)
		n = 0;
	tls_free(st->tls);
	close(st->fd);
	limits_give(st->wire->opts->limits, LIMIT_CONNECTIONS, st->counted.addr);
	atomic_fetch_add_explicit(&st->wire->counters->ts2021_refused, 1, memory_order_relaxed);
}

void ts2021_session_start(const struct ts2021_start *st)
{
	static const struct http2_opts h2_opts = { .body_max = RPC_BODY_MAX, .bodies_max = TS2021_BODIES_MAX };
	struct limits *l = st->wire->opts->limits;
	int64_t now = loop_now_ms(st->wire->loop);
	struct session *s = calloc(1, sizeof *s);
	struct buf nothing = { 0 };

	if (!s || !limits_take(l, LIMIT_UNREGISTERED, st->client.addr, now)) {
		free(s);
		abandon(st, &nothing);
		return;
	}
	*s = (struct session){
		.wire = st->wire,
		.fd = st->fd,
		.counted = st->counted,
		.client = st->client,
		.in = buf_make(IN_MAX),
		.out = buf_make(OUT_MAX),
		.unregistered = true,
		.again = { .fn = on_again },
		.started_ms = now,
		.active_ms = now,
		.progress_ms = now,
	};
	if ((st->websocket && websocket_new(false, &s->ws) != OK) || !shake_hands(s, st) || http2_new(&h2_opts, &events, s, &s->h2) != OK ||
		loop_io_new(s->wire->loop, s->fd, on_ready, s, &s->io) != OK) {
		abandon(st, &s->out);
		limits_give(l, LIMIT_UNREGISTERED, st->client.addr);
		http2_free(s->h2);
		websocket_free(s->ws);
		noise_transport_wipe(&s->noise);
		buf_done(&s->out);
		free(s);
		return;
	}
	s->tls = st->tls;
	s->host = (struct stream_host){
		.h2 = s->h2,
		.wire = s->wire,
		.on_output = host_on_output,
		.send_now = host_send_now,
		.warm = host_warm,
		.on_registered = host_on_registered,
	};
	sock_user_timeout(s->fd, TS2021_USER_TIMEOUT_MS);
	sock_keepalive(s->fd, 60);
	atomic_fetch_add_explicit(&s->wire->counters->ts2021_open, 1, memory_order_relaxed);
	wire_add(s->wire, &s->member, on_stop);
	loop_timer_init(&s->check, s->wire->loop, on_check);
	loop_timer_in(&s->check, CHECK_MS);
	if (!take(s, st->early))
		s->closing = true;
	session_turn(s);
}
