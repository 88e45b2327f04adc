#include "server/ts2021/stream.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "server/core/runner.h"

enum { H2_INTERNAL_ERROR = 2, CACHE_LINE = 64 };

static struct http2_header header(const char *name, const char *value)
{
	return (struct http2_header){ bytes_str(name), bytes_str(value) };
}

/* What http2_user points to. */
struct object {
	bool is_map;
	struct wire *wire;
	struct stream_host *host; /* NULL: the HTTP/2 stream is over */
	struct http2_stream *stream;
	struct event *farewell; /* tells the core that the stream is over; kept ready, so that this cannot fail */
};

static bool object_init(struct object *o, struct stream_host *h, struct http2_stream *s, enum event_kind farewell)
{
	o->wire = h->wire;
	o->host = h;
	o->stream = s;
	o->farewell = event_new(farewell);
	return o->farewell != NULL;
}

void stream_refuse(struct http2 *h2, struct http2_stream *s, int status, const char *text)
{
	struct http2_header type = header("content-type", "text/plain; charset=utf-8");

	if (http2_respond(h2, s, (unsigned)status, &type, 1, bytes_str(text)) != OK)
		http2_reset(h2, s, H2_INTERNAL_ERROR);
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

struct pending_call {
	struct object o;
	struct call call;
	struct loop_post post;
	struct reply *reply;
};

static void pending_call_free(struct pending_call *c)
{
	event_free(c->o.farewell);
	reply_free(c->reply);
	free(c);
}

static void write_answer(struct pending_call *c)
{
	struct stream_host *h = c->o.host;
	const struct reply *r = c->reply;
	int status = r->http_status ? r->http_status : r->e == OK ? 200 : 503;
	struct http2_header type = header("content-type", "application/json");

	if (status >= 400 && r->body.n == 0)
		stream_refuse(h->h2, c->o.stream, status, r->message ? r->message : "");
	else if (http2_respond(h->h2, c->o.stream, (unsigned)status, &type, r->body.n && status < 400, r->body) != OK)
		http2_reset(h->h2, c->o.stream, H2_INTERNAL_ERROR);
}

/* On the wire: the answer is here. */
static void on_answer(struct loop_post *p)
{
	struct pending_call *c = container_of(p, struct pending_call, post);
	struct stream_host *h = c->o.host;

	if (h) {
		h->calls--;
		http2_set_user(c->o.stream, NULL);
		write_answer(c);
		if (c->reply->registered)
			h->on_registered(h);
		h->on_output(h);
	}
	pending_call_free(c);
}

/* On the release thread. */
static void call_deliver(struct call *call, struct reply *taken)
{
	struct pending_call *c = container_of(call, struct pending_call, call);

	c->reply = taken;
	loop_post_node(c->o.wire->loop, &c->post);
}

err call_start(struct stream_host *h, struct http2_stream *s, struct event *ev)
{
	struct pending_call *c = calloc(1, sizeof *c);

	if (!c || !object_init(&c->o, h, s, EV_CALL_GONE)) {
		free(c);
		event_free(ev);
		return ERR_NOMEM;
	}
	c->call.deliver = call_deliver;
	c->post.fn = on_answer;
	c->o.farewell->call = &c->call;
	ev->call = &c->call;
	err e = core_post(h->wire->opts->core, ev);
	if (e != OK) {
		pending_call_free(c);
		return e;
	}
	http2_set_user(s, &c->o);
	h->calls++;
	return OK;
}

/* ---- map streams --------------------------------------------------------------------------------------------------- */

/* A message that waits. */
struct out_msg {
	struct out_msg *next;
	struct map_msg *msg;
};

struct map_stream {
	struct object o;
	struct map_sink sink;
	bool zstd;
	bool started;  /* the response's head is out */
	bool ending;   /* nothing is queued any more; finish after what is */
	atomic_bool lost; /* a message could not be handed over for lack of memory: end the stream, the client comes anew */
	struct map_msg *cur; /* being written: pieces are given to HTTP/2 a few at a time, without copying */
	struct out_msg *first, **last;
	int64_t keepalive_ms; /* when the next one is due: the timer comes at or before it */
	int64_t spread_ms;
	size_t n_queued, queued_bytes;
	size_t piece; /* of cur, the next to be given */
	uint8_t head[4];
	struct http2_chunk head_chunk, chunk[MAP_CHUNKS];
	struct loop_timer keepalive;
};

static void out_msg_free(struct out_msg *m)
{
	if (!m)
		return;
	map_msg_unref(m->msg);
	free(m);
}

/* For the core's eyes only: nodes debug. */
static void note_behind(struct map_stream *ms)
{
	__atomic_store_n(&ms->sink.behind, ms->queued_bytes + (ms->cur ? map_msg_text_len(ms->cur) : 0), __ATOMIC_RELAXED);
}

static void drop_queue(struct map_stream *ms)
{
	while (ms->first) {
		struct out_msg *m = ms->first;

		ms->first = m->next;
		out_msg_free(m);
	}
	ms->last = &ms->first;
	ms->n_queued = ms->queued_bytes = 0;
	note_behind(ms);
}

/* Something was sent just now. The timer stays as it is and looks when it comes: moving it for each message costs more than
 * the rest of this. */
static void put_off_keepalive(struct map_stream *ms)
{
	ms->keepalive_ms = loop_now_ms(ms->o.wire->loop) + MAP_KEEPALIVE_MS + ms->spread_ms;
}

static void arm_keepalive(struct map_stream *ms)
{
	ms->spread_ms = (int64_t)random_below(MAP_KEEPALIVE_SPREAD_MS);
	put_off_keepalive(ms);
	loop_timer_in(&ms->keepalive, MAP_KEEPALIVE_MS + ms->spread_ms);
}

static void chunk_done(struct http2_chunk *c)
{
	(void)c; /* on_drained goes on when all of them are */
}

/* Gives the next pieces of cur to HTTP/2. False: there are none left. */
static bool give_pieces(struct map_stream *ms)
{
	bool any = false;

	for (size_t i = 0; i < MAP_CHUNKS; i++) {
		struct bytes b = map_msg_piece(ms->cur, ms->zstd, ms->piece);

		if (b.n == 0)
			break;
		ms->piece++;
		ms->chunk[i] = (struct http2_chunk){ .data = b, .done = chunk_done };
		http2_push(ms->o.host->h2, ms->o.stream, &ms->chunk[i]);
		any = true;
	}
	return any;
}

/* Starts the next message, or ends the response. */
static void advance(struct map_stream *ms)
{
	struct http2 *h2 = ms->o.host->h2;
	size_t payload;

	if (ms->cur)
		return;
	if (!ms->first) {
		if (ms->ending)
			http2_finish(h2, ms->o.stream);
		return;
	}
	struct out_msg *next = ms->first;

	ms->cur = MOVE(next->msg);
	ms->piece = 0;
	ms->first = next->next;
	free(next);
	if (!ms->first)
		ms->last = &ms->first;
	ms->n_queued--;
	ms->queued_bytes -= map_msg_text_len(ms->cur);
	if (map_msg_head(ms->cur, ms->zstd, ms->head, &payload) != OK) {
		http2_reset(h2, ms->o.stream, H2_INTERNAL_ERROR);
		return;
	}
	ms->head_chunk = (struct http2_chunk){ .data = bytes_of(ms->head, sizeof ms->head), .done = chunk_done };
	http2_push(h2, ms->o.stream, &ms->head_chunk);
	give_pieces(ms);
	put_off_keepalive(ms);
}

void stream_on_drained(struct http2_stream *s)
{
	struct object *o = http2_user(s);

	if (!o || !o->is_map)
		return;
	struct map_stream *ms = container_of(o, struct map_stream, o);
	if (ms->cur && !give_pieces(ms)) {
		map_msg_unref(ms->cur);
		ms->cur = NULL;
		advance(ms);
		note_behind(ms);
	}
}

static bool start_response(struct map_stream *ms)
{
	struct http2_header type = header("content-type", "application/json");

	if (ms->started)
		return true;
	if (http2_respond_start(ms->o.host->h2, ms->o.stream, 200, &type, 1) != OK) {
		http2_reset(ms->o.host->h2, ms->o.stream, H2_INTERNAL_ERROR);
		return false;
	}
	ms->started = true;
	return true;
}

static void enqueue(struct map_stream *ms, struct map_msg *m)
{
	struct out_msg *om = calloc(1, sizeof *om);
	size_t n = map_msg_text_len(m);

	if (!om || (ms->n_queued && (ms->n_queued >= MAP_QUEUE_MESSAGES || ms->queued_bytes + n > MAP_QUEUE_BYTES))) {
		free(om);
		drop_queue(ms); /* it lags: what is being written is finished, then the stream ends, and the client comes anew */
		ms->ending = true;
		return;
	}
	om->msg = map_msg_ref(m);
	*ms->last = om;
	ms->last = &om->next;
	ms->n_queued++;
	ms->queued_bytes += n;
	note_behind(ms);
}

static void on_keepalive(struct loop_timer *t)
{
	struct map_stream *ms = container_of(t, struct map_stream, keepalive);
	int64_t left_ms = ms->keepalive_ms - loop_now_ms(ms->o.wire->loop);

	if (left_ms > 0 && !atomic_load(&ms->lost)) {
		loop_timer_in(t, left_ms);
		return;
	}
	arm_keepalive(ms);
	if (ms->ending || ms->cur || !ms->started)
		return;
	if (atomic_load(&ms->lost)) {
		ms->ending = true;
		advance(ms);
		ms->o.host->on_output(ms->o.host);
		return;
	}
	struct map_msg *m = map_msg_keepalive();
	if (m) {
		enqueue(ms, m);
		map_msg_unref(m);
		advance(ms);
		ms->o.host->on_output(ms->o.host);
	}
}

/* What the release thread hands over: one message to all of its sinks that live on one wire. */
struct delivery {
	struct loop_post post;
	struct wire *wire;
	struct map_msg *msg; /* NULL: end, or refuse when status is not 0 */
	int status;
	const char *why;
	struct bytes whole; /* msg in one piece, in the wire's memory; n 0: not yet, or too long for it */
	bool whole_zstd;    /* … in this form */
	size_t n;
	struct map_sink *sink[]; /* a reference each */
};

/* The message as it stands in the stream, put together once for all who get it in this form. n 0: too long. */
static struct bytes whole_of(struct delivery *d, bool zstd)
{
	struct buf *b = &d->wire->message;
	uint8_t head[4];
	size_t payload;

	if (d->whole.n && d->whole_zstd == zstd)
		return d->whole;
	d->whole = (struct bytes){ 0 };
	if (map_msg_head(d->msg, zstd, head, &payload) != OK || payload > HTTP2_SEND_NOW_MAX - sizeof head)
		return d->whole;
	if (!b->max)
		*b = buf_make(HTTP2_SEND_NOW_MAX);
	buf_clear(b);
	buf_append(b, bytes_of(head, sizeof head));
	for (size_t i = 0, at = sizeof head; at < sizeof head + payload; i++) {
		struct bytes piece = map_msg_piece(d->msg, zstd, i);

		buf_append(b, piece);
		at += piece.n;
	}
	if (b->bad)
		return d->whole;
	d->whole_zstd = zstd;
	return d->whole = buf_view(b);
}

/* The short way, which most messages take: nothing waits, and the socket takes it. */
static bool send_at_once(struct map_stream *ms, struct delivery *d)
{
	struct stream_host *h = ms->o.host;

	if (ms->cur || ms->first)
		return false;
	struct bytes whole = whole_of(d, ms->zstd);
	if (!whole.n || !h->send_now(h, ms->o.stream, whole))
		return false;
	put_off_keepalive(ms);
	return true;
}

static void take_message(struct map_stream *ms, struct delivery *d)
{
	struct stream_host *h = ms->o.host;

	if (start_response(ms)) {
		if (ms->sink.known)
			h->on_registered(h);
		if (atomic_load(&ms->lost)) {
			drop_queue(ms);
			ms->ending = true;
		} else if (send_at_once(ms, d)) {
			return;
		} else {
			enqueue(ms, d->msg);
		}
		advance(ms);
	}
	h->on_output(h);
}

static void take_end(struct map_stream *ms, int status, const char *why)
{
	ms->ending = true;
	if (ms->started)
		advance(ms);
	else
		stream_refuse(ms->o.host->h2, ms->o.stream, status ? status : 503, why ? why : "try again");
	ms->o.host->on_output(ms->o.host);
}

static struct map_stream *stream_of(struct map_sink *s)
{
	return container_of(s, struct map_stream, sink);
}

static void fetch_ahead(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i += CACHE_LINE)
		__builtin_prefetch((const char *)p + i, 1);
}

/* A thousand sessions are in no cache, and what one of them needs lies behind one pointer after the other: each of the next
 * ones is taken a step further while this one is sent. */
static void warm_ahead(const struct delivery *d, size_t i)
{
	struct map_stream *ms;

	if (i + 5 < d->n)
		fetch_ahead(stream_of(d->sink[i + 5]), offsetof(struct map_stream, n_queued));
	if (i + 4 < d->n && (ms = stream_of(d->sink[i + 4]))->o.host) {
		fetch_ahead(ms->o.stream, CACHE_LINE);
		ms->o.host->warm(ms->o.host, 0);
	}
	for (unsigned step = 1; step < 4; step++)
		if (i + 4 - step < d->n && (ms = stream_of(d->sink[i + 4 - step]))->o.host)
			ms->o.host->warm(ms->o.host, step);
}

static void on_delivery(struct loop_post *p)
{
	struct delivery *d = container_of(p, struct delivery, post);

	for (size_t i = 0; i < d->n; i++) {
		struct map_stream *ms = stream_of(d->sink[i]);

		warm_ahead(d, i);
		if (ms->o.host && !ms->ending) {
			if (d->msg)
				take_message(ms, d);
			else
				take_end(ms, d->status, d->why);
		}
		map_sink_unref(d->sink[i]);
	}
	if (d->msg)
		core_round_done(d->wire->opts->core, d->n);
	map_msg_unref(d->msg);
	free(d);
}

/* Their streams end with the next keepalive. */
static void lose_all(struct map_sink **s, size_t n, bool counted)
{
	if (counted)
		core_round_done(stream_of(s[0])->o.wire->opts->core, n);
	for (size_t i = 0; i < n; i++) {
		atomic_store(&stream_of(s[i])->lost, true);
		map_sink_unref(s[i]);
	}
}

/* The references are taken. */
static void hand_over(struct map_sink **s, size_t n, struct map_msg *m, int status, const char *why)
{
	while (n) {
		struct delivery *d = malloc(sizeof *d + n * sizeof(d->sink[0]));
		size_t others = 0;

		if (!d) {
			lose_all(s, n, m != NULL);
			return;
		}
		*d = (struct delivery){
			.post.fn = on_delivery,
			.wire = stream_of(s[0])->o.wire,
			.msg = map_msg_ref(m),
			.status = status,
			.why = why,
		};
		for (size_t i = 0; i < n; i++)
			if (s[i]->wire == d->wire->index)
				d->sink[d->n++] = s[i];
			else
				s[others++] = s[i];
		n = others;
		loop_post_node(d->wire->loop, &d->post);
	}
}

static void sink_send_all(struct map_sink **s, size_t n, struct map_msg *m)
{
	hand_over(s, n, m, 0, NULL);
}

static void sink_send(struct map_sink *s, struct map_msg *m)
{
	hand_over(&(struct map_sink *){ map_sink_ref(s) }, 1, m, 0, NULL);
}

static void sink_end(struct map_sink *s)
{
	hand_over(&(struct map_sink *){ map_sink_ref(s) }, 1, NULL, 0, NULL);
}

static void sink_refuse(struct map_sink *s, int http_status, const char *why)
{
	hand_over(&(struct map_sink *){ map_sink_ref(s) }, 1, NULL, http_status, why);
}

/* Last reference: any thread. The wire's things are gone by then. */
static void sink_destroy(struct map_sink *s)
{
	struct map_stream *ms = container_of(s, struct map_stream, sink);

	event_free(ms->o.farewell);
	free(ms);
}

err map_stream_start(struct stream_host *h, struct http2_stream *s, struct event *ev, bool zstd)
{
	struct map_stream *ms = calloc(1, sizeof *ms);

	if (!ms || !object_init(&ms->o, h, s, EV_SINK_CLOSED)) {
		free(ms);
		event_free(ev);
		return ERR_NOMEM;
	}
	ms->o.is_map = true;
	ms->zstd = zstd;
	ms->last = &ms->first;
	ms->sink = (struct map_sink){
		.refs = 1, /* the HTTP/2 stream's */
		.wire = h->wire->index,
		.zstd = zstd,
		.send = sink_send,
		.send_all = sink_send_all,
		.end = sink_end,
		.refuse = sink_refuse,
		.destroy = sink_destroy,
	};
	ms->o.farewell->sink = map_sink_ref(&ms->sink);
	ev->sink = map_sink_ref(&ms->sink);
	err e = core_post(h->wire->opts->core, ev);
	if (e != OK) {
		event_free(MOVE(ms->o.farewell));
		map_sink_unref(&ms->sink);
		return e;
	}
	loop_timer_init(&ms->keepalive, h->wire->loop, on_keepalive);
	arm_keepalive(ms);
	http2_set_user(s, &ms->o);
	h->maps++;
	return OK;
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

void stream_on_closed(struct http2_stream *s)
{
	struct object *o = http2_user(s);

	if (!o)
		return;
	http2_set_user(s, NULL);
	core_post_always(o->wire->opts->core, MOVE(o->farewell));
	if (!o->is_map) {
		o->host->calls--; /* the object goes when the core delivers */
		o->host = NULL;
		return;
	}
	struct map_stream *ms = container_of(o, struct map_stream, o);
	o->host->maps--;
	o->host = NULL;
	loop_timer_done(&ms->keepalive);
	map_msg_unref(MOVE(ms->cur));
	drop_queue(ms);
	map_sink_unref(&ms->sink);
}
