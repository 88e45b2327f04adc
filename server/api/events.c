#include "server/api/events_hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "server/api/access.h"
#include "server/api/handlers.h"
#include "server/api/render.h"
#include "server/api/state.h"
#include "server/api/worker.h"
#include "server/store/audit.h"

static const char keepalive[] = ": still here\n\n";

static void put_frame(struct buf *out, const struct audit_row *a)
{
	struct jsonw w = jsonw_init(out);

	buf_printf(out, "id: %lld\nevent: %s.%s\ndata: ", (long long)a->id, a->kind, a->action);
	render_audit(&w, a);
	buf_append_str(out, "\n\n");
}

/* Holding the lock. */
static void wake(struct stream *s)
{
	if (!s->asleep)
		return;
	s->asleep = false;
	MHD_resume_connection(s->conn);
}

/* Holding the lock. A console's stream that has just said something waits until more has gathered. */
static void wake_all(struct event_hub *h)
{
	int64_t now = clock_mono_ms();

	for (struct stream *s = h->streams; s; s = s->next) {
		if (!s->console || s->over || h->closed || now >= s->due_ms) {
			s->held = false; /* who is not asleep gathers when it reads */
			wake(s);
		} else if (s->at < h->n && !s->held) {
			s->held = true;
			pthread_cond_signal(&h->tick);
		}
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

/* Holding the lock: what a stream lives by has ended, or may do less. */
static void end_affected(struct event_hub *h, const struct audit_row *what)
{
	int64_t key = id_if(what, "apikey"), user = id_if(what, "user"), signin = id_if(what, "signin");

	for (struct stream *s = h->streams; (key || user || signin) && s; s = s->next)
		if ((key && (key == s->key || key == s->parent)) || (user && user == s->user) || (signin && signin == s->signin))
			s->over = true;
}

void event_hub_put(struct event_hub *h, const struct audit_row *what)
{
	struct buf text = buf_make(FRAME_MAX);

	put_frame(&text, what);
	pthread_mutex_lock(&h->lock);
	struct frame *f = &h->ring[h->n % EVENTS_KEPT];
	buf_done(&f->text);
	*f = (struct frame){ .id = what->id, .at_ms = what->at_ms, .text = text, .quiet = strcmp(what->action, AUDIT_REPORT) == 0 };
	snprintf(f->kind, sizeof f->kind, "%s", what->kind);
	snprintf(f->action, sizeof f->action, "%s", what->action);
	snprintf(f->target, sizeof f->target, "%s", what->target_id);
	h->n++;
	end_affected(h, what);
	wake_all(h);
	pthread_mutex_unlock(&h->lock);
}

/* Holding the lock. Until the next word of life, or until a key expires before, or a stream that gathers may speak. */
static int64_t tick_ms(const struct event_hub *h)
{
	int64_t now = clock_wall_ms(), mono = clock_mono_ms(), ms = EVENTS_KEEPALIVE_MS;

	for (const struct stream *s = h->streams; s; s = s->next) {
		if (s->expires_ms > now)
			ms = MIN_OF(ms, s->expires_ms - now);
		if (s->held)
			ms = MIN_OF(ms, MAX_OF(s->due_ms - mono, 0));
	}
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
	random_fill(&h->boot, sizeof h->boot);
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

static bool is_over(const struct stream *s)
{
	return s->over || (s->expires_ms && clock_wall_ms() >= s->expires_ms);
}

/* Holding the lock: the next frame of a console, when there is one and its time has come. */
static void gather(struct stream *s)
{
	int64_t now = clock_mono_ms();

	buf_clear(&s->first);
	if (s->at == s->hub->n)
		return;
	if (now >= s->due_ms) {
		while (s->at < s->hub->n && !console_gather(s, now))
			;
	} else if (!s->held) {
		s->held = true;
		pthread_cond_signal(&s->hub->tick);
	}
}

static ssize_t read_stream(void *ctx, uint64_t pos, char *out, size_t max)
{
	struct stream *s = ctx;
	struct event_hub *h = s->hub;
	ssize_t n = 0;

	(void)pos;
	pthread_mutex_lock(&h->lock);
	bool over = is_over(s);
	if (!over && s->console && !buf_len(&s->first))
		gather(s);
	pthread_mutex_unlock(&h->lock);
	if (over || s->first.bad)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (buf_len(&s->first)) {
		n = (ssize_t)MIN_OF(buf_len(&s->first), max);
		memcpy(out, buf_view(&s->first).p, (size_t)n);
		buf_consume(&s->first, (size_t)n);
		s->alive_ms = clock_mono_ms();
		return n;
	}
	pthread_mutex_lock(&h->lock);
	while (!s->console && s->at < h->n && !n && !h->closed) {
		if (h->n - s->at > EVENTS_KEPT) { /* too slow: it comes back and asks for what it missed */
			n = MHD_CONTENT_READER_END_OF_STREAM;
			break;
		}
		struct frame *f = &h->ring[s->at % EVENTS_KEPT];
		bool skip = f->id <= s->after || f->quiet;
		if (!skip && s->sent < buf_len(&f->text))
			n = take(buf_view(&f->text), &s->sent, out, max);
		if (skip || s->sent == buf_len(&f->text)) {
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
	const char *console; /* the id that a console has had, "" none; NULL: another view */
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

/* Holding the lock: nothing that it lives by changed since its key or session was looked at. */
static bool still_good(const struct event_hub *h, const struct stream *s, uint64_t since)
{
	if (h->n - since > EVENTS_KEPT)
		return false; /* nobody knows */
	for (; since < h->n; since++) {
		const struct frame *f = &h->ring[since % EVENTS_KEPT];
		uint64_t id = 0;
		if (strcmp(f->action, "create") == 0 || bytes_parse_u64(bytes_str(f->target), INT64_MAX, &id) != OK)
			continue;
		bool key = strcmp(f->kind, "apikey") == 0 && ((int64_t)id == s->key || (int64_t)id == s->parent);
		bool user = strcmp(f->kind, "user") == 0 && (int64_t)id == s->user;
		if (key || user || (strcmp(f->kind, "signin") == 0 && (int64_t)id == s->signin))
			return false;
	}
	return true;
}

/* Is it the same who listens? Nobody in particular (the unix socket) never is. */
static bool is_same_listener(const struct stream *a, const struct stream *b)
{
	int64_t x = a->parent ? a->parent : a->key, y = b->parent ? b->parent : b->key;

	return a->user || b->user ? a->user == b->user : x && x == y;
}

/* Holding the lock. */
static size_t streams_of(const struct event_hub *h, const struct stream *who)
{
	size_t n = 0;

	for (const struct stream *s = h->streams; s; s = s->next)
		n += is_same_listener(s, who);
	return n;
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
		.key = r->key_id, .parent = r->key_parent, .user = r->by_cookie ? r->signin_user : r->key_user, .signin = r->signin,
		.expires_ms = r->by_cookie ? r->signin_expires_ms : r->key_expires_ms, .console = m->console != NULL, .may = r->may };
	m->text = (struct buf){ 0 };
	pthread_mutex_lock(&h->lock);
	bool greedy = streams_of(h, s) >= EVENTS_STREAMS_EACH;
	bool room = h->n_streams < EVENTS_STREAMS_MAX && !h->closed && !greedy;
	s->at = h->n;
	s->over = r->actor && !r->trusted && !still_good(h, s, r->events_at);
	if (m->console)
		console_start(s, m->console);
	/* Those of the ring that it has not got. */
	while (!m->console && m->given && s->at && h->n - s->at < EVENTS_KEPT && h->ring[(s->at - 1) % EVENTS_KEPT].id > s->after)
		s->at--;
	if (!m->given && !m->console)
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
		return greedy ? answer_error(r, 429, "this key, or its user, has too many streams open") : answer_error(r, 503, "too many streams are open");
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
	enum MHD_Result refused;
	uint64_t id = 0;

	if (!m)
		return answer_error(r, 500, "out of memory");
	if (!last || !*last)
		last = query(r, "after");
	m->text = buf_make(REPLAY_BYTES_MAX);
	if (strcmp(query(r, "view"), "console") == 0) {
		m->console = last;
		return start(r, m);
	}
	if (!may_else_refuse(r, SCOPE_READ(SCOPE_LOGS_CONFIGURATION), &refused))
		return refused;
	m->given = *last != 0;
	if (m->given && bytes_parse_u64(bytes_str(last), INT64_MAX - 1, &id) != OK)
		return answer_error(r, 400, "Last-Event-ID: a number that an event had is needed");
	m->after = (int64_t)id;
	if (!m->given || ring_covers(r->api->events, m->after) || !r->api->cfg.audit)
		return start(r, m);
	r->keep = m;
	return work_for(r, read_missed, on_missed);
}
