#include "derp/http.h"

#include <stdio.h>

#include "tests/lib/test.h"

static char got[2048];

/* The answer to a request head with these lines; NULL: none. */
static const char *ask(const char *head, const char *plain_host)
{
	struct http1_request r;
	struct buf out = buf_make(sizeof got - 1);
	char text[512];
	int n = snprintf(text, sizeof text, "%s\r\nHost: h\r\n\r\n", head);
	bool answered = true;

	assert_ok(http1_parse_request(bytes_of(text, (size_t)n), &r));
	if (plain_host)
		derp_http_answer_plain(&r, plain_host, &out);
	else
		answered = derp_http_answer(&r, &out);
	assert_false(out.bad);
	assert_ok(bytes_copy(got, sizeof got - 1, buf_view(&out)));
	got[buf_len(&out)] = 0;
	buf_done(&out);
	return answered ? got : NULL;
}

static bool starts(const char *s, const char *with)
{
	return bytes_has_prefix(bytes_str(s), bytes_str(with));
}

static void probes(void **state)
{
	(void)state;
	assert_true(starts(ask("GET /derp/probe HTTP/1.1", NULL), "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(got, "\r\nAccess-Control-Allow-Origin: *\r\n"));
	assert_non_null(strstr(got, "\r\nContent-Length: 0\r\n"));
	assert_true(starts(ask("HEAD /derp/latency-check HTTP/1.1", NULL), "HTTP/1.1 200 OK\r\n"));
	assert_true(starts(ask("POST /derp/latency-check HTTP/1.1", NULL), "HTTP/1.1 405 "));
	assert_null(ask("GET /derp/probe/ HTTP/1.1", NULL)); /* paths are exact */
	assert_null(ask("GET /other HTTP/1.1", NULL));
}

static void challenge(void **state)
{
	char head[256];

	(void)state;
	assert_true(starts(ask("GET /generate_204?t=1 HTTP/1.1\r\nX-Tailscale-Challenge: ts_a.B-9:x", NULL), "HTTP/1.1 204 "));
	assert_non_null(strstr(got, "\r\nX-Tailscale-Response: response ts_a.B-9:x\r\n"));
	assert_non_null(strstr(got, "no-transform"));
	assert_null(strstr(got, "Content-Length")); /* RFC 9110 8.6: never with 204 */
	ask("GET /generate_204 HTTP/1.1\r\nX-Tailscale-Challenge: a b", NULL);
	assert_null(strstr(got, "Response"));
	ask("GET /generate_204 HTTP/1.1", NULL);
	assert_null(strstr(got, "Response"));
	snprintf(head, sizeof head, "GET /generate_204 HTTP/1.1\r\nX-Tailscale-Challenge: %064d", 1);
	ask(head, NULL);
	assert_non_null(strstr(got, "Response"));
	snprintf(head, sizeof head, "GET /generate_204 HTTP/1.1\r\nX-Tailscale-Challenge: %065d", 1);
	ask(head, NULL);
	assert_null(strstr(got, "Response"));
}

static void plain_port(void **state)
{
	(void)state;
	assert_true(starts(ask("GET /a?b=c HTTP/1.1", "relay.example"), "HTTP/1.1 302 "));
	assert_non_null(strstr(got, "\r\nLocation: https://relay.example/a?b=c\r\n"));
	assert_true(starts(ask("POST / HTTP/1.1", "relay.example"), "HTTP/1.1 400 "));
	assert_true(starts(ask("GET /generate_204 HTTP/1.1", "relay.example"), "HTTP/1.1 204 "));
	assert_true(starts(ask("GET /bootstrap-dns HTTP/1.1", NULL), "HTTP/1.1 200 "));
	assert_non_null(strstr(got, "\r\n\r\n{}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probes),
		cmocka_unit_test(challenge),
		cmocka_unit_test(plain_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
