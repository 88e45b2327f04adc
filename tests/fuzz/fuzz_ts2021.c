/* Frames of ts2021, and records through the opener: what parses is inside the input and writes back to the same bytes.
 */
#include <stdlib.h>

#include "common/crypto/noise_record.h"
#include "common/wire/ts2021.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(struct writer *w, struct bytes in)
{
	if (w->bad || !bytes_eq(wr_view(w), bytes_first(in, w->n)))
		abort();
}

static void open_records(struct bytes in)
{
	struct noise_transport t = { .recv_key.b = { 1 } };
	struct buf b = buf_make(1 << 20);
	struct bytes plain;
	size_t used;

	buf_append(&b, in);
	while (noise_record_open(&t, &b, &plain, &used) == OK)
		buf_consume(&b, used);
	buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[TS2021_FRAME_MAX];
	struct bytes in = bytes_of(data, size), json;
	struct ts2021_initiation m;
	struct ts2021_frame f;
	struct writer w = wr_init(out, sizeof out);
	size_t used;

	if (ts2021_parse_initiation(in, &m) == OK) {
		ts2021_write_initiation(&w, m.version, m.noise);
		check_same(&w, in);
	}
	if (ts2021_parse_answer(in, &f) == OK) {
		w = wr_init(out, sizeof out);
		if (f.type == TS2021_RESPONSE)
			ts2021_write_response(&w, f.body);
		else
			ts2021_write_error(&w, f.body);
		check_same(&w, in);
	}
	if (ts2021_parse_record(in, &f) == OK) {
		w = wr_init(out, sizeof out);
		ts2021_write_record_header(&w, f.body.n);
		wr_bytes(&w, f.body);
		check_same(&w, in);
	}
	if (ts2021_parse_early(in, &json, &used) == OK && (used > size || used != json.n + TS2021_EARLY_HEADER_LEN))
		abort();
	open_records(in);
	return 0;
}
