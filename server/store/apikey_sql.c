#include "server/store/sql.h"

err apikey_sql_put(struct sql *s, const struct apikey_row *r)
{
	static const char sql[] =
		"INSERT INTO apikey (id, tailnet_id, prefix, hash, created_ms, expires_ms, last_seen_ms)"
		" VALUES (:id, :tailnet_id, :prefix, :hash, :created_ms, :expires_ms, :last_seen_ms)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, prefix = excluded.prefix,"
		" hash = excluded.hash, created_ms = excluded.created_ms, expires_ms = excluded.expires_ms,"
		" last_seen_ms = excluded.last_seen_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_text(&q, ":prefix", r->prefix);
	query_blob(&q, ":hash", bytes_of(r->hash, sizeof r->hash));
	query_int(&q, ":created_ms", r->created_ms);
	query_int_or_null(&q, ":expires_ms", r->expires_ms);
	query_int_or_null(&q, ":last_seen_ms", r->last_seen_ms);
	return query_run(&q);
}

err apikey_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM apikey WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err apikey_sql_list(struct sql *s, struct apikey_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, prefix, hash, created_ms, expires_ms, last_seen_ms"
				  " FROM apikey ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct apikey_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		column_text_into(&q, r->prefix, sizeof r->prefix);
		column_blob_into(&q, r->hash, sizeof r->hash);
		r->created_ms = column_int(&q);
		r->expires_ms = column_int(&q);
		r->last_seen_ms = column_int(&q);
	}
	return query_end(&q);
}
