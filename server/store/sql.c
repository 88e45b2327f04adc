#include "server/store/sql.h"

#include <stdio.h>

#include "common/base/reader.h"
#include "common/base/writer.h"

enum {
	BUSY_TIMEOUT_MS = 5000, /* an admin's sqlite3 shell may hold the lock for a moment */
	ENDPOINT_LEN = 19,
	ROUTE_LEN = 18,
	TAGS_TEXT_MAX = 16384,
};

err sql_fail(struct sql *s, int rc)
{
	s->rc = s->db && sqlite3_errcode(s->db) == rc ? sqlite3_extended_errcode(s->db) : rc;
	snprintf(s->why, sizeof s->why, "%s", s->db && sqlite3_errcode(s->db) == rc ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_CONSTRAINT:
		return ERR_INVALID;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_MISMATCH:
		return ERR_MALFORMED;
	default:
		return ERR_SYS;
	}
}

err sql_exec(struct sql *s, const char *text)
{
	int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);

	return rc == SQLITE_OK ? OK : sql_fail(s, rc);
}

err sql_open(struct sql *s, const char *path)
{
	int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return sql_fail(s, rc);
	sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	/* The store checkpoints itself, away from commits. The size limit gives disk back after a burst. */
	return sql_exec(s, "PRAGMA journal_mode = WAL;"
			   "PRAGMA synchronous = FULL;"
			   "PRAGMA foreign_keys = ON;"
			   "PRAGMA trusted_schema = OFF;"
			   "PRAGMA wal_autocheckpoint = 0;"
			   "PRAGMA journal_size_limit = 67108864;");
}

void sql_close(struct sql *s)
{
	for (size_t i = 0; i < s->n_kept; i++)
		sqlite3_finalize(s->kept[i].stmt);
	s->n_kept = 0;
	sqlite3_close_v2(s->db);
	s->db = NULL;
}

/* ---- a query ---- */

static sqlite3_stmt *kept_statement(struct sql *s, const char *text, int *rc)
{
	for (size_t i = 0; i < s->n_kept; i++) {
		if (s->kept[i].text == text)
			return s->kept[i].stmt;
	}
	if (s->n_kept == SQL_STATEMENTS_MAX) {
		*rc = SQLITE_FULL;
		return NULL;
	}
	sqlite3_stmt *stmt = NULL;
	*rc = sqlite3_prepare_v3(s->db, text, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	if (*rc != SQLITE_OK)
		return NULL;
	s->kept[s->n_kept].text = text;
	s->kept[s->n_kept++].stmt = stmt;
	return stmt;
}

struct query query_begin(struct sql *s, const char *text)
{
	struct query q = { .s = s };

	q.stmt = kept_statement(s, text, &q.rc);
	if (!q.stmt)
		sql_fail(s, q.rc);
	return q;
}

static void go_bad(struct query *q, int rc)
{
	if (rc == SQLITE_OK || q->rc)
		return;
	q->rc = rc;
	sql_fail(q->s, rc);
}

static int place_of(struct query *q, const char *name)
{
	int at = q->rc ? 0 : sqlite3_bind_parameter_index(q->stmt, name);

	if (!at)
		go_bad(q, SQLITE_RANGE);
	return at;
}

void query_int(struct query *q, const char *name, int64_t v)
{
	int at = place_of(q, name);

	if (at)
		go_bad(q, sqlite3_bind_int64(q->stmt, at, v));
}

void query_int_or_null(struct query *q, const char *name, int64_t v)
{
	if (v)
		query_int(q, name, v); /* an unbound parameter is NULL */
}

void query_text(struct query *q, const char *name, const char *v)
{
	int at = place_of(q, name);

	if (at)
		go_bad(q, sqlite3_bind_text(q->stmt, at, v ? v : "", -1, SQLITE_STATIC));
}

static void bind_blob(struct query *q, const char *name, struct bytes v, sqlite3_destructor_type life)
{
	int at = place_of(q, name);

	if (at) /* a NULL pointer would bind NULL, not the empty blob */
		go_bad(q, sqlite3_bind_blob64(q->stmt, at, v.n ? (const void *)v.p : "", v.n, life));
}

void query_blob(struct query *q, const char *name, struct bytes v)
{
	bind_blob(q, name, v, SQLITE_STATIC);
}

void query_blob_or_null(struct query *q, const char *name, struct bytes v)
{
	if (v.n && !sodium_is_zero(v.p, v.n))
		query_blob(q, name, v);
}

void query_addr(struct query *q, const char *name, struct addr a)
{
	if (a.family)
		bind_blob(q, name, bytes_of(a.b, a.family == 4 ? 4 : 16), SQLITE_TRANSIENT);
}

void query_tags(struct query *q, const char *name, char *const *tags, size_t n)
{
	char text[TAGS_TEXT_MAX];
	struct writer w = wr_init(text, sizeof text);

	for (size_t i = 0; i < n; i++) {
		if (i)
			wr_u8(&w, '\n');
		wr_bytes(&w, bytes_str(tags[i]));
	}
	if (w.bad) {
		go_bad(q, SQLITE_TOOBIG);
		return;
	}
	int at = place_of(q, name);
	if (at)
		go_bad(q, sqlite3_bind_text(q->stmt, at, text, (int)w.n, SQLITE_TRANSIENT));
}

void query_endpoints(struct query *q, const char *name, const struct addrport *e, size_t n)
{
	uint8_t blob[NODE_ENDPOINTS_MAX * ENDPOINT_LEN];
	struct writer w = wr_init(blob, sizeof blob);

	for (size_t i = 0; i < n; i++) {
		wr_u8(&w, e[i].addr.family);
		wr_bytes(&w, bytes_of(e[i].addr.b, 16));
		wr_u16be(&w, e[i].port);
	}
	go_bad(q, w.bad ? SQLITE_TOOBIG : SQLITE_OK);
	bind_blob(q, name, wr_view(&w), SQLITE_TRANSIENT);
}

void query_routes(struct query *q, const char *name, const struct prefix *p, size_t n)
{
	uint8_t blob[NODE_ROUTES_MAX * ROUTE_LEN];
	struct writer w = wr_init(blob, sizeof blob);

	for (size_t i = 0; i < n; i++) {
		wr_u8(&w, p[i].addr.family);
		wr_bytes(&w, bytes_of(p[i].addr.b, 16));
		wr_u8(&w, p[i].bits);
	}
	go_bad(q, w.bad ? SQLITE_TOOBIG : SQLITE_OK);
	bind_blob(q, name, wr_view(&w), SQLITE_TRANSIENT);
}

bool query_next(struct query *q)
{
	if (q->rc)
		return false;
	int rc = sqlite3_step(q->stmt);
	q->column = 0;
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		go_bad(q, rc);
	return false;
}

err query_end(struct query *q)
{
	if (q->stmt) {
		sqlite3_reset(q->stmt);
		sqlite3_clear_bindings(q->stmt);
	}
	if (!q->rc)
		return OK;
	/* sql_fail has noted it; only the err is wanted again. */
	switch (q->rc & 0xff) {
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_CONSTRAINT:
		return ERR_INVALID;
	case SQLITE_MISMATCH:
	case SQLITE_CORRUPT:
		return ERR_MALFORMED;
	default:
		return ERR_SYS;
	}
}

err query_run(struct query *q)
{
	while (query_next(q))
		;
	return query_end(q);
}

/* ---- columns ---- */

int64_t column_int(struct query *q)
{
	return sqlite3_column_int64(q->stmt, q->column++);
}

bool column_bool(struct query *q)
{
	return column_int(q) != 0;
}

static struct bytes column_view(struct query *q)
{
	int c = q->column++;
	const void *p = sqlite3_column_blob(q->stmt, c);

	return bytes_of(p, (size_t)sqlite3_column_bytes(q->stmt, c));
}

char *column_text(struct query *q)
{
	char *s = bytes_dup(column_view(q));

	if (!s)
		go_bad(q, SQLITE_NOMEM);
	return s;
}

void column_text_into(struct query *q, char *out, size_t cap)
{
	struct bytes v = column_view(q);

	if (v.n >= cap || bytes_copy(out, cap, v) != OK) {
		go_bad(q, SQLITE_MISMATCH);
		v.n = 0;
	}
	out[v.n] = 0;
}

void column_blob_into(struct query *q, void *out, size_t n)
{
	struct bytes v = column_view(q);

	if (v.n == n)
		memcpy(out, v.p, n);
	else if (v.n == 0)
		memset(out, 0, n);
	else
		go_bad(q, SQLITE_MISMATCH);
}

void column_blob(struct query *q, uint8_t **out, size_t *n)
{
	struct bytes v = column_view(q);

	*out = malloc(v.n ? v.n : 1);
	if (!*out) {
		go_bad(q, SQLITE_NOMEM);
		return;
	}
	if (v.n)
		memcpy(*out, v.p, v.n);
	*n = v.n;
}

struct addr column_addr(struct query *q)
{
	struct bytes v = column_view(q);
	struct addr a = { 0 };

	if (v.n != 0 && v.n != 4 && v.n != 16) {
		go_bad(q, SQLITE_MISMATCH);
		return a;
	}
	if (v.n) {
		a.family = v.n == 4 ? 4 : 6;
		memcpy(a.b, v.p, v.n);
	}
	return a;
}

void column_tags(struct query *q, char ***tags, size_t *n)
{
	struct bytes rest = column_view(q);
	size_t lines = rest.n ? 1 : 0;

	for (size_t i = 0; i < rest.n; i++)
		lines += rest.p[i] == '\n';
	if (!lines)
		return;
	*tags = calloc(lines, sizeof **tags);
	if (!*tags) {
		go_bad(q, SQLITE_NOMEM);
		return;
	}
	for (*n = 0; *n < lines; (*n)++) {
		struct bytes tag = bytes_cut(rest, '\n', &rest);
		(*tags)[*n] = bytes_dup(tag);
		if (!(*tags)[*n]) {
			go_bad(q, SQLITE_NOMEM);
			return;
		}
	}
}

void column_attrs(struct query *q, struct custom_attr **attrs, size_t *n)
{
	err e = custom_attrs_parse(column_view(q), attrs, n);

	if (e != OK)
		go_bad(q, e == ERR_NOMEM ? SQLITE_NOMEM : SQLITE_MISMATCH);
}

static bool is_family(uint8_t family)
{
	return family == 4 || family == 6;
}

void column_endpoints(struct query *q, struct addrport **e, size_t *n)
{
	struct bytes v = column_view(q);
	struct reader r = rd_init(v);
	size_t count = v.n / ENDPOINT_LEN;

	if (!count)
		return;
	*e = calloc(count, sizeof **e);
	if (!*e) {
		go_bad(q, SQLITE_NOMEM);
		return;
	}
	for (*n = 0; *n < count; (*n)++) {
		struct addrport *a = &(*e)[*n];
		a->addr.family = rd_u8(&r);
		rd_copy(&r, a->addr.b, 16);
		a->port = rd_u16be(&r);
		if (!is_family(a->addr.family))
			go_bad(q, SQLITE_MISMATCH);
	}
}

void column_routes(struct query *q, struct prefix **p, size_t *n)
{
	struct bytes v = column_view(q);
	struct reader r = rd_init(v);
	size_t count = v.n / ROUTE_LEN;

	if (!count)
		return;
	*p = calloc(count, sizeof **p);
	if (!*p) {
		go_bad(q, SQLITE_NOMEM);
		return;
	}
	for (*n = 0; *n < count; (*n)++) {
		struct prefix *a = &(*p)[*n];
		a->addr.family = rd_u8(&r);
		rd_copy(&r, a->addr.b, 16);
		a->bits = rd_u8(&r);
		if (!is_family(a->addr.family) || a->bits > (a->addr.family == 4 ? 32 : 128))
			go_bad(q, SQLITE_MISMATCH);
	}
}

void *rows_grow(struct query *q, void *array, size_t *n, size_t each)
{
	void **a = array;

	if (q->rc)
		return NULL;
	/* Doubled whenever n is a power of two, so that no capacity must be kept. */
	if ((*n & (*n - 1)) == 0) {
		void *bigger = reallocarray(*a, *n ? *n * 2 : 1, each);
		if (!bigger) {
			go_bad(q, SQLITE_NOMEM);
			return NULL;
		}
		*a = bigger;
	}
	return memset((char *)*a + each * (*n)++, 0, each);
}
