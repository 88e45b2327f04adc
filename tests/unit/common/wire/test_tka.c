#include "common/wire/tka.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/wire/tka_chain.h"
#include "tests/lib/tka_make.h"
#include "tests/lib/vectors.h"

static json_t *lock_vectors(json_t **root)
{
	*root = vectors_load("wire_misc.json");
	return json_object_get(*root, "tka");
}

static void the_official_genesis(void **state)
{
	json_t *root, *v = lock_vectors(&root);
	struct bytes raw = vec_hex(v, "genesis_aum_cbor");
	struct tka_aum a;
	struct tka_chain *c;
	struct tka_hash h, back;
	const char *why;
	char text[TKA_HASH_TEXT_MAX];
	uint8_t signer[32];

	(void)state;
	assert_ok(tka_aum_parse(raw, &a));
	assert_int_equal(a.kind, TKA_CHECKPOINT);
	assert_false(a.has_parent);
	assert_int_equal(a.n_sigs, 1);
	vec_assert(v, "genesis_hash", bytes_of(a.hash.b, 32));
	vec_assert(v, "genesis_sig_hash", bytes_of(a.sig_hash.b, 32));
	assert_string_equal(tka_hash_text(&a.hash, text), vec_str(v, "genesis_hash_text"));
	assert_ok(tka_hash_parse(bytes_str(text), &back));
	assert_true(tka_hash_eq(&back, &a.hash));
	assert_ok(tka_chain_new(&c));
	assert_ok(tka_chain_add(c, raw, &h, &why));
	vec_copy(v, "signer_public", signer, 32);
	assert_non_null(tka_state_key(tka_chain_state(c), signer));
	vec_assert(v, "disablement_value", bytes_of(tka_chain_state(c)->disablement[0], 32));
	assert_int_equal(tka_chain_add(c, raw, &h, &why), ERR_EXISTS);
	tka_chain_free(c);
	test_exact_free(raw);
	json_decref(root);
}

static void official_signatures(void **state)
{
	json_t *root, *v = lock_vectors(&root);
	struct bytes raw = vec_hex(v, "genesis_aum_cbor"), direct = vec_hex(v, "direct_signature_cbor"),
		     rotation = vec_hex(v, "rotation_signature_cbor");
	struct tka_chain *c;
	struct tka_hash h;
	struct node_pub node, rotated, subject;
	const char *why;
	uint8_t key_id[32], signer[32];

	(void)state;
	assert_ok(tka_chain_new(&c));
	assert_ok(tka_chain_add(c, raw, &h, &why));
	assert_ok(node_pub_parse(bytes_str(vec_str(json_object_get(root, "key_text"), "node_key_text")), &node));
	assert_ok(node_pub_parse(bytes_str(vec_str(v, "rotated_node_key_text")), &rotated));
	assert_ok(tka_nks_authorizes(direct, tka_chain_state(c), &node));
	assert_int_equal(tka_nks_authorizes(direct, tka_chain_state(c), &rotated), ERR_AUTH);
	assert_ok(tka_nks_authorizes(rotation, tka_chain_state(c), &rotated));
	assert_int_equal(tka_nks_authorizes(rotation, tka_chain_state(c), &node), ERR_AUTH);
	assert_ok(tka_nks_subject(rotation, &subject, key_id));
	assert_true(node_pub_eq(&subject, &rotated));
	vec_copy(v, "signer_public", signer, 32);
	assert_memory_equal(key_id, signer, 32);
	tka_chain_free(c);
	test_exact_free(raw), test_exact_free(direct), test_exact_free(rotation);
	json_decref(root);
}

/* Every cut is refused, and no flipped byte goes unnoticed. */
static void cut_and_flipped(void **state)
{
	struct tka_signer s = tka_signer(1), wrap = tka_signer(2);
	struct buf genesis = buf_make(4096), direct = buf_make(4096), rotation = buf_make(4096);
	const struct tka_signer *trusted[] = { &s };
	uint8_t dis[32] = { 7 };
	struct node_pub node = { { 1 } }, next = { { 2 } };
	struct tka_chain *c;
	struct tka_hash h;
	struct tka_aum a;
	const char *why;

	(void)state;
	make_genesis(&genesis, &s, trusted, 1, dis);
	make_direct(&direct, &s, &node, &wrap);
	make_rotation(&rotation, &wrap, &next, buf_view(&direct));
	assert_ok(tka_chain_new(&c));
	assert_ok(tka_chain_add(c, buf_view(&genesis), &h, &why));
	assert_ok(tka_nks_authorizes(buf_view(&rotation), tka_chain_state(c), &next));
	struct bytes objects[] = { buf_view(&genesis), buf_view(&rotation) };
	for (size_t o = 0; o < 2; o++)
		for (size_t i = 0; i < objects[o].n; i++) {
			struct bytes cut = test_exact(bytes_first(objects[o], i));
			assert_int_not_equal(o ? tka_nks_authorizes(cut, tka_chain_state(c), &next) : tka_aum_parse(cut, &a), OK);
			test_exact_free(cut);
			struct bytes flipped = test_exact(objects[o]);
			((uint8_t *)(uintptr_t)flipped.p)[i] ^= 1;
			if (o) {
				assert_int_not_equal(tka_nks_authorizes(flipped, tka_chain_state(c), &next), OK);
			} else {
				struct tka_chain *fresh;
				assert_ok(tka_chain_new(&fresh));
				assert_int_not_equal(tka_chain_add(fresh, flipped, &h, &why), OK);
				tka_chain_free(fresh);
			}
			test_exact_free(flipped);
		}
	tka_chain_free(c);
	buf_done(&genesis), buf_done(&direct), buf_done(&rotation);
}

static void what_is_not_canonical_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "a0", "a2 0103 02f6 00",			/* empty; no fields; a byte too many */
		"a2 02f6 0103",					/* order */
		"a2 0103 0103",					/* twice */
		"a2 011803 02f6",				/* 3 in two bytes */
		"b8020103 02f6", "bf0103 02f6ff",		/* the head longer than needed, indefinite */
		"a3 0103 02f6 08f6",				/* a field that is not known */
		"a2 0109 02f6",					/* a kind that is not known */
		"a2 0103 0240", "a1 0103",			/* an empty parent, none */
		"a3 0103 02f6 1780",				/* no signatures, but a list */
		"a3 0104 02f6 0440",				/* an empty key id */
		"a2 01fb0000000000000000 02f6",			/* a float */
		"bb ffffffffffffffff 01",			/* more entries than bytes */
	};
	struct tka_aum a;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct bytes b = test_unhex(bad[i]);
		assert_int_not_equal(tka_aum_parse(b, &a), OK);
		test_exact_free(b);
	}
	struct bytes ok = test_unhex("a2 0103 02f6");
	assert_ok(tka_aum_parse(ok, &a));
	test_exact_free(ok);
	struct tka_hash h;
	assert_int_equal(tka_hash_parse(BYTES_LIT("short"), &h), ERR_MALFORMED);
	assert_int_equal(tka_hash_parse(BYTES_LIT("D6FYMVU6IUSHL3QTADK7TWIDWCYT4FSSE7JZIB4T5CJRWPEIR4ZB"), &h), ERR_MALFORMED);
	assert_int_equal(tka_hash_parse(BYTES_LIT("d6FYMVU6IUSHL3QTADK7TWIDWCYT4FSSE7JZIB4T5CJRWPEIR4ZQ"), &h), ERR_MALFORMED);
}

static void signatures_follow_the_keys(void **state)
{
	struct tka_signer a = tka_signer(1), b = tka_signer(2), wrap = tka_signer(3);
	const struct tka_signer *trusted[] = { &a }, *by_a[] = { &a };
	struct buf g = buf_make(4096), add = buf_make(4096), rm = buf_make(4096), by_b = buf_make(4096), cred = buf_make(4096),
		   through = buf_make(4096), last = buf_make(4096);
	uint8_t dis[32] = { 7 };
	struct node_pub node = { { 1 } };
	struct tka_chain *c;
	struct tka_hash h;
	const char *why;

	(void)state;
	make_genesis(&g, &a, trusted, 1, dis);
	assert_ok(tka_chain_new(&c));
	assert_ok(tka_chain_add(c, buf_view(&g), &h, &why));
	make_direct(&by_b, &b, &node, NULL);
	assert_int_equal(tka_nks_authorizes(buf_view(&by_b), tka_chain_state(c), &node), ERR_AUTH);
	make_add_key(&add, &a, &h, &b, 1);
	assert_ok(tka_chain_add(c, buf_view(&add), &h, &why));
	assert_true(tka_hash_eq(&h, tka_chain_head(c)));
	assert_ok(tka_nks_authorizes(buf_view(&by_b), tka_chain_state(c), &node));
	make_credential(&cred, &b, &wrap); /* a pre-signed auth key */
	assert_int_equal(tka_nks_authorizes(buf_view(&cred), tka_chain_state(c), &node), ERR_AUTH);
	make_rotation(&through, &wrap, &node, buf_view(&cred));
	assert_ok(tka_nks_authorizes(buf_view(&through), tka_chain_state(c), &node));
	make_remove_key(&rm, by_a, 1, &h, &b);
	assert_ok(tka_chain_add(c, buf_view(&rm), &h, &why));
	assert_int_equal(tka_nks_authorizes(buf_view(&by_b), tka_chain_state(c), &node), ERR_AUTH);
	assert_int_equal(tka_nks_authorizes(buf_view(&through), tka_chain_state(c), &node), ERR_AUTH);
	make_remove_key(&last, by_a, 1, &h, &a);
	assert_int_equal(tka_chain_add(c, buf_view(&last), &h, &why), ERR_INVALID);
	assert_non_null(strstr(why, "last trusted key"));
	tka_chain_free(c);
	buf_done(&g), buf_done(&add), buf_done(&rm), buf_done(&by_b), buf_done(&cred), buf_done(&through), buf_done(&last);
}

static void forks_and_what_is_missing(void **state)
{
	struct tka_signer a = tka_signer(1), b = tka_signer(2), x = tka_signer(3), y = tka_signer(4);
	const struct tka_signer *trusted[] = { &a, &b }, *both[] = { &a, &b }, *stranger[] = { &x };
	struct buf g = buf_make(4096), left = buf_make(4096), right = buf_make(4096), more = buf_make(4096), bad = buf_make(4096);
	uint8_t dis[32] = { 7 };
	struct tka_chain *c;
	struct tka_hash genesis, h_left, h_right, h_more, unknown = { { 9 } }, ancestors[4], h;
	const char *why;
	size_t missing[8], n;

	(void)state;
	make_genesis(&g, &a, trusted, 2, dis);
	assert_ok(tka_chain_new(&c));
	assert_ok(tka_chain_add(c, buf_view(&g), &genesis, &why));
	make_remove_key(&bad, stranger, 1, &genesis, &a);
	assert_int_equal(tka_chain_add(c, buf_view(&bad), &h, &why), ERR_AUTH);
	make_add_key(&left, &a, &genesis, &x, 1);
	assert_ok(tka_chain_add(c, buf_view(&left), &h_left, &why));
	make_add_key(&more, &a, &h_left, &y, 1);
	assert_ok(tka_chain_add(c, buf_view(&more), &h_more, &why));
	assert_ok(tka_chain_missing(c, &genesis, NULL, 0, missing, &n));
	assert_int_equal(n, 2);
	assert_int_equal(missing[0], 1);
	assert_int_equal(missing[1], 2);
	assert_ok(tka_chain_missing(c, &h_more, NULL, 0, missing, &n));
	assert_int_equal(n, 0);
	assert_int_equal(tka_chain_missing(c, &unknown, NULL, 0, missing, &n), ERR_NOT_FOUND);
	assert_ok(tka_chain_missing(c, &unknown, &genesis, 1, missing, &n));
	assert_int_equal(n, 2);
	/* Two keys revoke what the other branch did: more votes, though it is shorter. */
	make_remove_key(&right, both, 2, &genesis, &b);
	assert_ok(tka_chain_add(c, buf_view(&right), &h_right, &why));
	assert_true(tka_hash_eq(tka_chain_head(c), &h_right));
	assert_null(tka_state_key(tka_chain_state(c), x.pub));
	assert_ok(tka_chain_missing(c, &h_more, &genesis, 1, missing, &n)); /* who is on the branch that lost */
	assert_int_equal(n, 1);
	assert_int_equal(missing[0], 3);
	assert_int_equal(tka_chain_ancestors(c, ancestors, 4), 1);
	assert_true(tka_hash_eq(&ancestors[0], &genesis));
	tka_chain_free(c);
	buf_done(&g), buf_done(&left), buf_done(&right), buf_done(&more), buf_done(&bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_official_genesis),
		cmocka_unit_test(official_signatures),
		cmocka_unit_test(cut_and_flipped),
		cmocka_unit_test(what_is_not_canonical_is_refused),
		cmocka_unit_test(signatures_follow_the_keys),
		cmocka_unit_test(forks_and_what_is_missing),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
