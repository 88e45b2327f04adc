#include "tests/lib/api_house.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include <pthread.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/wire/tailcfg_request.h"
#include "server/store/audit.h"
#include "server/store/store.h"
#include "tests/lib/test.h"

static void post(void *ctx, struct event *e)
{
	struct house *h = ctx;

	assert_ok(core_post(h->core, e));
}

static err back_up(void *ctx, const char *to, char *why, size_t why_cap)
{
	return store_backup(((struct house *)ctx)->store, to, why, why_cap);
}

static err verify_backup(void *ctx, const char *path, char *why, size_t why_cap)
{
	(void)ctx;
	return store_verify_backup(path, why, why_cap);
}

static err read_audit(void *ctx, const struct audit_query *ask, struct audit_page *out, char *why, size_t why_cap)
{
	return store_audit_read(((struct house *)ctx)->store, ask, out, why, why_cap);
}

static err count_audit(void *ctx, const struct audit_query *ask, uint64_t *count, size_t n, char *why, size_t why_cap)
{
	return store_audit_count(((struct house *)ctx)->store, ask, count, n, why, why_cap);
}

static void on_changed(void *ctx, const struct audit_row *what)
{
	struct api *api = __atomic_load_n(&((struct house *)ctx)->api, __ATOMIC_ACQUIRE);

	if (api)
		api_changed(api, what);
}

static void start(struct house *h)
{
	struct store_image image;
	struct core_runner_opts opts = { .ctx = h, .on_changed = on_changed };
	char why[400] = "";

	assert_ok(store_open(h->file, why, sizeof why, &h->store));
	assert_ok(store_load(h->store, &image));
	err e = core_runner_start(&h->set, h->store, &image, &opts, why, sizeof why, &h->core);
	if (e != OK)
		fail_msg("%s", why);
	assert_ok(api_new(&h->api_set, &h->api));
}

static void stop(struct house *h)
{
	api_quiet(h->api);
	core_runner_stop(h->core);
	api_free(h->api);
	h->api = NULL;
	store_stop(h->store);
	core_runner_free(h->core);
}

void house_open(struct house *h, void (*tweak)(struct house *h))
{
	memset(h, 0, sizeof *h);
	snprintf(h->folder, sizeof h->folder, "/tmp/fairlead-api-XXXXXX");
	assert_non_null(mkdtemp(h->folder));
	snprintf(h->file, sizeof h->file, "%s/test.db", h->folder);
	h->set = (struct core_settings){ .server_url = "http://127.0.0.1:8080", .base_domain = "tail.internal", .domain = "tail.internal",
		.magic_dns = true, .max_pending = 16, .max_pending_per_addr = 4, .min_capver = 113, .pending_ttl_ms = 3600000 };
	assert_ok(prefix_parse(BYTES_LIT("100.64.0.0/10"), &h->set.v4));
	assert_ok(prefix_parse(BYTES_LIT("fd7a:115c:a1e0::/48"), &h->set.v6));
	h->api_set = (struct api_settings){ .server_url = h->set.server_url, .ctx = h, .post = post, .audit = read_audit, .audit_count = count_audit, .backup = back_up,
		.verify_backup = verify_backup };
	if (tweak)
		tweak(h);
	start(h);
}

void house_close(struct house *h)
{
	char command[128];

	stop(h);
	free(h->head);
	free(h->body);
	snprintf(command, sizeof command, "rm -rf '%s'", h->folder);
	assert_int_equal(system(command), 0);
}

void house_restart(struct house *h)
{
	stop(h);
	start(h);
}

static void read_answer(struct house *h, int fd)
{
	struct buf in = buf_make(64 << 20);

	for (ssize_t got = 1; got > 0;) {
		uint8_t *room = buf_reserve(&in, 65536);
		assert_non_null(room);
		got = read(fd, room, 65536);
		if (got > 0)
			buf_commit(&in, (size_t)got);
	}
	struct bytes all = buf_view(&in);
	const uint8_t *at = all.n ? memmem(all.p, all.n, "\r\n\r\n", 4) : NULL;
	free(h->head);
	free(h->body);
	h->head = bytes_dup(at ? bytes_of(all.p, (size_t)(at - all.p) + 2) : all);
	h->body = bytes_dup(at ? bytes_skip(all, (size_t)(at - all.p) + 4) : (struct bytes){ 0 });
	assert_true(h->head && h->body);
	buf_done(&in);
	if (sscanf(h->head, "HTTP/1.1 %d", &h->status) != 1)
		h->status = 0;
}

int house_ask(struct house *h, const char *key, const char *method, const char *path, const char *body)
{
	struct addrport from = { addr_v4(192, 0, 2, 1), 1 };
	struct buf out = buf_make(8 << 20);
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	assert_ok(api_add_connection(h->api, fd[1], from, key ? API_PUBLIC : API_UNIX));
	buf_printf(&out, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n", method, path, strlen(body));
	if (key && *key)
		buf_printf(&out, "Authorization: %s%s\r\n", strchr(key, ' ') ? "" : "Bearer ", key);
	buf_printf(&out, "%s\r\n", h->headers ? h->headers : "");
	buf_append_str(&out, body);
	struct bytes rest = buf_view(&out);
	while (rest.n) {
		ssize_t n = send(fd[0], rest.p, rest.n, MSG_NOSIGNAL);
		if (n <= 0)
			break; /* it answered already */
		rest = bytes_skip(rest, (size_t)n);
	}
	read_answer(h, fd[0]);
	close(fd[0]);
	buf_done(&out);
	return h->status;
}

json_t *house_call(struct house *h, const char *key, const char *method, const char *path, const char *body, int status)
{
	if (house_ask(h, key, method, path, body) != status)
		fail_msg("%s %s: wanted %d, got %s\n%s", method, path, status, h->head, h->body);
	return json_loads(h->body, JSON_DECODE_ANY, NULL);
}

char *house_header(const struct house *h, const char *name)
{
	for (const char *line = h->head; line && *line; line = strstr(line, "\r\n") ? strstr(line, "\r\n") + 2 : NULL) {
		size_t n = strlen(name);
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			const char *v = line + n + 1 + strspn(line + n + 1, " ");
			return bytes_dup(bytes_of(v, strcspn(v, "\r\n")));
		}
	}
	return NULL;
}

char *house_key(struct house *h, const char *scopes, const char *user)
{
	json_t *ask = json_pack("{s:s, s:s}", "scopes", scopes, "user", user);
	char *body = json_dumps(ask, 0);
	json_t *j = house_call(h, HOUSE_UNIX, "POST", "/api/v1/apikey", body, 200);
	char *key = strdup(json_text_at(j, "apiKey"));

	free(body);
	json_decref(ask);
	json_decref(j);
	return key;
}

const char *json_text_at(const json_t *j, const char *path)
{
	struct bytes rest = bytes_str(path);

	while (j && rest.n) {
		struct bytes word = bytes_cut(rest, '.', &rest);
		char name[64];
		uint64_t index;
		assert_ok(bytes_copy(name, sizeof name - 1, word));
		name[word.n] = 0;
		j = json_is_array(j) && bytes_parse_u64(word, 100000, &index) == OK ? json_array_get(j, index) : json_object_get(j, name);
	}
	return json_is_string(j) ? json_string_value(j) : "(none)";
}

struct joining {
	struct call call;
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct reply *reply;
};

static void joined(struct call *call, struct reply *taken)
{
	struct joining *j = container_of(call, struct joining, call);

	pthread_mutex_lock(&j->lock);
	j->reply = taken;
	pthread_cond_signal(&j->done);
	pthread_mutex_unlock(&j->lock);
}

static struct reply *register_device(struct house *h, const char *auth_key, const char *hostname, const char *routes)
{
	struct joining j = { { joined }, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL };
	struct event *e = event_new(EV_REGISTER);
	struct tailcfg_register_request *r = arena_alloc(&e->arena, sizeof *r);
	struct tailcfg_hostinfo *hi;
	struct json_why why;
	char text[600];

	snprintf(text, sizeof text, "{\"Hostname\":\"%s\",\"OS\":\"linux\",\"IPNVersion\":\"1.90.0\",\"RoutableIPs\":%s}", hostname,
			routes ? routes : "[]");
	assert_ok(tailcfg_hostinfo_parse(bytes_str(text), &e->arena, &hi, &why));
	r->version = 130;
	random_fill(r->node_key.b, 32);
	random_fill(e->machine.b, 32);
	r->auth_key = arena_str(&e->arena, bytes_str(auth_key));
	r->followup = r->signature_type = r->tailnet = "";
	r->hostinfo = hi;
	e->reg = r;
	e->remote = addr_v4(192, 0, 2, 9);
	e->call = &j.call;
	assert_ok(core_post(h->core, e));
	pthread_mutex_lock(&j.lock);
	while (!j.reply)
		pthread_cond_wait(&j.done, &j.lock);
	pthread_mutex_unlock(&j.lock);
	return j.reply;
}

void house_join(struct house *h, const char *auth_key, const char *hostname, const char *routes)
{
	struct reply *r = register_device(h, auth_key, hostname, routes);

	if (r->e != OK || !memmem(r->body.p, r->body.n, "\"MachineAuthorized\":true", 24))
		fail_msg("%s did not join: %.*s", hostname, (int)r->body.n, (const char *)r->body.p);
	reply_free(r);
}

void house_knock(struct house *h, const char *hostname)
{
	struct reply *r = register_device(h, "", hostname, NULL);

	assert_ok(r->e);
	assert_non_null(memmem(r->body.p, r->body.n, "\"AuthURL\":\"http", 15));
	reply_free(r);
}

void house_login(struct house *h, const char *name)
{
	struct joining j = { { joined }, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL };
	struct event *e = event_new(EV_COMMAND);
	struct command *m = command_new(CMD_LOGIN);
	struct login_facts *f = arena_alloc(&m->arena, sizeof *f);

	*f = (struct login_facts){ .provider = "oidc", .issuer = "https://id.example.com", .subject = name, .login = name, .email = "", .name = name,
		.display_name = "", .picture_url = "", .refresh_token = "", .provider_sid = "" };
	m->login = f;
	m->agent = "Firefox";
	m->expires_ms = clock_wall_ms() + 3600 * 1000;
	e->command = m;
	e->call = &j.call;
	assert_ok(core_post(h->core, e));
	pthread_mutex_lock(&j.lock);
	while (!j.reply)
		pthread_cond_wait(&j.done, &j.lock);
	pthread_mutex_unlock(&j.lock);
	assert_ok(j.reply->e);
	reply_free(j.reply);
}
