/* The trie against a table that is searched from end to end. */
#include "client/wg/allowedips.h"

#include <stdlib.h>

#include "tests/lib/test.h"

enum { TABLE = 400, PEERS = 7 };

struct naive {
	struct {
		struct prefix p;
		struct wg_peer *peer;
	} row[TABLE];
	size_t n;
};

static void naive_put(struct naive *t, struct prefix p, struct wg_peer *peer)
{
	size_t i = 0;

	while (i < t->n && prefix_cmp(t->row[i].p, p) != 0)
		i++;
	if (i == t->n)
		t->n++;
	t->row[i].p = p;
	t->row[i].peer = peer;
}

static void naive_del(struct naive *t, struct prefix p, const struct wg_peer *peer)
{
	for (size_t i = 0; i < t->n; i++)
		if (prefix_cmp(t->row[i].p, p) == 0 && t->row[i].peer == peer) {
			t->row[i] = t->row[--t->n];
			return;
		}
}

static struct wg_peer *naive_get(const struct naive *t, struct addr a)
{
	struct wg_peer *best = NULL;
	int bits = -1;

	for (size_t i = 0; i < t->n; i++)
		if (prefix_contains(t->row[i].p, a) && t->row[i].p.bits > bits) {
			bits = t->row[i].p.bits;
			best = t->row[i].peer;
		}
	return best;
}

/* Few distinct bits, so that prefixes nest and meet. */
static struct addr random_addr(struct test_rng *r, bool six)
{
	struct addr a = { .family = six ? 6 : 4 };

	for (size_t i = 0; i < (six ? 16 : 4); i++)
		a.b[i] = (uint8_t)(rng_below(r, 3) ? 0 : rng_below(r, 4) << 6 | rng_below(r, 2));
	return a;
}

static struct prefix random_prefix(struct test_rng *r)
{
	bool six = rng_below(r, 2);

	return prefix_mask((struct prefix){ random_addr(r, six), (uint8_t)rng_below(r, six ? 129 : 33) });
}

static void run(uint64_t seed)
{
	static struct naive naive;
	static char who[PEERS];
	struct allowed t = { 0 };
	struct test_rng r = { seed };

	naive.n = 0;
	for (int i = 0; i < 1500; i++) {
		struct prefix p = random_prefix(&r);
		struct wg_peer *peer = (void *)&who[rng_below(&r, PEERS)];

		if (rng_below(&r, 5) < 2 || naive.n == TABLE) {
			if (naive.n && rng_below(&r, 2)) {
				size_t at = rng_below(&r, naive.n);
				p = naive.row[at].p;
				peer = rng_below(&r, 4) ? naive.row[at].peer : peer;
			}
			naive_del(&naive, p, peer);
			allowed_del(&t, p, peer);
		} else {
			naive_put(&naive, p, peer);
			assert_ok(allowed_put(&t, p, peer));
		}
		assert_int_equal(t.n, naive.n);
		for (int j = 0; j < 10; j++) {
			struct addr a = random_addr(&r, j & 1);
			assert_ptr_equal(allowed_get(&t, a), naive_get(&naive, a));
		}
	}
	while (naive.n) {
		allowed_del(&t, naive.row[0].p, naive.row[0].peer);
		naive_del(&naive, naive.row[0].p, naive.row[0].peer);
	}
	/* What is taken out leaves nothing behind. */
	assert_null(t.root[0]);
	assert_null(t.root[1]);
	allowed_done(&t);
}

static void test_against_naive(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++)
		run(seed);
}

static struct prefix pfx(const char *s)
{
	struct prefix p;

	assert_ok(prefix_parse(bytes_str(s), &p));
	return p;
}

static struct addr ip(const char *s)
{
	struct addr a;

	assert_ok(addr_parse(bytes_str(s), &a));
	return a;
}

static void test_longest(void **state)
{
	struct allowed t = { 0 };
	static char who[4];
	struct wg_peer *a = (void *)&who[0], *b = (void *)&who[1], *exit = (void *)&who[2];

	(void)state;
	assert_null(allowed_get(&t, ip("100.64.0.1")));
	assert_ok(allowed_put(&t, pfx("100.64.0.1/32"), a));
	assert_ok(allowed_put(&t, pfx("fd7a:115c:a1e0::1/128"), a));
	assert_ok(allowed_put(&t, pfx("100.64.0.0/24"), b));
	assert_ok(allowed_put(&t, pfx("0.0.0.0/0"), exit));
	assert_ok(allowed_put(&t, pfx("::/0"), exit));
	assert_ptr_equal(allowed_get(&t, ip("100.64.0.1")), a);
	assert_ptr_equal(allowed_get(&t, ip("100.64.0.2")), b);
	assert_ptr_equal(allowed_get(&t, ip("100.64.1.1")), exit);
	assert_ptr_equal(allowed_get(&t, ip("fd7a:115c:a1e0::1")), a);
	assert_ptr_equal(allowed_get(&t, ip("fd7a:115c:a1e0::2")), exit);
	assert_ok(allowed_put(&t, pfx("100.64.0.1/32"), b)); /* moves */
	assert_ptr_equal(allowed_get(&t, ip("100.64.0.1")), b);
	allowed_del(&t, pfx("100.64.0.1/32"), a); /* not its any more */
	assert_ptr_equal(allowed_get(&t, ip("100.64.0.1")), b);
	assert_int_equal(allowed_put(&t, (struct prefix){ ip("1.2.3.4"), 33 }, a), ERR_INVALID);
	assert_int_equal(allowed_put(&t, (struct prefix){ 0 }, a), ERR_INVALID);
	allowed_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_naive),
		cmocka_unit_test(test_longest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
