/* What the files of the data plane share: dataplane.c is its life and the netmap, dataplane_peers.c who is in it, dataplane_routes.c
 * the machine's addresses and routes, dataplane_packets.c what moves. */
#pragma once

#include "client/dataplane.h"
#include "client/filter/filter.h"
#include "client/firewall.h"
#include "client/path/magic.h"
#include "client/resolver.h"
#include "client/route/route.h"
#include "client/tun/pump.h"

struct peer {
	struct wg_peer *wg;
	struct path_peer *path;
	int64_t handshake_wall_ms, active_ms; /* active_ms: monotonic, last data either way */
	bool jailed;
};

struct dataplane {
	struct daemon *d;
	bool running;
	struct route *route;
	struct filter *filter;
	struct resolver *resolver;
	struct firewall *firewall;
	struct tun *tun;
	struct wg *wg;
	struct magic *magic;
	struct pump pump;
	struct loop_io *tun_io, *watch_io;
	int watch_fd;
	struct loop_timer timer, route_timer;
	struct loop_post turn;
	struct addr *keep; /* owned; sorted: no route may cover these */
	size_t n_keep;
	int64_t greeted_ms;
	bool turn_queued, routes_dirty, had_session, netcheck_asked;
};

/* dataplane.c */
void dp_queue_turn(struct dataplane *p);

/* dataplane_packets.c: hooks of the pump and of the sockets; ctx is the data plane. */
void dp_on_send(void *ctx, struct wg_peer *peer, const struct wg_from *to, const struct wg_packet *pkts, size_t n);
struct wg_peer *dp_on_outbound(void *ctx, struct wg_packet *pkts, size_t n);
void dp_on_inbound(void *ctx, struct wg_packet *pkts, size_t n);
void dp_on_wg_event(void *ctx, const struct wg_event *ev);
void dp_on_wireguard(void *ctx, const struct path_from *from, struct wg_packet *pkts, size_t n);

/* dataplane_routes.c */
void dp_read_local(struct dataplane *p, bool moved);
void dp_on_watch(struct loop_io *io, unsigned ready, void *ctx);
bool dp_renew_keep(struct dataplane *p); /* true: what no route may cover is something else than before */
const struct nm_node *dp_exit_node(const struct dataplane *p); /* NULL: none is chosen, or it is not there */
size_t dp_routes_of(const struct dataplane *p, const struct nm_node *n, struct prefix *out, size_t cap);
void dp_set_routes(struct dataplane *p);
void dp_on_route_timer(struct loop_timer *t);

/* dataplane_peers.c */
struct peer *dp_peer_by_key(const struct dataplane *p, const struct node_pub *key);
void dp_add_all(struct dataplane *p);
void dp_remove_all(struct dataplane *p);
