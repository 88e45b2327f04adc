/* dns: the resolver at 100.100.100.100. Answers names of the tailnet and reverse names from the netmap, forwards the rest
 * as the server's DNSConfig says, and is an engine: queries and answers come in as bytes, with the time.
 *
 *	dns_query(…)		a client's question: answered at once, or forwarded
 *	dns_upstream(…)		an upstream's answer
 *	dns_tick(…) when dns_due_ms is past
 *	while (dns_pull(…))	what is to be sent, to clients or upstreams
 *
 * A name is looked for among the tailnet's, then in the routes (the longest suffix wins; one without resolvers is answered
 * here), then it goes to the global resolvers, else to the fallback ones, else to those that the system had.
 * Bounds: DNS_PENDING_MAX forwarded questions at once, each for DNS_TIMEOUT_MS; then SERVFAIL.
 * Facts: protocol/control.md 6.9, wireguard.md 11.4; RFC 1035, 6891. */
#pragma once

#include "common/net/addr.h"
#include "common/wire/tailcfg_response.h"

struct dns;

enum {
	DNS_PENDING_MAX = 512,
	DNS_TIMEOUT_MS = 5000,
	DNS_TRY_MS = 1200,	 /* then the next upstream is asked as well */
	DNS_PACKET_MAX = 4096,	 /* by UDP */
	DNS_TCP_MAX = 65535,
	DNS_UPSTREAMS_MAX = 8,	 /* of one route */
	DNS_ROUTES_MAX = 1024,
	DNS_NAMES_MAX = 64000,
	DNS_TTL_S = 600,
	DNS_OUT_MAX = 256 << 10, /* bytes that wait for dns_pull */
};

/* A name of the tailnet; one entry an address. A final dot is optional. */
struct dns_name {
	const char *name;
	struct addr addr;
	bool reverse; /* PTR of addr answers this name */
};

MUST_USE err dns_new(struct dns **out);
void dns_free(struct dns *d);
/* system: what the machine resolved with before us. Resolvers that are not addresses (DNS over HTTPS) are left out, and so
 * are our own addresses. All is copied. ERR_TOO_BIG, ERR_NOMEM: what was before stays. */
MUST_USE err dns_set_config(struct dns *d, const struct tailcfg_dns_config *c, const struct addrport *system, size_t n_system);
MUST_USE err dns_set_names(struct dns *d, const struct dns_name *names, size_t n);

struct dns_client {
	struct addrport addr;
	uint64_t token; /* the caller's */
	bool tcp;	/* takes answers of any length, and its questions are asked by TCP, too */
};
/* Malformed questions are answered FORMERR or dropped. */
void dns_query(struct dns *d, const struct dns_client *client, struct bytes packet, int64_t now_ms);
/* From an upstream's address; strays are dropped. */
void dns_upstream(struct dns *d, struct addrport from, struct bytes packet, int64_t now_ms);
int64_t dns_due_ms(const struct dns *d); /* INT64_MAX: nothing waits */
void dns_tick(struct dns *d, int64_t now_ms);

struct dns_out {
	bool to_client;
	struct dns_client client;
	struct addrport upstream;
	bool tcp;	     /* the upstream is to be asked by TCP */
	struct bytes packet; /* borrowed until the next call */
};
bool dns_pull(struct dns *d, struct dns_out *out);
