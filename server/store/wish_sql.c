#include "server/store/sql.h"

err wish_sql_put(struct sql *s, const struct wish_row *r)
{
	static const char sql[] = "INSERT INTO wish (id, tailnet_id, user_id, what, why, created_ms)"
				  " VALUES (:id, :tailnet_id, :user_id, :what, :why, :created_ms)"
				  " ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, user_id = excluded.user_id,"
				  " what = excluded.what, why = excluded.why, created_ms = excluded.created_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int(&q, ":user_id", r->user_id);
	query_text(&q, ":what", r->what);
	query_text(&q, ":why", r->why);
	query_int(&q, ":created_ms", r->created_ms);
	return query_run(&q);
}

err wish_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM wish WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err wish_sql_list(struct sql *s, struct wish_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, user_id, what, why, created_ms FROM wish ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct wish_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->user_id = column_int(&q);
		r->what = column_text(&q);
		r->why = column_text(&q);
		r->created_ms = column_int(&q);
	}
	return query_end(&q);
}
