/* The API over socketpairs, as front hands them over, with a core that answers by a script. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "server/api/api.h"
#include "tests/lib/test.h"

#define KEY "hskey-api-0123456789ab-secret"

struct fake {
	struct api *api;
	struct command *last; /* of the last call, for the test to look at; owned */
	err e;
	bool slow; /* answers from another thread, a little later */
	bool no_key_answer;
	pthread_t thread;
	struct event *held;
};

static struct fake fake;

static struct node_info *sample_info(void)
{
	struct node_info *i = calloc(1, sizeof *i);

	assert_non_null(i);
	i->refs = 1;
	i->row = (struct node_row){ .id = 7, .tailnet_id = 1, .v4 = addr_v4(100, 64, 0, 7), .hostname = strdup("Box <1>"),
				    .given_name = strdup("box-1"), .created_ms = 1700000000000, .method = REGISTER_CLI };
	i->row.tags = calloc(1, sizeof *i->row.tags);
	i->row.tags[0] = strdup("tag:web");
	i->row.n_tags = 1;
	i->row.approved_routes = calloc(1, sizeof *i->row.approved_routes);
	assert_ok(prefix_parse(BYTES_LIT("10.1.0.0/16"), &i->row.approved_routes[0]));
	i->row.n_approved = 1;
	i->announced = calloc(2, sizeof *i->announced);
	assert_ok(prefix_parse(BYTES_LIT("10.1.0.0/16"), &i->announced[0]));
	assert_ok(prefix_parse(BYTES_LIT("10.2.0.0/16"), &i->announced[1]));
	i->n_announced = 2;
	i->user = (struct user_row){ .id = TAGGED_USER_ID, .name = strdup("tagged-devices") };
	i->online = true;
	return i;
}

static void fill(struct reply *r, const struct command *c)
{
	switch (c->kind) {
	case CMD_APIKEY_CHECK:
		r->e = c->key_text && strcmp(c->key_text, KEY) == 0 ? OK : ERR_AUTH;
		r->apikeys = arena_array(&r->arena, 1, sizeof *r->apikeys);
		r->apikeys[0] = (struct apikey_row){ .id = 1, .prefix = "0123456789ab" };
		r->n_apikeys = 1;
		r->may = SCOPE_EVERYTHING;
		break;
	case CMD_USER_LIST:
	case CMD_USER_CREATE:
		r->users = arena_array(&r->arena, 1, sizeof *r->users);
		r->users[0] = (struct user_row){ .id = 3, .name = arena_str(&r->arena, BYTES_LIT("ann")), .created_ms = 1700000000000 };
		r->n_users = 1;
		break;
	case CMD_NODE_LIST:
	case CMD_NODE_GET:
	case CMD_NODE_TAGS:
	case CMD_NODE_APPROVE_ROUTES:
	case CMD_AUTH_REGISTER:
		r->nodes = arena_array(&r->arena, 1, sizeof(void *));
		r->nodes[0] = sample_info();
		r->n_nodes = 1;
		break;
	case CMD_AUTHKEY_CREATE:
		r->authkeys = arena_array(&r->arena, 1, sizeof *r->authkeys);
		r->authkeys[0] = (struct authkey_row){ .id = 5, .prefix = "0123456789ab", .expires_ms = c->expires_ms };
		r->n_authkeys = 1;
		r->secret = "hskey-auth-0123456789ab-full";
		break;
	case CMD_APIKEY_LIST:
		r->apikeys = arena_array(&r->arena, 1, sizeof *r->apikeys);
		r->apikeys[0] = (struct apikey_row){ .id = 1, .prefix = "0123456789ab", .expires_ms = 1900000000000 };
		r->n_apikeys = 1;
		break;
	case CMD_AUTH_GET:
		r->pendings = arena_array(&r->arena, 1, sizeof *r->pendings);
		r->pendings[0] = (struct pending_row){ .hostname = arena_str(&r->arena, BYTES_LIT("<script>alert(1)</script>")),
							  .os = arena_str(&r->arena, BYTES_LIT("linux")) };
		assert_ok(bytes_copy(r->pendings[0].auth_id, AUTH_ID_LEN + 1, bytes_str(c->auth_id)));
		r->n_pendings = 1;
		break;
	default:
		break;
	}
	if (c->kind != CMD_APIKEY_CHECK && fake.e != OK) {
		r->e = fake.e;
		r->message = "node not found";
	}
}

static void answer(struct event *e)
{
	struct reply *r = reply_new();
	struct call *call = e->call;

	assert_non_null(r);
	fill(r, e->command);
	if (e->command->kind != CMD_APIKEY_CHECK) {
		command_free(fake.last);
		fake.last = MOVE(e->command);
	}
	event_free(e);
	call->deliver(call, r);
}

static void *answer_later(void *arg)
{
	usleep(20000);
	answer(arg);
	return NULL;
}

static void post(void *ctx, struct event *e)
{
	(void)ctx;
	if (!fake.slow) {
		answer(e);
		return;
	}
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, answer_later, e), 0);
	pthread_detach(t);
}

static err fake_backup(void *ctx, const char *to, char *why, size_t why_cap)
{
	(void)ctx;
	if (strcmp(to, "/tmp/there.db") == 0) {
		snprintf(why, why_cap, "the file is there already");
		return ERR_EXISTS;
	}
	return OK;
}

static void start(void)
{
	struct api_settings cfg = { .server_url = "http://127.0.0.1:8080", .config_text = "a = 1\n", .post = post, .backup = fake_backup };

	fake = (struct fake){ 0 };
	assert_ok(api_new(&cfg, &fake.api));
}

static void stop(void)
{
	api_free(fake.api);
	command_free(fake.last);
	fake = (struct fake){ 0 };
}

static int connect_api(bool trusted)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	assert_ok(api_add_connection(fake.api, fd[1], (struct addrport){ addr_v4(192, 0, 2, 1), 1234 }, trusted ? API_UNIX : API_PUBLIC));
	return fd[0];
}

/* One request on a connection of its own; the whole answer as an owned text. */
static char *talk(bool trusted, const char *request)
{
	int fd = connect_api(trusted);
	struct buf in = buf_make(1 << 20);
	size_t n = strlen(request), sent = 0;

	while (sent < n) {
		ssize_t w = send(fd, request + sent, n - sent, MSG_NOSIGNAL);
		if (w <= 0)
			break;
		sent += (size_t)w;
	}
	for (;;) {
		uint8_t *room = buf_reserve(&in, 4096);
		ssize_t got = read(fd, room, 4096);
		if (got <= 0)
			break;
		buf_commit(&in, (size_t)got);
	}
	close(fd);
	char *text = bytes_dup(buf_view(&in));
	buf_done(&in);
	return text;
}

static char *call(bool trusted, const char *key, const char *method, const char *path, const char *body)
{
	char *request = NULL;

	assert_true(asprintf(&request,
				    "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s%sContent-Type: text/plain\r\n"
				    "Content-Length: %zu\r\n\r\n%s",
				    method, path, key ? "Authorization: Bearer " : "", key ? key : "", key ? "\r\n" : "",
				    strlen(body), body) > 0);
	char *answered = talk(trusted, request);
	free(request);
	return answered;
}

static int status_in(const char *answered)
{
	int status = 0;

	assert_int_equal(sscanf(answered, "HTTP/1.1 %d", &status), 1);
	return status;
}

static const char *body_in(const char *answered)
{
	const char *at = strstr(answered, "\r\n\r\n");

	assert_non_null(at);
	return at + 4;
}

static void expect(const char *method, const char *path, const char *body, int status, const char *part)
{
	char *a = call(false, KEY, method, path, body);

	if (status_in(a) != status || !strstr(a, part))
		fail_msg("%s %s: wanted %d with %s, got: %s", method, path, status, part, a);
	free(a);
}

static void a_key_is_needed(void **state)
{
	(void)state;
	start();
	char *a = call(false, NULL, "GET", "/api/v1/user", "");
	assert_int_equal(status_in(a), 401);
	assert_string_equal(body_in(a), "Unauthorized");
	assert_non_null(strstr(a, "text/plain"));
	free(a);
	a = call(false, "wrong", "GET", "/api/v1/user", "");
	assert_int_equal(status_in(a), 401);
	assert_string_equal(body_in(a), "Unauthorized");
	assert_null(fake.last); /* and nothing was asked of the core */
	free(a);
	expect("GET", "/api/v1/user", "", 200, "\"name\":\"ann\"");
	a = call(true, NULL, "GET", "/api/v1/user", ""); /* the unix socket needs none */
	assert_int_equal(status_in(a), 200);
	assert_non_null(strstr(fake.last->actor, "cli"));
	free(a);
	stop();
}

static void slow_replies_resume(void **state)
{
	(void)state;
	start();
	fake.slow = true;
	for (int i = 0; i < 5; i++)
		expect("GET", "/api/v1/node", "", 200, "\"nodes\":[{\"id\":\"7\"");
	stop();
}

static void nodes_have_all_that_tools_read(void **state)
{
	(void)state;
	start();
	char *a = call(false, KEY, "GET", "/api/v1/node/7", ""), *b = call(false, KEY, "GET", "/api/v1/node/7", "");
	static const char *const parts[] = {
		"\"id\":\"7\"", "\"tags\":[\"tag:web\"]", "\"forcedTags\":[\"tag:web\"]", "\"validTags\":[]", "\"invalidTags\":[]",
		"\"user\":{\"id\":\"2147455555\",\"name\":\"tagged-devices\"", "\"lastSeen\":null", "\"expiry\":null",
		"\"registerMethod\":\"REGISTER_METHOD_CLI\"", "\"ipAddresses\":[\"100.64.0.7\"]", "\"approvedRoutes\":[\"10.1.0.0/16\"]",
		"\"availableRoutes\":[\"10.1.0.0/16\",\"10.2.0.0/16\"]", "\"subnetRoutes\":[]", "\"preAuthKey\":null", "\"online\":true",
	};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (!strstr(a, parts[i]))
			fail_msg("%s is missing in %s", parts[i], a);
	}
	assert_string_equal(body_in(a), body_in(b));
	free(a), free(b);
	stop();
}

static void errors_are_the_superset(void **state)
{
	(void)state;
	start();
	fake.e = ERR_NOT_FOUND;
	expect("GET", "/api/v1/node/9", "", 404,
			"{\"code\":5,\"message\":\"node not found\",\"details\":[],\"status\":404,\"title\":\"Not Found\","
			"\"detail\":\"node not found\",\"requestId\":\"");
	expect("GET", "/api/v1/node/9", "", 404, "\",\"errors\":[{\"message\":\"node not found\"}]}");
	fake.e = OK;
	expect("GET", "/api/v1/nothing", "", 404, "\"message\"");
	expect("PATCH", "/api/v1/node", "", 405, "\"message\"");
	expect("GET", "/api/v1/node/abc", "", 400, "node id");
	expect("POST", "/api/v1/user", "{\"name\":", 400, "not JSON");
	expect("POST", "/api/v1/user", "[]", 400, "JSON object");
	expect("POST", "/api/v1/user", "{\"name\":{}}", 400, "name:");
	stop();
}

static void bodies_are_taken_as_tools_send_them(void **state)
{
	(void)state;
	start();
	expect("POST", "/api/v1/user", "{\"name\":\"bob\",\"unknown\":[1]}", 200, "\"user\"");
	assert_string_equal(fake.last->name, "bob");
	expect("POST", "/api/v1/preauthkey", "{\"user\":3,\"reusable\":true}", 200, "hskey-auth-0123456789ab-full");
	assert_string_equal(fake.last->user, "3");
	assert_true(fake.last->reusable);
	assert_true(fake.last->expires_ms > 1700000000000); /* absent: not born expired */
	expect("POST", "/api/v1/preauthkey", "{\"user\":null,\"expiration\":null,\"aclTags\":[\"tag:a\"]}", 200, "preAuthKey");
	assert_string_equal(fake.last->user, "");
	assert_string_equal(fake.last->tags[0], "tag:a");
	expect("POST", "/api/v1/preauthkey", "{\"user\":\"0\",\"expiration\":\"0001-01-01T00:00:00Z\"}", 200, "\"expiration\":null");
	expect("POST", "/api/v1/preauthkey/expire", "{\"id\":5}", 200, "{}");
	assert_int_equal(fake.last->id, 5);
	expect("POST", "/api/v1/preauthkey/expire", "{\"user\":\"ann\",\"key\":\"hskey-auth-0123456789ab-***\"}", 200, "{}");
	assert_string_equal(fake.last->key_text, "hskey-auth-0123456789ab-***");
	expect("POST", "/api/v1/node/7/tags", "{\"tags\":[]}", 200, "\"node\"");
	assert_int_equal(fake.last->n_tags, 0);
	expect("POST", "/api/v1/node/7/tags", "{}", 400, "tags:");
	expect("POST", "/api/v1/node/7/approve_routes", "{\"routes\":[\"10.0.0.0/8\"]}", 200, "\"node\"");
	assert_int_equal(fake.last->routes[0].bits, 8);
	expect("POST", "/api/v1/node/7/approve_routes", "{\"routes\":[\"10.0.0.0/99\"]}", 400, "prefix");
	expect("POST", "/api/v1/node/7/approve_routes", "{}", 200, "\"node\""); /* as generated clients send an empty list */
	assert_int_equal(fake.last->kind, CMD_NODE_APPROVE_ROUTES);
	assert_int_equal(fake.last->n_routes, 0);
	expect("POST", "/api/v1/node/7/approve_routes", "{\"routes\":null}", 200, "\"node\"");
	expect("POST", "/api/v1/node/7/expire", "{\"expiry\":\"2030-01-01T00:00:00Z\",\"disableExpiry\":true}", 400, "exclude");
	expect("POST", "/api/v1/node/7/user", "{\"user\":12}", 200, "{");
	assert_string_equal(fake.last->user, "12");
	expect("POST", "/api/v1/node/register?user=ann&key=0123456789abcdef01234567", "", 200, "\"node\"");
	assert_string_equal(fake.last->auth_id, "hskey-authreq-0123456789abcdef01234567");
	expect("POST", "/api/v1/auth/register", "{\"user\":\"ann\",\"authId\":\"nonsense\"}", 400, "authId");
	expect("GET", "/api/v1/user?id=4&name=", "", 200, "users");
	assert_int_equal(fake.last->id, 4);
	expect("DELETE", "/api/v1/apikey/hskey-api-0123456789ab", "", 200, "{}");
	assert_string_equal(fake.last->key_text, "hskey-api-0123456789ab");
	expect("DELETE", "/api/v1/apikey/hskey-api-0123456789ab?id=4", "", 400, "exactly one");
	expect("POST", "/api/v1/debug/node", "{}", 501, "clients");
	expect("GET", "/version", "", 200, "\"buildTime\"");
	expect("GET", "/api/v1/apikey", "", 200, "\"prefix\":\"hskey-api-0123456789ab\"");
	stop();
}

static void old_routes_map_to_approved_ones(void **state)
{
	(void)state;
	start();
	expect("GET", "/api/v1/routes", "", 200, "\"prefix\":\"10.1.0.0/16\",\"advertised\":true,\"enabled\":true");
	expect("POST", "/api/v1/routes/458753/enable", "", 200, "{}"); /* 7 * 65536 + 1 */
	assert_int_equal(fake.last->kind, CMD_NODE_APPROVE_ROUTES);
	assert_int_equal(fake.last->how, ROUTES_ADD);
	assert_int_equal(fake.last->n_routes, 1);
	expect("DELETE", "/api/v1/routes/458752", "", 200, "{}");
	assert_int_equal(fake.last->how, ROUTES_DROP);
	assert_int_equal(fake.last->n_routes, 1);
	assert_int_equal(fake.last->routes[0].bits, 16);
	expect("POST", "/api/v1/routes/458755/enable", "", 404, "route not found");
	stop();
}

static void large_bodies_are_refused(void **state)
{
	(void)state;
	start();
	size_t n = API_POLICY_BODY_MAX + 10;
	char *body = malloc(n + 1);
	memset(body, 'x', n);
	body[n] = 0;
	expect("PUT", "/api/v1/policy", body, 413, "message");
	body[API_BODY_MAX + 10] = 0;
	expect("POST", "/api/v1/user", body, 413, "message");
	body[5000] = 0;
	expect("POST", "/verify", body, 413, "message");
	free(body);
	expect("POST", "/verify", "{\"NodePublic\":\"nodekey:00000000000000000000000000000000000000000000000000000000000000ff\"}", 200,
			"{\"Allow\":true}");
	fake.e = ERR_NOT_FOUND;
	expect("POST", "/verify", "{\"NodePublic\":\"nodekey:00000000000000000000000000000000000000000000000000000000000000ff\"}", 200,
			"{\"Allow\":false}");
	stop();
}

static void pages_are_safe(void **state)
{
	(void)state;
	start();
	char *a = call(false, NULL, "GET", "/register/hskey-authreq-0123456789abcdef01234567", "");
	assert_int_equal(status_in(a), 200);
	assert_non_null(strstr(a, "fairlead nodes register --auth-id hskey-authreq-0123456789abcdef01234567 --user NAME"));
	assert_null(strstr(a, "<script"));
	assert_non_null(strstr(a, "&lt;script&gt;"));
	assert_non_null(strstr(a, "default-src 'none'"));
	assert_non_null(strstr(a, "nosniff"));
	free(a);
	command_free(fake.last);
	fake.last = NULL;
	a = call(false, NULL, "GET", "/register/%3Cscript%3E", "");
	assert_int_equal(status_in(a), 400);
	assert_null(strstr(a, "<script"));
	assert_null(fake.last);
	free(a);
	expect("GET", "/auth/%3Cscript%3E", "", 400, "Copy it whole");
	expect("GET", "/auth/hskey-authreq-0123456789abcdef01234567", "", 404, "No SSH session waits"); /* a device's is no session's */
	expect("GET", "/robots.txt", "", 200, "Disallow: /");
	expect("GET", "/", "", 200, "tailscale up --login-server http://127.0.0.1:8080");
	expect("GET", "/admin", "", 200, "fairlead");
	expect("GET", "/health", "", 200, "{\"status\":\"pass\"}");
	expect("GET", "/version", "", 200, "\"version\":\"0.30.0+fairlead.");
	stop();
}

static void local_calls_are_local(void **state)
{
	(void)state;
	start();
	expect("POST", "/api/fairlead/v1/backup", "{\"path\":\"/tmp/x.db\"}", 403, "unix socket");
	char *a = call(true, NULL, "POST", "/api/fairlead/v1/backup", "{\"path\":\"/tmp/x.db\"}");
	assert_int_equal(status_in(a), 200);
	free(a);
	a = call(true, NULL, "POST", "/api/fairlead/v1/backup", "{\"path\":\"/tmp/there.db\"}");
	assert_int_equal(status_in(a), 409);
	free(a);
	a = call(true, NULL, "POST", "/api/fairlead/v1/backup", "{\"path\":\"relative\"}");
	assert_int_equal(status_in(a), 400);
	free(a);
	expect("GET", "/api/fairlead/v1/config", "", 200, "a = 1");
	stop();
}

static void a_kept_alive_connection_serves_many(void **state)
{
	(void)state;
	start();
	char *a = talk(true, "GET /api/v1/user HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_non_null(strstr(a, "\"users\""));
	assert_non_null(strstr(a, "fairlead."));
	free(a);
	stop();
}

static void stopping_waits_for_replies(void **state)
{
	(void)state;
	start();
	fake.slow = true;
	int fd = connect_api(true);
	static const char request[] = "GET /api/v1/user HTTP/1.1\r\nHost: x\r\n\r\n";
	assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
	usleep(5000);
	stop(); /* the reply comes while we wait */
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_needed),
		cmocka_unit_test(slow_replies_resume),
		cmocka_unit_test(nodes_have_all_that_tools_read),
		cmocka_unit_test(errors_are_the_superset),
		cmocka_unit_test(bodies_are_taken_as_tools_send_them),
		cmocka_unit_test(old_routes_map_to_approved_ones),
		cmocka_unit_test(large_bodies_are_refused),
		cmocka_unit_test(pages_are_safe),
		cmocka_unit_test(local_calls_are_local),
		cmocka_unit_test(a_kept_alive_connection_serves_many),
		cmocka_unit_test(stopping_waits_for_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
