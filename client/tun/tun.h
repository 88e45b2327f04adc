/* tun: the network device of the tunnel. Reads give batches of packets ready to be sealed, writes take batches as they
 * were opened; offloads are used where the kernel has them, and each has a switch.
 *
 * Addresses, routes and the link's state are route/'s business. Not blocking: wait for tun_fd to be readable. */
#pragma once

#include <net/if.h>

#include "client/tun/offload.h"

enum {
	TUN_TSO = 1,      /* large TCP packets both ways */
	TUN_USO = 2,      /* large UDP packets both ways: Linux 6.2 */
	TUN_NO_MERGE = 4, /* write TCP singly: set by itself where the kernel refuses merged ones (6.6.44) */
	TUN_ALL = TUN_TSO | TUN_USO,
};

struct tun;

/* name: "fairlead0", or with a %d for the kernel to fill. want: TUN_…, 0 for a plain device without vnet headers.
 * ERR_SYS: errno says why (EPERM, EBUSY: another program has it). */
MUST_USE err tun_open(const char *name, unsigned want, unsigned mtu, struct tun **out);
void tun_close(struct tun *t);
int tun_fd(const struct tun *t);
const char *tun_name(const struct tun *t);
unsigned tun_offloads(const struct tun *t); /* what it got */

/* The next packets in pkts (at most max), valid until the next call: one packet of the kernel, which may be many of
 * ours, all with one destination. 0: nothing to read. ERR_CLOSED: the device is gone. */
MUST_USE err tun_read(struct tun *t, struct wg_packet *pkts, size_t max, size_t *n);

/* Queues what wg_open left (entries with n 0 are skipped); tun_flush writes it out. They must stay as they are till
 * then. */
void tun_write(struct tun *t, struct wg_packet *pkts, size_t n);
void tun_flush(struct tun *t);

struct tun_stats {
	uint64_t read_bytes, written_bytes, read_calls, write_calls, malformed, write_errors;
};
const struct tun_stats *tun_stats(const struct tun *t);
