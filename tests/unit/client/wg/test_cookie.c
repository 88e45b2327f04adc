/* MACs and cookies: the vector, what a cookie is bound to, and how long it lives. */
#include "client/wg/cookie.h"

#include "common/base/random.h"
#include "tests/lib/vectors.h"

static struct wg_from from_text(const char *s)
{
	struct wg_from f = { 0 };

	assert_ok(addrport_parse(bytes_str(s), &f.addr));
	return f;
}

static void test_vectors(void **state)
{
	json_t *root = vectors_load("wireguard_handshake.json"), *keys = json_object_get(root, "keys");
	json_t *io = json_object_get(root, "initiation"), *co = json_object_get(root, "cookie");
	struct node_pub bob;
	struct wg_checker c;
	struct wg_signer s = { 0 };
	struct wg_cookie_reply reply;

	(void)state;
	vec_copy(json_object_get(keys, "responder_static"), "public", bob.b, 32);
	wg_checker_init(&c, &bob);
	vec_assert(json_object_get(root, "constants"), "mac1_key_for_responder", bytes_of(c.mac1_key, 32));
	vec_assert(json_object_get(root, "constants"), "cookie_key_of_responder", bytes_of(c.cookie_key.b, 32));

	struct bytes m = vec_hex(io, "message");
	uint8_t copy[WG_INITIATION_LEN];
	memcpy(copy, m.p, sizeof copy);
	memset(copy + 116, 0, 32);
	wg_sign(&s, &bob, copy, sizeof copy, 1000);
	assert_memory_equal(copy, m.p, sizeof copy);
	assert_true(wg_check_mac1(&c, m));
	test_exact_free(m);

	struct bytes r = vec_hex(co, "reply");
	assert_ok(wg_parse_cookie_reply(r, &reply));
	assert_ok(wg_cookie_accept(&s, &bob, &reply, 1000));
	vec_assert(co, "cookie", bytes_of(s.cookie, sizeof s.cookie));
	wg_sign(&s, &bob, copy, sizeof copy, 1000);
	vec_assert(co, "initiation_with_mac2", bytes_of(copy, sizeof copy));
	test_exact_free(r);
	json_decref(root);
}

static void message_init(uint8_t m[WG_INITIATION_LEN], uint8_t seed)
{
	struct wg_initiation i = { .sender = seed };

	memset(i.ephemeral, seed, sizeof i.ephemeral);
	wg_write_initiation(&i, m);
}

static void test_binding(void **state)
{
	struct node_key key;
	struct wg_checker c;
	struct wg_signer s = { 0 };
	struct wg_cookie_reply reply, forged;
	struct wg_from a = from_text("192.0.2.1:1000"), port = from_text("192.0.2.1:1001"),
		       six = from_text("[2001:db8::1]:1000"), relay = { 0 }, relay2 = { 0 };
	uint8_t m[WG_INITIATION_LEN];
	struct bytes in = bytes_of(m, sizeof m);

	(void)state;
	node_key_new(&key);
	wg_checker_init(&c, &key.pub);
	memset(relay.relayed.b, 1, 32);
	memset(relay2.relayed.b, 2, 32);
	struct wg_from all[] = { a, port, six, relay, relay2 };

	for (size_t i = 0; i < 5; i++) {
		int64_t now = 1000000 + (int64_t)i * 1000;

		s = (struct wg_signer){ 0 };
		message_init(m, (uint8_t)i);
		assert_false(wg_check_mac1(&c, in));
		wg_sign(&s, &key.pub, m, sizeof m, now);
		assert_true(wg_check_mac1(&c, in));
		assert_false(wg_check_mac2(&c, in, &all[i], now));

		assert_ok(wg_cookie_reply_make(&c, in, &all[i], now, &reply));
		forged = reply;
		forged.sealed_cookie[3] ^= 1;
		assert_int_equal(wg_cookie_accept(&s, &key.pub, &forged, now), ERR_AUTH);
		assert_int_equal(s.cookie_ms, 0);
		assert_ok(wg_cookie_accept(&s, &key.pub, &reply, now));

		message_init(m, (uint8_t)(i + 100));
		wg_sign(&s, &key.pub, m, sizeof m, now);
		for (size_t j = 0; j < 5; j++)
			assert_int_equal(wg_check_mac2(&c, in, &all[j], now), i == j);
		/* The reply was about the message before. */
		assert_int_equal(wg_cookie_accept(&s, &key.pub, &reply, now), ERR_AUTH);
	}
}

static void test_lifetimes(void **state)
{
	struct node_key key;
	struct wg_checker c;
	struct wg_signer s = { 0 };
	struct wg_cookie_reply reply;
	struct wg_from a = from_text("192.0.2.1:1000");
	static const uint8_t none[WG_MAC_LEN];
	uint8_t m[WG_INITIATION_LEN];
	struct bytes in = bytes_of(m, sizeof m);

	(void)state;
	node_key_new(&key);
	wg_checker_init(&c, &key.pub);
	assert_int_equal(wg_cookie_accept(&s, &key.pub, &(struct wg_cookie_reply){ 0 }, 1), ERR_AUTH);
	message_init(m, 1);
	wg_sign(&s, &key.pub, m, sizeof m, 5000);
	assert_ok(wg_cookie_reply_make(&c, in, &a, 5000, &reply));
	assert_ok(wg_cookie_accept(&s, &key.pub, &reply, 5000));

	message_init(m, 2);
	wg_sign(&s, &key.pub, m, sizeof m, 5000 + WG_COOKIE_MS - 1);
	assert_true(wg_check_mac2(&c, in, &a, 5000 + WG_COOKIE_MS));
	assert_false(wg_check_mac2(&c, in, &a, 5000 + WG_COOKIE_MS + 1)); /* the secret is too old */
	message_init(m, 3);
	wg_sign(&s, &key.pub, m, sizeof m, 5000 + WG_COOKIE_MS); /* the cookie is */
	assert_memory_equal(wg_message_macs(in).mac2.p, none, sizeof none);
	/* A new secret makes old cookies worthless at once. */
	assert_ok(wg_cookie_reply_make(&c, in, &a, 5001 + WG_COOKIE_MS, &reply));
	message_init(m, 4);
	wg_sign(&s, &key.pub, m, sizeof m, 5000 + WG_COOKIE_MS - 1);
	assert_false(wg_check_mac2(&c, in, &a, 5001 + WG_COOKIE_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_binding),
		cmocka_unit_test(test_lifetimes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
