#include "common/base/cleanup.h"
#include "server/api/handlers.h"
#include "server/api/render.h"

enum { LEGACY_ROUTES_MAX = 2 * NODE_ROUTES_MAX };

static void write_routes(struct jsonw *w, const struct node_info *n, struct legacy_route list[LEGACY_ROUTES_MAX])
{
	size_t count = legacy_routes(n, list, LEGACY_ROUTES_MAX);

	for (size_t i = 0; i < count; i++)
		render_legacy_route(w, n, i, &list[i]);
}

static enum MHD_Result on_routes(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct legacy_route *list = arena_array(&r->arena, LEGACY_ROUTES_MAX, sizeof *list); /* one after the other in it */
	if (!list)
		return answer_error(r, 500, "out of memory");
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "routes"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_nodes; i++)
		write_routes(&w, reply->nodes[i], list);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_routes_list(struct request *r)
{
	return ask(r, command_for(r, CMD_NODE_LIST), on_routes);
}

enum MHD_Result api_routes_of_node(struct request *r)
{
	struct command *c = command_for(r, CMD_NODE_GET);

	if (c)
		c->id = parse_id(r, r->param[0], "node id");
	return ask(r, c, on_routes);
}

struct wanted {
	size_t index;
	bool enabled;
};

/* The node is known now, and which route is meant; the core puts it in, or takes it out. */
static enum MHD_Result on_node_of_route(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	const struct wanted *want = r->keep;
	const struct node_info *n = reply->n_nodes ? reply->nodes[0] : NULL;
	struct legacy_route *list = arena_array(&r->arena, LEGACY_ROUTES_MAX, sizeof *list);
	size_t count = n && list ? legacy_routes(n, list, LEGACY_ROUTES_MAX) : 0;
	struct command *c = command_for(r, CMD_NODE_APPROVE_ROUTES);
	struct prefix *one = c ? arena_alloc(&c->arena, sizeof *one) : NULL;

	if (!one || want->index >= count) {
		command_free(c);
		return answer_error(r, 404, "route not found");
	}
	*one = list[want->index].prefix;
	c->routes = one;
	c->n_routes = 1;
	c->how = want->enabled ? ROUTES_ADD : ROUTES_DROP;
	c->id = n->row.id;
	return ask(r, c, on_done);
}

static enum MHD_Result change_route(struct request *r, bool enabled)
{
	struct command *c = command_for(r, CMD_NODE_GET);
	struct wanted *want = arena_alloc(&r->arena, sizeof *want);
	int64_t id = parse_id(r, r->param[0], "route id");

	if (c && want) {
		c->id = id / 65536;
		*want = (struct wanted){ .index = (size_t)(id % 65536), .enabled = enabled };
		r->keep = want;
	}
	return ask(r, c, on_node_of_route);
}

enum MHD_Result api_routes_enable(struct request *r)
{
	return change_route(r, true);
}

enum MHD_Result api_routes_disable(struct request *r)
{
	return change_route(r, false);
}
