#include "common/http/websocket.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

static struct websocket *c, *s;
static struct buf c_out, s_out, c_data, s_data;

static int set_up(void **state)
{
	(void)state;
	c_out = buf_make(1 << 20);
	s_out = buf_make(1 << 20);
	c_data = buf_make(1 << 20);
	s_data = buf_make(1 << 20);
	return websocket_new(true, &c) == OK && websocket_new(false, &s) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	websocket_free(c);
	websocket_free(s);
	buf_done(&c_out);
	buf_done(&s_out);
	buf_done(&c_data);
	buf_done(&s_data);
	return 0;
}

static err feed(struct websocket *to, struct buf *from, size_t step, struct buf *data, struct buf *out)
{
	err e = OK;

	while (e == OK && buf_len(from)) {
		struct bytes part = test_exact(bytes_first(buf_view(from), step));

		e = websocket_read(to, part, data, out);
		buf_consume(from, part.n);
		test_exact_free(part);
	}
	return e;
}

static void bytes_flow_both_ways(void **state)
{
	enum { N = 100000 };
	struct test_rng r = { 3 };
	uint8_t *bytes = malloc(N);

	(void)state;
	rng_fill(&r, bytes, N);
	for (size_t step = 1; step < 200000; step = step * 13 + 5) {
		buf_clear(&c_data);
		buf_clear(&s_data);
		assert_ok(websocket_send(c, bytes_of(bytes, N), &c_out));
		assert_ok(websocket_send(s, bytes_of(bytes, N), &s_out));
		/* Headers: 4 messages; 10 bytes at most each, and 4 for the mask. A client's payload does not travel clear. */
		assert_true(buf_len(&s_out) <= N + 4 * 10);
		assert_null(memmem(buf_view(&c_out).p, buf_len(&c_out), bytes, 64));
		assert_ok(feed(s, &c_out, step, &s_data, &s_out));
		assert_ok(feed(c, &s_out, step, &c_data, &c_out));
		assert_true(bytes_eq(buf_view(&s_data), bytes_of(bytes, N)));
		assert_true(bytes_eq(buf_view(&c_data), bytes_of(bytes, N)));
	}
	free(bytes);
}

static void messages_to_clients_are_small(void **state)
{
	static const uint8_t zeros[WEBSOCKET_SEND_MAX + 1];

	(void)state;
	assert_ok(websocket_send(s, bytes_of(zeros, sizeof zeros), &s_out));
	/* FIN binary, 16-bit length 32768, then FIN binary of one byte. */
	assert_memory_equal(buf_view(&s_out).p, "\x82\x7e\x80\x00", 4);
	assert_memory_equal(bytes_skip(buf_view(&s_out), 4 + WEBSOCKET_SEND_MAX).p, "\x82\x01\x00", 3);
	assert_int_equal(buf_len(&s_out), 4 + WEBSOCKET_SEND_MAX + 3);
}

static void pings_are_answered(void **state)
{
	(void)state;
	assert_ok(websocket_ping(c, &c_out));
	assert_ok(feed(s, &c_out, 1, &s_data, &s_out));
	assert_memory_equal(buf_view(&s_out).p, "\x8a\x00", 2);
	assert_ok(feed(c, &s_out, 1, &c_data, &c_out));
	assert_int_equal(buf_len(&s_data) + buf_len(&c_data), 0);
}

static void closing(void **state)
{
	(void)state;
	assert_ok(websocket_send(c, BYTES_LIT("bye"), &c_out));
	assert_ok(websocket_close(c, WEBSOCKET_GOING_AWAY, &c_out));
	assert_ok(websocket_close(c, WEBSOCKET_NORMAL, &c_out));
	assert_int_equal(websocket_send(c, BYTES_LIT("x"), &c_out), ERR_CLOSED);
	assert_int_equal(feed(s, &c_out, 1000, &s_data, &s_out), ERR_CLOSED);
	assert_true(bytes_eq_str(buf_view(&s_data), "bye"));
	assert_int_equal(websocket_close_code(s), WEBSOCKET_GOING_AWAY);
	assert_memory_equal(buf_view(&s_out).p, "\x88\x02\x03\xe9", 4);
	assert_int_equal(websocket_send(s, BYTES_LIT("x"), &s_out), ERR_CLOSED);
	assert_int_equal(feed(c, &s_out, 1000, &c_data, &c_out), ERR_CLOSED);
}

/* Frames from a client by hand, with the mask 00000000. */
static void violations(void **state)
{
	static const struct {
		const char *frame;
		size_t n;
		unsigned code;
	} cases[] = {
		{ "\x81\x85\0\0\0\0hello", 11, 1003 },				 /* text */
		{ "\x82\x05hello", 7, 1002 },					 /* no mask */
		{ "\xc2\x85\0\0\0\0hello", 11, 1002 },				 /* a reserved bit: compression */
		{ "\x80\x85\0\0\0\0hello", 11, 1002 },				 /* continues nothing */
		{ "\x09\x80\0\0\0\0", 6, 0 },					 /* a ping in fragments: no code */
		{ "\x83\x80\0\0\0\0", 6, 1002 },				 /* unknown opcode */
		{ "\x82\xff\0\0\0\0\0\2\0\1\0\0\0\0x", 15, 1009 },	 /* one byte over 128 KiB */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t step = 1; step < 30; step += 20) {
			struct buf in = buf_make(100);

			tear_down(state);
			set_up(state);
			buf_append(&in, bytes_of(cases[i].frame, cases[i].n));
			if (feed(s, &in, step, &s_data, &s_out) != ERR_MALFORMED)
				fail_msg("case %zu, step %zu was taken", i, step);
			assert_int_equal(buf_len(&s_data), 0);
			struct bytes out = buf_view(&s_out);
			assert_true(out.n >= 2);
			assert_int_equal(out.p[0], 0x88);
			assert_int_equal(out.p[1], cases[i].code ? 2 : 0);
			if (cases[i].code)
				assert_int_equal(out.p[2] << 8 | out.p[3], cases[i].code);
			buf_done(&in);
		}
}

static void fragments_are_one_stream(void **state)
{
	struct buf in = buf_make(100);

	(void)state;
	buf_append(&in, bytes_of("\x02\x82\0\0\0\0ab", 8));
	buf_append(&in, bytes_of("\x89\x81\0\0\0\0p", 7)); /* a ping between them */
	buf_append(&in, bytes_of("\x80\x81\0\0\0\0c", 7));
	assert_ok(feed(s, &in, 1, &s_data, &s_out));
	assert_true(bytes_eq_str(buf_view(&s_data), "abc"));
	assert_memory_equal(buf_view(&s_out).p, "\x8a\x01p", 3);
	buf_done(&in);
}

static void full_buffers_are_told(void **state)
{
	struct buf little = buf_make(10);

	(void)state;
	assert_int_equal(websocket_send(s, BYTES_LIT("more than ten bytes"), &little), ERR_TOO_BIG);
	buf_done(&little);
	assert_ok(websocket_send(c, BYTES_LIT("more than ten bytes"), &c_out));
	assert_int_equal(feed(s, &c_out, 1000, &little, &s_out), ERR_TOO_BIG);
	buf_done(&little);
}

static void feed_any(struct bytes in, void *ctx)
{
	struct websocket *w;

	(void)ctx;
	assert_ok(websocket_new(false, &w));
	buf_clear(&s_data);
	buf_clear(&s_out);
	(void)!websocket_read(w, in, &s_data, &s_out);
	websocket_free(w);
}

static void torture(void **state)
{
	(void)state;
	assert_ok(websocket_send(c, BYTES_LIT("hello"), &c_out));
	assert_ok(websocket_ping(c, &c_out));
	assert_ok(websocket_close(c, WEBSOCKET_NORMAL, &c_out));
	test_torture(buf_view(&c_out), feed_any, NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(bytes_flow_both_ways), T(messages_to_clients_are_small), T(pings_are_answered), T(closing), T(violations),
		T(fragments_are_one_stream), T(full_buffers_are_told), T(torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
