#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

struct pair {
	struct harness h;
	struct device a, b;
	const char *key;
	int64_t id_a, id_b;
};

static void pair_start(struct pair *p)
{
	harness_start(&p->h, NULL);
	harness_user(&p->h, "ann");
	p->key = harness_authkey(&p->h, "ann", AK_REUSABLE);
	device_init(&p->a, &p->h, "alpha");
	device_init(&p->b, &p->h, "beta");
	p->id_a = device_join(&p->a, p->key);
	p->id_b = device_join(&p->b, p->key);
	device_skip(&p->a);
	device_skip(&p->b);
}

static void pair_stop(struct pair *p)
{
	device_done(&p->a);
	device_done(&p->b);
	harness_stop(&p->h);
}

static json_t *item(json_t *msg, const char *list, int64_t id, const char *id_key)
{
	json_t *l = msg ? json_object_get(msg, list) : NULL, *v;
	size_t i;

	json_array_foreach(l, i, v)
		if (json_integer_value(json_object_get(v, id_key)) == id)
			return v;
	return NULL;
}

static json_t *patch_of(json_t *msg, int64_t id)
{
	return item(msg, "PeersChangedPatch", id, "NodeID");
}

/* The next patch of this node in the device's stream, or NULL. */
static json_t *next_patch(struct device *d, int64_t id)
{
	for (json_t *m; (m = device_next(d));)
		if (patch_of(m, id))
			return patch_of(m, id);
	return NULL;
}

static void offline_after_a_grace(void **state)
{
	struct pair p;

	(void)state;
	pair_start(&p);
	device_hang_up(&p.b);
	harness_step(&p.h, 2900);
	assert_null(device_next(&p.a));
	harness_step(&p.h, 200);
	json_t *patch = next_patch(&p.a, p.id_b);
	assert_non_null(patch);
	assert_true(json_is_false(json_object_get(patch, "Online")));
	assert_non_null(json_object_get(patch, "LastSeen"));
	/* Back: online at once. */
	device_stream(&p.b);
	patch = next_patch(&p.a, p.id_b);
	assert_non_null(patch);
	assert_true(json_is_true(json_object_get(patch, "Online")));
	/* A reconnect within the grace says nothing. */
	device_hang_up(&p.b);
	harness_step(&p.h, 1000);
	device_stream(&p.b);
	harness_step(&p.h, 10000);
	assert_null(device_next(&p.a));
	/* A second stream replaces the first. */
	struct fake_sink *old = p.b.stream;
	map_sink_ref(&old->sink);
	device_stream(&p.b);
	assert_true(old->ended);
	map_sink_unref(&old->sink);
	harness_step(&p.h, 10000);
	assert_null(device_next(&p.a));
	/* The same facts again: nothing. */
	device_lite(&p.b);
	assert_null(device_next(&p.a));
	p.b.endpoint.port = 5555;
	device_lite(&p.b);
	assert_non_null(json_object_get(next_patch(&p.a, p.id_b), "Endpoints"));
	pair_stop(&p);
}

/* Another endpoint every 10 ms for two seconds: peers hear of the first ones at once, and then twice a second. */
static void a_node_that_flaps_is_merged(void **state)
{
	struct pair p;
	size_t n = 0;
	int64_t port = 0;

	(void)state;
	pair_start(&p);
	harness_step(&p.h, FLAP_WINDOW_MS);
	for (int i = 0; i < 200; i++) {
		p.b.endpoint.port = (uint16_t)(2000 + i);
		device_lite(&p.b);
		harness_step(&p.h, 10);
		for (json_t *m; (m = device_next(&p.a)); n++)
			assert_non_null(patch_of(m, p.id_b));
		if (i < FLAP_BURST)
			assert_int_equal(n, i + 1);
	}
	assert_in_range(n, FLAP_BURST + 3, FLAP_BURST + 2000 / FLAP_MERGE_MS);
	/* The last one arrives, and then nothing more. */
	harness_step(&p.h, FLAP_MERGE_MS);
	for (json_t *m, *patch; (m = device_next(&p.a));)
		if ((patch = patch_of(m, p.id_b))) {
			const char *at = json_string_value(json_array_get(json_object_get(patch, "Endpoints"), 0));
			port = at ? strtol(strrchr(at, ':') + 1, NULL, 10) : 0;
		}
	assert_int_equal(port, 2199);
	harness_step(&p.h, 2 * FLAP_WINDOW_MS);
	assert_null(device_next(&p.a));
	/* Calm again, it is told at once. */
	p.b.endpoint.port = 1999;
	device_lite(&p.b);
	assert_non_null(next_patch(&p.a, p.id_b));
	pair_stop(&p);
}

static void restart_makes_nobody_flap(void **state)
{
	struct pair p;

	(void)state;
	pair_start(&p);
	harness_step(&p.h, 1100); /* the lazy write */
	harness_restart(&p.h);
	device_stream(&p.a);
	json_t *peer = item(device_next(&p.a), "Peers", p.id_b, "ID");
	assert_non_null(peer);
	assert_true(json_is_true(json_object_get(peer, "Online")));
	assert_null(device_next(&p.a));
	device_stream(&p.b);
	harness_step(&p.h, 30000);
	assert_null(device_next(&p.a));
	harness_restart(&p.h);
	device_stream(&p.a);
	device_skip(&p.a);
	harness_step(&p.h, 46000); /* b does not come back */
	json_t *patch = next_patch(&p.a, p.id_b);
	assert_non_null(patch);
	assert_true(json_is_false(json_object_get(patch, "Online")));
	pair_stop(&p);
}

/* Seconds of the history; -1: it is not that long. */
static int64_t history_at(struct harness *h, int64_t id, size_t i)
{
	struct reply *r = harness_node_command(h, CMD_NODE_GET, id);
	const struct node_row *row = &r->nodes[0]->row;

	assert_ok(r->e);
	if (4 * i >= row->n_presence)
		return -1;
	const uint8_t *t = row->presence + 4 * i;
	return (int64_t)t[0] << 24 | t[1] << 16 | t[2] << 8 | t[3];
}

static void comings_and_goings_are_remembered(void **state)
{
	enum { FLAPS = 300 };
	struct pair p;

	(void)state;
	pair_start(&p);
	int64_t came = history_at(&p.h, p.id_b, 0);
	assert_true(came > 0);
	assert_int_equal(history_at(&p.h, p.id_b, 1), -1);
	harness_step(&p.h, 3600000);
	device_hang_up(&p.b);
	harness_step(&p.h, 10000);
	int64_t went = history_at(&p.h, p.id_b, 1);
	assert_int_equal(went - came, 3600); /* when the stream broke, not when the grace was over */
	harness_step(&p.h, 60000);
	harness_restart(&p.h);
	assert_int_equal(history_at(&p.h, p.id_b, 0), came);
	assert_int_equal(history_at(&p.h, p.id_b, 1), went);
	assert_int_equal(history_at(&p.h, p.id_b, 2), -1);

	/* Who flaps: bounded, in order, and after the last time it is as now. */
	for (int i = 0; i < FLAPS; i++) {
		device_stream(&p.b);
		harness_step(&p.h, 20000);
		device_hang_up(&p.b);
		harness_step(&p.h, 30000);
	}
	size_t n = 0;
	for (int64_t t, last = 0; (t = history_at(&p.h, p.id_b, n)) >= 0; n++, last = t)
		assert_true(t >= last);
	assert_in_range(n, NODE_PRESENCE_MAX - 2, NODE_PRESENCE_MAX);
	assert_int_equal(n % 2, 0); /* it came first, and is gone now */
	assert_int_equal(history_at(&p.h, p.id_b, 0), came); /* what is short is left out, not what is old */

	/* What is older than a week goes but for one. */
	harness_step(&p.h, 8LL * 24 * 3600 * 1000);
	device_stream(&p.b);
	assert_true(history_at(&p.h, p.id_b, 1) > 0);
	assert_int_equal(history_at(&p.h, p.id_b, 2), -1);
	pair_stop(&p);
}

static void a_node_at_home_here_waits_for_our_relay(void **state)
{
	struct core_settings set = harness_settings();
	struct harness h;
	struct device a, c;

	(void)state;
	set.own_region = 900; /* where the devices live: asserted below */
	harness_start(&h, &set);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "alpha");
	device_join(&a, key);
	harness_step(&h, 3000); /* nobody told of its relay connection: announced by the clock */
	device_skip(&a);
	device_init(&c, &h, "gamma");
	device_register(&c, key);
	device_stream(&c);
	device_lite(&c);
	harness_step(&h, 500);
	assert_null(device_next(&a)); /* a handshake sent there would be lost */
	struct event *e = event_new(EV_AT_RELAY);
	assert_non_null(e);
	assert_int_equal(c.home, 900);
	e->node_key = c.key;
	harness_apply(&h, e);
	assert_non_null(item(device_next(&a), "PeersChanged", device_node_id(&c), "ID"));
	device_done(&a);
	device_done(&c);
	harness_stop(&h);
}

/* Newer clients show a new owner (tailscale status) only after a rebuild, which Domain causes. */
static void the_first_node_of_an_owner_makes_clients_rebuild(void **state)
{
	struct pair p;
	struct device c, d;

	(void)state;
	pair_start(&p);
	harness_user(&p.h, "bob");
	const char *key = harness_authkey(&p.h, "bob", AK_REUSABLE);
	device_init(&c, &p.h, "gamma");
	device_init(&d, &p.h, "delta");
	device_join(&c, key);
	json_t *m = device_next(&p.a);
	assert_non_null(item(m, "PeersChanged", device_node_id(&c), "ID"));
	assert_non_null(json_object_get(m, "Domain"));
	device_skip(&p.a);
	device_join(&d, key); /* bob is known by now */
	m = device_next(&p.a);
	assert_non_null(item(m, "PeersChanged", device_node_id(&d), "ID"));
	assert_null(json_object_get(m, "Domain"));
	device_skip(&p.a);
	/* Also one that is known already and becomes a role's: it said userid:2147455555. */
	struct command *set = command_new(CMD_POLICY_SET);
	set->tailnet_id = 1;
	set->text = "{\"tagOwners\": {\"tag:web\": [\"bob@\"]}}";
	assert_ok(harness_command(&p.h, set)->e);
	device_skip(&p.a);
	struct command *tag = command_new(CMD_NODE_TAGS);
	const char *tags[] = { "tag:web" };
	tag->tailnet_id = 1;
	tag->id = device_node_id(&d);
	tag->tags = tags;
	tag->n_tags = 1;
	assert_ok(harness_command(&p.h, tag)->e);
	bool told = false;
	for (m = device_next(&p.a); m; m = device_next(&p.a))
		if (item(m, "PeersChanged", device_node_id(&d), "ID")) {
			told = true;
			assert_non_null(json_object_get(m, "Domain"));
			assert_non_null(json_object_get(m, "UserProfiles"));
		}
	assert_true(told);
	device_done(&c);
	device_done(&d);
	pair_stop(&p);
}

static void where_ours_is_the_only_relay_nobody_waits(void **state)
{
	struct core_settings set = harness_settings();
	struct harness h;
	struct device a, c;

	(void)state;
	set.own_region = 900;
	set.only_own_region = true;
	harness_start(&h, &set);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "alpha");
	int64_t id_a = device_join(&a, key);
	device_skip(&a);
	device_init(&c, &h, "gamma");
	c.stream_says_disco = true;
	device_register(&c, key);
	device_stream(&c);
	json_t *m = device_next(&c);
	assert_non_null(item(m, "Peers", id_a, "ID")); /* it can send as soon as it is up … */
	json_t *seen = item(device_next(&a), "PeersChanged", device_node_id(&c), "ID");
	assert_non_null(seen); /* … and is known by then */
	assert_int_equal(json_integer_value(json_object_get(seen, "HomeDERP")), 900);
	device_done(&a);
	device_done(&c);
	harness_stop(&h);
}

static void new_nodes_are_announced_when_usable(void **state)
{
	struct pair p;
	struct device c;

	(void)state;
	pair_start(&p);
	device_init(&c, &p.h, "gamma");
	device_register(&c, p.key);
	device_stream(&c);
	json_t *m = device_next(&c);
	assert_non_null(json_object_get(m, "Node"));
	assert_int_equal(json_array_size(json_object_get(m, "Peers")), 0);
	assert_null(device_next(&p.a));
	int home = c.home;
	c.home = 0; /* endpoints come before the home relay, and nobody could send to them yet */
	assert_int_not_equal(c.endpoint.port, 0);
	device_lite(&c);
	harness_settle(&p.h);
	assert_null(device_next(&p.a));
	device_skip(&c);
	c.home = home;
	size_t rounds = p.h.rounds;
	p.h.hold_rounds = true;
	device_lite(&c);
	p.h.hold_rounds = false;
	assert_null(device_next(&p.a));
	harness_settle(&p.h);
	assert_int_equal(p.h.rounds, rounds + 1); /* both sides in one round */
	int64_t id = device_node_id(&c);
	json_t *seen = item(device_next(&p.a), "PeersChanged", id, "ID");
	assert_non_null(seen);
	assert_true(json_is_true(json_object_get(seen, "Online")));
	m = device_next(&c);
	assert_non_null(item(m, "Peers", p.id_a, "ID"));
	assert_non_null(item(m, "Peers", p.id_b, "ID"));
	device_done(&c);
	/* One that never reports is held back for two seconds. */
	device_init(&c, &p.h, "silent");
	device_skip(&p.a);
	device_register(&c, p.key);
	device_stream(&c);
	harness_step(&p.h, 1900);
	assert_null(device_next(&p.a));
	harness_step(&p.h, 200);
	assert_non_null(item(device_next(&p.a), "PeersChanged", device_node_id(&c), "ID"));
	device_done(&c);
	pair_stop(&p);
}

static void deleted_nodes_log_out(void **state)
{
	struct pair p;

	(void)state;
	pair_start(&p);
	assert_ok(harness_node_command(&p.h, CMD_NODE_DELETE, p.id_b)->e);
	json_t *m = device_next(&p.b), *node = json_object_get(m, "Node");
	assert_non_null(node);
	int64_t at;
	assert_ok(time_parse_rfc3339(bytes_str(json_string_value(json_object_get(node, "KeyExpiry"))), &at));
	assert_true(at < p.h.now.wall_ms && at > 0);
	assert_true(p.b.stream->ended);
	assert_int_equal(p.h.revoked, 1);
	assert_memory_equal(&p.h.last_revoked, &p.b.key, 32);
	m = device_next(&p.a);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(m, "PeersRemoved"), 0)), p.id_b);
	/* It comes back with the key: trap T42b. */
	device_stream(&p.b);
	m = device_next(&p.b);
	node = json_object_get(m, "Node");
	assert_ok(time_parse_rfc3339(bytes_str(json_string_value(json_object_get(node, "KeyExpiry"))), &at));
	assert_true(at < p.h.now.wall_ms);
	assert_non_null(json_object_get(m, "DERPMap"));
	assert_false(p.b.stream->ended);
	harness_step(&p.h, 121000);
	assert_true(p.b.stream->ended);
	device_lite(&p.b);
	assert_int_equal(p.b.status, 404);
	/* Its address is free again, its id is not. */
	device_join(&p.b, p.key);
	assert_int_not_equal(device_node_id(&p.b), p.id_b);
	pair_stop(&p);
}

static void keys_expire(void **state)
{
	struct pair p;

	(void)state;
	pair_start(&p);
	struct command *m = command_new(CMD_NODE_EXPIRE);
	m->id = p.id_b;
	m->at_ms = p.h.now.wall_ms + 3600 * 1000;
	assert_ok(harness_command(&p.h, m)->e);
	device_skip(&p.a);
	device_skip(&p.b);
	harness_step(&p.h, 3599 * 1000);
	assert_null(device_next(&p.a));
	harness_step(&p.h, 2000);
	assert_non_null(json_object_get(next_patch(&p.a, p.id_b), "KeyExpiry"));
	assert_non_null(json_object_get(device_next(&p.b), "Node"));
	pair_stop(&p);
}

static err settings(struct harness *h, const struct setting_change *one)
{
	struct command *m = command_new(CMD_SETTINGS_PATCH);

	m->changes = one;
	m->n_changes = 1;
	return harness_command(h, m)->e;
}

static void ephemeral_nodes_leave(void **state)
{
	struct pair p;
	struct device e;

	(void)state;
	pair_start(&p);
	device_init(&e, &p.h, "eph");
	int64_t id = device_join(&e, harness_authkey(&p.h, "ann", AK_EPHEMERAL));
	harness_step(&p.h, 500000);
	assert_int_equal(device_node_id(&e), id);
	device_hang_up(&e);
	harness_step(&p.h, 60000);
	device_stream(&e);
	harness_step(&p.h, 200000);
	assert_int_equal(device_node_id(&e), id);
	device_hang_up(&e);
	/* A restart in between does not make it stay. */
	harness_step(&p.h, 70000);
	harness_restart(&p.h);
	device_stream(&p.a);
	device_skip(&p.a);
	harness_step(&p.h, 130000);
	assert_int_equal(device_node_id(&e), 0);
	bool removed = false;
	for (json_t *m; (m = device_next(&p.a));)
		removed |= json_array_size(json_object_get(m, "PeersRemoved")) == 1;
	assert_true(removed);
	device_done(&e);
	pair_stop(&p);
}

/* Another time to leave counts from when the node went, and a change that was refused does not begin its wait anew. */
static void ephemeral_timeout_changes(void **state)
{
	static const struct setting_change bad[] = { { "node.ephemeral.inactivity_timeout", "70s", false }, { "dns.search_domains", "[\"not a name!\"]", false } };
	static const struct setting_change longer[] = { { "node.ephemeral.inactivity_timeout", "300s", false } };
	static const struct setting_change shorter[] = { { "node.ephemeral.inactivity_timeout", "90s", false } };
	struct pair p;
	struct device e;

	(void)state;
	pair_start(&p);
	device_init(&e, &p.h, "eph");
	int64_t id = device_join(&e, harness_authkey(&p.h, "ann", AK_EPHEMERAL));
	device_hang_up(&e);
	harness_step(&p.h, p.h.set.offline_grace_ms);
	assert_ok(settings(&p.h, longer));
	harness_step(&p.h, 200000);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(device_node_id(&e), id);
		struct command *m = command_new(CMD_SETTINGS_PATCH);
		m->changes = bad;
		m->n_changes = sizeof bad / sizeof *bad;
		assert_int_equal(harness_command(&p.h, m)->e, ERR_INVALID);
		harness_step(&p.h, 20000);
	}
	assert_int_equal(device_node_id(&e), id);
	harness_step(&p.h, 20001);
	assert_int_equal(device_node_id(&e), 0);
	/* Less than it has waited already: it leaves at once. */
	id = device_join(&e, harness_authkey(&p.h, "ann", AK_EPHEMERAL));
	device_hang_up(&e);
	harness_step(&p.h, p.h.set.offline_grace_ms + 200000);
	assert_int_equal(device_node_id(&e), id);
	assert_ok(settings(&p.h, shorter));
	harness_step(&p.h, 1);
	assert_int_equal(device_node_id(&e), 0);
	device_done(&e);
	pair_stop(&p);
}

static void names_and_renames(void **state)
{
	struct pair p;
	struct device c;

	(void)state;
	pair_start(&p);
	device_init(&c, &p.h, "Alpha");
	int64_t id = device_join(&c, p.key);
	struct reply *r = harness_node_command(&p.h, CMD_NODE_GET, id);
	assert_string_equal(r->nodes[0]->row.given_name, "alpha-1");
	assert_string_equal(r->nodes[0]->row.hostname, "Alpha");
	device_skip(&p.a);
	struct command *m = command_new(CMD_NODE_RENAME);
	m->id = id;
	m->new_name = "alpha";
	assert_int_equal(harness_command(&p.h, m)->e, ERR_EXISTS);
	m = command_new(CMD_NODE_RENAME);
	m->id = id;
	m->new_name = "Not A Label";
	assert_int_equal(harness_command(&p.h, m)->e, ERR_INVALID);
	m = command_new(CMD_NODE_RENAME);
	m->id = id;
	m->new_name = "zeus";
	assert_ok(harness_command(&p.h, m)->e);
	json_t *seen = item(device_next(&p.a), "PeersChanged", id, "ID");
	assert_string_equal(json_string_value(json_object_get(seen, "Name")), "zeus.tail.example.com.");
	snprintf(c.hostname, sizeof c.hostname, "other");
	device_lite(&c);
	r = harness_node_command(&p.h, CMD_NODE_GET, id);
	assert_string_equal(r->nodes[0]->row.given_name, "zeus");
	assert_string_equal(r->nodes[0]->row.hostname, "other");
	/* While it is automatic it follows. */
	snprintf(p.b.hostname, sizeof p.b.hostname, "Bob's PC");
	device_lite(&p.b);
	r = harness_node_command(&p.h, CMD_NODE_GET, p.id_b);
	assert_string_equal(r->nodes[0]->row.given_name, "bobs-pc");
	device_done(&c);
	pair_stop(&p);
}

static void disco_key_is_one_nodes(void **state)
{
	struct pair p;
	struct disco_pub mine;

	(void)state;
	pair_start(&p);
	mine = p.b.disco;
	p.b.disco = p.a.disco;
	device_lite(&p.b);
	assert_int_equal(p.b.status, 409);
	p.b.disco = mine;
	device_lite(&p.b);
	assert_int_equal(p.b.status, 200);
	pair_stop(&p);
}

static void routes_fail_over(void **state)
{
	struct pair p;

	(void)state;
	pair_start(&p);
	struct prefix route;
	assert_ok(prefix_parse(BYTES_LIT("10.1.0.0/16"), &route));
	int64_t ids[] = { p.id_a, p.id_b };
	struct device *d[] = { &p.a, &p.b };
	for (int i = 0; i < 2; i++) {
		d[i]->route = "10.1.0.0/16";
		device_lite(d[i]);
		struct command *m = command_new(CMD_NODE_APPROVE_ROUTES);
		m->id = ids[i];
		m->routes = &route;
		m->n_routes = 1;
		assert_ok(harness_command(&p.h, m)->e);
	}
	assert_int_equal(harness_node_command(&p.h, CMD_NODE_GET, p.id_a)->nodes[0]->n_serving, 1);
	assert_int_equal(harness_node_command(&p.h, CMD_NODE_GET, p.id_b)->nodes[0]->n_serving, 0);
	device_hang_up(&p.a);
	harness_step(&p.h, 4000);
	assert_int_equal(harness_node_command(&p.h, CMD_NODE_GET, p.id_a)->nodes[0]->n_serving, 0);
	assert_int_equal(harness_node_command(&p.h, CMD_NODE_GET, p.id_b)->nodes[0]->n_serving, 1);
	device_stream(&p.a); /* sticky: it does not move back */
	assert_int_equal(harness_node_command(&p.h, CMD_NODE_GET, p.id_b)->nodes[0]->n_serving, 1);
	pair_stop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offline_after_a_grace), cmocka_unit_test(a_node_that_flaps_is_merged),
		cmocka_unit_test(restart_makes_nobody_flap),
		cmocka_unit_test(comings_and_goings_are_remembered),
		cmocka_unit_test(new_nodes_are_announced_when_usable),
		cmocka_unit_test(the_first_node_of_an_owner_makes_clients_rebuild),
		cmocka_unit_test(where_ours_is_the_only_relay_nobody_waits),
		cmocka_unit_test(a_node_at_home_here_waits_for_our_relay),
		cmocka_unit_test(deleted_nodes_log_out),
		cmocka_unit_test(keys_expire),
		cmocka_unit_test(ephemeral_nodes_leave),
		cmocka_unit_test(ephemeral_timeout_changes),
		cmocka_unit_test(names_and_renames),
		cmocka_unit_test(disco_key_is_one_nodes),
		cmocka_unit_test(routes_fail_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
