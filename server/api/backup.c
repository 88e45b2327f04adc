#include "server/api/backup.h"

#include "common/base/cleanup.h"
#include "server/api/state.h"

struct backup {
	struct request *r;
	struct api *api;
	long_job *job;
	char *path; /* owned */
};

static bool take_slot(struct api *a)
{
	pthread_mutex_lock(&a->lock);
	bool is_free = a->backups < API_BACKUPS_MAX && !a->stopping;
	a->backups += is_free;
	pthread_mutex_unlock(&a->lock);
	return is_free;
}

static void free_slot(struct api *a)
{
	pthread_mutex_lock(&a->lock);
	a->backups--;
	pthread_mutex_unlock(&a->lock);
}

static enum MHD_Result on_recorded(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "path"), jsonw_str(&w, r->keep);
	return answer_end(r, &w, &out);
}

static enum MHD_Result on_backup(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct command *c = command_for(r, CMD_BACKUP_NOTE);
	if (c) {
		c->name = r->keep;
		c->new_name = "create";
	}
	return ask(r, c, on_recorded);
}

static void *backup_main(void *arg)
{
	struct backup *b = arg;
	struct reply *reply = reply_new();
	char why[300] = "";
	err e = b->job(b->api, b->path, why, sizeof why);

	if (reply) {
		reply->e = e;
		reply->message = e == OK ? NULL : arena_str(&reply->arena, bytes_str(why));
	}
	free_slot(b->api);
	b->r->call.deliver(&b->r->call, reply);
	free(b->path);
	free(b);
	return NULL;
}

/* b->r sleeps from here on, whatever becomes of the thread. */
static void start(struct backup *b)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, backup_main, b) == 0)
		pthread_detach(thread);
	else
		backup_main(b); /* out of threads: better a slow server than no backup */
}

enum MHD_Result run_long(struct request *r, long_job *job, const char *path, reply_handler *next)
{
	if (!take_slot(r->api))
		return answer_error(r, 503, "another backup is at work, or the server is stopping");
	struct backup *b = calloc(1, sizeof *b);
	char *copy = strdup(path);
	r->keep = arena_str(&r->arena, bytes_str(path));
	r->next = next;
	if (!b || !copy || !r->keep || !api_wait_begins(r)) {
		free_slot(r->api);
		free(copy);
		free(b);
		return answer_error(r, 503, "the backup could not be started");
	}
	*b = (struct backup){ .r = r, .api = r->api, .job = job, .path = copy };
	start(b);
	return MHD_YES;
}

static err copy_to(struct api *a, const char *path, char *why, size_t why_cap)
{
	return a->cfg.backup(a->cfg.ctx, path, why, why_cap);
}

enum MHD_Result begin_backup(struct request *r)
{
	const char *to = body_text(r, "path");

	if (r->fault || !to || to[0] != '/')
		return answer_error(r, 400, r->fault ? r->fault : "path: an absolute file name is needed");
	if (!r->api->cfg.backup)
		return answer_error(r, 501, "this server has no database file to copy");
	return run_long(r, copy_to, to, on_backup);
}
