/* http2_mem: where nghttp2's memory comes from: the large blocks that a session makes at its start lie in pages of their
 * own, the rest is malloc's.
 *
 * At its start a session makes itself and a table of streams, 7 KiB, and last of all a buffer of 16 KiB in which it builds
 * frames. The payload of DATA frames never passes through that buffer here (NGHTTP2_DATA_FLAG_NO_COPY), so that no more
 * than its beginning is ever written. But malloc hands out memory that was used before, and then all of it counts. In fresh
 * pages behind the other two it costs nothing: these blocks take two pages of an idle session, not 23 KiB. */
#include <stdlib.h>
#include <sys/mman.h>

#include "common/http/http2_session.h"

enum {
	POOL_LEN = 32 * 1024,	      /* address space; touched as it is used */
	POOL_BLOCK_MIN = 2048,	      /* smaller ones would push the frames' beginning into a third page */
	FRAME_BUFFER_MIN = 16 * 1024, /* nghttp2's NGHTTP2_FRAMEBUF_CHUNKLEN is a little more; nothing else comes near it */
	ALIGN = 16,
};

static bool is_in_pool(const struct http2 *h, const void *p)
{
	return h->pool && (const uint8_t *)p >= h->pool && (const uint8_t *)p < h->pool + POOL_LEN;
}

/* NULL: not for the pool, or it is closed, full, or not to be had. */
static void *pool_take(struct http2 *h, size_t n)
{
	if (n < POOL_BLOCK_MIN)
		return NULL;
	if (!h->pool && !h->pool_closed) {
		void *p = mmap(NULL, POOL_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		h->pool_closed = p == MAP_FAILED;
		h->pool = p == MAP_FAILED ? NULL : p;
	}
	if (h->pool_closed || n > POOL_LEN - h->pool_used)
		return NULL;
	void *at = h->pool + h->pool_used;
	h->pool_used += (n + ALIGN - 1) / ALIGN * ALIGN;
	h->pool_closed = n >= FRAME_BUFFER_MIN || h->pool_used > POOL_LEN;
	return at;
}

static void *mem_malloc(size_t n, void *ctx)
{
	void *p = pool_take(ctx, n);

	return p ? p : malloc(n);
}

static void *mem_calloc(size_t count, size_t each, void *ctx)
{
	size_t n;

	if (__builtin_mul_overflow(count, each, &n))
		return NULL;
	void *p = pool_take(ctx, n); /* fresh pages are zero, and nothing of the pool is given out twice */
	return p ? p : calloc(count, each);
}

static void mem_free(void *p, void *ctx)
{
	if (!is_in_pool(ctx, p))
		free(p);
}

static void *mem_realloc(void *p, size_t n, void *ctx)
{
	struct http2 *h = ctx;

	if (!p)
		return mem_malloc(n, ctx);
	if (!is_in_pool(h, p))
		return realloc(p, n);
	size_t rest = (size_t)(h->pool + POOL_LEN - (uint8_t *)p);
	void *moved = malloc(n);
	if (moved)
		memcpy(moved, p, n < rest ? n : rest);
	return moved;
}

nghttp2_mem http2_mem(struct http2 *h)
{
	return (nghttp2_mem){ h, mem_malloc, mem_free, mem_calloc, mem_realloc };
}

void http2_mem_done(struct http2 *h)
{
	if (h->pool)
		munmap(h->pool, POOL_LEN);
	h->pool = NULL;
}
