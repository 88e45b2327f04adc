#include "server/store/migrate.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "server/store/sql.h"

/* In the header of each of our files, so that another program's database is not taken for an empty one of ours. */
#define APPLICATION_ID "0x466c6431" /* "Fld1" */

enum { HASH_LEN = 32 };

static void hash_migration(const struct migration *m, uint8_t out[HASH_LEN])
{
	crypto_generichash(out, HASH_LEN, (const uint8_t *)m->sql, m->n, NULL, 0);
}

static err read_number(struct sql *s, const char *text, int64_t *out)
{
	struct query q = query_begin(s, text);

	if (query_next(&q))
		*out = column_int(&q);
	return query_end(&q);
}

/* Makes the table of migrations in an empty file; refuses a file that is somebody else's. */
static err begin_history(struct sql *s, char *why, size_t why_cap)
{
	static const char count_ours[] = "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migration'";
	static const char count_all[] = "SELECT count(*) FROM sqlite_schema";
	int64_t ours = 0, all = 0;

	TRY(read_number(s, count_ours, &ours));
	TRY(read_number(s, count_all, &all));
	if (ours)
		return OK;
	if (all) {
		snprintf(why, why_cap, "it is an SQLite database of another program");
		return ERR_INVALID;
	}
	return sql_exec(s, "BEGIN IMMEDIATE;"
			   "PRAGMA application_id = " APPLICATION_ID ";"
			   "CREATE TABLE schema_migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
			   " hash BLOB NOT NULL CHECK (length(hash) = 32), applied_ms INTEGER NOT NULL) STRICT;"
			   "COMMIT");
}

/* *version is how far the file has come. */
static err check_history(struct sql *s, int *version, char *why, size_t why_cap)
{
	static const char sql[] = "SELECT version, name, hash FROM schema_migration ORDER BY version";
	struct query q = query_begin(s, sql);
	err bad = OK;
	int at = 0;

	while (bad == OK && query_next(&q)) {
		uint8_t stored[HASH_LEN], ours[HASH_LEN];
		int v = (int)column_int(&q);
		CLEANUP(freep) char *name = column_text(&q);
		column_blob_into(&q, stored, sizeof stored);

		if ((size_t)at == migrations_n) {
			snprintf(why, why_cap, "it has schema %d (%s), and this program knows only up to %d: start the newer program",
					v, name ? name : "?", at);
			bad = ERR_UNSUPPORTED;
			break;
		}
		const struct migration *m = &migrations[at];
		hash_migration(m, ours);
		if (v != m->version || memcmp(stored, ours, HASH_LEN) != 0) {
			snprintf(why, why_cap, "its schema %d was made by another text of migration %s than this program has", v, m->name);
			bad = ERR_INVALID;
			break;
		}
		at++;
	}
	err e = query_end(&q);
	*version = at;
	return bad != OK ? bad : e;
}

static err note_migration(struct sql *s, const struct migration *m)
{
	static const char sql[] = "INSERT INTO schema_migration (version, name, hash, applied_ms)"
				  " VALUES (:version, :name, :hash, :applied_ms)";
	struct query q = query_begin(s, sql);
	uint8_t hash[HASH_LEN];

	hash_migration(m, hash);
	query_int(&q, ":version", m->version);
	query_text(&q, ":name", m->name);
	query_blob(&q, ":hash", bytes_of(hash, sizeof hash));
	query_int(&q, ":applied_ms", clock_wall_ms());
	return query_run(&q);
}

static err apply(struct sql *s, const struct migration *m, char *why, size_t why_cap)
{
	err e = sql_exec(s, "BEGIN IMMEDIATE");

	if (e == OK)
		e = sql_exec(s, m->sql);
	if (e == OK)
		e = note_migration(s, m);
	if (e == OK)
		e = sql_exec(s, "COMMIT");
	if (e == OK)
		return OK;
	snprintf(why, why_cap, "migration %s failed: %s", m->name, s->why);
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return e;
}

err migrate(struct sqlite3 *db, char *why, size_t why_cap)
{
	struct sql s = { .db = db };
	int version = 0;

	if (why_cap)
		why[0] = 0;
	err e = begin_history(&s, why, why_cap);
	if (e == OK)
		e = check_history(&s, &version, why, why_cap);
	for (size_t i = (size_t)version; e == OK && i < migrations_n; i++)
		e = apply(&s, &migrations[i], why, why_cap);
	if (e != OK && why_cap && !why[0])
		snprintf(why, why_cap, "%s", s.why);
	for (size_t i = 0; i < s.n_kept; i++)
		sqlite3_finalize(s.kept[i].stmt);
	return e;
}
