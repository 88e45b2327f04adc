#include "client/control/link.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/http/http1.h"
#include "common/net/sock.h"
#include "common/net/tls.h"

enum { READ_STEP = 16 * 1024, KEY_ANSWER_MAX = HTTP1_HEAD_MAX + 2 * CONTROL_KEY_MAX };

enum stage { IDLE, RESOLVING, CONNECTING, SHAKING, OPEN };

/* One look-up on a worker thread. It outlives the link when that goes first. */
struct lookup {
	struct control_link *k; /* NULL: nobody waits any more */
	char name[256];
	struct addr found[LINK_ADDRESSES_MAX];
	size_t n;
};

struct control_link {
	struct loop *loop;
	struct control *c;
	uint32_t mark;
	struct link_server server;
	struct lookup *lookup; /* in flight */
	struct addr at[LINK_ADDRESSES_MAX];
	size_t n_at, next;
	bool fallback;	 /* TLS on 443 instead of plain http */
	bool for_key;
	uint64_t id;
	enum stage stage;
	int fd;
	struct loop_io *io;
	struct tls *tls;
	bool wants_write;
	struct buf out, in; /* of GET /key */
	struct loop_timer timer, connect_timer;
	struct loop_post turn;
	bool turn_queued;
	char why[200];
};

err link_parse_url(const char *url, struct link_server *out)
{
	struct bytes b = bytes_str(url), https = BYTES_LIT("https://"), http = BYTES_LIT("http://");
	struct link_server s = { .secure = bytes_has_prefix(b, https) };
	struct addrport ap;
	struct addr a;
	uint64_t port = s.secure ? 443 : 80;

	if (!s.secure && !bytes_has_prefix(b, http))
		return ERR_INVALID;
	b = bytes_skip(b, s.secure ? https.n : http.n);
	while (b.n && b.p[b.n - 1] == '/')
		b.n--;
	if (b.n == 0 || memchr(b.p, '/', b.n) || memchr(b.p, '@', b.n) || memchr(b.p, '?', b.n) || memchr(b.p, '#', b.n))
		return ERR_INVALID;
	if (b.p[0] == '[') {
		struct bytes rest, name = bytes_cut(bytes_skip(b, 1), ']', &rest);

		if (!rest.p || addr_parse(name, &a) != OK || (rest.n && rest.p[0] != ':'))
			return ERR_INVALID;
		if (rest.n && bytes_parse_u64(bytes_skip(rest, 1), 65535, &port) != OK)
			return ERR_INVALID;
		TRY(bytes_copy(s.name, sizeof s.name - 1, name));
	} else {
		struct bytes rest, name = bytes_cut(b, ':', &rest);

		if (rest.p && bytes_parse_u64(rest, 65535, &port) != OK)
			return ERR_INVALID;
		for (size_t i = 0; i < name.n; i++)
			if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", name.p[i]))
				return ERR_INVALID;
		if (name.n == 0)
			return ERR_INVALID;
		TRY(bytes_copy(s.name, sizeof s.name - 1, name));
	}
	if (port == 0)
		return ERR_INVALID;
	s.port = (uint16_t)port;
	if (addr_parse(bytes_str(s.name), &a) == OK) {
		char text[ADDRPORT_TEXT_MAX];

		ap = (struct addrport){ a, s.port };
		snprintf(s.host, sizeof s.host, "%s", addrport_text(ap, text));
		s.is_private = addr_is_private(a) || addr_is_loopback(a);
	} else {
		snprintf(s.host, sizeof s.host, "%s:%u", s.name, s.port);
		s.is_private = strcmp(s.name, "localhost") == 0;
	}
	*out = s;
	return OK;
}

/* ---- the connection ------------------------------------------------------------------------------------------------ */

static void queue_turn(struct control_link *k)
{
	if (k->turn_queued)
		return;
	k->turn_queued = true;
	loop_defer_node(k->loop, &k->turn);
}

static void close_now(struct control_link *k)
{
	loop_timer_stop(&k->connect_timer);
	loop_io_close(MOVE(k->io));
	tls_free(MOVE(k->tls));
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	k->stage = IDLE;
	buf_done(&k->in);
	buf_done(&k->out);
	if (k->lookup)
		k->lookup->k = NULL;
	k->lookup = NULL;
}

static void connect_next(struct control_link *k);

static uint16_t port_of(const struct control_link *k)
{
	return k->fallback ? 443 : k->server.port;
}

/* This address, or this way, is no good: the next one, or the engine hears why. */
static void attempt_failed(struct control_link *k, const char *why)
{
	bool started = k->stage == OPEN;

	snprintf(k->why, sizeof k->why, "%s", why);
	loop_timer_stop(&k->connect_timer);
	loop_io_close(MOVE(k->io));
	tls_free(MOVE(k->tls));
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	if (!started && k->next < k->n_at) {
		connect_next(k);
		return;
	}
	if (!started && !k->fallback && !k->server.secure && !k->server.is_private) {
		k->fallback = true;
		k->next = 0;
		connect_next(k);
		return;
	}
	close_now(k);
	control_lost(k->c, k->why, loop_now_ms(k->loop));
	queue_turn(k);
}

static void put_key_request(struct control_link *k)
{
	buf_printf(&k->out, "GET /key?v=%u HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", CONTROL_VERSION, k->server.host);
}

static void on_key_answer(struct control_link *k, bool ended)
{
	struct http1_response r;
	struct http1_body walk;
	CLEANUP(buf_done) struct buf body = buf_make(CONTROL_KEY_MAX);
	char text[80];
	err e = http1_parse_response(buf_view(&k->in), false, &r);

	if (e == ERR_TRUNCATED && !ended)
		return;
	if (e != OK) {
		attempt_failed(k, "the answer to GET /key is no HTTP");
		return;
	}
	if (r.status != 200) {
		snprintf(text, sizeof text, "GET /key: HTTP status %u", r.status);
		attempt_failed(k, text);
		return;
	}
	struct bytes rest = bytes_skip(buf_view(&k->in), r.head_len);
	http1_body_init(&walk, r.framing, r.body_len);
	for (;;) {
		struct bytes data;
		size_t used;

		if (http1_body_step(&walk, rest, &used, &data) != OK) {
			attempt_failed(k, "the answer to GET /key is no HTTP");
			return;
		}
		buf_append(&body, data);
		rest = bytes_skip(rest, used);
		if (walk.done || used == 0)
			break;
	}
	if (!walk.done && !(ended && r.framing == HTTP1_BODY_UNTIL_CLOSE)) {
		if (ended)
			attempt_failed(k, "the answer to GET /key is cut off");
		return;
	}
	close_now(k);
	control_key(k->c, buf_view(&body), loop_now_ms(k->loop));
	queue_turn(k);
}

/* Gives the engine what came. False: the connection is gone. */
static bool deliver(struct control_link *k, struct bytes in)
{
	if (k->for_key) {
		buf_append(&k->in, in);
		if (k->in.bad) {
			attempt_failed(k, "the answer to GET /key is too long");
			return false;
		}
		on_key_answer(k, false);
	} else {
		control_feed(k->c, in, loop_now_ms(k->loop));
		if (control_want(k->c) != CONTROL_WANT_LINK || control_link_id(k->c) != k->id)
			close_now(k);
	}
	return k->stage == OPEN;
}

static void pull(struct control_link *k)
{
	uint8_t p[READ_STEP];
	size_t n;

	for (;;) {
		switch (tls_read(k->tls, p, sizeof p, &n)) {
		case TLS_OK:
			if (!deliver(k, bytes_of(p, n)))
				return;
			break;
		case TLS_WANT_READ:
			return;
		case TLS_WANT_WRITE:
			k->wants_write = true;
			return;
		case TLS_EOF:
			if (k->for_key)
				on_key_answer(k, true);
			else
				attempt_failed(k, "the server closed the connection");
			return;
		case TLS_FAIL:
			attempt_failed(k, *tls_why(k->tls) ? tls_why(k->tls) : "the connection broke");
			return;
		}
	}
}

static void push(struct control_link *k)
{
	struct buf *out = k->for_key ? &k->out : control_out(k->c);

	k->wants_write = false;
	while (out && buf_len(out)) {
		size_t n;

		switch (tls_write(k->tls, buf_view(out), &n)) {
		case TLS_OK:
			buf_consume(out, n);
			break;
		case TLS_WANT_READ:
			return;
		case TLS_WANT_WRITE:
			k->wants_write = true;
			return;
		case TLS_EOF:
		case TLS_FAIL:
			attempt_failed(k, "the connection broke while sending");
			return;
		}
	}
}

static void shake(struct control_link *k)
{
	switch (tls_handshake(k->tls)) {
	case TLS_OK:
		k->stage = OPEN;
		loop_timer_stop(&k->connect_timer);
		if (k->for_key)
			put_key_request(k);
		break;
	case TLS_WANT_READ:
		break;
	case TLS_WANT_WRITE:
		k->wants_write = true;
		break;
	case TLS_EOF:
	case TLS_FAIL:
		attempt_failed(k, *tls_why(k->tls) ? tls_why(k->tls) : "the server closed the connection");
		break;
	}
}

static void connected(struct control_link *k)
{
	struct tls_client_opts o = { .insecure = k->fallback, .once = true };
	struct tls_ctx *ctx = NULL;
	char why[100];
	int refused = sock_error(k->fd);

	if (refused) {
		errno = refused;
		snprintf(why, sizeof why, "cannot connect: %m");
		attempt_failed(k, why);
		return;
	}
	sock_nodelay(k->fd);
	err e = k->fallback || k->server.secure ? tls_client_new(&o, &ctx) : OK;
	if (e == OK)
		e = tls_new(ctx, k->fd, k->server.name, &k->tls);
	tls_ctx_free(ctx);
	if (e != OK) {
		attempt_failed(k, "out of memory");
		return;
	}
	k->stage = SHAKING;
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct control_link *k = ctx;

	(void)io;
	k->wants_write = false;
	if (k->stage == CONNECTING && ready & (LOOP_WRITE | LOOP_HANGUP))
		connected(k);
	if (k->stage == SHAKING)
		shake(k);
	if (k->stage == OPEN && ready & (LOOP_READ | LOOP_HANGUP))
		pull(k);
	queue_turn(k);
}

static void connect_next(struct control_link *k)
{
	struct addrport to;

	while (k->next < k->n_at) {
		to = (struct addrport){ k->at[k->next++], port_of(k) };
		if (sock_connect_tcp(to, &k->fd) != OK)
			continue;
		/* Without the right to mark there is no tunnel to be passed by, either. */
		if (k->mark)
			(void)!setsockopt(k->fd, SOL_SOCKET, SO_MARK, &k->mark, sizeof k->mark);
		if (loop_io_new(k->loop, k->fd, on_ready, k, &k->io) != OK) {
			close(k->fd);
			k->fd = -1;
			continue;
		}
		k->stage = CONNECTING;
		loop_io_want(k->io, LOOP_WRITE);
		loop_timer_in(&k->connect_timer, LINK_CONNECT_MS);
		return;
	}
	attempt_failed(k, k->why[0] ? k->why : "cannot connect: no route to the server");
}

static void on_connect_timeout(struct loop_timer *t)
{
	struct control_link *k = container_of(t, struct control_link, connect_timer);

	attempt_failed(k, "cannot connect: timed out");
	queue_turn(k);
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

static void look_up(void *arg)
{
	struct lookup *l = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *res;

	if (getaddrinfo(l->name, NULL, &hints, &res) != 0)
		return;
	for (struct addrinfo *a = res; a && l->n < LINK_ADDRESSES_MAX; a = a->ai_next) {
		struct addrport ap = addrport_from_sockaddr(a->ai_addr);

		if (ap.addr.family)
			l->found[l->n++] = ap.addr;
	}
	freeaddrinfo(res);
}

static void looked_up(void *arg)
{
	struct lookup *l = arg;
	struct control_link *k = l->k;

	if (k) {
		k->lookup = NULL;
		if (l->n) {
			memcpy(k->at, l->found, sizeof k->at);
			k->n_at = l->n;
		} /* else: the addresses of last time, if any */
		k->next = 0;
		if (k->n_at)
			connect_next(k);
		else
			attempt_failed(k, "the login server's name cannot be resolved");
	}
	free(l);
}

static void start(struct control_link *k)
{
	struct addr literal;

	k->why[0] = 0;
	k->fallback = false;
	k->next = 0;
	k->for_key = control_want(k->c) == CONTROL_WANT_KEY;
	k->id = control_link_id(k->c);
	k->out = buf_make(2048);
	k->in = buf_make(KEY_ANSWER_MAX);
	if (addr_parse(bytes_str(k->server.name), &literal) == OK) {
		k->at[0] = literal;
		k->n_at = 1;
		connect_next(k);
		return;
	}
	struct lookup *l = calloc(1, sizeof *l);
	if (!l || bytes_copy(l->name, sizeof l->name - 1, bytes_str(k->server.name)) != OK ||
		loop_work(k->loop, look_up, looked_up, l) != OK) {
		free(l);
		attempt_failed(k, "out of memory");
		return;
	}
	l->k = k;
	k->lookup = l;
	k->stage = RESOLVING;
}

/* ---- turns --------------------------------------------------------------------------------------------------------- */

static void on_turn(struct loop_post *p)
{
	struct control_link *k = container_of(p, struct control_link, turn);
	int64_t now = loop_now_ms(k->loop);

	k->turn_queued = false;
	if (k->stage == OPEN)
		push(k);
	enum control_want want = control_want(k->c);
	bool fits = (want == CONTROL_WANT_KEY && k->for_key) ||
		(want == CONTROL_WANT_LINK && !k->for_key && control_link_id(k->c) == k->id);
	if (k->stage != IDLE && !fits)
		close_now(k);
	if (k->stage == IDLE && want != CONTROL_WANT_NOTHING)
		start(k);
	if (k->io) {
		struct buf *out = k->stage != OPEN ? NULL : k->for_key ? &k->out : control_out(k->c);
		bool write = k->stage == CONNECTING || k->wants_write || (k->stage == OPEN && out && buf_len(out));

		if (k->io)
			loop_io_want(k->io, (k->stage == CONNECTING ? 0 : LOOP_READ) | (write ? LOOP_WRITE : 0));
	}
	int64_t due = control_due_ms(k->c);
	if (due == INT64_MAX)
		loop_timer_stop(&k->timer);
	else
		loop_timer_in(&k->timer, MAX_OF(due - now, (int64_t)1));
}

static void on_timer(struct loop_timer *t)
{
	struct control_link *k = container_of(t, struct control_link, timer);

	control_tick(k->c, loop_now_ms(k->loop));
	queue_turn(k);
}

err control_link_new(struct loop *l, struct control *c, uint32_t mark, struct control_link **out)
{
	struct control_link *k = calloc(1, sizeof *k);

	if (!k)
		return ERR_NOMEM;
	*k = (struct control_link){ .loop = l, .c = c, .mark = mark, .fd = -1, .turn = { .fn = on_turn } };
	loop_timer_init(&k->timer, l, on_timer);
	loop_timer_init(&k->connect_timer, l, on_connect_timeout);
	*out = k;
	return OK;
}

void control_link_free(struct control_link *k)
{
	if (!k)
		return;
	close_now(k);
	loop_defer_cancel(k->loop, &k->turn);
	loop_timer_done(&k->timer);
	loop_timer_done(&k->connect_timer);
	free(k);
}

void control_link_set_server(struct control_link *k, const struct link_server *s)
{
	if (strcmp(k->server.host, s->host) != 0 || k->server.secure != s->secure) {
		close_now(k);
		k->n_at = 0;
	}
	k->server = *s;
}

bool control_link_is_loopback(const struct control_link *k)
{
	struct addr a;

	if (addr_parse(bytes_str(k->server.name), &a) == OK)
		return addr_is_loopback(addr_unmap(a));
	return bytes_eq_nocase(bytes_str(k->server.name), BYTES_LIT("localhost"));
}

void control_link_kick(struct control_link *k)
{
	queue_turn(k);
}

size_t control_link_addresses(const struct control_link *k, struct addr *out, size_t cap)
{
	size_t n = MIN_OF(k->n_at, cap);

	if (n)
		memcpy(out, k->at, n * sizeof *out);
	return n;
}
