#include "derp/stun_server.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/sock.h"
#include "common/wire/stun.h"
#include "tests/lib/test.h"

static struct loop *loop;

/* The loop runs in turns of a few milliseconds between the client's system calls: a timer stops it. */
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

static size_t ask(int fd, struct addrport to, struct bytes packet, uint8_t *answer, struct addrport *from)
{
	struct sockaddr_storage sa;
	socklen_t len = addrport_to_sockaddr(to, &sa);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(sendto(fd, packet.p, packet.n, 0, (struct sockaddr *)&sa, len), packet.n);
	turn();
	if (poll(&p, 1, 0) <= 0)
		return 0;
	len = sizeof sa;
	ssize_t n = recvfrom(fd, answer, 64, 0, (struct sockaddr *)&sa, &len);
	*from = addrport_from_sockaddr((struct sockaddr *)&sa);
	return (size_t)n;
}

static void check(struct addrport listen, struct addr asked, struct addrport client)
{
	struct stun_stats stats = { 0 };
	struct stun_server *s;
	struct stun_txid txid = { { 1, 2, 3 } }, back;
	struct addrport from, mapped, to;
	uint8_t request[STUN_REQUEST_LEN], answer[64];
	int fd;

	assert_ok(stun_server_new(loop, listen, &stats, &s));
	to = (struct addrport){ asked, stun_server_local(s).port };
	assert_ok(sock_listen_udp(client, 0, &fd));
	stun_write_request(request, &txid);
	size_t n = ask(fd, to, bytes_of(request, sizeof request), answer, &from);
	assert_int_equal(n, asked.family == 4 ? 32 : 44);
	assert_true(addrport_eq(from, to)); /* the answer comes from where we asked */
	assert_ok(stun_parse_response(bytes_of(answer, n), &back, &mapped));
	assert_memory_equal(back.b, txid.b, 12);
	assert_true(addrport_eq(mapped, sock_local(fd)));
	request[20] ^= 1;
	assert_int_equal(ask(fd, to, bytes_of(request, sizeof request), answer, &from), 0);
	assert_int_equal(stats.success, 1);
	assert_int_equal(stats.not_stun, 1);
	close(fd);
	stun_server_free(s);
	turn();
}

static void answers_leave_from_the_asked_address(void **state)
{
	const struct addrport any4 = { .addr.family = 4 }, any6 = { .addr.family = 6 };
	struct addr loop6 = { .family = 6 };
	struct addrport client6;

	(void)state;
	loop6.b[15] = 1;
	assert_ok(loop_new(&loop));
	check(any4, addr_v4(127, 0, 0, 7), (struct addrport){ addr_v4(127, 0, 0, 9), 0 });
	check((struct addrport){ addr_v4(127, 0, 0, 1), 0 }, addr_v4(127, 0, 0, 1), (struct addrport){ addr_v4(127, 0, 0, 1), 0 });
	struct stun_stats stats = { 0 };
	struct stun_server *probe;
	if (stun_server_new(loop, any6, &stats, &probe) == OK) { /* a machine may have no IPv6 */
		stun_server_free(probe);
		check(any6, addr_v4(127, 0, 0, 7), (struct addrport){ addr_v4(127, 0, 0, 9), 0 });
		client6 = (struct addrport){ loop6, 0 };
		int fd;
		if (sock_listen_udp(client6, 0, &fd) == OK) {
			close(fd);
			check(any6, loop6, client6);
		}
	}
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(answers_leave_from_the_asked_address) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
