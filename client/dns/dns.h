/* dns: the resolver at 100.100.100.100. Answers names of the tailnet and reverse names from the netmap, forwards the rest
 * as the server's DNSConfig says, and is an engine: queries and answers come in as bytes, with the time.
 *
 *	dns_query(…)		a client's question: answered at once, or forwarded
 *	dns_upstream(…)		an upstream's answer
 *	dns_tick(…) when dns_due_ms is past
 *	while (dns_pull(…))	what is to be sent, to clients or upstreams
 *
 * Bounds: DNS_PENDING_MAX forwarded questions at once; each is tried at its upstreams for DNS_TIMEOUT_MS.
 * Facts: protocol/control.md 6.9, wireguard.md 11.4; RFC 1035, 6891. */
#pragma once

#include "common/net/addr.h"

struct dns;

enum {
	DNS_PENDING_MAX = 512,
	DNS_TIMEOUT_MS = 5000,
	DNS_PACKET_MAX = 4096,	/* UDP, with EDNS; without it 512 */
	DNS_UPSTREAMS_MAX = 8,	/* of one route */
	DNS_ROUTES_MAX = 256,
	DNS_NAMES_MAX = 40000,
	DNS_TTL_S = 600,
};

/* A name of the tailnet. Host names end in the MagicDNS suffix; a final dot is optional. */
struct dns_name {
	struct bytes name;
	struct addr addr; /* one entry an address */
	bool reverse;	  /* PTR of addr answers this name */
};
struct dns_route {
	struct bytes suffix; /* "corp.example.com", without leading dot; "" is the root: all other names */
	const struct bytes *resolvers; /* "1.1.1.1", "1.1.1.1:53", "[::1]:53"; https:// ones are left out; n 0: answered here */
	size_t n_resolvers;
};
/* What DNSConfig says; borrowed for the call. */
struct dns_config {
	bool proxied;			/* MagicDNS */
	const struct bytes *resolvers;	/* override the system's */
	size_t n_resolvers;
	const struct bytes *fallback;
	size_t n_fallback;
	const struct bytes *domains;	/* search domains; the first is the MagicDNS suffix */
	size_t n_domains;
	const struct dns_route *routes;
	size_t n_routes;
	const struct dns_name *extra;	/* ExtraRecords */
	size_t n_extra;
	const struct addrport *system;	/* what the system used before us: for names that no route takes */
	size_t n_system;
};

MUST_USE err dns_new(struct dns **out);
void dns_free(struct dns *d);
/* ERR_TOO_BIG, ERR_NOMEM: what was before stays. */
MUST_USE err dns_set_config(struct dns *d, const struct dns_config *c);
MUST_USE err dns_set_names(struct dns *d, const struct dns_name *names, size_t n);

/* client is handed back with the answer (any 64 bits); tcp: no limit of 512 bytes. */
struct dns_client {
	struct addrport addr;
	uint64_t token;
	bool tcp;
};
/* Malformed questions are dropped or answered FORMERR. */
void dns_query(struct dns *d, const struct dns_client *client, struct bytes packet, int64_t now_ms);
/* From an upstream's address; strays are dropped. */
void dns_upstream(struct dns *d, struct addrport from, struct bytes packet, int64_t now_ms);
int64_t dns_due_ms(const struct dns *d);
void dns_tick(struct dns *d, int64_t now_ms);

struct dns_out {
	bool to_client;
	struct dns_client client;
	struct addrport upstream;
	struct bytes packet; /* borrowed until the next call */
};
bool dns_pull(struct dns *d, struct dns_out *out);
