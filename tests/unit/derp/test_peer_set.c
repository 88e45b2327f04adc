#include "derp/peer_set.h"

#include "tests/lib/test.h"

static struct node_pub key_n(unsigned n)
{
	struct node_pub k = { { (uint8_t)n, (uint8_t)(n >> 8), 1 } };

	return k;
}

static void remembers_and_bounds(void **state)
{
	struct peer_set s = { 0 };
	struct node_pub k, favourite = key_n(60000);
	uint32_t at = 0;
	unsigned n = 0;

	(void)state;
	assert_false(peer_set_has(&s, &favourite));
	for (unsigned i = 0; i < 3; i++) {
		k = key_n(i);
		peer_set_add(&s, &k);
		peer_set_add(&s, &k);
	}
	while (peer_set_next(&s, &at))
		n++;
	assert_int_equal(n, 3);
	for (unsigned i = 0; i < 10000; i++) {
		k = key_n(i);
		peer_set_add(&s, &k);
		assert_true(peer_set_has(&s, &k));
		peer_set_add(&s, &favourite); /* what is used often stays */
	}
	assert_true(peer_set_has(&s, &favourite));
	assert_int_equal(s.cap, PEER_SET_MAX);
	s.clock = UINT32_MAX; /* the stamps wrap */
	k = key_n(50000);
	peer_set_add(&s, &k);
	assert_true(peer_set_has(&s, &k));
	assert_true(peer_set_has(&s, &favourite) || s.cap == PEER_SET_MAX);
	peer_set_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(remembers_and_bounds) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
