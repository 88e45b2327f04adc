/* internal: what the files of the engine share. wg.h is the manual; nobody else includes this but its tests. */
#pragma once

#include "client/wg/allowedips.h"
#include "client/wg/limiter.h"
#include "client/wg/replay.h"
#include "client/wg/wg.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/crypto/aead.h"
#include "common/net/loop.h"
#include "common/net/timer.h"

/* wireguard.md 4 (wireguard-go@f333402b device/constants.go). */
enum {
	REKEY_AFTER_MS = 120 * 1000,
	REKEY_STAGGER_MS = 2500, /* later at one of the two, where both began the session at once */
	REJECT_AFTER_MS = 180 * 1000,
	REKEY_TIMEOUT_MS = 5 * 1000,
	REKEY_JITTER_MS = 334,   /* exclusive */
	REKEY_ATTEMPTS_MAX = 18, /* 90 s */
	KEEPALIVE_MS = 10 * 1000,
	ERASE_AFTER_MS = 3 * REJECT_AFTER_MS,
	INITIATION_APART_MS = 20, /* accepted from one peer */
	LOAD_QUEUE = WG_QUEUE_MAX / 8,
	LOAD_MEMORY_MS = 1000,
};
#define REKEY_AFTER_MESSAGES  (1ULL << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (1ULL << 13))

/* An index of ours that a peer names: a session, or an initiation that waits for its response. */
struct wg_slot {
	uint32_t index;
	struct wg_peer *peer;
	struct wg_keypair *keypair; /* NULL: peer->handshake */
};

/* One session's keys, both directions. */
struct wg_keypair {
	struct wg_slot slot;
	struct aead_key *send, *recv; /* owned */
	uint64_t counter;             /* of the next message; one owner, so plain */
	uint32_t remote;              /* the peer's index */
	bool initiator;               /* we were */
	bool asked_late;              /* the rekey of 165 s was asked for once */
	int64_t born_ms;
	struct wg_replay replay;
};

/* Our initiation under way. */
struct wg_handshake {
	struct wg_slot slot;
	struct wg_initiator state;
};

/* When things are due; 0: not armed. */
struct wg_timers {
	int64_t retry_ms;     /* an initiation went unanswered */
	int64_t silent_ms;    /* data was sent and nothing came back */
	int64_t keepalive_ms; /* data came and nothing was sent */
	int64_t persistent_ms;
	int64_t erase_ms;
	unsigned attempts;
	unsigned unanswered; /* initiations since the last session */
	bool kicked;            /* retry_ms was brought forward: no attempt counts, and 5 s need not have passed */
	bool another_keepalive; /* more data came while keepalive_ms was armed */
};

/* A packet that waits for a session; the bytes follow, with room around them. */
struct wg_staged {
	struct list in;
	size_t n;
	uint8_t room[]; /* WG_OUT_HEADROOM + WG_HEADROOM, n bytes, WG_TAILROOM */
};

enum {
	OUT_INITIATION = 1,
	OUT_KEEPALIVE = 2,
	OUT_STAGED = 4,
};

struct wg_peer {
	struct node_pub key; /* in wg->by_key */
	struct wg *wg;
	void *user;
	struct secret32 psk, ss;
	bool has_psk, has_ss;

	struct wg_handshake *handshake; /* owned, NULL: none under way */
	/* Owned. Received with by any; sent with current. next: ours as the responder, until the first data proves that
	 * the initiator has the keys as well. */
	struct wg_keypair *previous, *current, *next;
	const struct wg_keypair *heard; /* borrowed: the one of them that the peer used last */
	struct wg_signer signer;
	struct wg_timestamp last_timestamp; /* of their newest initiation */
	int64_t last_accepted_ms;           /* and when we took it; 0: never */
	int64_t last_initiation_ms;         /* when ours left; 0: never */
	int64_t session_ms;

	struct prefix *allowed; /* owned */
	size_t n_allowed;
	unsigned keepalive_s;

	struct wg_timers t;
	struct loop_timer due; /* in wg->timers, at or before the first of t */

	unsigned out, events; /* OUT_…, enum wg_event_kind */
	struct list ready;    /* in wg->ready while out is not 0 */
	struct list told;     /* in wg->told while events is not 0 */
	struct list staged;   /* of struct wg_staged, oldest first */
	size_t n_staged;

	struct wg_from from;
	uint64_t rx_bytes, tx_bytes;
};

struct wg_queued {
	struct wg_from from;
	enum wg_type type;
	uint8_t message[WG_HANDSHAKE_MAX];
};

struct wg_reply {
	struct wg_peer *peer;
	struct wg_from to;
	size_t n; /* 0: its peer is gone */
	uint8_t message[WG_RESPONSE_LEN];
};

struct wg {
	struct node_key *key; /* owned, in sodium_malloc memory */
	struct wg_checker checker;
	struct wg_limiter *limiter; /* owned; NULL until the first load */
	unsigned mtu;
	int64_t wall_minus_mono_ms;
	struct wg_timestamp last_timestamp;
	void (*on_unknown)(void *ctx, struct wg *wg, const struct node_pub *key, const struct wg_from *from);
	void *ctx;

	struct map by_key, by_index; /* struct wg_peer, struct wg_slot */
	struct allowed allowed;
	struct timer_heap timers;
	struct list ready, told;
	size_t staged_bytes;

	struct wg_queued *queue; /* owned ring of WG_QUEUE_MAX */
	unsigned queue_at, queue_n;
	int64_t load_until_ms;
	struct wg_reply *replies; /* owned ring of WG_REPLIES_MAX */
	unsigned reply_at, reply_n;

	struct wg_staged *pulled; /* owned: what wg_pull handed out last */
	uint8_t out[WG_OUT_HEADROOM + WG_HANDSHAKE_MAX];
	struct wg_stats stats;
};

/* session.c */
MUST_USE err slot_take(struct wg *wg, struct wg_slot *s); /* gives it an index */
void slot_give(struct wg *wg, struct wg_slot *s);
/* index: already ours (a handshake's, whose slot is given back first), or 0 for a fresh one. */
MUST_USE err keypair_new(struct wg_peer *p, const struct wg_keys *keys, uint32_t index, uint32_t remote, bool initiator,
	int64_t now_ms, struct wg_keypair **out);
void keypair_free(struct wg_keypair *k);
void handshake_free(struct wg_peer *p);
void session_begin_initiator(struct wg_peer *p, struct wg_keypair *k); /* k is taken */
void session_begin_responder(struct wg_peer *p, struct wg_keypair *k); /* k is taken */
void session_confirm(struct wg_peer *p);                               /* next has proven itself */
void session_forget(struct wg_peer *p);                                /* all keys */
/* Current keys that may still seal. */
static inline bool keypair_can_send(const struct wg_keypair *k, int64_t now_ms)
{
	return k && k->counter < REJECT_AFTER_MESSAGES && now_ms - k->born_ms < REJECT_AFTER_MS;
}

/* handshake.c */
void handshake_enqueue(struct wg *wg, const struct wg_from *from, enum wg_type type, struct bytes m, int64_t now_ms);
/* Writes our next initiation to out. False: it cannot be made now. */
bool handshake_initiate(struct wg_peer *p, uint8_t out[WG_INITIATION_LEN], int64_t now_ms);

/* send.c */
/* Seals one packet in place; room as for wg_seal. */
MUST_USE err keypair_seal(struct wg_keypair *k, struct wg_packet *pkt, unsigned mtu);
void peer_want(struct wg_peer *p, unsigned out); /* OUT_…: wg_pull will make it */
void peer_tell(struct wg_peer *p, unsigned events);
void peer_drop_staged(struct wg_peer *p);
void peer_rekey_if_due(struct wg_peer *p, const struct wg_keypair *k, int64_t now_ms); /* after sending */

/* timers.c: what happened; each may arm or disarm. */
void timers_initiation_wanted(struct wg_peer *p, int64_t now_ms);
void timers_initiation_sent(struct wg_peer *p, int64_t now_ms);
void timers_handshake_complete(struct wg_peer *p);
void timers_session_derived(struct wg_peer *p, int64_t now_ms);
void timers_sent(struct wg_peer *p, bool data, int64_t now_ms);     /* something authenticated */
void timers_received(struct wg_peer *p, bool data, int64_t now_ms); /* something authenticated */
void timers_arm(struct wg_peer *p);                                 /* after p->t was changed by hand */
