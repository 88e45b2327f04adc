#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/version.h"
#include "server/cli/verbs.h"
#include "server/config.h"
#include "server/server.h"
#include "server/sources.h"

int run_serve(struct cli *x)
{
	const char *path = find_config(x);

	if (!path[0])
		return usage(x, "no configuration found: name it with --config FILE (config.example.toml shows every key)");
	return server_main(path);
}

int run_version(struct cli *x)
{
	json_t *v = json_pack("{s:s, s:s}", "version", fairlead_version, "commit", fairlead_commit);
	static const struct column columns[] = { { "version", "version" }, { "commit", "commit" } };

	print_object(x, v, columns, ARRAY_LEN(columns));
	json_decref(v);
	return EXIT_OK;
}

int run_health(struct cli *x)
{
	json_t *answered = server_call(x, "GET", "/api/v1/health", NULL);
	bool ok = answered && json_is_true(json_object_get(answered, "databaseConnectivity"));

	json_decref(answered);
	if (ok)
		print_word(x, "health", "ok");
	return ok ? EXIT_OK : EXIT_FAILED;
}

int run_stats(struct cli *x)
{
	static const struct column columns[] = {
		{ "users", "users" }, { "nodes", "nodes" }, { "online", "online" }, { "ephemeral", "ephemeral" }, { "tagged", "tagged" },
		{ "expired", "expired" }, { "sessions", "sessions" }, { "pending", "pendings" }, { "auth keys", "authkeys" },
		{ "API keys", "apikeys" }, { "events", "events" }, { "full maps", "mapFull" }, { "map deltas", "mapDeltas" },
		{ "map bytes", "mapBytes" }, { "max event us", "maxEventUs" },
	};
	json_t *answered = server_call(x, "GET", "/api/fairlead/v1/stats", NULL);

	if (!answered)
		return EXIT_FAILED;
	print_object(x, answered, columns, ARRAY_LEN(columns));
	json_decref(answered);
	return EXIT_OK;
}

/* The server writes the file, so its name must mean the same to both. */
int run_backup(struct cli *x)
{
	const char *to = argument(x, 0);

	if (!to)
		return usage(x, "the FILE to write is needed");
	CLEANUP(freep) char *here = to[0] == '/' ? strdup("") : getcwd(NULL, 0);
	CLEANUP(freep) char *full = NULL;
	if (!here || asprintf(&full, "%s%s%s", here, here[0] ? "/" : "", to) < 0)
		return EXIT_FAILED;
	json_t *answered = server_call(x, "POST", "/api/fairlead/v1/backup", json_pack("{s:s}", "path", full));
	if (!answered)
		return EXIT_FAILED;
	print_word(x, "path", full);
	json_decref(answered);
	return EXIT_OK;
}

static int load_config(const struct cli *x, struct config **out)
{
	const char *path = find_config(x);
	char why[400];

	if (!path[0]) {
		print_failure(x, "no configuration found: name it with --config FILE");
		return EXIT_FAILED;
	}
	if (config_load(path, why, sizeof why, out) != OK) {
		print_failure(x, why);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

int run_config_check(struct cli *x)
{
	struct config *c = NULL;
	int status = load_config(x, &c);

	struct sources s = { 0 };
	char why[512] = "";

	if (status == EXIT_OK && sources_load(c, NULL, "", 443, why, sizeof why, &s) != OK) {
		fprintf(stderr, "%s\n", why);
		status = EXIT_FAILED;
	}
	if (status == EXIT_OK)
		print_word(x, "valid", c->file);
	sources_done(&s);
	config_free(c);
	return status;
}

int run_config_show(struct cli *x)
{
	struct config *c = NULL;
	int status = load_config(x, &c);

	if (status != EXIT_OK)
		return status;
	CLEANUP(freep) char *text = config_show(c);
	config_free(c);
	if (!text)
		return EXIT_FAILED;
	if (x->output == OUTPUT_TABLE)
		fputs(text, stdout);
	else
		print_word(x, "config", text);
	return EXIT_OK;
}

int run_derp_map(struct cli *x)
{
	json_t *answered = server_call(x, "GET", "/api/fairlead/v1/derp-map", NULL);
	struct cli as = *x;

	if (!answered)
		return EXIT_FAILED;
	if (as.output == OUTPUT_TABLE)
		as.output = OUTPUT_JSON; /* a map is no table */
	print_json(&as, answered);
	json_decref(answered);
	return EXIT_OK;
}

/* "derp900.example.com:8443, …" */
static json_t *relays_of(const json_t *region)
{
	CLEANUP(buf_done) struct buf b = buf_make(4096);
	json_t *n;
	size_t i;

	json_array_foreach (json_object_get(region, "Nodes"), i, n) {
		const char *host = json_string_value(json_object_get(n, "HostName"));
		json_int_t port = json_integer_value(json_object_get(n, "DERPPort"));

		buf_printf(&b, "%s%s", i ? ", " : "", host ? host : "?");
		if (json_is_true(json_object_get(n, "STUNOnly")))
			buf_append_str(&b, " (STUN only)");
		else if (port)
			buf_printf(&b, ":%lld", (long long)port);
	}
	return json_stringn((const char *)buf_view(&b).p, buf_len(&b));
}

int run_derp_list(struct cli *x)
{
	static const struct column columns[] = { { "REGION", "id" }, { "CODE", "code" }, { "NAME", "name" }, { "RELAYS", "relays" } };
	json_t *answered = server_call(x, "GET", "/api/fairlead/v1/derp-map", NULL), *rows = json_array(), *region;
	const char *id;

	json_object_foreach (json_object_get(answered, "Regions"), id, region)
		json_array_append_new(rows, json_pack("{s:s,s:O?,s:O?,s:o}", "id", id, "code", json_object_get(region, "RegionCode"), "name",
					json_object_get(region, "RegionName"), "relays", relays_of(region)));
	if (answered)
		print_rows(x, rows, columns, ARRAY_LEN(columns));
	json_decref(rows);
	json_decref(answered);
	return answered ? EXIT_OK : EXIT_FAILED;
}
