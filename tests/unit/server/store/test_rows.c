#include "tests/unit/server/store/sample.h"

static void copies_are_deep(void **state)
{
	(void)state;
	struct node_row a = sample_node(7, 3), b = { 0 };
	assert_ok(node_row_copy(&a, &b));
	a.hostname[0] = 'X';
	a.tags[1][0] = 'X';
	a.endpoints[0].port = 1;
	a.approved_routes[0].bits = 1;
	a.attrs[1].value[0] = 'X';
	assert_string_equal(b.hostname, "Ann's laptop");
	assert_string_equal(b.tags[1], "tag:t01");
	assert_int_equal(b.endpoints[0].port, 41641);
	assert_int_equal(b.approved_routes[0].bits, 8);
	assert_string_equal(b.attrs[1].value, "göld");
	assert_memory_equal(b.key.b, a.key.b, 32);
	node_row_done(&a);
	node_row_done(&b);
	assert_null(b.tags);
	assert_int_equal(b.n_tags, 0);
	node_row_done(&b); /* done twice is fine */
}

static void null_strings_stay_null(void **state)
{
	(void)state;
	struct setting_row a = { .tailnet_id = 1, .key = (char[]){ "k" } }, b = { 0 };
	assert_ok(setting_row_copy(&a, &b));
	assert_null(b.value);
	assert_string_equal(b.key, "k");
	setting_row_done(&b);
}

static void every_kind_copies(void **state)
{
	(void)state;
	struct user_row u = sample_user(1), u2 = { 0 };
	struct authkey_row k = sample_authkey(1, 1), k2 = { 0 };
	struct apikey_row a = sample_apikey(1), a2 = { 0 };
	struct pending_row p = sample_pending(1), p2 = { 0 };
	struct identity_row d = sample_identity(1, 1), d2 = { 0 };
	struct signin_row g = sample_signin(1, 1), g2 = { 0 };
	struct policy_row y = { .id = 1, .text = (char[]){ "{}" }, .author = (char[]){ "cli" } }, y2 = { 0 };
	struct server_key_row s = { .name = (char[]){ "noise" }, .value = (uint8_t[]){ 1, 0, 3 }, .n = 3 }, s2 = { 0 };
	struct tailnet_row t = { 1, (char[]){ "default" } }, t2 = { 0 };

	assert_ok(user_row_copy(&u, &u2));
	assert_ok(authkey_row_copy(&k, &k2));
	assert_ok(apikey_row_copy(&a, &a2));
	assert_ok(pending_row_copy(&p, &p2));
	assert_ok(identity_row_copy(&d, &d2));
	assert_ok(signin_row_copy(&g, &g2));
	assert_ok(policy_row_copy(&y, &y2));
	assert_string_equal(d2.groups[1], "team01");
	assert_string_equal(d2.refresh_token, "again");
	assert_string_equal(g2.agent, "Firefox");
	identity_row_done(&d), identity_row_done(&d2);
	signin_row_done(&g), signin_row_done(&g2);
	assert_ok(server_key_row_copy(&s, &s2));
	assert_ok(tailnet_row_copy(&t, &t2));
	assert_string_equal(u2.provider_id, u.provider_id);
	assert_string_equal(k2.tags[2], "tag:k02");
	assert_string_equal(a2.prefix, a.prefix);
	assert_string_equal(p2.request_tags[0], "tag:p00");
	assert_string_equal(y2.author, "cli");
	assert_int_equal(s2.n, 3);
	assert_memory_equal(s2.value, s.value, 3);
	assert_string_equal(t2.name, "default");
	user_row_done(&u), user_row_done(&u2);
	authkey_row_done(&k), authkey_row_done(&k2);
	assert_string_equal(a2.scopes, a.scopes);
	apikey_row_done(&a), apikey_row_done(&a2);
	pending_row_done(&p), pending_row_done(&p2);
	policy_row_done(&y2);
	server_key_row_done(&s2);
	tailnet_row_done(&t2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_are_deep),
		cmocka_unit_test(null_strings_stay_null),
		cmocka_unit_test(every_kind_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
