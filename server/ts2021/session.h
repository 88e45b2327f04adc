/* session: one ts2021 connection after the HTTP upgrade: Noise records, inside them HTTP/2, inside that the requests of one
 * machine (rpc.h) and its map streams (stream.h).
 *
 * Lives on one wire thread. Everything a stranger can do here is bounded: sessions of machines without a registered node
 * in number and time, requests at a time and a second, bodies in bytes, unsent output by the socket's own pace. */
#pragma once

#include "common/net/tls.h"
#include "common/net/addr.h"
#include "server/front/wire.h"

enum {
	TS2021_FIRST_REQUEST_MS = 30000,     /* a machine that asks nothing goes */
	TS2021_UNREGISTERED_MS = 3600 * 1000, /* whole life without a registered node (a login may wait that long) */
	TS2021_IDLE_MS = 10 * 60000,	      /* registered, but nothing open */
	TS2021_STALL_MS = 60000,	      /* output that the peer does not take */
	TS2021_USER_TIMEOUT_MS = 15000,      /* unacknowledged bytes: finds peers that vanished, with the keepalive every 50 s */
	TS2021_CALLS_MAX = 32,		      /* requests under way */
	TS2021_MAPS_MAX = 4,		      /* map streams; a newer one of the same node replaces the older */
	TS2021_BODIES_MAX = 1280 * 1024,      /* half-received bodies of all streams */
};

struct ts2021_start {
	struct wire *wire;
	int fd;			 /* taken */
	struct tls *tls;	 /* taken */
	struct addrport counted; /* whom LIMIT_CONNECTIONS is counted under; given back at the end */
	struct addrport client;	 /* who really sends */
	bool websocket;
	struct bytes initiation; /* from the upgrade request */
	struct bytes head;	 /* the 101 answer, to be sent first */
	struct bytes early;	 /* bytes that came after the request head */
};

/* Views are borrowed for the call. Whatever goes wrong, fd and tls are gone afterwards. */
void ts2021_session_start(const struct ts2021_start *st);
