#include "server/store/sql.h"

err identity_sql_put(struct sql *s, const struct identity_row *r)
{
	static const char sql[] =
		"INSERT INTO identity (id, tailnet_id, user_id, provider, issuer, subject, login, groups, refresh_token,"
		" created_ms, login_ms, checked_ms, gone_ms)"
		" VALUES (:id, :tailnet_id, :user_id, :provider, :issuer, :subject, :login, :groups, :refresh_token,"
		" :created_ms, :login_ms, :checked_ms, :gone_ms)"
		" ON CONFLICT (id) DO UPDATE SET tailnet_id = excluded.tailnet_id, user_id = excluded.user_id,"
		" provider = excluded.provider, issuer = excluded.issuer, subject = excluded.subject, login = excluded.login,"
		" groups = excluded.groups, refresh_token = excluded.refresh_token, created_ms = excluded.created_ms,"
		" login_ms = excluded.login_ms, checked_ms = excluded.checked_ms, gone_ms = excluded.gone_ms";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", r->id);
	query_int(&q, ":tailnet_id", r->tailnet_id);
	query_int(&q, ":user_id", r->user_id);
	query_text(&q, ":provider", r->provider);
	query_text(&q, ":issuer", r->issuer);
	query_text(&q, ":subject", r->subject);
	query_text(&q, ":login", r->login);
	query_tags(&q, ":groups", r->groups, r->n_groups);
	query_text(&q, ":refresh_token", r->refresh_token);
	query_int(&q, ":created_ms", r->created_ms);
	query_int(&q, ":login_ms", r->login_ms);
	query_int(&q, ":checked_ms", r->checked_ms);
	query_int_or_null(&q, ":gone_ms", r->gone_ms);
	return query_run(&q);
}

err identity_sql_delete(struct sql *s, int64_t id)
{
	static const char sql[] = "DELETE FROM identity WHERE id = :id";
	struct query q = query_begin(s, sql);

	query_int(&q, ":id", id);
	return query_run(&q);
}

err identity_sql_list(struct sql *s, struct identity_row **out, size_t *n)
{
	static const char sql[] = "SELECT id, tailnet_id, user_id, provider, issuer, subject, login, groups, refresh_token,"
				  " created_ms, login_ms, checked_ms, gone_ms FROM identity ORDER BY id";
	struct query q = query_begin(s, sql);

	while (query_next(&q)) {
		struct identity_row *r = rows_grow(&q, out, n, sizeof *r);
		if (!r)
			break;
		r->id = column_int(&q);
		r->tailnet_id = column_int(&q);
		r->user_id = column_int(&q);
		r->provider = column_text(&q);
		r->issuer = column_text(&q);
		r->subject = column_text(&q);
		r->login = column_text(&q);
		column_tags(&q, &r->groups, &r->n_groups);
		r->refresh_token = column_text(&q);
		r->created_ms = column_int(&q);
		r->login_ms = column_int(&q);
		r->checked_ms = column_int(&q);
		r->gone_ms = column_int(&q);
	}
	return query_end(&q);
}
