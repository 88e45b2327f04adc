#include "common/http/http2.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/http/http2_session.h"

enum {
	CLIENT_WINDOW = 4 * 1024 * 1024,
	CLIENT_SESSION_WINDOW = 1 << 30, /* streams limit themselves; control.md 3.7 */
	HEAD_LEN = 9,
	PREFACE_LEN = 24, /* "PRI * HTTP/2.0" and so on, before a client's first frame; nghttp2 looks at it */
};

static void allowance_init(struct allowance *a, int64_t burst, int64_t per_s)
{
	*a = (struct allowance){ .millis = burst * 1000, .burst = burst, .per_s = per_s };
}

static bool allow(struct allowance *a, int64_t now_ms)
{
	if (now_ms > a->at_ms) {
		int64_t gap_ms = now_ms - a->at_ms > 3600000 ? 3600000 : now_ms - a->at_ms;

		a->millis = MIN_OF(a->millis + gap_ms * a->per_s, a->burst * 1000);
		a->at_ms = now_ms;
	}
	if (a->millis < 1000)
		return false;
	a->millis -= 1000;
	return true;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static void incoming_free(struct http2_stream *s)
{
	if (!s->in)
		return;
	s->h->bodies -= buf_len(&s->in->body);
	buf_done(&s->in->text);
	buf_done(&s->in->body);
	free(MOVE(s->in));
}

struct http2_stream *http2_stream_new(struct http2 *h, int32_t id)
{
	struct http2_stream *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	if (!(s->in = calloc(1, sizeof *s->in))) {
		free(s);
		return NULL;
	}
	s->in->text = buf_make(HTTP2_HEADER_LIST_MAX);
	s->in->body = buf_make(h->body_max);
	s->h = h;
	s->id = id;
	list_add_tail(&h->streams, &s->in_session);
	h->n_streams++;
	return s;
}

void http2_drop_chunks(struct http2_stream *s)
{
	while (s->first) {
		struct http2_chunk *c = s->first;

		s->first = c->next;
		c->done(c);
	}
	s->last = NULL;
	s->queued = s->first_used = 0;
}

void http2_stream_close(struct http2_stream *s, uint32_t error)
{
	struct http2 *h = s->h;

	s->answered = s->finished = true; /* nothing can be said on it any more */
	incoming_free(s);
	http2_drop_chunks(s); /* first: the owner may free what they lie in when it hears of the end */
	if (s->delivered)
		HTTP2_EVENT(h, on_closed, s, error);
	list_del(&s->in_session);
	h->n_streams--;
	free(s);
}

struct http2_stream *http2_stream_of(struct http2 *h, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(h->ng, id) : NULL;
}

void http2_set_user(struct http2_stream *s, void *user)
{
	s->user = user;
}

void *http2_user(const struct http2_stream *s)
{
	return s->user;
}

int32_t http2_stream_id(const struct http2_stream *s)
{
	return s->id;
}

size_t http2_queued(const struct http2_stream *s)
{
	return s->queued;
}

/* ---- what arrives ------------------------------------------------------------------------------------------------ */

static void calm(struct http2 *h)
{
	if (h->flooded)
		return;
	h->flooded = true;
	nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* Answers without the owner, and drops the rest of the request. */
static void refuse(struct http2_stream *s, unsigned status)
{
	if (s->over_limit || s->answered)
		return;
	s->over_limit = true;
	incoming_free(s);
	if (!allow(&s->h->resets, s->h->now_ms))
		calm(s->h);
	else if (http2_respond(s->h, s, status, NULL, 0, (struct bytes){ 0 }) != OK)
		http2_reset(s->h, s, NGHTTP2_INTERNAL_ERROR);
}

static void answer_too_big(struct http2_stream *s, struct bytes body)
{
	struct http2_header type = { BYTES_LIT("content-type"), BYTES_LIT("application/json") };

	if (s->over_limit || s->answered)
		return;
	s->over_limit = true;
	incoming_free(s);
	if (!allow(&s->h->resets, s->h->now_ms))
		calm(s->h);
	else if (http2_respond(s->h, s, 200, &type, 1, body) != OK)
		http2_reset(s->h, s, NGHTTP2_INTERNAL_ERROR);
}

static bool is_message_head(const struct http2 *h, const nghttp2_frame *f)
{
	if (f->hd.type != NGHTTP2_HEADERS)
		return false;
	if (!h->client)
		return f->headers.cat == NGHTTP2_HCAT_REQUEST;
	return f->headers.cat == NGHTTP2_HCAT_RESPONSE || f->headers.cat == NGHTTP2_HCAT_HEADERS; /* after a 1xx */
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct http2 *h = user;

	if (h->client || !is_message_head(h, f))
		return 0;
	struct http2_stream *s = http2_stream_new(h, f->hd.stream_id);
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return nghttp2_session_set_stream_user_data(ng, s->id, s);
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
		const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct http2 *h = user;
	struct http2_stream *s = http2_stream_of(h, f->hd.stream_id);
	struct incoming *in = s ? s->in : NULL;

	(void)ng;
	(void)flags;
	if (!in || !is_message_head(h, f)) /* trailers, or a message that was refused */
		return 0;
	if (in->n == HTTP2_HEADERS_MAX || name_n + value_n > HTTP2_HEADER_LIST_MAX - buf_len(&in->text)) {
		if (h->client)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
		refuse(s, 431);
		return 0;
	}
	buf_append(&in->text, bytes_of(name, name_n));
	buf_append(&in->text, bytes_of(value, value_n));
	if (in->text.bad)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	in->len[in->n].name_n = (uint16_t)name_n;
	in->len[in->n].value_n = (uint16_t)value_n;
	in->n++;
	return 0;
}

/* Views of what was collected; pseudo headers come first by the protocol's rules, which nghttp2 enforces. */
static void view_message(const struct incoming *in, struct http2_header header[HTTP2_HEADERS_MAX],
		struct http2_message *m)
{
	struct bytes rest = buf_view(&in->text);
	uint64_t status = 0;

	*m = (struct http2_message){ .header = header, .body = buf_view(&in->body) };
	for (size_t i = 0; i < in->n; i++) {
		struct bytes name = bytes_first(rest, in->len[i].name_n);
		rest = bytes_skip(rest, name.n);
		struct bytes value = bytes_first(rest, in->len[i].value_n);
		rest = bytes_skip(rest, value.n);

		if (bytes_eq_str(name, ":method"))
			m->method = value;
		else if (bytes_eq_str(name, ":path"))
			m->path = value;
		else if (bytes_eq_str(name, ":authority"))
			m->authority = value;
		else if (bytes_eq_str(name, ":status") && bytes_parse_u64(value, 599, &status) == OK)
			m->status = (unsigned)status;
		else if (name.n && name.p[0] != ':')
			header[m->n_headers++] = (struct http2_header){ name, value };
	}
}

struct bytes http2_find_header(const struct http2_message *m, const char *name)
{
	for (size_t i = 0; i < m->n_headers; i++)
		if (bytes_eq_str(m->header[i].name, name))
			return m->header[i].value;
	return (struct bytes){ 0 };
}

static void deliver_request(struct http2_stream *s)
{
	struct http2_header header[HTTP2_HEADERS_MAX];
	struct http2_message m;

	if (!s->in || s->delivered)
		return;
	view_message(s->in, header, &m);
	s->delivered = true;
	HTTP2_EVENT(s->h, on_request, s, &m);
	incoming_free(s);
}

static void deliver_response(struct http2_stream *s)
{
	struct http2_header header[HTTP2_HEADERS_MAX];
	struct http2_message m;

	if (!s->in)
		return; /* trailers */
	view_message(s->in, header, &m);
	if (m.status < 200) { /* interim: the real one follows */
		buf_clear(&s->in->text);
		s->in->n = 0;
		return;
	}
	HTTP2_EVENT(s->h, on_response, s, &m);
	incoming_free(s);
}

static void refuse_body(struct http2_stream *s)
{
	struct http2_header header[HTTP2_HEADERS_MAX];
	struct http2_message m;
	struct bytes words = { 0 };

	view_message(s->in, header, &m);
	if (s->h->ev->on_too_big)
		words = s->h->ev->on_too_big(s->h, &m, s->h->ctx);
	if (words.n)
		answer_too_big(s, words);
	else
		refuse(s, 413);
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
	struct http2 *h = user;
	struct http2_stream *s = http2_stream_of(h, id);

	(void)ng;
	(void)flags;
	if (!s)
		return 0;
	if (h->client) {
		HTTP2_EVENT(h, on_data, s, bytes_of(p, n));
		return 0;
	}
	if (!s->in)
		return 0;
	if (n > h->body_max - buf_len(&s->in->body) || n > h->bodies_max - h->bodies) {
		refuse_body(s);
		return 0;
	}
	size_t before = buf_len(&s->in->body);
	buf_append(&s->in->body, bytes_of(p, n));
	h->bodies += buf_len(&s->in->body) - before;
	return s->in->body.bad ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct http2 *h = user;
	struct http2_stream *s = http2_stream_of(h, f->hd.stream_id);
	bool idle = false;

	(void)ng;
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		if (s && h->client)
			deliver_response(s);
		break;
	case NGHTTP2_DATA:
		idle = f->hd.length == 0 && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM);
		break;
	case NGHTTP2_RST_STREAM:
		if (!allow(&h->resets, h->now_ms))
			calm(h);
		break;
	case NGHTTP2_PING:
		if (f->hd.flags & NGHTTP2_FLAG_ACK)
			HTTP2_EVENT(h, on_ping_ack);
		else
			idle = true;
		break;
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PRIORITY:
		idle = true;
		break;
	case NGHTTP2_GOAWAY:
		h->closing = true;
		HTTP2_EVENT(h, on_goaway, f->goaway.error_code);
		break;
	default:
		break;
	}
	if (idle && !allow(&h->idle_frames, h->now_ms))
		calm(h);
	if (s && !h->client && (f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
			(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		deliver_request(s);
	return 0;
}

/* Malformed messages and streams over the limit are answered with a reset by nghttp2: they count like the peer's own. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f, int why, void *user)
{
	struct http2 *h = user;

	(void)ng;
	(void)f;
	(void)why;
	if (!allow(&h->resets, h->now_ms))
		calm(h);
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
	struct http2_stream *s = http2_stream_of(user, id);

	if (s) {
		nghttp2_session_set_stream_user_data(ng, id, NULL);
		http2_stream_close(s, error);
	}
	return 0;
}

/* A WINDOW_UPDATE pays for what http2_send_now sent. False: it is used up. */
static bool pay(struct http2 *h, uint8_t frame[13])
{
	struct reader r = rd_init(bytes_of(frame + HEAD_LEN - 4, 8));
	uint32_t id = rd_u32be(&r) & INT32_MAX, more = rd_u32be(&r) & INT32_MAX;
	struct http2_stream *s = http2_stream_of(h, (int32_t)id);
	uint32_t *debt = !id ? &h->debt : s ? &s->debt : NULL;

	if (!debt || !*debt || !more) /* 0 is an error that nghttp2 answers */
		return true;
	uint32_t paid = MIN_OF(*debt, more);
	*debt -= paid;
	struct writer w = wr_init(frame + HEAD_LEN, 4);
	wr_u32be(&w, more - paid);
	return more > paid;
}

/* The next bytes of *in that nghttp2 is to see; it moves on. */
static struct bytes take_in(struct http2 *h, struct bytes *in)
{
	struct intake *k = &h->intake;
	struct bytes part = *in;

	if (h->client) {
		*in = bytes_skip(*in, in->n);
		return part;
	}
	if (k->pass) {
		part = bytes_first(*in, k->pass);
		k->pass -= part.n;
		*in = bytes_skip(*in, part.n);
		return part;
	}
	for (;;) {
		size_t whole = k->n < HEAD_LEN ? HEAD_LEN : sizeof k->held;
		struct bytes more = bytes_first(*in, whole - k->n);

		memcpy(k->held + k->n, more.p, more.n);
		k->n += more.n;
		*in = bytes_skip(*in, more.n);
		if (k->n < whole)
			return (struct bytes){ 0 };
		size_t length = (size_t)k->held[0] << 16 | (size_t)k->held[1] << 8 | k->held[2];
		if (whole == HEAD_LEN && length == sizeof k->held - HEAD_LEN && k->held[3] == NGHTTP2_WINDOW_UPDATE)
			continue;
		k->n = 0;
		if (whole == HEAD_LEN) {
			k->pass = length;
			return bytes_of(k->held, HEAD_LEN);
		}
		return bytes_of(k->held, pay(h, k->held) ? whole : 0);
	}
}

/* Windows may have grown. */
static void feed_starved(struct http2 *h)
{
	h->starving = false;
	list_each(it, &h->streams) {
		struct http2_stream *s = container_of(it, struct http2_stream, in_session);

		if (!s->starved)
			continue;
		s->starved = s->deferred = false;
		nghttp2_session_resume_data(h->ng, s->id);
	}
}

static err feed(struct http2 *h, struct bytes in)
{
	while (in.n) {
		ssize_t n = nghttp2_session_mem_recv(h->ng, in.p, in.n);

		if (n == NGHTTP2_ERR_NOMEM)
			return ERR_NOMEM;
		if (n == NGHTTP2_ERR_FLOODED)
			calm(h);
		if (h->flooded)
			return ERR_BUSY;
		if (n <= 0)
			return ERR_MALFORMED;
		in = bytes_skip(in, (size_t)n);
	}
	return OK;
}

err http2_read(struct http2 *h, struct bytes in, int64_t now_mono_ms)
{
	h->now_ms = now_mono_ms;
	h->credit = 0;
	if (h->flooded)
		return ERR_BUSY;
	while (in.n)
		TRY(feed(h, take_in(h, &in)));
	if (h->starving)
		feed_starved(h);
	return h->closing || nghttp2_session_want_read(h->ng) ? OK : ERR_MALFORMED;
}

/* ---- the session ------------------------------------------------------------------------------------------------- */

err http2_from_ng(int e)
{
	return e == 0 ? OK : e == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_CLOSED;
}

bool http2_wants_write(const struct http2 *h)
{
	return nghttp2_session_want_write(h->ng) != 0;
}

bool http2_is_over(const struct http2 *h)
{
	return !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng);
}

size_t http2_streams(const struct http2 *h)
{
	return h->n_streams;
}

err http2_ping(struct http2 *h)
{
	return http2_from_ng(nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL));
}

void http2_goaway(struct http2 *h)
{
	h->closing = true;
	nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR,
			NULL, 0);
}

void http2_terminate(struct http2 *h, uint32_t error)
{
	h->closing = true;
	nghttp2_session_terminate_session(h->ng, error);
}

static err submit_settings(struct http2 *h, uint32_t window)
{
	const nghttp2_settings_entry server[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEADER_LIST_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window ? window : NGHTTP2_INITIAL_WINDOW_SIZE },
	};
	const nghttp2_settings_entry client[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEADER_LIST_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window ? window : CLIENT_WINDOW },
	};

	TRY(http2_from_ng(nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, h->client ? client : server, 3)));
	if (!h->client || h->manual_window)
		return OK;
	return http2_from_ng(nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, CLIENT_SESSION_WINDOW));
}

static void callbacks_freep(nghttp2_session_callbacks **c)
{
	nghttp2_session_callbacks_del(*c);
}

static void option_freep(nghttp2_option **o)
{
	nghttp2_option_del(*o);
}

static err make_session(struct http2 *h)
{
	CLEANUP(callbacks_freep) nghttp2_session_callbacks *c = NULL;
	CLEANUP(option_freep) nghttp2_option *o = NULL;

	if (nghttp2_session_callbacks_new(&c) != 0 || nghttp2_option_new(&o) != 0)
		return ERR_NOMEM;
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	http2_set_send_callbacks(c);
	nghttp2_option_set_max_outbound_ack(o, HTTP2_ACKS_MAX);
	nghttp2_option_set_max_continuations(o, HTTP2_CONTINUATIONS_MAX);
	nghttp2_option_set_no_closed_streams(o, 1);
	if (!h->client) /* our few headers are short: a table of them is not worth its memory in each idle session */
		nghttp2_option_set_max_deflate_dynamic_table_size(o, 0);
	nghttp2_option_set_no_auto_window_update(o, h->manual_window);
	nghttp2_mem mem = http2_mem(h);
	int e = h->client ? nghttp2_session_client_new3(&h->ng, c, h, o, &mem) :
			    nghttp2_session_server_new3(&h->ng, c, h, o, &mem);
	return e == 0 ? OK : ERR_NOMEM;
}

static void http2_freep(struct http2 **h)
{
	http2_free(*h);
}

err http2_new(const struct http2_opts *o, const struct http2_events *ev, void *ctx, struct http2 **out)
{
	CLEANUP(http2_freep) struct http2 *h = calloc(1, sizeof *h);

	if (!h)
		return ERR_NOMEM;
	list_init(&h->streams);
	h->ev = ev;
	h->ctx = ctx;
	h->client = o->client;
	h->intake.pass = PREFACE_LEN;
	h->manual_window = o->client && o->manual_window;
	h->body_max = o->body_max ? o->body_max : HTTP2_BODY_MAX;
	h->bodies_max = o->bodies_max ? o->bodies_max : HTTP2_BODIES_MAX;
	allowance_init(&h->resets, HTTP2_RESETS_BURST, HTTP2_RESETS_PER_S);
	allowance_init(&h->idle_frames, HTTP2_IDLE_FRAMES_BURST, HTTP2_IDLE_FRAMES_PER_S);
	TRY(make_session(h));
	TRY(submit_settings(h, o->window));
	*out = MOVE(h);
	return OK;
}

void http2_free(struct http2 *h)
{
	if (!h)
		return;
	list_each_safe(it, &h->streams)
		http2_stream_close(container_of(it, struct http2_stream, in_session), NGHTTP2_CANCEL);
	nghttp2_session_del(h->ng);
	http2_mem_done(h);
	free(h);
}
