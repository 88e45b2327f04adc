#include "server/cli/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "common/base/cleanup.h"
#include "common/http/http1.h"

enum { ANSWER_MAX = 256 << 20, REQUEST_MAX = 8 << 20, WAIT_S = 120 };

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

static err connect_socket(const char *path, int *out, char *why, size_t why_cap)
{
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = WAIT_S };

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
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	*out = fd;
	fd = -1;
	return OK;
}

static err put_request(struct buf *out, const char *method, const char *target, const json_t *body)
{
	CLEANUP(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	char length[24];

	snprintf(length, sizeof length, "%zu", text ? strlen(text) : 0);
	http1_put_request(out, method, bytes_str(target));
	http1_put_header(out, "Host", BYTES_LIT("localhost"));
	http1_put_header(out, "Connection", BYTES_LIT("close"));
	http1_put_header(out, "Content-Type", BYTES_LIT("application/json"));
	http1_put_header(out, "Content-Length", bytes_str(length));
	http1_put_end(out);
	if (text)
		buf_append_str(out, text);
	return out->bad || (body && !text) ? ERR_NOMEM : OK;
}

static err send_all(int fd, struct bytes b)
{
	while (b.n) {
		ssize_t n = send(fd, b.p, b.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		/* The server may answer and close before it read all of a body that it does not want. */
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET ? OK : ERR_SYS;
		b = bytes_skip(b, (size_t)n);
	}
	return OK;
}

/* Until the server closes: the request said so. */
static err receive_all(int fd, struct buf *in)
{
	for (;;) {
		uint8_t *room = buf_reserve(in, 65536);
		if (!room)
			return ERR_TOO_BIG;
		ssize_t n = recv(fd, room, 65536, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ECONNRESET)
			return ERR_SYS;
		if (n <= 0)
			return OK;
		buf_commit(in, (size_t)n);
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

err client_call(const char *socket_path, const char *method, const char *target, const json_t *body, struct answer *out,
		char *why, size_t why_cap)
{
	CLEANUP(closep) int fd = -1;
	CLEANUP(buf_done) struct buf request = buf_make(REQUEST_MAX);
	CLEANUP(buf_done) struct buf in = buf_make(ANSWER_MAX);

	*out = (struct answer){ 0 };
	TRY(connect_socket(socket_path, &fd, why, why_cap));
	err e = put_request(&request, method, target, body);
	if (e == OK)
		e = send_all(fd, buf_view(&request));
	if (e == OK)
		e = receive_all(fd, &in);
	if (e == OK)
		e = read_answer(buf_view(&in), out);
	if (e != OK) {
		snprintf(why, why_cap, "the server's answer could not be read: %s", err_text(e));
		answer_done(out);
	}
	return e;
}
