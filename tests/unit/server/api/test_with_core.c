/* API, core and store together: what was answered is there after a restart. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/cleanup.h"
#include "common/net/addr.h"
#include "server/api/api.h"
#include "server/core/runner.h"
#include "server/store/audit.h"
#include "tests/lib/test.h"

static char folder[64], database[96];

struct house {
	struct store *store;
	struct core_runner *core;
	struct api *api;
};

static void post(void *ctx, struct event *e)
{
	struct house *h = ctx;

	assert_ok(core_post(h->core, e));
}

static err back_up(void *ctx, const char *to, char *why, size_t why_cap)
{
	struct house *h = ctx;

	return store_backup(h->store, to, why, why_cap);
}

static err read_audit(void *ctx, const struct audit_query *ask, struct audit_page *out, char *why, size_t why_cap)
{
	struct house *h = ctx;

	return store_audit_read(h->store, ask, out, why, why_cap);
}

static void open_house(struct house *h, const char *file)
{
	struct core_settings cfg = { .server_url = "http://127.0.0.1:8080", .base_domain = "tail.internal", .domain = "tail.internal",
				     .magic_dns = true, .max_pending = 16, .max_pending_per_addr = 4, .min_capver = 113 };
	struct store_image image;
	char why[400] = "";

	assert_ok(prefix_parse(BYTES_LIT("100.64.0.0/10"), &cfg.v4));
	assert_ok(store_open(file, why, sizeof why, &h->store));
	assert_ok(store_load(h->store, &image));
	struct core_runner_opts opts = { .ctx = h };
	err e = core_runner_start(&cfg, h->store, &image, &opts, why, sizeof why, &h->core);
	if (e != OK)
		fail_msg("%s", why);
	struct api_settings a = { .server_url = cfg.server_url, .ctx = h, .post = post, .audit = read_audit, .backup = back_up };
	assert_ok(api_new(&a, &h->api));
}

static void close_house(struct house *h)
{
	api_free(h->api);
	core_runner_stop(h->core);
	store_stop(h->store);
	core_runner_free(h->core);
}

/* The JSON of an answer of this status; owned. key NULL: over the unix socket. */
static json_t *call(struct house *h, const char *key, const char *method, const char *path, const char *body, int status)
{
	int fd[2], got_status = 0;
	char request[2048];
	struct buf in = buf_make(1 << 20);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	assert_ok(api_add_connection(h->api, fd[1], (struct addrport){ addr_v4(192, 0, 2, 1), 1 }, key == NULL ? API_UNIX : API_PUBLIC));
	int n = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"
						  "Content-Length: %zu\r\n\r\n%s", method, path, key ? key : "-", strlen(body), body);
	assert_int_equal(send(fd[0], request, (size_t)n, MSG_NOSIGNAL), n);
	for (ssize_t got = 1; got > 0;) {
		uint8_t *room = buf_reserve(&in, 4096);
		got = read(fd[0], room, 4096);
		if (got > 0)
			buf_commit(&in, (size_t)got);
	}
	close(fd[0]);
	buf_append_u8(&in, 0);
	const char *text = (const char *)buf_view(&in).p, *at = strstr(text, "\r\n\r\n");
	if (sscanf(text, "HTTP/1.1 %d", &got_status) != 1 || got_status != status || !at)
		fail_msg("%s %s: wanted %d, got %s", method, path, status, text);
	json_t *json = json_loads(at + 4, JSON_DECODE_ANY, NULL);
	buf_done(&in);
	return json;
}

static const char *text_at(const json_t *j, const char *a, const char *b)
{
	const json_t *v = json_object_get(j, a);

	v = b ? json_object_get(v, b) : v;
	return json_is_string(v) ? json_string_value(v) : "(none)";
}

static void what_was_answered_stays(void **state)
{
	(void)state;
	struct house h;
	open_house(&h, database);

	json_t *j = call(&h, NULL, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200);
	char *user_id = strdup(text_at(j, "user", "id"));
	assert_string_equal(text_at(j, "user", "name"), "ann");
	json_decref(j);
	json_decref(call(&h, NULL, "POST", "/api/v1/user", "{\"name\":\"Ann\"}", 409));
	json_decref(call(&h, NULL, "POST", "/api/v1/user", "{\"name\":\"a b\"}", 400));
	json_decref(call(&h, NULL, "DELETE", "/api/v1/user/99999", "", 404));

	j = call(&h, NULL, "POST", "/api/v1/apikey", "{}", 200);
	char *key = strdup(text_at(j, "apiKey", NULL));
	json_decref(j);
	json_decref(call(&h, key, "GET", "/api/v1/user", "", 200));
	json_decref(call(&h, "hskey-api-0123456789ab-00", "GET", "/api/v1/user", "", 401));
	j = call(&h, key, "GET", "/api/v1/apikey", "", 200);
	const char *prefix = text_at(json_array_get(json_object_get(j, "apiKeys"), 0), "prefix", NULL);
	assert_true(strncmp(key, prefix, strlen(prefix)) == 0); /* tools find their own key by it */
	json_decref(j);

	j = call(&h, key, "POST", "/api/v1/preauthkey", "{\"user\":\"ann\",\"reusable\":true}", 200);
	assert_true(strncmp(text_at(j, "preAuthKey", "key"), "hskey-auth-", 11) == 0);
	char *auth_key_id = strdup(text_at(j, "preAuthKey", "id"));
	json_decref(j);
	json_decref(call(&h, key, "PUT", "/api/v1/policy", "{\"policy\":\"{ /* open */ \\\"acls\\\": [] }\"}", 200));
	j = call(&h, key, "PUT", "/api/v1/policy", "{\"policy\":\"{ not json\"}", 400);
	assert_non_null(strstr(text_at(j, "message", NULL), "parsing policy from bytes:"));
	json_decref(j);
	j = call(&h, key, "GET", "/api/fairlead/v1/audit?kind=user", "", 200);
	const json_t *record = json_array_get(json_object_get(j, "records"), 0);
	assert_string_equal(text_at(record, "target", NULL), "ann");
	assert_string_equal(text_at(record, "via", NULL), "cli");
	assert_string_equal(text_at(record, "after", "name"), "ann");
	json_decref(j);
	j = call(&h, key, "GET", "/api/fairlead/v1/audit?order=asc&limit=1", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "records")), 1);
	char audit_path[100];
	snprintf(audit_path, sizeof audit_path, "/api/fairlead/v1/audit?order=asc&page=%s", text_at(j, "next", NULL));
	json_decref(j);
	j = call(&h, key, "GET", audit_path, "", 200);
	record = json_array_get(json_object_get(j, "records"), json_array_size(json_object_get(j, "records")) - 1);
	assert_string_equal(text_at(record, "kind", NULL), "policy");
	assert_string_equal(text_at(record, "via", NULL), "v1");
	assert_string_equal(text_at(record, "address", NULL), "192.0.2.1");
	json_decref(j);
	json_decref(call(&h, key, "GET", "/api/fairlead/v1/audit?limit=5000", "", 400));
	json_decref(call(&h, key, "GET", "/api/fairlead/v1/audit?since=yesterday", "", 400));
	json_decref(call(&h, key, "GET", "/api/v1/node", "", 200));
	json_decref(call(&h, key, "GET", "/api/v1/node/1", "", 404));
	json_decref(call(&h, NULL, "GET", "/health", "", 200));
	close_house(&h);

	open_house(&h, database);
	j = call(&h, key, "GET", "/api/v1/user?name=ANN", "", 200);
	assert_string_equal(text_at(json_array_get(json_object_get(j, "users"), 0), "id", NULL), user_id);
	json_decref(j);
	j = call(&h, key, "GET", "/api/v1/policy", "", 200);
	assert_string_equal(text_at(j, "policy", NULL), "{ /* open */ \"acls\": [] }");
	json_decref(j);
	char body[100], path[100];
	snprintf(body, sizeof body, "{\"id\":%s}", auth_key_id);
	json_decref(call(&h, key, "POST", "/api/v1/preauthkey/expire", body, 200));
	snprintf(path, sizeof path, "/api/v1/user/%s/rename/anna", user_id);
	json_decref(call(&h, key, "POST", path, "", 200));
	snprintf(path, sizeof path, "/api/v1/user/%s", user_id);
	json_decref(call(&h, key, "DELETE", path, "", 200)); /* with its auth key */
	j = call(&h, key, "GET", "/api/v1/preauthkey", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "preAuthKeys")), 0);
	json_decref(j);
	close_house(&h);
	free(user_id), free(key), free(auth_key_id);
}

static void a_backup_serves(void **state)
{
	(void)state;
	struct house h;
	char copy[96], body[200];

	snprintf(copy, sizeof copy, "%s/copy.db", folder);
	open_house(&h, database);
	json_decref(call(&h, NULL, "POST", "/api/v1/user", "{\"name\":\"bob\"}", 200));
	snprintf(body, sizeof body, "{\"path\":\"%s\"}", copy);
	json_decref(call(&h, NULL, "POST", "/api/fairlead/v1/backup", body, 200));
	json_decref(call(&h, NULL, "POST", "/api/fairlead/v1/backup", body, 409));
	close_house(&h);

	open_house(&h, copy);
	json_t *j = call(&h, NULL, "GET", "/api/v1/user?name=bob", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "users")), 1);
	json_decref(j);
	close_house(&h);
}

/* The disk refuses one commit: that caller hears of it, and the next one is served. */
static void a_failed_commit_is_answered(void **state)
{
	(void)state;
	struct house h;

	open_house(&h, database);
	json_decref(call(&h, NULL, "GET", "/health", "", 200));
	store_fail_next(h.store, 1, 13); /* SQLITE_FULL */
	json_decref(call(&h, NULL, "POST", "/api/v1/user", "{\"name\":\"lost\"}", 500));
	json_decref(call(&h, NULL, "POST", "/api/v1/user", "{\"name\":\"kept\"}", 200));
	json_t *j = call(&h, NULL, "GET", "/api/v1/user?name=lost", "", 200);
	assert_int_equal(json_array_size(json_object_get(j, "users")), 0);
	json_decref(j);
	close_house(&h);
}

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/fairlead-house.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(database, sizeof database, "%s/fairlead.db", folder);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "fairlead.db", "fairlead.db-wal", "fairlead.db-shm", "copy.db", "copy.db-wal", "copy.db-shm" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_answered_stays),
		cmocka_unit_test(a_backup_serves),
		cmocka_unit_test(a_failed_commit_is_answered),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
