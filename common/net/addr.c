#include "common/net/addr.h"

#include "common/base/cleanup.h"

/* ---- values ------------------------------------------------------------------------------------------------------ */

struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct addr){ .family = 4, .b = { a, b, c, d } };
}

static const uint8_t mapped_head[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool is_mapped(struct addr a)
{
	return a.family == 6 && memcmp(a.b, mapped_head, sizeof mapped_head) == 0;
}

struct addr addr_unmap(struct addr a)
{
	return is_mapped(a) ? addr_v4(a.b[12], a.b[13], a.b[14], a.b[15]) : a;
}

int addr_cmp(struct addr a, struct addr b)
{
	return memcmp(&a, &b, sizeof a);
}

int prefix_cmp(struct prefix a, struct prefix b)
{
	int c = addr_cmp(a.addr, b.addr);

	return c ? c : (int)a.bits - (int)b.bits;
}

unsigned addr_bits(struct addr a)
{
	return a.family == 4 ? 32 : a.family == 6 ? 128 : 0;
}

struct prefix addr_prefix(struct addr a)
{
	return (struct prefix){ .addr = a, .bits = (uint8_t)addr_bits(a) };
}

struct prefix prefix_mask(struct prefix p)
{
	size_t whole = p.bits / 8, len = addr_bits(p.addr) / 8;

	for (size_t i = whole; i < len; i++)
		p.addr.b[i] &= (uint8_t)(i > whole ? 0 : 0xff00u >> p.bits % 8);
	return p;
}

bool prefix_contains(struct prefix p, struct addr a)
{
	if (p.addr.family != a.family || a.family == 0)
		return false;
	size_t whole = p.bits / 8;
	unsigned rest = p.bits % 8;

	return memcmp(p.addr.b, a.b, whole) == 0 && (rest == 0 || (p.addr.b[whole] ^ a.b[whole]) >> (8 - rest) == 0);
}

bool prefix_overlaps(struct prefix a, struct prefix b)
{
	return a.bits <= b.bits ? prefix_contains(a, b.addr) : prefix_contains(b, a.addr);
}

bool prefix_covers(struct prefix outer, struct prefix inner)
{
	return outer.bits <= inner.bits && prefix_contains(outer, inner.addr);
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static bool in4(struct addr a, uint8_t b0, uint8_t b1, uint8_t bits)
{
	return prefix_contains((struct prefix){ addr_v4(b0, b1, 0, 0), bits }, a);
}

bool addr_is_loopback(struct addr a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return in4(a, 127, 0, 8) || (a.family == 6 && memcmp(a.b, one, 16) == 0);
}

bool addr_is_private(struct addr a)
{
	return in4(a, 10, 0, 8) || in4(a, 172, 16, 12) || in4(a, 192, 168, 16) || (a.family == 6 && (a.b[0] & 0xfe) == 0xfc);
}

bool addr_is_link_local(struct addr a)
{
	return in4(a, 169, 254, 16) || (a.family == 6 && a.b[0] == 0xfe && (a.b[1] & 0xc0) == 0x80);
}

bool addr_is_multicast(struct addr a)
{
	return in4(a, 224, 0, 4) || addr_eq(a, addr_v4(255, 255, 255, 255)) || (a.family == 6 && a.b[0] == 0xff);
}

bool addr_is_unspecified(struct addr a)
{
	static const uint8_t zero[16];

	return a.family && memcmp(a.b, zero, 16) == 0;
}

bool addr_is_tailscale(struct addr a)
{
	static const uint8_t ula[] = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 };

	if (a.family == 6)
		return memcmp(a.b, ula, sizeof ula) == 0;
	/* 100.115.92.0/23 belongs to ChromeOS's containers: tailscale@de9ec7ee2 net/tsaddr/tsaddr.go */
	return in4(a, 100, 64, 10) && !prefix_contains((struct prefix){ addr_v4(100, 115, 92, 0), 23 }, a);
}

struct addr addr_limit_key(struct addr a)
{
	a = addr_unmap(a);
	return a.family == 6 ? prefix_mask((struct prefix){ a, 64 }).addr : a;
}

/* ---- text -> value ----------------------------------------------------------------------------------------------- */

static err parse4(struct bytes text, uint8_t out[4])
{
	for (int i = 0; i < 4; i++) {
		struct bytes rest, part = bytes_cut(text, '.', &rest);
		uint64_t v;

		/* the last part must have no dot after it, the others one; leading zeros are refused (octal, to some) */
		if ((rest.p != NULL) != (i < 3) || part.n > 3 || (part.n > 1 && part.p[0] == '0'))
			return ERR_MALFORMED;
		if (bytes_parse_u64(part, 255, &v) != OK)
			return ERR_MALFORMED;
		out[i] = (uint8_t)v;
		text = rest;
	}
	return OK;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static err parse6(struct bytes text, uint8_t out[16])
{
	size_t n = 0, gap = SIZE_MAX; /* bytes written; where "::" stands among them */

	if (bytes_has_prefix(text, BYTES_LIT("::"))) {
		gap = 0;
		text = bytes_skip(text, 2);
	}
	while (text.n) {
		unsigned v = 0;
		size_t digits = 0;

		while (digits < text.n && digits < 4 && hex_value(text.p[digits]) >= 0)
			v = v << 4 | (unsigned)hex_value(text.p[digits++]);
		if (digits == 0 || n > 14)
			return ERR_MALFORMED;
		if (digits < text.n && text.p[digits] == '.') { /* the last four bytes as IPv4 */
			if (n > 12 || (n != 12 && gap == SIZE_MAX) || parse4(text, out + n) != OK)
				return ERR_MALFORMED;
			n += 4;
			break;
		}
		out[n++] = (uint8_t)(v >> 8);
		out[n++] = (uint8_t)v;
		text = bytes_skip(text, digits);
		if (text.n == 0)
			break;
		if (text.p[0] != ':' || text.n == 1)
			return ERR_MALFORMED;
		text = bytes_skip(text, 1);
		if (text.p[0] == ':') {
			if (gap != SIZE_MAX)
				return ERR_MALFORMED;
			gap = n;
			text = bytes_skip(text, 1);
		}
	}
	if (gap == SIZE_MAX)
		return n == 16 ? OK : ERR_MALFORMED;
	if (n == 16)
		return ERR_MALFORMED; /* "::" stands for at least one group */
	memmove(out + 16 - (n - gap), out + gap, n - gap);
	memset(out + gap, 0, 16 - n);
	return OK;
}

err addr_parse(struct bytes text, struct addr *out)
{
	struct addr a = { 0 };

	if (text.n == 0 || text.n >= ADDR_TEXT_MAX)
		return ERR_MALFORMED;
	if (memchr(text.p, ':', text.n)) {
		a.family = 6;
		TRY(parse6(text, a.b));
	} else {
		a.family = 4;
		TRY(parse4(text, a.b));
	}
	*out = a;
	return OK;
}

err addrport_parse(struct bytes text, struct addrport *out)
{
	struct addrport a = { 0 };
	struct bytes host, port;
	uint64_t v;

	if (text.n && text.p[0] == '[') {
		host = bytes_cut(bytes_skip(text, 1), ']', &port);
		if (port.n == 0 || port.p[0] != ':')
			return ERR_MALFORMED;
		port = bytes_skip(port, 1);
	} else {
		host = bytes_cut(text, ':', &port);
	}
	if (port.n == 0 || port.n > 5 || bytes_parse_u64(port, UINT16_MAX, &v) != OK)
		return ERR_MALFORMED;
	TRY(addr_parse(host, &a.addr));
	if ((a.addr.family == 6) != (text.p[0] == '['))
		return ERR_MALFORMED;
	a.port = (uint16_t)v;
	*out = a;
	return OK;
}

err prefix_parse(struct bytes text, struct prefix *out)
{
	struct prefix p = { 0 };
	struct bytes bits, host = bytes_cut(text, '/', &bits);
	uint64_t v;

	TRY(addr_parse(host, &p.addr));
	if (host.n == text.n) {
		*out = addr_prefix(p.addr);
		return OK;
	}
	if (bits.n == 0 || bits.n > 3 || (bits.n > 1 && bits.p[0] == '0') ||
			bytes_parse_u64(bits, addr_bits(p.addr), &v) != OK)
		return ERR_MALFORMED;
	p.bits = (uint8_t)v;
	*out = p;
	return OK;
}

/* ---- value -> text ----------------------------------------------------------------------------------------------- */

static char *put4(const uint8_t b[4], char *out)
{
	for (int i = 0; i < 4; i++) {
		if (i)
			*out++ = '.';
		if (b[i] >= 100)
			*out++ = (char)('0' + b[i] / 100);
		if (b[i] >= 10)
			*out++ = (char)('0' + b[i] / 10 % 10);
		*out++ = (char)('0' + b[i] % 10);
	}
	*out = 0;
	return out;
}

static char *put_group(unsigned v, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (int shift = 12; shift >= 0; shift -= 4)
		if (v >> shift || shift == 0)
			*out++ = digits[v >> shift & 15];
	return out;
}

static char *put6(const uint8_t b[16], char *out)
{
	unsigned g[8];
	int best = -1, best_n = 1; /* the first of the longest runs of two or more zero groups */

	for (int i = 0; i < 8; i++)
		g[i] = (unsigned)b[2 * i] << 8 | b[2 * i + 1];
	for (int i = 0; i < 8; i++) {
		int n = 0;

		while (i + n < 8 && g[i + n] == 0)
			n++;
		if (n > best_n) {
			best = i;
			best_n = n;
		}
		if (n)
			i += n - 1;
	}
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			*out++ = ':';
			*out++ = ':';
			i += best_n - 1;
			continue;
		}
		if (i && i != best + best_n) /* without a run, best + best_n is 0 */
			*out++ = ':';
		out = put_group(g[i], out);
	}
	*out = 0;
	return out;
}

/* Returns the end. */
static char *put_addr(struct addr a, char *out)
{
	if (is_mapped(a)) {
		memcpy(out, "::ffff:", 7);
		return put4(a.b + 12, out + 7);
	}
	if (a.family == 4)
		return put4(a.b, out);
	if (a.family == 6)
		return put6(a.b, out);
	*out = 0;
	return out;
}

char *addr_text(struct addr a, char out[ADDR_TEXT_MAX])
{
	put_addr(a, out);
	return out;
}

static char *put_number(unsigned v, char *out)
{
	char digits[8];
	int n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10));
	while (n)
		*out++ = digits[--n];
	*out = 0;
	return out;
}

char *addrport_text(struct addrport a, char out[ADDRPORT_TEXT_MAX])
{
	char *at = out;

	*at = 0;
	if (a.addr.family == 0)
		return out;
	if (a.addr.family == 6)
		*at++ = '[';
	at = put_addr(a.addr, at);
	if (a.addr.family == 6)
		*at++ = ']';
	*at++ = ':';
	put_number(a.port, at);
	return out;
}

char *prefix_text(struct prefix p, char out[PREFIX_TEXT_MAX])
{
	char *at = out;

	*at = 0;
	if (p.addr.family == 0)
		return out;
	at = put_addr(p.addr, at);
	*at++ = '/';
	put_number(p.bits, at);
	return out;
}

/* ---- the kernel's form ------------------------------------------------------------------------------------------- */

struct addrport addrport_from_sockaddr(const struct sockaddr *sa)
{
	struct addrport a = { 0 };

	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof in);
		a.addr.family = 4;
		memcpy(a.addr.b, &in.sin_addr, 4);
		a.port = ntohs(in.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof in6);
		a.addr.family = 6;
		memcpy(a.addr.b, &in6.sin6_addr, 16);
		a.addr = addr_unmap(a.addr);
		a.port = ntohs(in6.sin6_port);
	}
	return a;
}

socklen_t addrport_to_sockaddr(struct addrport a, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (a.addr.family == 4) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a.port) };

		memcpy(&in.sin_addr, a.addr.b, 4);
		memcpy(out, &in, sizeof in);
		return sizeof in;
	}
	if (a.addr.family == 6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a.port) };

		memcpy(&in6.sin6_addr, a.addr.b, 16);
		memcpy(out, &in6, sizeof in6);
		return sizeof in6;
	}
	return 0;
}

bool addr_is_public(struct addr a)
{
	a = addr_unmap(a);
	if (!a.family || addr_is_multicast(a) || addr_is_unspecified(a))
		return false;
	/* 0.0.0.0/8; NAT64 and 6to4 reach what they stand for */
	bool odd = in4(a, 0, 0, 8) || (a.family == 6 && ((a.b[0] == 0x20 && a.b[1] == 0x02) || (a.b[0] == 0 && a.b[1] == 0x64)));
	return !odd && !in4(a, 100, 64, 10) && !addr_is_loopback(a) && !addr_is_private(a) && !addr_is_link_local(a) && !addr_is_tailscale(a);
}
