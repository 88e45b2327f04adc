#include "server/front/proxy_protocol.h"

#include "common/base/cleanup.h"
#include "common/base/reader.h"

static const struct bytes sig_v2 = { (const uint8_t *)"\r\n\r\n\0\r\nQUIT\n", 12 };

static err parse_port(struct bytes text, uint16_t *out)
{
	uint64_t v;

	if (bytes_parse_u64(text, 65535, &v) != OK)
		return ERR_MALFORMED;
	*out = (uint16_t)v;
	return OK;
}

/* "PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\n" */
static err parse_v1(struct bytes in, struct addrport *client, size_t *used)
{
	struct bytes rest, line = bytes_first(in, PROXY_V1_MAX);
	const uint8_t *nl = memchr(line.p, '\n', line.n);
	struct addrport from = { 0 };
	struct addr to;
	uint16_t to_port;

	if (!nl)
		return in.n >= PROXY_V1_MAX ? ERR_MALFORMED : ERR_TRUNCATED;
	size_t n = (size_t)(nl - line.p) + 1;
	if (n < 2 || line.p[n - 2] != '\r')
		return ERR_MALFORMED;
	line.n = n - 2;
	bytes_cut(line, ' ', &rest);
	struct bytes proto = bytes_cut(rest, ' ', &rest);
	if (!bytes_eq_str(proto, "UNKNOWN")) {
		uint8_t family = bytes_eq_str(proto, "TCP4") ? 4 : bytes_eq_str(proto, "TCP6") ? 6 : 0;

		if (!family)
			return ERR_MALFORMED;
		struct bytes src = bytes_cut(rest, ' ', &rest), dst = bytes_cut(rest, ' ', &rest);
		struct bytes sport = bytes_cut(rest, ' ', &rest);
		if (addr_parse(src, &from.addr) != OK || addr_parse(dst, &to) != OK || from.addr.family != family ||
			parse_port(sport, &from.port) != OK || parse_port(rest, &to_port) != OK)
			return ERR_MALFORMED;
		from.addr = addr_unmap(from.addr);
	}
	*client = from;
	*used = n;
	return OK;
}

static err parse_v2(struct bytes in, struct addrport *client, size_t *used)
{
	struct reader r = rd_init(bytes_skip(in, sig_v2.n));
	uint8_t ver_cmd = rd_u8(&r), fam_proto = rd_u8(&r);
	uint16_t len = rd_u16be(&r);
	struct addrport from = { 0 };

	if (r.bad)
		return ERR_TRUNCATED;
	if (ver_cmd >> 4 != 2 || (ver_cmd & 15) > 1)
		return ERR_MALFORMED;
	if (sig_v2.n + 4u + len > PROXY_V2_MAX)
		return ERR_TOO_BIG;
	struct reader body = rd_init(rd_take(&r, len));
	if (r.bad)
		return ERR_TRUNCATED;
	if ((ver_cmd & 15) == 1 && (fam_proto >> 4 == 1 || fam_proto >> 4 == 2)) {
		size_t n = fam_proto >> 4 == 1 ? 4 : 16;

		from.addr.family = n == 4 ? 4 : 6;
		rd_copy(&body, from.addr.b, n);
		rd_take(&body, n);
		from.port = rd_u16be(&body);
		rd_u16be(&body);
		if (body.bad)
			return ERR_MALFORMED;
		from.addr = addr_unmap(from.addr);
	}
	*client = from;
	*used = sig_v2.n + 4u + len;
	return OK;
}

err proxy_protocol_parse(struct bytes in, struct addrport *client, size_t *used)
{
	if (bytes_has_prefix(in, sig_v2))
		return parse_v2(in, client, used);
	if (bytes_has_prefix(in, BYTES_LIT("PROXY ")))
		return parse_v1(in, client, used);
	if (bytes_has_prefix(sig_v2, in) || bytes_has_prefix(BYTES_LIT("PROXY "), in))
		return ERR_TRUNCATED;
	return ERR_MALFORMED;
}
