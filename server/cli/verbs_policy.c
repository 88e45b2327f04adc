#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

int run_policy_get(struct cli *x)
{
	static const struct column columns[] = { { "POLICY", "policy" }, { "UPDATED", "updatedAt" } };
	json_t *answered = server_call(x, "GET", "/api/v1/policy", NULL);

	if (!answered)
		return EXIT_FAILED;
	const char *text = json_string_value(json_object_get(answered, "policy"));
	if (x->output == OUTPUT_TABLE)
		puts(text ? text : ""); /* as it was set, comments included */
	else
		print_object(x, answered, columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

static int send_file(struct cli *x, const char *method, const char *to, const char *done)
{
	const char *path = flag_or_argument(x, "file");

	if (!path)
		return usage(x, "which file? Give -f FILE, or -f - for stdin");
	CLEANUP(freep) char *text = read_whole(x, path);
	return text ? server_do(x, method, to, json_pack("{s:s}", "policy", text), done) : EXIT_FAILED;
}

int run_policy_set(struct cli *x)
{
	return send_file(x, "PUT", "/api/v1/policy", "Policy set");
}

int run_policy_check(struct cli *x)
{
	return send_file(x, "POST", "/api/v1/policy/check", "Policy is valid");
}
