/* Questions to a device's client: over its stream, answered on any connection of its machine, or not at all. */
#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/text/base64.h"
#include "server/core/c2n.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static struct reply *ask(struct harness *h, int64_t id, const char *path)
{
	struct command *m = command_new(CMD_NODE_C2N);

	m->id = id;
	m->text = path;
	m->at_ms = 2000;
	return harness_command(h, m);
}

/* The path that the device posts its answer to. */
static void take_question(struct device *d, const char *wants, char path[96])
{
	json_t *ping = json_object_get(device_next(d), "PingRequest");
	char http[1024];
	size_t n;

	assert_non_null(ping);
	assert_string_equal(json_string_value(json_object_get(ping, "Types")), "c2n");
	const char *url = json_string_value(json_object_get(ping, "URL"));
	assert_int_equal(strncmp(url, "https://unused/machine/c2n/", 27), 0);
	snprintf(path, 96, "%s", url + strlen("https://unused"));
	assert_ok(base64_decode(bytes_str(json_string_value(json_object_get(ping, "Payload"))), http, sizeof http - 1, &n));
	http[n] = 0;
	assert_int_equal(strncmp(http, wants, strlen(wants)), 0);
	assert_non_null(strstr(http, "C2n-Handler-Timeout: 2000ms\r\n"));
	assert_string_equal(http + n - 4, "\r\n\r\n");
}

static void asked_and_answered(void **state)
{
	struct harness h;
	struct device a, b;
	char path[96];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	int64_t id = device_join(&a, key);
	device_join(&b, key);
	device_skip(&a);
	assert_null(ask(&h, id, "/echo"));
	take_question(&a, "GET /echo HTTP/1.1\r\n", path);
	h.now.mono_ms += 7;
	assert_int_equal(device_request(&b, path, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"), 404); /* of another machine */
	assert_null(h.reply);
	assert_int_equal(device_request(&a, path, "HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello"), 204);
	assert_ok(h.reply->e);
	assert_int_equal(h.reply->status, 202);
	assert_string_equal(h.reply->text, "hello");
	assert_int_equal(h.reply->took_ms, 7);
	assert_int_equal(device_request(&a, path, "HTTP/1.1 200 OK\r\n\r\n"), 404); /* once */

	assert_null(ask(&h, id, "/debug/netmap"));
	take_question(&a, "GET /debug/netmap HTTP/1.1\r\n", path);
	assert_int_equal(device_request(&a, path, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"x\":1}"), 204);
	assert_string_equal(h.reply->text, "{\"x\":1}");
	assert_null(ask(&h, id, "/echo"));
	take_question(&a, "GET /echo HTTP/1.1\r\n", path);
	assert_int_equal(device_request(&a, path, "gibberish"), 204);
	assert_int_equal(h.reply->e, ERR_MALFORMED);
	assert_int_equal(h.core->c2n.n, 0);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

static void not_answered(void **state)
{
	struct harness h;
	struct device a;
	char path[96];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	int64_t id = device_join(&a, harness_authkey(&h, "ann", 0));
	device_skip(&a);
	assert_int_equal(ask(&h, id, "/localapi/v0/files")->e, ERR_INVALID); /* nothing that changes the device */
	assert_int_equal(ask(&h, 4711, "/echo")->e, ERR_NOT_FOUND);
	assert_null(ask(&h, id, "/echo"));
	harness_step(&h, 1999);
	assert_null(h.reply);
	harness_step(&h, 1);
	assert_int_equal(h.reply->e, ERR_TIMEOUT);
	take_question(&a, "GET /echo", path);
	assert_int_equal(device_request(&a, path, "HTTP/1.1 200 OK\r\n\r\n"), 404);

	device_hang_up(&a);
	struct reply *r = ask(&h, id, "/echo");
	assert_int_equal(r->e, ERR_STATE);
	assert_non_null(strstr(r->message, "not connected"));
	device_done(&a);
	harness_stop(&h);
}

static void it_is_bounded_and_ends_with_the_node(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	int64_t id = device_join(&a, harness_authkey(&h, "ann", 0));
	for (int i = 0; i < C2N_PER_NODE; i++)
		assert_null(ask(&h, id, "/echo"));
	assert_int_equal(ask(&h, id, "/echo")->e, ERR_TOO_BIG);
	harness_node_command(&h, CMD_NODE_DELETE, id);
	harness_step(&h, 2000); /* the time limit finds that the node is gone */
	assert_int_equal(h.core->c2n.n, 0);
	device_done(&a);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asked_and_answered),
		cmocka_unit_test(not_answered),
		cmocka_unit_test(it_is_bounded_and_ends_with_the_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
