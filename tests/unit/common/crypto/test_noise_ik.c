/* Both engines against the published transcripts, against each other, and against a forger. */
#include "common/crypto/noise_ik.h"

#include <stdlib.h>

#include "common/base/random.h"
#include "common/wire/ts2021.h"
#include "tests/lib/vectors.h"

/* random_fill gives these 32 bytes: the ephemeral key of a transcript. */
static void fill_fixed(void *ctx, void *p, size_t n)
{
	assert_int_equal(n, 32);
	memcpy(p, ctx, 32);
}

static struct machine_key key_of(json_t *t, const char *name)
{
	struct machine_key k;

	vec_copy(t, name, k.secret.b, 32);
	machine_key_derive(&k);
	return k;
}

struct pair {
	struct noise_session client, server;
};

static struct pair transcript(json_t *t)
{
	uint16_t version = (uint16_t)vec_int(t, "protocol_version");
	struct machine_key client = key_of(t, "initiator_static_private"),
			   server = key_of(t, "responder_static_private");
	uint8_t e[32], initiation[NOISE_INITIATION_LEN], response[NOISE_RESPONSE_LEN], frame[TS2021_INITIATION_LEN];
	struct noise_initiator i;
	struct pair p;

	vec_assert(t, "initiator_static_public", bytes_of(client.pub.b, 32));
	vec_assert(t, "responder_static_public", bytes_of(server.pub.b, 32));

	vec_copy(t, "initiator_ephemeral_private", e, 32);
	random_replace(fill_fixed, e);
	assert_ok(noise_initiator_start(&i, version, &client, &server.pub, initiation));
	struct writer w = wr_init(frame, sizeof frame);
	ts2021_write_initiation(&w, version, bytes_of(initiation, sizeof initiation));
	vec_assert(t, "initiation_message", bytes_of(frame, w.n));

	vec_copy(t, "responder_ephemeral_private", e, 32);
	random_replace(fill_fixed, e);
	assert_ok(noise_respond(version, &server, bytes_of(initiation, sizeof initiation), response, &p.server));
	random_replace(NULL, NULL);
	w = wr_init(frame, sizeof frame);
	ts2021_write_response(&w, bytes_of(response, sizeof response));
	vec_assert(t, "response_message", bytes_of(frame, w.n));
	assert_ok(noise_initiator_finish(&i, bytes_of(response, sizeof response), &p.client));

	assert_true(machine_pub_eq(&p.server.peer, &client.pub));
	assert_true(machine_pub_eq(&p.client.peer, &server.pub));
	vec_assert(t, "handshake_hash", bytes_of(p.client.handshake_hash, 32));
	vec_assert(t, "handshake_hash", bytes_of(p.server.handshake_hash, 32));
	vec_assert(t, "key_client_to_server", bytes_of(p.client.transport.send_key.b, 32));
	vec_assert(t, "key_client_to_server", bytes_of(p.server.transport.recv_key.b, 32));
	vec_assert(t, "key_server_to_client", bytes_of(p.client.transport.recv_key.b, 32));
	vec_assert(t, "key_server_to_client", bytes_of(p.server.transport.send_key.b, 32));
	return p;
}

static void records(json_t *t, struct pair p)
{
	size_t at;
	json_t *rec;

	json_array_foreach(json_object_get(t, "records"), at, rec)
	{
		bool up = strcmp(vec_str(rec, "direction"), "client_to_server") == 0;
		struct noise_transport *tx = up ? &p.client.transport : &p.server.transport;
		struct noise_transport *rx = up ? &p.server.transport : &p.client.transport;
		size_t n = (size_t)vec_int(rec, "plaintext_len");
		uint8_t *plain = malloc(n + 1), *frame = malloc(n + 19);
		struct writer w = wr_init(frame, n + 19);

		if (json_object_get(rec, "plaintext")) {
			struct bytes b = vec_hex(rec, "plaintext");

			assert_int_equal(b.n, n);
			memcpy(plain, b.p, n);
			test_exact_free(b);
		} else {
			for (size_t i = 0; i < n; i++)
				plain[i] = (uint8_t)(i * 7 + 3);
		}
		tx->send_n = rx->recv_n = (uint64_t)vec_int(rec, "counter");
		ts2021_write_record_header(&w, n + NOISE_TAG_LEN);
		wr_bytes(&w, bytes_of(plain, n));
		assert_ok(noise_seal(tx, frame + 3, n));
		if (json_object_get(rec, "record")) {
			vec_assert(rec, "record", bytes_of(frame, n + 19));
		} else {
			uint8_t sum[crypto_hash_sha256_BYTES];

			crypto_hash_sha256(sum, frame, n + 19);
			vec_assert(rec, "record_sha256", bytes_of(sum, sizeof sum));
		}
		assert_ok(noise_open(rx, frame + 3, n + NOISE_TAG_LEN));
		assert_memory_equal(frame + 3, plain, n);
		free(plain);
		free(frame);
	}
	assert_true(at >= 8);

	struct bytes little = vec_hex(t, "wrong_little_endian_counter_256");
	p.server.transport.recv_n = 256;
	assert_int_equal(noise_open(&p.server.transport, (uint8_t *)(uintptr_t)little.p + 3, little.n - 3), ERR_AUTH);
	assert_int_equal(p.server.transport.recv_n, 256);
	test_exact_free(little);
}

static void test_vectors(void **state)
{
	json_t *root = vectors_load("noise_ik.json"), *t;
	size_t at;

	(void)state;
	json_array_foreach(json_object_get(root, "transcripts"), at, t)
	{
		struct pair p = transcript(t);

		if (json_object_get(t, "records"))
			records(t, p);
	}
	assert_int_equal(at, 4);
	json_decref(root);
}

static void test_vectors_tampered(void **state)
{
	json_t *root = vectors_load("noise_ik.json"), *t = json_array_get(json_object_get(root, "transcripts"), 0);
	struct machine_key client = key_of(t, "initiator_static_private"),
			   server = key_of(t, "responder_static_private");
	uint8_t e[32], out[NOISE_RESPONSE_LEN], initiation[NOISE_INITIATION_LEN];
	struct ts2021_initiation m;
	struct ts2021_frame f;
	struct noise_session s;
	struct noise_initiator i;

	(void)state;
	struct bytes bad = vec_hex(t, "tampered_initiation_must_be_rejected");
	assert_ok(ts2021_parse_initiation(bad, &m));
	assert_int_equal(noise_respond(m.version, &server, m.noise, out, &s), ERR_AUTH);
	test_exact_free(bad);

	vec_copy(t, "initiator_ephemeral_private", e, 32);
	random_replace(fill_fixed, e);
	assert_ok(noise_initiator_start(&i, 142, &client, &server.pub, initiation));
	random_replace(NULL, NULL);
	bad = vec_hex(t, "tampered_response_must_be_rejected");
	assert_ok(ts2021_parse_answer(bad, &f));
	assert_int_equal(noise_initiator_finish(&i, f.body, &s), ERR_AUTH);
	test_exact_free(bad);

	/* The right response still opens: the failed one changed nothing. */
	struct bytes good = vec_hex(t, "response_message");
	assert_ok(ts2021_parse_answer(good, &f));
	assert_ok(noise_initiator_finish(&i, f.body, &s));
	test_exact_free(good);
	json_decref(root);
}

static struct pair joined(uint64_t seed, uint16_t version)
{
	struct machine_key client, server;
	struct noise_initiator i;
	uint8_t initiation[NOISE_INITIATION_LEN], response[NOISE_RESPONSE_LEN];
	struct pair p;

	test_random_seed(seed);
	machine_key_new(&client);
	machine_key_new(&server);
	assert_ok(noise_initiator_start(&i, version, &client, &server.pub, initiation));
	assert_ok(noise_respond(version, &server, bytes_of(initiation, sizeof initiation), response, &p.server));
	assert_ok(noise_initiator_finish(&i, bytes_of(response, sizeof response), &p.client));
	test_random_end();
	assert_memory_equal(p.client.handshake_hash, p.server.handshake_hash, 32);
	assert_memory_equal(&p.client.transport.send_key, &p.server.transport.recv_key, 32);
	assert_memory_equal(&p.client.transport.recv_key, &p.server.transport.send_key, 32);
	assert_memory_not_equal(&p.client.transport.recv_key, &p.client.transport.send_key, 32);
	return p;
}

/* Every flipped byte of either message, another version, another server key: refused, and nothing is written. */
static void test_forged_handshake(void **state)
{
	struct machine_key client, server, other;
	struct noise_initiator i;
	struct noise_session s, untouched;
	uint8_t m1[NOISE_INITIATION_LEN], m2[NOISE_RESPONSE_LEN], out[NOISE_RESPONSE_LEN] = { 0 };
	static const uint8_t zeros[NOISE_RESPONSE_LEN];

	(void)state;
	memset(&s, 0x5a, sizeof s);
	untouched = s;
	machine_key_new(&client);
	machine_key_new(&server);
	machine_key_new(&other);
	assert_ok(noise_initiator_start(&i, 113, &client, &server.pub, m1));
	for (size_t at = 0; at < sizeof m1; at++) {
		m1[at] ^= 1;
		assert_int_equal(noise_respond(113, &server, bytes_of(m1, sizeof m1), out, &s), ERR_AUTH);
		m1[at] ^= 1;
	}
	assert_int_equal(noise_respond(112, &server, bytes_of(m1, sizeof m1), out, &s), ERR_AUTH);
	assert_int_equal(noise_respond(113, &other, bytes_of(m1, sizeof m1), out, &s), ERR_AUTH);
	assert_int_equal(noise_respond(113, &server, bytes_of(m1, sizeof m1 - 1), out, &s), ERR_MALFORMED);
	assert_memory_equal(out, zeros, sizeof out);
	assert_memory_equal(&s, &untouched, sizeof s);

	struct noise_session server_side;
	assert_ok(noise_respond(113, &server, bytes_of(m1, sizeof m1), m2, &server_side));
	struct noise_initiator before = i;
	for (size_t at = 0; at < sizeof m2; at++) {
		m2[at] ^= 1;
		assert_int_equal(noise_initiator_finish(&i, bytes_of(m2, sizeof m2), &s), ERR_AUTH);
		m2[at] ^= 1;
	}
	assert_int_equal(noise_initiator_finish(&i, bytes_of(m2, sizeof m2 - 1), &s), ERR_MALFORMED);
	assert_memory_equal(&s, &untouched, sizeof s);
	assert_memory_equal(&i, &before, sizeof i);
	assert_ok(noise_initiator_finish(&i, bytes_of(m2, sizeof m2), &s));
	assert_memory_equal(s.handshake_hash, server_side.handshake_hash, 32);
}

/* Points of small order give a DH result that everybody knows. */
static void test_small_order_points(void **state)
{
	struct machine_key client, server;
	struct machine_pub zero = { 0 }, one = { .b = { 1 } };
	struct noise_initiator i;
	struct noise_session s;
	uint8_t m1[NOISE_INITIATION_LEN], m2[NOISE_RESPONSE_LEN] = { 0 };

	(void)state;
	machine_key_new(&client);
	machine_key_new(&server);
	assert_int_equal(noise_initiator_start(&i, 1, &client, &zero, m1), ERR_AUTH);
	assert_int_equal(noise_initiator_start(&i, 1, &client, &one, m1), ERR_AUTH);
	memset(m1, 0, sizeof m1);
	assert_int_equal(noise_respond(1, &server, bytes_of(m1, sizeof m1), m2, &s), ERR_AUTH);
	assert_ok(noise_initiator_start(&i, 1, &client, &server.pub, m1));
	assert_int_equal(noise_initiator_finish(&i, bytes_of(m2, sizeof m2), &s), ERR_AUTH);
}

/* A machine key that is not the client's own: sealed s and ss do not fit together. */
static void test_stolen_public_key(void **state)
{
	struct machine_key thief, victim, server;
	struct noise_initiator i;
	struct noise_session s;
	uint8_t m1[NOISE_INITIATION_LEN], m2[NOISE_RESPONSE_LEN];

	(void)state;
	machine_key_new(&thief);
	machine_key_new(&victim);
	machine_key_new(&server);
	thief.pub = victim.pub;
	assert_ok(noise_initiator_start(&i, 113, &thief, &server.pub, m1));
	assert_int_equal(noise_respond(113, &server, bytes_of(m1, sizeof m1), m2, &s), ERR_AUTH);
}

enum { N = 300 };
static void fill_record(uint8_t *p, uint8_t v)
{
	memset(p, v, N);
	memset(p + N, 0, NOISE_TAG_LEN);
}

static void test_replay_and_order(void **state)
{
	struct pair p = joined(7, 140);
	uint8_t a[N + NOISE_TAG_LEN], b[N + NOISE_TAG_LEN], copy[N + NOISE_TAG_LEN];

	(void)state;
	fill_record(a, 1);
	fill_record(b, 2);
	assert_ok(noise_seal(&p.client.transport, a, N));
	assert_ok(noise_seal(&p.client.transport, b, N));
	memcpy(copy, b, sizeof b);
	assert_int_equal(noise_open(&p.server.transport, copy, sizeof copy), ERR_AUTH); /* b before a */
	memcpy(copy, a, sizeof a);
	assert_int_equal(noise_open(&p.client.transport, copy, sizeof copy), ERR_AUTH); /* reflected */
	memcpy(copy, a, sizeof a);
	assert_ok(noise_open(&p.server.transport, copy, sizeof copy));
	assert_int_equal(copy[N - 1], 1);
	memcpy(copy, a, sizeof a);
	assert_int_equal(noise_open(&p.server.transport, copy, sizeof copy), ERR_AUTH); /* a again */
	assert_int_equal(p.server.transport.recv_n, 1);
	assert_ok(noise_open(&p.server.transport, b, sizeof b));
	assert_int_equal(noise_open(&p.server.transport, b, NOISE_TAG_LEN - 1), ERR_AUTH);
	assert_int_equal(p.server.transport.recv_n, 2);
}

static void test_counter_end(void **state)
{
	struct pair p = joined(8, 140);
	uint8_t a[N + NOISE_TAG_LEN];

	(void)state;
	p.client.transport.send_n = p.server.transport.recv_n = NOISE_COUNTER_END - 1;
	fill_record(a, 3);
	assert_ok(noise_seal(&p.client.transport, a, N));
	assert_ok(noise_open(&p.server.transport, a, sizeof a));
	fill_record(a, 4);
	assert_int_equal(noise_seal(&p.client.transport, a, N), ERR_CLOSED);
	assert_int_equal(a[0], 4); /* not a byte was touched, and the counter stays at its end */
	assert_int_equal(noise_open(&p.server.transport, a, sizeof a), ERR_CLOSED);
	assert_true(p.client.transport.send_n == NOISE_COUNTER_END && p.server.transport.recv_n == NOISE_COUNTER_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_vectors_tampered),
		cmocka_unit_test(test_forged_handshake),
		cmocka_unit_test(test_small_order_points),
		cmocka_unit_test(test_stolen_public_key),
		cmocka_unit_test(test_replay_and_order),
		cmocka_unit_test(test_counter_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
