#include "derp/inbox.h"

#include <stdlib.h>
#include <string.h>

enum {
	PACKETS_FIRST = 4 << 10, /* bytes of a batch's first message, and of those after it */
	PACKETS_MORE = 64 << 10,
	POOL_MAX = 8,
	PACKET_HEAD = sizeof(struct node_pub) + sizeof(uint32_t),
};

struct relay_msg *msg_new(enum relay_msg_kind kind, const struct node_pub *key, uint8_t *data, size_t n)
{
	struct relay_msg *m = calloc(1, sizeof *m);

	if (!m) {
		free(data);
		return NULL;
	}
	m->kind = kind;
	if (key)
		m->key = *key;
	m->data = data;
	m->n = (uint32_t)n;
	return m;
}

void msg_free(struct relay_msg *m)
{
	if (m)
		free(m->data);
	free(m);
}

void msg_list_init(struct msg_list *l)
{
	*l = (struct msg_list){ .end = &l->first };
}

static uint64_t weight(const struct relay_msg *m)
{
	if (m->kind == MSG_PACKETS)
		return m->cap + sizeof *m; /* n grows */
	return m->kind == MSG_FORWARD ? m->n + sizeof *m : 0;
}

void msg_list_add(struct msg_list *l, struct relay_msg *m)
{
	m->next = NULL;
	*l->end = m;
	l->end = &m->next;
	l->packet_bytes += weight(m);
	if (m->kind == MSG_PACKETS)
		l->open[m->disco] = m;
	else if (m->kind != MSG_FORWARD)
		l->open[0] = l->open[1] = NULL; /* what comes after a notice stays behind it */
}

struct relay_msg *msg_list_pop(struct msg_list *l)
{
	struct relay_msg *m = l->first;

	if (!m)
		return NULL;
	l->first = m->next;
	if (!l->first)
		l->end = &l->first;
	if (l->open[m->disco] == m)
		l->open[m->disco] = NULL;
	l->packet_bytes -= weight(m);
	return m;
}

void msg_list_done(struct msg_list *l)
{
	struct relay_msg *m;

	while ((m = msg_list_pop(l)))
		msg_free(m);
}

/* ---- packets ---------------------------------------------------------------------------------------------------- */

/* The message that is open, or a new one, with room for n bytes. NULL: out of memory. */
static struct relay_msg *with_room(struct msg_list *l, struct msg_pool *p, size_t n, bool disco)
{
	struct relay_msg *m = l->open[disco];

	if (m && n <= m->cap - m->n)
		return m;
	size_t cap = m ? PACKETS_MORE : PACKETS_FIRST;
	if (cap < n)
		cap = n;
	if (p->free && cap > PACKETS_FIRST && cap <= PACKETS_MORE) { /* a large one for a few packets would fill the inbox */
		m = p->free;
		p->free = m->next;
		p->n--;
	} else {
		uint8_t *data = malloc(cap);

		m = data ? msg_new(MSG_PACKETS, NULL, data, 0) : NULL;
		if (!m)
			return NULL;
		m->cap = (uint32_t)cap;
	}
	m->disco = disco;
	msg_list_add(l, m);
	return m;
}

bool msg_add_packet(struct msg_list *l, struct msg_pool *p, const struct node_pub *dst, struct bytes packet, bool disco)
{
	uint32_t n = (uint32_t)packet.n;
	struct relay_msg *m = with_room(l, p, PACKET_HEAD + packet.n, disco);

	if (!m)
		return false;
	uint8_t *at = m->data + m->n;
	memcpy(at, dst->b, sizeof dst->b);
	memcpy(at + sizeof dst->b, &n, sizeof n);
	memcpy(at + PACKET_HEAD, packet.p, packet.n);
	m->n += (uint32_t)(PACKET_HEAD + packet.n);
	m->count++;
	return true;
}

void msg_pool_done(struct msg_pool *p)
{
	while (p->free) {
		struct relay_msg *m = p->free;

		p->free = m->next;
		msg_free(m);
	}
	p->n = 0;
}

void msg_recycle(struct msg_pool *p, struct msg_list *l)
{
	struct relay_msg *m;

	while ((m = msg_list_pop(l))) {
		if (m->kind != MSG_PACKETS || m->cap != PACKETS_MORE || p->n == POOL_MAX) {
			msg_free(m);
			continue;
		}
		m->n = m->count = 0;
		m->next = p->free;
		p->free = m;
		p->n++;
	}
}

bool msg_next_packet(const struct relay_msg *m, size_t *at, struct node_pub *dst, uint8_t **p, uint32_t *n)
{
	uint8_t *here = m->data + *at;

	if (*at >= m->n)
		return false;
	memcpy(dst->b, here, sizeof dst->b);
	memcpy(n, here + sizeof dst->b, sizeof *n);
	*p = here + PACKET_HEAD;
	*at += PACKET_HEAD + *n;
	return true;
}

/* ---- the inbox -------------------------------------------------------------------------------------------------- */

void inbox_init(struct inbox *b)
{
	pthread_mutex_init(&b->lock, NULL);
	msg_list_init(&b->list);
	b->woken = false;
	atomic_init(&b->waiting, 0);
}

void inbox_done(struct inbox *b)
{
	msg_list_done(&b->list);
	pthread_mutex_destroy(&b->lock);
}

/* Bulk goes first, and disco only when no bulk is left. */
static void shed(struct msg_list *l, uint64_t max_bytes, bool disco, struct msg_list *dropped)
{
	struct relay_msg **at = &l->first;

	while (*at && l->packet_bytes > max_bytes) {
		struct relay_msg *m = *at;

		if (!weight(m) || m->disco != disco) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		if (!m->next)
			l->end = at;
		l->packet_bytes -= weight(m);
		msg_list_add(dropped, m);
	}
}

bool inbox_deliver(struct inbox *b, struct msg_list *from, uint64_t max_bytes, struct msg_list *dropped)
{
	bool wake;

	if (!from->first)
		return false;
	pthread_mutex_lock(&b->lock);
	*b->list.end = from->first;
	b->list.end = from->end;
	b->list.packet_bytes += from->packet_bytes;
	shed(&b->list, max_bytes, false, dropped);
	shed(&b->list, max_bytes, true, dropped);
	atomic_store_explicit(&b->waiting, b->list.packet_bytes, memory_order_relaxed);
	wake = !b->woken;
	b->woken = true;
	pthread_mutex_unlock(&b->lock);
	msg_list_init(from);
	return wake;
}

void inbox_take(struct inbox *b, struct msg_list *to)
{
	pthread_mutex_lock(&b->lock);
	*to = b->list;
	if (!to->first)
		to->end = &to->first;
	msg_list_init(&b->list);
	atomic_store_explicit(&b->waiting, 0, memory_order_relaxed);
	b->woken = false;
	pthread_mutex_unlock(&b->lock);
}
