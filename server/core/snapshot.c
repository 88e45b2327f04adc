#include "server/core/snapshot.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- one node ---- */

struct snapshot_chunk {
	unsigned refs;
	size_t n; /* records in it */
	struct record *record[SNAPSHOT_CHUNK];
};

static bool text_to(struct arena *a, const char **text)
{
	*text = arena_str(a, bytes_str(*text ? *text : ""));
	return *text != NULL;
}

static const struct prefix *prefixes_to(struct arena *a, const struct prefix *from, size_t n)
{
	struct prefix *list = arena_array(a, n + 1, sizeof *list);

	for (size_t i = 0; list && i < n; i++)
		list[i] = from[i];
	return list;
}

static bool texts_to(struct arena *a, const char *const **texts, size_t n)
{
	const char **list = arena_array(a, n + 1, sizeof(*list));

	for (size_t i = 0; list && i < n; i++) {
		list[i] = (*texts)[i];
		if (!text_to(a, &list[i]))
			return false;
	}
	*texts = list;
	return list != NULL;
}

static bool attrs_to(struct arena *a, struct policy_node *n)
{
	struct policy_attr *list = arena_array(a, n->n_attrs + 1, sizeof *list);

	for (size_t i = 0; list && i < n->n_attrs; i++) {
		list[i] = n->attrs[i];
		if (!text_to(a, &list[i].name) || !text_to(a, &list[i].value))
			return false;
	}
	n->attrs = list;
	return list != NULL;
}

struct record *record_new(const struct policy_node *node, const char *name, const struct prefix *announced, size_t n_announced)
{
	struct record *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->refs = 1;
	r->node = *node;
	r->name = name;
	r->n_announced = n_announced;
	r->announced = prefixes_to(&r->arena, announced, n_announced);
	r->node.routes = prefixes_to(&r->arena, node->routes, node->n_routes);
	bool good = r->announced && r->node.routes && text_to(&r->arena, &r->name) && texts_to(&r->arena, &r->node.tags, r->node.n_tags) &&
		    attrs_to(&r->arena, &r->node);
	if (good && node->user) {
		r->user = *node->user;
		r->node.user = &r->user;
		good = text_to(&r->arena, &r->user.name) && text_to(&r->arena, &r->user.email) && text_to(&r->arena, &r->user.login) &&
		       texts_to(&r->arena, &r->user.groups, r->user.n_groups);
	}
	if (good)
		return r;
	record_unref(r);
	return NULL;
}

void record_unref(struct record *r)
{
	if (!r || --r->refs > 0)
		return;
	arena_done(&r->arena);
	free(r);
}

/* ---- all of them ---- */

static void chunk_unref(struct snapshot_chunk *c)
{
	if (!c || --c->refs > 0)
		return;
	for (size_t i = 0; i < SNAPSHOT_CHUNK; i++)
		record_unref(c->record[i]);
	free(c);
}

void snapshot_done(struct snapshot *s)
{
	for (size_t i = 0; i < s->n; i++)
		chunk_unref(s->chunk[i]);
	free(s->chunk);
	*s = (struct snapshot){ 0 };
}

static err grow(struct snapshot *s, size_t n)
{
	if (n > s->cap) {
		size_t cap = MAX_OF(n, 2 * s->cap);
		struct snapshot_chunk **more = reallocarray(s->chunk, cap, sizeof(struct snapshot_chunk *));

		if (!more)
			return ERR_NOMEM;
		s->chunk = more;
		s->cap = cap;
	}
	while (s->n < n)
		s->chunk[s->n++] = NULL;
	return OK;
}

/* The chunk, ours alone. */
static struct snapshot_chunk *own_chunk(struct snapshot *s, size_t at)
{
	struct snapshot_chunk *was = s->chunk[at];

	if (was && was->refs == 1)
		return was;
	struct snapshot_chunk *mine = calloc(1, sizeof *mine);
	if (!mine)
		return NULL;
	if (was) {
		*mine = *was;
		for (size_t i = 0; i < SNAPSHOT_CHUNK; i++)
			if (mine->record[i])
				mine->record[i]->refs++;
		was->refs--;
	}
	mine->refs = 1;
	s->chunk[at] = mine;
	return mine;
}

err snapshot_set(struct snapshot *s, uint32_t slot, struct record *taken)
{
	size_t at = slot / SNAPSHOT_CHUNK;

	if (!taken && (at >= s->n || !s->chunk[at]))
		return OK;
	struct snapshot_chunk *c = grow(s, at + 1) == OK ? own_chunk(s, at) : NULL;
	if (!c) {
		record_unref(taken);
		return ERR_NOMEM;
	}
	struct record **r = &c->record[slot % SNAPSHOT_CHUNK];
	c->n += (taken != NULL) - (size_t)(*r != NULL);
	record_unref(*r);
	*r = taken;
	return OK;
}

err snapshot_copy(const struct snapshot *s, struct snapshot *out)
{
	struct snapshot copy = { 0 };

	TRY(grow(&copy, s->n));
	for (size_t i = 0; i < s->n; i++) {
		copy.chunk[i] = s->chunk[i];
		if (copy.chunk[i])
			copy.chunk[i]->refs++;
	}
	*out = copy;
	return OK;
}

const struct record *snapshot_get(const struct snapshot *s, size_t slot)
{
	size_t at = slot / SNAPSHOT_CHUNK;

	return at < s->n && s->chunk[at] ? s->chunk[at]->record[slot % SNAPSHOT_CHUNK] : NULL;
}

static const struct snapshot_chunk *chunk_at(const struct snapshot *s, size_t i)
{
	return i < s->n ? s->chunk[i] : NULL;
}

bool snapshot_differs(const struct snapshot *a, const struct snapshot *b, size_t *at)
{
	size_t end = MAX_OF(snapshot_slots(a), snapshot_slots(b));

	while (*at < end) {
		if (*at % SNAPSHOT_CHUNK == 0 && chunk_at(a, *at / SNAPSHOT_CHUNK) == chunk_at(b, *at / SNAPSHOT_CHUNK)) {
			*at += SNAPSHOT_CHUNK;
			continue;
		}
		++*at;
		if (snapshot_get(a, *at - 1) != snapshot_get(b, *at - 1))
			return true;
	}
	return false;
}
