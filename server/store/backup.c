#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "server/store/sql.h"
#include "server/store/store.h"

enum { PAGES_PER_STEP = 512 }; /* 2 MB */

/* The source's read transaction stays open for the whole copy: the copy is one moment of the database, and commits that
 * run beside it do not start it over. */
static err copy_pages(struct sql *from, struct sql *to)
{
	TRY(sql_exec(from, "BEGIN; SELECT count(*) FROM sqlite_schema"));
	sqlite3_backup *b = sqlite3_backup_init(to->db, "main", from->db, "main");
	if (!b)
		return sql_fail(to, sqlite3_errcode(to->db));
	int rc;
	do {
		rc = sqlite3_backup_step(b, PAGES_PER_STEP);
	} while (rc == SQLITE_OK);
	sqlite3_backup_finish(b);
	return rc == SQLITE_DONE ? OK : sql_fail(to, rc);
}

static err backup_into(struct store *s, const char *to, char *why, size_t why_cap)
{
	struct sql from = { 0 }, copy = { 0 };
	err e = sql_open(&from, store_path(s));

	/* No log of its own: the copy must be whole in its one file. */
	if (e == OK) {
		int rc = sqlite3_open_v2(to, &copy.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
		e = rc == SQLITE_OK ? copy_pages(&from, &copy) : sql_fail(&copy, rc);
	}
	if (e != OK)
		snprintf(why, why_cap, "cannot write the backup %s: %s", to, copy.why[0] ? copy.why : from.why);
	sql_close(&copy);
	sql_close(&from);
	return e;
}

err store_backup(struct store *s, const char *to, char *why, size_t why_cap)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		bool there = errno == EEXIST;
		snprintf(why, why_cap, "cannot write the backup %s: %s", to, there ? "the file is there already" : strerror(errno));
		return there ? ERR_EXISTS : ERR_SYS;
	}
	close(fd);
	CLEANUP(freep) char *full = realpath(to, NULL); /* SQLite gives some names a meaning of their own */
	err e = full ? backup_into(s, full, why, why_cap) : ERR_NOMEM;
	if (e != OK)
		unlink(to);
	return e;
}

/* "file:/a%20b.db?immutable=1": no log and no lock beside a file that nobody writes. */
static bool immutable_uri(const char *path, char *out, size_t cap)
{
	size_t n = (size_t)snprintf(out, cap, "file:");

	for (const char *c = path; *c; c++) {
		if (n + 4 + sizeof "?immutable=1" > cap)
			return false;
		if (*c == '%' || *c == '?' || *c == '#')
			n += (size_t)snprintf(out + n, cap - n, "%%%02x", (unsigned char)*c);
		else
			out[n++] = *c;
	}
	snprintf(out + n, cap - n, "?immutable=1");
	return true;
}

static err read_all_of(struct sql *s, char *why, size_t why_cap)
{
	static const char check[] = "PRAGMA integrity_check(1)", ours[] = "SELECT count(*) FROM schema_migration", keys[] = "SELECT count(*) FROM server_key";
	struct query q = query_begin(s, check);
	CLEANUP(freep) char *said = query_next(&q) ? column_text(&q) : NULL;
	err e = query_end(&q);
	int64_t schema = 0, n_keys = 0;

	if (e == OK && (!said || strcmp(said, "ok") != 0)) {
		snprintf(why, why_cap, "It is broken: %s", said ? said : "nothing can be read");
		return ERR_INVALID;
	}
	q = query_begin(s, ours);
	if (e == OK && query_next(&q))
		schema = column_int(&q);
	TRY(query_end(&q));
	q = query_begin(s, keys);
	if (e == OK && query_next(&q))
		n_keys = column_int(&q);
	TRY(query_end(&q));
	if (e == OK && (!schema || !n_keys)) {
		snprintf(why, why_cap, "It is no copy of a server that ever started.");
		return ERR_INVALID;
	}
	return e;
}

err store_verify_backup(const char *path, char *why, size_t why_cap)
{
	struct sql s = { 0 };
	char uri[4096 + 64];

	why[0] = 0;
	if (!immutable_uri(path, uri, sizeof uri))
		return ERR_TOO_BIG;
	int rc = sqlite3_open_v2(uri, &s.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
	err e = rc == SQLITE_OK ? read_all_of(&s, why, why_cap) : sql_fail(&s, rc);
	if (e != OK && !why[0]) {
		snprintf(why, why_cap, "It cannot be read: %s", s.why);
		e = ERR_INVALID;
	}
	sql_close(&s);
	return e;
}
