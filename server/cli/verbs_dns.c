#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

/* The DNS settings of the tailnet, by their short names, and its extra records one by one. They are settings like others
 * (fairlead settings list); the server checks them. */

#define RECORDS "dns.extra_records"

static char *setting_target_of(const char *key)
{
	char full[128];
	const char *part = full;

	snprintf(full, sizeof full, "%s%s", strncmp(key, "dns.", 4) == 0 ? "" : "dns.", key);
	return target("/api/fairlead/v1/settings/%", &part, 1);
}

static void print_value(const json_t *value)
{
	CLEANUP(freep) char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	puts(json_is_string(value) ? json_string_value(value) : text ? text : "");
}

static const struct column columns[] = {
	{ "SETTING", "key" }, { "VALUE", "value" }, { "SET", "isSet" }, { "MANAGED BY", "managedBy.file" }, { "WHAT", "help" },
};

static int print_one(const struct cli *x, json_t *answered)
{
	const json_t *setting = json_object_get(answered, "setting");

	if (!answered)
		return EXIT_FAILED;
	if (x->output == OUTPUT_TABLE)
		print_value(json_object_get(setting, "value"));
	else
		print_object(x, setting, columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

static int print_all(struct cli *x)
{
	json_t *answered = server_call(x, "GET", "/api/fairlead/v1/settings", NULL), *list = json_array(), *v;
	size_t i;

	json_array_foreach (json_object_get(answered, "settings"), i, v) {
		const char *key = json_string_value(json_object_get(v, "key"));
		if (key && strncmp(key, "dns.", 4) == 0)
			json_array_append(list, v);
	}
	if (answered)
		print_rows(x, list, columns, ARRAY_LEN(columns));
	json_decref(list);
	json_decref(answered);
	return answered ? EXIT_OK : EXIT_FAILED;
}

int run_dns_get(struct cli *x)
{
	if (!argument(x, 0))
		return print_all(x);
	CLEANUP(freep) char *to = setting_target_of(argument(x, 0));
	return to ? print_one(x, server_call(x, "GET", to, NULL)) : EXIT_FAILED;
}

/* corp.example=10.0.0.53,10.0.0.54: one domain of nameservers.split. */
static json_t *split_of(const struct cli *x)
{
	json_t *o = json_object();

	for (size_t i = 1; argument(x, i); i++) {
		const char *text = argument(x, i), *eq = strchr(text, '=');
		if (!eq) {
			json_decref(o);
			return NULL;
		}
		json_t *list = json_array();
		struct bytes rest = bytes_str(eq + 1);
		while (rest.n) {
			struct bytes one = bytes_trim(bytes_cut(rest, ',', &rest));
			if (one.n)
				json_array_append_new(list, json_stringn((const char *)one.p, one.n));
		}
		json_object_setn_new(o, text, (size_t)(eq - text), list);
	}
	return o;
}

/* Several values are a list; one may be a list with commas, or JSON. */
static json_t *values_of(const struct cli *x)
{
	if (!argument(x, 2))
		return json_string(argument(x, 1));
	json_t *list = json_array();
	for (size_t i = 1; argument(x, i); i++)
		json_array_append_new(list, json_string(argument(x, i)));
	return list;
}

int run_dns_set(struct cli *x)
{
	const char *key = argument(x, 0), *value = key ? argument(x, 1) : NULL;

	if (!value)
		return usage(x, "a setting and its value are needed: fairlead dns set nameservers.global 1.1.1.1 9.9.9.9");
	bool split = strcmp(key + (strncmp(key, "dns.", 4) == 0 ? 4 : 0), "nameservers.split") == 0 && value[0] != '{';
	json_t *v = split ? split_of(x) : values_of(x);
	if (!v)
		return usage(x, "each domain needs its name servers: fairlead dns set nameservers.split corp.example=10.0.0.53");
	CLEANUP(freep) char *to = setting_target_of(key);
	return to ? print_one(x, server_call(x, "PUT", to, json_pack("{s:o}", "value", v))) : EXIT_FAILED;
}

int run_dns_reset(struct cli *x)
{
	if (!argument(x, 0))
		return usage(x, "which setting? See: fairlead dns get");
	CLEANUP(freep) char *to = setting_target_of(argument(x, 0));
	return to ? print_one(x, server_call(x, "DELETE", to, NULL)) : EXIT_FAILED;
}

/* ---- records ---- */

static const struct column record_columns[] = { { "NAME", "name" }, { "TYPE", "type" }, { "VALUE", "value" } };

/* The list as it is; owned. NULL: the error was printed. */
static json_t *records_now(const struct cli *x)
{
	CLEANUP(freep) char *to = setting_target_of(RECORDS);
	json_t *answered = to ? server_call(x, "GET", to, NULL) : NULL;
	json_t *list = json_incref(json_object_get(json_object_get(answered, "setting"), "value"));

	json_decref(answered);
	return list;
}

/* list is taken. */
static int put_records(const struct cli *x, json_t *list)
{
	CLEANUP(freep) char *to = setting_target_of(RECORDS);
	json_t *answered = to ? server_call(x, "PUT", to, json_pack("{s:o}", "value", list)) : NULL;

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(json_object_get(answered, "setting"), "value"), record_columns, ARRAY_LEN(record_columns));
	json_decref(answered);
	return EXIT_OK;
}

int run_dns_records(struct cli *x)
{
	json_t *list = records_now(x);

	if (!list)
		return EXIT_FAILED;
	print_rows(x, list, record_columns, ARRAY_LEN(record_columns));
	json_decref(list);
	return EXIT_OK;
}

int run_dns_add(struct cli *x)
{
	if (!argument(x, 0) || !argument(x, 1))
		return usage(x, "a name and its address are needed: fairlead dns add nas.tail.internal 100.64.0.9");
	json_t *list = records_now(x);
	if (!list)
		return EXIT_FAILED;
	json_array_append_new(list, json_pack("{s:s,s:s}", "name", argument(x, 0), "value", argument(x, 1)));
	return put_records(x, list);
}

static bool is_record(const json_t *v, const char *name, const char *value)
{
	const char *its = json_string_value(json_object_get(v, "value"));
	const char *called = json_string_value(json_object_get(v, "name"));

	return called && bytes_eq_nocase(bytes_str(called), bytes_str(name)) && (!value || (its && strcmp(its, value) == 0));
}

int run_dns_remove(struct cli *x)
{
	size_t n = 0;

	if (!argument(x, 0))
		return usage(x, "which name? See: fairlead dns records");
	json_t *list = records_now(x);
	if (!list)
		return EXIT_FAILED;
	for (size_t i = json_array_size(list); i-- > 0;)
		if (is_record(json_array_get(list, i), argument(x, 0), argument(x, 1))) {
			json_array_remove(list, i);
			n++;
		}
	if (!n) {
		json_decref(list);
		fprintf(stderr, "there is no such record: %s\n", argument(x, 0));
		return EXIT_FAILED;
	}
	return put_records(x, list);
}
