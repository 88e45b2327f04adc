#include "server/store/sql.h"

err ssh_approval_sql_put(struct sql *s, const struct ssh_approval_row *r)
{
	static const char sql[] = "INSERT INTO ssh_approval (src_id, dst_id, tailnet_id, user_id, approved_ms)"
				  " VALUES (:src_id, :dst_id, :tailnet_id, :user_id, :approved_ms)"
				  " ON CONFLICT (src_id, dst_id) DO UPDATE SET tailnet_id = excluded.tailnet_id,"
				  " user_id = excluded.user_id, approved_ms = excluded.approved_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":src_id", r->pair.src);
	query_int(&q, ":dst_id", r->pair.dst);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int_or_null(&q, ":user_id", r->user_id);
	query_int(&q, ":approved_ms", r->approved_ms);
	return query_run(&q);
}

err ssh_approval_sql_delete(struct sql *s, const struct ssh_approval_row *r)
{
	static const char sql[] = "DELETE FROM ssh_approval WHERE src_id = :src_id AND dst_id = :dst_id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":src_id", r->pair.src);
	query_int(&q, ":dst_id", r->pair.dst);
	return query_run(&q);
}

err ssh_approval_sql_list(struct sql *s, struct ssh_approval_row **out, size_t *n)
{
	static const char sql[] = "SELECT src_id, dst_id, tailnet_id, user_id, approved_ms FROM ssh_approval ORDER BY src_id, dst_id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct ssh_approval_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->pair.src = column_int(&q);
		r->pair.dst = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->user_id = column_int(&q);
		r->approved_ms = column_int(&q);
	}
	return query_end(&q);
}
