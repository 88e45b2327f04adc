/* Engines joined in memory: sessions, what travels in them, peers that change, and what strangers send. */
#include "client/wg/internal.h"

#include <stdlib.h>

#include "common/base/random.h"
#include "tests/lib/vectors.h"
#include "tests/lib/wg_join.h"

static void test_first_packet(void **state)
{
	struct wg_join j;

	(void)state;
	wg_join_init(&j, 2, 1);
	j.delay_ms = 20;
	assert_false(wg_join_send(&j, 0, 1, 100));
	assert_int_equal(wg_peer_status(j.end[0].peer[1], j.now_ms).staged, 1);
	assert_true(wg_peer_status(j.end[0].peer[1], j.now_ms).handshaking);
	wg_join_run(&j, 61);
	assert_int_equal(j.end[1].got, 1);
	assert_int_equal(j.end[1].last_n, 100);
	assert_ptr_equal(j.end[1].last_peer, j.end[1].peer[0]);
	assert_int_equal(j.end[0].up, 1);
	assert_int_equal(j.end[1].up, 1);
	assert_int_equal(j.sent[WG_INITIATION], 1);
	assert_int_equal(j.sent[WG_RESPONSE], 1);
	assert_int_equal(j.sent[WG_TRANSPORT], 1); /* the packet itself serves as the proof */
	assert_true(wg_join_send(&j, 1, 0, 50));
	wg_join_run(&j, 30);
	assert_int_equal(j.end[0].got, 1);
	assert_int_equal(wg_peer_from(j.end[0].peer[1])->token, 2);
	wg_join_done(&j);
}

/* Every size up to the MTU and beyond; padding to 16 but never beyond the MTU. */
static size_t longest;
static bool note_longest(struct wg_join *j, size_t from, size_t to, struct bytes m)
{
	(void)j, (void)from, (void)to;
	if (m.p[0] == WG_TRANSPORT && m.n > longest)
		longest = m.n;
	return true;
}

static void test_sizes(void **state)
{
	struct wg_join j;

	(void)state;
	wg_join_init(&j, 2, 2);
	j.on_wire = note_longest;
	wg_join_send(&j, 0, 1, 20);
	wg_join_run(&j, 10);
	for (size_t n = 20; n <= 1400; n++) {
		unsigned before = j.end[1].got;

		longest = 0;
		wg_join_send(&j, 0, 1, n);
		wg_join_run(&j, 0);
		assert_int_equal(j.end[1].got, before + 1);
		assert_int_equal(j.end[1].last_n, n);
		if (n > 20)
			assert_int_equal(j.end[1].last[n - 1], n > 20 ? (uint8_t)(n - 1) : 0);
		size_t padded = (n + 15) & ~(size_t)15;
		if (n <= 1280)
			assert_int_equal(longest, padded + WG_OVERHEAD);
	}
	wg_join_done(&j);
	assert_int_equal(1280 % 16, 0);
}

static void test_odd_mtu(void **state)
{
	struct node_key a, b;
	struct wg *wg;
	struct wg_peer *p;
	struct wg_keypair *k;
	struct wg_keys keys = { 0 };

	(void)state;
	node_key_new(&a);
	node_key_new(&b);
	assert_ok(wg_new(&(struct wg_config){ .key = &a, .mtu = 1275 }, &wg));
	assert_ok(wg_peer_add(wg, &(struct wg_peer_config){ .key = b.pub }, &p));
	assert_ok(keypair_new(p, &keys, 0, 1, true, 0, &k));
	for (size_t n = 1; n <= 1275; n++) {
		uint8_t room[WG_HEADROOM + 1275 + WG_TAILROOM] = { 0 };
		struct wg_packet pkt = { .p = room + WG_HEADROOM, .n = n };

		assert_ok(keypair_seal(k, &pkt, 1275));
		assert_int_equal(pkt.n, (n > 1264 ? 1275 : (n + 15) / 16 * 16) + WG_OVERHEAD);
	}
	keypair_free(k);
	wg_free(wg);
}

static void test_batches(void **state)
{
	enum { N = 50, STRIDE = 1400 };
	static uint8_t room[N * STRIDE];
	struct wg_join j;
	struct wg_packet pkts[N];
	struct wg_from from = wg_join_from(0);

	(void)state;
	wg_join_init(&j, 2, 3);
	wg_join_send(&j, 0, 1, 40);
	wg_join_run(&j, 10);
	for (size_t i = 0; i < N; i++) {
		uint8_t *p = room + i * STRIDE + 64;

		memset(p, 0, 1000);
		memcpy(p, "\x45\0\0\0\0\0\0\0\x40\x11\0\0\x64\x40\0\1\x64\x40\0\2", 20);
		p[2] = (uint8_t)((400 + i) >> 8);
		p[3] = (uint8_t)(400 + i);
		pkts[i] = (struct wg_packet){ .p = p, .n = 400 + i };
	}
	assert_true(wg_seal(j.end[0].peer[1], pkts, N, j.now_ms));
	/* The 7th is damaged, the 9th repeats the 8th. */
	pkts[7].p[30] ^= 1;
	memcpy(pkts[9].p, pkts[8].p, pkts[8].n);
	pkts[9].n = pkts[8].n;
	wg_open(j.end[1].wg, &from, pkts, N, j.now_ms);
	for (size_t i = 0; i < N; i++) {
		bool lost = i == 7 || i == 9;

		assert_int_equal(pkts[i].n, lost ? 0 : 400 + i);
		assert_ptr_equal(pkts[i].peer, lost ? NULL : j.end[1].peer[0]);
	}
	assert_int_equal(wg_stats(j.end[1].wg)->unauthentic, 1);
	assert_int_equal(wg_stats(j.end[1].wg)->replayed, 1);
	wg_join_done(&j);
}

static void test_lossy(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 15; seed++) {
		struct wg_join j;
		unsigned sent = 0;

		wg_join_init(&j, 3, seed);
		j.delay_ms = 50;
		j.jitter_ms = 80;
		j.loss_pct = 10;
		j.repeat_pct = 20;
		for (int i = 0; i < 6000; i++) {
			size_t from = rng_below(&j.rng, 3), to = (from + 1 + rng_below(&j.rng, 2)) % 3;

			wg_join_send(&j, from, to, 20 + rng_below(&j.rng, 1260));
			sent++;
			wg_join_run(&j, (int64_t)rng_below(&j.rng, 200));
		}
		wg_join_run(&j, 500);
		unsigned got = j.end[0].got + j.end[1].got + j.end[2].got;
		/* Nothing twice; and beyond the lost tenth almost all arrives, through some five rekeys. */
		assert_true(got <= sent);
		assert_true(got * 100 > sent * 87);
		wg_join_done(&j);
	}
}

/* Rekeys under traffic lose nothing, whoever began, and also where both began at once. */
static void test_rekey_without_loss(void **state)
{
	(void)state;
	for (int both = 0; both < 2; both++) {
		struct wg_join j;
		unsigned sent = 0;

		wg_join_init(&j, 2, 40 + (uint64_t)both);
		j.delay_ms = 30;
		wg_join_send(&j, 0, 1, 100);
		if (both)
			wg_join_send(&j, 1, 0, 100);
		wg_join_run(&j, 200);
		sent = j.end[0].got + j.end[1].got;
		assert_int_equal(sent, 1 + both);
		for (int i = 0; i < 5000; i++) { /* 500 s */
			wg_join_send(&j, 0, 1, 200);
			wg_join_send(&j, 1, 0, 300);
			sent += 2;
			wg_join_run(&j, 100);
		}
		wg_join_run(&j, 200);
		assert_int_equal(j.end[0].got + j.end[1].got, sent);
		assert_in_range(j.end[0].up, 5, 8);
		wg_join_done(&j);
	}
}

static void test_restarts(void **state)
{
	struct wg_join j;

	(void)state;
	wg_join_init(&j, 2, 5);
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 100);
	assert_int_equal(j.end[1].got, 1);

	/* The responder restarts: what we send falls silent, and 15 s later a new handshake mends it. */
	wg_join_restart(&j, 1, 1700000001000LL, (struct wg_timestamp){ 0 });
	j.end[1].got = 0;
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 14900);
	assert_int_equal(j.end[1].got, 0);
	wg_join_run(&j, 600);
	assert_int_equal(j.end[1].up, 2);
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 10);
	assert_int_equal(j.end[1].got, 1);

	/* The same, but we are told. */
	wg_join_restart(&j, 1, 1700000002000LL, (struct wg_timestamp){ 0 });
	wg_peer_reset(j.end[0].peer[1]);
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 100);
	assert_int_equal(j.end[1].got, 2);

	/* The initiator restarts with its clock an hour back: without its last timestamp it is not heard, with it it
	 * is. */
	struct wg_timestamp last = wg_last_timestamp(j.end[0].wg);
	j.end[1].got = 0;
	wg_join_restart(&j, 0, 1700000000000LL - 3600000, (struct wg_timestamp){ 0 });
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 20);
	assert_int_equal(j.end[1].got, 0);
	assert_int_equal(wg_stats(j.end[1].wg)->stale_initiation, 1);
	wg_join_restart(&j, 0, 1700000000000LL - 3600000, last);
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 100);
	assert_int_equal(j.end[1].got, 1);
	wg_join_done(&j);
}

/* A path appears after the first initiation was lost. */
static bool is_down;
static bool link_state(struct wg_join *j, size_t from, size_t to, struct bytes m)
{
	(void)j, (void)from, (void)to, (void)m;
	return !is_down;
}

static void test_kick(void **state)
{
	struct wg_join j;

	(void)state;
	wg_join_init(&j, 2, 6);
	j.on_wire = link_state;
	is_down = true;
	wg_join_send(&j, 0, 1, 100);
	wg_peer_kick(j.end[0].peer[1], j.now_ms); /* at once after the first: waits for WG_KICK_MS */
	wg_join_run(&j, WG_KICK_MS - 1);
	assert_int_equal(j.sent[WG_INITIATION], 1);
	wg_join_run(&j, 1);
	assert_int_equal(j.sent[WG_INITIATION], 2);
	wg_join_run(&j, 1000);
	assert_int_equal(j.sent[WG_INITIATION], 2);
	is_down = false;
	wg_peer_kick(j.end[0].peer[1], j.now_ms);
	wg_join_run(&j, 1);
	assert_int_equal(j.end[1].got, 1);
	wg_peer_kick(j.end[0].peer[1], j.now_ms); /* there is a session: nothing happens */
	wg_join_run(&j, 1000);
	assert_int_equal(j.sent[WG_INITIATION], 3);
	wg_join_done(&j);
}

static void test_staging_bounds(void **state)
{
	struct wg_join j;

	(void)state;
	wg_join_init(&j, 2, 7);
	j.on_wire = link_state;
	is_down = true;
	for (int i = 0; i < 200; i++)
		wg_join_send(&j, 0, 1, (size_t)(100 + i));
	assert_int_equal(wg_peer_status(j.end[0].peer[1], j.now_ms).staged, WG_STAGED_MAX);
	assert_int_equal(wg_stats(j.end[0].wg)->staged_dropped, 200 - WG_STAGED_MAX);
	is_down = false;
	wg_join_run(&j, 6000);
	assert_int_equal(j.end[1].got, WG_STAGED_MAX);
	assert_int_equal(j.end[1].last_n, 299); /* in order, the oldest gone */
	assert_int_equal(j.end[0].wg->staged_bytes, 0);
	wg_join_done(&j);

	/* All peers together. */
	struct node_key a;
	struct wg *wg;
	node_key_new(&a);
	assert_ok(wg_new(&(struct wg_config){ .key = &a, .mtu = 1280 }, &wg));
	for (int i = 0; i < 20; i++) {
		struct node_key b;
		struct wg_peer *p;
		uint8_t room[WG_HEADROOM + 1280 + WG_TAILROOM] = { 0 };

		node_key_new(&b);
		assert_ok(wg_peer_add(wg, &(struct wg_peer_config){ .key = b.pub }, &p));
		for (int k = 0; k < WG_STAGED_MAX; k++) {
			struct wg_packet pkt = { .p = room + WG_HEADROOM, .n = 1280 };
			assert_false(wg_seal(p, &pkt, 1, 5));
		}
		assert_true(wg->staged_bytes <= WG_STAGED_BYTES_MAX);
	}
	assert_true(wg_stats(wg)->staged_dropped > 1000);
	wg_free(wg);
}

static void test_give_up(void **state)
{
	struct wg_join j;

	(void)state;
	wg_join_init(&j, 2, 8);
	j.on_wire = link_state;
	is_down = true;
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 89000);
	assert_int_equal(j.end[0].gave_up, 0);
	wg_join_run(&j, 20000);
	assert_int_equal(j.end[0].gave_up, 1);
	assert_int_equal(j.sent[WG_INITIATION], 1 + REKEY_ATTEMPTS_MAX);
	assert_int_equal(wg_peer_status(j.end[0].peer[1], j.now_ms).staged, 0);
	assert_false(wg_peer_status(j.end[0].peer[1], j.now_ms).handshaking);
	is_down = false;
	wg_join_send(&j, 0, 1, 100); /* starts over */
	wg_join_run(&j, 100);
	assert_int_equal(j.end[1].got, 1);
	wg_join_done(&j);
}

static void test_spoofed_inner(void **state)
{
	struct wg_join j;
	uint8_t p[60] = { 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 100, 64, 0, 3, 100, 64, 0, 2 };

	(void)state;
	wg_join_init(&j, 3, 9);
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 10);
	wg_join_send_raw(&j, 0, 1, bytes_of(p, 40)); /* the third's address */
	wg_join_run(&j, 1);
	assert_int_equal(wg_stats(j.end[1].wg)->bad_source, 1);
	p[15] = 1;
	wg_join_send_raw(&j, 0, 1, bytes_of(p, 40));
	wg_join_run(&j, 1);
	assert_int_equal(j.end[1].got, 2);
	p[3] = 61; /* longer than what was sealed */
	wg_join_send_raw(&j, 0, 1, bytes_of(p, 40));
	p[3] = 19;
	wg_join_send_raw(&j, 0, 1, bytes_of(p, 40));
	p[0] = 0x55;
	wg_join_send_raw(&j, 0, 1, bytes_of(p, 40));
	p[0] = 0x60; /* IPv6 of a wrong length, then one that is whole but nobody's */
	memset(p + 4, 0xff, 2);
	wg_join_send_raw(&j, 0, 1, bytes_of(p, 60));
	memset(p + 4, 0, 2);
	p[5] = 20;
	wg_join_send_raw(&j, 0, 1, bytes_of(p, 60));
	wg_join_send_raw(&j, 0, 1, bytes_of(p, 3));
	wg_join_run(&j, 1);
	assert_int_equal(j.end[1].got, 2);
	assert_int_equal(wg_stats(j.end[1].wg)->bad_inner, 5);
	assert_int_equal(wg_stats(j.end[1].wg)->bad_source, 2);
	wg_join_done(&j);
}

/* Cuts and flips of every message of a session change nothing, and the session goes on. */
static uint8_t kept[5][2000];
static size_t kept_n[5];
static bool keep(struct wg_join *j, size_t from, size_t to, struct bytes m)
{
	(void)j, (void)from, (void)to;
	if (m.p[0] < 5 && m.n <= 2000) {
		memcpy(kept[m.p[0]], m.p, m.n);
		kept_n[m.p[0]] = m.n;
	}
	return true;
}

static void throw_in(struct bytes in, void *ctx)
{
	struct wg_join *j = ctx;

	wg_join_inject(j, 0, 1, in);
	wg_join_inject(j, 1, 0, in);
	wg_join_run(j, 0);
}

static void test_garbage(void **state)
{
	struct wg_join j;

	(void)state;
	wg_join_init(&j, 2, 10);
	j.on_wire = keep;
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 100);
	j.on_wire = NULL;
	assert_int_equal(j.end[1].got, 1);
	for (int t = WG_INITIATION; t <= WG_TRANSPORT; t++)
		if (kept_n[t])
			test_torture(bytes_of(kept[t], kept_n[t]), throw_in, &j);
	wg_join_run(&j, 1000);
	assert_int_equal(j.end[1].got, 1);
	assert_int_equal(j.end[0].got, 0);
	assert_int_equal(j.end[0].up, 1);
	assert_int_equal(j.end[1].up, 1);
	wg_join_send(&j, 0, 1, 100);
	wg_join_send(&j, 1, 0, 100);
	wg_join_run(&j, 10);
	assert_int_equal(j.end[1].got, 2);
	assert_int_equal(j.end[0].got, 1);
	wg_join_done(&j);
}

/* Responses and transport of the vectors through a whole engine: alice initiates with the vector's keys. */
static uint8_t fixed[32];
static uint32_t fixed_index;
static void fill_vector(void *ctx, void *p, size_t n)
{
	(void)ctx;
	if (n == 32)
		memcpy(p, fixed, 32);
	else if (n == 4)
		memcpy(p, &fixed_index, 4);
	else
		memset(p, 0, n);
}

static void test_vectors(void **state)
{
	json_t *root = vectors_load("wireguard_handshake.json"), *keys = json_object_get(root, "keys"), *t;
	struct node_key alice, bob;
	struct wg *a, *b;
	struct wg_peer *pa, *pb;
	struct wg_out out;
	struct wg_from from = wg_join_from(0);
	struct prefix any = { { .family = 4 }, 0 };
	size_t at;

	(void)state;
	vec_copy(json_object_get(keys, "initiator_static"), "private", alice.secret.b, 32);
	vec_copy(json_object_get(keys, "responder_static"), "private", bob.secret.b, 32);
	node_key_derive(&alice);
	node_key_derive(&bob);
	/* 400000006a6d370a 12000000 as Unix milliseconds, rounded up to the next whole one. */
	struct wg_config c = {
		.key = &alice, .mtu = 1280, .now_ms = 1, .wall_ms = 0x6a6d3700LL * 1000 + 0x12000000 / 1000000 + 1
	};
	assert_ok(wg_new(&c, &a));
	c.key = &bob;
	assert_ok(wg_new(&c, &b));
	assert_ok(wg_peer_add(a, &(struct wg_peer_config){ .key = bob.pub, .allowed = &any, .n_allowed = 1 }, &pa));
	assert_ok(wg_peer_add(b, &(struct wg_peer_config){ .key = alice.pub, .allowed = &any, .n_allowed = 1 }, &pb));

	vec_copy(json_object_get(keys, "initiator_ephemeral"), "private", fixed, 32);
	fixed_index = (uint32_t)vec_int(keys, "initiator_index");
	random_replace(fill_vector, NULL);
	wg_peer_connect(pa, 1);
	assert_true(wg_pull(a, 1, &out));
	vec_assert(json_object_get(root, "initiation"), "message", bytes_of(out.p, out.n));

	json_array_foreach(json_object_get(root, "must_drop"), at, t)
	{
		struct bytes bad = vec_hex(t, "hex");
		struct wg_packet pkt = { .p = (uint8_t *)(uintptr_t)bad.p, .n = bad.n };
		struct wg_out none;

		wg_open(b, &from, &pkt, 1, 1);
		assert_int_equal(pkt.n, 0);
		assert_false(wg_step(b, 10, 1));
		assert_false(wg_pull(b, 1, &none));
		test_exact_free(bad);
	}
	assert_int_equal(wg_stats(b)->malformed + wg_stats(b)->bad_mac, 5);

	vec_copy(json_object_get(keys, "responder_ephemeral"), "private", fixed, 32);
	fixed_index = (uint32_t)vec_int(keys, "responder_index");
	struct wg_packet pkt = { .p = out.p, .n = out.n };
	wg_open(b, &from, &pkt, 1, 1);
	assert_false(wg_step(b, 10, 1));
	assert_true(wg_pull(b, 1, &out));
	vec_assert(json_object_get(root, "response"), "message", bytes_of(out.p, out.n));
	pkt = (struct wg_packet){ .p = out.p, .n = out.n };
	wg_open(a, &from, &pkt, 1, 1);
	wg_step(a, 10, 1);

	json_array_foreach(json_object_get(root, "transport"), at, t)
	{
		bool up = strcmp(vec_str(t, "dir"), "i2r") == 0;
		struct bytes want = vec_hex(t, "message"), in = vec_hex(t, "inner_packet");
		uint8_t room[WG_HEADROOM + 200 + WG_TAILROOM];
		struct wg_packet p = { .p = room + WG_HEADROOM, .n = in.n };

		if (in.n)
			memcpy(p.p, in.p, in.n);
		if (up && in.n == 0) { /* the keepalive that proves the session: the engine sends it itself */
			assert_true(wg_pull(a, 1, &out));
			p = (struct wg_packet){ .p = out.p, .n = out.n };
		} else if (in.n == 0) {
			assert_ok(keypair_seal(pb->current, &p, 1280));
		} else {
			assert_true(wg_seal(up ? pa : pb, &p, 1, 1));
		}
		assert_true(bytes_eq(bytes_of(p.p, p.n), want));
		wg_open(up ? b : a, &from, &p, 1, 1);
		assert_true(bytes_eq(bytes_of(p.p, p.n), in));
		test_exact_free(want);
		test_exact_free(in);
	}
	random_replace(NULL, NULL);
	wg_free(a);
	wg_free(b);
	json_decref(root);
}

static void test_peers_live(void **state)
{
	struct wg_join j;
	struct wg_peer *p;
	struct prefix nets[3];

	(void)state;
	wg_join_init(&j, 3, 11);
	struct wg *wg = j.end[0].wg;
	struct wg_peer_config c = { .key = j.end[1].key.pub };
	assert_int_equal(wg_peer_add(wg, &c, &p), ERR_EXISTS);
	c.key = j.end[0].key.pub;
	assert_int_equal(wg_peer_add(wg, &c, &p), ERR_INVALID);
	memset(&c.key, 0, sizeof c.key);
	assert_int_equal(wg_peer_add(wg, &c, &p), ERR_INVALID);
	c.key.b[0] = 9;
	nets[0] = (struct prefix){ addr_v4(1, 2, 3, 4), 99 };
	c.allowed = nets;
	c.n_allowed = 1;
	assert_int_equal(wg_peer_add(wg, &c, &p), ERR_INVALID);
	c.n_allowed = WG_ALLOWED_MAX + 1;
	assert_int_equal(wg_peer_add(wg, &c, &p), ERR_TOO_BIG);
	assert_null(wg_peer_by_key(wg, &c.key));

	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 10);
	/* Routes come and go under a running session. */
	nets[0] = addr_prefix(j.end[1].addr);
	nets[1] = (struct prefix){ addr_v4(10, 1, 2, 3), 8 };
	nets[2] = (struct prefix){ { .family = 4 }, 0 };
	assert_ok(wg_peer_set_allowed(j.end[0].peer[1], nets, 3));
	assert_ptr_equal(wg_peer_by_addr(wg, addr_v4(10, 9, 9, 9)), j.end[0].peer[1]);
	assert_ptr_equal(wg_peer_by_addr(wg, j.end[2].addr), j.end[0].peer[2]);
	assert_ok(wg_peer_set_allowed(j.end[0].peer[2], &nets[1], 1)); /* moves, and the old one is gone */
	assert_ptr_equal(wg_peer_by_addr(wg, addr_v4(10, 9, 9, 9)), j.end[0].peer[2]);
	assert_ptr_equal(wg_peer_by_addr(wg, j.end[2].addr), j.end[0].peer[1]);
	assert_ok(wg_peer_set_allowed(j.end[0].peer[1], nets, 1));
	assert_null(wg_peer_by_addr(wg, addr_v4(11, 1, 1, 1)));
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 10);
	assert_int_equal(j.end[1].got, 2);
	assert_int_equal(j.sent[WG_INITIATION], 1);

	/* A peer goes with everything of it: a response that waits, staged packets, timers. */
	wg_join_send(&j, 0, 2, 100);
	wg_peer_del(j.end[0].peer[2]);
	j.end[0].peer[2] = NULL;
	wg_join_run(&j, 10000);
	assert_int_equal(j.end[2].got, 0);
	size_t at = 0, n = 0;
	while (wg_next_peer(wg, &at))
		n++;
	assert_int_equal(n, 1);
	assert_int_equal(wg->staged_bytes, 0);
	assert_int_equal(wg->allowed.n, 1);
	wg_join_done(&j);
}

static struct node_pub asked;
static bool let_in;
static void on_unknown(void *ctx, struct wg *wg, const struct node_pub *key, const struct wg_from *from)
{
	struct prefix p = addr_prefix(addr_v4(100, 64, 0, 1));
	struct wg_peer *made;

	(void)ctx;
	asked = *key;
	assert_int_equal(from->token, 1);
	if (let_in)
		assert_ok(
			wg_peer_add(wg, &(struct wg_peer_config){ .key = *key, .allowed = &p, .n_allowed = 1 }, &made));
}

static void test_on_demand(void **state)
{
	struct wg_join j;

	(void)state;
	wg_join_init(&j, 2, 12);
	wg_peer_del(j.end[1].peer[0]);
	j.end[1].wg->on_unknown = on_unknown;
	let_in = false;
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 1);
	assert_true(node_pub_eq(&asked, &j.end[0].key.pub));
	assert_int_equal(wg_stats(j.end[1].wg)->unknown_peer, 1);
	assert_int_equal(j.sent[WG_RESPONSE], 0);
	let_in = true;
	wg_join_run(&j, 1);
	wg_peer_kick(j.end[0].peer[1], j.now_ms);
	j.end[0].peer[0] = NULL;
	/* Its user is not set, so the harness cannot send to it: look at what the engine wants to send. */
	struct wg_out out;
	uint8_t m[WG_INITIATION_LEN];
	j.now_ms += WG_KICK_MS;
	wg_tick(j.end[0].wg, j.now_ms);
	assert_true(wg_pull(j.end[0].wg, j.now_ms, &out));
	memcpy(m, out.p, sizeof m);
	struct wg_packet pkt = { .p = m, .n = sizeof m };
	struct wg_from from = wg_join_from(0);
	wg_open(j.end[1].wg, &from, &pkt, 1, j.now_ms);
	wg_step(j.end[1].wg, 1, j.now_ms);
	assert_true(wg_pull(j.end[1].wg, j.now_ms, &out));
	assert_int_equal(out.n, WG_RESPONSE_LEN);
	assert_true(out.is_handshake);
	assert_int_equal(out.to.token, 1);
	wg_join_done(&j);
}

static void test_new_key(void **state)
{
	struct wg_join j;
	struct node_key fresh;

	(void)state;
	wg_join_init(&j, 2, 13);
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 10);
	node_key_new(&fresh);
	wg_set_key(j.end[0].wg, &fresh);
	wg_join_send(&j, 0, 1, 100);
	wg_join_run(&j, 10);
	assert_int_equal(j.end[1].got, 1); /* the other side knows no such key */
	assert_int_equal(wg_stats(j.end[1].wg)->unknown_peer, 1);
	struct prefix p = addr_prefix(j.end[0].addr);
	wg_peer_del(j.end[1].peer[0]);
	assert_ok(wg_peer_add(j.end[1].wg,
		&(struct wg_peer_config){ .key = fresh.pub, .allowed = &p, .n_allowed = 1, .user = &j.end[0] },
		&j.end[1].peer[0]));
	wg_join_run(&j, 6000);
	assert_int_equal(j.end[1].got, 2);
	wg_join_done(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_packet),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_odd_mtu),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_lossy),
		cmocka_unit_test(test_rekey_without_loss),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_kick),
		cmocka_unit_test(test_staging_bounds),
		cmocka_unit_test(test_give_up),
		cmocka_unit_test(test_spoofed_inner),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_peers_live),
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_new_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
