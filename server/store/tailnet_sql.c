#include "server/store/sql.h"

err tailnet_sql_put(struct sql *s, const struct tailnet_row *r)
{
	static const char sql[] = "INSERT INTO tailnet (id, name) VALUES (:id, :name)"
				  " ON CONFLICT (id) DO UPDATE SET name = excluded.name";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_text(&q, ":name", r->name);
	return query_run(&q);
}

err tailnet_sql_list(struct sql *s, struct tailnet_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, name FROM tailnet ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct tailnet_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->name = column_text(&q);
	}
	return query_end(&q);
}
