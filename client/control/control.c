#include "client/control/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "client/control/request.h"
#include "client/netmap_node.h"
#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/base/reader.h"
#include "common/http/http1.h"
#include "common/http/ts2021_client.h"

enum {
	ANSWER_MAX = 1 << 20, /* of a register */
	MAP_HEAD_LEN = 4,
	MAP_AHEAD = 1 << 20, /* bytes behind a complete message */
	C2N_MAX = 64 << 10,
	REPLIES_MAX = 16, /* answers to pings that the server has not taken yet; more are not given */
	AUTH_URLS_MAX = 8, /* that a server may give, one after the other, before it has to wait */
	LITE_RETRY_MS = 1000,
	EXPECT_LIFE_MS = 5000, /* after a change of the network */
	DIAL_MS = 20 * 1000,
	RETRY_AFTER_MAX_S = 3600,
};

/* What a stream is for; streams point here. */
enum kind { REGISTER, LITE, POLL, REPLY };
static const enum kind kinds[] = { REGISTER, LITE, POLL, REPLY };

struct control {
	const struct control_self *self;
	const struct control_events *ev;
	enum control_state state;
	enum control_want want;
	bool wanted;	     /* started and not stopped */
	bool logging_out;
	bool has_server_key;
	struct machine_pub server_key;
	bool registered;     /* in this run, with the present key */
	bool has_key_tried;  /* on_new_key was asked for in this round */
	uint64_t link_id;
	bool linked;	     /* c is in use */
	struct ts2021_client c;
	bool has_map, polling, lite_asked, lite_open;
	unsigned replies, auth_urls;
	struct http2_stream *poll, *ping_stream;
	unsigned poll_status, answer_status;
	int retry_after_s;
	char auth_url[MAP_URL_MAX];
	char last_error[CONTROL_TEXT_MAX];
	char last_ping[MAP_URL_MAX];
	unsigned failures;
	int64_t now_ms;
	int64_t due_ms;	     /* of the state: try again, silence, no answer */
	int64_t lite_due_ms;
	struct buf answer, maps, text;
	char lost[CONTROL_TEXT_MAX]; /* said inside a callback of HTTP/2, acted upon after it */
	bool done;		     /* the same for an answer to a register */
	struct map_scratch *scratch;
	ZSTD_DCtx *decoder;
};

static void advance(struct control *c);

const char *control_state_name(enum control_state s)
{
	static const char *const name[] = { "Stopped", "Starting", "Starting", "NeedsLogin", "Running", "NoState" };

	return name[s];
}

static void enter(struct control *c, enum control_state s)
{
	if (c->state == s)
		return;
	c->state = s;
	if (c->ev->on_state)
		c->ev->on_state(c->ev->ctx, s);
}

static void lose(struct control *c, const char *why)
{
	if (!c->lost[0])
		snprintf(c->lost, sizeof c->lost, "%s", *why ? why : "the connection broke");
}

static void unlink_all(struct control *c)
{
	if (c->linked) {
		c->linked = false; /* streams that end now mean nothing */
		ts2021_client_done(&c->c);
	}
	c->poll = NULL;
	c->polling = c->lite_open = false;
	c->replies = 0;
	c->done = false;
	buf_done(&c->answer);
	buf_done(&c->maps);
	c->answer = buf_make(ANSWER_MAX);
	c->maps = buf_make(MAP_HEAD_LEN + MAP_PACKED_MAX + MAP_AHEAD);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static struct http2_stream *ask(struct control *c, enum kind what, const char *method, const char *path, struct bytes body)
{
	struct http2_stream *s;

	if (!c->linked || !c->c.h2)
		return NULL;
	if (http2_request(c->c.h2, method, c->self->host, path, NULL, 0, body, &s) != OK) {
		lose(c, "the server takes no more requests");
		return NULL;
	}
	http2_set_user(s, (void *)(uintptr_t)&kinds[what]);
	return s;
}

static void ask_register(struct control *c)
{
	buf_clear(&c->text);
	request_register(c->self, c->auth_url, c->logging_out, &c->text);
	buf_clear(&c->answer);
	c->answer_status = 0;
	c->retry_after_s = 0;
	if (ask(c, REGISTER, "POST", "/machine/register", buf_view(&c->text)))
		c->due_ms = *c->auth_url ? INT64_MAX : c->now_ms + CONTROL_ANSWER_MS;
	sodium_memzero(c->text.p, c->text.cap);
	buf_clear(&c->text);
	enter(c, *c->auth_url ? CONTROL_NEEDS_LOGIN : CONTROL_REGISTERING);
}

static void ask_lite(struct control *c)
{
	buf_clear(&c->text);
	request_map(c->self, false, &c->text);
	c->lite_open = ask(c, LITE, "POST", "/machine/map", buf_view(&c->text)) != NULL;
	c->lite_asked = false;
}

static void ask_poll(struct control *c)
{
	buf_clear(&c->text);
	request_map(c->self, true, &c->text);
	buf_clear(&c->maps);
	c->has_map = false;
	c->poll_status = 0;
	c->poll = ask(c, POLL, "POST", "/machine/map", buf_view(&c->text));
	c->polling = c->poll != NULL;
	c->due_ms = c->now_ms + CONTROL_SILENT_MS;
	enter(c, CONTROL_REGISTERING);
	ask_lite(c);
}

/* ---- pings --------------------------------------------------------------------------------------------------------- */

/* The path of a URL that the server gave: only paths are used, on the connection that we have. */
static const char *url_path(const char *url)
{
	const char *at = strstr(url, "://");

	at = at ? strchr(at + 3, '/') : NULL;
	return at ? at : "/";
}

/* An HTTP/1.1 request in a c2n ping -> the answer, as text. */
static void answer_c2n(struct bytes in, struct buf *out)
{
	struct http1_request r;

	if (http1_parse_request(in, &r) != OK) {
		http1_put_text(out, 400, "bad request");
		return;
	}
	if (!bytes_eq_str(r.path, "/echo")) {
		http1_put_text(out, 400, "unknown c2n path");
		return;
	}
	struct bytes body = bytes_skip(in, r.head_len);
	char len[24];

	if (r.framing == HTTP1_BODY_LENGTH)
		body = bytes_first(body, r.body_len);
	snprintf(len, sizeof len, "%zu", body.n);
	http1_put_status(out, 200);
	http1_put_header(out, "Content-Length", bytes_str(len));
	http1_put_end(out);
	buf_append(out, body);
}

static void answer_ping(struct control *c, const struct map_ping *p)
{
	CLEANUP(buf_done) struct buf out = buf_make(C2N_MAX);

	if (strcmp(p->url, c->last_ping) == 0 || c->replies >= REPLIES_MAX)
		return;
	snprintf(c->last_ping, sizeof c->last_ping, "%s", p->url);
	if (strcmp(p->types, "c2n") == 0) {
		answer_c2n(bytes_of(p->payload, p->n_payload), &out);
		if (!out.bad)
			c->replies += ask(c, REPLY, "POST", url_path(p->url), buf_view(&out)) != NULL;
	} else if (!*p->types && p->is_noise) {
		c->replies += ask(c, REPLY, "HEAD", url_path(p->url), (struct bytes){ 0 }) != NULL;
	}
}

/* ---- the map stream ------------------------------------------------------------------------------------------------ */

static void on_message(struct control *c, struct bytes payload)
{
	struct map_update u;
	struct map_why why = { "" };
	char text[CONTROL_TEXT_MAX];

	err e = map_parse(c->scratch, payload, c->decoder, &u, &why);
	if (e != OK) {
		snprintf(text, sizeof text, "a map message that cannot be read: %s", *why.text ? why.text : err_text(e));
		lose(c, text);
		return;
	}
	c->due_ms = c->now_ms + CONTROL_SILENT_MS;
	if (u.has_ping)
		answer_ping(c, &u.ping);
	if (u.keepalive) {
		map_update_done(&u);
		return;
	}
	e = c->ev->on_map(c->ev->ctx, &u, !c->has_map);
	map_update_done(&u);
	if (e != OK) {
		snprintf(text, sizeof text, "a map message that cannot be used: %s", err_text(e));
		lose(c, text);
		return;
	}
	if (!c->has_map) {
		c->has_map = true;
		c->failures = 0;
		c->last_error[0] = 0;
	}
	if (!c->lost[0] && c->polling)
		enter(c, CONTROL_SYNCED);
}

static void on_poll_data(struct control *c, struct bytes data)
{
	buf_append(&c->maps, data);
	if (c->maps.bad) {
		lose(c, "a map message is too long");
		return;
	}
	while (!c->lost[0] && c->polling) {
		struct reader r = rd_init(buf_view(&c->maps));
		uint32_t len = rd_u32le(&r);

		if (r.bad)
			break;
		if (len == 0 || len > MAP_PACKED_MAX) {
			lose(c, "a map message of impossible length");
			return;
		}
		struct bytes payload = rd_take(&r, len);
		if (r.bad)
			break;
		on_message(c, payload);
		buf_consume(&c->maps, MAP_HEAD_LEN + len);
	}
	buf_release(&c->maps);
}

/* ---- HTTP/2 -------------------------------------------------------------------------------------------------------- */

static enum kind kind_of(struct http2_stream *s)
{
	const enum kind *k = http2_user(s);

	return k ? *k : REPLY;
}

static void on_response(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx)
{
	struct control *c = ctx;
	uint64_t seconds = 0;

	(void)h;
	if (kind_of(s) == POLL) {
		c->poll_status = m->status;
		c->due_ms = c->now_ms + CONTROL_SILENT_MS;
	} else if (kind_of(s) == REGISTER) {
		c->answer_status = m->status;
		if (bytes_parse_u64(http2_find_header(m, "retry-after"), RETRY_AFTER_MAX_S, &seconds) == OK)
			c->retry_after_s = (int)seconds;
	} else if (kind_of(s) == LITE) {
		if (c->polling) /* the sign of life that control_network_changed may wait for */
			c->due_ms = c->now_ms + CONTROL_SILENT_MS;
		if (m->status / 100 != 2)
			c->lite_asked = true; /* again, a little later */
	}
}

static void on_data(struct http2 *h, struct http2_stream *s, struct bytes data, void *ctx)
{
	struct control *c = ctx;

	(void)h;
	if (kind_of(s) == REGISTER) {
		buf_append(&c->answer, data);
		if (c->answer.bad)
			lose(c, "the answer to a register is too long");
	} else if (kind_of(s) == POLL && c->poll_status == 200) {
		on_poll_data(c, data);
	} else if (kind_of(s) == POLL) {
		char text[100], why[CONTROL_TEXT_MAX];

		nm_clean(text, sizeof text - 1, data);
		snprintf(why, sizeof why, "map: HTTP %u: %s", c->poll_status, text);
		lose(c, why);
	}
}

static void on_closed(struct http2 *h, struct http2_stream *s, uint32_t error, void *ctx)
{
	struct control *c = ctx;

	(void)h;
	if (!c->linked)
		return;
	switch (kind_of(s)) {
	case POLL:
		if (s == c->poll) {
			c->polling = false;
			c->poll = NULL;
			lose(c, "the server ended the map stream");
		}
		break;
	case REGISTER:
		if (error)
			lose(c, "the server broke off the register");
		else
			c->done = true;
		break;
	case LITE:
		c->lite_open = false;
		if (error)
			c->lite_asked = true;
		c->lite_due_ms = c->now_ms + (c->lite_asked ? LITE_RETRY_MS : 0);
		break;
	case REPLY:
		c->replies--;
		break;
	}
}

static void on_goaway(struct http2 *h, uint32_t error, void *ctx)
{
	(void)h;
	(void)error;
	lose(ctx, "the server says goodbye");
}

static const struct http2_events events = {
	.on_response = on_response,
	.on_data = on_data,
	.on_closed = on_closed,
	.on_goaway = on_goaway,
};

/* ---- what a register came to --------------------------------------------------------------------------------------- */

static bool url_is_shown(const char *url)
{
	return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0;
}

static void logged_out(struct control *c, bool told)
{
	c->logging_out = false;
	c->registered = false;
	control_stop(c);
	if (c->ev->on_logged_out)
		c->ev->on_logged_out(c->ev->ctx, told);
}

static void refused(struct control *c, const char *text)
{
	snprintf(c->last_error, sizeof c->last_error, "%s", text);
	if (c->ev->on_refused)
		c->ev->on_refused(c->ev->ctx, c->last_error);
	lose(c, text);
}

static void on_answer(struct control *c)
{
	struct register_answer a;
	char text[CONTROL_TEXT_MAX], body[200];

	if (c->answer_status == 429) {
		snprintf(text, sizeof text, "node registration rate limited; will retry after %d s",
			c->retry_after_s ? c->retry_after_s : 10);
		refused(c, text);
		if (!c->retry_after_s)
			c->retry_after_s = 10;
		return;
	}
	if (c->answer_status != 200 || request_parse_answer(buf_view(&c->answer), &a) != OK) {
		nm_clean(body, sizeof body - 1, buf_view(&c->answer));
		snprintf(text, sizeof text, "register: HTTP %u: %s", c->answer_status, body);
		if (c->logging_out)
			logged_out(c, false);
		else
			refused(c, text);
		return;
	}
	if (c->logging_out) {
		logged_out(c, !*a.error);
		return;
	}
	if (*a.error) {
		c->auth_url[0] = 0;
		refused(c, a.error);
		return;
	}
	if (a.node_key_expired || a.wants_signature) {
		c->auth_url[0] = 0;
		if (c->has_key_tried || !c->ev->on_new_key || !c->ev->on_new_key(c->ev->ctx)) {
			refused(c, "the server says that a fresh key is expired");
			return;
		}
		c->has_key_tried = true;
		ask_register(c);
		return;
	}
	if (*a.auth_url) {
		bool same = strcmp(a.auth_url, c->auth_url) == 0;

		if (!url_is_shown(a.auth_url)) {
			refused(c, "the server gave a login URL that is none");
			return;
		}
		snprintf(c->auth_url, sizeof c->auth_url, "%s", a.auth_url);
		if (!same && c->ev->on_auth_url)
			c->ev->on_auth_url(c->ev->ctx, c->auth_url);
		if (same || ++c->auth_urls > AUTH_URLS_MAX) { /* not to be asked in a loop */
			c->auth_urls = 0;
			lose(c, same ? "the login URL does not change" : "the server gives login URLs without end");
			return;
		}
		ask_register(c);
		return;
	}
	c->auth_url[0] = 0;
	c->registered = true;
	c->has_key_tried = false;
	c->auth_urls = 0;
	if (c->ev->on_registered)
		c->ev->on_registered(c->ev->ctx,
			&(struct control_login){ a.user_id, a.login_name, a.display_name });
	ask_poll(c);
}

/* ---- the state machine --------------------------------------------------------------------------------------------- */

static void back_off(struct control *c)
{
	int64_t n = ++c->failures;
	int64_t ms = MIN_OF(n * n * 10, (int64_t)CONTROL_BACKOFF_MAX_MS);

	ms = ms / 2 + (int64_t)random_below((uint64_t)ms + 1);
	if (c->retry_after_s && ms < c->retry_after_s * 1000)
		ms = c->retry_after_s * 1000;
	c->retry_after_s = 0;
	c->due_ms = c->now_ms + ms;
}

/* Acts on what callbacks noted. */
static void advance(struct control *c)
{
	while (c->done && !c->lost[0]) {
		c->done = false;
		on_answer(c);
	}
	if (!c->lost[0])
		return;
	if (c->poll_status && c->poll_status != 200)
		c->registered = false; /* perhaps it forgot us: ask */
	c->poll_status = 0;
	snprintf(c->last_error, sizeof c->last_error, "%s", c->lost);
	c->lost[0] = 0;
	unlink_all(c);
	c->want = CONTROL_WANT_NOTHING;
	if (!c->wanted)
		return;
	if (c->logging_out && c->failures > 2) {
		logged_out(c, false);
		return;
	}
	back_off(c);
	if (!*c->auth_url)
		enter(c, CONTROL_WAITING);
}

static void dial(struct control *c)
{
	struct ts2021_client_opts o = {
		.machine = c->self->machine,
		.server = &c->server_key,
		.version = CONTROL_VERSION,
		.host = c->self->host,
	};

	unlink_all(c);
	c->link_id++;
	err e = ts2021_client_init(&c->c, &o, &events, c);
	if (e != OK) {
		lose(c, "the server's key is unusable");
		advance(c);
		return;
	}
	c->linked = true;
	c->want = CONTROL_WANT_LINK;
	c->due_ms = c->now_ms + DIAL_MS;
}

static void try_now(struct control *c)
{
	c->due_ms = c->now_ms + DIAL_MS;
	if (!*c->auth_url)
		enter(c, CONTROL_CONNECTING);
	if (c->has_server_key && c->registered)
		dial(c);
	else
		c->want = CONTROL_WANT_KEY;
}

err control_new(const struct control_self *self, const struct control_events *ev, struct control **out)
{
	struct control *c = calloc(1, sizeof *c);

	if (!c)
		return ERR_NOMEM;
	c->self = self;
	c->ev = ev;
	c->due_ms = INT64_MAX;
	c->text = buf_make(REQUEST_MAX);
	c->answer = buf_make(ANSWER_MAX);
	c->maps = buf_make(MAP_HEAD_LEN + MAP_PACKED_MAX + MAP_AHEAD);
	c->scratch = map_scratch_new();
	c->decoder = ZSTD_createDCtx();
	if (!c->scratch || !c->decoder) {
		control_free(c);
		return ERR_NOMEM;
	}
	map_scratch_know(c->scratch, ev->known);
	*out = c;
	return OK;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	unlink_all(c);
	buf_done(&c->answer);
	buf_done(&c->maps);
	buf_done(&c->text);
	map_scratch_free(c->scratch);
	ZSTD_freeDCtx(c->decoder);
	free(c);
}

void control_start(struct control *c, int64_t now_ms)
{
	c->now_ms = now_ms;
	unlink_all(c);
	c->wanted = true;
	c->registered = false;
	c->has_key_tried = false;
	c->failures = 0;
	c->auth_url[0] = c->last_error[0] = c->lost[0] = 0;
	c->has_server_key = false;
	try_now(c);
}

void control_stop(struct control *c)
{
	unlink_all(c);
	c->wanted = false;
	c->want = CONTROL_WANT_NOTHING;
	c->due_ms = INT64_MAX;
	c->auth_url[0] = 0;
	enter(c, CONTROL_IDLE);
}

void control_logout(struct control *c, int64_t now_ms)
{
	c->now_ms = now_ms;
	c->logging_out = true;
	c->auth_url[0] = 0;
	c->failures = 0;
	if (c->polling) {
		ask_register(c);
		return;
	}
	unlink_all(c); /* a follow-up may hang there */
	c->wanted = true;
	try_now(c);
}

void control_self_changed(struct control *c)
{
	c->lite_asked = true;
	c->lite_due_ms = MIN_OF(c->lite_due_ms, c->now_ms);
}

void control_network_changed(struct control *c, int64_t now_ms)
{
	c->now_ms = now_ms;
	if (!c->wanted)
		return;
	if (c->state == CONTROL_WAITING) {
		c->due_ms = now_ms;
	} else if (c->state == CONTROL_SYNCED && c->c.h2) {
		/* The keepalive may be a minute away: a lite update shows at once whether the connection lives. */
		control_self_changed(c);
		c->due_ms = MIN_OF(c->due_ms, now_ms + EXPECT_LIFE_MS);
	}
}

enum control_want control_want(const struct control *c)
{
	return c->want;
}

uint64_t control_link_id(const struct control *c)
{
	return c->link_id;
}

void control_key(struct control *c, struct bytes body, int64_t now_ms)
{
	c->now_ms = now_ms;
	if (c->want != CONTROL_WANT_KEY)
		return;
	if (request_parse_key(body, &c->server_key) != OK) {
		lose(c, "the answer to GET /key has no key");
		advance(c);
		return;
	}
	c->has_server_key = true;
	dial(c);
}

void control_lost(struct control *c, const char *why, int64_t now_ms)
{
	c->now_ms = now_ms;
	if (c->want == CONTROL_WANT_NOTHING)
		return;
	lose(c, why);
	advance(c);
}

void control_feed(struct control *c, struct bytes in, int64_t now_ms)
{
	bool was_open;

	c->now_ms = now_ms;
	if (!c->linked)
		return;
	was_open = c->c.h2 != NULL;
	if (ts2021_client_feed(&c->c, in, now_ms) != OK)
		lose(c, c->c.why);
	if (c->c.h2 && !was_open && !c->lost[0]) {
		if (c->registered && !c->logging_out)
			ask_poll(c);
		else
			ask_register(c);
	}
	advance(c);
}

struct buf *control_out(struct control *c)
{
	if (!c->linked)
		return NULL;
	if (c->polling && c->lite_asked && !c->lite_open && c->now_ms >= c->lite_due_ms)
		ask_lite(c);
	if (ts2021_client_flush(&c->c) != OK)
		lose(c, c->c.why);
	advance(c);
	return c->linked ? &c->c.out : NULL;
}

int64_t control_due_ms(const struct control *c)
{
	int64_t due = c->wanted ? c->due_ms : INT64_MAX;

	if (c->polling && c->lite_asked && !c->lite_open)
		due = MIN_OF(due, c->lite_due_ms);
	return due;
}

void control_tick(struct control *c, int64_t now_ms)
{
	c->now_ms = now_ms;
	if (!c->wanted || now_ms < c->due_ms)
		return;
	if (c->want == CONTROL_WANT_NOTHING) {
		try_now(c);
		return;
	}
	lose(c, c->polling ? "the server is silent" : "the server does not answer");
	advance(c);
}

enum control_state control_state(const struct control *c)
{
	return c->state;
}

const char *control_auth_url(const struct control *c)
{
	return c->auth_url;
}

const char *control_last_error(const struct control *c)
{
	return c->last_error;
}
