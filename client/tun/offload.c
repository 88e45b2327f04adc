#include "client/tun/offload.h"

#include <netinet/in.h>

#include "client/tun/checksum.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

/* Offsets in the headers. */
enum {
	IP4_LEN = 20,
	IP4_TOTAL = 2,
	IP4_ID = 4,
	IP4_FRAG = 6,
	IP4_TTL = 8,
	IP4_PROTO = 9,
	IP4_SUM = 10,
	IP4_ADDR = 12,
	IP6_LEN = 40,
	IP6_PAYLOAD = 4,
	IP6_NEXT = 6,
	IP6_HOPS = 7,
	IP6_ADDR = 8,
	TCP_LEN = 20,
	TCP_SEQ = 4,
	TCP_ACK = 8,
	TCP_OFF = 12,
	TCP_FLAGS = 13,
	TCP_WINDOW = 14,
	TCP_SUM = 16,
	TCP_URG = 18,
	UDP_LEN = 8,
	UDP_LENGTH = 4,
	UDP_SUM = 6,
	FLAG_FIN = 1,
	FLAG_PSH = 8,
	FLAG_ACK = 0x10,
	FLAG_CWR = 0x80,
	VNET_F_NEEDS_CSUM = 1,
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

/* A checksum as csum_fold gives it. */
static void put_sum(uint8_t *at, uint16_t sum)
{
	memcpy(at, &sum, sizeof sum);
}

err vnet_parse(struct bytes in, struct vnet *out)
{
	struct reader r = rd_init(in);
	struct vnet v = { .needs_csum = rd_u8(&r) & VNET_F_NEEDS_CSUM };

	v.gso = (enum vnet_gso)(rd_u8(&r) & ~VNET_ECN);
	v.hdr_len = rd_u16le(&r); /* host order, and the host is little-endian (writer.h) */
	v.gso_size = rd_u16le(&r);
	v.csum_start = rd_u16le(&r);
	v.csum_offset = rd_u16le(&r);
	if (r.bad)
		return ERR_MALFORMED;
	*out = v;
	return OK;
}

void vnet_write(const struct vnet *v, uint8_t out[VNET_LEN])
{
	struct writer w = wr_init(out, VNET_LEN);

	wr_u8(&w, v->needs_csum ? VNET_F_NEEDS_CSUM : 0);
	wr_u8(&w, (uint8_t)v->gso);
	wr_u16le(&w, v->hdr_len);
	wr_u16le(&w, v->gso_size);
	wr_u16le(&w, v->csum_start);
	wr_u16le(&w, v->csum_offset);
}

static const uint8_t *addresses(const uint8_t *ip, bool six, size_t *n)
{
	*n = six ? 32 : 8;
	return ip + (six ? IP6_ADDR : IP4_ADDR);
}

static void set_ip_len(uint8_t *ip, bool six, size_t ip_len, size_t total)
{
	if (six) {
		put16(ip + IP6_PAYLOAD, (uint16_t)(total - IP6_LEN));
		return;
	}
	put16(ip + IP4_TOTAL, (uint16_t)total);
	put16(ip + IP4_SUM, 0);
	put_sum(ip + IP4_SUM, (uint16_t)~csum_fold(csum_add(0, ip, ip_len)));
}

/* ---- cutting -------------------------------------------------------------------------------------------------- */

err tun_split_init(struct tun_split *s, const struct vnet *v, const uint8_t *packet, size_t n)
{
	*s = (struct tun_split){ .packet = packet, .n = n, .v = *v };
	if (n < IP4_LEN || n > TUN_PACKET_MAX)
		return ERR_MALFORMED;
	if (v->gso == VNET_NONE) {
		if (v->needs_csum && (size_t)v->csum_start + v->csum_offset + 2 > n)
			return ERR_MALFORMED;
		return OK;
	}
	if (v->gso != VNET_TCP4 && v->gso != VNET_TCP6 && v->gso != VNET_UDP)
		return ERR_UNSUPPORTED;
	s->gso = true;
	s->six = packet[0] >> 4 == 6;
	s->tcp = v->gso != VNET_UDP;
	/* hdr_len is not to be trusted; csum_start is where the transport header begins, behind any extension headers.
	 */
	s->ip_len = s->six ? v->csum_start : (size_t)(packet[0] & 15) * 4;
	if ((s->six ? s->ip_len < IP6_LEN : packet[0] >> 4 != 4 || s->ip_len < IP4_LEN) || v->gso_size == 0)
		return ERR_MALFORMED;
	if (n < s->ip_len + (s->tcp ? TCP_LEN : UDP_LEN))
		return ERR_MALFORMED;
	s->hdr_len = s->ip_len + (s->tcp ? (size_t)(packet[s->ip_len + TCP_OFF] >> 4) * 4 : UDP_LEN);
	if (s->hdr_len < s->ip_len + (s->tcp ? TCP_LEN : UDP_LEN) || s->hdr_len > n)
		return ERR_MALFORMED;
	return OK;
}

/* The message that a packet of this length becomes, padding included. */
static size_t room_of(size_t n)
{
	return ((n + 15) & ~(size_t)15) + WG_OVERHEAD;
}

static void finish_csum(uint8_t *p, size_t n, const struct vnet *v)
{
	uint8_t *field = p + v->csum_start + v->csum_offset;
	/* The field holds the pseudo header's sum already, and is part of what is added. */
	uint16_t sum = (uint16_t)~csum_fold(csum_add(0, p + v->csum_start, n - v->csum_start));

	/* In UDP zero means "none", and all ones is the same number. */
	put_sum(field, sum == 0 && v->csum_offset == UDP_SUM ? 0xffff : sum);
}

static size_t split_whole(struct tun_split *s, uint8_t *out, size_t cap, struct wg_packet *pkt)
{
	if (s->at || room_of(s->n) > cap)
		return 0;
	*pkt = (struct wg_packet){ .p = out + WG_HEADROOM, .n = s->n };
	memcpy(pkt->p, s->packet, s->n);
	if (s->v.needs_csum)
		finish_csum(pkt->p, s->n, &s->v);
	s->at = s->n;
	return 1;
}

/* One segment: headers again, with what differs in each. */
static void cut(const struct tun_split *s, uint8_t *p, size_t len, bool last)
{
	size_t n_addr, total = s->hdr_len + len, l4_len = total - s->ip_len;
	uint8_t *l4 = p + s->ip_len, *sum = l4 + (s->tcp ? TCP_SUM : UDP_SUM);

	memcpy(p, s->packet, s->hdr_len);
	if (!s->six)
		put16(p + IP4_ID, (uint16_t)(get16(s->packet + IP4_ID) + s->count));
	set_ip_len(p, s->six, s->ip_len, total);
	if (s->tcp) {
		put32(l4 + TCP_SEQ, get32(l4 + TCP_SEQ) + (uint32_t)s->at);
		if (!last)
			l4[TCP_FLAGS] &= (uint8_t) ~(FLAG_FIN | FLAG_PSH);
		if (s->count) /* the window was reduced once, not in each segment (RFC 3168) */
			l4[TCP_FLAGS] &= (uint8_t)~FLAG_CWR;
	} else {
		put16(l4 + UDP_LENGTH, (uint16_t)l4_len);
	}
	put16(sum, 0);
	const uint8_t *addr = addresses(p, s->six, &n_addr);
	uint64_t c = csum_pseudo(addr, n_addr, (uint32_t)l4_len, s->tcp ? IPPROTO_TCP : IPPROTO_UDP);
	c = csum_copy(c, p + s->hdr_len, s->packet + s->hdr_len + s->at, len);
	/* The header's length is a multiple of four, so the payload began at an even offset. */
	c = csum_add(csum_fold(c), l4, s->hdr_len - s->ip_len);
	uint16_t folded = (uint16_t)~csum_fold(c);
	put_sum(sum, folded == 0 && !s->tcp ? 0xffff : folded);
}

size_t tun_split_step(struct tun_split *s, uint8_t *out, size_t cap, struct wg_packet *pkts, size_t max)
{
	size_t n = 0, payload = s->n - s->hdr_len;

	if (!s->gso)
		return max ? split_whole(s, out, cap, pkts) : 0;
	/* Headers alone are a packet, too. */
	while (n < max && (s->at < payload || s->count == 0)) {
		size_t len = payload - s->at < s->v.gso_size ? payload - s->at : s->v.gso_size,
		       room = room_of(s->hdr_len + len);

		if (room > cap)
			break;
		pkts[n] = (struct wg_packet){ .p = out + WG_HEADROOM, .n = s->hdr_len + len };
		cut(s, pkts[n].p, len, s->at + len == payload);
		s->at += len;
		s->count++;
		n++;
		out += room;
		cap -= room;
	}
	return n;
}

/* ---- putting together ----------------------------------------------------------------------------------------- */

void tun_merge_init(struct tun_merge *m, bool tcp, bool udp)
{
	m->tcp = tcp;
	m->udp = udp;
	m->n_items = m->n_groups = 0;
}

/* Fills g for a packet that may merge with others; false: it may not. */
static bool shape(const struct tun_merge *m, const uint8_t *p, size_t n, struct tun_group *g)
{
	uint8_t protocol;

	g->six = p[0] >> 4 == 6;
	if (g->six) {
		if (n < IP6_LEN || (size_t)get16(p + IP6_PAYLOAD) + IP6_LEN != n)
			return false;
		g->ip_len = IP6_LEN;
		protocol = p[IP6_NEXT];
	} else {
		/* No options, no fragment, nor a reserved bit. */
		if (n < IP4_LEN || p[0] != 0x45 || get16(p + IP4_TOTAL) != n || (get16(p + IP4_FRAG) & ~0x4000))
			return false;
		g->ip_len = IP4_LEN;
		protocol = p[IP4_PROTO];
	}
	const uint8_t *l4 = p + g->ip_len;
	g->tcp = protocol == IPPROTO_TCP;
	if (g->tcp && m->tcp) {
		if (n < g->ip_len + TCP_LEN || (l4[TCP_FLAGS] & ~FLAG_PSH) != FLAG_ACK)
			return false;
		g->hdr_len = g->ip_len + (size_t)(l4[TCP_OFF] >> 4) * 4;
		if (g->hdr_len < g->ip_len + TCP_LEN || (l4[TCP_OFF] & 15))
			return false;
		g->next_seq = n > g->hdr_len ? get32(l4 + TCP_SEQ) + (uint32_t)(n - g->hdr_len) : 0;
	} else if (protocol == IPPROTO_UDP && m->udp) {
		if (n < g->ip_len + UDP_LEN || get16(l4 + UDP_LENGTH) != n - g->ip_len || get16(l4 + UDP_SUM) == 0)
			return false;
		g->hdr_len = g->ip_len + UDP_LEN;
	} else {
		return false;
	}
	if (g->hdr_len >= n)
		return false; /* a pure acknowledgement */
	g->payload = n - g->hdr_len;
	g->total = n;
	return true;
}

/* Same flow: addresses, protocol and ports. */
static bool same_flow(const struct tun_group *g, const uint8_t *a, const struct tun_group *h, const uint8_t *b)
{
	size_t n;
	const uint8_t *addr = addresses(a, g->six, &n), *other = addresses(b, h->six, &n);

	return g->six == h->six && g->tcp == h->tcp && memcmp(addr, other, n) == 0 &&
	       memcmp(a + g->ip_len, b + h->ip_len, 4) == 0;
}

/* What must be equal in all segments of one large packet. */
static bool same_headers(const struct tun_group *g, const uint8_t *a, const struct tun_group *h, const uint8_t *b)
{
	const uint8_t *t = a + g->ip_len, *u = b + h->ip_len;

	if (g->hdr_len != h->hdr_len)
		return false;
	if (g->six) {
		if (memcmp(a, b, 4) != 0 || a[IP6_HOPS] != b[IP6_HOPS]) /* version, class, flow label */
			return false;
	} else if (a[1] != b[1] || a[IP4_TTL] != b[IP4_TTL] || get16(a + IP4_FRAG) != get16(b + IP4_FRAG)) {
		return false;
	}
	if (!g->tcp)
		return true;
	return memcmp(t + TCP_ACK, u + TCP_ACK, 5) == 0 && memcmp(t + TCP_WINDOW, u + TCP_WINDOW, 2) == 0 &&
	       memcmp(t + TCP_URG, u + TCP_URG, g->hdr_len - g->ip_len - TCP_URG) == 0;
}

static bool csum_is_good(const struct tun_group *g, const uint8_t *p, size_t n)
{
	size_t n_addr, l4_len = n - g->ip_len;
	const uint8_t *addr = addresses(p, g->six, &n_addr);
	uint64_t c = csum_pseudo(addr, n_addr, (uint32_t)l4_len, g->tcp ? IPPROTO_TCP : IPPROTO_UDP);

	if (!g->six && csum_fold(csum_add(0, p, g->ip_len)) != 0xffff)
		return false;
	return csum_fold(csum_add(csum_fold(c), p + g->ip_len, l4_len)) == 0xffff;
}

static bool joins(const struct tun_merge *m, const struct tun_group *g, const struct tun_group *h, const uint8_t *p)
{
	const uint8_t *first = m->item[g->first].p;

	return g->open && g->n < TUN_GROUP_MAX && h->payload <= g->payload && g->total + h->payload <= TUN_PACKET_MAX &&
	       (!g->tcp || g->next_seq == get32(p + h->ip_len + TCP_SEQ)) && same_headers(g, first, h, p);
}

/* A packet that cannot merge may belong to a flow that has a group: what comes later may not overtake it by joining
 * that. */
static void close_flow(struct tun_merge *m, const struct tun_group *h, const uint8_t *p, size_t n)
{
	bool known = h->ip_len && n >= h->ip_len + 4; /* else fragments, options: it may be anybody's */

	for (unsigned i = 0; i < TUN_MERGE_LOOK_BACK && i < m->n_groups; i++) {
		struct tun_group *g = &m->group[m->n_groups - 1 - i];

		if (!known || (g->flow && same_flow(g, m->item[g->first].p, h, p)))
			g->open = false;
	}
}

bool tun_merge_add(struct tun_merge *m, uint8_t *p, size_t n)
{
	struct tun_group h = { 0 };

	if (m->n_items == TUN_MERGE_MAX || n < IP4_LEN)
		return m->n_items < TUN_MERGE_MAX;
	unsigned at = m->n_items++;
	m->item[at] = (struct tun_item){ .p = p, .n = n };
	h.first = h.last = at;
	h.n = 1;
	h.flow = shape(m, p, n, &h) && csum_is_good(&h, p, n);
	bool psh = h.flow && h.tcp && (p[h.ip_len + TCP_FLAGS] & FLAG_PSH);

	for (unsigned i = 0; h.flow && i < TUN_MERGE_LOOK_BACK && i < m->n_groups; i++) {
		struct tun_group *g = &m->group[m->n_groups - 1 - i];

		if (!g->flow || !same_flow(g, m->item[g->first].p, &h, p))
			continue;
		if (!joins(m, g, &h, p))
			break; /* the newest group of its flow: it goes behind that one */
		m->item[g->last].next = at;
		g->last = at;
		g->n++;
		g->total += h.payload;
		g->next_seq = h.next_seq;
		g->open = !psh && h.payload == g->payload;
		if (psh)
			m->item[g->first].p[g->ip_len + TCP_FLAGS] |= FLAG_PSH;
		return true;
	}
	if (!h.flow)
		close_flow(m, &h, p, n);
	h.open = h.flow && !psh;
	m->group[m->n_groups++] = h;
	return true;
}

size_t tun_merge_iov(struct tun_merge *m, unsigned i, struct iovec *iov)
{
	struct tun_group *g = &m->group[i];
	struct tun_item *item = &m->item[g->first];
	uint8_t *p = item->p;
	struct vnet v = { 0 };
	size_t n = 2, n_addr;

	iov[0] = (struct iovec){ g->vnet, VNET_LEN };
	iov[1] = (struct iovec){ p, item->n };
	if (g->n > 1) {
		uint8_t *l4 = p + g->ip_len, *sum = l4 + (g->tcp ? TCP_SUM : UDP_SUM);

		v = (struct vnet){
			.needs_csum = true,
			.gso = !g->tcp  ? VNET_UDP
			       : g->six ? VNET_TCP6
					: VNET_TCP4,
			.hdr_len = (uint16_t)g->hdr_len,
			.gso_size = (uint16_t)g->payload,
			.csum_start = (uint16_t)g->ip_len,
			.csum_offset = g->tcp ? TCP_SUM : UDP_SUM,
		};
		set_ip_len(p, g->six, g->ip_len, g->total);
		if (!g->tcp)
			put16(l4 + UDP_LENGTH, (uint16_t)(g->total - g->ip_len));
		const uint8_t *addr = addresses(p, g->six, &n_addr);
		put_sum(sum, csum_fold(csum_pseudo(addr, n_addr, (uint32_t)(g->total - g->ip_len),
				     g->tcp ? IPPROTO_TCP : IPPROTO_UDP)));
		while (item->next) {
			item = &m->item[item->next];
			iov[n++] = (struct iovec){ item->p + g->hdr_len, item->n - g->hdr_len };
		}
	}
	vnet_write(&v, g->vnet);
	return n;
}
