/* derp_link: DERP connections on a loop: TLS, fast start, one a region in use. The home region's is kept and comes back by
 * itself; others open when something is sent there and close when idle. common/wire/derp_client.h speaks the protocol.
 *
 * Addresses come resolved; of several (nodes, families) the next is tried when one fails. Sockets are marked as
 * sock_mark_all says. Callbacks may call back in, but not
 * derp_links_free or derp_links_set_regions. */
#pragma once

#include "common/crypto/keys.h"
#include "common/net/addr.h"
#include "common/net/loop.h"

struct derp_links;

enum {
	DERP_LINKS_REGIONS_MAX = 128,
	DERP_LINKS_NODES_MAX = 4,
	DERP_LINK_IDLE_MS = 60 * 1000,
	DERP_LINK_WAITING_MAX = 64 << 10, /* bytes kept for a region while it connects; the oldest go */
	DERP_LINK_DIAL_MS = 3000,	  /* until ServerInfo, for one address */
	DERP_LINK_SILENT_MS = 120 * 1000, /* nothing heard, not even a keep-alive */
	DERP_LINK_CHECK_MS = 3000,	  /* derp_links_check waits so long for an answer */
	DERP_LINK_BACKOFF_MIN_MS = 100,
	DERP_LINK_BACKOFF_MAX_MS = 15 * 1000,
};

struct derp_link_node {
	char host[256];
	char cert_name[256]; /* "": host; "sha256-raw:HEX": that certificate */
	struct addr v4, v6;  /* family 0: none, or not resolved yet */
	uint16_t port;	     /* 0: 443 */
	bool insecure;	     /* InsecureForTests: no check of the certificate */
	bool plain;	     /* no TLS: tests */
	char name[64];	     /* "900a" */
};
struct derp_link_region {
	uint16_t id;
	size_t n_nodes; /* those that relay; 0: none does */
	struct derp_link_node node[DERP_LINKS_NODES_MAX];
};

struct derp_links_config {
	struct loop *loop;
	const struct node_key *key; /* copied */
	const char *ca_file;	    /* NULL: the system's; borrowed for ever */
	void (*on_packet)(void *ctx, uint16_t region, const struct node_pub *from, struct bytes packet);
	void (*on_state)(void *ctx, uint16_t region, bool up); /* usable; or it ended, or an attempt failed */
	void (*on_heard)(void *ctx, uint16_t region);	       /* any frame */
	void (*on_latency)(void *ctx, uint16_t region, int64_t us);
	void (*on_peer_gone)(void *ctx, uint16_t region, const struct node_pub *peer); /* NULL is fine */
	void *ctx;
};
MUST_USE err derp_links_new(const struct derp_links_config *c, struct derp_links **out);
void derp_links_free(struct derp_links *d);
/* Connections to regions that are gone or whose servers changed are closed. */
MUST_USE err derp_links_set_regions(struct derp_links *d, const struct derp_link_region *r, size_t n);
void derp_links_set_home(struct derp_links *d, uint16_t region); /* 0: none */
void derp_links_set_key(struct derp_links *d, const struct node_key *key);

/* Opens the region where needed. Packets wait while it connects, up to a bound. ERR_NOT_FOUND: no such region;
 * ERR_TOO_BIG: the relay does not read. */
MUST_USE err derp_links_send(struct derp_links *d, uint16_t region, const struct node_pub *to, struct bytes packet);
/* Connects where needed and measures a round trip: on_latency. */
void derp_links_probe(struct derp_links *d, uint16_t region);
/* The network changed: connections without an answer in DERP_LINK_CHECK_MS are made anew, those that wait try at once. */
void derp_links_check(struct derp_links *d);
bool derp_links_is_up(const struct derp_links *d, uint16_t region);
