#include "server/map/part.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <zstd.h>

#include "common/base/cleanup.h"

enum {
	ZSTD_LEVEL = 1,
	STORED_MAX = 96,	      /* texts up to here are stored: a compressor saves nothing on them */
	STORED_HEAD = 4 + 1 + 1 + 3,  /* magic, descriptor, content size, block header */
	PAYLOAD_MAX = 256 * 1000 * 1000, /* what one message may weigh */
};

_Static_assert(STORED_MAX < 256, "the stored frame's content size is one byte");

struct part {
	_Atomic unsigned refs;
	struct buf text;
	pthread_mutex_t lock;	/* held while compressing */
	_Atomic(uint8_t *) zstd; /* owned; NULL until someone asked */
	size_t zstd_len;	/* valid once zstd is set */
};

struct map_msg {
	_Atomic unsigned refs;
	bool immortal;		    /* the keepalive, in static memory */
	_Atomic size_t payload[2];  /* by form; 0: not counted yet */
	size_t n;
	struct part *part[];	    /* a reference each */
};

/* ---- compression ---- */

static pthread_key_t cctx_key;
static pthread_once_t cctx_once = PTHREAD_ONCE_INIT;

static void free_cctx(void *c)
{
	ZSTD_freeCCtx(c);
}

static void make_cctx_key(void)
{
	/* Fails only past PTHREAD_KEYS_MAX, which is a bug of ours. */
	if (pthread_key_create(&cctx_key, free_cctx) != 0)
		abort();
}

/* This thread's compressor (0.6 MB), freed when the thread ends. */
static ZSTD_CCtx *thread_cctx(void)
{
	pthread_once(&cctx_once, make_cctx_key);
	ZSTD_CCtx *c = pthread_getspecific(cctx_key);

	if (c)
		return c;
	c = ZSTD_createCCtx();
	if (c && pthread_setspecific(cctx_key, c) != 0) {
		ZSTD_freeCCtx(c);
		return NULL;
	}
	return c;
}

/* One raw block behind the shortest frame header. n is at most STORED_MAX. Returns the frame's length. */
static size_t write_stored(uint8_t *out, struct bytes text)
{
	uint32_t block = (uint32_t)text.n << 3 | 1; /* raw, last */
	const uint8_t head[STORED_HEAD] = { 0x28, 0xb5, 0x2f, 0xfd, 0x20, (uint8_t)text.n, (uint8_t)block,
					    (uint8_t)(block >> 8), (uint8_t)(block >> 16) };

	memcpy(out, head, sizeof head);
	memcpy(out + sizeof head, text.p, text.n);
	return sizeof head + text.n;
}

/* An owned frame of its own size, or NULL. */
static uint8_t *compress(struct bytes text, size_t *n)
{
	if (text.n <= STORED_MAX) {
		uint8_t *frame = malloc(STORED_HEAD + text.n + 1);

		if (frame)
			*n = write_stored(frame, text.n ? text : BYTES_LIT(""));
		return frame;
	}

	ZSTD_CCtx *c = thread_cctx();
	size_t cap = ZSTD_compressBound(text.n);
	uint8_t *frame = c ? malloc(cap) : NULL;

	if (!frame)
		return NULL;
	size_t len = ZSTD_compressCCtx(c, frame, cap, text.p, text.n, ZSTD_LEVEL);
	if (ZSTD_isError(len)) {
		free(frame);
		return NULL;
	}
	*n = len;
	uint8_t *fit = realloc(frame, len);
	return fit ? fit : frame;
}

/* ---- parts ---- */

struct part *part_new(struct buf *text)
{
	struct part *p = text->bad ? NULL : calloc(1, sizeof *p);

	if (!p) {
		buf_done(text);
		return NULL;
	}
	atomic_init(&p->refs, 1);
	pthread_mutex_init(&p->lock, NULL);
	p->text = *text;
	*text = (struct buf){ 0 };
	return p;
}

struct part *part_ref(struct part *p)
{
	if (p)
		atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void part_unref(struct part *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	buf_done(&p->text);
	free(atomic_load_explicit(&p->zstd, memory_order_relaxed));
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct bytes part_text(const struct part *p)
{
	return buf_view(&p->text);
}

struct bytes part_zstd(struct part *p)
{
	uint8_t *frame = atomic_load_explicit(&p->zstd, memory_order_acquire);

	if (!frame) {
		pthread_mutex_lock(&p->lock);
		frame = atomic_load_explicit(&p->zstd, memory_order_relaxed);
		if (!frame) {
			frame = compress(part_text(p), &p->zstd_len);
			atomic_store_explicit(&p->zstd, frame, memory_order_release);
		}
		pthread_mutex_unlock(&p->lock);
	}
	return bytes_of(frame, frame ? p->zstd_len : 0);
}

/* ---- messages ---- */

#define KEEPALIVE_TEXT "{\"KeepAlive\":true}"

enum {
	KEEPALIVE_TEXT_LEN = sizeof KEEPALIVE_TEXT - 1,
	KEEPALIVE_ZSTD_LEN = STORED_HEAD + KEEPALIVE_TEXT_LEN,
};

static const char keepalive_text[] = KEEPALIVE_TEXT;
static const char keepalive_zstd[] = "\x28\xb5\x2f\xfd\x20\x12\x91\0\0" KEEPALIVE_TEXT;
_Static_assert(sizeof keepalive_zstd - 1 == KEEPALIVE_ZSTD_LEN, "one stored frame");

static struct map_msg the_keepalive = { .immortal = true };

/* What makes a payload of the keepalive's length longer (trap T41): a zstd frame that decoders skip; white space. */
static const uint8_t zstd_padding[8] = { 0x50, 0x2a, 0x4d, 0x18 };
static const char text_padding[] = "\n";

static struct bytes padding(bool zstd)
{
	return zstd ? bytes_of(zstd_padding, sizeof zstd_padding) : bytes_of(text_padding, 1);
}

static struct bytes keepalive(bool zstd)
{
	return zstd ? bytes_of(keepalive_zstd, KEEPALIVE_ZSTD_LEN) : bytes_of(keepalive_text, KEEPALIVE_TEXT_LEN);
}

static struct bytes part_form(struct part *p, bool zstd)
{
	return zstd ? part_zstd(p) : part_text(p);
}

struct map_msg *map_msg_new(struct part *const *parts, size_t n)
{
	struct map_msg *m = n > 0 && n <= MAP_MSG_PARTS_MAX ? calloc(1, sizeof *m + n * sizeof m->part[0]) : NULL;

	for (size_t i = 0; i < n; i++) {
		if (m && parts[i] && part_text(parts[i]).n)
			m->part[m->n++] = parts[i];
		else
			part_unref(parts[i]);
	}
	if (m)
		atomic_init(&m->refs, 1);
	return m;
}

struct map_msg *map_msg_keepalive(void)
{
	return &the_keepalive;
}

struct map_msg *map_msg_ref(struct map_msg *m)
{
	if (m && !m->immortal)
		atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void map_msg_unref(struct map_msg *m)
{
	if (!m || m->immortal || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < m->n; i++)
		part_unref(m->part[i]);
	free(m);
}

/* Bytes of all parts in this form, without padding. Counted once: every thread that counts gets the same. */
static err count_payload(struct map_msg *m, bool zstd, size_t *out)
{
	size_t n = atomic_load_explicit(&m->payload[zstd], memory_order_acquire);

	if (n) {
		*out = n;
		return OK;
	}
	for (size_t i = 0; i < m->n; i++) {
		struct bytes b = part_form(m->part[i], zstd);

		if (!b.n)
			return ERR_NOMEM;
		if (b.n > PAYLOAD_MAX - n)
			return ERR_TOO_BIG;
		n += b.n;
	}
	atomic_store_explicit(&m->payload[zstd], n, memory_order_release);
	*out = n;
	return OK;
}

static void put_u32le(uint8_t head[4], size_t n)
{
	for (int i = 0; i < 4; i++)
		head[i] = (uint8_t)(n >> 8 * i);
}

err map_msg_head(struct map_msg *m, bool zstd, uint8_t head[4], size_t *payload)
{
	size_t n;

	if (m->immortal) {
		n = keepalive(zstd).n;
	} else {
		TRY(count_payload(m, zstd, &n));
		if (n == keepalive(zstd).n)
			n += padding(zstd).n;
	}
	put_u32le(head, n);
	*payload = n;
	return OK;
}

struct bytes map_msg_piece(struct map_msg *m, bool zstd, size_t i)
{
	if (m->immortal)
		return i == 0 ? keepalive(zstd) : (struct bytes){ 0 };
	if (i < m->n)
		return part_form(m->part[i], zstd);
	if (i == m->n && atomic_load_explicit(&m->payload[zstd], memory_order_acquire) == keepalive(zstd).n)
		return padding(zstd);
	return (struct bytes){ 0 };
}

size_t map_msg_text_len(const struct map_msg *m)
{
	size_t n = 0;

	if (m->immortal)
		return KEEPALIVE_TEXT_LEN;
	for (size_t i = 0; i < m->n; i++)
		n += part_text(m->part[i]).n;
	return n;
}
