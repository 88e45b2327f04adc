#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/policy.h"

/* Drafts of the policy, one a person. They bind nobody and are told to nobody else: no audit record, no event. */

enum { DRAFTS_MAX = 100 /* in a tailnet */, DRAFTS_BYTES = 16 << 20 /* of all their texts; the oldest go to make room */ };

err draft_put_memory(struct core *c, struct draft_row *taken)
{
	struct draft *d = map_get(&c->drafts, &taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t)
		return ERR_INVALID;
	if (!d) {
		d = calloc(1, sizeof *d);
		if (!d)
			return ERR_NOMEM;
		d->t = t;
		d->row.id = taken->id;
		err e = map_put(&c->drafts, d);
		if (e != OK) {
			free(d);
			return e;
		}
	}
	draft_row_done(&d->row);
	d->row = *taken;
	*taken = (struct draft_row){ 0 };
	return OK;
}

void draft_drop_memory(struct core *c, int64_t id)
{
	struct draft *d = map_del(&c->drafts, &id);

	if (!d)
		return;
	draft_row_done(&d->row);
	free(d);
}

static struct draft *draft_of(struct core *c, const struct tailnet *t, const char *owner)
{
	size_t at = 0;

	for (struct draft *d; (d = map_next(&c->drafts, &at));)
		if (d->t == t && strcmp(d->row.owner, owner) == 0)
			return d;
	return NULL;
}

/* As a version is told: its base is its version. And whether somebody has set another one since. */
static err answer(struct tailnet *t, const struct draft *d, bool with_text, struct reply *r)
{
	struct policy_row row = { .text = with_text ? d->row.text : NULL, .version = d->row.base, .created_ms = d->row.updated_ms };

	TRY(policy_answer(&row, r));
	if (d->row.base == policy_in_force(t)->version)
		return OK;
	row = *policy_in_force(t);
	row.text = NULL;
	r->conflict = arena_alloc(&r->arena, sizeof *r->conflict);
	return r->conflict ? policy_to_arena(&r->arena, &row, r->conflict) : ERR_NOMEM;
}

static struct draft *oldest(struct core *c, const struct tailnet *t, const struct draft *but, size_t *n, size_t *bytes)
{
	struct draft *old = NULL;
	size_t at = 0;

	*n = *bytes = 0;
	for (struct draft *d; (d = map_next(&c->drafts, &at));) {
		if (d->t != t || d == but)
			continue;
		++*n;
		*bytes += strlen(d->row.text);
		if (!old || d->row.updated_ms < old->row.updated_ms || (d->row.updated_ms == old->row.updated_ms && d->row.id < old->row.id))
			old = d;
	}
	return old;
}

static err make_room(struct core *c, struct tailnet *t, const struct draft *but, size_t more)
{
	size_t n, bytes;

	for (struct draft *old; (old = oldest(c, t, but, &n, &bytes)) && (n >= DRAFTS_MAX || bytes + more > DRAFTS_BYTES);) {
		TRY(touch_draft(c, old));
		draft_drop_memory(c, old->row.id);
	}
	return OK;
}

static err set(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct draft *d = draft_of(c, t, m->author);
	struct draft_row row = { .id = d ? d->row.id : 0, .tailnet_id = t->row.id, .base = m->base, .updated_ms = c->now.wall_ms };

	if (strlen(m->text) > POLICY_TEXT_MAX) {
		reply_fail(r, ERR_TOO_BIG, "the policy has more than %d bytes", POLICY_TEXT_MAX);
		return r->e;
	}
	TRY(make_room(c, t, d, strlen(m->text)));
	if (d) {
		TRY(touch_draft(c, d));
	} else {
		TRY(next_id(c, &row.id));
		TRY(touch_new_draft(c, row.id));
	}
	row.owner = strdup(m->author);
	row.text = strdup(m->text);
	err e = row.owner && row.text ? draft_put_memory(c, &row) : ERR_NOMEM;
	draft_row_done(&row);
	return e == OK ? answer(t, draft_of(c, t, m->author), false, r) : e;
}

void on_command_draft(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);
	struct draft *d = draft_of(c, t, m->author);

	if (m->kind == CMD_DRAFT_SET) {
		r->e = set(c, t, m, r);
	} else if (!d) {
		if (m->kind == CMD_DRAFT_GET)
			reply_fail(r, ERR_NOT_FOUND, "there is no draft");
	} else if (m->kind == CMD_DRAFT_GET) {
		r->e = answer(t, d, true, r);
	} else {
		r->e = touch_draft(c, d);
		if (r->e == OK)
			draft_drop_memory(c, d->row.id);
	}
}
