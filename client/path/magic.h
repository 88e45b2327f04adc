/* magic: the socket under WireGuard that hides where packets really go: UDP sockets of both families and DERP links on one
 * loop, with the path engine deciding. Runs the engine's turn: who owns a magic never calls path_tick or path_pull.
 *
 * UDP moves in batches with GSO and GRO where the kernel has them (udp.h). All of it belongs to the loop's thread. */
#pragma once

#include "client/path/derp_link.h"
#include "client/path/path.h"
#include "client/wg/wg.h"
#include "common/wire/tailcfg_response.h"

struct magic;

enum {
	MAGIC_PORT = 41641,
	MAGIC_BATCH = 128,
	MAGIC_RESOLVE_MS = 10 * 60 * 1000, /* names of relays are looked up again so often, */
	MAGIC_RESOLVE_RETRY_MS = 2000,	   /* and after a failure */
	MAGIC_RELAYS_MAX = PATH_REGIONS_MAX * (PATH_NODES_MAX + DERP_LINKS_NODES_MAX) * 2,
};

struct magic_config {
	struct loop *loop;
	const struct node_key *key;   /* copied */
	const struct disco_key *disco; /* the same */
	uint16_t port;		      /* MAGIC_PORT; 0 or taken: any */
	bool no_offload;	      /* no GSO, no GRO */
	const char *ca_file;	      /* for DERP; NULL: the system's; borrowed for ever */
	/* WireGuard packets from one source, at most MAGIC_BATCH, writable, to be opened in place. from and pkts are
	 * borrowed for the call. */
	void (*on_wireguard)(void *ctx, const struct path_from *from, struct wg_packet *pkts, size_t n);
	/* Everything was read that waited: a good moment to write a batch out. NULL is fine. */
	void (*on_batch_end)(void *ctx);
	/* Events of the engine that concern others; PATH_EV_HOME and PATH_EV_PROBE were already acted upon. */
	void (*on_event)(void *ctx, const struct path_event *ev);
	void (*on_relays)(void *ctx); /* magic_relays differs: names were looked up. NULL is fine */
	/* NULL is fine: a relay says that a peer has gone. */
	void (*on_peer_gone)(void *ctx, uint16_t region, const struct node_pub *peer);
	void *ctx;
};

/* ERR_SYS: no UDP socket of either family. */
MUST_USE err magic_new(const struct magic_config *c, struct magic **out);
void magic_free(struct magic *m);
struct path *magic_path(struct magic *m); /* for peers, status, netcheck; then magic_flush */
struct derp_links *magic_derp(struct magic *m);
uint16_t magic_port(const struct magic *m, int family); /* 4 or 6; 0: no socket */

/* Sends a batch of WireGuard packets to a peer on its best path (or two); they are read before it returns. False: there is
 * no way at all. */
bool magic_send(struct magic *m, struct path_peer *peer, const struct wg_packet *pkts, size_t n);
/* To an address or by DERP, whoever is there: cookie replies and handshake responses. */
void magic_send_to(struct magic *m, const struct path_from *to, struct bytes packet);

/* The DERP map: regions to measure and to relay by. Copied. Hosts without addresses are looked up (loop_work). Addresses that
 * lead to this machine or only to its own link are left out, so that no server makes us speak to what listens there; loopback
 * counts as one of them unless may_loop (the login server itself is there). */
MUST_USE err magic_set_derp_map(struct magic *m, const struct tailcfg_derp_map *map, bool may_loop);
/* The addresses of all relays and STUN servers as far as they are known, at most cap; MAGIC_RELAYS_MAX are enough. */
size_t magic_relays(const struct magic *m, struct addr *out, size_t cap);
/* Interface addresses without ports; the sockets' ports are added. moved: the network changed; paths and relays are
 * tested. */
void magic_set_local(struct magic *m, const struct addr *a, size_t n, bool moved);
void magic_set_key(struct magic *m, const struct node_key *key);
/* Needed after calls on the engine: soon sends what it wants sent and arms its timer. All functions above do it. */
void magic_flush(struct magic *m);

struct magic_stats {
	uint64_t udp_rx, udp_tx, derp_rx, derp_tx; /* datagrams */
	uint64_t udp_failed, derp_failed;
};
const struct magic_stats *magic_stats(const struct magic *m);
