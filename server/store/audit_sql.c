#include "server/store/audit.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "server/store/sql.h"

enum { TRIM_ROWS = 2000, PROGRESS_STEPS = 10000 };

err audit_sql_put(struct sql *s, const struct audit_row *r)
{
	static const char sql[] =
		"INSERT INTO audit (id, group_id, tailnet_id, at_ms, via, actor, address, action, kind, target_id, target, before, after)"
		" VALUES (:id, :group_id, :tailnet_id, :at_ms, :via, :actor, :address, :action, :kind, :target_id, :target, :before, :after)";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":group_id", r->group_id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int(&q, ":at_ms", r->at_ms);
	query_text(&q, ":via", r->via);
	query_text(&q, ":actor", r->actor);
	query_text(&q, ":address", r->address);
	query_text(&q, ":action", r->action);
	query_text(&q, ":kind", r->kind);
	query_text(&q, ":target_id", r->target_id);
	query_text(&q, ":target", r->target);
	query_text(&q, ":before", r->before);
	query_text(&q, ":after", r->after);
	return query_run(&q);
}

/* A bounded piece each time: a commit waits behind it. What nodes caused themselves goes first when there are too many, so
 * that a chatty node cannot push out what people did. */
err audit_sql_trim(struct sql *s, const struct audit_trim *t)
{
	static const char old[] = "DELETE FROM audit WHERE id IN"
				  " (SELECT id FROM audit WHERE at_ms < :before_ms ORDER BY at_ms LIMIT :rows)";
	static const char count[] = "SELECT count(*) FROM audit";
	static const char of_nodes[] = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE via = 'node' ORDER BY id LIMIT :rows)";
	static const char oldest[] = "DELETE FROM audit WHERE id IN (SELECT id FROM audit ORDER BY id LIMIT :rows)";
	int64_t n = 0;

	if (t->before_ms) {
		struct query q = query_begin(s, old);
		query_int(&q, ":before_ms", t->before_ms);
		query_int(&q, ":rows", TRIM_ROWS);
		TRY(query_run(&q));
	}
	if (!t->max)
		return OK;
	struct query q = query_begin(s, count);
	if (query_next(&q))
		n = column_int(&q);
	TRY(query_end(&q));
	if (n <= t->max)
		return OK;
	int64_t over = n - t->max < TRIM_ROWS ? n - t->max : TRIM_ROWS;
	q = query_begin(s, of_nodes);
	query_int(&q, ":rows", over);
	TRY(query_run(&q));
	over -= sqlite3_changes(s->db);
	if (over <= 0)
		return OK;
	q = query_begin(s, oldest);
	query_int(&q, ":rows", over);
	return query_run(&q);
}

/* ---- reading ---- */

void audit_page_done(struct audit_page *p)
{
	for (size_t i = 0; i < p->n; i++)
		audit_row_done(&p->rows[i]);
	free(p->rows);
	*p = (struct audit_page){ 0 };
}

static int is_late(void *until)
{
	return clock_mono_ms() > *(int64_t *)until;
}

#define COLUMNS "id, group_id, tailnet_id, at_ms, via, actor, address, action, kind, target_id, target, before, after"
#define WHERE                                                                                                          \
	" FROM audit WHERE tailnet_id = :tailnet_id AND id > :after_id AND (:before_id = 0 OR id < :before_id)"        \
	" AND at_ms >= :since_ms AND (:until_ms = 0 OR at_ms < :until_ms) AND (:kind = '' OR kind = :kind)"            \
	" AND (:action = '' OR action = :action) AND (:via = '' OR via = :via)"                                        \
	" AND (:actor = '' OR instr(lower(actor), lower(:actor)) > 0)"                                                 \
	" AND (:target = '' OR target_id = :target OR instr(lower(target), lower(:target)) > 0) "

static void bind_filter(struct query *q, const struct audit_query *ask)
{
	query_int(q, ":tailnet_id", ask->tailnet_id);
	query_int(q, ":after_id", ask->after_id);
	query_int(q, ":before_id", ask->before_id);
	query_int(q, ":since_ms", ask->since_ms);
	query_int(q, ":until_ms", ask->until_ms);
	query_text(q, ":kind", ask->kind);
	query_text(q, ":action", ask->action);
	query_text(q, ":via", ask->via);
	query_text(q, ":actor", ask->actor);
	query_text(q, ":target", ask->target);
}

static err read_page(struct sql *s, const struct audit_query *ask, struct audit_page *page)
{
	static const char up[] = "SELECT " COLUMNS WHERE "ORDER BY id LIMIT :limit";
	static const char down[] = "SELECT " COLUMNS WHERE "ORDER BY id DESC LIMIT :limit";
	size_t limit = ask->limit > AUDIT_PAGE_MAX ? AUDIT_PAGE_MAX : ask->limit;
	struct query q = query_begin(s, ask->newest_first ? down : up);

	bind_filter(&q, ask);
	query_int(&q, ":limit", (int64_t)limit + 1);
	while (query_next(&q)) {
		if (page->n == limit) {
			page->more = true;
			break;
		}
		struct audit_row *r = rows_grow(&q, &page->rows, &page->n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->group_id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->at_ms = column_int(&q);
		r->via = column_text(&q);
		r->actor = column_text(&q);
		r->address = column_text(&q);
		r->action = column_text(&q);
		r->kind = column_text(&q);
		r->target_id = column_text(&q);
		r->target = column_text(&q);
		r->before = column_text(&q);
		r->after = column_text(&q);
	}
	return query_end(&q);
}

static err count_parts(struct sql *s, const struct audit_query *ask, uint64_t *count, size_t n)
{
	static const char sql[] = "SELECT (at_ms - :since_ms) / :bucket_ms AS part, count(*)" WHERE "GROUP BY part";
	struct query q = query_begin(s, sql);

	bind_filter(&q, ask);
	query_int(&q, ":bucket_ms", audit_bucket_ms(ask, n));
	memset(count, 0, n * sizeof *count);
	while (query_next(&q)) {
		int64_t part = column_int(&q), records = column_int(&q);
		if (part >= 0 && (size_t)part < n)
			count[part] = (uint64_t)records;
	}
	return query_end(&q);
}

/* What reads the log: a connection of its own, and not for long. */
struct reading {
	const struct audit_query *ask;
	struct audit_page *page; /* or, NULL: */
	uint64_t *count;
	size_t n;
};

static err read_log(struct store *s, const struct reading *what, char *why, size_t why_cap)
{
	struct sql sql = { 0 };
	int64_t until = clock_mono_ms() + AUDIT_READ_MS;

	err e = sql_open(&sql, store_path(s));
	if (e == OK) {
		sqlite3_progress_handler(sql.db, PROGRESS_STEPS, is_late, &until);
		e = what->page ? read_page(&sql, what->ask, what->page) : count_parts(&sql, what->ask, what->count, what->n);
		if (e != OK && (sql.rc & 0xff) == SQLITE_INTERRUPT)
			e = ERR_TIMEOUT;
	}
	if (e != OK)
		snprintf(why, why_cap, "the audit log cannot be read: %s",
				e == ERR_TIMEOUT ? "too many records to look through; narrow the filter" : sql.why);
	sql_close(&sql);
	return e;
}

err store_audit_read(struct store *s, const struct audit_query *ask, struct audit_page *out, char *why, size_t why_cap)
{
	struct audit_page page = { 0 };
	err e = read_log(s, &(struct reading){ .ask = ask, .page = &page }, why, why_cap);

	if (e != OK)
		audit_page_done(&page);
	else
		*out = page;
	return e;
}

err store_audit_count(struct store *s, const struct audit_query *ask, uint64_t *count, size_t n, char *why, size_t why_cap)
{
	return read_log(s, &(struct reading){ .ask = ask, .count = count, .n = n }, why, why_cap);
}
