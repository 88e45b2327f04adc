#include "common/crypto/keys.h"

#include "tests/lib/vectors.h"

static void test_text_vectors(void **state)
{
	json_t *root = vectors_load("wire_misc.json"), *v = json_object_get(root, "key_text");
	struct node_pub n;
	struct machine_pub m;
	struct nl_pub wire, cli;
	char text[KEY_TEXT_MAX];

	(void)state;
	assert_ok(node_pub_parse(bytes_str(vec_str(v, "zero_node_key")), &n));
	assert_true(node_pub_is_zero(&n));
	assert_string_equal(node_pub_text(&n, text), vec_str(v, "zero_node_key"));
	assert_ok(machine_pub_parse(bytes_str(vec_str(v, "zero_machine_key")), &m));
	assert_string_equal(machine_pub_text(&m, text), vec_str(v, "zero_machine_key"));
	assert_ok(node_pub_parse(bytes_str(vec_str(v, "node_key_text")), &n));
	struct bytes in_tka = vec_hex(v, "node_key_binary_in_tka"); /* "np" and the key */
	assert_memory_equal(n.b, bytes_skip(in_tka, 2).p, 32);
	test_exact_free(in_tka);
	assert_ok(nl_pub_parse(bytes_str(vec_str(v, "tka_signer_text_wire")), &wire));
	assert_ok(nl_pub_parse(bytes_str(vec_str(v, "tka_signer_text_cli")), &cli));
	assert_true(nl_pub_eq(&wire, &cli));
	assert_string_equal(nl_pub_text(&cli, text), vec_str(v, "tka_signer_text_wire"));
	json_decref(root);
}

static void test_text_of_each_kind(void **state)
{
	struct machine_pub m = { .b = { 0xab } };
	struct disco_pub d = { .b = { [31] = 0x01 } };
	struct challenge_pub c = { 0 };
	char text[KEY_TEXT_MAX], shorter[KEY_SHORT_MAX];

	(void)state;
	assert_string_equal(
		machine_pub_text(&m, text), "mkey:ab00000000000000000000000000000000000000000000000000000000000000");
	assert_string_equal(machine_pub_short(&m, shorter), "[qwAAA]");
	assert_string_equal(
		disco_pub_text(&d, text), "discokey:0000000000000000000000000000000000000000000000000000000000000001");
	assert_string_equal(challenge_pub_text(&c, text),
		"chalpub:0000000000000000000000000000000000000000000000000000000000000000");
	assert_string_equal(challenge_pub_short(&c, shorter), "[AAAAA]");
}

static void test_refused(void **state)
{
#define HEX62 "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEE"
	static const char *const bad[] = {
		"",
		"nodekey:",
		HEX62 "ff",
		"mkey:" HEX62 "ff",
		"nodekey:" HEX62 "f",
		"nodekey:" HEX62 "fff",
		"nodekey:" HEX62 "fg",
		"nodekey:" HEX62 " f",
		"Nodekey:" HEX62 "ff",
		"nodekey:" HEX62 "ff ",
		" nodekey:" HEX62 "ff",
		"nodekey" HEX62 "ff",
		"nodekey:" HEX62 "ff00",
	};
	struct node_pub k = { .b = { 0x5a } };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct bytes b = test_exact(bytes_str(bad[i]));

		assert_int_equal(node_pub_parse(b, &k), ERR_MALFORMED);
		assert_int_equal(k.b[0], 0x5a);
		test_exact_free(b);
	}
	assert_ok(node_pub_parse(BYTES_LIT("nodekey:" HEX62 "fF"), &k));
	assert_int_equal(k.b[31], 0xff);
}

static void parse_any(struct bytes in, void *ctx)
{
	struct node_pub k;
	struct nl_pub n;

	(void)ctx;
	(void)!node_pub_parse(in, &k);
	(void)!nl_pub_parse(in, &n);
}

static void test_torture_text(void **state)
{
	(void)state;
	test_torture(BYTES_LIT("nodekey:" HEX62 "ff"), parse_any, NULL);
	test_torture(BYTES_LIT("nlpub:" HEX62 "ff"), parse_any, NULL);
}

static void test_new_keys(void **state)
{
	struct node_key a, b;
	struct machine_key m;
	struct disco_key d;

	(void)state;
	node_key_new(&a);
	node_key_new(&b);
	assert_false(node_pub_eq(&a.pub, &b.pub));
	assert_false(node_pub_is_zero(&a.pub));
	struct node_pub pub = a.pub;
	memset(&a.pub, 0, sizeof a.pub);
	node_key_derive(&a);
	assert_true(node_pub_eq(&a.pub, &pub));
	machine_key_new(&m);
	disco_key_new(&d);
	assert_false(machine_pub_is_zero(&m.pub) || disco_pub_is_zero(&d.pub));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_vectors),
		cmocka_unit_test(test_text_of_each_kind),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture_text),
		cmocka_unit_test(test_new_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
