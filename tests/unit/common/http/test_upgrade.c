#include "common/http/upgrade.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

static void detect(const char *text, struct upgrade *u)
{
	struct http1_request r;

	assert_ok(http1_parse_request(bytes_str(text), &r));
	upgrade_detect(&r, u);
}

static void answer_is(const struct upgrade *u, const char *want)
{
	static const uint8_t derp_pub[32] = { 0xab, [31] = 0x01 };
	struct buf b = buf_make(1000);

	upgrade_write_101(u, derp_pub, &b);
	assert_false(b.bad);
	buf_append_u8(&b, 0);
	assert_string_equal((const char *)buf_view(&b).p, want);
	buf_done(&b);
}

#define NATIVE "POST /ts2021 HTTP/1.1\r\nHost: h:443\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n" \
	       "Connection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n"
#define WS "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n" \
	   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void ts2021(void **state)
{
	struct upgrade u;

	(void)state;
	detect(NATIVE "X-Tailscale-Handshake: aGVsbG8=\r\n\r\n", &u);
	assert_int_equal(u.kind, UPGRADE_TS2021);
	assert_true(bytes_eq_str(bytes_of(u.initiation, u.initiation_len), "hello"));
	answer_is(&u, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n");

	detect("GET /ts2021?X-Tailscale-Handshake=%2B%2F%2B%2F HTTP/1.1\r\nHost: h\r\nOrigin: http://elsewhere\r\n"
	       "Sec-WebSocket-Protocol: tailscale-control-protocol\r\n" WS "\r\n", &u);
	assert_int_equal(u.kind, UPGRADE_TS2021_WS);
	assert_int_equal(u.initiation_len, 3);
	/* The accept value is RFC 6455's own example. */
	answer_is(&u, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
		      "Sec-WebSocket-Protocol: tailscale-control-protocol\r\n\r\n");
}

static void derp(void **state)
{
	struct upgrade u;

	(void)state;
	detect("GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n", &u);
	assert_int_equal(u.kind, UPGRADE_DERP);
	assert_false(u.fast_start);
	assert_false(u.not_ideal);
	answer_is(&u, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: 2\r\n"
		      "Derp-Public-Key: ab00000000000000000000000000000000000000000000000000000000000001\r\n\r\n");
	detect("GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\nIdeal-Node: 1a\r\n"
	       "Upgrade: derp\r\n\r\n", &u);
	assert_int_equal(u.kind, UPGRADE_DERP);
	assert_true(u.fast_start);
	assert_true(u.not_ideal);
	answer_is(&u, "");
	detect("GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nDerp-Fast-Start: 2\r\nUpgrade: DERP\r\n\r\n", &u);
	assert_false(u.fast_start);
	detect("GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", &u);
	assert_int_equal(u.kind, UPGRADE_DERP); /* raw DERP of very old clients */
	detect("GET /derp HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: foo, derp\r\nDerp-Fast-Start: 1\r\n" WS "\r\n", &u);
	assert_int_equal(u.kind, UPGRADE_DERP_WS);
	assert_false(u.fast_start);
	answer_is(&u, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: derp\r\n\r\n");
}

static void refusals(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
		const char *why;
	} cases[] = {
		{ "POST /ts2021 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "missing next protocol" },
		{ "POST /ts2021 HTTP/1.1\r\nHost: h\r\nUpgrade: tailscale-control-protocol\r\n\r\n", 400, "missing next protocol" },
		{ "POST /ts2021 HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n\r\n", 400,
				"missing next protocol" },
		{ "POST /ts2021 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 400, "unknown next protocol" },
		{ NATIVE "\r\n", 400, "missing Tailscale handshake header" },
		{ NATIVE "X-Tailscale-Handshake: ????\r\n\r\n", 400, "invalid tailscale handshake header" },
		{ "POST /ts2021 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: tailscale-control-protocol\r\n"
		  "Content-Length: 3\r\nX-Tailscale-Handshake: aGVsbG8=\r\n\r\n", 400, "upgrade request with a body" },
		{ "GET /ts2021?X-Tailscale-Handshake=aGVsbG8%3D HTTP/1.1\r\nHost: h\r\n" WS "\r\n", 400, "unknown next protocol" },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\n\r\n", 426, "DERP requires connection upgrade" },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\nUpgrade: DERP\r\n\r\n", 426, "DERP requires connection upgrade" },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: derp\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		  "Sec-WebSocket-Version: 8\r\n\r\n", 426, "WebSocket version 13 required" },
		{ "GET /derp HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: derp\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n", 400, "invalid Sec-WebSocket-Key" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = buf_make(1000);
		struct http1_response r;
		struct upgrade u;

		detect(cases[i].text, &u);
		assert_int_equal(u.kind, UPGRADE_REFUSED);
		assert_int_equal(u.status, cases[i].status);
		assert_string_equal(u.text, cases[i].why);
		upgrade_write_refusal(&u, &b);
		assert_ok(http1_parse_response(buf_view(&b), false, &r));
		assert_int_equal(r.status, cases[i].status);
		assert_int_equal(r.head_len + r.body_len, buf_len(&b));
		buf_done(&b);
	}
	struct upgrade u;
	detect("GET /derp/probe HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n", &u);
	assert_int_equal(u.kind, UPGRADE_NONE);
}

static void both_halves_agree(void **state)
{
	static const uint8_t key[16] = "0123456789abcde", pub[32];
	struct buf q = buf_make(2000), a = buf_make(2000);
	struct http1_request rq;
	struct http1_response rs;
	struct upgrade u;
	uint8_t initiation[101];

	(void)state;
	memset(initiation, 0xfb, sizeof initiation);
	upgrade_write_ts2021_request(&q, "h:443", bytes_of(initiation, sizeof initiation));
	assert_ok(http1_parse_request(buf_view(&q), &rq));
	upgrade_detect(&rq, &u);
	assert_int_equal(u.kind, UPGRADE_TS2021);
	assert_memory_equal(u.initiation, initiation, sizeof initiation);
	upgrade_write_101(&u, pub, &a);
	assert_ok(http1_parse_response(buf_view(&a), false, &rs));
	assert_true(upgrade_is_accepted(&rs, "tailscale-control-protocol", NULL));
	assert_false(upgrade_is_accepted(&rs, "DERP", NULL));
	buf_clear(&q);
	buf_clear(&a);
	upgrade_write_derp_request(&q, "h", true);
	assert_ok(http1_parse_request(buf_view(&q), &rq));
	upgrade_detect(&rq, &u);
	assert_int_equal(u.kind, UPGRADE_DERP);
	assert_true(u.fast_start);
	buf_clear(&q);
	upgrade_write_ws_request(&q, "h", BYTES_LIT("/derp"), key, "derp");
	assert_ok(http1_parse_request(buf_view(&q), &rq));
	upgrade_detect(&rq, &u);
	assert_int_equal(u.kind, UPGRADE_DERP_WS);
	upgrade_write_101(&u, pub, &a);
	assert_ok(http1_parse_response(buf_view(&a), false, &rs));
	assert_true(upgrade_is_accepted(&rs, "websocket", key));
	assert_false(upgrade_is_accepted(&rs, "websocket", pub));
	buf_done(&q);
	buf_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ts2021), cmocka_unit_test(derp), cmocka_unit_test(refusals),
		cmocka_unit_test(both_halves_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
