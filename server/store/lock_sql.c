#include "server/store/sql.h"

err lock_aum_sql_put(struct sql *s, const struct lock_aum_row *r)
{
	static const char sql[] = "INSERT INTO lock_aum (hash, tailnet_id, id, raw) VALUES (:hash, :tailnet_id, :id, :raw)"
				  " ON CONFLICT (hash) DO UPDATE SET tailnet_id = excluded.tailnet_id, id = excluded.id, raw = excluded.raw";
	struct query q = query_begin(s, sql);

	query_blob(&q, ":hash", bytes_of(r->hash, sizeof r->hash));
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int(&q, ":id", r->id);
	query_blob(&q, ":raw", bytes_of(r->raw, r->n_raw));
	return query_run(&q);
}

err lock_aum_sql_delete(struct sql *s, const struct lock_aum_row *r)
{
	static const char sql[] = "DELETE FROM lock_aum WHERE hash = :hash";
	struct query q = query_begin(s, sql);

	query_blob(&q, ":hash", bytes_of(r->hash, sizeof r->hash));
	return query_run(&q);
}

err lock_aum_sql_list(struct sql *s, struct lock_aum_row **out, size_t *n)
{
	static const char sql[] = "SELECT hash, tailnet_id, id, raw FROM lock_aum ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct lock_aum_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		column_blob_into(&q, r->hash, sizeof r->hash);
		r->tailnet_id = column_int(&q);
		r->id = column_int(&q);
		column_blob(&q, &r->raw, &r->n_raw);
	}
	return query_end(&q);
}
