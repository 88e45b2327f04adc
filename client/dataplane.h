/* dataplane: what carries packets: the TUN device, WireGuard, paths and relays, the packet filter, addresses and routes,
 * fed by the netmap. On the daemon's loop.
 *
 *	TUN -> filter_out -> wg_seal -> magic (UDP or DERP)        magic -> wg_open -> filter_in -> TUN */
#pragma once

#include "client/daemon.h"

/* ERR_SYS, ERR_DENIED: no TUN device. Removes what a killed daemon left. */
MUST_USE err dataplane_new(struct daemon *d, struct dataplane **out);
void dataplane_free(struct dataplane *p);
MUST_USE err dataplane_start(struct dataplane *p); /* with the netmap there is; again is fine */
void dataplane_stop(struct dataplane *p);	     /* interface, routes and rules away */
bool dataplane_dns_is_overruled(const struct dataplane *p);
bool dataplane_is_ready(const struct dataplane *p); /* it has a home relay, or a peer with a session */

/* The netmap changed: struct nm_listener. */
void dataplane_peer(struct dataplane *p, const struct nm_node *now, unsigned what, const struct node_pub *was_key);
void dataplane_peer_gone(struct dataplane *p, const struct nm_node *was);
void dataplane_netmap(struct dataplane *p, unsigned what);
void dataplane_key(struct dataplane *p); /* our node key is another one */
void dataplane_servers_changed(struct dataplane *p); /* perhaps: the login server or the relays have other addresses */

struct dataplane_peer {
	bool active;		/* packets in the last two minutes */
	struct addrport direct; /* family 0: by relay */
	int relay;		/* region, 0: none known */
	uint64_t rx_bytes, tx_bytes;
	int64_t handshake_ms;	/* wall clock of the present session; 0: none */
};
/* False: not running, or unknown. */
bool dataplane_peer_status(struct dataplane *p, const struct node_pub *key, struct dataplane_peer *out);
/* ERR_NOT_FOUND: no such peer or no way to it; the result comes by local_ping_result. */
MUST_USE err dataplane_ping(struct dataplane *p, const struct node_pub *key, uint64_t *id);
MUST_USE err dataplane_netcheck(struct dataplane *p);
struct jsonw;
void dataplane_write_netcheck(struct dataplane *p, struct jsonw *w);
void dataplane_write_paths(struct dataplane *p, struct jsonw *w);
