#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

static const struct column columns[] = {
	{ "ID", "id" }, { "NAME", "givenName" }, { "USER", "user.name" }, { "TAGS", "tags" }, { "ADDRESSES", "ipAddresses" },
	{ "OS", "os" }, { "VERSION", "clientVersion" }, { "ONLINE", "online" }, { "APPROVED", "approved" }, { "EXPIRED", "expired" }, { "EXPIRES", "expiry" },
	{ "LAST SEEN", "lastSeen" },
};
static const struct column route_columns[] = {
	{ "ID", "id" }, { "NAME", "givenName" }, { "APPROVED", "approvedRoutes" }, { "AVAILABLE", "availableRoutes" },
	{ "SERVING", "subnetRoutes" },
};

static int print_node(const struct cli *x, json_t *answered)
{
	if (!answered)
		return EXIT_FAILED;
	print_object(x, json_object_get(answered, "node"), columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_nodes_list(struct cli *x)
{
	const char *user = flag_value(x, "user");
	CLEANUP(freep) char *to = target(user ? "/api/v1/node?user=%" : "/api/v1/node", &user, user ? 1 : 0);
	json_t *answered = to ? server_call(x, "GET", to, NULL) : NULL;

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "nodes"), columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

/* Runs pattern with the id of the node that -i, or argument n, names. *to is owned. */
static int node_target(const struct cli *x, const char *pattern, size_t n, const char *second, char **to)
{
	const char *text = flag_value(x, "identifier");
	char id[ID_TEXT_MAX];

	if (!text)
		text = argument(x, n);
	if (!text)
		return usage(x, "which node? Give its name or -i ID");
	int status = find_node_id(x, text, id);
	if (status != EXIT_OK)
		return status;
	const char *parts[] = { id, second };
	*to = target(pattern, parts, second ? 2 : 1);
	return *to ? EXIT_OK : EXIT_FAILED;
}

int run_nodes_routes(struct cli *x)
{
	json_t *answered = server_call(x, "GET", "/api/v1/node", NULL);
	const char *only = flag_or_argument(x, "identifier");
	char id[ID_TEXT_MAX] = "";

	if (!answered)
		return EXIT_FAILED;
	int status = only ? find_node_id(x, only, id) : EXIT_OK;
	json_t *rows = json_array();
	for (size_t i = 0; i < json_array_size(json_object_get(answered, "nodes")); i++) {
		json_t *node = json_array_get(json_object_get(answered, "nodes"), i);
		const char *node_id = json_string_value(json_object_get(node, "id"));
		bool has_routes = json_array_size(json_object_get(node, "availableRoutes")) ||
				  json_array_size(json_object_get(node, "approvedRoutes"));
		if (only ? node_id && strcmp(node_id, id) == 0 : has_routes)
			json_array_append(rows, node);
	}
	if (status == EXIT_OK)
		print_rows(x, rows, route_columns, ARRAY_LEN(route_columns));
	json_decref(rows);
	json_decref(answered);
	return status;
}

int run_nodes_register(struct cli *x)
{
	const char *auth_id = flag_or_argument(x, "auth-id"), *user = flag_value(x, "user");

	if (!auth_id)
		return usage(x, "--auth-id is needed: the page that the device's link shows has it");
	if (!user)
		return usage(x, "--user is needed: the owner of the new node");
	return print_node(x, server_call(x, "POST", "/api/v1/auth/register", json_pack("{s:s, s:s}", "user", user, "authId", auth_id)));
}

int run_nodes_expire(struct cli *x)
{
	CLEANUP(freep) char *to = NULL;
	int status = node_target(x, "/api/v1/node/%/expire", 0, NULL, &to);

	if (status != EXIT_OK)
		return status;
	json_t *body = json_pack("{s:s*}", "expiry", flag_value(x, "expiry"));
	if (flag_given(x, "disable"))
		json_object_set_new(body, "disableExpiry", json_true());
	return print_node(x, server_call(x, "POST", to, body));
}

int run_nodes_rename(struct cli *x)
{
	bool by_flag = flag_given(x, "identifier");
	const char *new_name = argument(x, by_flag ? 0 : 1);
	CLEANUP(freep) char *to = NULL;

	if (!new_name)
		return usage(x, "the new name is needed: fairlead nodes rename NEW -i ID");
	int status = node_target(x, "/api/v1/node/%/rename/%", 0, new_name, &to);
	return status == EXIT_OK ? print_node(x, server_call(x, "POST", to, NULL)) : status;
}

int run_nodes_delete(struct cli *x)
{
	CLEANUP(freep) char *to = NULL;
	int status = node_target(x, "/api/v1/node/%", 0, NULL, &to);

	if (status != EXIT_OK)
		return status;
	if (!confirm(x, "Delete node %s?", flag_or_argument(x, "identifier")))
		return EXIT_FAILED;
	return server_do(x, "DELETE", to, NULL, "Node deleted");
}

int run_nodes_tag(struct cli *x)
{
	CLEANUP(freep) char *to = NULL;

	if (!flag_given(x, "tags"))
		return usage(x, "--tags is needed, such as --tags tag:web,tag:prod");
	int status = node_target(x, "/api/v1/node/%/tags", 0, NULL, &to);
	return status == EXIT_OK ? print_node(x, server_call(x, "POST", to, json_pack("{s:o}", "tags", split_values(x, "tags")))) : status;
}

int run_nodes_approve(struct cli *x)
{
	CLEANUP(freep) char *to = NULL;

	if (!flag_given(x, "routes"))
		return usage(x, "--routes is needed: all routes of the node that are approved, such as 10.0.0.0/24; \"\" for none");
	int status = node_target(x, "/api/v1/node/%/approve_routes", 0, NULL, &to);
	if (status != EXIT_OK)
		return status;
	json_t *answered = server_call(x, "POST", to, json_pack("{s:o}", "routes", split_values(x, "routes")));
	if (!answered)
		return EXIT_FAILED;
	print_object(x, json_object_get(answered, "node"), route_columns, ARRAY_LEN(route_columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_nodes_move(struct cli *x)
{
	const char *user = flag_value(x, "user");
	CLEANUP(freep) char *to = NULL;

	if (!user)
		return usage(x, "--user is needed: the new owner");
	int status = node_target(x, "/api/v1/node/%/user", 0, NULL, &to);
	return status == EXIT_OK ? print_node(x, server_call(x, "POST", to, json_pack("{s:s}", "user", user))) : status;
}

int run_nodes_backfill(struct cli *x)
{
	static const struct column change[] = { { "CHANGE", "change" } };

	if (!confirm(x, "Give every node an address of each family that has a pool?"))
		return EXIT_FAILED;
	json_t *answered = server_call(x, "POST", "/api/v1/node/backfillips?confirmed=true", NULL), *rows = json_array();
	for (size_t i = 0; answered && i < json_array_size(json_object_get(answered, "changes")); i++)
		json_array_append_new(rows, json_pack("{s:O}", "change", json_array_get(json_object_get(answered, "changes"), i)));
	if (answered)
		print_rows(x, rows, change, 1);
	json_decref(rows);
	json_decref(answered);
	return answered ? EXIT_OK : EXIT_FAILED;
}

/* ---- asking the device itself ---- */

static json_t *ask_device(const struct cli *x, size_t n, const char *path, int *status)
{
	CLEANUP(freep) char *to = NULL;

	*status = node_target(x, "/api/fairlead/v1/node/%/c2n", n, NULL, &to);
	if (*status != EXIT_OK)
		return NULL;
	json_t *answered = server_call(x, "POST", to, json_pack("{s:s}", "path", path));
	if (!answered)
		*status = EXIT_FAILED;
	return answered;
}

int run_nodes_ping(struct cli *x)
{
	static const struct column answer_columns[] = { { "STATUS", "status" }, { "MS", "tookMs" } };
	int status;
	json_t *answered = ask_device(x, 0, "/echo", &status);

	if (answered)
		print_object(x, answered, answer_columns, ARRAY_LEN(answer_columns));
	json_decref(answered);
	return status;
}

/* The answer's body, as it came. */
int run_nodes_ask(struct cli *x)
{
	const char *path = argument(x, flag_given(x, "identifier") ? 0 : 1);
	int status;

	if (!path)
		return usage(x, "a path is needed: fairlead nodes ask laptop /posture/identity");
	json_t *answered = ask_device(x, 0, path, &status);
	const json_t *body = json_object_get(answered, "body");
	if (answered && json_is_string(body)) {
		puts(json_string_value(body));
	} else if (answered) {
		CLEANUP(freep) char *text = json_dumps(body, JSON_INDENT(2));
		puts(text ? text : "");
	}
	if (answered && json_integer_value(json_object_get(answered, "status")) >= 400)
		status = EXIT_FAILED;
	json_decref(answered);
	return status;
}

/* ---- approval, address, attributes ---- */

static size_t second(const struct cli *x)
{
	return flag_given(x, "identifier") ? 0 : 1;
}

int run_nodes_approve_device(struct cli *x)
{
	CLEANUP(freep) char *to = NULL;
	int status = node_target(x, "/api/fairlead/v1/node/%/approve", 0, NULL, &to);

	return status == EXIT_OK ? print_node(x, server_call(x, "POST", to, json_pack("{s:b}", "approved", !flag_given(x, "revoke")))) : status;
}

int run_nodes_set_ip(struct cli *x)
{
	const char *text = argument(x, second(x));
	CLEANUP(freep) char *to = NULL;

	if (!text)
		return usage(x, "an address is needed: fairlead nodes set-ip laptop 100.64.7.7");
	int status = node_target(x, "/api/fairlead/v1/node/%/ip", 0, NULL, &to);
	if (status != EXIT_OK)
		return status;
	json_t *list = json_array();
	struct bytes rest = bytes_str(text);
	while (rest.n) {
		struct bytes one = bytes_trim(bytes_cut(rest, ',', &rest));
		json_array_append_new(list, json_stringn((const char *)one.p, one.n));
	}
	return print_node(x, server_call(x, "POST", to, json_pack("{s:o}", "addresses", list)));
}

static int print_attrs(const struct cli *x, json_t *answered)
{
	static const struct column attr_columns[] = { { "NAME", "name" }, { "VALUE", "value" }, { "SET", "setAt" }, { "EXPIRES", "expiry" } };

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "attributes"), attr_columns, ARRAY_LEN(attr_columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_nodes_attrs(struct cli *x)
{
	CLEANUP(freep) char *to = NULL;
	int status = node_target(x, "/api/fairlead/v1/node/%/attributes", 0, NULL, &to);

	return status == EXIT_OK ? print_attrs(x, server_call(x, "GET", to, NULL)) : status;
}

/* "true", "7" and "1.5" are what they look like; everything else is a text. */
static json_t *attr_value(const char *text)
{
	json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);

	if (v && (json_is_number(v) || json_is_boolean(v) || json_is_string(v)))
		return v;
	json_decref(v);
	return json_string(text);
}

int run_nodes_set_attr(struct cli *x)
{
	const char *text = argument(x, second(x)), *life = flag_value(x, "expires"), *equals = text ? strchr(text, '=') : NULL;
	CLEANUP(freep) char *to = NULL;

	if (!equals)
		return usage(x, "NAME=VALUE is needed, such as custom:tier=gold");
	CLEANUP(freep) char *name = strndup(text, (size_t)(equals - text));
	int status = name ? node_target(x, "/api/fairlead/v1/node/%/attributes/%", 0, name, &to) : EXIT_FAILED;
	if (status != EXIT_OK)
		return status;
	json_t *expiry = life ? expiration_from(life) : json_null();
	if (!expiry)
		return usage(x, "--expires must be a time such as 24h or 90d, not '%s'", life);
	return print_attrs(x, server_call(x, "POST", to, json_pack("{s:o, s:o}", "value", attr_value(equals + 1), "expiry", expiry)));
}

int run_nodes_unset_attr(struct cli *x)
{
	const char *name = argument(x, second(x));
	CLEANUP(freep) char *to = NULL;

	if (!name)
		return usage(x, "the attribute's name is needed, such as custom:tier");
	int status = node_target(x, "/api/fairlead/v1/node/%/attributes/%", 0, name, &to);
	return status == EXIT_OK ? print_attrs(x, server_call(x, "DELETE", to, NULL)) : status;
}

/* JSON in any case: it is for eyes and jq. */
int run_nodes_debug(struct cli *x)
{
	CLEANUP(freep) char *to = NULL;
	int status = node_target(x, "/api/fairlead/v1/node/%/debug", 0, NULL, &to);

	if (status != EXIT_OK)
		return status;
	json_t *answered = server_call(x, "GET", to, NULL);
	CLEANUP(freep) char *text = answered ? json_dumps(answered, JSON_INDENT(2)) : NULL;
	if (text)
		puts(text);
	json_decref(answered);
	return text ? EXIT_OK : EXIT_FAILED;
}
