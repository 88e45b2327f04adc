/* Every frame against the vectors, both ways; the length rules; relaying in place; torture. */
#include "common/wire/derp_frame.h"

#include <stdlib.h>

#include "common/crypto/box.h"
#include "tests/lib/vectors.h"

static struct derp_frame parse_frame(struct bytes in, err (*check)(struct derp_header))
{
	struct derp_frame f;

	assert_ok(derp_parse_frame(in, check, &f));
	assert_int_equal(f.len, in.n);
	return f;
}

static struct node_pub pub_of(json_t *root, const char *who)
{
	struct node_pub k;

	vec_copy(json_object_get(json_object_get(root, "keys"), who), "public", k.b, 32);
	return k;
}

/* Writes the frame again from what was parsed. False: a type without payload parser. */
static void rewrite(struct writer *w, struct derp_frame f)
{
	struct node_pub key;
	struct derp_packet packet;
	struct derp_forward forward;
	struct derp_client_info_frame ci;
	struct derp_peer_gone gone;
	struct derp_peer_present present;
	struct derp_ping ping;
	struct derp_restarting restarting;
	bool home;

	switch ((enum derp_type)f.type) {
	case DERP_SERVER_KEY:
		assert_ok(derp_parse_server_key(f.payload, &key));
		derp_write_server_key(w, &key);
		return;
	case DERP_CLIENT_INFO:
		assert_ok(derp_parse_client_info(f.payload, &ci));
		derp_write_client_info(w, &ci.key, ci.sealed);
		return;
	case DERP_SERVER_INFO:
		derp_write_server_info(w, f.payload);
		return;
	case DERP_SEND_PACKET:
	case DERP_RECV_PACKET:
		assert_ok(derp_parse_packet(f.payload, &packet));
		derp_write_packet_header(w, (enum derp_type)f.type, &packet.key, packet.packet.n);
		wr_bytes(w, packet.packet);
		return;
	case DERP_KEEP_ALIVE:
		derp_write_keep_alive(w);
		return;
	case DERP_NOTE_PREFERRED:
		assert_ok(derp_parse_note_preferred(f.payload, &home));
		derp_write_note_preferred(w, home);
		return;
	case DERP_PEER_GONE:
		assert_ok(derp_parse_peer_gone(f.payload, &gone));
		derp_write_peer_gone(w, &gone.key, (enum derp_gone)gone.reason);
		return;
	case DERP_PEER_PRESENT:
		assert_ok(derp_parse_peer_present(f.payload, &present));
		derp_write_peer_present(w, &present);
		return;
	case DERP_FORWARD_PACKET:
		assert_ok(derp_parse_forward(f.payload, &forward));
		derp_write_forward_header(w, &forward.src, &forward.dst, forward.packet.n);
		wr_bytes(w, forward.packet);
		return;
	case DERP_WATCH_CONNS:
		derp_write_watch_conns(w);
		return;
	case DERP_CLOSE_PEER:
		assert_ok(derp_parse_close_peer(f.payload, &key));
		derp_write_close_peer(w, &key);
		return;
	case DERP_PING:
	case DERP_PONG:
		assert_ok(derp_parse_ping(f.payload, &ping));
		derp_write_ping(w, (enum derp_type)f.type, &ping);
		return;
	case DERP_HEALTH:
		derp_write_health(w, f.payload);
		return;
	case DERP_RESTARTING:
		assert_ok(derp_parse_restarting(f.payload, &restarting));
		derp_write_restarting(w, &restarting);
		return;
	}
	derp_write_header(w, (enum derp_type)f.type, f.payload.n);
	wr_bytes(w, f.payload);
}

static void round_trip_all(json_t *list)
{
	json_t *v;
	size_t at;

	json_array_foreach(list, at, v)
	{
		const char *name = vec_str(v, "name"), *dir = vec_str(v, "dir");
		struct bytes in = vec_hex(v, "frame");
		bool to_client = strncmp(dir, "server->", 8) == 0;
		struct derp_frame f = parse_frame(in, to_client ? derp_client_check : derp_server_check);
		uint8_t back[2048];
		struct writer w = wr_init(back, sizeof back);

		assert_int_equal(f.type, strtol(vec_str(v, "type"), NULL, 16));
		vec_assert(v, "payload", f.payload);
		rewrite(&w, f);
		/* These carry bytes that a reader ignores, or lack one that we always write. */
		bool differs = strstr(name, "future_bytes") || strstr(name, "legacy") || strstr(name, "extra_bytes");
		if (w.bad || bytes_eq(wr_view(&w), in) == differs)
			fail_msg("round trip of %s", name);
		for (size_t n = 0; n < in.n; n++) {
			struct derp_frame g;

			assert_int_equal(derp_parse_frame(bytes_first(in, n),
						 to_client ? derp_client_check : derp_server_check, &g),
				ERR_TRUNCATED);
		}
		test_exact_free(in);
	}
	assert_true(at > 0);
}

static void test_vectors_round_trip(void **state)
{
	json_t *root = vectors_load("derp_clientinfo.json");

	(void)state;
	round_trip_all(json_object_get(root, "handshake"));
	round_trip_all(json_object_get(root, "steady_state"));
	json_decref(root);
}

static void test_vector_values(void **state)
{
	json_t *root = vectors_load("derp_clientinfo.json");
	struct node_pub bob = pub_of(root, "bob"), alice = pub_of(root, "alice");
	struct bytes in = vec_hex(vec_named(root, "steady_state", "peer_present_v4_regular"), "payload");
	struct derp_peer_present present;
	struct derp_peer_gone gone;
	struct derp_forward forward;
	struct addrport want;

	(void)state;
	assert_ok(derp_parse_peer_present(in, &present));
	assert_ok(addrport_parse(BYTES_LIT("192.0.2.33:51234"), &want));
	assert_true(addrport_eq(present.addr, want) && present.flags == DERP_PRESENT_REGULAR);
	assert_true(node_pub_eq(&present.key, &bob));
	/* older forms: up to the port, the key alone */
	assert_ok(derp_parse_peer_present(bytes_first(in, 50), &present));
	assert_true(addrport_eq(present.addr, want) && present.flags == 0);
	assert_ok(derp_parse_peer_present(bytes_first(in, 32), &present));
	assert_true(present.addr.addr.family == 0 && present.flags == 0);
	assert_int_equal(derp_parse_peer_present(bytes_first(in, 31), &present), ERR_MALFORMED);
	test_exact_free(in);

	in = vec_hex(vec_named(root, "steady_state", "peer_present_v6_prober_notideal"), "payload");
	assert_ok(derp_parse_peer_present(in, &present));
	assert_ok(addrport_parse(BYTES_LIT("[2001:db8::33]:443"), &want));
	assert_true(addrport_eq(present.addr, want));
	assert_int_equal(present.flags, DERP_PRESENT_PROBER | DERP_PRESENT_NOT_IDEAL);
	test_exact_free(in);

	in = vec_hex(vec_named(root, "steady_state", "peer_gone_not_here"), "payload");
	assert_ok(derp_parse_peer_gone(in, &gone));
	assert_int_equal(gone.reason, DERP_GONE_NOT_HERE);
	assert_ok(derp_parse_peer_gone(bytes_first(in, 32), &gone));
	assert_int_equal(gone.reason, DERP_GONE_DISCONNECTED);
	assert_int_equal(derp_parse_peer_gone(bytes_first(in, 31), &gone), ERR_MALFORMED);
	test_exact_free(in);

	in = vec_hex(vec_named(root, "steady_state", "forward_packet"), "payload");
	assert_ok(derp_parse_forward(in, &forward));
	assert_true(node_pub_eq(&forward.src, &alice) && node_pub_eq(&forward.dst, &bob) && forward.packet.n == 32);
	test_exact_free(in);
	json_decref(root);
}

/* The server's view of each frame that it must refuse: at the header, at the payload, or at the box. */
static void test_vectors_reject(void **state)
{
	json_t *root = vectors_load("derp_clientinfo.json"), *v;
	size_t at;

	(void)state;
	json_array_foreach(json_object_get(root, "reject"), at, v)
	{
		const char *name = vec_str(v, "name");
		struct bytes in = vec_hex(v, "frame");
		struct derp_header h;

		assert_ok(derp_parse_header(in, &h));
		err e = derp_server_check(h);
		if (strstr(name, "bad_tag") || strstr(name, "wrong_type") || strstr(name, "max_header_ok") ||
			strstr(name, "without_mesh")) /* for the box, the state machine, nobody, the admission */
			assert_int_equal(e, OK);
		else if (e == OK)
			fail_msg("not refused: %s", name);
		test_exact_free(in);
	}
	assert_true(at >= 12);
	json_decref(root);
}

static void test_opening(void **state)
{
	json_t *root = vectors_load("derp_clientinfo.json"), *v;
	struct secret32 server, alice;
	struct node_pub alice_pub = pub_of(root, "alice");
	struct box_shared shared;
	size_t at;

	(void)state;
	vec_copy(json_object_get(json_object_get(root, "keys"), "server"), "private", server.b, 32);
	vec_copy(json_object_get(json_object_get(root, "keys"), "alice"), "private", alice.b, 32);
	assert_ok(box_shared_init(&shared, &server, alice_pub.b));
	json_array_foreach(json_object_get(root, "handshake"), at, v)
	{
		struct bytes payload = vec_hex(v, "payload"), sealed = payload;
		uint8_t text[1024];

		if (json_object_get(v, "json")) {
			if (strcmp(vec_str(v, "type"), "0x02") == 0) {
				struct derp_client_info_frame f;

				assert_ok(derp_parse_client_info(payload, &f));
				assert_true(node_pub_eq(&f.key, &alice_pub));
				sealed = f.sealed;
			}
			assert_ok(box_open(&shared, sealed, text));
			vec_assert(v, "json_hex", bytes_of(text, sealed.n - BOX_OVERHEAD));
			/* and the way out, byte for byte */
			uint8_t back[1024], nonce[24];
			vec_copy(v, "nonce", nonce, 24);
			box_seal_nonce(&shared, nonce, bytes_of(text, sealed.n - BOX_OVERHEAD), back);
			assert_true(bytes_eq(bytes_of(back, sealed.n), sealed));
		}
		test_exact_free(payload);
	}
	struct bytes bad = vec_hex(vec_named(root, "reject", "client_info_bad_tag"), "frame");
	struct derp_frame f = parse_frame(bad, derp_server_check);
	struct derp_client_info_frame ci;
	uint8_t text[256];
	assert_ok(derp_parse_client_info(f.payload, &ci));
	assert_int_equal(box_open(&shared, ci.sealed, text), ERR_AUTH);
	test_exact_free(bad);
	json_decref(root);
}

static err server_check(uint8_t type, uint32_t len)
{
	return derp_server_check((struct derp_header){ type, len });
}

static void test_length_rules(void **state)
{
	(void)state;
	assert_int_equal(server_check(DERP_CLIENT_INFO, 55), ERR_MALFORMED);
	assert_ok(server_check(DERP_CLIENT_INFO, 56));
	assert_ok(server_check(DERP_CLIENT_INFO, 256 << 10));
	assert_int_equal(server_check(DERP_CLIENT_INFO, (256 << 10) + 1), ERR_TOO_BIG);
	assert_ok(server_check(DERP_SEND_PACKET, 32 + 65536));
	assert_int_equal(server_check(DERP_SEND_PACKET, 32 + 65537), ERR_TOO_BIG);
	assert_int_equal(server_check(DERP_FORWARD_PACKET, 63), ERR_MALFORMED);
	assert_ok(server_check(DERP_FORWARD_PACKET, 64 + 65536));
	assert_int_equal(server_check(DERP_FORWARD_PACKET, 64 + 65537), ERR_TOO_BIG);
	assert_int_equal(server_check(DERP_NOTE_PREFERRED, 0), ERR_MALFORMED);
	assert_int_equal(server_check(DERP_CLOSE_PEER, 33), ERR_MALFORMED);
	assert_ok(server_check(DERP_PING, 1000));
	assert_int_equal(server_check(DERP_PING, 1001), ERR_TOO_BIG);
	assert_ok(server_check(DERP_PONG, 3)); /* a client's Pong is skipped like an unknown frame */
	assert_ok(server_check(0x7f, 1 << 20));
	assert_int_equal(server_check(0x7f, (1 << 20) + 1), ERR_TOO_BIG);
	assert_int_equal(server_check(0xff, UINT32_MAX), ERR_TOO_BIG);

	assert_int_equal(derp_client_check((struct derp_header){ DERP_SERVER_KEY, 39 }), ERR_MALFORMED);
	assert_ok(derp_client_check((struct derp_header){ DERP_SERVER_KEY, 1024 }));
	assert_int_equal(derp_client_check((struct derp_header){ DERP_SERVER_KEY, 1025 }), ERR_TOO_BIG);
	assert_ok(derp_client_check((struct derp_header){ DERP_PEER_GONE, 3 }));
	assert_int_equal(derp_client_check((struct derp_header){ DERP_HEALTH, (1 << 20) + 1 }), ERR_TOO_BIG);
}

static void test_zero_key_and_bad_magic(void **state)
{
	uint8_t p[56] = { 0 };
	struct derp_client_info_frame f;
	struct node_pub k;

	(void)state;
	assert_int_equal(derp_parse_client_info(bytes_of(p, sizeof p), &f), ERR_MALFORMED);
	p[31] = 1;
	assert_ok(derp_parse_client_info(bytes_of(p, sizeof p), &f));
	assert_int_equal(f.sealed.n, 24);
	assert_int_equal(derp_parse_server_key(bytes_of(p, 40), &k), ERR_MALFORMED);
}

/* SendPacket and ForwardPacket become the same RecvPacket, without the packet moving. */
static void test_relay_in_place(void **state)
{
	json_t *root = vectors_load("derp_clientinfo.json");
	struct node_pub alice = pub_of(root, "alice");
	struct bytes want = vec_hex(vec_named(root, "steady_state", "recv_packet_from_alice"), "frame");
	struct bytes send = vec_hex(vec_named(root, "steady_state", "send_packet_to_bob"), "frame");
	struct bytes forward = vec_hex(vec_named(root, "steady_state", "forward_packet"), "frame");
	struct bytes empty = vec_hex(vec_named(root, "steady_state", "send_packet_empty"), "frame");

	(void)state;
	assert_true(bytes_eq(derp_send_to_recv((uint8_t *)(uintptr_t)send.p, send.n, &alice), want));
	assert_true(bytes_eq(derp_forward_to_recv((uint8_t *)(uintptr_t)forward.p, forward.n), want));
	struct derp_frame f =
		parse_frame(derp_send_to_recv((uint8_t *)(uintptr_t)empty.p, empty.n, &alice), derp_client_check);
	assert_true(f.type == DERP_RECV_PACKET && f.payload.n == 32);
	test_exact_free(want);
	test_exact_free(send);
	test_exact_free(forward);
	test_exact_free(empty);
	json_decref(root);
}

static void test_writers_have_bounds(void **state)
{
	uint8_t p[DERP_SHORT_MAX];
	struct node_pub k = { .b = { 1 } };
	struct derp_peer_present present = { .key = k };
	struct writer w = wr_init(p, sizeof p);
	static uint8_t text[4096], out[4096];

	(void)state;
	derp_write_peer_present(&w, &present); /* the longest of the short ones */
	assert_true(!w.bad && w.n == 5 + 51);
	w = wr_init(p, 55);
	derp_write_peer_present(&w, &present);
	assert_true(w.bad);
	w = wr_init(p, sizeof p);
	derp_write_packet_header(&w, DERP_SEND_PACKET, &k, 65536);
	assert_false(w.bad);
	w = wr_init(p, sizeof p);
	derp_write_packet_header(&w, DERP_SEND_PACKET, &k, 65537);
	assert_true(w.bad);
	w = wr_init(out, sizeof out);
	derp_write_health(&w, bytes_of(text, sizeof text));
	assert_true(!w.bad && w.n == 5 + 1024);
}

static void parse_as_both(struct bytes in, void *ctx)
{
	struct derp_frame f;
	uint8_t back[2048];

	(void)ctx;
	if (derp_parse_frame(in, derp_server_check, &f) == OK)
		assert_true(f.len <= in.n);
	if (derp_parse_frame(in, derp_client_check, &f) != OK)
		return;
	struct node_pub key;
	struct derp_packet packet;
	struct derp_forward forward;
	struct derp_client_info_frame ci;
	struct derp_peer_gone gone;
	struct derp_peer_present present;
	struct derp_ping ping;
	struct derp_restarting restarting;
	bool home;
	struct writer w = wr_init(back, sizeof back);

	(void)!derp_parse_server_key(f.payload, &key);
	(void)!derp_parse_client_info(f.payload, &ci);
	(void)!derp_parse_packet(f.payload, &packet);
	(void)!derp_parse_forward(f.payload, &forward);
	(void)!derp_parse_note_preferred(f.payload, &home);
	(void)!derp_parse_peer_gone(f.payload, &gone);
	if (derp_parse_peer_present(f.payload, &present) == OK)
		derp_write_peer_present(&w, &present);
	(void)!derp_parse_close_peer(f.payload, &key);
	(void)!derp_parse_ping(f.payload, &ping);
	(void)!derp_parse_restarting(f.payload, &restarting);
}

static void test_torture_frames(void **state)
{
	uint8_t p[256];
	struct node_pub a = { .b = { 1 } }, b = { .b = { 2 } };
	struct derp_peer_present present = { .key = a, .addr = { addr_v4(1, 2, 3, 4), 5 }, .flags = 1 };
	struct writer w = wr_init(p, sizeof p);

	(void)state;
	derp_write_peer_present(&w, &present);
	test_torture(wr_view(&w), parse_as_both, NULL);
	w = wr_init(p, sizeof p);
	derp_write_forward_header(&w, &a, &b, 10);
	wr_bytes(&w, BYTES_LIT("0123456789"));
	test_torture(wr_view(&w), parse_as_both, NULL);
	w = wr_init(p, sizeof p);
	derp_write_server_key(&w, &a);
	test_torture(wr_view(&w), parse_as_both, NULL);
	w = wr_init(p, sizeof p);
	derp_write_restarting(&w, &(struct derp_restarting){ 1, 2 });
	test_torture(wr_view(&w), parse_as_both, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_round_trip),
		cmocka_unit_test(test_vector_values),
		cmocka_unit_test(test_vectors_reject),
		cmocka_unit_test(test_opening),
		cmocka_unit_test(test_length_rules),
		cmocka_unit_test(test_zero_key_and_bad_magic),
		cmocka_unit_test(test_relay_in_place),
		cmocka_unit_test(test_writers_have_bounds),
		cmocka_unit_test(test_torture_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
