#include "common/wire/tailcfg_hostinfo.h"

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

static struct tailcfg_hostinfo *parse(struct arena *a, const char *text)
{
	struct tailcfg_hostinfo *h = NULL;
	struct json_why why;

	if (tailcfg_hostinfo_parse(bytes_str(text), a, &h, &why) != OK)
		fail_msg("%s", why.text);
	return h;
}

static void test_fields(void **state)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct tailcfg_hostinfo *h = parse(&a,
			" { \"hostname\" : \"alpha\", \"OS\":\"linux\",\"OSVersion\":\"6\",\"IPNVersion\":\"1.9\",\"ShieldsUp\":true,"
			"\"WireIngress\":true,\"IngressEnabled\":false,\"AppConnector\":false,\"Userspace\":true,\"ExitNodeID\":\"n5\","
			"\"RoutableIPs\":[\"10.1.0.0/16\",\"\",null,\"0.0.0.0/0\"],\"RequestTags\":[\"tag:x\",\"\"],\"Unknown\":[{}],"
			"\"Location\":{\"City\":\"Y\",\"Latitude\":-1.25,\"Priority\":3},\"PeerRelay\":true,"
			"\"NetInfo\":{\"WorkingUDP\":true,\"MappingVariesByDestIP\":null,\"PreferredDERP\":4,\"DERPLatency\":{\"4-v4\":0.5,"
			"\"5-v6\":1}}}");

	(void)state;
	assert_string_equal(h->hostname, "alpha");
	assert_string_equal(h->distro, "");
	assert_true(h->shields_up && h->wire_ingress && !h->ingress_enabled && h->peer_relay);
	assert_int_equal(h->app_connector, TAILCFG_FALSE);
	assert_int_equal(h->userspace, TAILCFG_TRUE);
	assert_int_equal(h->container, TAILCFG_UNSET);
	assert_string_equal(h->exit_node_id, "n5");
	assert_int_equal(h->n_routable_ips, 2);
	assert_int_equal(h->n_request_tags, 1);
	assert_string_equal(h->location->city, "Y");
	assert_true(h->location->latitude == -1.25);
	assert_int_equal(h->netinfo->working_udp, TAILCFG_TRUE);
	assert_int_equal(h->netinfo->mapping_varies_by_dest_ip, TAILCFG_UNSET);
	assert_int_equal(h->netinfo->preferred_derp, 4);
	assert_int_equal(h->netinfo->n_latency, 2);
	assert_string_equal(h->netinfo->latency[1].region, "5-v6");
	assert_true(h->netinfo->latency[1].seconds == 1);
	assert_true(bytes_has_prefix(h->raw, BYTES_LIT("{\"hostname\":\"alpha\",\"OS\":\"linux\",")));

	/* what was stored reads the same again */
	struct tailcfg_hostinfo *again = parse(&a, (const char *)h->raw.p);
	assert_true(bytes_eq(h->raw, again->raw));
	assert_int_equal(again->netinfo->preferred_derp, 4);
}

static void test_empty(void **state)
{
	static const char *const texts[] = { "", "{}", "null" };
	CLEANUP(arena_done) struct arena a = arena_make(0);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct tailcfg_hostinfo *h = parse(&a, texts[i]);

		assert_string_equal(h->hostname, "");
		assert_true(bytes_eq_str(h->raw, "{}"));
		assert_null(h->netinfo);
	}
}

static void test_keep_netinfo(void **state)
{
	static const char *const texts[] = { "{}", "{\"OS\":\"x\"}", "{\"NetInfo\":null,\"OS\":\"x\"}" };
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct tailcfg_hostinfo *before = parse(&a, "{\"OS\":\"y\",\"NetInfo\":{\"PreferredDERP\":7,\"LinkType\":\"a b\"}}");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct tailcfg_hostinfo *h = tailcfg_hostinfo_keep_netinfo(parse(&a, texts[i]), before, &a);

		assert_int_equal(h->netinfo->preferred_derp, 7);
		assert_string_equal(h->netinfo->link_type, "a b");
		assert_string_equal(h->os, i ? "x" : "");
		assert_int_equal(parse(&a, (const char *)h->raw.p)->netinfo->preferred_derp, 7);
	}
	struct tailcfg_hostinfo *own = parse(&a, "{\"NetInfo\":{\"PreferredDERP\":8}}");
	assert_ptr_equal(tailcfg_hostinfo_keep_netinfo(own, before, &a), own);
	assert_ptr_equal(tailcfg_hostinfo_keep_netinfo(own, &tailcfg_hostinfo_none, &a), own);
}

static void expect(const struct tailcfg_hostinfo *h, bool for_self, const char *want)
{
	CLEANUP(buf_done) struct buf b = buf_make(10000);
	struct jsonw w = jsonw_init(&b);

	tailcfg_hostinfo_write(&w, h, for_self);
	assert_true(jsonw_ok(&w));
	buf_append_u8(&b, 0);
	assert_string_equal((const char *)buf_view(&b).p, want);
}

/* Others get no more than this (trap T38). */
static void test_trimmed(void **state)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct tailcfg_hostinfo *h = parse(&a,
			"{\"Hostname\":\"al\\\"pha\",\"OS\":\"linux\",\"BackendLogID\":\"secret\",\"TPM\":{},\"ShieldsUp\":true,\"RoutableIPs\":"
			"[\"10.0.0.0/8\"],\"RequestTags\":[\"tag:x\"],\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":1,\"Description\":\"d\"}],"
			"\"sshHostKeys\":[\"k\"],\"Location\":{\"CountryCode\":\"C\",\"Longitude\":0.1},\"NetInfo\":{\"PreferredDERP\":1}}");

	(void)state;
	expect(h, false, "{\"OS\":\"linux\",\"Hostname\":\"al\\\"pha\",\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":1,\"Description\":"
			 "\"d\"}],\"sshHostKeys\":[\"k\"],\"Location\":{\"CountryCode\":\"C\",\"Longitude\":0.1}}");
	expect(h, true, "{\"OS\":\"linux\",\"Hostname\":\"al\\\"pha\",\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":1,\"Description\":"
			"\"d\"}],\"sshHostKeys\":[\"k\"],\"Location\":{\"CountryCode\":\"C\",\"Longitude\":0.1},\"ShieldsUp\":true,"
			"\"RoutableIPs\":[\"10.0.0.0/8\"],\"RequestTags\":[\"tag:x\"]}");
	expect(&tailcfg_hostinfo_none, true, "{}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_keep_netinfo),
		cmocka_unit_test(test_trimmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
