/* The policy as the core keeps it: versions, jobs that come back late, undo. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

#define ALL "{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}"
#define NONE "{\"acls\": []}"

static struct command *text_command(enum command_kind kind, const char *text, const char *note)
{
	struct command *m = command_new(kind);

	m->text = arena_str(&m->arena, bytes_str(text));
	m->note = arena_str(&m->arena, bytes_str(note));
	m->actor = "test";
	return m;
}

static struct reply *set(struct harness *h, const char *text)
{
	return harness_command(h, text_command(CMD_POLICY_SET, text, "a note"));
}

static struct reply *by_number(struct harness *h, enum command_kind kind, int64_t n)
{
	struct command *m = command_new(kind);

	m->id = n;
	return harness_command(h, m);
}

static void versions_are_counted(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	assert_int_equal(set(&h, ALL)->e, OK);
	assert_int_equal(h.reply->policies[0].version, 1);
	assert_int_equal(set(&h, NONE)->e, OK);
	assert_int_equal(set(&h, "{ not json")->e, ERR_INVALID);
	assert_int_equal(h.reply->faults->n, 1);
	assert_int_equal(h.reply->faults->fault[0].line, 1);
	assert_int_equal(h.reply->faults->fault[0].column, 3);

	struct reply *r = harness_node_command(&h, CMD_POLICY_HISTORY, 0);
	assert_int_equal(r->n_policies, 2);
	assert_int_equal(r->policies[0].version, 2);
	assert_string_equal(r->policies[0].text, "");
	assert_int_equal(r->policy_bytes[1], strlen(ALL));
	assert_string_equal(r->policies[1].note, "a note");
	assert_string_equal(r->policies[1].author, "test");
	assert_true(r->policies[1].created_ms > 0);

	r = by_number(&h, CMD_POLICY_VERSION, 1);
	assert_string_equal(r->policies[0].text, ALL);
	assert_int_equal(by_number(&h, CMD_POLICY_VERSION, 3)->e, ERR_NOT_FOUND);
	assert_int_equal(by_number(&h, CMD_POLICY_ROLLBACK, 9)->e, ERR_NOT_FOUND);
	r = by_number(&h, CMD_POLICY_ROLLBACK, 1);
	assert_int_equal(r->e, OK);
	assert_int_equal(r->policies[0].version, 3);
	assert_string_equal(r->policies[0].text, ALL);
	assert_string_equal(r->policies[0].note, "back to version 1");

	harness_restart(&h);
	assert_int_equal(harness_node_command(&h, CMD_POLICY_HISTORY, 0)->n_policies, 3);
	assert_string_equal(harness_node_command(&h, CMD_POLICY_GET, 0)->policies[0].text, ALL);
	harness_stop(&h);
}

static void old_versions_go(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	for (int i = 0; i < POLICY_VERSIONS_MAX + 5; i++)
		assert_int_equal(set(&h, i % 2 ? ALL : NONE)->e, OK);
	struct reply *r = harness_node_command(&h, CMD_POLICY_HISTORY, 0);
	assert_int_equal(r->n_policies, POLICY_VERSIONS_MAX);
	assert_int_equal(r->policies[0].version, POLICY_VERSIONS_MAX + 5);
	assert_int_equal(h.db.n_policies, POLICY_VERSIONS_MAX);
	char *a = harness_dump(&h), *b = harness_dump_db(&h);
	assert_string_equal(a, b);
	free(a);
	free(b);

	/* Long ones take the room of many. */
	char *big = malloc(POLICY_TEXT_MAX);
	memset(big, ' ', POLICY_TEXT_MAX - 1);
	big[POLICY_TEXT_MAX - 1] = 0;
	for (int i = 0; i < 6; i++)
		assert_int_equal(set(&h, big)->e, OK);
	free(big);
	assert_int_equal(harness_node_command(&h, CMD_POLICY_HISTORY, 0)->n_policies, POLICY_VERSIONS_BYTES / (POLICY_TEXT_MAX - 1) + 1);
	harness_stop(&h);
}

static size_t peers_of(struct device *d)
{
	size_t n = 0;
	device_hang_up(d);
	device_stream(d);
	for (json_t *m; (m = device_next(d));)
		n = json_array_size(json_object_get(m, "Peers"));
	return n;
}

/* The worker looked at a tailnet that is another one when it is done. */
static void nodes_change_meanwhile(void **state)
{
	(void)state;
	struct harness h;
	struct device d[4];
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	const char *ann = harness_authkey(&h, "ann", AK_REUSABLE), *bob = harness_authkey(&h, "bob", AK_REUSABLE);
	for (int i = 0; i < 4; i++) {
		char name[16];
		snprintf(name, sizeof name, "n%d", i);
		device_init(&d[i], &h, name);
	}
	device_join(&d[0], ann);
	device_join(&d[1], ann);
	int64_t gone = device_join(&d[2], bob);
	assert_int_equal(peers_of(&d[0]), 2);

	h.hold_jobs = true;
	assert_null(set(&h, "{\"acls\": [{\"action\": \"accept\", \"src\": [\"ann@\"], \"dst\": [\"ann@:*\"]}]}"));
	harness_node_command(&h, CMD_NODE_DELETE, gone);
	device_join(&d[3], bob); /* takes the slot that was left */
	assert_int_equal(peers_of(&d[0]), 2);
	struct command *m = command_new(CMD_NODE_MOVE);
	m->id = device_node_id(&d[1]);
	m->user = "bob";
	assert_int_equal(harness_command(&h, m)->e, OK);
	h.hold_jobs = false;
	harness_settle(&h);
	assert_int_equal(peers_of(&d[0]), 0); /* the other one is bob's now, and so is the new one */
	assert_int_equal(peers_of(&d[3]), 0);
	m = command_new(CMD_NODE_MOVE);
	m->id = device_node_id(&d[3]);
	m->user = "ann";
	assert_int_equal(harness_command(&h, m)->e, OK);
	assert_int_equal(peers_of(&d[0]), 1);
	for (int i = 0; i < 4; i++)
		device_done(&d[i]);
	harness_stop(&h);
}

static void what_is_not_durable_is_undone(void **state)
{
	(void)state;
	struct harness h;
	struct device d[2];
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *ann = harness_authkey(&h, "ann", AK_REUSABLE);
	for (int i = 0; i < 2; i++) {
		device_init(&d[i], &h, i ? "b" : "a");
		device_join(&d[i], ann);
	}
	assert_int_equal(set(&h, ALL)->e, OK);
	h.hold = true;
	assert_null(set(&h, NONE));
	h.hold = false;
	harness_fail(&h);
	assert_string_equal(harness_node_command(&h, CMD_POLICY_GET, 0)->policies[0].text, ALL);
	assert_int_equal(harness_node_command(&h, CMD_POLICY_HISTORY, 0)->n_policies, 1);
	assert_int_equal(peers_of(&d[0]), 1);
	char *a = harness_dump(&h), *b = harness_dump_db(&h);
	assert_string_equal(a, b);
	free(a);
	free(b);
	for (int i = 0; i < 2; i++)
		device_done(&d[i]);
	harness_stop(&h);
}

static void a_stop_answers_who_waits(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	h.hold_jobs = true;
	for (int i = 0; i < JOBS_MAX; i++)
		assert_null(set(&h, NONE));
	assert_int_equal(set(&h, NONE)->e, ERR_BUSY);
	harness_stop(&h); /* the calls free themselves once they are answered: leaks would show */
}

/* How many recorders the newest SSH policy among the device's messages names; -1: none came. */
static int recorders(struct device *d)
{
	int n = -1;

	for (json_t *m; (m = device_next(d));) {
		json_t *rules = json_object_get(json_object_get(m, "SSHPolicy"), "rules");
		if (rules)
			n = (int)json_array_size(json_object_get(json_object_get(json_array_get(rules, 0), "action"), "recorders"));
	}
	return n;
}

/* A recorder that comes, gets another address, or goes is told to the machines whose sessions it records. */
static void recorders_change(void **state)
{
	(void)state;
	struct harness h;
	struct device a, web, rec;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	assert_ok(set(&h, "{\"tagOwners\": {\"tag:web\": [\"ann@\"], \"tag:rec\": [\"ann@\"]}, \"ssh\": [{\"action\": \"accept\", \"src\": [\"ann@\"],"
		" \"dst\": [\"tag:web\"], \"users\": [\"root\"], \"recorder\": [\"tag:rec\"]}]}")->e);
	device_init(&a, &h, "a");
	device_init(&web, &h, "web");
	device_init(&rec, &h, "rec");
	device_join(&a, harness_authkey(&h, "ann", 0));
	device_join(&web, harness_authkey_tags(&h, "ann", 0, "tag:web"));
	device_skip(&web);
	int64_t id = device_join(&rec, harness_authkey_tags(&h, "ann", 0, "tag:rec"));
	assert_int_equal(recorders(&web), 2);
	struct command *m = command_new(CMD_NODE_SET_IP);
	struct addr to = addr_v4(100, 64, 9, 9);
	m->id = id;
	m->addrs = &to;
	m->n_addrs = 1;
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(recorders(&web), 2);
	assert_int_equal(recorders(&a), -1);
	assert_ok(harness_node_command(&h, CMD_NODE_DELETE, id)->e);
	assert_int_equal(recorders(&web), 0);
	device_done(&a);
	device_done(&web);
	device_done(&rec);
	harness_stop(&h);
}

/* Where it is kept elsewhere, people do not change it in the console; keys and the command line put it here. */
static void kept_elsewhere_it_is_not_changed_in_the_console(void **state)
{
	(void)state;
	struct harness h;
	char link[64];

	harness_start(&h, NULL);
	harness_user(&h, "ann");
	struct command *m = command_new(CMD_USER_ROLE);
	m->id = harness_command(&h, command_new(CMD_USER_LIST))->users[0].id;
	m->role = "admin";
	assert_ok(harness_command(&h, m)->e);
	m = command_new(CMD_LINK_MAKE);
	m->user = "ann";
	m->expires_ms = h.now.wall_ms + 3600000;
	struct reply *r = harness_command(&h, m);
	assert_ok(r->e);
	snprintf(link, sizeof link, "%s", r->secret);
	m = command_new(CMD_LINK_USE);
	m->key_text = link;
	m->expires_ms = h.now.wall_ms + 3600000;
	r = harness_command(&h, m);
	assert_ok(r->e);
	int64_t session = r->signins[0].id;
	static const struct {
		const char *key, *value;
		err e;
	} settings[] = { { "policy.external_link", "javascript:alert(1)", ERR_INVALID }, { "policy.external_link", "https://git.example/policy", OK },
		{ "policy.externally_managed", "true", OK } };
	m = text_command(CMD_POLICY_SET, "{}", "by hand");
	m->by_signin = session;
	assert_ok(harness_command(&h, m)->e);
	for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
		m = command_new(CMD_SETTINGS_SET);
		m->name = settings[i].key;
		m->text = settings[i].value;
		assert_int_equal(harness_command(&h, m)->e, settings[i].e);
	}
	static const enum command_kind kinds[] = { CMD_POLICY_SET, CMD_POLICY_ROLLBACK };
	for (size_t i = 0; i < 2; i++) {
		m = text_command(kinds[i], "{\"acls\":[]}", "");
		m->id = 1;
		m->by_signin = session;
		m->force = true;
		r = harness_command(&h, m);
		assert_int_equal(r->e, ERR_STATE);
		assert_non_null(strstr(r->message, "https://git.example/policy"));
	}
	m = text_command(CMD_POLICY_CHECK, "{\"acls\":[]}", ""); /* looking is free */
	m->by_signin = session;
	assert_ok(harness_command(&h, m)->e);
	assert_ok(set(&h, "{\"acls\":[]}")->e);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_are_counted),
		cmocka_unit_test(old_versions_go),
		cmocka_unit_test(nodes_change_meanwhile),
		cmocka_unit_test(what_is_not_durable_is_undone),
		cmocka_unit_test(a_stop_answers_who_waits),
		cmocka_unit_test(recorders_change),
		cmocka_unit_test(kept_elsewhere_it_is_not_changed_in_the_console),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
