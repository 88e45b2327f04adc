/* Handshake messages: queued as they come, worked on a few a turn, made when wg_pull asks for one. */
#include "client/wg/internal.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- arriving ------------------------------------------------------------------------------------------------- */

static void on_cookie_reply(struct wg *wg, struct bytes in, int64_t now_ms)
{
	struct wg_cookie_reply m;

	if (wg_parse_cookie_reply(in, &m) != OK)
		return;
	struct wg_slot *s = map_get(&wg->by_index, &m.receiver);
	if (!s)
		wg->stats.unknown_index++;
	else if (wg_cookie_accept(&s->peer->signer, &s->peer->key, &m, now_ms) != OK)
		wg->stats.unauthentic++;
}

void handshake_enqueue(struct wg *wg, const struct wg_from *from, enum wg_type type, struct bytes m, int64_t now_ms)
{
	if (type == WG_COOKIE_REPLY) { /* cheap: a symmetric box, and only about an index of ours */
		on_cookie_reply(wg, m, now_ms);
		return;
	}
	if (!wg_check_mac1(&wg->checker, m)) {
		wg->stats.bad_mac++;
		return;
	}
	if (wg->queue_n == WG_QUEUE_MAX) {
		wg->stats.queue_full++;
		return;
	}
	struct wg_queued *q = &wg->queue[(wg->queue_at + wg->queue_n++) % WG_QUEUE_MAX];

	q->from = *from;
	q->type = type;
	memcpy(q->message, m.p, m.n);
}

static struct wg_reply *reply_room(struct wg *wg)
{
	if (wg->reply_n == WG_REPLIES_MAX)
		return NULL;
	return &wg->replies[(wg->reply_at + wg->reply_n++) % WG_REPLIES_MAX];
}

/* ---- under load ----------------------------------------------------------------------------------------------- */

static bool is_under_load(struct wg *wg, int64_t now_ms)
{
	if (wg->queue_n > LOAD_QUEUE)
		wg->load_until_ms = now_ms + LOAD_MEMORY_MS;
	return now_ms < wg->load_until_ms;
}

static void send_cookie(struct wg *wg, const struct wg_queued *q, struct bytes in, int64_t now_ms)
{
	struct wg_cookie_reply m;
	struct wg_reply *r;

	if (wg_cookie_reply_make(&wg->checker, in, &q->from, now_ms, &m) != OK || !(r = reply_room(wg)))
		return;
	*r = (struct wg_reply){ .to = q->from, .n = WG_COOKIE_REPLY_LEN };
	wg_write_cookie_reply(&m, r->message);
	wg->stats.cookies_sent++;
}

/* True: the message may cost us a Diffie-Hellman. */
static bool may_pass(struct wg *wg, const struct wg_queued *q, struct bytes in, int64_t now_ms)
{
	if (!is_under_load(wg, now_ms))
		return true;
	if (!wg_check_mac2(&wg->checker, in, &q->from, now_ms)) {
		send_cookie(wg, q, in, now_ms);
		return false;
	}
	if (!wg->limiter)
		wg->limiter = calloc(1, sizeof *wg->limiter);
	if (wg->limiter && wg_limiter_take(wg->limiter, &q->from, now_ms))
		return true;
	wg->stats.limited++;
	return false;
}

/* ---- working -------------------------------------------------------------------------------------------------- */

static bool peer_ss(struct wg_peer *p)
{
	if (!p->has_ss)
		p->has_ss = wg_noise_static(p->wg->key, &p->key, &p->ss) == OK;
	return p->has_ss;
}

static const struct secret32 *peer_psk(const struct wg_peer *p)
{
	return p->has_psk ? &p->psk : NULL;
}

static struct wg_peer *peer_for(struct wg *wg, const struct node_pub *key, const struct wg_from *from)
{
	struct wg_peer *p = wg_peer_by_key(wg, key);

	if (!p && wg->on_unknown) {
		wg->on_unknown(wg->ctx, wg, key, from);
		p = wg_peer_by_key(wg, key);
	}
	return p;
}

/* The session is agreed, or the peer has sent something that proves it alive: one place for both roles. */
static void on_authentic(struct wg_peer *p, const struct wg_from *from, int64_t now_ms)
{
	p->from = *from;
	timers_received(p, false, now_ms);
}

static err answer(struct wg_peer *p, const struct wg_responder *state, const struct wg_from *from, int64_t now_ms)
{
	CLEANUP(wg_keys_wipe) struct wg_keys keys = { 0 };
	struct wg *wg = p->wg;
	struct wg_keypair *k;
	struct wg_response m;
	struct wg_slot draft = { .peer = p };

	if (wg->reply_n == WG_REPLIES_MAX)
		return ERR_BUSY;
	/* The response names our index, and the keys come out of the response: the index first. */
	TRY(slot_take(wg, &draft));
	uint32_t index = draft.index;
	err e = wg_noise_respond(state, peer_psk(p), index, &m, &keys);
	slot_give(wg, &draft);
	TRY(e);
	TRY(keypair_new(p, &keys, index, state->index, false, now_ms, &k));

	struct wg_reply *r = reply_room(wg);
	assert(r);
	*r = (struct wg_reply){ .peer = p, .to = *from, .n = WG_RESPONSE_LEN };
	wg_write_response(&m, r->message);
	wg_sign(&p->signer, &p->key, r->message, r->n, now_ms);
	session_begin_responder(p, k);
	timers_session_derived(p, now_ms);
	timers_sent(p, false, now_ms);
	return OK;
}

static void on_initiation(struct wg *wg, const struct wg_queued *q, struct bytes in, int64_t now_ms)
{
	CLEANUP(wg_responder_wipe) struct wg_responder state;
	struct wg_initiation m;
	struct wg_timestamp at;

	if (wg_parse_initiation(in, &m) != OK || wg_noise_read_static(wg->key, &m, &state) != OK) {
		wg->stats.unauthentic++;
		return;
	}
	struct wg_peer *p = peer_for(wg, &state.peer, &q->from);
	if (!p) {
		wg->stats.unknown_peer++;
		return;
	}
	if (!peer_ss(p) || wg_noise_read_timestamp(&m, &p->ss, &state, &at) != OK) {
		wg->stats.unauthentic++;
		return;
	}
	if (!wg_timestamp_newer(at, p->last_timestamp) ||
		(p->last_accepted_ms && now_ms - p->last_accepted_ms < INITIATION_APART_MS)) {
		wg->stats.stale_initiation++;
		return;
	}
	p->last_timestamp = at;
	p->last_accepted_ms = now_ms;
	on_authentic(p, &q->from, now_ms);
	if (answer(p, &state, &q->from, now_ms) != OK)
		wg->stats.queue_full++; /* no memory or no room: the peer comes again */
}

static void on_response(struct wg *wg, const struct wg_queued *q, struct bytes in, int64_t now_ms)
{
	CLEANUP(wg_keys_wipe) struct wg_keys keys = { 0 };
	struct wg_keypair *k;
	struct wg_response m;

	if (wg_parse_response(in, &m) != OK)
		return;
	struct wg_slot *s = map_get(&wg->by_index, &m.receiver);
	if (!s || s->keypair) {
		wg->stats.unknown_index++;
		return;
	}
	struct wg_peer *p = s->peer;
	if (wg_noise_finish(&p->handshake->state, wg->key, peer_psk(p), &m, &keys) != OK) {
		wg->stats.unauthentic++;
		return;
	}
	/* The session keeps the index that the peer answers to. */
	handshake_free(p);
	if (keypair_new(p, &keys, m.receiver, m.sender, true, now_ms, &k) != OK)
		return;
	session_begin_initiator(p, k);
	p->session_ms = now_ms;
	on_authentic(p, &q->from, now_ms);
	timers_handshake_complete(p);
	timers_session_derived(p, now_ms);
	peer_tell(p, WG_SESSION_UP);
	/* The peer may send only after it has heard us on the new keys. */
	peer_want(p, p->n_staged ? OUT_STAGED : OUT_KEEPALIVE);
}

bool wg_step(struct wg *wg, unsigned max, int64_t now_ms)
{
	while (max-- && wg->queue_n) {
		const struct wg_queued *q = &wg->queue[wg->queue_at];
		struct bytes in = bytes_of(q->message, q->type == WG_INITIATION ? WG_INITIATION_LEN : WG_RESPONSE_LEN);

		if (may_pass(wg, q, in, now_ms)) {
			if (q->type == WG_INITIATION)
				on_initiation(wg, q, in, now_ms);
			else
				on_response(wg, q, in, now_ms);
		}
		wg->queue_at = (wg->queue_at + 1) % WG_QUEUE_MAX;
		wg->queue_n--;
	}
	return wg->queue_n;
}

/* ---- starting ------------------------------------------------------------------------------------------------- */

/* Larger than all before it, whatever the clocks do. */
static struct wg_timestamp next_timestamp(struct wg *wg, int64_t now_ms)
{
	struct wg_timestamp t = wg_timestamp_of(now_ms + wg->wall_minus_mono_ms);

	if (!wg_timestamp_newer(t, wg->last_timestamp))
		t = wg_timestamp_after(wg->last_timestamp);
	wg->last_timestamp = t;
	return t;
}

bool handshake_initiate(struct wg_peer *p, uint8_t out[WG_INITIATION_LEN], int64_t now_ms)
{
	struct wg *wg = p->wg;
	struct wg_initiation m;

	handshake_free(p);
	struct wg_handshake *h = calloc(1, sizeof *h);
	if (!h)
		return false;
	h->slot.peer = p;
	if (!peer_ss(p) || slot_take(wg, &h->slot) != OK) {
		free(h);
		return false;
	}
	p->handshake = h;
	if (wg_noise_initiate(wg->key, &p->key, &p->ss, next_timestamp(wg, now_ms), h->slot.index, &h->state, &m) !=
		OK) {
		handshake_free(p);
		return false;
	}
	wg_write_initiation(&m, out);
	wg_sign(&p->signer, &p->key, out, WG_INITIATION_LEN, now_ms);
	return true;
}
