#include <string.h>

#include "server/api/handlers.h"
#include "server/api/render.h"

enum MHD_Result on_node(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "node");
	if (reply->n_nodes)
		render_node(&w, reply->nodes[0]);
	else
		jsonw_null(&w);
	return answer_end(r, &w, &out);
}

static enum MHD_Result on_nodes(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "nodes"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_nodes; i++)
		render_node(&w, reply->nodes[i]);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

static struct command *command_for_node(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->id = parse_id(r, r->param[0], "node id");
	return c;
}

enum MHD_Result api_node_list(struct request *r)
{
	struct command *c = command_for(r, CMD_NODE_LIST);

	if (c)
		c->user = command_str(c, query(r, "user"));
	return ask(r, c, on_nodes);
}

enum MHD_Result api_node_get(struct request *r)
{
	return ask(r, command_for_node(r, CMD_NODE_GET), on_node);
}

enum MHD_Result api_node_delete(struct request *r)
{
	return ask(r, command_for_node(r, CMD_NODE_DELETE), on_done);
}

/* {expiry?, disableExpiry?}; neither: now. */
enum MHD_Result api_node_expire(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_EXPIRE);
	const char *expiry = body_text(r, "expiry");

	if (c) {
		c->disable = body_bool(r, "disableExpiry");
		c->at_ms = body_time(r, "expiry", 0);
	}
	if (expiry && expiry[0] && c && c->disable) {
		command_free(c);
		return answer_error(r, 400, "expiry and disableExpiry exclude each other");
	}
	return ask(r, c, on_node);
}

enum MHD_Result api_node_rename(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_RENAME);

	if (c)
		c->new_name = command_str(c, r->param[1]);
	return ask(r, c, on_node);
}

static const char *const *copy_texts(struct request *r, struct command *c, const char **from, size_t n)
{
	const char **list = arena_array(&c->arena, n ? n : 1, sizeof *list);

	for (size_t i = 0; list && i < n; i++) {
		list[i] = command_str(c, from[i]);
		if (!list[i])
			list = NULL;
	}
	if (!list)
		r->fault = "the list is too long";
	return list;
}

enum MHD_Result api_node_tags(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_TAGS);
	bool given;
	size_t n;
	const char **tags = body_texts(r, "tags", &n, &given);

	if (!given && !r->fault)
		r->fault = "tags: a list of texts is needed";
	if (c && !r->fault) {
		c->tags = copy_texts(r, c, tags, n);
		c->n_tags = n;
	}
	return ask(r, c, on_node);
}

/* The whole list; none, null and [] approve nothing any more. */
enum MHD_Result api_node_approve(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_APPROVE_ROUTES);
	bool given;
	size_t n;
	const char **routes = body_texts(r, "routes", &n, &given);
	struct prefix *list = c ? arena_array(&c->arena, n ? n : 1, sizeof *list) : NULL;

	(void)given; /* generated clients leave an empty list out */
	for (size_t i = 0; list && i < n && !r->fault; i++) {
		if (prefix_parse(bytes_str(routes[i]), &list[i]) != OK)
			r->fault = "routes: not a prefix such as 10.0.0.0/24";
	}
	if (c) {
		c->routes = list;
		c->n_routes = list ? n : 0;
	}
	return ask(r, c, on_node);
}

enum MHD_Result api_node_move(struct request *r)
{
	struct command *c = command_for_node(r, CMD_NODE_MOVE);
	const char *user = body_id(r, "user");

	if (!user)
		user = query(r, "user");
	if (!user[0] && !r->fault)
		r->fault = "user: a name or id is needed";
	if (c)
		c->user = command_str(c, user);
	return ask(r, c, on_node);
}

/* Old tools send user and key in the query, others in the body. */
enum MHD_Result api_node_register(struct request *r)
{
	struct command *c = command_for(r, CMD_AUTH_REGISTER);
	const char *user = query(r, "user"), *key = query(r, "key");

	if (!user[0])
		user = body_id(r, "user");
	if (!key[0])
		key = body_text(r, "key");
	if (c) {
		c->user = command_str(c, user);
		c->auth_id = command_str(c, auth_id_from(r, key));
	}
	return ask(r, c, on_node);
}

static enum MHD_Result on_backfilled(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "changes"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_lines; i++)
		jsonw_str(&w, reply->lines[i]);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_node_backfill(struct request *r)
{
	if (strcmp(query(r, "confirmed"), "true") != 0 && !body_bool(r, "confirmed"))
		return answer_error(r, 400, r->fault ? r->fault : "confirmed=true is needed: nodes will get further addresses");
	return ask(r, command_for(r, CMD_NODE_BACKFILL_IPS), on_backfilled);
}
