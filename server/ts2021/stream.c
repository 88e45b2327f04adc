#include "server/ts2021/stream.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "server/core/runner.h"

enum { H2_INTERNAL_ERROR = 2, H2_CANCEL = 8 };

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

/* A message on its way out: pieces are given to HTTP/2 a few at a time, without copying. */
struct out_msg {
	struct out_msg *next;
	struct map_msg *msg;
	size_t piece; /* next to be given */
	uint8_t head[4];
	struct http2_chunk chunk[MAP_CHUNKS];
};

struct map_stream {
	struct object o;
	struct map_sink sink;
	bool zstd;
	bool started;  /* the response's head is out */
	bool ending;   /* nothing is queued any more; finish after what is */
	atomic_bool lost; /* a message could not be handed over for lack of memory: end the stream, the client comes anew */
	struct out_msg *cur; /* being written */
	struct out_msg *first, **last;
	size_t n_queued, queued_bytes;
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
	__atomic_store_n(&ms->sink.behind, ms->queued_bytes + (ms->cur ? map_msg_text_len(ms->cur->msg) : 0), __ATOMIC_RELAXED);
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

static void arm_keepalive(struct map_stream *ms)
{
	loop_timer_in(&ms->keepalive, MAP_KEEPALIVE_MS + (int64_t)random_below(MAP_KEEPALIVE_SPREAD_MS));
}

static void chunk_done(struct http2_chunk *c)
{
	(void)c; /* on_drained goes on when all of them are */
}

/* Gives the next pieces of cur to HTTP/2. False: there are none left. */
static bool give_pieces(struct map_stream *ms)
{
	struct out_msg *m = ms->cur;
	bool any = false;

	for (size_t i = 0; i < MAP_CHUNKS; i++) {
		struct bytes b = map_msg_piece(m->msg, ms->zstd, m->piece);

		if (b.n == 0)
			break;
		m->piece++;
		m->chunk[i] = (struct http2_chunk){ .data = b, .done = chunk_done };
		http2_push(ms->o.host->h2, ms->o.stream, &m->chunk[i]);
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
	ms->cur = ms->first;
	ms->first = ms->cur->next;
	if (!ms->first)
		ms->last = &ms->first;
	ms->n_queued--;
	ms->queued_bytes -= map_msg_text_len(ms->cur->msg);
	if (map_msg_head(ms->cur->msg, ms->zstd, ms->cur->head, &payload) != OK ||
		http2_push_copy(h2, ms->o.stream, bytes_of(ms->cur->head, sizeof ms->cur->head)) != OK) {
		http2_reset(h2, ms->o.stream, H2_INTERNAL_ERROR);
		return;
	}
	give_pieces(ms);
	arm_keepalive(ms);
}

void stream_on_drained(struct http2_stream *s)
{
	struct object *o = http2_user(s);

	if (!o || !o->is_map)
		return;
	struct map_stream *ms = container_of(o, struct map_stream, o);
	if (ms->cur && !give_pieces(ms)) {
		out_msg_free(ms->cur);
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

/* What the release thread hands over. */
struct delivery {
	struct loop_post post;
	struct map_stream *ms; /* a reference of its sink */
	struct map_msg *msg;   /* NULL: end, or refuse when status is not 0 */
	int status;
	const char *why;
};

static void take_message(struct map_stream *ms, struct map_msg *m)
{
	struct stream_host *h = ms->o.host;

	if (!start_response(ms))
		return;
	if (ms->sink.known)
		h->on_registered(h);
	if (atomic_load(&ms->lost)) {
		drop_queue(ms);
		ms->ending = true;
	} else {
		enqueue(ms, m);
	}
	advance(ms);
}

static void take_end(struct map_stream *ms, int status, const char *why)
{
	ms->ending = true;
	if (ms->started)
		advance(ms);
	else
		stream_refuse(ms->o.host->h2, ms->o.stream, status ? status : 503, why ? why : "try again");
}

static void on_delivery(struct loop_post *p)
{
	struct delivery *d = container_of(p, struct delivery, post);
	struct map_stream *ms = d->ms;
	struct stream_host *h = ms->o.host;

	if (h && !ms->ending) {
		if (d->msg)
			take_message(ms, d->msg);
		else
			take_end(ms, d->status, d->why);
		h->on_output(h);
	}
	if (d->msg)
		core_round_done(ms->o.wire->opts->core);
	map_msg_unref(d->msg);
	map_sink_unref(&ms->sink);
	free(d);
}

static void hand_over(struct map_sink *s, struct map_msg *m, int status, const char *why)
{
	struct map_stream *ms = container_of(s, struct map_stream, sink);
	struct delivery *d = calloc(1, sizeof *d);

	if (!d) {
		atomic_store(&ms->lost, true);
		if (m)
			core_round_done(ms->o.wire->opts->core);
		return;
	}
	*d = (struct delivery){ .post.fn = on_delivery, .ms = ms, .msg = m ? map_msg_ref(m) : NULL, .status = status, .why = why };
	map_sink_ref(s);
	loop_post_node(ms->o.wire->loop, &d->post);
}

static void sink_send(struct map_sink *s, struct map_msg *m)
{
	hand_over(s, m, 0, NULL);
}

static void sink_end(struct map_sink *s)
{
	hand_over(s, NULL, 0, NULL);
}

static void sink_refuse(struct map_sink *s, int http_status, const char *why)
{
	hand_over(s, NULL, http_status, why);
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
	out_msg_free(MOVE(ms->cur));
	drop_queue(ms);
	map_sink_unref(&ms->sink);
}
