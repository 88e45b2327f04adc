#include "server/policy/policy.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

/* A bit of everything that a policy may say. */
static const char complete[] =
	"// who is who\n"
	"{\n"
	"  \"groups\": {\"group:dev\": [\"ann@\", \"bob@example.com\",]}, /* a comma too many */\n"
	"  \"hosts\": {\"db\": \"100.64.0.9\", \"lan\": \"10.1.2.3/16\"},\n"
	"  \"tagOwners\": {\"tag:web\": [\"group:dev\"], \"tag:ops\": [\"tag:web\", \"autogroup:member\"], \"tag:x\": []},\n"
	"  \"autoApprovers\": {\"routes\": {\"10.0.0.0/8\": [\"tag:web\", \"ann@\"]}, \"exitNode\": [\"group:dev\"]},\n"
	"  \"acls\": [\n"
	"    {\"action\": \"accept\", \"src\": [\"group:dev\", \"db\", \"*\"], \"dst\": [\"tag:web:22,80-443\", \"lan:*\", \"[fd7a:115c:a1e0::1]:53\"]},\n"
	"    {\"action\": \"accept\", \"proto\": \"udp\", \"src\": [\"ann@\"], \"dst\": [\"autogroup:self:*\"]},\n"
	"  ],\n"
	"  \"ipsets\": {\"ipset:a\": [\"10.0.0.0/8\", \"remove 10.1.0.0/16\", \"host:db\"], \"ipset:b\": [\"ipset:a\", \"add 1.2.3.4-1.2.3.9\"]},\n"
	"  \"postures\": {\"posture:ok\": [\"node:os IN ['linux', 'macos']\", \"node:tsVersion >= '1.60'\", \"custom:t IS SET\"]},\n"
	"  \"grants\": [{\"src\": [\"autogroup:admin\"], \"dst\": [\"ipset:b\"], \"ip\": [\"tcp:443\", \"icmp\", \"80-90\"], \"via\": [\"tag:web\"]},\n"
	"    {\"src\": [\"user:*@example.com\"], \"dst\": [\"tag:web\"], \"app\": {\"example.com/cap/x\": [{\"n\": -1.5e3, \"l\": [null, true]}]},\n"
	"     \"srcPosture\": [\"posture:ok\"]}],\n"
	"  \"ssh\": [{\"action\": \"check\", \"checkPeriod\": \"1h30m\", \"src\": [\"group:dev\"], \"dst\": [\"tag:web\"],\n"
	"    \"users\": [\"root\", \"autogroup:nonroot\", \"localpart:*@example.com\"], \"acceptEnv\": [\"GIT_*\"], \"recorder\": [\"tag:ops\"]}],\n"
	"  \"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"funnel\", \"nextdns:abc\"]}, {\"target\": [\"tag:web\"], \"app\": {\"tailscale.com/app-connectors\": [{}]}}],\n"
	"  \"tests\": [{\"src\": \"ann@\", \"accept\": [\"tag:web:22\"], \"deny\": [\"db:1\"]}],\n"
	"  \"sshTests\": [{\"src\": \"ann@\", \"dst\": [\"tag:web\"], \"check\": [\"root\"]}],\n"
	"  \"randomizeClientPort\": true, \"OneCGNATRoute\": \"mac-always\", \"disableIPv4\": false,\n"
	"}\n";

static void a_complete_policy_is_accepted(void **state)
{
	(void)state;
	struct policy_faults f;
	struct policy *p;
	err e = policy_parse(bytes_str(complete), &p, &f);

	if (e != OK)
		fail_msg("%u:%u %s", f.fault[0].line, f.fault[0].column, f.fault[0].text);
	assert_int_equal(f.n, 0);
	assert_true(policy_has_tag(p, "tag:x"));
	assert_false(policy_has_tag(p, "tag:y"));
	policy_unref(policy_ref(p));
	policy_unref(p);
}

static const struct {
	const char *text;
	unsigned line, column;
	const char *says;
} faults[] = {
	{ "{\n  \"acl\": []}", 2, 3, "unknown field \"acl\", did you mean \"acls\"?" },
	{ "{\"extraDNSRecords\": {}}", 1, 21, "is a list" },
	{ "{\"extraDNSRecords\": [{\"Name\":\"a.b\",\"Value\":\"x\"}]}", 1, 22, "type must be" },
	{ "{\"extraDNSRecords\": [{\"Nam\":\"a.b\"}]}", 1, 23, "unknown field \"Nam\"" },
	{ "{\"derpMap\": []}", 1, 13, "derpMap is an object" },
	{ "{\"derpMap\": {\"Regions\":{\"x\":null}}}", 1, 25, "no number of a region" },
	{ "{\"derpMap\": {\"Regions\":{\"900\":{}}}}", 1, 31, "has Nodes" },
	{ "{\"derpMap\": {\"Regions\":{\"900\":{\"Nodes\":[{\"Name\":\"a\"}]}}}}", 1, 41, "has a HostName" },
	{ "{\"derpMap\": {\"Regions\":{\"900\":{\"RegionID\":901,\"Nodes\":[{\"HostName\":\"a\"}]}}}}", 1, 43, "RegionID must be 900" },
	{ "{\"tests\": [{\"src\": \"ann@\", \"srcPostureAttrs\": {\"os\": 1}}]}", 1, 48, "no attribute" },
	{ "{\"nodeAttrs\": [{\"target\": [\"*\"], \"ipPool\": [\"10.0.0.0/8\"]}]}", 1, 45, "no range inside" },
	{ "{\"ssh\": [{}]}", 1, 10, "action must be specified" },
	{ "{\"ssh\": [{\"action\":\"accept\",\"users\":[\"root\"],\"dst\":[\"*\"]}]}", 1, 53, "invalid dst \"*\"" },
	{ "{\"ssh\": [{\"action\":\"accept\",\"users\":[\"*\"]}]}", 1, 38, "user \"*\" is not valid" },
	{ "{\"ssh\": [{\"action\":\"accept\",\"users\":[\"root\"],\"checkPeriod\":\"1h\"}]}", 1, 46, "\"check\" only" },
	{ "{\"ssh\": [{\"action\":\"check\",\"users\":[\"root\"],\"checkPeriod\":\"169h\"}]}", 1, 59, "above the max" },
	{ "{\"ssh\": [{\"action\":\"check\",\"users\":[\"root\"],\"checkPeriod\":\"1 day\"}]}", 1, 59, "invalid duration" },
	{ "{\"tagOwners\":{\"tag:a\":[]},\"ssh\":[{\"action\":\"accept\",\"users\":[\"root\"],\"src\":[\"tag:a\"],\"dst\":[\"autogroup:member\"]}]}", 1,
	  92, "tags in src" },
	{ "{\"grants\": [{}]}", 1, 13, "ip and app can not both be empty" },
	{ "{\"grants\": [{\"ip\":[\"tcp\"],\"src\":\"*\",\"dst\":[\"*\"]}]}", 1, 33, "src must be a list" },
	{ "{\"grants\": [{\"ip\":[\"tcp\"],\"src\":[\"*\"],\"dst\":\"*\"}]}", 1, 45, "dst must be a list" },
	{ "{\"grants\": [{\"ip\":[\"80,443\"],\"src\":[\"*\"],\"dst\":[\"*\"]}]}", 1, 20, "one port or range in a text" },
	{ "{\"grants\": [{\"ip\":[\"tcp:80,443\"],\"src\":[\"*\"],\"dst\":[\"*\"]}]}", 1, 20, "one port or range in a text" },
	{ "{\"grants\": [{\"ip\":[\"icmpv6:1-65535\"],\"src\":[\"*\"],\"dst\":[\"*\"]}]}", 1, 20, "no ports" },
	{ "{\"grants\": [{\"ip\":[\"tcp:99999\"],\"src\":[\"*\"],\"dst\":[\"*\"]}]}", 1, 20, "no port" },
	{ "{\"grants\": [{\"ip\":[\"icmp:22\"],\"src\":[\"*\"],\"dst\":[\"*\"]}]}", 1, 20, "no ports" },
	{ "{\"grants\": [{\"ip\":[\"*\"],\"src\":[\"*\"],\"dst\":[\"::/0\"]}]}", 1, 44, "to allow all IP addresses" },
	{ "{\"grants\": [{\"app\":{\"x\":[]},\"src\":[\"*\"],\"dst\":[\"*\"]}]}", 1, 21, "{domain}/{name}" },
	{ "{\"grants\": [{\"app\":{\"tailscale.com/cap/driv\":[]},\"src\":[\"*\"],\"dst\":[\"*\"]}]}", 1, 21, "did you mean \"tailscale.com/cap/drive\"" },
	{ "{\"grants\": [{\"ip\":[\"*\"],\"via\":[\"ann@\"],\"src\":[\"*\"],\"dst\":[\"*\"]}]}", 1, 32, "via can only be a tag" },
	{ "{\"acls\": [{\"action\":\"deny\",\"src\":[\"*\"],\"dst\":[\"*:*\"]}]}", 1, 21, "action" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"tag:none\"],\"dst\":[\"*:*\"]}]}", 1, 37, "tag not found: \"tag:none\"" },
	{ "{\"tagOwners\":{\"tag:web\":[]},\"acls\": [{\"action\":\"accept\",\"src\":[\"tag:wbe\"],\"dst\":[\"*:*\"]}]}", 1, 64,
	  "did you mean \"tag:web\"?" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"autogroup:self\"],\"dst\":[\"*:*\"]}]}", 1, 37, "src side" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"autogroup:membr\"],\"dst\":[\"*:*\"]}]}", 1, 37, "did you mean \"autogroup:member\"?" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"autogroup:self\"]}]}", 1, 49, "\"self\": that is no port" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*\"]}]}", 1, 49, "has no ports" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:99999\"]}]}", 1, 49, "no port" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:0\"]}]}", 1, 49, "no port" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:5-4\"]}]}", 1, 49, "no port" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:\"]}]}", 1, 49, "no port" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"10.0.0.0/8\"],\"dst\":[\"autogroup:self:*\"]}]}", 1, 58, "autogroup:self can only" },
	{ "{\"acls\": [{\"action\":\"accept\",\"proto\":\"icmp\",\"src\":[\"*\"],\"dst\":[\"*:22\"]}]}", 1, 64, "no ports" },
	{ "{\"acls\": [{\"action\":\"accept\",\"proto\":\"300\",\"src\":[\"*\"],\"dst\":[\"*:*\"]}]}", 1, 38, "unknown protocol" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"bob\"],\"dst\":[\"*:*\"]}]}", 1, 37, "\"bob@\"" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"svc:x\"],\"dst\":[\"*:*\"]}]}", 1, 37, "a service is a destination" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"svc:No:80\"]}]}", 1, 49, "is no service" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"autogroup:danger-all:*\"]}]}", 1, 49, "danger-all as a dst" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"],\"srcPosture\":[\"posture:x\"]}]}", 1, 70, "posture not found" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"],\"dest\":[]}]}", 1, 56, "unknown field \"dest\"" },
	{ "{\"acls\": [{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"tag:a:1,2,3,4,5,6,7,8\",\"tag:b:1,2,3,4,5,6,7,8\"]}]}", 1, 49,
	  "tag not found: \"tag:a\"" },
	{ "{\"postures\": {\"posture:a\": [\"os == 'x'\"]}}", 1, 29, "no attribute" },
	{ "{\"postures\": {\"posture:a\": [\"node:os = 'x'\"]}}", 1, 29, "no condition" },
	{ "{\"postures\": {\"posture:a\": [\"node:os IN ['x'\"]}}", 1, 29, "no condition" },
	{ "{\"ipsets\": {\"ipset:a\": [\"ipset:b\"], \"ipset:b\": [\"ipset:a\"]}}", 1, 24, "contain each other" },
	{ "{\"ipsets\": {\"ipset:a\": [\"remove lan\"]}}", 1, 25, "\"lan\" is no address" },
	{ "{\"nodeAttrs\": [{\"target\": \"*\", \"attr\": [\"x\"]}]}", 1, 27, "target must be a list" },
	{ "{\"nodeAttrs\": [{\"target\": [\"autogroup:self\"], \"attr\": [\"x\"]}]}", 1, 28, "invalid target" },
	{ "{\"tests\": [{\"source\": \"ann@\"}]}", 1, 13, "unknown field \"source\"" },
	{ "{\"OneCGNATRoute\": \"always\"}", 1, 19, "mac-always" },
	{ "{\"randomizeClientPort\": 1}", 1, 25, "true or false" },
	{ "{\"groups\": {\"dev\": []}}", 1, 13, "begins with group:" },
	{ "{\"groups\": {\"group:a\": [\"group:b\"]}}", 1, 25, "cannot contain groups" },
	{ "{\"hosts\": {\"a\": \"nope\"}}", 1, 17, "no address" },
	{ "{\"tagOwners\": {\"web\": []}}", 1, 16, "begins with tag:" },
	{ "{\"tagOwners\": {\"tag:1\": []}}", 1, 16, "start with a letter" },
	{ "{\"tagOwners\": {\"tag:a\": [\"group:none\"]}}", 1, 26, "group not found" },
	{ "{\"autoApprovers\": {\"route\": {}}}", 1, 20, "unknown field \"route\"" },
	{ "[]", 1, 1, "object" },
	{ "{\"acls\": [}", 1, 11, "expected a value" },
	{ "{\"acls\": [01]}", 1, 11, "expected a value" },
	{ "{\n\n \"acls\": [1 2]}", 3, 13, "expected , or ]" },
	{ "{/* no end", 1, 2, "never closed" },
	{ "{\"a", 1, 2, "never closed" },
	{ "{} x", 1, 4, "after the end" },
	{ "{\"hosts\": {}, \"hosts\": {}}", 1, 15, "twice" },
	{ "{\"acls\":", 1, 9, "expected a value" },
};

static void faults_name_their_place(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct policy_faults f;
		struct policy *p = NULL;
		struct bytes text = test_exact(bytes_str(faults[i].text));
		err e = policy_parse(text, &p, &f);

		if (e != ERR_INVALID || f.n == 0 || f.fault[0].line != faults[i].line || f.fault[0].column != faults[i].column ||
		    !strstr(f.fault[0].text, faults[i].says))
			print_error("%s\n: %d, %zu faults, %u:%u %s\n", faults[i].text, e, f.n, f.fault[0].line, f.fault[0].column,
				    f.fault[0].text), wrong++;
		test_exact_free(text);
	}
	assert_int_equal(wrong, 0);
}

/* What Go reads as nothing is nothing here, too: the service takes a missing list as it takes an empty one. */
static void what_is_missing_is_empty(void **state)
{
	static const char *const taken[] = {
		"{\"grants\": [{\"ip\": [\"tcp\"], \"dst\": [\"*\"]}]}",
		"{\"grants\": [{\"ip\": [\"tcp\"], \"src\": null, \"dst\": null, \"via\": null, \"app\": null}]}",
		"{\"grants\": [{\"app\": {\"example.com/cap/x\": null}, \"src\": [\"*\"], \"dst\": [\"*\"]}]}",
		"{\"acls\": [{\"action\": \"accept\"}]}",
		"{\"nodeAttrs\": [{\"attr\": [\"x\"]}, {\"target\": null, \"attr\": null}]}",
		"{\"autoApprovers\": {\"routes\": {\"10.0.0.0/8\": null}, \"exitNode\": null}, \"tagOwners\": {\"tag:a\": null}}",
		"{\"groups\": null, \"acls\": null, \"ssh\": null, \"tests\": null}",
		"{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"proto\": \"icmp\", \"dst\": [\"*:0-65535\"]}]}", /* that is *:* */
		"{\"grants\": [{\"ip\": [\"icmpv4:*\", \"icmpv6:0-65535\", \"tsmp:*\", \"dccp:*\", \"ICMP\", \"*:22\", \"*:*\"], \"src\": [\"*\"], \"dst\": [\"*\"]}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		struct policy_faults f;
		struct policy *p;

		if (policy_parse(bytes_str(taken[i]), &p, &f) != OK)
			fail_msg("%s: %u:%u %s", taken[i], f.fault[0].line, f.fault[0].column, f.fault[0].text);
		policy_unref(p);
	}
}

static void rules_without_a_side_are_warned_of(void **state)
{
	static const char text[] = "{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"]},\n{\"action\": \"accept\", \"src\": [], \"dst\": [\"*:*\"]}]}";
	struct policy_faults f;
	struct policy *p;

	(void)state;
	assert_ok(policy_parse(bytes_str(text), &p, &f));
	policy_warn(p, bytes_str(text), &f);
	assert_int_equal(f.n, 2);
	assert_string_equal(f.fault[0].text, "this rule has no dst: it lets nobody through to anything");
	assert_string_equal(f.fault[1].text, "this rule has no src: it lets nobody through");
	assert_int_equal(f.fault[1].line, 2);
	policy_unref(p);
}

static void every_fault_is_told_up_to_the_ceiling(void **state)
{
	(void)state;
	struct buf b = buf_make(1 << 16);
	struct policy_faults f;
	struct policy *p;

	buf_append_str(&b, "{\n");
	for (int i = 0; i < 40; i++)
		buf_printf(&b, "\"f%d\": 1,\n", i);
	buf_append_str(&b, "}");
	assert_int_equal(policy_parse(buf_view(&b), &p, &f), ERR_INVALID);
	assert_int_equal(f.n, POLICY_FAULTS_MAX);
	assert_int_equal(f.fault[3].line, 5);
	buf_done(&b);
}

static void tags_and_routes(void **state)
{
	(void)state;
	struct policy_faults f;
	struct policy *p;
	struct policy_user ann = { 1, "Ann", "ann@corp.example", "ann@corp.example", POLICY_ROLE_MEMBER, NULL, 0 },
			   bob = { 2, "x", "BOB@example.com", "b", POLICY_ROLE_MEMBER, NULL, 0 }, eve = { 3, "eve", "", "eve", POLICY_ROLE_MEMBER, NULL, 0 };
	const char *web[] = { "tag:web" };
	struct policy_node router = { .id = 1, .tags = web, .n_tags = 1 }, anns = { .id = 2, .user_id = 1, .user = &ann };
	struct prefix lan, wide, exit_route;

	assert_ok(policy_parse(bytes_str(complete), &p, &f));
	assert_true(policy_may_tag(p, &ann, "tag:web"));
	assert_true(policy_may_tag(p, &bob, "tag:web"));
	assert_false(policy_may_tag(p, &eve, "tag:web"));
	assert_true(policy_may_tag(p, &eve, "tag:ops"));
	assert_false(policy_may_tag(p, &ann, "tag:x"));
	assert_false(policy_may_tag(p, &ann, "tag:unknown"));
	assert_false(policy_may_tag(p, NULL, "tag:ops"));
	assert_true(policy_tags_may_tag(p, web, 1, "tag:ops")); /* tags own tags */
	assert_true(policy_tags_may_tag(p, web, 1, "tag:web"));
	assert_false(policy_tags_may_tag(p, web, 1, "tag:x"));

	assert_ok(prefix_parse(BYTES_LIT("10.3.0.0/16"), &lan));
	assert_ok(prefix_parse(BYTES_LIT("10.0.0.0/7"), &wide));
	assert_ok(prefix_parse(BYTES_LIT("0.0.0.0/0"), &exit_route));
	assert_true(policy_approves_route(p, &router, lan));
	assert_false(policy_approves_route(p, &router, wide));
	assert_false(policy_approves_route(p, &router, exit_route));
	assert_true(policy_approves_route(p, &anns, exit_route));
	policy_unref(p);
}

/* "idp:NAME" among a group's members: whom the provider counts there, with the very name. */
static void groups_of_a_provider(void **state)
{
	(void)state;
	static const char text[] = "{\"groups\": {\"group:ops\": [\"idp:Admins\", \"bob@\"]}, \"tagOwners\": {\"tag:a\": [\"group:ops\"]},"
				   " \"acls\": [{\"action\": \"accept\", \"src\": [\"group:ops\"], \"dst\": [\"*:*\"]}]}";
	static const char *const in[] = { "staff", "Admins" }, *const near[] = { "admins", "Admins2", "idp:Admins", "" };
	struct policy_faults f;
	struct policy *p;
	struct policy_user ann = { .id = 1, .name = "ann", .email = "", .login = "ann", .groups = in, .n_groups = 2 }, eve = ann, bob = ann;

	eve.groups = near, eve.n_groups = 4;
	bob.name = bob.login = "bob", bob.n_groups = 0;
	assert_ok(policy_parse(bytes_str(text), &p, &f));
	assert_true(policy_may_tag(p, &ann, "tag:a"));
	assert_true(policy_may_tag(p, &bob, "tag:a"));
	assert_false(policy_may_tag(p, &eve, "tag:a"));
	policy_unref(p);
	assert_int_equal(policy_parse(BYTES_LIT("{\"groups\": {\"group:x\": [\"idp:\"]}}"), &p, &f), ERR_INVALID);
}

static void apps_and_records(void **state)
{
	(void)state;
	struct policy_faults f;
	struct policy *p;
	size_t n;

	assert_int_equal(policy_parse(BYTES_LIT(
		"{\"extraDNSRecords\": [{\"Name\": \"Nas.example.\", \"Value\": \"100.64.0.9\"}], \"nodeAttrs\": [{\"target\": [\"*\"],"
		" \"app\": {\"tailscale.com/app-connectors\": [{\"name\": \"x\", \"connectors\": [\"tag:a\", \"tag:b\"], \"domains\":"
		" [\"*.Example.com\", \"b.test.\", \"no domain\", 7]}, {\"connectors\": [\"*\"], \"domains\": [\"c.test\"]}, {\"name\": \"empty\"}]}}]}"),
		&p, &f), OK);
	const struct dns_record *r = policy_dns_records(p, &n);
	assert_int_equal(n, 1);
	assert_string_equal(r[0].name, "nas.example");
	assert_string_equal(r[0].type, "A");
	const struct policy_app *app = policy_apps(p, &n);
	assert_int_equal(n, 2);
	assert_int_equal(app[0].n_domains, 2);
	assert_string_equal(app[0].domains[0], "example.com");
	assert_string_equal(app[0].domains[1], "b.test");
	char tag_b[] = "tag:b", tag_c[] = "tag:c";
	char *b[] = { tag_b }, *c[] = { tag_c };
	assert_true(policy_app_has(&app[0], b, 1));
	assert_false(policy_app_has(&app[0], c, 1));
	assert_false(policy_app_has(&app[0], NULL, 0));
	assert_true(policy_app_has(&app[1], c, 1));
	policy_unref(p);
}

static void parse_any(struct bytes in, void *ctx)
{
	struct policy_faults f;
	struct policy *p;

	(void)ctx;
	if (policy_parse(in, &p, &f) == OK)
		policy_unref(p);
}

static void broken_texts_are_survived(void **state)
{
	(void)state;
	test_torture(bytes_str(complete), parse_any, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_complete_policy_is_accepted),	cmocka_unit_test(faults_name_their_place),
		cmocka_unit_test(every_fault_is_told_up_to_the_ceiling), cmocka_unit_test(what_is_missing_is_empty),
		cmocka_unit_test(rules_without_a_side_are_warned_of), cmocka_unit_test(tags_and_routes), cmocka_unit_test(groups_of_a_provider),
		cmocka_unit_test(broken_texts_are_survived), cmocka_unit_test(apps_and_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
