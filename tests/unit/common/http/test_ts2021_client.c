#include "common/http/ts2021_client.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/crypto/noise_record.h"
#include "common/http/upgrade.h"
#include "common/wire/ts2021.h"
#include "tests/lib/test.h"

/* Our node's half against the server's engines, in memory: upgrade, Noise responder, records, HTTP/2. */
static struct lab {
	struct ts2021_client c;
	struct machine_key server, node;
	size_t step;        /* bytes moved at once, both ways */
	bool early_payload; /* the server sends one */
	/* server */
	struct buf in, out;
	bool upgraded;
	struct noise_session noise;
	struct http2 *h2;
	struct buf asked; /* "METHOD path body" of the last request */
	/* client */
	unsigned status, closed;
	struct buf data;
} lab;

static void on_request(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx)
{
	(void)ctx;
	buf_clear(&lab.asked);
	buf_printf(&lab.asked, "%.*s %.*s ", (int)m->method.n, m->method.p, (int)m->path.n, m->path.p);
	buf_append(&lab.asked, m->body);
	assert_ok(http2_respond(h, s, 200, NULL, 0, m->body));
}

static const struct http2_events server_events = { .on_request = on_request };

static void on_response(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx)
{
	(void)h;
	(void)s;
	assert_ptr_equal(ctx, &lab);
	lab.status = m->status;
}

static void on_data(struct http2 *h, struct http2_stream *s, struct bytes data, void *ctx)
{
	(void)h;
	(void)s;
	(void)ctx;
	buf_append(&lab.data, data);
}

static void on_closed(struct http2 *h, struct http2_stream *s, uint32_t error, void *ctx)
{
	(void)h;
	(void)s;
	(void)ctx;
	assert_int_equal(error, 0);
	lab.closed++;
}

static const struct http2_events client_events = {
	.on_response = on_response,
	.on_data = on_data,
	.on_closed = on_closed,
};

static void start(const struct machine_pub *server_pub)
{
	assert_ok(ts2021_client_init(&lab.c,
		&(struct ts2021_client_opts){
			.machine = &lab.node, .server = server_pub, .version = 142, .host = "control.test:443" },
		&client_events, &lab));
}

static int set_up(void **state)
{
	(void)state;
	lab = (struct lab){
		.step = 1 << 20,
		.in = buf_make(1 << 20),
		.out = buf_make(4 << 20),
		.asked = buf_make(1 << 20),
		.data = buf_make(4 << 20),
	};
	machine_key_new(&lab.server);
	machine_key_new(&lab.node);
	start(&lab.server.pub);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ts2021_client_done(&lab.c);
	http2_free(lab.h2);
	buf_done(&lab.in);
	buf_done(&lab.out);
	buf_done(&lab.asked);
	buf_done(&lab.data);
	return 0;
}

static void seal(struct bytes plain)
{
	assert_ok(noise_record_seal(&lab.noise.transport, plain, &lab.out));
}

static void accept_upgrade(void)
{
	struct http1_request r;
	struct upgrade u;
	struct ts2021_initiation init;
	uint8_t response[NOISE_RESPONSE_LEN], frame[TS2021_RESPONSE_LEN];
	struct writer w = wr_init(frame, sizeof frame);

	if (http1_parse_request(buf_view(&lab.in), &r) != OK)
		return;
	upgrade_detect(&r, &u);
	assert_int_equal(u.kind, UPGRADE_TS2021);
	assert_true(bytes_eq_str(r.host, "control.test:443"));
	buf_consume(&lab.in, r.head_len);
	assert_ok(ts2021_parse_initiation(bytes_of(u.initiation, u.initiation_len), &init));
	assert_int_equal(init.version, 142);
	assert_ok(noise_respond(init.version, &lab.server, init.noise, response, &lab.noise));
	assert_true(machine_pub_eq(&lab.noise.peer, &lab.node.pub));
	upgrade_write_101(&u, NULL, &lab.out);
	ts2021_write_response(&w, bytes_of(response, sizeof response));
	buf_append(&lab.out, wr_view(&w));
	lab.upgraded = true;
	assert_ok(http2_new(&(struct http2_opts){ 0 }, &server_events, NULL, &lab.h2));
	if (lab.early_payload) {
		static const char json[] = "{\"nodeKeyChallenge\":\"chalpub:00\"}";
		uint8_t head[TS2021_EARLY_HEADER_LEN];
		struct writer hw = wr_init(head, sizeof head);

		ts2021_write_early_header(&hw, sizeof json - 1);
		/* In records of one byte and of none: their borders mean nothing. */
		for (size_t i = 0; i < hw.n; i++)
			seal(bytes_of(head + i, 1));
		seal(bytes_of(json, 5));
		seal(bytes_of(json + 5, sizeof json - 6));
	}
}

static void server_turn(void)
{
	CLEANUP(buf_done) struct buf plain = buf_make(1 << 20);

	if (!lab.upgraded)
		accept_upgrade();
	if (!lab.upgraded)
		return;
	for (;;) {
		struct bytes text;
		size_t used;
		err e = noise_record_open(&lab.noise.transport, &lab.in, &text, &used);

		if (e == ERR_TRUNCATED)
			break;
		assert_ok(e);
		assert_ok(http2_read(lab.h2, text, 0));
		buf_consume(&lab.in, used);
	}
	assert_ok(http2_write(lab.h2, &plain, 1 << 16));
	seal(buf_view(&plain));
}

/* Moves bytes until both are silent, or the client has an error. */
static err settle(void)
{
	for (int i = 0; i < 1000000; i++) {
		assert_ok(ts2021_client_flush(&lab.c));
		size_t up = MIN_OF(lab.step, buf_len(&lab.c.out));
		buf_append(&lab.in, bytes_first(buf_view(&lab.c.out), up));
		buf_consume(&lab.c.out, up);
		server_turn();
		struct bytes down = test_exact(bytes_first(buf_view(&lab.out), lab.step));
		buf_consume(&lab.out, down.n);
		err e = ts2021_client_feed(&lab.c, down, 0);
		size_t n = down.n;
		test_exact_free(down);
		if (e != OK)
			return e;
		if (!up && !n)
			return OK;
	}
	fail_msg("the two never come to rest");
	return OK;
}

static void ask_and_check(size_t body_len)
{
	CLEANUP(freep) uint8_t *body = malloc(body_len + 1);
	struct http2_stream *s;
	unsigned closed = lab.closed;

	for (size_t i = 0; i < body_len; i++)
		body[i] = (uint8_t)('a' + i % 26);
	buf_clear(&lab.data);
	lab.status = 0;
	assert_non_null(lab.c.h2);
	assert_ok(http2_request(
		lab.c.h2, "POST", "control.test", "/machine/register", NULL, 0, bytes_of(body, body_len), &s));
	assert_ok(settle());
	assert_int_equal(lab.status, 200);
	assert_int_equal(lab.closed, closed + 1);
	assert_int_equal(buf_len(&lab.data), body_len);
	assert_memory_equal(buf_view(&lab.data).p, body, body_len);
	assert_true(bytes_has_prefix(buf_view(&lab.asked), BYTES_LIT("POST /machine/register ")));
}

static void a_request_is_answered(void **state)
{
	(void)state;
	assert_ok(settle());
	assert_int_equal(buf_len(&lab.c.in), 0);
	ask_and_check(10);
	ask_and_check(300000); /* many records, and more than a window, both ways */
	ask_and_check(10);
}

static void byte_by_byte_with_an_early_payload(void **state)
{
	(void)state;
	lab.step = 1;
	lab.early_payload = true;
	assert_ok(settle());
	ask_and_check(100);
}

static void another_server_is_refused(void **state)
{
	(void)state;
	/* The client knows another key than the server has: the server cannot open the initiation. */
	struct machine_key other;
	struct http1_request r;
	struct upgrade u;
	struct ts2021_initiation init;
	uint8_t response[NOISE_RESPONSE_LEN];

	ts2021_client_done(&lab.c);
	machine_key_new(&other);
	start(&other.pub);
	assert_ok(http1_parse_request(buf_view(&lab.c.out), &r));
	upgrade_detect(&r, &u);
	assert_ok(ts2021_parse_initiation(bytes_of(u.initiation, u.initiation_len), &init));
	assert_int_equal(noise_respond(init.version, &lab.server, init.noise, response, &lab.noise), ERR_AUTH);
	/* And who answers without the key is found out. */
	uint8_t frame[TS2021_RESPONSE_LEN];
	struct writer w = wr_init(frame, sizeof frame);
	random_fill(response, sizeof response);
	ts2021_write_response(&w, bytes_of(response, sizeof response));
	upgrade_write_101(&u, NULL, &lab.out);
	buf_append(&lab.out, wr_view(&w));
	assert_int_equal(ts2021_client_feed(&lab.c, buf_view(&lab.out), 0), ERR_AUTH);
	assert_null(lab.c.h2);
}

static void refusals_are_told(void **state)
{
	(void)state;
	uint8_t frame[100];
	struct writer w = wr_init(frame, sizeof frame);

	assert_int_equal(ts2021_client_feed(
				 &lab.c, BYTES_LIT("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), 0),
		ERR_DENIED);
	assert_string_equal(lab.c.why, "HTTP status 503 instead of an upgrade");

	ts2021_client_done(&lab.c);
	start(&lab.server.pub);
	ts2021_write_error(&w, BYTES_LIT("wrong \x1b[31m size"));
	buf_append_str(&lab.out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\n"
				 "Connection: upgrade\r\n\r\n");
	buf_append(&lab.out, wr_view(&w));
	assert_int_equal(ts2021_client_feed(&lab.c, buf_view(&lab.out), 0), ERR_DENIED);
	assert_string_equal(lab.c.why, "server error: wrong ?[31m size");
}

static void a_changed_record_ends_it(void **state)
{
	(void)state;
	assert_ok(settle());
	seal(BYTES_LIT("anything"));
	struct bytes b = buf_view(&lab.out);
	lab.out.p[lab.out.at + b.n - 1] ^= 1;
	assert_int_equal(ts2021_client_feed(&lab.c, b, 0), ERR_AUTH);
}

static void a_head_without_end(void **state)
{
	(void)state;
	err e = OK;

	assert_ok(ts2021_client_feed(&lab.c, BYTES_LIT("HTTP/1.1 101 Switching Protocols\r\nX: "), 0));
	for (int i = 0; i < 10000 && e == OK; i++)
		e = ts2021_client_feed(&lab.c, BYTES_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 0);
	assert_int_not_equal(e, OK);
	assert_in_range(lab.c.in.cap, 0, 128 << 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_request_is_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(byte_by_byte_with_an_early_payload, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_server_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refusals_are_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_changed_record_ends_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_head_without_end, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
