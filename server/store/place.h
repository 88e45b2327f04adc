/* place: where the database lies: makes or tightens the file, refuses places where SQLite's locks and shared memory do
 * not hold, and keeps a second server out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct place {
	char *path;  /* absolute, owned */
	int lock_fd; /* holds a flock on the file. Closed last: closing any descriptor of the file drops SQLite's own locks */
};

/* Creates the file (0600) when it is not there, and takes the lock. why: one sentence without the path. */
MUST_USE err place_take(const char *path, struct place *out, char *why, size_t why_cap);
void place_done(struct place *p);

/* The name of a network file system, or NULL. magic: statfs f_type; mount_type: as /proc/self/mountinfo has it, or "". */
const char *place_network_fs(int64_t magic, const char *mount_type);
