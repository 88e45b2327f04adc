/* Codes as RFC 6238 has them, none of them twice. */
#include "server/login/totp.h"

#include "tests/lib/test.h"

static const uint8_t secret[] = "12345678901234567890"; /* RFC 6238, appendix B */

static void codes_are_those_of_the_rfc(void **state)
{
	(void)state;
	static const struct {
		int64_t at_s;
		const char *code; /* the last six of eight digits */
	} vectors[] = { { 59, "287082" }, { 1111111109, "081804" }, { 1111111111, "050471" }, { 1234567890, "005924" },
		{ 2000000000, "279037" }, { 20000000000, "353130" } };
	char code[TOTP_DIGITS + 1];

	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		totp_code(secret, vectors[i].at_s / TOTP_STEP_S, code);
		assert_string_equal(code, vectors[i].code);
		assert_int_equal(totp_check(secret, vectors[i].code, vectors[i].at_s * 1000, 0), vectors[i].at_s / TOTP_STEP_S);
	}
}

static void a_code_is_for_its_time_and_once(void **state)
{
	(void)state;
	int64_t step = 1111111109 / TOTP_STEP_S, at_ms = 1111111109 * 1000LL;

	assert_int_equal(totp_check(secret, "081 804", at_ms, step - 1), step);
	assert_int_equal(totp_check(secret, "081804", at_ms, step), 0);
	assert_int_equal(totp_check(secret, "081804", at_ms + 30000, 0), step);
	assert_int_equal(totp_check(secret, "081804", at_ms - 30000, 0), step);
	assert_int_equal(totp_check(secret, "081804", at_ms + 61000, 0), 0);
	assert_int_equal(totp_check(secret, "081805", at_ms, 0), 0);
	assert_int_equal(totp_check(secret, "", at_ms, 0), 0);
	assert_int_equal(totp_check(secret, "81804", at_ms, 0), 0);
	assert_int_equal(totp_check(secret, "0818040", at_ms, 0), 0);
	assert_int_equal(totp_check(secret, "08180x", at_ms, 0), 0);
}

static void secrets_have_a_text(void **state)
{
	(void)state;
	char text[TOTP_TEXT_LEN + 1];
	uint8_t back[TOTP_SECRET_LEN];

	totp_text(secret, text);
	assert_string_equal(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
	assert_ok(totp_parse(text, back));
	assert_memory_equal(back, secret, sizeof back);
	assert_int_equal(totp_parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ", back), ERR_MALFORMED);
	assert_int_equal(totp_parse("gezdgnbvgy3tqojqgezdgnbvgy3tqojq", back), ERR_MALFORMED);
	assert_int_equal(totp_parse("", back), ERR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_are_those_of_the_rfc),
		cmocka_unit_test(a_code_is_for_its_time_and_once),
		cmocka_unit_test(secrets_have_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
