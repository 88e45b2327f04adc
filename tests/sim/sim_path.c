/* Two path engines, two STUN servers and a DERP relay on a simulated network:
 *
 *	host A -- NAT A --\            /-- STUN 1, STUN 2
 *	                   [ internet ]
 *	host B -- NAT B --/            \-- DERP (reliable)
 *
 * NATs of all kinds, or one LAN for both; loss, delay and reordering on every UDP hop. For each seed: traffic always
 * arrives; a direct path is found exactly where one is possible; when UDP dies, DERP takes over; when it comes back, or a
 * NAT forgets its mappings, a direct path returns; and idle peers are silent. SEEDS=… and SEED=… in the environment. */
#include <stdio.h>
#include <stdlib.h>

#include "client/path/path.h"
#include "common/base/random.h"
#include "common/wire/stun.h"
#include "tests/lib/test.h"

enum nat {
	NAT_NONE,
	NAT_CONE,	/* one mapping, anybody may answer */
	NAT_RESTRICTED, /* one mapping; addresses that we sent to may answer */
	NAT_EASY,	/* one mapping; addresses and ports that we sent to */
	NAT_HARD,	/* a mapping a destination; it alone may answer */
	NAT_BLOCKED,	/* no UDP at all */
	NAT_KINDS
};
static const char *const nat_name[NAT_KINDS] = { "none", "cone", "restricted", "easy", "hard", "blocked" };

enum { HOSTS = 2, FLIGHT_MAX = 8192, MAPPINGS_MAX = 4096, PACKET_MAX = 2200, DERP_REGION = 7 };

struct mapping {
	struct addrport to;   /* for hard NATs and filters */
	uint16_t port;	      /* outside */
};
struct host {
	struct path *path;
	struct path_peer *peer; /* the other one */
	struct node_pub key;
	struct disco_key disco;
	enum nat nat;
	struct addrport local, outside;	 /* outside.port: of the one mapping */
	uint16_t next_port;
	struct mapping *mapping;
	size_t n_mappings;
	bool udp_cut;
	bool talks;
	int64_t next_talk_us, last_got_us, first_got_us, max_gap_us;
	uint64_t got, sent_udp;
};
struct flight {
	int64_t at_us;
	int to; /* host */
	struct path_from from;
	size_t n;
	uint8_t *p;
};
struct world {
	struct test_rng rng;
	int64_t now_us;
	struct host h[HOSTS];
	bool one_lan;
	unsigned loss_percent;
	int64_t delay_us, jitter_us;
	struct flight flight[FLIGHT_MAX];
	size_t n_flights;
	struct addrport stun[2];
};

static struct world w;

static const char *seed_text(uint64_t seed)
{
	static char text[160];

	snprintf(text, sizeof text, "SEED=%llu A=%s B=%s lan=%d loss=%u%% delay=%lldms", (unsigned long long)seed,
		nat_name[w.h[0].nat], nat_name[w.h[1].nat], w.one_lan, w.loss_percent, (long long)(w.delay_us / 1000));
	return text;
}
static void print_host(int i)
{
	static struct path_peer_status st;
	char text[ADDRPORT_TEXT_MAX];

	path_peer_status(w.h[i].peer, w.now_us, &st);
	const struct path_report *r = path_report(w.h[i].path);
	size_t n_endpoints;

	path_endpoints(w.h[i].path, &n_endpoints);
	print_error("host %d: %zu endpoints, last report at %lld ms, udp %d, varies %d, stray %llu/%llu, refused %llu\n", i,
		n_endpoints, (long long)(r->done_us / 1000), r->udp, r->varies,
		(unsigned long long)path_stats(w.h[i].path)->stray_stun,
		(unsigned long long)path_stats(w.h[i].path)->stray_pong,
		(unsigned long long)path_stats(w.h[i].path)->refused_call);
	print_error("host %d: active %d, best %s, trusted %d\n", i, st.active, addrport_text(st.best, text), st.trusted);
	for (size_t k = 0; k < st.n_candidates; k++) {
		const struct path_candidate *c = &st.candidate[k];

		print_error("  %s netmap %d called %d pinged %d latency %lld us, pong at %lld ms\n", addrport_text(c->at, text),
			c->netmap, c->called, c->pinged, (long long)c->latency_us, (long long)c->pong_ms);
	}
}
#define CHECK(cond)                                                                                                    \
	do {                                                                                                           \
		if (!(cond)) {                                                                                         \
			print_error("%s at %lld ms: %s\n", seed_text(seed), (long long)(w.now_us / 1000), #cond);      \
			print_host(0);                                                                                 \
			print_host(1);                                                                                 \
			fail();                                                                                        \
		}                                                                                                      \
	} while (0)

/* ---- the network ---------------------------------------------------------------------------------------------- */

static void fly(int to, const struct path_from *from, struct bytes packet, bool reliable)
{
	if (!reliable && rng_below(&w.rng, 100) < w.loss_percent)
		return;
	assert_true(w.n_flights < FLIGHT_MAX && packet.n <= PACKET_MAX);
	struct flight *f = &w.flight[w.n_flights++];

	*f = (struct flight){ .to = to, .from = *from, .n = packet.n, .p = malloc(packet.n ? packet.n : 1) };
	assert_non_null(f->p);
	memcpy(f->p, packet.p, packet.n);
	f->at_us = w.now_us + w.delay_us + (reliable || !w.jitter_us ? 0 : (int64_t)rng_below(&w.rng, (uint64_t)w.jitter_us));
}

/* What the packet looks like outside of the NAT. family 0: it does not get out. */
static struct addrport nat_out(struct host *h, struct addrport to)
{
	struct addrport from = h->outside;
	struct mapping *m = NULL;

	if (h->nat == NAT_BLOCKED)
		return (struct addrport){ 0 };
	if (h->nat == NAT_NONE)
		return h->local;
	for (size_t i = 0; i < h->n_mappings; i++) {
		if (addrport_eq(h->mapping[i].to, to))
			m = &h->mapping[i];
	}
	if (!m) {
		assert_true(h->n_mappings < MAPPINGS_MAX);
		m = &h->mapping[h->n_mappings++];
		*m = (struct mapping){ .to = to, .port = h->nat == NAT_HARD ? h->next_port++ : h->outside.port };
	}
	from.port = m->port;
	return from;
}

static bool nat_lets_in(const struct host *h, struct addrport from, struct addrport at)
{
	if (h->nat == NAT_NONE)
		return addrport_eq(at, h->local);
	if (!addr_eq(at.addr, h->outside.addr) || h->nat == NAT_BLOCKED)
		return false;
	for (size_t i = 0; i < h->n_mappings; i++) {
		const struct mapping *m = &h->mapping[i];

		if (m->port != at.port)
			continue;
		if (h->nat == NAT_CONE || (h->nat == NAT_RESTRICTED && addr_eq(m->to.addr, from.addr)) ||
			addrport_eq(m->to, from))
			return true;
	}
	return false;
}

static void udp_from(int i, struct addrport to, struct bytes packet)
{
	struct host *h = &w.h[i], *other = &w.h[!i];

	h->sent_udp++;
	if (h->udp_cut)
		return;
	if (w.one_lan && addrport_eq(to, other->local)) {
		if (!other->udp_cut)
			fly(!i, &(struct path_from){ .addr = h->local }, packet, false);
		return;
	}
	struct addrport from = nat_out(h, to);
	if (!from.addr.family)
		return;
	for (int s = 0; s < 2; s++) {
		struct stun_txid txid;
		uint8_t reply[STUN_RESPONSE_MAX];

		if (!addrport_eq(to, w.stun[s]) || stun_parse_request(packet, &txid) != OK)
			continue;
		if (rng_below(&w.rng, 100) < w.loss_percent)
			return;
		size_t n = stun_write_response(reply, &txid, from);
		fly(i, &(struct path_from){ .addr = to }, bytes_of(reply, n), false);
		return;
	}
	if (!other->udp_cut && nat_lets_in(other, from, to))
		fly(!i, &(struct path_from){ .addr = from }, packet, false);
}

static void send_one(int i, const struct path_out *o)
{
	if (o->to.addr.family)
		udp_from(i, o->to, o->packet);
	else if (o->region == DERP_REGION && node_pub_eq(&o->key, &w.h[!i].key))
		fly(!i, &(struct path_from){ .region = DERP_REGION, .key = w.h[i].key }, o->packet, true);
}

/* ---- a host --------------------------------------------------------------------------------------------------- */

static void talk(int i)
{
	static const uint8_t packet[32] = { 4 }; /* WireGuard data, to look at */
	struct path_route r;

	path_route(w.h[i].peer, w.now_us, &r);
	struct path_out o = { .to = r.udp, .key = w.h[!i].key, .packet = bytes_of(packet, sizeof packet) };
	if (r.udp.addr.family)
		send_one(i, &o);
	o.to = (struct addrport){ 0 };
	o.region = r.region;
	if (r.region)
		send_one(i, &o);
}

static void update_peer(int i)
{
	size_t n;
	const struct path_endpoint *e = path_endpoints(w.h[!i].path, &n);
	struct addrport at[PATH_ENDPOINTS_MAX];

	for (size_t k = 0; k < n; k++)
		at[k] = e[k].at;
	struct path_peer_config c = { .key = w.h[!i].key,
		.disco = *path_disco(w.h[!i].path),
		.home = DERP_REGION,
		.endpoints = at,
		.n_endpoints = n };
	assert_ok(path_set_peer(w.h[i].path, &c, w.now_us, &w.h[i].peer));
}

static void turn(int i)
{
	struct path *p = w.h[i].path;
	struct path_out o;
	struct path_event ev;

	path_tick(p, w.now_us);
	while (path_pull(p, &o))
		send_one(i, &o);
	while (path_next_event(p, &ev)) {
		/* Control passes endpoints on to the other in half of the worlds only: CallMeMaybe must do. */
		if (ev.kind == PATH_EV_ENDPOINTS && w.delay_us % 2000 == 0 && w.h[!i].peer)
			update_peer(!i);
	}
}

static void got(int i, const struct flight *f)
{
	struct host *h = &w.h[i];

	if (path_recv(h->path, &f->from, bytes_of(f->p, f->n), w.now_us) != PATH_WIREGUARD)
		return;
	h->got++;
	if (!h->first_got_us)
		h->first_got_us = w.now_us;
	if (h->last_got_us && w.now_us - h->last_got_us > h->max_gap_us)
		h->max_gap_us = w.now_us - h->last_got_us;
	h->last_got_us = w.now_us;
	if (f->n == 32 && !h->talks && f->p[0] == 4 && f->p[1] == 0 && w.h[!i].talks)
		talk(i); /* the one who is talked to answers */
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

static int64_t next_us(int64_t end_us)
{
	int64_t next = end_us;

	for (size_t i = 0; i < w.n_flights; i++)
		next = w.flight[i].at_us < next ? w.flight[i].at_us : next;
	for (int i = 0; i < HOSTS; i++) {
		int64_t due = path_due_ms(w.h[i].path);

		if (due < INT64_MAX / 2000 && due * 1000 < next)
			next = due * 1000;
		if (w.h[i].talks && w.h[i].next_talk_us < next)
			next = w.h[i].next_talk_us;
	}
	return next > w.now_us ? next : w.now_us + 1;
}

static void run_until(int64_t end_us)
{
	while (w.now_us < end_us) {
		w.now_us = next_us(end_us);
		for (size_t i = 0; i < w.n_flights;) {
			struct flight f = w.flight[i];

			if (f.at_us > w.now_us) {
				i++;
				continue;
			}
			w.flight[i] = w.flight[--w.n_flights];
			got(f.to, &f);
			free(f.p);
		}
		for (int i = 0; i < HOSTS; i++) {
			if (w.h[i].talks && w.h[i].next_talk_us <= w.now_us) {
				w.h[i].next_talk_us = w.now_us + 100000;
				talk(i);
			}
			turn(i);
		}
	}
}
static void run_ms(int64_t ms)
{
	run_until(w.now_us + ms * 1000);
}

static bool is_direct(int i)
{
	struct path_route r;

	if (!w.h[i].talks)
		return true;
	path_route(w.h[i].peer, w.now_us, &r);
	return r.udp.addr.family && !r.region;
}

/* Milliseconds until whoever talks does so directly; -1: not in time. */
static int64_t wait_direct(int64_t ms)
{
	int64_t start = w.now_us, end = start + ms * 1000;

	while (w.now_us < end) {
		if (is_direct(0) && is_direct(1))
			return (w.now_us - start) / 1000;
		run_ms(5);
	}
	return -1;
}

static bool can_be_direct(void)
{
	enum nat a = w.h[0].nat, b = w.h[1].nat;

	if (w.one_lan)
		return true;
	if (a == NAT_BLOCKED || b == NAT_BLOCKED)
		return false;
	if (a == NAT_HARD && b == NAT_HARD)
		return false;
	if ((a == NAT_HARD && b == NAT_EASY) || (a == NAT_EASY && b == NAT_HARD))
		return false;
	return true;
}

/* ---- a world -------------------------------------------------------------------------------------------------- */

static void world_start(uint64_t seed)
{
	struct path_region region = { .id = DERP_REGION, .n_nodes = 2 };

	memset(&w, 0, sizeof w);
	w.rng.s = seed;
	test_random_seed(seed * 31 + 7);
	w.now_us = 1000000;
	w.one_lan = rng_below(&w.rng, 5) == 0;
	w.loss_percent = rng_below(&w.rng, 2) ? (unsigned)rng_below(&w.rng, 11) : 0;
	w.delay_us = 1000 * (int64_t)(1 + rng_below(&w.rng, 80));
	w.jitter_us = rng_below(&w.rng, 2) ? w.delay_us : 0;
	for (int s = 0; s < 2; s++) {
		w.stun[s] = (struct addrport){ addr_v4(9, 9, 9, (uint8_t)(1 + s)), 3478 };
		region.node[s] = (struct path_node){ .v4 = w.stun[s].addr, .stun_port = 3478, .stun_only = s == 1 };
	}
	for (int i = 0; i < HOSTS; i++) {
		struct host *h = &w.h[i];

		h->nat = (enum nat)rng_below(&w.rng, NAT_KINDS);
		h->local = (struct addrport){ addr_v4(192, 168, (uint8_t)(w.one_lan ? 0 : i), (uint8_t)(2 + i)), 41641 };
		h->outside = (struct addrport){ addr_v4(80, 0, 0, (uint8_t)(w.one_lan ? 1 : 1 + i)), (uint16_t)(2000 + i) };
		if (h->nat == NAT_NONE && !w.one_lan)
			h->local = (struct addrport){ addr_v4(70, 0, 0, (uint8_t)(1 + i)), 41641 };
		h->next_port = 30000;
		h->mapping = calloc(MAPPINGS_MAX, sizeof *h->mapping);
		assert_non_null(h->mapping);
		rng_fill(&w.rng, h->key.b, sizeof h->key.b);
		disco_key_new(&h->disco);
		struct path_config c = { .key = h->key, .disco = &h->disco, .now_us = w.now_us };
		assert_ok(path_new(&c, &h->path));
		path_set_local(h->path, &h->local, 1, false, w.now_us);
		assert_ok(path_set_regions(h->path, &region, 1, w.now_us));
		path_derp_up(h->path, DERP_REGION, true, w.now_us);
	}
	/* Some know each other's endpoints from the start, some only the home. */
	for (int i = 0; i < HOSTS; i++)
		update_peer(i);
}

static void world_end(void)
{
	for (size_t i = 0; i < w.n_flights; i++)
		free(w.flight[i].p);
	for (int i = 0; i < HOSTS; i++) {
		path_free(w.h[i].path);
		free(w.h[i].mapping);
	}
	test_random_end();
}

static int64_t sum_direct_ms, n_direct, worst_clean_ms;

static void one_seed(uint64_t seed)
{
	world_start(seed);
	/* STUN may be through before the first packet, or not. */
	if (rng_below(&w.rng, 2))
		run_ms((int64_t)rng_below(&w.rng, 1000));
	w.h[0].talks = true;
	w.h[1].talks = rng_below(&w.rng, 2);
	w.h[0].next_talk_us = w.h[1].next_talk_us = w.now_us;

	/* By DERP at once, direct soon. */
	int64_t start = w.now_us, rtt_ms = (w.delay_us + w.jitter_us) / 500;
	int64_t limit = w.loss_percent ? 20000 : 1000 + 4 * rtt_ms;
	int64_t took = wait_direct(can_be_direct() ? limit : 8000);
	run_until(start + (w.delay_us * 3) + 400000);
	CHECK(w.h[1].first_got_us && w.h[1].first_got_us - start <= w.delay_us + w.jitter_us + 1000);
	CHECK((took >= 0) == can_be_direct());
	if (took >= 0) {
		sum_direct_ms += took;
		n_direct++;
		if (!w.loss_percent && took > worst_clean_ms)
			worst_clean_ms = took;
	}
	CHECK(path_home(w.h[0].path) == DERP_REGION);

	/* It holds; without loss nothing is lost. */
	run_ms(30000);
	CHECK(w.h[1].max_gap_us < (w.loss_percent ? 3000000 : 400000 + w.jitter_us));
	if (!w.loss_percent)
		CHECK(is_direct(0) == can_be_direct());

	/* UDP dies for a while: DERP takes over when trust has run out. */
	w.h[0].max_gap_us = w.h[1].max_gap_us = 0;
	w.h[rng_below(&w.rng, 2)].udp_cut = true;
	run_ms(15000);
	CHECK(!is_direct(0));
	CHECK(w.h[1].last_got_us >= w.now_us - 300000 - w.delay_us);
	CHECK(w.h[1].max_gap_us <= 7500000);
	w.h[0].udp_cut = w.h[1].udp_cut = false;
	CHECK((wait_direct(can_be_direct() ? 20000 : 4000) >= 0) == can_be_direct());

	/* A NAT forgets everything and maps anew. */
	struct host *h = &w.h[rng_below(&w.rng, 2)];
	h->n_mappings = 0;
	h->outside.port++;
	w.h[1].max_gap_us = 0;
	run_ms(15000);
	CHECK((wait_direct(can_be_direct() ? 30000 : 1000) >= 0) == can_be_direct());
	CHECK(w.h[1].max_gap_us <= 7500000 + (w.loss_percent ? 1000000 : 0));

	/* Nobody talks: silence, and no wake-ups. */
	w.h[0].talks = w.h[1].talks = false;
	run_ms(60000);
	uint64_t a = w.h[0].sent_udp, b = w.h[1].sent_udp;
	run_ms(60000);
	CHECK(w.h[0].sent_udp == a && w.h[1].sent_udp == b);
	CHECK(path_due_ms(w.h[0].path) == INT64_MAX && path_due_ms(w.h[1].path) == INT64_MAX);

	/* And again. */
	w.h[0].talks = true;
	w.h[0].next_talk_us = w.now_us;
	CHECK((wait_direct(can_be_direct() ? limit : 3000) >= 0) == can_be_direct());
	world_end();
}

static void test_worlds(void **state)
{
	const char *one = getenv("SEED"), *many = getenv("SEEDS");

	(void)state;
	if (one) {
		one_seed(strtoull(one, NULL, 10));
		return;
	}
	uint64_t n = many ? strtoull(many, NULL, 10) : 2000;
	for (uint64_t seed = 1; seed <= n; seed++)
		one_seed(seed);
	print_message("direct after %lld ms on average, at most %lld ms without loss\n",
		(long long)(n_direct ? sum_direct_ms / n_direct : 0), (long long)worst_clean_ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_worlds) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
