#include "common/base/clock.h"
#include "server/api/handlers.h"
#include "server/api/native_policy.h"
#include "server/api/render.h"
#include "server/api/state.h"

/* /api/fairlead/v1/policy: what the console and the CLI ask about the policy. */

static void write_time(struct jsonw *w, int64_t ms)
{
	jsonw_key(w, "createdAt");
	if (ms)
		jsonw_time(w, ms);
	else
		jsonw_null(w);
}

static void write_row(struct jsonw *w, const struct policy_row *p, const size_t *bytes)
{
	jsonw_key(w, "version"), jsonw_int(w, p->version);
	jsonw_key(w, "author"), jsonw_str(w, p->author);
	jsonw_key(w, "note"), jsonw_str(w, p->note);
	write_time(w, p->created_ms);
	if (bytes)
		jsonw_key(w, "bytes"), jsonw_uint(w, *bytes);
	else
		jsonw_key(w, "policy"), jsonw_str(w, p->text);
}

static void write_count(struct jsonw *w, const char *key, bool told, int64_t n)
{
	jsonw_key_bytes(w, bytes_str(key));
	if (told)
		jsonw_int(w, n);
	else
		jsonw_null(w);
}

static enum MHD_Result on_version(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	if (!reply->n_policies)
		return answer_empty(r);
	struct buf out;
	struct jsonw w = answer_begin(&out);

	write_row(&w, &reply->policies[0], NULL);
	jsonw_key(&w, "file"), jsonw_str(&w, r->api->cfg.policy_path ? r->api->cfg.policy_path : "");
	return answer_end(r, &w, &out);
}

enum MHD_Result api_native_policy_get(struct request *r)
{
	return ask(r, command_for(r, CMD_POLICY_GET), on_version);
}

static enum MHD_Result on_history(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "versions"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_policies; i++) {
		const struct policy_row *p = &reply->policies[i];
		bool told = p->weighed && may_see_devices(r);

		jsonw_obj(&w);
		write_row(&w, p, &reply->policy_bytes[i]);
		write_count(&w, "gained", told, p->gained);
		write_count(&w, "lost", told, p->lost);
		write_count(&w, "machines", told, p->machines);
		jsonw_key(&w, "inForce"), jsonw_bool(&w, i == 0);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_native_policy_history(struct request *r)
{
	return ask(r, command_for(r, CMD_POLICY_HISTORY), on_history);
}

enum MHD_Result api_native_policy_version(struct request *r)
{
	struct command *c = command_for(r, CMD_POLICY_VERSION);
	int64_t n = parse_id(r, r->param[0], "version");

	if (c)
		c->id = n;
	return ask(r, c, on_version);
}

/* ---- two versions ---- */

/* ?from=N&to=M; absent: the version in force. */
enum MHD_Result api_native_policy_diff(struct request *r)
{
	struct command *c = command_for(r, CMD_POLICY_DIFF);

	if (c) {
		c->id = *query(r, "from") ? parse_id(r, query(r, "from"), "from") : 0;
		c->other = *query(r, "to") ? parse_id(r, query(r, "to"), "to") : 0;
		c->hidden = !may_see_devices(r);
	}
	return ask(r, c, on_policy_json);
}

/* {"policy", "from"}: a draft beside a version. */
enum MHD_Result api_native_policy_diff_draft(struct request *r)
{
	struct command *c = command_for(r, CMD_POLICY_DIFF);
	const char *from = body_id(r, "from"), *text = body_text(r, "policy");

	if (!text && !r->fault)
		r->fault = "policy: the text is missing";
	if (c) {
		c->id = from ? parse_id(r, from, "from") : 0;
		take_draft(r, c);
		c->hidden = !may_see_devices(r);
	}
	return ask(r, c, on_policy_json);
}

/* ---- setting it ---- */

static void write_conflict(struct jsonw *w, const struct policy_row *now)
{
	jsonw_key(w, "conflict"), jsonw_obj(w);
	jsonw_key(w, "version"), jsonw_int(w, now->version);
	jsonw_key(w, "author"), jsonw_str(w, now->author);
	jsonw_key(w, "note"), jsonw_str(w, now->note);
	write_time(w, now->created_ms);
	jsonw_obj_end(w);
}

/* Somebody was faster, or it would lock out: 409, with what tells. */
static enum MHD_Result answer_conflict(struct request *r, const struct reply *reply)
{
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "code"), jsonw_int(&w, 9);
	jsonw_key(&w, "message"), jsonw_str(&w, reply->message);
	jsonw_key(&w, "details"), jsonw_arr(&w), jsonw_arr_end(&w);
	jsonw_key(&w, "status"), jsonw_uint(&w, 409);
	jsonw_key(&w, "title"), jsonw_str(&w, "Conflict");
	jsonw_key(&w, "detail"), jsonw_str(&w, reply->message);
	jsonw_key(&w, "errors"), jsonw_arr(&w), jsonw_arr_end(&w);
	if (reply->conflict)
		write_conflict(&w, reply->conflict);
	if (reply->lockout)
		jsonw_key(&w, "lockout"), jsonw_raw(&w, bytes_str(reply->lockout));
	jsonw_obj_end(&w);
	return answer_json(r, 409, &out);
}

static enum MHD_Result on_set(struct request *r, const struct reply *reply)
{
	if (reply->e == ERR_STATE && (reply->conflict || reply->lockout))
		return answer_conflict(r, reply);
	return on_version(r, reply);
}

static void take_conditions(struct request *r, struct command *c)
{
	const char *base = body_id(r, "base");

	if (!c)
		return;
	c->base = base ? parse_id(r, base, "base") : 0;
	c->force = body_bool(r, "force");
	c->note = command_str(c, body_text(r, "note"));
	take_console(r, c);
}

static enum MHD_Result send_text(struct request *r, enum command_kind kind, reply_handler *next)
{
	struct command *c = command_for(r, kind);
	const char *text = body_text(r, "policy");

	if (!text && !r->fault)
		r->fault = "policy: the text is missing";
	if (c)
		c->text = command_str(c, text ? text : "");
	take_conditions(r, c);
	return ask(r, c, next);
}

enum MHD_Result api_native_policy_set(struct request *r)
{
	return send_text(r, CMD_POLICY_SET, on_set);
}

static enum MHD_Result on_checked(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "valid"), jsonw_bool(&w, true);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_native_policy_check(struct request *r)
{
	return send_text(r, CMD_POLICY_CHECK, on_checked);
}

/* {"version": N, "note": "…"} */
enum MHD_Result api_native_policy_rollback(struct request *r)
{
	struct command *c = command_for(r, CMD_POLICY_ROLLBACK);
	const char *version = body_id(r, "version");
	int64_t n = parse_id(r, version ? version : "", "version");

	if (c)
		c->id = n;
	take_conditions(r, c);
	return ask(r, c, on_set);
}

/* ---- drafts: one a person ---- */

/* Who somebody is, whichever way they come: the person behind a session or a key, else the key or the command line. */
static const char *owner_of(struct request *r)
{
	int64_t user = r->signin ? r->signin_user : r->key_user;
	const char *name = user ? arena_printf(&r->arena, "user:%lld", (long long)user) : r->actor;

	return name ? name : "";
}

static struct command *draft_command(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->author = command_str(c, owner_of(r));
	return c;
}

static enum MHD_Result on_draft(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	const struct policy_row *d = reply->n_policies ? &reply->policies[0] : NULL;

	if (d && r->route->method[0] == 'G')
		jsonw_key(&w, "policy"), jsonw_str(&w, d->text);
	jsonw_key(&w, "base"), jsonw_int(&w, d ? d->version : 0);
	jsonw_key(&w, "updatedAt"), jsonw_time(&w, d ? d->created_ms : 0);
	if (reply->conflict)
		write_conflict(&w, reply->conflict);
	else
		jsonw_key(&w, "conflict"), jsonw_null(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_native_draft_get(struct request *r)
{
	return ask(r, draft_command(r, CMD_DRAFT_GET), on_draft);
}

/* {"policy", "base"} */
enum MHD_Result api_native_draft_set(struct request *r)
{
	struct command *c = draft_command(r, CMD_DRAFT_SET);
	const char *text = body_text(r, "policy"), *base = body_id(r, "base");

	if (!text && !r->fault)
		r->fault = "policy: the text is missing";
	if (c) {
		c->text = command_str(c, text ? text : "");
		c->base = base ? parse_id(r, base, "base") : 0;
	}
	return ask(r, c, on_draft);
}

enum MHD_Result api_native_draft_delete(struct request *r)
{
	return ask(r, draft_command(r, CMD_DRAFT_DELETE), on_done);
}
