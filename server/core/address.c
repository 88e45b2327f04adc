#include "server/core/state.h"

#include "common/base/cleanup.h"
#include "common/base/random.h"

/* IPv4 addresses are handled as numbers in host order. */

static uint32_t v4_number(struct addr a)
{
	return (uint32_t)a.b[0] << 24 | (uint32_t)a.b[1] << 16 | (uint32_t)a.b[2] << 8 | a.b[3];
}

static struct addr v4_addr(uint32_t n)
{
	return addr_v4((uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n);
}

/* 100.100.100.100 is the client's own service address; 100.115.92.0/23 belongs to ChromeOS. */
static bool is_reserved_v4(uint32_t n)
{
	return n == 0x64646464u || (n & 0xfffffe00u) == 0x64735c00u;
}

static bool taken_v4(struct tailnet *t, uint32_t n)
{
	struct addr a = v4_addr(n);

	return map_get(&t->nodes_by_v4, &a) != NULL || service_has_addr(t, a);
}

static bool in_pool(const struct tailnet *t, struct addr a)
{
	return t->policy && policy_pool_has(t->policy, a);
}

static err next_v4(struct tailnet *t, struct addr *out)
{
	struct prefix p = prefix_mask(t->set.v4);
	uint32_t first = v4_number(p.addr), last;

	if (p.bits >= 31) { /* no network and broadcast addresses here */
		last = first + (p.bits == 31);
	} else {
		last = first + (uint32_t)((UINT64_C(1) << (32 - p.bits)) - 1) - 1;
		first++;
	}
	uint32_t at = t->v4_cursor < first || t->v4_cursor >= last ? first : t->v4_cursor + 1;
	if (t->set.random_allocation)
		at = first + (uint32_t)random_below((uint64_t)last - first + 1);
	/* Among n + reserved + 1 different candidates one is free, unless the prefix is smaller than that. */
	uint64_t tries = (uint64_t)last - first + 1;
	for (uint64_t i = 0; i < tries; i++) {
		if (!is_reserved_v4(at) && !taken_v4(t, at) && !in_pool(t, v4_addr(at))) {
			*out = v4_addr(at);
			return OK;
		}
		at = at >= last ? first : at + 1;
	}
	return ERR_TOO_BIG;
}

/* Of one range of the policy, as far as the tailnet's own prefix goes. */
static err next_v4_of(struct tailnet *t, const struct policy_pool *pool, struct addr *out)
{
	uint32_t first = v4_number(pool->first), last = v4_number(pool->last);
	uint64_t n = (uint64_t)last - first + 1, start = t->set.random_allocation ? random_below(n) : 0;

	for (uint64_t i = 0; i < n; i++) {
		struct addr a = v4_addr(first + (uint32_t)((start + i) % n));
		if (prefix_contains(t->set.v4, a) && !address_is_reserved(t, a) && !taken_v4(t, v4_number(a))) {
			*out = a;
			return OK;
		}
	}
	return ERR_TOO_BIG;
}

static bool is_reserved_v6(struct addr a)
{
	/* fd7a:115c:a1e0::53, the twin of 100.100.100.100 */
	static const struct addr twin = { 6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53 } };

	return addr_eq(a, twin);
}

/* fd7a:115c:a1e0:ab12:4843:cd96:62 and the low 24 bits of the IPv4 address, as the official service does it. Unique while
 * the IPv4 prefix has at most 24 host bits. */
static bool derive_v6(struct tailnet *t, struct addr v4, struct addr *out)
{
	struct addr a = { 6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0xab, 0x12, 0x48, 0x43, 0xcd, 0x96, 0x62 } };

	if (v4.family != 4 || t->set.v4.bits < 8 || !prefix_contains(t->set.v4, v4))
		return false;
	memcpy(a.b + 13, v4.b + 1, 3);
	if (!prefix_contains(t->set.v6, a) || map_get(&t->nodes_by_v6, &a) || service_has_addr(t, a))
		return false;
	*out = a;
	return true;
}

static struct addr v6_host(struct prefix p, uint64_t host)
{
	struct addr a = prefix_mask(p).addr;

	for (int i = 15; i >= 8; i--, host >>= 8)
		a.b[i] |= (uint8_t)host;
	return a;
}

/* Nobody's: the client's own services, ChromeOS, and the ends of the range. */
bool address_is_reserved(struct tailnet *t, struct addr a)
{
	if (a.family == 6)
		return is_reserved_v6(a) || addr_eq(a, prefix_mask(t->set.v6).addr);
	struct prefix p = prefix_mask(t->set.v4);
	uint32_t n = v4_number(a), first = v4_number(p.addr), last = p.bits ? first + (uint32_t)((UINT64_C(1) << (32 - p.bits)) - 1) : UINT32_MAX;

	return is_reserved_v4(n) || (p.bits < 31 && (n == first || n == last));
}

err address_next_v6(struct tailnet *t, struct addr v4, struct addr *v6)
{
	if (derive_v6(t, v4, v6))
		return OK;
	unsigned host_bits = MIN_OF(128u - t->set.v6.bits, 63u);
	uint64_t last = (UINT64_C(1) << host_bits) - 1;
	uint64_t at = t->v6_cursor;
	if (t->set.random_allocation && last)
		at = random_below(last);
	for (uint64_t i = 0; i <= last; i++) {
		at = at >= last ? 1 : at + 1; /* host 0 is the subnet's router anycast address */
		struct addr a = v6_host(t->set.v6, at);
		if (at <= last && !is_reserved_v6(a) && !map_get(&t->nodes_by_v6, &a) && !service_has_addr(t, a)) {
			t->v6_cursor = at;
			*v6 = a;
			return OK;
		}
	}
	return ERR_TOO_BIG;
}

err address_next(struct tailnet *t, const struct policy_node *who, struct addr *v4, struct addr *v6)
{
	struct policy_pool pools[ADDRESS_POOLS_MAX];
	struct addr a4 = { 0 }, a6 = { 0 };
	size_t n = t->set.v4.addr.family && who && t->policy ? policy_ip_pools(t->policy, who, pools, ARRAY_LEN(pools)) : 0;
	err e = n ? ERR_TOO_BIG : OK;

	for (size_t i = 0; i < n && e == ERR_TOO_BIG; i++)
		e = next_v4_of(t, &pools[i], &a4);
	TRY(e);
	if (t->set.v4.addr.family && !n)
		TRY(next_v4(t, &a4));
	if (t->set.v6.addr.family)
		TRY(address_next_v6(t, a4, &a6));
	*v4 = a4;
	*v6 = a6;
	return OK;
}

void address_note(struct tailnet *t, struct addr v4, struct addr v6)
{
	if (v4.family == 4 && t->set.v4.addr.family && prefix_contains(t->set.v4, v4) && !in_pool(t, v4))
		t->v4_cursor = MAX_OF(t->v4_cursor, v4_number(v4));
	if (v6.family == 6 && t->set.v6.addr.family && t->set.v6.bits >= 64 && prefix_contains(t->set.v6, v6)) {
		uint64_t host = 0;
		for (int i = 8; i < 16; i++)
			host = host << 8 | v6.b[i];
		if (t->set.v6.bits < 128)
			host &= UINT64_MAX >> (t->set.v6.bits - 64);
		t->v6_cursor = MAX_OF(t->v6_cursor, host);
	}
}
