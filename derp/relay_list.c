#include "derp/relay_list.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "derp/relay_state.h"

/* Shared by the asker and the workers; the last of them frees it, for the asker may have given up. */
struct relay_collect {
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned refs, missing;
	struct relay_row *rows; /* owned */
	size_t n, cap, total;
};

static void collect_unref(struct relay_collect *k)
{
	bool last = --k->refs == 0;

	pthread_mutex_unlock(&k->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->done);
	free(k->rows);
	free(k);
}

static struct relay_row row_of(const struct relay_client *c, int64_t now_ms)
{
	return (struct relay_row){
		.key = c->s.key,
		.addr = c->opts.peer,
		.age_ms = now_ms - c->since_ms,
		.bytes_in = c->bytes_in,
		.bytes_out = c->bytes_out,
		.packets_out = c->s.packets_out,
		.dropped = c->dropped,
		.queued = session_queued(&c->s),
		.home = c->home,
		.mesh = c->s.trusted,
		.websocket = c->opts.websocket,
		.watching = !list_is_empty(&c->watching),
		.blocked = c->blocked,
	};
}

/* On a worker's thread. k NULL: the message was dropped, and only the reference goes. */
void worker_collect(struct relay_worker *w, struct relay_collect *k, int64_t now_ms)
{
	pthread_mutex_lock(&k->lock);
	list_each(it, &w->all) {
		const struct relay_client *c = container_of(it, struct relay_client, all);

		if (!c->entry)
			continue;
		k->total++;
		if (k->n < k->cap)
			k->rows[k->n++] = row_of(c, now_ms);
	}
	if (--k->missing == 0)
		pthread_cond_signal(&k->done);
	collect_unref(k);
}

err relay_list(struct relay *r, size_t max, struct relay_row **rows, size_t *n, size_t *total)
{
	struct relay_collect *k = calloc(1, sizeof *k);
	unsigned workers = atomic_load(&r->n_workers);
	pthread_condattr_t attr;
	struct timespec until;

	if (!k)
		return ERR_NOMEM;
	k->rows = calloc(max ? max : 1, sizeof *k->rows);
	if (!k->rows) {
		free(k);
		return ERR_NOMEM;
	}
	k->cap = max;
	k->refs = 1 + workers;
	k->missing = workers;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->done, &attr);
	pthread_condattr_destroy(&attr);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += RELAY_LIST_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	bool lost = false;
	for (unsigned i = 0; i < workers; i++) {
		if (relay_post_collect(r, i, k) == OK)
			continue;
		lost = true;
		pthread_mutex_lock(&k->lock);
		k->missing--;
		collect_unref(k);
	}
	pthread_mutex_lock(&k->lock);
	while (k->missing && pthread_cond_timedwait(&k->done, &k->lock, &until) != ETIMEDOUT)
		;
	bool late = k->missing != 0;
	if (!late && !lost) {
		*rows = k->rows;
		*n = k->n;
		*total = k->total;
		k->rows = NULL;
	}
	collect_unref(k);
	return lost ? ERR_NOMEM : late ? ERR_BUSY : OK;
}
