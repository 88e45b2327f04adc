/* state: what the files of api/ share about the daemon. */
#pragma once

#include <pthread.h>

#include "server/api/api.h"
#include "server/api/rate.h"

struct MHD_Daemon;
struct request;

enum { API_OPENAPIS = 3 };

struct api {
	struct api_settings cfg;
	struct MHD_Daemon *daemon;
	pthread_mutex_t lock; /* the rest */
	pthread_cond_t idle;  /* waiting became 0 */
	size_t waiting;	      /* requests whose reply is on its way */
	size_t backups;
	struct api_workers *worker;
	struct rate requests, failures, guesses, user_guesses; /* the daemon's thread only */
	size_t body_bytes; /* of requests under way; the daemon's thread only */
	struct event_hub *events;
	struct webhooks *webhooks;
	char *openapi[API_OPENAPIS]; /* owned; NULL: nobody asked yet. The daemon's thread only */
	bool stopping;
	int64_t started_ms; /* wall clock */
};

/* The request sleeps until its call is delivered. false: the api is stopping, and nothing happened. */
bool api_wait_begins(struct request *r);
