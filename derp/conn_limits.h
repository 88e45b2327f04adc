/* conn_limits: how many connections a relay holds, in all and from one address (IPv4 address or IPv6 /64). All threads. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/map.h"
#include "common/net/addr.h"

struct conn_limits {
	_Atomic uint32_t max, max_per_addr; /* 0: none */
	_Atomic uint32_t n;
	pthread_mutex_t lock;
	struct map by_addr;
};

void conn_limits_init(struct conn_limits *l, uint32_t max, uint32_t max_per_addr);
void conn_limits_change(struct conn_limits *l, uint32_t max, uint32_t max_per_addr); /* for those to come */
void conn_limits_done(struct conn_limits *l);
/* ERR_BUSY: over a limit. ERR_NOMEM. On OK, one conn_limits_give must follow. */
MUST_USE err conn_limits_take(struct conn_limits *l, struct addr from);
void conn_limits_give(struct conn_limits *l, struct addr from);
