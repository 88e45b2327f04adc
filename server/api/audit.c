#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "server/api/handlers.h"
#include "server/api/render.h"
#include "server/api/state.h"
#include "server/api/worker.h"
#include "server/store/audit.h"

enum { PAGE_DEFAULT = 100 };

void render_audit(struct jsonw *w, const struct audit_row *a)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, a->id);
	jsonw_key(w, "group"), render_id(w, a->group_id);
	jsonw_key(w, "time"), jsonw_time(w, a->at_ms);
	jsonw_key(w, "via"), jsonw_str(w, a->via);
	jsonw_key(w, "actor"), jsonw_str(w, a->actor);
	jsonw_key(w, "address"), jsonw_str(w, a->address);
	jsonw_key(w, "action"), jsonw_str(w, a->action);
	jsonw_key(w, "kind"), jsonw_str(w, a->kind);
	jsonw_key(w, "targetId"), jsonw_str(w, a->target_id);
	jsonw_key(w, "target"), jsonw_str(w, a->target);
	jsonw_key(w, "before");
	if (a->before && a->before[0])
		jsonw_raw(w, bytes_str(a->before));
	else
		jsonw_null(w);
	jsonw_key(w, "after");
	if (a->after && a->after[0])
		jsonw_raw(w, bytes_str(a->after));
	else
		jsonw_null(w);
	jsonw_obj_end(w);
}

struct asked {
	struct audit_query query;
	struct buf out;
};

/* On a worker. */
static void read_log(struct request *r, struct reply *reply)
{
	struct asked *a = r->keep;
	CLEANUP(audit_page_done) struct audit_page page = { 0 };
	char why[300] = "";

	err e = r->api->cfg.audit(r->api->cfg.ctx, &a->query, &page, why, sizeof why);
	if (e != OK) {
		reply->e = e;
		reply->message = arena_str(&reply->arena, bytes_str(why[0] ? why : err_text(e)));
		return;
	}
	struct jsonw w = answer_begin(&a->out);
	jsonw_key(&w, "records"), jsonw_arr(&w);
	for (size_t i = 0; i < page.n; i++)
		render_audit(&w, &page.rows[i]);
	jsonw_arr_end(&w);
	jsonw_key(&w, "next");
	if (page.more && page.n)
		render_id(&w, page.rows[page.n - 1].id);
	else
		jsonw_null(&w);
	jsonw_obj_end(&w);
}

static enum MHD_Result on_log(struct request *r, const struct reply *reply)
{
	struct asked *a = r->keep;

	if (reply->e != OK) {
		buf_done(&a->out);
		return answer_fault(r, reply, "");
	}
	return answer_json(r, 200, &a->out);
}

static int64_t query_id(struct request *r, const char *name)
{
	return query(r, name)[0] ? parse_id(r, query(r, name), name) : 0;
}

int64_t query_time(struct request *r, const char *name)
{
	const char *text = query(r, name);
	int64_t ms = 0;

	if (text[0] && time_parse_rfc3339(bytes_str(text), &ms) != OK && !r->fault)
		r->fault = "since, until, start and end are times such as 2027-01-31T12:00:00Z";
	return ms;
}

/* ?since=&until=&actor=&kind=&action=&via=&target=&limit=&order=asc|desc&page=: page is what "next" said. */
enum MHD_Result api_native_audit(struct request *r)
{
	struct asked *a = arena_alloc(&r->arena, sizeof *a);
	const char *order = query(r, "order");

	if (!a)
		return answer_error(r, 500, "out of memory");
	if (!r->api->cfg.audit)
		return answer_error(r, 501, "this server has no database to read from");
	if (order[0] && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0)
		return answer_error(r, 400, "order: asc or desc");
	a->query = (struct audit_query){
		.tailnet_id = 1, .since_ms = query_time(r, "since"), .until_ms = query_time(r, "until"), .actor = query(r, "actor"),
		.kind = query(r, "kind"), .action = query(r, "action"), .via = query(r, "via"), .target = query(r, "target"),
		.newest_first = strcmp(order, "asc") != 0, .limit = PAGE_DEFAULT,
	};
	if (query(r, "limit")[0])
		a->query.limit = (size_t)query_id(r, "limit");
	if (a->query.limit > AUDIT_PAGE_MAX && !r->fault)
		r->fault = "limit: at most 1000";
	int64_t page = query_id(r, "page");
	if (a->query.newest_first)
		a->query.before_id = page;
	else
		a->query.after_id = page;
	r->keep = a;
	return work_for(r, read_log, on_log);
}
