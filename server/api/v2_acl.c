#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/text/hex.h"
#include "common/text/hujson.h"
#include "server/api/native_policy.h"
#include "server/api/state.h"
#include "server/api/v2.h"
#include "server/policy/etag.h"
#include "server/policy/policy.h"

/* The default is what an empty policy means: all may reach all. */
static const char *text_of(const struct reply *reply)
{
	const struct policy_row *p = reply->n_policies ? &reply->policies[0] : NULL;

	return p && p->text && bytes_trim(bytes_str(p->text)).n ? p->text : POLICY_DEFAULT_TEXT;
}

static bool accepts(struct request *r, const char *type)
{
	const char *accept = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Accept");

	return accept && strstr(accept, type);
}

/* ?details=1: {"acl": base64, "warnings", "errors"} */
static enum MHD_Result answer_details(struct request *r, const char *text)
{
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "acl"), jsonw_base64(&w, bytes_str(text));
	jsonw_key(&w, "warnings"), jsonw_arr(&w), jsonw_arr_end(&w);
	jsonw_key(&w, "errors"), jsonw_null(&w);
	return answer_end(r, &w, &out);
}

/* Comments and commas that JSON has not are blanked out; names stay as they were written. */
static enum MHD_Result answer_strict(struct request *r, const char *text)
{
	size_t n = strlen(text), k;
	char *plain = malloc(n + 1);
	struct json_error error;

	if (!plain)
		return answer_error(r, 500, "out of memory");
	if (hujson_blank(bytes_str(text), plain, &error) != OK)
		memcpy(plain, text, n + 1);
	char *compact = json_compact(&r->arena, bytes_of(plain, n), &k);
	enum MHD_Result result = compact ? answer_text(r, 200, "application/json", compact) : answer_error(r, 500, "out of memory");
	free(plain);
	return result;
}

static enum MHD_Result on_policy(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	const char *text = text_of(reply), *details = query(r, "details");
	char etag[POLICY_ETAG_LEN + 1];

	policy_etag(text, etag);
	r->etag = arena_printf(&r->arena, "\"%s\"", etag);
	if (strcmp(details, "1") == 0 || strcmp(details, "true") == 0)
		return answer_details(r, text);
	if (accepts(r, "application/json"))
		return answer_strict(r, text);
	return answer_text(r, 200, "application/hujson", text);
}

enum MHD_Result api_v2_acl(struct request *r)
{
	return ask(r, command_for(r, CMD_POLICY_GET), on_policy);
}

static enum MHD_Result on_set(struct request *r, const struct reply *reply)
{
	if (reply->changed_since)
		return answer_error(r, 412, "precondition failed, invalid old hash");
	if (reply->n_lines) { /* "line 3, column 7: …": tools make annotations of it */
		struct reply told = *reply;
		told.message = reply->lines[0];
		return answer_fault(r, &told, "");
	}
	return on_policy(r, reply);
}

/* W/ and the quotes are the wire's. */
static const char *if_match(struct request *r)
{
	const char *header = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "If-Match");
	struct bytes b = bytes_trim(bytes_str(header ? header : ""));

	if (bytes_has_prefix(b, BYTES_LIT("W/")))
		b = bytes_skip(b, 2);
	if (b.n >= 2 && b.p[0] == '"' && b.p[b.n - 1] == '"')
		b = bytes_of(b.p + 1, b.n - 2);
	return bytes_eq_str(b, "*") ? "" : arena_str(&r->arena, b);
}

static struct command *policy_command(struct request *r, enum command_kind kind, struct bytes text)
{
	struct command *c = command_for(r, kind);

	if (!c)
		return NULL;
	c->text = arena_str(&c->arena, text);
	c->author = c->actor;
	if (!c->text && !r->fault)
		r->fault = "the policy is too long";
	return c;
}

enum MHD_Result api_v2_acl_set(struct request *r)
{
	if (r->api->cfg.policy_in_file)
		return answer_error(r, 400, "update is disabled: the policy is read from the file that policy.path names");
	struct command *c = policy_command(r, CMD_POLICY_SET, buf_view(&r->body));
	if (c) {
		c->if_match = command_str(c, if_match(r));
		take_console(r, c);
	}
	return ask(r, c, on_set);
}

/* Well-formed questions are answered with 200; what is wrong with the policy is in the body. */
static enum MHD_Result on_checked(struct request *r, const struct reply *reply)
{
	if (reply->e != ERR_INVALID && reply->e != ERR_MALFORMED)
		FAIL_ON(r, reply);
	if (reply->e == OK)
		return answer_empty(r);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "message"), jsonw_str(&w, reply->n_lines ? reply->lines[0] : reply->message);
	if (reply->n_lines) {
		jsonw_key(&w, "data"), jsonw_arr(&w), jsonw_obj(&w);
		jsonw_key(&w, "user"), jsonw_str(&w, "");
		jsonw_key(&w, "errors"), jsonw_arr(&w);
		for (size_t i = 0; i < reply->n_lines; i++)
			jsonw_str(&w, reply->lines[i]);
		jsonw_arr_end(&w);
		jsonw_obj_end(&w), jsonw_arr_end(&w);
	}
	return answer_end(r, &w, &out);
}

/* Tests for the policy in force: it with these instead of its own. */
static enum MHD_Result on_policy_for_tests(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	json_auto_t *policy = NULL;
	json_t *tests = NULL;
	struct json_error error = { 0 };
	size_t n;

	err e = hujson_parse(bytes_str(text_of(reply)), POLICY_TEXT_MAX, 64, &policy, &error);
	if (e == OK)
		e = hujson_parse(buf_view(&r->body), API_BODY_MAX, 64, &tests, &error);
	if (e != OK)
		return answer_error(r, 400, arena_printf(&r->arena, "line %u, column %u: %s", error.line, error.column, error.text));
	void *at;
	const char *name;
	json_t *v;
	json_object_foreach_safe(policy, at, name, v)
		if (bytes_eq_nocase(bytes_str(name), BYTES_LIT("tests")))
			json_object_del(policy, name);
	if (json_object_set_new(policy, "tests", tests) != 0)
		return answer_error(r, 500, "out of memory");
	char *text = json_dump_compact(&r->arena, policy, &n);
	if (!text)
		return answer_error(r, 500, "out of memory");
	return ask(r, policy_command(r, CMD_POLICY_CHECK, bytes_of(text, n)), on_checked);
}

enum MHD_Result api_v2_acl_validate(struct request *r)
{
	struct bytes body = bytes_trim(buf_view(&r->body));

	if (body.n && body.p[0] == '[')
		return ask(r, command_for(r, CMD_POLICY_GET), on_policy_for_tests);
	return ask(r, policy_command(r, CMD_POLICY_CHECK, body), on_checked);
}

/* ---- POST acl/preview?type=user|ipport&previewFor=…: which rules of the body are about them ---- */

static enum MHD_Result on_matches(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	json_auto_t *found = json_loads(reply->text, 0, NULL);
	size_t n;
	const char *matches = json_dump_compact(&r->arena, json_object_get(found, "matches"), &n);
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "matches"), jsonw_raw(&w, matches ? bytes_of(matches, n) : BYTES_LIT("[]"));
	jsonw_key(&w, "type"), jsonw_str(&w, query(r, "type"));
	jsonw_key(&w, "previewFor"), jsonw_str(&w, query(r, "previewFor"));
	return answer_end(r, &w, &out);
}

enum MHD_Result api_v2_acl_preview(struct request *r)
{
	bool user = strcmp(query(r, "type"), "user") == 0, ipport = strcmp(query(r, "type"), "ipport") == 0;
	const char *whom = query(r, "previewFor");
	enum MHD_Result refused;

	/* Which rules let somebody in at an address tells whose it is: its tags, its owner's groups. */
	if (ipport && !may_else_refuse(r, SCOPE_READ(SCOPE_DEVICES_CORE), &refused))
		return refused;
	struct command *c = policy_command(r, CMD_POLICY_MATCHES, buf_view(&r->body));

	if (!r->fault && !user && !ipport)
		r->fault = "type: user or ipport";
	else if (!r->fault && !*whom)
		r->fault = "previewFor: a login name, or an address with a port";
	if (c) {
		c->has_text = true;
		c->name = command_str(c, user ? whom : "");
		c->new_name = command_str(c, ipport ? whom : "");
	}
	return ask(r, c, on_matches);
}
