#include "common/wire/tailcfg_response.h"

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

#define WROTE(call, want)                                                                                              \
	do {                                                                                                           \
		CLEANUP(buf_done) struct buf b_ = buf_make(10000);                                                     \
		struct jsonw w = jsonw_init(&b_);                                                                      \
		call;                                                                                                  \
		assert_true(jsonw_ok(&w));                                                                             \
		buf_append_u8(&b_, 0);                                                                                 \
		assert_string_equal((const char *)buf_view(&b_).p, want);                                              \
	} while (0)

static void test_register(void **state)
{
	struct tailcfg_register_response r = { .error = "no <b>" };
	struct tailcfg_register_response ok = {
		.machine_authorized = true,
		.login = { .id = INT64_MAX, .provider = "oidc", .login_name = "a@b", .display_name = "A", .profile_pic_url = "u",
			.created_ms = 1000 },
		.node_key_signature = BYTES_LIT("foo"),
	};

	(void)state;
	WROTE(tailcfg_register_response_write(&w, &r),
			"{\"User\":{\"ID\":0,\"DisplayName\":\"\"},\"Login\":{\"ID\":0,\"Provider\":\"\",\"LoginName\":\"\",\"DisplayName\":\"\","
			"\"ProfilePicURL\":\"\"},\"NodeKeyExpired\":false,\"MachineAuthorized\":false,\"AuthURL\":\"\",\"Error\":"
			"\"no \\u003cb\\u003e\"}");
	WROTE(tailcfg_register_response_write(&w, &ok),
			"{\"User\":{\"ID\":9223372036854775807,\"DisplayName\":\"A\",\"ProfilePicURL\":\"u\",\"Created\":\"1970-01-01T00:00:01Z\"},"
			"\"Login\":{\"ID\":9223372036854775807,\"Provider\":\"oidc\",\"LoginName\":\"a@b\",\"DisplayName\":\"A\","
			"\"ProfilePicURL\":\"u\"},\"NodeKeyExpired\":false,\"MachineAuthorized\":true,\"AuthURL\":\"\",\"NodeKeySignature\":"
			"\"Zm9v\",\"Error\":\"\"}");
}

static void test_profile(void **state)
{
	static const char *const groups[] = { "g1", "g2" };
	struct tailcfg_user_profile u = { .id = 7, .login_name = "a@b", .display_name = "A" };

	(void)state;
	WROTE(tailcfg_user_profile_write(&w, &u), "{\"ID\":7,\"LoginName\":\"a@b\",\"DisplayName\":\"A\"}");
	u.groups = groups;
	u.n_groups = 2;
	u.profile_pic_url = "p";
	WROTE(tailcfg_user_profile_write(&w, &u), "{\"ID\":7,\"LoginName\":\"a@b\",\"DisplayName\":\"A\",\"ProfilePicURL\":\"p\",\"Groups\":"
						  "[\"g1\",\"g2\"]}");
}

static void test_dns(void **state)
{
	struct addr boot = addr_v4(1, 1, 1, 1);
	struct tailcfg_resolver r[] = { { .addr = "1.1.1.1" }, { .addr = "https://d/", .bootstrap = &boot, .n_bootstrap = 1,
			.use_with_exit_node = true } };
	struct tailcfg_dns_route routes[] = { { "corp", r, 1 }, { "own", NULL, 0 } };
	struct tailcfg_dns_record records[] = { { "a.b", NULL, "1.2.3.4" }, { "c", "AAAA", "::1" } };
	static const char *const domains[] = { "tail.example.com" };
	struct tailcfg_dns_config d = { .proxied = true, .domains = domains, .n_domains = 1, .routes = routes, .n_routes = 2,
		.resolvers = r, .n_resolvers = 2, .extra_records = records, .n_extra_records = 2 };
	struct tailcfg_dns_config none = { 0 };

	(void)state;
	WROTE(tailcfg_dns_config_write(&w, &none), "{}");
	WROTE(tailcfg_dns_config_write(&w, &d),
			"{\"Resolvers\":[{\"Addr\":\"1.1.1.1\"},{\"Addr\":\"https://d/\",\"BootstrapResolution\":[\"1.1.1.1\"],"
			"\"UseWithExitNode\":true}],\"Routes\":{\"corp\":[{\"Addr\":\"1.1.1.1\"}],\"own\":[]},\"Domains\":[\"tail.example.com\"],"
			"\"Proxied\":true,\"ExtraRecords\":[{\"Name\":\"a.b\",\"Value\":\"1.2.3.4\"},{\"Name\":\"c\",\"Type\":\"AAAA\",\"Value\":"
			"\"::1\"}]}");
}

static void test_filter(void **state)
{
	static const char *const any[] = { "*" };
	static const int proto[] = { 6 };
	struct tailcfg_net_port_range all = { "*", 0, 65535 };
	struct tailcfg_filter_rule rule = { .src_ips = any, .n_src_ips = 1, .dst_ports = &all, .n_dst_ports = 1 };
	struct prefix dst = addr_prefix(addr_v4(100, 64, 0, 1));
	struct bytes value = BYTES_LIT("{\"x\":1}");
	struct tailcfg_cap caps[] = { { "a/b", &value, 1 }, { "c/d", NULL, 0 } };
	struct tailcfg_cap_grant grant = { &dst, 1, caps, 2 };
	struct tailcfg_filter_rule grants = { .src_ips = any, .n_src_ips = 1, .cap_grants = &grant, .n_cap_grants = 1 };

	(void)state;
	WROTE(tailcfg_filter_rule_write(&w, &rule),
			"{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}");
	rule.ip_proto = proto;
	rule.n_ip_proto = 1;
	WROTE(tailcfg_filter_rule_write(&w, &rule),
			"{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}],\"IPProto\":[6]}");
	WROTE(tailcfg_filter_rule_write(&w, &grants), "{\"SrcIPs\":[\"*\"],\"CapGrant\":[{\"Dsts\":[\"100.64.0.1/32\"],\"CapMap\":{\"a/b\":"
						      "[{\"x\":1}],\"c/d\":[]}}]}");
}

static const char derp_text[] = "{\"HomeParams\":{\"RegionScore\":{\"900\":0.5}},\"Regions\":{\"7\":{\"RegionID\":7,\"RegionCode\":\"x\","
				"\"RegionName\":\"X\",\"Latitude\":1.5,\"NoMeasureNoHome\":true,\"Nodes\":[]},\"900\":{\"RegionID\":900,"
				"\"RegionCode\":\"home\",\"RegionName\":\"Home\",\"Nodes\":[{\"Name\":\"900a\",\"RegionID\":900,\"HostName\":"
				"\"derp.example.com\",\"CertName\":\"sha256-raw:00\",\"IPv4\":\"1.2.3.4\",\"IPv6\":\"none\",\"STUNPort\":-1,"
				"\"DERPPort\":8443,\"InsecureForTests\":true,\"CanPort80\":true}]}},\"omitDefaultRegions\":true}";

static struct tailcfg_derp_map *derp(struct arena *a, const char *text)
{
	struct tailcfg_derp_map *m = NULL;
	struct json_why why;

	if (tailcfg_derp_map_parse(bytes_str(text), a, &m, &why) != OK)
		fail_msg("%s", why.text);
	return m;
}

static void test_derp_round_trip(void **state)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);

	(void)state;
	WROTE(tailcfg_derp_map_write(&w, derp(&a, derp_text)), derp_text);
	WROTE(tailcfg_derp_map_write(&w, derp(&a, "{\"regions\":null}")), "{\"Regions\":{}}");
	WROTE(tailcfg_derp_map_write(&w, derp(&a, "{\"Regions\":{\"9\":{\"Nodes\":[{\"HostName\":\"h\"}]},\"8\":{},\"1\":null}}")),
			"{\"Regions\":{\"8\":{\"RegionID\":8,\"RegionCode\":\"\",\"RegionName\":\"\",\"Nodes\":[]},\"9\":{\"RegionID\":9,"
			"\"RegionCode\":\"\",\"RegionName\":\"\",\"Nodes\":[{\"Name\":\"\",\"RegionID\":9,\"HostName\":\"h\"}]}}}");
}

static void test_derp_refuses(void **state)
{
	static const char *const bad[][2] = {
		{ "{\"Regions\":[]}", "Regions: not an object" },
		{ "{\"Regions\":{\"x\":{}}}", "Regions: a key is no region id from 1 to 65535" },
		{ "{\"Regions\":{\"0\":{}}}", "Regions: a key is no region id from 1 to 65535" },
		{ "{\"Regions\":{\"70000\":{}}}", "Regions: a key is no region id from 1 to 65535" },
		{ "{\"Regions\":{\"7\":{},\"07\":{}}}", "Regions: region 7 is there twice" },
		{ "{\"Regions\":{\"7\":{\"RegionID\":8}}}", "Regions.7: RegionID 8 under the key 7" },
		{ "{\"Regions\":{\"7\":{\"Nodes\":[{\"HostName\":\"h\",\"RegionID\":8}]}}}", "Regions.7.Nodes[0]: RegionID 8 inside region 7" },
		{ "{\"Regions\":{\"7\":{\"Nodes\":[{}]}}}", "Regions.7.Nodes[0]: HostName is missing" },
		{ "{\"Regions\":{\"7\":{\"Nodes\":[{\"HostName\":\"h\",\"STUNPort\":-2}]}}}",
			"Regions.7.Nodes[0].STUNPort: -2 is not from -1 to 65535" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(arena_done) struct arena a = arena_make(0);
		struct tailcfg_derp_map *m = NULL;
		struct json_why why;

		assert_int_equal(tailcfg_derp_map_parse(bytes_str(bad[i][0]), &a, &m, &why), ERR_INVALID);
		assert_string_equal(why.text, bad[i][1]);
		assert_null(m);
	}
}

static void test_derp_merge(void **state)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct tailcfg_derp_map *base = derp(&a, "{\"Regions\":{\"1\":{\"RegionCode\":\"a\"},\"2\":{\"RegionCode\":\"b\"},\"3\":{}}}");
	struct tailcfg_derp_map *over = derp(&a, "{\"Regions\":{\"2\":{\"RegionCode\":\"B\"},\"3\":null,\"9\":{},\"10\":null}}"), *m = NULL;

	(void)state;
	assert_ok(tailcfg_derp_map_merge(base, over, &a, &m));
	assert_int_equal(m->n_regions, 3);
	assert_string_equal(tailcfg_derp_region_by_id(m, 1)->region_code, "a");
	assert_string_equal(tailcfg_derp_region_by_id(m, 2)->region_code, "B");
	assert_null(tailcfg_derp_region_by_id(m, 3));
	assert_non_null(tailcfg_derp_region_by_id(m, 9));
	assert_null(tailcfg_derp_region_by_id(m, 10));
}

static void parse_derp(struct bytes in, void *ctx)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	CLEANUP(buf_done) struct buf b = buf_make(100000);
	struct jsonw w = jsonw_init(&b);
	struct tailcfg_derp_map *m, *again;
	struct json_why why;

	(void)ctx;
	if (tailcfg_derp_map_parse(in, &a, &m, &why) != OK)
		return;
	tailcfg_derp_map_write(&w, m);
	assert_true(jsonw_ok(&w));
	assert_ok(tailcfg_derp_map_parse(buf_view(&b), &a, &again, &why));
}

static void test_cut_and_flipped(void **state)
{
	(void)state;
	test_torture(bytes_str(derp_text), parse_derp, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_profile),
		cmocka_unit_test(test_dns),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_derp_round_trip),
		cmocka_unit_test(test_derp_refuses),
		cmocka_unit_test(test_derp_merge),
		cmocka_unit_test(test_cut_and_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
