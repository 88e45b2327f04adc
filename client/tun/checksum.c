#include "client/tun/checksum.h"

/* The carry out of a 64-bit sum is worth one, as in any ones' complement sum: 2^64 is 1 modulo 2^16 - 1. */
static inline uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t s;

	return __builtin_add_overflow(a, b, &s) ? s + 1 : s;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* The last bytes, less than eight, as if zeros followed. */
static inline uint64_t load_tail(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	if (n)
		memcpy(&v, p, n);
	return v;
}

static inline uint64_t wide_end(unsigned __int128 a)
{
	return add((uint64_t)a, (uint64_t)(a >> 64));
}

uint64_t csum_add(uint64_t sum, const uint8_t *p, size_t n)
{
	/* Two sums with room for their carries, so that one addition need not wait for the other. */
	unsigned __int128 a = sum, b = 0;

	for (; n >= 32; p += 32, n -= 32) {
		a += load64(p);
		b += load64(p + 8);
		a += load64(p + 16);
		b += load64(p + 24);
	}
	for (; n >= 8; p += 8, n -= 8)
		a += load64(p);
	b += load_tail(p, n);
	return add(wide_end(a), wide_end(b));
}

uint64_t csum_copy(uint64_t sum, uint8_t *dst, const uint8_t *src, size_t n)
{
	/* The copy is in the nearest cache when it is summed. */
	memcpy(dst, src, n);
	return csum_add(sum, dst, n);
}

uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint64_t csum_pseudo(const uint8_t *addresses, size_t n, uint32_t len, uint8_t protocol)
{
	uint64_t sum = csum_add(0, addresses, n);

	sum = add(sum, __builtin_bswap32(len));
	return add(sum, __builtin_bswap32(protocol));
}
