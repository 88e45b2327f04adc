#include "server/api/events.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "server/api/handlers.h"
#include "server/api/render.h"
#include "server/api/state.h"
#include "server/api/worker.h"
#include "server/store/audit.h"

enum { FRAME_MAX = 256 << 10, REPLAY_BYTES_MAX = 32 << 20 };

struct frame {
	int64_t id;
	int64_t apikey, user; /* that it is about; 0: about something else */
	struct buf text; /* "id: 7\nevent: node.update\ndata: {…}\n\n" */
};

struct stream {
	struct event_hub *hub;
	struct MHD_Connection *conn;
	struct stream *next;
	uint64_t at;	      /* number of the next frame in the ring's count */
	int64_t after;	      /* ids up to here were sent before */
	struct buf first;     /* what it missed, sent before the ring */
	size_t sent;	      /* of the frame at hand */
	int64_t alive_ms;     /* something was sent then */
	bool asleep;
	int64_t key, parent, user; /* that it lives by; 0: none */
	int64_t expires_ms;	   /* wall clock; 0: never */
	uint64_t watched;	   /* frames before this number were looked at for its key */
};

struct event_hub {
	pthread_mutex_t lock; /* the rest */
	pthread_cond_t tick;
	struct frame ring[EVENTS_KEPT];
	uint64_t n; /* frames ever put; the newest is ring[(n - 1) % EVENTS_KEPT] */
	struct stream *streams;
	size_t n_streams;
	bool closed;
	pthread_t thread;
	bool running;
};

static const char keepalive[] = ": still here\n\n";

static void put_frame(struct buf *out, const struct audit_row *a)
{
	struct jsonw w = jsonw_init(out);

	buf_printf(out, "id: %lld\nevent: %s.%s\ndata: ", (long long)a->id, a->kind, a->action);
	render_audit(&w, a);
	buf_append_str(out, "\n\n");
}

/* Holding the lock. */
static void wake_all(struct event_hub *h)
{
	for (struct stream *s = h->streams; s; s = s->next)
		if (s->asleep) {
			s->asleep = false;
			MHD_resume_connection(s->conn);
		}
}

/* Whom a change is about, where it may take a right away: being made does not, and that record may come after the stream. */
static int64_t id_if(const struct audit_row *what, const char *kind)
{
	uint64_t id = 0;

	if (strcmp(what->action, "create") == 0 || strcmp(what->kind, kind) != 0 || bytes_parse_u64(bytes_str(what->target_id), INT64_MAX, &id) != OK)
		return 0;
	return (int64_t)id;
}

uint64_t event_hub_count(struct event_hub *h)
{
	pthread_mutex_lock(&h->lock);
	uint64_t n = h->n;
	pthread_mutex_unlock(&h->lock);
	return n;
}

void event_hub_put(struct event_hub *h, const struct audit_row *what)
{
	struct buf text = buf_make(FRAME_MAX);

	put_frame(&text, what);
	pthread_mutex_lock(&h->lock);
	struct frame *f = &h->ring[h->n % EVENTS_KEPT];
	buf_done(&f->text);
	*f = (struct frame){ what->id, id_if(what, "apikey"), id_if(what, "user"), text };
	h->n++;
	wake_all(h);
	pthread_mutex_unlock(&h->lock);
}

/* Holding the lock. Until the next word of life, or until a key expires before. */
static int64_t tick_ms(const struct event_hub *h)
{
	int64_t now = clock_wall_ms(), ms = EVENTS_KEEPALIVE_MS;

	for (const struct stream *s = h->streams; s; s = s->next)
		if (s->expires_ms > now)
			ms = MIN_OF(ms, s->expires_ms - now);
	return ms;
}

/* Says now and then that the stream lives: proxies end what is silent. */
static void *keep_alive(void *arg)
{
	struct event_hub *h = arg;

	pthread_mutex_lock(&h->lock);
	while (!h->closed) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		int64_t ns = until.tv_nsec + tick_ms(h) * 1000000;
		until.tv_sec += ns / 1000000000;
		until.tv_nsec = ns % 1000000000;
		pthread_cond_timedwait(&h->tick, &h->lock, &until);
		wake_all(h);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

err event_hub_new(struct event_hub **out)
{
	struct event_hub *h = calloc(1, sizeof *h);
	pthread_condattr_t mono;

	if (!h)
		return ERR_NOMEM;
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&h->tick, &mono);
	pthread_condattr_destroy(&mono);
	h->running = pthread_create(&h->thread, NULL, keep_alive, h) == 0;
	if (!h->running) {
		event_hub_free(h);
		return ERR_SYS;
	}
	*out = h;
	return OK;
}

void event_hub_close(struct event_hub *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->closed = true;
	pthread_cond_signal(&h->tick);
	wake_all(h);
	pthread_mutex_unlock(&h->lock);
	if (h->running)
		pthread_join(h->thread, NULL);
	h->running = false;
}

void event_hub_free(struct event_hub *h)
{
	if (!h)
		return;
	event_hub_close(h);
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		buf_done(&h->ring[i].text);
	pthread_cond_destroy(&h->tick);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- a stream, on the daemon's thread ---- */

static ssize_t take(struct bytes from, size_t *sent, char *out, size_t max)
{
	struct bytes rest = bytes_first(bytes_skip(from, *sent), max);

	memcpy(out, rest.p, rest.n);
	*sent += rest.n;
	return (ssize_t)rest.n;
}

/* Holding the lock. Its key may have ended. */
static bool is_over(struct stream *s)
{
	struct event_hub *h = s->hub;

	if (h->n - s->watched > EVENTS_KEPT)
		return true; /* nobody knows */
	for (; s->watched < h->n; s->watched++) {
		const struct frame *f = &h->ring[s->watched % EVENTS_KEPT];
		if ((f->apikey && (f->apikey == s->key || f->apikey == s->parent)) || (f->user && f->user == s->user))
			return true;
	}
	return s->expires_ms && clock_wall_ms() >= s->expires_ms;
}

static ssize_t read_stream(void *ctx, uint64_t pos, char *out, size_t max)
{
	struct stream *s = ctx;
	struct event_hub *h = s->hub;
	ssize_t n = 0;

	(void)pos;
	pthread_mutex_lock(&h->lock);
	bool over = is_over(s);
	pthread_mutex_unlock(&h->lock);
	if (over)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (buf_len(&s->first)) {
		n = (ssize_t)MIN_OF(buf_len(&s->first), max);
		memcpy(out, buf_view(&s->first).p, (size_t)n);
		buf_consume(&s->first, (size_t)n);
		s->alive_ms = clock_mono_ms();
		return n;
	}
	pthread_mutex_lock(&h->lock);
	while (s->at < h->n && !n && !h->closed) {
		if (h->n - s->at > EVENTS_KEPT) { /* too slow: it comes back and asks for what it missed */
			n = MHD_CONTENT_READER_END_OF_STREAM;
			break;
		}
		struct frame *f = &h->ring[s->at % EVENTS_KEPT];
		if (f->id > s->after && s->sent < buf_len(&f->text))
			n = take(buf_view(&f->text), &s->sent, out, max);
		if (f->id <= s->after || s->sent == buf_len(&f->text)) {
			s->at++;
			s->sent = 0;
		}
	}
	if (!n && h->closed) {
		n = MHD_CONTENT_READER_END_OF_STREAM;
	} else if (!n && clock_mono_ms() - s->alive_ms >= EVENTS_KEEPALIVE_MS) {
		size_t sent = 0;
		n = take(bytes_str(keepalive), &sent, out, max);
	} else if (!n) {
		s->asleep = true;
		MHD_suspend_connection(s->conn);
	}
	if (n > 0)
		s->alive_ms = clock_mono_ms();
	pthread_mutex_unlock(&h->lock);
	return n;
}

static void end_stream(void *ctx)
{
	struct stream *s = ctx;
	struct event_hub *h = s->hub;

	pthread_mutex_lock(&h->lock);
	for (struct stream **at = &h->streams; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			h->n_streams--;
			break;
		}
	pthread_mutex_unlock(&h->lock);
	buf_done(&s->first);
	free(s);
}

/* ---- what was missed ---- */

struct resume {
	int64_t after; /* Last-Event-ID */
	bool given, lost;
	struct buf text;
};

/* On a worker: what the log has behind that number. */
static void read_missed(struct request *r, struct reply *reply)
{
	struct resume *m = r->keep;
	size_t n = 0;
	bool more = true;

	while (more && n < EVENTS_REPLAY_MAX) {
		CLEANUP(audit_page_done) struct audit_page page = { 0 };
		struct audit_query ask = { .tailnet_id = 1, .after_id = m->after, .limit = AUDIT_PAGE_MAX };
		char why[200];

		reply->e = r->api->cfg.audit(r->api->cfg.ctx, &ask, &page, why, sizeof why);
		if (reply->e != OK) {
			reply->message = arena_str(&reply->arena, bytes_str(why));
			return;
		}
		for (size_t i = 0; i < page.n; i++)
			put_frame(&m->text, &page.rows[i]);
		n += page.n;
		more = page.more;
		if (page.n)
			m->after = page.rows[page.n - 1].id;
	}
	m->lost = more || m->text.bad;
}

static enum MHD_Result start(struct request *r, struct resume *m)
{
	struct event_hub *h = r->api->events;
	struct stream *s = calloc(1, sizeof *s);

	if (!s) {
		buf_done(&m->text);
		return answer_error(r, 500, "out of memory");
	}
	*s = (struct stream){ .hub = h, .conn = r->conn, .first = m->text, .after = m->after, .alive_ms = clock_mono_ms(),
		.key = r->key_id, .parent = r->key_parent, .user = r->key_user, .expires_ms = r->key_expires_ms };
	m->text = (struct buf){ 0 };
	pthread_mutex_lock(&h->lock);
	bool room = h->n_streams < EVENTS_STREAMS_MAX && !h->closed;
	s->at = h->n;
	s->watched = r->key_id ? r->events_at : h->n;
	/* Those of the ring that it has not got. */
	while (m->given && s->at && h->n - s->at < EVENTS_KEPT && h->ring[(s->at - 1) % EVENTS_KEPT].id > s->after)
		s->at--;
	if (!m->given)
		s->after = 0;
	if (room) {
		s->next = h->streams;
		h->streams = s;
		h->n_streams++;
		pthread_cond_signal(&h->tick); /* its key may expire first */
	}
	pthread_mutex_unlock(&h->lock);
	if (!room) {
		buf_done(&s->first);
		free(s);
		return answer_error(r, 503, "too many streams are open");
	}
	if (!buf_len(&s->first))
		buf_append_str(&s->first, keepalive); /* the head leaves at once */
	struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 << 10, read_stream, s, end_stream);
	if (!response) {
		end_stream(s);
		return MHD_NO;
	}
	return answer_response(r, 200, "text/event-stream", response);
}

static enum MHD_Result on_missed(struct request *r, const struct reply *reply)
{
	struct resume *m = r->keep;

	if (reply->e != OK) {
		buf_done(&m->text);
		return answer_fault(r, reply, "");
	}
	if (m->lost) {
		buf_done(&m->text);
		m->text = buf_make(REPLAY_BYTES_MAX);
		m->after = INT64_MAX;
	}
	buf_printf(&m->text, "event: reset\ndata: {\"reason\":\"%s\"}\n\n", m->lost ? "too much was missed: read all anew" :
			"comings and goings of devices may have been missed");
	if (m->lost) {
		m->after = 0;
		m->given = false;
	}
	return start(r, m);
}

static bool ring_covers(struct event_hub *h, int64_t after)
{
	pthread_mutex_lock(&h->lock);
	uint64_t oldest = h->n > EVENTS_KEPT ? h->n - EVENTS_KEPT : 0;
	bool covers = h->n && h->ring[oldest % EVENTS_KEPT].id <= after + 1;
	if (h->n && h->ring[(h->n - 1) % EVENTS_KEPT].id < after)
		covers = false; /* a number of another life */
	pthread_mutex_unlock(&h->lock);
	return covers;
}

enum MHD_Result api_native_events(struct request *r)
{
	const char *last = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Last-Event-ID");
	struct resume *m = arena_alloc(&r->arena, sizeof *m);
	uint64_t id = 0;

	if (!m)
		return answer_error(r, 500, "out of memory");
	if (!last || !*last)
		last = query(r, "after");
	m->text = buf_make(REPLAY_BYTES_MAX);
	m->given = *last != 0;
	if (m->given && bytes_parse_u64(bytes_str(last), INT64_MAX - 1, &id) != OK)
		return answer_error(r, 400, "Last-Event-ID: a number that an event had is needed");
	m->after = (int64_t)id;
	if (!m->given || ring_covers(r->api->events, m->after) || !r->api->cfg.audit)
		return start(r, m);
	r->keep = m;
	return work_for(r, read_missed, on_missed);
}
