/* A look at a draft: faults with places and fixes, warnings, tests, lock-outs; answers as sentences; the graph; SSH. */
#include "server/policy/draft.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"
#include "tests/lib/test.h"

enum { NODES = 6 };

static const struct policy_user people[] = {
	{ 1, "ann", "ann@example.com", "ann@example.com", POLICY_ROLE_OWNER, NULL, 0 },
	{ 2, "bob", "bob@example.com", "bob@example.com", POLICY_ROLE_MEMBER, NULL, 0 },
};
static const char *const web[] = { "tag:web" }, *const db[] = { "tag:db" };
static struct prefix lan;

/* Ann's laptop and phone, Bob's desk, a web server, a database, a router. */
static const struct policy_node nodes[NODES] = {
	{ .id = 1, .user_id = 1, .user = &people[0], .v4 = { 4, { 100, 64, 0, 1 } } },
	{ .id = 2, .user_id = 1, .user = &people[0], .v4 = { 4, { 100, 64, 0, 2 } } },
	{ .id = 3, .user_id = 2, .user = &people[1], .v4 = { 4, { 100, 64, 0, 3 } } },
	{ .id = 4, .tags = web, .n_tags = 1, .v4 = { 4, { 100, 64, 0, 4 } } },
	{ .id = 5, .tags = db, .n_tags = 1, .v4 = { 4, { 100, 64, 0, 5 } } },
	{ .id = 6, .tags = db, .n_tags = 1, .v4 = { 4, { 100, 64, 0, 6 } }, .routes = &lan, .n_routes = 1 },
};
static const struct policy_named named[NODES] = { { "laptop", &nodes[0] }, { "phone", &nodes[1] }, { "desk", &nodes[2] }, { "web", &nodes[3] },
	{ "db", &nodes[4] }, { "router", &nodes[5] } };

static const char base[] = "{\n"
			   "  \"groups\": {\"group:ops\": [\"ann@example.com\"]},\n"
			   "  \"tagOwners\": {\"tag:web\": [], \"tag:db\": []},\n"
			   "  \"grants\": [\n"
			   "    {\"src\": [\"group:ops\"], \"dst\": [\"tag:db\"], \"ip\": [\"tcp:5432\", \"tcp:443\"]},\n"
			   "    {\"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"ip\": [\"*\"]},\n"
			   "    {\"src\": [\"tag:web\"], \"dst\": [\"10.1.0.0/16\"], \"ip\": [\"443\"]},\n"
			   "    {\"src\": [\"group:ops\"], \"dst\": [\"tag:web\"], \"ip\": [\"22\"]}\n"
			   "  ],\n"
			   "  \"ssh\": [{\"action\": \"check\", \"src\": [\"group:ops\"], \"dst\": [\"tag:web\"], \"users\": [\"root\", \"deploy\"]}],\n"
			   "  \"tests\": [{\"src\": \"bob@example.com\", \"deny\": [\"tag:db:443\"]}]\n"
			   "}\n";

struct side {
	struct policy *p;
	struct policy_world w;
};

static struct side use(const char *text)
{
	struct policy_faults faults;
	struct side s = { 0 };
	const struct policy_world like = { NULL, named, NODES };

	assert_ok(prefix_parse(BYTES_LIT("10.1.0.0/16"), &lan));
	if (policy_parse(bytes_str(text), &s.p, &faults) != OK)
		fail_msg("%s", faults.fault[0].text);
	s.w = like;
	assert_ok(policy_world_view(s.p, &like, &s.w.view));
	return s;
}

static void drop(struct side *s)
{
	policy_view_free(s->w.view);
	policy_unref(s->p);
}

static json_t *parsed(struct buf *out)
{
	json_t *v = json_loadb((const char *)buf_view(out).p, buf_len(out), JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(v);
	buf_done(out);
	return v;
}

static json_t *look_asked(const char *was, const char *text, const struct policy_lockout_asked *asked, bool hidden)
{
	struct buf out = buf_make(1 << 20);
	struct jsonw w = jsonw_init(&out);
	struct policy_draft d = { .text = bytes_str(text), .hidden = hidden };
	struct side s = use(was);

	if (asked)
		d.asked = *asked;
	jsonw_obj(&w);
	assert_ok(policy_draft_write(&s.w, &d, &w));
	jsonw_obj_end(&w);
	assert_true(jsonw_ok(&w));
	drop(&s);
	return parsed(&out);
}

static json_t *look(const char *text)
{
	return look_asked(base, text, NULL, false);
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static json_t *member(const json_t *o, const char *key, size_t i)
{
	json_t *v = json_array_get(json_object_get(o, key), i);

	if (!v)
		fail_msg("%s[%zu] is missing in %s", key, i, json_dumps(o, JSON_INDENT(1)));
	return v;
}

/* The base with one text instead of another. */
static char *with(const char *was, const char *is)
{
	const char *at = strstr(base, was);
	char *text = NULL;

	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - base), base, is, at + strlen(was)) > 0);
	return text;
}

/* Applies the fix as an editor does; the texts here are ASCII, so that units are bytes. */
static char *mended(const char *text, const json_t *fault)
{
	const json_t *fix = json_object_get(fault, "fix");
	char *out = NULL;

	if (!fix)
		fail_msg("no fix: %s", json_dumps(fault, 0));
	assert_true(asprintf(&out, "%.*s%s%s", (int)num(fix, "from"), text, str(fix, "replacement"), text + num(fix, "to")) > 0);
	return out;
}

/* ---- faults and fixes ---- */

static void a_click_mends_it(void **state)
{
	static const struct {
		const char *was, *is, *text, *label;
	} wrong[] = {
		{ "\"dst\": [\"tag:db\"]", "\"dst\": [\"tag:dbb\"]", "tag not found", "Change to tag:db" },
		{ "\"src\": [\"group:ops\"], \"dst\": [\"tag:db\"]", "\"src\": [\"group:opps\"], \"dst\": [\"tag:db\"]", "group not found", "Change to group:ops" },
		{ "autogroup:self", "autogroup:slef", "unknown autogroup", "Change to autogroup:self" },
		{ "\"grants\"", "\"grant\"", "unknown field", "Change to grants" },
		{ "[\"tag:web\"], \"dst\": [\"10", "[\"tag:web\"] \"dst\": [\"10", "expected ,", "Insert a comma" },
		{ "\"ssh\": [", "\"ssh\" [", "expected : after", "Insert a colon" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		CLEANUP(freep) char *text = with(wrong[i].was, wrong[i].is);
		json_t *a = look(text), *fault = member(a, "errors", 0);
		CLEANUP(freep) char *good = mended(text, fault);
		json_t *b = look(good);

		assert_non_null(strstr(str(fault, "text"), wrong[i].text));
		assert_string_equal(str(json_object_get(fault, "fix"), "label"), wrong[i].label);
		assert_true(num(fault, "to") > num(fault, "from"));
		assert_false(json_is_true(json_object_get(a, "valid")));
		if (json_array_size(json_object_get(b, "errors")))
			fail_msg("%s\nis still wrong: %s", good, json_dumps(json_object_get(b, "errors"), 0));
		assert_true(json_is_true(json_object_get(b, "valid")));
		json_decref(a);
		json_decref(b);
	}
}

static void places_count_as_editors_do(void **state)
{
	/* one character of two units, two of one unit and several bytes, before the fault */
	static const char text[] = "// \xf0\x9f\x90\xa7 \xc3\xa9\xe2\x82\xac\n{\"acls\": [{\"action\": \"accept\", \"src\": [\"tag:x\"], \"dst\": [\"*:*\"]}]}";
	json_t *a = look(text), *f = member(a, "errors", 0);

	(void)state;
	/* "// " + 2 + " " + 1 + 1 + "\n" = 9 units; then the place in the line */
	assert_int_equal(num(f, "from"), 9 + (strstr(text, "\"tag:x") - strchr(text, '{')));
	assert_int_equal(num(f, "to") - num(f, "from"), 7);
	assert_int_equal(num(f, "line"), 2);
	json_decref(a);
}

static void what_is_wrong_is_left_out(void **state)
{
	(void)state;
	CLEANUP(freep) char *text = with("\"dst\": [\"tag:db\"]", "\"dst\": [\"tag:nix\"]");
	json_t *a = look(text), *c = json_object_get(a, "changes"), *item = member(c, "items", 0);

	assert_true(json_is_true(json_object_get(a, "partial")));
	assert_int_equal(num(c, "lost"), 4); /* Ann's two to both machines with tag:db */
	assert_string_equal(str(item, "what"), "lost");
	assert_string_equal(str(member(json_object_get(item, "from"), "names", 0), "name"), "group:ops");
	assert_string_equal(str(member(json_object_get(item, "to"), "names", 0), "name"), "tag:db");
	assert_string_equal(str(json_object_get(item, "ports"), "text"), "tcp 443, 5432");
	assert_int_equal(num(member(item, "rules", 0), "line"), 5);
	json_decref(a);
	a = look("{ this is nothing");
	assert_true(json_is_null(json_object_get(a, "changes")) && json_is_null(json_object_get(a, "tests")));
	json_decref(a);
}

static void tests_name_the_line(void **state)
{
	(void)state;
	CLEANUP(freep) char *text = with("{\"src\": [\"group:ops\"], \"dst\": [\"tag:db\"]", "{\"src\": [\"*\"], \"dst\": [\"tag:db\"]");
	json_t *a = look(text), *t = json_object_get(a, "tests"), *f = member(t, "failures", 0);

	assert_int_equal(num(t, "total"), 1);
	assert_int_equal(num(t, "passed"), 0);
	assert_string_equal(str(f, "expected"), "deny");
	assert_string_equal(str(f, "dst"), "tag:db:443");
	assert_int_equal(num(f, "line"), 11);
	assert_int_equal(num(member(f, "rules", 0), "line"), 5);
	assert_false(json_is_true(json_object_get(a, "valid")));
	assert_int_equal(json_array_size(json_object_get(a, "errors")), 0);
	json_decref(a);
}

static void tests_are_attempts_to_connect(void **state)
{
	static const char *const wrong[] = { "{\"src\": \"bob@example.com\"}", "{\"src\": \"bob@example.com\", \"accept\": [], \"deny\": []}",
		"{\"src\": \"ann@example.com\", \"proto\": \"icmp\", \"deny\": [\"tag:db:443\"]}",
		"{\"src\": \"ann@example.com\", \"proto\": \"47\", \"accept\": [\"tag:db:443\"]}" };
	static const char *const right[] = { "{\"src\": \"ann@example.com\", \"proto\": \"6\", \"accept\": [\"tag:db:443\"]}",
		"{\"src\": \"ann@example.com\", \"proto\": \"sctp\", \"deny\": [\"tag:db:443\"]}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong) + ARRAY_LEN(right); i++) {
		bool good = i >= ARRAY_LEN(wrong);
		CLEANUP(freep) char *text = with("{\"src\": \"bob@example.com\", \"deny\": [\"tag:db:443\"]}", good ? right[i - ARRAY_LEN(wrong)] : wrong[i]);
		json_t *a = look(text);

		if (json_is_true(json_object_get(a, "valid")) != good)
			fail_msg("%s: %s", text, json_dumps(json_object_get(a, "tests"), 0));
		json_decref(a);
	}
}

static void no_silly_hints(void **state)
{
	(void)state;
	json_t *a = look("{\"acls\": [{\"action\": \"accept\", \"proto\": \"06\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}");

	assert_null(strstr(str(member(a, "errors", 0), "text"), "did you mean"));
	json_decref(a);
}

static void warns(void **state)
{
	static const struct {
		const char *was, *is, *text;
	} odd[] = {
		{ "\"tagOwners\"", "\"hosts\": {\"old\": \"10.9.9.9\"}, \"tagOwners\"", "old is defined, but nothing uses it" },
		{ "[\"ann@example.com\"]", "[]", "group:ops has no members" },
		{ "\"grants\": [", "\"grants\": [ {\"src\": [\"*\"], \"dst\": [\"*\"], \"ip\": [\"*\"]},", "changes nothing: line 4 lets through" },
		{ "\"tagOwners\"", "\"postures\": {\"posture:l\": [\"node:os == 'linux'\"]}, \"tagOwners\"", "posture:l is defined, but no rule asks for it" },
	};
	json_t *a = look(base);

	(void)state;
	if (json_array_size(json_object_get(a, "warnings")))
		fail_msg("%s", json_dumps(json_object_get(a, "warnings"), 0));
	json_decref(a);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		CLEANUP(freep) char *text = with(odd[i].was, odd[i].is);
		bool found = false;
		size_t k;
		json_t *x;

		a = look(text);
		json_array_foreach(json_object_get(a, "warnings"), k, x)
			found |= strstr(str(x, "text"), odd[i].text) != NULL;
		if (!found)
			fail_msg("%s: %s", odd[i].text, json_dumps(json_object_get(a, "warnings"), 0));
		json_decref(a);
	}
}

static void tells_no_machines_to_who_may_not_know(void **state)
{
	(void)state;
	json_t *a = look_asked(base, "{\"acls\": []}", NULL, true);
	char *text = json_dumps(a, 0);

	assert_true(json_is_null(json_object_get(a, "changes")) && json_is_null(json_object_get(a, "machines")));
	for (size_t i = 0; i < NODES; i++)
		assert_null(strstr(text, named[i].name));
	free(text);
	json_decref(a);
}

/* ---- lock-outs ---- */

static const char *lockout_of(const json_t *a, const char *kind, bool refused)
{
	size_t i;
	json_t *x;

	json_array_foreach(json_object_get(a, "lockout"), i, x)
		if (strcmp(str(x, "kind"), kind) == 0 && json_is_true(json_object_get(x, "refused")) == refused)
			return str(x, "text");
	return NULL;
}

static void locks_out(void **state)
{
	static const char open[] = "{}", closed[] = "{\"acls\": []}",
				 others[] = "{\"tagOwners\": {\"tag:web\": []}, \"grants\": [{\"src\": [\"bob@example.com\"], \"dst\": [\"*\"], \"ip\": [\"*\"]}]}",
				 admins[] = "{\"tagOwners\": {\"tag:web\": []}, \"grants\": [{\"src\": [\"autogroup:owner\"], \"dst\": [\"tag:web\"], \"ip\": [\"tcp:443\"]}]}";
	const struct addr server = addr_v4(100, 64, 0, 4);
	const struct policy_lockout_asked inside = { .server = &server, .n_server = 1, .port = 443, .inside = true },
					  outside = { .server = &server, .n_server = 1, .port = 443, .from = addr_v4(192, 0, 2, 1) },
					  asking = { .server = &server, .n_server = 1, .port = 443, .from = addr_v4(100, 64, 0, 1) },
					  bob = { .server = &server, .n_server = 1, .port = 443, .from = addr_v4(100, 64, 0, 3) };
	const struct {
		const char *was, *is;
		const struct policy_lockout_asked *asked;
		bool console, own;
	} each[] = {
		{ open, closed, &inside, true, false }, { open, others, &inside, true, false }, { open, admins, &inside, false, false },
		{ closed, others, &inside, false, false }, /* nothing is lost */
		{ open, closed, &outside, false, false },  /* by the public URL */
		{ open, closed, &asking, true, true }, { open, admins, &asking, false, false },
		{ open, admins, &bob, false, true }, { open, others, &bob, true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(each); i++) {
		json_t *a = look_asked(each[i].was, each[i].is, each[i].asked, false);

		if ((lockout_of(a, "console", true) != NULL) != each[i].console || (lockout_of(a, "own-way", false) != NULL) != each[i].own)
			fail_msg("%zu: %s", i, json_dumps(json_object_get(a, "lockout"), 0));
		json_decref(a);
	}
	CLEANUP(freep) char *text = with("\"action\": \"check\", \"src\": [\"group:ops\"]", "\"action\": \"check\", \"src\": [\"bob@example.com\"]");
	json_t *a = look(text);
	assert_non_null(lockout_of(a, "ssh", false));
	json_decref(a);
	a = look(base);
	assert_int_equal(json_array_size(json_object_get(a, "lockout")), 0);
	json_decref(a);
}

/* ---- sentences ---- */

static void says_why(void **state)
{
	static const struct {
		const char *src, *dst, *want;
	} each[] = {
		{ "laptop", "db:5432/tcp", "Yes. laptop belongs to ann@example.com, who is in group:ops; line 5 lets group:ops reach tag:db on tcp 443, 5432; db has that tag." },
		{ "laptop", "db:22", "No. Line 5 lets group:ops reach tag:db, but only on tcp 443, 5432; you asked for 22." },
		{ "laptop", "phone:80", "Yes. laptop belongs to ann@example.com; line 6 lets every member reach their own machines on all ports; both belong to ann@example.com." },
		{ "desk", "laptop", "No. Rules let desk reach other machines, but none of them leads to laptop." },
		{ "db", "laptop", "No. No rule has db as a source." },
		{ "web", "10.1.2.3:443", "Yes. web has tag:web; line 7 lets tag:web reach 10.1.0.0/16 on 443." },
	};
	struct side s = use(base);
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(each); i++) {
		struct buf out = buf_make(1 << 20);

		assert_ok(policy_explain(&s.w, each[i].src, each[i].dst, &out, why, sizeof why));
		json_t *a = parsed(&out), *p = member(a, "pairs", 0), *chain = json_object_get(p, "chain");
		assert_string_equal(str(p, "sentence"), each[i].want);
		assert_true(json_array_size(chain) >= 2);
		assert_string_equal(str(json_array_get(chain, 0), "text"), each[i].src);
		json_decref(a);
	}
	drop(&s);
	s = use("{}");
	struct buf out = buf_make(1 << 20);
	assert_ok(policy_explain(&s.w, "desk", "db:22", &out, why, sizeof why));
	json_t *a = parsed(&out);
	assert_string_equal(str(member(a, "pairs", 0), "sentence"), "Yes. No rule is set, so everyone may reach everyone.");
	json_decref(a);
	drop(&s);
}

/* ---- graph, matrix of SSH ---- */

static json_t *graph(struct side *was, struct side *is, const char *of, bool to, bool ssh)
{
	struct buf out = buf_make(1 << 20);
	struct jsonw w = jsonw_init(&out);
	char why[200] = "";

	jsonw_obj(&w);
	if (policy_graph(&was->w, &is->w, of, to, ssh, &w, why, sizeof why) != OK)
		fail_msg("%s", why);
	jsonw_obj_end(&w);
	return parsed(&out);
}

static void edge_is(const json_t *g, size_t i, const char *from, json_int_t line, const char *to, const char *ports, const char *change)
{
	const json_t *e = member(g, "edges", i);

	if (strcmp(str(member(json_object_get(e, "from"), "names", 0), "name"), from) != 0 || num(json_object_get(e, "rule"), "line") != line ||
	    strcmp(str(member(json_object_get(e, "to"), "names", 0), "name"), to) != 0 ||
	    strcmp(str(json_object_get(e, "ports"), "text"), ports) != 0 || strcmp(str(e, "change"), change) != 0)
		fail_msg("%zu: %s", i, json_dumps(e, JSON_INDENT(1)));
}

static void draws_from_and_to(void **state)
{
	(void)state;
	struct side s = use(base);
	json_t *g = graph(&s, &s, "group:ops", false, false);

	assert_int_equal(json_array_size(json_object_get(g, "edges")), 3);
	edge_is(g, 0, "group:ops", 5, "tag:db", "tcp 443, 5432", "");
	edge_is(g, 1, "group:ops", 6, "autogroup:self", "all ports", "");
	edge_is(g, 2, "group:ops", 8, "tag:web", "22", "");
	json_decref(g);
	g = graph(&s, &s, "web", true, false);
	assert_int_equal(json_array_size(json_object_get(g, "edges")), 1);
	edge_is(g, 0, "group:ops", 8, "tag:web", "22", "");
	json_decref(g);
	g = graph(&s, &s, "10.1.2.0/24", true, false);
	edge_is(g, 0, "tag:web", 7, "10.1.2.0/24", "443", "");
	json_decref(g);
	g = graph(&s, &s, "web", true, true);
	assert_int_equal(num(json_object_get(member(g, "edges", 0), "rule"), "line"), 10);
	assert_true(json_is_true(json_object_get(member(g, "edges", 0), "check")));
	json_decref(g);

	CLEANUP(freep) char *text = with("[\"22\"]", "[\"80\"]");
	struct side other = use(text);
	g = graph(&s, &other, "group:ops", false, false);
	assert_int_equal(json_array_size(json_object_get(g, "edges")), 4);
	edge_is(g, 2, "group:ops", 8, "tag:web", "80", "added");
	edge_is(g, 3, "group:ops", 8, "tag:web", "22", "removed");
	json_decref(g);
	drop(&other);
	drop(&s);
}

static json_t *matrix(struct side *was, struct side *is, bool ssh)
{
	struct buf out = buf_make(1 << 20);
	struct jsonw w = jsonw_init(&out);

	jsonw_obj(&w);
	assert_ok(policy_matrix(&was->w, &is->w, ssh, &w));
	jsonw_obj_end(&w);
	return parsed(&out);
}

static void a_row_can_be_drawn(void **state)
{
	(void)state;
	struct side s = use(base);
	json_t *m = matrix(&s, &s, false), *row = member(m, "rows", 0);
	json_t *g = graph(&s, &s, str(row, "key"), false, false);

	assert_string_equal(str(member(row, "names", 0), "name"), "group:ops");
	assert_int_equal(num(row, "people"), 1);
	assert_int_equal(num(row, "machines"), 2);
	assert_int_equal(json_array_size(json_object_get(g, "edges")), 3);
	assert_string_equal(str(member(m, "columns", 0), "kind"), "self");
	json_decref(g);
	json_decref(m);
	drop(&s);
}

static void ssh_has_a_matrix(void **state)
{
	(void)state;
	CLEANUP(freep) char *text = with("\"users\": [\"root\", \"deploy\"]", "\"users\": [\"deploy\"]");
	struct side s = use(base), other = use(text);
	json_t *m = matrix(&s, &other, true), *cell = member(m, "cells", 0);

	assert_int_equal(json_array_size(json_object_get(m, "cells")), 1);
	assert_string_equal(json_string_value(member(cell, "users", 0)), "deploy");
	assert_true(json_is_true(json_object_get(cell, "check")));
	assert_int_equal(json_array_size(json_object_get(json_object_get(cell, "sshBefore"), "users")), 2);
	json_decref(m);

	struct buf out = buf_make(1 << 20);
	struct jsonw w = jsonw_init(&out);
	char why[200];
	jsonw_obj(&w);
	assert_ok(policy_ssh_question(&s.w, "laptop", "web", "root", &w, why, sizeof why));
	jsonw_obj_end(&w);
	json_t *a = parsed(&out);
	assert_string_equal(str(member(a, "pairs", 0), "action"), "check");
	json_decref(a);
	out = buf_make(1 << 20);
	w = jsonw_init(&out);
	jsonw_obj(&w);
	assert_ok(policy_ssh_question(&s.w, "desk", "web", "", &w, why, sizeof why));
	jsonw_obj_end(&w);
	a = parsed(&out);
	assert_string_equal(str(member(a, "pairs", 0), "action"), "no");
	json_decref(a);
	drop(&s);
	drop(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_click_mends_it),
		cmocka_unit_test(places_count_as_editors_do),
		cmocka_unit_test(what_is_wrong_is_left_out),
		cmocka_unit_test(tests_name_the_line),
		cmocka_unit_test(tests_are_attempts_to_connect),
		cmocka_unit_test(no_silly_hints),
		cmocka_unit_test(warns),
		cmocka_unit_test(tells_no_machines_to_who_may_not_know),
		cmocka_unit_test(locks_out),
		cmocka_unit_test(says_why),
		cmocka_unit_test(draws_from_and_to),
		cmocka_unit_test(a_row_can_be_drawn),
		cmocka_unit_test(ssh_has_a_matrix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
