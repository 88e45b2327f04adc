/* Custom attributes: set, ended, used by postures; set by devices themselves where that is allowed. */
#include <stdio.h>

#include "server/core/state.h"
#include "common/base/cleanup.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static struct reply *set_attr(struct harness *h, int64_t id, const char *name, const char *json, int64_t expires_ms)
{
	struct command *m = command_new(CMD_NODE_ATTR_SET);

	m->id = id;
	m->name = name;
	m->text = json;
	m->expires_ms = expires_ms;
	return harness_command(h, m);
}

static void policy(struct harness *h, const char *text)
{
	struct command *m = command_new(CMD_POLICY_SET);

	m->text = text;
	assert_ok(harness_command(h, m)->e);
}

static void they_are_kept_and_bounded(void **state)
{
	struct harness h;
	struct device a;
	char name[80], long_value[400];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	int64_t id = device_join(&a, harness_authkey(&h, "ann", 0));
	assert_ok(set_attr(&h, id, "custom:tier", "\"gold\"", 0)->e);
	assert_ok(set_attr(&h, id, "custom:score", "1.5", h.now.wall_ms + 5000)->e);
	struct reply *r = set_attr(&h, id, "custom:compliant", "true", 0);
	assert_int_equal(r->nodes[0]->row.n_attrs, 3);
	harness_restart(&h);
	r = harness_node_command(&h, CMD_NODE_GET, id);
	const struct custom_attr *l = r->nodes[0]->row.attrs;
	assert_int_equal(r->nodes[0]->row.n_attrs, 3);
	assert_string_equal(l[0].name, "custom:compliant");
	assert_string_equal(l[0].value, "true");
	assert_int_equal(l[0].type, 'b');
	assert_string_equal(l[1].value, "1.5");
	assert_int_equal(l[1].type, 'n');
	assert_string_equal(l[2].value, "gold");

	static const char *const bad_names[] = { "tier", "node:os", "custom:", "custom:a b", "custom:\xc3\xa4", "" };
	for (size_t i = 0; i < ARRAY_LEN(bad_names); i++)
		assert_int_equal(set_attr(&h, id, bad_names[i], "1", 0)->e, ERR_INVALID);
	memset(long_value, 'x', sizeof long_value - 1);
	long_value[0] = long_value[300] = '"';
	long_value[301] = 0;
	const char *const bad_values[] = { "null", "[1]", "{}", "", "\"a\\nb\"", long_value };
	for (size_t i = 0; i < ARRAY_LEN(bad_values); i++)
		assert_int_equal(set_attr(&h, id, "custom:x", bad_values[i], 0)->e, ERR_INVALID);
	assert_int_equal(set_attr(&h, id, "custom:x", "1", h.now.wall_ms - 1)->e, ERR_INVALID);
	for (int i = 0; i < NODE_ATTRS_MAX - 3; i++) {
		snprintf(name, sizeof name, "custom:n%d", i);
		assert_ok(set_attr(&h, id, name, "1", 0)->e);
	}
	assert_int_equal(set_attr(&h, id, "custom:one_too_many", "1", 0)->e, ERR_INVALID);
	harness_step(&h, 6000); /* one ended, and makes room */
	assert_ok(set_attr(&h, id, "custom:one_too_many", "1", 0)->e);
	struct command *m = command_new(CMD_NODE_ATTR_DELETE);
	m->id = id;
	m->name = "custom:tier";
	r = harness_command(&h, m);
	assert_int_equal(r->nodes[0]->row.n_attrs, NODE_ATTRS_MAX - 1);
	device_done(&a);
	harness_stop(&h);
}

#define GOLD "{\"postures\":{\"posture:gold\":[\"custom:tier == 'gold'\"]},\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"]," \
	     "\"srcPosture\":[\"posture:gold\"],\"dst\":[\"*:*\"]}]}"

static void postures_ask_for_them(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	int64_t id = device_join(&a, key);
	device_join(&b, key);
	policy(&h, GOLD);
	device_skip(&a);
	device_skip(&b);
	assert_ok(set_attr(&h, id, "custom:tier", "\"silver\"", 0)->e);
	assert_null(device_next(&b));
	assert_ok(set_attr(&h, id, "custom:tier", "\"gold\"", h.now.wall_ms + 60000)->e);
	json_t *m = device_next(&b);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(m, "PeersChanged"), 0), "ID")), id);
	device_skip(&b);
	harness_step(&h, 59999);
	assert_null(device_next(&b));
	harness_step(&h, 1); /* it ended */
	m = device_next(&b);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(m, "PeersRemoved"), 0)), id);
	h.now.wall_ms -= 30000; /* the clock was wrong */
	harness_step(&h, TIMER_STEP_MS);
	assert_null(device_next(&b)); /* ten minutes later it is over in any case */
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

static void devices_set_what_they_may(void **state)
{
	struct harness h;
	struct device a;
	char body[300], key[KEY_TEXT_MAX];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	int64_t id = device_join(&a, harness_authkey(&h, "ann", 0));
	node_pub_text(&a.key, key);
	snprintf(body, sizeof body, "{\"Version\":130,\"NodeKey\":\"%s\",\"Update\":{\"custom:self\":\"x\",\"custom:n\":3}}", key);
	assert_int_equal(device_request(&a, "/machine/set-device-attr", body), 403);
	struct command *m = command_new(CMD_SETTINGS_SET);
	m->name = "node.own_attributes";
	m->text = "custom:self";
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(device_request(&a, "/machine/set-device-attr", body), 403); /* all or nothing */
	assert_int_equal(harness_node_command(&h, CMD_NODE_GET, id)->nodes[0]->row.n_attrs, 0);
	m = command_new(CMD_SETTINGS_SET);
	m->name = "node.own_attributes";
	m->text = "custom:self,custom:n";
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(device_request(&a, "/machine/set-device-attr", body), 200);
	assert_int_equal(harness_node_command(&h, CMD_NODE_GET, id)->nodes[0]->row.n_attrs, 2);
	snprintf(body, sizeof body, "{\"Version\":130,\"NodeKey\":\"%s\",\"Update\":{\"custom:self\":null}}", key);
	assert_int_equal(device_request(&a, "/machine/set-device-attr", body), 200);
	struct reply *r = harness_node_command(&h, CMD_NODE_GET, id);
	assert_int_equal(r->nodes[0]->row.n_attrs, 1);
	assert_string_equal(r->nodes[0]->row.attrs[0].name, "custom:n");
	device_done(&a);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_kept_and_bounded),
		cmocka_unit_test(postures_ask_for_them),
		cmocka_unit_test(devices_set_what_they_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
