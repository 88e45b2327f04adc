#include "common/wire/tka_chain.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

enum { NONE = TKA_CHAIN_MAX };

struct link {
	uint8_t *raw; /* owned */
	size_t n;
	struct tka_aum aum; /* borrowed from raw */
	size_t parent, first_child, next_sibling; /* NONE: none */
};

struct tka_chain {
	struct link *link; /* owned pointers would do; links move only while growing, raw does not */
	size_t n, cap;
	size_t *active; /* indexes from the genesis to the head */
	size_t n_active;
	struct tka_state state; /* at the head */
};

err tka_chain_new(struct tka_chain **out)
{
	struct tka_chain *c = calloc(1, sizeof *c);

	if (!c)
		return ERR_NOMEM;
	err e = tka_state_init(&c->state);
	if (e != OK) {
		free(c);
		return e;
	}
	*out = c;
	return OK;
}

void tka_chain_free(struct tka_chain *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		free(c->link[i].raw);
	free(c->link);
	free(c->active);
	tka_state_done(&c->state);
	free(c);
}

static size_t find(const struct tka_chain *c, const struct tka_hash *h)
{
	for (size_t i = c->n; i-- > 0;) /* the newest are asked for */
		if (tka_hash_eq(&c->link[i].aum.hash, h))
			return i;
	return NONE;
}

static bool is_active(const struct tka_chain *c, size_t i, size_t *at)
{
	for (size_t k = c->n_active; k-- > 0;)
		if (c->active[k] == i) {
			*at = k;
			return true;
		}
	return false;
}

/* The state after link i. *s is initialised and empty. */
static err state_at(const struct tka_chain *c, size_t i, struct tka_state *s)
{
	const char *why;
	size_t n = 0;
	CLEANUP(freep) size_t *path = malloc((c->n + 1) * sizeof *path);

	if (!path)
		return ERR_NOMEM;
	for (size_t at = i; at != NONE; at = c->link[at].parent) {
		path[n++] = at;
		if (c->link[at].aum.kind == TKA_CHECKPOINT)
			break; /* it holds the whole state */
	}
	while (n--)
		TRY(tka_state_apply(s, &c->link[path[n]].aum, &why));
	return OK;
}

/* Does a stand before b as successor of the state s? */
static bool wins(const struct tka_aum *a, const struct tka_aum *b, const struct tka_state *s)
{
	uint64_t wa = tka_aum_weight(a, s), wb = tka_aum_weight(b, s);

	if (wa != wb)
		return wa > wb;
	if ((a->kind == TKA_REMOVE_KEY) != (b->kind == TKA_REMOVE_KEY))
		return a->kind == TKA_REMOVE_KEY;
	return memcmp(a->hash.b, b->hash.b, TKA_HASH_LEN) < 0;
}

/* Follows the forks from the genesis anew. */
static err resolve(struct tka_chain *c)
{
	struct tka_state s;
	const char *why;
	size_t n = 0;

	TRY(tka_state_init(&s));
	err e = OK;
	for (size_t at = 0; at != NONE && e == OK;) {
		e = tka_state_apply(&s, &c->link[at].aum, &why);
		c->active[n++] = at;
		size_t best = NONE;
		for (size_t child = c->link[at].first_child; child != NONE; child = c->link[child].next_sibling)
			if (best == NONE || wins(&c->link[child].aum, &c->link[best].aum, &s))
				best = child;
		at = best;
	}
	if (e != OK) {
		tka_state_done(&s);
		return e;
	}
	c->n_active = n;
	tka_state_done(&c->state);
	c->state = s;
	return OK;
}

static err grow(struct tka_chain *c)
{
	if (c->n < c->cap)
		return OK;
	size_t cap = c->cap ? c->cap * 2 : 8;
	struct link *links = realloc(c->link, cap * sizeof *links);
	if (!links)
		return ERR_NOMEM;
	c->link = links;
	size_t *active = realloc(c->active, cap * sizeof *active);
	if (!active)
		return ERR_NOMEM;
	c->active = active;
	c->cap = cap;
	return OK;
}

static err verify(struct tka_chain *c, size_t parent, const struct tka_aum *a, const char **why)
{
	struct tka_state s;

	TRY(tka_state_init(&s));
	err e = parent == NONE ? OK : state_at(c, parent, &s);
	if (e == OK)
		e = tka_aum_verify(a, &s, why);
	if (e == OK)
		e = tka_state_apply(&s, a, why);
	tka_state_done(&s);
	return e;
}

err tka_chain_add(struct tka_chain *c, struct bytes raw, struct tka_hash *hash, const char **why)
{
	struct tka_aum a;
	size_t parent = NONE;

	*why = "the update cannot be read";
	TRY(tka_aum_parse(raw, &a));
	*hash = a.hash;
	if (find(c, &a.hash) != NONE) {
		*why = "the update is known already";
		return ERR_EXISTS;
	}
	if (c->n == TKA_CHAIN_MAX) {
		*why = "the lock has as many updates as it may have";
		return ERR_TOO_BIG;
	}
	if (c->n && a.has_parent)
		parent = find(c, &a.parent);
	if (c->n && parent == NONE) {
		*why = "the update follows one that is not known here";
		return ERR_NOT_FOUND;
	}
	*why = "the update cannot be checked";
	TRY(verify(c, parent, &a, why));
	*why = "out of memory";
	TRY(grow(c));
	struct link l = { .raw = malloc(raw.n), .n = raw.n, .parent = parent, .first_child = NONE, .next_sibling = NONE };
	if (!l.raw)
		return ERR_NOMEM;
	memcpy(l.raw, raw.p, raw.n);
	err e = tka_aum_parse(bytes_of(l.raw, l.n), &l.aum); /* its views point into our copy */
	if (e != OK) {
		free(l.raw);
		return e;
	}
	size_t i = c->n++;
	c->link[i] = l;
	if (parent != NONE) {
		c->link[i].next_sibling = c->link[parent].first_child;
		c->link[parent].first_child = i;
	}
	e = resolve(c);
	if (e != OK) { /* out of memory: as if it had not come */
		if (parent != NONE)
			c->link[parent].first_child = c->link[i].next_sibling;
		free(c->link[i].raw);
		c->n--;
	}
	return e;
}

size_t tka_chain_len(const struct tka_chain *c)
{
	return c->n;
}

struct bytes tka_chain_raw(const struct tka_chain *c, size_t i)
{
	return bytes_of(c->link[i].raw, c->link[i].n);
}

const struct tka_hash *tka_chain_head(const struct tka_chain *c)
{
	return &c->state.head;
}

const struct tka_state *tka_chain_state(const struct tka_chain *c)
{
	return &c->state;
}

size_t tka_chain_ancestors(const struct tka_chain *c, struct tka_hash *out, size_t cap)
{
	size_t n = 0;

	for (size_t k = c->n_active; k-- > 1 && n + 1 < cap;)
		if (c->link[c->active[k]].aum.kind == TKA_CHECKPOINT)
			out[n++] = c->link[c->active[k]].aum.hash;
	out[n++] = c->link[0].aum.hash;
	return n;
}

err tka_chain_missing(const struct tka_chain *c, const struct tka_hash *head, const struct tka_hash *ancestors, size_t n, size_t *out,
		size_t *n_out)
{
	size_t at = 0, common = find(c, head);
	bool found = common != NONE && is_active(c, common, &at);

	for (size_t i = 0; i < n && !found; i++) { /* the newest first */
		common = find(c, &ancestors[i]);
		found = common != NONE && is_active(c, common, &at);
	}
	if (!found)
		return ERR_NOT_FOUND;
	*n_out = 0;
	for (size_t k = at + 1; k < c->n_active; k++)
		out[(*n_out)++] = c->active[k];
	return OK;
}
