#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

/* For people: what is trusted, and what to type on a device that is, for each that waits. */
static void print_waiting(const json_t *node)
{
	printf("  %s: tailscale lock sign %s %s\n", json_string_value(json_object_get(node, "name")),
			json_string_value(json_object_get(node, "nodeKey")), json_string_value(json_object_get(node, "rotationKey")));
}

static void print_status(const json_t *s)
{
	const json_t *keys = json_object_get(s, "keys"), *out = json_object_get(s, "lockedOut"), *v;
	size_t i;

	if (!json_is_true(json_object_get(s, "enabled"))) {
		puts("Tailnet lock is off. A device of an owner or admin starts it: tailscale lock init");
		return;
	}
	printf("Tailnet lock is on.\nHead: %s (%lld updates)\nTrusted keys:\n", json_string_value(json_object_get(s, "head")),
			(long long)json_integer_value(json_object_get(s, "updates")));
	json_array_foreach ((json_t *)(uintptr_t)keys, i, v)
		printf("  %s (%lld votes)\n", json_string_value(json_object_get(v, "key")),
				(long long)json_integer_value(json_object_get(v, "votes")));
	if (!json_array_size(out)) {
		puts("Every device is signed.");
		return;
	}
	puts("Locked out until signed, on a device whose key is trusted:");
	json_array_foreach ((json_t *)(uintptr_t)out, i, v)
		print_waiting(v);
}

int run_lock_status(struct cli *x)
{
	json_t *answered = server_call(x, "GET", "/api/fairlead/v1/lock", NULL);

	if (!answered)
		return EXIT_FAILED;
	if (x->output == OUTPUT_TABLE) {
		print_status(answered);
	} else {
		CLEANUP(freep) char *text = json_dumps(answered, x->output == OUTPUT_JSON_LINE ? JSON_COMPACT : JSON_INDENT(2));
		puts(text ? text : "");
	}
	json_decref(answered);
	return EXIT_OK;
}
