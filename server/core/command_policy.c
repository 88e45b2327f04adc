#include "server/core/settings.h"
#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"

err policy_answer(const struct policy_row *row, struct reply *r)
{
	r->policies = arena_array(&r->arena, 1, sizeof *r->policies);
	if (!r->policies)
		return ERR_NOMEM;
	TRY(policy_to_arena(&r->arena, row, r->policies));
	r->n_policies = 1;
	return OK;
}

static err history(struct tailnet *t, struct reply *r)
{
	r->policies = arena_array(&r->arena, t->n_versions + 1, sizeof *r->policies);
	r->policy_bytes = arena_array(&r->arena, t->n_versions + 1, sizeof *r->policy_bytes);
	if (!r->policies || !r->policy_bytes)
		return ERR_NOMEM;
	for (size_t i = t->n_versions; i-- > 0;) {
		struct policy_row row = t->versions[i]->row;

		r->policy_bytes[r->n_policies] = strlen(or_empty(row.text));
		row.text = NULL;
		TRY(policy_to_arena(&r->arena, &row, &r->policies[r->n_policies++]));
	}
	return OK;
}

static err version(struct tailnet *t, int64_t number, struct reply *r)
{
	struct policy_version *v = policy_version(t, number);

	if (!v) {
		reply_fail(r, ERR_NOT_FOUND, "there is no version %lld of the policy", (long long)number);
		return r->e;
	}
	return policy_answer(&v->row, r);
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

	if (m->kind == CMD_POLICY_GET)
		r->e = policy_answer(policy_in_force(t), r);
	else if (m->kind == CMD_POLICY_HISTORY)
		r->e = history(t, r);
	else if (m->kind == CMD_POLICY_VERSION)
		r->e = version(t, m->id, r);
	else
		r->e = dns_records(c, t, m, r);
}
