#include "server/dns_records.h"
#include "server/policy/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"

enum { ARENA_MAX = 512 << 20, DERP_REGIONS_MAX = 256 };

void fault_at(struct check *c, unsigned line, unsigned column, const char *fmt, ...)
{
	struct policy_fault *f = &c->faults->fault[c->faults->n];
	va_list ap;

	if (c->faults->n == POLICY_FAULTS_MAX) {
		c->wrong = c->right = NULL;
		return;
	}
	c->faults->n++;
	*f = (struct policy_fault){ .line = line, .column = column };
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof f->text, fmt, ap); /* cut when longer */
	va_end(ap);
	if (c->wrong && c->right && strlen(c->right) < sizeof f->fix) { /* policy_faults_locate makes a fix of it */
		snprintf(f->fix, sizeof f->fix, "%s", c->right);
		snprintf(f->fix_label, sizeof f->fix_label, "%s", c->wrong);
	}
	c->wrong = c->right = NULL;
}

void *check_array(struct check *c, size_t n, size_t each)
{
	void *p = arena_array(c->arena, n + 1, each);

	c->no_memory |= !p;
	return p;
}

const char *check_text(struct check *c, struct bytes b)
{
	const char *t = arena_str(c->arena, b);

	c->no_memory |= !t;
	return t;
}

bool is_kind(struct check *c, const struct syntax *v, enum syntax_kind kind, const char *what)
{
	if (v->kind == kind)
		return true;
	FAULT(c, v, "%s", what);
	return false;
}

bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* ---- names of fields ---- */

const struct syntax *check_get(const struct syntax *object, const char *key)
{
	for (const struct syntax *v = object->first; v; v = v->next)
		if (v->key && strcasecmp(v->key, key) == 0)
			return v->kind == SYNTAX_NULL ? NULL : v;
	return NULL;
}

/* Changes of one letter that lead from a to b (insert, delete, replace, swap of neighbours); over max: max + 1. */
static unsigned distance(const char *a, const char *b, unsigned max)
{
	enum { LONGEST = 64 };
	unsigned row[3][LONGEST + 1];
	size_t n = strlen(a), m = strlen(b);

	if (n > LONGEST || m > LONGEST || (n > m ? n - m : m - n) > max)
		return max + 1;
	for (unsigned j = 0; j <= m; j++)
		row[0][j] = j;
	for (unsigned i = 1; i <= n; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *upper = row[(i + 1) % 3];

		now[0] = i;
		for (unsigned j = 1; j <= m; j++) {
			unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);

			unsigned one_off = MIN_OF(up[j], now[j - 1]) + 1;
			best = MIN_OF(best, one_off);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN_OF(best, upper[j - 2] + 1);
			now[j] = best;
		}
	}
	return row[n % 3][m];
}

struct nearest {
	const char *wrong, *best;
	unsigned distance;
};

/* Looking for what was meant costs; who writes a hundred thousand wrong names gets no hints in the end. */
enum { HINTS_MAX = 64, HINT_LOOK_MAX = 2000 };

static bool may_hint(struct check *c)
{
	return c->faults->n < POLICY_FAULTS_MAX && c->hints++ < HINTS_MAX;
}

static void offer(struct nearest *n, const char *name)
{
	unsigned d = strcasecmp(name, n->wrong) == 0 ? 0 : distance(name, n->wrong, n->distance);

	if (d < n->distance) {
		n->distance = d;
		n->best = name;
	}
}

static const char *hint(struct check *c, const struct nearest *n, char out[HINT_MAX])
{
	out[0] = 0;
	c->wrong = n->best ? n->wrong : NULL;
	c->right = n->best;
	if (n->best)
		snprintf(out, HINT_MAX, ", did you mean \"%s\"?", n->best);
	return out;
}

static struct nearest near(const char *wrong)
{
	size_t n = strlen(wrong);

	return (struct nearest){ wrong, NULL, n < 6 ? (unsigned)MIN_OF(n, (size_t)3) : 4 }; /* closer than that; never all of it anew */
}

const char *hint_key(struct check *c, const struct syntax *object, const char *wrong, char out[HINT_MAX])
{
	struct nearest n = near(wrong);
	bool looks = object && object->kind == SYNTAX_OBJECT && may_hint(c);

	for (const struct syntax *v = looks ? object->first : NULL; v && v->place < HINT_LOOK_MAX; v = v->next)
		offer(&n, v->key);
	return hint(c, &n, out);
}

const char *hint_list(struct check *c, const char *const *known, const char *wrong, char out[HINT_MAX])
{
	struct nearest n = near(wrong);

	for (bool looks = may_hint(c); looks && *known; known++)
		offer(&n, *known);
	return hint(c, &n, out);
}

void check_fields(struct check *c, const struct syntax *object, const char *const *known, const char *where)
{
	char text[HINT_MAX];

	for (const struct syntax *k = object->first; k; k = k->next) {
		bool is_known = k->key[0] == '#'; /* a comment in the clothes of a field */

		for (size_t i = 0; known[i] && !is_known; i++)
			is_known = strcasecmp(known[i], k->key) == 0;
		if (!is_known)
			KEY_FAULT(c, k, "unknown field \"%s\"%s%s", k->key, where, hint_list(c, known, k->key, text));
	}
}

/* ---- selectors ---- */

struct autogroup {
	const char *name;
	enum sel_kind kind;
	enum policy_role role;
};

static const struct autogroup autogroups[] = {
	{ "autogroup:member", SEL_MEMBER, 0 },
	{ "autogroup:members", SEL_MEMBER, 0 },
	{ "autogroup:tagged", SEL_TAGGED, 0 },
	{ "autogroup:self", SEL_SELF, 0 },
	{ "autogroup:internet", SEL_INTERNET, 0 },
	{ "autogroup:danger-all", SEL_DANGER, 0 },
	{ "autogroup:shared", SEL_SHARED, 0 },
	{ "autogroup:owner", SEL_ROLE, POLICY_ROLE_OWNER },
	{ "autogroup:admin", SEL_ROLE, POLICY_ROLE_ADMIN },
	{ "autogroup:network-admin", SEL_ROLE, POLICY_ROLE_NETWORK_ADMIN },
	{ "autogroup:it-admin", SEL_ROLE, POLICY_ROLE_IT_ADMIN },
	{ "autogroup:auditor", SEL_ROLE, POLICY_ROLE_AUDITOR },
	{ "autogroup:billing-admin", SEL_ROLE, POLICY_ROLE_BILLING_ADMIN },
};

bool policy_autogroup(const char *name, enum sel_kind *kind, enum policy_role *role)
{
	for (size_t i = 0; i < ARRAY_LEN(autogroups); i++)
		if (strcmp(name, autogroups[i].name) == 0) {
			*kind = autogroups[i].kind;
			*role = autogroups[i].role;
			return true;
		}
	return false;
}

static bool parse_autogroup(struct check *c, const struct syntax *at, struct sel *out, const char *where)
{
	const char *names[ARRAY_LEN(autogroups) + 1] = { 0 };
	char text[HINT_MAX];

	if (policy_autogroup(out->name, &out->kind, &out->role))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(autogroups); i++)
		names[i] = autogroups[i].name;
	FAULT(c, at, "%s=unknown autogroup \"%s\"%s", where, out->name, hint_list(c, names, out->name, text));
	return false;
}

static bool one_range(struct check *c, struct sel *out, struct range r)
{
	struct range *list = check_array(c, 1, sizeof *list);

	if (!list)
		return false;
	list[0] = r;
	out->kind = SEL_RANGES;
	out->ranges = list;
	out->n_ranges = 1;
	return true;
}

static bool parse_named(struct check *c, const struct syntax *at, struct sel *out, const char *where)
{
	const struct syntax *host = c->hosts ? syntax_get(c->hosts, out->name) : NULL;
	char text[HINT_MAX];
	struct range r;

	if (host) /* a wrong one has its fault where it is defined */
		return host->kind == SYNTAX_STRING && range_parse(bytes_str(host->text), &r) == OK && one_range(c, out, r);
	if (range_parse(bytes_str(out->name), &r) == OK)
		return one_range(c, out, r);
	if (strchr(out->name, '@')) {
		out->kind = SEL_USER;
		return true;
	}
	hint_key(c, c->hosts, out->name, text);
	if (!*out->name)
		FAULT(c, at, "%s=\"\": a name is missing", where);
	else if (strpbrk(out->name, " \t%\"'"))
		FAULT(c, at, "%s=\"%s\": invalid address, and no name that could stand in hosts", where, out->name);
	else
		FAULT(c, at, "%s=\"%s\": no address, range or name in hosts%s; a user is written as \"%s@\"", where, out->name,
		      text, out->name);
	return false;
}

static bool parse_group(struct check *c, const struct syntax *at, struct sel *out, const char *where)
{
	char text[HINT_MAX];

	const struct syntax *group = c->groups ? syntax_get(c->groups, out->name) : NULL;

	if (group && group->place < c->p->n_groups) { /* the array has them in the order of the text */
		out->kind = SEL_GROUP;
		out->group = &c->p->group[group->place];
		return true;
	}
	FAULT(c, at, "%s=group not found: \"%s\": define it in groups%s", where, out->name, hint_key(c, c->groups, out->name, text));
	return false;
}

static bool parse_tag(struct check *c, const struct syntax *at, struct sel *out, const char *where)
{
	char text[HINT_MAX];

	out->kind = SEL_TAG;
	if (c->owners && syntax_get(c->owners, out->name))
		return true;
	FAULT(c, at, "%s=tag not found: \"%s\": define it in tagOwners%s", where, out->name, hint_key(c, c->owners, out->name, text));
	return false;
}

static bool parse_ipset(struct check *c, const struct syntax *at, struct sel *out, const char *where)
{
	const struct syntax *set = c->ipsets ? syntax_get(c->ipsets, out->name) : NULL;
	struct range *list = NULL;
	char text[HINT_MAX];

	out->kind = SEL_RANGES;
	if (!set) {
		FAULT(c, at, "%s=ipset not found: \"%s\": define it in ipsets%s", where, out->name,
		      hint_key(c, c->ipsets, out->name, text));
		return false;
	}
	if (!ipset_ranges(c, set, &list, &out->n_ranges))
		return false; /* its fault is where it is defined */
	out->ranges = list;
	return true;
}

static bool parse_sel(struct check *c, const struct syntax *at, struct sel *out, const char *where)
{
	if (strcmp(out->name, "*") == 0) {
		out->kind = SEL_ANY;
		return true;
	}
	if (starts_with(out->name, "autogroup:"))
		return parse_autogroup(c, at, out, where);
	if (starts_with(out->name, "group:"))
		return parse_group(c, at, out, where);
	if (starts_with(out->name, "tag:"))
		return parse_tag(c, at, out, where);
	if (starts_with(out->name, "ipset:"))
		return parse_ipset(c, at, out, where);
	if (starts_with(out->name, "host:")) { /* in ipsets hosts are written so; here too it can mean nothing else */
		out->name += 5;
		return parse_named(c, at, out, where);
	}
	if (starts_with(out->name, "user:*@") && out->name[7]) {
		out->kind = SEL_DOMAIN;
		return true;
	}
	if (starts_with(out->name, "user:")) {
		FAULT(c, at, "%s=\"%s\": write users by name, as \"ann@example.com\", those of a domain as \"user:*@example.com\"", where,
		      out->name);
		return false;
	}
	if (starts_with(out->name, "svc:"))
		return parse_service(c, at, out, where);
	return parse_named(c, at, out, where);
}

const struct sel *check_sel(struct check *c, const struct syntax *at, const char *text, unsigned takes, const char *where)
{
	struct sel s = { 0 };
	const struct sel *known = NULL;

	s.name = check_text(c, bytes_trim(bytes_str(text)));
	if (!s.name || !parse_sel(c, at, &s, where))
		return NULL;
	if (!(takes & 1u << s.kind)) {
		if (s.kind == SEL_DANGER && strcmp(where, "dst") == 0)
			FAULT(c, at, "cannot use autogroup:danger-all as a dst: it means every address there is; write \"*\"");
		else if (s.kind == SEL_SELF && strcmp(where, "src") == 0)
			FAULT(c, at, "\"autogroup:self\" not valid on the src side of a rule: it means the nodes of the source's own user");
		else
			FAULT(c, at, "invalid %s \"%s\": it cannot stand here", where, s.name);
		return NULL;
	}
	size_t before = c->p->n_sels;
	err e = c->n_ranges + s.n_ranges > RANGES_ALL_MAX ? ERR_TOO_BIG : policy_intern(c->p, &c->known, &s, &known);
	if (c->p->n_sels > before)
		c->n_ranges += s.n_ranges;
	if (e == ERR_TOO_BIG && !c->full) {
		FAULT(c, at, "at most %d different sources and destinations, and %d ranges in all ipsets that are used", SELS_MAX, RANGES_ALL_MAX);
		c->full = true;
	}
	c->no_memory |= e == ERR_NOMEM;
	return known;
}

bool check_sels(struct check *c, const struct syntax *list, unsigned takes, const char *where, uint32_t **out, size_t *n)
{
	*out = NULL;
	*n = 0;
	if (list->kind == SYNTAX_NULL) /* as good as [] */
		return true;
	if (list->kind != SYNTAX_LIST) {
		FAULT(c, list, "%s must be a list, as in [\"tag:web\"]", where);
		return false;
	}
	uint32_t *ids = check_array(c, list->n, sizeof *ids);
	for (const struct syntax *v = list->first; ids && v; v = v->next) {
		if (!is_kind(c, v, SYNTAX_STRING, "expected a text in double quotes"))
			continue;
		const struct sel *s = check_sel(c, v, v->text, takes, where);
		if (s)
			ids[(*n)++] = s->id;
	}
	*out = ids;
	return ids != NULL;
}

/* ---- sets ---- */

struct known_set {
	struct class_key key;
	uint32_t number;
};

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool grow_sets(struct check *c)
{
	struct policy *p = c->p;

	if (p->n_sets & (p->n_sets - 1))
		return true; /* full at each power of two */
	struct sel_set *grown = check_array(c, p->n_sets ? 2 * p->n_sets : 1, sizeof *grown);
	if (!grown)
		return false;
	for (size_t i = 0; i < p->n_sets; i++)
		grown[i] = p->set[i];
	p->set = grown;
	return true;
}

uint32_t check_set(struct check *c, const uint32_t *sel, size_t n, uint64_t postures)
{
	struct policy *p = c->p;
	uint32_t *list = check_array(c, n, sizeof *list);
	size_t k = 0;

	if (!list)
		return UINT32_MAX;
	for (size_t i = 0; i < n; i++)
		list[i] = sel[i];
	if (n)
		qsort(list, n, sizeof *list, by_number);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || list[i] != list[i - 1])
			list[k++] = list[i];
	struct class_key key = { map_hash(list, k * sizeof *list), 0 };
	const uint64_t again[] = { key.a, postures, k, k ? list[k - 1] : 0 };
	key.b = map_hash(again, sizeof again);

	const struct known_set *was = map_get(&c->sets, &key);
	if (was)
		return was->number;
	struct known_set *made = arena_alloc(c->arena, sizeof *made);
	if (!made || !grow_sets(c)) {
		c->no_memory = true;
		return UINT32_MAX;
	}
	*made = (struct known_set){ key, (uint32_t)p->n_sets };
	struct sel_set *s = &p->set[p->n_sets++];
	*s = (struct sel_set){ .sel = list, .n = k, .postures = postures };
	for (size_t i = 0; i < k; i++) {
		s->any |= p->sel[list[i]]->kind == SEL_ANY;
		s->danger |= p->sel[list[i]]->kind == SEL_DANGER;
	}
	c->no_memory |= map_put(&c->sets, made) != OK;
	return made->number;
}

/* ---- the whole ---- */

static const char *const sections[] = {
	"acls", "grants", "groups", "hosts", "ipsets", "tagOwners", "autoApprovers", "ssh", "nodeAttrs", "postures",
	"defaultSrcPosture", "tests", "sshTests", "randomizeClientPort", "OneCGNATRoute", "disableIPv4", "derpMap",
	"extraDNSRecords", NULL,
};

static void check_switch(struct check *c, const struct syntax *root, const char *name, bool *out)
{
	const struct syntax *v = check_get(root, name);

	if (v && v->kind != SYNTAX_BOOL)
		FAULT(c, v, "%s is true or false", name);
	else if (v)
		*out = v->truth;
}

static void check_cgnat(struct check *c, const struct syntax *root)
{
	const struct syntax *v = check_get(root, "OneCGNATRoute");

	if (!v || (v->kind == SYNTAX_STRING && !*v->text))
		return;
	if (v->kind == SYNTAX_STRING && strcmp(v->text, "mac-always") == 0)
		c->p->one_cgnat = 1;
	else if (v->kind == SYNTAX_STRING && strcmp(v->text, "mac-never") == 0)
		c->p->one_cgnat = -1;
	else
		FAULT(c, v, "OneCGNATRoute is \"\", \"mac-always\" or \"mac-never\"");
}

static const char *text_of(const struct syntax *v)
{
	return v && v->kind == SYNTAX_STRING ? v->text : "";
}

static void check_dns_records(struct check *c, const struct syntax *v)
{
	static const char *const known[] = { "Name", "Type", "Value", NULL };
	struct dns_record *list;
	char why[200];

	if (!is_kind(c, v, SYNTAX_LIST, "extraDNSRecords is a list: [{\"Name\": \"nas.example\", \"Value\": \"100.64.0.9\"}]"))
		return;
	if (v->n > EXTRA_RECORDS_MAX) {
		FAULT(c, v, "at most %d records in extraDNSRecords", EXTRA_RECORDS_MAX);
		return;
	}
	list = check_array(c, v->n + 1, sizeof *list);
	for (const struct syntax *e = v->first; list && e; e = e->next) {
		if (!is_kind(c, e, SYNTAX_OBJECT, "a record is an object with Name and Value"))
			continue;
		check_fields(c, e, known, " in extraDNSRecords");
		struct dns_record r = { text_of(check_get(e, "Name")), text_of(check_get(e, "Type")), text_of(check_get(e, "Value")) };
		err ok = dns_record_check(&r, c->arena, why, sizeof why);
		c->no_memory |= ok == ERR_NOMEM;
		if (ok == ERR_INVALID)
			FAULT(c, e, "extraDNSRecords: %s", why);
		else if (ok == OK)
			list[c->p->n_dns_records++] = r;
	}
	c->p->dns_record = list;
}

static void check_relay(struct check *c, const struct syntax *n, const struct syntax *region)
{
	const struct syntax *host = n->kind == SYNTAX_OBJECT ? check_get(n, "HostName") : NULL, *at = n->kind == SYNTAX_OBJECT ? check_get(n, "RegionID") : NULL;

	if (!host || host->kind != SYNTAX_STRING || !*host->text)
		FAULT(c, n, "a relay of derpMap has a HostName: {\"Name\": \"1\", \"RegionID\": %s, \"HostName\": \"derp.example.com\"}", region->key);
	else if (at && (at->kind != SYNTAX_NUMBER || strcmp(at->text, region->key) != 0))
		FAULT(c, at, "this relay stands in region %s, but its RegionID is another", region->key);
}

static void check_region(struct check *c, const struct syntax *r)
{
	uint64_t id;

	if (bytes_parse_u64(bytes_str(r->key), INT32_MAX, &id) != OK || id == 0)
		KEY_FAULT(c, r, "derpMap: \"%s\" is no number of a region", r->key);
	if (r->kind == SYNTAX_NULL) /* takes the region out */
		return;
	if (!is_kind(c, r, SYNTAX_OBJECT, "a region is an object, or null to leave it out"))
		return;
	const struct syntax *nodes = check_get(r, "Nodes"), *number = check_get(r, "RegionID");
	if (number && (number->kind != SYNTAX_NUMBER || strcmp(number->text, r->key) != 0))
		FAULT(c, number, "RegionID must be %s, as the region's key", r->key);
	if (!nodes || nodes->kind != SYNTAX_LIST || !nodes->n) {
		FAULT(c, nodes ? nodes : r, "a region of derpMap has Nodes, a list of relays");
		return;
	}
	for (const struct syntax *n = nodes->first; n; n = n->next)
		check_relay(c, n, r);
}

static void check_derp_map(struct check *c, const struct syntax *v)
{
	static const char *const known[] = { "OmitDefaultRegions", "Regions", "HomeParams", NULL };
	struct buf text = buf_make(POLICY_TEXT_MAX);
	struct jsonw w = jsonw_init(&text);

	if (!is_kind(c, v, SYNTAX_OBJECT, "derpMap is an object: {\"Regions\": {\"900\": {…}}}"))
		return;
	check_fields(c, v, known, " in derpMap");
	const struct syntax *regions = check_get(v, "Regions"), *omit = check_get(v, "OmitDefaultRegions");
	if (omit)
		is_kind(c, omit, SYNTAX_BOOL, "OmitDefaultRegions is true or false");
	if (regions && regions->n > DERP_REGIONS_MAX)
		FAULT(c, regions, "at most %d regions", DERP_REGIONS_MAX);
	else if (regions && is_kind(c, regions, SYNTAX_OBJECT, "Regions is an object: {\"900\": {…}, \"1\": null}"))
		for (const struct syntax *r = regions->first; r; r = r->next)
			check_region(c, r);
	syntax_write(v, &w);
	c->no_memory |= text.bad;
	if (!text.bad) {
		const char *copy = check_text(c, buf_view(&text));
		c->p->derp_map = copy ? bytes_str(copy) : (struct bytes){ 0 };
	}
	buf_done(&text);
}

static void check_all(struct check *c, const struct syntax *root)
{
	const struct syntax *v;

	check_fields(c, root, sections, "");
	if ((v = check_get(root, "extraDNSRecords")))
		check_dns_records(c, v);
	c->owners = check_get(root, "tagOwners");
	if (c->owners && !is_kind(c, c->owners, SYNTAX_OBJECT, "tagOwners is an object: {\"tag:name\": [\"user@\", …]}"))
		c->owners = NULL;
	if ((v = check_get(root, "groups")))
		check_groups(c, v);
	if ((v = check_get(root, "hosts")))
		check_hosts(c, v);
	c->p->hosts = c->hosts;
	if ((v = check_get(root, "ipsets")))
		check_ipsets(c, v);
	if (c->owners)
		check_owners(c, c->owners);
	if ((v = check_get(root, "autoApprovers")))
		check_approvers(c, v);
	if ((v = check_get(root, "postures")))
		check_postures(c, v);
	if ((v = check_get(root, "defaultSrcPosture")))
		c->default_postures = check_posture_names(c, v);
	if ((v = check_get(root, "derpMap")))
		check_derp_map(c, v);
	check_rules(c, check_get(root, "grants"), check_get(root, "acls"));
	if ((v = check_get(root, "ssh")))
		check_ssh(c, v);
	if ((v = check_get(root, "nodeAttrs")))
		check_attrs(c, v);
	if ((v = check_get(root, "tests")))
		check_tests(c, v);
	if ((v = check_get(root, "sshTests")))
		check_ssh_tests(c, v);
	check_switch(c, root, "randomizeClientPort", &c->p->randomize_port);
	check_switch(c, root, "disableIPv4", &c->p->disable_ipv4);
	check_cgnat(c, root);
}

static void unrefp(struct policy **p)
{
	policy_unref(*p);
}

err policy_parse(struct bytes text, struct policy **out, struct policy_faults *faults)
{
	return policy_parse_with(text, NULL, out, faults);
}

/* lenient: faults are no reason to give up. */
static err parse(struct bytes text, const struct policy_services *services, bool lenient, struct policy **out, struct policy_faults *faults)
{
	CLEANUP(unrefp) struct policy *p = calloc(1, sizeof *p);
	struct syntax *root;

	faults->n = 0;
	if (!p)
		return ERR_NOMEM;
	atomic_init(&p->refs, 1);
	p->arena = arena_make(ARENA_MAX);
	struct check c = { .p = p, .arena = &p->arena, .faults = faults, .services = services, .known = MAP_OF(struct known_set, key),
			   .sets = MAP_OF(struct known_set, key), .attr_names = MAP_OF(struct known_set, key) };

	if (text.n > POLICY_TEXT_MAX) {
		fault_at(&c, 0, 0, "the policy has more than %d bytes", POLICY_TEXT_MAX);
		return ERR_INVALID;
	}
	err e = syntax_parse(text, &p->arena, &root, &faults->fault[0]);
	if (e == ERR_INVALID)
		faults->n = 1;
	TRY(e);
	if (!is_kind(&c, root, SYNTAX_OBJECT, "a policy is an object: { … }")) {
		policy_faults_locate(text, faults);
		return ERR_INVALID;
	}
	check_all(&c, root);
	policy_faults_locate(text, faults);
	map_done(&c.known);
	map_done(&c.sets);
	map_done(&c.attr_names);
	if (faults->n && (!lenient || c.full))
		return ERR_INVALID;
	if (c.no_memory)
		return ERR_NOMEM;
	p->root = root;
	TRY(policy_finish(p));
	*out = MOVE(p);
	return OK;
}

err policy_parse_with(struct bytes text, const struct policy_services *services, struct policy **out, struct policy_faults *faults)
{
	return parse(text, services, false, out, faults);
}

err policy_parse_leniently(struct bytes text, const struct policy_services *services, struct policy **out, struct policy_faults *faults)
{
	return parse(text, services, true, out, faults);
}
