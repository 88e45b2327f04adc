#include "common/base/clock.h"
#include "server/api/handlers.h"
#include "server/api/render.h"
#include "server/api/state.h"

/* /api/fairlead/v1/policy: what the console and the CLI ask about the policy. */

static void write_row(struct jsonw *w, const struct policy_row *p, const size_t *bytes)
{
	jsonw_key(w, "version"), jsonw_int(w, p->version);
	jsonw_key(w, "author"), jsonw_str(w, p->author);
	jsonw_key(w, "note"), jsonw_str(w, p->note);
	jsonw_key(w, "createdAt");
	if (p->created_ms)
		jsonw_time(w, p->created_ms);
	else
		jsonw_null(w);
	if (bytes)
		jsonw_key(w, "bytes"), jsonw_uint(w, *bytes);
	else
		jsonw_key(w, "policy"), jsonw_str(w, p->text);
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
		jsonw_obj(&w);
		write_row(&w, &reply->policies[i], &reply->policy_bytes[i]);
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

static enum MHD_Result on_json(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_text(r, 200, "application/json", reply->text ? reply->text : "{}");
}

static enum MHD_Result on_diff(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "diff"), jsonw_str(&w, reply->text);
	return answer_end(r, &w, &out);
}

/* ?from=N&to=M; without to: the version in force. */
enum MHD_Result api_native_policy_diff(struct request *r)
{
	struct command *c = command_for(r, CMD_POLICY_DIFF);
	int64_t from = parse_id(r, query(r, "from"), "from");
	int64_t to = *query(r, "to") ? parse_id(r, query(r, "to"), "to") : 0;

	if (c) {
		c->id = from;
		c->other = to;
	}
	return ask(r, c, on_diff);
}

static enum MHD_Result send_text(struct request *r, enum command_kind kind, reply_handler *next)
{
	struct command *c = command_for(r, kind);
	const char *text = body_text(r, "policy");

	if (!text && !r->fault)
		r->fault = "policy: the text is missing";
	if (c) {
		c->text = command_str(c, text ? text : "");
		c->note = command_str(c, body_text(r, "note"));
	}
	return ask(r, c, next);
}

enum MHD_Result api_native_policy_set(struct request *r)
{
	return send_text(r, CMD_POLICY_SET, on_version);
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

enum MHD_Result api_native_policy_preview(struct request *r)
{
	return send_text(r, CMD_POLICY_PREVIEW, on_json);
}

/* {"version": N, "note": "…"} */
enum MHD_Result api_native_policy_rollback(struct request *r)
{
	struct command *c = command_for(r, CMD_POLICY_ROLLBACK);
	const char *version = body_id(r, "version");
	int64_t n = parse_id(r, version ? version : "", "version");

	if (c) {
		c->id = n;
		c->note = command_str(c, body_text(r, "note"));
	}
	return ask(r, c, on_version);
}

static enum MHD_Result ask_about(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c) {
		c->name = command_str(c, query(r, "src"));
		c->new_name = command_str(c, query(r, "dst"));
	}
	return ask(r, c, on_json);
}

enum MHD_Result api_native_policy_explain(struct request *r)
{
	return ask_about(r, CMD_POLICY_EXPLAIN);
}

enum MHD_Result api_native_policy_who(struct request *r)
{
	return ask_about(r, CMD_POLICY_WHO);
}

enum MHD_Result api_native_policy_what(struct request *r)
{
	return ask_about(r, CMD_POLICY_WHAT);
}
