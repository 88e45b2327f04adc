/* zframe: zstd frames made without a compressor, and the frame of a map stream around them.
 *
 * A map stream is, again and again, u32le length + payload (protocol/control.md 6.3). For Compress:"zstd" a payload is one
 * or more zstd frames, else JSON. A client that saw a keepalive takes a later payload of exactly its length for another
 * keepalive (trap T41 there), so such a payload is made 8 bytes longer: by a skippable frame, or by spaces.
 * Facts: RFC 8878 3.1; proven against the official decoder: control.md 6.3, 6.4. */
#pragma once

#include "common/base/buf.h"

enum {
	ZFRAME_BLOCK_MAX = 131072, /* a larger block is refused by decoders */
	ZFRAME_SKIP_MIN = 8,	   /* bytes of an empty skippable frame */
	MAP_PAD_LEN = 8,
};

/* Appends a frame that holds content as it is. The buf goes bad when content has 4 GiB or more. */
void zframe_store(struct buf *out, struct bytes content);
/* Its length. */
size_t zframe_stored_len(size_t content);

/* Appends a skippable frame of n bytes in all, n >= ZFRAME_SKIP_MIN (the buf goes bad otherwise). */
void zframe_skippable(struct buf *out, size_t n);

/* The keepalive: always these bytes, for clients compare them. The payload, and the payload with its length before it. */
struct bytes map_keepalive_payload(bool zstd);
struct bytes map_keepalive_frame(bool zstd);

/* What goes around a payload of this length: 4 bytes before it and pad (static; n is 0 or MAP_PAD_LEN) after it.
 * ERR_TOO_BIG: the length does not fit. */
struct map_frame {
	uint8_t head[4];
	struct bytes pad;
};
MUST_USE err map_frame_around(size_t payload, bool zstd, struct map_frame *out);

/* Appends head, payload and padding. The buf goes bad when it does not fit. Never for the keepalive itself. */
void map_frame_append(struct buf *out, struct bytes payload, bool zstd);
