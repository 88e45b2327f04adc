#include "server/map/map.h"

#include <stdlib.h>

#include "tests/lib/map_world.h"
#include "tests/lib/naive_map.h"
#include "tests/lib/test.h"

static const int64_t now_ms = 1767323045000;

struct fixture {
	struct map_world w;
	struct map_cache *c;
	struct map_node *a, *b;
};

static struct fixture fixture(void)
{
	struct fixture f;

	map_world_init(&f.w, 8, 2, "");
	assert_ok(map_cache_new(1 << 20, &f.c));
	f.a = map_world_add(&f.w, 1, NULL);
	f.b = map_world_add(&f.w, 2, NULL);
	f.w.t.nodes = f.w.nodes;
	f.w.t.set = &f.w.set;
	f.w.t.ctx = &f.w;
	return f;
}

static void fixture_done(struct fixture *f)
{
	map_cache_free(f->c);
	map_world_done(&f->w);
}

static json_t *delta(struct fixture *f, const struct map_delta *d)
{
	struct map_msg *m = NULL;

	f->w.t.ctx = &f->w; /* the fixture was moved */
	f->w.t.set = &f->w.set;
	assert_ok(map_delta_msg(f->c, &f->w.t, d, now_ms, &m));
	if (!m)
		return NULL;
	json_t *v = naive_msg_json(m);
	assert_non_null(v);
	map_msg_unref(m);
	return v;
}

static json_t *patched(struct fixture *f, unsigned what)
{
	struct map_patch p = { f->b, what };

	return delta(f, &(struct map_delta){ .patches = &p, .n_patches = 1 });
}

static void expect(json_t *got, const char *want)
{
	json_t *w = json_loads(want, 0, NULL);

	assert_non_null(w);
	if (!json_equal(got, w))
		fail_msg("%s", json_dumps(got, JSON_COMPACT));
	json_decref(w);
	json_decref(got);
}

static void nothing_is_no_message(void **state)
{
	(void)state;
	struct fixture f = fixture();

	assert_null(delta(&f, &(struct map_delta){ 0 }));
	fixture_done(&f);
}

static void patches_say_just_what_changed(void **state)
{
	(void)state;
	struct fixture f = fixture();
	struct node_row *r = map_world_row(f.b);

	expect(patched(&f, PATCH_ONLINE), "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Online\":true}]}");
	f.b->online = false;
	r->last_seen_ms = 1767000000000;
	expect(patched(&f, PATCH_ONLINE),
	       "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Online\":false,\"LastSeen\":\"2025-12-29T09:20:00Z\"}]}");
	r->n_endpoints = 0;
	expect(patched(&f, PATCH_ENDPOINTS), "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Endpoints\":[]}]}");
	expect(patched(&f, PATCH_HOME | PATCH_CAP), "{\"PeersChangedPatch\":[{\"NodeID\":2,\"DERPRegion\":900,\"Cap\":142}]}");
	r->expires_ms = 0; /* never: Go's zero time */
	expect(patched(&f, PATCH_EXPIRY), "{\"PeersChangedPatch\":[{\"NodeID\":2,\"KeyExpiry\":\"0001-01-01T00:00:00Z\"}],"
					  "\"ControlTime\":\"2026-01-02T03:04:05Z\"}");
	fixture_done(&f);
}

/* A disco key beside "offline" is dropped by clients: two entries. */
static void a_disco_key_never_rides_with_offline(void **state)
{
	(void)state;
	struct fixture f = fixture();

	f.b->online = false;
	json_t *v = patched(&f, PATCH_DISCO | PATCH_ONLINE | PATCH_HOME), *list = json_object_get(v, "PeersChangedPatch");
	assert_int_equal(json_array_size(list), 2);
	assert_non_null(json_object_get(json_array_get(list, 0), "DiscoKey"));
	assert_non_null(json_object_get(json_array_get(list, 0), "DERPRegion"));
	assert_null(json_object_get(json_array_get(list, 0), "Online"));
	assert_true(json_is_false(json_object_get(json_array_get(list, 1), "Online")));
	assert_null(json_object_get(json_array_get(list, 1), "DiscoKey"));
	assert_null(json_object_get(json_array_get(list, 1), "DERPRegion"));
	json_decref(v);
	f.b->online = true;
	v = patched(&f, PATCH_DISCO | PATCH_ONLINE);
	assert_int_equal(json_array_size(json_object_get(v, "PeersChangedPatch")), 1);
	json_decref(v);
	fixture_done(&f);
}

static void what_no_patch_can_say_goes_whole(void **state)
{
	(void)state;
	struct fixture f = fixture();

	map_world_row(f.b)->home_derp = 0;
	json_t *v = patched(&f, PATCH_HOME | PATCH_ONLINE);
	/* Online and LastSeen travel beside it: a client that has the node loses them of a whole one (control.md 6.6). */
	json_t *beside = json_array_get(json_object_get(v, "PeersChangedPatch"), 0);
	assert_non_null(json_object_get(beside, "Online"));
	assert_null(json_object_get(beside, "DERPRegion"));
	assert_int_equal(json_array_size(json_object_get(v, "PeersChanged")), 1);
	assert_int_equal(json_array_size(json_object_get(v, "UserProfiles")), 1);
	json_decref(v);

	map_world_row(f.b)->home_derp = 900;
	v = patched(&f, PATCH_KEY);
	json_t *p = json_array_get(json_object_get(v, "PeersChangedPatch"), 0);
	assert_non_null(json_object_get(p, "Key"));
	assert_non_null(json_object_get(p, "DiscoKey"));
	assert_non_null(json_object_get(p, "Endpoints"));
	assert_non_null(json_object_get(p, "KeyExpiry"));
	json_decref(v);

	map_world_row(f.b)->disco = (struct disco_pub){ 0 };
	v = patched(&f, PATCH_DISCO);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(v, "PeersChangedPatch"), 0), "DiscoKey")),
			    "discokey:0000000000000000000000000000000000000000000000000000000000000000");
	json_decref(v);
	fixture_done(&f);
}

static void the_other_fields(void **state)
{
	(void)state;
	struct fixture f = fixture();
	const int64_t removed[] = { 7, 9007199254740993 }, users[] = { 2, 1, 2 };
	struct buf text = buf_make(100);
	buf_append_str(&text, "[{\"x\":1}]");
	struct part *rules = part_new(&text);
	const struct policy_filter filters[] = { { "acl-0", rules, 1 }, { "acl-1", NULL, 0 } };
	const struct map_node *changed[] = { f.b };

	expect(delta(&f, &(struct map_delta){ .removed = removed, .n_removed = 2, .filters = filters, .n_filters = 2,
					      .ssh = BYTES_LIT("{\"rules\":[]}") }),
	       "{\"PeersRemoved\":[7,9007199254740993],\"PacketFilters\":{\"acl-0\":[{\"x\":1}],\"acl-1\":null},"
	       "\"SSHPolicy\":{\"rules\":[]}}");
	json_t *v = delta(&f, &(struct map_delta){ .users = users, .n_users = 3, .dns = true, .derp = true, .self = f.a,
						   .changed = changed, .n_changed = 1 });
	assert_int_equal(json_array_size(json_object_get(v, "UserProfiles")), 2);
	assert_non_null(json_object_get(v, "DNSConfig"));
	assert_non_null(json_object_get(v, "DERPMap"));
	assert_non_null(json_object_get(json_object_get(v, "Node"), "CapMap"));
	assert_true(json_is_true(json_object_get(json_object_get(v, "Node"), "MachineAuthorized")));
	json_t *peer = naive_peer(&f.w.t, f.b);
	assert_true(json_equal(json_array_get(json_object_get(v, "PeersChanged"), 0), peer));
	json_decref(peer);
	json_decref(v);
	part_unref(rules);
	fixture_done(&f);
}

/* A client that got the first message and every delta knows what a fresh map says. */
static void deltas_lead_to_the_fresh_map(void **state)
{
	(void)state;
	struct fixture f = fixture();
	struct test_rng rng = { 5 };
	struct slots told = { 0 };
	struct policy_filter filters[POLICY_FILTERS_MAX];
	struct map_msg *m;
	const char *why;
	size_t n;

	f.w.t.ctx = &f.w;
	f.w.t.set = &f.w.set;
	for (int i = 0; i < 5; i++)
		map_world_add(&f.w, 1 + i % 2, NULL);
	assert_ok(map_full(f.c, &f.w.t, f.a, now_ms, &told, filters, &n, &m));
	json_t *client = naive_client_new(), *first = naive_msg_json(m);
	assert_true(naive_client_apply(client, first, &why));
	map_msg_unref(m);
	json_decref(first);

	for (int round = 0; round < 400; round++) {
		struct map_node *node = f.w.nodes[1 + rng_below(&rng, 6)];
		struct node_row *r = map_world_row(node);
		unsigned what = 0;

		if (rng_below(&rng, 2)) {
			node->online = !node->online;
			r->last_seen_ms = node->online ? 0 : now_ms - 1000 * round;
			what |= PATCH_ONLINE;
		}
		if (rng_below(&rng, 3) == 0)
			r->n_endpoints = rng_below(&rng, 3), what |= PATCH_ENDPOINTS;
		if (rng_below(&rng, 3) == 0)
			r->home_derp = (int)(1 + rng_below(&rng, 3)) * 450, what |= PATCH_HOME;
		if (rng_below(&rng, 4) == 0)
			r->disco.b[0]++, what |= PATCH_DISCO;
		if (rng_below(&rng, 6) == 0)
			r->key.b[1]++, what |= PATCH_KEY;
		if (rng_below(&rng, 4) == 0)
			r->expires_ms = rng_below(&rng, 2) ? 0 : now_ms + round * 1000, what |= PATCH_EXPIRY;
		if (!what)
			continue;
		struct map_patch p = { node, what };
		json_t *msg = delta(&f, &(struct map_delta){ .patches = &p, .n_patches = 1 });
		if (!naive_client_apply(client, msg, &why))
			fail_msg("%s: %s", why, json_dumps(msg, JSON_COMPACT));
		json_t *want = naive_peers(&f.w.t, f.a, NULL, NULL);
		char differs[600];
		if (!naive_peers_agree(json_object_get(client, "Peers"), want, now_ms, differs, sizeof differs))
			fail_msg("round %d: %s after %s", round, differs, json_dumps(msg, JSON_COMPACT));
		json_decref(want);
		json_decref(msg);
	}
	json_decref(client);
	slots_done(&told);
	fixture_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_no_message),	    cmocka_unit_test(patches_say_just_what_changed),
		cmocka_unit_test(a_disco_key_never_rides_with_offline), cmocka_unit_test(what_no_patch_can_say_goes_whole),
		cmocka_unit_test(the_other_fields),		    cmocka_unit_test(deltas_lead_to_the_fresh_map),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
