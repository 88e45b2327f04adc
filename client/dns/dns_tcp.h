/* dns_tcp: the resolver over TCP, beside dns_server's UDP: clients whose answer was truncated come here, and so do questions
 * to upstreams that such clients asked. A connection carries one question after the other; an upstream's carries one.
 *
 * Bounds: DNS_TCP_CLIENTS_MAX and DNS_TCP_UPSTREAMS_MAX connections, each for DNS_TCP_IDLE_MS without a whole message; what
 * comes beyond is closed. */
#pragma once

#include "client/dns/dns.h"
#include "common/net/loop.h"

struct dns_tcp;

enum {
	DNS_TCP_CLIENTS_MAX = 32,
	DNS_TCP_UPSTREAMS_MAX = 32,
	DNS_TCP_IDLE_MS = 10 * 1000,
	DNS_TCP_WAITING_MAX = 128 << 10, /* bytes that a client does not read */
};

/* flush is called when the engine may have something to send. ERR_SYS: the address cannot be bound. */
MUST_USE err dns_tcp_new(struct loop *loop, struct dns *dns, struct addrport listen, void (*flush)(void *ctx), void *ctx,
	struct dns_tcp **out);
void dns_tcp_free(struct dns_tcp *t);
/* An answer for a client of ours (out.client.tcp), or a question for an upstream (out.tcp), with that SO_MARK. */
void dns_tcp_answer(struct dns_tcp *t, const struct dns_client *to, struct bytes packet);
void dns_tcp_ask(struct dns_tcp *t, struct addrport upstream, struct bytes packet, uint32_t mark);
