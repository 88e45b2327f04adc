/* The filter: each protocol's rule (wireguard.md 11.3), and random rules and packets against a naive reading of them. */
#include "client/filter/filter.h"

#include <stdlib.h>

#include "client/filter/inner.h"
#include "client/netmap.h"
#include "common/base/cleanup.h"
#include "common/base/writer.h"
#include "tests/lib/test.h"

static struct addr at(const char *text)
{
	struct addr a;

	assert_ok(addr_parse(bytes_str(text), &a));
	return a;
}

/* A packet with the transport header that the filter looks at. more: TCP flags or ICMP type. */
struct spec {
	struct addr src, dst;
	uint8_t proto;
	uint16_t sport, dport;
	uint8_t more;
	unsigned offset; /* fragment, in bytes */
};
static struct bytes packet(const struct spec *s)
{
	uint8_t b[120] = { 0 }, body[20] = { 0 };
	struct writer w = wr_init(b, sizeof b), t = wr_init(body, sizeof body);
	size_t len = 20;

	wr_u16be(&t, s->sport);
	wr_u16be(&t, s->dport);
	if (s->proto == IP_TCP)
		body[13] = s->more;
	if (s->proto == IP_ICMP || s->proto == IP_ICMP6)
		body[0] = s->more;
	if (s->src.family == 4) {
		wr_u16be(&w, 0x4500);
		wr_u16be(&w, (uint16_t)(20 + len));
		wr_u16be(&w, 0);
		wr_u16be(&w, (uint16_t)(s->offset / 8));
		wr_u8(&w, 64);
		wr_u8(&w, s->proto);
		wr_u16be(&w, 0);
		wr_bytes(&w, bytes_of(s->src.b, 4));
		wr_bytes(&w, bytes_of(s->dst.b, 4));
	} else {
		wr_u32be(&w, 6u << 28);
		wr_u16be(&w, (uint16_t)(len + (s->offset ? 8 : 0)));
		wr_u8(&w, s->offset ? IP_V6_FRAGMENT : s->proto);
		wr_u8(&w, 64);
		wr_bytes(&w, bytes_of(s->src.b, 16));
		wr_bytes(&w, bytes_of(s->dst.b, 16));
		if (s->offset) {
			wr_u8(&w, s->proto);
			wr_u8(&w, 0);
			wr_u16be(&w, (uint16_t)s->offset);
			wr_u32be(&w, 0);
		}
	}
	wr_bytes(&w, bytes_of(body, len));
	assert_false(w.bad);
	return test_exact(wr_view(&w));
}
static enum filter_verdict in(struct filter *f, struct spec s)
{
	struct bytes b = packet(&s);
	enum filter_verdict v = filter_in(f, b);

	test_exact_free(b);
	return v;
}
static enum filter_verdict out(struct filter *f, struct spec s)
{
	struct bytes b = packet(&s);
	enum filter_verdict v = filter_out(f, b);

	test_exact_free(b);
	return v;
}

static bool has_cap(void *ctx, struct addr src, const char *cap)
{
	return addr_eq(src, at("100.64.0.77")) && strcmp(cap, ctx) == 0;
}

static struct filter *one_rule(void)
{
	static const uint8_t odd[] = { 47 };
	const struct nm_range src = { at("100.64.0.1"), at("100.64.0.9") }, src6 = { at("fd7a:115c:a1e0::1"), at("fd7a:115c:a1e0::9") };
	const struct nm_range srcs[] = { src6, src };
	const struct nm_dst ssh[] = { { { at("100.64.0.100"), at("100.64.0.100") }, 22, 22 },
		{ { at("fd7a:115c:a1e0::100"), at("fd7a:115c:a1e0::100") }, 22, 23 } };
	const struct nm_dst all = { { at("100.64.0.100"), at("100.64.0.100") }, 0, 65535 };
	const char *const caps[] = { "admin" };
	const struct nm_rule a = { .src = srcs, .n_src = 2, .dst = ssh, .n_dst = 2, .src_caps = caps, .n_src_caps = 1 };
	const struct nm_rule b = { .src = srcs, .n_src = 2, .dst = &all, .n_dst = 1, .proto = odd, .n_proto = 1 };
	const struct nm_rule *rules[] = { &a, &b };
	const struct prefix self[] = { addr_prefix(at("100.64.0.100")), addr_prefix(at("fd7a:115c:a1e0::100")) };
	struct filter *f;

	assert_ok(filter_new(&f));
	assert_ok(filter_set_rules(f, rules, 2));
	assert_ok(filter_set_self(f, self, 2));
	filter_set_caps(f, has_cap, (void *)(uintptr_t) "admin");
	return f;
}

#define FROM_TO .src = at("100.64.0.5"), .dst = at("100.64.0.100")

static void test_protocols(void **state)
{
	struct filter *f = one_rule();
	struct spec syn = { FROM_TO, .proto = IP_TCP, .sport = 1000, .dport = 22, .more = TCP_SYN };

	(void)state;
	assert_int_equal(in(f, syn), FILTER_ACCEPT);
	syn.dport = 23;
	assert_int_equal(in(f, syn), FILTER_REJECT);
	syn.more = TCP_SYN | TCP_ACK;
	assert_int_equal(in(f, syn), FILTER_ACCEPT);
	syn.more = TCP_ACK;
	assert_int_equal(in(f, syn), FILTER_ACCEPT);
	syn = (struct spec){ FROM_TO, .proto = IP_TCP, .dport = 22, .more = TCP_SYN };
	syn.src = at("100.64.0.10");
	assert_int_equal(in(f, syn), FILTER_REJECT);
	syn.src = at("100.64.0.77"); /* by capability */
	assert_int_equal(in(f, syn), FILTER_ACCEPT);
	syn.dst = at("100.64.0.101");
	assert_int_equal(in(f, syn), FILTER_DROP); /* not ours */
	syn = (struct spec){ at("fd7a:115c:a1e0::5"), at("fd7a:115c:a1e0::100"), IP_TCP, 1, 23, TCP_SYN, 0 };
	assert_int_equal(in(f, syn), FILTER_ACCEPT);
	syn.dport = 24;
	assert_int_equal(in(f, syn), FILTER_DROP); /* no TSMP for IPv6 */

	struct spec udp = { FROM_TO, .proto = IP_UDP, .sport = 53, .dport = 4000 };
	assert_int_equal(in(f, udp), FILTER_DROP);
	udp.dport = 22;
	assert_int_equal(in(f, udp), FILTER_ACCEPT);
	struct spec ping = { FROM_TO, .proto = IP_ICMP, .more = 8 };
	assert_int_equal(in(f, ping), FILTER_ACCEPT); /* some port is open to it */
	ping.src = at("100.64.0.10");
	assert_int_equal(in(f, ping), FILTER_DROP);
	ping.more = 0;
	assert_int_equal(in(f, ping), FILTER_ACCEPT); /* a reply */
	ping.more = 3;
	assert_int_equal(in(f, ping), FILTER_ACCEPT);
	struct spec gre = { FROM_TO, .proto = 47 };
	assert_int_equal(in(f, gre), FILTER_ACCEPT);
	gre.proto = 48;
	assert_int_equal(in(f, gre), FILTER_DROP);
	gre.proto = IP_TSMP;
	assert_int_equal(in(f, gre), FILTER_ACCEPT);

	/* Fragments: later ones pass, those that could overwrite a header do not. */
	struct spec frag = { FROM_TO, .proto = IP_TCP, .offset = 1480 };
	assert_int_equal(in(f, frag), FILTER_ACCEPT);
	frag.offset = 8;
	assert_int_equal(in(f, frag), FILTER_DROP);
	frag = (struct spec){ at("fd7a:115c:a1e0::5"), at("fd7a:115c:a1e0::100"), IP_UDP, 1, 99, 0, 1480 };
	assert_int_equal(in(f, frag), FILTER_ACCEPT);
	/* Out of scope. */
	assert_int_equal(in(f, (struct spec){ at("100.64.0.5"), at("224.0.0.1"), .proto = IP_TSMP }), FILTER_DROP);
	assert_int_equal(out(f, (struct spec){ at("100.64.0.100"), at("169.254.1.1"), .proto = IP_UDP }), FILTER_DROP);
	assert_int_equal(out(f, (struct spec){ at("100.64.0.100"), at("169.254.169.254"), .proto = IP_UDP }), FILTER_ACCEPT);

	filter_set_shields_up(f, true);
	assert_int_equal(in(f, (struct spec){ FROM_TO, .proto = IP_TCP, .dport = 22, .more = TCP_SYN }), FILTER_REJECT);
	assert_int_equal(in(f, (struct spec){ FROM_TO, .proto = IP_ICMP, .more = 8 }), FILTER_DROP);
	assert_int_equal(in(f, (struct spec){ FROM_TO, .proto = IP_TCP, .dport = 22, .more = TCP_ACK }), FILTER_ACCEPT);
	filter_free(f);
}

static enum filter_verdict in_jailed(struct filter *f, struct spec s)
{
	struct bytes b = packet(&s);
	enum filter_verdict v = filter_in_jailed(f, b);

	test_exact_free(b);
	return v;
}

/* A jailed peer may answer and nothing else. */
static void test_jailed(void **state)
{
	struct filter *f = one_rule();
	struct spec ask = { at("100.64.0.100"), at("100.64.0.5"), IP_UDP, 5000, 53, 0, 0 };
	struct spec reply = { at("100.64.0.5"), at("100.64.0.100"), IP_UDP, 53, 5000, 0, 0 };
	struct spec syn = { FROM_TO, .proto = IP_TCP, .dport = 22, .more = TCP_SYN };

	(void)state;
	assert_int_equal(in_jailed(f, syn), FILTER_REJECT);
	assert_int_equal(in(f, syn), FILTER_ACCEPT); /* others are not concerned */
	syn.more = TCP_ACK;
	assert_int_equal(in_jailed(f, syn), FILTER_ACCEPT);
	assert_int_equal(in_jailed(f, reply), FILTER_DROP);
	assert_int_equal(out(f, ask), FILTER_ACCEPT);
	assert_int_equal(in_jailed(f, reply), FILTER_ACCEPT);
	filter_free(f);
}

/* An exit node forwards to the internet, and not into what lies beside it. */
static void test_exit(void **state)
{
	const struct nm_range src = { at("100.64.0.5"), at("100.64.0.5") };
	const struct nm_dst all = { { at("0.0.0.0"), at("255.255.255.255") }, 0, 65535 };
	const struct nm_rule rule = { .src = &src, .n_src = 1, .dst = &all, .n_dst = 1 };
	const struct nm_rule *rules[] = { &rule };
	struct filter *f = one_rule();
	struct spec syn = { at("100.64.0.5"), at("8.8.8.8"), IP_TCP, 1000, 443, TCP_SYN, 0 };
	static const char *const never[] = { "10.0.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.7", "0.0.0.0" };

	(void)state;
	assert_ok(filter_set_rules(f, rules, 1));
	assert_int_equal(in(f, syn), FILTER_DROP);
	filter_set_exit(f, true);
	assert_int_equal(in(f, syn), FILTER_ACCEPT);
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		syn.dst = at(never[i]);
		assert_int_equal(in(f, syn), FILTER_DROP);
	}
	filter_free(f);
}

static void test_replies(void **state)
{
	struct filter *f = one_rule();
	struct spec ask = { at("100.64.0.100"), at("100.64.0.50"), IP_UDP, 5000, 53, 0, 0 };
	struct spec reply = { at("100.64.0.50"), at("100.64.0.100"), IP_UDP, 53, 5000, 0, 0 };

	(void)state;
	assert_int_equal(in(f, reply), FILTER_DROP);
	assert_int_equal(out(f, ask), FILTER_ACCEPT);
	assert_int_equal(in(f, reply), FILTER_ACCEPT);
	reply.sport = 54;
	assert_int_equal(in(f, reply), FILTER_DROP);
	reply.sport = 53;
	reply.src = at("100.64.0.51");
	assert_int_equal(in(f, reply), FILTER_DROP);
	/* A bounded memory: the flow goes when thousands came after it. */
	reply.src = at("100.64.0.50");
	for (unsigned i = 0; i < 20000; i++) {
		ask.sport = (uint16_t)(6000 + i);
		out(f, ask);
	}
	assert_int_equal(in(f, reply), FILTER_DROP);
	assert_true(filter_stats(f)->flows_evicted >= 20000 - FILTER_FLOWS);
	reply.dport = (uint16_t)(6000 + 19999);
	assert_int_equal(in(f, reply), FILTER_ACCEPT);
	filter_free(f);
}

static void test_reject(void **state)
{
	struct filter *f = one_rule();
	struct spec syn = { FROM_TO, .proto = IP_TCP, .sport = 1000, .dport = 23, .more = TCP_SYN };
	struct bytes b = packet(&syn);
	uint8_t reply[FILTER_REJECT_MAX];
	struct inner p;

	(void)state;
	size_t n = filter_write_reject(f, b, reply);
	assert_int_equal(n, 27);
	assert_ok(inner_parse(bytes_of(reply, n), &p));
	assert_true(addr_eq(p.src, syn.dst) && addr_eq(p.dst, syn.src));
	assert_int_equal(p.proto, IP_TSMP);
	assert_memory_equal(reply + 20, "!\6A\x03\xe8\x00\x17", 7);
	uint32_t sum = 0;
	for (size_t i = 0; i < 20; i += 2)
		sum += (uint32_t)(reply[i] << 8 | reply[i + 1]);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	test_exact_free(b);
	syn.proto = IP_UDP;
	b = packet(&syn);
	assert_int_equal(filter_write_reject(f, b, reply), 0);
	test_exact_free(b);
	filter_free(f);
}

static void try_in(struct bytes b, void *ctx)
{
	filter_in(ctx, b);
	filter_out(ctx, b);
}
static void test_malformed(void **state)
{
	struct filter *f = one_rule();
	struct spec s[] = { { FROM_TO, .proto = IP_TCP, .dport = 22, .more = TCP_SYN }, { FROM_TO, .proto = IP_ICMP },
		{ at("fd7a:115c:a1e0::5"), at("fd7a:115c:a1e0::100"), IP_UDP, 1, 99, 0, 1480 } };

	(void)state;
	assert_int_equal(filter_in(f, (struct bytes){ 0 }), FILTER_DROP);
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		struct bytes b = packet(&s[i]);

		test_torture(b, try_in, f);
		for (size_t n = 0; n < b.n; n++) { /* nothing that is cut passes */
			struct bytes cut = test_exact(bytes_first(b, n));

			assert_int_equal(filter_in(f, cut), FILTER_DROP);
			test_exact_free(cut);
		}
		test_exact_free(b);
	}
	filter_free(f);
}

/* ---- against the naive reading -------------------------------------------------------------------------------- */

enum { RULES = 6, ITEMS = 5 };
struct naive {
	struct nm_range src[RULES][ITEMS];
	struct nm_dst dst[RULES][ITEMS];
	uint8_t proto[RULES][3];
	struct nm_rule rule[RULES];
};

static struct addr some_addr(struct test_rng *r, uint8_t family)
{
	struct addr a = { .family = family };

	a.b[0] = family == 4 ? 100 : 0xfd;
	a.b[family == 4 ? 3 : 15] = (uint8_t)rng_below(r, 12);
	return a;
}
static struct nm_range some_range(struct test_rng *r)
{
	uint8_t family = rng_below(r, 2) ? 4 : 6;
	struct addr a = some_addr(r, family), b = some_addr(r, family);

	return addr_cmp(a, b) <= 0 ? (struct nm_range){ a, b } : (struct nm_range){ b, a };
}
static bool has(const struct nm_range *r, struct addr a)
{
	return a.family == r->first.family && memcmp(r->first.b, a.b, 16) <= 0 && memcmp(a.b, r->last.b, 16) <= 0;
}
static bool naive_lets(const struct naive *v, const struct spec *s)
{
	for (int i = 0; i < RULES; i++) {
		const struct nm_rule *r = &v->rule[i];
		bool proto = r->n_proto == 0 && (s->proto == 6 || s->proto == 17 || s->proto == 1 || s->proto == 58), src = false;

		for (size_t k = 0; k < r->n_proto; k++)
			proto |= r->proto[k] == s->proto;
		for (size_t k = 0; k < r->n_src; k++)
			src |= has(&r->src[k], s->src);
		for (size_t k = 0; k < r->n_dst && src; k++) {
			const struct nm_dst *d = &r->dst[k];
			bool ports = d->first_port <= s->dport && s->dport <= d->last_port;

			if (!has(&d->at, s->dst))
				continue;
			if (s->proto == 1 || s->proto == 58)
				return true;
			if (s->proto != 6 && s->proto != 17 && s->proto != 132)
				ports = d->first_port == 0 && d->last_port == 65535;
			if (proto && ports)
				return true;
		}
	}
	return false;
}

static void test_random(void **state)
{
	static const uint8_t protos[] = { 6, 17, 1, 58, 132, 47, 50 };
	static struct naive v;
	unsigned passed = 0, all = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct test_rng r = { seed };
		const struct nm_rule *rules[RULES];
		const struct prefix self[] = { { at("100.0.0.0"), 8 }, { at("fd00::"), 8 } };
		struct filter *f;

		for (int i = 0; i < RULES; i++) {
			for (int k = 0; k < ITEMS; k++) {
				v.src[i][k] = some_range(&r);
				v.dst[i][k] = (struct nm_dst){ some_range(&r), (uint16_t)rng_below(&r, 5), (uint16_t)(4 + rng_below(&r, 5)) };
				if (rng_below(&r, 4) == 0)
					v.dst[i][k].first_port = 0, v.dst[i][k].last_port = 65535;
			}
			for (int k = 0; k < 3; k++)
				v.proto[i][k] = protos[rng_below(&r, sizeof protos)];
			v.rule[i] = (struct nm_rule){ .src = v.src[i], .n_src = rng_below(&r, ITEMS), .dst = v.dst[i],
				.n_dst = rng_below(&r, 3), .proto = v.proto[i], .n_proto = rng_below(&r, 4) };
			rules[i] = &v.rule[i];
		}
		assert_ok(filter_new(&f));
		assert_ok(filter_set_rules(f, rules, RULES));
		assert_ok(filter_set_self(f, self, 2));
		for (int i = 0; i < 300; i++) {
			uint8_t family = rng_below(&r, 2) ? 4 : 6;
			struct spec s = { some_addr(&r, family), some_addr(&r, family), protos[rng_below(&r, sizeof protos)], 1,
				(uint16_t)rng_below(&r, 10), 0, 0 };

			if (s.proto == 6)
				s.more = TCP_SYN;
			if (s.proto == 1 || s.proto == 58)
				s.more = s.proto == 1 ? 8 : 128;
			bool lets = in(f, s) == FILTER_ACCEPT;
			assert_int_equal(lets, naive_lets(&v, &s));
			passed += lets;
			all++;
		}
		filter_free(f);
	}
	assert_in_range(passed, all / 20, all * 19 / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_jailed),
		cmocka_unit_test(test_exit),
		cmocka_unit_test(test_reject),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
