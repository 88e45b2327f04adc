#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/map.h"
#include "server/map/encode.h"

/* Text that can be made again: the one used longest ago goes when the cache is full. */
struct cached {
	struct list lru;
	struct part *part; /* a reference; NULL: not made, or dropped */
	size_t cost;	   /* what it counts as: the text, and a quarter for its compressed form */
	bool interned;	   /* it lies in a struct interned, else in a block */
};

/* Nodes whose texts lie in one part. Its first SMALL_CLASS nodes of each class lie in mixed blocks, the rest in blocks
 * of their class alone, which a viewer sees whole or not at all. */
struct block {
	struct cached cached;	      /* ",{…},{…}" */
	struct list all;	      /* of the cache */
	struct list room;	      /* of its class (or the mixed ones), while it is not full */
	struct shelf *shelf;
	size_t n;
	uint32_t slot[MAP_BLOCK], cls[MAP_BLOCK];
	size_t at[MAP_BLOCK + 1];     /* where each node's text begins, comma included; valid while part is there … */
	int64_t user[MAP_BLOCK];      /* … and so are the users of its nodes, each once */
	size_t n_users;
	size_t n_routers;
};

struct shelf { /* blocks that take nodes of one class, or of many */
	struct list room;
	size_t small; /* nodes of this class that lie in mixed blocks */
};

struct interned {
	struct cached cached;
	uint64_t hash;
};

struct place {
	struct block *block; /* NULL: in nobody's map */
	size_t i;
};

enum { SMALL_CLASS = 16 };

struct map_cache {
	size_t bytes, max_bytes;
	bool stale;		/* nodes must be laid out anew from the tailnet */
	struct list lru;	/* of struct cached, the latest first */
	struct list blocks;
	size_t n_blocks, n_written; /* of them; those that have their text */
	struct shelf mixed;
	struct shelf **shelf;	/* owned array, by class */
	size_t n_shelves;
	struct place *place;	/* owned array, by slot */
	size_t n_places;
	struct map interned;	/* struct interned, by hash */
};

/* ---- cached parts ---- */

static void cached_drop(struct map_cache *c, struct cached *x)
{
	if (!x->part)
		return;
	part_unref(x->part);
	x->part = NULL;
	c->n_written -= !x->interned;
	c->bytes -= x->cost;
	list_del(&x->lru);
}

static void interned_free(struct map_cache *c, struct interned *i)
{
	map_del(&c->interned, &i->hash);
	cached_drop(c, &i->cached);
	free(i);
}

static void make_room(struct map_cache *c, const struct cached *keep)
{
	while (c->bytes > c->max_bytes && !list_is_empty(&c->lru)) {
		struct cached *oldest = container_of(c->lru.prev, struct cached, lru);

		if (oldest == keep)
			return;
		if (oldest->interned)
			interned_free(c, container_of(oldest, struct interned, cached));
		else
			cached_drop(c, oldest);
	}
}

/* part's reference is taken. */
static void cached_keep(struct map_cache *c, struct cached *x, struct part *part)
{
	size_t n = part_text(part).n;

	x->part = part;
	c->n_written += !x->interned;
	x->cost = n + n / 4 + sizeof(struct block);
	c->bytes += x->cost;
	list_add_head(&c->lru, &x->lru);
	make_room(c, x);
}

static void cached_use(struct map_cache *c, struct cached *x)
{
	list_del(&x->lru);
	list_add_head(&c->lru, &x->lru);
}

struct part *cache_intern(struct map_cache *c, struct buf *text)
{
	uint64_t hash = map_hash(buf_view(text).p, buf_len(text));
	struct interned *i = text->bad ? NULL : map_get(&c->interned, &hash);

	if (i && bytes_eq(part_text(i->cached.part), buf_view(text))) {
		buf_done(text);
		cached_use(c, &i->cached);
		return part_ref(i->cached.part);
	}
	struct part *p = part_new(text);

	if (!p || i) /* another text with this hash: not kept */
		return p;
	i = calloc(1, sizeof *i);
	if (!i)
		return p;
	i->hash = hash;
	i->cached.interned = true;
	list_init(&i->cached.lru);
	if (map_put(&c->interned, i) != OK) {
		free(i);
		return p;
	}
	cached_keep(c, &i->cached, part_ref(p));
	return p;
}

/* ---- laying out nodes ---- */

static struct block *block_new(struct map_cache *c, struct shelf *s)
{
	struct block *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	b->shelf = s;
	list_init(&b->cached.lru);
	list_add_tail(&c->blocks, &b->all);
	list_add_tail(&s->room, &b->room);
	c->n_blocks++;
	return b;
}

static void block_free(struct map_cache *c, struct block *b)
{
	cached_drop(c, &b->cached);
	c->n_blocks--;
	list_del(&b->all);
	list_del(&b->room);
	free(b);
}

static struct shelf *shelf_of(struct map_cache *c, uint32_t cls)
{
	if (cls >= c->n_shelves) {
		size_t n = MAX_OF((size_t)cls + 1, 2 * c->n_shelves);
		struct shelf **grown = reallocarray(c->shelf, n, sizeof(struct shelf *));

		if (!grown)
			return NULL;
		memset(grown + c->n_shelves, 0, (n - c->n_shelves) * sizeof(struct shelf *));
		c->shelf = grown;
		c->n_shelves = n;
	}
	if (!c->shelf[cls]) {
		c->shelf[cls] = calloc(1, sizeof(struct shelf));
		if (c->shelf[cls])
			list_init(&c->shelf[cls]->room);
	}
	return c->shelf[cls];
}

static bool place_reserve(struct map_cache *c, uint32_t slot)
{
	if (slot < c->n_places)
		return true;
	size_t n = MAX_OF((size_t)slot + 1, 2 * c->n_places);
	struct place *grown = reallocarray(c->place, n, sizeof *grown);

	if (!grown)
		return false;
	memset(grown + c->n_places, 0, (n - c->n_places) * sizeof *grown);
	c->place = grown;
	c->n_places = n;
	return true;
}

static void take_out(struct map_cache *c, uint32_t slot)
{
	struct place *p = slot < c->n_places ? &c->place[slot] : NULL;
	struct block *b = p ? p->block : NULL;

	if (!b)
		return;
	if (b->shelf == &c->mixed)
		c->shelf[b->cls[p->i]]->small--;
	cached_drop(c, &b->cached);
	b->n--;
	b->slot[p->i] = b->slot[b->n];
	b->cls[p->i] = b->cls[b->n];
	c->place[b->slot[p->i]].i = p->i;
	p->block = NULL;
	if (b->n == 0) {
		block_free(c, b);
	} else if (b->n == MAP_BLOCK - 1) {
		list_del(&b->room);
		list_add_head(&b->shelf->room, &b->room);
	}
}

/* Announced, and the core has given it a slot and the policy a class. */
static bool is_shown(const struct map_node *n)
{
	return n->announced && n->slot != UINT32_MAX && n->cls != UINT32_MAX;
}

static bool put_in(struct map_cache *c, const struct map_node *n)
{
	struct shelf *own = shelf_of(c, n->cls);

	if (!own || !place_reserve(c, n->slot))
		return false;
	bool mixed = own->small < SMALL_CLASS && list_is_empty(&own->room);
	struct shelf *s = mixed ? &c->mixed : own;
	struct block *b = list_is_empty(&s->room) ? block_new(c, s) : container_of(s->room.next, struct block, room);

	if (!b)
		return false;
	cached_drop(c, &b->cached);
	b->slot[b->n] = n->slot;
	b->cls[b->n] = n->cls;
	c->place[n->slot] = (struct place){ b, b->n };
	b->n++;
	own->small += mixed;
	if (b->n == MAP_BLOCK)
		list_del(&b->room);
	return true;
}

/* ---- the cache ---- */

err map_cache_new(size_t max_bytes, struct map_cache **out)
{
	struct map_cache *c = calloc(1, sizeof *c);

	if (!c)
		return ERR_NOMEM;
	c->max_bytes = max_bytes;
	c->stale = true;
	c->interned = MAP_OF(struct interned, hash);
	list_init(&c->lru);
	list_init(&c->blocks);
	list_init(&c->mixed.room);
	*out = c;
	return OK;
}

void map_cache_drop(struct map_cache *c)
{
	list_each_safe(it, &c->blocks)
		block_free(c, container_of(it, struct block, all));
	size_t at = 0;
	for (struct interned *i; (i = map_next(&c->interned, &at));)
		interned_free(c, i);
	for (size_t i = 0; i < c->n_shelves; i++)
		free(c->shelf[i]);
	free(c->shelf);
	free(c->place);
	c->shelf = NULL;
	c->n_shelves = 0;
	c->place = NULL;
	c->n_places = 0;
	c->stale = true;
}

void map_cache_free(struct map_cache *c)
{
	if (!c)
		return;
	map_cache_drop(c);
	map_done(&c->interned);
	free(c);
}

void map_cache_touch(struct map_cache *c, const struct map_node *n)
{
	if (c->stale)
		return;
	struct place p = n->slot < c->n_places ? c->place[n->slot] : (struct place){ 0 };

	if (is_shown(n) && p.block && p.block->cls[p.i] == n->cls) {
		cached_drop(c, &p.block->cached);
		return;
	}
	take_out(c, n->slot);
	if (is_shown(n) && !put_in(c, n))
		c->stale = true; /* laid out again when there is memory */
}

void map_cache_gone(struct map_cache *c, uint32_t slot)
{
	if (!c->stale)
		take_out(c, slot);
}

size_t map_cache_bytes(const struct map_cache *c)
{
	return c->bytes;
}

static err lay_out(struct map_cache *c, const struct map_tailnet *t)
{
	if (!c->stale)
		return OK;
	map_cache_drop(c);
	for (size_t i = 0; i < t->n_slots; i++)
		if (t->nodes[i] && is_shown(t->nodes[i]) && !put_in(c, t->nodes[i]))
			return ERR_NOMEM;
	c->stale = false;
	return OK;
}

/* ---- what a viewer sees ---- */

static void note_users(const struct map_tailnet *t, struct block *b)
{
	b->n_users = 0;
	for (size_t i = 0; i < b->n; i++) {
		int64_t id = t->nodes[b->slot[i]]->user_id;
		size_t k = 0;

		while (k < b->n_users && b->user[k] != id)
			k++;
		if (k == b->n_users)
			b->user[b->n_users++] = id;
	}
}

static err block_text(struct map_cache *c, const struct map_tailnet *t, struct block *b)
{
	if (b->cached.part) {
		cached_use(c, &b->cached);
		return OK;
	}
	struct buf text = buf_make(MAP_TEXT_MAX);
	struct jsonw w = jsonw_init(&text);

	w.comma = true;
	b->n_routers = 0;
	for (size_t i = 0; i < b->n; i++) {
		b->at[i] = buf_len(&text);
		peer_write(&w, t, t->nodes[b->slot[i]], NULL);
		b->n_routers += t->nodes[b->slot[i]]->n_cand > 0;
	}
	b->at[b->n] = buf_len(&text);
	struct part *p = part_new(&text);
	if (!p)
		return ERR_NOMEM;
	note_users(t, b);
	cached_keep(c, &b->cached, p);
	return OK;
}

size_t map_cache_cold(const struct map_cache *c)
{
	return c->stale || c->bytes > c->max_bytes / 4 * 3 ? 0 : c->n_blocks - c->n_written;
}

void map_cache_warm(struct map_cache *c, const struct map_tailnet *t, size_t n)
{
	list_each(it, &c->blocks) {
		struct block *b = container_of(it, struct block, all);

		if (!n || !map_cache_cold(c))
			return;
		if (b->cached.part)
			continue;
		n--;
		if (block_text(c, t, b) != OK)
			return;
	}
}

bool cache_peer(struct map_cache *c, const struct map_tailnet *t, const struct map_node *n, const struct map_node *viewer, bool many,
		struct bytes *out)
{
	if (viewer && (policy_view_no_ipv4(t->policy, viewer->cls) || (n->n_cand && !peer_is_plain(t, n, viewer))))
		return false;
	if (c->stale && (!many || lay_out(c, t) != OK))
		return false;
	struct place p = n->slot < c->n_places ? c->place[n->slot] : (struct place){ 0 };
	if (!p.block || (!p.block->cached.part && (!many || block_text(c, t, p.block) != OK)))
		return false;
	size_t at = p.block->at[p.i] + 1; /* behind the comma */
	*out = bytes_first(bytes_skip(part_text(p.block->cached.part), at), p.block->at[p.i + 1] - at);
	return true;
}

/* Class by class, asked once a map. */
struct sight {
	const struct policy_view *policy;
	uint32_t from, n;
	bool no_ipv4;
	uint8_t *known; /* 0: not asked, 1: no, 2: yes */
};

static bool sees(struct sight *s, uint32_t cls)
{
	if (cls >= s->n)
		return false;
	if (!s->known[cls])
		s->known[cls] = policy_view_sees(s->policy, s->from, cls) ? 2 : 1;
	return s->known[cls] == 2;
}

enum share { NONE, SOME, ALL };

static enum share share_of(const struct map_cache *c, const struct block *b, const struct map_node *viewer, struct sight *s)
{
	size_t n = 0;

	if (b->shelf != &c->mixed)
		n = sees(s, b->cls[0]) ? b->n : 0;
	else
		for (size_t i = 0; i < b->n; i++)
			n += sees(s, b->cls[i]);
	if (n == 0)
		return NONE;
	bool inside = viewer->slot < c->n_places && c->place[viewer->slot].block == b;
	return n == b->n && !inside && !s->no_ipv4 ? ALL : SOME;
}

/* Node by node into the viewer's own text. */
static err write_single(const struct map_tailnet *t, struct block *b, const struct map_node *viewer, struct sight *s,
			struct jsonw *w, struct slots *told, struct id_set *users, size_t *n)
{
	struct bytes text = part_text(b->cached.part);

	for (size_t i = 0; i < b->n; i++) {
		const struct map_node *m = t->nodes[b->slot[i]];

		if (b->slot[i] == viewer->slot || !sees(s, b->cls[i]))
			continue;
		if (s->no_ipv4 || (m->n_cand && !peer_is_plain(t, m, viewer)))
			peer_write(w, t, m, viewer);
		else
			jsonw_raw(w, bytes_first(bytes_skip(text, b->at[i] + 1), b->at[i + 1] - b->at[i] - 1));
		id_set_add(users, m->user_id);
		TRY(slots_set(told, b->slot[i]));
		++*n;
	}
	return OK;
}

/* Are all the texts of the block those for this viewer? */
static bool is_plain(const struct map_tailnet *t, const struct block *b, const struct map_node *viewer)
{
	for (size_t i = 0; b->n_routers && i < b->n; i++)
		if (t->nodes[b->slot[i]]->n_cand && !peer_is_plain(t, t->nodes[b->slot[i]], viewer))
			return false;
	return true;
}

static err add_whole(struct visible *v, const struct block *b, struct slots *told, struct id_set *users)
{
	if ((v->n_whole & (v->n_whole - 1)) == 0) { /* grows at powers of two */
		struct part **grown = reallocarray(v->whole, v->n_whole ? 2 * v->n_whole : 1, sizeof(struct part *));

		if (!grown)
			return ERR_NOMEM;
		v->whole = grown;
	}
	v->whole[v->n_whole++] = part_ref(b->cached.part);
	for (size_t i = 0; i < b->n_users; i++)
		id_set_add(users, b->user[i]);
	for (size_t i = 0; i < b->n; i++)
		TRY(slots_set(told, b->slot[i]));
	return OK;
}

void visible_done(struct visible *v)
{
	for (size_t i = 0; i < v->n_whole; i++)
		part_unref(v->whole[i]);
	free(v->whole);
	*v = (struct visible){ 0 };
}

static err walk(struct map_cache *c, const struct map_tailnet *t, const struct map_node *viewer, struct sight *s,
		struct jsonw *w, struct slots *told, struct id_set *users, struct visible *out)
{
	struct block *later = NULL; /* the first whole one: kept back until it is known whether the list has a start */

	list_each(it, &c->blocks) {
		struct block *b = container_of(it, struct block, all);
		enum share share = share_of(c, b, viewer, s);

		if (share == NONE)
			continue;
		TRY(block_text(c, t, b));
		if (share == SOME || !is_plain(t, b, viewer)) {
			TRY(write_single(t, b, viewer, s, w, told, users, &out->n_single));
			continue;
		}
		if (!later) {
			later = b;
			continue;
		}
		TRY(add_whole(out, b, told, users));
	}
	if (!later)
		return OK;
	TRY(block_text(c, t, later)); /* a small cache may have dropped it meanwhile */
	if (out->n_single == 0) /* a shared text begins with a comma: something must stand before it */
		return write_single(t, later, viewer, s, w, told, users, &out->n_single);
	return add_whole(out, later, told, users);
}

err blocks_write(struct map_cache *c, const struct map_tailnet *t, const struct map_node *viewer, struct jsonw *w,
		 struct slots *told, struct id_set *users, struct visible *out)
{
	TRY(lay_out(c, t));
	struct sight s = { t->policy, viewer->cls, policy_view_classes(t->policy), policy_view_no_ipv4(t->policy, viewer->cls), NULL };
	CLEANUP(freep) uint8_t *known = calloc(s.n + 1, 1);

	if (!known)
		return ERR_NOMEM;
	s.known = known;
	return walk(c, t, viewer, &s, w, told, users, out);
}
