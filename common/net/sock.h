/* sock: the only place that opens, accepts and tunes sockets. All descriptors are non-blocking and close-on-exec. */
#pragma once

#include "common/net/addr.h"

/* "127.0.0.1:80", "[::]:443", ":443" (all addresses, both families by one dual-stack socket), "localhost:80".
 * ERR_INVALID: not such a text. Names other than localhost are refused: a listener must not depend on DNS. */
MUST_USE err sock_parse_listen(struct bytes text, struct addrport *out);

enum { SOCK_REUSEPORT = 1, SOCK_DUAL = 2 /* an IPv6 wildcard also takes IPv4 */ };
/* ERR_SYS: see errno (EADDRINUSE: the port is taken, EACCES: not allowed to bind it). */
MUST_USE err sock_listen_tcp(struct addrport at, unsigned flags, int backlog, int *fd);
MUST_USE err sock_listen_udp(struct addrport at, unsigned flags, int *fd);
/* A stale socket file (nobody accepts on it) is replaced; a live one is ERR_BUSY. mode is applied to the file. */
MUST_USE err sock_listen_unix(const char *path, unsigned mode, int *fd);

/* ERR_BUSY: nothing to accept now. ERR_SYS with EMFILE/ENFILE: out of descriptors (use sock_shed). */
MUST_USE err sock_accept(int listen_fd, int *fd, struct addrport *peer);
/* With the process out of descriptors: gives up a spare one, accepts and closes, takes the spare back. */
void sock_shed(int listen_fd);

/* From now on every TCP and UDP socket opened here carries this firewall mark (SO_MARK), as far as we may: policy routing
 * sends a tunnel's own packets past the tunnel by it. 0: none. Called once, before threads are. */
void sock_mark_all(uint32_t value);

/* Starts a connect; in progress is OK (wait for LOOP_WRITE, then sock_error). */
MUST_USE err sock_connect_tcp(struct addrport to, int *fd);
/* The same with this mark instead of that of all. */
MUST_USE err sock_connect_tcp_marked(struct addrport to, uint32_t mark, int *fd);
/* The same from a source address of ours; the port is chosen at connect, so that each peer may see all 28,000 of them. */
MUST_USE err sock_connect_tcp_from(struct addr from, struct addrport to, int *fd);
MUST_USE err sock_connect_unix(const char *path, int *fd);
int sock_error(int fd); /* SO_ERROR: 0 or an errno */

void sock_nodelay(int fd);
void sock_user_timeout(int fd, unsigned ms);	  /* unacknowledged data this old ends the connection */
void sock_notsent_lowat(int fd, unsigned bytes);  /* keep the backlog in user space */
void sock_keepalive(int fd, unsigned idle_s);

/* A pair of connected AF_UNIX stream sockets. */
MUST_USE err sock_pair(int fd[2]);

struct addrport sock_local(int fd);
