#include "derp/stun_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/cleanup.h"
#include "common/net/sock.h"
#include "common/wire/stun.h"

enum {
	BATCH = 32,
	REQUEST_MAX = 512, /* longer datagrams are cut, and then their fingerprint is wrong */
	CONTROL_BYTES = 64, /* one packet info */
	TURNS = 8,	    /* batches before other sockets have their turn */
};

struct stun_server {
	int fd;
	struct loop_io *io;
	struct stun_stats *stats;
	struct mmsghdr in[BATCH], out[BATCH];
	struct iovec in_iov[BATCH], out_iov[BATCH];
	struct sockaddr_storage from[BATCH];
	uint8_t packet[BATCH][REQUEST_MAX], answer[BATCH][STUN_RESPONSE_MAX];
	_Alignas(struct cmsghdr) uint8_t control[BATCH][CONTROL_BYTES];
};

static void count(_Atomic uint64_t *c)
{
	atomic_fetch_add_explicit(c, 1, memory_order_relaxed);
}

static void prepare(struct stun_server *s)
{
	for (unsigned i = 0; i < BATCH; i++) {
		s->in_iov[i] = (struct iovec){ s->packet[i], REQUEST_MAX };
		s->in[i].msg_hdr = (struct msghdr){
			.msg_name = &s->from[i],
			.msg_namelen = sizeof s->from[i],
			.msg_iov = &s->in_iov[i],
			.msg_iovlen = 1,
			.msg_control = s->control[i],
			.msg_controllen = CONTROL_BYTES,
		};
	}
}

/* The packet info that came with a request goes back with its answer, so that this leaves from the asked address; the
 * interface is left to routing. */
static void turn_around(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			info.ipi_ifindex = 0;
			info.ipi_spec_dst = info.ipi_addr;
			memcpy(CMSG_DATA(c), &info, sizeof info);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				info.ipi6_ifindex = 0;
			memcpy(CMSG_DATA(c), &info, sizeof info);
		}
	}
}

/* Fills answer number n from request number i. False: it gets none. */
static bool answer(struct stun_server *s, unsigned i, unsigned n)
{
	struct msghdr *h = &s->in[i].msg_hdr;
	struct addrport from = addrport_from_sockaddr((struct sockaddr *)&s->from[i]);
	struct stun_txid txid;

	if (!from.addr.family || stun_parse_request(bytes_of(s->packet[i], s->in[i].msg_len), &txid) != OK) {
		count(&s->stats->not_stun);
		return false;
	}
	count(from.addr.family == 4 ? &s->stats->ipv4 : &s->stats->ipv6);
	turn_around(h);
	s->out_iov[n] = (struct iovec){ s->answer[n], stun_write_response(s->answer[n], &txid, from) };
	s->out[n].msg_hdr = *h; /* name and control data of the request */
	s->out[n].msg_hdr.msg_iov = &s->out_iov[n];
	s->out[n].msg_hdr.msg_flags = 0;
	return true;
}

static void send_all(struct stun_server *s, unsigned n)
{
	for (unsigned at = 0; at < n;) {
		int k = sendmmsg(s->fd, s->out + at, n - at, MSG_DONTWAIT);

		if (k <= 0) { /* one that cannot be sent must not keep the others */
			count(&s->stats->write_error);
			at++;
			continue;
		}
		for (int i = 0; i < k; i++)
			count(&s->stats->success);
		at += (unsigned)k;
	}
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct stun_server *s = ctx;

	(void)io, (void)ready;
	for (unsigned turn = 0; turn < TURNS; turn++) {
		unsigned n = 0;

		prepare(s);
		int got = recvmmsg(s->fd, s->in, BATCH, MSG_DONTWAIT, NULL);
		if (got <= 0) {
			if (got < 0 && errno != EAGAIN && errno != EINTR)
				count(&s->stats->read_error);
			return;
		}
		for (int i = 0; i < got; i++)
			n += answer(s, (unsigned)i, n);
		send_all(s, n);
		if (got < BATCH)
			return;
	}
}

static void ask_for_info(int fd, uint8_t family)
{
	int on = 1;

	/* A dual-stack socket gives IPv4 requests an IPv6 info with a mapped address, which it also takes back. */
	if (family == 6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
	else
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
}

err stun_server_new(struct loop *l, struct addrport at, struct stun_stats *stats, struct stun_server **out)
{
	struct stun_server *s = calloc(1, sizeof *s);

	if (!s)
		return ERR_NOMEM;
	s->fd = -1;
	s->stats = stats;
	err e = sock_listen_udp(at, SOCK_DUAL, &s->fd);
	if (e == OK) {
		ask_for_info(s->fd, at.addr.family);
		e = loop_io_new(l, s->fd, on_ready, s, &s->io);
	}
	if (e != OK) {
		int saved = errno;

		stun_server_free(s);
		errno = saved;
		return e;
	}
	loop_io_want(s->io, LOOP_READ);
	*out = s;
	return OK;
}

void stun_server_free(struct stun_server *s)
{
	if (!s)
		return;
	loop_io_close(s->io);
	closep(&s->fd);
	free(s);
}

struct addrport stun_server_local(const struct stun_server *s)
{
	return sock_local(s->fd);
}
