/* list: intrusive doubly linked ring. A head and a member are the same struct; a member not in a list is self-linked. */
#pragma once

#include <stdbool.h>

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_add_tail(struct list *head, struct list *m)
{
	m->next = head;
	m->prev = head->prev;
	head->prev->next = m;
	head->prev = m;
}

static inline void list_add_head(struct list *head, struct list *m)
{
	list_add_tail(head->next, m);
}

static inline void list_del(struct list *m)
{
	m->prev->next = m->next;
	m->next->prev = m->prev;
	list_init(m);
}

#define list_each(it, head)	 for (struct list *it = (head)->next; it != (head); it = it->next)
/* The body may delete it. */
#define list_each_safe(it, head) for (struct list *it = (head)->next, *it##_n = it->next; it != (head); it = it##_n, it##_n = it->next)
