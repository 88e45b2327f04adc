/* Cutting and putting together: each segment against a naive check of its headers, and both joined: what one side cuts
 * the other side puts together again, byte for byte. */
#include "client/tun/offload.h"

#include <stdlib.h>

#include "common/base/writer.h"
#include "tests/lib/test.h"

enum { MAX = 66000 };

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static uint32_t sum16(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The naive view of a packet. */
struct view {
	bool six, tcp;
	size_t ip, hdr, n;
	const uint8_t *p, *l4;
};

static struct view look(const uint8_t *p, size_t n)
{
	struct view v = { .six = p[0] >> 4 == 6, .n = n, .p = p };

	v.ip = v.six ? 40 : (size_t)(p[0] & 15) * 4;
	v.tcp = (v.six ? p[6] : p[9]) == 6;
	v.l4 = p + v.ip;
	v.hdr = v.ip + (v.tcp ? (size_t)(v.l4[12] >> 4) * 4 : 8);
	return v;
}

static uint32_t pseudo(const struct view *v)
{
	return sum16(v->six ? v->p + 8 : v->p + 12, v->six ? 32 : 8, (uint32_t)(v->n - v->ip) + (v->tcp ? 6 : 17));
}

static void assert_whole(const uint8_t *p, size_t n)
{
	struct view v = look(p, n);

	assert_int_equal(v.six ? be16(p + 4) + 40u : be16(p + 2), n);
	if (!v.six)
		assert_int_equal(sum16(p, v.ip, 0), 0xffff);
	if (!v.tcp)
		assert_int_equal(be16(v.l4 + 4), n - v.ip);
	assert_int_equal(sum16(v.l4, n - v.ip, pseudo(&v)), 0xffff);
}

struct shape {
	bool six, tcp;
	size_t options; /* bytes of TCP options */
	size_t payload, mss;
	uint8_t flags;
	uint32_t seq;
};

/* A large packet as the kernel hands it out: pseudo header's sum in the checksum field. */
static size_t build(uint8_t *out, const struct shape *s, struct vnet *v)
{
	struct writer w = wr_init(out, MAX);
	size_t ip = s->six ? 40 : 20, l4 = s->tcp ? 20 + s->options : 8, n = ip + l4 + s->payload;

	if (s->six) {
		wr_u32be(&w, 0x60300007);
		wr_u16be(&w, (uint16_t)(n - 40));
		wr_u8(&w, s->tcp ? 6 : 17);
		wr_u8(&w, 64);
		for (uint8_t i = 0; i < 32; i++)
			wr_u8(&w, (uint8_t)(i * 7 + 1));
	} else {
		wr_u16be(&w, 0x4502);
		wr_u16be(&w, (uint16_t)n);
		wr_u32be(&w, 0xfffe4000); /* the identification wraps */
		wr_u8(&w, 64);
		wr_u8(&w, s->tcp ? 6 : 17);
		wr_u16be(&w, 0);
		wr_u32be(&w, 0x64400001);
		wr_u32be(&w, 0x64400002);
		uint16_t c = (uint16_t)~sum16(out, 20, 0);
		out[10] = (uint8_t)(c >> 8);
		out[11] = (uint8_t)c;
	}
	wr_u16be(&w, 5001);
	wr_u16be(&w, 40000);
	if (s->tcp) {
		wr_u32be(&w, s->seq);
		wr_u32be(&w, 77);
		wr_u8(&w, (uint8_t)((20 + s->options) / 4 << 4));
		wr_u8(&w, s->flags);
		wr_u16be(&w, 512);
		wr_u32be(&w, 0);
		for (size_t i = 0; i < s->options; i++)
			wr_u8(&w, 1);
	} else {
		wr_u16be(&w, (uint16_t)(8 + s->payload));
		wr_u16be(&w, 0);
	}
	for (size_t i = 0; i < s->payload; i++)
		wr_u8(&w, (uint8_t)(i * 13 + i / 251));
	assert_false(w.bad);
	struct view look_at = look(out, n);
	uint32_t ps = pseudo(&look_at);
	size_t field = ip + (s->tcp ? 16 : 6);
	out[field] = (uint8_t)(ps >> 8);
	out[field + 1] = (uint8_t)ps;
	*v = (struct vnet){
		.needs_csum = true,
		.gso = s->payload <= s->mss ? VNET_NONE
		       : !s->tcp            ? VNET_UDP
		       : s->six             ? VNET_TCP6
					    : VNET_TCP4,
		.hdr_len = 9999, /* must not be trusted */
		.gso_size = s->payload <= s->mss ? 0 : (uint16_t)s->mss,
		.csum_start = (uint16_t)ip,
		.csum_offset = s->tcp ? 16 : 6,
	};
	return n;
}

static uint8_t big[MAX], out[600000];
static struct wg_packet pkts[2000];

/* Cuts in steps of what fits in cap and max, from exact memory. */
static size_t split_all(const struct shape *s, size_t cap, size_t max)
{
	struct vnet v;
	struct tun_split split;
	size_t n = build(big, s, &v), total = 0, used = 0, got;
	struct bytes exact = test_exact(bytes_of(big, n));

	assert_ok(tun_split_init(&split, &v, exact.p, n));
	while ((got = tun_split_step(&split, out + used, cap, pkts + total, max))) {
		for (size_t i = 0; i < got; i++) {
			struct wg_packet *p = &pkts[total + i];
			assert_true(p->p >= out + used + WG_HEADROOM);
			assert_true(p->p + p->n + WG_TAG_LEN <= out + used + cap);
			/* Sealed, they lie one behind the other. */
			if (i)
				assert_ptr_equal(p->p, p[-1].p + ((p[-1].n + 15) & ~(size_t)15) + WG_OVERHEAD);
		}
		total += got;
		used += cap;
	}
	test_exact_free(exact);
	return total;
}

static void check_segments(const struct shape *s, size_t count)
{
	size_t at = 0, hdr = (s->six ? 40 : 20) + (s->tcp ? 20 + s->options : 8);

	assert_int_equal(count, s->payload ? (s->payload + s->mss - 1) / s->mss : 1);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *p = pkts[i].p;
		struct view v = look(p, pkts[i].n);
		bool last = i == count - 1;

		assert_whole(p, pkts[i].n);
		assert_int_equal(v.hdr, hdr);
		if (!last)
			assert_int_equal(pkts[i].n - hdr, s->mss);
		if (s->tcp) {
			assert_int_equal(be32(v.l4 + 4), s->seq + (uint32_t)at);
			uint8_t want = s->flags;
			if (!last)
				want &= (uint8_t)~9;
			if (i)
				want &= 0x7f;
			assert_int_equal(v.l4[13], want);
		}
		if (!s->six)
			assert_int_equal(be16(p + 4), (uint16_t)(0xfffe + i));
		for (size_t k = 0; k < pkts[i].n - hdr; k++)
			if (p[hdr + k] != (uint8_t)((at + k) * 13 + (at + k) / 251))
				fail_msg("segment %zu, byte %zu", i, k);
		at += pkts[i].n - hdr;
	}
	assert_int_equal(at, s->payload);
}

static void test_split(void **state)
{
	static const size_t payloads[] = { 0, 1, 1219, 1220, 1221, 2440, 12345, 60000, 65000 };

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++)
		for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++)
			for (unsigned odd = 0; odd < 3; odd++) {
				struct shape s = { .six = kind & 1,
					.tcp = kind & 2,
					.options = odd * 4,
					.payload = payloads[i],
					.mss = odd == 2 ? 333 : 1220 - odd,
					.flags = odd ? 0x99 : 0x18,
					.seq = 0xffffff00 };

				check_segments(&s, split_all(&s, sizeof out, 2000));
			}
}

static void test_split_in_steps(void **state)
{
	struct shape s = { .tcp = true, .options = 12, .payload = 60001, .mss = 1228, .flags = 0x18, .seq = 5 };

	(void)state;
	check_segments(&s, split_all(&s, 4000, 2000));
	check_segments(&s, split_all(&s, 10000, 3));
	check_segments(&s, split_all(&s, 1400, 1));
	assert_int_equal(split_all(&s, 1000, 10), 0); /* no room for even one */
}

static void test_bad_splits(void **state)
{
	struct shape s = { .tcp = true, .payload = 5000, .mss = 1000, .flags = 0x10 };
	struct vnet good, v;
	struct tun_split split;
	size_t n = build(big, &s, &good);

	(void)state;
	for (size_t cut = 0; cut < 40; cut++)
		assert_int_equal(tun_split_init(&split, &good, big, cut), ERR_MALFORMED);
	v = good;
	v.gso_size = 0;
	assert_int_equal(tun_split_init(&split, &v, big, n), ERR_MALFORMED);
	v = good;
	v.gso = 3; /* UFO */
	assert_int_equal(tun_split_init(&split, &v, big, n), ERR_UNSUPPORTED);
	v = good;
	v.gso = VNET_NONE;
	v.csum_start = 65000;
	assert_int_equal(tun_split_init(&split, &v, big, n), ERR_MALFORMED);
	big[32] = 0x10; /* a data offset of 4 */
	assert_int_equal(tun_split_init(&split, &good, big, n), ERR_MALFORMED);
	big[32] = 0xf0;
	assert_int_equal(tun_split_init(&split, &good, big, 70), ERR_MALFORMED);
	assert_int_equal(vnet_parse(bytes_of(big, 9), &v), ERR_MALFORMED);
	/* Whatever the bytes are, nothing outside them is touched (ASan). */
	struct test_rng r = { 3 };
	for (int i = 0; i < 20000; i++) {
		uint8_t junk[200];
		rng_fill(&r, junk, sizeof junk);
		if (i & 1)
			junk[0] = i & 2 ? 0x45 : 0x60;
		n = rng_below(&r, sizeof junk);
		struct bytes exact = test_exact(bytes_of(junk, n));
		v = (struct vnet){ rng_below(&r, 2), (enum vnet_gso)rng_below(&r, 6), 0, (uint16_t)rng_below(&r, 60),
			(uint16_t)rng_below(&r, 80), (uint16_t)rng_below(&r, 30) };
		if (tun_split_init(&split, &v, exact.p, n) == OK)
			while (tun_split_step(&split, out, 5000, pkts, 10))
				;
		test_exact_free(exact);
	}
}

static void test_vnet(void **state)
{
	struct vnet v = { true, VNET_TCP6, 0x0102, 0x0304, 0x0506, 0x0708 }, w;
	uint8_t b[VNET_LEN];

	(void)state;
	vnet_write(&v, b);
	assert_memory_equal(b, "\1\4\2\1\4\3\6\5\x8\7", VNET_LEN);
	assert_ok(vnet_parse(bytes_of(b, sizeof b), &w));
	assert_true(w.needs_csum && w.gso == VNET_TCP6);
	assert_int_equal(w.hdr_len, v.hdr_len);
	assert_int_equal(w.gso_size, v.gso_size);
	assert_int_equal(w.csum_start, v.csum_start);
	assert_int_equal(w.csum_offset, v.csum_offset);
	b[1] |= VNET_ECN;
	assert_ok(vnet_parse(bytes_of(b, sizeof b), &w));
	assert_int_equal(w.gso, VNET_TCP6);
}

static struct tun_merge merge;

/* Group i as one packet behind its vnet header; returns its length without that. */
static size_t flat(unsigned i, struct vnet *v, uint8_t *to)
{
	struct iovec iov[TUN_GROUP_MAX + 1];
	size_t n = tun_merge_iov(&merge, i, iov), len = 0;

	assert_in_range(n, 2, TUN_GROUP_MAX + 1);
	assert_int_equal(iov[0].iov_len, VNET_LEN);
	assert_ok(vnet_parse(bytes_of(iov[0].iov_base, VNET_LEN), v));
	for (size_t k = 1; k < n; k++) {
		memcpy(to + len, iov[k].iov_base, iov[k].iov_len);
		len += iov[k].iov_len;
	}
	return len;
}

static void test_round_trip(void **state)
{
	static uint8_t again[MAX];

	(void)state;
	for (unsigned kind = 0; kind < 4; kind++)
		for (size_t payload = 2000; payload < 64000; payload += 4567) {
			struct shape s = { .six = kind & 1,
				.tcp = kind & 2,
				.options = kind & 2 ? 12 : 0,
				.payload = payload,
				.mss = 1200,
				.flags = 0x18,
				.seq = 0xfffffff0 };
			size_t count = split_all(&s, sizeof out, 2000);
			struct vnet v;

			tun_merge_init(&merge, true, true);
			for (size_t i = 0; i < count; i++)
				assert_true(tun_merge_add(&merge, pkts[i].p, pkts[i].n));
			assert_int_equal(merge.n_groups, 1);
			size_t n = flat(0, &v, again);
			struct vnet sent;
			assert_int_equal(n, build(big, &s, &sent));
			assert_memory_equal(again, big, n);
			assert_int_equal(v.gso, sent.gso);
			assert_int_equal(v.gso_size, 1200);
			assert_int_equal(v.csum_start, sent.csum_start);
			assert_int_equal(v.csum_offset, sent.csum_offset);
			assert_true(v.needs_csum);
			assert_int_equal(v.hdr_len, look(big, n).hdr);
		}
}

/* One packet of its own, with a right checksum. */
static uint8_t pool[TUN_MERGE_MAX * 2][1600];
static size_t pool_n[TUN_MERGE_MAX * 2];
static void make(size_t at, const struct shape *s)
{
	struct vnet v;
	struct tun_split split;
	size_t n = build(big, s, &v);

	v.gso = VNET_NONE;
	assert_ok(tun_split_init(&split, &v, big, n));
	assert_int_equal(tun_split_step(&split, out, sizeof out, pkts, 1), 1);
	memcpy(pool[at], pkts[0].p, n);
	pool_n[at] = n;
}

static unsigned groups(size_t n)
{
	tun_merge_init(&merge, true, true);
	for (size_t i = 0; i < n; i++)
		assert_true(tun_merge_add(&merge, pool[i], pool_n[i]));
	return merge.n_groups;
}

static void test_what_does_not_merge(void **state)
{
	struct shape a = { .tcp = true, .payload = 1000, .mss = 1500, .flags = 0x10, .seq = 1000 }, b = a;
	struct vnet v;

	(void)state;
	b.seq = 2000;
	make(0, &a);
	make(1, &b);
	assert_int_equal(groups(2), 1);
	tun_merge_init(&merge, false, true);
	tun_merge_add(&merge, pool[0], pool_n[0]);
	tun_merge_add(&merge, pool[1], pool_n[1]);
	assert_int_equal(merge.n_groups, 2); /* switched off */

	pool[1][100] ^= 1; /* a wrong checksum */
	assert_int_equal(groups(2), 2);
	make(1, &b);
	pool[1][8] ^= 1; /* other TTL, and so a wrong header checksum */
	assert_int_equal(groups(2), 2);

	b.seq = 2001;
	make(1, &b);
	assert_int_equal(groups(2), 2);
	b.seq = 2000;
	b.payload = 1001; /* larger than the first */
	make(1, &b);
	assert_int_equal(groups(2), 2);
	b.payload = 999; /* shorter: joins, and ends it */
	make(1, &b);
	struct shape c = a;
	c.seq = 2999;
	make(2, &c);
	assert_int_equal(groups(3), 2);
	b = a;
	b.seq = 2000;
	b.options = 12;
	make(1, &b);
	assert_int_equal(groups(2), 2);
	b.options = 0;
	b.flags = 0x11; /* FIN */
	make(1, &b);
	assert_int_equal(groups(2), 2);
	b.flags = 0x90; /* CWR */
	make(1, &b);
	assert_int_equal(groups(2), 2);
	b.flags = 0x18; /* PSH joins and ends it; the merged one has it, too */
	make(1, &b);
	c.seq = 3000;
	make(2, &c);
	assert_int_equal(groups(3), 2);
	flat(0, &v, big);
	assert_int_equal(big[33], 0x18);
	assert_int_equal(v.gso_size, 1000);
	/* A pure acknowledgement of the same flow between them must not be overtaken. */
	make(0, &a);
	b = a;
	b.seq = 2000;
	b.payload = 0;
	make(1, &b);
	b.payload = 1000;
	make(2, &b);
	assert_int_equal(groups(3), 3);
	/* But one of the other direction may be. */
	make(1, &(struct shape){ .tcp = true, .six = true, .mss = 1500, .flags = 0x10 });
	assert_int_equal(groups(3), 2);

	/* UDP without a checksum stays alone. */
	struct shape u = { .payload = 500, .mss = 1500 };
	make(0, &u);
	make(1, &u);
	assert_int_equal(groups(2), 1);
	pool[1][26] = pool[1][27] = 0;
	assert_int_equal(groups(2), 2);
}

static void test_merge_bounds(void **state)
{
	static uint8_t again[MAX];
	struct shape s = { .tcp = true, .payload = 1400, .mss = 1500, .flags = 0x10 };
	struct vnet v;

	(void)state;
	for (size_t i = 0; i < TUN_MERGE_MAX; i++, s.seq += 1400)
		make(i, &s);
	assert_int_equal(groups(TUN_MERGE_MAX), 3); /* 46 packets of 1400 make 64,440 bytes */
	assert_false(tun_merge_add(&merge, pool[0], pool_n[0]));
	for (unsigned i = 0; i < 3; i++)
		assert_true(flat(i, &v, again) <= TUN_PACKET_MAX);
	s.payload = 100;
	for (size_t i = 0; i < TUN_MERGE_MAX; i++, s.seq += 100)
		make(i, &s);
	assert_int_equal(groups(TUN_MERGE_MAX), TUN_MERGE_MAX / TUN_GROUP_MAX);
	/* Junk of any kind goes through alone and untouched. */
	struct test_rng r = { 9 };
	for (int round = 0; round < 300; round++) {
		tun_merge_init(&merge, true, true);
		size_t n = 1 + rng_below(&r, TUN_MERGE_MAX);
		struct bytes held[TUN_MERGE_MAX];
		for (size_t i = 0; i < n; i++) {
			uint8_t junk[100];
			rng_fill(&r, junk, sizeof junk);
			junk[0] = rng_below(&r, 2) ? 0x45 : 0x60;
			junk[9] = junk[6] = rng_below(&r, 2) ? 6 : 17;
			held[i] = test_exact(bytes_of(junk, 20 + rng_below(&r, 80)));
			assert_true(tun_merge_add(&merge, (uint8_t *)(uintptr_t)held[i].p, held[i].n));
		}
		assert_int_equal(merge.n_groups, n);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(flat((unsigned)i, &v, again), held[i].n);
			assert_memory_equal(again, held[i].p, held[i].n);
			assert_int_equal(v.gso, VNET_NONE);
			test_exact_free(held[i]);
		}
	}
}

/* Several flows in one batch: each keeps its order, and each merges. */
static void test_flows(void **state)
{
	struct shape s = { .tcp = true, .payload = 900, .mss = 1500, .flags = 0x10 };

	(void)state;
	for (size_t i = 0; i < 60; i++) {
		s.seq = (uint32_t)(i / 4) * 900;
		make(i, &s);
		pool[i][21] = (uint8_t)(0x89 + i % 4); /* source port; the checksum follows */
		uint32_t c = (uint16_t)~be16(pool[i] + 36) + (uint32_t)(i % 4);
		while (c >> 16)
			c = (c & 0xffff) + (c >> 16);
		pool[i][36] = (uint8_t)((uint16_t)~c >> 8);
		pool[i][37] = (uint8_t)~c;
	}
	assert_int_equal(groups(60), 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(merge.group[i].n, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vnet),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_split_in_steps),
		cmocka_unit_test(test_bad_splits),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_what_does_not_merge),
		cmocka_unit_test(test_merge_bounds),
		cmocka_unit_test(test_flows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
