/* offload: what IFF_VNET_HDR asks of whoever reads and writes a TUN: large packets of the kernel (TSO, USO) are cut
 * into those that travel, and received packets of one flow are put together into large ones. No descriptors here.
 *
 * Facts: protocol/wireguard.md 6.2 and 7 (wireguard-go@f333402b tun/offload_linux.go). */
#pragma once

#include <sys/uio.h>

#include "client/wg/wg.h"

enum {
	VNET_LEN = 10, /* struct virtio_net_hdr, numbers in host order */
	TUN_PACKET_MAX = 65535,
};

enum vnet_gso { VNET_NONE = 0, VNET_TCP4 = 1, VNET_TCP6 = 4, VNET_UDP = 5, VNET_ECN = 0x80 /* or-ed */ };

struct vnet {
	bool needs_csum; /* the checksum field holds the pseudo header's sum; the rest is to be added */
	enum vnet_gso gso;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
};
MUST_USE err vnet_parse(struct bytes in, struct vnet *out); /* ERR_MALFORMED: too short */
void vnet_write(const struct vnet *v, uint8_t out[VNET_LEN]);

/* ---- cutting -------------------------------------------------------------------------------------------------- */

struct tun_split {
	const uint8_t *packet; /* borrowed until it is done */
	size_t n;
	struct vnet v;
	size_t at;              /* payload bytes that are out */
	size_t ip_len, hdr_len; /* of the IP header; with the transport header */
	unsigned count;
	bool tcp, six, gso;
};

/* ERR_MALFORMED: headers that contradict each other; drop it. */
MUST_USE err tun_split_init(struct tun_split *s, const struct vnet *v, const uint8_t *packet, size_t n);
/* Writes the next packets to out and describes them in pkts, each whole and with its checksum, each with WG_HEADROOM
 * before it, and so that the messages they are sealed to lie one behind the other without gaps when the MTU is a
 * multiple of 16. Returns how many: at most max, and as many as fit in cap; 0: all are out. */
size_t tun_split_step(struct tun_split *s, uint8_t *out, size_t cap, struct wg_packet *pkts, size_t max);

/* ---- putting together ----------------------------------------------------------------------------------------- */

enum {
	TUN_MERGE_MAX = 128,     /* packets of a batch */
	TUN_MERGE_LOOK_BACK = 8, /* groups that a packet may join */
	TUN_GROUP_MAX = 64,      /* packets of a group: what a GSO packet may consist of */
};

struct tun_merge {
	bool tcp, udp; /* merge these; else each packet is its own group */
	struct tun_item {
		uint8_t *p;
		size_t n;
		unsigned next; /* of its group; 0: the last */
	} item[TUN_MERGE_MAX];
	struct tun_group {
		unsigned first, last, n;         /* items */
		bool open;                       /* more may join */
		bool tcp, six, flow;             /* flow: it is TCP or UDP of a shape that merges at all */
		size_t ip_len, hdr_len, payload; /* payload: of the first item */
		size_t total;
		uint32_t next_seq;
		uint8_t vnet[VNET_LEN];
	} group[TUN_MERGE_MAX];
	unsigned n_items, n_groups;
};

void tun_merge_init(struct tun_merge *m, bool tcp, bool udp);
/* A whole IP packet, borrowed and changed by tun_merge_iov. False: the batch is full. */
bool tun_merge_add(struct tun_merge *m, uint8_t *p, size_t n);
/* The i-th group as what one write to the TUN takes. Returns how many of iov are used (at most TUN_GROUP_MAX + 1). */
size_t tun_merge_iov(struct tun_merge *m, unsigned i, struct iovec *iov);
