#include "common/wire/map_reader.h"

#include <zstd.h>

#include "common/base/cleanup.h"
#include "common/base/reader.h"

enum {
	HEAD_LEN = 4,
	FEED_AHEAD = 1 << 20, /* bytes that may lie behind a complete message */
	DECODE_STEP = 32 * 1024,
};

void map_reader_init(struct map_reader *r, bool zstd, size_t max, struct ZSTD_DCtx_s *decoder)
{
	*r = (struct map_reader){
		.in = buf_make(HEAD_LEN + max + FEED_AHEAD),
		.text = buf_make(max + 1),
		.max = max,
		.zstd = zstd,
		.decoder = decoder,
		.shared = decoder != NULL,
	};
}

void map_reader_done(struct map_reader *r)
{
	buf_done(&r->in);
	buf_done(&r->text);
	if (!r->shared)
		ZSTD_freeDCtx(r->decoder);
	*r = (struct map_reader){ 0 };
}

err map_reader_feed(struct map_reader *r, struct bytes in)
{
	if (in.n > r->in.max - buf_len(&r->in))
		return ERR_TOO_BIG;
	buf_append(&r->in, in);
	return r->in.bad ? ERR_NOMEM : OK;
}

/* All frames of payload, one after the other, onto text. */
static err decode(struct map_reader *r, struct bytes payload)
{
	ZSTD_inBuffer in = { payload.p, payload.n, 0 };
	size_t left = 0;

	if (!r->decoder)
		r->decoder = ZSTD_createDCtx();
	if (!r->decoder)
		return ERR_NOMEM;
	ZSTD_DCtx_reset(r->decoder, ZSTD_reset_session_only);
	for (;;) {
		/* Room for one byte too many, so that frames without content may follow a message of exactly max. */
		size_t room = MIN_OF((size_t)DECODE_STEP, r->text.max - buf_len(&r->text));
		uint8_t *p = buf_reserve(&r->text, room);

		if (!p)
			return ERR_NOMEM;
		ZSTD_outBuffer out = { p, room, 0 };
		left = ZSTD_decompressStream(r->decoder, &out, &in);
		if (ZSTD_isError(left))
			return ERR_MALFORMED;
		buf_commit(&r->text, out.pos);
		if (buf_len(&r->text) > r->max)
			return ERR_TOO_BIG;
		if (in.pos == in.size && (left == 0 || out.pos < room))
			break; /* all was taken, and nothing waits inside */
	}
	return left == 0 ? OK : ERR_MALFORMED;
}

err map_reader_next(struct map_reader *r, struct bytes *json)
{
	buf_consume(&r->in, r->used);
	r->used = 0;
	buf_clear(&r->text);

	struct reader rd = rd_init(buf_view(&r->in));
	uint32_t len = rd_u32le(&rd);
	if (rd.bad || len == 0 || len > r->max || rd.rest.n < len) {
		buf_release(&r->in);
		buf_release(&r->text);
		return rd.bad ? ERR_TRUNCATED : len == 0 ? ERR_MALFORMED : len > r->max ? ERR_TOO_BIG : ERR_TRUNCATED;
	}

	struct bytes text = rd_take(&rd, len);
	if (r->zstd) {
		TRY(decode(r, text));
		text = buf_view(&r->text);
		if (text.n == 0)
			return ERR_MALFORMED;
	}
	r->used = HEAD_LEN + len;
	*json = text;
	return OK;
}

bool map_is_keepalive(struct bytes json)
{
	return bytes_eq(json, BYTES_LIT("{\"KeepAlive\":true}"));
}
