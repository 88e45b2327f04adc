#include <stdlib.h>

#include "server/cli/args.h"
#include "tests/lib/test.h"

static int nothing(struct cli *x)
{
	(void)x;
	return 0;
}

static const struct group groups[] = { { "nodes", "node", "devices" }, { "users", "", "people" } };
static const struct verb verbs[] = {
	{ "", "serve", "", "", 0, "run", "serve", { { 0 } }, nothing },
	{ "nodes", "list", "ls|show", "", 0, "list", "nodes list", { { "user", 'u', "USER", "owner", NULL } }, nothing },
	{ "nodes", "tag", "", "[NODE]", 1, "tag", "nodes tag",
	  { { "identifier", 'i', "ID", "node", "id" }, { "tags", 't', "TAGS", "tags", NULL }, { "all", 'a', NULL, "all", NULL } }, nothing },
};
static const struct verbs all = { groups, 2, verbs, 3 };

static err parse(struct cli *x, char *why, size_t cap, const char *line)
{
	static char copy[256];
	char *argv[16] = { NULL };
	int argc = 0;

	snprintf(copy, sizeof copy, "fairlead %s", line);
	for (char *at = copy, *word; argc < 15 && (word = strsep(&at, " "));)
		argv[argc++] = word;
	return args_parse(&all, argc, argv, x, why, cap);
}

static struct cli good(const char *line)
{
	struct cli x;
	char why[300];

	if (parse(&x, why, sizeof why, line) != OK)
		fail_msg("%s: %s", line, why);
	return x;
}

static void bad(const char *line, const char *part)
{
	struct cli x;
	char why[300];

	assert_int_not_equal(parse(&x, why, sizeof why, line), OK);
	if (!strstr(why, part))
		fail_msg("%s: wanted %s, got %s", line, part, why);
}

static void words_and_flags_are_found(void **state)
{
	(void)state;
	struct cli x = good("nodes ls");
	assert_string_equal(x.verb->name, "list");
	x = good("node tag box -t tag:a --tags=tag:b -o json --force");
	assert_string_equal(x.verb->name, "tag");
	assert_string_equal(argument(&x, 0), "box");
	assert_null(argument(&x, 1));
	assert_string_equal(flag_value(&x, "tags"), "tag:b");
	assert_int_equal(x.n_values[1], 2);
	assert_int_equal(x.output, OUTPUT_JSON);
	assert_true(x.force && !flag_given(&x, "all"));
	x = good("--config f.toml nodes tag --id 7 -a");
	assert_string_equal(x.config_path, "f.toml");
	assert_string_equal(flag_value(&x, "identifier"), "7");
	assert_true(flag_given(&x, "all"));
	x = good("nodes -c f.toml list");
	assert_string_equal(x.verb->name, "list");
	x = good("nodes tag -- -odd");
	assert_string_equal(argument(&x, 0), "-odd");
	x = good("nodes --help");
	assert_true(x.help && !x.verb && x.group);
	x = good("help nodes list");
	assert_true(x.help && x.verb);
	assert_true(good("nodes").help);
}

static void mistakes_are_named(void **state)
{
	(void)state;
	bad("nodse list", "did you mean 'nodes'?");
	bad("nodes lsit", "unknown command 'nodes lsit'; did you mean 'list'?");
	bad("srve", "did you mean 'serve'?");
	bad("nodes list --usr ann", "did you mean '--user'?");
	bad("nodes list --user", "needs a value");
	bad("nodes list extra", "a word too many");
	bad("nodes tag -x", "unknown flag '-x'");
	bad("nodes tag --all=no", "takes no value");
	bad("nodes list -o xml", "json, json-line or yaml");
	bad("--outptu json nodes list", "unknown flag '--outptu'; did you mean '--output'?");
	bad("nodes --usr ann list", "unknown flag");
}

/* What is offered behind these words, the last being typed ("" where nothing is yet): names, a space behind each. */
static void completes(const char *line, const char *names)
{
	char copy[200], *argv[8], got[400] = "", *text = NULL, *save = NULL;
	int argc = 0;
	size_t n;

	snprintf(copy, sizeof copy, "%s", line);
	for (char *at = copy, *word; argc < 8 && (word = strsep(&at, " "));)
		argv[argc++] = word;
	FILE *f = open_memstream(&text, &n);
	assert_non_null(f);
	args_complete(&all, argc, argv, f);
	fclose(f);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		assert_non_null(strchr(l, '\t'));
		snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ", (int)strcspn(l, "\t"), l);
	}
	free(text);
	assert_string_equal(got, names);
}

static void shells_are_helped(void **state)
{
	(void)state;
	completes("", "serve nodes users ");
	completes("n", "nodes ");
	completes("node ", "list tag ");
	completes("nodes t", "tag ");
	completes("nodes x", "");
	completes("nodes tag box --a", "--all --address --api-key ");
	completes("nodes tag --id", "--identifier ");
	completes("nodes tag --identifier ", "");
	completes("nodes tag -t tag:a -o j", "json json-line ");
	completes("-o yaml nodes l", "list ");
	completes("-c f.toml ", "serve nodes users ");
	completes("nodes list ", "");
	completes("nonsense l", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(words_and_flags_are_found), cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(shells_are_helped) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
