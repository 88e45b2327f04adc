/* Opening: a batch of datagrams from one source. Work that needs a table is done once for a run of messages of one
 * session, and clocks and counters are touched once a run. */
#include "client/wg/internal.h"

#include "common/base/reader.h"

/* The messages of one session in a row. */
struct run {
	struct wg *wg;
	const struct wg_from *from;
	int64_t now_ms;
	struct wg_keypair *k; /* NULL: none yet */
	bool usable;          /* k is young enough */
	bool any, data;       /* something authenticated; and it was a packet */
	uint64_t bytes;
	/* The source address of the last packet, which the next one usually has, too: its bytes in the header. */
	uint8_t source[16];
	size_t source_n; /* 4, 16; 0: none */
};

static void run_end(struct run *r)
{
	struct wg_keypair *k = r->k;

	if (!k || !r->any)
		return;
	struct wg_peer *p = k->slot.peer;

	p->rx_bytes += r->bytes;
	p->heard = k;
	if (k == p->next) {
		session_confirm(p);
		timers_handshake_complete(p);
		peer_tell(p, WG_SESSION_UP);
		p->session_ms = r->now_ms;
		if (p->n_staged)
			peer_want(p, OUT_STAGED);
	}
	if (p->from.token != r->from->token || !addrport_eq(p->from.addr, r->from->addr))
		p->from = *r->from;
	timers_received(p, r->data, r->now_ms);
	/* Keys that would be too old before the peer hears from us again are replaced now. */
	if (r->data && k == p->current && k->initiator && !k->asked_late &&
		r->now_ms - k->born_ms > REJECT_AFTER_MS - KEEPALIVE_MS - REKEY_TIMEOUT_MS) {
		k->asked_late = true;
		timers_initiation_wanted(p, r->now_ms);
	}
	r->any = r->data = false;
	r->bytes = 0;
}

/* Makes the session of this index the run's. False: there is none. */
static bool run_enter(struct run *r, uint32_t index)
{
	if (r->k && r->k->slot.index == index)
		return true;
	run_end(r);
	struct wg_slot *s = map_get(&r->wg->by_index, &index);

	r->k = s ? s->keypair : NULL;
	r->usable = r->k && r->now_ms - r->k->born_ms < REJECT_AFTER_MS;
	r->source_n = 0;
	return r->k;
}

/* A whole IP packet within the padding: its true length, and where the source address lies. False: it is none. */
static bool inner(struct bytes b, size_t *len, struct bytes *source)
{
	struct reader r = rd_init(b);
	unsigned version = rd_u8(&r) >> 4;

	if (version == 4) {
		rd_take(&r, 1);
		*len = rd_u16be(&r);
		rd_take(&r, 8);
		*source = rd_take(&r, 4);
		rd_take(&r, 4);
		return !r.bad && *len >= 20 && *len <= b.n;
	}
	rd_take(&r, 3);
	*len = (size_t)rd_u16be(&r) + 40;
	rd_take(&r, 2);
	*source = rd_take(&r, 16);
	rd_take(&r, 16);
	return version == 6 && !r.bad && *len <= b.n;
}

static bool source_is_theirs(struct run *r, struct bytes source)
{
	const struct allowed *t = &r->wg->allowed;

	if (source.n == r->source_n && memcmp(source.p, r->source, source.n) == 0)
		return true;
	struct wg_peer *owner = source.n == 4 ? allowed_get4(t, source.p) : allowed_get6(t, source.p);
	if (owner != r->k->slot.peer)
		return false;
	memcpy(r->source, source.p, source.n);
	r->source_n = source.n;
	return true;
}

static void count(uint64_t *n)
{
	(*n)++;
}

/* The order of the tests is the protocol's: wireguard.md 3. */
static bool open_one(struct run *r, struct wg_packet *pkt)
{
	struct wg_stats *stats = &r->wg->stats;
	struct wg_transport m;
	uint8_t nonce[AEAD_NONCE_LEN] = { 0 };
	struct bytes source;
	size_t len;

	if (wg_parse_transport(bytes_of(pkt->p, pkt->n), &m) != OK)
		return count(&stats->malformed), false;
	if (!run_enter(r, m.receiver))
		return count(&stats->unknown_index), false;
	if (!r->usable || m.counter >= REJECT_AFTER_MESSAGES)
		return count(&stats->expired), false;

	uint8_t *plain = pkt->p + WG_HEADER_LEN;
	memcpy(nonce + 4, &m.counter, sizeof m.counter);
	if (aead_key_open(r->k->recv, nonce, (struct bytes){ 0 }, m.sealed, plain) != OK)
		return count(&stats->unauthentic), false;
	if (!wg_replay_accept(&r->k->replay, m.counter))
		return count(&stats->replayed), false;
	r->any = true;
	r->bytes += pkt->n;

	size_t n = m.sealed.n - WG_TAG_LEN;
	if (n == 0) /* a keepalive */
		return false;
	r->data = true;
	if (!inner(bytes_of(plain, n), &len, &source))
		return count(&stats->bad_inner), false;
	if (!source_is_theirs(r, source))
		return count(&stats->bad_source), false;
	*pkt = (struct wg_packet){ .p = plain, .n = len, .peer = r->k->slot.peer };
	return true;
}

void wg_open(struct wg *wg, const struct wg_from *from, struct wg_packet *pkts, size_t n, int64_t now_ms)
{
	struct run r = { .wg = wg, .from = from, .now_ms = now_ms };

	for (size_t i = 0; i < n; i++) {
		struct bytes in = bytes_of(pkts[i].p, pkts[i].n);
		enum wg_type type;

		if (!in.n) {
			/* Taken by the caller already. */
		} else if (in.p[0] == WG_TRANSPORT) {
			if (open_one(&r, &pkts[i]))
				continue;
		} else if (wg_message_type(in, &type) == OK) {
			handshake_enqueue(wg, from, type, in, now_ms);
		} else {
			count(&wg->stats.malformed);
		}
		pkts[i].n = 0;
		pkts[i].peer = NULL;
	}
	run_end(&r);
}
