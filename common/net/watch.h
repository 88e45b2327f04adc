/* watch: tells when files change, by inotify on the folders they lie in.
 *
 * A file that is written in place, replaced by a rename, removed and made again, or reached through a symbolic link that is
 * turned to another place (as Kubernetes does) is noticed. Several changes within WATCH_SETTLE_MS are told as one. What
 * changed is not said: read the files again. A folder that is not there is looked for every WATCH_RETRY_MS. */
#pragma once

#include <stddef.h>

#include "common/base/err.h"
#include "common/net/loop.h"

struct watch;

enum {
	WATCH_SETTLE_MS = 100,
	WATCH_RETRY_MS = 3000,
	WATCH_FILES_MAX = 64,
};

typedef void (*watch_fn)(void *ctx);

MUST_USE err watch_new(struct loop *l, watch_fn changed, void *ctx, struct watch **out); /* own thread, as all of this */
void watch_free(struct watch *w);
/* These files from now on, instead of those before; "" is skipped. ERR_TOO_BIG: more than WATCH_FILES_MAX. */
MUST_USE err watch_files(struct watch *w, const char *const *paths, size_t n);
