#include "server/store/sql.h"

err policy_sql_put(struct sql *s, const struct policy_row *r)
{
	static const char sql[] =
		"INSERT INTO policy (id, tailnet_id, version, text, author, note, created_ms, weighed, gained, lost, machines)"
		" VALUES (:id, :tailnet_id, :version, :text, :author, :note, :created_ms, :weighed, :gained, :lost, :machines)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, version = excluded.version, text = excluded.text,"
		" author = excluded.author, note = excluded.note, created_ms = excluded.created_ms,"
		" weighed = excluded.weighed, gained = excluded.gained, lost = excluded.lost, machines = excluded.machines";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int(&q, ":version", r->version);
	query_text(&q, ":text", r->text);
	query_text(&q, ":author", r->author);
	query_text(&q, ":note", r->note);
	query_int(&q, ":created_ms", r->created_ms);
	query_int(&q, ":weighed", r->weighed);
	query_int(&q, ":gained", r->gained);
	query_int(&q, ":lost", r->lost);
	query_int(&q, ":machines", r->machines);
	return query_run(&q);
}

err policy_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM policy WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err policy_sql_list(struct sql *s, struct policy_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, version, text, author, note, created_ms, weighed, gained, lost, machines FROM policy ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct policy_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->version = column_int(&q);
		r->text = column_text(&q);
		r->author = column_text(&q);
		r->note = column_text(&q);
		r->created_ms = column_int(&q);
		r->weighed = column_int(&q) != 0;
		r->gained = column_int(&q);
		r->lost = column_int(&q);
		r->machines = column_int(&q);
	}
	return query_end(&q);
}
