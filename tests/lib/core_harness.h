/* core_harness: a core driven by hand, with everything around it played by the test: the store is a list of batches that
 * becomes durable when told to (at once by default), streams are fake sinks that keep what they were sent, time stands
 * still until it is stepped, and random bytes are seeded.
 *
 *	struct harness h;
 *	harness_start(&h, NULL);
 *	int64_t ann = harness_user(&h, "ann");
 *	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
 *	struct device d;
 *	device_init(&d, &h, "laptop");
 *	json_t *resp = device_register(&d, key);	borrowed until the device's next call
 *	device_stream(&d);
 *	device_lite(&d);				says disco key, endpoint, home relay
 *	json_t *m = device_next(&d);			the next map message, or NULL
 *	harness_stop(&h);
 *
 * All calls end with harness_settle: commits what waits, flushes a round, until nothing is left to do. */
#pragma once

#include <jansson.h>

#include "server/core/core.h"
#include "server/core/job.h"
#include "tests/lib/core_release.h"

struct harness {
	struct core *core;
	struct core_settings set;
	struct now now;
	struct release release;
	struct effects fx;
	struct store_batch *first, **last; /* submitted, not yet durable */
	uint64_t durable;
	uint32_t epoch;
	bool hold;	  /* commits wait for harness_commit or harness_fail */
	bool hold_rounds; /* rounds wait for harness_settle with this off */
	bool hold_jobs;	  /* jobs wait for harness_settle with this off */
	struct job *jobs[JOBS_MAX + JOBS_OWN];
	size_t n_jobs;
	size_t lazy_batches, rounds;
	struct store_image db; /* what the database would have: see harness_restart */
	size_t revoked, admitted;
	struct node_pub last_revoked;
	struct audit_row *audits; /* owned; durable, oldest first */
	size_t n_audits;
	struct reply *reply; /* of the last command; one that comes late replaces it */
	unsigned devices;
};

/* cfg NULL: defaults that suit tests (see harness_settings). */
void harness_start(struct harness *h, const struct core_settings *cfg);
void harness_stop(struct harness *h);
struct core_settings harness_settings(void);
/* The server dies without a word and starts again from what is durable. Devices' streams are gone. */
void harness_restart(struct harness *h);

void harness_apply(struct harness *h, struct event *e); /* taken; then settles */
void harness_settle(struct harness *h);
void harness_step(struct harness *h, int64_t ms); /* both clocks, firing timers on their time */
void harness_commit(struct harness *h);		  /* with hold: all that waits becomes durable */
void harness_fail(struct harness *h);		  /* with hold: all that waits fails */
void harness_fail_after(struct harness *h, uint64_t seq); /* … beyond this */

/* Runs a command; the reply is borrowed until the next one. c is taken. NULL: no answer yet (hold). */
struct reply *harness_command(struct harness *h, struct command *c);
int64_t harness_user(struct harness *h, const char *name);
enum { AK_REUSABLE = 1, AK_EPHEMERAL = 2 };
const char *harness_authkey(struct harness *h, const char *user, unsigned flags); /* lives until harness_stop */
const char *harness_authkey_tags(struct harness *h, const char *user, unsigned flags, const char *tag);
struct reply *harness_node_command(struct harness *h, enum command_kind kind, int64_t id);
/* Text of all rows, sorted, for comparing two cores. Owned. */
char *harness_dump(struct harness *h);
/* The same core built afresh from what the database has. Owned. */
char *harness_dump_db(struct harness *h);

/* ---- devices ---- */

struct fake_sink {
	struct map_sink sink;
	json_t **msg; /* owned, in order */
	size_t n, at, cap;
	bool ended, hung_up;
	int refused; /* HTTP status */
};

struct device {
	struct harness *h;
	char hostname[64];
	struct machine_pub machine;
	struct node_pub key, old_key;
	struct disco_pub disco;
	struct addr from;
	int version;
	int home; /* 0: says none */
	struct addrport endpoint;
	const char *request_tag; /* NULL: none */
	const char *route;	 /* NULL: none; a prefix */
	const char *services_hash; /* NULL: none */
	bool ephemeral;
	bool stream_says_disco; /* as tailscaled; others send zeros */
	struct fake_sink *stream;
	json_t *resp;	   /* of the last register: owned */
	int status;	   /* HTTP status of the last call; 0: no answer yet */
	bool waiting;	   /* a follow-up hangs */
	struct call call;
};

void device_init(struct device *d, struct harness *h, const char *hostname);
void device_done(struct device *d);
void device_new_key(struct device *d); /* old_key = key, fresh key */
/* RegisterResponse, borrowed; NULL: no answer yet, or one without JSON (see status). */
json_t *device_register(struct device *d, const char *auth_key);
json_t *device_followup(struct device *d, const char *url);
json_t *device_logout(struct device *d);
json_t *device_register_expiry(struct device *d, int64_t expiry_ms);
void device_lite(struct device *d);
void device_stream(struct device *d); /* opens (or replaces) its long poll */
void device_hang_up(struct device *d);
json_t *device_next(struct device *d); /* borrowed; NULL: nothing more */
void device_skip(struct device *d);    /* all that is there */
/* Registers with the key, streams, reports; drains the messages. Returns the node id. */
int64_t device_join(struct device *d, const char *auth_key);
int device_request(struct device *d, const char *path, const char *body); /* status */
int64_t device_node_id(struct device *d);				  /* 0: none */
