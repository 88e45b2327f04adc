/* state: what the core holds, shared by the files of server/core only.
 *
 * core -> tailnets -> users, nodes, keys, logins that wait; each node has at most one live map session. Rows are the truth
 * and lie inside the objects; everything else (indexes, parsed Hostinfo, routes carried, names of slots) can be rebuilt
 * from them, which is what undo does.
 *
 * One event is one transaction: before a row changes for the first time in it, touch_x keeps its image; core_commit turns
 * the touched rows into one store batch and the images into one undo record; core_abort puts the images back. */
#pragma once

#include "common/base/arena.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/wire/tailcfg.h"
#include "server/core/audit.h"
#include "server/core/core.h"
#include "server/core/job.h"
#include "server/core/snapshot.h"
#include "server/map/map.h"
#include "server/policy/policy.h"

struct core;
struct node;
struct tailnet;

enum {
	GIVEN_NAME_MAX = 63,
	ID_BLOCK = 256,	      /* ids are reserved in the database so many at a time */
	GONE_SINKS_MAX = 256, /* streams of unknown keys that are held open (trap T42b) */
	GONE_HOLD_MS = 120000,
	FLAP_WINDOW_MS = 5000, /* a node's peers hear of it at once so often in this time … */
	FLAP_BURST = 12,
	FLAP_MERGE_MS = 500,   /* … and then what it says within this is one message */
	ROUTER_LEAVE_MS = 300, /* a stream that broke and comes back within this moves no route */
	LAZY_MS = 60000,      /* last seen and the like reach the database this often … */
	LAZY_SOON_MS = 1000,  /* … and who came or went this soon: after a crash it decides who flaps */
	WAITERS_MAX = 4,      /* follow-ups that wait on one login */
	POLICY_VERSIONS_MAX = 100,	     /* that are kept for history and rollback … */
	POLICY_VERSIONS_BYTES = 16 << 20, /* … all together, but for the newest */
	RECENT_ADDRS_MAX = 4096,
	RECENT_ADDR_MS = 24 * 3600 * 1000,
	RECENT_ADDRS_WRITE_MS = 30000,	    /* new ones reach the database this late … */
	RECENT_ADDR_REWRITE_MS = 3600 * 1000, /* … and a known one is written again when it is this much fresher */
	TIMER_STEP_MS = 600000, /* a wall-clock timer looks again at least this often: clocks jump */
};

/* ---- timers: a heap on mono_ms ---- */

struct timer {
	int64_t at_ms;
	size_t index; /* in the heap, from 1; 0: not armed */
	void (*fire)(struct core *c, struct timer *t);
};
struct timers {
	struct timer **heap; /* owned; [0] unused */
	size_t n, cap;
};
void timers_done(struct timers *h);
/* Makes room for one more timer, so that arming never fails. */
MUST_USE err timers_reserve(struct timers *h, size_t n);
void timer_arm(struct timers *h, struct timer *t, int64_t at_ms); /* also moves one that is armed */
void timer_stop(struct timers *h, struct timer *t);
struct timer *timers_first(const struct timers *h);

/* ---- rows in memory ---- */

struct user {
	struct user_row row;
	struct tailnet *t;
	struct list nodes; /* struct node.of_user */
	size_t n_nodes;
	const char **groups; /* owned array of texts of its identities' rows: what they are in at their providers */
	size_t n_groups;
	uint64_t touched;
};

struct authkey {
	struct authkey_row row;
	struct tailnet *t;
	uint64_t touched;
};

struct apikey {
	struct apikey_row row;
	scope_set may; /* by its scopes */
	struct tailnet *t;
	uint64_t touched;
};

enum {
	SIGNINS_PER_USER_MAX = 32,
	SIGNINS_SWEEP_MAX = 64, /* expired ones that one login sweeps out */
	SIGNIN_AGENT_MAX = 255,
};

struct identity {
	struct identity_row row;
	struct tailnet *t;
	uint64_t touched;
};

struct account {
	struct account_row row;
	struct tailnet *t;
	uint64_t touched;
};

struct wish {
	struct wish_row row;
	uint64_t touched;
	struct tailnet *t;
};

enum { PASSKEY_HASH_LEN = 16 };

struct passkey {
	struct passkey_row row;
	uint8_t hash[PASSKEY_HASH_LEN]; /* of the credential's id */
	struct tailnet *t;
	uint64_t touched;
};

struct signin {
	struct signin_row row;
	struct tailnet *t;
	uint64_t touched;
};

struct draft { /* of the policy */
	struct draft_row row;
	struct tailnet *t;
	uint64_t touched;
};

struct webhook {
	struct webhook_row row;
	struct tailnet *t;
	uint64_t touched;
};

struct waiter { /* a follow-up request that waits for a person */
	struct call *call;
};

struct policy_version { /* a text that was accepted */
	struct policy_row row;
	struct tailnet *t;
	uint64_t touched;
};

struct pending {
	struct pending_row row;
	struct tailnet *t;
	struct waiter waiter[WAITERS_MAX];
	size_t n_waiters;
	struct addr from; /* limit key; family 0: from before the start */
	struct timer expiry;
	uint64_t touched;
};

/* Check mode of Tailscale SSH (ssh_check.c). */
struct ssh_approval {
	struct ssh_approval_row row;
	uint64_t touched;
};

/* Tailnet lock (lock.c). */
struct lock;
struct lock_aum {
	struct lock_aum_row row;
	uint64_t touched;
};

/* A VIP service (service.c). */
struct service {
	struct service_row row;
	struct tailnet *t;
	uint64_t touched;
};

struct setting {
	struct setting_row row;
	char name_key[72]; /* tailnet id and key, the index */
	uint64_t touched;
};

struct machine { /* all nodes of one machine key */
	struct machine_pub key;
	struct list nodes; /* struct node.of_machine */
};

/* Told to a session of a node's named filters. */
struct told_filter {
	char name[48];
	uint64_t hash;
};

struct told_routes { /* of a node, as told to a session */
	uint32_t slot;
	uint64_t hash; /* map_routes_hash */
};

struct session {
	uint64_t number; /* of all since the start */
	struct list all; /* tailnet.sessions */
	struct node *node;
	struct map_sink *sink; /* a reference */
	bool reader;	       /* ReadOnly: says nothing about presence */
	bool need_full;	       /* its node was announced: a full map replaces what it was told */
	bool compare;	       /* what it sees may have changed wholly: compare with what it was told */
	bool self;	       /* its own Node must be sent */
	bool begun;	       /* it got its first whole map */
	struct slots told;
	uint64_t last_seq; /* of the newest message: an undo beyond it ends the session */
	/* Rounds read what stands above for every session: it shares cache lines. */
	struct told_filter *filters; /* owned */
	size_t n_filters, cap_filters;
	uint64_t ssh_hash, caps_hash, message_hash, services_hash;
	bool dns; /* its DNSConfig must be sent: services that it sees have changed */
	struct told_routes *routes; /* owned, sorted by slot: nodes that were shown with routes */
	size_t n_routes, cap_routes;
	bool no_ipv4; /* was told of no IPv4 addresses */
	int64_t opened_ms, last_ms; /* mono: since when; of the newest message */
	uint64_t n_messages, n_bytes;
};

struct gone_sink { /* a stream of an unknown key that is held */
	struct map_sink *sink;
	struct timer end;
	struct list all;
};

enum { /* beside PATCH_* in node.dirty */
	DIRTY_WHOLE = 1 << 16, /* peers get the whole node */
	DIRTY_SEEN = 1 << 17,  /* who sees it changed, its content not */
	DIRTY_OWNER = 1 << 19, /* it has another owner */
	DIRTY_ROUTES = 1 << 18, /* what it carries changed: those to whom it looks otherwise get it whole */
};

enum node_shut { /* why a node takes no part */
	SHUT_NO,
	SHUT_SUSPENDED,	 /* its user is */
	SHUT_USER_WAITS, /* an administrator has to approve its user */
	SHUT_UNAPPROVED, /* an administrator has to approve it */
};

struct node_rate { /* of what a node asks for */
	int64_t since_ms;
	unsigned used;
};

struct node {
	struct node_row row;
	struct map_node m; /* m.row == &row */
	struct tailnet *t;
	struct tailcfg_hostinfo *hi; /* in hi_arena */
	struct arena hi_arena;
	char name_key[GIVEN_NAME_MAX + 1];
	bool has_name, has_v4, has_v6, has_disco; /* in the tailnet's indexes */
	struct list of_machine, of_user, of_lazy, of_dirty, of_router, of_rerouted;
	struct session *session, *reader;
	unsigned dirty;
	bool hostinfo_left; /* its newest Hostinfo went over a bound and was left aside; it is told */
	bool ready;    /* others can use it, or waited long enough: m.announced is this and not shut */
	enum node_shut shut; /* from the rows: gate.c */
	bool at_relay; /* reached our relay; kept only until it is ready */
	int64_t report_ms; /* wall: it last told of itself; 0: not since our start */
	char *refusal;	   /* owned: the newest thing that it was refused; NULL: none */
	int64_t refusal_ms;
	struct node_rate tokens, audits, told; /* told: patches that its peers got at once */
	unsigned n_c2n; /* questions that wait for its answer (c2n.h) */
	bool reported; /* told us its endpoints and the like since our start */
	struct prefix *cand; /* owned: announced and approved, sorted */
	size_t n_cand;
	struct prefix *serving; /* owned: what it carries */
	size_t n_serving;
	size_t router_at; /* place among the routers, within one round */
	size_t n_shared; /* routes of it that another one may carry, too */
	bool away;	 /* its stream broke a moment ago */
	bool unhealthy;	 /* it did not answer a probe (route_probe.c) */
	bool probing;	 /* a question is under way */
	char *routes_text; /* owned: what it is told of routes that are not used; NULL: nothing */
	struct map_message routes_message;
	unsigned good_probes; /* answers in a row, while it is unhealthy */
	struct timer offline, ephemeral, expiry, announce, leave, attrs;
	int64_t idle_since_ms; /* mono: since then its timer to leave runs */
	uint64_t attrs_over; /* by index in row.attrs: expired, as last looked */
	char services_hash[72]; /* of the services that it told; "": not known */
	char **advertised;	/* owned: names of services */
	size_t n_advertised;
	int64_t lock_asked_ms; /* mono: when it was told to sign a new key with its old signature; 0: never */
	struct node_info *info; /* cached for lists, a reference; NULL when stale */
	bool no_ipv4; /* its class has no IPv4 addresses */
	uint64_t touched;
};

struct route { /* who carries a prefix; exit routes have none of these */
	struct prefix prefix;
	int64_t node_id;
	struct node **cand; /* owned: who announced it and was approved */
	size_t n, cap;
};

struct gone_slot {
	uint32_t slot;
	int64_t id;
};

struct recent_addr { /* an address that has a node or waiting logins */
	struct addr addr;
	size_t pendings;
	bool registered, is_written;
	int64_t registered_ms, written_ms; /* mono; may be below 0: from before the start */
};

struct tailnet {
	struct core *c;
	struct tailnet_row row;
	struct core_settings set; /* of the core, with this tailnet's own extra records */
	struct arena set_arena;
	struct map_tailnet map;
	struct map_cache *cache;
	struct policy *policy;
	struct policy_version **versions; /* owned array, oldest first: the last is in force */
	size_t n_versions, cap_versions;
	struct snapshot facts; /* of all nodes, by slot */
	bool facts_lost;       /* memory was short: they are made anew when asked for */

	size_t cap_slots;
	int64_t *slot_id; /* by slot: the node that has or had it */
	uint32_t *free_slots;
	size_t n_free_slots;
	struct gone_slot *gone; /* removed since the last round; slots not yet free */
	size_t n_gone, cap_gone;

	struct map nodes_by_name, nodes_by_v4, nodes_by_v6;
	struct map routes; /* struct route, by prefix */
	struct list routers; /* nodes with candidates */
	size_t n_shared_routes; /* routes with more than one candidate */
	struct timer probe;
	struct timer damp; /* patches of nodes that flap wait for it */
	struct timer warm; /* the next full map's texts are made ahead of it */
	struct list rerouted; /* struct node.of_rerouted: within one change */
	struct list sessions;
	size_t n_sessions;
	struct list dirty; /* nodes with dirty bits */
	bool flush;	   /* something waits for a round */
	bool reveal;	   /* among it: who sees whom. New streams wait for the round, too, so that both sides hear at once (T43) */
	bool compare_all;  /* all sessions compare what they see */
	bool full_all;	   /* all sessions get a full map */
	bool full_wanted; /* sessions may wait for full maps */
	bool dns_dirty, derp_dirty, lock_dirty;
	struct lock *lock; /* NULL: it was never on */
	struct policy_services *services; /* what "svc:x" means in policies; NULL: nothing yet */
	bool services_stale;		  /* … and map.services: a row changed */
	bool policy_behind;		  /* the policy in force was read with services of before … */
	bool rereads;			  /* … and a worker reads it again */
	bool services_dirty;		  /* who may see which, or host it, may have changed */
	uint8_t *filter_classes; /* classes whose filters changed: one byte each */
	size_t n_filter_classes;

	uint32_t v4_cursor; /* newest address given, as a number */
	uint64_t v6_cursor; /* newest host number given where IPv6 is not derived */
};

enum row_kind { ROW_SETTING, ROW_USER, ROW_AUTHKEY, ROW_APIKEY, ROW_POLICY, ROW_NODE, ROW_WEBHOOK, ROW_DRAFT, ROW_SSH_APPROVAL, ROW_LOCK_AUM, ROW_SERVICE, ROW_PENDING, ROW_IDENTITY, ROW_SIGNIN, ROW_ACCOUNT, ROW_PASSKEY, ROW_WISH };

struct image { /* a row before a change */
	enum row_kind kind;
	bool existed; /* false: row has only its primary key */
	union {
		struct setting_row setting;
		struct user_row user;
		struct authkey_row authkey;
		struct apikey_row apikey;
		struct policy_row policy;
		struct node_row node;
		struct webhook_row webhook;
		struct draft_row draft;
		struct ssh_approval_row ssh_approval;
		struct lock_aum_row lock_aum;
		struct service_row service;
		struct pending_row pending;
		struct identity_row identity;
		struct signin_row signin;
		struct account_row account;
		struct passkey_row passkey;
		struct wish_row wish;
	};
};
struct undo {
	struct list all; /* core.undos, oldest first */
	uint64_t seq;
	struct image *image; /* owned */
	size_t n;
};

struct who { /* does what the event does, for the audit log */
	char via[24];
	char actor[160];
	char address[ADDR_TEXT_MAX];
};
struct audit_list {
	struct audit_row *row; /* owned */
	size_t n;
};

struct core {
	struct core_settings set;
	struct now now;	     /* of the event at hand */
	struct effects *fx;  /* of the event at hand */
	bool replaying;	     /* rows are loaded or put back: nothing new is decided */
	size_t fx_first;     /* where its effects begin in fx */
	bool fx_failed;	     /* an effect could not be kept: out of memory */
	uint64_t seq;	     /* newest batch made */
	uint64_t durable;
	uint32_t epoch;

	struct tailnet **tailnets;
	size_t n_tailnets;
	struct map users, nodes, nodes_by_key, nodes_by_disco, machines; /* by id, id, key, disco, key */
	struct map authkeys, authkeys_by_prefix, apikeys, apikeys_by_prefix;
	struct map policies; /* struct policy_version, by id */
	struct map pendings, pendings_by_key, pendings_by_machine; /* by auth_id, node key, machine */
	struct map identities, signins, signins_by_hash, accounts; /* by id; by user */
	struct map passkeys, passkeys_by_hash;
	struct map wishes;
	struct map settings, webhooks, drafts; /* by name_key; by id */
	struct map services; /* by id */
	bool services_stale; /* rows were put back: services_rebuild */
	struct map lock_aums; /* by hash */
	bool locks_stale;     /* rows were put back: locks_rebuild */
	struct map ssh_approvals, ssh_checks; /* by pair; by auth_id */
	struct map addrs; /* struct recent_addr */
	struct timer addrs_timer;

	unsigned names_held; /* since the start: now and then old ones are swept */
	bool names_full;
	int64_t clock_offset_ms; /* wall - mono, as of the last event */
	int64_t started_ms;	 /* mono */
	int64_t settled_ms;	 /* mono: until then nothing is forgotten for good */
	struct map c2n;		/* by token: c2n.c */
	struct list c2n_askers;
	struct timers timers;
	struct timer lazy_timer;
	struct list lazy;     /* nodes with lazy columns to write */
	struct list jobs;     /* struct job: asked, not answered */
	size_t n_jobs;
	struct list gone;     /* struct gone_sink */
	size_t n_gone;

	uint64_t tx; /* number of the event */
	struct image *image; /* touched in this event */
	size_t n_image, cap_image;
	struct list undos;

	int64_t next_id, ids_reserved; /* one counter for all kinds of rows */
	int64_t next_audit, audits_reserved;
	struct audit_list notes; /* of the event at hand: what is recorded beside its changes of rows */
	struct who who; /* of the event at hand */
	struct timer audit_timer;

	size_t n_sessions, n_online;
	uint64_t streams; /* opened since the start */
	uint64_t events, map_full, map_deltas, map_bytes;
	int64_t max_event_us; /* core_note_event_us */
};

/* ---- core.c: transactions and effects ---- */

struct tailnet *core_tailnet(struct core *c, int64_t id); /* NULL: no such */

MUST_USE err touch_user(struct core *c, struct user *u);
MUST_USE err touch_node(struct core *c, struct node *n);
MUST_USE err touch_authkey(struct core *c, struct authkey *k);
MUST_USE err touch_draft(struct core *c, struct draft *d);
MUST_USE err touch_new_draft(struct core *c, int64_t id);
MUST_USE err touch_webhook(struct core *c, struct webhook *w);
MUST_USE err touch_new_webhook(struct core *c, int64_t id);
MUST_USE err touch_apikey(struct core *c, struct apikey *k);
MUST_USE err touch_pending(struct core *c, struct pending *p);
MUST_USE err touch_identity(struct core *c, struct identity *i);
MUST_USE err touch_account(struct core *c, struct account *a);
MUST_USE err touch_new_account(struct core *c, int64_t id, int64_t user_id);
MUST_USE err touch_wish(struct core *c, struct wish *w);
MUST_USE err touch_new_wish(struct core *c, int64_t id);
MUST_USE err touch_passkey(struct core *c, struct passkey *p);
MUST_USE err touch_new_passkey(struct core *c, int64_t id);
MUST_USE err touch_signin(struct core *c, struct signin *s);
MUST_USE err touch_service(struct core *c, struct service *s);
MUST_USE err touch_new_service(struct core *c, int64_t id);
MUST_USE err touch_lock_aum(struct core *c, struct lock_aum *a);
MUST_USE err touch_new_lock_aum(struct core *c, const uint8_t hash[32]);
MUST_USE err touch_ssh_approval(struct core *c, struct ssh_approval *a);
MUST_USE err touch_new_ssh_approval(struct core *c, const struct ssh_pair *pair);
MUST_USE err touch_policy(struct core *c, struct policy_version *v);
MUST_USE err touch_setting(struct core *c, int64_t tailnet_id, const char *key);
/* The row does not exist yet: undoing removes it. */
MUST_USE err touch_new_user(struct core *c, int64_t id);
MUST_USE err touch_new_policy(struct core *c, struct tailnet *t, int64_t id);
MUST_USE err touch_new_node(struct core *c, int64_t id);
MUST_USE err touch_new_authkey(struct core *c, int64_t id);
MUST_USE err touch_new_apikey(struct core *c, int64_t id);
MUST_USE err touch_new_identity(struct core *c, int64_t id);
MUST_USE err touch_new_signin(struct core *c, int64_t id);
MUST_USE err touch_new_pending(struct core *c, const char *auth_id);

MUST_USE err core_commit(struct core *c); /* an event's end: batch out, seq up. On an error nothing was changed */
void core_abort(struct core *c);	  /* puts the images of this event back */
void undo_down_to(struct core *c, uint64_t durable);
void undo_forget(struct core *c, uint64_t durable);
void image_done(struct image *i);

MUST_USE err next_id(struct core *c, int64_t *out);
MUST_USE err setting_put(struct core *c, int64_t tailnet_id, const char *key, const char *value); /* NULL deletes */
const char *setting_get(struct core *c, int64_t tailnet_id, const char *key);			    /* NULL: none */
MUST_USE err setting_set_memory(struct core *c, struct setting_row *taken);

/* ---- audit.c ---- */

#define AUDIT_ID_SETTING "next_audit_id"
/* Who the event at hand is for. */
void audit_who(struct core *c, const char *via, struct addr from, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void audit_who_asks(struct core *c, const struct command *m);
void audit_who_node(struct core *c, const struct event *e, const struct node_pub *key); /* key NULL: only the machine is known */
/* The records of what this event touched. May touch a setting (the counter of ids). */
MUST_USE err audit_collect(struct core *c, struct audit_list *out);
void audit_list_done(struct audit_list *l);
/* A record that is no change of a row: what a node says of itself (action, and text into after). Durable with the event. */
MUST_USE err audit_note_node(struct core *c, const struct node *n, const char *action, const char *text);
/* "expired" or "expiring": nothing of its row changes then. */
/* A copy of the database was made, fetched or removed: "create", "fetch", "delete". Whoever has one has the server's keys. */
MUST_USE err audit_note_backup(struct core *c, int64_t tailnet_id, const char *name, const char *action);
void audit_key_expiry(struct core *c, struct node *n, const char *action);
void audit_presence(struct core *c, struct node *n); /* it came or went: told, not recorded */
void audit_report(struct core *c, const struct node *n); /* it told of itself what lists show; likewise */
void on_audit_timer(struct core *c, struct timer *t);

/* Effects of the event at hand; they get its sequence number when it ends. Each event reserves FX_ROOM, so that replies
 * always fit; others that do not fit are dropped, which is noted in fx_failed. */
enum { FX_ROOM = 64 };
#define FX_THIS_EVENT UINT64_MAX
void fx_reply(struct core *c, struct call *call, struct reply *taken);
void fx_map(struct core *c, struct map_msg *taken, struct map_sink **taken_sinks, size_t n);
void fx_map_one(struct core *c, struct map_msg *taken, struct map_sink *s);
void fx_map_end(struct core *c, struct map_sink *s, int http_status, const char *why);
void fx_sink_unref(struct core *c, struct map_sink *taken);
void fx_admit(struct core *c, const struct node_pub *key);
void fx_revoke(struct core *c, const struct node_pub *key);
void fx_job(struct core *c, struct job *j);
void fx_store(struct core *c, struct store_batch *taken);
void fx_changed(struct core *c, struct audit_row *taken); /* and emptied */

/* Answers a call: e and a sentence, or a node's request with a status and a text. */
void answer_err(struct core *c, struct call *call, err e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void answer_http(struct core *c, struct call *call, int status, const char *text);
/* 200 with JSON to a node. out is emptied. */
void answer_node_json(struct core *c, struct call *call, struct buf *out);

/* ---- user.c, keys.c, pending.c: rows into memory and out, indexes kept ---- */

MUST_USE err service_put_memory(struct core *c, struct service_row *taken);
void service_drop_memory(struct core *c, int64_t id);
MUST_USE err lock_aum_put_memory(struct core *c, struct lock_aum_row *taken);
void lock_aum_drop_memory(struct core *c, const struct lock_aum_row *key);
MUST_USE err ssh_approval_put_memory(struct core *c, struct ssh_approval_row *taken);
void ssh_approval_drop_memory(struct core *c, const struct ssh_approval_row *key);

struct user *user_by_id(struct core *c, int64_t id);
/* By name (without case), email or decimal id. */
struct user *user_find(struct tailnet *t, const char *text);
MUST_USE err user_put_memory(struct core *c, struct user_row *taken); /* insert or replace */
void user_drop_memory(struct core *c, int64_t id);
MUST_USE err user_changed(struct core *c, struct user *u); /* another name or address: its nodes are seen anew */

bool user_name_ok(const char *s); /* can it be a user's name */

/* signin.c */
struct identity *identity_by_id(struct core *c, int64_t id);
struct identity *identity_find(struct tailnet *t, const char *issuer, const char *subject);
MUST_USE err identity_put_memory(struct core *c, struct identity_row *taken);
void identity_drop_memory(struct core *c, int64_t id);
struct account *account_of(struct core *c, int64_t user_id);
MUST_USE err account_put_memory(struct core *c, struct account_row *taken);
void account_drop_memory(struct core *c, int64_t user_id);
struct signin *signin_by_id(struct core *c, int64_t id);
struct signin *signin_by_token(struct core *c, const char *token, enum signin_kind kind); /* NULL: none, or it has expired */
MUST_USE err signin_put_memory(struct core *c, struct signin_row *taken);
void signin_drop_memory(struct core *c, int64_t id);
MUST_USE err signin_delete(struct core *c, struct signin *s);
/* Those that i made, or with i NULL all of u. n may be NULL; else it is counted up. */
MUST_USE err signins_end(struct core *c, const struct user *u, const struct identity *i, size_t *n);
MUST_USE err user_forget_logins(struct core *c, struct user *u); /* before a user is deleted */
/* After an identity of it came, went or changed: user.groups anew. */
MUST_USE err user_gather_groups(struct core *c, int64_t user_id);
MUST_USE err identity_to_arena(struct arena *a, const struct identity_row *from, struct identity_row *out);
MUST_USE err signin_to_arena(struct arena *a, const struct signin_row *from, struct signin_row *out);

MUST_USE err authkey_put_memory(struct core *c, struct authkey_row *taken);
void authkey_drop_memory(struct core *c, int64_t id);
MUST_USE err apikey_put_memory(struct core *c, struct apikey_row *taken);
void apikey_drop_memory(struct core *c, int64_t id);
/* "hskey-auth-PREFIX-SECRET". NULL: no such key, or the secret is wrong. */
struct authkey *authkey_by_text(struct core *c, const char *text);
struct apikey *apikey_by_text(struct core *c, const char *text);
bool apikey_is_valid(const struct core *c, const struct apikey *k); /* not expired, not revoked, nor its client or user */
/* At a user's end. */
MUST_USE err apikeys_drop_of_user(struct core *c, const struct user *u);

MUST_USE err pending_put_memory(struct core *c, struct pending_row *taken);
void pending_drop_memory(struct core *c, const char *auth_id);

MUST_USE err policy_put_memory(struct core *c, struct policy_row *taken);
void policy_drop_memory(struct core *c, int64_t id);
const struct policy_row *policy_in_force(const struct tailnet *t); /* id 0: none was ever set */
struct policy_version *policy_version(const struct tailnet *t, int64_t number); /* NULL: none such */

/* ---- node.c ---- */

struct node *node_by_id(struct core *c, int64_t id);
struct node *node_by_key(struct core *c, const struct node_pub *key);
MUST_USE err node_put_memory(struct core *c, struct node_row *taken); /* insert, or replace all but presence (undo) */
void node_drop_memory(struct core *c, int64_t id);
/* The node's row was changed except for what these set themselves. */
MUST_USE err node_set_key(struct core *c, struct node *n, const struct node_pub *key);
MUST_USE err node_set_name(struct core *c, struct node *n, const char *given, bool automatic);
MUST_USE err node_set_disco(struct core *c, struct node *n, const struct disco_pub *disco);
/* The NetInfo that is there stays when hi has none. *changed: it was another one. */
MUST_USE err node_set_hostinfo(struct core *c, struct node *n, const struct tailcfg_hostinfo *hi, bool *changed);
MUST_USE err node_set_owner(struct core *c, struct node *n, int64_t user_id, char *const *tags, size_t n_tags);
MUST_USE err node_set_addresses(struct core *c, struct node *n, struct addr v4, struct addr v6);
void node_set_expires(struct core *c, struct node *n, int64_t expires_ms);
/* What the policy asks about a node; points into n and into itself. */
struct node_facts {
	struct policy_node node;
	struct policy_user user;
	struct policy_attr attr[8 + NODE_ATTRS_MAX];
	char os[32];
};
void node_facts(struct core *c, const struct node *n, struct node_facts *f);
void facts_of_hostinfo(const struct tailcfg_hostinfo *hi, struct node_facts *f); /* its attributes are added; f points into hi */
struct policy_user user_facts(const struct user *u); /* points into u */
MUST_USE err node_note_facts(struct core *c, struct node *n); /* for snapshots; node_classify does it, too */
void node_note_no_ipv4(struct node *n, bool no_ipv4); /* by a policy: all see it without that address */
MUST_USE err node_classify(struct core *c, struct node *n); /* after a change of owner, tags, addresses, routes */
void node_dirty(struct node *n, unsigned what);	/* for peers */
void node_self_dirty(struct node *n);		/* for itself */
void node_lazy(struct core *c, struct node *n);	/* its lazy columns are to be written sometime */
bool node_is_expired(const struct core *c, const struct node *n);
void node_arm_expiry(struct core *c, struct node *n);
/* Out of the tailnet for good: ends its streams as trap T42 wants, revokes its relay admission. */
MUST_USE err node_delete(struct core *c, struct node *n);
struct node_info *node_info_get(struct core *c, struct node *n); /* a reference; NULL: out of memory */
void node_info_stale(struct node *n);
struct machine *machine_get(struct core *c, const struct machine_pub *key);

/* ---- attrs.c: custom attributes for postures ---- */

/* Expiry of attributes is looked at anew, and its timer set; the caller classifies. True: which ones hold has changed. */
bool attrs_look(struct core *c, struct node *n);
void on_attrs_timer(struct core *c, struct timer *t);
void on_set_device_attr(struct core *c, struct event *e, struct node *n);
MUST_USE err attr_command(struct core *c, struct node *n, const struct command *m, struct reply *r);
MUST_USE err attrs_patch(struct core *c, struct tailnet *t, const struct command *m, struct reply *r); /* all of them, or none */

/* ---- node_debug.c ---- */

void node_refused(struct core *c, struct node *n, const char *text); /* remembers it for who asks why */
MUST_USE err node_debug(struct core *c, struct node *n, struct reply *r);
void session_want_full(struct session *s); /* a round replaces what it was told by a full map */
void session_note_sent(struct core *c, struct session *s, size_t bytes); /* session.c: one more message */

/* ---- clock_watch.c ---- */

void clock_start(struct core *c, int64_t newest_ms); /* newest_ms: wall, of all that was loaded */
void clock_watch(struct core *c);		     /* at each event */
/* How long what cannot be taken back must wait yet; 0: it need not. */
int64_t clock_unsettled_ms(const struct core *c);

/* ---- gate.c: who takes part ---- */

void gate_first(struct core *c, struct node *n); /* a node that was just loaded or made */
/* What decides about it changed (owner, suspension): its peers, itself and the relay hear of it. */
MUST_USE err gate_update(struct core *c, struct node *n);
void gate_message(struct node *n); /* what its own map tells it */
void gate_show(struct node *n); /* n->ready changed */
/* Its Hostinfo cannot be taken (fault: why), or can again (""): logged once, and shown by the client. */
void node_hostinfo_fault(struct core *c, struct node *n, const char *fault);

/* ---- names.c, address.c, route.c ---- */

void name_sanitise(const char *hostname, char out[GIVEN_NAME_MAX + 1]);
bool name_is_label(const char *s); /* a legal, lower-case DNS label */
/* A free name from a sanitised one. self: may keep its own. */
void name_unique(struct tailnet *t, const char *base, const struct node *self, int64_t user_id, const struct machine_pub *machine,
		char out[GIVEN_NAME_MAX + 1]);
/* Why no node may have this name (the server's, a relay's, a record's); NULL: it may. */
const char *name_reserved(const struct tailnet *t, const char *name);
/* A name that a node gives up is kept so long for its owner and its machine: no other host takes it by itself. */
#define NAME_HELD_PREFIX "held/"
#define NAME_HELD_MS (30LL * 24 * 3600 * 1000)
MUST_USE err name_hold(struct core *c, const struct node *n);
MUST_USE err name_release(struct core *c, const struct tailnet *t, const char *name);

/* Addresses that no node of t has, of the families that are configured. who: whose (the policy may have a pool for it);
 * NULL: anybody's. ERR_TOO_BIG: none left, in the tailnet or the pool. */
enum { ADDRESS_POOLS_MAX = 64 };
MUST_USE err address_next(struct tailnet *t, const struct policy_node *who, struct addr *v4, struct addr *v6);
bool address_is_reserved(struct tailnet *t, struct addr a); /* inside the range, and still nobody's */
MUST_USE err address_next_v6(struct tailnet *t, struct addr v4, struct addr *v6);
void address_note(struct tailnet *t, struct addr v4, struct addr v6); /* in use: moves the cursors */

MUST_USE err routes_update(struct core *c, struct node *n); /* announced or approved changed */
/* Into its row, for the next start. */
void routes_note_carried(struct node *n);
void routes_elect(struct core *c, struct node *n);	    /* its presence changed */
void routes_drop(struct core *c, struct node *n);
/* route_rules.c: why a route is not used, or not approved by a policy alone; NULL: it is. */
const char *route_fault(const struct tailnet *t, struct prefix p);
const char *route_by_hand(const struct tailnet *t, struct prefix p);
void routes_tell(struct core *c, struct node *n); /* tells the device of such routes */
bool route_is_approved(const struct node *n, struct prefix p);
void routes_fresh_stream(struct core *c, struct node *n);
void routes_probe(struct core *c, struct tailnet *t); /* who stands in for whom changed: route_probe.c */
void routes_reclassed(struct core *c, struct node *n); /* its class changed */
void routes_forget(struct route *r);
int64_t route_carrier(void *ctx, struct prefix p); /* ctx: the tailnet */
bool prefix_is_exit(struct prefix p);

/* ---- presence.c ---- */

void presence_online(struct core *c, struct node *n);
void presence_stream_closed(struct core *c, struct node *n);
void presence_ephemeral(struct core *c, struct node *n); /* row.ephemeral changed: it leaves some time after it went, or stays */
void presence_timeout(struct core *c, struct node *n); /* the time after which ephemeral nodes leave is another; counted from when it went, as before */
void presence_start(struct core *c, struct node *n); /* as loaded: grace, ephemeral and expiry timers */
void presence_may_announce(struct core *c, struct node *n);
void on_at_relay(struct core *c, struct event *e);
void presence_hold(struct core *c, struct node *n); /* new: announced when it reported, or after a wait */
void presence_timers_init(struct node *n);
void presence_timers_stop(struct core *c, struct node *n);
void lazy_flush(struct core *c);
void lazy_soon(struct core *c);
void on_lazy_timer(struct core *c, struct timer *t);

/* ---- history.c ---- */

/* It came or went at that time (row.was_online says which). Short of memory: the history has a gap. */
void history_note(struct core *c, struct node *n, int64_t wall_ms);

/* ---- recent.c ---- */

void addr_registered(struct core *c, struct addr from); /* a node of ours is there */
/* The count of logins that wait from there; *full: no more of them. NULL: not counted. */
struct recent_addr *addr_count(struct core *c, struct addr from, bool *full);
void addrs_load(struct core *c);
MUST_USE err addrs_write(struct core *c); /* to the setting, in the event at hand */
void on_addrs_timer(struct core *c, struct timer *t);

/* ---- session.c, flush.c ---- */

void session_open(struct core *c, struct event *e);
void session_once(struct core *c, struct event *e);
void session_closed(struct core *c, struct map_sink *s);
void session_drop(struct core *c, struct session *s, bool end); /* forgets it; end: ends the stream, too */
void on_map_lite(struct core *c, struct event *e);
/* Room for n filters that were told; ERR_NOMEM: nothing changed. Then session_note_filters remembers them. */
MUST_USE err session_filters_room(struct session *s, size_t n);
/* What it was told of a node's routes; 0: none. */
uint64_t session_told_routes(const struct session *s, uint32_t slot);
MUST_USE err session_note_routes(struct session *s, uint32_t slot, uint64_t hash);
void session_note_filters(struct session *s, const struct policy_filter *filters, size_t n);
/* Fills the session from a full map and sends it. */
MUST_USE err session_send_full(struct core *c, struct session *s);
void sessions_undo(struct core *c, uint64_t durable);
void gone_done(struct core *c);
void tailnet_flush(struct core *c, struct tailnet *t);
void tailnet_note_changes(struct tailnet *t, struct policy_changes *changes); /* and empties them */

/* ---- tailnet.c ---- */

MUST_USE err tailnet_new(struct core *c, struct tailnet_row *taken, struct tailnet **out);
void tailnet_free(struct tailnet *t);
/* Is it in map.connectors? Kept sorted by id. */
void tailnet_note_connector(struct tailnet *t, const struct node *n, bool is);
MUST_USE err tailnet_take_slot(struct tailnet *t, struct node *n);
void tailnet_leave_slot(struct tailnet *t, struct node *n);
/* A new view of the policy with all nodes in it, made here and now: at start, and when a change is undone. */
MUST_USE err tailnet_apply_policy(struct core *c, struct tailnet *t, struct policy *taken);
/* The job's policy and view, brought up to date with what nodes did meanwhile; both are the tailnet's then. */
MUST_USE err tailnet_adopt_policy(struct core *c, struct tailnet *t, struct job *j);
/* Settings of the core and what was set in this tailnet. Who must hear of it: settings_effects. */
MUST_USE err tailnet_settings(struct core *c, struct tailnet *t);

/* ---- register.c, pending.c, node_request.c, command_*.c ---- */

void on_register(struct core *c, struct event *e);
void on_call_gone(struct core *c, struct call *call);
struct pending *pending_by_id(struct core *c, const char *auth_id);
void pending_answer_all(struct core *c, struct pending *p, int status, const char *error, struct node *n);
void pending_expire(struct core *c, struct timer *t);
MUST_USE err pending_delete(struct core *c, struct pending *p);
/* Makes the node of a login, or rotates the key of the one that is there. why: on an error, one sentence. */
/* When the key of a device that joins now would end; 0: never. asked_ms: what its owner's sign-in says, 0 nothing. */
/* Could u give a device this tag? NULL, and who waits for approval: no. */
bool register_may_tag(const struct tailnet *t, const struct user *u, const char *tag);
int64_t register_expires(const struct core *c, const struct tailnet *t, bool tagged, int64_t asked_ms);
/* newcomer.c: the device that waits under m->auth_id, as a node of who asks (m->key_text, a token) or of its tags, which m->name calls from
 * then on. *out is owned (record_unref), or untouched when it is a node already. Else r says why, or ERR_NOMEM. */
#define NEWCOMER_NAME "(this device)" /* no node has it */
struct record;
MUST_USE err newcomer_of(struct core *c, struct tailnet *t, struct command *m, struct reply *r, struct record **out);
MUST_USE err register_pending(struct core *c, struct pending *p, struct user *u, enum register_method method, bool by_admin, int64_t expires_ms, char *why,
		size_t why_cap, struct node **out);
/* RegisterResponse; NULL: out of memory. */
struct reply *reply_registered(struct core *c, struct node *n);
struct reply *reply_register_error(struct core *c, const char *text);

struct map c2n_map(void);
void c2n_close(struct core *c); /* who waits is told that the server stops */
void c2n_free_all(struct core *c);
void on_c2n_answer(struct core *c, struct event *e);
void on_command_c2n(struct core *c, const struct command *m, struct call *call, struct reply *r);
bool c2n_call_gone(struct core *c, struct call *call); /* false: it was not one of c2n's */
/* node_client.c: what clients report of themselves, and small things they ask for. false: the path is none of it. */
bool on_node_client_request(struct core *c, struct event *e, struct node *n);
void on_node_request(struct core *c, struct event *e);
void on_command(struct core *c, struct event *e);
void on_command_user(struct core *c, const struct command *m, struct reply *r);
void on_command_node(struct core *c, const struct command *m, struct reply *r);
void on_command_key(struct core *c, const struct command *m, struct reply *r);
/* command_draft.c */
MUST_USE err draft_put_memory(struct core *c, struct draft_row *taken);
void draft_drop_memory(struct core *c, int64_t id);
void on_command_draft(struct core *c, const struct command *m, struct reply *r);

/* command_webhook.c */
MUST_USE err webhook_put_memory(struct core *c, struct webhook_row *taken);
void webhook_drop_memory(struct core *c, int64_t id);
void on_command_webhook(struct core *c, const struct command *m, struct reply *r);
void on_command_apikey(struct core *c, struct command *m, struct reply *r);
/* A fresh key: its prefix, the hash of its secret, and the text that is shown once. NULL: out of memory. */
const char *key_fresh(struct arena *a, const char *kind, char prefix[KEY_PREFIX_LEN + 1], uint8_t hash[KEY_HASH_LEN]);
/* "hskey-auth-PREFIX-…", a masked form of it, or the prefix alone -> the 12 digits. */
bool key_prefix_of(const char *text, const char *kind, char prefix[KEY_PREFIX_LEN + 1]);
bool apikey_is_token(struct core *c, int64_t id);
/* May the token that asks give these tags? Says why not. Others than tokens may. */
bool apikey_may_tags(struct core *c, struct tailnet *t, const struct command *m, struct reply *r);
/* Would the key that asks itself have all of this? Commands without a key may give anything. */
bool apikey_within(struct core *c, const struct command *m, scope_set wanted);
/* May who asks (key or session) act on u, give u devices and keys, or end what lets u in? Nobody whose role may do more, but oneself. Says why not. */
bool apikey_may_act_on(struct core *c, const struct command *m, const struct user *u, struct reply *r);
void apikeys_sweep(struct core *c); /* tokens that expired */
void on_command_auth(struct core *c, const struct command *m, struct reply *r);
void on_command_settings(struct core *c, const struct command *m, struct reply *r);
/* settings.c: what was set in t over out, memory in a; and who hears of a change. */
MUST_USE err settings_apply(struct core *c, struct tailnet *t, struct arena *a, struct core_settings *out);
MUST_USE err settings_effects(struct core *c, struct tailnet *t, unsigned effects);
/* Another user owns it. ERR_EXISTS: who has this machine already. */
MUST_USE err node_move(struct core *c, struct node *n, struct user *u, struct reply *r);
void on_command_console(struct core *c, struct tailnet *t, const struct command *m, struct reply *r); /* command_console.c */
void on_command_account(struct core *c, const struct command *m, struct reply *r);
struct user *signin_user(struct core *c, int64_t signin_id); /* whose session that is; NULL: it ended, or may no more */
bool user_may_sign_in(struct user *u, struct reply *r); /* false: reply says why */
bool user_waits(const struct user *u); /* for approval: it may sign in and do nothing else, and its devices take no part */
scope_set user_scopes(const struct user *u); /* by its role; none while it waits */
/* Who asks with the token m->key_text; NULL: reply says why. */
struct signin *signin_asking(struct core *c, struct tailnet *t, const struct command *m, struct reply *r, struct user **u);
MUST_USE err reply_give_user(struct reply *r, const struct user *u);
/* false: reply says why. By a password or passkey: not those whose providers do not vouch for them any more. */
bool user_may_sign_in_locally(struct core *c, struct user *u, struct reply *r);
/* wish.c */
struct wish *wish_by_id(struct core *c, int64_t id);
MUST_USE err wish_put_memory(struct core *c, struct wish_row *taken);
void wish_drop_memory(struct core *c, int64_t id);
MUST_USE err wishes_forget(struct core *c, const struct user *u); /* all that a user asked for */
void on_command_wish(struct core *c, const struct command *m, struct reply *r);
/* passkey.c */
struct passkey *passkey_by_id(struct core *c, int64_t id);
MUST_USE err passkey_put_memory(struct core *c, struct passkey_row *taken);
void passkey_drop_memory(struct core *c, int64_t id);
MUST_USE err passkey_delete(struct core *c, struct passkey *p);
void on_command_passkey(struct core *c, const struct command *m, struct reply *r);
void on_command_login(struct core *c, const struct command *m, struct reply *r);
/* A signed-in browser (or a link) of u: r->secret is its token. m: login (may be NULL), agent, expires_ms, at_ms. */
MUST_USE err signin_make(struct core *c, struct user *u, enum signin_kind kind, int64_t identity_id, const struct command *m,
		struct reply *r);
MUST_USE err policy_answer(const struct policy_row *row, struct reply *r); /* as policies[0] */
void on_command_policy(struct core *c, const struct command *m, struct reply *r);
/* service.c: VIP services */
void on_command_service(struct core *c, const struct command *m, struct reply *r);
/* Its Hostinfo may say that it advertises other services than before: asks it which. */
MUST_USE err service_hostinfo(struct core *c, struct node *n);
/* Host routes of the services that it may answer at; room for 2 * SERVICES_MAX. */
size_t services_hosted(struct core *c, const struct node *n, struct prefix *out);
bool service_has_label(const struct tailnet *t, const char *label); /* "web" of svc:web */
bool service_has_addr(const struct tailnet *t, struct addr a);
void service_forget_advertised(struct node *n);
MUST_USE err services_rebuild(struct core *c);
MUST_USE err services_policy_changed(struct core *c, struct tailnet *t); /* whom it approves */
void services_keep_up(struct core *c); /* after an event: begins to read policies again that are behind */
void services_reread_done(struct core *c, struct tailnet *t, struct job *j); /* it came home */
struct job *job_reread(struct core *c, struct tailnet *t); /* given to a worker; NULL: out of memory, or too many wait */
void services_free(struct tailnet *t);

/* lock.c: tailnet lock */
void on_lock_request(struct core *c, struct event *e, struct node *n); /* /machine/tka/… */
void on_command_lock(struct core *c, struct tailnet *t, struct reply *r);
/* A registration brought this signature of the node's key; n 0: none. */
MUST_USE err lock_take_signature(struct core *c, struct node *n, struct bytes sig);
/* The signature of the old key, when this registration must come back with a new one made from it; n 0: it need not. */
struct bytes lock_asks_rotation(struct core *c, const struct event *e);
void lock_setting_changed(struct core *c, struct tailnet *t); /* put back by an undo */
MUST_USE err locks_rebuild(struct core *c);
bool lock_call_gone(struct core *c, struct call *call); /* false: it waits elsewhere */
void locks_close(struct core *c);
void lock_free(struct core *c, struct tailnet *t);

/* ssh_check.c: sessions that wait for a person, and who was confirmed when. */
struct map ssh_checks_map(void);
void on_ssh_action(struct core *c, struct event *e);
bool ssh_check_call_gone(struct core *c, struct call *call); /* false: it waits elsewhere */
MUST_USE err ssh_forget_node(struct core *c, struct node *n); /* it is deleted */
void ssh_checks_close(struct core *c);	 /* answers all who wait */
void ssh_checks_free(struct core *c);
bool on_command_ssh(struct core *c, const struct command *m, struct reply *r); /* false: auth_id is no check */
MUST_USE err ssh_checks_list(struct core *c, struct tailnet *t, struct reply *r);
/* Commands that a worker carries out. True: e's command and call and r are taken, the answer comes later. */
bool job_begin(struct core *c, struct event *e, struct tailnet *t, struct reply *r);
void on_job_done(struct core *c, struct job *j);
void jobs_close(struct core *c); /* answers who waits: the server is stopping */
void jobs_drop(struct core *c);	 /* frees them all; no worker may be left */
/* What was in force is freed by a worker: it may be much. Both are taken. */
void job_dispose(struct core *c, struct policy_view *view, struct map_cache *cache);
/* Sets e and message. */
void reply_fail(struct reply *r, err e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
MUST_USE err reply_add_node(struct core *c, struct reply *r, struct node *n); /* room by reply_room_nodes */
MUST_USE err reply_room_nodes(struct reply *r, size_t n);

/* Rows copied into a reply's arena. */
MUST_USE err user_to_arena(struct arena *a, const struct user *from, struct user_row *out); /* waits_ms 0, too, where nobody has to wait */
MUST_USE err apikey_to_arena(struct arena *a, const struct apikey_row *from, struct apikey_row *out);
MUST_USE err authkey_to_arena(struct arena *a, const struct authkey_row *from, struct authkey_row *out);
MUST_USE err pending_to_arena(struct arena *a, const struct pending_row *from, struct pending_row *out);
MUST_USE err policy_to_arena(struct arena *a, const struct policy_row *from, struct policy_row *out);

static inline const char *or_empty(const char *s)
{
	return s ? s : "";
}
