#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

static const struct column columns[] = {
	{ "SETTING", "key" }, { "VALUE", "value" }, { "SET", "isSet" }, { "MANAGED BY", "managedBy.file" }, { "LINE", "managedBy.line" },
	{ "WHAT", "help" },
};

int run_settings_list(struct cli *x)
{
	json_t *answered = server_call(x, "GET", "/api/fairlead/v1/settings", NULL);

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "settings"), columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

static char *setting_target(const struct cli *x)
{
	const char *key = argument(x, 0);

	return target("/api/fairlead/v1/settings/%", &key, 1);
}

/* A table's answer is the bare value, so that scripts can take it. */
static int print_setting(const struct cli *x, json_t *answered)
{
	const json_t *setting = json_object_get(answered, "setting"), *value = json_object_get(setting, "value");

	if (!answered)
		return EXIT_FAILED;
	if (x->output != OUTPUT_TABLE) {
		print_object(x, setting, columns, ARRAY_LEN(columns));
	} else if (json_is_string(value)) {
		puts(json_string_value(value));
	} else {
		CLEANUP(freep) char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		puts(text ? text : "");
	}
	json_decref(answered);
	return EXIT_OK;
}

int run_settings_get(struct cli *x)
{
	if (!argument(x, 0))
		return usage(x, "which setting? See: fairlead settings list");
	CLEANUP(freep) char *to = setting_target(x);
	return to ? print_setting(x, server_call(x, "GET", to, NULL)) : EXIT_FAILED;
}

int run_settings_set(struct cli *x)
{
	if (!argument(x, 0) || !argument(x, 1))
		return usage(x, "a setting and its value are needed: fairlead settings set node.expiry 180d");
	CLEANUP(freep) char *to = setting_target(x);
	return to ? print_setting(x, server_call(x, "PUT", to, json_pack("{s:s}", "value", argument(x, 1)))) : EXIT_FAILED;
}

int run_settings_reset(struct cli *x)
{
	if (!argument(x, 0))
		return usage(x, "which setting? See: fairlead settings list");
	CLEANUP(freep) char *to = setting_target(x);
	return to ? print_setting(x, server_call(x, "DELETE", to, NULL)) : EXIT_FAILED;
}
