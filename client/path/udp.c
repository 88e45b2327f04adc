#include "client/path/udp.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "common/base/cleanup.h"
#include "common/net/sock.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	SEND_WAIT_MS = 5,
	GRO_SLOT = 65536,
	CONTROL = CMSG_SPACE(sizeof(int)),
};

_Static_assert(
	(int)UDP_RX_SLOTS *GRO_SLOT >= (int)UDP_RX_SLOTS_PLAIN * (int)UDP_DATAGRAM_MAX, "one memory serves both");

struct udp {
	int fd;
	unsigned offloads;
	struct udp_stats stats;
	struct mmsghdr rx[UDP_RX_SLOTS_PLAIN];
	struct iovec rx_iov[UDP_RX_SLOTS_PLAIN];
	struct sockaddr_storage rx_from[UDP_RX_SLOTS_PLAIN];
	union {
		char b[CONTROL];
		struct cmsghdr align;
	} rx_control[UDP_RX_SLOTS_PLAIN];
	uint8_t buffer[UDP_RX_SLOTS * GRO_SLOT];
};

static void udp_closep(struct udp **u)
{
	udp_close(*u);
}

void udp_close(struct udp *u)
{
	if (!u)
		return;
	if (u->fd >= 0)
		close(u->fd);
	free(u);
}

/* 7.0 to 7.1.4 mangle sends of equal segments: tailscale/tailscale issue 19777. */
static bool gso_is_broken(void)
{
	struct utsname u;
	unsigned major, minor, patch = 0;

	if (uname(&u) != 0 || sscanf(u.release, "%u.%u.%u", &major, &minor, &patch) < 2)
		return false;
	return major == 7 && (minor == 0 || (minor == 1 && patch <= 4));
}

static void set_buffers(int fd)
{
	int n = UDP_BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &n, sizeof n) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof n);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof n) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n);
}

err udp_open(struct addrport at, uint32_t mark, unsigned want, struct udp **out)
{
	CLEANUP(udp_closep) struct udp *u = calloc(1, sizeof *u);
	int on = 1, seg = 0;
	socklen_t len = sizeof seg;

	if (!u)
		return ERR_NOMEM;
	u->fd = -1;
	TRY(sock_listen_udp(at, 0, &u->fd));
	set_buffers(u->fd);
	if (mark && setsockopt(u->fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
		return ERR_SYS;
	if ((want & UDP_GSO) && !gso_is_broken() && getsockopt(u->fd, SOL_UDP, UDP_SEGMENT, &seg, &len) == 0)
		u->offloads |= UDP_GSO;
	if ((want & UDP_GRO_RX) && setsockopt(u->fd, SOL_UDP, UDP_GRO, &on, sizeof on) == 0)
		u->offloads |= UDP_GRO_RX;
	*out = MOVE(u);
	return OK;
}

int udp_fd(const struct udp *u)
{
	return u->fd;
}

struct addrport udp_local(const struct udp *u)
{
	return sock_local(u->fd);
}

unsigned udp_offloads(const struct udp *u)
{
	return u->offloads;
}

const struct udp_stats *udp_stats(const struct udp *u)
{
	return &u->stats;
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

/* False: not even after a moment. */
static bool wait_for_room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, SEND_WAIT_MS) > 0;
}

/* How many of the first packets may leave as segments of one send: equal lengths, the last may be shorter. A run that
 * is too long for one send is cut into equal ones, not into a large one and a crumb. */
static size_t run_of(const struct wg_packet *pkts, size_t n)
{
	size_t size = pkts[0].n, run = 1;

	while (run < n && pkts[run].n == size)
		run++;
	if (run < n && pkts[run].n < size && pkts[run].n > 0)
		run++;
	size_t most = size ? UDP_GSO_BYTES / size : 1;
	if (most > UDP_GSO_SEGMENTS)
		most = UDP_GSO_SEGMENTS;
	if (most == 0)
		most = 1; /* the kernel will say what it thinks of it */
	size_t sends = (run + most - 1) / most;
	return (run + sends - 1) / sends;
}

static err send_message(struct udp *u, struct msghdr *m)
{
	while (sendmsg(u->fd, m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS) {
			if (wait_for_room(u->fd))
				continue;
			return ERR_BUSY;
		}
		return ERR_SYS;
	}
	return OK;
}

static err send_gso(
	struct udp *u, struct sockaddr_storage *to, socklen_t to_len, const struct wg_packet *pkts, size_t n)
{
	struct iovec iov[UDP_GSO_SEGMENTS];
	union {
		char b[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr m = { .msg_name = to, .msg_namelen = to_len, .msg_iov = iov };

	/* Messages that lie one behind the other need one entry. */
	for (size_t i = 0; i < n; i++) {
		struct iovec *last = m.msg_iovlen ? &iov[m.msg_iovlen - 1] : NULL;

		if (last && (uint8_t *)last->iov_base + last->iov_len == pkts[i].p)
			last->iov_len += pkts[i].n;
		else
			iov[m.msg_iovlen++] = (struct iovec){ pkts[i].p, pkts[i].n };
	}
	if (n > 1) {
		m.msg_control = control.b;
		m.msg_controllen = sizeof control.b;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		uint16_t seg = (uint16_t)pkts[0].n;

		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof seg);
		memcpy(CMSG_DATA(c), &seg, sizeof seg);
	}
	u->stats.send_calls++;
	return send_message(u, &m);
}

static err send_plain(
	struct udp *u, struct sockaddr_storage *to, socklen_t to_len, const struct wg_packet *pkts, size_t n)
{
	struct mmsghdr m[UDP_GSO_SEGMENTS];
	struct iovec iov[UDP_GSO_SEGMENTS];

	for (size_t i = 0; i < n; i++) {
		iov[i] = (struct iovec){ pkts[i].p, pkts[i].n };
		m[i] = (struct mmsghdr){
			.msg_hdr = { .msg_name = to, .msg_namelen = to_len, .msg_iov = &iov[i], .msg_iovlen = 1 }
		};
	}
	for (size_t done = 0; done < n;) {
		int k = sendmmsg(u->fd, m + done, (unsigned)(n - done), MSG_DONTWAIT | MSG_NOSIGNAL);

		u->stats.send_calls++;
		if (k > 0)
			done += (size_t)k;
		else if (errno == EAGAIN || errno == ENOBUFS) {
			if (!wait_for_room(u->fd))
				return ERR_BUSY;
		} else if (errno != EINTR) {
			return ERR_SYS;
		}
	}
	return OK;
}

err udp_send(struct udp *u, struct addrport to, const struct wg_packet *pkts, size_t n)
{
	struct sockaddr_storage sa;
	socklen_t len = addrport_to_sockaddr(to, &sa);

	for (size_t at = 0; at < n;) {
		bool gso = u->offloads & UDP_GSO;
		size_t k = gso ? run_of(pkts + at, n - at) : MIN_OF(n - at, (size_t)UDP_GSO_SEGMENTS);
		err e = gso ? send_gso(u, &sa, len, pkts + at, k) : send_plain(u, &sa, len, pkts + at, k);

		if (e == ERR_SYS && gso && k > 1 && (errno == EIO || errno == EINVAL || errno == EOPNOTSUPP)) {
			u->offloads &= ~(unsigned)UDP_GSO; /* the device computes no checksums: singly from now on */
			continue;
		}
		if (e == ERR_BUSY)
			u->stats.dropped += k;
		else if (e != OK)
			return e;
		else
			u->stats.sent += k;
		at += k;
	}
	return OK;
}

/* ---- receiving ------------------------------------------------------------------------------------------------ */

static size_t segment_of(struct msghdr *m, size_t n)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		int seg;

		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&seg, CMSG_DATA(c), sizeof seg);
		if (seg > 0)
			return (size_t)seg;
	}
	return n;
}

size_t udp_recv(struct udp *u, struct udp_rx *rx)
{
	bool gro = u->offloads & UDP_GRO_RX;
	unsigned slots = gro ? UDP_RX_SLOTS : UDP_RX_SLOTS_PLAIN;
	size_t room = gro ? GRO_SLOT : UDP_DATAGRAM_MAX;
	int n;

	for (unsigned i = 0; i < slots; i++) {
		u->rx_iov[i] = (struct iovec){ u->buffer + i * room, room };
		u->rx[i].msg_hdr = (struct msghdr){
			.msg_name = &u->rx_from[i],
			.msg_namelen = sizeof u->rx_from[i],
			.msg_iov = &u->rx_iov[i],
			.msg_iovlen = 1,
			.msg_control = u->rx_control[i].b,
			.msg_controllen = sizeof u->rx_control[i].b,
		};
	}
	/* An error that an earlier datagram met (ICMP) is told once; what waits comes with the next call. */
	for (unsigned tries = 0; (n = recvmmsg(u->fd, u->rx, slots, MSG_DONTWAIT, NULL)) < 0 && tries < 4; tries++)
		if (errno == EAGAIN || errno == EBADF)
			break;
	u->stats.recv_calls++;
	if (n <= 0)
		return 0;
	size_t got = 0;
	for (int i = 0; i < n; i++) {
		struct msghdr *m = &u->rx[i].msg_hdr;
		size_t len = u->rx[i].msg_len;

		if (len == 0 || (m->msg_flags & MSG_TRUNC))
			continue;
		rx[got++] = (struct udp_rx){
			.from = addrport_from_sockaddr((struct sockaddr *)&u->rx_from[i]),
			.p = u->rx_iov[i].iov_base,
			.n = len,
			.seg = segment_of(m, len),
		};
	}
	return got;
}

size_t udp_rx_split(const struct udp_rx *rx, size_t *at, struct wg_packet *pkts, size_t max)
{
	size_t n = 0;

	for (; n < max && *at < rx->n; n++) {
		size_t len = MIN_OF(rx->seg, rx->n - *at);

		pkts[n] = (struct wg_packet){ .p = rx->p + *at, .n = len };
		*at += len;
	}
	return n;
}
