#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

static const struct column columns[] = {
	{ "ID", "id" }, { "PREFIX", "prefix" }, { "SCOPES", "scopes" }, { "TAGS", "tags" }, { "DESCRIPTION", "description" }, { "STATE", "state" },
};

/* The secret alone, for scripts; other forms have the whole answer. */
int run_oauth_create(struct cli *x)
{
	json_t *scopes = split_values(x, "scopes");

	if (!json_array_size(scopes)) {
		json_decref(scopes);
		return usage(x, "--scopes must say what the client's tokens may do, such as devices:core,dns:read");
	}
	json_t *answered = server_call(x, "POST", "/api/fairlead/v1/keys/oauth", json_pack("{s:o, s:o, s:s*}", "scopes", scopes, "tags",
			split_values(x, "tags"), "description", flag_value(x, "description")));
	if (!answered)
		return EXIT_FAILED;
	if (x->output == OUTPUT_TABLE)
		print_word(x, "secret", json_string_value(json_object_get(answered, "secret")));
	else
		print_object(x, answered, NULL, 0);
	json_decref(answered);
	return EXIT_OK;
}

int run_oauth_list(struct cli *x)
{
	json_t *answered = server_call(x, "GET", "/api/fairlead/v1/keys", NULL);

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "oauth"), columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_oauth_delete(struct cli *x)
{
	const char *id[] = { flag_value(x, "identifier") };

	if (!id[0])
		return usage(x, "which client? Give -i ID, as `fairlead oauth-clients list` lists it");
	if (!confirm(x, "End OAuth client %s and its tokens?", id[0]))
		return EXIT_FAILED;
	CLEANUP(freep) char *to = target("/api/fairlead/v1/keys/oauth/%", id, 1);
	return to ? server_do(x, "DELETE", to, NULL, "OAuth client ended") : EXIT_FAILED;
}
