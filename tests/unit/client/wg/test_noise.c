/* Both roles against the published transcript, every chaining key that shows between messages, and against forgers. */
#include "client/wg/noise.h"

#include "common/base/random.h"
#include "tests/lib/vectors.h"

static void fill_fixed(void *ctx, void *p, size_t n)
{
	assert_int_equal(n, 32);
	memcpy(p, ctx, 32);
}

static struct node_key key_of(json_t *keys, const char *name)
{
	struct node_key k;
	json_t *o = json_object_get(keys, name);

	vec_copy(o, "private", k.secret.b, 32);
	node_key_derive(&k);
	vec_assert(o, "public", bytes_of(k.pub.b, 32));
	return k;
}

static void assert_trace(json_t *root, const char *after, const struct wg_noise *s)
{
	size_t at;
	json_t *t;

	json_array_foreach(json_object_get(root, "trace"), at, t)
	{
		if (strcmp(vec_str(t, "after"), after) != 0)
			continue;
		vec_assert(t, "chain_key", bytes_of(s->ck.b, 32));
		vec_assert(t, "hash", bytes_of(s->h, 32));
		return;
	}
	fail_msg("no trace after %s", after);
}

static void test_vectors(void **state)
{
	json_t *root = vectors_load("wireguard_handshake.json"), *keys = json_object_get(root, "keys");
	struct node_key alice = key_of(keys, "initiator_static"), bob = key_of(keys, "responder_static");
	struct node_key ei = key_of(keys, "initiator_ephemeral"), er = key_of(keys, "responder_ephemeral");
	struct wg_timestamp ts, got;
	struct wg_initiator i;
	struct wg_responder r;
	struct wg_initiation im;
	struct wg_response rm;
	struct wg_keys ik, rk;
	struct secret32 ss_a, ss_b;
	uint8_t raw[WG_INITIATION_LEN];

	(void)state;
	vec_copy(root, "timestamp_tai64n", ts.b, sizeof ts.b);
	assert_ok(wg_noise_static(&alice, &bob.pub, &ss_a));
	assert_ok(wg_noise_static(&bob, &alice.pub, &ss_b));
	assert_memory_equal(ss_a.b, ss_b.b, 32);
	vec_assert(json_object_get(root, "dh"), "ss", bytes_of(ss_a.b, 32));

	random_replace(fill_fixed, ei.secret.b);
	assert_ok(wg_noise_initiate(&alice, &bob.pub, &ss_a, ts, (uint32_t)vec_int(keys, "initiator_index"), &i, &im));
	random_replace(NULL, NULL);
	assert_trace(root, "ss, timestamp", &i.noise);
	json_t *io = json_object_get(root, "initiation");
	vec_assert(io, "encrypted_static", bytes_of(im.sealed_static, sizeof im.sealed_static));
	vec_assert(io, "encrypted_timestamp", bytes_of(im.sealed_timestamp, sizeof im.sealed_timestamp));
	wg_write_initiation(&im, raw);
	struct bytes whole = vec_hex(io, "message");
	assert_memory_equal(raw, whole.p, WG_INITIATION_LEN - 2 * WG_MAC_LEN);
	test_exact_free(whole);

	assert_ok(wg_noise_read_static(&bob, &im, &r));
	assert_true(node_pub_eq(&r.peer, &alice.pub));
	assert_trace(root, "es, s", &r.noise);
	assert_ok(wg_noise_read_timestamp(&im, &ss_b, &r, &got));
	assert_memory_equal(got.b, ts.b, sizeof ts.b);
	assert_trace(root, "ss, timestamp", &r.noise);

	random_replace(fill_fixed, er.secret.b);
	assert_ok(wg_noise_respond(&r, NULL, (uint32_t)vec_int(keys, "responder_index"), &rm, &rk));
	random_replace(NULL, NULL);
	json_t *ro = json_object_get(root, "response");
	vec_assert(ro, "encrypted_empty", bytes_of(rm.sealed_nothing, sizeof rm.sealed_nothing));
	wg_write_response(&rm, raw);
	whole = vec_hex(ro, "message");
	assert_memory_equal(raw, whole.p, WG_RESPONSE_LEN - 2 * WG_MAC_LEN);
	test_exact_free(whole);

	assert_ok(wg_noise_finish(&i, &alice, NULL, &rm, &ik));
	json_t *so = json_object_get(root, "session_keys");
	vec_assert(so, "initiator_to_responder", bytes_of(ik.send.b, 32));
	vec_assert(so, "responder_to_initiator", bytes_of(ik.recv.b, 32));
	assert_memory_equal(ik.send.b, rk.recv.b, 32);
	assert_memory_equal(ik.recv.b, rk.send.b, 32);
	json_decref(root);
}

struct forgery {
	struct node_key alice, bob;
	struct secret32 ss, psk;
	struct wg_initiator i;
	struct wg_responder r;
	unsigned taken;
};

static void forge_initiation(struct bytes in, void *ctx)
{
	struct forgery *f = ctx;
	struct wg_initiation m;
	struct wg_responder r = f->r;
	struct wg_timestamp at;

	if (wg_parse_initiation(in, &m) != OK || wg_noise_read_static(&f->bob, &m, &r) != OK)
		return;
	struct wg_responder before = r;
	if (wg_noise_read_timestamp(&m, &f->ss, &r, &at) == OK)
		f->taken++;
	else
		assert_memory_equal(&before, &r, sizeof r);
}

static void forge_response(struct bytes in, void *ctx)
{
	struct forgery *f = ctx;
	struct wg_response m;
	struct wg_keys k;

	if (wg_parse_response(in, &m) == OK && wg_noise_finish(&f->i, &f->alice, &f->psk, &m, &k) == OK)
		f->taken++;
}

static void test_forged(void **state)
{
	struct forgery f = { .taken = 0 };
	struct wg_initiation im;
	struct wg_response rm;
	struct wg_timestamp at;
	struct wg_keys ik, rk;
	uint8_t raw[WG_INITIATION_LEN];

	(void)state;
	node_key_new(&f.alice);
	node_key_new(&f.bob);
	random_fill(f.psk.b, sizeof f.psk.b);
	assert_ok(wg_noise_static(&f.alice, &f.bob.pub, &f.ss));
	assert_ok(wg_noise_initiate(&f.alice, &f.bob.pub, &f.ss, wg_timestamp_of(1000), 7, &f.i, &im));
	wg_write_initiation(&im, raw);
	test_torture(bytes_of(raw, sizeof raw), forge_initiation, &f);
	/* The whole one; and index and MACs are not under Noise: each of those bytes was flipped twice. */
	assert_int_equal(f.taken, 1 + 2 * (4 + 32));

	assert_ok(wg_noise_read_static(&f.bob, &im, &f.r));
	assert_ok(wg_noise_read_timestamp(&im, &f.ss, &f.r, &at));
	assert_ok(wg_noise_respond(&f.r, &f.psk, 9, &rm, &rk));
	f.taken = 0;
	wg_write_response(&rm, raw);
	test_torture(bytes_of(raw, WG_RESPONSE_LEN), forge_response, &f);
	assert_int_equal(f.taken, 1 + 2 * (4 + 4 + 32));

	assert_int_equal(wg_noise_finish(&f.i, &f.alice, NULL, &rm, &ik), ERR_AUTH); /* the psk counts */
	assert_ok(wg_noise_finish(&f.i, &f.alice, &f.psk, &rm, &ik));
	assert_memory_equal(&ik.send, &rk.recv, 32);
	assert_memory_equal(&ik.recv, &rk.send, 32);
}

static void test_small_order(void **state)
{
	struct node_key k;
	struct node_pub zero = { { 0 } };
	struct secret32 ss;
	struct wg_initiation m = { 0 };
	struct wg_responder r;

	(void)state;
	node_key_new(&k);
	assert_int_equal(wg_noise_static(&k, &zero, &ss), ERR_AUTH);
	assert_int_equal(wg_noise_read_static(&k, &m, &r), ERR_AUTH);
}

static void test_timestamps(void **state)
{
	struct wg_timestamp t = wg_timestamp_of(1785542410302), next;

	(void)state;
	assert_memory_equal(t.b, "\x40\x00\x00\x00\x6a\x6d\x37\x14\x12\x00\x00\x00", 12);
	for (int i = 0; i < 200; i++) { /* over three seconds */
		next = wg_timestamp_after(t);
		assert_true(wg_timestamp_newer(next, t));
		assert_false(wg_timestamp_newer(t, next));
		assert_int_equal(next.b[9] | next.b[10] | next.b[11], 0);
		t = next;
	}
	assert_false(wg_timestamp_newer(t, t));
	assert_true(wg_timestamp_newer(wg_timestamp_of(1785542410302 + 17), wg_timestamp_of(1785542410302)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_small_order),
		cmocka_unit_test(test_timestamps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
