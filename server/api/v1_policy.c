#include "common/base/clock.h"
#include "server/api/handlers.h"
#include "server/api/native_policy.h"
#include "server/api/render.h"
#include "server/api/state.h"

static enum MHD_Result answer_policy(struct request *r, const struct reply *reply)
{
	const struct policy_row *p = reply->n_policies ? &reply->policies[0] : NULL;
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "policy"), jsonw_str(&w, p ? p->text : "");
	/* null tells tools that it cannot be set from there; a policy that was never set has Go's zero time. */
	jsonw_key(&w, "updatedAt");
	if (r->api->cfg.policy_in_file)
		jsonw_null(&w);
	else
		jsonw_time(&w, p && p->created_ms ? p->created_ms : TIME_ZERO_MS);
	return answer_end(r, &w, &out);
}

static enum MHD_Result on_policy(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_policy(r, reply);
}

/* Tools recognise these words and show the rest beside the text. */
static enum MHD_Result on_policy_set(struct request *r, const struct reply *reply)
{
	if (reply->e != OK)
		return answer_fault(r, reply, "setting policy: parsing policy from bytes: ");
	return answer_policy(r, reply);
}

static enum MHD_Result on_policy_checked(struct request *r, const struct reply *reply)
{
	if (reply->e != OK)
		return answer_fault(r, reply, "parsing policy from bytes: ");
	return answer_empty(r);
}

enum MHD_Result api_policy_get(struct request *r)
{
	return ask(r, command_for(r, CMD_POLICY_GET), on_policy);
}

/* {} is how one tool writes an empty policy. */
static enum MHD_Result send_policy(struct request *r, enum command_kind kind, reply_handler *next)
{
	struct command *c = command_for(r, kind);
	const char *text = body_text(r, "policy");

	if (c) {
		c->text = command_str(c, text ? text : "");
		c->author = c->actor;
		c->note = command_str(c, body_text(r, "note"));
	}
	if (c)
		take_console(r, c);
	return ask(r, c, next);
}

enum MHD_Result api_policy_set(struct request *r)
{
	if (r->api->cfg.policy_in_file)
		return answer_error(r, 400, "update is disabled: the policy is read from the file that policy.path names");
	return send_policy(r, CMD_POLICY_SET, on_policy_set);
}

enum MHD_Result api_policy_check(struct request *r)
{
	return send_policy(r, CMD_POLICY_CHECK, on_policy_checked);
}
