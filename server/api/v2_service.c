#include <string.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "server/api/v2.h"

/* Services as Tailscale writes them, under both of their paths (vip-services and services). The core answers its own JSON. */

enum { SERVICE_ADDRS_MAX = 2 };

static json_t *services_of(const struct reply *reply)
{
	return json_loads(reply->text ? reply->text : "{}", 0, NULL);
}

static void put_member(struct jsonw *w, struct request *r, const json_t *s, const char *name)
{
	size_t n;
	const char *text = json_dump_compact(&r->arena, json_object_get(s, name), &n);

	jsonw_key_bytes(w, bytes_str(name)), jsonw_raw(w, text ? bytes_of(text, n) : BYTES_LIT("null"));
}

static void render(struct jsonw *w, struct request *r, const json_t *s)
{
	static const char *const members[] = { "name", "addrs", "comment", "annotations", "ports", "tags" };

	jsonw_obj(w);
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		put_member(w, r, s, members[i]);
	jsonw_obj_end(w);
}

static enum MHD_Result on_services(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	json_auto_t *all = services_of(reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	json_t *s;
	size_t i;

	jsonw_key(&w, "vipServices"), jsonw_arr(&w);
	json_array_foreach(json_object_get(all, "services"), i, s)
		render(&w, r, s);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_v2_services(struct request *r)
{
	return ask(r, command_for(r, CMD_SERVICE_LIST), on_services);
}

static enum MHD_Result on_service(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	json_auto_t *all = services_of(reply);
	const json_t *s = json_array_get(json_object_get(all, "services"), 0);
	struct buf out = buf_make(API_ANSWER_MAX);
	struct jsonw w = jsonw_init(&out);

	if (!s)
		return answer_error(r, 404, "service not found");
	render(&w, r, s);
	return answer_json(r, 200, &out);
}

static struct command *for_service(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->name = command_str(c, r->param[1]);
	return c;
}

enum MHD_Result api_v2_service(struct request *r)
{
	return ask(r, for_service(r, CMD_SERVICE_LIST), on_service);
}

enum MHD_Result api_v2_service_delete(struct request *r)
{
	return ask(r, for_service(r, CMD_SERVICE_DELETE), on_done);
}

static void fill_addresses(struct request *r, struct command *c)
{
	bool given;
	size_t n;
	const char **texts = body_texts(r, "addrs", &n, &given);
	struct addr *list = arena_array(&c->arena, SERVICE_ADDRS_MAX, sizeof *list);

	if (n > SERVICE_ADDRS_MAX && !r->fault)
		r->fault = "addrs: an IPv4 and an IPv6 address at most";
	for (size_t i = 0; list && i < n && !r->fault; i++)
		if (addr_parse(bytes_str(texts[i]), &list[i]) != OK)
			r->fault = "addrs: not an address such as 100.64.0.9";
	c->addrs = list;
	c->n_addrs = list && !r->fault ? n : 0;
}

/* {name?, addrs?, comment?, annotations?, ports?, tags?} */
enum MHD_Result api_v2_service_set(struct request *r)
{
	struct command *c = for_service(r, CMD_SERVICE_SET);
	const json_t *body = body_object(r), *annotations = body ? json_object_get(body, "annotations") : NULL;
	const char *name = body_text(r, "name"), *comment = body_text(r, "comment");
	bool given;
	size_t n;

	if (name && *name && strcmp(name, r->param[1]) != 0 && !r->fault)
		r->fault = "name: a service keeps its name; make another one and delete this";
	if (c && !r->fault) {
		c->note = command_str(c, comment ? comment : "");
		if (annotations && !json_is_null(annotations))
			c->text = json_dump_compact(&c->arena, annotations, &n);
		fill_addresses(r, c);
		const char **list = body_texts(r, "ports", &n, &given);
		c->ports = v2_copy_texts(r, c, list, n);
		c->n_ports = c->ports ? n : 0;
		list = body_texts(r, "tags", &n, &given);
		c->tags = v2_copy_texts(r, c, list, n);
		c->n_tags = c->tags ? n : 0;
	}
	return ask(r, c, on_service);
}

/* ---- who serves it ---- */

static enum MHD_Result on_hosts(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	json_auto_t *all = services_of(reply);
	const json_t *s = json_array_get(json_object_get(all, "services"), 0);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	json_t *h;
	size_t i;

	jsonw_key(&w, "hosts"), jsonw_arr(&w);
	json_array_foreach(json_object_get(s, "hosts"), i, h) {
		jsonw_obj(&w);
		jsonw_key(&w, "stableNodeID"), render_id(&w, json_integer_value(json_object_get(h, "id")));
		jsonw_key(&w, "approvalLevel"), jsonw_str(&w, json_string_value(json_object_get(h, "approval")));
		jsonw_key(&w, "configured"), jsonw_str(&w, json_is_true(json_object_get(h, "advertised")) ? "ready" : "none");
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_v2_service_hosts(struct request *r)
{
	return ask(r, for_service(r, CMD_SERVICE_LIST), on_hosts);
}

static int64_t host_id(const struct request *r)
{
	uint64_t id = 0;

	return bytes_parse_u64(bytes_str(r->param[2]), INT64_MAX, &id) == OK && id ? (int64_t)id : INT64_MAX;
}

static enum MHD_Result on_approval(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	json_auto_t *all = services_of(reply);
	const json_t *s = json_array_get(json_object_get(all, "services"), 0);
	const char *level = "not-approved";
	bool named = strcmp(r->route->method, "POST") == 0; /* then the core knows the node */
	struct buf out;
	json_t *h;
	size_t i;

	json_array_foreach(json_object_get(s, "hosts"), i, h)
		if (json_integer_value(json_object_get(h, "id")) == host_id(r)) {
			level = json_string_value(json_object_get(h, "approval"));
			named = true;
		}
	if (!named)
		return answer_error(r, 404, "this device neither serves the service nor is it approved to");
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "approved"), jsonw_bool(&w, strcmp(level, "not-approved") != 0);
	jsonw_key(&w, "autoApproved"), jsonw_bool(&w, strcmp(level, "approved:auto") == 0);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_v2_service_approval(struct request *r)
{
	return ask(r, for_service(r, CMD_SERVICE_LIST), on_approval);
}

/* {approved}. Approving needs the right to devices, too. */
enum MHD_Result api_v2_service_approve(struct request *r)
{
	enum MHD_Result refused;

	if (!may_else_refuse(r, SCOPE_WRITE(SCOPE_SERVICES), &refused) || !may_else_refuse(r, SCOPE_WRITE(SCOPE_DEVICES_CORE), &refused))
		return refused;
	const json_t *body = body_object(r), *approved = body ? json_object_get(body, "approved") : NULL;
	struct command *c = for_service(r, CMD_SERVICE_APPROVE);

	if (!json_is_boolean(approved) && !r->fault)
		r->fault = "approved: true or false is needed";
	if (c) {
		c->id = host_id(r);
		c->disable = json_is_false(approved);
	}
	return ask(r, c, on_approval);
}
