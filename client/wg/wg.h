/* wg: the WireGuard engine: sessions with peers, sealing and opening packets in batches, in place. No sockets, no
 *clock, no threads; one thread owns an engine and everything in it.
 *
 * Inputs are bytes with where they came from; outputs are bytes with the peer they are for. Which way those go (UDP
 * address, relay) is path/'s business: the engine knows peers by key. The caller's turn is
 *
 *	wg_seal(…) / wg_open(…)			what the TUN and the sockets gave, a batch at a time
 *	wg_step(wg, budget, now)		handshakes that arrived: each costs Diffie-Hellmans, so they wait in a
 *						bounded queue and a flood of them delays no data
 *	wg_tick(wg, now) when wg_due_ms is past
 *	while (wg_pull(wg, now, &out)) …	handshakes, keepalives, cookies, packets that waited for a session
 *	while (wg_next_event(wg, &ev)) …
 *
 * now_ms is a monotonic clock that never steps back. Handshake timestamps come from the wall clock given at the start
 *plus the monotonic time since, so that a step of the wall clock harms nothing; across restarts config.after keeps them
 *growing.
 *
 * Facts: protocol/wireguard.md 1 to 5. */
#pragma once

#include "client/wg/cookie.h"
#include "client/wg/noise.h"

struct wg;
struct wg_peer;

enum {
	WG_HEADROOM = WG_HEADER_LEN,   /* before a packet to be sealed */
	WG_TAILROOM = 15 + WG_TAG_LEN, /* after it: padding and tag */
	WG_MTU_MIN = 576,
	WG_MTU_MAX = 65535 - WG_OVERHEAD,
	WG_STAGED_MAX = 128,           /* packets of one peer that wait for a session; the oldest goes */
	WG_STAGED_BYTES_MAX = 1 << 20, /* of all peers together; beyond it new packets go */
	WG_QUEUE_MAX = 256,            /* handshake messages that wait for wg_step */
	WG_REPLIES_MAX = 64,           /* responses and cookies that wait for wg_pull */
	WG_ALLOWED_MAX = 4096,         /* prefixes of one peer */
	WG_KICK_MS = 50,               /* initiations to one peer are at least this far apart, whatever kicks */
};

struct wg_config {
	const struct node_key *key;
	unsigned mtu; /* of the tunnel: padding never exceeds it */
	int64_t now_ms, wall_ms;
	struct wg_timestamp after; /* initiations carry a larger one than this; zeros: no floor */
	/* Asked when an initiation names a sender that is not a peer: wg_peer_add for that key lets it go on. Nothing
	 * is proven yet: anyone can name any key. NULL: nobody is let in. */
	void (*on_unknown)(void *ctx, struct wg *wg, const struct node_pub *key, const struct wg_from *from);
	void *ctx;
};

MUST_USE err wg_new(const struct wg_config *c, struct wg **out);
void wg_free(struct wg *wg);
/* Another identity from now on: every session ends. */
void wg_set_key(struct wg *wg, const struct node_key *key);
/* The last timestamp that an initiation of ours carried: to be kept for config.after. */
struct wg_timestamp wg_last_timestamp(const struct wg *wg);

/* ---- peers: added, changed and removed while others run ------------------------------------------------------- */

struct wg_peer_config {
	struct node_pub key;
	const struct secret32 *psk; /* NULL: none, as Tailscale has it */
	const struct prefix *allowed;
	size_t n_allowed;
	unsigned keepalive_s; /* persistent keepalive; 0: none, as Tailscale has it */
	void *user;           /* the caller's */
};

/* ERR_EXISTS: there is one with this key. ERR_INVALID: our own key, one that no session can be made with, or a bad
 * prefix. ERR_TOO_BIG: more than WG_ALLOWED_MAX prefixes. The peer is the engine's and lives until wg_peer_del. */
MUST_USE err wg_peer_add(struct wg *wg, const struct wg_peer_config *c, struct wg_peer **out);
/* Ends its session, drops what waits for it. Packets of a batch must be handled before. */
void wg_peer_del(struct wg_peer *p);
/* Replaces its prefixes; its session goes on. On an error it keeps those it had. A prefix that another peer has becomes
 * this one's. */
MUST_USE err wg_peer_set_allowed(struct wg_peer *p, const struct prefix *allowed, size_t n);
void wg_peer_set_keepalive(struct wg_peer *p, unsigned seconds, int64_t now_ms);

struct wg_peer *wg_peer_by_key(const struct wg *wg, const struct node_pub *key);
struct wg_peer *wg_peer_by_addr(const struct wg *wg, struct addr a);
struct wg_peer *wg_next_peer(const struct wg *wg, size_t *at); /* size_t at = 0; while ((p = wg_next_peer(wg, &at))) */
/* The peer that an IP packet is for, by its destination; NULL: nobody's, or no IP packet. */
struct wg_peer *wg_route(const struct wg *wg, struct bytes packet);

void *wg_peer_user(const struct wg_peer *p);
const struct node_pub *wg_peer_key(const struct wg_peer *p);
/* Where its last authenticated message came from (none: family 0 and a zero key). A caller that has no paths of its own
 * sends there. */
const struct wg_from *wg_peer_from(const struct wg_peer *p);
void wg_peer_set_from(struct wg_peer *p, const struct wg_from *from);

/* It restarted (its disco key changed): forgets the session. What is sent next starts a handshake. */
void wg_peer_reset(struct wg_peer *p);
/* A path to it has appeared: a handshake that is under way is sent again at once instead of after 5 s. */
void wg_peer_kick(struct wg_peer *p, int64_t now_ms);
/* It sends with keys that we do not have: we restarted and it does not know. A handshake is wanted, as often as any. */
void wg_peer_regreet(struct wg_peer *p, int64_t now_ms);
/* Starts a handshake without a packet, unless there is a session or one is under way. */
void wg_peer_connect(struct wg_peer *p, int64_t now_ms);

struct wg_peer_status {
	bool has_session, handshaking;
	int64_t session_ms;          /* when the current one began; 0: none ever did */
	uint64_t rx_bytes, tx_bytes; /* of WireGuard messages with data or keepalives */
	size_t staged;
};
struct wg_peer_status wg_peer_status(const struct wg_peer *p, int64_t now_ms);

/* ---- data ----------------------------------------------------------------------------------------------------- */

struct wg_packet {
	uint8_t *p;
	size_t n;
	struct wg_peer *peer; /* set by wg_open */
};

/* Seals packets for one peer, each in place: WG_HEADROOM bytes before p and WG_TAILROOM behind p + n are overwritten,
 * and p, n become the message. True: all are messages now. False: there is no session; they were copied to wait for one
 * (or dropped where a bound says so), a handshake is wanted, and pkts is as it was. */
bool wg_seal(struct wg_peer *p, struct wg_packet *pkts, size_t n, int64_t now_ms);

/* Takes datagrams from one source (entries with n 0 are skipped), each opened in place: p, n become the IP packet and
 * peer its sender. n is 0 where nothing is to be delivered: handshakes (copied to the queue), keepalives, and all that
 * is not from who it must be. What is delivered is a whole IP packet with a source address that is the peer's; nothing
 * else was checked. */
void wg_open(struct wg *wg, const struct wg_from *from, struct wg_packet *pkts, size_t n, int64_t now_ms);

/* ---- control -------------------------------------------------------------------------------------------------- */

/* Works on up to max queued handshake messages; true: more wait. */
bool wg_step(struct wg *wg, unsigned max, int64_t now_ms);

/* When wg_tick is next needed; INT64_MAX: not before something happens. May be early, is never late. */
int64_t wg_due_ms(const struct wg *wg);
void wg_tick(struct wg *wg, int64_t now_ms);

struct wg_out {
	struct wg_peer *peer; /* NULL: to answer an address, not a peer (cookies) */
	struct wg_from to; /* a response or cookie: where the question came from; else where the peer was last heard */
	uint8_t *p;        /* borrowed until the next call; WG_OUT_HEADROOM writable bytes lie before it */
	size_t n;
	bool is_handshake; /* worth sending on every path there is */
};
enum { WG_OUT_HEADROOM = 64 };
bool wg_pull(struct wg *wg, int64_t now_ms, struct wg_out *out);

enum wg_event_kind {
	WG_SESSION_UP = 1, /* keys are agreed and proven, rekeys included */
	WG_GAVE_UP = 2,    /* 90 s of handshakes without an answer; what waited is dropped */
};
struct wg_event {
	struct wg_peer *peer;
	unsigned kinds; /* enum wg_event_kind, one or both */
};
bool wg_next_event(struct wg *wg, struct wg_event *out);

/* Why things were dropped, for metrics and tests. */
struct wg_stats {
	uint64_t malformed;     /* not WireGuard, one-byte datagrams included */
	uint64_t bad_mac;       /* MAC1 wrong */
	uint64_t unknown_index; /* no session or handshake of that index */
	uint64_t expired;       /* key or counter used up */
	uint64_t unauthentic;   /* a seal that does not open */
	uint64_t replayed;
	uint64_t bad_inner;  /* what was sealed is no IP packet */
	uint64_t bad_source; /* the source address is not that peer's */
	uint64_t queue_full;
	uint64_t cookies_sent;
	uint64_t limited;          /* under load, with MAC2, but over its allowance */
	uint64_t stale_initiation; /* its timestamp was seen, or came too soon after another */
	uint64_t unknown_peer;
	uint64_t staged_dropped;
};
const struct wg_stats *wg_stats(const struct wg *wg);
