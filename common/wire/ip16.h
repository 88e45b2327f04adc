/* ip16: an address and port as DERP and disco write them: 16 bytes of IPv6, IPv4 in its mapped form, port big-endian.
 * Read values are unmapped. */
#pragma once

#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/net/addr.h"

enum { IP16_PORT_LEN = 18 };

static const uint8_t ip16_mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static inline struct addrport rd_ip16_port(struct reader *r)
{
	struct addrport a = { .addr.family = 6 };

	rd_copy(r, a.addr.b, 16);
	a.addr = addr_unmap(a.addr);
	a.port = rd_u16be(r);
	if (r->bad)
		memset(&a, 0, sizeof a);
	return a;
}

/* Family 0 is written as ::. */
static inline void wr_ip16_port(struct writer *w, struct addrport a)
{
	if (a.addr.family == 4) {
		wr_bytes(w, bytes_of(ip16_mapped_prefix, sizeof ip16_mapped_prefix));
		wr_bytes(w, bytes_of(a.addr.b, 4));
	} else {
		wr_bytes(w, bytes_of(a.addr.b, 16));
	}
	wr_u16be(w, a.port);
}
