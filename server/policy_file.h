/* policy_file: the policy that lives in a file (policy.mode = "file"): set at start, and again whenever the file changes. A
 * text that is refused is logged with every fault, and the policy in force stays. */
#pragma once

#include <stddef.h>

#include "common/net/loop.h"

struct policy_file;
struct event;

/* path is borrowed until policy_file_free. Reads the file and waits for the core's word: ERR_INVALID and why when the file
 * cannot be read or its text is refused while no policy was ever set, for the tailnet would be open then. */
MUST_USE err policy_file_start(struct loop *l, const char *path, void (*post)(void *ctx, struct event *e), void *ctx, char *why,
			       size_t why_cap, struct policy_file **out);
void policy_file_stop(struct policy_file *f); /* no more changes; on the loop's thread. NULL is fine */
void policy_file_free(struct policy_file *f); /* when the core has stopped. NULL is fine */
