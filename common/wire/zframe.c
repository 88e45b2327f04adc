#include "common/wire/zframe.h"

#include "common/base/writer.h"

enum { FRAME_HEAD_MAX = 4 + 1 + 4, BLOCK_HEAD = 3 };

/* Magic, descriptor (single segment: the window is the content), content size in its shortest form. */
static size_t frame_head(size_t content, uint8_t out[FRAME_HEAD_MAX])
{
	struct writer w = wr_init(out, FRAME_HEAD_MAX);

	wr_u32le(&w, 0xfd2fb528);
	if (content < 256) {
		wr_u8(&w, 0x20);
		wr_u8(&w, (uint8_t)content);
	} else if (content < 65536 + 256) {
		wr_u8(&w, 0x60);
		wr_u16le(&w, (uint16_t)(content - 256));
	} else {
		wr_u8(&w, 0xa0);
		wr_u32le(&w, (uint32_t)content);
	}
	return w.n;
}

static size_t block_count(size_t content)
{
	return content ? (content - 1) / ZFRAME_BLOCK_MAX + 1 : 1; /* empty content is one empty block */
}

size_t zframe_stored_len(size_t content)
{
	uint8_t head[FRAME_HEAD_MAX];

	return frame_head(content, head) + block_count(content) * BLOCK_HEAD + content;
}

void zframe_store(struct buf *out, struct bytes content)
{
	uint8_t head[FRAME_HEAD_MAX];

	if (content.n > UINT32_MAX) {
		out->bad = true;
		return;
	}
	buf_append(out, bytes_of(head, frame_head(content.n, head)));
	do {
		struct bytes block = bytes_first(content, ZFRAME_BLOCK_MAX);
		uint32_t last = block.n == content.n, h = (uint32_t)block.n << 3 | last; /* type 0: raw */

		buf_append(out, bytes_of((const uint8_t[]){ (uint8_t)h, (uint8_t)(h >> 8), (uint8_t)(h >> 16) }, BLOCK_HEAD));
		buf_append(out, block);
		content = bytes_skip(content, block.n);
	} while (content.n);
}

void zframe_skippable(struct buf *out, size_t n)
{
	uint8_t *at;

	if (n < ZFRAME_SKIP_MIN || n - ZFRAME_SKIP_MIN > UINT32_MAX) {
		out->bad = true;
		return;
	}
	at = buf_reserve(out, n);
	if (!at)
		return;
	struct writer w = wr_init(at, n);
	wr_u32le(&w, 0x184d2a50);
	wr_u32le(&w, (uint32_t)(n - ZFRAME_SKIP_MIN));
	memset(at + ZFRAME_SKIP_MIN, 0, n - ZFRAME_SKIP_MIN);
	buf_commit(out, n);
}

/* protocol/vectors/wire_misc.json map_stream; u32le length first */
static const uint8_t keepalive_zstd[] = "\x1b\0\0\0\x28\xb5\x2f\xfd\x20\x12\x91\0\0{\"KeepAlive\":true}";
static const uint8_t keepalive_plain[] = "\x12\0\0\0{\"KeepAlive\":true}";

struct bytes map_keepalive_frame(bool zstd)
{
	return zstd ? bytes_of(keepalive_zstd, sizeof keepalive_zstd - 1) : bytes_of(keepalive_plain, sizeof keepalive_plain - 1);
}

struct bytes map_keepalive_payload(bool zstd)
{
	return bytes_skip(map_keepalive_frame(zstd), 4);
}

err map_frame_around(size_t payload, bool zstd, struct map_frame *out)
{
	static const uint8_t skip[MAP_PAD_LEN] = { 0x50, 0x2a, 0x4d, 0x18 };
	static const uint8_t spaces[MAP_PAD_LEN] = "        ";
	struct map_frame f = { 0 };

	if (payload > UINT32_MAX - MAP_PAD_LEN)
		return ERR_TOO_BIG;
	if (payload == map_keepalive_payload(zstd).n) {
		f.pad = bytes_of(zstd ? skip : spaces, MAP_PAD_LEN);
		payload += MAP_PAD_LEN;
	}
	struct writer w = wr_init(f.head, sizeof f.head);
	wr_u32le(&w, (uint32_t)payload);
	*out = f;
	return OK;
}

void map_frame_append(struct buf *out, struct bytes payload, bool zstd)
{
	struct map_frame f;

	if (map_frame_around(payload.n, zstd, &f) != OK) {
		out->bad = true;
		return;
	}
	buf_append(out, bytes_of(f.head, sizeof f.head));
	buf_append(out, payload);
	buf_append(out, f.pad);
}
