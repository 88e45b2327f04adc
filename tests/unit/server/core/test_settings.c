/* The tailnet's settings: what the file says holds until another value is set, and again after a reset; undone, kept over a
 * restart, refused where the file keeps one for itself; and who hears of a change. */
#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/core/settings.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static struct reply *ask(struct harness *h, enum command_kind kind, const char *key, const char *value)
{
	struct command *m = command_new(kind);

	m->name = key;
	m->text = value;
	return harness_command(h, m);
}

static const char *value_of(struct harness *h, const char *key)
{
	struct reply *r = ask(h, CMD_SETTINGS_LIST, key, NULL);

	assert_ok(r->e);
	assert_int_equal(r->n_settings, 1);
	return r->settings[0].value;
}

static void set_reset_and_restart(void **state)
{
	struct harness h;

	(void)state;
	harness_start(&h, NULL);
	struct reply *r = ask(&h, CMD_SETTINGS_LIST, NULL, NULL);
	assert_int_equal(r->n_settings, setting_defs_n);
	char *seed = strdup(value_of(&h, "node.expiry"));
	r = ask(&h, CMD_SETTINGS_SET, "node.expiry", "48h");
	assert_ok(r->e);
	assert_string_equal(r->settings[0].value, "2d"); /* one text a value */
	assert_string_equal(r->settings[0].seed, seed);
	assert_true(r->settings[0].set);
	harness_restart(&h);
	assert_string_equal(value_of(&h, "node.expiry"), "2d");
	h.hold = true;
	assert_null(ask(&h, CMD_SETTINGS_SET, "node.expiry", "3d"));
	harness_fail(&h);
	h.hold = false;
	assert_string_equal(value_of(&h, "node.expiry"), "2d");
	r = ask(&h, CMD_SETTINGS_RESET, "node.expiry", NULL);
	assert_string_equal(r->settings[0].value, seed);
	assert_false(r->settings[0].set);
	free(seed);
	harness_stop(&h);
}

static void what_does_not_fit_is_refused(void **state)
{
	static const struct {
		const char *key, *value, *why;
	} wrong[] = {
		{ "node.expiry", "soon", "a time such as" },
		{ "node.expiry", "", "a time such as" },
		{ "node.ephemeral.inactivity_timeout", "5s", "from 65" },
		{ "taildrop.enabled", "perhaps", "true or false" },
	};
	struct harness h;

	(void)state;
	harness_start(&h, NULL);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct reply *r = ask(&h, CMD_SETTINGS_SET, wrong[i].key, wrong[i].value);
		assert_int_equal(r->e, ERR_INVALID);
		assert_non_null(strstr(r->message, wrong[i].key));
		assert_non_null(strstr(r->message, wrong[i].why));
	}
	struct reply *r = ask(&h, CMD_SETTINGS_SET, "node.expirey", "1d");
	assert_int_equal(r->e, ERR_NOT_FOUND);
	assert_non_null(strstr(r->message, "did you mean node.expiry?"));
	harness_stop(&h);
}

static struct reply *patch(struct harness *h, const struct setting_change *changes, size_t n)
{
	struct command *m = command_new(CMD_SETTINGS_PATCH);

	m->changes = changes;
	m->n_changes = n;
	return harness_command(h, m);
}

static void several_at_once_or_none(void **state)
{
	static const struct setting_change good[] = { { "dns.override_local_dns", "true", false }, { "dns.nameservers.global", "[\"9.9.9.9\"]", false },
		{ "dns.nameservers.split", "{\"a.example\":[\"10.0.0.1\"],\"b.example\":[\"10.0.0.2\"]}", false } };
	static const struct setting_change bad[] = { { "dns.nameservers.global", "[\"1.1.1.1\"]", false }, { "dns.search_domains", "[\"not a name!\"]", false } };
	static const struct setting_change together[] = { { "dns.nameservers.global", "[]", false }, { "dns.override_local_dns", "true", false } };
	static const struct setting_change merges[] = { { "dns.nameservers.split", "{\"b.example\":null,\"c.example\":[\"10.0.0.3\"]}", true },
		{ "dns.nameservers.split", "{\"d.example\":[\"10.0.0.4\"],\"zz.example\":[]}", true } };
	struct harness h;

	(void)state;
	harness_start(&h, NULL);
	struct reply *r = patch(&h, good, ARRAY_LEN(good)); /* override before the servers that it needs: checked as they are together */
	assert_ok(r->e);
	assert_int_equal(r->n_settings, setting_defs_n);
	assert_int_equal(patch(&h, bad, ARRAY_LEN(bad))->e, ERR_INVALID);
	assert_string_equal(value_of(&h, "dns.nameservers.global"), "[\"9.9.9.9\"]"); /* the first of them was undone */
	assert_int_equal(patch(&h, together, ARRAY_LEN(together))->e, ERR_INVALID);
	assert_string_equal(value_of(&h, "dns.nameservers.global"), "[\"9.9.9.9\"]");
	assert_ok(patch(&h, merges, ARRAY_LEN(merges))->e);
	static const char want[] = "{\"a.example\":[\"10.0.0.1\"],\"c.example\":[\"10.0.0.3\"],\"d.example\":[\"10.0.0.4\"]}";
	assert_string_equal(value_of(&h, "dns.nameservers.split"), want);
	assert_int_equal(patch(&h, (struct setting_change[]){ { "dns.nameservers.split", "[]", true } }, 1)->e, ERR_INVALID);
	assert_int_equal(patch(&h, (struct setting_change[]){ { "dns.nothing", "1", false } }, 1)->e, ERR_NOT_FOUND);
	harness_restart(&h);
	assert_string_equal(value_of(&h, "dns.nameservers.split"), want);
	h.hold = true;
	assert_null(patch(&h, (struct setting_change[]){ { "dns.magic_dns", "false", false }, { "dns.nameservers.split", "{\"a.example\":null}", true } }, 2));
	harness_fail(&h);
	h.hold = false;
	assert_string_equal(value_of(&h, "dns.nameservers.split"), want);
	harness_stop(&h);
}

static void managed_by_the_file(void **state)
{
	static const struct setting_managed managed[] = { { "node", 12 } };
	struct core_settings s = harness_settings();
	struct harness h;

	(void)state;
	harness_start(&h, &s);
	assert_ok(ask(&h, CMD_SETTINGS_SET, "node.expiry", "1d")->e);
	h.set.managed = managed;
	h.set.n_managed = 1;
	h.set.config_file = "/etc/fairlead/config.toml";
	harness_restart(&h);
	struct reply *r = ask(&h, CMD_SETTINGS_LIST, "node.expiry", NULL);
	assert_string_equal(r->settings[0].value, r->settings[0].seed); /* what was set before does not count */
	assert_string_equal(r->settings[0].file, "/etc/fairlead/config.toml");
	assert_int_equal(r->settings[0].line, 12);
	r = ask(&h, CMD_SETTINGS_SET, "node.expiry", "9d");
	assert_int_equal(r->e, ERR_DENIED);
	assert_non_null(strstr(r->message, "/etc/fairlead/config.toml:12"));
	assert_int_equal(ask(&h, CMD_SETTINGS_RESET, "node.expiry", NULL)->e, ERR_DENIED);
	assert_ok(ask(&h, CMD_SETTINGS_SET, "taildrop.enabled", "false")->e);
	harness_stop(&h);
}

static bool shares_files(json_t *msg)
{
	return json_object_get(json_object_get(json_object_get(msg, "Node"), "CapMap"), "https://tailscale.com/cap/file-sharing") != NULL;
}

static void changes_are_heard(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	device_join(&a, key);
	device_skip(&a);
	assert_ok(ask(&h, CMD_SETTINGS_SET, "taildrop.enabled", "off")->e);
	json_t *m = device_next(&a);
	assert_non_null(json_object_get(m, "Node"));
	assert_false(shares_files(m));
	assert_ok(ask(&h, CMD_SETTINGS_SET, "taildrop.enabled", "on")->e);
	assert_true(shares_files(device_next(&a)));

	assert_ok(ask(&h, CMD_SETTINGS_SET, "node.expiry", "1h")->e); /* for those who log in from now on */
	assert_null(device_next(&a));
	struct reply *r = harness_node_command(&h, CMD_NODE_GET, device_join(&b, key));
	assert_int_equal(r->nodes[0]->row.expires_ms, h.now.wall_ms + 3600000);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

/* Values of every type, read and shown. */
static void lists_and_texts(void **state)
{
	static const struct setting_def list = { .key = "x", .type = SETTING_LIST, .offset = offsetof(struct core_settings, resolvers),
		.offset_n = offsetof(struct core_settings, n_resolvers), .max = 3 };
	static const struct setting_def text = { .key = "y", .type = SETTING_TEXT, .offset = offsetof(struct core_settings, domain), .max = 5 };
	static const char *const good[][2] = { { "a, b", "[\"a\",\"b\"]" }, { "[\"a\",\"b\"]", "[\"a\",\"b\"]" }, { "", "[]" }, { "[]", "[]" } };
	static const char *const wrong[] = { "a,b,c,d", "[1]", "[\"a\"", "[\"a\\n\"]", "[\"1\",\"2\",\"3\",\"4\"]" };
	struct core_settings s = { 0 };
	struct arena a = arena_make(0);
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct buf b = buf_make(1000);
		assert_ok(setting_read(&list, good[i][0], &a, &s, why, sizeof why));
		setting_show(&list, &s, &b);
		assert_true(bytes_eq_str(buf_view(&b), good[i][1]));
		buf_done(&b);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(setting_read(&list, wrong[i], &a, &s, why, sizeof why), ERR_INVALID);
	assert_ok(setting_read(&text, "äb", &a, &s, why, sizeof why));
	assert_string_equal(s.domain, "äb");
	assert_int_equal(setting_read(&text, "abcdef", &a, &s, why, sizeof why), ERR_INVALID);
	assert_int_equal(setting_read(&text, "a\tb", &a, &s, why, sizeof why), ERR_INVALID);
	assert_int_equal(setting_read(&text, "\xff", &a, &s, why, sizeof why), ERR_INVALID);
	arena_done(&a);
}

/* Every DNS setting: taken, heard by a delta that is DNS alone, undone together with what it needs. */
static void dns_changes_are_heard(void **state)
{
	static const struct {
		const char *key, *value, *field, *shown;
	} good[] = {
		{ "dns.nameservers.global", "1.1.1.1,https://dns.example/q", "FallbackResolvers",
		  "[{\"Addr\":\"1.1.1.1\"},{\"Addr\":\"https://dns.example/q\"}]" },
		{ "dns.override_local_dns", "true", "Resolvers", "[{\"Addr\":\"1.1.1.1\"},{\"Addr\":\"https://dns.example/q\"}]" },
		{ "dns.use_with_exit_node", "true", "Resolvers",
		  "[{\"Addr\":\"1.1.1.1\",\"UseWithExitNode\":true},{\"Addr\":\"https://dns.example/q\",\"UseWithExitNode\":true}]" },
		{ "dns.nameservers.split", "{\"corp.example\": [\"10.0.0.53\"]}", "Routes", "{\"corp.example\":[{\"Addr\":\"10.0.0.53\"}]}" },
		{ "dns.use_with_exit_node", "[\"10.0.0.53\",\"1.1.1.1\"]", "Routes", "{\"corp.example\":[{\"Addr\":\"10.0.0.53\",\"UseWithExitNode\":true}]}" },
		{ "dns.use_with_exit_node", "10.0.0.53", "Resolvers", "[{\"Addr\":\"1.1.1.1\"},{\"Addr\":\"https://dns.example/q\"}]" },
		{ "dns.search_domains", "corp.example", "Domains", "[\"tail.example.com\",\"corp.example\"]" },
		{ "dns.exit_node_filtered", ".corp.example,x.y", "ExitNodeFilteredSet", "[\".corp.example\",\"x.y\"]" },
		{ "dns.extra_records", "[{\"name\":\"NAS.example.\",\"value\":\"fd00::9\"}]", "ExtraRecords",
		  "[{\"Name\":\"nas.example\",\"Type\":\"AAAA\",\"Value\":\"fd00::9\"}]" },
	};
	static const struct {
		const char *key, *value, *why;
	} wrong[] = {
		{ "dns.nameservers.global", "", "at least one of dns.nameservers.global" }, /* while it overrides */
		{ "dns.nameservers.global", "1.1.1", "neither an address" },
		{ "dns.nameservers.split", "{\"corp.example\": \"10.0.0.53\"}", "list of name servers" },
		{ "dns.use_with_exit_node", "perhaps", "neither true, false" },
		{ "dns.nameservers.split", "[]", "a JSON object" },
		{ "dns.search_domains", "a..b", "no domain name" },
		{ "dns.exit_node_filtered", "A.b", "lower-case" },
		{ "dns.extra_records", "[{\"name\":\"a.b\",\"type\":\"CNAME\",\"value\":\"c.d\"}]", "CNAME: clients take only addresses" },
		{ "dns.extra_records", "[{\"name\":\"*.b\",\"value\":\"1.2.3.4\"}]", "no wildcards" },
		{ "dns.base_domain", "Other.example", "lower-case" },
		{ "dns.base_domain", "example.com", "holds the host of server_url" },
	};
	struct core_settings s = harness_settings();
	struct harness h;
	struct device a;

	(void)state;
	s.server_url = "https://vpn.example.com";
	s.base_domain = "tail.example.com";
	s.magic_dns = true;
	harness_start(&h, &s);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_join(&a, harness_authkey(&h, "ann", AK_REUSABLE));
	device_skip(&a);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_ok(ask(&h, CMD_SETTINGS_SET, good[i].key, good[i].value)->e);
		json_t *m = device_next(&a), *want = json_loads(good[i].shown, 0, NULL);
		assert_int_equal(json_object_size(m), 1);
		assert_true(json_equal(json_object_get(json_object_get(m, "DNSConfig"), good[i].field), want));
		json_decref(want);
		assert_null(device_next(&a));
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct reply *r = ask(&h, CMD_SETTINGS_SET, wrong[i].key, wrong[i].value);
		assert_int_equal(r->e, ERR_INVALID);
		if (!strstr(r->message, wrong[i].why))
			fail_msg("%s", r->message);
		assert_null(device_next(&a));
	}
	struct reply *r = ask(&h, CMD_SETTINGS_RESET, "dns.nameservers.global", NULL);
	assert_int_equal(r->e, ERR_INVALID);
	assert_null(device_next(&a));
	assert_ok(ask(&h, CMD_SETTINGS_SET, "dns.base_domain", "other.example")->e);
	json_t *m = device_next(&a);
	assert_string_equal(json_string_value(json_object_get(json_object_get(m, "Node"), "Name")), "a.other.example.");
	harness_restart(&h);
	assert_string_equal(value_of(&h, "dns.base_domain"), "other.example");
	assert_string_equal(value_of(&h, "dns.search_domains"), "[\"corp.example\"]");
	device_done(&a);
	harness_stop(&h);
}

/* NextDNS is told which device asks; a node attribute chooses the profile, or that nothing is told. */
static void nextdns_knows_the_device(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a b");
	device_join(&a, harness_authkey(&h, "ann", AK_REUSABLE));
	device_skip(&a);
	assert_ok(ask(&h, CMD_SETTINGS_SET, "dns.nameservers.global", "https://dns.nextdns.io/abc,https://dns.nextdns.io.evil.example/x")->e);
	json_t *list = json_object_get(json_object_get(device_next(&a), "DNSConfig"), "FallbackResolvers");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "Addr")),
			"https://dns.nextdns.io/abc?device_name=a%20b&device_model=linux&device_ip=100.64.0.1");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "Addr")), "https://dns.nextdns.io.evil.example/x");
	struct command *m = command_new(CMD_POLICY_SET);
	m->text = "{\"nodeAttrs\": [{\"target\": [\"*\"], \"attr\": [\"nextdns:xyz\", \"nextdns:no-device-info\"]}]}";
	assert_ok(harness_command(&h, m)->e);
	json_t *dns = json_object_get(device_next(&a), "DNSConfig");
	list = json_object_get(dns, "FallbackResolvers");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "Addr")), "https://dns.nextdns.io/xyz");
	device_done(&a);
	harness_stop(&h);
}

static json_t *regions_next(struct device *d)
{
	json_t *m = device_next(d);

	return json_object_get(json_object_get(m, "DERPMap"), "Regions");
}

static void set_policy(struct harness *h, const char *text)
{
	struct command *m = command_new(CMD_POLICY_SET);

	m->text = text;
	struct reply *r = harness_command(h, m);
	if (r->e != OK)
		fail_msg("%s", r->message);
}

#define REGION(id) "\"" #id "\": {\"RegionID\": " #id ", \"RegionCode\": \"r" #id "\", \"Nodes\": [{\"Name\": \"a\", \"RegionID\": " #id \
	", \"HostName\": \"derp.example.net\"}]}"

/* Regions of a policy over ours, in their place, and ours taken out; told by a delta. */
static void a_policy_edits_the_relays(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_join(&a, harness_authkey(&h, "ann", AK_REUSABLE));
	device_skip(&a);
	set_policy(&h, "{\"derpMap\": {\"Regions\": {" REGION(901) "}}}");
	json_t *r = regions_next(&a);
	assert_int_equal(json_object_size(r), 2);
	assert_non_null(json_object_get(r, "901"));
	set_policy(&h, "{\"derpMap\": {\"Regions\": {" REGION(901) "}}, \"groups\": {}}"); /* the same relays */
	assert_null(device_next(&a));
	set_policy(&h, "{\"derpMap\": {\"OmitDefaultRegions\": true, \"Regions\": {" REGION(902) "}}}");
	r = regions_next(&a);
	assert_int_equal(json_object_size(r), 1);
	assert_non_null(json_object_get(r, "902"));
	set_policy(&h, "{\"derpMap\": {\"Regions\": {\"900\": null, " REGION(903) "}}}");
	r = regions_next(&a);
	assert_int_equal(json_object_size(r), 1);
	assert_non_null(json_object_get(r, "903"));
	harness_restart(&h);
	device_stream(&a);
	assert_int_equal(json_object_size(regions_next(&a)), 1);
	set_policy(&h, "{\"derpMap\": {\"Regions\": {\"900\": null}}}"); /* none left: not used */
	r = regions_next(&a);
	assert_non_null(json_object_get(r, "900"));
	device_done(&a);
	harness_stop(&h);
}

/* One region joins and leaves beside others; told by a delta; kept over a restart, undone with a failing commit. */
static struct reply *patch_regions(struct harness *h, const char *text)
{
	struct command *m = command_new(CMD_SETTINGS_PATCH);
	struct setting_change *x = arena_array(&m->arena, 1, sizeof *x);

	*x = (struct setting_change){ .key = "derp.regions", .text = text, .merge = true };
	m->name = "derp.regions";
	m->changes = x;
	m->n_changes = 1;
	return harness_command(h, m);
}

static void relays_join_and_leave(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_join(&a, harness_authkey(&h, "ann", AK_REUSABLE));
	device_skip(&a);
	struct reply *r = patch_regions(&h, "{" REGION(901) "}");
	assert_ok(r->e);
	assert_int_equal(r->n_settings, 1);
	assert_int_equal(json_object_size(regions_next(&a)), 2);
	assert_ok(patch_regions(&h, "{" REGION(902) "}")->e);
	json_t *regions = regions_next(&a);
	assert_int_equal(json_object_size(regions), 3);
	assert_non_null(json_object_get(regions, "901"));
	assert_ok(patch_regions(&h, "{" REGION(902) "}")->e); /* the same again: no harm */
	assert_int_equal(json_object_size(regions_next(&a)), 3);
	h.hold = true;
	assert_null(patch_regions(&h, "{" REGION(903) "}"));
	harness_fail(&h);
	h.hold = false;
	const char *now = value_of(&h, "derp.regions");
	assert_non_null(strstr(now, "\"901\":{\"RegionID\":901,"));
	assert_non_null(strstr(now, "\"902\""));
	assert_null(strstr(now, "\"903\""));
	harness_restart(&h);
	device_stream(&a);
	assert_int_equal(json_object_size(regions_next(&a)), 3);
	assert_ok(patch_regions(&h, "{\"901\": null}")->e);
	regions = regions_next(&a);
	assert_int_equal(json_object_size(regions), 2);
	assert_null(json_object_get(regions, "901"));
	static const char *const wrong[] = { "{\"x\": {}}", "{\"904\": 7}", "{\"904\": {\"RegionID\": 905}}", "[]", "{\"904\": {\"Nodes\": 1}}" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(patch_regions(&h, wrong[i])->e, ERR_INVALID);
	device_done(&a);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_reset_and_restart),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(several_at_once_or_none),
		cmocka_unit_test(managed_by_the_file),
		cmocka_unit_test(changes_are_heard),
		cmocka_unit_test(lists_and_texts),
		cmocka_unit_test(dns_changes_are_heard),
		cmocka_unit_test(a_policy_edits_the_relays),
		cmocka_unit_test(relays_join_and_leave),
		cmocka_unit_test(nextdns_knows_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
