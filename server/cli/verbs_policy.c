#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

#define POLICY "/api/fairlead/v1/policy"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static int end(json_t *answered)
{
	json_decref(answered);
	return EXIT_OK;
}

int run_policy_get(struct cli *x)
{
	static const struct column columns[] = { { "POLICY", "policy" }, { "UPDATED", "updatedAt" } };

	if (flag_given(x, POLICY_BYPASS))
		return run_policy_get_offline(x);
	json_t *answered = server_call(x, "GET", "/api/v1/policy", NULL);
	if (!answered)
		return EXIT_FAILED;
	const char *text = json_string_value(json_object_get(answered, "policy"));
	if (x->output == OUTPUT_TABLE)
		print_text(text ? text : ""); /* as it was set, comments included */
	else
		print_object(x, answered, columns, ARRAY_LEN(columns));
	return end(answered);
}

static json_t *body_of_file(struct cli *x)
{
	const char *path = flag_or_argument(x, "file"), *note = flag_value(x, "note");

	if (!path) {
		usage(x, "which file? Give -f FILE, or -f - for stdin");
		return NULL;
	}
	CLEANUP(freep) char *text = read_whole(x, path);
	return text ? json_pack("{s:s,s:s}", "policy", text, "note", note ? note : "") : NULL;
}

static int send_file(struct cli *x, const char *method, const char *to, const char *done)
{
	json_t *body = body_of_file(x);

	if (!body)
		return flag_or_argument(x, "file") ? EXIT_FAILED : EXIT_USAGE;
	return server_do(x, method, to, body, done);
}

int run_policy_set(struct cli *x)
{
	if (flag_given(x, POLICY_BYPASS))
		return run_policy_set_offline(x);
	return send_file(x, "PUT", POLICY, "Policy set");
}

int run_policy_check(struct cli *x)
{
	if (flag_given(x, POLICY_BYPASS))
		return run_policy_check_offline(x);
	return send_file(x, "POST", POLICY "/check", "Policy is valid");
}

/* ---- versions ---- */

int run_policy_history(struct cli *x)
{
	static const struct column columns[] = { { "VERSION", "version" }, { "TIME", "createdAt" }, { "AUTHOR", "author" },
		{ "BYTES", "bytes" }, { "NOTE", "note" } };
	json_t *answered = server_call(x, "GET", POLICY "/versions", NULL);

	if (!answered)
		return EXIT_FAILED;
	print_rows(x, json_object_get(answered, "versions"), columns, ARRAY_LEN(columns));
	return end(answered);
}

int run_policy_show(struct cli *x)
{
	const char *version = argument(x, 0);
	static const struct column columns[] = { { "VERSION", "version" }, { "POLICY", "policy" } };
	CLEANUP(freep) char *to = version ? target(POLICY "/versions/%", &version, 1) : target(POLICY, NULL, 0);
	json_t *answered = to ? server_call(x, "GET", to, NULL) : NULL;

	if (!answered)
		return EXIT_FAILED;
	if (x->output == OUTPUT_TABLE)
		print_text(text_of(answered, "policy"));
	else
		print_object(x, answered, columns, ARRAY_LEN(columns));
	return end(answered);
}

int run_policy_diff(struct cli *x)
{
	const char *parts[] = { argument(x, 0), argument(x, 1) };

	if (!parts[0])
		return usage(x, "from which version? fairlead policy history lists them");
	CLEANUP(freep) char *to = target(parts[1] ? POLICY "/diff?from=%&to=%" : POLICY "/diff?from=%", parts, parts[1] ? 2 : 1);
	json_t *answered = to ? server_call(x, "GET", to, NULL) : NULL;

	if (!answered)
		return EXIT_FAILED;
	if (x->output == OUTPUT_TABLE)
		fputs(text_of(answered, "diff"), stdout);
	else
		print_object(x, answered, NULL, 0);
	return end(answered);
}

int run_policy_rollback(struct cli *x)
{
	const char *version = argument(x, 0), *note = flag_value(x, "note");
	char done[80];

	if (!version)
		return usage(x, "to which version? fairlead policy history lists them");
	json_t *answered = server_call(x, "POST", POLICY "/rollback", json_pack("{s:s,s:s}", "version", version, "note", note ? note : ""));
	if (!answered)
		return EXIT_FAILED;
	snprintf(done, sizeof done, "Policy set: version %lld", (long long)number_of(answered, "version"));
	print_word(x, "result", done);
	return end(answered);
}

/* ---- questions ---- */

static const char *name_of(const json_t *probe)
{
	return *text_of(probe, "name") ? text_of(probe, "name") : text_of(probe, "address");
}

static void print_joined(const json_t *list)
{
	size_t i;
	json_t *s;

	json_array_foreach (list, i, s)
		printf("%s%s", i ? ", " : "", json_string_value(s) ? json_string_value(s) : "");
}

static void print_place(const json_t *rule)
{
	if (strcmp(text_of(rule, "section"), "default") == 0)
		printf("no acls and no grants: everyone reaches everyone");
	else
		printf("line %lld, %s[%lld]", (long long)number_of(rule, "line"), text_of(rule, "section"), (long long)number_of(rule, "index"));
}

static void print_rule(const json_t *rule, const char *indent)
{
	printf("%s", indent);
	print_place(rule);
	if (json_array_size(json_object_get(rule, "ports"))) {
		printf(", ports ");
		print_joined(json_object_get(rule, "ports"));
	}
	if (json_array_size(json_object_get(rule, "postures"))) {
		printf(", asks for ");
		print_joined(json_object_get(rule, "postures"));
	}
	putchar('\n');
	if (*text_of(rule, "text"))
		printf("%s  %s\n", indent, text_of(rule, "text"));
}

static void print_rules(const json_t *rules, const char *indent)
{
	size_t i;
	json_t *rule;

	json_array_foreach (rules, i, rule)
		print_rule(rule, indent);
}

static void print_pair(const json_t *p)
{
	bool allowed = json_is_true(json_object_get(p, "allowed"));
	const json_t *back = json_object_get(p, "otherWayRound");

	printf("%s -> %s", name_of(json_object_get(p, "source")), name_of(json_object_get(p, "destination")));
	if (number_of(p, "count") > 1)
		printf(" (and %lld pairs like it)", (long long)number_of(p, "count") - 1);
	printf(": %s\n", allowed ? "allowed" : "denied");
	if (allowed) {
		print_rules(json_object_get(p, "rules"), "    by ");
		return;
	}
	printf("    %s: %s\n", text_of(p, "hop"), text_of(p, "why"));
	print_rules(json_object_get(p, "near"), "    near: ");
	if (back) {
		printf("    the other way round it is allowed: ");
		print_place(back);
		putchar('\n');
	}
}

static void print_party(const char *what, const json_t *p)
{
	if (*text_of(p, "why"))
		printf("%s: %s\n", what, text_of(p, "why"));
}

int run_policy_explain(struct cli *x)
{
	const char *parts[] = { argument(x, 0), argument(x, 1) };
	size_t i;
	json_t *p;

	if (!parts[0] || !parts[1])
		return usage(x, "who, and what? fairlead policy explain ann@example.com web:443");
	CLEANUP(freep) char *to = target(POLICY "/explain?src=%&dst=%", parts, 2);
	json_t *answered = to ? server_call(x, "GET", to, NULL) : NULL;
	if (!answered)
		return EXIT_FAILED;
	if (x->output != OUTPUT_TABLE) {
		print_object(x, answered, NULL, 0);
		return end(answered);
	}
	print_party("source", json_object_get(answered, "source"));
	print_party("destination", json_object_get(answered, "destination"));
	json_array_foreach (json_object_get(answered, "pairs"), i, p)
		print_pair(p);
	printf("%s: %s\n", "reached", text_of(answered, "allowed"));
	return end(answered);
}

static void print_reach(const json_t *row, const char *name)
{
	printf("%-28s %-16s ", name, text_of(row, "address"));
	print_joined(json_object_get(row, "ports"));
	if (number_of(row, "of") > 1)
		printf("  (%lld of %lld)", (long long)number_of(row, "reaches"), (long long)number_of(row, "of"));
	printf("  ");
	size_t i;
	json_t *rule;
	json_array_foreach (json_object_get(row, "rules"), i, rule) {
		printf("%s", i ? "; " : "");
		print_place(rule);
	}
	if (json_array_size(json_object_get(row, "routers"))) {
		printf("  through ");
		print_joined(json_object_get(row, "routers"));
	}
	putchar('\n');
}

static int print_reaches(struct cli *x, json_t *answered, const char *party, const char *more, const char *more_name)
{
	size_t i;
	json_t *row;

	if (!answered)
		return EXIT_FAILED;
	if (x->output != OUTPUT_TABLE) {
		print_object(x, answered, NULL, 0);
		return end(answered);
	}
	print_party(party, json_object_get(answered, party));
	json_array_foreach (json_object_get(answered, "nodes"), i, row)
		print_reach(row, text_of(row, "name"));
	json_array_foreach (json_object_get(answered, more), i, row)
		print_reach(row, text_of(row, more_name));
	if (!json_array_size(json_object_get(answered, "nodes")) && !json_array_size(json_object_get(answered, more)))
		puts("nothing");
	return end(answered);
}

int run_policy_who(struct cli *x)
{
	const char *dst = argument(x, 0);

	if (!dst)
		return usage(x, "who can reach what? fairlead policy who-can-reach db:5432");
	CLEANUP(freep) char *to = target(POLICY "/who-can-reach?dst=%", &dst, 1);
	return print_reaches(x, to ? server_call(x, "GET", to, NULL) : NULL, "destination", "others", "source");
}

int run_policy_what(struct cli *x)
{
	const char *src = argument(x, 0);

	if (!src)
		return usage(x, "what can who reach? fairlead policy what-can-reach group:ops");
	CLEANUP(freep) char *to = target(POLICY "/what-can-reach?src=%", &src, 1);
	return print_reaches(x, to ? server_call(x, "GET", to, NULL) : NULL, "source", "beyond", "destination");
}

/* ---- preview ---- */

static void print_preview(const json_t *a)
{
	const json_t *c = json_object_get(a, "connections"), *tests = json_object_get(a, "tests"), *sight = json_object_get(a, "visibility");
	size_t i;
	json_t *row;

	json_array_foreach (json_object_get(c, "examples"), i, row) {
		printf("%-8s %s -> %s", text_of(row, "what"), name_of(json_object_get(row, "source")), name_of(json_object_get(row, "destination")));
		if (number_of(row, "count") > 1)
			printf(" (and %lld pairs like it)", (long long)number_of(row, "count") - 1);
		putchar('\n');
	}
	if (json_is_true(json_object_get(c, "truncated")))
		puts("…");
	if (json_is_true(json_object_get(c, "counted")))
		printf("connections (pairs of nodes): %lld gained, %lld lost, %lld with other ports\n", (long long)number_of(c, "gained"),
		       (long long)number_of(c, "lost"), (long long)number_of(c, "changed"));
	else
		puts("connections: too many kinds of nodes to count pairs");
	printf("pairs that see each other: %lld more, %lld less\n", (long long)number_of(sight, "gained"), (long long)number_of(sight, "lost"));
	printf("nodes that are told something: %lld of %lld, %lld of them get another filter\n", (long long)number_of(a, "nodesChanged"),
	       (long long)number_of(a, "nodesTotal"), (long long)number_of(a, "filtersChanged"));
	json_array_foreach (json_object_get(tests, "failures"), i, row)
		printf("line %lld, column %lld: %s\n", (long long)number_of(row, "line"), (long long)number_of(row, "column"), text_of(row, "text"));
	puts(json_is_true(json_object_get(tests, "passed")) ? "tests: passed" : "tests: failed; the policy would be refused");
}

int run_policy_preview(struct cli *x)
{
	json_t *body = body_of_file(x);

	if (!body)
		return flag_or_argument(x, "file") ? EXIT_FAILED : EXIT_USAGE;
	json_t *answered = server_call(x, "POST", POLICY "/preview", body);
	if (!answered)
		return EXIT_FAILED;
	if (x->output == OUTPUT_TABLE)
		print_preview(answered);
	else
		print_object(x, answered, NULL, 0);
	return end(answered);
}
