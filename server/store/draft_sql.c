#include "server/store/sql.h"

err draft_sql_put(struct sql *s, const struct draft_row *r)
{
	static const char sql[] = "INSERT INTO draft (id, tailnet_id, owner, text, base, updated_ms)"
				  " VALUES (:id, :tailnet_id, :owner, :text, :base, :updated_ms)"
				  " ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, owner = excluded.owner, text = excluded.text,"
				  " base = excluded.base, updated_ms = excluded.updated_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_text(&q, ":owner", r->owner);
	query_text(&q, ":text", r->text);
	query_int(&q, ":base", r->base);
	query_int(&q, ":updated_ms", r->updated_ms);
	return query_run(&q);
}

err draft_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM draft WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err draft_sql_list(struct sql *s, struct draft_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, owner, text, base, updated_ms FROM draft ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct draft_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->owner = column_text(&q);
		r->text = column_text(&q);
		r->base = column_int(&q);
		r->updated_ms = column_int(&q);
	}
	return query_end(&q);
}
