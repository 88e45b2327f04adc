/* sql: one connection to SQLite with its prepared statements; what the *_sql.c files are written in.
 *
 * Used by one thread at a time. A statement is prepared at its first use and kept, found by the address of its text.
 *
 *	static const char sql[] = "UPDATE user SET name = :name WHERE id = :id";
 *	struct query q = query_begin(s, sql);
 *	query_text(&q, ":name", name);
 *	query_int(&q, ":id", id);
 *	return query_run(&q);
 *
 * A query goes bad once and stays bad, as a reader does; the end reports it. */
#pragma once

#include <sqlite3.h>

#include "common/base/cleanup.h"
#include "server/store/rows.h"

enum { SQL_STATEMENTS_MAX = 64, SQL_WHY_MAX = 200 };

struct sql {
	sqlite3 *db;
	struct {
		const char *text;
		sqlite3_stmt *stmt;
	} kept[SQL_STATEMENTS_MAX];
	size_t n_kept;
	int rc;		       /* SQLite's extended code of the last failure */
	char why[SQL_WHY_MAX]; /* and its text */
};

/* path must be absolute: SQLite gives ":memory:" and "" a meaning of their own. Sets every pragma that we rely on. */
MUST_USE err sql_open(struct sql *s, const char *path);
void sql_close(struct sql *s); /* also a half-open or zeroed one */

/* Text without parameters, not kept. */
MUST_USE err sql_exec(struct sql *s, const char *text);
/* Notes rc and SQLite's message, and gives the err for it. */
err sql_fail(struct sql *s, int rc);

struct query {
	struct sql *s;
	sqlite3_stmt *stmt;
	int rc;
	int column; /* next to be read */
};

struct query query_begin(struct sql *s, const char *text);
void query_int(struct query *q, const char *name, int64_t v);
void query_int_or_null(struct query *q, const char *name, int64_t v); /* 0 is NULL */
void query_text(struct query *q, const char *name, const char *v);    /* NULL is ''; borrowed until the end */
void query_blob(struct query *q, const char *name, struct bytes v);   /* never NULL; borrowed until the end */
void query_blob_or_null(struct query *q, const char *name, struct bytes v); /* all zero is NULL */
/* Lists, as 0001_init.sql describes them; copied. */
void query_addr(struct query *q, const char *name, struct addr a); /* family 0 is NULL */
void query_tags(struct query *q, const char *name, char *const *tags, size_t n);
void query_endpoints(struct query *q, const char *name, const struct addrport *e, size_t n);
void query_routes(struct query *q, const char *name, const struct prefix *p, size_t n);

/* Runs a statement that gives no rows. */
MUST_USE err query_run(struct query *q);
/* The next row; false at the end or on a failure. Then query_end tells which. */
bool query_next(struct query *q);
MUST_USE err query_end(struct query *q);

/* Columns of the current row, left to right. What does not fit (a foreign hand in the file) makes the query bad. */
int64_t column_int(struct query *q); /* NULL is 0 */
bool column_bool(struct query *q);
char *column_text(struct query *q); /* owned */
void column_text_into(struct query *q, char *out, size_t cap);
void column_blob_into(struct query *q, void *out, size_t n); /* exactly n bytes; NULL is zeros */
void column_blob(struct query *q, uint8_t **out, size_t *n); /* owned */
struct addr column_addr(struct query *q);
void column_tags(struct query *q, char ***tags, size_t *n);
void column_attrs(struct query *q, struct custom_attr **attrs, size_t *n);
void column_endpoints(struct query *q, struct addrport **e, size_t *n);
void column_routes(struct query *q, struct prefix **p, size_t *n);

/* Room for one more in a growing array of rows, zeroed; NULL (and a bad query) when out of memory. */
void *rows_grow(struct query *q, void *array, size_t *n, size_t each);

/* The tables, one file each. x_sql_list appends all rows, ordered by id, to a zeroed array; what it made stays the
 * caller's, also after a failure. */
#define SQL_TABLE(kind)                                                                                                \
	MUST_USE err kind##_sql_put(struct sql *s, const struct kind##_row *r);                                        \
	MUST_USE err kind##_sql_list(struct sql *s, struct kind##_row **out, size_t *n);
SQL_TABLE(tailnet)
SQL_TABLE(user)
SQL_TABLE(node)
SQL_TABLE(authkey)
SQL_TABLE(apikey)
SQL_TABLE(pending)
SQL_TABLE(ssh_approval)
SQL_TABLE(lock_aum)
SQL_TABLE(service)
SQL_TABLE(policy)
SQL_TABLE(identity)
SQL_TABLE(signin)
SQL_TABLE(account)
SQL_TABLE(passkey)
SQL_TABLE(wish)
SQL_TABLE(setting)
SQL_TABLE(webhook)
SQL_TABLE(draft)
MUST_USE err draft_sql_delete(struct sql *s, int64_t id);
MUST_USE err webhook_sql_cursor(struct sql *s, const struct webhook_row *r);
MUST_USE err webhook_sql_delete(struct sql *s, int64_t id);
SQL_TABLE(server_key)
MUST_USE err audit_sql_put(struct sql *s, const struct audit_row *r);
struct audit_trim;
MUST_USE err audit_sql_trim(struct sql *s, const struct audit_trim *t);
MUST_USE err policy_sql_delete(struct sql *s, int64_t id);
MUST_USE err user_sql_delete(struct sql *s, int64_t id);
MUST_USE err node_sql_delete(struct sql *s, int64_t id);
MUST_USE err node_sql_seen(struct sql *s, const struct node_row *r); /* the lazy columns; no such node: nothing */
MUST_USE err authkey_sql_delete(struct sql *s, int64_t id);
MUST_USE err apikey_sql_delete(struct sql *s, int64_t id);
MUST_USE err identity_sql_delete(struct sql *s, int64_t id);
MUST_USE err account_sql_delete(struct sql *s, int64_t id);
MUST_USE err passkey_sql_delete(struct sql *s, int64_t id);
MUST_USE err wish_sql_delete(struct sql *s, int64_t id);
MUST_USE err signin_sql_delete(struct sql *s, int64_t id);
MUST_USE err pending_sql_delete(struct sql *s, const char *auth_id);
MUST_USE err ssh_approval_sql_delete(struct sql *s, const struct ssh_approval_row *r); /* by pair */
MUST_USE err service_sql_delete(struct sql *s, const struct service_row *r); /* by id */
MUST_USE err lock_aum_sql_delete(struct sql *s, const struct lock_aum_row *r); /* by hash */
MUST_USE err durable_sql_set(struct sql *s, uint64_t seq);
MUST_USE err durable_sql_get(struct sql *s, uint64_t *seq);
