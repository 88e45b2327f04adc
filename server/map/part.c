#include "server/map/part.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <zstd.h>

#include "common/base/cleanup.h"
#include "common/wire/zframe.h"

enum {
	ZSTD_LEVEL = 1,
	STORED_MAX = 96,		 /* texts up to here are stored: a compressor saves nothing on them */
	PAYLOAD_MAX = 256 * 1000 * 1000, /* what one message may weigh */
};

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

/* An owned frame of its own size, or NULL. */
static uint8_t *compress(struct bytes text, size_t *n)
{
	if (text.n <= STORED_MAX) {
		struct buf stored = buf_make(zframe_stored_len(text.n));

		zframe_store(&stored, text);
		if (stored.bad) {
			buf_done(&stored);
			return NULL;
		}
		*n = buf_len(&stored);
		return stored.p; /* ours now; nothing was taken from its front */
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

static struct map_msg the_keepalive = { .immortal = true };

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

err map_msg_head(struct map_msg *m, bool zstd, uint8_t head[4], size_t *payload)
{
	struct map_frame f;
	size_t n;

	if (m->immortal) {
		memcpy(head, map_keepalive_frame(zstd).p, 4);
		*payload = map_keepalive_payload(zstd).n;
		return OK;
	}
	TRY(count_payload(m, zstd, &n));
	TRY(map_frame_around(n, zstd, &f));
	memcpy(head, f.head, sizeof f.head);
	*payload = n + f.pad.n;
	return OK;
}

struct bytes map_msg_piece(struct map_msg *m, bool zstd, size_t i)
{
	struct map_frame f;

	if (m->immortal)
		return i == 0 ? map_keepalive_payload(zstd) : (struct bytes){ 0 };
	if (i < m->n)
		return part_form(m->part[i], zstd);
	if (i == m->n && map_frame_around(atomic_load_explicit(&m->payload[zstd], memory_order_acquire), zstd, &f) == OK)
		return f.pad;
	return (struct bytes){ 0 };
}

size_t map_msg_text_len(const struct map_msg *m)
{
	size_t n = 0;

	if (m->immortal)
		return map_keepalive_payload(false).n;
	for (size_t i = 0; i < m->n; i++)
		n += part_text(m->part[i]).n;
	return n;
}
