#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* One round: every session hears what changed since the last one. Sessions that must hear the same are found by a hash of
 * what they must hear, and share one message. All sets are bit sets over slots, and only words in which something changed
 * are looked at, so that a round costs (changed words x sessions), not (nodes x sessions). */

enum {
	SHARED_PATCHES = 64,
	/* A delta of more nodes than this for each session that shares it costs more than full maps, which are put together
	 * from blocks that exist (a policy that opens a tailnet would make 10,000 messages of 10 MB). */
	BIG_DELTA = 128,
	/* Full maps a round cost about this many blocks; who gets none now is served in the next rounds, before which other
	 * events have their turn. At least FULL_MIN. */
	FULL_BLOCKS = 2048,
	FULL_MIN = 16,
	/* A full map that finds this many blocks of text to be written is preceded by ticks which write a few at a time. */
	WARM_FROM = 16,
	WARM_BLOCKS = 8,
	WARM_MS = 5,
	KNOWN_SETS = 64, /* classes whose last sets a round remembers */
};

struct round {
	struct core *c;
	struct tailnet *t;
	struct arena a;
	size_t words;
	uint64_t *all;	 /* slots with any change, and those that are gone */
	uint64_t *whole; /* … whose whole node must be sent again */
	uint64_t *patch; /* … for which patches do */
	uint32_t *at;	 /* words with any bit in all */
	size_t n_at;
	uint32_t *routed; /* slots of nodes whose routes changed */
	size_t n_routed;
	size_t n_patch;
	struct group *first, **last;
	uint64_t **visible;	/* by class: of the changed slots, those it sees */
	uint64_t **visible_all; /* by class: of all slots */
	size_t n_classes;
	bool own_dns; /* each node has its own DNSConfig */
	uint64_t **shown; /* by class: routes_of for viewers that have none of their own, by place among the routers */
	size_t n_routers;
	uint64_t *routers; /* slots of nodes that may carry routes */
	struct known_sets *known; /* KNOWN_SETS, by class */
	uint64_t *changed, *patched, *removed; /* of one session, by word */
	size_t full_left; /* full maps that this round may still make */
};

struct group { /* sessions that hear the same */
	uint64_t sig;
	struct group *next; /* in the order they were found */
	struct session *leader;
	struct member *members;
	size_t n, cap;
	size_t weight; /* nodes in the delta, but for patches */
};

struct member {
	struct session *s;
	struct extras *x; /* in the round's arena; NULL: none */
};

/* Sessions of one class mostly hear the same: what was reckoned of the last one's sets. */
struct known_sets {
	uint64_t *sets; /* changed, patched, removed, each of at most words words; NULL: nothing is known */
	uint32_t cls;
	bool compare;
	uint64_t sig;
};

struct extras { /* beside peers */
	struct policy_filter filters[2 * POLICY_FILTERS_MAX];
	size_t n_filters;
	struct policy_filter now[POLICY_FILTERS_MAX];
	size_t n_now;
	struct bytes ssh;
	uint64_t ssh_hash, caps_hash;
	bool self;
};

static void bit_set(uint64_t *w, uint32_t slot)
{
	w[slot / 64] |= UINT64_C(1) << (slot % 64);
}

static bool sees(struct round *r, uint32_t cls, const struct map_node *m)
{
	return m && m->announced && policy_view_sees(r->t->map.policy, cls, m->cls);
}

static uint64_t *visible_of(struct round *r, uint32_t cls, bool all)
{
	uint64_t **slot = all ? &r->visible_all[cls] : &r->visible[cls];

	if (*slot)
		return *slot;
	uint64_t *w = arena_array(&r->a, r->words, sizeof *w);
	if (!w)
		return NULL;
	for (size_t k = 0; k < (all ? r->words : r->n_at); k++) {
		size_t i = all ? k : r->at[k];
		uint64_t todo = all ? UINT64_MAX : r->all[i];
		for (; todo; todo &= todo - 1) {
			uint32_t s = (uint32_t)(i * 64 + (unsigned)__builtin_ctzll(todo));
			if (s < r->t->map.n_slots && sees(r, cls, r->t->map.nodes[s]))
				bit_set(w, s);
		}
	}
	*slot = w;
	return w;
}

/* A number for the routes that a viewer is shown of a node. Only a router's own routes make it differ from others of its
 * class, so for all others it is reckoned once a round. */
static uint64_t routes_of(struct round *r, const struct node *viewer, const struct node *n)
{
	uint64_t **known = &r->shown[viewer->m.cls];

	if (!n->n_cand)
		return 0;
	if (viewer->n_cand)
		return map_routes_hash(&r->t->map, &viewer->m, &n->m);
	if (!*known)
		*known = arena_array(&r->a, 2 * r->n_routers + 1, sizeof **known);
	if (!*known)
		return map_routes_hash(&r->t->map, &viewer->m, &n->m);
	uint64_t *at = *known + 2 * n->router_at;
	if (!at[0]) {
		at[0] = 1;
		at[1] = map_routes_hash(&r->t->map, &viewer->m, &n->m);
	}
	return at[1];
}

/* Of a node that it sees and was told of: does it look otherwise now? Then the node goes whole. */
static void look_at_routes(struct round *r, struct session *s, const uint64_t *visible, uint32_t slot, bool *any)
{
	uint64_t bit = UINT64_C(1) << (slot % 64);
	size_t i = slot / 64;

	if (slot == s->node->m.slot || !(visible[i] & bit) || !slots_has(&s->told, slot) || (r->changed[i] & bit))
		return;
	const struct node *n = container_of(r->t->map.nodes[slot], struct node, m);
	if (routes_of(r, s->node, n) == session_told_routes(s, slot))
		return;
	r->changed[i] |= bit;
	r->patched[i] &= ~bit;
	*any = true;
}

static void look_at_all_routes(struct round *r, struct session *s, const uint64_t *visible, bool *any)
{
	for (size_t i = 0; i < r->n_routed; i++)
		look_at_routes(r, s, visible, r->routed[i], any);
	if (!s->compare)
		return;
	list_each(it, &r->t->routers)
		look_at_routes(r, s, visible, container_of(it, struct node, of_router)->m.slot, any);
}

/* What the session must hear of its peers, into changed, patched, removed. *n: words looked at, in at or 0..words. */
static err session_sets(struct round *r, struct session *s, bool *any)
{
	struct node *n = s->node;
	uint64_t *visible = n->m.announced ? visible_of(r, n->m.cls, s->compare) : NULL;
	size_t count = s->compare ? r->words : r->n_at;

	*any = false;
	if (n->m.announced && !visible)
		return ERR_NOMEM;
	for (size_t k = 0; k < count; k++) {
		size_t i = s->compare ? k : r->at[k];
		uint64_t told = i < s->told.n ? s->told.w[i] : 0;
		uint64_t seen = visible ? visible[i] : 0;
		uint64_t own = n->m.slot / 64 == i ? UINT64_C(1) << (n->m.slot % 64) : 0;
		uint64_t look = s->compare ? UINT64_MAX : r->all[i];
		uint64_t changed = seen & ((r->whole[i] & told) | (look & ~told)) & ~own;
		/* A patch of oneself is ignored by clients: in a crowd it stays in, so that the message can be shared. */
		uint64_t patched = r->patch[i] & ~changed & ((seen & told) | (r->n_patch > SHARED_PATCHES ? own : 0));
		uint64_t removed = told & ~seen & look;
		r->changed[i] = changed;
		r->patched[i] = patched;
		r->removed[i] = removed;
		*any |= (changed | patched | removed) != 0;
	}
	if (visible)
		look_at_all_routes(r, s, visible, any);
	return OK;
}

static struct told_filter *told_filter(struct session *s, const char *name)
{
	for (size_t i = 0; i < s->n_filters; i++)
		if (strcmp(s->filters[i].name, name) == 0)
			return &s->filters[i];
	return NULL;
}

/* Runs for every session in every round: nothing big is cleared for the many that have no extras. */
/* *out NULL: nothing of this kind can have changed for it. */
static err check_extras(struct round *r, struct session *s, struct extras **out)
{
	struct node *n = s->node;
	bool look = s->compare || (n->m.cls < r->t->n_filter_classes && r->t->filter_classes[n->m.cls]);
	struct extras *x = look ? arena_alloc(&r->a, sizeof *x) : NULL;

	*out = x;
	if (!x)
		return look ? ERR_NOMEM : OK;
	x->ssh_hash = s->ssh_hash;
	x->caps_hash = s->caps_hash;
	x->n_now = policy_view_filters(r->t->map.policy, n->row.id, x->now);
	for (size_t i = 0; i < x->n_now; i++) {
		struct told_filter *f = told_filter(s, x->now[i].name);
		if (!f || f->hash != x->now[i].hash)
			x->filters[x->n_filters++] = x->now[i];
	}
	for (size_t i = 0; i < s->n_filters; i++) {
		bool still = false;
		for (size_t k = 0; k < x->n_now; k++)
			still |= strcmp(x->now[k].name, s->filters[i].name) == 0;
		if (!still)
			x->filters[x->n_filters++] = (struct policy_filter){ .name = s->filters[i].name };
	}
	struct bytes ssh = policy_view_ssh(r->t->map.policy, n->row.id);
	struct bytes caps = policy_view_self_caps(r->t->map.policy, n->row.id);
	x->ssh_hash = ssh.n ? map_hash(ssh.p, ssh.n) : 0;
	if (x->ssh_hash != s->ssh_hash)
		x->ssh = ssh.n ? ssh : BYTES_LIT("{\"rules\":[]}"); /* clearing needs an empty list */
	x->caps_hash = caps.n ? map_hash(caps.p, caps.n) : 0;
	x->self = x->caps_hash != s->caps_hash;
	return OK;
}

/* The hash of the sets, and of how the nodes in them look to this session. */
static uint64_t hash_sets(struct round *r, struct session *s)
{
	size_t count = s->compare ? r->words : r->n_at;
	uint64_t sig = 0;

	for (size_t k = 0; k < count; k++) {
		size_t i = s->compare ? k : r->at[k];
		uint64_t part[5] = { sig, i, r->changed[i], r->patched[i], r->removed[i] };
		if (part[2] | part[3] | part[4])
			sig = map_hash(part, sizeof part);
		for (uint64_t w = r->n_routers ? r->changed[i] : 0; w; w &= w - 1) {
			struct map_node *m = r->t->map.nodes[i * 64 + (unsigned)__builtin_ctzll(w)];
			uint64_t routes = m->n_cand ? routes_of(r, s->node, container_of(m, struct node, m)) : 0;
			uint64_t more[3] = { sig, m->slot, routes };
			if (routes)
				sig = map_hash(more, sizeof more);
		}
	}
	return sig;
}

/* hash_sets, from what is known where nothing differs: comparing costs a tenth. */
static uint64_t sets_signature(struct round *r, struct session *s)
{
	struct known_sets *k = &r->known[s->node->m.cls % KNOWN_SETS];
	size_t count = s->compare ? r->words : r->n_at;
	bool same = k->sets && k->cls == s->node->m.cls && k->compare == s->compare;
	const uint64_t *const sets[] = { r->changed, r->patched, r->removed };

	if (s->node->n_cand) /* to a router, routes look otherwise */
		return hash_sets(r, s);
	if (s->compare) {
		for (size_t j = 0; same && j < 3; j++)
			same = memcmp(k->sets + j * r->words, sets[j], count * sizeof(uint64_t)) == 0;
	} else {
		for (size_t i = 0; same && i < count; i++)
			for (size_t j = 0; same && j < 3; j++)
				same = k->sets[j * r->words + i] == sets[j][r->at[i]];
	}
	if (same)
		return k->sig;
	uint64_t sig = hash_sets(r, s);
	if (!k->sets && !(k->sets = arena_array(&r->a, 3 * r->words + 1, sizeof(uint64_t))))
		return sig;
	for (size_t j = 0; j < 3; j++)
		for (size_t i = 0; i < count; i++)
			k->sets[j * r->words + i] = sets[j][s->compare ? i : r->at[i]];
	k->cls = s->node->m.cls;
	k->compare = s->compare;
	k->sig = sig;
	return sig;
}

/* The hash of all that goes into the message. */
static uint64_t signature(struct round *r, struct session *s, const struct extras *x)
{
	uint64_t sig = sets_signature(r, s);

	if (r->t->derp_dirty && !map_pins_certs(s->node->row.capver)) {
		uint64_t part[2] = { sig, 4 };
		sig = map_hash(part, sizeof part);
	}
	if (s->no_ipv4) {
		uint64_t part[2] = { sig, 3 };
		sig = map_hash(part, sizeof part);
	}
	for (size_t i = 0; x && i < x->n_filters; i++) {
		uint64_t part[4] = { sig, map_hash(x->filters[i].name, strlen(x->filters[i].name)), x->filters[i].hash,
			x->filters[i].rules != NULL };
		sig = map_hash(part, sizeof part);
	}
	if (x && x->ssh.n) {
		uint64_t part[3] = { sig, 1, x->ssh_hash };
		sig = map_hash(part, sizeof part);
	}
	if (r->t->dns_dirty && r->own_dns) {
		uint64_t part[3] = { sig, 9, (uint64_t)s->node->row.id };
		sig = map_hash(part, sizeof part);
	}
	if (r->t->dns_dirty && s->services_hash) {
		uint64_t part[3] = { sig, 3, s->services_hash };
		sig = map_hash(part, sizeof part);
	}
	if (s->self) { /* nobody else's */
		uint64_t part[3] = { sig, 2, (uint64_t)s->node->row.id * 2 + s->reader };
		sig = map_hash(part, sizeof part);
	}
	return sig;
}

static size_t count_bits(const struct round *r, const struct session *s, const uint64_t *w)
{
	size_t n = 0, count = s->compare ? r->words : r->n_at;

	for (size_t k = 0; k < count; k++)
		n += (size_t)__builtin_popcountll(w[s->compare ? k : r->at[k]]);
	return n;
}

static err group_add(struct round *r, struct map *groups, uint64_t sig, struct session *s, struct extras *x)
{
	struct group *g = map_get(groups, &sig);

	if (!g) {
		g = arena_alloc(&r->a, sizeof *g);
		if (!g)
			return ERR_NOMEM;
		g->sig = sig;
		g->leader = s;
		g->weight = count_bits(r, s, r->changed) + count_bits(r, s, r->removed);
		TRY(map_put(groups, g));
		*r->last = g;
		r->last = &g->next;
	}
	if (g->n == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 4;
		struct member *members = realloc(g->members, cap * sizeof *members);
		if (!members)
			return ERR_NOMEM;
		g->members = members;
		g->cap = cap;
	}
	g->members[g->n++] = (struct member){ s, x };
	return OK;
}

static bool has_tagged(const struct tailnet *t, const struct session *s)
{
	if (s->node->row.n_tags)
		return true;
	for (size_t i = 0; i < s->told.n; i++)
		for (uint64_t w = s->told.w[i]; w; w &= w - 1) {
			const struct map_node *m = t->map.nodes[i * 64 + (unsigned)__builtin_ctzll(w)];

			if (m && m->row->n_tags)
				return true;
		}
	return false;
}

/* Comes into view, or has another owner, and the session was told of no other node of this owner. All tagged nodes have one. */
static bool is_first_of_owner(const struct round *r, const struct session *s, const struct node *n)
{
	const struct user *u = n->row.user_id ? user_by_id(r->c, n->row.user_id) : NULL;

	if (slots_has(&s->told, n->m.slot) && !(n->dirty & DIRTY_OWNER))
		return false;
	if (!u)
		return n->row.n_tags && ((n->dirty & DIRTY_OWNER) || !has_tagged(r->t, s));
	if (s->node->row.user_id == u->row.id)
		return false;
	list_each(it, &u->nodes) {
		const struct node *other = container_of(it, struct node, of_user);

		if (other != n && slots_has(&s->told, other->m.slot))
			return false;
	}
	return true;
}

static err build(struct round *r, struct group *g, struct map_msg **out)
{
	struct session *s = g->leader;
	struct tailnet *t = r->t;
	struct map_delta d = { .viewer = &s->node->m, .dns = t->dns_dirty || s->dns || (s->self && r->own_dns), .derp = t->derp_dirty, .lock = t->lock_dirty };
	const struct extras *x = g->members[0].x;
	bool any;

	TRY(session_sets(r, s, &any));
	size_t n_changed = count_bits(r, s, r->changed), n_patched = count_bits(r, s, r->patched);
	size_t n_removed = count_bits(r, s, r->removed), count = s->compare ? r->words : r->n_at;
	CLEANUP(freep) const struct map_node **changed = malloc((n_changed + 1) * sizeof(*changed));
	CLEANUP(freep) struct map_patch *patches = malloc((n_changed + n_patched + 1) * sizeof *patches);
	CLEANUP(freep) int64_t *removed = malloc((n_removed + 1) * sizeof *removed);
	if (!changed || !patches || !removed)
		return ERR_NOMEM;
	for (size_t k = 0; k < count; k++) {
		size_t i = s->compare ? k : r->at[k];
		for (uint64_t w = r->changed[i]; w; w &= w - 1) {
			struct map_node *m = t->map.nodes[i * 64 + (unsigned)__builtin_ctzll(w)];
			unsigned dirty = container_of(m, struct node, m)->dirty & 0xffffu;
			changed[d.n_changed++] = m;
			d.new_owner = d.new_owner || is_first_of_owner(r, s, container_of(m, struct node, m));
			/* A client that has the node may lose "offline" and LastSeen of a whole one, and that it has no disco key any more
			 * (control.md 6.6). */
			if (((dirty & PATCH_ONLINE) && !m->online) || ((dirty & PATCH_DISCO) && disco_pub_is_zero(&m->row->disco)))
				patches[d.n_patches++] = (struct map_patch){ m, dirty };
		}
		for (uint64_t w = r->patched[i]; w; w &= w - 1) {
			struct map_node *m = t->map.nodes[i * 64 + (unsigned)__builtin_ctzll(w)];
			patches[d.n_patches++] = (struct map_patch){ m, container_of(m, struct node, m)->dirty & 0xffffu };
		}
		for (uint64_t w = r->removed[i]; w; w &= w - 1)
			removed[d.n_removed++] = t->slot_id[i * 64 + (unsigned)__builtin_ctzll(w)];
	}
	d.changed = changed;
	d.patches = patches;
	d.removed = removed;
	if (x) {
		d.filters = x->filters;
		d.n_filters = x->n_filters;
		d.ssh = x->ssh;
	}
	if (s->self)
		d.self = &s->node->m;
	d.message = s->self && s->message_hash != map_message_hash(&s->node->m);
	return map_delta_msg(t->cache, &t->map, &d, r->c->now.wall_ms, out);
}

/* What was sent is told. */
static err note_sent(struct round *r, struct group *g, struct session *s, const struct extras *x)
{
	bool compare = g->leader->compare; /* the sets are the leader's */
	struct tailnet *t = r->t;
	size_t count = compare ? r->words : r->n_at;

	for (size_t k = 0; k < count; k++) {
		size_t i = compare ? k : r->at[k];
		TRY(slots_add(&s->told, i, r->changed[i]));
		for (uint64_t w = r->changed[i] & (s->n_routes ? UINT64_MAX : r->routers[i]); w; w &= w - 1) {
			uint32_t slot = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(w);
			TRY(session_note_routes(s, slot, routes_of(r, s->node, container_of(t->map.nodes[slot], struct node, m))));
		}
		for (uint64_t w = s->n_routes ? r->removed[i] : 0; w; w &= w - 1)
			TRY(session_note_routes(s, (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(w), 0));
		if (i < s->told.n)
			s->told.w[i] &= ~r->removed[i];
	}
	if (x) {
		s->ssh_hash = x->ssh_hash;
		s->caps_hash = x->caps_hash;
		TRY(session_filters_room(s, x->n_now));
		session_note_filters(s, x->now, x->n_now);
	}
	return OK;
}

/* Thousands of sessions are in no cache. */
static void fetch_ahead(const struct group *g, size_t i)
{
	if (i + 4 < g->n)
		for (size_t k = 0; k < sizeof(struct session); k += 64)
			__builtin_prefetch((const char *)g->members[i + 4].s + k);
	if (i + 2 < g->n) {
		__builtin_prefetch(g->members[i + 2].s->told.w, 1);
		__builtin_prefetch(g->members[i + 2].s->sink, 1);
	}
}

static void send_group(struct round *r, struct group *g)
{
	struct core *c = r->c;
	struct map_msg *msg = NULL;

	err e = build(r, g, &msg);
	struct map_sink **sinks = e == OK && msg ? malloc(g->n * sizeof(*sinks)) : NULL;
	if (e != OK || (msg && !sinks)) {
		map_msg_unref(msg);
		goto drop;
	}
	if (!msg)
		return;
	for (size_t i = 0; i < g->n; i++) {
		struct session *s = g->members[i].s;
		fetch_ahead(g, i);
		/* The sets are the leader's, and so everybody's; filters were compared by each with its own list. */
		if (note_sent(r, g, s, g->members[i].x) != OK)
			session_want_full(s);
		sinks[i] = map_sink_ref(s->sink);
		if (s->self)
			s->message_hash = map_message_hash(&s->node->m);
		session_note_sent(c, s, map_msg_text_len(msg));
	}
	c->map_deltas++;
	c->map_bytes += map_msg_text_len(msg) * g->n;
	fx_map(c, msg, sinks, g->n);
	return;
drop:
	for (size_t i = 0; i < g->n; i++) /* out of memory: they come back and get a fresh map */
		session_want_full(g->members[i].s);
}

/* Or later, when this round has made enough of them. */
static void send_full(struct round *r, struct session *s)
{
	session_want_full(s);
	if (!r->full_left)
		return;
	r->full_left--;
	if (session_send_full(r->c, s) != OK)
		session_drop(r->c, s, true);
}

static err prepare(struct round *r)
{
	struct tailnet *t = r->t;

	r->words = (t->map.n_slots + 63) / 64;
	r->own_dns = map_dns_is_own(&t->set);
	r->n_classes = policy_view_classes(t->map.policy);
	r->all = arena_array(&r->a, r->words + 1, sizeof *r->all);
	r->whole = arena_array(&r->a, r->words + 1, sizeof *r->whole);
	r->patch = arena_array(&r->a, r->words + 1, sizeof *r->patch);
	r->at = arena_array(&r->a, r->words + 1, sizeof *r->at);
	r->changed = arena_array(&r->a, r->words + 1, sizeof *r->changed);
	r->patched = arena_array(&r->a, r->words + 1, sizeof *r->patched);
	r->removed = arena_array(&r->a, r->words + 1, sizeof *r->removed);
	r->visible = arena_array(&r->a, r->n_classes + 1, sizeof(*r->visible));
	r->visible_all = arena_array(&r->a, r->n_classes + 1, sizeof(*r->visible_all));
	r->shown = arena_array(&r->a, r->n_classes + 1, sizeof(*r->shown));
	r->routed = arena_array(&r->a, t->map.n_slots + 1, sizeof *r->routed);
	r->routers = arena_array(&r->a, r->words + 1, sizeof *r->routers);
	r->known = arena_array(&r->a, KNOWN_SETS, sizeof *r->known);
	if (!r->all || !r->whole || !r->patch || !r->at || !r->changed || !r->patched || !r->removed || !r->visible ||
			!r->visible_all || !r->shown || !r->routed || !r->routers || !r->known)
		return ERR_NOMEM;
	list_each(it, &t->routers) {
		struct node *n = container_of(it, struct node, of_router);
		n->router_at = r->n_routers++;
		bit_set(r->routers, n->m.slot);
	}
	list_each(it, &t->dirty) {
		struct node *n = container_of(it, struct node, of_dirty);
		unsigned patches = n->dirty & 0xffffu;
		bit_set(r->all, n->m.slot);
		if (n->dirty & DIRTY_ROUTES)
			r->routed[r->n_routed++] = n->m.slot;
		if (n->dirty & DIRTY_WHOLE) {
			bit_set(r->whole, n->m.slot);
		} else if (patches) {
			bit_set(r->patch, n->m.slot);
			r->n_patch++;
		}
	}
	for (size_t i = 0; i < t->n_gone; i++)
		bit_set(r->all, t->gone[i].slot);
	for (size_t i = 0; i < r->words; i++)
		if (r->all[i])
			r->at[r->n_at++] = (uint32_t)i;
	return OK;
}

/* Which services it sees or may host, which connectors it asks: its own node says it, and its DNS. */
static void check_services(struct round *r, struct session *s)
{
	struct tailnet *t = r->t;

	if ((!t->services_dirty && !s->compare) || (!t->map.n_services && !t->map.n_apps && !s->services_hash))
		return;
	uint64_t hash = map_services_hash(&t->map, &s->node->m);
	if (hash == s->services_hash)
		return;
	s->services_hash = hash;
	s->self = s->dns = true;
}

static void group_sessions(struct round *r, struct map *groups)
{
	struct tailnet *t = r->t;

	list_each_safe(it, &t->sessions) {
		struct session *s = container_of(it, struct session, all);
		struct session *next = it->next == &t->sessions ? NULL : container_of(it->next, struct session, all);
		struct extras *x;
		bool any = false;

		__builtin_prefetch(next);
		if (t->compare_all)
			s->compare = true;
		if (s->compare && s->no_ipv4 != policy_view_no_ipv4(t->map.policy, s->node->m.cls))
			session_want_full(s); /* all its peers look otherwise */
		if (s->need_full || t->full_all) {
			send_full(r, s);
			continue;
		}
		check_services(r, s);
		err e = check_extras(r, s, &x);
		if (next) {
			__builtin_prefetch(next->all.next);
			__builtin_prefetch(&next->node->m);
			__builtin_prefetch(next->told.w);
		}
		if (e == OK)
			e = session_sets(r, s, &any);
		if (x && x->self)
			s->self = true;
		if (e == OK && (any || (x && (x->n_filters || x->ssh.n)) || s->self || t->dns_dirty || t->derp_dirty || t->lock_dirty))
			e = group_add(r, groups, signature(r, s, x), s, x);
		else if (e == OK)
			s->compare = false;
		if (e != OK)
			session_drop(r->c, s, true);
	}
}

static void on_warm(struct core *c, struct timer *timer)
{
	struct tailnet *t = container_of(timer, struct tailnet, warm);

	map_cache_warm(t->cache, &t->map, WARM_BLOCKS);
	if (map_cache_cold(t->cache) >= WARM_FROM)
		timer_arm(&c->timers, timer, c->now.mono_ms + WARM_MS);
}

/* Somebody may join, or come back, at any time: its map is no moment to write the texts of all who changed since the last one. */
static void warm_soon(struct core *c, struct tailnet *t)
{
	t->warm.fire = on_warm;
	if (!t->warm.index && !list_is_empty(&t->sessions) && map_cache_cold(t->cache) >= WARM_FROM)
		timer_arm(&c->timers, &t->warm, c->now.mono_ms + WARM_MS);
}

void tailnet_flush(struct core *c, struct tailnet *t)
{
	struct round r = { .c = c, .t = t, .a = arena_make(0) };
	struct map groups = MAP_OF(struct group, sig);

	r.last = &r.first;
	if (prepare(&r) != OK) { /* the marks stay; the next round tries again */
		arena_done(&r.a);
		return;
	}
	r.full_left = MAX_OF((size_t)FULL_MIN, FULL_BLOCKS / (1 + t->map.n_slots / MAP_BLOCK));
	group_sessions(&r, &groups);
	for (struct group *g = r.first; g; g = g->next) {
		if (g->weight > BIG_DELTA * g->n) {
			for (size_t i = 0; i < g->n; i++)
				send_full(&r, g->members[i].s);
		} else {
			send_group(&r, g);
			for (size_t i = 0; i < g->n; i++)
				g->members[i].s->self = g->members[i].s->compare = g->members[i].s->dns = false;
		}
		free(g->members);
	}
	map_done(&groups);
	arena_done(&r.a);

	bool again = false;
	list_each_safe(it, &t->dirty) {
		struct node *n = container_of(it, struct node, of_dirty);
		n->dirty = 0;
		list_del(it);
	}
	if (t->n_filter_classes)
		memset(t->filter_classes, 0, t->n_filter_classes);
	if (t->full_wanted)
		list_each(it, &t->sessions)
			again |= container_of(it, struct session, all)->need_full;
	t->full_wanted = again;
	/* Who still waits for a full map was told of them, and may have to take them back one by one. */
	for (size_t i = 0; !again && i < t->n_gone; i++)
		t->free_slots[t->n_free_slots++] = t->gone[i].slot;
	if (!again)
		t->n_gone = 0;
	t->reveal = t->compare_all = t->full_all = t->dns_dirty = t->derp_dirty = t->lock_dirty = t->services_dirty = false;
	t->flush = again;
	warm_soon(c, t);
}
