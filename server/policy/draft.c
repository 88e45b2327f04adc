#include "server/policy/draft.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/policy/ask.h"

enum { FAILURES_SHOWN = 100, TEST_RULES_SHOWN = 1 };

void policy_fix_write(const struct policy_fault *f, struct jsonw *w)
{
	jsonw_key(w, "fix"), jsonw_obj(w);
	jsonw_key(w, "from"), jsonw_uint(w, f->fix_from);
	jsonw_key(w, "to"), jsonw_uint(w, f->fix_to);
	jsonw_key(w, "replacement"), jsonw_str(w, f->fix);
	jsonw_key(w, "label"), jsonw_str(w, f->fix_label);
	jsonw_obj_end(w);
}

static void write_fault_members(const struct policy_fault *f, struct jsonw *w)
{
	jsonw_key(w, "line"), jsonw_uint(w, f->line);
	jsonw_key(w, "column"), jsonw_uint(w, f->column);
	jsonw_key(w, "from"), jsonw_uint(w, f->from);
	jsonw_key(w, "to"), jsonw_uint(w, f->to);
	jsonw_key(w, "text"), jsonw_str(w, f->text);
	if (f->has_fix)
		policy_fix_write(f, w);
}

void policy_fault_write(const struct policy_fault *f, struct jsonw *out)
{
	jsonw_obj(out);
	write_fault_members(f, out);
	jsonw_obj_end(out);
}

static void write_faults(const struct policy_draft *d, struct policy_faults *f, struct jsonw *w)
{
	policy_faults_in_units(d->text, f);
	jsonw_arr(w);
	for (size_t i = 0; i < f->n; i++)
		policy_fault_write(&f->fault[i], w);
	jsonw_arr_end(w);
}

/* ---- tests ---- */

struct tests {
	const struct policy_draft *d;
	const struct policy *p;
	struct jsonw *w;
	size_t total, passed, shown;
	struct policy_faults others; /* what is wrong, and is no test */
};

static void write_rule_of(struct tests *t, const struct verify_result *r)
{
	jsonw_key(t->w, "rules"), jsonw_arr(t->w);
	if (r->by && strcmp(r->expected, "deny") == 0) {
		jsonw_obj(t->w);
		write_rule_place(t->w, t->p, r->by);
		jsonw_obj_end(t->w);
	}
	jsonw_arr_end(t->w);
}

static void on_result(void *ctx, const struct verify_result *r)
{
	struct tests *t = ctx;
	struct policy_faults one = { .n = 1, .fault = { { .line = r->line, .column = r->column } } };

	if (!r->test) {
		if (t->others.n < POLICY_FAULTS_MAX) {
			snprintf(one.fault[0].text, sizeof one.fault[0].text, "%s", r->text);
			t->others.fault[t->others.n++] = one.fault[0];
		}
		return;
	}
	t->total++;
	t->passed += r->passed;
	if (r->passed || ++t->shown > FAILURES_SHOWN)
		return;
	snprintf(one.fault[0].text, sizeof one.fault[0].text, "%s", r->text);
	policy_faults_locate(t->d->text, &one);
	policy_faults_in_units(t->d->text, &one);
	jsonw_obj(t->w);
	write_fault_members(&one.fault[0], t->w);
	jsonw_key(t->w, "ssh"), jsonw_bool(t->w, r->ssh);
	jsonw_key(t->w, "src"), jsonw_str(t->w, r->src);
	jsonw_key(t->w, "dst"), jsonw_str(t->w, r->dst);
	jsonw_key(t->w, "user"), jsonw_str(t->w, r->user ? r->user : "");
	jsonw_key(t->w, "expected"), jsonw_str(t->w, r->expected);
	write_rule_of(t, r);
	jsonw_obj_end(t->w);
}

static err write_tests(struct policy_view *v, struct tests *t)
{
	jsonw_key(t->w, "tests"), jsonw_obj(t->w);
	jsonw_key(t->w, "failures"), jsonw_arr(t->w);
	TRY(policy_verify_each(v, NULL, 0, on_result, t));
	jsonw_arr_end(t->w);
	jsonw_key(t->w, "total"), jsonw_uint(t->w, t->total);
	jsonw_key(t->w, "passed"), jsonw_uint(t->w, t->passed);
	jsonw_obj_end(t->w);
	return OK;
}

/* ---- the whole ---- */

static void view_freep(struct policy_view **v)
{
	policy_view_free(*v);
}

static void unrefp(struct policy **p)
{
	policy_unref(*p);
}

err policy_world_view(struct policy *p, const struct policy_world *like, struct policy_view **out)
{
	CLEANUP(view_freep) struct policy_view *v = NULL;
	struct policy_changes changes = { 0 };
	uint32_t cls;

	TRY(policy_view_new(p, &v));
	for (size_t i = 0; i < like->n; i++) {
		err e = policy_view_put(v, like->node[i].node, &cls, &changes);

		policy_changes_done(&changes);
		TRY(e);
	}
	*out = MOVE(v);
	return OK;
}

static void write_hidden(struct jsonw *w, bool machines)
{
	jsonw_key(w, "changes"), jsonw_null(w);
	jsonw_key(w, "machines"), jsonw_null(w);
	if (machines)
		jsonw_key(w, "tests"), jsonw_null(w);
}

static void write_ends(struct jsonw *w, const struct policy_draft *d, bool valid, bool partial, const struct policy_lockout *lockout)
{
	jsonw_key(w, "lockout"), policy_lockout_write(lockout, w);
	jsonw_key(w, "valid"), jsonw_bool(w, valid);
	jsonw_key(w, "partial"), jsonw_bool(w, partial);
	jsonw_key(w, "hidden"), jsonw_bool(w, d->hidden);
}

err policy_draft_write(const struct policy_world *was, const struct policy_draft *d, struct jsonw *out)
{
	CLEANUP(unrefp) struct policy *p = NULL;
	CLEANUP(view_freep) struct policy_view *v = NULL;
	struct policy_faults faults = { 0 }, warnings = { 0 };
	struct policy_lockout lockout[LOCKOUTS_N] = { 0 };

	err e = policy_parse_leniently(d->text, d->services, &p, &faults);
	if (e != OK && e != ERR_INVALID)
		return e;
	bool wrong = faults.n > 0;
	if (e == ERR_INVALID) {
		write_hidden(out, true);
		jsonw_key(out, "errors"), write_faults(d, &faults, out);
		jsonw_key(out, "warnings"), write_faults(d, &warnings, out);
		write_ends(out, d, false, false, lockout);
		return OK;
	}
	TRY(policy_world_view(p, was, &v));
	const struct policy_world is = { v, was->node, was->n };
	struct tests tests = { .d = d, .p = p, .w = out };
	TRY(write_tests(v, &tests));
	for (size_t i = 0; i < tests.others.n && faults.n < POLICY_FAULTS_MAX; i++)
		faults.fault[faults.n++] = tests.others.fault[i];
	policy_faults_locate(d->text, &faults);
	policy_warn(p, d->text, &warnings);
	if (d->hidden)
		write_hidden(out, false);
	else
		TRY(policy_changes_write(was, &is, out, NULL));
	if (!d->hidden)
		policy_lockout(was, &is, &d->asked, lockout);
	bool valid = faults.n == 0 && tests.passed == tests.total;
	jsonw_key(out, "errors"), write_faults(d, &faults, out);
	jsonw_key(out, "warnings"), write_faults(d, &warnings, out);
	write_ends(out, d, valid, wrong, lockout);
	return OK;
}
