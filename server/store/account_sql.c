#include "server/store/sql.h"

err account_sql_put(struct sql *s, const struct account_row *r)
{
	static const char sql[] =
		"INSERT INTO account (id, tailnet_id, user_id, password, totp, totp_step, created_ms, changed_ms)"
		" VALUES (:id, :tailnet_id, :user_id, :password, :totp, :totp_step, :created_ms, :changed_ms)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, user_id = excluded.user_id,"
		" password = excluded.password, totp = excluded.totp, totp_step = excluded.totp_step,"
		" created_ms = excluded.created_ms, changed_ms = excluded.changed_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int(&q, ":user_id", r->user_id);
	query_text(&q, ":password", r->password);
	query_blob(&q, ":totp", bytes_of(r->totp, sizeof r->totp));
	query_int(&q, ":totp_step", r->totp_step);
	query_int(&q, ":created_ms", r->created_ms);
	query_int(&q, ":changed_ms", r->changed_ms);
	return query_run(&q);
}

err account_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM account WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err account_sql_list(struct sql *s, struct account_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, user_id, password, totp, totp_step, created_ms, changed_ms"
				  " FROM account ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct account_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->user_id = column_int(&q);
		r->password = column_text(&q);
		column_blob_into(&q, r->totp, sizeof r->totp);
		r->totp_step = column_int(&q);
		r->created_ms = column_int(&q);
		r->changed_ms = column_int(&q);
	}
	return query_end(&q);
}
