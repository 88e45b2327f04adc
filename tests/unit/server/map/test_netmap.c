#include "server/map/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "tests/lib/map_world.h"
#include "tests/lib/naive_map.h"
#include "tests/lib/test.h"

enum { NOW = 1767323045 };

static const char rules[] = "{\"tagOwners\":{\"tag:web\":[],\"tag:db\":[]},\"acls\":["
			    "{\"action\":\"accept\",\"src\":[\"user1@\",\"user2@\"],\"dst\":[\"tag:web:22\"]},"
			    "{\"action\":\"accept\",\"src\":[\"tag:web\"],\"dst\":[\"tag:db:5432\"]},"
			    "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:*\"]}]}";

static json_t *full(struct map_cache *c, struct map_world *w, struct map_node *viewer, struct slots *told)
{
	struct policy_filter f[POLICY_FILTERS_MAX];
	struct map_msg *m;
	size_t n;

	assert_ok(map_full(c, &w->t, viewer, NOW * 1000LL, told, f, &n, &m));
	assert_true(n >= 1);
	json_t *v = naive_msg_json(m);
	assert_non_null(v);
	map_msg_unref(m);
	return v;
}

static const char *text_at(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static json_t *first_derp_node(json_t *full_map)
{
	json_t *regions = json_object_get(json_object_get(full_map, "DERPMap"), "Regions");

	return json_array_get(json_object_get(json_object_get(regions, "900"), "Nodes"), 0);
}

static void clients_that_cannot_pin_are_told_not_to_check(void **state)
{
	(void)state;
	struct tailcfg_derp_node node = { .name = "900a", .region_id = 900, .host_name = "10.0.0.1", .cert_name = "sha256-raw:00ff" };
	struct tailcfg_derp_region region = { .region_id = 900, .region_code = "home", .nodes = &node, .n_nodes = 1 };
	const struct tailcfg_derp_map pinned = { .regions = &region, .n_regions = 1 };
	struct map_world w;
	struct map_cache *c;
	struct slots told = { 0 };

	map_world_init(&w, 4, 2, "");
	struct core_settings set = *w.t.set;
	set.derp_map = &pinned;
	w.t.set = &set;
	assert_ok(map_cache_new(1 << 20, &c));
	struct map_node *a = map_world_add(&w, 1, NULL);
	map_world_row(a)->capver = 113;
	json_t *v = full(c, &w, a, &told);
	assert_true(json_is_true(json_object_get(first_derp_node(v), "InsecureForTests")));
	assert_null(json_object_get(first_derp_node(v), "CertName"));
	json_decref(v);
	map_world_row(a)->capver = 142;
	v = full(c, &w, a, &told);
	assert_null(json_object_get(first_derp_node(v), "InsecureForTests"));
	assert_string_equal(text_at(first_derp_node(v), "CertName"), "sha256-raw:00ff");
	json_decref(v);
	slots_done(&told);
	map_cache_free(c);
	map_world_done(&w);
}

static void the_first_message_has_what_it_needs(void **state)
{
	(void)state;
	struct map_world w;
	struct map_cache *c;
	struct slots told = { 0 };

	map_world_init(&w, 4, 2, "");
	assert_ok(map_cache_new(1 << 20, &c));
	struct map_node *a = map_world_add(&w, 1, NULL), *b = map_world_add(&w, 0, "tag:web");
	b->online = false;
	map_world_row(b)->last_seen_ms = 1767000000000;
	json_t *v = full(c, &w, a, &told), *node = json_object_get(v, "Node");

	assert_int_equal(json_integer_value(json_object_get(node, "ID")), 1);
	assert_string_equal(text_at(node, "StableID"), "1");
	assert_string_equal(text_at(node, "Name"), "host-1.tail.example.com.");
	assert_memory_equal(text_at(node, "Key"), "nodekey:", 8);
	assert_memory_equal(text_at(node, "Machine"), "mkey:", 5);
	assert_true(json_is_true(json_object_get(node, "MachineAuthorized")));
	assert_true(json_is_true(json_object_get(node, "Online")));
	assert_string_equal(text_at(json_object_get(node, "Hostinfo"), "Hostname"), "host-1");
	json_t *caps = json_object_get(node, "CapMap");
	assert_true(json_is_null(json_object_get(caps, "https://tailscale.com/cap/ssh")));
	assert_true(json_is_null(json_object_get(caps, "https://tailscale.com/cap/file-sharing")));
	assert_true(json_is_false(json_array_get(json_object_get(caps, "default-auto-update"), 0)));

	json_t *peer = json_array_get(json_object_get(v, "Peers"), 0);
	assert_int_equal(json_array_size(json_object_get(v, "Peers")), 1);
	assert_null(json_object_get(peer, "Machine"));
	assert_null(json_object_get(peer, "CapMap"));
	assert_true(json_is_false(json_object_get(peer, "Online")));
	assert_string_equal(text_at(peer, "LastSeen"), "2025-12-29T09:20:00Z");
	assert_int_equal(json_array_size(json_object_get(json_object_get(peer, "Hostinfo"), "Services")), 3);
	assert_int_equal(json_integer_value(json_object_get(peer, "User")), TAGGED_USER_ID);
	assert_int_equal(json_array_size(json_object_get(v, "UserProfiles")), 2);
	assert_non_null(json_object_get(json_object_get(json_object_get(v, "DERPMap"), "Regions"), "900"));
	json_t *dns = json_object_get(v, "DNSConfig");
	assert_true(json_is_true(json_object_get(dns, "Proxied")));
	assert_string_equal(json_string_value(json_array_get(json_object_get(dns, "Domains"), 0)), "tail.example.com");
	assert_true(json_is_object(json_object_get(dns, "Routes")));
	assert_string_equal(text_at(v, "Domain"), "example.com");
	assert_true(json_is_true(json_object_get(json_object_get(v, "Debug"), "DisableLogTail")));
	assert_true(json_is_array(json_object_get(json_object_get(v, "PacketFilters"), "base")));
	assert_true(json_is_null(json_object_get(json_object_get(v, "PacketFilters"), "*"))); /* chunks of before are gone */
	assert_string_equal(text_at(v, "ControlTime"), "2026-01-02T03:04:05Z");
	assert_null(json_object_get(v, "SSHPolicy"));
	assert_true(slots_has(&told, b->slot));
	assert_false(slots_has(&told, a->slot));
	json_decref(v);

	/* Not announced: alone, and in nobody's map. */
	a->announced = false;
	map_cache_touch(c, a);
	v = full(c, &w, a, &told);
	assert_null(json_object_get(v, "Peers"));
	assert_false(slots_has(&told, b->slot));
	json_decref(v);
	v = full(c, &w, b, &told);
	assert_null(json_object_get(v, "Peers"));
	json_decref(v);
	slots_done(&told);
	map_cache_free(c);
	map_world_done(&w);
}

static void check_viewer(struct map_cache *c, struct map_world *w, struct map_node *viewer)
{
	struct slots told = { 0 };
	json_t *v = full(c, w, viewer, &told), *client = naive_client_new(), *want = naive_peers(&w->t, viewer, NULL, NULL);
	const char *why = "", *key;
	json_t *peer, *users = naive_users(&w->t, viewer, NULL, NULL);
	size_t n_told = 0;

	if (!naive_client_apply(client, v, &why))
		fail_msg("%s", why);
	if (!json_equal(json_object_get(client, "Peers"), want))
		fail_msg("node %d sees %s, not %s", (int)viewer->row->id, json_dumps(json_object_get(client, "Peers"), 0),
			 json_dumps(want, 0));
	assert_int_equal(json_array_size(json_object_get(v, "Peers")), json_object_size(want));
	for (uint32_t i = 0; i < w->cap; i++)
		n_told += slots_has(&told, i);
	assert_int_equal(n_told, json_object_size(want));
	json_object_foreach (users, key, peer)
		assert_string_equal(text_at(json_object_get(json_object_get(client, "UserProfiles"), key), "LoginName"),
				    json_string_value(peer));
	assert_int_equal(json_object_size(users), json_object_size(json_object_get(client, "UserProfiles")));
	json_decref(users);
	json_decref(want);
	json_decref(client);
	json_decref(v);
	slots_done(&told);
}

static void change_one(struct map_world *w, struct map_cache *c, struct test_rng *rng)
{
	struct map_node *n = w->nodes[rng_below(rng, w->cap)];
	static const struct prefix route = { { 4, { 10, 7 } }, 16 };

	if (!n) {
		uint64_t user = rng_below(rng, 5);

		n = map_world_add(w, (int64_t)user, user ? NULL : rng_below(rng, 2) ? "tag:web" : "tag:db");
		n->announced = rng_below(rng, 4) != 0;
		map_cache_touch(c, n);
		return;
	}
	switch (rng_below(rng, 6)) {
	case 0:
		map_cache_gone(c, n->slot);
		map_world_del(w, n);
		return;
	case 1:
		n->online = !n->online;
		map_world_row(n)->last_seen_ms = 1767000000000;
		break;
	case 2:
		map_world_row(n)->n_endpoints = rng_below(rng, 3);
		break;
	case 3:
		n->announced = !n->announced;
		break;
	case 4: /* another owner, and so perhaps another class */
		if (n->row->user_id)
			map_world_row(n)->user_id = 1 + (int64_t)rng_below(rng, 4);
		map_world_classify(w, n);
		break;
	case 5:
		free((void *)(uintptr_t)n->serving);
		n->n_serving = 1 - n->n_serving;
		n->serving = n->n_serving ? calloc(1, sizeof *n->serving) : NULL;
		if (n->serving)
			memcpy((void *)(uintptr_t)n->serving, &route, sizeof route);
		n->cand = n->serving;
		n->n_cand = n->n_serving;
		map_world_classify(w, n);
		break;
	}
	map_cache_touch(c, n);
}

/* A cache that lives through random changes says what a simple computation from scratch says. */
static void random_changes(size_t cap, size_t max_bytes, int rounds, uint64_t seed, const char *policy)
{
	struct map_world w;
	struct map_cache *c;
	struct test_rng rng = { seed };

	map_world_init(&w, cap, 4, policy);
	assert_ok(map_cache_new(max_bytes, &c));
	for (int i = 0; i < rounds; i++) {
		for (uint64_t k = rng_below(&rng, 6); k > 0; k--)
			change_one(&w, c, &rng);
		if (rng_below(&rng, 100) == 0)
			map_cache_drop(c);
		struct map_node *viewer = w.nodes[rng_below(&rng, cap)];
		if (viewer)
			check_viewer(c, &w, viewer);
	}
	map_cache_free(c);
	map_world_done(&w);
}

static void cached_maps_equal_fresh_ones(void **state)
{
	(void)state;
	random_changes(40, 1 << 20, 300, 1, rules);
	random_changes(300, 64 << 20, 150, 2, rules);
	random_changes(300, 64 << 20, 100, 3, "");
	random_changes(300, 30000, 60, 4, rules); /* the cache holds hardly anything */
}

static void the_cache_keeps_its_ceiling(void **state)
{
	(void)state;
	struct map_world w;
	struct map_cache *c;

	map_world_init(&w, 600, 3, "");
	for (int i = 0; i < 600; i++)
		map_world_add(&w, 1 + i % 3, NULL);
	assert_ok(map_cache_new(200000, &c));
	for (int i = 0; i < 20; i++)
		check_viewer(c, &w, w.nodes[i * 29]);
	assert_true(map_cache_bytes(c) <= 200000);
	map_cache_drop(c);
	assert_int_equal(map_cache_bytes(c), 0);
	map_cache_free(c);
	map_world_done(&w);
}

/* Two viewers of the same peers send the same frames, but for their own. */
static void blocks_are_shared(void **state)
{
	(void)state;
	struct map_world w;
	struct map_cache *c;
	struct slots told = { 0 };
	struct policy_filter f[POLICY_FILTERS_MAX];
	struct map_msg *a, *b;
	size_t n, shared = 0, pieces = 0;

	map_world_init(&w, 640, 3, "");
	for (int i = 0; i < 640; i++)
		map_world_add(&w, 1 + i % 3, NULL);
	assert_ok(map_cache_new(64 << 20, &c));
	assert_ok(map_full(c, &w.t, w.nodes[0], NOW * 1000LL, &told, f, &n, &a));
	assert_ok(map_full(c, &w.t, w.nodes[600], NOW * 1000LL, &told, f, &n, &b));
	for (size_t i = 0; map_msg_piece(a, false, i).n; i++, pieces++)
		for (size_t k = 0; map_msg_piece(b, false, k).n; k++)
			shared += map_msg_piece(a, false, i).p == map_msg_piece(b, false, k).p;
	assert_true(shared >= 8);
	assert_true(pieces <= 13);
	map_msg_unref(a);
	map_msg_unref(b);
	slots_done(&told);
	map_cache_free(c);
	map_world_done(&w);
}

static json_t *changed_of(struct map_cache *c, struct map_world *w, struct map_node *const *nodes, size_t n, const struct map_node *viewer)
{
	struct map_delta d = { .changed = (const struct map_node *const *)nodes, .n_changed = n, .viewer = viewer };
	struct map_msg *m = NULL;

	assert_ok(map_delta_msg(c, &w->t, &d, NOW * 1000LL, &m));
	json_t *v = naive_msg_json(m), *peers = json_incref(json_object_get(v, "PeersChanged"));
	json_decref(v);
	map_msg_unref(m);
	return peers;
}

static void texts_are_made_ahead_and_used_by_big_deltas(void **state)
{
	enum { NODES = 150 };
	(void)state;
	struct map_node *node[NODES];
	struct map_world w;
	struct map_cache *c, *fresh;
	struct slots told = { 0 };

	map_world_init(&w, NODES + 8, 2, "");
	assert_ok(map_cache_new(16 << 20, &c));
	assert_ok(map_cache_new(16 << 20, &fresh));
	for (size_t i = 0; i < NODES; i++)
		node[i] = map_world_add(&w, 1, NULL);
	assert_int_equal(map_cache_cold(c), 0); /* nothing is laid out */
	json_decref(full(c, &w, node[0], &told));
	assert_int_equal(map_cache_cold(c), 0);
	for (size_t i = 0; i < NODES; i++) {
		map_world_row(node[i])->n_endpoints = 1;
		map_cache_touch(c, node[i]);
	}
	size_t cold = map_cache_cold(c);
	assert_in_range(cold, NODES / MAP_BLOCK, NODES);
	map_cache_warm(c, &w.t, 1);
	assert_int_equal(map_cache_cold(c), cold - 1);

	/* As many as fill a block are written by blocks, and look as if written one by one. */
	json_t *many = changed_of(c, &w, node + 1, NODES - 1, node[0]);
	assert_int_equal(json_array_size(many), NODES - 1);
	assert_int_equal(map_cache_cold(c), 0);
	for (size_t i = 1; i < NODES; i++) {
		json_t *one = changed_of(fresh, &w, node + i, 1, node[0]);

		assert_true(json_equal(json_array_get(one, 0), json_array_get(many, i - 1)));
		json_decref(one);
	}
	json_decref(many);
	map_cache_touch(c, node[5]);
	map_cache_warm(c, &w.t, NODES);
	assert_int_equal(map_cache_cold(c), 0);
	json_t *ahead = full(c, &w, node[0], &told), *anew = full(fresh, &w, node[0], &told);
	assert_int_equal(json_array_size(json_object_get(ahead, "Peers")), NODES - 1);
	assert_int_equal(json_array_size(json_object_get(anew, "Peers")), NODES - 1);
	json_decref(ahead);
	json_decref(anew);
	slots_done(&told);
	map_cache_free(c);
	map_cache_free(fresh);
	map_world_done(&w);
}

static void a_gone_node_is_told_to_log_in(void **state)
{
	(void)state;
	struct map_world w;
	struct map_msg *m;
	struct node_pub key = { { 1, 2, 3 } };
	struct machine_pub machine = { { 4 } };
	struct disco_pub disco = { { 5 } };
	char text[KEY_TEXT_MAX];

	map_world_init(&w, 1, 1, "");
	assert_ok(map_gone_msg(&w.t, &key, &machine, &disco, NOW * 1000LL, &m));
	json_t *v = naive_msg_json(m), *node = json_object_get(v, "Node");
	assert_string_equal(text_at(node, "Key"), node_pub_text(&key, text));
	assert_string_equal(text_at(node, "KeyExpiry"), "2026-01-01T03:04:05Z");
	assert_int_equal(json_array_size(json_object_get(json_object_get(v, "PacketFilters"), "base")), 0);
	assert_non_null(json_object_get(json_object_get(json_object_get(v, "DERPMap"), "Regions"), "900"));
	assert_int_equal(json_array_size(json_object_get(v, "UserProfiles")), 1);
	json_decref(v);
	map_msg_unref(m);
	map_world_done(&w);
}

/* The core touches a node before it has given it a slot or a class. */
static void unplaced_nodes_are_left_out(void **state)
{
	(void)state;
	struct map_world w;
	struct map_cache *c;

	map_world_init(&w, 4, 1, "");
	assert_ok(map_cache_new(1 << 20, &c));
	struct map_node *a = map_world_add(&w, 1, NULL);
	check_viewer(c, &w, a);
	struct map_node early = *a;
	early.slot = UINT32_MAX;
	map_cache_touch(c, &early);
	early.slot = 2;
	early.cls = UINT32_MAX;
	map_cache_touch(c, &early);
	map_cache_gone(c, UINT32_MAX);
	check_viewer(c, &w, a);
	map_cache_free(c);
	map_world_done(&w);
}

static void slots_grow_and_clear(void **state)
{
	(void)state;
	struct slots s = { 0 };

	assert_false(slots_has(&s, 5));
	slots_clear(&s, 5);
	assert_ok(slots_set(&s, 1000));
	assert_ok(slots_set(&s, 63));
	assert_true(slots_has(&s, 1000) && slots_has(&s, 63));
	assert_false(slots_has(&s, 999) || slots_has(&s, 64));
	slots_clear(&s, 63);
	assert_false(slots_has(&s, 63));
	slots_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_that_cannot_pin_are_told_not_to_check),
		cmocka_unit_test(the_first_message_has_what_it_needs), cmocka_unit_test(cached_maps_equal_fresh_ones),
		cmocka_unit_test(the_cache_keeps_its_ceiling),	       cmocka_unit_test(blocks_are_shared),
		cmocka_unit_test(texts_are_made_ahead_and_used_by_big_deltas),
		cmocka_unit_test(a_gone_node_is_told_to_log_in),       cmocka_unit_test(slots_grow_and_clear),
		cmocka_unit_test(unplaced_nodes_are_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
