#include <stdio.h>

#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static const char *error_of(json_t *resp)
{
	const char *s = resp ? json_string_value(json_object_get(resp, "Error")) : NULL;

	return s ? s : "";
}

static bool flag(json_t *resp, const char *key)
{
	return json_is_true(json_object_get(resp, key));
}

static void key_joins_once(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", 0);
	device_init(&a, &h, "laptop");
	device_init(&b, &h, "laptop");
	json_t *r = device_register(&a, key);
	assert_non_null(r);
	assert_string_equal(error_of(r), "");
	assert_true(flag(r, "MachineAuthorized"));
	assert_string_equal(json_string_value(json_object_get(json_object_get(r, "Login"), "LoginName")), "ann");
	/* The same node asks again with the used key: nothing is consumed. */
	r = device_register(&a, key);
	assert_string_equal(error_of(r), "");
	assert_non_null(strstr(error_of(device_register(&b, key)), "already used"));
	assert_non_null(strstr(error_of(device_register(&b, "hskey-auth-000000000000-"
			"0000000000000000000000000000000000000000000000000000000000000000")), "auth key not found"));
	assert_non_null(strstr(error_of(device_register(&b, "nonsense")), "auth key not found"));
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_joins_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
