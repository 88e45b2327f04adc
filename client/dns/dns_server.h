/* dns_server: the engine of dns.h on sockets of a loop: UDP and TCP on the resolver's address, UDP towards upstreams. */
#pragma once

#include "client/dns/dns.h"
#include "common/net/loop.h"

struct dns_server;

enum { DNS_TCP_MAX = 64 /* connections at once */, DNS_TCP_IDLE_MS = 10000 };

struct dns_server_config {
	struct loop *loop;
	struct dns *dns;	/* borrowed */
	struct addrport listen; /* 100.100.100.100:53, or what is free */
};
/* ERR_SYS: the address cannot be bound (not on any interface yet, or taken). */
MUST_USE err dns_server_new(const struct dns_server_config *c, struct dns_server **out);
void dns_server_free(struct dns_server *s);
