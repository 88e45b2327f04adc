#include "server/store/sql.h"

static err delete_setting(struct sql *s, const struct setting_row *r)
{
	static const char sql[] = "DELETE FROM setting WHERE tailnet_id = :tailnet_id AND key = :key";
	struct query q = query_begin(s, sql);

	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_text(&q, ":key", r->key);
	return query_run(&q);
}

err setting_sql_put(struct sql *s, const struct setting_row *r)
{
	static const char sql[] = "INSERT INTO setting (tailnet_id, key, value) VALUES (:tailnet_id, :key, :value)"
				  " ON CONFLICT (tailnet_id, key) DO UPDATE SET value = excluded.value";

	if (!r->value)
		return delete_setting(s, r);
	struct query q = query_begin(s, sql);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_text(&q, ":key", r->key);
	query_text(&q, ":value", r->value);
	return query_run(&q);
}

err setting_sql_list(struct sql *s, struct setting_row **out, size_t *n)
{
	static const char sql[] = "SELECT tailnet_id, key, value FROM setting ORDER BY tailnet_id, key";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct setting_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->tailnet_id = column_int(&q);
		r->key = column_text(&q);
		r->value = column_text(&q);
	}
	return query_end(&q);
}
