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
