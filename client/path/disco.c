/* Disco messages in and out: sealing, whose key is whose, pings that wait for answers. protocol/disco.md 3, 4, 7. */
#include <stdlib.h>

#include "client/path/internal.h"
#include "common/base/cleanup.h"
#include "common/base/random.h"

bool bucket_take(struct bucket *b, int64_t rate, int64_t burst, int64_t now_ms)
{
	if (b->at_ms == 0)
		b->milli = burst * 1000;
	else
		b->milli += MIN_OF(now_ms - b->at_ms, (int64_t)3600000) * rate;
	b->milli = MIN_OF(b->milli, burst * 1000);
	b->at_ms = MAX_OF(now_ms, (int64_t)1);
	if (b->milli < 1000)
		return false;
	b->milli -= 1000;
	return true;
}

/* ---- whose key ------------------------------------------------------------------------------------------------ */

err disco_join(struct path_peer *peer, const struct disco_pub *key)
{
	struct path *p = peer->path;
	struct disco_ref *d = map_get(&p->by_disco, key);

	if (!d) {
		d = calloc(1, sizeof *d);
		if (!d)
			return ERR_NOMEM;
		d->key = *key;
		list_init(&d->peers);
		err e = map_put(&p->by_disco, d);
		if (e != OK) {
			free(d);
			return e;
		}
	}
	list_add_tail(&d->peers, &peer->of_disco);
	peer->disco = d;
	return OK;
}

void disco_leave(struct path_peer *peer)
{
	struct disco_ref *d = peer->disco;

	if (!d)
		return;
	list_del(&peer->of_disco);
	peer->disco = NULL;
	if (!list_is_empty(&d->peers))
		return;
	map_del(&peer->path->by_disco, &d->key);
	box_shared_wipe(&d->shared);
	free(d);
}

static const struct box_shared *shared_with(struct path *p, struct disco_ref *d)
{
	if (d->state == SHARED_NOT_YET)
		d->state = box_shared_init(&d->shared, &p->disco.secret, d->key.b) == OK ? SHARED_READY : SHARED_REFUSED;
	return d->state == SHARED_READY ? &d->shared : NULL;
}

static struct path_peer *peer_of_disco(struct list *l)
{
	return container_of(l, struct path_peer, of_disco);
}

/* ---- out ------------------------------------------------------------------------------------------------------ */

static bool send_message(
	struct path *p, struct disco_ref *d, const struct disco_message *m, const struct path_out *to)
{
	uint8_t plain[DISCO_MESSAGE_MAX], packet[DISCO_OVERHEAD + DISCO_MESSAGE_MAX];
	struct writer w = wr_init(plain, sizeof plain), out = wr_init(packet, sizeof packet);
	const struct box_shared *shared = shared_with(p, d);

	if (!shared)
		return false;
	disco_write_message(&w, m);
	disco_write_envelope(&out, &p->disco.pub);
	uint8_t *sealed = wr_room(&out, w.n + BOX_OVERHEAD);
	if (w.bad || !sealed)
		return false;
	box_seal(shared, wr_view(&w), sealed);

	struct path_out o = *to;
	o.packet = wr_view(&out);
	path_put(p, &o);
	return true;
}

bool disco_send_ping(struct path_peer *peer, struct addrport to, uint16_t region, uint64_t id)
{
	struct path *p = peer->path;

	if (!peer->disco || p->pings.n >= PATH_PINGS_MAX)
		return false;
	struct sent_ping *s = calloc(1, sizeof *s);
	if (!s)
		return false;
	random_fill(s->txid.b, sizeof s->txid.b);
	s->peer = peer;
	s->to = to;
	s->region = region;
	s->sent_us = p->now_us;
	s->id = id;
	if (map_put(&p->pings, s) != OK) {
		free(s);
		return false;
	}
	list_add_tail(&p->pings_by_time, &s->by_time);
	peer->n_pings++;

	struct disco_message m = { .type = DISCO_PING };
	m.ping = (struct disco_ping){ .txid = s->txid, .has_node_key = true, .node_key = p->key };
	struct candidate *c = to.addr.family ? candidate_find(peer, to) : NULL;
	if (c) {
		c->ping_ms = p->now_ms;
		if (!c->waiting)
			c->unanswered_ms = p->now_ms;
		c->waiting = true;
	}
	return send_message(p, peer->disco, &m, &(struct path_out){ .to = to, .region = region, .key = peer->key });
}

void disco_send_call(struct path_peer *peer)
{
	struct path *p = peer->path;
	uint16_t region = peer->home ? peer->home : peer->last_region;
	struct disco_message m = { .type = DISCO_CALL_ME_MAYBE };

	if (!region || !p->n_endpoints || !peer->disco)
		return;
	for (size_t i = 0; i < p->n_endpoints && m.endpoints.n < DISCO_ENDPOINTS_MAX; i++)
		m.endpoints.at[m.endpoints.n++] = p->endpoint[i].at;
	peer->last_call_ms = p->now_ms;
	peer->told_endpoints = p->endpoints_version;
	send_message(p, peer->disco, &m, &(struct path_out){ .region = region, .key = peer->key });
}

/* ---- pings that wait ------------------------------------------------------------------------------------------ */

static void drop_ping(struct path *p, struct sent_ping *s)
{
	map_del(&p->pings, &s->txid);
	list_del(&s->by_time);
	s->peer->n_pings--;
	free(s);
}

void disco_forget_pings(struct path_peer *peer)
{
	struct path *p = peer->path;

	if (peer->n_pings) {
		list_each_safe(it, &p->pings_by_time) {
			struct sent_ping *s = container_of(it, struct sent_ping, by_time);

			if (s->peer == peer)
				drop_ping(p, s);
		}
	}
	for (size_t i = 0; i < p->n_asked;) {
		if (p->asked[i].peer == peer)
			p->asked[i] = p->asked[--p->n_asked];
		else
			i++;
	}
}

/* A person's ping has its result: the first one counts. */
static void finish_asked(struct path *p, uint64_t id, const struct path_ping_result *r)
{
	for (size_t i = 0; i < p->n_asked; i++) {
		if (p->asked[i].id != id)
			continue;
		path_result(p, &(struct path_event){ .kind = PATH_EV_PING, .peer = p->asked[i].peer, .ping = *r });
		p->asked[i] = p->asked[--p->n_asked];
		return;
	}
}

void disco_expire_pings(struct path *p)
{
	list_each_safe(it, &p->pings_by_time) {
		struct sent_ping *s = container_of(it, struct sent_ping, by_time);
		struct path_peer *peer = s->peer;

		if (p->now_us - s->sent_us < PING_TIMEOUT_MS * 1000LL)
			break;
		bool was_best = s->to.addr.family && addrport_eq(s->to, peer->best);
		drop_ping(p, s);
		if (was_best && !path_is_trusted(peer))
			peer_forget_best(peer);
	}
	for (size_t i = 0; i < p->n_asked;) {
		struct asked a = p->asked[i];

		if (p->now_ms - a.asked_ms >= PING_TIMEOUT_MS)
			finish_asked(p, a.id, &(struct path_ping_result){ .id = a.id, .lost = true });
		else
			i++;
	}
}

int64_t disco_due_ms(const struct path *p)
{
	int64_t due = INT64_MAX;

	if (!list_is_empty(&p->pings_by_time))
		due = container_of(p->pings_by_time.next, struct sent_ping, by_time)->sent_us / 1000 + PING_TIMEOUT_MS + 1;
	for (size_t i = 0; i < p->n_asked; i++)
		due = MIN_OF(due, p->asked[i].asked_ms + PING_TIMEOUT_MS);
	return due;
}

/* ---- in ------------------------------------------------------------------------------------------------------- */

/* Which peer sent it, when several have its disco key: the relay says so, or the node key inside. NULL: cannot tell. */
static struct path_peer *sender_of(
	struct path *p, struct disco_ref *d, const struct path_from *from, const struct disco_ping *ping)
{
	const struct node_pub *key = from->addr.addr.family == 0 ? &from->key : ping->has_node_key ? &ping->node_key : NULL;

	if (key) {
		struct path_peer *peer = path_peer_by_key(p, key);
		return peer && peer->disco == d ? peer : NULL;
	}
	return d->peers.next == d->peers.prev ? peer_of_disco(d->peers.next) : NULL;
}

/* Notes where it came from. True: this very ping came from there before, by another way into the machine. */
static bool note_source(struct path_peer *peer, struct addrport at, const struct disco_txid *txid)
{
	struct candidate *c = candidate_add(peer, at);

	if (!c)
		return false;
	bool again = c->got_ping_ms != NEVER_MS && memcmp(&c->got_txid, txid, sizeof *txid) == 0;
	c->got_ping_ms = peer->path->now_ms;
	c->got_txid = *txid;
	return again;
}

/* Their ping opened their NAT for us: now ours comes through. Not to idle peers: what we answer them starts it. */
static void ping_back(struct path_peer *peer, struct addrport at)
{
	const struct path *p = peer->path;
	const struct candidate *c = candidate_find(peer, at);

	if (!peer->is_active || !c || p->now_ms - c->pong_ms < PING_APART_MS)
		return;
	if (p->now_ms - c->ping_ms < PING_NEWS_APART_MS || (path_is_trusted(peer) && c->ping_ms != NEVER_MS))
		return;
	disco_send_ping(peer, at, 0, 0);
	peer_arm(peer);
}

static void got_ping(struct path *p, struct disco_ref *d, const struct path_from *from, const struct disco_ping *ping)
{
	struct path_peer *peer = sender_of(p, d, from, ping);
	bool by_udp = from->addr.addr.family != 0, again = false;
	struct disco_message m = { .type = DISCO_PONG };

	if (peer)
		peer_alive(peer);
	if (by_udp && (from->addr.port == 0 || addr_is_multicast(from->addr.addr) || addr_is_unspecified(from->addr.addr)))
		return;
	if (!by_udp && !peer)
		return;
	if (by_udp) {
		list_each(it, &d->peers)
			again |= note_source(peer_of_disco(it), from->addr, &ping->txid);
	}
	if (again)
		return;
	m.pong.txid = ping->txid;
	m.pong.src = by_udp ? from->addr : (struct addrport){ addr_v4(127, 3, 3, 40), from->region };
	send_message(p, d, &m, &(struct path_out){ .to = from->addr, .region = from->region, .key = from->key });
	if (by_udp && peer)
		ping_back(peer, from->addr);
}

static void got_pong(struct path *p, struct disco_ref *d, const struct path_from *from, const struct disco_pong *pong)
{
	struct sent_ping *s = map_get(&p->pings, &pong->txid);

	/* Whoever holds the key may answer from elsewhere, but not by a relay for what was asked directly. */
	if (!s || s->peer->disco != d || (from->addr.addr.family == 0) != (s->to.addr.family == 0)) {
		p->stats.stray_pong++;
		return;
	}
	struct sent_ping was = *s;
	int64_t latency_us = MAX_OF(p->now_us - was.sent_us, (int64_t)1);
	drop_ping(p, s);
	if (was.id) {
		struct path_ping_result r = { .id = was.id, .latency_us = latency_us, .via = was.to, .region = was.region };
		finish_asked(p, was.id, &r);
	}
	if (was.to.addr.family == 0)
		return;
	struct candidate *c = candidate_find(was.peer, was.to);
	if (!c)
		return;
	c->latency_us = latency_us;
	c->pong_ms = p->now_ms;
	if (was.sent_us / 1000 >= c->ping_ms)
		c->waiting = false;
	peer_proven(was.peer, was.to, latency_us);
}

/* It cannot be reached from here and asks that we try: its NAT is open for us now. */
static void got_call(
	struct path *p, struct disco_ref *d, const struct path_from *from, const struct disco_endpoints *e)
{
	struct path_peer *peer = from->addr.addr.family == 0 ? path_peer_by_key(p, &from->key) : NULL;

	if (!peer || peer->disco != d) {
		p->stats.refused_call++;
		return;
	}
	peer_alive(peer);
	if (!bucket_take(&peer->calls, CALLS_A_SECOND, CALLS_BURST, p->now_ms)) {
		p->stats.limited++;
		return;
	}
	for (size_t i = 0; i < peer->n_cand; i++)
		peer->cand[i].called = false;
	for (size_t i = 0; i < e->n; i++) {
		struct candidate *c = candidate_ok(p, e->at[i]) ? candidate_add(peer, e->at[i]) : NULL;

		if (c)
			c->called = true;
	}
	/* Even when we have a path: the peer has none. It is not called back, or we would call each other for ever, unless
	 * it does not know where we are now. */
	peer_full_ping(peer, PING_NEWS_APART_MS, false);
	if (peer->is_active && !path_is_trusted(peer) && peer->told_endpoints != p->endpoints_version)
		disco_send_call(peer);
	peer_arm(peer);
}

enum path_got disco_recv(struct path *p, const struct path_from *from, struct bytes packet)
{
	static const size_t plain_max = 2048; /* the longest message, or a Ping padded to an Ethernet frame */
	uint8_t plain[2048];
	struct disco_envelope e;
	struct disco_message m;

	if (disco_parse_envelope(packet, &e) != OK || e.sealed.n < BOX_OVERHEAD) {
		p->stats.malformed++;
		return PATH_TAKEN;
	}
	struct disco_ref *d = map_get(&p->by_disco, &e.sender);
	if (!d) {
		p->stats.unknown_disco++;
		return PATH_TAKEN;
	}
	if (e.sealed.n - BOX_OVERHEAD > plain_max) {
		p->stats.malformed++; /* a jumbo probe: without an answer the smaller size is used */
		return PATH_TAKEN;
	}
	const struct box_shared *shared = shared_with(p, d);
	if (!shared || box_open(shared, e.sealed, plain) != OK) {
		p->stats.unopened++;
		return PATH_TAKEN;
	}
	if (disco_parse_message(bytes_of(plain, e.sealed.n - BOX_OVERHEAD), &m) != OK) {
		p->stats.malformed++;
		return PATH_TAKEN;
	}
	switch (m.type) {
	case DISCO_PING:
		if (bucket_take(&d->pongs, PONGS_A_SECOND, PONGS_BURST, p->now_ms))
			got_ping(p, d, from, &m.ping);
		else
			p->stats.limited++;
		break;
	case DISCO_PONG:
		got_pong(p, d, from, &m.pong);
		break;
	case DISCO_CALL_ME_MAYBE:
		got_call(p, d, from, &m.endpoints);
		break;
	case DISCO_BIND: /* relays between peers are not used */
	case DISCO_BIND_CHALLENGE:
	case DISCO_BIND_ANSWER:
	case DISCO_CALL_ME_MAYBE_VIA:
	case DISCO_ALLOCATE_REQUEST:
	case DISCO_ALLOCATE_RESPONSE:
		break;
	}
	return PATH_TAKEN;
}
