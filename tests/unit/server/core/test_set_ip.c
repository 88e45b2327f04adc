/* Addresses that an administrator chooses. */
#include <stdio.h>

#include "common/base/cleanup.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static struct reply *set_ip(struct harness *h, int64_t id, const char *a, const char *b)
{
	struct command *m = command_new(CMD_NODE_SET_IP);
	struct addr *list = arena_array(&m->arena, 2, sizeof *list);

	m->id = id;
	m->addrs = list;
	assert_ok(addr_parse(bytes_str(a), &list[m->n_addrs++]));
	if (b)
		assert_ok(addr_parse(bytes_str(b), &list[m->n_addrs++]));
	return harness_command(h, m);
}

static void chosen_by_hand(void **state)
{
	static const char *const wrong[] = { "10.0.0.1", "100.100.100.100", "100.115.92.7", "100.64.0.0", "100.127.255.255", "fd7b::1",
		"fd7a:115c:a1e0::53" };
	struct harness h;
	struct device a, b;
	char text[ADDR_TEXT_MAX];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	int64_t id = device_join(&a, key), other = device_join(&b, key);
	device_skip(&a);
	device_skip(&b);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(set_ip(&h, id, wrong[i], NULL)->e, ERR_INVALID);
	struct reply *r = set_ip(&h, id, "100.64.7.7", NULL);
	assert_ok(r->e);
	assert_string_equal(addr_text(r->nodes[0]->row.v4, text), "100.64.7.7");
	assert_string_equal(addr_text(r->nodes[0]->row.v6, text), "fd7a:115c:a1e0:ab12:4843:cd96:6240:707"); /* follows */
	json_t *m = device_next(&a);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json_object_get(m, "Node"), "Addresses"), 0)), "100.64.7.7/32");
	m = device_next(&b);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json_array_get(json_object_get(m, "PeersChanged"), 0),
		"Addresses"), 0)), "100.64.7.7/32");
	r = set_ip(&h, other, "100.64.7.7", NULL);
	assert_int_equal(r->e, ERR_EXISTS);
	assert_non_null(strstr(r->message, "(a)"));
	assert_int_equal(set_ip(&h, other, "100.64.7.8", "100.64.7.9")->e, ERR_INVALID);
	r = set_ip(&h, other, "100.64.7.8", "fd7a:115c:a1e0::77");
	assert_ok(r->e);
	assert_string_equal(addr_text(r->nodes[0]->row.v6, text), "fd7a:115c:a1e0::77");
	harness_restart(&h);
	r = harness_node_command(&h, CMD_NODE_GET, id);
	assert_string_equal(addr_text(r->nodes[0]->row.v4, text), "100.64.7.7");
	device_new_key(&a); /* it keeps it when it logs in anew */
	device_register(&a, key);
	r = harness_node_command(&h, CMD_NODE_GET, id);
	assert_string_equal(addr_text(r->nodes[0]->row.v4, text), "100.64.7.7");
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(chosen_by_hand) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
