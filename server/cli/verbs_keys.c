#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

static const struct column authkey_columns[] = {
	{ "ID", "id" }, { "KEY", "key" }, { "USER", "user.name" }, { "TAGS", "aclTags" }, { "REUSABLE", "reusable" },
	{ "EPHEMERAL", "ephemeral" }, { "USED", "used" }, { "EXPIRES", "expiration" }, { "CREATED", "createdAt" },
};
static const struct column apikey_columns[] = {
	{ "ID", "id" }, { "PREFIX", "prefix" }, { "SCOPES", "scopes" }, { "USER", "user" }, { "EXPIRES", "expiration" },
	{ "CREATED", "createdAt" }, { "LAST USED", "lastSeen" }, { "DESCRIPTION", "description" },
};

static const char *text_at(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

/* ---- auth keys ---- */

int run_authkeys_create(struct cli *x)
{
	const char *wanted = flag_value(x, "expiration"), *user = flag_value(x, "user");
	json_t *expiration = expiration_from(wanted ? wanted : "1h");

	if (!expiration)
		return usage(x, "--expiration must be a time such as 24h or 90d, or never, not '%s'", wanted);
	json_t *tags = split_values(x, "tags");
	if (!user && !json_array_size(tags)) {
		json_decref(tags);
		json_decref(expiration);
		return usage(x, "--user, --tags or both are needed: who will own the nodes?");
	}
	json_t *body = json_pack("{s:s, s:b, s:b, s:b, s:o, s:o, s:s*}", "user", user ? user : "", "reusable", flag_given(x, "reusable"),
			"ephemeral", flag_given(x, "ephemeral"), "preauthorized", flag_given(x, "preauthorized"), "expiration", expiration, "aclTags", tags, "description",
			flag_value(x, "description"));
	json_t *answered = server_call(x, "POST", "/api/v1/preauthkey", body);
	if (!answered)
		return EXIT_FAILED;
	const json_t *key = json_object_get(answered, "preAuthKey");
	if (x->output == OUTPUT_TABLE)
		puts(text_at(key, "key")); /* alone, so that scripts can take it */
	else
		print_object(x, key, authkey_columns, ARRAY_LEN(authkey_columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_authkeys_list(struct cli *x)
{
	const char *user = flag_value(x, "user");
	CLEANUP(freep) char *to = target(user ? "/api/v1/preauthkey?user=%" : "/api/v1/preauthkey", &user, user ? 1 : 0);
	json_t *answered = to ? server_call(x, "GET", to, NULL) : NULL;

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "preAuthKeys"), authkey_columns, ARRAY_LEN(authkey_columns));
	json_decref(answered);
	return EXIT_OK;
}

/* An id, or the key as the list shows it. */
int run_authkeys_expire(struct cli *x)
{
	const char *which = flag_or_argument(x, "identifier");

	if (!which)
		return usage(x, "which key? Give -i ID or the key as listed");
	bool is_key = strncmp(which, "hskey-", 6) == 0;
	return server_do(x, "POST", "/api/v1/preauthkey/expire", json_pack("{s:s}", is_key ? "key" : "id", which), "Key expired");
}

int run_authkeys_delete(struct cli *x)
{
	const char *which = flag_or_argument(x, "identifier");

	if (!which)
		return usage(x, "which key? Give -i ID");
	if (!confirm(x, "Delete auth key %s?", which))
		return EXIT_FAILED;
	CLEANUP(freep) char *to = target("/api/v1/preauthkey?id=%", &which, 1);
	return to ? server_do(x, "DELETE", to, NULL, "Key deleted") : EXIT_FAILED;
}

/* ---- API keys ---- */

int run_apikeys_create(struct cli *x)
{
	const char *wanted = flag_value(x, "expiration");
	json_t *expiration = expiration_from(wanted ? wanted : "90d");

	if (!expiration)
		return usage(x, "--expiration must be a time such as 24h or 90d, or never, not '%s'", wanted);
	CLEANUP(freep) char *scopes = flag_value(x, "scopes") ? strdup(flag_value(x, "scopes")) : NULL;
	for (char *c = scopes; c && *c; c++)
		if (*c == ',')
			*c = ' ';
	json_t *answered = server_call(x, "POST", "/api/v1/apikey", json_pack("{s:o, s:s*, s:s*, s:s*}", "expiration", expiration, "user",
			flag_value(x, "user"), "scopes", scopes, "description", flag_value(x, "description")));
	if (!answered)
		return EXIT_FAILED;
	print_word(x, "apiKey", text_at(answered, "apiKey"));
	json_decref(answered);
	return EXIT_OK;
}

int run_apikeys_list(struct cli *x)
{
	json_t *answered = server_call(x, "GET", "/api/v1/apikey", NULL);

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "apiKeys"), apikey_columns, ARRAY_LEN(apikey_columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_apikeys_expire(struct cli *x)
{
	const char *id = flag_value(x, "identifier"), *prefix = flag_or_argument(x, "prefix");

	if (!id && !prefix)
		return usage(x, "which key? Give -i ID or -p PREFIX");
	return server_do(x, "POST", "/api/v1/apikey/expire", json_pack("{s:s}", id ? "id" : "prefix", id ? id : prefix), "Key expired");
}

int run_apikeys_delete(struct cli *x)
{
	const char *id = flag_value(x, "identifier"), *prefix = flag_or_argument(x, "prefix"), *which = id ? id : prefix;

	if (!which)
		return usage(x, "which key? Give -i ID or -p PREFIX");
	if (!confirm(x, "Delete API key %s?", which))
		return EXIT_FAILED;
	CLEANUP(freep) char *to = target(id ? "/api/v1/apikey?id=%" : "/api/v1/apikey?prefix=%", &which, 1);
	return to ? server_do(x, "DELETE", to, NULL, "Key deleted") : EXIT_FAILED;
}
