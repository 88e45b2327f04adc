#include "common/http/http2.h"

#include <malloc.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/http/http2_session.h"
#include "tests/lib/test.h"

/* A client and a server in memory. What each side saw is kept for the test to look at. */
static struct lab {
	struct http2 *c, *s;
	struct buf c_out, s_out;
	size_t step;   /* bytes fed at a time */
	size_t budget; /* of each write */
	/* server */
	unsigned requests, s_closed, drained, s_acks;
	uint32_t s_error;
	struct http2_stream *held; /* streaming requests wait here */
	char method[16], path[64], tag[64];
	struct buf body;
	/* client */
	unsigned responses, status, c_closed, c_acks, goaways;
	uint32_t c_error;
	struct buf data;
} lab;

static void on_request(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx)
{
	(void)ctx;
	lab.requests++;
	snprintf(lab.method, sizeof lab.method, "%.*s", (int)m->method.n, m->method.p);
	snprintf(lab.path, sizeof lab.path, "%.*s", (int)m->path.n, m->path.p);
	struct bytes tag = http2_find_header(m, "ts-lb");
	snprintf(lab.tag, sizeof lab.tag, "%.*s", (int)tag.n, tag.n ? (const char *)tag.p : "");
	buf_clear(&lab.body);
	buf_append(&lab.body, m->body);
	if (bytes_eq_str(m->path, "/stream")) {
		assert_ok(http2_respond_start(h, s, 200, NULL, 0));
		lab.held = s;
	} else if (bytes_eq_str(m->path, "/hold")) {
		lab.held = s;
	} else {
		const struct http2_header type = { BYTES_LIT("content-type"), BYTES_LIT("application/json") };

		assert_ok(http2_respond(h, s, 200, &type, 1, m->body));
		assert_int_equal(http2_respond(h, s, 200, NULL, 0, m->body), ERR_STATE);
	}
}

static void on_drained(struct http2 *h, struct http2_stream *s, void *ctx)
{
	(void)h;
	(void)s;
	(void)ctx;
	lab.drained++;
}

static void on_s_closed(struct http2 *h, struct http2_stream *s, uint32_t error, void *ctx)
{
	(void)h;
	(void)ctx;
	lab.s_closed++;
	lab.s_error = error;
	assert_int_equal(http2_queued(s), 0); /* chunks are back before: their memory may be the owner's, and go now */
	if (s == lab.held)
		lab.held = NULL;
}

static void on_s_ack(struct http2 *h, void *ctx)
{
	(void)h;
	(void)ctx;
	lab.s_acks++;
}

static void on_response(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx)
{
	(void)h;
	(void)s;
	(void)ctx;
	lab.responses++;
	lab.status = m->status;
}

static void on_data(struct http2 *h, struct http2_stream *s, struct bytes data, void *ctx)
{
	(void)h;
	(void)s;
	(void)ctx;
	buf_append(&lab.data, data);
}

static void on_c_closed(struct http2 *h, struct http2_stream *s, uint32_t error, void *ctx)
{
	(void)h;
	(void)s;
	(void)ctx;
	lab.c_closed++;
	lab.c_error = error;
}

static void on_goaway(struct http2 *h, uint32_t error, void *ctx)
{
	(void)h;
	(void)ctx;
	lab.goaways++;
	lab.c_error = error;
}

static struct bytes on_too_big(struct http2 *h, const struct http2_message *m, void *ctx)
{
	(void)h;
	(void)ctx;
	return bytes_eq_str(m->path, "/words") ? BYTES_LIT("{\"Error\":\"too large\"}") : (struct bytes){ 0 };
}

static const struct http2_events server_ev = {
	.on_too_big = on_too_big,
	.on_request = on_request, .on_drained = on_drained, .on_closed = on_s_closed, .on_ping_ack = on_s_ack,
};
static const struct http2_events client_ev = {
	.on_response = on_response, .on_data = on_data, .on_closed = on_c_closed, .on_goaway = on_goaway,
};

static void lab_start(const struct http2_opts *so, const struct http2_opts *co)
{
	lab = (struct lab){
		.c_out = buf_make(4 << 20), .s_out = buf_make(4 << 20), .body = buf_make(4 << 20), .data = buf_make(8 << 20),
		.step = 100000, .budget = 50000,
	};
	assert_ok(http2_new(so, &server_ev, NULL, &lab.s));
	assert_ok(http2_new(co, &client_ev, NULL, &lab.c));
}

static int set_up(void **state)
{
	(void)state;
	lab_start(&(struct http2_opts){ 0 }, &(struct http2_opts){ .client = true });
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	http2_free(lab.c);
	http2_free(lab.s);
	buf_done(&lab.c_out);
	buf_done(&lab.s_out);
	buf_done(&lab.body);
	buf_done(&lab.data);
	return 0;
}

static err feed(struct http2 *to, struct buf *b, int64_t now_ms)
{
	err e = OK;

	while (e == OK && buf_len(b)) {
		struct bytes part = test_exact(bytes_first(buf_view(b), lab.step));

		e = http2_read(to, part, now_ms);
		buf_consume(b, part.n);
		test_exact_free(part);
	}
	return e;
}

/* Moves bytes until both are silent. */
static void settle(void)
{
	for (int i = 0; i < 100000; i++) {
		assert_ok(http2_write(lab.c, &lab.c_out, lab.budget));
		assert_ok(http2_write(lab.s, &lab.s_out, lab.budget));
		if (!buf_len(&lab.c_out) && !buf_len(&lab.s_out))
			return;
		assert_ok(feed(lab.s, &lab.c_out, 0));
		assert_ok(feed(lab.c, &lab.s_out, 0));
	}
	fail_msg("the two never come to rest");
}

static struct http2_stream *ask(const char *method, const char *path, struct bytes body)
{
	const struct http2_header lb = { BYTES_LIT("ts-lb"), BYTES_LIT("nodekey:1") };
	struct http2_stream *s;

	assert_ok(http2_request(lab.c, method, "unused", path, &lb, 1, body, &s));
	return s;
}

static void a_request_is_answered(void **state)
{
	(void)state;
	for (size_t step = 1; step < 5000; step = step * 9 + 1) {
		lab.step = lab.budget = step;
		buf_clear(&lab.data);
		ask("GET", "/machine/tka/sync/head?x=1", BYTES_LIT("a GET may have a body"));
		settle();
		assert_string_equal(lab.method, "GET");
		assert_string_equal(lab.path, "/machine/tka/sync/head?x=1");
		assert_string_equal(lab.tag, "nodekey:1");
		assert_int_equal(lab.status, 200);
		assert_true(bytes_eq_str(buf_view(&lab.data), "a GET may have a body"));
		assert_int_equal(lab.c_error, 0);
	}
	assert_int_equal(lab.requests, lab.c_closed);
	assert_int_equal(lab.requests, lab.s_closed);
	assert_int_equal(http2_streams(lab.s), 0);
}

/* Trap T4: 65,535 bytes in all is where a server stops that gives back stream windows only. */
static void many_small_bodies_never_stall(void **state)
{
	char body[3000];

	(void)state;
	memset(body, 'b', sizeof body);
	for (int i = 0; i < 100; i++) {
		ask("POST", "/machine/map", bytes_of(body, sizeof body));
		settle();
		assert_int_equal(buf_len(&lab.body), sizeof body);
	}
	assert_int_equal(lab.c_closed, 100);
}

static void large_bodies_have_a_ceiling(void **state)
{
	size_t n = HTTP2_BODY_MAX;
	uint8_t *big = calloc(1, n + 1);

	(void)state;
	ask("POST", "/x", bytes_of(big, n));
	settle();
	assert_int_equal(lab.status, 200);
	assert_int_equal(buf_len(&lab.data), n);
	ask("POST", "/x", bytes_of(big, n + 1));
	settle();
	assert_int_equal(lab.status, 413);
	assert_int_equal(lab.requests, 1);
	assert_int_equal(lab.c_closed, 2);
	assert_int_equal(http2_streams(lab.s), 0);
	buf_clear(&lab.data);
	ask("POST", "/words", bytes_of(big, n + 1)); /* told in words where its owner has some */
	settle();
	assert_int_equal(lab.status, 200);
	assert_true(bytes_eq_str(buf_view(&lab.data), "{\"Error\":\"too large\"}"));
	assert_int_equal(lab.requests, 1);
	ask("POST", "/x", BYTES_LIT("goes on"));
	settle();
	assert_int_equal(lab.status, 200);
	free(big);
}

static void long_headers_are_refused(void **state)
{
	static char text[9000];
	struct http2_stream *s;
	const struct http2_header big[] = {
		{ BYTES_LIT("x-a"), bytes_of(text, sizeof text) }, { BYTES_LIT("x-b"), bytes_of(text, sizeof text) },
	};

	(void)state;
	memset(text, 'h', sizeof text);
	assert_ok(http2_request(lab.c, "GET", "h", "/", big, 1, (struct bytes){ 0 }, &s));
	settle();
	assert_int_equal(lab.status, 200);
	assert_ok(http2_request(lab.c, "GET", "h", "/", big, 2, (struct bytes){ 0 }, &s));
	settle();
	assert_int_equal(lab.status, 431);
	assert_int_equal(lab.requests, 1);
	assert_int_equal(http2_request(lab.c, "GET", "h", "/", (const struct http2_header[]){ { BYTES_LIT("X Y"), BYTES_LIT("") } },
			1, (struct bytes){ 0 }, &s), ERR_INVALID);
}

struct block {
	struct http2_chunk chunk;
	unsigned refs;
};

static void block_done(struct http2_chunk *c)
{
	container_of(c, struct block, chunk)->refs--;
}

static void a_stream_lives_on_borrowed_chunks(void **state)
{
	static uint8_t bytes[40000];
	struct block a = { { .data = bytes_of(bytes, sizeof bytes), .done = block_done }, 1 };
	struct block b = { { .data = bytes_of(bytes, 7), .done = block_done }, 1 };

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7);
	ask("POST", "/stream", BYTES_LIT("{}"));
	settle();
	assert_int_equal(lab.status, 200); /* the head leaves before any data */
	assert_int_equal(buf_len(&lab.data), 0);
	assert_false(http2_wants_write(lab.s));
	http2_push(lab.s, lab.held, &a.chunk);
	http2_push(lab.s, lab.held, &b.chunk);
	assert_true(http2_wants_write(lab.s));
	assert_int_equal(http2_queued(lab.held), sizeof bytes + 7);
	/* A small budget takes little, and the chunk stays. */
	assert_ok(http2_write(lab.s, &lab.s_out, 1000));
	assert_int_equal(buf_len(&lab.s_out), 1009);
	assert_int_equal(a.refs, 1);
	assert_int_equal(lab.drained, 0);
	settle();
	assert_int_equal(a.refs + b.refs, 0);
	assert_int_equal(lab.drained, 1);
	assert_int_equal(buf_len(&lab.data), sizeof bytes + 7);
	assert_memory_equal(buf_view(&lab.data).p, bytes, sizeof bytes);
	assert_int_equal(lab.c_closed, 0);
	http2_finish(lab.s, lab.held);
	settle();
	assert_int_equal(lab.c_closed, 1);
	assert_int_equal(lab.c_error, 0);
}

static void chunks_come_back_when_the_stream_dies(void **state)
{
	struct block a = { { .data = BYTES_LIT("never read"), .done = block_done }, 1 };

	(void)state;
	struct http2_stream *s = ask("POST", "/stream", BYTES_LIT("{}"));
	settle();
	http2_push(lab.s, lab.held, &a.chunk);
	http2_reset(lab.c, s, NGHTTP2_CANCEL);
	assert_ok(http2_write(lab.c, &lab.c_out, lab.budget));
	assert_ok(feed(lab.s, &lab.c_out, 0));
	assert_int_equal(a.refs, 0);
	assert_int_equal(lab.s_closed, 1);
	assert_int_equal(lab.s_error, NGHTTP2_CANCEL);
	/* And with the session. */
	a.refs = 1;
	ask("POST", "/stream", BYTES_LIT("{}"));
	settle();
	http2_push(lab.s, lab.held, &a.chunk);
	http2_free(lab.s);
	lab.s = NULL;
	assert_int_equal(a.refs, 0);
	assert_int_equal(lab.s_closed, 2);
}

static void a_full_window_blocks_and_resumes(void **state)
{
	static uint8_t bytes[3000];
	struct block a = { { .data = bytes_of(bytes, sizeof bytes), .done = block_done }, 1 };

	tear_down(state);
	lab_start(&(struct http2_opts){ 0 }, &(struct http2_opts){ .client = true, .window = 1000, .manual_window = true });
	struct http2_stream *s = ask("GET", "/stream", (struct bytes){ 0 });
	settle();
	http2_push(lab.s, lab.held, &a.chunk);
	http2_finish(lab.s, lab.held);
	for (size_t got = 1000; got <= 3000; got += 1000) {
		settle();
		assert_int_equal(buf_len(&lab.data), got);
		assert_int_equal(a.refs, got < 3000);
		if (got < 3000) {
			assert_false(http2_wants_write(lab.s));
			http2_consume(lab.c, s, 1000);
		}
	}
	settle();
	assert_int_equal(lab.c_closed, 1);
}

/* What the windows really allow. */
static void windows_are_kept(uint32_t all, uint32_t one)
{
	int64_t whole = nghttp2_session_get_remote_window_size(lab.s->ng), stream = nghttp2_session_get_stream_remote_window_size(lab.s->ng, lab.held->id);

	assert_in_range(whole - lab.s->debt, 0, all);
	assert_in_range(stream - lab.held->debt, 0, one);
}

static void sending_now_keeps_order_and_windows(void **state)
{
	static uint8_t text[2000];
	unsigned now = 0, pushed = 0;
	size_t given = 0, seen = 0;

	tear_down(state);
	lab_start(&(struct http2_opts){ 0 }, &(struct http2_opts){ .client = true, .window = 3000, .manual_window = true });
	struct http2_stream *s = ask("GET", "/stream", (struct bytes){ 0 });
	assert_ok(http2_write(lab.c, &lab.c_out, lab.budget));
	assert_ok(feed(lab.s, &lab.c_out, 0));
	assert_non_null(lab.held);
	assert_false(http2_send_now(lab.s, lab.held, BYTES_LIT("before its head"), &lab.s_out));
	settle();
	for (int i = 0; i < 4000; i++) {
		size_t n = 1 + (size_t)random_below(random_below(8) ? 100 : sizeof text);

		lab.step = 1 + (size_t)random_below(300);
		for (size_t k = 0; k < n; k++)
			text[k] = (uint8_t)((given + k) * 31 % 251);
		if (http2_queued(lab.held) == 0 && random_below(4)) {
			if (http2_send_now(lab.s, lab.held, bytes_of(text, n), &lab.s_out)) {
				given += n;
				now++;
			}
		} else if (http2_queued(lab.held) < 4000) {
			assert_ok(http2_push_copy(lab.s, lab.held, bytes_of(text, n)));
			given += n;
			pushed++;
		}
		if (random_below(3))
			settle();
		windows_are_kept(65535, 3000);
		/* The client has taken in some of it. */
		size_t have = buf_len(&lab.data), eat = (size_t)random_below(have + 1);
		for (size_t k = 0; k < eat; k++)
			assert_int_equal(buf_view(&lab.data).p[k], (seen + k) * 31 % 251);
		seen += eat;
		buf_consume(&lab.data, eat);
		if (eat)
			http2_consume(lab.c, s, eat);
	}
	settle();
	while (seen < given) { /* the rest comes as the client takes it in */
		size_t have = buf_len(&lab.data);

		assert_int_not_equal(have, 0);
		seen += have;
		buf_clear(&lab.data);
		http2_consume(lab.c, s, have);
		settle();
	}
	assert_int_equal(seen, given);
	assert_in_range(now, 500, 4000);
	assert_in_range(pushed, 200, 4000);
	http2_finish(lab.s, lab.held);
	settle();
	assert_int_equal(lab.c_closed, 1);
	assert_int_equal(lab.c_error, 0);
}

static void nothing_is_sent_now_on_a_connection_that_ends(void **state)
{
	static uint8_t much[HTTP2_SEND_NOW_MAX + 1];

	(void)state;
	ask("GET", "/stream", (struct bytes){ 0 });
	settle();
	assert_false(http2_send_now(lab.s, lab.held, bytes_of(much, sizeof much), &lab.s_out));
	assert_true(http2_send_now(lab.s, lab.held, bytes_of(much, sizeof much - 1), &lab.s_out));
	assert_ok(http2_push_copy(lab.s, lab.held, BYTES_LIT("first")));
	assert_false(http2_send_now(lab.s, lab.held, BYTES_LIT("it would overtake"), &lab.s_out));
	settle();
	assert_int_equal(buf_len(&lab.data), sizeof much - 1 + 5);
	http2_terminate(lab.s, NGHTTP2_NO_ERROR);
	assert_false(http2_send_now(lab.s, lab.held, BYTES_LIT("too late"), &lab.s_out));
}

static void pings_are_answered(void **state)
{
	(void)state;
	settle();
	assert_ok(http2_ping(lab.s));
	settle();
	assert_int_equal(lab.s_acks, 1);
}

static void a_rapid_reset_is_stopped(void **state)
{
	err e = OK;
	unsigned i;

	(void)state;
	settle();
	for (i = 0; i < 1000 && e == OK; i++) {
		struct http2_stream *s = ask("POST", "/hold", BYTES_LIT("{}"));

		assert_ok(http2_write(lab.c, &lab.c_out, lab.budget));
		http2_reset(lab.c, s, NGHTTP2_CANCEL);
		assert_ok(http2_write(lab.c, &lab.c_out, lab.budget));
		e = feed(lab.s, &lab.c_out, 1000);
	}
	assert_int_equal(e, ERR_BUSY);
	assert_int_equal(i, HTTP2_RESETS_BURST + 1);
	assert_ok(http2_write(lab.s, &lab.s_out, lab.budget));
	(void)!feed(lab.c, &lab.s_out, 0);
	assert_int_equal(lab.goaways, 1);
	assert_int_equal(lab.c_error, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_true(http2_is_over(lab.s));
}

static void a_patient_client_may_reset_for_ever(void **state)
{
	(void)state;
	settle();
	for (int i = 0; i < 1000; i++) {
		struct http2_stream *s = ask("POST", "/hold", BYTES_LIT("{}"));

		assert_ok(http2_write(lab.c, &lab.c_out, lab.budget));
		http2_reset(lab.c, s, NGHTTP2_CANCEL);
		assert_ok(http2_write(lab.c, &lab.c_out, lab.budget));
		assert_ok(feed(lab.s, &lab.c_out, i * 150)); /* one each 150 ms */
		assert_ok(http2_write(lab.s, &lab.s_out, lab.budget));
		assert_ok(feed(lab.c, &lab.s_out, 0));
	}
}

/* Frames by hand: type, flags, stream, payload, count times. */
static err flood(uint8_t type, uint8_t flags, uint8_t stream, const char *payload, size_t n, int count, bool answer)
{
	err e = OK;
	const uint8_t head[9] = { 0, 0, (uint8_t)n, type, flags, 0, 0, 0, stream };

	for (int i = 0; i < count && e == OK; i++) {
		buf_append(&lab.c_out, bytes_of(head, 9));
		buf_append(&lab.c_out, bytes_of(payload, n));
		e = feed(lab.s, &lab.c_out, 0);
		if (answer) {
			assert_ok(http2_write(lab.s, &lab.s_out, lab.budget));
			buf_clear(&lab.s_out);
		}
	}
	return e;
}

static void floods_end_the_session(void **state)
{
	static const struct {
		uint8_t type, flags;
		const char *payload;
		size_t n;
		bool answer;
	} kinds[] = {
		{ 6, 0, "12345678", 8, true },  /* PING, answers read */
		{ 6, 0, "12345678", 8, false }, /* PING, answers left */
		{ 4, 0, "", 0, true },		/* SETTINGS */
		{ 4, 0, "\0\x4\0\0\xff\xff", 6, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		tear_down(state);
		set_up(state);
		settle();
		assert_int_equal(flood(kinds[i].type, kinds[i].flags, 0, kinds[i].payload, kinds[i].n, 5000, kinds[i].answer),
				ERR_BUSY);
	}
	/* HEADERS that never end, 600 CONTINUATIONs. */
	tear_down(state);
	set_up(state);
	settle();
	assert_int_equal(flood(1, 0, 1, "\x82", 1, 1, true), OK);
	assert_int_not_equal(flood(9, 0, 1, "\x40\x01x\x01y", 5, 600, true), OK);
}

static void garbage_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(http2_read(lab.s, BYTES_LIT("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0), ERR_MALFORMED);
	tear_down(state);
	set_up(state);
	settle();
	assert_ok(flood(0, 0, 9, "x", 1, 1, false)); /* DATA on an idle stream */
	assert_ok(http2_write(lab.s, &lab.s_out, lab.budget));
	assert_true(http2_is_over(lab.s));
	assert_int_equal(flood(6, 0, 0, "12345678", 8, 1, false), ERR_MALFORMED);
}

static void too_many_streams_are_refused(void **state)
{
	(void)state;
	settle(); /* the client knows the limit now and keeps the rest back */
	for (int i = 0; i < HTTP2_STREAMS_MAX + 5; i++)
		ask("POST", "/hold", BYTES_LIT("{}"));
	settle();
	assert_int_equal(lab.requests, HTTP2_STREAMS_MAX);
	assert_int_equal(http2_streams(lab.s), HTTP2_STREAMS_MAX);
}

static void goaway_lets_open_streams_finish(void **state)
{
	struct http2_stream *s;

	(void)state;
	ask("GET", "/stream", (struct bytes){ 0 });
	settle();
	http2_goaway(lab.s);
	settle();
	assert_int_equal(lab.goaways, 1);
	assert_int_equal(http2_request(lab.c, "GET", "h", "/", NULL, 0, (struct bytes){ 0 }, &s), ERR_CLOSED);
	assert_ok(http2_push_copy(lab.s, lab.held, BYTES_LIT("last words")));
	http2_finish(lab.s, lab.held);
	settle();
	assert_true(bytes_eq_str(buf_view(&lab.data), "last words"));
	assert_int_equal(lab.c_closed, 1);
	assert_true(http2_is_over(lab.s));
}

static void terminate_says_goodbye(void **state)
{
	(void)state;
	ask("GET", "/stream", (struct bytes){ 0 });
	settle();
	http2_terminate(lab.s, NGHTTP2_NO_ERROR);
	assert_ok(http2_write(lab.s, &lab.s_out, lab.budget));
	assert_ok(feed(lab.c, &lab.s_out, 0));
	assert_int_equal(lab.goaways, 1);
	assert_true(http2_is_over(lab.s));
}

static void fed_any(struct bytes in, void *ctx)
{
	static const struct http2_events none;
	struct http2 *s;
	struct buf out = buf_make(1 << 20);

	(void)ctx;
	assert_ok(http2_new(&(struct http2_opts){ 0 }, &none, NULL, &s));
	(void)!http2_read(s, in, 0);
	(void)!http2_write(s, &out, 100000);
	http2_free(s);
	buf_done(&out);
}

static void torture(void **state)
{
	(void)state;
	ask("POST", "/x", BYTES_LIT("hello"));
	assert_ok(http2_write(lab.c, &lab.c_out, lab.budget));
	test_torture(buf_view(&lab.c_out), fed_any, NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_request_is_answered), T(many_small_bodies_never_stall), T(large_bodies_have_a_ceiling),
		T(long_headers_are_refused), T(a_stream_lives_on_borrowed_chunks), T(chunks_come_back_when_the_stream_dies),
		T(a_full_window_blocks_and_resumes), T(sending_now_keeps_order_and_windows),
		T(nothing_is_sent_now_on_a_connection_that_ends), T(pings_are_answered), T(a_rapid_reset_is_stopped),
		T(a_patient_client_may_reset_for_ever), T(floods_end_the_session), T(garbage_is_an_error),
		T(too_many_streams_are_refused), T(goaway_lets_open_streams_finish), T(terminate_says_goodbye), T(torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
