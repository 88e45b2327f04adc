#include "server/store/sql.h"

err service_sql_put(struct sql *s, const struct service_row *r)
{
	static const char sql[] =
		"INSERT INTO service (id, tailnet_id, name, v4, v6, comment, annotations, ports, tags, approved, hosts, created_ms)"
		" VALUES (:id, :tailnet_id, :name, :v4, :v6, :comment, :annotations, :ports, :tags, :approved, :hosts, :created_ms)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, name = excluded.name, v4 = excluded.v4,"
		" v6 = excluded.v6, comment = excluded.comment, annotations = excluded.annotations, ports = excluded.ports,"
		" tags = excluded.tags, approved = excluded.approved, hosts = excluded.hosts, created_ms = excluded.created_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_text(&q, ":name", r->name);
	query_addr(&q, ":v4", r->v4);
	query_addr(&q, ":v6", r->v6);
	query_text(&q, ":comment", r->comment);
	query_text(&q, ":annotations", r->annotations);
	query_tags(&q, ":ports", r->ports, r->n_ports);
	query_tags(&q, ":tags", r->tags, r->n_tags);
	query_tags(&q, ":approved", r->approved, r->n_approved);
	query_tags(&q, ":hosts", r->hosts, r->n_hosts);
	query_int(&q, ":created_ms", r->created_ms);
	return query_run(&q);
}

err service_sql_delete(struct sql *s, const struct service_row *r)
{
	static const char sql[] = "DELETE FROM service WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	return query_run(&q);
}

err service_sql_list(struct sql *s, struct service_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, name, v4, v6, comment, annotations, ports, tags, approved, hosts, created_ms"
				  " FROM service ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct service_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->name = column_text(&q);
		r->v4 = column_addr(&q);
		r->v6 = column_addr(&q);
		r->comment = column_text(&q);
		r->annotations = column_text(&q);
		column_tags(&q, &r->ports, &r->n_ports);
		column_tags(&q, &r->tags, &r->n_tags);
		column_tags(&q, &r->approved, &r->n_approved);
		column_tags(&q, &r->hosts, &r->n_hosts);
		r->created_ms = column_int(&q);
	}
	return query_end(&q);
}
