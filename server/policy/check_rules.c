#include <stdio.h>

#include "common/text/jsonw.h"

#include "common/base/cleanup.h"
#include "server/policy/check.h"

/* acls and grants: both become rules. A destination of a rule is one selector with the ports of one protocol. */

enum {
	TAKES_NAMES = TAKES_ANY | TAKES_USER | TAKES_GROUP | TAKES_TAG | TAKES_RANGES | TAKES_MEMBER | TAKES_TAGGED | TAKES_ROLE | TAKES_SHARED |
		      TAKES_DOMAIN,
	TAKES_SRC = TAKES_NAMES | TAKES_DANGER,
	TAKES_DST = TAKES_NAMES | TAKES_SELF | TAKES_INTERNET,
};

/* ---- protocols and ports ---- */

struct proto {
	const char *name;
	uint8_t number;
};

static const struct proto protos[] = {
	{ "tcp", 6 },	{ "udp", 17 },	 { "sctp", 132 },    { "icmp", 1 }, { "ipv6-icmp", 58 }, { "igmp", 2 }, { "ipv4", 4 },
	{ "ip-in-ip", 4 }, { "egp", 8 }, { "igp", 9 },	     { "gre", 47 }, { "esp", 50 },	 { "ah", 51 },	{ "fc", 133 },
	{ "icmpv4", 1 }, { "icmpv6", 58 }, { "dccp", 33 }, { "tsmp", 99 }, /* tailscale@de9ec7ee2 types/ipproto/ipproto.go, acceptedNames */
};

bool policy_proto(struct bytes text, int16_t *out)
{
	uint64_t number = 0;
	bool known = bytes_parse_u64(text, 255, &number) == OK && number > 0 && text.p[0] != '0';

	for (size_t i = 0; !known && i < ARRAY_LEN(protos); i++)
		if (bytes_eq_nocase(text, bytes_str(protos[i].name))) {
			number = protos[i].number;
			known = true;
		}
	*out = (int16_t)number;
	return known;
}

const char *policy_proto_name(int16_t proto, char out[16])
{
	out[0] = 0;
	for (size_t i = 0; i < ARRAY_LEN(protos); i++)
		if (protos[i].number == proto)
			return protos[i].name;
	if (proto != PROTO_ANY)
		snprintf(out, 16, "%d", proto);
	return out;
}

bool check_proto(struct check *c, const struct syntax *at, struct bytes text, int16_t *out, bool *ports)
{
	const char *names[ARRAY_LEN(protos) + 1] = { 0 };
	char hint[HINT_MAX], shown[40];
	int16_t number;

	for (size_t i = 0; i < ARRAY_LEN(protos); i++)
		names[i] = protos[i].name;
	if (!policy_proto(text, &number)) {
		snprintf(shown, sizeof shown, "%.*s", (int)MIN_OF(text.n, (size_t)30), (const char *)text.p);
		FAULT(c, at, "unknown protocol \"%s\"%s; a name such as tcp, udp, icmp, or a number from 1 to 255", shown,
		      hint_list(c, names, shown, hint));
		return false;
	}
	*out = number;
	*ports = number == 6 || number == 17 || number == 132;
	return true;
}

bool check_port(struct check *c, const struct syntax *at, struct bytes text, struct port_range *out)
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
		if (a <= b && b > 0)
			return true;
	}
	FAULT(c, at, "\"%.80s\": port range \"%.*s\": that is no port: write *, 22, 80-443 or a list such as 22,80", at->text,
	      (int)MIN_OF(text.n, (size_t)60), (const char *)text.p);
	return false;
}

bool check_ports(struct check *c, const struct syntax *at, struct bytes text, const struct port_range **out, size_t *n)
{
	size_t count = 1, k = 0;

	for (struct bytes rest = text; rest.n; rest = bytes_skip(rest, 1))
		count += rest.p[0] == ',';
	if (count > RULE_PORTS_MAX) {
		FAULT(c, at, "at most %d ports and ranges in one destination", RULE_PORTS_MAX);
		return false;
	}
	struct port_range *list = check_array(c, count, sizeof *list);
	for (struct bytes rest = text; list && rest.p;)
		if (!check_port(c, at, bytes_trim(bytes_cut(rest, ',', &rest)), &list[k++]))
			return false;
	*out = list;
	*n = k;
	return list != NULL;
}

/* "[fd7a::1]" is how an IPv6 address stands before a port. */
static struct bytes without_brackets(struct bytes b)
{
	if (b.n >= 2 && b.p[0] == '[' && b.p[b.n - 1] == ']')
		return bytes_first(bytes_skip(b, 1), b.n - 2);
	return b;
}

bool split_ports(struct check *c, const struct syntax *at, const char *text, const char **name, const char **ports)
{
	const char *colon = strrchr(text, ':');

	if (!colon) {
		c->wrong = text;
		c->right = arena_printf(c->arena, "%s:*", text);
		FAULT(c, at, "dst=\"%s\" has no ports: write \"%s:*\" or \"%s:443\"", text, text, text);
		return false;
	}
	*name = check_text(c, without_brackets(bytes_of(text, (size_t)(colon - text))));
	*ports = colon + 1;
	return *name != NULL;
}

/* ---- a rule's parts ---- */

static struct rule_dst *add_dst(struct check *c, const struct syntax *at, uint32_t sel, int16_t proto)
{
	struct policy *p = c->p;

	if (p->n_dsts >= RULE_DSTS_MAX) {
		if (!c->full)
			FAULT(c, at, "at most %d destinations in all rules together", RULE_DSTS_MAX);
		c->full = true;
		return NULL;
	}
	if ((p->n_dsts & (p->n_dsts - 1)) == 0) { /* full at each power of two */
		struct rule_dst *grown = check_array(c, p->n_dsts ? 2 * p->n_dsts : 1, sizeof *grown);

		if (!grown)
			return NULL;
		for (size_t i = 0; i < p->n_dsts; i++)
			grown[i] = p->dst[i];
		p->dst = grown;
	}
	struct rule_dst *d = &p->dst[p->n_dsts++];
	*d = (struct rule_dst){ .sel = sel, .rule = (uint32_t)p->n_rules, .proto = proto };
	return d;
}

static bool may_mean_self(const struct check *c, const uint32_t *src, size_t n, bool any)
{
	const unsigned takes = TAKES_USER | TAKES_GROUP | TAKES_MEMBER | TAKES_ROLE | TAKES_DOMAIN | (any ? TAKES_ANY : 0u);

	for (size_t i = 0; i < n; i++)
		if (!(takes & 1u << c->p->sel[src[i]]->kind))
			return false;
	return true;
}

struct sides {
	uint32_t *src, *dst;
	size_t n_src, n_dst;
};

/* A side that is missing is an empty list, as for the service: nobody, nothing (warn.c says so). */
static const struct syntax no_list = { .kind = SYNTAX_LIST, .line = 1, .column = 1 };

static bool check_src(struct check *c, const struct syntax *src, struct sides *s)
{
	if (!src)
		src = &no_list;
	return check_sels(c, src, TAKES_SRC, "src", &s->src, &s->n_src);
}

static void note_self(struct check *c, const struct syntax *at, struct rule *r, const struct sides *s, bool any)
{
	r->self = true;
	if (!may_mean_self(c, s->src, s->n_src, any))
		FAULT(c, at, "autogroup:self can only be used with users, groups, or supported autogroups as src%s",
		      any ? "" : " (for \"*\" write autogroup:member)");
}

static uint64_t rule_postures(struct check *c, const struct syntax *v)
{
	const struct syntax *names = check_get(v, "srcPosture");

	return names ? check_posture_names(c, names) : c->default_postures;
}

static void finish_rule(struct check *c, struct rule *r, const struct sides *s, uint64_t postures)
{
	r->src = check_set(c, s->src, s->n_src, postures);
	r->dst = check_set(c, s->dst, s->n_dst, 0);
	c->p->n_rules++;
}

static bool all_ports(const struct port_range *range, size_t n)
{
	return n == 1 && range->first == 0 && range->last == UINT16_MAX;
}

/* ---- acls ---- */

static void check_acl_dst(struct check *c, const struct syntax *v, struct rule *r, struct sides *s, int16_t proto, bool ports)
{
	const char *name, *list;

	if (!is_kind(c, v, SYNTAX_STRING, "expected a destination such as \"tag:web:443\"") || !split_ports(c, v, v->text, &name, &list))
		return;
	const struct port_range *range;
	size_t n;
	if (!check_ports(c, v, bytes_str(list), &range, &n))
		return;
	if (!ports && !all_ports(range, n)) {
		FAULT(c, v, "dst=\"%s\": this protocol has no ports: write :* at the end", v->text);
		return;
	}
	const struct sel *sel = check_sel(c, v, name, TAKES_DST, "dst");
	struct rule_dst *d = sel ? add_dst(c, v, sel->id, proto) : NULL;
	if (!d)
		return;
	d->ports = range;
	d->n_ports = n;
	s->dst[s->n_dst++] = sel->id;
	r->n_dst++;
	if (sel->kind == SEL_SELF)
		note_self(c, v, r, s, true);
}

static void check_acl(struct check *c, const struct syntax *v)
{
	static const char *const known[] = { "action", "src", "dst", "proto", "srcPosture", "users", "ports", NULL };
	struct rule *r = &c->p->rule[c->p->n_rules];
	struct sides s = { 0 };
	int16_t proto = PROTO_ANY;
	bool ports = true;

	if (!is_kind(c, v, SYNTAX_OBJECT, "a rule is an object with action, src and dst"))
		return;
	check_fields(c, v, known, " in a rule of acls");
	const struct syntax *action = check_get(v, "action"), *src = check_get(v, "src"), *dst = check_get(v, "dst"),
			    *p = check_get(v, "proto");

	if (!action || action->kind != SYNTAX_STRING)
		FAULT(c, action ? action : v, "action is missing: it is \"accept\"");
	else if (strcmp(action->text, "accept") != 0)
		FAULT(c, action, "action=\"%s\" is not supported: it is \"accept\", everything else is denied anyway", action->text);
	r->line = v->line;
	r->at = v;
	r->first_dst = c->p->n_dsts;
	if (p && (!is_kind(c, p, SYNTAX_STRING, "proto is a text such as \"tcp\", \"udp\", \"icmp\" or \"47\"") ||
		  (*p->text && !check_proto(c, p, bytes_str(p->text), &proto, &ports))))
		return;
	src = src ? src : check_get(v, "users"); /* the names of old */
	dst = dst ? dst : check_get(v, "ports");
	dst = dst ? dst : &no_list;
	if (!check_src(c, src, &s) || !is_kind(c, dst, SYNTAX_LIST, "dst must be a list, as in [\"tag:web:443\"]"))
		return;
	s.dst = check_array(c, dst->n, sizeof *s.dst);
	for (const struct syntax *d = dst->first; s.dst && d; d = d->next)
		check_acl_dst(c, d, r, &s, proto, ports);
	finish_rule(c, r, &s, rule_postures(c, v));
}

/* ---- grants ---- */

struct ip_specs { /* what "ip" says, by protocol */
	int16_t *proto;
	struct port_range *range;
	size_t n;
};

static bool check_ip(struct check *c, const struct syntax *at, struct ip_specs *specs)
{
	struct bytes text = bytes_trim(bytes_str(at->text)), ports, name = bytes_cut(text, ':', &ports);
	bool takes_ports = true;
	int16_t proto = PROTO_ANY;

	if (memchr(at->text, ',', strlen(at->text))) {
		FAULT(c, at, "ip=\"%s\": one port or range in a text: write \"tcp:80\", \"tcp:443\"", at->text);
		return false;
	}
	if (!ports.p) {
		ports = name;
		uint64_t ignored;
		struct bytes head = bytes_cut(name, '-', &(struct bytes){ 0 });
		if (!bytes_eq_str(name, "*") && bytes_parse_u64(head, 65535, &ignored) != OK) { /* "icmp" alone: all of it */
			if (!check_proto(c, at, name, &proto, &takes_ports))
				return false;
			ports = BYTES_LIT("*");
		}
	} else if (!bytes_eq_str(name, "*") && !check_proto(c, at, name, &proto, &takes_ports)) {
		return false;
	}
	struct port_range *range = &specs->range[specs->n];
	specs->proto[specs->n++] = proto;
	if (!check_port(c, at, ports, range))
		return false;
	if (!takes_ports && !all_ports(range, 1)) {
		FAULT(c, at, "ip=\"%s\": this protocol has no ports: write :* at the end", at->text);
		return false;
	}
	return true;
}

static bool check_ips(struct check *c, const struct syntax *v, struct ip_specs *specs)
{
	if (!is_kind(c, v, SYNTAX_LIST, "ip is a list such as [\"tcp:443\", \"80-90\", \"icmp:*\"]"))
		return false;
	if (v->n > RULE_PORTS_MAX) {
		FAULT(c, v, "at most %d ports and ranges in one grant", RULE_PORTS_MAX);
		return false;
	}
	specs->proto = check_array(c, v->n, sizeof *specs->proto);
	specs->range = check_array(c, v->n, sizeof *specs->range);
	if (!specs->proto || !specs->range)
		return false;
	for (const struct syntax *e = v->first; e; e = e->next)
		if (!is_kind(c, e, SYNTAX_STRING, "expected a text such as \"tcp:443\"") || !check_ip(c, e, specs))
			return false;
	return true;
}

/* One destination for each protocol; without ip one that only carries capabilities. */
static void add_dsts(struct check *c, const struct syntax *at, struct rule *r, const struct sel *sel, const struct ip_specs *specs)
{
	bool done[PROTO_ANY + 257 + 1] = { 0 };

	if (!specs->n) {
		r->n_dst += add_dst(c, at, sel->id, PROTO_ANY) != NULL;
		return;
	}
	for (size_t i = 0; i < specs->n; i++) {
		if (done[specs->proto[i] + 1])
			continue;
		done[specs->proto[i] + 1] = true;
		struct rule_dst *d = add_dst(c, at, sel->id, specs->proto[i]);
		struct port_range *list = check_array(c, specs->n, sizeof *list);
		if (!d || !list)
			return;
		for (size_t k = i; k < specs->n; k++)
			if (specs->proto[k] == specs->proto[i])
				list[d->n_ports++] = specs->range[k];
		d->ports = list;
		r->n_dst++;
	}
}

static bool is_default_route(const struct sel *s)
{
	struct prefix p;

	return s->kind == SEL_RANGES && s->n_ranges == 1 && range_is_prefix(s->ranges[0], &p) && p.bits == 0;
}

static void check_grant_dsts(struct check *c, const struct syntax *list, struct rule *r, struct sides *s, const struct ip_specs *specs,
			     bool app)
{
	s->dst = check_array(c, list->n, sizeof *s->dst);
	for (const struct syntax *v = list->first; s->dst && v; v = v->next) {
		if (!is_kind(c, v, SYNTAX_STRING, "expected a destination such as \"tag:web\""))
			continue;
		const struct sel *sel = check_sel(c, v, v->text, TAKES_DST, "dst");
		if (!sel)
			continue;
		if (is_default_route(sel))
			FAULT(c, v, "dst \"%s\": to allow all IP addresses, use \"*\" or \"autogroup:internet\"", v->text);
		if (sel->kind == SEL_INTERNET && app)
			FAULT(c, v, "cannot use app grants with autogroup:internet: nobody there reads capabilities");
		add_dsts(c, v, r, sel, specs);
		s->dst[s->n_dst++] = sel->id;
		if (sel->kind == SEL_SELF)
			note_self(c, v, r, s, false);
	}
}

/* ---- capabilities ---- */

static const char *const own_caps[] = { /* what policies may grant of the tailscale.com domain */
	"tailscale.com/cap/drive", "tailscale.com/cap/relay", "tailscale.com/cap/webui", "tailscale.com/cap/kubernetes",
	"tailscale.com/cap/tsidp", "tailscale.com/cap/secrets", "tailscale.com/cap/golink", NULL,
};

static void check_cap_name(struct check *c, const struct syntax *v)
{
	const char *slash = strchr(v->key, '/');
	char hint[HINT_MAX];

	if (!slash || slash == v->key || !slash[1] || starts_with(v->key, "https://")) {
		KEY_FAULT(c, v, "capability name \"%s\": write {domain}/{name}, as in \"example.com/cap/backup\"", v->key);
		return;
	}
	if (!starts_with(v->key, "tailscale.com/"))
		return;
	for (size_t i = 0; own_caps[i]; i++)
		if (strcmp(own_caps[i], v->key) == 0)
			return;
	KEY_FAULT(c, v, "capability name must not be in the tailscale.com domain, but for a few: \"%s\"%s", v->key,
		  hint_list(c, own_caps, v->key, hint));
}

static void check_app(struct check *c, const struct syntax *v, struct rule *r)
{
	struct buf caps = buf_make(POLICY_TEXT_MAX), back = buf_make(4096);

	if (!is_kind(c, v, SYNTAX_OBJECT, "app is an object: {\"example.com/cap/x\": [{…}]}"))
		return;
	for (const struct syntax *k = v->first; k; k = k->next) {
		check_cap_name(c, k);
		if (k->kind != SYNTAX_NULL && !is_kind(c, k, SYNTAX_LIST, "a capability has a list of values: [{…}]"))
			continue;
		struct jsonw w = jsonw_init(&caps), b = jsonw_init(&back);
		w.comma = buf_len(&caps) > 0;
		b.comma = buf_len(&back) > 0;
		jsonw_key_bytes(&w, bytes_str(k->key));
		syntax_write(k, &w);
		const char *companion = strcmp(k->key, "tailscale.com/cap/drive") == 0 ? "tailscale.com/cap/drive-sharer" :
					strcmp(k->key, "tailscale.com/cap/relay") == 0 ? "tailscale.com/cap/relay-target" : NULL;
		if (companion) {
			jsonw_key_bytes(&b, bytes_str(companion));
			jsonw_null(&b);
		}
	}
	if (caps.bad || back.bad)
		c->no_memory = true;
	else if (buf_len(&caps))
		r->caps = check_text(c, buf_view(&caps));
	if (!c->no_memory && buf_len(&back))
		r->back_caps = check_text(c, buf_view(&back));
	buf_done(&caps);
	buf_done(&back);
}

static void check_via(struct check *c, const struct syntax *v, struct rule *r)
{
	char hint[HINT_MAX];
	size_t n = 0;

	if (!is_kind(c, v, SYNTAX_LIST, "via is a list of tags: [\"tag:router\"]"))
		return;
	uint32_t *list = check_array(c, v->n, sizeof *list);
	for (const struct syntax *t = v->first; list && t; t = t->next) {
		if (t->kind != SYNTAX_STRING || !starts_with(t->text, "tag:")) {
			FAULT(c, t, "via can only be a tag: the routers that carry the traffic");
			continue;
		}
		if (!c->owners || !syntax_get(c->owners, t->text)) {
			FAULT(c, t, "tag \"%s\" not found: define it in tagOwners%s", t->text, hint_key(c, c->owners, t->text, hint));
			continue;
		}
		const struct sel *s = check_sel(c, t, t->text, TAKES_TAG, "via");
		if (s)
			list[n++] = s->id;
	}
	r->via = list;
	r->n_via = n;
}

static void check_grant(struct check *c, const struct syntax *v)
{
	static const char *const known[] = { "src", "dst", "ip", "app", "via", "srcPosture", NULL };
	struct rule *r = &c->p->rule[c->p->n_rules];
	struct ip_specs specs = { 0 };
	struct sides s = { 0 };

	if (!is_kind(c, v, SYNTAX_OBJECT, "a grant is an object with src, dst, and ip or app"))
		return;
	check_fields(c, v, known, " in a grant");
	const struct syntax *ip = check_get(v, "ip"), *app = check_get(v, "app"), *via = check_get(v, "via"), *dst = check_get(v, "dst");

	r->line = v->line;
	r->at = v;
	r->first_dst = c->p->n_dsts;
	if ((!ip || !ip->n) && (!app || !app->n)) {
		FAULT(c, v, "ip and app can not both be empty: a grant gives ports, capabilities, or both");
		return;
	}
	if (!check_src(c, check_get(v, "src"), &s) || (ip && !check_ips(c, ip, &specs)))
		return;
	if (app)
		check_app(c, app, r);
	if (via)
		check_via(c, via, r);
	dst = dst ? dst : &no_list;
	if (!is_kind(c, dst, SYNTAX_LIST, "dst must be a list, as in [\"tag:web\"]"))
		return;
	check_grant_dsts(c, dst, r, &s, &specs, app && app->n);
	finish_rule(c, r, &s, rule_postures(c, v));
}

/* ---- both ---- */

/* Without acls and grants everyone reaches everyone, as if this stood there. */
static void allow_all(struct check *c)
{
	static const struct syntax star = { .kind = SYNTAX_STRING, .line = 1, .column = 1, .text = "*" };
	static const struct port_range all[] = { { 0, 65535 } };
	const struct sel *any = check_sel(c, &star, "*", TAKES_ANY, "src");
	struct rule *r = &c->p->rule[0];
	struct rule_dst *d = any ? add_dst(c, &star, any->id, PROTO_ANY) : NULL;
	uint32_t id = any ? any->id : 0;

	if (!d)
		return;
	d->ports = all;
	d->n_ports = 1;
	r->n_dst = 1;
	finish_rule(c, r, &(struct sides){ &id, &id, 1, 1 }, 0);
}

static bool is_list(struct check *c, const struct syntax *v, const char *what)
{
	return v && is_kind(c, v, SYNTAX_LIST, what);
}

void check_rules(struct check *c, const struct syntax *grants, const struct syntax *acls)
{
	bool has_grants = is_list(c, grants, "grants is a list"), has_acls = is_list(c, acls, "acls is a list of rules");
	size_t n = (has_grants ? grants->n : 0) + (has_acls ? acls->n : 0);

	if (n > RULES_MAX) {
		FAULT(c, has_acls ? acls : grants, "at most %d rules in acls and grants", RULES_MAX);
		return;
	}
	c->p->rule = check_array(c, n + 1, sizeof *c->p->rule);
	if (!c->p->rule)
		return;
	if (!grants && !acls)
		allow_all(c);
	for (const struct syntax *v = has_grants ? grants->first : NULL; v; v = v->next)
		check_grant(c, v);
	c->p->n_grants = c->p->n_rules;
	for (const struct syntax *v = has_acls ? acls->first : NULL; v; v = v->next)
		check_acl(c, v);
}
