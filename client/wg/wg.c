#include "client/wg/internal.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/reader.h"

static void wg_freep(struct wg **wg)
{
	wg_free(*wg);
}

err wg_new(const struct wg_config *c, struct wg **out)
{
	if (c->mtu < WG_MTU_MIN || c->mtu > WG_MTU_MAX)
		return ERR_INVALID;
	CLEANUP(wg_freep) struct wg *wg = calloc(1, sizeof *wg);
	if (!wg)
		return ERR_NOMEM;
	wg->by_key = MAP_OF(struct wg_peer, key);
	wg->by_index = MAP_OF(struct wg_slot, index);
	list_init(&wg->ready);
	list_init(&wg->told);
	wg->mtu = c->mtu;
	wg->wall_minus_mono_ms = c->wall_ms - c->now_ms;
	wg->last_timestamp = c->after;
	wg->on_unknown = c->on_unknown;
	wg->ctx = c->ctx;
	wg->key = sodium_malloc(sizeof *wg->key);
	wg->queue = calloc(WG_QUEUE_MAX, sizeof *wg->queue);
	wg->replies = calloc(WG_REPLIES_MAX, sizeof *wg->replies);
	if (!wg->key || !wg->queue || !wg->replies)
		return ERR_NOMEM;
	*wg->key = *c->key;
	wg_checker_init(&wg->checker, &wg->key->pub);
	*out = MOVE(wg);
	return OK;
}

void wg_free(struct wg *wg)
{
	struct wg_peer *p;
	size_t at = 0;

	if (!wg)
		return;
	while ((p = map_next(&wg->by_key, &at)))
		wg_peer_del(p);
	map_done(&wg->by_key);
	map_done(&wg->by_index);
	allowed_done(&wg->allowed);
	timer_heap_free(&wg->timers);
	free(wg->pulled);
	free(wg->queue);
	free(wg->replies);
	free(wg->limiter);
	sodium_free(wg->key);
	sodium_memzero(&wg->checker, sizeof wg->checker);
	free(wg);
}

void wg_set_key(struct wg *wg, const struct node_key *key)
{
	struct wg_peer *p;
	size_t at = 0;

	*wg->key = *key;
	wg_checker_init(&wg->checker, &wg->key->pub);
	wg->queue_n = 0; /* for the old key */
	wg->reply_n = 0;
	while ((p = map_next(&wg->by_key, &at))) {
		wg_peer_reset(p);
		secret32_wipe(&p->ss);
		p->has_ss = false;
		p->signer = (struct wg_signer){ 0 };
	}
}

struct wg_timestamp wg_last_timestamp(const struct wg *wg)
{
	return wg->last_timestamp;
}

const struct wg_stats *wg_stats(const struct wg *wg)
{
	return &wg->stats;
}

/* ---- peers ---------------------------------------------------------------------------------------------------- */

static bool has_prefix(const struct prefix *list, size_t n, struct prefix p)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_cmp(list[i], p) == 0)
			return true;
	return false;
}

err wg_peer_set_allowed(struct wg_peer *p, const struct prefix *allowed, size_t n)
{
	struct allowed *t = &p->wg->allowed;

	if (n > WG_ALLOWED_MAX)
		return ERR_TOO_BIG;
	for (size_t i = 0; i < n; i++)
		if (allowed[i].addr.family == 0 || allowed[i].bits > addr_bits(allowed[i].addr))
			return ERR_INVALID;
	CLEANUP(freep) struct prefix *copy = n ? calloc(n, sizeof *copy) : NULL;
	if (n && !copy)
		return ERR_NOMEM;

	size_t done = 0;
	for (; done < n; done++) {
		copy[done] = prefix_mask(allowed[done]);
		if (allowed_put(t, copy[done], p) != OK)
			break;
	}
	if (done < n) {
		/* Those that were not ours before are nobody's now: the next update of their owner brings them back. */
		for (size_t i = 0; i < done; i++)
			if (!has_prefix(p->allowed, p->n_allowed, copy[i]))
				allowed_del(t, copy[i], p);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < p->n_allowed; i++)
		if (!has_prefix(copy, n, p->allowed[i]))
			allowed_del(t, p->allowed[i], p);
	free(p->allowed);
	p->allowed = MOVE(copy);
	p->n_allowed = n;
	return OK;
}

err wg_peer_add(struct wg *wg, const struct wg_peer_config *c, struct wg_peer **out)
{
	CLEANUP(freep) struct wg_peer *p = calloc(1, sizeof *p);

	if (!p)
		return ERR_NOMEM;
	if (node_pub_is_zero(&c->key) || node_pub_eq(&c->key, &wg->key->pub))
		return ERR_INVALID;
	p->wg = wg;
	p->key = c->key;
	p->user = c->user;
	p->keepalive_s = c->keepalive_s;
	if (c->psk) {
		p->psk = *c->psk;
		p->has_psk = true;
	}
	list_init(&p->ready);
	list_init(&p->told);
	list_init(&p->staged);
	TRY(map_put(&wg->by_key, p));
	if (!timer_heap_reserve(&wg->timers)) {
		map_del(&wg->by_key, &p->key);
		return ERR_NOMEM;
	}
	struct wg_peer *made = MOVE(p);
	err e = wg_peer_set_allowed(made, c->allowed, c->n_allowed);
	if (e != OK) {
		wg_peer_del(made);
		return e;
	}
	*out = made;
	return OK;
}

void wg_peer_del(struct wg_peer *p)
{
	struct wg *wg = p->wg;

	session_forget(p);
	handshake_free(p);
	peer_drop_staged(p);
	for (size_t i = 0; i < p->n_allowed; i++)
		allowed_del(&wg->allowed, p->allowed[i], p);
	for (unsigned i = 0; i < wg->reply_n; i++) {
		struct wg_reply *r = &wg->replies[(wg->reply_at + i) % WG_REPLIES_MAX];

		if (r->peer == p)
			*r = (struct wg_reply){ 0 };
	}
	list_del(&p->ready);
	list_del(&p->told);
	timer_heap_remove(&wg->timers, &p->due);
	timer_heap_unreserve(&wg->timers);
	map_del(&wg->by_key, &p->key);
	free(p->allowed);
	secret32_wipe(&p->ss);
	secret32_wipe(&p->psk);
	free(p);
}

void wg_peer_set_keepalive(struct wg_peer *p, unsigned seconds, int64_t now_ms)
{
	bool was_off = p->keepalive_s == 0;

	p->keepalive_s = seconds;
	p->t.persistent_ms = seconds ? now_ms + (int64_t)seconds * 1000 : 0;
	timers_arm(p);
	if (seconds && was_off)
		peer_want(p, OUT_KEEPALIVE);
}

struct wg_peer *wg_peer_by_key(const struct wg *wg, const struct node_pub *key)
{
	return map_get(&wg->by_key, key);
}

struct wg_peer *wg_peer_by_addr(const struct wg *wg, struct addr a)
{
	return allowed_get(&wg->allowed, a);
}

struct wg_peer *wg_next_peer(const struct wg *wg, size_t *at)
{
	return map_next(&wg->by_key, at);
}

struct wg_peer *wg_route(const struct wg *wg, struct bytes packet)
{
	struct reader r = rd_init(packet);
	unsigned version = rd_u8(&r) >> 4;
	struct bytes to;

	if (version == 4) {
		rd_take(&r, 15);
		to = rd_take(&r, 4);
		return r.bad ? NULL : allowed_get4(&wg->allowed, to.p);
	}
	rd_take(&r, 23);
	to = rd_take(&r, 16);
	return version != 6 || r.bad ? NULL : allowed_get6(&wg->allowed, to.p);
}

void *wg_peer_user(const struct wg_peer *p)
{
	return p->user;
}

const struct node_pub *wg_peer_key(const struct wg_peer *p)
{
	return &p->key;
}

const struct wg_from *wg_peer_from(const struct wg_peer *p)
{
	return &p->from;
}

void wg_peer_set_from(struct wg_peer *p, const struct wg_from *from)
{
	p->from = *from;
}

void wg_peer_reset(struct wg_peer *p)
{
	session_forget(p);
	handshake_free(p);
	p->last_initiation_ms = 0;
	p->t.retry_ms = p->t.silent_ms = p->t.keepalive_ms = p->t.erase_ms = 0;
	p->t.attempts = p->t.unanswered = 0;
	p->t.another_keepalive = false;
	p->out = 0;
	if (p->n_staged)
		peer_want(p, OUT_INITIATION);
}

void wg_peer_kick(struct wg_peer *p, int64_t now_ms)
{
	if (!p->t.retry_ms)
		return; /* no handshake under way */
	if (now_ms - p->last_initiation_ms >= WG_KICK_MS) {
		peer_want(p, OUT_INITIATION);
	} else if (p->t.retry_ms > p->last_initiation_ms + WG_KICK_MS) {
		p->t.kicked = true;
		p->t.retry_ms = p->last_initiation_ms + WG_KICK_MS;
		timers_arm(p);
	}
}

void wg_peer_regreet(struct wg_peer *p, int64_t now_ms)
{
	timers_initiation_wanted(p, now_ms);
}

void wg_peer_connect(struct wg_peer *p, int64_t now_ms)
{
	if (!keypair_can_send(p->current, now_ms))
		timers_initiation_wanted(p, now_ms);
}

struct wg_peer_status wg_peer_status(const struct wg_peer *p, int64_t now_ms)
{
	return (struct wg_peer_status){
		.has_session = keypair_can_send(p->current, now_ms),
		.handshaking = p->t.retry_ms != 0 || (p->out & OUT_INITIATION),
		.session_ms = p->session_ms,
		.rx_bytes = p->rx_bytes,
		.tx_bytes = p->tx_bytes,
		.staged = p->n_staged,
	};
}
