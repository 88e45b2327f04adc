/* inner: what an IP packet inside the tunnel is, as far as the filter must know. Lengths are checked, nothing is trusted. */
#pragma once

#include "common/net/addr.h"

enum {
	IP_ICMP = 1,
	IP_TCP = 6,
	IP_UDP = 17,
	IP_V6_FRAGMENT = 44,
	IP_ICMP6 = 58,
	IP_TSMP = 99,
	IP_SCTP = 132,
};
enum { TCP_SYN = 0x02, TCP_ACK = 0x10 };

struct inner {
	struct addr src, dst;
	uint8_t proto;
	bool later_fragment; /* no ports */
	uint16_t sport, dport; /* TCP, UDP, SCTP */
	uint8_t tcp_flags;
	uint8_t icmp_type;
};

/* ERR_MALFORMED: not IP, lengths that disagree, a transport header that is cut, or a fragment that could overwrite one
 * (RFC 1858). */
MUST_USE err inner_parse(struct bytes packet, struct inner *out);
