#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/bunch.h"

/* What a person calls a bunch of machines: the selector of the policy that means exactly these, or a few that together do, and
 * people and tags for the rest. */

enum { NAMES_SHOWN = 3, EXAMPLES_SHOWN = 3, NAMES_MAX = 64 };

err namer_make(const struct policy_world *w, const struct kinds *k, bool is, struct namer *out)
{
	size_t sels = w->view->p->n_sels + 1;

	*out = (struct namer){ .w = w, .kinds = k, .is = is };
	out->total = calloc(sels, sizeof *out->total);
	out->count = calloc(sels, sizeof *out->count);
	out->touched = calloc(sels, sizeof *out->touched);
	out->user_total = calloc(k->n_users + 1, sizeof *out->user_total);
	out->user_count = calloc(k->n_users + 1, sizeof *out->user_count);
	out->covered = calloc(k->n + 1, sizeof *out->covered);
	if (!out->total || !out->count || !out->touched || !out->user_total || !out->user_count || !out->covered)
		return ERR_NOMEM;
	for (size_t i = 0; i < k->n; i++) {
		const struct policy_class *c = w->view->cls[is ? k->k[i].is : k->k[i].was];

		for (size_t s = 0; s < c->n_who; s++)
			out->total[c->by_who[s]] += k->k[i].n;
		for (size_t n = 0; n < k->k[i].n; n++)
			out->user_total[k->user[k->node[k->k[i].first + n]]]++;
	}
	return OK;
}

void namer_done(struct namer *n)
{
	free(n->total);
	free(n->count);
	free(n->touched);
	free(n->user_total);
	free(n->user_count);
	free(n->covered);
	*n = (struct namer){ 0 };
}

const char *sel_kind_name(const struct sel *s)
{
	struct addr a;

	switch (s->kind) {
	case SEL_ANY:
	case SEL_DANGER:
		return "any";
	case SEL_USER:
		return "user";
	case SEL_GROUP:
		return "group";
	case SEL_TAG:
		return "tag";
	case SEL_RANGES:
		return addr_parse(bytes_str(s->name), &a) == OK || strpbrk(s->name, "/.:") ? "range" : "host";
	case SEL_MEMBER:
	case SEL_TAGGED:
	case SEL_ROLE:
	case SEL_SHARED:
		return "autogroup";
	case SEL_SELF:
		return "self";
	case SEL_INTERNET:
		return "internet";
	case SEL_DOMAIN:
		return "domain";
	}
	return "any";
}

struct name {
	const char *kind, *text;
};

struct names {
	struct name name[NAMES_MAX];
	size_t n, more;
};

static void add_name(struct names *x, const char *kind, const char *text)
{
	if (x->n < NAMES_MAX)
		x->name[x->n++] = (struct name){ kind, text };
	else
		x->more++;
}

struct tally {
	size_t machines, people;
	const char *example[EXAMPLES_SHOWN]; /* the first by name */
	int64_t id[EXAMPLES_SHOWN];
	size_t n_examples;
	uint32_t user; /* of the last person */
};

static void take_example(struct tally *t, const struct policy_named *n)
{
	size_t at = t->n_examples;

	while (at && strcmp(n->name, t->example[at - 1]) < 0)
		at--;
	if (at == EXAMPLES_SHOWN)
		return;
	if (t->n_examples < EXAMPLES_SHOWN)
		t->n_examples++;
	for (size_t i = t->n_examples - 1; i > at; i--) {
		t->example[i] = t->example[i - 1];
		t->id[i] = t->id[i - 1];
	}
	t->example[at] = n->name;
	t->id[at] = n->node->id;
}

static const struct policy_class *class_of(const struct namer *n, uint32_t kind)
{
	return n->w->view->cls[n->is ? n->kinds->k[kind].is : n->kinds->k[kind].was];
}

static void count(struct namer *n, const uint32_t *kind, size_t n_kinds, struct tally *t)
{
	n->n_touched = 0;
	for (size_t i = 0; i < n_kinds; i++) {
		const struct kind *k = &n->kinds->k[kind[i]];
		const struct policy_class *c = class_of(n, kind[i]);

		n->covered[kind[i]] = false;
		for (size_t s = 0; s < c->n_who; s++) {
			if (!n->count[c->by_who[s]])
				n->touched[n->n_touched++] = c->by_who[s];
			n->count[c->by_who[s]] += k->n;
		}
		for (size_t m = 0; m < k->n; m++) {
			uint32_t place = n->kinds->node[k->first + m], user = n->kinds->user[place];

			t->people += user && !n->user_count[user];
			t->user = user ? user : t->user;
			n->user_count[user]++;
			t->machines++;
			take_example(t, &n->w->node[place]);
		}
	}
}

static void uncount(struct namer *n, const uint32_t *kind, size_t n_kinds)
{
	for (size_t i = 0; i < n->n_touched; i++)
		n->count[n->touched[i]] = 0;
	for (size_t i = 0; i < n_kinds; i++)
		for (size_t m = 0; m < n->kinds->k[kind[i]].n; m++)
			n->user_count[n->kinds->user[n->kinds->node[n->kinds->k[kind[i]].first + m]]] = 0;
}

/* The smaller the better as a name. */
static int rank_of(const struct sel *s)
{
	switch (s->kind) {
	case SEL_TAG:
		return 1;
	case SEL_GROUP:
		return 2;
	case SEL_USER:
		return 3;
	case SEL_RANGES:
		return 5;
	case SEL_DOMAIN:
		return 6;
	case SEL_ROLE:
		return 7;
	case SEL_MEMBER:
	case SEL_TAGGED:
		return 8;
	case SEL_ANY:
		return 9;
	case SEL_DANGER:
	case SEL_SELF:
	case SEL_INTERNET:
	case SEL_SHARED:
		return 100;
	}
	return 100;
}

static const struct policy_named *node_of_user(const struct namer *n, const uint32_t *kind, size_t n_kinds, uint32_t user)
{
	for (size_t i = 0; i < n_kinds; i++)
		for (size_t m = 0; m < n->kinds->k[kind[i]].n; m++) {
			uint32_t place = n->kinds->node[n->kinds->k[kind[i]].first + m];

			if (n->kinds->user[place] == user)
				return &n->w->node[place];
		}
	return NULL;
}

/* One name that means exactly these. */
static bool name_exactly(struct namer *n, const uint32_t *kind, size_t n_kinds, const struct tally *t, struct names *out)
{
	const struct policy *p = n->w->view->p;
	const struct sel *best = NULL;
	bool one = t->people == 1 && !n->user_count[0] && n->user_count[t->user] == n->user_total[t->user];

	for (size_t i = 0; i < n->n_touched; i++) {
		const struct sel *s = p->sel[n->touched[i]];

		if (n->count[s->id] == t->machines && n->total[s->id] == t->machines && rank_of(s) < 100 &&
		    (!best || rank_of(s) < rank_of(best) || (rank_of(s) == rank_of(best) && s->id < best->id)))
			best = s;
	}
	if (one && (!best || rank_of(best) > 2)) {
		const struct policy_named *x = node_of_user(n, kind, n_kinds, t->user);

		add_name(out, "user", x ? x->node->user->login : "");
		return true;
	}
	if (best)
		add_name(out, sel_kind_name(best), best->name);
	else if (t->machines == n->w->n)
		add_name(out, "any", "*");
	else if (!n->user_count[0] && t->machines == n->w->n - n->user_total[0])
		add_name(out, "autogroup", "autogroup:member");
	else if (n->user_count[0] == t->machines && t->machines == n->user_total[0])
		add_name(out, "autogroup", "autogroup:tagged");
	return out->n > 0;
}

struct choice {
	const struct sel *sel;
	uint32_t n;
};

static int by_size(const void *a, const void *b)
{
	const struct choice *x = a, *y = b;

	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return (x->sel->id > y->sel->id) - (x->sel->id < y->sel->id);
}

/* Groups and tags that lie in the bunch as a whole, the biggest first, as long as each brings something new. */
static err name_by_groups(struct namer *n, const uint32_t *kind, size_t n_kinds, struct names *out)
{
	const struct policy *p = n->w->view->p;
	CLEANUP(freep) struct choice *list = calloc(n->n_touched + 1, sizeof *list);
	size_t k = 0;

	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < n->n_touched; i++) {
		const struct sel *s = p->sel[n->touched[i]];

		if (rank_of(s) <= 2 && n->count[s->id] == n->total[s->id])
			list[k++] = (struct choice){ s, n->count[s->id] };
	}
	if (k)
		qsort(list, k, sizeof *list, by_size);
	for (size_t i = 0; i < k && out->n < NAMES_MAX; i++) {
		bool fresh = false;

		for (size_t m = 0; m < n_kinds; m++) {
			const struct policy_class *c = class_of(n, kind[m]);

			if (n->covered[kind[m]] || !class_has(c->by_who, c->n_who, list[i].sel->id))
				continue;
			n->covered[kind[m]] = true;
			fresh = true;
		}
		if (fresh)
			add_name(out, sel_kind_name(list[i].sel), list[i].sel->name);
	}
	return OK;
}

/* People and tags of what has no name yet. Too many: "other members", "other tagged machines". */
static void name_rest(struct namer *n, const uint32_t *kind, size_t n_kinds, struct names *out)
{
	const char *user[NAMES_SHOWN], *tag[NAMES_SHOWN];
	size_t users = 0, tags = 0;

	for (size_t i = 0; i < n_kinds; i++)
		for (size_t m = 0; !n->covered[kind[i]] && m < n->kinds->k[kind[i]].n; m++) {
			const struct policy_node *x = n->w->node[n->kinds->node[n->kinds->k[kind[i]].first + m]].node;
			const char *name = x->n_tags ? x->tags[0] : x->user ? x->user->login : "", **list = x->n_tags ? tag : user;
			size_t *many = x->n_tags ? &tags : &users, at = 0;

			while (at < *many && at < NAMES_SHOWN && strcmp(list[at], name) != 0)
				at++;
			if (at < *many && at < NAMES_SHOWN)
				continue;
			if (*many < NAMES_SHOWN)
				list[*many] = name;
			++*many;
		}
	for (size_t i = 0; users <= NAMES_SHOWN && i < users; i++)
		add_name(out, "user", user[i]);
	for (size_t i = 0; tags <= NAMES_SHOWN && i < tags; i++)
		add_name(out, "tag", tag[i]);
	if (users > NAMES_SHOWN)
		add_name(out, "others", "autogroup:member");
	if (tags > NAMES_SHOWN)
		add_name(out, "others", "autogroup:tagged");
}

static void write_names(struct jsonw *w, const struct names *x)
{
	jsonw_key(w, "names"), jsonw_arr(w);
	for (size_t i = 0; i < x->n && i < NAMES_SHOWN; i++) {
		jsonw_obj(w);
		jsonw_key(w, "kind"), jsonw_str(w, x->name[i].kind);
		jsonw_key(w, "name"), jsonw_str(w, x->name[i].text);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
	jsonw_key(w, "more"), jsonw_uint(w, x->more + (x->n > NAMES_SHOWN ? x->n - NAMES_SHOWN : 0));
}

static void write_numbers(struct jsonw *w, size_t people, size_t machines)
{
	jsonw_key(w, "people"), jsonw_uint(w, people);
	jsonw_key(w, "machines"), jsonw_uint(w, machines);
}

static void write_found(struct jsonw *w, const struct names *names, const struct tally *t, const char *key)
{
	char id[24];

	jsonw_key(w, "key"), jsonw_str(w, key);
	write_names(w, names);
	write_numbers(w, t->people, t->machines);
	jsonw_key(w, "examples"), jsonw_arr(w);
	for (size_t i = 0; i < t->n_examples; i++) {
		snprintf(id, sizeof id, "%lld", (long long)t->id[i]);
		jsonw_obj(w);
		jsonw_key(w, "id"), jsonw_str(w, id);
		jsonw_key(w, "name"), jsonw_str(w, t->example[i]);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

void write_party_members(struct jsonw *w, struct namer *n, const uint32_t *kind, size_t n_kinds, const char *key)
{
	struct names names = { 0 };
	struct tally t = { 0 };

	count(n, kind, n_kinds, &t);
	if (!name_exactly(n, kind, n_kinds, &t, &names)) {
		if (name_by_groups(n, kind, n_kinds, &names) != OK)
			w->out->bad = true;
		name_rest(n, kind, n_kinds, &names);
	}
	uncount(n, kind, n_kinds);
	write_found(w, &names, &t, key);
}

void write_named_members(struct jsonw *w, struct namer *n, const uint32_t *kind, size_t n_kinds, const char *name_kind, const char *name)
{
	const struct names names = { .name = { { name_kind, name } }, .n = 1 };
	struct tally t = { 0 };

	count(n, kind, n_kinds, &t);
	uncount(n, kind, n_kinds);
	write_found(w, &names, &t, name);
}

void write_place_members(struct jsonw *w, const char *kind, const char *name)
{
	const struct names names = { .name = { { kind, name } }, .n = 1 };

	jsonw_key(w, "key"), jsonw_str(w, name);
	write_names(w, &names);
	write_numbers(w, 0, 0);
	jsonw_key(w, "examples"), jsonw_arr(w), jsonw_arr_end(w);
}
