#include "server/policy/policy.h"

#include <jansson.h>
#include <stdlib.h>

#include "tests/lib/test.h"

struct net {
	struct policy *p;
	struct policy_view *v;
	struct policy_changes c;
	uint32_t cls[64];
};

static struct net net_of(const char *policy)
{
	struct net n = { 0 };
	struct policy_faults f;

	if (policy_parse(bytes_str(policy), &n.p, &f) != OK)
		fail_msg("%u:%u %s", f.fault[0].line, f.fault[0].column, f.fault[0].text);
	assert_ok(policy_view_new(n.p, &n.v));
	return n;
}

static void net_done(struct net *n)
{
	policy_changes_done(&n->c);
	policy_view_free(n->v);
	policy_unref(n->p);
}

static const struct policy_user people[] = {
	{ 0, "", "", "", POLICY_ROLE_MEMBER, NULL, 0 },
	{ 1, "ann", "ann@example.com", "ann@example.com", POLICY_ROLE_MEMBER, NULL, 0 },
	{ 2, "bob", "bob@example.com", "bob@example.com", POLICY_ROLE_MEMBER, NULL, 0 },
};

/* Node id with 100.64.0.id and fd7a:115c:a1e0::id; user 0: tagged. */
static void put_routed(struct net *n, int64_t id, int64_t user, const char *tag, const char *route)
{
	const char *tags[] = { tag };
	struct prefix r;
	struct policy_node x = { .id = id, .user_id = user, .user = user ? &people[user] : NULL };

	if (tag)
		x.tags = tags, x.n_tags = 1;
	if (route) {
		assert_ok(prefix_parse(bytes_str(route), &r));
		x.routes = &r, x.n_routes = 1;
	}
	x.v4 = addr_v4(100, 64, 0, (uint8_t)id);
	x.v6 = (struct addr){ 6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (uint8_t)id } };
	assert_ok(policy_view_put(n->v, &x, &n->cls[id], &n->c));
}

static void put(struct net *n, int64_t id, int64_t user, const char *tag)
{
	put_routed(n, id, user, tag, NULL);
}

static bool sees(const struct net *n, int a, int b)
{
	bool s = policy_view_sees(n->v, n->cls[a], n->cls[b]);

	assert_int_equal(s, policy_view_sees(n->v, n->cls[b], n->cls[a]));
	return s;
}

/* All rules of a node in one list. */
static json_t *rules(struct net *n, int64_t id)
{
	struct policy_filter f[POLICY_FILTERS_MAX];
	size_t k = policy_view_filters(n->v, id, f);
	json_t *all = json_array();

	assert_true(k >= 1);
	assert_string_equal(f[0].name, "base");
	for (size_t i = 0; i < k; i++) {
		struct bytes t = part_text(f[i].rules);
		json_t *chunk = json_loadb((const char *)t.p, t.n, 0, NULL);

		assert_non_null(chunk);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(f[i].name, f[j].name);
		json_array_extend(all, chunk);
		json_decref(chunk);
	}
	return all;
}

static void expect_rules(struct net *n, int64_t id, const char *want)
{
	json_t *got = rules(n, id), *w = json_loads(want, 0, NULL);

	assert_non_null(w);
	if (!json_equal(got, w))
		fail_msg("node %d: %s", (int)id, json_dumps(got, 0));
	json_decref(got);
	json_decref(w);
}

#define ALL_PORTS "\"Ports\":{\"First\":0,\"Last\":65535}"

static void without_rules_all_reach_all(void **state)
{
	(void)state;
	struct net n = net_of("");

	put(&n, 1, 1, NULL);
	put(&n, 2, 2, NULL);
	put(&n, 3, 0, "tag:a");
		assert_true(sees(&n, 1, 2) && sees(&n, 1, 3) && sees(&n, 1, 1));
	expect_rules(&n, 2, "[{\"SrcIPs\":[\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\",\"fd7a:115c:a1e0::/48\"],"
			    "\"DstPorts\":[{\"IP\":\"*\"," ALL_PORTS "}]}]");
	assert_int_equal(n.c.n_filters, 0);
	assert_false(n.c.visibility);
	net_done(&n);
}

static void an_empty_list_of_rules_blocks_all(void **state)
{
	(void)state;
	struct net n = net_of("{\"acls\": []}");

	put(&n, 1, 1, NULL);
	put(&n, 2, 1, NULL);
	assert_false(sees(&n, 1, 2));
	expect_rules(&n, 1, "[]");
	expect_rules(&n, 99, "[]"); /* unknown: nothing is let through */
	net_done(&n);
}

static void tags_users_and_ports(void **state)
{
	(void)state;
	struct net n = net_of("{\"tagOwners\":{\"tag:web\":[],\"tag:db\":[]},\"groups\":{\"group:g\":[\"bob@example.com\"]},\"acls\":["
			      "{\"action\":\"accept\",\"src\":[\"ann@\"],\"dst\":[\"tag:web:22,80-81\"]},"
			      "{\"action\":\"accept\",\"src\":[\"ann@\"],\"dst\":[\"tag:web:443\"]},"
			      "{\"action\":\"accept\",\"proto\":\"udp\",\"src\":[\"group:g\"],\"dst\":[\"tag:db:53\"]}]}");

	put(&n, 1, 1, NULL);
	put(&n, 2, 2, NULL);
	put(&n, 3, 0, "tag:web");
	put(&n, 4, 0, "tag:db");
	put(&n, 5, 1, NULL);
	assert_int_equal(n.cls[1], n.cls[5]);
	assert_true(sees(&n, 1, 3));
	assert_true(sees(&n, 2, 4));
	assert_false(sees(&n, 1, 4));
	assert_false(sees(&n, 1, 2));
	assert_false(sees(&n, 3, 4));
	assert_false(sees(&n, 1, 5));
	expect_rules(&n, 3,
		     "[{\"SrcIPs\":[\"100.64.0.1\",\"fd7a:115c:a1e0::1\",\"100.64.0.5\",\"fd7a:115c:a1e0::5\"],\"DstPorts\":["
		     "{\"IP\":\"100.64.0.3\",\"Ports\":{\"First\":22,\"Last\":22}},{\"IP\":\"100.64.0.3\",\"Ports\":{\"First\":80,\"Last\":81}},"
		     "{\"IP\":\"fd7a:115c:a1e0::3\",\"Ports\":{\"First\":22,\"Last\":22}},{\"IP\":\"fd7a:115c:a1e0::3\",\"Ports\":{\"First\":80,\"Last\":81}},"
		     "{\"IP\":\"100.64.0.3\",\"Ports\":{\"First\":443,\"Last\":443}},{\"IP\":\"fd7a:115c:a1e0::3\",\"Ports\":{\"First\":443,\"Last\":443}}]}]");
	expect_rules(&n, 4,
		     "[{\"SrcIPs\":[\"100.64.0.2\",\"fd7a:115c:a1e0::2\"],\"IPProto\":[17],\"DstPorts\":["
		     "{\"IP\":\"100.64.0.4\",\"Ports\":{\"First\":53,\"Last\":53}},{\"IP\":\"fd7a:115c:a1e0::4\",\"Ports\":{\"First\":53,\"Last\":53}}]}]");
	expect_rules(&n, 1, "[]");
	net_done(&n);
}

static void routes_and_ranges(void **state)
{
	(void)state;
	struct net n = net_of("{\"hosts\":{\"lan\":\"10.0.0.0/8\"},\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"lan:22\"]}]}");

	put(&n, 1, 1, NULL);
	put(&n, 2, 2, NULL);
	put_routed(&n, 3, 2, NULL, "10.33.0.0/16");
	put_routed(&n, 4, 2, NULL, "0.0.0.0/0");
	assert_true(sees(&n, 1, 3));
	assert_false(sees(&n, 1, 2));
	assert_false(sees(&n, 1, 4)); /* an exit node's default route is not the lan */
	expect_rules(&n, 3,
		     "[{\"SrcIPs\":[\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\",\"fd7a:115c:a1e0::/48\",\"10.33.0.0/16\"],"
		     "\"DstPorts\":[{\"IP\":\"10.0.0.0/8\",\"Ports\":{\"First\":22,\"Last\":22}}]}]");
	expect_rules(&n, 2, "[]");
	net_done(&n);
}

static void self_means_the_users_own_nodes(void **state)
{
	(void)state;
	struct net n = net_of("{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:*\"]}]}");

	put(&n, 1, 1, NULL);
	put(&n, 2, 2, NULL);
	put(&n, 3, 1, NULL);
	put(&n, 4, 0, "tag:x");
	assert_true(sees(&n, 1, 3));
	assert_false(sees(&n, 1, 2));
	assert_false(sees(&n, 1, 4));
	assert_false(sees(&n, 4, 4));
	expect_rules(&n, 1,
		     "[{\"SrcIPs\":[\"100.64.0.1\",\"fd7a:115c:a1e0::1\",\"100.64.0.3\",\"fd7a:115c:a1e0::3\"],\"DstPorts\":["
		     "{\"IP\":\"100.64.0.1\"," ALL_PORTS "},{\"IP\":\"fd7a:115c:a1e0::1\"," ALL_PORTS "}]}]");
	expect_rules(&n, 4, "[]");
	net_done(&n);
}

static bool changed(const struct net *n, uint32_t cls)
{
	for (size_t i = 0; i < n->c.n_filters; i++)
		if (n->c.filters[i] == cls)
			return true;
	return false;
}

/* Every node whose filter text changed is in a class that was reported, over random joins, moves and leaves. */
static void reported_changes_are_complete(void **state)
{
	(void)state;
	struct net n = net_of("{\"tagOwners\":{\"tag:web\":[],\"tag:db\":[]},\"acls\":["
			      "{\"action\":\"accept\",\"src\":[\"ann@\",\"10.0.0.0/8\"],\"dst\":[\"tag:web:22\"]},"
			      "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"tag:db:53\",\"10.0.0.0/8:*\"]},"
			      "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:*\"]},"
			      "{\"action\":\"accept\",\"src\":[\"autogroup:tagged\"],\"dst\":[\"100.64.0.7:*\"]}]}");
	struct test_rng rng = { 42 };
	uint64_t before[40] = { 0 };
	bool there[40] = { 0 };

	for (int round = 0; round < 800; round++) {
		int id = 1 + (int)rng_below(&rng, 30);
		bool joined = !there[id];

		policy_changes_done(&n.c);
		if (there[id] && rng_below(&rng, 3) == 0) {
			assert_ok(policy_view_del(n.v, id, &n.c));
			there[id] = false;
		} else {
			int64_t user = (int64_t)rng_below(&rng, 3);

			put_routed(&n, id, user, user ? NULL : rng_below(&rng, 2) ? "tag:web" : "tag:db",
				   rng_below(&rng, 4) == 0 ? "10.7.0.0/16" : NULL);
			there[id] = true;
		}
		for (int k = 1; k < 40; k++) {
			if (!there[k])
				continue;
			json_t *r = rules(&n, k);
			char *text = json_dumps(r, JSON_SORT_KEYS | JSON_COMPACT);
			uint64_t h = 1469598103934665603u;

			for (char *c = text; *c; c++)
				h = (h ^ (uint8_t)*c) * 1099511628211u;
			if (h != before[k] && !(k == id && joined) && !changed(&n, n.cls[k]))
				fail_msg("round %d: node %d changed unreported: %s", round, k, text);
			before[k] = h;
			free(text);
			json_decref(r);
		}
	}
	assert_int_equal(policy_view_del(n.v, 999, &n.c), ERR_NOT_FOUND);
	net_done(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_all_reach_all),
		cmocka_unit_test(an_empty_list_of_rules_blocks_all),
		cmocka_unit_test(tags_users_and_ports),
		cmocka_unit_test(routes_and_ranges),
		cmocka_unit_test(self_means_the_users_own_nodes),
		cmocka_unit_test(reported_changes_are_complete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
