/* The resolver's sockets on loopback, with an upstream that is a socket of the test's. */
#include "client/dns/dns_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/dns/dns_tcp.h"
#include "client/dns/message.h"
#include "common/base/cleanup.h"
#include "common/net/sock.h"
#include "tests/lib/test.h"

static struct loop *loop;

static void on_timer(struct loop_timer *t)
{
	(void)t;
	loop_stop(loop);
}
static void turn(void)
{
	struct loop_timer t;

	loop_timer_init(&t, loop, on_timer);
	loop_timer_in(&t, 5);
	loop_run(loop);
	loop_timer_done(&t);
}
/* What comes within a second; 0: nothing. */
static size_t hear(int fd, uint8_t out[512], struct sockaddr_storage *from, socklen_t *len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (int i = 0; i < 200; i++) {
		turn();
		if (poll(&p, 1, 0) <= 0)
			continue;
		*len = sizeof *from;
		ssize_t n = recvfrom(fd, out, 512, 0, (struct sockaddr *)from, len);
		return n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static void test_ask(void **state)
{
	static const uint8_t ours[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\4host\4tail\0\0\1\0\1",
			     other[] = "\x12\x35\1\0\0\1\0\0\0\0\0\0\3www\3org\0\0\1\0\1";
	static const char *const domains[] = { "tail" };
	const struct tailcfg_dns_config c = { .proxied = true, .domains = domains, .n_domains = 1 };
	const struct dns_name name = { "host.tail", addr_v4(100, 64, 0, 2), true };
	const struct addrport any = { .addr = addr_v4(127, 0, 0, 1) };
	struct sockaddr_storage sa;
	struct dns_server *s;
	struct dns *d;
	uint8_t b[512];
	socklen_t len;
	int client, up;

	(void)state;
	assert_ok(loop_new(&loop));
	assert_ok(sock_listen_udp(any, 0, &client));
	assert_ok(sock_listen_udp(any, 0, &up));
	struct addrport upstream = sock_local(up);
	assert_ok(dns_new(&d));
	assert_ok(dns_set_config(d, &c, &upstream, 1));
	assert_ok(dns_set_names(d, &name, 1));
	assert_ok(dns_server_new(&(struct dns_server_config){ .loop = loop, .dns = d, .listen = any }, &s));

	struct sockaddr_storage to;
	socklen_t to_len = addrport_to_sockaddr(dns_server_local(s), &to);
	sendto(client, ours, sizeof ours - 1, 0, (struct sockaddr *)&to, to_len);
	size_t n = hear(client, b, &sa, &len);
	assert_int_equal(n, sizeof ours - 1 + 16);
	assert_memory_equal(b + n - 4, "\x64\x40\0\2", 4);

	sendto(client, other, sizeof other - 1, 0, (struct sockaddr *)&to, to_len);
	n = hear(up, b, &sa, &len);
	assert_int_equal(n, sizeof other - 1);
	b[2] |= 0x80;
	b[3] |= DNS_NXDOMAIN;
	sendto(up, b, n, 0, (struct sockaddr *)&sa, len);
	n = hear(client, b, &sa, &len);
	assert_int_equal(n, sizeof other - 1);
	assert_memory_equal(b, "\x12\x35", 2);
	assert_int_equal(b[3] & 15, DNS_NXDOMAIN);
	dns_server_free(s);
	dns_free(d);
	close(client);
	close(up);
	loop_free(loop);
}

static size_t hear_all(int fd, uint8_t *out, size_t want)
{
	size_t n = 0;

	for (int i = 0; i < 400 && n < want; i++) {
		turn();
		ssize_t got = recv(fd, out + n, want - n, MSG_DONTWAIT);
		if (got > 0)
			n += (size_t)got;
	}
	return n;
}

/* By TCP: two questions in one piece, cut anywhere; one of them forwarded by TCP, with an answer that no datagram holds. */
static void test_tcp(void **state)
{
	static const uint8_t both[] = "\0\x1b\x12\x34\1\0\0\1\0\0\0\0\0\0\4host\4tail\0\0\1\0\1"
				      "\0\x19\x12\x35\1\0\0\1\0\0\0\0\0\0\3www\3org\0\0\1\0\1";
	enum { OURS = 2 + 27 + 16, ASKED = 2 + 25, LONG = 20000 };
	static const char *const domains[] = { "tail" };
	const struct tailcfg_dns_config c = { .proxied = true, .domains = domains, .n_domains = 1 };
	const struct dns_name name = { "host.tail", addr_v4(100, 64, 0, 2), true };
	const struct addrport any = { .addr = addr_v4(127, 0, 0, 1) };
	static uint8_t b[LONG + 2], big[LONG + 2];
	struct dns_server *s;
	struct dns *d;
	int listener, client, up;

	(void)state;
	assert_ok(loop_new(&loop));
	assert_ok(sock_listen_tcp(any, 0, 4, &listener));
	struct addrport upstream = sock_local(listener);
	assert_ok(dns_new(&d));
	assert_ok(dns_set_config(d, &c, &upstream, 1));
	assert_ok(dns_set_names(d, &name, 1));
	assert_ok(dns_server_new(&(struct dns_server_config){ .loop = loop, .dns = d, .listen = any }, &s));

	assert_ok(sock_connect_tcp(dns_server_local(s), &client));
	turn();
	for (size_t i = 0; i < sizeof both - 1; i++) {
		assert_int_equal(send(client, both + i, 1, MSG_NOSIGNAL), 1);
		if (i % 9 == 0)
			turn();
	}
	assert_int_equal(hear_all(client, b, OURS), OURS);
	assert_memory_equal(b + 2, "\x12\x34", 2);
	assert_memory_equal(b + OURS - 4, "\x64\x40\0\2", 4);

	for (int i = 0; i < 100 && sock_accept(listener, &up, NULL) != OK; i++)
		turn();
	assert_int_equal(hear_all(up, b, ASKED), ASKED);
	assert_memory_equal(b + 2 + 12, "\3www\3org", 8);
	memcpy(big + 2, b + 2, ASKED - 2);
	big[0] = LONG >> 8;
	big[1] = LONG & 255;
	big[4] |= 0x80;
	for (size_t sent = 0; sent < sizeof big;) {
		ssize_t n = send(up, big + sent, sizeof big - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		turn();
	}
	assert_int_equal(hear_all(client, b, sizeof big), sizeof big);
	assert_memory_equal(b + 2, "\x12\x35", 2);
	assert_memory_equal(b + 4, big + 4, LONG - 2);
	/* More connections than there is room for: closed, and those before are served. */
	int many[DNS_TCP_CLIENTS_MAX + 4];
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		assert_ok(sock_connect_tcp(dns_server_local(s), &many[i]));
		turn();
	}
	unsigned closed = 0;
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		closed += recv(many[i], b, 1, MSG_DONTWAIT) == 0;
		close(many[i]);
	}
	assert_int_equal(closed, ARRAY_LEN(many) - (DNS_TCP_CLIENTS_MAX - 1));
	turn();
	assert_int_equal(send(client, both, 2 + 27, MSG_NOSIGNAL), 2 + 27);
	assert_int_equal(hear_all(client, b, OURS), OURS);
	close(client);
	close(up);
	close(listener);
	dns_server_free(s);
	dns_free(d);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ask), cmocka_unit_test(test_tcp) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
