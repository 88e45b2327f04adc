#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/matrix.h"
#include "server/policy/syntax.h"

/* From | because of a rule | To, for one party: its rules in the policy's order. */

enum { EDGES_SHOWN = 400 };

struct seen { /* an edge, as it is compared with those of the other policy */
	struct class_key key;
};

struct graph {
	struct matrix m;
	struct namer name[2];
	const struct policy_world *world[2];
	struct party party;   /* when of was a question */
	uint32_t *of, *some;  /* owned: kinds of the party; scratch */
	size_t n_of, n_some;
	bool to, ssh, draft;
	int side;
	bool collect;	      /* first time round: keys only */
	struct map seen[2];   /* struct seen */
	struct arena arena;
	struct jsonw *w;
	size_t shown;
};

static const struct policy *policy_of(const struct graph *g)
{
	return g->world[g->side]->view->p;
}

static const struct policy_class *class_of(const struct graph *g, uint32_t kind)
{
	const struct kind *k = &g->m.e.kinds.k[kind];

	return g->world[g->side]->view->cls[g->side == NEW ? k->is : k->was];
}

/* ---- the party ---- */

static bool of_key(struct graph *g, const char *text)
{
	bool row = text[0] == 'r';
	const struct bunches *list = row ? &g->m.e.rows : &g->m.e.columns;
	char key[BUNCH_KEY_MAX];

	if ((text[0] != 'r' && text[0] != 'c') || text[1] != ':')
		return false;
	for (size_t i = 0; i < list->n; i++) {
		bunch_key_text(row, &list->b[i], key);
		if (strcmp(key, text) == 0) {
			g->n_of = bunch_kinds(&g->m.e, row, i, g->of);
			return true;
		}
	}
	return false;
}

static void of_party(struct graph *g)
{
	const struct policy_world *w = g->m.e.is;

	for (size_t i = 0; i < g->m.e.kinds.n; i++) {
		bool in = false;

		for (size_t k = 0; k < g->party.n && !in; k++)
			in = g->party.probe[k].node && g->party.probe[k].node->cls == g->m.e.kinds.k[i].is;
		if (in)
			g->of[g->n_of++] = (uint32_t)i;
	}
	(void)w;
}

/* What is no node: a range, an address that is nobody's, the internet. */
static bool is_place(const struct graph *g)
{
	return g->party.probe && !g->n_of && (g->party.kind == PARTY_ADDRESS || g->party.kind == PARTY_RANGE || g->party.kind == PARTY_INTERNET);
}

/* ---- edges ---- */

static struct class_key edge_key(const struct graph *g, const char *other, const struct port_set *ports, uint64_t more)
{
	const uint64_t part[] = { map_hash(g->some, g->n_some * sizeof *g->some), map_hash(other, strlen(other)), ports ? ports->key.a : 0, more };

	return (struct class_key){ map_hash(part, sizeof part), part[0] ^ part[1] };
}

static const char *change_of(const struct graph *g, struct class_key key)
{
	if (map_get(&g->seen[!g->side], &key))
		return g->side == OLD ? NULL : "";
	return g->side == OLD ? "removed" : "added";
}

static void note(struct graph *g, struct class_key key)
{
	struct seen *s = map_get(&g->seen[g->side], &key) ? NULL : arena_alloc(&g->arena, sizeof *s);

	if (!s)
		return;
	s->key = key;
	if (map_put(&g->seen[g->side], s) != OK)
		g->w->out->bad = true;
}

/* Kinds that a selector matches. */
static size_t matching(const struct graph *g, const struct sel *s, uint32_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < g->m.e.kinds.n; i++) {
		const struct policy_class *c = class_of(g, (uint32_t)i);

		if (class_has(c->by_who, c->n_who, s->id))
			out[n++] = (uint32_t)i;
	}
	return n;
}

static bool is_beyond(const struct sel *s, bool via)
{
	if (s->kind == SEL_INTERNET || (s->kind == SEL_ANY && via))
		return true;
	for (size_t i = 0; s->kind == SEL_RANGES && i < s->n_ranges; i++)
		if (!addr_is_tailscale(s->ranges[i].first) || !addr_is_tailscale(s->ranges[i].last))
			return true;
	return false;
}

/* A side of a rule as it is written there. via: of a destination. */
static void write_written(struct graph *g, const char *key, const struct sel *s, bool via)
{
	CLEANUP(freep) uint32_t *kinds = calloc(g->m.e.kinds.n + 1, sizeof *kinds);
	const struct beyond b = { s->kind == SEL_ANY ? "any" : sel_kind_name(s), s->name, { g->side == OLD ? s : NULL, g->side == NEW ? s : NULL } };

	if (!kinds) {
		g->w->out->bad = true;
		return;
	}
	jsonw_key_bytes(g->w, bytes_str(key)), jsonw_obj(g->w);
	if (s->kind == SEL_SELF) {
		write_place_members(g->w, "self", "autogroup:self");
		write_no_routers(g->w, "self");
	} else if (is_beyond(s, via)) {
		write_beyond(g->w, &g->m.e, &b);
	} else {
		size_t n = matching(g, s, kinds);

		write_named_members(g->w, &g->name[g->side], kinds, n, sel_kind_name(s), s->name);
		write_no_routers(g->w, "machines");
	}
	jsonw_obj_end(g->w);
}

static void write_mine(struct graph *g, const char *key)
{
	jsonw_key_bytes(g->w, bytes_str(key)), jsonw_obj(g->w);
	if (g->n_some)
		write_party_members(g->w, &g->name[g->side], g->some, g->n_some, "");
	else
		write_place_members(g->w, g->party.kind == PARTY_INTERNET ? "internet" : "range", g->party.text);
	write_no_routers(g->w, "machines");
	jsonw_obj_end(g->w);
}

static void write_rule_text(struct graph *g, const struct syntax *at)
{
	struct buf text = buf_make(1 << 20);
	struct jsonw t = jsonw_init(&text);

	if (at)
		syntax_write(at, &t);
	if (text.bad || buf_len(&text) > 2000)
		buf_clear(&text);
	jsonw_key(g->w, "text"), jsonw_bytes(g->w, buf_view(&text));
	buf_done(&text);
}

struct edge {
	const struct rule *rule; /* one of the two */
	const struct ssh_rule *ssh;
	const struct sel *other; /* what stands on the other side */
	const struct port_set *ports;
};

static void write_edge(struct graph *g, const struct edge *x, const char *change)
{
	const struct policy *p = policy_of(g);

	jsonw_obj(g->w);
	jsonw_key(g->w, "rule"), jsonw_obj(g->w);
	if (x->rule) {
		write_rule_place(g->w, p, x->rule);
	} else {
		jsonw_key(g->w, "line"), jsonw_uint(g->w, x->ssh->line);
		jsonw_key(g->w, "section"), jsonw_str(g->w, "ssh");
		jsonw_key(g->w, "index"), jsonw_uint(g->w, (uint64_t)(x->ssh - p->ssh));
	}
	jsonw_obj_end(g->w);
	write_rule_text(g, x->rule ? x->rule->at : x->ssh->at);
	if (g->to) {
		write_written(g, "from", x->other, false);
		write_mine(g, "to");
	} else {
		write_mine(g, "from");
		write_written(g, "to", x->other, x->rule && x->rule->n_via > 0);
	}
	jsonw_key(g->w, "ports"), write_port_set(g->w, x->ports);
	if (x->ssh) {
		jsonw_key(g->w, "users"), write_ssh_users(g->w, &x->ssh, 1);
		jsonw_key(g->w, "check"), jsonw_bool(g->w, x->ssh->check);
	}
	if (*change)
		jsonw_key(g->w, "change"), jsonw_str(g->w, change);
	jsonw_obj_end(g->w);
}

static void edge(struct graph *g, const struct edge *x)
{
	struct buf users = buf_make(64 << 10);

	if (x->ssh)
		ssh_users_text(x->ssh, &users);
	struct class_key key = edge_key(g, x->other->name, x->ports, x->ssh ? map_hash(buf_view(&users).p, buf_len(&users)) * 2 + x->ssh->check : 0);
	buf_done(&users);
	if (g->collect) {
		note(g, key);
		return;
	}
	const char *change = g->draft ? change_of(g, key) : "";
	if (change && g->shown++ < EDGES_SHOWN)
		write_edge(g, x, change);
}

/* ---- from the party ---- */

static void sources_among(struct graph *g, const struct sel_set *s)
{
	g->n_some = 0;
	for (size_t i = 0; i < g->n_of; i++)
		if (class_in_set(g->world[g->side]->view, class_of(g, g->of[i]), s))
			g->some[g->n_some++] = g->of[i];
}

/* Entries of one rule with the same destination are one edge. */
static const struct port_set *ports_to(struct graph *g, const struct rule *r, size_t d)
{
	const struct policy *p = policy_of(g);

	for (size_t k = r->first_dst; k < d; k++)
		if (p->dst[k].sel == p->dst[d].sel)
			return NULL; /* it was said */
	for (size_t k = d; k < r->first_dst + r->n_dst; k++)
		if (p->dst[k].sel == p->dst[d].sel)
			port_sets_add(&g->m.e.ports, &p->dst[k]);
	return port_sets_make(&g->m.e.ports);
}

static void edges_from(struct graph *g, const struct rule *r)
{
	const struct policy *p = policy_of(g);

	sources_among(g, &p->set[r->src]);
	for (size_t d = r->first_dst; g->n_some && d < r->first_dst + r->n_dst; d++) {
		const struct port_set *ports = ports_to(g, r, d);

		if (ports && ports->n)
			edge(g, &(struct edge){ .rule = r, .other = p->sel[p->dst[d].sel], .ports = ports });
	}
}

/* ---- to the party ---- */

static bool means(const struct graph *g, const struct rule_dst *d, uint32_t kind)
{
	const struct policy *p = policy_of(g);

	if (p->sel[d->sel]->kind == SEL_SELF)
		return g->m.e.kinds.user[g->m.e.kinds.node[g->m.e.kinds.k[kind].first]] != 0;
	return dst_is_node(p, class_of(g, kind), d);
}

static bool opens_place(const struct graph *g, const struct rule_dst *d)
{
	const struct probe *x = &g->party.probe[0];
	const struct policy_view *v = g->world[g->side]->view;

	return probe_is_destination(v, d, x, x);
}

static void edges_to(struct graph *g, const struct rule *r)
{
	const struct policy *p = policy_of(g);
	bool self = true, some = false;

	g->n_some = 0;
	for (size_t i = 0; i < g->n_of; i++) {
		bool in = false;

		for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++)
			if (p->dst[d].n_ports && means(g, &p->dst[d], g->of[i])) {
				in = true;
				self &= p->sel[p->dst[d].sel]->kind == SEL_SELF;
				port_sets_add(&g->m.e.ports, &p->dst[d]);
			}
		if (in)
			g->some[g->n_some++] = g->of[i];
	}
	for (size_t d = r->first_dst; is_place(g) && d < r->first_dst + r->n_dst; d++)
		if (p->dst[d].n_ports && opens_place(g, &p->dst[d])) {
			some = true;
			self = false;
			port_sets_add(&g->m.e.ports, &p->dst[d]);
		}
	const struct port_set *ports = port_sets_make(&g->m.e.ports);
	const struct sel_set *src = &p->set[r->src];
	if (!g->n_some && !some)
		return;
	if (self && p->self) {
		edge(g, &(struct edge){ .rule = r, .other = p->self, .ports = ports });
		return;
	}
	for (size_t i = 0; i < src->n; i++)
		edge(g, &(struct edge){ .rule = r, .other = p->sel[src->sel[i]], .ports = ports });
}

/* ---- SSH ---- */

static const struct sel self_sel = { .kind = SEL_SELF, .name = "autogroup:self" };

static void ssh_from(struct graph *g, const struct ssh_rule *r)
{
	const struct policy *p = policy_of(g);

	sources_among(g, &p->set[r->src]);
	for (size_t i = 0; g->n_some && i < r->n_dst; i++)
		edge(g, &(struct edge){ .ssh = r, .other = p->sel[r->dst[i]] });
	if (g->n_some && (r->self || r->n_localparts))
		edge(g, &(struct edge){ .ssh = r, .other = &self_sel });
}

static void ssh_to(struct graph *g, const struct ssh_rule *r)
{
	const struct policy *p = policy_of(g);

	g->n_some = 0;
	for (size_t i = 0; i < g->n_of; i++)
		if (ssh_is_dst(class_of(g, g->of[i]), r))
			g->some[g->n_some++] = g->of[i];
	for (size_t i = 0; g->n_some && i < p->set[r->src].n; i++)
		edge(g, &(struct edge){ .ssh = r, .other = p->sel[p->set[r->src].sel[i]] });
}

static void all_edges(struct graph *g, int side)
{
	const struct policy *p = g->world[side]->view->p;

	g->side = side;
	for (size_t i = 0; !g->ssh && i < p->n_rules; i++)
		g->to ? edges_to(g, &p->rule[i]) : edges_from(g, &p->rule[i]);
	for (size_t i = 0; g->ssh && i < p->n_ssh; i++)
		g->to ? ssh_to(g, &p->ssh[i]) : ssh_from(g, &p->ssh[i]);
}

/* ---- the whole ---- */

static void write_of(struct graph *g, const char *text)
{
	jsonw_key(g->w, "of"), jsonw_obj(g->w);
	if (g->party.probe)
		write_named_members(g->w, &g->name[NEW], g->of, g->n_of, party_kind_name(&g->party), g->party.text);
	else
		write_party_members(g->w, &g->name[NEW], g->of, g->n_of, text);
	if (*g->party.why)
		jsonw_key(g->w, "why"), jsonw_str(g->w, g->party.why);
	jsonw_obj_end(g->w);
}

static err make(struct graph *g, const struct policy_world *was, const struct policy_world *is, const char *of, char *why, size_t why_cap)
{
	TRY(matrix_make(was, is, g->ssh, &g->m));
	TRY(namer_make(was, &g->m.e.kinds, false, &g->name[OLD]));
	TRY(namer_make(is, &g->m.e.kinds, true, &g->name[NEW]));
	g->of = calloc(g->m.e.kinds.n + 1, sizeof *g->of);
	g->some = calloc(g->m.e.kinds.n + 1, sizeof *g->some);
	if (!g->of || !g->some)
		return ERR_NOMEM;
	if (of_key(g, of))
		return OK;
	if ((of[0] == 'r' || of[0] == 'c') && of[1] == ':') {
		snprintf(why, why_cap, "the policy or the machines have changed: ask for the matrix again");
		return ERR_INVALID;
	}
	TRY(party_read(is, of, g->to, &g->party, why, why_cap));
	of_party(g);
	return OK;
}

static void write_graph(struct graph *g, const char *of)
{
	jsonw_key(g->w, "direction"), jsonw_str(g->w, g->to ? "to" : "from");
	write_of(g, of);
	if (g->draft) {
		g->collect = true;
		all_edges(g, OLD);
		all_edges(g, NEW);
		g->collect = false;
	}
	jsonw_key(g->w, "edges"), jsonw_arr(g->w);
	all_edges(g, NEW);
	if (g->draft)
		all_edges(g, OLD);
	jsonw_arr_end(g->w);
	jsonw_key(g->w, "truncated"), jsonw_bool(g->w, g->shown > EDGES_SHOWN);
}

err policy_graph(const struct policy_world *was, const struct policy_world *is, const char *of, bool to, bool ssh, struct jsonw *out,
		char *why, size_t why_cap)
{
	struct graph g = { .world = { was, is }, .to = to, .ssh = ssh, .draft = was != is, .w = out, .arena = arena_make(0),
			   .seen = { MAP_OF(struct seen, key), MAP_OF(struct seen, key) } };
	err e = make(&g, was, is, of, why, why_cap);

	if (e == OK)
		write_graph(&g, of);
	matrix_done(&g.m);
	namer_done(&g.name[OLD]);
	namer_done(&g.name[NEW]);
	party_done(&g.party);
	map_done(&g.seen[OLD]);
	map_done(&g.seen[NEW]);
	arena_done(&g.arena);
	free(g.of);
	free(g.some);
	return e;
}

/* ---- who may log in as whom ---- */

enum { PAIRS_SHOWN = 32 };

static bool as_user(const struct ssh_rule *r, const char *user, const char *email)
{
	const char *at = strchr(email, '@');

	if (!*user)
		return true;
	if (strcmp(user, "root") == 0)
		return r->root;
	for (size_t i = 0; i < r->n_users; i++)
		if (strcmp(r->user[i], user) == 0)
			return true;
	for (size_t i = 0; at && i < r->n_localparts; i++)
		if (strlen(user) == (size_t)(at - email) && strncmp(user, email, strlen(user)) == 0 && bytes_eq_nocase(bytes_str(at + 1), bytes_str(r->localpart[i])))
			return true;
	return r->nonroot;
}

static void write_who(struct jsonw *w, const char *key, const struct policy_world *world, const struct crowd *c)
{
	jsonw_key_bytes(w, bytes_str(key)), write_probe(w, world, &c->first);
}

static void write_login(const struct policy_world *world, const struct crowd *a, const struct crowd *b, const char *user, struct jsonw *w)
{
	const struct policy *p = world->view->p;
	const struct ssh_rule *rule[EFFECT_RULES_MAX];
	bool check = false, accept = false;
	size_t n = 0;

	for (int strict = 1; strict >= 0; strict--) /* the stricter first: the first that fits decides */
		for (size_t i = 0; i < p->n_ssh; i++)
			if (p->ssh[i].check == (bool)strict && n < EFFECT_RULES_MAX && ssh_fits(world->view, &p->ssh[i], a->first.node, b->first.node) &&
			    as_user(&p->ssh[i], user, a->first.node->email)) {
				rule[n++] = &p->ssh[i];
				*(strict ? &check : &accept) = true;
			}
	jsonw_obj(w);
	write_who(w, "source", world, a);
	write_who(w, "destination", world, b);
	jsonw_key(w, "count"), jsonw_uint(w, a->n * b->n);
	jsonw_key(w, "action"), jsonw_str(w, check && (*user || !accept) ? "check" : check || accept ? "accept" : "no");
	jsonw_key(w, "users"), write_ssh_users(w, rule, n);
	jsonw_key(w, "checkPeriodS");
	if (check)
		jsonw_int(w, rule[0]->period_ms / 1000);
	else
		jsonw_null(w);
	write_ssh_places(w, p, rule, n);
	jsonw_obj_end(w);
}

err policy_ssh_question(const struct policy_world *w, const char *src, const char *dst, const char *user, struct jsonw *out, char *why,
		size_t why_cap)
{
	CLEANUP(party_done) struct party a = { 0 }, b = { 0 };
	size_t n_from, n_to, shown = 0;

	TRY(party_read(w, src, false, &a, why, why_cap));
	TRY(party_read(w, dst, true, &b, why, why_cap));
	CLEANUP(freep) struct crowd *from = crowds_of(w, &a, &n_from), *to = crowds_of(w, &b, &n_to);
	if (!from || !to)
		return ERR_NOMEM;
	jsonw_key(out, "why"), jsonw_str(out, *a.why ? a.why : b.why);
	jsonw_key(out, "user"), jsonw_str(out, user);
	jsonw_key(out, "pairs"), jsonw_arr(out);
	for (size_t i = 0; i < n_from; i++)
		for (size_t k = 0; k < n_to; k++)
			if (from[i].first.node && to[k].first.node && shown++ < PAIRS_SHOWN)
				write_login(w, &from[i], &to[k], user, out);
	jsonw_arr_end(out);
	jsonw_key(out, "truncated"), jsonw_bool(out, shown > PAIRS_SHOWN);
	return OK;
}
