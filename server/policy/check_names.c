#include <stdlib.h>

#include "server/policy/check.h"

/* ---- groups ---- */

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
	g->members = check_array(c, v->n, sizeof *g->members);
	for (const struct syntax *m = v->first; g->members && m; m = m->next) {
		if (!is_kind(c, m, SYNTAX_STRING, "expected a user in double quotes"))
			continue;
		if (starts_with(m->text, "group:"))
			FAULT(c, m, "groups[\"%s\"]: \"%s\": groups cannot contain groups: group members cannot be recursive, name the users",
			      v->key, m->text);
		else if (starts_with(m->text, IDP_PREFIX) && m->text[sizeof IDP_PREFIX - 1])
			g->members[g->n++] = m->text;
		else if (!strchr(m->text, '@'))
			FAULT(c, m, "groups[\"%s\"]: \"%s\" is no user: write \"%s@\" or an e-mail address", v->key, m->text, m->text);
		else
			g->members[g->n++] = m->text;
		g->domains |= starts_with(m->text, "user:*@");
	}
}

void check_groups(struct check *c, const struct syntax *v)
{
	if (!is_kind(c, v, SYNTAX_OBJECT, "groups is an object: {\"group:name\": [\"user@\", …]}"))
		return;
	c->groups = v;
	c->p->group = check_array(c, v->n, sizeof *c->p->group);
	for (const struct syntax *g = v->first; c->p->group && g; g = g->next)
		check_group(c, g, &c->p->group[c->p->n_groups++]);
}

/* ---- hosts ---- */

void check_hosts(struct check *c, const struct syntax *v)
{
	struct range r;

	if (!is_kind(c, v, SYNTAX_OBJECT, "hosts is an object: {\"name\": \"100.64.0.1\"}"))
		return;
	c->hosts = v;
	for (const struct syntax *h = v->first; h; h = h->next) {
		if (!is_kind(c, h, SYNTAX_STRING, "expected an address or a range such as \"10.0.0.0/8\""))
			continue;
		if (range_parse(bytes_str(h->text), &r) != OK)
			FAULT(c, h, "hosts[\"%s\"]: \"%s\" is no address and no range such as 10.0.0.0/8", h->key, h->text);
		if (strchr(h->key, '@') || strchr(h->key, ':') || strcmp(h->key, "*") == 0 || !*h->key)
			KEY_FAULT(c, h, "a host's name has no @ and no colon, and is not *");
	}
}

/* ---- ipsets ---- */

enum { IPSET_DEPTH_MAX = 16 };

static struct bytes after_word(struct bytes text, const char *word)
{
	return bytes_has_prefix(text, bytes_str(word)) ? bytes_trim(bytes_skip(text, strlen(word))) : (struct bytes){ 0 };
}

/* One entry without its verb: a range, "host:name" or "ipset:name". Owned by the arena. */
static bool entry_ranges(struct check *c, const struct syntax *at, struct bytes text, struct range **out, size_t *n)
{
	char hint[HINT_MAX];
	struct range *one = check_array(c, 1, sizeof *one);
	const char *name = check_text(c, text);

	if (!one || !name)
		return false;
	*n = 1;
	*out = one;
	if (starts_with(name, "ipset:")) {
		const struct syntax *set = c->ipsets ? syntax_get(c->ipsets, name) : NULL;

		if (set)
			return ipset_ranges(c, set, out, n);
		FAULT(c, at, "ipset not found: \"%s\"%s", name, hint_key(c, c->ipsets, name, hint));
		return false;
	}
	const char *bare = starts_with(name, "host:") ? name + 5 : name;
	const struct syntax *host = c->hosts ? syntax_get(c->hosts, bare) : NULL;
	if (range_parse(bytes_str(host && host->kind == SYNTAX_STRING ? host->text : bare), one) == OK)
		return true;
	FAULT(c, at, "\"%s\" is no address, range, host or ipset%s; write \"add …\" or \"remove …\" before one", name,
	      hint_key(c, c->hosts, bare, hint));
	return false;
}

static bool add_entry(struct check *c, const struct syntax *v, struct range *list, size_t *n)
{
	struct bytes text = bytes_trim(bytes_str(v->text)), what = after_word(text, "add "), less = after_word(text, "remove ");
	struct range *more;
	size_t k;

	if (!entry_ranges(c, v, less.n ? less : what.n ? what : text, &more, &k))
		return false;
	if (less.n || *n + k + 1 > RANGES_MAX)
		ranges_tidy(list, n);
	if (*n + k + 1 > RANGES_MAX) {
		FAULT(c, v, "an ipset has at most %d ranges", RANGES_MAX);
		return false;
	}
	for (size_t i = 0; i < k && !less.n; i++)
		list[(*n)++] = more[i];
	for (size_t i = 0; i < k && less.n; i++) {
		ranges_cut(list, n, more[i]);
		if (*n + 1 >= RANGES_MAX) {
			FAULT(c, v, "an ipset has at most %d ranges", RANGES_MAX);
			return false;
		}
	}
	return true;
}

bool ipset_ranges(struct check *c, const struct syntax *set, struct range **out, size_t *n)
{
	struct range *all;
	struct known_ipset *known = set->place < c->n_ipsets ? &c->ipset[set->place] : NULL;

	if (set->kind != SYNTAX_LIST || !known)
		return false;
	if (known->done) {
		*out = known->list;
		*n = known->n;
		return known->list != NULL;
	}
	if (c->ipset_depth == IPSET_DEPTH_MAX) {
		FAULT(c, set, "ipsets[\"%s\"]: ipsets contain each other, or are nested deeper than %d", set->key, IPSET_DEPTH_MAX);
		return false;
	}
	all = calloc(RANGES_MAX, sizeof *all);
	if (!all) {
		c->no_memory = true;
		return false;
	}
	bool good = true;
	size_t k = 0;
	c->ipset_depth++;
	for (const struct syntax *v = set->first; good && v; v = v->next)
		good = v->kind == SYNTAX_STRING && add_entry(c, v, all, &k);
	c->ipset_depth--;
	ranges_tidy(all, &k);
	struct range *kept = good ? check_array(c, k, sizeof *kept) : NULL;
	for (size_t i = 0; kept && i < k; i++)
		kept[i] = all[i];
	free(all);
	*known = (struct known_ipset){ true, kept, k }; /* a faulty one is not looked at again: the policy is refused */
	*out = kept;
	*n = k;
	return kept != NULL;
}

void check_ipsets(struct check *c, const struct syntax *v)
{
	if (!is_kind(c, v, SYNTAX_OBJECT, "ipsets is an object: {\"ipset:name\": [\"10.0.0.0/8\", \"remove 10.1.0.0/16\"]}"))
		return;
	c->ipsets = v;
	c->ipset = check_array(c, v->n, sizeof *c->ipset);
	c->n_ipsets = c->ipset ? v->n : 0;
	for (const struct syntax *s = v->first; s; s = s->next) {
		struct range *list;
		size_t n;

		if (!starts_with(s->key, "ipset:") || !s->key[6])
			KEY_FAULT(c, s, "an ipset's name begins with ipset:, as in \"ipset:prod\"");
		if (!is_kind(c, s, SYNTAX_LIST, "expected a list of ranges, hosts and ipsets"))
			continue;
		for (const struct syntax *e = s->first; e; e = e->next)
			is_kind(c, e, SYNTAX_STRING, "expected a text in double quotes");
		ipset_ranges(c, s, &list, &n); /* for its faults */
	}
}

/* ---- tagOwners, autoApprovers ---- */

enum { TAKES_PEOPLE = TAKES_USER | TAKES_GROUP | TAKES_TAG | TAKES_MEMBER | TAKES_ROLE | TAKES_DOMAIN };

static bool is_letter(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

static void check_tag_name(struct check *c, const struct syntax *t)
{
	if (!starts_with(t->key, "tag:")) {
		KEY_FAULT(c, t, "tagOwners[\"%s\"]: a tag begins with tag:, as in \"tag:%s\"", t->key, t->key);
		return;
	}
	if (!is_letter(t->key[4])) {
		KEY_FAULT(c, t, "tagOwners[\"%s\"]: tag names must start with a letter, after 'tag:'", t->key);
		return;
	}
	for (const char *at = t->key + 4; *at; at++)
		if (!is_letter(*at) && !(*at >= '0' && *at <= '9') && *at != '-') {
			KEY_FAULT(c, t, "tagOwners[\"%s\"]: tag names have only letters, digits and -", t->key);
			return;
		}
}

void check_owners(struct check *c, const struct syntax *v)
{
	c->p->owner = check_array(c, v->n, sizeof *c->p->owner);
	for (const struct syntax *t = v->first; c->p->owner && t; t = t->next) {
		struct tag_owner *o = &c->p->owner[c->p->n_owners++];

		o->tag = t->key;
		check_tag_name(c, t);
		check_sels(c, t, TAKES_PEOPLE, "tag owner", &o->owner, &o->n);
	}
}

static void check_route_approvers(struct check *c, const struct syntax *v)
{
	struct prefix p;

	if (!is_kind(c, v, SYNTAX_OBJECT, "routes is an object: {\"10.0.0.0/8\": [\"tag:router\"]}"))
		return;
	for (const struct syntax *r = v->first; r; r = r->next) {
		struct approver *a = &c->p->approver[c->p->n_approvers];

		if (prefix_parse(bytes_str(r->key), &p) != OK) {
			KEY_FAULT(c, r, "autoApprovers: \"%s\" is no range such as 10.0.0.0/8", r->key);
			continue;
		}
		a->route = prefix_mask(p);
		c->p->n_approvers++;
		if (r->kind == SYNTAX_LIST && (c->n_who += r->n) > APPROVERS_WHO_MAX) {
			FAULT(c, r, "at most %d names in autoApprovers: use groups and tags", APPROVERS_WHO_MAX);
			return;
		}
		check_sels(c, r, TAKES_PEOPLE, "approver", &a->who, &a->n);
	}
}

static void check_service_approvers(struct check *c, const struct syntax *v)
{
	if (!is_kind(c, v, SYNTAX_OBJECT, "services is an object: {\"svc:web\": [\"tag:web\"]}"))
		return;
	for (const struct syntax *s = v->first; s; s = s->next) {
		struct approver *a = &c->p->approver[c->p->n_approvers];

		if (!check_is_service(s->key) && !starts_with(s->key, "tag:")) {
			KEY_FAULT(c, s, "autoApprovers: \"%s\" is no service such as svc:web, and no tag of services", s->key);
			continue;
		}
		a->service = s->key;
		c->p->n_approvers++;
		check_sels(c, s, TAKES_PEOPLE, "approver", &a->who, &a->n);
	}
}

void check_approvers(struct check *c, const struct syntax *v)
{
	static const char *const known[] = { "routes", "exitNode", "services", NULL };

	if (!is_kind(c, v, SYNTAX_OBJECT, "autoApprovers is an object with routes and exitNode"))
		return;
	const struct syntax *routes = check_get(v, "routes"), *exits = check_get(v, "exitNode"), *services = check_get(v, "services");

	check_fields(c, v, known, " in autoApprovers");
	if (routes && routes->n > APPROVERS_MAX) {
		FAULT(c, routes, "at most %d ranges in autoApprovers", APPROVERS_MAX);
		return;
	}
	if (services && services->n > APPROVERS_MAX) {
		FAULT(c, services, "at most %d services in autoApprovers", APPROVERS_MAX);
		return;
	}
	c->p->approver = check_array(c, (routes ? routes->n : 0) + (services ? services->n : 0) + 1, sizeof *c->p->approver);
	if (!c->p->approver)
		return;
	if (routes)
		check_route_approvers(c, routes);
	if (services)
		check_service_approvers(c, services);
	if (exits) {
		struct approver *a = &c->p->approver[c->p->n_approvers++];

		a->exit = true;
		check_sels(c, exits, TAKES_PEOPLE, "approver", &a->who, &a->n);
	}
}
