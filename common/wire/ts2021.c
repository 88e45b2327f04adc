#include "common/wire/ts2021.h"

#include "common/base/reader.h"

enum {
	INITIATION_HEADER_LEN = 5, /* only this frame has a version in its header */
	INITIATION_BODY_LEN = TS2021_INITIATION_LEN - INITIATION_HEADER_LEN,
	RESPONSE_BODY_LEN = TS2021_RESPONSE_LEN - TS2021_HEADER_LEN,
	TAG_LEN = 16,
};

err ts2021_parse_initiation(struct bytes in, struct ts2021_initiation *out)
{
	struct reader r = rd_init(in);
	struct ts2021_initiation m = { 0 };

	m.version = rd_u16be(&r);
	uint8_t type = rd_u8(&r);
	uint16_t len = rd_u16be(&r);
	if (r.bad)
		return ERR_TRUNCATED;
	if (type != TS2021_INITIATION || len != INITIATION_BODY_LEN)
		return ERR_MALFORMED;

	m.noise = rd_take(&r, INITIATION_BODY_LEN);
	if (r.bad)
		return ERR_TRUNCATED;
	struct reader body = rd_init(m.noise);
	m.ephemeral_pub = rd_take(&body, 32);
	m.machine_pub = rd_take(&body, 32 + TAG_LEN);
	m.tag = rd_take(&body, TAG_LEN);
	*out = m;
	return OK;
}

void ts2021_write_initiation(struct writer *w, uint16_t version, struct bytes noise)
{
	wr_u16be(w, version);
	wr_u8(w, TS2021_INITIATION);
	wr_u16be(w, INITIATION_BODY_LEN);
	if (noise.n != INITIATION_BODY_LEN)
		w->bad = true;
	wr_bytes(w, noise);
}

/* Type and length; the caller has its say on them before the body is there. */
static err take_header(struct reader *r, uint8_t *type, size_t *len)
{
	*type = rd_u8(r);
	*len = rd_u16be(r);
	return r->bad ? ERR_TRUNCATED : OK;
}

static err take_body(struct reader *r, uint8_t type, size_t len, struct ts2021_frame *out)
{
	struct bytes body = rd_take(r, len);

	if (r->bad)
		return ERR_TRUNCATED;
	*out = (struct ts2021_frame){ .type = type, .body = body, .len = TS2021_HEADER_LEN + len };
	return OK;
}

err ts2021_parse_answer(struct bytes in, struct ts2021_frame *out)
{
	struct reader r = rd_init(in);
	uint8_t type;
	size_t len;
	err e = take_header(&r, &type, &len);

	if (e != OK)
		return e;
	if (type != TS2021_ERROR && (type != TS2021_RESPONSE || len != RESPONSE_BODY_LEN))
		return ERR_MALFORMED;
	if (len > TS2021_BODY_MAX)
		return ERR_TOO_BIG;
	return take_body(&r, type, len, out);
}

void ts2021_write_response(struct writer *w, struct bytes noise)
{
	wr_u8(w, TS2021_RESPONSE);
	wr_u16be(w, RESPONSE_BODY_LEN);
	if (noise.n != RESPONSE_BODY_LEN)
		w->bad = true;
	wr_bytes(w, noise);
}

void ts2021_write_error(struct writer *w, struct bytes text)
{
	text = bytes_first(text, TS2021_BODY_MAX);
	wr_u8(w, TS2021_ERROR);
	wr_u16be(w, (uint16_t)text.n);
	wr_bytes(w, text);
}

err ts2021_parse_record(struct bytes in, struct ts2021_frame *out)
{
	struct reader r = rd_init(in);
	uint8_t type;
	size_t len;
	err e = take_header(&r, &type, &len);

	if (e != OK)
		return e;
	if (type != TS2021_RECORD || len < TAG_LEN)
		return ERR_MALFORMED;
	if (len > TS2021_BODY_MAX)
		return ERR_TOO_BIG;
	return take_body(&r, type, len, out);
}

void ts2021_write_record_header(struct writer *w, size_t body_len)
{
	if (body_len < TAG_LEN || body_len > TS2021_BODY_MAX)
		w->bad = true;
	wr_u8(w, TS2021_RECORD);
	wr_u16be(w, (uint16_t)body_len);
}

static const uint8_t early_magic[5] = { 0xff, 0xff, 0xff, 'T', 'S' };

err ts2021_parse_early(struct bytes in, struct bytes *json, size_t *used)
{
	struct reader r = rd_init(in);
	struct bytes magic = bytes_of(early_magic, sizeof early_magic);

	/* A stream that already differs is HTTP/2: no need to wait for nine bytes of it. */
	if (!bytes_eq(bytes_first(in, magic.n), bytes_first(magic, in.n)))
		return ERR_NOT_FOUND;
	rd_take(&r, magic.n);
	uint32_t len = rd_u32be(&r);
	if (r.bad)
		return ERR_TRUNCATED;
	if (len > TS2021_EARLY_MAX)
		return ERR_TOO_BIG;
	struct bytes body = rd_take(&r, len);
	if (r.bad)
		return ERR_TRUNCATED;
	*json = body;
	*used = TS2021_EARLY_HEADER_LEN + (size_t)len;
	return OK;
}

void ts2021_write_early_header(struct writer *w, uint32_t json_len)
{
	wr_bytes(w, bytes_of(early_magic, sizeof early_magic));
	wr_u32be(w, json_len);
}
