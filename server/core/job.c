#include "server/core/job.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/state.h"

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
	record_unref(j->newcomer);
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

void job_note_faults(struct reply *r, struct bytes text, struct policy_faults *faults)
{
	struct policy_faults *copy = arena_alloc(&r->arena, sizeof *copy);
	const char **lines = arena_array(&r->arena, faults->n + 1, sizeof(*lines));

	if (!copy || !lines)
		return;
	policy_faults_locate(text, faults);
	policy_faults_in_units(text, faults);
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
err job_view(struct policy *p, const struct snapshot *s, uint32_t *cls, struct policy_view **out)
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

/* Reads the text and runs its tests; leaves policy and view. What was in force already passed them. */
static err compile(struct job *j, struct policy_faults *faults)
{
	size_t slots = snapshot_slots(&j->snap);

	TRY(policy_parse_with(bytes_str(j->command->text), j->services, &j->policy, faults));
	j->cls = calloc(slots + 1, sizeof *j->cls);
	j->approves = calloc(slots + 1, sizeof *j->approves);
	if (!j->cls || !j->approves)
		return ERR_NOMEM;
	TRY(job_view(j->policy, &j->snap, j->cls, &j->view));
	bool again = j->command->kind == CMD_POLICY_REREAD;
	if (!again)
		TRY(policy_verify(j->view, NULL, 0, faults));
	policy_view_warm(j->view);
	TRY(note_approved(j));
	return again ? OK : job_weigh(j);
}

static void run_compile(struct job *j)
{
	struct policy_faults faults = { 0 };

	err e = compile(j, &faults);
	if (e == OK || j->reply->e != OK) /* whom it would lock out was said */
		return;
	reply_fail(j->reply, e, "the policy is not accepted: %s", faults.n ? faults.fault[0].text : err_text(e));
	job_note_faults(j->reply, bytes_str(j->command->text), &faults);
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
	case CMD_POLICY_MATCHES:
	case CMD_POLICY_WHO:
	case CMD_POLICY_WHAT:
	case CMD_POLICY_MATRIX:
	case CMD_POLICY_GRAPH:
	case CMD_POLICY_SSH:
	case CMD_POLICY_FORMAT:
	case CMD_POLICY_DIFF:
		job_ask(j);
		return;
	default: /* the other kinds of jobs read a text to put it in force, or to see whether it could be */
		run_compile(j);
		return;
	}
}
