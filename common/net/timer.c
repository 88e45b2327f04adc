#include "common/net/timer.h"

#include <stdlib.h>

#include "common/net/loop.h"

enum { TIMERS_FIRST = 64 };

bool timer_heap_reserve(struct timer_heap *h)
{
	if (h->reserved >= h->cap / 2) {
		size_t cap = h->cap ? h->cap * 2 : TIMERS_FIRST;
		struct loop_timer **at = cap < SIZE_MAX / sizeof *at ? realloc(h->at, (cap + 1) * sizeof(*at)) : NULL;

		if (at) {
			h->at = at;
			h->cap = cap;
		}
	}
	if (h->reserved >= h->cap)
		return false;
	h->reserved++;
	return true;
}

void timer_heap_unreserve(struct timer_heap *h)
{
	h->reserved--;
}

void timer_heap_free(struct timer_heap *h)
{
	for (size_t i = 1; i <= h->n; i++)
		h->at[i]->heap_at = 0;
	free(h->at);
	*h = (struct timer_heap){ 0 };
}

static void place(struct timer_heap *h, size_t i, struct loop_timer *t)
{
	h->at[i] = t;
	t->heap_at = (unsigned)i;
}

static void sift_up(struct timer_heap *h, size_t i, struct loop_timer *t)
{
	for (; i > 1 && h->at[i / 2]->due_ms > t->due_ms; i /= 2)
		place(h, i, h->at[i / 2]);
	place(h, i, t);
}

static void sift_down(struct timer_heap *h, size_t i, struct loop_timer *t)
{
	for (size_t child; (child = i * 2) <= h->n; i = child) {
		if (child < h->n && h->at[child + 1]->due_ms < h->at[child]->due_ms)
			child++;
		if (h->at[child]->due_ms >= t->due_ms)
			break;
		place(h, i, h->at[child]);
	}
	place(h, i, t);
}

/* Puts t where the hole at i is; it may have to go either way. */
static void settle(struct timer_heap *h, size_t i, struct loop_timer *t)
{
	if (i > 1 && h->at[i / 2]->due_ms > t->due_ms)
		sift_up(h, i, t);
	else
		sift_down(h, i, t);
}

void timer_heap_set(struct timer_heap *h, struct loop_timer *t, int64_t due_ms)
{
	t->due_ms = due_ms;
	settle(h, t->heap_at ? t->heap_at : ++h->n, t);
}

void timer_heap_remove(struct timer_heap *h, struct loop_timer *t)
{
	size_t i = t->heap_at;

	if (i == 0)
		return;
	struct loop_timer *last = h->at[h->n--];
	if (last != t)
		settle(h, i, last);
	t->heap_at = 0;
}

struct loop_timer *timer_heap_first(const struct timer_heap *h)
{
	return h->n ? h->at[1] : NULL;
}
