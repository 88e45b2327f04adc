#include "server/policy/rules.h"

#include <ctype.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- small things ---- */

bool ranges_have(const struct sel *s, struct addr a)
{
	for (size_t i = 0; i < s->n_ranges; i++)
		if (range_has(s->ranges[i], a))
			return true;
	return false;
}

bool ranges_meet(const struct sel *s, struct range r)
{
	for (size_t i = 0; i < s->n_ranges; i++)
		if (range_overlaps(s->ranges[i], r))
			return true;
	return false;
}

static struct class_key text_key(unsigned kind, struct bytes text)
{
	struct class_key k = { map_hash(text.p, text.n) ^ kind, 0 };
	const uint64_t again[] = { k.a, kind, text.n, text.n ? map_hash(text.p, text.n - 1) : 0 };

	k.b = map_hash(again, sizeof again);
	return k;
}

/* "Ann@" -> "ann": what a user is looked up by. */
static struct bytes user_form(const char *name, char *out, size_t cap)
{
	size_t n = strlen(name);

	if (n && name[n - 1] == '@')
		n--;
	if (n > cap)
		n = cap; /* no user's name is as long */
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
	return bytes_of(out, n);
}

enum { USER_FORM_MAX = 320 };

/* ---- interning ---- */

struct known_sel {
	struct class_key key;
	const struct sel *sel;
};

err policy_intern(struct policy *p, struct map *known, const struct sel *s, const struct sel **out)
{
	struct class_key key = text_key((unsigned)s->kind, bytes_str(s->name));
	struct known_sel *k = map_get(known, &key);

	if (k) {
		*out = k->sel;
		return OK;
	}
	if (p->n_sels >= SELS_MAX)
		return ERR_TOO_BIG;
	if ((p->n_sels & (p->n_sels - 1)) == 0) { /* full at each power of two */
		struct sel **grown = arena_array(&p->arena, p->n_sels ? 2 * p->n_sels : 1, sizeof *grown);

		if (!grown)
			return ERR_NOMEM;
		for (size_t i = 0; i < p->n_sels; i++)
			grown[i] = p->sel[i];
		p->sel = grown;
	}
	struct sel *made = arena_alloc(&p->arena, sizeof *made);
	k = arena_alloc(&p->arena, sizeof *k);
	if (!made || !k)
		return ERR_NOMEM;
	*made = *s;
	made->id = (uint32_t)p->n_sels;
	*k = (struct known_sel){ key, made };
	TRY(map_put(known, k));
	p->sel[p->n_sels++] = made;
	*out = made;
	return OK;
}

/* ---- the index: from a node's facts to selectors ---- */

struct entry {
	struct class_key key;
	uint32_t *sel;
	uint32_t n, cap;
};

/* Ranges of more than one address, by their first; reach is the largest last of this one and all before it, so that a
 * look-up walks down only as far as something can still hold the address. */
struct wide {
	struct range range;
	struct addr reach;
	uint32_t sel;
};

struct sel_index {
	struct map tags, users, addrs; /* struct entry */
	struct map owners;	       /* struct entry: the tag's place in policy.owner */
	struct wide *wide, *all; /* all: single addresses, too */
	size_t n_wide, n_all;
	uint32_t *net; /* selectors with a range that lies in the internet: what an exit node carries */
	size_t n_net;
	uint32_t *fixed; /* few: any, danger-all, member, tagged, roles, internet */
	size_t n_fixed;
};

static err index_add(struct policy *p, struct map *m, struct class_key key, uint32_t sel)
{
	struct entry *e = map_get(m, &key);

	if (!e) {
		e = arena_alloc(&p->arena, sizeof *e);
		if (!e)
			return ERR_NOMEM;
		e->key = key;
		TRY(map_put(m, e));
	}
	if (e->n && e->sel[e->n - 1] == sel)
		return OK;
	if (e->n == e->cap) {
		uint32_t cap = e->cap ? 2 * e->cap : 2, *grown = arena_array(&p->arena, cap, sizeof *grown);

		if (!grown)
			return ERR_NOMEM;
		for (uint32_t i = 0; i < e->n; i++)
			grown[i] = e->sel[i];
		e->sel = grown;
		e->cap = cap;
	}
	e->sel[e->n++] = sel;
	return OK;
}

enum { IDP_GROUP_KEY = 1 }; /* beside names, in the table of users */

static err index_user(struct policy *p, const char *name, uint32_t sel)
{
	char form[USER_FORM_MAX];
	struct bytes b = user_form(name, form, sizeof form);

	if (strncmp(name, IDP_PREFIX, sizeof IDP_PREFIX - 1) == 0) /* as the provider writes it, in upper and lower case */
		return index_add(p, &p->index->users, text_key(IDP_GROUP_KEY, bytes_str(name + sizeof IDP_PREFIX - 1)), sel);
	return b.n ? index_add(p, &p->index->users, text_key(0, b), sel) : OK;
}

static struct class_key addr_key(struct addr a)
{
	return text_key(a.family, bytes_of(a.b, sizeof a.b));
}

static bool is_one_address(const struct sel *s)
{
	return s->n_ranges == 1 && addr_eq(s->ranges[0].first, s->ranges[0].last);
}

static err index_sel(struct policy *p, const struct sel *s)
{
	struct sel_index *x = p->index;

	switch (s->kind) {
	case SEL_USER:
		return index_user(p, s->name, s->id);
	case SEL_GROUP:
		for (size_t i = 0; i < s->group->n; i++)
			TRY(index_user(p, s->group->members[i], s->id));
		if (s->group->domains) /* is asked of every node */
			x->fixed[x->n_fixed++] = s->id;
		return OK;
	case SEL_TAG:
		return index_add(p, &x->tags, text_key(0, bytes_str(s->name)), s->id);
	case SEL_RANGES:
		if (is_one_address(s))
			return index_add(p, &x->addrs, addr_key(s->ranges[0].first), s->id);
		for (size_t i = 0; i < s->n_ranges; i++)
			x->wide[x->n_wide++] = (struct wide){ .range = s->ranges[i], .sel = s->id };
		return OK;
	case SEL_ANY:
	case SEL_DANGER:
	case SEL_MEMBER:
	case SEL_TAGGED:
	case SEL_ROLE:
	case SEL_DOMAIN:
		x->fixed[x->n_fixed++] = s->id;
		return OK;
	case SEL_SELF: /* a matter of two nodes */
		p->self = s;
		return OK;
	case SEL_INTERNET: /* of routes */
		p->internet = s;
		return OK;
	case SEL_SHARED: /* of nobody */
		return OK;
	}
	return OK;
}

static int by_first(const void *a, const void *b)
{
	const struct wide *x = a, *y = b;

	return addr_cmp(x->range.first, y->range.first);
}

static void sort_wide(struct wide *list, size_t n)
{
	if (n)
		qsort(list, n, sizeof *list, by_first);
	for (size_t i = 0; i < n; i++) {
		struct addr last = list[i].range.last;

		list[i].reach = i && addr_cmp(list[i - 1].reach, last) > 0 ? list[i - 1].reach : last;
	}
}

static void take_wide(const struct sel_index *x, struct addr a, uint32_t *list, size_t *n, size_t cap)
{
	size_t low = 0, high = x->n_wide;

	while (low < high) { /* low: the first that begins behind the address */
		size_t mid = low + (high - low) / 2;

		if (addr_cmp(x->wide[mid].range.first, a) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	while (low-- > 0 && addr_cmp(x->wide[low].reach, a) >= 0)
		if (range_has(x->wide[low].range, a) && *n < cap)
			list[(*n)++] = x->wide[low].sel;
}

/* ---- rules by selector ---- */

/* Calls add for each (selector, rule) of one side. */
static void each_pair(struct policy *p, bool src, void (*add)(struct sel *s, uint32_t rule, bool src))
{
	for (size_t r = 0; r < p->n_rules; r++) {
		const struct rule *k = &p->rule[r];
		const struct sel_set *set = &p->set[k->src];

		for (size_t i = 0; src && i < set->n; i++)
			add(p->sel[set->sel[i]], (uint32_t)r, src);
		for (size_t d = k->first_dst; !src && d < k->first_dst + k->n_dst; d++)
			add(p->sel[p->dst[d].sel], (uint32_t)r, src);
	}
}

static void count_pair(struct sel *s, uint32_t rule, bool src)
{
	(void)rule;
	if (src)
		s->n_src_rules++;
	else
		s->n_dst_rules++;
}

static void put_pair(struct sel *s, uint32_t rule, bool src)
{
	uint32_t *list = (uint32_t *)(uintptr_t)(src ? s->src_rules : s->dst_rules);
	uint32_t *n = src ? &s->n_src_rules : &s->n_dst_rules;

	if (*n && list[*n - 1] == rule) /* ports apart, the same destination */
		return;
	list[(*n)++] = rule;
}

static err index_rules(struct policy *p)
{
	each_pair(p, true, count_pair);
	each_pair(p, false, count_pair);
	for (size_t i = 0; i < p->n_sels; i++) {
		struct sel *s = p->sel[i];

		s->src_rules = arena_array(&p->arena, s->n_src_rules + 1, sizeof *s->src_rules);
		s->dst_rules = arena_array(&p->arena, s->n_dst_rules + 1, sizeof *s->dst_rules);
		if (!s->src_rules || !s->dst_rules)
			return ERR_NOMEM;
		s->n_src_rules = s->n_dst_rules = 0;
	}
	each_pair(p, true, put_pair);
	each_pair(p, false, put_pair);
	return OK;
}

static bool lies_in_internet(const struct sel *s)
{
	size_t n;
	const struct range *net = range_internet(&n);

	for (size_t i = 0; i < s->n_ranges; i++)
		for (size_t k = 0; k < n; k++)
			if (range_covers(net[k], s->ranges[i]))
				return true;
	return false;
}

err policy_finish(struct policy *p)
{
	size_t words = policy_words(p) + 1;

	p->index = arena_alloc(&p->arena, sizeof *p->index);
	p->back_rules = arena_array(&p->arena, words, sizeof *p->back_rules);
	if (!p->index || !p->back_rules)
		return ERR_NOMEM;
	struct sel_index *x = p->index;
	x->tags = x->users = x->addrs = x->owners = MAP_OF(struct entry, key);
	size_t n_ranges = 0;
	for (size_t i = 0; i < p->n_sels; i++)
		n_ranges += p->sel[i]->n_ranges;
	x->wide = arena_array(&p->arena, n_ranges + 1, sizeof *x->wide);
	x->fixed = arena_array(&p->arena, p->n_sels + 1, sizeof *x->fixed);
	x->all = arena_array(&p->arena, n_ranges + 1, sizeof *x->all);
	x->net = arena_array(&p->arena, p->n_sels + 1, sizeof *x->net);
	if (!x->wide || !x->fixed || !x->all || !x->net)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->n_sels; i++)
		TRY(index_sel(p, p->sel[i]));
	for (size_t i = 0; i < p->n_sels; i++) {
		const struct sel *s = p->sel[i];

		for (size_t k = 0; s->kind == SEL_RANGES && k < s->n_ranges; k++)
			x->all[x->n_all++] = (struct wide){ .range = s->ranges[k], .sel = s->id };
		if (s->kind == SEL_RANGES && lies_in_internet(s))
			x->net[x->n_net++] = s->id;
	}
	sort_wide(x->wide, x->n_wide);
	sort_wide(x->all, x->n_all);
	for (size_t i = 0; i < p->n_owners; i++)
		TRY(index_add(p, &x->owners, text_key(0, bytes_str(p->owner[i].tag)), (uint32_t)i));
	TRY(index_rules(p));
	for (size_t r = 0; r < p->n_rules; r++) {
		if (p->rule[r].back_caps)
			bit_set(p->back_rules, r);
		p->needs_user |= p->rule[r].self;
	}
	for (size_t i = 0; i < p->n_ssh; i++)
		p->needs_user |= p->ssh[i].self || p->ssh[i].n_localparts;
	return OK;
}

/* ---- matching ---- */

static bool in_idp_group(const char *group, const struct policy_user *u)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (strcmp(u->groups[i], group) == 0)
			return true;
	return false;
}

bool policy_names_user(const char *name, const struct policy_user *u)
{
	struct bytes want = bytes_str(name);

	if (!u)
		return false;
	if (strncmp(name, IDP_PREFIX, sizeof IDP_PREFIX - 1) == 0)
		return in_idp_group(name + sizeof IDP_PREFIX - 1, u);
	if (want.n && want.p[want.n - 1] == '@')
		want.n--;
	if (!want.n)
		return false;
	return bytes_eq_nocase(want, bytes_str(u->name)) || bytes_eq_nocase(want, bytes_str(u->email)) ||
	       bytes_eq_nocase(want, bytes_str(u->login));
}

static bool has_role(const struct policy_user *u, enum policy_role role)
{
	return u && (u->role == role || (role == POLICY_ROLE_ADMIN && u->role == POLICY_ROLE_OWNER));
}

static bool has_domain(const char *email, const char *domain)
{
	const char *at = strrchr(email, '@');

	return at && bytes_eq_nocase(bytes_str(at + 1), bytes_str(domain));
}

/* "user:*@example.com" */
static bool is_in_domain(const char *member, const struct policy_user *u)
{
	static const char head[] = "user:*@";

	return u && strncmp(member, head, sizeof head - 1) == 0 && has_domain(u->email, member + sizeof head - 1);
}

bool sel_is_user(const struct sel *s, const struct policy_user *u)
{
	switch (s->kind) {
	case SEL_ANY:
	case SEL_DANGER:
	case SEL_MEMBER:
		return u != NULL;
	case SEL_USER:
		return policy_names_user(s->name, u);
	case SEL_GROUP:
		for (size_t i = 0; i < s->group->n; i++)
			if (policy_names_user(s->group->members[i], u) || is_in_domain(s->group->members[i], u))
				return true;
		return false;
	case SEL_ROLE:
		return has_role(u, s->role);
	case SEL_DOMAIN:
		return u && has_domain(u->email, s->name + strlen("user:*@"));
	case SEL_TAG:
	case SEL_RANGES:
	case SEL_TAGGED:
	case SEL_SELF:
	case SEL_INTERNET:
	case SEL_SHARED:
		return false;
	}
	return false;
}

static bool has_tag(const struct policy_node *n, const char *tag)
{
	for (size_t i = 0; i < n->n_tags; i++)
		if (strcmp(n->tags[i], tag) == 0)
			return true;
	return false;
}

bool sel_matches(const struct sel *s, const struct policy_node *n)
{
	switch (s->kind) {
	case SEL_ANY:
	case SEL_DANGER:
		return true;
	case SEL_USER:
	case SEL_GROUP:
	case SEL_MEMBER:
	case SEL_ROLE:
	case SEL_DOMAIN:
		return n->n_tags == 0 && sel_is_user(s, n->user);
	case SEL_SELF:
		return n->n_tags == 0 && n->user != NULL;
	case SEL_TAG:
		return has_tag(n, s->name);
	case SEL_TAGGED:
		return n->n_tags > 0;
	case SEL_RANGES:
		return (n->v4.family && ranges_have(s, n->v4)) || (n->v6.family && ranges_have(s, n->v6));
	case SEL_INTERNET:
	case SEL_SHARED:
		return false;
	}
	return false;
}

static void take(const struct map *m, struct class_key key, uint32_t *list, size_t *n, size_t cap)
{
	const struct entry *e = map_get(m, &key);

	for (uint32_t i = 0; e && i < e->n && *n < cap; i++)
		list[(*n)++] = e->sel[i];
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void tidy(uint32_t *list, size_t *n)
{
	size_t k = 0;

	if (*n < 2)
		return;
	qsort(list, *n, sizeof *list, by_number);
	for (size_t i = 1; i < *n; i++)
		if (list[i] != list[k])
			list[++k] = list[i];
	*n = k + 1;
}

/* Selectors with a range that meets r. Each is there at most once after tidy, so that there is room again. */
static void take_meeting(const struct sel_index *x, struct range r, uint32_t *list, size_t *n, size_t cap)
{
	size_t low = 0, high = x->n_all;

	while (low < high) { /* low: the first that begins behind the range */
		size_t mid = low + (high - low) / 2;

		if (addr_cmp(x->all[mid].range.first, r.last) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	while (low-- > 0 && addr_cmp(x->all[low].reach, r.first) >= 0) {
		if (!range_overlaps(x->all[low].range, r))
			continue;
		if (*n == cap)
			tidy(list, n);
		list[(*n)++] = x->all[low].sel;
	}
}

/* What is behind it. */
static void match_routes(const struct policy *p, const struct policy_node *n, struct facts *f)
{
	size_t cap = policy_match_room(p);

	for (size_t i = 0; i < n->n_routes; i++)
		if (n->routes[i].bits > 0)
			take_meeting(p->index, range_of(n->routes[i]), f->by_route, &f->n_route, cap);
	tidy(f->by_route, &f->n_route);
	for (size_t i = 0; f->exit && i < p->index->n_net; i++)
		f->by_route[f->n_route++] = p->index->net[i];
	tidy(f->by_route, &f->n_route);
}

static void match_user(const struct policy *p, const struct policy_user *u, uint32_t *list, size_t *n, size_t cap)
{
	const char *const names[] = { u->name, u->email, u->login };
	char form[USER_FORM_MAX];

	for (size_t i = 0; i < u->n_groups; i++) {
		size_t before = *n;

		take(&p->index->users, text_key(IDP_GROUP_KEY, bytes_str(u->groups[i])), list, n, cap);
		if (*n != before)
			tidy(list, n); /* so that however many groups there are, there is room */
	}

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct bytes b = bytes_str(names[i]);

		if (b.n && b.n <= sizeof form) {
			for (size_t k = 0; k < b.n; k++)
				form[k] = (char)(b.p[k] >= 'A' && b.p[k] <= 'Z' ? b.p[k] + 32 : b.p[k]);
			take(&p->index->users, text_key(0, bytes_of(form, b.n)), list, n, cap);
		}
	}
}

size_t policy_match_room(const struct policy *p)
{
	return 6 * p->n_sels + 1; /* a user can be found by three names, an address by what holds it */
}

void policy_match(const struct policy *p, const struct policy_node *n, struct facts *f)
{
	const struct sel_index *x = p->index;
	size_t cap = policy_match_room(p);

	*f = (struct facts){ .by_who = f->by_who, .by_route = f->by_route };
	f->connector = n->connector;
	for (size_t i = 0; i < n->n_routes; i++)
		f->exit |= n->routes[i].bits == 0;
	for (size_t i = 0; i < x->n_fixed; i++)
		if (sel_matches(p->sel[x->fixed[i]], n))
			f->by_who[f->n_who++] = x->fixed[i];
	for (size_t i = 0; i < n->n_tags; i++)
		take(&x->tags, text_key(0, bytes_str(n->tags[i])), f->by_who, &f->n_who, cap);
	if (n->n_tags == 0 && n->user)
		match_user(p, n->user, f->by_who, &f->n_who, cap);
	tidy(f->by_who, &f->n_who);
	for (int pass = 0; pass < 2; pass++) {
		struct addr a = pass ? n->v6 : n->v4;

		if (!a.family)
			continue;
		take(&x->addrs, addr_key(a), f->by_who, &f->n_who, cap);
		take_wide(x, a, f->by_who, &f->n_who, cap);
	}
	tidy(f->by_who, &f->n_who);
	match_routes(p, n, f);
	f->postures = p->n_postures ? policy_postures(p, n) : 0;
	f->no_ipv4 = attrs_disable_ipv4(p, f);
}

/* ---- references, owners, approvers ---- */

struct policy *policy_ref(struct policy *p)
{
	if (p)
		atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void policy_unref(struct policy *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct arena a = p->arena;

	if (p->index) {
		map_done(&p->index->tags);
		map_done(&p->index->users);
		map_done(&p->index->addrs);
		map_done(&p->index->owners);
	}
	free(p);
	arena_done(&a);
}

static const struct tag_owner *owner_of(const struct policy *p, const char *tag)
{
	struct class_key key = text_key(0, bytes_str(tag));
	const struct entry *e = map_get(&p->index->owners, &key);

	return e ? &p->owner[e->sel[0]] : NULL;
}

bool policy_has_tag(const struct policy *p, const char *tag)
{
	return owner_of(p, tag) != NULL;
}

struct asker { /* who wants to give a tag */
	const struct policy_user *user;
	const char *const *tags;
	size_t n_tags;
};

static bool is_asker(const struct sel *s, const struct asker *by)
{
	if (by->user && sel_is_user(s, by->user))
		return true;
	for (size_t k = 0; s->kind == SEL_TAG && k < by->n_tags; k++)
		if (strcmp(s->name, by->tags[k]) == 0)
			return true;
	return false;
}

/* An owner of an owner owns, too. Each tag is asked once, so that a ring of owners comes to an end. */
static bool may_tag(const struct policy *p, const char *tag, const struct asker *by)
{
	CLEANUP(freep) uint32_t *todo = calloc(p->n_owners + 1, sizeof *todo);
	CLEANUP(freep) bool *seen = calloc(p->n_owners + 1, sizeof *seen);
	const struct tag_owner *o = owner_of(p, tag);
	size_t n = 0;

	if (!todo || !seen || !o)
		return false;
	todo[n++] = (uint32_t)(o - p->owner);
	seen[todo[0]] = true;
	for (size_t at = 0; at < n; at++) {
		o = &p->owner[todo[at]];
		for (size_t i = 0; i < o->n; i++) {
			const struct sel *s = p->sel[o->owner[i]];
			const struct tag_owner *next = s->kind == SEL_TAG ? owner_of(p, s->name) : NULL;

			if (is_asker(s, by))
				return true;
			if (next && !seen[next - p->owner]) {
				seen[next - p->owner] = true;
				todo[n++] = (uint32_t)(next - p->owner);
			}
		}
	}
	return false;
}

bool policy_may_tag(const struct policy *p, const struct policy_user *user, const char *tag)
{
	return may_tag(p, tag, &(struct asker){ .user = user });
}

bool policy_tags_may_tag(const struct policy *p, const char *const *tags, size_t n_tags, const char *tag)
{
	for (size_t i = 0; i < n_tags; i++)
		if (strcmp(tags[i], tag) == 0)
			return true; /* it has it already */
	return may_tag(p, tag, &(struct asker){ .tags = tags, .n_tags = n_tags });
}

bool policy_approves_route(const struct policy *p, const struct policy_node *n, struct prefix route)
{
	for (size_t i = 0; i < p->n_approvers; i++) {
		const struct approver *a = &p->approver[i];
		/* "0.0.0.0/0" among routes approves every subnet, but no exit node: that is what exitNode is for (the service
		 * does so: conformance/policy routes-ea6, routes-ea10). */
		bool about = a->service ? false : a->exit ? route.bits == 0 : route.bits > 0 && prefix_covers(a->route, route);

		for (size_t k = 0; about && k < a->n; k++)
			if (sel_matches(p->sel[a->who[k]], n))
				return true;
	}
	return false;
}

bool policy_approves_service(const struct policy *p, const struct policy_node *n, const char *name, char *const *tags, size_t n_tags)
{
	for (size_t i = 0; i < p->n_approvers; i++) {
		const struct approver *a = &p->approver[i];
		bool about = a->service && strcmp(a->service, name) == 0;

		for (size_t k = 0; a->service && k < n_tags; k++)
			about |= strcmp(a->service, tags[k]) == 0;
		for (size_t k = 0; about && k < a->n; k++)
			if (sel_matches(p->sel[a->who[k]], n))
				return true;
	}
	return false;
}
