#include "server/api/request.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/text/json.h"
#include "server/policy/draft.h"
#include "server/api/page.h"
#include "server/api/state.h"

enum { BODY_DEPTH_MAX = 32, BODY_LIST_MAX = 4096 };

/* ---- what was sent ---- */

const char *query(struct request *r, const char *name)
{
	const char *v = MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, name);

	return v ? v : "";
}

static void note_fault(struct request *r, const char *fault)
{
	if (!r->fault)
		r->fault = fault ? fault : "out of memory";
}

/* The Content-Type is not asked: browser tools send JSON as text/plain. An empty body is {}. */
const json_t *body_object(struct request *r)
{
	if (!r->json && !r->fault) {
		struct bytes text = bytes_trim(buf_view(&r->body));
		struct json_error error = { 0 };
		if (!text.n)
			text = BYTES_LIT("{}");
		err e = json_parse(text, API_POLICY_BODY_MAX, BODY_DEPTH_MAX, &r->json, &error);
		if (e != OK)
			note_fault(r, arena_printf(&r->arena, "the body is not JSON: line %u, column %u: %s", error.line,
							error.column, error.text));
		else if (!json_is_object(r->json))
			note_fault(r, "the body must be a JSON object");
	}
	return r->fault ? NULL : r->json;
}

static const json_t *member(struct request *r, const char *name)
{
	const json_t *object = body_object(r);
	const json_t *v = object ? json_object_get(object, name) : NULL;

	return v && !json_is_null(v) ? v : NULL;
}

static const char *text_of(struct request *r, const char *name, bool or_number)
{
	const json_t *v = member(r, name);

	if (!v)
		return NULL;
	if (json_is_string(v))
		return json_string_value(v);
	if (or_number && json_is_integer(v))
		return arena_printf(&r->arena, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	note_fault(r, arena_printf(&r->arena, "%s: text%s is needed", name, or_number ? " or a number" : ""));
	return NULL;
}

const char *body_text(struct request *r, const char *name)
{
	return text_of(r, name, false);
}

const char *body_id(struct request *r, const char *name)
{
	return text_of(r, name, true);
}

bool body_bool(struct request *r, const char *name)
{
	const json_t *v = member(r, name);

	if (v && !json_is_boolean(v))
		note_fault(r, arena_printf(&r->arena, "%s: true or false is needed", name));
	return v && json_is_true(v);
}

int64_t body_time(struct request *r, const char *name, int64_t otherwise)
{
	const char *text = body_text(r, name);
	int64_t ms;

	if (!text || !text[0])
		return otherwise;
	if (time_parse_rfc3339(bytes_str(text), &ms) != OK) {
		note_fault(r, arena_printf(&r->arena, "%s: a time such as 2027-01-31T12:00:00Z is needed", name));
		return otherwise;
	}
	if (ms == TIME_ZERO_MS)
		return 0;
	return ms ? ms : 1; /* 0 means never */
}

const char **body_texts(struct request *r, const char *name, size_t *n, bool *given)
{
	const json_t *v = member(r, name);

	*n = 0;
	*given = v != NULL;
	if (!v)
		return NULL;
	if (!json_is_array(v) || json_array_size(v) > BODY_LIST_MAX) {
		note_fault(r, arena_printf(&r->arena, "%s: a list of texts is needed", name));
		return NULL;
	}
	size_t count = json_array_size(v);
	const char **list = arena_array(&r->arena, count ? count : 1, sizeof *list);
	if (!list) {
		note_fault(r, NULL);
		return NULL;
	}
	for (; *n < count; (*n)++) {
		list[*n] = json_string_value(json_array_get(v, *n));
		if (!list[*n]) {
			note_fault(r, arena_printf(&r->arena, "%s: a list of texts is needed", name));
			return NULL;
		}
	}
	return list;
}

int64_t parse_id(struct request *r, const char *text, const char *what)
{
	uint64_t id = 0;

	if (!text || bytes_parse_u64(bytes_str(text), INT64_MAX, &id) != OK || id == 0) {
		note_fault(r, arena_printf(&r->arena, "%s: a decimal number is needed", what));
		return 0;
	}
	return (int64_t)id;
}

/* ---- asking ---- */

/* For the audit log. Borrowed for ever. */
static const char *via_of(const struct request *r)
{
	const char *path = r->route ? r->route->pattern : "";

	if (r->trusted)
		return "cli";
	if (r->by_cookie)
		return "console";
	if (strncmp(path, "/api/v1/", 8) == 0)
		return "v1";
	if (strncmp(path, "/api/v2/", 8) == 0)
		return "v2";
	return strncmp(path, "/api/fairlead/", 14) == 0 ? "native" : "web";
}

struct addr client_of(struct request *r)
{
	const union MHD_ConnectionInfo *i = MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	return i && i->client_addr ? addrport_from_sockaddr(i->client_addr).addr : (struct addr){ 0 };
}

struct command *command_for(struct request *r, enum command_kind kind)
{
	struct command *c = command_new(kind);

	if (!c)
		return NULL;
	c->tailnet_id = 1;
	c->actor = command_str(c, r->actor ? r->actor : "web");
	c->via = via_of(r);
	c->from = client_of(r);
	c->by_key = r->key_id;
	c->by_signin = r->signin;
	return c;
}

const char *command_str(struct command *c, const char *s)
{
	return s ? arena_str(&c->arena, bytes_str(s)) : NULL;
}

/* ---- answering ---- */

/* Pages bring their own style and nothing else; answers of the API are no pages at all. */
#define PAGE_POLICY "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; img-src 'self'"
#define SCRIPT_POLICY "; script-src 'self'" /* with passkeys: page.h */

/* The Origin that asks, when pages from there may call the API; NULL: none. */
const char *cors_origin(struct request *r)
{
	const char *origin = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Origin");

	for (size_t i = 0; origin && r->is_api && i < r->api->cfg.n_cors_origins; i++)
		if (strcmp(r->api->cfg.cors_origins[i], origin) == 0)
			return origin;
	return NULL;
}

static void add_cors(struct request *r, struct MHD_Response *response)
{
	const char *origin = cors_origin(r);

	if (!origin)
		return;
	MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
	MHD_add_response_header(response, "Vary", "Origin");
	MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS");
	MHD_add_response_header(response, "Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, If-Match");
	MHD_add_response_header(response, "Access-Control-Max-Age", "600");
	MHD_add_response_header(response, "Access-Control-Expose-Headers", "ETag, Retry-After, X-Request-Id");
}

/* What failed on our side is for the operator; all else for who looks closely. */
static void note_answer(struct request *r, unsigned status)
{
	const char *path = r->route ? r->route->pattern : "", *method = r->route ? r->route->method : "";

	if (status == 500 || status == 504)
		log_warn("a request failed", "request=%s method=%s path=\"%s\" status=%u actor=%s", r->id, method, path, status, log_qs(r->actor ? r->actor : "").s);
	else
		log_debug("request", "request=%s method=%s path=\"%s\" status=%u actor=%s", r->id, method, path, status, log_qs(r->actor ? r->actor : "").s);
}

enum MHD_Result answer_response(struct request *r, unsigned status, const char *type, struct MHD_Response *response)
{
	if (!response)
		return MHD_NO;
	note_answer(r, status);
	MHD_add_response_header(response, "Content-Type", type);
	MHD_add_response_header(response, "X-Request-Id", r->id);
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(response, "X-Frame-Options", "DENY");
	/* Not no-referrer but in the console, which has no forms: browsers then send "Origin: null" with our own forms. */
	MHD_add_response_header(response, "Referrer-Policy", r->page_policy ? "no-referrer" : "same-origin");
	MHD_add_response_header(response, "Content-Security-Policy", r->page_policy ? r->page_policy : r->page_script ? PAGE_POLICY SCRIPT_POLICY : PAGE_POLICY);
	if (r->page_policy)
		MHD_add_response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
	MHD_add_response_header(response, "Cache-Control", r->cache ? r->cache : "no-store");
	for (size_t i = 0; i < r->n_cookies; i++)
		MHD_add_response_header(response, "Set-Cookie", r->cookie[i]);
	if (r->refresh_s) {
		char text[12];
		snprintf(text, sizeof text, "%u", r->refresh_s);
		MHD_add_response_header(response, "Refresh", text);
	}
	if (r->location)
		MHD_add_response_header(response, "Location", r->location);
	if (status == 401)
		MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
	add_cors(r, response);
	if (r->download) {
		char line[128];
		snprintf(line, sizeof line, "attachment; filename=\"%s\"", r->download);
		MHD_add_response_header(response, "Content-Disposition", line);
	}
	if (r->encoding) {
		MHD_add_response_header(response, "Content-Encoding", r->encoding);
		MHD_add_response_header(response, "Vary", "Accept-Encoding");
	}
	if (r->etag)
		MHD_add_response_header(response, "ETag", r->etag);
	if (r->retry_after_s || status == 503) {
		char text[16];
		snprintf(text, sizeof text, "%u", r->retry_after_s ? r->retry_after_s : 1);
		MHD_add_response_header(response, "Retry-After", text);
	}
	enum MHD_Result result = MHD_queue_response(r->conn, status, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result answer_buf(struct request *r, unsigned status, const char *type, struct buf *body)
{
	if (body->bad) {
		buf_done(body);
		return answer_text(r, 500, "text/plain", "the answer is too large\n");
	}
	/* MHD frees it; a buf that was only written to begins at its first byte. */
	struct MHD_Response *response = MHD_create_response_from_buffer(buf_len(body), body->p, MHD_RESPMEM_MUST_FREE);
	if (!response)
		buf_done(body);
	return answer_response(r, status, type, response);
}

enum MHD_Result answer_json(struct request *r, unsigned status, struct buf *body)
{
	return answer_buf(r, status, "application/json", body);
}

enum MHD_Result answer_page(struct request *r, unsigned status, struct buf *html)
{
	return answer_buf(r, status, "text/html; charset=utf-8", html);
}

enum MHD_Result answer_text(struct request *r, unsigned status, const char *type, const char *body)
{
	struct buf copy = buf_make(API_ANSWER_MAX);
	buf_append_str(&copy, body);

	struct MHD_Response *response = MHD_create_response_from_buffer(buf_len(&copy), copy.p, MHD_RESPMEM_MUST_COPY);
	buf_done(&copy);
	return answer_response(r, status, type, response);
}

struct jsonw answer_begin(struct buf *out)
{
	*out = buf_make(API_ANSWER_MAX);
	struct jsonw w = jsonw_init(out);
	jsonw_obj(&w);
	return w;
}

enum MHD_Result answer_end(struct request *r, struct jsonw *w, struct buf *out)
{
	jsonw_obj_end(w);
	return answer_json(r, 200, out);
}

enum MHD_Result answer_empty(struct request *r)
{
	struct buf out;
	struct jsonw w = answer_begin(&out);

	return answer_end(r, &w, &out);
}

unsigned status_of(err e)
{
	switch (e) {
	case OK:
		return 200;
	case ERR_NOT_FOUND:
		return 404;
	case ERR_EXISTS:
		return 409;
	case ERR_AUTH:
		return 401;
	case ERR_DENIED:
		return 403;
	case ERR_BUSY:
		return 429;
	case ERR_CLOSED:
		return 503;
	case ERR_TIMEOUT:
		return 504;
	case ERR_UNSUPPORTED:
		return 501;
	case ERR_INVALID:
	case ERR_MALFORMED:
	case ERR_TRUNCATED:
	case ERR_TOO_BIG:
	case ERR_STATE:
		return 400;
	case ERR_NOMEM:
	case ERR_SYS:
		return 500;
	}
	return 500;
}

/* What gRPC calls it: tools of older Headscales look for it. */
static int grpc_code(unsigned status)
{
	switch (status) {
	case 400:
	case 405:
	case 413:
		return 3;
	case 401:
		return 16;
	case 403:
		return 7;
	case 404:
		return 5;
	case 409:
		return 6;
	case 412:
		return 9;
	case 429:
		return 8;
	case 501:
		return 12;
	case 503:
		return 14;
	case 504:
		return 4;
	default:
		return 13;
	}
}

static const char *title_of(unsigned status)
{
	static const struct {
		unsigned status;
		const char *title;
	} titles[] = {
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 409, "Conflict" }, { 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 429, "Too Many Requests" },
		{ 501, "Not Implemented" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < ARRAY_LEN(titles); i++) {
		if (titles[i].status == status)
			return titles[i].title;
	}
	return "Internal Server Error";
}

/* {"message", "status", "data"?: [{"user", "errors"}]} */
static enum MHD_Result answer_problem_v2(struct request *r, unsigned status, const char *message, const char *const *lines, size_t n)
{
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "message"), jsonw_str(&w, message);
	jsonw_key(&w, "status"), jsonw_uint(&w, status);
	jsonw_key(&w, "requestId"), jsonw_str(&w, r->id);
	if (n) {
		jsonw_key(&w, "data"), jsonw_arr(&w), jsonw_obj(&w);
		jsonw_key(&w, "user"), jsonw_str(&w, "");
		jsonw_key(&w, "errors"), jsonw_arr(&w);
		for (size_t i = 0; i < n; i++)
			jsonw_str(&w, lines[i]);
		jsonw_arr_end(&w);
		jsonw_obj_end(&w), jsonw_arr_end(&w);
	}
	jsonw_obj_end(&w);
	return answer_json(r, status, &out);
}

static enum MHD_Result answer_problem(struct request *r, unsigned status, const char *message, const char *const *lines, size_t n,
		const struct policy_faults *faults)
{
	if (r->v2)
		return answer_problem_v2(r, status, message, lines, n);
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "code"), jsonw_int(&w, grpc_code(status));
	jsonw_key(&w, "message"), jsonw_str(&w, message);
	jsonw_key(&w, "details"), jsonw_arr(&w), jsonw_arr_end(&w);
	jsonw_key(&w, "status"), jsonw_uint(&w, status);
	jsonw_key(&w, "title"), jsonw_str(&w, title_of(status));
	jsonw_key(&w, "detail"), jsonw_str(&w, message);
	jsonw_key(&w, "requestId"), jsonw_str(&w, r->id);
	/* Headscale's own clients show errors[0].message before anything else. */
	const char *only = message;
	if (!n)
		lines = &only, n = 1;
	jsonw_key(&w, "errors"), jsonw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jsonw_obj(&w);
		jsonw_key(&w, "message"), jsonw_str(&w, lines[i]);
		if (faults && i < faults->n) {
			jsonw_key(&w, "line"), jsonw_uint(&w, faults->fault[i].line);
			jsonw_key(&w, "column"), jsonw_uint(&w, faults->fault[i].column);
			jsonw_key(&w, "text"), jsonw_str(&w, faults->fault[i].text);
			jsonw_key(&w, "from"), jsonw_uint(&w, faults->fault[i].from);
			jsonw_key(&w, "to"), jsonw_uint(&w, faults->fault[i].to);
			if (faults->fault[i].has_fix)
				policy_fix_write(&faults->fault[i], &w);
		}
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	return answer_json(r, status, &out);
}

enum MHD_Result answer_error(struct request *r, unsigned status, const char *message)
{
	if (page_is_wanted(r))
		return page_trouble(r, status);
	return answer_problem(r, status, message, NULL, 0, NULL);
}

enum MHD_Result answer_fault(struct request *r, const struct reply *reply, const char *prefix)
{
	const char *message = reply->message ? reply->message : err_text(reply->e);
	const char *whole = prefix[0] ? arena_printf(&r->arena, "%s%s", prefix, message) : message;

	return answer_problem(r, status_of(reply->e), whole ? whole : message, reply->lines, reply->n_lines, reply->faults);
}

/* Exactly this text, without a line end: tools of Headscale compare it; those of Tailscale need JSON. */
enum MHD_Result answer_unauthorized(struct request *r)
{
	if (r->v2)
		return answer_error(r, 401, "API token invalid");
	return answer_text(r, 401, "text/plain", "Unauthorized");
}
