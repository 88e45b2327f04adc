#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/rules.h"
#include "server/policy/syntax.h"

enum { ARENA_MAX = 512 << 20 };

struct check {
	struct policy *p;
	struct arena *arena; /* the policy's */
	struct policy_faults *faults;
	const struct syntax *hosts, *owners;
	bool no_memory;
};

static void __attribute__((format(printf, 4, 5))) fault_at(struct check *c, unsigned line, unsigned column, const char *fmt, ...)
{
	struct policy_fault *f = &c->faults->fault[c->faults->n];
	va_list ap;

	if (c->faults->n == POLICY_FAULTS_MAX)
		return;
	c->faults->n++;
	f->line = line;
	f->column = column;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof f->text, fmt, ap); /* cut when longer */
	va_end(ap);
}

#define FAULT(c, v, ...)     fault_at((c), (v)->line, (v)->column, __VA_ARGS__)
#define KEY_FAULT(c, v, ...) fault_at((c), (v)->key_line, (v)->key_column, __VA_ARGS__)
#define NOT_YET		     "is not supported yet by this server: refused, so that nothing is silently ignored"

static void *array(struct check *c, size_t n, size_t each)
{
	void *p = arena_array(c->arena, n + 1, each);

	c->no_memory |= !p;
	return p;
}

static bool is_kind(struct check *c, const struct syntax *v, enum syntax_kind kind, const char *what)
{
	if (v->kind == kind)
		return true;
	FAULT(c, v, "%s", what);
	return false;
}

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* ---- selectors ---- */

static const struct group *find_group(const struct check *c, const char *name)
{
	for (size_t i = 0; i < c->p->n_groups; i++)
		if (strcmp(c->p->group[i].name, name) == 0)
			return &c->p->group[i];
	return NULL;
}

static bool parse_autogroup(struct check *c, const struct syntax *at, const char *text, struct sel *out)
{
	if (strcmp(text, "autogroup:member") == 0 || strcmp(text, "autogroup:members") == 0)
		out->kind = SEL_MEMBER;
	else if (strcmp(text, "autogroup:tagged") == 0)
		out->kind = SEL_TAGGED;
	else if (strcmp(text, "autogroup:self") == 0)
		out->kind = SEL_SELF;
	else {
		FAULT(c, at, "\"%s\" " NOT_YET, text);
		return false;
	}
	return true;
}

static bool parse_prefix(const char *text, struct prefix *out)
{
	struct prefix p;

	if (prefix_parse(bytes_str(text), &p) != OK)
		return false;
	*out = prefix_mask(p);
	return true;
}

static bool parse_named(struct check *c, const struct syntax *at, const char *text, struct sel *out)
{
	const struct syntax *host = c->hosts ? syntax_get(c->hosts, text) : NULL;

	if (host) { /* a wrong one has its fault where it is defined */
		out->kind = SEL_PREFIX;
		return host->kind == SYNTAX_STRING && parse_prefix(host->text, &out->prefix);
	}
	if (parse_prefix(text, &out->prefix)) {
		out->kind = SEL_PREFIX;
		return true;
	}
	if (strchr(text, '@')) {
		out->kind = SEL_USER;
		out->name = text;
		return true;
	}
	FAULT(c, at, "\"%s\" is no address and no name in hosts; a user is written as \"%s@\"", text, text);
	return false;
}

/* text lives as long as the policy. False: a fault was noted. */
static bool parse_sel(struct check *c, const struct syntax *at, const char *text, struct sel *out)
{
	*out = (struct sel){ .kind = SEL_ANY };
	if (strcmp(text, "*") == 0)
		return true;
	if (starts_with(text, "autogroup:"))
		return parse_autogroup(c, at, text, out);
	if (starts_with(text, "group:")) {
		out->kind = SEL_GROUP;
		out->group = find_group(c, text);
		if (!out->group)
			FAULT(c, at, "group not found: \"%s\": define it in groups", text);
		return out->group != NULL;
	}
	if (starts_with(text, "tag:")) {
		out->kind = SEL_TAG;
		out->name = text;
		if (c->owners && syntax_get(c->owners, text))
			return true;
		FAULT(c, at, "tag not found: \"%s\": define it in tagOwners", text);
		return false;
	}
	if (starts_with(text, "ipset:") || starts_with(text, "svc:") || starts_with(text, "user:")) {
		FAULT(c, at, "\"%s\" " NOT_YET, text);
		return false;
	}
	return parse_named(c, at, text, out);
}

/* A list of selectors for people and tags: owners, approvers. */
static void check_who(struct check *c, const struct syntax *list, const char *what, struct sel **out, size_t *n)
{
	if (!is_kind(c, list, SYNTAX_LIST, "expected a list of users, groups and tags"))
		return;
	struct sel *s = array(c, list->n, sizeof *s);

	for (const struct syntax *v = list->first; s && v; v = v->next) {
		if (!is_kind(c, v, SYNTAX_STRING, "expected a text in double quotes") ||
		    !parse_sel(c, v, v->text, &s[*n]))
			continue;
		if (s[*n].kind == SEL_SELF || s[*n].kind == SEL_PREFIX || s[*n].kind == SEL_TAGGED)
			FAULT(c, v, "\"%s\" cannot be %s", v->text, what);
		else
			++*n;
	}
	*out = s;
}

/* ---- groups, hosts, tagOwners, autoApprovers ---- */

static void check_group(struct check *c, const struct syntax *v, struct group *g)
{
	g->name = v->key;
	if (!starts_with(v->key, "group:") || !v->key[6])
		KEY_FAULT(c, v, "a group's name begins with group:, as in \"group:admins\"");
	if (!is_kind(c, v, SYNTAX_LIST, "expected a list of users"))
		return;
	if (v->n > GROUP_MEMBERS_MAX) {
		FAULT(c, v, "a group has at most %d members", GROUP_MEMBERS_MAX);
		return;
	}
	g->members = array(c, v->n, sizeof *g->members);
	for (const struct syntax *m = v->first; g->members && m; m = m->next) {
		if (!is_kind(c, m, SYNTAX_STRING, "expected a user in double quotes"))
			continue;
		if (starts_with(m->text, "group:"))
			FAULT(c, m, "groups cannot contain groups");
		else if (!strchr(m->text, '@'))
			FAULT(c, m, "\"%s\" is no user: write \"%s@\" or an e-mail address", m->text, m->text);
		else
			g->members[g->n++] = m->text;
	}
}

static void check_groups(struct check *c, const struct syntax *v)
{
	if (!is_kind(c, v, SYNTAX_OBJECT, "groups is an object: {\"group:name\": [\"user@\", …]}"))
		return;
	c->p->group = array(c, v->n, sizeof *c->p->group);
	for (const struct syntax *g = v->first; c->p->group && g; g = g->next)
		check_group(c, g, &c->p->group[c->p->n_groups++]);
}

static void check_hosts(struct check *c, const struct syntax *v)
{
	struct prefix p;

	if (!is_kind(c, v, SYNTAX_OBJECT, "hosts is an object: {\"name\": \"100.64.0.1\"}"))
		return;
	c->hosts = v;
	for (const struct syntax *h = v->first; h; h = h->next) {
		if (!is_kind(c, h, SYNTAX_STRING, "expected an address or a range such as \"10.0.0.0/8\""))
			continue;
		if (!parse_prefix(h->text, &p))
			FAULT(c, h, "\"%s\" is no address and no range such as 10.0.0.0/8", h->text);
		if (strchr(h->key, '@') || strchr(h->key, ':') || strcmp(h->key, "*") == 0)
			KEY_FAULT(c, h, "a host's name has no @ and no colon, and is not *");
	}
}

static void check_owners(struct check *c, const struct syntax *v)
{
	if (!c->owners)
		return;
	c->p->owner = array(c, v->n, sizeof *c->p->owner);
	for (const struct syntax *t = v->first; c->p->owner && t; t = t->next) {
		struct tag_owner *o = &c->p->owner[c->p->n_owners++];

		o->tag = t->key;
		if (!starts_with(t->key, "tag:") || !t->key[4])
			KEY_FAULT(c, t, "a tag begins with tag:, as in \"tag:web\"");
		check_who(c, t, "an owner of a tag", &o->owner, &o->n);
	}
}

static void check_route_approvers(struct check *c, const struct syntax *v)
{
	if (!is_kind(c, v, SYNTAX_OBJECT, "routes is an object: {\"10.0.0.0/8\": [\"tag:router\"]}"))
		return;
	for (const struct syntax *r = v->first; r; r = r->next) {
		struct approver *a = &c->p->approver[c->p->n_approvers];

		if (!parse_prefix(r->key, &a->route)) {
			KEY_FAULT(c, r, "\"%s\" is no range such as 10.0.0.0/8", r->key);
			continue;
		}
		c->p->n_approvers++;
		check_who(c, r, "an approver", &a->who, &a->n);
	}
}

static void check_approvers(struct check *c, const struct syntax *v)
{
	if (!is_kind(c, v, SYNTAX_OBJECT, "autoApprovers is an object with routes and exitNode"))
		return;
	const struct syntax *routes = syntax_get(v, "routes"), *exits = syntax_get(v, "exitNode");

	c->p->approver = array(c, (routes ? routes->n : 0) + 1, sizeof *c->p->approver);
	if (!c->p->approver)
		return;
	for (const struct syntax *k = v->first; k; k = k->next)
		if (k != routes && k != exits)
			KEY_FAULT(c, k, "unknown field \"%s\" in autoApprovers", k->key);
	if (routes)
		check_route_approvers(c, routes);
	if (exits) {
		struct approver *a = &c->p->approver[c->p->n_approvers++];

		a->exit = true;
		check_who(c, exits, "an approver", &a->who, &a->n);
	}
}

/* ---- acls ---- */

struct proto {
	const char *name;
	uint8_t number[2];
	uint8_t n;
	bool ports;
};

static const struct proto protos[] = {
	{ "tcp", { 6 }, 1, true },	 { "udp", { 17 }, 1, true },	   { "sctp", { 132 }, 1, true },
	{ "icmp", { 1 }, 1, false },	 { "ipv6-icmp", { 58 }, 1, false }, { "igmp", { 2 }, 1, false },
	{ "ipv4", { 4 }, 1, false },	 { "ip-in-ip", { 4 }, 1, false },  { "egp", { 8 }, 1, false },
	{ "igp", { 9 }, 1, false },	 { "gre", { 47 }, 1, false },	   { "esp", { 50 }, 1, false },
	{ "ah", { 51 }, 1, false },
};

/* ports: may the rule name ports? */
static bool check_proto(struct check *c, const struct syntax *v, struct rule *r, bool *ports)
{
	uint64_t number;

	if (!is_kind(c, v, SYNTAX_STRING, "proto is a text such as \"tcp\", \"udp\", \"icmp\" or \"47\""))
		return false;
	r->proto = array(c, 2, 1);
	if (!r->proto)
		return false;
	if (bytes_parse_u64(bytes_str(v->text), 255, &number) == OK) {
		r->proto[r->n_proto++] = (uint8_t)number;
		*ports = number == 6 || number == 17 || number == 132;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(protos); i++)
		if (strcmp(protos[i].name, v->text) == 0) {
			memcpy(r->proto, protos[i].number, protos[i].n);
			r->n_proto = protos[i].n;
			*ports = protos[i].ports;
			return true;
		}
	FAULT(c, v, "unknown protocol \"%s\": a name such as tcp, udp, icmp, or a number from 0 to 255", v->text);
	return false;
}

static bool check_port(struct check *c, const struct syntax *at, struct bytes text, struct port_range *out)
{
	struct bytes last, first = bytes_cut(text, '-', &last);
	uint64_t a, b;

	if (bytes_eq_str(text, "*")) {
		*out = (struct port_range){ 0, 65535 };
		return true;
	}
	if (bytes_parse_u64(first, 65535, &a) == OK && (!last.p || bytes_parse_u64(last, 65535, &b) == OK)) {
		if (!last.p)
			b = a;
		*out = (struct port_range){ (uint16_t)a, (uint16_t)b };
		if (a <= b)
			return true;
	}
	FAULT(c, at, "\"%.*s\" is no port: write *, 22, 80-443 or a list such as 22,80", (int)MIN_OF(text.n, (size_t)80),
	      (const char *)text.p);
	return false;
}

static bool check_ports(struct check *c, const struct syntax *at, struct bytes text, bool ports, struct rule_dst *d)
{
	size_t n = 1;

	for (struct bytes rest = text; rest.n; rest = bytes_skip(rest, 1))
		n += rest.p[0] == ',';
	if (n > RULE_PORTS_MAX) {
		FAULT(c, at, "at most %d ports and ranges in one destination", RULE_PORTS_MAX);
		return false;
	}
	if (!ports && !bytes_eq_str(text, "*")) {
		FAULT(c, at, "this protocol has no ports: write :* at the end");
		return false;
	}
	d->ports = array(c, n, sizeof *d->ports);
	for (struct bytes rest = text; d->ports && rest.p;) {
		struct bytes one = bytes_trim(bytes_cut(rest, ',', &rest));

		if (!check_port(c, at, one, &d->ports[d->n_ports]))
			return false;
		d->n_ports++;
	}
	return d->ports != NULL;
}

/* "[fd7a::1]" is how an IPv6 address stands before a port. */
static struct bytes without_brackets(struct bytes b)
{
	if (b.n >= 2 && b.p[0] == '[' && b.p[b.n - 1] == ']')
		return bytes_first(bytes_skip(b, 1), b.n - 2);
	return b;
}

static bool check_dst(struct check *c, const struct syntax *v, bool ports, struct rule_dst *d)
{
	*d = (struct rule_dst){ 0 }; /* a destination with a fault may have begun to fill it */
	if (!is_kind(c, v, SYNTAX_STRING, "expected a destination such as \"tag:web:443\""))
		return false;
	const char *colon = strrchr(v->text, ':');

	if (!colon) {
		FAULT(c, v, "\"%s\" has no ports: write \"%s:*\" or \"%s:443\"", v->text, v->text, v->text);
		return false;
	}
	struct bytes name = without_brackets(bytes_of(v->text, (size_t)(colon - v->text)));
	char *text = arena_str(c->arena, name);

	c->no_memory |= !text;
	return text && check_ports(c, v, bytes_str(colon + 1), ports, d) && parse_sel(c, v, text, &d->sel);
}

static void check_src(struct check *c, const struct syntax *list, struct rule *r)
{
	r->src = array(c, list->n, sizeof *r->src);
	for (const struct syntax *v = list->first; r->src && v; v = v->next) {
		if (!is_kind(c, v, SYNTAX_STRING, "expected a source such as \"group:admins\"") ||
		    !parse_sel(c, v, v->text, &r->src[r->n_src]))
			continue;
		if (r->src[r->n_src].kind == SEL_SELF)
			FAULT(c, v, "\"autogroup:self\" is not valid on the src side of a rule");
		else
			r->n_src++;
	}
}

static bool may_mean_self(const struct rule *r)
{
	for (size_t i = 0; i < r->n_src; i++)
		switch (r->src[i].kind) {
		case SEL_ANY:
		case SEL_USER:
		case SEL_GROUP:
		case SEL_MEMBER:
			break;
		case SEL_TAG:
		case SEL_PREFIX:
		case SEL_TAGGED:
		case SEL_SELF:
			return false;
		}
	return true;
}

static void check_dsts(struct check *c, const struct syntax *list, bool ports, size_t index, struct rule *r)
{
	r->first_dst = c->p->n_dsts;
	for (const struct syntax *v = list->first; v; v = v->next) {
		struct rule_dst *d = &c->p->dst[c->p->n_dsts];

		if (!check_dst(c, v, ports, d))
			continue;
		if (d->sel.kind == SEL_SELF && !may_mean_self(r))
			FAULT(c, v, "autogroup:self can only be used with users, groups, or supported autogroups as sources");
		d->rule = index;
		c->p->n_dsts++;
		r->n_dst++;
	}
}

static void check_acl_fields(struct check *c, const struct syntax *v)
{
	static const char *const known[] = { "action", "src", "dst", "proto" };
	static const char *const later[] = { "srcPosture", "users", "ports" };

	for (const struct syntax *k = v->first; k; k = k->next) {
		bool is_known = false, is_later = false;

		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			is_known |= strcmp(known[i], k->key) == 0;
		for (size_t i = 0; i < ARRAY_LEN(later); i++)
			is_later |= strcmp(later[i], k->key) == 0;
		if (is_later)
			KEY_FAULT(c, k, "\"%s\" in a rule " NOT_YET, k->key);
		else if (!is_known)
			KEY_FAULT(c, k, "unknown field \"%s\" in a rule", k->key);
	}
}

static void check_acl(struct check *c, const struct syntax *v, size_t index)
{
	struct rule *r = &c->p->rule[index];
	bool ports = true;

	if (!is_kind(c, v, SYNTAX_OBJECT, "a rule is an object with action, src and dst"))
		return;
	check_acl_fields(c, v);
	const struct syntax *action = syntax_get(v, "action"), *src = syntax_get(v, "src"), *dst = syntax_get(v, "dst"),
			    *proto = syntax_get(v, "proto");

	if (!action || action->kind != SYNTAX_STRING || strcmp(action->text, "accept") != 0)
		FAULT(c, action ? action : v, "action is \"accept\": everything else is denied anyway");
	if (!src || src->kind != SYNTAX_LIST)
		FAULT(c, src ? src : v, "src is missing or no list");
	if (!dst || dst->kind != SYNTAX_LIST)
		FAULT(c, dst ? dst : v, "dst is missing or no list");
	if (!src || src->kind != SYNTAX_LIST || !dst || dst->kind != SYNTAX_LIST)
		return;
	if (proto && !check_proto(c, proto, r, &ports))
		return;
	check_src(c, src, r);
	check_dsts(c, dst, ports, index, r);
}

static size_t count_dsts(const struct syntax *acls)
{
	size_t n = 0;

	for (const struct syntax *v = acls->first; v; v = v->next) {
		const struct syntax *dst = v->kind == SYNTAX_OBJECT ? syntax_get(v, "dst") : NULL;

		n += dst ? dst->n : 0;
	}
	return n;
}

static void check_acls(struct check *c, const struct syntax *v)
{
	if (!is_kind(c, v, SYNTAX_LIST, "acls is a list of rules"))
		return;
	if (v->n > RULES_MAX || count_dsts(v) > RULE_DSTS_MAX) {
		FAULT(c, v, "at most %d rules with %d destinations in all", RULES_MAX, RULE_DSTS_MAX);
		return;
	}
	c->p->rule = array(c, v->n, sizeof *c->p->rule);
	c->p->dst = array(c, count_dsts(v), sizeof *c->p->dst);
	if (!c->p->rule || !c->p->dst)
		return;
	for (const struct syntax *r = v->first; r; r = r->next)
		check_acl(c, r, c->p->n_rules++);
}

/* ---- the whole ---- */

static void check_sections(struct check *c, const struct syntax *root)
{
	static const char *const known[] = { "acls", "groups", "hosts", "tagOwners", "autoApprovers" };
	static const char *const later[] = { "grants", "ssh", "nodeAttrs", "postures", "defaultSrcPosture", "ipsets", "tests",
					     "sshTests", "derpMap", "disableIPv4", "randomizeClientPort", "OneCGNATRoute",
					     "extraDNSRecords", "attrConfig", "exitDNS", "networkTopology" };

	for (const struct syntax *k = root->first; k; k = k->next) {
		bool is_known = false, is_later = false;

		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			is_known |= strcmp(known[i], k->key) == 0;
		for (size_t i = 0; i < ARRAY_LEN(later); i++)
			is_later |= strcmp(later[i], k->key) == 0;
		if (is_later)
			KEY_FAULT(c, k, "\"%s\" " NOT_YET, k->key);
		else if (!is_known)
			KEY_FAULT(c, k, "unknown field \"%s\"", k->key);
	}
}

static void check_all(struct check *c, const struct syntax *root)
{
	const struct syntax *acls = syntax_get(root, "acls"), *groups = syntax_get(root, "groups"),
			    *hosts = syntax_get(root, "hosts"), *owners = syntax_get(root, "tagOwners"),
			    *approvers = syntax_get(root, "autoApprovers");

	check_sections(c, root);
	if (groups)
		check_groups(c, groups);
	if (hosts)
		check_hosts(c, hosts);
	if (owners && is_kind(c, owners, SYNTAX_OBJECT, "tagOwners is an object: {\"tag:name\": [\"user@\", …]}"))
		c->owners = owners;
	if (owners)
		check_owners(c, owners);
	if (approvers)
		check_approvers(c, approvers);
	c->p->allow_all = !acls;
	if (acls)
		check_acls(c, acls);
}

static void unrefp(struct policy **p)
{
	policy_unref(*p);
}

err policy_parse(struct bytes text, struct policy **out, struct policy_faults *faults)
{
	CLEANUP(unrefp) struct policy *p = calloc(1, sizeof *p);
	struct syntax *root;

	faults->n = 0;
	if (!p)
		return ERR_NOMEM;
	atomic_init(&p->refs, 1);
	p->arena = arena_make(ARENA_MAX);
	struct check c = { .p = p, .arena = &p->arena, .faults = faults };

	if (text.n > POLICY_TEXT_MAX) {
		fault_at(&c, 0, 0, "the policy has more than %d bytes", POLICY_TEXT_MAX);
		return ERR_INVALID;
	}
	err e = syntax_parse(text, &p->arena, &root, &faults->fault[0]);
	if (e == ERR_INVALID)
		faults->n = 1;
	TRY(e);
	if (!is_kind(&c, root, SYNTAX_OBJECT, "a policy is an object: { … }"))
		return ERR_INVALID;
	check_all(&c, root);
	if (c.no_memory)
		return ERR_NOMEM;
	if (faults->n)
		return ERR_INVALID;
	TRY(policy_finish(p));
	*out = MOVE(p);
	return OK;
}
