/* A map stream through the reader, packed and plain: whole or in two pieces, the messages are the same. */
#include <stdlib.h>

#include "common/wire/map_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 1 << 16 };

/* A hash of the messages and how the stream ended. */
static uint64_t run(struct bytes stream, size_t cut, bool zstd)
{
	struct map_reader r;
	struct bytes json;
	uint64_t h = 14695981039346656037u;
	err e = OK;

	map_reader_init(&r, zstd, MAX, NULL);
	for (int half = 0; half < 2 && (e == OK || e == ERR_TRUNCATED); half++) {
		e = map_reader_feed(&r, half ? bytes_skip(stream, cut) : bytes_first(stream, cut));
		while (e == OK) {
			e = map_reader_next(&r, &json);
			if (e == OK && (json.n == 0 || json.n > MAX))
				abort();
			for (size_t i = 0; e == OK && i < json.n; i++)
				h = (h ^ json.p[i]) * 1099511628211u;
		}
	}
	map_reader_done(&r);
	return h ^ (uint64_t)e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);

	if (size == 0 || size > MAX)
		return 0;
	size_t cut = data[0] % size;
	in = bytes_skip(in, 1);
	for (int zstd = 0; zstd < 2; zstd++)
		if (run(in, in.n, zstd) != run(in, cut < in.n ? cut : in.n, zstd))
			abort();
	return 0;
}
