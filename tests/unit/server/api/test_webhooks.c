/* Webhooks: signed, told at least once, again after a failure and after a restart; private addresses only where allowed. */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/net/sock.h"
#include "common/text/hex.h"
#include "server/api/webhook_send.h"
#include "server/api/webhooks.h"
#include "tests/lib/api_house.h"
#include "tests/lib/test.h"

/* A receiver on loopback: answers with `status` and keeps what it got. */
struct receiver {
	int fd;
	uint16_t port;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t got;
	int status;
	char *request[64];
	size_t n;
};

static void *receive(void *arg)
{
	struct receiver *r = arg;

	for (;;) {
		int fd = accept(r->fd, NULL, NULL);
		if (fd < 0)
			return NULL;
		struct buf in = buf_make(1 << 20);
		size_t want = SIZE_MAX;
		while (buf_len(&in) < want) {
			uint8_t *room = buf_reserve(&in, 65536);
			ssize_t n = read(fd, room, 65536);
			if (n <= 0)
				break;
			buf_commit(&in, (size_t)n);
			char *text = bytes_dup(buf_view(&in)), *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
			if (end && length)
				want = (size_t)(end - text) + 4 + strtoul(length + 16, NULL, 10);
			free(text);
		}
		char answer[64];
		pthread_mutex_lock(&r->lock);
		int k = snprintf(answer, sizeof answer, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", r->status);
		if (r->n < 64)
			r->request[r->n++] = bytes_dup(buf_view(&in));
		pthread_cond_signal(&r->got);
		pthread_mutex_unlock(&r->lock);
		buf_done(&in);
		assert_int_equal(send(fd, answer, (size_t)k, MSG_NOSIGNAL), k);
		close(fd);
	}
}

static void receiver_start(struct receiver *r)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof at;

	*r = (struct receiver){ .status = 200 };
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->got, NULL);
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(r->fd, 16), 0);
	assert_int_equal(getsockname(r->fd, (struct sockaddr *)&at, &n), 0);
	r->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&r->thread, NULL, receive, r), 0);
}

static void receiver_stop(struct receiver *r)
{
	shutdown(r->fd, SHUT_RDWR);
	pthread_join(r->thread, NULL);
	close(r->fd);
	for (size_t i = 0; i < r->n; i++)
		free(r->request[i]);
}

/* The nth request (from 1); NULL: it did not come in time. */
static const char *nth(struct receiver *r, size_t n, int wait_s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_s;
	pthread_mutex_lock(&r->lock);
	while (r->n < n && pthread_cond_timedwait(&r->got, &r->lock, &until) == 0)
		;
	const char *text = r->n >= n ? r->request[n - 1] : NULL;
	pthread_mutex_unlock(&r->lock);
	return text;
}

static void allowed(struct house *h)
{
	h->api_set.webhooks_private = true;
}

static json_t *make(struct house *h, struct receiver *r, const char *provider, const char *subscriptions)
{
	char body[400];

	snprintf(body, sizeof body, "{\"endpointUrl\":\"http://127.0.0.1:%u/hook\",\"providerType\":\"%s\",\"subscriptions\":[%s]}", r->port,
			provider, subscriptions);
	return house_call(h, HOUSE_UNIX, "POST", "/api/v2/tailnet/-/webhooks", body, 200);
}

static void user(struct house *h, const char *name)
{
	char body[80];

	snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
	json_decref(house_call(h, HOUSE_UNIX, "POST", "/api/v1/user", body, 200));
}

static void assert_signed(const char *request, const char *secret)
{
	const char *t = strstr(request, "Tailscale-Webhook-Signature: t="), *v1 = strstr(request, ",v1="), *body = strstr(request, "\r\n\r\n") + 4;
	uint8_t mac[32];
	char hex[65], text[4096];
	crypto_auth_hmacsha256_state st;

	assert_true(t && v1);
	t += strlen("Tailscale-Webhook-Signature: t=");
	int n = snprintf(text, sizeof text, "%.*s.%s", (int)(v1 - t), t, body);
	crypto_auth_hmacsha256_init(&st, (const uint8_t *)secret, strlen(secret));
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)text, (size_t)n);
	crypto_auth_hmacsha256_final(&st, mac);
	hex_encode(bytes_of(mac, 32), hex);
	assert_memory_equal(v1 + 4, hex, 64);
}

static void events_are_told(void **state)
{
	(void)state;
	struct house h;
	struct receiver r;
	char path[96];

	receiver_start(&r);
	house_open(&h, allowed);
	json_t *hook = make(&h, &r, "", "\"userCreated\",\"policyUpdate\"");
	char *secret = strdup(json_text_at(hook, "secret"));
	assert_true(strncmp(secret, "tskey-webhook-", 14) == 0);
	snprintf(path, sizeof path, "/api/v2/webhooks/%s", json_text_at(hook, "endpointId"));
	json_decref(hook);
	hook = house_call(&h, HOUSE_UNIX, "GET", path, "", 200);
	assert_null(json_object_get(hook, "secret"));
	assert_string_equal(json_text_at(hook, "subscriptions.1"), "policyUpdate");
	json_decref(hook);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", "/api/v1/apikey", "{}", 200)); /* nobody subscribed to that */
	user(&h, "ann");
	const char *got = nth(&r, 1, 10);
	assert_non_null(got);
	assert_non_null(strstr(got, "\"type\":\"userCreated\""));
	assert_non_null(strstr(got, "\"user\":\"ann\""));
	assert_signed(got, secret);

	char test[110];
	snprintf(test, sizeof test, "%s/test", path);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", test, "", 202));
	got = nth(&r, 2, 10);
	assert_non_null(got);
	assert_non_null(strstr(got, "\"type\":\"test\""));
	assert_null(strstr(got, "\"data\""));

	/* Rotation: what comes after is signed with the new secret; the endpoint is told that it changed. */
	snprintf(test, sizeof test, "%s/rotate", path);
	hook = house_call(&h, HOUSE_UNIX, "POST", test, "", 200);
	assert_string_not_equal(json_text_at(hook, "secret"), secret);
	got = nth(&r, 3, 10);
	assert_non_null(got);
	assert_non_null(strstr(got, "webhookUpdated"));
	assert_signed(got, json_text_at(hook, "secret"));
	json_decref(hook);
	json_decref(house_call(&h, HOUSE_UNIX, "PATCH", path, "{\"subscriptions\":[\"nonsense\"]}", 400));
	json_decref(house_call(&h, HOUSE_UNIX, "DELETE", path, "", 200));
	json_decref(house_call(&h, HOUSE_UNIX, "GET", path, "", 404));
	free(secret);
	house_close(&h);
	receiver_stop(&r);
}

/* A chat refuses what is too long, each time that it is sent again: what does not fit is counted. */
static void a_chat_gets_no_more_than_it_takes(void **state)
{
	static char kind[] = "user", action[] = "create", target[] = "somebody-with-a-long-name@example.com", who[] = "cli:root", empty[] = "", provider[] = "discord", wants[] = "userCreated";
	struct webhook_row hook = { .provider = provider, .subscriptions = wants };
	struct audit_row rows[50];

	(void)state;
	for (size_t i = 0; i < 50; i++)
		rows[i] = (struct audit_row){ .kind = kind, .action = action, .target = target, .target_id = empty, .actor = who, .before = empty, .after = empty };
	struct buf out = buf_make(64 << 10);
	assert_true(webhook_body(&hook, rows, 50, "https://fairlead.example.com", &out));
	json_t *body = json_loadb((const char *)buf_view(&out).p, buf_view(&out).n, 0, NULL);
	const char *text = json_string_value(json_object_get(body, "content"));
	assert_non_null(text);
	assert_true(strlen(text) > 1500 && strlen(text) <= 2000);
	size_t lines = 0;
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	const char *more = strstr(text, "\n… ");
	assert_non_null(more);
	assert_int_equal(strtoul(more + strlen("\n… "), NULL, 10), 50 - lines);
	json_decref(body);
	buf_done(&out);
}

static void failures_are_tried_again(void **state)
{
	(void)state;
	struct house h;
	struct receiver r;

	receiver_start(&r);
	r.status = 500;
	house_open(&h, allowed);
	json_decref(make(&h, &r, "slack", "\"categoryTailnetManagement\""));
	user(&h, "ann");
	const char *got = nth(&r, 1, 10);
	assert_non_null(got);
	assert_non_null(strstr(got, "{\"text\":\"User ann was created"));
	assert_null(strstr(got, "Tailscale-Webhook-Signature"));
	pthread_mutex_lock(&r.lock);
	r.status = 204;
	pthread_mutex_unlock(&r.lock);
	house_restart(&h); /* it waits in the database */
	got = nth(&r, 2, 10);
	assert_non_null(got);
	assert_non_null(strstr(got, "User ann was created"));
	user(&h, "bob");
	got = nth(&r, 3, 10);
	assert_non_null(got);
	assert_non_null(strstr(got, "bob"));
	assert_null(strstr(got, "ann"));
	house_close(&h);
	receiver_stop(&r);
}

static void private_addresses_are_refused(void **state)
{
	(void)state;
	struct house h;
	struct receiver r;
	static const char *const no[] = { "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.20.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
		"::1", "::", "fe80::1", "fd00::1", "fd7a:115c:a1e0::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1" };
	static const char *const yes[] = { "192.0.2.1", "8.8.8.8", "2001:db8::1" };

	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		struct addr a;
		assert_ok(addr_parse(bytes_str(no[i]), &a));
		if (webhook_may_connect(a, false))
			fail_msg("%s would be called", no[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		struct addr a;
		assert_ok(addr_parse(bytes_str(yes[i]), &a));
		assert_true(webhook_may_connect(a, false));
	}
	receiver_start(&r);
	house_open(&h, NULL);
	json_decref(make(&h, &r, "", "\"userCreated\""));
	user(&h, "ann");
	assert_null(nth(&r, 1, 1));
	static const char *const urls[] = { "ftp://example.com/", "https://", "https://user@example.com/", "file:///etc/passwd", "https:///x", "x" };
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		char body[200];
		snprintf(body, sizeof body, "{\"endpointUrl\":\"%s\",\"subscriptions\":[]}", urls[i]);
		json_decref(house_call(&h, HOUSE_UNIX, "POST", "/api/v2/tailnet/-/webhooks", body, 400));
	}
	house_close(&h);
	receiver_stop(&r);
}

/* It takes connections and says nothing, so each request to it lasts WEBHOOK_TOTAL_S. */
static void silent_start(struct receiver *r)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof at;

	*r = (struct receiver){ 0 };
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(r->fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(r->fd, 64), 0);
	assert_int_equal(getsockname(r->fd, (struct sockaddr *)&at, &n), 0);
	r->port = ntohs(at.sin_port);
}

/* Somebody waits for an answer there. */
static void assert_is_asked(const struct receiver *r)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 10000), 1);
}

static void test_of(struct house *h, json_t *hook, unsigned status)
{
	char path[96];

	snprintf(path, sizeof path, "/api/v2/webhooks/%s/test", json_text_at(hook, "endpointId"));
	json_decref(house_call(h, HOUSE_UNIX, "POST", path, "", status));
}

static void silent_endpoints_delay_nobody_else(void **state)
{
	(void)state;
	struct receiver good, silent;
	struct house h;

	silent_start(&silent);
	receiver_start(&good);
	house_open(&h, allowed);
	json_t *one = make(&h, &silent, "", "\"userCreated\""), *two = make(&h, &silent, "", "\"userCreated\"");
	json_t *three = make(&h, &good, "", "\"userCreated\"");
	user(&h, "first");
	assert_is_asked(&silent); /* they are under way, and stay so */
	int64_t begun = clock_mono_ms();
	assert_non_null(nth(&good, 1, 10));
	for (size_t i = 2; i < 10; i++) { /* several times over, not only beside the first request of the silent ones */
		char name[16];
		snprintf(name, sizeof name, "quick%zu", i);
		user(&h, name);
		const char *got = nth(&good, i, 10);
		assert_non_null(got);
		assert_non_null(strstr(got, name));
	}
	/* Tests wait for no silent test, nor for events; each endpoint has a few. */
	for (int i = 0; i < WEBHOOK_TESTS_EACH; i++)
		test_of(&h, one, 202);
	test_of(&h, one, 429);
	test_of(&h, two, 202);
	test_of(&h, three, 202);
	const char *got = nth(&good, 10, 10);
	assert_non_null(got);
	assert_non_null(strstr(got, "\"type\":\"test\""));
	assert_true(clock_mono_ms() - begun < WEBHOOK_TOTAL_S * 1000);
	/* The server stops at once, whoever is silent. */
	begun = clock_mono_ms();
	house_close(&h);
	assert_true(clock_mono_ms() - begun < WEBHOOK_TOTAL_S * 1000 / 2);
	json_decref(one), json_decref(two), json_decref(three);
	receiver_stop(&good);
	close(silent.fd);
}

/* Who is deleted hears so, last, signed with the secret that it has; also when it was down, and the server started anew. */
static void a_deleted_endpoint_is_told_so(void **state)
{
	(void)state;
	struct receiver r;
	struct house h;
	char path[96];

	receiver_start(&r);
	house_open(&h, allowed);
	r.status = 500;
	json_t *hook = make(&h, &r, "", "\"userCreated\"");
	user(&h, "before");
	assert_non_null(nth(&r, 1, 10)); /* refused: it waits */
	snprintf(path, sizeof path, "/api/v2/webhooks/%s", json_text_at(hook, "endpointId"));
	json_decref(house_call(&h, HOUSE_UNIX, "DELETE", path, "", 200));
	json_decref(house_call(&h, HOUSE_UNIX, "GET", path, "", 404));
	json_decref(house_call(&h, HOUSE_UNIX, "DELETE", path, "", 404));
	json_decref(house_call(&h, HOUSE_UNIX, "PATCH", path, "{\"subscriptions\":[]}", 404));
	json_t *list = house_call(&h, HOUSE_UNIX, "GET", "/api/v2/tailnet/-/webhooks", "", 200);
	assert_int_equal(json_array_size(json_object_get(list, "webhooks")), 0);
	json_decref(list);
	user(&h, "after");
	pthread_mutex_lock(&r.lock);
	r.status = 204;
	pthread_mutex_unlock(&r.lock);
	size_t had = r.n;
	house_restart(&h);
	const char *got = nth(&r, had + 1, 10);
	assert_non_null(got);
	assert_non_null(strstr(got, "before"));
	assert_non_null(strstr(got, "\"type\":\"webhookDeleted\""));
	assert_null(strstr(got, "after"));
	assert_signed(got, json_text_at(hook, "secret"));
	json_decref(hook);
	user(&h, "later");
	assert_null(nth(&r, had + 2, 1)); /* and nothing more */
	/* The log has that it was deleted, once. */
	json_t *log = house_call(&h, HOUSE_UNIX, "GET", "/api/fairlead/v1/audit?kind=webhook", "", 200);
	assert_int_equal(json_array_size(json_object_get(log, "records")), 2);
	json_decref(log);
	house_close(&h);
	receiver_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_told),
		cmocka_unit_test(a_chat_gets_no_more_than_it_takes),
		cmocka_unit_test(failures_are_tried_again),
		cmocka_unit_test(private_addresses_are_refused),
		cmocka_unit_test(silent_endpoints_delay_nobody_else),
		cmocka_unit_test(a_deleted_endpoint_is_told_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
