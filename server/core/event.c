#include "server/core/event.h"

#include "common/base/cleanup.h"

enum { EVENT_BYTES_MAX = 8 << 20 }; /* a node's request is at most 1 MiB of JSON, and takes a few times that decoded */

struct event *event_new(enum event_kind kind)
{
	struct event *e = calloc(1, sizeof *e);

	if (!e)
		return NULL;
	e->kind = kind;
	e->arena = arena_make(EVENT_BYTES_MAX);
	return e;
}

void event_free(struct event *e)
{
	if (!e)
		return;
	command_free(e->command);
	if (e->sink)
		map_sink_unref(e->sink);
	arena_done(&e->arena);
	free(e);
}

struct map_sink *map_sink_ref(struct map_sink *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void map_sink_unref(struct map_sink *s)
{
	if (s && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
		s->destroy(s);
}
