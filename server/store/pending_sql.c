#include "server/store/sql.h"

err pending_sql_put(struct sql *s, const struct pending_row *r)
{
	static const char sql[] =
		"INSERT INTO pending (auth_id, tailnet_id, machine_pub, node_pub, old_node_pub, nl_pub, hostname, os, remote, hostinfo,"
		" tags, ephemeral, capver, created_ms, expires_ms, key_sig)"
		" VALUES (:auth_id, :tailnet_id, :machine_pub, :node_pub, :old_node_pub, :nl_pub, :hostname, :os, :remote, :hostinfo,"
		" :tags, :ephemeral, :capver, :created_ms, :expires_ms, :key_sig)"
		" ON CONFLICT (auth_id) DO UPDATE SET tailnet_id = excluded.tailnet_id, machine_pub = excluded.machine_pub,"
		" node_pub = excluded.node_pub, old_node_pub = excluded.old_node_pub, nl_pub = excluded.nl_pub,"
		" hostname = excluded.hostname, os = excluded.os, remote = excluded.remote, hostinfo = excluded.hostinfo, tags = excluded.tags,"
		" ephemeral = excluded.ephemeral, capver = excluded.capver, created_ms = excluded.created_ms,"
		" expires_ms = excluded.expires_ms, key_sig = excluded.key_sig";
	struct query q = query_begin(s, sql);

	query_text(&q, ":auth_id", r->auth_id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_blob(&q, ":machine_pub", bytes_of(r->machine.b, sizeof r->machine.b));
	query_blob(&q, ":node_pub", bytes_of(r->key.b, sizeof r->key.b));
	query_blob_or_null(&q, ":old_node_pub", bytes_of(r->old_key.b, sizeof r->old_key.b));
	query_blob_or_null(&q, ":nl_pub", bytes_of(r->nl.b, sizeof r->nl.b));
	query_text(&q, ":hostname", r->hostname);
	query_text(&q, ":os", r->os);
	query_text(&q, ":remote", r->remote);
	query_text(&q, ":hostinfo", r->hostinfo_json);
	query_tags(&q, ":tags", r->request_tags, r->n_request_tags);
	query_int(&q, ":ephemeral", r->ephemeral);
	query_int(&q, ":capver", r->capver);
	query_int(&q, ":created_ms", r->created_ms);
	query_int(&q, ":expires_ms", r->expires_ms);
	query_blob_or_null(&q, ":key_sig", bytes_of(r->key_sig, r->n_key_sig));
	return query_run(&q);
}

err pending_sql_delete(struct sql *s, const char *auth_id)
{
	static const char sql[] = "DELETE FROM pending WHERE auth_id = :auth_id";
	struct query q = query_begin(s, sql);

	query_text(&q, ":auth_id", auth_id);
	return query_run(&q);
}

err pending_sql_list(struct sql *s, struct pending_row **out, size_t *n)
{
	static const char sql[] = "SELECT auth_id, tailnet_id, machine_pub, node_pub, old_node_pub, nl_pub, hostname, os, remote,"
				  " hostinfo, tags, ephemeral, capver, created_ms, expires_ms, key_sig FROM pending ORDER BY auth_id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct pending_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		column_text_into(&q, r->auth_id, sizeof r->auth_id);
		r->tailnet_id = column_int(&q);
		column_blob_into(&q, r->machine.b, sizeof r->machine.b);
		column_blob_into(&q, r->key.b, sizeof r->key.b);
		column_blob_into(&q, r->old_key.b, sizeof r->old_key.b);
		column_blob_into(&q, r->nl.b, sizeof r->nl.b);
		r->hostname = column_text(&q);
		r->os = column_text(&q);
		r->remote = column_text(&q);
		r->hostinfo_json = column_text(&q);
		column_tags(&q, &r->request_tags, &r->n_request_tags);
		r->ephemeral = column_bool(&q);
		r->capver = (int)column_int(&q);
		r->created_ms = column_int(&q);
		r->expires_ms = column_int(&q);
		column_blob(&q, &r->key_sig, &r->n_key_sig);
	}
	return query_end(&q);
}
