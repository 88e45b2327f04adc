/* http_pair: the socketpair between a connection of the front and libmicrohttpd. The other end belongs to libmicrohttpd
 * from the start, and speaks for one client address. */
#pragma once

#include "common/base/buf.h"
#include "server/front/wire.h"

struct http_pair {
	int fd;
	struct loop_io *io; /* NULL: not open */
	struct addrport client;
	bool shut, eof;
};

/* on_ready(io, ready, ctx) is called when it can be read or written. ERR_BUSY: libmicrohttpd takes no more. */
MUST_USE err http_pair_open(struct http_pair *p, struct wire *w, struct addrport client, loop_io_fn on_ready, void *ctx);
void http_pair_close(struct http_pair *p);

static inline bool http_pair_is_open(const struct http_pair *p)
{
	return p->io != NULL;
}

/* Sends what the pair takes now; *n bytes. ERR_CLOSED: the other end is gone. */
MUST_USE err http_pair_send(struct http_pair *p, struct bytes b, size_t *n);
/* Receives into out up to high bytes in it; sets eof. */
void http_pair_receive(struct http_pair *p, struct buf *out, size_t high);
void http_pair_shut(struct http_pair *p); /* no more requests: the answers still come */
