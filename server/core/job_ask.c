#include <inttypes.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"
#include "server/core/job.h"
#include "server/core/state.h"
#include "server/policy/draft.h"

/* What is asked about a policy: of the one in force, of a draft, or of both. The worker's part. */

static int by_id(const void *a, const void *b)
{
	const struct policy_named *x = a, *y = b;

	return (x->node->id > y->node->id) - (x->node->id < y->node->id);
}

static err name_all(const struct snapshot *s, struct policy_named **out, size_t *n)
{
	struct policy_named *list = calloc(snapshot_slots(s) + 1, sizeof *list);
	size_t k = 0;

	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < snapshot_slots(s); i++) {
		const struct record *r = snapshot_get(s, i);

		if (r)
			list[k++] = (struct policy_named){ r->name, &r->node };
	}
	if (k)
		qsort(list, k, sizeof *list, by_id);
	*out = list;
	*n = k;
	return OK;
}

static void view_freep(struct policy_view **v)
{
	policy_view_free(*v);
}

static void unrefp(struct policy **p)
{
	policy_unref(*p);
}

static struct policy_lockout_asked lockout_asked(const struct command *m)
{
	return (struct policy_lockout_asked){ .from = m->from, .server = m->addrs, .n_server = m->n_addrs, .port = m->console_port,
					      .inside = m->console_inside };
}

/* ---- one question ---- */

struct asked { /* what can go wrong with a question */
	char why[300];
};

/* An object, or members of one that is open. */
static err one_answer(struct job *j, const struct policy_world *w, struct jsonw *out, struct asked *a)
{
	const struct command *m = j->command;
	CLEANUP(buf_done) struct buf text = buf_make(QUERY_ANSWER_MAX);

	switch (m->kind) {
	case CMD_POLICY_EXPLAIN:
		TRY(policy_explain(w, m->name, m->new_name, &text, a->why, sizeof a->why));
		break;
	case CMD_POLICY_WHO:
		TRY(policy_who_can_reach(w, m->new_name, &text, a->why, sizeof a->why));
		break;
	case CMD_POLICY_WHAT:
		TRY(policy_what_can_reach(w, m->name, &text, a->why, sizeof a->why));
		break;
	default:
		return policy_ssh_question(w, m->name, m->new_name, m->user ? m->user : "", out, a->why, sizeof a->why);
	}
	/* { … }: its members */
	struct bytes b = buf_view(&text);
	jsonw_raw_members(out, bytes_first(bytes_skip(b, 1), b.n - 2));
	return OK;
}

static void begin(struct job *j, struct jsonw *w)
{
	jsonw_obj(w);
	jsonw_key(w, "version"), jsonw_int(w, j->base_version);
}

static void end(struct job *j, struct jsonw *w)
{
	jsonw_obj_end(w);
	j->reply->text = jsonw_ok(w) ? arena_str(&j->reply->arena, buf_view(w->out)) : NULL;
	if (!j->reply->text)
		reply_fail(j->reply, w->out->bad ? ERR_TOO_BIG : ERR_NOMEM, "the answer is too long, or memory is short");
}

static void write_base(struct job *j, struct jsonw *w)
{
	jsonw_key(w, "base"), jsonw_obj(w);
	jsonw_key(w, "current"), jsonw_bool(w, !j->command->base || j->command->base == j->base_version);
	jsonw_key(w, "version"), jsonw_int(w, j->base_version);
	jsonw_key(w, "author"), jsonw_str(w, j->base_row.author);
	jsonw_key(w, "note"), jsonw_str(w, j->base_row.note);
	jsonw_key(w, "createdAt");
	if (j->base_row.created_ms)
		jsonw_time(w, j->base_row.created_ms);
	else
		jsonw_null(w);
	jsonw_obj_end(w);
}

static err answer_draft(struct job *j, const struct policy_world *was, struct jsonw *w)
{
	const struct policy_draft d = { .text = bytes_str(j->command->text), .services = j->services, .asked = lockout_asked(j->command),
					.hidden = j->command->hidden };

	begin(j, w);
	write_base(j, w);
	TRY(policy_draft_write(was, &d, w));
	end(j, w);
	return OK;
}

/* The draft, read strictly: questions are about what could be set. false: the reply says what is wrong. */
static bool read_draft(struct job *j, struct bytes text, struct policy **out)
{
	struct policy_faults faults = { 0 };

	err e = policy_parse_with(text, j->services, out, &faults);
	if (e == OK)
		return true;
	reply_fail(j->reply, e, "the draft has an error: %s", faults.n ? faults.fault[0].text : err_text(e));
	job_note_faults(j->reply, text, &faults);
	return false;
}

static err answer_pair(struct job *j, const struct policy_world *was, const struct policy_world *is, struct jsonw *w, struct asked *a)
{
	const struct command *m = j->command;

	begin(j, w);
	if (m->kind == CMD_POLICY_MATCHES) {
		TRY(policy_matches(is, *m->new_name, *m->new_name ? m->new_name : m->name, w, a->why, sizeof a->why));
	} else if (m->kind == CMD_POLICY_MATRIX) {
		TRY(policy_matrix(was, is, m->ssh, w));
	} else if (m->kind == CMD_POLICY_GRAPH) {
		TRY(policy_graph(was, is, m->name, m->towards, m->ssh, w, a->why, sizeof a->why));
	} else if (was == is) {
		TRY(one_answer(j, is, w, a));
	} else {
		jsonw_key(w, "inForce"), jsonw_obj(w);
		TRY(one_answer(j, was, w, a));
		jsonw_obj_end(w);
		jsonw_key(w, "draft"), jsonw_obj(w);
		TRY(one_answer(j, is, w, a));
		jsonw_obj_end(w);
	}
	end(j, w);
	return OK;
}

static err ask(struct job *j, struct asked *a)
{
	CLEANUP(view_freep) struct policy_view *v = NULL, *v2 = NULL;
	CLEANUP(freep) struct policy_named *named = NULL;
	CLEANUP(buf_done) struct buf out = buf_make(QUERY_ANSWER_MAX);
	CLEANUP(unrefp) struct policy *p = NULL;
	struct jsonw w = jsonw_init(&out);
	struct policy_world was = { 0 };

	TRY(job_view(j->base, &j->snap, NULL, &v));
	TRY(name_all(&j->snap, &named, &was.n));
	if (j->newcomer) { /* its id comes before all others */
		struct policy_changes changes = { 0 };
		uint32_t cls;
		err e = policy_view_put(v, &j->newcomer->node, &cls, &changes);
		policy_changes_done(&changes);
		TRY(e);
		memmove(named + 1, named, was.n * sizeof *named);
		named[0] = (struct policy_named){ j->newcomer->name, &j->newcomer->node };
		was.n++;
	}
	was.view = v;
	was.node = named;
	if (j->command->kind == CMD_POLICY_PREVIEW)
		return answer_draft(j, &was, &w);
	if (!j->command->has_text)
		return answer_pair(j, &was, &was, &w, a);
	if (!read_draft(j, bytes_str(j->command->text), &p))
		return OK;
	TRY(policy_world_view(p, &was, &v2));
	const struct policy_world is = { v2, was.node, was.n };
	return answer_pair(j, &was, &is, &w, a);
}

/* ---- two versions ---- */

/* What an old text meant; what would be refused today is left out. NULL: nothing can be made of it. */
static struct policy *read_old(struct job *j, struct bytes text)
{
	struct policy_faults faults = { 0 };
	struct policy *p = NULL;

	return policy_parse_leniently(text, j->services, &p, &faults) == OK ? p : NULL;
}

static err meaning(struct job *j, struct jsonw *w)
{
	CLEANUP(unrefp) struct policy *from = read_old(j, j->from_text), *to = read_old(j, j->to_text);
	CLEANUP(view_freep) struct policy_view *v = NULL, *v2 = NULL;
	CLEANUP(freep) struct policy_named *named = NULL;
	struct policy_world was = { 0 };

	if (!from || !to || j->command->hidden) {
		jsonw_key(w, "changes"), jsonw_null(w);
		jsonw_key(w, "machines"), jsonw_null(w);
		return OK;
	}
	TRY(name_all(&j->snap, &named, &was.n));
	was.node = named;
	TRY(policy_world_view(from, &was, &v));
	TRY(policy_world_view(to, &was, &v2));
	was.view = v;
	const struct policy_world is = { v2, was.node, was.n };
	return policy_changes_write(&was, &is, w, NULL);
}

static err diff(struct job *j)
{
	CLEANUP(buf_done) struct buf out = buf_make(QUERY_ANSWER_MAX), lines = buf_make(QUERY_ANSWER_MAX);
	struct jsonw w = jsonw_init(&out);

	TRY(policy_diff(j->from_text, j->to_text, &lines));
	jsonw_obj(&w);
	jsonw_key(&w, "from"), jsonw_int(&w, j->command->id);
	jsonw_key(&w, "to");
	if (j->command->has_text)
		jsonw_null(&w);
	else
		jsonw_int(&w, j->command->other);
	jsonw_key(&w, "diff"), jsonw_bytes(&w, buf_view(&lines));
	TRY(meaning(j, &w));
	jsonw_key(&w, "hidden"), jsonw_bool(&w, j->command->hidden);
	end(j, &w);
	return OK;
}

static err format(struct job *j)
{
	CLEANUP(buf_done) struct buf out = buf_make(QUERY_ANSWER_MAX), text = buf_make(QUERY_ANSWER_MAX);
	struct bytes was = bytes_str(j->command->text);
	struct jsonw w = jsonw_init(&out);
	struct policy_faults faults;

	err e = policy_format(was, &text, &faults);
	if (e == ERR_INVALID) {
		reply_fail(j->reply, e, "this cannot be laid out: %s", faults.fault[0].text);
		job_note_faults(j->reply, was, &faults);
		return OK;
	}
	TRY(e);
	jsonw_obj(&w);
	jsonw_key(&w, "policy"), jsonw_bytes(&w, buf_view(&text));
	jsonw_key(&w, "changed"), jsonw_bool(&w, !bytes_eq(was, buf_view(&text)));
	end(j, &w);
	return OK;
}

void job_ask(struct job *j)
{
	struct asked a = { 0 };
	err e = j->command->kind == CMD_POLICY_DIFF ? diff(j) : j->command->kind == CMD_POLICY_FORMAT ? format(j) : ask(j, &a);

	if (e != OK)
		reply_fail(j->reply, e, "%s", *a.why ? a.why : err_text(e));
}

/* ---- before it is set ---- */

enum { WEIGHED_NODES_MAX = 3000 /* above, nobody waits for the counts */ };

static err refuse_lockout(struct job *j, const struct policy_lockout *list)
{
	CLEANUP(buf_done) struct buf out = buf_make(4096);
	struct jsonw w = jsonw_init(&out);

	policy_lockout_write(list, &w);
	j->reply->lockout = arena_str(&j->reply->arena, buf_view(&out));
	for (int i = 0; i < LOCKOUTS_N; i++)
		if (list[i].refused) {
			reply_fail(j->reply, ERR_STATE, "%s; to set it all the same, ask for it by force", list[i].text);
			return ERR_STATE;
		}
	return OK;
}

static err weigh(struct job *j, const struct policy_world *was, const struct policy_world *is)
{
	CLEANUP(buf_done) struct buf out = buf_make(QUERY_ANSWER_MAX);
	const struct policy_lockout_asked asked = lockout_asked(j->command);
	struct policy_lockout lockout[LOCKOUTS_N];
	struct jsonw w = jsonw_init(&out);
	struct policy_effect effect;

	if (!j->command->force && !j->command->from_file && policy_lockout_possible(&asked)) {
		policy_lockout(was, is, &asked, lockout);
		TRY(refuse_lockout(j, lockout));
	}
	jsonw_obj(&w);
	err e = was->n <= WEIGHED_NODES_MAX ? policy_changes_write(was, is, &w, &effect) : ERR_TOO_BIG;
	if (e != OK || !effect.exact) /* it is only told */
		return OK;
	j->weighed = true;
	j->gained = effect.gained;
	j->lost = effect.lost;
	j->machines = effect.machines;
	return OK;
}

err job_weigh(struct job *j)
{
	CLEANUP(view_freep) struct policy_view *v = NULL;
	CLEANUP(freep) struct policy_named *named = NULL;
	struct policy_world was = { 0 };

	if (j->command->kind != CMD_POLICY_SET && j->command->kind != CMD_POLICY_ROLLBACK)
		return OK;
	TRY(job_view(j->base, &j->snap, NULL, &v));
	TRY(name_all(&j->snap, &named, &was.n));
	was.view = v;
	was.node = named;
	const struct policy_world is = { j->view, was.node, was.n };
	return weigh(j, &was, &is);
}
