/* The native API as the console uses it: by a signed-in browser's cookie, with what its user's role may, and only from our own pages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "server/api/console.h"
#include "server/api/console_page.h"
#include "server/api/request.h"
#include "tests/lib/api_house.h"
#include "tests/lib/test.h"

#define NATIVE "/api/fairlead/v1"

static void own_url(struct house *h)
{
	h->api_set.server_url = "http://x"; /* what house_ask says as Host */
}

struct browser {
	char cookie[128], csrf[64], headers[512], user_id[24];
};

static void make_user(struct house *h, const char *name, const char *role, char user_id[24])
{
	char body[96], path[96];

	snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
	json_t *j = house_call(h, HOUSE_UNIX, "POST", "/api/v1/user", body, 200);
	snprintf(user_id, 24, "%s", json_text_at(j, "user.id"));
	json_decref(j);
	snprintf(path, sizeof path, NATIVE "/user/%s/role", user_id);
	snprintf(body, sizeof body, "{\"role\":\"%s\"}", role);
	json_decref(house_call(h, HOUSE_UNIX, "POST", path, body, 200));
}

/* Signs in with a link, as a person does. */
static void sign_in(struct house *h, struct browser *b, const char *name)
{
	char body[96];

	snprintf(body, sizeof body, "{\"user\":\"%s\"}", name);
	json_t *j = house_call(h, HOUSE_UNIX, "POST", NATIVE "/login-links", body, 200);
	const char *at = strstr(json_text_at(j, "url"), "/welcome/");
	assert_non_null(at);
	assert_int_equal(house_ask(h, "", "POST", at, ""), 303);
	json_decref(j);
	char *cookie = house_header(h, "Set-Cookie");
	assert_non_null(cookie);
	cookie[strcspn(cookie, ";")] = 0;
	snprintf(b->cookie, sizeof b->cookie, "%s", cookie);
	free(cookie);
	b->csrf[0] = 0;
}

/* As the page of that browser. csrf NULL: without the header. */
static int by_browser(struct house *h, struct browser *b, const char *csrf, const char *more, const char *method, const char *path, const char *body)
{
	snprintf(b->headers, sizeof b->headers, "Cookie: %s\r\n%s%s%s%s", b->cookie, csrf ? "X-Fairlead-CSRF: " : "", csrf ? csrf : "",
			csrf ? "\r\n" : "", more);
	h->headers = b->headers;
	int status = house_ask(h, "", method, path, body);
	h->headers = NULL;
	return status;
}

static json_t *page_call(struct house *h, struct browser *b, const char *method, const char *path, const char *body, int status)
{
	if (!b->csrf[0]) {
		assert_int_equal(by_browser(h, b, NULL, "", "GET", NATIVE "/me", ""), 200);
		json_t *me = json_loads(h->body, 0, NULL);
		snprintf(b->csrf, sizeof b->csrf, "%s", json_text_at(me, "csrf"));
		assert_int_equal(strlen(b->csrf), 32);
		json_decref(me);
	}
	if (by_browser(h, b, b->csrf, "", method, path, body) != status)
		fail_msg("%s %s: wanted %d, got %s\n%s", method, path, status, h->head, h->body);
	return json_loads(h->body, JSON_DECODE_ANY, NULL);
}

static void a_browser_has_its_roles_rights(void **state)
{
	(void)state;
	struct house h;
	struct browser b;

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", b.user_id);
	sign_in(&h, &b, "ann");
	json_t *me = page_call(&h, &b, "GET", NATIVE "/me", "", 200);
	assert_string_equal(json_text_at(me, "user.name"), "ann");
	assert_string_equal(json_text_at(me, "user.role"), "owner");
	assert_string_equal(json_text_at(me, "by"), "session");
	assert_string_equal(json_text_at(me, "may.all"), "write");
	assert_string_equal(json_text_at(me, "tailnet.domain"), "tail.internal");
	json_decref(me);

	/* What changes something names the person, and the console. */
	json_decref(page_call(&h, &b, "PUT", NATIVE "/settings/taildrop.enabled", "{\"value\":true}", 200));
	json_t *log = page_call(&h, &b, "GET", NATIVE "/audit?kind=setting", "", 200);
	assert_string_equal(json_text_at(log, "records.0.actor"), "user:ann");
	assert_string_equal(json_text_at(log, "records.0.via"), "console");
	json_decref(log);

	/* A role that is taken away counts at once. */
	char path[96];
	snprintf(path, sizeof path, NATIVE "/user/%s/role", b.user_id);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"role\":\"auditor\"}", 200));
	json_decref(page_call(&h, &b, "GET", NATIVE "/settings", "", 200));
	json_decref(page_call(&h, &b, "PUT", NATIVE "/settings/taildrop.enabled", "{\"value\":false}", 403));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"role\":\"member\"}", 200));
	json_decref(page_call(&h, &b, "GET", NATIVE "/me", "", 403));
	/* Nor does one that is given reach into sessions and links from before: they may be somebody else's. */
	json_t *link = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/login-links", "{\"user\":\"ann\"}", 200);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"role\":\"admin\"}", 200));
	json_decref(page_call(&h, &b, "GET", NATIVE "/settings", "", 401));
	assert_int_not_equal(house_ask(&h, "", "POST", strstr(json_text_at(link, "url"), "/welcome/"), ""), 303);
	json_decref(link);

	/* And so does the session's end. */
	sign_in(&h, &b, "ann");
	json_decref(page_call(&h, &b, "POST", NATIVE "/me/sign-out", "", 200));
	json_decref(page_call(&h, &b, "GET", NATIVE "/me", "", 401));
	house_close(&h);
}

static void other_sites_cannot_use_it(void **state)
{
	static const char set[] = NATIVE "/settings/taildrop.enabled", on[] = "{\"value\":true}";
	(void)state;
	struct house h;
	struct browser b, c;

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", b.user_id);
	sign_in(&h, &b, "ann");
	sign_in(&h, &c, "ann");
	json_decref(page_call(&h, &b, "PUT", set, on, 200));
	json_decref(page_call(&h, &c, "PUT", set, on, 200));
	assert_int_equal(by_browser(&h, &b, NULL, "", "PUT", set, on), 403);
	assert_int_equal(by_browser(&h, &b, "", "", "PUT", set, on), 403);
	assert_int_equal(by_browser(&h, &b, c.csrf, "", "PUT", set, on), 403); /* another session's */
	assert_int_equal(by_browser(&h, &b, "00000000000000000000000000000000", "", "PUT", set, on), 403);
	assert_int_equal(by_browser(&h, &b, b.csrf, "Origin: http://evil.example\r\n", "PUT", set, on), 403);
	assert_int_equal(by_browser(&h, &b, b.csrf, "Origin: null\r\n", "PUT", set, on), 403);
	assert_int_equal(by_browser(&h, &b, b.csrf, "Sec-Fetch-Site: cross-site\r\n", "PUT", set, on), 403);
	assert_int_equal(by_browser(&h, &b, b.csrf, "Sec-Fetch-Site: same-site\r\n", "GET", NATIVE "/me", ""), 403);
	assert_int_equal(by_browser(&h, &b, b.csrf, "Origin: http://x\r\nSec-Fetch-Site: same-origin\r\n", "PUT", set, on), 200);
	house_close(&h);
}

static void a_cookie_is_no_key(void **state)
{
	(void)state;
	struct house h;
	struct browser b;

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", b.user_id);
	sign_in(&h, &b, "ann");
	assert_int_equal(by_browser(&h, &b, NULL, "", "GET", "/api/v1/node", ""), 401);
	assert_int_equal(by_browser(&h, &b, NULL, "", "GET", "/api/v2/tailnet/-/devices", ""), 401);
	assert_int_equal(by_browser(&h, &b, NULL, "", "GET", "/metrics", ""), 401);
	/* A wrong key is not made good by a cookie beside it. */
	assert_int_equal(by_browser(&h, &b, NULL, "Authorization: Bearer hskey-api-0123456789ab-00\r\n", "GET", NATIVE "/me", ""), 401);
	/* A key works alone, without a CSRF header, and is nobody's session. */
	char *key = house_key(&h, "", "ann");
	json_t *me = house_call(&h, key, "GET", NATIVE "/me", "", 200);
	assert_string_equal(json_text_at(me, "by"), "key");
	assert_string_equal(json_text_at(me, "user.name"), "ann");
	assert_string_equal(json_text_at(me, "csrf"), "");
	json_decref(me);
	json_decref(house_call(&h, key, "POST", NATIVE "/me/sign-out", "", 400));
	free(key);
	house_close(&h);
}

static void nobody_gives_more_than_they_have(void **state)
{
	(void)state;
	struct house h;
	struct browser b;
	char owner[24], path[96], body[96];

	house_open(&h, own_url);
	make_user(&h, "olga", "owner", owner);
	make_user(&h, "ivan", "it-admin", b.user_id);
	sign_in(&h, &b, "ivan");
	snprintf(path, sizeof path, NATIVE "/user/%s/role", b.user_id);
	json_decref(page_call(&h, &b, "POST", path, "{\"role\":\"owner\"}", 403));
	snprintf(path, sizeof path, NATIVE "/user/%s/suspend", owner);
	json_decref(page_call(&h, &b, "POST", path, "", 403));
	snprintf(body, sizeof body, "{\"user\":\"olga\"}");
	json_decref(page_call(&h, &b, "POST", NATIVE "/login-links", body, 403));
	/* Nor does anybody act as, or end what lets in, who may do more. */
	struct browser o;
	sign_in(&h, &o, "olga");
	json_decref(page_call(&h, &b, "DELETE", NATIVE "/sessions?user=olga", "", 403));
	json_decref(page_call(&h, &o, "GET", NATIVE "/me", "", 200));
	json_decref(page_call(&h, &b, "POST", NATIVE "/keys/auth", "{\"user\":\"olga\"}", 403));
	json_decref(page_call(&h, &b, "POST", NATIVE "/keys/auth", "{\"user\":\"ivan\"}", 200)); /* oneself */
	snprintf(path, sizeof path, NATIVE "/users/%s", owner);
	json_decref(page_call(&h, &b, "DELETE", path, "{\"machines\":\"delete\"}", 403));
	/* An owner does not go by the console: somebody else becomes the owner first. */
	json_decref(page_call(&h, &o, "DELETE", path, "{\"machines\":\"delete\"}", 400));
	house_close(&h);
}

/* ---- every route, by role ---- */

static const char *path_of(const struct route *route, char out[256])
{
	size_t n = 0;

	for (const char *p = route->pattern; *p && n < 240; p++)
		if (p[0] == '{' && p[1] == '}')
			n += (size_t)snprintf(out + n, 256 - n, "999999"), p++;
		else
			out[n++] = *p;
	out[n] = 0;
	return out;
}

static void every_route_by_role_with_a_cookie(void **state)
{
	static const enum user_role roles[] = { USER_MEMBER, USER_ADMIN, USER_NETWORK_ADMIN, USER_IT_ADMIN, USER_AUDITOR, USER_BILLING_ADMIN };
	(void)state;
	struct house h;
	char path[256];

	house_open(&h, own_url);
	for (size_t k = 0; k < ARRAY_LEN(roles); k++) {
		struct browser b, boss;
		char name[32];
		snprintf(name, sizeof name, "user%zu", k);
		make_user(&h, name, "admin", b.user_id);
		sign_in(&h, &b, name);
		json_decref(page_call(&h, &b, "GET", NATIVE "/me", "", 200)); /* the CSRF token */
		snprintf(path, sizeof path, NATIVE "/user/%s/role", b.user_id);
		snprintf(boss.headers, sizeof boss.headers, "{\"role\":\"%s\"}", user_role_text(roles[k]));
		json_decref(house_call(&h, HOUSE_UNIX, "POST", path, boss.headers, 200));
		for (size_t i = 0; route_at(i); i++) {
			const struct route *route = route_at(i);
			bool allowed = scope_allows(scope_of_role(roles[k]), route->need), several = __builtin_popcountll(route->need) > 2;
			if (route->access != ACCESS_KEY || strncmp(route->pattern, NATIVE, sizeof NATIVE - 1) != 0)
				continue;
			if (strstr(route->pattern, "/events") && allowed)
				continue;
			if (strstr(route->pattern, "/me/sign-out") && allowed)
				continue;
			/* A changing call without the header goes no further, whoever asks. */
			if (strcmp(route->method, "GET") != 0)
				assert_int_equal(by_browser(&h, &b, NULL, "", route->method, path_of(route, path), "{}"), 403);
			int status = by_browser(&h, &b, b.csrf, "", route->method, path_of(route, path), "{}");
			bool refused = status == 403 && strstr(h.body, "required scope");
			if ((refused == allowed && !(refused && several)) || status == 401 || status == 0)
				fail_msg("%s: %s %s answered %d, and is %s\n%s", user_role_text(roles[k]), route->method, path, status,
						allowed ? "allowed" : "forbidden", h.body);
		}
	}
	house_close(&h);
}

/* ---- machines ---- */

static char *auth_key(struct house *h, const char *user)
{
	char body[160];

	snprintf(body, sizeof body, "{\"user\":\"%s\",\"reusable\":true}", user);
	json_t *j = house_call(h, HOUSE_UNIX, "POST", "/api/v1/preauthkey", body, 200);
	char *key = strdup(json_text_at(j, "preAuthKey.key"));
	json_decref(j);
	return key;
}

static json_int_t int_at(const json_t *j, const char *column, size_t i)
{
	return json_integer_value(json_array_get(json_object_get(json_object_get(j, "columns"), column), i));
}

static void machines_are_columns(void **state)
{
	(void)state;
	struct house h;
	char user[24], path[160];

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", user);
	char *key = auth_key(&h, "ann");
	house_join(&h, key, "alpha", "[\"10.1.0.0/24\",\"0.0.0.0/0\",\"::/0\"]");
	house_join(&h, key, "beta", "[\"10.1.0.0/24\"]");
	free(key);
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/machines", "", 200);
	assert_int_equal(json_integer_value(json_object_get(j, "n")), 2);
	assert_string_equal(json_text_at(j, "columns.name.0"), "alpha");
	assert_string_equal(json_text_at(j, "owners.0.name"), "ann");
	assert_int_equal(json_array_size(json_object_get(j, "owners")), 1);
	assert_int_equal(int_at(j, "user", 1), 0);
	assert_string_equal(json_text_at(j, "newest"), "1.90.0");
	assert_int_equal(int_at(j, "flags", 0), MACHINE_OFFERS_EXIT | MACHINE_ROUTES_WAIT);
	assert_int_equal(json_array_size(json_array_get(json_object_get(json_object_get(j, "columns"), "routes"), 0)), 1);
	char id[24], other[24];
	snprintf(id, sizeof id, "%s", json_text_at(j, "columns.id.0"));
	snprintf(other, sizeof other, "%s", json_text_at(j, "columns.id.1"));
	json_decref(j);

	/* Only some of them; who is gone is left out. */
	snprintf(path, sizeof path, NATIVE "/machines?ids=%s,424242", other);
	j = house_call(&h, HOUSE_UNIX, "GET", path, "", 200);
	assert_int_equal(json_integer_value(json_object_get(j, "n")), 1);
	assert_string_equal(json_text_at(j, "columns.name.0"), "beta");
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/machines?ids=x", "", 400));

	/* What waits is asked for, and is gone when it was answered. */
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/attention", "", 200);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "counts"), "routes")), 3);
	json_decref(j);
	snprintf(path, sizeof path, NATIVE "/machines/%s/routes", id);
	j = house_call(&h, HOUSE_UNIX, "POST", path, "{\"approved\":[\"10.1.0.0/24\",\"0.0.0.0/0\",\"::/0\"]}", 200);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "machine"), "flags")) & (MACHINE_EXIT | MACHINE_ROUTES_WAIT), MACHINE_EXIT);
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/attention", "", 200);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "counts"), "routes")), 2);
	assert_non_null(strstr(h.body, "\"id\":\"route-nobody/")); /* approved, and neither of them is online */
	assert_non_null(strstr(h.body, "\"id\":\"route-waits/"));
	json_decref(j);

	snprintf(path, sizeof path, NATIVE "/machines/%s", id);
	j = house_call(&h, HOUSE_UNIX, "GET", path, "", 200);
	assert_string_equal(json_text_at(j, "machine.name"), "alpha");
	assert_string_equal(json_text_at(j, "detail.owner.name"), "ann");
	assert_string_equal(json_text_at(j, "detail.method"), "auth-key");
	assert_string_equal(json_text_at(j, "detail.routes.0.others.0.name"), "beta");
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/machines/424242", "", 404));
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/machines/x", "", 400));

	snprintf(path, sizeof path, NATIVE "/machines/%s/rename", id);
	j = house_call(&h, HOUSE_UNIX, "POST", path, "{\"name\":\"gamma\"}", 200);
	assert_string_equal(json_text_at(j, "machine.name"), "gamma");
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "POST", path, "{\"name\":\"\"}", 200);
	assert_string_equal(json_text_at(j, "machine.name"), "alpha");
	json_decref(j);
	snprintf(path, sizeof path, NATIVE "/machines/%s/expiry", id);
	j = house_call(&h, HOUSE_UNIX, "POST", path, "{\"off\":true}", 200);
	assert_true(json_integer_value(json_object_get(json_object_get(j, "machine"), "flags")) & MACHINE_EXPIRY_OFF);
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "POST", path, "{\"off\":false}", 200);
	assert_false(json_integer_value(json_object_get(json_object_get(j, "machine"), "flags")) & MACHINE_EXPIRY_OFF);
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{}", 400));
	snprintf(path, sizeof path, NATIVE "/machines/%s/sign-out", id);
	j = house_call(&h, HOUSE_UNIX, "POST", path, "", 200);
	assert_true(json_integer_value(json_object_get(json_object_get(j, "machine"), "flags")) & MACHINE_EXPIRED);
	json_decref(j);
	snprintf(path, sizeof path, NATIVE "/machines/%s", id);
	json_decref(house_call(&h, HOUSE_UNIX, "DELETE", path, "", 200));
	json_decref(house_call(&h, HOUSE_UNIX, "DELETE", path, "", 404));
	house_close(&h);
}

static void long_answers_are_compressed(void **state)
{
	(void)state;
	struct house h;
	char user[24], name[32];

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", user);
	char *key = auth_key(&h, "ann");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "host-%d", i);
		house_join(&h, key, name, NULL);
	}
	free(key);
	assert_int_equal(house_ask(&h, HOUSE_UNIX, "GET", NATIVE "/machines", ""), 200);
	size_t plain = strlen(h.body);
	h.headers = "Accept-Encoding: br, gzip;q=0.8\r\n";
	assert_int_equal(house_ask(&h, HOUSE_UNIX, "GET", NATIVE "/machines", ""), 200);
	char *encoding = house_header(&h, "Content-Encoding"), *length = house_header(&h, "Content-Length");
	assert_string_equal(encoding, "gzip");
	uint8_t text[65536];
	z_stream z = { .next_in = (Bytef *)h.body, .avail_in = (uInt)atol(length), .next_out = text, .avail_out = sizeof text };
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_in_range(z.total_out, plain - 40, plain + 40); /* the time of asking differs */
	assert_true(z.total_in < z.total_out / 2);
	inflateEnd(&z);
	free(encoding);
	free(length);
	h.headers = "Accept-Encoding: gzip;q=0\r\n";
	assert_int_equal(house_ask(&h, HOUSE_UNIX, "GET", NATIVE "/machines", ""), 200);
	assert_null(house_header(&h, "Content-Encoding"));
	assert_int_equal(strlen(h.body) > plain / 2, 1);
	h.headers = NULL;
	house_close(&h);
}

/* ---- people ---- */

static void people_and_what_is_done_to_them(void **state)
{
	(void)state;
	struct house h;
	struct browser b;
	char bob[24], path[160], body[96];

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", b.user_id);
	sign_in(&h, &b, "ann");
	json_t *j = page_call(&h, &b, "POST", NATIVE "/users", "{\"name\":\"bob\",\"displayName\":\"Bob\"}", 200);
	assert_string_equal(json_text_at(j, "user.displayName"), "Bob");
	assert_string_equal(json_text_at(j, "user.state"), "active");
	snprintf(bob, sizeof bob, "%s", json_text_at(j, "user.id"));
	json_decref(j);
	json_decref(page_call(&h, &b, "POST", NATIVE "/users", "{\"name\":\"bob\"}", 409));
	char *key = auth_key(&h, "bob");
	house_join(&h, key, "alpha", NULL);
	house_join(&h, key, "beta", NULL);
	free(key);

	j = page_call(&h, &b, "GET", NATIVE "/users", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "users")), 2);
	const json_t *row = json_array_get(json_object_get(j, "users"), 1);
	assert_string_equal(json_text_at(row, "name"), "bob");
	assert_int_equal(json_integer_value(json_object_get(row, "machines")), 2);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(j, "users"), 0), "machines")), 0);
	assert_true(json_integer_value(json_object_get(json_array_get(json_object_get(j, "users"), 0), "seenMs")) > 0); /* she signed in */
	json_decref(j);
	snprintf(path, sizeof path, NATIVE "/users?ids=%s,99999", bob);
	j = page_call(&h, &b, "GET", path, "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "users")), 1);
	json_decref(j);

	snprintf(path, sizeof path, NATIVE "/users/%s", b.user_id);
	j = page_call(&h, &b, "GET", path, "", 200);
	assert_string_equal(json_text_at(j, "sessions.0.kind"), "browser");
	assert_true(json_is_array(json_object_get(j, "identities")));
	json_decref(j);
	json_decref(page_call(&h, &b, "GET", NATIVE "/users/99999", "", 404));

	static const struct {
		const char *verb, *body, *member, *value;
	} acts[] = {
		{ "role", "{\"role\":\"auditor\"}", "user.role", "auditor" }, { "suspend", "", "user.state", "suspended" },
		{ "restore", "", "user.state", "active" }, { "rename", "{\"name\":\"robert\"}", "user.name", "robert" },
	};
	for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
		snprintf(path, sizeof path, NATIVE "/users/%s/%s", bob, acts[i].verb);
		j = page_call(&h, &b, "POST", path, acts[i].body, 200);
		assert_string_equal(json_text_at(j, acts[i].member), acts[i].value);
		json_decref(j);
	}

	/* Deleting: refused while there are machines, unless it is said what becomes of them. */
	snprintf(path, sizeof path, NATIVE "/users/%s", bob);
	json_decref(page_call(&h, &b, "DELETE", path, "", 400));
	json_decref(page_call(&h, &b, "DELETE", path, "{\"machines\":\"move\"}", 400));
	json_decref(page_call(&h, &b, "DELETE", path, "{\"machines\":\"move\",\"to\":\"99999\"}", 404));
	snprintf(body, sizeof body, "{\"machines\":\"move\",\"to\":\"%s\"}", bob);
	json_decref(page_call(&h, &b, "DELETE", path, body, 404)); /* to itself */
	snprintf(body, sizeof body, "{\"machines\":\"move\",\"to\":\"%s\"}", b.user_id);
	json_decref(page_call(&h, &b, "DELETE", path, body, 200));
	j = page_call(&h, &b, "GET", NATIVE "/users", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "users")), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(j, "users"), 0), "machines")), 2);
	json_decref(j);
	house_close(&h);
}

static void invites_and_own_sessions(void **state)
{
	(void)state;
	struct house h;
	struct browser b, c;
	char path[160];

	house_open(&h, own_url);
	make_user(&h, "ivan", "it-admin", b.user_id);
	sign_in(&h, &b, "ivan");
	/* What one has not, one does not give; and nothing of it is made. */
	json_decref(page_call(&h, &b, "POST", NATIVE "/invites", "{\"name\":\"eve\",\"role\":\"admin\"}", 403));
	json_decref(page_call(&h, &b, "POST", NATIVE "/invites", "{\"name\":\"eve\",\"role\":\"chief\"}", 400));
	json_decref(page_call(&h, &b, "POST", NATIVE "/invites", "{\"name\":\"eve\",\"expires\":\"90d\"}", 400));
	json_t *j = page_call(&h, &b, "GET", NATIVE "/users", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "users")), 1);
	json_decref(j);

	j = page_call(&h, &b, "POST", NATIVE "/invites", "{\"name\":\"dora\",\"role\":\"auditor\",\"expires\":\"24h\"}", 200);
	const char *url = strstr(json_text_at(j, "url"), "/welcome/");
	assert_non_null(url);
	assert_string_equal(json_text_at(j, "user.role"), "auditor");
	json_t *list = page_call(&h, &b, "GET", NATIVE "/invites", "", 200);
	assert_string_equal(json_text_at(list, "invites.0.user"), "dora");
	json_decref(list);
	assert_int_equal(house_ask(&h, "", "POST", url, ""), 303);
	json_decref(j);
	list = page_call(&h, &b, "GET", NATIVE "/invites", "", 200);
	assert_int_equal(json_array_size(json_object_get(list, "invites")), 0); /* used */
	json_decref(list);

	/* Each sees and ends their own sessions, and no others. */
	sign_in(&h, &c, "dora");
	j = page_call(&h, &c, "GET", NATIVE "/me/sessions", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "sessions")), 2);
	char first[24];
	snprintf(first, sizeof first, "%s", json_text_at(j, "sessions.0.id"));
	assert_string_not_equal(first, json_text_at(j, "current"));
	json_decref(j);
	j = page_call(&h, &b, "GET", NATIVE "/me/sessions", "", 200);
	snprintf(path, sizeof path, NATIVE "/me/sessions/%s", json_text_at(j, "sessions.0.id"));
	json_decref(j);
	json_decref(page_call(&h, &c, "DELETE", path, "", 404));
	snprintf(path, sizeof path, NATIVE "/me/sessions/%s", first);
	char *narrow = house_key(&h, "dns:read", "dora"); /* what she gave away for DNS does not end her sessions, nor list them */
	json_decref(house_call(&h, narrow, "DELETE", path, "", 403));
	json_decref(house_call(&h, narrow, "GET", NATIVE "/me/sessions", "", 403));
	free(narrow);
	json_decref(page_call(&h, &c, "DELETE", path, "", 200));
	json_decref(page_call(&h, &c, "DELETE", path, "", 404));
	house_close(&h);
}

/* ---- keys ---- */

static void keys_are_made_shown_once_and_ended(void **state)
{
	(void)state;
	struct house h;
	struct browser b;
	char path[160];

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", b.user_id);
	sign_in(&h, &b, "ann");
	json_t *j = page_call(&h, &b, "POST", NATIVE "/keys/auth", "{\"description\":\"ci\",\"reusable\":true,\"expires\":\"7d\"}", 200);
	assert_true(strncmp(json_text_at(j, "secret"), "hskey-auth-", 11) == 0);
	assert_string_equal(json_text_at(j, "key.user"), b.user_id); /* nobody else was named */
	assert_string_equal(json_text_at(j, "key.state"), "active");
	json_int_t life = json_integer_value(json_object_get(json_object_get(j, "key"), "expiresMs")) -
			  json_integer_value(json_object_get(json_object_get(j, "key"), "createdMs"));
	assert_int_equal(life, 7LL * 24 * 3600 * 1000);
	house_join(&h, json_text_at(j, "secret"), "alpha", NULL);
	char auth_id[24];
	snprintf(auth_id, sizeof auth_id, "%s", json_text_at(j, "key.id"));
	json_decref(j);
	json_decref(page_call(&h, &b, "POST", NATIVE "/keys/auth", "{\"expires\":\"soon\"}", 400));

	j = page_call(&h, &b, "POST", NATIVE "/keys/api", "{\"scopes\":[\"dns:read\",\"users\"],\"expires\":\"never\"}", 200);
	char *secret = strdup(json_text_at(j, "secret")), api_id[24];
	snprintf(api_id, sizeof api_id, "%s", json_text_at(j, "key.id"));
	assert_string_equal(json_text_at(j, "key.scopes.1"), "users");
	json_decref(j);
	j = house_call(&h, secret, "GET", NATIVE "/me", "", 200);
	assert_string_equal(json_text_at(j, "user.name"), "ann");
	assert_string_equal(json_text_at(j, "may.dns"), "read");
	json_decref(j);
	json_decref(page_call(&h, &b, "POST", NATIVE "/keys/api", "{}", 400));
	j = page_call(&h, &b, "POST", NATIVE "/keys/oauth", "{\"scopes\":[\"dns:read\"]}", 200);
	char oauth_id[24];
	snprintf(oauth_id, sizeof oauth_id, "%s", json_text_at(j, "key.id"));
	json_decref(j);

	j = page_call(&h, &b, "GET", NATIVE "/keys", "", 200);
	assert_null(strstr(h.body, secret));
	assert_int_equal(json_array_size(json_object_get(j, "auth")), 1);
	assert_int_equal(json_array_size(json_object_get(j, "api")), 1);
	assert_int_equal(json_array_size(json_object_get(j, "oauth")), 1);
	json_decref(j);
	/* Who may not read them does not learn of them. */
	char *narrow = house_key(&h, "auth_keys:read", "");
	j = house_call(&h, narrow, "GET", NATIVE "/keys", "", 200);
	assert_non_null(json_object_get(j, "auth"));
	assert_null(json_object_get(j, "api"));
	json_decref(j);
	free(narrow);

	/* The right to end one kind is none to the other. */
	narrow = house_key(&h, "oauth_keys", "");
	snprintf(path, sizeof path, NATIVE "/keys/oauth/%s", api_id);
	json_decref(house_call(&h, narrow, "DELETE", path, "", 404));
	snprintf(path, sizeof path, NATIVE "/keys/oauth/%s", oauth_id);
	json_decref(house_call(&h, narrow, "DELETE", path, "", 200));
	free(narrow);
	snprintf(path, sizeof path, NATIVE "/keys/api/%s", api_id);
	json_decref(page_call(&h, &b, "DELETE", path, "", 200));
	assert_int_equal(house_ask(&h, secret, "GET", NATIVE "/me", ""), 401);
	snprintf(path, sizeof path, NATIVE "/keys/auth/%s", auth_id);
	json_decref(page_call(&h, &b, "DELETE", path, "", 200));
	j = page_call(&h, &b, "GET", NATIVE "/keys", "", 200);
	assert_string_equal(json_text_at(j, "auth.0.state"), "revoked");
	json_decref(j);
	snprintf(path, sizeof path, NATIVE "/keys/auth/%s?forget=true", auth_id);
	json_decref(page_call(&h, &b, "DELETE", path, "", 200));
	j = page_call(&h, &b, "GET", NATIVE "/keys", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "auth")), 0);
	json_decref(j);
	free(secret);
	house_close(&h);
}

/* ---- logs ---- */

static void the_log_as_histogram_and_as_a_file(void **state)
{
	(void)state;
	struct house h;
	char id[24];

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", id);
	make_user(&h, "bob", "member", id);
	/* What a spreadsheet would take for a formula, and what would end a cell. */
	json_decref(house_call(&h, HOUSE_UNIX, "PUT", NATIVE "/dns/records", "{\"records\":[{\"name\":\"a.b\",\"type\":\"A\",\"value\":\"10.0.0.1\"}]}", 200));
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/audit/histogram?buckets=10", "", 200);
	json_int_t sum = 0;
	for (size_t i = 0; i < 10; i++)
		sum += json_integer_value(json_array_get(json_object_get(j, "counts"), i));
	assert_int_equal(json_array_size(json_object_get(j, "counts")), 10);
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/audit?limit=1000", "", 200);
	assert_int_equal(sum, json_array_size(json_object_get(j, "records")));
	assert_true(sum >= 4);
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/audit/histogram?buckets=3&kind=setting&since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z", "", 200);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(j, "counts"), 0)), 0);
	assert_int_equal(json_integer_value(json_object_get(j, "bucketMs")), 8 * 3600 * 1000);
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/audit/histogram?buckets=201", "", 400));
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/audit/histogram?since=2020-01-02T00:00:00Z&until=2020-01-01T00:00:00Z", "", 400));

	assert_int_equal(house_ask(&h, HOUSE_UNIX, "GET", NATIVE "/audit/export", ""), 200);
	size_t lines = 0;
	for (const char *c = h.body; (c = strchr(c, '\n')); c++)
		lines++;
	assert_int_equal(lines, sum);
	j = json_loads(h.body, JSON_DISABLE_EOF_CHECK, NULL); /* each line is a record */
	assert_string_equal(json_text_at(j, "kind"), "setting");
	json_decref(j);
	char *name = house_header(&h, "Content-Disposition");
	assert_string_equal(name, "attachment; filename=\"fairlead-log.ndjson\"");
	free(name);
	assert_int_equal(house_ask(&h, HOUSE_UNIX, "GET", NATIVE "/audit/export?format=csv&kind=setting", ""), 200);
	assert_true(strncmp(h.body, "id,time,via,", 12) == 0);
	assert_non_null(strstr(h.body, "\"setting\",\"dns.extra_records\""));
	assert_non_null(strstr(h.body, "{\"\"value\"\":"));
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/audit/export?format=xls", "", 400));
	house_close(&h);
}

static void who_signed_in_and_who_could_not(void **state)
{
	(void)state;
	struct house h;
	struct browser b;

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", b.user_id);
	h.headers = "User-Agent: guesser\r\nOrigin: http://x\r\n";
	assert_int_equal(house_ask(&h, "", "POST", "/login", "name=ann&password=wrong&code=123456"), 403);
	h.headers = NULL;
	sign_in(&h, &b, "ann");
	json_t *j = page_call(&h, &b, "GET", NATIVE "/sign-ins", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "records")), 2); /* the link's making is no sign-in */
	const json_t *ok = json_array_get(json_object_get(j, "records"), 0), *bad = json_array_get(json_object_get(j, "records"), 1);
	if (!json_is_true(json_object_get(ok, "ok"))) {
		const json_t *t = ok; /* in the same millisecond */
		ok = bad;
		bad = t;
	}
	assert_string_equal(json_text_at(ok, "user"), b.user_id);
	assert_true(json_is_false(json_object_get(bad, "ok")));
	assert_string_equal(json_text_at(bad, "name"), "ann");
	assert_string_equal(json_text_at(bad, "by"), "password");
	assert_string_equal(json_text_at(bad, "agent"), "guesser");
	assert_string_equal(json_text_at(bad, "address"), "192.0.2.1");
	json_decref(j);
	json_decref(page_call(&h, &b, "GET", NATIVE "/sign-ins?page=x", "", 400));
	house_close(&h);
}

static void comings_and_goings_as_a_log(void **state)
{
	(void)state;
	struct house h;
	char id[24];

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", id);
	char *key = auth_key(&h, "ann");
	house_join(&h, key, "alpha", NULL); /* it never opened a stream: nothing came or went */
	free(key);
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/connections", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "records")), 0);
	assert_true(json_is_null(json_object_get(j, "next")));
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/connections?limit=1001", "", 400));
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/connections?machine=x", "", 400));
	house_close(&h);
}

static int64_t ends_tomorrow(void *ctx)
{
	struct timespec now;

	(void)ctx;
	clock_gettime(CLOCK_REALTIME, &now);
	return (now.tv_sec + 24 * 3600) * 1000LL;
}

static void with_certificate(struct house *h)
{
	own_url(h);
	h->api_set.certificate_ends = ends_tomorrow;
}

static void keys_and_certificates_that_end_want_attention(void **state)
{
	(void)state;
	struct house h;
	char user[24];

	house_open(&h, with_certificate);
	make_user(&h, "ann", "owner", user);
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/attention", "", 200);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "counts"), "settings")), 1);
	assert_string_equal(json_text_at(j, "items.0.id"), "check-failed/certificate");
	json_decref(j);
	/* One that was made for a week, or ends long after it, is no news. */
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/keys/auth", "{\"user\":\"ann\",\"expires\":\"5d\"}", 200));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/keys/api", "{\"scopes\":[\"dns\"],\"expires\":\"90d\"}", 200));
	char *narrow = house_key(&h, "devices:core:read", "");
	j = house_call(&h, narrow, "GET", NATIVE "/attention", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "items")), 0); /* only what it may read */
	json_decref(j);
	free(narrow);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/attention", "", 200);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "counts"), "keys")), 0);
	json_decref(j);
	house_close(&h);
}

/* ---- network and server ---- */

static const json_t *in_list(const json_t *list, const char *member, const char *value)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, v)
		if (strcmp(json_text_at(v, member), value) == 0)
			return v;
	return NULL;
}

static void routes_by_prefix(void **state)
{
	(void)state;
	struct house h;
	char user[24], body[160], a[24];

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", user);
	char *key = auth_key(&h, "ann");
	house_join(&h, key, "alpha", "[\"10.1.0.0/16\",\"0.0.0.0/0\",\"::/0\"]");
	house_join(&h, key, "beta", "[\"10.1.0.0/16\",\"10.1.2.0/24\"]");
	free(key);
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/routes", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "routes")), 2);
	const json_t *wide = in_list(json_object_get(j, "routes"), "prefix", "10.1.0.0/16");
	assert_string_equal(json_text_at(wide, "state"), "waits");
	assert_int_equal(json_array_size(json_object_get(wide, "routers")), 2);
	assert_string_equal(json_text_at(wide, "overlaps.0"), "10.1.2.0/24");
	assert_int_equal(json_array_size(json_object_get(j, "exits")), 1);
	snprintf(a, sizeof a, "%s", json_text_at(j, "exits.0.id"));
	json_decref(j);
	/* One more, and one less; the others stay. */
	snprintf(body, sizeof body, "{\"prefix\":\"exit\",\"machine\":\"%s\"}", a);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/routes/approve", body, 200));
	snprintf(body, sizeof body, "{\"prefix\":\"10.1.0.0/16\",\"machine\":\"%s\",\"approved\":true}", a);
	j = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/routes/approve", body, 200);
	assert_string_equal(json_text_at(j, "machine.approved.0"), "10.1.0.0/16");
	assert_true(json_integer_value(json_object_get(json_object_get(j, "machine"), "flags")) & MACHINE_EXIT);
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/routes", "", 200);
	wide = in_list(json_object_get(j, "routes"), "prefix", "10.1.0.0/16");
	assert_string_equal(json_text_at(wide, "state"), "nobody"); /* it is offline */
	assert_true(json_is_true(json_object_get(wide, "waits")));
	assert_true(json_is_true(json_object_get(json_array_get(json_object_get(j, "exits"), 0), "approved")));
	json_decref(j);
	snprintf(body, sizeof body, "{\"prefix\":\"exit\",\"machine\":\"%s\",\"approved\":false}", a);
	j = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/routes/approve", body, 200);
	assert_int_equal(json_array_size(json_object_get(json_object_get(j, "machine"), "approved")), 1);
	assert_false(json_integer_value(json_object_get(json_object_get(j, "machine"), "flags")) & MACHINE_EXIT);
	json_decref(j);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/routes/approve", "{\"prefix\":\"x\",\"machine\":\"1\"}", 400));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/routes/approve", "{\"prefix\":\"exit\",\"machine\":\"999999\"}", 404));
	house_close(&h);
}

static void try_name(struct house *h, const char *name, const char *type, const char *by, const char *answer, const char *asked)
{
	char body[200];

	snprintf(body, sizeof body, "{\"name\":\"%s\",\"type\":\"%s\"}", name, type);
	json_t *j = house_call(h, HOUSE_UNIX, "POST", NATIVE "/dns/try", body, 200);
	if (strcmp(json_text_at(j, "by"), by) != 0 || strcmp(json_text_at(j, "answers.0"), answer) != 0 || strcmp(json_text_at(j, "ask.0"), asked) != 0)
		fail_msg("%s: %s", name, h->body);
	assert_true(strlen(json_text_at(j, "why")) > 10);
	json_decref(j);
}

static void set(struct house *h, const char *key, const char *value)
{
	char path[100], body[300];

	snprintf(path, sizeof path, NATIVE "/settings/%s", key);
	snprintf(body, sizeof body, "{\"value\":%s}", value);
	json_decref(house_call(h, HOUSE_UNIX, "PUT", path, body, 200));
}

static void dns_and_a_name_tried(void **state)
{
	(void)state;
	struct house h;
	char user[24];
	static const char none[] = "(none)";

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", user);
	char *key = auth_key(&h, "ann");
	house_join(&h, key, "alpha", NULL);
	free(key);
	set(&h, "dns.nameservers.split", "{\"corp.example\":[\"10.0.0.53\"],\"lab.corp.example\":[\"10.0.9.53\"]}");
	set(&h, "dns.search_domains", "[\"corp.example\"]");
	json_decref(house_call(&h, HOUSE_UNIX, "PUT", NATIVE "/dns/records", "{\"records\":[{\"name\":\"wiki.example\",\"type\":\"A\",\"value\":\"10.0.0.7\"}]}", 200));
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/dns", "", 200);
	assert_string_equal(json_text_at(j, "domain"), "tail.internal");
	assert_true(json_is_true(json_object_get(j, "magicDns")));
	assert_int_equal(json_array_size(json_object_get(j, "split")), 2);
	assert_string_equal(json_text_at(j, "records.0.name"), "wiki.example");
	assert_string_equal(json_text_at(j, "search.0"), "corp.example");
	json_decref(j);

	try_name(&h, "Alpha.tail.internal.", "A", "magic-dns", "100.64.0.1", none);
	try_name(&h, "alpha", "A", "magic-dns", "100.64.0.1", none);
	try_name(&h, "alpha.tail.internal", "AAAA", "magic-dns", "fd7a:115c:a1e0:ab12:4843:cd96:6240:1", none);
	try_name(&h, "nobody.tail.internal", "A", "nobody", none, none);
	try_name(&h, "wiki.example", "A", "record", "10.0.0.7", none);
	try_name(&h, "wiki.example", "AAAA", "record", none, none);
	try_name(&h, "db.corp.example", "A", "split", none, "10.0.0.53");
	try_name(&h, "db.lab.corp.example", "A", "split", none, "10.0.9.53"); /* the longest counts */
	try_name(&h, "db", "A", "split", none, "10.0.0.53");		      /* by the search domain */
	try_name(&h, "notcorp.example", "A", "local", none, none);
	set(&h, "dns.nameservers.global", "[\"9.9.9.9\"]");
	set(&h, "dns.override_local_dns", "true");
	try_name(&h, "example.org", "A", "global", none, "9.9.9.9");
	set(&h, "dns.magic_dns", "false");
	try_name(&h, "alpha.tail.internal", "A", "global", none, "9.9.9.9");
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/dns/try", "{\"name\":\"a b\"}", 400));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/dns/try", "{\"name\":\"a\",\"type\":\"MX\"}", 400));
	char *narrow = house_key(&h, "dns", "");
	json_decref(house_call(&h, narrow, "POST", NATIVE "/dns/try", "{\"name\":\"alpha\"}", 403)); /* it would tell of machines */
	free(narrow);
	house_close(&h);
}

static void search_and_checks(void **state)
{
	(void)state;
	struct house h;
	char user[24];

	house_open(&h, own_url);
	json_t *j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/first-run", "", 200);
	assert_true(json_is_false(json_object_get(j, "done")));
	assert_string_equal(json_text_at(j, "owner"), "");
	assert_string_equal(json_text_at(j, "command"), "tailscale up --login-server http://x");
	json_decref(j);
	make_user(&h, "ann", "owner", user);
	char *key = auth_key(&h, "ann");
	house_join(&h, key, "db-primary", "[\"10.9.0.0/16\"]");
	house_join(&h, key, "annex", NULL);
	free(key);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/first-run", "", 200);
	assert_true(json_is_true(json_object_get(j, "done")));
	assert_string_equal(json_text_at(j, "owner"), "ann");
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/checks", "", 200);
	assert_string_equal(json_text_at(in_list(json_object_get(j, "checks"), "id", "database"), "state"), "ok");
	assert_string_equal(json_text_at(in_list(json_object_get(j, "checks"), "id", "address"), "state"), "warn");
	assert_non_null(strstr(json_text_at(in_list(json_object_get(j, "checks"), "id", "stun"), "fix"), "3478"));
	json_decref(j);

	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/search?q=ann", "", 200);
	assert_string_equal(json_text_at(j, "results.0.kind"), "user"); /* all of the name, before a part of one */
	assert_string_equal(json_text_at(j, "results.1.name"), "annex");
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/search?q=primary", "", 200);
	assert_string_equal(json_text_at(j, "results.0.name"), "db-primary");
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/search?q=100.64.0.2", "", 200);
	assert_string_equal(json_text_at(j, "results.0.name"), "annex");
	json_decref(j);
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/search?q=10.9.&limit=1", "", 200);
	assert_string_equal(json_text_at(j, "results.0.kind"), "route");
	json_decref(j);
	char *narrow = house_key(&h, "users:read", "");
	j = house_call(&h, narrow, "GET", NATIVE "/search?q=ann", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "results")), 1); /* no machines */
	json_decref(j);
	free(narrow);
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/search", "", 400));
	json_decref(house_call(&h, HOUSE_UNIX, "GET", NATIVE "/search?q=a&limit=101", "", 400));
	j = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/relays", "", 200);
	assert_true(json_is_array(json_object_get(j, "regions")));
	json_decref(j);
	house_close(&h);
}

/* ---- presence ---- */

static void put_time(struct node_info *n, uint32_t s)
{
	n->row.presence = realloc(n->row.presence, n->row.n_presence + 4);
	for (int i = 0; i < 4; i++)
		n->row.presence[n->row.n_presence++] = (uint8_t)(s >> (24 - 8 * i));
}

static void runs_end_in_the_present(void **state)
{
	enum { NOW_S = 2000000000, HOUR = 3600, DAY = 24 * HOUR };
	(void)state;
	struct node_info n = { .online = true };
	unsigned runs[PRESENCE_RUNS_MAX];
#define RUNS(span_s) presence_runs(&n, NOW_S * 1000LL, 1000LL * (span_s), runs)

	assert_int_equal(RUNS(DAY), 1); /* nothing known: as now */
	assert_int_equal(runs[0], 1);
	put_time(&n, NOW_S - 30 * HOUR); /* came */
	put_time(&n, NOW_S - 10 * HOUR); /* went */
	put_time(&n, NOW_S - 9 * HOUR);	 /* came */
	assert_int_equal(RUNS(DAY), 3);
	assert_int_equal(runs[0], 1);
	assert_int_equal(runs[1], 14 * 60);
	assert_int_equal(runs[2], 15 * 60);
	n.row.created_ms = (NOW_S - 30 * HOUR) * 1000LL;
	assert_int_equal(RUNS(7 * DAY), 4);
	assert_int_equal(runs[0], 2); /* it was not there yet */
	n.row.created_ms = (NOW_S - 30LL * DAY) * 1000;
	RUNS(7 * DAY);
	assert_int_equal(runs[0], 0); /* it was, and offline */
	n.online = false;
	put_time(&n, NOW_S - 60);
	assert_int_equal(RUNS(DAY), 4);
	assert_int_equal(runs[0], 1);
	assert_int_equal(runs[3], 24 * 60 - 1);
	put_time(&n, NOW_S + 5); /* a clock that went back */
	n.online = true;
	assert_int_equal(RUNS(DAY), 5);
	assert_int_equal(runs[4], 24 * 60);
	free(n.row.presence);
}

/* ---- the page itself ---- */

#define BYTES(name, text)                                                                                              \
	static const unsigned char name[] = text;
BYTES(html, "<!doctype html>console")
BYTES(script, "plain script")
BYTES(script_br, "brotli script")
BYTES(script_gz, "gzip script")
#define ALL_OF(name) { name, name + sizeof name - 1 }
static const struct web_asset fixture[] = {
	{ "assets/index-1a2b.js", "\"1a2b\"", { ALL_OF(script), ALL_OF(script_br), ALL_OF(script_gz) } },
	{ "favicon.svg", "\"fa\"", { ALL_OF(html) } },
	{ "index.html", "\"77\"", { ALL_OF(html) } },
};

static void with_page(struct house *h)
{
	own_url(h);
	h->api_set.assets = fixture;
	h->api_set.n_assets = ARRAY_LEN(fixture);
}

static void header_is(struct house *h, const char *name, const char *value)
{
	char *got = house_header(h, name);

	if (!got || strcmp(got, value) != 0)
		fail_msg("%s: %s, wanted %s", name, got ? got : "(none)", value);
	free(got);
}

static void the_page_is_for_who_is_signed_in(void **state)
{
	(void)state;
	struct house h;
	struct browser b;
	char cookie[1400], id[24], path[96];

	house_open(&h, with_page);
	make_user(&h, "ann", "admin", id);
	make_user(&h, "mel", "member", b.user_id);

	/* Nobody is: to the login, and back. */
	assert_int_equal(house_ask(&h, "", "GET", "/console/machines?q=tag:prod%2Bos:linux&view=attention", ""), 303);
	header_is(&h, "Location", "/login?to=/console/machines%3Fq%3Dtag%3Aprod%252Bos%3Alinux%26view%3Dattention");
	char *kept = house_header(&h, "Set-Cookie");
	assert_true(strncmp(kept, "fairlead-to=", 12) == 0);
	kept[strcspn(kept, ";")] = 0;
	snprintf(cookie, sizeof cookie, "Cookie: %s\r\n", kept);
	h.headers = cookie;
	sign_in(&h, &b, "ann");
	h.headers = NULL;
	header_is(&h, "Location", "/welcome?first=1"); /* a link asks first how one signs in from now on … */
	char more[1500];
	snprintf(more, sizeof more, "Cookie: %s; %s\r\n", kept, b.cookie);
	h.headers = more;
	assert_int_equal(house_ask(&h, "", "GET", "/welcome?first=1", ""), 200);
	h.headers = NULL;
	assert_non_null(strstr(h.body, "href=\"/console/machines?q=tag:prod%2Bos:linux&")); /* … and leads there */
	free(kept);

	/* Signed in: one page for all of it. */
	static const char *const paths[] = { "/console", "/console/", "/console/machines/5", "/console/access/history/3/x/y" };
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		/* sign_in may have read another cookie first */
		if (strncmp(b.cookie, "fairlead=", 9) != 0)
			sign_in(&h, &b, "ann");
		assert_int_equal(by_browser(&h, &b, NULL, "", "GET", paths[i], ""), 200);
		assert_string_equal(h.body, "<!doctype html>console");
	}
	header_is(&h, "Content-Type", "text/html; charset=utf-8");
	header_is(&h, "Cache-Control", "private, no-cache");
	header_is(&h, "Cross-Origin-Opener-Policy", "same-origin");
	header_is(&h, "Referrer-Policy", "no-referrer");
	header_is(&h, "X-Content-Type-Options", "nosniff");
	char *policy = house_header(&h, "Content-Security-Policy");
	assert_non_null(strstr(policy, "script-src 'self';"));
	assert_non_null(strstr(policy, "require-trusted-types-for 'script'"));
	assert_null(strstr(policy, "unsafe"));
	free(policy);
	assert_int_equal(by_browser(&h, &b, NULL, "If-None-Match: \"77\"\r\n", "GET", "/console/dns", ""), 304);
	assert_string_equal(h.body, "");

	/* A member has no part in it. */
	sign_in(&h, &b, "mel");
	assert_int_equal(by_browser(&h, &b, NULL, "", "GET", "/console/", ""), 303);
	header_is(&h, "Location", "/my");
	snprintf(path, sizeof path, "/admin");
	assert_int_equal(house_ask(&h, "", "GET", path, ""), 302);
	header_is(&h, "Location", "/console/");
	house_close(&h);
}

static void only_the_console_is_come_back_to(void **state)
{
	static const char *const elsewhere[] = { "https://evil.example/", "//evil.example/", "/consolex", "/mything", "/console//evil.example", "/console/%0d%0aX:1",
		"/console/%22", "/console\\x" };
	(void)state;
	struct house h;
	char path[160];

	house_open(&h, with_page);
	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
		snprintf(path, sizeof path, "/login?to=%s", elsewhere[i]);
		assert_int_equal(house_ask(&h, "", "GET", path, ""), 200);
		assert_null(house_header(&h, "Set-Cookie"));
	}
	assert_int_equal(house_ask(&h, "", "GET", "/login?to=/console/dns", ""), 200);
	char *kept = house_header(&h, "Set-Cookie");
	assert_non_null(kept);
	free(kept);
	/* What somebody else put there is not followed either. "2f2f65" is "//e". */
	struct browser b;
	make_user(&h, "ann", "admin", b.user_id);
	h.headers = "Cookie: fairlead-to=2f2f65\r\n";
	char body[64] = "{\"user\":\"ann\"}";
	json_t *j = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/login-links", body, 200);
	assert_int_equal(house_ask(&h, "", "POST", strstr(json_text_at(j, "url"), "/welcome/"), ""), 303);
	char *session = house_header(&h, "Set-Cookie");
	session[strcspn(session, ";")] = 0;
	char both[300];
	snprintf(both, sizeof both, "Cookie: fairlead-to=2f2f65; %s\r\n", session);
	h.headers = both;
	assert_int_equal(house_ask(&h, "", "GET", "/welcome?first=1", ""), 200);
	assert_null(strstr(h.body, "href=\"//e"));
	assert_non_null(strstr(h.body, "href=\"/console/\""));
	free(session);
	json_decref(j);
	h.headers = NULL;
	house_close(&h);
}

static void files_are_kept_for_a_year(void **state)
{
	(void)state;
	struct house h;

	house_open(&h, with_page);
	assert_int_equal(house_ask(&h, "", "GET", "/console/assets/index-1a2b.js", ""), 200);
	assert_string_equal(h.body, "plain script");
	header_is(&h, "Content-Type", "text/javascript; charset=utf-8");
	header_is(&h, "Cache-Control", "public, max-age=31536000, immutable");
	h.headers = "Accept-Encoding: gzip, deflate, br\r\n";
	assert_int_equal(house_ask(&h, "", "GET", "/console/assets/index-1a2b.js", ""), 200);
	assert_string_equal(h.body, "brotli script");
	header_is(&h, "Content-Encoding", "br");
	header_is(&h, "Vary", "Accept-Encoding");
	h.headers = "Accept-Encoding: gzip\r\n";
	assert_int_equal(house_ask(&h, "", "GET", "/console/assets/index-1a2b.js", ""), 200);
	assert_string_equal(h.body, "gzip script");
	assert_int_equal(house_ask(&h, "", "GET", "/console/favicon.svg", ""), 200);
	header_is(&h, "Cache-Control", "private, no-cache");
	h.headers = NULL;
	assert_int_equal(house_ask(&h, "", "GET", "/console/assets/index-0000.js", ""), 404);
	assert_int_equal(house_ask(&h, "", "POST", "/console/assets/index-1a2b.js", ""), 405);
	house_close(&h);
	house_open(&h, own_url);
	assert_int_equal(house_ask(&h, "", "GET", "/console/", ""), 503); /* a build without it says so */
	house_close(&h);
}

static void own_database(struct house *h)
{
	own_url(h);
	h->api_set.database_path = h->file;
}

static void backups_are_made_looked_at_and_fetched(void **state)
{
	(void)state;
	struct house h;
	struct browser b, auditor;
	char path[128], name[64];

	house_open(&h, own_database);
	make_user(&h, "ann", "owner", b.user_id);
	make_user(&h, "eve", "auditor", auditor.user_id);
	sign_in(&h, &b, "ann");
	sign_in(&h, &auditor, "eve");
	json_t *list = page_call(&h, &b, "GET", NATIVE "/backups", "", 200);
	assert_int_equal(json_array_size(json_object_get(list, "backups")), 0);
	assert_true(json_integer_value(json_object_get(list, "databaseBytes")) > 0);
	json_decref(list);

	json_t *made = page_call(&h, &b, "POST", NATIVE "/backups", "", 200);
	snprintf(name, sizeof name, "%s", json_text_at(made, "backup.name"));
	assert_int_equal(strlen(name), 27);
	json_int_t size = json_integer_value(json_object_get(json_object_get(made, "backup"), "bytes"));
	assert_true(size > 4096);
	json_decref(made);
	list = page_call(&h, &b, "GET", NATIVE "/backups", "", 200);
	assert_string_equal(json_text_at(list, "backups.0.name"), name);
	assert_int_equal(json_array_size(json_object_get(list, "backups")), 1);
	json_decref(list);

	/* Another one within the second is another file. */
	made = page_call(&h, &b, "POST", NATIVE "/backups", "", 200);
	assert_string_not_equal(json_text_at(made, "backup.name"), name);
	json_decref(made);

	/* The file itself: a database, as an attachment. */
	snprintf(path, sizeof path, NATIVE "/backups/%s", name);
	assert_int_equal(by_browser(&h, &b, NULL, "", "GET", path, ""), 200);
	assert_memory_equal(h.body, "SQLite format 3", 15);
	char *as = house_header(&h, "Content-Disposition");
	assert_non_null(as);
	assert_non_null(strstr(as, name));
	free(as);
	/* Whoever has one has the server's keys: each step is in the log before its answer. */
	json_t *log = page_call(&h, &auditor, "GET", NATIVE "/audit?kind=backup&action=fetch", "", 200);
	assert_int_equal(json_array_size(json_object_get(log, "records")), 1);
	assert_string_equal(json_text_at(log, "records.0.actor"), "user:ann");
	assert_string_equal(json_text_at(log, "records.0.target"), name);
	json_decref(log);
	log = page_call(&h, &auditor, "GET", NATIVE "/audit?kind=backup&action=create", "", 200);
	assert_int_equal(json_array_size(json_object_get(log, "records")), 2);
	json_decref(log);
	snprintf(path, sizeof path, NATIVE "/backups/%s/verify", name);
	json_t *verdict = page_call(&h, &b, "POST", path, "", 200);
	assert_true(json_is_boolean(json_object_get(verdict, "whole")));
	json_decref(verdict);

	/* Who may not do everything gets none, nor does a page of somebody else's; and no name leads out of the folder. */
	snprintf(path, sizeof path, NATIVE "/backups/%s", name);
	json_decref(page_call(&h, &auditor, "GET", path, "", 403));
	json_decref(page_call(&h, &auditor, "POST", NATIVE "/backups", "", 403));
	assert_int_equal(by_browser(&h, &b, NULL, "", "POST", NATIVE "/backups", ""), 403);
	assert_int_equal(house_ask(&h, "", "GET", path, ""), 401);
	static const char *const others[] = { "..%2ftest.db", "%2e%2e", "unfinished.db", "fairlead-20261129-01380a.db", "fairlead-20261129-013800.db%00x", "fairlead-20261129-013800.dbx", "test.db" };
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		snprintf(path, sizeof path, NATIVE "/backups/%s", others[i]);
		int status = by_browser(&h, &b, NULL, "", "GET", path, "");
		assert_true(status == 404 || status == 400);
		status = by_browser(&h, &b, b.csrf, "", "DELETE", path, "");
		assert_true(status == 404 || status == 400);
	}
	/* A link that somebody put there is no backup. */
	char link[160];
	snprintf(link, sizeof link, "%s/backups/fairlead-20200101-000000.db", h.folder);
	assert_int_equal(symlink("/etc/hostname", link), 0);
	json_decref(page_call(&h, &b, "GET", NATIVE "/backups/fairlead-20200101-000000.db", "", 404));

	snprintf(path, sizeof path, NATIVE "/backups/%s", name);
	json_decref(page_call(&h, &b, "DELETE", path, "", 200));
	json_decref(page_call(&h, &b, "GET", path, "", 404));
	house_close(&h);
}

/* More than are kept are not made. */
static void backups_have_a_bound(void **state)
{
	(void)state;
	struct house h;
	char path[160];

	house_open(&h, own_database);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/backups", "", 200));
	for (int i = 0; i < 29; i++) {
		snprintf(path, sizeof path, "%s/backups/fairlead-20200101-0000%02d.db", h.folder, i);
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fclose(f);
	}
	json_t *refused = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/backups", "", 409);
	assert_non_null(strstr(json_text_at(refused, "message"), "remove one first"));
	json_decref(refused);
	json_decref(house_call(&h, HOUSE_UNIX, "DELETE", NATIVE "/backups/fairlead-20200101-000003.db", "", 200));
	/* What a server that was killed left behind is no hindrance. */
	snprintf(path, sizeof path, "%s/backups/unfinished.db", h.folder);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/backups", "", 200));
	json_t *bad = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/backups/fairlead-20200101-000004.db/verify", "", 200);
	assert_true(json_is_false(json_object_get(bad, "whole")));
	json_decref(bad);
	house_close(&h);
}

static void keys_say_who_came_with_them(void **state)
{
	(void)state;
	struct house h;
	char user[24], body[128];

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", user);
	snprintf(body, sizeof body, "{\"user\":\"%s\",\"reusable\":true}", user);
	json_t *key = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/keys/auth", body, 200);
	json_t *other = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/keys/auth", body, 200);
	house_join(&h, json_text_at(key, "secret"), "one", NULL);
	house_join(&h, json_text_at(key, "secret"), "two", NULL);
	json_t *keys = house_call(&h, HOUSE_UNIX, "GET", NATIVE "/keys", "", 200), *k;
	size_t i, seen = 0;
	json_array_foreach(json_object_get(keys, "auth"), i, k) {
		bool used = strcmp(json_text_at(k, "id"), json_text_at(key, "key.id")) == 0;
		assert_int_equal(json_integer_value(json_object_get(k, "machines")), used ? 2 : 0);
		assert_true((json_integer_value(json_object_get(k, "lastUsedMs")) > 0) == used);
		seen++;
	}
	assert_int_equal(seen, 2);
	json_decref(keys);
	json_decref(other);
	json_decref(key);
	house_close(&h);
}

/* The server's own log is for who may do everything. */
static void the_servers_log_is_read_from_afar(void **state)
{
	(void)state;
	struct house h;
	struct browser b, auditor;

	log_keep(50);
	house_open(&h, own_url);
	make_user(&h, "ann", "owner", b.user_id);
	make_user(&h, "eve", "auditor", auditor.user_id);
	sign_in(&h, &b, "ann");
	sign_in(&h, &auditor, "eve");
	for (int i = 0; i < 60; i++)
		log_event(i == 40 ? LOG_ERROR : LOG_INFO, "something", "i=%d", i);
	json_t *log = page_call(&h, &b, "GET", NATIVE "/log", "", 200);
	assert_int_equal(json_array_size(json_object_get(log, "records")), 50);
	assert_string_equal(json_text_at(log, "records.0.fields"), "i=59");
	assert_true(json_is_null(json_object_get(log, "next")));
	json_decref(log);
	log = page_call(&h, &b, "GET", NATIVE "/log?level=error", "", 200);
	assert_int_equal(json_array_size(json_object_get(log, "records")), 1);
	assert_string_equal(json_text_at(log, "records.0.level"), "error");
	assert_string_equal(json_text_at(log, "records.0.fields"), "i=40");
	json_decref(log);
	log = page_call(&h, &b, "GET", NATIVE "/log?q=I%3D4", "", 200);
	assert_int_equal(json_array_size(json_object_get(log, "records")), 10);
	json_decref(log);
	json_decref(page_call(&h, &b, "GET", NATIVE "/log?level=loud", "", 400));
	json_decref(page_call(&h, &b, "GET", NATIVE "/log?page=x", "", 400));
	json_decref(page_call(&h, &auditor, "GET", NATIVE "/log", "", 403));
	house_close(&h);
	log_keep(0);
}

/* From a machine's place: what it may not see, it is not told. */
static void a_name_is_tried_from_a_machine(void **state)
{
	(void)state;
	struct house h;
	char user[24], body[256];

	house_open(&h, own_url);
	make_user(&h, "ann", "owner", user);
	snprintf(body, sizeof body, "{\"user\":\"%s\",\"reusable\":true}", user);
	json_t *key = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/keys/auth", body, 200);
	house_join(&h, json_text_at(key, "secret"), "one", NULL);
	house_join(&h, json_text_at(key, "secret"), "two", NULL);
	json_t *nodes = house_call(&h, HOUSE_UNIX, "GET", "/api/v1/node", "", 200);
	const char *first = json_text_at(nodes, "nodes.0.id");
	json_t *any = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/dns/try", "{\"name\":\"two.tail.internal\"}", 200);
	assert_string_equal(json_text_at(any, "by"), "magic-dns");
	assert_true(json_is_null(json_object_get(any, "asked")));
	json_decref(any);
	/* The asking machine is offline here: that is said, and the rest is as for any. */
	snprintf(body, sizeof body, "{\"name\":\"two.tail.internal\",\"machine\":\"%s\",\"send\":true}", first);
	json_t *from = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/dns/try", body, 200);
	assert_string_equal(json_text_at(from, "by"), "magic-dns");
	assert_non_null(strstr(json_text_at(from, "why"), "offline"));
	json_decref(from);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/dns/try", "{\"name\":\"two.tail.internal\",\"machine\":\"99999\"}", 404));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", NATIVE "/dns/try", "{\"name\":\"two.tail.internal\",\"machine\":\"x\"}", 400));
	/* A name server that is not there: asked, and told so. */
	json_decref(house_call(&h, HOUSE_UNIX, "PUT", NATIVE "/settings/dns.nameservers.split", "{\"value\":{\"corp.example\":[\"127.0.0.1:9\",\"https://dns.example/q\"]}}", 200));
	json_t *sent = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/dns/try", "{\"name\":\"wiki.corp.example\",\"send\":true}", 200);
	assert_string_equal(json_text_at(sent, "by"), "split");
	assert_string_equal(json_text_at(sent, "asked.server"), "127.0.0.1:9");
	assert_string_equal(json_text_at(sent, "asked.state"), "silent");
	json_decref(sent);
	json_t *check = house_call(&h, HOUSE_UNIX, "POST", NATIVE "/dns/check", "", 200);
	assert_int_equal(json_array_size(json_object_get(check, "servers")), 2);
	assert_string_equal(json_text_at(check, "servers.0.domain"), "corp.example");
	assert_string_equal(json_text_at(check, "servers.0.asked.state"), "silent");
	assert_string_equal(json_text_at(check, "servers.1.asked.state"), "unchecked");
	json_decref(check);
	json_decref(nodes);
	json_decref(key);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_browser_has_its_roles_rights),
		cmocka_unit_test(other_sites_cannot_use_it),
		cmocka_unit_test(a_cookie_is_no_key),
		cmocka_unit_test(nobody_gives_more_than_they_have),
		cmocka_unit_test(every_route_by_role_with_a_cookie),
		cmocka_unit_test(machines_are_columns),
		cmocka_unit_test(long_answers_are_compressed),
		cmocka_unit_test(runs_end_in_the_present),
		cmocka_unit_test(keys_and_certificates_that_end_want_attention),
		cmocka_unit_test(routes_by_prefix),
		cmocka_unit_test(dns_and_a_name_tried),
		cmocka_unit_test(search_and_checks),
		cmocka_unit_test(keys_are_made_shown_once_and_ended),
		cmocka_unit_test(the_log_as_histogram_and_as_a_file),
		cmocka_unit_test(who_signed_in_and_who_could_not),
		cmocka_unit_test(comings_and_goings_as_a_log),
		cmocka_unit_test(people_and_what_is_done_to_them),
		cmocka_unit_test(invites_and_own_sessions),
		cmocka_unit_test(the_page_is_for_who_is_signed_in),
		cmocka_unit_test(only_the_console_is_come_back_to),
		cmocka_unit_test(files_are_kept_for_a_year),
		cmocka_unit_test(backups_are_made_looked_at_and_fetched),
		cmocka_unit_test(backups_have_a_bound),
		cmocka_unit_test(keys_say_who_came_with_them),
		cmocka_unit_test(a_name_is_tried_from_a_machine),
		cmocka_unit_test(the_servers_log_is_read_from_afar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
