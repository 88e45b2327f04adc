/* demux: what a datagram from the client's UDP socket is, and the Geneve header of relayed ones. The order of the tests
 * is the protocol. Facts: protocol/disco.md 2 (tailscale@de9ec7ee2 wgengine/magicsock/magicsock.go packetLooksLike,
 * net/packet/geneve.go). */
#pragma once

#include "common/base/bytes.h"
#include "common/base/writer.h"

enum udp_kind {
	UDP_WIREGUARD, /* everything else: WireGuard judges it */
	UDP_STUN,
	UDP_DISCO,
	UDP_RELAYED_DISCO,     /* behind a Geneve header */
	UDP_RELAYED_WIREGUARD, /* behind a Geneve header */
};

enum { GENEVE_LEN = 8 };
enum geneve_protocol { GENEVE_DISCO = 0x7a11, GENEVE_WIREGUARD = 0x7a12 };

struct geneve {
	uint32_t vni; /* 24 bits */
	enum geneve_protocol protocol;
	bool control; /* between a client and the relay itself: the handshake */
};

/* *g and *inner (borrowed) are set for the two relayed kinds only; for the others the whole packet is meant. */
enum udp_kind udp_demux(struct bytes packet, struct geneve *g, struct bytes *inner);

/* w->bad: no room, or a vni of more than 24 bits. */
void geneve_write(struct writer *w, const struct geneve *g);
