#include "server/store/sql.h"

err user_sql_put(struct sql *s, const struct user_row *r)
{
	static const char sql[] =
		"INSERT INTO user (id, tailnet_id, name, display_name, email, picture_url, provider, provider_id, created_ms,"
		" role, suspended_ms, waits_ms)"
		" VALUES (:id, :tailnet_id, :name, :display_name, :email, :picture_url, :provider, :provider_id, :created_ms,"
		" :role, :suspended_ms, :waits_ms)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, name = excluded.name,"
		" display_name = excluded.display_name, email = excluded.email, picture_url = excluded.picture_url,"
		" provider = excluded.provider, provider_id = excluded.provider_id, created_ms = excluded.created_ms,"
		" role = excluded.role, suspended_ms = excluded.suspended_ms, waits_ms = excluded.waits_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_text(&q, ":name", r->name);
	query_text(&q, ":display_name", r->display_name);
	query_text(&q, ":email", r->email);
	query_text(&q, ":picture_url", r->picture_url);
	query_text(&q, ":provider", r->provider);
	query_text(&q, ":provider_id", r->provider_id);
	query_int(&q, ":created_ms", r->created_ms);
	query_int(&q, ":role", r->role);
	query_int_or_null(&q, ":suspended_ms", r->suspended_ms);
	query_int_or_null(&q, ":waits_ms", r->waits_ms);
	return query_run(&q);
}

err user_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM user WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err user_sql_list(struct sql *s, struct user_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, name, display_name, email, picture_url, provider, provider_id,"
				  " created_ms, role, suspended_ms, waits_ms FROM user ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct user_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->name = column_text(&q);
		r->display_name = column_text(&q);
		r->email = column_text(&q);
		r->picture_url = column_text(&q);
		r->provider = column_text(&q);
		r->provider_id = column_text(&q);
		r->created_ms = column_int(&q);
		r->role = (enum user_role)column_int(&q);
		r->suspended_ms = column_int(&q);
		r->waits_ms = column_int(&q);
	}
	return query_end(&q);
}
