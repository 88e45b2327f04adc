#include "common/net/fetch.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/http/http1.h"
#include "common/net/addr.h"
#include "common/net/sock.h"
#include "common/net/tls.h"

struct place { /* of a URL */
	bool https;
	char host[256], port[8], path[FETCH_URL_MAX];
};

struct get {
	const char *ca_file;
	int64_t until_ms;
	int fd;
	struct tls_ctx *ctx;
	struct tls *tls;
	char *why;
	size_t why_cap;
};

static err fail(struct get *g, err e, const char *text)
{
	snprintf(g->why, g->why_cap, "%s", text);
	return e;
}

static bool copy(struct bytes from, char *to, size_t cap)
{
	if (from.n >= cap)
		return false;
	memcpy(to, from.p, from.n);
	to[from.n] = 0;
	return true;
}

static bool split(const char *url, struct place *p)
{
	struct bytes rest = bytes_str(url), host, port, tail;

	if (strlen(url) >= FETCH_URL_MAX)
		return false;
	for (const char *c = url; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
			return false;
	p->https = strncmp(url, "https://", 8) == 0;
	if (!p->https && strncmp(url, "http://", 7) != 0)
		return false;
	rest = bytes_skip(rest, p->https ? 8 : 7);
	size_t n = strcspn((const char *)rest.p, "/?#");
	struct bytes at = bytes_first(rest, n);
	tail = bytes_skip(rest, n);
	if (at.n && at.p[0] == '[') {
		host = bytes_cut(bytes_skip(at, 1), ']', &port);
		port = port.n && port.p[0] == ':' ? bytes_skip(port, 1) : (struct bytes){ 0 };
	} else {
		host = bytes_cut(at, ':', &port);
	}
	size_t path = 0;
	while (path < tail.n && tail.p[path] != '#')
		path++;
	int len = snprintf(p->path, sizeof p->path, "%s%.*s", tail.n && tail.p[0] == '/' ? "" : "/", (int)path, (const char *)tail.p);
	return len > 0 && (size_t)len < sizeof p->path && host.n && copy(host, p->host, sizeof p->host) &&
	       copy(port.n ? port : p->https ? BYTES_LIT("443") : BYTES_LIT("80"), p->port, sizeof p->port) && !memchr(at.p, '@', at.n);
}

/* false: the time is over. */
static bool wait_for(struct get *g, short events)
{
	struct pollfd f = { .fd = g->fd, .events = events };
	int64_t left = g->until_ms - clock_mono_ms();

	return left > 0 && poll(&f, 1, (int)left) > 0;
}

static err connect_one(struct get *g, const struct addrinfo *ai)
{
	struct addrport to = addrport_from_sockaddr(ai->ai_addr);

	if (!to.addr.family)
		return ERR_SYS;
	TRY(sock_connect_tcp(to, &g->fd));
	if (!wait_for(g, POLLOUT)) {
		errno = ETIMEDOUT;
		return ERR_TIMEOUT;
	}
	errno = sock_error(g->fd);
	return errno ? ERR_SYS : OK;
}

static err connect_to(struct get *g, const struct place *p)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL;
	char text[400];
	int gai = getaddrinfo(p->host, p->port, &hints, &list);

	if (gai != 0) {
		snprintf(text, sizeof text, "%s: %s", p->host, gai_strerror(gai));
		return fail(g, ERR_SYS, text);
	}
	err e = ERR_SYS;
	for (struct addrinfo *ai = list; ai && e != OK; ai = ai->ai_next) {
		e = connect_one(g, ai);
		if (e != OK && g->fd >= 0) {
			close(g->fd);
			g->fd = -1;
		}
	}
	freeaddrinfo(list);
	snprintf(text, sizeof text, "%s port %s: %s", p->host, p->port, strerror(errno));
	return e == OK ? OK : fail(g, e, text);
}

static bool go_on(struct get *g, enum tls_io io)
{
	return (io == TLS_WANT_READ && wait_for(g, POLLIN)) || (io == TLS_WANT_WRITE && wait_for(g, POLLOUT));
}

static err broken(struct get *g, enum tls_io io)
{
	if (io == TLS_WANT_READ || io == TLS_WANT_WRITE)
		return fail(g, ERR_TIMEOUT, "no answer in time");
	return fail(g, ERR_SYS, tls_why(g->tls)[0] ? tls_why(g->tls) : "the connection broke");
}

static err start_tls(struct get *g, const struct place *p)
{
	enum tls_io io;

	if (p->https)
		TRY(tls_client_new(&(struct tls_client_opts){ .ca_file = g->ca_file, .once = true }, &g->ctx));
	TRY(tls_new(g->ctx, g->fd, p->https ? p->host : NULL, &g->tls));
	do
		io = tls_handshake(g->tls);
	while (go_on(g, io));
	return io == TLS_OK ? OK : broken(g, io);
}

static err send_request(struct get *g, const struct place *p)
{
	CLEANUP(buf_done) struct buf b = buf_make(4096);
	bool v6 = strchr(p->host, ':') != NULL;

	buf_printf(&b, "GET %s HTTP/1.0\r\nHost: %s%s%s:%s\r\nUser-Agent: fairlead\r\nAccept: application/json\r\n\r\n", p->path, v6 ? "[" : "",
		p->host, v6 ? "]" : "", p->port);
	if (b.bad)
		return fail(g, ERR_INVALID, "the URL is too long");
	for (struct bytes left = buf_view(&b); left.n;) {
		size_t n = 0;
		enum tls_io io = tls_write(g->tls, left, &n);

		if (io == TLS_OK)
			left = bytes_skip(left, n);
		else if (!go_on(g, io))
			return broken(g, io);
	}
	return OK;
}

/* All that comes until the end; more than out and a head take is too much. */
static err receive(struct get *g, struct buf *all)
{
	char piece[16384];

	for (;;) {
		size_t n = 0;
		enum tls_io io = tls_read(g->tls, piece, sizeof piece, &n);

		if (io == TLS_EOF)
			return OK;
		if (io == TLS_OK) {
			buf_append(all, bytes_of(piece, n));
			if (all->bad)
				return fail(g, ERR_TOO_BIG, "the answer is too large");
		} else if (!go_on(g, io)) {
			return broken(g, io);
		}
	}
}

static err read_answer(struct get *g, struct bytes all, struct buf *out, char location[FETCH_URL_MAX])
{
	struct http1_response r;
	char text[64];

	location[0] = 0;
	if (http1_parse_response(all, false, &r) != OK)
		return fail(g, ERR_SYS, "the answer is no HTTP");
	if (r.status >= 301 && r.status <= 308 && r.status != 304) {
		if (!copy(http1_header(&r.headers, "Location"), location, FETCH_URL_MAX) || !location[0])
			return fail(g, ERR_SYS, "a redirect that leads nowhere");
		return OK;
	}
	snprintf(text, sizeof text, "the answer is HTTP status %u", r.status);
	if (r.status != 200)
		return fail(g, ERR_SYS, text);
	struct bytes body = bytes_skip(all, r.head_len);
	if (r.framing == HTTP1_BODY_CHUNKED || (r.framing == HTTP1_BODY_LENGTH && r.body_len > body.n))
		return fail(g, ERR_SYS, "the answer was cut off");
	buf_append(out, r.framing == HTTP1_BODY_LENGTH ? bytes_first(body, (size_t)r.body_len) : body);
	return out->bad ? fail(g, ERR_TOO_BIG, "the answer is too large") : OK;
}

static err one(struct get *g, const struct place *p, struct buf *out, char location[FETCH_URL_MAX])
{
	CLEANUP(buf_done) struct buf all = buf_make(out->max + FETCH_HEAD_MAX);

	TRY(connect_to(g, p));
	TRY(start_tls(g, p));
	TRY(send_request(g, p));
	TRY(receive(g, &all));
	return read_answer(g, buf_view(&all), out, location);
}

static void end(struct get *g)
{
	tls_free(g->tls);
	tls_ctx_free(g->ctx);
	if (g->fd >= 0)
		close(g->fd);
	g->tls = NULL;
	g->ctx = NULL;
	g->fd = -1;
}

err fetch_url(const char *url, const char *ca_file, int64_t timeout_ms, struct buf *out, char *why, size_t why_cap)
{
	struct get g = { .ca_file = ca_file, .until_ms = clock_mono_ms() + timeout_ms, .fd = -1, .why = why, .why_cap = why_cap };
	char location[FETCH_URL_MAX] = "";
	struct place p;
	bool https = false;

	for (int i = 0; i <= FETCH_REDIRECTS; i++) {
		if (!split(i ? location : url, &p) || (https && !p.https))
			return fail(&g, ERR_INVALID, i ? "a redirect to what is no URL, or less safe" : "that is no http:// or https:// URL");
		https = p.https;
		err e = one(&g, &p, out, location);
		end(&g);
		if (e != OK || !location[0])
			return e;
	}
	return fail(&g, ERR_SYS, "too many redirects");
}
