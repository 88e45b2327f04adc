#include "server/core/job.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"
#include "server/core/state.h"
#include "server/policy/query.h"

/* ---- life ---- */

struct job *job_new(void)
{
	struct job *j = calloc(1, sizeof *j);

	if (!j)
		return NULL;
	list_init(&j->all);
	j->home = event_new(EV_JOB_DONE);
	if (!j->home) {
		free(j);
		return NULL;
	}
	j->home->job = j;
	return j;
}

void job_free(struct job *j)
{
	if (!j)
		return;
	event_free(j->home);
	command_free(j->command);
	reply_free(j->reply);
	snapshot_done(&j->snap);
	policy_view_free(j->view);
	policy_view_free(j->junk);
	map_cache_free(j->junk_cache);
	policy_unref(j->policy);
	policy_unref(j->base);
	policy_services_unref(j->services);
	free(j->cls);
	free(j->approves);
	free(j);
}

/* ---- the worker's part ---- */

static void note_faults(struct reply *r, const struct policy_faults *faults)
{
	struct policy_faults *copy = arena_alloc(&r->arena, sizeof *copy);
	const char **lines = arena_array(&r->arena, faults->n + 1, sizeof(*lines));

	if (!copy || !lines)
		return;
	*copy = *faults;
	r->faults = copy;
	for (size_t i = 0; i < faults->n; i++) {
		const struct policy_fault *f = &faults->fault[i];
		lines[r->n_lines] = f->line ? arena_printf(&r->arena, "line %u, column %u: %s", f->line, f->column, f->text) :
				arena_printf(&r->arena, "%s", f->text);
		if (lines[r->n_lines])
			r->n_lines++;
	}
	r->lines = lines;
}

/* A view of the policy with every node of the snapshot. cls NULL: nobody asks for classes. */
static err view_of(struct policy *p, const struct snapshot *s, uint32_t *cls, struct policy_view **out)
{
	struct policy_changes changes = { 0 };
	struct policy_view *v;
	uint32_t number;

	TRY(policy_view_new(p, &v));
	err e = OK;
	for (size_t i = 0; e == OK && i < snapshot_slots(s); i++) {
		const struct record *r = snapshot_get(s, i);

		number = UINT32_MAX;
		if (r)
			e = policy_view_put(v, &r->node, &number, &changes);
		policy_changes_done(&changes);
		if (cls)
			cls[i] = number;
	}
	if (e != OK) {
		policy_view_free(v);
		return e;
	}
	*out = v;
	return OK;
}

static bool approves_some(const struct policy *p, const struct record *r)
{
	for (size_t i = 0; i < r->n_announced; i++)
		if (policy_approves_route(p, &r->node, r->announced[i]))
			return true;
	return false;
}

static err note_approved(struct job *j)
{
	for (size_t i = 0; i < snapshot_slots(&j->snap); i++) {
		const struct record *r = snapshot_get(&j->snap, i);

		if (r && approves_some(j->policy, r))
			j->approves[j->n_approves++] = (uint32_t)i;
	}
	return OK;
}

/* Reads the text and runs its tests; leaves policy and view. */
static err compile(struct job *j, struct policy_faults *faults)
{
	size_t slots = snapshot_slots(&j->snap);

	TRY(policy_parse_with(bytes_str(j->command->text), j->services, &j->policy, faults));
	j->cls = calloc(slots + 1, sizeof *j->cls);
	j->approves = calloc(slots + 1, sizeof *j->approves);
	if (!j->cls || !j->approves)
		return ERR_NOMEM;
	TRY(view_of(j->policy, &j->snap, j->cls, &j->view));
	TRY(policy_verify(j->view, NULL, 0, faults));
	policy_view_warm(j->view);
	return note_approved(j);
}

static void run_compile(struct job *j)
{
	struct policy_faults faults = { 0 };

	err e = compile(j, &faults);
	if (e == OK)
		return;
	reply_fail(j->reply, e, "the policy is not accepted: %s", faults.n ? faults.fault[0].text : err_text(e));
	note_faults(j->reply, &faults);
}

/* ---- questions ---- */

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

/* Members before the rest of the object in body. */
static void answer_with(struct job *j, struct buf *body, const char *members)
{
	struct bytes rest = bytes_skip(buf_view(body), 1);

	j->reply->text = arena_printf(&j->reply->arena, "{\"version\":%" PRId64 ",%s%.*s", j->base_version, members, (int)rest.n,
				      (const char *)rest.p);
	if (!j->reply->text)
		reply_fail(j->reply, ERR_NOMEM, "out of memory");
}

static err tests_text(struct job *j, struct policy_view *v, struct buf *out)
{
	struct policy_faults faults = { 0 };
	struct jsonw w = jsonw_init(out);

	err e = policy_verify(v, NULL, 0, &faults);
	if (e != OK && e != ERR_INVALID)
		return e;
	(void)j;
	jsonw_key(&w, "tests"), jsonw_obj(&w);
	jsonw_key(&w, "passed"), jsonw_bool(&w, e == OK);
	jsonw_key(&w, "failures"), jsonw_arr(&w);
	for (size_t i = 0; i < faults.n; i++) {
		jsonw_obj(&w);
		jsonw_key(&w, "line"), jsonw_uint(&w, faults.fault[i].line);
		jsonw_key(&w, "column"), jsonw_uint(&w, faults.fault[i].column);
		jsonw_key(&w, "text"), jsonw_str(&w, faults.fault[i].text);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	buf_append_str(out, ",");
	buf_append_u8(out, 0);
	return out->bad ? ERR_NOMEM : OK;
}

static err preview(struct job *j, const struct policy_world *was)
{
	CLEANUP(view_freep) struct policy_view *v = NULL;
	CLEANUP(buf_done) struct buf out = buf_make(QUERY_ANSWER_MAX), tests = buf_make(1 << 20);
	struct policy_faults faults = { 0 };

	err e = policy_parse_with(bytes_str(j->command->text), j->services, &j->policy, &faults);
	if (e != OK) {
		reply_fail(j->reply, e, "the policy is not accepted: %s", faults.n ? faults.fault[0].text : err_text(e));
		note_faults(j->reply, &faults);
		return OK;
	}
	TRY(view_of(j->policy, &j->snap, NULL, &v));
	struct policy_world is = { v, was->node, was->n };
	TRY(tests_text(j, v, &tests));
	TRY(policy_preview(was, &is, &out));
	answer_with(j, &out, (const char *)buf_view(&tests).p);
	return OK;
}

static err ask(struct job *j)
{
	CLEANUP(view_freep) struct policy_view *v = NULL;
	CLEANUP(freep) struct policy_named *named = NULL;
	CLEANUP(buf_done) struct buf out = buf_make(QUERY_ANSWER_MAX);
	const struct command *m = j->command;
	struct policy_world w = { 0 };
	char why[300] = "";

	TRY(view_of(j->base, &j->snap, NULL, &v));
	TRY(name_all(&j->snap, &named, &w.n));
	w.view = v;
	w.node = named;
	if (m->kind == CMD_POLICY_PREVIEW)
		return preview(j, &w);
	err e = m->kind == CMD_POLICY_EXPLAIN ? policy_explain(&w, m->name, m->new_name, &out, why, sizeof why) :
		m->kind == CMD_POLICY_WHO     ? policy_who_can_reach(&w, m->new_name, &out, why, sizeof why) :
						policy_what_can_reach(&w, m->name, &out, why, sizeof why);
	if (e == OK)
		answer_with(j, &out, "");
	else if (*why)
		reply_fail(j->reply, e, "%s", why);
	return *why ? OK : e;
}

static err diff(struct job *j)
{
	CLEANUP(buf_done) struct buf out = buf_make(QUERY_ANSWER_MAX);

	TRY(policy_diff(j->from_text, j->to_text, &out));
	j->reply->text = arena_str(&j->reply->arena, buf_view(&out));
	return j->reply->text ? OK : ERR_NOMEM;
}

static void run_question(struct job *j)
{
	err e = j->command->kind == CMD_POLICY_DIFF ? diff(j) : ask(j);

	if (e != OK)
		reply_fail(j->reply, e, "%s", err_text(e));
}

void job_run(struct job *j)
{
	if (!j->command) {
		policy_view_free(MOVE(j->junk));
		map_cache_free(MOVE(j->junk_cache));
		return;
	}
	switch (j->command->kind) {
	case CMD_POLICY_PREVIEW:
	case CMD_POLICY_EXPLAIN:
	case CMD_POLICY_WHO:
	case CMD_POLICY_WHAT:
	case CMD_POLICY_DIFF:
		run_question(j);
		return;
	default: /* the other kinds of jobs read a text to put it in force, or to see whether it could be */
		run_compile(j);
		return;
	}
}
