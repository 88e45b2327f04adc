/* A server session fed with the input after a valid opening, in pieces whose size the first byte chooses. Requests are
 * answered, streamed or left alone by their path. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/http/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_request(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx)
{
	size_t n = m->path.n;

	(void)ctx;
	if (n % 3 == 0) {
		(void)!http2_respond(h, s, 200, NULL, 0, m->body);
	} else if (n % 3 == 1 && http2_respond_start(h, s, 200, NULL, 0) == OK) {
		(void)!http2_push_copy(h, s, m->path);
	}
}

static void on_drained(struct http2 *h, struct http2_stream *s, void *ctx)
{
	(void)ctx;
	http2_finish(h, s);
}

static void on_closed(struct http2 *h, struct http2_stream *s, uint32_t error, void *ctx)
{
	(void)error;
	(void)ctx;
	(void)!http2_push_copy(h, s, BYTES_LIT("too late"));
}

static const struct http2_events events = { .on_request = on_request, .on_drained = on_drained, .on_closed = on_closed };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct buf out = buf_make(1 << 20);
	struct http2 *h;
	int64_t now_ms = 0;

	if (size == 0 || http2_new(&(struct http2_opts){ .body_max = 2000, .bodies_max = 4000 }, &events, NULL, &h) != OK)
		return 0;
	size_t step = data[0] % 64 + 1u;
	in = bytes_skip(in, 1);
	err e = http2_read(h, BYTES_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"), now_ms);
	for (; e == OK && in.n; in = bytes_skip(in, step)) {
		e = http2_read(h, bytes_first(in, step), now_ms += 5);
		if (http2_write(h, &out, step * 10) != OK)
			break;
		buf_clear(&out);
	}
	http2_free(h);
	buf_done(&out);
	return 0;
}
