/* part: pieces of map responses that many viewers share: immutable JSON text, reference counted, compressed at most once.
 *
 * A map message is a list of parts whose texts, one after the other, are one MapResponse. On the wire it is
 *     u32le length | zstd(part 0) | zstd(part 1) | …      (Compress: zstd; concatenated frames: control.md 6.3)
 *     u32le length | text of all parts                    (Compress: "")
 * Wire threads ask for the compressed form, the core never does. All functions are safe on any thread. */
#pragma once

#include "common/base/buf.h"

struct part;

/* text is taken (its memory becomes the part's); NULL when out of memory (text is freed then, too). */
struct part *part_new(struct buf *text);
struct part *part_ref(struct part *p);
void part_unref(struct part *p);
struct bytes part_text(const struct part *p);
/* An independent zstd frame of the text (level 1; stored when tiny); made by the first caller. n 0: out of memory. */
struct bytes part_zstd(struct part *p);

struct map_msg;

enum { MAP_MSG_PARTS_MAX = 4096 };

/* A reference of each part is taken, also when it fails: NULL when n is 0 or over MAP_MSG_PARTS_MAX, or out of memory. */
struct map_msg *map_msg_new(struct part *const *parts, size_t n);
struct map_msg *map_msg_keepalive(void); /* the one shared keepalive, canonical bytes; references cost nothing */
struct map_msg *map_msg_ref(struct map_msg *m);
void map_msg_unref(struct map_msg *m);

/* The message cut into pieces to be sent in order without copying: the length prefix (4 bytes, into head), then for
 * i = 0, 1, … the piece i, until it returns n 0. Lengths that equal the keepalive's are padded (trap T41): the padding is
 * a piece, too. Ask for the head first. Pieces are valid while m is referenced. ERR_NOMEM: could not compress. ERR_TOO_BIG:
 * over 256 MB. */
MUST_USE err map_msg_head(struct map_msg *m, bool zstd, uint8_t head[4], size_t *payload);
struct bytes map_msg_piece(struct map_msg *m, bool zstd, size_t i);
size_t map_msg_text_len(const struct map_msg *m);
