#include "tests/lib/sim_node.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include <zstd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/http/http1.h"
#include "common/net/sock.h"
#include "common/text/jsonw.h"

enum {
	READ_STEP = 16 * 1024,
	REQUEST_MAX = 8 * 1024,
	KEY_ANSWER_MAX = 64 * 1024,
	KEY_WAIT_MS = 5000,
	KEY_TEXT_LEN = 5 + 64, /* "mkey:" and digits */
};

/* ---- what nodes share ----------------------------------------------------------------------------------------------
 */

static err parse_url(struct sim_net *net, const char *url, bool *secure)
{
	struct bytes b = bytes_str(url), https = BYTES_LIT("https://"), http = BYTES_LIT("http://");

	*secure = bytes_has_prefix(b, https);
	if (!*secure && !bytes_has_prefix(b, http))
		return ERR_INVALID;
	b = bytes_skip(b, *secure ? https.n : http.n);
	if (b.n && b.p[b.n - 1] == '/')
		b.n--;
	const char *port = memchr(b.p, ':', b.n) ? "" : *secure ? ":443" : ":80";
	if (snprintf(net->host, sizeof net->host, "%.*s%s", (int)b.n, (const char *)b.p, port) >= (int)sizeof net->host)
		return ERR_TOO_BIG;
	struct bytes rest;
	struct bytes name = bytes_cut(bytes_str(net->host), ':', &rest);
	snprintf(net->name, sizeof net->name, "%.*s", (int)name.n, (const char *)name.p);
	return sock_parse_listen(bytes_str(net->host), &net->server);
}

static bool wait_for(int fd, enum tls_io io)
{
	struct pollfd p = { .fd = fd, .events = io == TLS_WANT_WRITE ? POLLOUT : POLLIN };

	return (io == TLS_WANT_READ || io == TLS_WANT_WRITE) && poll(&p, 1, KEY_WAIT_MS) == 1;
}

static err talk(struct tls *t, int fd, struct buf *request, struct buf *answer)
{
	enum tls_io io;
	size_t n;

	while ((io = tls_handshake(t)) != TLS_OK)
		if (!wait_for(fd, io))
			return ERR_TIMEOUT;
	while (buf_len(request)) {
		io = tls_write(t, buf_view(request), &n);
		if (io == TLS_OK)
			buf_consume(request, n);
		else if (!wait_for(fd, io))
			return ERR_TIMEOUT;
	}
	for (;;) {
		uint8_t *p = buf_reserve(answer, READ_STEP);

		if (!p)
			return ERR_TOO_BIG;
		io = tls_read(t, p, READ_STEP, &n);
		if (io == TLS_OK)
			buf_commit(answer, n);
		else if (io == TLS_EOF)
			return OK;
		else if (!wait_for(fd, io))
			return ERR_TIMEOUT;
	}
}

/* {"publicKey":"mkey:…"}, found without a parser: the prefix stands once for each key, the Noise key after its name. */
static err find_key(struct bytes body, struct machine_pub *out)
{
	static const char name[] = "\"publicKey\"";
	const uint8_t *at = memmem(body.p, body.n, name, sizeof name - 1);

	if (!at)
		return ERR_NOT_FOUND;
	body = bytes_skip(body, (size_t)(at - body.p));
	at = memmem(body.p, body.n, "mkey:", 5);
	return at ? machine_pub_parse(bytes_first(bytes_skip(body, (size_t)(at - body.p)), KEY_TEXT_LEN), out)
		  : ERR_NOT_FOUND;
}

static err fetch_key(struct sim_net *net, char *why, size_t why_cap)
{
	CLEANUP(buf_done) struct buf request = buf_make(1024), answer = buf_make(KEY_ANSWER_MAX);
	CLEANUP(closep) int fd = -1;
	struct pollfd p;
	struct tls *t;

	snprintf(why, why_cap, "cannot connect to %s", net->host);
	TRY(sock_connect_tcp(net->server, &fd));
	p = (struct pollfd){ .fd = fd, .events = POLLOUT };
	if (poll(&p, 1, KEY_WAIT_MS) != 1 || sock_error(fd) != 0)
		return ERR_CLOSED;
	buf_printf(
		&request, "GET /key?v=%u HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", net->version, net->host);
	TRY(tls_new(net->tls, fd, net->name, &t));
	snprintf(why, why_cap, "%s does not answer GET /key", net->host);
	err e = talk(t, fd, &request, &answer);
	tls_free(t);
	TRY(e);
	snprintf(why, why_cap, "the answer of %s to GET /key has no key", net->host);
	return find_key(buf_view(&answer), &net->server_key);
}

err sim_net_init(struct sim_net *net, struct loop *l, const char *url, const struct sim_events *events, char *why,
	size_t why_cap)
{
	bool secure;

	*net = (struct sim_net){ .loop = l, .version = 142, .home_derp = 1, .events = events };
	snprintf(why, why_cap, "\"%s\" is no URL of an address and port", url);
	TRY(parse_url(net, url, &secure));
	snprintf(why, why_cap, "out of memory");
	net->decoder = ZSTD_createDCtx();
	if (!net->decoder)
		return ERR_NOMEM;
	if (secure) /* the server is authenticated by Noise, whose key comes from a server of our own */
		TRY(tls_client_new(&(struct tls_client_opts){ .insecure = true }, &net->tls));
	return fetch_key(net, why, why_cap);
}

void sim_net_done(struct sim_net *net)
{
	tls_ctx_free(net->tls);
	ZSTD_freeDCtx(net->decoder);
}

/* ---- requests ------------------------------------------------------------------------------------------------------
 */

const char *sim_node_name(const struct sim_node *n, char out[32])
{
	snprintf(out, 32, "swarm-%06u", n->index);
	return out;
}

static void put_hostinfo(struct jsonw *w, const struct sim_node *n)
{
	char name[32];

	jsonw_key(w, "Hostinfo"), jsonw_obj(w);
	jsonw_key(w, "IPNVersion"), jsonw_str(w, "1.102.0-tsimulated");
	jsonw_key(w, "BackendLogID"), jsonw_hex(w, "", bytes_of(n->node.pub.b, 32));
	jsonw_key(w, "OS"), jsonw_str(w, "linux");
	jsonw_key(w, "OSVersion"), jsonw_str(w, "6.1.0");
	jsonw_key(w, "Distro"), jsonw_str(w, "debian");
	jsonw_key(w, "DistroVersion"), jsonw_str(w, "12.7");
	jsonw_key(w, "Hostname"), jsonw_str(w, sim_node_name(n, name));
	jsonw_key(w, "Machine"), jsonw_str(w, "x86_64");
	jsonw_key(w, "GoArch"), jsonw_str(w, "amd64");
	jsonw_key(w, "GoVersion"), jsonw_str(w, "go1.26");
	jsonw_key(w, "Services"), jsonw_arr(w);
	jsonw_obj(w);
	jsonw_key(w, "Proto"), jsonw_str(w, "peerapi4");
	jsonw_key(w, "Port"), jsonw_int(w, 40000);
	jsonw_obj_end(w);
	jsonw_arr_end(w);
	jsonw_key(w, "NetInfo"), jsonw_obj(w);
	jsonw_key(w, "MappingVariesByDestIP"), jsonw_bool(w, false);
	jsonw_key(w, "WorkingUDP"), jsonw_bool(w, true);
	jsonw_key(w, "PreferredDERP"), jsonw_int(w, n->net->home_derp);
	jsonw_obj_end(w);
	jsonw_obj_end(w);
}

static err ask(struct sim_node *n, enum sim_request what, const char *path, struct bytes body);

err sim_node_register(struct sim_node *n)
{
	CLEANUP(buf_done) struct buf b = buf_make(REQUEST_MAX);
	struct jsonw w = jsonw_init(&b);
	static const uint8_t zero[32];

	jsonw_obj(&w);
	jsonw_key(&w, "Version"), jsonw_int(&w, n->net->version);
	jsonw_key(&w, "NodeKey"), jsonw_hex(&w, "nodekey:", bytes_of(n->node.pub.b, 32));
	jsonw_key(&w, "OldNodeKey"), jsonw_hex(&w, "nodekey:", bytes_of(zero, 32));
	jsonw_key(&w, "NLKey"), jsonw_hex(&w, "nlpub:", bytes_of(zero, 32));
	if (n->net->n_auth_keys) {
		jsonw_key(&w, "Auth"), jsonw_obj(&w);
		jsonw_key(&w, "AuthKey"), jsonw_str(&w, n->net->auth_key[n->index % n->net->n_auth_keys]);
		jsonw_obj_end(&w);
	}
	jsonw_key(&w, "Expiry"), jsonw_str(&w, "0001-01-01T00:00:00Z");
	jsonw_key(&w, "Followup"), jsonw_str(&w, "");
	put_hostinfo(&w, n);
	jsonw_key(&w, "NodeKeySignature"), jsonw_null(&w);
	jsonw_obj_end(&w);
	return jsonw_ok(&w) ? ask(n, SIM_REGISTER, "/machine/register", buf_view(&b)) : ERR_NOMEM;
}

static err map_request(struct sim_node *n, bool stream, const char *endpoint)
{
	CLEANUP(buf_done) struct buf b = buf_make(REQUEST_MAX);
	struct jsonw w = jsonw_init(&b);

	jsonw_obj(&w);
	jsonw_key(&w, "Version"), jsonw_int(&w, n->net->version);
	jsonw_key(&w, "Compress"), jsonw_str(&w, "zstd");
	jsonw_key(&w, "KeepAlive"), jsonw_bool(&w, true);
	jsonw_key(&w, "NodeKey"), jsonw_hex(&w, "nodekey:", bytes_of(n->node.pub.b, 32));
	jsonw_key(&w, "DiscoKey"), jsonw_hex(&w, "discokey:", bytes_of(n->disco.pub.b, 32));
	jsonw_key(&w, "Stream"), jsonw_bool(&w, stream);
	put_hostinfo(&w, n);
	if (endpoint) {
		jsonw_key(&w, "Endpoints"), jsonw_arr(&w), jsonw_str(&w, endpoint), jsonw_arr_end(&w);
		jsonw_key(&w, "EndpointTypes"), jsonw_arr(&w), jsonw_int(&w, 1), jsonw_arr_end(&w);
	}
	if (!stream)
		jsonw_key(&w, "OmitPeers"), jsonw_bool(&w, true);
	jsonw_obj_end(&w);
	return jsonw_ok(&w) ? ask(n, stream ? SIM_POLL : SIM_LITE, "/machine/map", buf_view(&b)) : ERR_NOMEM;
}

err sim_node_lite(struct sim_node *n, const char *endpoint)
{
	return map_request(n, false, endpoint);
}

err sim_node_poll(struct sim_node *n)
{
	return map_request(n, true, NULL);
}

/* ---- HTTP/2 --------------------------------------------------------------------------------------------------------
 */

/* The kind of request is all that a stream knows: a node has one of each at a time. */
static const enum sim_request kinds[] = { [SIM_REGISTER] = SIM_REGISTER, [SIM_LITE] = SIM_LITE, [SIM_POLL] = SIM_POLL };

static enum sim_request kind_of(struct http2_stream *s)
{
	const enum sim_request *k = http2_user(s);

	return *k;
}

static void lose(struct sim_node *n, const char *why)
{
	if (!n->lost[0])
		snprintf(n->lost, sizeof n->lost, "%s", why);
}

static void on_response(struct http2 *h, struct http2_stream *s, const struct http2_message *m, void *ctx)
{
	struct sim_node *n = ctx;

	(void)h;
	if (kind_of(s) == SIM_POLL) {
		n->poll_status = m->status;
	} else {
		buf_clear(&n->answer);
		buf_append_u8(&n->answer, (uint8_t)(m->status >> 8));
		buf_append_u8(&n->answer, (uint8_t)m->status);
	}
}

static void on_data(struct http2 *h, struct http2_stream *s, struct bytes data, void *ctx)
{
	struct sim_node *n = ctx;
	struct bytes json;
	err e;

	(void)h;
	if (kind_of(s) != SIM_POLL) {
		buf_append(&n->answer, data);
		return;
	}
	if (n->poll_status != 200) {
		char why[SIM_WHY_MAX];

		snprintf(why, sizeof why, "map: HTTP %u: %.*s", n->poll_status, (int)MIN_OF(data.n, (size_t)150),
			(const char *)data.p);
		lose(n, why);
		return;
	}
	e = map_reader_feed(&n->maps, data);
	while (e == OK && (e = map_reader_next(&n->maps, &json)) == OK)
		n->net->events->on_map(n, json, n->raw_us);
	if (e != ERR_TRUNCATED)
		lose(n, "the map stream cannot be read");
}

static void on_closed(struct http2 *h, struct http2_stream *s, uint32_t error, void *ctx)
{
	struct sim_node *n = ctx;
	enum sim_request what = kind_of(s);

	(void)h;
	if (what == SIM_POLL) {
		n->polling = false;
		lose(n, error ? "the map stream was reset" : "the map stream ended");
		return;
	}
	struct bytes a = buf_view(&n->answer);
	unsigned status = a.n >= 2 && !error ? (unsigned)(a.p[0] << 8 | a.p[1]) : 0;
	n->net->events->on_answer(n, what, status, bytes_skip(a, 2));
	buf_clear(&n->answer);
	buf_release(&n->answer);
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

/* ---- the connection ------------------------------------------------------------------------------------------------
 */

static void queue_turn(struct sim_node *n)
{
	if (!n->turn_queued) {
		n->turn_queued = true;
		loop_defer_node(n->net->loop, &n->turn);
	}
}

static err ask(struct sim_node *n, enum sim_request what, const char *path, struct bytes body)
{
	struct http2_stream *s;

	if (!n->open)
		return ERR_STATE;
	TRY(http2_request(n->c.h2, "POST", n->net->host, path, NULL, 0, body, &s));
	http2_set_user(s, (void *)(uintptr_t)&kinds[what]);
	if (what == SIM_POLL) {
		map_reader_done(&n->maps);
		map_reader_init(&n->maps, true, SIM_MAP_MAX, n->net->decoder);
		n->polling = true;
		n->poll_status = 0;
	}
	if (!n->in_turn)
		queue_turn(n);
	return OK;
}

static void drop(struct sim_node *n)
{
	bool in_turn = n->in_turn;

	if (n->state == SIM_IDLE)
		return;
	n->state = SIM_IDLE;
	n->open = n->polling = false;
	n->in_turn = true; /* streams that end now say so; nothing is sent any more */
	ts2021_client_done(&n->c);
	n->in_turn = in_turn;
	map_reader_done(&n->maps);
	loop_io_close(MOVE(n->io));
	tls_free(MOVE(n->tls));
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
	buf_done(&n->raw);
	buf_done(&n->answer);
}

static void pull(struct sim_node *n)
{
	static _Thread_local uint8_t area[READ_STEP];
	size_t got;

	for (;;) {
		switch (tls_read(n->tls, area, sizeof area, &got)) {
		case TLS_OK:
			if (buf_len(&n->raw) == 0)
				n->raw_us = clock_mono_us();
			buf_append(&n->raw, bytes_of(area, got));
			n->net->bytes_in += got;
			if (n->raw.bad) {
				lose(n, "more bytes at once than a node takes");
				return;
			}
			if (!tls_has_more(n->tls)) /* the socket tells when there is more: asking it costs a call for each message */
				return;
			if (buf_len(&n->raw) > n->raw.max / 2) {
				n->more = true; /* it waits inside TLS, where the loop does not see it */
				return;
			}
			break;
		case TLS_WANT_READ:
			return;
		case TLS_WANT_WRITE:
			n->tls_wants_write = true;
			return;
		case TLS_EOF:
			lose(n, "the server closed the connection");
			return;
		case TLS_FAIL:
			lose(n, tls_why(n->tls)[0] ? tls_why(n->tls) : "the connection broke");
			return;
		}
	}
}

static void push(struct sim_node *n)
{
	if (ts2021_client_flush(&n->c) != OK)
		lose(n, n->c.why);
	while (buf_len(&n->c.out) && !n->lost[0]) {
		size_t sent;

		switch (tls_write(n->tls, buf_view(&n->c.out), &sent)) {
		case TLS_OK:
			buf_consume(&n->c.out, sent);
			break;
		case TLS_WANT_READ:
			return;
		case TLS_WANT_WRITE:
			n->tls_wants_write = true;
			return;
		case TLS_EOF:
		case TLS_FAIL:
			lose(n, "the connection broke while sending");
			break;
		}
	}
	buf_release(&n->c.out);
}

static void understand(struct sim_node *n)
{
	bool was_open = n->open;
	struct bytes raw = buf_view(&n->raw);

	if (raw.n && ts2021_client_feed(&n->c, raw, loop_now_ms(n->net->loop)) != OK)
		lose(n, n->c.why);
	buf_clear(&n->raw);
	buf_release(&n->raw);
	n->open = n->c.h2 != NULL;
	if (n->open && !was_open && !n->lost[0])
		n->net->events->on_open(n);
}

/* The end of a turn: what was read is understood, what is to be said is sent, and what is over goes. */
static void on_turn(struct loop_post *p)
{
	struct sim_node *n = container_of(p, struct sim_node, turn);

	n->turn_queued = false;
	if (n->state == SIM_RUNNING) {
		n->in_turn = true;
		understand(n);
		while (n->more && !n->lost[0] && !n->wants_close) {
			n->more = false;
			pull(n);
			understand(n);
		}
		push(n);
		n->in_turn = false;
	}
	if (n->lost[0] || n->wants_close) {
		bool tell = n->lost[0] && !n->wants_close && n->state != SIM_IDLE;

		n->wants_close = false;
		drop(n);
		if (tell)
			n->net->events->on_lost(n, n->lost);
	} else if (n->io) {
		bool write = n->state == SIM_CONNECTING || n->tls_wants_write || buf_len(&n->c.out) > 0;

		loop_io_want(n->io, LOOP_READ | (write ? LOOP_WRITE : 0));
	}
}

static void connected(struct sim_node *n)
{
	int e = sock_error(n->fd);

	if (e) {
		char why[SIM_WHY_MAX];

		errno = e;
		snprintf(why, sizeof why, "cannot connect: %m");
		lose(n, why);
		return;
	}
	sock_nodelay(n->fd);
	if (tls_new(n->net->tls, n->fd, n->net->name, &n->tls) != OK)
		lose(n, "out of memory");
	n->state = SIM_TLS;
}

static void shake_hands(struct sim_node *n)
{
	switch (tls_handshake(n->tls)) {
	case TLS_OK:
		n->state = SIM_RUNNING;
		break;
	case TLS_WANT_READ:
		break;
	case TLS_WANT_WRITE:
		n->tls_wants_write = true;
		break;
	case TLS_EOF:
	case TLS_FAIL:
		lose(n, tls_why(n->tls)[0] ? tls_why(n->tls) : "the server closed the connection in the TLS handshake");
		break;
	}
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct sim_node *n = ctx;

	(void)io;
	n->tls_wants_write = false;
	if (n->state == SIM_CONNECTING && ready & (LOOP_WRITE | LOOP_HANGUP))
		connected(n);
	if (n->state == SIM_TLS && !n->lost[0])
		shake_hands(n);
	if (n->state == SIM_RUNNING)
		pull(n);
	queue_turn(n);
}

/* ---- life ----------------------------------------------------------------------------------------------------------
 */

void sim_node_init(struct sim_node *n, struct sim_net *net, unsigned index)
{
	*n = (struct sim_node){ .net = net, .index = index, .fd = -1, .turn = { .fn = on_turn } };
	machine_key_new(&n->machine);
	node_key_new(&n->node);
	disco_key_new(&n->disco);
}

static struct addr source_of(const struct sim_node *n)
{
	unsigned k = n->index % (n->net->sources ? n->net->sources : 1);

	if (!n->net->sources || !addr_is_loopback(n->net->server.addr) || n->net->server.addr.family != 4)
		return (struct addr){ 0 };
	return addr_v4(127, (uint8_t)(1 + k / 62500), (uint8_t)(k / 250 % 250), (uint8_t)(1 + k % 250));
}

err sim_node_connect(struct sim_node *n)
{
	struct ts2021_client_opts o = {
		.machine = &n->machine,
		.server = &n->net->server_key,
		.version = (uint16_t)n->net->version,
		.host = n->net->host,
	};

	if (n->state != SIM_IDLE)
		return ERR_STATE;
	n->lost[0] = 0;
	n->wants_close = n->tls_wants_write = n->more = false;
	TRY(sock_connect_tcp_from(source_of(n), n->net->server, &n->fd));
	n->raw = buf_make(SIM_RAW_MAX);
	n->answer = buf_make(SIM_ANSWER_MAX);
	err e = ts2021_client_init(&n->c, &o, &events, n);
	if (e == OK)
		e = loop_io_new(n->net->loop, n->fd, on_ready, n, &n->io);
	n->state = SIM_CONNECTING;
	if (e != OK) {
		drop(n);
		return e;
	}
	loop_io_want(n->io, LOOP_READ | LOOP_WRITE);
	return OK;
}

void sim_node_close(struct sim_node *n)
{
	if (n->state == SIM_IDLE)
		return;
	n->wants_close = true;
	queue_turn(n);
}

void sim_node_free(struct sim_node *n)
{
	n->wants_close = true;
	drop(n);
	sodium_memzero(&n->machine, sizeof n->machine);
	sodium_memzero(&n->node, sizeof n->node);
	sodium_memzero(&n->disco, sizeof n->disco);
}
