#include "server/policy/query.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "server/policy/ask.h"
#include "server/policy/check.h"

/* ---- who is meant ---- */

void party_done(struct party *p)
{
	free(p->probe);
	p->probe = NULL;
	p->n = 0;
}

const char *party_kind_name(const struct party *p)
{
	switch (p->kind) {
	case PARTY_UNKNOWN:
		return "unknown";
	case PARTY_ALL:
		return "any";
	case PARTY_NODE:
		return "machine";
	case PARTY_USER:
		return "user";
	case PARTY_SELECTOR:
		return starts_with(p->text, "tag:") ? "tag" : starts_with(p->text, "group:") ? "group" : starts_with(p->text, "user:") ? "domain" : "autogroup";
	case PARTY_ADDRESS:
	case PARTY_RANGE:
		return "range";
	case PARTY_INTERNET:
		return "internet";
	case PARTY_SELF:
		return "self";
	}
	return "unknown";
}

const struct policy_named *named_by_id(const struct policy_world *w, int64_t id)
{
	size_t low = 0, n = w->n;

	while (low < n) {
		size_t mid = low + (n - low) / 2;

		if (w->node[mid].node->id == id)
			return &w->node[mid];
		if (w->node[mid].node->id < id)
			low = mid + 1;
		else
			n = mid;
	}
	return NULL;
}

enum { POINTS_MAX = 16 }; /* addresses that stand for a range */

static err party_room(struct party *p, size_t n)
{
	free(p->probe);
	p->n = 0;
	p->probe = calloc(n + POINTS_MAX + 1, sizeof *p->probe);
	return p->probe ? OK : ERR_NOMEM;
}

static void add_node(const struct policy_world *w, struct party *p, const struct policy_named *n)
{
	struct view_node *v = map_get(&w->view->by_id, &n->node->id);

	if (v)
		p->probe[p->n++] = (struct probe){ .node = v };
}

static void __attribute__((format(printf, 2, 3))) party_why(struct party *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->why, sizeof p->why, fmt, ap); /* cut when longer */
	va_end(ap);
}

static void take_selector(const struct policy_world *w, struct party *p, const struct sel *s)
{
	p->kind = PARTY_SELECTOR;
	for (size_t i = 0; i < w->n; i++)
		if (sel_matches(s, w->node[i].node))
			add_node(w, p, &w->node[i]);
	if (!p->n)
		party_why(p, "no node in the tailnet is \"%.80s\" now", p->text);
}

static void take_group(const struct policy_world *w, struct party *p)
{
	const struct policy *policy = w->view->p;

	for (size_t i = 0; i < policy->n_groups; i++)
		if (strcmp(policy->group[i].name, p->text) == 0) {
			take_selector(w, p, &(struct sel){ .kind = SEL_GROUP, .name = p->text, .group = &policy->group[i] });
			return;
		}
	party_why(p, "there is no group \"%.80s\" in the policy", p->text);
}

static void take_tag(const struct policy_world *w, struct party *p)
{
	take_selector(w, p, &(struct sel){ .kind = SEL_TAG, .name = p->text });
	if (p->n || policy_has_tag(w->view->p, p->text))
		return;
	p->kind = PARTY_UNKNOWN;
	party_why(p, "there is no tag \"%.80s\": it is not in tagOwners, and no node has it", p->text);
}

static void take_autogroup(const struct policy_world *w, struct party *p, bool is_dst)
{
	struct sel s = { .name = p->text };

	if (!policy_autogroup(p->text, &s.kind, &s.role)) {
		party_why(p, "there is no \"%.80s\": the names are autogroup:member, tagged, self, internet, owner, admin, …", p->text);
	} else if (s.kind == SEL_INTERNET) {
		p->kind = PARTY_INTERNET;
		p->probe[p->n++] = (struct probe){ .addr = addr_v4(1, 1, 1, 1) }; /* one stands for all */
	} else if (s.kind == SEL_SELF && is_dst) {
		p->kind = PARTY_SELF;
	} else if (s.kind == SEL_DANGER || s.kind == SEL_SELF) {
		party_why(p, "\"%.80s\" means nothing in a question: name a node, a user, a tag, a group or an address", p->text);
	} else {
		take_selector(w, p, &s);
	}
}

static struct view_node *node_at(const struct policy_world *w, struct addr a)
{
	return a.family ? view_node_at(w->view, a) : NULL;
}

/* An address of the range that rules may tell from the others. */
static void add_point(struct party *p, size_t from, struct addr a)
{
	bool known = p->n - from >= POINTS_MAX || addr_is_tailscale(a); /* the tailnet's own addresses: those that some node has */

	for (size_t i = from; i < p->n && !known; i++)
		known = addr_eq(p->probe[i].addr, a);
	if (!known)
		p->probe[p->n++] = (struct probe){ .addr = a };
}

/* The nodes in it, and where rules speak of parts of it, an address of each. */
static void take_parts(const struct policy_world *w, struct party *p, const struct range *list, size_t n)
{
	const struct policy *policy = w->view->p;

	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < n; k++)
			if (range_has(list[k], w->node[i].node->v4) || range_has(list[k], w->node[i].node->v6)) {
				add_node(w, p, &w->node[i]);
				break;
			}
	const size_t from = p->n;
	for (size_t k = 0; k < n; k++)
		add_point(p, from, list[k].first);
	for (size_t i = 0; i < policy->n_sels; i++)
		for (size_t m = 0; policy->sel[i]->kind == SEL_RANGES && p->n - from < POINTS_MAX && m < policy->sel[i]->n_ranges; m++)
			for (size_t k = 0; k < MIN_OF(n, (size_t)POINTS_MAX); k++)
				if (range_has(list[k], policy->sel[i]->ranges[m].first))
					add_point(p, from, policy->sel[i]->ranges[m].first);
	if (!p->n && n)
		p->probe[p->n++] = (struct probe){ .addr = list[0].first };
}

static void take_range(const struct policy_world *w, struct party *p, struct range r)
{
	bool one = addr_eq(r.first, r.last);

	p->kind = one ? PARTY_ADDRESS : PARTY_RANGE;
	if (!one) {
		take_parts(w, p, &r, 1);
		return;
	}
	struct view_node *v = node_at(w, r.first);
	p->probe[p->n++] = (struct probe){ .node = v, .addr = v ? (struct addr){ 0 } : r.first };
}

static const struct sel *ipset_of(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_sels; i++)
		if (p->sel[i]->kind == SEL_RANGES && p->sel[i]->n_ranges && strcmp(p->sel[i]->name, name) == 0)
			return p->sel[i];
	return NULL;
}

static bool take_host(const struct policy_world *w, struct party *p, const char *name)
{
	const struct syntax *host = w->view->p->hosts ? syntax_get(w->view->p->hosts, name) : NULL;
	struct range r;

	if (!host || host->kind != SYNTAX_STRING || range_parse(bytes_str(host->text), &r) != OK)
		return false;
	take_range(w, p, r);
	return true;
}

/* "web", or the whole name "web.tail.example.com". */
static bool is_called(const struct policy_named *n, const char *text)
{
	size_t len = strlen(n->name);

	return strncasecmp(n->name, text, len) == 0 && (text[len] == 0 || text[len] == '.');
}

static void take_name(const struct policy_world *w, struct party *p)
{
	for (size_t i = 0; i < w->n && !p->n; i++)
		if (strcasecmp(w->node[i].name, p->text) == 0)
			add_node(w, p, &w->node[i]);
	for (size_t i = 0; i < w->n && !p->n && !strchr(p->text, '@'); i++)
		if (is_called(&w->node[i], p->text))
			add_node(w, p, &w->node[i]);
	p->kind = PARTY_NODE;
	if (p->n || take_host(w, p, p->text))
		return;
	p->kind = PARTY_USER;
	for (size_t i = 0; i < w->n; i++)
		if (!w->node[i].node->n_tags && policy_names_user(p->text, w->node[i].node->user))
			add_node(w, p, &w->node[i]);
	if (p->n)
		return;
	p->kind = PARTY_UNKNOWN;
	party_why(p, "nothing is called \"%.80s\": no node, no host of the policy, no user with a node", p->text);
}

static void take_party(const struct policy_world *w, struct party *p, bool is_dst)
{
	const char *text = p->text;
	const struct sel *set;
	struct range r;

	if (strcmp(text, "*") == 0) {
		take_selector(w, p, &(struct sel){ .kind = SEL_ANY, .name = text });
		p->kind = PARTY_ALL;
	} else if (starts_with(text, "group:")) {
		take_group(w, p);
	} else if (starts_with(text, "tag:")) {
		take_tag(w, p);
	} else if (starts_with(text, "autogroup:")) {
		take_autogroup(w, p, is_dst);
	} else if (starts_with(text, "user:*@") && text[7]) {
		take_selector(w, p, &(struct sel){ .kind = SEL_DOMAIN, .name = text });
	} else if (starts_with(text, "ipset:")) {
		set = ipset_of(w->view->p, text);
		if (set) {
			p->kind = PARTY_RANGE;
			take_parts(w, p, set->ranges, set->n_ranges);
		} else {
			party_why(p, "no rule names an ipset \"%.80s\"", text);
		}
	} else if (starts_with(text, "host:")) {
		if (!take_host(w, p, text + 5))
			party_why(p, "there is no host \"%.80s\" in the policy", text + 5);
	} else if (range_parse(bytes_str(text), &r) == OK) {
		take_range(w, p, r);
	} else {
		take_name(w, p);
	}
}

/* ---- port and protocol of a destination ---- */

static bool has_own_colon(const char *text)
{
	static const char *const heads[] = { "tag:", "group:", "autogroup:", "user:", "ipset:", "host:" };

	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		if (starts_with(text, heads[i]))
			return true;
	return false;
}

static bool is_range(const char *text)
{
	struct range r;

	return range_parse(bytes_str(text), &r) == OK;
}

static err cut_proto(struct party *p, char *why, size_t cap)
{
	char *slash = strrchr(p->text, '/');
	int16_t proto;

	if (!slash || is_range(p->text))
		return OK;
	if (!policy_proto(bytes_str(slash + 1), &proto)) {
		/* "10.0.0.0/24:22" has a slash of its own */
		if (strchr(slash, ':'))
			return OK;
		snprintf(why, cap, "\"%.60s\" is no protocol: a name such as tcp, udp, icmp, or a number from 1 to 255", slash + 1);
		return ERR_INVALID;
	}
	p->proto = proto;
	*slash = 0;
	return OK;
}

/* "[fd7a::1]" */
static void without_brackets(char *text)
{
	size_t n = strlen(text);

	if (n < 3 || text[0] != '[' || text[n - 1] != ']')
		return;
	memmove(text, text + 1, n - 2);
	text[n - 2] = 0;
}

static err cut_port(struct party *p, char *why, size_t cap)
{
	size_t end = strlen(p->text);
	char *colon = p->text[0] == '[' && p->text[end - 1] == ']' ? NULL : strrchr(p->text, ':');
	uint64_t port;

	if (!colon) {
		without_brackets(p->text);
		return OK;
	}
	if (is_range(p->text) || (has_own_colon(p->text) && strchr(p->text, ':') == colon))
		return OK;
	if (strcmp(colon + 1, "*") != 0) {
		if (bytes_parse_u64(bytes_str(colon + 1), 65535, &port) != OK) {
			snprintf(why, cap, "\"%.60s\" is no port: a number up to 65535 stands after the colon, or nothing", colon + 1);
			return ERR_INVALID;
		}
		p->port = (int)port;
	}
	*colon = 0;
	without_brackets(p->text);
	return OK;
}

err party_read(const struct policy_world *w, const char *text, bool is_dst, struct party *out, char *why, size_t why_cap)
{
	struct party p = { .port = -1, .proto = PROTO_ANY };
	struct bytes t = bytes_trim(bytes_str(text));

	if (!t.n || t.n >= sizeof p.text) {
		snprintf(why, why_cap, "%s is missing, or too long", is_dst ? "the destination" : "the source");
		return ERR_INVALID;
	}
	snprintf(p.text, sizeof p.text, "%.*s", (int)t.n, (const char *)t.p);
	if (is_dst) {
		TRY(cut_proto(&p, why, why_cap));
		TRY(cut_port(&p, why, why_cap));
	}
	TRY(party_room(&p, w->n));
	take_party(w, &p, is_dst);
	*out = p;
	return OK;
}

/* ---- crowds ---- */

static struct crowd *crowd_room(size_t n)
{
	return calloc(n + 1, sizeof(struct crowd));
}

struct crowd *crowds_of(const struct policy_world *w, const struct party *p, size_t *n)
{
	CLEANUP(freep) uint32_t *at = calloc(w->view->n_cls + 1, sizeof *at); /* place + 1, by class */
	struct crowd *list = crowd_room(p->n);

	*n = 0;
	for (size_t i = 0; at && list && i < p->n; i++) {
		const struct probe *x = &p->probe[i];
		uint32_t *place = x->node ? &at[x->node->cls] : NULL;

		if (place && *place) {
			list[*place - 1].n++;
			continue;
		}
		list[(*n)++] = (struct crowd){ *x, x->node ? w->view->cls[x->node->cls] : NULL, 1 };
		if (place)
			*place = (uint32_t)*n;
	}
	if (at)
		return list;
	free(list);
	return NULL;
}

struct crowd *crowds_of_all(const struct policy_world *w, size_t *n)
{
	struct crowd *list = crowd_room(w->view->n_cls);

	*n = 0;
	for (size_t i = 0; list && i < w->view->n_cls; i++) {
		const struct policy_class *c = w->view->cls[i];

		if (c->members)
			list[(*n)++] = (struct crowd){ { .node = container_of(c->nodes.next, struct view_node, link) }, c, c->members };
	}
	return list;
}

/* ---- how far a rule goes ---- */

static bool source_but_posture(const struct policy_world *w, const struct rule *r, const struct probe *src)
{
	const struct policy_view *v = w->view;
	struct sel_set plain = v->p->set[r->src];

	plain.postures = 0;
	return src->node && v->p->set[r->src].postures && class_in_set(v, v->cls[src->node->cls], &plain);
}

static enum hop entry_takes(const struct policy_world *w, const struct rule *r, const struct rule_dst *d, const struct probe *src,
			    const struct probe *dst, int16_t proto, int port, bool from)
{
	if (r->n_via && dst->node)
		return HOP_DESTINATION; /* through a router, never to one */
	if (!probe_is_destination(w->view, d, src, dst))
		return HOP_DESTINATION;
	if (!dst->node && !ways_lead(w->view, d, from ? src : NULL, dst->addr))
		return HOP_ROUTE;
	if (!d->n_ports)
		return HOP_PORT; /* capabilities only */
	if (proto != PROTO_ANY || port >= 0)
		if (!dst_carries_proto(d, proto))
			return HOP_PROTOCOL;
	return port < 0 || dst_carries(d, proto, (uint16_t)port) ? HOP_NONE : HOP_PORT;
}

enum hop rule_takes(const struct policy_world *w, const struct rule *r, const struct probe *src, const struct probe *dst, int16_t proto,
		    int port, void (*each)(void *ctx, const struct rule_dst *d), void *ctx)
{
	enum hop farthest = HOP_DESTINATION;

	bool from = probe_is_source(w->view, r, src);
	if (!from && !source_but_posture(w, r, src))
		return HOP_SOURCE;
	for (size_t i = r->first_dst; i < r->first_dst + r->n_dst; i++) {
		enum hop hop = entry_takes(w, r, &w->view->p->dst[i], src, dst, proto, port, from);

		if (hop == HOP_NONE && !from)
			hop = HOP_POSTURE;
		if (hop == HOP_NONE && each)
			each(ctx, &w->view->p->dst[i]);
		farthest = MAX_OF(farthest, hop);
	}
	return farthest;
}

/* ---- writing ---- */

void write_rule_place(struct jsonw *w, const struct policy *p, const struct rule *r)
{
	size_t i = (size_t)(r - p->rule);
	bool grant = i < p->n_grants;

	jsonw_key(w, "line"), jsonw_uint(w, r->at ? r->line : 0);
	jsonw_key(w, "section"), jsonw_str(w, !r->at ? "default" : grant ? "grants" : "acls");
	jsonw_key(w, "index"), jsonw_uint(w, grant ? i : i - p->n_grants);
}

void write_node_members(struct jsonw *w, const struct policy_named *n)
{
	char text[24], addr[ADDR_TEXT_MAX];
	const struct policy_node *x = n->node;

	snprintf(text, sizeof text, "%lld", (long long)x->id);
	jsonw_key(w, "id"), jsonw_str(w, text);
	jsonw_key(w, "name"), jsonw_str(w, n->name);
	jsonw_key(w, "address"), jsonw_str(w, addr_text(x->v4.family ? x->v4 : x->v6, addr));
	if (x->n_tags) {
		jsonw_key(w, "tags"), jsonw_arr(w);
		for (size_t i = 0; i < x->n_tags; i++)
			jsonw_str(w, x->tags[i]);
		jsonw_arr_end(w);
	} else if (x->user) {
		jsonw_key(w, "user"), jsonw_str(w, x->user->login);
	}
}

void write_probe(struct jsonw *w, const struct policy_world *world, const struct probe *p)
{
	const struct policy_named *n = p->node ? named_by_id(world, p->node->id) : NULL;
	char text[ADDR_TEXT_MAX];

	jsonw_obj(w);
	if (n)
		write_node_members(w, n);
	else
		jsonw_key(w, "address"), jsonw_str(w, addr_text(p->addr, text));
	jsonw_obj_end(w);
}

static bool same_entry(const struct rule_dst *a, const struct rule_dst *b)
{
	if (a->proto != b->proto || a->n_ports != b->n_ports)
		return false;
	for (size_t i = 0; i < a->n_ports; i++)
		if (a->ports[i].first != b->ports[i].first || a->ports[i].last != b->ports[i].last)
			return false;
	return true;
}

void port_texts_add(void *ctx, const struct rule_dst *d)
{
	struct port_texts *t = ctx;

	for (size_t i = 0; i < t->n; i++)
		if (same_entry(t->d[i], d))
			return;
	if (t->n < ARRAY_LEN(t->d))
		t->d[t->n++] = d;
	else
		t->more = true;
}

void write_port_texts(struct jsonw *w, const struct port_texts *t)
{
	char text[64], proto[16];

	jsonw_arr(w);
	for (size_t i = 0; i < t->n; i++)
		for (size_t k = 0; k < t->d[i]->n_ports; k++) {
			struct port_range p = t->d[i]->ports[k];
			const char *name = policy_proto_name(t->d[i]->proto, proto);

			if (p.first == 0 && p.last == 65535)
				snprintf(text, sizeof text, "%s%s*", name, *name ? ":" : "");
			else if (p.first == p.last)
				snprintf(text, sizeof text, "%s%s%u", name, *name ? ":" : "", p.first);
			else
				snprintf(text, sizeof text, "%s%s%u-%u", name, *name ? ":" : "", p.first, p.last);
			jsonw_str(w, text);
		}
	if (t->more)
		jsonw_str(w, "…");
	jsonw_arr_end(w);
}
