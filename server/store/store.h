/* store: the only SQL. One thread that takes the core's operations in order and commits them in groups.
 *
 * Knows rows and sequence numbers, nothing of what they mean. SQLite with WAL, synchronous=FULL, foreign keys, STRICT
 * tables; migrations of db/migrations are embedded and run at open (migrate.h). Refuses a newer schema and network
 * file systems with one clear sentence. All server keys are rows: the one file is the whole server.
 *
 * Protocol with the core: each batch has a sequence number, one higher than the one before. After a commit the store
 * reports the highest durable one. When a commit fails, nothing after the last durable one is kept: the store reports
 * the failure once, and drops every batch of that epoch, until batches of the next epoch arrive (store_op_batch.epoch).
 * After an I/O error it reopens the file and reads back how far it had really come before it reports. */
#pragma once

#include "server/store/rows.h"

struct store;

enum store_op_kind {
	STORE_PUT_TAILNET, /* put: insert or replace by primary key */
	STORE_PUT_USER,
	STORE_DEL_USER,
	STORE_PUT_NODE,
	STORE_DEL_NODE,
	STORE_NODE_SEEN, /* lazy columns only: last_seen, was_online, presence, disco, endpoints, home_derp, hostinfo, capver */
	STORE_PUT_AUTHKEY,
	STORE_DEL_AUTHKEY,
	STORE_PUT_APIKEY,
	STORE_DEL_APIKEY,
	STORE_PUT_PENDING,
	STORE_DEL_PENDING, /* by auth_id */
	STORE_PUT_SSH_APPROVAL,
	STORE_DEL_SSH_APPROVAL,
	STORE_PUT_IDENTITY,
	STORE_DEL_IDENTITY,
	STORE_PUT_ACCOUNT,
	STORE_DEL_ACCOUNT,
	STORE_PUT_PASSKEY,
	STORE_DEL_PASSKEY,
	STORE_PUT_WISH,
	STORE_DEL_WISH,
	STORE_PUT_SIGNIN,
	STORE_DEL_SIGNIN,
	STORE_PUT_LOCK_AUM,
	STORE_DEL_LOCK_AUM,
	STORE_PUT_SERVICE,
	STORE_DEL_SERVICE,
	STORE_PUT_POLICY,
	STORE_DEL_POLICY,
	STORE_PUT_SETTING, /* value NULL deletes */
	STORE_PUT_SERVER_KEY,
	STORE_PUT_DRAFT,
	STORE_DEL_DRAFT,
	STORE_PUT_WEBHOOK,
	STORE_DEL_WEBHOOK,
	STORE_WEBHOOK_CURSOR, /* lazy: only that */
	STORE_PUT_AUDIT,
	STORE_TRIM_AUDIT,
};

/* What of the audit log may go: a piece of it, so it is asked again and again. 0: no bound of that kind. */
struct audit_trim {
	int64_t before_ms;
	int64_t max; /* records */
};

/* One operation; the row is owned by it. For DEL only the primary key is read. */
struct store_op {
	enum store_op_kind kind;
	union {
		struct tailnet_row tailnet;
		struct user_row user;
		struct node_row node;
		struct authkey_row authkey;
		struct apikey_row apikey;
		struct pending_row pending;
		struct ssh_approval_row ssh_approval;
		struct identity_row identity;
		struct signin_row signin;
		struct lock_aum_row lock_aum;
		struct account_row account;
		struct passkey_row passkey;
		struct wish_row wish;
		struct service_row service;
		struct policy_row policy;
		struct setting_row setting;
		struct server_key_row server_key;
		struct audit_row audit;
		struct webhook_row webhook;
		struct draft_row draft;
		struct audit_trim audit_trim;
	};
};
void store_op_done(struct store_op *op);

/* What one core event wrote: committed wholly or not at all. */
struct store_batch {
	struct store_batch *next;
	uint64_t seq;	/* of this run, from 1; 0 only for batches of lazy operations: nobody waits for them */
	uint32_t epoch; /* starts at 1 */
	size_t n;
	struct store_op op[];
};
void store_batch_free(struct store_batch *b);

/* Everything in the database, at start. Arrays of rows, owned; store_image_done frees. Ordered by id. */
struct store_image {
	struct tailnet_row *tailnets;
	struct user_row *users;
	struct node_row *nodes;
	struct authkey_row *authkeys;
	struct apikey_row *apikeys;
	struct pending_row *pendings;
	struct ssh_approval_row *ssh_approvals;
	struct lock_aum_row *lock_aums;
	struct service_row *services;
	struct policy_row *policies; /* every version that is kept */
	struct identity_row *identities;
	struct signin_row *signins;
	struct account_row *accounts;
	struct passkey_row *passkeys;
	struct wish_row *wishes;
	struct setting_row *settings;
	struct webhook_row *webhooks;
	struct draft_row *drafts;
	struct server_key_row *server_keys;
	size_t n_tailnets, n_users, n_nodes, n_authkeys, n_apikeys, n_pendings, n_ssh_approvals, n_lock_aums, n_identities, n_signins, n_accounts, n_passkeys, n_wishes, n_services, n_policies, n_settings, n_webhooks, n_drafts, n_server_keys;
};
void store_image_done(struct store_image *i);

struct store_callbacks { /* called on the store's thread; must only hand over */
	void *ctx;
	void (*on_durable)(void *ctx, uint64_t seq);
	/* Everything after durable_seq is gone. New batches must carry new_epoch. why: one line, borrowed. */
	void (*on_failed)(void *ctx, uint64_t durable_seq, uint32_t new_epoch, const char *why);
};

/* Opens or creates the file (mode 0600) and migrates it. why: one sentence for the admin on any error. */
MUST_USE err store_open(const char *path, char *why, size_t why_cap, struct store **out);
/* Before store_start, on the caller's thread. */
MUST_USE err store_load(struct store *s, struct store_image *out);
/* A key of the server itself, written durably at once. Before store_start. */
MUST_USE err store_put_server_key(struct store *s, const char *name, struct bytes value);
MUST_USE err store_start(struct store *s, const struct store_callbacks *cb);
/* Any one thread (the core's). b is taken. Never blocks. */
void store_submit(struct store *s, struct store_batch *b);
/* Commits what was submitted, stops the thread, checkpoints, closes. NULL is fine. */
void store_stop(struct store *s);

/* A consistent copy of the live database into a new file, in bounded steps beside running commits; any thread, blocks.
 * ERR_EXISTS: the file is there already. */
MUST_USE err store_backup(struct store *s, const char *to, char *why, size_t why_cap);
/* Is the file such a copy, and whole? It is only read. ERR_INVALID: it is not; why says what is wrong. Any thread, blocks. */
MUST_USE err store_verify_backup(const char *path, char *why, size_t why_cap);

struct store_stats {
	uint64_t commits, ops, failures;
	int64_t last_commit_us, max_commit_us;
	uint64_t queued; /* operations waiting */
};
void store_stats(struct store *s, struct store_stats *out); /* any thread */

const char *store_path(const struct store *s); /* absolute; borrowed until store_stop */

/* Tests: the next n commits fail with this SQLite code (SQLITE_FULL, SQLITE_IOERR). */
void store_fail_next(struct store *s, unsigned n, int sqlite_code);
