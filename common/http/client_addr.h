/* client_addr: who really sends a request that came through a proxy. */
#pragma once

#include "common/http/http1.h"
#include "common/net/addr.h"

/* peer, or, when peer lies in trusted: the last address in X-Forwarded-For that does not (X-Real-IP where there is no
 * X-Forwarded-For). A header that does not parse is not believed. */
struct addrport client_addr(const struct http1_headers *h, struct addrport peer, const struct prefix *trusted, size_t n);
