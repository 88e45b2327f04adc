#include "common/crypto/noise_record.h"

#include "common/base/cleanup.h"
#include "common/wire/ts2021.h"

err noise_record_open(struct noise_transport *t, struct buf *in, struct bytes *plain, size_t *used)
{
	struct ts2021_frame f;

	TRY(ts2021_parse_record(buf_view(in), &f));
	uint8_t *body = in->p + in->at + TS2021_HEADER_LEN; /* f.body, in memory that is ours to change */
	TRY(noise_open(t, body, f.body.n));
	*plain = bytes_of(body, f.body.n - NOISE_TAG_LEN);
	*used = f.len;
	return OK;
}

size_t noise_record_len(size_t plain_len)
{
	size_t records = plain_len / TS2021_PLAIN_MAX + (plain_len % TS2021_PLAIN_MAX != 0);

	return plain_len + records * (TS2021_HEADER_LEN + NOISE_TAG_LEN);
}

err noise_record_seal(struct noise_transport *t, struct bytes plain, struct buf *out)
{
	bool was_bad = out->bad;
	uint8_t *at = NULL;

	if (plain.n == 0)
		return OK;
	size_t len = noise_record_len(plain.n);
	if (!was_bad && plain.n <= SIZE_MAX / 2)
		at = buf_reserve(out, len);
	if (!at) {
		out->bad = was_bad;
		return ERR_TOO_BIG;
	}
	struct writer w = wr_init(at, len);
	while (plain.n) {
		struct bytes part = bytes_first(plain, TS2021_PLAIN_MAX);

		ts2021_write_record_header(&w, part.n + NOISE_TAG_LEN);
		uint8_t *body = wr_room(&w, part.n + NOISE_TAG_LEN);
		memcpy(body, part.p, part.n);
		TRY(noise_seal(t, body, part.n)); /* nothing was committed: the connection ends here */
		plain = bytes_skip(plain, part.n);
	}
	buf_commit(out, w.n);
	return OK;
}
