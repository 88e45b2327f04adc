/* Every message against the vectors: envelope, box, parse, write again; then the rules and torture. */
#include "common/wire/disco.h"

#include <stdlib.h>

#include "tests/lib/vectors.h"

static struct addrport parse_text(const char *s)
{
	struct addrport a;

	assert_ok(addrport_parse(bytes_str(s), &a));
	return a;
}

static void key_of(json_t *root, const char *who, struct disco_key *k)
{
	json_t *o = json_object_get(json_object_get(root, "keys"), who);

	vec_copy(o, "private", k->secret.b, 32);
	disco_key_derive(k);
	vec_assert(o, "public", bytes_of(k->pub.b, 32));
}

static void check_fields(json_t *v, const struct disco_message *m)
{
	if (json_object_get(v, "type"))
		assert_int_equal(m->type, vec_int(v, "type"));
	switch (m->type) {
	case DISCO_PING:
		if (json_object_get(v, "txid"))
			vec_assert(v, "txid", bytes_of(m->ping.txid.b, 12));
		if (json_object_get(v, "node_key"))
			vec_assert(v, "node_key", bytes_of(m->ping.node_key.b, 32));
		if (json_object_get(v, "padding"))
			assert_int_equal(m->ping.padding, vec_int(v, "padding"));
		assert_int_equal(m->ping.has_node_key, strcmp(vec_str(v, "name"), "ping_without_node_key") != 0);
		break;
	case DISCO_PONG:
		vec_assert(v, "txid", bytes_of(m->pong.txid.b, 12));
		assert_true(addrport_eq(m->pong.src, parse_text(vec_str(v, "src"))));
		break;
	case DISCO_CALL_ME_MAYBE: {
		json_t *list = json_object_get(v, "endpoints");

		assert_int_equal(m->endpoints.n, json_array_size(list));
		for (size_t i = 0; i < m->endpoints.n; i++)
			assert_true(addrport_eq(
				m->endpoints.at[i], parse_text(json_string_value(json_array_get(list, i)))));
		break;
	}
	case DISCO_BIND:
	case DISCO_BIND_CHALLENGE:
	case DISCO_BIND_ANSWER:
		assert_int_equal(m->bind.vni, vec_int(v, "vni"));
		assert_int_equal(m->bind.generation, vec_int(v, "generation"));
		if (json_object_get(v, "challenge"))
			vec_assert(v, "challenge", bytes_of(m->bind.challenge, 32));
		break;
	case DISCO_CALL_ME_MAYBE_VIA:
		assert_int_equal(m->relay.lamport_id, vec_int(v, "lamport_id"));
		assert_int_equal(m->relay.vni, vec_int(v, "vni"));
		assert_int_equal(m->relay.bind_lifetime_ns, vec_int(v, "bind_lifetime_ns"));
		assert_int_equal(m->relay.steady_lifetime_ns, vec_int(v, "steady_state_lifetime_ns"));
		assert_true(m->endpoints.n >= 1);
		break;
	case DISCO_ALLOCATE_REQUEST:
		assert_int_equal(m->allocate.generation, vec_int(v, "generation"));
		break;
	case DISCO_ALLOCATE_RESPONSE:
		assert_int_equal(m->generation, vec_int(v, "generation"));
		assert_true(m->endpoints.n >= 1);
		break;
	}
}

static void test_vectors(void **state)
{
	json_t *root = vectors_load("disco.json"), *v;
	size_t at;

	(void)state;
	json_array_foreach(json_object_get(root, "messages"), at, v)
	{
		const char *name = vec_str(v, "name");
		struct bytes packet = vec_hex(v, "packet");
		struct disco_key from, to;
		struct box_shared at_receiver;
		struct disco_envelope e;
		struct disco_message m;
		uint8_t text[2048], back[2048], nonce[24];

		key_of(root, vec_str(v, "from"), &from);
		key_of(root, vec_str(v, "to"), &to);
		assert_int_equal(packet.n, vec_int(v, "len"));
		assert_true(disco_looks_like(packet) && disco_looks_like_on_derp(packet));
		assert_ok(disco_parse_envelope(packet, &e));
		assert_true(disco_pub_eq(&e.sender, &from.pub));
		assert_ok(box_shared_init(&at_receiver, &to.secret, e.sender.b));
		assert_ok(box_open(&at_receiver, e.sealed, text));
		struct bytes plain = bytes_of(text, e.sealed.n - BOX_OVERHEAD);
		vec_assert(v, "plaintext", plain);

		if (strcmp(name, "future_type") == 0) {
			assert_int_equal(disco_parse_message(plain, &m), ERR_UNSUPPORTED);
		} else {
			assert_ok(disco_parse_message(plain, &m));
			check_fields(v, &m);
			struct writer w = wr_init(back, sizeof back);
			disco_write_message(&w, &m);
			bool differs = strstr(name, "ragged") || strstr(name, "future_version");
			if (w.bad || bytes_eq(wr_view(&w), plain) == differs)
				fail_msg("round trip of %s", name);
		}
		/* the whole packet again, from its parts */
		struct writer w = wr_init(back, sizeof back);
		disco_write_envelope(&w, &from.pub);
		vec_copy(v, "nonce", nonce, 24);
		box_seal_nonce(&at_receiver, nonce, plain, wr_room(&w, plain.n + BOX_OVERHEAD));
		assert_true(bytes_eq(wr_view(&w), packet));
		test_exact_free(packet);
	}
	assert_true(at >= 17);
	json_decref(root);
}

static void test_envelope_lengths(void **state)
{
	uint8_t p[DISCO_OVERHEAD] = "TS\xf0\x9f\x92\xac";
	struct disco_envelope e;

	(void)state;
	assert_false(disco_looks_like(bytes_of(p, 37)));
	assert_true(disco_looks_like(bytes_of(p, 38)));
	assert_false(disco_looks_like_on_derp(bytes_of(p, 61)));
	assert_true(disco_looks_like_on_derp(bytes_of(p, 62)));
	assert_int_equal(disco_parse_envelope(bytes_of(p, DISCO_OVERHEAD - 1), &e), ERR_MALFORMED);
	assert_ok(disco_parse_envelope(bytes_of(p, DISCO_OVERHEAD), &e));
	assert_int_equal(e.sealed.n, BOX_OVERHEAD);
	p[5] ^= 1;
	assert_int_equal(disco_parse_envelope(bytes_of(p, DISCO_OVERHEAD), &e), ERR_MALFORMED);
	assert_false(disco_looks_like(bytes_of(p, sizeof p)));
}

static err parse_plain(uint8_t type, uint8_t version, size_t body, struct disco_message *m)
{
	static uint8_t p[2 + 20000];

	p[0] = type;
	p[1] = version;
	struct bytes exact = test_exact(bytes_of(p, 2 + body));
	err e = disco_parse_message(exact, m);
	test_exact_free(exact);
	return e;
}

static void test_length_rules(void **state)
{
	struct disco_message m;

	(void)state;
	assert_int_equal(parse_plain(DISCO_PING, 0, 11, &m), ERR_MALFORMED);
	assert_ok(parse_plain(DISCO_PING, 0, 12, &m));
	assert_ok(parse_plain(DISCO_PING, 0, 43, &m));
	assert_true(!m.ping.has_node_key && m.ping.padding == 31);
	assert_ok(parse_plain(DISCO_PING, 0, 44 + 1300, &m));
	assert_true(m.ping.has_node_key && m.ping.padding == 1300);
	assert_int_equal(parse_plain(DISCO_PONG, 0, 29, &m), ERR_MALFORMED);
	assert_ok(parse_plain(DISCO_PONG, 0, 31, &m));
	assert_ok(parse_plain(DISCO_CALL_ME_MAYBE, 0, 36, &m));
	assert_int_equal(m.endpoints.n, 2);
	assert_ok(parse_plain(DISCO_CALL_ME_MAYBE, 1, 36, &m));
	assert_int_equal(m.endpoints.n, 0);
	assert_ok(parse_plain(DISCO_CALL_ME_MAYBE, 0, 35, &m));
	assert_int_equal(m.endpoints.n, 0);
	assert_ok(parse_plain(DISCO_CALL_ME_MAYBE, 0, 18 * 500, &m)); /* bounded */
	assert_int_equal(m.endpoints.n, DISCO_ENDPOINTS_MAX);
	assert_int_equal(parse_plain(DISCO_BIND_CHALLENGE, 0, 71, &m), ERR_MALFORMED);
	assert_ok(parse_plain(DISCO_BIND_CHALLENGE, 0, 80, &m));
	assert_int_equal(parse_plain(DISCO_CALL_ME_MAYBE_VIA, 0, 124, &m), ERR_MALFORMED);
	assert_int_equal(parse_plain(DISCO_CALL_ME_MAYBE_VIA, 0, 124 + 17, &m), ERR_MALFORMED);
	assert_int_equal(parse_plain(DISCO_CALL_ME_MAYBE_VIA, 0, 124 + 19, &m), ERR_MALFORMED);
	assert_ok(parse_plain(DISCO_CALL_ME_MAYBE_VIA, 0, 124 + 18, &m));
	assert_int_equal(parse_plain(DISCO_ALLOCATE_REQUEST, 0, 67, &m), ERR_MALFORMED);
	assert_ok(parse_plain(DISCO_ALLOCATE_REQUEST, 0, 68, &m));
	assert_int_equal(parse_plain(DISCO_ALLOCATE_RESPONSE, 0, 4 + 124, &m), ERR_MALFORMED);
	assert_ok(parse_plain(DISCO_ALLOCATE_RESPONSE, 0, 4 + 124 + 18 * 1000, &m));
	assert_int_equal(m.endpoints.n, DISCO_ENDPOINTS_MAX);
	assert_int_equal(parse_plain(0, 0, 50, &m), ERR_UNSUPPORTED);
	assert_int_equal(parse_plain(10, 0, 50, &m), ERR_UNSUPPORTED);
	assert_int_equal(disco_parse_message(BYTES_LIT("\x01"), &m), ERR_MALFORMED);
}

static void parse_any(struct bytes in, void *ctx)
{
	struct disco_message m;
	struct disco_envelope e;
	uint8_t out[4096];

	(void)ctx;
	(void)!disco_parse_envelope(in, &e);
	if (disco_parse_message(in, &m) == OK) {
		struct writer w = wr_init(out, sizeof out);

		disco_write_message(&w, &m);
		assert_false(w.bad);
	}
}

static void test_torture_messages(void **state)
{
	uint8_t p[DISCO_MESSAGE_MAX];
	struct disco_message m = { .type = DISCO_ALLOCATE_RESPONSE, .generation = 3 };

	(void)state;
	m.endpoints.n = 2;
	m.endpoints.at[0] = parse_text("1.2.3.4:5");
	m.endpoints.at[1] = parse_text("[2001:db8::1]:5");
	for (int type = DISCO_PING; type <= DISCO_ALLOCATE_RESPONSE; type++) {
		struct writer w = wr_init(p, sizeof p);

		m.type = (enum disco_type)type;
		if (type == DISCO_PING)
			m.ping = (struct disco_ping){ .has_node_key = true, .padding = 5 };
		disco_write_message(&w, &m);
		assert_false(w.bad);
		test_torture(wr_view(&w), parse_any, NULL);
	}
}

static void test_write_bounds(void **state)
{
	static struct disco_message m = { .type = DISCO_ALLOCATE_RESPONSE };
	uint8_t p[DISCO_MESSAGE_MAX];
	struct writer w = wr_init(p, sizeof p);

	(void)state;
	disco_write_message(&w, &m); /* a relay without addresses cannot be said */
	assert_true(w.bad);
	m.endpoints.n = DISCO_ENDPOINTS_MAX;
	w = wr_init(p, sizeof p);
	disco_write_message(&w, &m);
	assert_true(!w.bad && w.n == DISCO_MESSAGE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_envelope_lengths),
		cmocka_unit_test(test_length_rules),
		cmocka_unit_test(test_torture_messages),
		cmocka_unit_test(test_write_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
