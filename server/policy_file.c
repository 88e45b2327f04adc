#include "server/policy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/net/watch.h"
#include "server/core/event.h"
#include "server/policy/policy.h"

struct policy_file {
	struct call call; /* of the command that is under way */
	struct loop *loop;
	const char *path;
	void (*post)(void *ctx, struct event *e);
	void *ctx;
	struct watch *watch;
	bool busy, again; /* a text is read or asked about; the file changed meanwhile */

	char *text; /* owned: as read; NULL: it could not be */
	char why[300];

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t answered;
	bool starting;
	struct reply *reply; /* of the newest command; owned */
	struct loop_post posted;
};

/* ---- reading ---- */

static char *read_text(int fd)
{
	struct buf b = buf_make(POLICY_TEXT_MAX + 2);
	ssize_t n = 1;

	while (n > 0) {
		uint8_t *room = buf_reserve(&b, 65536 < POLICY_TEXT_MAX + 1 - buf_len(&b) ? 65536 : POLICY_TEXT_MAX + 1 - buf_len(&b));

		if (!room || buf_len(&b) > POLICY_TEXT_MAX) {
			errno = room ? EFBIG : ENOMEM;
			n = -1;
			break;
		}
		n = read(fd, room, MIN_OF((size_t)65536, POLICY_TEXT_MAX + 1 - buf_len(&b)));
		if (n > 0)
			buf_commit(&b, (size_t)n);
	}
	char *text = n == 0 ? bytes_dup(buf_view(&b)) : NULL;
	int keep = errno;
	buf_done(&b);
	errno = keep;
	return text;
}

/* On a worker of the loop, but for the first time. */
static void read_file(void *arg)
{
	struct policy_file *f = arg;
	CLEANUP(closep) int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	free(f->text);
	f->text = fd >= 0 ? read_text(fd) : NULL;
	if (!f->text)
		snprintf(f->why, sizeof f->why, "%s", errno == EFBIG ? "the file is too long" : strerror(errno));
	else if (strlen(f->text) == 0)
		snprintf(f->why, sizeof f->why, "the file is empty: for a network that is open to all write {}");
	else
		f->why[0] = 0;
}

/* ---- asking ---- */

static void deliver(struct call *c, struct reply *taken);

static bool ask(struct policy_file *f)
{
	struct event *e = event_new(EV_COMMAND);
	struct command *m = command_new(CMD_POLICY_SET);

	if (!e || !m) {
		event_free(e);
		command_free(m);
		return false;
	}
	m->text = arena_str(&m->arena, bytes_str(f->text));
	m->actor = m->author = arena_printf(&m->arena, "file:%s", f->path);
	m->via = "system";
	m->from_file = true;
	e->command = m;
	if (!m->text || !m->actor) {
		event_free(e);
		return false;
	}
	f->call.deliver = deliver;
	e->call = &f->call;
	f->post(f->ctx, e);
	return true;
}

static void tell(const struct policy_file *f, const struct reply *r)
{
	if (!r || r->e == ERR_CLOSED)
		return;
	if (r->e == OK) {
		log_info("policy in force", "file=%s version=%lld", log_qs(f->path).s, (long long)(r->n_policies ? r->policies[0].version : 0));
		return;
	}
	log_error("the policy in the file is refused; the one in force stays", "file=%s cause=%s", log_qs(f->path).s, log_qs(r->message).s);
	for (size_t i = 0; i < r->n_lines; i++)
		log_error("policy fault", "file=%s fault=%s", log_qs(f->path).s, log_qs(r->lines[i]).s);
}

static void begin(struct policy_file *f);

static void finish(struct policy_file *f)
{
	f->busy = false;
	if (f->again)
		begin(f);
}

static void on_answer(struct loop_post *p)
{
	struct policy_file *f = container_of(p, struct policy_file, posted);

	tell(f, f->reply);
	reply_free(MOVE(f->reply));
	finish(f);
}

static void deliver(struct call *c, struct reply *taken)
{
	struct policy_file *f = container_of(c, struct policy_file, call);

	pthread_mutex_lock(&f->lock);
	f->reply = taken;
	bool starting = f->starting;
	f->starting = false;
	pthread_cond_signal(&f->answered);
	pthread_mutex_unlock(&f->lock);
	if (!starting)
		loop_post_node(f->loop, &f->posted);
}

static void on_read(void *arg)
{
	struct policy_file *f = arg;

	if (!f->watch)
		return; /* the server stops */
	if (!f->why[0] && ask(f))
		return; /* goes on in on_answer */
	log_error("the policy file cannot be used; the policy in force stays", "file=%s cause=%s", log_qs(f->path).s,
		  log_qs(f->why[0] ? f->why : "out of memory").s);
	finish(f);
}

static void begin(struct policy_file *f)
{
	f->again = f->busy;
	if (f->busy || !f->watch)
		return;
	f->busy = true;
	if (loop_work(f->loop, read_file, on_read, f) != OK)
		f->busy = false; /* the next look finds it */
}

static void on_change(void *ctx)
{
	begin(ctx);
}

/* ---- life ---- */

static err first_time(struct policy_file *f, char *why, size_t why_cap)
{
	read_file(f);
	if (f->why[0]) {
		snprintf(why, why_cap, "policy.path: %s: %s", f->path, f->why);
		return ERR_INVALID;
	}
	f->starting = true;
	if (!ask(f))
		return ERR_NOMEM;
	pthread_mutex_lock(&f->lock);
	while (f->starting)
		pthread_cond_wait(&f->answered, &f->lock);
	struct reply *r = MOVE(f->reply);
	pthread_mutex_unlock(&f->lock);
	tell(f, r);
	err e = r ? r->e : ERR_NOMEM;
	if (r && e == ERR_INVALID && r->n_policies)
		e = OK; /* an older one is in force */
	if (r && e != OK)
		snprintf(why, why_cap, "policy.path: %s: %s%s%s", f->path, r->n_lines ? r->lines[0] : r->message,
			 r->n_lines > 1 ? "; more in the log" : "", "; no policy was ever set that could stay");
	reply_free(r);
	return e;
}

err policy_file_start(struct loop *l, const char *path, void (*post)(void *ctx, struct event *e), void *ctx, char *why, size_t why_cap,
		      struct policy_file **out)
{
	struct policy_file *f = calloc(1, sizeof *f);

	if (!f)
		return ERR_NOMEM;
	f->loop = l;
	f->path = path;
	f->post = post;
	f->ctx = ctx;
	f->posted.fn = on_answer;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->answered, NULL);
	*out = f;
	TRY(first_time(f, why, why_cap));
	TRY(watch_new(l, on_change, f, &f->watch));
	return watch_files(f->watch, &path, 1);
}

void policy_file_stop(struct policy_file *f)
{
	if (f)
		watch_free(MOVE(f->watch));
}

void policy_file_free(struct policy_file *f)
{
	if (!f)
		return;
	reply_free(f->reply);
	free(f->text);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->answered);
	free(f);
}
