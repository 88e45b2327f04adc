/* magic_io: one UDP socket, in batches: recvmmsg with UDP_GRO, sendmsg with UDP_SEGMENT. Each offload is asked for at the
 * start and given up for good when the kernel refuses it. */
#pragma once

#include "common/net/addr.h"

enum {
	MAGIC_IO_BATCH = 16,	    /* datagrams (with GRO: trains of them) of one recvmmsg */
	MAGIC_IO_TRAIN = 65535,
	MAGIC_IO_SEGMENTS_MAX = 64, /* of one GSO send: UDP_MAX_SEGMENTS */
	MAGIC_IO_SOCKBUF = 7 << 20,
};

struct magic_io {
	int fd; /* -1: none */
	uint16_t port;
	bool gso, gro;
};

/* family 4 or 6. port 0: any. ERR_SYS: see errno. */
MUST_USE err magic_io_open(struct magic_io *io, int family, uint16_t port, bool offload);
void magic_io_close(struct magic_io *io);

/* What one recvmmsg gave: trains of segment bytes each (the last one may be shorter), writable until the next read. */
struct magic_train {
	struct addrport from;
	uint8_t *p;
	size_t n, segment;
};
/* The number of trains; 0: nothing waits. Buffers are shared by all sockets of the thread. */
size_t magic_io_read(struct magic_io *io, struct magic_train out[MAGIC_IO_BATCH]);

/* Sends all packets to one address. 0, or the errno of the first that failed (the rest is tried all the same). */
int magic_io_send(struct magic_io *io, struct addrport to, const struct bytes *pkts, size_t n);
