#include "common/net/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cleanup.h"

/* Closes on the way out and keeps the errno of what failed. */
static void close_failed(int *fd)
{
	int e = errno;

	closep(fd);
	errno = e;
}

static struct addr addr_any6(void)
{
	return (struct addr){ .family = 6 };
}

err sock_parse_listen(struct bytes text, struct addrport *out)
{
	struct bytes port, host = bytes_cut(text, ':', &port);
	struct addrport at;

	if (host.n == 0 || bytes_eq_str(host, "localhost")) {
		uint64_t n;

		if (!port.p || bytes_parse_u64(port, 65535, &n) != OK)
			return ERR_INVALID;
		*out = (struct addrport){ host.n ? addr_v4(127, 0, 0, 1) : addr_any6(), (uint16_t)n };
		return OK;
	}
	if (addrport_parse(text, &at) != OK)
		return ERR_INVALID;
	*out = at;
	return OK;
}

/* ---- listening --------------------------------------------------------------------------------------------------- */

/* One descriptor held back for sock_shed; -1 while it is given up. */
static atomic_int spare = -1;

static void keep_spare(void)
{
	if (atomic_load(&spare) >= 0)
		return;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), none = -1;
	if (fd >= 0 && !atomic_compare_exchange_strong(&spare, &none, fd))
		close(fd);
}

static err set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value) == 0 ? OK : ERR_SYS;
}

static uint32_t mark_all;

void sock_mark_all(uint32_t value)
{
	mark_all = value;
}

/* Without CAP_NET_ADMIN there is no tunnel to be passed by. */
static void mark(int fd, uint32_t value)
{
	if (value)
		setsockopt(fd, SOL_SOCKET, SO_MARK, &value, sizeof value);
}

static err bind_ip(struct addrport at, int type, unsigned flags, int *out)
{
	struct sockaddr_storage sa;
	socklen_t len = addrport_to_sockaddr(at, &sa);
	CLEANUP(close_failed) int fd = -1;

	if (len == 0)
		return ERR_INVALID;
	fd = socket(sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ERR_SYS;
	if (type == SOCK_STREAM)
		TRY(set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1));
	if (flags & SOCK_REUSEPORT)
		TRY(set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1));
	if (at.addr.family == 6)
		TRY(set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, !(flags & SOCK_DUAL)));
	if (bind(fd, (struct sockaddr *)&sa, len) != 0)
		return ERR_SYS;
	*out = fd;
	fd = -1;
	return OK;
}

/* A host without IPv6 still serves "all addresses": its IPv4 ones. */
static err bind_wildcard(struct addrport at, int type, unsigned flags, int *out)
{
	err e = bind_ip(at, type, flags, out);

	if (e == ERR_SYS && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) && (flags & SOCK_DUAL) &&
			addr_eq(at.addr, addr_any6())) {
		at.addr = addr_v4(0, 0, 0, 0);
		e = bind_ip(at, type, flags, out);
	}
	return e;
}

err sock_listen_tcp(struct addrport at, unsigned flags, int backlog, int *out)
{
	CLEANUP(close_failed) int fd = -1;

	TRY(bind_wildcard(at, SOCK_STREAM, flags, &fd));
	if (listen(fd, backlog) != 0)
		return ERR_SYS;
	keep_spare();
	*out = fd;
	fd = -1;
	return OK;
}

err sock_listen_udp(struct addrport at, unsigned flags, int *fd)
{
	TRY(bind_wildcard(at, SOCK_DGRAM, flags, fd));
	mark(*fd, mark_all);
	return OK;
}

static err unix_address(const char *path, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return bytes_copy(sa->sun_path, sizeof sa->sun_path - 1, bytes_str(path)) == OK && path[0] ? OK : ERR_INVALID;
}

/* OK: path was a socket that nobody accepts on, and is gone now. */
static err remove_stale(const char *path)
{
	CLEANUP(closep) int fd = -1;
	struct stat st;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? OK : ERR_SYS;
	if (!S_ISSOCK(st.st_mode))
		return ERR_EXISTS;
	err e = sock_connect_unix(path, &fd);
	if (e == OK || (e == ERR_SYS && errno == EAGAIN)) /* EAGAIN: alive, with a full queue */
		return ERR_BUSY;
	if (errno != ECONNREFUSED && errno != ENOENT)
		return ERR_SYS;
	return unlink(path) == 0 || errno == ENOENT ? OK : ERR_SYS;
}

err sock_listen_unix(const char *path, unsigned mode, int *out)
{
	CLEANUP(close_failed) int fd = -1;
	struct sockaddr_un sa;

	TRY(unix_address(path, &sa));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ERR_SYS;
	/* Linux makes the file with the mode of the socket's own inode (less the umask): never wider, not for a moment. */
	if (fchmod(fd, mode) != 0)
		return ERR_SYS;
	if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
		if (errno != EADDRINUSE)
			return ERR_SYS;
		TRY(remove_stale(path));
		if (bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0)
			return ERR_SYS;
	}
	if (chmod(path, mode) != 0 || listen(fd, 64) != 0)
		return ERR_SYS;
	keep_spare();
	*out = fd;
	fd = -1;
	return OK;
}

/* Errors of the connection that was about to be accepted, not of the listener (accept(2), "Error handling"). */
static bool is_peers_error(int e)
{
	return e == EINTR || e == ECONNABORTED || e == ENETDOWN || e == EPROTO || e == ENOPROTOOPT || e == EHOSTDOWN ||
	       e == ENONET || e == EHOSTUNREACH || e == EOPNOTSUPP || e == ENETUNREACH || e == EPERM;
}

err sock_accept(int listen_fd, int *fd, struct addrport *peer)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof sa;
	int got;

	for (unsigned tries = 16; tries; tries--) {
		got = accept4(listen_fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (got >= 0) {
			if (peer)
				*peer = sa.ss_family == AF_INET || sa.ss_family == AF_INET6 ?
						addrport_from_sockaddr((struct sockaddr *)&sa) :
						(struct addrport){ 0 };
			*fd = got;
			return OK;
		}
		if (!is_peers_error(errno))
			break;
		len = sizeof sa;
	}
	return errno == EAGAIN || is_peers_error(errno) ? ERR_BUSY : ERR_SYS;
}

void sock_shed(int listen_fd)
{
	int held = atomic_exchange(&spare, -1), fd;

	if (held >= 0)
		close(held);
	fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	keep_spare();
}

/* ---- connecting -------------------------------------------------------------------------------------------------- */

static err connect_tcp(struct addr from, struct addrport to, uint32_t value, int *out)
{
	struct sockaddr_storage sa, source;
	socklen_t len = addrport_to_sockaddr(to, &sa);
	CLEANUP(close_failed) int fd = -1;
	const int on = 1;

	if (len == 0 || (from.family && from.family != to.addr.family))
		return ERR_INVALID;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ERR_SYS;
	mark(fd, value);
	if (from.family) {
		socklen_t source_len = addrport_to_sockaddr((struct addrport){ .addr = from }, &source);

		if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
			bind(fd, (struct sockaddr *)&source, source_len) != 0)
			return ERR_SYS;
	}
	if (connect(fd, (struct sockaddr *)&sa, len) != 0 && errno != EINPROGRESS)
		return ERR_SYS;
	*out = fd;
	fd = -1;
	return OK;
}

err sock_connect_tcp(struct addrport to, int *out)
{
	return sock_connect_tcp_from((struct addr){ 0 }, to, out);
}

err sock_connect_tcp_from(struct addr from, struct addrport to, int *out)
{
	return connect_tcp(from, to, mark_all, out);
}
err sock_connect_tcp_marked(struct addrport to, uint32_t value, int *out)
{
	return connect_tcp((struct addr){ 0 }, to, value, out);
}

err sock_connect_unix(const char *path, int *out)
{
	CLEANUP(close_failed) int fd = -1;
	struct sockaddr_un sa;

	TRY(unix_address(path, &sa));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || (connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0 && errno != EINPROGRESS))
		return ERR_SYS;
	*out = fd;
	fd = -1;
	return OK;
}

int sock_error(int fd)
{
	int e = 0;
	socklen_t len = sizeof e;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 ? e : errno;
}

/* ---- tuning: wishes that a unix socket may refuse ---------------------------------------------------------------- */

static void wish(int fd, int level, int name, unsigned value)
{
	int v = value > INT32_MAX ? INT32_MAX : (int)value;

	setsockopt(fd, level, name, &v, sizeof v);
}

void sock_nodelay(int fd)
{
	wish(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

void sock_user_timeout(int fd, unsigned ms)
{
	wish(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms);
}

void sock_notsent_lowat(int fd, unsigned bytes)
{
	wish(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes);
}

void sock_keepalive(int fd, unsigned idle_s)
{
	wish(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	wish(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
	wish(fd, IPPROTO_TCP, TCP_KEEPINTVL, idle_s > 3 ? idle_s / 3 : 1);
}

err sock_pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0 ? OK : ERR_SYS;
}

struct addrport sock_local(int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof sa;

	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
		return (struct addrport){ 0 };
	return addrport_from_sockaddr((struct sockaddr *)&sa);
}
