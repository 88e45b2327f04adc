/* Three relays of one region, each with one to three workers, meshed, and nodes that come and go, on connections in memory:
 *
 *	node ... node --- relay 0 ===== relay 1 --- node ...
 *	                      \\\     ///
 *	                        relay 2 --- node ...
 *
 * Bytes move in random pieces and workers run in random order. Connections break with bytes under way, nodes connect twice
 * with one key and move between relays, readers stop, links stall, break and return, relays restart, keys are revoked.
 * For each seed: a packet arrives at most once, whole, at a connection of the key that it was sent to and with its
 * sender's key; between two connections packets of a kind keep their order; every packet that a relay took is accounted for;
 * and when it has become calm every node reaches every other. SEEDS=… and SEED=… in the environment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/base/reader.h"
#include "common/wire/derp_client.h"
#include "derp/relay_mesh.h"
#include "tests/lib/test.h"

enum {
	SITES = 3,
	WORKERS_MAX = 3,
	NODES = 7,
	WIRES = 20,		 /* nodes' connections at one time */
	CONNS_MAX = 2000,	 /* of one seed: a number for each that ever was */
	SENT_MAX = 40000,
	DOWN_MAX = 96 << 10,	 /* what the socket from a relay takes */
	STEPS = 1500,
	KINDS = 2,		 /* bulk, disco */
	HEAD = 10,		 /* of a packet: six bytes that make it disco or not, four of its number */
	DISCO_MIN = 62,
};

struct site;
/* A DERP connection: our client's half, the relay's half, and what is under way between them. */
struct wire {
	bool used, connected;
	uint32_t no; /* unlike any other's of this seed */
	int node;    /* whose; -1: another relay's link */
	struct site *at;
	unsigned worker;
	struct derp_client near;
	struct relay_client *far;
	struct buf down;
	bool stopped; /* its reader; a link's: nothing moves */
	bool closed;  /* by the relay; it ends when nothing of the relay is on the stack */
	int64_t read_at_ms;
	struct site *from; /* links: the relay that dialled */
	unsigned link;
	uint32_t last[KINDS][CONNS_MAX]; /* number of the newest packet from each connection, + 1 */
};
struct site {
	int index;
	struct node_key key;
	struct relay *relay;
	unsigned workers;
	struct relay_worker *w[WORKERS_MAX];
	bool woken[WORKERS_MAX];
	struct wire link[SITES]; /* to each other one */
	unsigned link_worker[SITES], link_id[SITES];
};
struct sent {
	uint32_t conn;
	uint8_t src, dst, kind;
	bool delivered;
	uint32_t n;
};
static struct world {
	struct test_rng rng;
	int64_t now_ms;
	struct secret32 mesh_key;
	struct site site[SITES];
	struct node_key node[NODES];
	struct wire wire[WIRES];
	uint32_t n_conns, n_sent;
	struct sent sent[SENT_MAX];
	bool calm; /* no more trouble: what is lost now is a fault */
} w;
static uint64_t seed_now, sum_sent, sum_delivered, sum_forwarded, sum_dropped, sum_conns;

#define CHECK(x)                                                                                                       \
	do {                                                                                                           \
		if (!(x))                                                                                              \
			fail_msg("seed %llu at %s:%d: %s", (unsigned long long)seed_now, __FILE__, __LINE__, #x);      \
	} while (0)

static uint64_t below(uint64_t n)
{
	return rng_below(&w.rng, n);
}

/* ---- packets ---------------------------------------------------------------------------------------------------- */

static const uint8_t disco_magic[6] = { 0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac };

/* The packet with this number: anybody can tell what must be in it. */
static void packet_fill(uint8_t *p, uint32_t id)
{
	const struct sent *s = &w.sent[id];
	struct writer out = wr_init(p, HEAD);

	if (s->kind)
		wr_bytes(&out, bytes_of(disco_magic, sizeof disco_magic));
	else
		wr_bytes(&out, BYTES_LIT("bulk: "));
	wr_u32be(&out, id);
	for (uint32_t i = HEAD; i < s->n; i++)
		p[i] = (uint8_t)(id * 31 + i * (i >> 8 | 1));
}

static uint32_t random_size(bool disco)
{
	uint32_t least = disco ? DISCO_MIN : HEAD;

	switch (below(12)) {
	case 0:
		return DERP_PACKET_MAX - (uint32_t)below(2);
	case 1:
		return least;
	case 2:
	case 3:
		return 4000 + (uint32_t)below(20000);
	default:
		return least + (uint32_t)below(1500);
	}
}

static void send_one(struct wire *from, int dst, bool disco, uint32_t n)
{
	static uint8_t p[DERP_PACKET_MAX];

	if (w.n_sent == SENT_MAX)
		return;
	w.sent[w.n_sent] = (struct sent){ from->no, (uint8_t)from->node, (uint8_t)dst, disco, false, n };
	packet_fill(p, w.n_sent);
	err e = derp_client_send(&from->near, &w.node[dst].pub, bytes_of(p, n));
	CHECK(e == OK || e == ERR_TOO_BIG);
	w.n_sent += e == OK;
}

static void packet_came(struct wire *to, const struct derp_packet *pkt)
{
	static uint8_t must[DERP_PACKET_MAX];
	struct reader r = rd_init(pkt->packet);

	CHECK(to->node >= 0); /* nobody sends to a relay */
	rd_take(&r, HEAD - 4);
	uint32_t id = rd_u32be(&r);
	CHECK(!r.bad && id < w.n_sent);
	struct sent *s = &w.sent[id];
	CHECK(s->dst == to->node);
	CHECK(node_pub_eq(&pkt->key, &w.node[s->src].pub));
	CHECK(!s->delivered);
	packet_fill(must, id);
	CHECK(pkt->packet.n == s->n && memcmp(pkt->packet.p, must, s->n) == 0);
	CHECK(to->last[s->kind][s->conn] <= id);
	to->last[s->kind][s->conn] = id + 1;
	s->delivered = true;
	sum_delivered++;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

/* The relay's half has output, or has closed. */
static void push(void *ctx)
{
	struct wire *c = ctx;
	uint8_t out[16384];

	if (relay_client_session(c->far)->state == SESSION_CLOSED) {
		c->closed = true;
		return;
	}
	for (;;) {
		if (buf_len(&c->down) >= DOWN_MAX) {
			relay_client_blocked(c->far, true);
			return;
		}
		/* Records of all sizes, so that frames are cut everywhere. */
		size_t n = relay_client_pull(c->far, out, below(8) ? sizeof out : DERP_SHORT_MAX + below(100));
		if (!n)
			break;
		buf_append(&c->down, bytes_of(out, n));
		CHECK(!c->down.bad);
	}
	relay_client_blocked(c->far, false);
}

static void wire_open(struct wire *c, struct site *at, unsigned worker, const struct node_key *key, bool mesh)
{
	struct relay_client_opts o = { .push = push, .ctx = c, .peer = { addr_v4(192, 0, 2, (uint8_t)(1 + below(200))), 1 } };
	struct derp_client_opts co = { .key = key, .host = "relay.example", .raw = true };

	CHECK(!c->used);
	memset(c, 0, sizeof *c);
	c->used = true;
	c->no = w.n_conns++;
	c->node = -1;
	c->at = at;
	c->worker = worker;
	c->down = buf_make(DOWN_MAX + (64 << 10));
	co.info = (struct derp_client_info){ .version = DERP_PROTOCOL_VERSION, .can_ack_pings = true };
	if (mesh) {
		co.info.has_mesh_key = true;
		co.info.mesh_key = w.mesh_key;
	}
	assert_ok(derp_client_init(&c->near, &co));
	assert_ok(relay_client_new(at->w[worker], &o, w.now_ms, &c->far));
}

static void node_open(void)
{
	struct site *at = &w.site[below(SITES)];

	if (w.n_conns + SITES * SITES >= CONNS_MAX)
		return;
	for (int i = 0; i < WIRES; i++) {
		struct wire *c = &w.wire[i];

		if (c->used)
			continue;
		int node = (int)below(NODES);
		wire_open(c, at, (unsigned)below(at->workers), &w.node[node], false);
		c->node = node;
		return;
	}
}

static void wire_end(struct wire *c)
{
	if (!c->used)
		return;
	relay_client_end(c->far);
	derp_client_done(&c->near);
	buf_done(&c->down);
	if (c->from && c->connected)
		relay_link_lost(c->from->w[c->from->link_worker[c->at->index]], c->link);
	c->used = false;
}

static void on_event(struct wire *c, const struct derp_client_event *ev)
{
	struct relay_worker *home = c->from ? c->from->w[c->from->link_worker[c->at->index]] : NULL;

	switch (ev->kind) {
	case DERP_CLIENT_CONNECTED:
		c->connected = true;
		if (c->from)
			assert_ok(derp_client_watch(&c->near));
		return;
	case DERP_CLIENT_PACKET:
		packet_came(c, &ev->packet);
		return;
	case DERP_CLIENT_PEER_PRESENT:
		CHECK(c->from);
		if (!(ev->present.flags & DERP_PRESENT_MESH))
			relay_link_came(home, c->link, &ev->present.key);
		return;
	case DERP_CLIENT_PEER_GONE:
		if (c->from && ev->gone.reason == DERP_GONE_DISCONNECTED)
			relay_link_left(home, c->link, &ev->gone.key);
		return;
	case DERP_CLIENT_KEEP_ALIVE:
	case DERP_CLIENT_PONG:
	case DERP_CLIENT_HEALTH:
	case DERP_CLIENT_RESTARTING:
		return;
	}
}

/* Some bytes from the relay, and the events in them. */
static void move_down(struct wire *c, size_t at_most)
{
	struct derp_client_event ev;
	struct bytes v = bytes_first(buf_view(&c->down), at_most);
	err e;

	if (c->stopped || !v.n)
		return;
	assert_ok(derp_client_feed(&c->near, v));
	buf_consume(&c->down, v.n);
	while ((e = derp_client_next(&c->near, &ev)) == OK)
		on_event(c, &ev);
	CHECK(e == ERR_TRUNCATED);
	if (buf_len(&c->down) < DOWN_MAX)
		push(c); /* the socket takes more */
}

/* Some bytes to the relay. They wait in queues of others, borrowed, until the worker is flushed. */
static void move_up(struct wire *c, size_t at_most)
{
	struct session *s = relay_client_session(c->far);
	struct relay_worker *rw = c->at->w[c->worker];

	if (c->closed || !session_wants_input(s) || (c->from && c->stopped) || w.now_ms < c->read_at_ms)
		return;
	int64_t pause_ms = relay_client_pause_ms(c->far, w.now_ms);
	if (pause_ms) {
		c->read_at_ms = w.now_ms + pause_ms;
		return;
	}
	size_t cap;
	uint8_t *area = relay_area(rw, &cap);
	struct bytes v = bytes_first(buf_view(&c->near.out), MIN_OF(cap, at_most));
	if (c->closed || !v.n)
		return;
	memcpy(area, v.p, v.n);
	relay_area_used(rw, v.n);
	buf_consume(&c->near.out, v.n);
	relay_client_feed(c->far, area, v.n, w.now_ms);
}

static void each_wire(void (*fn)(struct wire *c))
{
	for (int i = 0; i < WIRES; i++)
		if (w.wire[i].used)
			fn(&w.wire[i]);
	for (int i = 0; i < SITES; i++)
		for (int k = 0; k < SITES; k++)
			if (w.site[i].link[k].used)
				fn(&w.site[i].link[k]);
}

static void reap(struct wire *c)
{
	if (relay_client_session(c->far)->state == SESSION_CLOSED)
		c->closed = true;
	if (!c->closed)
		return;
	CHECK(!w.calm);
	wire_end(c);
}

static void tick(struct wire *c)
{
	session_tick(relay_client_session(c->far), w.now_ms);
}

/* ---- relays ----------------------------------------------------------------------------------------------------- */

static void wake(void *ctx)
{
	*(bool *)ctx = true;
}

/* The relay's packet for the other side of a link. What that cannot take is lost. */
static void on_forward(void *ctx, struct bytes frame)
{
	struct wire *l = ctx;

	if (l->used && l->connected && !l->closed) {
		err e = derp_client_forward(&l->near, frame);
		CHECK(e == OK || e == ERR_TOO_BIG);
	}
}

static void site_start(struct site *s)
{
	struct relay_opts o = { .workers = s->workers, .key = s->key, .has_mesh_key = true, .mesh_key = w.mesh_key };

	if (below(4) == 0)
		o.limits.max_queued_bytes = 300000;
	assert_ok(relay_new(&o, &s->relay));
	for (unsigned i = 0; i < s->workers; i++)
		assert_ok(relay_worker_new(s->relay, wake, &s->woken[i], &s->w[i]));
	for (int k = 0; k < SITES; k++) {
		if (&w.site[k] == s)
			continue;
		s->link_worker[k] = (unsigned)below(s->workers);
		assert_ok(relay_link_new(s->w[s->link_worker[k]], on_forward, &s->link[k], &s->link_id[k]));
	}
}

/* Nothing that was taken in vanishes without being counted. */
static void account(struct site *s, bool all)
{
	struct relay_stats t;

	relay_stats_read(s->relay, &t);
	uint64_t in = t.packets_received + t.forwarded_in;
	uint64_t drops = t.dropped_unknown_dest + t.dropped_unknown_dest_on_fwd + t.dropped_gone + t.dropped_queue_head +
			 t.dropped_queue_tail;
	uint64_t out = t.packets_sent + t.forwarded_out + drops;

	CHECK(out <= in);
	if (!all)
		return;
	CHECK(in == out);
	CHECK(t.connections == 0 && t.watchers == 0 && t.queued_bytes == 0);
	CHECK(relay_remote_keys(s->relay) == 0 && relay_conns(s->relay) == 0);
	CHECK(relay_count_keys(s->relay).keys == 0);
	sum_forwarded += t.forwarded_out;
	sum_dropped += drops;
}

static void flush_all(void)
{
	for (int i = 0; i < SITES; i++)
		for (unsigned k = 0; k < w.site[i].workers; k++)
			relay_flush(w.site[i].w[k]);
	each_wire(reap);
}

static void run_all(struct site *s)
{
	for (bool again = true; again;) {
		for (unsigned k = 0; k < s->workers; k++) {
			s->woken[k] = false;
			relay_worker_run(s->w[k], w.now_ms);
			relay_flush(s->w[k]);
		}
		again = false;
		for (unsigned k = 0; k < s->workers; k++)
			again |= s->woken[k];
	}
}

static void end_of_site(struct site *s)
{
	for (int i = 0; i < WIRES; i++)
		if (w.wire[i].used && w.wire[i].at == s)
			wire_end(&w.wire[i]);
	for (int k = 0; k < SITES; k++) {
		wire_end(&s->link[k]);
		wire_end(&w.site[k].link[s->index]);
	}
	run_all(s); /* what one worker has told another last */
	account(s, true);
	relay_free(s->relay);
}

static void link_open(struct site *from, struct site *to)
{
	struct wire *l = &from->link[to->index];

	if (from == to || l->used || w.n_conns + 1 >= CONNS_MAX)
		return;
	wire_open(l, to, (unsigned)below(to->workers), &from->key, true);
	l->from = from;
	l->link = from->link_id[to->index];
}

static void restart(struct site *s)
{
	end_of_site(s);
	s->workers = 1 + (unsigned)below(WORKERS_MAX);
	site_start(s);
}

/* ---- a seed ----------------------------------------------------------------------------------------------------- */

/* One that is in use, or NULL. */
static struct wire *any_wire(bool links)
{
	unsigned start = (unsigned)below(WIRES);

	if (links && below(3) == 0) {
		struct wire *l = &w.site[below(SITES)].link[below(SITES)];

		return l->used ? l : NULL;
	}
	for (unsigned i = 0; i < WIRES; i++)
		if (w.wire[(start + i) % WIRES].used)
			return &w.wire[(start + i) % WIRES];
	return NULL;
}

static void some_sending(struct wire *c)
{
	int dst = (int)below(NODES);
	uint64_t n = below(10) ? 1 + below(6) : 1 + below(200);

	for (uint64_t i = 0; c && c->node >= 0 && c->connected && i < n; i++) {
		bool disco = below(4) == 0;

		send_one(c, below(8) ? dst : (int)below(NODES), disco, random_size(disco));
	}
}

/* What nodes and the world do to relays. */
static void trouble(void)
{
	struct wire *c = any_wire(true);
	struct site *s = &w.site[below(SITES)];

	switch (below(24)) {
	case 0:
	case 1:
	case 2:
	case 3:
		node_open();
		return;
	case 4:
	case 5:
	case 6:
		if (c && !below(3)) /* what it wrote last may still be read */
			move_up(c, below(100000));
		flush_all();
		if (c && c->used)
			wire_end(c);
		return;
	case 7:
	case 8:
		if (c)
			c->stopped = true;
		return;
	case 9:
	case 10:
	case 11:
		if (c)
			c->stopped = false;
		return;
	case 12:
	case 13:
	case 14:
	case 15:
		link_open(s, &w.site[below(SITES)]);
		return;
	case 16:
		assert_ok(relay_close_key(s->relay, &w.node[below(NODES)].pub));
		return;
	case 17:
		if (c && c->from && c->connected)
			assert_ok(derp_client_close_peer(&c->near, &w.node[below(NODES)].pub));
		return;
	case 18:
		if (below(4) == 0)
			restart(s);
		return;
	case 19:
		w.now_ms += (int64_t)(below(30) ? below(100) : 70000); /* keepalives, and handshakes that took too long */
		each_wire(tick);
		return;
	case 20:
		if (c && c->connected && c->node >= 0 && below(4) == 0) /* a frame that no client may send */
			buf_append(&c->near.out, bytes_of((const uint8_t[]){ DERP_SEND_PACKET, 0, 0, 0, 31 }, 5));
		return;
	case 21:
		if (c && c->connected)
			(void)!derp_client_ping(&c->near, &(struct derp_ping){ 0 });
		return;
	default:
		if (c && c->connected && c->node >= 0)
			(void)!derp_client_note_preferred(&c->near, below(2));
		return;
	}
}

static void move_some(void)
{
	struct wire *c = any_wire(true);
	struct site *s = &w.site[below(SITES)];
	unsigned k = (unsigned)below(s->workers);

	if (c && below(2))
		move_up(c, below(4) ? 1 + below(200000) : 1 + below(50));
	else if (c)
		move_down(c, below(4) ? 1 + below(200000) : 1 + below(50));
	switch (below(6)) {
	case 0:
		s->woken[k] = false;
		relay_worker_run(s->w[k], w.now_ms);
		return;
	case 1:
		relay_flush(s->w[k]);
		return;
	case 2:
		flush_all();
		return;
	default:
		w.now_ms += below(4) == 0;
		each_wire(reap);
		return;
	}
}

static void move_all(struct wire *c)
{
	move_up(c, SIZE_MAX);
	move_down(c, SIZE_MAX);
}

static size_t under_way;
static void add_under_way(struct wire *c)
{
	const struct session *s = relay_client_session(c->far);

	under_way += buf_len(&c->near.out) + buf_len(&c->down) + session_has_output(s);
}

/* Until nothing moves any more. */
static void settle(void)
{
	unsigned quiet = 0;

	for (unsigned turn = 0; quiet < 3; turn++) {
		CHECK(turn < 20000);
		w.now_ms++;
		each_wire(move_all);
		for (int i = 0; i < SITES; i++)
			run_all(&w.site[i]);
		flush_all();
		under_way = 0;
		each_wire(add_under_way);
		quiet = under_way ? 0 : quiet + 1;
	}
}

static void resume(struct wire *c)
{
	c->stopped = false;
}

/* One connection a node at any relay, all links: everybody reaches everybody, at once and at most once. */
static void calm(void)
{
	static struct wire *of[NODES];
	size_t at[SITES] = { 0 };

	each_wire(resume);
	settle();
	for (int i = 0; i < WIRES; i++)
		wire_end(&w.wire[i]);
	for (int i = 0; i < SITES; i++)
		for (int k = 0; k < SITES; k++)
			link_open(&w.site[i], &w.site[k]);
	for (int i = 0; i < NODES; i++) {
		struct site *s = &w.site[below(SITES)];

		of[i] = &w.wire[i];
		wire_open(of[i], s, (unsigned)below(s->workers), &w.node[i], false);
		of[i]->node = i;
		at[s->index]++;
	}
	settle();
	w.calm = true;
	for (int i = 0; i < SITES; i++) {
		struct relay_stats t;

		relay_stats_read(w.site[i].relay, &t);
		CHECK(t.watchers == SITES - 1);
		CHECK(relay_remote_keys(w.site[i].relay) == NODES - at[i]);
	}
	for (unsigned round = 0; round < 2; round++) {
		uint32_t first = w.n_sent;

		for (int i = 0; i < NODES; i++)
			for (int k = 0; k < NODES; k++)
				send_one(of[i], k, (i + k + (int)round) % 2, DISCO_MIN + (uint32_t)below(1400));
		settle();
		CHECK(w.n_sent - first == NODES * NODES);
		for (uint32_t id = first; id < w.n_sent; id++)
			CHECK(w.sent[id].delivered);
	}
	w.calm = false;
}

static void one_seed(uint64_t seed)
{
	seed_now = seed;
	test_random_seed(seed);
	memset(&w, 0, sizeof w);
	w.rng.s = seed;
	w.now_ms = 1000;
	random_fill(w.mesh_key.b, sizeof w.mesh_key.b);
	for (int i = 0; i < NODES; i++)
		node_key_new(&w.node[i]);
	for (int i = 0; i < SITES; i++) {
		w.site[i].index = i;
		w.site[i].workers = 1 + (unsigned)below(WORKERS_MAX);
		node_key_new(&w.site[i].key);
		site_start(&w.site[i]);
	}
	/* Some worlds are troubled all the time, in others most of what happens is traffic. */
	uint64_t rate = 2 + below(30);
	for (unsigned step = 0; step < STEPS; step++) {
		if (below(rate) == 0)
			trouble();
		else if (below(6) == 0 && w.n_sent < SENT_MAX - 2 * NODES * NODES - 200)
			some_sending(any_wire(false));
		for (unsigned i = 0; i < 4; i++)
			move_some();
		if (step % 64 == 0)
			for (int i = 0; i < SITES; i++)
				account(&w.site[i], false);
	}
	flush_all();
	calm();
	for (int i = 0; i < SITES; i++)
		end_of_site(&w.site[i]);
	sum_sent += w.n_sent;
	sum_conns += w.n_conns;
	test_random_end();
}

static void test_worlds(void **state)
{
	const char *one = getenv("SEED"), *many = getenv("SEEDS");

	(void)state;
	if (one) {
		one_seed(strtoull(one, NULL, 10));
		return;
	}
	uint64_t n = many ? strtoull(many, NULL, 10) : 200;
	for (uint64_t seed = 1; seed <= n; seed++)
		one_seed(seed);
	print_message("%llu packets sent on %llu connections, %llu delivered, %llu forwarded between relays, %llu dropped\n",
		(unsigned long long)sum_sent, (unsigned long long)sum_conns, (unsigned long long)sum_delivered,
		(unsigned long long)sum_forwarded, (unsigned long long)sum_dropped);
	/* Worlds in which little happens prove little. */
	assert_true(sum_delivered > sum_sent / 4 && sum_forwarded > sum_sent / 20 && sum_dropped > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_worlds) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
