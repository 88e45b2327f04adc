/* resolver: MagicDNS wired up: the netmap's names and DNSConfig into the engine of dns/, its server on the tunnel's
 * address, and the machine told to ask it. Only with accept_dns, and only while the tunnel stands. */
#pragma once

#include "client/daemon.h"

struct resolver;

MUST_USE err resolver_new(struct daemon *d, struct resolver **out); /* repairs what a killed daemon left */
void resolver_free(struct resolver *r);
/* The address that the interface must have for it; family 0: none is wanted now. */
struct addr resolver_address(struct resolver *r);
/* The interface has its addresses, or the netmap or preferences changed: starts, follows or stops. */
void resolver_update(struct resolver *r, unsigned what);
bool resolver_is_overruled(const struct resolver *r); /* another program took the machine's resolver settings back */
void resolver_stop(struct resolver *r); /* the machine resolves as before; blocks for a moment */
