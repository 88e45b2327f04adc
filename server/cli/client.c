#include "server/cli/client.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "common/base/cleanup.h"
#include "common/http/http1.h"
#include "common/net/tls.h"

enum { ANSWER_MAX = 256 << 20, REQUEST_MAX = 8 << 20, WAIT_S = 120, CONNECT_S = 10 };

void answer_done(struct answer *a)
{
	buf_done(&a->body);
	json_decref(a->json);
	a->json = NULL;
}

void put_encoded(struct buf *b, const char *text)
{
	for (const char *c = text; *c; c++) {
		if (isalnum((unsigned char)*c) || strchr("-._~", *c))
			buf_append_u8(b, (uint8_t)*c);
		else
			buf_printf(b, "%%%02X", (unsigned char)*c);
	}
}

/* ---- where it is ---- */

static err bad_place(char *why, size_t why_cap, const char *text, const char *what)
{
	snprintf(why, why_cap, "'%s' is no address of a server: %s", text, what);
	return ERR_INVALID;
}

err server_place_parse(const char *text, struct server_place *out, char *why, size_t why_cap)
{
	struct server_place p = { .tls = true };
	struct bytes rest, at = bytes_str(text), host;

	if (strncmp(text, "unix:", 5) == 0) {
		p.socket_path = text + 5;
		if (strncmp(p.socket_path, "//", 2) == 0)
			p.socket_path += 2;
		*out = p;
		return OK;
	}
	if (bytes_has_prefix(at, BYTES_LIT("https://"))) {
		at = bytes_skip(at, 8);
	} else if (bytes_has_prefix(at, BYTES_LIT("http://"))) {
		at = bytes_skip(at, 7);
		p.tls = false;
	}
	at = bytes_cut(at, '/', &rest);
	if (rest.n)
		return bad_place(why, why_cap, text, "it has a path");
	struct bytes port = bytes_str(p.tls ? "443" : "80");
	if (at.n && at.p[0] == '[') {
		host = bytes_cut(bytes_skip(at, 1), ']', &rest);
		if (rest.n && rest.p[0] != ':')
			return bad_place(why, why_cap, text, "after ] comes :PORT");
		if (rest.n)
			port = bytes_skip(rest, 1);
	} else {
		host = bytes_cut(at, ':', &rest);
		if (rest.p && rest.p > host.p + host.n)
			port = rest;
	}
	uint64_t number;
	if (!host.n || bytes_copy(p.host, sizeof p.host - 1, host) != OK)
		return bad_place(why, why_cap, text, "it names no host");
	if (bytes_parse_u64(port, 65535, &number) != OK || number == 0)
		return bad_place(why, why_cap, text, "its port is no number from 1 to 65535");
	snprintf(p.port, sizeof p.port, "%u", (unsigned)number);
	*out = p;
	return OK;
}

/* ---- connecting ---- */

struct link {
	int fd;
	struct tls_ctx *ctx;
	struct tls *tls; /* plain on a unix socket and for http:// */
};

static void link_done(struct link *l)
{
	tls_free(l->tls);
	tls_ctx_free(l->ctx);
	closep(&l->fd);
}

static void set_timeouts(int fd, int s)
{
	struct timeval wait = { .tv_sec = s };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

static err connect_socket(const char *path, int *out, char *why, size_t why_cap)
{
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (bytes_copy(at.sun_path, sizeof at.sun_path - 1, bytes_str(path)) != OK) {
		snprintf(why, why_cap, "the socket's name is too long: %s", path);
		return ERR_TOO_BIG;
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
		const char *hint = errno == EACCES ? ": run it as root or as a member of the socket's group"
				 : errno == ENOENT || errno == ECONNREFUSED ? ": is it running? fairlead serve" : "";
		snprintf(why, why_cap, "the server does not answer at %s (%s)%s", path, strerror(errno), hint);
		return ERR_SYS;
	}
	*out = fd;
	fd = -1;
	return OK;
}

static err connect_host(const struct server_place *at, int *out, char *why, size_t why_cap)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	int e = getaddrinfo(at->host, at->port, &hints, &list), fd = -1;

	if (e != 0) {
		snprintf(why, why_cap, "%s: %s", at->host, gai_strerror(e));
		return ERR_SYS;
	}
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		set_timeouts(fd, CONNECT_S); /* holds for connect, too */
		if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			snprintf(why, why_cap, "the server does not answer at %s port %s (%s)", at->host, at->port,
				errno == EINPROGRESS ? "in time" : strerror(errno));
			closep(&fd);
		}
	}
	freeaddrinfo(list);
	*out = fd;
	return fd >= 0 ? OK : ERR_SYS;
}

static err secure(const struct server_place *at, struct link *l, char *why, size_t why_cap)
{
	const struct tls_client_opts o = { .insecure = at->insecure };
	err e = at->tls ? tls_client_new(&o, &l->ctx) : OK;

	if (e == OK)
		e = tls_new(l->ctx, l->fd, at->tls ? at->host : NULL, &l->tls);
	if (e != OK) {
		snprintf(why, why_cap, "cannot start TLS: %s", err_text(e));
		return e;
	}
	if (tls_handshake(l->tls) != TLS_OK) {
		snprintf(why, why_cap, "no TLS connection to %s port %s: %s", at->host, at->port,
			tls_why(l->tls)[0] ? tls_why(l->tls) : "it closed, or is silent");
		return ERR_AUTH;
	}
	return OK;
}

static err open_link(const struct server_place *at, struct link *l, char *why, size_t why_cap)
{
	TRY(at->socket_path ? connect_socket(at->socket_path, &l->fd, why, why_cap) : connect_host(at, &l->fd, why, why_cap));
	set_timeouts(l->fd, WAIT_S);
	if (!at->socket_path)
		return secure(at, l, why, why_cap);
	return tls_new(NULL, l->fd, NULL, &l->tls);
}

/* ---- a request and its answer ---- */

static err put_request(struct buf *out, const struct server_place *at, const char *method, const char *target, const json_t *body)
{
	CLEANUP(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	char length[24], host[CLIENT_HOST_MAX + 10];

	snprintf(host, sizeof host, strchr(at->host, ':') ? "[%s]:%s" : "%s:%s", at->host, at->port);
	snprintf(length, sizeof length, "%zu", text ? strlen(text) : 0);
	http1_put_request(out, method, bytes_str(target));
	http1_put_header(out, "Host", at->socket_path ? BYTES_LIT("localhost") : bytes_str(host));
	if (at->api_key) {
		char bearer[600];

		if (snprintf(bearer, sizeof bearer, "Bearer %s", at->api_key) >= (int)sizeof bearer)
			return ERR_TOO_BIG;
		http1_put_header(out, "Authorization", bytes_str(bearer));
		sodium_memzero(bearer, sizeof bearer);
	}
	http1_put_header(out, "Connection", BYTES_LIT("close"));
	http1_put_header(out, "Content-Type", BYTES_LIT("application/json"));
	http1_put_header(out, "Content-Length", bytes_str(length));
	http1_put_end(out);
	if (text)
		buf_append_str(out, text);
	return out->bad || (body && !text) ? ERR_NOMEM : OK;
}

static err send_all(struct tls *t, struct bytes b)
{
	while (b.n) {
		size_t n = 0;

		switch (tls_write(t, b, &n)) {
		case TLS_OK:
			b = bytes_skip(b, n);
			break;
		case TLS_EOF: /* the server may answer and close before it read all of a body that it does not want */
			return OK;
		case TLS_WANT_READ:
		case TLS_WANT_WRITE:
			return ERR_TIMEOUT;
		case TLS_FAIL:
			return ERR_SYS;
		}
	}
	return OK;
}

/* Until the server closes: the request said so. */
static err receive_all(struct tls *t, struct buf *in)
{
	for (;;) {
		size_t n = 0;
		uint8_t *room = buf_reserve(in, 65536);

		if (!room)
			return ERR_TOO_BIG;
		switch (tls_read(t, room, 65536, &n)) {
		case TLS_OK:
			buf_commit(in, n);
			break;
		case TLS_EOF:
			return OK;
		case TLS_WANT_READ:
		case TLS_WANT_WRITE:
			return ERR_TIMEOUT;
		case TLS_FAIL:
			return ERR_SYS;
		}
	}
}

static err read_answer(struct bytes in, struct answer *out)
{
	struct http1_response head;
	struct http1_body body;

	TRY(http1_parse_response(in, false, &head));
	in = bytes_skip(in, head.head_len);
	http1_body_init(&body, head.framing, head.body_len);
	out->status = head.status;
	out->body = buf_make(ANSWER_MAX);
	while (!body.done) {
		struct bytes data;
		size_t used = 0;
		TRY(http1_body_step(&body, in, &used, &data));
		buf_append(&out->body, data);
		in = bytes_skip(in, used);
		if (!used)
			break;
	}
	if (!body.done && head.framing != HTTP1_BODY_UNTIL_CLOSE)
		return ERR_TRUNCATED;
	if (out->body.bad)
		return ERR_TOO_BIG;
	struct bytes text = buf_view(&out->body);
	out->json = text.n ? json_loadb((const char *)text.p, text.n, JSON_DECODE_ANY, NULL) : NULL;
	return OK;
}

err client_call(const struct server_place *at, const char *method, const char *target, const json_t *body, struct answer *out,
		char *why, size_t why_cap)
{
	CLEANUP(link_done) struct link l = { .fd = -1 };
	CLEANUP(buf_done) struct buf request = buf_make(REQUEST_MAX);
	CLEANUP(buf_done) struct buf in = buf_make(ANSWER_MAX);

	*out = (struct answer){ 0 };
	TRY(open_link(at, &l, why, why_cap));
	err e = put_request(&request, at, method, target, body);
	if (e == OK)
		e = send_all(l.tls, buf_view(&request));
	if (e == OK)
		e = receive_all(l.tls, &in);
	if (e == OK)
		e = read_answer(buf_view(&in), out);
	if (e != OK) {
		snprintf(why, why_cap, "the server's answer could not be read: %s", err_text(e));
		answer_done(out);
	}
	return e;
}
