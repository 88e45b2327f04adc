#include "common/base/cleanup.h"
#include "server/store/sql.h"

/* The lazy columns, bound by both put and seen. */
static void bind_lazy(struct query *q, const struct node_row *r)
{
	query_blob_or_null(q, ":disco_pub", bytes_of(r->disco.b, sizeof r->disco.b));
	query_int_or_null(q, ":last_seen_ms", r->last_seen_ms);
	query_int(q, ":was_online", r->was_online);
	query_int(q, ":capver", r->capver);
	query_int(q, ":home_derp", r->home_derp);
	query_text(q, ":hostinfo", r->hostinfo_json);
	query_endpoints(q, ":endpoints", r->endpoints, r->n_endpoints);
	query_blob_or_null(q, ":presence", bytes_of(r->presence, r->n_presence));
	query_routes(q, ":carried_routes", r->carried, r->n_carried);
}

err node_sql_put(struct sql *s, const struct node_row *r)
{
	static const char sql[] =
		"INSERT INTO node (id, tailnet_id, user_id, machine_pub, node_pub, disco_pub, nl_pub, v4, v6, hostname,"
		" given_name, given_name_auto, ephemeral, method, authkey_id, created_ms, expires_ms, last_seen_ms, was_online,"
		" capver, home_derp, hostinfo, endpoints, tags, approved_routes, authorized, attrs, key_sig,"
		" expiry_disabled, kept_expires_ms, former_user_id, presence, carried_routes)"
		" VALUES (:id, :tailnet_id, :user_id, :machine_pub, :node_pub, :disco_pub, :nl_pub, :v4, :v6, :hostname,"
		" :given_name, :given_name_auto, :ephemeral, :method, :authkey_id, :created_ms, :expires_ms, :last_seen_ms,"
		" :was_online, :capver, :home_derp, :hostinfo, :endpoints, :tags, :approved_routes, :authorized, :attrs, :key_sig,"
		" :expiry_disabled, :kept_expires_ms, :former_user_id, :presence, :carried_routes)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, user_id = excluded.user_id,"
		" machine_pub = excluded.machine_pub, node_pub = excluded.node_pub, disco_pub = excluded.disco_pub,"
		" nl_pub = excluded.nl_pub, v4 = excluded.v4, v6 = excluded.v6, hostname = excluded.hostname,"
		" given_name = excluded.given_name, given_name_auto = excluded.given_name_auto,"
		" ephemeral = excluded.ephemeral, method = excluded.method, authkey_id = excluded.authkey_id,"
		" created_ms = excluded.created_ms, expires_ms = excluded.expires_ms, last_seen_ms = excluded.last_seen_ms,"
		" was_online = excluded.was_online, capver = excluded.capver, home_derp = excluded.home_derp,"
		" hostinfo = excluded.hostinfo, endpoints = excluded.endpoints, tags = excluded.tags,"
		" approved_routes = excluded.approved_routes, authorized = excluded.authorized, attrs = excluded.attrs, key_sig = excluded.key_sig,"
		" expiry_disabled = excluded.expiry_disabled, kept_expires_ms = excluded.kept_expires_ms,"
		" former_user_id = excluded.former_user_id, presence = excluded.presence,"
		" carried_routes = excluded.carried_routes";
	CLEANUP(freep) char *attrs = custom_attrs_text(r->attrs, r->n_attrs);

	if (!attrs)
		return ERR_NOMEM;
	struct query q = query_begin(s, sql);
	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int_or_null(&q, ":user_id", r->user_id);
	query_blob(&q, ":machine_pub", bytes_of(r->machine.b, sizeof r->machine.b));
	query_blob(&q, ":node_pub", bytes_of(r->key.b, sizeof r->key.b));
	query_blob_or_null(&q, ":nl_pub", bytes_of(r->nl.b, sizeof r->nl.b));
	query_addr(&q, ":v4", r->v4);
	query_addr(&q, ":v6", r->v6);
	query_text(&q, ":hostname", r->hostname);
	query_text(&q, ":given_name", r->given_name);
	query_int(&q, ":given_name_auto", r->given_name_auto);
	query_int(&q, ":ephemeral", r->ephemeral);
	query_int(&q, ":method", r->method);
	query_int_or_null(&q, ":authkey_id", r->authkey_id);
	query_int(&q, ":created_ms", r->created_ms);
	query_int_or_null(&q, ":expires_ms", r->expires_ms);
	query_tags(&q, ":tags", r->tags, r->n_tags);
	query_routes(&q, ":approved_routes", r->approved_routes, r->n_approved);
	query_int(&q, ":authorized", r->authorized);
	query_text(&q, ":attrs", attrs);
	query_blob_or_null(&q, ":key_sig", bytes_of(r->key_sig, r->n_key_sig));
	query_int(&q, ":expiry_disabled", r->expiry_disabled);
	query_int_or_null(&q, ":kept_expires_ms", r->kept_expires_ms);
	query_int_or_null(&q, ":former_user_id", r->former_user_id);
	bind_lazy(&q, r);
	return query_run(&q);
}

err node_sql_seen(struct sql *s, const struct node_row *r)
{
	static const char sql[] =
		"UPDATE node SET disco_pub = :disco_pub, last_seen_ms = :last_seen_ms, was_online = :was_online,"
		" capver = :capver, home_derp = :home_derp, hostinfo = :hostinfo, endpoints = :endpoints, presence = :presence,"
		" carried_routes = :carried_routes"
		" WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	bind_lazy(&q, r);
	return query_run(&q);
}

err node_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM node WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

static void read_node(struct query *q, struct node_row *r)
{
	r->id = column_int(q);
	r->tailnet_id = column_int(q);
	r->user_id = column_int(q);
	column_blob_into(q, r->machine.b, sizeof r->machine.b);
	column_blob_into(q, r->key.b, sizeof r->key.b);
	column_blob_into(q, r->disco.b, sizeof r->disco.b);
	column_blob_into(q, r->nl.b, sizeof r->nl.b);
	r->v4 = column_addr(q);
	r->v6 = column_addr(q);
	r->hostname = column_text(q);
	r->given_name = column_text(q);
	r->given_name_auto = column_bool(q);
	r->ephemeral = column_bool(q);
	r->method = (enum register_method)column_int(q);
	r->authkey_id = column_int(q);
	r->created_ms = column_int(q);
	r->expires_ms = column_int(q);
	r->last_seen_ms = column_int(q);
	r->was_online = column_bool(q);
	r->capver = (int)column_int(q);
	r->home_derp = (int)column_int(q);
	r->hostinfo_json = column_text(q);
	column_endpoints(q, &r->endpoints, &r->n_endpoints);
	column_tags(q, &r->tags, &r->n_tags);
	column_routes(q, &r->approved_routes, &r->n_approved);
	r->authorized = column_bool(q);
	column_attrs(q, &r->attrs, &r->n_attrs);
	column_blob(q, &r->key_sig, &r->n_key_sig);
	r->expiry_disabled = column_bool(q);
	r->kept_expires_ms = column_int(q);
	r->former_user_id = column_int(q);
	column_blob(q, &r->presence, &r->n_presence);
	column_routes(q, &r->carried, &r->n_carried);
}

err node_sql_list(struct sql *s, struct node_row **out, size_t *n)
{
	static const char sql[] =
		"SELECT id, tailnet_id, user_id, machine_pub, node_pub, disco_pub, nl_pub, v4, v6, hostname, given_name,"
		" given_name_auto, ephemeral, method, authkey_id, created_ms, expires_ms, last_seen_ms, was_online, capver,"
		" home_derp, hostinfo, endpoints, tags, approved_routes, authorized, attrs, key_sig, expiry_disabled,"
		" kept_expires_ms, former_user_id, presence, carried_routes FROM node ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct node_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		read_node(&q, r);
	}
	return query_end(&q);
}
