/* Every change leaves a record in its own transaction: who, what before and after; a failed commit leaves none. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static const struct audit_row *last(const struct harness *h)
{
	assert_true(h->n_audits > 0);
	return &h->audits[h->n_audits - 1];
}

static const struct audit_row *of_kind(const struct harness *h, const char *kind)
{
	for (size_t i = h->n_audits; i-- > 0;)
		if (strcmp(h->audits[i].kind, kind) == 0)
			return &h->audits[i];
	fail_msg("no record of kind %s", kind);
	return NULL;
}

static struct command *from_ann(enum command_kind kind)
{
	struct command *m = command_new(kind);

	m->actor = "apikey:0123456789ab";
	m->via = "v2";
	m->from = addr_v4(192, 0, 2, 7);
	return m;
}

static void commands_say_who_and_what(void **state)
{
	struct harness h;
	struct device d;

	(void)state;
	harness_start(&h, NULL);
	struct command *m = from_ann(CMD_USER_CREATE);
	m->name = "ann";
	m->email = "ann@example.com";
	assert_ok(harness_command(&h, m)->e);
	const struct audit_row *a = last(&h);
	assert_string_equal(a->actor, "apikey:0123456789ab");
	assert_string_equal(a->via, "v2");
	assert_string_equal(a->address, "192.0.2.7");
	assert_string_equal(a->action, "create");
	assert_string_equal(a->kind, "user");
	assert_string_equal(a->target, "ann");
	assert_string_equal(a->before, "");
	assert_non_null(strstr(a->after, "\"email\":\"ann@example.com\""));
	assert_int_equal(a->at_ms, h.now.wall_ms);

	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	assert_string_equal(last(&h)->kind, "authkey");
	assert_null(strstr(last(&h)->after, key + 24)); /* the secret */
	device_init(&d, &h, "laptop");
	int64_t id = device_join(&d, key);
	a = of_kind(&h, "node");
	assert_string_equal(a->via, "node");
	assert_non_null(strstr(a->actor, "authkey:"));
	assert_string_equal(a->target, "laptop");

	size_t before = h.n_audits;
	m = from_ann(CMD_NODE_RENAME);
	m->id = id;
	m->new_name = "desk";
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(h.n_audits, before + 1);
	assert_string_equal(last(&h)->before, "{\"name\":\"laptop\"}"); /* only what differs */
	assert_string_equal(last(&h)->after, "{\"name\":\"desk\"}");
	m = from_ann(CMD_NODE_RENAME);
	m->id = id;
	m->new_name = "desk";
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(h.n_audits, before + 1); /* nothing changed */

	device_logout(&d);
	char actor[40];
	snprintf(actor, sizeof actor, "node:%lld", (long long)id);
	assert_string_equal(last(&h)->actor, actor);
	assert_non_null(strstr(last(&h)->after, "\"expires\""));

	m = from_ann(CMD_POLICY_SET);
	m->text = "{}";
	assert_ok(harness_command(&h, m)->e);
	assert_string_equal(last(&h)->kind, "policy");
	assert_non_null(strstr(last(&h)->after, "sha256"));
	m = from_ann(CMD_NODE_DELETE);
	m->id = id;
	assert_ok(harness_command(&h, m)->e);
	assert_string_equal(last(&h)->action, "delete");
	assert_string_equal(last(&h)->after, "");
	assert_string_equal(last(&h)->target, "desk");
	device_done(&d);
	harness_stop(&h);
}

static void records_are_part_of_the_change(void **state)
{
	struct harness h;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	int64_t newest = last(&h)->id;
	size_t n = h.n_audits;
	h.hold = true;
	struct command *m = from_ann(CMD_USER_CREATE);
	m->name = "bob";
	harness_command(&h, m);
	harness_fail(&h);
	h.hold = false;
	assert_int_equal(h.n_audits, n);
	harness_user(&h, "carl");
	assert_true(last(&h)->id > newest);
	newest = last(&h)->id;
	harness_restart(&h);
	harness_user(&h, "dora");
	assert_true(last(&h)->id > newest); /* a number is never used twice */
	harness_stop(&h);
}

static void strangers_write_nothing(void **state)
{
	struct harness h;
	struct device d;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	size_t n = h.n_audits;
	device_init(&d, &h, "stranger");
	json_t *resp = device_register(&d, NULL);
	const char *url = json_string_value(json_object_get(resp, "AuthURL"));
	assert_non_null(url);
	assert_int_equal(h.n_audits, n);
	struct command *m = from_ann(CMD_AUTH_REJECT);
	m->auth_id = arena_str(&m->arena, bytes_str(strrchr(url, '/') + 1));
	assert_ok(harness_command(&h, m)->e);
	assert_string_equal(last(&h)->kind, "login"); /* a decision is one */
	device_done(&d);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_say_who_and_what),
		cmocka_unit_test(records_are_part_of_the_change),
		cmocka_unit_test(strangers_write_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
