#include <stdio.h>

#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static struct reply *with_id(struct harness *h, enum command_kind kind, int64_t id)
{
	return harness_node_command(h, kind, id);
}

static void users(void **state)
{
	struct harness h;
	struct device d;

	(void)state;
	harness_start(&h, NULL);
	int64_t ann = harness_user(&h, "ann");
	struct command *m = command_new(CMD_USER_CREATE);
	m->name = "ANN";
	assert_int_equal(harness_command(&h, m)->e, ERR_EXISTS);
	m = command_new(CMD_USER_CREATE);
	m->name = "two words";
	assert_int_equal(harness_command(&h, m)->e, ERR_INVALID);
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&d, &h, "d");
	int64_t id = device_join(&d, key);
	struct reply *r = with_id(&h, CMD_USER_DELETE, ann);
	assert_int_equal(r->e, ERR_STATE);
	assert_non_null(strstr(r->message, "1 node"));
	m = command_new(CMD_USER_RENAME);
	m->id = ann;
	m->new_name = "anna";
	assert_string_equal(harness_command(&h, m)->users[0].name, "anna");
	assert_string_equal(with_id(&h, CMD_NODE_GET, id)->nodes[0]->user.name, "anna");
	assert_ok(with_id(&h, CMD_NODE_DELETE, id)->e);
	assert_ok(with_id(&h, CMD_USER_DELETE, ann)->e);
	assert_int_equal(harness_command(&h, command_new(CMD_AUTHKEY_LIST))->n_authkeys, 0); /* they went with the user */
	device_new_key(&d);
	json_t *resp = device_register(&d, key);
	assert_non_null(strstr(json_string_value(json_object_get(resp, "Error")), "auth key not found"));
	device_done(&d);
	harness_stop(&h);
}

static void api_keys(void **state)
{
	struct harness h;
	char text[128], prefix[32];

	(void)state;
	harness_start(&h, NULL);
	struct reply *r = harness_command(&h, command_new(CMD_APIKEY_CREATE));
	assert_ok(r->e);
	snprintf(text, sizeof text, "%s", r->secret);
	snprintf(prefix, sizeof prefix, "hskey-api-%s-***", r->apikeys[0].prefix);
	struct command *m = command_new(CMD_APIKEY_CHECK);
	m->key_text = text;
	assert_ok(harness_command(&h, m)->e);
	text[strlen(text) - 1] ^= 1;
	m = command_new(CMD_APIKEY_CHECK);
	m->key_text = text;
	assert_int_equal(harness_command(&h, m)->e, ERR_AUTH);
	text[strlen(text) - 1] ^= 1;
	harness_restart(&h);
	m = command_new(CMD_APIKEY_EXPIRE);
	m->key_text = prefix;
	assert_ok(harness_command(&h, m)->e);
	m = command_new(CMD_APIKEY_CHECK);
	m->key_text = text;
	assert_int_equal(harness_command(&h, m)->e, ERR_AUTH);
	harness_stop(&h);
}

/* Whose tokens an identity takes is for who may do as much as its user: the tokens act as that user. */
static void an_identity_is_not_taken_over(void **state)
{
	static const struct federation theirs = { "https://ci.example.com", "repo:acme/app", "", "" };
	static const struct federation mine = { "https://ci.example.com", "repo:eve/app", "", "" };
	struct harness h;

	(void)state;
	harness_start(&h, NULL);
	struct command *m = command_new(CMD_USER_ROLE);
	m->id = harness_user(&h, "ann"), m->role = "owner";
	assert_ok(harness_command(&h, m)->e);
	m = command_new(CMD_APIKEY_CREATE);
	m->oauth_client = true, m->user = "ann", m->scopes = "users", m->federated = theirs;
	struct reply *r = harness_command(&h, m);
	assert_ok(r->e);
	int64_t id = r->apikeys[0].id, by[2];
	static const char *const scopes[] = { "users federated_keys", "all" };
	for (int i = 0; i < 2; i++) {
		m = command_new(CMD_APIKEY_CREATE);
		m->scopes = scopes[i];
		r = harness_command(&h, m);
		assert_ok(r->e);
		by[i] = r->apikeys[0].id;
	}
	for (int i = 0; i < 2; i++) {
		m = command_new(CMD_APIKEY_UPDATE);
		m->id = id, m->by_key = by[i], m->scopes = "users", m->federated = mine;
		r = harness_command(&h, m);
		assert_int_equal(r->e, i ? OK : ERR_DENIED);
		m = command_new(CMD_APIKEY_LOOK);
		m->id = id;
		r = harness_command(&h, m);
		assert_ok(r->e);
		assert_string_equal(r->apikeys[0].subject, i ? mine.subject : theirs.subject);
	}
	harness_stop(&h);
}

static void policy_tags_and_records(void **state)
{
	struct harness h;
	struct device d;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&d, &h, "d");
	int64_t id = device_join(&d, harness_authkey(&h, "ann", 0));
	struct command *m = command_new(CMD_POLICY_SET);
	m->text = "{ this is no policy";
	struct reply *r = harness_command(&h, m);
	assert_int_not_equal(r->e, OK);
	assert_true(r->n_lines > 0);
	static const char *const tags[] = { "tag:web" };
	m = command_new(CMD_NODE_TAGS);
	m->id = id;
	m->tags = tags;
	m->n_tags = 1;
	assert_int_equal(harness_command(&h, m)->e, ERR_INVALID); /* not declared */
	m = command_new(CMD_POLICY_SET);
	m->text = "{\"tagOwners\":{\"tag:web\":[]}}";
	assert_ok(harness_command(&h, m)->e);
	assert_null(device_next(&d)); /* its view is unchanged: nothing is sent */
	m = command_new(CMD_POLICY_SET);
	m->text = "{\"tagOwners\":{\"tag:web\":[]},\"acls\":[],\"tests\":[{\"src\":\"ann@\",\"accept\":[\"100.64.0.1:22\"]}]}";
	r = harness_command(&h, m);
	assert_int_equal(r->e, ERR_INVALID); /* its test fails: the policy in force stays */
	assert_non_null(strstr(r->lines[0], "100.64.0.1:22"));
	assert_null(device_next(&d));
	m = command_new(CMD_NODE_TAGS);
	m->id = id;
	m->tags = tags;
	m->n_tags = 1;
	r = harness_command(&h, m);
	assert_ok(r->e);
	assert_int_equal(r->nodes[0]->user.id, TAGGED_USER_ID);
	assert_non_null(json_object_get(device_next(&d), "Node"));
	device_skip(&d);
	m = command_new(CMD_DNS_RECORDS);
	m->text = "[{\"name\":\"grafana.example.com\",\"type\":\"A\",\"value\":\"100.64.0.9\"}]";
	assert_ok(harness_command(&h, m)->e);
	json_t *dns = json_object_get(device_next(&d), "DNSConfig");
	assert_int_equal(json_array_size(json_object_get(dns, "ExtraRecords")), 1);
	m = command_new(CMD_DNS_RECORDS);
	m->text = "[{\"name\":\"x\",\"type\":\"A\",\"value\":\"not an address\"}]";
	assert_int_equal(harness_command(&h, m)->e, ERR_INVALID);
	harness_restart(&h);
	r = harness_command(&h, command_new(CMD_POLICY_GET));
	assert_non_null(strstr(r->policies[0].text, "tag:web"));
	device_done(&d);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users),
		cmocka_unit_test(api_keys),
		cmocka_unit_test(an_identity_is_not_taken_over),
		cmocka_unit_test(policy_tags_and_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
