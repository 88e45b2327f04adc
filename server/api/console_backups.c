#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "server/api/backup.h"
#include "server/api/console.h"
#include "server/api/state.h"

/* Copies of the database in the folder "backups" beside it: made, looked at, fetched and removed from a browser. Whoever has one has
 * the server's private keys: only who may do everything gets at them. A name from outside is taken only in the one form that we give,
 * so it cannot lead elsewhere. */

enum {
	BACKUPS_KEPT_MAX = 30, /* more are not made: somebody has to remove old ones */
	BACKUPS_LISTED_MAX = 200,
	BACKUP_NAME_LEN = 27, /* fairlead-20261129-013800.db */
};
#define ROOM_TO_SPARE (64ull << 20)

struct backup_file {
	char name[BACKUP_NAME_LEN + 1];
	int64_t bytes, made_ms;
};

static bool is_backup_name(const char *name)
{
	static const char form[] = "fairlead-########-######.db";

	if (strlen(name) != BACKUP_NAME_LEN)
		return false;
	for (int i = 0; i < BACKUP_NAME_LEN; i++)
		if (form[i] == '#' ? name[i] < '0' || name[i] > '9' : name[i] != form[i])
			return false;
	return true;
}

/* "/var/lib/fairlead/backups"; NULL: no database in a file, or no memory. */
static const char *folder_of(struct request *r)
{
	const char *path = r->api->cfg.database_path, *slash = path ? strrchr(path, '/') : NULL;

	return slash && r->api->cfg.backup ? arena_printf(&r->arena, "%.*s/backups", (int)(slash - path), path) : NULL;
}

static enum MHD_Result no_folder(struct request *r)
{
	return answer_error(r, 501, "this server has no database file to copy");
}

/* The record is durable before next is called. */
static enum MHD_Result record(struct request *r, const char *name, const char *action, reply_handler *next)
{
	struct command *c = command_for(r, CMD_BACKUP_NOTE);

	if (c) {
		c->name = name;
		c->new_name = action;
	}
	return ask(r, c, next);
}

/* ---- the list ---- */

struct listing {
	const char *folder;
	struct backup_file file[BACKUPS_LISTED_MAX];
	size_t n;
	int64_t database_bytes, free_bytes;
};

static int newest_first(const void *a, const void *b)
{
	return strcmp(((const struct backup_file *)b)->name, ((const struct backup_file *)a)->name);
}

static void list_files(struct listing *l)
{
	DIR *d = opendir(l->folder);

	for (struct dirent *e; d && l->n < BACKUPS_LISTED_MAX && (e = readdir(d));) {
		struct backup_file *f = &l->file[l->n];
		struct stat st;
		if (!is_backup_name(e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
			continue;
		snprintf(f->name, sizeof f->name, "%.*s", BACKUP_NAME_LEN, e->d_name);
		f->bytes = st.st_size;
		f->made_ms = (int64_t)st.st_mtim.tv_sec * 1000;
		l->n++;
	}
	if (d)
		closedir(d);
	qsort(l->file, l->n, sizeof l->file[0], newest_first);
}

static void put_file(struct jsonw *w, const struct backup_file *f)
{
	jsonw_obj(w);
	jsonw_key(w, "name"), jsonw_str(w, f->name);
	jsonw_key(w, "bytes"), jsonw_int(w, f->bytes);
	jsonw_key(w, "madeMs"), jsonw_int(w, f->made_ms);
	jsonw_obj_end(w);
}

static void look_at_disk(struct request *r, struct listing *l)
{
	struct statvfs v;
	struct stat st;

	l->database_bytes = stat(r->api->cfg.database_path, &st) == 0 ? st.st_size : 0;
	const char *slash = strrchr(l->folder, '/');
	const char *beside = arena_printf(&r->arena, "%.*s/", (int)(slash - l->folder), l->folder);
	l->free_bytes = beside && statvfs(beside, &v) == 0 ? (int64_t)((unsigned long long)v.f_bavail * v.f_frsize) : -1;
}

/* On a worker: it reads a folder. */
static void look(struct request *r, struct reply *reply)
{
	struct listing *l = r->keep;

	(void)reply;
	list_files(l);
	look_at_disk(r, l);
}

static struct listing *listing_of(struct request *r)
{
	const char *folder = folder_of(r);
	struct listing *l = folder ? arena_alloc(&r->arena, sizeof *l) : NULL;

	if (l)
		l->folder = folder;
	return l;
}

static enum MHD_Result on_listed(struct request *r, const struct reply *reply)
{
	const struct listing *l = r->keep;
	struct buf out;

	FAIL_ON(r, reply);
	struct jsonw w = console_begin(&out);
	jsonw_key(&w, "folder"), jsonw_str(&w, l->folder);
	jsonw_key(&w, "databaseBytes"), jsonw_int(&w, l->database_bytes);
	jsonw_key(&w, "freeBytes"), jsonw_int(&w, l->free_bytes);
	jsonw_key(&w, "most"), jsonw_int(&w, BACKUPS_KEPT_MAX);
	jsonw_key(&w, "backups"), jsonw_arr(&w);
	for (size_t i = 0; i < l->n; i++)
		put_file(&w, &l->file[i]);
	jsonw_arr_end(&w);
	return console_end(r, &w, &out);
}

enum MHD_Result console_backups(struct request *r)
{
	r->keep = listing_of(r);
	return r->keep ? work_for(r, look, on_listed) : no_folder(r);
}

/* ---- making one ---- */

/* Under another name until it is whole: what is listed can be used. */
static err make_whole(struct api *a, const char *path, char *why, size_t why_cap)
{
	const char *slash = strrchr(path, '/');
	char part[4096];
	int n = snprintf(part, sizeof part, "%.*s/unfinished.db", (int)(slash - path), path);

	if (n < 0 || (size_t)n >= sizeof part) {
		snprintf(why, why_cap, "the name of the backups' folder is too long");
		return ERR_INVALID;
	}
	unlink(part); /* of a server that was killed in the middle of it; this is the only one at work */
	err e = a->cfg.backup(a->cfg.ctx, part, why, why_cap);
	if (e == OK && link(part, path) != 0) { /* never over another one */
		e = errno == EEXIST ? ERR_EXISTS : ERR_SYS;
		snprintf(why, why_cap, "the backup could not be given its name: %s", strerror(errno));
	}
	unlink(part);
	return e;
}

static enum MHD_Result on_made_recorded(struct request *r, const struct reply *reply)
{
	const char *path = r->keep;
	struct backup_file f = { 0 };
	struct stat st;
	struct buf out;

	FAIL_ON(r, reply);
	if (stat(path, &st) == 0) {
		f.bytes = st.st_size;
		f.made_ms = (int64_t)st.st_mtim.tv_sec * 1000;
	}
	snprintf(f.name, sizeof f.name, "%.*s", BACKUP_NAME_LEN, strrchr(path, '/') + 1);
	log_info("backup made", "by=%s name=%s bytes=%" PRId64, log_qs(r->actor).s, f.name, f.bytes);
	struct jsonw w = console_begin(&out);
	jsonw_key(&w, "backup"), put_file(&w, &f);
	return console_end(r, &w, &out);
}

static enum MHD_Result on_made(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return record(r, strrchr(r->keep, '/') + 1, "create", on_made_recorded);
}

static enum MHD_Result on_room(struct request *r, const struct reply *reply)
{
	const struct listing *l = r->keep;
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct tm tm;
	char stamp[32];

	FAIL_ON(r, reply);
	if (l->n >= BACKUPS_KEPT_MAX)
		return answer_error(r, 409, "there are as many backups as this server keeps: remove one first");
	if (l->free_bytes >= 0 && l->free_bytes < l->database_bytes + (int64_t)ROOM_TO_SPARE)
		return answer_error(r, 409, "the disk has no room for another copy of the database");
	if (mkdir(l->folder, 0700) != 0 && errno != EEXIST)
		return answer_error(r, 500, arena_printf(&r->arena, "the folder %s cannot be made: %s", l->folder, strerror(errno)));
	const char *path = NULL;
	struct stat st;
	do { /* the first second from now that has none */
		gmtime_r(&now, &tm);
		strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
		path = arena_printf(&r->arena, "%s/fairlead-%s.db", l->folder, stamp);
		now++;
	} while (path && lstat(path, &st) == 0);
	return path ? run_long(r, make_whole, path, on_made) : answer_error(r, 500, "out of memory");
}

enum MHD_Result console_backup_make(struct request *r)
{
	r->keep = listing_of(r);
	return r->keep ? work_for(r, look, on_room) : no_folder(r);
}

/* ---- one of them ---- */

/* NULL: answered. */
static const char *path_of(struct request *r, enum MHD_Result *answered)
{
	const char *folder = folder_of(r), *path = NULL;
	struct stat st;

	if (!folder) {
		*answered = no_folder(r);
		return NULL;
	}
	if (is_backup_name(r->param[0]))
		path = arena_printf(&r->arena, "%s/%s", folder, r->param[0]);
	if (!path || lstat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
		*answered = answer_error(r, 404, "there is no such backup");
		return NULL;
	}
	return path;
}

static enum MHD_Result on_fetch_recorded(struct request *r, const struct reply *reply)
{
	const char *path = r->keep;
	struct stat st;

	FAIL_ON(r, reply);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0) {
		if (fd >= 0)
			close(fd);
		return answer_error(r, 500, "the backup cannot be read");
	}
	log_warn("backup fetched", "by=%s name=%s", log_qs(r->actor).s, r->param[0]);
	r->download = r->param[0];
	struct MHD_Response *response = MHD_create_response_from_fd64((uint64_t)st.st_size, fd); /* fd is taken */
	if (!response)
		close(fd);
	return answer_response(r, 200, "application/vnd.sqlite3", response);
}

enum MHD_Result console_backup_get(struct request *r)
{
	enum MHD_Result answered;
	const char *path = path_of(r, &answered);

	if (!path)
		return answered;
	r->keep = arena_str(&r->arena, bytes_str(path));
	return r->keep ? record(r, r->param[0], "fetch", on_fetch_recorded) : answer_error(r, 500, "out of memory");
}

static enum MHD_Result on_removal_recorded(struct request *r, const struct reply *reply)
{
	const char *path = r->keep;

	FAIL_ON(r, reply);
	if (unlink(path) != 0)
		return answer_error(r, 500, arena_printf(&r->arena, "the backup cannot be removed: %s", strerror(errno)));
	log_info("backup removed", "by=%s name=%s", log_qs(r->actor).s, r->param[0]);
	return answer_empty(r);
}

enum MHD_Result console_backup_delete(struct request *r)
{
	enum MHD_Result answered;
	const char *path = path_of(r, &answered);

	if (!path)
		return answered;
	r->keep = arena_str(&r->arena, bytes_str(path));
	return r->keep ? record(r, r->param[0], "delete", on_removal_recorded) : answer_error(r, 500, "out of memory");
}

static err verify(struct api *a, const char *path, char *why, size_t why_cap)
{
	return a->cfg.verify_backup(a->cfg.ctx, path, why, why_cap);
}

static enum MHD_Result on_verified(struct request *r, const struct reply *reply)
{
	struct buf out;

	if (reply->e != OK && reply->e != ERR_INVALID)
		return answer_fault(r, reply, "");
	struct jsonw w = console_begin(&out);
	jsonw_key(&w, "whole"), jsonw_bool(&w, reply->e == OK);
	jsonw_key(&w, "text"), jsonw_str(&w, reply->e == OK ? "It is whole: a server starts from it." : reply->message ? reply->message : "It is broken.");
	return console_end(r, &w, &out);
}

enum MHD_Result console_backup_verify(struct request *r)
{
	enum MHD_Result answered;
	const char *path = path_of(r, &answered);

	if (!path)
		return answered;
	return r->api->cfg.verify_backup ? run_long(r, verify, path, on_verified) : no_folder(r);
}
