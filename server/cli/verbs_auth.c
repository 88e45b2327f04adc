#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

int run_auth_list(struct cli *x)
{
	static const struct column columns[] = {
		{ "AUTH ID", "authId" }, { "KIND", "kind" }, { "NAME", "hostname" }, { "OS", "os" }, { "TO", "destination" }, { "AS", "localUser" },
		 { "TAGS", "requestTags" }, { "SINCE", "createdAt" },
		{ "EXPIRES", "expiration" },
	};
	json_t *answered = server_call(x, "GET", "/api/fairlead/v1/pending", NULL);

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "pending"), columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_auth_register(struct cli *x)
{
	return run_nodes_register(x);
}

static int decide(struct cli *x, const char *to, const char *done)
{
	const char *auth_id = flag_or_argument(x, "auth-id");

	if (!auth_id)
		return usage(x, "--auth-id is needed");
	return server_do(x, "POST", to, json_pack("{s:s}", "authId", auth_id), done);
}

int run_auth_approve(struct cli *x)
{
	return decide(x, "/api/v1/auth/approve", "Approved");
}

int run_auth_reject(struct cli *x)
{
	return decide(x, "/api/v1/auth/reject", "Rejected");
}
