/* udp: a UDP socket that moves batches: equal datagrams to one address leave with one call (UDP_SEGMENT) and arrive
 * with one (UDP_GRO); where the kernel has neither, or says no, recvmmsg and sendmmsg. Not blocking.
 *
 * Facts: protocol/wireguard.md 6.1 and 6.3. */
#pragma once

#include "client/wg/wg.h"

enum {
	UDP_GSO = 1,
	UDP_GRO_RX = 2,
	UDP_OFFLOADS = UDP_GSO | UDP_GRO_RX,
	UDP_BUFFER_BYTES = 7 << 20, /* asked of the kernel each way */
	UDP_GSO_SEGMENTS = 64,
	UDP_GSO_BYTES = 65507,
	UDP_RX_SLOTS = 4,        /* buffers of 64 KiB that one udp_recv may fill with GRO */
	UDP_RX_SLOTS_PLAIN = 64, /* datagrams without it */
	UDP_DATAGRAM_MAX = 2048, /* the longest one taken without GRO */
};

struct udp;

/* at: port 0 takes any; family 6 is IPv6 only. mark: SO_MARK of what leaves (0: none), so that it does not go into the
 * tunnel. want: UDP_…, what the kernel lacks is left out. ERR_SYS: see errno. */
MUST_USE err udp_open(struct addrport at, uint32_t mark, unsigned want, struct udp **out);
void udp_close(struct udp *u);
int udp_fd(const struct udp *u);
struct addrport udp_local(const struct udp *u);
unsigned udp_offloads(const struct udp *u); /* UDP_GSO goes where a device turns out to have no checksums (EIO) */

/* Datagrams to one address, in order. What the kernel does not take within a few milliseconds is dropped, as a network
 * would. ERR_SYS: the first went nowhere for errno (ENETUNREACH, EPERM, …). */
MUST_USE err udp_send(struct udp *u, struct addrport to, const struct wg_packet *pkts, size_t n);

/* One buffer of received datagrams of one source, seg bytes each but the last, which may be shorter. */
struct udp_rx {
	struct addrport from;
	uint8_t *p; /* borrowed until the next udp_recv */
	size_t n, seg;
};
/* At most UDP_RX_SLOTS_PLAIN; returns how many, 0: nothing to read. */
size_t udp_recv(struct udp *u, struct udp_rx *rx);
/* The datagrams of rx, at most max from *at on, which moves. */
size_t udp_rx_split(const struct udp_rx *rx, size_t *at, struct wg_packet *pkts, size_t max);

struct udp_stats {
	uint64_t sent, send_calls, received, recv_calls, dropped;
};
const struct udp_stats *udp_stats(const struct udp *u);
