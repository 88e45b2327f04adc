#include "server/store/sql.h"

err apikey_sql_put(struct sql *s, const struct apikey_row *r)
{
	static const char sql[] =
		"INSERT INTO apikey (id, tailnet_id, prefix, hash, created_ms, expires_ms, last_seen_ms, kind,"
		" user_id, parent_id, scopes, tags, description, updated_ms, revoked_ms, issuer, subject, audience, claim_rules)"
		" VALUES (:id, :tailnet_id, :prefix, :hash, :created_ms, :expires_ms, :last_seen_ms, :kind,"
		" :user_id, :parent_id, :scopes, :tags, :description, :updated_ms, :revoked_ms, :issuer, :subject, :audience, :claim_rules)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, prefix = excluded.prefix,"
		" hash = excluded.hash, created_ms = excluded.created_ms, expires_ms = excluded.expires_ms,"
		" last_seen_ms = excluded.last_seen_ms, kind = excluded.kind, user_id = excluded.user_id,"
		" parent_id = excluded.parent_id, scopes = excluded.scopes, tags = excluded.tags,"
		" description = excluded.description, updated_ms = excluded.updated_ms, revoked_ms = excluded.revoked_ms,"
		" issuer = excluded.issuer, subject = excluded.subject, audience = excluded.audience, claim_rules = excluded.claim_rules";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_text(&q, ":prefix", r->prefix);
	query_blob(&q, ":hash", bytes_of(r->hash, sizeof r->hash));
	query_int(&q, ":created_ms", r->created_ms);
	query_int_or_null(&q, ":expires_ms", r->expires_ms);
	query_int_or_null(&q, ":last_seen_ms", r->last_seen_ms);
	query_int(&q, ":kind", (int64_t)r->kind);
	query_int_or_null(&q, ":user_id", r->user_id);
	query_int_or_null(&q, ":parent_id", r->parent_id);
	query_text(&q, ":scopes", r->scopes);
	query_tags(&q, ":tags", r->tags, r->n_tags);
	query_text(&q, ":description", r->description);
	query_int_or_null(&q, ":updated_ms", r->updated_ms);
	query_int_or_null(&q, ":revoked_ms", r->revoked_ms);
	query_text(&q, ":issuer", r->issuer);
	query_text(&q, ":subject", r->subject);
	query_text(&q, ":audience", r->audience);
	query_text(&q, ":claim_rules", r->claim_rules);
	return query_run(&q);
}

err apikey_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM apikey WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err apikey_sql_list(struct sql *s, struct apikey_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, prefix, hash, created_ms, expires_ms, last_seen_ms, kind, user_id,"
				  " parent_id, scopes, tags, description, updated_ms, revoked_ms, issuer, subject, audience, claim_rules FROM apikey ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct apikey_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		column_text_into(&q, r->prefix, sizeof r->prefix);
		column_blob_into(&q, r->hash, sizeof r->hash);
		r->created_ms = column_int(&q);
		r->expires_ms = column_int(&q);
		r->last_seen_ms = column_int(&q);
		r->kind = (enum apikey_kind)column_int(&q);
		r->user_id = column_int(&q);
		r->parent_id = column_int(&q);
		r->scopes = column_text(&q);
		column_tags(&q, &r->tags, &r->n_tags);
		r->description = column_text(&q);
		r->updated_ms = column_int(&q);
		r->revoked_ms = column_int(&q);
		r->issuer = column_text(&q);
		r->subject = column_text(&q);
		r->audience = column_text(&q);
		r->claim_rules = column_text(&q);
	}
	return query_end(&q);
}
