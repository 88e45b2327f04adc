#include "derp/session.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/wire/disco.h"

enum { RINGS_KEPT = 256 };

/* 32 packets, oldest at head. */
struct session_ring {
	struct session_ring *next_free;
	uint32_t bytes;
	uint8_t head, n;
	struct session_packet at[SESSION_QUEUE_PACKETS];
};

/* ---- rings ------------------------------------------------------------------------------------------------------ */

static struct session_ring *ring_take(struct session_pool *p)
{
	struct session_ring *r = p->free;

	if (r) {
		p->free = r->next_free;
		p->n_free--;
	} else {
		r = malloc(sizeof *r);
	}
	if (r) {
		r->bytes = 0;
		r->head = r->n = 0;
	}
	return r;
}

static void ring_give(struct session_pool *p, struct session_ring *r)
{
	if (p->n_free >= RINGS_KEPT) {
		free(r);
		return;
	}
	r->next_free = p->free;
	p->free = r;
	p->n_free++;
}

void session_pool_done(struct session_pool *p)
{
	while (p->free) {
		struct session_ring *r = p->free;

		p->free = r->next_free;
		free(r);
	}
	p->n_free = 0;
}

static struct session_packet ring_pop(struct session_ring *r)
{
	struct session_packet pkt = r->at[r->head];

	r->head = (uint8_t)((r->head + 1) % SESSION_QUEUE_PACKETS);
	r->n--;
	r->bytes -= pkt.n;
	return pkt;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void tell_output(struct session *s)
{
	s->host->on_output(s);
}

void session_init(struct session *s, const struct session_host *host, const struct node_key *self,
	struct session_pool *pool, uint32_t jitter_ms, int64_t now_ms)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);

	*s = (struct session){ .state = SESSION_HELLO, .host = host, .self = self, .pool = pool };
	s->due_ms = now_ms + SESSION_HANDSHAKE_MS;
	s->keepalive_ms = SESSION_KEEPALIVE_MS + jitter_ms;
	s->held = buf_make(SESSION_HELD_BYTES);
	s->control = buf_make(SESSION_CONTROL_BYTES);
	derp_write_server_key(&w, &self->pub);
	buf_append(&s->control, wr_view(&w));
	if (s->control.bad)
		session_close(s, "out of memory");
	tell_output(s);
}

static void drop_queue(struct session *s, struct session_ring **q)
{
	if (!*q)
		return;
	while ((*q)->n) {
		struct session_packet pkt = ring_pop(*q);

		s->host->on_queued(s, -(int64_t)pkt.n);
		s->host->on_drop(s, SESSION_DROP_GONE, &pkt);
		free(pkt.base);
	}
	ring_give(s->pool, *q);
	*q = NULL;
}

/* What a closed session has no more use for. */
static void let_go(struct session *s)
{
	box_shared_wipe(&s->shared);
	secret32_wipe(&s->info.mesh_key);
	drop_queue(s, &s->disco);
	drop_queue(s, &s->bulk);
	if (s->cur.p) { /* a part of it is out, which is of use to nobody */
		s->host->on_queued(s, -(int64_t)s->cur.n);
		s->host->on_drop(s, SESSION_DROP_GONE, &s->cur);
		free(s->cur.base);
		s->cur = (struct session_packet){ 0 };
	}
	if (s->partial)
		s->host->on_queued(s, -(int64_t)s->partial_len);
	free(s->partial);
	s->partial = NULL;
	buf_done(&s->held);
	buf_done(&s->control);
	s->has_pong = false;
}

void session_close(struct session *s, const char *why)
{
	if (s->state == SESSION_CLOSED)
		return;
	s->state = SESSION_CLOSED;
	s->close_why = why;
	let_go(s);
	tell_output(s);
}

void session_done(struct session *s)
{
	if (s->host)
		let_go(s);
}

/* ---- in --------------------------------------------------------------------------------------------------------- */

static void on_client_info(struct session *s, const struct derp_frame *f, int64_t now_ms)
{
	struct derp_client_info_frame ci;

	if (derp_parse_client_info(f->payload, &ci) != OK || ci.sealed.n < BOX_OVERHEAD) {
		session_close(s, "bad ClientInfo");
		return;
	}
	if (box_shared_init(&s->shared, &s->self->secret, ci.key.b) != OK) {
		session_close(s, "a node key of small order");
		return;
	}
	size_t json_n = ci.sealed.n - BOX_OVERHEAD;
	CLEANUP(freep) uint8_t *json = malloc(json_n ? json_n : 1);
	err e = json ? box_open(&s->shared, ci.sealed, json) : ERR_NOMEM;

	if (e == OK)
		e = derp_parse_client_info_json(bytes_of(json, json_n), &s->info);
	if (json)
		sodium_memzero(json, json_n); /* it may hold a mesh key */
	if (e != OK) {
		session_close(s, e == ERR_AUTH ? "ClientInfo does not open" : e == ERR_NOMEM ? "out of memory" : "bad ClientInfo");
		return;
	}
	s->key = ci.key;
	s->state = SESSION_ADMISSION;
	s->host->on_client(s, now_ms);
}

/* frame is whole, checked, and lies in base (taken) or, with base NULL, in borrowed bytes. */
static void on_send_packet(struct session *s, uint8_t *base, uint8_t *frame, size_t len, int64_t now_ms)
{
	struct derp_packet m;

	if (derp_parse_packet(bytes_of(frame + DERP_HEADER_LEN, len - DERP_HEADER_LEN), &m) != OK) {
		free(base);
		session_close(s, "bad SendPacket");
		return;
	}
	bool disco = disco_looks_like_on_derp(m.packet);
	struct bytes recv = derp_send_to_recv(frame, len, &s->key);
	struct session_packet pkt = { .base = base, .p = frame + (len - recv.n), .n = (uint32_t)recv.n, .disco = disco };

	s->host->on_packet(s, &m.key, pkt, now_ms);
}

/* From a mesh peer; the same for ForwardPacket. */
static void on_forward_packet(struct session *s, uint8_t *base, uint8_t *frame, size_t len, int64_t now_ms)
{
	struct derp_forward m;

	if (derp_parse_forward(bytes_of(frame + DERP_HEADER_LEN, len - DERP_HEADER_LEN), &m) != OK) {
		free(base);
		session_close(s, "bad ForwardPacket");
		return;
	}
	bool disco = disco_looks_like_on_derp(m.packet);
	struct bytes recv = derp_forward_to_recv(frame, len);
	struct session_packet pkt = { .base = base, .p = frame + (len - recv.n), .n = (uint32_t)recv.n, .disco = disco };

	s->host->on_forward(s, &m.src, &m.dst, pkt, now_ms);
}

static void on_short_frame(struct session *s, const struct derp_frame *f)
{
	struct node_pub key;
	bool home;

	switch (f->type) {
	case DERP_NOTE_PREFERRED:
		if (derp_parse_note_preferred(f->payload, &home) != OK)
			session_close(s, "bad NotePreferred");
		else
			s->host->on_home(s, home);
		return;
	case DERP_PING:
		s->host->on_ping(s);
		if (s->has_pong) /* one at a time: a flood of pings gets few answers */
			return;
		if (derp_parse_ping(f->payload, &s->pong) != OK) {
			session_close(s, "bad Ping");
			return;
		}
		s->has_pong = true;
		tell_output(s);
		return;
	case DERP_WATCH_CONNS:
		s->host->on_watch(s);
		return;
	case DERP_CLOSE_PEER:
		if (derp_parse_close_peer(f->payload, &key) != OK)
			session_close(s, "bad ClosePeer");
		else
			s->host->on_close_peer(s, &key);
		return;
	default: /* of the future, or not for a server: skipped */
		return;
	}
}

/* frame is whole, and check_header has seen its header. */
static void on_frame(struct session *s, uint8_t *base, uint8_t *frame, size_t len, int64_t now_ms)
{
	struct derp_frame f = { .type = frame[0], .payload = bytes_skip(bytes_of(frame, len), DERP_HEADER_LEN), .len = len };

	if (s->state == SESSION_HELLO) {
		on_client_info(s, &f, now_ms);
		free(base);
		return;
	}
	s->host->on_activity(s);
	if (f.type == DERP_SEND_PACKET) {
		on_send_packet(s, base, frame, len, now_ms);
		return;
	}
	if (f.type == DERP_FORWARD_PACKET) {
		on_forward_packet(s, base, frame, len, now_ms);
		return;
	}
	on_short_frame(s, &f);
	free(base);
}

/* What a header says about the bytes after it. */
enum take { TAKE_FRAME, TAKE_SKIP, TAKE_BAD };

static enum take check_header(struct session *s, struct derp_header h)
{
	if (derp_server_check(h) != OK) {
		session_close(s, "a frame of a wrong length");
		return TAKE_BAD;
	}
	if (s->state == SESSION_HELLO) {
		if (h.type == DERP_CLIENT_INFO && h.len <= DERP_CLIENT_INFO_MIN + DERP_INFO_JSON_MAX)
			return TAKE_FRAME;
		session_close(s, h.type == DERP_CLIENT_INFO ? "ClientInfo is too long" : "ClientInfo must come first");
		return TAKE_BAD;
	}
	switch (h.type) {
	case DERP_SEND_PACKET:
	case DERP_NOTE_PREFERRED:
	case DERP_PING:
		return TAKE_FRAME;
	case DERP_FORWARD_PACKET: /* the header alone closes: nothing is kept of it */
	case DERP_WATCH_CONNS:
	case DERP_CLOSE_PEER:
		if (s->trusted)
			return TAKE_FRAME;
		session_close(s, "a mesh frame from one that is no mesh peer");
		return TAKE_BAD;
	default:
		return TAKE_SKIP;
	}
}

/* The header is complete in s->head: makes room for the frame, or arranges that it is skipped. */
static void start_frame(struct session *s)
{
	struct derp_header h = { 0 };

	s->head_n = 0;
	if (derp_parse_header(bytes_of(s->head, DERP_HEADER_LEN), &h) != OK)
		return;
	switch (check_header(s, h)) {
	case TAKE_BAD:
		return;
	case TAKE_SKIP:
		s->skip = h.len;
		if (s->state == SESSION_OPEN)
			s->host->on_activity(s);
		return;
	case TAKE_FRAME:
		break;
	}
	s->partial_len = DERP_HEADER_LEN + h.len;
	s->partial = malloc(s->partial_len);
	if (!s->partial) {
		session_close(s, "out of memory");
		return;
	}
	s->host->on_queued(s, s->partial_len);
	memcpy(s->partial, s->head, DERP_HEADER_LEN);
	s->partial_n = DERP_HEADER_LEN;
}

static void end_frame(struct session *s, int64_t now_ms)
{
	uint8_t *frame = MOVE(s->partial);

	s->host->on_queued(s, -(int64_t)s->partial_len);
	on_frame(s, frame, frame, s->partial_len, now_ms);
}

/* Consumes bytes that belong to a frame begun earlier, or begins one that is not whole. Returns what it used. */
static size_t feed_piece(struct session *s, const uint8_t *p, size_t n, int64_t now_ms)
{
	size_t k;

	if (s->skip) {
		k = MIN_OF((size_t)s->skip, n);
		s->skip -= (uint32_t)k;
		return k;
	}
	if (s->partial) {
		k = MIN_OF((size_t)(s->partial_len - s->partial_n), n);
		memcpy(s->partial + s->partial_n, p, k);
		s->partial_n += (uint32_t)k;
	} else {
		k = MIN_OF((size_t)(DERP_HEADER_LEN - s->head_n), n);
		memcpy(s->head + s->head_n, p, k);
		s->head_n = (uint8_t)(s->head_n + k);
		if (s->head_n == DERP_HEADER_LEN)
			start_frame(s);
	}
	if (s->partial && s->partial_n == s->partial_len)
		end_frame(s, now_ms);
	return k;
}

/* A frame that lies whole at p. Returns its length, or 0: not whole, or of a kind that feed_piece must see. */
static size_t feed_whole(struct session *s, uint8_t *p, size_t n, int64_t now_ms)
{
	struct derp_header h;

	if (s->skip || s->partial || s->head_n || derp_parse_header(bytes_of(p, n), &h) != OK ||
		h.len > n - DERP_HEADER_LEN)
		return 0;
	size_t len = DERP_HEADER_LEN + (size_t)h.len;

	switch (check_header(s, h)) {
	case TAKE_BAD:
		break;
	case TAKE_SKIP:
		if (s->state == SESSION_OPEN)
			s->host->on_activity(s);
		break;
	case TAKE_FRAME:
		on_frame(s, NULL, p, len, now_ms);
		break;
	}
	return len;
}

void session_feed(struct session *s, uint8_t *p, size_t n, int64_t now_ms)
{
	while (n && s->state != SESSION_CLOSED) {
		if (s->state == SESSION_ADMISSION) {
			buf_append(&s->held, bytes_of(p, n));
			if (s->held.bad)
				session_close(s, "too much before admission");
			return;
		}
		size_t used = feed_whole(s, p, n, now_ms);

		if (!used)
			used = feed_piece(s, p, n, now_ms);
		p += used;
		n -= used;
	}
}

bool session_wants_input(const struct session *s)
{
	return s->state == SESSION_HELLO || s->state == SESSION_OPEN;
}

/* ---- admission -------------------------------------------------------------------------------------------------- */

static err queue_server_info(struct session *s)
{
	const struct derp_server_info si = { .version = DERP_PROTOCOL_VERSION };
	struct buf json = buf_make(256);
	uint8_t sealed[256 + BOX_OVERHEAD], frame[sizeof sealed + DERP_HEADER_LEN];
	struct writer w = wr_init(frame, sizeof frame);
	err e = derp_write_server_info_json(&si, &json);

	if (e == OK) {
		box_seal(&s->shared, buf_view(&json), sealed);
		derp_write_server_info(&w, bytes_of(sealed, buf_len(&json) + BOX_OVERHEAD));
		buf_append(&s->control, wr_view(&w));
		e = w.bad || s->control.bad ? ERR_NOMEM : OK;
	}
	buf_done(&json);
	box_shared_wipe(&s->shared);
	return e;
}

void session_admit(struct session *s, int64_t now_ms)
{
	if (s->state != SESSION_ADMISSION)
		return;
	if (queue_server_info(s) != OK) {
		session_close(s, "out of memory");
		return;
	}
	s->state = SESSION_OPEN;
	s->due_ms = now_ms + s->keepalive_ms;
	tell_output(s);
	if (!buf_len(&s->held))
		return;
	/* What was held leaves s before it is fed: it may close the session. Nothing of it stays borrowed. */
	struct buf held = s->held;

	s->held = buf_make(SESSION_HELD_BYTES);
	struct bytes v = buf_view(&held);
	size_t at = 0;
	while (at < v.n && s->state == SESSION_OPEN)
		at += feed_piece(s, v.p + at, v.n - at, now_ms); /* owned copies, frame by frame */
	buf_done(&held);
}

/* ---- out -------------------------------------------------------------------------------------------------------- */

void session_enqueue(struct session *s, struct session_packet pkt)
{
	struct session_ring **q = pkt.disco ? &s->disco : &s->bulk;

	if (s->state != SESSION_OPEN) {
		s->host->on_drop(s, SESSION_DROP_GONE, &pkt);
		free(pkt.base);
		return;
	}
	if (!*q && !(*q = ring_take(s->pool))) {
		s->host->on_drop(s, SESSION_DROP_QUEUE_TAIL, &pkt);
		free(pkt.base);
		return;
	}
	struct session_ring *r = *q;
	while (r->n && (r->n == SESSION_QUEUE_PACKETS || r->bytes + pkt.n > SESSION_QUEUE_BYTES)) {
		struct session_packet old = ring_pop(r);

		s->host->on_queued(s, -(int64_t)old.n);
		s->host->on_drop(s, SESSION_DROP_QUEUE_HEAD, &old);
		free(old.base);
	}
	r->at[(r->head + r->n) % SESSION_QUEUE_PACKETS] = pkt;
	r->n++;
	r->bytes += pkt.n;
	s->host->on_queued(s, pkt.n);
	tell_output(s);
}

static bool queue_control(struct session *s, const struct writer *w)
{
	if (s->state != SESSION_OPEN || w->bad || w->n > s->control.max - buf_len(&s->control))
		return false;
	buf_append(&s->control, wr_view(w));
	if (s->control.bad)
		session_close(s, "out of memory");
	tell_output(s);
	return s->state == SESSION_OPEN;
}

bool session_peer_gone(struct session *s, const struct node_pub *key, enum derp_gone reason)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);

	derp_write_peer_gone(&w, key, reason);
	return queue_control(s, &w);
}

void session_watch(struct session *s)
{
	if (s->state == SESSION_OPEN)
		s->control.max = SESSION_WATCH_BYTES;
}

void session_tell_came(struct session *s, const struct derp_peer_present *p)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);

	derp_write_peer_present(&w, p);
	if (!queue_control(s, &w))
		session_close(s, "a mesh peer that does not read");
}

void session_tell_left(struct session *s, const struct node_pub *key)
{
	if (!session_peer_gone(s, key, DERP_GONE_DISCONNECTED))
		session_close(s, "a mesh peer that does not read");
}

bool session_health(struct session *s, struct bytes text)
{
	uint8_t frame[DERP_HEADER_LEN + 1024];
	struct writer w = wr_init(frame, sizeof frame);

	derp_write_health(&w, text);
	return queue_control(s, &w);
}

void session_drain(struct session *s, uint32_t in_ms, uint32_t try_for_ms, int64_t now_ms)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);
	struct derp_restarting r = { .reconnect_in_ms = in_ms, .try_for_ms = try_for_ms };

	derp_write_restarting(&w, &r);
	s->drain_ms = now_ms + in_ms;
	if (!queue_control(s, &w))
		tell_output(s); /* the owner's timer must learn of it */
}

uint32_t session_queued(const struct session *s)
{
	return (s->bulk ? s->bulk->n : 0u) + (s->disco ? s->disco->n : 0u) + (s->cur.p != NULL);
}

static bool is_pressed(const struct session_ring *r)
{
	return r && (r->n >= SESSION_PUSH_PACKETS || r->bytes >= SESSION_PUSH_BYTES);
}

bool session_is_pressed(const struct session *s)
{
	return is_pressed(s->bulk) || is_pressed(s->disco);
}

bool session_has_output(const struct session *s)
{
	return s->cur.p || buf_len(&s->control) || s->has_pong || s->disco || s->bulk;
}

/* As much of the packet under way as fits. */
static size_t pull_cur(struct session *s, uint8_t *dst, size_t cap)
{
	size_t k = MIN_OF((size_t)(s->cur.n - s->cur_at), cap);

	memcpy(dst, s->cur.p + s->cur_at, k);
	s->cur_at += (uint32_t)k;
	if (s->cur_at == s->cur.n) {
		s->packets_out++;
		s->host->on_queued(s, -(int64_t)s->cur.n);
		free(s->cur.base);
		s->cur = (struct session_packet){ 0 };
	}
	return k;
}

static size_t pull_queue(struct session *s, struct session_ring **q, uint8_t *dst, size_t cap, bool first)
{
	size_t n = 0;

	while (*q && !s->cur.p) {
		const struct session_packet *next = &(*q)->at[(*q)->head];

		if (next->n > cap - n && !(first && n == 0))
			break;
		s->cur = ring_pop(*q);
		s->cur_at = 0;
		if ((*q)->n == 0) {
			ring_give(s->pool, *q);
			*q = NULL;
		}
		n += pull_cur(s, dst + n, cap - n);
	}
	return n;
}

size_t session_pull(struct session *s, uint8_t *dst, size_t cap)
{
	size_t n = 0;

	if (s->state == SESSION_CLOSED)
		return 0;
	if (s->cur.p)
		n += pull_cur(s, dst, cap);
	if (s->cur.p)
		return n; /* dst is full in the middle of a packet: nothing may come between its pieces */
	size_t k = MIN_OF(buf_len(&s->control), cap - n);
	if (k) {
		memcpy(dst + n, buf_view(&s->control).p, k);
		buf_consume(&s->control, k);
		buf_release(&s->control);
		n += k;
	}
	if (buf_len(&s->control))
		return n; /* the same: a control frame may be cut */
	if (s->has_pong && cap - n >= DERP_HEADER_LEN + DERP_PING_MIN) {
		struct writer w = wr_init(dst + n, cap - n);

		derp_write_ping(&w, DERP_PONG, &s->pong);
		s->has_pong = false;
		n += w.n;
	}
	n += pull_queue(s, &s->disco, dst + n, cap - n, n == 0);
	if (!s->disco && !s->cur.p)
		n += pull_queue(s, &s->bulk, dst + n, cap - n, n == 0);
	return n;
}

static bool own(struct session_packet *pkt)
{
	uint8_t *copy = malloc(pkt->n);

	if (!copy)
		return false;
	memcpy(copy, pkt->p, pkt->n);
	pkt->base = pkt->p = copy;
	return true;
}

static void settle_queue(struct session *s, struct session_ring **q)
{
	if (!*q)
		return;
	for (unsigned left = (*q)->n; left; left--) {
		struct session_packet pkt = ring_pop(*q);

		if (!pkt.base && !own(&pkt)) {
			s->host->on_queued(s, -(int64_t)pkt.n);
			s->host->on_drop(s, SESSION_DROP_QUEUE_TAIL, &pkt);
			continue;
		}
		(*q)->at[((*q)->head + (*q)->n) % SESSION_QUEUE_PACKETS] = pkt;
		(*q)->n++;
		(*q)->bytes += pkt.n;
	}
	if ((*q)->n == 0) {
		ring_give(s->pool, *q);
		*q = NULL;
	}
}

void session_settle(struct session *s)
{
	if (s->cur.p && !s->cur.base && !own(&s->cur)) {
		session_close(s, "out of memory"); /* half of it is out already */
		return;
	}
	settle_queue(s, &s->disco);
	settle_queue(s, &s->bulk);
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

int64_t session_due_ms(const struct session *s)
{
	if (s->state == SESSION_CLOSED)
		return INT64_MAX;
	return s->drain_ms && s->drain_ms < s->due_ms ? s->drain_ms : s->due_ms;
}

void session_tick(struct session *s, int64_t now_ms)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);

	if (s->state == SESSION_CLOSED || now_ms < session_due_ms(s))
		return;
	if (s->drain_ms && now_ms >= s->drain_ms) {
		session_close(s, "draining");
		return;
	}
	if (s->state != SESSION_OPEN) {
		session_close(s, s->state == SESSION_HELLO ? "no ClientInfo in time" : "no admission in time");
		return;
	}
	s->due_ms = now_ms + s->keepalive_ms;
	derp_write_keep_alive(&w);
	queue_control(s, &w);
}
