/* netmap: what the control server told us about our tailnet: ourselves, the peers, the packet filter, names, relays.
 *
 * One owner: the control thread (the main loop). It changes only in netmap_apply, which takes one parsed message of the
 * map stream (client/control/mapparse.h) and tells listeners what became different; consumers copy what they need for
 * other threads. Everything in here was bounded and checked when it was parsed, because a hostile server is assumed:
 * addresses lie in the tailnet's ranges, keys are not zero, texts are UTF-8 without control characters.
 *
 * Ownership: nodes belong to the netmap and live until nm_listener.peer_gone returned for them (a changed peer may be a
 * new struct at a new address: keep node ids or keys, not pointers). Rules of merging: protocol/control.md 6.5, 6.6. */
#pragma once

#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/crypto/keys.h"
#include "common/net/addr.h"
#include "common/wire/tailcfg_response.h"

enum {
	NM_PEERS_MAX = 20000,
	NM_BYTES_MAX = 24 << 20,  /* of all peers and users together; one takes about 1 KB */
	NM_TEXT_MAX = 255,	  /* bytes of a name; longer ones are cut */
	NM_ADDRESSES_MAX = 16,	  /* of a node */
	NM_ALLOWED_MAX = 1024,	  /* of a node, routes included */
	NM_ENDPOINTS_MAX = 64,	  /* of a node; the rest is dropped */
	NM_SERVICES_MAX = 32,
	NM_TAGS_MAX = 64,
	NM_CAPS_MAX = 128,	  /* names in a CapMap */
	NM_USERS_MAX = 20000,
	NM_CHUNKS_MAX = 256,	  /* named parts of the packet filter */
	NM_RULES_MAX = 8192,	  /* of all parts */
	NM_RULE_ITEMS_MAX = 1 << 18, /* sources and destinations of all rules */
	NM_MESSAGES_MAX = 32,	  /* health lines shown */
};

struct nm_service {
	char proto[24]; /* "peerapi4", "peerapi6", "peerapi-dns-proxy", "tcp", … */
	uint16_t port;
};

/* A node, ourselves or a peer. Strings are never NULL. */
struct nm_node {
	int64_t id;
	const char *stable_id;
	const char *name; /* FQDN with a trailing dot, lower case: "host.tailnet.example.com." */
	int64_t user;
	struct node_pub key;
	struct machine_pub machine; /* zero: withheld */
	struct disco_pub disco;	    /* zero: unknown; no direct paths to it then */
	const struct prefix *addresses; /* host prefixes in the tailnet's ranges */
	size_t n_addresses;
	/* Masked. What the peer may send from and what is sent to it, all that the server says: routes wider than the
	 * tailnet's host addresses count only where accept_routes allows it (netmap_peer_routes). */
	const struct prefix *allowed_ips;
	size_t n_allowed_ips;
	const struct addrport *endpoints;
	size_t n_endpoints;
	int home_derp; /* region id; 0: unknown */
	int cap;       /* capability version */
	const char *hostname, *os; /* of its Hostinfo */
	const struct nm_service *services;
	size_t n_services;
	const char *const *tags;
	size_t n_tags;
	const char *const *caps; /* names in its CapMap */
	size_t n_caps;
	const struct prefix *primary_routes;
	size_t n_primary_routes;
	int64_t key_expiry_ms; /* wall clock; 0: never */
	int64_t last_seen_ms;  /* 0: unknown */
	int64_t created_ms;
	bool has_online, online;
	bool expired, machine_authorized, wireguard_only, jailed, unsigned_peerapi_only, sharee, ssh;

	size_t bytes; /* of memory: a node is one block */
};

struct nm_user {
	int64_t id;
	const char *login_name, *display_name, *profile_pic_url;
	size_t bytes;
};

/* ---- packet filter: rules for what comes in; their union is allowed, all else dropped (control.md 6.8) ---- */

struct nm_range { /* both ends belong to it; one family */
	struct addr first, last;
};

struct nm_dst {
	struct nm_range at;
	uint16_t first_port, last_port;
};

struct nm_rule {
	const struct nm_range *src;
	size_t n_src;
	const char *const *src_caps; /* "cap:X" sources: peers that hold X */
	size_t n_src_caps;
	const struct nm_dst *dst;
	size_t n_dst;
	const uint8_t *proto; /* IP protocols; none: TCP 6, UDP 17, ICMP 1, ICMPv6 58 */
	size_t n_proto;
};
/* "*" is two ranges, one of each family. Rules that only grant application capabilities are not kept. */

struct nm_chunk; /* a named part of the filter; netmap.c */

struct netmap {
	struct nm_node *self;	 /* NULL until the first message */
	struct map peers;	 /* struct nm_node by id */
	struct map by_key;	 /* the same by node key */
	struct map users;	 /* struct nm_user by id */
	size_t bytes;		 /* of peers and users */
	const char *domain;	 /* the tailnet's display name; never NULL */
	const struct tailcfg_derp_map *derp; /* NULL until there is one */
	const struct tailcfg_dns_config *dns; /* never NULL: empty until there is one */
	bool has_filter; /* without any filter all that comes in is dropped */
	const struct nm_rule *const *rules; /* of all chunks, rebuilt when one changes */
	size_t n_rules;
	const char **health; /* lines the server wants shown */
	size_t n_health;
	int64_t clock_delta_ms; /* the server's clock minus ours, when it is more than a minute */

	/* netmap.c's */
	struct arena derp_arena, dns_arena, health_arena;
	struct nm_chunk *chunks; /* newest first */
	size_t n_chunks;
	const struct nm_rule **rules_owned;
	char *domain_owned;
};

/* What became different. */
enum {
	NM_SELF = 1 << 0,    /* ourselves: addresses, name, expiry, capabilities */
	NM_KEY = 1 << 1,     /* peers: the node key, which makes it another WireGuard peer */
	NM_DISCO = 1 << 2,
	NM_ALLOWED = 1 << 3, /* addresses or allowed IPs */
	NM_ENDPOINTS = 1 << 4,
	NM_HOME = 1 << 5,    /* its home relay */
	NM_ONLINE = 1 << 6,  /* online, last seen */
	NM_OTHER = 1 << 7,   /* name, user, tags, expiry, services … */
	NM_DERP = 1 << 8,
	NM_DNS = 1 << 9,
	NM_FILTER = 1 << 10,
	NM_DOMAIN = 1 << 11,
	NM_HEALTH = 1 << 12,
	NM_USERS = 1 << 13,
	NM_PEERS = 1 << 14,  /* at least one peer came, went or changed */
	NM_ALL = (1 << 15) - 1,
};

/* Called inside netmap_apply, the netmap being in its new state already (peer_gone: the node is out of the tables). */
struct nm_listener {
	/* was_key: the node's key before, other than now->key when what has NM_KEY. A new peer has what = NM_ALL. */
	void (*peer)(void *ctx, const struct nm_node *now, unsigned what, const struct node_pub *was_key);
	void (*peer_gone)(void *ctx, const struct nm_node *was);
	void (*done)(void *ctx, unsigned what); /* once a message, last; what: all together */
	void *ctx;
};

struct map_update; /* client/control/mapparse.h */

void netmap_init(struct netmap *nm);
void netmap_done(struct netmap *nm);
/* Takes u's contents (u is empty afterwards). fresh: the first message of a stream, which replaces everything: what it does
 * not have is gone. ERR_INVALID: fresh and without a self node. ERR_TOO_BIG: over a bound. ERR_NOMEM. After an error the
 * netmap is whole, in a state between; the stream must be ended. l may be NULL. */
MUST_USE err netmap_apply(struct netmap *nm, struct map_update *u, bool fresh, int64_t wall_ms, const struct nm_listener *l);
/* All peers are gone and so is self; listeners hear of it. For logout and another login server. */
void netmap_clear(struct netmap *nm, const struct nm_listener *l);

/* Look-ups; NULL: none. Borrowed until the next apply. */
const struct nm_node *netmap_peer(const struct netmap *nm, int64_t id);
const struct nm_node *netmap_peer_by_key(const struct netmap *nm, const struct node_pub *key);
const struct nm_node *netmap_by_address(const struct netmap *nm, struct addr a); /* self too; walks all */
/* A person's word for a node: address, name ("host", "host.tailnet.ts.net", with or without the dot), node key. */
const struct nm_node *netmap_find(const struct netmap *nm, struct bytes what);
const struct nm_user *netmap_user(const struct netmap *nm, int64_t id);
/* Walks peers: size_t at = 0; while ((p = netmap_next(nm, &at))). */
const struct nm_node *netmap_next(const struct netmap *nm, size_t *at);

/* The name without its trailing dot and, when it ends in our MagicDNS suffix, without that. Cut to cap. Returns out. */
char *nm_short_name(const struct netmap *nm, const struct nm_node *n, char *out, size_t cap);
/* "tailnet.example.com", all after the first label of our own name, no dots at the ends; "" when unknown. */
char *netmap_suffix(const struct netmap *nm, char *out, size_t cap);
/* The first address of that family; family 0 when there is none. */
struct addr nm_address(const struct nm_node *n, int family);
/* May be talked to: not expired by flag or clock (wall_ms, corrected by the server's). */
bool nm_is_usable(const struct netmap *nm, const struct nm_node *n, int64_t wall_ms);

/* The routes that lead to a peer, as far as we let the server say so: its own host addresses always; of the rest, when
 * accept_routes, what is no default route, does not overlap loopback, link-local, multicast, 0.0.0.0/8 or our own
 * addresses, and does not contain any of the n_keep addresses (control server, relays; sorted by addr_cmp). is_exit: it was chosen here as the
 * exit node, so its default routes count. Appends at most cap to out; returns how many. The result is what goes into WireGuard's allowed IPs and into the routing table. */
size_t netmap_peer_routes(const struct netmap *nm, const struct nm_node *n, bool accept_routes, bool is_exit,
	const struct addr *keep, size_t n_keep, struct prefix *out, size_t cap);
/* A peer that offers to be an exit node, by a person's word for it or its stable id. NULL: there is none. */
const struct nm_node *netmap_exit_node(const struct netmap *nm, struct bytes what);
bool nm_is_exit_node(const struct nm_node *n); /* default routes lead to it */

/* The netmap as one map message (JSON), readable by map_parse: what is cached on disk. The buf goes bad when it is full. */
void netmap_write(const struct netmap *nm, struct buf *out);
/* The same in pieces: take is called now and then, and consumes what out holds. */
void netmap_write_in_pieces(const struct netmap *nm, struct buf *out, void (*take)(void *ctx, struct buf *out), void *ctx);
struct jsonw;
void netmap_write_rules(const struct netmap *nm, struct jsonw *w); /* the packet filter, all chunks as one */
