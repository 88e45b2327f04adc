#include <stdio.h>
#include <stdlib.h>

#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static void name_becomes_label(const char *from, const char *label)
{
	char out[GIVEN_NAME_MAX + 1];

	name_sanitise(from, out);
	assert_string_equal(out, label);
	assert_true(name_is_label(out));
}

static void names(void **state)
{
	char name[200], out[GIVEN_NAME_MAX + 1];

	(void)state;
	name_becomes_label("Laptop", "laptop");
	name_becomes_label("Ann's MacBook Pro", "anns-macbook-pro");
	name_becomes_label("--a..b__c--", "a-b-c");
	name_becomes_label("", "node");
	name_becomes_label("\xe6\x97\xa5\xe6\x9c\xac", "node");
	name_becomes_label("...", "node");
	memset(name, 'X', sizeof name - 1);
	name[sizeof name - 1] = 0;
	name_sanitise(name, out);
	assert_int_equal(strlen(out), GIVEN_NAME_MAX);
	assert_false(name_is_label(""));
	assert_false(name_is_label("-a"));
	assert_false(name_is_label("a-"));
	assert_false(name_is_label("A"));
	assert_false(name_is_label("a.b"));
	assert_false(name_is_label(name));
}

/* Many nodes of one name: all different, all labels. */
static void crowds_of_one_name(void **state)
{
	struct harness h;
	struct device d;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	char longest[GIVEN_NAME_MAX + 1];
	memset(longest, 'w', GIVEN_NAME_MAX);
	longest[GIVEN_NAME_MAX] = 0;
	for (int i = 0; i < 100; i++) {
		device_init(&d, &h, longest);
		d.from = (struct addr){ 0 };
		device_register(&d, key);
		struct reply *r = harness_node_command(&h, CMD_NODE_GET, device_node_id(&d));
		assert_ok(r->e);
		assert_true(name_is_label(r->nodes[0]->row.given_name));
		device_done(&d);
	}
	free(harness_dump(&h)); /* checks that the indexes find everybody */
	harness_stop(&h);
}

static void small_prefix(bool random)
{
	struct core_settings s = harness_settings();
	struct harness h;
	struct device d;
	struct prefix reserved;

	/* 16 addresses around the service address: 14 hosts, less that one. */
	assert_ok(prefix_parse(BYTES_LIT("100.100.100.96/28"), &s.v4));
	assert_ok(prefix_parse(BYTES_LIT("100.100.100.100/32"), &reserved));
	s.random_allocation = random;
	harness_start(&h, &s);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	int64_t first = 0;
	for (int i = 0; i < 14; i++) {
		device_init(&d, &h, "x");
		d.from = (struct addr){ 0 };
		json_t *resp = device_register(&d, key);
		const char *error = json_string_value(json_object_get(resp, "Error"));
		if (i == 13) {
			assert_non_null(strstr(error, "no address is left"));
		} else {
			assert_true(!error || !*error);
			struct reply *r = harness_node_command(&h, CMD_NODE_GET, device_node_id(&d));
			struct addr a = r->nodes[0]->row.v4;
			assert_true(prefix_contains(s.v4, a));
			assert_false(prefix_contains(reserved, a));
			assert_int_not_equal(a.b[3], 96);
			assert_int_not_equal(a.b[3], 111);
			if (!first)
				first = r->nodes[0]->row.id;
		}
		device_done(&d);
	}
	/* One leaves: its address is the next one's. */
	struct addr freed = harness_node_command(&h, CMD_NODE_GET, first)->nodes[0]->row.v4;
	assert_ok(harness_node_command(&h, CMD_NODE_DELETE, first)->e);
	device_init(&d, &h, "y");
	device_register(&d, key);
	struct addr got = harness_node_command(&h, CMD_NODE_GET, device_node_id(&d))->nodes[0]->row.v4;
	assert_true(addr_eq(freed, got));
	device_done(&d);
	free(harness_dump(&h));
	harness_stop(&h);
}

static void sequential(void **state)
{
	(void)state;
	small_prefix(false);
}

static void at_random(void **state)
{
	(void)state;
	small_prefix(true);
}

/* The next address follows the highest that is in use, also after a restart. */
static void after_a_restart(void **state)
{
	struct harness h;
	struct device a, b;
	char text[ADDR_TEXT_MAX];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	device_register(&a, key);
	int64_t id = device_node_id(&a);
	harness_restart(&h);
	device_register(&b, key);
	struct reply *r = harness_node_command(&h, CMD_NODE_GET, device_node_id(&b));
	assert_string_equal(addr_text(r->nodes[0]->row.v4, text), "100.64.0.2");
	assert_string_equal(addr_text(r->nodes[0]->row.v6, text), "fd7a:115c:a1e0:ab12:4843:cd96:6240:2");
	assert_true(r->nodes[0]->row.id > id); /* ids are never used twice */
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

static struct timers heap;

static void timers(void **state)
{
	struct timer t[64] = { 0 };
	struct test_rng rng = { 7 };
	int64_t last = 0;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 64; i++)
		timer_arm(&heap, &t[i], (int64_t)rng_below(&rng, 1000));
	for (int i = 0; i < 64; i += 3)
		timer_stop(&heap, &t[i]);
	for (int i = 0; i < 64; i += 5)
		timer_arm(&heap, &t[i], (int64_t)rng_below(&rng, 1000));
	for (struct timer *f; (f = timers_first(&heap)); n++) {
		assert_true(f->at_ms >= last);
		last = f->at_ms;
		timer_stop(&heap, f);
		assert_int_equal(f->index, 0);
	}
	assert_int_equal(n, 64 - 22 + 5);
	timers_done(&heap);
}

/* The policy's ipPool: whom it is for gets an address of it, nobody else does, and a full pool refuses in words. */
static void pools_of_the_policy(void **state)
{
	struct harness h;
	struct device d[6];
	char text[ADDR_TEXT_MAX];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	const char *ann = harness_authkey(&h, "ann", AK_REUSABLE), *bob = harness_authkey(&h, "bob", AK_REUSABLE);
	struct command *m = command_new(CMD_POLICY_SET);
	m->text = "{\"tagOwners\": {\"tag:web\": []}, \"groups\": {\"group:ops\": [\"ann@\"]}, \"nodeAttrs\": ["
		  "{\"target\": [\"group:ops\"], \"ipPool\": [\"100.81.0.8/31\"]},"
		  "{\"target\": [\"tag:web\"], \"ipPool\": [\"100.64.0.1-100.64.0.2\"]}]}";
	assert_ok(harness_command(&h, m)->e);
	static const char *const want[] = { "100.81.0.8", "100.81.0.9", "100.64.0.3", "100.64.0.1", "100.64.0.4" };
	const char *keys[] = { ann, ann, bob, harness_authkey_tags(&h, "ann", AK_REUSABLE, "tag:web"), bob };
	for (size_t i = 0; i < 5; i++) {
		char name[8];
		snprintf(name, sizeof name, "d%zu", i);
		device_init(&d[i], &h, name);
		struct reply *r = harness_node_command(&h, CMD_NODE_GET, device_join(&d[i], keys[i]));
		assert_string_equal(addr_text(r->nodes[0]->row.v4, text), want[i]);
		if (i == 2)
			harness_restart(&h);
	}
	device_init(&d[5], &h, "d5");
	json_t *resp = device_register(&d[5], ann);
	assert_non_null(strstr(json_string_value(json_object_get(resp, "Error")), "ipPool"));
	for (size_t i = 0; i < 6; i++)
		device_done(&d[i]);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pools_of_the_policy),
		cmocka_unit_test(names),	 cmocka_unit_test(crowds_of_one_name), cmocka_unit_test(sequential),
		cmocka_unit_test(at_random),	 cmocka_unit_test(after_a_restart),    cmocka_unit_test(timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
