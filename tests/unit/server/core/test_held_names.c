/* A name that was given up is kept for its owner; names of the server, relays and records are nobody's. */
#include <stdio.h>

#include "common/base/cleanup.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static const char *name_of(struct harness *h, int64_t id)
{
	return harness_node_command(h, CMD_NODE_GET, id)->nodes[0]->row.given_name;
}

static struct reply *rename_node(struct harness *h, int64_t id, const char *name)
{
	struct command *m = command_new(CMD_NODE_RENAME);

	m->id = id;
	m->new_name = name;
	return harness_command(h, m);
}

static int64_t join(struct harness *h, struct device *d, const char *hostname, const char *key)
{
	device_init(d, h, hostname);
	return device_join(d, key);
}

static void kept_for_the_owner(void **state)
{
	struct harness h;
	struct device d[6];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	const char *ann = harness_authkey(&h, "ann", AK_REUSABLE), *bob = harness_authkey(&h, "bob", AK_REUSABLE);
	int64_t id = join(&h, &d[0], "web", ann);
	assert_ok(harness_node_command(&h, CMD_NODE_DELETE, id)->e);
	harness_restart(&h);
	int64_t theirs = join(&h, &d[1], "web", bob);
	assert_string_equal(name_of(&h, theirs), "web-1"); /* not what others know as ann's */
	int64_t again = join(&h, &d[2], "web", ann);
	assert_string_equal(name_of(&h, again), "web");
	assert_ok(rename_node(&h, again, "db")->e); /* given up by renaming, too */
	int64_t third = join(&h, &d[3], "web", bob);
	assert_string_equal(name_of(&h, third), "web-2");
	assert_ok(rename_node(&h, third, "web")->e); /* an administrator gives what is free */
	assert_string_equal(name_of(&h, third), "web");
	assert_ok(harness_node_command(&h, CMD_NODE_DELETE, third)->e);
	harness_step(&h, 31LL * 24 * 3600 * 1000);
	harness_step(&h, 3600 * 1000);
	int64_t later = join(&h, &d[4], "web", ann);
	assert_string_equal(name_of(&h, later), "web"); /* a month later it is anybody's */
	id = join(&h, &d[5], "ci", harness_authkey(&h, "bob", AK_EPHEMERAL));
	assert_ok(harness_node_command(&h, CMD_NODE_DELETE, id)->e);
	device_done(&d[5]);
	assert_string_equal(name_of(&h, join(&h, &d[5], "ci", ann)), "ci"); /* ephemeral names are not kept */
	for (size_t i = 0; i < ARRAY_LEN(d); i++)
		device_done(&d[i]);
	harness_stop(&h);
}

static void a_failed_delete_keeps_nothing(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	int64_t id = join(&h, &a, "web", harness_authkey(&h, "ann", 0));
	h.hold = true;
	assert_null(harness_node_command(&h, CMD_NODE_DELETE, id));
	harness_fail(&h);
	h.hold = false;
	harness_settle(&h);
	assert_ok(rename_node(&h, id, "other")->e);
	assert_string_equal(name_of(&h, join(&h, &b, "other", harness_authkey(&h, "bob", 0))), "other-1");
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

static void nobodys_names(void **state)
{
	struct core_settings set = harness_settings();
	struct harness h;
	struct device a, b;

	(void)state;
	set.server_url = "https://ctl.tail.example.com:8443";
	harness_start(&h, &set);
	harness_user(&h, "ann");
	struct command *m = command_new(CMD_DNS_RECORDS);
	m->text = "[{\"name\":\"nas.tail.example.com\",\"type\":\"A\",\"value\":\"100.64.0.9\"}]";
	assert_ok(harness_command(&h, m)->e);
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	int64_t id = join(&h, &a, "nas", key);
	assert_string_equal(name_of(&h, id), "nas-1");
	assert_string_equal(name_of(&h, join(&h, &b, "ctl", key)), "ctl-1");
	struct reply *r = rename_node(&h, id, "ctl");
	assert_int_equal(r->e, ERR_EXISTS);
	assert_non_null(strstr(r->message, "the server's"));
	r = rename_node(&h, id, "nas");
	assert_int_equal(r->e, ERR_EXISTS);
	assert_non_null(strstr(r->message, "record"));
	assert_ok(rename_node(&h, id, "nas-2")->e);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_for_the_owner),
		cmocka_unit_test(a_failed_delete_keeps_nothing),
		cmocka_unit_test(nobodys_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
