#include "server/store/store.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/store/apply.h"
#include "server/store/load.h"
#include "server/store/migrate.h"
#include "server/store/place.h"

enum {
	GROUP_OPS_MAX = 8192,	      /* operations in one commit; what waits beyond that goes into the next */
	CHECKPOINT_IDLE_MS = 1000,    /* a quiet second: move the log into the database */
	CHECKPOINT_PAGES = 4000,      /* 16 MB of log: move it as soon as nothing waits */
	CHECKPOINT_PAGES_MAX = 40000, /* 160 MB: move it although commits wait */
	REOPEN_MS = 100,	      /* between attempts to reach the file again after an I/O error */
};

struct store {
	struct place place;
	struct sql sql;
	int wal_pages;	  /* in the log, after the last commit */
	uint64_t durable; /* highest sequence committed */
	uint32_t epoch;
	struct store_callbacks cb;
	pthread_t thread;
	bool running;

	pthread_mutex_t lock; /* the queue, stop, and the stats */
	pthread_cond_t more;
	struct store_batch *head, **tail;
	bool stop;
	struct store_stats stats;
	unsigned fail_next;
	int fail_code;
};

/* ---- opening ---- */

static int on_commit(void *ctx, sqlite3 *db, const char *name, int pages)
{
	struct store *s = ctx;

	(void)db, (void)name;
	s->wal_pages = pages;
	return SQLITE_OK;
}

static err open_connection(struct store *s)
{
	s->sql = (struct sql){ 0 };
	TRY(sql_open(&s->sql, s->place.path));
	sqlite3_wal_hook(s->sql.db, on_commit, s);
	return OK;
}

static err open_and_migrate(struct store *s, char *why, size_t why_cap)
{
	err e = open_connection(s);

	if (e == OK) {
		TRY(migrate(s->sql.db, why, why_cap));
		/* Sequences start again with each run of the core. */
		e = durable_sql_set(&s->sql, 0);
	}
	if (e != OK)
		snprintf(why, why_cap, "%s", (s->sql.rc & 0xff) == SQLITE_NOTADB ? "it is not an SQLite database" : s->sql.why);
	return e;
}

static void store_free(struct store *s)
{
	if (!s)
		return;
	while (s->head) {
		struct store_batch *b = s->head;
		s->head = b->next;
		store_batch_free(b);
	}
	sql_close(&s->sql);
	place_done(&s->place);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct store *store_new(void)
{
	struct store *s = calloc(1, sizeof *s);
	pthread_condattr_t attr;

	if (!s)
		return NULL;
	s->place.lock_fd = -1;
	s->epoch = 1;
	s->tail = &s->head;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->more, &attr);
	pthread_condattr_destroy(&attr);
	return s;
}

err store_open(const char *path, char *why, size_t why_cap, struct store **out)
{
	struct store *s = store_new();
	char reason[300] = "out of memory";

	if (why_cap)
		why[0] = 0;
	err e = s ? place_take(path, &s->place, reason, sizeof reason) : ERR_NOMEM;
	if (e == OK)
		e = open_and_migrate(s, reason, sizeof reason);
	if (e != OK) {
		snprintf(why, why_cap, "cannot use the database %s: %s", path, reason);
		store_free(s);
		return e;
	}
	*out = s;
	return OK;
}

err store_load(struct store *s, struct store_image *out)
{
	assert(!s->running);
	return load_image(&s->sql, out);
}

/* ---- one group ---- */

static bool is_injected(struct store *s)
{
	bool inject;

	pthread_mutex_lock(&s->lock);
	inject = s->fail_next > 0;
	if (inject) {
		s->fail_next--;
		s->sql.rc = s->fail_code;
		snprintf(s->sql.why, sizeof s->sql.why, "%s (injected)", sqlite3_errstr(s->fail_code));
	}
	pthread_mutex_unlock(&s->lock);
	return inject;
}

/* One transaction for the whole group. *seq: the highest in it, 0 when all of it is lazy. */
static err commit_group(struct store *s, const struct store_batch *group, uint64_t *seq, size_t *ops)
{
	TRY(sql_exec(&s->sql, "BEGIN IMMEDIATE; PRAGMA defer_foreign_keys = ON")); /* within a group order is free */
	for (const struct store_batch *b = group; b; b = b->next) {
		for (size_t i = 0; i < b->n; i++)
			TRY(apply_op(&s->sql, &b->op[i]));
		*ops += b->n;
		if (b->seq)
			*seq = b->seq;
	}
	if (*seq)
		TRY(durable_sql_set(&s->sql, *seq));
	if (is_injected(s))
		return ERR_SYS;
	return sql_exec(&s->sql, "COMMIT");
}

static bool is_stopping(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	bool stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

static bool is_file_doubtful(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
	case SQLITE_CONSTRAINT:
	case SQLITE_NOMEM:
	case SQLITE_TOOBIG:
	case SQLITE_BUSY:
		return false;
	default:
		return true;
	}
}

/* Reopens the file and reads how far it came. A log whose fsync failed may be readable from memory only, and Linux does
 * not try those pages again: so what is read is first copied into the database, with an fsync of its own. */
static err reopen(struct store *s, uint64_t *durable)
{
	sql_close(&s->sql);
	TRY(open_connection(s));
	TRY(sql_exec(&s->sql, "PRAGMA wal_checkpoint(TRUNCATE)"));
	return durable_sql_get(&s->sql, durable);
}

static void sleep_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Finds out what is really on disk; until that is known, nobody may be answered. */
static uint64_t find_durable(struct store *s)
{
	uint64_t durable = s->durable;
	struct log_limit limit = LOG_LIMIT(1, 10000);

	if (!sqlite3_get_autocommit(s->sql.db))
		sqlite3_exec(s->sql.db, "ROLLBACK", NULL, NULL, NULL);
	if (!is_file_doubtful(s->sql.rc) && durable_sql_get(&s->sql, &durable) == OK)
		return durable;
	while (reopen(s, &durable) != OK) {
		if (log_allow(&limit))
			log_error("database cannot be reached", "why=%s", log_qs(s->sql.why).s);
		if (is_stopping(s))
			break;
		sleep_ms(REOPEN_MS);
	}
	return durable;
}

static void on_group_failed(struct store *s)
{
	char why[SQL_WHY_MAX];

	snprintf(why, sizeof why, "%s", s->sql.why);
	s->durable = find_durable(s);
	s->epoch++;
	log_error("database commit failed", "why=%s durable=%" PRIu64 " epoch=%" PRIu32, log_qs(why).s, s->durable, s->epoch);
	s->cb.on_failed(s->cb.ctx, s->durable, s->epoch, why);
}

static void note_commit(struct store *s, err e, size_t ops, int64_t took_us)
{
	pthread_mutex_lock(&s->lock);
	if (e == OK) {
		s->stats.commits++;
		s->stats.ops += ops;
	} else {
		s->stats.failures++;
	}
	s->stats.last_commit_us = took_us;
	s->stats.max_commit_us = MAX_OF(s->stats.max_commit_us, took_us);
	pthread_mutex_unlock(&s->lock);
}

static void run_group(struct store *s, const struct store_batch *group)
{
	int64_t start_us = clock_mono_us();
	uint64_t seq = 0;
	size_t ops = 0;
	err e = commit_group(s, group, &seq, &ops);

	note_commit(s, e, ops, clock_mono_us() - start_us);
	if (e != OK) {
		on_group_failed(s);
	} else if (seq) {
		s->durable = seq;
		s->cb.on_durable(s->cb.ctx, seq);
	}
}

/* ---- the thread ---- */

static void wait_for_more(struct store *s, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	pthread_cond_timedwait(&s->more, &s->lock, &until);
}

/* Takes what waits, at most GROUP_OPS_MAX operations. NULL: nothing came for a while although the log could be moved, or
 * *done: stopped, and all is written. */
static struct store_batch *take_group(struct store *s, bool *done, bool *more)
{
	struct store_batch *group;
	size_t ops = 0;

	pthread_mutex_lock(&s->lock);
	if (!s->head && !s->stop && s->wal_pages)
		wait_for_more(s, CHECKPOINT_IDLE_MS);
	else
		while (!s->head && !s->stop)
			pthread_cond_wait(&s->more, &s->lock);
	group = s->head;
	struct store_batch **end = &s->head;
	while (*end && (ops == 0 || ops + (*end)->n <= GROUP_OPS_MAX)) {
		ops += (*end)->n;
		end = &(*end)->next;
	}
	s->head = *end;
	if (!s->head)
		s->tail = &s->head;
	*end = NULL; /* cuts the group off; when all was taken this is its last next */
	s->stats.queued -= ops;
	*more = s->head != NULL;
	*done = !group && s->stop;
	pthread_mutex_unlock(&s->lock);
	return group;
}

/* Batches of an epoch that failed are not written. Frees them; returns the rest. */
static struct store_batch *drop_old_epochs(struct store_batch *group, uint32_t epoch)
{
	struct store_batch *kept = NULL, **end = &kept;

	while (group) {
		struct store_batch *b = group;
		group = b->next;
		b->next = NULL;
		if (b->epoch == epoch) {
			*end = b;
			end = &b->next;
		} else {
			store_batch_free(b);
		}
	}
	return kept;
}

/* Passive: takes no lock that a commit or a backup would have to wait for. */
static void move_log(struct store *s, bool idle, bool more)
{
	bool due = (idle && s->wal_pages) || (!more && s->wal_pages > CHECKPOINT_PAGES) ||
		   s->wal_pages > CHECKPOINT_PAGES_MAX;

	if (!due)
		return;
	int in_log = 0, moved = 0;
	int rc = sqlite3_wal_checkpoint_v2(s->sql.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY) {
		static struct log_limit limit = LOG_LIMIT(1, 60000);
		if (log_allow(&limit))
			log_warn("database log could not be moved", "why=%s", log_qs(sqlite3_errmsg(s->sql.db)).s);
	}
	/* The next commit says how long the log is then; a reader may have kept part of it, which that commit notices. */
	s->wal_pages = 0;
}

static void *store_main(void *arg)
{
	struct store *s = arg;
	bool done = false, more = false;

	while (!done) {
		struct store_batch *group = take_group(s, &done, &more);
		bool idle = !group;
		group = drop_old_epochs(group, s->epoch);
		if (group)
			run_group(s, group);
		while (group) {
			struct store_batch *b = group;
			group = b->next;
			store_batch_free(b);
		}
		if (!done)
			move_log(s, idle, more);
	}
	return NULL;
}

err store_put_server_key(struct store *s, const char *name, struct bytes value)
{
	char name_copy[64];
	struct server_key_row row = { .name = name_copy, .n = value.n };

	if (bytes_copy(name_copy, sizeof name_copy - 1, bytes_str(name)) != OK)
		return ERR_TOO_BIG;
	name_copy[strlen(name)] = 0;
	row.value = malloc(value.n ? value.n : 1);
	if (!row.value)
		return ERR_NOMEM;
	memcpy(row.value, value.p, value.n);
	err e = server_key_sql_put(&s->sql, &row); /* a transaction of its own: durable when it returns */
	sodium_memzero(row.value, row.n);
	free(row.value);
	return e;
}

err store_start(struct store *s, const struct store_callbacks *cb)
{
	assert(!s->running);
	s->cb = *cb;
	if (pthread_create(&s->thread, NULL, store_main, s) != 0)
		return ERR_SYS;
	pthread_setname_np(s->thread, "store");
	s->running = true;
	return OK;
}

void store_submit(struct store *s, struct store_batch *b)
{
	b->next = NULL;
	pthread_mutex_lock(&s->lock);
	*s->tail = b;
	s->tail = &b->next;
	s->stats.queued += b->n;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
}

void store_stop(struct store *s)
{
	if (!s)
		return;
	if (s->running) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->more);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
		sqlite3_wal_checkpoint_v2(s->sql.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	}
	store_free(s);
}

void store_stats(struct store *s, struct store_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	pthread_mutex_unlock(&s->lock);
}

void store_fail_next(struct store *s, unsigned n, int sqlite_code)
{
	pthread_mutex_lock(&s->lock);
	s->fail_next = n;
	s->fail_code = sqlite_code;
	pthread_mutex_unlock(&s->lock);
}

const char *store_path(const struct store *s)
{
	return s->place.path;
}
