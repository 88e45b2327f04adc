#include "common/wire/demux.h"

#include "common/base/reader.h"
#include "common/wire/disco.h"
#include "common/wire/stun.h"

enum {
	VERSION_MASK = 0xc0, /* of the first byte: the version, which is 0; the rest is the length of options */
	CONTROL_BIT = 0x80,  /* of the second byte */
	RESERVED_MASK = 0x3f,
};

/* False: not Geneve, or not one of our two protocols. *rest is what follows the header. */
static bool parse_geneve(struct bytes packet, struct geneve *out, struct bytes *rest)
{
	struct reader r = rd_init(packet);
	uint8_t first = rd_u8(&r), flags = rd_u8(&r);
	uint16_t protocol = rd_u16be(&r);
	uint32_t vni_reserved = rd_u32be(&r);

	if (r.bad || first & VERSION_MASK || flags & RESERVED_MASK || vni_reserved & 0xff)
		return false;
	if (protocol != GENEVE_DISCO && protocol != GENEVE_WIREGUARD)
		return false;
	*out = (struct geneve){ .vni = vni_reserved >> 8, .protocol = protocol, .control = flags & CONTROL_BIT };
	*rest = r.rest;
	return true;
}

/* Of STUN, only binding requests and successes: their second byte is 1. */
static bool is_stun(struct bytes packet)
{
	struct reader r = rd_init(packet);

	return stun_looks_like(packet) && (rd_u16be(&r) & 0xff) == 1;
}

enum udp_kind udp_demux(struct bytes packet, struct geneve *g, struct bytes *inner)
{
	struct geneve header;
	struct bytes rest;

	if (is_stun(packet))
		return UDP_STUN;
	if (parse_geneve(packet, &header, &rest)) {
		if (header.protocol == GENEVE_DISCO && !disco_looks_like(rest))
			return UDP_WIREGUARD;
		*g = header;
		*inner = rest;
		return header.protocol == GENEVE_DISCO ? UDP_RELAYED_DISCO : UDP_RELAYED_WIREGUARD;
	}
	return disco_looks_like(packet) ? UDP_DISCO : UDP_WIREGUARD;
}

void geneve_write(struct writer *w, const struct geneve *g)
{
	if (g->vni >> 24)
		w->bad = true;
	wr_u8(w, 0);
	wr_u8(w, g->control ? CONTROL_BIT : 0);
	wr_u16be(w, (uint16_t)g->protocol);
	wr_u32be(w, g->vni << 8);
}
