/* The stream of changes: what happens is heard, once and in order; who comes back hears what was missed; who is slow is ended. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "server/api/events.h"
#include "tests/lib/api_house.h"
#include "tests/lib/test.h"

struct listener {
	int fd;
	struct buf in;
	bool ended;
};

static void listen_at(struct listener *l, struct house *h, const char *key, const char *path, const char *last)
{
	struct addrport from = { addr_v4(192, 0, 2, 1), 1 };
	char request[300];
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	assert_ok(api_add_connection(h->api, fd[1], from, key ? API_PUBLIC : API_UNIX));
	int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s%s%s%s%s\r\n", path, key ? "Authorization: Bearer " : "",
			key ? key : "", key ? "\r\n" : "", last ? "Last-Event-ID: " : "",
			last ? last : "", last ? "\r\n" : "");
	assert_int_equal(send(fd[0], request, (size_t)n, MSG_NOSIGNAL), n);
	*l = (struct listener){ fd[0], buf_make(16 << 20), false };
}

static void listen_with(struct listener *l, struct house *h, const char *key, const char *last)
{
	listen_at(l, h, key, "/api/fairlead/v1/events", last);
}

static void listen_to(struct listener *l, struct house *h, const char *last)
{
	listen_with(l, h, HOUSE_UNIX, last);
}

static void stop_listening(struct listener *l)
{
	close(l->fd);
	buf_done(&l->in);
}

static const char *text(struct listener *l)
{
	buf_append_u8(&l->in, 0);
	l->in.end--;
	return (const char *)buf_view(&l->in).p;
}

/* Reads until this has come, or the stream ended. */
static bool hears(struct listener *l, const char *what)
{
	while (!strstr(text(l), what)) {
		struct pollfd p = { l->fd, POLLIN, 0 };
		if (poll(&p, 1, 5000) <= 0)
			return false;
		uint8_t *room = buf_reserve(&l->in, 65536);
		ssize_t n = read(l->fd, room, 65536);
		if (n <= 0) {
			l->ended = true;
			return false;
		}
		buf_commit(&l->in, (size_t)n);
	}
	return true;
}

static void make_user(struct house *h, const char *name)
{
	char body[80];

	snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
	json_decref(house_call(h, HOUSE_UNIX, "POST", "/api/v1/user", body, 200));
}

static void changes_are_heard(void **state)
{
	(void)state;
	struct house h;
	struct listener a, b;

	house_open(&h, NULL);
	listen_to(&a, &h, NULL);
	assert_true(hears(&a, "text/event-stream"));
	assert_true(hears(&a, "still here"));
	make_user(&h, "ann");
	assert_true(hears(&a, "event: user.create\n"));
	assert_true(hears(&a, "\"target\":\"ann\""));
	long id = strtol(strstr(text(&a), "id: ") + 4, NULL, 10);
	assert_true(id > 0);

	/* From the ring. */
	make_user(&h, "bob");
	make_user(&h, "carl");
	char last[32];
	snprintf(last, sizeof last, "%ld", id);
	listen_to(&b, &h, last);
	assert_true(hears(&b, "\"target\":\"carl\""));
	assert_non_null(strstr(text(&b), "\"target\":\"bob\""));
	assert_null(strstr(text(&b), "\"target\":\"ann\""));
	assert_null(strstr(text(&b), "event: reset"));
	make_user(&h, "dora");
	assert_true(hears(&b, "\"target\":\"dora\""));
	stop_listening(&b);

	/* From the log, in another life of the server. */
	house_restart(&h);
	assert_false(hears(&a, "never"));
	assert_true(a.ended);
	stop_listening(&a);
	listen_to(&b, &h, last);
	assert_true(hears(&b, "event: reset"));
	assert_non_null(strstr(text(&b), "\"target\":\"bob\""));
	assert_non_null(strstr(text(&b), "\"target\":\"dora\""));
	assert_null(strstr(text(&b), "\"target\":\"ann\""));
	make_user(&h, "emil");
	assert_true(hears(&b, "\"target\":\"emil\""));
	char *second = strstr(text(&b), "\"target\":\"dora\"") + 1;
	assert_null(strstr(second, "\"target\":\"dora\"")); /* once */
	stop_listening(&b);
	h.headers = "Last-Event-ID: yesterday\r\n";
	assert_int_equal(house_ask(&h, HOUSE_UNIX, "GET", "/api/fairlead/v1/events", ""), 400);
	h.headers = NULL;
	house_close(&h);
}

#define CONSOLE "/api/fairlead/v1/events?view=console"

static size_t count(const char *in, const char *what)
{
	size_t n = 0;

	for (; (in = strstr(in, what)); in++)
		n++;
	return n;
}

static void the_console_hears_which_objects_changed(void **state)
{
	(void)state;
	struct house h;
	struct listener a, b;
	char id[24], path[96];

	house_open(&h, NULL);
	listen_at(&a, &h, HOUSE_UNIX, CONSOLE, NULL);
	assert_true(hears(&a, "still here"));
	json_t *j = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200);
	snprintf(id, sizeof id, "\"id\":\"%s\"", json_text_at(j, "user.id"));
	snprintf(path, sizeof path, "/api/fairlead/v1/user/%s/", json_text_at(j, "user.id"));
	json_decref(j);
	assert_true(hears(&a, id));
	assert_non_null(strstr(text(&a), "event: change\n"));
	assert_non_null(strstr(text(&a), "\"kind\":\"user\""));
	assert_non_null(strstr(text(&a), "\"action\":\"create\""));
	assert_null(strstr(text(&a), "ann")); /* the page asks for it, and gets what its role may see */
	char *frame = strstr(text(&a), "id: ") + 4, last[64];
	snprintf(last, sizeof last, "%.*s", (int)strcspn(frame, "\n"), frame);

	/* Many changes of one object: one entry, in few frames. */
	char suspend[128], restore[128];
	snprintf(suspend, sizeof suspend, "%ssuspend", path);
	snprintf(restore, sizeof restore, "%srestore", path);
	for (int i = 0; i < 50; i++) {
		json_decref(house_call(&h, HOUSE_UNIX, "POST", suspend, "", 200));
		json_decref(house_call(&h, HOUSE_UNIX, "POST", restore, "", 200));
	}
	make_user(&h, "bob");
	json_decref(house_call(&h, HOUSE_UNIX, "PUT", "/api/fairlead/v1/settings/taildrop.enabled", "{\"value\":false}", 200));
	assert_true(hears(&a, "\"id\":\"taildrop.enabled\""));
	assert_in_range(count(text(&a), id), 2, 40); /* of 100 changes */

	/* Who comes back gets what it missed, merged; of another life of the server nothing is known. */
	listen_at(&b, &h, HOUSE_UNIX, CONSOLE, last);
	assert_true(hears(&b, "\"id\":\"taildrop.enabled\""));
	assert_int_equal(count(text(&b), id), 1);
	assert_int_equal(count(text(&b), "event: change"), 1);
	assert_null(strstr(text(&b), "resync"));
	stop_listening(&b);
	stop_listening(&a);
	house_restart(&h);
	listen_at(&b, &h, HOUSE_UNIX, CONSOLE, last);
	assert_true(hears(&b, "event: resync"));
	stop_listening(&b);
	/* The number that /me gives is one to go on from, also when nothing happened since. */
	j = house_call(&h, HOUSE_UNIX, "GET", "/api/fairlead/v1/me", "", 200);
	listen_at(&b, &h, HOUSE_UNIX, CONSOLE, json_text_at(j, "lastEvent"));
	json_decref(j);
	make_user(&h, "carl");
	assert_true(hears(&b, "\"action\":\"create\""));
	assert_null(strstr(text(&b), "resync"));
	stop_listening(&b);
	house_close(&h);
}

static void the_console_hears_what_it_may_see(void **state)
{
	(void)state;
	struct house h;
	struct listener a;

	house_open(&h, NULL);
	char *key = house_key(&h, "dns:read", "");
	assert_int_equal(house_ask(&h, key, "GET", "/api/fairlead/v1/events", ""), 403); /* whole records are for auditors */
	listen_at(&a, &h, key, CONSOLE, NULL);
	assert_true(hears(&a, "still here"));
	make_user(&h, "ann");
	json_decref(house_call(&h, HOUSE_UNIX, "PUT", "/api/fairlead/v1/settings/dns.magic_dns", "{\"value\":false}", 200));
	assert_true(hears(&a, "\"id\":\"dns.magic_dns\""));
	assert_null(strstr(text(&a), "\"kind\":\"user\""));
	stop_listening(&a);
	free(key);
	house_close(&h);
}

static void put(struct house *h, int64_t id)
{
	static char word[] = "x", long_text[60000];
	struct audit_row r = { .id = id, .group_id = id, .tailnet_id = 1, .at_ms = 1, .via = word, .actor = word, .address = word, .action = word,
		.kind = word, .target_id = word, .target = word, .before = word, .after = long_text };

	if (!long_text[0]) {
		memset(long_text, 'a', sizeof long_text - 1);
		long_text[0] = long_text[sizeof long_text - 2] = '"';
	}
	r.before = long_text + sizeof long_text - 1;
	api_changed(h->api, &r);
}

static void who_is_slow_is_ended(void **state)
{
	(void)state;
	struct house h;
	struct listener slow;

	house_open(&h, NULL);
	listen_to(&slow, &h, NULL);
	assert_true(hears(&slow, "still here"));
	for (int64_t id = 1000; id < 1000 + EVENTS_KEPT + 500; id++) { /* it reads nothing meanwhile */
		put(&h, id);
		if (id % 64 == 0)
			usleep(1000);
	}
	char done[32];
	snprintf(done, sizeof done, "id: %d\n", 1000 + EVENTS_KEPT + 499);
	slow.in.max = 600 << 20;
	assert_false(hears(&slow, done));
	assert_true(slow.ended);
	stop_listening(&slow);
	house_close(&h);
}

static void ends(struct listener *l)
{
	assert_false(hears(l, "never"));
	assert_true(l->ended);
	stop_listening(l);
}

static void a_stream_ends_with_its_key(void **state)
{
	(void)state;
	struct house h;
	struct listener a, b;
	char path[96], body[200], until[40];
	struct tm tm;

	house_open(&h, NULL);
	json_t *ann = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200);
	snprintf(path, sizeof path, "/api/fairlead/v1/user/%s/role", json_text_at(ann, "user.id"));
	json_decref(ann);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"role\":\"admin\"}", 200));
	char *hers = house_key(&h, "", "ann"), *other = house_key(&h, "", ""), *third = house_key(&h, "", "");
	listen_with(&a, &h, hers, NULL);
	listen_with(&b, &h, other, NULL);
	assert_true(hears(&a, "still here"));
	assert_true(hears(&b, "still here"));

	/* Another's key, another user: nothing to them. */
	snprintf(body, sizeof body, "{\"prefix\":\"%.12s\"}", third + strlen("hskey-api-"));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", "/api/v1/apikey/expire", body, 200));
	make_user(&h, "bob");
	assert_true(hears(&a, "\"target\":\"bob\""));
	assert_true(hears(&b, "\"target\":\"bob\""));

	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"role\":\"member\"}", 200)); /* she may not listen any more */
	ends(&a);
	snprintf(body, sizeof body, "{\"prefix\":\"%.12s\"}", other + strlen("hskey-api-"));
	json_decref(house_call(&h, HOUSE_UNIX, "POST", "/api/v1/apikey/expire", body, 200));
	ends(&b);

	/* Nothing happens, and its time is over. */
	time_t then = time(NULL) + 3;
	strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&then, &tm));
	snprintf(body, sizeof body, "{\"expiration\":\"%s\"}", until);
	json_t *j = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/apikey", body, 200);
	listen_with(&a, &h, json_text_at(j, "apiKey"), NULL);
	json_decref(j);
	assert_true(hears(&a, "still here"));
	ends(&a);
	free(hers);
	free(other);
	free(third);
	house_close(&h);
}

static void nobody_takes_all_streams(void **state)
{
	(void)state;
	struct house h;
	struct listener l[EVENTS_STREAMS_EACH], more, other;

	house_open(&h, NULL);
	json_t *ann = house_call(&h, HOUSE_UNIX, "POST", "/api/v1/user", "{\"name\":\"ann\"}", 200);
	char path[64];
	snprintf(path, sizeof path, "/api/v2/users/%s/role", json_text_at(ann, "user.id"));
	json_decref(ann);
	json_decref(house_call(&h, HOUSE_UNIX, "POST", path, "{\"role\":\"admin\"}", 200));
	char *one = house_key(&h, "", "ann"), *two = house_key(&h, "", "ann"), *nobodys = house_key(&h, "", "");
	for (size_t i = 0; i < EVENTS_STREAMS_EACH; i++) {
		listen_with(&l[i], &h, i % 2 ? one : two, NULL);
		if (!hears(&l[i], "still here"))
			fail_msg("stream %zu: %s", i, text(&l[i]));
	}
	listen_with(&more, &h, one, NULL);
	assert_true(hears(&more, "HTTP/1.1 429 "));
	stop_listening(&more);
	listen_with(&other, &h, nobodys, NULL);
	assert_true(hears(&other, "still here"));
	listen_to(&more, &h, NULL);
	assert_true(hears(&more, "still here"));
	stop_listening(&other), stop_listening(&more);
	for (size_t i = 0; i < EVENTS_STREAMS_EACH; i++)
		stop_listening(&l[i]);
	free(one), free(two), free(nobodys);
	house_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(changes_are_heard), cmocka_unit_test(who_is_slow_is_ended),
		cmocka_unit_test(a_stream_ends_with_its_key), cmocka_unit_test(the_console_hears_which_objects_changed),
		cmocka_unit_test(the_console_hears_what_it_may_see), cmocka_unit_test(nobody_takes_all_streams) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
