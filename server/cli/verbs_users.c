#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

static const struct column columns[] = {
	{ "ID", "id" }, { "NAME", "name" }, { "DISPLAY NAME", "displayName" }, { "EMAIL", "email" }, { "PROVIDER", "provider" }, { "ROLE", "role" }, { "STATUS", "status" },
	{ "CREATED", "createdAt" },
};

static int print_user(const struct cli *x, json_t *answered)
{
	if (!answered)
		return EXIT_FAILED;
	print_object(x, json_object_get(answered, "user"), columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_users_create(struct cli *x)
{
	if (!argument(x, 0))
		return usage(x, "the new user's NAME is needed");
	return print_user(x, server_call(x, "POST", "/api/v1/user", json_pack("{s:s, s:s*, s:s*, s:s*}", "name", argument(x, 0),
		"displayName", flag_value(x, "display-name"), "email", flag_value(x, "email"), "pictureUrl", flag_value(x, "picture-url"))));
}

int run_users_list(struct cli *x)
{
	const char *filter[] = { flag_value(x, "name"), flag_value(x, "email"), flag_value(x, "identifier") };
	static const char *const patterns[] = { "/api/v1/user?name=%", "/api/v1/user?email=%", "/api/v1/user?id=%" };
	CLEANUP(freep) char *to = NULL;

	for (size_t i = 0; i < ARRAY_LEN(filter) && !to; i++) {
		if (filter[i])
			to = target(patterns[i], &filter[i], 1);
	}
	json_t *answered = server_call(x, "GET", to ? to : "/api/v1/user", NULL);
	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "users"), columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

/* -i ID, -n NAME, or the first argument. */
static int named_user(const struct cli *x, char id[ID_TEXT_MAX])
{
	const char *text = flag_value(x, "identifier");

	if (!text)
		text = flag_or_argument(x, "name");
	return text ? find_user_id(x, text, id) : usage(x, "which user? Give a name or -i ID");
}

int run_users_rename(struct cli *x)
{
	const char *new_name = flag_value(x, "new-name");
	char id[ID_TEXT_MAX];

	if (!new_name) /* the last argument: `rename OLD NEW`, `rename -i 3 NEW` */
		new_name = argument(x, flag_given(x, "identifier") || flag_given(x, "name") ? 0 : 1);
	if (!new_name)
		return usage(x, "the new name is needed");
	int status = named_user(x, id);
	if (status != EXIT_OK)
		return status;
	const char *parts[] = { id, new_name };
	CLEANUP(freep) char *to = target("/api/v1/user/%/rename/%", parts, ARRAY_LEN(parts));
	return to ? print_user(x, server_call(x, "POST", to, NULL)) : EXIT_FAILED;
}

int run_users_destroy(struct cli *x)
{
	char id[ID_TEXT_MAX];
	int status = named_user(x, id);

	if (status != EXIT_OK)
		return status;
	if (!confirm(x, "Delete user %s and its auth keys?", id))
		return EXIT_FAILED;
	const char *parts[] = { id };
	CLEANUP(freep) char *to = target("/api/v1/user/%", parts, 1);
	return to ? server_do(x, "DELETE", to, NULL, "User deleted") : EXIT_FAILED;
}

/* The role is the last argument: `role NAME ROLE`, `role -i 3 ROLE`. */
int run_users_role(struct cli *x)
{
	const char *role = argument(x, flag_given(x, "identifier") || flag_given(x, "name") ? 0 : 1);
	char id[ID_TEXT_MAX];

	if (!role)
		return usage(x, "the role is needed: owner, admin, network-admin, it-admin, auditor, billing-admin or member");
	int status = named_user(x, id);
	if (status != EXIT_OK)
		return status;
	const char *parts[] = { id };
	CLEANUP(freep) char *to = target("/api/fairlead/v1/user/%/role", parts, ARRAY_LEN(parts));
	return to ? print_user(x, server_call(x, "POST", to, json_pack("{s:s}", "role", role))) : EXIT_FAILED;
}

static int for_user(const struct cli *x, const char *pattern)
{
	char id[ID_TEXT_MAX];
	int status = named_user(x, id);

	if (status != EXIT_OK)
		return status;
	const char *parts[] = { id };
	CLEANUP(freep) char *to = target(pattern, parts, ARRAY_LEN(parts));
	return to ? print_user(x, server_call(x, "POST", to, NULL)) : EXIT_FAILED;
}

int run_users_suspend(struct cli *x)
{
	return for_user(x, "/api/fairlead/v1/user/%/suspend");
}

int run_users_restore(struct cli *x)
{
	return for_user(x, "/api/fairlead/v1/user/%/restore");
}

int run_users_approve(struct cli *x)
{
	return for_user(x, "/api/fairlead/v1/user/%/approve");
}
