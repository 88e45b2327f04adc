#include "server/core/state.h"

#include <stdlib.h>

void timers_done(struct timers *h)
{
	free(h->heap);
	*h = (struct timers){ 0 };
}

err timers_reserve(struct timers *h, size_t n)
{
	if (n < h->cap)
		return OK;
	size_t cap = h->cap ? h->cap : 64;
	while (cap <= n)
		cap *= 2;
	struct timer **heap = realloc(h->heap, cap * sizeof(*heap));
	if (!heap)
		return ERR_NOMEM;
	h->heap = heap;
	h->cap = cap;
	return OK;
}

static void place(struct timers *h, size_t i, struct timer *t)
{
	h->heap[i] = t;
	t->index = i;
}

static void sift_up(struct timers *h, size_t i, struct timer *t)
{
	for (; i > 1 && h->heap[i / 2]->at_ms > t->at_ms; i /= 2)
		place(h, i, h->heap[i / 2]);
	place(h, i, t);
}

static void sift_down(struct timers *h, size_t i, struct timer *t)
{
	for (;;) {
		size_t child = i * 2;
		if (child > h->n)
			break;
		if (child < h->n && h->heap[child + 1]->at_ms < h->heap[child]->at_ms)
			child++;
		if (h->heap[child]->at_ms >= t->at_ms)
			break;
		place(h, i, h->heap[child]);
		i = child;
	}
	place(h, i, t);
}

void timer_stop(struct timers *h, struct timer *t)
{
	if (!t->index)
		return;
	size_t i = t->index;
	struct timer *last = h->heap[h->n--];
	t->index = 0;
	if (last == t)
		return;
	if (i > 1 && h->heap[i / 2]->at_ms > last->at_ms)
		sift_up(h, i, last);
	else
		sift_down(h, i, last);
}

void timer_arm(struct timers *h, struct timer *t, int64_t at_ms)
{
	timer_stop(h, t);
	if (timers_reserve(h, h->n + 1) != OK)
		return; /* owners reserve when they are made, so that this does not happen */
	t->at_ms = at_ms;
	sift_up(h, ++h->n, t);
}

struct timer *timers_first(const struct timers *h)
{
	return h->n ? h->heap[1] : NULL;
}
