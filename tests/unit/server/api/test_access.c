/* Who may call what: every route of the server's own table with every scope and every role, and what a wrong key costs. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/api/request.h"
#include "tests/lib/api_house.h"
#include "tests/lib/test.h"

/* The pattern with something at each "{}" that is nowhere. */
static const char *path_of(const struct route *route, char out[256])
{
	size_t n = 0;

	for (const char *p = route->pattern; *p && n < 250; p++) {
		if (p[0] == '{' && p[1] == '}') {
			n += (size_t)snprintf(out + n, 256 - n, "%s", strstr(route->pattern, "/tailnet/{}") && n < 20 ? "-" : "999999");
			p++;
		} else {
			out[n++] = *p;
		}
	}
	out[n] = 0;
	return out;
}

static bool is_stream(const struct route *route)
{
	return strstr(route->pattern, "/events") != NULL;
}

static size_t try_all(struct house *h, const char *key, scope_set may, const char *who)
{
	size_t tried = 0;
	char path[256];

	for (size_t i = 0; route_at(i); i++) {
		const struct route *route = route_at(i);
		bool allowed = scope_allows(may, route->need);

		if (route->access != ACCESS_KEY || (is_stream(route) && allowed))
			continue;
		int status = house_ask(h, key, route->method, path_of(route, path), "{}");
		bool refused = status == 403 && strstr(h->body, "required scope");
		/* Where one call serves several kinds of things, the handler looks at which: it may refuse more, never less. */
		bool several = __builtin_popcountll(route->need) > 2;
		if ((refused == allowed && !(refused && several)) || status == 401 || status == 0)
			fail_msg("%s: %s %s answered %d, and is %s\n%s", who, route->method, path, status, allowed ? "allowed" : "forbidden", h->body);
		tried++;
	}
	return tried;
}

static void every_route_by_scope(void **state)
{
	(void)state;
	struct house h;
	size_t tried = 0;

	house_open(&h, NULL);
	for (int s = 0; s < SCOPES_N; s++)
		for (int read = 0; read < 2; read++) {
			char word[64];
			scope_set may;
			struct bytes bad;

			snprintf(word, sizeof word, "%s%s", scope_text((enum scope)s), read ? ":read" : "");
			assert_ok(scope_parse(word, &may, &bad));
			char *key = house_key(&h, word, "");
			tried += try_all(&h, key, may, word);
			free(key);
		}
	print_message("%zu calls\n", tried);
	house_close(&h);
}

static void every_route_by_role(void **state)
{
	static const enum user_role roles[] = { USER_MEMBER, USER_ADMIN, USER_NETWORK_ADMIN, USER_IT_ADMIN, USER_AUDITOR, USER_BILLING_ADMIN,
		USER_OWNER };
	(void)state;
	struct house h;

	house_open(&h, NULL);
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		char name[32], body[64], path[96];

		snprintf(name, sizeof name, "user%zu", i);
		snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
		json_t *j = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", body, 200);
		snprintf(path, sizeof path, "/api/fairlead/v1/user/%s/role", json_text_at(j, "user.id"));
		json_decref(j);
		snprintf(body, sizeof body, "{\"role\":\"%s\"}", user_role_text(roles[i]));
		json_decref(house_call(&h, HOUSE_UNIX, "POST", path, body, 200));
		char *key = house_key(&h, "", name);
		try_all(&h, key, scope_of_role(roles[i]), user_role_text(roles[i]));
		free(key);
	}
	house_close(&h);
}

static void nobody_without_a_key(void **state)
{
	(void)state;
	struct house h;
	char path[256];

	house_open(&h, NULL);
	for (size_t i = 0; route_at(i); i++) {
		const struct route *route = route_at(i);
		bool v2 = strncmp(route->pattern, "/api/v2/", 8) == 0;

		if (route->access == ACCESS_OPEN)
			continue;
		int status = house_ask(&h, "", route->method, path_of(route, path), "{}");
		if (status != (route->access == ACCESS_LOCAL ? 403 : 401))
			fail_msg("%s %s without a key: %d", route->method, path, status);
		if (status == 401 && !v2)
			assert_string_equal(h.body, "Unauthorized");
		if (v2)
			assert_true(h.body[0] == '{');
	}
	house_close(&h);
}

static void limited(struct house *h)
{
	h->api_set.failures_per_s = 1; /* ten at once */
	h->api_set.requests_per_s = 5;
}

static void wrong_keys_and_floods_cost(void **state)
{
	(void)state;
	struct house h;
	int i, status = 0;

	house_open(&h, limited);
	char *key = house_key(&h, "", "");
	for (i = 0; i < 20 && (status = house_ask(&h, key, "GET", "/api/v1/user", "")) == 200; i++)
		;
	assert_int_equal(status, 429);
	assert_in_range(i, 9, 12);
	char *wait = house_header(&h, "Retry-After");
	assert_non_null(wait);
	assert_true(atol(wait) >= 1);
	free(wait);
	free(key);
	house_close(&h);

	house_open(&h, limited);
	h.api_set.requests_per_s = 0;
	house_restart(&h);
	for (i = 0; i < 20 && (status = house_ask(&h, "hskey-api-0123456789ab-00", "GET", "/api/v1/user", "")) == 401; i++)
		;
	assert_int_equal(status, 429);
	assert_in_range(i, 9, 12);
	house_close(&h);
}

static void what_a_key_makes_is_no_more_than_it(void **state)
{
	(void)state;
	struct house h;

	house_open(&h, NULL);
	char *key = house_key(&h, "api_access_tokens devices:core", "");
	json_decref(house_call(&h, key, "POST", "/api/v1/apikey", "{\"scopes\":\"devices:core:read\"}", 200));
	json_decref(house_call(&h, key, "POST", "/api/v1/apikey", "{\"scopes\":\"dns:read\"}", 403));
	json_decref(house_call(&h, key, "POST", "/api/v1/apikey", "{}", 403)); /* all */
	json_decref(house_call(&h, key, "POST", "/api/v1/apikey", "{\"scopes\":\"dns:raed\"}", 400));
	free(key);

	json_t *ann = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200);
	char path[96];
	snprintf(path, sizeof path, "/api/fairlead/v1/user/%s/role", json_text_at(ann, "user.id"));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"role\":\"it-admin\"}", 200));
	key = house_key(&h, "", "ann");
	json_decref(house_call(&h, key, "POST", path, "{\"role\":\"owner\"}", 403)); /* no way up */
	json_decref(house_call(&h, key, "POST", path, "{\"role\":\"member\"}", 200));
	json_decref(house_call(&h, key, "GET", "/api/v1/node", "", 403)); /* at once */
	char suspend[96];
	snprintf(suspend, sizeof suspend, "/api/fairlead/v1/user/%s/suspend", json_text_at(ann, "user.id"));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", suspend, "", 200));
	assert_int_equal(house_ask(&h, key, "GET", "/api/v1/node", ""), 401);
	json_decref(ann);
	free(key);
	house_close(&h);
}

static void both_schemes(void **state)
{
	(void)state;
	struct house h;
	char text[256];

	house_open(&h, NULL);
	char *key = house_key(&h, "", "");
	snprintf(text, sizeof text, "bearer %s", key);
	assert_int_equal(house_ask(&h, text, "GET", "/api/v1/user", ""), 200);
	assert_int_equal(house_ask(&h, "Basic", "GET", "/api/v1/user", ""), 401);
	assert_int_equal(house_ask(&h, "Basic !!!", "GET", "/api/v1/user", ""), 401);
	assert_int_equal(house_ask(&h, "Digest x", "GET", "/api/v1/user", ""), 401);
	free(key);
	house_close(&h);
}

static void one_origin(struct house *h)
{
	static const char *const origins[] = { "https://ui.example.com" };

	h->api_set.cors_origins = origins;
	h->api_set.n_cors_origins = 1;
}

static void other_origins_only_where_allowed(void **state)
{
	(void)state;
	struct house h;

	house_open(&h, one_origin);
	h.headers = "Origin: https://ui.example.com\r\n";
	assert_int_equal(house_ask(&h, "", "OPTIONS", "/api/v1/node", ""), 204);
	char *allow = house_header(&h, "Access-Control-Allow-Origin"), *credentials = house_header(&h, "Access-Control-Allow-Credentials");
	assert_string_equal(allow, "https://ui.example.com");
	assert_null(credentials);
	free(allow);
	assert_int_equal(house_ask(&h, "", "GET", "/api/v1/node", ""), 401); /* readable for the page, too */
	allow = house_header(&h, "Access-Control-Allow-Origin");
	assert_non_null(allow);
	free(allow);
	assert_int_equal(house_ask(&h, "", "GET", "/health", ""), 200);
	assert_null(house_header(&h, "Access-Control-Allow-Origin"));
	h.headers = "Origin: https://evil.example.com\r\n";
	assert_int_equal(house_ask(&h, "", "OPTIONS", "/api/v1/node", ""), 405);
	assert_null(house_header(&h, "Access-Control-Allow-Origin"));
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_by_scope),
		cmocka_unit_test(every_route_by_role),
		cmocka_unit_test(nobody_without_a_key),
		cmocka_unit_test(wrong_keys_and_floods_cost),
		cmocka_unit_test(what_a_key_makes_is_no_more_than_it),
		cmocka_unit_test(both_schemes),
		cmocka_unit_test(other_origins_only_where_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
