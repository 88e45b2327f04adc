#include "server/core/state.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"

/* What cannot be taken back (an ephemeral node that is deleted, a login that ran out, records that grow old) does not follow a
 * wall clock that just jumped by more than an hour, nor one that at the start lies before what was already written: for ten
 * minutes nothing is forgotten, so that whoever set the clock wrong can set it right. */

enum { JUMP_MS = 3600 * 1000, PAUSE_MS = 10 * 60 * 1000 };

static void hold_back(struct core *c, const char *why, int64_t by_ms)
{
	c->settled_ms = c->now.mono_ms + PAUSE_MS;
	log_warn(why, "by_s=%" PRId64 " nothing_is_deleted_for_s=%d", by_ms / 1000, PAUSE_MS / 1000);
}

void clock_start(struct core *c, int64_t newest_ms)
{
	c->clock_offset_ms = c->now.wall_ms - c->now.mono_ms;
	c->settled_ms = c->started_ms = c->now.mono_ms;
	if (newest_ms > c->now.wall_ms)
		hold_back(c, "the clock lies before what the database holds", newest_ms - c->now.wall_ms);
}

void clock_watch(struct core *c)
{
	int64_t offset = c->now.wall_ms - c->now.mono_ms, by = offset - c->clock_offset_ms;

	c->clock_offset_ms = offset;
	if (by > JUMP_MS || by < -JUMP_MS)
		hold_back(c, "the clock jumped", by);
}

int64_t clock_unsettled_ms(const struct core *c)
{
	return c->settled_ms > c->now.mono_ms ? c->settled_ms - c->now.mono_ms : 0;
}
