#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

/* ?name=value&… of the flags that were given. Owned; NULL: out of memory. */
static char *target_of(const struct cli *x, const char *limit, const char *order, const char *page)
{
	static const char *const flags[] = { "since", "until", "actor", "kind", "action", "via", "target" };
	const char *value[ARRAY_LEN(flags) + 1];
	char pattern[300];
	size_t n = 0, at;

	at = (size_t)snprintf(pattern, sizeof pattern, "/api/fairlead/v1/audit?limit=%s&order=%s", limit, order);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (!flag_given(x, flags[i]))
			continue;
		at += (size_t)snprintf(pattern + at, sizeof pattern - at, "&%s=%%", flags[i]);
		value[n++] = flag_value(x, flags[i]);
	}
	if (page) {
		snprintf(pattern + at, sizeof pattern - at, "&page=%%");
		value[n++] = page;
	}
	return target(pattern, value, n);
}

int run_audit_list(struct cli *x)
{
	static const struct column columns[] = {
		{ "TIME", "time" }, { "WHO", "actor" }, { "VIA", "via" }, { "FROM", "address" }, { "ACTION", "action" }, { "KIND", "kind" },
		{ "TARGET", "target" }, { "ID", "targetId" }, { "BEFORE", "before" }, { "AFTER", "after" },
	};
	const char *limit = flag_value(x, "limit");
	CLEANUP(freep) char *to = target_of(x, limit && strspn(limit, "0123456789") == strlen(limit) ? limit : "100", "desc", NULL);
	json_t *answered = to ? server_call(x, "GET", to, NULL) : NULL;
	json_t *records = json_object_get(answered, "records"), *r;
	size_t i;

	if (!answered)
		return EXIT_FAILED;
	json_array_foreach(records, i, r) {
		if (x->output != OUTPUT_TABLE)
			break;
		for (size_t side = 0; side < 2; side++) { /* as one cell */
			const char *key = side ? "after" : "before";
			json_t *v = json_object_get(r, key);
			CLEANUP(freep) char *text = json_is_object(v) ? json_dumps(v, JSON_COMPACT) : NULL;
			if (text)
				json_object_set_new(r, key, json_string(text));
		}
	}
	print_rows(x, records, columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

/* All of it, oldest first, a record a line. */
int run_audit_export(struct cli *x)
{
	CLEANUP(freep) char *page = NULL;

	for (;;) {
		CLEANUP(freep) char *to = target_of(x, "1000", "asc", page);
		json_t *answered = to ? server_call(x, "GET", to, NULL) : NULL, *r;
		size_t i;

		if (!answered)
			return EXIT_FAILED;
		json_array_foreach(json_object_get(answered, "records"), i, r) {
			CLEANUP(freep) char *line = json_dumps(r, JSON_COMPACT);
			if (!line || puts(line) == EOF) {
				json_decref(answered);
				print_failure(x, "the records could not be written");
				return EXIT_FAILED;
			}
		}
		const char *next = json_string_value(json_object_get(answered, "next"));
		free(page);
		page = next ? strdup(next) : NULL;
		json_decref(answered);
		if (!page)
			return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
	}
}
