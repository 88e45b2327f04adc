#include "server/store/sql.h"

err webhook_sql_put(struct sql *s, const struct webhook_row *r)
{
	static const char sql[] =
		"INSERT INTO webhook (id, tailnet_id, url, provider, secret, subscriptions, creator, created_ms, updated_ms, cursor, deleted_ms)"
		" VALUES (:id, :tailnet_id, :url, :provider, :secret, :subscriptions, :creator, :created_ms, :updated_ms, :cursor, :deleted_ms)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, url = excluded.url, provider = excluded.provider,"
		" secret = excluded.secret, subscriptions = excluded.subscriptions, creator = excluded.creator,"
		" created_ms = excluded.created_ms, updated_ms = excluded.updated_ms, cursor = excluded.cursor,"
		" deleted_ms = excluded.deleted_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_text(&q, ":url", r->url);
	query_text(&q, ":provider", r->provider);
	query_text(&q, ":secret", r->secret);
	query_text(&q, ":subscriptions", r->subscriptions);
	query_text(&q, ":creator", r->creator);
	query_int(&q, ":created_ms", r->created_ms);
	query_int(&q, ":updated_ms", r->updated_ms);
	query_int(&q, ":cursor", r->cursor);
	query_int(&q, ":deleted_ms", r->deleted_ms);
	return query_run(&q);
}

err webhook_sql_cursor(struct sql *s, const struct webhook_row *r)
{
	static const char sql[] = "UPDATE webhook SET cursor = :cursor WHERE id = :id AND cursor < :cursor";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":cursor", r->cursor);
	return query_run(&q);
}

err webhook_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM webhook WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err webhook_sql_list(struct sql *s, struct webhook_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, url, provider, secret, subscriptions, creator, created_ms, updated_ms, cursor, deleted_ms"
				  " FROM webhook ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct webhook_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->url = column_text(&q);
		r->provider = column_text(&q);
		r->secret = column_text(&q);
		r->subscriptions = column_text(&q);
		r->creator = column_text(&q);
		r->created_ms = column_int(&q);
		r->updated_ms = column_int(&q);
		r->cursor = column_int(&q);
		r->deleted_ms = column_int(&q);
	}
	return query_end(&q);
}
