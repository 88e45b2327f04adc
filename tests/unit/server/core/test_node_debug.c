/* nodes debug: what is said of a node's stream is so. */
#include "common/base/cleanup.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static json_t *debug(struct harness *h, int64_t id)
{
	struct reply *r = harness_node_command(h, CMD_NODE_DEBUG, id);

	assert_ok(r->e);
	json_t *v = json_loads(r->text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(v);
	return v;
}

static json_int_t number(json_t *v, const char *object, const char *key)
{
	return json_integer_value(json_object_get(json_object_get(v, object), key));
}

static void what_it_says(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	int64_t id = device_join(&a, key), other = device_join(&b, key);
	harness_step(&h, 5000);
	a.stream->sink.behind = 77;
	json_t *v = debug(&h, id);
	assert_true(json_is_true(json_object_get(v, "toldThisMap")));
	assert_int_equal(json_integer_value(json_array_get(json_object_get(json_object_get(v, "told"), "peers"), 0)), other);
	assert_int_equal(number(v, "stream", "bytesBehind"), 77);
	assert_true(number(v, "stream", "ageMs") >= 5000);
	assert_int_equal(number(v, "stream", "messages"), a.stream->n);
	assert_true(json_is_null(json_object_get(v, "lastRefusal")));
	assert_non_null(json_object_get(v, "lastUpdate"));
	assert_int_equal(json_array_size(json_object_get(json_object_get(v, "map"), "Peers")), 1);
	json_decref(v);

	h.hold_rounds = true; /* a change that was not sent yet */
	struct command *m = command_new(CMD_NODE_RENAME);
	m->id = other;
	m->new_name = "b2";
	assert_ok(harness_command(&h, m)->e);
	v = debug(&h, other);
	assert_true(json_is_true(json_object_get(json_object_get(v, "node"), "changesNotSent")));
	json_decref(v);
	h.hold_rounds = false;
	harness_settle(&h);

	device_new_key(&a); /* a refusal is remembered */
	device_register(&a, "hskey-auth-000000000000-0000");
	v = debug(&h, id);
	assert_non_null(strstr(json_string_value(json_object_get(json_object_get(v, "lastRefusal"), "text")), "auth key not found"));
	json_decref(v);
	device_hang_up(&b);
	v = debug(&h, other);
	assert_true(json_is_null(json_object_get(v, "stream")));
	assert_true(json_is_false(json_object_get(v, "toldThisMap")));
	json_decref(v);
	assert_int_equal(harness_node_command(&h, CMD_NODE_DEBUG, 4711)->e, ERR_NOT_FOUND);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_it_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
