#include "client/netmap.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/control/mapparse.h"
#include "client/netmap_node.h"
#include "common/base/cleanup.h"

enum { CLOCK_DELTA_MIN_MS = 60 * 1000 };

static const struct tailcfg_dns_config no_dns;

void netmap_init(struct netmap *nm)
{
	*nm = (struct netmap){
		.peers = MAP_OF(struct nm_node, id),
		.by_key = MAP_OF(struct nm_node, key),
		.users = MAP_OF(struct nm_user, id),
		.domain = "",
		.dns = &no_dns,
	};
}

/* What one apply works with. */
struct change {
	struct netmap *nm;
	const struct nm_listener *l;
	unsigned what;
	struct nm_draft *draft; /* for patches; made when the first one comes */
};

static void tell_gone(struct change *c, struct nm_node *n)
{
	if (c->l && c->l->peer_gone)
		c->l->peer_gone(c->l->ctx, n);
	free(n);
}

static void remove_peer(struct change *c, int64_t id)
{
	struct nm_node *n = map_del(&c->nm->peers, &id);

	if (!n)
		return;
	map_del(&c->nm->by_key, &n->key);
	c->nm->bytes -= n->bytes;
	c->what |= NM_PEERS;
	tell_gone(c, n);
}

/* Taken. A peer with this id is replaced; another one that has its key goes, for a key is one WireGuard peer. */
static err put_peer(struct change *c, struct nm_node *n)
{
	struct netmap *nm = c->nm;
	struct nm_node *was = map_get(&nm->peers, &n->id);
	struct nm_node *same_key = map_get(&nm->by_key, &n->key);
	unsigned what = was ? nm_node_diff(was, n) : NM_ALL;

	if (what == 0 || (nm->self && n->id == nm->self->id)) {
		free(n);
		return OK;
	}
	if (same_key && same_key != was)
		remove_peer(c, same_key->id);
	if (!was && (nm->peers.n >= NM_PEERS_MAX || nm->bytes + n->bytes > NM_BYTES_MAX)) {
		free(n);
		return ERR_TOO_BIG;
	}
	struct node_pub was_key = was ? was->key : n->key;
	if (was) {
		map_del(&nm->peers, &was->id);
		map_del(&nm->by_key, &was->key);
		nm->bytes -= was->bytes;
	}
	free(was);
	if (map_put(&nm->peers, n) != OK) {
		free(n);
		return ERR_NOMEM;
	}
	if (map_put(&nm->by_key, n) != OK) {
		map_del(&nm->peers, &n->id);
		free(n);
		return ERR_NOMEM;
	}
	nm->bytes += n->bytes;
	c->what |= NM_PEERS | (what & (NM_KEY | NM_DISCO | NM_ALLOWED | NM_ENDPOINTS | NM_HOME | NM_ONLINE | NM_OTHER));
	if (c->l && c->l->peer)
		c->l->peer(c->l->ctx, n, what, &was_key);
	return nm->bytes > NM_BYTES_MAX ? ERR_TOO_BIG : OK;
}

/* ---- what one message does to the peers (control.md 6.6) ----------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* The whole list: what is not in it, nor said to be as it was, goes. */
static err put_all(struct change *c, const struct map_update *u)
{
	struct netmap *nm = c->nm;
	size_t n = u->n_peers + u->n_same;
	int64_t *ids = malloc((n + 1) * sizeof *ids);
	size_t at = 0, n_gone = 0;
	struct nm_node *p;

	if (!ids)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		ids[i] = i < u->n_peers ? u->peers[i]->id : u->same[i - u->n_peers];
	qsort(ids, n, sizeof *ids, by_id);
	int64_t *gone = malloc((nm->peers.n + 1) * sizeof *gone);
	while (gone && (p = map_next(&nm->peers, &at)))
		if (!bsearch(&p->id, ids, n, sizeof *ids, by_id))
			gone[n_gone++] = p->id;
	for (size_t i = 0; gone && i < n_gone; i++)
		remove_peer(c, gone[i]);
	free(ids);
	free(gone);
	return gone ? OK : ERR_NOMEM;
}

static err put_list(struct change *c, struct nm_node **list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct nm_node *p = MOVE(list[i]);

		TRY(put_peer(c, p));
	}
	return OK;
}

/* A changed copy of a peer that the caller fills. NULL: there is none, or no memory. */
static struct nm_draft *open_peer(struct change *c, int64_t id)
{
	const struct nm_node *n = map_get(&c->nm->peers, &id);

	if (!n)
		return NULL;
	if (!c->draft)
		c->draft = malloc(sizeof *c->draft);
	if (c->draft)
		nm_draft_load(c->draft, n);
	return c->draft;
}

static err close_peer(struct change *c, struct nm_draft *d)
{
	struct nm_node *n;

	TRY(nm_draft_pack(d, &n));
	return put_peer(c, n);
}

static err apply_patch(struct change *c, const struct nm_patch *x)
{
	struct nm_draft *d = open_peer(c, x->id);

	if (!d)
		return c->draft || !netmap_peer(c->nm, x->id) ? OK : ERR_NOMEM;
	/* An old disco key told late must not replace a newer one (6.6). */
	if (x->has_disco && x->has_online && !x->online && x->has_last_seen && x->last_seen_ms <= d->n.last_seen_ms)
		return OK;
	if (x->has_derp)
		d->n.home_derp = x->derp;
	if (x->has_cap)
		d->n.cap = x->cap;
	if (x->has_caps)
		for (d->n_caps = 0; d->n_caps < x->n_caps; d->n_caps++)
			d->caps[d->n_caps] = nm_draft_text(d, bytes_str(x->caps[d->n_caps]));
	if (x->has_endpoints) {
		d->n_endpoints = x->n_endpoints;
		if (x->n_endpoints)
			memcpy(d->endpoints, x->endpoints, x->n_endpoints * sizeof *x->endpoints);
	}
	if (x->has_key && !node_pub_is_zero(&x->key))
		d->n.key = x->key;
	if (x->has_disco)
		d->n.disco = x->disco;
	if (x->has_online)
		d->n.has_online = true, d->n.online = x->online;
	if (x->has_last_seen)
		d->n.last_seen_ms = x->last_seen_ms;
	if (x->has_expiry)
		d->n.key_expiry_ms = x->expiry_ms;
	return close_peer(c, d);
}

static err apply_flags(struct change *c, const struct map_update *u, int64_t wall_ms)
{
	for (size_t i = 0; i < u->n_seen; i++) {
		struct nm_draft *d = open_peer(c, u->seen[i].id);

		if (!d)
			continue;
		d->n.last_seen_ms = u->seen[i].value ? wall_ms : 0;
		TRY(close_peer(c, d));
	}
	for (size_t i = 0; i < u->n_online; i++) {
		struct nm_draft *d = open_peer(c, u->online[i].id);

		if (!d)
			continue;
		d->n.has_online = true, d->n.online = u->online[i].value;
		TRY(close_peer(c, d));
	}
	return OK;
}

static err apply_peers(struct change *c, struct map_update *u, bool fresh, int64_t wall_ms)
{
	if (u->n_peers || u->n_same || fresh) {
		TRY(put_all(c, u));
		TRY(put_list(c, u->peers, u->n_peers));
		if (u->n_peers || u->n_same)
			return OK; /* the rest of the message is not looked at */
	}
	for (size_t i = 0; i < u->n_removed; i++)
		remove_peer(c, u->removed[i]);
	TRY(put_list(c, u->changed, u->n_changed));
	TRY(apply_flags(c, u, wall_ms));
	for (size_t i = 0; i < u->n_patches; i++)
		TRY(apply_patch(c, &u->patches[i]));
	return OK;
}

/* ---- the rest of a message ----------------------------------------------------------------------------------------- */

static void apply_self(struct change *c, struct map_update *u)
{
	struct netmap *nm = c->nm;

	if (!u->self)
		return;
	if (!nm->self || nm_node_diff(nm->self, u->self))
		c->what |= NM_SELF;
	free(nm->self);
	nm->self = MOVE(u->self);
	remove_peer(c, nm->self->id);
}

static err apply_users(struct change *c, struct map_update *u, bool fresh)
{
	struct netmap *nm = c->nm;
	struct nm_user *old;

	for (size_t at = 0; fresh && (old = map_next(&nm->users, &at));) {
		map_del(&nm->users, &old->id);
		nm->bytes -= old->bytes;
		free(old);
	}
	for (size_t i = 0; i < u->n_users; i++) {
		struct nm_user *n = MOVE(u->users[i]), *was = map_del(&nm->users, &n->id);

		nm->bytes -= was ? was->bytes : 0;
		free(was);
		if (nm->users.n >= NM_USERS_MAX || nm->bytes + n->bytes > NM_BYTES_MAX) {
			free(n);
			return ERR_TOO_BIG;
		}
		if (map_put(&nm->users, n) != OK) {
			free(n);
			return ERR_NOMEM;
		}
		nm->bytes += n->bytes;
		c->what |= NM_USERS;
	}
	return OK;
}

static void remove_chunk(struct netmap *nm, const char *name)
{
	for (struct nm_chunk **at = &nm->chunks; *at; at = &(*at)->next)
		if (strcmp((*at)->name, name) == 0) {
			struct nm_chunk *gone = *at;

			*at = gone->next;
			nm_chunk_free(gone);
			nm->n_chunks--;
			return;
		}
}

static void put_chunk(struct netmap *nm, struct nm_chunk *c)
{
	remove_chunk(nm, c->name);
	c->next = nm->chunks;
	nm->chunks = c;
	nm->n_chunks++;
}

static void remove_chunks(struct netmap *nm)
{
	while (nm->chunks)
		remove_chunk(nm, nm->chunks->name);
}

static err list_rules(struct netmap *nm)
{
	size_t n = 0, items = 0;

	for (struct nm_chunk *c = nm->chunks; c; c = c->next)
		n += c->n_rules, items += c->items;
	if (n > NM_RULES_MAX || items > NM_RULE_ITEMS_MAX || nm->n_chunks > NM_CHUNKS_MAX)
		return ERR_TOO_BIG;
	const struct nm_rule **list = malloc((n + 1) * sizeof *list);
	if (!list)
		return ERR_NOMEM;
	n = 0;
	for (struct nm_chunk *c = nm->chunks; c; c = c->next)
		for (size_t i = 0; i < c->n_rules; i++)
			list[n++] = &c->rules[i];
	free(nm->rules_owned);
	nm->rules_owned = list;
	nm->rules = list;
	nm->n_rules = n;
	return OK;
}

static err apply_filter(struct change *c, struct map_update *u, bool fresh)
{
	struct netmap *nm = c->nm;

	if (!u->filter && !u->n_chunks && !fresh)
		return OK;
	if (fresh)
		remove_chunks(nm);
	nm->has_filter = (nm->has_filter && !fresh) || u->filter || u->n_chunks;
	if (u->filter)
		put_chunk(nm, MOVE(u->filter));
	for (size_t i = 0; i < u->n_chunks; i++) /* "*" clears first, wherever it stands */
		if (!u->chunks[i].chunk && strcmp(u->chunks[i].name, "*") == 0)
			remove_chunks(nm);
	for (size_t i = 0; i < u->n_chunks; i++) {
		if (u->chunks[i].chunk)
			put_chunk(nm, MOVE(u->chunks[i].chunk));
		else
			remove_chunk(nm, u->chunks[i].name);
	}
	c->what |= NM_FILTER;
	err e = list_rules(nm);
	if (e != OK) { /* the old list points into chunks that are gone */
		nm->rules = NULL;
		nm->n_rules = 0;
	}
	return e;
}

static void apply_config(struct change *c, struct map_update *u, bool fresh)
{
	struct netmap *nm = c->nm;

	if (u->derp) {
		arena_done(&nm->derp_arena);
		nm->derp_arena = u->derp_arena;
		nm->derp = u->derp;
		u->derp_arena = (struct arena){ 0 };
		c->what |= NM_DERP;
	}
	if (u->dns || fresh) {
		arena_done(&nm->dns_arena);
		nm->dns_arena = u->dns_arena;
		nm->dns = u->dns ? u->dns : &no_dns;
		u->dns_arena = (struct arena){ 0 };
		c->what |= NM_DNS;
	}
	if (u->has_health || fresh) {
		arena_done(&nm->health_arena);
		nm->health_arena = u->health_arena;
		nm->health = u->health;
		nm->n_health = u->n_health;
		u->health_arena = (struct arena){ 0 };
		c->what |= NM_HEALTH;
	}
	if (u->domain) {
		free(nm->domain_owned);
		nm->domain_owned = MOVE(u->domain);
		nm->domain = nm->domain_owned;
		c->what |= NM_DOMAIN;
	}
}

err netmap_apply(struct netmap *nm, struct map_update *u, bool fresh, int64_t wall_ms, const struct nm_listener *l)
{
	struct change c = { .nm = nm, .l = l };
	err e = OK;

	if (u->control_time_ms) {
		int64_t delta = u->control_time_ms - wall_ms;

		nm->clock_delta_ms = delta > CLOCK_DELTA_MIN_MS || delta < -CLOCK_DELTA_MIN_MS ? delta : 0;
	}
	if (fresh && !u->self)
		e = ERR_INVALID;
	if (e == OK && !u->keepalive) {
		apply_self(&c, u);
		apply_config(&c, u, fresh);
		e = apply_users(&c, u, fresh);
		if (e == OK)
			e = apply_filter(&c, u, fresh);
		if (e == OK)
			e = apply_peers(&c, u, fresh, wall_ms);
		if (l && l->done && c.what)
			l->done(l->ctx, c.what);
	}
	free(c.draft);
	map_update_done(u);
	return e;
}

void netmap_clear(struct netmap *nm, const struct nm_listener *l)
{
	struct nm_node *n;
	struct nm_user *u;

	for (size_t at = 0; (n = map_next(&nm->peers, &at));) {
		map_del(&nm->peers, &n->id);
		map_del(&nm->by_key, &n->key);
		if (l && l->peer_gone)
			l->peer_gone(l->ctx, n);
		free(n);
	}
	for (size_t at = 0; (u = map_next(&nm->users, &at));) {
		map_del(&nm->users, &u->id);
		free(u);
	}
	netmap_done(nm);
	netmap_init(nm);
	if (l && l->done)
		l->done(l->ctx, NM_ALL);
}

void netmap_done(struct netmap *nm)
{
	struct nm_node *n;
	struct nm_user *u;

	for (size_t at = 0; (n = map_next(&nm->peers, &at));)
		free(n);
	for (size_t at = 0; (u = map_next(&nm->users, &at));)
		free(u);
	map_done(&nm->peers);
	map_done(&nm->by_key);
	map_done(&nm->users);
	free(nm->self);
	remove_chunks(nm);
	free(nm->rules_owned);
	free(nm->domain_owned);
	arena_done(&nm->derp_arena);
	arena_done(&nm->dns_arena);
	arena_done(&nm->health_arena);
	*nm = (struct netmap){ 0 };
}
