/* state: what the files of api/ share about the daemon. */
#pragma once

#include <pthread.h>

#include "server/api/api.h"
#include "server/api/rate.h"

struct MHD_Daemon;
struct request;

enum { API_OPENAPIS = 3 };

enum { SIGNIN_FAILURES_MAX = 256 };

/* Somebody could not sign in: told in the console, never stored, for strangers make them. */
struct signin_failure {
	int64_t at_ms;
	char by[16], name[64], address[ADDR_TEXT_MAX], agent[96], why[160];
};
/* by: "password", "provider", "link" …; name: as they called themselves, "" not known. console_logs.c */
void signin_failed(struct request *r, const char *by, const char *name, const char *why);

struct api {
	struct api_settings cfg;
	struct MHD_Daemon *daemon;
	pthread_mutex_t lock; /* the rest */
	pthread_cond_t idle;  /* waiting became 0 */
	size_t waiting;	      /* requests whose reply is on its way */
	size_t backups;
	size_t exports; /* of the log, under way; the daemon's thread only */
	struct api_workers *worker;
	struct rate requests, failures, guesses, user_guesses; /* the daemon's thread only */
	size_t body_bytes; /* of requests under way; the daemon's thread only */
	struct event_hub *events;
	struct webhooks *webhooks;
	char *openapi[API_OPENAPIS]; /* owned; NULL: nobody asked yet. The daemon's thread only */
	bool stopping;
	uint32_t boot;	    /* of this process: begins the ids of its requests */
	uint64_t n_requests; /* the daemon's thread only */
	int64_t started_ms; /* wall clock */
	struct signin_failure failed[SIGNIN_FAILURES_MAX]; /* a ring; the daemon's thread only */
	size_t n_failed;
};

/* The request sleeps until its call is delivered. false: the api is stopping, and nothing happened. */
bool api_wait_begins(struct request *r);
