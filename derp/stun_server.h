/* stun_server: answers STUN binding requests on UDP, in batches, on a loop. Stateless; what is not a client's request
 * gets no answer (protocol/stun.md 2 and 5). One an address and port; a second one serves a STUN-only node. */
#pragma once

#include <stdatomic.h>

#include "common/net/addr.h"
#include "common/net/loop.h"

struct stun_stats {
	_Atomic uint64_t success, not_stun, read_error, write_error, ipv4, ipv6;
};

struct stun_server;
/* at may be a wildcard, also IPv6 for both families: answers leave from the address that was asked. ERR_SYS: see errno. */
MUST_USE err stun_server_new(struct loop *l, struct addrport at, struct stun_stats *stats, struct stun_server **out);
void stun_server_free(struct stun_server *s); /* on the loop's thread, or when that has stopped */
struct addrport stun_server_local(const struct stun_server *s);
