/* backup: calls that block for long, each on a thread of its own; API_BACKUPS_MAX at once. */
#pragma once

#include "server/api/request.h"

/* Runs on that thread. why: a sentence, on any error. */
typedef err long_job(struct api *a, const char *path, char *why, size_t why_cap);
/* next goes on when it is done; r->keep is path then. */
enum MHD_Result run_long(struct request *r, long_job *job, const char *path, reply_handler *next);

enum MHD_Result begin_backup(struct request *r);
