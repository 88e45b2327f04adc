#include "client/filter/inner.h"

#include "common/base/cleanup.h"
#include "common/base/reader.h"

/* Bytes that only a first fragment may carry: the longest IPv4 and TCP headers. */
enum { FIRST_FRAGMENT_MIN = 80 };

static err parse_transport(struct reader *r, struct inner *in)
{
	switch (in->proto) {
	case IP_TCP:
		in->sport = rd_u16be(r);
		in->dport = rd_u16be(r);
		rd_take(r, 9);
		in->tcp_flags = rd_u8(r);
		rd_take(r, 6);
		break;
	case IP_UDP:
		in->sport = rd_u16be(r);
		in->dport = rd_u16be(r);
		rd_take(r, 4);
		break;
	case IP_SCTP:
		in->sport = rd_u16be(r);
		in->dport = rd_u16be(r);
		rd_take(r, 8);
		break;
	case IP_ICMP:
	case IP_ICMP6:
		in->icmp_type = rd_u8(r);
		rd_take(r, 3);
		break;
	default:
		break;
	}
	return r->bad ? ERR_MALFORMED : OK;
}

/* offset in bytes. */
static err parse_fragment(struct reader *r, struct inner *in, unsigned offset)
{
	if (offset == 0)
		return parse_transport(r, in);
	if (offset < FIRST_FRAGMENT_MIN)
		return ERR_MALFORMED;
	in->later_fragment = true;
	return OK;
}

static err parse_v4(struct bytes packet, struct inner *in)
{
	struct reader r = rd_init(packet);
	size_t header = 4u * (rd_u8(&r) & 15);

	rd_u8(&r);
	uint16_t total = rd_u16be(&r);
	rd_u16be(&r);
	unsigned offset = 8u * (rd_u16be(&r) & 0x1fff);
	rd_u8(&r);
	in->proto = rd_u8(&r);
	rd_u16be(&r);
	in->src.family = in->dst.family = 4;
	rd_copy(&r, in->src.b, 4);
	rd_copy(&r, in->dst.b, 4);
	if (r.bad || header < 20 || total < header || total > packet.n)
		return ERR_MALFORMED;
	struct reader body = rd_init(bytes_skip(bytes_first(packet, total), header));
	return parse_fragment(&body, in, offset);
}

static err parse_v6(struct bytes packet, struct inner *in)
{
	struct reader r = rd_init(packet);

	rd_u32be(&r);
	uint16_t len = rd_u16be(&r);
	in->proto = rd_u8(&r);
	rd_u8(&r);
	in->src.family = in->dst.family = 6;
	rd_copy(&r, in->src.b, 16);
	rd_copy(&r, in->dst.b, 16);
	struct reader body = rd_init(rd_take(&r, len));
	if (r.bad)
		return ERR_MALFORMED;
	/* Other extension headers are a protocol of their own to us: only a rule that names them lets them in. */
	if (in->proto != IP_V6_FRAGMENT)
		return parse_transport(&body, in);
	in->proto = rd_u8(&body);
	rd_u8(&body);
	unsigned offset = rd_u16be(&body) & 0xfff8u;
	rd_u32be(&body);
	return body.bad ? ERR_MALFORMED : parse_fragment(&body, in, offset);
}

err inner_parse(struct bytes packet, struct inner *out)
{
	struct reader r = rd_init(packet);
	struct inner in = { .proto = 0 };
	uint8_t version = rd_u8(&r) >> 4;

	if (version != 4 && version != 6)
		return ERR_MALFORMED;
	TRY(version == 4 ? parse_v4(packet, &in) : parse_v6(packet, &in));
	*out = in;
	return OK;
}
