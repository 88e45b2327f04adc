/* Who may call what: every route of the server's own table with every scope and every role, and what a wrong key costs. */
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

static size_t areas_of(scope_set need)
{
	size_t n = 0;

	for (int s = 0; s < SCOPES_N; s++)
		n += (need & SCOPE_READ(s)) != 0;
	return n;
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
		bool several = areas_of(route->need) > 1;
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

/* A request whose body is announced and does not come, or comes in part. */
static int begin_upload(struct house *h, const char *authorization, size_t announced, size_t sent)
{
	static const char spaces[64 << 10];
	struct addrport from = { addr_v4(192, 0, 2, 1), 1 };
	struct timeval wait = { .tv_sec = 10 };
	char head[300];
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
	assert_ok(api_add_connection(h->api, fd[1], from, API_PUBLIC));
	int n = snprintf(head, sizeof head, "PUT /api/v1/policy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n", authorization,
			announced);
	assert_int_equal(send(fd[0], head, (size_t)n, MSG_NOSIGNAL), n);
	while (sent) {
		ssize_t got = send(fd[0], spaces, sent < sizeof spaces ? sent : sizeof spaces, MSG_NOSIGNAL);
		assert_true(got > 0);
		sent -= (size_t)got;
	}
	return fd[0];
}

static int status_from(int fd, char head[2048])
{
	size_t n = 0;
	int status = 0;

	memset(head, 0, 2048);
	for (ssize_t got; n < 2047 && !strstr(head, "\r\n\r\n") && (got = read(fd, head + n, 2047 - n)) > 0;)
		n += (size_t)got;
	return sscanf(head, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static void three_tries(struct house *h)
{
	h->api_set.failures_per_s = 0.3;
}

static void no_body_is_awaited_from_who_shows_no_key(void **state)
{
	static const char *const none[] = { "", "Authorization: Bearer \r\n", "Authorization: Digest x\r\n" };
	(void)state;
	struct house h;
	char head[2048];

	house_open(&h, three_tries);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		int fd = begin_upload(&h, none[i], 5 << 20, 0);
		assert_int_equal(status_from(fd, head), 401);
		close(fd);
	}
	int fd = begin_upload(&h, "Authorization: Bearer hskey-api-0123456789ab-00\r\n", 5 << 20, 0); /* out of tries */
	assert_int_equal(status_from(fd, head), 429);
	close(fd);
	house_close(&h);
}

static void scopes_that_are_too_long(void **state)
{
	(void)state;
	struct house h;
	char body[9000] = "{\"scopes\":\"";
	size_t at = strlen(body);

	house_open(&h, NULL);
	memset(body + at, 'x', 8000);
	snprintf(body + at + 8000, sizeof body - at - 8000, "\"}");
	json_t *j = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/apikey", body, 400); /* its end was read as a place in memory */
	assert_non_null(strstr(json_text_at(j, "message"), "scopes: at most"));
	json_decref(j);
	house_close(&h);
}

/* Of who shows a wrong key, or one that may not call, nothing is kept: however many they are, others have room. */
static void wrong_keys_hold_no_memory(void **state)
{
	enum { EACH = API_POLICY_BODY_MAX, MANY = 2 * API_BODIES_MAX / EACH };
	static const char wrong[] = "Authorization: Bearer hskey-api-0123456789ab-00\r\n";
	(void)state;
	struct house h;
	char head[2048], other[160];
	int fd[MANY];

	house_open(&h, NULL);
	char *key = house_key(&h, "dns", ""); /* it may do other things */
	snprintf(other, sizeof other, "Authorization: Bearer %s\r\n", key);
	free(key);
	for (int i = 0; i < MANY; i++)
		fd[i] = begin_upload(&h, i % 2 ? wrong : other, EACH, 0);
	key = house_key(&h, "", "");
	char *text = malloc(EACH);
	memset(text, ' ', EACH);
	memcpy(text, "{\"policy\":\"{}\"}", 15);
	text[EACH - 1] = 0;
	assert_int_equal(house_ask(&h, key, "PUT", "/api/v1/policy", text), 200);
	free(text);
	free(key);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(status_from(fd[i], head), i % 2 ? 401 : 403); /* no byte of it was awaited */
		close(fd[i]);
	}
	house_close(&h);
}

static void bodies_under_way_are_bounded(void **state)
{
	enum { EACH = API_POLICY_BODY_MAX, FIT = API_BODIES_MAX / EACH };
	(void)state;
	struct house h;
	char head[2048], right[160];
	int fd[FIT];

	house_open(&h, NULL);
	char *key = house_key(&h, "policy_file", "");
	snprintf(right, sizeof right, "Authorization: Bearer %s\r\n", key);
	free(key);
	for (int i = 0; i < FIT; i++)
		fd[i] = begin_upload(&h, right, EACH, EACH - 1);
	usleep(200000); /* what lies in the sockets is read */
	int more = begin_upload(&h, right, EACH, EACH);
	assert_int_equal(status_from(more, head), 503);
	assert_non_null(strstr(head, "Retry-After: "));
	close(more);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200)); /* never refused */
	for (int i = 0; i < FIT; i++) {
		assert_int_equal(send(fd[i], " ", 1, MSG_NOSIGNAL), 1);
		assert_int_equal(status_from(fd[i], head), 400); /* spaces are no policy */
		close(fd[i]);
	}
	more = begin_upload(&h, right, EACH, EACH); /* it was given back */
	assert_int_equal(status_from(more, head), 400);
	close(more);
	house_close(&h);
}

/* A body may take as long as its sender likes: what counts is what the user may do when it is whole. */
static void what_is_lost_while_the_body_comes_is_lost(void **state)
{
	(void)state;
	struct house h;
	char head[2048], right[160], path[64];

	house_open(&h, NULL);
	json_t *ann = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200);
	snprintf(path, sizeof path, "/api/v2/users/%s/role", json_text_at(ann, "user.id"));
	json_decref(ann);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"role\":\"admin\"}", 200));
	char *key = house_key(&h, "", "ann");
	snprintf(right, sizeof right, "Authorization: Bearer %s\r\n", key);
	int fd = begin_upload(&h, right, 100, 99), other = begin_upload(&h, right, 100, 99);
	usleep(200000); /* the head is looked at, and she may */
	assert_int_equal(send(other, " ", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(status_from(other, head), 400); /* spaces are no policy */
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"role\":\"auditor\"}", 200));
	assert_int_equal(send(fd, " ", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(status_from(fd, head), 403);
	close(fd), close(other);
	free(key);
	house_close(&h);
}

static void every_answer_has_its_number(void **state)
{
	(void)state;
	struct house h;
	char last[24] = "";
	static const char *const paths[] = { "/api/v1/node", "/api/v2/tailnet/-/devices", "/api/v2/device/1", "/nowhere", "/health", "/login" };

	house_open(&h, NULL);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		int status = house_ask(&h, i == 1 ? "wrong" : HOUSE_UNIX, "GET", paths[i], "");
		CLEANUP(freep) char *id = house_header(&h, "X-Request-Id");
		if (!id || strlen(id) != 17 || strcmp(id, last) == 0)
			fail_msg("%s: %s", paths[i], id);
		snprintf(last, sizeof last, "%s", id);
		if (status >= 400 && !strstr(h.body, id))
			fail_msg("%s does not name %s: %s", paths[i], id, h.body);
	}
	house_close(&h);
}

static void who_only_reads_does_not_see_where_webhooks_lead(void **state)
{
	(void)state;
	struct house h;

	house_open(&h, NULL);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", "/api/v2/tailnet/-/webhooks",
			"{\"endpointUrl\":\"https://hooks.slack.com/services/T0/B0/verysecret\",\"providerType\":\"slack\",\"subscriptions\":[]}", 200));
	char *reads = house_key(&h, "all:read", ""), *writes = house_key(&h, "webhooks", "");
	json_t *j = house_call(&h, reads, "GET", "/api/v2/tailnet/-/webhooks", "", 200);
	assert_string_equal(json_text_at(j, "webhooks.0.endpointUrl"), "https://hooks.slack.com/…");
	json_decref(j);
	j = house_call(&h, writes, "GET", "/api/v2/tailnet/-/webhooks", "", 200);
	assert_string_equal(json_text_at(j, "webhooks.0.endpointUrl"), "https://hooks.slack.com/services/T0/B0/verysecret");
	json_decref(j);
	assert_int_equal(house_ask(&h, reads, "GET", "/api/fairlead/v1/audit?kind=webhook", ""), 200);
	assert_non_null(strstr(h.body, "https://hooks.slack.com/…"));
	assert_null(strstr(h.body, "verysecret"));
	free(reads), free(writes);
	house_close(&h);
}

static void who_reads_cannot_approve(void **state)
{
	(void)state;
	struct house h;

	house_open(&h, NULL);
	house_knock(&h, "box");
	char *reads = house_key(&h, "devices:core:read", ""), *writes = house_key(&h, "devices:core", "");
	json_t *j = house_call(&h, reads, "GET", "/api/fairlead/v1/pending", "", 200);
	assert_string_equal(json_text_at(j, "pending.0.hostname"), "box");
	assert_null(strstr(h.body, "authId"));
	assert_null(strstr(h.body, "hskey-authreq"));
	json_decref(j);
	j = house_call(&h, writes, "GET", "/api/fairlead/v1/pending", "", 200);
	assert_non_null(strstr(json_text_at(j, "pending.0.authId"), "hskey-authreq-"));
	json_decref(j);
	free(reads);
	free(writes);
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
		cmocka_unit_test(no_body_is_awaited_from_who_shows_no_key),
		cmocka_unit_test(scopes_that_are_too_long),
		cmocka_unit_test(wrong_keys_hold_no_memory),
		cmocka_unit_test(bodies_under_way_are_bounded),
		cmocka_unit_test(who_reads_cannot_approve),
		cmocka_unit_test(what_is_lost_while_the_body_comes_is_lost),
		cmocka_unit_test(every_answer_has_its_number),
		cmocka_unit_test(who_only_reads_does_not_see_where_webhooks_lead),
		cmocka_unit_test(other_origins_only_where_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
