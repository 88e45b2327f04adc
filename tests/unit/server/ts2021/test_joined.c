/* Both halves of ts2021 joined: our client engine and reader of map streams against the server's session, rpc and
 * stream, over a socket pair. The core is this test: it takes the events that the session posts and answers them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/http/ts2021_client.h"
#include "common/http/upgrade.h"
#include "common/net/sock.h"
#include "common/wire/map_reader.h"
#include "server/core/runner.h"
#include "server/map/part.h"
#include "server/ts2021/session.h"
#include "tests/lib/test.h"

enum { EVENTS_MAX = 64, BIG = 3 << 20, TURNS_MAX = 20000 };

static struct lab {
	struct loop *loop;
	struct limits *limits;
	struct front_opts opts;
	struct front_counters counters;
	struct wire wire;
	struct machine_key server, node;
	struct node_key node_key;
	struct ts2021_client c;
	bool c_open; /* c is initialised */
	int fd;      /* the client's end; -1: closed */
	size_t step; /* bytes that the client moves at once */
	bool server_closed;
	/* what the session posted */
	struct event *event[EVENTS_MAX];
	size_t n_events;
	err post_result;
	unsigned rounds_done;
	/* what the client saw */
	unsigned status, closed, goaways;
	uint32_t closed_error;
	struct buf data;
	struct map_reader maps;
	struct http2_stream *map_stream;
} lab;

/* ---- what the session needs of the core and the front --------------------------------------------------------------
 */

err core_post(struct core_runner *r, struct event *e)
{
	assert_ptr_equal(r, &lab);
	if (lab.post_result != OK) {
		event_free(e);
		return lab.post_result;
	}
	assert_in_range(lab.n_events, 0, EVENTS_MAX - 1);
	lab.event[lab.n_events++] = e;
	return OK;
}

void core_post_always(struct core_runner *r, struct event *e)
{
	err saved = lab.post_result;

	lab.post_result = OK;
	if (e)
		assert_ok(core_post(r, e));
	lab.post_result = saved;
}

void core_round_done(struct core_runner *r, size_t n)
{
	assert_ptr_equal(r, &lab);
	lab.rounds_done += (unsigned)n;
}

void wire_add(struct wire *w, struct wire_member *m, void (*stop)(struct wire_member *m, bool hard))
{
	m->stop = stop;
	list_add_tail(&w->members, &m->in_wire);
	w->n_members++;
}

void wire_remove(struct wire *w, struct wire_member *m)
{
	list_del(&m->in_wire);
	w->n_members--;
}

/* ---- the client ----------------------------------------------------------------------------------------------------
 */

static void on_response(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx)
{
	(void)h;
	(void)s;
	(void)ctx;
	lab.status = m->status;
}

static void on_data(struct http2 *h, struct http2_stream *s, struct bytes data, void *ctx)
{
	(void)h;
	(void)ctx;
	if (s == lab.map_stream && lab.status == 200)
		assert_ok(map_reader_feed(&lab.maps, data));
	else
		buf_append(&lab.data, data);
}

static void on_closed(struct http2 *h, struct http2_stream *s, uint32_t error, void *ctx)
{
	(void)h;
	(void)ctx;
	lab.closed++;
	lab.closed_error = error;
	if (s == lab.map_stream)
		lab.map_stream = NULL;
}

static void on_goaway(struct http2 *h, uint32_t error, void *ctx)
{
	(void)h;
	(void)error;
	(void)ctx;
	lab.goaways++;
}

static const struct http2_events client_events = {
	.on_response = on_response,
	.on_data = on_data,
	.on_closed = on_closed,
	.on_goaway = on_goaway,
};

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* One turn of the wire, and what the client reads and writes. True: bytes moved. */
static bool turn(void)
{
	uint8_t area[4096];
	bool moved = false;

	assert_ok(loop_post(lab.loop, stop_loop, lab.loop));
	loop_run(lab.loop);
	if (lab.fd < 0)
		return false;
	ssize_t n = recv(lab.fd, area, MIN_OF(sizeof area, lab.step), MSG_DONTWAIT);
	if (n > 0) {
		struct bytes b = test_exact(bytes_of(area, (size_t)n));

		assert_ok(ts2021_client_feed(&lab.c, b, 0));
		test_exact_free(b);
		moved = true;
	} else if (n == 0) {
		lab.server_closed = true;
	}
	if (lab.c.h2)
		assert_ok(ts2021_client_flush(&lab.c));
	struct bytes out = bytes_first(buf_view(&lab.c.out), lab.step);
	if (out.n && (n = send(lab.fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) {
		buf_consume(&lab.c.out, (size_t)n);
		moved = true;
	}
	return moved;
}

static void settle(void)
{
	int still = 0;

	for (int i = 0; i < TURNS_MAX && still < 4; i++)
		still = turn() ? 0 : still + 1;
	assert_int_equal(still, 4);
}

static struct http2_stream *ask(const char *method, const char *path, struct bytes body)
{
	struct http2_stream *s;

	lab.status = 0;
	buf_clear(&lab.data);
	assert_ok(http2_request(lab.c.h2, method, "control.test", path, NULL, 0, body, &s));
	return s;
}

/* A request of this node: "NodeKey" and what is given. */
static struct http2_stream *ask_as_node(const char *path, const char *members)
{
	char key[KEY_TEXT_MAX], body[1024];

	snprintf(body, sizeof body, "{\"Version\":142,\"NodeKey\":\"%s\"%s}", node_pub_text(&lab.node_key.pub, key),
		members);
	return ask("POST", path, bytes_str(body));
}

static void open_map(const char *members)
{
	lab.map_stream = ask_as_node("/machine/map", members);
	map_reader_done(&lab.maps);
	map_reader_init(&lab.maps, strstr(members, "zstd") != NULL, 8 << 20, NULL);
}

/* ---- the server ----------------------------------------------------------------------------------------------------
 */

static struct event *take_event(enum event_kind kind)
{
	assert_true(lab.n_events > 0);
	struct event *e = lab.event[0];
	lab.n_events--;
	memmove(&lab.event[0], &lab.event[1], lab.n_events * sizeof(struct event *));
	assert_int_equal(e->kind, kind);
	return e;
}

static void answer(struct event *e, int status, const char *body, bool registered)
{
	struct reply *r = reply_new();

	r->http_status = status;
	r->registered = registered;
	if (body)
		r->body = bytes_str(arena_str(&r->arena, bytes_str(body)));
	e->call->deliver(e->call, r);
	event_free(e);
}

static struct part *part_of(struct bytes text)
{
	struct buf b = buf_make(text.n + 1);

	buf_append(&b, text);
	return part_new(&b);
}

/* A message of two parts. */
static void send_map(struct map_sink *sink, struct bytes a, struct bytes b)
{
	struct part *parts[] = { part_of(a), b.n ? part_of(b) : NULL };
	struct map_msg *m = map_msg_new(parts, b.n ? 2 : 1);

	sink->known = true;
	sink->send(sink, m);
	map_msg_unref(m); /* the parts are the message's */
}

static int64_t unregistered(void)
{
	struct limits_stats s;

	limits_stats(lab.limits, &s);
	return s.now[LIMIT_UNREGISTERED];
}

static int64_t connections(void)
{
	struct limits_stats s;

	limits_stats(lab.limits, &s);
	return s.now[LIMIT_CONNECTIONS];
}

/* ---- set up --------------------------------------------------------------------------------------------------------
 */

/* Hands the server's end of a pair to the session, as the front does after the upgrade request. */
static void connect_with_key(const struct machine_pub *server_pub)
{
	struct addrport from = { addr_v4(192, 0, 2, 7), 4711 };
	struct ts2021_client_opts o = {
		.machine = &lab.node, .server = server_pub, .version = 142, .host = "control.test:80"
	};
	CLEANUP(buf_done) struct buf head = buf_make(1024);
	struct http1_request r;
	struct upgrade u;
	int pair[2];

	assert_ok(ts2021_client_init(&lab.c, &o, &client_events, NULL));
	lab.c_open = true;
	assert_ok(http1_parse_request(buf_view(&lab.c.out), &r));
	upgrade_detect(&r, &u);
	assert_int_equal(u.kind, UPGRADE_TS2021);
	upgrade_write_101(&u, NULL, &head);
	buf_clear(&lab.c.out);
	assert_ok(sock_pair(pair));
	lab.fd = pair[0];
	struct ts2021_start st = {
		.wire = &lab.wire,
		.fd = pair[1],
		.counted = from,
		.client = from,
		.initiation = bytes_of(u.initiation, u.initiation_len),
		.head = buf_view(&head),
	};
	assert_ok(tls_new(NULL, pair[1], NULL, &st.tls));
	assert_true(limits_take(lab.limits, LIMIT_CONNECTIONS, from.addr, 0));
	ts2021_session_start(&st);
}

static int set_up(void **state)
{
	static const struct limit_caps caps[LIMIT_KINDS] = { { 10, 10 }, { 10, 10 }, { 10, 10 } };

	(void)state;
	lab = (struct lab){ .fd = -1, .step = 4096, .data = buf_make(1 << 20) };
	assert_ok(loop_new(&lab.loop));
	assert_ok(limits_new(caps, &lab.limits));
	machine_key_new(&lab.server);
	machine_key_new(&lab.node);
	node_key_new(&lab.node_key);
	lab.opts = (struct front_opts){
		.limits = lab.limits, .core = (struct core_runner *)(void *)&lab, .noise = &lab.server
	};
	lab.wire = (struct wire){ .loop = lab.loop, .opts = &lab.opts, .counters = &lab.counters };
	list_init(&lab.wire.members);
	connect_with_key(&lab.server.pub);
	return 0;
}

static int set_up_open(void **state)
{
	set_up(state);
	settle();
	assert_non_null(lab.c.h2);
	return 0;
}

static void close_client(void)
{
	if (lab.fd >= 0)
		close(lab.fd);
	lab.fd = -1;
	for (int i = 0; i < 5; i++)
		turn();
}

static int tear_down(void **state)
{
	(void)state;
	close_client();
	assert_int_equal(lab.wire.n_members, 0);
	assert_int_equal(connections(), 0);
	assert_int_equal(unregistered(), 0);
	for (size_t i = 0; i < lab.n_events; i++) {
		struct event *e = lab.event[i];

		/* Every call is delivered to once, also those whose asker is gone. */
		if (e->call && e->kind != EV_CALL_GONE)
			e->call->deliver(e->call, reply_new());
		event_free(e);
	}
	turn();
	if (lab.c_open)
		ts2021_client_done(&lab.c);
	map_reader_done(&lab.maps);
	buf_done(&lab.data);
	limits_free(lab.limits);
	loop_free(lab.loop);
	buf_done(&lab.wire.plain);
	buf_done(&lab.wire.sealed);
	buf_done(&lab.wire.message);
	return 0;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------
 */

static void a_node_registers(void **state)
{
	(void)state;
	assert_int_equal(unregistered(), 1);
	ask_as_node(
		"/machine/register", ",\"Auth\":{\"AuthKey\":\"hskey-auth-1\"},\"Hostinfo\":{\"Hostname\":\"box\"}");
	settle();
	struct event *e = take_event(EV_REGISTER);
	assert_true(machine_pub_eq(&e->machine, &lab.node.pub)); /* from the handshake, not from the body */
	assert_true(node_pub_eq(&e->reg->node_key, &lab.node_key.pub));
	assert_string_equal(e->reg->auth_key, "hskey-auth-1");
	assert_int_equal(e->reg->version, 142);
	assert_int_equal(lab.status, 0); /* nothing is said before the core answers */
	answer(e, 200, "{\"MachineAuthorized\":true}", true);
	settle();
	assert_int_equal(lab.status, 200);
	assert_true(bytes_eq_str(buf_view(&lab.data), "{\"MachineAuthorized\":true}"));
	assert_int_equal(lab.closed, 1);
	assert_int_equal(lab.closed_error, 0);
	assert_int_equal(unregistered(), 0); /* its limits for strangers are lifted */
	assert_int_equal(connections(), 1);
}

static void byte_by_byte(void **state)
{
	(void)state;
	lab.step = 1;
	settle();
	a_node_registers(state);
}

static void answers_may_overtake_each_other(void **state)
{
	(void)state;
	ask_as_node("/machine/register", ",\"Followup\":\"http://x/register/1\"");
	ask_as_node("/machine/map", ",\"OmitPeers\":true,\"Endpoints\":[\"10.0.0.1:41641\"]");
	settle();
	struct event *reg = take_event(EV_REGISTER), *lite = take_event(EV_MAP_LITE);
	assert_int_equal(lite->map->n_endpoints, 1);
	answer(lite, 200, NULL, false);
	settle();
	assert_int_equal(lab.closed, 1);
	assert_int_equal(lab.status, 200);
	assert_int_equal(buf_len(&lab.data), 0);
	answer(reg, 403, NULL, false);
	settle();
	assert_int_equal(lab.closed, 2);
	assert_int_equal(lab.status, 403);
}

static void expect_map(const char *want)
{
	struct bytes json;

	assert_ok(map_reader_next(&lab.maps, &json));
	assert_int_equal(json.n, strlen(want));
	assert_memory_equal(json.p, want, json.n);
}

static void stream_maps(const char *compress)
{
	struct bytes json;
	CLEANUP(freep) char *big = malloc(BIG + 3);

	open_map(compress);
	settle();
	struct event *e = take_event(EV_MAP_STREAM);
	assert_int_equal(lab.status, 0);
	struct map_sink *sink = e->sink;
	send_map(sink, BYTES_LIT("{\"Node\":{},"), BYTES_LIT("\"Peers\":[]}"));
	send_map(sink, BYTES_LIT("{\"PeersRemoved\":[7]}"), bytes_of(NULL, 0));
	settle();
	assert_int_equal(lab.status, 200);
	expect_map("{\"Node\":{},\"Peers\":[]}");
	expect_map("{\"PeersRemoved\":[7]}");
	assert_int_equal(map_reader_next(&lab.maps, &json), ERR_TRUNCATED);
	assert_int_equal(unregistered(), 0); /* the core said that it is known */

	/* More than a record, a frame, a window and a socket buffer. */
	struct test_rng rng = { 5 };
	big[0] = '"';
	for (size_t i = 1; i <= BIG; i++)
		big[i] = (char)('a' + rng_below(&rng, 26));
	big[BIG + 1] = '"';
	send_map(sink, bytes_of(big, BIG / 2), bytes_of(big + BIG / 2, BIG + 2 - BIG / 2));
	settle();
	assert_ok(map_reader_next(&lab.maps, &json));
	assert_int_equal(json.n, BIG + 2);
	assert_memory_equal(json.p, big, json.n);

	sink->end(sink);
	settle();
	assert_int_equal(lab.closed, 1);
	assert_int_equal(lab.closed_error, 0);
	event_free(take_event(EV_SINK_CLOSED));
	event_free(e);
}

static void a_map_stream_packed(void **state)
{
	(void)state;
	stream_maps(",\"Stream\":true,\"Compress\":\"zstd\"");
}

static void a_map_stream_plain(void **state)
{
	(void)state;
	stream_maps(",\"Stream\":true");
}

static void a_stream_is_refused_with_a_status(void **state)
{
	(void)state;
	open_map(",\"Stream\":true");
	settle();
	struct event *e = take_event(EV_MAP_STREAM);
	e->sink->refuse(e->sink, 401, "this node key belongs to another machine\n");
	settle();
	assert_int_equal(lab.status, 401);
	assert_true(bytes_eq_str(buf_view(&lab.data), "this node key belongs to another machine\n"));
	assert_int_equal(lab.closed, 1);
	event_free(take_event(EV_SINK_CLOSED));
	event_free(e);
}

static void other_kinds_of_map_requests(void **state)
{
	(void)state;
	open_map("");
	settle();
	struct event *e = take_event(EV_MAP_ONCE);
	send_map(e->sink, BYTES_LIT("{\"Node\":{}}"), bytes_of(NULL, 0));
	e->sink->end(e->sink);
	settle();
	expect_map("{\"Node\":{}}");
	assert_int_equal(lab.closed, 1);
	event_free(e);
	event_free(take_event(EV_SINK_CLOSED));
}

static void other_paths_reach_the_core_whole(void **state)
{
	(void)state;
	ask("GET", "/machine/tka/sync/offer?x=1", BYTES_LIT("{\"a\":\"a GET may have a body\"}"));
	settle();
	struct event *e = take_event(EV_NODE_REQUEST);
	assert_string_equal(e->method, "GET");
	assert_true(bytes_has_prefix(bytes_str(e->path), BYTES_LIT("/machine/tka/sync/offer")));
	assert_true(bytes_eq_str(e->body, "{\"a\":\"a GET may have a body\"}"));
	assert_true(machine_pub_eq(&e->machine, &lab.node.pub));
	answer(e, 404, NULL, false);
	settle();
	assert_int_equal(lab.status, 404);
}

static void refuse_one(const char *method, const char *path, const char *body, unsigned status)
{
	ask(method, path, bytes_str(body));
	settle();
	assert_int_equal(lab.status, status);
	assert_int_equal(lab.n_events, 0);
}

static void bad_requests_never_reach_the_core(void **state)
{
	(void)state;
	refuse_one("POST", "/machine/register", "{", 400);
	refuse_one("POST", "/machine/register", "{\"NodeKey\":7}", 200); /* told by Error, which the client shows */
	refuse_one("POST", "/machine/map", "{\"NodeKey\":\"nodekey:00\"}", 400);
	refuse_one("GET", "/machine/map", "{}", 405);
	refuse_one("GET", "/elsewhere", "", 404);
}

static void a_busy_core_is_told(void **state)
{
	(void)state;
	lab.post_result = ERR_BUSY;
	ask_as_node("/machine/register", "");
	settle();
	assert_int_equal(lab.status, 503);
	open_map(",\"Stream\":true");
	settle();
	assert_int_equal(lab.status, 503);
	assert_int_equal(lab.n_events, 0);
}

static void a_client_that_vanishes_is_told_to_the_core(void **state)
{
	(void)state;
	open_map(",\"Stream\":true,\"Compress\":\"zstd\"");
	ask_as_node("/machine/register", ",\"Followup\":\"http://x/register/1\"");
	settle();
	struct event *map = take_event(EV_MAP_STREAM), *reg = take_event(EV_REGISTER);
	close_client();
	assert_int_equal(lab.wire.n_members, 0);
	struct event *a = take_event(EV_SINK_CLOSED), *b = take_event(EV_CALL_GONE);
	assert_ptr_equal(a->sink, map->sink);
	assert_ptr_equal(b->call, reg->call);
	/* Whatever the core still sends goes nowhere, and harms nobody. */
	send_map(map->sink, BYTES_LIT("{}"), bytes_of(NULL, 0));
	map->sink->end(map->sink);
	answer(reg, 200, "{}", true);
	turn();
	event_free(map);
	event_free(a);
	event_free(b);
}

static void a_stopping_server_says_goodbye(void **state)
{
	(void)state;
	open_map(",\"Stream\":true");
	settle();
	struct event *e = take_event(EV_MAP_STREAM);
	send_map(e->sink, BYTES_LIT("{\"Node\":{}}"), bytes_of(NULL, 0));
	settle();
	struct wire_member *m = container_of(lab.wire.members.next, struct wire_member, in_wire);
	m->stop(m, false);
	settle();
	assert_true(lab.goaways > 0);
	expect_map("{\"Node\":{}}");
	assert_true(lab.server_closed);
	event_free(e);
	event_free(take_event(EV_SINK_CLOSED));
}

static void the_wrong_key_ends_it(void **state)
{
	(void)state;
	struct machine_key other;
	uint8_t area[512];

	close_client();
	ts2021_client_done(&lab.c);
	machine_key_new(&other);
	connect_with_key(&other.pub); /* sealed for somebody else */
	ssize_t n = recv(lab.fd, area, sizeof area, MSG_DONTWAIT);
	while (n > 0)
		n = recv(lab.fd, area, sizeof area, MSG_DONTWAIT);
	assert_int_equal(n, 0);
	assert_int_equal(connections(), 0);
}

static void a_forged_record_ends_it(void **state)
{
	uint8_t record[3 + 40] = { 4, 0, 40 };

	(void)state;
	assert_int_equal(send(lab.fd, record, sizeof record, MSG_NOSIGNAL), sizeof record);
	for (int i = 0; i < 5; i++)
		turn();
	assert_true(lab.server_closed);
	assert_int_equal(lab.wire.n_members, 0);
}

int main(void)
{
#define OPEN(test) cmocka_unit_test_setup_teardown(test, set_up_open, tear_down)
	const struct CMUnitTest tests[] = {
		OPEN(a_node_registers),
		cmocka_unit_test_setup_teardown(byte_by_byte, set_up, tear_down),
		OPEN(answers_may_overtake_each_other),
		OPEN(a_map_stream_packed),
		OPEN(a_map_stream_plain),
		OPEN(a_stream_is_refused_with_a_status),
		OPEN(other_kinds_of_map_requests),
		OPEN(other_paths_reach_the_core_whole),
		OPEN(bad_requests_never_reach_the_core),
		OPEN(a_busy_core_is_told),
		OPEN(a_client_that_vanishes_is_told_to_the_core),
		OPEN(a_stopping_server_says_goodbye),
		OPEN(the_wrong_key_ends_it),
		OPEN(a_forged_record_ends_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
