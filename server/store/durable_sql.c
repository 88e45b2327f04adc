#include "server/store/sql.h"

err durable_sql_set(struct sql *s, uint64_t seq)
{
	static const char sql[] = "UPDATE durable SET seq = :seq WHERE id = 1";
	struct query q = query_begin(s, sql);

	query_int(&q, ":seq", (int64_t)seq);
	return query_run(&q);
}

err durable_sql_get(struct sql *s, uint64_t *seq)
{
	static const char sql[] = "SELECT seq FROM durable WHERE id = 1";
	struct query q = query_begin(s, sql);
	bool found = query_next(&q);

	if (found)
		*seq = (uint64_t)column_int(&q);
	err e = query_end(&q);
	return e != OK ? e : found ? OK : ERR_NOT_FOUND;
}
