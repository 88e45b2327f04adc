#include "server/policy/bunch.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- kinds ---- */

struct placed { /* a node on its way to its kind */
	uint32_t was, is, place;
	bool person;
};

static int by_classes(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->was != y->was)
		return x->was < y->was ? -1 : 1;
	if (x->is != y->is)
		return x->is < y->is ? -1 : 1;
	if (x->person != y->person)
		return x->person ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Users get small numbers. */
static err number_users(const struct policy_world *w, struct kinds *out)
{
	CLEANUP(freep) int64_t *id = calloc(w->n + 1, sizeof *id);
	size_t n = 0, k = 0;

	out->user = calloc(w->n + 1, sizeof *out->user);
	if (!id || !out->user)
		return ERR_NOMEM;
	for (size_t i = 0; i < w->n; i++)
		if (!w->node[i].node->n_tags && w->node[i].node->user)
			id[n++] = w->node[i].node->user_id;
	if (n)
		qsort(id, n, sizeof *id, by_value);
	for (size_t i = 0; i < n; i++)
		if (!i || id[i] != id[k - 1])
			id[k++] = id[i];
	out->n_users = k;
	for (size_t i = 0; i < w->n; i++) {
		int64_t *at = !w->node[i].node->n_tags && w->node[i].node->user ?
				      bsearch(&w->node[i].node->user_id, id, k, sizeof *id, by_value) :
				      NULL;
		out->user[i] = at ? (uint32_t)(at - id) + 1 : 0;
	}
	return OK;
}

static err fill_kinds(const struct policy_world *was, const struct policy_world *is, struct placed *list, struct kinds *out)
{
	size_t n = 0;

	TRY(number_users(is, out));
	for (size_t i = 0; i < is->n; i++) {
		int64_t id = is->node[i].node->id;
		const struct view_node *a = map_get(&was->view->by_id, &id), *b = map_get(&is->view->by_id, &id);

		if (a && b)
			list[n++] = (struct placed){ a->cls, b->cls, (uint32_t)i, out->user[i] != 0 };
	}
	if (n)
		qsort(list, n, sizeof *list, by_classes);
	for (size_t i = 0; i < n; i++) {
		struct kind *last = out->n ? &out->k[out->n - 1] : NULL;

		out->node[i] = list[i].place;
		if (last && last->was == list[i].was && last->is == list[i].is && list[i - 1].person == list[i].person)
			last->n++;
		else
			out->k[out->n++] = (struct kind){ .was = list[i].was, .is = list[i].is, .first = (uint32_t)i, .n = 1 };
	}
	return OK;
}

err kinds_of(const struct policy_world *was, const struct policy_world *is, struct kinds *out)
{
	CLEANUP(freep) struct placed *list = calloc(is->n + 1, sizeof *list);

	*out = (struct kinds){ .k = calloc(is->n + 1, sizeof *out->k), .node = calloc(is->n + 1, sizeof *out->node) };
	if (!list || !out->k || !out->node)
		return ERR_NOMEM;
	return fill_kinds(was, is, list, out);
}

void kinds_done(struct kinds *k)
{
	free(k->k);
	free(k->node);
	free(k->user);
	*k = (struct kinds){ 0 };
}

/* ---- rights ---- */

static void source_rights(const struct rights *r, const struct policy_class *c, uint64_t *out)
{
	const struct policy *p = r->w->view->p;

	if (r->ssh) {
		for (size_t i = 0; i < p->n_ssh; i++)
			if (class_in_set(r->w->view, c, &p->set[p->ssh[i].src]))
				bit_set(out, i);
		return;
	}
	BITS_EACH(i, c->src, policy_words(p))
		if (!c->n_route || class_in_set(r->w->view, c, &p->set[p->rule[i].src]))
			bit_set(out, i);
}

static void mix(struct class_key *k, uint64_t x)
{
	const uint64_t part[] = { k->a, k->b, x };

	*k = (struct class_key){ map_hash(part, sizeof part), k->b * 31 + x + 1 };
}

static void destination_rights(const struct rights *r, const struct policy_class *c, uint64_t *out, struct class_key *key)
{
	const struct policy *p = r->w->view->p;

	for (size_t i = 0; r->ssh && i < p->n_ssh; i++)
		if (ssh_is_dst(c, &p->ssh[i])) {
			bit_set(out, i);
			mix(key, i);
		}
	BITS_EACH(i, c->dst, r->ssh ? 0 : policy_words(p))
		for (size_t d = p->rule[i].first_dst; d < p->rule[i].first_dst + p->rule[i].n_dst; d++)
			if (dst_is_node(p, c, &p->dst[d])) {
				bit_set(out, i);
				mix(key, d);
			}
}

err rights_of(const struct policy_world *w, bool ssh, struct rights *out)
{
	const struct policy *p = w->view->p;
	size_t words = (ssh ? (p->n_ssh + 63) / 64 : policy_words(p)) + 1, n = w->view->n_cls;

	*out = (struct rights){ .w = w, .ssh = ssh, .words = words };
	out->src = calloc(n + 1, words * sizeof *out->src);
	out->dst = calloc(n + 1, words * sizeof *out->dst);
	out->dst_key = calloc(n + 1, sizeof *out->dst_key);
	if (!out->src || !out->dst || !out->dst_key)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!w->view->cls[i]->members)
			continue;
		source_rights(out, w->view->cls[i], out->src + i * words);
		destination_rights(out, w->view->cls[i], out->dst + i * words, &out->dst_key[i]);
	}
	return OK;
}

void rights_done(struct rights *r)
{
	free(r->src);
	free(r->dst);
	free(r->dst_key);
	*r = (struct rights){ 0 };
}

/* ---- bunches ---- */

static err bunch_for(struct bunches *list, struct class_key key, uint32_t kind, const struct kinds *k, uint32_t *out)
{
	struct bunch *b = map_get(&list->by_key, &key);

	if (!b) {
		b = &list->b[list->n];
		*b = (struct bunch){ .key = key, .kind = kind, .person = k->user[k->node[k->k[kind].first]] != 0 };
		TRY(map_put(&list->by_key, b));
		list->n++;
	}
	b->n_kinds++;
	b->machines += k->k[kind].n;
	*out = (uint32_t)(b - list->b);
	return OK;
}

err bunches_make(struct kinds *k, const struct rights *was, const struct rights *is, struct bunches *rows, struct bunches *columns)
{
	*rows = *columns = (struct bunches){ .by_key = MAP_OF(struct bunch, key) };
	rows->b = calloc(k->n + 1, sizeof *rows->b);
	columns->b = calloc(k->n + 1, sizeof *columns->b);
	if (!rows->b || !columns->b)
		return ERR_NOMEM;
	for (size_t i = 0; i < k->n; i++) {
		struct kind *x = &k->k[i];
		struct class_key row = { map_hash(rights_src(was, x->was), was->words * sizeof *was->src),
					 map_hash(rights_src(is, x->is), is->words * sizeof *is->src) };
		struct class_key a = was->dst_key[x->was], b = is->dst_key[x->is];
		const uint64_t parts[] = { a.a, a.b, b.a, b.b };

		row.b = row.b * 2 + (k->user[k->node[x->first]] != 0);
		TRY(bunch_for(rows, row, (uint32_t)i, k, &x->row));
		TRY(bunch_for(columns, (struct class_key){ map_hash(parts, sizeof parts), a.b ^ b.b }, (uint32_t)i, k, &x->column));
	}
	return OK;
}

void bunches_done(struct bunches *b)
{
	map_done(&b->by_key);
	free(b->b);
	*b = (struct bunches){ 0 };
}
