/* Services and attributes by Tailscale's API: what tools read is what they sent, and a change that fails leaves nothing behind. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/api_house.h"
#include "tests/lib/test.h"

static struct house h;
static char *admin, node[32];

static json_t *call(const char *method, const char *path, const char *body, int status)
{
	return house_call(&h, admin, method, path, body, status);
}

static int set_up(void **state)
{
	(void)state;
	house_open(&h, NULL);
	admin = house_key(&h, "", "");
	json_decref(call("POST", "/api/v1/user", "{\"name\":\"ann\"}", 200));
	json_decref(call("PUT", "/api/v1/policy", "{\"policy\":\"{\\\"tagOwners\\\":{\\\"tag:web\\\":[\\\"ann@\\\"]}}\"}", 200));
	json_t *j = call("POST", "/api/v1/preauthkey", "{\"user\":\"ann\",\"reusable\":true}", 200);
	house_join(&h, json_text_at(j, "preAuthKey.key"), "box", NULL);
	json_decref(j);
	j = call("GET", "/api/v1/node", "", 200);
	snprintf(node, sizeof node, "%s", json_text_at(j, "nodes.0.id"));
	json_decref(j);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(admin);
	house_close(&h);
	return 0;
}

#define WEB "/api/v2/tailnet/-/vip-services/svc:web"

static void services(void **state)
{
	char path[160];

	(void)state;
	json_decref(call("GET", WEB, "", 404));
	json_t *j = call("PUT", WEB, "{\"name\":\"svc:web\",\"addrs\":[\"100.100.1.1\"],\"comment\":\"\",\"annotations\":{\"tailscale.com/owner-references\":\"{\\\"a\\\": 1}\"},"
			"\"ports\":[\"tcp:443\",\"tcp:80-90\"],\"tags\":[\"tag:web\"]}", 200);
	json_decref(j);
	j = call("GET", WEB, "", 200);
	assert_string_equal(json_text_at(j, "name"), "svc:web");
	assert_string_equal(json_text_at(j, "addrs.0"), "100.100.1.1");
	assert_int_equal(json_array_size(json_object_get(j, "addrs")), 2);
	const json_t *notes = json_object_get(j, "annotations");
	assert_string_equal(json_string_value(json_object_get(notes, "tailscale.com/owner-references")), "{\"a\": 1}");
	/* As tools do: all that was read goes back, and it stays the same. */
	char *whole = json_dumps(j, 0);
	json_decref(call("PUT", "/api/v2/tailnet/-/services/svc%3Aweb", whole, 200));
	json_t *again = call("GET", "/api/v2/tailnet/-/services/svc:web", "", 200);
	assert_true(json_equal(j, again));
	free(whole);
	json_decref(again);
	json_decref(j);
	json_decref(call("PUT", WEB, "{\"ports\":[\"tcp:443\"]}", 200)); /* without addresses it keeps them */
	j = call("GET", WEB, "", 200);
	assert_string_equal(json_text_at(j, "addrs.0"), "100.100.1.1");
	assert_int_equal(json_array_size(json_object_get(j, "tags")), 0);
	json_decref(j);
	json_decref(call("PUT", WEB, "{\"addrs\":[\"100.100.1.2\"]}", 400));
	json_decref(call("PUT", WEB, "{\"name\":\"svc:other\"}", 400));
	json_decref(call("PUT", "/api/v2/tailnet/-/vip-services/svc:db", "{\"addrs\":[\"100.100.1.1\"]}", 409));
	json_decref(call("PUT", "/api/v2/tailnet/-/vip-services/svc:db", "{\"addrs\":[\"10.0.0.1\"]}", 400));
	json_decref(call("PUT", "/api/v2/tailnet/-/vip-services/svc:db", "{\"addrs\":[\"100.100.100.100\"]}", 400));
	json_decref(call("PUT", "/api/v2/tailnet/-/vip-services/svc:box", "{}", 409)); /* a node is called so */
	json_decref(call("PUT", "/api/v2/tailnet/-/vip-services/nothing", "{}", 400));
	j = call("GET", "/api/v2/tailnet/-/vip-services", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "vipServices")), 1);
	json_decref(j);

	snprintf(path, sizeof path, WEB "/device/%s/approved", node);
	json_decref(call("GET", path, "", 404));
	j = call("POST", path, "{\"approved\":true}", 200);
	assert_true(json_is_true(json_object_get(j, "approved")));
	assert_true(json_is_false(json_object_get(j, "autoApproved")));
	json_decref(j);
	j = call("GET", path, "", 200);
	assert_true(json_is_true(json_object_get(j, "approved")));
	json_decref(j);
	j = call("GET", WEB "/devices", "", 200);
	assert_string_equal(json_text_at(j, "hosts.0.stableNodeID"), node);
	assert_string_equal(json_text_at(j, "hosts.0.approvalLevel"), "approved:manual");
	assert_string_equal(json_text_at(j, "hosts.0.configured"), "none");
	json_decref(j);
	json_decref(call("POST", path, "{}", 400));
	j = call("POST", path, "{\"approved\":false}", 200);
	assert_true(json_is_false(json_object_get(j, "approved")));
	json_decref(j);
	json_decref(call("POST", WEB "/device/999/approved", "{\"approved\":true}", 404));

	char *some = house_key(&h, "services", ""); /* approving needs the right to devices, too */
	json_decref(house_call(&h, some, "GET", WEB, "", 200));
	json_decref(house_call(&h, some, "POST", path, "{\"approved\":true}", 403));
	free(some);
	json_decref(call("DELETE", WEB, "", 200));
	json_decref(call("GET", WEB, "", 404));
	json_decref(call("DELETE", WEB, "", 404));
}

static void attributes_of_several(void **state)
{
	char body[600], path[96];

	(void)state;
	snprintf(path, sizeof path, "/api/v2/device/%s/attributes", node);
	snprintf(body, sizeof body, "{\"nodes\":{\"%s\":{\"custom:a\":{\"value\":\"x\"},\"custom:b\":{\"value\":7,\"expiry\":\"2090-01-01T00:00:00Z\"}}},\"comment\":\"c\"}", node);
	assert_int_equal(house_ask(&h, admin, "PATCH", "/api/v2/tailnet/-/device-attributes", body), 200);
	assert_string_equal(h.body, "null");
	json_t *j = call("GET", path, "", 200);
	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "attributes"), "custom:a")), "x");
	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "expiries"), "custom:b")), "2090-01-01T00:00:00Z");
	json_decref(j);
	/* The second of them is wrong, or nobody's: the first did not happen. */
	snprintf(body, sizeof body, "{\"nodes\":{\"%s\":{\"custom:a\":{\"value\":\"y\"},\"other:b\":{\"value\":7}}}}", node);
	json_decref(call("PATCH", "/api/v2/tailnet/-/device-attributes", body, 400));
	snprintf(body, sizeof body, "{\"nodes\":{\"%s\":{\"custom:a\":{\"value\":\"y\"}},\"999\":{\"custom:a\":{\"value\":\"y\"}}}}", node);
	json_decref(call("PATCH", "/api/v2/tailnet/-/device-attributes", body, 404));
	snprintf(body, sizeof body, "{\"nodes\":{\"%s\":{\"custom:a\":{}}}}", node);
	json_decref(call("PATCH", "/api/v2/tailnet/-/device-attributes", body, 400));
	j = call("GET", path, "", 200);
	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "attributes"), "custom:a")), "x");
	json_decref(j);
	snprintf(body, sizeof body, "{\"nodes\":{\"%s\":{\"custom:a\":null,\"custom:b\":{\"value\":true}}}}", node);
	json_decref(call("PATCH", "/api/v2/tailnet/-/device-attributes", body, 200));
	j = call("GET", path, "", 200);
	assert_null(json_object_get(json_object_get(j, "attributes"), "custom:a"));
	assert_true(json_is_true(json_object_get(json_object_get(j, "attributes"), "custom:b")));
	assert_int_equal(json_object_size(json_object_get(j, "expiries")), 0);
	json_decref(j);
	struct buf big = buf_make(1 << 20);
	buf_printf(&big, "{\"nodes\":{\"%s\":{", node);
	for (int i = 0; i < 501; i++)
		buf_printf(&big, "%s\"custom:a%d\":null", i ? "," : "", i);
	buf_append_str(&big, "}}}");
	buf_append(&big, bytes_of("", 1));
	json_decref(call("PATCH", "/api/v2/tailnet/-/device-attributes", (const char *)buf_view(&big).p, 400));
	buf_done(&big);
	json_decref(call("PATCH", "/api/v2/tailnet/-/device-attributes", "{}", 400));
}

#define DNS "/api/v2/tailnet/-/dns/configuration"

static void dns_as_a_whole(void **state)
{
	static const char body[] = "{\"nameservers\":[{\"address\":\"9.9.9.9\"},{\"address\":\"1.1.1.1\",\"useWithExitNode\":true}],"
				   "\"splitDNS\":{\"a.example\":[{\"address\":\"10.0.0.1\",\"useWithExitNode\":true},{\"address\":\"10.0.0.2\"}]},"
				   "\"searchPaths\":[\"b.example\"],\"preferences\":{\"overrideLocalDNS\":true,\"magicDNS\":true}}";
	(void)state;
	json_auto_t *want = json_loads(body, 0, NULL);
	json_auto_t *got = call("POST", DNS, body, 200), *again = call("GET", DNS, "", 200);
	assert_true(json_equal(got, want));
	assert_true(json_equal(again, want));
	/* One flag a server; nothing of a refused call stays. */
	json_decref(call("POST", DNS, "{\"nameservers\":[{\"address\":\"1.1.1.1\"}],\"splitDNS\":{\"a.example\":[{\"address\":\"1.1.1.1\",\"useWithExitNode\":true}]}}", 400));
	json_decref(call("POST", DNS, "{\"nameservers\":[],\"preferences\":{\"overrideLocalDNS\":true}}", 400));
	json_auto_t *still = call("GET", DNS, "", 200);
	assert_true(json_equal(still, want));
	json_decref(call("POST", DNS, "{\"preferences\":{}}", 200));
	json_auto_t *reset = call("GET", DNS, "", 200);
	assert_int_equal(json_object_size(reset), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(services, set_up, tear_down),
		cmocka_unit_test_setup_teardown(dns_as_a_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(attributes_of_several, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
