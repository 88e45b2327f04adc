#include "common/crypto/argon2i.h"

#include <sodium.h>

#include "tests/lib/vectors.h"

static void run(struct bytes password, struct bytes salt, struct argon2i_cost cost, size_t step, uint8_t out[32])
{
	struct argon2i *a;

	assert_ok(argon2i_new(password, salt, cost, &a));
	while (!argon2i_step(a, step))
		;
	argon2i_result(a, out);
	argon2i_free(a);
}

/* The value of tailnet lock, made by the official client's library. */
static void tailnet_lock_vector(void **state)
{
	json_t *root = vectors_load("wire_misc.json"), *tka = json_object_get(root, "tka");
	struct bytes secret = vec_hex(tka, "disablement_secret");
	uint8_t out[32];

	(void)state;
	run(secret, BYTES_LIT("tailscale network-lock disablement salt"), (struct argon2i_cost){ 4, 16 * 1024, 4 }, 777, out);
	vec_assert(tka, "disablement_value", bytes_of(out, 32));
	test_exact_free(secret);
	json_decref(root);
}

/* libsodium computes the same function with one lane. */
static void agrees_with_libsodium(void **state)
{
	static const struct { uint32_t passes, kib; const char *password; } cases[] = {
		{ 3, 8, "" }, { 3, 17, "x" }, { 4, 64, "a longer password" }, { 3, 1031, "odd size" }, { 5, 4096, "more" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *p = cases[i].password;
		uint8_t salt[16], mine[32], theirs[32];

		memset(salt, (int)i, sizeof salt);
		assert_int_equal(crypto_pwhash_argon2i(theirs, sizeof theirs, p, strlen(p), salt, cases[i].passes, (size_t)cases[i].kib * 1024,
					crypto_pwhash_argon2i_ALG_ARGON2I13), 0);
		run(bytes_str(p), bytes_of(salt, sizeof salt), (struct argon2i_cost){ cases[i].passes, cases[i].kib, 1 }, 1 + i * 100, mine);
		assert_memory_equal(mine, theirs, 32);
	}
}

static void costs_are_bounded(void **state)
{
	struct argon2i *a;
	struct bytes salt = BYTES_LIT("12345678");

	(void)state;
	assert_int_equal(argon2i_new(salt, salt, (struct argon2i_cost){ 0, 64, 1 }, &a), ERR_INVALID);
	assert_int_equal(argon2i_new(salt, salt, (struct argon2i_cost){ 1, 7, 1 }, &a), ERR_INVALID);
	assert_int_equal(argon2i_new(salt, salt, (struct argon2i_cost){ 1, 1u << 30, 1 }, &a), ERR_INVALID);
	assert_int_equal(argon2i_new(salt, salt, (struct argon2i_cost){ 1, 64, 17 }, &a), ERR_INVALID);
	assert_int_equal(argon2i_new(salt, BYTES_LIT("short"), (struct argon2i_cost){ 1, 64, 1 }, &a), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tailnet_lock_vector),
		cmocka_unit_test(agrees_with_libsodium),
		cmocka_unit_test(costs_are_bounded),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
