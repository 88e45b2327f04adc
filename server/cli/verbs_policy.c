#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/cli/verbs.h"
#include "server/policy/query.h"

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
	json_t *body = body_of_file(x);

	if (!body)
		return flag_or_argument(x, "file") ? EXIT_FAILED : EXIT_USAGE;
	if (x->force)
		json_object_set_new(body, "force", json_true());
	json_t *answered = server_call(x, "PUT", POLICY, body);
	char done[80];
	if (!answered)
		return EXIT_FAILED;
	snprintf(done, sizeof done, "Policy set: version %lld", (long long)number_of(answered, "version"));
	print_word(x, "result", done);
	return end(answered);
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
		{ "BYTES", "bytes" }, { "GAINED", "gained" },
		{ "LOST", "lost" }, { "NOTE", "note" } };
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

int run_policy_rollback(struct cli *x)
{
	const char *version = argument(x, 0), *note = flag_value(x, "note");
	char done[80];

	if (!version)
		return usage(x, "to which version? fairlead policy history lists them");
	json_t *answered = server_call(x, "POST", POLICY "/rollback", json_pack("{s:s,s:s,s:b}", "version", version, "note", note ? note : "",
		"force", x->force));
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
	if (*text_of(p, "sentence"))
		printf("    %s\n", text_of(p, "sentence"));
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

static void print_names(const json_t *party)
{
	const json_t *names = json_object_get(party, "names");
	size_t i;
	json_t *name;

	json_array_foreach (names, i, name) {
		const char *kind = text_of(name, "kind"), *text = text_of(name, "name");
		bool others = strcmp(kind, "others") == 0, members = strcmp(text, "autogroup:member") == 0;

		printf("%s%s", i ? ", " : "", strcmp(kind, "self") == 0 ? "own machines" : others ? (members ? "other members" : "other tagged machines") : text);
	}
	if (number_of(party, "more"))
		printf(" and %lld more", (long long)number_of(party, "more"));
}

static void print_lines(const json_t *rules)
{
	size_t i;
	json_t *rule;

	json_array_foreach (rules, i, rule)
		if (number_of(rule, "line"))
			printf("%s%lld", i ? ", " : ", line ", (long long)number_of(rule, "line"));
}

static void print_change(const json_t *x)
{
	bool gained = strcmp(text_of(x, "what"), "gained") == 0;
	const json_t *now = json_object_get(x, "now");

	printf("%s ", gained ? "+" : "-");
	print_names(json_object_get(x, "from"));
	printf(" -> ");
	print_names(json_object_get(x, "to"));
	printf(": %s", text_of(json_object_get(x, "ports"), "text"));
	if (json_is_object(now))
		printf(gained ? " (before: %s)" : " (keeps %s)", text_of(now, "text"));
	printf("  [%lld connections", (long long)number_of(x, "connections"));
	print_lines(json_object_get(x, "rules"));
	puts("]");
}

static void print_changes(const json_t *c)
{
	size_t i;
	json_t *x;

	if (!json_is_object(c))
		return;
	json_array_foreach (json_object_get(c, "items"), i, x)
		print_change(x);
	if (number_of(c, "more"))
		printf("… and %lld more\n", (long long)number_of(c, "more"));
	if (json_is_true(json_object_get(c, "exact")))
		printf("connections (from machine to machine): %lld gained, %lld lost\n", (long long)number_of(c, "gained"), (long long)number_of(c, "lost"));
	else
		puts("connections: too many kinds of machines to count them");
}

static void print_machines(const json_t *m)
{
	if (json_is_object(m))
		printf("machines that get something new: %lld of %lld (%lld other rules, %lld SSH, %lld attributes)\n", (long long)number_of(m, "changed"),
		       (long long)number_of(m, "total"), (long long)number_of(m, "filters"), (long long)number_of(m, "ssh"),
		       (long long)number_of(m, "attributes"));
}

static void print_faults(const char *what, const json_t *list)
{
	size_t i;
	json_t *x;

	json_array_foreach (list, i, x) {
		const json_t *fix = json_object_get(x, "fix");

		printf("%s: line %lld, column %lld: %s", what, (long long)number_of(x, "line"), (long long)number_of(x, "column"), text_of(x, "text"));
		if (fix)
			printf(" [%s]", text_of(fix, "label"));
		putchar('\n');
	}
}

static void print_preview(const json_t *a)
{
	const json_t *tests = json_object_get(a, "tests");
	size_t i;
	json_t *x;

	print_faults("error", json_object_get(a, "errors"));
	print_faults("warning", json_object_get(a, "warnings"));
	print_changes(json_object_get(a, "changes"));
	print_machines(json_object_get(a, "machines"));
	json_array_foreach (json_object_get(tests, "failures"), i, x) {
		printf("line %lld, column %lld: %s", (long long)number_of(x, "line"), (long long)number_of(x, "column"), text_of(x, "text"));
		print_lines(json_object_get(x, "rules"));
		putchar('\n');
	}
	if (json_is_object(tests))
		printf("tests: %lld of %lld passed\n", (long long)number_of(tests, "passed"), (long long)number_of(tests, "total"));
	json_array_foreach (json_object_get(a, "lockout"), i, x)
		printf("%s: %s\n", json_is_true(json_object_get(x, "refused")) ? "refused without --force" : "beware", text_of(x, "text"));
	if (!json_is_true(json_object_get(a, "valid")))
		puts("the policy would be refused");
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
	if (x->output == OUTPUT_TABLE) {
		fputs(text_of(answered, "diff"), stdout);
		print_changes(json_object_get(answered, "changes"));
	} else {
		print_object(x, answered, NULL, 0);
	}
	return end(answered);
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

/* ---- all at once ---- */

static void print_row(const json_t *a, size_t i, const json_t *row)
{
	const json_t *columns = json_object_get(a, "columns");
	size_t k;
	json_t *cell;

	print_names(row);
	const long long people = (long long)number_of(row, "people"), machines = (long long)number_of(row, "machines");
	printf("  (%lld %s, %lld machine%s)\n", people, people == 1 ? "person" : "people", machines, machines == 1 ? "" : "s");
	json_array_foreach (json_object_get(a, "cells"), k, cell) {
		if ((size_t)number_of(cell, "row") != i)
			continue;
		printf("    -> ");
		print_names(json_array_get(columns, (size_t)number_of(cell, "column")));
		if (json_object_get(cell, "users")) {
			printf(" as ");
			print_joined(json_object_get(cell, "users"));
			printf("%s", json_is_true(json_object_get(cell, "check")) ? ", after a check" : "");
		} else {
			printf(": %s", text_of(json_object_get(cell, "ports"), "text"));
		}
		print_lines(json_object_get(cell, "rules"));
		putchar('\n');
	}
}

int run_policy_matrix(struct cli *x)
{
	json_t *row, *answered = server_call(x, "POST", POLICY "/matrix", json_pack("{s:b}", "ssh", flag_given(x, "ssh")));
	size_t i;

	if (!answered)
		return EXIT_FAILED;
	if (x->output != OUTPUT_TABLE) {
		print_object(x, answered, NULL, 0);
		return end(answered);
	}
	json_array_foreach (json_object_get(answered, "rows"), i, row)
		print_row(answered, i, row);
	if (json_is_true(json_object_get(answered, "truncated")))
		puts("…");
	return end(answered);
}

int run_policy_ssh(struct cli *x)
{
	const char *src = argument(x, 0), *dst = argument(x, 1), *user = flag_value(x, "user");
	size_t i;
	json_t *p;

	if (!src || !dst)
		return usage(x, "from where, and to where? fairlead policy ssh laptop web --user root");
	json_t *answered = server_call(x, "POST", POLICY "/ssh", json_pack("{s:s,s:s,s:s}", "src", src, "dst", dst, "user", user ? user : ""));
	if (!answered)
		return EXIT_FAILED;
	if (x->output != OUTPUT_TABLE) {
		print_object(x, answered, NULL, 0);
		return end(answered);
	}
	if (*text_of(answered, "why"))
		puts(text_of(answered, "why"));
	json_array_foreach (json_object_get(answered, "pairs"), i, p) {
		printf("%s -> %s: %s", name_of(json_object_get(p, "source")), name_of(json_object_get(p, "destination")), text_of(p, "action"));
		if (json_array_size(json_object_get(p, "users"))) {
			printf(" as ");
			print_joined(json_object_get(p, "users"));
		}
		print_lines(json_object_get(p, "rules"));
		putchar('\n');
	}
	return end(answered);
}

/* Without a server. */
int run_policy_format(struct cli *x)
{
	const char *path = flag_or_argument(x, "file");
	CLEANUP(freep) char *text = path ? read_whole(x, path) : NULL;
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	struct policy_faults faults = { 0 };

	if (!path)
		return usage(x, "which file? Give -f FILE, or -f - for stdin");
	if (!text)
		return EXIT_FAILED;
	err e = policy_format(bytes_str(text), &out, &faults);
	if (e == OK)
		fwrite(buf_view(&out).p, 1, buf_len(&out), stdout);
	else
		fprintf(stderr, "fairlead: line %u, column %u: %s\n", faults.fault[0].line, faults.fault[0].column, faults.n ? faults.fault[0].text : err_text(e));
	buf_done(&out);
	return e == OK ? EXIT_OK : EXIT_FAILED;
}
