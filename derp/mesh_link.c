/* A link's life: RESOLVING -> DIALING (TCP) -> SHAKING (TLS) -> GREETING (HTTP, keys) -> OPEN, and after a failure WAITING. */
#include "derp/mesh_link.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/net/sock.h"
#include "common/wire/derp_client.h"
#include "derp/relay_mesh.h"

enum { ADDRS_MAX = 8, READ_BYTES = 64 << 10, READ_BUDGET = 1 << 20 };

enum state { LINK_RESOLVING, LINK_DIALING, LINK_SHAKING, LINK_GREETING, LINK_OPEN, LINK_WAITING, LINK_IS_SELF };

struct addrs {
	struct addr at[ADDRS_MAX];
	unsigned n;
};

/* A look-up on a worker thread; it outlives a link that is freed meanwhile. */
struct lookup {
	struct mesh_link *l; /* NULL: nobody waits any more */
	char host[MESH_TARGET_HOST_MAX];
	struct addrs found;
};

struct mesh_link {
	struct loop *loop;
	struct relay_worker *worker;
	struct mesh_target target;
	struct node_key key;
	struct secret32 mesh_key;
	struct tls_ctx *ctx;
	unsigned link; /* the relay's number for it */
	enum state state;
	struct lookup *lookup;
	struct addrs addrs;
	unsigned attempt; /* which address */
	unsigned failures; /* in a row */
	int fd;
	struct tls *tls;
	struct loop_io *io;
	struct loop_timer timer;
	struct loop_post flush, again; /* again: TLS may hold more than the budget let us read */
	bool flushing, again_posted, read_wants_write, write_wants_read;
	struct derp_client client;
	bool has_client;
	const char *broken; /* why it must close, after the callbacks */
	int64_t heard_ms, dial_by_ms;
};

static void dial(struct mesh_link *l);

/* ---- the target ------------------------------------------------------------------------------------------------- */

static err parse_host(struct bytes text, char host[MESH_TARGET_HOST_MAX], uint16_t *port)
{
	const uint8_t *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
	struct bytes name = text;
	uint64_t n = 443;

	if (text.n && text.p[0] == '[') {
		const uint8_t *close = memchr(text.p, ']', text.n);

		if (!close)
			return ERR_INVALID;
		name = bytes_of(text.p + 1, (size_t)(close - text.p) - 1);
		struct bytes rest = bytes_skip(text, (size_t)(close - text.p) + 1);
		if (rest.n && (rest.p[0] != ':' || bytes_parse_u64(bytes_skip(rest, 1), 65535, &n) != OK))
			return ERR_INVALID;
	} else if (colon) {
		name = bytes_first(text, (size_t)(colon - text.p));
		if (bytes_parse_u64(bytes_skip(text, name.n + 1), 65535, &n) != OK)
			return ERR_INVALID;
	}
	if (!name.n || name.n >= MESH_TARGET_HOST_MAX || !n)
		return ERR_INVALID;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || strchr("/\\\"%?#@", name.p[i]))
			return ERR_INVALID;
	memcpy(host, name.p, name.n);
	host[name.n] = 0;
	*port = (uint16_t)n;
	return OK;
}

err mesh_target_parse(struct bytes text, struct mesh_target *out)
{
	struct mesh_target t = { 0 };
	const uint8_t *eq = text.n ? memchr(text.p, '=', text.n) : NULL;
	const struct bytes pin = BYTES_LIT("sha256-raw:");

	if (eq) {
		struct bytes how = bytes_skip(text, (size_t)(eq - text.p) + 1), hex = bytes_skip(how, pin.n);

		if (!bytes_has_prefix(how, pin) || hex.n != 64)
			return ERR_INVALID;
		for (size_t i = 0; i < hex.n; i++)
			if (!strchr("0123456789abcdef", hex.p[i]))
				return ERR_INVALID;
		memcpy(t.sha256_raw, hex.p, hex.n);
		text = bytes_first(text, (size_t)(eq - text.p));
	}
	const uint8_t *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
	struct bytes host = slash ? bytes_first(text, (size_t)(slash - text.p)) : text;

	TRY(parse_host(host, t.host, &t.port));
	memcpy(t.dial, t.host, sizeof t.dial);
	t.dial_port = t.port;
	if (slash)
		TRY(parse_host(bytes_skip(text, host.n + 1), t.dial, &t.dial_port));
	*out = t;
	return OK;
}

/* ---- the end of a connection ------------------------------------------------------------------------------------ */

static void drop_connection(struct mesh_link *l)
{
	loop_io_close(l->io);
	l->io = NULL;
	tls_free(l->tls);
	l->tls = NULL;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	if (l->has_client)
		derp_client_done(&l->client);
	l->has_client = false;
	l->read_wants_write = l->write_wants_read = false;
	l->broken = NULL;
}

static void fail(struct mesh_link *l, const char *why)
{
	static struct log_limit limit = LOG_LIMIT(20, 60000);

	if (log_allow(&limit))
		log_warn("no link to a mesh relay", "host=%s why=%s tls=%s", log_qs(l->target.host).s, log_qs(why).s,
			log_qs(l->tls ? tls_why(l->tls) : "").s);
	if (l->state == LINK_OPEN)
		relay_link_lost(l->worker, l->link);
	drop_connection(l);
	l->state = LINK_WAITING;
	l->attempt++;
	int64_t ms = MIN_OF((int64_t)MESH_LINK_RETRY_MIN_MS << MIN_OF(l->failures, 8u), (int64_t)MESH_LINK_RETRY_MAX_MS);
	l->failures++;
	loop_timer_in(&l->timer, ms / 2 + (int64_t)random_below((uint64_t)ms / 2 + 1));
}

/* The other relay has our own key: this region's list of relays names us, too. */
static void is_self(struct mesh_link *l)
{
	log_info("a mesh relay is this one itself: no link", "host=%s", log_qs(l->target.host).s);
	drop_connection(l);
	l->state = LINK_IS_SELF;
	loop_timer_stop(&l->timer);
}

/* ---- moving bytes ----------------------------------------------------------------------------------------------- */

static void want(struct mesh_link *l)
{
	bool write = l->state == LINK_DIALING || l->read_wants_write ||
		     (l->has_client && buf_len(&l->client.out) && !l->write_wants_read);

	loop_io_want(l->io, LOOP_READ | (write ? LOOP_WRITE : 0));
}

static void push(struct mesh_link *l)
{
	struct buf *out = &l->client.out;

	l->write_wants_read = false;
	while (buf_len(out)) {
		size_t n = 0;

		switch (tls_write(l->tls, bytes_first(buf_view(out), 16 << 10), &n)) {
		case TLS_OK:
			buf_consume(out, n);
			continue;
		case TLS_WANT_READ:
			l->write_wants_read = true;
			return;
		case TLS_WANT_WRITE:
			return;
		case TLS_EOF:
		case TLS_FAIL:
			l->broken = "cannot write";
			return;
		}
	}
}

static void flush_later(struct mesh_link *l)
{
	if (l->flushing)
		return;
	l->flushing = true;
	loop_defer_node(l->loop, &l->flush);
}

static void on_flush(struct loop_post *p)
{
	struct mesh_link *l = container_of(p, struct mesh_link, flush);

	l->flushing = false;
	if (l->has_client && !l->broken)
		push(l);
	if (l->broken)
		fail(l, l->broken);
	else if (l->io)
		want(l);
}

/* The relay's packets for the other side. What the link cannot take is lost, as on any full queue. */
static void forward(void *ctx, struct bytes frame)
{
	struct mesh_link *l = ctx;

	if (l->state != LINK_OPEN || derp_client_forward(&l->client, frame) != OK)
		return;
	flush_later(l);
}

static void opened(struct mesh_link *l)
{
	if (node_pub_eq(&l->client.server_key, &l->key.pub)) {
		is_self(l);
		return;
	}
	if (derp_client_watch(&l->client) != OK) {
		l->broken = "out of memory";
		return;
	}
	l->state = LINK_OPEN;
	l->failures = 0;
	loop_timer_in(&l->timer, MESH_LINK_SILENT_MS);
	log_info("mesh link", "host=%s port=%u", log_qs(l->target.host).s, l->target.port);
}

static void on_event(struct mesh_link *l, const struct derp_client_event *ev)
{
	switch (ev->kind) {
	case DERP_CLIENT_CONNECTED:
		opened(l);
		return;
	case DERP_CLIENT_PEER_PRESENT:
		/* Other relays' links, ours among them, are no place to send packets to. */
		if (l->state == LINK_OPEN && !(ev->present.flags & DERP_PRESENT_MESH))
			relay_link_came(l->worker, l->link, &ev->present.key);
		return;
	case DERP_CLIENT_PEER_GONE:
		if (l->state == LINK_OPEN && ev->gone.reason == DERP_GONE_DISCONNECTED)
			relay_link_left(l->worker, l->link, &ev->gone.key);
		return;
	case DERP_CLIENT_PACKET: /* nobody has a reason to send to a relay */
	case DERP_CLIENT_KEEP_ALIVE:
	case DERP_CLIENT_PONG:
	case DERP_CLIENT_HEALTH:
	case DERP_CLIENT_RESTARTING: /* it closes the connection itself, and then we dial again */
		return;
	}
}

static void step(struct mesh_link *l)
{
	struct derp_client_event ev;

	while (l->has_client && !l->broken) {
		err e = derp_client_next(&l->client, &ev);

		if (e == ERR_TRUNCATED)
			break;
		if (e != OK) {
			l->broken = e == ERR_DENIED ? "it is no relay, or refuses us" : "it speaks no DERP";
			break;
		}
		l->heard_ms = loop_now_ms(l->loop);
		on_event(l, &ev);
	}
	if (l->has_client)
		flush_later(l); /* answers to pings, WatchConns; or the end */
}

static void pull(struct mesh_link *l)
{
	uint8_t chunk[READ_BYTES];
	size_t left = READ_BUDGET;

	l->read_wants_write = false;
	while (left && l->has_client && !l->broken) {
		size_t n = 0;

		switch (tls_read(l->tls, chunk, sizeof chunk, &n)) {
		case TLS_OK:
			left -= n < left ? n : left;
			if (derp_client_feed(&l->client, bytes_of(chunk, n)) != OK)
				l->broken = "out of memory";
			step(l);
			continue;
		case TLS_WANT_READ:
			return;
		case TLS_WANT_WRITE:
			l->read_wants_write = true;
			flush_later(l);
			return;
		case TLS_EOF:
			l->broken = l->state == LINK_OPEN ? "it closed the link" : "it refuses us: another mesh key?";
			break;
		case TLS_FAIL:
			l->broken = "cannot read";
			break;
		}
	}
	if (!l->has_client)
		return;
	if (!left && !l->broken && !l->again_posted) {
		l->again_posted = true;
		loop_post_node(l->loop, &l->again);
	}
	flush_later(l);
}

static void on_again(struct loop_post *p)
{
	struct mesh_link *l = container_of(p, struct mesh_link, again);

	l->again_posted = false;
	if (l->has_client && !l->broken)
		pull(l);
}

static void greet(struct mesh_link *l)
{
	char host[MESH_TARGET_HOST_MAX + 8];
	struct derp_client_opts o = {
		.key = &l->key,
		.host = host,
		.info = { .version = DERP_PROTOCOL_VERSION, .can_ack_pings = true, .has_mesh_key = true, .mesh_key = l->mesh_key },
	};
	bool literal6 = strchr(l->target.host, ':');

	snprintf(host, sizeof host, literal6 ? "[%s]:%u" : "%s:%u", l->target.host, l->target.port);
	if (l->target.port == 443)
		snprintf(host, sizeof host, literal6 ? "[%s]" : "%s", l->target.host);
	err e = derp_client_init(&l->client, &o);
	secret32_wipe(&o.info.mesh_key);
	if (e != OK) {
		l->broken = "out of memory";
		return;
	}
	l->has_client = true;
	l->state = LINK_GREETING;
}

static void shake_hands(struct mesh_link *l)
{
	switch (tls_handshake(l->tls)) {
	case TLS_OK:
		greet(l);
		return;
	case TLS_WANT_READ:
		loop_io_want(l->io, LOOP_READ);
		return;
	case TLS_WANT_WRITE:
		loop_io_want(l->io, LOOP_WRITE);
		return;
	case TLS_EOF:
	case TLS_FAIL:
		l->broken = "no TLS with it";
		return;
	}
}

static void start_tls(struct mesh_link *l)
{
	if (sock_error(l->fd)) {
		l->broken = "it does not answer";
		return;
	}
	sock_nodelay(l->fd);
	sock_user_timeout(l->fd, DERP_CONN_USER_TIMEOUT_MS);
	if (tls_new(l->ctx, l->fd, l->target.host, &l->tls) != OK)
		l->broken = "out of memory";
	else
		l->state = LINK_SHAKING;
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct mesh_link *l = ctx;

	(void)io;
	(void)ready;
	if (l->state == LINK_DIALING)
		start_tls(l);
	if (l->state == LINK_SHAKING && !l->broken)
		shake_hands(l);
	if (l->has_client && !l->broken) {
		push(l);
		pull(l);
	}
	if (l->broken || l->has_client)
		flush_later(l);
}

/* ---- dialling --------------------------------------------------------------------------------------------------- */

static void look_up(void *arg)
{
	struct lookup *k = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL;

	if (getaddrinfo(k->host, NULL, &hints, &all) != 0)
		return;
	for (struct addrinfo *i = all; i && k->found.n < ADDRS_MAX; i = i->ai_next) {
		struct addrport at = addrport_from_sockaddr(i->ai_addr);

		if (at.addr.family)
			k->found.at[k->found.n++] = at.addr;
	}
	freeaddrinfo(all);
}

static void looked_up(void *arg)
{
	struct lookup *k = arg;
	struct mesh_link *l = k->l;

	if (l) {
		l->lookup = NULL;
		l->addrs = k->found;
		if (l->addrs.n)
			dial(l);
		else
			fail(l, "its name does not resolve");
	}
	free(k);
}

static void resolve(struct mesh_link *l)
{
	struct addr literal;

	l->state = LINK_RESOLVING;
	l->dial_by_ms = loop_now_ms(l->loop) + MESH_LINK_DIAL_MS;
	loop_timer_in(&l->timer, MESH_LINK_DIAL_MS);
	if (addr_parse(bytes_str(l->target.dial), &literal) == OK) {
		l->addrs = (struct addrs){ .at = { literal }, .n = 1 };
		dial(l);
		return;
	}
	if (l->lookup)
		return; /* the last one still runs */
	struct lookup *k = calloc(1, sizeof *k);
	if (k) {
		k->l = l;
		memcpy(k->host, l->target.dial, sizeof k->host);
	}
	if (!k || loop_work(l->loop, look_up, looked_up, k) != OK) {
		free(k);
		fail(l, "out of memory");
		return;
	}
	l->lookup = k;
}

static void dial(struct mesh_link *l)
{
	struct addrport to = { l->addrs.at[l->attempt % l->addrs.n], l->target.dial_port };

	if (l->state != LINK_RESOLVING)
		return;
	l->state = LINK_DIALING;
	if (sock_connect_tcp(to, &l->fd) != OK) {
		l->fd = -1;
		fail(l, "it cannot be reached");
		return;
	}
	if (loop_io_new(l->loop, l->fd, on_ready, l, &l->io) != OK) {
		fail(l, "out of memory");
		return;
	}
	want(l);
}

static void on_timer(struct loop_timer *t)
{
	struct mesh_link *l = container_of(t, struct mesh_link, timer);
	int64_t silent_ms = loop_now_ms(l->loop) - l->heard_ms;

	switch (l->state) {
	case LINK_WAITING:
		resolve(l);
		return;
	case LINK_OPEN:
		if (silent_ms >= MESH_LINK_SILENT_MS)
			fail(l, "it is silent");
		else
			loop_timer_in(t, MESH_LINK_SILENT_MS - silent_ms);
		return;
	case LINK_RESOLVING:
	case LINK_DIALING:
	case LINK_SHAKING:
	case LINK_GREETING:
		fail(l, "it takes too long");
		return;
	case LINK_IS_SELF:
		return;
	}
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

err mesh_link_new(const struct mesh_link_opts *o, struct mesh_link **out)
{
	struct mesh_link *l = calloc(1, sizeof *l);

	if (!l)
		return ERR_NOMEM;
	l->loop = derp_thread_loop(o->thread);
	l->worker = derp_thread_worker(o->thread);
	l->target = *o->target;
	l->key = *o->key;
	l->mesh_key = *o->mesh_key;
	l->fd = -1;
	l->flush.fn = on_flush;
	l->again.fn = on_again;
	l->state = LINK_WAITING;
	struct tls_client_opts to = { .ca_file = o->ca_file };
	if (l->target.sha256_raw[0])
		to.sha256_raw = l->target.sha256_raw;
	loop_timer_init(&l->timer, l->loop, on_timer);
	err e = tls_client_new(&to, &l->ctx);
	if (e == OK)
		e = relay_link_new(l->worker, forward, l, &l->link);
	if (e != OK) {
		mesh_link_free(l);
		return e;
	}
	loop_timer_in(&l->timer, 0);
	*out = l;
	return OK;
}

void mesh_link_free(struct mesh_link *l)
{
	if (!l)
		return;
	if (l->lookup)
		l->lookup->l = NULL;
	drop_connection(l);
	loop_timer_done(&l->timer);
	tls_ctx_free(l->ctx);
	secret32_wipe(&l->key.secret);
	secret32_wipe(&l->mesh_key);
	free(l);
}
