#include "server/core/worker.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/runner.h"

struct worker {
	struct core_runner *runner; /* borrowed */
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;
	struct job *queue[JOBS_MAX + JOBS_OWN]; /* ring; the core gives no more than fit */
	size_t head, n;
	bool stopping;
};

static struct job *take(struct worker *w)
{
	struct job *j = NULL;

	pthread_mutex_lock(&w->lock);
	while (!w->n && !w->stopping)
		pthread_cond_wait(&w->wake, &w->lock);
	if (!w->stopping) {
		j = w->queue[w->head];
		w->head = (w->head + 1) % ARRAY_LEN(w->queue);
		w->n--;
	}
	pthread_mutex_unlock(&w->lock);
	return j;
}

static void *run(void *arg)
{
	struct worker *w = arg;

	for (struct job *j; (j = take(w));) {
		job_run(j);
		core_post_always(w->runner, MOVE(j->home));
	}
	return NULL;
}

err worker_start(struct core_runner *r, struct worker **out)
{
	struct worker *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NOMEM;
	w->runner = r;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	if (pthread_create(&w->thread, NULL, run, w) != 0) {
		pthread_mutex_destroy(&w->lock);
		pthread_cond_destroy(&w->wake);
		free(w);
		return ERR_SYS;
	}
	*out = w;
	return OK;
}

void worker_put(struct worker *w, struct job *j)
{
	pthread_mutex_lock(&w->lock);
	assert(w->n < ARRAY_LEN(w->queue));
	w->queue[(w->head + w->n++) % ARRAY_LEN(w->queue)] = j;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void worker_stop(struct worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->wake);
	free(w);
}
