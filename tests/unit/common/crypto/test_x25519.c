#include "common/crypto/x25519.h"

#include "tests/lib/vectors.h"

/* The four Diffie-Hellman results of a published handshake, from the initiator's private keys. */
static void test_vectors(void **state)
{
	json_t *root = vectors_load("noise_ik.json"), *t = json_array_get(json_object_get(root, "transcripts"), 0),
	       *step;
	struct secret32 e, s, dh;
	uint8_t their_s[32], their_e[32];
	size_t at, seen = 0;

	(void)state;
	vec_copy(t, "initiator_ephemeral_private", e.b, 32);
	vec_copy(t, "initiator_static_private", s.b, 32);
	vec_copy(t, "responder_static_public", their_s, 32);
	vec_copy(t, "responder_ephemeral_public", their_e, 32);
	json_array_foreach(json_object_get(t, "steps"), at, step)
	{
		const char *name = vec_str(step, "step");

		if (!json_object_get(step, "dh"))
			continue;
		bool with_e = strncmp(name + 3, "es", 2) == 0 || strncmp(name + 3, "ee", 2) == 0;
		bool to_s = strncmp(name + 3, "es", 2) == 0 || strncmp(name + 3, "ss", 2) == 0;
		assert_ok(x25519(with_e ? &e : &s, to_s ? their_s : their_e, &dh));
		vec_assert(step, "dh", bytes_of(dh.b, 32));
		seen++;
	}
	assert_int_equal(seen, 4);
	json_decref(root);
}

static void test_both_ends_agree(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct secret32 a, b, ab, ba;
		uint8_t a_pub[32], b_pub[32];

		x25519_new(&a);
		x25519_new(&b);
		x25519_public(&a, a_pub);
		x25519_public(&b, b_pub);
		assert_ok(x25519(&a, b_pub, &ab));
		assert_ok(x25519(&b, a_pub, &ba));
		assert_memory_equal(ab.b, ba.b, 32);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_both_ends_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
