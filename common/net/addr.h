/* addr: IP addresses, address:port pairs and prefixes as plain values; parse, print, compare. No sockets.
 *
 * Text forms are Go's net/netip ones, because peers parse them so. IPv4 stays IPv4: a mapped form (::ffff:a.b.c.d) is
 * turned into IPv4 by addr_unmap, which everything that comes from a socket goes through. Zones are refused. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "common/base/bytes.h"

/* is4: b[0..3] and the rest zero, so that memcmp of the whole struct is equality. family 0 = none. */
struct addr {
	uint8_t family; /* 0, 4 or 6 */
	uint8_t b[16];
};

struct addrport {
	struct addr addr;
	uint16_t port; /* host order */
};

struct prefix {
	struct addr addr; /* host bits may be set unless prefix_mask was applied */
	uint8_t bits;
};

enum {
	ADDR_TEXT_MAX = 48,
	ADDRPORT_TEXT_MAX = 64,
	PREFIX_TEXT_MAX = 56,
};

struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
struct addr addr_unmap(struct addr a);

static inline bool addr_eq(struct addr a, struct addr b)
{
	return memcmp(&a, &b, sizeof a) == 0;
}
static inline bool addrport_eq(struct addrport a, struct addrport b)
{
	return a.port == b.port && addr_eq(a.addr, b.addr);
}
/* By family, then bytes: <0, 0, >0. */
int addr_cmp(struct addr a, struct addr b);
int prefix_cmp(struct prefix a, struct prefix b); /* address, then length */

MUST_USE err addr_parse(struct bytes text, struct addr *out);
MUST_USE err addrport_parse(struct bytes text, struct addrport *out); /* "1.2.3.4:5", "[::1]:5" */
MUST_USE err prefix_parse(struct bytes text, struct prefix *out);     /* "10.0.0.0/8"; a bare address is its host prefix */
char *addr_text(struct addr a, char out[ADDR_TEXT_MAX]);	      /* "" for none; RFC 5952 */
char *addrport_text(struct addrport a, char out[ADDRPORT_TEXT_MAX]);
char *prefix_text(struct prefix p, char out[PREFIX_TEXT_MAX]);

unsigned addr_bits(struct addr a); /* 32, 128, or 0 */
struct prefix addr_prefix(struct addr a); /* its /32 or /128 */
struct prefix prefix_mask(struct prefix p); /* host bits cleared */
bool prefix_contains(struct prefix p, struct addr a);
bool prefix_overlaps(struct prefix a, struct prefix b);
bool prefix_covers(struct prefix outer, struct prefix inner);

bool addr_is_loopback(struct addr a);
bool addr_is_private(struct addr a);	/* RFC 1918 and fc00::/7 */
bool addr_is_public(struct addr a);	/* nothing of this machine, a private network or a tailnet, nor what stands for such */
bool addr_is_link_local(struct addr a);
bool addr_is_multicast(struct addr a);	/* and IPv4 limited broadcast */
bool addr_is_unspecified(struct addr a);
bool addr_is_tailscale(struct addr a);	/* 100.64.0.0/10 without 100.115.92.0/23, and fd7a:115c:a1e0::/48 */

/* The address that a limit is counted under: the IPv4 address, or the IPv6 /64. */
struct addr addr_limit_key(struct addr a);

struct addrport addrport_from_sockaddr(const struct sockaddr *sa); /* unmapped; family 0 when it is no IP */
socklen_t addrport_to_sockaddr(struct addrport a, struct sockaddr_storage *out);
