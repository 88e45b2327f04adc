/* dns_server: the engine of dns.h on sockets of a loop: UDP on the resolver's address and towards upstreams. Upstreams are
 * asked from one of several ports, so that an answer is hard to forge. Beside it, TCP (dns_tcp.h), where that port is free. */
#pragma once

#include "client/dns/dns.h"
#include "common/net/loop.h"

struct dns_server;

enum { DNS_SERVER_PORTS = 4 /* of each family */ };

struct dns_server_config {
	struct loop *loop;
	struct dns *dns;	/* borrowed */
	struct addrport listen; /* 100.100.100.100:53, or what is free */
};
/* ERR_SYS: the address cannot be bound (not on any interface yet, or taken). */
MUST_USE err dns_server_new(const struct dns_server_config *c, struct dns_server **out);
/* These upstreams are asked past the tunnel, with that SO_MARK, whatever the routes say: an exit node is in use, and they
 * stand in the local network. Copied, at most DNS_SERVER_DIRECT_MAX. */
enum { DNS_SERVER_DIRECT_MAX = 8 };
void dns_server_set_direct(struct dns_server *s, const struct addr *a, size_t n, uint32_t mark);
void dns_server_free(struct dns_server *s);
struct addrport dns_server_local(const struct dns_server *s);
