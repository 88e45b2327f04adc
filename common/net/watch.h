/* watch: tells when a file may have changed: written, replaced by a rename, made, removed. Looks at its folder through inotify,
 * and at the file itself every few seconds, for folders that inotify does not tell about (network file systems, symlinks that
 * change their target). Several changes in a row are told once. On the loop's thread. */
#pragma once

#include "common/net/loop.h"

struct file_watch;

enum { WATCH_SETTLE_MS = 100, WATCH_LOOK_MS = 5000 };

MUST_USE err file_watch_new(struct loop *l, const char *path, void (*fn)(void *ctx), void *ctx, struct file_watch **out);
void file_watch_free(struct file_watch *w); /* NULL is fine */
