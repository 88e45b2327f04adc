#include "server/front/http_pair.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/net/sock.h"

enum { RECEIVE_STEP = 16 * 1024 };

err http_pair_open(struct http_pair *p, struct wire *w, struct addrport client, loop_io_fn on_ready, void *ctx)
{
	int fd[2];

	TRY(sock_pair(fd));
	*p = (struct http_pair){ .fd = fd[0], .client = client };
	err e = loop_io_new(w->loop, fd[0], on_ready, ctx, &p->io);
	if (e != OK) {
		close(fd[0]);
		close(fd[1]);
		*p = (struct http_pair){ .fd = -1 };
		return e;
	}
	e = w->opts->add_http(w->opts->http_ctx, fd[1], client);
	if (e != OK)
		http_pair_close(p);
	return e;
}

void http_pair_close(struct http_pair *p)
{
	if (!p->io)
		return;
	loop_io_close(p->io);
	close(p->fd);
	*p = (struct http_pair){ .fd = -1 };
}

err http_pair_send(struct http_pair *p, struct bytes b, size_t *n)
{
	ssize_t k = send(p->fd, b.p, b.n, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (k < 0 && errno != EAGAIN && errno != EINTR)
		return ERR_CLOSED;
	*n = k > 0 ? (size_t)k : 0;
	return OK;
}

void http_pair_receive(struct http_pair *p, struct buf *out, size_t high)
{
	while (!p->eof && buf_len(out) < high) {
		uint8_t *at = buf_reserve(out, RECEIVE_STEP);

		if (!at)
			return;
		ssize_t k = recv(p->fd, at, RECEIVE_STEP, MSG_DONTWAIT);
		if (k > 0)
			buf_commit(out, (size_t)k);
		else if (k == 0 || (errno != EAGAIN && errno != EINTR))
			p->eof = true;
		else
			return;
	}
}

void http_pair_shut(struct http_pair *p)
{
	if (p->io && !p->shut) {
		shutdown(p->fd, SHUT_WR);
		p->shut = true;
	}
}
