/* Addresses, routes and rules in a network namespace of the test's own, on a TUN device; skipped where neither is allowed. */
#include "client/route/route.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

static int tun = -1;

static int open_tun(const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	memcpy(r.ifr_name, name, strlen(name));
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &r) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int enter(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		return 0;
	tun = open_tun("flt0");
	return 0;
}

/* How often text is in a command's output. */
static unsigned count(const char *command, const char *text)
{
	FILE *p = popen(command, "r");
	char out[65536];
	unsigned n = 0;

	assert_non_null(p);
	size_t len = fread(out, 1, sizeof out - 1, p);
	out[len] = 0;
	pclose(p);
	for (const char *at = out; (at = strstr(at, text)); at++)
		n++;
	return n;
}

static struct prefix net(const char *text)
{
	struct prefix p;

	assert_ok(prefix_parse(bytes_str(text), &p));
	return p;
}

#define NEED_TUN()                                                                                                     \
	do {                                                                                                           \
		if (tun < 0) {                                                                                         \
			print_message("no namespace or no TUN device here\n");                                         \
			skip();                                                                                        \
		}                                                                                                      \
	} while (0)

static void test_apply(void **state)
{
	const struct prefix addrs[] = { net("100.64.0.1/32"), net("100.100.100.100/32"), net("fd7a:115c:a1e0::1/128") };
	const struct prefix routes[] = { net("100.64.0.0/10"), net("fd7a:115c:a1e0::/48"), net("192.168.5.9/24") };
	struct route_config c = { .ifname = "flt0", .mtu = 1280, .addrs = addrs, .n_addrs = 3, .routes = routes, .n_routes = 3 };
	struct route *r;
	struct addr local[8];
	size_t n;
	int watch;

	(void)state;
	NEED_TUN();
	assert_ok(route_new(&r));
	assert_ok(route_watch_open(&watch));
	for (int twice = 0; twice < 2; twice++) { /* the second time changes nothing */
		assert_ok(route_apply(r, &c));
		assert_int_equal(count("ip addr show flt0", "inet 100.64.0.1/32"), 1);
		assert_int_equal(count("ip addr show flt0", "inet 100.100.100.100/32"), 1);
		assert_int_equal(count("ip link show flt0", "mtu 1280"), 1);
		assert_int_equal(count("ip route show table 5353", "100.64.0.0/10 dev flt0"), 1);
		assert_int_equal(count("ip route show table 5353", "src 100.64.0.1"), 2);
		assert_int_equal(count("ip route show table 5353", "192.168.5.0/24"), 1);
		assert_int_equal(count("ip rule", "fwmark 0x2000000/0xf000000"), 3);
		assert_int_equal(count("ip rule", "5170:"), 1);
		assert_int_equal(count("ip rule", "lookup 5353"), 1);
	}
	/* What marks packets as ours goes elsewhere. */
	assert_int_equal(count("ip route get 100.64.9.9", "dev flt0"), 1);
	assert_int_equal(count("ip route get 100.64.9.9 mark 0x2000000 2>&1", "dev flt0"), 0);
	assert_false(route_is_taken(addr_v4(100, 64, 9, 9), "flt0")); /* by ourselves is not taken */
	assert_true(route_is_taken(addr_v4(100, 64, 9, 9), "other0"));
	assert_false(route_is_taken(addr_v4(8, 8, 8, 8), "flt0"));
	if (count("ip -6 addr show flt0", "fd7a:115c:a1e0::1"))
		assert_int_equal(count("ip -6 route get fd7a:115c:a1e0::9", "dev flt0"), 1);
	assert_false(route_watch_drain(watch, "flt0")); /* our own doing is no news */

	/* Beside an exit node: the machine's own networks first, where that was chosen. */
	c.local_first = true;
	assert_ok(route_apply(r, &c));
	assert_int_equal(count("ip rule", "5160:"), 1);
	assert_int_equal(count("ip rule", "suppress_prefixlength 0"), 1);
	c.local_first = false;
	assert_ok(route_apply(r, &c));
	assert_int_equal(count("ip rule", "5160:"), 0);

	/* Thousands, in batches; our own routes are no news to the watch, and do not overflow it. */
	enum { MANY = 5000 };
	struct prefix *many = calloc(MANY, sizeof *many);
	assert_non_null(many);
	for (unsigned i = 0; i < MANY; i++)
		many[i] = addr_prefix(addr_v4(100, 70, (uint8_t)(i >> 8), (uint8_t)i));
	c.routes = many;
	c.n_routes = MANY;
	for (int twice = 0; twice < 2; twice++) {
		assert_ok(route_apply(r, &c));
		assert_int_equal(count("ip route show table 5353 | grep -c 100.70.", "5000"), 1);
	}
	assert_false(route_watch_drain(watch, "flt0"));
	c.routes = routes;
	c.n_routes = 3;
	assert_ok(route_apply(r, &c));
	assert_int_equal(count("ip route show table 5353", "flt0"), 2);
	assert_false(route_watch_drain(watch, "flt0"));
	free(many);

	/* Less, and others. */
	c.n_routes = 1;
	c.n_addrs = 1;
	assert_ok(route_apply(r, &c));
	assert_int_equal(count("ip addr show flt0", "inet "), 1);
	assert_int_equal(count("ip route show table 5353", "flt0"), 1);
	assert_ok(route_local_addrs("flt0", local, ARRAY_LEN(local), &n));
	for (size_t i = 0; i < n; i++)
		assert_false(addr_is_tailscale(local[i]));
	assert_int_equal(count("ip link set lo up 2>&1", "x"), 0);
	assert_true(route_watch_drain(watch, "flt0"));

	/* After a SIGKILL another process finds and removes it. */
	route_free(r);
	assert_ok(route_new(&r));
	assert_ok(route_cleanup(r));
	assert_int_equal(count("ip rule", "fwmark"), 0);
	assert_int_equal(count("ip rule; ip -6 rule", "5353"), 0);
	assert_int_equal(count("ip route show table 5353 2>/dev/null", "flt0"), 0);
	assert_ok(route_cleanup(r));
	c.ifname = "none0";
	assert_int_equal(route_apply(r, &c), ERR_NOT_FOUND);
	route_free(r);
	close(watch);
}

static void test_coexist(void **state)
{
	bool changed;

	(void)state;
	NEED_TUN();
	assert_int_equal(route_coexist("bad;name", &changed), ERR_INVALID);
	if (system("nft add table ip filter 2>/dev/null && nft add chain ip filter ts-input 2>/dev/null") != 0) {
		print_message("no nft here\n");
		skip();
	}
	assert_int_equal(system("nft add rule ip filter ts-input ip saddr 100.64.0.0/10 iifname != \"tailscale0\" drop"), 0);
	assert_ok(route_coexist("flt0", &changed));
	assert_true(changed);
	assert_ok(route_coexist("flt0", &changed));
	assert_false(changed);
	/* Something else was put first: ours moves up, and is not there twice. */
	assert_int_equal(system("nft insert rule ip filter ts-input ip saddr 1.2.3.4 drop"), 0);
	assert_ok(route_coexist("flt0", &changed));
	assert_true(changed);
	assert_int_equal(count("nft list chain ip filter ts-input", "fairlead"), 2);
	assert_int_equal(count("nft list chain ip filter ts-input | grep lo", "fairlead"), 1);
	route_coexist_remove("flt0");
	assert_int_equal(count("nft list chain ip filter ts-input", "fairlead"), 0);
	assert_int_equal(count("nft list chain ip filter ts-input", "drop"), 2);
}

static void test_forward(void **state)
{
	(void)state;
	NEED_TUN();
	assert_int_equal(route_forward("bad;name"), ERR_INVALID);
	if (system("nft list tables >/dev/null 2>&1") != 0)
		skip();
	assert_ok(route_forward("flt0"));
	assert_ok(route_forward("flt0")); /* not twice */
	assert_int_equal(count("nft list table ip fairlead_client", "masquerade"), 1);
	route_forward_remove();
	assert_int_equal(count("nft list tables", "fairlead"), 0);
	route_forward_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply),
		cmocka_unit_test(test_coexist),
		cmocka_unit_test(test_forward),
	};

	return cmocka_run_group_tests(tests, enter, NULL);
}
