/* world: one whole tailnet inside a test: the core, a database that is a model, clocks that are numbers, admins, and
 * simulated clients. One seed is one history.
 *
 * The machinery is played as server/core/runner.h has it: effects wait for their sequence number; store batches go out at
 * once; a commit takes any number of batches, or fails and takes back all that was not durable; rounds are flushed when the
 * wires have room, which here is when chance says so.
 *
 *   world.c    the core and what surrounds it
 *   client.c   what simulated devices do, and the maps that they build
 *   admin.c    what administrators do
 *   lock.c     what devices do with tailnet lock
 *   people.c   who signs in, and what they do with devices
 *   ssh.c      SSH sessions that wait for a person
 *   check.c    what must always hold; any breach ends the process with the seed and the step
 *   sim_*.c    mixes of these */
#pragma once

#include <jansson.h>

#include "server/core/core.h"
#include "server/core/state.h"
#include "tests/lib/core_release.h"
#include "tests/lib/test.h"

struct client;
struct world;

/* What the world knows of a node that was ever in the database. */
struct life {
	int64_t id;
	struct machine_pub machine;
	struct addr v4, v6;
	bool durable;	/* is in the database */
	bool may_move;	/* an admin gave it another address */
	bool may_go;	/* it was deleted on purpose, or is ephemeral */
	bool gone;	/* and it was taken out of the database: for good */
	int64_t born_ms, quiet_ms; /* mono: first seen in the core; since then without a stream */
	bool ephemeral;
	int64_t ephemeral_ms; /* mono: since then it is ephemeral */
};

struct parsed { /* what a message says: parsed once, when the core made it */
	struct map_msg *msg; /* a reference */
	json_t *json;
};

struct sim_ssh { /* an SSH session that was told to wait */
	char id[AUTH_ID_LEN + 1], user[8];
	int64_t src, dst;
	size_t asked; /* index of the client that asked */
};

enum { EVENT_KINDS = EV_FLUSH + 1, LIVES_MAX = 20000 };

struct world {
	uint64_t seed;
	size_t step;
	bool verbose;
	struct test_rng rng;

	struct core *core;
	struct core_settings set;
	struct now now;
	int64_t jumped_ms; /* mono: when the core could first notice the newest jump of the wall clock */
	bool jump_unseen;  /* no event came since it */
	struct release release;
	struct effects fx;

	struct store_image db;
	struct store_batch *first, **last; /* submitted, not yet durable */
	size_t n_batches;
	uint64_t durable;
	uint32_t epoch;	  /* of the batches that the store takes */
	bool failed;	  /* a commit failed; the core does not know yet */
	struct job *jobs[JOBS_MAX + JOBS_OWN]; /* given to the worker, oldest first */
	size_t n_jobs;
	bool hold_store;  /* nothing becomes durable for a while */
	bool hold_rounds; /* the wires have no room */

	struct client **clients;
	size_t n_clients;
	struct life *lives; /* owned, LIVES_MAX, sorted by id */
	size_t n_lives;
	struct node_pub *admitted; /* to the relay; owned */
	size_t n_admitted;
	struct list calls; /* struct sim_call: asked, not answered */
	struct parsed *parsed; /* owned */
	size_t n_parsed, cap_parsed;

	/* What the admins know. */
	char (*keys)[128]; /* texts of auth keys that were shown; owned */
	size_t n_keys;
	int64_t users[64], nodes[64]; /* some ids that were seen, to play with */
	size_t n_users, n_nodes;
	char auth_ids[32][AUTH_ID_LEN + 1];
	size_t n_auth_ids;
	struct sim_ssh ssh[16];
	char tokens[16][64], link[64]; /* of signed-in browsers; to sign in by */
	size_t n_ssh, n_tokens;

	/* Figures. */
	size_t events, rounds, messages, failures, restarts, checks, compared, logins, connected, waited, approved, ssh_held, ssh_in;
	int64_t max_ns[EVENT_KINDS];
};

/* A call to the core that is not answered yet. */
struct sim_call {
	struct call call;
	struct list all;
	struct world *w;
	struct client *client; /* NULL: an admin's */
	void (*done)(struct sim_call *c, struct reply *r); /* r is borrowed */
	int kind;
	int64_t id, other;
	char user[8];
	struct node_pub key;
	bool stolen;
};

void world_init(struct world *w, uint64_t seed, bool verbose);
void world_done(struct world *w);
/* Ends the process: prints the sentence, the seed and the step. */
void world_fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
void world_say(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* when verbose */
uint64_t chance(struct world *w, uint64_t below);
bool one_in(struct world *w, uint64_t n);

struct sim_call *world_call(struct world *w, struct client *c, void (*done)(struct sim_call *, struct reply *));
void world_apply(struct world *w, struct event *e); /* taken */
void world_flush(struct world *w);		    /* a round, when one is wanted */
void world_commit(struct world *w, size_t batches);
void world_store_fails(struct world *w, size_t keep); /* after this many batches; the core hears of it in world_store_news */
bool world_work(struct world *w);		      /* the worker finishes its oldest job */
void world_store_news(struct world *w);
void world_settle(struct world *w); /* everything durable, every round sent, all timers that are due fired */
void world_step(struct world *w, int64_t ms);
void world_jump(struct world *w, int64_t ms); /* the wall clock alone */
void world_restart(struct world *w, bool orderly);
json_t *world_json(struct world *w, struct map_msg *m); /* borrowed */
struct life *world_life(struct world *w, int64_t id);	/* NULL: never seen */
struct life *world_life_or_new(struct world *w, int64_t id);

void admin_act(struct world *w);
void lock_act(struct world *w); /* lock.c */
void people_act(struct world *w);
void check_people(struct world *w);
void ssh_act(struct world *w);
void admin_start(struct world *w); /* some users and keys */

/* Looks into the effects of an event: nobody hears of a node that it may not see. */
void check_before(struct world *w); /* an event */
void check_effects(struct world *w, enum event_kind kind);
void check_store_op(struct world *w, const struct store_op *op);
void check_settled(struct world *w); /* everything; only after world_settle */
