#include "server/api/console.h"

/* What one does to a machine. Each is one command of the core and answers {"machine": …}. */

static struct command *act(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->id = parse_id(r, r->param[0], "machine");
	return c;
}

static const char *const *copy_texts(struct command *c, const char **from, size_t n)
{
	const char **list = arena_array(&c->arena, n + 1, sizeof *list);

	for (size_t i = 0; list && i < n; i++)
		list[i] = command_str(c, from[i]);
	return list;
}

/* {"approved": true} */
enum MHD_Result console_machine_approve(struct request *r)
{
	struct command *c = act(r, CMD_NODE_APPROVE);
	const json_t *body = body_object(r);

	if (c)
		c->disable = json_is_false(body ? json_object_get(body, "approved") : NULL);
	return ask(r, c, console_on_machine);
}

/* {"name": "x"}; "": by its host's name again */
enum MHD_Result console_machine_rename(struct request *r)
{
	struct command *c = act(r, CMD_NODE_RENAME);
	const char *name = body_text(r, "name");

	if (!name && !r->fault)
		r->fault = "name: a text is needed";
	if (c && name) {
		c->new_name = command_str(c, name);
		c->automatic = !name[0];
	}
	return ask(r, c, console_on_machine);
}

/* {"tags": ["tag:x"]} */
enum MHD_Result console_machine_tags(struct request *r)
{
	struct command *c = act(r, CMD_NODE_TAGS);
	bool given;
	size_t n;
	const char **tags = body_texts(r, "tags", &n, &given);

	if (!given && !r->fault)
		r->fault = "tags: a list of texts is needed";
	if (c && tags) {
		c->tags = copy_texts(c, tags, n);
		c->n_tags = c->tags ? n : 0;
	}
	return ask(r, c, console_on_machine);
}

/* {"approved": ["10.0.0.0/24"]}: all of them */
enum MHD_Result console_machine_routes(struct request *r)
{
	struct command *c = act(r, CMD_NODE_APPROVE_ROUTES);
	bool given;
	size_t n;
	const char **texts = body_texts(r, "approved", &n, &given);
	struct prefix *list = c ? arena_array(&c->arena, n + 1, sizeof *list) : NULL;

	if (!given && !r->fault)
		r->fault = "approved: a list of routes is needed";
	for (size_t i = 0; list && texts && i < n && !r->fault; i++)
		if (prefix_parse(bytes_str(texts[i]), &list[i]) != OK)
			r->fault = arena_printf(&r->arena, "\"%.60s\" is not a route such as 10.0.0.0/24", texts[i]);
	if (c && list) {
		c->routes = list;
		c->n_routes = n;
	}
	return ask(r, c, console_on_machine);
}

/* {"off": true}: it never ends; {"off": false}: as before; {"at": time} */
enum MHD_Result console_machine_expiry(struct request *r)
{
	const json_t *body = body_object(r), *off = body ? json_object_get(body, "off") : NULL;
	int64_t at_ms = body_time(r, "at", 0);

	if (!r->fault && !json_is_boolean(off) && !at_ms)
		r->fault = "off: true or false is needed, or at: a time";
	struct command *c = act(r, json_is_false(off) && !at_ms ? CMD_NODE_ENABLE_EXPIRY : CMD_NODE_EXPIRE);
	if (c) {
		c->disable = json_is_true(off);
		c->at_ms = at_ms;
	}
	return ask(r, c, console_on_machine);
}

enum MHD_Result console_machine_sign_out(struct request *r)
{
	return ask(r, act(r, CMD_NODE_EXPIRE), console_on_machine);
}

/* {"user": "3"} */
enum MHD_Result console_machine_owner(struct request *r)
{
	struct command *c = act(r, CMD_NODE_MOVE);
	const char *user = body_id(r, "user");

	if (!user && !r->fault)
		r->fault = "user: an id or a name is needed";
	if (c)
		c->user = command_str(c, user);
	return ask(r, c, console_on_machine);
}

/* {"addresses": ["100.64.0.9"]} */
enum MHD_Result console_machine_address(struct request *r)
{
	struct command *c = act(r, CMD_NODE_SET_IP);
	bool given;
	size_t n;
	const char **texts = body_texts(r, "addresses", &n, &given);
	struct addr *list = c ? arena_array(&c->arena, n + 1, sizeof *list) : NULL;

	if (!given && !r->fault)
		r->fault = "addresses: a list is needed";
	for (size_t i = 0; list && texts && i < n && !r->fault; i++)
		if (addr_parse(bytes_str(texts[i]), &list[i]) != OK)
			r->fault = arena_printf(&r->arena, "\"%.60s\" is not an address such as 100.64.0.9", texts[i]);
	if (c && list) {
		c->addrs = list;
		c->n_addrs = n;
	}
	return ask(r, c, console_on_machine);
}

static enum MHD_Result on_gone(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_empty(r);
}

enum MHD_Result console_machine_delete(struct request *r)
{
	return ask(r, act(r, CMD_NODE_DELETE), on_gone);
}
