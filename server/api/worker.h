/* worker: the threads of the api that may block: the database read beside the core. A request sleeps meanwhile. */
#pragma once

#include "server/api/request.h"

enum { WORKERS = 2, WORK_MAX = 64 /* jobs that wait; more are told to come again */ };

struct api_workers;

MUST_USE err api_workers_new(struct api_workers **out);
void api_workers_free(struct api_workers *w); /* runs what waits first; NULL is fine */

/* run is called on a worker with the sleeping request (its arena is the job's meanwhile) and an empty reply to fill; then
 * next goes on with it, as after ask(). */
typedef void work(struct request *r, struct reply *reply);
enum MHD_Result work_for(struct request *r, work *run, reply_handler *next);
/* false: it will not run, and the request was answered (*result). */
bool work_begins(struct request *r, work *run, reply_handler *next, enum MHD_Result *result);
