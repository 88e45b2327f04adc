#include "common/wire/demux.h"

#include "tests/lib/vectors.h"

static const char *const names[] = {
	[UDP_WIREGUARD] = "wireguard",
	[UDP_STUN] = "stun",
	[UDP_DISCO] = "disco",
	[UDP_RELAYED_DISCO] = "geneve+disco",
	[UDP_RELAYED_WIREGUARD] = "geneve+wireguard",
};

static void test_classify_vectors(void **state)
{
	json_t *root = vectors_load("disco.json"), *v;
	size_t at;

	(void)state;
	json_array_foreach(json_object_get(root, "classify"), at, v)
	{
		struct bytes in = vec_hex(v, "bytes"), inner = { 0 };
		struct geneve g = { 0 };
		enum udp_kind kind = udp_demux(in, &g, &inner);

		assert_string_equal(names[kind], vec_str(v, "want"));
		if (kind == UDP_RELAYED_DISCO || kind == UDP_RELAYED_WIREGUARD) {
			assert_int_equal(g.vni, 41394);
			assert_true(inner.n == in.n - GENEVE_LEN && inner.p == in.p + GENEVE_LEN);
		} else {
			assert_null(inner.p);
		}
		test_exact_free(in);
	}
	assert_true(at >= 10);
	json_decref(root);
}

static void test_geneve_vectors(void **state)
{
	json_t *root = vectors_load("disco.json"), *o = json_object_get(root, "geneve"), *v;
	static const struct {
		const char *name;
		struct geneve g;
	} want[] = {
		{ "control_disco", { 41394, GENEVE_DISCO, true } },
		{ "data_disco", { 41394, GENEVE_DISCO, false } },
		{ "data_wireguard", { 41394, GENEVE_WIREGUARD, false } },
	};
	size_t at;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		uint8_t p[GENEVE_LEN];
		struct writer w = wr_init(p, sizeof p);

		geneve_write(&w, &want[i].g);
		assert_false(w.bad);
		vec_assert(o, want[i].name, wr_view(&w));
	}
	json_array_foreach(json_object_get(root, "messages"), at, v)
	{
		struct geneve g;
		struct bytes inner;

		if (!json_object_get(v, "packet_with_geneve"))
			continue;
		struct bytes in = vec_hex(v, "packet_with_geneve");
		assert_int_equal(udp_demux(in, &g, &inner), UDP_RELAYED_DISCO);
		vec_assert(v, "packet", inner);
		assert_int_equal(g.control, strcmp(vec_str(v, "name"), "ping_via_relay") != 0);
		test_exact_free(in);
	}
	json_decref(root);
}

static void test_not_geneve(void **state)
{
	static const char *const other[] = {
		"40007a1200a1b200 0400000001", /* version 1 */
		"00017a1200a1b200 0400000001", /* reserved bits */
		"00007a1300a1b200 0400000001", /* another protocol */
		"00007a1200a1b201 0400000001", /* last byte */
		"00007a1200a1b2",              /* seven bytes */
	};
	struct geneve g = { 0 };
	struct bytes inner;
	uint8_t p[GENEVE_LEN];
	struct writer w = wr_init(p, sizeof p);

	(void)state;
	for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
		struct bytes in = test_unhex(other[i]);

		assert_int_equal(udp_demux(in, &g, &inner), UDP_WIREGUARD);
		test_exact_free(in);
	}
	g.vni = 1 << 24;
	geneve_write(&w, &g);
	assert_true(w.bad);
}

static void demux_any(struct bytes in, void *ctx)
{
	struct geneve g;
	struct bytes inner = { 0 };

	(void)ctx;
	(void)udp_demux(in, &g, &inner);
	assert_true(inner.n <= in.n);
}

static void test_torture_packets(void **state)
{
	struct bytes in = test_unhex("00807a1100a1b200 5453f09f92ac"
				     "6d0b270fdcd43ca3afcc96fc52cb4f5b4a2a8d9f94fcab2868405d5334372410 00000000");

	(void)state;
	test_torture(in, demux_any, NULL);
	test_exact_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classify_vectors),
		cmocka_unit_test(test_geneve_vectors),
		cmocka_unit_test(test_not_geneve),
		cmocka_unit_test(test_torture_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
