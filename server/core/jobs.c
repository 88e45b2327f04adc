#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/state.h"
#include "server/policy/etag.h"

/* Jobs seen from the core: how a command becomes one, and what is done when it comes back. */

static void give(struct core *c, struct job *j)
{
	list_add_tail(&c->jobs, &j->all);
	c->n_jobs++;
	j->runs = true;
	fx_job(c, j);
}

static void forget(struct core *c, struct job *j)
{
	list_del(&j->all);
	c->n_jobs--;
	job_free(j);
}

void jobs_drop(struct core *c)
{
	list_each_safe(it, &c->jobs)
		forget(c, container_of(it, struct job, all));
}

void jobs_close(struct core *c)
{
	list_each(it, &c->jobs) {
		struct job *j = container_of(it, struct job, all);

		answer_err(c, MOVE(j->call), ERR_CLOSED, "the server is stopping");
	}
}

void job_dispose(struct core *c, struct policy_view *view, struct map_cache *cache)
{
	struct job *j = job_new();

	if (!j) {
		policy_view_free(view);
		map_cache_free(cache);
		return;
	}
	j->junk = view;
	j->junk_cache = cache;
	give(c, j);
}

/* ---- asking ---- */

static err remake_facts(struct core *c, struct tailnet *t)
{
	snapshot_done(&t->facts);
	for (size_t i = 0; i < t->map.n_slots; i++)
		if (t->map.nodes[i])
			TRY(node_note_facts(c, container_of(t->map.nodes[i], struct node, m)));
	t->facts_lost = false;
	return OK;
}

static err version_text(struct tailnet *t, int64_t number, struct arena *a, struct bytes *out)
{
	const struct policy_version *v = policy_version(t, number);
	struct bytes text = bytes_str(v ? or_empty(v->row.text) : "");
	char *copy = arena_str(a, text);

	*out = bytes_of(copy, text.n);
	return copy ? OK : ERR_NOMEM;
}

static err fill(struct core *c, struct command *m, struct tailnet *t, struct job *j, struct reply *r)
{
	if (t->facts_lost)
		TRY(remake_facts(c, t));
	TRY(snapshot_copy(&t->facts, &j->snap));
	if (m->kind == CMD_POLICY_DIFF) {
		TRY(version_text(t, m->id, &m->arena, &j->from_text));
		if (m->has_text)
			j->to_text = bytes_str(m->text);
		else
			TRY(version_text(t, m->other, &m->arena, &j->to_text));
	}
	if (m->kind == CMD_POLICY_ROLLBACK) { /* the row may be gone before the worker reads */
		m->text = arena_str(&m->arena, bytes_str(or_empty(policy_version(t, m->id)->row.text)));
		if (!m->text)
			return ERR_NOMEM;
		if (!*m->note)
			m->note = arena_printf(&m->arena, "back to version %lld", (long long)m->id);
	}
	if (m->kind == CMD_POLICY_WHAT && *m->auth_id)
		TRY(newcomer_of(c, t, m, r, &j->newcomer));
	j->tailnet_id = t->row.id;
	j->base = policy_ref(t->policy);
	j->services = policy_services_ref(t->services);
	j->base_version = policy_in_force(t)->version;
	struct policy_row row = *policy_in_force(t);
	row.text = NULL;
	return policy_to_arena(&m->arena, &row, &j->base_row);
}

static size_t drafts_under_way(struct core *c)
{
	size_t n = 0;

	list_each(it, &c->jobs) {
		const struct job *j = container_of(it, struct job, all);

		n += j->command && j->command->has_text;
	}
	return n;
}

/* Somebody else has set another version since. */
static bool is_outdated(struct core *c, struct command *m, struct tailnet *t, struct reply *r)
{
	const struct policy_row *now = policy_in_force(t);

	(void)c;
	if (!m->base || m->base == now->version)
		return false;
	reply_fail(r, ERR_STATE, "%s saved version %lld while you were editing version %lld", or_empty(now->author), (long long)now->version,
		   (long long)m->base);
	r->changed_since = true;
	struct policy_row row = *now;
	row.text = NULL;
	r->conflict = arena_alloc(&r->arena, sizeof *r->conflict);
	if (r->conflict && policy_to_arena(&r->arena, &row, r->conflict) != OK)
		r->conflict = NULL;
	return true;
}

static void refuse_changed(struct reply *r)
{
	reply_fail(r, ERR_STATE, "the policy was changed meanwhile: precondition failed, invalid old hash");
	r->changed_since = true;
}

/* What can be said at once. */
static bool is_refused(struct core *c, struct command *m, struct tailnet *t, struct reply *r)
{
	bool takes_id = m->kind == CMD_POLICY_ROLLBACK || (m->kind == CMD_POLICY_DIFF && m->id);

	bool sets = m->kind == CMD_POLICY_SET || m->kind == CMD_POLICY_ROLLBACK;

	if (sets && t->set.policy_file && !m->from_file) {
		reply_fail(r, ERR_STATE, "the policy is read from the file %s (policy.mode): edit that", t->set.policy_file);
		return true;
	}
	if (sets && m->by_signin && t->set.policy_external) {
		bool told = t->set.policy_external_link && *t->set.policy_external_link;
		reply_fail(r, ERR_STATE, "the policy is kept elsewhere%s%.500s, and not changed here (setting policy.externally_managed)", told ? ": " : "",
				told ? t->set.policy_external_link : "");
		return true;
	}
	if (m->kind == CMD_POLICY_DIFF && !m->other)
		m->other = policy_in_force(t)->version;
	if (m->kind == CMD_POLICY_DIFF && !m->id)
		m->id = policy_in_force(t)->version;
	if (strlen(m->text) > POLICY_TEXT_MAX)
		reply_fail(r, ERR_TOO_BIG, "the policy has more than %d bytes", POLICY_TEXT_MAX);
	else if (strlen(m->note) > NOTE_MAX)
		reply_fail(r, ERR_TOO_BIG, "a note may have %d bytes", NOTE_MAX);
	else if (takes_id && !policy_version(t, m->id))
		reply_fail(r, ERR_NOT_FOUND, "there is no version %lld of the policy", (long long)m->id);
	else if (m->kind == CMD_POLICY_DIFF && m->other && !policy_version(t, m->other))
		reply_fail(r, ERR_NOT_FOUND, "there is no version %lld of the policy", (long long)m->other);
	else if (!policy_etag_matches(policy_in_force(t)->text, m->if_match))
		refuse_changed(r);
	else if (sets && is_outdated(c, m, t, r))
		return true;
	else if (m->has_text && drafts_under_way(c) >= DRAFT_JOBS_MAX)
		reply_fail(r, ERR_BUSY, "too many drafts of the policy are being looked at: ask again in a moment");
	else if (c->n_jobs >= JOBS_MAX)
		reply_fail(r, ERR_BUSY, "too many questions about the policy wait: ask again later");
	return r->e != OK;
}

/* The file says what is in force already: after a start, or when it was only touched. */
static bool is_in_force(const struct command *m, const struct tailnet *t, struct reply *r)
{
	const struct policy_row *row = policy_in_force(t);

	if (!m->from_file || !row->id || strcmp(or_empty(row->text), m->text) != 0)
		return false;
	r->e = policy_answer(row, r);
	return true;
}

bool job_begin(struct core *c, struct event *e, struct tailnet *t, struct reply *r)
{
	if (is_refused(c, e->command, t, r) || is_in_force(e->command, t, r))
		return false;
	struct job *j = job_new();
	if (!j || fill(c, e->command, t, j, r) != OK) {
		job_free(j);
		if (r->e == OK)
			reply_fail(r, ERR_NOMEM, "out of memory");
		return false;
	}
	j->command = MOVE(e->command);
	j->call = MOVE(e->call);
	j->reply = r;
	give(c, j);
	return true;
}

struct job *job_reread(struct core *c, struct tailnet *t)
{
	struct job *j = c->n_jobs <= JOBS_MAX ? job_new() : NULL;

	if (j) {
		j->command = command_new(CMD_POLICY_REREAD);
		j->reply = reply_new();
	}
	if (j && j->command) {
		j->command->actor = j->command->via = j->command->author = j->command->note = "";
		j->command->text = arena_str(&j->command->arena, bytes_str(or_empty(policy_in_force(t)->text)));
	}
	if (!j || !j->command || !j->reply || !j->command->text || fill(c, j->command, t, j, j->reply) != OK) {
		job_free(j);
		return NULL;
	}
	give(c, j);
	return j;
}

/* ---- coming home ---- */

/* Old versions go when there are many, or they are long. */
static err prune(struct core *c, struct tailnet *t)
{
	size_t bytes = 0, keep = 1;

	while (keep < t->n_versions && keep < POLICY_VERSIONS_MAX) {
		bytes += strlen(or_empty(t->versions[t->n_versions - 1 - keep]->row.text));
		if (bytes > POLICY_VERSIONS_BYTES)
			break;
		keep++;
	}
	while (t->n_versions > keep) {
		struct policy_version *oldest = t->versions[0];

		TRY(touch_policy(c, oldest));
		policy_drop_memory(c, oldest->row.id);
	}
	return OK;
}

static err add_version(struct core *c, struct tailnet *t, const struct job *j)
{
	const struct command *m = j->command;
	struct policy_row row = { .tailnet_id = t->row.id, .created_ms = c->now.wall_ms, .version = policy_in_force(t)->version + 1,
				  .weighed = j->weighed && j->base_version == policy_in_force(t)->version, .gained = (int64_t)j->gained,
				  .lost = (int64_t)j->lost, .machines = (int64_t)j->machines };

	err e = next_id(c, &row.id);
	row.text = strdup(m->text);
	row.author = strdup(*m->author ? m->author : m->actor);
	row.note = strdup(m->note);
	if (e == OK && (!row.text || !row.author || !row.note))
		e = ERR_NOMEM;
	if (e == OK)
		e = touch_new_policy(c, t, row.id);
	if (e == OK)
		e = policy_put_memory(c, &row);
	policy_row_done(&row);
	return e == OK ? prune(c, t) : e;
}

static err put_in_force(struct core *c, struct tailnet *t, struct job *j)
{
	struct reply *r = j->reply;

	if (is_outdated(c, j->command, t, r))
		return r->e;
	if (!policy_etag_matches(policy_in_force(t)->text, j->command->if_match)) {
		refuse_changed(r);
		return r->e;
	}
	TRY(add_version(c, t, j));
	TRY(tailnet_adopt_policy(c, t, j));
	return policy_answer(policy_in_force(t), r);
}

void on_job_done(struct core *c, struct job *j)
{
	struct tailnet *t = core_tailnet(c, j->tailnet_id);
	struct reply *r = j->reply;

	j->runs = false;
	if (r && t && j->command->kind == CMD_POLICY_REREAD)
		services_reread_done(c, t, j);
	else if (r && r->e == OK && t && (j->command->kind == CMD_POLICY_SET || j->command->kind == CMD_POLICY_ROLLBACK)) {
		audit_who_asks(c, j->command);
		err e = put_in_force(c, t, j);

		if (e != OK) {
			core_abort(c);
			if (!r->changed_since)
				reply_fail(r, e, "%s", err_text(e));
		}
	}
	if (r && r->e == ERR_INVALID && t && j->command->from_file && t->n_versions && policy_answer(policy_in_force(t), r) != OK)
		r->n_policies = 0;
	fx_reply(c, MOVE(j->call), MOVE(j->reply));
	forget(c, j);
}
