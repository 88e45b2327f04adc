/* path: how to reach each peer. Finds direct UDP paths (disco pings, CallMeMaybe, STUN), picks the best one, keeps DERP as
 * what always works, chooses the home region, and knows our own endpoints.
 *
 * An engine: no sockets, no threads, no clock. The caller hands in datagrams and the time and takes out datagrams and
 * events:
 *
 *	path_recv(…)				what came by UDP or DERP: true WireGuard is left to the caller
 *	path_route(path, peer, now, &r)		before each batch of WireGuard packets: where to
 *	path_tick(path, now) when path_due_ms is past
 *	while (path_pull(path, &out)) …		disco and STUN datagrams to be sent
 *	while (path_next_event(path, &ev)) …
 *
 * now_us is a monotonic clock in microseconds, because latencies on one LAN are far below a millisecond; deadlines are
 * milliseconds of the same clock. Nothing is sent to peers that are idle (no WireGuard packet to them for 45 s).
 *
 * What strangers can make us keep or do is bounded by the PATH_… numbers below; nothing that does not open is answered.
 * Facts: protocol/disco.md, stun.md 6, derp.md 11.2. Where our timers differ from the official client's, path.c says so. */
#pragma once

#include "common/crypto/keys.h"
#include "common/net/addr.h"
#include "common/wire/disco.h"

struct path;
struct path_peer;

enum {
	PATH_PEERS_MAX = 20000,
	PATH_CANDIDATES_MAX = 100,    /* addresses kept for one peer */
	PATH_REGIONS_MAX = 128,	      /* of the DERP map */
	PATH_NODES_MAX = 4,	      /* of one region; STUN-only ones count */
	PATH_LOCAL_MAX = 64,	      /* interface addresses */
	PATH_ENDPOINTS_MAX = 100,     /* that we report; what a CallMeMaybe holds */
	PATH_OUT_MAX = 512 << 10,     /* bytes that wait for path_pull; the newest go beyond it */
	PATH_PINGS_MAX = 16384,	      /* pings without an answer yet */
	PATH_RESULTS_MAX = 64,	      /* results of path_ping that wait for path_next_event */
};

struct path_config {
	struct node_pub key;		/* ours, told in our pings */
	const struct disco_key *disco;	/* copied */
	int64_t now_us;
};
MUST_USE err path_new(const struct path_config *c, struct path **out);
void path_free(struct path *p);
void path_set_key(struct path *p, const struct node_pub *key); /* after a re-login */

/* ---- the world ------------------------------------------------------------------------------------------------ */

/* What a DERP map says of a region, with addresses instead of names: family 0 is unknown (yet) or "none". */
struct path_node {
	struct addr v4, v6;
	uint16_t stun_port; /* 0: no STUN here */
	bool stun_only;
};
struct path_region {
	uint16_t id;
	bool no_measure_no_home; /* never measured, never home */
	bool avoid;		 /* measured in the first report and while it is home */
	double score;		 /* HomeParams.RegionScore: latency is multiplied with it; 0: 1.0 */
	size_t n_nodes;
	struct path_node node[PATH_NODES_MAX];
};
/* Replaces the map; what was measured of regions that stay is kept. More than PATH_REGIONS_MAX: the rest is left out.
 * Starts a netcheck when there was no region before or addresses changed. */
MUST_USE err path_set_regions(struct path *p, const struct path_region *r, size_t n, int64_t now_us);

/* The home of the last run: used until something better was measured. */
void path_hint_home(struct path *p, uint16_t region);

/* Addresses of our interfaces with the UDP sockets' ports; the tunnel's own must be left out. A change of the machine's
 * network (new interface, other default route) is told with moved: paths are proven again. */
void path_set_local(struct path *p, const struct addrport *at, size_t n, bool moved, int64_t now_us);
/* Which families the sockets have: nothing is sent to others. Both true at first. */
void path_set_families(struct path *p, bool has_v4, bool has_v6);

/* ---- peers ---------------------------------------------------------------------------------------------------- */

struct path_peer_config {
	struct node_pub key;
	struct disco_pub disco;	 /* zero: it has none; it is reached by DERP alone */
	uint16_t home;		 /* its DERP region; 0: unknown */
	const struct addrport *endpoints;
	size_t n_endpoints;	 /* those past PATH_CANDIDATES_MAX are left out */
	void *user;
};
/* Adds a peer or changes the one with this key; what was found out about it stays unless its disco key changed. The peer
 * is the engine's and lives until path_del_peer. ERR_TOO_BIG: PATH_PEERS_MAX. */
MUST_USE err path_set_peer(struct path *p, const struct path_peer_config *c, int64_t now_us, struct path_peer **out);
void path_del_peer(struct path_peer *peer);
/* Its current disco key, learned inside the tunnel (TSMP 'a', wireguard.md 11.2). The zero key is ignored. */
void path_set_peer_disco(struct path_peer *peer, const struct disco_pub *disco, int64_t now_us);
struct path_peer *path_peer_by_key(const struct path *p, const struct node_pub *key);
struct path_peer *path_next_peer(const struct path *p, size_t *at); /* size_t at = 0; while (…) */
void *path_peer_user(const struct path_peer *peer);
const struct node_pub *path_peer_key(const struct path_peer *peer);

/* ---- traffic -------------------------------------------------------------------------------------------------- */

/* Where a datagram came from. */
struct path_from {
	struct addrport addr;  /* family 0: by DERP, */
	uint16_t region;       /* from this region, */
	struct node_pub key;   /* sent by this node, as the relay says */
};
enum path_got {
	PATH_WIREGUARD, /* not for us: give it to WireGuard */
	PATH_TAKEN,	/* disco or STUN: done */
	PATH_DROP,	/* WireGuard by DERP from nobody we know */
};
enum path_got path_recv(struct path *p, const struct path_from *from, struct bytes packet, int64_t now_us);

/* The peer that sends from there, as far as we know: by the relay's word, or by an address it is said to have. It is a
 * guess for hints, no identity. Walks all peers. NULL: nobody's. */
struct path_peer *path_peer_at(const struct path *p, const struct path_from *from);

/* Where WireGuard packets for a peer go now. Both may be set: then send to both (the receiver's replay window removes
 * one). Neither: there is no way yet. Calling it says that something is sent: the peer is active from now on, and its
 * paths are looked for. */
struct path_route {
	struct addrport udp; /* family 0: none */
	uint16_t region;     /* 0: none */
};
void path_route(struct path_peer *peer, int64_t now_us, struct path_route *out);

/* A datagram could not be sent there (EHOSTUNREACH, ENETUNREACH): the path is given up at once. */
void path_unreachable(struct path_peer *peer, struct addrport to, int64_t now_us);

/* The relay of that region says that this node is not connected to it. */
void path_peer_gone(struct path *p, uint16_t region, const struct node_pub *key, int64_t now_us);

/* DERP links: a region's connection came up, or went down or could not be made (told each time); a frame was heard, a round trip was measured. */
void path_derp_up(struct path *p, uint16_t region, bool up, int64_t now_us);
void path_derp_heard(struct path *p, uint16_t region, int64_t now_us);
void path_derp_latency(struct path *p, uint16_t region, int64_t latency_us, int64_t now_us);

/* ---- outputs -------------------------------------------------------------------------------------------------- */

int64_t path_due_ms(const struct path *p); /* when path_tick is next needed; INT64_MAX: not before something happens */
void path_tick(struct path *p, int64_t now_us);

struct path_out {
	struct addrport to;  /* family 0: by DERP, */
	uint16_t region;
	struct node_pub key; /* to this node */
	struct bytes packet; /* borrowed until the next call on the engine */
};
bool path_pull(struct path *p, struct path_out *out);

enum path_event_kind {
	PATH_EV_ENDPOINTS, /* path_endpoints differs: tell control */
	PATH_EV_HOME,	   /* path_home differs: connect there and tell control */
	PATH_EV_REPORT,	   /* a netcheck is complete: path_report */
	PATH_EV_PROBE,	   /* no STUN answer from ev.region: measure it over a DERP link and call path_derp_latency */
	PATH_EV_CHANGED,   /* ev.peer has another best path (or none) */
	PATH_EV_NUDGE,	   /* a path to ev.peer has appeared: wg_peer_kick */
	PATH_EV_PING,	   /* ev.ping: what became of a path_ping */
};
struct path_ping_result {
	uint64_t id;
	bool lost;	    /* no answer within 5 s */
	int64_t latency_us;
	struct addrport via; /* family 0: by DERP, */
	uint16_t region;
};
struct path_event {
	enum path_event_kind kind;
	struct path_peer *peer; /* CHANGED, NUDGE, PING (NULL: it is gone) */
	uint16_t region;	/* PROBE */
	struct path_ping_result ping;
};
bool path_next_event(struct path *p, struct path_event *out);

/* A disco ping on the way that traffic takes now, for a person. The result comes as PATH_EV_PING with the id. The peer
 * becomes active, so that pinging finds direct paths. ERR_NOT_FOUND: no way to it; ERR_BUSY: too many at once. */
MUST_USE err path_ping(struct path_peer *peer, int64_t now_us, uint64_t *id);

/* ---- ourselves ------------------------------------------------------------------------------------------------ */

/* Values as in MapRequest.EndpointTypes. */
enum path_endpoint_type {
	PATH_ENDPOINT_LOCAL = 1,
	PATH_ENDPOINT_STUN = 2,
	PATH_ENDPOINT_STUN_LOCAL_PORT = 4, /* the STUN address with our port: someone may have forwarded it */
};
struct path_endpoint {
	struct addrport at;
	enum path_endpoint_type type;
};
/* Best first, at most PATH_ENDPOINTS_MAX; borrowed until the next call on the engine. */
const struct path_endpoint *path_endpoints(const struct path *p, size_t *n);
uint16_t path_home(const struct path *p); /* 0: none yet */
const struct disco_pub *path_disco(const struct path *p);

enum path_opt { PATH_UNKNOWN, PATH_NO, PATH_YES };
struct path_latency {
	uint16_t region;
	int64_t v4_us, v6_us; /* 0: no answer; */
	int64_t derp_us;      /* 0: not measured over DERP */
};
struct path_report {
	int64_t done_us;	/* 0: none is complete yet */
	bool udp, v4, v6;	/* an answer came: at all, by IPv4, by IPv6 */
	enum path_opt varies;	/* MappingVariesByDestIP */
	struct addrport global_v4, global_v6; /* family 0: unknown */
	uint16_t home;
	size_t n;
	struct path_latency latency[PATH_REGIONS_MAX];
};
/* The last complete one, with latencies sorted by best first. */
const struct path_report *path_report(const struct path *p);
void path_netcheck(struct path *p, int64_t now_us); /* all regions, now; PATH_EV_REPORT follows within 5 s */

/* ---- `debug paths`, status ------------------------------------------------------------------------------------ */

struct path_candidate {
	struct addrport at;
	bool netmap, called, pinged;   /* learned from: the netmap, a CallMeMaybe, a ping of the peer */
	int64_t latency_us;		/* of the last answer; 0: none */
	int64_t pong_ms;		/* when it came */
};
struct path_peer_status {
	bool active;
	uint16_t home;	    /* its region */
	struct addrport best; /* family 0: DERP */
	int64_t latency_us;
	bool trusted;	    /* an answer came within 6.5 s */
	size_t n_candidates;
	struct path_candidate candidate[PATH_CANDIDATES_MAX];
};
void path_peer_status(const struct path_peer *peer, int64_t now_us, struct path_peer_status *out);

struct path_stats {
	uint64_t unknown_disco;	 /* from no peer's key */
	uint64_t unopened;	 /* the box did not open */
	uint64_t malformed;
	uint64_t limited;	 /* over a peer's allowance */
	uint64_t refused_call;	 /* CallMeMaybe by UDP or from the wrong node */
	uint64_t stray_pong;	 /* of no ping that waits */
	uint64_t stray_stun;
	uint64_t out_full;
};
const struct path_stats *path_stats(const struct path *p);
