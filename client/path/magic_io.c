#include "client/path/magic_io.h"

#include <errno.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/net/sock.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static void big_buffer(int fd, int force, int plain)
{
	const int size = MAGIC_IO_SOCKBUF;

	if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof size) != 0)
		setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

err magic_io_open(struct magic_io *io, int family, uint16_t port, bool offload)
{
	struct addrport at = { .addr.family = (uint8_t)family, .port = port };
	const int on = 1;

	*io = (struct magic_io){ .fd = -1 };
	TRY(sock_listen_udp(at, 0, &io->fd));
	io->port = sock_local(io->fd).port;
	big_buffer(io->fd, SO_RCVBUFFORCE, SO_RCVBUF);
	big_buffer(io->fd, SO_SNDBUFFORCE, SO_SNDBUF);
	io->gso = offload;
	io->gro = offload && setsockopt(io->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0;
	return OK;
}

void magic_io_close(struct magic_io *io)
{
	if (io->fd >= 0)
		close(io->fd);
	io->fd = -1;
}

/* The size of a train's segments, as GRO tells; 0: it is one datagram. */
static size_t segment_of(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		int size;

		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof size);
		return size > 0 ? (size_t)size : 0;
	}
	return 0;
}

size_t magic_io_read(struct magic_io *io, struct magic_train out[MAGIC_IO_BATCH])
{
	static _Thread_local uint8_t space[MAGIC_IO_BATCH][MAGIC_IO_TRAIN];
	struct sockaddr_storage from[MAGIC_IO_BATCH];
	union {
		struct cmsghdr align;
		uint8_t b[CMSG_SPACE(sizeof(int))];
	} control[MAGIC_IO_BATCH];
	struct iovec iov[MAGIC_IO_BATCH];
	struct mmsghdr m[MAGIC_IO_BATCH];

	for (size_t i = 0; i < MAGIC_IO_BATCH; i++) {
		iov[i] = (struct iovec){ space[i], MAGIC_IO_TRAIN };
		m[i] = (struct mmsghdr){ .msg_hdr = { .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &iov[i],
						 .msg_iovlen = 1, .msg_control = &control[i], .msg_controllen = sizeof control[i] } };
	}
	int n = recvmmsg(io->fd, m, MAGIC_IO_BATCH, MSG_DONTWAIT, NULL);
	/* An error that an earlier datagram met (ICMP) is reported once; what waits comes with the next call. */
	for (int tries = 0; n < 0 && errno != EAGAIN && errno != EBADF && tries < 4; tries++)
		n = recvmmsg(io->fd, m, MAGIC_IO_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		size_t segment = segment_of(&m[i].msg_hdr);

		out[i] = (struct magic_train){
			.from = addrport_from_sockaddr((struct sockaddr *)&from[i]),
			.p = space[i],
			.n = m[i].msg_len,
			.segment = segment ? segment : m[i].msg_len,
		};
	}
	return n > 0 ? (size_t)n : 0;
}

/* How many packets from the front make one train: equal lengths, only the last may be shorter. */
static size_t train_len(const struct bytes *pkts, size_t n)
{
	size_t k = 1, sum = pkts[0].n;

	while (k < n && k < MAGIC_IO_SEGMENTS_MAX && pkts[k].n <= pkts[0].n && pkts[k].n && sum + pkts[k].n <= 65000) {
		sum += pkts[k].n;
		if (pkts[k++].n < pkts[0].n)
			break;
	}
	return k;
}

static int send_train(struct magic_io *io, struct msghdr *m, const struct bytes *pkts, size_t n)
{
	union {
		struct cmsghdr align;
		uint8_t b[CMSG_SPACE(sizeof(uint16_t))];
	} control;
	struct iovec iov[MAGIC_IO_SEGMENTS_MAX];
	uint16_t segment = (uint16_t)pkts[0].n;

	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)pkts[i].p, pkts[i].n };
	m->msg_iov = iov;
	m->msg_iovlen = n;
	m->msg_control = NULL;
	m->msg_controllen = 0;
	if (n > 1) {
		memset(&control, 0, sizeof control);
		m->msg_control = &control;
		m->msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(m);
		c->cmsg_level = IPPROTO_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof segment);
		memcpy(CMSG_DATA(c), &segment, sizeof segment);
	}
	return sendmsg(io->fd, m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

int magic_io_send(struct magic_io *io, struct addrport to, const struct bytes *pkts, size_t n)
{
	struct sockaddr_storage sa;
	struct msghdr m = { .msg_name = &sa, .msg_namelen = addrport_to_sockaddr(to, &sa) };
	int first = 0;

	if (io->fd < 0)
		return EAFNOSUPPORT;
	while (n) {
		size_t k = io->gso ? train_len(pkts, n) : 1;
		int e = send_train(io, &m, pkts, k);

		/* The device cannot (EIO), or the train is too long for its MTU (EINVAL, EMSGSIZE). */
		if (k > 1 && (e == EIO || e == EINVAL || e == EMSGSIZE || e == EOPNOTSUPP)) {
			io->gso = false;
			continue;
		}
		if (e && !first)
			first = e;
		pkts += k;
		n -= k;
	}
	return first;
}
