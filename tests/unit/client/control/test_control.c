#include "client/control/control.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/control/link.h"
#include "common/base/cleanup.h"
#include "common/base/writer.h"
#include "common/crypto/noise_record.h"
#include "common/http/http2.h"
#include "common/http/upgrade.h"
#include "common/wire/ts2021.h"
#include "common/wire/zframe.h"
#include "tests/lib/test.h"

#define KEY64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FULL                                                                                                           \
	"{\"Node\":{\"ID\":1,\"StableID\":\"n1\",\"Name\":\"a.t.net.\",\"Key\":\"nodekey:" KEY64                         \
	"\",\"Addresses\":[\"100.64.0.1/32\"],\"MachineAuthorized\":true}}"

/* The engine against a scripted server, in memory: what it answers to a register is text set by the test. */
static struct lab {
	struct control *c;
	struct control_self self;
	struct machine_key machine, server;
	struct node_key node;
	struct node_pub old;
	struct disco_pub disco;
	struct nl_pub nl;
	int64_t now;
	size_t step;
	/* server */
	uint64_t link;
	struct buf in, out;
	bool upgraded;
	struct noise_session noise;
	struct http2 *h2;
	struct http2_stream *poll, *followup;
	const char *answer; /* to a register */
	unsigned status, registers, polls, lites, replies, retry_after, poll_status;
	char body[8192];    /* of the last register */
	char lite[8192], reply[8192], reply_path[200];
	/* events */
	unsigned maps, fresh, urls, registered, refused, new_keys, outs;
	bool told, mute; /* mute: what is no register, map or lite update is not answered */
	err map_err;
	char url[300], refusal[300];
	enum control_state state;
} lab;

static void text_of(char out[8192], struct bytes b)
{
	size_t n = MIN_OF(b.n, (size_t)8191);

	if (n)
		memcpy(out, b.p, n);
	out[n] = 0;
}

/* ---- the server ---------------------------------------------------------------------------------------------------- */

static void send_map(const char *json)
{
	CLEANUP(buf_done) struct buf packed = buf_make(1 << 20), framed = buf_make(1 << 20);

	zframe_store(&packed, bytes_str(json));
	map_frame_append(&framed, buf_view(&packed), true);
	assert_ok(http2_push_copy(lab.h2, lab.poll, buf_view(&framed)));
}

static void on_register(struct http2 *h, struct http2_stream *s, struct bytes body)
{
	char seconds[16];
	struct http2_header retry = { BYTES_LIT("retry-after"), { 0 } };

	text_of(lab.body, body);
	lab.registers++;
	if (!lab.answer) { /* hangs */
		lab.followup = s;
		return;
	}
	snprintf(seconds, sizeof seconds, "%u", lab.retry_after);
	retry.value = bytes_str(seconds);
	assert_ok(http2_respond(h, s, lab.status, &retry, lab.retry_after ? 1 : 0, bytes_str(lab.answer)));
}

static void on_request(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx)
{
	char body[8192];

	(void)ctx;
	text_of(body, m->body);
	if (bytes_eq_str(m->path, "/machine/register")) {
		on_register(h, s, m->body);
	} else if (bytes_eq_str(m->path, "/machine/map") && strstr(body, "\"Stream\":true")) {
		lab.polls++;
		lab.poll = s;
		assert_ok(http2_respond_start(h, s, lab.poll_status, NULL, 0));
		if (lab.poll_status != 200) {
			assert_ok(http2_push_copy(h, s, BYTES_LIT("gone")));
			http2_finish(h, s);
		}
	} else if (bytes_eq_str(m->path, "/machine/map")) {
		assert_non_null(strstr(body, "\"OmitPeers\":true"));
		lab.lites++;
		text_of(lab.lite, m->body);
		assert_ok(http2_respond(h, s, 200, NULL, 0, (struct bytes){ 0 }));
	} else {
		lab.replies++;
		text_of(lab.reply, m->body);
		snprintf(lab.reply_path, sizeof lab.reply_path, "%.*s %.*s", (int)m->method.n, m->method.p, (int)m->path.n, m->path.p);
		if (!lab.mute)
			assert_ok(http2_respond(h, s, 204, NULL, 0, (struct bytes){ 0 }));
	}
}

static const struct http2_events server_events = { .on_request = on_request };

static void hang_up(void)
{
	http2_free(MOVE(lab.h2));
	buf_clear(&lab.in);
	buf_clear(&lab.out);
	lab.upgraded = false;
	lab.poll = lab.followup = NULL;
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
	buf_consume(&lab.in, r.head_len);
	assert_ok(ts2021_parse_initiation(bytes_of(u.initiation, u.initiation_len), &init));
	assert_ok(noise_respond(init.version, &lab.server, init.noise, response, &lab.noise));
	upgrade_write_101(&u, NULL, &lab.out);
	ts2021_write_response(&w, bytes_of(response, sizeof response));
	buf_append(&lab.out, wr_view(&w));
	lab.upgraded = true;
	assert_ok(http2_new(&(struct http2_opts){ 0 }, &server_events, NULL, &lab.h2));
}

static void server_turn(void)
{
	CLEANUP(buf_done) struct buf plain = buf_make(1 << 20);

	if (!lab.upgraded)
		accept_upgrade();
	while (lab.upgraded) {
		struct bytes text;
		size_t used;

		if (noise_record_open(&lab.noise.transport, &lab.in, &text, &used) != OK)
			break;
		assert_ok(http2_read(lab.h2, text, lab.now));
		buf_consume(&lab.in, used);
	}
	if (!lab.upgraded || !http2_wants_write(lab.h2))
		return;
	assert_ok(http2_write(lab.h2, &plain, 512 << 10));
	if (buf_len(&plain))
		assert_ok(noise_record_seal(&lab.noise.transport, buf_view(&plain), &lab.out));
}

/* ---- what the link does, until nothing moves ------------------------------------------------------------------------ */

static void answer_key(void)
{
	char json[200], key[KEY_TEXT_MAX];

	snprintf(json, sizeof json, "{\"legacyPublicKey\":\"mkey:%064d\",\"publicKey\":\"%s\"}", 0,
		machine_pub_text(&lab.server.pub, key));
	control_key(lab.c, bytes_str(json), lab.now);
}

static void settle(void)
{
	for (unsigned idle = 0; idle < 3; idle++) {
		if (control_want(lab.c) == CONTROL_WANT_KEY)
			answer_key();
		if (lab.link != control_link_id(lab.c) || control_want(lab.c) != CONTROL_WANT_LINK) {
			hang_up();
			lab.link = control_link_id(lab.c);
		}
		struct buf *out = control_out(lab.c);
		if (out && buf_len(out)) {
			struct bytes some = bytes_first(buf_view(out), lab.step);

			buf_append(&lab.in, some);
			buf_consume(out, some.n);
			idle = 0;
		}
		if (control_want(lab.c) != CONTROL_WANT_LINK)
			continue;
		server_turn();
		struct bytes some = test_exact(bytes_first(buf_view(&lab.out), lab.step));
		if (some.n) {
			buf_consume(&lab.out, some.n);
			control_feed(lab.c, some, lab.now);
			idle = 0;
		}
		test_exact_free(some);
	}
}

static void pass(int64_t ms)
{
	int64_t end = lab.now + ms;

	settle();
	while (control_due_ms(lab.c) <= end) {
		lab.now = MAX_OF(lab.now, control_due_ms(lab.c));
		control_tick(lab.c, lab.now);
		settle();
	}
	lab.now = end;
}

/* ---- events -------------------------------------------------------------------------------------------------------- */

static void on_state(void *ctx, enum control_state s)
{
	(void)ctx;
	lab.state = s;
}
static void on_auth_url(void *ctx, const char *url)
{
	(void)ctx;
	lab.urls++;
	snprintf(lab.url, sizeof lab.url, "%s", url);
	lab.answer = NULL; /* the follow-up hangs */
}
static void on_registered(void *ctx, const struct control_login *l)
{
	(void)ctx;
	(void)l;
	lab.registered++;
}
static bool on_new_key(void *ctx)
{
	(void)ctx;
	lab.old = lab.node.pub;
	node_key_new(&lab.node);
	lab.new_keys++;
	if (lab.new_keys == 1)
		lab.answer = "{}";
	return true;
}
static void on_refused(void *ctx, const char *text)
{
	(void)ctx;
	lab.refused++;
	snprintf(lab.refusal, sizeof lab.refusal, "%s", text);
}
static err on_map(void *ctx, struct map_update *u, bool fresh)
{
	(void)ctx;
	lab.maps++;
	lab.fresh += fresh;
	map_update_done(u);
	return lab.map_err;
}
static void on_logged_out(void *ctx, bool told)
{
	(void)ctx;
	lab.outs++;
	lab.told = told;
}

static const struct control_events events = { on_state, on_auth_url, on_registered, on_new_key, on_refused, on_map, on_logged_out, NULL, NULL };

static int set_up(void **state)
{
	(void)state;
	lab = (struct lab){ .now = 1000, .step = 1 << 20, .in = buf_make(4 << 20), .out = buf_make(4 << 20), .answer = "{}", .status = 200, .poll_status = 200 };
	machine_key_new(&lab.machine);
	machine_key_new(&lab.server);
	node_key_new(&lab.node);
	lab.self = (struct control_self){ .machine = &lab.machine, .node = &lab.node, .old_node = &lab.old, .disco = &lab.disco, .nl = &lab.nl, .host = "c.test:443", .hostname = "unit" };
	return control_new(&lab.self, &events, &lab.c) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	control_free(lab.c);
	hang_up();
	buf_done(&lab.in);
	buf_done(&lab.out);
	return 0;
}

static void start(void)
{
	control_start(lab.c, lab.now);
	settle();
}

static void synced(void)
{
	start();
	assert_int_equal(lab.polls, 1);
	send_map(FULL);
	settle();
	assert_int_equal(lab.state, CONTROL_SYNCED);
}

/* ---- tests --------------------------------------------------------------------------------------------------------- */

static void with_an_auth_key(void **state)
{
	(void)state;
	snprintf(lab.self.auth_key, sizeof lab.self.auth_key, "hskey");
	lab.step = 13;
	synced();
	assert_non_null(strstr(lab.body, "\"AuthKey\":\"hskey\""));
	assert_non_null(strstr(lab.body, "\"OldNodeKey\":\"nodekey:0000"));
	assert_int_equal(lab.registered, 1);
	assert_int_equal(lab.lites, 1);
	send_map("{\"KeepAlive\":true}");
	send_map("{\"Domain\":\"x\"}");
	settle();
	assert_int_equal(lab.maps, 2);
	assert_int_equal(lab.fresh, 1);
}

static void by_a_person(void **state)
{
	(void)state;
	lab.answer = "{\"AuthURL\":\"https://c.test/register/abc\"}";
	start();
	assert_int_equal(lab.urls, 1);
	assert_string_equal(lab.url, "https://c.test/register/abc");
	assert_int_equal(lab.registers, 2);
	assert_non_null(strstr(lab.body, "\"Followup\":\"https://c.test/register/abc\""));
	assert_int_equal(lab.state, CONTROL_NEEDS_LOGIN);
	pass(600 * 1000); /* it may take its time */
	assert_int_equal(lab.registers, 2);
	/* A broken connection: the same URL is followed again. */
	control_lost(lab.c, "cut", lab.now);
	pass(100);
	assert_int_equal(lab.urls, 1);
	assert_int_equal(lab.registers, 3);
	assert_non_null(strstr(lab.body, "\"Followup\":\"https://c.test/register/abc\""));
	assert_ok(http2_respond(lab.h2, lab.followup, 200, NULL, 0, BYTES_LIT("{\"Login\":{\"LoginName\":\"a@b\"}}")));
	settle();
	assert_int_equal(lab.registered, 1);
	assert_int_equal(lab.polls, 1);
}

static void bad_urls_are_not_shown(void **state)
{
	(void)state;
	lab.answer = "{\"AuthURL\":\"javascript:alert(1)\"}";
	start();
	assert_int_equal(lab.urls, 0);
	assert_int_equal(lab.refused, 1);
}

static void an_expired_key(void **state)
{
	(void)state;
	lab.answer = "{\"NodeKeyExpired\":true}";
	start();
	assert_int_equal(lab.new_keys, 1);
	assert_int_equal(lab.registers, 2);
	assert_null(strstr(lab.body, "\"OldNodeKey\":\"nodekey:0000"));
	assert_int_equal(lab.registered, 1);
}

static void refusals(void **state)
{
	(void)state;
	lab.answer = "{\"Error\":\"no \\u001b[31m\"}";
	start();
	assert_string_equal(lab.refusal, "no ?[31m");
	assert_int_equal(lab.state, CONTROL_WAITING);
	pass(20 * 1000);
	assert_true(lab.registers > 3 && lab.registers < 60);
	/* 429: not before the server says. */
	lab.answer = "slow";
	lab.status = 429;
	lab.retry_after = 50;
	pass(40 * 1000);
	unsigned n = lab.registers;
	pass(5 * 1000);
	assert_int_equal(lab.registers, n);
	lab.answer = "{}";
	lab.status = 200;
	pass(60 * 1000);
	assert_int_equal(lab.registered, 1);
}

static void silence_ends_the_stream(void **state)
{
	(void)state;
	synced();
	pass(100 * 1000);
	send_map("{\"KeepAlive\":true}");
	pass(100 * 1000);
	assert_int_equal(lab.polls, 1);
	pass(25 * 1000);
	assert_int_equal(lab.polls, 2);
	assert_int_equal(lab.registers, 1); /* it is known: straight to the poll */
}

/* The network changed: a lite update is asked for a sign of life, and its answer is one. */
static void a_changed_network(void **state)
{
	(void)state;
	synced();
	unsigned lites = lab.lites;
	control_network_changed(lab.c, lab.now);
	settle();
	assert_int_equal(lab.lites, lites + 1);
	pass(60 * 1000);
	assert_int_equal(lab.polls, 1);
	assert_int_equal(lab.state, CONTROL_SYNCED);
}

static void a_forgotten_node_asks_again(void **state)
{
	(void)state;
	lab.poll_status = 404;
	start();
	assert_int_equal(lab.state, CONTROL_WAITING);
	lab.poll_status = 200;
	pass(1000);
	assert_int_equal(lab.registers, 2);
	assert_int_equal(lab.polls, 2);
}

static void pings(void **state)
{
	(void)state;
	synced();
	/* POST /echo HTTP/1.1, Host: x, Content-Length: 2, "hi" */
	send_map("{\"PingRequest\":{\"URL\":\"https://unused/c2n/7\",\"Types\":\"c2n\",\"Payload\":\"UE9TVCAvZWNobyBIVFRQLzEuMQ0KSG9zdDogeA0KQ29udGVudC1MZW5ndGg6IDINCg0KaGk=\"}}");
	settle();
	assert_string_equal(lab.reply_path, "POST /c2n/7");
	assert_non_null(strstr(lab.reply, "HTTP/1.1 200"));
	assert_non_null(strstr(lab.reply, "\r\n\r\nhi"));
	/* The same URL again is no new ping; another host is never asked. */
	send_map("{\"PingRequest\":{\"URL\":\"https://unused/c2n/7\",\"Types\":\"c2n\",\"Payload\":\"R0VUIC8=\"}}");
	send_map("{\"PingRequest\":{\"URL\":\"http://10.0.0.1/x\"}}");
	settle();
	assert_int_equal(lab.replies, 1);
	send_map("{\"PingRequest\":{\"URL\":\"https://unused/p/8\",\"URLIsNoise\":true}}");
	settle();
	assert_string_equal(lab.reply_path, "HEAD /p/8");
}

/* A server that asks and does not take the answers gets no more of them. */
static void pings_without_end(void **state)
{
	char json[200];

	(void)state;
	synced();
	for (int mute = 1; mute >= 0; mute--) {
		lab.mute = mute;
		lab.replies = 0;
		for (int i = 0; i < 60; i++) {
			snprintf(json, sizeof json, "{\"PingRequest\":{\"URL\":\"https://unused/p/%d%d\",\"URLIsNoise\":true}}", mute, i);
			send_map(json);
			settle();
		}
		if (mute) {
			assert_int_equal(lab.replies, 16);
			hang_up();
			control_lost(lab.c, "gone", lab.now);
			pass(1000);
			send_map(FULL);
			settle();
			assert_int_equal(lab.state, CONTROL_SYNCED);
		}
	}
	assert_int_equal(lab.replies, 60);
}

static void lite_updates(void **state)
{
	(void)state;
	synced();
	lab.self.n_endpoints = 1;
	lab.self.endpoints[0] = (struct control_endpoint){ { addr_v4(192, 0, 2, 1), 7 }, 1 };
	lab.self.has_netinfo = true;
	lab.self.preferred_derp = 900;
	control_self_changed(lab.c);
	settle();
	assert_int_equal(lab.lites, 2);
	assert_non_null(strstr(lab.lite, "\"Endpoints\":[\"192.0.2.1:7\"],\"EndpointTypes\":[1]"));
	assert_non_null(strstr(lab.lite, "\"PreferredDERP\":900"));
	assert_int_equal(lab.polls, 1);
}

static void hostile_streams(void **state)
{
	(void)state;
	synced();
	lab.map_err = ERR_TOO_BIG;
	send_map("{\"Domain\":\"x\"}");
	settle();
	assert_int_equal(lab.state, CONTROL_WAITING);
	lab.map_err = OK;
	pass(1000);
	assert_int_equal(lab.polls, 2);
	assert_ok(http2_push_copy(lab.h2, lab.poll, BYTES_LIT("\xff\xff\xff\xff")));
	settle();
	assert_int_equal(lab.state, CONTROL_WAITING);
	pass(1000);
	send_map("{\"Domain\":");
	settle();
	assert_int_equal(lab.state, CONTROL_WAITING);
	pass(1000);
	send_map(FULL);
	settle();
	assert_int_equal(lab.state, CONTROL_SYNCED);
}

static void logout(void **state)
{
	(void)state;
	synced();
	control_logout(lab.c, lab.now);
	settle();
	assert_non_null(strstr(lab.body, "\"Expiry\":\"1970-01-01T00:02:03Z\""));
	assert_int_equal(lab.outs, 1);
	assert_true(lab.told);
	assert_int_equal(lab.state, CONTROL_IDLE);
	assert_int_equal(control_due_ms(lab.c), INT64_MAX);
}

static void another_servers_key(void **state)
{
	struct machine_key other;

	(void)state;
	control_start(lab.c, lab.now);
	machine_key_new(&other);
	struct machine_key real = lab.server;
	lab.server = other;
	answer_key();
	lab.server = real; /* not who it said it is */
	struct buf *out = control_out(lab.c);
	assert_non_null(out);
	control_lost(lab.c, "closed", lab.now);
	assert_int_equal(lab.state, CONTROL_WAITING);
	pass(1000);
	assert_int_equal(lab.polls, 1);
}

static void urls(void **state)
{
	static const char *const bad[] = { "", "x", "ftp://x", "http://", "https:///", "http://a/b", "http://u@h", "http://h:0",
		"http://h:70000", "http://h:x", "http://[::1", "http://[zz]", "http://h?x", "http://a b", "http://h\n" };
	struct link_server s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (link_parse_url(bad[i], &s) == OK)
			fail_msg("taken: %s", bad[i]);
	assert_ok(link_parse_url("https://vpn.example.com/", &s));
	assert_string_equal(s.host, "vpn.example.com:443");
	assert_true(s.secure && !s.is_private);
	assert_ok(link_parse_url("http://[fd00::1]:8080", &s));
	assert_string_equal(s.host, "[fd00::1]:8080");
	assert_true(!s.secure && s.is_private && s.port == 8080);
	assert_ok(link_parse_url("http://localhost", &s));
	assert_true(s.is_private && s.port == 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(with_an_auth_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(by_a_person, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_urls_are_not_shown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_expired_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(silence_ends_the_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_forgotten_node_asks_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pings_without_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lite_updates, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_changed_network, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hostile_streams, set_up, tear_down),
		cmocka_unit_test_setup_teardown(logout, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_servers_key, set_up, tear_down),
		cmocka_unit_test(urls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
