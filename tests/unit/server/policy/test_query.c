/* Questions about a policy: who is meant, which rule, which hop. What another policy would change: test_effect.c. */
#include "server/policy/query.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

enum { NODES_MAX = 16 };

struct world {
	struct policy_user user[4];
	struct policy_node node[NODES_MAX];
	struct policy_named named[NODES_MAX];
	const char *tag[NODES_MAX][2];
	struct prefix route[NODES_MAX];
	struct policy_attr os[NODES_MAX];
	size_t n;
	struct policy_view *view;
	struct policy_world w;
};

static const struct policy_user people[] = {
	{ 1, "ann", "ann@example.com", "ann@example.com", POLICY_ROLE_OWNER, NULL, 0 },
	{ 2, "bob", "bob@example.com", "bob@example.com", POLICY_ROLE_MEMBER, NULL, 0 },
	{ 3, "eve", "eve@other.example", "eve@other.example", POLICY_ROLE_MEMBER, NULL, 0 },
};

/* user 0: tagged */
static void add(struct world *w, const char *name, int user, const char *tag, const char *tag2)
{
	size_t i = w->n++;
	struct policy_node *n = &w->node[i];

	*n = (struct policy_node){ .id = (int64_t)i + 1, .v4 = addr_v4(100, 64, 0, (uint8_t)(i + 1)) };
	n->v6 = (struct addr){ 6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, [15] = (uint8_t)(i + 1) } };
	if (user) {
		n->user = &people[user - 1];
		n->user_id = user;
	} else {
		w->tag[i][0] = tag;
		w->tag[i][1] = tag2;
		n->tags = w->tag[i];
		n->n_tags = tag2 ? 2 : 1;
	}
	w->named[i] = (struct policy_named){ name, n };
}

static void add_route(struct world *w, const char *text)
{
	struct policy_node *n = &w->node[w->n - 1];

	assert_ok(prefix_parse(bytes_str(text), &w->route[w->n - 1]));
	n->routes = &w->route[w->n - 1];
	n->n_routes = 1;
}

static void small(struct world *w)
{
	*w = (struct world){ 0 };
	add(w, "laptop", 1, NULL, NULL);
	w->os[0] = (struct policy_attr){ "node:os", "linux" };
	w->node[0].attrs = w->os;
	w->node[0].n_attrs = 1;
	add(w, "phone", 1, NULL, NULL);
	add(w, "bobs", 2, NULL, NULL);
	add(w, "web", 0, "tag:web", NULL);
	add(w, "db", 0, "tag:db", NULL);
	add(w, "router", 0, "tag:router", NULL);
	add_route(w, "10.1.0.0/16");
}

static void use(struct world *w, const char *text)
{
	struct policy_faults faults;
	struct policy_changes changes = { 0 };
	struct policy *p;
	uint32_t cls;

	if (policy_parse(bytes_str(text), &p, &faults) != OK)
		fail_msg("%s", faults.fault[0].text);
	assert_ok(policy_view_new(p, &w->view));
	policy_unref(p);
	for (size_t i = 0; i < w->n; i++)
		assert_ok(policy_view_put(w->view, &w->node[i], &cls, &changes));
	policy_changes_done(&changes);
	w->w = (struct policy_world){ w->view, w->named, w->n };
}

static json_t *parsed(struct buf *out)
{
	json_t *v = json_loadb((const char *)buf_view(out).p, buf_len(out), JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(v);
	buf_done(out);
	return v;
}

static json_t *explain(struct world *w, const char *src, const char *dst)
{
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	char why[200] = "";

	if (policy_explain(&w->w, src, dst, &out, why, sizeof why) != OK)
		fail_msg("%s to %s: %s", src, dst, why);
	return parsed(&out);
}

static const char *str(json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

#define assert_answer(w, src, dst, wanted)                                                       \
	do {                                                                                     \
		json_t *a_ = explain(w, src, dst);                                               \
		if (strcmp(str(a_, "allowed"), wanted) != 0)                                     \
			fail_msg("%s to %s: %s", src, dst, json_dumps(a_, JSON_INDENT(1)));      \
		json_decref(a_);                                                                 \
	} while (0)

#define assert_hop(w, src, dst, wanted)                                                                                      \
	do {                                                                                                                 \
		json_t *a_ = explain(w, src, dst), *p_ = json_array_get(json_object_get(a_, "pairs"), 0);                   \
		if (!p_ || !str(p_, "hop") || strcmp(str(p_, "hop"), wanted) != 0)                                           \
			fail_msg("%s to %s: %s", src, dst, json_dumps(a_, JSON_INDENT(1)));                                  \
		json_decref(a_);                                                                                             \
	} while (0)

static const char text[] =
	"{\n"
	"  \"groups\": {\"group:ops\": [\"ann@example.com\"]},\n"
	"  \"hosts\": {\"office\": \"10.1.0.0/16\", \"dbhost\": \"100.64.0.5\"},\n"
	"  \"tagOwners\": {\"tag:web\": [], \"tag:db\": [], \"tag:router\": [], \"tag:none\": []},\n"
	"  \"postures\": {\"posture:linux\": [\"node:os == 'linux'\"]},\n"
	"  \"grants\": [\n"
	"    {\"src\": [\"group:ops\"], \"dst\": [\"tag:db\"], \"ip\": [\"tcp:5432\"], \"srcPosture\": [\"posture:linux\"]},\n"
	"    {\"src\": [\"bob@example.com\"], \"dst\": [\"10.9.0.0/16\"], \"ip\": [\"*\"]},\n"
	"  ],\n"
	"  \"acls\": [\n"
	"    {\"action\": \"accept\", \"src\": [\"group:ops\"], \"dst\": [\"tag:web:80,443\", \"office:22\"]},\n"
	"    {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self:*\"]},\n"
	"    {\"action\": \"accept\", \"src\": [\"tag:web\"], \"dst\": [\"dbhost:5432\"], \"proto\": \"tcp\"},\n"
	"  ],\n"
	"}\n";

static void names_the_rule(void **state)
{
	(void)state;
	struct world w;
	small(&w);
	use(&w, text);
	json_t *a = explain(&w, "laptop", "web:443");
	json_t *pair = json_array_get(json_object_get(a, "pairs"), 0), *rule = json_array_get(json_object_get(pair, "rules"), 0);
	assert_string_equal(str(a, "allowed"), "yes");
	assert_int_equal(json_integer_value(json_object_get(rule, "line")), 11);
	assert_string_equal(str(rule, "section"), "acls");
	assert_int_equal(json_integer_value(json_object_get(rule, "index")), 0);
	assert_non_null(strstr(str(rule, "text"), "tag:web:80,443"));
	json_decref(a);

	a = explain(&w, "laptop", "db:5432/tcp");
	rule = json_array_get(json_object_get(json_array_get(json_object_get(a, "pairs"), 0), "rules"), 0);
	assert_string_equal(str(rule, "section"), "grants");
	assert_int_equal(json_integer_value(json_object_get(rule, "line")), 7);
	assert_string_equal(json_string_value(json_array_get(json_object_get(rule, "ports"), 0)), "tcp:5432");
	json_decref(a);
	policy_view_free(w.view);
}

static void reads_whom_people_mean(void **state)
{
	(void)state;
	struct world w;
	small(&w);
	use(&w, text);
	static const char *const sources[] = { "laptop", "LAPTOP", "laptop.tail.example.com", "100.64.0.1", "fd7a:115c:a1e0::1" };
	static const char *const targets[] = { "web:443", "tag:web:443", "100.64.0.4:443", "[fd7a:115c:a1e0::4]:443", "web:443/tcp", "web",
		"tag:web", "[fd7a:115c:a1e0::4]", "fd7a:115c:a1e0::4", "web/udp", "web:*" };
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		for (size_t k = 0; k < ARRAY_LEN(targets); k++)
			assert_answer(&w, sources[i], targets[k], "yes");
	assert_answer(&w, "group:ops", "web:80", "yes");
	assert_answer(&w, "ann@example.com", "web:80", "yes");
	assert_answer(&w, "ann", "web:80", "yes");
	assert_answer(&w, "autogroup:owner", "web:80", "yes");
	assert_answer(&w, "autogroup:member", "web:80", "some");
	assert_answer(&w, "*", "web:80", "some");
	assert_answer(&w, "laptop", "phone", "yes");
	assert_answer(&w, "laptop", "autogroup:self:22", "yes");
	assert_answer(&w, "laptop", "bobs", "no");
	assert_answer(&w, "laptop", "10.1.2.3:22", "yes");
	assert_answer(&w, "laptop", "office:22", "yes");
	assert_answer(&w, "laptop", "10.1.0.0/16:22/tcp", "yes");
	assert_answer(&w, "laptop", "host:office:22", "yes");
	assert_answer(&w, "web", "dbhost:5432", "yes");
	json_t *a = explain(&w, "nobody", "web:80");
	assert_string_equal(str(json_object_get(a, "source"), "kind"), "unknown");
	assert_non_null(strstr(str(json_object_get(a, "source"), "why"), "nobody"));
	assert_string_equal(str(a, "allowed"), "no");
	json_decref(a);
	a = explain(&w, "laptop", "tag:none");
	assert_non_null(strstr(str(json_object_get(a, "destination"), "why"), "no node"));
	json_decref(a);
	char why[200];
	struct buf out = buf_make(1000);
	assert_int_equal(policy_explain(&w.w, "", "web", &out, why, sizeof why), ERR_INVALID);
	assert_int_equal(policy_explain(&w.w, "laptop", "web:http", &out, why, sizeof why), ERR_INVALID);
	assert_non_null(strstr(why, "http"));
	assert_int_equal(policy_explain(&w.w, "laptop", "web:80/smtp", &out, why, sizeof why), ERR_INVALID);
	buf_done(&out);
	policy_view_free(w.view);
}

/* A range stands for the machines in it, and for an address of each part that rules speak of. */
static void ranges_are_asked_in_parts(void **state)
{
	static const char parts[] = "{\"hosts\": {\"printer\": \"10.1.0.9\"}, \"postures\": {\"posture:x\": [\"custom:x IS SET\"]}, \"ipsets\": {\"ipset:p\": [\"10.1.0.8/31\", \"100.64.0.4\"]},"
				    "\"grants\": [{\"src\": [\"bob@example.com\"], \"dst\": [\"printer\", \"100.64.0.4\"], \"ip\": [\"tcp:9100\"]},"
				    "{\"src\": [\"bob@example.com\"], \"dst\": [\"10.1.128.0/17\"], \"ip\": [\"22\"], \"srcPosture\": [\"posture:x\"]},"
				    "{\"src\": [\"ann@example.com\"], \"dst\": [\"ipset:p\"], \"ip\": [\"*\"]}]}";
	struct world w;

	(void)state;
	small(&w);
	use(&w, parts);
	assert_answer(&w, "bobs", "10.1.0.9:9100", "yes");
	assert_answer(&w, "bobs", "10.1.0.0/16:9100", "some");
	assert_answer(&w, "bobs", "10.1.0.0/16:80", "no");
	assert_answer(&w, "bobs", "100.64.0.0/29:9100", "some"); /* web, and not the others */
	assert_answer(&w, "laptop", "ipset:p", "yes");
	assert_answer(&w, "bobs", "ipset:p:9100", "some");
	assert_hop(&w, "bobs", "10.1.128.1:22", "posture"); /* and not: no route */
	policy_view_free(w.view);
}

static void names_the_hop_that_fails(void **state)
{
	(void)state;
	struct world w;
	small(&w);
	use(&w, text);
	assert_hop(&w, "db", "web", "source");
	assert_hop(&w, "phone", "db:5432", "posture");
	assert_hop(&w, "laptop", "router", "destination");
	assert_hop(&w, "bobs", "10.9.1.1", "route");
	assert_hop(&w, "web", "db:5432/udp", "protocol");
	assert_hop(&w, "laptop", "web:22", "port");
	json_t *a = explain(&w, "laptop", "web:22"), *pair = json_array_get(json_object_get(a, "pairs"), 0);
	json_t *near = json_array_get(json_object_get(pair, "near"), 0);
	assert_int_equal(json_integer_value(json_object_get(near, "line")), 11);
	assert_int_equal(json_array_size(json_object_get(near, "ports")), 2);
	json_decref(a);
	a = explain(&w, "web", "laptop:443");
	assert_non_null(json_object_get(json_array_get(json_object_get(a, "pairs"), 0), "otherWayRound"));
	json_decref(a);
	policy_view_free(w.view);
}

static json_t *find(json_t *list, const char *key, const char *value)
{
	size_t i;
	json_t *o;

	json_array_foreach (list, i, o)
		if (str(o, key) && strcmp(str(o, key), value) == 0)
			return o;
	return NULL;
}

static void who_and_what(void **state)
{
	(void)state;
	struct world w;
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	char why[200];
	small(&w);
	use(&w, text);
	assert_ok(policy_who_can_reach(&w.w, "tag:web:443", &out, why, sizeof why));
	json_t *a = parsed(&out), *nodes = json_object_get(a, "nodes");
	assert_int_equal(json_array_size(nodes), 2);
	assert_non_null(find(nodes, "name", "laptop"));
	assert_non_null(find(nodes, "name", "phone"));
	json_decref(a);
	out = buf_make(QUERY_ANSWER_MAX);
	assert_ok(policy_who_can_reach(&w.w, "db", &out, why, sizeof why));
	a = parsed(&out);
	assert_int_equal(json_array_size(json_object_get(a, "nodes")), 2); /* laptop by posture, web */
	json_decref(a);
	out = buf_make(QUERY_ANSWER_MAX);
	assert_ok(policy_what_can_reach(&w.w, "laptop", &out, why, sizeof why));
	a = parsed(&out);
	nodes = json_object_get(a, "nodes");
	assert_int_equal(json_array_size(nodes), 4); /* itself and phone, web, db */
	assert_non_null(find(nodes, "name", "db"));
	json_t *beyond = find(json_object_get(a, "beyond"), "destination", "office");
	assert_non_null(beyond);
	assert_string_equal(json_string_value(json_array_get(json_object_get(beyond, "routers"), 0)), "router");
	json_decref(a);
	policy_view_free(w.view);
}

/* ---- diff ---- */

static void check_diff(const char *a, const char *b, const char *want)
{
	struct buf out = buf_make(1 << 20);

	assert_ok(policy_diff(bytes_str(a), bytes_str(b), &out));
	buf_append_u8(&out, 0);
	assert_string_equal((const char *)out.p, want);
	buf_done(&out);
}

static void diffs(void **state)
{
	(void)state;
	check_diff("a\nb\n", "a\nb\n", "");
	check_diff("a\nb\nc\n", "a\nX\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+X\n c\n");
	check_diff("", "a\n", "@@ -0,0 +1,1 @@\n+a\n");
	check_diff("a\n", "", "@@ -1,1 +0,0 @@\n-a\n");
	check_diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\nX\n", "@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+X\n");
	check_diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n0\n", "X\n2\n3\n4\n5\n6\n7\n8\n9\nY\n",
		   "@@ -1,4 +1,4 @@\n-1\n+X\n 2\n 3\n 4\n@@ -7,4 +7,4 @@\n 7\n 8\n 9\n-0\n+Y\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_rule),
		cmocka_unit_test(reads_whom_people_mean),
		cmocka_unit_test(ranges_are_asked_in_parts), cmocka_unit_test(names_the_hop_that_fails),
		cmocka_unit_test(who_and_what),
		cmocka_unit_test(diffs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
