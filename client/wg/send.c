/* Sealing, what waits for a session, and the messages that the engine sends of its own accord. */
#include "client/wg/internal.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- data ----------------------------------------------------------------------------------------------------- */

/* To a multiple of 16, but not beyond the MTU; of packets longer than that, the last MTU's worth is padded. */
static size_t padding(size_t n, unsigned mtu)
{
	size_t last = n > mtu ? n % mtu : n;
	size_t padded = (last + 15) & ~(size_t)15;

	if (padded > mtu)
		padded = mtu;
	return padded - last;
}

err keypair_seal(struct wg_keypair *k, struct wg_packet *pkt, unsigned mtu)
{
	uint8_t nonce[AEAD_NONCE_LEN] = { 0 };
	uint64_t counter = k->counter++; /* spent even if sealing fails */
	size_t pad = padding(pkt->n, mtu);

	memset(pkt->p + pkt->n, 0, pad);
	memcpy(nonce + 4, &counter, sizeof counter); /* little-endian, as all of this tree (writer.h) */
	TRY(aead_key_seal(k->send, nonce, (struct bytes){ 0 }, bytes_of(pkt->p, pkt->n + pad), pkt->p));
	pkt->p -= WG_HEADER_LEN;
	pkt->n += pad + WG_OVERHEAD;
	wg_write_transport(k->remote, counter, pkt->p);
	return OK;
}

static void stage(struct wg_peer *p, struct bytes packet);

bool wg_seal(struct wg_peer *p, struct wg_packet *pkts, size_t n, int64_t now_ms)
{
	struct wg_keypair *k = p->current;
	unsigned mtu = p->wg->mtu;
	uint64_t bytes = 0;

	/* A batch is far smaller than what the counter's two limits lie apart. */
	if (!keypair_can_send(k, now_ms)) {
		for (size_t i = 0; i < n; i++)
			stage(p, bytes_of(pkts[i].p, pkts[i].n));
		timers_initiation_wanted(p, now_ms);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (keypair_seal(k, &pkts[i], mtu) != OK)
			pkts[i].n = 0; /* the library failed, which it does not: an empty datagram harms nobody */
		bytes += pkts[i].n;
	}
	p->tx_bytes += bytes;
	timers_sent(p, true, now_ms);
	peer_rekey_if_due(p, k, now_ms);
	return true;
}

void peer_rekey_if_due(struct wg_peer *p, const struct wg_keypair *k, int64_t now_ms)
{
	bool second = memcmp(p->key.b, p->wg->key->pub.b, sizeof p->key.b) > 0;
	int64_t after = REKEY_AFTER_MS + (second ? REKEY_STAGGER_MS : 0);

	if (k->counter > REKEY_AFTER_MESSAGES || (k->initiator && now_ms - k->born_ms > after))
		timers_initiation_wanted(p, now_ms);
}

/* ---- waiting for a session ------------------------------------------------------------------------------------ */

static size_t staged_size(size_t n)
{
	return sizeof(struct wg_staged) + WG_OUT_HEADROOM + WG_HEADROOM + n + WG_TAILROOM;
}

static struct wg_staged *unstage(struct wg_peer *p)
{
	if (list_is_empty(&p->staged))
		return NULL;
	struct wg_staged *s = container_of(p->staged.next, struct wg_staged, in);

	list_del(&s->in);
	p->n_staged--;
	p->wg->staged_bytes -= staged_size(s->n);
	return s;
}

static void stage(struct wg_peer *p, struct bytes packet)
{
	struct wg *wg = p->wg;
	size_t size = staged_size(packet.n);

	if (p->n_staged >= WG_STAGED_MAX) {
		free(unstage(p));
		wg->stats.staged_dropped++;
	}
	struct wg_staged *s =
		packet.n > WG_MTU_MAX || size > WG_STAGED_BYTES_MAX - wg->staged_bytes ? NULL : malloc(size);
	if (!s) {
		wg->stats.staged_dropped++;
		return;
	}
	s->n = packet.n;
	memcpy(s->room + WG_OUT_HEADROOM + WG_HEADROOM, packet.p, packet.n);
	list_add_tail(&p->staged, &s->in);
	p->n_staged++;
	wg->staged_bytes += size;
}

void peer_drop_staged(struct wg_peer *p)
{
	struct wg_staged *s;

	while ((s = unstage(p))) {
		free(s);
		p->wg->stats.staged_dropped++;
	}
	p->out &= ~(unsigned)OUT_STAGED;
}

/* ---- what wg_pull gives --------------------------------------------------------------------------------------- */

void peer_want(struct wg_peer *p, unsigned out)
{
	p->out |= out;
	if (list_is_empty(&p->ready))
		list_add_tail(&p->wg->ready, &p->ready);
}

void peer_tell(struct wg_peer *p, unsigned events)
{
	p->events |= events;
	if (list_is_empty(&p->told))
		list_add_tail(&p->wg->told, &p->told);
}

static bool take(struct wg_peer *p, unsigned what)
{
	bool was = p->out & what;

	p->out &= ~what;
	return was;
}

static bool pull_reply(struct wg *wg, struct wg_out *out)
{
	while (wg->reply_n) {
		struct wg_reply *r = &wg->replies[wg->reply_at];
		uint8_t *at = wg->out + WG_OUT_HEADROOM;

		wg->reply_at = (wg->reply_at + 1) % WG_REPLIES_MAX;
		wg->reply_n--;
		if (!r->n)
			continue;
		memcpy(at, r->message, r->n);
		*out = (struct wg_out){ .peer = r->peer, .to = r->to, .p = at, .n = r->n, .is_handshake = r->peer };
		return true;
	}
	return false;
}

static bool pull_initiation(struct wg_peer *p, int64_t now_ms, struct wg_out *out)
{
	uint8_t *at = p->wg->out + WG_OUT_HEADROOM;

	if (!take(p, OUT_INITIATION))
		return false;
	timers_initiation_sent(p, now_ms); /* even if it fails: memory may be back at the next try */
	if (!handshake_initiate(p, at, now_ms))
		return false;
	*out = (struct wg_out){ .peer = p, .to = p->from, .p = at, .n = WG_INITIATION_LEN, .is_handshake = true };
	return true;
}

/* Seals s, which is taken, with the current keys. */
static bool pull_sealed(struct wg_peer *p, struct wg_staged *s, int64_t now_ms, struct wg_out *out)
{
	struct wg_packet pkt = { .p = s->room + WG_OUT_HEADROOM + WG_HEADROOM, .n = s->n };

	free(p->wg->pulled);
	p->wg->pulled = s;
	if (keypair_seal(p->current, &pkt, p->wg->mtu) != OK)
		return false;
	p->tx_bytes += pkt.n;
	timers_sent(p, s->n > 0, now_ms);
	peer_rekey_if_due(p, p->current, now_ms);
	*out = (struct wg_out){ .peer = p, .to = p->from, .p = pkt.p, .n = pkt.n };
	return true;
}

static bool pull_data(struct wg_peer *p, int64_t now_ms, struct wg_out *out)
{
	bool keepalive = p->out & OUT_KEEPALIVE;

	if (!(p->out & (OUT_STAGED | OUT_KEEPALIVE)))
		return false;
	if (!keypair_can_send(p->current, now_ms)) {
		take(p, OUT_STAGED | OUT_KEEPALIVE);
		timers_initiation_wanted(p, now_ms);
		return false;
	}
	struct wg_staged *s = unstage(p);
	if (s) {
		take(p, OUT_KEEPALIVE); /* data serves as one */
	} else {
		take(p, OUT_STAGED | OUT_KEEPALIVE);
		s = keepalive ? calloc(1, staged_size(0)) : NULL;
	}
	return s && pull_sealed(p, s, now_ms, out);
}

bool wg_pull(struct wg *wg, int64_t now_ms, struct wg_out *out)
{
	if (pull_reply(wg, out))
		return true;
	while (!list_is_empty(&wg->ready)) {
		struct wg_peer *p = container_of(wg->ready.next, struct wg_peer, ready);

		if (pull_data(p, now_ms, out) || pull_initiation(p, now_ms, out))
			return true;
		if (!p->out)
			list_del(&p->ready);
	}
	return false;
}

bool wg_next_event(struct wg *wg, struct wg_event *out)
{
	if (list_is_empty(&wg->told))
		return false;
	struct wg_peer *p = container_of(wg->told.next, struct wg_peer, told);

	list_del(&p->told);
	*out = (struct wg_event){ .peer = p, .kinds = p->events };
	p->events = 0;
	return true;
}
