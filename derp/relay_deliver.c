/* Where a packet goes: to a client of this worker, to another worker's inbox, to another relay, or nowhere. */
#include <stdlib.h>
#include <string.h>

#include "derp/relay_state.h"

enum { FAR_USES = 64 }; /* packets to another worker for one look whether the receiver is congested */

/* The client of this worker that gets key's packets, given one of them; NULL: another worker has the active one. */
static struct relay_client *active_here(struct relay_client *some)
{
	struct conn_handle h = directory_active(some->entry);

	if (h.worker != some->w->index)
		return NULL;
	struct relay_client *c = some;
	do {
		if (c->id == h.id)
			return c;
		c = container_of(c->same_key.next, struct relay_client, same_key);
	} while (c != some);
	return some;
}

void worker_count_drop(struct relay_worker *w, enum session_drop why, bool disco)
{
	switch (why) {
	case SESSION_DROP_QUEUE_HEAD:
		STATS_DROP(&w->stats, dropped_queue_head, 1, disco);
		return;
	case SESSION_DROP_QUEUE_TAIL:
		STATS_DROP(&w->stats, dropped_queue_tail, 1, disco);
		return;
	case SESSION_DROP_GONE:
		STATS_DROP(&w->stats, dropped_gone, 1, disco);
		return;
	}
}

bool deliver_is_full(const struct relay_worker *w, unsigned to)
{
	const struct inbox *there = &w->r->worker[to]->inbox;

	return w->out[to].packet_bytes + atomic_load_explicit(&there->waiting, memory_order_relaxed) > RELAY_INBOX_HIGH;
}

/* True: that worker is full. */
static bool forward(struct relay_worker *w, uint16_t to, const struct node_pub *dst, struct session_packet pkt)
{
	if (!msg_add_packet(&w->out[to], &w->packets, dst, bytes_of(pkt.p, pkt.n), pkt.disco))
		worker_count_drop(w, SESSION_DROP_QUEUE_TAIL, pkt.disco);
	free(pkt.base);
	worker_tell_dirty(w);
	return deliver_is_full(w, to);
}

/* At most RELAY_GONE_BURST at once, then one a second. */
static bool may_tell_not_here(struct relay_client *c, int64_t now_ms)
{
	int64_t more = (now_ms - c->gone_at_ms) / 1000;

	if (more > 0) {
		c->gone_tokens = (unsigned)MIN_OF((int64_t)c->gone_tokens + more, (int64_t)RELAY_GONE_BURST);
		c->gone_at_ms += more * 1000;
	}
	if (!c->gone_tokens)
		return false;
	c->gone_tokens--;
	return true;
}

static void unknown_dest(struct relay_client *c, const struct node_pub *dst, bool disco, int64_t now_ms)
{
	struct relay_worker *w = c->w;

	STATS_DROP(&w->stats, dropped_unknown_dest, 1, disco);
	if (disco && may_tell_not_here(c, now_ms) && session_peer_gone(&c->s, dst, DERP_GONE_NOT_HERE))
		STATS_ADD(&w->stats, peer_gone_not_here, 1);
}

/* More is kept for clients of this worker than may be. */
static bool is_full(const struct relay_worker *w)
{
	int64_t max = (int64_t)atomic_load_explicit(&w->r->worker_queued_bytes, memory_order_relaxed);

	return max && w->queued_bytes > max;
}

/* Onto the queue of a client of this worker. A queue that fills while its socket takes more is pulled at once: a large
 * read may hold more for one receiver than a queue may. True: it stays full. Only what would have to be kept is shed when
 * memory is used up: whoever reads gets its packets all the same. */
static bool enqueue(struct relay_client *to, struct session_packet pkt)
{
	if (to->blocked && is_full(to->w)) {
		to->dropped++;
		worker_count_drop(to->w, SESSION_DROP_QUEUE_TAIL, pkt.disco);
		free(pkt.base);
		return true;
	}
	session_enqueue(&to->s, pkt);
	if (!session_is_pressed(&to->s))
		return false;
	if (!to->blocked)
		to->opts.push(to->opts.ctx);
	bool congested = session_is_pressed(&to->s);

	directory_note_congested(to->entry, congested);
	return congested;
}

/* head: by_key's answer for dst; *far is set when dst is at another worker. The rest as worker_deliver. */
static bool deliver_to(struct relay_worker *w, struct relay_client *head, const struct node_pub *dst,
	struct session_packet *pkt, bool *congested, struct conn_handle *far)
{
	struct relay_client *to = head ? active_here(head) : NULL;
	bool full = false;

	if (to)
		full = enqueue(to, *pkt);
	else if (directory_find(w->r->dir, dst, far, &full))
		full |= forward(w, far->worker, dst, *pkt);
	else
		return false;
	if (congested)
		*congested = full;
	return true;
}

bool worker_deliver(struct relay_worker *w, const struct node_pub *dst, struct session_packet *pkt, bool *congested)
{
	struct conn_handle far;

	return deliver_to(w, map_get(&w->by_key, dst->b), dst, pkt, congested, &far);
}

/* Most packets go where the sender's last one went: hashing a key costs more than comparing one. */
static bool is_last_dst(const struct relay_client *c, const struct node_pub *dst)
{
	return c->has_last && c->last_epoch == c->w->epoch && node_pub_eq(&c->last_dst, dst);
}

static void remember_dst(struct relay_client *c, const struct node_pub *dst, struct relay_client *head)
{
	c->has_last = true;
	c->last_dst = *dst;
	c->last_head = head;
	c->last_epoch = c->w->epoch;
	peer_set_add(&c->sent_to, dst);
}

void deliver_on_packet(struct session *s, const struct node_pub *dst, struct session_packet pkt, int64_t now_ms)
{
	struct relay_client *c = client_of(s);
	struct relay_worker *w = c->w;
	bool congested;

	STATS_ADD(&w->stats, packets_received, 1);
	if (pkt.disco)
		STATS_ADD(&w->stats, received_disco, 1);
	else
		STATS_ADD(&w->stats, received_other, 1);
	bool same = is_last_dst(c, dst);
	uint64_t version = directory_version(w->r->dir); /* before the directory is asked */
	struct relay_client *head = same ? c->last_head : map_get(&w->by_key, dst->b);
	struct conn_handle far = { 0 };
	bool delivered = true;

	if (same && !head && c->last_far_version == version && c->last_far_uses) {
		c->last_far_uses--;
		congested = forward(w, c->last_far.worker, dst, pkt);
	} else {
		delivered = deliver_to(w, head, dst, &pkt, &congested, &far);
		if (delivered && !same)
			remember_dst(c, dst, head);
		if (delivered && !head) {
			c->last_far = far;
			c->last_far_version = version;
			c->last_far_uses = FAR_USES;
		}
	}
	if (delivered) {
		c->idle--;
		if (congested && !c->yield_ms) {
			c->yield_ms = now_ms + RELAY_YIELD_MS;
			STATS_ADD(&w->stats, yields, 1);
			if (!head)
				c->waits_for = 1u + c->last_far.worker;
		}
	} else if (mesh_forward(w, &s->key, dst, &pkt)) {
		c->idle--;
	} else {
		free(pkt.base);
		unknown_dest(c, dst, pkt.disco, now_ms);
	}
}

void deliver_arrived(struct relay_worker *w, const struct relay_msg *m)
{
	struct session_packet pkt = { .disco = m->disco };
	struct relay_client *head = NULL;
	struct node_pub dst, last;
	size_t at = 0;

	worker_tell_dirty(w); /* also when nobody here wants any of it: m goes in relay_flush */
	while (msg_next_packet(m, &at, &dst, &pkt.p, &pkt.n)) {
		if (!head || !node_pub_eq(&dst, &last))
			head = map_get(&w->by_key, dst.b);
		last = dst;
		if (!head) {
			worker_count_drop(w, SESSION_DROP_GONE, m->disco);
			continue;
		}
		struct relay_client *to = active_here(head);

		enqueue(to ? to : head, pkt);
	}
}
