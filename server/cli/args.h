/* args: a command line by a table of verbs: `fairlead [--config FILE] GROUP VERB [flags] [arguments]`.
 *
 * Flags may stand anywhere: "--name value", "--name=value", "-n value". "--" ends them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/err.h"

enum { FLAGS_MAX = 10, FLAG_VALUES_MAX = 64, ARGUMENTS_MAX = 4 };

enum exit_status { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct flag {
	const char *name;  /* without dashes; NULL ends the list */
	char letter;	   /* 0: none */
	const char *value; /* what the help calls it; NULL: a switch */
	const char *help;
	const char *alias; /* an older name; not in the help */
};

struct cli;

struct verb {
	const char *group; /* "" for verbs without one */
	const char *name;
	const char *aliases;   /* "ls|show"; "" none */
	const char *arguments; /* "NAME", "[FILE]", "" */
	size_t arguments_max;
	const char *help;
	const char *example; /* after "fairlead " */
	struct flag flags[FLAGS_MAX + 1];
	int (*run)(struct cli *x);
};

struct group {
	const char *name, *aliases, *help;
};

struct verbs {
	const struct group *groups;
	size_t n_groups;
	const struct verb *verbs;
	size_t n_verbs;
};

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_JSON_LINE, OUTPUT_YAML };

/* A parsed command line. Everything is borrowed from argv. */
struct cli {
	const struct verb *verb; /* NULL: only help is wanted */
	const struct group *group;
	const char *config_path; /* "": search */
	const char *address, *api_key; /* NULL: not given */
	bool insecure;
	enum output output;
	bool force, help, version;
	const char *value[FLAGS_MAX][FLAG_VALUES_MAX];
	size_t n_values[FLAGS_MAX];
	const char *argument[ARGUMENTS_MAX];
	size_t n_arguments;
};

/* ERR_INVALID: why says what is wrong, with a suggestion. */
MUST_USE err args_parse(const struct verbs *all, int argc, char **argv, struct cli *out, char *why, size_t why_cap);

bool flag_given(const struct cli *x, const char *name);
const char *flag_value(const struct cli *x, const char *name); /* the last one; NULL: not given */
/* n-th argument, or NULL. */
const char *argument(const struct cli *x, size_t n);

/* For shells: what may stand where the last of words, which is being typed and may be "", stands; a line each, NAME<tab>HELP. */
void args_complete(const struct verbs *all, int n, char *const *words, FILE *out);

/* For the verb, the group, or the program, whichever was named. */
void args_help(const struct verbs *all, const struct cli *x, FILE *out);
