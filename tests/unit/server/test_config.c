/* config.toml: the example against the table, both ways; what is wrong is named with its line. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/text/toml.h"
#include "server/config_table.h"
#include "tests/lib/test.h"

#define MINIMAL "server_url = \"https://vpn.example.com\"\ndatabase.path = \"/var/lib/x/x.db\"\n"

static char path[64];

static err load_text(const char *text, char *why, size_t why_cap, struct config **out)
{
	snprintf(path, sizeof path, "/tmp/fairlead-config.XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	err e = config_load(path, why, why_cap, out);
	unlink(path);
	return e;
}

static struct config *load(const char *text)
{
	struct config *c = NULL;
	char why[400] = "";

	if (load_text(text, why, sizeof why, &c) != OK)
		fail_msg("%s", why);
	return c;
}

/* The text is refused with a sentence that begins FILE:LINE: (line 0: no line) and has part in it. */
static void refused(const char *text, unsigned line, const char *part)
{
	struct config *c = NULL;
	char why[400] = "", start[100];

	assert_int_equal(load_text(text, why, sizeof why, &c), ERR_INVALID);
	assert_null(c);
	if (line)
		snprintf(start, sizeof start, "%s:%u: ", path, line);
	else
		snprintf(start, sizeof start, "%s: ", path);
	if (strncmp(why, start, strlen(start)) != 0 || !strstr(why, part))
		fail_msg("wanted %s…%s, got %s", start, part, why);
}

static void the_example_is_the_table(void **state)
{
	(void)state;
	struct config *c = NULL;
	char why[400] = "";
	if (config_load("config.example.toml", why, sizeof why, &c) != OK)
		fail_msg("%s", why); /* every key of the example is in the table */
	struct config *minimal = load("server_url = \"https://vpn.example.com\"\n[database]\npath = \"/var/lib/fairlead/fairlead.db\"\n");
	char *a = config_show(c), *b = config_show(minimal);
	assert_string_equal(a, b); /* and has the default there */
	free(a), free(b);
	config_free(minimal);
	config_free(c);

	size_t n;
	char *text = test_read_file("config.example.toml", &n);
	struct arena arena = arena_make(0);
	struct toml *root;
	struct toml_error error;
	assert_ok(toml_parse(bytes_of(text, n), &arena, &root, &error));
	for (size_t i = 0; i < config_keys_n; i++) {
		if (!toml_get(root, config_keys[i].path))
			fail_msg("%s is not in config.example.toml", config_keys[i].path);
	}
	arena_done(&arena);
	free(text);
}

static void values_arrive(void **state)
{
	(void)state;
	struct config *c = load(MINIMAL "listen_addr = \":443\"\nunix_socket_permission = \"0700\"\nwire_threads = 3\n"
				"trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n"
				"[node]\nexpiry = \"180d\"\noffline_grace = 5\n"
				"[dns]\nextra_records = [{ name = \"A.b.\", type = \"A\", value = \"10.0.0.1\" }]\n"
				"exit_node_filtered = [\".corp.example\"]\nuse_with_exit_node = true\n"
				"[node.routes.ha]\nprobe_timeout = \"250ms\"\n"
				"[dns.nameservers]\nglobal = [\"1.1.1.1\"]\nsplit = { \"corp.example\" = [\"10.0.0.53\"] }\n");
	assert_string_equal(c->server_url, "https://vpn.example.com");
	assert_int_equal(c->listen_addr.n, 1);
	assert_string_equal(c->listen_addr.s[0], ":443");
	assert_int_equal(c->unix_socket_permission, 0700);
	assert_string_equal(c->unix_socket, "/var/lib/x/fairlead.sock");
	assert_int_equal(c->wire_threads, 3);
	assert_int_equal(c->trusted_proxies.n, 2);
	assert_int_equal(c->node_expiry_ms, 180LL * 86400000);
	assert_int_equal(c->offline_grace_ms, 5000);
	assert_int_equal(c->dns.n_extra, 1);
	assert_string_equal(c->dns.extra_records[0].value, "10.0.0.1");
	assert_string_equal(c->dns.extra_records[0].name, "a.b");
	assert_int_equal(c->dns.n_split, 1);
	assert_string_equal(c->dns.split[0].resolvers[0], "10.0.0.53");
	assert_true(c->derp_server.enabled && c->taildrop && !c->logtail);

	struct core_settings s;
	config_core_settings(c, NULL, &s);
	assert_int_equal(s.v4.bits, 10);
	assert_int_equal(s.v6.addr.family, 6);
	assert_int_equal(s.node_expiry_ms, c->node_expiry_ms);
	assert_int_equal(s.n_resolvers, 1);
	assert_int_equal(s.max_pending, 1024);
	assert_int_equal(s.n_exit_filtered, 1);
	assert_true(s.with_exit_node);
	assert_int_equal(s.probe_interval_ms, 2000);
	assert_int_equal(s.probe_timeout_ms, 250);
	config_free(c);
}

static void what_is_shown_loads_again(void **state)
{
	(void)state;
	struct config *c = load(MINIMAL "[node]\nexpiry = \"90s\"\n[dns]\nextra_records = [{ name = \"a.b\", type = \"AAAA\", value = \"::1\" }]\n"
				"[dns.nameservers]\nsplit = { \"corp.example\" = [\"10.0.0.53\", \"https://x/y\"] }\n"
				"[derp]\npaths = [\"/a \\\"b\\\\\"]\n");
	char *shown = config_show(c);
	struct config *again = load(shown);
	char *shown_again = config_show(again), *changed = config_needs_restart(c, again);
	assert_string_equal(shown, shown_again);
	assert_string_equal(changed, "");
	free(shown), free(shown_again), free(changed);
	config_free(c);
	config_free(again);
}

#define ONE_PROVIDER "[oidc]\nissuer = \"https://id.example.com\"\nclient_id = \"f\"\n"

static void providers_arrive(void **state)
{
	(void)state;
	setenv("FAIRLEAD_TEST_SECRET", "from the environment", 1);
	struct config *c = load(MINIMAL ONE_PROVIDER "client_secret = \"s\"\nextra_params = { prompt = \"login\", hd = \"x\" }\n"
				"[[oidc.providers]]\nname = \"two\"\nissuer = \"https://two.example\"\nclient_id = \"g\"\n"
				"client_secret_env = \"FAIRLEAD_TEST_SECRET\"\npkce.enabled = false\nallowed_groups = [\"a\", \"b\"]\n");
	assert_int_equal(c->n_oidc_all, 2);
	const struct config_oidc *one = &c->oidc_all[0], *two = &c->oidc_all[1];
	assert_string_equal(one->name, "oidc");
	assert_string_equal(one->client_secret, "s");
	assert_int_equal(one->scope.n, 3);
	assert_string_equal(one->scope.s[1], "profile");
	assert_int_equal(one->extra_params.n, 4);
	assert_string_equal(one->extra_params.s[3], "x");
	assert_true(one->pkce && one->email_verified_required && !one->use_expiry_from_token);
	assert_string_equal(two->name, "two");
	assert_string_equal(two->client_secret, "from the environment");
	assert_false(two->pkce);
	assert_int_equal(two->allowed_groups.n, 2);
	assert_int_equal(two->login_claims.n, 3);
	char *shown = config_show(c);
	assert_null(strstr(shown, "from the environment")); /* secrets are not shown */
	assert_non_null(strstr(shown, "(hidden)"));
	struct config *again = load(shown);
	char *shown_again = config_show(again);
	assert_string_equal(shown, shown_again);
	free(shown), free(shown_again);
	config_free(again);
	config_free(c);
}

static void provider_mistakes_are_named(void **state)
{
	(void)state;
	refused(MINIMAL "[oidc]\nclient_id = \"x\"\n", 4, "oidc.issuer is missing");
	refused(MINIMAL "[oidc]\nissuer = \"https://id.example.com\"\n", 0, "client_id is missing");
	refused(MINIMAL "[oidc]\nissuer = \"id.example.com\"\nclient_id = \"f\"\n", 0, "issuer must be an https:// URL");
	refused(MINIMAL "[oidc]\nissuer = \"https://vpn.example.com\"\nclient_id = \"f\"\n", 0, "this server itself");
	refused(MINIMAL "[oidc]\nissuer = \"https://vpn.example.com/x\"\nclient_id = \"f\"\n", 0, "this server itself");
	refused(MINIMAL ONE_PROVIDER "scope = [\"email\"]\n", 0, "must have \"openid\"");
	refused(MINIMAL ONE_PROVIDER "client_secret = \"a\"\nclient_secret_env = \"B\"\n", 0, "give one of");
	refused(MINIMAL ONE_PROVIDER "client_secret_env = \"FAIRLEAD_NOT_THERE\"\n", 0, "the environment has no");
	refused(MINIMAL ONE_PROVIDER "client_secret_path = \"/nowhere/at/all\"\n", 0, "/nowhere/at/all");
	refused(MINIMAL ONE_PROVIDER "name = \"a/b\"\n", 0, "letters, digits");
	refused(MINIMAL ONE_PROVIDER "pkce.method = \"plain\"\n", 6, "one of S256");
	refused(MINIMAL ONE_PROVIDER "[[oidc.providers]]\nissuer = \"https://two.example\"\nclient_id = \"g\"\n", 0, "two are called");
	refused(MINIMAL ONE_PROVIDER "[[oidc.providers]]\nname = \"b\"\nissuer = \"https://id.example.com\"\nclient_id = \"g\"\n", 0,
		"two have the issuer");
	refused(MINIMAL ONE_PROVIDER "domains = [\"A.example\"]\n[[oidc.providers]]\nname = \"b\"\nissuer = \"https://two.example\"\n"
				     "client_id = \"g\"\ndomains = [\"a.example\"]\n", 0, "belongs to one provider only");
	refused(MINIMAL ONE_PROVIDER "[[oidc.providers]]\nname = \"b\"\nissue = \"https://two.example\"\n", 6, "needs an issuer");
	refused(MINIMAL ONE_PROVIDER "[[oidc.providers]]\nname = \"b\"\nissuer = \"https://two.example\"\nclient_id = \"g\"\nscopes = []\n", 10,
		"unknown key");
}

static void changes_are_told_apart(void **state)
{
	(void)state;
	struct config *now = load(MINIMAL), *wanted = load(MINIMAL "listen_addr = \":1\"\n[prefixes]\nallocation = \"random\"\n"
							   "[node]\nexpiry = \"1h\"\n");
	char *names = config_needs_restart(now, wanted);
	assert_string_equal(names, "listen_addr, prefixes.allocation");
	free(names);
	config_free(now);
	config_free(wanted);
}

static void mistakes_are_named(void **state)
{
	(void)state;
	refused("server_url = \"https://a\"\n", 0, "database.path is missing");
	refused(MINIMAL "lisen_addr = \":1\"\n", 3, "unknown key 'lisen_addr'; did you mean 'listen_addr'?");
	refused(MINIMAL "[derp.server]\nenabeld = true\n", 4, "did you mean 'derp.server.enabled'?");
	refused(MINIMAL "[qqqq]\nzzzzzzzzzzzzzzzzzzzzzzz = 1\n", 4, "unknown key 'qqqq.zzz");
	refused(MINIMAL "wire_threads = \"3\"\n", 3, "wire_threads must be a whole number");
	refused(MINIMAL "wire_threads = 1000\n", 3, "from 0 to 256, not 1000");
	refused(MINIMAL "[log]\nlevel = \"loud\"\n", 4, "debug|info|warn|error");
	refused(MINIMAL "[derp.server]\nenabled = 1\n", 4, "true or false");
	refused(MINIMAL "[node]\nexpiry = \"soon\"\n", 4, "a time such as");
	refused(MINIMAL "[node.ephemeral]\ninactivity_timeout = \"10s\"\n", 4, "from 65");
	refused(MINIMAL "unix_socket_permission = \"0999\"\n", 3, "file mode");
	refused(MINIMAL "listen_addr = [\":80\", \"nonsense\"]\n", 3, "\"nonsense\" is not an address");
	refused(MINIMAL "trusted_proxies = [\n\"10.0.0.0/8\",\n\"0.0.0.0/0\"]\n", 5, "trust everyone");
	refused(MINIMAL "tls_cert_path = \"a\"\n", 3, "belong together");
	refused(MINIMAL "[prefixes]\nv4 = \"fd7a::/48\"\n", 4, "IPv4 prefix");
	refused(MINIMAL "[prefixes]\nv4 = \"\"\nv6 = \"\"\n", 4, "at least one");
	refused(MINIMAL "[dns]\nbase_domain = \"vpn.example.com\"\n", 4, "may not hold the host");
	refused(MINIMAL "[dns]\nbase_domain = \"Example.com\"\n", 4, "may not hold the host");
	refused(MINIMAL "[dns]\nbase_domain = \"a..b\"\n", 4, "domain name");
	refused(MINIMAL "[dns]\noverride_local_dns = true\n", 4, "needs at least one");
	refused(MINIMAL "[dns.nameservers]\nglobal = [\"dns.google\"]\n", 4, "not an address");
	refused(MINIMAL "[dns]\nextra_records = [{ name = \"a\", type = \"MX\", value = \"1\" }]\n", 4, "\"A\" or \"AAAA\"");
	refused(MINIMAL "[policy]\nmode = \"file\"\n", 4, "policy.path");
	refused(MINIMAL "[dns]\nexit_node_filtered = [\"Corp.example\"]\n", 4, "lower-case");
	refused(MINIMAL "[dns]\nextra_records = [{ name = \"a\", type = \"CNAME\", value = \"b\" }]\n", 4, "clients take only addresses");
	refused("server_url = \"vpn.example.com\"\ndatabase.path = \"/x\"\n", 1, "http:// or https://");
	refused("server_url = \"https://a/b\"\ndatabase.path = \"/x\"\n", 1, "no path");
	refused("server_url = \n", 1, "");
	struct config *c = load(MINIMAL "[dns]\nbase_domain = \"ample.com\"\n[limits]\n"); /* a tail, but no parent; an empty table */
	config_free(c);
}

static void absent_files_are_not_found(void **state)
{
	(void)state;
	struct config *c = NULL;
	char why[400];
	assert_int_equal(config_load("/nonexistent/config.toml", why, sizeof why, &c), ERR_NOT_FOUND);
	assert_non_null(strstr(why, "/nonexistent/config.toml"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_is_the_table),
		cmocka_unit_test(values_arrive),
		cmocka_unit_test(what_is_shown_loads_again),
		cmocka_unit_test(providers_arrive),
		cmocka_unit_test(provider_mistakes_are_named),
		cmocka_unit_test(changes_are_told_apart),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(absent_files_are_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
