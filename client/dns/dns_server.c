#include "client/dns/dns_server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/dns/dns_tcp.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/net/sock.h"

enum { FAMILIES = 2, READS_A_TURN = 64 };

struct port {
	struct dns_server *s;
	int fd; /* -1: none */
	struct loop_io *io;
	bool is_upstream;
};

struct dns_server {
	struct dns_server_config c;
	struct port listen;
	struct port up[FAMILIES][DNS_SERVER_PORTS];
	struct loop_timer timer;
	struct dns_tcp *tcp; /* owned; NULL: none */
	struct addr direct[DNS_SERVER_DIRECT_MAX];
	size_t n_direct;
	uint32_t mark; /* of what goes to them */
};

static void send_to(int fd, struct addrport to, struct bytes packet, uint32_t mark)
{
	struct sockaddr_storage sa;
	socklen_t len = addrport_to_sockaddr(to, &sa);

	struct iovec iov = { (void *)(uintptr_t)packet.p, packet.n };
	struct msghdr m = { .msg_name = &sa, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1 };
	union {
		struct cmsghdr align;
		uint8_t b[CMSG_SPACE(sizeof mark)];
	} control = { .b = { 0 } };

	if (mark) {
		m.msg_control = &control;
		m.msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SO_MARK;
		c->cmsg_len = CMSG_LEN(sizeof mark);
		memcpy(CMSG_DATA(c), &mark, sizeof mark);
	}
	/* What cannot be sent is lost; clients and the engine ask again. */
	if (fd >= 0 && len)
		(void)!sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool is_direct(const struct dns_server *s, struct addr a)
{
	for (size_t i = 0; i < s->n_direct; i++)
		if (addr_eq(s->direct[i], a))
			return true;
	return false;
}

void dns_server_set_direct(struct dns_server *s, const struct addr *a, size_t n, uint32_t mark)
{
	s->n_direct = MIN_OF(n, (size_t)DNS_SERVER_DIRECT_MAX);
	for (size_t i = 0; i < s->n_direct; i++)
		s->direct[i] = a[i];
	s->mark = mark;
}

static void send_all(struct dns_server *s)
{
	struct dns_out o;

	while (dns_pull(s->c.dns, &o)) {
		uint32_t mark = is_direct(s, o.upstream.addr) ? s->mark : 0;

		if (o.to_client && o.client.tcp)
			dns_tcp_answer(s->tcp, &o.client, o.packet);
		else if (o.to_client)
			send_to(s->listen.fd, o.client.addr, o.packet, 0);
		else if (o.tcp)
			dns_tcp_ask(s->tcp, o.upstream, o.packet, mark);
		else
			send_to(s->up[o.upstream.addr.family == 6][random_below(DNS_SERVER_PORTS)].fd, o.upstream, o.packet, mark);
	}
	int64_t due = dns_due_ms(s->c.dns), now = loop_now_ms(s->c.loop);
	if (due == INT64_MAX)
		loop_timer_stop(&s->timer);
	else
		loop_timer_in(&s->timer, due > now ? due - now : 1);
}

static void on_timer(struct loop_timer *t)
{
	struct dns_server *s = container_of(t, struct dns_server, timer);

	dns_tick(s->c.dns, loop_now_ms(s->c.loop));
	send_all(s);
}

static void on_readable(struct loop_io *io, unsigned ready, void *ctx)
{
	static uint8_t packet[DNS_PACKET_MAX + 1];
	struct port *p = ctx;
	struct dns_server *s = p->s;

	(void)io;
	(void)ready;
	for (unsigned i = 0; i < READS_A_TURN; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof sa;
		ssize_t n = recvfrom(p->fd, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&sa, &len);

		if (n < 0)
			break;
		struct addrport from = addrport_from_sockaddr((struct sockaddr *)&sa);
		if (p->is_upstream)
			dns_upstream(s->c.dns, from, bytes_of(packet, (size_t)n), loop_now_ms(s->c.loop));
		else
			dns_query(s->c.dns, &(struct dns_client){ .addr = from }, bytes_of(packet, (size_t)n), loop_now_ms(s->c.loop));
	}
	send_all(s);
}

static err open_port(struct dns_server *s, struct port *p, struct addrport at, bool is_upstream)
{
	const uint32_t no_mark = 0;

	*p = (struct port){ .s = s, .fd = -1, .is_upstream = is_upstream };
	TRY(sock_listen_udp(at, 0, &p->fd));
	/* Resolvers may be reached through the tunnel: nothing here passes it by. */
	setsockopt(p->fd, SOL_SOCKET, SO_MARK, &no_mark, sizeof no_mark);
	TRY(loop_io_new(s->c.loop, p->fd, on_readable, p, &p->io));
	loop_io_want(p->io, LOOP_READ);
	return OK;
}

static void close_port(struct port *p)
{
	loop_io_close(p->io);
	if (p->fd >= 0)
		close(p->fd);
}

static void flush(void *ctx)
{
	send_all(ctx);
}

err dns_server_new(const struct dns_server_config *c, struct dns_server **out)
{
	struct dns_server *s = calloc(1, sizeof *s);

	if (!s)
		return ERR_NOMEM;
	s->c = *c;
	s->listen.fd = -1;
	for (size_t f = 0; f < FAMILIES; f++) {
		for (size_t i = 0; i < DNS_SERVER_PORTS; i++)
			s->up[f][i].fd = -1;
	}
	loop_timer_init(&s->timer, c->loop, on_timer);
	err e = open_port(s, &s->listen, c->listen, false);
	for (size_t f = 0; f < FAMILIES && e == OK; f++) {
		for (size_t i = 0; i < DNS_SERVER_PORTS && e == OK; i++) {
			e = open_port(s, &s->up[f][i], (struct addrport){ .addr.family = f ? 6 : 4 }, true);
			if (e == ERR_SYS && f) /* no IPv6 here */
				e = OK;
		}
	}
	if (e != OK) {
		dns_server_free(s);
		return e;
	}
	/* Somebody else's resolver may have it on all addresses: truncated answers stay truncated then. */
	if (dns_tcp_new(c->loop, c->dns, dns_server_local(s), flush, s, &s->tcp) != OK)
		log_info("no resolver by TCP", "errno=%d", errno);
	*out = s;
	return OK;
}

void dns_server_free(struct dns_server *s)
{
	if (!s)
		return;
	dns_tcp_free(s->tcp);
	close_port(&s->listen);
	for (size_t f = 0; f < FAMILIES; f++) {
		for (size_t i = 0; i < DNS_SERVER_PORTS; i++)
			close_port(&s->up[f][i]);
	}
	loop_timer_done(&s->timer);
	free(s);
}

struct addrport dns_server_local(const struct dns_server *s)
{
	return sock_local(s->listen.fd);
}
