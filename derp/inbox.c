#include "derp/inbox.h"

#include <stdlib.h>

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
	return m->kind == MSG_PACKET || m->kind == MSG_FORWARD ? m->n + sizeof *m : 0;
}

void msg_list_add(struct msg_list *l, struct relay_msg *m)
{
	m->next = NULL;
	*l->end = m;
	l->end = &m->next;
	l->packet_bytes += weight(m);
}

struct relay_msg *msg_list_pop(struct msg_list *l)
{
	struct relay_msg *m = l->first;

	if (!m)
		return NULL;
	l->first = m->next;
	if (!l->first)
		l->end = &l->first;
	l->packet_bytes -= weight(m);
	return m;
}

void msg_list_done(struct msg_list *l)
{
	struct relay_msg *m;

	while ((m = msg_list_pop(l)))
		msg_free(m);
}

void inbox_init(struct inbox *b)
{
	pthread_mutex_init(&b->lock, NULL);
	msg_list_init(&b->list);
	b->woken = false;
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
	b->woken = false;
	pthread_mutex_unlock(&b->lock);
}
