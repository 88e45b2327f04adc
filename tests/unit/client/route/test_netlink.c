/* A batch of which all fail: each answer is seen, also where they do not fit the socket's buffer. */
#include "client/route/netlink.h"

#include <errno.h>
#include <sys/socket.h>

#include "tests/lib/test.h"

enum { N = 2000 };
static unsigned asked;

static bool count(int e, const struct nlmsghdr *sent)
{
	assert_int_not_equal(e, ENOBUFS);
	assert_int_equal(sent->nlmsg_type, RTM_DELROUTE);
	asked++;
	return true;
}

/* Removes N routes that are not there (ESRCH; EPERM without privileges). */
static int fail_all(struct netlink *nl)
{
	static struct netlink_batch b;

	asked = 0;
	netlink_batch_begin(&b, nl, count);
	for (unsigned i = 0; i < N; i++) {
		struct rtmsg m = { .rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_table = 250, .rtm_scope = RT_SCOPE_NOWHERE };
		uint8_t dst[4] = { 203, 0, (uint8_t)(i >> 8), (uint8_t)i };
		struct netlink_request q;

		netlink_begin(&q, RTM_DELROUTE, 0, &m, sizeof m);
		netlink_put(&q, RTA_DST, dst, sizeof dst);
		netlink_batch_add(&b, &q);
	}
	return netlink_batch_end(&b);
}

static void test_all_fail(void **state)
{
	const int tiny = 1;
	struct netlink nl;

	(void)state;
	assert_ok(netlink_open(&nl, 0));
	assert_int_equal(fail_all(&nl), 0);
	assert_int_equal(asked, N);
	assert_int_equal(setsockopt(nl.fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof tiny), 0); /* the least that the kernel gives */
	assert_int_equal(fail_all(&nl), 0);
	assert_int_equal(asked, N);
	netlink_close(&nl);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_fail) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
