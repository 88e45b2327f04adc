/* Heads of both directions, the upgrade decision, and chunked bodies cut at a place that the input chooses. */
#include <stdlib.h>

#include "common/http/upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_body(struct bytes in, size_t step, struct http1_body b)
{
	struct bytes payload;
	size_t used;

	while (in.n && !b.done) {
		if (http1_body_step(&b, bytes_first(in, step), &used, &payload) != OK)
			return;
		if (used == 0)
			abort();
		in = bytes_skip(in, used);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct http1_request q;
	struct http1_response r;
	struct http1_body b;
	struct upgrade u;

	if (http1_parse_request(in, &q) == OK) {
		struct buf out = buf_make(4096);

		if (q.head_len > size)
			abort();
		upgrade_detect(&q, &u);
		upgrade_write_101(&u, (const uint8_t[32]){ 1 }, &out);
		upgrade_write_refusal(&u, &out);
		if (out.bad)
			abort();
		buf_done(&out);
		http1_body_init(&b, q.framing, q.body_len);
		walk_body(bytes_skip(in, q.head_len), 7, b);
	}
	if (http1_parse_response(in, false, &r) == OK && r.head_len > size)
		abort();
	http1_body_init(&b, HTTP1_BODY_CHUNKED, 0);
	walk_body(in, size ? data[0] % 16 + 1u : 1, b);
	return 0;
}
