/* proxy_protocol: the header that a TCP load balancer puts before the first byte, versions 1 (text) and 2 (binary).
 *
 * Bytes in, the real client's address out; no sockets. Facts: HAProxy's proxy-protocol.txt, sections 2.1 and 2.2. */
#pragma once

#include "common/net/addr.h"

enum {
	PROXY_V1_MAX = 107,	  /* bytes, CRLF included */
	PROXY_V2_MAX = 16 + 2048, /* addresses and TLVs; longer ones are refused */
};

/* OK: *used bytes belong to the header; *client is who connected, family 0 when the proxy speaks for itself (LOCAL,
 * UNKNOWN). ERR_TRUNCATED: come back with more. ERR_MALFORMED, ERR_TOO_BIG: no such header. */
MUST_USE err proxy_protocol_parse(struct bytes in, struct addrport *client, size_t *used);
