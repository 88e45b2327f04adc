#include "server/store/sql.h"

err server_key_sql_put(struct sql *s, const struct server_key_row *r)
{
	static const char sql[] = "INSERT INTO server_key (name, value) VALUES (:name, :value)"
				  " ON CONFLICT (name) DO UPDATE SET value = excluded.value";
	struct query q = query_begin(s, sql);

	query_text(&q, ":name", r->name);
	query_blob(&q, ":value", bytes_of(r->value, r->n));
	return query_run(&q);
}

err server_key_sql_list(struct sql *s, struct server_key_row **out, size_t *n)
{
	static const char sql[] = "SELECT name, value FROM server_key ORDER BY name";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct server_key_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->name = column_text(&q);
		column_blob(&q, &r->value, &r->n);
	}
	return query_end(&q);
}
