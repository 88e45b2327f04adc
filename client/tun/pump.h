/* pump: moves batches between a TUN, UDP sockets and a WireGuard engine. What it does not know it asks: which way a
 * peer's messages go, which packets may come in, what a datagram is that is not WireGuard's.
 *
 * One thread owns pump, engine, TUN and sockets. The caller waits for the descriptors and for pump_due_ms and calls
 * pump_turn, which does a bounded piece of work and says whether more waits. */
#pragma once

#include "client/path/udp.h"
#include "client/tun/tun.h"
#include "client/wg/wg.h"

enum {
	PUMP_SOCKETS_MAX = 2, /* one a family */
	PUMP_TUN_READS = 8,   /* kernel packets a turn, up to 64 KiB each */
	PUMP_UDP_READS = 2,   /* udp_recv calls a turn and socket */
	PUMP_HANDSHAKES = 4,  /* a turn: half a millisecond */
};

struct pump_hooks {
	void *ctx;
	/* Sends messages for a peer (NULL: to answer to->…). Required. */
	void (*send)(void *ctx, struct wg_peer *peer, const struct wg_from *to, const struct wg_packet *pkts, size_t n);
	/* Packets from the TUN, all with one destination: the peer to seal them for, or NULL: they are dropped, or were
	 * taken (a name query, a ping to ourselves). NULL hook: by allowed IPs. */
	struct wg_peer *(*outbound)(void *ctx, struct wg_packet *pkts, size_t n);
	/* Packets that came in: n = 0 on those that are not to be delivered. NULL hook: all are. */
	void (*inbound)(void *ctx, struct wg_packet *pkts, size_t n);
	/* The first byte of a batch of equal datagrams says it is not transport: true if it was taken (disco, STUN).
	 * NULL hook: all is WireGuard's. */
	bool (*datagram)(void *ctx, const struct wg_from *from, struct bytes in);
	void (*event)(void *ctx, const struct wg_event *ev);
};

struct pump {
	struct wg *wg;
	struct tun *tun; /* NULL: none (yet) */
	struct udp *udp[PUMP_SOCKETS_MAX];
	struct pump_hooks hooks;
};

/* Does what is there to do. *more: call again before waiting. ERR_CLOSED: the TUN is gone. */
MUST_USE err pump_turn(struct pump *p, int64_t now_ms, bool *more);
/* WireGuard datagrams that came another way (DERP): opened in place and delivered. */
void pump_deliver(struct pump *p, const struct wg_from *from, struct wg_packet *pkts, size_t n, int64_t now_ms);
/* Packets for a peer that did not come from the TUN (TSMP answers), in place, with room as wg_seal wants it. */
void pump_send(struct pump *p, struct wg_peer *peer, struct wg_packet *pkts, size_t n, int64_t now_ms);
int64_t pump_due_ms(const struct pump *p);
