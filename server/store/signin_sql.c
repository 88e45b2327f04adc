#include "server/store/sql.h"

err signin_sql_put(struct sql *s, const struct signin_row *r)
{
	static const char sql[] =
		"INSERT INTO signin (id, tailnet_id, user_id, identity_id, kind, hash, provider_sid, remote, agent, created_ms,"
		" auth_ms, expires_ms, node_expires_ms)"
		" VALUES (:id, :tailnet_id, :user_id, :identity_id, :kind, :hash, :provider_sid, :remote, :agent, :created_ms,"
		" :auth_ms, :expires_ms, :node_expires_ms)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, user_id = excluded.user_id,"
		" identity_id = excluded.identity_id, kind = excluded.kind, hash = excluded.hash,"
		" provider_sid = excluded.provider_sid, remote = excluded.remote, agent = excluded.agent,"
		" created_ms = excluded.created_ms, auth_ms = excluded.auth_ms, expires_ms = excluded.expires_ms,"
		" node_expires_ms = excluded.node_expires_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int(&q, ":user_id", r->user_id);
	query_int_or_null(&q, ":identity_id", r->identity_id);
	query_int(&q, ":kind", r->kind);
	query_blob(&q, ":hash", bytes_of(r->hash, sizeof r->hash));
	query_text(&q, ":provider_sid", r->provider_sid);
	query_text(&q, ":remote", r->remote);
	query_text(&q, ":agent", r->agent);
	query_int(&q, ":created_ms", r->created_ms);
	query_int(&q, ":auth_ms", r->auth_ms);
	query_int(&q, ":expires_ms", r->expires_ms);
	query_int_or_null(&q, ":node_expires_ms", r->node_expires_ms);
	return query_run(&q);
}

err signin_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM signin WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err signin_sql_list(struct sql *s, struct signin_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, user_id, identity_id, kind, hash, provider_sid, remote, agent,"
				  " created_ms, auth_ms, expires_ms, node_expires_ms FROM signin ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct signin_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->user_id = column_int(&q);
		r->identity_id = column_int(&q);
		r->kind = (enum signin_kind)column_int(&q);
		column_blob_into(&q, r->hash, sizeof r->hash);
		r->provider_sid = column_text(&q);
		r->remote = column_text(&q);
		r->agent = column_text(&q);
		r->created_ms = column_int(&q);
		r->auth_ms = column_int(&q);
		r->expires_ms = column_int(&q);
		r->node_expires_ms = column_int(&q);
	}
	return query_end(&q);
}
