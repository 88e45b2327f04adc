#include "common/http/http2.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/writer.h"
#include "common/http/http2_session.h"

enum {
	FRAME_DATA_MAX = 16384,
	FRAME_DATA_MIN = 256, /* no crumbs at the end of a budget */
	PSEUDO_MAX = 5,	      /* pseudo headers, and content-length */
};

/* ---- what leaves ------------------------------------------------------------------------------------------------- */

/* nghttp2 lowers this to what it thinks that the windows allow. */
static ssize_t data_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t session_window, int32_t stream_window,
		uint32_t frame_max, void *user)
{
	struct http2 *h = user;
	size_t have = h->out ? buf_len(h->out) : 0, left = h->out_limit > have ? h->out_limit - have : 1;
	struct http2_stream *s = http2_stream_of(h, id);
	int64_t room = MIN_OF((int64_t)session_window - h->debt, (int64_t)stream_window - (s ? s->debt : 0));

	(void)ng;
	(void)type;
	(void)frame_max;
	if (s && (s->starved = room <= 0)) { /* take_data says that it waits */
		h->starving = true;
		return 1;
	}
	left = MAX_OF(left, (size_t)FRAME_DATA_MIN);
	left = MIN_OF(left, (size_t)FRAME_DATA_MAX);
	return (ssize_t)MIN_OF((int64_t)left, room);
}

static ssize_t take_data(nghttp2_session *ng, int32_t id, uint8_t *p, size_t cap, uint32_t *flags,
		nghttp2_data_source *source, void *user)
{
	struct http2_stream *s = source->ptr;
	size_t n = MIN_OF(cap, s->queued);

	(void)ng;
	(void)id;
	(void)p;
	(void)user;
	if (s->starved || (n == 0 && !s->finished)) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY; /* the session's frame buffer stays untouched: 16 KiB less a session */
	if (n == s->queued && s->finished)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int send_data(nghttp2_session *ng, nghttp2_frame *f, const uint8_t *head, size_t n, nghttp2_data_source *source,
		void *user)
{
	struct http2 *h = user;
	struct http2_stream *s = source->ptr;
	bool some = n > 0;

	(void)ng;
	(void)f; /* never padded: no padding callback is set */
	if (!buf_reserve(h->out, 9 + n))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	buf_append(h->out, bytes_of(head, 9));
	while (n) {
		struct http2_chunk *c = s->first;
		struct bytes part = bytes_first(bytes_skip(c->data, s->first_used), n);

		buf_append(h->out, part);
		n -= part.n;
		s->queued -= part.n;
		s->first_used += part.n;
		if (s->first_used == c->data.n) {
			s->first = c->next;
			s->first_used = 0;
			if (!s->first)
				s->last = NULL;
			c->done(c);
		}
	}
	if (some && s->queued == 0 && !s->finished)
		HTTP2_EVENT(h, on_drained, s);
	return buf_len(h->out) < h->out_limit ? 0 : NGHTTP2_ERR_PAUSE; /* mem_send would go on to the next frame */
}

/* A refused upload: the answer is out, the rest of the request is not wanted (RFC 9113 8.1). */
static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct http2_stream *s = http2_stream_of(user, f->hd.stream_id);

	if (s && s->over_limit && (f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
			(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
	return 0;
}

/* A request that never left, because the peer had said GOAWAY or has no room: nghttp2 knows no stream to close. */
static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *f, int why, void *user)
{
	struct http2 *h = user;

	(void)ng;
	(void)why;
	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST || http2_stream_of(h, f->hd.stream_id))
		return 0;
	list_each_safe(it, &h->streams) {
		struct http2_stream *s = container_of(it, struct http2_stream, in_session);

		if (s->id == f->hd.stream_id)
			http2_stream_close(s, NGHTTP2_REFUSED_STREAM);
	}
	return 0;
}

err http2_write(struct http2 *h, struct buf *out, size_t budget)
{
	err e = OK;

	h->out = out;
	h->out_limit = buf_len(out) + budget;
	h->cut = true;
	h->credit = 0;
	while (e == OK && buf_len(out) < h->out_limit) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(h->ng, &p);

		if (n == 0) {
			h->cut = false;
			break;
		}
		if (n == NGHTTP2_ERR_NOMEM)
			e = ERR_NOMEM;
		else if (n > 0)
			buf_append(out, bytes_of(p, (size_t)n));
		else if (!out->bad)
			e = ERR_MALFORMED;
		if (out->bad)
			e = ERR_TOO_BIG;
	}
	h->out = NULL;
	return e;
}

void http2_set_send_callbacks(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
	nghttp2_session_callbacks_set_send_data_callback(c, send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(c, data_length);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static nghttp2_nv nv(struct bytes name, struct bytes value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name.p, /* nghttp2 copies and does not write */
		.namelen = name.n,
		.value = (uint8_t *)(uintptr_t)value.p,
		.valuelen = value.n,
		.flags = NGHTTP2_NV_FLAG_NONE,
	};
}

static err put_headers(nghttp2_nv *to, size_t *n, const struct http2_header *header, size_t n_headers)
{
	if (n_headers > HTTP2_HEADERS_MAX)
		return ERR_TOO_BIG;
	for (size_t i = 0; i < n_headers; i++) {
		if (!nghttp2_check_header_name(header[i].name.p, header[i].name.n) ||
				!nghttp2_check_header_value(header[i].value.p, header[i].value.n))
			return ERR_INVALID;
		to[(*n)++] = nv(header[i].name, header[i].value);
	}
	return OK;
}

static err submit_head(struct http2 *h, struct http2_stream *s, unsigned status, const struct http2_header *header,
		size_t n_headers, const char *content_length)
{
	nghttp2_nv list[HTTP2_HEADERS_MAX + PSEUDO_MAX];
	size_t n = 0;
	char code[4];
	bool body = !s->finished || s->queued;

	if (status < 200 || status > 599)
		return ERR_INVALID;
	snprintf(code, sizeof code, "%u", status);
	list[n++] = nv(BYTES_LIT(":status"), bytes_of(code, 3));
	TRY(put_headers(list, &n, header, n_headers));
	if (content_length)
		list[n++] = nv(BYTES_LIT("content-length"), bytes_str(content_length));
	nghttp2_data_provider from = { .source.ptr = s, .read_callback = take_data };
	TRY(http2_from_ng(nghttp2_submit_response(h->ng, s->id, list, n, body ? &from : NULL)));
	s->answered = true;
	return OK;
}

err http2_respond_start(struct http2 *h, struct http2_stream *s, unsigned status, const struct http2_header *header,
		size_t n_headers)
{
	return s->answered ? ERR_STATE : submit_head(h, s, status, header, n_headers, NULL);
}

struct copied_chunk {
	struct http2_chunk chunk;
	uint8_t data[];
};

static void free_copied(struct http2_chunk *c)
{
	free(container_of(c, struct copied_chunk, chunk));
}

void http2_push(struct http2 *h, struct http2_stream *s, struct http2_chunk *c)
{
	if (c->data.n == 0 || s->finished) {
		c->done(c);
		return;
	}
	c->next = NULL;
	if (s->last)
		s->last->next = c;
	else
		s->first = c;
	s->last = c;
	s->queued += c->data.n;
	if (s->deferred) {
		s->deferred = false;
		nghttp2_session_resume_data(h->ng, s->id);
	}
}

err http2_push_copy(struct http2 *h, struct http2_stream *s, struct bytes data)
{
	struct copied_chunk *c = malloc(sizeof *c + data.n);

	if (!c)
		return ERR_NOMEM;
	if (data.n)
		memcpy(c->data, data.p, data.n);
	c->chunk = (struct http2_chunk){ .data = bytes_of(c->data, data.n), .done = free_copied };
	http2_push(h, s, &c->chunk);
	return OK;
}

/* Asks nghttp2, whose session lies in other memory, how much of s may go. False: not as much as n. */
static bool find_credit(struct http2 *h, const struct http2_stream *s, size_t n)
{
	int64_t all = (int64_t)nghttp2_session_get_remote_window_size(h->ng) - h->debt;
	int64_t room = MIN_OF(all, (int64_t)nghttp2_session_get_stream_remote_window_size(h->ng, s->id) - s->debt);

	h->credit_of = s->id;
	h->credit = room > 0 ? (uint32_t)room : 0;
	return n <= h->credit;
}

bool http2_send_now(struct http2 *h, struct http2_stream *s, struct bytes data, struct buf *out)
{
	uint8_t head[9];
	struct writer w = wr_init(head, sizeof head);

	/* Deferred: nghttp2 has sent the response's head, and was told that there is no more for now. */
	if (!s->deferred || s->queued || s->finished || h->closing || h->cut || !data.n || data.n > HTTP2_SEND_NOW_MAX)
		return false;
	if ((h->credit_of != s->id || data.n > h->credit) && !find_credit(h, s, data.n))
		return false;
	if (!buf_reserve(out, sizeof head + data.n))
		return false;
	wr_u8(&w, (uint8_t)(data.n >> 16));
	wr_u16be(&w, (uint16_t)data.n);
	wr_u8(&w, NGHTTP2_DATA);
	wr_u8(&w, NGHTTP2_FLAG_NONE);
	wr_u32be(&w, (uint32_t)s->id);
	buf_append(out, bytes_of(head, sizeof head));
	buf_append(out, data);
	h->credit -= (uint32_t)data.n;
	h->debt += (uint32_t)data.n;
	s->debt += (uint32_t)data.n;
	return true;
}

void http2_finish(struct http2 *h, struct http2_stream *s)
{
	if (s->finished)
		return;
	s->finished = true;
	if (s->deferred) {
		s->deferred = false;
		nghttp2_session_resume_data(h->ng, s->id);
	}
}

err http2_respond(struct http2 *h, struct http2_stream *s, unsigned status, const struct http2_header *header,
		size_t n_headers, struct bytes body)
{
	char length[24];

	if (s->answered)
		return ERR_STATE;
	TRY(http2_push_copy(h, s, body));
	s->finished = true;
	snprintf(length, sizeof length, "%zu", body.n);
	err e = submit_head(h, s, status, header, n_headers, status == 204 || status == 304 ? NULL : length);
	if (e != OK) {
		http2_drop_chunks(s);
		s->finished = false;
	}
	return e;
}

void http2_reset(struct http2 *h, struct http2_stream *s, uint32_t error)
{
	nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, error);
}

err http2_request(struct http2 *h, const char *method, const char *authority, const char *path,
		const struct http2_header *header, size_t n_headers, struct bytes body, struct http2_stream **out)
{
	nghttp2_nv list[HTTP2_HEADERS_MAX + PSEUDO_MAX];
	nghttp2_data_provider from = { .read_callback = take_data };
	struct http2_stream *s;
	size_t n = 0;
	char length[24];
	err e;

	list[n++] = nv(BYTES_LIT(":method"), bytes_str(method));
	list[n++] = nv(BYTES_LIT(":scheme"), BYTES_LIT("https"));
	list[n++] = nv(BYTES_LIT(":authority"), bytes_str(authority));
	list[n++] = nv(BYTES_LIT(":path"), bytes_str(path));
	TRY(put_headers(list, &n, header, n_headers));
	snprintf(length, sizeof length, "%zu", body.n);
	if (body.n)
		list[n++] = nv(BYTES_LIT("content-length"), bytes_str(length));
	if (!nghttp2_session_check_request_allowed(h->ng))
		return ERR_CLOSED;
	if (!(s = http2_stream_new(h, 0)))
		return ERR_NOMEM;
	from.source.ptr = s;
	s->answered = true;
	e = http2_push_copy(h, s, body);
	s->finished = true;
	s->id = e == OK ? nghttp2_submit_request(h->ng, NULL, list, n, body.n ? &from : NULL, s) : 0;
	if (s->id <= 0) {
		e = e != OK ? e : http2_from_ng(s->id);
		http2_stream_close(s, NGHTTP2_INTERNAL_ERROR);
		return e;
	}
	s->delivered = true;
	*out = s;
	return OK;
}

void http2_consume(struct http2 *h, struct http2_stream *s, size_t n)
{
	nghttp2_session_consume(h->ng, s->id, n);
}
