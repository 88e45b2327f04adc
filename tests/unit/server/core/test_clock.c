/* What cannot be taken back waits while the wall clock is in doubt. */
#include "common/base/cleanup.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

enum { MINUTE = 60000, HOUR = 60 * MINUTE };

static size_t nodes(struct harness *h)
{
	return harness_command(h, command_new(CMD_NODE_LIST))->n_nodes;
}

static void ephemeral_nodes_leave_by_the_other_clock(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_join(&a, harness_authkey(&h, "ann", AK_EPHEMERAL));
	device_hang_up(&a);
	int64_t wait = h.set.offline_grace_ms + h.set.ephemeral_timeout_ms;
	harness_step(&h, wait / 2);
	h.now.wall_ms += HOUR / 2; /* a small step of the clock changes nothing */
	harness_step(&h, wait - wait / 2 - 1);
	assert_int_equal(nodes(&h), 1);
	harness_step(&h, 1);
	assert_int_equal(nodes(&h), 0);
	device_done(&a);
	harness_stop(&h);
}

static void a_jump_holds_back(void **state)
{
	static const int64_t jumps[] = { 2 * HOUR, -2 * HOUR };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
		struct harness h;
		struct device a, b;

		harness_start(&h, NULL);
		harness_user(&h, "ann");
		device_init(&a, &h, "a");
		device_init(&b, &h, "b");
		device_join(&a, harness_authkey(&h, "ann", AK_EPHEMERAL));
		device_register(&b, NULL);
		assert_int_equal(h.core->pendings.n, 1);
		device_hang_up(&a);
		harness_step(&h, h.set.offline_grace_ms + h.set.ephemeral_timeout_ms - 1000);
		h.now.wall_ms += jumps[i];
		harness_step(&h, 9 * MINUTE);
		assert_int_equal(nodes(&h), 1);
		assert_int_equal(h.core->pendings.n, 1);
		harness_step(&h, 2 * MINUTE);
		assert_int_equal(nodes(&h), 0);
		device_done(&a);
		device_done(&b);
		harness_stop(&h);
	}
}

static void a_jump_past_the_end_of_a_login_can_be_taken_back(void **state)
{
	struct harness h;
	struct device b;

	(void)state;
	harness_start(&h, NULL);
	device_init(&b, &h, "b");
	device_register(&b, NULL);
	h.now.wall_ms += 30LL * 24 * HOUR;
	harness_step(&h, 9 * MINUTE);
	h.now.wall_ms -= 30LL * 24 * HOUR;
	harness_step(&h, 30 * MINUTE);
	assert_int_equal(h.core->pendings.n, 1);
	device_done(&b);
	harness_stop(&h);
}

static void a_start_before_what_is_stored_holds_back(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_join(&a, harness_authkey(&h, "ann", AK_EPHEMERAL));
	h.now.wall_ms -= 1000 * 1000; /* the battery is empty */
	harness_restart(&h);
	assert_true(clock_unsettled_ms(h.core) > 0);
	harness_step(&h, 9 * MINUTE);
	assert_int_equal(nodes(&h), 1);
	harness_step(&h, HOUR);
	assert_int_equal(nodes(&h), 0);
	device_done(&a);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ephemeral_nodes_leave_by_the_other_clock),
		cmocka_unit_test(a_jump_holds_back),
		cmocka_unit_test(a_jump_past_the_end_of_a_login_can_be_taken_back),
		cmocka_unit_test(a_start_before_what_is_stored_holds_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
