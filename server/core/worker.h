/* worker: one thread that runs jobs in the order they were given, and posts each back as an event. */
#pragma once

#include "server/core/job.h"

struct core_runner;
struct worker;

MUST_USE err worker_start(struct core_runner *r, struct worker **out);
/* Never blocks. The core's thread only. */
void worker_put(struct worker *w, struct job *j);
/* Finishes the job at hand, forgets the others: they stay the core's. NULL is fine. */
void worker_stop(struct worker *w);
