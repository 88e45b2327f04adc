#include "common/net/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/base/cleanup.h"

/* One name in one folder. A path that leads through links has several. */
struct spot {
	char *folder, *name; /* owned */
	int wd;		     /* -1: the folder is not there */
};

enum { SPOTS_MAX = 3 * WATCH_FILES_MAX };

struct watch {
	struct loop *loop;
	struct loop_io *io;
	struct loop_timer settle, retry;
	int fd;
	watch_fn changed;
	void *ctx;
	char **path; /* owned */
	size_t n_paths;
	struct spot spot[SPOTS_MAX];
	size_t n_spots;
};

static const uint32_t WANTED = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF;

static void forget_spots(struct watch *w)
{
	for (size_t i = 0; i < w->n_spots; i++) {
		bool shared = false;

		for (size_t k = i + 1; k < w->n_spots; k++) /* inotify has one watch a folder */
			shared |= w->spot[k].wd == w->spot[i].wd;
		if (w->spot[i].wd >= 0 && !shared)
			inotify_rm_watch(w->fd, w->spot[i].wd);
		free(w->spot[i].folder);
		free(w->spot[i].name);
	}
	w->n_spots = 0;
}

static err add_spot(struct watch *w, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct spot s = { .wd = -1 };

	if (w->n_spots == SPOTS_MAX)
		return ERR_TOO_BIG;
	s.folder = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	s.name = strdup(slash ? slash + 1 : path);
	if (!s.folder || !s.name) {
		free(s.folder);
		free(s.name);
		return ERR_NOMEM;
	}
	s.wd = inotify_add_watch(w->fd, s.folder, WANTED);
	w->spot[w->n_spots++] = s;
	return OK;
}

/* The path as it is written, where its links lead, and what its folder is called there. */
static err add_path(struct watch *w, const char *path)
{
	CLEANUP(freep) char *real = realpath(path, NULL);

	TRY(add_spot(w, path));
	return real && strcmp(real, path) != 0 ? add_spot(w, real) : OK;
}

static err look(struct watch *w)
{
	bool missing = false;
	err e = OK;

	forget_spots(w);
	for (size_t i = 0; i < w->n_paths && e == OK; i++)
		e = add_path(w, w->path[i]);
	for (size_t i = 0; i < w->n_spots; i++)
		missing |= w->spot[i].wd < 0;
	if (missing)
		loop_timer_in(&w->retry, WATCH_RETRY_MS);
	else
		loop_timer_stop(&w->retry);
	return e;
}

static void on_settled(struct loop_timer *t)
{
	struct watch *w = container_of(t, struct watch, settle);

	if (look(w) != OK) /* a link may lead elsewhere now */
		loop_timer_in(&w->retry, WATCH_RETRY_MS);
	w->changed(w->ctx);
}

static bool is_there(const struct watch *w)
{
	for (size_t i = 0; i < w->n_spots; i++)
		if (w->spot[i].wd < 0)
			return false;
	return true;
}

static void on_retry(struct loop_timer *t)
{
	struct watch *w = container_of(t, struct watch, retry);

	if (look(w) == OK && is_there(w))
		w->changed(w->ctx); /* the folder came */
}

/* "..data" is the link that Kubernetes turns when it has written a new set of files. */
static bool concerns(const struct watch *w, const struct inotify_event *e)
{
	if (e->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW))
		return !(e->mask & IN_IGNORED);
	for (size_t i = 0; i < w->n_spots; i++)
		if (w->spot[i].wd == e->wd && e->len && (strcmp(w->spot[i].name, e->name) == 0 || strcmp(e->name, "..data") == 0))
			return true;
	return false;
}

static void on_events(struct loop_io *io, unsigned ready, void *ctx)
{
	struct watch *w = ctx;
	_Alignas(struct inotify_event) char text[8192];
	bool hit = false;
	ssize_t n;

	(void)io;
	(void)ready;
	while ((n = read(w->fd, text, sizeof text)) > 0)
		for (size_t at = 0; at + sizeof(struct inotify_event) <= (size_t)n;) {
			const struct inotify_event *e = (const struct inotify_event *)(const void *)(text + at);

			hit |= concerns(w, e);
			at += sizeof *e + e->len;
		}
	if (hit)
		loop_timer_in(&w->settle, WATCH_SETTLE_MS);
}

err watch_new(struct loop *l, watch_fn changed, void *ctx, struct watch **out)
{
	struct watch *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NOMEM;
	w->loop = l;
	w->changed = changed;
	w->ctx = ctx;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	loop_timer_init(&w->settle, l, on_settled);
	loop_timer_init(&w->retry, l, on_retry);
	err e = w->fd < 0 ? ERR_SYS : loop_io_new(l, w->fd, on_events, w, &w->io);
	if (e != OK) {
		watch_free(w);
		return e;
	}
	loop_io_want(w->io, LOOP_READ);
	*out = w;
	return OK;
}

static void forget_paths(struct watch *w)
{
	for (size_t i = 0; i < w->n_paths; i++)
		free(w->path[i]);
	free(w->path);
	w->path = NULL;
	w->n_paths = 0;
}

err watch_files(struct watch *w, const char *const *paths, size_t n)
{
	if (n > WATCH_FILES_MAX)
		return ERR_TOO_BIG;
	forget_paths(w);
	w->path = calloc(n + 1, sizeof(char *));
	if (!w->path)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!paths[i][0])
			continue;
		w->path[w->n_paths] = strdup(paths[i]);
		if (!w->path[w->n_paths++])
			return ERR_NOMEM;
	}
	return look(w);
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	loop_io_close(w->io);
	loop_timer_done(&w->settle);
	loop_timer_done(&w->retry);
	forget_spots(w);
	forget_paths(w);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}
