#include "server/api/openapi.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/text/hujson.h"
#include "server/api/handlers.h"
#include "server/api/state.h"
#include "server/api/v2.h"

enum { FILE_MAX = 1 << 20, DEPTH_MAX = 32, PATH_MAX_LEN = 256, NAME_MAX_LEN = 64 };

struct maker {
	json_t *schemas, *calls; /* of all files; owned */
	json_t *used;		 /* schemas that the document refers to */
	const char *where;	 /* the call or schema that is being written, for faults */
	char *fault;
};

static err refuse(struct maker *m, const char *fmt, ...)
{
	va_list ap;
	size_t n = m->where ? (size_t)snprintf(m->fault, OPENAPI_FAULT_MAX, "%.120s: ", m->where) : 0;

	va_start(ap, fmt);
	vsnprintf(m->fault + n, OPENAPI_FAULT_MAX - n, fmt, ap);
	va_end(ap);
	return ERR_INVALID;
}

/* ---- shapes ---- */

static err shape(struct maker *m, const json_t *in, json_t **out);

static err leaf(struct maker *m, struct bytes word, json_t **out)
{
	static const struct {
		const char *name, *type, *format, *pattern;
	} plain[] = {
		{ "string", "string", NULL, NULL }, { "int", "integer", "int64", NULL }, { "number", "number", NULL, NULL },
		{ "bool", "boolean", NULL, NULL }, { "time", "string", "date-time", NULL }, { "id", "string", NULL, "^[0-9]+$" },
		{ "ms", "integer", "unix-milliseconds", NULL },
	};
	char name[NAME_MAX_LEN + 1] = "", ref[NAME_MAX_LEN + 32];

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (bytes_eq_str(word, plain[i].name)) {
			*out = json_pack("{s:s, s:s*, s:s*}", "type", plain[i].type, "format", plain[i].format, "pattern", plain[i].pattern);
			return *out ? OK : ERR_NOMEM;
		}
	if (bytes_eq_str(word, "any")) {
		*out = json_object();
		return *out ? OK : ERR_NOMEM;
	}
	if (bytes_has_prefix(word, BYTES_LIT("enum:"))) {
		json_t *list = json_array();
		struct bytes rest = bytes_skip(word, 5);
		while (rest.p) {
			struct bytes one = bytes_cut(rest, ',', &rest);
			json_array_append_new(list, json_stringn((const char *)one.p, one.n));
		}
		*out = json_pack("{s:s, s:o}", "type", "string", "enum", list);
		return *out ? OK : ERR_NOMEM;
	}
	if (!word.n || word.n > NAME_MAX_LEN || !isupper(word.p[0]))
		return refuse(m, "\"%.*s\" is no shape", (int)word.n, (const char *)word.p);
	memcpy(name, word.p, word.n);
	if (!json_object_get(m->schemas, name))
		return refuse(m, "no schema is called %s", name);
	json_object_set_new(m->used, name, json_true());
	snprintf(ref, sizeof ref, "#/components/schemas/%s", name);
	*out = json_pack("{s:s}", "$ref", ref);
	return *out ? OK : ERR_NOMEM;
}

/* "TYPE|null: words" */
static err word_shape(struct maker *m, const char *text, json_t **out)
{
	struct bytes words = { 0 }, type = bytes_str(text);
	const char *colon = strstr(text, ": ");
	bool null = false;

	if (colon) {
		type = bytes_of(text, (size_t)(colon - text));
		words = bytes_str(colon + 2);
	}
	if (type.n > 5 && memcmp(type.p + type.n - 5, "|null", 5) == 0) {
		type.n -= 5;
		null = true;
	}
	TRY(leaf(m, type, out));
	if (null)
		*out = json_pack("{s:[o, {s:s}]}", "anyOf", *out, "type", "null");
	if (words.n)
		json_object_set_new(*out, "description", json_stringn((const char *)words.p, words.n));
	return *out ? OK : ERR_NOMEM;
}

static err either(struct maker *m, const json_t *list, json_t **out)
{
	CLEANUP(json_decrefp) json_t *all = json_array();

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *one;
		TRY(shape(m, json_array_get(list, i), &one));
		json_array_append_new(all, one);
	}
	*out = json_pack("{s:O}", "anyOf", all);
	return *out ? OK : ERR_NOMEM;
}

static err object_shape(struct maker *m, const json_t *in, json_t **out)
{
	CLEANUP(json_decrefp) json_t *made = json_pack("{s:s}", "type", "object");
	json_t *members = json_object(), *required = json_array(), *v;
	const char *key;

	if (!made || json_object_set_new(made, "properties", members) != 0 || json_object_set_new(made, "required", required) != 0)
		return ERR_NOMEM;
	json_object_foreach((json_t *)(uintptr_t)in, key, v) {
		char name[NAME_MAX_LEN + 1];
		size_t n = strlen(key);
		json_t *one;
		if (n > NAME_MAX_LEN)
			return refuse(m, "the name %s is too long", key);
		TRY(shape(m, v, &one));
		if (strcmp(key, "*") == 0) {
			json_object_set_new(made, "additionalProperties", one);
			continue;
		}
		bool optional = n && key[n - 1] == '?';
		memcpy(name, key, n);
		name[n - optional] = 0;
		json_object_set_new(members, name, one);
		if (!optional)
			json_array_append_new(required, json_string(name));
	}
	if (!json_array_size(required))
		json_object_del(made, "required");
	*out = json_incref(made);
	return OK;
}

static err shape(struct maker *m, const json_t *in, json_t **out)
{
	json_t *item;

	if (json_is_string(in))
		return word_shape(m, json_string_value(in), out);
	if (json_is_array(in) && json_array_size(in) == 1) {
		TRY(shape(m, json_array_get(in, 0), &item));
		*out = json_pack("{s:s, s:o}", "type", "array", "items", item);
		return *out ? OK : ERR_NOMEM;
	}
	if (!json_is_object(in))
		return refuse(m, "a shape is a word, a list of one shape, or an object");
	if (json_object_get(in, "=")) {
		*out = json_deep_copy(json_object_get(in, "="));
		return *out ? OK : ERR_NOMEM;
	}
	if (json_object_get(in, "=or"))
		return either(m, json_object_get(in, "=or"), out);
	return object_shape(m, in, out);
}

/* ---- calls ---- */

/* "/a/{id}/b" -> "/a/{}/b", and the names apart. */
static err pattern_of(struct maker *m, const char *path, char pattern[PATH_MAX_LEN], json_t *names)
{
	size_t n = 0;

	for (const char *p = path; *p; p++) {
		if (n + 3 > PATH_MAX_LEN)
			return refuse(m, "the path is too long");
		pattern[n++] = *p;
		if (*p != '{')
			continue;
		size_t len = strcspn(p + 1, "}/");
		if (p[1 + len] != '}' || !len)
			return refuse(m, "a {} without a name");
		json_array_append_new(names, json_stringn(p + 1, len));
		p += len + 1;
		pattern[n++] = '}';
	}
	pattern[n] = 0;
	return OK;
}

static const json_t *words_of(struct maker *m, const struct route *route, const char **key, json_t *names)
{
	const char *k;
	json_t *v;
	char pattern[PATH_MAX_LEN];

	json_object_foreach(m->calls, k, v) {
		const char *path = strchr(k, ' ');
		size_t n = path ? (size_t)(path - k) : 0;
		if (n != strlen(route->method) || strncmp(k, route->method, n) != 0)
			continue;
		json_array_clear(names);
		if (pattern_of(m, path + 1, pattern, names) == OK && strcmp(pattern, route->pattern) == 0) {
			*key = k;
			return v;
		}
	}
	return NULL;
}

static err media(struct maker *m, const char *type, const json_t *in, json_t **out)
{
	json_t *schema;

	TRY(shape(m, in, &schema));
	*out = json_pack("{s:{s:o}}", type, "schema", schema);
	return *out ? OK : ERR_NOMEM;
}

static err add_parameters(struct maker *m, const json_t *call, const json_t *names, json_t *op)
{
	CLEANUP(json_decrefp) json_t *list = json_array();
	const char *key;
	json_t *v, *schema;

	for (size_t i = 0; i < json_array_size(names); i++)
		json_array_append_new(list, json_pack("{s:O, s:s, s:b, s:{s:s}}", "name", json_array_get(names, i), "in", "path", "required",
								 1, "schema", "type", "string"));
	json_object_foreach(json_object_get(call, "query"), key, v) {
		TRY(shape(m, v, &schema));
		json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", key, "in", "query", "schema", schema));
	}
	if (json_array_size(list))
		json_object_set(op, "parameters", list);
	return OK;
}

static err add_body(struct maker *m, const json_t *call, json_t *op)
{
	const json_t *body = json_object_get(call, "body"), *form = json_object_get(call, "form");
	bool hujson = json_is_true(json_object_get(call, "hujson")), optional = json_is_true(json_object_get(call, "bodyOptional"));
	json_t *content;

	if (!body && !form)
		return OK;
	TRY(media(m, form ? "application/x-www-form-urlencoded" : "application/json", form ? form : body, &content));
	if (hujson)
		json_object_set_new(content, "application/hujson", json_pack("{s:{s:s}}", "schema", "type", "string"));
	json_object_set_new(op, "requestBody", json_pack("{s:b, s:o}", "required", !optional, "content", content));
	return OK;
}

static json_t *error_response(const char *words, json_t *content)
{
	return json_pack("{s:s, s:O*}", "description", words, "content", content);
}

static err add_responses(struct maker *m, const json_t *call, const struct route *route, json_t *op)
{
	const json_t *answer = json_object_get(call, "answer"), *error = json_object_get(call, "error");
	const char *type = json_string_value(json_object_get(call, "type"));
	int status = json_is_integer(json_object_get(call, "status")) ? (int)json_integer_value(json_object_get(call, "status")) : 200;
	bool v2 = strncmp(route->pattern, "/api/v2/", 8) == 0, no = route->begin == api_unsupported;
	json_t *responses = json_object();
	CLEANUP(json_decrefp) json_t *nothing = json_object(), *wrong = json_string(v2 ? "ErrorV2" : "Error"), *errors = NULL;
	char code[8];

	json_object_set_new(op, "responses", responses);
	TRY(media(m, "application/json", error ? error : wrong, &errors));
	if (!no) {
		json_t *content = json_object();
		if (answer || !type) {
			json_decref(content);
			TRY(media(m, "application/json", answer ? answer : nothing, &content));
		}
		if (type)
			json_object_set_new(content, type, json_pack("{s:{s:s}}", "schema", "type", "string"));
		snprintf(code, sizeof code, "%d", status);
		json_object_set_new(responses, code, json_pack("{s:s, s:o}", "description", "Done.", "content", content));
	}
	if (no)
		json_object_set_new(responses, "501", error_response("This server has no such function; the message says why.", errors));
	if (route->access == ACCESS_KEY && !v2)
		json_object_set_new(responses, "401", json_pack("{s:s, s:{s:{s:{s:s, s:s}}}}", "description", "No key, or none that is valid.",
									 "content", "text/plain", "schema", "type", "string", "const", "Unauthorized"));
	for (size_t i = 0; i < json_array_size(json_object_get(call, "errors")); i++) {
		snprintf(code, sizeof code, "%d", (int)json_integer_value(json_array_get(json_object_get(call, "errors"), i)));
		json_object_set_new(responses, code, error_response("Refused; the message says why.", errors));
	}
	json_object_set_new(responses, "default", error_response("Refused; the message says why.", errors));
	return OK;
}

/* "GET /api/v1/node/{nodeId}" -> "get_node_nodeId": stable, and each once. */
static json_t *operation_id(const char *key, size_t base_len)
{
	char id[PATH_MAX_LEN];
	const char *path = strchr(key, ' ') + 1;
	size_t n = 0;

	for (const char *p = key; *p != ' '; p++)
		id[n++] = (char)tolower(*p);
	for (const char *p = path + base_len; *p && n < sizeof id - 1; p++)
		if (isalnum(*p))
			id[n++] = *p;
		else if (n && id[n - 1] != '_')
			id[n++] = '_';
	while (n && id[n - 1] == '_')
		n--;
	return json_stringn(id, n);
}

static err add_call(struct maker *m, const char *base, const struct route *route, json_t *paths)
{
	CLEANUP(json_decrefp) json_t *names = json_array(), *op = json_object();
	char method[16], need[64], where[PATH_MAX_LEN];
	const char *key = NULL;

	snprintf(where, sizeof where, "%s %s", route->method, route->pattern);
	m->where = where;
	const json_t *call = words_of(m, route, &key, names);
	if (!call)
		return refuse(m, "no words in server/api/openapi/");
	const char *text = json_string_value(json_object_get(call, "text"));
	if (!text || !*text)
		return refuse(m, "\"text\" is missing");
	json_object_set_new(op, "operationId", operation_id(key, strlen(base)));
	json_object_set_new(op, "summary", json_string(text));
	if (json_object_get(call, "tag"))
		json_object_set_new(op, "tags", json_pack("[O]", json_object_get(call, "tag")));
	TRY(add_parameters(m, call, names, op));
	TRY(add_body(m, call, op));
	TRY(add_responses(m, call, route, op));
	if (route->access == ACCESS_LOCAL)
		json_object_set_new(op, "description", json_string("Answered on the server's unix socket only."));
	if (route->access == ACCESS_KEY) {
		scope_need_text(route->need, need, sizeof need);
		json_object_set_new(op, "security", json_pack("[{s:[]}]", "key"));
		json_object_set_new(op, "x-scope", json_string(route->need == SCOPE_EVERYTHING ? "" : need));
	}
	json_t *item = json_object_get(paths, strchr(key, ' ') + 1);
	if (!item) {
		item = json_object();
		json_object_set_new(paths, strchr(key, ' ') + 1, item);
	}
	for (size_t i = 0; i <= strlen(route->method) && i < sizeof method; i++)
		method[i] = (char)tolower(route->method[i]);
	json_object_set(item, method, op);
	json_object_set_new(m->used, key, json_true()); /* a call has a space: no schema's name */
	return OK;
}

/* Schemas that are referred to, and what those refer to. */
static err add_schemas(struct maker *m, json_t *to)
{
	const char *name;
	json_t *v, *made;
	bool more = true;

	while (more) {
		more = false;
		CLEANUP(json_decrefp) json_t *now = json_copy(m->used);
		json_object_foreach(now, name, v) {
			const json_t *in = json_object_get(m->schemas, name);
			if (!in || json_object_get(to, name))
				continue;
			m->where = name;
			TRY(shape(m, in, &made));
			json_object_set_new(to, name, made);
			more = true;
		}
	}
	return OK;
}

static err read_files(struct maker *m)
{
	for (size_t i = 0; i < openapi_files_n; i++) {
		const struct openapi_file *f = &openapi_files[i];
		CLEANUP(json_decrefp) json_t *j = NULL;
		struct json_error error = { 0 };
		const char *key;
		json_t *v;
		m->where = f->name;
		if (hujson_parse(bytes_of(f->text, f->n), FILE_MAX, DEPTH_MAX, &j, &error) != OK)
			return refuse(m, "line %u, column %u: %s", error.line, error.column, error.text);
		json_object_foreach(json_object_get(j, "schemas"), key, v) {
			if (json_object_get(m->schemas, key))
				return refuse(m, "the schema %s is there twice", key);
			json_object_set(m->schemas, key, v);
		}
		json_object_foreach(json_object_get(j, "calls"), key, v) {
			if (json_object_get(m->calls, key) || !strchr(key, ' '))
				return refuse(m, "%s is there twice, or no call", key);
			json_object_set(m->calls, key, v);
		}
	}
	return OK;
}

static err no_words_left(struct maker *m, const char *base)
{
	size_t n = strlen(base);
	const char *key;
	json_t *v;

	json_object_foreach(m->calls, key, v) {
		const char *path = strchr(key, ' ') + 1;
		m->where = key;
		if (strncmp(path, base, n) == 0 && path[n] == '/' && !json_object_get(m->used, key))
			return refuse(m, "words for a route that is not there");
	}
	return OK;
}

static err make(struct maker *m, const char *base, json_t *doc)
{
	size_t n = strlen(base);
	json_t *paths = json_object_get(doc, "paths"), *schemas = json_object_get(json_object_get(doc, "components"), "schemas");

	TRY(read_files(m));
	for (size_t i = 0; route_at(i); i++) {
		const char *p = route_at(i)->pattern;
		if (strncmp(p, base, n) == 0 && p[n] == '/')
			TRY(add_call(m, base, route_at(i), paths));
	}
	TRY(no_words_left(m, base));
	return add_schemas(m, schemas);
}

err openapi_document(const char *base, json_t **out, char fault[OPENAPI_FAULT_MAX])
{
	CLEANUP(json_decrefp) json_t *schemas = json_object(), *calls = json_object(), *used = json_object();
	struct maker m = { .schemas = schemas, .calls = calls, .used = used, .fault = fault };
	CLEANUP(json_decrefp) json_t *doc = json_pack(
			"{s:s, s:{s:s, s:s, s:{s:s}}, s:{}, s:{s:{s:{s:s, s:s}}, s:{}}}", "openapi", "3.1.0", "info", "title",
			strcmp(base, "/api/v1") == 0 ? "Fairlead: Headscale's API" : strcmp(base, "/api/v2") == 0 ? "Fairlead: Tailscale's API" : "Fairlead",
			"version", fairlead_version, "license", "name", "MIT", "paths", "components", "securitySchemes", "key", "type", "http", "scheme",
			"bearer", "schemas");

	if (!doc || !schemas || !calls || !used)
		return ERR_NOMEM;
	snprintf(fault, OPENAPI_FAULT_MAX, "out of memory");
	TRY(make(&m, base, doc));
	*out = MOVE(doc);
	return OK;
}

/* ---- GET …/openapi.json ---- */

/* Made once: it is the same for all, and nobody needs a key for it. */
static const char *document_text(struct request *r, size_t which)
{
	static const char *const bases[API_OPENAPIS] = { "/api/v1", "/api/v2", "/api/fairlead/v1" };
	char fault[OPENAPI_FAULT_MAX] = "";
	json_auto_t *doc = NULL;
	char **text = &r->api->openapi[which];

	if (!*text && openapi_document(bases[which], &doc, fault) == OK)
		*text = json_dumps(doc, JSON_COMPACT);
	if (!*text)
		log_error("no OpenAPI document", "why=%s", log_qs(fault).s);
	return *text;
}

enum MHD_Result api_openapi(struct request *r)
{
	size_t which = r->v2 ? 1 : strncmp(r->route->pattern, "/api/v1/", 8) == 0 ? 0 : 2;
	const char *text = document_text(r, which);

	if (!text)
		return answer_error(r, 500, "there is no document");
	return answer_response(r, 200, "application/json",
			MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT));
}
