#include "server/api/worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "server/api/state.h"

struct job {
	struct job *next;
	struct request *r;
	work *run;
};

struct api_workers {
	pthread_mutex_t lock; /* the rest */
	pthread_cond_t more;
	struct job *first, **last;
	size_t n;
	bool stop;
	pthread_t thread[WORKERS];
	size_t n_threads;
};

static struct job *take(struct api_workers *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->first && !w->stop)
		pthread_cond_wait(&w->more, &w->lock);
	struct job *j = w->first;
	if (j) {
		w->first = j->next;
		if (!w->first)
			w->last = &w->first;
		w->n--;
	}
	pthread_mutex_unlock(&w->lock);
	return j;
}

static void *run(void *arg)
{
	for (struct job *j; (j = take(arg));) {
		struct reply *reply = reply_new();

		if (reply)
			j->run(j->r, reply);
		j->r->call.deliver(&j->r->call, reply);
		free(j);
	}
	return NULL;
}

err api_workers_new(struct api_workers **out)
{
	struct api_workers *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NOMEM;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	w->last = &w->first;
	for (; w->n_threads < WORKERS; w->n_threads++)
		if (pthread_create(&w->thread[w->n_threads], NULL, run, w) != 0)
			break;
	if (!w->n_threads) {
		api_workers_free(w);
		return ERR_SYS;
	}
	*out = w;
	return OK;
}

void api_workers_free(struct api_workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < w->n_threads; i++)
		pthread_join(w->thread[i], NULL);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

enum MHD_Result work_for(struct request *r, work *what, reply_handler *next)
{
	enum MHD_Result result;

	return work_begins(r, what, next, &result) ? MHD_YES : result;
}

bool work_begins(struct request *r, work *what, reply_handler *next, enum MHD_Result *result)
{
	struct api_workers *w = r->api->worker;
	struct job *j = r->fault ? NULL : malloc(sizeof *j);

	if (!j) {
		*result = answer_error(r, r->fault ? 400 : 500, r->fault ? r->fault : "out of memory");
		return false;
	}
	*j = (struct job){ .r = r, .run = what };
	r->next = next;
	pthread_mutex_lock(&w->lock);
	bool room = w->n < WORK_MAX;
	pthread_mutex_unlock(&w->lock);
	if (!room || !api_wait_begins(r)) {
		free(j);
		*result = answer_error(r, 503, room ? "the server is stopping" : "the server is busy, try again");
		return false;
	}
	pthread_mutex_lock(&w->lock);
	*w->last = j;
	w->last = &j->next;
	w->n++;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	return true;
}
