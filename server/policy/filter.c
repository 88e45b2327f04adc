#include "server/policy/rules.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"

/* A node's filter is cut into chunks by the sources of its rules, so that a join re-sends the chunk it touches and no
 * other: "base" (always there, so that nothing at all reads as "block everything"), "self" for autogroup:self, and the
 * sets of rules spread over the rest. */
enum { FILTER_TEXT_MAX = 64 << 20, SET_CHUNKS = POLICY_FILTERS_MAX - 2 };

static const char *const chunk_name[SET_CHUNKS] = { "acl-0", "acl-1", "acl-2", "acl-3",	 "acl-4",  "acl-5",  "acl-6",
						    "acl-7", "acl-8", "acl-9", "acl-10", "acl-11", "acl-12", "acl-13" };

void view_forget_filters(struct policy_view *v)
{
	while (v->all_parts) {
		struct shared_part *s = v->all_parts;

		v->all_parts = s->next;
		map_del(&v->parts, &s->hash);
		part_unref(s->part);
		free(s);
	}
	while (v->all_own) {
		struct own_text *o = v->all_own;

		v->all_own = o->next;
		map_del(&v->own, &o->key);
		free((void *)(uintptr_t)o->text.p);
		free(o);
	}
}

/* The part with this text, made once until the next change; text is taken. NULL: out of memory. */
static struct shared_part *share(struct policy_view *v, struct buf *text)
{
	uint64_t hash = map_hash(buf_view(text).p, buf_len(text));
	struct shared_part *s = text->bad ? NULL : map_get(&v->parts, &hash);

	if (s || text->bad) {
		buf_done(text);
		return s;
	}
	s = calloc(1, sizeof *s);
	if (!s) {
		buf_done(text);
		return NULL;
	}
	s->hash = hash;
	s->part = part_new(text);
	if (!s->part || map_put(&v->parts, s) != OK) {
		part_unref(s->part);
		free(s);
		return NULL;
	}
	s->next = v->all_parts;
	v->all_parts = s;
	return s;
}

/* ---- sources ---- */

static void write_addr(struct jsonw *w, struct addr a)
{
	char text[ADDR_TEXT_MAX];

	if (a.family)
		jsonw_str(w, addr_text(a, text));
}

static void write_range(struct jsonw *w, struct range r)
{
	char text[RANGE_TEXT_MAX];

	jsonw_str(w, range_text(r, text));
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(*(const struct prefix *)a, *(const struct prefix *)b);
}

/* The subnets behind the tailnet's routers. Exit routes are no sources. */
static void write_subnets(struct policy_view *v, struct jsonw *w)
{
	size_t n = 0, k = 0;

	list_each(it, &v->routers)
		n += container_of(it, struct view_node, routing)->n_routes;
	CLEANUP(freep) struct prefix *list = calloc(n + 1, sizeof *list);
	if (!list) {
		w->out->bad = true;
		return;
	}
	list_each(it, &v->routers) {
		const struct view_node *x = container_of(it, struct view_node, routing);

		for (size_t i = 0; i < x->n_routes; i++)
			if (x->routes[i].bits > 0)
				list[k++] = prefix_mask(x->routes[i]);
	}
	if (k)
		qsort(list, k, sizeof *list, by_prefix);
	for (size_t i = 0; i < k; i++)
		if (i == 0 || prefix_cmp(list[i - 1], list[i]) != 0)
			write_range(w, range_of(list[i]));
}

/* Everything there is in the tailnet: its two ranges (without the part of 100.64/10 that clients do not take), the subnets
 * behind its routers, and nodes whose addresses lie elsewhere. */
static void write_everything(struct policy_view *v, struct jsonw *w)
{
	size_t at = 0;

	jsonw_str(w, "100.64.0.0-100.115.91.255");
	jsonw_str(w, "100.115.94.0-100.127.255.255");
	jsonw_str(w, "fd7a:115c:a1e0::/48");
	write_subnets(v, w);
	for (struct view_node *n; v->n_outside && (n = map_next(&v->by_id, &at));)
		if (n->outside) {
			write_addr(w, n->v4);
			write_addr(w, n->v6);
		}
}

/* In the order of ids, so that one set of nodes has one text. */
static void write_members(struct policy_view *v, const struct sel_set *s, int64_t only_user, struct jsonw *w)
{
	size_t n;
	CLEANUP(freep) struct view_node **list = view_members(v, s, only_user, &n);

	if (!list)
		w->out->bad = true;
	for (size_t i = 0; list && i < n; i++) {
		write_addr(w, list[i]->v4);
		write_addr(w, list[i]->v6);
	}
}

static void write_set(struct policy_view *v, const struct sel_set *s, struct jsonw *w)
{
	CLEANUP(freep) uint32_t *who = calloc(s->n + 1, sizeof *who);
	struct sel_set identities = { .sel = who };

	if (!who) {
		w->out->bad = true;
		return;
	}
	for (size_t i = 0; i < s->n; i++)
		if (sel_is_identity(v->p->sel[s->sel[i]]))
			who[identities.n++] = s->sel[i];
	if (s->postures) { /* asked of nodes: an address without one has none */
		write_members(v, s, 0, w);
		return;
	}
	if (s->danger) {
		jsonw_str(w, "*");
		return;
	}
	if (s->any)
		write_everything(v, w);
	else if (identities.n)
		write_members(v, &identities, 0, w);
	for (size_t i = 0; i < s->n; i++) {
		const struct sel *x = v->p->sel[s->sel[i]];

		for (size_t k = 0; k < x->n_ranges; k++)
			write_range(w, x->ranges[k]);
	}
}

/* The SrcIPs list of a set as JSON; kept until it changes. n 0: out of memory. */
static struct bytes sources_of(struct policy_view *v, uint32_t set)
{
	struct buf out = buf_make(FILTER_TEXT_MAX);
	struct jsonw w = jsonw_init(&out);

	if (v->sources[set].p)
		return v->sources[set];
	jsonw_arr(&w);
	write_set(v, &v->p->set[set], &w);
	jsonw_arr_end(&w);
	if (jsonw_ok(&w))
		v->sources[set] = bytes_of(bytes_dup(buf_view(&out)), buf_len(&out));
	buf_done(&out);
	return v->sources[set].p ? v->sources[set] : (struct bytes){ 0 };
}

void policy_view_warm(struct policy_view *v)
{
	for (size_t i = 0; i < v->p->n_rules; i++) {
		sources_of(v, v->p->rule[i].src);
		if (v->p->rule[i].back_caps)
			sources_of(v, v->p->rule[i].dst);
	}
}

/* ---- destinations ---- */

static void write_port(struct jsonw *w, const char *ip, struct port_range p)
{
	jsonw_obj(w);
	jsonw_key(w, "IP"), jsonw_str(w, ip);
	jsonw_key(w, "Ports"), jsonw_obj(w);
	jsonw_key(w, "First"), jsonw_uint(w, p.first);
	jsonw_key(w, "Last"), jsonw_uint(w, p.last);
	jsonw_obj_end(w);
	jsonw_obj_end(w);
}

static void write_ports(struct jsonw *w, const char *ip, const struct rule_dst *d)
{
	for (size_t i = 0; i < d->n_ports; i++)
		write_port(w, ip, d->ports[i]);
}

static void write_range_ports(struct jsonw *w, struct range r, const struct rule_dst *d)
{
	char text[RANGE_TEXT_MAX];

	write_ports(w, range_text(r, text), d);
}

static void write_own_ports(struct jsonw *w, const struct view_node *n, const struct rule_dst *d)
{
	if (n->v4.family)
		write_range_ports(w, range_of(addr_prefix(n->v4)), d);
	if (n->v6.family)
		write_range_ports(w, range_of(addr_prefix(n->v6)), d);
}

static void write_internet(struct jsonw *w, const struct rule_dst *d)
{
	size_t n;
	const struct range *net = range_internet(&n);

	for (size_t i = 0; i < n; i++)
		write_range_ports(w, net[i], d);
}

static void write_routes(struct jsonw *w, const struct view_node *n, const struct rule_dst *d)
{
	for (size_t i = 0; i < n->n_routes; i++)
		if (n->routes[i].bits > 0)
			write_range_ports(w, range_of(n->routes[i]), d);
}

/* With via a router is never the end of the way: of a set that has its own address, too, that part is left out. Routes inside the
 * tailnet's ranges are 4via6. */
static bool is_beyond(const struct view_node *n, struct range r)
{
	bool beyond = !addr_is_tailscale(r.first) || !addr_is_tailscale(r.last);

	for (size_t i = 0; i < n->n_routes && !beyond; i++)
		beyond = n->routes[i].bits > 0 && range_overlaps(range_of(n->routes[i]), r);
	return beyond;
}

/* "*" stays "*" (it means what is behind a router, too), ranges stay as written, names become the node's addresses. */
static void write_dst(const struct policy *p, struct jsonw *w, const struct view_node *n, const struct rule_dst *d)
{
	const struct sel *s = p->sel[d->sel];

	switch (s->kind) {
	case SEL_ANY:
		if (p->rule[d->rule].n_via)
			write_routes(w, n, d);
		else
			write_ports(w, "*", d);
		return;
	case SEL_RANGES:
		for (size_t i = 0; i < s->n_ranges; i++)
			if (!p->rule[d->rule].n_via || is_beyond(n, s->ranges[i]))
				write_range_ports(w, s->ranges[i], d);
		return;
	case SEL_INTERNET:
		write_internet(w, d);
		return;
	case SEL_DANGER: /* is no destination */
		return;
	case SEL_USER:
	case SEL_GROUP:
	case SEL_TAG:
	case SEL_MEMBER:
	case SEL_TAGGED:
	case SEL_SELF:
	case SEL_ROLE:
	case SEL_SHARED:
	case SEL_DOMAIN:
		write_own_ports(w, n, d);
		return;
	}
}

/* ---- capabilities ---- */

struct cap_dsts {
	bool v4, v6; /* own addresses that were written */
};

static void write_own_cap_dsts(struct jsonw *w, const struct view_node *n, const struct sel *s, struct cap_dsts *done)
{
	char text[PREFIX_TEXT_MAX];

	for (int pass = 0; pass < 2; pass++) {
		struct addr a = pass ? n->v6 : n->v4;
		bool *was = pass ? &done->v6 : &done->v4;

		if (!a.family || *was || (s && s->kind == SEL_RANGES && !ranges_have(s, a)))
			continue;
		jsonw_str(w, prefix_text(addr_prefix(a), text));
		*was = true;
	}
}

/* A capability is for the node; where the rule names what is behind it, for that. */
static void write_cap_dsts(const struct policy *p, const struct policy_class *c, const struct view_node *n, const struct rule *r,
			   struct jsonw *w)
{
	struct cap_dsts done = { 0 };
	char text[PREFIX_TEXT_MAX];
	struct prefix x;

	for (size_t i = r->first_dst; i < r->first_dst + r->n_dst; i++) {
		const struct rule_dst *d = &p->dst[i];
		const struct sel *s = p->sel[d->sel];

		if (dst_is_node(p, c, d))
			write_own_cap_dsts(w, n, s, &done);
		if (s->kind != SEL_RANGES || !dst_is_behind(p, c, d))
			continue;
		for (size_t k = 0; k < s->n_ranges; k++)
			for (size_t m = 0; m < n->n_routes; m++)
				if (range_is_prefix(s->ranges[k], &x) && n->routes[m].bits > 0 && prefix_overlaps(x, n->routes[m])) {
					jsonw_str(w, prefix_text(x, text));
					break;
				}
	}
}

static void begin_rule(struct jsonw *w, struct bytes sources)
{
	jsonw_obj(w);
	jsonw_key(w, "SrcIPs"), jsonw_raw(w, sources);
}

/* dsts: JSON list. */
static void write_cap_rule(struct jsonw *w, struct bytes sources, struct bytes dsts, const char *caps)
{
	if (sources.n <= 2 || dsts.n <= 2) /* [] */
		return;
	begin_rule(w, sources);
	jsonw_key(w, "CapGrant"), jsonw_arr(w), jsonw_obj(w);
	jsonw_key(w, "Dsts"), jsonw_raw(w, dsts);
	jsonw_key(w, "CapMap"), jsonw_obj(w), jsonw_raw_members(w, bytes_str(caps)), jsonw_obj_end(w);
	jsonw_obj_end(w), jsonw_arr_end(w), jsonw_obj_end(w);
}

/* ---- a node's chunks ---- */

struct item { /* what one rule gives one node */
	uint32_t set;
	int16_t proto;
	uint8_t kind; /* ITEM_*: ports before capabilities, so that those of one set and protocol stand together */
	uint32_t dst, rule;
};

enum { ITEM_PORTS, ITEM_CAPS, ITEM_BACK };

struct work {
	struct policy_view *v;
	const struct view_node *node;
	const struct policy_class *cls;
	struct item *item;
	size_t n;
	struct policy_filter *out;
	size_t n_out;
};

static int by_set(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->set != y->set)
		return (x->set > y->set) - (x->set < y->set);
	if (x->kind != y->kind)
		return x->kind - y->kind;
	if (x->proto != y->proto)
		return x->proto - y->proto;
	if (x->rule != y->rule)
		return (x->rule > y->rule) - (x->rule < y->rule);
	return (x->dst > y->dst) - (x->dst < y->dst);
}

static void collect_rule(struct work *k, uint32_t rule)
{
	const struct policy *p = k->v->p;
	const struct rule *r = &p->rule[rule];
	bool caps = false;

	for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++) {
		if (!dst_is_node(p, k->cls, &p->dst[d]) && !dst_is_behind(p, k->cls, &p->dst[d]))
			continue;
		if (p->dst[d].n_ports)
			k->item[k->n++] = (struct item){ r->src, p->dst[d].proto, ITEM_PORTS, (uint32_t)d, rule };
		caps |= !r->n_via; /* what goes through a router is none of its capabilities */
	}
	if (caps && r->caps)
		k->item[k->n++] = (struct item){ r->src, PROTO_ANY, ITEM_CAPS, 0, rule };
}

static err collect(struct work *k)
{
	const struct policy *p = k->v->p;
	size_t words = policy_words(p), room = 1;

	BITS_EACH(i, k->cls->dst, words)
		room += p->rule[i].n_dst + 1;
	BITS_EACH(i, k->cls->src, words)
		room += p->rule[i].back_caps != NULL;
	k->item = calloc(room, sizeof *k->item);
	if (!k->item)
		return ERR_NOMEM;
	BITS_EACH(i, k->cls->dst, words)
		collect_rule(k, (uint32_t)i);
	BITS_EACH(i, k->cls->src, words) {
		const struct rule *r = &p->rule[i];

		if (r->back_caps && !r->n_via && class_in_set(k->v, k->cls, &p->set[r->src]))
			k->item[k->n++] = (struct item){ r->dst, PROTO_ANY, ITEM_BACK, 0, (uint32_t)i };
	}
	qsort(k->item, k->n, sizeof *k->item, by_set);
	return OK;
}

static void write_ports_rule(struct work *k, const struct item *x, size_t n, struct jsonw *w)
{
	struct bytes sources = sources_of(k->v, x->set);

	if (sources.n == 0)
		w->out->bad = true;
	if (sources.n <= 2) /* [] : nobody is there now */
		return;
	begin_rule(w, sources);
	if (x->proto != PROTO_ANY) {
		jsonw_key(w, "IPProto"), jsonw_arr(w);
		jsonw_int(w, x->proto);
		jsonw_arr_end(w);
	}
	jsonw_key(w, "DstPorts"), jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		write_dst(k->v->p, w, k->node, &k->v->p->dst[x[i].dst]);
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

static void write_caps_item(struct work *k, const struct item *x, struct jsonw *w)
{
	const struct rule *r = &k->v->p->rule[x->rule];
	struct buf dsts = buf_make(FILTER_TEXT_MAX);
	struct jsonw d = jsonw_init(&dsts);
	struct cap_dsts done = { 0 };
	struct bytes sources = sources_of(k->v, x->set);

	jsonw_arr(&d);
	if (x->kind == ITEM_CAPS)
		write_cap_dsts(k->v->p, k->cls, k->node, r, &d);
	else
		write_own_cap_dsts(&d, k->node, NULL, &done);
	jsonw_arr_end(&d);
	w->out->bad |= dsts.bad || sources.n == 0;
	write_cap_rule(w, sources, buf_view(&dsts), x->kind == ITEM_CAPS ? r->caps : r->back_caps);
	buf_done(&dsts);
}

static void give(struct work *k, const char *name, struct buf *text)
{
	struct shared_part *s = share(k->v, text);

	if (s)
		k->out[k->n_out++] = (struct policy_filter){ name, s->part, s->hash };
}

static void give_chunk(struct work *k, unsigned chunk)
{
	struct buf text = buf_make(FILTER_TEXT_MAX);
	struct jsonw w = jsonw_init(&text);

	jsonw_arr(&w);
	for (size_t i = 0, end; i < k->n; i = end) {
		const struct item *x = &k->item[i];

		end = i + 1;
		while (x->kind == ITEM_PORTS && end < k->n && k->item[end].kind == ITEM_PORTS && k->item[end].set == x->set &&
		       k->item[end].proto == x->proto)
			end++;
		if (x->set % SET_CHUNKS != chunk)
			continue;
		if (x->kind == ITEM_PORTS)
			write_ports_rule(k, x, end - i, &w);
		else
			write_caps_item(k, x, &w);
	}
	jsonw_arr_end(&w);
	if (text.bad || buf_len(&text) > 2)
		give(k, chunk_name[chunk], &text);
	buf_done(&text);
}

/* ---- autogroup:self ---- */

static void write_own_sources(struct work *k, const struct sel_set *s, struct buf *out)
{
	struct jsonw w = jsonw_init(out);

	jsonw_arr(&w);
	write_members(k->v, s, k->cls->user_id, &w);
	jsonw_arr_end(&w);
}

/* The user's own nodes among the set, as a JSON list; set NULL: all of them. Each node of a user has the same one. n 0: no memory. */
static struct bytes own_sources(struct work *k, const struct sel_set *s)
{
	const struct class_key key = { (uint64_t)k->cls->user_id, s ? (uint64_t)(s - k->v->p->set) + 1 : 0 };
	struct own_text *known = map_get(&k->v->own, &key);
	struct buf out = buf_make(FILTER_TEXT_MAX);

	if (known)
		return known->text;
	known = calloc(1, sizeof *known);
	write_own_sources(k, s, &out);
	if (known && !out.bad) {
		known->key = key;
		known->text = bytes_of(bytes_dup(buf_view(&out)), buf_len(&out));
	}
	buf_done(&out);
	if (!known || !known->text.p || map_put(&k->v->own, known) != OK) {
		free(known ? (void *)(uintptr_t)known->text.p : NULL);
		free(known);
		return (struct bytes){ 0 };
	}
	known->next = k->v->all_own;
	k->v->all_own = known;
	return known->text;
}

static void write_self_ports(struct work *k, const struct rule *r, struct bytes sources, struct jsonw *w)
{
	const struct policy *p = k->v->p;

	for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++) {
		const struct rule_dst *x = &p->dst[d];

		if (p->sel[x->sel]->kind != SEL_SELF || !x->n_ports)
			continue;
		begin_rule(w, sources);
		if (x->proto != PROTO_ANY) {
			jsonw_key(w, "IPProto"), jsonw_arr(w);
			jsonw_int(w, x->proto);
			jsonw_arr_end(w);
		}
		jsonw_key(w, "DstPorts"), jsonw_arr(w);
		write_own_ports(w, k->node, x);
		jsonw_arr_end(w);
		jsonw_obj_end(w);
	}
}

static void write_self_rule(struct work *k, const struct rule *r, struct jsonw *w)
{
	const struct sel_set *set = &k->v->p->set[r->src];
	struct buf own = buf_make(512);
	struct jsonw o = jsonw_init(&own);
	struct cap_dsts done = { 0 };
	struct bytes sources = own_sources(k, set);

	jsonw_arr(&o);
	write_own_cap_dsts(&o, k->node, NULL, &done);
	jsonw_arr_end(&o);
	w->out->bad |= !sources.n || own.bad;
	if (sources.n > 2)
		write_self_ports(k, r, sources, w);
	if (r->caps)
		write_cap_rule(w, sources, buf_view(&own), r->caps);
	if (r->back_caps && class_in_set(k->v, k->cls, set)) {
		struct bytes all = own_sources(k, NULL);

		w->out->bad |= !all.n;
		write_cap_rule(w, all, buf_view(&own), r->back_caps);
	}
	buf_done(&own);
}

static void give_self(struct work *k)
{
	struct buf text = buf_make(FILTER_TEXT_MAX);
	struct jsonw w = jsonw_init(&text);

	jsonw_arr(&w);
	BITS_EACH(i, k->cls->self, policy_words(k->v->p))
		write_self_rule(k, &k->v->p->rule[i], &w);
	jsonw_arr_end(&w);
	if (buf_len(&text) > 2)
		give(k, "self", &text);
	buf_done(&text);
}

size_t policy_view_filters(struct policy_view *v, int64_t node_id, struct policy_filter out[POLICY_FILTERS_MAX])
{
	const struct view_node *node = map_get(&v->by_id, &node_id);
	struct work k = { .v = v, .node = node, .cls = node ? v->cls[node->cls] : NULL, .out = out };
	struct buf base = buf_make(16);
	bool used[SET_CHUNKS] = { 0 };

	buf_append_str(&base, "[]");
	give(&k, "base", &base);
	if (!node || collect(&k) != OK)
		return k.n_out;
	for (size_t i = 0; i < k.n; i++)
		used[k.item[i].set % SET_CHUNKS] = true;
	for (unsigned chunk = 0; chunk < SET_CHUNKS; chunk++)
		if (used[chunk])
			give_chunk(&k, chunk);
	give_self(&k);
	free(k.item);
	return k.n_out;
}

struct bytes policy_view_self_caps(struct policy_view *v, int64_t node_id)
{
	const struct view_node *node = map_get(&v->by_id, &node_id);

	return node ? v->cls[node->cls]->caps : (struct bytes){ 0 };
}

struct bytes policy_view_peer_caps(struct policy_view *v, int64_t node_id)
{
	const struct view_node *node = map_get(&v->by_id, &node_id);

	return node && v->cls[node->cls]->exit ? BYTES_LIT("\"suggest-exit-node\":null") : (struct bytes){ 0 };
}
