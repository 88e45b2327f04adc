#include "common/wire/tailcfg_request.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/text/hex.h"
#include "tests/lib/test.h"

#define KEY_A "nodekey:b4e9792264850b88ec7dc33557c90d906a5b59d9d3112d85711621347e016428"
#define KEY_0 "nodekey:0000000000000000000000000000000000000000000000000000000000000000"
#define DISCO "discokey:1111111111111111111111111111111111111111111111111111111111111111"
#define NLKEY "nlpub:b2e4c011cdea6f755fd5d17df6514d19254072d9aa13461d3aec452ba65b5a68"
#define HOSTINFO                                                                                                       \
	"{\"IPNVersion\":\"1.84.0-t\",\"BackendLogID\":\"abc\",\"OS\":\"linux\",\"OSVersion\":\"6.1\",\"Container\":false," \
	"\"Distro\":\"debian\",\"Desktop\":null,\"Hostname\":\"alpha\",\"Machine\":\"x86_64\",\"ShieldsUp\":true,"      \
	"\"RoutableIPs\":[\"10.0.0.0/8\",\"::/0\"],\"RequestTags\":[\"tag:a\",\"tag:b\"],\"Services\":[{\"Proto\":"     \
	"\"peerapi4\",\"Port\":39123},{\"Proto\":\"peerapi-dns-proxy\",\"Port\":1}],\"NetInfo\":{"                     \
	"\"MappingVariesByDestIP\":false,\"WorkingUDP\":true,\"PreferredDERP\":900,\"DERPLatency\":{\"900-v4\":0.012}," \
	"\"HairPinning\":null,\"FirewallMode\":\"ipt-default\"},\"sshHostKeys\":[\"ssh-ed25519 AAAA\"],\"Cloud\":\"\","  \
	"\"Userspace\":false,\"AppConnector\":true,\"Location\":{\"Country\":\"X\",\"Latitude\":1.5,\"Priority\":7},"   \
	"\"Future\":{\"x\":[1,2]}}"

static const char register_body[] = "{\"Version\":116,\"NodeKey\":\"" KEY_A "\",\"OldNodeKey\":\"" KEY_0 "\",\"NLKey\":\"" NLKEY
				    "\",\"Auth\":{\"AuthKey\":\"secret\"},\"Expiry\":\"0001-01-01T00:00:00Z\",\"Followup\":\"\","
				    "\"Hostinfo\":" HOSTINFO ",\"Ephemeral\":true,\"NodeKeySignature\":null,\"Tailnet\":\"x\"}";

static const char map_body[] = "{\"Version\":116,\"Compress\":\"zstd\",\"KeepAlive\":true,\"NodeKey\":\"" KEY_A "\",\"DiscoKey\":\"" DISCO
			       "\",\"Stream\":true,\"Hostinfo\":" HOSTINFO ",\"Endpoints\":[\"1.2.3.4:5\",\"[fe80::1%eth0]:6\","
			       "\"[fe80::1]:6\",\"\",null,\"[2001:db8::1]:7\"],\"EndpointTypes\":[1,1,1,1,1,2],\"DebugFlags\":[\"a\"],"
			       "\"TKAHead\":\"H\"}";

#define PARSE(type, body)                                                                                              \
	CLEANUP(arena_done) struct arena a = arena_make(0);                                                            \
	struct json_why why;                                                                                           \
	struct tailcfg_##type *r = NULL;                                                                               \
	err e = tailcfg_##type##_parse(bytes_str(body), &a, &r, &why);                                                 \
	if (e != OK)                                                                                                   \
	fail_msg("%s", why.text)

static void test_register(void **state)
{
	PARSE(register_request, register_body);
	char text[KEY_TEXT_MAX];

	(void)state;
	assert_int_equal(r->version, 116);
	assert_string_equal(node_pub_text(&r->node_key, text), KEY_A);
	assert_true(node_pub_is_zero(&r->old_node_key));
	assert_string_equal(nl_pub_text(&r->nl_key, text), NLKEY);
	assert_string_equal(r->auth_key, "secret");
	assert_false(r->has_expiry);
	assert_string_equal(r->followup, "");
	assert_true(r->ephemeral);
	assert_int_equal(r->node_key_signature.n, 0);
	assert_string_equal(r->tailnet, "x");
	assert_string_equal(r->hostinfo->hostname, "alpha");
}

static void test_logout(void **state)
{
	PARSE(register_request, "{\"nodekey\":\"" KEY_A "\",\"expiry\":\"1970-01-01T01:02:03+01:00\",\"AUTH\":null,"
				"\"NodeKeySignature\":\"Zm9v\",\"NLKey\":\"tlpub:b2e4c011cdea6f755fd5d17df6514d19254072d9aa13461d3aec452ba"
				"65b5a68\"}");

	(void)state;
	assert_true(r->has_expiry);
	assert_int_equal(r->expiry_ms, 123000);
	assert_string_equal(r->auth_key, "");
	assert_true(bytes_eq_str(r->node_key_signature, "foo"));
	assert_false(nl_pub_is_zero(&r->nl_key));
	assert_string_equal(r->hostinfo->hostname, "");
	assert_true(bytes_eq_str(r->hostinfo->raw, "{}"));
}

static void test_map(void **state)
{
	PARSE(map_request, map_body);
	char text[ADDRPORT_TEXT_MAX];

	(void)state;
	assert_true(r->zstd && r->keep_alive && r->stream && r->has_hostinfo && r->has_endpoints);
	assert_false(r->omit_peers || r->read_only);
	assert_int_equal(r->n_endpoints, 2);
	assert_string_equal(addrport_text(r->endpoints[0].at, text), "1.2.3.4:5");
	assert_int_equal(r->endpoints[0].type, TAILCFG_ENDPOINT_LOCAL);
	assert_string_equal(addrport_text(r->endpoints[1].at, text), "[2001:db8::1]:7");
	assert_int_equal(r->endpoints[1].type, TAILCFG_ENDPOINT_STUN);
	assert_int_equal(r->n_debug_flags, 1);
	assert_string_equal(r->tka_head, "H");
	assert_int_equal(r->hostinfo->netinfo->preferred_derp, 900);
}

static void test_small_requests(void **state)
{
	(void)state;
	{
		PARSE(set_dns_request, "{\"Version\":1,\"NodeKey\":\"" KEY_A "\",\"Name\":\"_acme-challenge.a\",\"Type\":\"TXT\",\"Value\":\"v\"}");
		assert_string_equal(r->name, "_acme-challenge.a");
		assert_string_equal(r->value, "v");
	}
	{
		PARSE(health_change_request, "{\"Subsys\":\"s\",\"Error\":\"\",\"NodeKey\":\"" KEY_A "\"}");
		assert_string_equal(r->subsys, "s");
	}
	{
		PARSE(set_device_attr_request, "{\"NodeKey\":\"" KEY_A "\",\"Update\":{\"custom:a\":\"x \",\"b\":1.5,\"c\":false,\"d\":null}}");
		assert_int_equal(r->n_attrs, 4);
		assert_string_equal(r->attrs[0].name, "custom:a");
		assert_true(bytes_eq_str(r->attrs[0].value, "\"x \""));
		assert_true(bytes_eq_str(r->attrs[1].value, "1.5"));
		assert_true(bytes_eq_str(r->attrs[2].value, "false"));
		assert_int_equal(r->attrs[3].value.n, 0);
	}
	{
		PARSE(audit_log_request, "{\"NodeKey\":\"" KEY_A "\",\"Action\":\"DISCONNECT_NODE\",\"Details\":\"why\"}");
		assert_string_equal(r->action, "DISCONNECT_NODE");
		assert_int_equal(r->timestamp_ms, 0);
	}
	{
		PARSE(token_request, "{\"CapVersion\":9,\"NodeKey\":\"" KEY_A "\",\"Audience\":\"aud\"}");
		assert_string_equal(r->audience, "aud");
	}
	{
		PARSE(query_feature_request, "{\"Feature\":\"serve\",\"NodeKey\":\"" KEY_A "\"}");
		assert_string_equal(r->feature, "serve");
	}
	struct json_why why;
	struct node_pub key;
	assert_ok(tailcfg_request_node_key(BYTES_LIT("{\"nodeKEY\":\"" KEY_A "\",\"Head\":[]}"), &key, &why));
	assert_int_equal(tailcfg_request_node_key(BYTES_LIT("{\"Head\":[]}"), &key, &why), ERR_INVALID);
	assert_string_equal(why.text, "NodeKey: missing");
}

static void test_refuses(void **state)
{
	static const struct {
		const char *body, *why;
	} bad[] = {
		{ "[]", "value: not an object" },
		{ "null", "value: not an object" },
		{ "{}", "NodeKey: missing" },
		{ "{\"NodeKey\":\"" KEY_0 "\"}", "NodeKey: missing" },
		{ "{\"NodeKey\":\"\"}", "NodeKey: not a node key" },
		{ "{\"NodeKey\":\"" DISCO "\"}", "NodeKey: not a node key" },
		{ "{\"NodeKey\":7}", "NodeKey: not a string" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Version\":\"1\"}", "Version: not an integer" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Version\":1.5}", "Version: not an integer" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Stream\":1}", "Stream: not true or false" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Compress\":\"gzip\"}", "Compress: only zstd is known" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"DiscoKey\":\"\"}", "DiscoKey: not a disco key" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Hostinfo\":[]}", "Hostinfo: not an object" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Hostinfo\":{\"Services\":[{},{\"Port\":70000}]}}",
			"Hostinfo.Services[1].Port: 70000 is not from 0 to 65535" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Hostinfo\":{\"RoutableIPs\":[\"10.0.0.0/33\"]}}", "Hostinfo.RoutableIPs[0]: not a prefix" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Hostinfo\":{\"RoutableIPs\":[\"10.0.0.0\"]}}", "Hostinfo.RoutableIPs[0]: not a prefix" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Hostinfo\":{\"AppConnector\":\"true\"}}", "Hostinfo.AppConnector: not true or false" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Hostinfo\":{\"NetInfo\":{\"PreferredDERP\":-1}}}",
			"Hostinfo.NetInfo.PreferredDERP: -1 is not from 0 to 65535" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Endpoints\":[\"1.2.3.4\"]}", "Endpoints[0]: not an address and port" },
		{ "{\"NodeKey\":\"" KEY_A "\",\"Endpoints\":{}}", "Endpoints: not an array" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(arena_done) struct arena a = arena_make(0);
		struct tailcfg_map_request *r = NULL;
		struct json_why why;

		err e = tailcfg_map_request_parse(bytes_str(bad[i].body), &a, &r, &why);
		if (strncmp(bad[i].why, "Hostinfo", 8) == 0) { /* left aside, and the rest counts */
			assert_ok(e);
			assert_false(r->has_hostinfo);
			assert_string_equal(r->hostinfo_fault, bad[i].why);
			continue;
		}
		assert_int_equal(e, ERR_INVALID);
		assert_string_equal(why.text, bad[i].why);
		assert_null(r);
	}
}

static void append_list(struct buf *b, const char *name, const char *item, size_t n)
{
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%s", i ? "," : "", item);
	buf_append_u8(b, ']');
}

static void test_bounds(void **state)
{
	static const struct {
		const char *name, *item, *why;
		size_t most;
	} lists[] = {
		{ "RoutableIPs", "\"10.0.0.0/8\"", NULL, TAILCFG_ROUTES_MAX },
		{ "RequestTags", "\"tag:x\"", "Hostinfo.RequestTags: more than 64 elements", TAILCFG_TAGS_MAX },
		{ "Services", "{\"Proto\":\"tcp\"}", NULL, TAILCFG_SERVICES_MAX },
		{ "sshHostKeys", "\"ssh-ed25519 A\"", NULL, TAILCFG_SSH_KEYS_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (size_t extra = 0; extra < 2; extra++) {
			CLEANUP(buf_done) struct buf b = buf_make(TAILCFG_BODY_MAX);
			CLEANUP(arena_done) struct arena a = arena_make(0);
			struct tailcfg_map_request *r = NULL;
			struct json_why why;

			buf_printf(&b, "{\"NodeKey\":\"%s\",\"Hostinfo\":{\"OS\":\"x\"", KEY_A);
			append_list(&b, lists[i].name, lists[i].item, lists[i].most + extra);
			buf_append_str(&b, "}");
			append_list(&b, "Endpoints", "\"1.2.3.4:5\"", TAILCFG_ENDPOINTS_MAX + extra);
			buf_append_str(&b, "}");
			err e = tailcfg_map_request_parse(buf_view(&b), &a, &r, &why);
			if (extra && lists[i].why) {
				assert_ok(e);
				assert_string_equal(r->hostinfo_fault, lists[i].why);
				assert_false(r->has_hostinfo);
				assert_int_equal(r->n_endpoints, TAILCFG_ENDPOINTS_MAX);
				continue;
			}
			assert_ok(e);
			struct tailcfg_hostinfo *h = r->hostinfo;
			assert_int_equal(h->n_routes_left_out, strcmp(lists[i].name, "RoutableIPs") == 0 ? extra : 0);
			assert_int_equal(h->n_routable_ips + h->n_request_tags + h->n_services + h->n_ssh_host_keys, lists[i].most);
			assert_int_equal(r->n_endpoints, TAILCFG_ENDPOINTS_MAX);
		}
}

static void test_long_names(void **state)
{
	CLEANUP(buf_done) struct buf b = buf_make(TAILCFG_BODY_MAX);
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct tailcfg_register_request *r = NULL;
	struct json_why why;

	(void)state;
	buf_printf(&b, "{\"NodeKey\":\"%s\",\"Hostinfo\":{\"Hostname\":\"", KEY_A);
	for (int i = 0; i < 10000; i++)
		buf_append_str(&b, "\u00e9");
	buf_append_str(&b, "\"}}");
	assert_ok(tailcfg_register_request_parse(buf_view(&b), &a, &r, &why));
	assert_int_equal(strlen(r->hostinfo->hostname), 254); /* 127 whole characters */
	assert_true(bytes_is_utf8(bytes_str(r->hostinfo->hostname)));

	buf_clear(&b);
	buf_printf(&b, "{\"NodeKey\":\"%s\",\"Auth\":{\"AuthKey\":\"%0513d\"}}", KEY_A, 1);
	assert_int_equal(tailcfg_register_request_parse(buf_view(&b), &a, &r, &why), ERR_TOO_BIG);
	assert_string_equal(why.text, "Auth.AuthKey: longer than 512 bytes");

	buf_clear(&b);
	buf_printf(&b, "{\"NodeKey\":\"%s\",\"Hostinfo\":{\"Hostname\":\"%066000d\"}}", KEY_A, 1);
	assert_int_equal(tailcfg_register_request_parse(buf_view(&b), &a, &r, &why), ERR_TOO_BIG);
	assert_string_equal(why.text, "Hostinfo: longer than 65536 bytes");

	char *huge = malloc(TAILCFG_BODY_MAX + 1);
	assert_non_null(huge);
	memset(huge, ' ', TAILCFG_BODY_MAX + 1);
	assert_int_equal(tailcfg_register_request_parse(bytes_of(huge, TAILCFG_BODY_MAX + 1), &a, &r, &why), ERR_TOO_BIG);
	memset(huge, '[', TAILCFG_BODY_MAX);
	assert_int_equal(tailcfg_register_request_parse(bytes_of(huge, TAILCFG_BODY_MAX), &a, &r, &why), ERR_TOO_BIG);
	free(huge);
}

static void parse_both(struct bytes in, void *ctx)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct tailcfg_register_request *r = NULL;
	struct tailcfg_map_request *m = NULL;
	struct json_why why;

	(void)ctx;
	if (tailcfg_register_request_parse(in, &a, &r, &why) != OK)
		assert_true(why.e != OK && why.text[0] && !r);
	if (tailcfg_map_request_parse(in, &a, &m, &why) != OK)
		assert_true(why.e != OK && why.text[0] && !m);
}

static void test_cut_and_flipped(void **state)
{
	(void)state;
	test_torture(bytes_str(register_body), parse_both, NULL);
	test_torture(bytes_str(map_body), parse_both, NULL);
}

/* Every ceiling of the arena is an answer, not a crash. */
static void test_out_of_memory(void **state)
{
	bool done = false;

	(void)state;
	for (size_t max = 16; !done; max += 16) {
		CLEANUP(arena_done) struct arena a = arena_make(max);
		struct tailcfg_map_request *r = NULL;
		struct json_why why;
		err e = tailcfg_map_request_parse(bytes_str(map_body), &a, &r, &why);

		done = e == OK;
		assert_true(done || (e == ERR_NOMEM && !r));
		assert_true(max < 100000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_logout),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_small_requests),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_cut_and_flipped),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
