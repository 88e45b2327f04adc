/* map_reader: a map stream as a client reads it: bytes of the response's body in, MapResponses (JSON) out.
 *
 * The opposite of zframe.h. A message is u32le length + payload, the payload one or more zstd frames or plain JSON
 * (protocol/control.md 6.3). Used by our client and by simulated ones. */
#pragma once

#include "common/base/buf.h"

struct ZSTD_DCtx_s;

struct map_reader {
	struct buf in;
	struct buf text; /* of a compressed message, decoded */
	size_t used;	 /* of in, by the message that was handed out last */
	size_t max;
	bool zstd;
	struct ZSTD_DCtx_s *decoder; /* borrowed when shared, else owned */
	bool shared;
};

/* max: bytes of one message, packed and unpacked each. decoder: to be shared by readers of one thread (a decoder keeps
 * 100 KiB and more); NULL: the reader makes its own when it needs one. */
void map_reader_init(struct map_reader *r, bool zstd, size_t max, struct ZSTD_DCtx_s *decoder);
void map_reader_done(struct map_reader *r);

/* ERR_TOO_BIG: more than a message ahead of map_reader_next. ERR_NOMEM. */
MUST_USE err map_reader_feed(struct map_reader *r, struct bytes in);
/* OK: *json, borrowed until the next call. ERR_TRUNCATED: feed more. Anything else ends the stream: ERR_TOO_BIG (over max),
 * ERR_MALFORMED (no zstd, an empty message), ERR_NOMEM. */
MUST_USE err map_reader_next(struct map_reader *r, struct bytes *json);

/* The message is a keepalive, which carries nothing else. */
bool map_is_keepalive(struct bytes json);
