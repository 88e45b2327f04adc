/* A link's life: IDLE -> DIALING (TCP, TLS) -> GREETING (HTTP, keys) -> OPEN, and after a failure WAITING. */
#include "client/path/derp_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/net/sock.h"
#include "common/net/tls.h"
#include "common/text/hex.h"
#include "common/wire/derp_client.h"

enum state { LINK_IDLE, LINK_DIALING, LINK_TLS, LINK_GREETING, LINK_OPEN, LINK_WAITING };

struct link {
	struct derp_links *d;
	struct derp_link_region region;
	enum state state;
	unsigned attempt;  /* picks the address; counts failures */
	unsigned failures; /* in a row */
	const struct derp_link_node *node;

	int fd;
	struct loop_io *io;
	struct tls *tls;
	bool tls_wants_write;
	struct derp_client client;
	bool has_client;
	struct loop_timer timer;
	struct loop_post flush;
	bool will_flush, dead; /* dead: freed when flush has run */
	const char *broken;    /* why it must close, after the callbacks */

	struct buf waiting; /* of struct waiting_head and packet, until it is open */
	int64_t heard_ms, used_ms, opened_ms;
	bool wants_probe;
	struct derp_ping ping;
	int64_t ping_us;   /* when it was sent; 0: none waits */
	int64_t answer_by_ms; /* 0: no check under way */
};

struct waiting_head {
	struct node_pub key;
	size_t n;
};

struct derp_links {
	struct derp_links_config c;
	struct node_key key;
	uint16_t home;
	struct link **link; /* owned */
	size_t n;
};

static void link_open(struct link *l);
static void arm(struct link *l);
static void on_timer(struct loop_timer *t);
static void on_flush(struct loop_post *p);

static int64_t now_of(const struct link *l)
{
	return loop_now_ms(l->d->c.loop);
}

static struct link *link_by_region(const struct derp_links *d, uint16_t region)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->link[i]->region.id == region)
			return d->link[i];
	}
	return NULL;
}

/* ---- closing -------------------------------------------------------------------------------------------------- */

static void drop_connection(struct link *l)
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
	l->ping_us = l->answer_by_ms = 0;
}

static bool is_kept(const struct link *l)
{
	return l->region.id == l->d->home || buf_len(&l->waiting) || l->wants_probe ||
	       now_of(l) - l->used_ms < DERP_LINK_IDLE_MS;
}

static void link_fail(struct link *l, const char *why)
{
	static struct log_limit limit = LOG_LIMIT(10, 60000);
	bool was_open = l->state == LINK_OPEN;

	if (log_allow(&limit))
		log_info("relay connection ended", "region=%u why=%s", l->region.id, log_qs(why).s);
	drop_connection(l);
	l->broken = NULL;
	if (was_open && now_of(l) - l->opened_ms > DERP_LINK_BACKOFF_MAX_MS)
		l->failures = 0;
	l->attempt++;
	l->failures++;
	l->state = is_kept(l) ? LINK_WAITING : LINK_IDLE;
	if (l->state == LINK_WAITING) {
		int64_t ms = DERP_LINK_BACKOFF_MIN_MS << MIN_OF(l->failures - 1, 8u);

		ms = MIN_OF(ms, (int64_t)DERP_LINK_BACKOFF_MAX_MS);
		loop_timer_in(&l->timer, ms / 2 + (int64_t)random_below((uint64_t)ms / 2 + 1));
	} else {
		loop_timer_stop(&l->timer);
		buf_clear(&l->waiting);
	}
	if (was_open || l->state == LINK_WAITING)
		l->d->c.on_state(l->d->c.ctx, l->region.id, false);
}

static void link_close(struct link *l)
{
	bool was_open = l->state == LINK_OPEN;

	drop_connection(l);
	loop_timer_stop(&l->timer);
	buf_clear(&l->waiting);
	l->state = LINK_IDLE;
	if (was_open)
		l->d->c.on_state(l->d->c.ctx, l->region.id, false);
}

static void link_free(struct link *l)
{
	drop_connection(l);
	loop_timer_done(&l->timer);
	buf_done(&l->waiting);
	l->dead = true;
	if (!l->will_flush)
		free(l);
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

/* The attempt's node and address: all nodes, each by IPv4 and IPv6, in turn. */
static bool pick_address(struct link *l, struct addrport *out)
{
	struct addrport all[2 * DERP_LINKS_NODES_MAX];
	const struct derp_link_node *node[2 * DERP_LINKS_NODES_MAX];
	unsigned n = 0;

	for (size_t i = 0; i < l->region.n_nodes; i++) {
		const struct derp_link_node *d = &l->region.node[i];
		uint16_t port = d->port ? d->port : 443;

		node[n] = d;
		if (d->v4.family)
			all[n++] = (struct addrport){ d->v4, port };
		node[n] = d;
		if (d->v6.family)
			all[n++] = (struct addrport){ d->v6, port };
	}
	if (!n)
		return false;
	*out = all[l->attempt % n];
	l->node = node[l->attempt % n];
	return true;
}

static err start_tls(struct link *l)
{
	static const char pin[] = "sha256-raw:";
	const struct derp_link_node *n = l->node;
	struct tls_client_opts o = { .ca_file = l->d->c.ca_file, .insecure = n->insecure, .once = true };
	struct tls_ctx *ctx;

	if (n->plain)
		return tls_new(NULL, l->fd, NULL, &l->tls);
	if (bytes_has_prefix(bytes_str(n->cert_name), BYTES_LIT("sha256-raw:")))
		o.sha256_raw = n->cert_name + sizeof pin - 1;
	else if (n->cert_name[0])
		o.verify_name = n->cert_name;
	TRY(tls_client_new(&o, &ctx));
	err e = tls_new(ctx, l->fd, n->host, &l->tls);
	tls_ctx_free(ctx);
	return e;
}

/* The server's key from the extra certificate in a TLS 1.3 handshake (derp.md 3.2); all zero: it sends none. The
 * handshake has proven that the certificates come from the server. */
static struct node_pub key_of_metacert(const struct tls *t)
{
	static const char mark[] = "derpkey";
	struct node_pub key = { 0 };

	if (tls_version(t) != 0x0304)
		return key;
	for (size_t i = 1; tls_peer_cert(t, i).n; i++) {
		struct bytes der = tls_peer_cert(t, i);
		const uint8_t *at = memmem(der.p, der.n, mark, sizeof mark - 1);
		struct bytes digits = at ? bytes_first(bytes_of(at + sizeof mark - 1, (size_t)(der.p + der.n - at) - (sizeof mark - 1)), 64)
					 : (struct bytes){ 0 };
		struct node_pub k;

		if (digits.n == 64 && hex_decode(digits, k.b, sizeof k.b) == OK)
			key = k;
	}
	return key;
}

static err greet(struct link *l)
{
	struct derp_client_opts o = {
		.key = &l->d->key,
		.host = l->node->host,
		.server_key = key_of_metacert(l->tls),
		.preferred = l->region.id == l->d->home,
		.info = { .version = DERP_PROTOCOL_VERSION, .can_ack_pings = true },
	};

	if (l->node != &l->region.node[0])
		o.ideal_node = l->region.node[0].name;
	TRY(derp_client_init(&l->client, &o));
	l->has_client = true;
	l->state = LINK_GREETING;
	return OK;
}

/* ---- moving bytes --------------------------------------------------------------------------------------------- */

static void want(struct link *l)
{
	bool write = l->state == LINK_DIALING || l->tls_wants_write || (l->has_client && buf_len(&l->client.out));

	loop_io_want(l->io, LOOP_READ | (write ? LOOP_WRITE : 0));
}

static void push(struct link *l)
{
	struct buf *out = &l->client.out;

	l->tls_wants_write = false;
	while (buf_len(out)) {
		size_t n;

		switch (tls_write(l->tls, buf_view(out), &n)) {
		case TLS_OK:
			buf_consume(out, n);
			continue;
		case TLS_WANT_WRITE:
		case TLS_WANT_READ:
			return;
		case TLS_EOF:
		case TLS_FAIL:
			l->broken = "cannot write";
			return;
		}
	}
}

static void flush_later(struct link *l)
{
	if (l->will_flush)
		return;
	l->will_flush = true;
	loop_defer_node(l->d->c.loop, &l->flush);
}

static void on_flush(struct loop_post *p)
{
	struct link *l = container_of(p, struct link, flush);

	l->will_flush = false;
	if (l->dead) {
		free(l);
		return;
	}
	if (l->has_client && !l->broken)
		push(l);
	if (l->broken)
		link_fail(l, l->broken);
	else if (l->io)
		want(l);
}

static void send_ping(struct link *l)
{
	random_fill(l->ping.b, sizeof l->ping.b);
	l->ping_us = clock_mono_us();
	if (derp_client_ping(&l->client, &l->ping) != OK)
		l->broken = "cannot ping";
	flush_later(l);
}

static void opened(struct link *l)
{
	struct waiting_head h;

	l->state = LINK_OPEN;
	l->opened_ms = now_of(l);
	l->failures = 0;
	log_info("relay connected", "region=%u host=%s", l->region.id, log_qs(l->node->host).s);
	while (buf_len(&l->waiting) >= sizeof h) {
		struct bytes b = buf_view(&l->waiting);

		memcpy(&h, b.p, sizeof h);
		if (derp_client_send(&l->client, &h.key, bytes_first(bytes_skip(b, sizeof h), h.n)) != OK)
			break;
		buf_consume(&l->waiting, sizeof h + h.n);
	}
	buf_clear(&l->waiting);
	buf_release(&l->waiting);
	if (l->wants_probe)
		send_ping(l);
	arm(l);
	l->d->c.on_state(l->d->c.ctx, l->region.id, true);
}

static void got_pong(struct link *l, const struct derp_ping *p)
{
	if (!l->ping_us || memcmp(p, &l->ping, sizeof *p) != 0)
		return;
	int64_t us = clock_mono_us() - l->ping_us;
	l->ping_us = 0;
	if (l->wants_probe)
		l->d->c.on_latency(l->d->c.ctx, l->region.id, us);
	l->wants_probe = false;
}

static void on_event(struct link *l, const struct derp_client_event *ev)
{
	const struct derp_links_config *c = &l->d->c;

	l->heard_ms = now_of(l);
	l->answer_by_ms = 0;
	switch (ev->kind) {
	case DERP_CLIENT_CONNECTED:
		opened(l);
		return;
	case DERP_CLIENT_PACKET:
		l->used_ms = l->heard_ms;
		c->on_packet(c->ctx, l->region.id, &ev->packet.key, ev->packet.packet);
		break;
	case DERP_CLIENT_PEER_GONE:
		if (c->on_peer_gone)
			c->on_peer_gone(c->ctx, l->region.id, &ev->gone.key);
		break;
	case DERP_CLIENT_PONG:
		got_pong(l, &ev->pong);
		break;
	case DERP_CLIENT_HEALTH:
		if (ev->health.n)
			log_warn("relay reports a problem", "region=%u problem=%s", l->region.id, log_q(ev->health).s);
		break;
	case DERP_CLIENT_RESTARTING: /* it closes soon; the back-off finds it again */
	case DERP_CLIENT_KEEP_ALIVE:
	case DERP_CLIENT_PEER_PRESENT:
		break;
	}
	c->on_heard(c->ctx, l->region.id);
}

static void step_events(struct link *l)
{
	struct derp_client_event ev;

	while (!l->broken && l->has_client) {
		err e = derp_client_next(&l->client, &ev);

		if (e == ERR_TRUNCATED)
			return;
		if (e != OK)
			l->broken = e == ERR_DENIED ? "refused" : "protocol error";
		else
			on_event(l, &ev);
	}
}

static void pull(struct link *l)
{
	static uint8_t chunk[16 << 10]; /* one loop, and nothing in here reads again before it is fed */

	while (!l->broken && l->tls) {
		size_t n;

		switch (tls_read(l->tls, chunk, sizeof chunk, &n)) {
		case TLS_OK:
			if (derp_client_feed(&l->client, bytes_of(chunk, n)) != OK)
				l->broken = "too much at once";
			step_events(l);
			continue;
		case TLS_WANT_READ:
			return;
		case TLS_WANT_WRITE:
			l->tls_wants_write = true;
			return;
		case TLS_EOF:
			l->broken = "closed";
			return;
		case TLS_FAIL:
			l->broken = "cannot read";
			return;
		}
	}
}

static void shake_hands(struct link *l)
{
	l->tls_wants_write = false;
	switch (tls_handshake(l->tls)) {
	case TLS_OK:
		if (greet(l) != OK)
			l->broken = "no client";
		return;
	case TLS_WANT_READ:
		return;
	case TLS_WANT_WRITE:
		l->tls_wants_write = true;
		return;
	case TLS_EOF:
	case TLS_FAIL:
		l->broken = tls_why(l->tls)[0] ? tls_why(l->tls) : "TLS failed";
		return;
	}
}

static void on_ready(struct loop_io *io, unsigned ready, void *ctx)
{
	struct link *l = ctx;

	(void)io;
	if (l->state == LINK_DIALING && (ready & (LOOP_WRITE | LOOP_HANGUP))) {
		if (sock_error(l->fd) != 0)
			l->broken = "cannot connect";
		else if (start_tls(l) != OK)
			l->broken = "no TLS";
		else
			l->state = LINK_TLS;
	}
	if (!l->broken && l->state == LINK_TLS)
		shake_hands(l);
	if (!l->broken && l->has_client) {
		push(l);
		pull(l);
		if (!l->broken && l->has_client)
			push(l);
	}
	if (l->broken)
		link_fail(l, l->broken);
	else if (l->io)
		want(l);
}

static void link_open(struct link *l)
{
	struct addrport to;

	loop_timer_in(&l->timer, DERP_LINK_DIAL_MS);
	if (!pick_address(l, &to)) {
		l->state = LINK_WAITING; /* until the addresses are known */
		return;
	}
	l->state = LINK_DIALING;
	if (sock_connect_tcp(to, &l->fd) != OK) {
		link_fail(l, "cannot connect");
		return;
	}
	sock_nodelay(l->fd);
	if (loop_io_new(l->d->c.loop, l->fd, on_ready, l, &l->io) != OK) {
		link_fail(l, "out of memory");
		return;
	}
	want(l);
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

static void arm(struct link *l)
{
	int64_t now = now_of(l), due = l->heard_ms + DERP_LINK_SILENT_MS;

	if (l->region.id != l->d->home)
		due = MIN_OF(due, l->used_ms + DERP_LINK_IDLE_MS);
	if (l->answer_by_ms)
		due = MIN_OF(due, l->answer_by_ms);
	loop_timer_in(&l->timer, due > now ? due - now : 1);
}

static void on_timer(struct loop_timer *t)
{
	struct link *l = container_of(t, struct link, timer);
	int64_t now = now_of(l);

	switch (l->state) {
	case LINK_IDLE:
		break;
	case LINK_WAITING:
		link_open(l);
		break;
	case LINK_DIALING:
	case LINK_TLS:
	case LINK_GREETING:
		link_fail(l, "timeout");
		break;
	case LINK_OPEN:
		if ((l->answer_by_ms && now >= l->answer_by_ms) || now - l->heard_ms >= DERP_LINK_SILENT_MS)
			link_fail(l, "silent");
		else if (l->region.id != l->d->home && now - l->used_ms >= DERP_LINK_IDLE_MS)
			link_close(l);
		else
			arm(l);
		break;
	}
}

/* ---- the set -------------------------------------------------------------------------------------------------- */

err derp_links_new(const struct derp_links_config *c, struct derp_links **out)
{
	struct derp_links *d = calloc(1, sizeof *d);

	if (!d)
		return ERR_NOMEM;
	d->c = *c;
	d->key = *c->key;
	*out = d;
	return OK;
}

void derp_links_free(struct derp_links *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++)
		link_free(d->link[i]);
	free(d->link);
	secret32_wipe(&d->key.secret);
	free(d);
}

static struct link *link_new(struct derp_links *d, const struct derp_link_region *r)
{
	struct link *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->d = d;
	l->region = *r;
	l->fd = -1;
	l->used_ms = INT64_MIN / 2;
	l->waiting = buf_make(DERP_LINK_WAITING_MAX);
	l->flush.fn = on_flush;
	loop_timer_init(&l->timer, d->c.loop, on_timer);
	return l;
}

static bool same_node(const struct derp_link_node *a, const struct derp_link_node *b)
{
	return strcmp(a->host, b->host) == 0 && strcmp(a->cert_name, b->cert_name) == 0 && a->port == b->port &&
	       a->insecure == b->insecure && a->plain == b->plain && addr_eq(a->v4, b->v4) && addr_eq(a->v6, b->v6);
}

static bool same_region(const struct derp_link_region *a, const struct derp_link_region *b)
{
	if (a->n_nodes != b->n_nodes)
		return false;
	for (size_t i = 0; i < a->n_nodes; i++) {
		if (!same_node(&a->node[i], &b->node[i]))
			return false;
	}
	return true;
}

/* What an open connection was made to is still there? Otherwise it is made anew. */
static void change_region(struct link *l, const struct derp_link_region *r)
{
	if (same_region(&l->region, r))
		return;
	bool wanted = l->state != LINK_IDLE;
	drop_connection(l);
	bool was_open = l->state == LINK_OPEN;
	l->region = *r;
	l->node = NULL;
	l->attempt = l->failures = 0;
	l->state = LINK_IDLE;
	if (was_open)
		l->d->c.on_state(l->d->c.ctx, l->region.id, false);
	if (wanted)
		link_open(l);
}

err derp_links_set_regions(struct derp_links *d, const struct derp_link_region *r, size_t n)
{
	n = MIN_OF(n, (size_t)DERP_LINKS_REGIONS_MAX);
	struct link **fresh = calloc(n ? n : 1, sizeof *fresh);
	if (!fresh)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct link *old = link_by_region(d, r[i].id);

		fresh[i] = old ? old : link_new(d, &r[i]);
		if (fresh[i])
			continue;
		for (size_t k = 0; k < i; k++) {
			if (!link_by_region(d, r[k].id))
				link_free(fresh[k]);
		}
		free(fresh);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < d->n; i++) {
		bool stays = false;

		for (size_t k = 0; k < n; k++)
			stays |= fresh[k] == d->link[i];
		if (!stays)
			link_free(d->link[i]);
	}
	free(d->link);
	d->link = fresh;
	d->n = n;
	for (size_t i = 0; i < n; i++)
		change_region(d->link[i], &r[i]);
	derp_links_set_home(d, d->home);
	return OK;
}

void derp_links_set_home(struct derp_links *d, uint16_t region)
{
	uint16_t old = d->home;

	d->home = region;
	for (size_t i = 0; i < d->n; i++) {
		struct link *l = d->link[i];
		bool is_home = l->region.id == region;

		if (!is_home && l->region.id != old)
			continue;
		if (is_home && l->state == LINK_IDLE)
			link_open(l);
		if (l->state == LINK_OPEN && old != region) {
			if (derp_client_note_preferred(&l->client, is_home) != OK)
				l->broken = "does not read";
			if (!is_home)
				l->used_ms = now_of(l);
			arm(l);
			flush_later(l);
		}
	}
}

void derp_links_set_key(struct derp_links *d, const struct node_key *key)
{
	if (node_pub_eq(&d->key.pub, &key->pub))
		return;
	d->key = *key;
	for (size_t i = 0; i < d->n; i++) {
		struct link *l = d->link[i];

		if (l->state == LINK_IDLE)
			continue;
		link_close(l);
		if (l->region.id == d->home)
			link_open(l);
	}
}

/* Keeps a packet for when the link is open; the oldest make room. */
static void keep_waiting(struct link *l, const struct node_pub *to, struct bytes packet)
{
	struct waiting_head h = { .key = *to, .n = packet.n }, old;

	if (sizeof h + packet.n > DERP_LINK_WAITING_MAX)
		return;
	while (buf_len(&l->waiting) + sizeof h + packet.n > DERP_LINK_WAITING_MAX) {
		memcpy(&old, buf_view(&l->waiting).p, sizeof old);
		buf_consume(&l->waiting, sizeof old + old.n);
	}
	if (!buf_reserve(&l->waiting, sizeof h + packet.n)) {
		buf_done(&l->waiting); /* out of memory: what waited is lost like a datagram */
		l->waiting = buf_make(DERP_LINK_WAITING_MAX);
		return;
	}
	buf_append(&l->waiting, bytes_of(&h, sizeof h));
	buf_append(&l->waiting, packet);
}

err derp_links_send(struct derp_links *d, uint16_t region, const struct node_pub *to, struct bytes packet)
{
	struct link *l = link_by_region(d, region);

	if (!l || !l->region.n_nodes)
		return ERR_NOT_FOUND;
	l->used_ms = now_of(l);
	if (l->state == LINK_OPEN) {
		flush_later(l);
		return derp_client_send(&l->client, to, packet);
	}
	keep_waiting(l, to, packet);
	if (l->state == LINK_IDLE)
		link_open(l);
	return OK;
}

void derp_links_probe(struct derp_links *d, uint16_t region)
{
	struct link *l = link_by_region(d, region);

	if (!l || !l->region.n_nodes)
		return;
	l->wants_probe = true;
	if (l->state == LINK_OPEN && !l->ping_us)
		send_ping(l);
	else if (l->state == LINK_IDLE)
		link_open(l);
}

void derp_links_check(struct derp_links *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct link *l = d->link[i];

		if (l->state == LINK_OPEN) {
			l->answer_by_ms = now_of(l) + DERP_LINK_CHECK_MS;
			send_ping(l);
			arm(l);
		} else if (l->state == LINK_WAITING) {
			l->failures = 0;
			loop_timer_in(&l->timer, 1);
		}
	}
}

bool derp_links_is_up(const struct derp_links *d, uint16_t region)
{
	const struct link *l = link_by_region(d, region);

	return l && l->state == LINK_OPEN;
}
