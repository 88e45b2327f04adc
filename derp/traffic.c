#include "derp/traffic.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "derp/relay_list.h"

enum { LINE_MAX_BYTES = 160 };

struct traffic {
	struct relay *relay;
	struct loop *loop;
	struct loop_timer timer;
	_Atomic int64_t asked_ms;
	struct relay_row *rows; /* of the last look, sorted by address; the main thread's */
	size_t n;
	int64_t looked_ms;
	pthread_mutex_t lock; /* of text */
	struct buf text;
};

static int by_address(const void *a, const void *b)
{
	const struct relay_row *x = a, *y = b;
	int c = addr_cmp(x->addr.addr, y->addr.addr);

	return c ? c : (x->addr.port > y->addr.port) - (x->addr.port < y->addr.port);
}

static int by_rate(const void *a, const void *b)
{
	const struct relay_row *x = a, *y = b;
	uint64_t m = x->bytes_in + x->bytes_out, n = y->bytes_in + y->bytes_out;

	return (m < n) - (m > n);
}

/* What rows has more than the look before, a second; busiest first. */
static void write_rates(struct traffic *t, const struct relay_row *rows, size_t n, int64_t passed_ms)
{
	CLEANUP(freep) struct relay_row *rates = calloc(n ? n : 1, sizeof *rates);
	struct buf text = buf_make(TRAFFIC_LINES_MAX * LINE_MAX_BYTES + 256);
	size_t busy = 0;

	for (size_t i = 0; rates && i < n; i++) {
		const struct relay_row *was = bsearch(&rows[i], t->rows, t->n, sizeof *rows, by_address);
		struct relay_row d = rows[i];
		bool same = was && node_pub_eq(&was->key, &d.key) && was->bytes_in <= d.bytes_in && was->bytes_out <= d.bytes_out;

		d.bytes_in = (d.bytes_in - (same ? was->bytes_in : 0)) * 1000 / (uint64_t)passed_ms;
		d.bytes_out = (d.bytes_out - (same ? was->bytes_out : 0)) * 1000 / (uint64_t)passed_ms;
		if (d.bytes_in || d.bytes_out)
			rates[busy++] = d;
	}
	if (busy)
		qsort(rates, busy, sizeof *rates, by_rate);
	buf_printf(&text, "%zu of %zu connections are busy; bytes a second, of the last %" PRId64 " ms\n", busy, n, passed_ms);
	for (size_t i = 0; i < MIN_OF(busy, (size_t)TRAFFIC_LINES_MAX); i++) {
		char key[KEY_SHORT_MAX], addr[ADDRPORT_TEXT_MAX];

		buf_printf(&text, "%-10s %-28s in %10" PRIu64 " out %10" PRIu64 "\n", node_pub_short(&rates[i].key, key),
			addrport_text(rates[i].addr, addr), rates[i].bytes_in, rates[i].bytes_out);
	}
	pthread_mutex_lock(&t->lock);
	buf_done(&t->text);
	t->text = text;
	pthread_mutex_unlock(&t->lock);
}

static void forget(struct traffic *t)
{
	free(t->rows);
	t->rows = NULL;
	t->n = 0;
	t->looked_ms = 0;
	pthread_mutex_lock(&t->lock);
	buf_done(&t->text);
	t->text = buf_make(0);
	pthread_mutex_unlock(&t->lock);
}

static void on_look(struct loop_timer *timer)
{
	struct traffic *t = container_of(timer, struct traffic, timer);
	int64_t now_ms = clock_mono_ms();
	struct relay_row *rows = NULL;
	size_t n = 0, total = 0;

	loop_timer_in(timer, TRAFFIC_EVERY_MS);
	if (!t->asked_ms || now_ms - t->asked_ms > TRAFFIC_ASKED_MS) {
		if (t->looked_ms)
			forget(t);
		return;
	}
	if (relay_list(t->relay, TRAFFIC_ROWS_MAX, &rows, &n, &total) != OK)
		return; /* busy: the next look covers it */
	if (n)
		qsort(rows, n, sizeof *rows, by_address);
	if (t->looked_ms && now_ms > t->looked_ms)
		write_rates(t, rows, n, now_ms - t->looked_ms);
	free(t->rows);
	t->rows = rows;
	t->n = n;
	t->looked_ms = now_ms;
}

err traffic_new(struct relay *r, struct loop *l, struct traffic **out)
{
	struct traffic *t = calloc(1, sizeof *t);

	if (!t)
		return ERR_NOMEM;
	t->relay = r;
	t->loop = l;
	t->text = buf_make(0);
	pthread_mutex_init(&t->lock, NULL);
	loop_timer_init(&t->timer, l, on_look);
	loop_timer_in(&t->timer, TRAFFIC_EVERY_MS);
	*out = t;
	return OK;
}

void traffic_free(struct traffic *t)
{
	if (!t)
		return;
	loop_timer_done(&t->timer);
	free(t->rows);
	buf_done(&t->text);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void traffic_tell(struct traffic *t, int64_t mono_ms, struct buf *out)
{
	t->asked_ms = mono_ms;
	pthread_mutex_lock(&t->lock);
	if (buf_len(&t->text))
		buf_append(out, buf_view(&t->text));
	else
		buf_append(out, BYTES_LIT("Looking: ask again in four seconds.\n"));
	pthread_mutex_unlock(&t->lock);
}
