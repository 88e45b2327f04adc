/* What clients ask for and report: tokens, audit records, features. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static char signed_claims[8192];

static char *fake_sign(void *ctx, const char *claims)
{
	(void)ctx;
	snprintf(signed_claims, sizeof signed_claims, "%s", claims);
	return strdup("head.body.signature");
}

static int post(struct device *d, const char *path, const char *fmt)
{
	char key[KEY_TEXT_MAX], body[1500];

	snprintf(body, sizeof body, "{\"NodeKey\":\"%s\"%s}", node_pub_text(&d->key, key), fmt);
	return device_request(d, path, body);
}

static const char *text(json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void tokens(void **state)
{
	struct core_settings set = harness_settings();
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, &set);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	int64_t id = device_join(&a, harness_authkey(&h, "ann", 0));
	device_join(&b, harness_authkey_tags(&h, "ann", 0, "tag:web"));
	assert_int_equal(post(&a, "/machine/id-token", ",\"Audience\":\"x\""), 501);
	h.set.sign_token = fake_sign;
	harness_restart(&h);
	assert_int_equal(post(&a, "/machine/id-token", ",\"Audience\":\"vault\""), 200);
	json_t *v = json_loads(signed_claims, 0, NULL);
	assert_string_equal(text(v, "iss"), h.set.server_url);
	assert_string_equal(text(v, "aud"), "vault");
	assert_string_equal(text(v, "user"), "example.com:ann");
	assert_int_equal(json_integer_value(json_object_get(v, "nid")), id);
	assert_int_equal(json_integer_value(json_object_get(v, "exp")) - json_integer_value(json_object_get(v, "iat")), 300);
	assert_string_equal(text(v, "sub"), "a.tail.example.com");
	assert_null(json_object_get(v, "tags"));
	json_decref(v);
	assert_int_equal(post(&b, "/machine/id-token", ",\"Audience\":\"vault\""), 200);
	v = json_loads(signed_claims, 0, NULL);
	assert_string_equal(json_string_value(json_array_get(json_object_get(v, "tags"), 0)), "example.com:tag:web");
	assert_null(json_object_get(v, "user"));
	json_decref(v);

	assert_int_equal(post(&a, "/machine/id-token", ",\"Audience\":\"\""), 400);
	b.machine = a.machine; /* b's key, another machine */
	assert_int_equal(post(&b, "/machine/id-token", ",\"Audience\":\"x\""), 401);
	int got = 0, status;
	while ((status = post(&a, "/machine/id-token", ",\"Audience\":\"x\"")) == 200)
		got++;
	assert_int_equal(status, 429);
	assert_in_range(got, 20, 30);
	harness_step(&h, 60000);
	assert_int_equal(post(&a, "/machine/id-token", ",\"Audience\":\"x\""), 200);
	struct command *m = command_new(CMD_NODE_EXPIRE);
	m->id = id;
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(post(&a, "/machine/id-token", ",\"Audience\":\"x\""), 403);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

static void client_audit(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	int64_t id = device_join(&a, harness_authkey(&h, "ann", 0));
	size_t before = h.n_audits;
	h.hold = true;
	assert_int_equal(post(&a, "/machine/audit-log", ",\"Action\":\"DISCONNECT_NODE\",\"Details\":\"lunch\""), 0); /* not before it is stored */
	harness_commit(&h);
	h.hold = false;
	harness_settle(&h);
	assert_int_equal(a.status, 200);
	assert_int_equal(h.n_audits, before + 1);
	const struct audit_row *r = &h.audits[h.n_audits - 1];
	char want[40];
	snprintf(want, sizeof want, "node:%lld", (long long)id);
	assert_string_equal(r->actor, want);
	assert_string_equal(r->kind, "node");
	assert_non_null(strstr(r->after, "DISCONNECT_NODE"));
	assert_non_null(strstr(r->after, "lunch"));
	h.hold = true;
	post(&a, "/machine/audit-log", ",\"Action\":\"DISCONNECT_NODE\",\"Details\":\"lost\"");
	harness_fail(&h);
	h.hold = false;
	harness_settle(&h);
	assert_int_equal(h.n_audits, before + 1);
	assert_int_equal(post(&a, "/machine/audit-log", ",\"Action\":\"\""), 400);
	int status;
	while ((status = post(&a, "/machine/audit-log", ",\"Action\":\"X\"")) == 200) {
	}
	assert_int_equal(status, 429); /* clients try that again later */
	device_done(&a);
	harness_stop(&h);
}

static void small_questions(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_join(&a, harness_authkey(&h, "ann", 0));
	assert_int_equal(post(&a, "/machine/feature/query", ",\"Feature\":\"serve\""), 200);
	assert_int_equal(post(&a, "/machine/feature/query", ",\"Feature\":\"funnel\""), 200);
	assert_int_equal(post(&a, "/machine/update-health", ",\"Subsys\":\"dns\",\"Error\":\"broken\""), 204);
	assert_int_equal(post(&a, "/machine/webclient/init/1/to/2", ""), 501);
	assert_int_equal(post(&a, "/machine/nothing", ""), 404);
	device_done(&a);
	harness_stop(&h);
}

/* A report over the bounds: the rest of it counts, the client says so, and it is over when the next one fits. */
static void reports_that_are_too_much(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	int64_t id = device_join(&a, harness_authkey(&h, "ann", 0));
	device_skip(&a);
	for (int round = 0; round < 3; round++) {
		struct event *e = event_new(EV_MAP_LITE);
		struct json_why why;
		char key[KEY_TEXT_MAX], body[400];

		snprintf(body, sizeof body, "{\"Version\":130,\"NodeKey\":\"%s\",\"OmitPeers\":true,\"Hostinfo\":{\"RoutableIPs\":[%s]},"
			"\"Endpoints\":[\"198.51.100.%d:41641\"],\"EndpointTypes\":[2]}", node_pub_text(&a.key, key),
			round < 2 ? "\"no route\"" : "", round + 1);
		assert_ok(tailcfg_map_request_parse(bytes_str(body), &e->arena, &e->map, &why));
		e->machine = a.machine;
		harness_apply(&h, e);
		json_t *m = device_next(&a);
		if (round == 1) { /* it was told */
			assert_null(m);
		} else {
			json_t *shown = json_object_get(m, "DisplayMessages");
			assert_int_equal(json_object_get(shown, "report-refused") != NULL, round == 0);
			assert_true(json_is_true(json_object_get(json_object_get(m, "Node"), "MachineAuthorized")));
		}
		device_skip(&a);
		struct node *n = node_by_id(h.core, id);
		assert_int_equal(n->row.endpoints[0].addr.b[3], round + 1);
		assert_string_equal(n->row.hostname, "a");
	}
	device_done(&a);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens),
		cmocka_unit_test(client_audit),
		cmocka_unit_test(small_questions),
		cmocka_unit_test(reports_that_are_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
