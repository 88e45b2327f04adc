/* The resolver's sockets on loopback, with an upstream that is a socket of the test's. */
#include "client/dns/dns_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/dns/message.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ask) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
