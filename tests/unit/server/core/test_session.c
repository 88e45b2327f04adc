#include <stdio.h>

#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

/* Found by tests/sim/sim_tailnet; each by the seed that its commit names. */

static struct node *node_of(struct device *d)
{
	return node_by_key(d->h->core, &d->key);
}

/* Trap T43: while a round has to tell who sees whom, a new stream waits for it, so that both sides hear at once. */
static void a_new_stream_waits_for_its_peers(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	device_join(&a, key);
	assert_non_null(device_register(&b, key));
	h.hold_rounds = true;
	device_lite(&b);
	device_stream(&b);
	assert_null(device_next(&b));
	assert_null(device_next(&a));
	h.hold_rounds = false;
	harness_settle(&h);
	json_t *full = device_next(&b);
	assert_int_equal(json_array_size(json_object_get(full, "Peers")), 1);
	assert_int_equal(json_array_size(json_object_get(device_next(&a), "PeersChanged")), 1);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

static void who_is_ephemeral_no_more_stays(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	char once[128];
	snprintf(once, sizeof once, "%s", harness_authkey(&h, "ann", AK_EPHEMERAL));
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	assert_non_null(device_register(&a, once));
	int64_t id = device_node_id(&a);
	device_new_key(&a);
	assert_non_null(device_register(&a, key));
	assert_int_equal(device_node_id(&a), id);
	assert_false(node_of(&a)->row.ephemeral);
	harness_step(&h, 3600000);
	assert_non_null(node_of(&a));

	/* And the other way round, while it is offline. */
	device_new_key(&a);
	once[0] = 0;
	snprintf(once, sizeof once, "%s", harness_authkey(&h, "ann", AK_EPHEMERAL));
	assert_non_null(device_register(&a, once));
	assert_true(node_of(&a)->row.ephemeral);
	harness_step(&h, 3600000);
	assert_null(node_of(&a));
	device_done(&a);
	harness_stop(&h);
}

static void a_clock_that_is_set_back_gives_keys_back(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_join(&a, harness_authkey(&h, "ann", 0));
	int64_t day = 86400000;
	h.now.wall_ms += 365 * day;
	harness_step(&h, TIMER_STEP_MS);
	assert_true(node_of(&a)->m.expired);
	h.now.wall_ms -= 365 * day;
	harness_step(&h, TIMER_STEP_MS);
	assert_false(node_of(&a)->m.expired);
	device_done(&a);
	harness_stop(&h);
}

/* Names are part of what an undo takes back, Hostinfo is not: the same report again brings the name. */
static void a_hostname_that_was_undone_comes_again(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_join(&a, harness_authkey(&h, "ann", 0));
	snprintf(a.hostname, sizeof a.hostname, "another");
	h.hold = true;
	device_lite(&a);
	harness_fail(&h);
	h.hold = false;
	assert_string_equal(node_of(&a)->row.given_name, "a");
	device_lite(&a);
	assert_string_equal(node_of(&a)->row.given_name, "another");
	device_done(&a);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_stream_waits_for_its_peers),
		cmocka_unit_test(who_is_ephemeral_no_more_stays),
		cmocka_unit_test(a_clock_that_is_set_back_gives_keys_back),
		cmocka_unit_test(a_hostname_that_was_undone_comes_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
