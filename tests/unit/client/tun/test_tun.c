/* A real device in a network namespace of our own: what the kernel sends comes out in packets of the MTU with right
 * checksums, and what goes in arrives, merged or not, with each offload on and off. Skipped where namespaces or TUNs
 * are not to be had. */
#include "client/tun/tun.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/route.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

static bool in_namespace;

static int setup(void **state)
{
	(void)state;
	in_namespace = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
	return 0;
}

/* Address 10.9.0.1/24 and the link up. */
static void configure(const char *name)
{
	CLEANUP(closep) int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = { 0 };
	struct sockaddr_in a = { .sin_family = AF_INET };

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
	inet_pton(AF_INET, "10.9.0.1", &a.sin_addr);
	memcpy(&r.ifr_addr, &a, sizeof a);
	assert_int_equal(ioctl(s, SIOCSIFADDR, &r), 0);
	inet_pton(AF_INET, "255.255.255.0", &a.sin_addr);
	memcpy(&r.ifr_netmask, &a, sizeof a);
	assert_int_equal(ioctl(s, SIOCSIFNETMASK, &r), 0);
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	assert_int_equal(ioctl(s, SIOCSIFFLAGS, &r), 0);
}

static struct tun *open_device(unsigned want)
{
	struct tun *t;

	if (!in_namespace || access("/dev/net/tun", R_OK | W_OK) != 0 || tun_open("flt%d", want, 1280, &t) != OK) {
		print_message("no namespace or no TUN here\n");
		skip();
	}
	configure(tun_name(t));
	assert_int_equal(tun_offloads(t) & ~want, 0);
	return t;
}

/* The next IPv4 packets; 0 after a while. */
static size_t next(struct tun *t, struct wg_packet *pkts, size_t max)
{
	for (;;) {
		struct pollfd p = { .fd = tun_fd(t), .events = POLLIN };
		size_t n;

		assert_ok(tun_read(t, pkts, max, &n));
		if (n && pkts[0].p[0] >> 4 == 4)
			return n;
		if (!n && poll(&p, 1, 500) != 1) /* the kernel's own IPv6 packets are passed over */
			return 0;
	}
}

static uint16_t sum(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

static void assert_right(const struct wg_packet *k, size_t mtu)
{
	assert_in_range(k->n, 28, mtu);
	assert_int_equal(sum(k->p, 20, 0), 0xffff);
	assert_int_equal(sum(k->p + 20, k->n - 20, sum(k->p + 12, 8, (uint32_t)(k->n - 20) + k->p[9])), 0xffff);
}

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
	while (n--) {
		uint8_t c = a[n];
		a[n] = b[n];
		b[n] = c;
	}
}

/* The world behind the tunnel: sends every packet back to where it came from, ports swapped. Checksums stay right. */
static void reflect(struct tun *t, struct wg_packet *pkts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		swap(pkts[i].p + 12, pkts[i].p + 16, 4);
		swap(pkts[i].p + 20, pkts[i].p + 22, 2);
	}
	tun_write(t, pkts, n);
	tun_flush(t);
}

static void udp_echo(unsigned want)
{
	struct tun *t = open_device(want);
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), seg = 700;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(4000) };
	struct wg_packet pkts[64];
	uint8_t data[7001], back[2000];
	size_t got = 0, n;

	inet_pton(AF_INET, "10.9.0.2", &to.sin_addr);
	assert_int_equal(connect(s, (struct sockaddr *)&to, sizeof to), 0);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7);
	/* UDP_SEGMENT: cut by the kernel, or by us where it leaves that to the device. */
	assert_int_equal(setsockopt(s, SOL_UDP, 103, &seg, sizeof seg), 0);
	assert_int_equal(send(s, data, sizeof data, 0), sizeof data);
	while (got < sizeof data && (n = next(t, pkts, 64))) {
		for (size_t i = 0; i < n; i++) {
			assert_right(&pkts[i], 728);
			assert_memory_equal(pkts[i].p + 28, data + got, pkts[i].n - 28);
			got += pkts[i].n - 28;
		}
		reflect(t, pkts, n);
	}
	assert_int_equal(got, sizeof data);
	for (got = 0; got < sizeof data;) {
		struct pollfd p = { .fd = s, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 1000), 1);
		ssize_t k = recv(s, back, sizeof back, 0);
		assert_int_equal(k, sizeof data - got < 700 ? sizeof data - got : 700);
		assert_memory_equal(back, data + got, (size_t)k);
		got += (size_t)k;
	}
	assert_int_equal(tun_stats(t)->write_errors, 0);
	assert_int_equal(tun_stats(t)->malformed, 0);
	close(s);
	tun_close(t);
}

static void test_udp(void **state)
{
	(void)state;
	udp_echo(0);
	udp_echo(TUN_TSO);
	udp_echo(TUN_ALL);
}

/* A TCP socket that connects through the tunnel to itself: reflected, its SYN meets it as a simultaneous open, and then
 * it reads what it writes. So large packets are cut and merged, and both kernels' halves check our checksums. */
static void tcp_echo(unsigned want)
{
	enum { TOTAL = 300000 };
	struct tun *t = open_device(want);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	static uint16_t port = 5000; /* the last one is still closing */
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(++port) };
	static uint8_t data[TOTAL], back[TOTAL];
	size_t sent = 0, got = 0, longest = 0;
	struct wg_packet pkts[64];

	for (size_t i = 0; i < TOTAL; i++)
		data[i] = (uint8_t)(i * 31 + i / 257);
	inet_pton(AF_INET, "10.9.0.1", &at.sin_addr);
	assert_int_equal(bind(s, (struct sockaddr *)&at, sizeof at), 0);
	inet_pton(AF_INET, "10.9.0.2", &at.sin_addr);
	(void)connect(s, (struct sockaddr *)&at, sizeof at);
	for (int idle = 0; got < TOTAL && idle < 100;) {
		ssize_t k = sent < TOTAL ? send(s, data + sent, TOTAL - sent, MSG_NOSIGNAL) : 0;
		size_t n;

		if (k > 0)
			sent += (size_t)k;
		assert_ok(tun_read(t, pkts, 64, &n));
		if (n && pkts[0].p[0] >> 4 == 4) {
			for (size_t i = 0; i < n; i++) {
				assert_right(&pkts[i], 1280);
				longest = pkts[i].n > longest ? pkts[i].n : longest;
			}
			reflect(t, pkts, n);
		}
		k = recv(s, back + got, TOTAL - got, 0);
		if (k > 0)
			got += (size_t)k;
		idle = n || k > 0 ? 0 : idle + 1;
		if (idle) {
			struct pollfd p[2] = { { .fd = tun_fd(t), .events = POLLIN }, { .fd = s, .events = POLLIN } };
			(void)poll(p, 2, 50);
		}
	}
	assert_int_equal(got, TOTAL);
	assert_memory_equal(back, data, TOTAL);
	assert_int_equal(longest, 1280);
	if (tun_offloads(t) & TUN_TSO) {
		assert_true(tun_stats(t)->read_calls < TOTAL / 1280);
		assert_int_equal(tun_stats(t)->write_errors, 0);
	}
	close(s);
	tun_close(t);
}

static void test_tcp(void **state)
{
	(void)state;
	tcp_echo(0);
	tcp_echo(TUN_TSO);
	tcp_echo(TUN_ALL);
	tcp_echo(TUN_ALL | TUN_NO_MERGE);
}

static void test_refused(void **state)
{
	struct tun *t = open_device(TUN_ALL), *u;

	(void)state;
	assert_int_equal(tun_open(tun_name(t), TUN_ALL, 1280, &u), ERR_SYS); /* EBUSY */
	assert_int_equal(tun_open("a-name-that-is-too-long", TUN_ALL, 1280, &u), ERR_INVALID);
	tun_close(t);
	tun_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
