#include "server/store/sql.h"

err authkey_sql_put(struct sql *s, const struct authkey_row *r)
{
	static const char sql[] =
		"INSERT INTO authkey (id, tailnet_id, user_id, prefix, hash, reusable, ephemeral, used, created_ms, expires_ms,"
		" revoked_ms, description, tags, preauthorized)"
		" VALUES (:id, :tailnet_id, :user_id, :prefix, :hash, :reusable, :ephemeral, :used, :created_ms, :expires_ms,"
		" :revoked_ms, :description, :tags, :preauthorized)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, user_id = excluded.user_id,"
		" prefix = excluded.prefix, hash = excluded.hash, reusable = excluded.reusable, ephemeral = excluded.ephemeral,"
		" used = excluded.used, created_ms = excluded.created_ms, expires_ms = excluded.expires_ms,"
		" revoked_ms = excluded.revoked_ms, description = excluded.description, tags = excluded.tags,"
		" preauthorized = excluded.preauthorized";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int_or_null(&q, ":user_id", r->user_id);
	query_text(&q, ":prefix", r->prefix);
	query_blob(&q, ":hash", bytes_of(r->hash, sizeof r->hash));
	query_int(&q, ":reusable", r->reusable);
	query_int(&q, ":ephemeral", r->ephemeral);
	query_int(&q, ":used", r->used);
	query_int(&q, ":created_ms", r->created_ms);
	query_int_or_null(&q, ":expires_ms", r->expires_ms);
	query_int_or_null(&q, ":revoked_ms", r->revoked_ms);
	query_text(&q, ":description", r->description);
	query_tags(&q, ":tags", r->tags, r->n_tags);
	query_int(&q, ":preauthorized", r->preauthorized);
	return query_run(&q);
}

err authkey_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM authkey WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err authkey_sql_list(struct sql *s, struct authkey_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, user_id, prefix, hash, reusable, ephemeral, used, created_ms,"
				  " expires_ms, revoked_ms, description, tags, preauthorized FROM authkey ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct authkey_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->user_id = column_int(&q);
		column_text_into(&q, r->prefix, sizeof r->prefix);
		column_blob_into(&q, r->hash, sizeof r->hash);
		r->reusable = column_bool(&q);
		r->ephemeral = column_bool(&q);
		r->used = column_bool(&q);
		r->created_ms = column_int(&q);
		r->expires_ms = column_int(&q);
		r->revoked_ms = column_int(&q);
		r->description = column_text(&q);
		column_tags(&q, &r->tags, &r->n_tags);
		r->preauthorized = column_bool(&q);
	}
	return query_end(&q);
}
