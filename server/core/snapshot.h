/* snapshot: what a policy can ask about the nodes of a tailnet, frozen, so that a worker reads it while the core goes on.
 *
 * Records are immutable and shared. They lie in chunks by slot, and a chunk that somebody else holds is copied before it
 * changes; so a snapshot costs one reference a chunk, and a change costs at most one chunk. All counting and freeing is done
 * by the core's thread: a job brings its snapshot home. */
#pragma once

#include "common/base/arena.h"
#include "server/policy/policy.h"

enum { SNAPSHOT_CHUNK = 64 };

struct record {
	unsigned refs;
	struct arena arena; /* owns what node points to */
	struct policy_node node;
	struct policy_user user;
	const char *name; /* given name, a DNS label */
	const struct prefix *announced; /* Hostinfo.RoutableIPs, masked, approved or not */
	size_t n_announced;
};
/* node and all that it points to is copied. NULL: out of memory. */
struct record *record_new(const struct policy_node *node, const char *name, const struct prefix *announced, size_t n_announced);
void record_unref(struct record *r);

struct snapshot_chunk;

struct snapshot {
	struct snapshot_chunk **chunk; /* owned array; NULL: no nodes there */
	size_t n, cap;
};
void snapshot_done(struct snapshot *s);
/* taken NULL empties the slot. ERR_NOMEM: nothing changed but that taken is gone. */
MUST_USE err snapshot_set(struct snapshot *s, uint32_t slot, struct record *taken);
MUST_USE err snapshot_copy(const struct snapshot *s, struct snapshot *out);
const struct record *snapshot_get(const struct snapshot *s, size_t slot); /* NULL: nobody */
/* Slots from *at on in which the two differ: *at = 0; while (snapshot_differs(a, b, &at)) { … slot at - 1 }. */
bool snapshot_differs(const struct snapshot *a, const struct snapshot *b, size_t *at);

static inline size_t snapshot_slots(const struct snapshot *s)
{
	return s->n * SNAPSHOT_CHUNK;
}
