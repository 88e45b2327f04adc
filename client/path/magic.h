/* magic: the socket under WireGuard that hides where packets really go: UDP sockets of both families and DERP links on one
 * loop, with the path engine deciding. Runs the engine's turn: who owns a magic never calls path_tick or path_pull. */
#pragma once

#include "client/path/derp_link.h"
#include "client/path/path.h"

struct magic;
struct magic_packet;

struct magic_config {
	struct loop *loop;
	struct node_key *key;	/* copied */
	struct disco_key *disco;
	uint16_t port;		/* 41641; 0 or taken: any */
	bool mark;		/* route_mark_socket on all sockets */
	const char *ca_file;	/* for DERP; NULL: the system's */
	/* WireGuard packets from one source, writable; to be opened in place. */
	void (*on_wireguard)(void *ctx, const struct path_from *from, struct magic_packet *pkts, size_t n);
	/* Events that concern others; PROBE and HOME were already acted upon. */
	void (*on_event)(void *ctx, const struct path_event *ev);
	void *ctx;
};
struct magic_packet {
	uint8_t *p;
	size_t n;
};

MUST_USE err magic_new(const struct magic_config *c, struct magic **out);
void magic_free(struct magic *m);
struct path *magic_path(struct magic *m);	   /* for peers, status, netcheck; then magic_flush */
struct derp_links *magic_derp(struct magic *m);
uint16_t magic_port(const struct magic *m, int family); /* 4 or 6; 0: no socket */

/* Sends a batch of WireGuard packets to a peer on its best path (or two). Packets may be as small as 1 byte; they are read
 * before it returns. False: there is no way at all. */
bool magic_send(struct magic *m, struct path_peer *peer, const struct bytes *pkts, size_t n);
/* To an address or by DERP, whoever is there: cookie replies and handshake responses. */
void magic_send_to(struct magic *m, const struct path_from *to, struct bytes packet);

/* The DERP map, for both: path regions and links. Hosts without addresses are resolved (loop_work). */
MUST_USE err magic_set_regions(struct magic *m, const struct path_region *r, const struct derp_link_region *d, size_t n);
/* Interface addresses without ports; the sockets' ports are added. */
void magic_set_local(struct magic *m, const struct addr *a, size_t n, bool moved);
void magic_set_key(struct magic *m, const struct node_key *key);
/* After calls on the engine: sends what it wants sent and arms its timer. Called by all functions above. */
void magic_flush(struct magic *m);
