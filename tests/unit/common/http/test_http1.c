#include "common/http/http1.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

#define H "Host: h\r\n"

static err parse(const char *text, struct http1_request *r)
{
	struct bytes b = test_exact(bytes_str(text));
	err e = http1_parse_request(b, r);

	test_exact_free(b);
	return e;
}

static void a_request_is_taken_apart(void **state)
{
	static const char text[] = "POST /machine/map?a=1&b=%20x HTTP/1.1\r\nHost: ctl.example:443\r\nCONTENT-length:  12 \r\n"
				   "Connection: keep-alive, Upgrade\r\nUpgrade: x\r\nEmpty:\r\n\r\nbody of 12..GET";
	struct http1_request r;

	(void)state;
	assert_ok(http1_parse_request(bytes_str(text), &r));
	assert_true(bytes_eq_str(r.method, "POST"));
	assert_true(bytes_eq_str(r.target, "/machine/map?a=1&b=%20x"));
	assert_true(bytes_eq_str(r.path, "/machine/map"));
	assert_true(bytes_eq_str(r.query, "a=1&b=%20x"));
	assert_true(bytes_eq_str(http1_query(r.query, "b"), "%20x"));
	assert_null(http1_query(r.query, "c").p);
	assert_true(bytes_eq_str(r.host, "ctl.example:443"));
	assert_int_equal(r.framing, HTTP1_BODY_LENGTH);
	assert_int_equal(r.body_len, 12);
	assert_true(r.keep_alive);
	assert_true(http1_has_token(&r.headers, "connection", "upgrade"));
	assert_true(http1_has_token(&r.headers, "connection", "keep-alive"));
	assert_false(http1_has_token(&r.headers, "connection", "keep"));
	assert_non_null(http1_header(&r.headers, "empty").p);
	assert_int_equal(http1_header(&r.headers, "empty").n, 0);
	assert_null(http1_header(&r.headers, "none").p);
	assert_true(bytes_has_prefix(bytes_skip(bytes_str(text), r.head_len), BYTES_LIT("body of 12..GET")));
}

static void requests_that_pass(void **state)
{
	static const struct {
		const char *text;
		enum http1_framing framing;
		bool keep_alive;
	} good[] = {
		{ "GET / HTTP/1.1\r\n" H "\r\n", HTTP1_BODY_NONE, true },
		{ "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", HTTP1_BODY_NONE, false },
		{ "GET / HTTP/1.0\r\n\r\n", HTTP1_BODY_NONE, false },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", HTTP1_BODY_NONE, true },
		{ "POST /x HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", HTTP1_BODY_CHUNKED, true },
		{ "POST /x HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", HTTP1_BODY_NONE, true },
		{ "POST /x HTTP/1.1\r\n" H "Content-Length: 7\r\nContent-Length: 7\r\n\r\n", HTTP1_BODY_LENGTH, true },
		{ "GET /a%20b/derp HTTP/1.1\r\n" H "\r\n", HTTP1_BODY_NONE, true },
		{ "GET /derp/probe HTTP/1.1\r\n" H "X: caf\xc3\xa9\ttab\r\n\r\n", HTTP1_BODY_NONE, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct http1_request r;

		assert_ok(parse(good[i].text, &r));
		assert_int_equal(r.framing, good[i].framing);
		assert_int_equal(r.keep_alive, good[i].keep_alive);
		assert_int_equal(r.head_len, strlen(good[i].text));
	}
}

static void requests_that_are_refused(void **state)
{
	static const struct {
		const char *text;
		err e;
	} bad[] = {
		{ "GET / HTTP/1.1\n" H "\n", ERR_MALFORMED },		 /* bare LF */
		{ "GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n", ERR_MALFORMED },
		{ "GET / HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n", ERR_MALFORMED }, /* bare CR */
		{ "\r\nGET / HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", ERR_MALFORMED }, /* folded */
		{ "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n", ERR_MALFORMED },
		{ "GET / HTTP/1.1\r\n" H ": a\r\n\r\n", ERR_MALFORMED },
		{ "GET / HTTP/1.1\r\n" H "X\r\n\r\n", ERR_MALFORMED },
		{ "GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n", ERR_MALFORMED },
		{ "GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n", ERR_MALFORMED },
		{ "GET / HTTP/1.1\r\n\r\n", ERR_MALFORMED }, /* no Host */
		{ "GET / HTTP/1.1\r\n" H H "\r\n", ERR_MALFORMED },
		{ "GET http://h/ HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "OPTIONS * HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "CONNECT h:443 HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET /a b HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET  / HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET /\x80 HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET /%zz HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET /%6 HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET /#x HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET /\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET / HTTP/1.1 \r\n" H "\r\n", ERR_MALFORMED },
		{ "GET / http/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET / HTTP/2.0\r\n" H "\r\n", ERR_UNSUPPORTED },
		{ "GET / HTTP/1.2\r\n" H "\r\n", ERR_UNSUPPORTED },
		{ "G(T / HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_MALFORMED },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", ERR_MALFORMED },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", ERR_MALFORMED },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", ERR_MALFORMED },
		{ "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", ERR_MALFORMED },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", ERR_MALFORMED },
		{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", ERR_UNSUPPORTED },
		{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", ERR_UNSUPPORTED },
		{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_UNSUPPORTED },
		{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_MALFORMED },
		{ "POST /%74s2021 HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "POST /ts202%31?x HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET %2Fderp HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "GET /%2564erp HTTP/1.1\r\n" H "\r\n", ERR_MALFORMED },
		{ "\x16\x03\x01\x02", ERR_MALFORMED }, /* a TLS hello, refused at once */
		{ "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", ERR_MALFORMED },
		{ "GET / HTTP/1.1\n", ERR_MALFORMED }, /* before the head is complete */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct http1_request r;
		err e = parse(bad[i].text, &r);

		if (e != bad[i].e)
			fail_msg("%s: got %s", bad[i].text, err_text(e));
	}
	struct http1_request r;
	assert_int_equal(http1_parse_request(bytes_of("GET / HTTP/1.1\r\nHost: h\0\r\n\r\n", 29), &r), ERR_MALFORMED);
}

static void heads_are_bounded(void **state)
{
	struct buf b = buf_make(64 * 1024);
	struct http1_request r;

	(void)state;
	buf_append_str(&b, "GET / HTTP/1.1\r\n" H);
	for (int i = 0; i < HTTP1_HEADERS_MAX - 1; i++)
		buf_append_str(&b, "X: y\r\n");
	buf_append_str(&b, "\r\n");
	assert_ok(http1_parse_request(buf_view(&b), &r));
	assert_int_equal(r.headers.n, HTTP1_HEADERS_MAX);
	b.end -= 2;
	buf_append_str(&b, "X: y\r\n\r\n");
	assert_int_equal(http1_parse_request(buf_view(&b), &r), ERR_TOO_BIG);
	buf_clear(&b);
	buf_append_str(&b, "GET / HTTP/1.1\r\n" H "X: ");
	while (buf_len(&b) < HTTP1_HEAD_MAX - 4)
		buf_append_u8(&b, 'x');
	assert_int_equal(http1_parse_request(buf_view(&b), &r), ERR_TRUNCATED);
	buf_append_str(&b, "\r\n\r\n");
	assert_ok(http1_parse_request(buf_view(&b), &r));
	b.end -= 4;
	buf_append_str(&b, "x\r\n\r\n");
	assert_int_equal(http1_parse_request(buf_view(&b), &r), ERR_TOO_BIG);
	buf_done(&b);
}

static void parse_any(struct bytes in, void *ctx)
{
	struct http1_request r;
	struct http1_response s;
	size_t *whole = ctx;
	err e = http1_parse_request(in, &r);

	if (e == OK)
		assert_true(r.head_len <= in.n);
	if (whole && in.n < *whole)
		assert_int_not_equal(e, OK);
	(void)!http1_parse_response(in, false, &s);
}

static void torture(void **state)
{
	static const char request[] = "POST /ts2021?x=%41 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: a, b\r\n\r\n";
	static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n";
	size_t whole = sizeof request - 1;

	(void)state;
	for (size_t n = 0; n < whole; n++) {
		struct bytes cut = test_exact(bytes_of(request, n));
		struct http1_request r;

		assert_int_equal(http1_parse_request(cut, &r), ERR_TRUNCATED);
		test_exact_free(cut);
	}
	test_torture(bytes_of(request, whole), parse_any, &whole);
	test_torture(bytes_str(response), parse_any, NULL);
}

/* Feeds a chunked body in pieces of step bytes; the payload goes to out. Returns bytes used. */
static err walk(const char *text, size_t step, struct buf *out, size_t *total)
{
	struct http1_body b;
	struct bytes in = bytes_str(text);

	http1_body_init(&b, HTTP1_BODY_CHUNKED, 0);
	*total = 0;
	while (in.n && !b.done) {
		struct bytes piece = test_exact(bytes_first(in, step)), data;
		size_t used;
		err e = http1_body_step(&b, piece, &used, &data);

		if (e == OK)
			buf_append(out, data);
		test_exact_free(piece);
		if (e != OK)
			return e;
		assert_true(used > 0);
		*total += used;
		in = bytes_skip(in, used);
	}
	return b.done ? OK : ERR_TRUNCATED;
}

static void chunked_bodies(void **state)
{
	static const struct {
		const char *text, *payload;
		err e;
	} cases[] = {
		{ "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", "hello world", OK },
		{ "00a\r\n0123456789\r\n0\r\nTrailer: x\r\nB: c\r\n\r\n", "0123456789", OK },
		{ "0\r\n\r\n", "", OK },
		{ "5\r\nhel", "hel", ERR_TRUNCATED },
		{ "5\nhello\r\n0\r\n\r\n", "", ERR_MALFORMED },
		{ "5\r\nhelloX\r\n0\r\n\r\n", "hello", ERR_MALFORMED },
		{ "\r\n", "", ERR_MALFORMED },
		{ "-5\r\n", "", ERR_MALFORMED },
		{ "0x5\r\n", "", ERR_MALFORMED },
		{ "5 \r\nhello", "", ERR_MALFORMED },
		{ "5;\x01\r\n", "", ERR_MALFORMED },
		{ "fffffffffffffffff\r\n", "", ERR_TOO_BIG },
		{ "0\r\n folded\r\n\r\n", "", ERR_MALFORMED },
		{ "0\r\nX: a\n\r\n", "", ERR_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t step = 1; step < 40; step += 6) {
			struct buf out = buf_make(1000), more = buf_make(1000);
			size_t total;

			err e = walk(cases[i].text, step, &out, &total);
			assert_int_equal(e, cases[i].e);
			assert_true(bytes_eq_str(buf_view(&out), cases[i].payload));
			if (e == OK) { /* stops exactly where the next request begins */
				buf_printf(&more, "%sGET", cases[i].text);
				buf_append_u8(&more, 0);
				buf_clear(&out);
				assert_ok(walk((const char *)buf_view(&more).p, step, &out, &total));
				assert_int_equal(total, strlen(cases[i].text));
			}
			buf_done(&out);
			buf_done(&more);
		}
	struct buf long_line = buf_make(10000), out = buf_make(10);
	size_t total;
	buf_append_str(&long_line, "1;");
	for (int i = 0; i < 2 * HTTP1_CHUNK_LINE_MAX; i++)
		buf_append_u8(&long_line, 'x');
	buf_append_u8(&long_line, 0);
	assert_int_equal(walk((const char *)buf_view(&long_line).p, 7, &out, &total), ERR_TOO_BIG);
	buf_clear(&long_line);
	buf_append_str(&long_line, "0\r\n");
	for (int i = 0; i < HTTP1_TRAILERS_MAX / 6 + 1; i++)
		buf_append_str(&long_line, "A: b\r\n");
	buf_append_u8(&long_line, 0);
	assert_int_equal(walk((const char *)buf_view(&long_line).p, 7, &out, &total), ERR_TOO_BIG);
	buf_done(&long_line);
	buf_done(&out);
}

static void counted_bodies(void **state)
{
	struct http1_body b;
	struct bytes data;
	size_t used;

	(void)state;
	http1_body_init(&b, HTTP1_BODY_LENGTH, 5);
	assert_ok(http1_body_step(&b, BYTES_LIT("abc"), &used, &data));
	assert_int_equal(used, 3);
	assert_false(b.done);
	assert_ok(http1_body_step(&b, BYTES_LIT("deGET"), &used, &data));
	assert_int_equal(used, 2);
	assert_true(b.done);
	http1_body_init(&b, HTTP1_BODY_NONE, 0);
	assert_true(b.done);
}

static void responses(void **state)
{
	struct http1_response r;

	(void)state;
	assert_ok(http1_parse_response(BYTES_LIT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nNOISE"), false, &r));
	assert_int_equal(r.status, 101);
	assert_int_equal(r.framing, HTTP1_BODY_NONE);
	assert_ok(http1_parse_response(BYTES_LIT("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), false, &r));
	assert_int_equal(r.body_len, 3);
	assert_ok(http1_parse_response(BYTES_LIT("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), true, &r));
	assert_int_equal(r.framing, HTTP1_BODY_NONE);
	assert_ok(http1_parse_response(BYTES_LIT("HTTP/1.0 404\r\n\r\n"), false, &r));
	assert_int_equal(r.framing, HTTP1_BODY_UNTIL_CLOSE);
	assert_int_equal(http1_parse_response(BYTES_LIT("HTTP/1.1 2000 x\r\n\r\n"), false, &r), ERR_MALFORMED);
	assert_int_equal(http1_parse_response(BYTES_LIT("HTTP/1.1 099 x\r\n\r\n"), false, &r), ERR_MALFORMED);
	assert_int_equal(http1_parse_response(BYTES_LIT("SSH-2.0"), false, &r), ERR_MALFORMED);
	assert_int_equal(http1_parse_response(BYTES_LIT("HTT"), false, &r), ERR_TRUNCATED);
	assert_int_equal(http1_parse_response((struct bytes){ 0 }, false, &r), ERR_TRUNCATED);
}

static void what_is_written_parses(void **state)
{
	struct buf b = buf_make(2000);
	struct http1_request q;
	struct http1_response r;
	static const err refused[] = { ERR_MALFORMED, ERR_TOO_BIG, ERR_UNSUPPORTED };
	static const unsigned status[] = { 400, 431, 501 };

	(void)state;
	http1_put_request(&b, "GET", BYTES_LIT("/key?v=1"));
	http1_put_header(&b, "Host", BYTES_LIT("h"));
	http1_put_end(&b);
	assert_false(b.bad);
	assert_ok(http1_parse_request(buf_view(&b), &q));
	assert_true(bytes_eq_str(q.query, "v=1"));
	buf_clear(&b);
	http1_put_text(&b, 404, "not here");
	assert_ok(http1_parse_response(buf_view(&b), false, &r));
	assert_int_equal(r.status, 404);
	assert_false(r.keep_alive);
	assert_int_equal(r.head_len + r.body_len, buf_len(&b));
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct bytes t = http1_refusal(refused[i]);

		assert_ok(http1_parse_response(t, false, &r));
		assert_int_equal(r.status, status[i]);
		assert_int_equal(r.head_len + r.body_len, t.n);
	}
	buf_clear(&b);
	http1_put_header(&b, "Location", BYTES_LIT("/\r\nSet-Cookie: x"));
	assert_true(b.bad);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_taken_apart), cmocka_unit_test(requests_that_pass),
		cmocka_unit_test(requests_that_are_refused), cmocka_unit_test(heads_are_bounded), cmocka_unit_test(torture),
		cmocka_unit_test(chunked_bodies), cmocka_unit_test(counted_bodies), cmocka_unit_test(responses),
		cmocka_unit_test(what_is_written_parses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
