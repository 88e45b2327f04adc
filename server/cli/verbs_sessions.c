#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

static const struct column identity_columns[] = {
	{ "ID", "id" }, { "USER", "userId" }, { "LOGIN", "login" }, { "PROVIDER", "provider" }, { "ISSUER", "issuer" },
	{ "SUBJECT", "subject" }, { "LAST LOGIN", "lastLogin" }, { "GONE", "goneAt" },
};
static const struct column session_columns[] = {
	{ "ID", "id" }, { "USER", "user" }, { "KIND", "kind" }, { "BY", "by" }, { "FROM", "remote" }, { "BROWSER", "agent" },
	{ "SIGNED IN", "signedInAt" }, { "EXPIRES", "expiresAt" },
};

static const struct column passkey_columns[] = {
	{ "ID", "id" }, { "USER", "user" }, { "NAME", "name" }, { "SYNCED", "synced" }, { "CREATED", "createdAt" }, { "LAST USED", "lastUsed" },
};

static int list(struct cli *x, const char *all, const char *of_user, const char *member, const struct column *c, size_t n)
{
	const char *user[] = { flag_value(x, "user") };
	CLEANUP(freep) char *to = user[0] ? target(of_user, user, 1) : NULL;
	json_t *answered = server_call(x, "GET", to ? to : all, NULL);

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, member), c, n);
	json_decref(answered);
	return EXIT_OK;
}

int run_users_identities(struct cli *x)
{
	return list(x, "/api/fairlead/v1/identities", "/api/fairlead/v1/identities?user=%", "identities", identity_columns,
			ARRAY_LEN(identity_columns));
}

int run_users_link(struct cli *x)
{
	if (!argument(x, 0) || !flag_value(x, "issuer") || !flag_value(x, "subject"))
		return usage(x, "USER, --issuer and --subject are needed; the page that refused the account says them");
	json_t *answered = server_call(x, "POST", "/api/fairlead/v1/identities", json_pack("{s:s, s:s, s:s}", "user", argument(x, 0),
		"issuer", flag_value(x, "issuer"), "subject", flag_value(x, "subject")));
	if (!answered)
		return EXIT_FAILED;
	print_object(x, json_object_get(answered, "identity"), identity_columns, ARRAY_LEN(identity_columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_users_unlink(struct cli *x)
{
	const char *id[] = { flag_value(x, "identifier") };

	if (!id[0])
		return usage(x, "which identity? Give -i ID, as `fairlead users identities` lists it");
	if (!confirm(x, "Unlink identity %s? Its sessions end.", id[0]))
		return EXIT_FAILED;
	CLEANUP(freep) char *to = target("/api/fairlead/v1/identities/%", id, 1);
	return to ? server_do(x, "DELETE", to, NULL, "Identity unlinked") : EXIT_FAILED;
}

int run_sessions_list(struct cli *x)
{
	return list(x, "/api/fairlead/v1/sessions", "/api/fairlead/v1/sessions?user=%", "sessions", session_columns,
			ARRAY_LEN(session_columns));
}

int run_sessions_end(struct cli *x)
{
	const char *id[] = { flag_value(x, "identifier") }, *user[] = { flag_value(x, "user") };

	if (!id[0] == !user[0])
		return usage(x, "give -i ID, or --user USER for all of a user's");
	CLEANUP(freep) char *to = id[0] ? target("/api/fairlead/v1/sessions/%", id, 1) : target("/api/fairlead/v1/sessions?user=%", user, 1);
	return to ? server_do(x, "DELETE", to, NULL, id[0] ? "Session ended" : "Sessions ended") : EXIT_FAILED;
}

int run_passkeys_list(struct cli *x)
{
	return list(x, "/api/fairlead/v1/passkeys", "/api/fairlead/v1/passkeys?user=%", "passkeys", passkey_columns,
			ARRAY_LEN(passkey_columns));
}

int run_passkeys_delete(struct cli *x)
{
	const char *id[] = { flag_value(x, "identifier") };

	if (!id[0])
		return usage(x, "which passkey? Give -i ID, as `fairlead passkeys list` lists it");
	if (!confirm(x, "Delete passkey %s? Its user is signed out where a passkey or password signed in.", id[0]))
		return EXIT_FAILED;
	CLEANUP(freep) char *to = target("/api/fairlead/v1/passkeys/%", id, 1);
	return to ? server_do(x, "DELETE", to, NULL, "Passkey deleted") : EXIT_FAILED;
}

int run_console_login(struct cli *x)
{
	json_t *answered = server_call(x, "POST", "/api/fairlead/v1/login-links", json_pack("{s:s*}", "user", flag_value(x, "user")));

	if (!answered)
		return EXIT_FAILED;
	if (x->output != OUTPUT_TABLE) {
		print_object(x, answered, NULL, 0);
	} else {
		const char *user = json_string_value(json_object_get(json_object_get(answered, "user"), "name"));
		printf("This link signs one browser in as %s, once, within an hour:\n%s\n", user ? user : "?",
				json_string_value(json_object_get(answered, "url")));
	}
	json_decref(answered);
	return EXIT_OK;
}

int run_users_forget_password(struct cli *x)
{
	const char *user[] = { argument(x, 0) };

	if (!user[0])
		return usage(x, "whose password?");
	if (!confirm(x, "Forget the password of %s?", user[0]))
		return EXIT_FAILED;
	CLEANUP(freep) char *to = target("/api/fairlead/v1/accounts?user=%", user, 1);
	return to ? server_do(x, "DELETE", to, NULL, "Password forgotten") : EXIT_FAILED;
}
