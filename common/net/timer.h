/* timer: the loop's timers as a binary heap, soonest first. No clock and no libuv here: loop.c feeds it the time.
 *
 * A timer is counted in when it is initialised, and the array has room for all that are, so that arming needs no
 * memory. The array doubles when it is half full: a failing allocation is tried again long before it is needed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop_timer;

struct timer_heap {
	struct loop_timer **at; /* owned; at[1] is the soonest, at[0] unused */
	size_t n;		/* armed */
	size_t reserved;	/* initialised and not done */
	size_t cap;
};

/* False: no memory, and no room left for one more timer. */
bool timer_heap_reserve(struct timer_heap *h);
void timer_heap_unreserve(struct timer_heap *h);
void timer_heap_free(struct timer_heap *h); /* all timers in it become unarmed */

void timer_heap_set(struct timer_heap *h, struct loop_timer *t, int64_t due_ms); /* arms or moves */
void timer_heap_remove(struct timer_heap *h, struct loop_timer *t);		  /* not armed: nothing happens */
struct loop_timer *timer_heap_first(const struct timer_heap *h);		  /* NULL: none */
