#include "common/net/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "common/base/bytes.h"
#include "common/base/cleanup.h"

struct file_watch {
	char *path, *name; /* owned: the whole, and its last part */
	void (*fn)(void *ctx);
	void *ctx;
	int fd; /* inotify; -1: none to be had */
	struct loop_io *io;
	struct loop_timer settle, look;
	struct stat seen; /* as it was last told */
};

static struct stat look(const struct file_watch *w)
{
	struct stat st;

	if (stat(w->path, &st) != 0)
		memset(&st, 0, sizeof st);
	return st;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void on_settled(struct loop_timer *t)
{
	struct file_watch *w = container_of(t, struct file_watch, settle);

	w->seen = look(w);
	w->fn(w->ctx);
}

static void changed(struct file_watch *w)
{
	loop_timer_in(&w->settle, WATCH_SETTLE_MS);
}

static void on_look(struct loop_timer *t)
{
	struct file_watch *w = container_of(t, struct file_watch, look);
	struct stat now = look(w);

	loop_timer_in(t, WATCH_LOOK_MS);
	if (!is_same(&now, &w->seen) && !loop_timer_armed(&w->settle))
		changed(w);
}

/* What happened does not matter: the file is looked at when it is quiet again. Only other files' news are left out. */
static void on_event(struct loop_io *io, unsigned ready, void *ctx)
{
	struct file_watch *w = ctx;
	_Alignas(struct inotify_event) char buffer[4096];
	bool ours = false;
	ssize_t n;

	(void)io;
	(void)ready;
	while ((n = read(w->fd, buffer, sizeof buffer)) > 0)
		for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
			struct inotify_event e;

			memcpy(&e, &buffer[at], sizeof e);
			ours |= (e.mask & IN_Q_OVERFLOW) || (e.len && strcmp(&buffer[at + (ssize_t)sizeof e], w->name) == 0);
			at += (ssize_t)sizeof e + (ssize_t)e.len;
		}
	if (ours)
		changed(w);
}

/* Without inotify the look every few seconds remains. */
static void watch_folder(struct loop *l, struct file_watch *w)
{
	CLEANUP(freep) char *folder = strdup(w->path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	const char *name = slash == folder ? "/" : slash ? folder : ".";

	if (!folder)
		return;
	if (slash)
		*slash = 0;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0)
		return;
	if (inotify_add_watch(w->fd, name, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE) < 0 ||
	    loop_io_new(l, w->fd, on_event, w, &w->io) != OK) {
		close(w->fd);
		w->fd = -1;
		return;
	}
	loop_io_want(w->io, LOOP_READ);
}

err file_watch_new(struct loop *l, const char *path, void (*fn)(void *ctx), void *ctx, struct file_watch **out)
{
	struct file_watch *w = calloc(1, sizeof *w);
	const char *slash = strrchr(path, '/');

	if (!w)
		return ERR_NOMEM;
	w->path = strdup(path);
	w->name = strdup(slash ? slash + 1 : path);
	w->fd = -1;
	w->fn = fn;
	w->ctx = ctx;
	loop_timer_init(&w->settle, l, on_settled);
	loop_timer_init(&w->look, l, on_look);
	if (!w->path || !w->name) {
		file_watch_free(w);
		return ERR_NOMEM;
	}
	w->seen = look(w);
	watch_folder(l, w);
	loop_timer_in(&w->look, WATCH_LOOK_MS);
	*out = w;
	return OK;
}

void file_watch_free(struct file_watch *w)
{
	if (!w)
		return;
	loop_timer_done(&w->settle);
	loop_timer_done(&w->look);
	loop_io_close(w->io);
	if (w->fd >= 0)
		close(w->fd);
	free(w->path);
	free(w->name);
	free(w);
}
