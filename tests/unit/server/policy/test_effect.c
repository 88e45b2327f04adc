/* What a draft gives and takes, and the matrix, beside a second engine that is as dumb as can be: it keeps the rules as they were drawn,
 * and asks every rule about every pair of nodes. Random policies over random tailnets. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"
#include "server/policy/query.h"
#include "tests/lib/test.h"

enum { NODES = 11, RULES = 5, SIDES = 3, ROUNDS = 300 };

static const struct policy_user people[] = {
	{ 1, "ann", "ann@example.com", "ann@example.com", POLICY_ROLE_OWNER, NULL, 0 },
	{ 2, "bob", "bob@example.com", "bob@example.com", POLICY_ROLE_MEMBER, NULL, 0 },
	{ 3, "eve", "eve@other.example", "eve@other.example", POLICY_ROLE_MEMBER, NULL, 0 },
};

enum name { ANY, ANN, BOB, GROUP_G, TAG_A, TAG_B, MEMBER, TAGGED, ADMIN, HOST3, LOW, SELF, LAN, WIDE, INTERNET, NAMES_N };
static const char *const text_of[NAMES_N] = { "*", "ann@example.com", "bob@example.com", "group:g", "tag:a", "tag:b", "autogroup:member",
	"autogroup:tagged", "autogroup:admin", "three", "100.64.0.0/30", "autogroup:self", "10.1.0.0/16", "10.0.0.0/8", "autogroup:internet" };
static const enum name sources[] = { ANY, ANN, BOB, GROUP_G, TAG_A, TAG_B, MEMBER, TAGGED, ADMIN, HOST3, LOW };
static const enum name persons[] = { ANN, BOB, GROUP_G, MEMBER, ADMIN };

/* A bit each: one port of every stretch that the rules below tell apart. */
static const struct {
	int proto;
	unsigned port;
} probe[] = { { 6, 22 }, { 6, 53 }, { 6, 80 }, { 6, 100 }, { 6, 443 }, { 6, 1000 }, { 17, 22 }, { 17, 53 }, { 17, 80 }, { 17, 100 }, { 17, 443 }, { 17, 1000 }, { 1, 0 }, { 58, 0 } };
enum { BITS = 1 << ARRAY_LEN(probe) };
static const struct {
	const char *text;
	unsigned bits;
} ports[] = { { "*", 0x3fff }, { "22", 0x41 }, { "tcp:443", 0x10 }, { "udp:53", 0x80 }, { "tcp:80-500", 0x1c }, { "443", 0x410 }, { "icmp:*", 0x1000 }, { "tcp:*", 0x3f }, { "udp:*", 0xfc0 }, { "80-500", 0x71c } };

struct rule {
	enum name src[SIDES], dst[SIDES];
	unsigned n_src, n_dst, ip[2], n_ip;
};

struct side {
	struct rule rule[RULES];
	size_t n;
	struct policy *p;
	struct policy_view *v;
	struct policy_world w;
	char *text;
};

struct world {
	struct test_rng rng;
	struct policy_node node[NODES];
	struct policy_named named[NODES];
	const char *tags[NODES][2];
	char name[NODES][8];
	struct side was, is;
};

/* ---- the dumb one ---- */

static bool has_tag(const struct policy_node *n, const char *tag)
{
	for (size_t i = 0; i < n->n_tags; i++)
		if (strcmp(n->tags[i], tag) == 0)
			return true;
	return false;
}

static bool is_called(enum name name, const struct policy_node *n)
{
	switch (name) {
	case ANY: return true;
	case ANN: return n->user_id == 1;
	case BOB: return n->user_id == 2;
	case GROUP_G: return n->user_id == 1 || n->user_id == 3;
	case TAG_A: return has_tag(n, "tag:a");
	case TAG_B: return has_tag(n, "tag:b");
	case MEMBER: return n->user_id != 0;
	case TAGGED: return n->user_id == 0;
	case ADMIN: return n->user_id == 1; /* the owner is one */
	case HOST3: return n->id == 3;
	case LOW: return n->id < 4; /* the last byte of its address */
	default: return false;
	}
}

static bool is_src(const struct rule *r, const struct policy_node *n)
{
	for (unsigned i = 0; i < r->n_src; i++)
		if (is_called(r->src[i], n))
			return true;
	return false;
}

static unsigned bits_of(const struct rule *r)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < r->n_ip; i++)
		bits |= ports[r->ip[i]].bits;
	return bits;
}

/* From a to b. own: by autogroup:self alone. */
static unsigned reach(const struct side *s, const struct policy_node *a, const struct policy_node *b, bool with_self)
{
	unsigned bits = 0;

	for (size_t i = 0; i < s->n; i++)
		for (unsigned d = 0; is_src(&s->rule[i], a) && d < s->rule[i].n_dst; d++) {
			enum name to = s->rule[i].dst[d];

			if (to == SELF ? with_self && a->user_id && a->user_id == b->user_id : is_called(to, b))
				bits |= bits_of(&s->rule[i]);
		}
	return bits;
}

/* From a to a place that is no node. */
static unsigned reach_place(const struct side *s, const struct policy_node *a, enum name place)
{
	unsigned bits = 0;

	for (size_t i = 0; i < s->n; i++)
		for (unsigned d = 0; is_src(&s->rule[i], a) && d < s->rule[i].n_dst; d++) {
			enum name to = s->rule[i].dst[d];

			if (to == place || to == ANY || (to == WIDE && place == LAN))
				bits |= bits_of(&s->rule[i]);
		}
	return bits;
}

static bool names_place(const struct side *s, enum name place)
{
	for (size_t i = 0; i < s->n; i++)
		for (unsigned d = 0; d < s->rule[i].n_dst; d++)
			if (s->rule[i].dst[d] == place)
				return true;
	return false;
}

/* ---- random worlds ---- */

static void make_nodes(struct world *w)
{
	for (size_t i = 0; i < NODES; i++) {
		struct policy_node *n = &w->node[i];
		unsigned user = (unsigned)rng_below(&w->rng, 4), tags = 1 + (unsigned)rng_below(&w->rng, 3);

		*n = (struct policy_node){ .id = (int64_t)i + 1, .v4 = addr_v4(100, 64, 0, (uint8_t)(i + 1)), .user_id = user };
		n->user = user ? &people[user - 1] : NULL;
		if (!user) {
			size_t k = 0;

			if (tags & 1)
				w->tags[i][k++] = "tag:a";
			if (tags & 2)
				w->tags[i][k++] = "tag:b";
			n->tags = w->tags[i];
			n->n_tags = k;
		}
		snprintf(w->name[i], sizeof w->name[i], "n%02zu", i + 1);
		w->named[i] = (struct policy_named){ w->name[i], n };
	}
}

static void write_names(struct buf *b, const char *key, const enum name *list, unsigned n)
{
	buf_printf(b, "\"%s\":[", key);
	for (unsigned i = 0; i < n; i++)
		buf_printf(b, "%s\"%s\"", i ? "," : "", text_of[list[i]]);
	buf_append_str(b, "]");
}

static void make_rule(struct world *w, struct rule *r)
{
	bool self = rng_below(&w->rng, 4) == 0;

	*r = (struct rule){ .n_src = 1 + (unsigned)rng_below(&w->rng, SIDES), .n_dst = 1 + (unsigned)rng_below(&w->rng, SIDES),
			    .n_ip = 1 + (unsigned)rng_below(&w->rng, 2) };
	for (unsigned i = 0; i < r->n_src; i++)
		r->src[i] = self ? persons[rng_below(&w->rng, ARRAY_LEN(persons))] : sources[rng_below(&w->rng, ARRAY_LEN(sources))];
	for (unsigned i = 0; i < r->n_dst; i++)
		r->dst[i] = self && i == 0 ? SELF : rng_below(&w->rng, 4) == 0 ? LAN + (enum name)rng_below(&w->rng, 3) :
			    sources[rng_below(&w->rng, ARRAY_LEN(sources))];
	for (unsigned i = 0; i < r->n_ip; i++)
		r->ip[i] = (unsigned)rng_below(&w->rng, ARRAY_LEN(ports));
}

static void finish_side(struct world *w, struct side *s)
{
	struct buf b = buf_make(1 << 16);
	struct policy_faults faults;
	struct policy_changes c = { 0 };
	uint32_t cls;

	buf_append_str(&b, "{\"groups\":{\"group:g\":[\"ann@example.com\",\"eve@other.example\"]},\"hosts\":{\"three\":\"100.64.0.3\"},"
			   "\"tagOwners\":{\"tag:a\":[],\"tag:b\":[]},\"grants\":[\n");
	for (size_t i = 0; i < s->n; i++) {
		buf_append_str(&b, i ? ",\n{" : "{");
		write_names(&b, "src", s->rule[i].src, s->rule[i].n_src);
		buf_append_str(&b, ",");
		write_names(&b, "dst", s->rule[i].dst, s->rule[i].n_dst);
		buf_append_str(&b, ",\"ip\":[");
		for (unsigned k = 0; k < s->rule[i].n_ip; k++)
			buf_printf(&b, "%s\"%s\"", k ? "," : "", ports[s->rule[i].ip[k]].text);
		buf_append_str(&b, "]}");
	}
	buf_append_str(&b, "]}");
	buf_append_u8(&b, 0);
	s->text = (char *)b.p;
	if (policy_parse(bytes_str(s->text), &s->p, &faults) != OK)
		fail_msg("%s\n%s", faults.fault[0].text, s->text);
	assert_ok(policy_view_new(s->p, &s->v));
	for (size_t i = 0; i < NODES; i++)
		assert_ok(policy_view_put(s->v, &w->node[i], &cls, &c));
	policy_changes_done(&c);
	s->w = (struct policy_world){ s->v, w->named, NODES };
}

static void make_sides(struct world *w)
{
	w->was.n = rng_below(&w->rng, RULES + 1);
	for (size_t i = 0; i < w->was.n; i++)
		make_rule(w, &w->was.rule[i]);
	w->is = w->was;
	if (rng_below(&w->rng, 4) == 0) { /* another one */
		w->is.n = rng_below(&w->rng, RULES + 1);
		for (size_t i = 0; i < w->is.n; i++)
			make_rule(w, &w->is.rule[i]);
	} else if (w->is.n) { /* an edit */
		make_rule(w, &w->is.rule[rng_below(&w->rng, w->is.n)]);
	}
	finish_side(w, &w->was);
	finish_side(w, &w->is);
}

static void side_done(struct side *s)
{
	policy_view_free(s->v);
	policy_unref(s->p);
	free(s->text);
}

/* ---- what the engine says ---- */

static const char *str(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static json_int_t num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static json_t *parsed(struct buf *out)
{
	json_t *v = json_loadb((const char *)buf_view(out).p, buf_len(out), JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(v);
	buf_done(out);
	return v;
}

/* "tcp:80-500" and the like, as bits. */
static unsigned bits_in(const json_t *p)
{
	unsigned bits = 0;
	size_t i;
	json_t *x;

	json_array_foreach(json_object_get(p, "list"), i, x) {
		const char *text = json_string_value(x), *colon = strchr(text, ':'), *range = colon ? colon + 1 : text;
		unsigned first = 0, last = 65535;
		int proto = !colon ? 0 : strncmp(text, "tcp", 3) == 0 ? 6 : strncmp(text, "udp", 3) == 0 ? 17 : strncmp(text, "icmp:", 5) == 0 ? 1 : 58;

		if (strcmp(range, "*") != 0) {
			first = (unsigned)strtoul(range, NULL, 10);
			last = strchr(range, '-') ? (unsigned)strtoul(strchr(range, '-') + 1, NULL, 10) : first;
		}
		for (size_t k = 0; k < ARRAY_LEN(probe); k++)
			if ((!proto || proto == probe[k].proto) && (proto || probe[k].port || (first == 0 && last == 65535)) && first <= probe[k].port && probe[k].port <= last)
				bits |= 1u << k;
	}
	return bits;
}

static void fail_with(const struct world *w, const json_t *answer, const char *what)
{
	fprintf(stderr, "was %s\nis %s\n%s\n", w->was.text, w->is.text, json_dumps(answer, JSON_INDENT(1))); /* longer than cmocka prints */
	fail_msg("%s", what);
}

/* Connections by what is gained or lost: as the dumb one counts, and as the items say. */
static void check_changes(struct world *w)
{
	static unsigned long gained[BITS], lost[BITS];
	unsigned long all_gained = 0, all_lost = 0;
	static const enum name places[] = { LAN, WIDE, INTERNET };
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	size_t i;
	json_t *x;

	memset(gained, 0, sizeof gained);
	memset(lost, 0, sizeof lost);
	for (size_t a = 0; a < NODES; a++) {
		for (size_t b = 0; b < NODES; b++) {
			unsigned was = reach(&w->was, &w->node[a], &w->node[b], true), is = reach(&w->is, &w->node[a], &w->node[b], true);

			gained[is & ~was] += a != b;
			lost[was & ~is] += a != b;
		}
		for (size_t k = 0; k < ARRAY_LEN(places); k++)
			if (names_place(&w->was, places[k]) || names_place(&w->is, places[k])) {
				unsigned was = reach_place(&w->was, &w->node[a], places[k]), is = reach_place(&w->is, &w->node[a], places[k]);

				gained[is & ~was]++;
				lost[was & ~is]++;
			}
	}
	assert_ok(policy_preview(&w->was.w, &w->is.w, &out));
	json_t *p = parsed(&out), *c = json_object_get(p, "changes");
	for (size_t k = 1; k < BITS; k++) {
		all_gained += gained[k];
		all_lost += lost[k];
	}
	if ((unsigned long)num(c, "gained") != all_gained || (unsigned long)num(c, "lost") != all_lost)
		fail_with(w, c, "sums");
	json_array_foreach(json_object_get(c, "items"), i, x) {
		unsigned long *by = strcmp(str(x, "what"), "gained") == 0 ? gained : lost;
		unsigned bits = bits_in(json_object_get(x, "ports"));

		if (!json_array_size(json_object_get(x, "rules")) || by[bits] < (unsigned long)num(x, "connections"))
			fail_with(w, c, "an item too many");
		by[bits] -= (unsigned long)num(x, "connections");
	}
	for (size_t k = 1; k < BITS; k++)
		if (gained[k] || lost[k])
			fail_with(w, c, "an item is missing");
	if (strcmp(w->was.text, w->is.text) == 0)
		assert_int_equal(num(json_object_get(p, "machines"), "changed"), 0);
	json_decref(p);
}

/* ---- machines that are sent something else ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A filter as a sorted list of what it lets through, however its rules are grouped. */
static json_t *spelt(struct policy_view *v, int64_t id)
{
	struct policy_filter f[POLICY_FILTERS_MAX];
	size_t n = policy_view_filters(v, id, f), m = 0;
	char *line[512];

	for (size_t i = 0; i < n; i++) {
		struct bytes t = part_text(f[i].rules);
		json_t *chunk = json_loadb((const char *)t.p, t.n, 0, NULL), *rule, *to;
		size_t k, d;

		json_array_foreach(chunk, k, rule)
			json_array_foreach(json_object_get(rule, "DstPorts"), d, to) {
				json_t *one = json_pack("[O,O?,O]", json_object_get(rule, "SrcIPs"), json_object_get(rule, "IPProto"), to);

				assert_true(m < ARRAY_LEN(line));
				line[m++] = json_dumps(one, JSON_COMPACT | JSON_SORT_KEYS);
				json_decref(one);
			}
		json_decref(chunk);
	}
	qsort(line, m, sizeof line[0], by_text);
	json_t *all = json_array();
	for (size_t i = 0; i < m; i++) {
		json_array_append_new(all, json_string(line[i]));
		free(line[i]);
	}
	return all;
}

static void check_machines(struct world *w)
{
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	json_int_t changed = 0;

	for (size_t i = 0; i < NODES; i++) {
		json_t *a = spelt(w->was.v, w->node[i].id), *b = spelt(w->is.v, w->node[i].id);

		changed += !json_equal(a, b);
		json_decref(a);
		json_decref(b);
	}
	assert_ok(policy_preview(&w->was.w, &w->is.w, &out));
	json_t *p = parsed(&out), *m = json_object_get(p, "machines");
	if (num(m, "filters") != changed || num(m, "changed") != changed || num(m, "total") != NODES)
		fail_with(w, m, "machines");
	json_decref(p);
}

/* ---- the matrix ---- */

static const struct policy_node *node_called(const struct world *w, const json_t *example)
{
	return &w->node[strtol(str(example, "id"), NULL, 10) - 1];
}

static const json_t *cell_of(const json_t *m, size_t row, size_t column)
{
	size_t i;
	json_t *x;

	json_array_foreach(json_object_get(m, "cells"), i, x)
		if ((size_t)num(x, "row") == row && (size_t)num(x, "column") == column)
			return x;
	return NULL;
}

static const json_t *column_with(const json_t *m, const struct policy_node *n, size_t *at)
{
	size_t i, k;
	json_t *column, *e;

	json_array_foreach(json_object_get(m, "columns"), i, column)
		json_array_foreach(json_object_get(column, "examples"), k, e)
			if (strtol(str(e, "id"), NULL, 10) == n->id) {
				*at = i;
				return column;
			}
	return NULL;
}

static unsigned before_in(const json_t *cell)
{
	const json_t *b = json_object_get(cell, "before");

	return bits_in(b ? b : json_object_get(cell, "ports"));
}

static void check_row(const struct world *w, const json_t *m, size_t i, const struct policy_node *a, bool draft)
{
	for (size_t b = 0; b < NODES; b++) {
		size_t at;
		const json_t *column = column_with(m, &w->node[b], &at), *cell = column ? cell_of(m, i, at) : NULL;
		unsigned is = reach(&w->is, a, &w->node[b], false), was = reach(&w->was, a, &w->node[b], false);

		if (a == &w->node[b])
			continue;
		if (!column) /* nobody reaches it, or it is not among the examples */
			continue;
		if ((cell ? bits_in(json_object_get(cell, "ports")) : 0) != is || (draft && (cell ? before_in(cell) : 0) != was))
			fail_with(w, m, w->name[b]);
	}
	for (enum name place = LAN; place <= INTERNET; place++) {
		size_t k;
		json_t *column;

		json_array_foreach(json_object_get(m, "columns"), k, column) {
			const json_t *name = json_array_get(json_object_get(column, "names"), 0), *cell = cell_of(m, i, k);

			if (strcmp(str(name, "name"), text_of[place]) == 0 &&
			    (cell ? bits_in(json_object_get(cell, "ports")) : 0) != reach_place(&w->is, a, place))
				fail_with(w, m, text_of[place]);
		}
	}
}

static bool is_in_some(const json_t *m, const char *list, const struct policy_node *n)
{
	size_t i, k;
	json_t *x, *e;

	json_array_foreach(json_object_get(m, list), i, x)
		json_array_foreach(json_object_get(x, "examples"), k, e)
			if (strtol(str(e, "id"), NULL, 10) == n->id)
				return true;
	return false;
}

static void check_matrix(struct world *w, bool draft)
{
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	struct jsonw j = jsonw_init(&out);
	json_int_t machines = 0;
	size_t i, k;
	json_t *row, *e;

	jsonw_obj(&j);
	assert_ok(policy_matrix(draft ? &w->was.w : &w->is.w, &w->is.w, false, &j));
	jsonw_obj_end(&j);
	assert_true(jsonw_ok(&j));
	json_t *m = parsed(&out);
	json_array_foreach(json_object_get(m, "rows"), i, row) {
		machines += num(row, "machines");
		json_array_foreach(json_object_get(row, "examples"), k, e)
			check_row(w, m, i, node_called(w, e), draft);
	}
	if (machines != NODES)
		fail_with(w, m, "each machine is in one row");
	for (size_t b = 0; b < NODES; b++) { /* who can be reached has a column, and small ones name all their machines */
		bool reached = false, small = true;
		json_t *column;

		for (size_t a = 0; a < NODES; a++)
			reached |= a != b && (reach(&w->is, &w->node[a], &w->node[b], false) || (draft && reach(&w->was, &w->node[a], &w->node[b], false)));
		json_array_foreach(json_object_get(m, "columns"), k, column)
			small &= num(column, "machines") <= 3;
		if (small && reached && !is_in_some(m, "columns", &w->node[b]))
			fail_with(w, m, "a column is missing");
	}
	json_decref(m);
}

/* ---- names ---- */

static bool name_means(const struct world *w, const json_t *name, const struct policy_node *n, bool *known)
{
	(void)w;
	*known = true;
	for (enum name k = 0; k < NAMES_N; k++)
		if (strcmp(str(name, "name"), text_of[k]) == 0 && strcmp(str(name, "kind"), "others") != 0)
			return is_called(k, n);
	if (strcmp(str(name, "kind"), "user") == 0)
		return n->user && strcmp(n->user->login, str(name, "name")) == 0;
	*known = false;
	return false;
}

/* One name means exactly the machines of the row. */
static void check_names(struct world *w)
{
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	struct jsonw j = jsonw_init(&out);
	size_t i;
	json_t *row;

	jsonw_obj(&j);
	assert_ok(policy_matrix(&w->is.w, &w->is.w, false, &j));
	jsonw_obj_end(&j);
	json_t *m = parsed(&out);
	json_array_foreach(json_object_get(m, "rows"), i, row) {
		json_t *names = json_object_get(row, "names");
		json_int_t n = 0;
		bool known = true;

		if (json_array_size(names) != 1 || !json_array_size(json_object_get(row, "examples")))
			continue;
		for (size_t k = 0; k < NODES && known; k++)
			n += name_means(w, json_array_get(names, 0), &w->node[k], &known);
		/* a user's or a tag's name may stand for a part of it, never for less */
		if (known && n < num(row, "machines"))
			fail_with(w, row, "a name that means too little");
	}
	json_decref(m);
}

static void agrees_with_the_dumb_one(void **state)
{
	static struct world w;

	(void)state;
	w = (struct world){ .rng = { 815 } };
	for (int round = 0; round < ROUNDS; round++) {
		make_nodes(&w);
		make_sides(&w);
		check_changes(&w);
		check_machines(&w);
		check_matrix(&w, false);
		check_matrix(&w, true);
		check_names(&w);
		side_done(&w.was);
		side_done(&w.is);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_dumb_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
