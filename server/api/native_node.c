#include "common/text/json.h"
#include "server/api/handlers.h"
#include "server/api/render.h"

static struct command *command_for_node(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->id = parse_id(r, r->param[0], "node id");
	return c;
}

/* The device's own answer: JSON as such, anything else as a text. */
static enum MHD_Result on_c2n(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	json_t *v = NULL;
	bool is_json = json_parse(bytes_str(reply->text), 16 << 20, 64, &v, NULL) == OK;
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "status"), jsonw_uint(&w, reply->status);
	jsonw_key(&w, "tookMs"), jsonw_int(&w, reply->took_ms);
	jsonw_key(&w, "body");
	if (is_json)
		jsonw_raw(&w, bytes_str(reply->text));
	else
		jsonw_str(&w, reply->text);
	json_decref(v);
	return answer_end(r, &w, &out);
}

/* {path, timeoutMs?} */
enum MHD_Result api_native_node_c2n(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_C2N);
	const char *path = body_text(r, "path");
	const json_t *body = body_object(r);
	json_int_t ms = body ? json_integer_value(json_object_get(body, "timeoutMs")) : 0;

	if (!path && !r->fault)
		r->fault = "path: a text is needed, such as /echo";
	if ((ms < 0 || ms > 60000) && !r->fault)
		r->fault = "timeoutMs: at most 60000";
	if (c) {
		c->text = command_str(c, path);
		c->at_ms = ms;
	}
	return ask(r, c, on_c2n);
}

/* ---- approval, address ---- */

/* {approved?}: false makes it wait again. */
enum MHD_Result api_native_node_approve(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_APPROVE);
	const json_t *body = body_object(r);
	const json_t *approved = body ? json_object_get(body, "approved") : NULL;

	if (c)
		c->disable = json_is_false(approved);
	return ask(r, c, on_node);
}

/* {addresses: ["100.64.0.9"]}: one of each family at most; the other family's stays, or follows. */
enum MHD_Result api_native_node_ip(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_SET_IP);
	bool given;
	size_t n;
	const char **texts = body_texts(r, "addresses", &n, &given);
	struct addr *list = c ? arena_array(&c->arena, n + 1, sizeof *list) : NULL;

	if (!given && !r->fault)
		r->fault = "addresses: a list is needed";
	for (size_t i = 0; list && i < n && !r->fault; i++)
		if (addr_parse(bytes_str(texts[i]), &list[i]) != OK)
			r->fault = "addresses: not an address such as 100.64.0.9";
	if (c) {
		c->addrs = list;
		c->n_addrs = list ? n : 0;
	}
	return ask(r, c, on_node);
}

/* ---- attributes ---- */

static void render_attr(struct jsonw *w, const struct custom_attr *a)
{
	jsonw_obj(w);
	jsonw_key(w, "name"), jsonw_str(w, a->name);
	jsonw_key(w, "value");
	if (a->type == 's')
		jsonw_str(w, a->value);
	else
		jsonw_raw(w, bytes_str(a->value));
	jsonw_key(w, "setAt"), render_time(w, a->set_ms);
	jsonw_key(w, "expiry"), render_time(w, a->expires_ms);
	jsonw_obj_end(w);
}

static enum MHD_Result on_attrs(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "attributes"), jsonw_arr(&w);
	for (size_t i = 0; reply->n_nodes && i < reply->nodes[0]->row.n_attrs; i++)
		render_attr(&w, &reply->nodes[0]->row.attrs[i]);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_native_node_attrs(struct request *r)
{
	return ask(r, command_for_node(r, CMD_NODE_GET), on_attrs);
}

/* {value, expiry?} */
enum MHD_Result api_native_node_attr_set(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_ATTR_SET);
	const json_t *body = body_object(r);
	const json_t *v = body ? json_object_get(body, "value") : NULL;
	size_t n;

	if (!v && !r->fault)
		r->fault = "value: is needed";
	if (c) {
		c->name = command_str(c, r->param[1]);
		c->text = v ? json_dump_compact(&c->arena, v, &n) : "";
		c->expires_ms = body_time(r, "expiry", 0);
	}
	return ask(r, c, on_attrs);
}

enum MHD_Result api_native_node_attr_delete(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_ATTR_DELETE);

	if (c)
		c->name = command_str(c, r->param[1]);
	return ask(r, c, on_attrs);
}

/* ---- why does it see what it sees? ---- */

static enum MHD_Result on_debug(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_text(r, 200, "application/json", reply->text);
}

enum MHD_Result api_native_node_debug(struct request *r)
{
	return ask(r, command_for_node(r, CMD_NODE_DEBUG), on_debug);
}
