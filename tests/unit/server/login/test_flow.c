/* What travels in the browser's cookie comes back whole, to its own server, in time, and once. */
#include "server/login/flow.h"

#include "tests/lib/test.h"

static const struct secret32 key = { { 1, 2, 3 } }, other = { { 9 } };

static struct flow begun(void)
{
	struct flow f;

	flow_begin(&f, "oidc", "hskey-authreq-0123456789abcdef01234567", 1000);
	return f;
}

static void it_comes_back(void **state)
{
	(void)state;
	struct flow f = begun(), again;
	char sealed[FLOW_SEALED_MAX];

	f.need_iss = true;
	assert_ok(flow_seal(&key, &f, sealed));
	assert_null(strstr(sealed, f.state)); /* nobody reads it on the way */
	assert_ok(flow_open(&key, sealed, 2000, &again));
	assert_string_equal(again.state, f.state);
	assert_string_equal(again.nonce, f.nonce);
	assert_string_equal(again.verifier, f.verifier);
	assert_string_equal(again.provider, "oidc");
	assert_string_equal(again.auth_id, f.auth_id);
	assert_true(again.need_iss);
	f.auth_id[0] = 0;
	assert_ok(flow_seal(&key, &f, sealed));
	assert_ok(flow_open(&key, sealed, 2000, &again));
	assert_string_equal(again.auth_id, "");
}

static void a_changed_one_does_not(void **state)
{
	(void)state;
	struct flow f = begun(), again;
	char sealed[FLOW_SEALED_MAX], bad[FLOW_SEALED_MAX];

	assert_ok(flow_seal(&key, &f, sealed));
	assert_int_equal(flow_open(&other, sealed, 2000, &again), ERR_AUTH);
	for (size_t i = 0; i < strlen(sealed); i++) {
		snprintf(bad, sizeof bad, "%s", sealed);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_int_equal(flow_open(&key, bad, 2000, &again), ERR_AUTH);
		snprintf(bad, sizeof bad, "%s", sealed);
		bad[i] = 0;
		assert_int_equal(flow_open(&key, bad, 2000, &again), ERR_AUTH);
	}
	assert_int_equal(flow_open(&key, "", 2000, &again), ERR_AUTH);
}

static void it_ends(void **state)
{
	(void)state;
	struct flow f = begun(), again;
	char sealed[FLOW_SEALED_MAX];

	assert_ok(flow_seal(&key, &f, sealed));
	assert_ok(flow_open(&key, sealed, 1000 + FLOW_TTL_MS - 1, &again));
	assert_int_equal(flow_open(&key, sealed, 1000 + FLOW_TTL_MS, &again), ERR_AUTH);
	assert_int_equal(flow_open(&key, sealed, 0, &again), ERR_AUTH); /* the clock went back: it would live too long */
}

static void a_state_is_used_once(void **state)
{
	(void)state;
	static struct flow_used used = { .lock = PTHREAD_MUTEX_INITIALIZER };
	char text[32];

	assert_true(flow_use(&used, "one"));
	assert_false(flow_use(&used, "one"));
	assert_true(flow_use(&used, "two"));
	for (int i = 0; i < FLOW_USED_MAX - 2; i++) {
		snprintf(text, sizeof text, "%d", i);
		assert_true(flow_use(&used, text));
	}
	assert_false(flow_use(&used, "one"));
	assert_true(flow_use(&used, "one more"));
	assert_true(flow_use(&used, "one")); /* the oldest made room */
}

/* RFC 7636, appendix B. */
static void the_challenge_is_s256(void **state)
{
	(void)state;
	char out[FLOW_RANDOM_LEN + 1];

	flow_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", out);
	assert_string_equal(out, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_back),
		cmocka_unit_test(a_changed_one_does_not),
		cmocka_unit_test(it_ends),
		cmocka_unit_test(a_state_is_used_once),
		cmocka_unit_test(the_challenge_is_s256),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
