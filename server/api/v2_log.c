#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "server/api/state.h"
#include "server/api/v2.h"
#include "server/api/worker.h"
#include "server/store/audit.h"

/* GET /tailnet/-/logging/configuration: the audit log in Tailscale's words. */

enum { LOG_MAX = 20000 }; /* entries an answer; a narrower time gives the rest */

struct log_ask {
	struct audit_query query;
	struct buf out;
};

/* "cli:root" -> USER; "oauthtoken:…" -> OAUTH_CLIENT; "node:7" -> NODE; a timer -> AUTOMATED_WORKER */
static const char *actor_type(const struct audit_row *a)
{
	if (strncmp(a->actor, "oauthtoken:", 11) == 0)
		return "OAUTH_CLIENT";
	if (strcmp(a->via, "node") == 0)
		return "NODE";
	return strcmp(a->via, "system") == 0 ? "AUTOMATED_WORKER" : "USER";
}

static const char *origin_of_record(const struct audit_row *a)
{
	static const struct {
		const char *via, *origin;
	} table[] = { { "console", "ADMIN_CONSOLE" }, { "web", "ADMIN_CONSOLE" }, { "node", "NODE" }, { "system", "CONTROL" },
		{ "file", "CONTROL" }, { "oidc", "IDENTITY_PROVIDER" } };

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcmp(a->via, table[i].via) == 0)
			return table[i].origin;
	return "CONFIG_API";
}

static const char *target_type(const struct audit_row *a)
{
	static const struct {
		const char *kind, *type;
	} table[] = { { "user", "USER" }, { "node", "NODE" }, { "ssh", "NODE" }, { "login", "NODE" }, { "authkey", "API_KEY" },
		{ "apikey", "API_KEY" }, { "webhook", "WEBHOOK_ENDPOINT" } };

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcmp(a->kind, table[i].kind) == 0)
			return table[i].type;
	return "TAILNET";
}

static bool has(const char *json, const char *member)
{
	return json && strstr(json, member);
}

/* The property that changed, where Tailscale has a word for it; NULL: none. */
static const char *property(const struct audit_row *a)
{
	static const struct {
		const char *member, *word;
	} of_node[] = { { "\"tags\":", "ACL_TAGS" }, { "\"approvedRoutes\":", "ALLOWED_IPS" }, { "\"expires\":", "KEY_EXPIRY_TIME" },
		{ "\"keyExpiryDisabled\":", "KEY_EXPIRY" }, { "\"name\":", "MACHINE_NAME" }, { "\"ipv4\":", "ADDRESS" } };

	if (strcmp(a->kind, "policy") == 0)
		return "ACL";
	if (strcmp(a->kind, "setting") == 0)
		return strncmp(a->target_id, "dns.", 4) == 0 ? "DNS_CONFIG" : "FEATURE";
	if (strcmp(a->action, "update") != 0)
		return NULL;
	if (strcmp(a->kind, "user") == 0)
		return has(a->after, "\"role\":") ? "USER_ROLE" : NULL;
	for (size_t i = 0; strcmp(a->kind, "node") == 0 && i < ARRAY_LEN(of_node); i++)
		if (has(a->after, of_node[i].member))
			return of_node[i].word;
	return NULL;
}

static const char *action_word(const struct audit_row *a)
{
	bool user = strcmp(a->kind, "user") == 0;

	if (strcmp(a->action, "create") == 0)
		return "CREATE";
	if (strcmp(a->action, "delete") == 0)
		return strcmp(a->kind, "login") == 0 ? "CANCEL" : "DELETE";
	if (has(a->after, "\"revoked\":\""))
		return "REVOKE";
	if (user && has(a->after, "\"suspended\":\""))
		return "SUSPEND";
	if (user && has(a->after, "\"suspended\":null"))
		return "RESTORE";
	return "UPDATE";
}

static void render_entry(struct jsonw *w, const struct audit_row *a)
{
	const char *what = property(a);

	jsonw_obj(w);
	jsonw_key(w, "eventTime"), jsonw_time(w, a->at_ms);
	jsonw_key(w, "type"), jsonw_str(w, "CONFIG");
	jsonw_key(w, "eventGroupID"), render_id(w, a->group_id);
	jsonw_key(w, "origin"), jsonw_str(w, origin_of_record(a));
	jsonw_key(w, "actor"), jsonw_obj(w);
	jsonw_key(w, "id"), jsonw_str(w, a->actor);
	jsonw_key(w, "type"), jsonw_str(w, actor_type(a));
	jsonw_key(w, "loginName"), jsonw_str(w, a->actor);
	jsonw_key(w, "displayName"), jsonw_str(w, a->actor);
	jsonw_obj_end(w);
	jsonw_key(w, "target"), jsonw_obj(w);
	jsonw_key(w, "id"), jsonw_str(w, a->target_id);
	jsonw_key(w, "name"), jsonw_str(w, a->target);
	jsonw_key(w, "type"), jsonw_str(w, target_type(a));
	if (what)
		jsonw_key(w, "property"), jsonw_str(w, what);
	jsonw_obj_end(w);
	jsonw_key(w, "action"), jsonw_str(w, action_word(a));
	if (a->before[0])
		jsonw_key(w, "old"), jsonw_raw(w, bytes_str(a->before));
	if (a->after[0])
		jsonw_key(w, "new"), jsonw_raw(w, bytes_str(a->after));
	jsonw_obj_end(w);
}

/* On a worker. */
static void read_log(struct request *r, struct reply *reply)
{
	struct log_ask *l = r->keep;
	struct jsonw w = answer_begin(&l->out);
	bool more = true;

	jsonw_key(&w, "version"), jsonw_str(&w, "1.1");
	jsonw_key(&w, "tailnet"), jsonw_str(&w, "-");
	jsonw_key(&w, "logs"), jsonw_arr(&w);
	for (size_t n = 0; more && n < LOG_MAX;) {
		CLEANUP(audit_page_done) struct audit_page page = { 0 };
		char why[200];

		reply->e = r->api->cfg.audit(r->api->cfg.ctx, &l->query, &page, why, sizeof why);
		if (reply->e != OK) {
			reply->message = arena_str(&reply->arena, bytes_str(why));
			return;
		}
		for (size_t i = 0; i < page.n; i++)
			render_entry(&w, &page.rows[i]);
		n += page.n;
		more = page.more;
		if (page.n)
			l->query.after_id = page.rows[page.n - 1].id;
	}
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
}

static enum MHD_Result on_log(struct request *r, const struct reply *reply)
{
	struct log_ask *l = r->keep;

	if (reply->e == OK)
		return answer_json(r, 200, &l->out);
	buf_done(&l->out);
	return answer_fault(r, reply, "");
}

/* "~part", or a whole id: both find what contains it. */
static const char *part(const char *text)
{
	return *text == '~' ? text + 1 : text;
}

enum MHD_Result api_v2_log(struct request *r)
{
	struct log_ask *l = arena_alloc(&r->arena, sizeof *l);

	if (!l)
		return answer_error(r, 500, "out of memory");
	if (!query(r, "start")[0] || !query(r, "end")[0])
		return answer_error(r, 400, "start and end are needed: times such as 2027-01-31T12:00:00Z");
	if (!r->api->cfg.audit)
		return answer_error(r, 501, "this server has no database to read from");
	l->query = (struct audit_query){ .tailnet_id = 1, .since_ms = query_time(r, "start"), .until_ms = query_time(r, "end") + 1,
		.actor = part(query(r, "actor")), .target = part(query(r, "target")), .limit = AUDIT_PAGE_MAX };
	r->keep = l;
	return work_for(r, read_log, on_log);
}
