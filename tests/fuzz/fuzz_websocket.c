/* Both roles fed with the input, in pieces whose size the first byte chooses. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/http/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(bool client, struct bytes in, size_t step)
{
	struct buf payload = buf_make(1 << 20), out = buf_make(1 << 20);
	size_t fed = 0;
	struct websocket *w;
	err e = OK;

	if (websocket_new(client, &w) != OK)
		return;
	for (; e == OK && in.n; in = bytes_skip(in, step)) {
		struct bytes part = bytes_first(in, step);

		e = websocket_read(w, part, &payload, &out);
		fed += part.n;
		if (buf_len(&payload) > fed)
			abort();
	}
	(void)!websocket_send(w, BYTES_LIT("x"), &out);
	(void)!websocket_close(w, WEBSOCKET_NORMAL, &out);
	websocket_free(w);
	buf_done(&payload);
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	for (int client = 0; client < 2; client++)
		feed(client, bytes_skip(bytes_of(data, size), 1), data[0] % 32 + 1u);
	return 0;
}
