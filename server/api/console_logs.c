#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/text/json.h"
#include "server/api/console.h"
#include "server/api/handlers.h"
#include "server/api/render.h"
#include "server/api/state.h"
#include "server/store/audit.h"

/* The log's histogram and export, when machines came and went, and who signed in. */

enum {
	BUCKETS_MAX = 200,
	BUCKETS_DEFAULT = 60,
	EXPORT_MAX = 200000, /* records; more are asked for with a narrower span */
	EXPORT_BYTES_MAX = API_ANSWER_MAX - (1 << 20),
	PAGE_DEFAULT = 100,
	CONNECTIONS_MAX = 1000, /* an answer */
};

static struct audit_query asked_of(struct request *r)
{
	return (struct audit_query){
		.tailnet_id = 1, .since_ms = query_time(r, "since"), .until_ms = query_time(r, "until"), .actor = query(r, "actor"),
		.kind = query(r, "kind"), .action = query(r, "action"), .via = query(r, "via"), .target = query(r, "target"), .newest_first = true,
		.limit = AUDIT_PAGE_MAX,
	};
}

static size_t query_number(struct request *r, const char *name, size_t otherwise, size_t max)
{
	uint64_t n = 0;

	if (!query(r, name)[0])
		return otherwise;
	if ((bytes_parse_u64(bytes_str(query(r, name)), max, &n) != OK || !n) && !r->fault)
		r->fault = arena_printf(&r->arena, "%s: a number from 1 to %zu", name, max);
	return (size_t)n;
}

static enum MHD_Result on_made(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return console_answer_made(r);
}

static void fail(struct reply *reply, err e, const char *why)
{
	reply->e = e;
	reply->message = arena_str(&reply->arena, bytes_str(why[0] ? why : err_text(e)));
}

/* ---- how much happened when ---- */

struct histogram {
	struct audit_query query;
	size_t n;
	uint64_t count[BUCKETS_MAX];
};

/* On a worker. */
static void count_log(struct request *r, struct reply *reply)
{
	struct histogram *h = r->keep;
	char why[300] = "";
	err e = r->api->cfg.audit_count(r->api->cfg.ctx, &h->query, h->count, h->n, why, sizeof why);

	if (e != OK) {
		fail(reply, e, why);
		return;
	}
	struct jsonw w = answer_begin(&r->made);
	jsonw_key(&w, "sinceMs"), jsonw_int(&w, h->query.since_ms);
	jsonw_key(&w, "untilMs"), jsonw_int(&w, h->query.until_ms);
	jsonw_key(&w, "bucketMs"), jsonw_int(&w, audit_bucket_ms(&h->query, h->n));
	jsonw_key(&w, "counts"), jsonw_arr(&w);
	for (size_t i = 0; i < h->n; i++)
		jsonw_uint(&w, h->count[i]);
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
}

/* ?since=&until=&buckets= and the filters of /audit; without a span: the last four days. */
enum MHD_Result console_audit_histogram(struct request *r)
{
	struct histogram *h = arena_alloc(&r->arena, sizeof *h);

	if (!h)
		return answer_error(r, 500, "out of memory");
	if (!r->api->cfg.audit_count)
		return answer_error(r, 501, "this server has no database to read from");
	h->query = asked_of(r);
	h->n = query_number(r, "buckets", BUCKETS_DEFAULT, BUCKETS_MAX);
	if (!h->query.until_ms)
		h->query.until_ms = clock_wall_ms() + 1;
	if (!h->query.since_ms)
		h->query.since_ms = h->query.until_ms - 4LL * 24 * 3600 * 1000;
	if (h->query.since_ms >= h->query.until_ms && !r->fault)
		r->fault = "since must be before until";
	r->keep = h;
	return work_for(r, count_log, on_made);
}

/* ---- export ---- */

struct export {
	struct audit_query query;
	bool csv;
};

/* A cell, so that a spreadsheet takes none for a formula. */
static void put_cell(struct buf *out, const char *text, bool last)
{
	buf_append_u8(out, '"');
	if (text && text[0] && strchr("=+-@\t\r", text[0]))
		buf_append_u8(out, '\'');
	for (const char *c = text ? text : ""; *c; c++) {
		if (*c == '"')
			buf_append_u8(out, '"');
		buf_append_u8(out, (uint8_t)*c);
	}
	buf_append_str(out, last ? "\"\r\n" : "\",");
}

static void put_line(struct buf *out, const struct audit_row *a)
{
	char time[RFC3339_MAX], number[24];

	time_rfc3339(a->at_ms, time);
	snprintf(number, sizeof number, "%lld", (long long)a->id);
	const char *const cells[] = { number, time, a->via, a->actor, a->address, a->action, a->kind, a->target_id, a->target, a->before, a->after };
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		put_cell(out, cells[i], i + 1 == ARRAY_LEN(cells));
}

/* On a worker. */
static void export_log(struct request *r, struct reply *reply)
{
	struct export *x = r->keep;
	bool more = true;

	r->made = buf_make(API_ANSWER_MAX);
	if (x->csv)
		buf_append_str(&r->made, "id,time,via,actor,address,action,kind,targetId,target,before,after\r\n");
	for (size_t n = 0; more && n < EXPORT_MAX && buf_len(&r->made) < EXPORT_BYTES_MAX;) {
		CLEANUP(audit_page_done) struct audit_page page = { 0 };
		char why[300] = "";
		err e = r->api->cfg.audit(r->api->cfg.ctx, &x->query, &page, why, sizeof why);
		if (e != OK) {
			fail(reply, e, why);
			return;
		}
		for (size_t i = 0; i < page.n; i++) {
			if (x->csv) {
				put_line(&r->made, &page.rows[i]);
				continue;
			}
			struct jsonw w = jsonw_init(&r->made);
			render_audit(&w, &page.rows[i]);
			buf_append_u8(&r->made, '\n');
		}
		n += page.n;
		more = page.more;
		if (page.n)
			x->query.before_id = page.rows[page.n - 1].id;
	}
	if (more || r->made.bad)
		fail(reply, ERR_TOO_BIG, "the log is too long for one file; export a shorter span");
	else
		console_finish(r);
}

static enum MHD_Result on_exported(struct request *r, const struct reply *reply)
{
	const struct export *x = r->keep;
	struct buf taken = r->made;

	FAIL_ON(r, reply);
	r->made = (struct buf){ 0 };
	r->download = x->csv ? "fairlead-log.csv" : "fairlead-log.ndjson";
	return answer_buf(r, 200, x->csv ? "text/csv; charset=utf-8" : "application/x-ndjson", &taken);
}

enum { EXPORTS_MAX = 3 }; /* at once: each is held whole until its reader has it */

/* ?format=ndjson|csv and the filters of /audit. */
enum MHD_Result console_audit_export(struct request *r)
{
	struct export *x = arena_alloc(&r->arena, sizeof *x);
	const char *format = query(r, "format");

	if (!x)
		return answer_error(r, 500, "out of memory");
	if (!r->api->cfg.audit)
		return answer_error(r, 501, "this server has no database to read from");
	x->query = asked_of(r);
	x->csv = strcmp(format, "csv") == 0;
	if (format[0] && !x->csv && strcmp(format, "ndjson") != 0 && !r->fault)
		r->fault = "format: ndjson or csv";
	if (r->api->exports >= EXPORTS_MAX && !r->fault)
		return answer_error(r, 503, "exports of the log are under way; try again when they are done");
	r->api->exports++;
	r->exporting = true;
	r->keep = x;
	return work_for(r, export_log, on_exported);
}

/* ---- who came and went ---- */

struct passing {
	int64_t at_ms;
	const struct node_info *node;
	size_t i; /* in its row: times are whole seconds */
	bool online;
};

struct connections {
	struct console_nodes k;
	int64_t since_ms, until_ms, machine;
	size_t limit, skip;
};

static int newest_first(const void *a, const void *b)
{
	const struct passing *x = a, *y = b;

	if (x->at_ms != y->at_ms)
		return x->at_ms < y->at_ms ? 1 : -1;
	if (x->node != y->node)
		return (x->node->row.id > y->node->row.id) - (x->node->row.id < y->node->row.id);
	return (x->i < y->i) - (x->i > y->i);
}

static size_t passings_of(const struct connections *c, const struct node_info *n, struct passing *out)
{
	size_t times = n->row.n_presence / 4, k = 0;

	for (size_t i = 0; i < times; i++) {
		int64_t at = presence_time_ms(&n->row, i);
		if (at < c->since_ms || (c->until_ms && at >= c->until_ms))
			continue;
		if (out)
			out[k] = (struct passing){ at, n, i, n->online ^ ((times - i - 1) & 1) };
		k++;
	}
	return k;
}

static void put_passings(struct request *r, const struct connections *c, const struct passing *list, size_t n)
{
	size_t end = MIN_OF(n, c->skip + c->limit);
	struct jsonw w = answer_begin(&r->made);

	jsonw_key(&w, "records"), jsonw_arr(&w);
	for (size_t i = MIN_OF(c->skip, n); i < end; i++) {
		jsonw_obj(&w);
		jsonw_key(&w, "atMs"), jsonw_int(&w, list[i].at_ms);
		jsonw_key(&w, "machine"), render_id(&w, list[i].node->row.id);
		jsonw_key(&w, "name"), jsonw_str(&w, list[i].node->row.given_name);
		jsonw_key(&w, "online"), jsonw_bool(&w, list[i].online);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	jsonw_key(&w, "next");
	if (end < n)
		render_id(&w, (int64_t)end);
	else
		jsonw_null(&w);
	jsonw_obj_end(&w);
}

/* On a worker. */
static void gather_passings(struct request *r, struct reply *reply)
{
	struct connections *c = r->keep;
	size_t n = 0, k = 0;

	for (size_t i = 0; i < c->k.n; i++)
		if (!c->machine || c->k.node[i]->row.id == c->machine)
			n += passings_of(c, c->k.node[i], NULL);
	CLEANUP(freep) struct passing *list = malloc((n + 1) * sizeof *list);
	for (size_t i = 0; list && i < c->k.n; i++)
		if (!c->machine || c->k.node[i]->row.id == c->machine)
			k += passings_of(c, c->k.node[i], list + k);
	if (!list) {
		fail(reply, ERR_NOMEM, "");
	} else {
		if (k)
			qsort(list, k, sizeof *list, newest_first);
		put_passings(r, c, list, k);
		console_finish(r);
	}
	console_nodes_done(&c->k);
}

static enum MHD_Result on_nodes(struct request *r, const struct reply *reply)
{
	struct connections *c = r->keep;

	FAIL_ON(r, reply);
	if (console_keep_nodes(r, reply, &c->k) != OK)
		return answer_error(r, 500, "out of memory");
	return console_work(r, gather_passings, on_made, &c->k);
}

/* ?since=&until=&machine=&limit=&page=, newest first. Made of what each machine's row remembers: seven days at most. */
enum MHD_Result console_connections(struct request *r)
{
	struct connections *c = arena_alloc(&r->arena, sizeof *c);

	if (!c)
		return answer_error(r, 500, "out of memory");
	c->since_ms = query_time(r, "since");
	c->until_ms = query_time(r, "until");
	c->machine = query(r, "machine")[0] ? parse_id(r, query(r, "machine"), "machine") : 0;
	c->limit = query_number(r, "limit", PAGE_DEFAULT, CONNECTIONS_MAX);
	c->skip = query_number(r, "page", 0, SIZE_MAX / 2);
	r->keep = c;
	return ask(r, command_for(r, CMD_NODE_LIST), on_nodes);
}

/* ---- who signed in, and who could not ---- */

void signin_failed(struct request *r, const char *by, const char *name, const char *why)
{
	struct signin_failure *f = &r->api->failed[r->api->n_failed++ % SIGNIN_FAILURES_MAX];
	const char *agent = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "User-Agent");

	*f = (struct signin_failure){ .at_ms = clock_wall_ms() };
	addr_text(client_of(r), f->address);
	snprintf(f->by, sizeof f->by, "%s", by);
	snprintf(f->name, sizeof f->name, "%s", name);
	snprintf(f->why, sizeof f->why, "%s", why);
	snprintf(f->agent, sizeof f->agent, "%s", agent ? agent : "");
}

struct signins {
	struct audit_query query;
	struct signin_failure *failed; /* a copy: newest first */
	size_t n_failed;
	int64_t failed_before_ms; /* those from then on were told with the page before; 0: none were */
};

static const char *word_of(const json_t *side, const char *name)
{
	const char *text = json_string_value(json_object_get(side, name));

	return text ? text : "";
}

static void put_failure(struct jsonw *w, const struct signin_failure *f)
{
	jsonw_obj(w);
	jsonw_key(w, "atMs"), jsonw_int(w, f->at_ms);
	jsonw_key(w, "ok"), jsonw_bool(w, false);
	jsonw_key(w, "user"), jsonw_str(w, "");
	jsonw_key(w, "name"), jsonw_str(w, f->name);
	jsonw_key(w, "by"), jsonw_str(w, f->by);
	jsonw_key(w, "address"), jsonw_str(w, f->address);
	jsonw_key(w, "agent"), jsonw_str(w, f->agent);
	jsonw_key(w, "why"), jsonw_str(w, f->why);
	jsonw_obj_end(w);
}

static void put_signin(struct jsonw *w, const struct audit_row *a)
{
	json_t *after = a->after && a->after[0] ? json_loads(a->after, 0, NULL) : NULL;
	const char *colon = strchr(a->actor ? a->actor : "", ':');

	jsonw_obj(w);
	jsonw_key(w, "atMs"), jsonw_int(w, a->at_ms);
	jsonw_key(w, "ok"), jsonw_bool(w, true);
	jsonw_key(w, "user"), jsonw_str(w, word_of(after, "user"));
	jsonw_key(w, "name"), jsonw_str(w, colon && strncmp(a->actor, "user:", 5) == 0 ? colon + 1 : "");
	jsonw_key(w, "by"), jsonw_str(w, word_of(after, "identity")[0] ? "provider" : "local");
	jsonw_key(w, "address"), jsonw_str(w, word_of(after, "from")[0] ? word_of(after, "from") : a->address);
	jsonw_key(w, "agent"), jsonw_str(w, "");
	jsonw_key(w, "why"), jsonw_str(w, "");
	jsonw_obj_end(w);
	json_decref(after);
}

static bool is_link(const struct audit_row *a)
{
	return a->after && strstr(a->after, "\"link\":true");
}

/* On a worker. Both lists are newest first: merged as they come. */
static void read_signins(struct request *r, struct reply *reply)
{
	struct signins *s = r->keep;
	CLEANUP(audit_page_done) struct audit_page page = { 0 };
	char why[300] = "";
	size_t f = 0;

	err e = r->api->cfg.audit(r->api->cfg.ctx, &s->query, &page, why, sizeof why);
	if (e != OK) {
		fail(reply, e, why);
		return;
	}
	struct jsonw w = answer_begin(&r->made);
	jsonw_key(&w, "records"), jsonw_arr(&w);
	for (size_t i = 0; i < page.n; i++) {
		for (; f < s->n_failed && s->failed[f].at_ms > page.rows[i].at_ms; f++)
			put_failure(&w, &s->failed[f]);
		if (!is_link(&page.rows[i]))
			put_signin(&w, &page.rows[i]);
	}
	for (; !page.more && f < s->n_failed; f++)
		put_failure(&w, &s->failed[f]);
	jsonw_arr_end(&w);
	jsonw_key(&w, "next");
	if (page.more && page.n) /* with the time: failures have no number */
		jsonw_str(&w, arena_printf(&r->arena, "%lld-%lld", (long long)page.rows[page.n - 1].id, (long long)page.rows[page.n - 1].at_ms));
	else
		jsonw_null(&w);
	jsonw_obj_end(&w);
	console_finish(r);
}

static void take_page(struct request *r, struct signins *s)
{
	struct bytes at, id = bytes_cut(bytes_str(query(r, "page")), '-', &at);
	uint64_t number = 0, ms = 0;

	if (!id.n)
		return;
	if ((bytes_parse_u64(id, INT64_MAX, &number) != OK || bytes_parse_u64(at, INT64_MAX, &ms) != OK) && !r->fault)
		r->fault = "page: what next said";
	s->query.before_id = (int64_t)number;
	s->failed_before_ms = (int64_t)ms + 1;
}

/* ?since=&until=&limit=&page=. Those who could not are kept in memory only, the newest 256 since the start: strangers make them. */
enum MHD_Result console_sign_ins(struct request *r)
{
	struct signins *s = arena_alloc(&r->arena, sizeof *s);
	struct api *a = r->api;

	if (s)
		s->failed = arena_array(&r->arena, SIGNIN_FAILURES_MAX, sizeof *s->failed);
	if (!s || !s->failed)
		return answer_error(r, 500, "out of memory");
	if (!a->cfg.audit)
		return answer_error(r, 501, "this server has no database to read from");
	s->query = (struct audit_query){ .tailnet_id = 1, .since_ms = query_time(r, "since"), .until_ms = query_time(r, "until"), .actor = "",
		.kind = "signin", .action = "create", .via = "", .target = "", .newest_first = true };
	s->query.limit = query_number(r, "limit", PAGE_DEFAULT, AUDIT_PAGE_MAX);
	take_page(r, s);
	for (size_t i = 0; i < MIN_OF(a->n_failed, (size_t)SIGNIN_FAILURES_MAX); i++) {
		const struct signin_failure *f = &a->failed[(a->n_failed - 1 - i) % SIGNIN_FAILURES_MAX];
		if (f->at_ms >= s->query.since_ms && (!s->query.until_ms || f->at_ms < s->query.until_ms) &&
				(!s->failed_before_ms || f->at_ms < s->failed_before_ms))
			s->failed[s->n_failed++] = *f;
	}
	r->keep = s;
	return work_for(r, read_signins, on_made);
}
