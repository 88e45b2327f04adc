/* job: work on a policy that is too long for the core's thread: reading a text, sorting all nodes into classes, running its
 * tests, answering questions. A command becomes a job (FX_JOB), a worker runs it over a snapshot of the nodes, and it comes
 * back as an event (EV_JOB_DONE), where the core answers, or puts the policy in force.
 *
 * Between the two the job is the worker's but for what the core keeps to itself (marked). job_run asks no clock and no core,
 * so a test runs it whenever it likes. */
#pragma once

#include "common/base/list.h"
#include "server/core/command.h"
#include "server/core/snapshot.h"

enum {
	JOBS_MAX = 64,	     /* that wait or run; more are answered ERR_BUSY */
	JOBS_OWN = 4,	     /* the core's own beside them: what is freed, a policy that is read again */
	DRAFT_JOBS_MAX = 16, /* of these about a text that somebody is writing */
};
enum { NOTE_MAX = 4096 }; /* bytes of the note of a version of the policy: policy.note of the database */

struct job {
	/* The core's. */
	struct list all; /* core.jobs */
	struct call *call;
	int64_t tailnet_id;
	bool runs;	    /* given away and not come back */
	struct event *home; /* owned: what it comes back as */

	/* The worker's while it runs. command NULL: only junk is wanted gone. */
	struct command *command;   /* owned */
	struct snapshot snap;	   /* read only; the core's to drop */
	struct policy *base;	   /* in force when it was asked; a reference */
	struct policy_services *services; /* a reference; NULL: none */
	struct policy_view *junk;  /* owned: a view that is in force no more */
	struct map_cache *junk_cache; /* owned: the map pieces made with it */
	int64_t base_version;
	struct policy_row base_row; /* the version in force, without its text; owned by command's arena */
	struct record *newcomer; /* CMD_POLICY_WHAT: owned; a device that waits, which the question is about. NULL: none */
	struct bytes from_text, to_text; /* CMD_POLICY_DIFF; owned by command's arena */
	/* … and what comes of it. */
	struct reply *reply;	   /* owned; made beforehand, so that an answer can always be given */
	struct policy *policy;	   /* CMD_POLICY_SET, ROLLBACK: a reference */
	struct policy_view *view;  /* owned: it, with all nodes of the snapshot */
	uint32_t *cls;		   /* owned, by slot */
	uint32_t *approves;	   /* owned: slots whose announced routes it approves, at least in part */
	size_t n_approves;
	bool weighed;		   /* CMD_POLICY_SET, ROLLBACK: what it gives and takes was reckoned */
	uint64_t gained, lost, machines;
};
/* NULL: out of memory. */
struct job *job_new(void);
void job_free(struct job *j); /* on the core's thread, or when there is no other */
void job_run(struct job *j);

/* ---- between job.c and job_ask.c ---- */

/* Faults as lines and as they are, located in text. */
void job_note_faults(struct reply *r, struct bytes text, struct policy_faults *faults);
/* A view of the policy with every node of the snapshot. cls NULL: nobody asks for classes. */
MUST_USE err job_view(struct policy *p, const struct snapshot *s, uint32_t *cls, struct policy_view **out);
/* Questions: leaves the answer's text. */
void job_ask(struct job *j);
/* Of a policy that is about to be set: what it gives and takes, and whether it locks out. ERR_STATE: it does. */
MUST_USE err job_weigh(struct job *j);
