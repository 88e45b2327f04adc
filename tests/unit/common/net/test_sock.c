#include "common/net/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/test.h"

static const struct addrport loopback = { { 4, { 127, 0, 0, 1 } }, 0 };

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	assert_int_equal(poll(&p, 1, 5000), 1);
}

static void listen_texts(void **state)
{
	struct addrport a;

	(void)state;
	assert_ok(sock_parse_listen(BYTES_LIT(":443"), &a));
	assert_int_equal(a.addr.family, 6);
	assert_int_equal(a.port, 443);
	assert_ok(sock_parse_listen(BYTES_LIT("localhost:80"), &a));
	assert_true(addr_eq(a.addr, loopback.addr));
	assert_ok(sock_parse_listen(BYTES_LIT("127.0.0.1:8080"), &a));
	assert_int_equal(a.port, 8080);
	assert_ok(sock_parse_listen(BYTES_LIT("[::1]:9"), &a));
	assert_int_equal(a.addr.family, 6);
	const char *const bad[] = { "", ":", "localhost", "example.com:80", ":70000", "127.0.0.1", "[::1]", "::1:80", ":8x" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(sock_parse_listen(bytes_str(bad[i]), &a), ERR_INVALID);
}

static void connects_and_accepts(void **state)
{
	int ls, c, s;
	struct addrport peer;

	(void)state;
	assert_ok(sock_listen_tcp(loopback, 0, 8, &ls));
	struct addrport at = sock_local(ls);
	assert_int_not_equal(at.port, 0);
	assert_int_equal(sock_accept(ls, &s, &peer), ERR_BUSY);
	assert_ok(sock_connect_tcp(at, &c));
	wait_for(c, POLLOUT);
	assert_int_equal(sock_error(c), 0);
	wait_for(ls, POLLIN);
	assert_ok(sock_accept(ls, &s, &peer));
	assert_true(addrport_eq(peer, sock_local(c)));
	assert_true(fcntl(s, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(s, F_GETFD) & FD_CLOEXEC);
	sock_nodelay(s);
	sock_user_timeout(s, 15000);
	sock_notsent_lowat(s, 16384);
	sock_keepalive(s, 30);
	int again;
	assert_int_equal(sock_listen_tcp(at, 0, 8, &again), ERR_SYS);
	assert_int_equal(errno, EADDRINUSE);
	close(s);
	close(c);
	close(ls);
	if (sock_connect_tcp(at, &c) == OK) { /* nobody there: told at once or by sock_error */
		wait_for(c, POLLOUT);
		assert_int_equal(sock_error(c), ECONNREFUSED);
		close(c);
	}
}

static void connects_from_an_address(void **state)
{
	int ls, c, s;
	struct addrport peer;
	struct addr from = addr_v4(127, 3, 2, 1);

	(void)state;
	assert_ok(sock_listen_tcp(loopback, 0, 8, &ls));
	assert_ok(sock_connect_tcp_from(from, sock_local(ls), &c));
	wait_for(ls, POLLIN);
	assert_ok(sock_accept(ls, &s, &peer));
	assert_true(addr_eq(peer.addr, from));
	assert_int_not_equal(peer.port, 0);
	close(s);
	close(c);
	assert_int_equal(sock_connect_tcp_from(addr_v4(192, 0, 2, 1), sock_local(ls), &c), ERR_SYS); /* not ours */
	from = (struct addr){ .family = 6, .b = { [15] = 1 } };
	assert_int_equal(sock_connect_tcp_from(from, sock_local(ls), &c), ERR_INVALID);
	close(ls);
}

static void one_socket_for_both_families(void **state)
{
	int ls, c, s;
	struct addrport at, peer;

	(void)state;
	assert_ok(sock_parse_listen(BYTES_LIT(":0"), &at));
	assert_ok(sock_listen_tcp(at, SOCK_DUAL, 8, &ls));
	at = (struct addrport){ loopback.addr, sock_local(ls).port };
	assert_ok(sock_connect_tcp(at, &c));
	wait_for(ls, POLLIN);
	assert_ok(sock_accept(ls, &s, &peer));
	assert_int_equal(peer.addr.family, 4); /* unmapped */
	close(s);
	close(c);
	close(ls);
}

static void sheds_when_out_of_descriptors(void **state)
{
	struct rlimit was, few;
	int ls, c[3], s, held[64], n = 0;
	struct addrport peer;
	char b;

	(void)state;
	assert_ok(sock_listen_tcp(loopback, 0, 8, &ls));
	for (int i = 0; i < 3; i++)
		assert_ok(sock_connect_tcp(sock_local(ls), &c[i]));
	wait_for(ls, POLLIN);
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = (rlim_t)c[2] + 4;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (n < 64 && (held[n] = dup(ls)) >= 0)
		n++;
	assert_int_equal(sock_accept(ls, &s, &peer), ERR_SYS);
	assert_int_equal(errno, EMFILE);
	sock_shed(ls);
	sock_shed(ls); /* the spare came back */
	wait_for(c[0], POLLIN);
	assert_int_equal(read(c[0], &b, 1), 0);
	wait_for(c[1], POLLIN);
	assert_int_equal(read(c[1], &b, 1), 0);
	while (n)
		close(held[--n]);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_ok(sock_accept(ls, &s, &peer)); /* the third is still waiting */
	close(s);
	for (int i = 0; i < 3; i++)
		close(c[i]);
	close(ls);
}

static void unix_sockets_replace_dead_ones_only(void **state)
{
	char dir[] = "/tmp/fairlead-sock-XXXXXX", path[64];
	int a, b, c;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	assert_ok(sock_listen_unix(path, 0660, &a));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(sock_listen_unix(path, 0600, &b), ERR_BUSY);
	close(a); /* the file stays, nobody accepts */
	assert_int_equal(sock_connect_unix(path, &c), ERR_SYS);
	assert_int_equal(errno, ECONNREFUSED);
	assert_ok(sock_listen_unix(path, 0600, &b));
	assert_ok(sock_connect_unix(path, &c));
	close(b);
	close(c);
	unlink(path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(sock_listen_unix(path, 0600, &b), ERR_EXISTS); /* a file that is no socket is not ours to remove */
	unlink(path);
	rmdir(dir);
	char much[300];
	memset(much, 'x', sizeof much - 1);
	much[sizeof much - 1] = 0;
	assert_int_equal(sock_listen_unix(much, 0600, &b), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listen_texts),
		cmocka_unit_test(connects_and_accepts),
		cmocka_unit_test(connects_from_an_address),
		cmocka_unit_test(one_socket_for_both_families),
		cmocka_unit_test(sheds_when_out_of_descriptors),
		cmocka_unit_test(unix_sockets_replace_dead_ones_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
