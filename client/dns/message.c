#include "client/dns/message.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/reader.h"

enum { FLAG_RESPONSE = 0x8000, FLAG_TRUNCATED = 0x0200, FLAG_WANTED = 0x0100, FLAG_AVAILABLE = 0x0080, OPCODE = 0x7800 };
enum { CLASS_IN = 1, EDNS_SIZE = 4096, RECORDS_MAX = 64, POINTER_TO_QUESTION = 0xc000 | DNS_HEADER_LEN };

/* ---- reading -------------------------------------------------------------------------------------------------- */

static err parse_name(struct reader *r, char *out, size_t cap)
{
	size_t n = 0;

	for (;;) {
		uint8_t len = rd_u8(r);

		if (r->bad || len > 63)
			return ERR_MALFORMED;
		if (len == 0)
			break;
		struct bytes label = rd_take(r, len);
		if (r->bad || n + len + 2 > cap)
			return ERR_MALFORMED;
		if (n)
			out[n++] = '.';
		for (size_t i = 0; i < label.n; i++) {
			uint8_t c = label.p[i];

			if (c == '.' || c == 0)
				return ERR_MALFORMED;
			out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
		}
	}
	out[n] = 0;
	return OK;
}

/* Past a name of any form. */
static void skip_name(struct reader *r)
{
	while (!r->bad) {
		uint8_t len = rd_u8(r);

		if (len >= 0xc0) {
			rd_u8(r);
			return;
		}
		if (len == 0)
			return;
		rd_take(r, len);
	}
}

/* The EDNS record of a query. Not finding one is no error. */
static void parse_edns(struct reader *r, unsigned records, struct dns_question *q)
{
	for (unsigned i = 0; i < records && i < RECORDS_MAX; i++) {
		skip_name(r);
		uint16_t type = rd_u16be(r), size = rd_u16be(r);
		rd_u32be(r);
		rd_take(r, rd_u16be(r));
		if (r->bad)
			return;
		if (type != DNS_OPT)
			continue;
		q->edns = true;
		q->udp_max = size < 512 ? 512 : size > EDNS_SIZE ? EDNS_SIZE : size;
		return;
	}
}

err dns_parse_question(struct bytes packet, struct dns_question *out)
{
	struct reader r = rd_init(packet);
	struct dns_question q = { .udp_max = 512 };

	q.id = rd_u16be(&r);
	q.flags = rd_u16be(&r);
	uint16_t questions = rd_u16be(&r), answers = rd_u16be(&r), authorities = rd_u16be(&r), others = rd_u16be(&r);
	if (r.bad)
		return ERR_TRUNCATED;
	*out = q;
	if (questions != 1)
		return ERR_MALFORMED;
	struct bytes at = r.rest;
	TRY(parse_name(&r, q.name, sizeof q.name));
	q.type = rd_u16be(&r);
	q.class_ = rd_u16be(&r);
	if (r.bad)
		return ERR_MALFORMED;
	q.raw = bytes_first(at, at.n - r.rest.n);
	if (!answers && !authorities)
		parse_edns(&r, others, &q);
	*out = q;
	return OK;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

void dns_answer_begin(struct writer *w, const struct dns_question *q, enum dns_rcode rcode)
{
	wr_u16be(w, q->id);
	wr_u16be(w, (uint16_t)(FLAG_RESPONSE | FLAG_AVAILABLE | (q->flags & (OPCODE | FLAG_WANTED)) | rcode));
	wr_u16be(w, q->raw.n ? 1 : 0);
	wr_u16be(w, 0);
	wr_u16be(w, 0);
	wr_u16be(w, 0);
	wr_bytes(w, q->raw);
}

static void begin_record(struct writer *w, enum dns_type type, uint32_t ttl_s)
{
	wr_u16be(w, POINTER_TO_QUESTION);
	wr_u16be(w, (uint16_t)type);
	wr_u16be(w, CLASS_IN);
	wr_u32be(w, ttl_s);
}

void dns_answer_addr(struct writer *w, struct addr a, uint32_t ttl_s)
{
	uint16_t n = a.family == 4 ? 4 : 16;

	begin_record(w, a.family == 4 ? DNS_A : DNS_AAAA, ttl_s);
	wr_u16be(w, n);
	wr_bytes(w, bytes_of(a.b, n));
}

void dns_answer_ptr(struct writer *w, const char *name, uint32_t ttl_s)
{
	struct bytes rest = bytes_str(name);

	begin_record(w, DNS_PTR, ttl_s);
	wr_u16be(w, (uint16_t)(rest.n + 2));
	while (rest.n) {
		struct bytes label = bytes_cut(rest, '.', &rest);

		wr_u8(w, (uint8_t)label.n);
		wr_bytes(w, label);
	}
	wr_u8(w, 0);
}

static void put_u16(struct writer *w, size_t at, unsigned v)
{
	w->p[at] = (uint8_t)(v >> 8);
	w->p[at + 1] = (uint8_t)v;
}

void dns_answer_end(struct writer *w, const struct dns_question *q, unsigned n, size_t max)
{
	enum { FLAGS_AT = 2, ANSWERS_AT = 6, OTHERS_AT = 10, OPT_LEN = 11 };
	size_t opt = q->edns ? OPT_LEN : 0;

	if (w->bad || w->n + opt > max) {
		w->n = DNS_HEADER_LEN + q->raw.n;
		w->bad = false;
		w->p[FLAGS_AT] |= FLAG_TRUNCATED >> 8;
		n = 0;
	}
	put_u16(w, ANSWERS_AT, n);
	if (!opt)
		return;
	wr_u8(w, 0);
	wr_u16be(w, DNS_OPT);
	wr_u16be(w, EDNS_SIZE);
	wr_u32be(w, 0);
	wr_u16be(w, 0);
	put_u16(w, OTHERS_AT, w->bad ? 0 : 1);
}

/* ---- reverse names -------------------------------------------------------------------------------------------- */

/* Labels from the front are the address's parts from the back. */
static bool reverse_v4(struct bytes rest, struct addr *out)
{
	*out = (struct addr){ .family = 4 };
	for (int i = 3; i >= 0; i--) {
		struct bytes label = bytes_cut(rest, '.', &rest);
		uint64_t v;

		if (label.n > 3 || bytes_parse_u64(label, 255, &v) != OK)
			return false;
		out->b[i] = (uint8_t)v;
	}
	return rest.n == 0;
}

static bool reverse_v6(struct bytes rest, struct addr *out)
{
	static const char digits[] = "0123456789abcdef";

	*out = (struct addr){ .family = 6 };
	for (int i = 31; i >= 0; i--) {
		struct bytes label = bytes_cut(rest, '.', &rest);
		const char *d = label.n == 1 ? memchr(digits, label.p[0], 16) : NULL;

		if (!d)
			return false;
		out->b[i / 2] |= (uint8_t)((d - digits) << (i % 2 ? 0 : 4));
	}
	return rest.n == 0;
}

bool dns_reverse_addr(const char *name, struct addr *out)
{
	static const char v4[] = ".in-addr.arpa", v6[] = ".ip6.arpa";
	struct bytes b = bytes_str(name);

	if (b.n > sizeof v4 - 1 && bytes_eq_str(bytes_skip(b, b.n - (sizeof v4 - 1)), v4))
		return reverse_v4(bytes_first(b, b.n - (sizeof v4 - 1)), out);
	if (b.n > sizeof v6 - 1 && bytes_eq_str(bytes_skip(b, b.n - (sizeof v6 - 1)), v6))
		return reverse_v6(bytes_first(b, b.n - (sizeof v6 - 1)), out);
	return false;
}
