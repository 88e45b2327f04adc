#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

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
