#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

static const struct column columns[] = {
	{ "NAME", "name" }, { "ADDRESSES", "addrs" }, { "PORTS", "ports" }, { "TAGS", "tags" }, { "COMMENT", "comment" },
};
static const struct column host_columns[] = {
	{ "NODE", "id" }, { "NAME", "name" }, { "ADVERTISED", "advertised" }, { "APPROVAL", "approval" }, { "SERVING", "serving" },
};

static int print_services(const struct cli *x, json_t *answered)
{
	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "services"), columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

/* "web" is svc:web. Owned; NULL: out of memory. */
static char *service_target(const char *pattern, const char *name)
{
	char whole[128];

	snprintf(whole, sizeof whole, "%s%s", strncmp(name, "svc:", 4) == 0 ? "" : "svc:", name);
	const char *const parts[] = { whole };
	return target(pattern, parts, 1);
}

int run_services_list(struct cli *x)
{
	return print_services(x, server_call(x, "GET", "/api/fairlead/v1/services", NULL));
}

int run_services_hosts(struct cli *x)
{
	const char *name = argument(x, 0);

	if (!name)
		return usage(x, "the service is needed: svc:web");
	CLEANUP(freep) char *to = service_target("/api/fairlead/v1/services/%", name);
	json_t *answered = to ? server_call(x, "GET", to, NULL) : NULL;
	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(json_array_get(json_object_get(answered, "services"), 0), "hosts"), host_columns, ARRAY_LEN(host_columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_services_set(struct cli *x)
{
	const char *name = argument(x, 0);

	if (!name)
		return usage(x, "the service is needed: svc:web");
	CLEANUP(freep) char *to = service_target("/api/fairlead/v1/services/%", name);
	json_t *body = json_pack("{s:s,s:o,s:o}", "comment", flag_given(x, "comment") ? flag_value(x, "comment") : "", "ports",
			split_values(x, "ports"), "tags", split_values(x, "tags"));
	return to ? print_services(x, server_call(x, "PUT", to, body)) : EXIT_FAILED;
}

int run_services_delete(struct cli *x)
{
	const char *name = argument(x, 0);

	if (!name)
		return usage(x, "the service is needed: svc:web");
	CLEANUP(freep) char *to = service_target("/api/fairlead/v1/services/%", name);
	if (!to || !confirm(x, "Delete service %s?", name))
		return EXIT_FAILED;
	return server_do(x, "DELETE", to, NULL, "Deleted");
}

static int decide(struct cli *x, bool approved, const char *done)
{
	const char *name = argument(x, 0), *node = argument(x, 1);
	char id[ID_TEXT_MAX];

	if (!name || !node)
		return usage(x, "the service and the node are needed: svc:web 12");
	int status = find_node_id(x, node, id);
	if (status != EXIT_OK)
		return status;
	CLEANUP(freep) char *to = service_target("/api/fairlead/v1/services/%/approve", name);
	return to ? server_do(x, "POST", to, json_pack("{s:s,s:b}", "node", id, "approved", approved), done) : EXIT_FAILED;
}

int run_services_approve(struct cli *x)
{
	return decide(x, true, "Approved");
}

int run_services_reject(struct cli *x)
{
	return decide(x, false, "No more approved");
}
