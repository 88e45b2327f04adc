#include "server/map/encode.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

struct composer composer_make(void)
{
	return (struct composer){ .text = buf_make(MAP_TEXT_MAX) };
}

void composer_done(struct composer *c)
{
	for (size_t i = 0; i < c->n; i++)
		part_unref(c->part[i]);
	free(c->part);
	buf_done(&c->text);
	*c = (struct composer){ 0 };
}

/* p's reference is taken. */
static void push(struct composer *c, struct part *p)
{
	if (!p) {
		c->bad = true;
		return;
	}
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		struct part **grown = reallocarray(c->part, cap, sizeof(struct part *));

		if (!grown) {
			part_unref(p);
			c->bad = true;
			return;
		}
		c->part = grown;
		c->cap = cap;
	}
	c->part[c->n++] = p;
}

static void seal_text(struct composer *c)
{
	if (c->text.bad)
		c->bad = true;
	if (buf_len(&c->text) == 0)
		return;
	push(c, part_new(&c->text));
	c->text = buf_make(MAP_TEXT_MAX);
}

void compose_part(struct composer *c, struct part *p)
{
	if (part_text(p).n < PART_WORTH) {
		buf_append(&c->text, part_text(p));
		return;
	}
	seal_text(c);
	push(c, part_ref(p));
}

err compose_msg(struct composer *c, struct map_msg **out)
{
	seal_text(c);
	if (c->bad)
		return ERR_NOMEM;
	if (c->n > MAP_MSG_PARTS_MAX)
		return ERR_TOO_BIG;
	struct map_msg *m = map_msg_new(c->part, c->n);

	c->n = 0; /* the references are the message's, or gone */
	if (!m)
		return ERR_NOMEM;
	*out = m;
	return OK;
}

void compose_filters(struct composer *c, const struct policy_filter *f, size_t n, bool all)
{
	buf_append_u8(&c->text, '{');
	if (all)
		buf_append_str(&c->text, "\"*\":null");
	for (size_t i = 0; i < n; i++) {
		struct jsonw w = jsonw_init(&c->text);

		w.comma = all || i > 0;
		jsonw_key_bytes(&w, bytes_str(f[i].name));
		if (f[i].rules)
			compose_part(c, f[i].rules);
		else
			jsonw_null(&w);
	}
	buf_append_u8(&c->text, '}');
}

void id_set_done(struct id_set *s)
{
	free(s->id);
	free(s->place);
	*s = (struct id_set){ 0 };
}

static size_t place_of(const struct id_set *s, int64_t id)
{
	uint64_t at = (uint64_t)id * UINT64_C(0x9e3779b97f4a7c15);

	for (at = (at >> 32) & (s->n_places - 1);; at = (at + 1) & (s->n_places - 1))
		if (!s->place[at] || s->id[s->place[at] - 1] == id)
			return at;
}

/* The table is at most half full. */
static bool make_places(struct id_set *s, size_t n)
{
	uint32_t *place = calloc(n, sizeof *place);

	if (!place)
		return false;
	free(s->place);
	s->place = place;
	s->n_places = n;
	for (size_t i = 0; i < s->n; i++)
		s->place[place_of(s, s->id[i])] = (uint32_t)i + 1;
	return true;
}

void id_set_add(struct id_set *s, int64_t id)
{
	/* Neighbours often share their user. */
	if (s->n && s->id[s->n - 1] == id)
		return;
	if (2 * (s->n + 1) > s->n_places && !make_places(s, s->n_places ? 2 * s->n_places : 64)) {
		s->bad = true;
		return;
	}
	uint32_t *place = &s->place[place_of(s, id)];
	if (*place)
		return;
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 32;
		int64_t *grown = reallocarray(s->id, cap, sizeof *grown);

		if (!grown) {
			s->bad = true;
			return;
		}
		s->id = grown;
		s->cap = cap;
	}
	s->id[s->n++] = id;
	*place = (uint32_t)s->n;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

void id_set_sort(struct id_set *s)
{
	if (s->n)
		qsort(s->id, s->n, sizeof *s->id, by_value);
	free(s->place); /* the places are other ones now; who adds more makes them again */
	s->place = NULL;
	s->n_places = 0;
}
