#include "server/store/sql.h"

err passkey_sql_put(struct sql *s, const struct passkey_row *r)
{
	static const char sql[] =
		"INSERT INTO passkey (id, tailnet_id, user_id, credential, cose, sign_count, name, synced, created_ms, used_ms)"
		" VALUES (:id, :tailnet_id, :user_id, :credential, :cose, :sign_count, :name, :synced, :created_ms, :used_ms)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, user_id = excluded.user_id,"
		" credential = excluded.credential, cose = excluded.cose, sign_count = excluded.sign_count,"
		" name = excluded.name, synced = excluded.synced, created_ms = excluded.created_ms, used_ms = excluded.used_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int(&q, ":user_id", r->user_id);
	query_blob(&q, ":credential", bytes_of(r->credential, r->n_credential));
	query_blob(&q, ":cose", bytes_of(r->cose, r->n_cose));
	query_int(&q, ":sign_count", r->sign_count);
	query_text(&q, ":name", r->name);
	query_int(&q, ":synced", r->synced);
	query_int(&q, ":created_ms", r->created_ms);
	query_int(&q, ":used_ms", r->used_ms);
	return query_run(&q);
}

err passkey_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM passkey WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err passkey_sql_list(struct sql *s, struct passkey_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, user_id, credential, cose, sign_count, name, synced, created_ms, used_ms"
				  " FROM passkey ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct passkey_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->user_id = column_int(&q);
		column_blob(&q, &r->credential, &r->n_credential);
		column_blob(&q, &r->cose, &r->n_cose);
		r->sign_count = column_int(&q);
		r->name = column_text(&q);
		r->synced = column_int(&q);
		r->created_ms = column_int(&q);
		r->used_ms = column_int(&q);
	}
	return query_end(&q);
}
