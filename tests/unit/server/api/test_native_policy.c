/* /api/fairlead/v1/policy beside the real core: drafts, versions that were set meanwhile, questions, and who may ask what. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/api_house.h"
#include "tests/lib/test.h"

#define NATIVE "/api/fairlead/v1/policy"

static char *body(const char *policy, const char *more)
{
	json_t *text = json_string(policy);
	char *quoted = json_dumps(text, JSON_ENCODE_ANY), *out = NULL;

	assert_true(asprintf(&out, "{\"policy\":%s%s%s}", quoted, *more ? "," : "", more) > 0);
	free(quoted);
	json_decref(text);
	return out;
}

static json_t *give(struct house *h, const char *key, const char *method, const char *path, const char *policy, const char *more, int status)
{
	CLEANUP(freep) char *text = body(policy, more);

	return house_call(h, key, method, path, text, status);
}

static const char web[] = "{\"tagOwners\": {\"tag:web\": []}, \"grants\": [{\"src\": [\"autogroup:member\"], \"dst\": [\"tag:web\"], \"ip\": [\"443\"]}]}";

/* Two devices of ann's, and one with tag:web. */
static void furnish(struct house *h)
{
	json_t *j;

	house_open(h, NULL);
	json_decref(house_call(h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200));
	json_decref(give(h, HOUSE_UNIX, "PUT", NATIVE, "{\"tagOwners\": {\"tag:web\": []}}", "\"note\":\"tags\"", 200));
	j = house_call(h, HOUSE_UNIX, "POST", "/api/v1/preauthkey", "{\"user\":\"1\",\"reusable\":true}", 200);
	house_join(h, json_text_at(j, "preAuthKey.key"), "laptop", NULL);
	house_join(h, json_text_at(j, "preAuthKey.key"), "phone", NULL);
	json_decref(j);
	j = house_call(h, HOUSE_UNIX, "POST", "/api/v1/preauthkey", "{\"aclTags\":[\"tag:web\"]}", 200);
	house_join(h, json_text_at(j, "preAuthKey.key"), "site", NULL);
	json_decref(j);
}

static json_int_t number_at(const json_t *j, const char *a, const char *b)
{
	const json_t *o = json_object_get(j, a);

	return json_integer_value(b ? json_object_get(o, b) : o);
}

static void looks_at_drafts(void **state)
{
	struct house h;

	(void)state;
	furnish(&h);
	json_t *j = give(&h, HOUSE_UNIX, "POST", NATIVE "/preview", web, "\"base\":1", 200);
	assert_int_equal(number_at(j, "version", NULL), 1);
	assert_true(json_is_true(json_object_get(json_object_get(j, "base"), "current")));
	assert_string_equal(json_text_at(j, "base.note"), "tags");
	assert_true(json_is_true(json_object_get(j, "valid")));
	/* all reach all: 6; then 2 to the site, on 443 */
	assert_int_equal(number_at(j, "changes", "lost"), 6);
	assert_int_equal(number_at(j, "machines", "total"), 3);
	json_decref(j);
	j = give(&h, HOUSE_UNIX, "POST", NATIVE "/preview", "{\"acls\": [{\"action\": \"accept\", \"src\": [\"tag:wed\"], \"dst\": [\"*:*\"]}], \"tagOwners\": {\"tag:web\": []}}", "\"base\":9", 200);
	assert_string_equal(json_text_at(j, "errors.0.fix.replacement"), "tag:web");
	assert_false(json_is_true(json_object_get(json_object_get(j, "base"), "current")));
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/preview", "{}", 400));
	j = give(&h, HOUSE_UNIX, "PUT", NATIVE, "{\"acls\": [{\"action\": \"accept\", \"src\": [\"tag:wed\"], \"dst\": [\"*:*\"]}], \"tagOwners\": {\"tag:web\": []}}", "", 400);
	assert_string_equal(json_text_at(j, "errors.0.fix.label"), "Change to tag:web");
	json_decref(j);
	house_close(&h);
}

static void nobody_overwrites_another(void **state)
{
	struct house h;

	(void)state;
	furnish(&h);
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, web, "\"base\":1,\"note\":\"web\"", 200));
	json_t *j = give(&h, HOUSE_UNIX, "PUT", NATIVE, "{}", "\"base\":1", 409);
	assert_int_equal(number_at(j, "conflict", "version"), 2);
	assert_string_equal(json_text_at(j, "conflict.note"), "web");
	assert_true(strlen(json_text_at(j, "conflict.createdAt")) > 10);
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/rollback", "{\"version\":1,\"base\":1}", 409));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/rollback", "{\"version\":1,\"base\":2}", 200));
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/versions", "", 200);
	/* what each gave and took when it was set */
	const json_t *second = json_array_get(json_object_get(j, "versions"), 1), *third = json_array_get(json_object_get(j, "versions"), 0);
	assert_int_equal(number_at(second, "lost", NULL), 6);
	assert_int_equal(number_at(third, "gained", NULL), 6);
	assert_int_equal(number_at(third, "machines", NULL), 3);
	json_decref(j);
	house_restart(&h);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/versions", "", 200);
	assert_int_equal(number_at(json_array_get(json_object_get(j, "versions"), 1), "lost", NULL), 6);
	json_decref(j);
	house_close(&h);
}

static void tells_two_versions_apart(void **state)
{
	struct house h;

	(void)state;
	furnish(&h);
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, web, "", 200));
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/diff?from=1&to=2", "", 200);
	assert_non_null(strstr(json_text_at(j, "diff"), "+{\"tagOwners\""));
	assert_int_equal(number_at(j, "changes", "lost"), 6);
	assert_int_equal(number_at(j, "to", NULL), 2);
	json_decref(j);
	j = give(&h, HOUSE_UNIX, "POST", NATIVE "/diff", "{}", "\"from\":2", 200);
	assert_int_equal(number_at(j, "changes", "gained"), 6);
	assert_true(json_is_null(json_object_get(j, "to")));
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/diff?from=7", "", 404));
	house_close(&h);
}

static void lays_out(void **state)
{
	struct house h;

	(void)state;
	house_open(&h, NULL);
	json_t *j = give(&h, HOUSE_UNIX, "POST", NATIVE "/format", "{\n\"acls\":[], // none\n}", "", 200);
	assert_string_equal(json_text_at(j, "policy"), "{\n\t\"acls\": [], // none\n}\n");
	assert_true(json_is_true(json_object_get(j, "changed")));
	json_decref(j);
	j = give(&h, HOUSE_UNIX, "POST", NATIVE "/format", "{ \"a\": 1 \"b\"", "", 400);
	assert_string_equal(json_text_at(j, "errors.0.fix.label"), "Insert a comma");
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/format", "{}", 400));
	house_close(&h);
}

static void answers_questions(void **state)
{
	struct house h;

	(void)state;
	furnish(&h);
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, web, "", 200));
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/explain?src=laptop&dst=site:443", "", 200);
	assert_string_equal(json_text_at(j, "allowed"), "yes");
	assert_non_null(strstr(json_text_at(j, "pairs.0.sentence"), "Yes. laptop belongs to ann"));
	json_decref(j);
	j = give(&h, HOUSE_UNIX, "POST", NATIVE "/explain", "{\"acls\": []}", "\"src\":\"laptop\",\"dst\":\"site:443\"", 200);
	assert_string_equal(json_text_at(j, "inForce.allowed"), "yes");
	assert_string_equal(json_text_at(j, "draft.allowed"), "no");
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/matrix", "{}", 200);
	assert_string_equal(json_text_at(j, "rows.0.names.0.name"), "ann");
	assert_string_equal(json_text_at(j, "cells.0.ports.text"), "443");
	CLEANUP(freep) char *ask = NULL;
	assert_true(asprintf(&ask, "{\"of\":\"%s\",\"direction\":\"from\"}", json_text_at(j, "rows.0.key")) > 0);
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/graph", ask, 200);
	assert_string_equal(json_text_at(j, "edges.0.to.names.0.name"), "tag:web");
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/graph", "{\"of\":\"r:00\"}", 400));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/graph", "{\"of\":\"laptop\",\"direction\":\"up\"}", 400));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/matrix", "{\"policy\":\"{ no\"}", 400));
	j = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/ssh", "{\"src\":\"laptop\",\"dst\":\"site\"}", 200);
	assert_string_equal(json_text_at(j, "pairs.0.action"), "no");
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/who-can-reach", "{\"dst\":\"site:443\",\"policy\":\"{}\"}", 200);
	assert_int_equal(json_array_size(json_object_get(json_object_get(j, "inForce"), "nodes")), 2);
	json_decref(j);
	house_close(&h);
}

static void inside_the_tailnet(struct house *h)
{
	h->api_set.server_url = "http://100.64.0.1:8080";
}

/* The console is reached at the first device's address only. */
static void keeps_the_door_open(void **state)
{
	static const char shut[] = "{\"acls\": []}",
			  open[] = "{\"grants\": [{\"src\": [\"autogroup:owner\"], \"dst\": [\"100.64.0.1\"], \"ip\": [\"tcp:8080\"]}]}";
	struct house h;

	(void)state;
	house_open(&h, inside_the_tailnet);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", "/api/fairlead/v1/user/1/role", "{\"role\":\"owner\"}", 200));
	json_t *j = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/preauthkey", "{\"user\":\"1\",\"reusable\":true}", 200);
	house_join(&h, json_text_at(j, "preAuthKey.key"), "hub", NULL);
	house_join(&h, json_text_at(j, "preAuthKey.key"), "laptop", NULL);
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"bob\"}", 200);
	json_decref(j);
	j = give(&h, HOUSE_UNIX, "PUT", NATIVE, shut, "", 200); /* the hub is ann's own: from itself it is reached always */
	json_decref(j);
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, open, "", 200));
	/* … but not when it is tagged */
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, "{\"tagOwners\": {\"tag:hub\": []}}", "", 200));
	j = house_call(&h, HOUSE_UNIX, "GET", "/api/v1/node", "", 200);
	CLEANUP(freep) char *path = NULL;
	assert_string_equal(json_text_at(j, "nodes.0.ipAddresses.0"), "100.64.0.1");
	assert_true(asprintf(&path, "/api/v1/node/%s/tags", json_text_at(j, "nodes.0.id")) > 0);
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"tags\":[\"tag:hub\"]}", 200));
	j = give(&h, HOUSE_UNIX, "POST", NATIVE "/preview", shut, "", 200);
	assert_string_equal(json_text_at(j, "lockout.0.kind"), "console");
	json_decref(j);
	j = give(&h, HOUSE_UNIX, "PUT", NATIVE, shut, "", 409);
	assert_string_equal(json_text_at(j, "lockout.0.kind"), "console");
	assert_non_null(strstr(json_text_at(j, "message"), "hub, port 8080"));
	json_decref(j);
	json_decref(give(&h, HOUSE_UNIX, "PUT", "/api/v1/policy", shut, "", 400));
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, open, "", 200));
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, shut, "\"force\":true", 200));
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, shut, "", 200)); /* nothing is lost any more */
	house_close(&h);
}

/* A role that may write policies. */
static void grant(struct house *h, const char *user)
{
	char path[80];

	snprintf(path, sizeof path, "/api/fairlead/v1/user/%s/role", user);
	json_decref(house_call(h, HOUSE_UNIX, "POST", path, "{\"role\":\"network-admin\"}", 200));
}

static void keeps_drafts_by_person(void **state)
{
	struct house h;

	(void)state;
	furnish(&h);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"bob\"}", 200));
	grant(&h, "1");
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", "/api/v1/user?name=bob", "", 200);
	grant(&h, json_text_at(j, "users.0.id"));
	json_decref(j);
	CLEANUP(freep) char *ann = house_key(&h, "all", "ann"), *ann2 = house_key(&h, "policy_file", "ann"), *bob = house_key(&h, "policy_file", "bob"),
			    *reader = house_key(&h, "all:read", "");
	json_decref(house_call(&h, ann, "GET", NATIVE "/draft", "", 404));
	j = give(&h, ann, "PUT", NATIVE "/draft", "{ // not yet", "\"base\":1", 200);
	assert_true(json_is_null(json_object_get(j, "conflict")) && !json_object_get(j, "policy"));
	json_decref(j);
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE "/draft", "{}", "", 200));
	json_decref(give(&h, reader, "PUT", NATIVE "/draft", "{}", "", 403));
	house_restart(&h);
	j = house_call(&h, ann2, "GET", NATIVE "/draft", "", 200); /* the person counts, not the key */
	assert_string_equal(json_text_at(j, "policy"), "{ // not yet");
	assert_int_equal(number_at(j, "base", NULL), 1);
	assert_true(strlen(json_text_at(j, "updatedAt")) > 10);
	json_decref(j);
	json_decref(house_call(&h, bob, "GET", NATIVE "/draft", "", 404));
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, web, "\"note\":\"faster\"", 200));
	j = house_call(&h, ann, "GET", NATIVE "/draft", "", 200);
	assert_string_equal(json_text_at(j, "conflict.note"), "faster");
	json_decref(j);
	json_decref(give(&h, ann, "PUT", NATIVE "/draft", "{}", "\"base\":2", 200));
	j = house_call(&h, ann, "GET", NATIVE "/draft", "", 200);
	assert_string_equal(json_text_at(j, "policy"), "{}");
	json_decref(j);
	json_decref(house_call(&h, ann, "DELETE", NATIVE "/draft", "", 200));
	json_decref(house_call(&h, ann, "DELETE", NATIVE "/draft", "", 200)); /* as often as you like */
	json_decref(house_call(&h, ann, "GET", NATIVE "/draft", "", 404));
	j = house_call(&h, HOUSE_UNIX, "GET", "/api/fairlead/v1/audit?limit=100", "", 200);
	assert_null(strstr(h.body, "not yet")); /* nobody else is told */
	json_decref(j);
	house_close(&h);
}

/* All together they have a bound; the oldest go. */
static void drafts_are_bounded(void **state)
{
	enum { BIG = 3 << 20 };
	struct house h;
	char *text = calloc(1, BIG + 1);
	char name[16];

	(void)state;
	assert_non_null(text);
	memset(text, ' ', BIG);
	house_open(&h, NULL);
	for (int i = 1; i <= 7; i++) {
		char made[40];
		snprintf(name, sizeof name, "u%d", i);
		snprintf(made, sizeof made, "{\"name\":\"%s\"}", name);
		json_t *user = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", made, 200);
		grant(&h, json_text_at(user, "user.id"));
		json_decref(user);
		CLEANUP(freep) char *key = house_key(&h, "policy_file", name);
		json_decref(give(&h, key, "PUT", NATIVE "/draft", text, "", 200));
		if (i == 1) {
			json_decref(house_call(&h, key, "GET", NATIVE "/draft", "", 200));
		}
	}
	CLEANUP(freep) char *first = house_key(&h, "policy_file", "u1"), *last = house_key(&h, "policy_file", "u7");
	json_decref(house_call(&h, first, "GET", NATIVE "/draft", "", 404));
	json_decref(house_call(&h, last, "GET", NATIVE "/draft", "", 200));
	house_close(&h);
	free(text);
}

/* The policy alone does not open the list of devices. */
static void who_reads_policies_learns_no_devices(void **state)
{
	static const struct {
		const char *method, *path, *body;
	} each[] = {
		{ "GET", "/explain?src=laptop&dst=site:443", "" }, { "GET", "/explain?src=nobody&dst=nothing", "" },
		{ "GET", "/who-can-reach?dst=site", "" }, { "GET", "/what-can-reach?src=laptop", "" },
		{ "POST", "/explain", "{\"src\":\"laptop\",\"dst\":\"site\"}" }, { "POST", "/who-can-reach", "{\"dst\":\"site\"}" },
		{ "POST", "/what-can-reach", "{\"src\":\"laptop\"}" }, { "POST", "/matrix", "{}" }, { "POST", "/graph", "{\"of\":\"laptop\"}" },
		{ "POST", "/ssh", "{\"src\":\"laptop\",\"dst\":\"site\"}" },
	};
	struct house h;
	char path[200];

	(void)state;
	furnish(&h);
	json_decref(give(&h, HOUSE_UNIX, "PUT", NATIVE, web, "", 200));
	CLEANUP(freep) char *policy = house_key(&h, "policy_file", ""), *both = house_key(&h, "policy_file:read devices:core:read", ""),
			    *devices = house_key(&h, "devices:core", "");
	for (size_t i = 0; i < ARRAY_LEN(each); i++) {
		snprintf(path, sizeof path, NATIVE "%s", each[i].path);
		json_t *j = house_call(&h, policy, each[i].method, path, each[i].body, 403);
		assert_non_null(strstr(json_text_at(j, "message"), "devices:core:read"));
		json_decref(j);
		json_decref(house_call(&h, both, each[i].method, path, each[i].body, 200));
		json_decref(house_call(&h, devices, each[i].method, path, each[i].body, 403));
	}
	json_t *j = give(&h, policy, "POST", NATIVE "/preview", "{}", "", 200);
	assert_true(json_is_true(json_object_get(j, "hidden")) && json_is_null(json_object_get(j, "changes")));
	assert_null(strstr(h.body, "laptop"));
	json_decref(j);
	j = house_call(&h, policy, "GET", NATIVE "/diff?from=1&to=2", "", 200);
	assert_true(json_is_null(json_object_get(j, "changes")) && *json_text_at(j, "diff"));
	json_decref(j);
	j = house_call(&h, policy, "GET", NATIVE "/versions", "", 200);
	assert_true(json_is_null(json_object_get(json_array_get(json_object_get(j, "versions"), 0), "lost")));
	json_decref(j);
	json_decref(give(&h, both, "PUT", NATIVE, "{}", "", 403));
	json_decref(give(&h, both, "POST", NATIVE "/preview", "{}", "", 200));
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_at_drafts),
		cmocka_unit_test(nobody_overwrites_another),
		cmocka_unit_test(tells_two_versions_apart),
		cmocka_unit_test(lays_out),
		cmocka_unit_test(answers_questions),
		cmocka_unit_test(keeps_the_door_open),
		cmocka_unit_test(keeps_drafts_by_person),
		cmocka_unit_test(drafts_are_bounded),
		cmocka_unit_test(who_reads_policies_learns_no_devices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
