/* internal: what the files of the path engine share. path.h is the manual; only they and their tests include this. */
#pragma once

#include "client/path/path.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/crypto/box.h"
#include "common/net/loop.h"
#include "common/net/timer.h"
#include "common/wire/stun.h"

/* disco.md 9, and where ours differ. */
enum {
	HEARTBEAT_MS = 3000,
	TRUST_MS = 6500,
	PING_TIMEOUT_MS = 5000,
	PING_APART_MS = 5000,	    /* to one candidate, unless there is news */
	PING_NEWS_APART_MS = 50,    /* even then */
	REPING_MS = 1000,	    /* ours: the best path's unanswered ping is repeated, so that one lost packet is no alarm */
	DOUBT_MS = 1200,	    /* ours: two pings of the best path unanswered for so long: the relay carries a copy */
	ACTIVE_MS = 45 * 1000,
	BETTER_MS = 60 * 1000,	    /* look for a better path, when */
	GOOD_LATENCY_US = 5000,	    /* this one is slower */
	PINGED_US_MS = 45 * 1000,   /* a candidate learned from their pings lives so long after the last */
	ENDPOINTS_FRESH_MS = 27 * 1000,
	ENDPOINT_CACHE_MS = 310 * 1000,
	ENDPOINTS_AN_IP = 6,
	STUN_EVERY_MS = 20 * 1000,  /* and up to STUN_JITTER_MS more */
	STUN_JITTER_MS = 6000,
	STUN_AGAIN_MS = 1000,	    /* after a report without an answer; doubled each time, */
	STUN_AGAIN_MAX_MS = 5000,   /* up to this: UDP that works again is found out soon */
	FULL_REPORT_MS = 300 * 1000,
	REPORT_MS = 3000,	    /* the hard end of a report, */
	REPORT_DERP_MS = 5000,	    /* and where UDP is blocked */
	STUN_TRY_MS = 100,	    /* between tries of the first report */
	SETTLE_MS = 100,	    /* after the last region answered: other families and servers */
	HOME_GUESS_MS = 500,	    /* no STUN answer: some region must do */
	PROBE_DERP_MS = 1000,	    /* no STUN answer: measure over DERP */
	PROBE_DERP_MAX = 6,	    /* regions */
	MAPPED_MAX = 32,
	SAMPLES = 8,		    /* latencies kept of a region */
	PLAN_MAX = PATH_REGIONS_MAX * 8,
	BURST = 4,
	GONE_AGAIN_MS = 250,	    /* ours: a relay does not know the peer: the handshake is tried again so soon, */
	GONE_APART_MS = 60 * 1000,  /* between such series */
	GONE_TRIES = 6,		    /* and so often, until the peer speaks: both may be on their way there */
	PONGS_A_SECOND = 100, PONGS_BURST = 300, /* answered to the owner of one disco key */
	CALLS_A_SECOND = 2, CALLS_BURST = 8,	 /* CallMeMaybe obeyed of one peer: each sends up to 100 pings */
};
#define NEVER_MS (INT64_MIN / 4)

/* An allowance that refills with time. */
struct bucket {
	int64_t at_ms;
	int64_t milli; /* thousandths of a token */
};
bool bucket_take(struct bucket *b, int64_t rate, int64_t burst, int64_t now_ms);

/* A disco key of one peer or several (one machine, two users). */
struct disco_ref {
	struct disco_pub key; /* in path->by_disco */
	struct list peers;    /* of path_peer.of_disco */
	struct box_shared shared;
	enum { SHARED_NOT_YET, SHARED_READY, SHARED_REFUSED } state;
	struct bucket pongs;
};

struct candidate {
	struct addrport at;
	bool netmap, called;
	int64_t got_ping_ms; /* their last ping from here */
	struct disco_txid got_txid;
	int64_t ping_ms;     /* our last one */
	bool waiting;	     /* for its answer */
	int64_t unanswered_ms; /* while waiting: when the first ping left that has no answer */
	int64_t latency_us, pong_ms;
};

enum { TOLD_CHANGED = 1, TOLD_NUDGE = 2 };

struct path_peer {
	struct node_pub key; /* in path->by_key */
	struct path *path;
	void *user;
	struct disco_ref *disco; /* NULL: none */
	struct list of_disco;
	uint16_t home, last_region; /* the last one: from where it reached us */
	struct candidate *cand;	    /* owned */
	size_t n_cand, cap_cand;
	size_t n_pings; /* in path->pings */

	struct addrport best; /* family 0: none */
	int64_t best_latency_us, trust_until_ms;

	bool is_active;
	struct list active; /* in path->active */
	int64_t last_send_ms, last_full_ms, next_full_ms, last_call_ms, beat_ms;
	unsigned told_endpoints; /* path->endpoints_version of our last CallMeMaybe */
	unsigned burst; /* steps done of the quick series after news */
	int64_t burst_ms;
	int64_t again_ms; /* 0: the relay knows it, as far as we know */
	int64_t gone_ms;  /* when a series of tries began */
	unsigned agains;  /* left of it */
	struct bucket calls;
	struct loop_timer due; /* in path->timers */

	unsigned told_what; /* TOLD_… */
	struct list told;   /* in path->told while that is not 0 */
};

/* A ping of ours that waits. */
struct sent_ping {
	struct disco_txid txid; /* in path->pings */
	struct list by_time;
	struct path_peer *peer;
	struct addrport to; /* family 0: by DERP */
	uint16_t region;
	int64_t sent_us;
	uint64_t id; /* of path_ping; 0: none */
};

struct asked { /* a path_ping without a result */
	uint64_t id;
	struct path_peer *peer;
	int64_t asked_ms;
};

struct sample {
	int64_t at_ms, us;
};
struct region {
	struct path_region def;
	struct sample sample[SAMPLES]; /* a ring; at_ms 0: none */
	unsigned next_sample;
	int64_t v4_us, v6_us, derp_us; /* in the report under way */
	int64_t heard_ms;
	int64_t down_ms, failed_ms; /* its connection: the first failure in a row (0: none), and the last */
	bool up, wants_probe;
};

struct planned { /* a STUN request of a report, sent or to be sent */
	struct stun_txid txid;
	struct addrport to;
	uint16_t region;
	int64_t due_ms, sent_us;
};
struct netcheck {
	bool running, full, probed_derp;
	int64_t start_ms, end_ms, settle_ms;
	struct planned *plan; /* owned */
	size_t n, next;	      /* sorted by due_ms; those before next were sent or skipped */
	enum path_opt varies;
	struct addr asked_v4; /* the first server that answered by IPv4, and what it said */
	struct addrport first_v4, first_v6;
	int64_t next_ms;      /* the periodic one; INT64_MAX: none */
	int64_t last_full_ms, last_answer_ms;
	unsigned silent; /* reports in a row without a STUN answer */
};

struct mapped { /* what STUN told of us */
	struct addrport at;
	int64_t seen_ms;
	unsigned seen; /* in the report under way */
};

struct path {
	struct node_pub key;
	struct disco_key disco;
	int64_t now_us, now_ms;
	bool has_v4, has_v6;

	struct map by_key, by_disco, pings;
	struct list pings_by_time, active, told;
	struct timer_heap timers;

	struct region *region; /* owned */
	size_t n_regions;
	uint16_t home, hint;
	struct netcheck check;
	struct path_report report;

	struct addrport local[PATH_LOCAL_MAX];
	size_t n_local;
	bool has_loopback; /* among them */
	struct mapped mapped[MAPPED_MAX];
	size_t n_mapped;
	struct path_endpoint endpoint[PATH_ENDPOINTS_MAX];
	size_t n_endpoints;
	unsigned endpoints_version; /* counts changes */

	struct buf out;
	size_t out_used; /* of out, by the datagram that was handed out last */
	bool ev_endpoints, ev_home, ev_report;
	struct asked asked[PATH_RESULTS_MAX];
	size_t n_asked;
	struct path_event result[PATH_RESULTS_MAX]; /* a ring */
	size_t first_result, n_results;
	uint64_t last_id;
	struct path_stats stats;
};

/* path.c */
void path_enter(struct path *p, int64_t now_us);
void path_put(struct path *p, const struct path_out *o); /* queues a copy */
void path_tell(struct path_peer *peer, unsigned what);
void path_result(struct path *p, const struct path_event *ev);

/* peer.c */
bool path_is_trusted(const struct path_peer *peer);
/* News about a peer that is in use: its candidates are pinged now and a few times more in quick succession. */
void peer_news(struct path_peer *peer, bool call);
void peer_alive(struct path_peer *peer); /* it spoke: a handshake that found it gone may have an answer now */
void peer_arm(struct path_peer *peer);
void peer_step(struct path_peer *peer);
/* A proof that at works. */
void peer_proven(struct path_peer *peer, struct addrport at, int64_t latency_us);
void peer_forget_best(struct path_peer *peer);
/* apart_ms: candidates that were pinged less long ago are left out. Returns how many pings left. */
size_t peer_full_ping(struct path_peer *peer, int64_t apart_ms, bool call);

/* candidates.c */
bool candidate_ok(const struct path *p, struct addrport at);
struct candidate *candidate_find(struct path_peer *peer, struct addrport at);
struct candidate *candidate_add(struct path_peer *peer, struct addrport at); /* NULL: full, or no memory */
void candidates_prune(struct path_peer *peer);
/* disco.md 8. An address of family 0 is no path. */
struct path_quality {
	struct addrport at;
	int64_t latency_us;
};
bool path_better(struct path_quality a, struct path_quality b);

/* disco.c */
MUST_USE err disco_join(struct path_peer *peer, const struct disco_pub *key);
void disco_leave(struct path_peer *peer);
enum path_got disco_recv(struct path *p, const struct path_from *from, struct bytes packet);
bool disco_send_ping(struct path_peer *peer, struct addrport to, uint16_t region, uint64_t id);
void disco_send_call(struct path_peer *peer);
void disco_expire_pings(struct path *p);
void disco_forget_pings(struct path_peer *peer);
int64_t disco_due_ms(const struct path *p);

/* endpoints.c */
void endpoints_mapped(struct path *p, struct addrport at);
void endpoints_rebuild(struct path *p);

/* netcheck.c */
void netcheck_start(struct path *p, bool full);
void netcheck_wanted(struct path *p); /* a peer became active */
void netcheck_recv(struct path *p, struct bytes packet);
void netcheck_tick(struct path *p);
int64_t netcheck_due_ms(const struct path *p);
struct region *region_by_id(const struct path *p, uint16_t id);

/* home.c */
void home_sample(struct path *p, struct region *r, int64_t us);
int64_t region_latency_us(const struct path *p, const struct region *r); /* the best of five minutes; 0: none */
void home_first(struct path *p, uint16_t region); /* while there is none */
void home_choose(struct path *p);		  /* at the end of a report */
void home_failed(struct path *p, struct region *r); /* its connection ended or could not be made */
void home_set(struct path *p, uint16_t region);
