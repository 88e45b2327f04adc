#include "common/wire/stun.h"

#include "common/base/reader.h"
#include "common/base/writer.h"

enum {
	BINDING_REQUEST = 0x0001,
	BINDING_SUCCESS = 0x0101,
	ATTR_MAPPED_ADDRESS = 0x0001,
	ATTR_XOR_MAPPED_ADDRESS = 0x0020,
	ATTR_XOR_MAPPED_ADDRESS_OLD = 0x8020, /* before RFC 5389 gave it a number */
	ATTR_SOFTWARE = 0x8022,
	ATTR_FINGERPRINT = 0x8028,
	HEADER_LEN = 20,
	ATTR_HEADER_LEN = 4,
	FINGERPRINT_LEN = ATTR_HEADER_LEN + 4,
	FAMILY_V4 = 1,
	FAMILY_V6 = 2,
};
static const uint32_t cookie = 0x2112a442;
static const uint32_t fingerprint_xor = 0x5354554e; /* "STUN" */
static const char software[] = "tailnode";

/* CRC-32 of zlib and Ethernet, four bits a step. */
static uint32_t crc32(struct bytes b)
{
	static const uint32_t table[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4,
		0xa00ae278, 0xbdbdf21c };
	struct reader r = rd_init(b);
	uint32_t c = 0xffffffff;

	while (r.rest.n) {
		c ^= rd_u8(&r);
		c = table[c & 15] ^ c >> 4;
		c = table[c & 15] ^ c >> 4;
	}
	return ~c;
}

struct header {
	uint16_t type, len;
	struct stun_txid txid;
};

static err take_header(struct reader *r, struct header *h)
{
	h->type = rd_u16be(r);
	h->len = rd_u16be(r);
	uint32_t c = rd_u32be(r);
	rd_copy(r, h->txid.b, sizeof h->txid.b);
	return r->bad || h->type & 0xc000 || c != cookie ? ERR_MALFORMED : OK;
}

static void put_header(struct writer *w, uint16_t type, uint16_t len, const struct stun_txid *txid)
{
	wr_u16be(w, type);
	wr_u16be(w, len);
	wr_u32be(w, cookie);
	wr_bytes(w, bytes_of(txid->b, sizeof txid->b));
}

struct attr {
	uint16_t type;
	struct bytes value;
};

/* The next attribute with its padding to four bytes. */
static struct attr take_attr(struct reader *r)
{
	struct attr a = { .type = rd_u16be(r) };
	uint16_t len = rd_u16be(r);

	a.value = rd_take(r, len);
	rd_take(r, (4 - len % 4u) % 4u);
	return a;
}

bool stun_looks_like(struct bytes packet)
{
	struct reader r = rd_init(packet);
	struct header h;

	return take_header(&r, &h) == OK;
}

void stun_write_request(uint8_t out[STUN_REQUEST_LEN], const struct stun_txid *txid)
{
	struct writer w = wr_init(out, STUN_REQUEST_LEN);

	put_header(&w, BINDING_REQUEST, STUN_REQUEST_LEN - HEADER_LEN, txid);
	wr_u16be(&w, ATTR_SOFTWARE);
	wr_u16be(&w, sizeof software - 1);
	wr_bytes(&w, bytes_str(software));
	uint32_t fingerprint = crc32(wr_view(&w)) ^ fingerprint_xor;
	wr_u16be(&w, ATTR_FINGERPRINT);
	wr_u16be(&w, 4);
	wr_u32be(&w, fingerprint);
}

err stun_parse_request(struct bytes packet, struct stun_txid *out)
{
	struct reader r = rd_init(packet);
	struct header h;
	struct attr a = { 0 };
	bool is_ours = false;

	if (take_header(&r, &h) != OK || h.type != BINDING_REQUEST)
		return ERR_MALFORMED;
	while (!r.bad && r.rest.n) {
		a = take_attr(&r);
		if (a.type == ATTR_SOFTWARE && bytes_eq_str(a.value, software))
			is_ours = true;
	}
	if (r.bad || !is_ours || a.type != ATTR_FINGERPRINT || a.value.n != 4)
		return ERR_MALFORMED;

	struct reader f = rd_init(a.value);
	if (rd_u32be(&f) != (crc32(bytes_first(packet, packet.n - FINGERPRINT_LEN)) ^ fingerprint_xor))
		return ERR_MALFORMED;
	*out = h.txid;
	return OK;
}

/* Cookie and transaction id: what addresses are XORed with. */
static void address_mask(const struct stun_txid *txid, uint8_t mask[16])
{
	struct writer w = wr_init(mask, 16);

	wr_u32be(&w, cookie);
	wr_bytes(&w, bytes_of(txid->b, sizeof txid->b));
}

size_t stun_write_response(uint8_t out[STUN_RESPONSE_MAX], const struct stun_txid *txid, struct addrport src)
{
	size_t n = src.addr.family == 4 ? 4 : 16;
	struct writer w = wr_init(out, STUN_RESPONSE_MAX);
	uint8_t mask[16];

	address_mask(txid, mask);
	put_header(&w, BINDING_SUCCESS, (uint16_t)(ATTR_HEADER_LEN + 4 + n), txid);
	wr_u16be(&w, ATTR_XOR_MAPPED_ADDRESS);
	wr_u16be(&w, (uint16_t)(4 + n));
	wr_u8(&w, 0);
	wr_u8(&w, src.addr.family == 4 ? FAMILY_V4 : FAMILY_V6);
	wr_u16be(&w, (uint16_t)(src.port ^ cookie >> 16));
	for (size_t i = 0; i < n; i++)
		wr_u8(&w, src.addr.b[i] ^ mask[i]);
	return w.n;
}

static err parse_address(struct bytes value, const uint8_t mask[16], uint16_t port_mask, struct addrport *out)
{
	struct reader r = rd_init(value);
	struct addrport a = { 0 };

	rd_u8(&r);
	uint8_t family = rd_u8(&r);
	a.port = rd_u16be(&r) ^ port_mask;
	size_t n = family == FAMILY_V4 ? 4 : family == FAMILY_V6 ? 16 : 0;
	rd_copy(&r, a.addr.b, n);
	if (r.bad || n == 0)
		return ERR_MALFORMED;
	a.addr.family = family == FAMILY_V4 ? 4 : 6;
	for (size_t i = 0; i < n; i++)
		a.addr.b[i] ^= mask[i];
	/* A dual-stack relay of upstream answers IPv4 clients with the mapped form: stun.md 3. */
	a.addr = addr_unmap(a.addr);
	*out = a;
	return OK;
}

err stun_parse_response(struct bytes packet, struct stun_txid *txid, struct addrport *mapped)
{
	static const uint8_t no_mask[16];
	struct reader r = rd_init(packet);
	struct header h;
	struct addrport xored = { 0 }, plain = { 0 };
	uint8_t mask[16];

	if (take_header(&r, &h) != OK || h.type != BINDING_SUCCESS)
		return ERR_MALFORMED;
	struct reader body = rd_init(rd_take(&r, h.len));
	if (r.bad)
		return ERR_MALFORMED;
	address_mask(&h.txid, mask);
	while (!body.bad && body.rest.n) {
		struct attr a = take_attr(&body);
		err e = OK;

		if (body.bad)
			break;
		if (a.type == ATTR_XOR_MAPPED_ADDRESS || a.type == ATTR_XOR_MAPPED_ADDRESS_OLD) {
			if (!xored.addr.family)
				e = parse_address(a.value, mask, cookie >> 16, &xored);
		} else if (a.type == ATTR_MAPPED_ADDRESS && !plain.addr.family) {
			e = parse_address(a.value, no_mask, 0, &plain);
		}
		if (e != OK)
			return e;
	}
	if (body.bad || (!xored.addr.family && !plain.addr.family))
		return ERR_MALFORMED;
	*txid = h.txid;
	*mapped = xored.addr.family ? xored : plain;
	return OK;
}
