#include "server/core/settings.h"
#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"

static void fault_lines(struct reply *r, const struct policy_faults *faults)
{
	const char **lines = arena_array(&r->arena, faults->n + 1, sizeof(*lines));

	if (!lines)
		return;
	for (size_t i = 0; i < faults->n; i++) {
		const struct policy_fault *f = &faults->fault[i];
		lines[r->n_lines] = f->line ? arena_printf(&r->arena, "line %u, column %u: %s", f->line, f->column, f->text) :
				arena_printf(&r->arena, "%s", f->text);
		if (lines[r->n_lines])
			r->n_lines++;
	}
	r->lines = lines;
}

/* Read, and its tests held. */
static struct policy *checked(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct policy_faults faults = { 0 };
	struct policy *p = NULL;

	if (strlen(m->text) > POLICY_TEXT_MAX) {
		reply_fail(r, ERR_TOO_BIG, "a policy may have %d bytes", POLICY_TEXT_MAX);
		return NULL;
	}
	err e = policy_parse(bytes_str(m->text), &p, &faults);
	if (e == OK)
		e = tailnet_verify_policy(c, t, p, &faults);
	if (e == OK)
		return p;
	policy_unref(p);
	reply_fail(r, e, "the policy is not accepted: %s", faults.n ? faults.fault[0].text : err_text(e));
	fault_lines(r, &faults);
	return NULL;
}

static err answer_policy(struct tailnet *t, struct reply *r)
{
	r->policies = arena_array(&r->arena, 1, sizeof *r->policies);
	if (!r->policies)
		return ERR_NOMEM;
	TRY(policy_to_arena(&r->arena, &t->policy_row, r->policies));
	r->n_policies = 1;
	return OK;
}

static err set(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct policy *p = checked(c, t, m, r);
	struct policy_row row = { .tailnet_id = t->row.id, .created_ms = c->now.wall_ms };

	if (!p)
		return r->e;
	err e = next_id(c, &row.id);
	row.text = strdup(m->text);
	row.author = strdup(*m->author ? m->author : m->actor);
	row.note = strdup(m->note);
	if (e == OK && (!row.text || !row.author || !row.note))
		e = ERR_NOMEM;
	if (e == OK)
		e = touch_policy(c, t);
	if (e != OK) {
		policy_row_done(&row);
		policy_unref(p);
		return e;
	}
	policy_row_done(&t->policy_row);
	t->policy_row = row;
	TRY(tailnet_apply_policy(c, t, p));
	return answer_policy(t, r);
}

static bool is_record_text(const char *s)
{
	if (!*s || strlen(s) > 253)
		return false;
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return false;
	return true;
}

static err dns_records(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	json_auto_t *v = NULL;
	struct json_error je;
	struct json_why why = { 0 };
	struct buf out = buf_make(2 << 20);

	if (json_parse(bytes_str(m->text), 2 << 20, 8, &v, &je) != OK) {
		reply_fail(r, ERR_INVALID, "the records are no JSON: line %u: %s", je.line, je.text);
		return r->e;
	}
	struct json_at root = json_root(v, &why);
	size_t n = json_count(&root, EXTRA_RECORDS_MAX);
	for (size_t i = 0; i < n; i++) {
		struct json_at item = json_item(&root, i);
		const char *name = json_str(&item, "name", 253), *type = json_str(&item, "type", 8), *value = json_str(&item, "value", 64);
		struct addr a;
		bool is6 = strcmp(type, "AAAA") == 0;
		if (!is_record_text(name) || (!is6 && strcmp(type, "A") != 0))
			json_note(&item, ERR_INVALID, "a record needs a name and the type A or AAAA");
		else if (addr_parse(bytes_str(value), &a) != OK || a.family != (is6 ? 6 : 4))
			json_note(&item, ERR_INVALID, "the value is no %s address", is6 ? "IPv6" : "IPv4");
		buf_printf(&out, "%s\t%s\t%s\n", name, type, value);
	}
	if (why.e != OK) {
		buf_done(&out);
		reply_fail(r, ERR_INVALID, "%s", why.text);
		return r->e;
	}
	buf_append_u8(&out, 0);
	err e = out.bad ? ERR_NOMEM : setting_put(c, t->row.id, "extra_records", (const char *)buf_view(&out).p);
	buf_done(&out);
	TRY(e);
	TRY(tailnet_settings(c, t));
	return settings_effects(c, t, EFFECT_DNS);
}

void on_command_policy(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (m->kind == CMD_POLICY_GET) {
		r->e = answer_policy(t, r);
	} else if (m->kind == CMD_POLICY_SET) {
		r->e = set(c, t, m, r);
	} else if (m->kind == CMD_POLICY_CHECK) {
		policy_unref(checked(c, t, m, r));
	} else {
		r->e = dns_records(c, t, m, r);
	}
}
